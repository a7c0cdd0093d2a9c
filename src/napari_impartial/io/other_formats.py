"""CZI, ND2, LIF and whatever else bioio reads, where the user has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_impartial.core.errors import ImPartialError

from .content import Content
from .lazy import LazyArray, first_line

READERS = {".czi": "bioio-czi", ".nd2": "bioio-nd2", ".lif": "bioio-lif"}
"""Endings that need bioio, and which of its readers."""


def open_with_bioio(path: Path, level: int = 0) -> Content:
    """Open the first scene of a file at one of its levels; planes are read as they are asked for.

    Raises
    ------
    ImPartialError
        If bioio or its reader of this format is not installed, the file holds several scenes, or
        it is damaged.
    """
    reader = READERS[path.suffix.lower()]
    advice = f"{path} needs two more packages: pip install bioio {reader}"
    try:
        from bioio import BioImage
    except ImportError:
        raise ImPartialError(f"{advice}; or convert it to OME-TIFF or OME-Zarr.") from None
    try:
        image: Any = BioImage(path)
        scenes = list(image.scenes)
    except Exception as error:
        if type(error).__name__ == "UnsupportedFileFormatError":
            raise ImPartialError(f"{advice}; or convert it to OME-TIFF or OME-Zarr.") from error
        raise ImPartialError(
            f"{path} cannot be read; it may be damaged ({first_line(error)})."
        ) from error
    if len(scenes) > 1:
        raise ImPartialError(
            f"{path} holds {len(scenes)} scenes, and one is used at a time; save each as OME-TIFF "
            "or OME-Zarr."
        )
    levels = list(getattr(image, "resolution_levels", (0,)))
    if level not in levels:
        raise ImPartialError(f"{path} has no level {level}; it has level 0 to {max(levels)}.")
    image.set_resolution_level(level)
    size = image.physical_pixel_sizes
    known = size.Y is not None and size.X is not None
    return Content(
        LazyArray(image.dask_data, str(path)),
        "TCZYX",
        tuple(str(name) for name in image.channel_names or ()) or None,
        (float(size.Y), float(size.X)) if known else None,
        "µm" if known else "",
        spacing={"Z": float(size.Z)} if size.Z is not None else {},
        path=path,
        n_levels=len(levels),
    )
