"""The state of one annotation session: plain Python, no widgets, no layers.

Panels and layers are views of this. What changes is announced by the signals.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from napari_impartial.core.config import InstanceConfig
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.images import Image
from napari_impartial.core.model_card import ModelCard
from napari_impartial.core.results import Prediction
from napari_impartial.core.scribbles import Scribbles, check_trainable
from napari_impartial.core.uncertainty import Suggestion

PlaneIndex = tuple[int, ...]
"""Positions along the T and Z axes of a stack; () in 2D."""


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

    `prediction` and `instances` (Y, X) int32 are None until predicted; `image` is a copy
    made when it was first needed, `scribbles` the last that were read from the layer.
    """

    image: Image | None = None
    scribbles: Scribbles | None = None
    prediction: Prediction | None = None
    instances: npt.NDArray[np.int32] | None = None
    suggestions: list[Suggestion] = field(default_factory=list)
    visited: set[tuple[int, int]] = field(default_factory=set)


@dataclass
class ImageRecord:
    """One image of the session, by the key that its owner gave it."""

    key: int
    name: str
    n_channels: int
    planes: dict[PlaneIndex, Plane] = field(default_factory=dict)

    def plane(self, index: PlaneIndex) -> Plane:
        """Return what is known of a plane, nothing at first."""
        return self.planes.setdefault(index, Plane())

    @property
    def annotated(self) -> list[PlaneIndex]:
        """Planes with scribbles."""
        return [
            index
            for index, plane in sorted(self.planes.items())
            if plane.scribbles is not None and plane.scribbles.labels.any()
        ]

    @property
    def status(self) -> str:
        """How far this image has come, in a few words."""
        words = []
        if n := len(self.annotated):
            words.append("scribbled" if n == 1 else f"{n} planes scribbled")
        if any(plane.prediction is not None for plane in self.planes.values()):
            words.append("predicted")
        return ", ".join(words) or "new"


@dataclass(frozen=True)
class Round:
    """One training, kept so that it can be gone back to."""

    number: int
    model_path: Path
    card: ModelCard
    annotated_px: int


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
    """

    changed = Signal()
    result_changed = Signal(int)

    def __init__(self) -> None:
        self.images: dict[int, ImageRecord] = {}
        self.current: int | None = None
        self.plane_index: PlaneIndex = ()
        self.model_path: Path | None = None
        self.card: ModelCard | None = None
        self.rounds: list[Round] = []
        self.instance_config = InstanceConfig()
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
    def record(self) -> ImageRecord | None:
        """The image in front of the user."""
        return None if self.current is None else self.images.get(self.current)

    @property
    def plane(self) -> Plane | None:
        """The plane in front of the user."""
        return None if self.record is None else self.record.plane(self.plane_index)

    def choose(self, key: int | None, name: str = "", n_channels: int = 1) -> None:
        """Put an image in front of the user; its copies are dropped if its channels change."""
        self.current = key
        if key is not None:
            record = self.images.setdefault(key, ImageRecord(key, name, n_channels))
            record.name, record.n_channels = name, n_channels
        self.changed.emit()

    def forget_copies(self, key: int) -> None:
        """Drop the copies of an image's pixels, because other channels were chosen."""
        for plane in self.images[key].planes.values():
            plane.image = None

    def remove(self, key: int) -> None:
        """Take an image out of the session."""
        self.images.pop(key, None)
        if self.current == key:
            self.current = None
        self.changed.emit()

    def set_scribbles(self, key: int, scribbles: dict[PlaneIndex, Scribbles]) -> None:
        """Replace what is known of the scribbles of an image."""
        record = self.images[key]
        for plane in record.planes.values():
            plane.scribbles = None
        for index, value in scribbles.items():
            record.plane(index).scribbles = value
        self.changed.emit()

    def set_plane_scribbles(self, key: int, index: PlaneIndex, scribbles: Scribbles | None) -> None:
        """Replace what is known of the scribbles of one plane."""
        self.images[key].plane(index).scribbles = scribbles
        self.changed.emit()

    def scribbled(self) -> list[tuple[int, PlaneIndex, Scribbles]]:
        """Return the annotated planes that can be trained on together with the current image."""
        if self.record is None:
            return []
        found = []
        for record in self.images.values():
            if record.n_channels == self.record.n_channels:
                for index in record.annotated:
                    scribbles = record.planes[index].scribbles
                    assert scribbles is not None
                    found.append((record.key, index, scribbles))
        return found

    def missing_for_training(self) -> str:
        """Say what training still needs, in one sentence; empty if nothing."""
        if self.record is None:
            return "Choose an image first."
        items = self.scribbled()
        if not items:
            return "Paint a few strokes first: in some cells and in the background."
        try:
            check_trainable([scribbles for _, _, scribbles in items])
        except ImPartialError as error:
            return str(error)
        return ""

    def missing_for_prediction(self) -> str:
        """Say what predicting still needs, in one sentence; empty if nothing."""
        if self.record is None:
            return "Choose an image first."
        if self.card is None:
            return "Train a model or load one first."
        if self.card.n_channels != self.record.n_channels:
            return (
                f"The model was trained on {_channels(self.card.n_channels)} "
                f"({', '.join(self.card.channel_names)}), and '{self.record.name}' has "
                f"{self.record.n_channels} chosen."
            )
        return ""

    def set_model(self, path: Path, card: ModelCard) -> None:
        """Make a model the current one."""
        self.model_path, self.card = path, card
        self.changed.emit()

    def add_round(self, path: Path, card: ModelCard, annotated_px: int) -> Round:
        """Keep a finished training and make its model the current one."""
        self.rounds.append(Round(len(self.rounds) + 1, path, card, annotated_px))
        self.set_model(path, card)
        return self.rounds[-1]

    def set_prediction(self, key: int, index: PlaneIndex, prediction: Prediction) -> None:
        """Keep the prediction of a plane; what was made from the last one is dropped."""
        plane = self.images[key].plane(index)
        plane.prediction = prediction
        plane.instances, plane.suggestions, plane.visited = None, [], set()
        self.changed.emit()


def _channels(n: int) -> str:
    return "1 channel" if n == 1 else f"{n} channels"
