"""Suggested places, in words."""

from __future__ import annotations

import pytest

from napari_impartial.core.prediction import suggestion_reasons
from napari_impartial.core.prediction.suggestions import Suggestion
from napari_impartial.session.suggested_places import Place, place_words


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (suggestion_reasons.BOUNDARY, "Place 2 of 9: cell or background? Paint, or K."),
        (
            suggestion_reasons.TOUCHING,
            "Place 2 of 9: two cells or one? Paint background between two, or a line along one, "
            "or K.",
        ),
        ("another reason", "Place 2 of 9: another reason Paint, or K."),
    ],
)
def test_a_place_says_what_to_do_there(reason: str, said: str) -> None:
    place = Place(0, (0,), Suggestion(2, 5, 5, (0, 0, 9, 9), 0.5, reason))
    assert place_words(place, 9, "K") == said
    assert place_words(place, 9) == said.replace(", or K", "")
