"""Test on strokes of whether prediction at several scales suits a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from napari_impartial.core.config import PredictionConfig
from napari_impartial.core.network.unet import UNet
from napari_impartial.core.prediction.predict import (
    SMALLEST_SECOND_OPINION_PX,
    combine,
    predict_normalized,
    views,
)

from .patches import cover, spread

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]

# Windows round strokes that are looked at, how many at most, and of how many images they are
# chosen: to look for them in thousands of images takes long.
_WINDOW_PX, _MOST_WINDOWS, _MOST_IMAGES = 256, 8, 32
# Rise of the strokes' loss, in nats, from which smaller views contradict them. On nine of
# twelve pairs of images it was -0.009 to 0.009, on three 0.085 to 0.179; two of these lost 0.1
# of F1.
_TOLERATED = 0.03
_LEAST_PROBABILITY = 1e-3


def contradicts(
    network: UNet, pictures: Sequence[Floats], labels: Sequence[Labels], config: PredictionConfig
) -> bool:
    """Tell whether the views at smaller sizes contradict the strokes of the images learned from.

    Images of few and small objects show too little at smaller sizes, and a network that has
    learned one such image by heart may see nothing there: then it denies objects that it sees
    well at full size.

    Parameters
    ----------
    network : UNet
    pictures : sequence of (C, Y, X) float32
        Normalized images.
    labels : sequence of (Y, X) uint8
        Strokes on each: 0 not annotated, 1 background, 2 ... K foreground classes.
    config : PredictionConfig
        Device and precision to predict with.

    Returns
    -------
    bool
        False, too, where images are too small to be looked at at half size.
    """
    plain = replace(config, samples=0, second_opinion=False, reconstruction=False)
    alone: list[Floats] = []
    together: list[Floats] = []
    of_class: list[Labels] = []
    for picture, drawn in _windows(pictures, labels):
        seen = [predict_normalized(network, view, plain).probability for view in views(picture)]
        combined = combine([torch.from_numpy(view)[None] for view in seen])[0].numpy()
        chosen = drawn > 0
        alone.append(seen[0][:, chosen])
        together.append(combined[:, chosen])
        of_class.append(drawn[chosen])
    if not of_class:
        return False
    k = np.concatenate(of_class)
    rise = _loss(np.concatenate(together, axis=1), k) - _loss(np.concatenate(alone, axis=1), k)
    return rise > _TOLERATED


def _windows(pictures: Sequence[Floats], labels: Sequence[Labels]) -> list[tuple[Floats, Labels]]:
    """Cut windows round strokes out of the images, not too many."""
    large_enough = [
        (picture, drawn)
        for picture, drawn in zip(pictures, labels, strict=True)
        if min(drawn.shape) >= SMALLEST_SECOND_OPINION_PX and drawn.any()
    ]
    found = []
    for picture, drawn in spread(large_enough, _MOST_IMAGES):
        for y, x in cover(drawn, _WINDOW_PX):
            inside = slice(y, y + _WINDOW_PX), slice(x, x + _WINDOW_PX)
            found.append((picture[:, *inside], drawn[inside]))
    return spread(found, _MOST_WINDOWS)


def _loss(probability: Floats, k: Labels) -> float:
    """Mean over the classes of the cross-entropy (K, N) on pixels of classes (N,) from 1."""
    own = probability[k.astype(np.intp) - 1, np.arange(len(k))]
    penalty = -np.log(np.maximum(own, _LEAST_PROBABILITY))
    return float(np.mean([penalty[k == one].mean() for one in np.unique(k)]))
