"""Decisions of a person about single objects, and their effect on the objects.

Objects are cut anew at each move of a slider and each prediction. What was accepted,
corrected by hand or rejected has to outlive that: it is kept as regions of pixels,
:func:`compose` lays them over each new cut (and :mod:`lessons` turns them into scribbles
for the next training). :func:`collect` recognises corrections by comparing what
was shown with what is there now, so that any tool may have made them.

All functions return new states and change nothing that they are given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_impartial.core.data.label_images import keep_largest_pieces
from napari_impartial.core.data.scribbles import BACKGROUND, FOREGROUND
from napari_impartial.core.errors import ImPartialError

Labels = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]

_EIGHT = np.ones((3, 3), dtype=bool)


class Verdict(StrEnum):
    """Decision about a region."""

    ACCEPTED = "accepted"
    CORRECTED = "corrected"
    REJECTED = "rejected"
    ERASED = "erased"


@dataclass(frozen=True, eq=False)
class Region:
    """Pixels that were decided on together.

    Attributes
    ----------
    label : int
        Id of the object; of a rejected one the id it had; 0 for pixels erased by hand.
    verdict : Verdict
        An object is accepted or corrected; no object is where it was rejected or erased.
    y0, x0 : int
        First row and column of the mask.
    mask : (h, w) bool
        The pixels, in the smallest box that holds them.
    kind : int
        Scribble label of the object's class, 2 or more.
    """

    label: int
    verdict: Verdict
    y0: int
    x0: int
    mask: Mask
    kind: int = FOREGROUND

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the mask."""
        height, width = self.mask.shape
        return slice(self.y0, self.y0 + height), slice(self.x0, self.x0 + width)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """First row and column of the mask, row and column after the last."""
        height, width = self.mask.shape
        return self.y0, self.x0, self.y0 + height, self.x0 + width

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Region):
            return NotImplemented
        mine = (self.label, self.verdict, self.y0, self.x0, self.kind)
        theirs = (other.label, other.verdict, other.y0, other.x0, other.kind)
        return mine == theirs and np.array_equal(self.mask, other.mask)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Review:
    """All decisions about one plane.

    Attributes
    ----------
    kept : mapping of label to Region
        Objects accepted or corrected.
    empty : tuple of Region
        Where there is no object: rejected, or erased by hand.
    """

    kept: Mapping[int, Region] = field(default_factory=dict)
    empty: tuple[Region, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.kept) or bool(self.empty)

    def count(self, verdict: Verdict) -> int:
        """Return how many regions have that verdict."""
        return sum(region.verdict == verdict for region in (*self.kept.values(), *self.empty))

    def classes(self) -> set[int]:
        """Return the scribble labels that they bring as annotation."""
        found = {region.kind for region in self.kept.values()}
        if self.count(Verdict.CORRECTED) or self.count(Verdict.ERASED):
            found.add(BACKGROUND)
        return found


def compose(cut: Labels, review: Review) -> Labels:
    """Lay decisions over objects that were cut anew.

    An object that lies by half or more in decided regions is the one that was decided on,
    and gives way; others lose the pixels that are taken, and keep their largest piece.

    Parameters
    ----------
    cut : (Y, X) int32
        Objects as cut from the probability.
    review : Review
        Regions inside the image.

    Returns
    -------
    (Y, X) int32
        Kept objects have their labels, the others those of `cut` where these are free.
    """
    if not review:
        return cut
    taken = np.zeros(cut.shape, dtype=bool)
    check_inside(review, cut.shape)
    for region in (*review.kept.values(), *review.empty):
        taken[region.window] |= region.mask
    area = np.bincount(cut.reshape(-1))
    covered = np.bincount(cut[taken], minlength=len(area))
    covered[0] = 0
    gone = (covered > 0) & (2 * covered >= area)
    number = np.arange(len(area), dtype=np.int32)
    number[gone] = 0
    clashes = [label for label in review.kept if label < len(area) and number[label]]
    highest = max(len(area) - 1, max(review.kept, default=0))
    number[clashes] = np.arange(highest + 1, highest + 1 + len(clashes))
    out = np.where(taken, 0, number[cut]).astype(np.int32)
    keep_largest_pieces(out, number[(covered > 0) & ~gone])
    for region in review.kept.values():
        out[region.window][region.mask] = region.label
    return out


