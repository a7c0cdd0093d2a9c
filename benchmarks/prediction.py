"""Prediction: Monte-Carlo passes, rate, memory, and how both grow with the image."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rows import Row, fastest, in_a_child, operations
from napari_impartial.core.config import PredictionConfig, get_preset
from napari_impartial.core.data.synthetic_tissue import tissue


def model_of(preset: str) -> Any:
    """Return a model of that preset after one step."""
    from napari_impartial.core.api import train
    from napari_impartial.core.data.mask_scribbles import simulate

    settings = get_preset(preset)
    made = tissue((256, 256), 2)
    painted, _ = simulate(made.truth, 0.2, np.random.default_rng(0))
    return train([made.image], [painted], replace(settings.training, max_steps=1), settings.model)


def monte_carlo(preset: str, side: int) -> list[Row]:
    """Time of several passes against one."""
    from napari_impartial.core.prediction.predict import predict

    samples, model = 8, model_of(preset)
    image = tissue((side, side), 2).image
    one, many = (
        fastest(lambda n=n: predict(image, model, PredictionConfig(samples=n)), 2)
        for n in (0, samples)
    )
    name = f"prediction {side} x {side} x 2"
    return [
        Row(f"{name}, one pass", one, "s"),
        Row(f"{name}, T = {samples}", many, "s", many / one, "one pass", "at most 3"),
    ]


_LARGE = """
import json, sys, time
import numpy as np
from benchmarks.prediction import model_of, resident_mb
from napari_impartial.core.config import PredictionConfig
from napari_impartial.core.data.image import Image
from napari_impartial.core.prediction.predict import predict
preset, side = sys.argv[1], int(sys.argv[2])
model = model_of(preset)
rng = np.random.default_rng(0)
image = Image(rng.random((2, side, side), dtype=np.float32), ("a", "b"))
config = PredictionConfig(samples=0)
# what the first call sets up is not the image's
predict(Image(image.channels[:, :640, :640], ("a", "b")), model, config)
before = resident_mb("VmRSS")
started = time.perf_counter()
predict(image, model, config)
seconds = time.perf_counter() - started
print(json.dumps([seconds, before, resident_mb("VmHWM")]))
"""


def resident_mb(key: str) -> float:
    """Resident memory of this process now (VmRSS) or at most (VmHWM), MB; Linux only."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise KeyError(key)


def _alone(preset: str, side: int) -> tuple[float, float, float]:
    """Seconds, and megabytes before and at most, of one image in a process of its own."""
    seconds, before, most = in_a_child("-c", _LARGE, preset, str(side))
    return seconds, before, most


def large_image(peak: Row, preset: str, side: int) -> list[Row]:
    """Rate and memory of one large image."""
    if not sys.platform.startswith("linux"):
        return []
    seconds, before, most = _alone(preset, side)
    work = operations(get_preset(preset).model, 2, 512, False) * (side / 512) ** 2
    done = work / seconds / 1e9
    assert peak.value is not None
    name = f"prediction {side} x {side} x 2, one pass"
    return [
        Row(name, seconds, "s"),
        Row(name, done, "GFLOP/s", done / peak.value, "matrix product", "at least 0.6"),
        Row(f"{name}, peak memory", most, "MB"),
        Row(
            f"{name}, above input and libraries",
            most - before,
            "MB",
            (most - before) / 1500,
            "1.5 GB",
            "at most 1",
        ),
    ]


def growth(preset: str, sides: Sequence[int]) -> list[Row]:
    """Time and memory a megapixel from small to large images."""
    if not sys.platform.startswith("linux"):
        return []
    rows, first = [], None
    for side in sides:
        seconds, before, most = _alone(preset, side)
        megapixels = side**2 / 1e6
        first = first or seconds / megapixels
        name = f"prediction {side} x {side} x 2"
        rows += [
            Row(
                f"{name}, time a megapixel",
                seconds / megapixels,
                "s",
                seconds / megapixels / first,
                f"that at {sides[0]}",
                "about 1",
            ),
            Row(f"{name}, memory above input", most - before, "MB"),
        ]
    return rows
