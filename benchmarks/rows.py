"""What all measurements share: a row of the table, timing, data, the network's arithmetic."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_impartial.core.config import ModelConfig, PredictionConfig, TrainingConfig
from napari_impartial.core.data.synthetic_tissue import Tissue, tissue

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    what, unit : str
    value : float or None
        Seconds, megabytes, or a rate; None where it was not reached.
    ratio : float or None
        The figure that compares between machines; what of what, `ratio_of` says.
    target : str
        What is aimed at, in words; empty where the row is only told.
    """

    what: str
    value: float | None
    unit: str
    ratio: float | None = None
    ratio_of: str = ""
    target: str = ""


def environment() -> dict[str, str]:
    """Return what a child process needs to find the program and this folder."""
    places = [str(ROOT), *filter(None, sys.path)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places)}


def in_a_child(*words: str, screen: bool = False) -> Any:
    """Run Python in a process of its own; return the JSON that it prints last.

    With `screen` on a virtual one, where there is one.
    """
    display = ["bash", str(ROOT / "scripts" / "with_display.sh")] if screen else []
    command = [*display, sys.executable, "-P", *words]
    done = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


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
    from napari_impartial.core.network.device import resolve_device, resolve_precision

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


def operations(model: ModelConfig, n_channels: int, side: int, backward: bool) -> float:
    """Floating-point operations of the network for one square patch."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from napari_impartial.core.network.unet import UNet

    network = UNet(n_channels, 2, model)
    network.train(backward)
    counter = FlopCounterMode(display=False)
    with counter:
        maps = network(torch.zeros(2, n_channels, side, side))
        if backward:
            sum(m.mean() for m in maps).backward()
    return float(counter.get_total_flops()) / 2


def cells(side: int, n_cells: int) -> tuple[Tissue, NDArray[np.float32]]:
    """Tissue, and a foreground probability such as a network gives for it."""
    # cells of such a size that about so many fill the image
    diameter = 0.8 * side / n_cells**0.5
    made = tissue((side, side), 2, n_cells=n_cells, cell_diameter_px=diameter)
    edges = ndimage.grey_erosion(made.truth, 3) != ndimage.grey_dilation(made.truth, 3)
    sharp = np.where(edges, 0.35, (made.truth > 0) * 0.9 + 0.05)
    return made, ndimage.gaussian_filter(sharp.astype(np.float32), 1.0)
