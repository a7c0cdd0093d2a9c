"""Arrays that lie in a file, for results of many images: memory stays bounded.

The system keeps of them in memory what there is room for and what is looked at.
"""

from __future__ import annotations

import os
from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_impartial.core.atomic_write import WorkFolder, reason
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.prediction.result import Prediction

# Arrays share files, since each file that is mapped counts against the system's limit of
# open ones.
CHUNK_BYTES = 256 * 2**20
FIRST_CHUNK_BYTES = 16 * 2**20
# Arrays of layers that are smaller stay in memory.
LARGE_BYTES = 128 * 2**20
_ALIGNMENT = 64


class Scratch:
    """Hands out arrays in files of a temporary folder; :meth:`close` removes them.

    A file is let go of when none of its arrays is in use any more.
    """

    def __init__(self, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._folder = WorkFolder("results")
        self._chunk_bytes = chunk_bytes
        self._chunk: npt.NDArray[np.uint8] = np.zeros(0, np.uint8)
        self._used = 0
        self._number = 0

    def zeros(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return a new array of zeros.

        Raises
        ------
        ImPartialError
            If the disk is full.
        """
        dtype = np.dtype(dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        if self._used + size > len(self._chunk):
            # A first few predictions should not take more of the disk than they need.
            usual = min(self._chunk_bytes, max(2 * len(self._chunk), FIRST_CHUNK_BYTES))
            self._chunk, self._used = self._new_chunk(max(size, usual)), 0
        part = self._chunk[self._used : self._used + size]
        self._used += -(-size // _ALIGNMENT) * _ALIGNMENT
        return part.view(dtype).reshape(shape)

    def large_zeros(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return a new array of zeros, in memory unless it is large."""
        large = int(np.prod(shape)) * np.dtype(dtype).itemsize >= LARGE_BYTES
        return self.zeros(shape, dtype) if large else np.zeros(shape, dtype)

    def keep(self, prediction: Prediction) -> Prediction:
        """Return the same prediction with its arrays in a file."""
        moved: dict[str, Any] = {}
        for field in fields(prediction):
            value = getattr(prediction, field.name)
            if isinstance(value, np.ndarray):
                moved[field.name] = self.copy(value)
        return replace(prediction, **moved)

    def copy(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the same array in a file."""
        moved = self.zeros(array.shape, array.dtype)
        moved[...] = array
        return moved

    def close(self) -> None:
        """Remove the folder; arrays that are still in use stay readable where files may."""
        self._chunk = np.zeros(0, np.uint8)
        self._folder.close()

    def _new_chunk(self, size: int) -> npt.NDArray[np.uint8]:
        self._number += 1
        path = self._folder.path / f"{self._number}.bin"
        try:
            with path.open("wb") as file:
                if hasattr(os, "posix_fallocate"):
                    # All of it now: a full disk is an error here, and the end of the
                    # process if it is found out on writing to the mapped file.
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    file.truncate(size)
            # A plain view: numpy's memmap class would go with every slice of it.
            chunk = np.asarray(np.memmap(path, np.uint8, "r+", shape=(size,)))
        except OSError as error:
            raise ImPartialError(
                f"There is no room for {size / 2**20:.0f} MB of results in "
                f"{self._folder.path} ({reason(error)}); free some space there."
            ) from error
        if os.name == "posix":
            # The file goes with its last array, however the program ends.
            path.unlink()
        return chunk
