"""Write a file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_impartial.core.errors import ImPartialError


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`, put in its place if the block succeeds.

    The temporary file lies in the same folder, because a rename is atomic only within
    one file system, and keeps the suffixes of `path`, because writers choose the format
    by them. It is flushed to disk before the rename, so that a power cut leaves the old
    file or the new one.

    Parameters
    ----------
    path
        Where the file shall be. Missing folders are made. A symbolic link is followed:
        the file that it points to is replaced.

    Yields
    ------
    Path
        An existing, empty file to write to.

    Raises
    ------
    ImPartialError
        If the folder cannot be made or written to, or `path` is a folder. What the block
        itself raises passes through, save :class:`OSError` (disk full, no permission),
        which becomes an ImPartialError that names the file. In each case the temporary
        file is removed and an old file at `path` is untouched.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise ImPartialError(f"Cannot write {path}: it is a folder; name a file.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=target.parent, prefix=".", suffix="~" + "".join(target.suffixes)[-32:]
        )
        os.close(handle)
    except OSError as error:
        raise ImPartialError(f"Cannot write {path}: {_reason(error)}.") from error
    temporary = Path(name)
    try:
        yield temporary
        _settle(temporary, target)
    except OSError as error:
        raise ImPartialError(f"Cannot write {path}: {_reason(error)}.") from error
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _settle(temporary: Path, target: Path) -> None:
    """Flush `temporary` to disk, give it ordinary permissions and move it to `target`."""
    # mkstemp makes files only their owner can read; a result is an ordinary file
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
    with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
    os.chmod(temporary, mode)
    os.replace(temporary, target)


def _umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    value = os.umask(0o022)
    os.umask(value)
    return value


def _reason(error: OSError) -> str:
    """Return what the operating system said, in a few words."""
    return (error.strerror or str(error) or type(error).__name__).rstrip(".").lower()
