"""Files of outlined objects, of whichever program, and the label images that they stand for."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_impartial.core.errors import ImPartialError

from .geojson import is_geojson, packed_geojson, read_geojson
from .labels import Labels, open_labels
from .limits import check_file
from .regions import Region, planes_needed, rasterise, reach
from .rois import read_rois

KINDS = "Outlined objects (*.zip *.roi *.geojson *.json *.geojson.gz)"
"""Choice of a file dialog."""


def is_regions(path: str | os.PathLike[str]) -> bool:
    """Return whether a file, by its name, holds outlined objects."""
    name = os.fspath(path).lower()
    return name.endswith((".zip", ".roi")) or is_geojson(name)


def read_regions(path: str | os.PathLike[str]) -> list[Region]:
    """Read the outlined objects of an ImageJ ROI file or a GeoJSON file.

    Raises
    ------
    ImPartialError
        If the file is missing, of no such kind or damaged, or holds no area.
    """
    # Before anything is opened: a pipe would be waited for.
    file = check_file(path)
    return read_geojson(file) if is_geojson(file.name) or _has_geojson(file) else read_rois(file)


def _has_geojson(file: Path) -> bool:
    """Return whether an archive holds GeoJSON."""
    try:
        with zipfile.ZipFile(file) as archive:
            return bool(packed_geojson(archive))
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False  # what is wrong with it, its reader says


def open_labels_or_regions(
    path: str | os.PathLike[str], other: str | os.PathLike[str] | None = None
) -> Labels:
    """Read a label image, or the outlined objects of another program as one.

    Parameters
    ----------
    path
        As for :func:`.labels.open_labels` or :func:`read_regions`.
    other
        File of labels that the objects belong to, which says how large the image is and how many
        planes it has; without one, or if it holds outlined objects as well, they lie on as many
        rows, columns and planes as they need.

    Raises
    ------
    ImPartialError
        As those, and if the objects do not fit the other file.
    """
    if not is_regions(path):
        return open_labels(path)
    regions = read_regions(path)
    if other is not None and not is_regions(other):
        labels = open_labels(other)
        if labels.array.ndim > 3 and labels.axes is None:
            raise ImPartialError(
                f"{other} does not say which of its axes are time points and which are slices; "
                f"save it with its axes, so that the objects of {path} find their planes."
            )
        lengths = labels.in_order().shape[:-2]
        axes = "".join(sorted(labels.axes or "Z" * len(lengths)))
        return _labels_of(path, regions, labels.array.shape[-2:], axes, lengths)
    everything = regions + (read_regions(other) if other is not None else [])
    axes, lengths = planes_needed(everything)
    return _labels_of(path, regions, reach(everything), axes, lengths)


def _labels_of(
    path: str | os.PathLike[str],
    regions: list[Region],
    shape: tuple[int, ...],
    axes: str,
    lengths: tuple[int, ...],
) -> Labels:
    try:
        array: NDArray[np.int32] = rasterise(regions, (shape[0], shape[1]), axes, lengths)
    except ImPartialError as error:
        raise ImPartialError(f"{path}: {error}") from None
    return Labels(path, array, axes)
