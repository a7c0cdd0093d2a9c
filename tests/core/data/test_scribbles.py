"""Scribble labels, instance masks as scribbles, the simulated annotator."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.draw import disk

from napari_impartial.core.config import STROKE_STYLES
from napari_impartial.core.data.mask_scribbles import annotate_cells, from_instances, simulate
from napari_impartial.core.data.scribbles import (
    BACKGROUND,
    FOREGROUND,
    Scribbles,
    check_trainable,
    from_labels,
    merge,
)
from napari_impartial.core.errors import ImPartialError


def _labels(text: str) -> np.ndarray:
    return np.array([[int(c) for c in row.split()] for row in text.strip().splitlines()], np.uint8)


def _discs(size: int = 200, n: int = 6, radius: int = 11) -> np.ndarray:
    """Return n x n round cells, every second one touching its right neighbour."""
    truth = np.zeros((size, size), np.int32)
    step = size // n
    for i in range(n * n):
        row, column = divmod(i, n)
        shift = 4 if column % 2 == 0 else -4
        centre = row * step + step // 2, column * step + step // 2 + shift
        rows, columns = disk(centre, radius + 1.5, shape=truth.shape)
        free = truth[rows, columns] == 0
        truth[rows[free], columns[free]] = 3 * i + 7
    return truth


def test_counts_strokes_and_classes() -> None:
    scribbles = Scribbles(
        _labels("""
            1 0 0 2 2
            0 1 0 0 0
            0 0 0 4 0
            2 0 0 0 0
        """)
    )
    assert scribbles.shape == (4, 5)
    assert scribbles.n_classes == 4
    assert scribbles.counts() == {1: 2, 2: 3, 3: 0, 4: 1}
    # pixels that touch by a corner are one stroke
    assert scribbles.strokes() == {1: 1, 2: 2, 3: 0, 4: 1}


def test_strokes_inside_an_outline_are_of_its_cell() -> None:
    scribbles = Scribbles(
        _labels("""
            0 2 2 2 2 2 0 0 0 1 1 1 1 1
            2 0 0 0 0 0 2 0 0 1 0 0 0 1
            2 0 2 2 2 0 2 0 0 1 0 1 0 1
            2 0 2 0 2 0 2 3 0 1 0 0 0 1
            2 0 2 2 2 0 2 0 0 1 1 1 1 1
            2 0 0 0 0 3 2 0 0 0 0 0 0 0
            0 2 2 2 2 2 0 0 2 2 2 2 0 0
            0 0 0 0 0 0 0 0 2 0 0 0 0 0
            0 0 0 0 0 0 0 0 2 0 2 0 2 0
        """)
    )
    assert scribbles.strokes() == {1: 2, 2: 5, 3: 2}
    # The outline with what it encloses, the open bracket, the two dots; the dot of class 3 in
    # the outline is a cell of its own class.
    assert scribbles.cells() == {2: 4, 3: 2}


def test_cells_of_the_annotator_are_counted() -> None:
    scribbles, ids = simulate(_discs(), 0.5, np.random.default_rng(0))
    assert scribbles.strokes()[2] > ids.size, "outlines and, inside, their skeletons"
    assert scribbles.cells() == {2: ids.size}


def test_blank_scribbles_have_two_classes() -> None:
    blank = Scribbles(np.zeros((3, 4), np.uint8))
    assert blank.n_classes == 2
    assert blank.counts() == {1: 0, 2: 0}
    assert blank.strokes() == {1: 0, 2: 0}
    assert blank.cells() == {2: 0}


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_from_labels_takes_all_integers_and_copies(dtype: str) -> None:
    labels = np.array([[0, 1], [2, 100]], dtype)
    scribbles = from_labels(labels, (2, 2))
    labels[:] = 0
    np.testing.assert_array_equal(scribbles.labels, [[0, 1], [2, 100]])
    assert scribbles.labels.dtype == np.uint8


def test_from_labels_drops_leading_axes_of_length_one() -> None:
    assert from_labels(np.ones((1, 1, 3, 4), int), (3, 4)).shape == (3, 4)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((4, 3), int), "4 x 3 and the image is 3 x 4"),
        (np.zeros((2, 3, 4), int), "2 x 3 x 4"),
        (np.zeros((3, 4)), "whole numbers"),
        (np.zeros((3, 4), bool), "whole numbers"),
        (np.full((3, 4), -1), "from -1 to -1"),
        (np.full((3, 4), 256), "0 to 255"),
    ],
)
def test_from_labels_refuses(labels: np.ndarray, message: str) -> None:
    with pytest.raises(ImPartialError, match=message):
        from_labels(labels, (3, 4))


def _painted(*labels: int) -> Scribbles:
    return Scribbles(np.array([[0, *labels]], np.uint8))


@pytest.mark.parametrize(
    ("several", "classes"),
    [
        ([_painted(1, 2)], 2),
        ([_painted(1), _painted(2)], 2),
        ([_painted(1, 2), _painted()], 2),
        ([_painted(1, 2, 3, 4)], 4),
        ([_painted(3), _painted(2, 1)], 3),
    ],
)
def test_check_trainable_counts_classes(several: list[Scribbles], classes: int) -> None:
    assert check_trainable(several) == classes


@pytest.mark.parametrize(
    ("several", "message"),
    [
        ([], "Nothing is painted"),
        ([_painted()], "Nothing is painted"),
        ([_painted(1), _painted(1)], "Only background is painted"),
        ([_painted(2)], "Only cells are painted"),
        ([_painted(1, 3)], "label 3 is painted but label 2 is not"),
        ([_painted(1, 2, 5)], "label 5 is painted but label 3 is not"),
    ],
)
def test_check_trainable_says_what_is_missing(several: list[Scribbles], message: str) -> None:
    with pytest.raises(ImPartialError, match=message):
        check_trainable(several)


def test_merge_lets_the_added_win() -> None:
    merged = merge(_painted(1, 2, 0, 1), _painted(0, 1, 2, 0))
    np.testing.assert_array_equal(merged.labels, [[0, 1, 1, 2, 1]])
    assert merged.labels.dtype == np.uint8
    with pytest.raises(ImPartialError, match="1 x 2 and 1 x 3"):
        merge(_painted(1), _painted(1, 1))


def test_from_instances_exactly() -> None:
    masks = np.zeros((11, 12), int)
    masks[3:8, 3:8] = 9
    expected = _labels("""
        0 0 0 0 0 0 0 0 0 0 0 0
        0 0 1 1 1 1 1 1 1 0 0 0
        0 1 1 1 1 1 1 1 1 1 0 0
        0 1 1 0 0 0 0 0 1 1 0 0
        0 1 1 0 0 0 0 0 1 1 0 0
        0 1 1 0 0 2 0 0 1 1 0 0
        0 1 1 0 0 0 0 0 1 1 0 0
        0 1 1 0 0 0 0 0 1 1 0 0
        0 1 1 1 1 1 1 1 1 1 0 0
        0 0 1 1 1 1 1 1 1 0 0 0
        0 0 0 0 0 0 0 0 0 0 0 0
    """)
    # the corners at (2, 2) lie 2.2 px off, so that the ring is rounded there
    expected[1, 2] = expected[1, 8] = expected[9, 2] = expected[9, 8] = 0
    expected[2, 1] = expected[2, 9] = expected[8, 1] = expected[8, 9] = 0
    np.testing.assert_array_equal(from_instances(masks).labels, expected)


def test_from_instances_separates_touching_cells() -> None:
    masks = np.zeros((20, 30), int)
    masks[5:15, 4:14], masks[5:15, 14:24] = 1, 2
    labels = from_instances(masks).labels
    assert (labels[5:15, 13:15] == BACKGROUND).all()
    # outline of each cell, eroded by two pixels
    assert (labels[7:13, 6] == FOREGROUND).all()
    assert (labels[7:13, 11] == FOREGROUND).all()
    assert (labels[7:13, 16] == FOREGROUND).all()
    # the rest of the border between outline and background is left open
    assert not labels[6:14, 12].any()


def test_from_instances_marks_only_cells_as_foreground_and_a_thin_ring() -> None:
    truth = _discs()
    partial = np.where(np.isin(truth, np.unique(truth)[1:8]), truth, 0)
    labels = from_instances(partial).labels
    assert not (labels[partial == 0] == FOREGROUND).any()
    distance = ndimage.distance_transform_edt(partial == 0)
    assert not labels[distance > 2].any()
    assert (labels[(distance > 0) & (distance <= 2)] == BACKGROUND).all()
    for value in np.unique(partial)[1:]:
        assert (labels[partial == value] == FOREGROUND).any()
    # a neighbour that nobody annotated loses no more than its rim
    neighbours = (truth > 0) & (partial == 0)
    rim = ndimage.distance_transform_edt(truth > 0) <= 2.5
    touching = ndimage.maximum_filter(partial, 5) > 0
    assert not (labels[neighbours & ~rim & ~touching] > 0).any()


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 2), (3, 3)])
def test_the_smallest_cells_keep_their_foreground(size: tuple[int, int]) -> None:
    masks = np.zeros((12, 12), np.int64)
    masks[4 : 4 + size[0], 4 : 4 + size[1]] = 5
    labels = from_instances(masks).labels
    assert (labels == FOREGROUND).any()
    assert not (labels[masks == 0] == FOREGROUND).any()


def test_from_instances_of_nothing_and_of_everything() -> None:
    assert not from_instances(np.zeros((5, 6), int)).labels.any()
    everything = from_instances(np.ones((9, 9), int)).labels
    assert set(np.unique(everything)) <= {0, FOREGROUND}
    assert (everything == FOREGROUND).any()
    assert from_instances(np.ones((1, 1), int)).labels == FOREGROUND


@pytest.mark.parametrize(
    "masks",
    [np.zeros((3, 4)), np.zeros((2, 3, 4), int), np.full((3, 4), -1), np.zeros((0, 3), int)],
)
def test_from_instances_refuses(masks: np.ndarray) -> None:
    with pytest.raises(ImPartialError):
        from_instances(masks)


def test_simulate_annotates_cells_with_strokes_inside_and_rings_outside() -> None:
    truth = _discs()
    scribbles, ids = simulate(truth, 0.25, np.random.default_rng(0))
    labels = scribbles.labels
    assert len(ids) == 9
    assert np.isin(ids, truth).all()
    assert (np.diff(ids) > 0).all()
    annotated = np.isin(truth, ids)
    assert not (labels[~annotated] == FOREGROUND).any()
    for value in ids:
        inside = labels[truth == value] == FOREGROUND
        assert 0.05 < inside.mean() < 0.5
    distance = ndimage.distance_transform_edt(~annotated)
    ring = (distance > 1) & (distance <= 3) & (truth == 0)
    assert (labels[ring] == BACKGROUND).all()
    # background lies in cells on their borders to other cells only
    wrong = (labels == BACKGROUND) & (truth > 0)
    highest = ndimage.maximum_filter(truth, footprint=[[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    lowest = ndimage.minimum_filter(
        np.where(truth > 0, truth, 10**6), footprint=[[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    )
    assert not (wrong & (highest == lowest)).any()
    # some strokes lie far from the cells
    assert (labels[distance > 6] == BACKGROUND).sum() > 20


def test_simulate_marks_the_border_of_touching_cells() -> None:
    truth = np.zeros((40, 60), int)
    truth[10:30, 10:30], truth[10:30, 30:50] = 1, 2
    labels = simulate(truth, 1.0, np.random.default_rng(0))[0].labels
    assert (labels[10:30, 29:31] == BACKGROUND).all()


def test_cells_are_painted_as_by_the_simulated_annotator() -> None:
    truth = _discs()
    labels = simulate(truth, 0.2, np.random.default_rng(0))[0].labels
    ids = simulate(truth, 0.2, np.random.default_rng(0))[1]
    painted = annotate_cells(truth, ids.tolist()).labels
    assert np.array_equal(painted == FOREGROUND, labels == FOREGROUND)
    strokes = labels != painted  # those elsewhere in the background
    assert (labels[strokes] == BACKGROUND).all()
    assert (ndimage.distance_transform_edt(truth == 0)[strokes] > 2).all()


def test_cells_that_are_not_painted_stay_free_of_background() -> None:
    truth = np.zeros((20, 30), int)
    truth[5:15, 3:12], truth[5:15, 14:25] = 4, 9
    labels = annotate_cells(truth, [4]).labels
    assert (labels[truth == 4] == FOREGROUND).any()
    assert not labels[truth == 9].any()
    assert (labels[5:15, 13] == BACKGROUND).all()
    assert not annotate_cells(truth, []).labels.any()


def test_simulate_repeats_and_nests() -> None:
    truth = _discs(400, 12, 11)
    first, ids = simulate(truth, 0.1, np.random.default_rng(3))
    again, same = simulate(truth, 0.1, np.random.default_rng(3))
    np.testing.assert_array_equal(first.labels, again.labels)
    np.testing.assert_array_equal(ids, same)
    for fraction in (0.2, 0.5, 1.0):
        more, larger = simulate(truth, fraction, np.random.default_rng(3))
        assert len(larger) == round(144 * fraction)
        assert np.isin(ids, larger).all()
        assert (more.labels[first.labels == FOREGROUND] == FOREGROUND).all()
    other = simulate(truth, 0.1, np.random.default_rng(4))[1]
    assert not np.array_equal(ids, other)


def test_a_line_runs_along_the_middle_of_its_cell_and_is_half_as_long() -> None:
    truth = np.zeros((30, 60), int)
    truth[10:15, 5:45] = 3  # 4 standard deviations of 40 px in a row: 46.2 px
    labels = annotate_cells(truth, [3], "lines").labels
    rows, columns = np.nonzero(labels == FOREGROUND)
    assert set(rows) == {12}
    assert np.ptp(columns) + 1 == pytest.approx(46.2 / 2, abs=2)
    assert columns.mean() == pytest.approx(24.5, abs=1)
    # the pen is 3 px wide where cells are large
    truth = truth.repeat(3, axis=0).repeat(3, axis=1)
    labels = annotate_cells(truth, [3], "lines").labels
    assert set(np.nonzero(labels == FOREGROUND)[0]) == {36, 37, 38}


def test_as_many_lines_lie_on_the_background_as_in_cells_and_most_beside_these() -> None:
    truth = _discs(400, 8, 9)
    scribbles, ids = simulate(truth, 0.1, np.random.default_rng(0), "lines")
    labels = scribbles.labels
    assert set(np.unique(truth[labels == FOREGROUND])) == set(ids)
    assert scribbles.cells() == {2: len(ids)}
    assert not (labels[truth > 0] == BACKGROUND).any()
    width = np.sqrt(np.pi) * 10
    longest = len(ids) * 1.5 * width
    assert 0.6 * longest < (labels == BACKGROUND).sum() <= longest + len(ids)
    near = ndimage.distance_transform_edt(~np.isin(truth, ids)) < 3 * width
    assert (labels[near] == BACKGROUND).sum() > (labels[~near] == BACKGROUND).sum()


@pytest.mark.parametrize("style", STROKE_STYLES[1:])
def test_strokes_of_each_style_nest_and_do_not_depend_on_other_cells(style: str) -> None:
    truth = _discs()
    first, ids = simulate(truth, 0.1, np.random.default_rng(3), style)
    more, larger = simulate(truth, 0.4, np.random.default_rng(3), style)
    assert set(ids) < set(larger)
    assert (more.labels[first.labels == FOREGROUND] == FOREGROUND).all()
    one, two = (annotate_cells(truth, some, style, seed=5).labels for some in ([7], [7, 70]))
    assert (two[one == FOREGROUND] == FOREGROUND).all()


@pytest.mark.parametrize(("style", "careful"), [("sloppy", "outlines"), ("sloppy-lines", "lines")])
def test_a_sloppy_hand_is_up_to_two_pixels_off(style: str, careful: str) -> None:
    truth = _discs()
    ids = np.unique(truth)[1::3]
    sloppy, exact = (annotate_cells(truth, ids, one).labels for one in (style, careful))
    gone = []
    for label in (BACKGROUND, FOREGROUND):
        distance = ndimage.distance_transform_edt(exact != label)
        gone.append(distance[sloppy == label].max())
    # half a pixel more, since pixels are whole
    assert 1 <= max(gone) <= 2 * np.sqrt(2) + 0.5
    # strokes that get over the edges of cells
    wrong = (sloppy == BACKGROUND) & (truth > 0) | (sloppy == FOREGROUND) & (truth == 0)
    right = (exact == BACKGROUND) & (truth > 0) | (exact == FOREGROUND) & (truth == 0)
    assert wrong.sum() > right.sum()


def test_lines_on_the_background_follow_borders_where_there_is_none() -> None:
    truth = np.ones((40, 60), int)
    truth[:, 30:] = 2
    labels = annotate_cells(truth, [1, 2], "lines").labels
    assert set(np.nonzero(labels == BACKGROUND)[1]) == {29, 30}
    assert not (annotate_cells(np.ones((9, 9), int), [1], "lines").labels == BACKGROUND).any()


def test_an_unknown_style_is_refused() -> None:
    with pytest.raises(ImPartialError, match="no style 'dots'; choose one of outlines, lines"):
        simulate(_discs(), 0.1, np.random.default_rng(0), "dots")


def test_simulate_annotates_in_a_few_spots() -> None:
    truth = _discs(600, 20, 11)
    ids = simulate(truth, 0.1, np.random.default_rng(0))[1]
    assert len(ids) == 40
    spots = ndimage.label(ndimage.binary_dilation(np.isin(truth, ids), iterations=9))[1]
    assert 2 <= spots <= 12


@pytest.mark.parametrize("fraction", [0.01, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (17, 23), (64, 33)])
def test_simulate_at_any_size(fraction: float, shape: tuple[int, int]) -> None:
    truth = np.zeros(shape, np.uint16)
    truth[: (shape[0] + 1) // 2, : (shape[1] + 1) // 2] = 65000
    scribbles, ids = simulate(truth, fraction, np.random.default_rng(0))
    assert ids.tolist() == [65000]
    assert scribbles.labels.shape == shape
    assert (scribbles.labels == FOREGROUND).any()
    assert set(np.unique(scribbles.labels)) <= {0, 1, 2}


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01, float("nan")])
def test_simulate_refuses_fractions(fraction: float) -> None:
    with pytest.raises(ImPartialError, match="fraction"):
        simulate(_discs(), fraction, np.random.default_rng(0))


def test_simulate_needs_cells() -> None:
    with pytest.raises(ImPartialError, match="no cell"):
        simulate(np.zeros((9, 9), int), 0.1, np.random.default_rng(0))


@pytest.mark.parametrize(
    "labels", [np.zeros((3, 4)), np.zeros((3, 4), int), np.zeros(4, np.uint8), [[0, 1]]]
)
def test_scribbles_are_planes_of_bytes(labels: np.ndarray) -> None:
    with pytest.raises(ImPartialError, match="from_labels"):
        Scribbles(labels)


def test_what_a_mask_hides_is_not_annotated() -> None:
    labels = np.array([[0, 1, 2], [1, 1, 2]], np.uint8)
    hidden = np.array([[1, 1, 0], [0, 0, 0]], bool)
    drawn = from_labels(np.ma.array(labels, mask=hidden), (2, 3))
    np.testing.assert_array_equal(drawn.labels, [[0, 0, 2], [1, 1, 2]])
    with pytest.raises(ImPartialError, match="make them with from_labels"):
        Scribbles(np.ma.array(labels))
    cells = np.zeros((40, 40), np.int32)
    cells[5:15, 5:15], cells[25:35, 25:35] = 1, 2
    without = from_instances(np.where(cells == 2, 0, cells))
    masked = from_instances(np.ma.masked_equal(cells, 2))
    np.testing.assert_array_equal(masked.labels, without.labels)
