"""Copy command: what the window did, done again by running the copied text."""

from __future__ import annotations

import contextlib
import shlex
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.layers import Image as ImageLayer

from napari_impartial.cli.main import build_parser, main
from napari_impartial.core.config import (
    InstanceConfig,
    ModelConfig,
    PredictionConfig,
    TrainingConfig,
    get_preset,
)
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.network.model_card import ModelCard, read_card
from napari_impartial.gui.layers import Source
from napari_impartial.gui.session.headless_command import prediction_command, training_command
from napari_impartial.gui.train.training_set import Training


def run(text: str, folder: Path) -> None:
    """Run the lines as a terminal would, but in this process, which has loaded its libraries."""
    for line in text.split("\n"):
        words = shlex.split(line)
        assert words[0] == "napari-impartial"
        # As at the start of a process, libraries' warnings are not for the user.
        with warnings.catch_warnings(), contextlib.chdir(folder):
            assert main(words[1:]) == 0


def card_of(*names: str) -> ModelCard:
    """Return the card of a model of these channels, as settings usually are."""
    config = ModelConfig(), TrainingConfig()
    return ModelCard(
        names, ("background", "cell"), (1.0, 99.8), *config, "", "", "cpu", 0.0, 0, 1, 0, None
    )


@pytest.fixture
def copied(find: Any, notes: Any) -> Callable[[], str]:
    from qtpy.QtWidgets import QApplication

    def press() -> str:
        find("copy_command_button").click()
        return str(QApplication.clipboard().text())

    return press


def test_the_copied_command_does_the_same_again(
    widget: Any, viewer: Any, find: Any, tiny_tissue: Any, tiny_scribbles: Any, wait_for: Any,
    max_steps: list[int], copied: Any, notes: Any, tmp_path: Path,
) -> None:  # fmt: skip
    max_steps[0] = 12
    channels = tiny_tissue.image.channels
    # One channel in a file, the other one, with a useless third, nowhere but in napari.
    tifffile.imwrite(tmp_path / "nuc.tif", channels[0])
    viewer.open(tmp_path / "nuc.tif", plugin="napari")
    viewer.add_image(channels[1] * 0 + 1, name="nothing")
    viewer.add_image(channels[1], name="the other")
    wait_for(lambda: widget.workspace.source is not None)
    panel = widget.image_panel
    layers = {layer.name: layer for layer in viewer.layers}
    panel.setValue(Source((layers["nuc"], layers["the other"]), "YX", (0,), ("DNA", "the edge")))
    find("new_scribbles_button").click()
    scribbles = next(layer for layer in viewer.layers if layer.name == "scribbles [nuc]")
    painted = np.nonzero(tiny_scribbles.labels)
    scribbles.data_setitem(painted, tiny_scribbles.labels[painted])
    find("time_budget_spin").setValue(7)
    nuclei = find("nuclear_channel_combo")
    assert [nuclei.itemText(i) for i in range(nuclei.count())] == ["none", "DNA", "the edge"]
    nuclei.setCurrentIndex(1)
    wait_for(lambda: find("train_button").isEnabled())
    find("train_button").click()
    wait_for(lambda: not widget.session.busy and widget.results.suggestions.places)
    assert widget.session.card.training.nuclear_channel == "DNA"
    find("threshold_slider").setValue(0.4)
    first = copied()
    assert "--init" not in first
    assert "--nuclear-channel DNA" in first
    said = notes()[-1]
    assert "'the other' as the other.tif" in said
    assert "'scribbles [nuc]' as scribbles [nuc].tif" in said
    assert "nothing" not in said
    layers["the other"].save(str(tmp_path / "the other.tif"))
    scribbles.save(str(tmp_path / "scribbles [nuc].tif"))

    find("train_button").click()
    wait_for(lambda: not widget.session.busy and widget.session.card.rounds == 2)
    wait_for(lambda: not widget.results._cutting.busy)
    second = copied()
    init = shlex.split(second)[shlex.split(second).index("--init") + 1]
    # The models in use go with the window; the session's own stay.
    assert Path(init).parent == widget.store.folder / "files"
    assert read_card(init) == widget.session.rounds[0].card
    assert "press Save session" in notes()[-1]
    widget.store.save_as(tmp_path / "session")
    wait_for(lambda: widget.store.folder == tmp_path / "session" and not widget.store.busy)
    assert not Path(init).exists()
    second = copied()
    assert "press Save session" not in notes()[-1]
    init = shlex.split(second)[shlex.split(second).index("--init") + 1]
    assert Path(init).parent == tmp_path / "session" / "files"

    run(second, tmp_path)
    card, ours = read_card(tmp_path / "model.impartial"), widget.session.card
    assert card.channel_names == ours.channel_names == ("DNA", "the edge")
    assert (card.model, card.training) == (ours.model, ours.training)
    assert (card.rounds, card.steps) == (ours.rounds, ours.steps)
    probability = next(layer for layer in viewer.layers if layer.name == "probability [nuc]").data
    again = tifffile.imread(tmp_path / "results" / "nuc_probability.tif")
    np.testing.assert_allclose(again, probability, atol=0.02)
    instances = next(layer for layer in viewer.layers if layer.name == "instances [nuc]").data
    n = tifffile.imread(tmp_path / "results" / "nuc_instances.tif").max()
    assert abs(int(n) - int(instances.max())) <= 2

    run(first.split("\n")[0], tmp_path)
    assert read_card(tmp_path / "model.impartial").rounds == 1


