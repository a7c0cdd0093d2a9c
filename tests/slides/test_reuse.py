"""Results that are cut anew: what has been predicted is kept, and the rest is as of a fresh run."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr

from napari_impartial.core.config import InstanceConfig, PredictionConfig, SuggestionConfig
from napari_impartial.core.data.synthetic_tissue import tissue
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.network.model_card import read_card
from napari_impartial.io import write_tiff
from napari_impartial.io.ome_zarr import made_with, open_image, open_labels
from napari_impartial.io.ome_zarr_writer import Layout, write_image
from napari_impartial.slides import run as of_run
from napari_impartial.slides.engine import Engine, engine
from napari_impartial.slides.job import Job, make_job
from napari_impartial.slides.run import Outcome, run

NAME, STACK = "a.ome.zarr", "stack.ome.zarr"
PREDICTION = PredictionConfig(samples=2, precision="float32", device="cpu")
SHAPE, BLOCKS = (120, 170), 6
OWN_BLOCKS = 3
# Of strokes.
EARLIER, LATER = slice(50, 60), slice(90, 100)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, small_model: Path) -> Path:
    """An image in chunks, a stack, strokes, and a model."""
    made = tmp_path_factory.mktemp("reuse")
    large = tissue(SHAPE, 2, seed=3)
    channels = np.clip(large.image.channels, 0, 65535).astype(np.uint16)
    names = large.image.channel_names
    layout = Layout(channels.shape, "CYX", np.uint16, channel_names=names, chunk_px=64)
    write_image(made / NAME, channels, layout)
    stack = np.stack([channels, np.roll(channels, 2, 2)], axis=1)[..., :110, :120]
    layout = Layout(stack.shape, "CZYX", np.uint16, channel_names=names, chunk_px=64)
    write_image(made / STACK, stack, layout)
    for name, rows, label in (("s.tif", EARLIER, 2), ("t.tif", LATER, 1)):
        strokes = np.zeros(SHAPE, np.uint8)
        strokes[rows, 50:120] = label
        write_tiff(made / name, strokes, "YX")
    # The upper row of blocks.
    layout = Layout((2, 64, 170), "CYX", np.uint16, channel_names=names, chunk_px=64)
    write_image(made / "own" / NAME, channels[:, :64], layout)
    shutil.copy(small_model, made / "m.impartial")
    return made


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    """A smaller image, of three blocks, and a model that a test may change."""
    made = tmp_path / "own"
    shutil.copytree(folder / "own", made)
    shutil.copy(folder / "m.impartial", made)
    return made


@pytest.fixture(autouse=True)
def as_many_threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def threads() -> Iterator[Engine]:
    with engine() as found:
        found.run(time.sleep, [(0.1,)] * 16, bool)
        yield found


def job_of(
    folder: Path,
    out: Path,
    image: str = NAME,
    drawn: Path | None = None,
    link: str = "",
    version: str = "0.5",
    samples: int = 2,
    count: int = 5,
    **settings: Any,
) -> Job:
    model = folder / "m.impartial"
    return make_job(
        [folder / image], None, 0, (0, 1), model, read_card(model),
        (replace(PREDICTION, samples=samples), InstanceConfig(**settings),
         SuggestionConfig(count=count)),
        out / image, drawn, 64, version, link,
    )  # fmt: skip


def go(folder: Path, out: Path, threads: Engine, image: str = NAME, **settings: Any) -> Outcome:
    out.mkdir(exist_ok=True)
    return run(job_of(folder, out, image, **settings), out / image, threads, bool)


@pytest.fixture(scope="module")
def finished(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, threads: Engine
) -> Callable[..., Path]:
    """Return the folder of a fresh run's results, made once and not to be changed."""
    found: dict[str, Path] = {}

    def of(image: str = NAME, **settings: Any) -> Path:
        key = repr((image, sorted(settings.items())))
        if key not in found:
            out = tmp_path_factory.mktemp("finished")
            assert go(folder, out, threads, image, **settings).n_kept == 0
            found[key] = out
        return found[key]

    return of


