"""Arrays in files, of which parts are read as they are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_impartial.core.errors import ImPartialError


class LazyArray:
    """Array in a file of which parts are read when they are indexed.

    Parameters
    ----------
    array : array-like
        With `shape`, `dtype` and indexing by whole numbers and slices.
    where : str
        What the message calls it when a part cannot be read.
    """

    def __init__(self, array: Any, where: str) -> None:
        self._array, self._where = array, where
        self.shape: tuple[int, ...] = tuple(int(n) for n in array.shape)
        self.dtype = np.dtype(array.dtype)
        self.ndim = len(self.shape)
        self.chunks: tuple[int, ...] = tuple(getattr(array, "chunks", None) or self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Read a part.

        Raises
        ------
        ImPartialError
            If it is damaged.
        """
        try:
            return np.asarray(self._array[index])
        except MemoryError:
            raise
        except PermissionError as error:
            raise ImPartialError(f"{self._where} may not be read: permission denied.") from error
        except Exception as error:
            # Decoders raise whatever comes up: RuntimeError, ValueError, zlib.error ...
            raise ImPartialError(
                f"A part of {self._where} cannot be read; it is damaged or incomplete "
                f"({first_line(error)}), so copy it again."
            ) from error

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read the whole."""
        return np.asarray(self[...], dtype=dtype)


def first_line(error: BaseException) -> str:
    """Return the first line of what a library says, or else the kind of error."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def import_zarr() -> Any:
    """Return the zarr library.

    Raises
    ------
    ImPartialError
        If it is not installed or too old.
    """
    try:
        import zarr
    except ImportError:
        raise ImPartialError(
            "OME-Zarr needs one more package: pip install 'napari-impartial[zarr]'"
        ) from None
    if int(zarr.__version__.partition(".")[0]) < 3:
        raise ImPartialError(
            f"zarr {zarr.__version__} is too old for OME-Zarr 0.5: pip install -U 'zarr>=3'"
        )
    return zarr
