"""Read pictures: PNG, JPEG, BMP."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from napari_impartial.core.errors import ImPartialError, note

from .content import Content
from .limits import check_claim

# Others that the library knows are not asked for, and some would start programs.
_FORMATS = ("PNG", "JPEG", "BMP")
_LOSSY = {"JPEG": "JPEG", "MPO": "JPEG"}
_ORIENTATION = 274
# Of a PNG: how many bits a sample has, and whether it is grey, colour, with opacity.
_DEPTH, _KIND = 24, 25
_GREY, _INDEXED = 0, 3


def read_picture(file: Path) -> Content:
    """Read a PNG, JPEG or BMP picture with one frame.

    Raises
    ------
    ImPartialError
        If it has several frames, or colours that are no red, green and blue, or cannot be
        read with all its bits.
    """
    with file.open("rb") as stream:
        head = stream.read(_KIND + 1)
    png = head[:8] == b"\x89PNG\r\n\x1a\n" and len(head) > _KIND
    with warnings.catch_warnings():
        # The library's own bound is about pixels; ours is about what the file can hold.
        warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
        with file.open("rb") as stream, PIL.Image.open(stream, formats=_FORMATS) as picture:
            check_claim(file, picture.width * picture.height * 4)
            frames = getattr(picture, "n_frames", 1)
            if frames > 1:
                raise ImPartialError(
                    f"{file} holds {frames} pictures; save the one to use on its own."
                )
            if picture.getexif().get(_ORIENTATION, 1) not in (0, 1):
                note(
                    f"{file} says that it is to be shown turned or mirrored (orientation "
                    f"{picture.getexif()[_ORIENTATION]}); it is read as it is stored, as napari "
                    "does."
                )
            if png and head[_DEPTH] == 16 and head[_KIND] not in (_GREY, _INDEXED):
                return _of_samples(_read_deep(file))
            content = _of_picture(picture, file)
    if png and head[_KIND] == _GREY and head[_DEPTH] in (2, 4):
        # The library spreads these over 0 to 255; labels would become others.
        return Content(content.array // (255 // (2 ** head[_DEPTH] - 1)), "YX")
    return content


def _of_picture(picture: PIL.Image.Image, file: Path) -> Content:
    """Return what an opened picture holds."""
    lossy = _LOSSY.get(picture.format or "", "")
    if picture.mode == "P":
        if "transparency" in picture.info:
            note(f"{file} says which of its colours are transparent; that is left out.")
        array = np.asarray(picture)  # loads the palette too
        palette = np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
        return Content(array, "YX", palette=palette, lossy=lossy)
    if picture.mode not in ("1", "L", "LA", "I", "I;16", "I;16B", "F", "RGB", "RGBA"):
        raise ImPartialError(
            f"{file} holds {picture.mode} colours; save it as red, green and blue, or grey."
        )
    if picture.mode in ("L", "RGB") and "transparency" in picture.info:
        note(f"{file} says which of its colours is transparent; that is left out.")
    return _of_samples(np.asarray(picture), lossy)


def _of_samples(array: NDArray[Any], lossy: str = "") -> Content:
    """Return content of (Y, X) grey levels or (Y, X, 2 to 4) samples."""
    if array.ndim == 2:
        return Content(array, "YX", lossy=lossy)
    samples = array.shape[2]
    return Content(array, "YXC", colour=samples > 2, opacity=samples in (2, 4), lossy=lossy)


def _read_deep(file: Path) -> NDArray[Any]:
    """Read a PNG picture of several samples with 16 bits each.

    Raises
    ------
    ImPartialError
        If the one library that can is not there.
    """
    try:
        from imagecodecs import png_decode
    except ImportError:
        raise ImPartialError(
            f"{file} has 16 bits for each colour, of which half would be lost; save it as TIFF, or "
            "pip install imagecodecs."
        ) from None
    return np.asarray(png_decode(file.read_bytes()))
