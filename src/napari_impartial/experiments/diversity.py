"""Choose among suggestions such that they differ from each other.

The most uncertain places are often many views of one difficulty: a batch of them teaches
less than a batch that also differs in looks. So the places are taken one after the other,
each the best in score times the distance of its looks to those taken before (greedy
k-centre, weighted by uncertainty).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.prediction.suggestions import Box, Suggestion


def appearance(
    channels: npt.NDArray[np.float32], foreground: npt.NDArray[np.float32], box: Box
) -> npt.NDArray[np.float64]:
    """Describe what an image looks like in a box.

    Parameters
    ----------
    channels : (C, Y, X) float32
        Normalized intensities.
    foreground : (Y, X) float32
        Predicted probability of being foreground.
    box : (y0, x0, y1, x1)

    Returns
    -------
    (3 C + 2,) float64
        For each channel the mean, the standard deviation and the mean step between
        neighbouring pixels (texture); of the foreground the mean and the mean step.
    """
    window = slice(box[0], box[2]), slice(box[1], box[3])
    found: list[float] = []
    for channel in channels:
        part = channel[window].astype(np.float64)
        found += [float(part.mean()), float(part.std()), _step(part)]
    part = foreground[window].astype(np.float64)
    return np.array([*found, float(part.mean()), _step(part)])


def _step(values: npt.NDArray[np.float64]) -> float:
    """Mean absolute difference between neighbours."""
    steps = [np.abs(np.diff(values, axis=axis)) for axis in (0, 1) if values.shape[axis] > 1]
    return float(np.mean([step.mean() for step in steps])) if steps else 0.0


def diverse(
    suggestions: Sequence[Suggestion], looks: npt.ArrayLike, count: int
) -> list[Suggestion]:
    """Choose suggestions that are uncertain and unlike each other, ranked anew.

    Parameters
    ----------
    suggestions : sequence of Suggestion
        More than are wanted, best first.
    looks : (N, F) array
        :func:`appearance` of each; scaled here so that each feature weighs the same.
    count : int
        How many to choose.

    Returns
    -------
    list of Suggestion
        At most `count`; the first is the best of all.

    Raises
    ------
    ImPartialError
        If there are not as many looks as suggestions.
    """
    features = np.asarray(looks, dtype=np.float64)
    if len(features) != len(suggestions):
        raise ImPartialError(f"{len(suggestions)} suggestions have {len(features)} looks.")
    if not suggestions:
        return []
    spread = features.std(axis=0)
    features = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    scores = np.array([suggestion.score for suggestion in suggestions])
    chosen = [int(np.argmax(scores))]
    distance = _distance(features, chosen[0])
    while len(chosen) < min(count, len(suggestions)):
        worth = scores * distance
        worth[chosen] = -1.0
        chosen.append(int(np.argmax(worth)))
        distance = np.minimum(distance, _distance(features, chosen[-1]))
    return [dataclasses.replace(suggestions[i], rank=n) for n, i in enumerate(chosen, start=1)]


def _distance(features: npt.NDArray[np.float64], index: int) -> npt.NDArray[np.float64]:
    """Distance of all looks to one of them."""
    return np.asarray(np.linalg.norm(features - features[index], axis=1))
