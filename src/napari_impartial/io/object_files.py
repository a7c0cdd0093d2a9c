"""The files that hold the objects of an image: labels, outlines and a table."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_impartial.core.atomic_write import atomic_path
from napari_impartial.core.instances.measurements import to_csv

from .images import write_tiff
from .outlines import write_geojson, write_roi_zip

Table = dict[str, NDArray[Any]]

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
    n_channels : int
        Of the image.
    classes
        By plane, the names of the objects' kinds by their labels, where there are several kinds.
    """

    labels: NDArray[Any]
    stack_axes: str = ""
    pixel_size: tuple[float, float] | None = None
    pixel_unit: str = ""
    n_channels: int = 1
    classes: Mapping[tuple[int, ...], Mapping[int, str]] = field(default_factory=dict)


def object_files(name: str, folder: Path) -> dict[str, Path]:
    """Return where the files of an image's objects lie, one of each kind."""
    return {kind: folder / f"{name}{ending}" for kind, ending in ENDINGS.items()}


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
        )
    elif kind == "rois":
        write_roi_zip(path, objects.labels, objects.stack_axes, objects.n_channels)
    else:
        write_geojson(path, objects.labels, objects.stack_axes, objects.classes)


def write_table(path: str | os.PathLike[str], table: Table) -> None:
    """Write a table as comma-separated values, whole or not at all.

    Raises
    ------
    ImPartialError
        If it cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(to_csv(table), encoding="utf-8", errors="backslashreplace", newline="")


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
