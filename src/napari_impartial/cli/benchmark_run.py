"""One run of a benchmark, alone in its process: ``python -m ... SPEC``.

SPEC is a JSON object: ``set`` (folder), ``method``, ``percent``, ``seed``, ``best_cut``
and ``settings`` (``model``, ``training``, ``prediction``, ``instances``). Lines on
stdout are JSON objects: ``{"fraction": 0.4}`` now and then, ``{"results": [...]}`` last.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_impartial.core.config import (
    InstanceConfig,
    ModelConfig,
    PredictionConfig,
    TrainingConfig,
)

from .dataset import DataSet, open_data_set, samples_with_truth, training_part
from .main import DEBUG_VARIABLE, describe_error, silence
from .output import to_json, write_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_impartial.core.images import Image
    from napari_impartial.core.scribbles import Scribbles

Predict = Callable[["Image"], "NDArray[np.float32]"]
"""Returns the foreground probability (Y, X) of an image."""


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far, in MB (10**6 bytes).

    On Linux from the memory map: what ``getrusage`` says there goes back to the process
    that this one was forked from.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    if sys.platform == "win32":
        return float("nan")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def _report(fraction: float) -> None:
    print(json.dumps({"fraction": round(fraction, 3)}), flush=True)


def train_impartial(
    images: list[Image], scribbles: list[Scribbles], spec: dict[str, Any]
) -> Predict:
    """Train the network and return how it predicts."""
    from napari_impartial.core.prediction import predict
    from napari_impartial.core.training import fit

    from .running import drive

    settings = spec["settings"]
    training = dataclasses.replace(TrainingConfig(**settings["training"]), seed=spec["seed"])
    prediction = PredictionConfig(**settings["prediction"])
    model, _ = drive(
        fit(images, scribbles, ModelConfig(**settings["model"]), training),
        lambda progress: _report(progress.fraction),
    )
    return lambda image: predict(image, model, prediction).foreground


def train_forest(images: list[Image], scribbles: list[Scribbles], spec: dict[str, Any]) -> Predict:
    """Train the forest and return how it predicts."""
    from napari_impartial.peers import forest

    trained = forest.train_forest(images, scribbles, spec["seed"])
    return lambda image: 1 - forest.forest_probability(image, trained)[0]


TRAIN = {"impartial": train_impartial, "forest": train_forest}


def load_libraries(method: str) -> None:
    """Import what the method needs, so that its import is not taken for training."""
    if method == "impartial":
        from napari_impartial.core import prediction, training  # noqa: F401
    else:
        import sklearn.ensemble  # noqa: F401


def run(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Train, predict and score; see the module."""
    from napari_impartial.core.instances import to_instances

    data: DataSet = open_data_set(spec["set"])
    instances = InstanceConfig(**spec["settings"]["instances"])
    images, scribbles = training_part(data, spec["percent"], spec["seed"])
    load_libraries(spec["method"])

    started = time.perf_counter()
    predict = TRAIN[spec["method"]](images, scribbles, spec)
    train_s = time.perf_counter() - started

    predict_s, foregrounds, labels, truths = 0.0, [], [], []
    for image, truth in samples_with_truth(data.test):
        started = time.perf_counter()
        foreground = predict(image)
        labels.append(to_instances(foreground, instances))
        predict_s += time.perf_counter() - started
        truths.append(truth)
        if spec["best_cut"]:
            foregrounds.append(foreground)
    costs = {"train_s": train_s, "predict_s": predict_s, "peak_rss_mb": peak_rss_mb()}

    results = [_result(spec, data.name, spec["method"], truths, labels, costs, instances)]
    if spec["best_cut"]:
        from napari_impartial.peers.forest import best_cut

        config, labels = best_cut(truths, foregrounds)
        name = f"{spec['method']}+best-cut"
        results.append(_result(spec, data.name, name, truths, labels, costs, config))
    return results


def _result(
    spec: dict[str, Any],
    set_name: str,
    method: str,
    truths: list[NDArray[Any]],
    labels: list[NDArray[Any]],
    costs: dict[str, float],
    instances: InstanceConfig,
) -> dict[str, Any]:
    """Score and put together one result."""
    from napari_impartial.core.metrics import evaluate

    scores = dataclasses.asdict(evaluate(truths, labels))
    return {
        "set": set_name,
        "method": method,
        "percent": spec["percent"],
        "seed": spec["seed"],
        **scores,
        **costs,
        "instances": dataclasses.asdict(instances),
    }


def main() -> int:
    """Run the specification on the command line."""
    debug = bool(os.environ.get(DEBUG_VARIABLE))
    if not debug:
        silence()
    try:
        results = run(json.loads(sys.argv[1]))
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            raise
        status, message = describe_error(error)
        write_line(message)
        return status
    print(to_json({"results": results}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
