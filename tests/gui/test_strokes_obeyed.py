"""Objects follow strokes at once, and the bar says how the model agrees with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from looking import card_for

from napari_impartial.core.config import InstanceConfig
from napari_impartial.core.data.stroke_report import StrokeReport
from napari_impartial.gui.layers import Role
from napari_impartial.gui.layers.versions import camera_of


def _objects(widget: Any) -> np.ndarray:
    instances: np.ndarray = widget.session.plane.instances
    return instances


def test_a_background_stroke_parts_an_object_without_training(
    widget: Any, predicted: Any, wait_for: Any
) -> None:
    workspace, session = widget.workspace, widget.session
    wait_for(lambda: session.plane.instances is not None)
    before = _objects(widget).copy()
    largest = int(np.bincount(before.ravel())[1:].argmax()) + 1
    rows = np.nonzero(before == largest)[0]
    row = int(np.median(rows))
    layer = workspace.scribbles.find(workspace.source)
    places = (np.full(before.shape[1], row), np.arange(before.shape[1]))
    layer.data_setitem(places, 1)
    wait_for(lambda: not _objects(widget)[row].any())
    above, below = before.copy(), before.copy()
    above[row:], below[: row + 1] = 0, 0
    assert (above == largest).any()
    assert (below == largest).any()
    pieces = [set(np.unique(_objects(widget)[part == largest])) - {0} for part in (above, below)]
    assert not pieces[0] & pieces[1], "one object on both sides of a border"
    # The stroke is taken back, and so is the border.
    layer.undo()
    wait_for(lambda: _objects(widget)[row].any())
    np.testing.assert_array_equal(_objects(widget), before)
    drawn = workspace.results.find(workspace.source, Role.INSTANCES)
    wait_for(lambda: np.array_equal(np.asarray(drawn.data), before))


def test_the_bar_tells_the_verdict_and_shows_where(
    widget: Any, predicted: Any, wait_for: Any, viewer: Any, tmp_path: Path
) -> None:
    session = widget.session
    wait_for(lambda: session.plane.instances is not None)
    report = StrokeReport(9, 0.97, 0.99, 0, 0, ((0, 20, 30), (0, 40, 12)), ())
    trained = session.add_round(tmp_path / "m.impartial", card_for(widget, strokes=report), 9)
    trained.learned = {(session.current, ()): session.plane.scribbles.labels}
    session.changed.emit()
    words = widget.bar.verdict.accessibleName().split("; ")
    assert words[0] == "98% of your strokes fit"
    assert words[1] == f"{session.plane.n_objects} objects"
    assert words[2] == "2 strokes are in no object show"
    for y, x in ((20, 30), (40, 12), (20, 30)):
        widget.bar.verdict.show_wanted.emit("in_no_object")
        centre = np.array(camera_of(viewer).center[-2:])
        layer = widget.workspace.source.primary
        at = (centre - layer.translate[-2:]) / layer.scale[-2:]
        assert tuple(np.rint(at).astype(int).tolist()) == (y, x)


def test_the_split_strength_of_the_model_is_shown_unless_another_was_chosen(
    widget: Any, predicted: Any, wait_for: Any, tmp_path: Path
) -> None:
    session, results = widget.session, widget.results
    wait_for(lambda: session.plane.instances is not None)
    prediction = session.plane.prediction
    learned = card_for(widget, instances=InstanceConfig(split_strength=0.3))
    session.set_model(tmp_path / "m.impartial", learned)
    results._keep(session.current, session.plane_index, prediction)
    assert session.instance_config.split_strength == 0.3
    assert widget.result_panel.value().split_strength == 0.3
    chosen = replace(session.instance_config, split_strength=0.8)
    widget.result_panel.setValue(chosen)
    widget.result_panel.valueChanged.emit(chosen)
    results._keep(session.current, session.plane_index, prediction)
    assert session.instance_config.split_strength == 0.8
    wait_for(lambda: not results._cutting.busy)
