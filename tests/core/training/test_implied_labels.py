"""What strokes imply: the inside of closed ones, and seams between cells that touch."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_impartial.core.api import train
from napari_impartial.core.config import (
    ModelConfig,
    PredictionConfig,
    TrainingConfig,
    get_preset,
)
from napari_impartial.core.data.image import Image
from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.instances.strokes import find_strokes
from napari_impartial.core.network.losses import scribble_loss
from napari_impartial.core.network.model_card import ModelCard
from napari_impartial.core.prediction.predict import predict
from napari_impartial.core.training import cell_seams
from napari_impartial.core.training.implied_labels import fill_closed, find_seams
from napari_impartial.core.training.patches import SEAM, Patches, PatchSampler
from napari_impartial.core.training.trainer import Trainer


def _two_cells(dip: float = 0.9, gap: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two cells of 20 x 20 px side by side with a line in each; between them the map dips."""
    foreground = np.full((30, 50), 0.01, np.float32)
    foreground[5:25, 5:25] = foreground[5:25, 25 + gap : 45 + gap] = 0.999
    foreground[5:25, 24:26] = dip
    labels = np.zeros(foreground.shape, np.uint8)
    labels[15, 8:20] = labels[15, 30:42] = 2
    return foreground, labels


@pytest.mark.parametrize("transposed", [False, True])
def test_a_seam_lies_where_the_map_is_weakest_between_two_strokes(transposed):
    foreground, labels = _two_cells()
    if transposed:
        foreground, labels = foreground.T, labels.T
    seam = find_seams(foreground, find_strokes(labels))
    seam = seam.T if transposed else seam
    rows, columns = np.nonzero(seam)
    assert set(columns) <= {24, 25}
    assert len(rows) == 2 * len(set(rows)) >= 32  # along nearly all of the side


def test_no_seam_where_the_map_parts_the_cells_or_the_strokes_are_far():
    foreground, labels = _two_cells(dip=0.3)
    assert not find_seams(foreground, find_strokes(labels)).any()
    # Cells of 60 px with lines of 6: what lies between may be cells that nobody annotated.
    foreground = np.full((30, 140), 0.99, np.float32)
    labels = np.zeros(foreground.shape, np.uint8)
    labels[15, 30:36] = labels[15, 100:106] = 2
    assert not find_seams(foreground, find_strokes(labels)).any()
    labels[15, 100:106] = 0
    labels[15, 40:46] = 3  # another class is another cell
    assert find_seams(foreground, find_strokes(labels)).any()


def test_a_seam_is_no_farther_from_a_stroke_than_the_stroke_is_long():
    foreground = np.full((90, 50), 0.999, np.float32)
    foreground[:, 24:26] = 0.9
    labels = np.zeros(foreground.shape, np.uint8)
    labels[45, 8:20] = labels[45, 30:42] = 2
    rows, columns = np.nonzero(find_seams(foreground, find_strokes(labels)))
    ends = np.where(columns < 25, 19, 30)
    assert 10 <= abs(rows - 45).max() <= 12
    assert (np.hypot(rows - 45, columns - ends) <= np.hypot(1, 12)).all()


def test_strokes_are_no_seams_and_background_needs_none():
    foreground, labels = _two_cells()
    labels[:, 24:26] = 1
    assert not find_seams(foreground, find_strokes(labels)).any()
    one = np.where(np.arange(50) < 25, labels, 0).astype(np.uint8)
    assert not find_seams(foreground, find_strokes(one)).any()
    foreground, labels = _two_cells()
    labels[15, 8:25], labels[15, 25:42] = 2, 3  # two kinds of cell whose strokes touch
    seam = find_seams(foreground, find_strokes(labels))
    assert seam[14, 24:26].all()
    assert not seam[15].any()


def test_a_dip_of_a_single_pixel_is_noise_beside_a_wider_one():
    """Smoothed as log-odds, not as probabilities, among which surer pixels would not count."""
    foreground, labels = _two_cells(dip=0.999999)
    foreground[5:25, 5:45] = 0.999999
    foreground[5:25, 22] = 0.95
    foreground[5:25, 26:29] = 0.999
    rows, columns = np.nonzero(find_seams(foreground, find_strokes(labels)))
    assert len(rows) > 30
    assert set(columns) <= {26, 27, 28}


def test_a_stroke_that_a_window_cuts_in_two_is_one():
    labels = np.zeros((40, 60), np.uint8)
    labels[5, 10:50] = labels[25, 10:50] = labels[5:26, 49] = 2  # a hairpin
    labels[35, 10:50] = 3
    strokes = find_strokes(labels)
    part = strokes.within(np.s_[0:40, 5:40])
    assert (part.count, strokes.count) == (2, 2)
    assert part.classes.tolist() == [0, 2, 3]
    assert len(part.windows) == 2
    seam = find_seams(np.full((40, 35), 0.99, np.float32), part)
    assert seam[26:35].any()
    assert not seam[:25].any()
    assert strokes.within(np.s_[0:3, 0:60]).count == 0


