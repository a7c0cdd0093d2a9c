"""Print the table of speed and memory: ``python -m benchmarks.run [--preset balanced]``.

Rates are given as shares of the machine's own matrix-product rate, measured in the same
run, so that tables of different machines compare.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from benchmarks import after, prediction, rows, training
from benchmarks.rows import Row
from napari_impartial.core.torch_env import wait_passively

SUBJECTS = ("training", "preview", "passes", "large", "growth", "after", "metrics")
LONG = ("paper",)


def parse(argv: list[str] | None = None) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--preset", default="balanced", help="default: balanced")
    parser.add_argument(
        "--only",
        default=",".join(SUBJECTS),
        help=f"of {','.join((*SUBJECTS, *LONG))} (default: all but {','.join(LONG)})",
    )
    parser.add_argument(
        "--paper",
        action="store_true",
        help="also train the published recipe, for --paper-seconds, and ours to its F1",
    )
    parser.add_argument("--paper-seconds", type=float, default=1200.0, help="default: 1200")
    parser.add_argument("--small", action="store_true", help="a trial of seconds, small sizes")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args(argv)
    chosen = args.only.split(",") + (list(LONG) if args.paper else [])
    unknown = sorted(set(chosen) - {*SUBJECTS, *LONG})
    if unknown:
        parser.error(f"unknown subject {unknown[0]}; choose from {', '.join((*SUBJECTS, *LONG))}")
    return args, chosen


def subjects(args: argparse.Namespace, peak: Row) -> dict[str, Callable[[], list[Row]]]:
    small, preset = args.small, args.preset
    sides = (128,) if small else (512, 1024, 2048, 4096, 8192)
    return {
        "training": lambda: training.rate(peak, preset, 2 if small else 20),
        "preview": lambda: training.first_preview(
            preset, 128 if small else 512, 5.0 if small else 60.0
        ),
        "passes": lambda: prediction.monte_carlo(preset, 128 if small else 1024),
        "large": lambda: prediction.large_image(peak, preset, 256 if small else 4096),
        "growth": lambda: prediction.growth(preset, sides),
        "after": lambda: after.after_prediction(256 if small else 1024, 60 if small else 1000),
        "metrics": lambda: after.large_metrics(
            1000 if small else 10_000, 1000 if small else 100_000
        ),
        "paper": lambda: training.against_paper(small, 2.0 if small else args.paper_seconds),
    }


def line(row: Row) -> str:
    value = "not reached" if row.value is None else f"{row.value:.3g}"
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    return f"| {row.what} | {value} | {row.unit} | {ratio} | {row.ratio_of} | {row.target} |"


def main() -> int:
    args, chosen = parse()
    wait_passively(os.environ)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores\n", flush=True)
    print("| what | value | unit | ratio | of | aim |\n|---|---|---|---|---|---|", flush=True)
    peak = rows.matrix_rate(512 if args.small else 2048)
    print(line(peak), flush=True)
    found = [peak]
    for subject, measure in subjects(args, peak).items():
        if subject in chosen:
            for row in measure():
                found.append(row)
                print(line(row), flush=True)
    if args.json:
        print(json.dumps([asdict(row) for row in found]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
