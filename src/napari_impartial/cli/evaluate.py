"""Compare predicted instances with the truth: F1, AP, mAP, mIoU, mDice.

F1 and AP = TP / (TP + FP + FN) are taken at IoU 0.5, mAP is the mean AP at IoU 0.5,
0.55 ... 0.95; mIoU and mDice are means, over the true objects, of the best IoU and Dice.
Counts and means are taken over the objects of all images together, or with --pooling
authors as the paper's authors take them.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_impartial.core.errors import ImPartialError, note

from .options import add_pooling
from .output import markdown_table, number_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

EPILOG = """\
example:
  napari-impartial evaluate --pred results/a_instances.tif results/b_instances.tif \\
      --truth a_truth.tif b_truth.tif"""

KINDS = "label images, ImageJ ROI files or GeoJSON"
FIGURES = ("f1", "ap", "map", "miou", "mdice", "n_true", "n_pred")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--pred", nargs="+", type=Path, required=True, metavar="P", help=f"Predicted {KINDS}."
    )
    parser.add_argument(
        "--truth",
        nargs="+",
        type=Path,
        required=True,
        metavar="T",
        help=f"True {KINDS}, one for each prediction, in the same order.",
    )
    add_pooling(parser)
    parser.add_argument(
        "--volumes",
        action="store_true",
        help="Compare the objects of stacks as wholes, through all planes, and not plane by plane.",
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Read all label images and compare them."""
    import numpy as np

    from napari_impartial.core.instances.metrics import evaluate
    from napari_impartial.io.labels import pair_planes
    from napari_impartial.io.region_files import open_labels_or_regions

    if len(args.pred) != len(args.truth):
        raise ImPartialError(
            f"{len(args.pred)} predictions but {len(args.truth)} truths; "
            "give one truth for each prediction, in the same order."
        )
    truths, predictions = [], []
    for predicted, true in zip(args.pred, args.truth, strict=True):
        theirs, ours = pair_planes(
            open_labels_or_regions(predicted, true), open_labels_or_regions(true, predicted)
        )
        _check_cells(true, ours)
        if args.volumes:
            theirs, ours = [np.stack(theirs)], [np.stack(ours)]
        predictions += theirs
        truths += ours
    scores = dataclasses.asdict(evaluate(truths, predictions, args.pooling))
    found = {"images": len(truths), "pooling": args.pooling}
    return {**found, **{name: scores[name] for name in FIGURES}}


def _check_cells(path: Path, planes: Sequence[NDArray[Any]]) -> None:
    """Say where a truth hardly has a number for each cell."""
    from napari_impartial.core.data.label_kinds import looks_like_strokes, pieces_of_one

    for plane in planes:
        pieces = pieces_of_one(plane) if plane.any() else 0
        if pieces > 4:
            note(
                f"{path} has one label in {pieces} pieces, which count as one cell; give each cell "
                "a number of its own."
            )
            return
        if plane.any() and looks_like_strokes(plane):
            note(
                f"{path} looks like strokes (1 background, 2 cells) and not like cells with a "
                "number each."
            )
            return


def describe(result: dict[str, Any]) -> str:
    """Return the figures as a table."""
    names = ("F1@0.5", "AP@0.5", "mAP", "mIoU", "mDice", "true", "predicted")
    return markdown_table([names, [number_text(result[name]) for name in FIGURES]])
