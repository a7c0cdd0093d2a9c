"""Training with a progress bar, and signals that end it and keep the best weights."""

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


ENDINGS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Signals by which a person, a scheduler or a lost connection ends a program."""


class Ended(KeyboardInterrupt):
    """A scheduler or a lost connection has ended the program.

    Attributes
    ----------
    signal : int
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal = signal_number


@contextmanager
def cleaned_up() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the program as Ctrl-C does: nothing half-done is left."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return

    def handle(number: int, _frame: FrameType | None) -> None:
        raise Ended(number)

    # Who starts us with nohup, or ignores a signal otherwise, has a reason.
    wanted = [one for one in ENDINGS if signal.getsignal(one) == signal.SIG_DFL]
    for one in wanted:
        signal.signal(one, handle if one != signal.SIGINT else signal.default_int_handler)
    try:
        yield
    finally:
        for one in wanted:
            signal.signal(one, signal.SIG_DFL)


@contextmanager
def ending_flag() -> Iterator[Callable[[], int]]:
    """Turn the first signal that ends a program into a flag; a second one ends it as usual.

    An exception in the midst of a step would end the generator and lose its weights.

    Yields
    ------
    callable
        Returns the number of the signal; 0 before there is one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0  # only the main thread may set handlers
        return
    seen = 0
    before = {one: signal.getsignal(one) for one in ENDINGS}
    before = {one: handler for one, handler in before.items() if handler != signal.SIG_IGN}

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal seen
        seen = number
        signal.signal(number, before[signal.Signals(number)])

    for one in before:
        signal.signal(one, handle)
    try:
        yield lambda: seen
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def drive(fit: Fit, report: Callable[[TrainingProgress], None]) -> tuple[TrainedModel, int]:
    """Run a training to its end, or until Ctrl-C, SIGTERM or SIGHUP.

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
    int
        The signal that stopped it; 0 if none did.
    """
    from napari_impartial.core.training.messages import Stop

    command: Command | None = None
    with ending_flag() as ended:
        while True:
            try:
                report(fit.send(command))
            except StopIteration as end:
                model: TrainedModel = end.value
                return model, ended()
            command = Stop() if ended() else None


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
