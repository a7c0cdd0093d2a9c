"""Previews of the field in view while a network trains: when, of what, and how large."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from qtpy.QtCore import QObject, QTimer, Signal

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.images import Image
from napari_impartial.core.preview_budget import shrink
from napari_impartial.core.results import Box, GuestImage, Preview, Previewed, TrainingProgress

from . import messages
from .jobs import Job, Latest
from .layers import Source
from .layers.source import read_named
from .layers.view import field_in_view
from .session import CHANNEL_ADVICE, Activity, PlaneKey, TrainingItem
from .workspace import Workspace

# The same field is not predicted anew more often than anybody looks.
PREVIEW_EVERY_S = 2.0
# Nor beside a busy hand, where drawing it holds the window up, while the middle is there.
PREVIEW_EVERY_BUSY_S = 5.0
# An answer that has not come by then is not waited for.
ANSWER_WITHIN_S = 10.0
# The first preview of a field may be of its middle, if that is at least so large:
# something to see soon is worth more than all of it later.
FIRST_PREVIEW_PX = 256 * 256
# A view that is still being moved is not worth the time: it has to rest for so long.
_LOOK_EVERY_MS = 100


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
        self._latest: TrainingProgress | None = None
        # Whether the user paints, pans or zooms: training has few seconds then.
        self.hand_busy = False
        self._seen: tuple[PlaneKey, Box] | None = None
        self._asked_at = -math.inf
        # The field of the last preview, what was asked for, and when.
        self._previewed: tuple[Preview, Preview, float] | None = None
        # Planes by the number that training knows them by: 0, 1, ... are those that it learns
        # from; -1, -2, ... were handed in to be looked at, and of these it keeps the last.
        self._learned: list[PlaneKey] = []
        self._guests: list[PlaneKey] = []
        # The plane that was handed in last, that is being read to be, or that cannot be.
        self._guest: PlaneKey | None = None
        self._reading = Latest(self)
        self._reading.done.connect(self._hand_in)
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_EVERY_MS)
        self._timer.timeout.connect(self._look)

    def begin(self, job: Job, items: Sequence[TrainingItem]) -> None:
        """Ask a training that has just begun."""
        self._job, self._channel_names = job, items[0].image.channel_names
        self._latest, self._seen, self._previewed, self._guest = None, None, None, None
        self._asked_at = -math.inf
        self._learned, self._guests = [], []
        self.note_joined(items)
        self._timer.start()

    def note_joined(self, items: Sequence[TrainingItem]) -> None:
        """Take note of planes that training learns from, from now on."""
        self._learned += [(item.key, item.plane) for item in items]

    def end(self) -> None:
        """Ask no more."""
        self._timer.stop()
        self._job = None

    def follow(self, progress: TrainingProgress) -> None:
        """Take note of how training stands, and pass an answer on."""
        self._latest = progress
        if progress.preview is not None:
            self._on_answer(progress.preview)

    def _on_answer(self, answer: Previewed) -> None:
        self._asked_at = -math.inf
        number = answer.request.image_index
        place = self._learned[number] if number >= 0 else self._guests[-1 - number]
        if place[0] in self._session.images:
            self.previewed.emit(place, answer)

    def _look(self) -> None:
        """Ask for the field in view, as soon as training can spare the time for it."""
        seen, self._seen = self._seen, self._in_view()
        waiting = time.monotonic() - self._asked_at < ANSWER_WITHIN_S
        training = self._session.activity is Activity.TRAINING
        if self._job is None or self._latest is None or waiting or not training:
            return
        if seen is None or seen != self._seen:
            return
        place, box = seen
        number = self._number(place)
        if number is None:
            return
        field = Preview(number, box, cut=self._session.instance_config)
        request = self._due(field, self._latest)
        if request is not None:
            self._asked_at = time.monotonic()
            self._previewed = field, request, self._asked_at
            self._job.send(partial(messages.ToTraining, command=request))

    def _in_view(self) -> tuple[PlaneKey, Box] | None:
        source, key = self._workspace.source, self._session.current
        box = None if source is None else field_in_view(source)
        return None if key is None or box is None else ((key, self._session.plane_index), box)

    def _due(self, field: Preview, progress: TrainingProgress) -> Preview | None:
        """Return what is to be asked for now: of a field just come to, a quick look will do."""
        if self._previewed is None:
            # At the start of a training nothing is lent: its first weights know little.
            return self._quick(field, progress.preview_quick_px)
        last, asked, at = self._previewed
        passed_s = time.monotonic() - at
        if self.hand_busy and passed_s < PREVIEW_EVERY_BUSY_S and _shows_middle(asked, field):
            return None
        if (last.image_index, last.box) != (field.image_index, field.box):
            return self._quick(replace(field, new_field=True), progress.preview_new_px)
        if last == field and passed_s < PREVIEW_EVERY_S:
            return None
        whole = shrink(field.box, progress.preview_most_px)
        if whole is None:
            return None
        if self.hand_busy or _pixels(whole) > progress.preview_now_px:
            # Half of what there is stays for the next field that somebody comes to.
            return self._quick(field, progress.preview_quick_px // 2)
        return replace(field, box=whole)

    def _quick(self, field: Preview, most_px: int) -> Preview | None:
        """Return a quick look at a field, or its middle; None where that is too little."""
        box = shrink(field.box, most_px)
        if box is None or (box != field.box and _pixels(box) < 0.99 * FIRST_PREVIEW_PX):
            return None
        return replace(field, box=box, quick=True)

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
        return place, read_named(source, place[1], channel_names, CHANNEL_ADVICE)
    except (ImPartialError, OSError, MemoryError):
        # Nobody has asked for anything: why not is said when somebody presses Predict.
        return place, None


def _shows_middle(asked: Preview, field: Preview) -> bool:
    """Whether a preview has the middle of a field in it."""
    (y0, x0, y1, x1), box = asked.box, field.box
    y, x = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return asked.image_index == field.image_index and y0 <= y < y1 and x0 <= x < x1


def _pixels(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
