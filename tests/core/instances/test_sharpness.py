"""Pale maps are cut as sure ones are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_impartial.core.config import InstanceConfig
from napari_impartial.core.data.synthetic_tissue import tissue
from napari_impartial.core.instances.cutter import Cutter, to_instances
from napari_impartial.core.instances.metrics import evaluate
from napari_impartial.core.instances.sharpness import gain, sharpen


def _map(middle: float, shape: tuple[int, int] = (40, 50)) -> np.ndarray:
    return np.where(np.arange(shape[1]) < 25, middle, 0.1).astype(np.float32) * np.ones(shape, "f4")


def test_a_pale_map_becomes_as_sure_as_usual_and_a_sure_one_stays():
    assert gain(_map(0.99)) == 1.0
    assert gain(_map(0.95)) == pytest.approx(3 / np.log(19), abs=1e-3)
    assert gain(_map(0.85)) == pytest.approx(3 / np.log(0.85 / 0.15), abs=1e-3)
    assert gain(_map(0.55)) == 2.0  # noise is not made sure
    assert gain(_map(0.3)) == gain(np.zeros((0, 4), np.float32)) == 1.0


def test_log_odds_are_multiplied():
    p = np.array([0.0, 0.1, 0.5, 0.8, 1.0], np.float32)
    assert sharpen(p, 1.0) is p
    found = sharpen(p, 2.0)
    assert found.dtype == np.float32
    odds = [np.log(q[[1, 3]] / (1 - q[[1, 3]])) for q in (p, found)]
    np.testing.assert_allclose(odds[1], 2 * odds[0], rtol=1e-4)
    assert found[2] == 0.5
    assert found[0] < 1e-7
    assert found[4] > 1 - 1e-6


def test_objects_of_a_pale_map_are_those_of_the_sure_one():
    truth = tissue((200, 200), seed=2).truth
    edges = ndimage.grey_erosion(truth, 3) != ndimage.grey_dilation(truth, 3)
    p = ndimage.gaussian_filter(np.where(edges, 0.3, (truth > 0) * 0.93 + 0.03), 0.8)
    p = p.astype(np.float32)
    pale = sharpen(p, 0.5)
    sure, dim = to_instances(p), to_instances(pale)
    assert evaluate([truth], [sure]).f1 > 0.75
    assert evaluate([sure], [dim]).f1 > 0.95


def test_a_chosen_sharpening_is_that_of_the_map_and_only_of_the_automatic_cut():
    truth = tissue((200, 200), seed=2).truth
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=truth.shape), 2)
    edges = ndimage.morphological_gradient(truth, size=3) > 0
    p = ndimage.gaussian_filter(((truth > 0) & ~edges).astype(np.float32), 1.2) + 0.5 * noise
    p = np.clip(p, 0.01, 0.99).astype(np.float32)
    twice, cutter = sharpen(p, 2.0 * gain(p)), Cutter(p)
    assert gain(twice) == 1.0
    sharp = InstanceConfig(sharpen=2.0)
    for config, like in ((sharp, twice), (InstanceConfig(), sharpen(p, gain(p))), (sharp, twice)):
        # One cutter for all: what it keeps of one is not taken for the other's.
        np.testing.assert_array_equal(to_instances(like), cutter.cut(config))
        np.testing.assert_array_equal(Cutter(like).doubt(), cutter.doubt(config))
    assert (cutter.cut(sharp) != cutter.cut()).any()
    for split in ("watershed", "components"):
        blunt, sharper = InstanceConfig(split), InstanceConfig(split, sharpen=4.0)
        np.testing.assert_array_equal(cutter.cut(blunt), cutter.cut(sharper))
