"""The table of channels: which are used, what they are called, what normalization makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from qtpy.QtCore import QModelIndex, QSize, Qt, Signal
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QWidget

from napari_impartial.core.data.channels import ChannelPreview, preview_channel
from napari_impartial.core.data.image import HIGH_PERCENTILE, LOW_PERCENTILE, Image
from napari_impartial.core.errors import ImPartialError
from napari_impartial.gui.background import Latest
from napari_impartial.gui.widgets.tables import HeadedModel, ShortTable

_NAME, _RANGE = range(2)
_HEADINGS = (
    ("Channel", ""),
    (
        "Scaled from",
        "How the network sees the channel: the first number becomes 0, the second 1 "
        f"(percentiles {LOW_PERCENTILE:g} and {HIGH_PERCENTILE:g} of the plane in view).",
    ),
)
_THUMBNAIL = QSize(48, 24)


@dataclass
class Channel:
    """One row.

    Attributes
    ----------
    name
        Of the channel, as the layers or the user have it.
    used
        Whether the network sees it.
    read
        Copies the channel's pixels; may be called on another thread.
    """

    name: str
    used: bool
    read: Callable[[], Image]
    preview: ChannelPreview | None = None
    picture: QPixmap | None = field(default=None, repr=False)


class ChannelTableModel(HeadedModel):
    """Rows of :class:`Channel`; names can be edited and rows ticked.

    Signals
    -------
    edited
        A name or a tick was changed by the user.
    """

    edited = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.channels: list[Channel] = []
        # Rows that are ticked together with the one that is clicked.
        self.selected: Callable[[], Sequence[int]] = list
        # Of the screen.
        self.pixels_per_px = 1.0

    def set_channels(self, channels: Sequence[Channel]) -> None:
        """Show other channels."""
        self.beginResetModel()
        self.channels = list(channels)
        self.endResetModel()

    def set_preview(self, row: int, preview: ChannelPreview | None) -> None:
        """Show what normalization makes of a channel; None: it could not be read."""
        channel = self.channels[row]
        channel.preview = preview
        channel.picture = (
            None if preview is None else _pixmap(preview.thumbnail, self.pixels_per_px)
        )
        self.dataChanged.emit(self.index(row, _NAME), self.index(row, _RANGE))

    def n_rows(self) -> int:
        """Return the number of channels."""
        return len(self.channels)

    def headings(self) -> Sequence[tuple[str, str]]:
        """Return the heading of each column, and its tooltip."""
        return _HEADINGS

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Names can be edited and ticked."""
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        if index.column() == _NAME:
            flags |= Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEditable
        return flags

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return name and tick, or the normalization in numbers and as a picture."""
        if not index.isValid():
            return None
        channel = self.channels[index.row()]
        if role == Qt.ItemDataRole.ToolTipRole:
            return _tooltip(channel)
        if index.column() == _NAME:
            if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
                return channel.name
            if role == Qt.ItemDataRole.CheckStateRole:
                return Qt.CheckState.Checked if channel.used else Qt.CheckState.Unchecked
        elif role == Qt.ItemDataRole.DisplayRole:
            return range_text(channel.preview)
        elif role == Qt.ItemDataRole.DecorationRole:
            return channel.picture
        return None

    def setData(self, index: QModelIndex, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Rename a channel, or tick it with all that are selected together with it."""
        row = index.row()
        if role == Qt.ItemDataRole.EditRole:
            name = str(value).strip()
            if not name or name == self.channels[row].name:
                return False
            self.channels[row].name = name
        elif role == Qt.ItemDataRole.CheckStateRole:
            used = Qt.CheckState(value) == Qt.CheckState.Checked
            chosen = self.selected()
            self.tick(chosen if row in chosen else [row], used)
            return True
        else:
            return False
        self._tell_edited([row])
        return True

    def tick(self, rows: Sequence[int], used: bool = True) -> None:
        """Tick rows, or take their ticks away."""
        for row in rows:
            self.channels[row].used = used
        self._tell_edited(rows)

    def _tell_edited(self, rows: Sequence[int]) -> None:
        for row in rows:
            self.dataChanged.emit(self.index(row, _NAME), self.index(row, _NAME))
        self.edited.emit()


