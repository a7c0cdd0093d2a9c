"""A collapsible step with a line that says what it still needs.

superqt's QCollapsible fixes the height of its content when it opens, which cuts off
wrapped text that grows later; hiding the content needs no heights.
"""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtWidgets import (
    QFrame,
    QLabel,
    QScrollArea,
    QScrollBar,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)


class Step(QFrame):
    """One of the steps, with a title to click on."""

    def __init__(self, title: str, content: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = title
        self._content = content
        self._button = QToolButton()
        self._button.setText(title)
        self._button.setCheckable(True)
        self._button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._button.setStyleSheet("QToolButton { font-weight: bold; padding: 3px; }")
        self._button.setToolTip("Show or hide this step")
        self._hint = QLabel()
        self._hint.setWordWrap(True)
        self._hint.setObjectName("step_hint")
        self._hint.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 2)
        layout.setSpacing(3)
        for part in (self._button, self._hint, content):
            layout.addWidget(part)
        self._button.toggled.connect(self._on_toggle)
        self.set_open(True)

    def set_open(self, opened: bool) -> None:
        """Show or hide the content."""
        self._button.setChecked(opened)
        self._on_toggle(opened)

    def is_open(self) -> bool:
        """Whether the content is shown."""
        return self._button.isChecked()

    def set_summary(self, text: str) -> None:
        """Say in the title how things stand."""
        self._button.setText(f"{self._title}: {text}" if text else self._title)

    def set_hint(self, text: str) -> None:
        """Say what the step still needs; nothing if `text` is empty."""
        self._hint.setText(text)
        self._hint.setVisible(bool(text) and self.is_open())

    def hint(self) -> str:
        """Return what the step still needs."""
        return self._hint.text()

    def _on_toggle(self, opened: bool) -> None:
        self._button.setArrowType(Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow)
        self._content.setVisible(opened)
        self._hint.setVisible(opened and bool(self._hint.text()))


def stacked(*parts: QWidget) -> QWidget:
    """Return parts one below the other as the content of a step."""
    column = QWidget()
    layout = QVBoxLayout(column)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(3)
    for part in parts:
        layout.addWidget(part)
    return column


class VerticalScrollArea(QScrollArea):
    """Scrolls up and down only, and is never narrower than what it holds.

    A plain scroll area would cut its content off at the right: the content's width is
    known only once the theme is applied.
    """

    def __init__(self, content: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(content)
        self._content = content
        self._bar_width = QScrollBar(Qt.Orientation.Vertical).sizeHint().width()
        content.installEventFilter(self)

    def minimumSizeHint(self) -> QSize:
        """Return the width of the content, and a height of a few lines."""
        return QSize(self._content.minimumSizeHint().width() + self._bar_width, 150)

    def sizeHint(self) -> QSize:
        """Return a size to begin with."""
        return QSize(self.minimumSizeHint().width(), 600)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Follow the content when it needs another width."""
        if event.type() in (QEvent.Type.LayoutRequest, QEvent.Type.Resize):
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))
