"""Uncertainty maps, and the places where a few more strokes promise most.

Predictive entropy and mutual information of the Monte-Carlo passes make the heatmap
(paper, guided refinement, Table 3); :func:`suggest` sums it up into a ranked list of
places that lie well apart from each other and off what is annotated already.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_impartial.core.config import SuggestionConfig, validate
from napari_impartial.core.data.boxes import Box
from napari_impartial.core.errors import ImPartialError

from .suggestion_reasons import BOUNDARY, Map, Maps, reasons

SEPARATION = 1.25
"""Boxes' centres keep at least so many box sides apart, along y or x."""
# So many boxes fit side by side, unless they were too small to hold a cell.
_BOXES_ACROSS, _SMALLEST_BOX_PX = 5, 12
# Below this mean entropy (of 1) nothing is worth a person's time.
_LEAST_SCORE = 1e-3
# Doubt over so many pixels each way is about something; a patch of doubt is wider than a line.
_SPOT_PX, _PATCH_PX = 3, 5


@dataclass(frozen=True)
class Suggestion:
    """A place to scribble next.

    Attributes
    ----------
    rank : int
        1 for the place that promises most.
    y, x : int
        Pixel to look at; never annotated already, always inside the box.
    box : (y0, x0, y1, x1)
        In pixels, the end excluded; inside the image.
    score : float
        Mean entropy round the place, 0 to 1, annotated pixels counting 0.
    reason : str
        Why, in words.
    image : str
        Name of the image it lies in.
    """

    rank: int
    y: int
    x: int
    box: Box
    score: float
    reason: str
    image: str = ""


def entropy(probability: npt.ArrayLike, axis: int = 0) -> Map:
    """Entropy of class probabilities, divided by its largest value log K.

    Parameters
    ----------
    probability : array
        Class probabilities, 0 to 1, that sum to 1 along `axis`.
    axis : int
        The axis of the K >= 2 classes.

    Returns
    -------
    float32 array without `axis`
        0 (sure) to 1 (all classes equally likely).

    Raises
    ------
    ImPartialError
        If there are fewer than two classes.
    """
    p = np.moveaxis(np.asarray(probability, dtype=np.float32), axis, 0)
    if len(p) < 2:
        raise ImPartialError("Entropy needs the probabilities of at least two classes.")
    total = np.zeros(p.shape[1:], np.float32)
    for one in p:
        # The floor keeps 0 log 0 finite; it times its logarithm is 0 in single precision.
        total -= one * np.log(np.maximum(one, np.float32(1e-30)))
    return np.clip(total / np.float32(np.log(len(p))), 0.0, 1.0)


def suggest(
    entropy: npt.ArrayLike,
    annotated: npt.ArrayLike | None = None,
    config: SuggestionConfig | None = None,
    probability: npt.ArrayLike | None = None,
    mutual_information: npt.ArrayLike | None = None,
    instances: npt.ArrayLike | None = None,
    image: str = "",
    dismissed: Iterable[tuple[int, int]] = (),
) -> list[Suggestion]:
    """Pick the places where a few strokes promise most.

    The heatmap, set to 0 on and next to annotated pixels, is averaged over about a box;
    peaks are taken from the highest down, each putting out its surroundings.

    Parameters
    ----------
    entropy : (Y, X) array
        Predictive entropy, 0 to 1. NaN counts as 0.
    annotated : (Y, X) array, optional
        Nonzero where scribbles or reviewed objects are.
    config : SuggestionConfig, optional
        How many places, and how large; at most a fifth of the image's shorter side.
    probability : (K, Y, X) array, optional
        Tells confusion between kinds of cells from confusion with the background.
    mutual_information : (Y, X) array, optional
        Tells pixels unlike the annotated ones from ambiguous ones.
    instances : (Y, X) integer array, optional
        Tells lines where objects touch, missed cells, and objects that may be none.
    image : str
        Name put into the suggestions.
    dismissed : iterable of (y, x)
        Places that were looked at and found fine; suggestions keep as far from these as
        from each other.

    Returns
    -------
    list of Suggestion
        At most `config.count`, best first; fewer where the image is small, all
        annotated, or sure.

    Raises
    ------
    ImPartialError
        If a map does not have the heatmap's shape.
    """
    config = validate(config or SuggestionConfig())
    heat = _as_map(entropy)
    config = dataclasses.replace(config, box_px=box_side(config.box_px, heat.shape))
    free = _free(heat.shape, annotated, config.box_px)
    heat = np.where(free, heat, np.float32(0.0))
    maps = Maps(
        heat,
        None if probability is None else _fitting(probability, heat.shape, "probability"),
        None if mutual_information is None else _as_map(mutual_information, heat.shape),
        None if instances is None else _fitting(instances, heat.shape, "instances"),
    )
    peaks = _peaks(_smooth(heat, config.box_px), free, config, dismissed)
    boxes = [box_round(y, x, config.box_px, heat.shape) for y, x, _ in peaks]
    found = [
        Suggestion(0, y, x, box, score, reason, image)
        for (y, x, score), box, reason in zip(peaks, boxes, reasons(boxes, maps), strict=True)
        if _is_doubted(heat, box, reason, config.least_doubt)
    ]
    return [dataclasses.replace(one, rank=rank) for rank, one in enumerate(found, start=1)]


def turn(suggestion: Suggestion) -> float:
    """Return what suggestions of several images are ranked by, the highest first.

    The score over the rank within the image: images take turns, the less sure ones more
    often. By score alone the one that is blurred most would have all places, and the
    others' cells, which the network may get wrong with more confidence, would have none.
    """
    return suggestion.score / suggestion.rank


