"""Labels that read well for the eye and for a screen reader."""

from __future__ import annotations

from qtpy.QtGui import QTextDocumentFragment
from qtpy.QtWidgets import QLabel

# The same tick stands by the list of images and by the table of objects.
REVIEWED = "Image reviewed"
REVIEWED_TIP = (
    "Tick when you have looked through the objects of this image. Ticks itself when each object "
    "is accepted, rejected or corrected."
)
# Behind the state of an image.
STALE_TIP = ". Predict all renews what another model predicted."


def count(n: int, noun: str) -> str:
    """Return a number of things in words."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def tell(label: QLabel, text: str) -> None:
    """Show a text with colours or links, of which a screen reader gets the words alone."""
    label.setText(text)
    label.setAccessibleName(QTextDocumentFragment.fromHtml(text).toPlainText())


def line(name: str, tip: str, wrapped: bool = True) -> QLabel:
    """Return an empty label with its object name and tooltip."""
    made = QLabel()
    made.setObjectName(name)
    made.setToolTip(tip)
    made.setWordWrap(wrapped)
    return made


def explained(text: str, tip: str) -> QLabel:
    """Return a label that stays as it is, with the tooltip of what it stands beside."""
    made = QLabel(text)
    made.setToolTip(tip)
    return made
