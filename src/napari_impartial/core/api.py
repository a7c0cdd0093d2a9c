"""The three steps of the program for scripts: train, predict, cut into objects.

:func:`train` is here; :func:`~napari_impartial.core.prediction.predict.predict` and
:func:`~napari_impartial.core.instances.cutter.to_instances` are handed on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .config import ModelConfig, TrainingConfig
from .data.image import Image
from .data.scribbles import Scribbles
from .instances.cutter import to_instances
from .network.model_file import TrainedModel
from .prediction.predict import predict
from .training.fit import fit
from .training.messages import Command, TrainingProgress

__all__ = ["predict", "to_instances", "train"]


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
        All with the same channels.
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
    running = fit(images, scribbles, model, config, init, class_names)
    command: Command | None = None
    while True:
        try:
            progress = running.send(command)
        except StopIteration as finished:
            return finished.value
        command = on_progress(progress) if on_progress else None
