"""napari's reader and writers of outlines: ImageJ ROI files and GeoJSON."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.layers import Image as ImageLayer

from napari_impartial.core.errors import ImPartialError
from napari_impartial.gui.layers.image_source import data_of
from napari_impartial.io.outlines import write_geojson, write_roi_zip
from napari_impartial.io.rois import read_roi_zip, roi_extent

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """Return the reader if the file is one of ImageJ ROIs; other zip files are left alone."""
    if not isinstance(path, str):
        return None
    if path.lower().endswith(".roi"):
        return read_rois
    try:
        with zipfile.ZipFile(path) as archive:
            return (
                read_rois if any(n.lower().endswith(".roi") for n in archive.namelist()) else None
            )
    except (OSError, zipfile.BadZipFile):
        return None


def read_rois(path: str) -> list[LayerData]:
    """Return the areas of an ROI file as labels.

    They lie on the pixels of the selected Image layer; where none is, or it is too small
    to be theirs, on as many pixels as they need.
    """
    extent = roi_extent(path)
    meta: dict[str, Any] = {"name": Path(path).stem}
    shape = extent
    viewer = napari.current_viewer()
    layer = None if viewer is None else viewer.layers.selection.active
    if isinstance(layer, ImageLayer):
        # Of the colours of an RGB layer napari makes no dimension.
        rows, columns = data_of(layer).shape[: layer.ndim][-2:]
        if rows >= extent[0] and columns >= extent[1]:
            shape = (int(rows), int(columns))
            for name in ("scale", "translate", "units"):
                meta[name] = tuple(getattr(layer, name)[-2:])
    return [(read_roi_zip(path, shape), meta, "labels")]


def write_roi_file(path: str, data: Any, _: dict[str, Any]) -> list[str]:
    """Write a Labels layer as an ImageJ ROI zip."""
    write_roi_zip(path, np.asarray(data))
    return [path]


def write_geojson_file(path: str, data: Any, _: dict[str, Any]) -> list[str]:
    """Write a Labels layer as GeoJSON."""
    write_geojson(path, np.asarray(data))
    return [path]


def write_outlines(path: str, labels: np.ndarray) -> int:
    """Write outlines in the format that the name's end says; return how many."""
    suffix = Path(path).suffix.lower()
    if suffix == ".zip":
        return write_roi_zip(path, labels)
    if suffix in (".geojson", ".json"):
        return write_geojson(path, labels)
    raise ImPartialError(f"{path} ends in neither .zip (ImageJ ROIs) nor .geojson.")
