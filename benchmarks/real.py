"""Real annotated images to pretrain on, beside procedural ones: crops in many variations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_impartial.core.data.image import Image, normalize
from napari_impartial.core.data.label_images import numbered
from napari_impartial.core.errors import ImPartialError
from napari_impartial.experiments.dataset import samples_in, samples_with_truth

from .procedural import Example, example_of

Pair = tuple[Image, NDArray[np.int32]]

# Smaller ones have too few cells, or too little round them.
_LEAST_SIDE_PX, _FEWEST_OBJECTS = 160, 3
_MAGNIFICATIONS = (0.6, 1.6)
# For each crop; more say that the images show too little.
_TRIES = 50


def pairs_of(folder: Path, sides: Sequence[str] = ("train", "test")) -> list[Pair]:
    """Return the images of a data set that have a truth, with it."""
    return samples_with_truth([sample for side in sides for sample in samples_in(folder / side)])


def crops(pairs: Sequence[Pair], count: int, seed: int, size: int = 256) -> list[Example]:
    """Return so many crops of images, each as it might have looked elsewhere."""
    rng = np.random.default_rng(seed)
    found: list[Example] = []
    for _ in range(_TRIES * count if pairs else 0):
        crop = _crop(*pairs[rng.integers(len(pairs))], rng, size)
        found += [] if crop is None else [crop]
        if len(found) == count:
            return found
    raise ImPartialError(f"{len(found)} of {count} crops were found that show enough cells.")


def _crop(
    image: Image, truth: NDArray[np.int32], rng: np.random.Generator, size: int
) -> Example | None:
    """Return a crop; None where there are too few cells or strokes in it."""
    magnification = float(np.exp(rng.uniform(*np.log(_MAGNIFICATIONS))))
    side = min(round(size / magnification), *truth.shape)
    y, x = (int(rng.integers(whole - side + 1)) for whole in truth.shape)
    here = slice(y, y + side), slice(x, x + side)
    channels = image.channels[:, *here].astype(np.float32)
    channels = np.stack([ndimage.zoom(c, magnification, order=1) for c in channels])
    labels = numbered(ndimage.zoom(truth[here], magnification, order=0))
    if min(labels.shape) < _LEAST_SIDE_PX or labels.max() < _FEWEST_OBJECTS:
        return None
    return example_of(_as_elsewhere(channels, rng), labels, rng)


def _as_elsewhere(channels: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return channels, normalized, as another microscope might have shown them."""
    if len(channels) > 3:  # fewer markers; the first is what all such sets have
        chosen = rng.random(len(channels)) < 0.7
        chosen[0] = True
        channels = channels[chosen]
    if rng.random() < 0.15:
        channels = -channels
    names = tuple(str(number) for number in range(len(channels)))
    seen = normalize(Image(channels, names, "crop"))
    if rng.random() < 0.3:
        noise = rng.standard_normal(seen.shape, dtype=np.float32)
        seen = seen + noise * np.float32(rng.uniform(0, 0.1))
    if rng.random() < 0.3:
        sharpness = float(rng.uniform(0, 1.2))
        seen = np.stack([ndimage.gaussian_filter(channel, sharpness) for channel in seen])
    return np.asarray(seen, dtype=np.float32)
