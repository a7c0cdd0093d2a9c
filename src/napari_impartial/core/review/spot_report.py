"""Precision, recall and counts with intervals from the verdicts of a spot check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
import numpy.typing as npt

from .intervals import Interval, count_interval, effective_size, share_interval
from .spot_check import Answer, Kind, SpotCheck

Array = npt.NDArray[np.float64]

# Share of those named as worse than the others that may be named by chance.
_RATE = 0.05


@dataclass(frozen=True)
class Estimate:
    """Estimate for a result, or for a part of it.

    Attributes
    ----------
    n_objects : int
        Objects there are.
    objects, places : int
        How many of them were judged.
    right : int
        Judged objects whose outline is right.
    missed : int
        Cells found missing at the places that were judged.
    precision, recall, f1 : Interval or None
        Shares; None where too little was judged to tell.
    cells : Interval or None
        Estimated number of true cells.
    """

    n_objects: int
    objects: int
    places: int
    right: int
    missed: int
    precision: Interval | None
    recall: Interval | None
    f1: Interval | None
    cells: Interval | None


@dataclass(frozen=True)
class _Judged:
    """Units with a verdict, one row each, and the sizes of their strata."""

    kind: npt.NDArray[np.object_]
    right: Array
    cells: Array
    weight: Array
    left: Array  # share of the stratum that was not looked at
    n_effective: float
    n_objects: int


@dataclass(frozen=True)
class Part:
    """An image, or a well or group of images, and what is known of it."""

    name: str
    estimate: Estimate


@dataclass(frozen=True)
class Outlier:
    """An image or group that is worse than the others by more than chance.

    Attributes
    ----------
    name : str
    of : Kind
        Whether its objects are wrong more often, or more cells are missed.
    faulty, judged : int
        Objects that are wrong, or places with a missed cell; out of how many.
    p : float
        Of Fisher's exact test, one-sided.
    """

    name: str
    of: Kind
    faulty: int
    judged: int
    p: float


@dataclass(frozen=True)
class Report:
    """Estimates from the verdicts.

    Attributes
    ----------
    overall : Estimate
    images, groups : tuple of Part
        Those of which something was judged.
    outliers : tuple of Outlier
    n_images : int
        Images drawn from.
    unsure, open : int
        Units that could not be told, and that have no verdict yet.
    seed : int
        That the sample was drawn with.
    """

    overall: Estimate
    images: tuple[Part, ...]
    groups: tuple[Part, ...]
    outliers: tuple[Outlier, ...]
    n_images: int
    unsure: int
    open: int
    seed: int


def report(check: SpotCheck, answers: Mapping[int, Answer]) -> Report:
    """Sum the verdicts up.

    Parameters
    ----------
    check : SpotCheck
    answers : mapping of int to Answer
        Verdicts by the unit's position.
    """
    single = {name: [i] for i, name in enumerate(check.images)}
    wells: dict[str, list[int]] = {}
    for image, group in enumerate(check.groups):
        if group:
            wells.setdefault(group, []).append(image)
    parts = [_parts(check, answers, family) for family in (single, wells)]
    found = [one for family in (single, wells) for one in outliers(check, answers, family)]
    return Report(
        overall=estimate(check, answers),
        images=parts[0],
        groups=parts[1],
        outliers=tuple(found),
        n_images=len(check.images),
        unsure=sum(not answer.sure for answer in answers.values()),
        open=len(check.units) - len(answers),
        seed=check.seed,
    )


def outliers(
    check: SpotCheck, answers: Mapping[int, Answer], family: Mapping[str, Sequence[int]]
) -> list[Outlier]:
    """Name the images or groups that are worse than all others together.

    Fisher's exact test of each against the rest, on wrong objects and on places with a missed
    cell; of all these tests one in twenty of those named is expected to be named by chance
    (Benjamini & Hochberg 1995).

    Parameters
    ----------
    check : SpotCheck
    answers : mapping of int to Answer
    family : mapping of str to sequence of int
        Images of each image or group, by its name.
    """
    tests = []
    for place in (False, True):
        faulty, judged = np.zeros(len(check.images), int), np.zeros(len(check.images), int)
        for at, answer in answers.items():
            unit = check.units[at]
            # Places without objects say little, and most images have none.
            if answer.sure and check.kind(unit) is (Kind.BUSY if place else Kind.OBJECT):
                judged[unit.image] += 1
                faulty[unit.image] += answer.cells > 0 if place else not answer.right
        for name, images in family.items():
            n, bad = int(judged[list(images)].sum()), int(faulty[list(images)].sum())
            if n:
                p = _fisher(bad, n, int(faulty.sum()), int(judged.sum()))
                tests.append(Outlier(name, Kind.BUSY if place else Kind.OBJECT, bad, n, p))
    tests.sort(key=lambda one: one.p)
    passed = [rank for rank, one in enumerate(tests, 1) if one.p <= _RATE * rank / len(tests)]
    return tests[: max(passed, default=0)]


def _fisher(bad: int, n: int, all_bad: int, total: int) -> float:
    """Return the probability of `bad` or more of `all_bad` among `n` of `total`."""
    most = min(n, all_bad)
    ways = sum(comb(all_bad, k) * comb(total - all_bad, n - k) for k in range(bad, most + 1))
    return ways / comb(total, n)


def _parts(
    check: SpotCheck, answers: Mapping[int, Answer], family: Mapping[str, Sequence[int]]
) -> tuple[Part, ...]:
    judged = {check.units[at].image for at, answer in answers.items() if answer.sure}
    return tuple(
        Part(name, estimate(check, answers, images))
        for name, images in family.items()
        if judged.intersection(images)
    )


def estimate(
    check: SpotCheck, answers: Mapping[int, Answer], images: Sequence[int] | None = None
) -> Estimate:
    """Estimate how good a result is.

    Parameters
    ----------
    check : SpotCheck
    answers : mapping of int to Answer
        Verdicts by the unit's position; units without one are taken as not drawn.
    images : sequence of int, optional
        Images that the estimate is of; all by default.
    """
    wanted = None if images is None else set(images)
    sizes = np.array([_size(stratum.of_image, wanted) for stratum in check.strata])
    rows = [
        (check.units[at], answer)
        for at, answer in answers.items()
        if answer.sure and (wanted is None or check.units[at].image in wanted)
    ]
    strata = np.array([unit.stratum for unit, _ in rows], dtype=int)
    kinds = np.array([stratum.kind for stratum in check.strata], dtype=object)
    right = np.array([answer.right for _, answer in rows], dtype=float)
    cells = np.array([answer.cells for _, answer in rows], dtype=float)
    judged = _weigh(kinds, sizes, strata, right, cells)
    objects, missed = judged.kind == Kind.OBJECT, cells - right
    n, n_objects = int(objects.sum()), judged.n_objects
    precision = recall = f1 = total = None
    if n:
        share = float(np.sum((judged.weight * right)[objects]) / n_objects)
        found = share_interval(min(share, 1.0), judged.n_effective)
        precision = Interval(found.value, *_whole(found, n_objects))
        if len(rows) > n:
            recall = _share_of_right(judged, missed, 1.0)
            f1 = _share_of_right(judged, missed + np.where(objects, 1 - right, 0), 2.0)
            total = _cells(judged)
    return Estimate(
        n_objects,
        n,
        len(rows) - n,
        int(right.sum()),
        int(missed[~objects].sum()),
        precision,
        recall,
        f1,
        total,
    )


def _size(of_image: Mapping[int, int], wanted: set[int] | None) -> int:
    return sum(n for image, n in of_image.items() if wanted is None or image in wanted)


def _weigh(
    kinds: npt.NDArray[np.object_],
    sizes: npt.NDArray[np.integer],
    strata: npt.NDArray[np.integer],
    right: Array,
    cells: Array,
) -> _Judged:
    """Give each unit its weight: how many units it stands for.

    Strata in which nothing was judged are taken to be like the others of their kind, and
    places without objects like those with some where none of them was judged.
    """
    drawn = np.bincount(strata, minlength=len(sizes))
    seen = drawn > 0
    weight = np.zeros(len(sizes))
    weight[seen] = sizes[seen] / drawn[seen]
    left = np.zeros(len(sizes))
    left[seen] = 1 - drawn[seen] / np.maximum(sizes[seen], 1)
    for group in _groups(kinds, seen):
        known = sizes[group & seen].sum()
        if known:
            factor = sizes[group].sum() / known
            weight[group] *= factor
            if factor > 1:
                left[group] = 1
    objects = kinds == Kind.OBJECT
    n_effective = effective_size(drawn[objects], sizes[objects])
    n_objects = int(sizes[objects].sum())
    return _Judged(
        kinds[strata], right, cells, weight[strata], left[strata], n_effective, n_objects
    )


def _groups(
    kinds: npt.NDArray[np.object_], seen: npt.NDArray[np.bool_]
) -> list[npt.NDArray[np.bool_]]:
    groups = [kinds == kind for kind in Kind]
    places = groups[1] | groups[2]
    lacking = [not (group & seen).any() for group in groups[1:]]
    return [groups[0], places] if any(lacking) else groups


def _whole(share: Interval, of: float) -> tuple[float, float]:
    """Widen limits, as shares of so many, to whole things: half an object is not wrong."""
    low, high = np.floor(share.low * of + 1e-6) / of, np.ceil(share.high * of - 1e-6) / of
    return float(low), float(high)


def _share_of_right(judged: _Judged, faults: Array, factor: float) -> Interval:
    """Estimate factor * right / (factor * right + faults) over all units.

    The odds, faults over right ones, are a ratio of two weighted sums; its variance is that of
    the weighted residuals (Taylor linearization), its interval the gamma one, since what makes
    them uncertain is how few faults were seen. A wrong outline is `factor` faults.
    """
    right = factor * judged.right
    total = float(np.sum(judged.weight * right))
    if total <= 0:
        seen = float(np.sum(judged.weight * faults)) > 0
        largest = 1.0 if judged.left.max() > 0 or not seen else 0.0
        return Interval(0.0, 0.0, largest)
    odds = float(np.sum(judged.weight * faults)) / total
    spread = _variance(judged, faults - odds * right) / total**2
    found = count_interval(odds, spread, _largest(judged, factor) / total)
    # Faults are whole.
    low, high = _whole(found, total)
    return Interval(1 / (1 + odds), 1 / (1 + high), 1 / (1 + low))


def _cells(judged: _Judged) -> Interval:
    """Estimate how many true cells there are: objects, less those that are none, and the rest."""
    objects = judged.kind == Kind.OBJECT
    n = judged.n_objects
    none = (judged.weight * (judged.cells == 0))[objects].sum() / n
    empty = share_interval(min(float(none), 1.0), judged.n_effective)
    more = np.where(objects, np.maximum(judged.cells - 1, 0), judged.cells)
    extra = count_interval(
        float(np.sum(judged.weight * more)), _variance(judged, more), _largest(judged)
    )
    value = n * (1 - empty.value) + extra.value
    # Two independent parts (Zou & Donner 2008).
    below = np.hypot(n * (empty.high - empty.value), extra.value - extra.low)
    above = np.hypot(n * (empty.value - empty.low), extra.high - extra.value)
    low, high = max(value - float(below), 0.0), value + float(above)
    return Interval(value, float(np.floor(low + 1e-6)), float(np.ceil(high - 1e-6)))


def _variance(judged: _Judged, values: Array) -> float:
    """Estimate the variance of the weighted sum of `values` over all units."""
    variance = 0.0
    for kind in Kind:
        mine = judged.kind == kind
        n = int(mine.sum())
        if n:
            weight = judged.weight[mine]
            mean = float(np.sum(weight * values[mine]) / weight.sum())
            off = weight**2 * judged.left[mine] * (values[mine] - mean) ** 2
            variance += float(off.sum()) * (n / (n - 1) if n > 1 else 1.0)
    return variance


def _largest(judged: _Judged, object_faults: float = 1.0) -> float:
    """Return what one fault more, had it been seen, would add to a total's spread."""
    faults = np.where(judged.kind == Kind.OBJECT, object_faults, 1.0)
    return float((judged.weight * np.sqrt(judged.left) * faults).max())
