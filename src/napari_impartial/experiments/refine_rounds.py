"""The rounds of `refine`: annotate where a policy says, train on, score."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from napari_impartial.core.config import (
    ModelConfig,
    PredictionConfig,
    SuggestionConfig,
    TrainingConfig,
)

from .dataset import DataSet, check_truths, samples_with_truth

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_impartial.core.data.image import Image
    from napari_impartial.core.data.scribbles import Scribbles
    from napari_impartial.core.network.model_file import TrainedModel
    from napari_impartial.core.prediction.result import Prediction
    from napari_impartial.core.prediction.segment import Objects
    from napari_impartial.core.prediction.suggestions import Suggestion

    from .simulated_annotator import Annotator, Place

AT_ONCE = "at once"
POLICIES = ("heatmap", "entropy", "mutual-information", "diverse", "missed", "random")
# Suggestions to look through for each cell to annotate: at some there is none left, and
# the diverse choice needs something to choose from.
_SUGGESTIONS_PER_CELL = 4
_MOST_SUGGESTIONS = 500


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of all stages, and how figures are taken together over images.

    Of the cut those that were given; the model says the others.
    """

    model: ModelConfig
    training: TrainingConfig
    prediction: PredictionConfig
    cut: Mapping[str, Any]
    suggestions: SuggestionConfig
    pooling: str


@dataclasses.dataclass(frozen=True)
class Amounts:
    """Amount of annotation: rounds, and percent of the cells at the start and in each.

    And the percent that are annotated at once, for comparison.
    """

    rounds: int
    start_percent: float
    add_percent: float
    at_once: float | None = None


@dataclasses.dataclass(frozen=True)
class Data:
    """Images and truths of a data set, read once."""

    name: str
    style: str
    train: list[tuple[Image, NDArray[Any]]]
    test: list[tuple[Image, NDArray[Any]]]


def read(data: DataSet) -> Data:
    """Read a data set; each training image needs its truth.

    Raises
    ------
    ImPartialError
        If one has none.
    """
    check_truths(data)
    return Data(
        data.name, data.style, samples_with_truth(data.train), samples_with_truth(data.test)
    )


