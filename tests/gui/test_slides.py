"""Slides in the window: fields of them, all of them in the background, and what a session keeps."""

from __future__ import annotations

import csv
import json
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import tifffile
from looking import layer_named, names, settled
from qtpy.QtWidgets import QFileDialog
from skimage.segmentation import relabel_sequential

from napari_impartial.cli.main import main
from napari_impartial.core.data.synthetic_tissue import Tissue, tissue
from napari_impartial.gui.layers import fields as fields_module
from napari_impartial.gui.layers import image_source
from napari_impartial.gui.layers.fields import (
    Field,
    Level,
    box_at,
    field_of,
    levels,
    usual_level,
)
from napari_impartial.gui.layers.grid import placement
from napari_impartial.gui.layers.image_source import Source
from napari_impartial.gui.layers.versions import camera_of
from napari_impartial.gui.result import export as export_module
from napari_impartial.gui.result import slide as slide_module
from napari_impartial.gui.review import slide_review
from napari_impartial.io import limits, read_labels
from napari_impartial.io.ome_zarr_writer import Layout, write_image

SHAPE = (1100, 900)


@pytest.fixture(scope="module")
def made() -> Tissue:
    return tissue(SHAPE, 2, seed=5)


@pytest.fixture(scope="module")
def store(
    tmp_path_factory: pytest.TempPathFactory, made: Tissue, request: pytest.FixtureRequest
) -> Path:
    """A pyramid of three levels on disk, at 0.25 µm a pixel; of a part where a test asks for it."""
    path = tmp_path_factory.mktemp("slides") / "slide.ome.zarr"
    height, width = getattr(request, "param", SHAPE)
    channels = np.clip(made.image.channels[:, :height, :width], 0, 65535).astype(np.uint16)
    layout = Layout(
        channels.shape, "CYX", np.uint16, pixel_size=(0.25, 0.25), pixel_unit="µm",
        channel_names=made.image.channel_names,
    )  # fmt: skip
    write_image(path, channels, layout)
    return path


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is large, a field and a block, are small here."""
    monkeypatch.setattr(limits, "LARGE_PX", 1 << 18)
    monkeypatch.setattr(fields_module, "FIELD_PX", 256)
    monkeypatch.setattr(image_source, "_LOOK_PX", 1 << 17)
    monkeypatch.setattr(slide_module, "BLOCK_PX", 256)
    # In the thread that asks: dask keeps a pool of threads otherwise.
    monkeypatch.setitem(dask.config.config, "scheduler", "synchronous")


@pytest.fixture
def slide(widget: Any, viewer: Any, store: Path, wait_for: Any) -> Any:
    """The slide, opened with napari's own reader, in front."""
    (layer,) = viewer.open(str(store), plugin="napari")
    wait_for(lambda: widget.workspace.source is not None)
    assert layer.multiscale
    return layer


@pytest.fixture
def full_res(widget: Any, slide: Any, find: Any) -> Any:
    find("level_combo").setCurrentIndex(0)
    return slide


def field_here(widget: Any, wait_for: Any) -> Source:
    wait_for(lambda: not widget.fields.busy)
    source = widget.workspace.source
    assert field_of(source.primary) is not None
    return source


def look_at(viewer: Any, y: float, x: float) -> None:
    camera_of(viewer).center = (y, x)


def test_levels_and_fields_of_a_slide(viewer: Any, store: Path) -> None:
    (layer,) = viewer.open(str(store), plugin="napari")
    found = levels(Source((layer,), "CYX", (0, 1)), 0.25)
    assert [level.shape for level in found] == [SHAPE, (550, 450), (275, 225)]
    assert [level.factor for level in found] == [(1, 1), (2, 2), (4, 4)]
    assert [level.pixel_um for level in found] == [0.25, 0.5, 1.0]
    assert usual_level(found) == 1
    assert usual_level(levels(Source((layer,), "CYX", (0, 1)))) == 0, "nobody says the pixel size"
    assert box_at(found[0], 0, 899) == (0, 644, 256, 900), "moved to lie inside"
    assert box_at(found[2], 550, 450) == (10, 0, 266, 225), "as wide as there is"
    field = Field("a", 1, 1, (10, 20, 110, 120), (2.0, 2.0))
    assert field.holds((20, 40, 220, 240))
    assert not field.holds((19, 40, 220, 240))
    assert field.inside((100, 100, 110, 130)) == (slice(40, 45), slice(30, 45))
    odd = Level((313, 313), (128.0, 128.0), None)
    assert odd.factor == (128.0, 128.0)


