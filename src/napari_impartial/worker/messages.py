"""Messages between the window and its training process, and their transport.

Messages are small frozen dataclasses. Arrays in them travel as raw buffers behind a
short pickled head (pickle protocol 5), so that an image of a hundred megabytes is
written to the pipe as it lies in memory instead of being copied into a pickle while
holding the interpreter. Both ends are this program: the pipe is made by the window and
handed to the child alone.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_impartial.core.config import (
    InstanceConfig,
    ModelConfig,
    PredictionConfig,
    SuggestionConfig,
    TrainingConfig,
)
from napari_impartial.core.data.image import Image
from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.network.model_card import ModelCard
from napari_impartial.core.prediction.result import Prediction
from napari_impartial.core.training.messages import Command, TrainingProgress


@dataclass(frozen=True)
class Message:
    """About a job, by its number."""

    job: int


@dataclass(frozen=True)
class Hello(Message):
    """Load the network's library and say which devices there are."""


@dataclass(frozen=True)
class Train(Message):
    """Fit a network and write it to `model_path`; go on from `init_path` if given."""

    images: tuple[Image, ...]
    scribbles: tuple[Scribbles, ...]
    model: ModelConfig
    training: TrainingConfig
    model_path: str
    init_path: str | None = None
    class_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Predict(Message):
    """Predict one image with the model at `model_path`."""

    image: Image
    model_path: str
    config: PredictionConfig


@dataclass(frozen=True)
class PredictSlide(Message):
    """Predict an image in files block by block, into a store.

    Attributes
    ----------
    paths : tuple of str
        Of the image; with an OME-Zarr store, of which the first image of the right size is meant.
    level : int
        Resolution, 0 the finest.
    shape : (int, int)
        Rows and columns that it has to have.
    channels : tuple of int or str
        Positions or names of those that the model takes, in its order.
    settings
        How to predict, cut and suggest.
    result : str
        Where the store is put; the table and the suggestions lie beside it.
    first : (float, float)
        Row and column that blocks are predicted from outwards.
    block_px : int
        Side of the blocks; 0 for the usual one.
    """

    paths: tuple[str, ...]
    level: int
    shape: tuple[int, int]
    channels: tuple[int | str, ...]
    model_path: str
    settings: tuple[PredictionConfig, InstanceConfig, SuggestionConfig]
    result: str
    first: tuple[float, float]
    block_px: int = 0


@dataclass(frozen=True)
class ExportSlide(Message):
    """Write the objects of a slide for other programs, block by block.

    Attributes
    ----------
    results : (str, str, str)
        The store, the table and the suggestions.
    verdicts : dict of int to str
        What was decided about objects.
    factor : (float, float)
        Height and width of a pixel in those of the finest resolution.
    targets : dict of str to str
        Where to, by kind (:func:`.slides.export.export`).
    """

    results: tuple[str, str, str]
    verdicts: dict[int, str]
    factor: tuple[float, float]
    targets: dict[str, str]


@dataclass(frozen=True)
class Package(Message):
    """Write the model at `model_path` as a package for the BioImage Model Zoo.

    `image`, with the model's channels, is what the package can be tested with.
    """

    image: Image
    model_path: str
    path: str
    name: str


@dataclass(frozen=True)
class ToTraining(Message):
    """Pass a command on to the running training."""

    command: Command


@dataclass(frozen=True)
class Pause(Message):
    """Hold the running training, or let it go on."""

    paused: bool


@dataclass(frozen=True)
class GiveWay(Message):
    """Train on half the cores, and rest: the user is painting or moving. Or go on."""

    wanted: bool


@dataclass(frozen=True)
class Cancel(Message):
    """Give the running prediction up."""


Job = Hello | Train | Predict | PredictSlide | ExportSlide | Package
Request = Job | ToTraining | Pause | GiveWay | Cancel


@dataclass(frozen=True)
class Ready(Message):
    """The network's library is loaded; `devices` are pairs of name and description."""

    devices: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Trained(Message):
    """Training is over and the model has been written."""

    model_path: str
    card: ModelCard


@dataclass(frozen=True)
class Predicting(Message):
    """Share of a prediction, or of an export, that is done, 0 to 1."""

    fraction: float


@dataclass(frozen=True)
class Predicted(Message):
    """The prediction that was asked for."""

    prediction: Prediction


@dataclass(frozen=True)
class SlideProgress:
    """Progress of a slide.

    Attributes
    ----------
    fraction : float
        Share that is done, 0 to 1.
    blocks : (rows, columns) bool array
        Which blocks are predicted.
    block_px : int
        Their side.
    stage : str
        What is being done, in words.
    """

    fraction: float
    blocks: NDArray[np.bool_]
    block_px: int
    stage: str


@dataclass(frozen=True)
class Progressed(Message):
    """Progress of training, or of the prediction of a slide."""

    progress: TrainingProgress | SlideProgress


@dataclass(frozen=True)
class SlidePredicted(Message):
    """A slide that was predicted: where the results lie, and what there is.

    Attributes
    ----------
    n_objects, n_clipped : int
        Objects, and how many of them are too large and were cut.
    classes : tuple of int
        How many of each foreground class.
    cut_anew : bool
        Whether nothing was predicted: the maps of an earlier result were kept.
    """

    store: str
    table: str
    places: str
    n_objects: int
    classes: tuple[int, ...]
    n_clipped: int
    cut_anew: bool


@dataclass(frozen=True)
class SlideExported(Message):
    """The objects of a slide have been written."""


@dataclass(frozen=True)
class Packaged(Message):
    """The package has been written and checked."""

    path: str


@dataclass(frozen=True)
class Failed(Message):
    """The job could not be done.

    Attributes
    ----------
    kind : str
        ``input``: the user can mend it, `message` says how; ``memory``: the machine is
        too small; ``cancelled``: as asked; ``ended``: the process is gone; ``fault``:
        an error of this program, `details` holds its traceback.
    """

    kind: str
    message: str
    details: str = ""


Final = Ready | Trained | Predicted | SlidePredicted | SlideExported | Packaged | Failed
News = Progressed | Predicting
Reply = Final | News


def send(connection: Connection, message: Request | Reply) -> None:
    """Write a message; raises OSError if the other end is gone."""
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    parts = [buffer.raw() for buffer in buffers]
    connection.send_bytes(pickle.dumps((body, [part.nbytes for part in parts])))
    for part in parts:
        if part.nbytes:
            connection.send_bytes(part)


def receive(connection: Connection) -> Any:
    """Read one message; raises EOFError or OSError if the other end is gone."""
    # The other end of the pipe is this program; nobody else has it.
    body, sizes = pickle.loads(connection.recv_bytes())  # noqa: S301
    # bytearray, so that the arrays over it are writable: torch warns of others.
    buffers = [bytearray(size) for size in sizes]
    for buffer in buffers:
        if buffer:
            connection.recv_bytes_into(buffer)
    return pickle.loads(body, buffers=buffers)  # noqa: S301
