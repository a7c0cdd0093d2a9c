"""Read and write images and labels: TIFF, OME-TIFF, PNG, JPEG, NumPy."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import imageio.v3 as iio
import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_impartial.core.atomic_write import atomic_path
from napari_impartial.core.data.axes import AXES, check_axes
from napari_impartial.core.data.image import Image, planes
from napari_impartial.core.errors import ImPartialError

TIFF_SUFFIXES = (".tif", ".tiff")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
NUMPY_SUFFIXES = (".npy", ".npz")
SUFFIXES = TIFF_SUFFIXES + PICTURE_SUFFIXES + NUMPY_SUFFIXES

# A label that Bio-Formats gives a channel in ImageJ.
_BIO_FORMATS = re.compile(r"c:\d+/\d+\b")

_INT32_MAX = np.iinfo(np.int32).max


@dataclass(frozen=True, eq=False)
class _Content:
    """What a file holds, as far as the file says."""

    array: NDArray[Any]
    axes: str | None = None
    channel_names: tuple[str, ...] | None = None
    pixel_size: tuple[float, float] | None = None
    pixel_unit: str = ""


def read_images(
    path: str | os.PathLike[str],
    axes: str | None = None,
    channels: Sequence[str | int] | None = None,
) -> list[Image]:
    """Read an image file, one image for each time point and slice.

    Parameters
    ----------
    path
        TIFF (of several series the first), OME-TIFF, ImageJ TIFF, PNG, JPEG, BMP, or a
        NumPy file without pickled objects.
    axes
        Letters of ``TZCYX``, one an axis. By default what the file says, otherwise what
        :func:`napari_impartial.core.data.image.guess_axes` makes of its shape.
    channels
        Names, or positions from 0, of the channels to keep; by default all.

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
    content = _read(path)
    letters = content.axes
    if axes is not None:
        given = axes.upper()
        # readers drop axes of length one, so the file may have fewer than the user says
        dropped = len(given) > content.array.ndim and set(letters or "?") <= set(given)
        letters = letters if dropped else given
    name = stem(path)
    try:
        images = planes(
            content.array,
            letters,
            content.channel_names if _names_fit(content, letters) else None,
            name,
            content.pixel_size,
            content.pixel_unit,
        )
        return [image.select(channels) for image in images] if channels is not None else images
    except ImPartialError as error:
        raise ImPartialError(f"{path}: {error}") from error


def read_labels(path: str | os.PathLike[str]) -> NDArray[np.int32]:
    """Read label images: scribbles or instance masks.

    Parameters
    ----------
    path
        As for :func:`read_images`; true or false, whole numbers, or floats that are whole.

    Returns
    -------
    ndarray
        (Y, X) int32, or (N, Y, X) int32 if the file holds several planes: by time point, then
        slice, as images are, if it says which axes these are, and in its order otherwise.

    Raises
    ------
    ImPartialError
        If the file cannot be read, or holds colours, fractions, negative numbers or more
        than five axes.
    """
    labels = read_label_stack(path)
    return labels.reshape(-1, *labels.shape[-2:]) if labels.ndim == 4 else labels


