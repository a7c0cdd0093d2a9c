"""How well predicted instances match true ones.

The numbers equal those of the two libraries that the field quotes, on the same labels:
:func:`match` those of StarDist's ``matching``, :func:`average_precision` those of
Cellpose's ``metrics``. Both fill dense true-by-predicted tables there; here only pairs
that touch are kept (:mod:`.overlaps`), so that 100 000 cells are no obstacle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csgraph

from napari_impartial.core.config import POOLINGS
from napari_impartial.core.errors import ImPartialError

from .overlaps import Labels, Overlaps, find_overlaps, overlap_table

__all__ = [
    "MAP_THRESHOLDS",
    "Evaluation",
    "MatchingScores",
    "average_precision",
    "best_ious",
    "evaluate",
    "match",
    "matched_pairs",
    "overlap_table",
]

MAP_THRESHOLDS: tuple[float, ...] = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
"""IoU thresholds 0.5, 0.55 ... 0.95 that mAP is averaged over."""

# Up to so many entries the assignment is solved on the whole dense table, as StarDist
# does: equally good assignments are then told apart in the same way.
_DENSE_ENTRIES = 1_000_000


@dataclass(frozen=True)
class MatchingScores:
    """Outcome of matching true and predicted instances at one IoU threshold.

    Attributes
    ----------
    threshold : float
        IoU from which a pair counts as found.
    n_true, n_pred : int
        Instances in the truth and in the prediction.
    tp, fp, fn : int
        Found; predicted without a true partner; missed.
    precision, recall, f1 : float
        tp/(tp+fp), tp/(tp+fn) and their harmonic mean, 0 to 1; 0 where nothing is found.
    ap : float
        tp/(tp+fp+fn), StarDist's ``accuracy``.
    mean_true_score : float
        Sum of the found pairs' IoU over the number of true instances.
    mean_matched_score : float
        Mean IoU of the found pairs.
    panoptic_quality : float
        Sum of the found pairs' IoU over tp + fp/2 + fn/2 (Kirillov et al., CVPR 2019).
    """

    threshold: float
    n_true: int
    n_pred: int
    tp: int
    fp: int
    fn: int
    precision: float
    recall: float
    f1: float
    ap: float
    mean_true_score: float
    mean_matched_score: float
    panoptic_quality: float


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


def match(truth: Labels, pred: Labels, threshold: float = 0.5) -> MatchingScores:
    """Match instances one to one and count what was found.

    Equal to StarDist's ``matching(truth, pred, thresh=threshold)``: the matching has as
    many pairs of IoU >= `threshold` as possible and, among those matchings, the largest
    sum of IoU.

    Parameters
    ----------
    truth, pred : integer arrays of the same shape
        Instance ids, 0 for background; ids need not be consecutive.
    threshold : float
        IoU, 0 to 1.

    Raises
    ------
    ImPartialError
        If the arrays hold anything but non-negative integers or differ in shape.
    """
    return _scores(find_overlaps(truth, pred), threshold)


def average_precision(
    truth: Labels | Sequence[Labels],
    pred: Labels | Sequence[Labels],
    thresholds: float | Sequence[float] | npt.NDArray[np.floating] = (0.5, 0.75, 0.9),
) -> tuple[
    npt.NDArray[np.float32],
    npt.NDArray[np.float32],
    npt.NDArray[np.float32],
    npt.NDArray[np.float32],
]:
    """Average precision TP / (TP + FP + FN), as Cellpose counts it.

    Equal to ``cellpose.metrics.average_precision``, which takes the largest id for the
    number of instances: an id left out counts as an instance that was missed. (`match`
    and `evaluate` count the ids that occur.)

    Parameters
    ----------
    truth, pred : integer array or sequence of them
        Instance ids, 0 for background.
    thresholds : float or sequence of T floats
        IoU from which a pair counts as found.

    Returns
    -------
    ap, tp, fp, fn : (T,) or, for sequences of N images, (N, T) float32
        `ap` is NaN where neither image holds an instance.
    """
    single = isinstance(truth, np.ndarray)
    truths = [truth] if isinstance(truth, np.ndarray) else list(truth)
    preds = [pred] if isinstance(pred, np.ndarray) else list(pred)
    _check_lengths(truths, preds)
    levels = np.atleast_1d(np.asarray(thresholds, dtype=np.float64))
    tp = np.zeros((len(truths), len(levels)), np.float32)
    fp, fn = tp.copy(), tp.copy()
    for i, (t, p) in enumerate(zip(truths, preds, strict=True)):
        overlaps = find_overlaps(t, p)
        n_true, n_pred = _largest(overlaps.true_ids), _largest(overlaps.pred_ids)
        for k, level in enumerate(levels):
            tp[i, k] = min(n_true, n_pred) if level <= 0 else _count_found(overlaps, level)
        fp[i], fn[i] = n_pred - tp[i], n_true - tp[i]
    with np.errstate(invalid="ignore"):
        ap = tp / (tp + fp + fn)
    return (ap[0], tp[0], fp[0], fn[0]) if single else (ap, tp, fp, fn)


def evaluate(
    truths: Sequence[Labels], preds: Sequence[Labels], pooling: str = POOLINGS[0]
) -> Evaluation:
    """Compute the paper's figures of merit over images.

    Parameters
    ----------
    truths, preds : sequences of integer arrays
        One pair an image, of the same shape; ids need not be consecutive.
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
        If the lists differ in length or are empty, an image does not fit its partner, or
        there is no such pooling.
    """
    _check_lengths(truths, preds)
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


def best_ious(truth: Labels, pred: Labels) -> npt.NDArray[np.float64]:
    """Return each true instance's best IoU, (n_true,), in ascending order of its id."""
    overlaps = find_overlaps(truth, pred)
    return _best_of_each(overlaps, overlaps.iou)


