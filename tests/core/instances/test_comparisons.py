"""What candidates are compared by, against brute force on random trees."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_impartial.core.config import InstanceConfig
from napari_impartial.core.instances import comparisons, scoring
from napari_impartial.core.instances.comparisons import COMPARISONS, compare
from napari_impartial.core.instances.component_tree import LEVELS, ObjectTree, build_tree
from napari_impartial.core.instances.cutter import count_objects, to_instances

SIZE, FIRST = (COMPARISONS.index(name) for name in ("size_among_others", "score_before"))
HALF = int(np.argmin(abs(LEVELS - 0.5)))


def discs(radii: list[float], p: float = 0.95) -> np.ndarray:
    """Discs in a row, apart from each other, with soft outlines."""
    out = np.zeros((60, 60 * len(radii)), np.float32)
    y, x = np.mgrid[: out.shape[0], : out.shape[1]]
    for number, radius in enumerate(radii):
        out[(y - 30) ** 2 + (x - 30 - 60 * number) ** 2 <= radius**2] = p
    return np.asarray(ndimage.gaussian_filter(out, 1.0))


def tree_of(p: np.ndarray) -> ObjectTree:
    tree = build_tree(p)
    assert tree is not None
    return tree


@pytest.fixture(scope="module")
def tree() -> ObjectTree:
    noise = np.random.default_rng(0).normal(size=(60, 80))
    smooth = ndimage.gaussian_filter(noise, 2.0)
    found = tree_of(np.clip(0.5 + smooth / smooth.std() / 4, 0, 1).astype(np.float32))
    assert (found.n_hills > 3).any()
    return found


@pytest.fixture(scope="module")
def scores(tree: ObjectTree) -> np.ndarray:
    drawn = np.random.default_rng(1).random(tree.area.shape)
    return np.where(tree.area >= scoring.SMALLEST_PX, drawn, 0.0)


def log_odds(p: float) -> float:
    p = min(max(p, 1e-4), 1 - 1e-4)
    return float(np.log(p / (1 - p)))


def test_nodes_are_compared_with_what_holds_them(tree: ObjectTree, scores: np.ndarray) -> None:
    greatest = scores.max(axis=1)
    found = compare(tree, scores)
    assert found.shape == (*scores.shape, len(COMPARISONS))

    checked = 0
    for node in range(len(tree)):
        above, up = 0.0, int(tree.parent[node])
        while up >= 0:
            above, up = max(above, greatest[up]), int(tree.parent[up])
        checked += above > 0
        own = log_odds(greatest[node])
        for level in range(scores.shape[1]):
            np.testing.assert_allclose(
                found[node, level, FIRST:],
                [own, own - log_odds(above)],
                atol=1e-5,
            )
    assert checked > 20


def commonness(p: np.ndarray, x: int, scale: int = 1) -> float:
    """How common the disc at x (before magnification) is, where all candidates are likely."""
    tree = tree_of(np.kron(p, np.ones((scale, scale), np.float32)))
    scores = np.where(tree.area >= scoring.SMALLEST_PX, 0.9, 0.0)
    hill = int(tree.hills[30 * scale, x * scale]) - 1
    return float(compare(tree, scores)[hill, HALF, SIZE])


def test_the_commonest_size_is_that_of_most_of_the_area() -> None:
    p = discs([14, 14, 14, 5])
    assert commonness(p, 30) == pytest.approx(np.log(1.02), abs=0.05)
    assert commonness(p, 210) < -2.5


def test_small_cells_are_common_where_there_are_many() -> None:
    assert commonness(discs([14, *[5] * 20]), 150) > commonness(discs([14, 14, 5]), 150) + 1.5


def test_sizes_do_not_depend_on_magnification() -> None:
    p = discs([14, 8, 8])
    assert commonness(p, 90) == pytest.approx(commonness(p, 90, scale=2), abs=0.1)


def test_specks_do_not_become_what_is_common() -> None:
    p = discs([14, *[2.5] * 40])
    tree = tree_of(p)
    speck = tree.area[int(tree.hills[30, 90]) - 1].max()
    assert scoring.SMALLEST_PX < speck < InstanceConfig().min_size_px
    assert commonness(p, 30) > commonness(p, 90) + 3.0


def test_where_nothing_would_be_chosen_no_size_is_common() -> None:
    tree = tree_of(discs([14, 5]))
    compared = compare(tree, np.zeros(tree.area.shape))
    assert np.isfinite(compared).all()
    assert (compared[..., SIZE] == 0).all()
    assert (compared[..., FIRST] < comparisons._log_odds(np.array([0.001]))).all()


def test_a_vague_map_shows_objects_all_the_same() -> None:
    """Three looks do not talk each other out of what a young network sees."""
    labels = to_instances(discs([14, 12, 10, 13], p=0.3))
    assert count_objects(labels) == 4
