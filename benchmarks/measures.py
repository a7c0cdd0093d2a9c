"""What is measured, one function a subject; each returns rows of the table.

Rates are given as shares of the machine's own matrix-product rate, measured in the same
run, so that tables of different machines compare.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_impartial.core.config import (
    InstanceConfig,
    ModelConfig,
    PredictionConfig,
    TrainingConfig,
    get_preset,
)
from napari_impartial.core.tissue import Tissue, tissue

SOURCES = Path(__file__).resolve().parents[1] / "src"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    what, unit : str
    value : float
        Seconds, megabytes, or a rate.
    ratio : float or None
        The figure that compares between machines; what of what, `ratio_of` says.
    """

    what: str
    value: float
    unit: str
    ratio: float | None = None
    ratio_of: str = ""


def fastest(call: Callable[[], Any], repeats: int = 3) -> float:
    """Seconds of the fastest of some calls, after one to warm up."""
    call()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def precision_of(config: TrainingConfig | PredictionConfig) -> tuple[Any, Any]:
    """Device and number type that the settings resolve to here."""
    from napari_impartial.core.device import resolve_device, resolve_precision

    device = resolve_device(config.device)
    return device, resolve_precision(config.precision, device)


def matrix_rate(size: int) -> Row:
    """Floating-point operations a second of a product of two matrices."""
    import torch

    device, dtype = precision_of(TrainingConfig())
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))

    def multiply() -> None:
        product = a @ b
        if device.type != "cpu":
            product.sum().item()  # waits for the device

    rate = 2 * size**3 / fastest(multiply, 5)
    name = str(dtype).removeprefix("torch.")
    return Row(f"matrix product, {name} on {device.type}", rate / 1e9, "GFLOP/s")


def _operations(model: ModelConfig, n_channels: int, side: int, backward: bool) -> float:
    """Floating-point operations of the network for one square patch."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from napari_impartial.core.unet import UNet

    network = UNet(n_channels, 2, model)
    network.train(backward)
    counter = FlopCounterMode(display=False)
    with counter:
        maps = network(torch.zeros(2, n_channels, side, side))
        if backward:
            sum(m.mean() for m in maps).backward()
    return float(counter.get_total_flops()) / 2


def train(peak: Row, preset: str, seconds: float) -> list[Row]:
    """Rate of the training loop, data and validation included."""
    from napari_impartial.core.scribbles import simulate
    from napari_impartial.core.training import fit

    settings = get_preset(preset)
    made = tissue((512, 512), 2)
    painted, _ = simulate(made.truth, 0.1, np.random.default_rng(0))
    training = replace(settings.training, time_budget_s=seconds)
    last = None
    for last in fit([made.image], [painted], settings.model, training):  # noqa: B007
        pass
    assert last is not None
    operations = training.batch_size * _operations(settings.model, 2, training.patch_size, True)
    rate = operations * last.step / last.elapsed_s / 1e9
    return [
        Row(f"training, {preset}", last.step / last.elapsed_s, "steps/s"),
        Row(f"training, {preset}", rate, "GFLOP/s", rate / peak.value, "matrix product"),
    ]


def _model(preset: str) -> Any:
    """Return a model of that preset after one step."""
    from napari_impartial.core.scribbles import simulate
    from napari_impartial.core.training import fit

    settings = get_preset(preset)
    made = tissue((256, 256), 2)
    painted, _ = simulate(made.truth, 0.2, np.random.default_rng(0))
    training = replace(settings.training, max_steps=1)
    running = fit([made.image], [painted], settings.model, training)
    while True:
        try:
            next(running)
        except StopIteration as end:
            return end.value


def monte_carlo(preset: str, side: int, samples: int = 8) -> list[Row]:
    """Time of several passes against one."""
    from napari_impartial.core.prediction import predict

    model = _model(preset)
    image = tissue((side, side), 2).image
    one, many = (
        fastest(lambda n=n: predict(image, model, PredictionConfig(samples=n)), 2)
        for n in (0, samples)
    )
    return [
        Row(f"prediction {side} x {side} x 2, one pass", one, "s"),
        Row(f"prediction {side} x {side} x 2, T = {samples}", many, "s", many / one, "one pass"),
    ]


_LARGE = """
import json, sys, time
import numpy as np
sys.path.insert(0, {root!r})
from benchmarks.measures import _model, resident_mb
from napari_impartial.core.config import PredictionConfig
from napari_impartial.core.images import Image
from napari_impartial.core.prediction import predict
model = _model({preset!r})
rng = np.random.default_rng(0)
image = Image(rng.random((2, {side}, {side}), dtype=np.float32), ("a", "b"))
before = resident_mb("VmRSS")
started = time.perf_counter()
predict(image, model, PredictionConfig(samples=0))
seconds = time.perf_counter() - started
print(json.dumps([seconds, before, resident_mb("VmHWM")]))
"""


def resident_mb(key: str) -> float:
    """Resident memory of this process now (VmRSS) or at most (VmHWM), MB; Linux only."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise KeyError(key)


