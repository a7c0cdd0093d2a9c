"""Review in a real window: accept, reject, correct, undo; suggestions; rounds.

The prediction is put together from the truth, so that nothing has to be trained here;
``test_widget.py`` and ``test_rounds_window.py`` go the whole way.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from looking import saved_in, settled
from qtpy.QtWidgets import QWidget
from scipy import ndimage

from napari_impartial.core.instances.measurements import measure
from napari_impartial.core.review.annotation import annotation
from napari_impartial.core.review.review import Verdict
from napari_impartial.gui.layers.versions import camera_of
from napari_impartial.session.saved_state import SavedPlane
from napari_impartial.session.suggested_places import PlaceState


@pytest.fixture
def layer_named(viewer: Any) -> Callable[[str], Any]:
    return lambda name: next(layer for layer in viewer.layers if layer.name == name)


def plane(widget: Any) -> Any:
    return widget.session.plane


def labels_in(layer: Any) -> list[int]:
    return [int(i) for i in np.unique(layer.data) if i]


def test_accept_reject_and_undo(
    widget: Any, viewer: Any, find: Any, scribbled: Any, predicted: Any, wait_for: Any
) -> None:
    table, known = find("object_table"), plane(widget)
    n = len(labels_in(predicted))
    assert table.model().rowCount() == n == known.n_objects
    assert not find("accept_button").isEnabled()
    assert not find("undo_button").isEnabled()

    # Accepting keeps the object whatever the sliders say, and goes on to the next row.
    table.go_to_row(0)
    first = table.selected()[0]
    before = predicted.data == first
    find("accept_button").click()
    assert table.selected() != [first]
    assert plane(widget).review.kept[first].verdict is Verdict.ACCEPTED
    assert table.table_model().value(table.table_model().row_of(first), "review") == "accepted"
    find("threshold_slider").setValue(0.9)
    settled(widget, wait_for)
    np.testing.assert_array_equal(predicted.data == first, before)
    find("threshold_slider").setValue(0.5)
    settled(widget, wait_for)
    assert len(labels_in(predicted)) == n

    # Rejecting, be it what was accepted, takes the object away and paints background. With
    # that erased it is back.
    painted = scribbled.data.copy()
    viewer.layers.selection.active = predicted
    row = next(
        r
        for r in range(n)
        if not (painted[predicted.data == table.table_model().labels([r])[0]]).any()
    )
    table.go_to_row(row)
    second = table.selected()[0]
    where = predicted.data == second
    find("reject_button").click()
    assert second not in labels_in(predicted)
    assert table.model().rowCount() == n - 1
    assert find("count_label").text() == f"{n - 1} objects"
    stroke = (scribbled.data == 1) & (painted != 1)
    assert stroke.sum() >= where.sum() / 2
    assert where[stroke].all()
    assert viewer.layers.selection.active == predicted, "the tool in hand stays"
    find("threshold_slider").setValue(0.4)
    settled(widget, wait_for)
    assert not predicted.data[ndimage.binary_erosion(where)].any(), "it does not come back"
    find("threshold_slider").setValue(0.5)
    settled(widget, wait_for)
    scribbled.data_setitem(np.nonzero(stroke), painted[stroke])
    np.testing.assert_array_equal(scribbled.data, painted)
    wait_for(lambda: table.model().rowCount() == n)
    np.testing.assert_array_equal(predicted.data > 0, (predicted.data > 0) | where)
    assert "accepting" in find("undo_button").toolTip()

    # The same with our own undo; what was painted meanwhile stays.
    settled(widget, wait_for)
    table.select(int(predicted.data[where][0]))
    find("reject_button").click()
    scribbled.data_setitem((np.array([0]), np.array([0])), 1)
    find("undo_button").click()
    settled(widget, wait_for)
    assert len(labels_in(predicted)) == n
    assert scribbled.data[0, 0] == 1
    np.testing.assert_array_equal(scribbled.data[1:], painted[1:])
    find("undo_button").click()
    assert not plane(widget).review
    assert not find("undo_button").isEnabled()


def test_corrections_with_naparis_own_tools(
    widget: Any, viewer: Any, find: Any, predicted: Any, wait_for: Any
) -> None:
    known, cut = plane(widget), predicted.data.copy()
    biggest = int(np.argmax(np.bincount(cut.ravel())[1:])) + 1
    rows, columns = np.nonzero(cut == biggest)
    middle = int(np.median(columns))

    # A line erased through a cell makes two.
    line = columns == middle
    predicted.data_setitem((rows[line], columns[line]), 0)
    wait_for(lambda: known.review.count(Verdict.CORRECTED) == 2)
    settled(widget, wait_for)
    n = len(labels_in(predicted))
    assert n == len(labels_in(cut)) + 1
    assert find("object_table").model().rowCount() == n
    assert "corrected" in widget.results.review.verdicts().values()

    # The sliders do not touch it, nor does another prediction.
    halves = np.isin(predicted.data, list(known.review.kept))
    find("threshold_slider").setValue(0.45)
    settled(widget, wait_for)
    np.testing.assert_array_equal(np.isin(predicted.data, list(known.review.kept)), halves)
    assert not predicted.data[rows[line], columns[line]].any()
    widget.results._keep(0, (), known.prediction)
    settled(widget, wait_for)
    np.testing.assert_array_equal(np.isin(predicted.data, list(known.review.kept)), halves)
    find("threshold_slider").setValue(0.5)
    settled(widget, wait_for)

    # It is annotation: two cells and a line of background between them.
    (item,) = widget.workspace.training_set()
    taught = annotation(known.review, known.instances).labels
    assert (taught[halves] == 2).any()
    assert (taught[rows[line], columns[line]] == 1).sum() >= line.sum() - 2
    free = known.scribbles.labels == 0
    np.testing.assert_array_equal(item.scribbles.labels[free], taught[free])
    np.testing.assert_array_equal(item.scribbles.labels[~free], known.scribbles.labels[~free])

    # Painting a new cell, and napari's own undo of that.
    review = known.review
    empty = np.argwhere(ndimage.binary_erosion(predicted.data == 0, iterations=2))[0]
    predicted.brush_size = 3
    predicted.selected_label = int(predicted.data.max()) + 1
    predicted.paint(tuple(empty), predicted.selected_label)
    wait_for(lambda: predicted.selected_label in known.review.kept)
    predicted.undo()
    wait_for(lambda: known.review == review)

    # Our undo takes the correction back as a whole.
    find("undo_button").click()
    settled(widget, wait_for)
    np.testing.assert_array_equal(predicted.data > 0, cut > 0)
    assert not known.review

    # What was done just before Train is pressed counts.
    predicted.data_setitem((rows, columns), 0)
    (item,) = widget.workspace.training_set()
    assert (item.scribbles.labels[rows, columns] == 1).any()


def test_filter_export_and_both_ways(
    widget: Any,
    viewer: Any,
    find: Any,
    predicted: Any,
    wait_for: Any,
    tmp_path: Path,
    notes: Any,
    tiny_tissue: Any,
) -> None:
    table, known = find("object_table"), plane(widget)
    areas = np.bincount(predicted.data.ravel())[1:]
    limit = int(np.median(areas))
    find("filter_edit").setText(str(limit))
    assert table.model().rowCount() == (areas > limit).sum()
    assert find("shown_label").text() == f"{(areas > limit).sum()} of {len(areas)}"
    find("filter_edit").setText(f"{limit} px")
    assert not find("filter_note").isHidden()
    assert table.model().rowCount() == (areas > limit).sum(), "what is no number changes nothing"
    find("filter_edit").setText(str(limit))
    assert find("filter_note").isHidden()

    # The file holds what is shown, with the command line's columns.
    path = tmp_path / "cells.csv"
    panel = widget.result_panel.review
    panel.export_wanted.emit(path, table.table_model().shown())
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert len(rows) == (areas > limit).sum()
    columns = measure(
        known.instances,
        known.image,
        known.prediction.probability,
        known.prediction.entropy,
        doubt=known.doubt,
    )
    assert list(rows[0]) == list(columns)
    assert f"{len(rows)} rows" in notes()[-1]
    accepted = int(rows[0]["label"])
    widget.results.review.accept([accepted])
    panel.export_wanted.emit(path, table.table_model().shown())
    reviews = {row["label"]: row["review"] for row in csv.DictReader(path.read_text().splitlines())}
    assert reviews.pop(str(accepted)) == "accepted"
    assert set(reviews.values()) <= {""}
    (tmp_path / "folder.csv").mkdir()
    panel.export_wanted.emit(tmp_path / "folder.csv", table.table_model().shown())
    assert "it is a folder" in notes()[-1]

    # A histogram of any column.
    find("histogram_button").setChecked(True)
    combo = find("histogram_combo")
    assert combo.currentText() == "area px"
    assert sum(panel.histogram._bars.opts["height"]) == len(rows)
    combo.setCurrentText("confidence")
    assert sum(panel.histogram._bars.opts["height"]) == len(rows)

    # A click on a cell finds its row; a row leads to its cell, several can be decided on.
    find("filter_edit").clear()
    widget._on_clicked_object(predicted, 3)
    assert table.selected() == [3]
    table.go_to_row(table.table_model().row_of(5))
    assert predicted.selected_label == 5
    y, x = columns["centroid_y"][4], columns["centroid_x"][4]
    np.testing.assert_allclose(
        camera_of(viewer).center[-2:], predicted.data_to_world((y, x)), atol=1e-6
    )
    assert "reviewed" not in widget.session.status(widget.session.record)
    table.selectAll()
    find("accept_button").click()
    assert len(known.review.kept) == len(areas)
    assert "reviewed" in widget.session.status(widget.session.record)
    assert find("review_done_check").isChecked()
    assert not find("review_done_check").isEnabled()
    find("undo_button").click()
    assert "reviewed" not in widget.session.status(widget.session.record)
    find("review_done_check").setChecked(True)
    assert "reviewed" in widget.session.status(widget.session.record)


def test_suggestions_are_worked_through(
    widget: Any,
    viewer: Any,
    find: Any,
    scribbled: Any,
    predicted: Any,
    wait_for: Any,
    layer_named: Any,
    prediction_of: Any,
) -> None:
    panel, control = widget.refine_panel, widget.results.suggestions
    marks = layer_named("suggestions [tissue]")
    n = len(control.places)
    assert n >= 2
    assert len(marks.data) == n
    assert not find("fine_button").isEnabled()
    widget.refine_panel.go_next()
    assert panel.value() == 0
    assert viewer.layers.selection.active == scribbled
    assert scribbled.mode == "paint"

    # Fine: off the marks, on to the next place, and not suggested again.
    first = control.places[0].suggestion
    find("fine_button").click()
    assert panel.value() == 1
    assert control.places[0].state is PlaceState.FINE
    assert len(marks.data) == n - 1
    known = plane(widget)
    prediction = known.prediction
    widget.results._keep(0, (), prediction)
    settled(widget, wait_for)
    for place in control.places:
        if place.state is not PlaceState.FINE:
            distance = max(abs(place.suggestion.y - first.y), abs(place.suggestion.x - first.x))
            assert distance >= first.box[2] - first.box[0]
    assert len(known.dismissed) == 1
    # Another opinion of the place brings it back.
    flipped = prediction_of(np.zeros((96, 96), int))
    widget.results._keep(0, (), flipped)
    settled(widget, wait_for)
    assert not known.dismissed

    # Undone, it is back.
    widget.results._keep(0, (), prediction)
    settled(widget, wait_for)
    widget.refine_panel.go_next()
    widget.keys.looks_fine()
    assert control.places[0].done
    find("undo_fine_button").click()
    assert not control.places[0].done
    assert not known.dismissed

    # A place that was painted at is done; next and previous pass it over.
    y0, x0, y1, x1 = control.places[0].suggestion.box
    free = np.argwhere(scribbled.data[y0:y1, x0:x1] == 0)[0] + (y0, x0)
    scribbled.data_setitem((free[:1], free[1:]), 2)
    wait_for(lambda: control.places[0].state is PlaceState.ANNOTATED)
    assert find("suggestion_list").item(0).text().startswith("1.  painted: ")
    if len(control.places) > 1:
        panel.setValue(*_lines(panel), row=1)
        panel.go_previous()
        assert panel.value() != 0
    for place in control.places:
        if not place.done:
            assert scribbled.data[place.suggestion.y, place.suggestion.x] == 0


def _lines(panel: Any) -> tuple[list[str], list[bool]]:
    count = panel._list.count()
    return (
        [panel._list.item(i).text() for i in range(count)],
        [panel._is_done(i) for i in range(count)],
    )


def test_previews_leave_decisions_alone(widget: Any, predicted: Any, wait_for: Any) -> None:
    known, cut = plane(widget), predicted.data.copy()
    widget.results.review.accept([1])
    box = (0, 0, 96, 96)
    labels = np.ones((96, 96), np.int32)
    widget.results.review.show_preview(0, (), labels, box)
    np.testing.assert_array_equal(predicted.data == 1, cut == 1)
    assert predicted.data[cut == 0].all()
    widget.results.review.collect_all()
    assert list(known.review.kept) == [1], "a preview is nothing made by hand"
    widget.results.review.show(0, (), known.instances)
    np.testing.assert_array_equal(predicted.data, cut)


def test_objects_of_two_previews_are_told_apart(
    widget: Any, scribbled: Any, layer_named: Any
) -> None:
    review = widget.results.review
    half = np.zeros((96, 48), np.int32)
    half[:, 8:40] = 1
    review.show_preview(0, (), half, (0, 0, 96, 48))
    review.show_preview(0, (), half, (0, 48, 96, 96))
    shown = layer_named("instances [tissue]").data.reshape(96, 96)
    assert np.unique(shown[:, 8:40]).tolist() == [1]
    assert np.unique(shown[:, 56:88]).tolist() == [2]
    review.show_preview(0, (), half, (0, 48, 96, 96))
    assert shown.max() == 2, "numbers do not grow with each look"


def test_a_layer_that_was_removed_is_no_correction(
    widget: Any, viewer: Any, predicted: Any, wait_for: Any, layer_named: Any
) -> None:
    widget.results.review.accept([1])
    viewer.layers.remove(predicted)
    widget.results.review.collect_all()
    assert list(plane(widget).review.kept) == [1]
    widget.results._cut()
    settled(widget, wait_for)
    assert (layer_named("instances [tissue]").data == 1).any()
    assert list(plane(widget).review.kept) == [1]


@pytest.fixture
def restored(
    widget: Any, save: Any, crash: Any, second_window: Any, open_in: Any, wait_for: Any
) -> Callable[[], tuple[Any, Any]]:
    """Save, crash, and open the session in another window."""

    def run() -> tuple[Any, Any]:
        folder = save(widget)
        crash(widget)
        other, again = second_window()
        open_in(again, folder)
        settled(again, wait_for)
        return other, again

    return run


def test_places_found_fine_or_painted_survive_a_restart(
    widget: Any,
    find: Any,
    scribbled: Any,
    predicted: Any,
    wait_for: Any,
    restored: Any,
    save: Any,
) -> None:
    control = widget.results.suggestions
    assert len(control.places) >= 3
    widget.refine_panel.go_next()
    find("fine_button").click()
    # Somewhere in the second box, not just where it is most unsure.
    second = control.places[1].suggestion
    y0, x0, y1, x1 = second.box
    free = np.add(np.argwhere(scribbled.data[y0:y1, x0:x1] == 0), (y0, x0))
    at = free[np.argmax(np.abs(free - (second.y, second.x)).sum(axis=1))]
    scribbled.data_setitem((at[:1], at[1:]), 2)
    wait_for(lambda: control.places[1].state is PlaceState.ANNOTATED)
    before = [(place.suggestion, place.state) for place in control.places]
    dismissed = plane(widget).dismissed[0]
    folder = widget.store.folder

    other, again = restored()
    listed = again.findChild(QWidget, "suggestion_list")
    assert listed.item(0).text().startswith("1.  fine: ")
    places = again.results.suggestions.places
    assert [(place.suggestion, place.state) for place in places] == before
    np.testing.assert_array_equal(plane(again).dismissed[0].foreground, dismissed.foreground)
    marks = next(layer for layer in other.layers if layer.name == "suggestions [tissue]")
    assert len(marks.data) == len(before) - 2
    # Nor is it suggested again by another prediction that says the same.
    again.results._keep(again.session.current, (), plane(widget).prediction)
    settled(again, wait_for)
    assert len(plane(again).dismissed) == 1
    # It is kept again as it is.
    kept = {path.name for path in (folder / "arrays").iterdir()}
    patch = saved_plane(folder).dismissed[0].foreground.reference["$planes"][0]["file"]
    save(again)
    assert Path(patch).name in kept & {path.name for path in (folder / "arrays").iterdir()}


def test_a_place_whose_record_is_damaged_is_suggested_again(
    widget: Any, find: Any, predicted: Any, save: Any, restored: Any, notes: Any
) -> None:
    widget.refine_panel.go_next()
    find("fine_button").click()
    folder = save(widget)
    patch = saved_plane(folder).dismissed[0].foreground.reference["$planes"][0]["file"]
    (folder / patch).write_bytes(b"")
    _, again = restored()
    assert plane(again).dismissed == []
    assert not any(place.done for place in again.results.suggestions.places)
    (told,) = notes()
    assert told.startswith("Some places of tissue are suggested again. The session in")


def saved_plane(folder: Path) -> SavedPlane:
    return saved_in(folder).images[0].planes[0]


def test_decisions_made_in_the_window_survive_a_restart(
    widget: Any,
    find: Any,
    scribbled: Any,
    predicted: Any,
    wait_for: Any,
    restored: Any,
) -> None:
    table, known = find("object_table"), plane(widget)
    table.go_to_row(0)
    (accepted,) = table.selected()
    find("accept_button").click()
    table.go_to_row(2)
    (rejected,) = table.selected()
    gone = predicted.data == rejected
    find("reject_button").click()
    sizes = np.bincount(predicted.data.ravel())
    sizes[[0, accepted]] = 0
    biggest = int(sizes.argmax())
    rows, columns = np.nonzero(predicted.data == biggest)
    line = columns == int(np.median(columns))
    predicted.data_setitem((rows[line], columns[line]), 0)
    wait_for(lambda: known.review.count(Verdict.CORRECTED) == 2)
    settled(widget, wait_for)
    objects, strokes = predicted.data.copy(), scribbled.data.copy()
    verdicts = widget.results.review.verdicts()
    assert sorted(verdicts.values()) == ["accepted", "corrected", "corrected"]
    (lesson,) = widget.workspace.training_set()

    other, again = restored()
    layer = next(one for one in other.layers if one.name == "instances [tissue]")
    np.testing.assert_array_equal(layer.data, objects)
    assert plane(again).review == known.review
    assert again.results.review.verdicts() == verdicts
    listed = again.findChild(QWidget, "object_table").table_model()
    assert listed.rowCount() == len(labels_in(layer))
    for label, verdict in verdicts.items():
        assert listed.value(listed.row_of(label), "review") == verdict
    painted = next(one for one in other.layers if one.name == "scribbles [tissue]")
    np.testing.assert_array_equal(painted.data, strokes)
    # They teach the next training the same, and the sliders leave them alone.
    (item,) = again.workspace.training_set()
    np.testing.assert_array_equal(item.scribbles.labels, lesson.scribbles.labels)
    again.findChild(QWidget, "threshold_slider").setValue(0.4)
    settled(again, wait_for)
    kept = list(verdicts)
    np.testing.assert_array_equal(np.isin(layer.data, kept), np.isin(objects, kept))
    assert not layer.data[ndimage.binary_erosion(gone)].any()
    # Corrections go on.
    layer.data_setitem(np.nonzero(layer.data == accepted), 0)
    wait_for(lambda: accepted not in plane(again).review.kept)


def test_a_correction_made_just_before_closing_is_kept(
    predicted: Any,
    close_and_open: Any,
) -> None:
    again, where = close_and_open(predicted, 4)
    assert plane(again).review.count(Verdict.ERASED) == 1
    assert not plane(again).instances[where].any()


def test_undo_shows_what_it_undoes(
    widget: Any, viewer: Any, find: Any, scribbled: Any, predicted: Any, add_tissue: Any, qtbot: Any
) -> None:
    table = find("object_table")
    table.go_to_row(0)
    find("accept_button").click()
    known = plane(widget)
    assert known.review.kept
    stack = viewer.add_image(np.zeros((3, 96, 96)), name="stack", axis_labels=("z", "y", "x"))
    qtbot.waitUntil(lambda: find("image_combo").count() == 2)
    widget.image_panel.setValue(widget.workspace.sources[next(iter(widget.session.images))])
    find("image_combo").setCurrentText("stack")
    assert widget.session.record.name == "stack"
    assert "in tissue" in find("undo_button").toolTip()
    widget.keys.undo_decision()
    assert not known.review.kept
    assert widget.session.record.name == "tissue", "nothing is undone out of sight"
    assert stack in viewer.layers


def test_undo_goes_to_the_plane(widget: Any, viewer: Any, find: Any, qtbot: Any) -> None:
    from napari_impartial.session.undo import Decision

    viewer.add_image(np.zeros((3, 96, 96)), name="stack", axis_labels=("z", "y", "x"))
    qtbot.waitUntil(lambda: widget.workspace.source is not None)
    viewer.dims.set_point(0, 1)
    place = (widget.session.current, widget.session.plane_index)
    assert place[1] == (1,)
    done: list[bool] = []
    widget.results.review.log.push(Decision("it", lambda: done.append(True), None, where=place))
    viewer.dims.set_point(0, 2)
    assert "it in stack [z=1]" in find("undo_button").toolTip()
    widget.keys.undo_decision()
    assert widget.session.plane_index == (1,)
    assert done
