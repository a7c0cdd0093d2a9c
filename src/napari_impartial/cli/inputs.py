"""Images and scribbles from files, and how they have to fit each other and a model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_impartial.core.errors import ImPartialError

if TYPE_CHECKING:
    from napari_impartial.core.images import Image
    from napari_impartial.core.scribbles import Scribbles

# Names that readers give where the file has none; they say nothing about the stain.
_GENERIC_NAME = re.compile(r"channel \d+|red|green|blue", re.IGNORECASE)
_PLANE = re.compile(r" \[((?:[tz]=\d+)(?:, [tz]=\d+)*)\]$")


@dataclass(frozen=True)
class ImageFile:
    """An image file, plane by plane.

    Attributes
    ----------
    name : str
        The file's name without suffixes; results are named after it.
    planes : list of Image
        In order of time points, then slices.
    stack_axes : str
        ``""`` for a single plane, otherwise ``"T"``, ``"Z"`` or ``"TZ"``.
    stack_shape : tuple of int
        Lengths of `stack_axes`.
    """

    path: Path
    name: str
    planes: list[Image]
    stack_axes: str
    stack_shape: tuple[int, ...]


def stem(path: Path) -> str:
    """Name of an image, after its file; reads no file."""
    from napari_impartial.io import stem as stem_of_file

    return stem_of_file(path)


def position(image: Image) -> dict[str, int]:
    """Read from a plane's name where it lies in its stack, such as ``{"z": 3}``."""
    found = _PLANE.search(image.name)
    if not found:
        return {}
    return {part[0]: int(part[2:]) for part in found[1].split(", ")}


def read_image_file(
    path: Path, axes: str | None = None, channels: Sequence[str] | None = None
) -> ImageFile:
    """Read an image file.

    Parameters
    ----------
    path : Path
    axes : str, optional
        Letters of ``TZCYX``; from the file by default.
    channels : sequence of str, optional
        Names or numbers from 0 of the channels to take; all by default.

    Raises
    ------
    ImPartialError
        If it is no image, or a channel does not exist.
    """
    from napari_impartial.io import read_images

    planes = read_images(path, axes=axes)
    if channels is not None:
        planes = [plane.select(channels) for plane in planes]
    places = [position(plane) for plane in planes]
    letters = [letter for letter in "tz" if letter in places[0]]
    shape = tuple(1 + max(place[letter] for place in places) for letter in letters)
    return ImageFile(path, stem(path), planes, "".join(letters).upper(), shape)


def is_generic(names: Sequence[str]) -> bool:
    """Tell whether channel names are the reader's own and not the user's."""
    return all(_GENERIC_NAME.fullmatch(name) for name in names)


def fit_channels(image: Image, names: Sequence[str], chosen: bool, other: str) -> Image:
    """Return `image` with the channels that a model was trained on, in their order.

    Parameters
    ----------
    image : Image
        What was read.
    names : sequence of str
        Channel names of the model, or of the first training image.
    chosen : bool
        The user picked the channels: only their number is checked.
    other : str
        The other side and its verb, for the message.

    Raises
    ------
    ImPartialError
        If number or names of the channels do not fit.
    """
    named = not (chosen or is_generic(names) or is_generic(image.channel_names))
    if named and set(names) <= set(image.channel_names):
        return image.select(names)
    if named or image.n_channels != len(names):
        raise ImPartialError(
            f"{image.name} has {_channels(image.channel_names)}, {other} {_channels(names)}; "
            "pick as many in the same order with --channels."
        )
    return image


def _channels(names: Sequence[str]) -> str:
    """Count and name channels."""
    count = f"{len(names)} channel{'s' if len(names) != 1 else ''}"
    listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"{count} ({listed})"


def read_scribbles(path: Path, image: ImageFile, partial_masks: bool = False) -> list[Scribbles]:
    """Read the annotation of an image file, one for each of its planes.

    Parameters
    ----------
    path : Path
        A label image (0 not annotated, 1 background, 2 and up foreground classes), or an
        ImageJ ROI zip of some whole cells.
    image : ImageFile
        The image that it belongs to.
    partial_masks : bool
        Label images hold some whole cells, each with an id of its own.

    Raises
    ------
    ImPartialError
        If it cannot be read or does not fit the image.
    """
    from napari_impartial.core.scribbles import from_instances, from_labels
    from napari_impartial.io import read_labels
    from napari_impartial.io.rois import read_roi_zip

    n_planes = len(image.planes)
    shape = image.planes[0].shape
    if path.suffix.lower() in (".zip", ".roi"):
        if n_planes > 1:
            raise ImPartialError(
                f"{path} holds outlines for one plane but {image.path} has {n_planes}; "
                "give a label image with as many planes."
            )
        return [from_instances(read_roi_zip(path, shape))]
    labels = read_labels(path)
    planes = [labels] if labels.ndim == 2 else list(labels)
    if len(planes) != n_planes:
        raise ImPartialError(
            f"{path} has {_planes(len(planes))}, {image.path} has {_planes(n_planes)}; "
            "scribbles need the same planes as their image."
        )
    try:
        if partial_masks:
            for plane in planes:
                from_labels((plane > 0).astype("uint8"), shape)  # the check of the grid only
            return [from_instances(plane) for plane in planes]
        return [from_labels(plane, shape) for plane in planes]
    except ImPartialError as error:
        raise ImPartialError(f"{path}: {error}") from None


def _planes(count: int) -> str:
    return f"{count} plane" + ("s" if count != 1 else "")


def read_training_files(
    images: Sequence[Path],
    scribbles: Sequence[Path],
    axes: str | None = None,
    channels: Sequence[str] | None = None,
    partial_masks: bool = False,
) -> tuple[list[Image], list[Scribbles]]:
    """Read images with their scribbles, and check that there is something to learn.

    Returns
    -------
    list of Image, list of Scribbles
        All planes of all files, in order.

    Raises
    ------
    ImPartialError
        If their numbers, shapes or channels do not fit, or a class is missing.
    """
    from napari_impartial.core.scribbles import check_trainable

    check_one_each(images, scribbles)
    all_images: list[Image] = []
    all_scribbles: list[Scribbles] = []
    for image_path, scribbles_path in zip(images, scribbles, strict=True):
        file = read_image_file(image_path, axes, channels)
        all_scribbles += read_scribbles(scribbles_path, file, partial_masks)
        for plane in file.planes:
            names = (all_images or [plane])[0].channel_names
            all_images.append(
                fit_channels(plane, names, channels is not None, "the first image has")
            )
    check_trainable(all_scribbles)
    return all_images, all_scribbles


def check_one_each(images: Sequence[Path], scribbles: Sequence[Path]) -> None:
    """Refuse another number of scribble files than of images.

    Raises
    ------
    ImPartialError
        With both numbers.
    """
    if len(images) != len(scribbles):
        raise ImPartialError(
            f"{_count(len(images), 'image')} but {_count(len(scribbles), 'scribble file')}; "
            "give one scribble file for each image, in the same order."
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("s" if number != 1 else "")


def check_distinct(names: Sequence[str], option: str) -> None:
    """Refuse inputs whose results would overwrite each other.

    Raises
    ------
    ImPartialError
        Naming the first name that occurs twice.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ImPartialError(
                f"Two inputs are called {name}, and their results would overwrite each other; "
                f"rename one, or run twice with different {option}."
            )
        seen.add(name)
