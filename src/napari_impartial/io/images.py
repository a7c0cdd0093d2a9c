"""Read and write images: TIFF, OME-TIFF, OME-Zarr, PNG, JPEG, NumPy."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_impartial.core.atomic_write import atomic_path
from napari_impartial.core.data.axes import check_axes, guess_axes
from napari_impartial.core.data.image import Image, planes
from napari_impartial.core.errors import ImPartialError, ImPartialWarning, note

from .content import Content, Stack
from .lazy import first_line
from .limits import check_file
from .numpy_files import read_numpy
from .other_formats import READERS, open_with_bioio
from .pictures import read_picture
from .tiff import read_tiff

TIFF_SUFFIXES = (".tif", ".tiff")
SLIDE_SUFFIXES = (".svs", ".ndpi", ".scn", ".qptiff", ".btf", ".tf8")
"""Endings of files of slide scanners that are TIFF inside."""
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
NUMPY_SUFFIXES = (".npy", ".npz")
SUFFIXES = (*TIFF_SUFFIXES, *SLIDE_SUFFIXES, ".zarr", *PICTURE_SUFFIXES, *NUMPY_SUFFIXES)


@dataclass(frozen=True, eq=False)
class ImagePlanes:
    """An image as it was read.

    Attributes
    ----------
    planes
        One for each time point and slice, in that order.
    stack
        The same planes in the order of the file.
    guessed
        Whether nothing but the shape says what the axes are.
    spacing
        As in :class:`.content.Content`.
    """

    planes: list[Image]
    stack: Stack
    guessed: bool
    spacing: Mapping[str, float] = field(default_factory=dict)


def read_images(
    path: str | os.PathLike[str],
    axes: str | None = None,
    channels: Sequence[str | int] | None = None,
    level: int = 0,
) -> list[Image]:
    """Read an image file, one image for each time point and slice.

    Parameters
    ----------
    path
        TIFF, OME-TIFF or ImageJ TIFF of one image, OME-Zarr, PNG, JPEG, BMP, a NumPy file
        without pickled objects, or, where bioio is installed, CZI, ND2 or LIF.
    axes
        Letters of ``TZCYX``, one an axis. By default what the file says, otherwise what
        :func:`napari_impartial.core.data.image.guess_axes` makes of its shape.
    channels
        Names, or positions from 0, of the channels to keep; by default all.
    level
        Of an image that is stored at several resolutions; 0 is the finest.

    Returns
    -------
    list of Image
        With channel names and pixel size if an OME-TIFF or ImageJ TIFF has them.

    Raises
    ------
    ImPartialError
        If the file is missing, unreadable, truncated or of another kind, or does not
        match `axes` or `channels`; the message names the file.
    """
    return open_image(path, axes, channels, level).planes


def open_image(
    path: str | os.PathLike[str],
    axes: str | None = None,
    channels: Sequence[str | int] | None = None,
    level: int = 0,
) -> ImagePlanes:
    """Read an image file as :func:`read_images`, and tell what its axes were taken for.

    Raises
    ------
    ImPartialError
        As :func:`read_images`.
    """
    content = read_content(path, level)
    if content.palette is not None:
        content = _in_colour(content, path)
    letters = axes_in_use(content, axes)
    if axes is None and content.doubt:
        note(content.doubt)
    if axes is None and content.opacity and letters is not None:
        content = _opaque(content, letters, path)
        letters = content.axes
    name = stem(path)
    try:
        images = planes(
            content.array,
            letters,
            content.channel_names if names_fit(content, letters) else None,
            name,
            content.pixel_size,
            content.pixel_unit,
            colour=content.colour and letters is not None,
        )
        if channels is not None:
            images = [image.select(channels) for image in images]
        shape = content.array.shape
        used = letters or guess_axes(shape, content.array.dtype)
        stacked = [i for i, letter in enumerate(used.upper()) if letter in "TZ" and shape[i] > 1]
        stack = Stack(
            path, "".join(used[i].upper() for i in stacked), tuple(shape[i] for i in stacked)
        )
        return ImagePlanes(
            images, stack, letters is None and content.array.ndim > 2, content.spacing
        )
    except ImPartialError as error:
        raise ImPartialError(f"{path}: {error}") from error


def _in_colour(content: Content, path: str | os.PathLike[str]) -> Content:
    """Return the colours that an image's values stand for, or its grey levels."""
    palette = content.palette
    assert palette is not None
    if content.array.size and int(content.array.max()) >= len(palette):
        raise ImPartialError(f"{path} uses colours that its palette does not have; it is damaged.")
    colours = np.asarray(palette)[content.array]
    if (palette == palette[:, :1]).all():
        return replace(content, array=colours[..., 0], palette=None)
    axes = None if content.axes is None else content.axes + "C"
    return replace(content, array=colours, axes=axes, colour=True, palette=None)


