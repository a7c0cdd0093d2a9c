"""Training gives way to a hand that moves in the picture; with real events on the canvas."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QOpenGLWidget

from napari_impartial.gui.background import Job
from napari_impartial.worker.messages import GiveWay

pytestmark = pytest.mark.usefixtures("true_pauses")


@pytest.fixture
def told(widget: Any) -> Iterator[list[Any]]:
    """Return what the running training has been told."""
    heard: list[Any] = []

    class Job:
        def send(self, make: Any) -> None:
            heard.append(make(job=0))

    widget.training._job = Job()
    # There is no training set that strokes could join.
    widget.training._workspace.painted.disconnect(widget.training._send_annotation)
    widget.training._decided_timer.stop()
    yield heard
    widget.training._job = None


def test_training_gives_way_while_the_hand_moves(
    widget: Any, find: Any, scribbled: Any, told: list[Any], wait_for: Any
) -> None:
    scribbled.mode = "pan_zoom"
    canvas = widget.window().findChild(QOpenGLWidget)
    at = QPointF(canvas.width() / 2, canvas.height() / 2)
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    for kind, button, held in (
        (QEvent.Type.MouseButtonPress, left, left),
        (QEvent.Type.MouseButtonRelease, left, none),
    ):
        event = QMouseEvent(
            kind, at, canvas.mapToGlobal(at), button, held, Qt.KeyboardModifier.NoModifier
        )
        QApplication.sendEvent(canvas, event)
    assert told == [GiveWay(0, True)]
    find("threshold_slider").setValue(0.6)
    assert told == [GiveWay(0, True)], "once, however much is done"
    assert widget.training._previews.hand_busy
    wait_for(lambda: told == [GiveWay(0, True), GiveWay(0, False)])
    assert widget.training._previews.hand_busy, "it only stands still, between two strokes"
    find("threshold_slider").setValue(0.7)
    assert told[2:] == [GiveWay(0, True)]
    wait_for(lambda: not widget.training._previews.hand_busy)
    assert told[3:] == [GiveWay(0, False)]


def test_a_training_is_told_of_a_hand_that_was_still_before_it_began(
    widget: Any, find: Any, scribbled: Any, wait_for: Any
) -> None:
    # The last training may have heard of a hand that moved, and no more.
    inboxes: list[Any] = []
    send = Job.send
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Job, "send", lambda job, make: (inboxes.append(make), send(job, make))[1])
        find("time_budget_spin").setValue(1)
        find("train_button").click()
        wait_for(lambda: not widget.session.busy)
    told = [message for make in inboxes if isinstance(message := make(job=0), GiveWay)]
    assert told[0] == GiveWay(0, False)


class Ring:
    """Refers to itself, so that only a collection frees it."""

    def __init__(self) -> None:
        self.me = self


def test_full_collections_wait_until_the_hand_rests(
    widget: Any, find: Any, scribbled: Any, wait_for: Any
) -> None:
    usual = gc.get_threshold()
    find("threshold_slider").setValue(0.6)
    assert gc.get_threshold()[:2] == usual[:2]
    assert gc.get_threshold()[2] > 100 * usual[2]
    ring = Ring()
    while gc.get_count()[2] <= usual[2]:
        gc.collect(1)
    # By now it has been found alive so often that only a full collection looks at it again.
    left = weakref.ref(ring)
    del ring
    gc.collect(1)
    assert left() is not None
    wait_for(lambda: left() is None)
    assert gc.get_threshold() == usual


def test_the_dock_leaves_collections_as_they_were(
    widget: Any, find: Any, scribbled: Any, viewer: Any, wait_for: Any
) -> None:
    usual = gc.get_threshold()
    find("threshold_slider").setValue(0.6)
    assert gc.get_threshold() != usual
    viewer.window.remove_dock_widget(widget)
    wait_for(lambda: not viewer.keymap)
    assert gc.get_threshold() == usual


def test_what_somebody_else_sets_meanwhile_stays(
    widget: Any, find: Any, scribbled: Any, wait_for: Any
) -> None:
    usual = gc.get_threshold()
    find("threshold_slider").setValue(0.6)
    try:
        gc.set_threshold(5000, 20, 30)
        wait_for(lambda: not widget.training._previews.hand_busy)
        assert gc.get_threshold() == (5000, 20, 30)
    finally:
        gc.set_threshold(*usual)