def read_label_stack(path: str | os.PathLike[str]) -> NDArray[np.int32]:
    """Read label images, time points and slices apart if the file says which axes these are.

    Parameters
    ----------
    path
        As for :func:`read_labels`.

    Returns
    -------
    ndarray
        int32: (Y, X), (N, Y, X), or (T, Z, Y, X) if the file says that it has both, whatever
        their order in it.

    Raises
    ------
    ImPartialError
        As :func:`read_labels`.
    """
    content = _read(path)
    array, axes = content.array, content.axes or ""
    if axes.endswith("YXC"):
        # a grey picture saved in colour is still a label image
        colours = array[..., :3] if array.shape[-1] > 2 else array[..., :1]  # less opacity
        if not (colours == colours[..., :1]).all():
            raise ImPartialError(f"{path} is a colour picture; labels have one value a pixel.")
        array, axes = array[..., 0], axes[:-1]
    if 0 <= axes.find("Z") < axes.find("T"):
        array = array.swapaxes(axes.index("Z"), axes.index("T"))
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim in (4, 5) and axes not in ("TZYX", "ZTYX"):
        # axes that nothing is known of, or one of channels, of length one as a rule
        array = array.reshape(-1, *array.shape[-2:])
    if array.ndim not in (2, 3, 4) or array.size == 0:
        raise ImPartialError(
            f"{path} has the shape {array.shape}; labels have rows and columns, or are a "
            "stack of such."
        )
    if array.dtype.kind not in "biuf":
        raise ImPartialError(f"{path} holds {array.dtype}; labels are whole numbers.")
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array % 1 == 0).all()):
        raise ImPartialError(f"{path} holds fractions; labels are whole numbers.")
    if array.min() < 0 or array.max() > _INT32_MAX:
        raise ImPartialError(
            f"{path} holds labels from {array.min()} to {array.max()}; they go from 0 to "
            f"{_INT32_MAX}."
        )
    return array.astype(np.int32)


