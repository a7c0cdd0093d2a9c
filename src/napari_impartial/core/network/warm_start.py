"""A network's first weights: general knowledge of cells, fitted to these channels.

The weights that are shipped come from procedural tissue and real images
(``benchmarks/pretrain.py``), shown as :data:`MIXTURES` mixtures of channels, whatever the
number of channels was: one in which annotated foreground and background differ most, and the
channels' principal components.
A convolution of a mixture is a convolution of its channels, so that the mixing is folded
into the first weights, and what is trained is a network of the image's own channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_impartial.core.config import ModelConfig, TrainingConfig
from napari_impartial.core.errors import ImPartialError

from .model_file import TrainedModel, load_model
from .unet import UNet

Floats = npt.NDArray[np.float64]

MIXTURES = 3
"""Mixtures of the image's channels that the shipped weights were trained on."""

# Standard deviation of each mixture: about that of an image normalized to 0 ... 1.
_SPREAD = 0.25
_LEAST_SPREAD = 0.01
# Pixels that covariances are taken from; a few strokes have too few for all channels'.
_MOST_PIXELS = 100_000
_SHRINKAGE = 0.1
# Directions with less than this share of the strongest are left out when mixing is undone.
_FAINTEST = 0.05


@cache
def shipped() -> TrainedModel:
    """Return the weights that come with the program."""
    name = "data/warm_start.safetensors"
    with resources.as_file(resources.files("napari_impartial") / name) as path:
        return load_model(path)


def first_weights(training: TrainingConfig, model: ModelConfig) -> TrainedModel | None:
    """Return what a training of such a network begins with; None for random weights.

    Raises
    ------
    ImPartialError
        If a file of weights is named that cannot be read, or is of another network.
    """
    if not training.warm_start:
        return None
    path = training.first_weights
    if not path:
        return shipped() if suits(model, shipped()) else None
    own, like = load_model(path), shipped().card
    if (own.card.channel_names, own.card.n_classes) != (like.channel_names, like.n_classes):
        raise ImPartialError(
            f"{path} is no file of first weights but a model of channels of its own; to go on "
            "from a model, name it as such (--init)."
        )
    if not suits(model, own):
        raise ImPartialError(f"The first weights {path} are of a network of another shape.")
    return own


def suits(model: ModelConfig, own: TrainedModel) -> bool:
    """Return whether these first weights are of a network of this shape."""
    return all(
        getattr(model, name) == getattr(own.card.model, name)
        for name in ("base_features", "depth", "norm", "image_pyramid", "components_per_class")
    )


def mix(images: Sequence[Tensor], labels: Sequence[Tensor]) -> Floats:
    """Choose mixtures of the channels.

    The first is the linear discriminant of annotated foreground (bright) and background,
    the others are principal components, turned so that foreground is the brighter.

    Parameters
    ----------
    images : sequence of (C, Y, X) float tensors
        Normalized.
    labels : sequence of (Y, X) uint8 tensors
        0 not annotated, 1 background, 2 and up foreground; both have to occur.

    Returns
    -------
    (MIXTURES, C) float64
        Weights of the channels; each mixture has about the spread of a normalized channel.
    """
    spread = _covariance(_some_pixels(images))
    foreground, background = _annotated(images, labels)
    difference = foreground.mean(axis=1) - background.mean(axis=1)
    within = (_covariance(foreground) + _covariance(background)) / 2
    ridge = _SHRINKAGE * np.trace(within) / len(within) + 1e-6
    rows = [np.linalg.solve(within + ridge * np.eye(len(within)), difference)]
    components = np.linalg.eigh(spread)[1][:, ::-1].T
    for number in range(MIXTURES - 1):
        component = components[number % len(components)]
        rows.append(-component if component @ difference < 0 else component)
    mixing = np.stack(rows)
    deviation = np.sqrt(np.einsum("vc,cd,vd->v", mixing, spread, mixing).clip(min=0))
    return np.asarray(mixing * (_SPREAD / deviation.clip(min=_LEAST_SPREAD))[:, None])


