"""Runs over blocks that end too early: killed, on a full disk, on damaged chunks, or in twos.

What was finished stays, and the same command goes on to the same bytes.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forking import Nursery

from napari_impartial.core.data.synthetic_tissue import tissue
from napari_impartial.io.ome_zarr_writer import Layout, write_image

SOURCE = Path(__file__).resolve().parents[2] / "src"
NAME = "a.ome.zarr"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, small_model: Path) -> Path:
    """An image in chunks, a stack, and a model that finds their cells."""
    made = tmp_path_factory.mktemp("endings")
    large = tissue((120, 200), 2, seed=3)
    names = large.image.channel_names
    channels = np.clip(large.image.channels, 0, 65535).astype(np.uint16)
    layout = Layout(channels.shape, "CYX", np.uint16, channel_names=names, chunk_px=64)
    write_image(made / NAME, channels, layout)
    stack = np.stack([channels, np.roll(channels, 2, 2), np.roll(channels, 4, 2)], axis=1)
    stack = stack[..., :110, :120]
    layout = Layout(stack.shape, "CZYX", np.uint16, channel_names=names, chunk_px=64)
    write_image(made / "stack.ome.zarr", stack, layout)
    shutil.copy(small_model, made / "m.impartial")
    return made


class Runs:
    """Predicts in processes of their own.

    Those that have no workers are forked off one that has loaded its libraries.
    """

    def __init__(self, nursery: Callable[[], Nursery], folder: Path) -> None:
        self._nursery, self._folder = nursery, folder
        self._count = 0

    @contextlib.contextmanager
    def begin(self, image: Path, out: Path, *more: str) -> Iterator[tuple[Any, Path]]:
        """Begin one; gives the process, and the file of what it says of its errors."""
        self._count += 1
        errors = self._folder / f"errors {self._count}.txt"
        command = [
            "predict", str(image), "--model", str(image.parent / "m.impartial"),
            "--out", str(out), "--samples", "2", "--format", "zarr", "--block-px", "64",
            "--device", "cpu", "--resume", *more,
        ]  # fmt: skip
        if sys.platform == "linux" and "--workers" not in more:
            process: Any = self._nursery().command(command, errors)
        else:
            with open(errors, "wb") as file:
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "napari_impartial", *command],
                    env={**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"},
                    stdout=subprocess.DEVNULL,
                    stderr=file,
                )
        try:
            yield process, errors
        finally:
            process.wait(timeout=280)

    def finish(self, image: Path, out: Path, *more: str) -> tuple[int, str]:
        """Predict and return the exit status and what was said of it."""
        with self.begin(image, out, *more) as (process, errors):
            pass
        return process.returncode, errors.read_text("utf-8")


@pytest.fixture(scope="module")
def runs(nursery: Callable[[], Nursery], tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(nursery, tmp_path_factory.mktemp("errors"))


def content(out: Path) -> dict[str, bytes]:
    """Return all files of a folder of results but the one that says when the image was made."""
    files = (p for p in out.rglob("*") if p.is_file() and p.name != "made.json")
    return {str(p.relative_to(out)): p.read_bytes() for p in files}


@pytest.fixture(scope="module")
def usual(folder: Path, runs: Runs) -> Callable[..., dict[str, bytes]]:
    """Results that nothing happened to, made once for each image."""
    found: dict[str, dict[str, bytes]] = {}

    def of(image: Path, *more: str) -> dict[str, bytes]:
        if image.name not in found:
            out = folder / f"usual {image.name}"
            assert runs.finish(image, out, *more) == (0, "")
            found[image.name] = content(out)
        return found[image.name]

    return of


def steps_done(out: Path, image: Path) -> int:
    """Return how many steps of a run have been finished."""
    store = out / f".{image.name}.part"
    folders = [store / "_run" / kind for kind in ("cut", "measured", "overlaps")]
    with contextlib.suppress(OSError):
        return sum(
            len(list(folder.iterdir()))
            for folder in (store / "_maps" / "predicted", *folders)
            if folder.exists()
        )
    return 0


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "more"),
    [
        (NAME, ()),
        (NAME, ("--workers", "2")),
        ("stack.ome.zarr", ("--link", "z")),
    ],
    ids=("threads", "workers", "linked"),
)
def test_killed_again_and_again(
    name: str, more: tuple[str, ...], folder: Path, runs: Runs,
    usual: Callable[..., dict[str, bytes]], tmp_path: Path,
) -> None:  # fmt: skip
    image, rng = folder / name, random.Random(name + str(more))
    expected = usual(image, *(more if "--link" in more else ()))
    kills, before = 0, 0
    for _ in range(1 if "--workers" in more else 2):
        at = before + rng.randint(1, 10)
        with runs.begin(image, tmp_path, *more) as (process, _):
            while process.poll() is None and steps_done(tmp_path, image) < at:
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.05))
            kills += process.poll() is None
            process.kill()
        now = steps_done(tmp_path, image)
        assert now >= before or (tmp_path / name).exists(), "what was finished stays"
        before = now
    assert kills >= 1
    assert runs.finish(image, tmp_path, *more) == (0, "")
    assert content(tmp_path) == expected


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
@pytest.mark.timeout(600)
def test_killed_while_it_is_cut_anew(
    folder: Path, runs: Runs, usual: Callable[..., dict[str, bytes]], tmp_path: Path
) -> None:
    image, rng = folder / NAME, random.Random(0)
    before, fresh, out = usual(image), tmp_path / "fresh", tmp_path / "out"
    assert runs.finish(image, fresh, "--threshold", "0.6") == (0, "")
    expected = content(fresh)
    shutil.copytree(folder / f"usual {NAME}", out)
    kills = done = 0
    for _ in range(4):
        at = done + rng.randint(1, 8)
        with runs.begin(image, out, "--threshold", "0.6") as (process, _):
            while process.poll() is None and steps_done(out, image) < at:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.05))
            kills += process.poll() is None
            process.kill()
        now = content(out / NAME)
        whole = [{f"{NAME}/{name}": kept for name, kept in now.items()}.items() <= one.items()
                 for one in (before, expected)]  # fmt: skip
        assert any(whole), "the earlier result or the new one"
        if whole[1]:
            break
        done = steps_done(out, image)
    assert kills >= 1
    assert runs.finish(image, out, "--threshold", "0.6") == (0, "")
    assert content(out) == expected


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[None]:
    """Mount a file system of its own; skips where that is not allowed."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if (
        shutil.which("mount") is None
        or subprocess.run(command, check=False, capture_output=True).returncode
    ):
        pytest.skip("no file system can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a file system")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("more", [(), ("--workers", "2")], ids=("threads", "workers"))