def test_a_slide_offers_fields_and_reads_nothing_whole(
    request: pytest.FixtureRequest, widget: Any, viewer: Any, find: Any, wait_for: Any,
    notes: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    read: list[int] = []
    whole = da.Array.__array__

    def counted(self: da.Array, *args: Any, **kwargs: Any) -> Any:
        # What napari draws, it reads itself.
        by = {Path(frame.filename).name for frame in traceback.extract_stack(limit=4)}
        if "_slice.py" not in by:
            read.append(self.size)
        return whole(self, *args, **kwargs)

    monkeypatch.setattr(da.Array, "__array__", counted)
    slide = request.getfixturevalue("slide")
    wait_for(lambda: find("channel_table").channels[1].preview is not None)
    assert find("take_field_button").isVisibleTo(widget)
    assert find("level_combo").currentText() == "0.5 µm, 550 x 450 px"
    assert not find("predict_button").isEnabled()
    assert "slide" in find("status_label").text()
    find("new_scribbles_button").click()
    source = field_here(widget, wait_for)
    assert "scribbles [slide.ome]" not in names(viewer)
    scribbles = layer_named(viewer, f"scribbles [{source.name}]")
    assert viewer.layers.selection.active == scribbles
    assert scribbles.mode == "paint"
    assert scribbles.data.shape == (256, 256)
    assert slide.visible, "the field lies on the slide"
    field = field_of(source.primary)
    y0, x0, y1, x1 = field.box
    np.testing.assert_array_equal(source.primary.data, slide.data[1][:, y0:y1, x0:x1].compute())
    # A pixel of the field lies where the pixels lie that it is made of.
    at = source.primary.data_to_world((0, 10, 20))[1:]
    np.testing.assert_allclose(at, [2 * (y0 + 10) + 0.5, 2 * (x0 + 20) + 0.5])
    # The brush on the slide goes to the field that is there.
    widget.image_panel.setValue(widget.fields.slide())
    assert widget.session.record.is_slide
    widget.keys.take(1)
    assert field_here(widget, wait_for) == source
    wait_for(lambda: viewer.layers.selection.active == scribbles)
    assert scribbles.selected_label == 1
    # From there another one can be taken.
    look_at(viewer, 900, 700)
    find("take_field_button").click()
    other = field_here(widget, wait_for)
    assert other.name == "slide.ome [field 2]"
    assert "2 fields" in find("slide_label").text()
    # What is looked at stays in view, from the slide to a field that lies there alone.
    centre = tuple(camera_of(viewer).center)
    widget.image_panel.setValue(widget.fields.slide())
    assert tuple(camera_of(viewer).center) == centre
    widget.image_panel.setValue(source)
    np.testing.assert_allclose(
        camera_of(viewer).center[-2:], source.primary.data_to_world((0, 127.5, 127.5))[1:]
    )
    slide.name = "other"
    assert [f.number for _, f in widget.fields.fields(widget.fields.slide())] == [1, 2]
    assert read
    assert max(read) < np.prod(SHAPE) / 2, "nothing is read whole"
    assert not [note for note in notes() if "whole" in note]


def train_on_a_field(
    widget: Any, viewer: Any, find: Any, made: Tissue, wait_for: Any, thinned: int = 1
) -> Source:
    """Paint on a field as an annotator would, and train a little."""
    look_at(viewer, 500, 400)
    find("take_field_button").click()
    source = field_here(widget, wait_for)
    find("new_scribbles_button").click()
    field = field_of(source.primary)
    y0, x0, y1, x1 = field.box
    drawn = made.scribbles(0.3).labels[::thinned, ::thinned][y0:y1, x0:x1]
    layer = layer_named(viewer, f"scribbles [{source.name}]")
    layer.data_setitem(np.nonzero(drawn), drawn[drawn > 0])
    find("preset_combo").setCurrentIndex(0)
    find("time_budget_spin").setValue(60)
    wait_for(lambda: find("train_button").isEnabled())
    find("train_button").click()
    wait_for(lambda: widget.session.rounds)
    wait_for(lambda: not widget.session.busy)
    settled(widget, wait_for)
    return source


@pytest.mark.long
@pytest.mark.parametrize("store", [(640, 600)], indirect=True, ids=["640 x 600"])
def test_all_of_a_slide_is_predicted_stopped_resumed_and_kept(
    widget: Any, viewer: Any, find: Any, full_res: Any, made: Tissue, store: Path, wait_for: Any,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_steps: list[int], save: Any,
    second_window: Any, open_in: Any,
) -> None:  # fmt: skip
    max_steps[0] = 60
    monkeypatch.setattr(slide_module, "BLOCK_PX", 192)
    out = tmp_path / "out"
    out.mkdir()
    asked: list[str] = []
    monkeypatch.setattr(
        QFileDialog, "getExistingDirectory", lambda *a: (asked.append(a[2]), str(out))[1]
    )
    field = train_on_a_field(widget, viewer, find, made, wait_for)
    assert layer_named(viewer, f"instances [{field.name}]").data.any()
    assert find("batch_scope_combo").currentText() == "All of the slide"
    seen: list[tuple[float, str]] = []
    widget.slides.progressed.connect(lambda *news: seen.append(news))
    # Given up before the process for it is there.
    find("predict_all_button").click()
    assert asked == [str(store.parent)]
    find("cancel_batch_button").click()
    wait_for(lambda: not widget.slides.running)
    assert find("batch_label").text().startswith("Stopped")
    wait_for(lambda: find("predict_all_button").isEnabled())
    find("predict_all_button").click()
    wait_for(lambda: "done [slide.ome]" in names(viewer))
    assert not widget.session.busy, "one can paint and train meanwhile"
    assert "slide.ome: " in find("status_label").text(), "wherever one looks"
    find("cancel_batch_button").click()
    wait_for(lambda: not widget.slides.running)
    assert find("batch_label").text().startswith("Stopped")
    assert "done [slide.ome]" not in names(viewer)
    marks = out / ".slide_objects.ome.zarr.part" / "_maps" / "predicted"
    finished = {file.name: file.stat().st_mtime_ns for file in marks.iterdir()}
    assert 0 < len(finished) < 16
    find("predict_all_button").click()
    wait_for(lambda: not widget.slides.running)
    assert len(asked) == 1, "the folder is known"
    assert float(seen[-1][0]) > 0.9
    layer = layer_named(viewer, "instances [slide.ome]")
    assert layer.multiscale
    assert not isinstance(layer.data[0], np.ndarray), "read as it is looked at"
    assert not layer.editable
    assert viewer.layers.index("instances [slide.ome]") == viewer.layers.index("slide.ome") + 1
    # The same as the command line says.
    config = widget.session.instance_config
    model = next(out.glob("*_model.impartial"))
    code = main(
        ["predict", str(store), "--model", str(model), "--out", str(tmp_path / "cli"),
         "--format", "zarr", "--block-px", "192", "--min-size-px", str(config.min_size_px),
         "--threshold", str(config.threshold)]
    )  # fmt: skip
    assert code in (0, None)
    np.testing.assert_array_equal(
        np.asarray(layer.data[0]), read_labels(tmp_path / "cli" / "slide.ome.zarr")
    )
    record = next(r for r in widget.session.images.values() if r.is_slide)
    assert record.on_disk.n_objects == int(np.asarray(layer.data[0]).max()) == record.tally.objects
    assert str(out) in find("batch_label").text()
    assert f"{record.on_disk.n_objects:,} objects" in find("batch_label").text()
    # Clicking on an object of the slide does no harm.
    assert layer.get_value((500, 400), world=True) is not None
    # Suggestions: the next place is a field.
    places = [place for place in widget.results.suggestions.places if place.key == record.key]
    suggested = json.loads((out / "slide_objects_suggestions.json").read_text("utf-8"))
    assert {(p.suggestion.y, p.suggestion.x) for p in places} <= {
        (s["y"], s["x"]) for s in suggested
    }

    # One that looks fine is left out, until that is undone.
    def suggested_here() -> list[Any]:
        return [suggestion.box for suggestion in record.plane(()).suggestions]

    # What was painted before, in the field, is done.
    place = [place for place in places if not place.done][-1]
    fine, before = place.suggestion.box, suggested_here()
    widget.results.suggestions.looks_fine(place)
    assert suggested_here() == [box for box in before if box != fine] != before
    assert fine not in [p.suggestion.box for p in widget.results.suggestions.places]
    widget.results.review.undo()
    assert suggested_here() == before
    # (Where the first field was painted on, there is nothing more to do.)
    place = next(one for one in places if not one.done)
    widget.results.suggestions.go_to(place)
    wait_for(lambda: not widget.fields.busy)
    there = widget.workspace.source
    wait_for(lambda: f"instances [{there.name}]" in names(viewer))
    order = names(viewer)
    assert order.index("suggestions [slide.ome]") > order.index(there.name), "boxes are seen"
    holds = field_of(there.primary)
    assert holds.holds(place.suggestion.box)
    wait_for(lambda: not widget.session.busy)
    # The field's own places have come into the list, and may be more in doubt.
    (here,) = (
        p for p in widget.results.suggestions.places if p.suggestion.box == place.suggestion.box
    )
    question = f"Place {here.suggestion.rank} of "
    assert question in find("status_label").text()
    said = layer_named(viewer, "suggestions [slide.ome]").features["words"]
    assert [words.startswith(question) for words in said].count(True) == 1
    scribbles = layer_named(viewer, f"scribbles [{there.name}]")
    rows, cols = holds.inside(place.suggestion.box)
    scribbles.data_setitem(
        (np.array([(rows.start + rows.stop) // 2]), np.array([(cols.start + cols.stop) // 2])), 1
    )
    widget.workspace.read_scribbles()
    now = [p for p in widget.results.suggestions.places if p.suggestion.box == place.suggestion.box]
    assert all(p.done for p in now)
    # With another threshold it is cut anew, and not predicted.
    widget.image_panel.setValue(widget.fields.slide())
    assert "made with" not in find("batch_label").text()
    before, known = config.threshold, record.on_disk
    wait_for(lambda: find("threshold_slider").isEnabled())
    find("threshold_slider").setValue(0.9)
    wait_for(lambda: f"made with threshold {before};" in find("batch_label").text())
    looked = np.asarray(layer_named(viewer, "instances [slide.ome]").data[0])
    seen.clear()
    wait_for(lambda: find("predict_all_button").isEnabled())
    find("predict_all_button").click()
    wait_for(lambda: not widget.slides.running)
    assert any("keeping the maps of the earlier result" in text for _, text in seen)
    assert not any("predicting" in text for _, text in seen)
    assert record.on_disk.n_objects < known.n_objects
    assert np.asarray(layer_named(viewer, "instances [slide.ome]").data[0]).any()
    assert looked.max() == known.n_objects
    wait_for(lambda: "made with" not in find("batch_label").text())
    # The table of the objects is that of the run, and what is decided is kept.
    widget.image_panel.setValue(widget.workspace.sources[record.key])
    table = widget.result_panel.table.table_model()
    wait_for(lambda: table.total() == record.on_disk.n_objects)
    widget.slide_review.reject([3])
    assert table.total() == record.on_disk.n_objects - 1
    # All of it comes back.
    folder = save(widget)
    n_fields = len(widget.fields.fields(widget.fields.slide()))
    viewer.close()
    wait_for(lambda: widget.store._closed)
    other, again = second_window()
    open_in(again, folder)
    settled(again, wait_for)
    back = next(r for r in again.session.images.values() if r.is_slide)
    assert back.on_disk == record.on_disk
    assert back.on_disk.rejected == [3]
    objects = layer_named(other, "instances [slide.ome]")
    assert objects.multiscale
    assert not (np.asarray(objects.data[0]) == 3).any()
    (slide_back,) = [s for s in again.workspace.sources.values() if s.is_slide]
    assert len(again.fields.fields(slide_back)) == n_fields
    assert again.fields.level(slide_back) == 0
    assert layer_named(other, f"scribbles [{field.name}]").data.any()


def test_the_pixel_size_of_a_scanners_slide_is_offered(
    widget: Any, viewer: Any, find: Any, wait_for: Any, tmp_path: Path
) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (640, 600, 3), np.uint8)
    about = "Aperio Image Library v12.0.15\r\n600x640|AppMag = 20|MPP = 0.4990|Left = 1"
    path = tmp_path / "slide.tif"
    tifffile.imwrite(
        path, colours, photometric="rgb", tile=(128, 128), metadata=None, description=about
    )
    viewer.open(str(path), plugin="napari")
    wait_for(lambda: find("level_combo").count() > 0)
    assert find("level_combo").currentText() == "0.499 µm, 640 x 600 px"


def test_places_in_a_slide_of_several_planes(
    widget: Any, viewer: Any, made: Tissue, wait_for: Any, tmp_path: Path
) -> None:
    channels = np.clip(made.image.channels[:, :700, :700], 0, 65535).astype(np.uint16)
    stack = np.stack([channels, channels[:, ::-1], channels], axis=1)
    path = tmp_path / "stack.ome.zarr"
    write_image(path, stack, Layout(stack.shape, "CZYX", np.uint16, channel_names=("a", "b")))
    labels = Layout((3, 700, 700), "ZYX", np.int32, labels=True)
    write_image(tmp_path / "out.ome.zarr", np.ones(labels.shape, np.int32), labels)
    place = {"rank": 1, "y": 300, "x": 320, "box": [280, 300, 320, 340], "score": 0.9,
             "reason": "two", "image": "stack [z=2]", "plane": {"z": 2}}  # fmt: skip
    other = {**place, "rank": 2, "y": 500, "box": [480, 300, 520, 340], "plane": {"z": 0}}
    old = {**place, "rank": 3, "y": 100, "box": [80, 300, 120, 340]}
    del old["plane"]
    (tmp_path / "p.json").write_text(json.dumps([place, other, old]), encoding="utf-8")
    viewer.open(str(path), plugin="napari")
    wait_for(lambda: widget.workspace.source is not None)
    record = next(r for r in widget.session.images.values() if r.is_slide)
    saved = {"store": str(tmp_path / "out.ome.zarr"), "table": "t.csv", "level": 0,
             "places": str(tmp_path / "p.json"), "n_objects": 1, "classes": {},
             "predicted_by": -1}  # fmt: skip
    elsewhere = {"results": {"not here": saved, record.name: saved}}
    widget.slides.restore(elsewhere)
    assert widget.slides.save()["results"].keys() == elsewhere["results"].keys()
    found = {p.plane: p.suggestion.y for p in widget.results.suggestions.places}
    assert found == {(2,): 300, (0,): 500}
    # A field there is of its plane, and one of another plane is no stand-in.
    first = next(p for p in widget.results.suggestions.places if p.plane == (2,))
    widget.results.suggestions.go_to(first)
    field = field_here(widget, wait_for)
    assert field_of(field.primary).plane == (2,)
    box = field_of(field.primary).box
    rows, cols = slice(box[0], box[2]), slice(box[1], box[3])
    np.testing.assert_array_equal(field.primary.data, stack[:, 2, rows, cols])
    widget.results.suggestions.go_to(replace(first, plane=(0,)))
    wait_for(lambda: not widget.fields.busy)
    assert field_of(widget.workspace.source.primary).plane == (0,)
    assert len(widget.fields.fields(widget.fields.slide())) == 2


def test_a_slide_without_a_file_says_what_to_do(
    widget: Any, viewer: Any, find: Any, made: Tissue, wait_for: Any, notes: Any,
    max_steps: list[int], save: Any,
) -> None:  # fmt: skip
    max_steps[0] = 5
    pyramid = [da.from_array(made.image.channels[:, ::n, ::n]) for n in (1, 2)]
    viewer.add_image(pyramid, multiscale=True, name="loose", axis_labels=("c", "y", "x"))
    wait_for(lambda: widget.workspace.source is not None)
    train_on_a_field(widget, viewer, find, made, wait_for)
    find("predict_all_button").click()
    assert any("comes from no file" in note for note in notes())
    assert not widget.slides.running
    folder = save(widget)
    size = sum(file.stat().st_size for file in folder.rglob("*.tif*"))
    assert size < made.image.channels.nbytes / 2, "the slide's pixels are not kept"


def test_channels_that_are_layers_and_a_coarser_level(
    widget: Any, viewer: Any, find: Any, made: Tissue, store: Path, wait_for: Any,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_steps: list[int], notes: Any,
) -> None:  # fmt: skip
    max_steps[0] = 5
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    names_ = list(made.image.channel_names)
    viewer.open(str(store), plugin="napari", channel_axis=0, name=names_)
    wait_for(lambda: widget.workspace.source is not None)
    assert len(widget.workspace.source.layers) == 2
    slide = widget.workspace.source
    field = train_on_a_field(widget, viewer, find, made, wait_for, thinned=2)
    assert [layer.name for layer in field.layers] == [f"{name} [field 1]" for name in names_]
    assert field.channel_names == slide.channel_names
    assert field.layers[1].colormap.name == slide.layers[1].colormap.name
    assert widget.fields.level(slide) == 1, "half a µm a pixel"
    # The fields stay in sight together with the slide, and hide nothing.
    assert all(layer.visible for layer in (*slide.layers, *field.layers))
    find("predict_all_button").click()
    wait_for(lambda: not widget.slides.running)
    assert not [note for note in notes() if "channel" in note]
    layer = layer_named(viewer, f"instances [{slide.name}]")
    assert layer.data[0].shape == (550, 450)
    np.testing.assert_allclose(layer.scale, [2, 2])
    np.testing.assert_allclose(layer.extent.world, [[0.5, 0.5], [1098.5, 898.5]])


def test_fields_and_results_lie_where_a_slide_that_is_turned_lies() -> None:
    from napari.layers import Image as ImageLayer

    data = np.zeros((40, 60), np.uint8)
    slide = ImageLayer(
        data,
        scale=(0.5, 2),
        translate=(3, 4),
        rotate=30,
        affine=[[2, 0.5, 1], [0, 1, 7], [0, 0, 1]],
    )
    where = placement(slide, "YX", "YX", (4.0, 4.0), (2, 3))
    field = ImageLayer(data[:4, :4], **where)
    for y, x in ((0, 0), (1, 3)):
        whole = (4 * (2 + y) + 1.5, 4 * (3 + x) + 1.5)
        np.testing.assert_allclose(field.data_to_world((y, x)), slide.data_to_world(whole))


@pytest.fixture
def result(
    widget: Any, full_res: Any, made: Tissue, tmp_path: Path, write_results: Any
) -> dict[str, Any]:
    """Results of the slide on disk, of the tissue's true cells, as a session names them."""
    return as_kept(write_results(tmp_path / "results", made.truth), made.truth)


def as_kept(paths: dict[str, Path], labels: Any) -> dict[str, Any]:
    """Return what a session keeps of results."""
    told = {"level": 0, "n_objects": len(np.unique(labels)) - 1, "classes": {}, "predicted_by": -1}
    return {**{kind: str(path) for kind, path in paths.items()}, **told}


def show_result(widget: Any, wait_for: Any, result: dict[str, Any]) -> Any:
    """Let the window take up a result, and return the record of the slide."""
    record = next(r for r in widget.session.images.values() if r.is_slide)
    widget.slides.restore({"results": {record.name: result}})
    model = widget.result_panel.table.table_model()
    wait_for(lambda: model.total() == record.on_disk.n_left)
    return record


def test_objects_of_a_slide_are_listed_and_decided_on(
    widget: Any, viewer: Any, find: Any, result: Any, made: Tissue, wait_for: Any, notes: Any,
    tmp_path: Path, write_results: Any,
) -> None:  # fmt: skip
    record = show_result(widget, wait_for, result)
    table = find("object_table")
    model, n = table.table_model(), result["n_objects"]
    layer = layer_named(viewer, "instances [slide.ome]")
    assert layer.contour > 0, "outlines, as of other images"
    assert find("count_label").text() == f"{n} objects"
    assert model.value(0, "area_px").dtype.itemsize == 4
    # A row leads to the object, and a click on the object to the row.
    label = int(model.value(7, "label"))
    middle = np.argwhere(made.truth == label).mean(axis=0)
    table.go_to_row(7)
    np.testing.assert_allclose(camera_of(viewer).center[-2:], middle, atol=5)
    assert layer.selected_label == label
    widget._on_clicked_object(layer, label + 1)
    assert table.selected() == [label + 1]
    # Three are rejected, by button and by key; one of them is undone, and one accepted.
    gone = [label, label + 1, label + 2]
    for one in gone:
        widget.result_panel.review.show_row(one)
        (find("reject_button").click if one == label else widget.keys.reject)()
    assert model.total() == n - 3
    assert [model.row_of(one) for one in gone] == [None] * 3
    assert find("count_label").text() == f"{n - 3} objects"
    assert f"{n - 3:,} objects in all of the slide" in find("verdict_label").text()
    shown = np.asarray(layer.data[0])
    np.testing.assert_array_equal(shown, np.where(np.isin(made.truth, gone), 0, made.truth))
    assert not np.isin(np.asarray(layer.data[1]), gone).any()
    assert read_labels(Path(result["store"])).max() == n, "what is on disk stays"
    assert "rejecting object" in widget.results.review.undo_words()
    find("undo_button").click()
    assert model.total() == n - 2
    assert table.selected() == [gone[2]], "what came back is selected"
    widget.result_panel.review.accept()
    assert model.value(model.row_of(gone[2]), "review") == "accepted"
    assert [verdict for verdict, _ in widget.in_picture.marks.signs()].count("accepted") == 1
    find("filter_column_combo").setCurrentIndex(find("filter_column_combo").findData("review"))
    find("filter_sign_combo").setCurrentText("=")
    find("filter_edit").setText("accepted")
    assert (model.rowCount(), find("shown_label").text()) == (1, f"1 of {n - 2}")
    find("filter_edit").setText("")
    # They come back, and are bound to this result.
    (kept,) = json.loads(json.dumps(widget.slides.save()))["results"].values()
    record.on_disk = None
    record = show_result(widget, wait_for, kept)
    assert record.on_disk.rejected == gone[:2]
    assert not np.isin(
        np.asarray(layer_named(viewer, "instances [slide.ome]").data[0]), gone[:2]
    ).any()
    # Of a new result, the same objects have other numbers; one is not there any more.
    other = np.where(made.truth > 0, n + 1 - made.truth, 0)
    other[made.truth == gone[0]] = 0
    other = relabel_sequential(other)[0].astype(np.int32)
    kept |= as_kept(write_results(tmp_path / "other", other), other)
    record.on_disk = None
    widget.slides.restore({"results": {record.name: kept}})
    wait_for(lambda: record.on_disk.decisions)
    there = other[made.truth == gone[1]]
    assert record.on_disk.rejected == [int(there[0])]
    assert "1 decision about objects of the earlier result" in notes()[-1]
    wait_for(lambda: model.total() == record.on_disk.n_left)
    widget.results.review.undo()
    assert record.on_disk.rejected == [int(there[0])], "what was decided on others is not undone"
    # A table that is gone is said.
    Path(kept["table"]).unlink()
    record.on_disk = None
    widget.slides.restore({"results": {record.name: kept | {"decided": {"1": 3}}}})
    wait_for(lambda: "cannot be read" in notes()[-1])
    assert any("damaged and were left out" in note for note in notes())


def test_results_that_are_away_stay_in_the_session(
    widget: Any, wait_for: Any, result: dict[str, Any], notes: Any
) -> None:
    record = next(r for r in widget.session.images.values() if r.is_slide)
    decided = {"1": ["rejected", [0, 0, 9, 9], [], ""]}
    away = {**result, "places": f"{result['places']}.gone", "decided": decided}
    widget.slides.restore({"results": {record.name: away}})
    assert record.on_disk is None
    assert any("stays in the session" in note for note in notes())
    assert widget.slides.save()["results"] == {record.name: away}
    show_result(widget, wait_for, result)
    assert widget.slides.save()["results"][record.name]["places"] == result["places"]


def test_planes_of_objects_have_axes_of_one_as_the_window_has() -> None:
    table = {"label": np.array([1, 2]), "z": np.array([4, 5])}
    found = slide_review._planes(table, slide_review._Scale((1.0, 1.0), ("t", "z")))
    assert found.tolist() == [[0, 4], [0, 5]]


def test_a_sample_of_a_whole_slide_is_judged(
    widget: Any, viewer: Any, find: Any, result: Any, made: Tissue, wait_for: Any,
) -> None:  # fmt: skip
    record = show_result(widget, wait_for, result)
    wait_for(lambda: find("spot_check_draw").isEnabled())
    widget.slide_review.reject([1])
    find("spot_check_number").setValue(30)
    wait_for(lambda: find("spot_check_draw").isEnabled())
    find("spot_check_draw").click()
    check = widget.spot_check.sample.check
    assert sum(one.size for one in check.strata if one.kind == "object") == result["n_objects"] - 1
    seen = []
    while widget.spot_check.at is not None:
        unit = check.units[widget.spot_check.at]
        seen.append(unit)
        y0, x0, y1, x1 = unit.box
        middle = (y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2
        np.testing.assert_allclose(camera_of(viewer).center[-2:], middle, atol=0.6)
        if unit.label:
            inside = made.truth[y0:y1, x0:x1] == unit.label
            assert inside.sum() == (made.truth == unit.label).sum(), "the box is round the object"
        widget.keys.verdict_right()
    assert len(seen) == 30
    assert len({one.box[0] // 300 for one in seen}) > 2, "all over the slide"
    assert "100" in find("spot_check_summary").text()
    # What was not judged yet cannot be gone on with once there is another result.
    find("spot_check_draw").click()
    find("spot_check_leave").click()
    assert find("spot_check_resume").isEnabled()
    record.on_disk = replace(record.on_disk, mark="another")
    widget.session.changed.emit()
    wait_for(lambda: not find("spot_check_resume").isEnabled())


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


def test_a_slide_without_objects_is_not_exported(
    widget: Any, wait_for: Any, result: dict[str, Any]
) -> None:
    record = show_result(widget, wait_for, result)
    assert widget.exports.ready()["outlines"]
    widget.slide_review.reject(range(1, result["n_objects"] + 1))
    assert record.on_disk.n_left == 0
    assert not widget.exports.ready()["outlines"]
    assert not widget.exports.ready()["all"], "others would wait for it in vain"


def test_objects_of_a_slide_are_exported_as_decided(
    widget: Any, viewer: Any, find: Any, result: Any, made: Tissue, wait_for: Any, notes: Any,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    record = show_result(widget, wait_for, result)
    n = result["n_objects"]
    widget.slide_review.reject([1, 2])
    widget.slide_review.accept([3])
    button = find("export_button")
    entries = {action.objectName(): action for action in button.menu().actions()}
    assert not entries["export_rois_action"].isEnabled()
    assert "of fields only" in entries["export_rois_action"].text()
    out = tmp_path / "out"
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(out))
    entries["export_all_action"].trigger()
    assert not button.menu().actions()[0].isEnabled() or widget.exports.busy
    wait_for(lambda: not widget.exports.busy)
    assert "objects of 1 image were written" in notes()[-1]
    wanted = np.where(made.truth > 2, made.truth, 0)
    np.testing.assert_array_equal(read_labels(out / "slide.ome_instances.ome.zarr"), wanted)
    rows = rows_of(out / "slide.ome_measurements.csv")
    assert len(rows) == n - 2
    assert [row["review"] for row in rows[:2]] == ["accepted", ""]
    features = json.loads((out / "slide.ome_outlines.geojson").read_text())["features"]
    assert len(features) == n - 2
    assert (out / "slide.ome_suggestions.json").read_text() == "[]"
    # What is read is not written over, and a run that is given up leaves nothing behind.
    before = set(out.iterdir())
    widget.exports.export("outlines", Path(result["table"]))
    wait_for(lambda: not widget.exports.busy)
    assert "belongs to the results" in notes()[-1]
    widget.exports.export("instances", out / "again.ome.zarr")
    assert "Exporting: 0% written." in find("status_label").text()
    widget.exports.stop()
    wait_for(lambda: not widget.exports.busy)
    assert "given up" in notes()[-1]
    assert set(out.iterdir()) == before
    assert not widget.exports.words
    assert read_labels(record.on_disk.store).max() == n
    # The rows that are shown are a table of their own.
    find("filter_edit").setText("100")
    panel = widget.result_panel.review
    monkeypatch.setattr(export_module, "SORTED_AT_ONCE", 10)
    panel.export_wanted.emit(tmp_path / "rows.csv", panel.table.table_model().shown())
    wait_for(lambda: not widget.exports.busy)
    rows = rows_of(tmp_path / "rows.csv")
    assert f"{len(rows)} rows" in notes()[-1]
    assert min(int(row["area_px"]) for row in rows) > 100
