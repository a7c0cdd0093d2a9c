"""The table of all objects and the list of places to look at, put together from the blocks'."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_impartial.core.atomic_write import atomic_path
from napari_impartial.core.instances.measurements import csv_rows, to_table
from napari_impartial.core.instances.object_sums import ObjectSums, join
from napari_impartial.core.prediction.suggestions import (
    SEPARATION,
    Suggestion,
    box_side,
    rank_all,
)

from .job import Job, blocks_of, source_of
from .kept import links_of, load_sums, numbers_of, place


def write_table(job: Job, path: Path) -> tuple[int, int, tuple[int, ...]]:
    """Write a row for each object, in the order of their numbers, block by block.

    Objects that lie in several blocks are put together first; only these are ever all in memory.

    Returns
    -------
    (int, int, tuple of int)
        How many there are (linked ones once), their pixels, and how many of each foreground class.
    """
    source = source_of(job)
    count = area = linked = 0
    classes = np.zeros(len(job.class_names), np.int64)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for plane in range(source.n_planes):
            bounds = numbers_of(job, plane)["bounds"]
            elsewhere = _elsewhere(job, plane, bounds)
            for block, (after, last) in enumerate(itertools.pairwise(bounds)):
                sums, others = _divided(job, plane, block, bounds)
                whole = sums.some(~others)
                if elsewhere is not None:
                    mine = (elsewhere.ids > after) & (elsewhere.ids <= last)
                    whole = join([whole, elsewhere.some(mine)])
                table = to_table(whole, job.channel_names, job.class_names)
                if job.link:
                    ids, numbers = links_of(job, plane)
                    table["label"] = numbers[np.searchsorted(ids, table["label"])]
                    linked = max(linked, int(table["label"].max(initial=0)))
                table = {
                    **{a: np.full(len(whole), i) for a, i in source.position(plane).items()},
                    **table,
                }
                if plane == block == 0:
                    writer.writerow(table)
                writer.writerows(csv_rows(table))
                count += len(whole)
                area += int(whole.area.sum())
                classes += np.bincount(table["class"].astype(int) - 1, minlength=len(classes))
    return linked if job.link else count, area, tuple(classes.tolist())


def read_rows(path: Path) -> dict[str, NDArray[Any]]:
    """Return, from a table that :func:`write_table` has written, which objects are where."""
    names = ("label", "t", "z", "centroid_y", "centroid_x")
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        header = next(rows)
        picked = [header.index(name) for name in names if name in header]
        found = np.array([[float(row[i]) for i in picked] for row in rows]).reshape(-1, len(picked))
    return {
        header[i]: column if header[i].startswith("centroid") else column.astype(np.int64)
        for i, column in zip(picked, found.T, strict=True)
    }


def _divided(
    job: Job, plane: int, block: int, bounds: NDArray[np.int64]
) -> tuple[ObjectSums, NDArray[np.bool_]]:
    """Return the sums of a block, and which are of objects that lie, or are numbered, elsewhere."""
    sums, at_edges = load_sums(place(job, "measured", plane, block, "npz"))
    own = (sums.ids > bounds[block]) & (sums.ids <= bounds[block + 1])
    return sums, np.asarray(~own | np.isin(sums.ids, at_edges))


def _elsewhere(job: Job, plane: int, bounds: NDArray[np.int64]) -> ObjectSums | None:
    """Return the sums of all objects of a plane that do not lie in one block alone."""
    parts = []
    for block in range(len(bounds) - 1):
        sums, others = _divided(job, plane, block, bounds)
        parts.append(sums.some(others))
    return join(parts) if any(len(part) for part in parts) else None


def write_places(job: Job, path: Path) -> int:
    """Write the best places of all blocks, apart from each other, and return how many."""
    source = source_of(job)
    apart = SEPARATION * box_side(job.suggestions.box_px, source.shape)
    planes = []
    positions = {}
    for plane in range(source.n_planes):
        found: list[dict[str, Any]] = []
        for block in range(len(blocks_of(job))):
            found += json.loads(place(job, "places", plane, block, "json").read_text("utf-8"))
        found.sort(key=lambda s: (-s["score"], s["y"], s["x"]))
        chosen: list[Suggestion] = []
        for one in found:
            near = any(
                max(abs(one["y"] - other.y), abs(one["x"] - other.x)) < apart for other in chosen
            )
            if not near and len(chosen) < job.suggestions.count:
                where = ", ".join(f"{a}={i}" for a, i in source.position(plane).items())
                name = path.name.removesuffix("_suggestions.json")
                one |= {
                    "rank": len(chosen) + 1,
                    "box": tuple(one["box"]),
                    "image": f"{name} [{where}]" if where else name,
                }
                positions[one["image"]] = source.position(plane)
                chosen.append(Suggestion(**one))
        planes.append(chosen)
    ranked = [
        dataclasses.asdict(s) | ({"plane": positions[s.image]} if source.stack_axes else {})
        for s in rank_all(planes)[: job.suggestions.count]
    ]
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(ranked, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return len(ranked)
