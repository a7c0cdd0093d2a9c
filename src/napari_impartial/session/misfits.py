"""Results of an image that has other axes, or another size, than it had.

Pixels may be replaced for a while, by a crop for example. So planes of another size are laid
aside in :attr:`ImageRecord.asleep`, where nobody reads them, and taken up again when they fit.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .image_record import ImageRecord
from .plane import Plane, PlaneIndex
from .session import Session


class Planes(Protocol):
    """The planes of an image as it is now."""

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @property
    def stack_shape(self) -> tuple[int, ...]:
        """Length of each axis along the stack; () in 2D."""

    def has_plane(self, index: PlaneIndex) -> bool:
        """Return whether the image has such a plane."""


def fits(source: Planes, index: PlaneIndex, *results: npt.NDArray[Any]) -> bool:
    """Return whether an image has such a plane, and results are of its size."""
    return source.has_plane(index) and all(result.shape == source.plane_shape for result in results)


def settle(session: Session, key: int, source: Planes) -> bool:
    """Lay aside what does not fit an image as it is now, and take up again what does.

    What is known of it with other axes along the stack is dropped.

    Returns
    -------
    bool
        Whether there were results or decisions with other axes.
    """
    record = session.images.get(key)
    if record is None:
        return False
    for index, plane in list(record.planes.items()):
        if not _fits(source, index, plane):
            if index in record.asleep and not plane.review:
                # Objects that a round was gone back to do not take the place of decisions.
                plane.set_review(record.asleep[index].review)
            plane.image = plane.scribbles = None
            record.asleep[index] = record.planes.pop(index)
    for index, plane in list(record.asleep.items()):
        now = record.planes.get(index, Plane())
        if _fits(source, index, plane) and not knows_anything(now):
            if now.scribbles is not None and now.scribbles.shape == source.plane_shape:
                plane.scribbles = now.scribbles
            record.planes[index] = record.asleep.pop(index)
    return _drop(session, record, {i for i in record.asleep if len(i) != len(source.stack_shape)})


def drop_asleep(session: Session, key: int) -> bool:
    """Forget what was laid aside of an image, which goes on at another size.

    Returns
    -------
    bool
        Whether there was anything.
    """
    record = session.images.get(key)
    return record is not None and _drop(session, record, set(record.asleep))


def knows_anything(plane: Plane) -> bool:
    """Return whether there are results of a plane, or decisions."""
    return bool(_results(plane) or plane.review)


def _drop(session: Session, record: ImageRecord, indices: Collection[PlaneIndex]) -> bool:
    """Forget what is laid aside of some planes."""
    dropped = [record.asleep.pop(index) for index in indices]
    session.forget_planes([(record.key, index) for index in indices])
    return any(knows_anything(plane) for plane in dropped)


def _results(plane: Plane) -> list[npt.NDArray[Any]]:
    foreground = None if plane.prediction is None else plane.prediction.foreground
    # Objects that are derived from a cut are of its size.
    found = (plane.instances if plane.cut is None else plane.cut, foreground)
    return [result for result in found if result is not None]


def _fits(source: Planes, index: PlaneIndex, plane: Plane) -> bool:
    """Return whether all results and decisions lie inside the image."""
    if not fits(source, index, *_results(plane)):
        return False
    regions = (*plane.review.kept.values(), *plane.review.empty)
    ends = np.array([(r.y0 + r.mask.shape[0], r.x0 + r.mask.shape[1]) for r in regions])
    return not regions or bool((ends <= source.plane_shape).all())
