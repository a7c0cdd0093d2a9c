"""Timers that fire once after a pause."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, QTimer


def single_shot(parent: QObject | None, pause_ms: int, act: Callable[[], object]) -> QTimer:
    """Return a timer that, once started, does something after a pause.

    Parameters
    ----------
    parent : QObject or None
        Owner of the timer.
    pause_ms : int
        Pause in ms; started anew meanwhile, it begins anew.
    act : callable
        Is called on the window's thread.
    """
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(pause_ms)
    timer.timeout.connect(act)
    return timer
