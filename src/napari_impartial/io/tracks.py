"""Tracks of linked objects, as a table for napari's Tracks layer and as GEFF.

GEFF, the graph format that Ultrack, motile and others exchange, is a few zarr arrays. The package
``geff`` would write them, but brings a graph library and a framework of commands along; the tests
read what is written here with it.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_impartial.core.atomic_write import atomic_folder, atomic_path, reason
from napari_impartial.core.errors import ImPartialError

from .lazy import import_zarr
from .ome_zarr_writer import unit_word

ENDINGS = {"tracks": "_tracks.csv", "graph": "_tracks.geff"}
"""What the file of each kind is called, after the image's name."""

_GEFF_VERSION = "1.3"
_TYPES = {"t": "time", "z": "space", "y": "space", "x": "space"}


@dataclass(frozen=True)
class Tracks:
    """Where linked objects are, one row for each object and time point.

    Attributes
    ----------
    columns : mapping of str to (N,) array
        ``track_id``; ``t``; ``z`` of stacks that have it; ``y`` and ``x``, in pixels. Rows are in
        the order of tracks, then of time points.
    """

    columns: Mapping[str, NDArray[Any]]

    @classmethod
    def of(cls, table: Mapping[str, NDArray[Any]]) -> Tracks:
        """Take them from measurements of which the labels are those of linked objects."""
        order = np.lexsort((table["t"], table["label"]))
        names = {"track_id": "label", "t": "t", "z": "z", "y": "centroid_y", "x": "centroid_x"}
        return cls({new: table[old][order] for new, old in names.items() if old in table})

    @property
    def axes(self) -> list[str]:
        """Names of the columns that say where."""
        return [name for name in _TYPES if name in self.columns]

    @property
    def edges(self) -> NDArray[np.uint64]:
        """(E, 2) rows that follow each other in a track."""
        track = self.columns["track_id"]
        one = np.flatnonzero(track[1:] == track[:-1])
        return np.stack([one, one + 1], axis=1).astype(np.uint64)


def write_tracks(path: Path, tracks: Tracks) -> None:
    """Write a table of which ``numpy.loadtxt(path, delimiter=",", skiprows=1)`` is a Tracks layer.

    Raises
    ------
    ImPartialError
        If it cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        names = ["track_id", *tracks.axes]
        writer.writerow(names)
        columns = [tracks.columns[name] for name in names]
        for row in zip(*columns, strict=True):
            writer.writerow([f"{v:.3f}" if isinstance(v, np.floating) else int(v) for v in row])


def write_geff(
    path: Path,
    tracks: Tracks,
    pixel_size: tuple[float, float] | None = None,
    pixel_unit: str = "",
    spacing: Mapping[str, float] | None = None,
) -> None:
    """Write tracks as a graph, whole or not at all: a node for each row, an edge for each step.

    Parameters
    ----------
    path : Path
        A folder, by habit ending in ``.geff``.
    tracks : Tracks
    pixel_size, pixel_unit, spacing
        As of :func:`.images.write_tiff`.

    Raises
    ------
    ImPartialError
        If it cannot be written, or something else lies there.
    """
    zarr = import_zarr()
    if path.exists() and not (path / ".zgroup").exists():
        raise ImPartialError(f"{path} exists and is no GEFF store; move it.")
    try:
        with atomic_folder(path, replace=True) as made:
            group = zarr.open_group(str(made), mode="w-", zarr_format=2)
            count = len(tracks.columns["track_id"])
            _write(group, "nodes/ids", np.arange(count, dtype=np.uint64))
            group.require_group("nodes/props")
            group.require_group("edges/props")
            for name, column in tracks.columns.items():
                _write(group, f"nodes/props/{name}/values", _plain(column))
            _write(group, "edges/ids", tracks.edges)
            group.attrs["geff"] = {
                "geff_version": _GEFF_VERSION,
                "directed": True,
                "axes": _axes(tracks, pixel_size, pixel_unit, spacing or {}),
                "node_props_metadata": {
                    name: {
                        "identifier": name,
                        "dtype": str(_plain(column).dtype),
                        "varlength": False,
                    }
                    for name, column in tracks.columns.items()
                },
                "edge_props_metadata": {},
                "track_node_props": {"tracklet": "track_id"},
                "extra": {},
            }
    except OSError as error:
        raise ImPartialError(f"Cannot write {path}: {reason(error)}.") from error


def _plain(column: NDArray[Any]) -> NDArray[Any]:
    return column.astype(np.float64 if column.dtype.kind == "f" else np.int64)


def _write(group: Any, name: str, array: NDArray[Any]) -> None:
    # Chunks of no rows are none.
    chunks = tuple(max(n, 1) for n in array.shape)
    made = group.create_array(name, shape=array.shape, chunks=chunks, dtype=array.dtype)
    if array.size:
        made[...] = array


def _axes(
    tracks: Tracks,
    pixel_size: tuple[float, float] | None,
    pixel_unit: str,
    spacing: Mapping[str, float],
) -> list[dict[str, Any]]:
    steps = {name.lower(): step for name, step in spacing.items()}
    if pixel_size is not None:
        steps |= {"y": pixel_size[0], "x": pixel_size[1]}
    word = unit_word(pixel_unit)
    found: list[dict[str, Any]] = []
    for name in tracks.axes:
        axis: dict[str, Any] = {"name": name, "type": _TYPES[name]}
        column: Sequence[Any] | NDArray[Any] = tracks.columns[name]
        if len(column):
            axis |= {"min": float(np.min(column)), "max": float(np.max(column))}
        unit = "second" if name == "t" else word
        if name in steps and unit:
            axis |= {"scale": float(steps[name]), "scaled_unit": unit}
        found.append(axis)
    return found
