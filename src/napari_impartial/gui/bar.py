"""The bar at the top of the dock: what is needed at each stroke, and how things stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_impartial.gui.widgets.parts import fill
from napari_impartial.gui.widgets.status_line import StatusLine
from napari_impartial.gui.widgets.text_labels import link_colour, tell


@dataclass(frozen=True)
class Remark:
    """A part of the verdict on what is in view.

    Attributes
    ----------
    words : str
        What there is, such as "3 strokes do not fit".
    kind : str
        What [show] behind it asks for; empty where there is nothing to show.
    """

    words: str
    kind: str = ""


class VerdictLine(QLabel):
    """Says how good the result in view is, as far as that can be told.

    Signals
    -------
    show_wanted
        `kind` of the remark that somebody wants to see.
    """

    show_wanted = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("verdict_label")
        self.setToolTip("What the result in view is like; [show] goes there.")
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.linkActivated.connect(self.show_wanted)
        self._remarks: tuple[Remark, ...] = ()
        self.set_verdict(())

    def set_verdict(self, remarks: Sequence[Remark]) -> None:
        """Say this; nothing at all where there are no remarks."""
        self._remarks = tuple(remarks)
        parts, style = [], f"color: {link_colour(self)}"
        for remark in remarks:
            target = f"href='{escape(remark.kind)}' style='{style}'"
            link = f" <a {target}>show</a>" if remark.kind else ""
            parts.append(escape(remark.words) + link)
        tell(self, "; ".join(parts))
        self.setVisible(bool(parts))

    def changeEvent(self, event: Any) -> None:
        """Write links anew in colours that are seen: the theme comes after the first text."""
        super().changeEvent(event)
        # Qt calls this while the widget is being made, too.
        if event.type() == event.Type.PaletteChange and getattr(self, "_remarks", ()):
            self.set_verdict(self._remarks)


class Bar(QWidget):
    """Stands above the steps and does not scroll with them.

    Parameters
    ----------
    rows
        The parts of the panels that are needed at each stroke, from top to bottom; those of a
        row share its width.

    Attributes
    ----------
    status : StatusLine
    verdict : VerdictLine
    """

    def __init__(self, rows: Sequence[Sequence[QWidget]]) -> None:
        super().__init__()
        self.setObjectName("bar")
        self.status = StatusLine()
        self.verdict = VerdictLine()
        lines = [
            fill(QHBoxLayout(), *((part, len(row) - i) for i, part in enumerate(row)), spacing=3)
            for row in (*rows, [self.status], [self.verdict])
        ]
        fill(QVBoxLayout(self), *lines, margins=(4, 4, 4, 2), spacing=4)
