"""Keeps the session on disk: when it is saved, where, and how it comes back.

Nothing is written before there is something to lose. From the first stroke on, the
session is saved at each change of image, each Train and each finished round, and
otherwise a short while after something has changed. Arrays are read and written on a
thread; the window's thread only describes what there is.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_impartial.core.errors import ImPartialError
from napari_impartial.io import session_places as places
from napari_impartial.io.session_folder import MANIFEST, SessionFolder
from napari_impartial.io.session_places import OpenSession, SessionInUseError, Unfinished
from napari_impartial.io.session_state import SavedSession, from_content, to_content

from . import notify
from .layers import Source
from .result_control import ResultControl
from .session_restore import Restorer, look_at, read
from .session_snapshot import Snapshots
from .workspace import Workspace

# Saving what has changed takes some hundredths of a second of another thread's time, so
# that a third of a minute's work is the most that a crash can take.
SAVE_AFTER_MS = 20_000


@dataclass
class _Done:
    """What a thread has done: the session that is open now, and what went wrong.

    `ended`: the session has been written for the last time, and its folder let go of.
    """

    opened: OpenSession | None
    error: str = ""
    saved: SavedSession | None = None
    source: Path | None = None
    ended: bool = False


class SessionStore(QObject):
    """Saves, opens and offers sessions for one dock widget.

    Signals
    -------
    saved
        Folder that the session has been saved in.
    offered
        Words about a session that was not finished; empty when there is none.
    restored
        The image that was in front when the session was saved, or None.
    """

    saved = Signal(object)
    offered = Signal(str)
    restored = Signal(object)
    _done = Signal(object)

    def __init__(
        self,
        workspace: Workspace,
        results: ResultControl,
        new_model_path: Callable[[], Path],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._session = workspace.session
        self._results = results
        self._new_model_path = new_model_path
        self._parts: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {}
        self._snapshots = Snapshots(workspace)
        self._open: OpenSession | None = None
        self._automatic = places.new_session_folder()
        self._thread: threading.Thread | None = None
        self._again = self._closed = self._failed = self._restoring = False
        self._last_image: int | None = None
        # The session before images were taken out, and which of them it still has.
        self._before_removal: SavedSession | None = None
        self._keys_before: set[int] = set()
        # A session that is over and has yet to be written for the last time.
        self._ended: SavedSession | None = None
        self._offer: Unfinished | None = None
        self.saves = 0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(SAVE_AFTER_MS)
        self._timer.timeout.connect(self.save)
        # After a moment we know whether a layer was removed or the viewer is closing.
        self._removal_timer = QTimer(self)
        self._removal_timer.setSingleShot(True)
        self._removal_timer.setInterval(100)
        self._removal_timer.timeout.connect(self._forget_removal)
        self._done.connect(self._on_done)
        self._snapshots.changed.connect(self.note_change)
        self._session.changed.connect(self._on_session)
        self._session.result_changed.connect(self.note_change)
        workspace.viewer.layers.events.removing.connect(self._on_removing)

    @property
    def folder(self) -> Path:
        """Where the session is, or will be, saved."""
        return self._automatic if self._open is None else self._open.path

    @property
    def is_automatic(self) -> bool:
        """Whether the user has given the session no folder: then it does not lie there for good."""
        return self._open is None or self._open.is_automatic

    def copy_of(self, model: Path) -> Path | None:
        """Return where the session on disk keeps a model; None if it does not yet."""
        return None if self._open is None else self._open.folder.copy_of(model)

    @property
    def busy(self) -> bool:
        """Whether a session is being written or read."""
        return self._thread is not None

    def keep_part(self, name: str, save: Callable[[], Any], restore: Callable[[Any], None]) -> None:
        """Keep something more with the session.

        Parameters
        ----------
        name
            Where it stands in the manifest.
        save
            Called on the window's thread at each save; returns dicts, lists, text and
            numbers, with `Kept` for arrays.
        restore
            Called with what `save` returned, arrays as `Stored`, after images, scribbles
            and models are back. Sessions without the part do not call it.
        """
        self._parts[name] = (save, restore)

    def look_for_unfinished(self) -> None:
        """Offer the last session that was not finished: crashed, or its dock was closed."""
        found = places.unfinished()
        self._offer = found[0] if found else None
        if self._offer is None:
            self.offered.emit("")
            return
        when = self._offer.saved.astimezone()
        self.offered.emit(
            f"The session of {when:%d %B, %H:%M} was not finished: {self._offer.summary}."
        )

    def restore_offered(self) -> None:
        """Open the session that was offered."""
        if self._offer is not None:
            self.open(self._offer.path)

    def discard_offered(self) -> None:
        """Do not offer that session again, but the one before it, if there is one."""
        if self._offer is not None:
            places.dismiss(self._offer)
            self.look_for_unfinished()

    def note_change(self, _: Any = None) -> None:
        """Save before long what has changed."""
        if not self._timer.isActive() and not self._closed:
            self._timer.start()

    def save(self) -> None:
        """Save in the background what has changed."""
        self._timer.stop()
        if self._closed or not (self._is_over() or self._is_kept()):
            return
        if self.busy or self._restoring:
            self._again = True
            return
        self._end_if_over()
        opened, path, ended, self._again = self._open, self.folder, self._ended, False
        if ended is not None:
            self._start(lambda: _finish(ended, opened, path))
            return
        state = self._take(path)
        self._start(lambda: _save(state, opened, path))

    def save_as(self, path: Path) -> None:
        """Save in another folder, and keep the session there from now on."""
        if self.busy:
            notify.show_warning("The session is being saved; try again in a moment.")
            return
        if self._cannot_end():
            return
        if self._open is not None and path.absolute() == self._open.path:
            self.save()
            return
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            kind = "another session" if (path / MANIFEST).is_file() else "other files"
            notify.show_warning(f"{path} holds {kind}; choose a new name for this session.")
            return
        state, before = self._take(path), self._open

        def work() -> _Done:
            done = _save(state, None, path)
            if done.error:
                return _Done(before, done.error)
            if before is not None:
                before.finish(remove=True)
            return done

        self._start(work)

    def open(self, path: Path) -> None:
        """Read a saved session and put it in the place of the present one."""
        if self._session.busy or self.busy:
            notify.show_warning("Wait until training, predicting or saving is over.")
            return
        if self._cannot_end():
            return
        if self._open is not None and path.absolute() == self._open.path:
            notify.show_info("This session is open here already.")
            return
        mine = self._open
        self._start(lambda: _read(path, mine))

    def close(self, offer: bool = False) -> None:
        """Save for the last time and let go of the folder in good order.

        With `offer` the session counts as not finished: the next dock offers it.
        """
        if self._closed:
            return
        self._timer.stop()
        self._removal_timer.stop()
        if self._thread is not None:
            self._thread.join()
        self._closed = True
        self._snapshots.changed.disconnect(self.note_change)
        self._session.changed.disconnect(self._on_session)
        self._session.result_changed.disconnect(self.note_change)
        self._workspace.viewer.layers.events.removing.disconnect(self._on_removing)
        if self._ended is not None:
            self._write_ended()
            if self._open is not None:
                # It could not be written, but what was saved of it must not be written over.
                self._open.abandon()
            self._open, self._automatic = None, places.new_session_folder()
        # Closing a viewer may take its layers out first.
        state = self._before_removal if self._is_gone() else None
        if state is not None or self._is_kept():
            state = self._take(self.folder, last=True) if state is None else state
            _finish(state, self._open, self.folder, offer)
        self._snapshots.close()

    def _is_kept(self) -> bool:
        """Whether the session is on disk, or ought to be."""
        return self._open is not None or self._snapshots.worth_keeping()

    def _is_gone(self) -> bool:
        """Whether the last image was taken out of the viewer; the session may not know yet."""
        if self._before_removal is None or not self._before_removal.images:
            return False
        return not any(self._is_in_viewer(key) for key in self._keys_before)

    def _is_over(self) -> bool:
        return self._ended is not None or self._is_gone()

    def _end_if_over(self) -> None:
        """With its last image the session ends; what was in it must not be written over."""
        if self._ended is None and self._is_gone():
            self._ended, self._before_removal = self._before_removal, None

    def _write_ended(self) -> str:
        """Write on this thread what has ended; return what went wrong."""
        if self._ended is None:
            return ""
        done = _finish(self._ended, self._open, self.folder)
        self._open = done.opened
        if done.ended:
            self._begin_anew()
        return done.error

    def _begin_anew(self) -> None:
        self._ended, self._automatic = None, places.new_session_folder()

    def _cannot_end(self) -> bool:
        """Write what has ended before another folder is turned to; tell if that fails."""
        self._end_if_over()
        error = self._write_ended()
        if error:
            notify.show_error(error)
        return bool(error)

    def _take(self, folder: Path, last: bool = False) -> SavedSession:
        """Describe the session; the `last` time, corrections of this moment count, too."""
        parts = {name: save() for name, (save, _) in self._parts.items()}
        # Any other time they are saved by the next one, and a hand is not held up.
        pending = self._results.review.pending() if last else {}
        return self._snapshots.take(folder, parts, pending)

    def _start(self, work: Callable[[], _Done]) -> None:
        def run() -> None:
            try:
                done = work()
            except Exception as error:  # the window has to be told, whatever it was
                done = _Done(self._open, f"The session could not be saved or read ({error!r}).")
            # Known here, too, in case the window is closed before the signal arrives.
            if done.ended:
                self._begin_anew()
            self._open = done.opened if done.saved is None else self._open
            with contextlib.suppress(RuntimeError):
                self._done.emit(done)

        self._thread = threading.Thread(target=run, name="napari-impartial session")
        self._thread.start()

    def _on_done(self, done: _Done) -> None:
        if self._thread is not None:
            self._thread.join()
        self._thread = None
        if self._closed:
            return
        if done.error:
            self._on_error(done)
        elif done.saved is not None and done.source is not None:
            self._put_back(done.saved, done.opened, done.source)
        else:
            if done.ended and self._session.current is not None:
                # The next image was put in front before its session could begin.
                self.note_change()
            self._failed = False
            self.saves += 1
            self.saved.emit(self.folder)
        if self._again:
            self.save()

    def _on_error(self, done: _Done) -> None:
        # Told once, not at each try; it is tried again with the next change.
        if done.source is not None or not self._failed:
            notify.show_error(done.error)
        self._failed = done.source is None
        if self._failed:
            self.note_change()
        self.look_for_unfinished()

    def _put_back(self, saved: SavedSession, opened: OpenSession | None, path: Path) -> None:
        self._end_if_over()
        error = self._write_ended()
        replace = self._open is not None or self._snapshots.has_content()
        if replace and not error:
            error = _finish(self._take(self.folder, last=True), self._open, self.folder).error
        if error:
            notify.show_error(error)
            if opened is not None:
                opened.abandon()
            return
        self._before_removal = None
        # Until all of it is back, nothing is written where it lies.
        self._open, self._automatic = None, places.new_session_folder()
        restorer = Restorer(self._workspace, path, self._new_model_path, self._results.review.show)
        self._restoring = True
        try:
            self._fill_window(restorer, saved, replace)
        except Exception as error:  # whatever is wrong with it, the folder has to be let go of
            restorer.losses.append(f"Part of the session in {path} is damaged ({error!r}).")
        finally:
            self._restoring = False
        if restorer.losses:
            self._go_on_elsewhere(opened)
            restorer.losses.append(
                f"The session in {path} stays as it was, and what could be brought back goes on "
                "in a new session."
            )
        else:
            self._open = opened
        for sentence in (*restorer.remarks, *restorer.losses):
            notify.show_warning(sentence)
        self.look_for_unfinished()
        self.note_change()

    def _fill_window(self, restorer: Restorer, saved: SavedSession, replace: bool) -> None:
        source = restorer.put_back(saved, replace)
        self.restored.emit(source)
        # Layers for what is suggested are made here, before parts tell how they looked.
        self._results.suggestions.refresh()
        for name, (_, restore) in self._parts.items():
            if name in saved.parts:
                restore(saved.parts[name])
        self._results.show_all()
        look_at(self._workspace.viewer, saved.view)
        self._take_up_brush(source)

    def _go_on_elsewhere(self, opened: OpenSession | None) -> None:
        """Leave a session that is not all here as it lies, to be opened again."""
        if opened is not None:
            # It is offered, and so no newer session displaces it.
            opened.abandon()
        with contextlib.suppress(ImPartialError, OSError):
            # Kept though nothing was painted yet; if this fails, the next save tells.
            self._open = OpenSession(self._automatic)

    def _take_up_brush(self, source: Source | None) -> None:
        layer = None if source is None else self._workspace.scribbles.find(source)
        if layer is not None:
            self._workspace.scribbles.activate(layer)

    def _on_session(self) -> None:
        current = self._session.current
        switched = current is not None and self._last_image not in (None, current)
        if current is not None:
            self._last_image = current
        # An image that comes back later comes without its results.
        self._keys_before.intersection_update(self._session.images)
        if current is not None and self._is_in_viewer(current):
            self._end_if_over()
        self.note_change()
        if switched:
            # Not now: the image is only just being put in front.
            QTimer.singleShot(0, self.save)

    def _on_removing(self, _: Any = None) -> None:
        # A session that is opened takes the layers of the one before out, which is saved.
        if self._closed or self._restoring or not self._is_kept():
            return
        if self._before_removal is None:
            self._before_removal = self._take(self.folder, last=True)
            self._keys_before = {key for key in self._session.images if self._is_in_viewer(key)}
            self._removal_timer.start()

    def _forget_removal(self) -> None:
        if not self._is_gone():
            self._before_removal = None

    def _is_in_viewer(self, key: int) -> bool:
        source = self._workspace.sources.get(key)
        return source is not None and source.primary in self._workspace.viewer.layers


def _save(state: SavedSession, opened: OpenSession | None, path: Path) -> _Done:
    """Write a state to `path`, which is opened first unless it is."""
    begun = opened
    try:
        if begun is None:
            begun = OpenSession(path)
            places.remove_old()
        begun.folder.write(to_content(state))
    except ImPartialError as error:
        if opened is None and begun is not None:
            begun.finish()
        return _Done(opened, str(error))
    return _Done(begun)


def _finish(
    state: SavedSession, opened: OpenSession | None, path: Path, offer: bool = False
) -> _Done:
    """Write a state for the last time and let go of its folder."""
    done = _save(state, opened, path)
    if done.opened is not None and not done.error:
        if offer:
            done.opened.abandon()
        else:
            done.opened.finish()
        return _Done(None, ended=True)
    return done


def _read(path: Path, mine: OpenSession | None) -> _Done:
    """Read the session in `path`, and open its folder so that it is kept there."""
    opened = None
    try:
        # Before a lock is put there: a folder of somebody else's stays as it is.
        folder = SessionFolder(path)
        from_content(SavedSession, folder.read())
        try:
            opened = OpenSession(path)
            folder = opened.folder
        except SessionInUseError:
            raise
        except ImPartialError:
            # It cannot be written, but it can be read: the session goes on elsewhere.
            opened = None
        return _Done(opened, saved=read(folder), source=path)
    except ImPartialError as error:
        if opened is not None:
            opened.abandon()
        return _Done(mine, str(error), source=path)
