"""The table of speed and memory comes out, in one piece and with figures that make sense."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.long
@pytest.mark.timeout(900)  # many processes with torch: minutes on a busy machine
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_one_command_prints_the_table() -> None:
    pytest.importorskip("sklearn")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.run",
            "--small",
            "--paper",
            "--preset",
            "fast",
            "--json",
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    table = [line for line in done.stdout.splitlines() if line.startswith("|")]
    rows = json.loads(done.stdout.splitlines()[-1])
    assert len(table) == len(rows) + 2
    assert all(line.count("|") == 7 for line in table)
    by_name = {(row["what"].split(",")[0], row["unit"]): row for row in rows}
    peak = by_name["matrix product", "GFLOP/s"]["value"]
    rate = by_name["training", "GFLOP/s"]
    assert rate["ratio"] == pytest.approx(rate["value"] / peak)
    assert rate["target"] == "at least 0.5"
    names = " ".join(row["what"] for row in rows)
    for subject in (
        "first preview", "T = 8", "peak memory", "above input", "time a megapixel",
        "instances, watershed", "suggestions", "measurements", "metrics", "published recipe",
        "ours to that F1",
    ):  # fmt: skip
        assert subject in names, subject
    for row in rows:
        # Of so small an image, memory above what the libraries took may be none.
        none = "above input" in row["what"] and row["value"] == 0
        assert none or row["value"] is None or row["value"] > 0, row


def test_smoothness_is_told_with_what_chance_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.heartbeat import QUIET, TRAINING, figures, ratios, shuffled

    order = shuffled(12, seed=0)
    pairs = list(zip(order[::2], order[1::2], strict=True))
    assert set(pairs) == {(QUIET, TRAINING), (TRAINING, QUIET)}, "either may come first"

    assert figures([[0.010, 0.020], [0.030]]) == pytest.approx([20, 29.8, 25, 30])

    rng = np.random.default_rng(0)
    turns = [list(rng.gamma(4, 0.01, 80)) for _ in range(24)]
    late = {QUIET: turns[:12], TRAINING: [[1.5 * beat for beat in turn] for turn in turns[12:]]}
    ratio, interval = ratios(late)
    assert len(interval) == len(ratio) - 1
    for value, (low, high) in zip(ratio, interval, strict=False):
        assert low < value < high
        assert 1 < low < 1.5 < high
