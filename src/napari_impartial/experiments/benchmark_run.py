"""One run of a benchmark, alone in its process: ``python -m ... SPEC``.

SPEC is a JSON object: ``set`` (folder), ``method``, ``percent``, ``seed``, ``style``,
``pooling``, ``best_cut``, ``weights`` and ``weights_channels`` (a peer's, or null), ``labels``
(a folder of another program's, in place of training, or null), ``pictures`` (a folder to draw
errors in, or null) and
``settings`` (``model``, ``training``, ``prediction``, ``instances``). Lines on stdout are JSON
objects: ``{"fraction": 0.4}`` now and then, ``{"results": [...]}`` last; libraries may print
others.
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

from napari_impartial.cli.main import DEBUG_VARIABLE, describe_error, silence
from napari_impartial.cli.output import ensure_folder, to_json, write_line
from napari_impartial.core.config import (
    InstanceConfig,
    ModelConfig,
    PredictionConfig,
    TrainingConfig,
)

from .dataset import (
    DataSet,
    check_truths,
    labels_of_others,
    open_data_set,
    samples_with_truth,
    training_part,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_impartial.core.data.image import Image
    from napari_impartial.core.data.scribbles import Scribbles

Segment = Callable[["Image"], "tuple[NDArray[Any], NDArray[np.float32] | None]"]
"""Returns the cells (Y, X) of an image, and the foreground probability they are cut from."""


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


@dataclasses.dataclass(frozen=True)
class Task:
    """Training data of a method.

    Attributes
    ----------
    data : DataSet
    images, scribbles : lists of equal length
        One for each plane of each training image.
    spec : dict
        See the module.
    notes : dict
        What the method adds to its result, such as ``steps`` done.
    """

    data: DataSet
    images: list[Image]
    scribbles: list[Scribbles]
    spec: dict[str, Any]
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def instances(self) -> InstanceConfig:
        """Settings of the cut into cells."""
        return InstanceConfig(**self.spec["settings"]["instances"])

    def training(self, **changes: Any) -> TrainingConfig:
        """Return the settings of training, with the run's seed."""
        config = TrainingConfig(**self.spec["settings"]["training"])
        return dataclasses.replace(config, seed=self.spec["seed"], **changes)


def train_impartial(task: Task, **changes: Any) -> Segment:
    """Train the network and return how it segments."""
    from napari_impartial.cli.progress import Ended, drive
    from napari_impartial.core.instances.cutter import to_instances
    from napari_impartial.core.prediction.predict import predict
    from napari_impartial.core.training.fit import fit

    settings = task.spec["settings"]
    prediction = PredictionConfig(**settings["prediction"])
    network = ModelConfig(**settings["model"])
    model, stopped = drive(
        fit(task.images, task.scribbles, network, task.training(**changes)),
        lambda progress: _report(progress.fraction),
    )
    if stopped:
        raise Ended(stopped)  # half a training must not count as a result
    task.notes["steps"] = model.card.steps
    cut = model.card.cut(settings["cut"])

    def segment(image: Image) -> tuple[NDArray[Any], NDArray[np.float32]]:
        predicted = predict(image, model, prediction)
        return to_instances(predicted, cut), predicted.foreground

    return segment


def train_forest(task: Task) -> Segment:
    """Train the forest and return how it segments."""
    from napari_impartial.core.instances.cutter import to_instances

    from .baselines import random_forest

    trained = random_forest.train_forest(task.images, task.scribbles, task.spec["seed"])

    def segment(image: Image) -> tuple[NDArray[Any], NDArray[np.float32]]:
        foreground = 1 - random_forest.forest_probability(image, trained)[0]
        return to_instances(foreground, task.instances), foreground

    return segment


def _peer(method: str) -> Any:
    """Return the module of Cellpose or StarDist."""
    from .baselines import cellpose, stardist

    return {"cellpose": cellpose, "stardist": stardist}[method]


def train_peer(task: Task) -> Segment:
    """Train Cellpose or StarDist on the annotated cells, or take the user's weights."""
    from .baselines.partial_masks import partial_labels

    peer = _peer(task.spec["method"])
    weights, channels = task.spec.get("weights"), task.spec.get("weights_channels")
    if weights:
        first = task.images[0]
        trained = peer.load(Path(weights), len(channels) if channels else first.n_channels)
    else:
        check_truths(task.data)
        truths = [truth for _, truth in samples_with_truth(task.data.train)]
        labels = [partial_labels(s, t) for s, t in zip(task.scribbles, truths, strict=True)]
        trained = peer.train(task.images, labels, task.training(), _report)

    def segment(image: Image) -> tuple[NDArray[Any], None]:
        chosen = image.select(channels) if weights and channels else image
        return peer.segment(chosen, trained), None

    return segment


