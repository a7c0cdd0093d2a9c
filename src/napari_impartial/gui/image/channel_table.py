"""The table of channels: which are used, what they are called, what normalization makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from qtpy.QtCore import QSignalBlocker, QSize, Qt, Signal
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QTableWidgetItem

from napari_impartial.core.data.channels import ChannelPreview, preview_channel
from napari_impartial.core.data.image import HIGH_PERCENTILE, LOW_PERCENTILE, Image
from napari_impartial.core.errors import ImPartialError
from napari_impartial.gui.background import Latest
from napari_impartial.gui.widgets.tables import ShortTable

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


class ChannelTable(ShortTable):
    """Shows the channels; normalization is worked out on a thread, row by row.

    Signals
    -------
    edited
        A name or a tick was changed by the user.
    """

    edited = Signal()

    def __init__(self) -> None:
        super().__init__(
            _HEADINGS,
            "channel_table",
            "Tick the channels that show the objects; select several to tick them together. "
            "Double-click a name to change it: a model finds its channels by name.",
            "Channels",
            _THUMBNAIL.height() + 4,
        )
        self.channels: list[Channel] = []
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
        self.itemChanged.connect(self._on_item)

    def set_channels(self, channels: Sequence[Channel]) -> None:
        """Show other channels, and work their normalization out."""
        self.channels = list(channels)
        with QSignalBlocker(self):
            self.set_rows(0)
            self.set_rows(len(self.channels))
            for row in range(len(self.channels)):
                usual = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
                self.at(row, _RANGE).setFlags(usual)
                editable = Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEditable
                self.at(row, _NAME).setFlags(usual | editable)
                self._show(row)
        self.look_again()

    def tick(self, rows: Sequence[int], used: bool = True) -> None:
        """Tick rows, or take their ticks away."""
        for row in rows:
            self.channels[row].used = used
            self._show(row)
        self.edited.emit()

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
            channel = self.channels[row]
            channel.preview = preview
            ratio = self.devicePixelRatioF()
            channel.picture = None if preview is None else _pixmap(preview.thumbnail, ratio)
            # Anything new about an entry closes its editor, with what was typed.
            edited = self.state() == QAbstractItemView.State.EditingState
            self._show(row, (_RANGE,) if edited else (_NAME, _RANGE))
            self._look_at_next()

    def _show(self, row: int, columns: Sequence[int] = (_NAME, _RANGE)) -> None:
        """Show name and tick, and the normalization in numbers and as a picture."""
        channel, name, told = self.channels[row], self.at(row, _NAME), self.at(row, _RANGE)
        with QSignalBlocker(self):
            if _NAME in columns:
                name.setText(channel.name)
                checked = Qt.CheckState.Checked if channel.used else Qt.CheckState.Unchecked
                name.setCheckState(checked)
            told.setText(range_text(channel.preview))
            told.setData(Qt.ItemDataRole.DecorationRole, channel.picture)
            for column in columns:
                self.at(row, column).setToolTip(_tooltip(channel))

    def _on_item(self, item: QTableWidgetItem) -> None:
        """Rename a channel, or tick it with all that are selected together with it."""
        if item.column() != _NAME:
            return
        row, name = item.row(), item.text().strip()
        channel, used = self.channels[row], item.checkState() == Qt.CheckState.Checked
        if used != channel.used:
            chosen = sorted({index.row() for index in self.selectedIndexes()})
            self.tick(chosen if row in chosen else [row], used)
        elif name and name != channel.name:
            channel.name = name
            self._show(row)
            self.edited.emit()
        else:
            self._show(row)


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
