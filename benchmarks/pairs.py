"""On which kinds of image is ours better than a random forest?

``python -m benchmarks.pairs SET... [--factors 1,2] [--first-weights DIR] [--seconds 60]``

Each data set is trained on one way round (its training images, judged on its test images) and
the other; one without test images is cut into an upper and a lower half. With ``--factors 1,2``
the same is done with images twice as large (:mod:`benchmarks.enlarge`). Strokes are simulated in
10 % of the cells. Both methods get the same ones, and their maps the same automatic cut; the
forest, once more, with the best of many other cuts *chosen on the test images*. Weights that
have seen images of a set flatter ours: ``--first-weights`` names a folder of weights that have
not, SET.safetensors for each such set.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_impartial.core.api import train as train_network
from napari_impartial.core.config import TrainingConfig
from napari_impartial.core.data.scribbles import simulate
from napari_impartial.core.instances.cutter import to_instances
from napari_impartial.core.instances.metrics import evaluate
from napari_impartial.core.prediction.predict import predict
from napari_impartial.experiments.baselines.random_forest import (
    best_cut,
    forest_probability,
    train_forest,
)

from .enlarge import enlarged
from .real import Pair, parts_of

_ANNOTATED = 0.1
_METHODS = ("ours", "forest", "forest, best cut")


def f1_of(train: list[Pair], test: list[Pair], config: TrainingConfig) -> tuple[float, ...]:
    """F1 on the test images of what :data:`_METHODS` learn from strokes on the others."""
    rng = np.random.default_rng(config.seed)
    scribbles = [simulate(truth, _ANNOTATED, rng)[0] for _, truth in train]
    images, truths = [image for image, _ in train], [truth for _, truth in test]
    model = train_network(images, scribbles, config)
    ours = [to_instances(predict(image, model).foreground) for image, _ in test]
    forest = train_forest(images, scribbles, config.seed)
    maps = [1 - forest_probability(image, forest)[0] for image, _ in test]
    cut = [to_instances(seen) for seen in maps]
    return tuple(evaluate(truths, found).f1 for found in (ours, cut, best_cut(truths, maps)[1]))


def pairs_to_judge(
    folder: Path, factors: list[float]
) -> Iterator[tuple[str, list[Pair], list[Pair]]]:
    """Go through a set's parts, at all sizes: name, what to train on, what to judge."""
    for factor in factors:
        size = "" if factor == 1 else f", {factor:g} times as large"
        for part, both in parts_of(folder).items():
            train, test = ([enlarged(*pair, factor) for pair in pairs] for pairs in both)
            yield part + size, train, test


def main() -> None:
    """Judge all, print a row for each and what they come to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--factors", default="1", help="sizes, separated by commas")
    parser.add_argument("--first-weights", type=Path, metavar="DIR", help="see above")
    parser.add_argument("--seconds", type=float, default=TrainingConfig().time_budget_s)
    parser.add_argument("--steps", type=int, default=0, help="instead of seconds")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.first_weights is not None and not args.first_weights.is_dir():
        parser.error(f"there is no folder {args.first_weights}")
    factors = [float(factor) for factor in args.factors.split(",")]
    if min(factors) <= 0:
        parser.error(f"--factors has {min(factors):g}; all have to be greater than 0.")
    empty = [str(folder) for folder in args.sets if not parts_of(folder)]
    if empty:
        parser.error(f"no annotated images in {', '.join(empty)}")
    config = TrainingConfig(time_budget_s=args.seconds, max_steps=args.steps, seed=args.seed)
    print(f"| images | {' | '.join(_METHODS)} |\n{'|---' * (1 + len(_METHODS))}|")
    rows: list[tuple[float, ...]] = []
    for folder in args.sets:
        own = args.first_weights / f"{folder.name}.safetensors" if args.first_weights else None
        chosen = replace(config, first_weights=str(own)) if own and own.exists() else config
        weights = chosen.first_weights or "shipped"
        print(f"{folder.name}: first weights {weights}", file=sys.stderr)
        for name, train, test in pairs_to_judge(folder, factors):
            rows.append(f1_of(train, test, chosen))
            _print_row(name, rows[-1])
    _print_row("mean", np.mean(rows, axis=0).tolist())
    for number, method in enumerate(_METHODS[1:], start=1):
        below = sum(row[0] < row[number] for row in rows)
        print(f"below {method}: {below} of {len(rows)}")


def _print_row(name: str, figures: tuple[float, ...]) -> None:
    print(f"| {name} | {' | '.join(f'{figure:.3f}' for figure in figures)} |", flush=True)


if __name__ == "__main__":
    main()
