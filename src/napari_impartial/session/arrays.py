"""Arrays in files of a session's folder, and what may lie in their place."""

from __future__ import annotations

import hashlib
import math
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_impartial.core.errors import ImPartialError
from napari_impartial.io.complaints import complaints_of
from napari_impartial.io.limits import MOST_FOR_A_BYTE, check_pages

# zlib's quickest: strokes and labels shrink a hundredfold, and saving stays a matter of
# milliseconds.
_COMPRESSION: dict[str, Any] = {"compression": "zlib", "compressionargs": {"level": 1}}
_LEAST_PAGE = 2**16
_LEAST_TIFF = 2**16


def is_link(path: Path) -> bool:
    """Return whether a path is a symbolic link, or a junction of Windows."""
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return False
    junction = getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", None)
    tag = getattr(status, "st_reparse_tag", 0)
    return stat.S_ISLNK(status.st_mode) or (junction is not None and tag == junction)


def is_plain_file(path: Path) -> bool:
    """Return whether an ordinary file lies there: no link, pipe or device."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def claimed_of(reference: dict[str, Any]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type that a manifest says of an array."""
    shape, dtype = tuple(reference["shape"]), np.dtype(reference["dtype"])
    if dtype.kind not in "biufc" or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"{shape} of {dtype}")
    return shape, dtype


def place_of(at: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return where a plane lies along the axes before the last two."""
    place = tuple(at)
    fits = len(place) == len(shape) - 2 and all(type(i) is int for i in place)
    if not fits or not all(0 <= i < n for i, n in zip(place, shape, strict=False)):
        raise ValueError(f"no plane {place} in {shape}")
    return place


def digest_of(plane: npt.NDArray[Any]) -> str:
    """Return what the content of a plane hashes to, which is its name."""
    plane = np.ascontiguousarray(plane)
    digest = hashlib.blake2b(f"{plane.shape} {plane.dtype}".encode(), digest_size=16)
    digest.update(plane.view(np.uint8).data)
    return digest.hexdigest()


def _add(digest: hashlib.blake2b, page: npt.NDArray[Any]) -> None:
    """Add a page to what is hashed; the same bytes as another type are another page."""
    digest.update(f"{page.shape} {page.dtype}".encode())
    digest.update(page.data)


def write_pages(path: Path, array: Any) -> str:
    """Write an array page by page, so that one that is not in memory need not fit there.

    Returns
    -------
    str
        What it hashes to.
    """
    digest = hashlib.blake2b(digest_size=16)
    # Colours and other last axes belong to the page: pages of a few pixels are slow.
    trailing = min(2, array.ndim)
    while trailing < array.ndim and np.prod(array.shape[-trailing:]) < _LEAST_PAGE:
        trailing += 1
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for place in np.ndindex(*array.shape[: array.ndim - trailing]):
            page = storable(np.ascontiguousarray(array[place]))
            page = page.reshape(len(page), -1)
            page = page.astype(page.dtype.newbyteorder("="), copy=False)
            _add(digest, page)
            file.write(page, photometric="minisblack", metadata=None, contiguous=False)
    return digest.hexdigest()


def read_pages(path: Path, n_pixels: int, digest: str | None = None) -> npt.NDArray[Any]:
    """Read all pages of one of our files, which has to hold so many pixels.

    Raises
    ------
    ImPartialError
        If it does not, or does not hash to `digest`; the first sessions have none.
    """
    try:
        check_pages(path)
        most = MOST_FOR_A_BYTE * path.stat().st_size + _LEAST_TIFF
        # What it says of damage is said below, in a sentence.
        with complaints_of("tifffile"), tifffile.TiffFile(path) as file:
            pages = list(file.pages)
            # What a page claims is not reserved before it is known to be there.
            claimed = sum(math.prod(page.shape) for page in pages)
            if claimed != n_pixels or sum(page.nbytes for page in pages) > most:
                raise ValueError(f"{claimed} pixels")
            read = [np.ascontiguousarray(page.asarray()) for page in pages]
        if digest is not None:
            found = hashlib.blake2b(digest_size=16)
            for page in read:
                _add(found, page)
            if found.hexdigest() != digest:
                raise ValueError("other content")
        return read[0] if len(read) == 1 else np.stack(read)
    except MemoryError:
        raise
    except FileNotFoundError as error:
        raise ImPartialError(f"{path} is missing; the session is damaged.") from error
    except Exception as error:
        # Decoders raise whatever comes up where a file is cut short.
        raise ImPartialError(f"{path} is truncated or damaged ({type(error).__name__}).") from error


def storable(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return what TIFF files can hold; the manifest remembers the type."""
    return plane.astype(np.uint8) if plane.dtype == bool else plane


def write_plane(path: Path, plane: npt.NDArray[Any]) -> None:
    """Write a plane of strokes or labels, compressed."""
    tifffile.imwrite(path, storable(plane), **_COMPRESSION)
