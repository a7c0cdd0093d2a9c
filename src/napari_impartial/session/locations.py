"""Folders of sessions: those that were not finished, and locks on those that are open.

Beside the folders of sessions that nobody gave a place lies a folder of notes, one for
each session that is open, wherever it lies. Who finishes in good order takes the note
away; a note whose session nobody has locked was left by a program that was killed.

A session may lie on a drive that is not there today, or on a mount that answers to nothing:
neither is forgotten, and nobody waits for long.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import platformdirs
from filelock import FileLock, Timeout

from napari_impartial.core.atomic_write import atomic_path
from napari_impartial.core.errors import ImPartialError

from .arrays import is_link, is_plain_file
from .folder import SessionFolder
from .manifest import COPY, MANIFEST, is_session, read_manifest
from .saved_state import SavedSession, from_content, to_content

VARIABLE = "NAPARI_IMPARTIAL_SESSIONS"
"""Environment variable that names another folder than the user's data directory."""

_NOTES, _LOCK, _RECENT = "open", "session.lock", "recent.json"
_MOST_FINISHED = 5
# A drive that was not there for so long is not waited for any more.
_LONGEST_ABSENCE_S = 365 * 86400.0
# A system call on a mount whose server is gone may never come back.
_PATIENCE_S = 1.0

Found = TypeVar("Found")
_asking: dict[Path, threading.Thread] = {}


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
        """Return whether the session lies where sessions are kept that nobody gave a place."""
        return _is_automatic(self.path)

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
        if self.is_automatic and (remove or not is_session(self.path)):
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
    """Return the sessions that were not closed in good order, the latest first.

    Those that cannot be read now are left out, and looked at again the next time.
    """
    notes = {folder: note for note, folder in _notes()}
    found = [
        Unfinished(folder, notes[folder], *known)
        for folder, known in _answers(lambda folder: _look_at(folder, notes[folder]), notes)
    ]
    return sorted(found, key=lambda session: session.saved, reverse=True)


def unanswered() -> list[Path]:
    """Return the folders of sessions that lie where the system does not answer."""
    return sorted(folder for folder, thread in _asking.items() if thread.is_alive())


def closed() -> list[Closed]:
    """Return the last sessions that are not open, the latest first.

    Of those in folders of the user's own, the last five that were closed in good order.
    """
    root, named = sessions_folder(), _remembered()
    own = [found.parent for name in (MANIFEST, COPY) for found in root.glob(f"*/{name}")]
    folders = [*own, *named]

    def look(folder: Path) -> tuple[datetime, str] | None:
        return None if _is_locked(folder) else _look_into(folder)

    found = [Closed(folder, *known, folder in named) for folder, known in _answers(look, folders)]
    return sorted(found, key=lambda session: session.saved, reverse=True)


def _answers(
    look: Callable[[Path], Found | None], folders: Iterable[Path]
) -> list[tuple[Path, Found]]:
    """Return what is seen in folders, of those that answer in time."""
    found: dict[Path, Found | None] = {}
    folders = list(dict.fromkeys(folders))

    def ask(folder: Path) -> None:
        # Whatever lies there, the dock opens.
        with contextlib.suppress(Exception):
            found[folder] = look(folder)

    threads = []
    for folder in folders:
        before = _asking.pop(folder, None)
        if before is not None and before.is_alive():
            _asking[folder] = before
            continue
        thread = threading.Thread(
            target=ask, args=(folder,), name="napari-impartial look", daemon=True
        )
        thread.start()
        threads.append((folder, thread))
    end = time.monotonic() + _PATIENCE_S
    for folder, thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
        if thread.is_alive():
            _asking[folder] = thread
    seen = [(folder, found.get(folder)) for folder in folders]
    return [(folder, known) for folder, known in seen if known is not None]


def _look_at(folder: Path, note: Path) -> tuple[datetime, str] | None:
    """Return what is in a session that has a note; forget it if there is none any more."""
    if _is_locked(folder):
        return None
    if is_session(folder):
        return _look_into(folder)
    if _is_automatic(folder):
        # Killed before anything was saved, or removed.
        _forget(note)
        if not any(os.path.lexists(folder / name) for name in (MANIFEST, COPY)):
            shutil.rmtree(folder, ignore_errors=True)
    elif _is_readable(folder) or time.time() - note.stat().st_mtime > _LONGEST_ABSENCE_S:
        # A folder that is not there may lie on a drive that is not there.
        _forget(note)
    return None


def _is_readable(folder: Path) -> bool:
    """Return whether a folder is there, and really has no session."""
    try:
        return not {MANIFEST, COPY} & set(os.listdir(folder))
    except OSError:
        return False


def _is_automatic(folder: Path) -> bool:
    """Return whether this program made a folder for a session without a place."""
    root = sessions_folder()
    # A note may say anything: the way up, or the folder of notes itself.
    plain = folder.name not in ("", ".", "..", _NOTES) and not is_link(folder)
    return plain and folder.parent == root


def _look_into(folder: Path) -> tuple[datetime, str] | None:
    """Return when a session was saved and what is in it, or None if it cannot be read."""
    try:
        saved = datetime.fromisoformat(read_manifest(folder)["saved"])
        losses: list[str] = []
        content = SessionFolder(folder).read(losses)
        words = from_content(SavedSession, content, losses).summary()
    except Exception:  # a damaged manifest may say anything
        return None
    return saved if saved.tzinfo else saved.replace(tzinfo=UTC), words


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
            if _is_automatic(folder) and folder.is_dir() and folder not in in_use
        ]
        folders.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
    except OSError:
        return
    for folder in folders[_MOST_FINISHED:]:
        # Nothing but a session of ours is ever removed.
        if is_session(folder) and not _is_locked(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _notes() -> list[tuple[Path, Path]]:
    """Return the notes of open sessions, with the folders that they name."""
    found = []
    for note in sorted((sessions_folder() / _NOTES).glob("*.json")):
        try:
            folder = Path(json.loads(note.read_text(encoding="utf-8"))["folder"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
        if folder.is_absolute():
            found.append((note, folder))
    return found


def _remembered() -> list[Path]:
    """Return the folders of the user's own that were closed last."""
    try:
        found = json.loads((sessions_folder() / _RECENT).read_text(encoding="utf-8"))
        return [Path(path) for path in found][:_MOST_FINISHED]
    except (OSError, ValueError, TypeError, RecursionError):
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
    # The lock's file is emptied: it must not be another's, to which a link leads.
    if os.path.lexists(folder / _LOCK) and not is_plain_file(folder / _LOCK):
        raise OSError(f"{_LOCK} in it is a link or a device")
    # Taken on the window's thread, and let go by whichever thread ends the session.
    return FileLock(folder / _LOCK, thread_local=False)


def _is_locked(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    try:
        lock = _lock(folder)
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return False
    lock.release()
    return False
