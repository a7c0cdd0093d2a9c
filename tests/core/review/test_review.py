"""Decisions about objects: they outlive new cuts, are recognised, undone, and teach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from napari_impartial.core.data.scribbles import BACKGROUND, FOREGROUND
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.review import annotation
from napari_impartial.core.review import review as r
from napari_impartial.core.review.review import Region, Review, Verdict, with_returned


def cells() -> np.ndarray:
    """Four objects of 10 x 10 px; 2 and 3 touch."""
    labels = np.zeros((40, 60), np.int32)
    labels[5:15, 5:15] = 1
    labels[5:15, 25:35] = 2
    labels[5:15, 35:45] = 3
    labels[25:35, 5:15] = 4
    return labels


def ids(labels: np.ndarray) -> list[int]:
    return [int(i) for i in np.unique(labels) if i]


def test_nothing_decided_changes_nothing() -> None:
    cut = cells()
    assert r.compose(cut, Review()) is cut
    review, labels = r.collect(cut, cut.copy(), cut, Review())
    assert review == Review()
    assert labels is cut


def test_an_accepted_object_outlives_another_cut() -> None:
    cut = cells()
    review = r.accept(Review(), cut, [2, 99])
    assert list(review.kept) == [2]
    other = np.zeros_like(cut)
    other[4:16, 4:16] = 1
    other[3:17, 24:36] = 2  # the same cell, larger: gives way
    shown = r.compose(other, review)
    np.testing.assert_array_equal(shown == 2, cut == 2)
    np.testing.assert_array_equal(shown == 1, other == 1)
    assert ids(shown) == [1, 2]


def test_a_larger_object_keeps_its_largest_piece() -> None:
    cut = cells()
    review = r.accept(Review(), cut, [2])
    wide = np.zeros_like(cut)
    wide[5:15, 20:58] = 1
    shown = r.compose(wide, review)
    np.testing.assert_array_equal(shown == 2, cut == 2)
    np.testing.assert_array_equal(np.argwhere(shown == 1).min(axis=0), [5, 35])
    assert not shown[5:15, 20:25].any(), "the smaller piece goes"


def test_labels_of_kept_objects_are_not_given_twice() -> None:
    cut = cells()
    review = r.accept(Review(), cut, [4])
    other = np.zeros_like(cut)
    for i in range(6):
        other[1:4, 8 * i + 1 : 8 * i + 6] = i + 1
    shown = r.compose(other, review)
    assert len(ids(shown)) == 7
    np.testing.assert_array_equal(shown == 4, cut == 4)


def test_a_rejected_object_does_not_come_back() -> None:
    cut = cells()
    review, shown = r.reject(Review(), cut, [3, 77])
    assert ids(shown) == [1, 2, 4]
    assert ids(cut) == [1, 2, 3, 4], "nothing that was given is changed"
    again = cut.copy()
    again[4:16, 35:46] = 3
    assert ids(r.compose(again, review)) == [1, 2, 4]
    assert r.reject(review, shown, [3]) == (review, shown)


def test_rejecting_what_was_accepted() -> None:
    cut = cells()
    review, _ = r.reject(r.accept(Review(), cut, [1, 2]), cut, [2])
    assert list(review.kept) == [1]
    assert review.count(Verdict.REJECTED) == 1


def test_painting_is_recognised_and_outlives_another_cut() -> None:
    cut = cells()
    now = cut.copy()
    now[15:18, 5:15] = 1  # painted on
    now[25:30, 40:50] = 9  # a new cell
    review, labels = r.collect(cut, now, cut, Review())
    np.testing.assert_array_equal(labels, now)
    assert {label: region.verdict for label, region in review.kept.items()} == {
        1: Verdict.CORRECTED,
        9: Verdict.CORRECTED,
    }
    np.testing.assert_array_equal(r.compose(cut, review), now)
    nothing = np.zeros_like(cut)
    np.testing.assert_array_equal(
        r.compose(nothing, review), np.where(np.isin(now, [1, 9]), now, 0)
    )


def test_merging_is_recognised() -> None:
    cut = cells()
    now = np.where(cut == 3, 2, cut)
    review, _ = r.collect(cut, now, cut, Review())
    assert list(review.kept) == [2]
    np.testing.assert_array_equal(r.compose(cut, review), now)
    assert not review.empty


def test_erasing_is_recognised_and_stays() -> None:
    cut = cells()
    now = np.where(cut == 4, 0, cut)
    now[5:8, 5:15] = 0
    review, _ = r.collect(cut, now, cut, Review())
    assert list(review.kept) == [1]
    assert [region.verdict for region in review.empty] == [Verdict.ERASED] * 2
    np.testing.assert_array_equal(r.compose(cut, review), now)


def test_a_line_erased_through_an_object_makes_two() -> None:
    cut = cells()
    now = cut.copy()
    now[5:15, 29] = 0
    review, labels = r.collect(cut, now, cut, Review())
    assert ids(labels) == [1, 2, 3, 4, 5]
    assert (labels[5:15, 30:35] == 2).all(), "the larger piece keeps the label"
    assert (labels[5:15, 25:29] == 5).all()
    assert sorted(review.kept) == [2, 5]
    np.testing.assert_array_equal(r.compose(cut, review), labels)
    # The line is background, the halves are two cells.
    strokes = annotation.annotation(review, labels).labels
    assert (strokes[6:14, 29] == BACKGROUND).all()


def test_a_cell_painted_in_two_strokes_stays_one() -> None:
    cut = cells()
    now = cut.copy()
    now[20:22, 40:50] = 9
    now[30:32, 40:50] = 9
    _, labels = r.collect(cut, now, cut, Review())
    np.testing.assert_array_equal(labels, now)


@pytest.mark.parametrize("what", ["paint", "merge", "erase", "new"])
def test_undone_with_the_layers_own_undo(what: str) -> None:
    cut = cells()
    now = cut.copy()
    match what:
        case "paint":
            now[15:18, 5:15] = 1
        case "merge":
            now[cut == 3] = 2
        case "erase":
            now[5:8, 5:15] = 0
        case "new":
            now[25:30, 40:50] = 9
    review, labels = r.collect(cut, now, cut, Review())
    assert review
    review, labels = r.collect(labels, cut, cut, review)
    assert not review
    np.testing.assert_array_equal(labels, cut)


def test_a_kept_object_erased_by_hand_goes() -> None:
    cut = cells()
    review = r.accept(Review(), cut, [1, 2])
    now = np.where(cut == 1, 0, cut)
    review, _ = r.collect(cut, now, cut, review)
    assert list(review.kept) == [2]
    np.testing.assert_array_equal(r.compose(cut, review), now)


def test_random_edits_outlive_the_same_cut() -> None:
    rng = np.random.default_rng(0)
    cut = cells()
    shown, review = cut, Review()
    for _ in range(40):
        now = shown.copy()
        y, x = rng.integers(0, 34), rng.integers(0, 50)
        now[y : y + 6, x : x + 8] = rng.integers(0, 8)
        review, shown = r.collect(shown, now, cut, review)
        composed = r.compose(cut, review)
        # The places of objects count, and kept ones have their labels too.
        kept = np.isin(shown, list(review.kept))
        np.testing.assert_array_equal(composed[kept], shown[kept])
        np.testing.assert_array_equal(composed[shown == 0], 0)


def test_what_corrections_teach() -> None:
    cut = cells()
    now = cut.copy()
    now[15:18, 5:15] = 1
    review, labels = r.collect(cut, now, cut, Review())
    strokes = annotation.annotation(review, labels).labels
    assert (now[strokes == FOREGROUND] == 1).all()
    assert (strokes == FOREGROUND).any()
    ring = ndimage.binary_dilation(now == 1, iterations=2) & (now != 1)
    assert (now[strokes == BACKGROUND] == 0).all()
    assert (strokes == BACKGROUND).any()
    assert (ring[strokes == BACKGROUND]).all()


def test_no_background_is_taught_where_another_object_is_shown() -> None:
    cut = cells()
    now = cut.copy()
    now[2:5, 25:35] = 2  # touches 3, which nothing is said about
    review, labels = r.collect(cut, now, cut, Review())
    assert list(review.kept) == [2]
    strokes = annotation.annotation(review, labels).labels
    assert not strokes[labels == 3].any()


def test_what_acceptance_teaches() -> None:
    cut = cells()
    review = r.accept(Review(), cut, [4])
    assert review.classes() == {FOREGROUND}
    strokes = annotation.annotation(review, cut).labels
    assert set(np.unique(strokes)) == {0, FOREGROUND}
    assert (cut[strokes == FOREGROUND] == 4).all()


def test_classes_are_those_of_the_objects() -> None:
    cut = cells()
    review = r.accept(Review(), cut, [1, 4], kind_of=lambda region: 2 if region.label == 1 else 3)
    strokes = annotation.annotation(review, cut).labels
    assert set(np.unique(strokes[cut == 1])) == {0, 2}
    assert set(np.unique(strokes[cut == 4])) == {0, 3}
    assert review.classes() == {2, 3}


def test_a_rejected_object_becomes_background_but_not_its_neighbour() -> None:
    cut = cells()
    review, shown = r.reject(Review(), cut, [3])
    (region,) = review.empty
    stroke = np.zeros(cut.shape, bool)
    stroke[region.window] = annotation.background_stroke(shown, region)
    assert (cut[stroke] == 3).all()
    assert not stroke[:, 35].any(), "next to object 2"
    assert stroke[5:15, 36:45].all()
    # An object in the midst of others is painted whole rather than not at all.
    ring = np.ones((5, 5), np.int32)
    ring[2, 2] = 2
    review, shown = r.reject(Review(), ring, [2])
    assert annotation.background_stroke(shown, review.empty[0]).all()


def test_a_rejection_is_withdrawn_with_its_stroke() -> None:
    cut = cells()
    review, shown = r.reject(Review(), cut, [3])
    scribbles = np.zeros(cut.shape, np.uint8)
    (region,) = review.empty
    scribbles[region.window][annotation.background_stroke(shown, region)] = BACKGROUND
    assert annotation.withdrawn(review, scribbles) == []
    scribbles[8:15] = 0
    assert annotation.withdrawn(review, scribbles) == []
    scribbles[:] = 0
    assert annotation.withdrawn(review, scribbles) == [region]
    assert annotation.withdrawn(review, None) == []


def test_a_review_survives_a_file() -> None:
    cut = cells()
    now = cut.copy()
    now[15:18, 5:15], now[5:8, 25:35] = 1, 0
    review, labels = r.collect(cut, now, cut, Review())
    review, labels = r.reject(r.accept(review, labels, [3]), labels, [4])
    content = annotation.to_bytes(review)
    assert content.dtype == np.uint8
    assert annotation.from_bytes(content) == review
    with pytest.raises(ImPartialError, match="cannot be read"):
        annotation.from_bytes(content[: len(content) // 2])
    assert annotation.from_bytes(annotation.to_bytes(Review())) == Review()


def test_a_decision_is_taken_back_among_others() -> None:
    labels = cells()
    first = r.accept(Review(), labels, [1, 2])
    second, left = r.reject(first, labels, [2])
    third = r.accept(second, left, [3])
    fourth, _ = r.reject(third, left, [4])
    assert r.revert(fourth, third, fourth) is third, "nothing else was decided since"
    # What was rejected had been accepted.
    now = r.revert(fourth, first, second)
    assert sorted(now.kept) == [1, 2, 3]
    assert now.kept[2] is first.kept[2]
    assert [region.label for region in now.empty] == [4]
    now = r.revert(now, second, third)
    assert sorted(now.kept) == [1, 2]
    assert r.revert(r.revert(now, third, fourth), Review(), first) == Review()
    assert sorted(region.label for region in r.difference(first, second)) == [2, 2]
    assert [region.label for region in r.difference(third, fourth)] == [4]
    # A region that was taken back before is not there to be taken back.
    assert r.revert(first, third, fourth) == first


def test_decisions_of_another_image_are_refused() -> None:
    review = r.accept(Review(), cells(), [3])
    with pytest.raises(ImPartialError, match="another image"):
        r.compose(np.zeros((20, 20), np.int32), review)


def test_reviews_are_equal_by_what_they_say() -> None:
    cut: Any = cells()
    assert r.accept(Review(), cut, [1]) == r.accept(Review(), cut, [1])
    assert r.accept(Review(), cut, [1]) != r.accept(Review(), cut, [2])


def test_a_part_of_the_image_has_its_part_of_the_decisions() -> None:
    cut = cells()
    review, shown = r.reject(r.accept(Review(), cut, [1, 2]), cut, [4])
    part = r.crop(review, (8, 10, 30, 30))
    inside = r.compose(np.zeros((22, 20), np.int32), part)
    np.testing.assert_array_equal(inside, np.where(shown == 3, 0, shown)[8:30, 10:30])
    assert len(part.empty) == 1
    assert not r.crop(review, (36, 0, 40, 60))


def test_rejected_objects_come_back_where_nothing_else_is_now() -> None:
    mask = np.ones((2, 2), bool)
    back = Region(3, Verdict.REJECTED, 0, 0, mask)
    taken = Region(4, Verdict.REJECTED, 4, 4, mask)
    there = Region(5, Verdict.REJECTED, 0, 4, mask)
    erased = Region(0, Verdict.CORRECTED, 4, 0, mask)
    labels = np.zeros((6, 6), np.int32)
    labels[5, 5], labels[3, 3] = 1, 5
    still = Region(6, Verdict.REJECTED, 2, 0, mask)
    before = Review(empty=(back, taken, there, erased, still))
    found = with_returned(labels, before, Review(empty=(still,)))
    assert (found[:2, :2] == 3).all()
    assert np.unique(found, return_counts=True)[1].tolist() == [30, 1, 4, 1]
    assert labels[0, 0] == 0