def test_where_windows_overlap_the_first_one_says_where_a_seam_is(monkeypatch):
    labels = np.zeros((30, 50), np.uint8)
    labels[15, 8:20] = labels[15, 30:42] = 2
    maps = [_two_cells()[0], np.roll(_two_cells()[0], 3, axis=1)]
    windows = [((0, 0, 0), np.zeros((1, 30, 50), np.float32), labels)] * 2
    monkeypatch.setattr(cell_seams, "annotated_parts", lambda *_: windows)
    monkeypatch.setattr(
        cell_seams, "predict_normalized", lambda *_: SimpleNamespace(foreground=maps.pop(0))
    )
    found = cell_seams.Seams(True)
    found.look(None, [np.zeros((1, 30, 50))], [labels], PredictionConfig(), 0.5)
    assert set(np.nonzero(found.found[0])[1]) <= {24, 25}
    assert not maps


def test_many_holes_are_filled_in_time():
    labels = np.full((1000, 1000), 2, np.uint8)
    labels[2::4, 2::4] = 0  # 62,500 holes
    labels[2::8, 2::8] = 1
    began = time.monotonic()
    filled = fill_closed(labels)
    assert time.monotonic() - began < 20, "hours, one by one"
    assert (filled[labels == 1] == 1).all()
    assert (filled == 0).sum() == 0


def test_maps_of_zeros_and_ones_have_seams_too():
    foreground, labels = _two_cells(dip=1.0)
    sure = (foreground > 0.5).astype(np.float32)
    assert find_seams(sure, find_strokes(labels))[:, 20:30].any()
    # and where they dip, the dip is found
    sure[5:25, 24:26] = 0.9
    labels[15, 27:30] = 2  # the middle between the strokes is elsewhere
    assert set(np.nonzero(find_seams(sure, find_strokes(labels)))[1]) == {24, 25}


def test_seams_are_learned_where_no_stroke_is_and_none_is_held_out():
    labels = np.zeros((64, 64), np.uint8)
    labels[10, 10:20], labels[30, 10:20] = 1, 2
    config = replace(TrainingConfig(), patch_size=32, validation_fraction=0.0)
    sampler = PatchSampler([torch.zeros(1, 64, 64)], [Scribbles(labels)], config)
    sampler.held_out[0][:, 40:] = True
    sampler.set_seams([np.ones((64, 64), bool)])
    learned = sampler.train_labels[0].numpy()
    assert (learned[labels > 0] == labels[labels > 0]).all()
    assert (learned[:, :40][labels[:, :40] == 0] == SEAM).all()
    assert not learned[:, 40:].any()
    # New strokes forget them.
    sampler.set_scribbles([Scribbles(labels)])
    assert (sampler.train_labels[0].numpy() == labels).all()


@pytest.mark.parametrize("balanced_over_batch", [False, True])
def test_a_pixel_of_a_seam_counts_by_its_weight(balanced_over_batch):
    log_p = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0)).log_softmax(1)
    labels = torch.zeros(1, 4, 4, dtype=torch.int64)
    labels[0, 0, 0] = labels[0, 0, 1] = 1
    weight = torch.ones(1, 4, 4)
    weight[0, 0, 1] = 0.25
    counts = torch.tensor([2, 0]) if balanced_over_batch else None
    expected = -(log_p[0, 0, 0, 0] + 0.25 * log_p[0, 0, 0, 1]) / 2 / 2
    assert torch.allclose(scribble_loss(log_p, labels, counts, weight), expected)


@pytest.mark.parametrize("balance", ["patch", "batch"])
@pytest.mark.parametrize(("nuclei", "share"), [("", 0.1), ("a", 0.3)])
def test_in_training_a_seam_counts_a_share_of_painted_background(balance, nuclei, share):
    image, _, labels = _abutting()
    config = TrainingConfig(
        max_steps=2,
        warm_start=False,
        objective="scribble",
        class_balance=balance,
        nuclear_channel=nuclei,
    )
    trainer = Trainer([image], [Scribbles(labels)], ModelConfig(8, 2), config, None)
    network, at = trainer.average.network, torch.zeros(1, 32, 32, dtype=torch.int64)
    network.eval()
    pictures = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    painted, seam = at.clone(), at.clone()
    painted[0, 4:9, 7:20], seam[0, 4:9, 7:20] = 1, SEAM
    losses = []
    for drawn in (painted, seam):
        patches = Patches(pictures, drawn, drawn)
        _, parts = trainer.loss(network, patches, torch.Generator().manual_seed(0))
        losses.append(float(parts[1]))
    assert losses[0] > 0.1
    assert losses[1] == pytest.approx(share * losses[0], rel=1e-4)


