"""Whole pieces of work side by side, instead of threads that share each layer.

Threads that share a layer wait for each other at its end, hundreds of times a step: on two
cores a third of the time goes by so, and more where something else wants a core, too. Threads
with a piece of work each wait once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


class SideBySide:
    """Threads that live as long as this does.

    Parameters
    ----------
    most : int
        Pieces that are worked on at once, at most.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._pool: ThreadPoolExecutor | None = None

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Return what `function` gives for each item, in their order.

        torch's threads are shared out evenly. With one thread, or one item, the caller does
        the work; what comes out is the same.

        Parameters
        ----------
        function
            Modes of torch that hold for one thread, such as inference mode, it enters itself.
        items : sequence
        """
        threads = torch.get_num_threads()
        at_once = min(self.most, len(items), threads)
        if at_once < 2:
            return [function(item) for item in items]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.most, "side-by-side")
        with threads_each(threads // at_once, threads):
            return list(self._pool.map(function, items))


@contextmanager
def threads_each(count: int, before: int) -> Iterator[None]:
    """Have each thread that calls torch use `count` threads of it, and then `before` again.

    Strictly, torch keeps such a number for each calling thread; new ones, and backward passes
    in any, take theirs from the last that was set anywhere.
    """
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
