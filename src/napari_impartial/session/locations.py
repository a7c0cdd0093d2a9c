"""Where sessions are kept, which of them were not finished, and who has one open.

Beside the folders of sessions that nobody gave a place lies a folder of notes, one for
each session that is open, wherever it lies. Who finishes in good order takes the note
away; a note whose session nobody has locked was left by a program that was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from napari_impartial.core.atomic_write import atomic_path
from napari_impartial.core.errors import ImPartialError

from .folder import MANIFEST, SessionFolder, read_manifest
from .saved_state import SavedSession, from_content, to_content

VARIABLE = "NAPARI_IMPARTIAL_SESSIONS"
"""Environment variable that names another folder than the user's data directory."""

_NOTES, _LOCK, _RECENT = "open", "session.lock", "recent.json"
_MOST_FINISHED = 5


class SessionInUseError(ImPartialError):
    """Another window has the session open."""


@dataclass(frozen=True)
class Unfinished:
    """A session that was not closed in good order."""

    path: Path
    note: Path
    saved: datetime
    summary: str


@dataclass(frozen=True)
class Closed:
    """A session that no window has open.

    Attributes
    ----------
    path
        Its folder.
    saved
        When it was saved last.
    summary
        What is in it, in words.
    named
        Whether its folder was chosen by the user.
    """

    path: Path
    saved: datetime
    summary: str
    named: bool


def sessions_folder() -> Path:
    """Return where sessions are kept that nobody gave a place."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(os.path.abspath(Path(given).expanduser()))
    return platformdirs.user_data_path("napari-impartial", appauthor=False) / "sessions"


def new_session_folder() -> Path:
    """Return the path of a folder for a new session; nothing is made yet."""
    # Not the time alone: two windows may start in the same second.
    return sessions_folder() / f"{datetime.now():%Y-%m-%d %H.%M.%S} {uuid.uuid4().hex[:6]}"


class OpenSession:
    """The right to write a session's folder, noted as being in use.

    Parameters
    ----------
    path
        Folder of the session; made if it is not there.

    Attributes
    ----------
    folder
        What reads and writes it.

    Raises
    ------
    SessionInUseError
        If another window has it open.
    ImPartialError
        If it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path = Path(os.path.abspath(path))
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(path)
            # The system frees the lock of a program that is gone, however it ended. Others
            # hold it for a moment only to see whether it is free.
            self._lock.acquire(timeout=0.5)
        except Timeout as error:
            raise SessionInUseError(f"The session in {path} is open in another window.") from error
        except (OSError, NotImplementedError) as error:
            raise ImPartialError(f"The session in {path} cannot be written: {error}.") from error
        self.folder = SessionFolder(path)
        self._note = sessions_folder() / _NOTES / f"{uuid.uuid4().hex}.json"
        try:
            for note, folder in _notes():
                if folder == path:
                    note.unlink(missing_ok=True)
            with atomic_path(self._note) as temporary:
                temporary.write_text(json.dumps({"folder": str(path)}), encoding="utf-8")
        except (ImPartialError, OSError):
            self._lock.release()
            raise

    @property
    def is_automatic(self) -> bool:
        """Whether the session lies where sessions are kept that nobody gave a place."""
        return self.path.parent == sessions_folder()

    def abandon(self) -> None:
        """Let go of the folder, as a killed program would: the session is offered again."""
        self._let_go()

    def finish(self, remove: bool = False) -> None:
        """Let go of the folder in good order, or remove it; one without a session goes anyway."""
        with contextlib.suppress(OSError):
            self._note.unlink(missing_ok=True)
        if not self.is_automatic:
            _remember(self.path)
        self._let_go()
        if self.is_automatic and (remove or not (self.path / MANIFEST).is_file()):
            shutil.rmtree(self.path, ignore_errors=True)

    def _let_go(self) -> None:
        # Of a disk that is gone there is nothing to let go of.
        with contextlib.suppress(OSError):
            self._lock.release()


