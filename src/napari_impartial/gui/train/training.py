"""Train, pause, stop, go on: between the session and the training process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_impartial.core.config import TrainingConfig, get_preset, parameters
from napari_impartial.core.data.channels import find_channel, is_generic
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.network.model_card import ModelCard
from napari_impartial.core.training.messages import NewScribbles, Stop, TrainingProgress
from napari_impartial.gui import notifications
from napari_impartial.gui.background import Job
from napari_impartial.gui.layers import Source
from napari_impartial.gui.layers.workspace import Workspace
from napari_impartial.gui.timers import single_shot
from napari_impartial.session.plane import TrainingItem
from napari_impartial.session.session import Activity
from napari_impartial.worker import messages
from napari_impartial.worker.client import TrainingProcess

from .previews import PreviewControl
from .train_panel import TrainingChoice
from .training_set import Training, join

# Whoever goes through a table decides on an object a second or faster; what that teaches
# is worked out for all of a plane.
DECISIONS_PAUSE_MS = 400
# Weights that follow the strokes are averaged over a few seconds, not over half a minute.
_LIVE_EMA_DECAY = 0.9


def config_of(choice: TrainingChoice) -> TrainingConfig:
    """Return a preset with what was chosen; nuclei where it learns from them alone."""
    usual = get_preset(choice.preset).training
    nuclei = choice.nuclear_channel if usual.implied_labels else ""
    return replace(
        usual,
        time_budget_s=choice.time_budget_s,
        device=choice.device,
        nuclear_channel=nuclei,
    )


class TrainingControl(QObject):
    """Runs one training at a time and keeps what comes of it.

    Signals
    -------
    started
        A training has begun; carries its :class:`TrainingConfig`.
    progressed
        :class:`TrainingProgress`, several times a second.
    previewed
        ``(place, Previewed)`` of the field in view, with the weights so far; see
        :class:`PreviewControl`.
    finished
        The :class:`Round` that was added.
    failed
        Training ended without a model; the user has been told.
    """

    started = Signal(object)
    progressed = Signal(object)
    previewed = Signal(object, object)
    finished = Signal(object)
    failed = Signal()

    def __init__(
        self, workspace: Workspace, process: TrainingProcess, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._session = workspace.session
        self._process = process
        self._job: Job | None = None
        self._items: list[TrainingItem] = []
        # How many classes the network in training has.
        self._n_classes = 2
        self._pending: Training | None = None
        # Whether the training under way follows the strokes, and ends when it is told to.
        self.live = False
        self._elapsed_s = 0.0
        # The last training that gave a model: what Copy command is about.
        self.done: Training | None = None
        self._gives_way = False
        self._previews = PreviewControl(workspace, self)
        self._previews.previewed.connect(self.previewed)
        # Which strokes the running training cannot take, in one sentence.
        self.waiting = ""
        self._decided_timer = single_shot(self, DECISIONS_PAUSE_MS, self._send_annotation)
        workspace.painted.connect(self._send_annotation)

    def train(self, choice: TrainingChoice, go_on: bool = False) -> None:
        """Start training on all scribbled images; `go_on` starts from the current model."""
        self._set_out(config_of(choice), go_on)

    def train_live(self, choice: TrainingChoice) -> None:
        """Start a training that goes on, following the strokes, until it is stopped.

        Of what was chosen it takes the device, and the nuclear channel unless Paper is chosen.
        """
        chosen = config_of(choice)
        config = replace(
            get_preset("fast").training,
            schedule="steady",
            time_budget_s=parameters(TrainingConfig)["time_budget_s"].maximum or 0.0,
            freeze_norm_at=1.0,
            ema_decay=_LIVE_EMA_DECAY,
            device=chosen.device,
            nuclear_channel=chosen.nuclear_channel,
        )
        self._set_out(config, self._session.goes_on(), live=True)

    def _set_out(self, config: TrainingConfig, go_on: bool, live: bool = False) -> None:
        if self._session.busy:
            return
        try:
            card = self._session.card if go_on else None
            items = self._workspace.training_set(None if card is None else card.channel_names)
            nuclei = self._nuclear_channel(config.nuclear_channel, items[0].image.channel_names)
        except ImPartialError as error:
            notifications.show_warning(str(error))
            return
        config = replace(config, nuclear_channel=nuclei)
        self.live, self._elapsed_s = live, 0.0
        self._session.score_round(items)
        self._items = items
        painted = max(item.scribbles.n_classes for item in items)
        self._n_classes = painted if card is None else card.n_classes
        self._pending = Training(
            self._sources(items),
            items[0].image.channel_names,
            get_preset(config.preset).model,
            config,
            self._session.model_path if go_on else None,
            self._session.class_names.given(self._n_classes),
        )
        self._start(self._pending)

    def _nuclear_channel(self, chosen: str, names: Sequence[str]) -> str:
        """Return what a channel of the image in front is called in training."""
        if not chosen or chosen in names:
            return chosen
        assert self._session.record is not None
        shown = self._session.record.channel_names
        if chosen in shown and is_generic(shown) and len(shown) == len(names):
            return names[shown.index(chosen)]  # the model's names, in the same order
        if (found := find_channel(names, chosen)) is not None:
            return names[found]
        raise ImPartialError(
            f"There is no channel {chosen!r} to find nuclei in. Choose another nuclear channel, or "
            "none, under Train > Advanced."
        )

    def pause(self, paused: bool) -> None:
        """Hold the running training, or let it go on."""
        if self._job is None or self._session.activity is Activity.STOPPING:
            return
        self._job.send(partial(messages.Pause, paused=paused))
        self._session.activity = Activity.PAUSED if paused else Activity.TRAINING

    def stop(self) -> None:
        """End the running training and keep the best weights so far."""
        if self._job is None or self._session.activity is Activity.STOPPING:
            return
        self._previews.end()
        self._job.send(partial(messages.ToTraining, command=Stop()))
        self._session.activity = Activity.STOPPING

    def give_way(self, wanted: bool) -> None:
        """Let training leave the cores to the user's moving hand, or have all again."""
        self._gives_way = self._previews.hand_moves = wanted
        if self._job is not None:
            self._job.send(partial(messages.GiveWay, wanted=wanted))

    def note_busy(self, busy: bool) -> None:
        """Let looks be quick while the user's hand is busy."""
        self._previews.hand_busy = busy

    def _start(self, training: Training) -> None:
        make = partial(
            messages.Train,
            images=tuple(item.image for item in self._items),
            scribbles=tuple(item.scribbles for item in self._items),
            model=training.model,
            training=training.training,
            model_path=str(self._process.new_model_path()),
            init_path=None if training.init is None else str(training.init),
            class_names=training.class_names,
        )
        # First of all: making the job runs the event loop, and a second click waits there.
        self._session.activity = Activity.TRAINING
        self._job = Job(self._process, make, "ImPartial: training", self)
        self._job.when_cancelled(self.stop)
        self._job.progressed.connect(self._on_progress)
        self._job.ended.connect(self._on_end)
        self._previews.begin(self._job, self._items)
        # In any case: what the hand did while the last training ended may not have arrived.
        self.give_way(self._gives_way)
        self.started.emit(training.training)

    def _on_progress(self, progress: TrainingProgress) -> None:
        self._elapsed_s = progress.elapsed_s
        self._previews.follow(progress)
        self.progressed.emit(progress)

    def _on_end(self, reply: messages.Final) -> None:
        self._job = None
        self._previews.end()
        self._decided_timer.stop()
        self.waiting = ""
        if self.live and self._pending is not None:
            # What Copy command repeats is a training of as long.
            now = self._pending.training
            again = replace(
                get_preset("fast").training,
                device=now.device,
                nuclear_channel=now.nuclear_channel,
                time_budget_s=max(1.0, float(round(self._elapsed_s))),
            )
            self._pending = replace(self._pending, training=again)
        self.live = False
        self._session.activity = Activity.IDLE
        if isinstance(reply, messages.Trained):
            self._keep(Path(reply.model_path), reply.card)
            return
        if isinstance(reply, messages.Failed):
            notifications.show_failure(reply, "training")
        self.failed.emit()

    def _keep(self, path: Path, card: ModelCard) -> None:
        self.done = self._pending
        annotated = sum(int((item.scribbles.labels > 0).sum()) for item in self._items)
        planes = (
            self._session.images[item.key].plane(item.plane)
            for item in self._items
            if item.key in self._session.images
        )
        cells = sum(plane.n_annotated_cells for plane in planes)
        added = self._session.add_round(path, card, annotated, cells)
        added.learned = {(item.key, item.plane): item.scribbles.labels for item in self._items}
        self.finished.emit(added)

    def note_decisions(self) -> None:
        """Let decisions about objects join the running training, as strokes do."""
        if self._job is not None:
            self._decided_timer.start()

    def _send_annotation(self) -> None:
        """Let what was annotated meanwhile join the running training."""
        if self._job is None or self._session.activity is Activity.STOPPING:
            return
        joined = join(self._workspace, self._items, self._n_classes)
        before, self._items = self._items, joined.items
        further = joined.items[len(before) :]
        changed = any(
            new.scribbles is not old.scribbles
            and (new.scribbles.labels != old.scribbles.labels).any()
            for new, old in zip(joined.items, before, strict=False)
        )
        if further and self._pending is not None:
            sources = (*self._pending.sources, *self._sources(further))
            self._pending = replace(self._pending, sources=tuple(dict.fromkeys(sources)))
        if changed or further:
            command = NewScribbles(
                tuple(item.scribbles for item in joined.items),
                tuple(item.image for item in further),
            )
            self._job.send(partial(messages.ToTraining, command=command))
            self._previews.note_joined(further)
            if self.live:
                self._show_soon(before)
        self._set_waiting(joined.waiting)

    def _show_soon(self, before: Sequence[TrainingItem]) -> None:
        """Look at what was painted in the plane in view, once it has been learned a little."""
        for number, item in enumerate(self._items):
            if (item.key, item.plane) == (self._session.current, self._session.plane_index):
                now = item.scribbles.labels
                new = now > 0 if number >= len(before) else now != before[number].scribbles.labels
                rows, columns = np.nonzero(new)
                if len(rows):
                    first, last = (rows.min(), columns.min()), (rows.max(), columns.max())
                    box = int(first[0]), int(first[1]), int(last[0]) + 1, int(last[1]) + 1
                    self._previews.hurry((item.key, item.plane), box)

    def _sources(self, items: Sequence[TrainingItem]) -> tuple[Source, ...]:
        """Return the images that planes are of, each once."""
        return tuple(dict.fromkeys(self._workspace.sources[item.key] for item in items))

    def _set_waiting(self, waiting: str) -> None:
        if waiting != self.waiting:
            self.waiting = waiting
            self._session.changed.emit()
