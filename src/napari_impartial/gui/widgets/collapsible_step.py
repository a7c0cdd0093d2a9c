"""A collapsible step with a line that says what it still needs.

superqt's QCollapsible fixes the height of its content when it opens, which cuts off
wrapped text that grows later; hiding the content needs no heights.
"""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtGui import QFont, QFontMetrics
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

from .keyboard_focus import FOCUS
from .parts import fill, named
from .text_labels import Wrapped
from .wheel_guard import WheelGuard

# The arrow, and the space round it.
_BESIDE_TITLE_PX = 36
# Beyond the narrowest, to begin with.
_MORE_WIDTH_PX = 44
# Before it is laid out a widget is of no particular width.
_LEAST_TITLE_PX = 200


class Step(QFrame):
    """One of the steps, with a title to click on.

    What it still needs is said above the content, or in `hint`, a part of the content: for
    content that should not move when there is something to say.
    """

    def __init__(self, title: str, content: QWidget, hint: QLabel | None = None) -> None:
        super().__init__()
        self._title = self._full_title = title
        self._content = content
        self._button = QToolButton()
        self._button.setCheckable(True)
        self._button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        # The long name of an image must not make the dock wider.
        self._button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._button.setStyleSheet(
            "QToolButton { font-weight: bold; padding: 2px; border: 1px solid transparent; }"
            f"QToolButton:focus {{ border-color: {FOCUS}; }}"
        )
        self._hint = Wrapped() if hint is None else hint
        named(self._hint, "step_hint", "What this step still needs.")
        self._hint.hide()
        parts = [part for part in (self._button, self._hint, content) if part is not hint]
        fill(QVBoxLayout(self), *parts, margins=(0, 0, 0, 2), spacing=3)
        self._button.toggled.connect(self._on_toggle)
        self._show_title()
        self.set_open(True)

    def set_open(self, opened: bool) -> None:
        """Show or hide the content."""
        self._button.setChecked(opened)
        self._on_toggle(opened)

    def is_open(self) -> bool:
        """Return whether the content is shown."""
        return self._button.isChecked()

    def set_summary(self, text: str) -> None:
        """Say in the title how things stand."""
        self._full_title = f"{self._title}: {text}" if text else self._title
        self._show_title()

    def set_hint(self, text: str) -> None:
        """Say what the step still needs; nothing if `text` is empty."""
        self._hint.setText(text)
        self._hint.setVisible(bool(text) and self.is_open())

    def minimumSizeHint(self) -> QSize:
        """Return the height of all that is shown: a scroll area would squeeze it to less."""
        return QSize(super().minimumSizeHint().width(), self.sizeHint().height())

    def resizeEvent(self, event: Any) -> None:
        """Show as much of the title as there is room for."""
        super().resizeEvent(event)
        self._show_title()

    def _show_title(self) -> None:
        words = QFontMetrics(self._bold()).elidedText(
            self._full_title,
            Qt.TextElideMode.ElideMiddle,
            max(self.width() - _BESIDE_TITLE_PX, _LEAST_TITLE_PX),
        )
        if words != self._button.text():
            self._button.setText(words)
        self._button.setAccessibleName(self._full_title)
        self._button.setToolTip(f"{self._full_title}. Click to show or hide this step.")

    def _bold(self) -> QFont:
        font = QFont(self._button.font())
        font.setBold(True)
        return font

    def _on_toggle(self, opened: bool) -> None:
        self._button.setArrowType(Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow)
        self._content.setVisible(opened)
        # A step that shows its title alone has no use for what room is left over.
        grows = QSizePolicy.Policy.Preferred if opened else QSizePolicy.Policy.Maximum
        self.setSizePolicy(QSizePolicy.Policy.Preferred, grows)
        self._hint.setVisible(opened and bool(self._hint.text()))


def stacked(*parts: QWidget) -> QWidget:
    """Return parts one below the other as the content of a step."""
    column = QWidget()
    fill(QVBoxLayout(column), *parts, margins=(0, 0, 0, 0), spacing=3)
    return column


class VerticalScrollArea(QScrollArea):
    """Scrolls up and down only, and is never narrower than what it holds.

    A plain scroll area would cut its content off at the right: the content's width is
    known only once the theme is applied. The wheel scrolls, and changes no control that is
    passed over.
    """

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(content)
        self._content = content
        self._bar_width = QScrollBar(Qt.Orientation.Vertical).sizeHint().width()
        content.installEventFilter(self)
        WheelGuard(content)

    def minimumSizeHint(self) -> QSize:
        """Return the width of the content, and a height of a few lines."""
        return QSize(self._content.minimumSizeHint().width() + self._bar_width, 150)

    def sizeHint(self) -> QSize:
        """Return a size to begin with: as narrow as can be, sliders and tables are cramped."""
        return QSize(self.minimumSizeHint().width() + _MORE_WIDTH_PX, 600)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Follow the content when it needs another width."""
        if event.type() in (QEvent.Type.LayoutRequest, QEvent.Type.Resize):
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))
