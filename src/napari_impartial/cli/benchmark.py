"""Measure methods on data sets: train on all training images, score on all test images.

A data set is a folder: train/NAME.tif (C, Y, X) with NAME_scribbles10.tif (10 % of the
cells annotated) or NAME_truth.tif to simulate scribbles from, and test/NAME.tif with
NAME_truth.tif. Each run is a process of its own, so that times and memory are its own.
Nothing is chosen on the test images.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_impartial.core.config import (
    InstanceConfig,
    ModelConfig,
    PredictionConfig,
    TrainingConfig,
    parameters,
)
from napari_impartial.core.errors import ImPartialError

from .dataset import open_data_set, percent_available
from .options import add_settings, comma_list, override, training_settings
from .output import ProgressBar, markdown_table, number_text, plain, write_line

EPILOG = """\
example:
  napari-impartial benchmark data/nuclei data/tissue --percent 10 --preset fast \\
      --seeds 0,1,2
  napari-impartial benchmark data/nuclei --methods impartial --objective scribble --json"""

ALWAYS_DESCRIBE = True

METHODS = ("impartial", "forest")
FIGURES = ("f1", "ap", "map", "miou", "mdice")
COSTS = ("train_s", "predict_s", "peak_rss_mb")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("sets", nargs="+", type=Path, metavar="SET", help="Folders of data sets.")
    parser.add_argument(
        "--percent",
        type=comma_list(int),
        default=[10],
        metavar="P,..",
        help="Percent of the cells that are annotated, 1 to 100 (default 10).",
    )
    parser.add_argument(
        "--methods",
        type=comma_list(str),
        default=list(METHODS),
        metavar="M,..",
        help="impartial: ours; forest: random forest on multiscale filter responses "
        "(default impartial,forest).",
    )
    parser.add_argument(
        "--seeds",
        type=comma_list(int),
        default=[0, 1, 2],
        metavar="N,..",
        help="One run for each seed (default 0,1,2).",
    )
    parser.add_argument(
        "--best-cut",
        action="store_true",
        help="Also cut the forest's instances in 24 ways and report the best on the test "
        "images, as forest+best-cut: an advantage that the others do not get.",
    )
    add_experiment_settings(parser)


def add_experiment_settings(parser: argparse.ArgumentParser) -> None:
    """Add the settings of training, prediction and instances."""
    add_settings(parser, TrainingConfig, "training (impartial)", skip=("seed",))
    add_settings(parser, ModelConfig, "network (impartial)")
    add_settings(parser, PredictionConfig, "prediction (impartial)", only=("samples", "tile_size"))
    add_settings(parser, InstanceConfig, "cutting instances (all methods)")


def experiment_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of one experiment, by stage, each a dict."""
    model, training = training_settings(args)
    stages: dict[str, Any] = {
        "model": model,
        "training": training,
        # `reconstruction` is the training's loss here, not the prediction's switch
        "prediction": override(PredictionConfig(), args, skip=("reconstruction",)),
        "instances": override(InstanceConfig(), args),
    }
    return {name: dataclasses.asdict(config) for name, config in stages.items()}


def check_percents(percents: list[int]) -> None:
    """Refuse percentages out of 1 to 100.

    Raises
    ------
    ImPartialError
        Naming the first.
    """
    for percent in percents:
        if not 1 <= percent <= 100:
            raise ImPartialError(f"--percent {percent} is not between 1 and 100.")


def check_seeds(seeds: list[int]) -> None:
    """Refuse negative seeds.

    Raises
    ------
    ImPartialError
        Naming the first.
    """
    lowest = parameters(TrainingConfig)["seed"].minimum or 0
    for seed in seeds:
        if seed < lowest:
            raise ImPartialError(f"--seeds {seed} is negative; seeds are 0 and up.")


