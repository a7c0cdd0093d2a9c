"""Predicts an image of any size into an OME-Zarr store, and goes on where it was."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from napari_impartial.core.atomic_write import reason
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.linking import Linker
from napari_impartial.core.instances.overlaps import join_overlaps
from napari_impartial.core.instances.parts import look_at_whole
from napari_impartial.core.instances.seams import ROUNDS
from napari_impartial.io.object_files import files_beside
from napari_impartial.io.ome_zarr import is_zarr
from napari_impartial.io.ome_zarr_writer import (
    CHUNK_PX,
    create,
    create_labels,
    put_in_place,
    regions,
)

from .engine import Engine
from .job import (
    Job,
    all_blocks,
    blocks_of,
    create_record,
    cut_labels,
    layouts,
    only_one,
    source_of,
)
from .kept import load_overlaps, numbers_of, of_plane, place, save_whole, write, write_arrays
from .ranges import read_ranges
from .reuse import (
    adopt_block,
    earlier_result,
    is_another_image,
    note_failed,
    note_made,
    read_text,
)
from .steps import (
    compare_block,
    cut_block,
    finish_block,
    joined,
    predict_block,
    rename_block,
    sample,
    shrink,
)
from .tables import read_rows, write_places, write_table

SAMPLE_PX = 1 << 23
"""Up to so many pixels, what the cut depends on is read from the whole picture."""

# What each stage writes into the run's folder (:meth:`.job.Job.keys` says what it depends on), what
# tells that a step is done first: should its removal be cut short, nothing is taken for done.
_WRITTEN = {
    "maps": ("ranges",),
    "cut": ("numbers", "whole", "cut"),
    "finish": ("measured", "places", "cut_labels.zarr"),
    "link": ("links", "overlaps"),
}

# How a run's time is divided among its stages, for the progress bar, and what they are called.
_STAGES = {
    "keep": (0.02, "keeping the maps of the earlier result"),
    "read": (0.01, "reading how bright it is"),
    "predict": (0.74, "predicting"),
    "cut": (0.13, "cutting"),
    "finish": (0.08, "measuring"),
    "link": (0.02, "linking"),
    "shrink": (0.02, "making coarser levels"),
}


@dataclass(frozen=True)
class Outcome:
    """Outcome of a run.

    Attributes
    ----------
    store, table, places : Path
        The OME-Zarr store, the measurements and the suggestions.
    n_objects : int
    area_px : int
        Of all objects.
    classes : tuple of int
        Objects of each foreground class.
    n_places : int
    n_clipped : int
        Objects that are larger than what is looked at at once, and were cut.
    n_blocks, n_kept : int
        Blocks, and how many of them had been predicted before, by a run that was interrupted or for
        an earlier result.
    rows : dict of str to array or None
        Of objects that were linked through time, where each is (:func:`.tables.read_rows`).
    """

    store: Path
    table: Path
    places: Path
    n_objects: int
    area_px: int
    classes: tuple[int, ...]
    n_places: int
    n_clipped: int
    n_blocks: int
    n_kept: int
    rows: dict[str, NDArray[Any]] | None = None


def run(
    job: Job,
    result: Path,
    engine: Engine,
    report: Callable[[float], None],
    resume: bool = False,
    first: tuple[float, float] | None = None,
    tell: Callable[[str], object] = str,
) -> Outcome:
    """Predict an image into a store.

    What an interrupted run has done is gone on from, and what has been predicted for an earlier
    result at this place is not predicted again: with other settings of the cut, only the cut is
    made anew.

    Parameters
    ----------
    job : Job
    result : Path
        Where the store is put when it is whole; the table and the suggestions lie beside it.
    engine : Engine
    report : callable
        Gets the share done, 0 to 1.
    resume : bool
        Refuse to throw away what an interrupted run has predicted.
    first : (float, float), optional
        Row and column that blocks are predicted from outwards.
    tell : callable, optional
        Gets a few words on each stage as it begins.

    Raises
    ------
    ImPartialError
        If another run is at it, or something cannot be read or written. What was finished is
        kept, and gone on with next time.
    """
    if result.exists() and not is_zarr(result):
        raise ImPartialError(
            f"{result} exists and is no zarr store; move it or choose another --out."
        )
    busy = (
        f"Another run is writing {job.store}, or its objects are being exported; wait for that, or "
        "choose another --out."
    )
    with only_one(Path(job.store), busy):
        try:
            _prepare(job, resume)
            try:
                return _run(job, result, engine, _Stages(report, tell), first)
            except ImPartialError:
                note_failed(job)
                raise
        except OSError as error:
            if error.errno is None:  # of a connection, say
                raise
            raise ImPartialError(
                f"Cannot write {result}: {reason(error)}; mend that and give the same command "
                "again, which goes on where it was."
            ) from error


def _run(
    job: Job,
    result: Path,
    engine: Engine,
    stage: _Stages,
    first: tuple[float, float] | None,
) -> Outcome:
    store = Path(job.store)
    n_planes = source_of(job).n_planes
    everything = list(all_blocks(job))
    missing = _left(job, "predicted", _outwards(job, everything, first), "json")
    earlier = earlier_result(job, result) if missing else None
    if earlier is not None:
        stage.expect("keep", 1.0)
        stage.expect("read", 0.0)
        stage.expect("predict", 0.0)
        keep = [(*step, str(earlier)) for step in missing]
        engine.run(adopt_block, keep, stage.of("keep"))
        missing = _left(job, "predicted", [one[1:] for one in missing], "json")
    n_kept = len(everything) - len(missing)
    stage.expect("read", float(bool(missing)))
    stage.expect("link", float(bool(job.link)))
    stage.expect("shrink", float(len(layouts(job)[0].shapes) > 1))
    stage.expect("predict", len(missing) / len(everything))
    if missing:
        planes = sorted({plane for _, plane, _ in missing})
        read_ranges(job, planes, engine, stage.of("read"))
        engine.run(predict_block, missing, stage.of("predict"))
    stage.begin("cut")
    for plane in range(n_planes):
        file = of_plane(job, "whole", plane)
        if not file.exists():
            save_whole(file, look_at_whole(sample(job, plane, SAMPLE_PX), job.instances))
    blocks = blocks_of(job)
    for number in range(ROUNDS):
        mine = [one for one in everything if blocks.round_of(one[1]) == number]
        engine.run(cut_block, _left(job, "cut", mine), stage.of("cut", number, ROUNDS))
    before = 0
    for plane in range(n_planes):
        before = _number(job, plane, before)
    engine.run(finish_block, _left(job, "measured", everything), stage.of("finish"))
    if job.link:
        engine.run(compare_block, _left(job, "overlaps", everything), stage.of("link", 0, 2))
        _link(job)
        every = [(job, *one) for one in everything]
        engine.run(rename_block, every, stage.of("link", 1, 2))
    _pyramids(job, engine, stage)
    table, places = files_beside(result)
    # Beside an earlier store, the earlier files stay as long as that does.
    count, area, classes = write_table(job, job.folder / table.name)
    tracks = read_rows(job.folder / table.name) if job.link == "T" else None
    n_places = write_places(job, job.folder / places.name)
    n_clipped = sum(_clipped(place(job, "cut", plane, block, "npz")) for plane, block in everything)
    # Removing it takes a while, in which it would be neither whole nor gone.
    aside = _aside(store)
    job.folder.rename(aside)
    put_in_place(store, result)
    for path in (table, places):
        (aside / path.name).replace(path)
    shutil.rmtree(aside, ignore_errors=True)
    return Outcome(
        result,
        table,
        places,
        count,
        area,
        classes,
        n_places,
        n_clipped,
        len(everything),
        n_kept,
        tracks,
    )


def blocks_done(job: Job) -> NDArray[np.bool_]:
    """Return which blocks are predicted, (rows, columns) of blocks, in all planes."""
    blocks = blocks_of(job)
    n_planes = source_of(job).n_planes
    done = np.zeros((n_planes, len(blocks)), bool)
    for file in (job.record / "predicted").glob("*-*.json"):
        plane, _, block = file.stem.partition("-")
        if plane.isdecimal() and block.isdecimal():
            done[int(plane), int(block)] = True
    return np.asarray(done.all(axis=0).reshape(blocks.counts))


def _outwards(
    job: Job, everything: list[tuple[int, int]], first: tuple[float, float] | None
) -> list[tuple[int, int]]:
    """Order blocks by how far they are from a place."""
    if first is None:
        return everything
    blocks, (y, x) = blocks_of(job), first

    def distance(one: tuple[int, int]) -> float:
        rows, cols = blocks.core(one[1])
        away = (rows.start + rows.stop) / 2 - y, (cols.start + cols.stop) / 2 - x
        return away[0] ** 2 + away[1] ** 2

    return sorted(everything, key=distance)


def _left(
    job: Job, kind: str, some: list[tuple[int, int]], ending: str = "npz"
) -> list[tuple[Job, int, int]]:
    """Return the steps, for some blocks, that are not done yet: whose files are not there."""
    return [(job, *one) for one in some if not place(job, kind, *one, ending).exists()]


class _Stages:
    """Turns the progress of a stage into that of the run, and says which it is."""

    def __init__(self, report: Callable[[float], None], tell: Callable[[str], object]) -> None:
        self._report, self._tell = report, tell
        self._shares = {name: share for name, (share, _) in _STAGES.items()} | {"keep": 0.0}
        self._told, self._done = "", 0.0

    def expect(self, name: str, share: float) -> None:
        """Say that only a share of a stage, 0 to 1, is left to do."""
        self._shares[name] = share * _STAGES[name][0]

    def begin(self, name: str) -> None:
        """Say that a stage begins."""
        if name != self._told:
            self._told = name
            self._tell(_STAGES[name][1])

    def of(self, name: str, part: int = 0, parts: int = 1) -> Callable[[float], None]:
        """Return what reports a stage's progress, or that of a part of it."""
        self.begin(name)
        names = list(self._shares)
        whole = sum(self._shares.values())
        begin = sum(self._shares[n] for n in names[: names.index(name)]) / whole
        share = self._shares[name] / whole / parts

        def report(done: float) -> None:
            # What is expected may change on the way.
            self._done = max(self._done, begin + share * (part + done))
            self._report(self._done)

        return report


