"""A place that looked fine is left alone until it looks different."""

from __future__ import annotations

import numpy as np
import pytest

from napari_impartial.core.prediction.dismissed import dismiss, standing
from napari_impartial.core.prediction.suggestions import Suggestion

PLACE = Suggestion(1, 20, 30, (10, 20, 30, 40), 0.5, "unsure")


@pytest.fixture
def foreground() -> np.ndarray:
    return np.random.default_rng(0).random((60, 70)).astype(np.float32)


def test_it_stands_while_the_model_says_about_the_same(foreground: np.ndarray) -> None:
    one = dismiss(PLACE, foreground)
    assert (one.y, one.x, one.box) == (20, 30, PLACE.box)
    assert one.foreground.shape == (20, 20)
    assert standing([one], foreground) == [one]
    elsewhere = foreground.copy()
    elsewhere[31:] = 1 - elsewhere[31:]
    assert standing([one], elsewhere) == [one]
    assert standing([one], np.clip(foreground + 0.1, 0, 1)) == [one]


def test_it_falls_when_the_place_changes(foreground: np.ndarray) -> None:
    foreground[10:30, 20:40] = 0.0
    one = dismiss(PLACE, foreground)
    now = foreground.copy()
    now[10:13, 20:40] = 1.0  # 15 % of the box
    assert standing([one], now) == [one]
    now[10:15, 20:40] = 1.0  # 25 %
    assert standing([one], now) == []


def test_it_falls_with_the_image_it_was_made_on(foreground: np.ndarray) -> None:
    one = dismiss(PLACE, foreground)
    assert standing([one], foreground[:25]) == []
    foreground[15, 25] = np.nan
    assert standing([dismiss(PLACE, foreground)], foreground)
