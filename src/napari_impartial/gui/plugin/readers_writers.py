"""napari's reader and writers of outlines: ImageJ ROI files and GeoJSON."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.layers import Image as ImageLayer

from napari_impartial.core.errors import ImPartialError
from napari_impartial.gui import notifications
from napari_impartial.gui.layers.image_source import axes_of, data_of
from napari_impartial.io.geojson import is_hidden
from napari_impartial.io.outlines import write_geojson, write_roi_zip
from napari_impartial.io.region_files import read_regions
from napari_impartial.io.regions import Region, planes_needed, rasterise, reach

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """Return the reader if the file is one of outlines; other zip and JSON files are left alone."""
    if not isinstance(path, str):
        return None
    name = path.lower()
    if name.endswith((".roi", ".geojson", ".geojson.gz")):
        return read_rois
    try:
        if name.endswith(".json"):
            with open(path, "rb") as file:
                start = file.read(2000)
            return read_rois if b'"Feature' in start else None
        with zipfile.ZipFile(path) as archive:
            names = [n.lower() for n in archive.namelist() if not is_hidden(n)]
            return read_rois if any(n.endswith((".roi", ".geojson")) for n in names) else None
    except (OSError, ValueError, zipfile.BadZipFile, json.JSONDecodeError):
        return None


def read_rois(path: str) -> list[LayerData]:
    """Return the areas of a file of outlines as labels, plane by plane.

    They lie on the pixels and planes of the selected Image layer; where none is, or it is too
    small to be theirs, on as many as they need. Names, classes and measurements become features.
    """
    with notifications.notes_shown():
        regions = read_regions(path)
    extent = reach(regions)
    axes, lengths = planes_needed(regions)
    viewer = napari.current_viewer()
    layer = None if viewer is None else viewer.layers.selection.active
    if not isinstance(layer, ImageLayer) or any(
        own < needed for own, needed in zip(_shape(layer)[-2:], extent, strict=True)
    ):
        labels = rasterise(regions, extent, axes, lengths)
        return [(labels, {"name": Path(path).stem, **_features(regions, labels)}, "labels")]
    shape = _shape(layer)
    plane = shape[-2], shape[-1]
    letters = axes_of(layer)[: layer.ndim]
    stack = [(a, n) for a, n in zip(letters, shape, strict=False) if a in "TZ" and n > 1]
    if not axes or not stack or not letters.endswith("YX"):
        labels = rasterise(regions, plane, axes, lengths)
    else:
        axes, lengths = "".join(a for a, _ in stack), tuple(n for _, n in stack)
        n_channels = shape[letters.index("C")] if "C" in letters else 1
        labels = rasterise(regions, plane, axes, lengths, n_channels)
        # napari pairs dimensions from the last one on
        full = [1 if a == "C" else n for a, n in zip(letters, shape, strict=False)]
        labels = labels.reshape(full[letters.index("C") == 0 :] if "C" in letters else full)
    like = {}
    if labels.ndim <= layer.ndim:
        for name in ("scale", "translate", "units"):
            like[name] = tuple(getattr(layer, name)[-labels.ndim :])
    return [(labels, {"name": Path(path).stem, **like, **_features(regions, labels)}, "labels")]


def _shape(layer: ImageLayer) -> tuple[int, ...]:
    """Return the lengths of a layer's dimensions; of RGB colours napari makes none."""
    return tuple(int(n) for n in data_of(layer).shape[: layer.ndim])


def _features(regions: Sequence[Region], labels: np.ndarray) -> dict[str, Any]:
    """Return what the file says of each object, as napari's features; {} if it says nothing."""
    named = [region.name or region.classification or region.measurements for region in regions]
    ids = np.unique(labels)
    ids = ids[ids > 0]
    if not any(named):
        return {}
    given = [region.label for region in regions]
    numbers = given if set(ids.tolist()) <= set(given) else list(range(1, len(regions) + 1))
    columns: dict[str, list[Any]] = {
        "index": [0, *numbers],
        "name": ["", *(r.name for r in regions)],
    }
    if any(region.classification for region in regions):
        columns["class"] = ["", *(region.classification for region in regions)]
    for name in dict.fromkeys(name for region in regions for name in region.measurements):
        columns[name] = [np.nan, *(r.measurements.get(name, np.nan) for r in regions)]
    if len(set(columns["index"])) < len(columns["index"]):
        return {}  # one object on several planes has a line for each, which napari cannot show
    return {"features": columns}


def write_roi_file(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Labels layer as an ImageJ ROI zip."""
    write_roi_zip(path, np.asarray(data), _stack_axes(meta, np.ndim(data)))
    return [path]


def write_geojson_file(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Labels layer as GeoJSON."""
    write_geojson(path, np.asarray(data), _stack_axes(meta, np.ndim(data)))
    return [path]


def _stack_axes(meta: dict[str, Any], ndim: int) -> str:
    """Return what the layer calls its leading axes, where it says so; "" otherwise."""
    labels = [str(label).upper() for label in meta.get("axis_labels", ())][: ndim - 2]
    known = len(labels) == ndim - 2 and set(labels) <= {"T", "Z"} and len(set(labels)) == ndim - 2
    return "".join(labels) if known else ""


def write_outlines(path: str, labels: np.ndarray, axis_labels: Sequence[str] = ()) -> int:
    """Write outlines in the format that the name's end says; return how many."""
    suffix = Path(path).suffix.lower()
    axes = _stack_axes({"axis_labels": axis_labels}, labels.ndim)
    if suffix == ".zip":
        return write_roi_zip(path, labels, axes)
    if suffix in (".geojson", ".json"):
        return write_geojson(path, labels, axes)
    raise ImPartialError(f"{path} ends in neither .zip (ImageJ ROIs) nor .geojson.")