def write(
    state: SavedSession, opened: OpenSession | None, path: Path, before: OpenSession | None = None
) -> OpenSession:
    """Write a session; return its folder, which stays open.

    Parameters
    ----------
    state
        All that is in it.
    opened
        Its folder; None to open `path`.
    before
        Folder that the session was kept in before, for files that are nowhere else by now.

    Raises
    ------
    ImPartialError
        If the folder cannot be opened or written; if it was opened here, it is let go of.
    """
    if opened is not None:
        opened.folder.write(to_content(state))
        return opened
    opened = OpenSession(path)
    try:
        remove_old()
        if before is not None:
            opened.folder.copies.update(before.folder.copies)
        opened.folder.write(to_content(state))
    except Exception:
        opened.finish()
        raise
    return opened


def unfinished() -> list[Unfinished]:
    """Return the sessions that were not closed in good order, the latest first."""
    found = []
    for note, folder in _notes():
        if not (folder / MANIFEST).is_file():
            if not _is_locked(folder):
                # Killed before anything was saved.
                _forget(note)
                if folder.parent == sessions_folder():
                    shutil.rmtree(folder, ignore_errors=True)
            continue
        if not _is_locked(folder) and (known := _look_into(folder)) is not None:
            found.append(Unfinished(folder, note, *known))
    return sorted(found, key=lambda session: session.saved, reverse=True)


def closed() -> list[Closed]:
    """Return the last sessions that are not open, the latest first.

    Of those in folders of the user's own, the last five that were closed in good order.
    """
    root, named = sessions_folder(), _remembered()
    found = []
    for folder in [*(manifest.parent for manifest in root.glob(f"*/{MANIFEST}")), *named]:
        if not _is_locked(folder) and (known := _look_into(folder)) is not None:
            found.append(Closed(folder, *known, folder in named))
    return sorted(found, key=lambda session: session.saved, reverse=True)


def _look_into(folder: Path) -> tuple[datetime, str] | None:
    """Return when a session was saved and what is in it, or None if it cannot be read."""
    try:
        saved = datetime.fromisoformat(read_manifest(folder)["saved"])
        return saved, from_content(SavedSession, SessionFolder(folder).read()).summary()
    except (ImPartialError, KeyError, ValueError, TypeError):
        return None


def dismiss(session: Unfinished) -> None:
    """Do not offer a session again; it can still be opened, until newer ones displace it."""
    _forget(session.note)


def remove_old() -> None:
    """Remove all but the last few finished sessions that nobody gave a place."""
    root = sessions_folder()
    in_use = {folder for _, folder in _notes()}
    try:
        folders = [
            folder
            for folder in root.iterdir()
            if folder.name != _NOTES and folder.is_dir() and folder not in in_use
        ]
        folders.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
    except OSError:
        return
    for folder in folders[_MOST_FINISHED:]:
        # Nothing but a session of ours is ever removed.
        if (folder / MANIFEST).is_file() and not _is_locked(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _notes() -> list[tuple[Path, Path]]:
    """Return the notes of open sessions, with the folders that they name."""
    found = []
    for note in sorted((sessions_folder() / _NOTES).glob("*.json")):
        try:
            found.append((note, Path(json.loads(note.read_text(encoding="utf-8"))["folder"])))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def _remembered() -> list[Path]:
    """Return the folders of the user's own that were closed last."""
    try:
        found = json.loads((sessions_folder() / _RECENT).read_text(encoding="utf-8"))
        return [Path(path) for path in found]
    except (OSError, ValueError, TypeError):
        return []


def _remember(path: Path) -> None:
    """Note that a folder of the user's own was closed; a list that cannot be written is no loss."""
    paths = [path, *(one for one in _remembered() if one != path)][:_MOST_FINISHED]
    recent = sessions_folder() / _RECENT
    with contextlib.suppress(OSError, ImPartialError), atomic_path(recent) as temporary:
        temporary.write_text(json.dumps([str(one) for one in paths]), encoding="utf-8")


def _forget(note: Path) -> None:
    with contextlib.suppress(OSError):
        note.unlink(missing_ok=True)


def _lock(folder: Path) -> FileLock:
    # Taken on the window's thread, and let go by whichever thread ends the session.
    return FileLock(folder / _LOCK, thread_local=False)


def _is_locked(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    lock = _lock(folder)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return False
    lock.release()
    return False