def _aside(store: Path) -> Path:
    """Return where what is needed during a run is put before the store is put in place."""
    return store.with_name(f"{store.name}.run")


def _prepare(job: Job, resume: bool) -> None:
    """Make the store, or find that it is there already from a run that was interrupted."""
    store, keys = Path(job.store), job.keys()
    aside = _aside(store)
    if aside.exists():
        if store.exists() and not job.folder.exists():
            aside.rename(job.folder)  # the run was ended at its last step
        else:
            shutil.rmtree(aside)
    key = job.record / "key.json"
    if read_text(key) != keys["maps"] or is_another_image(job):
        # An earlier version of the program had the marks in the run's folder.
        marks = (folder / "predicted" for folder in (job.record, job.folder))
        if resume and any(file for folder in marks for file in folder.glob("*.json")):
            raise ImPartialError(
                f"{store} is of an interrupted run with another image, model or settings of the "
                "prediction; give the same, or leave out --resume to begin anew."
            )
        shutil.rmtree(store, ignore_errors=True)
        maps, labels = layouts(job)
        create(store, maps)
        create_labels(store, labels)
        create_record(job)
        write(key, keys["maps"].encode())
    # Chunks that a full disk or a kill has left half-written, by zarr's temporary names.
    for unfinished in store.rglob("*.partial"):
        unfinished.unlink(missing_ok=True)
    note_made(job)
    (job.record / "failed").unlink(missing_ok=True)
    _drop_what_differs(job, keys)
    if job.link and not (job.folder / "cut_labels.zarr" / "zarr.json").exists():
        cut_labels(job, create=True)


