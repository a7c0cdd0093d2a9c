"""Notifications in plain words; to be called on the window's thread only."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from napari.utils.notifications import show_error, show_info, show_warning

from napari_impartial.core.errors import ImPartialWarning
from napari_impartial.worker.messages import Failed

__all__ = ["notes_shown", "show_error", "show_failure", "show_info", "show_warning"]

_LOG = logging.getLogger("napari_impartial")

_SAFE = "Your scribbles are untouched."
_REASONS = {
    "memory": "The computer ran out of memory while {doing}. Close other programs, use a "
    "smaller image or fewer channels, or choose the Fast preset.",
    "killed": "The process that was {doing} was ended from outside, most likely because the "
    "computer ran out of memory.",
    "crashed": "The process that was {doing} ended unexpectedly.",
}


def show_failure(failure: Failed, doing: str) -> None:
    """Tell what became of a job; `doing` is a word such as ``training``.

    What was cancelled, or ended because the window was closed, needs no words.
    """
    if failure.kind == "cancelled" or failure.message == "closed":
        return
    if failure.kind == "input":
        show_error(failure.message)
        return
    if failure.details:
        _LOG.error("%s failed: %s\n%s", doing, failure.message, failure.details)
    if failure.kind == "memory":
        reason = _REASONS["memory"]
    elif failure.kind == "ended":
        reason = _REASONS.get(failure.message, _REASONS["crashed"] + f" ({failure.message})")
    else:
        reason = "Something went wrong while {doing}: " + failure.message.replace("{", "(")
    show_error(f"{reason.format(doing=doing)} {_SAFE}")


@contextmanager
def notes_shown() -> Iterator[None]:
    """Show the program's own notes as notifications."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", ImPartialWarning)
        yield
    for one in found:
        if issubclass(one.category, ImPartialWarning):
            show_warning(str(one.message))
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
