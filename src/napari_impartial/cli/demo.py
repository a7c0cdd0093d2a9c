"""Show the whole loop on sample data: in napari, or headless as a report.

With a screen napari opens with the sample and the ImPartial dock widget. Without one, or
with --headless, a model is trained on each of two samples (a stained section and a
tissue with several channels), and pictures, result files and one HTML report are
written.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_impartial.core.config import (
    InstanceConfig,
    ModelConfig,
    PredictionConfig,
    SuggestionConfig,
    TrainingConfig,
    get_preset,
)
from napari_impartial.core.words import shape_text

from .options import add_settings, flag, training_settings
from .output import ProgressBar, ensure_folder, markdown_table, number_text
from .screen import open_window, why_headless

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_impartial.core.data.image import Image
    from napari_impartial.core.data.scribbles import Scribbles
    from napari_impartial.core.network.model_file import TrainedModel

    from .demo_report import Chapter, Figure
    from .prediction_files import Result

EPILOG = """\
example:
  napari-impartial demo
  napari-impartial demo --headless --out demo-output --preset balanced"""

_WINDOW_SAMPLE = "multiplex_tissue"
_CLOSE_UP_PX = 160
_SETTINGS = ("preset", "time_budget_s", "max_steps", "seed", "device")


@dataclass(frozen=True)
class Sample:
    """Sample data with what to say of it.

    Attributes
    ----------
    truth : (Y, X) integer array or None
        Instance labels, where they are known.
    """

    name: str
    title: str
    text: str
    image: Image
    scribbles: Scribbles
    truth: NDArray[Any] | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--headless", action="store_true", help="Write a report even where there is a screen."
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("demo-output"),
        metavar="DIR",
        help="Folder for the report (default ./demo-output).",
    )
    add_settings(parser, TrainingConfig, "training (headless; the preset is fast)", only=_SETTINGS)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Open the window, or write the report."""
    reason = why_headless(args)
    if reason is None:
        if not args.json:
            print("Opening napari with the sample data; close it to end.", flush=True)
        reason = open_window(_WINDOW_SAMPLE)
        if reason is None:
            return {"mode": "window", "sample": _WINDOW_SAMPLE}
    if not args.json:
        print(f"Running headless: {reason}.", flush=True)
    model, training = training_settings(args, preset="fast")
    out = ensure_folder(args.out)
    return {"mode": "headless", "reason": reason, **write_report(out, model, training)}


def samples() -> Iterator[Sample]:
    """Yield the samples, one at a time."""
    from napari_impartial.samples import immunohistochemistry, multiplex_tissue

    image, scribbles = immunohistochemistry()
    yield Sample(
        "ihc",
        "Stained tissue section",
        "Immunohistochemistry of colon tissue, a real colour picture that comes with "
        "scikit-image, with strokes painted by hand in a few nuclei and between them. Nobody "
        "has outlined every nucleus here, so the result is judged by eye.",
        image,
        scribbles,
        None,
    )
    image, scribbles, truth = multiplex_tissue()
    yield Sample(
        "tissue",
        f"Multiplexed tissue, {image.n_channels} channels",
        "Made by the program: crowded and touching cells, an uneven background, noise. Every "
        "cell is known, so the result can be scored against the truth.",
        image,
        scribbles,
        truth,
    )


def write_report(out: Path, model: ModelConfig, training: TrainingConfig) -> dict[str, Any]:
    """Run the loop on each sample and write files, pictures and the report into `out`."""
    from napari_impartial import __version__
    from napari_impartial.io import atomic_path

    from .demo_report import page

    chapters, entries = [], []
    started = time.perf_counter()
    for sample in samples():
        with ProgressBar(sample.title) as bar:
            chapter, entry = _run_sample(sample, out, model, training, bar.update)
        chapters.append(chapter)
        entries.append(entry)
    budget = (
        f"{training.max_steps} steps" if training.max_steps else f"{training.time_budget_s:g} s"
    )
    introduction = (
        "From a few painted strokes to every cell: a small network is trained on the strokes "
        "alone, predicts the whole image, and says where it is unsure. Made by "
        f"napari-impartial {__version__} in {time.perf_counter() - started:.0f} seconds on "
        f"{os.cpu_count()} processor cores ({entries[0]['device']}), preset "
        f"{training.preset}, {budget} of training for each sample."
    )
    report = out / "report.html"
    with atomic_path(report) as temporary:
        temporary.write_text(page(introduction, chapters), encoding="utf-8")
    return {"out": out, "report": report, "samples": entries}


