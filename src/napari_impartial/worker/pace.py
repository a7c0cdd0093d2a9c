"""When a training works and when it rests: beside a moving hand the window needs the cores."""

from __future__ import annotations

import math
import os
import threading
from enum import Enum, auto

from napari_impartial.core.training.preview_budget import LONGEST_REST_S

# While the hand moves training has half the cores, and rests for so many times as long as it
# worked: that is nearly always. Drawing without a graphics card takes a core and a half, and a low
# priority is no help to threads that wait for each other's turn.
REST_SHARE = 40.0
# Where what is left is enough to draw with: a guess, for want of such a machine to measure on.
REST_SHARE_OF_MANY_CORES = 1.0
DRAWING_TAKES_CORES = 2


class State(Enum):
    """State of a training."""

    WORKS = auto()
    """The hand stands still: all threads, no rests."""
    RESTS = auto()
    """The hand moves: half the threads, and a rest after each piece of work."""
    LOOKS = auto()
    """The hand has come to another field: it is looked at before the next rest."""


class Pace:
    """State of the training under way, or that comes next.

    One thread trains and rests, another hears what the hand does.

    Attributes
    ----------
    state : State
    rest_share : float
        For how many times as long as it worked it rests.
    """

    def __init__(self) -> None:
        self.state = State.WORKS
        self.rest_share = REST_SHARE
        self._changed = threading.Condition()

    @property
    def gives_way(self) -> bool:
        """Return whether the user's hand moves."""
        return self.state is not State.WORKS

    def give_way(self, wanted: bool) -> None:
        """Rest from now on, or work."""
        if wanted != self.gives_way:
            self._set(State.RESTS if wanted else State.WORKS)

    def look(self) -> None:
        """Look at another field, now or after the work that is under way, and rest afterwards."""
        if self.gives_way:
            self._set(State.LOOKS)

    def rest(self, worked_s: float, most_s: float = math.inf) -> None:
        """Rest after so many seconds of work where the state is to rest, as long as it is.

        Parameters
        ----------
        worked_s
            Seconds.
        most_s
            Seconds after which something is to be done in any case.
        """
        longest_s = min(self.rest_share * worked_s, LONGEST_REST_S, most_s)
        with self._changed:
            self._changed.wait_for(lambda: self.state is not State.RESTS, longest_s)
            if self.state is State.LOOKS:
                self.state = State.RESTS

    def _set(self, state: State) -> None:
        with self._changed:
            self.state = state
            self._changed.notify_all()


def half(threads: int) -> int:
    """Return what training has of so many threads beside a moving hand."""
    return max(threads // 2, 1)


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def rest_share(threads: int, n_cores: int) -> float:
    """Return for how many times as long as it worked a training rests beside a moving hand.

    Parameters
    ----------
    threads : int
        That training has otherwise.
    n_cores : int
        Of the machine.
    """
    left = n_cores - half(threads)
    return REST_SHARE_OF_MANY_CORES if left >= DRAWING_TAKES_CORES else REST_SHARE