def collect(
    shown: Labels,
    now: npt.NDArray[np.integer],
    cut: Labels,
    review: Review,
    kind_of: Callable[[Region], int] | None = None,
) -> tuple[Review, Labels]:
    """Recognise what was changed by hand since `shown` was put on the screen.

    Each object that gained or lost pixels is a corrected one, unless it is again just as
    it was cut (the change was undone). Pixels of a cut object that are now background
    were erased on purpose. An object that fell into pieces because pixels were taken out
    of it becomes one object a piece.

    Parameters
    ----------
    shown, now : (Y, X) integer arrays
        Labels before and after.
    cut : (Y, X) int32
        Objects as cut from the probability, without decisions.
    review : Review
        Decisions so far.
    kind_of : callable, optional
        Gives the scribble label of an object's class; foreground otherwise.

    Returns
    -------
    Review, (Y, X) int32
        The decisions now (`review` itself where nothing has changed), and the labels,
        which differ from `now` where an object was split.
    """
    changed = shown != now
    if not changed.any():
        return review, shown
    labels = now.astype(np.int32)
    affected = np.union1d(np.unique(shown[changed]), np.unique(labels[changed]))
    affected = affected[affected > 0]
    affected = np.append(affected, _split_the_cut(labels, shown, changed, affected))
    kept = {label: region for label, region in review.kept.items() if label not in affected}
    areas = np.bincount(cut.reshape(-1))
    for region in regions_of(labels, affected, Verdict.CORRECTED):
        if _is_as_cut(region, cut, areas):
            continue
        kind = FOREGROUND if kind_of is None else kind_of(region)
        kept[region.label] = replace(region, kind=kind)
    painted = changed & (labels > 0)
    empty = tuple(
        part for region in review.empty for part in _without(region, painted[region.window])
    )
    erased, _ = ndimage.label(changed & (labels == 0) & (cut > 0), structure=_EIGHT)
    new = regions_of(erased, np.unique(erased[erased > 0]), Verdict.ERASED)
    empty += tuple(replace(region, label=0) for region in new)
    return Review(kept, empty), labels


def accept(
    review: Review,
    labels: Labels,
    ids: Iterable[int],
    kind_of: Callable[[Region], int] | None = None,
) -> Review:
    """Keep objects as they are; those corrected by hand are kept already.

    Parameters
    ----------
    labels : (Y, X) int32
        What is shown.
    ids : iterable of int
        Labels of the objects; those that do not exist are passed over.
    """
    wanted = np.array([i for i in ids if i not in review.kept and i > 0], dtype=np.int64)
    kept = dict(review.kept)
    for region in regions_of(labels, wanted, Verdict.ACCEPTED):
        kept[region.label] = region if kind_of is None else replace(region, kind=kind_of(region))
    return Review(kept, review.empty)


def reject(review: Review, labels: Labels, ids: Iterable[int]) -> tuple[Review, Labels]:
    """Say that objects are none.

    Returns
    -------
    Review, (Y, X) int32
        The decisions, and the labels without these objects.
    """
    wanted = np.array(sorted({i for i in ids if i > 0}), dtype=np.int64)
    regions = regions_of(labels, wanted, Verdict.REJECTED)
    if not regions:
        return review, labels
    out = labels.copy()
    for region in regions:
        out[region.window][region.mask] = 0
    rejected = {region.label for region in regions}
    kept = {label: region for label, region in review.kept.items() if label not in rejected}
    return Review(kept, (*review.empty, *regions)), out


def with_returned(labels: Labels, before: Review, after: Review) -> Labels:
    """Return labels with the objects that are rejected no more, where nothing else is now.

    A cut that was made meanwhile agrees with the rejection, and lacks them.

    Parameters
    ----------
    labels : (Y, X) int32
        Not changed.
    before, after : Review
        Of the same image.
    """
    there = np.bincount(labels.reshape(-1)) > 0
    out = labels.copy()
    for region in _not_among(before.empty, after.empty):
        known = region.label < len(there) and there[region.label]
        rejected = region.verdict is Verdict.REJECTED and region.label > 0
        if rejected and not known and not out[region.window][region.mask].any():
            out[region.window][region.mask] = region.label
    return out


def difference(before: Review, after: Review) -> list[Region]:
    """Return the regions that are in one of two reviews only, the later one's first."""
    mine, theirs = ([*one.kept.values(), *one.empty] for one in (after, before))
    return [*_not_among(mine, theirs), *_not_among(theirs, mine)]


def revert(now: Review, before: Review, after: Review) -> Review:
    """Take the step from `before` to `after` back, and leave what else was decided.

    Returns
    -------
    Review
        `before` itself if nothing else was decided since.
    """
    if now is after:
        return before
    kept = dict(now.kept)
    for label in before.kept.keys() | after.kept.keys():
        was = before.kept.get(label)
        if was is after.kept.get(label):
            continue
        if was is None:
            kept.pop(label, None)
        else:
            kept[label] = was
    added, removed = (_not_among(after.empty, before.empty), _not_among(before.empty, after.empty))
    return Review(kept, (*_not_among(now.empty, added), *removed))


