"""Save and open the whole session; go on with one that was not finished."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QVBoxLayout,
    QWidget,
)

from napari_impartial.gui.widgets.parts import fill, make_button, named
from napari_impartial.gui.widgets.text_labels import line
from napari_impartial.session import locations as places

_SAVE_TIP = (
    "Keep the session in a folder of your choice: images (by their files, or whole if they "
    "have none), scribbles, models and settings. From then on it is kept up to date there."
)
_OPEN_TIP = (
    "Open a session in place of the present one, which is saved first: one of the last, or one "
    "in a folder that you choose."
)


class SessionPanel(QWidget):
    """Two buttons, and when the session was saved last, or that it cannot be.

    Signals
    -------
    save_wanted, open_wanted
        Folder that the user chose.
    """

    save_wanted = Signal(object)
    open_wanted = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._folder = self._last_time = ""
        self._save = make_button(
            "Save session...", "save_session_button", _SAVE_TIP, self._ask_where
        )
        self._open = make_button("Open session", "open_session_button", _OPEN_TIP)
        self._choices = QMenu(self)
        self._choices.setObjectName("open_session_menu")
        self._choices.setToolTipsVisible(True)
        self._choices.aboutToShow.connect(self._fill_choices)
        self._open.setMenu(self._choices)
        tip = "When the session was saved last."
        self._saved = named(QLabel("Saved 00:00"), "session_label", tip)
        # It has its room from the beginning: the first save must not make the dock wider.
        policy = self._saved.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self._saved.setSizePolicy(policy)
        self._saved.hide()
        parts = (self._save, self._open, (self._saved, 1))
        fill(QHBoxLayout(self), *parts, margins=(4, 0, 4, 0), spacing=4)

    def set_ready(self, has_session: bool, busy: bool) -> None:
        """Enable what can work."""
        self._save.setEnabled(has_session)
        self._open.setEnabled(not busy)

    def set_saved(self, folder: Path | None) -> None:
        """Say when the session was saved, and where; dialogs begin beside it.

        None says that it cannot be saved at present.
        """
        self._saved.show()
        if folder is None:
            last = f" It was saved last at {self._last_time}." if self._last_time else ""
            self._saved.setText("Not saved")
            self._saved.setToolTip(
                f"The session cannot be saved at present; this is tried again before long.{last} "
                "Press Save session to keep it in another folder."
            )
            return
        self._last_time = f"{datetime.now():%H:%M}"
        self._folder = str(folder.parent)
        self._saved.setText(f"Saved {self._last_time}")
        self._saved.setToolTip(f"The session is kept in {folder}")

    def _ask_where(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save session in a new folder", "session", "", "", _FOLDERS
        )
        if path:
            self.save_wanted.emit(Path(path))

    def offer_folder(self, folder: Path) -> None:
        """Let dialogs begin here while no session of this window has been saved."""
        self._folder = str(folder)

    def _fill_choices(self) -> None:
        self._choices.clear()
        for session in places.closed():
            when = f"{session.saved.astimezone():%d %B, %H:%M}"
            name = f"'{session.path.name}', {when}" if session.named else when
            action = self._choices.addAction(f"{name}: {session.summary}")
            assert action is not None
            action.setToolTip(str(session.path))
            action.triggered.connect(partial(self.open_wanted.emit, session.path))
        self._choices.addSeparator()
        self._choices.addAction("Choose a folder...", self._ask_which)

    def _ask_which(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open session", self._folder)
        if path:
            self.open_wanted.emit(Path(path))


_FOLDERS = QFileDialog.Option.DontConfirmOverwrite


class RestoreLine(QFrame):
    """One line that offers a session which was not finished; hidden while there is none.

    Signals
    -------
    restore_wanted, discard_wanted
        What the user wants with it.
    """

    restore_wanted = Signal()
    discard_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("restore_line")
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self._text = line("restore_label", "A session that ended before it was closed.")
        self._restore = make_button(
            "Restore",
            "restore_button",
            "Bring this session back, and go on where it ended.",
            self.restore_wanted.emit,
        )
        self._discard = make_button(
            "Discard",
            "discard_button",
            "Do not offer it again. It can be opened with Open session until five newer "
            "ones have displaced it.",
            self.discard_wanted.emit,
        )
        buttons = fill(QHBoxLayout(), self._restore, self._discard)
        buttons.addStretch(1)
        fill(QVBoxLayout(self), self._text, buttons, margins=(6, 4, 6, 4))
        self.hide()

    def offer(self, text: str) -> None:
        """Show the line, or hide it if there is nothing to offer."""
        self._text.setText(text)
        self.setVisible(bool(text))

    def set_ready(self, busy: bool) -> None:
        """Enable what can work."""
        self._restore.setEnabled(not busy)
