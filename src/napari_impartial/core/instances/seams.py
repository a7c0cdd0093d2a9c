"""Objects across the borders of blocks and fields: none cut, none counted twice.

Blocks are cut with a margin, in four rounds, like the fields of a chessboard of four colours. An
object belongs to the block that its middle lies in. Where blocks agree on an object, that is all
there is to it. Where they do not, what a block of an earlier round has taken stays taken, and a
block of a later round takes what nobody has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from skimage.segmentation import relabel_sequential

from napari_impartial.core.data.label_images import keep_largest_pieces

Area = tuple[slice, slice]
Instances = npt.NDArray[np.int32]

ROUNDS = 4
# Of an object that another block has taken more of than this, nothing is left to take.
_MOST_TAKEN = 0.5
# So near to the edge of what a block sees, outlines may be those of the edge.
_RIM_PX = 3
# Of what is shown of a field, an object that takes more than this.
_LARGE_FOR_A_FIELD = 0.02


@dataclass(frozen=True)
class Blocks:
    """Division of a picture into blocks.

    Attributes
    ----------
    shape : (int, int)
        Rows and columns of the picture.
    side : int
        Of a block, in px; those at the end are smaller.
    """

    shape: tuple[int, int]
    side: int

    @property
    def counts(self) -> tuple[int, int]:
        """Blocks along rows and columns."""
        return -(-self.shape[0] // self.side), -(-self.shape[1] // self.side)

    def __len__(self) -> int:
        return self.counts[0] * self.counts[1]

    def core(self, block: int) -> Area:
        """Rows and columns of a block, which are numbered row by row."""
        return self.around(block, 0)

    def around(self, block: int, margin: int) -> Area:
        """Rows and columns of a block with a margin, as far as the picture reaches."""
        row, col = divmod(block, self.counts[1])

        def along(number: int, length: int) -> slice:
            start = number * self.side
            return slice(max(start - margin, 0), min(start + self.side + margin, length))

        return along(row, self.shape[0]), along(col, self.shape[1])

    def round_of(self, block: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the round, 0 to 3, in which blocks are cut."""
        row, col = np.divmod(np.asarray(block), self.counts[1])
        return np.asarray(2 * (row % 2) + col % 2)

    def holding(
        self, y: npt.NDArray[np.floating], x: npt.NDArray[np.floating]
    ) -> npt.NDArray[np.int64]:
        """Return the block that each place lies in."""
        row, col = ((v + 0.5).astype(np.int64) // self.side for v in (y, x))
        return np.asarray(row * self.counts[1] + col)


@dataclass(frozen=True)
class Claim:
    """Objects that a block takes.

    Attributes
    ----------
    labels : (Y, X) int32
        Over all that it has seen; 1 to N without gaps.
    reaches_edge : bool
        Whether an object goes on beyond what it has seen, and may be its own.
    clipped : int
        Own objects that do.
    """

    labels: Instances
    reaches_edge: bool
    clipped: int = 0


def claim(
    labels: Instances, seen: Area, block: int, blocks: Blocks, taken: npt.NDArray[np.bool_]
) -> Claim:
    """Choose the objects that are a block's own.

    Parameters
    ----------
    labels : (Y, X) int32
        Objects of what the block has seen, 1 to N without gaps.
    seen : (slice, slice)
        Rows and columns of it.
    block : int
    blocks : Blocks
    taken : (Y, X) bool
        Pixels that blocks of earlier rounds have taken.
    """
    count = int(labels.max(initial=0))
    if not count:
        return Claim(labels, False)
    flat = np.flatnonzero(labels)
    of = labels.reshape(-1)[flat] - 1
    y, x = np.divmod(flat, labels.shape[1])
    area = np.bincount(of, minlength=count)
    holder = blocks.holding(
        np.bincount(of, y, count) / area + seen[0].start,
        np.bincount(of, x, count) / area + seen[1].start,
    )
    lost = np.bincount(of, taken.reshape(-1)[flat], count)
    own = holder == block
    edge = _at_edge(labels, seen, blocks.shape, count)
    core = blocks.core(block)
    inside = np.zeros(count + 1, bool)
    inside[
        labels[
            core[0].start - seen[0].start : core[0].stop - seen[0].start,
            core[1].start - seen[1].start : core[1].stop - seen[1].start,
        ].reshape(-1)
    ] = True
    left_over = (blocks.round_of(holder) < blocks.round_of(block)) & inside[1:] & ~edge
    free = lost <= _MOST_TAKEN * area
    wanted = (own | left_over) & free
    # Where the middle of what goes on beyond is, only a wider look can tell.
    reaches = bool((inside[1:] & edge & free).any())
    keep = np.where(wanted, np.cumsum(wanted), 0)
    mine = np.append(0, keep).astype(np.int32)[labels]
    damaged = np.unique(keep[wanted & (lost > 0)])
    mine[taken] = 0
    keep_largest_pieces(mine, damaged)
    return Claim(
        np.asarray(relabel_sequential(mine)[0], dtype=np.int32), reaches, int((wanted & edge).sum())
    )


def _at_edge(
    labels: Instances, seen: Area, shape: tuple[int, int], count: int
) -> npt.NDArray[np.bool_]:
    """Tell which objects come near an edge of what is seen that is no edge of the picture."""
    near = np.zeros(count + 1, bool)
    if seen[0].start > 0:
        near[labels[:_RIM_PX].reshape(-1)] = True
    if seen[0].stop < shape[0]:
        near[labels[-_RIM_PX:].reshape(-1)] = True
    if seen[1].start > 0:
        near[labels[:, :_RIM_PX].reshape(-1)] = True
    if seen[1].stop < shape[1]:
        near[labels[:, -_RIM_PX:].reshape(-1)] = True
    return near[1:]


def continued(shown: Instances, field: Instances, box: tuple[int, int, int, int]) -> Instances:
    """Give objects that the border of a field cuts the numbers of what they go on as outside.

    A field that was cut by itself ends in straight lines where objects go on beyond it; with one
    number on both sides there is no line. Where nothing is known outside, half a cell is left out;
    one that is large for the field is not, since little else might be left.

    Parameters
    ----------
    shown : (Y, X) int32
        Objects of the whole picture, as they are known outside of the field.
    field : (y1 - y0, x1 - x0) int32
        Objects of the field, numbered unlike those outside.
    box : (y0, x0, y1, x1)
        Where the field lies.

    Returns
    -------
    (y1 - y0, x1 - x0) int32
        Each object outside goes on as one object of the field at most: the one that it
        shares the most of the border with.
    """
    y0, x0, y1, x1 = box
    sides = [
        (field[0], shown[y0 - 1, x0:x1]) if y0 > 0 else None,
        (field[-1], shown[y1, x0:x1]) if y1 < shown.shape[0] else None,
        (field[:, 0], shown[y0:y1, x0 - 1]) if x0 > 0 else None,
        (field[:, -1], shown[y0:y1, x1]) if x1 < shown.shape[1] else None,
    ]
    pairs = [np.stack(side, axis=1) for side in sides if side is not None]
    if not pairs:
        return field
    met, counts = np.unique(np.concatenate(pairs), axis=0, return_counts=True)
    number = np.arange(int(field.max(initial=0)) + 1, dtype=np.int32)
    halves = np.setdiff1d(met[:, 0], met[met[:, 1] > 0, 0])
    areas = np.bincount(field.ravel(), minlength=len(number))
    number[halves[areas[halves] < _LARGE_FOR_A_FIELD * field.size]] = 0
    taken: set[int] = set()
    for i in np.argsort(-counts, kind="stable").tolist():
        inside, outside = (int(v) for v in met[i])
        if inside and outside and number[inside] == inside and outside not in taken:
            number[inside] = outside
            taken.add(outside)
    return np.asarray(number[field], dtype=np.int32)
