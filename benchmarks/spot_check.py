"""How true the figures from sixty verdicts are: many samples against all objects.

    python -m benchmarks.spot_check SET=RESULTS ... [--units 60] [--seeds 200]

SET is a data set whose test images have their truth, RESULTS the folder that `predict` wrote for
these. Verdicts come from the truth at IoU 0.5. Prints, for each set and figure, the value over
all objects, the mean of the estimates, their spread, the mean width of the 95 % limits and how
many of 100 samples' limits hold the value.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from napari_impartial.cli.output import markdown_table
from napari_impartial.core.instances.metrics import evaluate
from napari_impartial.core.review.spot_check import PlaneLabels, draw
from napari_impartial.core.review.spot_report import estimate
from napari_impartial.core.review.spot_truth import answers_from_truth
from napari_impartial.io import read_labels

FIGURES = ("precision", "recall", "f1", "cells")


def rows_of(folder: Path, results: Path, units: int, seeds: int) -> list[list[str]]:
    """Return the rows of the table for one set."""
    truth_files = sorted((folder / "test").glob("*_truth.tif"))
    names = [file.name.removesuffix("_truth.tif") for file in truth_files]
    truths = [read_labels(file) for file in truth_files]
    preds = [read_labels(results / f"{name}_instances.tif") for name in names]
    planes = [PlaneLabels(i, labels) for i, labels in enumerate(preds)]
    exact = evaluate(truths, preds)
    right = exact.f1 * (exact.n_true + exact.n_pred) / 2
    values = (right / exact.n_pred, right / exact.n_true, exact.f1, exact.n_true)
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in FIGURES}
    for seed in range(seeds):
        check = draw(names, planes, units, seed)
        told = estimate(check, answers_from_truth(check, planes, truths))
        for name in FIGURES:
            one = getattr(told, name)
            found[name].append((one.value, one.low, one.high))
    rows = []
    for name, value in zip(FIGURES, values, strict=True):
        estimates, low, high = np.array(found[name]).T
        held = ((low - 1e-9 <= value) & (value <= high + 1e-9)).mean()
        number = "{:.0f}" if name == "cells" else "{:.3f}"
        figures = (value, estimates.mean(), estimates.std(), (high - low).mean())
        rows.append(
            [folder.name, name, *(number.format(figure) for figure in figures), f"{100 * held:.0f}"]
        )
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pairs", nargs="+", metavar="SET=RESULTS")
    parser.add_argument("--units", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=200)
    args = parser.parse_args()
    heading = ["set", "figure", "all objects", "mean of samples", "their spread", "mean width"]
    rows = [[*heading, "held, of 100"]]
    for pair in args.pairs:
        folder, results = pair.split("=")
        rows += rows_of(Path(folder), Path(results), args.units, args.seeds)
    print(markdown_table(rows))


if __name__ == "__main__":
    main()
