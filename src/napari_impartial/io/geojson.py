"""Read GeoJSON as QuPath writes it."""

from __future__ import annotations

import gzip
import json
import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from napari_impartial.core.errors import ImPartialError, note

from .lazy import first_line
from .limits import ALWAYS_ALLOWED, check_claim, check_file
from .regions import MOST_PIXELS, Region, Ring

# As QuPath writes what JSON has no number for.
_NO_NUMBERS = ("NaN", "Infinity", "-Infinity")
SUFFIXES = (".geojson", ".json")
# Regions of interest and the like, where the file has cells as well.
_AROUND = ("annotation", "tmacore", "root", "pathannotationobject", "tmacoreobject")


def read_geojson(path: str | os.PathLike[str]) -> list[Region]:
    """Read the areas of a GeoJSON file with names, classes, measurements and planes.

    A collection of features, a list of them, a single one or a bare geometry, as QuPath
    writes them, packed (.zip, .gz) or not; objects within objects, too. Ellipses are ellipses.
    Of cells the whole cell is taken, and not its nucleus. Annotations round cells that the file
    has as well are left out.

    Raises
    ------
    ImPartialError
        If the file is missing, no GeoJSON or damaged, or holds no area.
    """
    file = check_file(path)
    try:
        content = [json.loads(one) for one in _unpacked(file)]
        features = _features(content)
        regions, kinds, others = [], [], 0
        for feature in features:
            region = _region(feature)
            if region is None:
                others += 1
            else:
                regions.append(region)
                kinds.append(_kind(feature))
    except (ImPartialError, MemoryError):
        raise
    except Exception as error:
        # JSON that is something else ends in KeyError, TypeError, RecursionError ...
        raise ImPartialError(
            f"{path} cannot be read; it may be damaged or no GeoJSON file ({first_line(error)})."
        ) from error
    if not regions:
        raise ImPartialError(f"{path} holds no area (Polygon or MultiPolygon).")
    if others:
        note(f"{path} holds {others} points or lines, which are no areas and are left out.")
    around = [kind in _AROUND for kind in kinds]
    if any(around) and not all(around):
        note(
            f"{path} holds {sum(around)} annotations round {len(around) - sum(around)} objects; "
            "the annotations are left out."
        )
        regions = [r for r, outside in zip(regions, around, strict=True) if not outside]
    return regions


def is_geojson(name: str) -> bool:
    """Return whether a file, by its name, is GeoJSON, packed as QuPath does it or not."""
    return name.lower().removesuffix(".gz").endswith(SUFFIXES)


