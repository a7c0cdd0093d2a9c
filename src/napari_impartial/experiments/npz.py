"""Read the arrays of large NumPy archives row by row, in bounded memory."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_impartial.core.errors import ImPartialError
from napari_impartial.io.limits import MOST_FOR_A_BYTE
from napari_impartial.io.numpy_files import read_header


class ArrayStream:
    """One array of a ``.npz`` file, read from the first index of its first axis to the last.

    Nothing is unpickled, and no more than one item along the first axis is in memory.

    Parameters
    ----------
    path
        The archive, compressed or not.
    name
        The array's name in it.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype

    Raises
    ------
    ImPartialError
        If the file is missing or no such archive, or the array is missing, holds pickled
        objects or is stored column by column.
    """

    def __init__(self, path: str | os.PathLike[str], name: str) -> None:
        self._path, self._name = Path(path), name
        if not self._path.is_file():
            raise ImPartialError(f"{path} does not exist.")
        try:
            with zipfile.ZipFile(self._path) as archive:
                names = [n.removesuffix(".npy") for n in archive.namelist()]
                if name not in names:
                    raise ImPartialError(
                        f"{path} holds no array {name!r}; it has {', '.join(names) or 'none'}."
                    )
                with archive.open(f"{name}.npy") as stream:
                    self.shape, by_column, self.dtype = read_header(stream)
        except ImPartialError:
            raise
        except Exception as error:
            # A flipped bit asks for a password, another compression, or Python's parser.
            raise ImPartialError(
                f"{path} cannot be read; it may be truncated or no .npz file ({error})."
            ) from error
        if self.dtype.hasobject:
            raise ImPartialError(
                f"{name!r} in {path} holds pickled objects, which could run code and are not "
                "opened."
            )
        if by_column or not self.shape:
            raise ImPartialError(
                f"{name!r} in {path} is not stored row by row; save it again with numpy.savez."
            )

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Yield the items along the first axis.

        Raises
        ------
        ImPartialError
            If the file ends early or is damaged.
        """
        item = self.shape[1:]
        size = math.prod(item) * self.dtype.itemsize
        try:
            # What an item claims is not reserved before it can be there.
            if size > MOST_FOR_A_BYTE * self._path.stat().st_size:
                raise EOFError("it ends early")
            with (
                zipfile.ZipFile(self._path) as archive,
                archive.open(f"{self._name}.npy") as stream,
            ):
                read_header(stream)
                for _ in range(len(self)):
                    data = stream.read(size)
                    if len(data) < size:
                        raise EOFError("it ends early")
                    yield np.frombuffer(data, self.dtype).reshape(item)
        except Exception as error:
            raise ImPartialError(
                f"{self._path} cannot be read to its end; it may be truncated ({error})."
            ) from error
