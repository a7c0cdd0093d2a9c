"""The image that is chosen is the one that is seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_impartial.gui.layers import Role
from napari_impartial.gui.layers.versions import camera_of, canvas_size


def shown(viewer: Any) -> list[str]:
    return [layer.name for layer in viewer.layers if layer.visible]


def choose(widget: Any, name: str) -> None:
    records = widget.session.images.values()
    widget._bring_to_front(next(one.key for one in records if one.name == name))


@pytest.fixture
def together(widget: Any, viewer: Any, find: Any, qtbot: Any) -> Any:
    """Open images and make them all part of the session."""

    def run(shapes: dict[str, tuple[int, ...]], **placement: Any) -> None:
        for name, shape in shapes.items():
            viewer.add_image(np.ones(shape), name=name, **placement.get(name, {}))
        qtbot.waitUntil(lambda: find("image_combo").count() == len(shapes))
        find("add_images_button").click()

    return run


@pytest.fixture
def three(widget: Any, viewer: Any, find: Any, qtbot: Any) -> Any:
    """Three images at one place, each with scribbles and an uncertainty; A is in front."""
    for name in "ABC":
        viewer.add_image(np.random.default_rng(1).random((40, 50)), name=name)
    viewer.add_points(np.zeros((1, 2)), name="mine")
    qtbot.waitUntil(lambda: widget.workspace.source is not None)
    find("add_images_button").click()
    for name in "BCA":
        choose(widget, name)
        widget.workspace.new_scribbles()
        heat = widget.workspace.results.write(
            widget.workspace.source, (), Role.UNCERTAINTY, np.ones((40, 50))
        )
        heat.visible = True
    return widget


def test_other_images_are_hidden_as_soon_as_they_are_added(
    widget: Any, viewer: Any, find: Any, qtbot: Any
) -> None:
    viewer.add_image(np.ones((40, 50)), name="A")
    qtbot.waitUntil(lambda: widget.workspace.source is not None)
    viewer.add_image(np.ones((40, 50)), name="B")
    viewer.add_image(np.ones((40, 50)), name="beside", translate=(0, 50))
    qtbot.waitUntil(lambda: find("image_combo").count() == 3)
    assert shown(viewer) == ["A", "B", "beside"], "they are not the session's yet"
    choose(widget, "A")
    find("add_images_button").click()
    assert widget.workspace.source.name == "A"
    assert shown(viewer) == ["A", "beside"]
    choose(widget, "B")
    assert shown(viewer) == ["B", "beside"]


def test_images_of_one_plane_lie_at_one_place_too(widget: Any, viewer: Any, together: Any) -> None:
    shapes = dict.fromkeys(("A", "B", "above"), (1, 40, 50))
    together(shapes, above={"translate": (3, 0, 0)})
    choose(widget, "B")
    assert shown(viewer) == ["B", "above"]
    choose(widget, "A")
    assert shown(viewer) == ["A", "above"]


def test_an_image_of_another_size_is_brought_into_view(
    widget: Any, viewer: Any, together: Any
) -> None:
    together({"A": (40, 50), "B": (40, 50), "large": (400, 900)})
    choose(widget, "A")
    camera = camera_of(viewer)
    camera.center, camera.zoom = (10, 10), 20
    choose(widget, "B")
    assert tuple(camera.center[-2:]) == (10, 10), "the same place of the next image"
    assert camera.zoom == 20
    choose(widget, "large")
    assert tuple(camera.center[-2:]) == (199.5, 449.5)
    height, width = np.array(canvas_size(viewer)) / camera.zoom
    assert height >= 400
    assert width >= 900
    assert min(height / 400, width / 900) < 1.1


def test_rows_of_objects_keep_the_zoom_where_they_are_seen_well(
    widget: Any, viewer: Any, qtbot: Any
) -> None:
    viewer.add_image(np.ones((4000, 4000)), name="A")
    qtbot.waitUntil(lambda: widget.workspace.source is not None)
    camera, side = camera_of(viewer), float(min(canvas_size(viewer)))
    for zoom, kept in ((side / 300, True), (side / 100, True), (side / 30, False)):
        camera.zoom = zoom
        widget.in_picture.go_to(1, 2000.0, 1000.0, 40.0**2)
        assert tuple(camera.center[-2:]) == (2000, 1000)
        assert (camera.zoom == pytest.approx(zoom)) is kept
    camera.zoom = side / 4000
    widget.in_picture.go_to(1, 2000.0, 1000.0, 40.0**2)
    assert camera.zoom == pytest.approx(side / 240), "no speck"


def test_what_was_seen_of_an_image_comes_back_with_it(three: Any, viewer: Any) -> None:
    own = ["A", "uncertainty [A]", "scribbles [A]"]
    assert sorted(shown(viewer)) == sorted([*own, "mine"])
    viewer.layers["uncertainty [A]"].visible = False
    choose(three, "B")
    assert sorted(shown(viewer)) == sorted(["B", "uncertainty [B]", "scribbles [B]", "mine"])
    viewer.layers["mine"].visible = False
    choose(three, "A")
    assert sorted(shown(viewer)) == ["A", "scribbles [A]"]


def test_the_brush_goes_over_to_the_image_that_is_seen(three: Any, viewer: Any) -> None:
    viewer.layers.selection.active = viewer.layers["scribbles [A]"]
    three.keys.brush_background()
    choose(three, "B")
    active = viewer.layers.selection.active
    assert (active.name, active.mode, active.selected_label) == ("scribbles [B]", "paint", 1)
    viewer.layers.remove("scribbles [C]")
    choose(three, "C")
    assert viewer.layers.selection.active.name == "C"


def test_results_of_images_that_are_not_seen_wait_for_them(three: Any, viewer: Any) -> None:
    workspace = three.workspace
    other = next(s for s in workspace.sources.values() if s.name == "B")
    before = shown(viewer)
    workspace.results.write(other, (), Role.INSTANCES, np.ones((40, 50), int))
    workspace.results.write(other, (), Role.PROBABILITY, np.ones((40, 50)))
    assert shown(viewer) == before
    choose(three, "B")
    assert "instances [B]" in shown(viewer)
    assert "probability [B]" not in shown(viewer), "as it is made"


def test_layers_and_images_may_go(three: Any, viewer: Any, qtbot: Any) -> None:
    viewer.layers.remove("scribbles [B]")
    viewer.layers.remove("uncertainty [A]")
    choose(three, "B")
    viewer.layers.remove("B")
    qtbot.waitUntil(lambda: three.session.record is not None and three.session.record.name != "B")
    name = three.session.record.name
    assert name in shown(viewer)
    assert not {"A", "C"} - {name} & set(shown(viewer))


def test_a_channel_that_two_images_share_stays(widget: Any, viewer: Any, qtbot: Any) -> None:
    from napari_impartial.gui.layers import Source

    layers = [viewer.add_image(np.ones((40, 50)), name=name) for name in ("A", "B", "dna")]
    qtbot.waitUntil(lambda: widget.workspace.source is not None)
    one, other = (Source((layer, layers[2]), "YX", (0,)) for layer in layers[:2])
    widget.workspace.choose(one)
    widget.workspace.choose(other)
    assert shown(viewer) == ["B", "dna"]
    widget.workspace.choose(one)
    assert shown(viewer) == ["A", "dna"]


def test_a_restored_session_shows_the_image_that_was_in_front(
    three: Any, viewer: Any, save: Any, crash: Any, second_window: Any, open_in: Any
) -> None:
    viewer.layers["scribbles [C]"].data_setitem((np.array([3]), np.array([3])), np.array([1]))
    folder = save(three)
    crash(three)
    other, made = second_window()
    open_in(made, folder)
    assert made.session.record.name == "A"
    assert {"A", "scribbles [A]"} <= set(shown(other))
    assert not {"B", "C", "scribbles [B]"} & set(shown(other))
    choose(made, "C")
    assert {"C", "scribbles [C]"} <= set(shown(other))
    assert "A" not in shown(other)


def test_a_result_that_was_switched_off_stays_so_in_a_restored_session(
    three: Any, viewer: Any, save: Any, crash: Any, second_window: Any, open_in: Any,
    prediction_of: Any, wait_for: Any,
) -> None:  # fmt: skip
    viewer.layers["scribbles [A]"].data_setitem((np.array([3]), np.array([3])), np.array([1]))
    truth = np.zeros((40, 50), np.int32)
    truth[10:30, 10:30] = 1
    three.results._keep(three.session.current, (), prediction_of(truth))
    wait_for(lambda: "instances [A]" in viewer.layers)
    wait_for(lambda: not (three.results._cutting.busy or three.results._measuring.busy))
    viewer.layers["uncertainty [A]"].visible = False
    choose(three, "C")
    folder = save(three)
    crash(three)
    other, made = second_window()
    open_in(made, folder)
    assert made.session.record.name == "C"
    wait_for(lambda: "uncertainty [A]" in other.layers)
    choose(made, "A")
    assert "instances [A]" in shown(other)
    assert "uncertainty [A]" not in shown(other)


def test_without_the_dock_all_is_seen_as_before(three: Any, viewer: Any, qtbot: Any) -> None:
    viewer.layers["uncertainty [A]"].visible = False
    viewer.window.remove_dock_widget(three)
    qtbot.waitUntil(lambda: not viewer.keymap)
    assert set("ABC") <= set(shown(viewer))
    assert "uncertainty [A]" not in shown(viewer)


@pytest.fixture
def files(tmp_path: Any) -> list[str]:
    """Three files of one size, and one of another."""
    import tifffile

    made = []
    for name, side in (("A", 40), ("B", 40), ("C", 40), ("small", 30)):
        made.append(str(tmp_path / f"{name}.tif"))
        tifffile.imwrite(made[-1], np.random.default_rng(side).random((side, 50)))
    return made


def test_of_files_opened_together_the_dock_names_the_one_that_is_seen(
    widget: Any, viewer: Any, find: Any, files: Any, wait_for: Any
) -> None:
    for several in (files[3:], files[:2], files[2:3]):
        viewer.open(several)
        last = viewer.layers[-1]
        wait_for(lambda: widget.workspace.source is not None)
        wait_for(lambda last=last: widget.workspace.source.name == last.name)
        assert find("image_combo").currentText() == last.name
        assert shown(viewer)[-1] == last.name
    assert len(shown(viewer)) == 4, "which are images of the session, nobody has said"
    assert len(widget.session.images) == 1
    assert find("add_images_button").text() == "Add 3 other open images"
    widget.keys.brush_cell()
    scribbles = viewer.layers[-1]
    assert scribbles.name == "scribbles [C]"
    scribbles.paint((5, 5), 2)
    wait_for(lambda: widget.session.record.annotated)
    viewer.layers.remove("A")
    viewer.open(files[0])
    wait_for(lambda: find("image_combo").count() == 4)
    assert widget.workspace.source.name == "C", "an image with strokes stays"
    widget.keys.brush_cell()
    assert widget.workspace.source.name == "A", "strokes go to the image that is seen"


def test_files_of_one_size_may_be_images_or_channels(
    widget: Any, viewer: Any, find: Any, files: Any, wait_for: Any
) -> None:
    viewer.open([files[3], *files[:3]])
    question = find("together_label")
    asked = "A, B have the size of C: other images, or channels of this one?"
    wait_for(lambda: question.isVisibleTo(widget) and question.text() == asked)
    assert find("join_channels_button").isVisibleTo(widget)
    find("join_channels_button").click()
    assert widget.session.record.channel_names == ("C", "A", "B")
    assert not question.isVisibleTo(widget)
    assert find("add_images_button").text() == "Add 1 other open image"
    find("channel_table").tick([1, 2], False)
    assert question.isVisibleTo(widget)
    find("add_images_button").click()
    assert sorted(one.name for one in widget.session.images.values()) == ["A", "B", "C", "small"]
    assert shown(viewer) == ["C"]
    assert not question.isVisibleTo(widget)
    assert [row.name for row in find("channel_table").channels] == ["C"]
    assert find("add_images_button").isHidden()


def test_a_channel_without_a_tick_is_no_other_image(
    widget: Any, viewer: Any, find: Any, wait_for: Any
) -> None:
    layers = viewer.open_sample("napari-impartial", "multiplex_tissue")
    wait_for(lambda: widget.session.record is not None and widget.session.record.n_channels == 3)
    assert widget.workspace.source.primary == layers[0], "named after the first"
    find("channel_table").tick([1], False)
    assert widget.session.record.n_channels == 2
    assert find("add_images_button").isHidden()
    assert find("join_channels_button").isHidden()