class Rounds:
    """The rounds of one data set with one seed, and what came out of them.

    Parameters
    ----------
    data : Data
    settings : Settings
    amounts : Amounts
    report : callable
        Gets how many trainings are done, the share of the running one, and a note.
    """

    def __init__(
        self,
        data: Data,
        settings: Settings,
        amounts: Amounts,
        report: Callable[[int, float, str], None],
    ) -> None:
        self.data, self.settings, self.amounts, self.report = data, settings, amounts, report
        self.results: list[dict[str, Any]] = []
        self._trainings = 0

    def run(self, seed: int, policies: Iterable[str]) -> list[dict[str, Any]]:
        """Do the first training and then the rounds of each policy."""
        import numpy as np

        policies = list(policies)
        start = self._begin(self.amounts.start_percent, seed)
        model = self._train(start, seed, None)
        score = self._score(model)
        for policy in policies:
            self._note(seed, policy, 0, start, score)
        if self.amounts.at_once is not None:
            self._at_once(self.amounts.at_once, seed)
        for policy in policies:
            annotator, current = start.copy(), model
            # the same stream for each policy
            rng = np.random.default_rng([seed, 1])
            for number in range(1, self.amounts.rounds + 1):
                self._annotate(annotator, current, policy, rng)
                current = self._train(annotator, seed, current)
                self._note(seed, policy, number, annotator, self._score(current))
        return self.results

    def _at_once(self, percent: float, seed: int) -> None:
        """Annotate so many percent at once, and train as long as all rounds together."""
        annotator = self._begin(percent, seed)
        model = self._train(annotator, seed, None, 1 + self.amounts.rounds)
        self._note(seed, AT_ONCE, self.amounts.rounds, annotator, self._score(model))

    def _begin(self, percent: float, seed: int) -> Annotator:
        """Return an annotator who has annotated so many percent of the cells."""
        from .simulated_annotator import Annotator

        truths = [truth for _, truth in self.data.train]
        annotator = Annotator(truths, self.settings.suggestions.box_px, self.data.style, seed)
        annotator.begin(percent)
        return annotator

    def _annotate(
        self, annotator: Annotator, model: TrainedModel, policy: str, rng: np.random.Generator
    ) -> None:
        """Annotate one round's cells."""
        wanted = max(1, round(self.amounts.add_percent / 100 * annotator.n_all))
        count = min(wanted, annotator.n_all - annotator.n_cells)
        if not count:
            return  # all cells are annotated
        results = [
            self._result(image, painted, model)
            for (image, _), painted in zip(self.data.train, annotator.scribbles(), strict=True)
        ]
        shown = [cells.labels for _, cells in results]
        places: Iterable[Place]
        if policy == "random":
            places = annotator.random_places(rng, 100 * count)
        elif policy == "missed":
            places = annotator.missed_cells(rng, shown)
        else:
            places = self._suggested(annotator, model, results, policy, count)
        done = annotator.annotate(places, count, shown)
        # Policies are compared at equal numbers of cells, so any that lack are made up for.
        annotator.annotate(annotator.random_cells(rng), count - done, shown)

    def _result(
        self, image: Image, painted: Scribbles, model: TrainedModel
    ) -> tuple[Prediction, Objects]:
        """Return what the annotator of a training image is shown."""
        from napari_impartial.core.prediction.predict import predict
        from napari_impartial.core.prediction.segment import find_objects

        prediction = predict(image, model, self.settings.prediction)
        cut = model.card.cut(self.settings.cut)
        return prediction, find_objects(prediction, cut, scribbles=painted.labels)

    def _suggested(
        self,
        annotator: Annotator,
        model: TrainedModel,
        results: Sequence[tuple[Prediction, Objects]],
        policy: str,
        count: int,
    ) -> list[Place]:
        """Return where a policy would have all training images annotated, best first."""
        from napari_impartial.core.data.image import normalize
        from napari_impartial.core.prediction.suggestions import rank_all

        from .diversity import appearance, diverse

        lists: list[list[Suggestion]] = []
        looks = {}
        wanted = min(_MOST_SUGGESTIONS, _SUGGESTIONS_PER_CELL * count)
        for index, ((image, _), painted, (prediction, cells)) in enumerate(
            zip(self.data.train, annotator.scribbles(), results, strict=True)
        ):
            found = self._suggest(prediction, painted.labels > 0, cells, policy, wanted, str(index))
            lists.append(found)
            if policy == "diverse":
                channels = normalize(image, *model.card.normalization)
                for one in found:
                    look = appearance(channels, prediction.foreground, one.box)
                    looks[one.image, one.y, one.x] = look
        ranked = rank_all(lists)[:wanted]
        if policy == "diverse":
            ranked = diverse(ranked, [looks[s.image, s.y, s.x] for s in ranked], len(ranked))
        return [(int(s.image), s.y, s.x) for s in ranked]

    def _suggest(
        self,
        prediction: Prediction,
        annotated: NDArray[np.bool_],
        cells: Objects,
        policy: str,
        count: int,
        name: str,
    ) -> list[Suggestion]:
        """Return one image's suggestions."""
        from napari_impartial.core.prediction.segment import heatmap
        from napari_impartial.core.prediction.suggestions import suggest

        heat = prediction.entropy
        if policy == "mutual-information":
            heat = prediction.mutual_information
        elif policy == "heatmap":
            heat = heatmap(prediction.entropy, cells.doubt)
        return suggest(
            heat,
            annotated,
            dataclasses.replace(self.settings.suggestions, count=count),
            probability=prediction.probability,
            mutual_information=prediction.mutual_information,
            instances=cells.labels,
            image=name,
        )

    def _train(
        self, annotator: Annotator, seed: int, init: TrainedModel | None, times: int = 1
    ) -> TrainedModel:
        """Train on all that is annotated, from the last model on, or so many times as long."""
        from napari_impartial.cli.progress import Ended, drive, progress_note
        from napari_impartial.core.training.fit import fit

        done = self._trainings
        config = self.settings.training
        config = dataclasses.replace(
            config,
            seed=seed,
            time_budget_s=times * config.time_budget_s,
            max_steps=times * config.max_steps,
        )
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
            raise Ended(stopped)
        self._trainings += 1
        return model

    def _score(self, model: TrainedModel) -> dict[str, Any]:
        """Score a model on the test images."""
        from napari_impartial.core.instances.cutter import to_instances
        from napari_impartial.core.instances.metrics import evaluate
        from napari_impartial.core.prediction.predict import predict

        config = model.card.cut(self.settings.cut)
        labels = [
            to_instances(predict(image, model, self.settings.prediction), config)
            for image, _ in self.data.test
        ]
        truths = [truth for _, truth in self.data.test]
        scores = evaluate(truths, labels, self.settings.pooling)
        return {**dataclasses.asdict(scores), "steps": model.card.steps}

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
                "mended": annotator.n_mended,
                **score,
            }
        )
