"""Files of outlined objects, of whichever program."""

from __future__ import annotations

import os
from pathlib import Path

from .geojson import read_geojson
from .regions import Region
from .rois import read_rois

KINDS = "Outlined objects (*.zip *.roi *.geojson *.json)"
"""Choice of a file dialog."""


def read_regions(path: str | os.PathLike[str]) -> list[Region]:
    """Read the outlined objects of an ImageJ ROI file or a GeoJSON file.

    Raises
    ------
    ImPartialError
        If the file is missing, of no such kind or damaged, or holds no area.
    """
    if Path(path).suffix.lower() in (".geojson", ".json"):
        return read_geojson(path)
    return read_rois(path)
