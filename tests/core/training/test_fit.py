"""Training: it learns, and can be watched, paused, fed, stopped and continued."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import ndimage

from napari_impartial.core import api
from napari_impartial.core.config import (
    InstanceConfig,
    ModelConfig,
    PredictionConfig,
    TrainingConfig,
    get_preset,
)
from napari_impartial.core.data.image import Image, from_array
from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.data.synthetic_tissue import Tissue, tissue
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.cutter import to_instances
from napari_impartial.core.instances.metrics import evaluate
from napari_impartial.core.instances.strokes import find_strokes
from napari_impartial.core.network.losses import edge_loss, whitening
from napari_impartial.core.network.model_card import ModelCard
from napari_impartial.core.network.model_file import TrainedModel
from napari_impartial.core.network.unet import UNet
from napari_impartial.core.prediction.predict import predict, predict_normalized
from napari_impartial.core.training import preview as core_previewer
from napari_impartial.core.training.fit import fit
from napari_impartial.core.training.implied_labels import fill_closed
from napari_impartial.core.training.messages import (
    GuestImage,
    Losses,
    NewScribbles,
    NoPreview,
    Preview,
    Stop,
    TrainingProgress,
)
from napari_impartial.core.training.preview import Previewer
from napari_impartial.core.training.preview_budget import Look, PreviewBudget
from napari_impartial.core.training.schedule import Clock
from napari_impartial.core.training.trainer import Trainer

SMALL = ModelConfig(base_features=8, depth=2)
QUICK = TrainingConfig(patch_size=32, max_steps=12, validation_fraction=0.0)


def run(
    running: Generator[TrainingProgress, Any, TrainedModel], commands: dict[int, Any] | None = None
) -> tuple[list[TrainingProgress], TrainedModel]:
    """Drive a training, sending `commands` by the number of the report they answer."""
    seen: list[TrainingProgress] = []
    command = None
    while True:
        try:
            seen.append(running.send(command))
        except StopIteration as finished:
            return seen, finished.value
        command = (commands or {}).get(len(seen) - 1)


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Report after each step, however quick it is."""
    monkeypatch.setattr("napari_impartial.core.training.fit._REPORT_EVERY_S", 0.0)


@pytest.mark.alone
def test_it_learns_the_procedural_tissue_in_seconds() -> None:
    made = tissue(shape=(320, 320), n_channels=3, seed=3)
    config = TrainingConfig(time_budget_s=20.0)
    model = api.train([made.image], [made.scribbles(0.1, seed=0)], config)
    assert model.card.seconds < 22
    unseen = tissue(shape=(320, 320), n_channels=3, seed=4)
    cells = api.to_instances(api.predict(unseen.image, model).foreground)
    assert evaluate([unseen.truth], [cells]).f1 >= 0.75


def test_same_seed_same_model(tiny_tissue: Tissue, tiny_scribbles: Scribbles) -> None:
    def weights(seed: int) -> torch.Tensor:
        config = replace(QUICK, seed=seed)
        model = api.train([tiny_tissue.image], [tiny_scribbles], config, SMALL)
        return torch.cat([w.flatten().float() for w in model.weights.values()])

    first = weights(1)
    assert torch.equal(first, weights(1))
    assert not torch.equal(first, weights(2))


@pytest.mark.usefixtures("every_step")
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_torchs_global_random_state_is_the_callers(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles, dropout: float
) -> None:
    model = replace(SMALL, dropout=dropout)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    config = replace(QUICK, max_steps=3)
    request = Preview(0, (0, 0, 32, 32), samples=2)
    _, first = run(fit([tiny_tissue.image], [tiny_scribbles], model, config), {0: request})
    assert torch.equal(torch.get_rng_state(), before)
    # nor does what the caller draws meanwhile, or looks at, change the model
    running = fit([tiny_tissue.image], [tiny_scribbles], model, config)
    torch.manual_seed(8)
    next(running)
    torch.rand(1)
    _, second = run(running)
    for name, weights in first.weights.items():
        assert torch.equal(weights, second.weights[name]), name


