"""Outline the cells of images with a trained model.

Writes for each image NAME into --out:
  NAME_instances.tif      cells, numbered from 1 (int32)
  NAME_probability.tif    foreground probability (float32); with several foreground
                          classes one channel for each
  NAME_entropy.tif        uncertainty, 0 sure to 1 unsure (float32)
  NAME_suggestions.json   places to scribble next, best first
  NAME_measurements.csv   a row for each cell
Planes of a stack are predicted one by one and put back together. Of slides, and with
--format zarr, the first three are one OME-Zarr store, NAME.ome.zarr (--format). IMAGE may be a
folder, a pattern or an OME-Zarr plate as well; summary.csv then tells what became of each image.
How a model predicts and how its maps are cut is what its preset says, unless options say otherwise.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_impartial.core.config import InstanceConfig, PredictionConfig, SuggestionConfig
from napari_impartial.core.errors import ImPartialError

from . import slide
from .file_list import SUMMARY, Summary, find_images
from .inputs import (
    ImageFile,
    Reading,
    check_classes,
    check_distinct,
    check_not_inputs,
    check_one_each,
    fit_channels,
    read_image_file,
    read_scribbles,
    say_blank,
    stem,
)
from .options import add_reading, add_settings, given_settings, override
from .output import ProgressBar, ensure_folder, write_line
from .prediction_files import Settings, predict_file, result_files, write

if TYPE_CHECKING:
    from napari_impartial.core.data.scribbles import Scribbles
    from napari_impartial.core.network.model_card import ModelCard
    from napari_impartial.core.network.model_file import TrainedModel
    from napari_impartial.slides.engine import Engine

EPILOG = """\
example:
  napari-impartial predict a.tif b.tif --model cells.impartial --out results --samples 8
  napari-impartial predict plate.ome.zarr --model cells.impartial --out results --resume
  napari-impartial predict slide.svs.tif --model cells.impartial --out results --workers 8
  napari-impartial predict stack.tif --axes ZCYX --channels DAPI,CD8 \\
      --model cells.impartial --out results --threshold 0.6 --split components"""

# The reconstruction is not among the files, so asking for it would be in vain.
_UNUSED = ("reconstruction",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "images",
        nargs="+",
        type=Path,
        metavar="IMAGE",
        help="TIFF, OME-TIFF, OME-Zarr, PNG, JPEG or NPY; a folder of such, a pattern, or an "
        "OME-Zarr plate.",
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
    parser.add_argument(
        "--link",
        choices=("z", "t"),
        help="Cells of neighbouring planes that overlap become one cell with one number: through "
        "depth (z) or time (t). Rows of the table stay one a plane. Through time, NAME_tracks.csv "
        "and NAME_tracks.geff are written, too.",
    )
    add_reading(parser)
    slide.add_arguments(parser)
    add_settings(parser, InstanceConfig, "cutting instances")
    add_settings(parser, PredictionConfig, "prediction", skip=_UNUSED)
    add_settings(parser, SuggestionConfig, "suggestions")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Predict each image and write its five files."""
    if args.partial_masks and args.scribbles is None:
        raise ImPartialError("--partial-masks says how --scribbles are read; give these too.")
    reading = Reading.of(args)
    groups = reading.groups(find_images(args.images))
    names = [stem(paths[0]) for paths in groups]
    check_distinct(names)
    results = [path for name in names for path in result_files(name, args.out).values()]
    results += [slide.store_of(name, args.out) for name in names]
    given = [path for paths in groups for path in paths]
    check_not_inputs(results, [*given, *(args.scribbles or ()), args.model], "--out")
    if args.scribbles is not None:
        check_one_each(groups, args.scribbles)
    annotations: list[Path | None] = args.scribbles or [None] * len(groups)
    from napari_impartial.core.network.model_card import read_card

    card = read_card(args.model)
    reading = dataclasses.replace(reading, over_volume=card.scaled_over == "volume")
    settings = Settings(
        override(card.prediction, args, skip=_UNUSED),
        card.cut(given_settings(InstanceConfig, args)),
        override(SuggestionConfig(), args),
        (args.link or "").upper(),
    )
    run_ = _Run(args, settings, reading, card)
    if len(groups) == 1:
        # What is wrong with the only image is said before a folder is made.
        run_.check(groups[0], annotations[0])
    run_.out = ensure_folder(args.out)
    with run_.ends:
        if len(groups) == 1:
            entries = [run_.one(groups[0], names[0], annotations[0], "")]
            failed = 0
        else:
            entries, failed = _many(run_, groups, names, annotations)
    return {
        "model": args.model,
        "out": args.out,
        "images": entries,
        "failed": failed,
        "exit_status": 2 if failed else 0,
    }


