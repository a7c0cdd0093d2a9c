"""Axes and channels: what the user sees, corrects and names, and what is read of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLineEdit

from napari_impartial.core.data.channels import ChannelPreview, preview_channel
from napari_impartial.core.data.image import Image, intensity_range, normalize
from napari_impartial.gui.image.axes_text import explain_axes, other_readings
from napari_impartial.gui.image.channel_table import range_text
from napari_impartial.gui.image.image_panel import ImagePanel
from napari_impartial.gui.layers import Source
from napari_impartial.gui.layers.image_discovery import other_images

CHECKED, UNCHECKED = Qt.CheckState.Checked, Qt.CheckState.Unchecked


class Counted:
    """An array that notes what is read of it, as a lazy one would read it from disk."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim
        self.read_px: list[int] = []

    def __getitem__(self, index: Any) -> np.ndarray:
        part = self.array[index]
        self.read_px.append(part.size)
        return part


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def panel(qtbot: Any, viewer: ViewerModel) -> ImagePanel:
    made = ImagePanel(viewer)
    qtbot.addWidget(made)
    return made


def tick(panel: ImagePanel, row: int, on: bool) -> None:
    model = panel.table.model()
    state = (CHECKED if on else UNCHECKED).value
    assert model.setData(model.index(row, 0), state, Qt.ItemDataRole.CheckStateRole)


def rename(panel: ImagePanel, row: int, name: str) -> None:
    model = panel.table.model()
    assert model.setData(model.index(row, 0), name)


def chosen(panel: ImagePanel) -> Source:
    value = panel.value()
    assert value is not None
    return value


@pytest.mark.parametrize(
    ("axes", "shape", "text"),
    [
        ("YX", (40, 50), "One picture of 40 x 50 px with 1 channel."),
        ("CYX", (3, 40, 50), "One picture of 40 x 50 px with 3 channels."),
        ("YXC", (40, 50, 3), "One picture of 40 x 50 px with 3 channels."),
        (
            "ZYX",
            (7, 40, 50),
            "7 slices (Z) of 40 x 50 px, each segmented by itself; 1 channel.",
        ),
        (
            "TZCYX",
            (1, 7, 2, 40, 50),
            "1 time point (T) x 7 slices (Z) of 40 x 50 px, each segmented by itself; 2 channels.",
        ),
    ],
)
def test_axes_in_words(axes: str, shape: tuple[int, ...], text: str) -> None:
    assert explain_axes(axes, shape) == text


def test_channels_in_several_layers_are_not_counted_in_words() -> None:
    said = explain_axes("YX", (40, 50), several_layers=True)
    assert said == "One picture of 40 x 50 px in each layer."
    said = explain_axes("CYX", (2, 40, 50), several_layers=True)
    assert said == "One picture of 40 x 50 px with 2 channels in this layer."


def test_what_else_axes_could_be() -> None:
    assert other_readings("CYX", (3, 9, 9)) == [("ZYX", "slices"), ("TYX", "time points")]
    assert other_readings("ZYX", (5, 9, 9)) == [("TYX", "time points"), ("CYX", "channels")]
    assert other_readings("YX", (9, 9)) == []
    assert other_readings("TZCYX", (2, 3, 4, 9, 9)) == []
    assert other_readings("CYX", (1, 9, 9)) == [], "one is one, whatever it is called"


def test_channels_are_not_taken_for_a_stack_unnoticed(
    panel: ImagePanel, viewer: ViewerModel
) -> None:
    viewer.add_image(np.zeros((5, 40, 50)), name="doubtful")
    viewer.add_image(np.zeros((5, 40, 50)), name="sure", axis_labels=("z", "y", "x"))
    panel.refresh()
    panel._combo.setCurrentText("doubtful")
    text = panel._meaning.text()
    assert "with 5 channels" in text
    assert "Guessed" in text
    assert "<a href='ZYX'" in text
    assert "slices (ZYX)</a>" in text
    panel._meaning.linkActivated.emit("ZYX")
    assert chosen(panel).axes == "ZYX"
    assert chosen(panel).stack_shape == (5,)
    assert "5 slices (Z)" in panel._meaning.text()
    panel._combo.setCurrentText("sure")
    assert "Guessed" not in panel._meaning.text()
    panel._combo.setCurrentText("doubtful")
    assert chosen(panel).axes == "ZYX", "what was corrected stays corrected"


