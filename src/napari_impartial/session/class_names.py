"""What the user calls the classes: one owner of the names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psygnal import Signal

from napari_impartial.core.data.class_names import (
    check_name,
    class_names,
    is_usual,
    same_name,
    usual_name,
)
from napari_impartial.core.data.scribbles import BACKGROUND, FOREGROUND, MOST_CLASSES
from napari_impartial.core.errors import ImPartialError

# Labels of scribbles are small; a damaged file may say anything.
_LARGEST_LABEL = 255
_LONGEST_SHOWN = 80


class ClassNames:
    """Names of the kinds of cell, by the label that they are painted with.

    What somebody typed comes first, then what the present model calls a kind, then the usual name.

    Signals
    -------
    changed
        A name is another.
    """

    changed = Signal()

    def __init__(self) -> None:
        self._typed: dict[int, str] = {}
        self._of_model: dict[int, str] = {}

    def of(self, label: int) -> str:
        """Return what a class is called."""
        return self._typed.get(label) or self._of_model.get(label) or usual_name(label)

    def kinds(self, n_classes: int) -> tuple[str, ...]:
        """Return the names of the kinds of cell of a network with so many classes."""
        return tuple(map(self.of, range(FOREGROUND, n_classes + 1)))

    def given(self, n_classes: int) -> tuple[str, ...]:
        """Return the same; empty where a kind has its usual name."""
        labels = range(FOREGROUND, n_classes + 1)
        return tuple(
            "" if self.of(label) == usual_name(label) else self.of(label) for label in labels
        )

    def card(self, n_classes: int) -> tuple[str, ...]:
        """Return the names of all classes, background first, for a model's card."""
        return class_names(n_classes, known=self.given(n_classes))

    def give(self, label: int, name: str) -> None:
        """Call a kind of cell something else; by an empty name what it is usually called.

        Raises
        ------
        ImPartialError
            If it cannot be a name, or another class is called so.
        """
        name = check_name(name) or usual_name(label)
        others = {
            BACKGROUND,
            *range(FOREGROUND, MOST_CLASSES + 1),
            *self._typed,
            *self._of_model,
        } - {label}
        if any(same_name(self.of(other), name) for other in others):
            raise ImPartialError(f"Another class is called '{name}'; give each its own name.")
        if name != self.of(label):
            self._typed[label] = name
            self.changed.emit()

    def follow_model(self, kinds: Sequence[str]) -> None:
        """Take over the names of a model's kinds of cell, but for those that nobody gave."""
        labels = range(FOREGROUND, FOREGROUND + len(kinds))
        before = self._of_model
        self._of_model = {
            label: name
            for label, name in zip(labels, kinds, strict=True)
            if not is_usual(label, name)
        }
        # Where the user calls another kind so, theirs wins.
        for label in [*self._of_model]:
            if any(k != label and same_name(n, self.of(label)) for k, n in self._typed.items()):
                self._of_model.pop(label)
        if self._of_model != before:
            self.changed.emit()

    def clear(self) -> None:
        """Forget all names."""
        self._typed, self._of_model = {}, {}
        self.changed.emit()

    def save(self) -> dict[str, str]:
        """Return what was typed, for a session's file."""
        return {str(label): name for label, name in sorted(self._typed.items())}

    def restore(self, saved: Any) -> None:
        """Take over the names of a session's file, as far as they can be names.

        Raises
        ------
        ImPartialError
            If some cannot, once the others are taken over.
        """
        self._typed = {}
        given = saved.items() if isinstance(saved, Mapping) else [("", saved)]
        wrong = [f"{key}: {name!r}" for key, name in given if not self._take_over(key, name)]
        self.changed.emit()
        if wrong:
            raise ImPartialError(f"{', '.join(wrong)[:_LONGEST_SHOWN]} cannot be a class's name.")

    def _take_over(self, key: Any, name: Any) -> bool:
        """Note the name of a session's file; return whether it is one."""
        if not (isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 4):
            return False
        label = int(key)
        if not FOREGROUND <= label <= _LARGEST_LABEL or not isinstance(name, str):
            return False
        if any(same_name(name, other) for other in self._typed.values()):
            return False
        try:
            self._typed[label] = check_name(name) or usual_name(label)
        except ImPartialError:
            return False
        return True
