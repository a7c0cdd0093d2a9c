"""Figures of merit: how well predicted instances match true ones.

Counts at a threshold equal those of StarDist's ``matching`` and Cellpose's
``average_precision`` on the same labels. Both fill dense true-by-predicted tables; here only
pairs that touch are kept (:mod:`.overlaps`), so that 100 000 cells are no obstacle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse import csgraph

from napari_impartial.core.config import POOLINGS
from napari_impartial.core.errors import ImPartialError

from .overlaps import Labels, Overlaps, find_overlaps

MAP_THRESHOLDS: tuple[float, ...] = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
"""IoU thresholds 0.5, 0.55 ... 0.95 that mAP is averaged over."""


@dataclass(frozen=True)
class Evaluation:
    """Figures of merit over a set of images.

    Which of the two definitions they have, :func:`evaluate` was told.

    Attributes
    ----------
    f1, ap : float
        At IoU 0.5.
    map : float
        AP averaged over :data:`MAP_THRESHOLDS`.
    miou, mdice : float
        Mean over true instances of the best IoU and Dice with any prediction.
    n_true, n_pred : int
        Instances in all.
    """

    f1: float
    ap: float
    map: float
    miou: float
    mdice: float
    n_true: int
    n_pred: int


def evaluate(
    truths: Sequence[Labels], preds: Sequence[Labels], pooling: str = POOLINGS[0]
) -> Evaluation:
    """Compute the paper's figures of merit over images.

    Parameters
    ----------
    truths, preds : sequences of integer arrays
        One pair an image or volume, of the same shape; ids need not be consecutive.
    pooling : str
        ``cells``: true and false positives and negatives are counted over all images, and
        best IoU and Dice averaged over all true instances, so that each cell counts alike.
        ``authors``: as the paper's authors have it, each figure is worked out for each image
        and averaged over the images that hold any instance, true or predicted; in mIoU and
        mDice the background is one more instance, on both sides.

    Returns
    -------
    Evaluation
        All figures lie in 0 to 1; where there is nothing to find or nothing is found
        they are 0.

    Raises
    ------
    ImPartialError
        If one array is given in place of a list, the lists differ in length or are empty, an
        image does not fit its partner, or there is no such pooling.
    """
    _check_lists(truths, preds)
    if not len(truths):
        raise ImPartialError("There is nothing to evaluate; give at least one pair of images.")
    if pooling not in POOLINGS:
        raise ImPartialError(f"There is no pooling {pooling!r}; choose {' or '.join(POOLINGS)}.")
    if pooling == "authors":
        return _mean_of_images(truths, preds)
    found = np.zeros(len(MAP_THRESHOLDS), np.int64)
    n_true = n_pred = 0
    iou_sum = dice_sum = 0.0
    for truth, pred in zip(truths, preds, strict=True):
        overlaps = find_overlaps(truth, pred)
        n_true += len(overlaps.true_ids)
        n_pred += len(overlaps.pred_ids)
        found += [_count_found(overlaps, level) for level in MAP_THRESHOLDS]
        iou_sum += _best_of_each(overlaps, overlaps.iou).sum()
        dice_sum += _best_of_each(overlaps, overlaps.dice).sum()
    ap = found / np.maximum(n_true + n_pred - found, 1)
    return Evaluation(
        f1=float(2 * found[0] / max(n_true + n_pred, 1)),
        ap=float(ap[0]),
        map=float(ap.mean()),
        miou=float(iou_sum / max(n_true, 1)),
        mdice=float(dice_sum / max(n_true, 1)),
        n_true=n_true,
        n_pred=n_pred,
    )


def _mean_of_images(truths: Sequence[Labels], preds: Sequence[Labels]) -> Evaluation:
    """Average the figures of single images, with the background as an instance."""
    rows, n_true, n_pred = [], 0, 0
    for truth, pred in zip(truths, preds, strict=True):
        one = evaluate([truth], [pred])
        n_true, n_pred = n_true + one.n_true, n_pred + one.n_pred
        if one.n_true or one.n_pred:
            # One up, the background has an id as others have.
            everything = find_overlaps(*(np.asarray(a).astype(np.int64) + 1 for a in (truth, pred)))
            iou, dice = (
                _best_of_each(everything, score).mean()
                for score in (everything.iou, everything.dice)
            )
            rows.append((one.f1, one.ap, one.map, iou, dice))
    f1, ap, mean_ap, miou, mdice = np.mean(rows, axis=0) if rows else np.zeros(5)
    return Evaluation(
        float(f1), float(ap), float(mean_ap), float(miou), float(mdice), n_true, n_pred
    )


def matched_pairs(
    truth: Labels, pred: Labels, threshold: float = 0.5
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the ids, true and predicted, of as many disjoint pairs as :func:`evaluate` counts.

    Parameters
    ----------
    truth, pred : integer arrays of the same shape
    threshold : float
        IoU above 0 from which a pair counts as found.
    """
    overlaps = find_overlaps(truth, pred)
    partner = _partners(overlaps, threshold)
    found = np.flatnonzero(partner >= 0)
    return overlaps.true_ids[found], overlaps.pred_ids[partner[found]]


def _check_lists(truths: Sequence[Labels], preds: Sequence[Labels]) -> None:
    # Its rows, or the planes of a volume, would be taken for images.
    if hasattr(truths, "ndim") or hasattr(preds, "ndim"):
        raise ImPartialError(
            "One array is given where label images are listed; write evaluate([truth], [pred])."
        )
    if len(truths) != len(preds):
        raise ImPartialError(
            f"There are {len(truths)} true and {len(preds)} predicted label images; "
            "give one prediction for each truth."
        )


def _best_of_each(overlaps: Overlaps, score: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    best = np.zeros(len(overlaps.true_ids))
    np.maximum.at(best, overlaps.rows, score)
    return best


def _count_found(overlaps: Overlaps, threshold: float) -> int:
    """Largest number of disjoint pairs with IoU >= threshold > 0, compared as doubles."""
    good = overlaps.iou >= threshold
    if threshold > 0.5:
        return int(np.count_nonzero(good))  # such pairs are disjoint
    return int(np.count_nonzero(_partners(overlaps, threshold) >= 0))


def _partners(overlaps: Overlaps, threshold: float) -> npt.NDArray[np.integer]:
    """Return for each true instance the column of its partner in a largest matching, or -1."""
    good = overlaps.iou >= threshold
    shape = (len(overlaps.true_ids), len(overlaps.pred_ids))
    entries = (overlaps.rows[good], overlaps.cols[good])
    graph = sparse.csr_matrix((np.ones(len(entries[0]), np.int8), entries), shape=shape)
    return np.asarray(csgraph.maximum_bipartite_matching(graph, "column"))
