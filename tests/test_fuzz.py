"""Damaged files end in a result or in one sentence; ten thousand: ``python -m benchmarks.fuzz``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    ("kinds", "options"),
    [("images,labels,regions,evaluate,decisions", []), ("sessions", ["--bits"]), ("sessions", [])],
    ids=["files", "bits of sessions", "sessions"],
)
def test_damaged_files(tmp_path: Path, kinds: str, options: list[str]) -> None:
    words = ["--count", "250", "--seed", "3", "--only", kinds, "--keep", str(tmp_path), *options]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "benchmarks.fuzz", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "250 inputs, 0 faults\n"
    assert not list(tmp_path.iterdir())


def test_a_fault_is_told(tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT))
    try:
        from benchmarks import fuzz
    finally:
        sys.path.remove(str(ROOT))

    def broken(_: Path) -> None:
        raise KeyError("x")

    assert "KeyError" in fuzz._fault(broken, tmp_path)
