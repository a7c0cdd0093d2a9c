"""Whole runs over blocks: the same as in one piece, resumed, and by workers one of which dies."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from napari_impartial.core.config import (
    InstanceConfig,
    PredictionConfig,
    SuggestionConfig,
)
from napari_impartial.core.data.image import normalize
from napari_impartial.core.data.mask_scribbles import simulate
from napari_impartial.core.data.scribbles import BACKGROUND
from napari_impartial.core.data.synthetic_tissue import tissue
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.cutter import to_instances
from napari_impartial.core.instances.linking import link_along
from napari_impartial.core.instances.measurements import measure
from napari_impartial.core.instances.metrics import matched_pairs
from napari_impartial.core.network.model_file import load_model
from napari_impartial.core.prediction.predict import predict
from napari_impartial.core.prediction.segment import find_objects
from napari_impartial.io import read_images, read_labels, write_tiff
from napari_impartial.io.ome_zarr import open_image, open_labels, state_of
from napari_impartial.slides import run as of_run
from napari_impartial.slides.engine import Engine, engine
from napari_impartial.slides.job import Job, all_blocks, hash_of
from napari_impartial.slides.ranges import read_ranges
from napari_impartial.slides.run import blocks_done, run
from napari_impartial.slides.source import open_source
from napari_impartial.slides.steps import predict_block, sample

PREDICTION = PredictionConfig(samples=2, precision="float32", device="cpu")


def same(one: np.ndarray, two: np.ndarray, iou: float = 0.95) -> float:
    """F1 at an IoU."""
    found = len(matched_pairs(one, two, iou)[0])
    return 2 * found / (len(np.unique(one)) + len(np.unique(two)) - 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, small_model: Path) -> Path:
    """An image that is not worth blocks, and a model that finds its cells."""
    made = tmp_path_factory.mktemp("slide")
    large = tissue((200, 270), 2, seed=3)
    write_tiff(made / "a.tif", large.image.channels, "CYX", pixel_size=(0.5, 0.5), pixel_unit="µm")
    shutil.copy(small_model, made / "m.impartial")
    return made


def job_of(folder: Path, name: str, **settings: Any) -> Job:
    image, model = folder / "a.tif", folder / "m.impartial"
    return Job(
        (str(image),), state_of(image), None, 0, (0, 1), ("channel 1", "channel 2"),
        str(model), hash_of(model), ("cell",), PREDICTION,
        InstanceConfig(**settings), SuggestionConfig(count=5), "", 64, "0.5",
        str(folder / f".{name}.ome.zarr.part"),
    )  # fmt: skip


def go(
    job: Job, folder: Path, name: str, engine_: Engine, report: Callable[[float], None] = bool
) -> Any:
    return run(job, folder / f"{name}.ome.zarr", engine_, report)


def digest(folder: Path, name: str) -> str:
    """Sum of all bytes of a result."""
    found = hashlib.sha256()
    files = sorted((folder / f"{name}.ome.zarr").rglob("*"))
    for file in [*files, folder / f"{name}_measurements.csv"]:
        if file.is_file() and file.parent.name != f"{name}.ome.zarr":
            found.update(file.read_bytes())
    return found.hexdigest()


@pytest.fixture(scope="module")
def threads() -> Iterator[Engine]:
    with engine() as found:
        # All threads begin now, before a test that would be said to leave them behind.
        found.run(time.sleep, [(0.1,)] * 16, bool)
        yield found


@pytest.fixture(scope="module")
def usual(folder: Path, threads: Engine) -> str:
    """A run that nothing happens to."""
    go(job_of(folder, "usual"), folder, "usual", threads)
    return digest(folder, "usual")


@pytest.mark.parametrize(
    "settings",
    [{}, {"grow_px": 2}, {"split": "watershed", "grow_px": 2}, {"split": "components"}],
    ids=str,
)
def test_blocks_give_what_the_whole_gives(
    settings: dict[str, Any], folder: Path, threads: Engine
) -> None:
    (image,) = read_images(folder / "a.tif")
    prediction = predict(image, load_model(folder / "m.impartial"), PREDICTION)
    expected = to_instances(prediction.foreground, InstanceConfig(**settings))
    done = go(job_of(folder, "whole", **settings), folder, "whole", threads)
    found = read_labels(done.store)
    assert expected.max() > 30
    assert same(expected, found) == 1.0
    assert (np.unique(found) == np.arange(expected.max() + 1)).all()
    maps = open_image(done.store)
    np.testing.assert_allclose(maps.array[0], prediction.probability[1], atol=1e-5)
    np.testing.assert_allclose(maps.array[1], prediction.entropy, atol=1e-5)
    assert (maps.pixel_size, maps.pixel_unit) == ((0.5, 0.5), "µm")
    doubt = prediction.cutter.doubt(InstanceConfig(**settings))
    table = measure(found, image, prediction.probability, prediction.entropy, (), doubt)
    with open(done.table, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(table)
    for name, column in table.items():
        ours = [float(row[name]) for row in rows]
        np.testing.assert_allclose(ours, column, rtol=1e-3, atol=2e-3, err_msg=name)
    places = json.loads(done.places.read_text("utf-8"))
    assert [place["rank"] for place in places] == list(range(1, len(places) + 1))
    assert all(place["image"] == "whole" for place in places)
    assert not (folder / ".whole.ome.zarr.part").exists()


def test_strokes_are_obeyed_in_blocks_as_in_the_whole(folder: Path, threads: Engine) -> None:
    (image,) = read_images(folder / "a.tif")
    truth = tissue((200, 270), 2, seed=3).truth
    drawn = simulate(truth, 0.2, np.random.default_rng(0))[0].labels
    prediction = predict(image, load_model(folder / "m.impartial"), PREDICTION)
    bare = to_instances(prediction)
    # Several are background wholly: a block's objects are not numbered without gaps then.
    drawn[np.isin(bare, np.arange(2, bare.max(), 5))] = BACKGROUND
    write_tiff(folder / "s.tif", drawn, "YX")
    expected = find_objects(prediction, InstanceConfig(), scribbles=drawn).labels
    job = replace(job_of(folder, "drawn"), scribbles=str(folder / "s.tif"))
    found = read_labels(go(job, folder, "drawn", threads).store)
    assert same(bare, expected) < 0.98
    assert np.unique(found).tolist() == list(range(found.max() + 1))
    assert same(expected, found) > 0.97


def test_an_interrupted_run_goes_on_where_it_was(folder: Path, threads: Engine, usual: str) -> None:
    job = job_of(folder, "again")

    def stop(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(job, folder, "again", threads, stop)
    marks = list((job.record / "predicted").iterdir())
    assert len(marks) > 5
    before = {mark: mark.stat().st_mtime_ns for mark in marks}
    shares: list[float] = []
    go(job, folder, "again", threads, shares.append)
    assert digest(folder, "again") == usual
    assert len(before) == len(marks)


def test_a_run_that_ends_at_its_last_step_goes_on_there(
    folder: Path, threads: Engine, usual: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(folder, "last")

    def stop(*_: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(of_run, "put_in_place", stop)
        with pytest.raises(KeyboardInterrupt):
            go(job, folder, "last", threads)
    # It was removing what it no longer needs, or about to rename the store.
    assert not job.folder.exists()
    assert not (folder / "last_measurements.csv").exists(), "it belongs to the store"
    with monkeypatch.context() as patch:
        patch.setattr(of_run, "write_table", stop)
        patch.setattr(of_run, "predict_block", stop)
        with pytest.raises(KeyboardInterrupt):
            go(job, folder, "last", threads)
    assert len(list((job.record / "predicted").iterdir())) > 5
    go(job, folder, "last", threads)
    assert digest(folder, "last") == usual
    assert not [path for path in folder.iterdir() if path.name.startswith(".last")]


@pytest.mark.parametrize(("axes", "link"), [("ZCYX", "Z"), ("TZCYX", "T"), ("TZCYX", "Z")])
def test_linked_in_blocks_as_in_memory(
    axes: str, link: str, folder: Path, tmp_path: Path, threads: Engine
) -> None:
    (image,) = read_images(folder / "a.tif")
    moved = [np.roll(image.channels, 2 * i, axis=2)[:, :110, :120] for i in range(3)]
    stack = np.stack(moved if axes == "ZCYX" else [*moved, *moved[::-1]])
    stack = stack if axes == "ZCYX" else stack.reshape(2, 3, *stack.shape[1:])
    write_tiff(tmp_path / "s.tif", stack, axes, spacing={"Z": 2.0}, pixel_size=(0.5, 0.5))
    image_file = tmp_path / "s.tif"
    apart = replace(
        job_of(folder, "linked"), paths=(str(image_file),), state=state_of(image_file),
        store=str(tmp_path / ".linked.ome.zarr.part"),
    )  # fmt: skip
    before = open_labels(go(apart, tmp_path, "linked", threads).store).array[...]
    # From the same maps.
    done = go(replace(apart, link=link), tmp_path, "linked", threads)
    assert done.n_kept == done.n_blocks
    found = open_labels(done.store)
    expected = link_along(before, (axes[:-3] if axes != "ZCYX" else "Z").index(link), link == "Z")
    assert expected.max() < 0.6 * before.max()
    np.testing.assert_array_equal(found.array[...], expected)
    assert found.spacing["Z"] == 2.0
    assert done.n_objects == expected.max()
    coarse = open_labels(done.store, 0)
    assert coarse.axes == axes.replace("C", "")
    with open(done.table, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        where = [int(row[a.lower()]) for a in axes if a in "TZ"]
        plane = expected[tuple(where)]
        assert np.count_nonzero(plane == int(row["label"])) == int(row["area_px"])
    assert (done.rows is not None) == (link == "T")
    places = json.loads(done.places.read_text("utf-8"))
    for place in places:
        where = ", ".join(f"{letter}={i}" for letter, i in place["plane"].items())
        assert place["image"] == f"linked [{where}]"
    assert len({str(place["plane"]) for place in places}) > 1


def test_a_picture_lower_than_a_block_is_sampled(folder: Path, threads: Engine) -> None:
    job = replace(job_of(folder, "low"), block_px=256)
    of_run._prepare(job, False)
    engine_blocks = [(job, *one) for one in all_blocks(job)]
    read_ranges(job, [0], threads, bool)
    threads.run(predict_block, engine_blocks, bool)
    # As of a picture that is too large to be read whole.
    found = sample(job, 0, 100)
    assert found.shape == (200, 200)
    assert (found > 0.5).any()


def test_two_runs_do_not_write_into_one_store(folder: Path, threads: Engine) -> None:
    job = job_of(folder, "locked")
    with (
        FileLock(f"{job.store}.lock"),
        pytest.raises(ImPartialError, match="Another run is writing"),
    ):
        go(job, folder, "locked", threads)


KILLING = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_slides import engine, go, job_of

if __name__ == "__main__":
    folder, killed = Path({folder!r}), []
    with engine(workers=2) as found:
        workers = list(found._client.run(os.getpid).values())

        def report(share):
            if share > 0.3 and not killed:
                os.kill(workers[0], signal.SIGKILL)
                killed.append(workers[0])

        go(job_of(folder, "killed"), folder, "killed", found, report)
    print("killed", *killed)
"""


