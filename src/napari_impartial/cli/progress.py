"""Training with a progress bar, and Ctrl-C that keeps the best weights."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from napari_impartial.core.errors import ImPartialError

if TYPE_CHECKING:
    from napari_impartial.core.network.model_file import TrainedModel
    from napari_impartial.core.training.messages import Command, TrainingProgress

Fit = Generator["TrainingProgress", "Command | None", "TrainedModel"]


@contextmanager
def interrupt_flag() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a flag; a second one interrupts as usual.

    An exception in the midst of a step would end the generator and lose its weights.

    Yields
    ------
    callable
        Returns whether Ctrl-C was pressed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # only the main thread may set handlers
        return
    pressed = False
    previous = signal.getsignal(signal.SIGINT)

    def handle(_signal: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, previous)


def drive(fit: Fit, report: Callable[[TrainingProgress], None]) -> tuple[TrainedModel, bool]:
    """Run a training to its end, or to Ctrl-C.

    Parameters
    ----------
    fit : generator
        As returned by :func:`napari_impartial.core.training.fit.fit`.
    report : callable
        Gets each progress.

    Returns
    -------
    TrainedModel
        The best weights.
    bool
        Whether it was stopped by Ctrl-C.
    """
    from napari_impartial.core.training.messages import Stop

    command: Command | None = None
    with interrupt_flag() as interrupted:
        while True:
            try:
                report(fit.send(command))
            except StopIteration as end:
                model: TrainedModel = end.value
                return model, interrupted()
            command = Stop() if interrupted() else None


def progress_note(progress: TrainingProgress) -> str:
    """Step and losses, for the progress bar."""
    note = f"step {progress.step}, loss {progress.training.total:.3f}"
    if progress.validation is not None:
        note += f", held out {progress.validation.total:.3f}"
    return note


def check_no_network_options(given: list[str]) -> None:
    """Refuse to change the network of a model that is continued.

    Raises
    ------
    ImPartialError
        If any such option was given.
    """
    if given:
        raise ImPartialError(
            f"{', '.join(given)} cannot change a network that is trained already; "
            "leave it out, or train without --init."
        )
