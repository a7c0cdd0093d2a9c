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
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from qtpy.QtCore import QObject, QTimer, Signal

from napari_impartial.core.errors import ImPartialError
from napari_impartial.gui import notifications
from napari_impartial.gui.layers import Source
from napari_impartial.gui.layers.workspace import Workspace
from napari_impartial.gui.result.prediction import ResultControl
from napari_impartial.gui.timers import single_shot
from napari_impartial.session import locations as places
from napari_impartial.session.locations import OpenSession, Unfinished
from napari_impartial.session.manifest import is_session
from napari_impartial.session.read import open_and_read
from napari_impartial.session.saved_state import SavedSession

from .closing import Ended, SessionEnd, in_words
from .restore import Restorer, in_one_message, look_at
from .snapshot import Snapshots

Made = TypeVar("Made")

# Saving what has changed takes some hundredths of a second of another thread's time, so
# that a third of a minute's work is the most that a crash can take.
SAVE_AFTER_MS = 20_000


class SessionStore(QObject):
    """Saves, opens and offers sessions for one dock widget.

    Signals
    -------
    saved
        Folder that the session has been saved in; None if that has failed.
    offered
        Words about a session that was not finished; empty when there is none.
    restored
        The image that was in front when the session was saved, or None.
    """

    saved = Signal(object)
    offered = Signal(str)
    restored = Signal(object)
    _done = Signal()

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
        self._parts: dict[str, tuple[Callable[[], Any], Callable[[Any], None], Any]] = {}
        self._snapshots = Snapshots(workspace)
        self._end = SessionEnd(workspace, self._before_removal, self)
        self._open: OpenSession | None = None
        self._automatic = places.new_session_folder()
        self._thread: threading.Thread | None = None
        # What the thread has left to be done on the window's thread.
        self._outcome: Callable[[], None] | None = None
        self._again = self._closed = self._failed = False
        # Whether a session is being put back into the window.
        self.restoring = False
        self._last_image: int | None = None
        self._told_lost: set[Path] = set()
        self._told_silent: set[Path] = set()
        self._offer: Unfinished | None = None
        self.saves = 0
        self._timer = single_shot(self, SAVE_AFTER_MS, self.save)
        self._done.connect(self._on_done)
        self._snapshots.changed.connect(self.note_change)
        self._session.changed.connect(self._on_session)
        self._session.result_changed.connect(self.note_change)

    @property
    def folder(self) -> Path:
        """Folder that the session is, or will be, saved in."""
        return self._automatic if self._open is None else self._open.path

    @property
    def is_automatic(self) -> bool:
        """Return whether the user has given the session no folder.

        Then it does not lie there for good.
        """
        return self._open is None or self._open.is_automatic

    def copy_of(self, model: Path) -> Path | None:
        """Return where the session on disk keeps a model; None if it does not yet."""
        return None if self._open is None else self._open.folder.copy_of(model)

    @property
    def busy(self) -> bool:
        """Return whether a session is being written or read."""
        return self._thread is not None

    def keep_part(
        self,
        name: str,
        save: Callable[[], Any],
        restore: Callable[[Any], None],
        at_first: Any = None,
    ) -> None:
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
            and models are back.
        at_first
            What `restore` is called with before that, and for sessions without the part, so
            that nothing of the session before stays; None: it is not called.
        """
        self._parts[name] = (save, restore, at_first)

    def look_for_unfinished(self) -> None:
        """Offer the last session that was not finished: crashed, or its dock was closed."""
        found = places.unfinished()
        self._offer = found[0] if found else None
        self._tell_unanswered()
        if self._offer is None:
            self.offered.emit("")
            return
        when = self._offer.saved.astimezone()
        self.offered.emit(
            f"The session of {when:%d %B, %H:%M} was not finished: {self._offer.summary}."
        )

    def _tell_unanswered(self) -> None:
        """Tell once of a session on a drive that does not answer: it is offered another time."""
        silent = set(places.unanswered()) - self._told_silent
        self._told_silent |= silent
        if silent:
            names = " and ".join(str(folder) for folder in sorted(silent))
            notifications.show_warning(
                f"{names} cannot be looked at, as its drive does not answer; a session there is "
                "offered when the widget is opened the next time."
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
        if self._closed or not (self._end.is_pending or self._is_kept()):
            return
        if self.busy or self.restoring:
            self._again = True
            return
        self._again = False
        self._end.note_end()
        self._leave_ended()
        if self._end.is_waiting:
            self._start(self._end.write, self._on_ends_written, self._on_save_failed)
        else:
            self._save_present()

    def save_as(self, path: Path) -> None:
        """Save in another folder, and keep the session there from now on."""
        if self.busy:
            notifications.show_warning("The session is being saved; try again in a moment.")
            return
        # What cannot be written of a session before is no reason not to save this one.
        self._settle_end()
        if self._open is not None and path.absolute() == self._open.path:
            self._save_present(asked=True)
            return
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            kind = "another session" if is_session(path) else "other files"
            notifications.show_warning(f"{path} holds {kind}; choose a new name for this session.")
            return
        state, before = self._take(path), self._open

        def work() -> OpenSession:
            opened = places.write(state, None, path, before)
            if before is not None:
                before.finish(remove=True)
            return opened

        self._start(work, self._on_saved, self._on_failed)

    def open(self, path: Path) -> None:
        """Read a saved session and put it in the place of the present one."""
        if self._session.busy or self.busy:
            notifications.show_warning("Wait until training, predicting or saving is over.")
            return
        if not self._settle_end():
            return
        if self._open is not None and path.absolute() == self._open.path:
            notifications.show_info("This session is open here already.")
            return
        self._start(lambda: open_and_read(path), partial(self._put_back, path), self._on_failed)

    def close(self, offer: bool = False) -> None:
        """Save for the last time and let go of the folder in good order.

        With `offer` the session counts as not finished: the next dock offers it.
        """
        if self._closed:
            return
        self._closed = True
        self._timer.stop()
        self._take_outcome()
        self._snapshots.changed.disconnect(self.note_change)
        self._session.changed.disconnect(self._on_session)
        self._session.result_changed.disconnect(self.note_change)
        self._leave_ended()
        # Closing a viewer may take its layers out first.
        state = self._end.before_removal()
        self._end.close()
        if state is None and self._is_kept():
            state = self._take(self.folder, last=True)
        if state is not None:
            Ended(state, self._open, self.folder).write_finally(offer)
        self._snapshots.close()

    def _is_kept(self) -> bool:
        """Return whether the session is on disk, or ought to be."""
        return self._open is not None or self._snapshots.worth_keeping()

    def _take(self, folder: Path, last: bool = False) -> SavedSession:
        """Describe the session; the `last` time, corrections of this moment count, too."""
        parts = {name: save() for name, (save, _, _) in self._parts.items()}
        # Any other time they are saved by the next one, and a hand is not held up.
        pending = self._results.review.pending() if last else {}
        return self._snapshots.take(folder, parts, pending)

    def _before_removal(self) -> SavedSession | None:
        """Describe the session as it is before a layer goes; None if it need not be kept."""
        # A session that is opened takes the layers of the one before out, which is saved.
        if self._closed or self.restoring or not self._is_kept():
            return None
        return self._take(self.folder, last=True)

    def _save_present(self, asked: bool = False) -> None:
        """Save the session in its folder; who has `asked` for it is told each time it fails."""
        opened, path = self._open, self.folder
        state = self._take(path)
        failed = partial(self._on_save_failed, asked=asked)
        self._start(lambda: places.write(state, opened, path), self._on_saved, failed)

    def _start(
        self,
        work: Callable[[], Made],
        then: Callable[[Made], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Do `work` on a thread; with what came of it, `then` or `failed` goes on on this one."""

        def run() -> None:
            try:
                self._outcome = partial(then, work())
            except Exception as error:  # the window has to be told, whatever it was
                self._outcome = partial(failed, error)
            with contextlib.suppress(RuntimeError):
                self._done.emit()

        self._thread = threading.Thread(target=run, name="napari-impartial session")
        self._thread.start()

    def _on_done(self) -> None:
        self._take_outcome()
        if self._again:
            self.save()

    def _take_outcome(self) -> None:
        """Go on with what the thread has left, if it is not done already."""
        if self._thread is None:
            return
        self._thread.join()
        self._thread = None
        outcome, self._outcome = self._outcome, None
        assert outcome is not None
        outcome()

    def _on_saved(self, opened: OpenSession) -> None:
        self._open = opened
        lost = set(opened.folder.lost) - self._told_lost
        self._told_lost |= lost
        if lost and not self._closed:
            names = " and ".join(sorted(str(file) for file in lost))
            notifications.show_warning(
                f"The session is saved without a model whose file is gone: {names}."
            )
        self._note_saved()

    def _note_saved(self) -> None:
        if not self._closed:
            self._failed = False
            self.saves += 1
            self.saved.emit(self.folder)

    def _on_failed(self, error: Exception) -> None:
        """Tell that what the user has asked for cannot be done; the session goes on as it was."""
        if not self._closed:
            notifications.show_error(in_words(error))
            self.look_for_unfinished()

    def _on_save_failed(self, error: Exception, asked: bool = False) -> None:
        if self._closed:
            return
        # Told once, not at each try; it is tried again with the next change.
        if asked or not self._failed:
            notifications.show_error(in_words(error))
        self._failed = True
        self.saved.emit(None)
        self.note_change()
        self.look_for_unfinished()

    def _leave_ended(self) -> None:
        """Begin in a folder of its own what comes after a session that is over."""
        if self._end.take_over(self._open, self.folder):
            self._open, self._automatic = None, places.new_session_folder()

    def _settle_end(self) -> bool:
        """Write what has ended before another folder is turned to; return whether that is done."""
        self._end.note_end()
        self._leave_ended()
        self._end.write()
        return self._note_ends(asked=True)

    def _note_ends(self, asked: bool = False) -> bool:
        """Take in and tell what came of what has ended; return whether all of it is written."""
        said = self._end.note_written(asked)
        if said and not self._closed:
            for sentence in said:
                notifications.show_error(sentence)
            self.look_for_unfinished()
        return not self._end.is_waiting

    def _on_ends_written(self, _: None) -> None:
        written = self._note_ends()
        if written:
            self._note_saved()
        elif self._is_kept() and not self._closed:
            # The session in the window must not wait until there is room for the other.
            self._save_present()
        if not written or self._session.current is not None:
            # To try again, or as the next image was there before its session could begin.
            self.note_change()

    def _can_be_left(self, path: Path) -> bool:
        """Finish the session in the window, for the one in `path`; tell if that cannot be."""
        if self._session.busy:
            notifications.show_warning(
                f"Training or predicting began while the session in {path} was read; open it "
                "again once that is over."
            )
            return False
        if not self._settle_end():
            return False
        if self._has_content():
            try:
                state = self._take(self.folder, last=True)
                places.write(state, self._open, self.folder).finish()
            except Exception as error:  # then it has to stay in the window, whatever it was
                notifications.show_error(in_words(error))
                return False
        return True

    def _has_content(self) -> bool:
        """Return whether there is anything that the session to be opened takes the place of."""
        return self._open is not None or self._snapshots.has_content()

    def _put_back(self, path: Path, found: tuple[SavedSession, OpenSession | None]) -> None:
        saved, opened = found
        if self._closed or not self._can_be_left(path):
            if opened is not None:
                opened.abandon()
            if not self._closed:
                self.look_for_unfinished()
            return
        replace = self._has_content()
        self._end.forget()
        # Until all of it is back, nothing is written where it lies.
        self._open, self._automatic = None, places.new_session_folder()
        restorer = Restorer(self._workspace, path, self._new_model_path, self._results.review.show)
        self.restoring = True
        try:
            self._fill_window(restorer, saved, replace)
        except Exception as error:  # whatever is wrong with it, the folder has to be let go of
            restorer.losses.append(f"Part of the session in {path} is damaged ({error!r}).")
        finally:
            self.restoring = False
        if restorer.losses:
            self._go_on_elsewhere(opened)
            restorer.losses.append(
                f"The session in {path} stays as it was, and what could be brought back goes on "
                "in a new session."
            )
        else:
            self._open = opened
        for sentence in restorer.remarks:
            notifications.show_warning(sentence)
        if restorer.losses:
            notifications.show_warning(in_one_message(restorer.losses))
        self.look_for_unfinished()
        self.note_change()

    def _fill_window(self, restorer: Restorer, saved: SavedSession, replace: bool) -> None:
        source = restorer.put_back(saved, replace)
        self.restored.emit(source)
        # Layers for what is suggested are made here, before parts tell how they looked.
        with restorer.part("What is suggested"):
            self._results.suggestions.refresh()
        for name, (_, restore, at_first) in self._parts.items():
            with restorer.part(f"What the session says of {name.replace('_', ' ')}"):
                if at_first is not None:
                    restore(at_first)
                if name in saved.parts:
                    restore(saved.parts[name])
        self._results.show_all()
        with restorer.part("The view"):
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
        self.note_change()
        if switched:
            # Not now: the image is only just being put in front.
            QTimer.singleShot(0, self.save)
