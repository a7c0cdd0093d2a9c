"""The files that hold the objects of an image: labels, outlines and a table."""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_impartial.core.atomic_write import atomic_path, reason
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.measurements import csv_rows

from .images import write_tiff
from .lazy import first_line
from .outlines import write_geojson, write_roi_zip

Table = dict[str, NDArray[Any]]

# So many rows of a table are text at once.
_ROWS_AT_ONCE, _READ_AT_ONCE = 10_000, 50_000
_INTEGERS = ("label", "area_px", "class", "t", "z", "bbox_y0", "bbox_x0", "bbox_y1", "bbox_x1")
_WORDS = "class_name"
_MARKED_BYTES = 1 << 16

# What no file may be called on one system or another.
_NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f]+')

ENDINGS = {
    "instances": "_instances.tif",
    "rois": "_rois.zip",
    "outlines": "_outlines.geojson",
    "measurements": "_measurements.csv",
}
"""What the file of each kind is called, after the image's name."""


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of an image or stack, and where they lie.

    Attributes
    ----------
    labels : (..., Y, X) integer array
        0 between objects; leading axes are the stack's.
    stack_axes : str
        A letter, T or Z, for each leading axis.
    pixel_size, pixel_unit
        As in :class:`core.data.image.Image`.
    spacing
        Size of a step along Z, in `pixel_unit`, and along T, in seconds, where known.
    n_channels : int
        Of the image.
    classes
        By plane, the names of the objects' kinds by their labels, where there are several kinds.
    """

    labels: NDArray[Any]
    stack_axes: str = ""
    pixel_size: tuple[float, float] | None = None
    pixel_unit: str = ""
    spacing: Mapping[str, float] = field(default_factory=dict)
    n_channels: int = 1
    classes: Mapping[tuple[int, ...], Mapping[int, str]] = field(default_factory=dict)


def object_files(name: str, folder: Path) -> dict[str, Path]:
    """Return where the files of an image's objects lie, one of each kind."""
    return {kind: folder / f"{name}{ending}" for kind, ending in ENDINGS.items()}


def slide_files(name: str, folder: Path) -> dict[str, Path]:
    """Return where the files of a slide's objects lie that are written block by block."""
    return {
        "instances": folder / f"{name}_instances.ome.zarr",
        "outlines": folder / f"{name}_outlines.geojson",
        "measurements": folder / f"{name}_measurements.csv",
        "suggestions": folder / f"{name}_suggestions.json",
    }


def files_beside(store: Path) -> tuple[Path, Path]:
    """Return where the measurements and the suggestions of a slide lie, beside its store."""
    name = store.name.removesuffix(".zarr").removesuffix(".ome")
    return (
        store.with_name(f"{name}{ENDINGS['measurements']}"),
        store.with_name(f"{name}_suggestions.json"),
    )


def file_names(names: Iterable[str]) -> list[str]:
    """Return names that files can have on any system, all different even without case."""
    made: list[str] = []
    taken: set[str] = set()
    for name in names:
        base = _NOT_IN_NAMES.sub("_", name).strip(" .") or "image"
        unique, count = base, 1
        while unique.lower() in taken:
            count += 1
            unique = f"{base}_{count}"
        taken.add(unique.lower())
        made.append(unique)
    return made


def write_objects(kind: str, path: str | os.PathLike[str], objects: Objects) -> None:
    """Write objects as a label image, ImageJ regions or GeoJSON, whole or not at all.

    Parameters
    ----------
    kind
        ``instances`` (.tif), ``rois`` (.zip) or ``outlines`` (.geojson).
    path
        Where to.
    objects
        At least one, for the outlines.

    Raises
    ------
    ImPartialError
        If there is no object to draw a line round, or the file cannot be written.
    """
    if kind == "instances":
        write_tiff(
            path,
            objects.labels,
            objects.stack_axes + "YX",
            pixel_size=objects.pixel_size,
            pixel_unit=objects.pixel_unit,
            spacing=objects.spacing,
        )
    elif kind == "rois":
        write_roi_zip(path, objects.labels, objects.stack_axes, objects.n_channels)
    else:
        write_geojson(path, objects.labels, objects.stack_axes, objects.classes)


def write_table(path: str | os.PathLike[str], table: Mapping[str, NDArray[Any]]) -> None:
    """Write a table as comma-separated values, whole or not at all.

    Raises
    ------
    ImPartialError
        If it cannot be written.
    """
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        columns = dict(table)
        writer.writerow(columns)
        n_rows = max(map(len, columns.values()), default=0)
        for start in range(0, n_rows, _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            writer.writerows(csv_rows({name: column[part] for name, column in columns.items()}))


def read_table(path: Path) -> Table:
    """Read measurements that this program has written, of a million objects in a few seconds.

    Positions, sizes and classes are int32, words are text, and all else is float32. It is read by
    pandas, which napari brings along: in Python's own time, a window beside it would stand still.

    Raises
    ------
    ImPartialError
        If it is missing, damaged or something else.
    """
    import pandas as pd

    try:
        names = [str(name) for name in pd.read_csv(path, nrows=0).columns]
        types = {n: "category" if n == _WORDS else "i4" if n in _INTEGERS else "f4" for n in names}
        # A class may be called NA.
        unknown = {name: ["nan"] for name in names if types[name] == "f4"}
        parts: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
        # In pieces: a large one would be put together with nobody else having a turn.
        with pd.read_csv(
            path, dtype=types, na_values=unknown, keep_default_na=False, chunksize=_READ_AT_ONCE
        ) as pieces:
            for piece in pieces:
                for name, column in piece.items():
                    if name == _WORDS:
                        words = np.asarray(column.cat.categories, dtype=np.str_)
                        parts[name].append(words[column.cat.codes])
                    else:
                        parts[name].append(column.to_numpy())
        table = {name: np.concatenate(parts.pop(name)) for name in names}
    except OSError as error:
        raise ImPartialError(f"{path} cannot be read: {reason(error)}.") from error
    except (ValueError, OverflowError) as error:
        raise ImPartialError(
            f"{path} is damaged or no table of objects ({first_line(error)}); predict again."
        ) from error
    missing = {"label", "centroid_y", "centroid_x", "area_px", "bbox_y0"} - table.keys()
    if missing:
        raise ImPartialError(
            f"{path} is no table of objects: it has no column '{min(missing)}'; predict again."
        )
    return table


def mark_of(path: Path) -> str:
    """Return what tells a table from others, without reading all of it; "" if it cannot be read.

    Its size, and a hash of its beginning and its end.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            digest = hashlib.blake2b(file.read(_MARKED_BYTES), digest_size=8)
            file.seek(max(size - _MARKED_BYTES, 0))
            digest.update(file.read())
    except OSError:
        return ""
    return f"{size}-{digest.hexdigest()}"


def join_tables(tables: Sequence[Table], places: Sequence[Mapping[str, int]]) -> Table:
    """Put the tables of planes below each other.

    Parameters
    ----------
    tables
        One a plane, at least one. Columns that not all of them have are left out.
    places
        Where each plane lies in its stack, such as ``{"z": 3}``; becomes the first columns.
    """
    full = [
        {**{axis: np.full(len(table["label"]), at) for axis, at in place.items()}, **table}
        for table, place in zip(tables, places, strict=True)
    ]
    names = [name for name in full[0] if all(name in table for table in full)]
    return {name: np.concatenate([table[name] for table in full]) for name in names}