def _drop_what_differs(job: Job, keys: dict[str, str]) -> None:
    """Remove what an interrupted run has made with other settings; what is left is of these."""
    file = job.folder / "keys.json"
    try:
        before = json.loads(read_text(file))
    except ValueError:
        before = None
    before = before if isinstance(before, dict) else {}
    if before == keys:
        return
    for stage in reversed(_WRITTEN):
        if before.get(stage) != keys[stage]:
            for folder in (job.folder / name for name in _WRITTEN[stage]):
                if folder.exists():
                    shutil.rmtree(folder)
    write(file, json.dumps(keys).encode())


def _number(job: Job, plane: int, before: int) -> int:
    """Give numbers to a plane's objects, after those of the planes before; return the last."""
    file = of_plane(job, "numbers", plane)
    if file.exists():
        return int(numbers_of(job, plane)["bounds"][-1])
    blocks = blocks_of(job)
    counts, reach = [], 0
    for block in range(len(blocks)):
        with np.load(place(job, "cut", plane, block, "npz"), allow_pickle=False) as arrays:
            counts.append(int(arrays["count"]))
            for part, start, length in zip(
                blocks.core(block), arrays["corner"].tolist(), arrays["shape"].tolist(), strict=True
            ):
                over = max(part.start - start, start + length - part.stop) if length else 0
                reach = max(reach, -(-over // blocks.side))
    first = np.concatenate([[0], np.cumsum(counts)])
    if not joined(job):
        bounds = first + before
        write_arrays(file, first=bounds[:-1], bounds=bounds, reach=reach)
        return int(bounds[-1])
    ids = _joined(job, plane, first)
    ids[ids > 0] += before
    greatest = [ids[a:b].max(initial=before) for a, b in itertools.pairwise(first)]
    bounds = np.maximum.accumulate([before, *greatest])
    write_arrays(file, first=first, ids=ids, bounds=bounds, reach=0)
    return int(bounds[-1])


def _link(job: Job) -> None:
    """Give the same number to what is one object in planes that follow each other."""
    source, n_blocks = source_of(job), len(blocks_of(job))
    axis = source.stack_axes.index(job.link)
    planes = np.moveaxis(np.arange(source.n_planes).reshape(source.stack_shape), axis, -1)
    last = 0
    for series in planes.reshape(-1, planes.shape[-1]).tolist():
        linker = Linker(depth=job.link == "Z")
        ids = []
        for plane in series:
            parts = [load_overlaps(job, plane, block) for block in range(n_blocks)]
            ids.append(np.unique(np.concatenate([found for found, _ in parts])).astype(np.int64))
            before = zip(*(overlaps for _, overlaps in parts), strict=True)
            linker.add(ids[-1], [join_overlaps(some) for some in before])
        found = linker.numbers()
        for plane, own, numbers in zip(series, ids, found, strict=True):
            write_arrays(of_plane(job, "links", plane), ids=own, numbers=numbers + last)
        last += max(int(numbers.max(initial=0)) for numbers in found)


def _clipped(file: Path) -> int:
    with np.load(file, allow_pickle=False) as arrays:
        return int(arrays["clipped"]) if "clipped" in arrays else 0


def _joined(job: Job, plane: int, first: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Join components that touch across the borders of blocks, and drop the small ones.

    Returns
    -------
    (N,) int64
        The number of each component of each block, 0 for those that are dropped.
    """
    blocks = blocks_of(job)
    n = int(first[-1])
    areas = np.zeros(n, np.int64)
    pairs = [np.zeros((2, 0), np.int64)]
    n_cols = blocks.counts[1]
    above: dict[int, Any] = {}
    for block in range(len(blocks)):
        with np.load(place(job, "cut", plane, block, "npz"), allow_pickle=False) as arrays:
            edges = {name: arrays[name].astype(np.int64) for name in ("top", "left")}
            ends = {name: arrays[name].astype(np.int64) for name in ("bottom", "right")}
            areas[first[block] : first[block + 1]] = arrays["areas"]
        for edge, end, other, there in (
            (edges["top"], "bottom", block - n_cols, block >= n_cols),
            (edges["left"], "right", block - 1, block % n_cols > 0),
        ):
            if there:
                theirs = above[other][end]
                both = (edge > 0) & (theirs > 0)
                pairs.append(
                    np.stack([edge[both] - 1 + first[block], theirs[both] - 1 + first[other]])
                )
        above[block] = ends
        above.pop(block - n_cols - 1, None)
    one, two = np.concatenate(pairs, axis=1)
    graph = sparse.coo_matrix((np.ones(len(one), np.int8), (one, two)), shape=(n, n))
    _, root = csgraph.connected_components(graph, directed=False)
    size = np.bincount(root, areas, int(root.max(initial=-1)) + 1)
    kept = size >= max(job.instances.min_size_px, 1)
    number = np.where(kept, np.cumsum(kept), 0)
    return np.asarray(number[root] if n else np.zeros(0, np.int64), dtype=np.int64)


def _pyramids(job: Job, engine: Engine, stage: _Stages) -> None:
    """Write the coarser levels; quick enough to be done again."""
    shapes = [layout.shapes for layout in layouts(job)]
    n_levels = len(shapes[0])
    for level in range(1, n_levels):
        engine.run(
            shrink,
            [
                (job, level, which == 0, region)
                for which in (0, 1)
                for region in regions(shapes[which][level], 2 * CHUNK_PX)
            ],
            stage.of("shrink", level - 1, n_levels - 1),
        )
