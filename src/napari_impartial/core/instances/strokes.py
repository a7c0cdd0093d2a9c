"""Objects that agree with strokes: one foreground stroke is one object, background is none.

A cut is made from probabilities alone. What a person painted is certain, so it is imposed on
the cut afterwards, whichever way of splitting made it. The same strokes, before they are
imposed, tell how well a cut agrees with them (:func:`agreement`), and which cut suits the
cells that were annotated (:func:`best_cut`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse
from scipy.sparse import csgraph
from skimage.segmentation import flood, relabel_sequential, watershed

from napari_impartial.core.config import InstanceConfig
from napari_impartial.core.data.label_images import outermost
from napari_impartial.core.errors import ImPartialError

Instances = npt.NDArray[np.int32]
Window = tuple[slice, slice]

BACKGROUND = 1
"""Label of background strokes; larger ones are foreground classes."""

# An object holds a stroke if this share of the stroke lies in it: a stroke that leaves its
# cell by a pixel or two does not join the neighbour.
_LEAST_SHARE = 0.2
# A piece that a background stroke cuts off stays an object from this share of the whole on.
_LEAST_PIECE = 0.1
# Levels at which a painted cell that no object covers is looked for in the map.
_LEVELS = (0.5, 0.2)
_EVERYWHERE = np.ones((3, 3), bool)

SHARPENINGS = (1.0, 2.0)
SPLIT_STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Sharpenings and split strengths that :func:`best_cut` chooses from."""


@dataclass(frozen=True)
class Strokes:
    """Strokes of one plane, numbered.

    Attributes
    ----------
    number : (Y, X) int32
        1 to `count` on foreground strokes, 0 elsewhere. A closed line and what is painted
        in the same class inside it are one stroke.
    classes : (count + 1,) int64
        Scribble label of each stroke; the first entry, of no stroke, is 0.
    background : (Y, X) bool
    windows : tuple of (slice, slice)
        Where each stroke lies.
    """

    number: Instances
    classes: npt.NDArray[np.int64]
    background: npt.NDArray[np.bool_]
    windows: tuple[Window, ...]

    @property
    def count(self) -> int:
        """Number of foreground strokes."""
        return len(self.classes) - 1

    def within(self, window: Window) -> Strokes:
        """Return what lies in a window; pieces of one stroke stay one, however it is cut."""
        number, _, old = relabel_sequential(self.number[window])
        classes = self.classes[np.asarray(old)]
        number = np.asarray(number, np.int32)
        windows = tuple(ndimage.find_objects(number, len(classes) - 1))
        return Strokes(number, classes, self.background[window], windows)


def find_strokes(labels: npt.NDArray[np.integer]) -> Strokes:
    """Find and number the strokes of a scribble image.

    Parameters
    ----------
    labels : (Y, X) integer array
        0 not annotated, 1 background, 2 and up foreground classes.

    Raises
    ------
    ImPartialError
        If they are not (Y, X) whole numbers from 0 on.
    """
    labels = np.asarray(labels)
    whole = labels.dtype.kind in "iu"
    if labels.ndim != 2 or not whole or labels.min(initial=0) < 0:
        least = f", the least {labels.min(initial=0)}" if whole else ""
        raise ImPartialError(
            "Strokes are (Y, X) whole numbers, 1 background and 2 and up foreground; these are "
            f"{labels.dtype} of shape {labels.shape}{least}."
        )
    number = np.zeros(labels.shape, np.int32)
    classes = [0]
    for value in np.unique(labels[labels > BACKGROUND]).tolist():
        pieces, _ = ndimage.label(labels == value, _EVERYWHERE)
        # A loop and what lies inside it are one.
        _, number_of = np.unique(outermost(pieces), return_inverse=True)
        of_piece = number_of + len(classes) - 1
        of_piece[0] = 0
        np.copyto(number, of_piece[pieces].astype(np.int32), where=pieces > 0)
        classes += [value] * (int(of_piece.max()) + 1 - len(classes))
    windows = tuple(ndimage.find_objects(number, len(classes) - 1))
    return Strokes(number, np.array(classes, np.int64), labels == BACKGROUND, windows)


