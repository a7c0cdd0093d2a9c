"""Verdicts of a spot check by true labels instead of by eye."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.metrics import matched_pairs

from .review import Verdict, regions_of
from .spot_check import Answer, Labels, PlaneLabels, SpotCheck


def answers_from_truth(
    check: SpotCheck,
    planes: Sequence[PlaneLabels],
    truths: Sequence[Labels],
) -> dict[int, Answer]:
    """Judge all units of a spot check by the truth.

    An object is right where a true one matches it at IoU 0.5. Each true cell without a match
    counts where its middle (the pixel of it that is nearest to its centroid) lies.

    Parameters
    ----------
    check : SpotCheck
    planes : sequence of PlaneLabels
        What the sample was drawn from.
    truths : sequence of (Y, X) integer arrays
        True objects of these planes.

    Returns
    -------
    dict of int to Answer
        By the unit's position.
    """
    if len(planes) != len(truths):
        raise ImPartialError(
            f"There are {len(planes)} predicted and {len(truths)} true planes; give one truth "
            "for each prediction."
        )
    answers = {}
    for plane, truth in zip(planes, truths, strict=True):
        mine = [
            at
            for at, unit in enumerate(check.units)
            if (unit.image, unit.plane) == (plane.image, plane.plane)
        ]
        if not mine:
            continue
        found, right = matched_pairs(truth, plane.labels)
        ids = np.unique(truth)
        middles = _middles(truth, np.setdiff1d(ids[ids > 0], found))
        within = plane.labels[middles[:, 0], middles[:, 1]]
        outside = middles[within == 0]
        for at in mine:
            unit = check.units[at]
            if not check.kind(unit).is_place:
                is_right = bool(np.isin(unit.label, right))
                answers[at] = Answer(is_right, is_right + int((within == unit.label).sum()))
                continue
            y0, x0, y1, x1 = unit.box
            inside = (outside >= (y0, x0)) & (outside < (y1, x1))
            answers[at] = Answer(False, int(inside.all(axis=1).sum()))
    return answers


def _middles(labels: Labels, ids: np.typing.NDArray[np.integer]) -> np.typing.NDArray[np.int64]:
    """Return the pixel (n, 2) of each object that is nearest to its centroid."""
    middles = np.zeros((len(ids), 2), np.int64)
    for row, region in enumerate(regions_of(labels, ids, Verdict.ACCEPTED)):
        pixels = np.argwhere(region.mask)
        off = ((pixels - pixels.mean(axis=0)) ** 2).sum(axis=1)
        middles[row] = pixels[int(np.argmin(off))] + (region.y0, region.x0)
    return middles
