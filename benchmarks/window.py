"""The real napari window with the dock widget, worked by a script as a user would.

It needs a screen, or a virtual one: ``xvfb-run -a -s "-screen 0 1366x768x24" python ...``.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

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

    def open_tissue(self, side: int, share: float, preset: str) -> None:
        """Show tissue, paint a share of its cells and choose a preset."""
        from napari_impartial.core.data.mask_scribbles import simulate
        from napari_impartial.core.data.synthetic_tissue import tissue

        made = tissue((side, side), 2)
        drawn, _ = simulate(made.truth, share, np.random.default_rng(0))
        self.viewer.add_image(made.image.channels, name="tissue", axis_labels=("c", "y", "x"))
        self.dock()
        self.click("new_scribbles_button")
        workspace = self.widget.workspace
        workspace.scribbles.add(workspace.source, (), drawn.labels)
        self.choose(preset)
        self.settle()

    def choose(self, preset: str) -> None:
        """Choose a preset."""
        box = self.part("preset_combo")
        box.setCurrentIndex(box.findData(preset))

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

    def mouse(self) -> Mouse:
        """Return a hand that works this window."""
        return Mouse(self)

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


class Mouse:
    """Presses buttons and keys and paints on the canvas, with the events that a hand makes.

    Attributes
    ----------
    clicks, keys, strokes : int
        How many there were.
    """

    def __init__(self, window: Window) -> None:
        from qtpy.QtWidgets import QOpenGLWidget

        self._window = window
        self.canvas = window.viewer.window._qt_window.findChild(QOpenGLWidget)
        self.clicks = self.keys = self.strokes = 0

    def place_of(self, name: str) -> tuple[int, int]:
        """Return where the middle of a part lies in the window, x and y."""
        part = self._window.part(name)
        there = part.mapTo(part.window(), part.rect().center())
        return there.x(), there.y()

    def on_canvas(self, row: float, column: float) -> tuple[float, float]:
        """Return where a place of the world lies on the canvas, x and y."""
        camera = self._window.viewer.scene.camera
        y, x = camera.center[-2:]
        return (
            (column - x) * camera.zoom + self.canvas.width() / 2,
            (row - y) * camera.zoom + self.canvas.height() / 2,
        )

    def click(self, name: str) -> None:
        """Click a button of the dock as soon as it can be clicked."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        part = self._window.part(name)
        wait(lambda: part.isEnabled() and part.isVisible())
        QTest.mouseClick(part, Qt.MouseButton.LeftButton)
        self.clicks += 1

    def key(self, letter: str) -> None:
        """Press a key over the picture."""
        from qtpy.QtTest import QTest

        QTest.keyClicks(self.canvas, letter)
        self.keys += 1

    def drag(self, places: Sequence[tuple[float, float]], pause_s: float = 0.02) -> None:
        """Draw along places of the canvas, x and y, with the left button.

        Moves that follow each other within 10 ms are dropped by the canvas, so that without a
        pause all that is painted is a dot.
        """
        from qtpy.QtCore import QEvent, QPointF, Qt
        from qtpy.QtGui import QMouseEvent
        from qtpy.QtWidgets import QApplication

        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton

        def send(kind: Any, place: tuple[float, float], button: Any, held: Any) -> None:
            at = QPointF(*place)
            event = QMouseEvent(
                kind,
                at,
                self.canvas.mapToGlobal(at),
                button,
                held,
                Qt.KeyboardModifier.NoModifier,
            )
            QApplication.sendEvent(self.canvas, event)

        send(QEvent.Type.MouseMove, places[0], none, none)
        send(QEvent.Type.MouseButtonPress, places[0], left, left)
        for place in places[1:]:
            if pause_s:
                live(pause_s)
            send(QEvent.Type.MouseMove, place, none, left)
        send(QEvent.Type.MouseButtonRelease, places[-1], left, none)
        self.strokes += 1
