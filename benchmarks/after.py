"""What follows on a cached prediction: cells, suggestions, table, figures of merit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.rows import Row, cells, fastest
from napari_impartial.core.config import InstanceConfig


def after_prediction(side: int, n_cells: int) -> list[Row]:
    """Everything that follows on a cached probability."""
    from napari_impartial.core.instances.cutter import Cutter, to_instances
    from napari_impartial.core.instances.measurements import measure
    from napari_impartial.core.instances.metrics import evaluate
    from napari_impartial.core.prediction.suggestions import entropy, suggest

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
        for split in ("automatic", "watershed", "components")
    }
    cutter = Cutter(foreground)
    cutter.cut()
    # What a slider's every position costs, once the picture has been cut.
    other = InstanceConfig(threshold=0.6)
    calls["instances, automatic, another threshold"] = lambda: cutter.cut(other)
    calls["suggestions"] = lambda: suggest(heat, probability=probability, instances=labels)
    calls["measurements"] = lambda: measure(labels, made.image, probability, heat)
    calls["metrics"] = lambda: evaluate([made.truth], [labels])
    rows = []
    for name, call in calls.items():
        ms = 1000 * fastest(call)
        rows.append(Row(f"{name}, {size}", ms, "ms", ms / 100, "100 ms", "at most 1"))
    return rows


def large_metrics(side: int, n_cells: int) -> list[Row]:
    """All figures of merit on one very large label image."""
    from napari_impartial.core.instances.metrics import evaluate

    per_side = round(n_cells**0.5)
    pitch = side // per_side
    y, x = (np.arange(side, dtype=np.int32) for _ in range(2))
    numbers = (y // pitch)[:, None] * per_side + (x // pitch)[None, :] + 1
    inside = ((y % pitch)[:, None] < 0.8 * pitch) & ((x % pitch)[None, :] < 0.8 * pitch)
    truth = np.where(inside, numbers, 0).astype(np.int32)
    predicted = np.roll(truth, max(1, pitch // 10), axis=0)
    name = f"metrics, {side} x {side}, {per_side**2} cells"
    return [Row(name, fastest(lambda: evaluate([truth], [predicted]), 1), "s", target="seconds")]
