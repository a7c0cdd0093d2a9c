"""From a prediction to objects and suggestions: the same in the window and on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_impartial.core.config import InstanceConfig, SuggestionConfig
from napari_impartial.core.instances.cutter import count_objects
from napari_impartial.core.instances.doubt import settled
from napari_impartial.core.instances.measurements import smallest_size
from napari_impartial.core.instances.strokes import find_strokes
from napari_impartial.core.review.review import Review, compose

from .dismissed import Dismissal, standing
from .result import Prediction
from .suggestions import Suggestion, suggest

Labels = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Objects:
    """Objects of one image.

    Attributes
    ----------
    cut : (Y, X) int32
        As cut from the prediction (:meth:`.cutter.Cutter.cut`).
    labels : (Y, X) int32
        With the decisions of the review laid over them.
    n : int
        Number of `labels`.
    doubt : (Y, X) float32 or None
        How likely the objects are wrong at each pixel, 0 (sure) to 1
        (:meth:`~napari_impartial.core.instances.cutter.Cutter.doubt`), and 0 where there are
        strokes; what the review says is not taken into account.
    """

    cut: Labels
    labels: Labels
    n: int
    doubt: npt.NDArray[np.float32] | None = None


def with_smallest_size(prediction: Prediction, config: InstanceConfig) -> InstanceConfig:
    """Return settings whose smallest size follows the size of the objects themselves."""
    everything = prediction.cutter.cut(replace(config, min_size_px=0))
    size_px = smallest_size(everything, InstanceConfig().min_size_px)
    return replace(config, min_size_px=size_px)


def find_objects(
    prediction: Prediction,
    config: InstanceConfig | None = None,
    review: Review | None = None,
    scribbles: npt.NDArray[np.integer] | None = None,
) -> Objects:
    """Cut a prediction into objects that agree with strokes, and lay decisions over them.

    Parameters
    ----------
    prediction : Prediction
        Keeps what the next cut, at another setting, can use again.
    config : InstanceConfig, optional
    review : Review, optional
        Regions inside the image.
    scribbles : (Y, X) integer array, optional
        What is painted on the image: 0 not annotated, 1 background, 2 and up foreground
        classes. It decides over the prediction
        (:func:`~napari_impartial.core.instances.strokes.impose`), and reviews over it.

    Raises
    ------
    ImPartialError
        If a setting is out of bounds, or a region outside of the image.
    """
    strokes = None if scribbles is None else find_strokes(np.asarray(scribbles))
    cut = prediction.cutter.cut(config, strokes)
    labels = compose(cut, review or Review())
    doubt = prediction.cutter.doubt(config)
    if doubt is not None and scribbles is not None:
        doubt = settled(doubt, labels, np.asarray(scribbles))
    return Objects(cut, labels, count_objects(labels), doubt)


def heatmap(
    entropy: npt.NDArray[np.float32], doubt: npt.NDArray[np.float32] | None
) -> npt.NDArray[np.float32]:
    """Return how unsure pixels and objects are, in one map.

    Parameters
    ----------
    entropy : (Y, X) float32
        Of the pixels, 0 to 1.
    doubt : (Y, X) float32, optional
        About the objects, 0 to 1, where the cut knows it.

    Returns
    -------
    (Y, X) float32
        0 where both are sure, to 1.
    """
    if doubt is None:
        return entropy
    return np.asarray(1.0 - (1.0 - entropy) * (1.0 - doubt), dtype=np.float32)


def find_places(
    prediction: Prediction,
    objects: Objects,
    annotated: npt.ArrayLike | None = None,
    config: SuggestionConfig | None = None,
    dismissed: Sequence[Dismissal] = (),
    image: str = "",
) -> tuple[list[Suggestion], list[Dismissal]]:
    """Suggest where to scribble next.

    Parameters
    ----------
    prediction : Prediction
    objects : Objects
        Of the prediction.
    annotated : (Y, X) array, optional
        Nonzero where scribbles or decided objects are.
    config : SuggestionConfig, optional
    dismissed : sequence of Dismissal
        Places that looked fine.
    image : str
        Name put into the suggestions.

    Returns
    -------
    list of Suggestion
        Best first.
    list of Dismissal
        Those of `dismissed` that still hold with this prediction.
    """
    hold = standing(dismissed, prediction.foreground)
    found = suggest(
        heatmap(prediction.entropy, objects.doubt),
        annotated,
        config,
        probability=prediction.probability,
        mutual_information=prediction.mutual_information,
        instances=objects.labels,
        image=image,
        dismissed=[(one.y, one.x) for one in hold],
    )
    return found, hold
