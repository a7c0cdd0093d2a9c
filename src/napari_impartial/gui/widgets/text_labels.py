"""Labels that read well for the eye and for a screen reader."""

from __future__ import annotations

import re

from qtpy.QtGui import QTextDocumentFragment
from qtpy.QtWidgets import QLabel, QWidget

# The same tick stands by the list of images and by the table of objects.
REVIEWED = "Image reviewed"
REVIEWED_TIP = (
    "Tick when you have looked through the objects of this image. Ticks itself when each object "
    "is accepted, rejected or corrected."
)
# Behind the state of an image.
STALE_TIP = ". Predict all renews what another model predicted."


def duration(seconds: float) -> str:
    """Return a time as people say it, such as ``40 s``, ``5 min`` or ``1.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


# A longer run of characters may be broken anywhere.
_UNBROKEN = 16
_BREAK = "\u200b"


class Wrapped(QLabel):
    """A label that is never wider than there is room: long words, too, are broken.

    A plain label is as wide as its longest word, which may be the name of a file, and the
    dock with it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)

    def setText(self, text: str | None) -> None:
        """Show a plain text; screen readers and :meth:`text` have it as it is."""
        words = text or ""
        self.setAccessibleName(words)
        super().setText(re.sub(rf"\S{{{_UNBROKEN}}}", rf"\g<0>{_BREAK}", words))

    def text(self) -> str:
        """Return the text."""
        return super().text().replace(_BREAK, "")


def tell(label: QLabel, text: str) -> None:
    """Show a text with colours or links, of which a screen reader gets the words alone."""
    QLabel.setText(label, text)
    label.setAccessibleName(QTextDocumentFragment.fromHtml(text).toPlainText())


def link_colour(widget: QWidget) -> str:
    """Return a colour that links are seen in, on the ground of a widget's theme."""
    dark = widget.palette().window().color().lightness() < 128
    return "#4c9be8" if dark else "#1a5fb4"


def line(name: str, tip: str, wrapped: bool = True) -> QLabel:
    """Return an empty label with its object name and tooltip."""
    made = Wrapped() if wrapped else QLabel()
    made.setObjectName(name)
    made.setToolTip(tip)
    return made


def lines_high(widget: QWidget, count: int) -> int:
    """Return the height in px of so many lines of a widget's text, whatever its size."""
    return count * (widget.fontMetrics().height() + 2) + 4


def explained(text: str, tip: str) -> QLabel:
    """Return a label that stays as it is, with the tooltip of what it stands beside."""
    made = QLabel(text)
    made.setToolTip(tip)
    return made
