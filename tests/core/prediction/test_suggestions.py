"""Entropy, mutual information and the places to scribble next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_impartial.core.config import SuggestionConfig
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.prediction import suggestion_reasons as why
from napari_impartial.core.prediction import suggestions as u

ANY = SuggestionConfig(least_doubt=0.0)
"""Suggests places however small their doubt."""


def blobs(*places: tuple[int, int, float], shape: tuple[int, int] = (200, 240)) -> np.ndarray:
    """Heatmap with Gaussian bumps (y, x, height)."""
    y, x = np.indices(shape)
    heat = np.zeros(shape)
    for cy, cx, top in places:
        heat += top * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 6.0**2))
    return heat.clip(0, 1).astype(np.float32)


def test_entropy_by_hand() -> None:
    p = np.array([[1.0, 0.5, 0.25], [0.0, 0.5, 0.75]])
    expected = [0.0, 1.0, -(0.25 * np.log(0.25) + 0.75 * np.log(0.75)) / np.log(2)]
    result = u.entropy(p)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=1e-6)
    np.testing.assert_allclose(u.entropy(p.T, axis=1), expected, atol=1e-6)
    np.testing.assert_allclose(u.entropy(np.full((5, 2), 0.2)), [1, 1], atol=1e-6)


def test_one_class_has_no_entropy() -> None:
    with pytest.raises(ImPartialError, match="at least two"):
        u.entropy(np.ones((1, 3)))


def test_places_are_ranked_by_uncertainty() -> None:
    found = u.suggest(blobs((50, 60, 0.6), (140, 180, 1.0), (60, 200, 0.75)), image="a")
    assert [(s.rank, s.image) for s in found] == [(1, "a"), (2, "a"), (3, "a")]
    for s, (y, x) in zip(found, [(140, 180), (60, 200), (50, 60)], strict=True):
        assert abs(s.y - y) <= 2
        assert abs(s.x - x) <= 2
        assert s.box == (s.y - 20, s.x - 20, s.y + 20, s.x + 20), "a fifth of 200"
    assert [s.score for s in found] == sorted((s.score for s in found), reverse=True)


def test_places_lie_apart_and_inside() -> None:
    heat = np.random.default_rng(1).random((300, 310), dtype=np.float32)
    found = u.suggest(heat, config=replace(ANY, count=30, box_px=32))
    assert len(found) > 15
    for i, a in enumerate(found):
        y0, x0, y1, x1 = a.box
        assert 0 <= y0 <= a.y < y1 <= 300
        assert 0 <= x0 <= a.x < x1 <= 310
        assert (y1 - y0, x1 - x0) == (32, 32)
        for b in found[:i]:
            assert max(abs(a.y - b.y), abs(a.x - b.x)) >= 32


def test_nothing_is_suggested_where_it_is_annotated() -> None:
    heat = blobs((50, 60, 1.0), (140, 180, 0.6))
    annotated = np.zeros(heat.shape, np.uint8)
    annotated[25:75, 35:85] = 2
    first = u.suggest(heat, annotated)[0]
    assert abs(first.y - 140) <= 2
    assert abs(first.x - 180) <= 2
    rng = np.random.default_rng(0)
    scattered = rng.random(heat.shape) < 0.002
    noise = rng.random(heat.shape)
    found = u.suggest(noise, scattered, ANY)
    assert len(found) > 5
    assert not any(scattered[s.y, s.x] for s in found)
    assert u.suggest(heat, np.ones(heat.shape)) == []


def test_sure_pictures_need_nothing() -> None:
    assert u.suggest(np.zeros((100, 100))) == []
    assert u.suggest(np.full((100, 100), np.nan)) == []


@pytest.mark.parametrize("shape", [(1, 1), (5, 200), (20, 30), (0, 0)])
def test_pictures_smaller_than_the_box(shape: tuple[int, int]) -> None:
    found = u.suggest(np.ones(shape))
    assert bool(found) == (np.prod(shape) > 0)
    for s in found:
        y0, x0, y1, x1 = s.box
        assert 0 <= y0 <= s.y < y1 <= shape[0]
        assert 0 <= x0 <= s.x < x1 <= shape[1]


def test_boxes_leave_something_of_small_pictures_to_be_seen() -> None:
    rng = np.random.default_rng(0)
    found = u.suggest(rng.random((96, 120), dtype=np.float32), config=ANY)
    assert {(s.box[2] - s.box[0], s.box[3] - s.box[1]) for s in found} == {(19, 19)}
    assert len(found) == SuggestionConfig().count
    tiny = u.suggest(rng.random((40, 40), dtype=np.float32), config=ANY)
    assert {s.box[2] - s.box[0] for s in tiny} == {12}, "one cell at least"


def test_moving_the_picture_moves_the_places() -> None:
    heat = blobs((60, 60, 0.9), (120, 170, 0.8))
    moved = np.roll(heat, (16, -8), (0, 1))
    plain = [(s.y + 16, s.x - 8) for s in u.suggest(heat)]
    assert [(s.y, s.x) for s in u.suggest(moved)] == plain


def test_reasons() -> None:
    heat = blobs((60, 60, 0.9), (140, 180, 0.8))
    config = SuggestionConfig(count=2)
    assert {s.reason for s in u.suggest(heat, config=config)} == {why.BOUNDARY}
    information = np.where(np.arange(240) > 120, heat * 0.15, heat * 0.02)
    reasons = [s.reason for s in u.suggest(heat, None, config, mutual_information=information)]
    assert reasons == [why.BOUNDARY, why.UNLIKE]
    instances = np.zeros(heat.shape, np.int32)
    instances[30:90, 30:60], instances[30:90, 60:90] = 1, 2
    narrow = np.zeros_like(heat)
    narrow[40:80, 59:61] = 1.0
    assert u.suggest(narrow, None, config, instances=instances)[0].reason == why.TOUCHING
    kinds = np.stack([np.full(heat.shape, v, np.float32) for v in (0.1, 0.45, 0.45)])
    assert u.suggest(heat, None, config, probability=kinds)[0].reason == why.KIND


def test_reasons_of_objects() -> None:
    config = replace(ANY, count=1)
    instances = np.zeros((200, 240), np.int32)
    instances[40:80, 40:80] = 1

    def reason(heat: np.ndarray) -> str:
        return u.suggest(heat.astype(np.float32), None, config, instances=instances)[0].reason

    heat = np.zeros(instances.shape)
    heat[130:150, 170:190] = 0.9
    assert reason(heat) == why.MISSED
    assert reason((instances > 0) * 0.8) == why.DOUBTFUL
    line = np.zeros(instances.shape)
    line[40:80, 58:62] = 0.9
    assert reason(line) == why.TOUCHING
    rim = np.zeros(instances.shape)
    rim[39:81, 39:81] = 0.9
    rim[42:78, 42:78] = 0
    assert reason(rim) == why.BOUNDARY


def test_where_outlines_are_most_of_it_the_words_say_what_sets_a_place_apart() -> None:
    instances = np.zeros((240, 240), np.int32)
    heat = np.zeros(instances.shape, np.float32)
    places = [(60, 60), (60, 180), (180, 60), (180, 180)]
    for number, (y, x) in enumerate(places, start=1):
        instances[y - 12 : y + 12, x - 12 : x + 12] = number
        heat[y - 13 : y + 13, x - 13 : x + 13] = 0.9
        heat[y - 9 : y + 9, x - 9 : x + 9] = 0.01

    def reasons() -> dict[tuple[int, int], str]:
        found = u.suggest(heat, None, replace(ANY, count=4), instances=instances)
        near = {min(places, key=lambda at: abs(at[0] - s.y) + abs(at[1] - s.x)): s for s in found}
        return {at: near[at].reason for at in places}

    assert set(reasons().values()) == {why.BOUNDARY}
    # A quarter of the entropy: less than the outline has, more than any other place.
    heat[72 + 5 : 72 + 11, 40:60] = 0.9
    heat[176:184, 174:186] = 0.9
    assert reasons() == {
        places[0]: why.MISSED,
        places[1]: why.BOUNDARY,
        places[2]: why.BOUNDARY,
        places[3]: why.DOUBTFUL,
    }


def test_dismissed_places_do_not_come_back_nor_close_by() -> None:
    heat = np.random.default_rng(1).random((300, 310), dtype=np.float32)
    config = replace(ANY, count=30, box_px=32)
    first = u.suggest(heat, config=config)
    gone = [(s.y, s.x) for s in first[:3]]
    found = u.suggest(heat, config=config, dismissed=gone)
    assert found
    for s in found:
        assert all(max(abs(s.y - y), abs(s.x - x)) >= 40 for y, x in gone)
    everything = [(y, x) for y in range(0, 300, 30) for x in range(0, 310, 30)]
    assert u.suggest(heat, config=config, dismissed=everything) == []


def test_several_images_are_ranked_together() -> None:
    a = u.suggest(blobs((60, 60, 0.6), (140, 180, 0.9)), image="a")
    b = u.suggest(blobs((60, 60, 0.7)), image="b")
    merged = u.rank_all([a, b])
    assert [(s.rank, s.image) for s in merged] == [(1, "a"), (2, "b"), (3, "a")]
    assert u.rank_all([]) == []


def test_no_image_has_all_the_first_places() -> None:
    y, x = np.mgrid[60:300:60, 60:300:60].reshape(2, -1)
    many = blobs(*((int(i), int(j), 0.9) for i, j in zip(y, x, strict=True)), shape=(360, 360))
    blurred = u.suggest(many, image="blurred")
    sharp = u.suggest(0.5 * many, config=SuggestionConfig(least_doubt=0.0), image="sharp")
    first = [s.image for s in u.rank_all([sharp, blurred])[:6]]
    # twice as unsure, twice as often
    assert first.count("blurred") == 4
    assert first.count("sharp") == 2
    own = u.rank_all([blurred])
    assert own == blurred


def test_maps_have_to_fit() -> None:
    with pytest.raises(ImPartialError, match="scribble"):
        u.suggest(np.ones((4, 4)), np.ones((4, 5)))
    with pytest.raises(ImPartialError, match="two axes"):
        u.suggest(np.ones((2, 4, 4)))
    with pytest.raises(ImPartialError, match="count"):
        u.suggest(np.ones((4, 4)), config=SuggestionConfig(count=0))


def test_the_list_ends_where_nothing_is_in_doubt() -> None:
    rng = np.random.default_rng(0)
    empty = 0.3 * rng.random((200, 200), dtype=np.float32)
    assert u.suggest(empty) == [], "an empty plane, though nowhere quite sure"
    outline = empty.copy()
    outline[60:120, 60], outline[60:120, 110], outline[60, 60:110] = 1, 1, 1
    assert u.suggest(outline) == [], "right outlines are unsure along a line"
    doubt = outline.copy()
    doubt[150:158, 150:158] = 0.8
    (only,) = u.suggest(doubt)
    assert (only.rank, abs(only.y - 154) < 24, abs(only.x - 154) < 24) == (1, True, True)
    assert len(u.suggest(outline, config=SuggestionConfig(least_doubt=0.0))) > 1
