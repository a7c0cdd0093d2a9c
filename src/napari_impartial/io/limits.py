"""Limits on what files may claim and on what is worked on whole, and a test for plain files."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Literal

from napari_impartial.core import config
from napari_impartial.core.errors import ImPartialError

#: So many bytes any file may unfold to.
ALWAYS_ALLOWED = 256 * 2**20
#: Beyond these, so many for each byte that it holds: deflate packs 1032 into one at best.
MOST_FOR_A_BYTE = 1100

LARGE_PX = config.LARGE_PX
"""Images with larger planes are predicted block by block, and worked on field by field."""

_BIG_TIFF = 43


def check_file(path: str | os.PathLike[str]) -> Path:
    """Return a path to a file that can be read from its start to its end.

    Raises
    ------
    ImPartialError
        If there is nothing, a folder, or something that never ends: a pipe or a device.
    """
    file = Path(path)
    try:
        mode = file.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise ImPartialError(f"{path} does not exist.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImPartialError(f"{path} cannot be opened: {str(reason).lower()}.") from error
    if stat.S_ISDIR(mode):
        raise ImPartialError(f"{path} is a folder; name a file in it.")
    if not stat.S_ISREG(mode):
        raise ImPartialError(f"{path} is a pipe or a device; name a file.")
    return file


def check_claim(path: str | os.PathLike[str], claimed: int, held: int | None = None) -> None:
    """Refuse a file that would unfold to far more than it can hold.

    Parameters
    ----------
    path
        The file, for the message.
    claimed
        Bytes in memory by what its header says.
    held
        Bytes on disk; by default the file's size.

    Raises
    ------
    ImPartialError
        If `claimed` is over both bounds.
    """
    held = os.stat(path).st_size if held is None else held
    if claimed > max(ALWAYS_ALLOWED, MOST_FOR_A_BYTE * held):
        raise ImPartialError(
            f"{path} claims to hold {_size(claimed)} and has {_size(held)} on disk; it is damaged, "
            "or made to fill the memory."
        )


def check_pages(file: Path) -> None:
    """Refuse a TIFF file whose pages lead back to an earlier one, which would be followed for ever.

    Raises
    ------
    ValueError
        If they do.
    """
    with file.open("rb") as stream:
        head = stream.read(16)
        order: Literal["little", "big"] = "big" if head[:2] == b"MM" else "little"
        large = int.from_bytes(head[2:4], order) == _BIG_TIFF
        start, count_size, entry, width = (8, 8, 20, 8) if large else (4, 2, 12, 4)
        offset = int.from_bytes(head[start : start + width], order)
        seen = set()
        while offset:
            if offset in seen:
                raise ValueError("its pages lead back to an earlier one")
            seen.add(offset)
            stream.seek(offset)
            count = int.from_bytes(stream.read(count_size), order)
            stream.seek(offset + count_size + count * entry)
            content = stream.read(width)
            # of an index that is cut off, the library says so
            offset = int.from_bytes(content, order) if len(content) == width else 0


def _size(count: int) -> str:
    """Write a number of bytes as people do."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}" if count < 10**15 else "more than any disk"
    return f"{count} bytes"
