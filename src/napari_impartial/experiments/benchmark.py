"""Measure methods on data sets: train on all training images, score on all test images.

A data set is a folder: train/NAME.tif (C, Y, X) with NAME_scribbles10.tif (10 % of the
cells annotated) or NAME_truth.tif to simulate scribbles from, and test/NAME.tif with
NAME_truth.tif; strokes of another style lie in a folder of its name,
lines/NAME_scribbles10.tif. Percentages without a file of scribbles are simulated, for each seed
anew; at 100 % strokes are in every cell. Each run is a process of its own, so that
times and memory are its own. Nothing is chosen on the test images.

Methods
-------
  impartial            ours
  forest               a random forest on multiscale filter responses
  cellpose, stardist   trained from scratch for the same seconds on the annotated cells
                       and the background strokes, with no loss anywhere else; or with
                       weights of yours (--weights)
  joint, scribble-only, reconstruction-only
                       ours, with the parts of its loss (--ablation runs the three)
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from napari_impartial.cli.options import (
    add_pooling,
    add_settings,
    add_style,
    chosen_preset,
    comma_list,
    given_settings,
    number,
    one_of,
    override,
    training_settings,
)
from napari_impartial.cli.output import ProgressBar, ensure_folder, write_line
from napari_impartial.core.config import (
    LARGEST_SEED,
    InstanceConfig,
    ModelConfig,
    PredictionConfig,
    TrainingConfig,
)
from napari_impartial.core.errors import ImPartialError

from .benchmark_report import summarize, tables, write_report
from .dataset import check_files, labels_of_others, open_data_sets
from .run_cache import FinishedRuns, run_apart

EPILOG = """\
example:
  napari-impartial benchmark data/nuclei data/tissue --percent 10 --preset fast \\
      --seeds 0,1,2
  napari-impartial benchmark data/nuclei --percent 10,20,50,100 --out results/nuclei
  napari-impartial benchmark data/nuclei data/tissue --ablation --out results/ablation
  napari-impartial benchmark data/nuclei --methods impartial,cellpose \\
      --weights cellpose=my_model --json
  napari-impartial benchmark data/tissuenet --preset paper --pooling authors \\
      --methods impartial,cellpose --percent 10,20,50,100 \\
      --labels mesmer=mesmer_labels --out results/tissuenet --pictures"""

ALWAYS_DESCRIBE = True

METHODS = ("impartial", "forest")
PEERS = ("cellpose", "stardist")
ABLATION = ("reconstruction-only", "scribble-only", "joint")
_OF_PREDICTION = ("samples", "tile_size", "second_opinion")
ALL_METHODS = (*METHODS, *PEERS, *ABLATION)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("sets", nargs="+", type=Path, metavar="SET", help="Folders of data sets.")
    parser.add_argument(
        "--percent",
        type=comma_list(number(1, 100, int)),
        default=[10],
        metavar="P,..",
        help="Percent of the cells that are annotated, 1 to 100 (default 10).",
    )
    add_style(parser, " Files of strokes are taken from the folder of that name, SET/lines.")
    parser.add_argument(
        "--methods",
        type=comma_list(one_of(ALL_METHODS)),
        metavar="M,..",
        help=f"Of {', '.join(ALL_METHODS)} (default {','.join(METHODS)}).",
    )
    parser.add_argument(
        "--seeds",
        type=comma_list(number(0, LARGEST_SEED, int)),
        default=[0, 1, 2],
        metavar="N,..",
        help="One run for each seed (default 0,1,2).",
    )
    parser.add_argument(
        "--ablation",
        action="store_true",
        help=f"The same as --methods {','.join(ABLATION)}: what each part of the loss earns.",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="Write table.md, results.json and plot.png there, and keep finished runs: the "
        "same command goes on after an interruption.",
    )
    parser.add_argument(
        "--weights",
        type=comma_list(str),
        default=[],
        metavar="M=PATH,..",
        help="Weights to use as they are in place of training: cellpose=FILE, stardist=FOLDER.",
    )
    parser.add_argument(
        "--weights-channels",
        type=comma_list(str),
        metavar="A,B",
        help="Channels that these weights take, by name or number from 0, in their order.",
    )
    parser.add_argument(
        "--labels",
        type=comma_list(str),
        default=[],
        metavar="NAME=DIR,..",
        help="Also score what other programs made of the test images: label images NAME.tif or "
        "NAME_...tif in DIR (of several sets, in DIR/SET).",
    )
    parser.add_argument(
        "--pictures",
        action="store_true",
        help="Draw each test image with its errors into OUT/pictures: cells found (blue), made up "
        "(red) and missed (yellow) at IoU 0.5. Needs --out.",
    )
    parser.add_argument(
        "--best-cut",
        action="store_true",
        help="Also cut the forest's instances in 24 ways, each at one level for the whole "
        "image, and report the best on the test images, as forest+best-cut: an advantage that "
        "the others do not get.",
    )
    add_pooling(parser)
    add_experiment_settings(parser)


def add_experiment_settings(parser: argparse.ArgumentParser) -> None:
    """Add the settings of training, prediction and instances."""
    add_settings(parser, TrainingConfig, "training (impartial)", skip=("seed",))
    add_settings(parser, ModelConfig, "network (impartial)")
    add_settings(parser, PredictionConfig, "prediction (impartial)", only=_OF_PREDICTION)
    add_settings(parser, InstanceConfig, "cutting instances (all methods)")


def experiment_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of one experiment, by stage, each a dict."""
    preset = chosen_preset(args)
    model, training = training_settings(args)
    stages: dict[str, Any] = {
        "model": model,
        "training": training,
        # `reconstruction` is the training's loss here, not the prediction's switch
        "prediction": override(preset.prediction, args, skip=("reconstruction",)),
        "instances": override(preset.instances, args),
    }
    settings = {name: dataclasses.asdict(config) for name, config in stages.items()}
    # What is not given here, ours leaves to the strokes, see ModelCard.cut.
    return {**settings, "cut": given_settings(InstanceConfig, args)}


