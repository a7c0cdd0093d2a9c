"""Writes the objects of a slide for other programs, with decisions about them, block by block.

Nothing is changed of the results themselves. What is written has a temporary name until it is
whole, so that whoever does not want it any more ends the process.
"""

from __future__ import annotations

import csv
import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from napari_impartial.core.atomic_write import atomic_folder, atomic_path, reason
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.review.review import Verdict
from napari_impartial.io.lazy import LazyArray
from napari_impartial.io.ome_zarr import is_zarr, open_labels
from napari_impartial.io.ome_zarr_writer import (
    CHUNK_PX,
    VERSIONS,
    Layout,
    create,
    regions,
    write_coarser,
)
from napari_impartial.io.outlines import Outline, trace, write_features

from .job import only_one, part_of

VERDICT = "review"
"""Column of the decisions in a table."""

# So many objects that follow each other, which lie close together, are read at once, unless the
# area round them is larger than that.
_OBJECTS_AT_ONCE, _MOST_PX = 2000, 1 << 24
_BOX = ("bbox_y0", "bbox_x0", "bbox_y1", "bbox_x1")

Report = Callable[[float], None]


@dataclass(frozen=True)
class Results:
    """Results of a slide on disk, and what was decided about them.

    Attributes
    ----------
    store, table, places : Path
        As of :class:`.run.Outcome`.
    verdicts : mapping of int to str
        Words for what was decided, by the objects' numbers; those that were rejected are left
        out of all that is written.
    factor : (float, float)
        Height and width of a pixel in those of the slide's finest resolution, in which other
        programs have their outlines.
    """

    store: Path
    table: Path
    places: Path
    verdicts: Mapping[int, str] = field(default_factory=dict)
    factor: tuple[float, float] = (1.0, 1.0)

    def is_left(self, label: int) -> bool:
        """Return whether an object was not rejected."""
        return self.verdicts.get(label) != Verdict.REJECTED


def export(results: Results, targets: Mapping[str, Path], report: Report) -> None:
    """Write objects, each file or store whole or not at all.

    Parameters
    ----------
    results : Results
    targets : mapping of str to Path
        Where to, by kind: ``instances`` (an OME-Zarr store), ``outlines`` (GeoJSON),
        ``measurements`` (a table) and ``suggestions``.
    report : callable
        Gets the share done, 0 to 1.

    Raises
    ------
    ImPartialError
        If something cannot be read or written, or would be written over the results.
    """
    own = {path.resolve() for path in (results.store, results.table, results.places)}
    for path in targets.values():
        if path.resolve() in own or path.resolve().is_relative_to(results.store.resolve()):
            raise ImPartialError(
                f"{path} belongs to the results that are read; choose another name."
            )
    writers: dict[str, Callable[[Results, Path, Report], object]] = {
        "measurements": _write_table,
        "suggestions": _write_places,
        "instances": _write_labels,
        "outlines": _write_outlines,
    }
    wanted = [kind for kind in writers if kind in targets]
    with _kept_as_it_is(results.store):
        for number, kind in enumerate(wanted):

            def told(share: float, number: int = number) -> None:
                report((number + share) / len(wanted))

            try:
                writers[kind](results, targets[kind], told)
            except OSError as error:
                raise ImPartialError(f"Cannot write {targets[kind]}: {reason(error)}.") from error


def _kept_as_it_is(store: Path) -> AbstractContextManager[None]:
    """Keep results from being made anew while they are read."""
    if not os.access(store.parent, os.W_OK):
        return nullcontext()  # nobody can
    busy = f"{store} is being predicted, or exported already; export it when that is done."
    return only_one(part_of(store), busy)


def left_out(table: Path, edited: Path) -> dict[int, str]:
    """Return verdicts on the objects of a table whose rows an edited one has no more.

    Raises
    ------
    ImPartialError
        If one of them cannot be read, or is none of objects.
    """
    there, left = (_labels_of(one) for one in (table, edited))
    if strange := left - there:
        raise ImPartialError(
            f"{edited} has object {min(strange)}, which {table} has not; they are of different "
            "runs."
        )
    return dict.fromkeys(sorted(there - left), str(Verdict.REJECTED))


def _labels_of(table: Path) -> set[int]:
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            at = next(rows).index("label")
            return {int(row[at]) for row in rows}
    except OSError as error:
        raise ImPartialError(f"{table} cannot be read: {reason(error)}.") from error
    except (ValueError, IndexError, StopIteration, csv.Error) as error:
        raise ImPartialError(f"{table} is no table of objects, or damaged.") from error


