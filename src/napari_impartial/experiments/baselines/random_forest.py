"""A random forest on multiscale filter responses, as in ilastik and Labkit.

The peer that a user would pick instead. It sees the same scribbles, and its
probabilities are cut into instances in the same way as ours.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_impartial.core.config import InstanceConfig
from napari_impartial.core.data.image import Image, normalize
from napari_impartial.core.data.scribbles import Scribbles, check_trainable
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.cutter import to_instances
from napari_impartial.core.instances.metrics import evaluate

#: Standard deviations of the Gaussians, in pixels: ilastik's seven without the 0.3,
#: which differs from the raw value by less than the noise.
SIGMAS = (0.7, 1.0, 1.6, 3.5, 5.0, 10.0)
#: Responses at each scale: Gaussian, gradient magnitude, two Hessian eigenvalues,
#: difference of Gaussians.
RESPONSES = 5
N_TREES = 100
#: Pixels that are classified at once; bounds the memory of the trees' votes.
BLOCK_PIXELS = 200_000


@dataclass(frozen=True)
class Forest:
    """A trained forest.

    Attributes
    ----------
    classifier
        A fitted ``sklearn.ensemble.RandomForestClassifier`` on classes 0 .. K - 1.
    n_classes
        K, the background included.
    n_channels
        Channels of the images it was trained on.
    """

    classifier: Any
    n_classes: int
    n_channels: int


def check_available() -> None:
    """Raise a clear error if scikit-learn is not installed.

    Raises
    ------
    ImPartialError
        Naming the extra to install.
    """
    try:
        import sklearn.ensemble  # noqa: F401
    except ImportError:
        raise ImPartialError(
            "The forest needs scikit-learn, which is not installed; "
            "run: pip install 'napari-impartial[bench]'"
        ) from None


def n_features(n_channels: int) -> int:
    """Return the number of features a pixel."""
    return n_channels * (1 + RESPONSES * len(SIGMAS))


def features(image: Image) -> NDArray[np.float32]:
    """Return the filter responses of an image.

    Parameters
    ----------
    image : Image
        Normalized here as for the network.

    Returns
    -------
    ndarray
        (Y, X, F) float32, F = C * (1 + 5 * 6): each channel as it is, then for each
        scale the Gaussian, the gradient magnitude, the larger and the smaller Hessian
        eigenvalue, and the difference of Gaussians (to the scale 1.6 times as wide).
        Derivatives are scale-normalized.
    """
    out = np.empty((*image.shape, n_features(image.n_channels)), dtype=np.float32)
    position = 0
    for channel in normalize(image):
        out[..., position] = channel
        position += 1
        for sigma in SIGMAS:
            for response in _responses(channel, sigma):
                out[..., position] = response
                position += 1
    return out


def _responses(channel: NDArray[np.float32], sigma: float) -> Iterator[NDArray[np.floating]]:
    """Yield the responses of one channel, (Y, X), at one scale."""
    smooth = ndimage.gaussian_filter(channel, sigma)
    yield smooth
    # Differences of the smoothed image stand in for Gaussian derivatives: one filter a
    # scale and not six, and alike from sigma 0.7 up.
    gy, gx = (_difference(smooth, axis) for axis in (0, 1))
    yield sigma * np.hypot(gy, gx)
    yy, xy, xx = _difference(gy, 0), _difference(gy, 1), _difference(gx, 1)
    middle, half = (yy + xx) / 2, np.hypot((yy - xx) / 2, xy)
    yield sigma**2 * (middle + half)
    yield sigma**2 * (middle - half)
    yield smooth - ndimage.gaussian_filter(channel, 1.6 * sigma)


def _difference(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Central difference along an axis; zero where the axis has one element only."""
    if values.shape[axis] < 2:
        return np.zeros_like(values)
    return np.asarray(np.gradient(values, axis=axis), dtype=np.float32)


def train_forest(
    images: Sequence[Image],
    scribbles: Sequence[Scribbles],
    seed: int = 0,
    n_jobs: int = -1,
) -> Forest:
    """Train a forest on the annotated pixels of all images.

    Parameters
    ----------
    images, scribbles : sequences of equal length
        Images with equally many channels, and the scribbles on them.
    seed : int
        Seed of the trees.
    n_jobs : int
        Threads; -1 takes all processors.

    Raises
    ------
    ImPartialError
        If scikit-learn is missing or the scribbles hold one class only.
    """
    check_available()
    from sklearn.ensemble import RandomForestClassifier

    n_classes = check_trainable(scribbles)
    rows, classes = [], []
    for image, one in zip(images, scribbles, strict=True):
        annotated = one.labels > 0
        if annotated.any():
            rows.append(features(image)[annotated])
            classes.append(one.labels[annotated].astype(np.intp) - 1)
    classifier = RandomForestClassifier(
        N_TREES, class_weight="balanced_subsample", random_state=seed, n_jobs=n_jobs
    )
    classifier.fit(np.concatenate(rows), np.concatenate(classes))
    return Forest(classifier, n_classes, images[0].n_channels)


def forest_probability(image: Image, forest: Forest) -> NDArray[np.float32]:
    """Return class probabilities, (K, Y, X) float32, of an image.

    Raises
    ------
    ImPartialError
        If the image has other channels than the forest was trained on.
    """
    if image.n_channels != forest.n_channels:
        raise ImPartialError(
            f"{image.name} has {image.n_channels} channels, "
            f"the forest was trained on {forest.n_channels}."
        )
    values = features(image).reshape(-1, n_features(image.n_channels))
    out = np.zeros((forest.n_classes, values.shape[0]), dtype=np.float32)
    seen = forest.classifier.classes_
    for start in range(0, values.shape[0], BLOCK_PIXELS):
        block = slice(start, start + BLOCK_PIXELS)
        out[seen, block] = forest.classifier.predict_proba(values[block]).T
    return out.reshape(forest.n_classes, *image.shape)


def cuts() -> list[InstanceConfig]:
    """Return the 24 ways of cutting instances that :func:`best_cut` tries."""
    return [
        InstanceConfig(split=split, threshold=threshold, smooth_px=smooth_px)
        for split, threshold, smooth_px in itertools.product(
            ("watershed", "components"), (0.3, 0.4, 0.5, 0.6, 0.7, 0.8), (0.0, 1.0)
        )
    ]


def best_cut(
    truths: Sequence[NDArray[Any]], foregrounds: Sequence[NDArray[np.float32]]
) -> tuple[InstanceConfig, list[NDArray[np.int32]]]:
    """Choose the cut with the best F1 on the test images themselves.

    An advantage that no method has in use; it is here to compare with figures that
    were made so.

    Parameters
    ----------
    truths : sequence of (Y, X) integer arrays
    foregrounds : sequence of (Y, X) float32
        Foreground probabilities.

    Returns
    -------
    InstanceConfig
        The best cut.
    list of (Y, X) int32
        The instances that it makes.
    """
    tried = []
    for config in cuts():
        labels = [to_instances(foreground, config) for foreground in foregrounds]
        tried.append((evaluate(truths, labels).f1, config, labels))
    _, config, labels = max(tried, key=lambda entry: entry[0])
    return config, labels
