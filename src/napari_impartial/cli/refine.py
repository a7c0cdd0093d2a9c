"""Compare where to scribble next: at the model's suggestions, or at random places.

Starts from a few annotated cells, and in each round annotates as many more cells of the
training images with each policy, trains on from the last round's model, and scores the
test images. The annotator is simulated from the truth.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_impartial.core.config import (
    InstanceConfig,
    ModelConfig,
    PredictionConfig,
    SuggestionConfig,
    TrainingConfig,
)
from napari_impartial.core.errors import ImPartialError

from .benchmark import FIGURES, add_experiment_settings, check_seeds
from .dataset import DataSet, open_data_set, samples_with_truth
from .options import add_settings, comma_list, number, override, training_settings
from .output import ProgressBar, markdown_table, number_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_impartial.core.images import Image
    from napari_impartial.core.model_file import TrainedModel

    from .annotator import Annotator, Place

EPILOG = """\
example:
  napari-impartial refine data/nuclei --rounds 3 --start-percent 2 --add-percent 1 \\
      --preset fast --seeds 0,1,2"""

ALWAYS_DESCRIBE = True

POLICIES = ("entropy", "random")
# Suggestions to look through for each cell to annotate: at some there is none left.
_SUGGESTIONS_PER_CELL = 4


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of all stages."""

    model: ModelConfig
    training: TrainingConfig
    prediction: PredictionConfig
    instances: InstanceConfig
    suggestions: SuggestionConfig


