"""Previews of the field in view while a network trains: when, of what, and how large."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from qtpy.QtCore import QObject, QTimer, Signal

from napari_impartial.core.data.boxes import Box
from napari_impartial.core.data.image import Image
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.training.messages import GuestImage, NoPreview, Preview, TrainingProgress
from napari_impartial.gui.background import Job, Latest
from napari_impartial.gui.layers import Source
from napari_impartial.gui.layers.camera import field_in_view
from napari_impartial.gui.layers.image_source import read_named
from napari_impartial.gui.layers.workspace import Workspace
from napari_impartial.session.plane import PlaneKey, TrainingItem
from napari_impartial.session.session import Activity
from napari_impartial.worker import messages

# The same field is not predicted anew more often than anybody looks.
PREVIEW_EVERY_S = 2.0
# Nor beside a busy hand, where drawing it holds the window up, while the middle is there.
PREVIEW_EVERY_BUSY_S = 5.0
# Where training follows the strokes, a stroke is looked at after so long, with so much round it;
# beside a hand that moves on, as late as any other look at the same field.
HURRY_AFTER_S, _ROUND_STROKE_PX = 0.5, 96
# A view that is still being moved is not worth the time: it has to rest for so long.
_LOOK_EVERY_MS = 100


@dataclass(frozen=True)
class Shown:
    """Last preview of a training, its plane, and its time."""

    place: PlaneKey
    asked: Preview
    box: Box
    at: float

    def of(self, place: PlaneKey, field: Preview) -> bool:
        """Return whether it is of a field, or its middle."""
        return (self.place, self.asked.box) == (place, field.box)

    def has_middle(self, place: PlaneKey, field: Preview) -> bool:
        """Return whether the middle of a field is well inside it."""
        (y0, x0, y1, x1), (top, left, bottom, right) = self.box, field.box
        off_y, off_x = abs(y0 + y1 - top - bottom) / 2, abs(x0 + x1 - left - right) / 2
        return self.place == place and off_y <= (y1 - y0) / 4 and off_x <= (x1 - x0) / 4


class PreviewControl(QObject):
    """Asks the running training for the field in view, whatever image or plane that is of.

    Signals
    -------
    previewed
        ``(place, Previewed)``; `place` is the key of the image and its plane.
    """

    previewed = Signal(object, object)

    def __init__(self, workspace: Workspace, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._session = workspace.session
        self._job: Job | None = None
        self._channel_names: tuple[str, ...] = ()
        # Whether the user paints, pans or zooms, or did a moment ago: looks have to be quick then.
        self.hand_busy = False
        # Whether it moves: it does not between two strokes.
        self.hand_moves = False
        self._seen: tuple[PlaneKey, Box] | None = None
        # What training was asked for and has not answered yet, and what it answered last.
        self._asked: Preview | None = None
        self._shown: Shown | None = None
        # Planes by the number that training knows them by: 0, 1, ... are those that it learns
        # from; -1, -2, ... were handed in to be looked at, and of these it keeps the last.
        self._learned: list[PlaneKey] = []
        self._guests: list[PlaneKey] = []
        # The plane that was handed in last, that is being read to be, or that cannot be.
        self._guest: PlaneKey | None = None
        # What is to be looked at before long, and since when.
        self._hurried: tuple[PlaneKey, Box, float] | None = None
        self._hurried_at = 0.0
        self._reading = Latest(self)
        self._reading.done.connect(self._hand_in)
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_EVERY_MS)
        self._timer.timeout.connect(self._look)

    def begin(self, job: Job, items: Sequence[TrainingItem]) -> None:
        """Ask a training that has just begun."""
        self._job, self._channel_names = job, items[0].image.channel_names
        self._seen, self._asked, self._shown, self._guest = None, None, None, None
        self._hurried = None
        self._learned, self._guests = [], []
        self.note_joined(items)
        self._timer.start()

    def note_joined(self, items: Sequence[TrainingItem]) -> None:
        """Take note of planes that training learns from, from now on."""
        self._learned += [(item.key, item.plane) for item in items]

    def hurry(self, place: PlaneKey, box: Box) -> None:
        """Look at a box of a plane, and a little round it, before long and whatever it costs.

        A look that was hurried and is still to come has its box looked at, too.
        """
        if self._hurried is not None and self._hurried[0] == place:
            y0, x0, y1, x1 = self._hurried[1]
            box = min(box[0], y0), min(box[1], x0), max(box[2], y1), max(box[3], x1)
            self._hurried = place, box, self._hurried[2]
        else:
            self._hurried = place, box, time.monotonic()

    def end(self) -> None:
        """Ask no more."""
        self._timer.stop()
        self._job = None

    def follow(self, progress: TrainingProgress) -> None:
        """Pass an answer on, if there is one."""
        answer = progress.preview
        if answer is None:
            return
        # Somebody may have gone on meanwhile, and asked for another.
        if self._asked == answer.request:
            self._asked = None
        number = answer.request.image_index
        place = self._learned[number] if number >= 0 else self._guests[-1 - number]
        if answer.request.within_share:
            self._shown = Shown(place, answer.request, answer.box, time.monotonic())
        if place[0] in self._session.images:
            self.previewed.emit(place, answer)

    def _look(self) -> None:
        """Tell training what is wished for, once the view has come to rest."""
        if self._look_at_stroke():
            return
        seen, self._seen = self._seen, self._in_view()
        if self._job is None or seen != self._seen:
            return
        wish = None if seen is None else self._wish(*seen)
        command: Preview | NoPreview | None = wish
        if wish is None and self._asked is not None:
            command = NoPreview()
        if command is not None and wish != self._asked:
            self._asked = wish
            self._job.send(partial(messages.ToTraining, command=command))

    def _look_at_stroke(self) -> bool:
        """Ask for what is hurried, if its time has come; whether that is being waited for."""
        if self._hurried is None:
            # A wish takes the place of the one before: first that one has to be answered.
            waited_s = time.monotonic() - self._hurried_at
            hurried = self._asked is not None and not self._asked.within_share
            return hurried and waited_s < PREVIEW_EVERY_BUSY_S
        place, box, since = self._hurried
        after_s = PREVIEW_EVERY_BUSY_S if self.hand_moves else HURRY_AFTER_S
        if self._job is None or time.monotonic() < since + after_s:
            return False
        self._hurried, self._hurried_at = None, time.monotonic()
        there = place in self._learned and place[0] in self._session.images
        if self._session.activity is not Activity.TRAINING or not there:
            return False
        height, width = self._workspace.sources[place[0]].plane_shape
        (y0, x0, y1, x1), edge = box, _ROUND_STROKE_PX
        field = max(0, y0 - edge), max(0, x0 - edge), min(height, y1 + edge), min(width, x1 + edge)
        self._asked = Preview(
            self._learned.index(place),
            field,
            cut=self._session.instance_config,
            within_share=False,
            quick=True,
        )
        self._job.send(partial(messages.ToTraining, command=self._asked))
        return True

    def _in_view(self) -> tuple[PlaneKey, Box] | None:
        source, key = self._workspace.source, self._session.current
        box = None if source is None or source.is_slide else field_in_view(source)
        return None if key is None or box is None else ((key, self._session.plane_index), box)

    def _wish(self, place: PlaneKey, box: Box) -> Preview | None:
        """Return what is wished for now; None where that is there already.

        How much of it there is time for, and when, is for training to decide.
        """
        training = self._session.activity is Activity.TRAINING
        number = self._number(place) if training else None
        if number is None:
            return None
        field, shown = Preview(number, box, cut=self._session.instance_config), self._shown
        if shown is None:
            return replace(field, new_field=True)
        passed_s = time.monotonic() - shown.at
        if self.hand_busy and passed_s < PREVIEW_EVERY_BUSY_S and shown.has_middle(place, field):
            return None
        if not shown.of(place, field):
            return replace(field, new_field=True)
        if shown.asked.cut == field.cut and passed_s < PREVIEW_EVERY_S:
            return None
        return replace(field, quick=self.hand_busy)

    def _number(self, place: PlaneKey) -> int | None:
        """Return the number of a plane in training; None, for now, for one that is not."""
        if place in self._learned:
            return self._learned.index(place)
        if place != self._guest:
            self._guest = place
            source = self._workspace.sources[place[0]]
            self._reading.request(partial(_read, place, source, self._channel_names))
        elif self._guests[-1:] == [place]:
            return -len(self._guests)
        return None

    def _hand_in(self, result: tuple[PlaneKey, Image | None]) -> None:
        """Let training have a plane that it does not learn from, to be looked at."""
        place, image = result
        if self._job is None or place != self._guest or image is None:
            return
        self._guests.append(place)
        guest = GuestImage(-len(self._guests), image)
        self._job.send(partial(messages.ToTraining, command=guest))


def _read(
    place: PlaneKey, source: Source, channel_names: Sequence[str]
) -> tuple[PlaneKey, Image | None]:
    """Copy the channels that training learns from; None if they are not there."""
    try:
        return place, read_named(source, place[1], channel_names)
    except (ImPartialError, OSError, MemoryError):
        # Nobody has asked for anything: why not is said when somebody presses Predict.
        return place, None