def test_a_loaded_model_is_named_by_its_file(
    widget: Any, find: Any, scribbled: Any, wait_for: Any, max_steps: list[int], copied: Any,
    notes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    max_steps[0] = 2
    find("train_button").click()
    wait_for(lambda: not widget.session.busy and widget.session.rounds)
    wait_for(lambda: not widget.session.busy and widget.session.plane.prediction is not None)
    widget.models.save(tmp_path / "mine.impartial")
    monkeypatch.setattr(widget.results, "predict", lambda: None)
    widget.models.load(tmp_path / "mine.impartial")
    find("train_button").click()
    wait_for(lambda: not widget.session.busy and widget.session.card.rounds == 2)
    words = shlex.split(copied().split("\n")[0])
    assert words[words.index("--init") + 1] == str(tmp_path / "mine.impartial")
    # Written over meanwhile, it is another model; the session has the one that was used.
    (tmp_path / "mine.impartial").write_bytes(b"another")
    wait_for(lambda: not widget.store.busy)
    words = shlex.split(copied().split("\n")[0])
    init = Path(words[words.index("--init") + 1])
    assert init.parent == widget.store.folder / "files"
    assert read_card(init).rounds == 1


def layer(tmp_path: Path, name: str, shape: tuple[int, ...], path: str = "") -> ImageLayer:
    made = ImageLayer(np.zeros(shape, np.float32), name=name)
    if path:
        made._source = made.source.model_copy(update={"path": str(tmp_path / path)})
    return made


def options(line: str) -> Any:
    return build_parser().parse_args(shlex.split(line)[1:])


def train(*sources: Source, names: tuple[str, ...] = ("A", "B")) -> Training:
    preset = get_preset("fast")
    return Training(sources, names, preset.model, preset.training)


def test_channels_and_axes_are_named(tmp_path: Path) -> None:
    a = Source((layer(tmp_path, "a", (4, 9, 9), "a.tif"),), "CYX", (0, 3), ("A", "B"))
    b = Source((layer(tmp_path, "b", (4, 9, 9), "b.tif"),), "CYX", (0, 3), ("A", "B"))
    made = training_command(train(a, b), "m.impartial")
    args = options(made.text)
    assert [path.name for path in args.images] == ["a.tif", "b.tif"]
    assert (args.axes, args.channels, args.channel_names) == ("CYX", ["0", "3"], ["A", "B"])
    assert (args.preset, args.files_per_image) == ("fast", 1)
    assert made.to_save == (
        ("scribbles [a]", "scribbles [a].tif"),
        ("scribbles [b]", "scribbles [b].tif"),
    )
    # The model's order, not the image's.
    swapped = Source((layer(tmp_path, "b", (4, 9, 9), "b.tif"),), "CYX", (0, 3), ("B", "A"))
    prediction = PredictionConfig(device="cpu", samples=3)
    config = InstanceConfig(threshold=0.3)
    made = prediction_command([a, swapped], prediction, config, "m.impartial", card_of("A", "B"))
    one, two = (options(line) for line in made.text.split("\n"))
    assert (one.channels, two.channels) == (["0", "3"], ["3", "0"])
    assert (one.device, one.samples, one.threshold) == ("cpu", 3, 0.3)
    assert made.to_save == ()
    with pytest.raises(ImPartialError, match="'b' and 'a' keep their channels in different ways"):
        training_command(train(a, swapped), "m.impartial")


def test_all_files_of_all_channels_are_named(tmp_path: Path) -> None:
    one, two = (layer(tmp_path, f"A [{i}]", (9, 9), f"a{i}.tif") for i in (1, 2))
    three, four = layer(tmp_path, "B", (9, 9), "b1.tif"), layer(tmp_path, "B [1]", (9, 9))
    made = training_command(
        train(Source((one, three), "YX", (0,)), Source((two, four), "YX", (0,))), "m.impartial"
    )
    args = options(made.text)
    assert [path.name for path in args.images] == ["a1.tif", "b1.tif", "a2.tif", "B [1].tif"]
    assert (args.files_per_image, args.channels, args.axes) == (2, None, "YX")
    assert made.to_save[0] == ("B [1]", "B [1].tif")


def test_layers_of_one_file_are_found_by_their_names(tmp_path: Path) -> None:
    layers = [layer(tmp_path, name, (9, 9), "all.tif") for name in ("A", "C", "B")]
    source = Source((layers[0], layers[2]), "YX", (0,))
    made = prediction_command(
        [source], PredictionConfig(), InstanceConfig(), "m.impartial", card_of("B", "A")
    )
    args = options(made.text)
    assert [path.name for path in args.images] == ["all.tif"]
    assert args.channels == ["B", "A"]