def _opaque(content: Content, axes: str, path: str | os.PathLike[str]) -> Content:
    """Return an image without its opacity, which says where the picture is, not what it shows."""
    place = axes.index("C")
    samples = content.array.shape[place]
    if samples < 2:
        return content
    opacity = content.array.take(samples - 1, axis=place)
    if opacity.size and not (opacity == opacity.flat[0]).all():
        note(
            f"{path} says that its last channel is opacity, which is left out; --axes {axes} "
            "keeps it."
        )
    array = content.array.take(range(samples - 1), axis=place)
    if samples > 2:
        return replace(content, array=array, opacity=False)
    return replace(content, array=array.take(0, axis=place), axes=axes.replace("C", ""))


def write_tiff(
    path: str | os.PathLike[str],
    array: NDArray[Any],
    axes: str | None = None,
    channel_names: Sequence[str] | None = None,
    pixel_size: tuple[float, float] | None = None,
    pixel_unit: str = "",
    compress: bool | None = None,
    spacing: Mapping[str, float] | None = None,
) -> None:
    """Write an array as an OME-TIFF, whole or not at all.

    The same array and settings give the same bytes.

    Parameters
    ----------
    path
        Name ending in .tif or .tiff.
    array
        Up to five axes. bool is written as uint8, float16 as float32, and 64-bit
        integers as int32 or uint32 where they fit.
    axes
        Letters of ``TZCYX``; by default the last ones of ``CYX``.
    channel_names
        One a channel.
    pixel_size
        Height and width of a pixel in `pixel_unit`.
    pixel_unit
        For instance "µm", or "" if unknown.
    compress
        zlib, without loss; by default for integers, which are labels as a rule.
    spacing
        Size of a step along Z, in `pixel_unit`, and along T, in seconds, where they are known.

    Raises
    ------
    ImPartialError
        If it cannot be written, or the axes do not match.
    """
    if Path(path).suffix.lower() not in TIFF_SUFFIXES:
        raise ImPartialError(f"{path} does not end in .tif or .tiff.")
    array = _storable(np.asarray(array), path)
    letters = check_axes(axes if axes is not None else "CYX"[-array.ndim :], array.ndim)
    digest = hashlib.sha256(np.ascontiguousarray(array).data).digest()
    metadata: dict[str, Any] = {"axes": letters, "UUID": str(uuid.UUID(bytes=digest[:16]))}
    if channel_names is not None and "C" in letters:
        metadata["Channel"] = {"Name": list(channel_names)}
    if pixel_size is not None:
        for letter, size in zip("YX", pixel_size, strict=True):
            metadata[f"PhysicalSize{letter}"] = float(size)
            # OME has a fixed list of units; "pixel" is its word for none
            metadata[f"PhysicalSize{letter}Unit"] = pixel_unit or "pixel"
    steps = spacing or {}
    if "Z" in letters and "Z" in steps:
        metadata["PhysicalSizeZ"] = float(steps["Z"])
        metadata["PhysicalSizeZUnit"] = pixel_unit or "pixel"
    if "T" in letters and "T" in steps:
        metadata["TimeIncrement"] = float(steps["T"])
    if compress is None:
        compress = array.dtype.kind in "iu"
    with atomic_path(path) as temporary:
        tifffile.imwrite(
            temporary,
            array,
            ome=True,
            photometric="minisblack",
            compression="zlib" if compress else None,
            metadata=metadata,
        )


