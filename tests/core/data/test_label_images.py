"""Pieces of objects."""

from __future__ import annotations

import numpy as np

from napari_impartial.core.data.label_images import keep_largest_pieces, largest_pieces


def test_of_equal_pieces_the_first_is_kept() -> None:
    labels = np.array([[2, 2, 0, 2, 2], [0, 0, 0, 0, 0], [7, 0, 7, 7, 0]], np.int32)
    expected = np.array([[2, 2, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 7, 7, 0]], np.int32)
    np.testing.assert_array_equal(largest_pieces(labels), expected)
    keep_largest_pieces(labels, np.array([2, 7]))
    np.testing.assert_array_equal(labels, expected)
