"""Distances to outlines: exact, and averaged over levels."""

import numpy as np
import pytest
from scipy import ndimage

from napari_impartial.core.instances.distances import distance_inside, mean_distance_inside


def test_distances_are_the_exact_euclidean_ones() -> None:
    mask = ndimage.gaussian_filter(np.random.default_rng(0).random((61, 83)), 3) > 0.5
    expected = ndimage.distance_transform_edt(mask)
    assert expected.max() > 3
    found = distance_inside(mask)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_nothing_outside_means_far_from_any_outline() -> None:
    assert (distance_inside(np.ones((3, 7), bool)) == 7).all()
    assert (distance_inside(np.zeros((3, 7), bool)) == 0).all()


def test_the_mean_is_over_the_outlines_at_the_levels() -> None:
    p = np.zeros((9, 9), np.float32)
    p[1:8, 1:8], p[3:6, 3:6] = 0.4, 0.9
    found = mean_distance_inside(p, (0.3, 0.8))
    # The middle is 4 px from outside the large square and 2 px from outside the small one.
    assert found[4, 4] == pytest.approx((4 + 2) / 2)
    assert found[1, 4] == pytest.approx((1 + 0) / 2)
    assert found[0, 0] == 0


def test_distances_that_are_long_are_exact() -> None:
    mask = np.ones((30, 500), bool)
    mask[3, 7] = False
    expected = ndimage.distance_transform_edt(mask).astype(np.float32)
    np.testing.assert_array_equal(distance_inside(mask), expected)
