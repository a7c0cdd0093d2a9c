"""Changes from one round of training to the next, and advice about another one."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_impartial.core.instances.cutter import count_objects
from napari_impartial.core.instances.overlaps import find_overlaps
from napari_impartial.core.network.model_card import ModelCard

# Two outlines with this intersection over union or more look alike to a person ...
_SAME_IOU = 0.8
# ... and with this one they are of the same object (the usual convention).
_MATCH_IOU = 0.5
# Training twice on the same strokes changes a few objects in a hundred, too.
ENOUGH_AGREEMENT = 0.95
# Held-out scores are taken on a handful of strokes; smaller steps are chance.
_SCORE_STEP = 0.01

# What predicted a plane, where it was no round: not known; a model that is no longer in use;
# the one in use.
UNKNOWN, EARLIER, LOADED = -2, -1, 0

# A class that was held impossible is no worse than that.
_LEAST_PROBABILITY = 1e-4

# Values of the picture of changes.
GAINED, LOST, CHANGED = 1, 2, 3


@dataclass(frozen=True, eq=False)
class PackedLabels:
    """A label image, compressed: a hundredth of its size where cells are large.

    Attributes
    ----------
    shape : (Y, X)
        Rows and columns.
    data : bytes
        The int32 labels, row by row, compressed with zlib.
    n_objects : int
        How many objects there are.
    """

    shape: tuple[int, int]
    data: bytes
    n_objects: int

    @classmethod
    def pack(cls, labels: npt.NDArray[np.integer]) -> PackedLabels:
        """Compress (Y, X) labels."""
        array = np.ascontiguousarray(labels, dtype=np.int32)
        shape = (array.shape[0], array.shape[1])
        return cls(shape, zlib.compress(array.tobytes(), 1), count_objects(array))

    def unpack(self) -> npt.NDArray[np.int32]:
        """Return the labels, (Y, X) int32."""
        values = np.frombuffer(zlib.decompress(self.data), dtype=np.int32)
        return values.reshape(self.shape).copy()


def unpacked(
    labels: npt.NDArray[np.int32] | PackedLabels,
) -> npt.NDArray[np.int32]:
    """Return labels, (Y, X) int32, of which it is not known whether they are compressed."""
    return labels.unpack() if isinstance(labels, PackedLabels) else labels


@dataclass(frozen=True)
class Changes:
    """Differences between the objects of two rounds.

    Attributes
    ----------
    gained : (N,) int64
        Labels, in the later round, of objects that had no counterpart.
    lost : (N,) int64
        Labels, in the earlier round, of objects that have no counterpart any more.
    changed : (N,) int64
        Labels, in the later round, of objects whose outline moved (IoU below 0.8).
    n_same : int
        Objects that look the same.
    agreement : float
        Objects with a counterpart, counted in both rounds, over all objects of both: the
        F1 score of one round against the other, 0 to 1; 1 where both are empty.
    """

    gained: npt.NDArray[np.int64]
    lost: npt.NDArray[np.int64]
    changed: npt.NDArray[np.int64]
    n_same: int
    agreement: float


def compare(before: npt.NDArray[np.integer], after: npt.NDArray[np.integer]) -> Changes:
    """Compare the objects of two rounds.

    Objects are counterparts if their intersection over union is 0.5 or more: then each
    has one at most.

    Parameters
    ----------
    before, after : (Y, X) integer arrays
        Instance labels of the same image, 0 for background.

    Raises
    ------
    ImPartialError
        If the shapes differ.
    """
    pairs = find_overlaps(before, after)
    iou = pairs.iou
    match = iou >= _MATCH_IOU
    rows, cols, good = pairs.rows[match], pairs.cols[match], iou[match] >= _SAME_IOU
    # At exactly one half an object may have two counterparts; the first counts.
    _, first = np.unique(rows, return_index=True)
    rows, cols, good = rows[first], cols[first], good[first]
    _, first = np.unique(cols, return_index=True)
    rows, cols, good = rows[first], cols[first], good[first]
    n = len(pairs.true_ids) + len(pairs.pred_ids)
    return Changes(
        gained=np.delete(pairs.pred_ids, cols),
        lost=np.delete(pairs.true_ids, rows),
        changed=pairs.pred_ids[cols[~good]],
        n_same=int(good.sum()),
        agreement=2 * len(rows) / n if n else 1.0,
    )


def picture(
    changes: Changes, before: npt.NDArray[np.integer], after: npt.NDArray[np.integer]
) -> npt.NDArray[np.uint8]:
    """Draw changes: 1 gained, 2 lost, 3 changed, 0 elsewhere; (Y, X) uint8."""
    out = np.zeros(after.shape, dtype=np.uint8)
    out[np.isin(before, changes.lost)] = LOST
    out[np.isin(after, changes.changed)] = CHANGED
    out[np.isin(after, changes.gained)] = GAINED
    return out


def agreement(changes: Sequence[Changes]) -> float | None:
    """Return the agreement over several images; None without any."""
    if not changes:
        return None
    pairs = sum(c.n_same + len(c.changed) for c in changes)
    n = 2 * pairs + sum(len(c.gained) + len(c.lost) for c in changes)
    return 2 * pairs / n if n else 1.0


def makers(numbers: Iterable[int]) -> str:
    """Name what predicted some planes, in a few words.

    Parameters
    ----------
    numbers : iterable of int
        Of rounds, or :data:`EARLIER` or :data:`LOADED`.
    """
    different = set(numbers)
    if len(different) > 1:
        return "other rounds" if min(different) > 0 else "other models"
    number = next(iter(different))
    return f"round {number}" if number > 0 else "another model"


def held_out_score(card: ModelCard) -> float | None:
    """Return how sure the model is of the right class on strokes kept out of training.

    The geometric mean of the probability given to the right class, classes counting
    alike: the exponential of minus the held-out scribble loss of the weights in the file.

    Returns
    -------
    float or None
        0 to 1, 1 the best; None where nothing was held out.
    """
    if card.best_validation_loss is None:
        return None
    for entry in reversed(card.history):
        losses = entry.get("validation")
        if losses and math.isclose(losses["total"], card.best_validation_loss, abs_tol=2e-6):
            return math.exp(-losses["scribble"])
    return None


@dataclass(frozen=True)
class NewStrokes:
    """New strokes of one plane, and a model's prediction from before it learned them.

    Attributes
    ----------
    labels : (Y, X) uint8
        All strokes.
    learned : (Y, X) uint8, optional
        Those that the model has learned from; None if none.
    probability : (K, Y, X) floating
        Of each class, as the model predicted it.
    """

    labels: npt.NDArray[np.uint8]
    learned: npt.NDArray[np.uint8] | None
    probability: npt.NDArray[np.floating]


def unseen_score(planes: Iterable[NewStrokes]) -> float | None:
    """Return how sure a model was of the right class on strokes painted after its training.

    The measure of :func:`held_out_score`, which needs so many strokes that some can be kept
    out of training; strokes that come later cost nothing. Whoever paints where the model is
    wrong will see low figures: they are those of the places that were painted, not of all.

    Returns
    -------
    float or None
        0 to 1, 1 the best; None where nothing new was painted.
    """
    sums: dict[int, float] = {}
    counts: dict[int, int] = {}
    for plane in planes:
        new = plane.labels > 0
        if plane.learned is not None:
            new &= plane.learned != plane.labels
        for label in np.unique(plane.labels[new]).tolist():
            if label > len(plane.probability):
                continue  # a class that the model does not know
            p = plane.probability[label - 1][new & (plane.labels == label)]
            logs = np.log(np.maximum(np.asarray(p, dtype=np.float64), _LEAST_PROBABILITY))
            sums[label] = sums.get(label, 0.0) + float(logs.sum())
            counts[label] = counts.get(label, 0) + len(p)
    if not counts:
        return None
    return math.exp(float(np.mean([sums[label] / counts[label] for label in counts])))


def judge(scores: Sequence[float | None], agreement: float | None) -> str:
    """Say plainly when more scribbles no longer help.

    Parameters
    ----------
    scores : sequence of float or None
        Held-out scores (:func:`held_out_score`) of all rounds, oldest first.
    agreement : float or None
        Between the objects of the last two rounds (:class:`Changes`), where both are
        known.

    Returns
    -------
    str
        One sentence, or nothing while there is no sign that it would not help. Where
        both figures exist, both have to say so: strokes can be learned perfectly while
        objects still change, and the other way round.
    """
    if len(scores) < 2:
        return ""
    stalled = _stalled(scores)
    settled = None if agreement is None else agreement >= ENOUGH_AGREEMENT
    if settled and stalled is not False:
        also = ", and the score on strokes kept aside did not rise" if stalled else ""
        return (
            f"The last round left {agreement:.0%} of the objects as they were{also}. More "
            "scribbles of the same kind will hardly help: look for mistakes, or for places "
            "unlike those you annotated."
        )
    if settled is None and stalled and len(scores) > 2:
        return (
            "The score on strokes kept aside no longer rises. More scribbles of the same kind "
            "will hardly help: look for mistakes, or for places unlike those you annotated."
        )
    return ""


def _stalled(scores: Sequence[float | None]) -> bool | None:
    """Return whether the last score is no better than the best before; None if unknown."""
    earlier = [score for score in scores[:-1] if score is not None]
    if scores[-1] is None or not earlier:
        return None
    return scores[-1] < max(earlier) + _SCORE_STEP