def _many(
    run_: _Run,
    groups: Sequence[tuple[Path, ...]],
    names: Sequence[str],
    annotations: Sequence[Path | None],
) -> tuple[list[dict[str, Any]], int]:
    """Predict images one after the other, whatever becomes of any of them."""
    from napari_impartial.io.ome_zarr import well_of

    from .main import describe_error

    summary = Summary(run_.out / SUMMARY, run_.digest, run_.args.resume)
    entries: list[dict[str, Any]] = []
    failed = 0
    for number, (paths, name, drawn) in enumerate(zip(groups, names, annotations, strict=True)):
        image = paths[0]
        files = [*paths, run_.args.model, *([] if drawn is None else [drawn])]
        row = summary.done(image, files)
        if row is not None and run_.finished(name):
            entries.append({"image": image, "n_cells": int(row["cells"]), "skipped": True})
            continue
        well = ""
        try:
            well = well_of(image)
            entry = run_.one(paths, name, drawn, f"({number + 1}/{len(groups)})")
        except Exception as error:
            # Faults of the program, too: one image in hundreds should not cost the others.
            said = " ".join(describe_error(error)[1].split())
            failed += 1
            write_line(
                f"napari-impartial predict: {said if str(image) in said else f'{image}: {said}'}"
            )
            entries.append({"image": image, "error": said})
            summary.add(image, files, well, {}, said)
            continue
        entries.append(entry)
        summary.add(
            image,
            files,
            well,
            {
                "cells": entry["n_cells"],
                "area_px": entry["area_px"],
                **{f"class_{kind}": count for kind, count in entry["classes"].items()},
                "suggestions": entry["n_suggestions"],
                "seconds": f"{entry['seconds']:.1f}",
            },
        )
    if failed:
        write_line(
            f"napari-impartial predict: {failed} of {len(groups)} images failed; "
            f"{run_.out / SUMMARY} says which, and --resume tries these again."
        )
    return entries, failed