def test_a_full_disk(
    more: tuple[str, ...], folder: Path, runs: Runs, usual: Callable[..., dict[str, bytes]],
    tmp_path: Path,
) -> None:  # fmt: skip
    image, disk = folder / NAME, tmp_path / "disk"
    expected = usual(image)
    with small_disk(disk, "240k"):
        status, said = runs.finish(image, disk, *more)
        assert (status, len(said.splitlines())) == (2, 1), said
        assert "no space left on device" in said
        done = steps_done(disk, image)
        assert done > 0
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        assert runs.finish(image, disk) == (0, "")
        assert content(disk) == expected


def test_a_damaged_chunk(
    folder: Path, runs: Runs, usual: Callable[..., dict[str, bytes]], tmp_path: Path
) -> None:
    image = folder / NAME
    expected = usual(image)
    chunk = image / "0" / "c" / "1" / "1" / "2"
    whole = chunk.read_bytes()
    try:
        for damage in (whole[:90], bytes(reversed(whole))):
            chunk.write_bytes(damage)
            status, said = runs.finish(image, tmp_path)
            assert (status, len(said.splitlines())) == (2, 1), said
            assert f"A part of level 0 of {image} cannot be read; it is damaged" in said
    finally:
        chunk.write_bytes(whole)
    assert runs.finish(image, tmp_path) == (0, "")
    assert content(tmp_path) == expected


def test_two_runs_at_once(
    folder: Path, runs: Runs, usual: Callable[..., dict[str, bytes]], tmp_path: Path
) -> None:
    image = folder / NAME
    expected = usual(image)
    with runs.begin(image, tmp_path) as (first, errors):
        while first.poll() is None and not steps_done(tmp_path, image):
            time.sleep(0.01)
        status, said = runs.finish(image, tmp_path)
    # The second may have come when the first had gone.
    assert (first.returncode, errors.read_text("utf-8")) == (0, "")
    if status:
        assert (status, len(said.splitlines())) == (2, 1)
        assert "Another run is writing" in said
    assert content(tmp_path) == expected