class ChannelTable(ShortTable):
    """Shows the channels; normalization is worked out on a thread, row by row.

    Signals
    -------
    edited
        A name or a tick was changed by the user.
    """

    edited = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        self.channel_model = ChannelTableModel()
        super().__init__(
            self.channel_model,
            "channel_table",
            "Tick the channels that show the objects; select several to tick them together. "
            "Double-click a name to change it: a model finds its channels by name.",
            "Channels",
            _THUMBNAIL.height() + 4,
            parent=parent,
        )
        self.channel_model.setParent(self)
        self.channel_model.selected = self._selected_rows
        self.channel_model.edited.connect(self.edited)
        self.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked
            | QAbstractItemView.EditTrigger.EditKeyPressed
        )
        self.setIconSize(_THUMBNAIL)
        # Drawn by the style alone, an empty box cannot be seen on a dark theme.
        self.setStyleSheet("QTableView::indicator:unchecked { border: 1px solid palette(text); }")
        self._queue: list[int] = []
        self._round = 0
        self._looking = Latest(self)
        self._looking.done.connect(self._on_preview)

    @property
    def channels(self) -> list[Channel]:
        """The rows."""
        return self.channel_model.channels

    def set_channels(self, channels: Sequence[Channel]) -> None:
        """Show other channels, and work their normalization out."""
        self.channel_model.set_channels(channels)
        self.look_again()

    def look_again(self) -> None:
        """Work the normalization out anew, because another plane is looked at."""
        self._round += 1
        self._queue = list(range(len(self.channels)))
        self._look_at_next()

    def _look_at_next(self) -> None:
        if not self._queue:
            return
        number, row = self._round, self._queue.pop(0)
        read = self.channels[row].read
        ratio = self.devicePixelRatioF()
        self.channel_model.pixels_per_px = ratio
        size = round(_THUMBNAIL.height() * ratio), round(_THUMBNAIL.width() * ratio)

        def work_out() -> tuple[int, int, ChannelPreview | None]:
            try:
                return number, row, preview_channel(read(), size)
            except (ImPartialError, OSError):
                # Said when the image is used; a preview is no place for it.
                return number, row, None

        self._looking.request(work_out)

    def _on_preview(self, result: tuple[int, int, ChannelPreview | None]) -> None:
        number, row, preview = result
        if number == self._round:
            self.channel_model.set_preview(row, preview)
            self._look_at_next()

    def _selected_rows(self) -> list[int]:
        selection = self.selectionModel()
        return [] if selection is None else [index.row() for index in selection.selectedRows()]


def range_text(preview: ChannelPreview | None) -> str:
    """Return the intensities that become 0 and 1, or why there are none."""
    if preview is None:
        return "..."
    if np.isnan(preview.low):
        return "no numbers"
    if not preview.high > preview.low:
        return f"all {preview.low:.4g}"
    return f"{_number(preview.low)} to {_number(preview.high)}"


def _number(value: float) -> str:
    """Return a number in four digits; large ones in full, which is read more easily."""
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e7 else f"{value:.4g}"


def _tooltip(channel: Channel) -> str:
    preview = channel.preview
    if preview is None or not preview.high > preview.low:
        return channel.name
    return f"{channel.name}: {preview.low:.6g} becomes 0, {preview.high:.6g} becomes 1"


def _pixmap(thumbnail: np.ndarray, pixels_per_px: float) -> QPixmap:
    height, width = thumbnail.shape
    pixels = np.ascontiguousarray(thumbnail).tobytes()
    image = QImage(pixels, width, height, width, QImage.Format.Format_Grayscale8)
    # A copy: the image above only borrows these bytes.
    pixmap = QPixmap.fromImage(image.copy()).scaled(
        _THUMBNAIL * pixels_per_px,
        Qt.AspectRatioMode.KeepAspectRatio,
        Qt.TransformationMode.SmoothTransformation,
    )
    pixmap.setDevicePixelRatio(pixels_per_px)
    return pixmap
