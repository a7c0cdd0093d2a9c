"""The suggested places of a session, and what has become of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from napari_impartial.core.prediction import suggestion_reasons
from napari_impartial.core.prediction.suggestions import Suggestion

from .plane import Plane, PlaneIndex

# What each reason asks of whoever looks at the place.
_QUESTIONS = {
    suggestion_reasons.BOUNDARY: "cell or background?",
    suggestion_reasons.KIND: "which kind of cell?",
    suggestion_reasons.TOUCHING: "two cells or one?",
    suggestion_reasons.MISSED: "a cell that was missed?",
    suggestion_reasons.DOUBTFUL: "one whole cell?",
    suggestion_reasons.UNLIKE: "like nothing painted so far: what is it?",
}

# What to paint where that is not plain: a line in a cell says nothing of where it ends.
_ADVICE = {
    suggestion_reasons.TOUCHING: "Paint background between two, or a line along one",
    suggestion_reasons.DOUBTFUL: "Paint a line along it, or background between two",
}


class PlaceState(StrEnum):
    """State of a suggested place."""

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
        """Return whether there is nothing left to do there."""
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
    """Return whether strokes have come into a suggestion's box since it was made."""
    if plane.scribbles is None:
        return False
    y0, x0, y1, x1 = suggestion.box
    now = plane.scribbles.labels[y0:y1, x0:x1] > 0
    if plane.suggested_on is None or plane.suggested_on.shape != plane.scribbles.shape:
        # A slice, since the image may have become smaller.
        y, x = suggestion.y, suggestion.x
        return bool(plane.scribbles.labels[y : y + 1, x : x + 1].any())
    return bool((now & (plane.suggested_on.labels[y0:y1, x0:x1] == 0)).any())


def place_question(place: Place, n_places: int) -> str:
    """Say why one was taken to a place."""
    question = _QUESTIONS.get(place.suggestion.reason, place.suggestion.reason)
    return f"Place {place.suggestion.rank} of {n_places}: {question}"


def place_words(place: Place, n_places: int, fine_key: str = "") -> str:
    """Say why one was taken to a place, and what to do there: paint, or press a key."""
    advice = _ADVICE.get(place.suggestion.reason, "Paint")
    otherwise = f", or {fine_key}" if fine_key else ""
    return f"{place_question(place, n_places)} {advice}{otherwise}."
