"""Objects through depth and time."""

from __future__ import annotations

import numpy as np
import pytest

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.linking import Linker, link, link_along, renumbered
from napari_impartial.core.instances.metrics import matched_pairs
from napari_impartial.core.instances.overlaps import find_overlaps


def same(one: np.ndarray, two: np.ndarray, iou: float = 0.95) -> float:
    """F1 at an IoU."""
    found = len(matched_pairs(one, two, iou)[0])
    return 2 * found / (len(np.unique(one)) + len(np.unique(two)) - 2)


def balls() -> np.ndarray:
    """Three balls in (Z, Y, X), two of which touch in some planes."""
    z, y, x = np.mgrid[:20, :60, :60]
    truth = np.zeros(z.shape, np.int32)
    for number, (cz, cy, cx, r) in enumerate([(7, 20, 20, 6), (10, 20, 33, 7), (12, 45, 40, 5)], 1):
        truth[(z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 <= r * r] = number
    return truth


def shuffled(stack: np.ndarray, seed: int = 0) -> np.ndarray:
    """Numbers that start anew in each plane, in any order."""
    rng = np.random.default_rng(seed)
    out = np.zeros_like(stack)
    for plane, into in zip(stack, out, strict=True):
        ids = np.unique(plane[plane > 0])
        for new, old in enumerate(rng.permutation(ids), start=1):
            into[plane == old] = new
    return out


def test_balls_are_whole_again() -> None:
    truth = balls()
    apart = shuffled(truth)
    assert same(truth, apart, 0.5) < 0.8
    linked = np.stack(link(list(apart)))
    assert same(truth, linked, 1.0) == 1.0
    assert np.unique(linked).tolist() == [0, 1, 2, 3]


def test_one_plane_may_miss_an_object_and_two_may_not() -> None:
    truth = balls()
    for missed, count in ((slice(12, 13), 3), (slice(12, 14), 4)):
        stack = truth.copy()
        stack[missed][truth[missed] == 3] = 0
        assert np.stack(link(list(shuffled(stack)))).max() == count


def test_neighbours_do_not_become_one_and_swap_no_numbers() -> None:
    # Each moves by a third of its width: the old place of one is nearly the new one of the next.
    planes = [np.repeat(np.arange(1, 5), 9)[None].repeat(6, 0) for _ in range(3)]
    planes = [np.roll(np.pad(plane, [(0, 0), (0, 12)]), 3 * i, 1) for i, plane in enumerate(planes)]
    linked = link(planes)
    for i, plane in enumerate(planes):
        np.testing.assert_array_equal(linked[i], plane)


def test_other_axes_are_apart_and_nothing_is_linked_to_nothing() -> None:
    truth = balls()
    both = np.stack([shuffled(truth), shuffled(truth, 1)])  # T, Z, Y, X
    linked = link_along(both, 1)
    assert np.unique(linked).tolist() == list(range(7))
    assert not set(np.unique(linked[0])) & set(np.unique(linked[1])) - {0}
    assert same(truth, linked[1], 1.0) == 1.0
    assert link_along(both, 0).max() >= 3
    assert not np.stack(link([np.zeros((4, 4), int)] * 3)).any()


def test_what_lies_on_top_of_each_other_is_two_in_depth_and_one_through_time() -> None:
    y, x = np.mgrid[:60, :60]
    truth = np.zeros((20, 60, 60), np.int32)
    for z, plane in enumerate(truth):
        wide = 9 - abs(z - 5) / 3 if z < 11 else 7 - abs(z - 15) / 3
        cy, cx = (26, 30) if z < 11 else (31, 32)
        plane[(y - cy) ** 2 + (x - cx) ** 2 <= wide**2] = 1 + (z >= 11)
    planes = list(shuffled(truth))
    assert np.stack(link(planes)).max() == 1
    linked = np.stack(link(planes, depth=True))
    assert same(truth, linked, 1.0) == 1.0
    # A plane in which it was outlined badly does not end an object.
    planes[4] = np.where(y > 26, planes[4], 0)
    assert np.stack(link(planes, depth=True)).max() == 2
    np.testing.assert_array_equal(np.stack(link(list(balls()), depth=True)), balls())


def test_planes_are_linked_one_after_the_other() -> None:
    stack = shuffled(balls())
    linker = Linker(depth=True)
    for number, plane in enumerate(stack):
        ids = np.unique(plane[plane > 0])
        before = [find_overlaps(stack[number - k], plane) for k in (1, 2) if k <= number]
        linker.add(ids, before)
    for plane, numbers, whole in zip(stack, linker.numbers(), link(list(stack), True), strict=True):
        ids = np.unique(plane[plane > 0])
        np.testing.assert_array_equal(renumbered(plane, ids, numbers), whole)


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (np.zeros((4, 6), int), r"Plane 1 has shape \(4, 6\) and plane 0 \(4, 5\)"),
        (np.zeros((4, 5)), "labels of plane 1 are of type float64; give whole numbers"),
        (np.full((4, 5), -1), "labels of plane 1 hold negative numbers"),
    ],
)
def test_planes_that_cannot_be_linked_are_named(second: np.ndarray, said: str) -> None:
    with pytest.raises(ImPartialError, match=said):
        link([np.zeros((4, 5), int), second])