def impose(
    instances: Instances,
    foreground: npt.NDArray[np.floating],
    strokes: Strokes,
    min_size_px: int = 0,
) -> Instances:
    """Change a cut so that it agrees with all strokes.

    Background strokes are in no object, and part what they cross. Each foreground stroke
    lies in one object, and no object holds two: objects that one stroke runs through are
    joined, those that hold several are divided between them, and a stroke in no object
    gets one, from the map where it shows something and from the stroke alone otherwise.

    Parameters
    ----------
    instances : (Y, X) int32
        Objects, 0 for background; not changed.
    foreground : (Y, X) floating array
        Probability of any foreground class.
    strokes : Strokes
    min_size_px : int
        Pieces that background strokes cut off are dropped below this size.

    Returns
    -------
    (Y, X) int32
        Objects of the cut keep their numbers. Of the parts that one is divided into, one keeps
        it; others and new objects have numbers after the highest, by class and row.

    Raises
    ------
    ImPartialError
        If the strokes are of another shape.
    """
    if strokes.number.shape != instances.shape:
        raise ImPartialError(
            f"The strokes have shape {strokes.number.shape}, the objects {instances.shape}; "
            "take those of the same image."
        )
    labels = _part_by_background(instances, strokes.background, min_size_px)
    if strokes.count:
        labels = _one_object_a_stroke(labels, foreground, strokes)
    number = np.arange(int(labels.max(initial=0)) + 1, dtype=np.int32)
    new = int(instances.max(initial=0)) + 1
    there = np.bincount(labels.reshape(-1), minlength=new)[new:] > 0
    number[new:][there] = new + np.arange(there.sum())
    return number[labels]


@dataclass(frozen=True)
class Agreement:
    """Agreement of a cut with strokes that it was made without.

    Attributes
    ----------
    covered : (N,) float64
        Share of each foreground stroke that lies in objects.
    whole : (N,) float64
        Share of that part that lies in a single object; 0 for strokes in none.
    shared : (N,) bool
        Whether this object also holds the most of another stroke.
    """

    covered: npt.NDArray[np.float64]
    whole: npt.NDArray[np.float64]
    shared: npt.NDArray[np.bool_]

    @property
    def in_no_object(self) -> npt.NDArray[np.bool_]:
        """Strokes of which less than half lies in objects."""
        return self.covered < 0.5

    @property
    def divided(self) -> npt.NDArray[np.bool_]:
        """Strokes that run through several objects."""
        return ~self.in_no_object & (self.whole < 1.0 - _LEAST_SHARE)

    @property
    def faults(self) -> npt.NDArray[np.float64]:
        """(3,) strokes in no object, in other objects than their main one, and sharing one."""
        divided = self.covered * (1.0 - self.whole)
        return np.array([(1.0 - self.covered).sum(), divided.sum(), self.shared.sum()])


def agreement(instances: Instances, strokes: Strokes) -> Agreement:
    """Compare a cut with strokes.

    Parameters
    ----------
    instances : (Y, X) int32
        Objects that were cut without knowledge of the strokes.
    strokes : Strokes
    """
    covered, whole = np.zeros(strokes.count), np.zeros(strokes.count)
    main = np.zeros(strokes.count, np.int64)
    for stroke, shares in _shares(instances, strokes):
        if shares:
            main[stroke - 1], largest = next(iter(shares.items()))
            covered[stroke - 1] = sum(shares.values())
            whole[stroke - 1] = largest / covered[stroke - 1]
    held = np.bincount(main, minlength=1)
    held[0] = 0
    return Agreement(covered, whole, held[main] > 1)