def write_tiff(
    path: str | os.PathLike[str],
    array: NDArray[Any],
    axes: str | None = None,
    channel_names: Sequence[str] | None = None,
    pixel_size: tuple[float, float] | None = None,
    pixel_unit: str = "",
    compress: bool | None = None,
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
    """Return a file's name without folder and suffix; ``.ome.tif`` is one suffix."""
    name = Path(path).stem
    return name[:-4] if name.lower().endswith(".ome") else name


def _read(path: str | os.PathLike[str]) -> _Content:
    """Read any known file, with one kind of error for all that may be wrong with it."""
    file = Path(path)
    suffix = file.suffix.lower()
    if file.is_dir():
        raise ImPartialError(f"{path} is a folder; name a file in it.")
    if not file.exists():
        raise ImPartialError(f"{path} does not exist.")
    if suffix not in SUFFIXES:
        raise ImPartialError(
            f"{path} is of no kind that can be read; use one of {', '.join(SUFFIXES)}."
        )
    try:
        if suffix in TIFF_SUFFIXES:
            return _read_tiff(file)
        if suffix in NUMPY_SUFFIXES:
            return _Content(_read_numpy(file))
        return _read_picture(file)
    except (ImPartialError, MemoryError):
        raise
    except PermissionError as error:
        raise ImPartialError(f"{path} may not be read: permission denied.") from error
    except Exception as error:
        # decoders raise whatever comes up where a file is cut short or foreign
        # (struct.error, zlib.error, KeyError, SyntaxError ...)
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ImPartialError(
            f"{path} cannot be read; it may be truncated or no {suffix} file ({reason})."
        ) from error


def _read_tiff(file: Path) -> _Content:
    """Read the first series of a TIFF file."""
    with _tiff_complaints() as complaints, tifffile.TiffFile(file) as tif:
        if not tif.series:
            raise ValueError("it holds no image")
        series = tif.series[0]
        try:
            array = series.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            array = _decode_elsewhere(file, series)
        axes = _known_axes(series.axes)
        content = _Content(array, axes)
        if tif.is_ome and tif.ome_metadata:
            content = _with_ome(content, tif.ome_metadata)
        elif tif.is_imagej:
            content = _with_imagej(content, tif)
    # pages that lie beyond the end are left out by the library with no more than a message
    if any("invalid page offset" in complaint for complaint in complaints):
        raise ValueError("pages are missing at its end")
    return content


@contextmanager
def _tiff_complaints() -> Iterator[list[str]]:
    """Collect what the TIFF library would print."""
    found: list[str] = []

    class Collect(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            found.append(record.getMessage())
            return False

    collect = Collect()
    logger = logging.getLogger("tifffile")
    logger.addFilter(collect)
    try:
        yield found
    finally:
        logger.removeFilter(collect)


def _decode_elsewhere(file: Path, series: Any) -> NDArray[Any]:
    """Read pages that are LZW or JPEG compressed, as the TIFF library alone cannot."""
    try:
        pages = [
            iio.imread(file, plugin="pillow", index=page.index)
            for page in series.pages
            if page is not None
        ]
        return np.stack(pages).astype(series.dtype).reshape(series.shape)
    except Exception:
        raise ImPartialError(
            f"{file} is compressed in a way that needs one more package: pip install imagecodecs"
        ) from None


def _known_axes(axes: str) -> str | None:
    """Return a TIFF series's axes in our letters, None if it does not know them."""
    letters = axes if "C" in axes else axes.replace("S", "C")
    return letters if set(letters) <= set(AXES) and "Y" in letters and "X" in letters else None


def _with_ome(content: _Content, xml: str) -> _Content:
    """Add the channel names and pixel size of the first image in OME metadata."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return content
    pixels = root.find(".//{*}Image/{*}Pixels")
    if pixels is None:
        return content
    found = [channel.get("Name") or "" for channel in pixels.findall("{*}Channel")]
    names = tuple(found) if any(found) else None
    unit = pixels.get("PhysicalSizeXUnit", "µm")
    size = _size(pixels.get("PhysicalSizeY"), pixels.get("PhysicalSizeX"))
    if size is None or unit == "pixel":
        unit = ""
    return _Content(content.array, content.axes, names, size, unit)


def _with_imagej(content: _Content, tif: tifffile.TiffFile) -> _Content:
    """Add the channel names and pixel size of an ImageJ file."""
    metadata = tif.imagej_metadata or {}
    labels = metadata.get("Labels")
    names = tuple(_stain(str(label)) for label in labels) if isinstance(labels, list) else None
    unit = str(metadata.get("unit", "")).replace("\\u00B5", "µ")
    unit = {"micron": "µm", "um": "µm", "pixel": "", "inch": "", "cm": "cm"}.get(unit, unit)
    size = None
    if unit:
        tags = tif.series[0].keyframe.tags
        across = (tags.valueof("YResolution"), tags.valueof("XResolution"))
        if all(isinstance(ratio, tuple) and ratio[0] for ratio in across):
            size = _size(*(ratio[1] / ratio[0] for ratio in across))
    return _Content(content.array, content.axes, names, size, unit if size else "")


def _stain(label: str) -> str:
    """Return a slice's label less the file that Bio-Formats writes into it.

    "c:1/3 - slide 7.czi" is the first channel of three, whatever the slide: it has no name.
    """
    return "" if _BIO_FORMATS.match(label) else label


def _size(height: Any, width: Any) -> tuple[float, float] | None:
    """Return a pixel size if both numbers make sense."""
    try:
        size = float(height), float(width)
    except (TypeError, ValueError):
        return None
    return size if all(np.isfinite(v) and v > 0 for v in size) else None


def _names_fit(content: _Content, axes: str | None) -> bool:
    """Tell whether the file's channel names are those of the channel axis in use."""
    names = content.channel_names
    if names is None:
        return False
    known = axes if axes is not None and len(axes) == content.array.ndim else ""
    count = content.array.shape[known.index("C")] if "C" in known else 1
    return len(names) == count


def _read_numpy(file: Path) -> NDArray[Any]:
    """Read the one array of a NumPy file; pickled objects could run code and are refused."""
    loaded = np.load(file, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        if len(loaded.files) != 1:
            raise ImPartialError(
                f"{file} holds {len(loaded.files)} arrays ({', '.join(loaded.files)}); save "
                "the one to use in a file of its own."
            )
        return np.asarray(loaded[loaded.files[0]])


def _read_picture(file: Path) -> _Content:
    """Read a PNG, JPEG or BMP picture."""
    # opened here, since the library leaves a file open that it cannot make sense of
    with file.open("rb") as stream:
        array = np.asarray(iio.imread(stream, plugin="pillow"))
    if array.ndim == 2:
        return _Content(array, "YX")
    if array.ndim == 3 and array.shape[2] == 2:
        # grey and opacity
        return _Content(array[..., 0], "YX")
    if array.ndim != 3:
        raise ImPartialError(f"{file} is a moving picture; save the frame to use on its own.")
    return _Content(array[..., :3], "YXC")


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