def _some_pixels(images: Sequence[Tensor]) -> Floats:
    """Return (C, N) intensities of every so many-th pixel."""
    step = max(1, sum(image[0].numel() for image in images) // _MOST_PIXELS)
    found, passed = [], 0
    for image in images:
        found.append(_double(image.flatten(1)[:, -passed % step :: step]))
        passed += image[0].numel()
    return np.concatenate(found, axis=1)


def _double(values: Tensor) -> Floats:
    """Return values in double precision, which not every device has."""
    return values.cpu().numpy().astype(np.float64)


def _annotated(images: Sequence[Tensor], labels: Sequence[Tensor]) -> tuple[Floats, Floats]:
    """Return (C, N) slightly smoothed intensities under foreground and background strokes."""
    found: tuple[list[Floats], list[Floats]] = ([], [])
    for image, drawn in zip(images, labels, strict=True):
        smooth = F.avg_pool2d(image[None], 3, 1, 1, count_include_pad=False)[0]
        for pixels, chosen in zip(found, (drawn > 1, drawn == 1), strict=True):
            pixels.append(_double(smooth[:, chosen]))
    foreground, background = (np.concatenate(p, axis=1) for p in found)
    return foreground, background


def _covariance(pixels: Floats) -> Floats:
    """Covariance (C, C) of pixels (C, N); zero where there are fewer than two."""
    if pixels.shape[1] < 2:
        return np.zeros((len(pixels), len(pixels)))
    return np.cov(pixels).reshape(len(pixels), len(pixels))


@torch.no_grad()
def start(network: UNet, mixing: Floats, own: TrainedModel) -> None:
    """Give a network first weights, with the mixing folded in.

    Parameters
    ----------
    network : UNet
        Of C channels and a shape that :func:`suits`; any number of classes: each
        foreground class begins as foreground.
    mixing : (MIXTURES, C) float64
        From :func:`mix`.
    own : TrainedModel
        From :func:`first_weights`.
    """
    into = torch.from_numpy(mixing).float()
    back = torch.from_numpy(np.linalg.pinv(mixing, rcond=_FAINTEST)).float()
    weights = {name: value.float() for name, value in own.weights.items()}
    for level in range(len(network.encoder)):
        # The image's channels are the last inputs of each level: all of the first level's.
        name = f"encoder.{level}.0.weight"
        if level and not network.pyramid:
            continue
        features, image = weights[name][:, :-MIXTURES], weights[name][:, -MIXTURES:]
        folded = torch.einsum("ovyx,vc->ocyx", image, into)
        weights[name] = torch.cat([features, folded], dim=1)
    for name in ("head.weight", "head.bias"):
        weights[name] = _head(weights[name], network, back)
    # Layers without dropout between them are numbered otherwise, but come in the same order.
    with torch.device("meta"):  # names alone: random weights would be drawn for nothing
        theirs = UNet(MIXTURES, own.card.n_classes, own.card.model).state_dict()
    names = zip(network.state_dict(), theirs, strict=True)
    network.load_state_dict({mine: weights[name] for mine, name in names})


def _head(value: Tensor, network: UNet, back: Tensor) -> Tensor:
    """Return the output layer's weight or bias for the network's classes and channels."""
    per_class = network.n_components // network.n_classes
    rows = value.reshape(len(value), -1)
    logits = rows[: 2 * per_class]
    means = rows[2 * per_class :].reshape(2 * per_class, MIXTURES, -1)
    means = torch.einsum("cv,mvf->mcf", back, means)
    chosen = [min(k, 1) * per_class + j for k in range(network.n_classes) for j in range(per_class)]
    joined = torch.cat([logits[chosen], means[chosen].flatten(0, 1)])
    return joined.reshape(len(joined), *value.shape[1:])
