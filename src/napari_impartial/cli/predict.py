"""Outline the cells of images with a trained model.

Writes for each image NAME into --out:
  NAME_instances.tif      cells, numbered from 1 (int32)
  NAME_probability.tif    foreground probability (float32); with several foreground
                          classes one channel for each
  NAME_entropy.tif        uncertainty, 0 sure to 1 unsure (float32)
  NAME_suggestions.json   places to scribble next, best first
  NAME_measurements.csv   a row for each cell
Planes of a stack are predicted one by one and put back together. How a model predicts and
how its maps are cut is what its preset says, unless options say otherwise.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_impartial.core.config import InstanceConfig, PredictionConfig, SuggestionConfig
from napari_impartial.core.errors import ImPartialError

from .inputs import (
    ImageFile,
    Reading,
    check_distinct,
    check_not_inputs,
    check_one_each,
    fit_channels,
    position,
    read_image_file,
    read_scribbles,
    say_blank,
    stem,
)
from .options import add_reading, add_settings, given_settings, override
from .output import ProgressBar, ensure_folder, to_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_impartial.core.data.scribbles import Scribbles
    from napari_impartial.core.network.model_file import TrainedModel
    from napari_impartial.core.prediction.suggestions import Suggestion

EPILOG = """\
example:
  napari-impartial predict a.tif b.tif --model cells.impartial --out results --samples 8
  napari-impartial predict stack.tif --axes ZCYX --channels DAPI,CD8 \\
      --model cells.impartial --out results --threshold 0.6 --split components"""

# The reconstruction is not among the files, so asking for it would be in vain.
_UNUSED = ("reconstruction",)


@dataclass(frozen=True)
class Settings:
    """Settings of the three stages."""

    prediction: PredictionConfig
    instances: InstanceConfig
    suggestions: SuggestionConfig


@dataclass(frozen=True)
class Result:
    """Everything that is written for one image file.

    Attributes
    ----------
    instances : (..., Y, X) int32
        Leading axes are the stack's.
    probability : (..., [K - 1,] Y, X) float32
        Foreground classes; no class axis if there is one only.
    entropy : (..., Y, X) float32
    class_axis : bool
        Whether `probability` has a class axis.
    table : dict of str to array
        Columns of the measurements.
    """

    instances: NDArray[np.int32]
    probability: NDArray[np.float32]
    entropy: NDArray[np.float32]
    class_axis: bool
    table: dict[str, NDArray[Any]]
    suggestions: list[Suggestion]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "images", nargs="+", type=Path, metavar="IMAGE", help="TIFF, OME-TIFF, PNG, JPEG or NPY."
    )
    parser.add_argument(
        "--model", type=Path, required=True, metavar="M", help="A model file made by train."
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="Folder for the results."
    )
    parser.add_argument(
        "--scribbles",
        nargs="+",
        type=Path,
        metavar="S",
        help="What is annotated already, one file for each image, in the same order: label "
        "images as for train, or ImageJ ROI zips. Suggestions stay clear of it.",
    )
    parser.add_argument(
        "--partial-masks",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="The scribble images are partial instance masks: some whole cells, an id each.",
    )
    add_reading(parser)
    add_settings(parser, InstanceConfig, "cutting instances")
    add_settings(parser, PredictionConfig, "prediction", skip=_UNUSED)
    add_settings(parser, SuggestionConfig, "suggestions")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Predict each image and write its five files."""
    if args.partial_masks and args.scribbles is None:
        raise ImPartialError("--partial-masks says how --scribbles are read; give these too.")
    reading = Reading.of(args)
    groups = reading.groups(args.images)
    names = [stem(paths[0]) for paths in groups]
    check_distinct(names, "--out")
    results = [path for name in names for path in result_files(name, args.out).values()]
    check_not_inputs(results, [*args.images, *(args.scribbles or ()), args.model], "--out")
    annotations = _annotations(args, len(groups))
    from napari_impartial.core.network.model_card import read_card

    card = read_card(args.model)
    settings = Settings(
        override(card.prediction, args, skip=_UNUSED),
        card.cut(given_settings(InstanceConfig, args)),
        override(SuggestionConfig(), args),
    )
    takes = f"{args.model} takes"
    # A long run should not end at the last file's channels.
    for paths, drawn in zip(groups, annotations, strict=True):
        only = _open(paths, reading, card.channel_names, takes)
        _annotated(only, drawn, args)
    out = ensure_folder(args.out)

    from napari_impartial.core.network.model_file import load_model

    model = load_model(args.model)
    entries = []
    for number, (paths, drawn) in enumerate(zip(groups, annotations, strict=True)):
        started = time.perf_counter()
        file = only if len(groups) == 1 else _open(paths, reading, card.channel_names, takes)
        annotated = _annotated(file, drawn, args)
        label = f"{file.name} ({number + 1}/{len(groups)})"
        with ProgressBar(label) as bar:
            result = predict_file(file, model, settings, bar.update, annotated)
        files = write(file, result, out)
        entries.append(
            {
                "image": file.path,
                **files,
                "n_cells": len(result.table["label"]),
                "n_suggestions": len(result.suggestions),
                "seconds": time.perf_counter() - started,
            }
        )
    return {"model": args.model, "out": out, "images": entries}


