"""Read TIFF files: what they say, nothing zeroed, and no part left out without a word."""

from __future__ import annotations

import re
import stat
import weakref
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import imageio.v3 as iio
import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_impartial.core.data.axes import AXES
from napari_impartial.core.errors import ImPartialError, note
from napari_impartial.core.words import shape_text

from .complaints import complaints_of
from .content import Content
from .lazy import LazyArray, import_zarr
from .limits import check_claim, check_pages
from .tiff_metadata import imagej_metadata, ome_files, ome_metadata, plain_metadata

# What the library says where it goes on with zeros, or with less than there should be.
_HARMFUL = re.compile(
    r"zeroed|failed to read|out of range|missing|page offset|reshape|incompletely|incorrect strip"
    r"|discontiguous|corrupted|expected \d+ frames|cannot be read from|no keyframes|do not match",
    re.IGNORECASE,
)
# An object's own description before what it says, such as "<tifffile.TiffFile 'a.tif'> ".
_SPEAKER = re.compile(r"^<.*?> (?=\S)")
_ONE_VALUE = (
    tifffile.PHOTOMETRIC.MINISWHITE,
    tifffile.PHOTOMETRIC.MINISBLACK,
    tifffile.PHOTOMETRIC.RGB,
    tifffile.PHOTOMETRIC.PALETTE,
    tifffile.PHOTOMETRIC.MASK,
)
_JPEG = (6, 7, 33007, 34892)
# Those that never keep values; others can do either, and do not say.
_LOSSY = {**dict.fromkeys(_JPEG, "JPEG"), 33004: "JPEG 2000"}
_OPACITY = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)
_INKS, _ORIENTATION, _CMYK = 332, 274, 1


def read_tiff(file: Path, level: int = 0, lazy: bool = False) -> Content:
    """Read the one image of a TIFF file.

    Parameters
    ----------
    file
    level
        Of a pyramid, 0 the finest.
    lazy
        Leave the pixels for later (:class:`.lazy.LazyArray`), unless axes have to be joined.

    Raises
    ------
    ImPartialError
        If it holds several images, colours that are no red, green and blue, or is one of
        several files and another is missing.
    ValueError
        If it is damaged.
    """
    check_pages(file)
    with complaints_of("tifffile") as complaints, tifffile.TiffFile(file) as tif:
        if tif.is_ome and tif.ome_metadata:
            _check_sisters(file, tif.ome_metadata)
        if not tif.series:
            raise ValueError("it holds no image")
        # Others are passed on only of what can be read.
        _refuse_missing(complaints)
        series = tif.series[0]
        _check_alone(file, tif)
        _check_whole(file, series)
        page = series.keyframe
        _check_colours(file, page)
        if level >= len(series.levels):
            last = len(series.levels) - 1
            has = f"levels 0 to {last}" if last else "level 0 only"
            raise ImPartialError(f"{file} has no level {level}; it has {has}.")
        stored = series.levels[level]
        lazy = lazy and set(series.axes) <= {*AXES, "S"} and not {"S", "C"} <= set(series.axes)
        array = _later(file, level) if lazy else _pixels(file, stored)
        content = _with_axes(file, Content(array, lossy=_LOSSY.get(int(page.compression), "")), tif)
        if tif.is_ome and tif.ome_metadata:
            content = ome_metadata(content, tif.ome_metadata, file)
        elif tif.is_imagej:
            content = imagej_metadata(content, tif, file)
        else:
            content = plain_metadata(content, page)
        if level and content.pixel_size is not None:
            height, width = (
                size * series.shape[series.axes.index(a)] / stored.shape[stored.axes.index(a)]
                for size, a in zip(content.pixel_size, "YX", strict=True)
            )
            content = replace(content, pixel_size=(height, width))
        _heed(file, complaints)
    return content


def _later(file: Path, level: int) -> LazyArray:
    """Return a level of the first series, of which tiles are read as they are asked for."""
    zarr = import_zarr()
    tif = tifffile.TiffFile(file)
    lazy = LazyArray(zarr.open(tif.series[0].aszarr(level=level), mode="r"), str(file))
    weakref.finalize(lazy, tif.close)
    return lazy


def _heed(file: Path, complaints: list[str]) -> None:
    """Pass complaints on, unless they say that pixels are missing."""
    _refuse_missing(complaints)
    said = [_plain(complaint) for complaint in complaints]
    if said:
        more = f", and {len(said) - 1} more" if len(said) > 1 else ""
        note(f"{file} is not quite in order and is read as far as it goes: {said[0]}{more}.")


