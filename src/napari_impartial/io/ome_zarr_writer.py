"""Writes OME-Zarr: images and labels as pyramids, block by block, 0.4 (zarr 2) and 0.5 (zarr 3)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_impartial.core.atomic_write import atomic_folder, reason, replace_folder
from napari_impartial.core.errors import ImPartialError

from .lazy import import_zarr
from .ome_zarr import UNITS, is_zarr

VERSIONS = ("0.4", "0.5")
"""Versions of OME-Zarr that are written, the later one by default."""

CHUNK_PX = 512
"""Side of the chunks that are written."""

_KINDS = {"T": "time", "C": "channel", "Z": "space", "Y": "space", "X": "space"}
_WORDS = {short: word for word, short in UNITS.items()}


@dataclass(frozen=True)
class Layout:
    """Description of what is to be written.

    Attributes
    ----------
    shape : tuple of int
        Of the finest level.
    axes : str
        Letters of ``TCZYX`` in this order, Y and X last.
    dtype : dtype
    name : str
    version : str
        One of :data:`VERSIONS`.
    pixel_size : (float, float) or None
        Height and width of a pixel.
    pixel_unit : str
    spacing : mapping of str to float
        Size of a step along Z, in `pixel_unit`, and along T, in seconds, where they are known.
    channel_names : sequence of str
        One a channel, of images.
    labels : bool
        Whether the values are ids and not intensities.
    alone : bool
        Whether labels lie by themselves, and not in the store of their image.
    chunk_px : int
        Side of the chunks.
    """

    shape: tuple[int, ...]
    axes: str
    dtype: DTypeLike
    name: str = "image"
    version: str = VERSIONS[-1]
    pixel_size: tuple[float, float] | None = None
    pixel_unit: str = ""
    spacing: Mapping[str, float] = field(default_factory=dict)
    channel_names: Sequence[str] = ()
    labels: bool = False
    alone: bool = False
    chunk_px: int = CHUNK_PX

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shape of each level: rows and columns halved, rounded up, until one chunk holds them."""
        found = [tuple(self.shape)]
        while max(found[-1][-2:]) > CHUNK_PX:
            *lead, y, x = found[-1]
            found.append((*lead, -(-y // 2), -(-x // 2)))
        return found

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of the chunks: one plane, one channel."""
        *lead, y, x = self.shape
        return (*(1 for _ in lead), min(y, self.chunk_px), min(x, self.chunk_px))


def create(path: Path, layout: Layout) -> list[Any]:
    """Make an image or labels without content yet.

    Parameters
    ----------
    path : Path
        Group to make.
    layout : Layout

    Returns
    -------
    list of zarr.Array
        The levels, the finest first.
    """
    zarr = import_zarr()
    zarr_format = 2 if layout.version == "0.4" else 3
    # An empty folder may be locked by whoever made it; "w" would remove it and make another.
    mode: Literal["w", "w-"] = "w" if path.is_dir() and any(path.iterdir()) else "w-"
    group = zarr.open_group(str(path), mode=mode, zarr_format=zarr_format)
    arrays = [
        group.create_array(
            str(level),
            shape=shape,
            chunks=layout.chunks,
            dtype=np.dtype(layout.dtype),
            fill_value=0,
            **_encoding(zarr_format, layout.axes),
        )
        for level, shape in enumerate(layout.shapes)
    ]
    # Last, so that what is cut short is no image to anybody.
    attributes = _metadata(layout)
    group.attrs.update(attributes if zarr_format == 2 else {"ome": attributes})
    return arrays


def create_labels(image: Path, layout: Layout) -> list[Any]:
    """Make labels of an image that :func:`create` has made; arguments are those of it."""
    zarr = import_zarr()
    zarr_format = 2 if layout.version == "0.4" else 3
    holder = zarr.open_group(str(image / "labels"), mode="a", zarr_format=zarr_format)
    attributes = dict(holder.attrs).get("ome", {}) if zarr_format == 3 else dict(holder.attrs)
    names = sorted({*attributes.get("labels", []), layout.name})
    arrays = create(image / "labels" / layout.name, layout)
    if zarr_format == 2:
        holder.attrs.update({"labels": names})
    else:
        holder.attrs.update({"ome": {"version": layout.version, "labels": names}})
    return arrays


def write_image(path: Path, array: NDArray[Any], layout: Layout) -> None:
    """Write an image that is in memory, with its pyramid, whole or not at all.

    Raises
    ------
    ImPartialError
        If something else lies at `path`, or it cannot be written.
    """
    _check_free(path)
    try:
        with atomic_folder(path, replace=True) as temporary:
            levels = create(temporary, layout)
            levels[0][...] = array
            write_coarser(levels, layout.labels)
    except OSError as error:
        raise ImPartialError(f"Cannot write {path}: {reason(error)}.") from error


def put_in_place(made: Path, path: Path) -> None:
    """Rename a finished store; one of an earlier run at its place is replaced.

    Raises
    ------
    ImPartialError
        If what lies there is no zarr store.
    """
    _check_free(path)
    replace_folder(made, path)


def _check_free(path: Path) -> None:
    if path.exists() and not is_zarr(path):
        raise ImPartialError(
            f"{path} exists and is no zarr store; move it or choose another --out."
        )


def regions(shape: tuple[int, ...], side: int) -> Iterator[tuple[slice, ...]]:
    """Go through an array plane by plane, in squares of rows and columns."""
    for lead in np.ndindex(*shape[:-2]):
        for y in range(0, shape[-2], side):
            for x in range(0, shape[-1], side):
                yield (
                    *(slice(i, i + 1) for i in lead),
                    slice(y, min(y + side, shape[-2])),
                    slice(x, min(x + side, shape[-1])),
                )


def write_coarser(levels: Sequence[Any], labels: bool) -> None:
    """Write all levels but the finest, each from the one before."""
    for fine, coarse in itertools.pairwise(levels):
        for region in regions(coarse.shape, 2 * CHUNK_PX):
            coarse[region] = shrunk(fine, region, labels)


def shrunk(fine: Any, region: tuple[slice, ...], labels: bool) -> NDArray[Any]:
    """Return a region of the next coarser level.

    Of labels every second pixel: means of ids are no ids. Of images the mean of 2 x 2 px.
    """
    *lead, rows, cols = region
    part = np.asarray(
        fine[(*lead, slice(2 * rows.start, 2 * rows.stop), slice(2 * cols.start, 2 * cols.stop))]
    )
    if labels:
        return part[..., ::2, ::2]
    odd = [(0, 0)] * (part.ndim - 2) + [(0, n % 2) for n in part.shape[-2:]]
    part = np.pad(part, odd, mode="edge")
    *before, y, x = part.shape
    mean = part.reshape(*before, y // 2, 2, x // 2, 2).mean(axis=(-3, -1), dtype=np.float32)
    if part.dtype.kind in "iu":
        mean = np.rint(mean)
    return np.asarray(mean.astype(part.dtype))


def unit_word(unit: str) -> str:
    """Return OME-Zarr's word for a unit of length such as "µm"; "" where there is none."""
    return _WORDS.get(unit, "")


def _encoding(zarr_format: int, axes: str) -> dict[str, Any]:
    """Return how arrays of a format are stored."""
    if zarr_format == 2:
        from numcodecs import Blosc

        return {
            "compressors": Blosc(cname="zstd", clevel=3, shuffle=Blosc.SHUFFLE),
            "chunk_key_encoding": {"name": "v2", "separator": "/"},
        }
    from zarr.codecs import BloscCodec, BloscShuffle

    return {
        "compressors": BloscCodec(cname="zstd", clevel=3, shuffle=BloscShuffle.shuffle),
        "dimension_names": [letter.lower() for letter in axes],
    }


def _metadata(layout: Layout) -> dict[str, Any]:
    """Return OME-Zarr's words for it."""
    axes = []
    for letter in layout.axes:
        axis = {"name": letter.lower(), "type": _KINDS[letter]}
        if letter in "ZYX" and layout.pixel_unit in _WORDS:
            axis["unit"] = _WORDS[layout.pixel_unit]
        if letter == "T" and "T" in layout.spacing:
            axis["unit"] = "second"
        axes.append(axis)
    steps = {**layout.spacing}
    if layout.pixel_size is not None:
        steps |= {"Y": layout.pixel_size[0], "X": layout.pixel_size[1]}
    datasets = []
    for level in range(len(layout.shapes)):
        scale = [
            float(steps.get(letter, 1.0)) * (2**level if letter in "YX" else 1)
            for letter in layout.axes
        ]
        # The middle of a mean of 2 x 2 px lies between the pixels; every second pixel stays put.
        shift = [
            0.0
            if layout.labels or letter not in "YX"
            else (2**level - 1) / 2 * float(steps.get(letter, 1.0))
            for letter in layout.axes
        ]
        transforms: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if any(shift):
            transforms.append({"type": "translation", "translation": shift})
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
    multiscale: dict[str, Any] = {
        "name": layout.name,
        "axes": axes,
        "datasets": datasets,
        "type": "nearest" if layout.labels else "mean",
    }
    metadata: dict[str, Any] = {"multiscales": [multiscale]}
    (multiscale if layout.version == "0.4" else metadata)["version"] = layout.version
    if layout.labels:
        metadata["image-label"] = {} if layout.alone else {"source": {"image": "../../"}}
        if layout.version == "0.4":
            metadata["image-label"]["version"] = layout.version
    elif "C" in layout.axes:
        metadata["omero"] = {
            "channels": [
                {
                    "label": name,
                    "active": number == 0,
                    "color": colour,
                    "window": {"min": 0.0, "max": 1.0, "start": 0.0, "end": 1.0},
                }
                for number, (name, colour) in enumerate(
                    zip(layout.channel_names, _colours(len(layout.channel_names)), strict=True)
                )
            ]
        }
    return metadata


def _colours(count: int) -> list[str]:
    colours = ["FFFFFF", "FF8800", "00FF88", "8888FF", "FF00FF", "FFFF00"]
    return [colours[i % len(colours)] for i in range(count)]