def _abutting(side: int = 128) -> tuple[Image, np.ndarray, np.ndarray]:
    """Squares of 16 px without a gap, whose borders are a little darker, and lines in some."""
    rng = np.random.default_rng(3)
    picture = np.full((side, side), 0.2, np.float32)
    truth = np.zeros((side, side), np.int32)
    for row in range(1, side // 16 - 1):
        for column in range(1, side // 16 - 1):
            inside = np.s_[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16]
            truth[inside] = truth.max() + 1
            picture[inside] = 0.8
            picture[inside][[0, -1]] = 0.72
            picture[inside][:, [0, -1]] = 0.72
    picture += rng.normal(0, 0.02, picture.shape).astype(np.float32)
    labels = np.zeros((side, side), np.uint8)
    for number in (1, 2, 7, 8, 9, 22, 23, 29):
        y, x = ndimage.center_of_mass(truth == number)
        labels[int(y), int(x) - 4 : int(x) + 5] = 2
    labels[6, 20:100] = labels[20:100, 6] = 1
    return Image(ndimage.gaussian_filter(picture, 0.7)[None], ("a",)), truth, labels


def test_cells_that_touch_are_parted_by_strokes_in_them_alone():
    image, truth, labels = _abutting()
    border = (ndimage.maximum_filter(truth, 3) != ndimage.minimum_filter(truth, 3)) & (truth > 0)
    border &= ndimage.minimum_filter(truth, 5) > 0  # not the outline of all
    inside = (truth > 0) & (ndimage.minimum_filter(truth, 9) == ndimage.maximum_filter(truth, 9))
    seen, models = {}, []
    for implied in (False, True):
        # (Borders as faint as these are no edges: that they cost something is another matter.)
        config = TrainingConfig(max_steps=60, seed=1, implied_labels=implied, edge_weight=0.0)
        model = train([image], [Scribbles(labels)], config)
        seen[implied] = predict(image, model).foreground
        models.append(model)
    without, with_seams = seen.values()
    assert np.median(with_seams[inside]) > 0.8
    assert np.median(without[border]) > 0.5
    assert np.median(with_seams[border]) < np.median(without[border]) - 0.2
    # The card says which; those of before this setting learned from what was painted alone.
    card = json.loads(models[1].card.to_json())
    assert card["training"].pop("implied_labels") is True
    card["training"]["edge_weight"] = 0.3
    assert ModelCard.from_json(json.dumps(card)).training.edge_weight == 0.3
    del card["training"]["edge_weight"]
    old = ModelCard.from_json(json.dumps(card)).training
    assert (old.implied_labels, old.edge_weight) == (False, 0.0)


def test_the_published_training_knows_what_is_painted_alone():
    assert get_preset("paper").training.implied_labels is False


def test_seams_are_looked_for_at_half_of_the_budget_and_when_strokes_have_changed(monkeypatch):
    monkeypatch.setattr(cell_seams, "_SETTLE", 0.0)
    image, _, labels = _abutting()
    drawn = Scribbles(labels)
    config = TrainingConfig(max_steps=4, warm_start=False, ema_decay=0.0)
    trainer = Trainer([image], [drawn], ModelConfig(), config, None)

    def seams() -> int:
        return int((trainer.sampler.train_labels[0] == SEAM).sum())

    def connects_everything() -> None:
        # Wherever strokes are neighbours there is a seam then.
        head = trainer.average.network.head
        head.weight.data[:] = 0
        head.bias.data[:] = 0
        head.bias.data[: trainer.average.network.n_components // 2] = -9

    trainer.step()
    assert seams() == 0
    trainer.step()
    connects_everything()
    trainer.step()
    found = seams()
    assert found > 20
    assert not trainer.sampler.validation()
    trainer.set_scribbles([Scribbles(np.where(labels == 1, 1, 0).astype(np.uint8))])
    assert trainer.scribbles[0] is drawn, "a class erased for a moment"
    fewer = labels.copy()
    fewer[:, 48:] = np.where(fewer[:, 48:] == 1, 1, 0)
    assert (trainer.sampler.train_labels[0][:, 64:] == SEAM).any()
    trainer.set_scribbles([Scribbles(fewer)])
    assert seams() == found, "until it is looked again"
    assert not trainer.seams.due(0.55)
    assert trainer.seams.due(0.75)
    connects_everything()
    trainer.step()
    assert seams() > 0
    assert not (trainer.sampler.train_labels[0][:, 64:] == SEAM).any(), "no strokes are there now"
    assert not trainer.seams.due(1.0)


def test_a_training_that_goes_on_has_seams_from_the_beginning():
    image, _, labels = _abutting()
    config = TrainingConfig(max_steps=10, warm_start=False)
    first = Trainer([image], [Scribbles(labels)], ModelConfig(), config, None)
    assert not first.seams.due(0.49)
    model = first.result()
    trainer = Trainer([image], [Scribbles(labels)], ModelConfig(), config, model)
    looks = []
    found = trainer.seams.look
    trainer.seams.look = lambda *given: (looks.append(trainer.steps), found(*given))
    while not trainer.finished():
        trainer.step()
    assert looks == [0, 5]
    # Strokes that change between the two are heard as ever.
    trainer = Trainer([image], [Scribbles(labels)], ModelConfig(), config, model)
    trainer.step()
    trainer.set_scribbles([Scribbles(labels.copy())])
    assert [trainer.seams.due(at) for at in (0.2, 0.3)] == [False, True]
    off = replace(config, implied_labels=False)
    assert not Trainer([image], [Scribbles(labels)], ModelConfig(), off, model).seams.due(1.0)


def test_a_training_without_an_end_has_seams_from_half_a_usual_budget_on():
    image, _, labels = _abutting()
    endless = TrainingConfig(schedule="steady", time_budget_s=1e5, warm_start=False)
    trainer = Trainer([image], [Scribbles(labels)], ModelConfig(), endless, None)
    assert trainer.fraction() < 0.01
    due = [s for s in range(400) if trainer.seams.due(trainer.schedule.maturity(s))]
    assert due == list(range(150, 400))
    trainer.step()
    assert not trainer.seams.found
    trainer.steps = 150
    trainer.step()
    assert len(trainer.seams.found) == 1
    later = [trainer.schedule.maturity(s) for s in (151, 224, 225, 10_000)]
    assert not any(map(trainer.seams.due, later)), "until strokes change"
    trainer.set_scribbles([Scribbles(labels.copy())])
    assert [trainer.seams.due(at) for at in later] == [False, False, True, True]
    # Nor at once where the last look is long ago: the strokes are to be seen first.
    trainer.seams.look(trainer.average.network, [], [], PredictionConfig(), 2.0)
    trainer.steps = 10_000
    trainer.set_scribbles([Scribbles(labels.copy())])
    assert [trainer.seams.due(trainer.schedule.maturity(s)) for s in (10_006, 10_012)] == [0, 1]
    # A limit counts where that is sooner.
    limited = replace(endless, max_steps=400)
    trainer = Trainer([image], [Scribbles(labels)], ModelConfig(), limited, None)
    assert not trainer.seams.due(trainer.schedule.maturity(149))
    assert trainer.seams.due(trainer.schedule.maturity(150))
    trainer = Trainer(
        [image], [Scribbles(labels)], ModelConfig(), replace(endless, max_steps=100), None
    )
    assert not trainer.seams.due(trainer.schedule.maturity(49))
    assert trainer.seams.due(trainer.schedule.maturity(50))


def test_the_inside_of_a_closed_stroke_is_the_cell():
    labels = np.zeros((40, 60), np.uint8)
    labels[5:15, 5:15] = 2
    labels[6:14, 6:14] = 0
    labels[9, 8:11] = 2  # and a line within it
    labels[5:15, 25:35] = 3
    labels[6:14, 26:34] = 0
    labels[20:38, 20:38] = 1  # a ring of background round a cell
    labels[22:36, 22:36] = 0
    labels[5:15, 45:55] = 2
    labels[6:14, 46:54] = 0
    labels[9, 49] = 1  # what is painted in it wins
    labels[20:30, 2:12] = 2
    labels[21:29, 3:11] = 0
    labels[25, 11] = 0  # not closed
    before = labels.copy()
    expected = labels.copy()
    expected[5:15, 5:15], expected[5:15, 25:35] = 2, 3
    assert (fill_closed(labels) == expected).all()
    assert (labels == before).all()
    assert fill_closed(expected) is expected
    diagonal = np.zeros((7, 7), np.uint8)
    for k in range(4):
        diagonal[k, 3 - k] = diagonal[k, 3 + k] = diagonal[6 - k, 3 - k] = diagonal[
            6 - k, 3 + k
        ] = 2
    assert (fill_closed(diagonal) > 0).sum() == 25


def test_closed_strokes_are_learned_filled_and_kept_as_they_are():
    labels = np.zeros((64, 64), np.uint8)
    labels[10:30, 10:30] = 2
    labels[11:29, 11:29] = 0
    labels[40, 10:50] = 1
    drawn = Scribbles(labels.copy())
    for implied, inside in ((True, 2), (False, 0)):
        config = TrainingConfig(patch_size=32, validation_fraction=0.0, implied_labels=implied)
        sampler = PatchSampler([torch.zeros(1, 64, 64)], [drawn], config)
        assert (sampler.train_labels[0][11:29, 11:29] == inside).all()
    assert (drawn.labels == labels).all()
