"""Reasons for suggested places, in words, read from the maps in a box round each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_impartial.core.data.boxes import Box
from napari_impartial.core.data.label_images import meeting

Map = npt.NDArray[np.float32]

BOUNDARY = "unsure: cell or background"
KIND = "unsure: which kind of cell"
TOUCHING = "two cells or one"
MISSED = "perhaps a missed cell"
DOUBTFUL = "perhaps not one whole cell"
UNLIKE = "unlike anything annotated"

# What sets a place apart from so many others: a share of its entropy that is worth mention, and
# so many times the usual one.
_FEWEST_TO_COMPARE, _TELLING_SHARE, _TELLING_RATIO = 3, 0.15, 1.5
# The same of mutual information: of real places only nuclei unlike the annotated ones have it.
_TELLING_INFORMATION = 0.1
_EXTREMA = (ndimage.minimum_filter, ndimage.maximum_filter)
# What shares of the entropy tell, in their order.
_OF_OBJECTS = (TOUCHING, MISSED, DOUBTFUL)


@dataclass(frozen=True)
class Maps:
    """Maps that reasons are read from; all over the same (Y, X).

    Attributes
    ----------
    heat : (Y, X) float32
        Entropy, 0 where it is annotated.
    probability : (K, Y, X) or None
        Class probabilities.
    information : (Y, X) float32 or None
        Mutual information.
    instances : (Y, X) integer or None
    """

    heat: Map
    probability: npt.NDArray[np.generic] | None
    information: Map | None
    instances: npt.NDArray[np.generic] | None


def reasons(boxes: Sequence[Box], maps: Maps) -> list[str]:
    """Say what most of each box's entropy comes from, or else what sets it apart.

    Wherever there are many cells, most of it comes from their outlines. Then the words are of
    what there is a good deal more of than in the other boxes.

    Parameters
    ----------
    boxes : sequence of (y0, x0, y1, x1)
    maps : Maps

    Returns
    -------
    list of str
        One for each box.
    """
    shares = [_Shares.of(maps, box) for box in boxes]
    found = [_reason(box, maps, own) for box, own in zip(boxes, shares, strict=True)]
    if maps.instances is None or len(boxes) < _FEWEST_TO_COMPARE:
        return found
    usual = np.mean([own.values for own in shares], axis=0)
    for number, own in enumerate(shares):
        if found[number] == BOUNDARY:
            special = int(np.argmax(own.values / np.maximum(usual, 1e-6)))
            if own.values[special] > max(_TELLING_SHARE, _TELLING_RATIO * usual[special]):
                found[number] = _OF_OBJECTS[special]
    return found


@dataclass(frozen=True)
class _Shares:
    """Shares of a box's entropy by their source; all 0 where no objects are known.

    Attributes
    ----------
    values : (3,) float64
        Of touching objects' seams, between objects, and in objects, off outlines: in the order
        of :data:`_OF_OBJECTS`.
    spread : float
        How much of the objects' insides has more than half of the greatest entropy there.
    """

    values: npt.NDArray[np.float64]
    spread: float

    @classmethod
    def of(cls, maps: Maps, box: Box) -> _Shares:
        if maps.instances is None:
            return cls(np.zeros(len(_OF_OBJECTS)), 0.0)
        heat, labels = maps.heat[_window(box)], maps.instances[_window(box)].astype(np.int64)
        lowest, highest = (f(labels, size=5, mode="nearest") for f in _EXTREMA)
        alone = lowest == highest  # no border within 2 px
        inside = alone & (labels > 0)
        regions = (_seams(labels), alone & (labels == 0), inside)
        values = np.array([heat[region].sum(dtype=np.float64) for region in regions])
        among = heat[inside]
        spread = float((among > among.max() / 2).mean()) if among.size else 0.0
        return cls(values / max(float(heat.sum()), 1e-12), spread)


def _window(box: Box) -> tuple[slice, slice]:
    return slice(box[0], box[2]), slice(box[1], box[3])


def _reason(box: Box, maps: Maps, shares: _Shares) -> str:
    """Say what most of the box's entropy comes from."""
    window = _window(box)
    heat = maps.heat[window]
    total = max(float(heat.sum()), 1e-12)
    if maps.information is not None:
        # Passes always disagree a little: "unlike" is what stands out from the image.
        share = float(maps.information[window].sum()) / total
        usual = float(maps.information.sum()) / max(float(maps.heat.sum()), 1e-12)
        if share > max(_TELLING_INFORMATION, _TELLING_RATIO * usual):
            return UNLIKE
    touching, missed, doubtful = shares.values
    if touching > 1 / 3:
        return TOUCHING
    if maps.probability is not None and len(maps.probability) > 2:
        p = np.asarray(maps.probability[(slice(None), *window)], dtype=np.float32)
        two = np.argpartition(p, -2, axis=0)[-2:]
        if float(heat[(two > 0).all(axis=0)].sum()) > total / 2:
            return KIND
    if missed > 1 / 2:
        return MISSED
    if doubtful > 1 / 2:
        # A whole object that is doubted, or a line through one that is not?
        return DOUBTFUL if shares.spread > 0.5 else TOUCHING
    return BOUNDARY


def _seams(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Pixels within 2 px of where two objects touch."""
    touching = meeting(ids) & (ids > 0)
    return np.asarray(ndimage.maximum_filter(touching, size=3, mode="constant"))