def _check_lengths(truths: Sequence[Labels], preds: Sequence[Labels]) -> None:
    if len(truths) != len(preds):
        raise ImPartialError(
            f"There are {len(truths)} true and {len(preds)} predicted label images; "
            "give one prediction for each truth."
        )


def _largest(ids: npt.NDArray[np.int64]) -> int:
    return int(ids[-1]) if len(ids) else 0


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


def _scores(overlaps: Overlaps, threshold: float) -> MatchingScores:
    n_true, n_pred = len(overlaps.true_ids), len(overlaps.pred_ids)
    # StarDist keeps and compares scores in single precision: 0.6 found at "0.6000000001".
    score = overlaps.iou.astype(np.float32)
    found = _matched_scores(overlaps, score, np.float32(threshold))
    tp = len(found)
    fp, fn = n_pred - tp, n_true - tp
    total = found.sum(dtype=np.float32)

    def over(count: float) -> float:
        return float(total / np.float32(count)) if count else 0.0

    return MatchingScores(
        threshold=float(threshold),
        n_true=n_true,
        n_pred=n_pred,
        tp=tp,
        fp=fp,
        fn=fn,
        precision=tp / (tp + fp) if tp else 0.0,
        recall=tp / (tp + fn) if tp else 0.0,
        f1=2 * tp / (2 * tp + fp + fn) if tp else 0.0,
        ap=tp / (tp + fp + fn) if tp else 0.0,
        mean_true_score=over(n_true),
        mean_matched_score=over(tp),
        panoptic_quality=over(tp + fp / 2 + fn / 2),
    )


