"""History of decisions that can be undone: plain Python, no widgets."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from psygnal import Signal

# Reviewing thousands of cells should not keep every state of the afternoon.
_LIMIT = 500
# As many as a labels layer of napari remembers.
_STROKES = 100


@dataclass(frozen=True)
class Decision:
    """Something that a person decided.

    Attributes
    ----------
    words : str
        What it was, to follow "Undo".
    undo : callable
        Puts things back as they were.
    before, after : object
        States before and after it, to notice that it was undone elsewhere.
    where : tuple of int and tuple of int, optional
        Key of the image, and the plane, that it is about.
    spots : sequence of (y, x)
        Centres, in pixels, of what it is about.
    number : int
        Counts the decisions of a session; the log gives it.
    """

    words: str
    undo: Callable[[], None]
    before: object
    after: object = None
    where: tuple[int, tuple[int, ...]] | None = None
    spots: Sequence[tuple[float, float]] = ()
    number: int = 0


class DecisionLog:
    """The decisions of a session, and which strokes are newer; the latest is undone first.

    What strokes were, the layers that they are painted on remember.

    Signals
    -------
    changed
        Another decision is the latest.
    """

    changed = Signal()

    def __init__(self) -> None:
        self._decisions: list[Decision] = []
        self._count = 0
        # Of each layer, how many decisions had been made at each of its strokes.
        self._strokes: WeakKeyDictionary[Any, deque[int]] = WeakKeyDictionary()
        # Of each layer, how many of its strokes were undone and can be redone.
        self._undone: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
        # Layers whose own history has steps that are not to be taken back any more.
        self._forgotten: WeakSet[Any] = WeakSet()

    @property
    def latest(self) -> Decision | None:
        """Decision that :meth:`undo` would take back."""
        return self._decisions[-1] if self._decisions else None

    @property
    def decisions(self) -> list[Decision]:
        """All that can be undone, the latest last."""
        return list(self._decisions)

    def push(self, decision: Decision, state: object = None) -> None:
        """Note a decision that led to `state`.

        If that is the state before the latest one, this was done by undoing it with other
        means (the layer's own undo, say): then that one is struck out instead.
        """
        latest = self.latest
        if (
            state is not None
            and latest is not None
            and (latest.where, latest.before) == (decision.where, state)
        ):
            self._decisions.pop()
        else:
            self._count += 1
            decision = replace(decision, number=self._count)
            self._decisions = [*self._decisions, decision][-_LIMIT:]
        self._change()

    def undo(self) -> None:
        """Undo the latest decision, if there is one."""
        if self._decisions:
            decision = self._decisions.pop()
            decision.undo()
            self._change()

    def strike(self, void: Callable[[Decision], bool]) -> None:
        """Forget the decisions that are `void`: there is nothing left of them to undo."""
        left = [one for one in self._decisions if not void(one)]
        if len(left) < len(self._decisions):
            self._decisions = left
            self._change()

    def is_newest(self, layer: Any) -> bool:
        """Return whether the latest decision is newer than all strokes on a layer."""
        strokes = self._strokes.get(layer)
        latest = self.latest
        return latest is not None and not (strokes and strokes[-1] >= latest.number)

    def note_stroke(self, layer: Any) -> None:
        """Note that a layer was painted on."""
        self._undone.pop(layer, None)
        self._add_stroke(layer)

    def undo_stroke(self, layer: Any) -> bool:
        """Note that a layer takes its latest stroke back.

        False where it must not, since that stroke has been forgotten here.
        """
        strokes = self._strokes.get(layer)
        if strokes:
            strokes.pop()
        elif layer in self._forgotten:
            return False
        self._undone[layer] = self._undone.get(layer, 0) + 1
        return True

    def redo_stroke(self, layer: Any) -> bool:
        """Note that a layer repeats the stroke that it took back last.

        False where it must not, since something was painted or decided in between: a stroke
        holds the labels that it found, and would later be undone to these.
        """
        undone = self._undone.get(layer, 0)
        if undone:
            self._undone[layer] = undone - 1
            self._add_stroke(layer)
        return undone > 0

    def forget_strokes(self, layer: Any) -> None:
        """Note that strokes are not to be undone: they are of other data, or became a decision."""
        self._forgotten.add(layer)
        self._strokes.pop(layer, None)
        self._undone.pop(layer, None)

    def _add_stroke(self, layer: Any) -> None:
        self._strokes.setdefault(layer, deque(maxlen=_STROKES)).append(self._count)

    def _change(self) -> None:
        self._undone.clear()
        self.changed.emit()