class _Run:
    """Predicts images with one model and one set of settings."""

    def __init__(
        self, args: argparse.Namespace, settings: Settings, reading: Reading, card: ModelCard
    ) -> None:
        self.args, self.out = args, args.out
        self._settings, self._reading, self._card = settings, reading, card
        self._model: TrainedModel | None = None
        self._engine: Engine | None = None
        self._opened: tuple[ImageFile, list[Scribbles] | None] | None = None
        self.ends = ExitStack()
        """Ends what was started."""

    @property
    def digest(self) -> str:
        """Stands for the model and the settings."""
        words = f"{self._settings}{self._reading}{self.args.format}{self.args.partial_masks}"
        content = hashlib.sha256(self.args.model.read_bytes())
        content.update(words.encode())
        return content.hexdigest()[:12]

    def large(self, paths: tuple[Path, ...]) -> bool:
        """Tell whether an image is predicted block by block."""
        wanted = self.args.format
        large = wanted == "zarr" or (wanted == "auto" and slide.is_large(paths, self._reading))
        if not large and (self.args.workers or self.args.scheduler):
            raise ImPartialError(
                "--workers and --scheduler are for images that are predicted block by block; add "
                "--format zarr."
            )
        return large

    def finished(self, name: str) -> bool:
        """Tell whether the results of an image are all there."""
        from napari_impartial.io.object_files import files_beside

        store = slide.store_of(name, self.out)
        small, large = result_files(name, self.out).values(), (store, *files_beside(store))
        return any(all(path.exists() for path in paths) for paths in (small, large))

    def check(self, paths: tuple[Path, ...], drawn: Path | None) -> None:
        """Read an image that fits into memory, and what is drawn on it."""
        if not self.large(paths):
            self._opened = self._open(paths, drawn)

    def one(
        self, paths: tuple[Path, ...], name: str, drawn: Path | None, count: str
    ) -> dict[str, Any]:
        """Predict an image and write its results."""
        started = time.perf_counter()
        with ProgressBar(f"{name} {count}".strip()) as bar:
            if self.large(paths):
                found = slide.predict(
                    self.args,
                    self._card,
                    self._settings,
                    self._workers,
                    paths,
                    name,
                    drawn,
                    bar.update,
                )
            else:
                found = self._small(paths, drawn, bar.update)
        return {"image": paths[0], **found, "seconds": time.perf_counter() - started}

    def _workers(self) -> Engine:
        """Return what works on blocks, which is started with the first image that needs it."""
        if self._engine is None:
            from napari_impartial.slides.engine import engine

            self._engine = self.ends.enter_context(engine(self.args.workers, self.args.scheduler))
        return self._engine

    def _small(
        self, paths: tuple[Path, ...], drawn: Path | None, report: Callable[[float], None]
    ) -> dict[str, Any]:
        from napari_impartial.core.network.model_file import load_model

        opened, self._opened = self._opened, None
        file, annotated = opened or self._open(paths, drawn)
        self._model = self._model or load_model(self.args.model)
        result = predict_file(file, self._model, self._settings, report, annotated)
        kinds = list(result.table["class"])
        return {
            **write(file, result, self.out),
            "n_cells": len(set(result.table["label"].tolist()))
            if self._settings.link
            else len(result.table["label"]),
            "area_px": int(result.table["area_px"].sum()),
            "classes": {
                name: kinds.count(number)
                for number, name in enumerate(self._card.class_names[1:], start=1)
            },
            "n_suggestions": len(result.suggestions),
        }

    def _open(
        self, paths: tuple[Path, ...], drawn: Path | None
    ) -> tuple[ImageFile, list[Scribbles] | None]:
        """Read an image with the channels of the model, and what is annotated on each plane."""
        file, args = read_image_file(paths, self._reading), self.args
        names, takes = self._card.channel_names, f"{args.model} takes"
        planes = [
            fit_channels(plane, names, self._reading, takes, file.guessed) for plane in file.planes
        ]
        if len(planes) == 1:  # blank planes are common in a stack
            say_blank(planes[0])
        file = dataclasses.replace(file, planes=planes)
        if drawn is None:
            return file, None
        kinds = self._card.class_names[1:]
        annotated = read_scribbles(drawn, file, args.partial_masks, args.axes, args.level, kinds)
        highest = max(int(one.labels.max()) for one in annotated)
        check_classes(drawn, highest, args.model, self._card.class_names)
        return file, annotated


def _kept(kept: int, blocks: int) -> str:
    """Say how much had been predicted before."""
    if not kept:
        return ""
    return ", cut anew from its maps" if kept == blocks else f", {kept} of {blocks} blocks kept"


def describe(result: dict[str, Any]) -> str:
    """Return the result in words."""
    lines = []
    for entry in result["images"]:
        if "error" in entry:
            lines.append(f"{entry['image']}: failed")
        elif entry.get("skipped"):
            lines.append(f"{entry['image']}: finished before, {entry['n_cells']} cells")
        else:
            made = entry.get("store") or entry["instances"]
            kept = "" if "blocks" not in entry else _kept(entry["blocks_kept"], entry["blocks"])
            lines.append(f"{made}: {entry['n_cells']} cells in {entry['seconds']:.1f} s{kept}")
    return "\n".join(lines)
