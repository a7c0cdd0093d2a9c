"""The rounds of training: numbers, models, masks and scores, and the way back to one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt

from napari_impartial.core.instances.cutter import count_objects
from napari_impartial.core.network.model_card import ModelCard
from napari_impartial.core.review.round_changes import (
    EARLIER,
    LOADED,
    UNKNOWN,
    NewStrokes,
    PackedLabels,
    held_out_score,
    unpacked,
    unseen_score,
)

from .plane import Labels, Plane, PlaneKey, TrainingItem

# Compressed masks of all rounds together; beyond that the oldest are given up.
MOST_MASK_BYTES = 256 << 20

Planes = Iterable[tuple[PlaneKey, Plane]]


@dataclass(eq=False)
class Round:
    """One training, kept so that it can be gone back to.

    `masks` are the objects that it predicted, as they were when the next round began; empty
    for the round whose objects are shown, and for old ones when they take too much memory.
    `unseen` is the score on strokes painted after it (:meth:`Rounds.score`).
    """

    number: int
    model_path: Path
    card: ModelCard
    annotated_px: int
    annotated_cells: int = 0
    masks: dict[PlaneKey, Labels | PackedLabels] = field(default_factory=dict)
    # The strokes that were learned from; not kept by the session on disk.
    learned: dict[PlaneKey, npt.NDArray[np.uint8]] = field(default_factory=dict, repr=False)
    unseen: float | None = None

    @property
    def objects(self) -> int | None:
        """Number of objects in the planes whose masks are kept; None without any."""
        counts = [
            kept.n_objects if isinstance(kept, PackedLabels) else count_objects(kept)
            for kept in self.masks.values()
        ]
        return sum(counts) if counts else None

    @property
    def held_out(self) -> float | None:
        """Score on held-out scribbles (:func:`held_out_score`)."""
        return held_out_score(self.card)

    def labels(self, place: PlaneKey) -> Labels | None:
        """Return the objects of one plane, if they are kept."""
        kept = self.masks.get(place)
        return None if kept is None else unpacked(kept)


class Rounds(Sequence[Round]):
    """All rounds of a session, first to last, and the model in force.

    Attributes
    ----------
    current : Round or None
        The round that the model is of; None for one that was loaded, and without any.
    model_path : Path or None
        File of the model.
    card : ModelCard or None
        Of the model.
    """

    def __init__(self) -> None:
        self._all: list[Round] = []
        self.current: Round | None = None
        self.model_path: Path | None = None
        self.card: ModelCard | None = None

    def __len__(self) -> int:
        return len(self._all)

    @overload
    def __getitem__(self, index: int) -> Round: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Round]: ...

    def __getitem__(self, index: int | slice) -> Round | Sequence[Round]:
        return self._all[index]

    @property
    def model_number(self) -> int:
        """Number that :attr:`Plane.predicted_by` gets for predictions of the present model."""
        if self.current is not None:
            return self.current.number
        return UNKNOWN if self.card is None else LOADED

    def of_number(self, number: int) -> Round | None:
        """Return the round of a number, if there is one."""
        return next((one for one in self._all if one.number == number), None)

    def before_current(self) -> Round | None:
        """Return the round before the present one, if there are both."""
        now = self.current
        earlier = [one for one in self._all if now is not None and one.number < now.number]
        return earlier[-1] if earlier else None

    def is_current(self, plane: Plane) -> bool:
        """Return whether a plane's objects are known to be of the present model."""
        return plane.predicted_by == self.model_number != UNKNOWN

    def is_old(self, predicted_by: int) -> bool:
        """Return whether results are known to be of another than the present model.

        Of those that a session saved by an older version brought back nothing is known.
        """
        now = self.model_number
        return UNKNOWN not in (predicted_by, now) and predicted_by != now

    def is_stale(self, plane: Plane) -> bool:
        """Return whether a plane's prediction is known to be of another than the present model."""
        return plane.prediction is not None and self.is_old(plane.predicted_by)

    def predicted(self, planes: Planes) -> Iterator[tuple[PlaneKey, Plane]]:
        """Go through the planes with objects of the present model."""
        for place, plane in planes:
            if self.is_current(plane) and plane.instances is not None:
                yield place, plane

    def objects(self, one: Round, planes: Planes) -> int | None:
        """Return how many objects a round has in the planes that it predicted."""
        if one is not self.current:
            return one.objects
        counts = [plane.n_objects for _, plane in self.predicted(planes)]
        return sum(counts) if counts else None

    def add(
        self, path: Path, card: ModelCard, annotated_px: int, annotated_cells: int, planes: Planes
    ) -> Round:
        """Keep a finished training and make its model the present one."""
        self._leave(planes)
        number = 1 + max((one.number for one in self._all), default=0)
        self.current = Round(number, path, card, annotated_px, annotated_cells)
        self._all.append(self.current)
        self.model_path, self.card = path, card
        return self.current

    def put_back(self, one: Round) -> None:
        """Take over a round of a session on disk; its model is not made the present one."""
        self._all.append(one)

    def load(self, path: Path, card: ModelCard, planes: Planes) -> None:
        """Make a model the present one that no round of this session made."""
        self._leave(planes)
        self.current, self.model_path, self.card = None, path, card

    def go_back(self, to: Round, planes: Planes) -> list[PlaneKey]:
        """Make an old round's model present again, and the objects that there were with it.

        Planes that it did not predict get those of the last round before it that did.
        Predictions of what is replaced are dropped; these planes are returned.
        """
        replaced = []
        planes = list(planes)
        self._leave(planes)
        self.current, self.model_path, self.card = to, to.model_path, to.card
        until = [one for one in reversed(self._all) if one.number <= to.number]
        for place, plane in planes:
            kept = next((one for one in until if place in one.masks), None)
            # What was there then may be there still: not predicted again since.
            if plane.predicted_by <= to.number and (
                kept is None or kept.number <= plane.predicted_by
            ):
                continue
            replaced.append(place)
            if kept is None:
                plane.go_back_to(None, UNKNOWN)
            else:
                plane.go_back_to(kept.labels(place), kept.number)
        to.masks.clear()
        return replaced

    def _leave(self, planes: Planes) -> None:
        """Keep the objects of the present round with it; its model is about to go."""
        now, number = self.current, self.model_number
        if now is not None:
            now.masks.clear()
        for place, plane in planes:
            # Of what is not known, all that can be said is that it was there.
            of_this = plane.predicted_by in (number, UNKNOWN)
            if now is not None and of_this and plane.instances is not None:
                now.masks[place] = plane.instances
            if plane.predicted_by in (LOADED, UNKNOWN):
                plane.predicted_by = EARLIER

    def forget_planes(self, places: Sequence[PlaneKey]) -> None:
        """Forget what is known of planes that are gone, or of another size for good."""
        for one in self._all:
            for place in places:
                one.masks.pop(place, None)
                one.learned.pop(place, None)

    def score(self, items: Sequence[TrainingItem], planes: Planes) -> None:
        """Judge the present round by strokes that it has not learned from.

        Parameters
        ----------
        items : sequence of TrainingItem
            What is about to be learned from. Only planes that the round predicted, and of
            which it is known what it learned, tell anything.
        planes : iterable of (PlaneKey, Plane)
        """
        now = self.current
        if now is None or not now.learned:
            return
        strokes, known = [], dict(planes)
        for item in items:
            place = item.key, item.plane
            plane = known.get(place)
            if plane is None or plane.prediction is None or not self.is_current(plane):
                continue
            labels, probability = item.scribbles.labels, plane.prediction.probability
            learned = now.learned.get(place)
            shapes = {labels.shape, probability.shape[1:]}
            if learned is not None:
                shapes.add(learned.shape)
            if len(shapes) == 1:
                strokes.append(NewStrokes(labels, learned, probability))
        score = unseen_score(strokes)
        now.unseen = now.unseen if score is None else score

    def loose_masks(self) -> list[tuple[Round, PlaneKey, Labels]]:
        """Return the masks that are not compressed yet."""
        return [
            (one, place, labels)
            for one in self._all
            for place, labels in one.masks.items()
            if not isinstance(labels, PackedLabels)
        ]

    def pack(self, packed: Sequence[tuple[Round, PlaneKey, Labels, PackedLabels]]) -> None:
        """Take masks that were compressed; give the oldest up where they are too many."""
        for one, place, labels, small in packed:
            if one.masks.get(place) is labels:
                one.masks[place] = small
        total = 0
        for one in reversed(self._all):
            total += sum(
                len(m.data) if isinstance(m, PackedLabels) else m.nbytes for m in one.masks.values()
            )
            if total > MOST_MASK_BYTES:
                one.masks.clear()