def _methods(args: argparse.Namespace) -> list[str]:
    """Return the methods asked for.

    Raises
    ------
    ImPartialError
        If both ways of asking are used.
    """
    if args.ablation and args.methods is not None:
        raise ImPartialError("--ablation chooses the methods; leave out --methods.")
    return list(ABLATION) if args.ablation else args.methods or list(METHODS)


def _weights(given: list[str], methods: list[str]) -> dict[str, str]:
    """Read ``METHOD=PATH`` and check that the weights are there and of use."""
    weights = {}
    for text in given:
        method, _, path = text.partition("=")
        if method not in PEERS or not path:
            raise ImPartialError(f"--weights {text} is not cellpose=FILE or stardist=FOLDER.")
        if method not in methods:
            raise ImPartialError(f"--weights {text} needs {method} among --methods.")
        if not Path(path).exists():
            raise ImPartialError(f"There are no weights {path}.")
        weights[method] = str(Path(path).resolve())
    return weights


def _labels(args: argparse.Namespace) -> dict[str, Path]:
    """Read ``NAME=DIR`` and check that the folders are there."""
    labels = {}
    for text in args.labels:
        name, _, path = text.partition("=")
        if not name or not path:
            raise ImPartialError(f"--labels {text} is not NAME=DIR.")
        if name in ALL_METHODS or name in labels:
            raise ImPartialError(f"--labels {text}: {name} is taken; choose another name.")
        if not Path(path).is_dir():
            raise ImPartialError(f"There is no folder {path} of labels.")
        labels[name] = Path(path).resolve()
    return labels


def _labels_of(folder: Path, data: Path, n_sets: int) -> Path:
    """Return where the labels of a data set's test images are."""
    return folder if n_sets == 1 else folder / data.resolve().name