def stem(path: str | os.PathLike[str]) -> str:
    """Return a file's name without folder and suffix; ``.ome.tif`` is one suffix.

    An image inside of a store is called after the store and the way to it: ``plate_B_3_0``.
    """
    from .ome_zarr import name_of

    if any(part.lower().endswith(".zarr") for part in Path(path).parts):
        return name_of(path)
    name = Path(path).stem
    return name[:-4] if name.lower().endswith(".ome") else name


def read_content(
    path: str | os.PathLike[str], level: int = 0, *, labels: bool = False, lazy: bool = False
) -> Content:
    """Read any known file, with one kind of error for all that may be wrong with it.

    Parameters
    ----------
    path
    level
        Of an image that is stored at several resolutions.
    labels
        Of an OME-Zarr image its labels are wanted.
    lazy
        Leave the pixels of TIFF files for later; those of OME-Zarr always are.

    Raises
    ------
    ImPartialError
        Naming the file.
    """
    from .ome_zarr import is_zarr, open_labels
    from .ome_zarr import open_image as open_zarr

    suffix = Path(path).suffix.lower()
    if is_zarr(path):
        return (open_labels if labels else open_zarr)(path, level)
    file = check_file(path)
    if suffix in READERS:
        return open_with_bioio(file, level)
    if suffix not in SUFFIXES:
        raise ImPartialError(
            f"{path} is of no kind that can be read; use one of {', '.join(SUFFIXES)}."
        )
    try:
        if suffix in (*TIFF_SUFFIXES, *SLIDE_SUFFIXES):
            return read_tiff(file, level, lazy)
        if level:
            raise ImPartialError(f"{path} is stored at one resolution and has no level {level}.")
        if suffix in NUMPY_SUFFIXES:
            return read_numpy(file)
        return read_picture(file)
    except (ImPartialError, ImPartialWarning, MemoryError):
        raise
    except PermissionError as error:
        raise ImPartialError(f"{path} may not be read: permission denied.") from error
    except Exception as error:
        # decoders raise whatever comes up where a file is cut short or foreign
        # (struct.error, zlib.error, KeyError, SyntaxError ...)
        raise ImPartialError(
            f"{path} cannot be read; it may be truncated or no {suffix} file ({first_line(error)})."
        ) from error


def axes_in_use(content: Content, given: str | None) -> str | None:
    """Return the axes that the user gives for a file, in capitals, or else its own."""
    if given is None:
        return content.axes
    # Readers drop axes of length one, so the file may have fewer than the user says.
    dropped = len(given) > content.array.ndim and set(content.axes or "?") <= set(given.upper())
    return content.axes if dropped else given.upper()


def names_fit(content: Content, axes: str | None) -> bool:
    """Tell whether the file's channel names are those of the channel axis in use."""
    names = content.channel_names
    if names is None:
        return False
    known = axes if axes is not None and len(axes) == content.array.ndim else ""
    count = content.array.shape[known.index("C")] if "C" in known else 1
    return len(names) == count


def _storable(array: NDArray[Any], path: str | os.PathLike[str]) -> NDArray[Any]:
    """Return the array in a type that other programs read."""
    kind = array.dtype.kind
    if kind not in "biuf" or array.size == 0:
        raise ImPartialError(f"Cannot write {path}: {array.dtype} of shape {array.shape}.")
    if kind == "b":
        return array.astype(np.uint8)
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if kind in "iu" and array.dtype.itemsize == 8:
        for narrow in (np.int32, np.uint32):
            limits = np.iinfo(narrow)
            if array.min() >= limits.min and array.max() <= limits.max:
                return array.astype(narrow)
        raise ImPartialError(f"Cannot write {path}: its whole numbers exceed 32 bits.")
    return array
