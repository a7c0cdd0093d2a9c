"""The headless command that does what was just done in the window."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from napari.layers import Layer

from napari_impartial.core.config import (
    InstanceConfig,
    PredictionConfig,
    get_preset,
)
from napari_impartial.core.data.channels import is_generic, match_channels
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.network.model_card import ModelCard
from napari_impartial.gui.layers import Source
from napari_impartial.gui.layers.image_source import channel_name, names_of_channels
from napari_impartial.gui.layers.scribble_layers import scribble_name
from napari_impartial.gui.train.training_set import Training

PROGRAM = "napari-impartial"


@dataclass(frozen=True)
class Command:
    """Lines for a terminal, and the files that they need and that are not there yet.

    Attributes
    ----------
    text
        One command a line.
    to_save
        Pairs of a layer's name and the file to save it as.
    """

    text: str
    to_save: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Files:
    """Files of an image, and which of their channels, for the command line."""

    paths: tuple[str, ...]
    channels: tuple[str, ...]
    axes: str
    unsaved: tuple[tuple[str, str], ...] = ()

    @property
    def how(self) -> tuple[int, tuple[str, ...]]:
        return len(self.paths), self.channels


def training_command(training: Training, model: str) -> Command:
    """Return the command that trains as was done in the window.

    Raises
    ------
    ImPartialError
        If no single command can: the images keep their channels in different ways.
    """
    files = [_files(source, training.channel_names) for source in training.sources]
    first = files[0]
    for source, other in zip(training.sources, files, strict=True):
        if other.how != first.how:
            raise ImPartialError(
                f"'{source.name}' and '{training.sources[0].name}' keep their channels in "
                "different ways, which one command cannot say; save each as one file of the "
                "channels in use, open these and train again."
            )
    scribbles = [f"{scribble_name(source.name)}.tif" for source in training.sources]
    words = ["train", *(path for one in files for path in one.paths), "--scribbles", *scribbles]
    words += ["--model", model, *_reading(files, training.channel_names)]
    if training.init is not None:
        words += ["--init", str(training.init)]
    if any(training.class_names):
        words += ["--class-names", *training.class_names]
    preset = get_preset(training.training.preset)
    words += ["--preset", preset.name, *_differences(training.training, preset.training)]
    if training.init is None:
        words += _differences(training.model, preset.model)
    layers = [
        (scribble_name(source.name), name)
        for source, name in zip(training.sources, scribbles, strict=True)
    ]
    return Command(_line(words), (*_unsaved(files), *layers))


def prediction_command(
    sources: Sequence[Source],
    prediction: PredictionConfig,
    instances: InstanceConfig,
    model: str,
    card: ModelCard,
) -> Command:
    """Return the commands that predict images; one for all that are read in the same way.

    What the model's card says of prediction and cut need not be said again.
    """
    channel_names = card.channel_names
    files = [_files(source, channel_names) for source in sources]
    groups: dict[Any, list[_Files]] = {}
    for one in files:
        groups.setdefault((one.how, one.axes), []).append(one)
    lines = []
    for group in groups.values():
        words = ["predict", *(path for one in group for path in one.paths)]
        words += ["--model", model, "--out", "results", *_reading(group, channel_names)]
        words += _differences(prediction, card.prediction)
        words += _differences(instances, card.instances)
        lines.append(_line(words))
    return Command("\n".join(lines), _unsaved(files))


def _files(source: Source, channel_names: Sequence[str]) -> _Files:
    """Find the files of an image, and its channels in the order of the model."""
    order = match_channels(source.channel_names, channel_names, source.name, "the model has")
    layers = source.layers
    own = len(names_of_channels(source.primary, source.axes))
    paths = [_path(layer) for layer in layers]
    if len(layers) > 1 and len(set(paths)) == 1 and paths[0]:
        # One file whose reader made a layer of each channel: its names tell them apart,
        # where their order in the viewer would be a guess.
        names = [channel_name(layer) for layer in layers]
        return _Files((paths[0],), tuple(names[i] for i in order), "")
    places = [*source.channels, *(own + i for i in range(len(layers) - 1))]
    wanted = [places[i] for i in order]
    all_of_them = wanted == list(range(own + len(layers) - 1))
    unsaved = tuple(
        (str(layer.name), _file_name(layer))
        for layer, path in zip(layers, paths, strict=True)
        if not path
    )
    return _Files(
        tuple(path or _file_name(layer) for layer, path in zip(layers, paths, strict=True)),
        () if all_of_them else tuple(map(str, wanted)),
        source.axes,
        unsaved,
    )


def _reading(files: Sequence[_Files], channel_names: Sequence[str]) -> list[str]:
    """Return the options that say how images are read."""
    words: list[str] = []
    if len(files[0].paths) > 1:
        words += ["--files-per-image", str(len(files[0].paths))]
    # Axes of length one are dropped by readers, so the longest description serves all.
    axes = max((one.axes for one in files), key=len)
    if axes:
        words += ["--axes", axes]
    if files[0].channels:
        words += ["--channels", ",".join(files[0].channels)]
    if not is_generic(channel_names):
        words += ["--channel-names", *channel_names]
    return words


def _differences(config: Any, usual: Any) -> list[str]:
    """Return the options for all settings that are not as usual."""
    words: list[str] = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value == getattr(usual, field.name) or field.name == "preset":
            continue
        flag = "--" + field.name.replace("_", "-")
        if isinstance(value, bool):
            words.append(flag if value else "--no-" + flag[2:])
        else:
            words += [flag, f"{value!r}" if isinstance(value, float) else str(value)]
    return words


def _path(layer: Layer) -> str:
    """Return the file a layer was read from; empty if there is none."""
    path = layer.source.path
    return str(path) if path else ""


def _file_name(layer: Layer) -> str:
    return f"{layer.name}.tif"


def _unsaved(files: Sequence[_Files]) -> tuple[tuple[str, str], ...]:
    return tuple(dict.fromkeys(pair for one in files for pair in one.unsaved))


def _line(words: Sequence[str]) -> str:
    return shlex.join([PROGRAM, *words])