@pytest.mark.long
@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_a_worker_that_dies_costs_its_blocks_only(folder: Path, usual: str, tmp_path: Path) -> None:
    # In a process of its own: the workers import the script that they are started from.
    script = tmp_path / "killing.py"
    tests = str(Path(__file__).parent)
    script.write_text(KILLING.format(tests=tests, folder=str(folder)), encoding="utf-8")
    source = str(Path(__file__).resolve().parents[2] / "src")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script],
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("killed ")
    assert digest(folder, "killed") == usual


def test_intensities_are_ranked_as_of_an_image_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_impartial.core.data import image as of_images
    from napari_impartial.slides import ranges as of_slides

    rng = np.random.default_rng(0)
    channels = np.zeros((3, 150, 140), np.uint16)
    channels[0] = rng.integers(0, 4000, (150, 140))
    channels[1, :3] = 900  # nearly all of it is one value
    write_tiff(tmp_path / "a.tif", channels, "CYX")
    for module in (of_images, of_slides):
        monkeypatch.setattr(module, "MOST_PIXELS_RANKED", 10_000)
    monkeypatch.setattr(of_images, "SAMPLE_PIXELS", 500)
    monkeypatch.setattr(of_slides, "SAMPLE_PIXELS", 500)
    monkeypatch.setattr(of_slides, "_PART_BYTES", 3000)
    source = open_source([tmp_path / "a.tif"])
    found = of_slides.ranges(source, 0, 1.0, 98.0)
    (image,) = read_images(tmp_path / "a.tif")
    for channel, one in zip(image.channels, found, strict=True):
        assert one == pytest.approx(of_images.intensity_range(channel), abs=1e-6)
    scaled = of_images.scale(image.channels, found)
    np.testing.assert_allclose(scaled, normalize(image), rtol=1e-5)


