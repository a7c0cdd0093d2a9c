"""Reads what was painted, without holding up the painting hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, Signal

from napari_impartial.core.data.scribbles import Scribbles, from_labels
from napari_impartial.core.errors import ImPartialError
from napari_impartial.gui.background import Latest
from napari_impartial.gui.timers import single_shot
from napari_impartial.session.plane import PlaneKey

# A stroke is a burst of events; what follows from it waits for its end, but whoever
# paints on and on is not kept waiting for the strokes to count.
PAUSE_MS, AT_LAST_MS = 400, 1500


class ScribbleReader(QObject):
    """Collects which planes were painted, and reads these alone.

    The window's thread only copies them; checking and counting, which take ten times as
    long, are done on another one.

    Parameters
    ----------
    view
        Returns the labels (Y, X) of a place as they lie in the layer, or None where there
        are none any more.
    known
        Returns what was read of a place the last time.

    Signals
    -------
    read
        ``{place: Scribbles or None}`` of those that changed; None where nothing is painted.
    refused
        What is wrong with them, in one sentence.
    """

    read = Signal(object)
    refused = Signal(str)

    def __init__(
        self,
        view: Callable[[PlaneKey], npt.NDArray[Any] | None],
        known: Callable[[PlaneKey], Scribbles | None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._view, self._known = view, known
        self._reading = 0
        self._painted: set[PlaneKey] = set()
        self._working = Latest(self)
        self._working.done.connect(self._done)
        self._pause = single_shot(self, PAUSE_MS, self._read)
        self._at_last = single_shot(self, AT_LAST_MS, self._read)

    def painted(self, place: PlaneKey) -> None:
        """Say that something was painted there; it is read soon."""
        self._painted.add(place)
        self._pause.start()
        if not self._at_last.isActive():
            self._at_last.start()

    def forget(self) -> None:
        """Forget what has not been read: everything is read now, or the window closes."""
        # What is being worked out is out of date, too.
        self._reading += 1
        self._clear()

    def _clear(self) -> None:
        self._painted.clear()
        self._pause.stop()
        self._at_last.stop()

    def _read(self) -> None:
        if self._working.busy:
            # Two at once would come back in any order.
            self._pause.start()
            return
        places = self._painted.copy()
        self._clear()
        copies = {}
        for place in places:
            labels = self._view(place)
            if labels is not None:
                copies[place] = (np.array(labels), self._known(place))
        if copies:
            reading = self._reading
            self._working.request(lambda: (reading, _work_out(copies)))

    def _done(self, result: tuple[int, dict[PlaneKey, Scribbles | None] | ImPartialError]) -> None:
        reading, found = result
        if reading != self._reading:
            return
        if isinstance(found, ImPartialError):
            self.refused.emit(str(found))
        elif found:
            # Painted again meanwhile: what is read next is newer, and comes anyway.
            self.read.emit(found)


def _work_out(
    copies: dict[PlaneKey, tuple[npt.NDArray[Any], Scribbles | None]],
) -> dict[PlaneKey, Scribbles | None] | ImPartialError:
    found: dict[PlaneKey, Scribbles | None] = {}
    for place, (labels, known) in copies.items():
        if np.array_equal(labels, known.labels) if known else not labels.any():
            continue
        try:
            scribbles = from_labels(labels, labels.shape)  # type: ignore[arg-type]
        except ImPartialError as error:
            return error
        # Kept with the scribbles: the window asks for both.
        scribbles.counts()
        scribbles.strokes()
        found[place] = scribbles if labels.any() else None
    return found
