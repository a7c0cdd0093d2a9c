"""Print the table of speed and memory: ``python -m benchmarks.run [--preset balanced]``."""

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

from benchmarks import measures
from benchmarks.measures import Row
from napari_impartial.core.threads import wait_passively

SUBJECTS = ("training", "passes", "large", "after", "metrics")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--preset", default="balanced", help="default: balanced")
    parser.add_argument("--only", default=",".join(SUBJECTS), help=f"of {','.join(SUBJECTS)}")
    parser.add_argument("--small", action="store_true", help="a trial of seconds, small sizes")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args()
    chosen = args.only.split(",")
    unknown = sorted(set(chosen) - set(SUBJECTS))
    if unknown:
        parser.error(f"unknown subject {unknown[0]}; choose from {', '.join(SUBJECTS)}")
    small = args.small
    wait_passively(os.environ)

    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores\n", flush=True)
    print("| what | value | unit | ratio | of |\n|---|---|---|---|---|", flush=True)
    rows: list[Row] = []

    def show(*found: Row) -> None:
        for row in found:
            rows.append(row)
            ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
            print(
                f"| {row.what} | {row.value:.3g} | {row.unit} | {ratio} | {row.ratio_of} |",
                flush=True,
            )

    peak = measures.matrix_rate(512 if small else 2048)
    show(peak)
    subjects: dict[str, Callable[[], list[Row]]] = {
        "training": lambda: measures.train(peak, args.preset, 3 if small else 20),
        "passes": lambda: measures.monte_carlo(args.preset, 128 if small else 1024),
        "large": lambda: measures.large_image(peak, args.preset, 256 if small else 4096),
        "after": lambda: measures.after_prediction(256 if small else 1024, 60 if small else 1000),
        "metrics": lambda: measures.metrics(1000 if small else 10_000, 1000 if small else 100_000),
    }
    for subject in SUBJECTS:
        if subject in chosen:
            show(*subjects[subject]())
    if args.json:
        print(json.dumps([asdict(row) for row in rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
