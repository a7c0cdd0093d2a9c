"""The command line is killed at random moments; see benchmarks/kills.py for a hundred of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has neither fork nor SIGKILL")
@pytest.mark.parametrize("options", [[], ["--terminate"]], ids=["killed", "terminated"])
def test_nothing_is_half_written_or_left(options: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.kills", "--kills", "2", *options],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert done.returncode == 0, done.stderr
    assert "'kills': 6" in done.stdout
