"""Which instances of two label images share pixels, and how many.

Only pairs that touch are kept, and runs of equal pixels are sorted instead of pixels, so
that images of 10 000 x 10 000 pixels and 100 000 cells take seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from napari_impartial.core.errors import ImPartialError

Labels = npt.NDArray[np.integer]

# Pixels looked at together: large enough that numpy's overhead vanishes, small enough that
# the temporary arrays stay in tens of megabytes whatever the image's size.
_CHUNK_PIXELS = 1 << 21


@dataclass(frozen=True)
class Overlaps:
    """Pairs of instances that share pixels, sorted by true, then predicted instance.

    `true_ids` and `pred_ids` (sorted, without 0) name the instances; `rows` and `cols`
    index them. Areas and overlaps are in pixels, int64.
    """

    true_ids: npt.NDArray[np.int64]
    pred_ids: npt.NDArray[np.int64]
    true_area: npt.NDArray[np.int64]
    pred_area: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    cols: npt.NDArray[np.int64]
    pixels: npt.NDArray[np.int64]

    @property
    def iou(self) -> npt.NDArray[np.float64]:
        """Intersection over union of each pair."""
        union = self.true_area[self.rows] + self.pred_area[self.cols] - self.pixels
        return np.asarray(self.pixels / union, dtype=np.float64)

    @property
    def dice(self) -> npt.NDArray[np.float64]:
        """Dice coefficient of each pair."""
        total = self.true_area[self.rows] + self.pred_area[self.cols]
        return np.asarray(2 * self.pixels / total, dtype=np.float64)


def overlap_table(truth: Labels, pred: Labels) -> sparse.csr_matrix:
    """Count the pixels that each pair of labels shares.

    Parameters
    ----------
    truth, pred : integer arrays of the same shape
        Instance ids, 0 for background.

    Returns
    -------
    (n_true + 1, n_pred + 1) sparse int64
        Row and column 0 are the background; the others are the ids that occur, in
        ascending order.
    """
    true_ids, pred_ids, counts = _count_pairs(truth, pred)
    rows_of, rows = np.unique(np.append(true_ids, 0), return_inverse=True)
    cols_of, cols = np.unique(np.append(pred_ids, 0), return_inverse=True)
    shape = (len(rows_of), len(cols_of))
    return sparse.csr_matrix((counts, (rows[:-1], cols[:-1])), shape=shape)


def _check_pair(truth: Labels, pred: Labels) -> None:
    for name, labels in (("true", truth), ("predicted", pred)):
        if not np.issubdtype(labels.dtype, np.integer):
            raise ImPartialError(
                f"The {name} labels are of type {labels.dtype}; give whole numbers."
            )
        if labels.size and labels.dtype.kind == "i" and int(labels.min()) < 0:
            raise ImPartialError(f"The {name} labels hold negative numbers; 0 is background.")
    if truth.shape != pred.shape:
        raise ImPartialError(
            f"The true labels have shape {truth.shape} and the predicted ones {pred.shape}; "
            "they have to be of the same image."
        )


def _count_pairs(
    truth: Labels, pred: Labels
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return (true id, predicted id, pixels) of each pair, sorted, background included."""
    truth, pred = np.asarray(truth), np.asarray(pred)
    _check_pair(truth, pred)
    if truth.size == 0:
        empty = np.zeros(0, np.int64)
        return empty, empty, empty
    true_names: npt.NDArray[np.integer] | None = None
    pred_names: npt.NDArray[np.integer] | None = None
    # Both ids have to fit into one int64 key; larger ones are first given small numbers.
    if int(truth.max()) >= 1 << 31:
        true_names, truth = np.unique(truth, return_inverse=True)
    if int(pred.max()) >= 1 << 31:
        pred_names, pred = np.unique(pred, return_inverse=True)
    keys, counts = _run_lengths(truth.reshape(-1), pred.reshape(-1))
    order = np.argsort(keys, kind="stable")
    keys, counts = keys[order], counts[order]
    first = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    counts = np.add.reduceat(counts, first)
    true_ids, pred_ids = keys[first] >> 32, keys[first] & 0xFFFFFFFF
    if true_names is not None:
        true_ids = true_names[true_ids].astype(np.int64)
    if pred_names is not None:
        pred_ids = pred_names[pred_ids].astype(np.int64)
    return true_ids, pred_ids, counts


def _run_lengths(
    truth: Labels, pred: Labels
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return key and length of each run of equal pairs along the flattened images.

    Sorting runs instead of pixels is what makes large images quick: there are as many
    fewer of them as objects are wide.
    """
    keys, counts = [], []
    for start in range(0, truth.size, _CHUNK_PIXELS):
        chunk = slice(start, start + _CHUNK_PIXELS)
        key = truth[chunk].astype(np.int64)
        key <<= 32
        key |= pred[chunk].astype(np.int64)
        ends = np.append(np.flatnonzero(key[1:] != key[:-1]), len(key) - 1)
        keys.append(key[ends])
        counts.append(np.diff(ends, prepend=-1))
    return np.concatenate(keys), np.concatenate(counts)


def find_overlaps(truth: Labels, pred: Labels) -> Overlaps:
    """Find all pairs of instances that share pixels.

    Parameters
    ----------
    truth, pred : integer arrays of the same shape
        Instance ids, 0 for background; ids need not be consecutive.

    Raises
    ------
    ImPartialError
        If the arrays hold anything but non-negative integers or differ in shape.
    """
    true_of, pred_of, counts = _count_pairs(truth, pred)
    true_ids, rows = np.unique(true_of, return_inverse=True)
    pred_ids, cols = np.unique(pred_of, return_inverse=True)
    # bincount's weights are doubles: exact up to 2**53 pixels.
    true_area = np.bincount(rows, counts, len(true_ids)).astype(np.int64)
    pred_area = np.bincount(cols, counts, len(pred_ids)).astype(np.int64)
    no_true = int(len(true_ids) > 0 and true_ids[0] == 0)
    no_pred = int(len(pred_ids) > 0 and pred_ids[0] == 0)
    both = (rows >= no_true) & (cols >= no_pred)
    return Overlaps(
        true_ids[no_true:],
        pred_ids[no_pred:],
        true_area[no_true:],
        pred_area[no_pred:],
        rows[both] - no_true,
        cols[both] - no_pred,
        counts[both],
    )
