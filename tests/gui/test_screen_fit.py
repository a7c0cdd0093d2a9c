"""The window with the dock in it fits on the screen."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import QRect
from qtpy.QtWidgets import QApplication, QMainWindow, QWidget

from napari_impartial.gui.screen_fit import ScreenFit


@pytest.fixture
def room(qapp: Any) -> QRect:
    """What there is of the screen."""
    return qapp.primaryScreen().availableGeometry()  # type: ignore[no-any-return]


@pytest.fixture
def window(qtbot: Any) -> QMainWindow:
    """A window with a widget that keeps it on the screen, not shown yet."""
    made = QMainWindow()
    qtbot.addWidget(made)
    inside = QWidget()
    ScreenFit(inside)
    made.setCentralWidget(inside)
    return made


def settled(qtbot: Any, window: Any) -> QRect:
    with qtbot.waitExposed(window):
        window.show()
    qtbot.wait(200)
    return window.frameGeometry()  # type: ignore[no-any-return]


def test_a_first_start_fits_on_the_screen(
    viewer: Any, widget: Any, room: QRect, qtbot: Any
) -> None:
    from napari.settings import get_settings

    # With the canvas of 800 pixels that napari would like, too wide for a screen of any size.
    widget.setMinimumWidth(room.width() - 500)
    get_settings().application.first_time = True
    viewer.window.show()
    window = widget.window()
    qtbot.waitUntil(lambda: room.contains(window.frameGeometry()))
    qtbot.wait(200)
    assert room.contains(window.frameGeometry())
    assert widget.mapToGlobal(widget.rect().topRight()).x() <= room.right()


def test_too_large_a_window_is_brought_back(window: Any, room: QRect, qtbot: Any) -> None:
    window.setGeometry(room.left() + 40, room.top() + 30, room.width() + 100, 300)
    assert room.contains(settled(qtbot, window))
    assert window.height() == 300


def test_a_window_that_fits_stays(window: Any, room: QRect, qtbot: Any) -> None:
    place = QRect(room.left() + 50, room.top() + 60, 400, 300)
    window.setGeometry(place)
    settled(qtbot, window)
    assert window.geometry() == place
    # Later the user may do as he likes.
    window.resize(room.width() + 100, 300)
    window.hide()
    settled(qtbot, window)
    assert window.width() == room.width() + 100


def test_a_maximized_window_stays(window: Any, qtbot: Any) -> None:
    window.showMaximized()
    QApplication.processEvents()
    size = window.size()
    settled(qtbot, window)
    assert window.isMaximized()
    assert window.size() == size


def test_the_table_of_objects_has_what_room_is_left(widget: Any, find: Any, qtbot: Any) -> None:
    for name, step in widget.steps.items():
        step.set_open(name == "result")
    widget.setParent(None)
    widget.resize(400, 500)
    widget.show()
    table = find("object_table")
    find("result_step").setVisible(True)
    widget.result_panel.review.setVisible(True)
    qtbot.waitUntil(lambda: table.height() == table.minimumHeight())
    widget.resize(400, 1000)
    qtbot.waitUntil(lambda: table.height() > 2 * table.minimumHeight())
    titles = [step.height() for name, step in widget.steps.items() if name != "result"]
    assert max(titles) - min(titles) < 4, "closed steps take none of it"
    widget.steps["result"].set_open(False)
    qtbot.waitUntil(lambda: widget.steps["result"].height() < 2 * min(titles))
    widget.hide()
