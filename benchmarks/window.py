"""The real napari window with the dock widget, worked by a script as a user would.

It needs a screen, or a virtual one: ``xvfb-run -a -s "-screen 0 1366x768x24" python ...``.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SIZE = (1366, 768)
PATIENCE_S = 600.0


def wait(condition: Callable[[], Any], at_most_s: float = PATIENCE_S) -> None:
    """Let the window live until something is true."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + at_most_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"The window did not get there: {said()}")
        QApplication.processEvents()
        time.sleep(0.005)


def live(seconds: float) -> None:
    """Run the window's own event loop for so long, as napari does."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(round(1000 * seconds), loop.quit)
    loop.exec()


def said() -> list[str]:
    """What napari has told the user."""
    from napari.utils.notifications import notification_manager

    return [str(note.message) for note in notification_manager.records]


@contextmanager
def of_its_own() -> Iterator[None]:
    """Keep settings and sessions apart from the user's.

    To be entered before napari is imported, which looks for its settings then.
    """
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_CONFIG"] = str(Path(folder) / "settings.yaml")
        os.environ["NAPARI_IMPARTIAL_SESSIONS"] = str(Path(folder) / "sessions")
        yield


class Window:
    """A napari window with the dock widget in it, and nothing else yet."""

    def __init__(self, theme: str = "dark") -> None:
        import napari
        from napari.settings import get_settings

        get_settings().appearance.theme = theme
        self.viewer = napari.Viewer(show_welcome_screen=False)
        self.viewer.window.resize(*SIZE)

    def dock(self) -> None:
        """Open the dock widget from napari's menu."""
        _, self.widget = self.viewer.window.add_plugin_dock_widget("napari-impartial", "ImPartial")
        live(1)
        self.settle()

    def part(self, name: str) -> Any:
        """Return a part of the dock widget by its object name."""
        from qtpy.QtWidgets import QWidget

        found = self.widget.findChild(QWidget, name)
        if found is None:
            raise LookupError(name)
        return found

    def click(self, name: str) -> None:
        """Click a button as soon as it can be clicked."""
        button = self.part(name)
        wait(button.isEnabled)
        button.click()

    def idle(self) -> bool:
        """Whether nothing is trained, predicted, cut or measured any more."""
        results = self.widget.results
        looking = self.widget.image_panel.table._looking
        working = (results._cutting, results._measuring, looking)
        return not (self.widget.session.busy or any(one.busy for one in working))

    def train(self, button: str, seconds: float) -> None:
        """Train, and wait for the objects of the image in front."""
        rounds = len(self.widget.session.rounds)
        self.part("time_budget_spin").setValue(seconds)
        self.click(button)
        wait(lambda: len(self.widget.session.rounds) > rounds, PATIENCE_S + seconds)
        self.settle()

    def settle(self) -> None:
        """Wait until all that follows from the last action is on the screen."""
        from qtpy.QtWidgets import QApplication

        live(0.5)
        wait(self.idle)
        # A layout is worked out in turns, from the inside to the outside.
        for _ in range(20):
            QApplication.processEvents()

    def close(self) -> None:
        """Close the window."""
        self.viewer.close()
        live(0.5)