def _write_labels(results: Results, target: Path, report: Report) -> None:
    """Write the objects that are left as labels with a pyramid of their own."""
    if target.exists() and not is_zarr(target):
        raise ImPartialError(f"{target} exists and is no zarr store; choose another name.")
    found = open_labels(results.store)
    axes = found.axes or "TZYX"[-found.array.ndim :]
    layout = Layout(
        found.array.shape,
        axes,
        found.array.dtype,
        name=target.name.removesuffix(".zarr").removesuffix(".ome"),
        pixel_size=found.pixel_size,
        pixel_unit=found.pixel_unit,
        spacing=found.spacing,
        labels=True,
        alone=True,
        version=found.version if found.version in VERSIONS else VERSIONS[-1],
    )
    gone = np.array([i for i in results.verdicts if not results.is_left(i)], found.array.dtype)
    with atomic_folder(target, replace=True) as temporary:
        levels = create(temporary, layout)
        everything = list(regions(layout.shape, 4 * CHUNK_PX))
        for number, region in enumerate(everything):
            part = found.array[region]
            levels[0][region] = np.where(np.isin(part, gone), 0, part) if len(gone) else part
            report(0.8 * (number + 1) / len(everything))
        write_coarser(levels, labels=True)
    report(1.0)


def _write_table(results: Results, target: Path, report: Report) -> None:
    """Write the rows of the objects that are left, with what was decided about them."""
    some = any(map(results.is_left, results.verdicts))
    with (
        results.table.open(encoding="utf-8", newline="") as source,
        atomic_path(target) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        rows = _rows(results, source, report)
        header = next(rows)
        label = header.index("label")
        writer.writerow([*header[: label + 1], *[VERDICT] * some, *header[label + 1 :]])
        for row in rows:
            number = int(row[label])
            if results.is_left(number):
                word = [results.verdicts.get(number, "")] * some
                writer.writerow([*row[: label + 1], *word, *row[label + 1 :]])


def _write_places(results: Results, target: Path, report: Report) -> None:
    """Copy the suggestions."""
    with atomic_path(target) as temporary:
        shutil.copyfile(results.places, temporary)
    report(1.0)


def _write_outlines(results: Results, target: Path, report: Report) -> int:
    """Write an outline round each object that is left, in pixels of the finest resolution."""
    kinds: dict[tuple[tuple[int, ...], int], str] = {}
    found = open_labels(results.store)
    letters = (found.axes or "TZYX"[-found.array.ndim :])[:-2]

    def outlines() -> Iterator[Outline]:
        with results.table.open(encoding="utf-8", newline="") as source:
            rows = _rows(results, source, report)
            header = next(rows)
            numbers = [header.index(name) for name in ("label", *_BOX)]
            planes = [header.index(a.lower()) for a in letters if a.lower() in header]
            kind = header.index("class_name") if "class_name" in header else None
            while some := list(itertools.islice(rows, _OBJECTS_AT_ONCE)):
                left = [row for row in some if results.is_left(int(row[numbers[0]]))]
                kinds.clear()
                if kind is not None:
                    kinds.update(
                        ((tuple(int(row[i]) for i in planes), int(row[numbers[0]])), row[kind])
                        for row in left
                    )
                by_plane: dict[tuple[int, ...], list[list[int]]] = {}
                for row in left:
                    plane = tuple(int(row[i]) for i in planes)
                    by_plane.setdefault(plane, []).append([int(row[i]) for i in numbers])
                for plane, objects in by_plane.items():
                    yield from _traced(found.array, plane, np.array(objects), results.factor)

    return write_features(
        target, outlines(), letters, lambda one: kinds.get((one.plane, one.label), "")
    )


def _traced(
    labels: LazyArray,
    plane: tuple[int, ...],
    objects: NDArray[np.int64],
    factor: tuple[float, float],
) -> Iterator[Outline]:
    """Trace objects, rows of number and box, which are read together where they lie together."""
    y0, x0 = objects[:, 1:3].min(axis=0).tolist()
    y1, x1 = objects[:, 3:5].max(axis=0).tolist()
    if len(objects) > 1 and (y1 - y0) * (x1 - x0) > _MOST_PX:
        half = len(objects) // 2
        yield from _traced(labels, plane, objects[:half], factor)
        yield from _traced(labels, plane, objects[half:], factor)
        return
    area = labels[(*plane, slice(y0, y1), slice(x0, x1))]
    for label, top, left, bottom, right in objects.tolist():
        mask = area[top - y0 : bottom - y0, left - x0 : right - x0] == label
        if not mask.any():
            raise ImPartialError(
                f"Object {label} of the table is not among the labels: they are of different "
                "runs; predict again."
            )
        yield trace(mask, label, (top, left), plane, factor)


def _rows(results: Results, source: TextIO, report: Report) -> Iterator[list[str]]:
    """Go through the rows of a table, its header first."""
    size, read = max(results.table.stat().st_size, 1), 0
    try:
        for number, row in enumerate(csv.reader(source)):
            if not number:
                missing = [name for name in ("label", *_BOX) if name not in row]
                if missing:
                    raise ImPartialError(
                        f"{results.table} is no table of objects: it has no column '{missing[0]}'."
                    )
            read += sum(map(len, row)) + len(row)
            if number % _OBJECTS_AT_ONCE == 0:
                report(min(read / size, 1.0))
            yield row
    except (csv.Error, UnicodeDecodeError) as error:
        raise ImPartialError(f"{results.table} is damaged ({error}); predict again.") from error