def crop(review: Review, box: tuple[int, int, int, int]) -> Review:
    """Return what a review says of a part of the image, in the part's own pixels.

    Parameters
    ----------
    box : (y0, x0, y1, x1)
        In pixels, the end excluded.
    """
    y0, x0, y1, x1 = box

    def part(region: Region) -> Region | None:
        rows, cols = region.window
        top, left = max(rows.start, y0), max(cols.start, x0)
        bottom, right = min(rows.stop, y1), min(cols.stop, x1)
        if top >= bottom or left >= right:
            return None
        mask = region.mask[top - rows.start : bottom - rows.start]
        mask = mask[:, left - cols.start : right - cols.start]
        return replace(region, y0=top - y0, x0=left - x0, mask=mask)

    kept = {label: part(region) for label, region in review.kept.items()}
    empty = [part(region) for region in review.empty]
    return Review(
        {label: region for label, region in kept.items() if region is not None},
        tuple(region for region in empty if region is not None),
    )


def regions_of(
    labels: npt.NDArray[np.integer], ids: npt.NDArray[np.integer], verdict: Verdict
) -> list[Region]:
    """Return one region for each of the ids that occur, ascending; 0 is no object."""
    ids = ids[ids > 0]
    if len(ids) == 0:
        return []
    flat = labels.reshape(-1)
    inside = np.flatnonzero(np.isin(flat, ids))
    if not len(inside):
        return []
    inside = inside[np.argsort(flat[inside], kind="stable")]
    found = flat[inside]
    starts = np.flatnonzero(np.append(True, found[1:] != found[:-1]))
    y, x = np.divmod(inside, labels.shape[1])
    low_y, high_y = np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)
    low_x, high_x = np.minimum.reduceat(x, starts), np.maximum.reduceat(x, starts)
    regions = []
    for i, (start, stop) in enumerate(zip(starts, [*starts[1:], len(inside)], strict=True)):
        mask = np.zeros((high_y[i] - low_y[i] + 1, high_x[i] - low_x[i] + 1), dtype=bool)
        mask[y[start:stop] - low_y[i], x[start:stop] - low_x[i]] = True
        regions.append(Region(int(found[start]), verdict, int(low_y[i]), int(low_x[i]), mask))
    return regions


def check_inside(review: Review, shape: tuple[int, ...]) -> None:
    """Check that decisions can be about an image of that shape (Y, X).

    Raises
    ------
    ImPartialError
        If one of them lies outside of it.
    """
    for region in (*review.kept.values(), *review.empty):
        rows, cols = region.window
        if region.y0 < 0 or region.x0 < 0 or rows.stop > shape[0] or cols.stop > shape[1]:
            raise ImPartialError(
                f"A reviewed object lies outside of the image of {shape[0]} x {shape[1]} "
                "pixels; the decisions belong to another image."
            )


def _not_among(regions: Iterable[Region], others: Iterable[Region]) -> list[Region]:
    """Return the regions that are not one of the others: the very same, not an equal one."""
    known = {id(one) for one in others}
    return [one for one in regions if id(one) not in known]


def _split_the_cut(
    labels: Labels, shown: Labels, changed: Mask, affected: npt.NDArray[np.integer]
) -> list[int]:
    """Give pieces of objects that only lost pixels labels of their own, and return these.

    Works in place. An object that was painted on stays one: whoever paints a cell in two
    strokes does not want two cells.
    """
    gained = np.unique(labels[changed])
    lost = affected[~np.isin(affected, gained)]
    first = free = 1 + max(int(labels.max(initial=0)), int(shown.max(initial=0)))
    for region in regions_of(labels, lost, Verdict.CORRECTED):
        pieces, n = ndimage.label(region.mask)
        before = shown[region.window] == region.label
        if n < 2 or ndimage.label(before)[1] >= n:
            continue
        sizes = np.bincount(pieces.reshape(-1))[1:]
        for piece in np.argsort(-sizes, kind="stable")[1:] + 1:
            labels[region.window][pieces == piece] = free
            free += 1
    return list(range(first, free))


def _is_as_cut(region: Region, cut: Labels, areas: npt.NDArray[np.integer]) -> bool:
    """Return whether a region is exactly one of the objects that were cut."""
    ids = cut[region.window][region.mask]
    return bool(ids[0] > 0 and (ids == ids[0]).all() and areas[ids[0]] == len(ids))


def _without(region: Region, painted: Mask) -> list[Region]:
    """Return the region less some pixels: itself, a smaller one, or nothing."""
    if not (region.mask & painted).any():
        return [region]
    mask = region.mask & ~painted
    return [replace(region, mask=mask)] if mask.any() else []