def rank_all(lists: Iterable[Sequence[Suggestion]]) -> list[Suggestion]:
    """Merge the suggestions of several images into one list, ranked anew by :func:`turn`."""
    merged = [suggestion for one in lists for suggestion in one]
    merged.sort(key=turn, reverse=True)  # stable: ties keep their order
    return [dataclasses.replace(s, rank=i) for i, s in enumerate(merged, start=1)]


def _is_doubted(heat: Map, box: Box, reason: str, least: float) -> bool:
    """Return whether there is a spot in a box that the model has not made up its mind about."""
    y0, x0, y1, x1 = box
    inside = heat[y0:y1, x0:x1]
    if ndimage.uniform_filter(inside, _SPOT_PX, mode="nearest").max(initial=0.0) < least:
        return False
    if reason != BOUNDARY or least == 0:
        return True
    # Along an outline that is right the model is unsure, too: over a line, and not over a patch.
    patch = ndimage.minimum_filter(inside, _PATCH_PX, mode="nearest")
    return bool(patch.max(initial=0.0) >= least)


def box_side(wanted_px: int, shape: tuple[int, ...]) -> int:
    """Side of the boxes: in small images smaller, lest one covers what is to be seen."""
    return min(wanted_px, max(_SMALLEST_BOX_PX, min(shape) // _BOXES_ACROSS))


def box_round(y: int, x: int, side: int, shape: tuple[int, ...]) -> Box:
    """Box of that side round a pixel, moved, and cut where it must be, to fit the image."""
    height, width = min(side, shape[0]), min(side, shape[1])
    y0 = min(max(y - height // 2, 0), shape[0] - height)
    x0 = min(max(x - width // 2, 0), shape[1] - width)
    return y0, x0, y0 + height, x0 + width


def _as_map(values: npt.ArrayLike, shape: tuple[int, ...] | None = None) -> Map:
    array = np.asarray(values, dtype=np.float32)
    if array.ndim != 2 or (shape is not None and array.shape != shape):
        wanted = "two axes (Y, X)" if shape is None else f"shape {shape}"
        raise ImPartialError(f"The heatmap has shape {array.shape}; it has to have {wanted}.")
    return np.nan_to_num(array, nan=0.0, posinf=0.0, neginf=0.0)


def _fitting(values: npt.ArrayLike, shape: tuple[int, ...], name: str) -> npt.NDArray[np.generic]:
    array: npt.NDArray[np.generic] = np.asarray(values)
    if array.shape[-2:] != shape:
        raise ImPartialError(
            f"The {name} map has shape {array.shape}; the heatmap has {shape}: "
            "they have to be of the same image."
        )
    return array


def _free(
    shape: tuple[int, ...], annotated: npt.ArrayLike | None, box_px: int
) -> npt.NDArray[np.bool_]:
    """Pixels that are neither annotated nor next to annotated ones."""
    if annotated is None:
        return np.ones(shape, bool)
    marks = _fitting(annotated, shape, "scribble") != 0
    reach = 2 * max(1, box_px // 16) + 1
    near = ndimage.maximum_filter(marks.view(np.uint8), size=reach, mode="constant")
    return np.asarray(near == 0)


def _smooth(heat: Map, box_px: int) -> Map:
    """Average with a tent as wide as the box, nothing being outside the image.

    Two passes of a running mean, whose time does not depend on the box's size; the tent
    has its peak where the uncertain pixels lie all round, not at the image's edge.
    """
    sides = [max(1, min(box_px // 2, n)) for n in heat.shape]
    once = ndimage.uniform_filter(heat, sides, mode="constant")
    twice = ndimage.uniform_filter(once, sides, mode="constant")
    return np.maximum(twice, np.float32(0.0))  # running sums may end just below 0


def _peaks(
    smoothed: Map,
    free: npt.NDArray[np.bool_],
    config: SuggestionConfig,
    dismissed: Iterable[tuple[int, int]] = (),
) -> list[tuple[int, int, float]]:
    """Greedy non-maximum suppression over the best free pixel of each small block."""
    if smoothed.size == 0:
        return []
    y, x, score = _block_maxima(np.where(free, smoothed, -1.0), max(1, config.box_px // 8))
    apart = SEPARATION * config.box_px
    for at in dismissed:
        score[np.maximum(np.abs(y - at[0]), np.abs(x - at[1])) < apart] = -1.0
    peaks: list[tuple[int, int, float]] = []
    while len(peaks) < config.count:
        best = int(np.argmax(score))
        if score[best] <= _LEAST_SCORE:
            break
        peaks.append((int(y[best]), int(x[best]), float(score[best])))
        near = np.maximum(np.abs(y - y[best]), np.abs(x - x[best])) < apart
        score[near] = -1.0
    return peaks


def _block_maxima(
    values: npt.NDArray[np.floating], side: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.floating]]:
    """Position and value of the largest pixel of each block of `side` x `side` pixels."""
    height, width = values.shape
    rows, cols = -(-height // side), -(-width // side)
    padded = np.full((rows * side, cols * side), -1.0, values.dtype)
    padded[:height, :width] = values
    blocks = padded.reshape(rows, side, cols, side).swapaxes(1, 2).reshape(rows * cols, -1)
    inside = blocks.argmax(axis=1)
    block = np.arange(rows * cols)
    y = (block // cols) * side + inside // side
    x = (block % cols) * side + inside % side
    return y, x, blocks[block, inside]