def test_names_are_edited_and_go_with_the_source(panel: ImagePanel, viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((3, 40, 50)), name="x")
    panel.refresh()
    assert chosen(panel).channel_names == ("channel 1", "channel 2", "channel 3")
    assert chosen(panel).names == ()
    rename(panel, 0, "DAPI")
    tick(panel, 1, False)
    assert chosen(panel) == Source((layer,), "CYX", (0, 2), ("DAPI", "channel 3"))
    assert chosen(panel).read().channel_names == ("DAPI", "channel 3")
    viewer.add_image(np.zeros((9, 9)), name="other")
    panel.refresh()
    assert chosen(panel).channel_names == ("DAPI", "channel 3"), "another layer changes nothing"
    source = chosen(panel)
    panel.setValue(Source((layer,), "CYX", (1,), ("CD8",)))
    assert [(row.name, row.used) for row in panel.table.channels] == [
        ("channel 1", False),
        ("CD8", True),
        ("channel 3", False),
    ]
    panel.setValue(source)
    assert chosen(panel) == source


def test_selected_channels_are_ticked_together(panel: ImagePanel, viewer: ViewerModel) -> None:
    viewer.add_image(np.zeros((6, 40, 50)), name="x")
    panel.refresh()
    seen: list[Any] = []
    panel.valueChanged.connect(seen.append)
    for row in (1, 2, 4):
        panel.table.selectionModel().select(
            panel.table.model().index(row, 0),
            panel.table.selectionModel().SelectionFlag.Select
            | panel.table.selectionModel().SelectionFlag.Rows,
        )
    tick(panel, 2, False)
    assert chosen(panel).channels == (0, 3, 5)
    tick(panel, 0, False)
    assert chosen(panel).channels == (3, 5), "a row outside of the selection goes alone"
    assert len(seen) == 2


def test_layers_are_channels_by_their_names(panel: ImagePanel, viewer: ViewerModel) -> None:
    first = viewer.add_image(np.zeros((40, 50)), name="DAPI")
    assert Source((first,), "YX", (0,)).channel_names == ("channel 1",)
    second = viewer.add_image(np.zeros((40, 50)), name="CD8")
    again = viewer.add_image(np.zeros((40, 50)), name="DAPI")
    assert again.name == "DAPI [1]"
    assert Source((first, second), "YX", (0,)).channel_names == ("DAPI", "CD8")
    assert Source((again, second), "YX", (0,)).channel_names == ("DAPI", "CD8")
    assert Source((first, again), "YX", (0,)).channel_names == ("DAPI", "DAPI (2)")


def test_normalization_is_that_of_the_core(
    panel: ImagePanel, viewer: ViewerModel, qtbot: Any
) -> None:
    rng = np.random.default_rng(0)
    data = np.stack(
        [rng.gamma(2, 300, (4, 120, 90)), np.full((4, 120, 90), 7.0), np.full((4, 120, 90), np.nan)]
    ).astype(np.float32)
    viewer.add_image(data, name="x", axis_labels=("c", "z", "y", "x"))
    viewer.dims.set_point(1, 3)
    panel.refresh()
    qtbot.waitUntil(lambda: all(row.preview is not None for row in panel.table.channels))
    first, constant, empty = (row.preview for row in panel.table.channels)
    assert first is not None
    assert (first.low, first.high) == intensity_range(data[0, 3])
    assert range_text(first) == f"{first.low:.4g} to {first.high:.4g}"
    assert range_text(constant) == "all 7"
    assert range_text(empty) == "no numbers"
    assert not panel.table.channels[0].picture.isNull()  # type: ignore[union-attr]
    viewer.dims.set_point(1, 0)
    panel.look_at_plane()
    low = intensity_range(data[0, 0])[0]
    qtbot.waitUntil(lambda: panel.table.channels[0].preview.low == low)  # type: ignore[union-attr]


