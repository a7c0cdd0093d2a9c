"""What the user calls the classes: one owner of the names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from psygnal import Signal

from napari_impartial.core.data.scribbles import BACKGROUND, FOREGROUND
from napari_impartial.core.errors import ImPartialError

LONGEST = 40
"""Characters of a name, at most."""

# Names that training makes up where nobody gave one.
_MADE_UP = re.compile(r"foreground( \d+)?")


class ClassNames:
    """Names of the kinds of cell, by the label that they are painted with.

    Signals
    -------
    changed
        A name is another.
    """

    changed = Signal()

    def __init__(self) -> None:
        self._given: dict[int, str] = {}

    def of(self, label: int) -> str:
        """Return what a class is called."""
        usual = "Background" if label == BACKGROUND else "Cell"
        return self._given.get(label) or (
            usual if label <= FOREGROUND else f"{usual} {label - BACKGROUND}"
        )

    def kinds(self, n_classes: int) -> tuple[str, ...]:
        """Return the names of the kinds of cell of a network with so many classes."""
        return tuple(map(self.of, range(FOREGROUND, n_classes + 1)))

    def given(self, n_classes: int) -> tuple[str, ...]:
        """Return the same for a model's card; empty where nobody gave a name."""
        return tuple(self._given.get(label, "") for label in range(FOREGROUND, n_classes + 1))

    def give(self, label: int, name: str) -> None:
        """Call a kind of cell something else; by an empty name what it is usually called.

        Raises
        ------
        ImPartialError
            If another class is called so.
        """
        name = " ".join(name.split())[:LONGEST].strip()
        if name and any(
            self.of(other).casefold() == name.casefold()
            for other in range(BACKGROUND, max(9, label + 1, *self._given, 0))
            if other != label
        ):
            raise ImPartialError(f"Another class is called '{name}'; give each its own name.")
        if name == self.of(label):
            return
        self._given[label] = name
        if not name:
            del self._given[label]
        self.changed.emit()

    def adopt(self, kinds: Sequence[str]) -> None:
        """Take over the names of a model's kinds of cell where nobody gave others."""
        for label, name in enumerate(kinds, start=FOREGROUND):
            if label not in self._given and not _MADE_UP.fullmatch(name):
                try:
                    self.give(label, name)
                except ImPartialError:
                    continue  # what the user called another one so

    def save(self) -> dict[str, str]:
        """Return the names, for a session's file."""
        return {str(label): name for label, name in sorted(self._given.items())}

    def restore(self, saved: Any) -> None:
        """Take over the names of a session's file."""
        self._given.clear()
        for label, name in saved.items() if isinstance(saved, Mapping) else ():
            if label.isdecimal() and int(label) >= FOREGROUND and isinstance(name, str):
                self.give(int(label), name)
        self.changed.emit()
