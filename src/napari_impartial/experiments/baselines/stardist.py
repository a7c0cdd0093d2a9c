"""StarDist as a peer, trained on partial annotation; it needs TensorFlow.

StarDist leaves pixels with a negative label out of its loss, so that partial annotation goes
into it as it is. Network, loss, optimizer and thresholds are its
defaults; training lasts for the time budget that the network of this program gets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_impartial.core.config import TrainingConfig
from napari_impartial.core.data.image import Image, normalize
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.training.schedule import Clock, Schedule
from napari_impartial.io.lazy import first_line

from .partial_masks import annotated_window, mean_diameter_px

_PATCH_PX = 128
_STEPS_AN_EPOCH = 20
# Crops round the annotation that StarDist draws its patches from.
_CROPS = 64


@dataclass(frozen=True)
class StarDist:
    """A trained StarDist network: a ``stardist.models.StarDist2D``."""

    model: Any
    n_channels: int


def check_available() -> None:
    """Raise a clear error if StarDist or TensorFlow is not installed; imports nothing.

    Raises
    ------
    ImPartialError
        Naming what to install.
    """
    for package, install in (
        ("stardist", "pip install 'napari-impartial[bench]'"),
        ("tensorflow", "pip install tensorflow (or: tox -e stardist)"),
    ):
        if find_spec(package) is None:
            raise ImPartialError(
                f"The method stardist needs {package}, which is not installed; run: {install}"
            )


def load_library() -> None:
    """Import StarDist and TensorFlow, which takes seconds."""
    import tensorflow  # noqa: F401


def train(
    images: Sequence[Image],
    labels: Sequence[NDArray[np.int32]],
    config: TrainingConfig,
    report: Callable[[float], None] | None = None,
) -> StarDist:
    """Train from scratch; parameters as :func:`~.cellpose.train`.

    Raises
    ------
    ImPartialError
        If StarDist is missing or no cell is annotated.
    """
    check_available()
    import tensorflow as tf
    from stardist.models import Config2D, StarDist2D

    schedule = Schedule(config, Clock())
    tf.keras.utils.set_random_seed(config.seed)
    diameter = mean_diameter_px(list(labels))
    side = min(_PATCH_PX, *(n // 16 * 16 for image in images for n in image.shape))
    if side < 16:
        raise ImPartialError("StarDist needs images of 16 x 16 pixels and more.")
    settings = Config2D(
        n_rays=32,
        # every second pixel suffices for cells that are not tiny
        grid=(2, 2) if diameter >= 12 else (1, 1),
        n_channel_in=images[0].n_channels,
        train_patch_size=(side, side),
        train_batch_size=4,
        train_epochs=100000,
        train_steps_per_epoch=_STEPS_AN_EPOCH,
        train_tensorboard=False,
    )
    x, y = _crops(images, labels, side, np.random.default_rng(config.seed))
    model = StarDist2D(settings, name=None, basedir=None)
    model.prepare_for_training()
    steps = 0

    def on_batch_end(batch: int, logs: Any = None) -> None:
        nonlocal steps
        steps += 1
        spent = schedule.fraction(steps)
        if report is not None:
            report(spent)
        if spent >= 1:
            model.keras_model.stop_training = True

    model.callbacks.append(tf.keras.callbacks.LambdaCallback(on_train_batch_end=on_batch_end))
    # What is validated on is of no consequence: there is time for one budget only, and no
    # annotation to spare.
    model.train(x, y, validation_data=(x[:1], y[:1]), seed=config.seed)
    return StarDist(model, images[0].n_channels)


def _crops(
    images: Sequence[Image],
    labels: Sequence[NDArray[np.int32]],
    side: int,
    rng: np.random.Generator,
) -> tuple[list[NDArray[np.float32]], list[NDArray[np.int32]]]:
    """Cut windows round the annotation, flipped and turned: (S, S, C) and (S, S)."""
    normalized = [np.moveaxis(normalize(image), 0, -1) for image in images]
    weights = np.array([float((one > 0).sum()) for one in labels])
    x, y = [], []
    for index in rng.choice(len(images), size=_CROPS, p=weights / weights.sum()):
        window = annotated_window(labels[index], 2 * side, rng)
        turns, flip = int(rng.integers(4)), bool(rng.integers(2))
        crop, known = (np.rot90(a[window], turns) for a in (normalized[index], labels[index]))
        x.append(np.ascontiguousarray(crop[:, ::-1] if flip else crop))
        y.append(np.ascontiguousarray(known[:, ::-1] if flip else known))
    return x, y


def load(weights: Path, n_channels: int) -> StarDist:
    """Open a folder in which StarDist has saved a model for so many channels.

    Raises
    ------
    ImPartialError
        If it is none.
    """
    check_available()
    from stardist.models import StarDist2D

    try:
        model = StarDist2D(None, name=weights.name, basedir=str(weights.parent))
    except Exception as error:  # whatever comes up in a foreign folder
        raise ImPartialError(f"{weights} is no model of StarDist ({first_line(error)}).") from error
    taken = int(model.config.n_channel_in)
    if taken != n_channels:
        raise ImPartialError(
            f"{weights} takes {taken} channels and not {n_channels}; choose them with "
            "--weights-channels."
        )
    return StarDist(model, taken)


def segment(image: Image, peer: StarDist) -> NDArray[np.int32]:
    """Outline the cells of an image, (Y, X) int32.

    Raises
    ------
    ImPartialError
        If the image has other channels than the network.
    """
    if image.n_channels != peer.n_channels:
        raise ImPartialError(
            f"{image.name} has {image.n_channels} channels, this StarDist takes {peer.n_channels}."
        )
    channels = np.moveaxis(normalize(image), 0, -1)
    labels, _ = peer.model.predict_instances(channels, axes="YXC", show_tile_progress=False)
    return np.asarray(labels, dtype=np.int32)