def content(out: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}


class Stopped(Exception):
    pass


def after(step: str, count: int = 1, end: type[Exception] = Stopped) -> Callable[[Any], Engine]:
    """Make an engine that ends after so many of a step's calls."""

    class Ending(Engine):
        def __init__(self) -> None:
            super().__init__()
            self.left = count

        def run(self, function: Any, arguments: Any, report: Any) -> None:
            for one in arguments:
                # As on a worker: more threads add up in another order.
                torch.set_num_threads(1)
                function(*one)
                if function.__name__ == step:
                    self.left -= 1
                    if not self.left:
                        raise end

    return lambda _=None: Ending()


# What each has of its own: only the cut, another cut, no cut across blocks in another layout,
# only what follows the cut, no passes, strokes, and planes that are linked.
OTHERS: list[tuple[str, dict[str, Any]]] = [
    (NAME, {"threshold": 0.6}),
    (NAME, {"split": "watershed", "min_size_px": 90}),
    (NAME, {"split": "components", "version": "0.4"}),
    (NAME, {"grow_px": 2, "count": 2}),
    (NAME, {"samples": 0, "split_strength": 0.3, "sharpen": 4.0}),
    (NAME, {"drawn": "s.tif"}),
    (STACK, {"link": "Z", "threshold": 0.6}),
]


