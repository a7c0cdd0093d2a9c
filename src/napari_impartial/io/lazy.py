"""Images of which parts are read as they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
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


@dataclass(frozen=True, eq=False)
class LazyImage:
    """An image, or labels, in a file, at one of its levels, of which no pixel has been read.

    Attributes
    ----------
    path : Path
        The file, or the group of a store, that it lies in.
    array : LazyArray
        Of the level.
    axes : str or None
        Letters of ``TZCYX``, one an axis; None where the file does not say.
    channel_names : tuple of str or None
    pixel_size : (float, float) or None
        Height and width of a pixel at this level, in `pixel_unit`.
    pixel_unit : str
    spacing : dict of str to float
        Size of a step along Z, in `pixel_unit`, and along T, in seconds, where the file says it.
    n_levels : int
    version : str
        Of OME-Zarr; "" for everything else.
    colour, opacity : bool
        As of :class:`.content.Content`.
    """

    path: Path
    array: LazyArray
    axes: str | None
    channel_names: tuple[str, ...] | None
    pixel_size: tuple[float, float] | None
    pixel_unit: str
    spacing: Mapping[str, float]
    n_levels: int
    version: str
    colour: bool = False
    opacity: bool = False


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