def _check(args: argparse.Namespace) -> None:
    """Check everything that can be before the first run."""
    unknown = [method for method in args.methods if method not in METHODS]
    if unknown:
        raise ImPartialError(
            f"There is no method {unknown[0]!r}; choose from {', '.join(METHODS)}."
        )
    check_percents(args.percent)
    check_seeds(args.seeds)
    for folder in args.sets:
        data = open_data_set(folder)
        for percent in args.percent:
            percent_available(data, percent)
    if "forest" in args.methods:
        from napari_impartial.peers.forest import check_available

        check_available()


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Do all runs, one after the other."""
    settings = experiment_settings(args)
    _check(args)
    specs = [
        {
            "set": str(folder),
            "method": method,
            "percent": percent,
            "seed": seed,
            "best_cut": args.best_cut and method == "forest",
            "settings": settings,
        }
        for folder in args.sets
        for percent in args.percent
        for method in args.methods
        for seed in args.seeds
    ]
    results: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    status = 0
    try:
        for number, spec in enumerate(specs):
            name = Path(spec["set"]).resolve().name
            what = f"{name}, {spec['method']}, {spec['percent']} %, seed {spec['seed']}"
            with ProgressBar(f"{number + 1}/{len(specs)} {what}") as bar:
                try:
                    results += run_apart(spec, bar.update)
                except ImPartialError as error:
                    failures.append({"set": name, "method": spec["method"], "error": str(error)})
                    write_line(f"{what}: {error}")
                    status = 2
    except KeyboardInterrupt:
        write_line(f"Stopped by Ctrl-C after {number} of {len(specs)} runs.")
        status = 130
    return {
        "results": results,
        "summary": summarize(results),
        "failures": failures,
        "settings": settings,
        "exit_status": status,
    }


def run_apart(spec: dict[str, Any], report: Callable[[float], None]) -> list[dict[str, Any]]:
    """Do one run in a process of its own.

    Parameters
    ----------
    spec : dict
        See :mod:`napari_impartial.cli.benchmark_run`.
    report : callable
        Gets the share done, 0 to 1.

    Returns
    -------
    list of dict
        One result; two for a forest with its best cut.

    Raises
    ------
    ImPartialError
        If the run fails, with its last line on stderr.
    """
    started = time.perf_counter()
    results: list[dict[str, Any]] | None = None
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "napari_impartial.cli.benchmark_run", json.dumps(plain(spec))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONPATH": _search_path()},
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                message = json.loads(line)
                report(message.get("fraction", 0.0))
                results = message.get("results", results)
            process.wait()
        finally:
            process.kill()
            process.wait()
        errors.seek(0)
        lines = errors.read().split("\n")
    if process.returncode != 0 or results is None:
        said = next((line for line in reversed(lines) if line.strip()), "it said nothing")
        raise ImPartialError(f"the run failed with status {process.returncode}: {said}")
    seconds = time.perf_counter() - started
    return [{**result, "wall_s": seconds} for result in results]


def _search_path() -> str:
    """Let the child import the package that runs here, installed or not."""
    here = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))


def summarize(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds, for each set, percentage and method.

    Returns
    -------
    list of dict
        ``set``, ``method``, ``percent``, ``runs``, and for each figure ``NAME`` (mean)
        and ``NAME_std`` (of the sample; None with a single run).
    """
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for result in results:
        key = (result["set"], result["method"], result["percent"])
        groups.setdefault(key, []).append(result)
    rows = []
    for (name, method, percent), runs in groups.items():
        row: dict[str, Any] = {"set": name, "method": method, "percent": percent, "runs": len(runs)}
        for figure in (*FIGURES, *COSTS):
            values = [run[figure] for run in runs]
            row[figure] = statistics.fmean(values)
            row[f"{figure}_std"] = statistics.stdev(values) if len(values) > 1 else None
        rows.append(row)
    return rows


def describe(result: dict[str, Any]) -> str:
    """Return the summary as a Markdown table."""
    if not result["summary"]:
        return "No run was completed."
    heading = [
        "set",
        "%",
        "method",
        "runs",
        "F1@0.5",
        "AP@0.5",
        "mAP",
        "mIoU",
        "mDice",
        "train s",
        "predict s",
        "peak MB",
    ]
    rows = [heading]
    for entry in result["summary"]:
        cells = [entry["set"], str(entry["percent"]), entry["method"], str(entry["runs"])]
        for figure in FIGURES:
            cells.append(_spread(entry, figure, 3))
        cells += [_spread(entry, "train_s", 1), _spread(entry, "predict_s", 1)]
        cells.append(number_text(float(entry["peak_rss_mb"]), 0))
        rows.append(cells)
    return markdown_table(rows)


def _spread(entry: dict[str, Any], figure: str, digits: int) -> str:
    """Mean, and standard deviation where there is one."""
    text = number_text(entry[figure], digits)
    deviation = entry[f"{figure}_std"]
    return text if deviation is None else f"{text} ± {number_text(deviation, digits)}"
