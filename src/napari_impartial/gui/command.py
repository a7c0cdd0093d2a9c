"""The headless command that does what was just done in the window."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence

from napari_impartial.core.config import InstanceConfig, get_preset
from napari_impartial.core.model_card import ModelCard

from .layers import Source
from .layers.scribbles import scribble_name


def command(
    card: ModelCard, sources: Sequence[Source], instances: InstanceConfig, model: str
) -> str:
    """Return two commands, to train and to predict.

    Parameters
    ----------
    card
        Of the model in the window.
    sources
        The images that were scribbled on; those that are no file stand in by their
        names, to be saved under them from napari.
    instances
        How objects are cut.
    model
        Name of the model file.
    """
    images = [path_of(source) for source in sources]
    scribbles = [f"{scribble_name(source.name)}.tif" for source in sources]
    preset = get_preset(card.training.preset).training
    training = ["train", *images, "--scribbles", *scribbles, "--model", model]
    training += ["--preset", card.training.preset]
    for name in ("time_budget_s", "device", "seed"):
        value = getattr(card.training, name)
        if value != getattr(preset, name):
            training += [_flag(name), _text(value)]
    if sources:
        training += ["--axes", sources[0].axes]
    prediction = ["predict", *images, "--model", model, "--out", "results"]
    for field in dataclasses.fields(instances):
        value = getattr(instances, field.name)
        if value != field.default:
            prediction += [_flag(field.name), _text(value)]
    return "\n".join(shlex.join(["napari-impartial", *words]) for words in (training, prediction))


def path_of(source: Source) -> str:
    """Return the file an image was read from, or the name to save it under."""
    path = source.primary.source.path
    return str(path) if path else f"{source.name}.tif"


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