@dataclass(frozen=True)
class CutCosts:
    """Costs by which annotated cells choose the split strength and the sharpening.

    Chosen on maps of twenty kinds of image; ``benchmarks.fit_cut_costs`` judges them.

    Attributes
    ----------
    usual : float
        Split strength that suits most kinds of image.
    unusual : float
        Cost of the squared distance from it.
    sharper : float
        Cost of twice the log-odds.
    faults : (float, float, float)
        Cost of a stroke for each of :attr:`Agreement.faults`. Most costs what runs through
        several objects: the other two are often the map's fault, whatever the cut.
    fitting : int
        Strokes that are counted besides, as if they fitted, so that few count for less.
    """

    usual: float = 0.6
    unusual: float = 2.0
    sharper: float = 0.05
    faults: tuple[float, float, float] = (0.5, 3.0, 0.5)
    fitting: int = 1

    def of(self, faults: npt.NDArray[np.float64], count: int, config: InstanceConfig) -> float:
        """Return the cost of a cut; (3,) sums of the faults of `count` strokes."""
        mean = float(faults @ self.faults) / (count + self.fitting)
        unusual = self.unusual * (config.split_strength - self.usual) ** 2
        return mean + unusual + self.sharper * math.log2(config.sharpen)


def cuts_to_choose_from(config: InstanceConfig) -> list[InstanceConfig]:
    """Return a cut with each sharpening and split strength; those of a sharpening in a row."""
    return [
        replace(config, sharpen=sharpening, split_strength=strength)
        for sharpening, strength in product(SHARPENINGS, SPLIT_STRENGTHS)
    ]


def best_cut(
    cut: Callable[[InstanceConfig], Sequence[Instances]],
    strokes: Sequence[Strokes],
    config: InstanceConfig | None = None,
) -> InstanceConfig:
    """Choose the split strength and the sharpening that suit annotated cells.

    Parameters
    ----------
    cut : callable
        Returns the objects of each annotated image, cut without knowledge of the strokes.
    strokes : sequence of Strokes
        Those of each image.
    config : InstanceConfig, optional
        The other settings.

    Returns
    -------
    InstanceConfig
        One of :func:`cuts_to_choose_from`: that of the least cost, the first of equals.
    """
    costs = CutCosts()
    count = sum(drawn.count for drawn in strokes)

    def cost(one: InstanceConfig) -> float:
        found = zip(cut(one), strokes, strict=True)
        faults = sum((agreement(*pair).faults for pair in found), np.zeros(3))
        return costs.of(faults, count, one)

    return min(cuts_to_choose_from(config or InstanceConfig()), key=cost)


def _part_by_background(
    instances: Instances, background: npt.NDArray[np.bool_], min_size_px: int
) -> Instances:
    """Take background strokes out of objects; what falls apart becomes several objects."""
    labels = instances.copy()
    crossed = np.unique(labels[background])
    labels[background] = 0
    windows = ndimage.find_objects(instances)
    following = int(instances.max(initial=0)) + 1
    for one in crossed[crossed > 0].tolist():
        here = labels[windows[one - 1]]
        pieces, count = ndimage.label(here == one)
        if count < 2:
            continue
        sizes = np.bincount(pieces.reshape(-1))[1:]
        least = max(min_size_px, _LEAST_PIECE * sizes.sum(), 1)
        for piece in range(1, count + 1):
            if piece == sizes.argmax() + 1:
                continue
            keep = sizes[piece - 1] >= least
            here[pieces == piece] = following if keep else 0
            following += int(keep)
    return labels


