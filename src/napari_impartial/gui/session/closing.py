"""The end of a session: how it is noticed, and how it is written for the last time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject

from napari_impartial.core.errors import ImPartialError
from napari_impartial.gui.layers.workspace import Workspace
from napari_impartial.gui.timers import single_shot
from napari_impartial.session import locations as places
from napari_impartial.session.locations import OpenSession
from napari_impartial.session.saved_state import SavedSession


@dataclass(eq=False)
class Ended:
    """A session that is over and is to be written for the last time.

    Attributes
    ----------
    state
        All that was in it.
    opened
        Its folder; None if it has not been saved yet.
    path
        Where it is, or will be, saved.
    written
        Where it lies now; None as long as it could be written nowhere.
    error
        Why that is not the folder of its own.
    told
        Whether the user knows that it can be written nowhere.
    """

    state: SavedSession
    opened: OpenSession | None
    path: Path
    written: Path | None = None
    error: str = ""
    told: bool = False

    def write(self, offer: bool = False) -> None:
        """Write it, elsewhere if need be, and let go of its folder; on any thread.

        If it can be written nowhere, its folder is kept for another try.

        Parameters
        ----------
        offer
            Whether it counts as not finished, and the next dock offers it.
        """
        try:
            opened = places.write(self.state, self.opened, self.path)
        except Exception as error:  # whatever it was, the sessions after it have to be saved
            self.error = in_words(error)
            self._write_elsewhere()
            return
        if offer:
            opened.abandon()
        else:
            opened.finish()
        self.written, self.error = self.path, ""

    def write_finally(self, offer: bool = False) -> None:
        """Do as :meth:`write`, but let go of the folder in any case."""
        self.write(offer)
        if self.written is None and self.opened is not None:
            self.opened.abandon()

    def _write_elsewhere(self) -> None:
        # Where its images lie was seen from the folder that it cannot be written in.
        layers = [dataclasses.replace(layer, relative=None) for layer in self.state.layers]
        state = dataclasses.replace(self.state, layers=layers)
        folder = places.new_session_folder()
        try:
            opened = places.write(state, None, folder, self.opened)
        except Exception:
            # What is wrong with the session's own folder is what the user can mend.
            return
        # It is offered, and so no newer session displaces it; nor what was saved before.
        opened.abandon()
        if self.opened is not None:
            self.opened.abandon()
        self.written = folder


class SessionEnd(QObject):
    """Notices that a session is over, and keeps it until it is written.

    With its last image a session ends; what was in it must not be written over.

    Parameters
    ----------
    workspace
        Of the window.
    describe
        Describes the session, of which a layer is about to be removed; returns None if
        there is nothing to keep.
    """

    def __init__(
        self,
        workspace: Workspace,
        describe: Callable[[], SavedSession | None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._session = workspace.session
        self._describe = describe
        # The session before images were taken out, and which of them it still has.
        self._before: SavedSession | None = None
        self._keys: set[int] = set()
        # What is over, in the folder that the store still has.
        self._over: SavedSession | None = None
        self._unwritten: list[Ended] = []
        # After a moment we know whether a layer was removed or the viewer is closing.
        self._timer = single_shot(self, 100, self._forget_removal)
        self._session.changed.connect(self._on_session)
        workspace.viewer.layers.events.removing.connect(self._on_removing)

    @property
    def is_pending(self) -> bool:
        """Return whether a session is over and has yet to be written for the last time."""
        return self.is_waiting or self._over is not None or self._is_gone()

    @property
    def is_waiting(self) -> bool:
        """Return whether one that is over has left the store, and waits to be written."""
        return bool(self._unwritten)

    def before_removal(self) -> SavedSession | None:
        """Return the session as it was, if its last image has just been taken out."""
        return self._before if self._is_gone() else None

    def note_end(self) -> None:
        """Hold the session to be over if its last image is gone."""
        if self._over is None and self._is_gone():
            self._over, self._before = self._before, None

    def take_over(self, opened: OpenSession | None, path: Path) -> bool:
        """Take the folder of a session that is over; return whether there is one."""
        if self._over is None:
            return False
        self._unwritten.append(Ended(self._over, opened, path))
        self._over = None
        return True

    def write(self) -> None:
        """Write what waits; on any thread, for :meth:`note_written` on the window's."""
        for ended in self._unwritten:
            ended.write()

    def note_written(self, asked: bool = False) -> list[str]:
        """Take in what came of :meth:`write`; return what is to be told of it.

        What can be written nowhere is kept for another try, and told once, or each time if
        the user has `asked` for it.
        """
        said = []
        for ended in self._unwritten:
            if ended.written is not None and ended.error:
                said.append(
                    f"{ended.error} The session that ended has been saved in {ended.written} "
                    "instead."
                )
            elif ended.written is None and (asked or not ended.told):
                ended.told = True
                said.append(
                    f"{ended.error} The session that ended could not be saved elsewhere either; "
                    "until the window is closed, this is tried again with each save."
                )
        self._unwritten = [ended for ended in self._unwritten if ended.written is None]
        return said

    def forget(self) -> None:
        """Forget what was taken out: another session takes the place of the present one."""
        self._before = None

    def close(self) -> None:
        """Write what is left, for which there is no other try, and stop listening."""
        for ended in self._unwritten:
            ended.write_finally()
        self._unwritten = []
        self._timer.stop()
        self._session.changed.disconnect(self._on_session)
        self._workspace.viewer.layers.events.removing.disconnect(self._on_removing)

    def _on_session(self) -> None:
        current = self._session.current
        # An image that comes back later comes without its results.
        self._keys.intersection_update(self._session.images)
        if current is not None and self._is_in_viewer(current):
            self.note_end()

    def _on_removing(self, _: Any = None) -> None:
        if self._before is not None:
            return
        self._before = self._describe()
        if self._before is not None:
            self._keys = {key for key in self._session.images if self._is_in_viewer(key)}
            self._timer.start()

    def _forget_removal(self) -> None:
        if not self._is_gone():
            self._before = None

    def _is_gone(self) -> bool:
        """Return whether the last image was taken out of the viewer.

        The session may not know yet.
        """
        if self._before is None or not self._before.images:
            return False
        return not any(self._is_in_viewer(key) for key in self._keys)

    def _is_in_viewer(self, key: int) -> bool:
        source = self._workspace.sources.get(key)
        # Any of its layers: another channel may lead it on.
        return source is not None and any(
            layer in self._workspace.viewer.layers for layer in source.layers
        )


def in_words(error: Exception) -> str:
    """Return what to tell of an error that came up while a session was saved or read."""
    if isinstance(error, ImPartialError):
        return str(error)
    return f"The session could not be saved or read ({error!r})."
