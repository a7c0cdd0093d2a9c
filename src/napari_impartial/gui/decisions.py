"""What can be undone, the latest first: plain Python, no widgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from psygnal import Signal

# Reviewing thousands of cells should not keep every state of the afternoon.
_LIMIT = 500


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
    """

    words: str
    undo: Callable[[], None]
    before: object
    after: object = None
    where: tuple[int, tuple[int, ...]] | None = None


class DecisionLog:
    """The decisions of a session; the latest is undone first.

    Signals
    -------
    changed
        Another decision is the latest.
    """

    changed = Signal()

    def __init__(self) -> None:
        self._decisions: list[Decision] = []

    @property
    def latest(self) -> Decision | None:
        """What :meth:`undo` would undo."""
        return self._decisions[-1] if self._decisions else None

    def push(self, decision: Decision, state: object = None) -> None:
        """Note a decision that led to `state`.

        If that is the state before the latest one, this was done by undoing it with other
        means (the layer's own undo, say): then that one is struck out instead.
        """
        if state is not None and self._decisions and self._decisions[-1].before == state:
            self._decisions.pop()
        else:
            self._decisions = [*self._decisions, decision][-_LIMIT:]
        self.changed.emit()

    def undo(self) -> None:
        """Undo the latest decision, if there is one."""
        if self._decisions:
            decision = self._decisions.pop()
            decision.undo()
            self.changed.emit()