def packed_geojson(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the entries of an archive that are GeoJSON."""
    return [
        entry
        for entry in archive.infolist()
        if entry.filename.lower().endswith(SUFFIXES) and not is_hidden(entry.filename)
    ]


def _unpacked(file: Path) -> Iterator[bytes]:
    """Yield the content of each GeoJSON in a file."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            entries = packed_geojson(archive)
            check_claim(file, sum(entry.file_size for entry in entries))
            for entry in entries:
                yield archive.read(entry)
    elif file.suffix.lower() == ".gz":
        with gzip.open(file) as stream:
            content = stream.read(ALWAYS_ALLOWED + 1)
        check_claim(file, len(content), 0)
        yield content
    else:
        yield file.read_bytes()


def is_hidden(name: str) -> bool:
    """Tell the entries that macOS puts into an archive beside each file."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or any(part.startswith("._") for part in parts)


def _features(content: Any) -> list[Mapping[str, Any]]:
    """Return all features of whatever the file holds."""
    if isinstance(content, list):
        return [feature for item in content for feature in _features(item)]
    if not isinstance(content, dict):
        raise ValueError("it is no object")
    if content.get("type") == "FeatureCollection":
        return _features(list(content["features"]))
    if content.get("type") == "Feature":
        properties = content.get("properties") or {}
        within = [properties.get(name) or [] for name in ("childObjects", "children")]
        return [content, *_features([part for part in within if isinstance(part, list)])]
    if "root" in content and "type" not in content:
        return _features(content["root"])
    return [{"type": "Feature", "geometry": content, "properties": {}}]


def _kind(feature: Mapping[str, Any]) -> str:
    properties = feature.get("properties") or {}
    names = ("objectType", "object_type", "type")
    kind = next((properties[name] for name in names if properties.get(name)), feature.get("id"))
    return str(kind or "").lower().replace("_", "")


def _region(feature: Mapping[str, Any]) -> Region | None:
    """Return the area of a feature; None if it has none."""
    geometry = feature["geometry"]
    if not geometry:  # of the root of all objects, say
        return None
    parts = _parts(geometry)
    if not parts:
        return None
    properties = feature.get("properties") or {}
    oval = None
    if geometry.get("isEllipse") is True:
        low, high = parts[0][0].min(axis=0), parts[0][0].max(axis=0)
        oval = (*low.tolist(), *(high - low).tolist())
    plane, ours = geometry.get("plane"), properties.get("plane")
    z = t = 0
    if isinstance(plane, dict):
        z, t = plane.get("z", 0), plane.get("t", 0)
    elif isinstance(ours, list) and 0 < len(ours) < 3:
        # where the first files of this program have it: time point and slice, or one of the two
        t, z = (0, *ours)[-2:]
    label = properties.get("label")
    return Region(
        () if oval else parts,
        oval,
        name=str(properties.get("name") or ""),
        label=label if type(label) is int and 0 < label < 2**31 else None,
        z=_index(z),
        t=_index(t),
        implied=not isinstance(plane, dict) and not isinstance(ours, list),
        classification=_class(properties.get("classification")),
        measurements=_measurements(properties.get("measurements")),
    )


def _parts(geometry: Mapping[str, Any]) -> tuple[tuple[Ring, ...], ...]:
    """Return outer rings with their holes; none of points and lines.

    Raises
    ------
    ValueError
        If the geometry is none.
    """
    kind = geometry["type"]
    if kind == "Polygon":
        rings = tuple(_ring(points) for points in geometry["coordinates"])
        return (rings,) if rings else ()
    if kind == "MultiPolygon":
        return tuple(tuple(map(_ring, rings)) for rings in geometry["coordinates"] if rings)
    if kind == "GeometryCollection":
        return tuple(part for one in geometry["geometries"] for part in _parts(one))
    if kind in ("Point", "MultiPoint", "LineString", "MultiLineString"):
        return ()
    raise ValueError(f"{kind!r} is no geometry")


def _ring(points: Any) -> Ring:
    """Return a ring's corners; a height, a third number, means nothing here."""
    ring = np.array([(float(point[0]), float(point[1])) for point in points]).reshape(-1, 2)
    if not (np.abs(ring) <= MOST_PIXELS).all():
        raise ValueError("a corner lies farther out than any image")
    return ring


def _index(value: Any) -> int:
    """Return a slice or time point, from 0."""
    index = int(value)
    if not 0 <= index < MOST_PIXELS:
        raise ValueError(f"there is no plane {value}")
    return index


def _class(value: Any) -> str:
    """Return the class of an object; of derived ones all names, as QuPath shows them."""
    if isinstance(value, dict):
        names = value.get("names")
        return ": ".join(map(str, names)) if isinstance(names, list) else str(value.get("name", ""))
    return str(value) if isinstance(value, str) else ""


def _measurements(value: Any) -> dict[str, float]:
    """Return measurements, in today's form (an object) or that of old versions (a list)."""
    if isinstance(value, list):
        value = {one.get("name"): one.get("value") for one in value if isinstance(one, dict)}
    if not isinstance(value, dict):
        return {}
    return {
        str(name): float(number) if number is not None else math.nan
        for name, number in value.items()
        if number is None or type(number) in (int, float) or number in _NO_NUMBERS
    }