@pytest.mark.parametrize(("image", "other"), OTHERS, ids=str)
def test_a_finished_result_is_cut_anew_from_its_maps(
    image: str, other: dict[str, Any], folder: Path, tmp_path: Path, threads: Engine,
    finished: Callable[..., Path], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if "drawn" in other:
        other = {**other, "drawn": folder / other["drawn"]}
    first = {name: other[name] for name in ("version", "samples") if name in other}
    fresh, before, anew = finished(image, **other), finished(image, **first), tmp_path / "anew"
    assert content(before) != content(fresh)
    shutil.copytree(before, anew)

    def no_more(*_: Any) -> None:
        raise AssertionError("predicted again")

    monkeypatch.setattr(of_run, "predict_block", no_more)
    found = go(folder, anew, threads, image, **other)
    assert found.n_kept == found.n_blocks
    assert content(anew) == content(fresh)
    if other == {"threshold": 0.6}:
        # And back, with links of links.
        go(folder, anew, threads, image, **first)
        assert content(anew) == content(before)


@pytest.mark.parametrize("step", ["predict_block", "cut_block", "finish_block"])
def test_an_interrupted_run_keeps_what_other_settings_do_not_change(
    step: str, folder: Path, tmp_path: Path, threads: Engine, finished: Callable[..., Path]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    first, other = job_of(folder, out), job_of(folder, out, threshold=0.6)
    with pytest.raises(Stopped):
        run(first, out / NAME, after(step, 4)(None), bool)
    predicted = {p: p.stat().st_mtime_ns for p in (first.record / "predicted").iterdir()}
    assert len(predicted) == (4 if step == "predict_block" else BLOCKS)
    with pytest.raises(Stopped):
        run(other, out / NAME, after("cut_block", 3)(None), bool, resume=True)
    for mark, time_ in predicted.items():
        assert mark.stat().st_mtime_ns == time_
    with pytest.raises(ImPartialError, match="interrupted run with another image, model or"):
        run(job_of(folder, out, samples=3), out / NAME, threads, bool, resume=True)
    assert run(other, out / NAME, threads, bool, resume=True).n_kept == BLOCKS
    assert content(out) == content(finished(threshold=0.6))


def test_growing_and_suggestions_do_not_ask_for_another_cut(
    folder: Path, tmp_path: Path, threads: Engine, finished: Callable[..., Path]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(Stopped):
        run(job_of(folder, out), out / NAME, after("finish_block", 4)(None), bool)
    job = job_of(folder, out, grow_px=2, count=2)
    cut = {p: p.stat().st_mtime_ns for p in (job.folder / "cut").iterdir()}
    assert len(cut) == BLOCKS
    with pytest.raises(Stopped):
        run(job, out / NAME, after("finish_block", 1)(None), bool)
    assert cut == {p: p.stat().st_mtime_ns for p in (job.folder / "cut").iterdir()}
    run(job, out / NAME, threads, bool)
    assert content(out) == content(finished(grow_px=2, count=2))


def test_settings_without_effect_do_not_matter(folder: Path, tmp_path: Path) -> None:
    job = job_of(folder, tmp_path, split="components", samples=0)
    same = replace(
        job,
        store=str(tmp_path / "elsewhere"),
        axes="CYX",
        model=str(tmp_path / "copy.impartial"),
        prediction=replace(job.prediction, seed=7, reconstruction=True),
        instances=replace(job.instances, split_strength=0.1, sharpen=2.0),
    )
    assert job.keys() == same.keys()
    for other, kept in (
        (replace(job, block_px=128), ()),
        (replace(job, model_hash="1"), ()),
        (replace(job, prediction=replace(job.prediction, samples=1)), ()),
        (replace(job, scribbles_state="1"), ("maps",)),
        (replace(job, instances=replace(job.instances, grow_px=1)), ("maps", "cut")),
        (replace(job, link="Z"), ("maps", "cut")),
    ):
        alike = [stage for stage, key in job.keys().items() if other.keys()[stage] == key]
        assert tuple(alike) == kept


@pytest.mark.parametrize(("kind", "whole"), [("tif", False), ("zarr", False), ("tif", True)])
def test_other_strokes_in_the_same_file_are_noticed(
    kind: str, whole: bool, folder: Path, tmp_path: Path, threads: Engine,
    finished: Callable[..., Path],
) -> None:  # fmt: skip
    strokes = np.zeros(SHAPE, np.uint8)
    layout = Layout(strokes.shape, "YX", np.uint8, chunk_px=64)
    drawn, out = tmp_path / ("s.tif" if kind == "tif" else "s.ome.zarr"), tmp_path / "out"

    def draw(rows: slice) -> None:
        strokes[:] = 0
        strokes[rows, 50:120] = 1
        if kind == "tif":
            write_tiff(drawn, strokes, "YX")
        elif drawn.exists():
            # As a program does that goes on drawing: the metadata stays as it was.
            zarr.open_group(str(drawn), mode="r+")["0"][...] = strokes
        else:
            write_image(drawn, strokes, layout)

    draw(EARLIER)
    shutil.copytree(finished(), out)
    if whole:
        go(folder, out, threads, drawn=drawn)
    else:
        with pytest.raises(Stopped):
            run(job_of(folder, out, drawn=drawn), out / NAME, after("finish_block", 5)(None), bool)
    draw(LATER)
    assert go(folder, out, threads, drawn=drawn).n_kept == BLOCKS
    fresh = finished(drawn=folder / "t.tif")
    found, expected = open_labels(out / NAME).array[...], open_labels(fresh / NAME).array[...]
    np.testing.assert_array_equal(found, expected)
    assert found[92:98, 60:110].max() == 0


def test_half_written_chunks_of_an_interrupted_run_are_removed(
    folder: Path, tmp_path: Path, threads: Engine, finished: Callable[..., Path]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    job = job_of(folder, out)
    with pytest.raises(Stopped):
        run(job, out / NAME, after("predict_block", 2)(None), bool)
    left = Path(job.store) / "0" / "c" / "0" / "0" / "1.e12739f4a8484a72acb746f393323196.partial"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.touch()
    assert go(folder, out, threads).n_kept > 0
    assert content(out) == content(finished())


def _damage_chunk(store: Path) -> None:
    (store / "0" / "c" / "0" / "1" / "2").write_bytes(b"no chunk")


def _remove_chunk(store: Path) -> None:
    (store / "0" / "c" / "1" / "0" / "0").unlink()


def _damage_information(store: Path) -> None:
    (store / "_maps" / "information.zarr" / "c" / "0" / "1").write_bytes(b"")


def _change_counts(store: Path) -> None:
    mark = store / "_maps" / "predicted" / "0-2.json"
    noted = json.loads(mark.read_text("utf-8"))
    noted["foreground"][50] += 1
    mark.write_text(json.dumps(noted), "utf-8")


def _damage_mark(store: Path) -> None:
    (store / "_maps" / "predicted" / "0-4.json").write_bytes(b"[]")


def _damage_key(store: Path) -> None:
    (store / "_maps" / "key.json").write_bytes(b"\xff{")


def _damage_made(store: Path) -> None:
    (store / "_maps" / "made.json").write_bytes(b"3")


def _remove_record(store: Path) -> None:
    shutil.rmtree(store / "_maps")


# Each of the first is of another block.
OF_BLOCKS = (_damage_chunk, _remove_chunk, _damage_information, _change_counts, _damage_mark)


@pytest.mark.parametrize(
    ("damages", "kept"),
    [
        (OF_BLOCKS, BLOCKS - len(OF_BLOCKS)),
        ((_damage_key,), 0),
        ((_damage_made,), 0),
        ((_remove_record,), 0),
    ],
    ids=("blocks", "key", "made", "record"),
)
def test_what_is_not_as_it_was_is_predicted_anew(
    damages: tuple[Callable[[Path], None], ...], kept: int, folder: Path, tmp_path: Path,
    threads: Engine, finished: Callable[..., Path],
) -> None:  # fmt: skip
    out = tmp_path / "out"
    shutil.copytree(finished(), out)
    for damage in damages:
        damage(out / NAME)
    assert go(folder, out, threads, threshold=0.6).n_kept == kept
    assert content(out) == content(finished(threshold=0.6))


def test_maps_of_another_image_or_model_are_not_kept(
    folder: Path, own: Path, tmp_path: Path, threads: Engine
) -> None:
    out = tmp_path / "out"
    go(own, out, threads)
    shutil.copy(folder / "m.impartial", own)  # of another time, but the same
    assert go(own, out, threads).n_kept == OWN_BLOCKS
    # What was missing has come: nothing but a chunk tells.
    chunk = own / NAME / "0" / "c" / "1" / "0" / "1"
    kept = chunk.read_bytes()
    chunk.unlink()
    assert go(own, out, threads).n_kept == 0
    chunk.write_bytes(kept)
    assert go(own, out, threads).n_kept == 0
    assert go(own, out, threads).n_kept == OWN_BLOCKS
    assert go(own, out, threads, samples=3).n_kept == 0
    # Labels that somebody keeps in the image's store are not the image.
    (own / NAME / "labels").mkdir()
    (own / NAME / "labels" / "new").write_bytes(b"1")
    assert go(own, out, threads, samples=3, threshold=0.6).n_kept == OWN_BLOCKS
    # Moved, with all that is in it.
    shutil.copytree(out, tmp_path / "moved")
    assert go(own, tmp_path / "moved", threads, samples=3).n_kept == OWN_BLOCKS


def test_an_image_that_changes_during_a_run_is_not_the_same_afterwards(
    own: Path, tmp_path: Path, threads: Engine
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(Stopped):
        run(job_of(own, out), out / NAME, after("predict_block", 1)(None), bool)
    (own / NAME / "0" / "c" / "1" / "0" / "1").touch()
    with pytest.raises(ImPartialError, match="another image"):
        run(job_of(own, out), out / NAME, threads, bool, resume=True)
    assert go(own, out, threads).n_kept == 0
    assert go(own, out, threads).n_kept == OWN_BLOCKS


def test_an_image_that_is_mended_after_a_fault_is_gone_on_with(
    own: Path, tmp_path: Path, threads: Engine
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(Stopped):
        run(job_of(own, out), out / NAME, after("predict_block", 1)(None), bool)
    with pytest.raises(ImPartialError):
        run(job_of(own, out), out / NAME, after("predict_block", 1, ImPartialError)(None), bool)
    (own / NAME / "0" / "c" / "1" / "0" / "1").touch()
    assert go(own, out, threads).n_kept == 2, "an interrupted run goes on"
    assert go(own, out, threads).n_kept == 0, "and its maps are not those of one image"


@pytest.mark.parametrize("step", ["adopt_block", "predict_block", "cut_block", "put_in_place"])
def test_the_earlier_result_stays_whole_until_the_new_one_is_there(
    step: str, folder: Path, tmp_path: Path, threads: Engine, finished: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def stop(*_: Path) -> None:
        raise Stopped

    out = tmp_path / "out"
    shutil.copytree(finished(), out)
    if step == "predict_block":
        (out / NAME / "_maps" / "predicted" / "0-4.json").unlink()
    before = content(out / NAME)
    with monkeypatch.context() as patch:
        if step == "put_in_place":
            patch.setattr(of_run, step, stop)
        with pytest.raises(Stopped):
            run(job_of(folder, out, threshold=0.6), out / NAME, after(step, 1)(None), bool)
    assert content(out / NAME) == before
    part = job_of(folder, out)
    linked = part.record.parent / "0" / "c" / "0" / "0" / "0"
    assert linked.stat().st_nlink == 2, "no room is taken"
    if step != "cut_block":
        return
    # The same store is predicted into, and a block of which no mark was made is among its links.
    for mark in (part.record / "predicted").iterdir():
        mark.unlink()
    shutil.rmtree(out / NAME / "_maps")
    before = content(out / NAME)
    with pytest.raises(Stopped):
        run(part, out / NAME, after("finish_block", BLOCKS)(None), bool)
    assert content(out / NAME) == before
    go(folder, out, threads, samples=3)
    assert content(out) == content(finished(samples=3))


def test_where_there_are_no_links_maps_are_copied(
    folder: Path, tmp_path: Path, threads: Engine, finished: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    link = os.link

    def refuse(there: Path, here: Path) -> None:
        if out / NAME in Path(there).parents:
            raise OSError(1, "not permitted")
        link(there, here)

    out = tmp_path / "out"
    shutil.copytree(finished(), out)
    monkeypatch.setattr(os, "link", refuse)
    assert go(folder, out, threads, threshold=0.6).n_kept == BLOCKS
    assert content(out) == content(finished(threshold=0.6))

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    before = content(out / NAME)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        with pytest.raises(ImPartialError, match="no space left"):
            go(folder, out, threads)
    assert content(out / NAME) == before
    assert go(folder, out, threads).n_kept == BLOCKS


def test_progress_says_what_is_kept(
    folder: Path, tmp_path: Path, threads: Engine, finished: Callable[..., Path]
) -> None:
    told: list[str] = []
    shares: list[float] = []
    shutil.copytree(finished(), tmp_path / "out")
    job = job_of(folder, tmp_path / "out", threshold=0.6)
    run(job, tmp_path / "out" / NAME, threads, shares.append, tell=told.append)
    assert told[0] == "keeping the maps of the earlier result"
    assert "predicting" not in told
    assert shares == sorted(shares)
    assert shares[0] < 0.1
    assert shares[-1] == pytest.approx(1.0)


def test_a_result_says_what_it_was_made_with(folder: Path, finished: Callable[..., Path]) -> None:
    store = finished(threshold=0.6) / NAME
    made = made_with(store)
    assert made is not None
    assert made["instances"]["threshold"] == 0.6
    assert open_image(store).channel_names == ("probability", "uncertainty")
    assert made_with(folder / NAME) is None
    # Who lists what is in the store (warnings are errors) finds nothing strange.
    names = [name for name, _ in zarr.open_group(str(store), mode="r").members()]
    assert {"0", "labels", "_maps"} <= set(names)
