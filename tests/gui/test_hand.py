"""Training gives way to a hand that is busy in the picture; with real events on the canvas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QOpenGLWidget

from napari_impartial.gui.messages import GiveWay


@pytest.fixture
def told(widget: Any) -> Iterator[list[Any]]:
    """Return what the running training has been told."""
    heard: list[Any] = []

    class Job:
        def send(self, make: Any) -> None:
            heard.append(make(job=0))

    widget.training._job = Job()
    yield heard
    widget.training._job = None


def test_training_has_half_the_cores_while_the_hand_is_busy(
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
    wait_for(lambda: told == [GiveWay(0, True), GiveWay(0, False)])
