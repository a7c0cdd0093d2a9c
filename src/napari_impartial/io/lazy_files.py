"""Image files that are opened without reading their pixels, and how large they are."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile

from napari_impartial.core.errors import note

from .complaints import complaints_of
from .content import Content
from .images import SLIDE_SUFFIXES, TIFF_SUFFIXES, names_fit, read_content
from .lazy import LazyArray
from .limits import check_file


def open_lazy(path: str | os.PathLike[str], level: int = 0) -> Content:
    """Open an image file without reading its pixels, where its format allows that.

    Parameters
    ----------
    path, level
        As for :func:`.images.read_images`. OME-Zarr and TIFF are read part by part; other files
        are read whole.

    Raises
    ------
    ImPartialError
        As :func:`.images.read_images`.
    """
    from .ome_zarr import is_zarr

    content = read_content(path, level, lazy=True)
    if content.doubt:
        note(content.doubt)
    array = content.array
    # What OME-Zarr names are channels, whatever its axes are called.
    known = is_zarr(path) or names_fit(content, content.axes)
    return replace(
        content,
        array=array if isinstance(array, LazyArray) else LazyArray(array, str(path)),
        path=Path(path),
        channel_names=content.channel_names if known else None,
        colour=content.colour and content.axes is not None,
    )


def plane_pixels(path: str | os.PathLike[str], level: int = 0) -> int:
    """Return how many pixels a plane of a TIFF or OME-Zarr file has, without reading them.

    0 for other files, which are read whole in any case, and for those that cannot be read.
    """
    from .ome_zarr import is_zarr, open_image

    if is_zarr(path):
        image = open_image(path, level)
        axes, shape = image.axes or "", image.array.shape
    elif Path(path).suffix.lower() in (*TIFF_SUFFIXES, *SLIDE_SUFFIXES):
        try:
            # A pipe would be waited for.
            file = check_file(path)
            with complaints_of("tifffile"), tifffile.TiffFile(file) as tif:
                series = tif.series[0].levels[level]
                axes, shape = str(series.axes), series.shape
        except Exception:
            return 0  # what is wrong with it is said when it is read
    else:
        return 0
    if "Y" in axes and "X" in axes:
        return int(shape[axes.index("Y")]) * int(shape[axes.index("X")])
    return int(np.prod(sorted(shape)[-2:], dtype=np.int64))
