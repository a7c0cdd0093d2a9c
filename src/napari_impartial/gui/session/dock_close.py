"""End of the dock: with its window, by the x of its title bar, or with the program."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QApplication, QWidget

from napari_impartial.gui.timers import single_shot
from napari_impartial.session.session import Session
from napari_impartial.worker.client import TrainingProcess

from .autosave import SessionStore

_LOOK_EVERY_MS = 50


class DockClose(QObject):
    """Saves the session, ends the training process and lets go of the rest, once.

    The x of a dock's title bar makes napari take the widget out of the dock and leave it at
    that: hidden, it would go on training, hold its session's folder and listen to keys. The
    widget without a dock is therefore the sign that it was closed. A dock that floats, is
    hidden or is put elsewhere keeps its widget, or gives it another dock at once.

    Parameters
    ----------
    widget
        In the dock.
    store, process, session
        Of the widget.
    let_go
        What else there is to do: plain functions, or methods of nothing that is deleted with
        the widget.
    put_back
        Leaves the layers as one who goes on without the dock wants them; not called where
        the viewer goes, too.
    """

    def __init__(
        self,
        widget: QWidget,
        store: SessionStore,
        process: TrainingProcess,
        session: Session,
        let_go: Iterable[Callable[[], object]],
        put_back: Callable[[], None],
    ) -> None:
        super().__init__(widget)
        self._widget, self._session = widget, session
        self._put_back = put_back
        left: list[Callable[[], object]] = [process.close, *let_go]

        # Not a method of ours: when this is called there may be no widget any more.
        def end(offer: bool) -> None:
            store.close(offer)
            while left:
                left.pop(0)()

        self._end = end
        self._soon = single_shot(self, 0, self._look)
        self._idle = single_shot(self, _LOOK_EVERY_MS, self._delete)
        application = QApplication.instance()
        assert application is not None
        application.aboutToQuit.connect(store.close)
        widget.destroyed.connect(lambda: end(False))
        widget.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Notice that the widget was taken out of its dock."""
        if event.type() == QEvent.Type.ParentChange and watched.parentWidget() is None:
            # Whoever puts it elsewhere does so right after.
            self._soon.start()
        return False

    def _look(self) -> None:
        if self._widget.parentWidget() is None:
            # Who closes a dock by its x is not done with the session, as who closes the
            # window is: a dock that is opened again offers it.
            self._end(True)
            self._put_back()
            self._idle.start()

    def _delete(self) -> None:
        if self._session.busy:
            # A job whose process has ended tells napari, in a moment, that it is over.
            self._idle.start()
        else:
            self._widget.deleteLater()
