"""What a scribbled image tells a method that learns from whole cells."""

from __future__ import annotations

import numpy as np
import pytest

from napari_impartial.core.data.mask_scribbles import simulate
from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.data.synthetic_tissue import tissue
from napari_impartial.core.errors import ImPartialError
from napari_impartial.experiments.baselines.partial_masks import (
    annotated_window,
    mean_diameter_px,
    partial_labels,
)


def test_whole_masks_of_annotated_cells_and_nothing_of_others() -> None:
    truth = np.zeros((12, 20), np.int32)
    truth[2:6, 2:6], truth[2:6, 8:12], truth[2:6, 14:18] = 7, 8, 9
    painted = np.zeros((12, 20), np.uint8)
    painted[4, 3:5] = 2
    painted[3, 15] = 3  # a further class is a cell as well
    painted[10, :] = 1
    labels = partial_labels(Scribbles(painted), truth)
    expected = np.full((12, 20), -1)
    expected[10] = 0
    expected[2:6, 2:6] = 1
    expected[2:6, 14:18] = 2
    np.testing.assert_array_equal(labels, expected)
    assert mean_diameter_px([labels]) == pytest.approx(2 * np.sqrt(16 / np.pi))


def test_as_many_cells_as_were_annotated() -> None:
    made = tissue((96, 96), 1, seed=1)
    painted, ids = simulate(made.truth, 0.3, np.random.default_rng(0))
    labels = partial_labels(painted, made.truth)
    assert labels.max() == len(ids)
    np.testing.assert_array_equal(labels > 0, np.isin(made.truth, ids))
    # the rest is not taken for background, save where the line between two cells is painted
    others = (made.truth > 0) & ~np.isin(made.truth, ids)
    assert (labels[others & (painted.labels != 1)] == -1).all()
    assert (labels[others] == -1).mean() > 0.9


def test_windows_hold_annotation() -> None:
    labels = np.full((50, 40), -1, np.int32)
    labels[45:48, 2:4] = 1
    rng = np.random.default_rng(0)
    for _ in range(20):
        window = annotated_window(labels, 16, rng)
        assert labels[window].shape == (16, 16)
        assert (labels[window] == 1).any()
    assert labels[annotated_window(labels, 99, rng)].shape == (50, 40)


def test_no_cell() -> None:
    with pytest.raises(ImPartialError, match="No cell is annotated"):
        mean_diameter_px([np.full((4, 4), -1, np.int32)])
