"""What can be counted on an image of the session: strokes, annotated cells, objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .session import ImageRecord


@dataclass(frozen=True)
class Tally:
    """Counts over all planes of one image.

    Attributes
    ----------
    strokes : int
        Connected pieces of any class.
    cells : int
        Annotated cells (:meth:`Scribbles.cells`).
    objects : int or None
        Objects found; None where nothing is predicted.
    """

    strokes: int
    cells: int
    objects: int | None


class Counter:
    """Counts, objects only where they have changed since."""

    def __init__(self) -> None:
        # By the array's identity, which is that of the array while it is kept here.
        self._objects: dict[tuple[int, Any], tuple[Any, int]] = {}

    def count(self, record: ImageRecord) -> Tally:
        """Return the counts of an image."""
        strokes = cells = 0
        objects: int | None = None
        for index, plane in record.planes.items():
            if plane.scribbles is not None:
                strokes += sum(plane.scribbles.strokes().values())
                cells += sum(plane.scribbles.cells().values())
            if plane.instances is not None:
                objects = (objects or 0) + self._count_objects(record.key, index, plane.instances)
        return Tally(strokes, cells, objects)

    def forget(self, key: int) -> None:
        """Let go of an image that has left the session."""
        for place in [place for place in self._objects if place[0] == key]:
            del self._objects[place]

    def _count_objects(self, key: int, index: Any, labels: np.ndarray) -> int:
        known = self._objects.get((key, index))
        if known is None or known[0] is not labels:
            ids = np.bincount(labels.reshape(-1)) if labels.size else np.zeros(1)
            known = labels, int((ids[1:] > 0).sum())
            self._objects[key, index] = known
        return known[1]
