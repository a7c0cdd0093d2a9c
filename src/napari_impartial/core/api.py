"""The three steps of the program for scripts: train, predict, cut into objects.

Channels of the same names in another order are put into that of the model, or the first image.
:func:`~napari_impartial.core.instances.cutter.to_instances` is handed on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .config import ModelConfig, PredictionConfig, TrainingConfig
from .data.class_names import check_order
from .data.image import Image
from .data.scribbles import Scribbles
from .instances.cutter import to_instances
from .network.model_file import TrainedModel
from .prediction.predict import ProgressCallback
from .prediction.predict import predict as predict_channels
from .prediction.result import Prediction
from .training.checks import check_types
from .training.fit import fit
from .training.messages import Command, TrainingProgress

__all__ = ["predict", "to_instances", "train"]


def _fit(image: Image, names: Sequence[str]) -> Image:
    """Return an image with its channels in the order of these names, where it has all of them.

    Channels of other names are taken in the order in which they are given.
    """
    same = set(image.channel_names) == set(names)
    return image.select(names) if same and image.channel_names != tuple(names) else image


def train(
    images: Sequence[Image],
    scribbles: Sequence[Scribbles],
    config: TrainingConfig | None = None,
    model: ModelConfig | None = None,
    init: TrainedModel | None = None,
    on_progress: Callable[[TrainingProgress], Command | None] | None = None,
    class_names: Sequence[str] = (),
) -> TrainedModel:
    """Train a network on scribbled images and wait for it.

    Parameters
    ----------
    images : sequence of Image
        All with the same channels; in whatever order where they have names.
    scribbles : sequence of Scribbles
        One for each image.
    config : TrainingConfig, optional
        Defaults to the *balanced* preset.
    model : ModelConfig, optional
        Defaults to the network of the preset.
    init : TrainedModel, optional
        Continue from this model.
    on_progress : callable, optional
        Called several times a second; what it returns is handed to
        :func:`~napari_impartial.core.training.fit.fit`, so that returning ``Stop()`` ends
        training and keeps the best weights.
    class_names : sequence of str, optional
        Names of the kinds of cell, in the order of their labels from 2 on, such as
        ``("tumour", "lymphocyte")``; by default those of `init`, or made up.

    Returns
    -------
    TrainedModel

    Raises
    ------
    ImPartialError
        If there is nothing to learn from, or shapes, channels or names do not
        match.
    """
    check_types(images, scribbles)
    if init is not None:
        check_order(class_names, init.card.class_names[1:])
        images = [_fit(image, init.card.channel_names) for image in images]
    images = [_fit(image, images[0].channel_names) for image in images]
    running = fit(images, scribbles, model, config, init, class_names)
    command: Command | None = None
    while True:
        try:
            progress = running.send(command)
        except StopIteration as finished:
            return finished.value
        command = on_progress(progress) if on_progress else None


def predict(
    image: Image,
    model: TrainedModel,
    config: PredictionConfig | None = None,
    progress: ProgressCallback | None = None,
) -> Prediction:
    """Predict class probabilities and uncertainty of one image.

    Parameters
    ----------
    image : Image
        With the model's channels; in whatever order where they have names.
    model, config, progress
        As for :func:`~napari_impartial.core.prediction.predict.predict`.

    Returns
    -------
    Prediction

    Raises
    ------
    ImPartialError
        If it does not have as many channels as the model, or an array is given.
    Cancelled
        If `progress` returned True.
    """
    if isinstance(image, Image):  # what else it is, prediction says
        image = _fit(image, model.card.channel_names)
    return predict_channels(image, model, config, progress)
