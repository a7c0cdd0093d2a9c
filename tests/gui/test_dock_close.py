"""The dock goes in good order, however it is closed, and stays where it is only moved."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from looking import saved_in
from napari.utils.progress import progress
from qtpy.QtCore import QCoreApplication
from qtpy.QtWidgets import QDockWidget, QPushButton, QWidget

from napari_impartial.gui.layers import Role
from napari_impartial.session import locations


def dock_of(widget: QWidget) -> QDockWidget:
    dock = widget.parentWidget()
    assert isinstance(dock, QDockWidget)
    return dock


def press_x(widget: QWidget) -> None:
    """Press the button of the dock's title bar that closes it."""
    bar = dock_of(widget).titleBarWidget()
    assert bar is not None
    button = bar.findChild(QPushButton, "QTitleBarCloseButton")
    assert button is not None
    button.click()


@pytest.fixture
def reopen(viewer: Any) -> Callable[[], Any]:
    from napari_impartial.gui.dock_widget import ImPartialWidget

    def make() -> Any:
        made = ImPartialWidget(viewer)
        viewer.window.add_dock_widget(made, name="ImPartial", area="right")
        return made

    return make


def test_the_x_ends_the_dock_while_training_runs(
    widget: Any, viewer: Any, find: Any, scribbled: Any, children: Any, wait_for: Any
) -> None:
    find("time_budget_spin").setValue(600)
    find("train_button").click()
    wait_for(lambda: find("loss_plot").values("training"))
    strokes, folder, store = scribbled.data.copy(), widget.store.folder, widget.store
    gone: list[bool] = []
    widget.destroyed.connect(lambda: gone.append(True))
    press_x(widget)
    wait_for(lambda: gone)
    assert children[-1].poll() is not None, "nothing trains unseen"
    assert not viewer.keymap
    assert not list(progress._all_instances), "napari shows no training that goes on"
    assert not locations._is_locked(folder)
    saved = saved_in(folder)
    assert saved.images[0].scribbles is not None
    np.testing.assert_array_equal(saved.images[0].scribbles.data.load(), strokes)
    store.close()  # as when the application quits later
    # Nobody is listening any more, and nothing was lost.
    scribbled.paint((50, 50), 1)
    viewer.add_image(np.zeros((9, 9)))


def test_a_dock_that_is_opened_again_offers_the_session_with_its_rounds(
    widget: Any,
    viewer: Any,
    find: Any,
    scribbled: Any,
    max_steps: list[int],
    wait_for: Any,
    reopen: Any,
) -> None:
    max_steps[0] = 3
    find("train_button").click()
    wait_for(lambda: widget.session.rounds and widget.session.plane.instances is not None)
    wait_for(lambda: not widget.session.busy)
    layers = sorted(layer.name for layer in viewer.layers)
    strokes = scribbled.data.copy()
    gone: list[bool] = []
    widget.destroyed.connect(lambda: gone.append(True))
    press_x(widget)
    wait_for(lambda: gone)
    again = reopen()
    line = again.restore_line
    assert not line.isHidden()
    assert "1 round" in line.findChild(QWidget, "restore_label").text()
    line.findChild(QPushButton, "restore_button").click()
    wait_for(lambda: len(again.session.rounds) == 1 and again.session.card is not None)
    wait_for(lambda: not again.store.busy)
    assert again.workspace.source is not None
    assert sorted(layer.name for layer in viewer.layers) == layers, "each layer once"
    scribbles = again.workspace.scribbles.find(again.workspace.source)
    np.testing.assert_array_equal(scribbles.data, strokes)
    assert again.session.plane.prediction is not None
    assert line.isHidden()


def test_a_dock_that_floats_is_docked_or_hidden_stays(
    widget: Any, viewer: Any, scribbled: Any, qtbot: Any
) -> None:
    dock = dock_of(widget)
    for move in (
        lambda: dock.setFloating(True),
        lambda: dock.setFloating(False),
        lambda: dock.hide(),
        lambda: dock.show(),
        # A script that gives it another place.
        lambda: (
            viewer.window.remove_dock_widget(widget),
            viewer.window.add_dock_widget(widget, name="ImPartial", area="left"),
        ),
    ):
        move()
        qtbot.wait(100)
        QCoreApplication.sendPostedEvents(None, 0)
    assert viewer.keymap
    scribbled.paint((50, 50), 1)
    qtbot.waitUntil(lambda: widget.session.plane.scribbles.labels[50, 50] == 1)
    press_x(widget)
    qtbot.waitUntil(lambda: not viewer.keymap)


def test_nothing_keeps_a_closed_dock(
    viewer: Any,
    reopen: Any,
    children: Any,
    wait_for: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    add_tissue: Any,
    qtbot: Any,
) -> None:
    add_tissue()
    made = reopen()
    wait_for(lambda: made.session.current is not None)
    made.workspace.new_scribbles()
    known = [weakref.ref(part) for part in (made, made.store, made.workspace, made.keys)]
    press_x(made)
    made = None
    wait_for(lambda: not viewer.keymap)

    def kept() -> list[Any]:
        gc.collect()
        return [part() for part in known if part() is not None]

    qtbot.waitUntil(lambda: not kept(), timeout=10_000)


def test_results_in_the_viewer_are_used_again(
    widget: Any, viewer: Any, scribbled: Any, qtbot: Any, reopen: Any
) -> None:
    values = np.ones((96, 96))
    shown = widget.workspace.results.write(widget.workspace.source, (), Role.PROBABILITY, values)
    press_x(widget)
    qtbot.waitUntil(lambda: not viewer.keymap)
    again = reopen()
    qtbot.waitUntil(lambda: again.workspace.source is not None)
    results, source = again.workspace.results, again.workspace.source
    assert results.write(source, (), Role.PROBABILITY, values * 0.5) is shown
    assert float(np.asarray(shown.data).max()) == 0.5
