"""Files of outlined objects, of whichever program, and the label images that they stand for."""

from __future__ import annotations

import dataclasses
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_impartial.core.data.class_names import same_name, usual_name
from napari_impartial.core.data.mask_scribbles import from_instances
from napari_impartial.core.data.scribbles import BACKGROUND, FOREGROUND, MOST_CLASSES, NOT_ANNOTATED
from napari_impartial.core.errors import ImPartialError, note

from .geojson import is_geojson, packed_geojson, read_geojson
from .labels import Labels, open_labels
from .limits import check_file
from .regions import Region, cells_and_background, planes_needed, rasterise, reach
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


def scribbles_of(
    path: str | os.PathLike[str],
    regions: Sequence[Region],
    shape: tuple[int, int],
    stack_axes: str = "",
    stack_shape: tuple[int, ...] = (),
    n_channels: int = 1,
    kinds: Sequence[str] = (),
) -> NDArray[np.uint8]:
    """Turn the outlined objects of a file into scribbles, plane by plane.

    Parameters
    ----------
    path
        The file, for messages.
    regions, shape, stack_axes, stack_shape, n_channels
        As for :func:`.regions.rasterise`. Those of the class Background are painted as
        background; see :func:`.regions.cells_and_background`.
    kinds
        Names of the kinds of cell, in the order of their labels from 2 on. Objects are painted
        as the kind that their class has the name of, if each class is one of these; all as the
        first kind otherwise, which is told where the file has several classes.

    Returns
    -------
    ndarray
        (..., Y, X) uint8: 0 not annotated, 1 background, 2 and up kinds of cell.

    Raises
    ------
    ImPartialError
        As :func:`.regions.rasterise`.
    """
    cells, background = cells_and_background(path, regions)
    place = (shape, stack_axes, stack_shape, n_channels)
    out = np.zeros((*stack_shape, *shape), np.uint8)
    if cells:
        # numbered as they are listed, so that each pixel tells its object's class
        listed = [dataclasses.replace(region, label=None) for region in cells]
        instances = rasterise(listed, *place)
        labels = np.array([NOT_ANNOTATED, *_labels_of_kinds(path, cells, kinds)], np.uint8)
        for index in np.ndindex(*stack_shape):
            drawn = from_instances(instances[index]).labels
            painted = drawn == FOREGROUND
            drawn[painted] = labels[instances[index][painted]]
            out[index] = drawn
    if background:
        around = rasterise(background, *place) > 0
        out[around & (out == NOT_ANNOTATED)] = BACKGROUND
    return out


def _labels_of_kinds(
    path: str | os.PathLike[str], cells: Sequence[Region], kinds: Sequence[str]
) -> list[int]:
    """Return what each object is painted with."""
    names = list(dict.fromkeys(region.classification for region in cells))
    shown = [*kinds, *map(usual_name, range(FOREGROUND + len(kinds), MOST_CLASSES + 1))]
    known = {}
    for label, kind in reversed([*enumerate(shown, start=FOREGROUND)]):
        known.update({name: label for name in names if same_name(name, kind)})
    if len(known) == len(names):
        return [known[region.classification] for region in cells]
    if len(names) > 1:
        said = ", ".join(name or "none" for name in names)
        note(
            f"{path} holds objects of several classes ({said}); all are taken for cells of one "
            "kind. Name the kinds of cell exactly so to have them told apart."
        )
    return [FOREGROUND] * len(cells)


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
        cells, _ = cells_and_background(path, regions)
        if not cells:
            raise ImPartialError("it holds background only, and no object.")
        array: NDArray[np.int32] = rasterise(cells, (shape[0], shape[1]), axes, lengths)
    except ImPartialError as error:
        raise ImPartialError(f"{path}: {error}") from None
    return Labels(path, array, axes)
