"""Saved state of an annotation session: plain dataclasses, no layers, no window.

To keep more, add a field with `_LATER` here, or use :attr:`SavedSession.parts`: those
get their default where a file does not have them, and names that are not known are ignored,
so neither needs a new format version. All other fields are in every file.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.review.round_changes import UNKNOWN
from napari_impartial.core.words import count

Part = TypeVar("Part")

_NOT_WRITTEN = {"written": False}
#: Of fields that files of the first versions do not have.
_LATER = {"required": False}
_LONGEST_VALUE_SHOWN = 40


@dataclass
class SavedLayer:
    """A layer of images, scribbles or instances.

    Attributes
    ----------
    name
        As in the list of layers.
    data
        `Kept` to be written, `Stored` once read; None for an image that is read from
        its file.
    path
        File that the image comes from, as an absolute path.
    relative
        The same, seen from the session's folder.
    reader
        napari's name of the reader.
    shape
        Shape of the data.
    rgb
        Whether the last axis holds colours.
    print
        What a few of the pixels hash to, by which the data is known again.
    placement
        Scale, translate, rotate, shear, affine, units and axis labels.
    look
        Colours, contrast limits, opacity and the like.
    metadata
        What else belongs to it, such as the names of channels.
    shown
        Whether it is in the list of layers; one that was removed can be brought back.
    """

    name: str = ""
    data: Any = None
    path: str | None = None
    relative: str | None = None
    reader: str | None = None
    shape: list[int] = field(default_factory=list)
    rgb: bool = False
    print: str | None = None
    placement: dict[str, Any] = field(default_factory=dict)
    look: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    shown: bool = True


@dataclass
class SavedDismissal:
    """A place that looked fine, as in :class:`core.prediction.dismissed.Dismissal`."""

    y: int = 0
    x: int = 0
    box: list[int] = field(default_factory=list)
    foreground: Any = None


@dataclass
class SavedPlane:
    """Prediction of one plane, and what follows from it.

    Attributes
    ----------
    at
        Positions along the T and Z axes.
    prediction
        Packed (:func:`core.prediction.packing.pack`), (K, Y, X) uint16; None where only objects
        or decisions are left of it.
    n_samples
        Monte-Carlo passes.
    predicted_by
        Number of the round that it is of, or one of `UNKNOWN`, `EARLIER` and `LOADED`
        (:mod:`core.review.round_changes`).
    suggestions, visited
        Places to scribble next; those (y, x) that were gone to.
    suggested_on
        (Y, X) uint8, the scribbles that there were when the suggestions were made; None if
        there were none.
    dismissed
        Suggested places that looked fine.
    review
        Decisions about objects, in bytes (:func:`core.review.annotation.to_bytes`).
    previewed
        Whether the layer of objects showed what a training, not over yet, made of the plane.
    objects
        (Y, X) int32, the plane's objects where that is so; None if there are none.
    doubt
        (Y, X) uint16, 65535 for 1, about its objects without the decisions; None if not known.
    """

    at: list[int] = field(default_factory=list)
    prediction: Any = None
    n_samples: int = 0
    predicted_by: int = field(default=UNKNOWN, metadata=_LATER)
    suggestions: list[dict[str, Any]] = field(default_factory=list)
    visited: list[list[int]] = field(default_factory=list)
    suggested_on: Any = field(default=None, metadata=_LATER)
    dismissed: list[SavedDismissal] = field(default_factory=list, metadata=_LATER)
    review: Any = field(default=None, metadata=_LATER)
    previewed: bool = field(default=False, metadata=_LATER)
    objects: Any = field(default=None, metadata=_LATER)
    doubt: Any = field(default=None, metadata=_LATER)


@dataclass
class SavedImage:
    """One image of the session.

    Attributes
    ----------
    layers
        Positions in :attr:`SavedSession.layers`; the first names the image.
    axes, channels, names
        As in the window's `Source`.
    scribbles, instances
        Its scribble layer and the layer of its objects, if there are.
    planes
        Planes that were predicted or decided about.
    reviewed
        Whether the user has ticked it off.
    """

    layers: list[int] = field(default_factory=list)
    axes: str = "YX"
    channels: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    scribbles: SavedLayer | None = None
    instances: SavedLayer | None = None
    planes: list[SavedPlane] = field(default_factory=list)
    reviewed: bool = False


@dataclass
class SavedMask:
    """Objects of one plane as an earlier round left them.

    Attributes
    ----------
    image
        Position in :attr:`SavedSession.images`.
    at
        Positions along the T and Z axes.
    labels
        (Y, X) int32.
    """

    image: int = 0
    at: list[int] = field(default_factory=list)
    labels: Any = None


@dataclass
class SavedRound:
    """One training, the model it left, and its objects if it is not the current one.

    The model is None if its file was gone, and no copy of it was there; once read, it may be
    the error that came up then.
    """

    number: int = 0
    model: Path | ImPartialError | None = None
    annotated_px: int = 0
    annotated_cells: int = field(default=0, metadata=_LATER)
    current: bool = field(default=False, metadata=_LATER)
    masks: list[SavedMask] = field(default_factory=list, metadata=_LATER)
    unseen: float | None = field(default=None, metadata=_LATER)


@dataclass
class SavedView:
    """Field that the user looked at.

    Attributes
    ----------
    image
        Position in :attr:`SavedSession.images`, or None.
    plane
        Positions along the image's T and Z axes.
    center, zoom, angles
        Of the camera.
    point, order, ndisplay
        Of the sliders.
    """

    image: int | None = None
    plane: list[int] = field(default_factory=list)
    center: list[float] = field(default_factory=list)
    zoom: float = 0.0
    angles: list[float] = field(default_factory=list)
    point: list[float] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    ndisplay: int = 2


@dataclass
class SavedSession:
    """All that is kept.

    Attributes
    ----------
    layers
        Image layers; several images may share one.
    loose
        Scribble layers whose image is gone.
    model
        File of the current model; once read, it may be the error that came up then.
    parts
        What other parts of the window keep, by name (the settings of a panel, say), added
        with `SessionStore.keep_part`.
    losses
        What could not be read, in sentences; not written.
    """

    layers: list[SavedLayer] = field(default_factory=list)
    images: list[SavedImage] = field(default_factory=list)
    loose: list[SavedLayer] = field(default_factory=list)
    model: Path | ImPartialError | None = None
    rounds: list[SavedRound] = field(default_factory=list)
    view: SavedView = field(default_factory=SavedView)
    parts: dict[str, Any] = field(default_factory=dict)
    losses: list[str] = field(default_factory=list, compare=False, metadata=_NOT_WRITTEN)

    def summary(self) -> str:
        """Say in a few words what there is."""
        scribbled = sum(image.scribbles is not None for image in self.images)
        words = [count(len(self.images), "image"), f"{scribbled} with scribbles"]
        if self.rounds:
            words.append(count(len(self.rounds), "round") + " of training")
        return ", ".join(words)


def to_content(part: Any) -> Any:
    """Return dataclasses as dicts, with all else, arrays and paths included, as it is."""
    if dataclasses.is_dataclass(part) and type(part).__module__ == __name__:
        return {f.name: to_content(getattr(part, f.name)) for f in _written(type(part))}
    if isinstance(part, list):
        return [to_content(item) for item in part]
    return part


def from_content(kind: type[Part], content: Any, losses: list[str], place: str = "") -> Part:
    """Return the dataclass that :func:`to_content` made a dict of.

    Parameters
    ----------
    losses
        Gets a sentence for each damaged value, in whose place its default stands then: one
        of them does not keep the rest back.
    place
        Where in the session `content` stands, in words.
    """
    if not isinstance(content, dict):
        losses.append(f"The session is damaged: {place or kind.__name__} is missing or no object.")
        return kind()
    hints = typing.get_type_hints(kind)
    values = {}
    lacks = [
        one.name
        for one in _written(kind)
        if one.metadata.get("required", True) and one.name not in content
    ]
    if lacks:
        losses.append(f"The session is damaged: {place or 'it'} lacks {', '.join(lacks)}.")
    for one in _written(kind):
        if one.name not in content:
            continue
        where = f"{place}, {one.name}" if place else one.name
        try:
            values[one.name] = _value(hints[one.name], content[one.name], where, losses)
        except ImPartialError as error:
            losses.append(str(error))
    return kind(**values)


def _written(kind: Any) -> list[dataclasses.Field[Any]]:
    return [f for f in dataclasses.fields(kind) if f.metadata.get("written", True)]


def _value(hint: Any, value: Any, place: str, losses: list[str]) -> Any:
    if hint is Any:
        return value
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and types.NoneType in options:
        return None
    wanted = next(option for option in options if option is not types.NoneType)
    if dataclasses.is_dataclass(wanted):
        return from_content(wanted, value, losses, place)  # type: ignore[arg-type]
    origin = typing.get_origin(wanted) or wanted
    if origin is list and isinstance(value, list):
        (inner,) = typing.get_args(wanted)
        return [_value(inner, item, f"{place} {i}", losses) for i, item in enumerate(value, 1)]
    if origin is float and type(value) is int and abs(value) < 2**63:
        return float(value)
    # True is an int to isinstance; a number may have hundreds of digits, or none.
    fits = isinstance(value, origin) and (origin is bool or not isinstance(value, bool))
    if isinstance(value, int) and abs(value) >= 2**63:
        fits = False
    if isinstance(value, float) and math.isinf(value):
        fits = False
    if not fits:
        shown = repr(value)
        if len(shown) > _LONGEST_VALUE_SHOWN:
            shown = f"{shown[:_LONGEST_VALUE_SHOWN]}..."
        raise ImPartialError(f"The session is damaged: {place} is {shown}.")
    return value
