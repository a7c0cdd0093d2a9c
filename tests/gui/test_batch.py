"""Many images and planes: the list, predicting all, cancelling, bounded memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from looking import layer_named
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QProgressBar, QPushButton, QSpinBox

from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.network.model_card import ModelCard
from napari_impartial.core.prediction.result import Prediction
from napari_impartial.gui.image.image_list import ImageRow, ImagesPanel
from napari_impartial.gui.result.batch_panel import BatchChoice, BatchPanel
from napari_impartial.io import memory_mapped as scratch_module
from napari_impartial.io.memory_mapped import Scratch
from napari_impartial.session.image_record import ImageRecord, Tally
from napari_impartial.session.session import Session


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tiny_tissue: Any, tiny_scribbles: Any) -> Path:
    """Train a small model on the two channels of the tiny tissue, by their names."""
    from napari_impartial.core import api
    from napari_impartial.core.config import ModelConfig, TrainingConfig
    from napari_impartial.core.network.model_file import save_model

    training = TrainingConfig(max_steps=60, patch_size=48, batch_size=4, precision="float32")
    made = api.train(
        [tiny_tissue.image], [tiny_scribbles], training, ModelConfig(base_features=8, depth=2)
    )
    return save_model(made, tmp_path_factory.mktemp("model") / "m.impartial")


def test_counts_of_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    record = ImageRecord(0, "a", ("x",))
    assert record.tally == Tally(0, 0, None)
    labels = np.zeros((20, 20), np.uint8)
    labels[2, :5], labels[9, :5], labels[15, :5], labels[18, :5] = 1, 2, 2, 3
    record.plane((0,)).scribbles = Scribbles(labels)
    record.plane((4,)).scribbles = Scribbles(labels)
    record.plane((4,)).set_cut(None, objects=np.array([[0, 7], [2, 2]], np.int32))
    assert record.tally == Tally(8, 6, 2)
    assert Session().status(record) == "2 planes scribbled"
    monkeypatch.setattr(np, "bincount", lambda *_: pytest.fail("counted again"))
    assert record.tally == Tally(8, 6, 2), "what did not change is not counted again"
    monkeypatch.undo()
    record.reviewed = True
    assert Session().status(record) == "2 planes scribbled, reviewed"


def test_batch_choice_round_trip(qtbot: Any) -> None:
    panel = BatchPanel()
    qtbot.addWidget(panel)
    assert panel.isHidden(), "one plane needs no batch"
    panel.set_state(2, (("T", 3), ("Z", 5)), True, False)
    assert not panel.isHidden()
    assert panel.value() == BatchChoice(True)
    panel.findChild(QComboBox, "batch_scope_combo").setCurrentText("Planes of this image")
    for name, place in (("last_t_spin", 1), ("first_z_spin", 2)):
        panel.findChild(QSpinBox, name).setValue(place)
    assert panel.value() == BatchChoice(False, ((0, 1), (2, 4)))
    assert BatchChoice(False, ((0, 1), (2, 4))).planes() == [
        (0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (1, 4),
    ]  # fmt: skip
    panel.set_state(1, (("Z", 5),), True, False)
    assert panel.value() == BatchChoice(False, ((0, 4),))
    panel._boxes[0][0].setValue(4)
    panel._boxes[0][1].setValue(2)
    assert panel.value() == BatchChoice(False, ((2, 4),)), "ends the wrong way round are meant"
    panel.set_state(2, (), True, False)
    assert panel.value() == BatchChoice(True)


def test_scratch_arrays_lie_in_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch_module, "FIRST_CHUNK_BYTES", 4096)
    scratch = Scratch(chunk_bytes=8192)
    arrays = [scratch.zeros((10, 10), np.float32) for _ in range(30)]
    for i, array in enumerate(arrays):
        assert array.dtype == np.float32
        array[...] = i
    assert [array.min() for array in arrays] == list(range(30)), "they do not overlap"
    assert [array.max() for array in arrays] == list(range(30))
    assert scratch.zeros((100, 100), np.int32).shape == (100, 100), "larger than a chunk"
    base: Any = arrays[0]
    while isinstance(base, np.ndarray):
        base = base.base
    assert type(base).__name__ == "mmap"
    flat = np.ones((4, 4), np.float32)
    kept = scratch.keep(Prediction(np.stack([flat, flat]), flat, flat, None, 2))
    np.testing.assert_array_equal(kept.probability, np.ones((2, 4, 4)))
    scratch.close()
    assert arrays[3].max() == 3, "what is in use stays readable"

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scratch_module.os, "posix_fallocate", full)
    another = Scratch()
    with pytest.raises(ImPartialError, match="free some space"):
        another.zeros((10,), np.uint8)
    another.close()


def test_all_images_are_predicted_by_the_names_of_their_channels(
    widget: Any, viewer: Any, find: Any, model: Path, tiny_tissue: Any, wait_for: Any,
    notes: Any, qtbot: Any,
) -> None:  # fmt: skip
    channels = tiny_tissue.image.channels
    names = list(tiny_tissue.image.channel_names)
    first = viewer.add_image(channels, name="a", metadata={"channel_names": names})
    qtbot.waitUntil(lambda: widget.workspace.source is not None)
    swapped = {"channel_names": names[::-1]}
    viewer.add_image(channels[::-1], name="b", metadata=swapped)
    viewer.add_image(np.stack([channels] * 3), name="c", axis_labels=("z", "c", "y", "x"))
    viewer.add_image(channels, name="d", metadata={"channel_names": ["CD3", "CD8"]})
    qtbot.waitUntil(lambda: find("add_images_button").text() == "Add 3 other open images")
    assert not find("image_list").isVisibleTo(widget)
    find("add_images_button").click()
    assert find("image_list").model().rowCount() == 4
    assert widget.workspace.source.primary == first, "the image in front stays in front"
    widget.models.load(model)
    wait_for(lambda: not widget.session.busy and "instances [a]" in viewer.layers)
    find("predict_all_button").click()
    assert any("'d' has no channel" in note for note in notes()), "said before anything runs"
    wait_for(lambda: not widget.session.busy)
    assert find("batch_label").text() == "Predicted 5 of 5."
    one = layer_named(viewer, "probability [a]").data
    assert one.std() > 0.05
    np.testing.assert_allclose(layer_named(viewer, "probability [b]").data, one, atol=1e-5)
    stack = layer_named(viewer, "instances [c]").data
    assert stack.shape == (3, 1, 96, 96)
    assert all(plane.any() for plane in stack)
    assert "instances [d]" not in viewer.layers
    records = {record.name: record for record in widget.session.images.values()}
    states = [widget.session.status(records[name]) for name in "abcd"]
    assert states == ["predicted"] * 3 + ["new"]
    assert all(plane.image is None for plane in records["c"].planes.values()), "let go of"
    places = widget.results.suggestions.places
    assert {place.key for place in places} == {records[name].key for name in "abc"}
    scores = [place.suggestion.score for place in places]
    assert scores == sorted(scores, reverse=True), "ranked over all images"
    # Switching by click, then by a place of another image.
    table = find("image_list")
    table.selectRow(2)
    assert find("image_combo").currentText() == "c"
    find("reviewed_check").click()
    assert widget.session.status(records["c"]) == "predicted, reviewed"
    assert find("batch_scope_combo").count() == 2


def test_planes_that_cannot_be_read_or_kept_are_left_out_and_the_others_are_not(
    widget: Any, viewer: Any, find: Any, model: Path, tiny_tissue: Any, wait_for: Any,
    notes: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    channels = tiny_tissue.image.channels
    names = {"channel_names": list(tiny_tissue.image.channel_names)}
    gone: list[str] = []
    # Its own threads would outlive the test.
    monkeypatch.setitem(dask.config.config, "scheduler", "synchronous")

    def load(block: np.ndarray) -> np.ndarray:
        if gone:
            raise OSError(gone[0])
        return block

    viewer.add_image(channels, name="a", metadata=names)
    qtbot.waitUntil(lambda: widget.workspace.source is not None)
    lazy = da.from_array(channels, chunks=channels.shape).map_blocks(load, dtype=channels.dtype)
    for name, data in (("b", lazy), ("c", channels), ("d", channels)):
        viewer.add_image(data, name=name, metadata=names)
    qtbot.waitUntil(lambda: find("add_images_button").text() == "Add 3 other open images")
    find("add_images_button").click()
    widget.models.load(model)
    wait_for(lambda: not widget.session.busy and "instances [a]" in viewer.layers)
    write = widget.workspace.results.write

    def full(source: Any, *rest: Any) -> Any:
        if source.name == "c":
            raise ImPartialError("There is no room on the disk.")
        return write(source, *rest)

    monkeypatch.setattr(widget.workspace.results, "write", full)
    gone.append("the drive is away")
    find("predict_all_button").click()
    wait_for(lambda: not widget.session.busy)
    text = find("batch_label").text()
    assert text.startswith("Predicted 2 of 4. Left out: b: "), text
    assert "the drive is away" in text
    assert text.endswith("(and 1 more)")
    assert "instances [d]" in viewer.layers
    assert "instances [b]" not in viewer.layers
    assert find("predict_all_button").isEnabled()


def test_a_range_of_planes_and_cancel(
    widget: Any, viewer: Any, find: Any, model: Path, tiny_tissue: Any, wait_for: Any
) -> None:
    stack = np.stack([tiny_tissue.image.channels] * 6)
    viewer.add_image(stack, name="s", axis_labels=("t", "c", "y", "x"))
    wait_for(lambda: widget.session.record is not None)
    widget.session.set_model(model, _card(model))
    told: list[str] = []
    widget.batch.progressed.connect(lambda _: told.append(find("batch_label").text()))
    find("first_t_spin").setValue(1)
    find("last_t_spin").setValue(2)
    find("predict_all_button").click()
    wait_for(lambda: not widget.session.busy)
    done = layer_named(viewer, "instances [s]").data.any((1, 2, 3))
    assert done.tolist() == [False, True, True, False, False, False]
    assert told[0].startswith("1 of 2: s")
    told.clear()
    find("first_t_spin").setValue(0)
    find("last_t_spin").setValue(5)
    find("predict_all_button").click()
    assert find("cancel_batch_button").isVisibleTo(widget)
    wait_for(lambda: layer_named(viewer, "instances [s]").data[0].any())
    assert told[0].startswith("1 of 6: s")
    find("cancel_batch_button").click()
    wait_for(lambda: not widget.session.busy)
    assert "Cancelled; what was done stays." in find("batch_label").text()
    done = layer_named(viewer, "instances [s]").data.any((1, 2, 3))
    assert done[0]
    assert not done[5]
    find("predict_button").click()
    wait_for(lambda: not widget.session.busy)


def test_a_batch_is_cancelled_in_the_activity_dock(
    widget: Any, viewer: Any, find: Any, model: Path, tiny_tissue: Any, wait_for: Any, bars: Any
) -> None:
    stack = np.stack([tiny_tissue.image.channels] * 8)
    viewer.add_image(stack, name="s", axis_labels=("t", "c", "y", "x"))
    wait_for(lambda: widget.session.record is not None)
    widget.session.set_model(model, _card(model))
    find("predict_all_button").click()
    # The predictions of single planes have no bars of their own.
    assert list(bars()) == ["ImPartial: predicting all"]
    bar = bars()["ImPartial: predicting all"]
    assert bar.findChild(QProgressBar).maximum() == 8
    assert not find("cancel_predict_button").isVisibleTo(widget), "the batch has its own"
    wait_for(lambda: bar.findChild(QProgressBar).value() >= 1)
    bar.findChild(QPushButton).click()
    wait_for(lambda: not widget.session.busy)
    assert "Cancelled; what was done stays." in find("batch_label").text()
    done = layer_named(viewer, "instances [s]").data.any((1, 2, 3))
    assert done[0]
    assert not done[-1]
    wait_for(lambda: not bars())


def _card(path: Path) -> ModelCard:
    from napari_impartial.core.network.model_card import read_card

    return read_card(path)


def test_the_image_that_comes_after_a_deleted_one_is_chosen_in_the_list(qtbot: Any) -> None:
    panel = ImagesPanel()
    qtbot.addWidget(panel)
    rows = [
        ImageRow(key, f"image {key}", "not predicted", Tally(0, 12345, None), False)
        for key in range(3)
    ]
    panel.set_images(rows, 0)
    panel.set_images(rows[1:], None)  # the first one is deleted, and none is in front yet
    panel.set_images(rows[1:], 1)
    table = panel._table
    assert [index.row() for index in table.selectionModel().selectedRows()] == [0]
    assert table.at(0, 3).data(Qt.ItemDataRole.DisplayRole) == 12345, "grouped as the user does"
