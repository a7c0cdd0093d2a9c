"""Check of a model against its own strokes: their agreement, and the cut that suits them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_impartial.core.config import InstanceConfig, PredictionConfig
from napari_impartial.core.data.stroke_report import MISTAKEN, Place, StrokeReport
from napari_impartial.core.instances.cutter import Cutter
from napari_impartial.core.instances.strokes import (
    Instances,
    Strokes,
    agreement,
    best_cut,
    find_strokes,
)
from napari_impartial.core.network.unet import UNet
from napari_impartial.core.prediction.predict import predict_normalized

from .patches import cover, spread

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]

# Images up to this size are looked at whole, of larger ones windows round strokes; so many
# pixels in all. On two cores a megapixel takes about a second.
_WINDOW_PX, _MOST_PIXELS = 512, 1 << 20
# A stroke contradicts the others if the network, which learned from all, gives its class less
# than this on the mean.
_CONTRADICTS_BELOW = 0.2


@dataclass(frozen=True)
class _Seen:
    """A part of an annotated image with what is predicted there."""

    origin: Place
    labels: Labels
    probability: Floats
    cutter: Cutter
    strokes: Strokes


def check_strokes(
    network: UNet,
    pictures: Sequence[Floats],
    labels: Sequence[Labels],
    prediction: PredictionConfig,
    instances: InstanceConfig,
) -> tuple[StrokeReport, InstanceConfig]:
    """Predict annotated images and compare the result with their strokes.

    Parameters
    ----------
    network : UNet
    pictures : sequence of (C, Y, X) float32
        Normalized images.
    labels : sequence of (Y, X) uint8
        Strokes on each: 0 not annotated, 1 background, 2 ... K foreground classes.
    prediction, instances : PredictionConfig, InstanceConfig
        Settings of the model.

    Returns
    -------
    StrokeReport
    InstanceConfig
        As given, with the split strength and the sharpening that suit the annotated cells
        where the cut is automatic.
    """
    plain = replace(prediction, samples=0, reconstruction=False)
    seen = []
    strokes: dict[int, Strokes] = {}
    for origin, picture, drawn in annotated_parts(pictures, labels):
        number, y, x = origin
        if number not in strokes:
            strokes[number] = find_strokes(labels[number])
        # Pieces of a stroke that a window cuts are one stroke still.
        inside = slice(y, y + drawn.shape[0]), slice(x, x + drawn.shape[1])
        probability = predict_normalized(network, picture, plain).probability
        seen.append(_see(origin, probability, drawn, strokes[number].within(inside)))
    if instances.split == "automatic" and any(part.strokes.count for part in seen):

        def cut(config: InstanceConfig) -> list[Instances]:
            return [part.cutter.cut(config) for part in seen]

        instances = best_cut(cut, [part.strokes for part in seen], instances)
    return _report(seen, instances), instances


def _see(origin: Place, probability: Floats, drawn: Labels, strokes: Strokes) -> _Seen:
    return _Seen(origin, drawn, probability, Cutter(1.0 - probability[0]), strokes)


def annotated_parts(
    pictures: Sequence[Floats], labels: Sequence[Labels]
) -> list[tuple[Place, Floats, Labels]]:
    """Choose what is looked at: annotated images, or windows of large ones.

    Parameters
    ----------
    pictures : sequence of (C, Y, X) float32
    labels : sequence of (Y, X) uint8
        Strokes on each.

    Returns
    -------
    list of (origin, picture, labels)
        The origin is (number of the image, y, x).
    """
    found: list[tuple[Place, Floats, Labels]] = []
    annotated = [number for number, drawn in enumerate(labels) if drawn.any()]
    for number in spread(annotated, _MOST_PIXELS // _WINDOW_PX**2 * 4):
        picture, drawn = pictures[number], labels[number]
        if drawn.size <= _MOST_PIXELS // 2:
            found.append(((number, 0, 0), picture, drawn))
            continue
        for y, x in cover(drawn, _WINDOW_PX):
            inside = slice(y, y + _WINDOW_PX), slice(x, x + _WINDOW_PX)
            found.append(((number, y, x), picture[:, *inside], drawn[inside]))
    most = max(int(_MOST_PIXELS // np.mean([drawn.size for *_, drawn in found])), 1)
    return spread(found, most)


def _report(seen: Sequence[_Seen], instances: InstanceConfig) -> StrokeReport:
    # Of cells and of background, by whatever class of cell; of cells, by their own.
    right, painted = np.zeros(3), np.zeros(3)
    divided = shared = strokes = 0
    in_no_object: list[Place] = []
    for part in seen:
        right += [np.count_nonzero(fits) for fits in _fits(part)]
        painted += [np.count_nonzero(part.labels > 1), np.count_nonzero(part.labels == 1), 0]
        found = agreement(part.cutter.cut(instances), part.strokes)
        strokes += part.strokes.count
        divided += int(found.divided.sum())
        shared += int(found.shared.sum())
        for number in np.flatnonzero(found.in_no_object):
            in_no_object.append(_place(part, part.strokes.number == number + 1))
    painted[2] = painted[0]
    shares = np.where(painted > 0, right / np.maximum(painted, 1), 1.0)
    many = bool((1 - shares >= MISTAKEN).any())
    return StrokeReport(
        strokes,
        float(shares[0]),
        float(shares[1]),
        divided,
        shared,
        tuple(in_no_object),
        tuple(place for part in seen for place in _contradicting(part, many)),
        float(shares[2]),
    )


def _fits(part: _Seen) -> tuple[npt.NDArray[np.bool_], ...]:
    """Return the pixels of strokes predicted as cells, as background, and as no other class."""
    foreground = part.probability[0] < 0.5
    classes = part.probability[1:].argmax(axis=0) + 2
    painted = part.labels > 1
    return (
        painted & foreground,
        (part.labels == 1) & ~foreground,
        painted & (classes == part.labels),
    )


def _contradicting(part: _Seen, many: bool) -> list[Place]:
    """Find strokes of which the network says something else.

    Parameters
    ----------
    many
        Whether it does of so many that it is unsure of most: then these are where most pixels are
        predicted as another class, by however little.
    """
    found = []
    background = find_strokes(np.where(part.labels == 1, 2, 0))
    of_background = np.zeros(background.count + 1, np.intp)
    predicted = part.probability.argmax(axis=0)
    for strokes, classes in (
        (part.strokes, part.strokes.classes - 1),
        (background, of_background),
    ):
        for number in range(1, strokes.count + 1):
            window = strokes.windows[number - 1]
            drawn = strokes.number[window] == number
            own = part.probability[classes[number]][window][drawn].mean()
            mistaken = (predicted[window][drawn] != classes[number]).mean()
            if own < _CONTRADICTS_BELOW or (many and mistaken >= MISTAKEN):
                found.append(_place(part, strokes.number == number))
    return found


def _place(part: _Seen, drawn: npt.NDArray[np.bool_]) -> Place:
    """Return the pixel of a stroke that is nearest to its middle."""
    pixels = np.argwhere(drawn)
    nearest = pixels[np.abs(pixels - pixels.mean(axis=0)).sum(axis=1).argmin()]
    number, top, left = part.origin
    return number, top + int(nearest[0]), left + int(nearest[1])
