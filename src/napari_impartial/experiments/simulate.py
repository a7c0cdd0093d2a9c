"""Make the scribbles that an annotator might paint, from complete instance labels.

Cells in a few spots are annotated, and background beside them. Writes
NAME_scribbles.tif for each truth NAME.tif or NAME_truth.tif; planes without a cell stay blank.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from napari_impartial.cli.options import add_style, number
from napari_impartial.cli.output import ensure_folder
from napari_impartial.core.config import LARGEST_SEED, TrainingConfig, parameters
from napari_impartial.core.errors import ImPartialError

EPILOG = """\
example:
  napari-impartial simulate image_truth.tif --fraction 0.1 --out scribbles --seed 1
  napari-impartial simulate image_truth.tif --style lines --out scribbles"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "truths", nargs="+", type=Path, metavar="TRUTH", help="Label images, an id a cell."
    )
    parser.add_argument(
        "--fraction",
        type=number(0.0001, 1.0),
        default=0.1,
        metavar="X",
        help="Share of the cells to annotate, up to 1 (default 0.1).",
    )
    add_style(parser)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="Folder for the scribbles."
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="Replace files of scribbles that exist; they may be drawn by hand.",
    )
    seed = parameters(TrainingConfig)["seed"]
    parser.add_argument(
        "--seed",
        type=number(0, LARGEST_SEED, int),
        default=seed.default,
        metavar="N",
        help=f"Same seed, same scribbles (default {seed.default}).",
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Write scribbles for each label image."""
    import numpy as np

    from napari_impartial.cli.inputs import check_distinct, check_not_inputs, stem
    from napari_impartial.core.data.mask_scribbles import simulate
    from napari_impartial.io import write_tiff
    from napari_impartial.io.labels import open_labels

    from .dataset import no_cell

    names = [stem(path).removesuffix("_truth") for path in args.truths]
    check_distinct(names)
    files = [args.out / f"{name}_scribbles.tif" for name in names]
    check_not_inputs(files, args.truths, "--out")
    for file in files:
        if file.exists() and not args.overwrite:
            raise ImPartialError(
                f"{file} exists; choose another --out, delete it, or replace it with --overwrite."
            )
    truths = [open_labels(path) for path in args.truths]
    if not any(truth.array.any() for truth in truths):
        raise no_cell(args.truths)
    ensure_folder(args.out)
    rng = np.random.default_rng(args.seed)
    cells, annotated = 0, 0
    for file, labels in zip(files, truths, strict=True):
        # of a file that does not say what its planes are, the strokes say no more
        truth, axes = labels.in_order(), labels.axes
        if axes is None:
            truth, axes = truth.reshape(-1, *truth.shape[-2:]), "C"
        painted = np.zeros(truth.shape, np.uint8)
        for at in np.ndindex(truth.shape[:-2]):
            if truth[at].any():
                scribbles, ids = simulate(truth[at], args.fraction, rng, args.style)
                painted[at] = scribbles.labels
                cells += int(np.count_nonzero(np.unique(truth[at])))
                annotated += len(ids)
        write_tiff(file, painted, "".join(sorted(axes)) + "YX")
    return {
        "files": files,
        "cells": cells,
        "annotated": annotated,
        "seed": args.seed,
        "style": args.style,
    }


def describe(result: dict[str, Any]) -> str:
    """Return the result in words."""
    lines = [str(file) for file in result["files"]]
    lines.append(f"{result['annotated']} of {result['cells']} cells annotated.")
    return "\n".join(lines)