def _training_options(training: TrainingConfig) -> str:
    """Return the options that give these settings."""
    usual = get_preset(training.preset).training
    words = [flag("preset"), training.preset]
    for name in _SETTINGS:
        value = getattr(training, name)
        if value != getattr(usual, name):
            words += [flag(name), f"{value:g}" if isinstance(value, float) else str(value)]
    return " ".join(words)


def _run_sample(
    sample: Sample,
    out: Path,
    model_config: ModelConfig,
    training: TrainingConfig,
    report: Callable[[float, str], None],
) -> tuple[Chapter, dict[str, Any]]:
    """Train, predict, score and draw one sample; write its files."""
    from napari_impartial.core.instances.metrics import evaluate
    from napari_impartial.core.network.model_file import save_model
    from napari_impartial.core.training.fit import fit

    from .inputs import ImageFile
    from .prediction_files import Settings, predict_file, write
    from .progress import Ended, drive, progress_note

    image_path = _write_inputs(sample, out)
    model, stopped = drive(
        fit([sample.image], [sample.scribbles], model_config, training),
        lambda progress: report(0.9 * progress.fraction, progress_note(progress)),
    )
    if stopped:
        raise Ended(stopped)
    save_model(model, out / f"{sample.name}.impartial")
    plane = dataclasses.replace(sample.image, name=sample.name)
    file = ImageFile(image_path, sample.name, [plane], "", ())
    result = predict_file(
        file,
        model,
        Settings(PredictionConfig(), InstanceConfig(), SuggestionConfig()),
        lambda share: report(0.9 + 0.1 * share, "predicting"),
    )
    files = write(file, result, out)
    score = None
    if sample.truth is not None:
        score = dataclasses.asdict(evaluate([sample.truth], [result.instances]))
    figures = list(_figures(sample, result))
    _write_pictures(sample.name, figures, out)
    entry = {
        "sample": sample.name,
        "seconds": model.card.seconds,
        "steps": model.card.steps,
        "device": model.card.device,
        "n_cells": len(result.table["label"]),
        **(score or {}),
        **files,
    }
    return _chapter(sample, model, result, score, figures), entry


def _write_inputs(sample: Sample, out: Path) -> Path:
    """Write the sample itself, so that the commands in the report can be tried."""
    from napari_impartial.io import write_tiff

    path = out / f"{sample.name}.tif"
    write_tiff(path, sample.image.channels, "CYX", channel_names=sample.image.channel_names)
    write_tiff(out / f"{sample.name}_scribbles.tif", sample.scribbles.labels, "YX")
    if sample.truth is not None:
        write_tiff(out / f"{sample.name}_truth.tif", sample.truth, "YX")
    return path


