"""Is it good enough? Precision, recall and counts, with intervals, from few verdicts.

A random sample of objects and places is judged, instead of all of them. With --truth the
verdicts are filled in from true labels (an object is right at IoU 0.5 and more), to see what a
sample would have told. With --image and --sheet the sample is written as a sheet and pictures
to be judged by hand; --verdicts reads the sheet back.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_impartial import __version__
from napari_impartial.core.config import SpotCheckConfig
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.words import count

from .inputs import Reading, check_not_inputs, read_image_file, stem
from .options import add_reading, add_settings, override
from .output import ensure_folder, markdown_table, write_line

if TYPE_CHECKING:
    from napari_impartial.core.review.spot_check import PlaneLabels, SpotCheck
    from napari_impartial.core.review.spot_report import Report
    from napari_impartial.io.content import Stack

EPILOG = """\
example:
  napari-impartial validate --pred results/*_instances.tif --image a.tif b.tif --sheet check
  (fill in the column 'verdict' of check/protocol.csv, with the pictures beside it)
  napari-impartial validate --verdicts check/protocol.csv

  napari-impartial validate --pred results/a_instances.tif --truth a_truth.tif"""

SHEET = "protocol.csv"
PICTURES = "pictures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--pred", nargs="+", type=Path, metavar="P", help="Predicted label images to draw from."
    )
    parser.add_argument(
        "--truth",
        nargs="+",
        type=Path,
        metavar="T",
        help="True label images, one for each prediction, in the same order: they give the "
        "verdicts.",
    )
    parser.add_argument(
        "--image",
        nargs="+",
        type=Path,
        metavar="IMAGE",
        help="Images, one for each prediction, in the same order, for pictures to judge by.",
    )
    parser.add_argument(
        "--sheet",
        type=Path,
        metavar="OUT",
        help=f"Folder for the sheet ({SHEET}) and the pictures; created if needed.",
    )
    parser.add_argument(
        "--verdicts", type=Path, metavar="FILE", help="A sheet with verdicts filled in."
    )
    parser.add_argument(
        "--groups",
        nargs="+",
        metavar="G",
        help="Well, slide or treatment of each prediction, for figures on each of these.",
    )
    add_settings(parser, SpotCheckConfig, "drawing the sample")
    add_reading(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Draw, write, or read and report."""
    _check(args)
    if args.verdicts is not None:
        from napari_impartial.core.review.spot_report import report
        from napari_impartial.io.spot_sheet import read_sheet

        check, answers = read_sheet(args.verdicts)
        if not answers:
            raise ImPartialError(
                f"{args.verdicts} has no verdict yet; fill in its column 'verdict'."
            )
        return _result(report(check, answers), by_eye=True)
    return _draw(args)


def _check(args: argparse.Namespace) -> None:
    """Refuse what does not go together."""
    drawing = (args.pred, args.truth, args.image, args.sheet, args.groups)
    if args.verdicts is not None:
        if any(drawing):
            raise ImPartialError(
                "--verdicts needs no other files: the sheet says what it was drawn from; leave "
                "the others out."
            )
        return
    if not args.pred:
        raise ImPartialError("Give label images with --pred, or a filled-in sheet with --verdicts.")
    if not args.truth and not args.sheet:
        raise ImPartialError(
            "Who is to judge? Give true labels with --truth, or --image and --sheet to judge by "
            "hand."
        )
    if args.sheet and not args.truth and not args.image:
        raise ImPartialError("Give the images with --image, so that there is something to judge.")
    for option, files in (("truth", args.truth), ("groups", args.groups)):
        if files and len(files) != len(args.pred):
            raise ImPartialError(
                f"--{option} has {len(files)} and --pred {len(args.pred)}; give one for each "
                "prediction, in the same order."
            )


def _draw(args: argparse.Namespace) -> dict[str, Any]:
    from napari_impartial.core.instances.metrics import evaluate
    from napari_impartial.core.review.spot_check import draw
    from napari_impartial.core.review.spot_report import report
    from napari_impartial.core.review.spot_truth import answers_from_truth
    from napari_impartial.io.labels import pair_planes
    from napari_impartial.io.region_files import open_labels_or_regions
    from napari_impartial.io.spot_sheet import write_sheet

    folder = None if args.sheet is None else _folder(args.sheet)
    others = args.truth or [None] * len(args.pred)
    pairs = list(zip(args.pred, others, strict=True))
    labels, truths, stacks = [], [], []
    for path, other in pairs:
        pred = open_labels_or_regions(path, other)
        stacks.append(pred.stack)
        if other is None:
            labels.append(list(pred.planes if pred.planes.ndim > 2 else pred.planes[None]))
            continue
        ours, theirs = pair_planes(pred, open_labels_or_regions(other, path))
        labels.append(ours)
        truths += theirs
    planes = _planes(labels)
    names = _names(args.pred)
    chosen = override(SpotCheckConfig(), args)
    check = draw(names, planes, chosen.units, chosen.seed, args.groups or ())
    answers, exact = {}, None
    if args.truth:
        answers = answers_from_truth(check, planes, truths)
        exact = evaluate(truths, [plane.labels for plane in planes])
    result: dict[str, Any] = {}
    if folder is not None:
        pictures = _write_pictures(args, check, planes, stacks, folder) if args.image else []
        write_sheet(folder / SHEET, check, answers, pictures)
        result = {"sheet": folder / SHEET, "images": len(names), "rows": len(check.units)}
    if exact is None:
        return result
    found = _result(report(check, answers), by_eye=False)
    right = exact.f1 * (exact.n_true + exact.n_pred) / 2
    found["exact"] = {
        "precision": right / max(exact.n_pred, 1),
        "recall": right / max(exact.n_true, 1),
        "f1": exact.f1,
        "cells": exact.n_true,
    }
    return {**result, **found}


def _folder(path: Path) -> Path:
    """Return the folder for a sheet; verdicts that lie there are not written over."""
    from napari_impartial.io.spot_sheet import read_sheet

    sheet = path / SHEET
    if sheet.exists():
        try:
            filled = bool(read_sheet(sheet)[1])
        except ImPartialError:
            filled = True
        if filled:
            raise ImPartialError(f"{sheet} may hold verdicts already; name another folder.")
    return ensure_folder(path)


def _planes(labels: Sequence[Sequence[Any]]) -> list[PlaneLabels]:
    """Return the planes of all images; those of one that has several are numbered."""
    from napari_impartial.core.review.spot_check import PlaneLabels

    return [
        PlaneLabels(image, plane, (at,) if len(own) > 1 else ())
        for image, own in enumerate(labels)
        for at, plane in enumerate(own)
    ]


def _names(paths: Sequence[Path]) -> list[str]:
    """Return what to call the images: as short as tells them apart."""
    names = [stem(path).removesuffix("_instances") for path in paths]
    names = names if len(set(names)) == len(names) else [str(path) for path in paths]
    if len(set(names)) < len(names):
        raise ImPartialError("--pred names a file twice; give each once.")
    return names


def _write_pictures(
    args: argparse.Namespace,
    check: SpotCheck,
    planes: Sequence[PlaneLabels],
    stacks: Sequence[Stack | None],
    folder: Path,
) -> list[str]:
    """Write a picture of each unit; return their names, seen from the folder.

    `stacks` is what the predictions say of their planes, None where one says nothing.
    """
    from .pictures import composite
    from .spot_pictures import picture_of, save

    reading = Reading.of(args)
    groups = reading.groups(args.image)
    if len(groups) != len(args.pred):
        raise ImPartialError(
            f"There are {len(groups)} images and {len(args.pred)} predictions; give one image for "
            "each prediction, in the same order."
        )
    names = [f"{PICTURES}/{at + 1:03d}.png" for at in range(len(check.units))]
    check_not_inputs([folder / name for name in names], [*args.image, *args.pred], "--sheet")
    (folder / PICTURES).mkdir(exist_ok=True)
    for image, paths in enumerate(groups):
        file = read_image_file(paths, reading)
        own = [plane for plane in planes if plane.image == image]
        stack = stacks[image]
        if len(own) != len(file.planes) or (stack and not stack.same_planes(file.stack)):
            mine = stack.describe() if stack else count(len(own), "plane")
            raise ImPartialError(
                f"{paths[0]} has {file.stack.describe()} and {args.pred[image]} has {mine}; they "
                "have to match."
            )
        for plane, pixels in zip(own, file.planes, strict=True):
            wanted = [
                (at, unit)
                for at, unit in enumerate(check.units)
                if (unit.image, unit.plane) == (image, plane.plane)
            ]
            if pixels.shape != plane.labels.shape:
                raise ImPartialError(
                    f"{paths[0]} is of another size than {args.pred[image]}; they have to match."
                )
            if wanted:
                whole = composite(pixels)
                for at, unit in wanted:
                    save(picture_of(check, unit, whole, plane.labels), folder / names[at])
    return names


def _result(found: Report, by_eye: bool) -> dict[str, Any]:
    from napari_impartial.core.review.spot_words import methods

    whole = found.overall
    if whole.precision is None and not whole.places:
        write_line("There is no verdict that says anything yet.")
    return {
        **dataclasses.asdict(whole),
        "open": found.open,
        "unsure": found.unsure,
        "seed": found.seed,
        "by_image": [
            {"name": part.name, **dataclasses.asdict(part.estimate)} for part in found.images
        ],
        "by_group": [
            {"name": part.name, **dataclasses.asdict(part.estimate)} for part in found.groups
        ],
        "outliers": [dataclasses.asdict(one) for one in found.outliers],
        "methods": methods(found, f"napari-impartial {__version__}") if by_eye else "",
        "text": _text(found),
    }


def _text(found: Report) -> str:
    """Return what a person reads: sentences, and a table of the parts."""
    from napari_impartial.core.review.spot_words import ROW_NAMES, row, sentences

    parts = [*(found.groups or ()), *(found.images if len(found.images) > 1 else ())]
    lines = sentences(found)
    if parts:
        rows = [ROW_NAMES, *(row(part.name, part.estimate) for part in parts)]
        lines += ["", markdown_table([*rows, row("all", found.overall)])]
    return "\n".join(lines)


def describe(result: dict[str, Any]) -> str:
    """Return what was found, or where the sheet lies."""
    parts = []
    if "sheet" in result:
        parts.append(
            f"{result['rows']} rows are in {result['sheet']}. Fill in the column 'verdict' "
            "('right', 'wrong outline', 'several cells', 'not a cell'; 'fine', 'missed cell'; "
            "'cannot tell') and, where it is not one cell, the column 'cells'; then run "
            f"napari-impartial validate --verdicts {result['sheet']}"
            if "text" not in result
            else f"The protocol is in {result['sheet']}."
        )
    if "text" in result:
        parts.append(result["text"])
    if "exact" in result:
        exact = result["exact"]
        parts.append(
            f"All objects compared with the truth: precision {exact['precision']:.3f}, recall "
            f"{exact['recall']:.3f}, F1 {exact['f1']:.3f}, {exact['cells']:,} cells."
        )
    if result.get("methods"):
        parts.append(f"For a Methods section: {result['methods']}")
    return "\n\n".join(parts)
