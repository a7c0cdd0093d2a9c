"""Is a result good enough? Which objects and places a person looks at to tell.

A *spot check* is a stratified random sample of two kinds of unit, each of which gets a
verdict by eye:

- **objects**: each object of a stratum is drawn with the same probability. Is its outline
  right, and how many cells have their middle in it?
- **places**: each image is divided into squares about five objects wide. How many cells have
  their middle in the square and in no object?

*A cell counts where its middle lies.* So each true cell belongs to exactly one unit: to the
object, or else to the square, that holds its middle (a rightly outlined cell to its object).
Summed over all units, what is counted gives each cell once, whatever the size of cells and
squares, and wherever a square cuts through a cell: the reason why Gundersen's counting frame
(1977, J. Microscopy 111: 219) is unbiased, with the middle as the associated point. Sampled
units, each weighted by the inverse of its probability of being drawn, estimate these sums
without bias (Horvitz & Thompson 1952). Points instead of squares would find large cells more
often than small ones, and would find no cell at all where nearly all is background.

Squares that objects fill to the last pixel hold no missed cell and are left out. Squares with
an object in them and squares without any are separate strata: cells are missed where cells
are, so the former, though few in a sparse image, are looked at more closely.

Strata are images; where there are too many for two objects of each, neighbouring images make
one stratum. The order in which units are shown is such that those judged so far are a
stratified random sample as well, wherever one stops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from napari_impartial.core.data.boxes import Box
from napari_impartial.core.errors import ImPartialError

Labels = npt.NDArray[np.integer]

# Of what is looked at, the share that are objects: they weigh more in the result.
_OBJECT_SHARE = 2 / 3
# Side of a square, in diameters of an object: a cell is still well seen in it.
_SIDE_IN_OBJECTS = 5
_LEAST_SIDE_PX = 16
# Where there is no object to tell the size of cells by, squares a side of the image.
_SQUARES_ACROSS = 8
# How much more likely a cell is missed where there are objects than where there are none.
_BUSY_RATE = 16
_LEAST_A_STRATUM = 2


class Kind(StrEnum):
    """Kind of unit that is judged."""

    OBJECT = "object"
    BUSY = "place"
    EMPTY = "empty place"

    @property
    def is_place(self) -> bool:
        """Return whether cells that were missed are looked for."""
        return self is not Kind.OBJECT


@dataclass(frozen=True)
class Answer:
    """The verdict on an object or a place.

    Attributes
    ----------
    right : bool
        The object's outline is right; False for places.
    cells : int
        Cells whose middle lies in the object or, at a place, in the square and in no object.
    sure : bool
        False where a person cannot tell; the unit is then left out.
    """

    right: bool
    cells: int
    sure: bool = True

    @property
    def missed(self) -> int:
        """Cells that lack an outline of their own."""
        return self.cells - self.right


UNSURE = Answer(False, 0, sure=False)


@dataclass(frozen=True)
class Stratum:
    """Units that are drawn from with equal probability.

    Attributes
    ----------
    kind : Kind
    of_image : mapping of int to int
        How many of them each image has.
    """

    kind: Kind
    of_image: Mapping[int, int]

    @property
    def size(self) -> int:
        """Number of units."""
        return sum(self.of_image.values())


@dataclass(frozen=True)
class Unit:
    """An object or place that was drawn.

    Attributes
    ----------
    image : int
        Position among the images.
    plane : tuple of int
        Positions along the T and Z axes; () in 2D.
    box : (y0, x0, y1, x1)
        The object's bounding box, or the square; in pixels, the end excluded.
    label : int
        Of the object; 0 for a place.
    stratum : int
        Position among the strata.
    """

    image: int
    plane: tuple[int, ...]
    box: Box
    label: int
    stratum: int


@dataclass(frozen=True)
class SpotCheck:
    """Sample of units, in the order in which they are to be judged.

    Attributes
    ----------
    images, groups : tuple of str
        Names of the images, and the well or group that each belongs to ("" for none).
    strata : tuple of Stratum
    units : tuple of Unit
    seed : int
        That it was drawn with.
    """

    images: tuple[str, ...]
    groups: tuple[str, ...]
    strata: tuple[Stratum, ...]
    units: tuple[Unit, ...]
    seed: int = 0

    def kind(self, unit: Unit) -> Kind:
        """Return what a unit is."""
        return self.strata[unit.stratum].kind


@dataclass(frozen=True)
class PlaneLabels:
    """Objects of one plane to draw from.

    Attributes
    ----------
    image : int
        Position among the images.
    labels : (Y, X) integer array
        Objects, 0 for background.
    plane : tuple of int
        Positions along the T and Z axes; () in 2D.
    """

    image: int
    labels: Labels
    plane: tuple[int, ...] = ()

    def sizes(self) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]:
        """Return ids and areas of all objects."""
        labels = self.labels
        if labels.size and int(labels.max()) <= labels.size:
            # Many times quicker than sorting all pixels.
            counts = np.bincount(labels.reshape(-1))
            ids = np.flatnonzero(counts)
            return ids[ids > 0], counts[ids[ids > 0]]
        ids, counts = np.unique(labels, return_counts=True)
        return ids[ids > 0], counts[ids > 0]

    def boxes(self, ids: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """Return the bounding boxes (n, 4) of some objects."""
        boxes = np.zeros((len(ids), 4), np.int64)
        for row, label in enumerate(ids):
            inside = self.labels == label
            (y,) = np.nonzero(inside.any(axis=1))
            (x,) = np.nonzero(inside[y[0] : y[-1] + 1].any(axis=0))
            boxes[row] = y[0], x[0], y[-1] + 1, x[-1] + 1
        return boxes

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        height, width = self.labels.shape
        return height, width

    def squares(self, side: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Divide the plane into squares (n, 4) with background, and without objects."""
        edges = _edges(self.shape, side)
        rows = np.add.reduceat(self.labels > 0, edges[0][:-1], axis=0, dtype=np.int64)
        covered = np.add.reduceat(rows, edges[1][:-1], axis=1).reshape(-1)
        squares = _boxes_between(edges)
        area = (squares[:, 2] - squares[:, 0]) * (squares[:, 3] - squares[:, 1])
        return squares[(covered > 0) & (covered < area)], squares[covered == 0]


