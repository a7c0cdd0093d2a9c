"""What is known of an image that has other axes, or another size, than it had."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .layers.source import Source
from .session import Plane, PlaneIndex, Session


def fits(source: Source, index: PlaneIndex, *results: npt.NDArray[Any]) -> bool:
    """Whether an image has such a plane, and results are of its size."""
    return source.has_plane(index) and all(result.shape == source.plane_shape for result in results)


def drop_misfits(session: Session, key: int, source: Source, sizes: bool = True) -> bool:
    """Forget results and decisions of planes that the image no longer has as they were.

    Strokes are kept in their layer and not here. The planes are told by the session's signal
    `dropped`. Without `sizes`, planes that are of another size now are kept: they may be of the
    old one again.

    Returns
    -------
    bool
        Whether there were any results or decisions.
    """
    record = session.images.get(key)
    if record is None:
        return False
    lost = {
        (key, index): plane
        for index, plane in record.planes.items()
        if not source.has_plane(index)
        or (sizes and not (fits(source, index, *_results(plane)) and _holds(source, plane)))
    }
    for place, plane in lost.items():
        record.planes[place[1]] = Plane(scribbles=plane.scribbles)
        if not source.has_plane(place[1]):
            del record.planes[place[1]]
    for one in session.rounds:
        for place in lost:
            one.masks.pop(place, None)
            one.learned.pop(place, None)
    if lost:
        session.dropped.emit(list(lost))
    return any(_results(plane) or plane.review for plane in lost.values())


def _results(plane: Plane) -> list[npt.NDArray[Any]]:
    foreground = None if plane.prediction is None else plane.prediction.foreground
    found = (plane.cut, plane.instances, foreground)
    return [result for result in found if result is not None]


def _holds(source: Source, plane: Plane) -> bool:
    """Whether all that was decided on lies inside the image."""
    regions = (*plane.review.kept.values(), *plane.review.empty)
    ends = np.array([(r.y0 + r.mask.shape[0], r.x0 + r.mask.shape[1]) for r in regions])
    return not regions or bool((ends <= source.plane_shape).all())
