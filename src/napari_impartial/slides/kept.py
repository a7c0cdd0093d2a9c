"""The files that steps leave for each other during a run."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_impartial.core.atomic_write import atomic_path
from napari_impartial.core.instances.object_sums import ObjectSums
from napari_impartial.core.instances.overlaps import Overlaps
from napari_impartial.core.instances.parts import Whole

from .job import Job


def place(job: Job, kind: str, plane: int, block: int, ending: str) -> Path:
    """Return the file that a step writes for a block."""
    folder = job.record if kind == "predicted" else job.folder
    return folder / kind / f"{plane}-{block}.{ending}"


def of_plane(job: Job, kind: str, plane: int, ending: str = "npz") -> Path:
    """Return the file of what is known of a plane."""
    return job.folder / kind / f"{plane}.{ending}"


def whole_of(job: Job, plane: int) -> Whole:
    """Return what the cut of a plane's parts depends on, once it is known."""
    return load_whole(of_plane(job, "whole", plane))


def save_whole(path: Path, whole: Whole) -> None:
    """Keep what the cut of a plane's parts depends on."""
    outlook = whole.outlook
    sizes = {} if outlook is None else {f"sizes{i}": s for i, s in enumerate(outlook.sizes)}
    figures = [whole.diameter, whole.gain, whole.good, *whole.radii, *whole.window]
    typical = np.nan if outlook is None else outlook.typical_area
    write_arrays(path, figures=figures, typical=typical, **sizes)


def load(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of a file."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def load_whole(path: Path) -> Whole:
    """Read what :func:`save_whole` wrote."""
    from napari_impartial.core.instances.scoring import Outlook

    file = load(path)
    diameter, gain, good, one, two, *window = file["figures"].tolist()
    typical = float(file["typical"])
    sizes = tuple(file[f"sizes{i}"] for i in range(len(file) - 2))
    outlook = None if np.isnan(typical) else Outlook(typical, sizes)
    y0, y1, x0, x1 = (int(v) for v in window)
    return Whole(diameter, gain, outlook, good, (one, two), (y0, y1, x0, x1))


def numbers_of(job: Job, plane: int) -> Mapping[str, NDArray[np.int64]]:
    """Return the final numbers of objects: where each block's begin, and what they are."""
    return load(of_plane(job, "numbers", plane))


def links_of(job: Job, plane: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the ids of a plane's objects, ascending, and the numbers of what they are part of."""
    file = load(of_plane(job, "links", plane))
    return file["ids"], file["numbers"]


def load_overlaps(job: Job, plane: int, block: int) -> tuple[NDArray[np.int64], list[Overlaps]]:
    """Return the ids of a block's objects, and their overlaps with the planes before."""
    file = load(place(job, "overlaps", plane, block, "npz"))
    gaps = range(1, 1 + sum(name.startswith("pixels") for name in file))
    names = [f.name for f in fields(Overlaps)]
    return file["ids"], [Overlaps(**{n: file[f"{n}{gap}"] for n in names}) for gap in gaps]


def load_sums(file: Path) -> tuple[ObjectSums, NDArray[np.int64]]:
    """Read the sums of a block's objects, and the ids of those that may lie in others, too."""
    arrays = load(file)
    crossing = arrays.pop("crossing")
    return ObjectSums(**arrays), crossing


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_arrays(path: Path, **arrays: Any) -> None:
    """Write arrays to one file; of labels the shape, too, which can be read by itself."""
    if "labels" in arrays:
        labels = arrays["labels"]
        small = np.uint16 if int(labels.max(initial=0)) < 1 << 16 else np.int32
        arrays |= {"labels": labels.astype(small), "shape": labels.shape}
    content = io.BytesIO()
    np.savez_compressed(content, **{name: np.asarray(value) for name, value in arrays.items()})
    write(path, content.getvalue())
