"""Procedural tissue."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_impartial.core.data.image import normalize
from napari_impartial.core.data.synthetic_tissue import tissue
from napari_impartial.core.errors import ImPartialError


def _touching_pairs(truth: np.ndarray) -> int:
    pairs = set()
    for a, b in ((truth[1:], truth[:-1]), (truth[:, 1:], truth[:, :-1])):
        border = (a != b) & (a > 0) & (b > 0)
        pairs |= {tuple(sorted(pair)) for pair in zip(a[border], b[border], strict=True)}
    return len(pairs)


def test_truth_is_consecutive_connected_and_crowded() -> None:
    made = tissue((256, 256), seed=0)
    truth = made.truth
    assert truth.dtype == np.int32
    n = truth.max()
    assert n > 60
    np.testing.assert_array_equal(np.unique(truth), np.arange(n + 1))
    areas = np.bincount(truth.ravel())[1:]
    assert areas.min() >= 12
    assert np.percentile(areas, 90) > 2.5 * np.percentile(areas, 10), "sizes vary"
    for value, box in enumerate(ndimage.find_objects(truth), 1):
        assert ndimage.label(truth[box] == value)[1] == 1
    assert _touching_pairs(truth) > n / 2
    empty = ndimage.distance_transform_edt(truth == 0).max()
    assert empty > 12, "empty regions lie between"
    assert 0.3 < (truth > 0).mean() < 0.85


def test_same_seed_same_tissue() -> None:
    first, second = tissue((90, 70), 4, seed=5), tissue((90, 70), 4, seed=5)
    np.testing.assert_array_equal(first.truth, second.truth)
    np.testing.assert_array_equal(first.image.channels, second.image.channels)
    other = tissue((90, 70), 4, seed=6)
    assert not np.array_equal(first.truth, other.truth)


def test_more_channels_leave_the_first_ones_alone() -> None:
    few, many = tissue((64, 64), 2, seed=1), tissue((64, 64), 7, seed=1)
    np.testing.assert_array_equal(few.image.channels, many.image.channels[:2])
    np.testing.assert_array_equal(few.truth, many.truth)
    assert many.image.channel_names == (
        "nucleus",
        "membrane",
        "marker 1",
        "marker 2",
        "nuisance 1",
        "marker 3",
        "marker 4",
    )


@pytest.mark.parametrize("n_channels", [1, 2, 100])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (33, 47)])
def test_any_size_and_number_of_channels(n_channels: int, shape: tuple[int, int]) -> None:
    made = tissue(shape, n_channels, seed=2)
    assert made.image.channels.shape == (n_channels, *shape)
    assert made.image.channels.dtype == np.float32
    assert np.isfinite(made.image.channels).all()
    assert made.image.channels.min() >= 0
    assert made.truth.shape == shape
    assert len(set(made.image.channel_names)) == n_channels


def test_channels_show_what_they_are_named_after() -> None:
    made = tissue((256, 256), 5, seed=3)
    nucleus, membrane, marker, _, nuisance = normalize(made.image)
    truth = made.truth
    inside = truth > 0
    depth = ndimage.distance_transform_edt(
        (ndimage.maximum_filter(truth, 3) == ndimage.minimum_filter(truth, 3)) & inside
    )
    assert nucleus[depth > 4].mean() > 2 * nucleus[inside & (depth < 1)].mean()
    assert membrane[inside & (depth < 1)].mean() > 1.2 * membrane[depth > 4].mean()
    assert membrane[inside].mean() > 2 * membrane[~inside].mean()
    # a marker is found in some cells, not all
    means = ndimage.mean(marker, truth, np.arange(1, truth.max() + 1))
    assert 0.05 < (means > 0.4).mean() < 0.7
    # a nuisance says nothing of cells
    contrast = abs(nuisance[inside].mean() - nuisance[~inside].mean()) / nuisance.std()
    assert contrast < 0.3


def test_noise_can_be_switched_off() -> None:
    clean, usual, loud = (
        tissue((128, 128), 2, seed=4, noise=noise).image.channels for noise in (0, 1, 3)
    )
    assert 0 < np.abs(usual - clean).mean() < np.abs(loud - clean).mean()


@pytest.mark.parametrize("n_cells", [20, 100, 300])
def test_about_the_number_of_cells(n_cells: int) -> None:
    counts = [tissue((200, 240), 1, n_cells, seed=seed).truth.max() for seed in range(4)]
    assert 0.7 * n_cells < np.mean(counts) < 1.6 * n_cells


def test_scribbles_of_tissue() -> None:
    made = tissue((128, 128), 2, seed=0)
    scribbles = made.scribbles(0.2)
    assert scribbles.shape == made.truth.shape
    painted = np.unique(made.truth[scribbles.labels == 2])
    assert len(painted) == round(0.2 * made.truth.max())
    assert painted.min() > 0
    np.testing.assert_array_equal(scribbles.labels, made.scribbles(0.2).labels)


@pytest.mark.parametrize(
    "options",
    [
        {"shape": (0, 5)},
        {"n_channels": 0},
        {"n_cells": 0},
        {"n_cells": 100000},
        {"cell_diameter_px": 3},
        {"noise": -1},
        {"noise": float("nan")},
    ],
)
def test_out_of_bounds(options: dict[str, object]) -> None:
    with pytest.raises(ImPartialError):
        tissue(**options)
