"""The state of one annotation session: plain Python, no widgets, no layers.

Panels and layers are views of this. What changes is announced by the signals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

import numpy as np
from psygnal import Signal

from napari_impartial.core.config import InstanceConfig
from napari_impartial.core.data.channels import match_channels
from napari_impartial.core.data.scribbles import Scribbles, check_trainable
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.network.model_card import ModelCard
from napari_impartial.core.prediction.result import Prediction
from napari_impartial.core.review.round_changes import makers

from .class_names import ClassNames
from .image_record import ImageRecord
from .plane import Plane, PlaneIndex, PlaneKey, TrainingItem
from .rounds import Round, Rounds

# More names than that nobody reads in one line.
_NAMED = 6

CHANNEL_ADVICE = "tick and name the channels to fit, in the table of channels"


class Activity(StrEnum):
    """Background activity."""

    IDLE = "idle"
    TRAINING = "training"
    PAUSED = "paused"
    STOPPING = "stopping"
    PREDICTING = "predicting"


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
        self.rounds = Rounds()
        self.instance_config = InstanceConfig()
        self.class_names = ClassNames()
        self.class_names.changed.connect(self.changed)
        # What computes on this machine; a model may come from another one.
        self.device = "auto"
        self._activity = Activity.IDLE

    @property
    def activity(self) -> Activity:
        """Background activity."""
        return self._activity

    @activity.setter
    def activity(self, value: Activity) -> None:
        self._activity = value
        self.changed.emit()

    @property
    def busy(self) -> bool:
        """Return whether a training or prediction is under way."""
        return self._activity is not Activity.IDLE

    @property
    def card(self) -> ModelCard | None:
        """The card of the present model."""
        return self.rounds.card

    @property
    def model_path(self) -> Path | None:
        """The file of the present model."""
        return self.rounds.model_path

    def planes(self) -> Iterator[tuple[PlaneKey, Plane]]:
        """Go through the planes of all images."""
        for key, record in self.images.items():
            for index, plane in record.planes.items():
                yield (key, index), plane

    def status(self, record: ImageRecord) -> str:
        """Say how far an image has come, in a few words."""
        words = []
        if n := len(record.annotated):
            words.append("scribbled" if n == 1 else f"{n} planes scribbled")
        predicted = [plane for plane in record.planes.values() if plane.prediction is not None]
        stale = [plane.predicted_by for plane in predicted if self.rounds.is_stale(plane)]
        if record.on_disk is not None:
            by = record.on_disk.predicted_by
            words.append(f"predicted by {makers([by])}" if self.rounds.is_old(by) else "predicted")
        elif record.is_slide:
            words.append("slide")
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
        self,
        key: int | None,
        name: str = "",
        channel_names: Sequence[str] = ("channel 1",),
        is_slide: bool = False,
    ) -> None:
        """Put an image in front of the user."""
        self.current = key
        if key is not None:
            self.add(key, name, channel_names, is_slide)
        else:
            self.changed.emit()

    def add(
        self, key: int, name: str, channel_names: Sequence[str], is_slide: bool = False
    ) -> None:
        """Make an image part of the session, or note its new name and channels, and its size."""
        names = tuple(channel_names)
        record = self.images.setdefault(key, ImageRecord(key, name, names))
        record.name, record.channel_names, record.is_slide = name, names, is_slide
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
        self.rounds.forget_planes(places)
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
            check_trainable(
                [Scribbles(np.array([sorted(classes)], dtype=np.uint8))], self.class_names.of
            )
        except ImPartialError as error:
            return str(error)
        return ""

    def goes_on(self) -> bool:
        """Return whether a training goes on from the present model; if not, it begins anew.

        It does where that has the channels of the image in front, and all classes that are painted.
        """
        if self.card is None or self.record is None:
            return False
        if _mismatch(self.record, self.card.channel_names, "the model was trained on"):
            return False
        painted = [
            label
            for record in self.images.values()
            if record.annotated and not self._unlike_current(record)
            for plane in record.planes.values()
            for label in plane.classes
        ]
        return max(painted, default=0) <= self.card.n_classes

    def named_card(self) -> ModelCard | None:
        """Return the present model's card with the names that its classes have by now."""
        card = self.card
        if card is None:
            return None
        return replace(card, class_names=self.class_names.card(card.n_classes))

    def missing_for_prediction(self, key: int | None = None) -> str:
        """Say what predicting an image still needs, in one sentence; empty if nothing.

        Without `key` the image is the one in front.
        """
        record = self.record if key is None else self.images.get(key)
        if record is None:
            return "Choose an image first."
        if self.card is None:
            return "Train a model or load one first."
        if record.is_slide:
            return (
                f"'{record.name}' is a slide: take a field of it in step 1, or predict all of it "
                "in step 4."
            )
        return _mismatch(record, self.card.channel_names, "the model was trained on")

    def missing_for_slide(self, key: int) -> str:
        """Say what predicting all of a slide still needs, in one sentence; empty if nothing."""
        record = self.images.get(key)
        if record is None:
            return "Choose an image first."
        if self.card is None:
            return "Train a model on fields of the slide, or load one first."
        return _mismatch(record, self.card.channel_names, "the model was trained on")

    def set_reviewed(self, reviewed: bool) -> None:
        """Note whether the image in front has been looked through."""
        if self.record is not None:
            self.record.reviewed = reviewed
            self.changed.emit()

    def set_model(self, path: Path, card: ModelCard) -> None:
        """Make a model the current one that no round of this session made."""
        self.rounds.load(path, card, self.planes())
        self.class_names.follow_model(card.class_names[1:])
        self.changed.emit()

    def forget_models(self) -> None:
        """Be without a model and rounds, as at the start."""
        self.rounds = Rounds()
        self.class_names.clear()
        self.changed.emit()

    def add_round(
        self, path: Path, card: ModelCard, annotated_px: int, annotated_cells: int = 0
    ) -> Round:
        """Keep a finished training and make its model the current one."""
        added = self.rounds.add(path, card, annotated_px, annotated_cells, self.planes())
        self.changed.emit()
        return added

    def go_back(self, to: Round) -> list[PlaneKey]:
        """Go back to a round (:meth:`Rounds.go_back`); return the planes that it changes."""
        replaced = self.rounds.go_back(to, self.planes())
        self.changed.emit()
        return replaced

    def score_round(self, items: Sequence[TrainingItem]) -> None:
        """Judge the present round by what is about to be learned (:meth:`Rounds.score`)."""
        self.rounds.score(items, self.planes())

    def set_prediction(self, key: int, index: PlaneIndex, prediction: Prediction) -> None:
        """Keep the prediction of a plane; what was made from the last one is dropped."""
        self.images[key].plane(index).set_prediction(prediction, self.rounds.model_number)
        self.changed.emit()


def _mismatch(record: ImageRecord, want: Sequence[str], other: str) -> str:
    try:
        match_channels(record.channel_names, want, f"'{record.name}'", other, CHANNEL_ADVICE)
    except ImPartialError as error:
        return str(error)
    return ""
