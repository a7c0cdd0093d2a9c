"""Overlaps of the instances of two label images, in pixels.

Only pairs that touch are kept, in a sparse contingency table, so that images of
10 000 x 10 000 pixels and 100 000 cells take seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
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


def join_overlaps(parts: Sequence[Overlaps]) -> Overlaps:
    """Return the overlaps of two label images from those of their parts, at least one."""
    true_ids, rows, true_area = _summed(
        [p.true_ids for p in parts], [p.rows for p in parts], [p.true_area for p in parts]
    )
    pred_ids, cols, pred_area = _summed(
        [p.pred_ids for p in parts], [p.cols for p in parts], [p.pred_area for p in parts]
    )
    shape = len(true_ids), len(pred_ids)
    table = sparse.coo_matrix((np.concatenate([p.pixels for p in parts]), (rows, cols)), shape)
    table = table.tocsr()
    table.sum_duplicates()
    found = table.tocoo()
    return Overlaps(
        true_ids,
        pred_ids,
        true_area,
        pred_area,
        found.row.astype(np.int64),
        found.col.astype(np.int64),
        found.data,
    )


def _summed(
    ids: Sequence[npt.NDArray[np.int64]],
    places: Sequence[npt.NDArray[np.int64]],
    areas: Sequence[npt.NDArray[np.int64]],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return all ids, where those of the pairs lie among them, and their areas."""
    every, of = np.unique(np.concatenate(ids), return_inverse=True)
    area = np.bincount(of, np.concatenate(areas), len(every)).astype(np.int64)
    of_pairs = [some[place] for some, place in zip(ids, places, strict=True)]
    return every, np.searchsorted(every, np.concatenate(of_pairs)), area


def check_labels(labels: Labels, name: str = "labels") -> None:
    """Check that labels are an image of whole numbers, 0 and up.

    Raises
    ------
    ImPartialError
        If they are not, with `name` ("true labels") in its words.
    """
    if np.ma.is_masked(labels):
        raise ImPartialError(
            f"The {name} are masked in part; fill them with what is meant there, such as "
            "labels.filled(0)."
        )
    if labels.ndim < 2:
        raise ImPartialError(
            f"The {name} have shape {labels.shape}; give a label image, (Y, X) or more."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise ImPartialError(f"The {name} are of type {labels.dtype}; give whole numbers.")
    if labels.size and labels.dtype.kind == "i" and int(labels.min()) < 0:
        raise ImPartialError(f"The {name} hold negative numbers; 0 is background.")


def _check_pair(truth: Labels, pred: Labels) -> None:
    check_labels(truth, "true labels")
    check_labels(pred, "predicted labels")
    if truth.shape != pred.shape:
        raise ImPartialError(
            f"The true labels have shape {truth.shape} and the predicted ones {pred.shape}; "
            "they have to be of the same image."
        )


def _contingency(truth: Labels, pred: Labels) -> sparse.coo_matrix:
    """Count the pixels of each pair of ids, (highest true id + 1, highest predicted + 1)."""
    shape = int(truth.max(initial=0)) + 1, int(pred.max(initial=0)) + 1
    table = sparse.csr_matrix(shape, dtype=np.int64)
    truth, pred = truth.reshape(-1), pred.reshape(-1)
    for start in range(0, truth.size, _CHUNK_PIXELS):
        ids = truth[start : start + _CHUNK_PIXELS], pred[start : start + _CHUNK_PIXELS]
        ones = np.ones(len(ids[0]), np.int64)
        table += sparse.coo_matrix((ones, ids), shape).tocsr()
    table.sum_duplicates()
    return table.tocoo()


def _numbered(labels: Labels) -> tuple[Labels, npt.NDArray[np.int64]]:
    """Return labels with small ids, and the id that each stands for, 0 the first."""
    highest = int(labels.max(initial=0))
    if highest <= max(labels.size, _CHUNK_PIXELS):
        return labels, np.arange(highest + 1)
    names, small = np.unique(
        np.append(labels.reshape(-1), labels.dtype.type(0)), return_inverse=True
    )
    return small[:-1].reshape(labels.shape), names.astype(np.int64)


def find_overlaps(truth: Labels, pred: Labels) -> Overlaps:
    """Find all pairs of instances that share pixels.

    Parameters
    ----------
    truth, pred : (Y, X) integer arrays, or of more axes, of the same shape
        Instance ids, 0 for background; ids need not be consecutive.

    Raises
    ------
    ImPartialError
        If the arrays hold anything but non-negative integers, differ in shape or have one axis.
    """
    _check_pair(np.asanyarray(truth), np.asanyarray(pred))
    truth, pred = np.asarray(truth), np.asarray(pred)
    (truth, true_names), (pred, pred_names) = _numbered(truth), _numbered(pred)
    table = _contingency(truth, pred)
    counts = table.data
    true_ids, rows = np.unique(true_names[table.row], return_inverse=True)
    pred_ids, cols = np.unique(pred_names[table.col], return_inverse=True)
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
