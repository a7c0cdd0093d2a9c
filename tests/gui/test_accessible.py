"""All controls of the dock say what they are: to the pointer and to a screen reader."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QHeaderView,
    QLabel,
    QLineEdit,
    QProgressBar,
    QScrollBar,
    QTableView,
    QTreeView,
    QWidget,
)

from napari_impartial.gui.bar import Remark
from napari_impartial.gui.widgets.plots import PlainPlot

CONTROLS = (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QProgressBar,
    PlainPlot,
)
# Parts that Qt makes: they belong to a control that says what it is.
PARTS_OF_QT = (QScrollBar, QHeaderView)


def controls(dock: QWidget) -> list[Any]:
    return [
        part
        for part in dock.findChildren(QWidget)
        if isinstance(part, CONTROLS)
        and not isinstance(part, PARTS_OF_QT)
        and part.window() is dock.window()
        and not part.objectName().startswith("qt_")
        # The corner of a table, and the clear button of a line.
        and not isinstance(part.parentWidget(), (QAbstractItemView, QLineEdit))
    ]


def called(part: Any) -> str:
    return f"{type(part).__name__} {part.objectName()} in {type(part.parentWidget()).__name__}"


def tip(part: Any, dock: QWidget) -> str:
    """The tooltip that the pointer gets: Qt asks what a part is in where it has none itself."""
    while part is not dock and not part.toolTip():
        part = part.parentWidget()
    return str(part.toolTip())


@pytest.fixture
def parts(widget: Any, predicted: Any) -> list[Any]:
    found = controls(widget)
    assert len(found) > 60
    return found


def test_all_have_a_tooltip(widget: Any, parts: list[Any]) -> None:
    assert [called(part) for part in parts if not tip(part, widget)] == []


def test_all_headings_have_a_tooltip_of_their_own(widget: Any, predicted: Any) -> None:
    found = {}
    for view in (*widget.findChildren(QTableView), *widget.findChildren(QTreeView)):
        header = view.header() if isinstance(view, QTreeView) else view.horizontalHeader()
        for i in range(0 if header.isHidden() else header.count()):
            heading, told = (
                view.model().headerData(i, Qt.Orientation.Horizontal, role)
                for role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole)
            )
            found[view.objectName(), heading] = told
    assert {name for name, _ in found} >= {"object_table", "image_list", "rounds_list"}
    # The table of channels itself says what their names and ticks do.
    assert [where for where, told in found.items() if not told] == [("channel_table", "Channel")]
    assert "0 to 1" in found["object_table", "confidence"]
    assert "in pixels" in found["object_table", "area px"]


def test_all_have_a_name(parts: list[Any]) -> None:
    def name(part: Any) -> str:
        shown = part.text() if isinstance(part, (QAbstractButton, QLabel)) else ""
        return str(part.accessibleName() or shown)

    # A label's name is what it says, and nothing while it says nothing.
    nameless = [p for p in parts if not name(p) and not isinstance(p, QLabel)]
    assert [called(part) for part in nameless] == []
    assert [called(part) for part in parts if "<" in name(part)] == []


def test_labels_tell_a_screen_reader_what_they_show(
    widget: Any, find: Any, parts: list[Any]
) -> None:
    rich = [p for p in parts if isinstance(p, QLabel) and "<" in p.text()]
    told = find("verdict_label")
    widget.bar.verdict.set_verdict([Remark("2 strokes do not fit", "misfits")])
    assert "<" in told.text()
    assert told.accessibleName() == "2 strokes do not fit show"
    assert all("<" not in part.accessibleName() for part in rich)
    assert find("class_2_counts").accessibleName().startswith("8 strokes")


def test_controls_for_stacks_have_them_too(viewer: Any, widget: Any, find: Any, qtbot: Any) -> None:
    viewer.add_image(np.zeros((4, 5, 32, 32), np.float32), axis_labels=("t", "z", "y", "x"))
    qtbot.waitUntil(lambda: widget.findChild(QWidget, "last_z_spin") is not None)
    assert [called(part) for part in controls(widget) if not tip(part, widget)] == []
