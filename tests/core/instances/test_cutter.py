"""Cutting probabilities into objects: exact pictures, then what must not matter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from napari_impartial.core.config import InstanceConfig
from napari_impartial.core.data.synthetic_tissue import tissue
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.cutter import Cutter, count_objects, to_instances
from napari_impartial.core.instances.metrics import evaluate, matched_pairs
from napari_impartial.core.instances.scoring import SMALLEST_PX
from napari_impartial.core.instances.selection import _left_out, choose, cover
from napari_impartial.core.instances.watershed import find_hills, find_passes, join_hills
from napari_impartial.core.prediction.result import Prediction

COMPONENTS = InstanceConfig(split="components", smooth_px=0.0, min_size_px=0)
WATERSHED = InstanceConfig("watershed", smooth_px=0.0, min_size_px=0)


def n_matched(truth: np.ndarray, pred: np.ndarray, iou: float) -> int:
    return len(matched_pairs(truth, pred, iou)[0])


def discs(*circles: tuple[int, int, int], shape: tuple[int, int] = (60, 90)) -> np.ndarray:
    """Label image of discs (y, x, radius); a later one does not cover an earlier one."""
    y, x = np.indices(shape)
    labels = np.zeros(shape, np.int32)
    for i, (cy, cx, radius) in enumerate(circles, start=1):
        labels[(labels == 0) & ((y - cy) ** 2 + (x - cx) ** 2 <= radius**2)] = i
    return labels


def as_probability(labels: np.ndarray) -> np.ndarray:
    return np.where(labels > 0, 0.95, 0.02).astype(np.float32)


def crowd(seed: int = 0) -> np.ndarray:
    """Touching discs of radius 7 to 10 on a loose grid."""
    rng = np.random.default_rng(seed)
    circles = [
        (y + int(rng.integers(-1, 2)), x + int(rng.integers(-1, 2)), int(rng.integers(7, 11)))
        for y in range(12, 120, 17)
        for x in range(12, 120, 17)
    ]
    return discs(*circles, shape=(128, 128))


def test_components_is_the_authors_recipe() -> None:
    p = np.array(
        [
            [0.9, 0.9, 0.0, 0.7, 0.0],
            [0.9, 0.8, 0.0, 0.7, 0.0],
            [0.0, 0.0, 0.0, 0.0, 0.0],
            [0.9, 0.0, 0.0, 0.8, 0.8],
            [0.0, 0.0, 0.0, 0.8, 0.8],
        ]
    )
    config = InstanceConfig("components", threshold=0.8, min_size_px=2, smooth_px=0.0, grow_px=0)
    expected = [
        [1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 2, 2],
        [0, 0, 0, 2, 2],
    ]
    labels = to_instances(p, config)
    assert labels.tolist() == expected
    assert labels.dtype == np.int32


def test_growing_never_merges() -> None:
    p = np.zeros((1, 9), np.float32)
    p[0, [1, 6]] = 1.0
    config = InstanceConfig("components", min_size_px=0, smooth_px=0.0, grow_px=3)
    assert to_instances(p, config).tolist() == [[1, 1, 1, 1, 2, 2, 2, 2, 2]]


def test_smallest_size_keeps_the_rest_numbered() -> None:
    p = np.array([[1, 0, 1, 1, 0, 1, 1, 1]], np.float32)
    labels = to_instances(p, InstanceConfig("components", min_size_px=2, smooth_px=0.0))
    assert labels.tolist() == [[0, 0, 1, 1, 0, 2, 2, 2]]


def test_touching_discs_are_split_at_the_waist() -> None:
    truth = discs((30, 30, 14), (30, 54, 14))
    labels = to_instances(as_probability(truth), WATERSHED)
    assert n_matched(truth, labels, 0.9) == 2
    assert labels.max() == 2
    assert to_instances(as_probability(truth), COMPONENTS).max() == 1


def test_a_dip_in_probability_splits_a_bar() -> None:
    p = np.zeros((40, 80), np.float32)
    p[12:28, 8:72] = 0.98
    whole = to_instances(p, WATERSHED)
    assert whole.max() == 1  # long, but without a waist
    p[12:28, 39:41] = 0.6
    labels = to_instances(p, WATERSHED)
    assert labels.max() == 2
    assert labels[20, 20] != labels[20, 60]


def test_small_and_large_side_by_side() -> None:
    truth = discs((40, 40, 26), (40, 78, 12), (12, 98, 5), (12, 111, 5), shape=(80, 120))
    labels = to_instances(as_probability(truth), WATERSHED)
    assert n_matched(truth, labels, 0.7) == labels.max() == 4


@pytest.mark.parametrize("seed", [0, 1])
def test_crowd_is_counted(seed: int) -> None:
    truth = crowd(seed)
    split = evaluate([truth], [to_instances(as_probability(truth), WATERSHED)])
    joined = evaluate([truth], [to_instances(as_probability(truth), COMPONENTS)])
    assert split.f1 > 0.9
    assert split.f1 > joined.f1 + 0.2


@pytest.mark.parametrize("split", ["automatic", "watershed"])
def test_stronger_splitting_never_gives_fewer(split: str) -> None:
    rng = np.random.default_rng(3)
    noise = rng.random((128, 128), dtype=np.float32) * 0.4
    noisy = np.clip(as_probability(crowd()) - noise, 0, None)
    counts = [
        to_instances(noisy, InstanceConfig(split, split_strength=s, min_size_px=0)).max()
        for s in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert counts == sorted(counts)
    assert counts[0] < counts[1] < counts[4]


@pytest.mark.parametrize(("factor", "offset"), [(255, 0), (10, -5), (1, 0.01), (np.inf, 0)])
def test_what_is_no_probability_is_refused(factor: float, offset: float) -> None:
    p = np.where(crowd() > 0, 1.0, 0.0)
    with np.errstate(invalid="ignore"), pytest.raises(ImPartialError, match="logits"):
        Cutter(p * factor + offset)


def test_rounded_probabilities_are_cut() -> None:
    p = np.where(crowd() > 0, 1.0, 0.0)
    np.testing.assert_array_equal(to_instances(p * 1.0005 - 0.0002), to_instances(p))


def test_no_splitting_equals_components() -> None:
    p = as_probability(crowd())
    config = InstanceConfig("watershed", split_strength=0.0, smooth_px=0.0, min_size_px=0)
    pieces, count = ndimage.label(p >= 0.5, np.ones((3, 3)))
    found = to_instances(p, config)
    assert n_matched(pieces, found, 0.999) == found.max() == count


@pytest.mark.parametrize("split", ["automatic", "watershed", "components"])
@pytest.mark.parametrize(
    "turn", [np.flipud, np.fliplr, np.transpose, lambda a: np.pad(a, ((5, 11), (3, 0)))]
)
def test_turned_and_moved_pictures(split: str, turn) -> None:  # type: ignore[no-untyped-def]
    p = as_probability(crowd(2))
    config = InstanceConfig(split=split)
    before, after = turn(to_instances(p, config)), to_instances(turn(p), config)
    assert n_matched(before, after, 0.8) == before.max() == after.max() > 1


@pytest.mark.parametrize("split", ["automatic", "watershed", "components"])
@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (1, 1), (1, 7), (33, 2)])
def test_degenerate_sizes(split: str, shape: tuple[int, int]) -> None:
    config = InstanceConfig(split=split, min_size_px=0)
    assert to_instances(np.zeros(shape), config).shape == shape
    full = to_instances(np.ones(shape), config)
    if split == "automatic" and full.size < SMALLEST_PX:
        assert not full.any()
    else:
        assert full.tolist() == np.ones(shape, int).tolist()


@pytest.mark.parametrize("split", ["automatic", "watershed", "components"])
def test_a_prediction_is_cut_as_its_foreground(split: str) -> None:
    truth = discs((20, 20, 9), (20, 60, 12))
    foreground = as_probability(truth)
    probability = np.stack([1 - foreground, 0.75 * foreground, 0.25 * foreground])
    nothing = np.zeros_like(foreground)
    prediction = Prediction(probability, nothing, nothing, None, 4)
    config = InstanceConfig(split)
    labels = to_instances(prediction, config)
    assert labels.max() == 2
    np.testing.assert_array_equal(labels, to_instances(prediction.foreground, config))


def test_labels_are_consecutive_and_repeatable() -> None:
    p = as_probability(crowd(4))
    first = to_instances(p)
    assert np.unique(first).tolist() == list(range(int(first.max()) + 1))
    np.testing.assert_array_equal(first, to_instances(p))


def test_what_is_no_number_is_background() -> None:
    p = np.full((9, 9), np.nan)
    p[2:7, 2:7] = 1.0
    assert to_instances(p, COMPONENTS).sum() == 25
    assert to_instances(np.full((4, 4), np.nan)).max() == 0


def test_input_is_left_alone() -> None:
    p = as_probability(crowd())
    before = p.copy()
    to_instances(p)
    np.testing.assert_array_equal(p, before)


def test_bad_input_is_named() -> None:
    plane, maps = np.zeros((3, 4)), np.zeros((2, 4, 3))
    with pytest.raises(ImPartialError, match=r"Classes have one map each.*\(2, 4, 3\)"):
        Cutter(plane, classes=maps)
    with pytest.raises(ImPartialError, match="Divide 8-bit values by 255"):
        Cutter(plane, classes=np.full((2, 3, 4), 255))
    with pytest.raises(ImPartialError, match=r"\(2, 3, 4\)"):
        to_instances(np.zeros((2, 3, 4)))
    with pytest.raises(ImPartialError, match="threshold"):
        to_instances(np.zeros((3, 4)), InstanceConfig(threshold=2.0))


def test_hills_passes_and_joining() -> None:
    height = np.array([[1, 5, 2, 3, 1, 4]], np.float32)
    regions, summits = find_hills(height, np.ones((1, 6), bool))
    assert summits.tolist() == [0, 5, 3, 4]
    assert regions[0, [1, 3, 5]].tolist() == [1, 2, 3]
    pairs, passes = find_passes(regions, height)
    assert dict(zip(map(tuple, pairs.tolist()), passes.tolist(), strict=True)) == {
        (1, 2): 2.0,
        (2, 3): 1.0,
    }
    # 2 reaches 0.6 of summit 3; 1 does not reach 0.6 of summit 4.
    assert join_hills(pairs, passes, summits, 0.6).tolist() == [0, 1, 1, 2]
    assert join_hills(pairs, passes, summits, 0.7).tolist() == [0, 1, 2, 3]


def test_a_plateau_is_one_hill() -> None:
    regions, summits = find_hills(np.ones((5, 7), np.float32), np.ones((5, 7), bool))
    assert regions.tolist() == np.ones((5, 7), int).tolist()
    assert summits.tolist() == [0, 1]


def soft_disc(p: np.ndarray, y: float, x: float, radius: float, height: float) -> None:
    """Draw a disc with soft edges into a map."""
    yy, xx = np.indices(p.shape)
    np.maximum(p, height / (1 + np.exp(np.hypot(yy - y, xx - x) - radius)), out=p)


def bright_pair_and_dim_cell() -> np.ndarray:
    """Two cells that part at 0.75 only, and one that never reaches 0.5."""
    p = np.zeros((64, 128), np.float32)
    soft_disc(p, 30, 30, 13, 0.97)
    soft_disc(p, 30, 54, 13, 0.97)
    soft_disc(p, 34, 98, 13, 0.46)
    return p


def test_each_object_has_an_outline_of_its_own() -> None:
    p = bright_pair_and_dim_cell()
    labels = to_instances(p)
    assert labels.max() == 3
    assert len({labels[30, 30], labels[30, 54], labels[34, 98]} - {0}) == 3
    # One threshold for all loses the dim one.
    assert to_instances(p, InstanceConfig(split="watershed")).max() == 2


def test_a_cutter_gives_what_a_fresh_one_gives() -> None:
    cutter = Cutter(bright_pair_and_dim_cell())
    for config in (
        InstanceConfig(),
        InstanceConfig(threshold=0.8),
        InstanceConfig(split="components"),
        InstanceConfig(smooth_px=0.0),
        InstanceConfig(split="watershed", min_size_px=700),
        InstanceConfig(),
    ):
        np.testing.assert_array_equal(
            cutter.cut(config), to_instances(bright_pair_and_dim_cell(), config)
        )


@pytest.mark.parametrize("split", ["automatic", "watershed", "components"])
def test_a_higher_threshold_finds_no_more(split: str) -> None:
    p = bright_pair_and_dim_cell()
    found = [
        (to_instances(p, InstanceConfig(split=split, threshold=t)) > 0).sum()
        for t in (0.2, 0.4, 0.6, 0.8, 0.95)
    ]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1]


def test_objects_are_whole_and_in_one_piece() -> None:
    p = np.zeros((64, 64), np.float32)
    soft_disc(p, 30, 30, 16, 0.97)
    p[28:33, 28:33] = 0.05  # a nucleolus, say
    labels = to_instances(p)
    assert labels.max() == 1
    assert labels[30, 30] == 1
    assert ndimage.label(labels)[1] == 1


def test_a_ring_keeps_its_lumen() -> None:
    yy, xx = np.indices((96, 96))
    radius = np.hypot(yy - 48, xx - 48)
    p = np.where((radius > 28) & (radius < 40), 0.95, 0.02).astype(np.float32)
    assert to_instances(p)[48, 48] == 0


def test_objects_are_counted_whatever_their_ids() -> None:
    labels = np.zeros((5, 6), np.int32)
    assert count_objects(labels) == 0
    labels[0], labels[2] = 3, 9
    assert count_objects(labels) == 2
    labels[4] = 2_000_000_000
    assert count_objects(labels) == 3


def _packed(inside: float) -> npt.NDArray[np.float32]:
    """Return a map of packed cells that shows nothing between them."""
    truth = tissue(shape=(256, 256), n_channels=2, seed=1).truth
    return ndimage.gaussian_filter(np.where(truth > 0, inside, 0.02).astype(np.float32), 1)


def test_sure_foreground_is_not_left_out_where_no_cut_of_it_is_convincing() -> None:
    config, p = InstanceConfig(), _packed(0.8)
    cutter = Cutter(p)
    pieces, n = ndimage.label((cutter.cut(config) == 0) & (p > 0.5))
    left_out = np.bincount(pieces.ravel(), minlength=n + 1)[1:]
    assert left_out.max() < 1000
    tree, scores = cutter._judged(config)
    assert tree is not None
    chosen, covered = choose(tree, scores, config)[0], cover(tree, scores, config)[0]
    # Nothing that may be taken in holds what was chosen.
    left = _left_out(tree, chosen)
    holders = set(np.flatnonzero(chosen >= 0).tolist())
    while holders:
        assert not left[list(holders)].any()
        holders = {int(tree.parent[node]) for node in holders} - {-1}
    # What is worth its price stays as it is, and a good part of the picture comes in.
    np.testing.assert_array_equal(covered[chosen >= 0], chosen[chosen >= 0])
    assert np.isin(tree.hills, np.flatnonzero((chosen < 0) & (covered >= 0)) + 1).mean() > 0.1


def test_what_is_not_sure_to_be_foreground_is_left_out() -> None:
    config = InstanceConfig()
    tree, scores = Cutter(_packed(0.62))._judged(config)
    assert tree is not None
    chosen = choose(tree, scores, config)[0]
    assert (chosen < 0).any()
    np.testing.assert_array_equal(cover(tree, scores, config)[0], chosen)