def _check(
    args: argparse.Namespace,
    methods: list[str],
    weights: dict[str, str],
    labels: dict[str, Path],
) -> None:
    """Check everything that can be before the first run."""
    if args.weights_channels is not None and not weights:
        raise ImPartialError("--weights-channels needs --weights, whose channels it names.")
    if args.best_cut and "forest" not in methods:
        raise ImPartialError("--best-cut needs forest among --methods.")
    if args.pictures and args.out is None:
        raise ImPartialError("--pictures needs --out, the folder to draw them in.")
    data_sets = open_data_sets(args.sets, args.style)
    from .baselines import cellpose, random_forest, stardist

    modules = {"forest": random_forest, "cellpose": cellpose, "stardist": stardist}
    for method in methods:
        if method in modules:
            modules[method].check_available()
    # last, since it takes longest
    trains_peers = any(method in PEERS and method not in weights for method in methods)
    for data in data_sets:
        check_files(data, args.percent, truths=trains_peers)
        for folder in labels.values():
            labels_of_others(data, _labels_of(folder, data.folder, len(data_sets)))


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Do all runs, one after the other."""
    settings = experiment_settings(args)
    methods = _methods(args)
    weights = _weights(args.weights, methods)
    labels = _labels(args)
    _check(args, methods, weights, labels)
    out = None if args.out is None else ensure_folder(args.out)
    finished = FinishedRuns(None if out is None else out / "runs")
    common = {
        "percent": None,
        "seed": None,
        "best_cut": False,
        "weights": None,
        "weights_channels": None,
        "labels": None,
        "style": args.style,
        "pooling": args.pooling,
        "pictures": str(out.resolve() / "pictures") if out and args.pictures else None,
        "settings": settings,
    }
    specs = [
        {
            **common,
            "set": str(folder.resolve()),
            "method": method,
            "percent": percent,
            "seed": seed,
            "best_cut": args.best_cut and method == "forest",
            "weights": weights.get(method),
            "weights_channels": args.weights_channels if method in weights else None,
        }
        for folder in args.sets
        for percent in args.percent
        for method in methods
        for seed in args.seeds
    ]
    # Whatever these programs were trained on, it was not these strokes.
    specs += [
        {
            **common,
            "set": str(folder.resolve()),
            "method": name,
            "labels": str(_labels_of(made, folder, len(args.sets))),
        }
        for folder in args.sets
        for name, made in labels.items()
    ]
    results, failures, status = _run_all(specs, finished)
    report: dict[str, Any] = {
        "results": results,
        "summary": summarize(results),
        "failures": failures,
        "settings": settings,
    }
    if out is not None:
        report["files"] = write_report(out, report, tables(report["summary"]))
        if "plot" not in report["files"] and results:
            write_line("There is no plot.png, since matplotlib is not installed.")
    return {**report, "exit_status": status}


def _run_all(
    specs: list[dict[str, Any]], finished: FinishedRuns
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], int]:
    """Do all runs that are not finished yet; a failing one leaves the others."""
    results: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    status = 0
    for done, spec in enumerate(specs):
        name = Path(spec["set"]).name
        what = f"{name}, {spec['method']}"
        if not spec["labels"]:
            what += f", {spec['percent']} %, seed {spec['seed']}"
        try:
            found = finished.get(spec)
            if found is None:
                with ProgressBar(f"{done + 1}/{len(specs)} {what}") as bar:
                    found = run_apart(spec, bar.update)
                finished.put(spec, found)
            results += found
        except ImPartialError as error:
            failures.append({"set": name, "method": spec["method"], "error": str(error)})
            write_line(f"{what}: {error}")
            status = 2
        except KeyboardInterrupt:
            write_line(f"Stopped by Ctrl-C after {done} of {len(specs)} runs.")
            status = 130
            break
    return results, failures, status


def describe(result: dict[str, Any]) -> str:
    """Return the summary as Markdown tables."""
    return tables(result["summary"])
