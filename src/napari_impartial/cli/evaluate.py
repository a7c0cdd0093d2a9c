"""Compare predicted instances with the truth: F1, AP, mAP, mIoU, mDice.

F1 and AP = TP / (TP + FP + FN) are taken at IoU 0.5, mAP is the mean AP at IoU 0.5,
0.55 ... 0.95; mIoU and mDice are means, over the true objects, of the best IoU and Dice.
Counts and means are taken over the objects of all images together, or with --pooling
authors as the paper's authors take them.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from napari_impartial.core.errors import ImPartialError

from .options import add_pooling
from .output import markdown_table, number_text

EPILOG = """\
example:
  napari-impartial evaluate --pred results/a_instances.tif results/b_instances.tif \\
      --truth a_truth.tif b_truth.tif"""

FIGURES = ("f1", "ap", "map", "miou", "mdice", "n_true", "n_pred")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--pred", nargs="+", type=Path, required=True, metavar="P", help="Predicted label images."
    )
    parser.add_argument(
        "--truth",
        nargs="+",
        type=Path,
        required=True,
        metavar="T",
        help="True label images, one for each prediction, in the same order.",
    )
    add_pooling(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Read all label images and compare them."""
    from napari_impartial.core.instances.metrics import evaluate
    from napari_impartial.io import read_labels

    if len(args.pred) != len(args.truth):
        raise ImPartialError(
            f"{len(args.pred)} predictions but {len(args.truth)} truths; "
            "give one truth for each prediction, in the same order."
        )
    truths, predictions = [], []
    for predicted, true in zip(args.pred, args.truth, strict=True):
        prediction, truth = read_labels(predicted), read_labels(true)
        if prediction.shape != truth.shape:
            raise ImPartialError(
                f"{predicted} is {_size(prediction.shape)} but {true} is "
                f"{_size(truth.shape)}; they have to lie on the same grid."
            )
        stacked = truth.ndim == 3
        truths += list(truth) if stacked else [truth]
        predictions += list(prediction) if stacked else [prediction]
    scores = dataclasses.asdict(evaluate(truths, predictions, args.pooling))
    found = {"images": len(truths), "pooling": args.pooling}
    return {**found, **{name: scores[name] for name in FIGURES}}


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)


def describe(result: dict[str, Any]) -> str:
    """Return the figures as a table."""
    names = ("F1@0.5", "AP@0.5", "mAP", "mIoU", "mDice", "true", "predicted")
    return markdown_table([names, [number_text(result[name]) for name in FIGURES]])