def _matched_scores(
    overlaps: Overlaps, score: npt.NDArray[np.float32], threshold: np.float32
) -> npt.NDArray[np.float32]:
    """Return the scores of the best matching's pairs that reach the threshold.

    The matching maximizes the number of such pairs first (each is worth 1), the sum of
    the scores of all pairs, however small, next (together they are worth at most 1/2).
    They come in the order of the true instances: sums in single precision depend on it.
    """
    n_true, n_pred = len(overlaps.true_ids), len(overlaps.pred_ids)
    n_matched = min(n_true, n_pred)
    if n_matched == 0:
        return np.zeros(0, np.float32)
    good = score >= threshold
    lone = _without_rival(overlaps, good)
    if threshold > 0 and bool((lone == good).all()):  # always so above 0.5
        return score[good]
    worth = (score / np.float32(2 * n_matched)).astype(np.float64)
    if threshold > 0:
        worth += good
    if n_true * n_pred <= _DENSE_ENTRIES:
        return _assign_dense(overlaps, score, worth, threshold)
    if threshold <= 0:  # pairs that do not touch pass, too, and are worth nothing
        chosen = _assign_sparse(overlaps, worth, np.arange(len(worth)))
        return np.pad(score[chosen], (0, n_matched - len(chosen)))
    # A good pair without rivals belongs to the best matching. What is left falls apart
    # into small blocks of instances that overlap each other; a block without a good pair
    # adds nothing.
    done_true = np.zeros(n_true, bool)
    done_pred = np.zeros(n_pred, bool)
    done_true[overlaps.rows[lone]] = True
    done_pred[overlaps.cols[lone]] = True
    left = np.flatnonzero(~done_true[overlaps.rows] & ~done_pred[overlaps.cols])
    graph = sparse.coo_matrix(
        (np.ones(len(left), np.int8), (overlaps.rows[left], n_true + overlaps.cols[left])),
        shape=(n_true + n_pred, n_true + n_pred),
    )
    _, block = csgraph.connected_components(graph, directed=False)
    block_of = block[overlaps.rows[left]]
    wanted = np.isin(block_of, np.unique(block_of[good[left]]))
    chosen = _assign_sparse(overlaps, worth, left[wanted])
    return score[np.sort(np.concatenate([np.flatnonzero(lone), chosen[good[chosen]]]))]


def _without_rival(overlaps: Overlaps, good: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Good pairs neither of whose instances is in another good pair."""
    a_true = np.bincount(overlaps.rows[good], minlength=len(overlaps.true_ids))
    a_pred = np.bincount(overlaps.cols[good], minlength=len(overlaps.pred_ids))
    lone = (a_true[overlaps.rows] == 1) & (a_pred[overlaps.cols] == 1)
    return np.asarray(good & lone)


def _assign_dense(
    overlaps: Overlaps,
    score: npt.NDArray[np.float32],
    worth: npt.NDArray[np.float64],
    threshold: np.float32,
) -> npt.NDArray[np.float32]:
    """Scores that pass in the best matching on the whole table."""
    shape = (len(overlaps.true_ids), len(overlaps.pred_ids))
    # Where all pairs pass, each is worth 1 more. It changes nothing but the way in which
    # rounding decides between equal matchings.
    cost = np.full(shape, -1.0 if threshold <= 0 else 0.0)
    cost[overlaps.rows, overlaps.cols] -= worth
    table = np.zeros(shape, np.float32)
    table[overlaps.rows, overlaps.cols] = score
    taken = table[linear_sum_assignment(cost)]
    return taken[taken >= threshold]


def _assign_sparse(
    overlaps: Overlaps, worth: npt.NDArray[np.float64], pairs: npt.NDArray[np.intp]
) -> npt.NDArray[np.intp]:
    """Best matching among some of the pairs; returns the pairs chosen."""
    true_of, rows = np.unique(overlaps.rows[pairs], return_inverse=True)
    pred_of, cols = np.unique(overlaps.cols[pairs], return_inverse=True)
    n_true, n_pred = len(true_of), len(pred_of)
    # Each true instance may also go to a private stand-in, worth nothing, so that a full
    # matching always exists. Costs lie in (0, 2]: the solver takes no zeros.
    cost = np.concatenate([2.0 - worth[pairs], np.full(n_true, 2.0)])
    rows_all = np.concatenate([rows, np.arange(n_true)])
    cols_all = np.concatenate([cols, n_pred + np.arange(n_true)])
    graph = sparse.csr_matrix((cost, (rows_all, cols_all)), shape=(n_true, n_pred + n_true))
    taken_rows, taken_cols = csgraph.min_weight_full_bipartite_matching(graph)
    real = taken_cols < n_pred
    # Pairs are sorted by row, then column, so that the place of one can be looked up.
    place = np.searchsorted(rows * n_pred + cols, taken_rows[real] * n_pred + taken_cols[real])
    return np.asarray(pairs[place])
