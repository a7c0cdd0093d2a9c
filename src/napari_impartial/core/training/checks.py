"""Checks before a training begins, and what to do where one fails."""

from __future__ import annotations

from collections.abc import Sequence

from napari_impartial.core.config import ModelConfig, TrainingConfig
from napari_impartial.core.data.channels import count_channels, find_channel
from napari_impartial.core.data.image import Image, check_content
from napari_impartial.core.data.scribbles import Scribbles, check_trainable
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.network.model_file import TrainedModel


def check_data(
    images: Sequence[Image], scribbles: Sequence[Scribbles], init: TrainedModel | None
) -> int:
    """Check that images, scribbles and a model to continue from fit together.

    Returns
    -------
    int
        K, the number of classes.

    Raises
    ------
    ImPartialError
        If they do not, or an image holds nothing, with what to do.
    """
    check_types(images, scribbles)
    if not images:
        raise ImPartialError("There is no image to train on; give at least one.")
    if len(images) != len(scribbles):
        raise ImPartialError(
            f"There are {len(images)} image(s) but {len(scribbles)} scribble layer(s); "
            "give one for each image."
        )
    check_shapes(images, scribbles)
    check_channels(images)
    for image in images:
        check_content(image)
    names = images[0].channel_names
    n_classes = check_trainable(scribbles)
    if init is None:
        return n_classes
    if init.card.n_channels != len(names):
        raise ImPartialError(
            f"The model to continue from has {init.card.n_channels} channel(s) "
            f"({', '.join(init.card.channel_names)}), but the images have {len(names)}."
        )
    if n_classes > init.card.n_classes:
        raise ImPartialError(
            f"The scribbles have {n_classes} classes, but the model to continue from has "
            f"{init.card.n_classes}; train a new model to learn the new class."
        )
    return init.card.n_classes


def check_types(images: Sequence[Image], scribbles: Sequence[Scribbles]) -> None:
    """Check that lists of what scripts are asked for are given, not arrays or a single one."""
    for name, given, wanted, made in (
        ("images", images, Image, "core.data.image.from_array"),
        ("scribbles", scribbles, Scribbles, "core.data.scribbles.from_labels"),
    ):
        if not isinstance(given, Sequence) or not all(isinstance(one, wanted) for one in given):
            raise ImPartialError(
                f"The {name} to train on are a list of {wanted.__name__}; put a single one in "
                f"brackets, and make them of arrays with napari_impartial.{made}."
            )


def check_settings(model: ModelConfig, training: TrainingConfig) -> None:
    """Check what no single setting's bounds can."""
    stride = 1 << model.depth
    if training.patch_size % stride:
        raise ImPartialError(
            f"patch_size is {training.patch_size}; a network of depth {model.depth} needs a "
            f"multiple of {stride}."
        )
    if model.norm == "batch" and training.batch_size == 1 and training.patch_size == stride:
        raise ImPartialError(
            f"One patch of {stride} pixels is a single value at the deepest level, and nothing to "
            "normalize by; raise patch_size or batch_size."
        )
    if training.first_weights and not training.warm_start:
        raise ImPartialError(
            f"first_weights is {training.first_weights}, but without a warm start nothing begins "
            "with them; leave one of the two out."
        )
    weight = {
        "scribble": training.scribble_weight,
        "reconstruction": training.reconstruction_weight,
        "joint": training.scribble_weight + training.reconstruction_weight,
    }[training.objective]
    if weight <= 0:
        raise ImPartialError(
            f"The objective {training.objective} has no weight; raise scribble_weight or "
            "reconstruction_weight above 0."
        )


def nuclear_channel(training: TrainingConfig, channel_names: Sequence[str]) -> int | None:
    """Return the position of the channel that shows nuclei; None where none is named.

    Raises
    ------
    ImPartialError
        If there is no such channel, or nothing would be learned from it.
    """
    name = training.nuclear_channel
    if not name:
        return None
    if not training.implied_labels or training.objective == "reconstruction":
        raise ImPartialError(
            f"The nuclear channel is {name}, but nothing is learned from it without implied labels "
            "and strokes; leave it out, or switch implied_labels on."
        )
    found = find_channel(channel_names, name)
    if found is not None:
        return found
    if name.isdecimal() and int(name) < len(channel_names):
        return int(name)
    raise ImPartialError(
        f"There is no channel {name!r} to find nuclei in; there are "
        f"{count_channels(channel_names)}. Name one of these, or its number, counted from 0."
    )


def check_shapes(images: Sequence[Image], scribbles: Sequence[Scribbles]) -> None:
    """Check that each image's scribbles are of its size."""
    for image, drawn in zip(images, scribbles, strict=True):
        if image.shape != drawn.labels.shape:
            raise ImPartialError(
                f"The scribbles of {image.name} are {drawn.labels.shape} pixels, but the image "
                f"is {image.shape}; they have to be the same size."
            )


def check_channels(images: Sequence[Image]) -> None:
    """Check that all images have as many channels as the first."""
    first = images[0]
    for image in images[1:]:
        if image.n_channels != first.n_channels:
            raise ImPartialError(
                f"{image.name} has {image.n_channels} channel(s), but {first.name} "
                f"has {first.n_channels}; all images of a training need the same channels."
            )
