"""Diverse suggestions: the best first, then those unlike what was taken."""

from __future__ import annotations

import numpy as np
import pytest

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.prediction.suggestions import Suggestion
from napari_impartial.experiments.diversity import appearance, diverse


def suggestions(scores: list[float]) -> list[Suggestion]:
    return [Suggestion(n, n, n, (0, 0, 1, 1), s, "") for n, s in enumerate(scores, start=1)]


def test_alike_places_wait() -> None:
    found = suggestions([0.9, 0.8, 0.7, 0.5])
    looks = [[0.0, 0.0], [0.1, 0.0], [0.0, 0.1], [5.0, 5.0]]
    chosen = diverse(found, looks, 3)
    assert [s.y for s in chosen] == [1, 4, 2]
    assert [s.rank for s in chosen] == [1, 2, 3]
    assert [s.score for s in chosen] == [0.9, 0.5, 0.8]


def test_where_all_look_the_same_the_score_decides() -> None:
    chosen = diverse(suggestions([0.9, 0.8, 0.7]), np.zeros((3, 4)), 5)
    assert sorted(s.y for s in chosen) == [1, 2, 3]
    assert chosen[0].y == 1


def test_features_weigh_the_same_whatever_their_unit() -> None:
    looks = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.4, 0.4]])
    plain = [s.y for s in diverse(suggestions([1.0] * 4), looks, 4)]
    scaled = [s.y for s in diverse(suggestions([1.0] * 4), looks * [1000.0, 0.001], 4)]
    assert plain == scaled


def test_nothing_to_choose_and_what_does_not_fit() -> None:
    assert diverse([], np.zeros((0, 3)), 4) == []
    with pytest.raises(ImPartialError, match="2 suggestions have 3 looks"):
        diverse(suggestions([0.5, 0.4]), np.zeros((3, 2)), 1)


def test_appearance() -> None:
    channels = np.zeros((2, 10, 10), np.float32)
    channels[0, :, 5:] = 1.0
    channels[1] = np.indices((10, 10)).sum(axis=0) % 2
    look = appearance(channels, np.full((10, 10), 0.25, np.float32), (0, 0, 10, 10))
    assert look[:3] == pytest.approx([0.5, 0.5, 1 / 9 / 2])
    assert look[3:6] == pytest.approx([0.5, 0.5, 1.0])
    assert look[6:] == pytest.approx([0.25, 0.0])
    # one pixel has no neighbours
    assert np.isfinite(appearance(channels, channels[0], (3, 3, 4, 4))).all()
