"""Progress that training reports, and commands that it takes.

Plain frozen dataclasses over numpy, free of torch, so that the window can hold and show
them without loading the network's library.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_impartial.core.config import InstanceConfig
from napari_impartial.core.data.boxes import Box
from napari_impartial.core.data.image import Image
from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.prediction.result import Prediction


@dataclass(frozen=True)
class Losses:
    """Parts of the joint loss (paper, eq. 1 to 3, and edges), each unweighted but `total`."""

    total: float
    scribble: float
    reconstruction: float
    total_variation: float
    edges: float = 0.0


def mean_losses(losses: Sequence[Losses], shares: npt.ArrayLike) -> Losses:
    """Return the mean of losses, weighted by `shares`, which add up to 1."""
    rows = np.array([list(vars(loss).values()) for loss in losses])
    return Losses(*(float(v) for v in np.asarray(shares) @ rows))


@dataclass(frozen=True)
class Stop:
    """Ask training to end now and return the best weights."""


@dataclass(frozen=True)
class Preview:
    """Ask training to predict one field with its weights, as soon as it has the time.

    One is kept at a time: the last.

    Attributes
    ----------
    image_index : int
        Of the images in training, or of the last :class:`GuestImage`.
    box : Box
        A field that would take more time than previews may have is cut round its middle.
    samples : int
        Monte-Carlo passes of a look that is not quick.
    cut : InstanceConfig or None
        How to cut the field into objects, if they are wanted.
    within_share : bool
        Whether it may be cut, made quick, or put off, to leave training its time.
    quick : bool
        Whether one pass without dropout at full size will do: a third of the time.
    new_field : bool
        Whether somebody has only just come to this field. A first, quick box of it may be paid
        for in advance, and later ones wait until that is made up for.
    """

    image_index: int
    box: Box
    samples: int = 2
    cut: InstanceConfig | None = None
    within_share: bool = True
    quick: bool = False
    new_field: bool = False


@dataclass(frozen=True)
class NoPreview:
    """Withdraw the last :class:`Preview`, if it has not been answered."""


@dataclass(frozen=True)
class GuestImage:
    """Hand training an image to be previewed, and not to be learned from.

    One is kept at a time, so that a walk through a stack takes no more memory than a look.

    Attributes
    ----------
    image_index : int
        What :class:`Preview` calls it: negative, since images may still join those in
        training.
    image : Image
        Its channels are those of the images in training, in the same order.
    """

    image_index: int
    image: Image


@dataclass(frozen=True)
class Previewed:
    """The answer to a :class:`Preview`.

    Attributes
    ----------
    request : Preview
        As asked.
    box : Box
        The field, or what there was time for, round its middle.
    prediction : Prediction
        Of the box.
    instances : (Y, X) int32 or None
        Objects of the box, 1 to N; 0 between them.
    """

    request: Preview
    box: Box
    prediction: Prediction
    instances: npt.NDArray[np.int32] | None


@dataclass(frozen=True)
class NewScribbles:
    """Hand training the scribbles as they are now, and images that it does not have.

    Attributes
    ----------
    scribbles : sequence of Scribbles
        One for each image, those of `images` last.
    images : sequence of Image
        Images that come after those that training has, with the same channels.
    """

    scribbles: Sequence[Scribbles]
    images: Sequence[Image] = ()


Command = Stop | Preview | NoPreview | GuestImage | NewScribbles


@dataclass(frozen=True)
class TrainingProgress:
    """State of a running training.

    Attributes
    ----------
    step : int
        Optimizer steps done.
    elapsed_s : float
        Seconds spent, pauses left out.
    fraction : float
        Share of the budget spent, 0 to 1.
    training, validation : Losses
        Running mean over recent batches; latest on the held-out scribbles, if any.
    best_validation_loss : float or None
        Lowest so far, where anything is held out.
    learning_rate : float
        Of the last step.
    preview : Previewed or None
        Answer to a :class:`Preview`.
    preview_s : float
        Seconds of `elapsed_s` that went into previews.
    preview_wait_s : float
        Seconds of rest after which a new field that was asked for (:attr:`Preview.new_field`)
        can be had; infinite where none was, or where a rest is too short for it.
    """

    step: int
    elapsed_s: float
    fraction: float
    training: Losses
    validation: Losses | None
    best_validation_loss: float | None
    learning_rate: float
    preview: Previewed | None = None
    preview_s: float = 0.0
    preview_wait_s: float = math.inf

    @property
    def remaining_s(self) -> float:
        """Seconds of training left, at the rate so far; infinite before the first step."""
        if self.fraction <= 0:
            return float("inf")
        return self.elapsed_s * (1 - self.fraction) / self.fraction