TRAIN: dict[str, Callable[[Task], Segment]] = {
    "impartial": train_impartial,
    "forest": train_forest,
    "cellpose": train_peer,
    "stardist": train_peer,
    "joint": lambda task: train_impartial(task, objective="joint"),
    "scribble-only": lambda task: train_impartial(task, objective="scribble"),
    "reconstruction-only": lambda task: train_impartial(task, objective="reconstruction"),
}


def load_libraries(method: str) -> None:
    """Import what the method needs, so that its import is not taken for training."""
    if method == "forest":
        import sklearn.ensemble  # noqa: F401
    elif TRAIN[method] is train_peer:
        _peer(method).load_library()
    else:
        from napari_impartial.core.prediction import predict as prediction  # noqa: F401
        from napari_impartial.core.training import fit as training  # noqa: F401


def run(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Train, predict and score; see the module."""
    data: DataSet = open_data_set(spec["set"], spec["style"])
    if spec["labels"]:
        return _score_labels(data, spec)
    task = Task(data, *training_part(data, spec["percent"], spec["seed"]), spec)
    load_libraries(spec["method"])

    started = time.perf_counter()
    segment = TRAIN[spec["method"]](task)
    train_s = time.perf_counter() - started

    predict_s, foregrounds, labels, truths = 0.0, [], [], []
    for image, truth in samples_with_truth(data.test):
        started = time.perf_counter()
        cells, foreground = segment(image)
        predict_s += time.perf_counter() - started
        labels.append(cells)
        truths.append(truth)
        if spec["best_cut"]:
            foregrounds.append(foreground)
    costs = {"train_s": train_s, "predict_s": predict_s, "peak_rss_mb": peak_rss_mb()}
    costs |= task.notes
    if spec["pictures"]:
        draw_errors(data, spec, labels)

    results = [_result(spec, data.name, spec["method"], truths, labels, costs, task.instances)]
    if spec["best_cut"]:
        from .baselines.random_forest import best_cut

        config, labels = best_cut(truths, [f for f in foregrounds if f is not None])
        name = f"{spec['method']}+best-cut"
        results.append(_result(spec, data.name, name, truths, labels, costs, config))
    return results


def _score_labels(data: DataSet, spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Score the labels that another program has made."""
    labels = labels_of_others(data, Path(spec["labels"]))
    truths = [truth for _, truth in samples_with_truth(data.test)]
    if spec["pictures"]:
        draw_errors(data, spec, labels)
    costs = dict.fromkeys(("train_s", "predict_s", "peak_rss_mb"))
    return [_result(spec, data.name, spec["method"], truths, labels, costs, None)]


def draw_errors(data: DataSet, spec: dict[str, Any], labels: list[NDArray[Any]]) -> None:
    """Draw each test image with what was found and what was not, as a PNG file."""
    import imageio.v3 as iio

    from napari_impartial.cli.pictures import composite, with_errors, zoom_factor
    from napari_impartial.core.atomic_write import atomic_path

    of_run = [spec["method"], *(() if spec["percent"] is None else (f"{spec['percent']}%",))]
    of_run += [] if spec["labels"] else [f"seed{spec['seed']}"]
    folder = ensure_folder(Path(spec["pictures"]) / data.name)
    cut = iter(labels)
    for sample in data.test:
        pairs = samples_with_truth([sample])
        for number, (image, truth) in enumerate(pairs):
            plane = [str(number)] if len(pairs) > 1 else []
            name = "-".join([sample.name, *plane, *of_run])
            picture = with_errors(composite(image), truth, next(cut), zoom_factor(image.shape))
            with atomic_path(folder / f"{name}.png") as temporary:
                iio.imwrite(temporary, picture, extension=".png")


def _result(
    spec: dict[str, Any],
    set_name: str,
    method: str,
    truths: list[NDArray[Any]],
    labels: list[NDArray[Any]],
    costs: dict[str, float] | dict[str, None],
    instances: InstanceConfig | None,
) -> dict[str, Any]:
    """Score and put together one result."""
    from napari_impartial.core.instances.metrics import evaluate

    scores = dataclasses.asdict(evaluate(truths, labels, spec["pooling"]))
    return {
        "set": set_name,
        "method": method,
        "percent": spec["percent"],
        "seed": spec["seed"],
        **scores,
        **costs,
        "instances": instances and dataclasses.asdict(instances),
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
