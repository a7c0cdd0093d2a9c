"""A picture cut block by block has the objects that it has when it is cut whole."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_impartial.core.config import InstanceConfig
from napari_impartial.core.data.synthetic_tissue import tissue
from napari_impartial.core.instances.cutter import to_instances
from napari_impartial.core.instances.measurements import measure, to_table
from napari_impartial.core.instances.metrics import matched_pairs
from napari_impartial.core.instances.object_sums import add_up, join
from napari_impartial.core.instances.parts import cut_part, look_at_whole, prepare
from napari_impartial.core.instances.seams import ROUNDS, Blocks, claim


def same(one: np.ndarray, two: np.ndarray, iou: float = 0.95) -> float:
    """F1 at an IoU."""
    found = len(matched_pairs(one, two, iou)[0])
    return 2 * found / (len(np.unique(one)) + len(np.unique(two)) - 2)


@pytest.fixture(scope="module")
def crowded() -> np.ndarray:
    """Probability of crowded cells that touch, with noise as of a young network."""
    truth = tissue((330, 290), 1, seed=4).truth
    edges = ndimage.morphological_gradient(truth, size=3) > 0
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=truth.shape), 2)
    p = ndimage.gaussian_filter(((truth > 0) & ~edges).astype(np.float32), 1.2) + 0.6 * noise
    return np.clip(p, 0, 1).astype(np.float32)


def in_blocks(p: np.ndarray, config: InstanceConfig, side: int, margin: int) -> np.ndarray:
    whole, blocks = look_at_whole(p, config), Blocks(p.shape, side)
    smoothed, out = prepare(p, config, whole), np.zeros(p.shape, np.int32)
    for number in range(ROUNDS):
        for block in range(len(blocks)):
            if blocks.round_of(block) != number:
                continue
            seen = blocks.around(block, margin)
            labels, _ = cut_part(smoothed[seen], config, whole, (seen[0].start, seen[1].start))
            mine = claim(labels, seen, block, blocks, out[seen] > 0).labels
            assert not out[seen][mine > 0].any()
            out[seen][mine > 0] = mine[mine > 0] + out.max()
    return out


@pytest.mark.parametrize(
    ("split", "sharpen"), [("automatic", 1), ("automatic", 2), ("watershed", 1)]
)
def test_blocks_of_a_few_cells_give_the_same_objects(
    split: str, sharpen: int, crowded: np.ndarray
) -> None:
    config = InstanceConfig(split=split, sharpen=sharpen)
    whole = to_instances(crowded, config)
    found = in_blocks(crowded, config, 96, 64)
    assert whole.max() > 100
    assert found.max() == whole.max()
    assert same(whole, found) == 1.0


def test_a_margin_that_is_too_small_cuts_no_cell_twice(crowded: np.ndarray) -> None:
    # What blocks disagree on is settled by their order: no pixel is anybody else's, and no
    # cell is missing because each left it to the other.
    config = InstanceConfig(split="watershed")
    whole = to_instances(crowded, config)
    found = in_blocks(crowded, config, 64, 8)
    assert len(matched_pairs(whole, found, 0.5)[0]) / whole.max() > 0.95
    assert found.max() < 1.1 * whole.max()


def test_an_object_that_goes_on_beyond_what_is_seen_is_told() -> None:
    labels = np.zeros((40, 60), np.int32)
    labels[10:20, 20:60] = 1
    blocks = Blocks((40, 200), 40)
    seen = (slice(0, 40), slice(0, 60))
    assert claim(labels, seen, 0, blocks, np.zeros(labels.shape, bool)).reaches_edge
    inner = np.where(np.arange(60) < 50, labels, 0)
    assert not claim(inner, seen, 0, blocks, np.zeros(labels.shape, bool)).reaches_edge


def test_what_another_block_has_taken_stays_taken() -> None:
    labels = np.zeros((40, 60), np.int32)
    labels[5:15, 42:58] = 1  # half of it taken, and more
    labels[20:30, 42:58] = 2  # a corner of it taken
    taken = np.zeros(labels.shape, bool)
    taken[5:15, 42:52] = taken[20:23, 42:50] = True
    blocks = Blocks((40, 80), 40)
    mine = claim(labels, (slice(0, 40), slice(0, 60)), 1, blocks, taken).labels
    assert (mine > 0).sum() == 160 - 24
    assert not mine[taken].any()


def test_sums_of_parts_are_those_of_the_whole() -> None:
    truth = tissue((120, 130), 2, seed=2)
    labels, channels = truth.truth, truth.image.channels.copy()
    channels[0, 60:70, 60:70] = np.nan
    rng = np.random.default_rng(0)
    probability = rng.dirichlet((1, 1, 1), labels.shape).transpose(2, 0, 1)
    entropy = rng.random(labels.shape)
    parts = [
        add_up(
            labels[y, x],
            probability[1:, y, x],
            entropy[y, x],
            channels[:, y, x],
            (y.start, x.start),
        )
        for y in (slice(0, 47), slice(47, 120))
        for x in (slice(0, 61), slice(61, 130))
    ]
    joined = to_table(join(parts), ("a", "b"))
    image = type(truth.image)(channels, ("a", "b"))
    for name, column in measure(labels, image, probability, entropy).items():
        np.testing.assert_allclose(joined[name], column, rtol=1e-9, atol=1e-6, err_msg=name)