def _refuse_missing(complaints: list[str]) -> None:
    """Raise the first complaint that pixels are missing."""
    for text in map(_plain, complaints):
        if _HARMFUL.search(text):
            raise ValueError(f"parts are missing: {text}")


def _plain(complaint: str) -> str:
    return _SPEAKER.sub("", complaint).strip()


def _check_sisters(file: Path, xml: str) -> None:
    """Refuse a part of an image in several files of which one is missing.

    Also one that names files elsewhere: what is read lies beside the file that was named.
    """
    missing = []
    for name in ome_files(xml):
        if name != PurePosixPath(name).name or name != PureWindowsPath(name).name:
            raise ImPartialError(f"{file} says that it goes on in {name}, outside of its folder.")
        try:
            known = stat.S_ISREG((file.parent / name).stat().st_mode)
        except OSError:
            known = False
        # the one that was named may have been renamed since
        if not known and name.lower() != file.name.lower():
            missing.append(name)
    files = ome_files(xml)
    if missing and len(files) > 1:
        raise ImPartialError(
            f"{file} is one of {len(files)} files of an image, and {', '.join(missing[:3])}"
            f"{' and more' if len(missing) > 3 else ''} is missing beside it; put all of them into "
            "one folder."
        )


def _check_alone(file: Path, tif: tifffile.TiffFile) -> None:
    """Refuse a file of several images, unless the others are smaller ones of the first."""
    others = [series for series in tif.series[1:] if not _is_companion(series)]
    if others:
        sizes = [shape_text(s.shape) for s in (tif.series[0], *others)]
        listed = ", ".join(sizes[:4]) + (" ..." if len(sizes) > 4 else "")
        raise ImPartialError(
            f"{file} holds {len(sizes)} images ({listed}); save the one to use in a file of its "
            "own."
        )


def _is_companion(series: Any) -> bool:
    """Tell whether a series is a thumbnail, or a slide's label or overview."""
    if str(series.name).strip().lower() in ("thumbnail", "label", "macro", "overview", "map"):
        return True
    return bool(series.keyframe.is_reduced or series.keyframe.is_mask)


def _check_whole(file: Path, series: Any) -> None:
    """Refuse what claims more than it holds, or reaches beyond its file's end.

    Raises
    ------
    ValueError
        If pixels are missing.
    """
    pages = list(series.pages)
    if any(page is None for page in pages):
        raise ValueError("pages are missing")
    sizes = {page.parent.filehandle.path: page.parent.filehandle.size for page in pages}
    itemsize = np.dtype(series.dtype).itemsize
    claimed = itemsize
    for length in series.shape:
        claimed *= int(length)
    check_claim(file, claimed, sum(sizes.values()))
    if series.dataoffset is not None:
        if series.dataoffset + claimed > series.keyframe.parent.filehandle.size:
            raise ValueError("its last pixels are missing")
        return
    empty = 0
    for page in pages:
        offsets = np.asarray(page.dataoffsets, np.int64)
        counts = np.asarray(page.databytecounts, np.int64)
        if len(offsets) != len(counts):
            raise ValueError("its index is damaged")
        if len(counts) and int((offsets + counts).max()) > sizes[page.parent.filehandle.path]:
            raise ValueError("its last pixels are missing")
        empty += int((counts == 0).sum())
        if int(series.keyframe.compression) in _JPEG:
            _check_jpeg(page, offsets, counts)
    if empty:
        note(f"{file} has {empty} parts without pixels; they are read as 0.")