def _annotations(args: argparse.Namespace, n_images: int) -> list[Path | None]:
    """Return the annotation file of each image, if any were given.

    Raises
    ------
    ImPartialError
        If there are not as many as images.
    """
    if args.scribbles is None:
        return [None] * n_images
    check_one_each(range(n_images), args.scribbles)
    return list(args.scribbles)


def _annotated(
    file: ImageFile, drawn: Path | None, args: argparse.Namespace
) -> list[Scribbles] | None:
    """Read what is annotated already in an image file, plane by plane."""
    if drawn is None:
        return None
    return read_scribbles(drawn, file, args.partial_masks, args.axes)


def _open(
    paths: tuple[Path, ...], reading: Reading, names: tuple[str, ...], takes: str
) -> ImageFile:
    """Read an image with the channels of the model."""
    file = read_image_file(paths, reading)
    planes = [fit_channels(plane, names, reading, takes, file.guessed) for plane in file.planes]
    if len(planes) == 1:  # blank planes are common in a stack
        say_blank(planes[0])
    return dataclasses.replace(file, planes=planes)


def predict_file(
    file: ImageFile,
    model: TrainedModel,
    settings: Settings,
    report: Callable[[float], None],
    annotated: list[Scribbles] | None = None,
) -> Result:
    """Predict all planes of a file.

    Parameters
    ----------
    file : ImageFile
        With the model's channels.
    model : TrainedModel
    settings : Settings
    report : callable
        Gets the share done, 0 to 1.
    annotated : list of Scribbles, optional
        One for each plane; suggestions stay clear of it.
    """
    from napari_impartial.core.instances.measurements import measure
    from napari_impartial.core.prediction.predict import predict
    from napari_impartial.core.prediction.segment import find_objects, find_places
    from napari_impartial.core.prediction.suggestions import rank_all
    from napari_impartial.io.object_files import join_tables

    instances, probabilities, entropies, tables, suggestions = [], [], [], [], []
    for index, plane in enumerate(file.planes):

        def progress(share: float, index: int = index) -> None:
            report((index + share) / len(file.planes))

        prediction = predict(plane, model, settings.prediction, progress)
        objects = find_objects(prediction, settings.instances)
        foreground = prediction.probability[1:]
        instances.append(objects.labels)
        probabilities.append(foreground[0] if len(foreground) == 1 else foreground)
        entropies.append(prediction.entropy)
        tables.append(measure(objects.labels, plane, prediction.probability, prediction.entropy))
        drawn = None if annotated is None else annotated[index].labels
        found, _ = find_places(prediction, objects, drawn, settings.suggestions, image=plane.name)
        suggestions.append(found)
    return Result(
        _stack(instances, file),
        _stack(probabilities, file),
        _stack(entropies, file),
        probabilities[0].ndim == 3,
        join_tables(tables, [position(plane) if file.stack_axes else {} for plane in file.planes]),
        rank_all(suggestions)[: settings.suggestions.count],
    )


def _stack(planes: list[NDArray[Any]], file: ImageFile) -> NDArray[Any]:
    """Put planes back into the shape of the file's stack."""
    import numpy as np

    if not file.stack_axes:
        return planes[0]
    return np.stack(planes).reshape(*file.stack_shape, *planes[0].shape)


def result_files(name: str, out: Path) -> dict[str, Path]:
    """Return what each of the five files of an image is, and where."""
    from napari_impartial.io.object_files import object_files

    objects = object_files(name, out)
    return {
        "instances": objects["instances"],
        "probability": out / f"{name}_probability.tif",
        "entropy": out / f"{name}_entropy.tif",
        "suggestions": out / f"{name}_suggestions.json",
        "measurements": objects["measurements"],
    }


def write(file: ImageFile, result: Result, out: Path) -> dict[str, Path]:
    """Write the five files of an image, each whole or not at all.

    Returns
    -------
    dict of str to Path
        See :func:`result_files`.
    """
    from napari_impartial.core.atomic_write import atomic_path
    from napari_impartial.io import write_tiff
    from napari_impartial.io.object_files import write_table

    paths = result_files(file.name, out)
    first = file.planes[0]
    axes = file.stack_axes + "YX"
    class_axes = file.stack_axes + ("C" if result.class_axis else "") + "YX"
    for name, array, letters in (
        ("instances", result.instances, axes),
        ("probability", result.probability, class_axes),
        ("entropy", result.entropy, axes),
    ):
        write_tiff(
            paths[name],
            array,
            letters,
            pixel_size=first.pixel_size,
            pixel_unit=first.pixel_unit,
        )
    with atomic_path(paths["suggestions"]) as temporary:
        temporary.write_text(to_json(result.suggestions, indent=1) + "\n", encoding="utf-8")
    write_table(paths["measurements"], result.table)
    return paths


def describe(result: dict[str, Any]) -> str:
    """Return the result in words."""
    lines = [
        f"{entry['instances']}: {entry['n_cells']} cells in {entry['seconds']:.1f} s"
        for entry in result["images"]
    ]
    return "\n".join(lines)
