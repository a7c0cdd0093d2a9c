"""Read NumPy files with one array: .npy, .npz."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from napari_impartial.core.errors import ImPartialError

from .content import Content
from .limits import check_claim


def read_numpy(file: Path) -> Content:
    """Read the one array of a NumPy file; pickled objects could run code and are refused.

    Raises
    ------
    ImPartialError
        If it holds several arrays, or claims far more than it has.
    """
    if not zipfile.is_zipfile(file):
        with file.open("rb") as stream:
            shape, _, dtype = read_header(stream)
            claimed = _claimed(shape, dtype)
            if claimed > file.stat().st_size - stream.tell() and not dtype.hasobject:
                raise ValueError(f"it claims {claimed} bytes and has fewer")
        return Content(np.load(file, allow_pickle=False))
    with zipfile.ZipFile(file) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        if len(names) != 1:
            raise ImPartialError(
                f"{file} holds {len(names)} arrays ({', '.join(names[:20])}); save "
                "the one to use in a file of its own."
            )
        entry = archive.infolist()[0]
        check_claim(file, entry.file_size)
        with archive.open(entry) as packed:
            shape, _, dtype = read_header(packed)
        claimed = _claimed(shape, dtype)
        check_claim(file, claimed)
        if claimed > entry.file_size and not dtype.hasobject:
            raise ValueError(f"it claims {claimed} bytes and has fewer")
    with np.load(file, allow_pickle=False) as loaded:
        return Content(np.asarray(loaded[names[0]]))


def _claimed(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Return how many bytes an array takes, as a whole number of any size."""
    size = dtype.itemsize
    for length in shape:
        size *= length
    return size


def read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read an array's shape, whether it is stored by column, and its type.

    Raises
    ------
    ValueError
        If it is no ``.npy`` header.
    """
    version = npy.read_magic(stream)
    if version == (1, 0):
        return npy.read_array_header_1_0(stream)
    if version == (2, 0):
        return npy.read_array_header_2_0(stream)
    raise ValueError(f"version {version} of the .npy format is not known")