def _figures(sample: Sample, result: Result) -> Iterator[Figure]:
    """Draw the pictures of one sample."""
    from napari_impartial.core.instances.cutter import count_objects

    from . import pictures
    from .demo_report import Figure

    factor = pictures.zoom_factor(sample.image.shape)
    base = pictures.composite(sample.image)
    size = f"{shape_text(sample.image.shape)} px; {', '.join(sample.image.channel_names)}."
    yield Figure("Image", size, pictures.enlarge(base, factor))
    yield Figure(
        "Scribbles",
        "All that the model learns from: orange in cells, blue in the background; "
        f"{_painted(sample.scribbles):.1%} of the pixels.",
        pictures.with_scribbles(base, sample.scribbles.labels, factor),
    )
    yield Figure(
        "Cells",
        f"Found: {len(result.table['label'])}, outlined in yellow.",
        pictures.with_outlines(base, result.instances, factor),
    )
    if sample.truth is None:
        field = pictures.crop_round(result.instances, _CLOSE_UP_PX)
        yield Figure(
            "Close-up",
            f"The {_CLOSE_UP_PX} px with the most cells.",
            pictures.with_outlines(
                base[field], result.instances[field], pictures.zoom_factor((_CLOSE_UP_PX,) * 2)
            ),
        )
    else:
        yield Figure(
            "Truth",
            f"The {count_objects(sample.truth)} true cells, in white; the model has not seen them.",
            pictures.with_outlines(base, sample.truth, factor, pictures.TRUTH_COLOUR),
        )
    probability = result.probability
    if result.class_axis:
        probability = probability.sum(axis=0)
    yield Figure(
        "Probability",
        "Of being part of a cell, from black (0) to white (1).",
        pictures.enlarge(pictures.grey(probability), factor),
    )
    yield Figure(
        "Uncertainty",
        "Where the model is unsure (bright), and the places to scribble next, best first.",
        pictures.with_suggestions(pictures.heatmap(result.entropy), result.suggestions, factor),
    )


def _painted(scribbles: Scribbles) -> float:
    """Share of the pixels that are annotated."""
    return float((scribbles.labels > 0).mean())


def _write_pictures(name: str, figures: list[Figure], out: Path) -> None:
    """Write each picture as PNG."""
    from PIL import Image as Pillow

    from napari_impartial.io import atomic_path

    for figure in figures:
        with atomic_path(out / f"{name}_{figure.title.lower()}.png") as temporary:
            Pillow.fromarray(figure.picture).save(temporary, "PNG")


def _chapter(
    sample: Sample,
    model: TrainedModel,
    result: Result,
    score: dict[str, Any] | None,
    figures: list[Figure],
) -> Chapter:
    """Put together what the report says of one sample."""
    from .demo_report import Chapter

    facts = {
        "Training": f"{model.card.seconds:.0f} s",
        "Steps": str(model.card.steps),
        "Painted": f"{_painted(sample.scribbles):.1%}",
        "Cells found": str(len(result.table["label"])),
    }
    if score is not None:
        facts |= {
            "True cells": str(score["n_true"]),
            "F1 at IoU 0.5": number_text(score["f1"]),
            "AP at IoU 0.5": number_text(score["ap"]),
            "Mean IoU": number_text(score["miou"]),
        }
    name = sample.name
    commands = (
        f"napari-impartial train {name}.tif --scribbles {name}_scribbles.tif "
        f"--model {name}.impartial {_training_options(model.card.training)}\n"
        f"napari-impartial predict {name}.tif --model {name}.impartial --out results"
    )
    if sample.truth is not None:
        commands += (
            f"\nnapari-impartial evaluate --pred results/{name}_instances.tif "
            f"--truth {name}_truth.tif"
        )
    return Chapter(
        sample.title,
        sample.text,
        facts,
        figures,
        [(place.rank, place.reason, place.score) for place in result.suggestions],
        model.card.history,
        commands,
    )


def describe(result: dict[str, Any]) -> str:
    """Return the scores, and where the report is."""
    if result["mode"] == "window":
        return "napari was closed."
    rows = [["sample", "training s", "cells found", "true cells", "F1@0.5"]]
    rows += [
        [
            entry["sample"],
            number_text(entry["seconds"], 0),
            str(entry["n_cells"]),
            number_text(entry.get("n_true")),
            number_text(entry.get("f1")),
        ]
        for entry in result["samples"]
    ]
    report = Path(result["report"]).resolve()
    return f"{markdown_table(rows)}\n\nReport: {report} (open it in a web browser)"
