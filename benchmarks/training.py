"""Training: its rate, the first useful preview, and the published recipe against ours."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rows import Row, in_a_child, operations
from napari_impartial.core.config import Preset, get_preset
from napari_impartial.core.data.synthetic_tissue import Tissue, tissue

# Previews asked for along a training of which the F1 is followed.
_LOOKS = 20


def rate(peak: Row, preset: str, seconds: float) -> list[Row]:
    """Rate of the training loop, data and validation included."""
    from napari_impartial.core.data.mask_scribbles import simulate
    from napari_impartial.core.training.fit import fit

    settings = get_preset(preset)
    made = tissue((512, 512), 2)
    painted, _ = simulate(made.truth, 0.1, np.random.default_rng(0))
    training = replace(settings.training, time_budget_s=seconds)
    last = None
    for last in fit([made.image], [painted], settings.model, training):  # noqa: B007
        pass
    assert last is not None
    work = training.batch_size * operations(settings.model, 2, training.patch_size, True)
    done = work * last.step / last.elapsed_s / 1e9
    assert peak.value is not None
    return [
        Row(f"training, {preset}", last.step / last.elapsed_s, "steps/s"),
        Row(
            f"training, {preset}",
            done,
            "GFLOP/s",
            done / peak.value,
            "matrix product",
            "at least 0.5",
        ),
    ]


# Told apart from `import`: the clock starts when the process is asked for.
_PREVIEW = """
import json, sys, time
started, wanted, budget = (float(v) for v in sys.argv[2:5])
import numpy as np
from napari_impartial.core.config import get_preset
from napari_impartial.core.data.image import Image
from napari_impartial.core.instances.cutter import to_instances
from napari_impartial.core.instances.metrics import evaluate
from napari_impartial.core.training.messages import Preview
from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.training.fit import fit
with np.load(sys.argv[1], allow_pickle=False) as data:
    image, painted, truth = (data[name] for name in ("image", "painted", "truth"))
names = tuple(f"channel {i}" for i in range(len(image)))
settings = get_preset(sys.argv[5])
running = fit([Image(image, names)], [Scribbles(painted)], settings.model, settings.training)
request = Preview(0, (0, 0, *truth.shape), samples=0, within_share=False)
command, asked, judging, f1 = None, -9.0, 0.0, 0.0
while True:
    try:
        progress = running.send(command)
    except StopIteration:
        break
    command, now = None, time.time() - started - judging
    if progress.preview is not None:
        f1 = evaluate([truth], [to_instances(progress.preview.prediction.foreground)]).f1
        if f1 >= wanted or now > budget:
            break
        judging += time.time() - started - judging - now
    if now - asked >= 0.5:
        command, asked = request, now
running.close()
print(json.dumps([now, f1, progress.elapsed_s]))
"""


def first_preview(preset: str, side: int, budget: float) -> list[Row]:
    """Seconds from asking for a training, imports included, to a useful preview.

    Useful is an F1 of the forest's on the same strokes less 0.1; judged on the annotated
    image itself, which is what a preview shows. Judging is not counted.
    """
    from napari_impartial.core.instances.cutter import to_instances
    from napari_impartial.core.instances.metrics import evaluate
    from napari_impartial.experiments.baselines.random_forest import (
        forest_probability,
        train_forest,
    )

    made = tissue((side, side), 2, seed=5)
    painted = made.scribbles(0.1, seed=0)
    forest = train_forest([made.image], [painted])
    found = to_instances(1 - forest_probability(made.image, forest)[0])
    wanted = evaluate([made.truth], [found]).f1 - 0.1
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "field.npz"
        np.savez(file, image=made.image.channels, painted=painted.labels, truth=made.truth)
        arguments = [str(file), str(time.time()), str(wanted), str(budget), preset]
        seconds, f1, trained = in_a_child("-c", _PREVIEW, *arguments)
    what = f"first preview with F1 of {wanted:.2f} (forest - 0.1), {preset}, {side} x {side} x 2"
    reached = f1 >= wanted
    return [
        Row(
            what + ", imports included",
            seconds if reached else None,
            "s",
            seconds / 10 if reached else None,
            "10 s",
            "at most 1",
        ),
        Row(what + ", of which training", trained if reached else None, "s"),
    ]


def against_paper(small: bool, seconds: float) -> list[Row]:
    """Time in which our recipe reaches the F1 that the published one reaches.

    The two train in this process, one after the other, on the same tissue and strokes, and
    are judged on another tissue of the same kind.
    """
    side = 128 if small else 512
    train, test = tissue((side, side), 2, seed=6), tissue((side, side), 2, seed=7)
    paper, ours = get_preset("paper"), get_preset("balanced")
    if small:
        paper, ours = (_shrunk(preset, seconds) for preset in (paper, ours))
    else:
        paper = replace(paper, training=replace(paper.training, time_budget_s=seconds))
    published = _f1_over_time(paper, train, test)
    spent, reached = max(published, key=lambda look: look[1])
    followed = _f1_over_time(ours, train, test)
    # to reach nothing is no feat
    needed = next((t for t, f1 in followed if f1 >= reached > 0), None)
    best = max(f1 for _, f1 in followed)
    return [
        Row(f"published recipe, best F1 {reached:.3f} within {seconds:.0f} s", spent, "s"),
        Row(
            f"ours to that F1 (its best {best:.3f})",
            needed,
            "s",
            seconds / needed if needed else None,
            "time of the published recipe",
            "at least 20",
        ),
    ]


def _shrunk(preset: Preset, seconds: float) -> Preset:
    """The same preset, so small that it can be tried out."""
    return replace(
        preset,
        model=replace(preset.model, base_features=4, depth=2),
        training=replace(preset.training, time_budget_s=seconds, patch_size=32),
    )


def _f1_over_time(preset: Preset, train: Tissue, test: Tissue) -> list[tuple[float, float]]:
    """Follow a training: seconds of it, and the F1 on the test image then."""
    from napari_impartial.core.data.image import normalize
    from napari_impartial.core.instances.cutter import to_instances
    from napari_impartial.core.instances.metrics import evaluate
    from napari_impartial.core.training.fit import fit
    from napari_impartial.core.training.messages import Preview

    training = preset.training
    # the test image rides along, without strokes, so that previews can be of it
    painted = train.scribbles(0.1, seed=0)
    blank = type(painted)(np.zeros_like(painted.labels))
    assert normalize(test.image).shape == normalize(train.image).shape
    running = fit([train.image, test.image], [painted, blank], preset.model, training)
    request = Preview(1, (0, 0, *test.truth.shape), samples=4, within_share=False)
    looks: list[tuple[float, float]] = []
    command: Any = None
    asked_at = 0.0
    while True:
        try:
            progress = running.send(command)
        except StopIteration:
            return looks
        command = None
        if progress.preview is not None:
            labels = to_instances(progress.preview.prediction.foreground)
            looks.append((asked_at, evaluate([test.truth], [labels]).f1))
        if progress.fraction >= (len(looks) + 1) / _LOOKS or (
            progress.elapsed_s >= (len(looks) + 1) * training.time_budget_s / _LOOKS
        ):
            command, asked_at = request, progress.elapsed_s
