from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_impartial.cli.main import main
from napari_impartial.core.data.mask_scribbles import simulate
from napari_impartial.core.data.synthetic_tissue import Tissue, tissue
from napari_impartial.io import write_tiff

SOURCES = Path(__file__).resolve().parents[2] / "src"

# A network and a training that end after some seconds on a busy machine too: so many steps
# however long they take.
QUICK = [
    "--max-steps", "120", "--base-features", "8", "--depth", "3", "--patch-size", "64",
    "--batch-size", "4", "--learning-rate", "0.01", "--ema-decay", "0.95",
]  # fmt: skip
FEW = ["--max-steps", "3", "--base-features", "4", "--depth", "1", "--patch-size", "32"]


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The last line of stdout."""
        return json.loads(self.out.splitlines()[-1], parse_constant=_refuse)

    def one_line(self) -> str:
        """The only line on stderr."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


def _refuse(constant: str) -> Any:
    raise AssertionError(f"{constant} is no JSON")


Cli = Callable[..., Done]


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Return an environment without a screen in which the package is found."""
    env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    path = os.pathsep.join(filter(None, (str(SOURCES), env.get("PYTHONPATH"))))
    return {**env, "PYTHONPATH": path}


@pytest.fixture(scope="session")
def cli() -> Cli:
    """Run a command in this process, which has loaded its libraries."""

    def run(*arguments: object) -> Done:
        out, err = io.StringIO(), io.StringIO()
        # As at the start of a process, libraries' warnings are not for the user.
        with warnings.catch_warnings(), redirect_stdout(out), redirect_stderr(err):
            status = main([str(argument) for argument in arguments])
        return Done(status, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def process(environment: dict[str, str]) -> Cli:
    """Run a command in a process of its own."""

    def run(*arguments: object, cwd: Path | None = None) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "napari_impartial", *map(str, arguments)],
            capture_output=True,
            text=True,
            env=environment,
            timeout=1000,  # on a busy machine, seconds are minutes
            cwd=cwd,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@dataclass(frozen=True)
class Files:
    """A data set on disk and what is in it."""

    folder: Path
    train: Tissue
    test: Tissue

    @property
    def image(self) -> Path:
        return self.folder / "train" / "a.tif"

    @property
    def scribbles(self) -> Path:
        return self.folder / "train" / "a_scribbles10.tif"

    @property
    def test_image(self) -> Path:
        return self.folder / "test" / "b.tif"

    @property
    def test_truth(self) -> Path:
        return self.folder / "test" / "b_truth.tif"


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Write a small data set of procedural tissue."""
    folder = tmp_path_factory.mktemp("sets") / "tissue"
    made = Files(folder, tissue((160, 144), 2, seed=1), tissue((128, 160), 2, seed=2))
    for part, name, one in (("train", "a", made.train), ("test", "b", made.test)):
        place = folder / part
        write_tiff(place / f"{name}.tif", one.image.channels, "CYX", ("nucleus", "membrane"))
        write_tiff(place / f"{name}_truth.tif", one.truth, "YX")
    painted, _ = simulate(made.train.truth, 0.3, np.random.default_rng(0))
    write_tiff(made.scribbles, painted.labels, "YX")
    return made


@dataclass(frozen=True)
class Trained:
    """A model file and what the command said of it."""

    path: Path
    report: dict[str, Any]


@pytest.fixture(scope="session")
def trained(cli: Cli, files: Files, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Train a small model for all tests that need one."""
    path = tmp_path_factory.mktemp("model") / "cells.impartial"
    done = cli(
        "train", files.image, "--scribbles", files.scribbles, "--model", path, "--json", *QUICK
    )
    assert done.status == 0, done.err
    assert done.err == ""
    return Trained(path, done.json)
