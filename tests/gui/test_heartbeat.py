"""The window's thread is not held up by training; benchmarks.heartbeat has the figures."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer

from napari_impartial.gui.layers.versions import camera_of

pytestmark = pytest.mark.alone


@pytest.fixture
def real_children() -> bool:
    return True


def beats(qtbot: Any, act: Any, seconds: float) -> list[float]:
    """Return how late a 10 ms timer is while `act` is done 30 times a second."""
    late: list[float] = []
    last = [time.perf_counter()]

    def beat() -> None:
        now = time.perf_counter()
        late.append(now - last[0] - 0.01)
        last[0] = now

    timers = []
    for interval, slot in ((10, beat), (33, act)):
        timer = QTimer()
        timer.setTimerType(Qt.TimerType.PreciseTimer)
        timer.timeout.connect(slot)
        timer.start(interval)
        timers.append(timer)
    qtbot.wait(round(1000 * seconds))
    for timer in timers:
        timer.stop()
    return late


def test_a_painting_hand_is_not_held_up_by_training(
    widget: Any, viewer: Any, find: Any, scribbled: Any, wait_for: Any, qtbot: Any
) -> None:
    viewer.window.show()
    rng = np.random.default_rng(0)

    def paint() -> None:
        y, x = (rng.integers(0, 96, 20) for _ in range(2))
        scribbled.data_setitem((y, x), int(rng.integers(1, 3)))
        camera_of(viewer).zoom *= float(rng.uniform(0.98, 1.02))

    beats(qtbot, paint, 1.0)
    quiet = beats(qtbot, paint, 4.0)
    find("time_budget_spin").setValue(600)
    find("train_button").click()
    reports: list[Any] = []
    widget.training.progressed.connect(reports.append)
    wait_for(lambda: reports)
    training = beats(qtbot, paint, 6.0)
    find("stop_button").click()
    wait_for(lambda: not widget.session.busy and not widget.results._cutting.busy)
    # The order of magnitude only: the machine may be busy with other things, too.
    assert np.percentile(training, 95) < 4 * np.percentile(quiet, 95) + 0.25