def _check_jpeg(page: Any, offsets: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
    """Refuse a JPEG part without its end mark: decoders fill up what is missing in silence.

    Raises
    ------
    ValueError
        If one ends early.
    """
    handle = page.parent.filehandle
    for offset, count in zip(offsets.tolist(), counts.tolist(), strict=True):
        if count < 4:
            continue
        handle.seek(offset + max(0, count - 64))
        # some writers fill up with zeros behind the end mark
        if not handle.read(min(count, 64)).rstrip(b"\0").endswith(b"\xff\xd9"):
            raise ValueError("a JPEG part of it ends early")


def _check_colours(file: Path, page: Any) -> None:
    """Refuse colours that are no red, green and blue."""
    kind = page.photometric
    jpeg = int(page.compression) in _JPEG
    inks = page.tags.valueof(_INKS, _CMYK)
    separate = kind == tifffile.PHOTOMETRIC.SEPARATED and inks != _CMYK
    if kind in _ONE_VALUE or separate or (jpeg and kind == tifffile.PHOTOMETRIC.YCBCR):
        return
    name = {tifffile.PHOTOMETRIC.SEPARATED: "CMYK"}.get(kind, getattr(kind, "name", str(kind)))
    raise ImPartialError(f"{file} holds {name} colours; save it as red, green and blue, or grey.")


def _pixels(file: Path, series: Any) -> NDArray[Any]:
    """Decode all pixels of a series."""
    try:
        return np.asarray(series.asarray())
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
    try:
        pages = [
            iio.imread(file, plugin="pillow", index=page.index)
            for page in series.pages
            if page is not None
        ]
        whole = np.stack(pages)
        if whole.dtype.itemsize < np.dtype(series.dtype).itemsize:
            raise ValueError("bits would be lost")
        return whole.astype(series.dtype).reshape(series.shape)
    except Exception:
        raise ImPartialError(
            f"{file} is compressed in a way that needs one more package: pip install imagecodecs"
        ) from None


def _with_axes(file: Path, content: Content, tif: tifffile.TiffFile) -> Content:
    """Add axes and what the samples of a pixel are."""
    series, page = tif.series[0], tif.series[0].keyframe
    array, axes = content.array, str(series.axes)
    for letter in set(axes) - set(AXES) - {"S"}:
        if array.shape[axes.index(letter)] == 1:
            array = array.take(0, axis=axes.index(letter))
            axes = axes.replace(letter, "", 1)
    unnamed = [letter for letter in axes if letter in "QI"]
    doubt = ""
    if len(unnamed) == 1 and set(axes) & set("TZC") and not {"T", "Z"} <= set(axes):
        # Of the others it says what they are.
        free = "Z" if "Z" not in axes else "T"
        axes = axes.replace(unnamed[0], free)
        length, taken = array.shape[axes.index(free)], {"Z": "slices", "T": "time points"}[free]
        doubt = f"{file} does not say what its axis of {length} is; it is taken for {taken}."
    strange = sorted(set(axes) - set(AXES) - set("SQI"))
    if strange:
        names = ", ".join(f"{a} ({tifffile.TIFF.AXES_NAMES.get(a, 'unknown')})" for a in strange)
        doubt = (
            f"{file} has an axis {names} that is none of T, Z, C, Y, X; its axes are guessed, or "
            "say with --axes what they are."
        )
    array, known = _join_samples(array, axes)
    samples = "S" in axes
    colour = samples and page.photometric in (
        tifffile.PHOTOMETRIC.RGB,
        tifffile.PHOTOMETRIC.YCBCR,
    )
    extra = tuple(page.extrasamples or ())
    opacity = samples and bool(extra) and extra[-1] in _OPACITY and "C" not in axes
    palette = None
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE and not tif.is_imagej:
        # ImageJ's are for the eye: the values are what was measured.
        palette = None if page.colormap is None else (np.asarray(page.colormap).T >> 8)
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and array.dtype != bool:
        note(f"{file} says that its 0 is white; its values are taken as they are stored.")
    orientation = page.tags.valueof(_ORIENTATION, 1)
    if orientation not in (0, 1):
        note(
            f"{file} says that it is to be shown turned or mirrored (orientation {orientation}); "
            "it is read as it is stored, as napari does."
        )
    return replace(
        content,
        array=array,
        axes=known,
        colour=colour,
        opacity=opacity,
        palette=palette,
        doubt=doubt,
    )


def _join_samples(array: NDArray[Any], axes: str) -> tuple[NDArray[Any], str | None]:
    """Return the array with samples of a pixel as channels, and axes in our letters.

    Axes are None if the file does not know them.
    """
    if "S" in axes and "C" in axes:
        array = np.moveaxis(array, axes.index("S"), -1)
        rest = axes.replace("S", "")
        place = rest.index("C")
        array = np.moveaxis(array, -1, place + 1)
        shape = array.shape
        array = array.reshape(*shape[:place], shape[place] * shape[place + 1], *shape[place + 2 :])
        axes = rest
    letters = axes.replace("S", "C")
    known = set(letters) <= set(AXES) and "Y" in letters and "X" in letters
    return array, letters if known and len(letters) == array.ndim else None
