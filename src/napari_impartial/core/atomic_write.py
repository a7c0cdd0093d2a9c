"""Write a file or a folder whole or not at all, and leave nothing behind.

What is being written has a temporary name that begins with :data:`MARK`, and is locked by the
program that writes it: the system frees the lock of a program that is gone, however it
ended. Whoever writes in a folder for the first time removes what is marked there and locked
by nobody.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_impartial.core.errors import ImPartialError

MARK = ".impartial-"
"""How names of temporary files and folders begin."""

# For systems without such locks: nothing is written for so long.
_OLD_S = 2 * 86400.0
_TRIES = 10
_swept: set[Path] = set()


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
    try:
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise ImPartialError(f"Cannot write {path}: it is a folder; name a file.")
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep_once(target.parent)
        suffix = "~" + "".join(target.suffixes)[-32:]
        temporary, lock = _make_locked(target.parent, suffix, folder=False)
    except OSError as error:
        raise ImPartialError(f"Cannot write {path}: {reason(error)}.") from error
    except ValueError as error:
        if isinstance(error, ImPartialError):
            raise
        raise ImPartialError(f"Cannot write {str(path)!r}: it is no name of a file.") from error
    try:
        yield temporary
        _settle(temporary, target)
    except OSError as error:
        raise ImPartialError(f"Cannot write {path}: {reason(error)}.") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        _let_go(lock)


@contextmanager
def atomic_folder(path: str | os.PathLike[str], replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `path` that takes its place if the block succeeds.

    Parameters
    ----------
    path
        Where the folder shall be; an empty one may stand there. A symbolic link is followed.
    replace
        Whether one that holds something is replaced, too.

    Yields
    ------
    Path
        An existing, empty folder to write to, which must not be removed and made again.

    Raises
    ------
    OSError
        If it cannot be made or put there.
    """
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep_once(target.parent)
    temporary, lock = _make_locked(target.parent, f"~{target.name[:64]}", folder=True)
    try:
        yield temporary
        # The lock is of the folder that was made: another one of its name may have been swept away.
        if lock is not None and not os.path.samestat(os.fstat(lock), temporary.stat()):
            raise OSError(f"{temporary} was removed while it was written to")
        temporary.chmod(0o777 & ~_umask())
        if replace:
            replace_folder(temporary, target)
        else:
            with suppress(FileNotFoundError):
                target.rmdir()  # an empty folder may stand there
            os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        _let_go(lock)


def replace_folder(made: Path, path: Path) -> None:
    """Rename a finished folder to `path`; one that stands there is removed afterwards.

    No system renames over a folder that holds something, so that one is set aside first (as
    ``.NAME.old``), and put back if the other cannot be renamed. A symbolic link is followed.

    Raises
    ------
    OSError
        If either cannot be renamed.
    """
    path = Path(os.path.realpath(path))
    old = path.with_name(f".{path.name}.old")
    stands = path.exists()
    if stands:
        _remove(old)
        path.rename(old)
    try:
        made.rename(path)
    except BaseException:
        if stands:
            with suppress(OSError):
                old.rename(path)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    """Remove a folder, a file or a link, if it is there and can be."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


class WorkFolder:
    """A folder among the system's temporary ones, for as long as the program needs it.

    Those of programs that were killed are removed when the next one is made.

    Parameters
    ----------
    purpose
        Part of its name.

    Attributes
    ----------
    path : Path
    """

    def __init__(self, purpose: str) -> None:
        root = Path(tempfile.gettempdir())
        sweep_once(root)
        self.path, self._lock = _make_locked(root, f"~{purpose}", folder=True)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        lock, self._lock = self._lock, None
        _let_go(lock)

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()


def sweep_once(folder: Path) -> None:
    """Remove what killed programs left in a folder, the first time that it is asked for."""
    if folder not in _swept:
        _swept.add(folder)
        sweep(folder)


def sweep(folder: Path) -> None:
    """Remove what programs that were killed while they wrote have left in a folder."""
    try:
        with os.scandir(folder) as entries:
            left = [entry for entry in entries if entry.name.startswith(MARK)]
    except OSError:
        return
    for entry in left:
        # Whatever cannot be removed is no reason not to write.
        with suppress(OSError):
            _remove_left(Path(entry.path), entry.stat(follow_symlinks=False))


def reason(error: OSError) -> str:
    """Return what the operating system said, in a few words."""
    if error.errno is None and "requested and" in str(error):
        # numpy's own words where a file cannot grow.
        return "no space left on device"
    # Not what a library says, which may name files.
    words = error.strerror.lower() if error.strerror else str(error) or type(error).__name__
    return words.rstrip(".")


def _remove_left(path: Path, status: os.stat_result) -> None:
    """Remove a temporary file or folder of this user's that nobody is writing."""
    is_folder = stat.S_ISDIR(status.st_mode)
    if not (is_folder or stat.S_ISREG(status.st_mode)):
        return
    if sys.platform == "win32":
        if time.time() - status.st_mtime < _OLD_S:
            return
        lock = None
    else:
        if status.st_uid != os.geteuid():
            return
        lock = _lock(path)
        if lock is None:
            return
    try:
        if is_folder:
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    finally:
        _let_go(lock)


def _make_locked(parent: Path, suffix: str, folder: bool) -> tuple[Path, int | None]:
    """Make a temporary file or folder, and lock it."""
    for _ in range(_TRIES):
        if folder:
            name = tempfile.mkdtemp(dir=parent, prefix=MARK, suffix=suffix)
        else:
            handle, name = tempfile.mkstemp(dir=parent, prefix=MARK, suffix=suffix)
            os.close(handle)
        lock = _lock(Path(name))
        # Between the two, somebody may have swept it away.
        if os.path.lexists(name):
            return Path(name), lock
        _let_go(lock)
    raise OSError(f"temporary files vanish in {parent}")


def _lock(path: Path) -> int | None:
    """Lock a file or folder; return None if another program has it, or the system cannot."""
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _let_go(lock: int | None) -> None:
    if lock is not None:
        with contextlib.suppress(OSError):
            os.close(lock)


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
