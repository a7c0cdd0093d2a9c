"""Full garbage collections, when the user's hand rests."""

from __future__ import annotations

import gc

# A threshold that is not reached while somebody paints.
_PUT_OFF = 1_000_000


class RestingCollector:
    """Puts full collections off while the hand is busy.

    napari's process holds some 400,000 objects; to look through all of them stops the window
    for 0.3 s, wherever the collection happens to begin: on a worker thread, too, since it keeps
    the interpreter to itself. Young objects, of which painting leaves most, are collected as ever.
    """

    def __init__(self) -> None:
        self._usual: tuple[int, int, int] | None = None

    def put_off(self, busy: bool) -> None:
        """Put full collections off, or let them be, and make up for one that is due."""
        if busy:
            self._hold()
        else:
            self.let_go()
            if gc.isenabled() and gc.get_count()[2] > gc.get_threshold()[2] > 0:
                gc.collect()

    def let_go(self) -> None:
        """Let the interpreter collect as it did."""
        # Whoever has set something else meanwhile has it.
        if self._usual is not None and gc.get_threshold()[2] == _PUT_OFF:
            gc.set_threshold(*self._usual)
        self._usual = None

    def _hold(self) -> None:
        if self._usual is None:
            self._usual = gc.get_threshold()
            gc.set_threshold(*self._usual[:2], _PUT_OFF)
