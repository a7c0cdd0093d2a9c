"""Cells of different classes that touch."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_impartial.core.config import InstanceConfig
from napari_impartial.core.instances.class_borders import part_by_class
from napari_impartial.core.instances.cutter import to_instances
from napari_impartial.core.prediction.result import Prediction


def _prediction(classes: np.ndarray, sharpness: float = 0.98) -> Prediction:
    """Return what a sure network says of a map of classes, 0 for background."""
    k = int(classes.max()) + 1
    p = np.full((k, *classes.shape), (1 - sharpness) / (k - 1), np.float32)
    for number in range(k):
        p[number][classes == number] = sharpness
    p = np.stack([ndimage.gaussian_filter(one, 0.7) for one in p])
    zero = np.zeros(classes.shape, np.float32)
    return Prediction(p / p.sum(axis=0), zero, zero, None, 0)


@pytest.mark.parametrize("split", ["automatic", "watershed", "components"])
def test_twelve_abutting_squares_of_two_classes_are_twelve_objects(split):
    classes = np.zeros((90, 130), np.int64)
    for row in range(2):
        for pair in range(3):
            top, left = 8 + 42 * row, 6 + 42 * pair
            classes[top : top + 32, left : left + 16] = 1
            classes[top : top + 32, left + 16 : left + 32] = 2
    found = to_instances(_prediction(classes), InstanceConfig(split=split))
    assert found.max() == 12
    of_class = [int(np.bincount(classes[found == n]).argmax()) for n in range(1, 13)]
    assert sorted(of_class) == [1] * 6 + [2] * 6


def test_an_object_of_unsure_class_stays_whole():
    """Class noise inside one cell, and a class that leads by a little, draw no border."""
    rng = np.random.default_rng(0)
    inside = np.hypot(*(np.mgrid[:40, :40] - 19.5)) < 15
    first = np.where(inside, 0.5 + 0.4 * rng.standard_normal((40, 40)), 0).clip(0, 1)
    classes = np.stack([first, np.where(inside, 1 - first, 0)])
    instances = inside.astype(np.int32)
    np.testing.assert_array_equal(part_by_class(instances, classes, 0), instances)
    half = np.where(np.arange(40) < 20, 0.6, 0.4) * inside
    leaning = np.stack([half, inside - half])
    np.testing.assert_array_equal(part_by_class(instances, leaning, 0), instances)


def test_small_parts_stay_with_their_neighbour():
    instances = np.zeros((20, 40), np.int32)
    instances[4:16, 4:36] = 1
    second = np.zeros(instances.shape)
    second[4:16, 33:36] = 1  # less than a fifth
    classes = np.stack([(instances > 0) - second, second])
    assert part_by_class(instances, classes, 0).max() == 1
    second[4:16, 20:36] = 1
    classes = np.stack([(instances > 0) - second, second])
    parted = part_by_class(instances, classes, 0)
    assert parted[8, 8] == 1
    assert parted[8, 30] == 2
    assert part_by_class(instances, classes, 300).max() == 1