def test_blocks_are_predicted_outwards_from_what_is_looked_at(folder: Path) -> None:
    job = job_of(folder, "outwards")
    seen: list[np.ndarray] = []

    class Watched(Engine):
        def run(self, step: Any, arguments: Any, report: Any) -> None:
            if step is predict_block:
                for one in arguments:
                    step(*one)
                    seen.append(blocks_done(job))
            elif seen:
                raise KeyboardInterrupt
            else:
                for one in arguments:
                    step(*one)

    with pytest.raises(KeyboardInterrupt):
        run(job, folder / "outwards.ome.zarr", Watched(), bool, first=(150, 140))
    assert seen[0].shape == (4, 5)
    assert [int(done.sum()) for done in seen] == list(range(1, 21))
    assert seen[0][2, 2], "the block that the place lies in"
    assert seen[8][1:4, 1:4].all()


def test_steps_begin_in_the_order_that_is_asked_for() -> None:
    begun: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        Engine(pool=pool).run(begun.append, [(i,) for i in range(40)], bool)
    assert begun == list(range(40))


def test_a_run_rests_where_that_is_wanted(folder: Path) -> None:
    calls: list[int] = []
    with engine(rest=lambda: calls.append(1)) as found:
        go(job_of(folder, "rests"), folder, "rests", found)
    # 20 blocks: before each in each of several stages, and at each tile.
    assert len(calls) > 100
    assert (folder / "rests.ome.zarr").is_dir()


class _InterruptedWhileRead(list[tuple[int]]):
    """Arguments of a step, in the midst of which the user presses Ctrl-C."""

    def __iter__(self) -> Iterator[tuple[int]]:
        yield from self[:200]
        raise KeyboardInterrupt


def test_an_interrupt_while_steps_are_handed_in_begins_no_more_of_them() -> None:
    done: list[int] = []

    def step(number: int) -> None:
        time.sleep(0.05)
        done.append(number)

    with engine() as found, pytest.raises(KeyboardInterrupt):
        found.run(step, _InterruptedWhileRead((n,) for n in range(300)), bool)
    assert len(done) < 100
