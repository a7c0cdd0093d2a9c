"""The mouse wheel over the dock scrolls it, and changes nothing that lies under the pointer."""

from __future__ import annotations

from typing import Any

import pytest
from magicgui.widgets import FloatSlider, RangeSlider
from magicgui.widgets import SpinBox as MagicSpinBox
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLabel,
    QScrollBar,
    QSpinBox,
    QTabBar,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from napari_impartial.gui.image.image_panel import ImagePanel
from napari_impartial.gui.result.batch_panel import BatchPanel
from napari_impartial.gui.result.result_panel import ResultPanel
from napari_impartial.gui.train.train_panel import TrainPanel
from napari_impartial.gui.widgets.collapsible_step import Step, VerticalScrollArea, stacked
from napari_impartial.gui.widgets.loss_plot import LossPlot

CONTROLS = (QAbstractSpinBox, QComboBox, QAbstractSlider, QTabBar)


@pytest.fixture
def area(qtbot: Any) -> Any:
    """Show parts in a panel that is too low for them; something is left below to scroll to."""

    def show(*parts: QWidget) -> VerticalScrollArea:
        below = QLabel("\n" * 100)
        made = VerticalScrollArea(stacked(*parts, below))
        for folded in made.findChildren(Step):
            folded.set_open(True)
        qtbot.addWidget(made)
        made.resize(made.minimumSizeHint().width(), 700)
        with qtbot.waitExposed(made):
            made.show()
        # Nobody has clicked anything yet.
        focused = QApplication.focusWidget()
        if focused is not None:
            focused.clearFocus()
        return made

    return show