def large_image(peak: Row, preset: str, side: int) -> list[Row]:
    """Time and memory of one large image, in a process of its own."""
    if not sys.platform.startswith("linux"):
        return []
    program = _LARGE.format(root=str(SOURCES.parent), preset=preset, side=side)
    done = subprocess.run(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
    )
    seconds, before, most = json.loads(done.stdout.splitlines()[-1])
    model = get_preset(preset).model
    operations = _operations(model, 2, 512, False) * (side / 512) ** 2
    rate = operations / seconds / 1e9
    name = f"prediction {side} x {side} x 2"
    return [
        Row(f"{name}, one pass", seconds, "s", rate / peak.value, "matrix product"),
        Row(f"{name}, peak memory", most, "MB"),
        Row(f"{name}, above input and libraries", most - before, "MB"),
    ]


def cells(side: int, n_cells: int) -> tuple[Tissue, NDArray[np.float32]]:
    """Tissue, and a foreground probability such as a network gives for it."""
    # cells of such a size that about so many fill the image
    diameter = 0.8 * side / n_cells**0.5
    made = tissue((side, side), 2, n_cells=n_cells, cell_diameter_px=diameter)
    edges = ndimage.grey_erosion(made.truth, 3) != ndimage.grey_dilation(made.truth, 3)
    sharp = np.where(edges, 0.35, (made.truth > 0) * 0.9 + 0.05)
    return made, ndimage.gaussian_filter(sharp.astype(np.float32), 1.0)


def after_prediction(side: int, n_cells: int) -> list[Row]:
    """Everything that follows on a cached probability."""
    from napari_impartial.core.instances import to_instances
    from napari_impartial.core.measurements import measure
    from napari_impartial.core.uncertainty import entropy, suggest

    made, foreground = cells(side, n_cells)
    probability = np.stack([1 - foreground, foreground])
    heat = entropy(probability)
    labels = to_instances(foreground)
    found = int(labels.max())
    size = f"{side} x {side}, {found} cells"
    calls: dict[str, Callable[[], Any]] = {
        f"instances, {split}": lambda split=split: to_instances(
            foreground, InstanceConfig(split=split)
        )
        for split in ("watershed", "components")
    }
    calls["suggestions"] = lambda: suggest(heat, probability=probability, instances=labels)
    calls["measurements"] = lambda: measure(labels, made.image, probability, heat)
    return [Row(f"{name}, {size}", 1000 * fastest(call), "ms") for name, call in calls.items()]


def metrics(side: int, n_cells: int) -> list[Row]:
    """All figures of merit on one very large label image."""
    from napari_impartial.core.metrics import evaluate

    per_side = round(n_cells**0.5)
    pitch = side // per_side
    y, x = (np.arange(side, dtype=np.int32) for _ in range(2))
    numbers = (y // pitch)[:, None] * per_side + (x // pitch)[None, :] + 1
    inside = ((y % pitch)[:, None] < 0.8 * pitch) & ((x % pitch)[None, :] < 0.8 * pitch)
    truth = np.where(inside, numbers, 0).astype(np.int32)
    predicted = np.roll(truth, max(1, pitch // 10), axis=0)
    name = f"metrics, {side} x {side}, {per_side**2} cells"
    return [Row(name, fastest(lambda: evaluate([truth], [predicted]), 1), "s")]
