"""The suggested places of a session, and what has become of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from napari_impartial.core.prediction.suggestions import Suggestion

from .session import Plane, PlaneIndex


class PlaceState(StrEnum):
    """What has become of a suggested place."""

    OPEN = "open"
    VISITED = "visited"
    ANNOTATED = "annotated"
    FINE = "fine"


@dataclass(frozen=True)
class Place:
    """A suggestion, and where it lies in the session."""

    key: int
    plane: PlaneIndex
    suggestion: Suggestion
    state: PlaceState = PlaceState.OPEN
    # What predicted it, in words, where that is not the present model.
    stale: str = ""

    @property
    def done(self) -> bool:
        """Whether there is nothing left to do there."""
        return self.state in (PlaceState.ANNOTATED, PlaceState.FINE)


def state_of(plane: Plane, suggestion: Suggestion) -> PlaceState:
    """Return what has become of a suggestion in a plane."""
    spot = (suggestion.y, suggestion.x)
    if any((one.y, one.x) == spot for one in plane.dismissed):
        return PlaceState.FINE
    if _annotated_since(plane, suggestion):
        return PlaceState.ANNOTATED
    return PlaceState.VISITED if spot in plane.visited else PlaceState.OPEN


def _annotated_since(plane: Plane, suggestion: Suggestion) -> bool:
    """Whether strokes have come into a suggestion's box since it was made."""
    if plane.scribbles is None:
        return False
    y0, x0, y1, x1 = suggestion.box
    now = plane.scribbles.labels[y0:y1, x0:x1] > 0
    if plane.suggested_on is None or plane.suggested_on.shape != plane.scribbles.shape:
        # A slice, since the image may have become smaller.
        y, x = suggestion.y, suggestion.x
        return bool(plane.scribbles.labels[y : y + 1, x : x + 1].any())
    return bool((now & (plane.suggested_on.labels[y0:y1, x0:x1] == 0)).any())
