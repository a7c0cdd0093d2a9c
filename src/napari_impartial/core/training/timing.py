"""A measurement of a few seconds: how fast a device trains and predicts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from napari_impartial.core.config import (
    PRESETS,
    ModelConfig,
    PredictionConfig,
    Preset,
    TrainingConfig,
)
from napari_impartial.core.data.image import Image
from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.network.device import describe_devices, resolve_device
from napari_impartial.core.prediction.predict import Cancelled, predict_normalized

from .speed import Speed
from .trainer import Trainer

LIMIT_S = 5.0
_SIDE_PX = 256
_CHANNELS = 2
# Of a step with a large batch, one patch is enough: work goes with their number.
_LARGEST_BATCH = 4


def measure_speed(
    device: str = "auto",
    limit_s: float = LIMIT_S,
    stopped: Callable[[], bool] = lambda: False,
    presets: tuple[Preset, ...] = tuple(PRESETS.values()),
) -> Speed:
    """Train and predict for a few seconds on an image made up for it.

    Parameters
    ----------
    device
        As in :class:`TrainingConfig`.
    limit_s
        Seconds that it may take in all. Each network has its share, but at least two
        steps, so that a very slow machine takes longer.
    stopped
        Asked between steps; True ends the measurement.

    Raises
    ------
    Cancelled
        If it was stopped.
    ImPartialError
        If there is no such device.
    """
    name = resolve_device(device).type
    networks = {(p.model, _comparable(p)): p for p in presets}
    share_s = limit_s / (len(networks) + 1)
    rates: dict[tuple[ModelConfig, TrainingConfig], tuple[float, float]] = {}
    worth = 0.0
    for number, (kind, preset) in enumerate(networks.items()):
        trainer, part = _trainer(preset, name)
        steps = part / _seconds(trainer.step, share_s, stopped)
        pixels = steps * preset.training.batch_size * preset.training.patch_size**2
        if number == 0:
            worth = _predicted(trainer, share_s, stopped) / pixels
        # What a pixel predicted is worth in pixels trained on is much the same for all.
        rates[kind] = steps, worth * pixels
    of = {p.name: rates[(p.model, _comparable(p))] for p in presets}
    return Speed(
        f"{name} ({dict(describe_devices())[name]})",
        {preset: steps for preset, (steps, _) in of.items()},
        {preset: pixels for preset, (_, pixels) in of.items()},
    )


def _comparable(preset: Preset) -> TrainingConfig:
    """Return the settings of training less those that do not change the speed."""
    return replace(preset.training, preset="fast", time_budget_s=60.0)


def _trainer(preset: Preset, device: str) -> tuple[Trainer, float]:
    """Return a trainer on a made-up image, and the part of a step that its steps are."""
    rng = np.random.default_rng(0)
    pixels = rng.random((_CHANNELS, _SIDE_PX, _SIDE_PX), dtype=np.float32)
    labels = np.zeros((_SIDE_PX, _SIDE_PX), np.uint8)
    labels[::16], labels[8::16] = 1, 2
    batch = preset.training.batch_size
    small = batch if batch <= _LARGEST_BATCH else 1
    config = replace(
        preset.training, device=device, batch_size=small, validation_fraction=0.0, max_steps=1000
    )
    image = Image(pixels, tuple(f"channel {i}" for i in range(_CHANNELS)))
    return Trainer([image], [Scribbles(labels)], preset.model, config, None), small / batch


def _predicted(trainer: Trainer, share_s: float, stopped: Callable[[], bool]) -> float:
    """Return the pixels predicted a second."""

    def predict() -> None:
        predict_normalized(trainer.average.network, trainer.normalized[0], PredictionConfig())

    return _SIDE_PX**2 / _seconds(predict, share_s, stopped)


def _seconds(act: Callable[[], object], share_s: float, stopped: Callable[[], bool]) -> float:
    """Return the median seconds of `act`, after a first time that warms up."""
    took: list[float] = []
    end = time.perf_counter() + share_s
    while len(took) < 2 or time.perf_counter() < end:
        if stopped():
            raise Cancelled("The measurement was given up.")
        began = time.perf_counter()
        act()
        # A GPU is only done when something of its result is looked at; a step looks at
        # its loss, and a prediction is an array in memory.
        took.append(time.perf_counter() - began)
    return float(np.median(took[1:]))
