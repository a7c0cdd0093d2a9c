"""Images whose axes or size change when there are results and decisions already."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from looking import settled

from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.prediction.suggestions import suggest


def layer_of(viewer: Any, role: str) -> Any:
    return next((one for one in viewer.layers if one.name.startswith(role)), None)


@pytest.fixture
def decided(
    widget: Any, viewer: Any, tiny_tissue: Any, prediction_of: Any, wait_for: Any, qtbot: Any
) -> Any:
    """A picture of three channels with objects, one of them accepted, and suggestions."""
    channels = np.stack([*tiny_tissue.image.channels, tiny_tissue.image.channels[0]])
    layer = viewer.add_image(channels, name="picture")
    qtbot.waitUntil(lambda: widget.workspace.source is not None)
    assert widget.workspace.source.axes == "CYX"
    prediction = prediction_of(tiny_tissue.truth)
    widget.results._keep(widget.session.current, (), prediction)
    settled(widget, wait_for)
    plane = widget.session.plane
    assert plane.n_objects > 5
    plane.suggestions = suggest(prediction.entropy)
    widget.results.suggestions.refresh()
    widget.results.review.accept([int(plane.instances.max())])
    assert widget.results.review.undo_words()
    return layer


def test_correcting_the_axes_drops_what_was_of_the_old_ones(
    decided: Any, widget: Any, viewer: Any, tiny_tissue: Any, prediction_of: Any, notes: Any,
    wait_for: Any,
) -> None:  # fmt: skip
    widget.image_panel.set_axes("ZYX")
    settled(widget, wait_for)
    assert widget.workspace.source.axes == "ZYX"
    (said,) = [note for note in notes() if "other axes" in note]
    assert said.startswith("picture has other axes or another size than before")
    record = widget.session.record
    assert all(len(index) == 1 for index in record.planes)
    assert not any(plane.review or plane.instances is not None for plane in record.planes.values())
    assert widget.results.review.undo_words() == ""
    assert widget.results.suggestions.places == []
    assert layer_of(viewer, "instances") is None
    # Work goes on in the planes, and back again.
    widget.results._keep(widget.session.current, (1,), prediction_of(tiny_tissue.truth))
    settled(widget, wait_for)
    assert layer_of(viewer, "instances").data[1].any()
    widget.image_panel.set_axes("CYX")
    settled(widget, wait_for)
    assert list(record.planes) == [()]
    assert widget.results.suggestions.places == []


def test_an_image_of_another_size_keeps_its_decisions_until_it_is_predicted_again(
    decided: Any, widget: Any, viewer: Any, find: Any, tiny_tissue: Any, prediction_of: Any,
    notes: Any, wait_for: Any,
) -> None:  # fmt: skip
    whole, plane = decided.data, widget.session.plane
    kept = plane.review
    for part in (whole[:, :60, :70], np.pad(whole, ((0, 0), (0, 30), (0, 20)))):
        decided.data = part
        find("threshold_slider").setValue(0.6)
        settled(widget, wait_for)
        # Strokes on the new pixels, and suggestions of the old ones.
        widget.workspace.new_scribbles()
        labels = np.zeros(part.shape[1:], np.uint8)
        labels[3, 3:9] = 1
        widget.session.set_plane_scribbles(widget.session.current, (), Scribbles(labels))
        widget.results.suggestions.refresh()
        widget.workspace.choose(widget.workspace.source)
        assert widget.session.record.asleep[()].review == kept, "the picture may come back"
        assert not widget.session.plane.review
    decided.data = whole
    find("threshold_slider").setValue(0.5)
    settled(widget, wait_for)
    assert widget.session.plane.review == kept
    assert layer_of(viewer, "instances").data.any()

    decided.data = whole[:, :60, :70]
    small = prediction_of(tiny_tissue.truth[:60, :70])
    # A prediction that was under way while the pixels changed is of another picture.
    widget.results._keep(widget.session.current, (), prediction_of(tiny_tissue.truth))
    assert any("changed while it was being predicted" in note for note in notes())
    widget.results._keep(widget.session.current, (), small)
    settled(widget, wait_for)
    plane = widget.session.plane
    assert not plane.review
    assert plane.instances.shape == (60, 70)
    assert layer_of(viewer, "instances").data.shape[-2:] == (60, 70)
    assert any("other axes or another size" in note for note in notes())
    assert widget.results.review.undo_words() == ""