def test_half_precision_scales_its_losses(
    monkeypatch: pytest.MonkeyPatch, tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    # What GPUs older than Ampere train in; no setting asks for it on a CPU.
    monkeypatch.setattr(
        "napari_impartial.core.training.trainer.resolve_precision",
        lambda name, device: torch.float16,
    )
    args = ([tiny_tissue.image], [tiny_scribbles], SMALL, QUICK, None)
    trainer = Trainer(*args)
    assert trainer.scaler.is_enabled()
    before = {name: w.clone() for name, w in trainer.network.named_parameters()}
    for _ in range(6):
        trainer.step()
    moved = [not torch.equal(w, before[name]) for name, w in trainer.network.named_parameters()]
    assert any(moved)
    assert all(bool(torch.isfinite(w).all()) for w in trainer.network.parameters())
    trainer.validate()
    assert "float16" in trainer.result().card.device


def test_no_library_is_loaded_while_the_clock_runs(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    # torch's optimizers load their compiler, which takes seconds, when first used
    code = (
        "import sys, numpy as np\n"
        "from napari_impartial.core import config\n"
        "from napari_impartial.core.data import synthetic_tissue\n"
        "from napari_impartial.core.training.fit import fit\n"
        "before = {m.split('.')[0] + '.' + (m + '.').split('.')[1] for m in sys.modules}\n"
        "made = synthetic_tissue.tissue((64, 64), 1)\n"
        "settings = config.TrainingConfig(max_steps=2, patch_size=32)\n"
        "network = config.ModelConfig(base_features=4, depth=1)\n"
        "list(fit([made.image], [made.scribbles(0.5)], network, settings))\n"
        "after = {m.split('.')[0] + '.' + (m + '.').split('.')[1] for m in sys.modules}\n"
        "print(sorted(m for m in after - before if m.startswith(('torch.', 'scipy.', 'skimage.'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.usefixtures("every_step")
def test_reports_count_up_to_the_budget(tiny_tissue: Tissue, tiny_scribbles: Scribbles) -> None:
    seen, model = run(fit([tiny_tissue.image], [tiny_scribbles], SMALL, QUICK))
    assert [p.step for p in seen] == list(range(1, 13))
    assert [p.fraction for p in seen] == pytest.approx([i / 12 for i in range(1, 13)])
    assert all(a.elapsed_s <= b.elapsed_s for a, b in itertools.pairwise(seen))
    assert model.card.steps == 12
    assert model.card.history[-1]["step"] == 12
    assert model.card.channel_names == tiny_tissue.image.channel_names


@pytest.mark.usefixtures("every_step")
def test_stop_returns_what_was_learned(tiny_tissue: Tissue, tiny_scribbles: Scribbles) -> None:
    seen, model = run(fit([tiny_tissue.image], [tiny_scribbles], SMALL, QUICK), {3: Stop()})
    assert len(seen) == 4
    assert model.card.steps == 4
    start = Trainer([tiny_tissue.image], [tiny_scribbles], SMALL, QUICK, None).average.network
    moved = [
        not torch.equal(w, model.weights[name])
        for name, w in start.state_dict().items()
        if name.endswith("weight")
    ]
    assert all(moved)


@pytest.mark.usefixtures("every_step")
def test_a_pause_does_not_count(tiny_tissue: Tissue, tiny_scribbles: Scribbles) -> None:
    running = fit([tiny_tissue.image], [tiny_scribbles], SMALL, QUICK)
    before, started = next(running).elapsed_s, time.perf_counter()
    time.sleep(1.0)
    after, passed = next(running).elapsed_s, time.perf_counter() - started
    running.close()
    # however long the step between them took
    assert passed - (after - before) > 0.9


@pytest.mark.usefixtures("every_step")
def test_rests_bring_a_new_field_that_training_has_no_time_for(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    running = fit([tiny_tissue.image], [tiny_scribbles], SMALL, replace(QUICK, max_steps=1000))
    assert next(running).preview_wait_s == np.inf, "nothing was asked for"
    asked = running.send(Preview(0, (0, 0, 96, 96), new_field=True))
    while asked.preview_wait_s == np.inf and asked.preview is None:
        asked = next(running)
    assert asked.preview is None
    assert asked.preview_wait_s > 0
    for _ in range(5):
        # The first steps, by which looks are priced, take unlike times: it may need some more.
        time.sleep(asked.preview_wait_s)
        asked = next(running)
        if asked.preview is not None:
            break
    assert asked.preview is not None
    assert next(running).preview_wait_s == np.inf, "it is there"
    again = running.send(Preview(0, (0, 0, 96, 96)))
    assert again.preview_wait_s == np.inf, "no rest is cut short for the same field"
    running.close()


def test_clock_counts_only_while_it_runs() -> None:
    clock = Clock()
    clock.stop()
    held = clock.seconds()
    time.sleep(0.05)
    assert clock.seconds() == held
    clock.start()
    time.sleep(0.05)
    assert clock.seconds() >= held + 0.05


def test_time_budget_is_kept(tiny_tissue: Tissue, tiny_scribbles: Scribbles) -> None:
    config = replace(QUICK, max_steps=0, time_budget_s=1.5)
    seen, model = run(fit([tiny_tissue.image], [tiny_scribbles], SMALL, config))
    assert seen[-1].fraction == 1.0
    assert model.card.seconds >= 1.5
    # it ends at the first step after the budget, however long that took
    assert all(progress.elapsed_s < 1.5 for progress in seen[:-1])


@pytest.mark.usefixtures("every_step")
def test_preview_answers_with_the_field_asked_for(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A training of a few steps has no time to spare.
    everything = lambda _, field, *__, **___: Look(field, quick=False)  # noqa: E731
    monkeypatch.setattr(PreviewBudget, "look", everything)
    request = Preview(0, (10, 20, 43, 70), cut=InstanceConfig(min_size_px=0))
    seen, _ = run(fit([tiny_tissue.image], [tiny_scribbles], SMALL, QUICK), {2: request})
    answered = [p for p in seen if p.preview is not None]
    assert [p.step for p in answered] == [3], "before the next step"
    preview = answered[0].preview
    assert preview is not None
    assert preview.request == request
    assert preview.prediction.probability.shape == (2, 33, 50)
    np.testing.assert_allclose(preview.prediction.probability.sum(0), 1.0, atol=1e-5)
    drawn = find_strokes(tiny_scribbles.labels[10:43, 20:70])
    cut = to_instances(preview.prediction, InstanceConfig(min_size_px=0), drawn)
    np.testing.assert_array_equal(preview.instances, cut)


@pytest.mark.usefixtures("every_step")
def test_a_preview_that_there_is_no_time_for_waits_until_there_is(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles, monkeypatch: pytest.MonkeyPatch
) -> None:
    there_is_time: list[Look | None] = [None] * 4 + [Look((40, 40, 50, 50), quick=True)]
    monkeypatch.setattr(PreviewBudget, "look", lambda *_, **__: there_is_time.pop(0))
    first, second = Preview(0, (0, 0, 90, 90)), Preview(0, (0, 0, 80, 90))
    arguments = ([tiny_tissue.image], [tiny_scribbles], SMALL, QUICK)
    seen, _ = run(fit(*arguments), {2: first, 4: second})
    answered = [p for p in seen if p.preview]
    assert [p.step for p in answered] == [5], "no step comes straight after a wish"
    assert answered[0].preview.request == second, "the last wish counts"
    assert answered[0].preview.box == (40, 40, 50, 50)
    assert answered[0].preview.prediction.n_samples == 0, "a quick look"
    assert seen[2].preview_s == 0 < answered[0].preview_s
    # Whatever time there is.
    whole = replace(first, within_share=False)
    seen, _ = run(fit(*arguments), {2: whole})
    assert [p.preview.box for p in seen if p.preview] == [(0, 0, 90, 90)]


def test_a_quick_look_is_one_pass_with_statistics_that_are_recent_enough(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs: list[PredictionConfig] = []

    def noted(network: Any, field: Any, config: PredictionConfig) -> Any:
        configs.append(config)
        return predict_normalized(network, field, config)

    monkeypatch.setattr(core_previewer, "predict_normalized", noted)
    trainer = Trainer([tiny_tissue.image], [tiny_scribbles], SMALL, QUICK, None)
    previewer = Previewer(trainer)
    quick = Preview(0, (0, 0, 96, 96), quick=True, within_share=False)

    def shown(request: Preview) -> Any:
        previewer.ask(request)
        answer = previewer.answer()
        assert answer is not None
        return answer.prediction

    trainer.step()
    assert shown(quick).n_samples == 0
    assert not configs[-1].second_opinion
    assert not shown(quick).mutual_information.any()
    assert trainer.calibrated_at == 1
    trainer.step()
    shown(quick)
    assert trainer.calibrated_at == 2, "a young network changes quickly"
    while trainer.steps < 20:
        trainer.step()
    shown(quick)
    while trainer.steps < 26:
        trainer.step()
        shown(quick)
    assert trainer.calibrated_at == 20, "one of a fifth of the steps ago will do"
    full = replace(quick, quick=False)
    assert shown(full).n_samples == full.samples
    assert configs[-1].second_opinion
    trainer.second_opinion = False
    shown(full)
    assert not configs[-1].second_opinion, "which strokes contradict"
    assert trainer.calibrated_at == 26
    one_pass = PredictionConfig(samples=0, second_opinion=False)
    expected = predict_normalized(trainer.average.network, trainer.normalized[0], one_pass)
    np.testing.assert_allclose(shown(quick).foreground, expected.foreground, atol=1e-6)


def test_new_statistics_are_paid_for_and_make_no_later_quick_look_dear(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    trainer = Trainer([tiny_tissue.image], [tiny_scribbles], SMALL, QUICK, None)
    trainer.step()
    previewer = Previewer(trainer)
    trainer.calibrate = lambda _: time.sleep(1.0)  # type: ignore[method-assign]
    for quick in (True, False):
        spent_s, step_s = previewer.budget.spent_s, trainer.step_s()
        previewer.ask(Preview(0, (0, 0, 96, 96), quick=quick, within_share=False))
        assert previewer.answer() is not None
        assert previewer.budget.spent_s - spent_s > 1.0
        # Full looks always need them.
        foretold_s = previewer.budget.cost_s(96 * 96, step_s, quick)
        assert (foretold_s > 1.0) == (not quick), foretold_s


def test_a_box_is_predicted_as_the_whole_image_would_be_there(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    trainer = Trainer([tiny_tissue.image], [tiny_scribbles], SMALL, QUICK, None)
    trainer.step()
    previewer = Previewer(trainer)

    def shown(*box: int) -> np.ndarray:
        previewer.ask(Preview(0, box, within_share=False))  # type: ignore[arg-type]
        answer = previewer.answer()
        assert answer is not None
        return answer.prediction.foreground

    whole, middle = shown(0, 0, 96, 96), shown(16, 16, 80, 80)
    wrong = np.abs(middle - whole[16:80, 16:80])
    # Without what lies around it, its edge would be wrong by several times that.
    assert wrong[:4].mean() < 0.02
    assert wrong.mean() < 0.01


@pytest.mark.usefixtures("every_step")
def test_an_image_without_strokes_can_be_looked_at_while_another_is_learned_from(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    names = tiny_tissue.image.channel_names
    other = Image(tiny_tissue.image.channels[:, ::-1, :64].copy(), names, "other")
    look = Preview(-1, (0, 0, 96, 64), within_share=False)
    unlike = Image(other.channels[:1], names[:1], "unlike")
    arguments = ([tiny_tissue.image], [tiny_scribbles], SMALL, QUICK)
    seen, model = run(
        fit(*arguments),
        {0: look, 1: GuestImage(-1, unlike), 2: look, 3: GuestImage(-1, other), 4: look},
    )
    answered = [p for p in seen if p.preview]
    assert [p.step for p in answered] == [2], "nothing can be said of what is not there"
    assert answered[0].preview.prediction.probability.shape == (2, 96, 64)
    assert answered[0].preview_s > 0
    _, alone = run(fit(*arguments))
    for name, weights in alone.weights.items():
        assert torch.equal(weights, model.weights[name]), "it is not learned from"


@pytest.mark.usefixtures("every_step")
def test_whoever_looks_round_all_the_time_does_not_keep_training_from_its_work(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PreviewBudget, "look", lambda *_, **__: None)
    look = Preview(0, (0, 0, 96, 96))
    commands: dict[int, Any] = dict.fromkeys(range(200), look)
    seen, _ = run(fit([tiny_tissue.image], [tiny_scribbles], SMALL, QUICK), commands)
    steps = [p.step for p in seen]
    assert steps[:9] == [1, 1, 1, 1, 2, 2, 2, 2, 3]
    assert steps[-1] == QUICK.max_steps


@pytest.mark.usefixtures("every_step")
def test_where_training_rests_no_command_brings_a_step_before_the_longest_rest_is_over(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PreviewBudget, "look", lambda *_, **__: None)
    monkeypatch.setattr("napari_impartial.core.training.fit.LONGEST_REST_S", 1.5)
    running = fit([tiny_tissue.image], [tiny_scribbles], SMALL, QUICK)
    assert next(running).step == 1
    rests = []
    for step in (1, 2):
        rests.append(0)
        for command in itertools.cycle(
            (Preview(0, (0, 0, 96, 96)), NewScribbles([tiny_scribbles]))
        ):
            time.sleep(0.06)
            rests[-1] += 1
            if running.send(command).step > step:
                break
    running.close()
    assert min(rests) > 5, "more than follow each other without rests"
    assert max(rests) <= 26


@pytest.mark.usefixtures("every_step")
def test_looks_that_are_answered_bring_a_step_once_the_longest_rest_is_over(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_impartial.core.training.fit.LONGEST_REST_S", 0.5)
    running = fit([tiny_tissue.image], [tiny_scribbles], SMALL, QUICK)
    look = Preview(0, (0, 0, 96, 96), quick=True, within_share=False)
    seen = [next(running)]
    end = time.perf_counter() + 10
    while seen[-1].step == 1 and time.perf_counter() < end:
        time.sleep(0.06)
        seen.append(running.send(look))
    running.close()
    assert seen[-1].step == 2
    assert all(p.preview is not None for p in seen[1:])
    assert len(seen) > 2


@pytest.mark.usefixtures("every_step")
def test_a_wish_that_is_withdrawn_is_not_answered(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles, monkeypatch: pytest.MonkeyPatch
) -> None:
    there_is_time: list[Look | None] = [None, Look((0, 0, 96, 96), quick=True)]
    monkeypatch.setattr(PreviewBudget, "look", lambda *_, **__: there_is_time.pop(0))
    commands = {2: Preview(0, (0, 0, 96, 96)), 3: NoPreview()}
    seen, _ = run(fit([tiny_tissue.image], [tiny_scribbles], SMALL, QUICK), commands)
    assert all(p.preview is None for p in seen)
    assert len(there_is_time) == 1


def test_a_wish_ends_with_the_image_that_it_is_of(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    image = tiny_tissue.image
    previewer = Previewer(Trainer([image], [tiny_scribbles], SMALL, QUICK, None))
    look = Preview(-1, (0, 0, 96, 96), within_share=False)
    for wish, guest, expected in ((-1, 1, True), (-1, 2, False), (-2, 2, True), (0, 2, True)):
        previewer.set_guest(GuestImage(-1, image))
        previewer.ask(replace(look, image_index=-1))
        previewer.set_guest(GuestImage(-guest, image))
        if wish != -1:
            previewer.ask(replace(look, image_index=wish))
        assert (previewer.answer() is not None) == expected, (wish, guest)
    previewer.ask(replace(look, image_index=1))
    assert previewer.answer() is None, "there is no such image in training"


@pytest.mark.usefixtures("every_step")
def test_new_strokes_join_the_running_training(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    trainer = Trainer([tiny_tissue.image], [tiny_scribbles], SMALL, QUICK, None)
    more = tiny_scribbles.labels.copy()
    more[:20] = 1
    trainer.set_scribbles([Scribbles(more)])
    assert (trainer.sampler.train_labels[0][:20, :96] == 1).all()
    third = more.copy()
    third[30:40] = 3
    # What cannot be learned from is left aside, and the training survives it.
    for useless in (third, np.where(more == 1, 0, more), np.zeros_like(more)):
        trainer.set_scribbles([Scribbles(useless.astype(np.uint8))])
        assert (trainer.sampler.train_labels[0][:20, :96] == 1).all()
    command = {1: NewScribbles([Scribbles(more)])}
    seen, _ = run(fit([tiny_tissue.image], [tiny_scribbles], SMALL, QUICK), command)
    assert seen[-1].step == 12


@pytest.mark.usefixtures("every_step")
def test_images_join_the_running_training_with_their_strokes(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    image, blank = tiny_tissue.image, Scribbles(np.zeros_like(tiny_scribbles.labels))
    trainer = Trainer([image], [tiny_scribbles], SMALL, QUICK, None)
    trainer.set_scribbles([tiny_scribbles, tiny_scribbles], [image])
    kept = torch.from_numpy(fill_closed(tiny_scribbles.labels))
    for labels in trainer.sampler.train_labels:
        assert torch.equal(labels[:96, :96], kept)
    # Strokes that cannot be learned from: the image comes along all the same, blank.
    trainer.set_scribbles([blank, blank, blank], [image])
    assert [bool(labels.any()) for labels in trainer.sampler.train_labels] == [True, True, False]
    trainer.set_scribbles([tiny_scribbles] * 3)
    assert trainer.sampler.train_labels[2].any()
    trainer.step()
    with pytest.raises(ImPartialError, match="the same channels"):
        trainer.set_scribbles([tiny_scribbles] * 4, [image.select([0])])
    commands = {
        1: NewScribbles([tiny_scribbles, tiny_scribbles], [image]),
        2: Preview(1, (0, 0, 48, 48), within_share=False),
    }
    seen, _ = run(fit([image], [tiny_scribbles], SMALL, QUICK), commands)
    assert any(p.preview is not None for p in seen)


def test_it_goes_on_from_a_model(tiny_tissue: Tissue, tiny_scribbles: Scribbles) -> None:
    images, scribbles = [tiny_tissue.image], [tiny_scribbles]
    first = api.train(images, scribbles, replace(QUICK, max_steps=60), SMALL)
    second = api.train(images, scribbles, replace(QUICK, max_steps=3), init=first)
    assert (second.card.rounds, second.card.steps) == (2, 63)
    assert len(second.card.history) > len(first.card.history)
    fresh = api.train(images, scribbles, replace(QUICK, max_steps=3), SMALL)
    continued = second.card.history[-1]["training"]["scribble"]
    assert continued < fresh.card.history[-1]["training"]["scribble"]


def test_names_that_a_reader_made_up_do_not_take_the_place_of_a_models(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    image, scribbles = tiny_tissue.image, [tiny_scribbles]
    first = api.train([image], scribbles, replace(QUICK, max_steps=1), SMALL)
    for names, kept in (
        (("channel 1", "channel 2"), image.channel_names),
        (("DAPI", "CD8"), ("DAPI", "CD8")),
    ):
        renamed = replace(image, channel_names=names)
        trainer = Trainer([renamed], scribbles, SMALL, QUICK, first)
        assert trainer.result().card.channel_names == kept
        # an image of the same source is looked at all the same
        previewer = Previewer(trainer)
        previewer.set_guest(GuestImage(-1, renamed))
        previewer.ask(Preview(-1, (0, 0, 96, 96), within_share=False))
        assert previewer.answer() is not None


def test_the_best_weights_are_kept_not_the_last(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    trainer = Trainer([tiny_tissue.image], [tiny_scribbles], SMALL, QUICK, None)
    everything = np.ones((96, 96), bool)
    trainer.sampler.held_out = [everything]
    trainer.sampler.set_scribbles([tiny_scribbles])
    trainer.step()
    trainer.validate()
    assert trainer.best is not None
    best = trainer.best[0]
    for parameter in trainer.average.network.parameters():
        parameter.data.normal_(std=3.0)
    trainer.validate()
    assert trainer.validation is not None
    assert trainer.validation.total > best
    assert trainer.result().card.best_validation_loss == best


def test_slightly_worse_last_weights_are_preferred_to_a_lucky_best(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    trainer = Trainer([tiny_tissue.image], [tiny_scribbles], SMALL, QUICK, None)
    trainer.sampler.held_out = [np.ones((96, 96), bool)]
    trainer.sampler.set_scribbles([tiny_scribbles])
    trainer.step()
    trainer.validate()
    assert trainer.validation is not None
    old = {name: torch.zeros_like(w) for name, w in trainer.average.network.state_dict().items()}
    last = trainer.validation.total
    trainer.best = (last / 1.2, 1, old)
    assert trainer.result().card.best_validation_loss == last
    trainer.config = replace(QUICK, schedule="exponential")
    assert trainer.result().card.best_validation_loss == last / 1.2


def test_earlier_weights_are_handed_out_with_statistics_as_good_as_the_lasts(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    config = replace(QUICK, schedule="exponential")
    trainer = Trainer([tiny_tissue.image], [tiny_scribbles], SMALL, config, None)
    trainer.sampler.held_out = [np.ones((96, 96), bool)]
    trainer.sampler.set_scribbles([tiny_scribbles])
    trainer.step()
    trainer.validate()
    assert trainer.best is not None
    trainer.best = (0.0, *trainer.best[1:])
    earlier = trainer.best[2]
    trainer.step()
    trainer.validate()
    kept = trainer.result().weights
    for name, before in earlier.items():
        # A look in passing takes statistics from fewer patches.
        of_pixels = "running_" in name or "batches_tracked" in name
        assert torch.equal(kept[name], before) is not of_pixels, name


@pytest.mark.parametrize(("schedule", "ends"), [("exponential", True), ("budget", False)])
def test_the_papers_schedule_stops_when_the_held_out_loss_does_not_fall(
    schedule: str, ends: bool, tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    config = replace(QUICK, schedule=schedule, max_steps=1000)
    trainer = Trainer([tiny_tissue.image], [tiny_scribbles], SMALL, config, None)
    trainer.sampler.held_out = [np.ones((96, 96), bool)]
    trainer.sampler.set_scribbles([tiny_scribbles])
    trainer.step()
    trainer.validate()
    assert not trainer.finished()
    assert trainer.best is not None
    trainer.best = (0.0, *trainer.best[1:])
    for _ in range(3):
        trainer.validate()
    assert not trainer.finished()
    trainer.validate()
    assert trainer.finished() is ends


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patch_size": 18}, "multiple of 4"),
        ({"objective": "reconstruction", "reconstruction_weight": 0.0}, "no weight"),
    ],
)
def test_settings_that_do_not_go_together(
    change: dict[str, Any], message: str, tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    with pytest.raises(ImPartialError, match=message):
        next(fit([tiny_tissue.image], [tiny_scribbles], SMALL, replace(QUICK, **change)))


def test_patches_may_be_as_small_as_the_network_halves_them(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    deep = ModelConfig(base_features=4, depth=4)
    # 16 and 48 patches, of which statistics are taken, leave one over, in batches of 5 and 47.
    for batch_size in (5, 47):
        small = replace(QUICK, patch_size=16, batch_size=batch_size, max_steps=2)
        _, model = run(fit([tiny_tissue.image], [tiny_scribbles], deep, small))
        assert model.card.steps == 2
    alone = replace(QUICK, patch_size=16, batch_size=1)
    with pytest.raises(ImPartialError, match="single value"):
        next(fit([tiny_tissue.image], [tiny_scribbles], deep, alone))


@pytest.mark.parametrize("objective", ["joint", "scribble", "reconstruction"])
def test_objectives_learn_from_their_parts_only(
    objective: str, tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    config = replace(QUICK, objective=objective, max_steps=2)
    seen, _ = run(fit([tiny_tissue.image], [tiny_scribbles], SMALL, config))
    losses = seen[-1].training
    assert (losses.scribble > 0) == (objective != "reconstruction")
    assert (losses.reconstruction > 0) == (objective != "scribble")
    assert (losses.edges > 0) == (objective == "joint")


def test_loss_is_the_weighted_sum_of_its_parts(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    config = replace(
        QUICK, total_variation_weight=0.7, edge_weight=0.5, precision="float32", max_steps=1
    )
    seen, _ = run(fit([tiny_tissue.image], [tiny_scribbles], SMALL, config))
    parts = seen[-1].training
    expected = (
        config.scribble_weight * parts.scribble
        + config.reconstruction_weight * parts.reconstruction
        + 0.7 * parts.total_variation
        + 0.5 * parts.edges
    )
    assert 0 < parts.edges < 1
    assert parts.total == pytest.approx(expected, rel=1e-5)


def test_learning_rate_warms_up_and_falls_to_nothing(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    trainer = Trainer(
        [tiny_tissue.image], [tiny_scribbles], SMALL, replace(QUICK, max_steps=1000), None
    )
    rates = []
    for step in (0, 25, 50, 525, 1000):
        trainer.steps = step
        rates.append(trainer.learning_rate() / QUICK.learning_rate)
    assert rates == pytest.approx([0.05, 0.5, 1.0, 0.5, 0.001], abs=1e-3)


def test_the_papers_schedule(tiny_tissue: Tissue, tiny_scribbles: Scribbles) -> None:
    config = replace(get_preset("paper").training, patch_size=32, max_steps=1000)
    trainer = Trainer([tiny_tissue.image], [tiny_scribbles], SMALL, config, None)
    assert type(trainer.optimizer) is torch.optim.Adam
    # 200 epochs, of 5 steps each, whatever the budget
    for step, decays in ((0, 0), (9, 0), (10, 1), (25, 2), (999, 99), (1000, 99)):
        trainer.steps = step
        assert trainer.learning_rate() == pytest.approx(5e-4 * 0.96**decays)
    assert trainer.learning_rate() / 5e-4 == pytest.approx(0.017, abs=1e-3)


def test_the_papers_preset_trains_and_its_model_keeps_how_it_predicts(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    paper = get_preset("paper")
    network = replace(paper.model, base_features=4)
    config = replace(paper.training, patch_size=32, batch_size=4, max_steps=2)
    _, model = run(fit([tiny_tissue.image], [tiny_scribbles], network, config))
    assert (model.card.prediction, model.card.instances) == (paper.prediction, paper.instances)
    kept = ModelCard.from_json(model.card.to_json())
    assert kept == model.card
    found = predict(tiny_tissue.image, TrainedModel(kept, model.weights))
    assert found.n_samples == 3
    assert found.mutual_information.max() > 0
    wanted = predict(tiny_tissue.image, model, paper.prediction)
    np.testing.assert_array_equal(found.probability, wanted.probability)


@pytest.mark.parametrize("channels", [1, 5, 100])
def test_any_number_of_channels_and_classes(channels: int) -> None:
    rng = np.random.default_rng(0)
    image = Image(
        rng.normal(size=(channels, 40, 40)).astype(np.float32),
        tuple(f"c{i}" for i in range(channels)),
    )
    labels = np.zeros((40, 40), np.uint8)
    labels[5], labels[15], labels[25] = 1, 2, 3
    model = api.train([image], [Scribbles(labels)], replace(QUICK, max_steps=2), SMALL)
    assert model.card.class_names == ("background", "Cell", "Cell 2")
    assert api.predict(image, model).probability.shape == (3, 40, 40)


def test_input_that_cannot_be_learned_from(tiny_tissue: Tissue, tiny_scribbles: Scribbles) -> None:
    image = tiny_tissue.image
    one_class = Scribbles(np.where(tiny_scribbles.labels == 1, 1, 0).astype(np.uint8))
    small = Scribbles(tiny_scribbles.labels[:-1])
    cases: list[tuple[list[Image], list[Scribbles], str]] = [
        ([], [], "no image"),
        ([image], [], "scribble layer"),
        ([image], [small], "same size"),
        ([image], [one_class], "background"),
        ([image, image.select([0])], [tiny_scribbles] * 2, "same channels"),
    ]
    for images, scribbles, message in cases:
        with pytest.raises(ImPartialError, match=message):
            next(fit(images, scribbles, SMALL, QUICK))


def test_a_model_of_other_channels_cannot_be_continued(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    image = tiny_tissue.image
    model = api.train([image], [tiny_scribbles], replace(QUICK, max_steps=1), SMALL)
    with pytest.raises(ImPartialError, match="2 channel"):
        next(fit([image.select([0])], [tiny_scribbles], training=QUICK, init=model))


def test_statistics_are_frozen_half_way_and_handed_out(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    trainer = Trainer([tiny_tissue.image], [tiny_scribbles], SMALL, QUICK, None)
    networks = [network for network, _ in trainer.gradients._parts]

    def statistics(network: UNet) -> list[torch.Tensor]:
        return [buffer.clone() for buffer in network.buffers()]

    while trainer.steps < 6:
        trainer.step()
        assert not trainer.frozen
        assert all(layer.training for layer in trainer.network.normalizations())
    trainer.step()
    assert trainer.frozen
    frozen = statistics(trainer.network)
    while not trainer.finished():
        trainer.step()
    trainer.calibrate(16)
    for network in (*networks, trainer.average.network):
        for now, then in zip(statistics(network), frozen, strict=True):
            assert torch.equal(now, then)
    assert all(not layer.training for network in networks for layer in network.normalizations())
    assert all(layer.training for network in networks for layer in network.dropouts())
    model = trainer.result()
    names = [name for name, _ in trainer.network.named_buffers()]
    for name, then in zip(names, frozen, strict=True):
        assert torch.equal(model.weights[name], then)


def test_what_was_best_before_statistics_were_frozen_does_not_count(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    trainer = Trainer([tiny_tissue.image], [tiny_scribbles], SMALL, QUICK, None)
    trainer.best = (0.0, 1, trainer.average.weights())
    for _ in range(7):
        assert trainer.best is not None
        trainer.step()
    assert trainer.best is None


def test_without_normalization_nothing_is_frozen(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    plain = replace(SMALL, norm="none")
    trainer = Trainer([tiny_tissue.image], [tiny_scribbles], plain, QUICK, None)
    best = trainer.best = (0.0, 1, trainer.average.weights())
    while not trainer.finished():
        trainer.step()
    assert trainer.best is best


@pytest.mark.parametrize("objective", ["joint", "reconstruction"])
def test_statistics_need_not_be_frozen(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles, objective: str
) -> None:
    never = replace(QUICK, freeze_norm_at=1.0, objective=objective)
    trainer = Trainer([tiny_tissue.image], [tiny_scribbles], SMALL, never, None)
    while not trainer.finished():
        trainer.step()
    assert not trainer.frozen
    assert all(layer.training for layer in trainer.network.normalizations())


def test_continuing_goes_on_heeding_or_not_until_it_knows(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    made = api.train([tiny_tissue.image], [tiny_scribbles], QUICK, SMALL)
    deaf = TrainedModel(replace(made.card, second_opinion=False), made.weights)
    trainer = Trainer([tiny_tissue.image], [tiny_scribbles], SMALL, QUICK, deaf)
    assert not trainer.second_opinion


def _two_kinds(scribbles: Scribbles) -> Scribbles:
    labels = scribbles.labels.copy()
    half = labels[:, labels.shape[1] // 2 :]
    half[half == 2] = 3
    return Scribbles(labels)


def test_kinds_of_cell_have_the_names_that_they_are_given(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    painted = [_two_kinds(tiny_scribbles)]
    images = [tiny_tissue.image]
    model = api.train(images, painted, QUICK, SMALL, class_names=("Tumour", " T  cell "))
    assert model.card.class_names == ("background", "Tumour", "T cell")
    further = api.train(images, painted, QUICK, init=model)
    assert further.card.class_names == model.card.class_names
    other = api.train(images, painted, QUICK, init=model, class_names=("", "B cell"))
    assert other.card.class_names == ("background", "Tumour", "B cell")
    some = api.train(images, painted, QUICK, init=model, class_names=("Neuron",))
    assert some.card.class_names == ("background", "Neuron", "T cell")


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (("a", "b", "c"), "3 kinds of cell are named .* but 2 are painted"),
        (("a", "a"), "Two classes are called 'a'"),
        (("a", "A"), "Two classes are called 'A'"),
        (("Cell 2",), "Two classes are called 'Cell 2'"),
        (("background",), "Two classes are called 'background'"),
        (("-ve",), "begin with a letter or a digit"),
        (("=1+1",), "begin with a letter or a digit"),
        (("n" * 41,), "40 characters at most"),
    ],
)
def test_names_that_do_not_fit_are_refused_before_training(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles, names: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(ImPartialError, match=complaint):
        api.train(
            [tiny_tissue.image], [_two_kinds(tiny_scribbles)], QUICK, SMALL, class_names=names
        )


def _walled(side: int = 128) -> tuple[Image, npt.NDArray[np.bool_], npt.NDArray[np.uint8]]:
    """Cells of 24 px between bright walls of 4 px, and short lines in some and on walls."""
    rng = np.random.default_rng(5)
    wall = np.zeros((side, side), bool)
    for at in range(4, side, 28):
        wall[at : at + 4] = wall[:, at : at + 4] = True
    picture = ndimage.gaussian_filter(np.where(wall, 0.8, 0.3), 0.7)
    picture += rng.normal(0, 0.03, picture.shape)
    labels = np.zeros((side, side), np.uint8)
    labels[20, 14:26] = labels[48, 42:54] = labels[76, 14:26] = labels[104, 70:82] = 2
    labels[33:35, 40:60] = labels[61:63, 12:30] = labels[90:110, 61:63] = 1
    return Image(picture[None].astype(np.float32), ("wall",)), ~wall, labels


def test_outlines_are_drawn_to_edges_of_the_image_where_nothing_is_painted() -> None:
    image, cells, labels = _walled()
    usual = TrainingConfig(max_steps=60, seed=1, precision="float32")
    missed = []
    for config in (usual, replace(usual, edge_weight=0.0)):
        found = predict(image, api.train([image], [Scribbles(labels)], config)).foreground > 0.5
        missed.append((found[4:-4, 4:-4] != cells[4:-4, 4:-4]).mean())
    assert missed[0] < 0.7 * missed[1], missed


def test_outlines_along_what_is_painted_are_not_looked_at(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    trainer = Trainer([tiny_tissue.image], [tiny_scribbles], SMALL, QUICK, None)
    patches = trainer.sampler.sample(trainer.rng)
    edges = []
    for labels in (torch.zeros_like(patches.labels), patches.labels.clamp(min=1)):
        _, parts = trainer.loss(trainer.network, replace(patches, labels=labels), trainer.generator)
        edges.append(Losses(*parts.tolist()).edges)
    assert edges[0] > 0
    assert edges[1] == 0


def test_edges_are_looked_for_in_mixtures_that_strokes_choose(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    on_cpu = replace(QUICK, device="cpu")
    trainer = Trainer([tiny_tissue.image], [tiny_scribbles], SMALL, on_cpu, None)
    patches = trainer.sampler.sample(trainer.rng)
    drawn = torch.from_numpy(fill_closed(tiny_scribbles.labels))
    expected = whitening(trainer.sampler.images, [drawn])
    mixed = torch.einsum("dc,bchw->bdhw", expected, patches.images)
    network = trainer.network.eval()
    plain = replace(on_cpu, reconstruction_weight=0.0)
    loss = replace(trainer.loss, config=plain, precision=torch.float32)
    _, parts = loss(network, patches, trainer.generator)
    p = network.log_probability(network(patches.images)[0]).exp()
    by_hand = edge_loss(p, mixed, patches.labels == 0).item()
    assert Losses(*parts.tolist()).edges == pytest.approx(by_hand, rel=1e-4)
    unmixed = edge_loss(p, patches.images, patches.labels == 0).item()
    assert unmixed != pytest.approx(by_hand, rel=2e-3)


def test_strokes_that_come_while_it_trains_choose_the_mixtures_anew(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    first = tiny_scribbles.labels.copy()
    cells = np.argwhere(first > 1)
    first[tuple(cells[1:].T)] = 0
    trainer = Trainer([tiny_tissue.image], [Scribbles(first)], SMALL, QUICK, None)
    n_channels = len(tiny_tissue.image.channels)
    assert torch.equal(trainer.loss.whitening.cpu(), torch.eye(n_channels))
    trainer.set_scribbles([tiny_scribbles])
    whole = Trainer([tiny_tissue.image], [tiny_scribbles], SMALL, QUICK, None)
    assert torch.equal(trainer.loss.whitening, whole.loss.whitening)
    assert not torch.equal(trainer.loss.whitening.cpu(), torch.eye(n_channels))


def test_the_published_loss_knows_no_edges() -> None:
    assert get_preset("paper").training.edge_weight == 0


def test_what_is_no_list_of_images_is_refused(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    image, drawn = tiny_tissue.image, tiny_scribbles
    for images, scribbles, made in (
        (image, [drawn], "from_array"),
        ([image.channels], [drawn], "from_array"),
        ([image], drawn, "from_labels"),
        ([image], [drawn.labels], "from_labels"),
    ):
        with pytest.raises(ImPartialError, match=made):
            api.train(images, scribbles, QUICK)  # type: ignore[arg-type]


def test_scripts_find_channels_by_name(tiny_tissue: Tissue, tiny_scribbles: Scribbles) -> None:
    pixels = tiny_tissue.image.channels[0]
    one = from_array(np.stack([pixels, pixels.max() - pixels]), "CYX", ("DAPI", "CD3"), "one")
    other = one.select((1, 0))
    assert other.channel_names == ("CD3", "DAPI")
    few = replace(QUICK, max_steps=3)
    same, mixed = (
        api.train([one, second], [tiny_scribbles] * 2, few, SMALL) for second in (one, other)
    )
    same_further, mixed_further = (
        api.train([image], [tiny_scribbles], few, init=same) for image in (one, other)
    )
    for a, b in ((same, mixed), (same_further, mixed_further)):
        assert a.card.channel_names == b.card.channel_names == ("DAPI", "CD3")
        assert all((a.weights[name] == b.weights[name]).all() for name in a.weights)
    np.testing.assert_array_equal(
        api.predict(one, same).probability, api.predict(other, same).probability
    )
    # other names are no other order
    named = replace(one, channel_names=("a", "b"))
    np.testing.assert_array_equal(
        api.predict(named, same).probability, api.predict(one, same).probability
    )


def test_kinds_of_another_order_are_not_renamed(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    labels = tiny_scribbles.labels.copy()
    labels[:, 48:][labels[:, 48:] == 2] = 3
    data = [tiny_tissue.image], [Scribbles(labels)]
    few = replace(QUICK, max_steps=1)
    model = api.train(*data, few, SMALL, class_names=("Tumor", "Immune"))
    with pytest.raises(ImPartialError, match="Label 2 is called immune, which is label 3 in"):
        api.train(*data, few, init=model, class_names=("immune",))
    with pytest.raises(ImPartialError, match="Label 3 is called Tumor"):
        api.train(*data, few, init=model, class_names=("", "Tumor"))
