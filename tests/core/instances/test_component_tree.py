"""The tree of candidates against slow counting on the pixels themselves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import regionprops

from napari_impartial.core.instances import component_tree, scoring
from napari_impartial.core.instances.component_tree import LEVELS, ObjectTree, build_tree


def disc(p: np.ndarray, y: float, x: float, radius: float, height: float) -> None:
    """Draw a disc with soft edges into a map."""
    yy, xx = np.indices(p.shape)
    soft = height / (1 + np.exp(np.hypot(yy - y, xx - x) - radius))
    np.maximum(p, soft, out=p)


@pytest.fixture
def map_of_cells() -> np.ndarray:
    """A clump of cells, a dim one apart, a speck, and some noise."""
    p = np.zeros((60, 90), np.float32)
    disc(p, 25, 25, 11, 0.95)
    disc(p, 27, 46, 10, 0.9)
    disc(p, 44, 33, 9, 0.7)
    disc(p, 43, 51, 7, 0.95)
    disc(p, 35, 74, 9, 0.45)
    disc(p, 8, 80, 2.5, 0.9)
    p += np.random.default_rng(0).normal(0, 0.15, p.shape).astype(np.float32)
    return np.clip(ndimage.gaussian_filter(p, 1.0), 0, 1)


@pytest.fixture
def tree(map_of_cells: np.ndarray) -> ObjectTree:
    found = build_tree(map_of_cells)
    assert found is not None
    assert len(found) > 6
    return found


def hills_of(tree: ObjectTree, node: int) -> list[int]:
    if tree.children[node, 0] < 0:
        return [node + 1]
    return [h for child in tree.children[node] for h in hills_of(tree, int(child))]


def region(tree: ObjectTree, node: int, level: int) -> np.ndarray:
    return np.isin(tree.hills, hills_of(tree, node)) & (tree.levels > level)


def every_candidate(tree: ObjectTree) -> list[tuple[int, int, np.ndarray]]:
    return [
        (node, level, region(tree, node, level))
        for node in range(len(tree))
        for level in range(len(LEVELS))
    ]


def test_sums_are_those_of_the_pixels(tree: ObjectTree, map_of_cells: np.ndarray) -> None:
    for node, level, inside in every_candidate(tree):
        y, x = np.nonzero(inside)
        p = map_of_cells[inside]
        expected = [len(y), y.sum(), x.sum(), (y * y).sum(), (x * x).sum(), (y * x).sum(), p.sum()]
        np.testing.assert_allclose(tree.sums[node, level], expected, rtol=1e-5)
        assert tree.n_hills[node] == len(hills_of(tree, node))


def test_outlines_are_those_of_the_pixels(tree: ObjectTree) -> None:
    for node, level, inside in every_candidate(tree):
        padded = np.pad(inside, 1)
        reached = np.pad(tree.levels > level, 1)
        free = shared = 0
        for axis in (0, 1):
            for step in (-1, 1):
                outside = padded & ~np.roll(padded, step, axis)
                other = outside & np.roll(reached, step, axis)
                shared += int(other.sum())
                free += int(outside.sum()) - int(other.sum())
        assert tree.free[node, level] == free
        assert tree.shared[node, level] == shared


def test_the_neck_is_what_lies_between_the_children(tree: ObjectTree) -> None:
    for node in range(len(tree)):
        a, b = (int(child) for child in tree.children[node])
        for level in range(len(LEVELS)):
            sides = 0
            if a >= 0:
                one, two = (np.pad(region(tree, n, level), 1) for n in (a, b))
                for axis in (0, 1):
                    for step in (-1, 1):
                        sides += int((one & np.roll(two, step, axis)).sum())
            assert tree.neck[node, level] == sides


def test_children_come_before_their_join(tree: ObjectTree) -> None:
    joins = np.flatnonzero(tree.children[:, 0] >= 0)
    assert len(joins)
    for node in joins:
        assert (tree.children[node] < node).all()
        assert (tree.parent[tree.children[node]] == node).all()
    assert ((tree.ratio >= 0) & (tree.ratio <= 1)).all()


def test_brightest_and_summit_are_the_greatest(tree: ObjectTree, map_of_cells: np.ndarray) -> None:
    for node in range(len(tree)):
        inside = region(tree, node, 0)
        assert tree.brightest[node] == pytest.approx(float(map_of_cells[inside].max()))


def test_bands_do_not_matter(
    tree: ObjectTree, map_of_cells: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(component_tree, "_BAND_PIXELS", 7 * map_of_cells.shape[1])
    banded = build_tree(map_of_cells)
    assert banded is not None
    for name in ("sums", "free", "shared", "neck"):
        np.testing.assert_allclose(getattr(banded, name), getattr(tree, name), rtol=1e-9)


def test_nothing_is_no_tree() -> None:
    assert build_tree(np.full((20, 20), 0.1, np.float32)) is None


def test_one_flat_plateau_is_one_candidate() -> None:
    tree = build_tree(np.ones((16, 24), np.float32))
    assert tree is not None
    assert tree.area.max() == 16 * 24
    assert np.isfinite(scoring.measure(tree)).all()


def test_fullness_and_roundness_are_those_of_regionprops(tree: ObjectTree) -> None:
    measured = scoring.measure(tree)
    fullness = measured[..., scoring.FEATURES.index("fullness")]
    roundness = measured[..., scoring.FEATURES.index("roundness")]
    checked = 0
    for node, level, inside in every_candidate(tree):
        if inside.sum() < scoring.SMALLEST_PX:
            continue
        props = regionprops(inside.astype(np.uint8))[0]
        # regionprops takes pixels for points, here they are squares.
        long, short = (value + 1 / 12 for value in props.inertia_tensor_eigvals)
        expected = props.area / (4 * np.pi * np.sqrt(long * short))
        assert fullness[node, level] == pytest.approx(min(expected, 1.2), rel=1e-4)
        assert roundness[node, level] == pytest.approx(np.sqrt(short / long), rel=1e-4)
        checked += 1
    assert checked > 20


def test_measurements_are_finite_and_named(tree: ObjectTree) -> None:
    measured = scoring.measure(tree)
    assert measured.shape == (len(tree), len(LEVELS), len(scoring.FEATURES))
    assert np.isfinite(measured).all()


def test_the_typical_object_is_that_of_the_middle_pixel() -> None:
    p = np.zeros((80, 200), np.float32)
    for number in range(4):
        disc(p, 40, 25 + 50 * number, 15, 0.99)
    disc(p, 5, 5, 3, 0.99)
    tree = build_tree(p)
    assert tree is not None
    one = float(region(tree, int(tree.hills[40, 25]) - 1, 3).sum())
    assert scoring.typical_area(tree) == pytest.approx(one, rel=0.1)


def test_scores_do_not_know_size() -> None:
    """The same picture at twice the size has the same best score, or nearly."""
    best = []
    for scale in (1, 2):
        p = np.zeros((60 * scale, 120 * scale), np.float32)
        disc(p, 30 * scale, 35 * scale, 14 * scale, 0.95)
        disc(p, 30 * scale, 85 * scale, 14 * scale, 0.95)
        tree = build_tree(p)
        assert tree is not None
        best.append(scoring.score(tree).max())
    assert best[0] == pytest.approx(best[1], abs=0.1)


def test_a_cell_scores_higher_than_a_pair_or_a_half() -> None:
    p = np.zeros((60, 140), np.float32)
    disc(p, 30, 30, 12, 0.95)
    disc(p, 30, 80, 12, 0.95)
    disc(p, 30, 102, 12, 0.95)
    tree = build_tree(p)
    assert tree is not None
    scores = scoring.score(tree).max(axis=1)
    alone, left, right = (int(tree.hills[30, x]) - 1 for x in (30, 80, 102))
    pair = int(tree.parent[left])
    assert pair == tree.parent[right] >= 0
    assert min(scores[[alone, left, right]]) > scores[pair] + 0.2


def test_specks_are_not_scored(tree: ObjectTree) -> None:
    scores = scoring.score(tree)
    small = tree.area < scoring.SMALLEST_PX
    assert small.any()
    assert (scores[small] == 0).all()
    assert (scores[~small] > 0).all()
