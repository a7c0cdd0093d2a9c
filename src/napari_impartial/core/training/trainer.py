"""One training's network, optimizer, data and bookkeeping."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

# The first optimizer imports this, which takes seconds: here, they do not count as training.
import torch._dynamo
from torch import Tensor

from napari_impartial import __version__
from napari_impartial.core.config import (
    InstanceConfig,
    ModelConfig,
    PredictionConfig,
    TrainingConfig,
    get_preset,
)
from napari_impartial.core.data.channels import is_generic
from napari_impartial.core.data.class_names import class_names
from napari_impartial.core.data.image import HIGH_PERCENTILE, LOW_PERCENTILE, Image, normalize
from napari_impartial.core.data.scribbles import Scribbles, check_trainable
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.network.device import (
    memory_format,
    resolve_device,
    resolve_precision,
)
from napari_impartial.core.network.losses import whitening
from napari_impartial.core.network.model_card import ModelCard
from napari_impartial.core.network.model_file import TrainedModel
from napari_impartial.core.network.unet import UNet
from napari_impartial.core.network.warm_start import first_weights, mix, start

from .cell_seams import Seams
from .checks import check_channels, check_data, check_settings, check_shapes, nuclear_channel
from .ema import WeightAverage, gather_statistics
from .joint_loss import JointLoss
from .messages import Losses, TrainingProgress, mean_losses
from .multiscale_check import contradicts
from .parallel_gradients import Gradients
from .patches import PatchSampler
from .schedule import Clock, Schedule
from .side_by_side import threads_each
from .stroke_check import StrokeReport, check_strokes

# Times the held-out patches are looked at over a budget.
_VALIDATIONS = 12
# Of these, how many in a row may pass without a new best under the paper's schedule.
_PATIENCE = 4
# Unaugmented patches that normalization statistics are taken from: for weights that are handed
# out, and for a look in passing.
_CALIBRATION_PATCHES, PASSING_CALIBRATION_PATCHES = 48, 16
# Rise of the held-out loss over its best from which the last weights are given up.
_TOLERATED_RISE = 1.5


class Trainer:
    """A training that is done step by step; :func:`.training.fit` drives it."""

    def __init__(
        self,
        images: Sequence[Image],
        scribbles: Sequence[Scribbles],
        model: ModelConfig,
        training: TrainingConfig,
        init: TrainedModel | None,
        kinds: Sequence[str] = (),
    ) -> None:
        self.clock = Clock()
        self.schedule = Schedule(training, self.clock)
        self.config, self.model_config, self.init = training, model, init
        self._preset = get_preset(training.preset)
        n_classes = check_data(images, scribbles, init)
        check_settings(model, training)
        self.images, self.scribbles, self.n_classes = list(images), list(scribbles), n_classes
        known = init.card.class_names[1:] if init else ()
        self.class_names = class_names(n_classes, kinds, known)
        names = images[0].channel_names
        # Names that a reader made up would take the place of those that the model has.
        self.channel_names = init.card.channel_names if init and is_generic(names) else names
        self.device = resolve_device(training.device)
        self.precision = resolve_precision(training.precision, self.device)
        self.normalized = [self.prepare(image) for image in images]
        self.rng = np.random.default_rng(training.seed)
        self.generator = torch.Generator(self.device).manual_seed(training.seed)
        self.sampler = PatchSampler(self._on_device(self.normalized), scribbles, training)
        every = torch.eye(len(self.channel_names), device=self.device)
        self.loss = JointLoss(training, n_classes, self.precision, self.device, every)
        self._whiten()
        if init:
            self.network = init.network(self.device).train()
        else:
            # Layers draw their first weights from torch's global state, which is the caller's.
            with torch.random.fork_rng(devices=()):
                torch.random.default_generator.manual_seed(training.seed)
                network = UNet(len(self.channel_names), n_classes, model)
            first = first_weights(training, model)
            if first is not None:
                start(network, mix(self.sampler.images, self.sampler.train_labels), first)
            self.network = network.to(self.device).to(memory_format=memory_format(self.device))  # type: ignore[call-overload]
        self.average = WeightAverage(self.network, training)
        self.gradients = Gradients(self.network, self.generator, training.seed)
        self.optimizer = self._optimizer()
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=self.precision == torch.float16
        )
        self.steps = 0
        self.frozen = False
        self.seams = Seams(
            training.implied_labels and training.objective != "reconstruction",
            nuclear_channel(training, self.channel_names),
            goes_on=init is not None,
        )
        # Whether what is seen at smaller sizes agrees with the strokes, as far as is known.
        self.second_opinion = init.card.second_opinion if init else True
        # The step that the averaged network's statistics are of; negative before the first.
        self.calibrated_at = -1
        self.recent = Losses(0.0, 0.0, 0.0, 0.0)
        self.validation: Losses | None = None
        self.validations = 0
        self.best_validation = 0
        self.best: tuple[float, int, dict[str, Tensor]] | None = None
        self.history: list[dict[str, Any]] = []

    def _on_device(self, pictures: Sequence[npt.NDArray[np.float32]]) -> list[Tensor]:
        return [torch.from_numpy(picture).to(self.device) for picture in pictures]

    def prepare(self, image: Image) -> npt.NDArray[np.float32]:
        """Return the picture that the network is shown, (C, Y, X)."""
        return normalize(image)

    def step(self) -> None:
        """Do one step of the optimizer."""
        due = not self.frozen and self.fraction() >= self.config.freeze_norm_at
        if due and self.network.normalizations():
            self._freeze()
        maturity = self.schedule.maturity(self.steps)
        if self.seams.due(maturity):
            self._part_cells(maturity)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        patches = self.sampler.sample(self.rng)
        scale = self.scaler.scale(torch.ones((), device=self.device))
        over_batch = self.config.class_balance == "batch"
        gradients, losses = self.gradients.of(patches, self.loss, scale, over_batch)
        for parameter, gradient in zip(self.network.parameters(), gradients, strict=True):
            parameter.grad = _laid_out_like(parameter, gradient)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.steps += 1
        self.average.add(self.network, self.steps)
        # Read only now, since the device has to come to rest for it.
        seen = Losses(*losses.tolist())
        self.recent = _blend(self.recent, seen, 1.0 if self.steps == 1 else 0.1)
        if not math.isfinite(self.recent.total):
            raise ImPartialError(
                "Training diverged: the loss is no longer a number. Lower the learning rate "
                "or look for extreme values in the image."
            )

    def fraction(self) -> float:
        """Share of the budget spent, 0 to 1."""
        return self.schedule.fraction(self.steps)

    @property
    def looks_again(self) -> bool:
        """Return whether models of this training are to be shown smaller views in prediction."""
        return self.second_opinion and self._preset.prediction.second_opinion

    def finished(self) -> bool:
        """Return whether the budget, or the paper's schedule, has come to its end."""
        return self.fraction() >= 1.0 or self._out_of_patience()

    def _out_of_patience(self) -> bool:
        """Return whether the held-out loss has not fallen for long, under the paper's schedule.

        A schedule that ends with the budget needs no such rule, and would be cut short
        before its best part.
        """
        if self.config.schedule != "exponential" or self.best is None:
            return False
        return self.validations - self.best_validation >= _PATIENCE

    def learning_rate(self) -> float:
        """Return the rate for the next step."""
        return self.schedule.learning_rate(self.steps)

    def validation_due(self) -> bool:
        """Return whether it is time to look at the held-out patches."""
        return self.fraction() * _VALIDATIONS >= self.validations + 1

    @torch.no_grad()
    def validate(self) -> None:
        """Judge the averaged weights on the held-out scribbles, and keep the best."""
        self.validations = max(self.validations + 1, int(self.fraction() * _VALIDATIONS))
        batches = self.sampler.validation()
        entry: dict[str, Any] = {
            "step": self.steps,
            "elapsed_s": round(self.clock.seconds(), 3),
            "training": _as_dict(self.recent),
        }
        if batches:
            self.calibrate(PASSING_CALIBRATION_PATCHES)
            # The same pixels are hidden at each look, so that the looks compare.
            generator = torch.Generator(self.device).manual_seed(self.config.seed)
            found = [
                Losses(*self.loss(self.average.network, batch, generator)[1].tolist())
                for batch in batches
            ]
            shares = np.array([len(batch.images) for batch in batches], dtype=np.float64)
            self.validation = mean_losses(found, shares / shares.sum())
            entry["validation"] = _as_dict(self.validation)
            if self.best is None or self.validation.total <= self.best[0]:
                self.best = (self.validation.total, self.steps, self.average.weights())
                self.best_validation = self.validations
        self.history.append(entry)

    def set_scribbles(self, scribbles: Sequence[Scribbles], images: Sequence[Image] = ()) -> None:
        """Take over new strokes; what was best before them has to prove itself again.

        Strokes that cannot be learned from now (a class erased for a moment, or a class
        the network has no output for) are left aside, and training goes on with those it
        has: hours of it are not worth an eraser's slip.

        Parameters
        ----------
        scribbles : sequence of Scribbles
            One for each image, those of `images` last.
        images : sequence of Image
            Images that come after those that are there.
        """
        try:
            learnable = check_trainable(scribbles) <= self.n_classes
        except ImPartialError:
            learnable = False
        if not learnable:
            if not images:
                return
            # Later strokes count on their images being there, so these come along, blank.
            blank = [Scribbles(np.zeros(image.shape, dtype=np.uint8)) for image in images]
            scribbles = [*self.scribbles, *blank]
        together = [*self.images, *images]
        check_channels(together)
        check_shapes(together, scribbles)
        prepared = [self.prepare(image) for image in images]
        self.images, self.scribbles = together, list(scribbles)
        self.normalized += prepared
        self.sampler.set_scribbles(scribbles, self._on_device(prepared))
        self._whiten()
        # Old seams stay, but where something is painted now, until it is time to look again.
        self.sampler.set_seams(self.seams.found)
        self.seams.strokes_changed(self.schedule.maturity(self.steps))
        self.validation = None
        self.best = None

    def _whiten(self) -> None:
        """Learn from the strokes which edges are inside cells."""
        if self.loss.looks_for_edges:
            found = whitening(self.sampler.images, self.sampler.train_labels)
            self.loss = replace(self.loss, whitening=found.to(self.device))

    def step_s(self) -> float:
        """Return the mean seconds of a step so far, what else there is to do included."""
        return self.clock.seconds() / max(self.steps, 1)

    def progress(self) -> TrainingProgress:
        """Return the state now."""
        return TrainingProgress(
            step=self.steps,
            elapsed_s=self.clock.seconds(),
            fraction=self.fraction(),
            training=self.recent,
            validation=self.validation,
            best_validation_loss=self.best[0] if self.best else None,
            learning_rate=self.learning_rate(),
        )

    def result(self) -> TrainedModel:
        """Return the chosen weights with their card."""
        # What is asked of a model that is trained is no training.
        self.clock.stop()
        loss, earlier = self._chosen()
        if earlier is not None:
            self.average.network.load_state_dict(earlier)
        self.calibrate(_CALIBRATION_PATCHES)
        self._ask_second_opinion()
        report, instances = self._check_strokes()
        before = self.init.card if self.init else None
        card = ModelCard(
            channel_names=self.channel_names,
            class_names=self.class_names,
            normalization=(LOW_PERCENTILE, HIGH_PERCENTILE),
            model=self.model_config,
            training=self.config,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            program_version=__version__,
            device=f"{self.device.type} ({str(self.precision).removeprefix('torch.')})",
            seconds=round(self.clock.seconds() + (before.seconds if before else 0.0), 3),
            steps=self.steps + (before.steps if before else 0),
            rounds=1 + (before.rounds if before else 0),
            parameters=sum(p.numel() for p in self.network.parameters()),
            best_validation_loss=loss,
            history=(*(before.history if before else ()), *self.history),
            second_opinion=self.second_opinion,
            prediction=self._preset.prediction,
            instances=instances,
            strokes=report,
            scaled_over="plane" if all(i.sample is None for i in self.images) else "volume",
        )
        return TrainedModel(card, self.average.weights())

    def _chosen(self) -> tuple[float | None, dict[str, Tensor] | None]:
        """Return the held-out loss of the weights to hand out; and these, if not the last.

        The paper keeps those of the lowest held-out loss. A schedule that falls to zero
        ends on better ones than a noisy loss over a handful of strokes can pick, so there
        the last are kept, unless they do clearly worse.
        """
        if self.best is None or self.validation is None:
            return None, None
        tolerated = 1.0 if self.config.schedule == "exponential" else _TOLERATED_RISE
        if self.validation.total <= tolerated * self.best[0]:
            return self.validation.total, None
        return self.best[0], self.best[2]

    def calibrate(self, n_patches: int) -> None:
        """Take the averaged network's statistics from unaugmented patches, always the same.

        Once they are frozen, it has those that the network is trained with.
        """
        if not self.frozen:
            self._gather_statistics(self.average.network, n_patches)
        self.calibrated_at = self.steps

    def _gather_statistics(self, network: UNet, n_patches: int) -> None:
        patches = self.sampler.plain(n_patches, np.random.default_rng(self.config.seed))
        gather_statistics(network, patches, self.config, self.precision)

    def _freeze(self) -> None:
        """Hold the statistics of batch normalization.

        Those of a few patches at a time, that training has had so far, are another function
        of the image than what prediction computes, and weights come to rely on the difference.
        """
        # In one thread: sums in the same order, whatever training gives way to meanwhile.
        with threads_each(1, torch.get_num_threads()):
            self._gather_statistics(self.network, _CALIBRATION_PATCHES)
        self.gradients.freeze_normalization()
        self.average.network.take_statistics(self.network)
        self.frozen = True
        # What was best so far was so under other statistics.
        self.best = None
        self._ask_second_opinion()

    def _part_cells(self, maturity: float) -> None:
        """Take for background what parts annotated cells that the averaged network connects."""
        first = not self.seams.found
        # In one thread: what is learned from must not depend on what training gives way to.
        with threads_each(1, torch.get_num_threads()):
            self.calibrate(_CALIBRATION_PATCHES if first else PASSING_CALIBRATION_PATCHES)
        if first and not self.frozen and self.init is None:
            self._ask_second_opinion()  # else it has been asked
        plain = PredictionConfig(
            samples=0,
            reconstruction=False,
            precision=self.config.precision,
            second_opinion=self.looks_again,
        )
        labels = [drawn.labels for drawn in self.scribbles]
        self.seams.look(self.average.network, self.normalized, labels, plain, maturity)
        self.sampler.set_seams(self.seams.found)

    def _ask_second_opinion(self) -> None:
        """Learn whether the averaged network's smaller views agree with the strokes."""
        if not self._preset.prediction.second_opinion:
            return  # nobody would hear the answer
        config = PredictionConfig(precision=self.config.precision)
        labels = [drawn.labels for drawn in self.scribbles]
        self.second_opinion = not contradicts(self.average.network, self.normalized, labels, config)

    def _check_strokes(self) -> tuple[StrokeReport, InstanceConfig]:
        """Compare what the averaged network predicts with the strokes."""
        config = replace(
            self._preset.prediction,
            precision=self.config.precision,
            second_opinion=self.looks_again,
        )
        labels = [drawn.labels for drawn in self.scribbles]
        network, instances = self.average.network, self._preset.instances
        return check_strokes(network, self.normalized, labels, config, instances)

    def _optimizer(self) -> torch.optim.Optimizer:
        kind = torch.optim.AdamW if self.config.optimizer == "adamw" else torch.optim.Adam
        return kind(
            self.network.parameters(),
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
            # One pass over all weights saves a twenty-fifth of a step; not every torch can on MPS.
            fused=self.device.type in ("cpu", "cuda"),
        )


def _laid_out_like(parameter: Tensor, gradient: Tensor) -> Tensor:
    """Return a gradient whose strides are the parameter's, as fused optimizers ask for."""
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


def _as_dict(losses: Losses) -> dict[str, float]:
    return {name: round(value, 6) for name, value in vars(losses).items()}


def _blend(old: Losses, new: Losses, share: float) -> Losses:
    return mean_losses([old, new], np.array([1 - share, share]))