@dataclasses.dataclass(frozen=True)
class Data:
    """Images and truths of a data set, read once."""

    name: str
    train: list[tuple[Image, NDArray[Any]]]
    test: list[tuple[Image, NDArray[Any]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "set", type=Path, metavar="SET", help="Folder of a data set; see benchmark --help."
    )
    parser.add_argument(
        "--rounds",
        type=number(1, 100, int),
        default=3,
        metavar="N",
        help="Rounds after the first training (default 3).",
    )
    parser.add_argument(
        "--policy",
        type=comma_list(str),
        default=list(POLICIES),
        metavar="P,..",
        help="entropy: at the model's suggestions; random: anywhere (default entropy,random).",
    )
    parser.add_argument(
        "--start-percent",
        type=number(0.01, 99.0),
        default=2.0,
        metavar="X",
        help="Percent of the cells annotated at the start, at random (default 2).",
    )
    parser.add_argument(
        "--add-percent",
        type=number(0.01, 99.0),
        default=1.0,
        metavar="X",
        help="Percent of the cells annotated in each round, at least one cell (default 1).",
    )
    parser.add_argument(
        "--seeds",
        type=comma_list(int),
        default=[0],
        metavar="N,..",
        help="Repeat with these seeds (default 0).",
    )
    add_experiment_settings(parser)
    add_settings(parser, SuggestionConfig, "suggestions", only=("box_px",))


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Do all rounds with each policy and seed."""
    unknown = [policy for policy in args.policy if policy not in POLICIES]
    if unknown:
        raise ImPartialError(
            f"There is no policy {unknown[0]!r}; choose from {', '.join(POLICIES)}."
        )
    check_seeds(args.seeds)
    # A training for each round, policy and seed: the quick preset unless asked otherwise.
    model, training = training_settings(args, preset="fast")
    settings = Settings(
        model,
        training,
        override(PredictionConfig(), args, skip=("reconstruction",)),
        override(InstanceConfig(), args),
        override(SuggestionConfig(), args),
    )
    data = _read(open_data_set(args.set))
    rounds = Rounds(data, settings, args)
    trainings = len(args.seeds) * (1 + args.rounds * len(args.policy))
    with ProgressBar("refining") as bar:
        rounds.report = lambda done, share, note: bar.update((done + share) / trainings, note)
        for seed in args.seeds:
            rounds.run(seed)
    return {
        "results": rounds.results,
        "summary": summarize(rounds.results),
        "settings": dataclasses.asdict(settings),
    }


def _read(data: DataSet) -> Data:
    """Read a data set; each training image needs its truth.

    Raises
    ------
    ImPartialError
        If one has none.
    """
    for sample in data.train:
        if sample.truth is None:
            raise ImPartialError(
                f"{sample.image} has no truth ({sample.name}_truth.tif), from which the "
                "annotation of the rounds is made."
            )
    return Data(data.name, samples_with_truth(data.train), samples_with_truth(data.test))


class Rounds:
    """The rounds of one data set, and what came out of them."""

    def __init__(self, data: Data, settings: Settings, args: argparse.Namespace) -> None:
        self.data, self.settings, self.args = data, settings, args
        self.results: list[dict[str, Any]] = []
        self.report: Callable[[int, float, str], None] = lambda *_: None
        self._trainings = 0

    def run(self, seed: int) -> None:
        """Do the first training and then the rounds of each policy."""
        import numpy as np

        from .annotator import Annotator

        truths = [truth for _, truth in self.data.train]
        start = Annotator(truths, self.settings.suggestions.box_px)
        rng = np.random.default_rng(seed)
        first = self._count(start, self.args.start_percent)
        start.annotate(start.random_cells(rng), first)
        model = self._train(start, seed, None)
        score = self._score(model)
        for policy in self.args.policy:
            self._note(seed, policy, 0, start, score)
        for policy in self.args.policy:
            annotator, current = start.copy(), model
            # the same stream for each policy
            rng = np.random.default_rng([seed, 1])
            for number_ in range(1, self.args.rounds + 1):
                self._annotate(annotator, current, policy, rng)
                current = self._train(annotator, seed, current)
                self._note(seed, policy, number_, annotator, self._score(current))

    def _count(self, annotator: Annotator, percent: float) -> int:
        return max(1, round(percent / 100 * annotator.n_all))

    def _annotate(
        self, annotator: Annotator, model: TrainedModel, policy: str, rng: np.random.Generator
    ) -> None:
        """Annotate one round's cells."""
        count = min(
            self._count(annotator, self.args.add_percent), annotator.n_all - annotator.n_cells
        )
        if policy == "entropy":
            places: Iterable[Place] = self._suggested(annotator, model, count)
        else:
            places = annotator.random_places(rng, 100 * count)
        done = annotator.annotate(places, count)
        # Policies are compared at equal numbers of cells, so any that lack are made up for.
        annotator.annotate(annotator.random_cells(rng), count - done)

    def _suggested(self, annotator: Annotator, model: TrainedModel, count: int) -> list[Place]:
        """Return the model's suggestions over all training images, best first."""
        from napari_impartial.core.instances import to_instances
        from napari_impartial.core.prediction import predict
        from napari_impartial.core.uncertainty import rank_all, suggest

        config = dataclasses.replace(
            self.settings.suggestions, count=min(500, _SUGGESTIONS_PER_CELL * count)
        )
        lists = []
        for index, ((image, _), painted) in enumerate(
            zip(self.data.train, annotator.scribbles(), strict=True)
        ):
            prediction = predict(image, model, self.settings.prediction)
            lists.append(
                suggest(
                    prediction.entropy,
                    painted.labels > 0,
                    config,
                    probability=prediction.probability,
                    mutual_information=prediction.mutual_information,
                    instances=to_instances(prediction.foreground, self.settings.instances),
                    image=str(index),
                )
            )
        return [(int(s.image), s.y, s.x) for s in rank_all(lists)]

    def _train(self, annotator: Annotator, seed: int, init: TrainedModel | None) -> TrainedModel:
        """Train on all that is annotated, from the last model on."""
        from napari_impartial.core.training import fit

        from .running import drive, progress_note

        done = self._trainings
        config = dataclasses.replace(self.settings.training, seed=seed)
        model, stopped = drive(
            fit(
                [image for image, _ in self.data.train],
                annotator.scribbles(),
                self.settings.model,
                config,
                init,
            ),
            lambda progress: self.report(done, progress.fraction, progress_note(progress)),
        )
        if stopped:
            raise KeyboardInterrupt
        self._trainings += 1
        return model

    def _score(self, model: TrainedModel) -> dict[str, Any]:
        """Score a model on the test images."""
        from napari_impartial.core.instances import to_instances
        from napari_impartial.core.metrics import evaluate
        from napari_impartial.core.prediction import predict

        labels = [
            to_instances(
                predict(image, model, self.settings.prediction).foreground,
                self.settings.instances,
            )
            for image, _ in self.data.test
        ]
        return dataclasses.asdict(evaluate([truth for _, truth in self.data.test], labels))

    def _note(
        self, seed: int, policy: str, round_: int, annotator: Annotator, score: dict[str, Any]
    ) -> None:
        """Keep one result."""
        self.results.append(
            {
                "set": self.data.name,
                "policy": policy,
                "seed": seed,
                "round": round_,
                "cells": annotator.n_cells,
                "percent": 100 * annotator.n_cells / annotator.n_all,
                "background_strokes": annotator.n_strokes,
                **score,
            }
        )


def summarize(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds, for each round and policy."""
    groups: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for result in results:
        groups.setdefault((result["round"], result["policy"]), []).append(result)
    rows = []
    for (round_, policy), runs in sorted(groups.items()):
        row: dict[str, Any] = {"round": round_, "policy": policy, "runs": len(runs)}
        for name in ("cells", "percent", "background_strokes", *FIGURES):
            values = [run[name] for run in runs]
            row[name] = statistics.fmean(values)
            row[f"{name}_std"] = statistics.stdev(values) if len(values) > 1 else None
        rows.append(row)
    return rows


def describe(result: dict[str, Any]) -> str:
    """Return F1 by round and policy as a Markdown table."""
    policies = list(dict.fromkeys(entry["policy"] for entry in result["summary"]))
    rows = [["round", "cells", "%", *(f"F1 {policy}" for policy in policies)]]
    for round_ in sorted({entry["round"] for entry in result["summary"]}):
        entries = {e["policy"]: e for e in result["summary"] if e["round"] == round_}
        first = entries[policies[0]]
        cells = [str(round_), f"{first['cells']:.0f}", number_text(first["percent"], 1)]
        for policy in policies:
            text = number_text(entries[policy]["f1"])
            deviation = entries[policy]["f1_std"]
            cells.append(text if deviation is None else f"{text} ± {number_text(deviation)}")
        rows.append(cells)
    return markdown_table(rows)
