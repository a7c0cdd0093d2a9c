"""Training: one generator that can be watched, paused, fed with new strokes and stopped."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import replace

from napari_impartial.core.config import ModelConfig, TrainingConfig, get_preset, validate
from napari_impartial.core.data.image import Image
from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.network.model_file import TrainedModel

from .messages import Command, GuestImage, NewScribbles, NoPreview, Preview, Stop, TrainingProgress
from .preview import Previewer
from .preview_budget import LONGEST_REST_S
from .trainer import Trainer

# Seconds between two reports: often enough for a live window, and for short rests where training
# gives way; rare enough to cost nothing.
_REPORT_EVERY_S = 0.1
# Whoever looks round all the time does not keep training from its work: so many in a row at most,
# and where training rests in between, none for longer than a rest.
_STEPS_SKIPPED, _AT_ONCE_S = 3, 0.05


def fit(
    images: Sequence[Image],
    scribbles: Sequence[Scribbles],
    model: ModelConfig | None = None,
    training: TrainingConfig | None = None,
    init: TrainedModel | None = None,
    class_names: Sequence[str] = (),
) -> Generator[TrainingProgress, Command | None, TrainedModel]:
    """Train a network on scribbled images.

    A generator: it yields its state several times a second and takes a command back.
    Time that passes between a yield and the next ``send`` does not count, so that to
    pause is not to resume. Stopping and finishing share one path: the generator returns
    the best weights so far.

    Parameters
    ----------
    images : sequence of Image
        All with the same channels.
    scribbles : sequence of Scribbles
        One for each image; images without any stroke are allowed beside scribbled ones.
    model : ModelConfig, optional
        Defaults to the preset's; ignored where `init` is given.
    training : TrainingConfig, optional
        Defaults to the *balanced* preset.
    init : TrainedModel, optional
        Start from these weights.
    class_names : sequence of str, optional
        Names of the kinds of cell, in the order of their labels from 2 on; by default those of
        `init`, or made up.

    Yields
    ------
    TrainingProgress

    Returns
    -------
    TrainedModel
        The last averaged weights; those of the lowest loss on the held-out scribbles where
        the last do clearly worse, and always with the paper's schedule.

    Raises
    ------
    ImPartialError
        If there is nothing to learn from, or shapes, channels or names do not match.
    """
    training = validate(training or get_preset("balanced").training)
    model = validate(init.card.model if init else model or get_preset(training.preset).model)
    trainer = Trainer(images, scribbles, model, training, init, class_names)
    previewer = Previewer(trainer)
    reported, told, skipped, stepped = trainer.clock.seconds(), False, 0, time.perf_counter()
    while True:
        preview = previewer.answer()
        # Somebody waits for a preview, and a step may take long beside a busy window.
        overdue = time.perf_counter() - stepped >= LONGEST_REST_S
        skipping = told and skipped <= _STEPS_SKIPPED
        if overdue or (preview is None and not skipping):
            trainer.step()
            told, skipped, stepped = False, 0, time.perf_counter()
        finished = trainer.finished()
        if finished or trainer.validation_due():
            trainer.validate()
        due = trainer.clock.seconds() - reported >= _REPORT_EVERY_S
        if finished or preview or skipping or due:
            progress = replace(previewer.progress(), preview=preview)
            trainer.clock.stop()
            stopped = time.perf_counter()
            command = yield progress
            rested_s = time.perf_counter() - stopped
            previewer.budget.rest(rested_s)
            trainer.clock.start()
            reported = trainer.clock.seconds()
            # Nor does a step come between two commands: where it rests, training rests on.
            told = command is not None
            skipped = skipped + (rested_s < _AT_ONCE_S) if told else 0
            if isinstance(command, Preview):
                previewer.ask(command)
            elif isinstance(command, NoPreview):
                previewer.ask(None)
            elif isinstance(command, GuestImage):
                previewer.set_guest(command)
            elif isinstance(command, NewScribbles):
                trainer.set_scribbles(command.scribbles, command.images)
            if finished:
                break
            if isinstance(command, Stop):
                trainer.validate()
                break
    return trainer.result()
