"""Objects of an earlier result are found again by their boxes."""

from __future__ import annotations

import numpy as np

from napari_impartial.core.review.found_again import find_again

BOXES = np.array([(0, 0, 10, 10), (20, 20, 30, 30), (50, 50, 60, 60), (80, 0, 90, 10)])


def test_objects_at_the_same_place_are_the_same() -> None:
    later = np.array([(21, 20, 31, 30), (100, 100, 110, 110), (0, 0, 10, 10), (54, 54, 64, 64)])
    assert find_again(BOXES, later).tolist() == [2, 0, -1, -1]
    assert find_again(BOXES, np.zeros((0, 4))).tolist() == [-1] * 4
    assert find_again(np.zeros((0, 4)), later).tolist() == []


def test_no_object_is_two_others() -> None:
    one = np.array([(0, 0, 10, 10), (0, 0, 10, 9), (0, 0, 9, 9)])
    assert find_again(one, [(0, 0, 10, 9)]).tolist() == [-1, 0, -1]


def test_another_plane_is_another_place() -> None:
    planes = [[0], [0], [1], [1]]
    assert find_again(BOXES, BOXES, planes, [[0], [1], [1], [0]]).tolist() == [0, -1, 2, -1]
    assert find_again(BOXES, BOXES, [[0]] * 4, [[1]] * 4).tolist() == [-1] * 4