@dataclass(frozen=True, eq=False)
class PlaneTable:
    """Objects of one plane to draw from, where only the table of them is at hand.

    A square with the middle of an object in it is a busy one. None is known to hold no
    background, so all are drawn from; that takes more looks, and leaves the result as it is.

    Attributes
    ----------
    image : int
        Position among the images.
    ids, areas : (N,) array
        Ids ascending; areas in px.
    all_boxes : (N, 4) array
        Their bounding boxes.
    shape : (int, int)
        Rows and columns of the plane.
    plane : tuple of int
        Positions along the T and Z axes; () in 2D.
    """

    image: int
    ids: npt.NDArray[np.integer]
    areas: npt.NDArray[np.number]
    all_boxes: npt.NDArray[np.number]
    shape: tuple[int, int]
    plane: tuple[int, ...] = ()

    def sizes(self) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.number]]:
        """Return ids and areas of all objects."""
        return self.ids, self.areas

    def boxes(self, ids: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """Return the bounding boxes (n, 4) of some objects."""
        boxes = self.all_boxes[np.searchsorted(self.ids, ids)]
        return np.concatenate([np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])], axis=1).astype(int)

    def squares(self, side: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Divide the plane into squares (n, 4) with objects, and without."""
        edges = _edges(self.shape, side)
        at = [
            np.clip(np.searchsorted(part, middle, "right") - 1, 0, len(part) - 2)
            for part, middle in zip(
                edges, ((self.all_boxes[:, :2] + self.all_boxes[:, 2:] - 1) / 2).T, strict=True
            )
        ]
        busy = np.zeros((len(edges[0]) - 1, len(edges[1]) - 1), dtype=bool)
        busy[at[0], at[1]] = True
        squares = _boxes_between(edges)
        return squares[busy.reshape(-1)], squares[~busy.reshape(-1)]


@dataclass
class _Survey:
    """Positions of the units of one plane."""

    ids: npt.NDArray[np.integer]
    busy: npt.NDArray[np.int64]
    empty: npt.NDArray[np.int64]
    of: PlaneLabels | PlaneTable = field(repr=False)

    def count(self, kind: Kind) -> int:
        return len({Kind.OBJECT: self.ids, Kind.BUSY: self.busy, Kind.EMPTY: self.empty}[kind])


def draw(
    images: Sequence[str],
    planes: Sequence[PlaneLabels | PlaneTable],
    n: int,
    seed: int,
    groups: Sequence[str] = (),
) -> SpotCheck:
    """Draw objects and places at random.

    Parameters
    ----------
    images : sequence of str
        Names of the images.
    planes : sequence of PlaneLabels or PlaneTable
        All planes of which the result is to be judged.
    n : int
        Objects and places together; fewer are drawn where there are fewer.
    seed : int
        The same seed and objects give the same sample.
    groups : sequence of str
        Well or group of each image; none by default.

    Raises
    ------
    ImPartialError
        If there is nothing to draw from, or `n` is too small for both kinds.
    """
    if not planes:
        raise ImPartialError("There are no objects to judge yet; predict first.")
    if n < 2:
        raise ImPartialError(f"A sample of {n} is too small; draw at least 2, better 60.")
    rng = np.random.default_rng(seed)
    surveys = _survey(planes, len(images))
    wanted = _share_out(surveys, n)
    strata: list[Stratum] = []
    units: list[tuple[float, Unit]] = []
    order = sorted(range(len(images)), key=lambda i: groups[i]) if groups else range(len(images))
    for kind, n_kind in wanted.items():
        totals = {
            image: sum(one.count(kind) for one in surveys if one.of.image == image)
            for image in order
        }
        for part in _parts(totals, n_kind):
            strata.append(Stratum(kind, part))
        own = [i for i, stratum in enumerate(strata) if stratum.kind is kind]
        shares = allocate([strata[i].size for i in own], n_kind)
        for i, k in zip(own, shares, strict=True):
            units += _draw_units(strata[i], i, k, surveys, rng)
    units.sort(key=lambda one: one[0])
    chosen = tuple(unit for _, unit in units)
    names = tuple(groups) if groups else ("",) * len(images)
    return SpotCheck(tuple(images), names, tuple(strata), chosen, seed)


def allocate(sizes: Sequence[int], n: int) -> list[int]:
    """Share `n` units out among strata, in proportion to their sizes and two each at least.

    Parameters
    ----------
    sizes : sequence of int
        Units in each stratum.
    n : int
        Units to draw; more are drawn where a stratum would go empty.
    """
    total = sum(sizes)
    if n >= total:
        return list(sizes)
    exact = np.array(sizes) * n / max(total, 1)
    least = np.minimum(sizes, _LEAST_A_STRATUM)
    shares = np.maximum(np.floor(exact).astype(int), least)
    while (left := n - int(shares.sum())) != 0:
        gap = exact - shares
        if left > 0:
            gap[shares >= sizes] = -np.inf
            shares[int(np.argmax(gap))] += 1
            continue
        gap[shares <= least] = np.inf
        if not np.isfinite(gap).any():
            break
        shares[int(np.argmin(gap))] -= 1
    return [int(share) for share in shares]


def _share_out(surveys: Sequence[_Survey], n: int) -> dict[Kind, int]:
    """Return how many of each kind are drawn."""
    there = {kind: sum(one.count(kind) for one in surveys) for kind in Kind}
    n_objects = min(round(n * _OBJECT_SHARE), there[Kind.OBJECT])
    n_objects = max(n_objects, n - there[Kind.BUSY] - there[Kind.EMPTY])
    n_objects = min(n_objects, there[Kind.OBJECT])
    n_places = n - n_objects
    busy, empty = there[Kind.BUSY], there[Kind.EMPTY]
    # Neyman's allocation for counts of rare events.
    weight = np.sqrt(_BUSY_RATE * busy), np.sqrt(empty)
    n_busy = round(n_places * weight[0] / max(weight[0] + weight[1], 1))
    least = min(_LEAST_A_STRATUM, n_places // 2)
    n_busy = min(
        max(n_busy, min(least, busy), n_places - empty), busy, n_places - min(least, empty)
    )
    return {
        Kind.OBJECT: n_objects,
        Kind.BUSY: n_busy,
        Kind.EMPTY: min(n_places - n_busy, empty),
    }


def _parts(totals: Mapping[int, int], n: int) -> list[dict[int, int]]:
    """Put images into strata: each its own, or neighbours together where they are too many."""
    there = {image: size for image, size in totals.items() if size}
    most = max(n // _LEAST_A_STRATUM, 1)
    if len(there) <= most:
        return [{image: size} for image, size in there.items()]
    middle = np.cumsum(list(there.values())) - np.array(list(there.values())) / 2
    number = np.minimum((middle * most / sum(there.values())).astype(int), most - 1)
    parts: dict[int, dict[int, int]] = {}
    for at, (image, size) in zip(number, there.items(), strict=True):
        parts.setdefault(int(at), {})[image] = size
    return list(parts.values())


def _draw_units(
    stratum: Stratum, at: int, n: int, surveys: Sequence[_Survey], rng: np.random.Generator
) -> list[tuple[float, Unit]]:
    """Draw from one stratum; return each unit with its turn, 0 to 1."""
    parts = [one for one in surveys if one.of.image in stratum.of_image]
    ends = np.cumsum([one.count(stratum.kind) for one in parts])
    chosen = rng.permutation(stratum.size)[:n]
    found: list[Unit | None] = [None] * len(chosen)
    for k, one in enumerate(parts):
        first = int(ends[k]) - one.count(stratum.kind)
        mine = np.flatnonzero((chosen >= first) & (chosen < ends[k]))
        if not len(mine):
            continue
        rows = chosen[mine] - first
        if stratum.kind is Kind.OBJECT:
            labels = one.ids[rows]
            boxes = one.of.boxes(labels)
        else:
            labels = np.zeros(len(rows), int)
            boxes = (one.busy if stratum.kind is Kind.BUSY else one.empty)[rows]
        for i, label, box in zip(mine, labels, boxes, strict=True):
            y0, x0, y1, x1 = (int(v) for v in box)
            where = one.of.image, one.of.plane
            found[i] = Unit(*where, (y0, x0, y1, x1), int(label), at)
    # One at a random turn in each n-th part of the way: any beginning is spread evenly.
    turns = (np.arange(len(chosen)) + rng.random(len(chosen))) / max(len(chosen), 1)
    return [(float(turn), unit) for turn, unit in zip(turns, found, strict=True) if unit]


def _survey(planes: Sequence[PlaneLabels | PlaneTable], n_images: int) -> list[_Survey]:
    """Find the units of all planes."""
    ids, areas = [], []
    for one in planes:
        labels, counts = one.sizes()
        ids.append(labels)
        areas.append(counts)
    side_of = {}
    for image in range(n_images):
        own = [area for one, area in zip(planes, areas, strict=True) if one.image == image]
        # An image with nothing in it is most likely of the same cells as the others.
        known = np.concatenate(own) if any(len(a) for a in own) else np.concatenate(areas)
        if len(known):
            side_of[image] = _SIDE_IN_OBJECTS * float(np.sqrt(np.median(known)))
    surveys = []
    for one, labels in zip(planes, ids, strict=True):
        side = side_of.get(one.image, max(one.shape) / _SQUARES_ACROSS)
        surveys.append(_Survey(labels, *one.squares(max(side, _LEAST_SIDE_PX)), one))
    return surveys


def _edges(shape: Sequence[int], side: float) -> list[npt.NDArray[np.int64]]:
    """Return where squares of about a side begin and end, along rows and along columns."""
    return [
        np.linspace(0, length, max(round(length / side), 1) + 1).round().astype(np.int64)
        for length in shape
    ]


def _boxes_between(edges: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """Return the squares (n, 4) between edges, row by row."""
    y0, x0 = np.meshgrid(edges[0][:-1], edges[1][:-1], indexing="ij")
    y1, x1 = np.meshgrid(edges[0][1:], edges[1][1:], indexing="ij")
    return np.stack([y0, x0, y1, x1], axis=-1).reshape(-1, 4)
