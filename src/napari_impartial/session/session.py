"""The state of one annotation session: plain Python, no widgets, no layers.

Panels and layers are views of this. What changes is announced by the signals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from napari_impartial.core.config import InstanceConfig
from napari_impartial.core.data.channels import match_channels
from napari_impartial.core.data.image import Image
from napari_impartial.core.data.scribbles import Scribbles, check_trainable, merge
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.cutter import count_objects
from napari_impartial.core.network.model_card import ModelCard
from napari_impartial.core.prediction.dismissed import Dismissal
from napari_impartial.core.prediction.result import Prediction
from napari_impartial.core.prediction.suggestions import Suggestion
from napari_impartial.core.review.annotation import annotation
from napari_impartial.core.review.review import Review
from napari_impartial.core.review.round_changes import (
    EARLIER,
    LOADED,
    UNKNOWN,
    PackedLabels,
    held_out_score,
    makers,
    unpacked,
)

PlaneIndex = tuple[int, ...]
"""Positions along the T and Z axes of a stack; () in 2D."""

PlaneKey = tuple[int, PlaneIndex]
"""Key of an image, and one of its planes."""


# More names than that nobody reads in one line.
_NAMED = 6

CHANNEL_ADVICE = "tick and name the channels to fit, in the table of channels"


class Activity(StrEnum):
    """What is going on in the background."""

    IDLE = "idle"
    TRAINING = "training"
    PAUSED = "paused"
    STOPPING = "stopping"
    PREDICTING = "predicting"


@dataclass
class Plane:
    """What is known of one plane of an image.

    `prediction`, `cut` (objects as cut from it) and `instances` (with the decisions of
    `review` laid over them; (Y, X) int32) are None until predicted; `predicted_by` is the
    number of the round that they are of (or `LOADED` and its like), and `cut_by` the settings
    that they were cut with, as far as they are known; `image` is a copy
    made when it was first needed, `scribbles` the last that were read from the layer.
    Arrays are replaced and never written to: threads may be reading them.
    `dismissed` are suggested places that looked fine, and
    `suggested_on` the scribbles that there were when `suggestions` were made. `previewed` says
    that the layers show what a training made of a part of the plane, and not these results.
    """

    image: Image | None = None
    scribbles: Scribbles | None = None
    prediction: Prediction | None = None
    predicted_by: int = UNKNOWN
    cut: npt.NDArray[np.int32] | None = None
    instances: npt.NDArray[np.int32] | None = None
    cut_by: InstanceConfig | None = None
    n_objects: int = 0
    suggestions: list[Suggestion] = field(default_factory=list)
    suggested_on: Scribbles | None = None
    visited: set[tuple[int, int]] = field(default_factory=set)
    review: Review = field(default_factory=Review)
    dismissed: list[Dismissal] = field(default_factory=list)
    previewed: bool = False
    _lesson: tuple[Review, object, Scribbles] | None = field(
        default=None, repr=False, compare=False
    )

    @property
    def annotation(self) -> Scribbles | None:
        """Scribbles and what the decisions teach, in one; strokes win where they disagree."""
        if not self.review.classes():
            return self.scribbles
        shown, lesson = self.instances, self._lesson
        stale = lesson is None or lesson[0] is not self.review
        if lesson is None or stale or (shown is not None and shown is not lesson[1]):
            labels = shown
            if labels is None:
                known = self.image if self.scribbles is None else self.scribbles
                if known is None:
                    return None
                labels = np.zeros(known.shape, dtype=np.int32)
            lesson = self._lesson = (self.review, shown, annotation(self.review, labels))
        taught = lesson[2]
        return taught if self.scribbles is None else merge(taught, self.scribbles)

    @property
    def classes(self) -> set[int]:
        """Labels that are annotated, by strokes or decisions; quick to tell."""
        painted = {} if self.scribbles is None else self.scribbles.counts()
        return {label for label, n in painted.items() if n} | self.review.classes()

    @property
    def n_annotated_cells(self) -> int:
        """Cells with strokes, and objects accepted or corrected."""
        painted = {} if self.scribbles is None else self.scribbles.cells()
        return len(self.review.kept) + sum(painted.values())

    @property
    def is_decided(self) -> bool:
        """Whether there is a decision about each object."""
        decided = self.review and len(self.review.kept) >= self.n_objects
        return self.instances is not None and bool(decided)


@dataclass
class ImageRecord:
    """One image of the session, by the key that its owner gave it.

    `asleep` are planes as they were before the image's pixels became of another size
    (:mod:`.misfits`).
    """

    key: int
    name: str
    channel_names: tuple[str, ...]
    planes: dict[PlaneIndex, Plane] = field(default_factory=dict)
    asleep: dict[PlaneIndex, Plane] = field(default_factory=dict)
    reviewed: bool = False

    @property
    def n_channels(self) -> int:
        """Number of channels in use."""
        return len(self.channel_names)

    def plane(self, index: PlaneIndex) -> Plane:
        """Return what is known of a plane, nothing at first."""
        return self.planes.setdefault(index, Plane())

    @property
    def annotated(self) -> list[PlaneIndex]:
        """Planes with scribbles."""
        return [index for index, plane in sorted(self.planes.items()) if plane.classes]

    @property
    def is_reviewed(self) -> bool:
        """Whether the user said so, or has decided on each object."""
        shown = [plane for plane in self.planes.values() if plane.instances is not None]
        return self.reviewed or (bool(shown) and all(plane.is_decided for plane in shown))


@dataclass(eq=False)
class Round:
    """One training, kept so that it can be gone back to.

    `masks` are the objects that it predicted, as they were when the next round began; empty
    for the round whose objects are shown, and for old ones when they take too much memory.
    `unseen` is the score on strokes painted after it (:mod:`.round_score`).
    """

    number: int
    model_path: Path
    card: ModelCard
    annotated_px: int
    annotated_cells: int = 0
    masks: dict[PlaneKey, npt.NDArray[np.int32] | PackedLabels] = field(default_factory=dict)
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

    def labels(self, place: PlaneKey) -> npt.NDArray[np.int32] | None:
        """Return the objects of one plane, if they are kept."""
        kept = self.masks.get(place)
        return None if kept is None else unpacked(kept)


@dataclass(frozen=True)
class TrainingItem:
    """One plane in the training set."""

    key: int
    plane: PlaneIndex
    image: Image
    scribbles: Scribbles


class Session:
    """All that one annotation session holds.

    Signals
    -------
    changed
        Anything that decides what can be done next.
    result_changed
        Prediction, instances or suggestions of an image, by its key.
    dropped
        Planes, a list of PlaneKey, whose results and decisions are gone with their image's shape.
    """

    changed = Signal()
    result_changed = Signal(int)
    dropped = Signal(list)

    def __init__(self) -> None:
        self.images: dict[int, ImageRecord] = {}
        self.current: int | None = None
        self.plane_index: PlaneIndex = ()
        self.model_path: Path | None = None
        self.card: ModelCard | None = None
        self.rounds: list[Round] = []
        self.round: Round | None = None
        self.instance_config = InstanceConfig()
        # What computes on this machine; a model may come from another one.
        self.device = "auto"
        self._activity = Activity.IDLE

    @property
    def activity(self) -> Activity:
        """What is going on in the background."""
        return self._activity

    @activity.setter
    def activity(self, value: Activity) -> None:
        self._activity = value
        self.changed.emit()

    @property
    def busy(self) -> bool:
        """Whether a training or prediction is under way."""
        return self._activity is not Activity.IDLE

    @property
    def model_number(self) -> int:
        """What is now noted as :attr:`Plane.predicted_by`."""
        if self.round is not None:
            return self.round.number
        return UNKNOWN if self.card is None else LOADED

    def is_current(self, plane: Plane) -> bool:
        """Whether a plane's objects are known to be of the present model."""
        return plane.predicted_by == self.model_number != UNKNOWN

    def is_stale(self, plane: Plane) -> bool:
        """Whether a plane's prediction is known to be of another than the present model.

        Of one that a session saved by an older version brought back nothing is known.
        """
        known = UNKNOWN not in (plane.predicted_by, self.model_number)
        return plane.prediction is not None and known and not self.is_current(plane)

    def status(self, record: ImageRecord) -> str:
        """Say how far an image has come, in a few words."""
        words = []
        if n := len(record.annotated):
            words.append("scribbled" if n == 1 else f"{n} planes scribbled")
        predicted = [plane for plane in record.planes.values() if plane.prediction is not None]
        stale = [plane.predicted_by for plane in predicted if self.is_stale(plane)]
        if stale:
            part = "" if len(stale) == len(predicted) else "partly "
            words.append(f"{part}predicted by {makers(stale)}")
        elif predicted:
            words.append("predicted")
        if record.is_reviewed:
            words.append("reviewed")
        return ", ".join(words) or "new"

    @property
    def record(self) -> ImageRecord | None:
        """The image in front of the user."""
        return None if self.current is None else self.images.get(self.current)

    @property
    def plane(self) -> Plane | None:
        """The plane in front of the user."""
        return None if self.record is None else self.record.plane(self.plane_index)

    def choose(
        self, key: int | None, name: str = "", channel_names: Sequence[str] = ("channel 1",)
    ) -> None:
        """Put an image in front of the user."""
        self.current = key
        if key is not None:
            self.add(key, name, channel_names)
        else:
            self.changed.emit()

    def add(self, key: int, name: str, channel_names: Sequence[str]) -> None:
        """Make an image part of the session, or note its new name and channels."""
        names = tuple(channel_names)
        record = self.images.setdefault(key, ImageRecord(key, name, names))
        record.name, record.channel_names = name, names
        self.changed.emit()

    def forget_copies(self, key: int) -> None:
        """Drop the copies of an image's pixels, because other channels were chosen."""
        for plane in self.images[key].planes.values():
            plane.image = None

    def remove(self, key: int) -> None:
        """Take an image out of the session."""
        record = self.images.pop(key, None)
        if self.current == key:
            self.current = None
        if record is not None:
            self.forget_planes([(key, index) for index in {*record.planes, *record.asleep}])
        self.changed.emit()

    def forget_planes(self, places: list[PlaneKey]) -> None:
        """Forget what rounds know of planes that are gone, or of another size for good."""
        for one in self.rounds:
            for place in places:
                one.masks.pop(place, None)
                one.learned.pop(place, None)
        if places:
            self.dropped.emit(places)

    def set_scribbles(self, key: int, scribbles: dict[PlaneIndex, Scribbles]) -> None:
        """Replace what is known of the scribbles of an image."""
        record = self.images[key]
        for index, plane in record.planes.items():
            if index not in scribbles:
                plane.scribbles = None
        for index, value in scribbles.items():
            plane = record.plane(index)
            # The same strokes stay the same object: what was counted on them still holds.
            if plane.scribbles is None or not np.array_equal(plane.scribbles.labels, value.labels):
                plane.scribbles = value
        self.changed.emit()

    def set_plane_scribbles(self, key: int, index: PlaneIndex, scribbles: Scribbles | None) -> None:
        """Replace what is known of the scribbles of one plane."""
        self.images[key].plane(index).scribbles = scribbles
        self.changed.emit()

    def scribbled(self) -> list[tuple[int, PlaneIndex, Scribbles]]:
        """Return the annotated planes that can be trained on together with the current image."""
        found = []
        for record in self.images.values():
            if record.annotated and not self._unlike_current(record):
                for index in record.annotated:
                    scribbles = record.planes[index].annotation
                    if scribbles is not None:
                        found.append((record.key, index, scribbles))
        return found

    def left_out(self) -> str:
        """Say which scribbled images cannot be trained on with the current one, and why."""
        reasons = {
            record.name: reason
            for record in self.images.values()
            if record.annotated and (reason := self._unlike_current(record))
        }
        if not reasons:
            return ""
        first = next(iter(reasons.values()))
        if len(reasons) == 1:
            return f"Not in the training: {first}"
        names = [f"'{name}'" for name in reasons]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return f"Not in the training: {', '.join(names[:_NAMED])}{more}. The first: {first}"

    def _unlike_current(self, record: ImageRecord) -> str:
        """Say how an image's channels differ from those of the one in front; empty if not."""
        if self.record is None:
            return "Choose an image first."
        return _mismatch(record, self.record.channel_names, f"'{self.record.name}' has")

    def missing_for_training(self) -> str:
        """Say what training still needs, in one sentence; empty if nothing."""
        if self.record is None:
            return "Choose an image first."
        # Told from the classes alone: this is asked at each stroke.
        classes: set[int] = set()
        for record in self.images.values():
            if record.annotated and not self._unlike_current(record):
                classes = classes.union(*(plane.classes for plane in record.planes.values()))
        if not classes:
            return "Paint a few strokes first: in some cells and in the background."
        try:
            check_trainable([Scribbles(np.array([sorted(classes)], dtype=np.uint8))])
        except ImPartialError as error:
            return str(error)
        return ""

    def goes_on(self) -> bool:
        """Whether a training goes on from the present model; if not, it begins anew.

        It does where that has the channels of the image in front, and all classes that are painted.
        """
        if self.card is None or self.missing_for_prediction():
            return False
        painted = [
            label
            for record in self.images.values()
            if record.annotated and not self._unlike_current(record)
            for plane in record.planes.values()
            for label in plane.classes
        ]
        return max(painted, default=0) <= self.card.n_classes

    def missing_for_prediction(self, key: int | None = None) -> str:
        """Say what predicting an image still needs, in one sentence; empty if nothing.

        Without `key` the image is the one in front.
        """
        record = self.record if key is None else self.images.get(key)
        if record is None:
            return "Choose an image first."
        if self.card is None:
            return "Train a model or load one first."
        return _mismatch(record, self.card.channel_names, "the model was trained on")

    def set_reviewed(self, reviewed: bool) -> None:
        """Note whether the image in front has been looked through."""
        if self.record is not None:
            self.record.reviewed = reviewed
            self.changed.emit()

    def set_model(self, path: Path, card: ModelCard) -> None:
        """Make a model the current one that no round of this session made."""
        self._leave_round()
        self.round, self.model_path, self.card = None, path, card
        self.changed.emit()

    def forget_models(self) -> None:
        """Be without a model and rounds, as at the start."""
        self.model_path, self.card, self.rounds, self.round = None, None, [], None
        self.changed.emit()

    def add_round(
        self, path: Path, card: ModelCard, annotated_px: int, annotated_cells: int = 0
    ) -> Round:
        """Keep a finished training and make its model the current one."""
        self._leave_round()
        number = 1 + max((one.number for one in self.rounds), default=0)
        self.round = Round(number, path, card, annotated_px, annotated_cells)
        self.rounds.append(self.round)
        self.model_path, self.card = path, card
        self.changed.emit()
        return self.round

    def go_back(self, to: Round) -> list[PlaneKey]:
        """Make an old round's model current again, and the objects that there were with it.

        Planes that it did not predict get those of the last round before it that did.
        Predictions of what is replaced are dropped; these planes are returned.
        """
        replaced = []
        self._leave_round()
        self.round, self.model_path, self.card = to, to.model_path, to.card
        until = [one for one in reversed(self.rounds) if one.number <= to.number]
        for key, record in self.images.items():
            for index, plane in record.planes.items():
                place = (key, index)
                kept = next((one for one in until if place in one.masks), None)
                # What was there then may be there still: not predicted again since.
                if plane.predicted_by <= to.number and (
                    kept is None or kept.number <= plane.predicted_by
                ):
                    continue
                replaced.append(place)
                labels = None if kept is None else kept.labels(place)
                plane.prediction, plane.suggestions, plane.visited = None, [], set()
                plane.predicted_by = UNKNOWN if kept is None else kept.number
                plane.cut, plane.instances, plane.cut_by = labels, labels, None
                plane.n_objects = 0 if labels is None else count_objects(labels)
        to.masks.clear()
        self.changed.emit()
        return replaced

    def _leave_round(self) -> None:
        """Keep the objects of the present round with it; its model is about to go."""
        number = self.model_number
        if self.round is not None:
            self.round.masks.clear()
        for key, record in self.images.items():
            for index, plane in record.planes.items():
                # Of what is not known, all that can be said is that it was there.
                of_this = plane.predicted_by in (number, UNKNOWN)
                if self.round is not None and of_this and plane.instances is not None:
                    self.round.masks[key, index] = plane.instances
                if plane.predicted_by in (LOADED, UNKNOWN):
                    plane.predicted_by = EARLIER

    def set_prediction(self, key: int, index: PlaneIndex, prediction: Prediction) -> None:
        """Keep the prediction of a plane; what was made from the last one is dropped."""
        plane = self.images[key].plane(index)
        plane.prediction, plane.predicted_by = prediction, self.model_number
        plane.cut = plane.instances = None
        plane.previewed = False
        plane.suggestions, plane.visited = [], set()
        self.changed.emit()


def _mismatch(record: ImageRecord, want: Sequence[str], other: str) -> str:
    try:
        match_channels(record.channel_names, want, f"'{record.name}'", other, CHANNEL_ADVICE)
    except ImPartialError as error:
        return str(error)
    return ""