def _one_object_a_stroke(
    labels: Instances, foreground: npt.NDArray[np.floating], strokes: Strokes
) -> Instances:
    """Join and divide objects so that each stroke has one of its own."""
    group_of, strokes_of = _groups(labels, strokes)
    labels = group_of[labels]
    first = int(labels.max(initial=0)) + 1  # stroke s becomes object first + s
    windows = ndimage.find_objects(labels)
    number = strokes.number
    for group, members in strokes_of.items():
        window = _around([windows[group - 1], *(strokes.windows[s - 1] for s in members)])
        here, drawn = labels[window], number[window]
        region = here == group
        if len(members) == 1:
            here[region] = first + members[0]
            continue
        seeds = np.where(np.isin(drawn, members), drawn, 0)
        divided = watershed(-foreground[window], seeds, mask=region | (seeds > 0))
        np.copyto(here, (divided + first).astype(np.int32), where=region & (divided > 0))
        here[region & (divided == 0)] = 0
    # Strokes win over whatever the cut said, also where they run over a neighbour's rim.
    painted = number > 0
    labels[painted] = number[painted] + first
    with_object = {s for members in strokes_of.values() for s in members}
    for s in range(1, strokes.count + 1):
        if s not in with_object:
            _grow(labels, foreground, strokes, s, first + s)
    kept = np.arange(first + strokes.count + 1, dtype=np.int32)
    for group, members in strokes_of.items():
        kept[first + members[0]] = group
    return kept[labels]


def _groups(
    labels: Instances, strokes: Strokes
) -> tuple[npt.NDArray[np.int32], dict[int, list[int]]]:
    """Find objects that strokes join, and the strokes that each such group holds.

    Returns
    -------
    group_of : (N + 1,) int32
        Number of its group for each object, which is that of the first one in it; 0 for none.
    strokes_of : dict
        Strokes by group, for groups that hold any.
    """
    held: dict[int, int] = {}
    pairs: list[tuple[int, int]] = []
    for stroke, shares in _shares(labels, strokes):
        holding = [one for one, share in shares.items() if share >= _LEAST_SHARE]
        if not holding:
            continue
        held[stroke] = holding[0]
        pairs += [(holding[0], one) for one in holding[1:]]
    n = int(labels.max(initial=0)) + 1
    joined = np.array(pairs, np.int64).reshape(-1, 2).T
    graph = sparse.coo_matrix((np.ones(len(pairs), np.int8), tuple(joined)), shape=(n, n))
    _, group = csgraph.connected_components(graph, directed=False)
    # Nothing is joined with 0, which stays 0.
    group_of = np.unique(group, return_index=True)[1].astype(np.int32)[group]
    strokes_of: dict[int, list[int]] = {}
    for stroke, one in held.items():
        strokes_of.setdefault(int(group_of[one]), []).append(stroke)
    return group_of, strokes_of


def _shares(labels: Instances, strokes: Strokes) -> Iterator[tuple[int, dict[int, float]]]:
    """Go through the strokes: share of each that lies in each object that it touches."""
    for stroke, window in enumerate(strokes.windows, start=1):
        under = labels[window][strokes.number[window] == stroke]
        ids, counts = np.unique(under[under > 0], return_counts=True)
        order = np.argsort(-counts, kind="stable")
        shares = (counts[order] / len(under)).tolist()
        yield stroke, dict(zip(ids[order].tolist(), shares, strict=True))


def _around(windows: list[Window]) -> Window:
    """Return the smallest window that holds some windows."""
    rows, cols = (
        slice(min(w[axis].start for w in windows), max(w[axis].stop for w in windows))
        for axis in (0, 1)
    )
    return rows, cols


def _grow(
    labels: Instances,
    foreground: npt.NDArray[np.floating],
    strokes: Strokes,
    stroke: int,
    name: int,
) -> None:
    """Give a stroke in no object the piece of the map that it lies in, in place."""
    window = strokes.windows[stroke - 1]
    drawn = strokes.number == stroke
    free = (labels == 0) & ~strokes.background
    for level in _LEVELS:
        seen = foreground[window][drawn[window]] >= level
        if seen.mean() < 0.5:
            continue
        start = tuple(int(axis[0]) for axis in np.nonzero(drawn))
        labels[flood((free & (foreground >= level)) | drawn, start, connectivity=2)] = name
        return
    filled = ndimage.binary_fill_holes(drawn[window])
    here = labels[window]
    here[filled & ((here == 0) | drawn[window]) & ~strokes.background[window]] = name