def test_a_name_that_is_being_typed_stays_while_previews_arrive(
    panel: ImagePanel, viewer: ViewerModel, qtbot: Any
) -> None:
    viewer.add_image(np.random.default_rng(0).random((2, 40, 50)), name="x")
    panel.refresh()
    panel.show()
    qtbot.waitUntil(lambda: all(row.preview is not None for row in panel.table.channels))
    panel.table.editItem(panel.table.at(0, 0))
    editor = panel.table.viewport().findChild(QLineEdit)
    editor.setText("mitochon")
    before = panel.table.channels[0].preview
    viewer.layers[0].data = viewer.layers[0].data * 3
    panel.table.look_again()
    qtbot.waitUntil(lambda: panel.table.channels[0].preview.low != before.low)
    qtbot.waitUntil(lambda: not panel.table._queue)
    assert editor.text() == "mitochon"
    assert range_text(panel.table.channels[0].preview) == panel.table.at(0, 1).text()


def test_a_thumbnail_shows_the_normalized_channel() -> None:
    ramp = np.tile(np.linspace(0, 1000, 960, dtype=np.float32), (480, 1))
    preview = preview_channel(Image(ramp[None], ("x",)))
    assert preview.thumbnail.shape == (24, 48)
    normalized = normalize(Image(ramp[None], ("x",)))[0]
    expected = np.clip(normalized.reshape(24, 20, 48, 20).mean((1, 3)), 0, 1) * 255
    assert np.abs(preview.thumbnail - expected).max() <= 3
    assert preview_channel(Image(np.ones((1, 1, 1), np.float32), ("x",))).thumbnail.shape == (1, 1)
    assert preview_channel(Image(ramp[None, :3], ("x",))).thumbnail.shape[1] <= 48


def test_lazy_layers_are_read_plane_by_plane() -> None:
    array = Counted(np.arange(4 * 9 * 30 * 40, dtype=np.float32).reshape(4, 9, 30, 40))
    layer = ImageLayer(np.zeros((4, 9, 30, 40), np.float32), name="x")
    object.__setattr__(layer, "_data", array)
    source = Source((layer,), "ZCYX", (1, 2, 7))
    image = source.read((3,))
    np.testing.assert_array_equal(image.channels, array.array[3, [1, 2, 7]])
    assert array.read_px == [2 * 1200, 1200], "neighbouring channels at one go, and no others"


def test_dask_and_multiscale_layers_are_read_at_their_finest() -> None:
    dask = pytest.importorskip("dask.array")
    from dask import config

    # In this thread: dask keeps a pool of threads otherwise.
    with config.set(scheduler="synchronous"):
        _read_multiscale(dask)


def _read_multiscale(dask: Any) -> None:
    computed: list[Any] = []

    def plane(block_info: Any = None) -> np.ndarray:
        place = block_info[None]["chunk-location"]
        computed.append(place)
        return np.full((1, 1, 64, 64), 10 * place[0] + place[1], np.float32)

    fine = dask.map_blocks(
        plane, chunks=((1,) * 50, (1,) * 3, (64,), (64,)), dtype=np.float32,
        meta=np.zeros((0, 0, 0, 0), np.float32),
    )  # fmt: skip
    layer = ImageLayer(
        [fine, fine[:, :, ::2, ::2]], multiscale=True, name="x", contrast_limits=(0, 1)
    )
    source = Source((layer,), "ZCYX", (0, 2))
    assert source.plane_shape == (64, 64)
    computed.clear()
    image = source.read((31,))
    assert image.channels[:, 5, 5].tolist() == [310, 312]
    assert sorted(computed) == [(31, 0, 0, 0), (31, 2, 0, 0)]


def test_other_open_images_take_over_axes_and_channels(viewer: ViewerModel) -> None:
    first = viewer.add_image(np.zeros((4, 40, 50)), name="a")
    second = viewer.add_image(np.zeros((4, 60, 70)), name="b")
    viewer.add_image(np.zeros((9, 9)), name="c")
    like = Source((first,), "CYX", (0, 2), ("DAPI", "CD8"))
    found = other_images(viewer, [like], like)
    assert [source.name for source in found] == ["b", "c"]
    assert found[0] == Source((second,), "CYX", (0, 2), ("DAPI", "CD8"))
    stack = Source((first,), "ZYX", (0,))
    assert other_images(viewer, [stack], stack)[0].axes == "ZYX"


def test_large_numbers_are_not_cut_off() -> None:
    preview = ChannelPreview(29461.0, 51234.4, np.zeros((2, 2), np.uint8))
    assert range_text(preview) == "29,461 to 51,234"