def roll(area: QWidget, over: QWidget, notches: int = -1) -> None:
    """Turn the wheel with the pointer in the middle of a widget.

    Qt offers the wheel of a real mouse to what is under the pointer, then to what that is in,
    until somebody takes it; events that are sent go to one widget only.
    """
    place = over.mapTo(area, over.rect().center())
    under = area.childAt(place)
    assert under is not None
    while under is not None:
        where = QPointF(under.mapFromGlobal(area.mapToGlobal(place)))
        event = QWheelEvent(
            where,
            QPointF(area.mapToGlobal(place)),
            QPoint(),
            QPoint(0, 120 * notches),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        event.ignore()
        QApplication.sendEvent(under, event)
        under = None if event.isAccepted() or under.isWindow() else under.parentWidget()


def focus(part: QWidget, qtbot: Any) -> None:
    """Give a control the keyboard focus, which it has only in the active window."""
    part.window().activateWindow()
    part.setFocus()
    qtbot.waitUntil(part.hasFocus)


def state_of(part: QWidget) -> Any:
    """What a control is set to."""
    if isinstance(part, QComboBox | QTabBar):
        return part.currentIndex()
    return part.value()  # type: ignore[attr-defined]


def controls(area: VerticalScrollArea) -> list[QWidget]:
    """All that a wheel could change."""
    content = area.widget()
    return [
        part
        for part in content.findChildren(QWidget)
        if isinstance(part, CONTROLS) and not isinstance(part, QScrollBar) and part.isVisible()
    ]


def scrolls_over(area: VerticalScrollArea, part: QWidget) -> None:
    """Roll over a control that has not been clicked: it stays, and the panel moves."""
    bar = area.verticalScrollBar()
    area.ensureWidgetVisible(part)
    before, value = bar.value(), state_of(part)
    for notches in (1, -1):
        bar.setValue(before)
        roll(area, part, notches)
        assert state_of(part) == value, f"{type(part).__name__} {part.objectName()}"
    assert bar.value() > before, f"{type(part).__name__} {part.objectName()}"
    bar.setValue(0)


def test_rolling_over_the_panels_scrolls_them(area: Any) -> None:
    from napari.components import ViewerModel

    result, batch = ResultPanel(), BatchPanel()
    result.set_count(5)
    batch.set_state(1, (("Z", 5),), True, False)
    shown = area(ImagePanel(ViewerModel()), TrainPanel(), batch, result)
    parts = controls(shown)
    names = {part.objectName() for part in parts}
    assert {"preset_combo", "time_budget_spin", "batch_scope_combo", "split_combo"} <= names
    assert len(parts) >= 14
    for part in parts:
        scrolls_over(shown, part)


# Windows of other tests, beside it, would take the focus away.
@pytest.mark.alone
def test_what_has_the_focus_takes_the_wheel(area: Any, qtbot: Any) -> None:
    result = ResultPanel()
    result.set_count(5)
    shown = area(result)
    editor = result._form.editors["min_size_px"]
    for part in (editor._box, editor._slider):
        shown.ensureWidgetVisible(part)
        before = state_of(part)
        qtbot.mouseClick(part, Qt.MouseButton.LeftButton, pos=part.rect().center())
        focus(part, qtbot)
        before = state_of(part)
        roll(shown, part)
        assert state_of(part) < before
        assert shown.verticalScrollBar().value() == 0, "not both at once"
    # The wheel over its neighbour scrolls.
    scrolls_over(shown, editor._box)


def test_rolling_gives_no_focus(area: Any) -> None:
    shown = area(TrainPanel(), ResultPanel())
    wheel_only = Qt.FocusPolicy.WheelFocus
    for part in shown.widget().findChildren(QWidget):
        assert part.focusPolicy() != wheel_only, part.objectName()
    for part in controls(shown):
        assert part.focusPolicy() & Qt.FocusPolicy.TabFocus, "it is still reached by keys"


# Windows of other tests, beside it, would take the focus away.
@pytest.mark.alone
def test_what_other_toolkits_make_is_covered(area: Any, qtbot: Any) -> None:
    made = [MagicSpinBox(value=50), FloatSlider(value=0.5, max=1.0), RangeSlider(value=(20, 50))]
    labelled = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    labelled.setValue(40)
    tabs = QTabBar()
    for name in ("one", "two", "three"):
        tabs.addTab(name)
    tabs.setCurrentIndex(1)
    shown = area(*(one.native for one in made), labelled, tabs)
    values = [one.value for one in made]
    for part in controls(shown):
        scrolls_over(shown, part)
    assert [one.value for one in made] == values
    # The slider is inside of another one, and it is the inside that is clicked.
    inside = labelled.findChild(QAbstractSlider)
    assert inside is not None
    focus(inside, qtbot)
    roll(shown, inside)
    assert labelled.value() != 40


def test_what_is_added_later_is_covered(area: Any, qtbot: Any) -> None:
    host = QWidget()
    column = QVBoxLayout(host)
    shown = area(host)
    group = QWidget()
    inside = QVBoxLayout(group)
    box = QSpinBox()
    inside.addWidget(box)
    column.addWidget(group)
    late = QComboBox()
    late.addItems(["a", "b", "c"])
    late.setCurrentIndex(1)
    qtbot.waitUntil(box.isVisible)
    inside.addWidget(late)
    qtbot.waitUntil(lambda: late.isVisible() and late.height() < 60)
    for part in (box, late):
        scrolls_over(shown, part)
        assert part.focusPolicy() == Qt.FocusPolicy.StrongFocus


def test_rolling_over_a_plot_scrolls(area: Any) -> None:
    plot = LossPlot()
    shown = area(plot)
    roll(shown, plot)
    assert shown.verticalScrollBar().value() > 0


def test_an_open_list_of_a_combo_box_scrolls(area: Any, qtbot: Any) -> None:
    combo = QComboBox()
    combo.setMaxVisibleItems(5)
    combo.setStyleSheet("QComboBox { combobox-popup: 0; }")
    combo.addItems([str(i) for i in range(200)])
    shown = area(combo)
    combo.showPopup()
    qtbot.waitUntil(combo.view().isVisible)
    roll(combo.view(), combo.view().viewport())
    assert combo.view().verticalScrollBar().value() > 0
    assert shown.verticalScrollBar().value() == 0
    combo.hidePopup()
