"""The scripts of the checkout do no harm."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[1] / "scripts" / "setup.sh"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the scripts are for bash")


def run(venv: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(SETUP)],
        env={**os.environ, "VENV": str(venv), "PYTHON": sys.executable},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.parametrize(
    "inside", ["thesis.docx", "bin/python", "pyvenv.cfg", ".hidden", "lib/site-packages/x.py"]
)
def test_a_folder_that_it_did_not_make_is_not_removed(tmp_path: Path, inside: str) -> None:
    """Somebody else's environment without pip is one of these."""
    file = tmp_path / "mine" / inside
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    done = run(tmp_path / "mine")
    assert done.returncode == 1
    assert "no virtual environment that this script made" in done.stderr
    assert file.read_text() == "mine"


def test_a_file_in_its_place_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    done = run(tmp_path / "mine")
    assert done.returncode == 1
    assert (tmp_path / "mine").read_text() == "mine"
