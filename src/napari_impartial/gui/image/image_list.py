"""The list of the session's images: state, counts, switching."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QModelIndex, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QCheckBox, QHBoxLayout, QVBoxLayout, QWidget

from napari_impartial.core.words import count
from napari_impartial.gui.widgets.parts import fill, make_button, named
from napari_impartial.gui.widgets.tables import RIGHT, ShortTable
from napari_impartial.gui.widgets.text_labels import (
    REVIEWED,
    REVIEWED_TIP,
    STALE_TIP,
    explained,
    line,
)
from napari_impartial.session.image_record import Tally

_ROOM_FOR_ALL_PX = 400
# More names than that nobody reads in one line.
_NAMED = 3
_STATES = "new, scribbled, predicted (by a round that is not the present one: by round 1), reviewed"
_HEADINGS = (
    ("Image", "Click to work on it."),
    ("State", _STATES),
    ("Strokes", "Strokes of all kinds"),
    ("Cells", "Annotated cells: strokes in cells, those inside of an outline counted with it"),
    ("Objects", "Objects found"),
)
_STROKES = 2


@dataclass(frozen=True)
class ImageRow:
    """An image as the list shows it."""

    key: int
    name: str
    status: str
    tally: Tally
    reviewed: bool
    stale: bool = False


class ImagesPanel(QWidget):
    """Lists the images; a single one needs no list.

    Signals
    -------
    image_chosen
        Key of the image that should be brought to the front.
    reviewed_changed
        Whether the image in front has been looked through.
    add_wanted
        The other open images should become part of the session.
    channels_wanted
        Layers of the same size should become channels of the image in front.
    """

    image_chosen = Signal(int)
    reviewed_changed = Signal(bool)
    add_wanted = Signal()
    channels_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._rows: Sequence[ImageRow] = ()
        self._table = ShortTable(
            _HEADINGS,
            "image_list",
            "Images of this session; click one to work on it. Delete its layer in napari's list to "
            "take it out.",
            "Images of this session",
            self.fontMetrics().height() + 6,
        )
        self._table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self._reviewed = named(QCheckBox(REVIEWED), "reviewed_check", REVIEWED_TIP)
        self._add = make_button(
            "",
            "add_images_button",
            "Make the other images that are open in napari part of this session, to train on "
            "and to predict; axes and channels are taken as in the image in front.",
            self.add_wanted.emit,
        )
        self._question = line("together_label", "What was opened beside the image in front.")
        self._channels = make_button(
            "Channels of this image",
            "join_channels_button",
            "Take the layers of the same size as further channels of the image in front, as if "
            "each had been ticked in the table.",
            self.channels_wanted.emit,
        )
        self._filling = False
        self._title = explained("Images of this session", self._table.toolTip())
        answers = fill(QHBoxLayout(), self._add, self._channels)
        parts = (self._title, self._table, self._reviewed, self._question, answers)
        fill(QVBoxLayout(self), *parts, margins=(4, 0, 4, 0))
        selection = self._table.selectionModel()
        assert selection is not None
        selection.currentRowChanged.connect(self._on_row)
        self._reviewed.toggled.connect(self._on_reviewed)
        self.set_images([], None)

    def set_images(
        self,
        rows: Sequence[ImageRow],
        current: int | None,
        others: int = 0,
        offered: Sequence[str] = (),
    ) -> None:
        """Show the images.

        Parameters
        ----------
        rows
            One for each image.
        current
            Key of the one in front.
        others
            Number of open images that are not among them.
        offered
            Names of layers among these that could be channels of the one in front.
        """
        self._filling = True
        self._rows = rows
        self._table.set_rows(len(rows))
        for at, row in enumerate(rows):
            self._show(at, row)
        place = next((i for i, row in enumerate(rows) if row.key == current), None)
        selection = self._table.selectionModel()
        if place is None and selection is not None:
            selection.clear()  # the current row, too, which may be another image next
        elif place is not None and self._table.currentIndex().row() != place:
            self._table.selectRow(place)
        self._reviewed.setChecked(place is not None and rows[place].reviewed)
        self._reviewed.setEnabled(place is not None)
        self._filling = False
        self._add.setText(f"Add {count(others, 'other open image')}")
        self._add.setVisible(others > 0 and current is not None)
        asked = bool(offered) and current is not None
        self._question.setVisible(asked)
        self._channels.setVisible(asked)
        if asked and place is not None:
            self._question.setText(_question(rows[place].name, offered))
        for part in (self._title, self._table, self._reviewed):
            part.setVisible(len(rows) > 1)

    def resizeEvent(self, event: Any) -> None:
        """Leave room for the names where there is little: strokes can be counted by cells."""
        super().resizeEvent(event)
        self._table.setColumnHidden(_STROKES, self.width() < _ROOM_FOR_ALL_PX)

    def _show(self, at: int, row: ImageRow) -> None:
        tally = row.tally
        objects = "" if tally.objects is None else tally.objects
        # How far it has come; all of it is in the tooltip. There is no room for more: "by
        # round 1" leaves the name as much as "predicted" does.
        state = row.status.split(", ")[-1].replace("predicted by", "by")
        for column, entry in enumerate((row.name, state, tally.strokes, tally.cells, objects)):
            item = self._table.at(at, column)
            item.setData(Qt.ItemDataRole.DisplayRole, entry)
            item.setToolTip(f"{row.name}: {row.status}{STALE_TIP if row.stale else ''}")
            if column > 1:
                item.setTextAlignment(RIGHT)

    def _on_row(self, current: QModelIndex, _: QModelIndex) -> None:
        if current.isValid() and not self._filling:
            self.image_chosen.emit(self._rows[current.row()].key)

    def _on_reviewed(self, reviewed: bool) -> None:
        if not self._filling:
            self.reviewed_changed.emit(reviewed)


def _question(name: str, offered: Sequence[str]) -> str:
    """Ask what the layers are that lie on the pixels of an image."""
    if len(offered) == 1:
        return f"{offered[0]} has the size of {name}: another image, or a channel of this one?"
    named = ", ".join(offered[:_NAMED])
    more = f" and {len(offered) - _NAMED} more" if len(offered) > _NAMED else ""
    return f"{named}{more} have the size of {name}: other images, or channels of this one?"
