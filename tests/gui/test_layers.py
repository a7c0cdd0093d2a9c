"""Layers to arrays and back, on a viewer without a window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Labels

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.prediction.suggestions import Suggestion
from napari_impartial.gui.layers import ResultLayers, Role, ScribbleLayers, Source, image_layers
from napari_impartial.gui.layers.camera import field_in_view, go_to
from napari_impartial.gui.layers.grid import Grid
from napari_impartial.gui.layers.image_source import axes_of, companions
from napari_impartial.gui.layers.versions import camera_of, canvas_size


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


def source_of(layer: ImageLayer, channels: tuple[int, ...] = (0,), axes: str = "") -> Source:
    return Source((layer,), axes or axes_of(layer), channels)


def ramp(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize(
    ("data", "options", "axes"),
    [
        (np.zeros((40, 50)), {}, "YX"),
        (np.zeros((5, 40, 50)), {}, "CYX"),
        (np.zeros((5, 40, 50)), {"axis_labels": ("z", "y", "x")}, "ZYX"),
        (np.zeros((5, 40, 50)), {"axis_labels": ("time", "y", "x")}, "TYX"),
        (np.zeros((40, 50, 3), np.uint8), {"rgb": True}, "YXC"),
        (np.zeros((6, 40, 50, 4), np.uint8), {"rgb": True}, "ZYXC"),
        (np.zeros((7, 3, 40, 50)), {}, "ZCYX"),
    ],
)
def test_axes(data: np.ndarray, options: dict[str, Any], axes: str) -> None:
    assert axes_of(ImageLayer(data, **options)) == axes


def test_reads_chosen_channels_of_a_plane() -> None:
    data = ramp(4, 3, 6, 7)
    layer = ImageLayer(
        data, name="stack", scale=(2, 1, 0.5, 0.25), units=("um", "pixel", "um", "um")
    )
    image = source_of(layer, (0, 2), "ZCYX").read((3,))
    np.testing.assert_array_equal(image.channels, data[3, [0, 2]])
    assert image.name == "stack [z=3]"
    assert image.pixel_size == (0.5, 0.25)
    assert image.pixel_unit == "µm", "the word of files, not napari's"


def test_reads_layers_as_channels(viewer: ViewerModel) -> None:
    first = viewer.add_image(ramp(6, 7), name="dapi")
    second = viewer.add_image(ramp(6, 7) + 1, name="dapi")
    viewer.add_image(ramp(5, 7), name="too small")
    viewer.add_image(ramp(6, 7), name="elsewhere", translate=(3, 0))
    assert companions(viewer, first, "YX") == [second]
    image = Source((first, second), "YX", (0,)).read()
    assert image.channels.shape == (2, 6, 7)
    assert len(set(image.channel_names)) == 2
    second.data = ramp(5, 7)
    with pytest.raises(ImPartialError, match="one size"):
        Source((first, second), "YX", (0,)).read()


@pytest.mark.parametrize(
    ("shape", "axes", "rgb", "expected"),
    [
        ((6, 7), "YX", False, (6, 7)),
        ((3, 6, 7), "CYX", False, (6, 7)),
        ((6, 7, 3), "YXC", True, (6, 7)),
        ((4, 6, 7), "ZYX", False, (4, 6, 7)),
        ((4, 3, 6, 7), "ZCYX", False, (4, 1, 6, 7)),
        ((3, 4, 6, 7), "CZYX", False, (4, 6, 7)),
        ((2, 3, 4, 6, 7), "TCZYX", False, (2, 1, 4, 6, 7)),
        ((7, 6), "XY", False, (7, 6)),
    ],
)
def test_results_lie_on_the_grid_of_the_image(
    viewer: ViewerModel, shape: tuple[int, ...], axes: str, rgb: bool, expected: tuple[int, ...]
) -> None:
    n = len(shape) - rgb
    layer = viewer.add_image(
        np.zeros(shape, np.uint8 if rgb else np.float32),
        rgb=rgb,
        name="x",
        scale=np.arange(1, n + 1) / 4,
        translate=np.arange(n) * 10.0,
        axis_labels=[f"axis {i}" for i in range(n)],
    )
    source = source_of(layer, (0,), axes)
    grid = Grid(source)
    assert grid.shape == expected
    plane = tuple(1 for _ in source.stack_shape)
    values = ramp(6, 7)
    made = ResultLayers(viewer).write(source, plane, Role.PROBABILITY, values)
    assert made.data.shape == expected
    np.testing.assert_array_equal(grid.plane(made.data, plane), values)
    assert made.data.sum() == values.sum(), "other planes are left alone"
    # The same pixel of both lies at the same place.
    np.testing.assert_allclose(made.scale[-1], layer.scale[-1])
    here = made.data_to_world(grid.index(plane, 2, 3))
    there_point = [0.0] * n
    places = iter(plane)
    for i, letter in enumerate(axes[:n]):
        there_point[i] = {"Y": 2.0, "X": 3.0, "C": 0.0}.get(letter) or (
            float(next(places)) if letter in "TZ" else 0.0
        )
    there = layer.data_to_world(there_point)
    kept = [i for i in grid.kept if axes[i] != "C"]
    own = [i for i, letter in enumerate(grid.axes) if letter != "C"]
    np.testing.assert_allclose(np.array(here)[own], np.array(there)[kept])
    assert made.axis_labels == tuple(layer.axis_labels[i] for i in grid.kept)
    assert made.units == tuple(layer.units[i] for i in grid.kept)


def test_a_result_shows_at_every_channel(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((4, 5, 6, 7), np.float32), name="x")
    source = source_of(layer, (0,), "ZCYX")
    made = ResultLayers(viewer).write(source, (2,), Role.INSTANCES, np.full((6, 7), 3, np.int32))
    assert made.colormap.name.startswith("impartial ")
    for channel in range(5):
        viewer.dims.set_point((0, 1), (2, channel))
        assert made.get_value((2, channel, 3, 3), world=True) == 3
    viewer.dims.set_point((0, 1), (1, 0))
    assert made.get_value((1, 0, 3, 3), world=True) == 0


def test_results_are_updated_in_place_and_leave_the_selection(viewer: ViewerModel) -> None:
    layer = viewer.add_image(ramp(60, 70), name="x")
    source = source_of(layer)
    scribbles, results = ScribbleLayers(viewer), ResultLayers(viewer)
    painted, _ = scribbles.make(source)
    labels = np.zeros((60, 70), np.int32)
    first = results.write(source, (), Role.INSTANCES, labels)
    labels[3:9, 3:9] = 1
    assert results.write(source, (), Role.INSTANCES, labels) is first
    results.write(source, (), Role.UNCERTAINTY, ramp(60, 70))
    results.write(source, (), Role.PROBABILITY, ramp(60, 70))
    place = [((), Suggestion(1, 20, 20, (10, 10, 30, 30), 0.5, "unsure"))]
    results.mark(source, place)
    marks = results.find(source, Role.SUGGESTIONS)
    results.mark(source, place * 2)
    assert results.find(source, Role.SUGGESTIONS) is marks
    assert len(marks.data) == 2
    np.testing.assert_allclose(marks.data[0].min(axis=0), (9.5, 9.5))
    np.testing.assert_allclose(marks.data[0].max(axis=0), (29.5, 29.5))
    results.mark(source, [])
    assert len(marks.data) == 0
    assert [item.name for item in viewer.layers] == [
        "x",
        "probability [x]",
        "uncertainty [x]",
        "instances [x]",
        "scribbles [x]",
        "suggestions [x]",
    ]
    assert viewer.layers.selection.active is painted
    np.testing.assert_array_equal(first.data, labels)
    assert image_layers(viewer) == [layer], "results are no images to segment"


def test_a_box_is_written_into_what_there_is(viewer: ViewerModel) -> None:
    source = source_of(viewer.add_image(ramp(60, 70), name="x"))
    results = ResultLayers(viewer)
    results.write(source, (), Role.PROBABILITY, np.ones((60, 70), np.float32))
    results.write_box(source, (), Role.PROBABILITY, np.zeros((5, 6)), (10, 20, 15, 26))
    expected = np.ones((60, 70))
    expected[10:15, 20:26] = 0
    np.testing.assert_array_equal(results.read(source, (), Role.PROBABILITY), expected)


def test_scribbles_are_made_once_and_never_lost(viewer: ViewerModel) -> None:
    source = source_of(viewer.add_image(ramp(60, 70), name="x", scale=(2, 3)))
    scribbles = ScribbleLayers(viewer)
    layer, how = scribbles.make(source)
    assert how == "made"
    assert (layer.mode, layer.selected_label, layer.data.dtype) == ("paint", 2, np.uint8)
    np.testing.assert_allclose(layer.scale, (2, 3))
    colours = [tuple(layer.colormap.map(label)) for label in (0, 1, 2)]
    assert colours[0][3] == 0
    assert len(set(colours)) == 3
    layer.paint((10, 10), 2)
    layer.name = "mine"
    assert scribbles.make(source) == (layer, "found"), "a renamed layer is known"
    viewer.layers.remove(layer)
    assert scribbles.find(source) is None
    assert scribbles.removed(layer)
    back, how = scribbles.make(source)
    assert how == "restored"
    assert back.data.any()
    assert len([item for item in viewer.layers if isinstance(item, Labels)]) == 1


def test_scribbles_that_are_there_are_taken_over(viewer: ViewerModel) -> None:
    source = source_of(viewer.add_image(ramp(60, 70), name="x"))
    labels = np.zeros((60, 70), np.uint8)
    labels[5, 5:20], labels[30, 5:20] = 1, 2
    there = viewer.add_labels(labels, name="scribbles [x]")
    scribbles = ScribbleLayers(viewer)
    assert scribbles.make(source) == (there, "found")
    assert scribbles.read(source)[()].counts() == {1: 15, 2: 15}


def test_scribbles_of_a_stack_belong_to_their_planes(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((4, 3, 60, 70), np.float32), name="x")
    source = source_of(layer, (0, 1, 2), "ZCYX")
    scribbles = ScribbleLayers(viewer)
    added = np.zeros((60, 70), np.uint8)
    added[10, 10:20] = 2
    scribbles.add(source, (2,), added)
    found = scribbles.read(source)
    assert list(found) == [(2,)]
    np.testing.assert_array_equal(found[(2,)].labels, added)
    painted = scribbles.find(source)
    assert painted is not None
    painted.undo()
    assert scribbles.read(source) == {}, "one step of undo takes it all back"


def test_scribbles_of_another_shape_are_told(viewer: ViewerModel) -> None:
    source = source_of(viewer.add_image(ramp(60, 70), name="x"))
    viewer.add_labels(np.ones((50, 70), np.uint8), name="scribbles [x]")
    with pytest.raises(ImPartialError, match="shape"):
        ScribbleLayers(viewer).read(source)


def test_the_view_goes_to_a_place_in_the_world(viewer: ViewerModel) -> None:
    layer = viewer.add_image(
        np.zeros((4, 60, 70), np.float32), name="x", scale=(2, 3, 3), translate=(1, 10, 20)
    )
    source = source_of(layer, (0,), "ZYX")
    go_to(viewer, source, (3,), 30, 40, 50)
    np.testing.assert_allclose(camera_of(viewer).center[-2:], (100, 140))
    np.testing.assert_allclose(camera_of(viewer).zoom, min(canvas_size(viewer)) / 150)
    assert source.plane_in_view(viewer) == (3,)


def test_field_in_view_is_cut_to_the_image() -> None:
    layer = ImageLayer(np.zeros((3, 400, 900), np.float32))
    assert field_in_view(source_of(layer, (0,), "CYX")) == (0, 0, 400, 900), "not drawn yet"
    layer.corner_pixels = np.array([[0, -20, 100], [0, 500, 850]])
    source = source_of(layer, (0,), "CYX")
    assert field_in_view(source) == (0, 100, 400, 851)
    layer.corner_pixels = np.array([[0, 0, 0], [0, 3, 3]])
    assert field_in_view(source) is None


def test_field_in_view_of_several_resolutions_is_that_of_the_finest() -> None:
    fine = np.zeros((400, 900), np.float32)
    layer = ImageLayer([fine, fine[::4, ::4]], multiscale=True)
    layer._data_level = 1
    layer.corner_pixels = np.array([[10, 20], [60, 120]])
    assert field_in_view(source_of(layer, (0,), "YX")) == (40, 80, 241, 481)


def test_no_object_is_too_dark_for_a_thin_line() -> None:
    from napari.utils.colormaps import label_colormap

    from napari_impartial.gui.layers.outlines import object_colours

    labels = np.arange(1, 60)
    usual, ours = label_colormap().map(labels), object_colours().map(labels)
    weights = [0.2126, 0.7152, 0.0722]
    assert (usual[:, :3] @ weights).min() < 0.2
    assert (ours[:, :3] @ weights).min() > 0.39
    bright = usual[:, :3] @ weights > 0.41
    np.testing.assert_allclose(ours[bright], usual[bright], atol=1e-6)
    assert (ours[:, 3] == 1).all()
    assert object_colours().map(0)[3] == 0


@pytest.mark.parametrize(
    ("units", "known"),
    [
        (("ms", "µm", "nm", "nm"), {"T": 0.3, "Z": 2000.0}),
        (("pixel", "µm", "µm", "µm"), {"Z": 2.0}),
        (("second", "pixel", "µm", "µm"), {"T": 300.0}),
        (("pixel", "pixel", "pixel", "pixel"), {}),
        (("µm", "second", "µm", "µm"), {}),  # a step through time is no length
    ],
)
def test_steps_through_a_stack_are_known_by_their_units(
    units: tuple[str, ...], known: dict[str, float]
) -> None:
    layer = ImageLayer(np.zeros((2, 3, 40, 50)), scale=(300, 2, 0.5, 0.5), units=units)
    assert source_of(layer, axes="TZYX").spacing == pytest.approx(known)
