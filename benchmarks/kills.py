"""Kill the command line at random moments: nothing half-written, nothing left after the next start.

    python -m benchmarks.kills --kills 100

Each command is killed (SIGKILL, or SIGTERM with ``--terminate``) somewhere between its start and
its end, into a folder that has the results of an earlier run; then its files are read. Needs a
system that can fork.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_impartial.cli.main import main as command_line
from napari_impartial.core import atomic_write
from napari_impartial.core.data.mask_scribbles import simulate
from napari_impartial.core.data.synthetic_tissue import tissue
from napari_impartial.core.network.model_file import load_model
from napari_impartial.core.prediction import predict as _predict  # noqa: F401
from napari_impartial.core.training import fit as _fit  # noqa: F401
from napari_impartial.io import read_images, read_labels, write_tiff

TRAIN = ["--max-steps", "20", "--base-features", "4", "--depth", "1", "--patch-size", "32"]


@dataclass
class Task:
    """A command, and what has to hold of its results however it ends."""

    name: str
    arguments: list[str]
    check: Callable[[], None]


def tasks(folder: Path) -> list[Task]:
    """Make the inputs, run each command once undisturbed, and return them."""
    made = tissue((96, 96), 2, seed=1)
    painted, _ = simulate(made.truth, 0.3, np.random.default_rng(0))
    image, scribbles, model = (folder / name for name in ("a.tif", "s.tif", "out/m.impartial"))
    write_tiff(image, made.image.channels, "CYX", ("a", "b"))
    write_tiff(scribbles, painted.labels, "YX")
    for part in ("train", "test"):
        stack = np.stack([np.moveaxis(made.image.channels, 0, -1)] * 6)
        cells = np.stack([np.stack([made.truth] * 2, axis=-1)] * 6)
        np.savez(folder / f"set_{part}.npz", X=stack, y=cells)
    results, sets = folder / "out" / "results", folder / "out" / "set"
    train = ["train", str(image), "--scribbles", str(scribbles), "--model", str(model), *TRAIN]
    kept = folder / "kept.impartial"
    assert run([*train[:5], str(kept), *TRAIN]) == 0
    assert run(train) == 0
    predict = ["predict", str(image), "--model", str(kept), "--out", str(results)]
    assert run(predict) == 0
    names = {path.name for path in results.iterdir()}
    (folder / "source").mkdir()
    for part in ("train", "test"):
        (folder / f"set_{part}.npz").rename(folder / "source" / f"set_{part}.npz")
    convert = ["convert", "tissuenet", str(folder / "source"), str(sets)]
    assert run(convert) == 0
    whole = files_below(sets)
    shutil.rmtree(sets)

    def model_is_whole() -> None:
        load_model(model)

    def results_are_whole() -> None:
        assert {path.name for path in results.iterdir() if not is_marked(path)} == names
        for path in results.iterdir():
            if is_marked(path):
                continue
            if path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
            elif path.suffix == ".csv":
                assert path.read_text(encoding="utf-8").endswith("\n")
            elif path.name.endswith("_instances.tif"):
                read_labels(path)
            elif path.suffix == ".tif":
                read_images(path)

    def set_is_whole_or_not_there() -> None:
        if sets.exists():
            assert files_below(sets) == whole
            shutil.rmtree(sets)

    return [
        Task("train", train, model_is_whole),
        Task("predict", predict, results_are_whole),
        Task("convert", convert, set_is_whole_or_not_there),
    ]


def files_below(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_size for p in folder.rglob("*") if p.is_file()}


def is_marked(path: Path) -> bool:
    return path.name.startswith(atomic_write.MARK)


def start(arguments: list[str]) -> int:
    """Run a command in a fork of this process, which has loaded most of what it needs."""
    pid = os.fork()
    if pid:
        return pid
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        # As a program that has only just begun.
        atomic_write._swept.clear()
        os._exit(command_line(arguments))
    finally:
        os._exit(99)


def run(arguments: list[str]) -> int:
    """Run a command to its end; return its exit status."""
    _, status = os.waitpid(start(arguments), 0)
    return os.waitstatus_to_exitcode(status)


def kill_at_random(
    folder: Path, kills: int, seed: int = 0, number: int = signal.SIGKILL
) -> dict[str, int]:
    """Kill each command so many times, and check what is there after each.

    Returns
    -------
    dict of str to int
        How many of the commands were over before they could be killed, and how many left
        something that the next start had to clear away.
    """
    dice = random.Random(seed)
    too_late = left = 0
    # What a program puts among temporary files lies here.
    os.environ["TMPDIR"] = str(folder / "tmp")
    tempfile.tempdir = None
    (folder / "tmp").mkdir()
    known = tasks(folder)

    def marked() -> list[Path]:
        return [path for path in folder.rglob("*") if is_marked(path)]

    for task in known:
        began = time.monotonic()
        assert run(task.arguments) == 0
        longest = time.monotonic() - began
        task.check()
        assert marked() == [], f"{task.name} leaves {marked()}"
        for _ in range(kills):
            pid = start(task.arguments)
            # Most of what is written is written at the end.
            share = dice.uniform(0, 1) if dice.random() < 0.5 else dice.uniform(0.8, 1.1)
            time.sleep(share * longest)
            os.kill(pid, number)
            _, status = os.waitpid(pid, 0)
            too_late += os.waitstatus_to_exitcode(status) == 0
            task.check()
            left += bool(marked())
        assert run(task.arguments) == 0
        task.check()
        assert marked() == [], f"after the next start, {task.name} leaves {marked()}"
    return {"kills": kills * len(known), "over already": too_late, "left something": left}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=34, help="Of each of the three commands.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--terminate", action="store_true", help="SIGTERM in place of SIGKILL.")
    args = parser.parse_args()
    number = signal.SIGTERM if args.terminate else signal.SIGKILL
    with tempfile.TemporaryDirectory() as folder:
        print(kill_at_random(Path(folder), args.kills, args.seed, number))
    return 0


if __name__ == "__main__":
    sys.exit(main())
