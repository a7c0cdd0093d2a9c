"""Train, pause, stop, go on: between the session and the training process."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from qtpy.QtCore import QObject, QTimer, Signal

from napari_impartial.core.config import TrainingConfig, get_preset
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.model_card import ModelCard
from napari_impartial.core.results import NewScribbles, Prediction, Preview, Stop, TrainingProgress

from . import messages, notify
from .jobs import Job
from .layers import Role
from .layers.view import field_in_view
from .process import TrainingProcess
from .session import Activity, TrainingItem
from .workspace import Workspace

# A preview may take a tenth of the time of training, and is not asked for more often
# than anybody looks.
PREVIEW_SHARE = 0.1
PREVIEW_EVERY_S = 2.0


class TrainingControl(QObject):
    """Runs one training at a time and keeps what comes of it.

    Signals
    -------
    started
        A training has begun; carries its :class:`TrainingConfig`.
    progressed
        :class:`TrainingProgress`, several times a second.
    previewed
        ``(item, Preview, Prediction)`` of the field in view, with the weights so far.
    finished
        The :class:`Round` that was added.
    failed
        Training ended without a model; the user has been told.
    """

    started = Signal(object)
    progressed = Signal(object)
    previewed = Signal(object, object, object)
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
        self._asked_at = 0.0
        self._waiting_for_preview = False
        self._next_preview_at = 0.0
        self._preview_timer = QTimer(self)
        self._preview_timer.setInterval(250)
        self._preview_timer.timeout.connect(self._ask_for_preview)
        workspace.painted.connect(self._send_scribbles)

    def train(self, preset: str, time_budget_s: float, device: str, go_on: bool = False) -> None:
        """Start training on all scribbled images; `go_on` starts from the current model."""
        if self._session.busy:
            return
        try:
            items = self._workspace.training_set()
        except ImPartialError as error:
            notify.show_warning(str(error))
            return
        chosen = get_preset(preset)
        config = replace(chosen.training, time_budget_s=time_budget_s, device=device)
        self._items = items
        self._start(chosen.model, config, self._session.model_path if go_on else None)

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
        self._preview_timer.stop()
        self._job.send(partial(messages.ToTraining, command=Stop()))
        self._session.activity = Activity.STOPPING

    def _start(self, model: object, config: TrainingConfig, init: Path | None) -> None:
        images = tuple(item.image for item in self._items)
        scribbles = tuple(item.scribbles for item in self._items)
        model_path = str(self._process.new_model_path())

        def make(number: int) -> messages.Train:
            return messages.Train(
                number,
                images,
                scribbles,
                model,  # type: ignore[arg-type]
                config,
                model_path,
                None if init is None else str(init),
            )

        self._waiting_for_preview = False
        self._next_preview_at = time.monotonic() + PREVIEW_EVERY_S
        self._job = Job(self._process, make, "ImPartial: training", self)
        self._job.when_cancelled(self.stop)
        self._job.progressed.connect(self._on_progress)
        self._job.ended.connect(self._on_end)
        self._session.activity = Activity.TRAINING
        self._preview_timer.start()
        self.started.emit(config)

    def _on_progress(self, progress: TrainingProgress) -> None:
        if progress.preview is not None and progress.preview_request is not None:
            self._on_preview(progress.preview_request, progress.preview)
        self.progressed.emit(progress)

    def _on_end(self, reply: messages.Final) -> None:
        if self._job is not None:
            self._job.deleteLater()
        self._job = None
        self._preview_timer.stop()
        self._session.activity = Activity.IDLE
        if isinstance(reply, messages.Trained):
            self._keep(Path(reply.model_path), reply.card)
            return
        if isinstance(reply, messages.Failed):
            notify.show_failure(reply, "training")
        self.failed.emit()

    def _keep(self, path: Path, card: ModelCard) -> None:
        annotated = sum(int((item.scribbles.labels > 0).sum()) for item in self._items)
        self.finished.emit(self._session.add_round(path, card, annotated))

    def _send_scribbles(self) -> None:
        """Let strokes painted meanwhile join the running training."""
        if self._job is None or self._session.activity is Activity.STOPPING:
            return
        classes = max(item.scribbles.n_classes for item in self._items)
        latest = []
        for item in self._items:
            record = self._session.images.get(item.key)
            painted = None if record is None else record.plane(item.plane).scribbles
            # An image or layer that is gone keeps the strokes that training began with,
            # and a class that the network has no output for waits for the next training.
            fits = painted is not None and painted.n_classes <= classes
            latest.append(painted if fits and painted is not None else item.scribbles)
        changed = any(
            (new.labels != item.scribbles.labels).any()
            for new, item in zip(latest, self._items, strict=True)
        )
        if not changed:
            return
        self._items = [
            replace(item, scribbles=new) for item, new in zip(self._items, latest, strict=True)
        ]
        self._job.send(partial(messages.ToTraining, command=NewScribbles(tuple(latest))))

    def _ask_for_preview(self) -> None:
        now = time.monotonic()
        if (
            self._job is None
            or self._session.activity is not Activity.TRAINING
            or self._waiting_for_preview
            or now < self._next_preview_at
        ):
            return
        source = self._workspace.source
        place = (self._session.current, self._session.plane_index)
        numbers = [i for i, item in enumerate(self._items) if (item.key, item.plane) == place]
        box = None if source is None else field_in_view(source)
        if not numbers or box is None:
            return
        self._waiting_for_preview, self._asked_at = True, now
        request = Preview(numbers[0], box)
        self._job.send(partial(messages.ToTraining, command=request))

    def _on_preview(self, request: Preview, prediction: Prediction) -> None:
        took = time.monotonic() - self._asked_at
        self._waiting_for_preview = False
        self._next_preview_at = time.monotonic() + max(PREVIEW_EVERY_S, took / PREVIEW_SHARE)
        item = self._items[request.image_index]
        if item.key not in self._session.images:
            return
        source = self._workspace.sources[item.key]
        write = partial(self._workspace.results.write_box, source, item.plane, box=request.box)
        write(role=Role.PROBABILITY, values=prediction.foreground)
        write(role=Role.UNCERTAINTY, values=prediction.entropy)
        self.previewed.emit(item, request, prediction)
