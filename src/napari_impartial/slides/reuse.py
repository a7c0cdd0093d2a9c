"""Maps of a finished result are kept for the next one, where nothing that they depend on differs.

A result holds a record: what its maps depend on, and for each block a mark with a checksum. A new
run links the files of each block into its own store, so that they take no room and the earlier
result stays whole until the new one takes its place. A block whose files are not what its mark
says is predicted anew.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_impartial.io.ome_zarr import RECORD, full_state_of, made_with

from .job import Job, at, blocks_of, information_array, level_arrays
from .kept import place, write

# Thresholds are told apart in so many steps where blocks are compared by their foreground.
_LEVELS = 100
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def adopt_block(job: Job, plane: int, block: int, earlier: str) -> None:
    """Link the maps of a block of an earlier result, if they are as its mark says."""
    mark = place(job, "predicted", plane, block, "json")
    if mark.exists():
        return
    there = Path(earlier) / RECORD / mark.relative_to(job.record)
    try:
        content = there.read_bytes()
        noted = json.loads(content)
        counts, digest = noted["foreground"], noted["digest"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    files = map_files(job, plane, block)
    for file in files:
        if not _linked(Path(earlier) / file.relative_to(job.store), file):
            return
    if _digest(files, counts) == digest:
        write(mark, content)


def write_mark(mark: Path, files: Sequence[Path], p: NDArray[np.float32]) -> None:
    """Note that a block is predicted, with a checksum and how much foreground there is.

    Parameters
    ----------
    mark : Path
    files : sequence of Path
        Of its maps.
    p : (Y, X) float32
        Probability of any foreground class.
    """
    levels = np.minimum((p.reshape(-1) * _LEVELS).astype(np.int64), _LEVELS - 1)
    counts = np.bincount(levels, minlength=_LEVELS).tolist()
    noted = {"foreground": counts, "digest": _digest(files, counts)}
    write(mark, json.dumps(noted).encode())


def foreground_px(mark: Path, threshold: float) -> int:
    """Return how many pixels of a block reach a threshold, to a hundredth of it."""
    counts = json.loads(mark.read_text("utf-8"))["foreground"]
    return sum(counts[round(threshold * _LEVELS) :])


def map_files(job: Job, plane: int, block: int) -> list[Path]:
    """Return the files that hold the maps of a block, those that need not be there included.

    Blocks are made of whole chunks. Those that hold nothing but 0 are not written.
    """
    core = blocks_of(job).core(block)
    arrays = [(Path(job.store) / "0", level_arrays(job)[0][0], at(job, plane, core, maps=True))]
    information = information_array(job)
    if information is not None:
        arrays.append((job.record / "information.zarr", information, at(job, plane, core)))
    found = []
    for folder, array, index in arrays:
        along = []
        for part, size, chunk in zip(index, array.shape, array.chunks, strict=True):
            start, stop, _ = part.indices(size) if isinstance(part, slice) else (part, part + 1, 1)
            along.append(range(start // chunk, -(-stop // chunk)))
        keys = (array.metadata.encode_chunk_key(one) for one in itertools.product(*along))
        found += [folder / key for key in keys]
    return found


def earlier_result(job: Job, result: Path) -> Path | None:
    """Return the finished store at a run's result if its maps are those that the run would make.

    What the run itself is made with has been noted (:func:`note_made`).
    """
    made, own = made_with(result) or {}, made_with(Path(job.store)) or {}
    same = read_text(result / RECORD / "key.json") == job.keys()["maps"]
    return result if same and own.get("image") and made.get("image") == own["image"] else None


def note_made(job: Job) -> None:
    """Write which image, as it is now, and which settings a result is made with.

    An image that has changed since its first blocks were predicted is never said to be the same
    again.
    """
    before = made_with(Path(job.store))
    image = _image_of(job)
    if before is not None and before.get("image") != image:
        image = []
    made = {
        "image": image,
        "model": job.model_hash,
        "instances": asdict(job.instances),
        "prediction": asdict(job.prediction),
    }
    write(job.record / "made.json", json.dumps(made).encode())


def note_failed(job: Job) -> None:
    """Note that a run was ended by a fault: what somebody mends of the image is no other image."""
    if job.record.exists():
        write(job.record / "failed", b"")


def is_another_image(job: Job) -> bool:
    """Tell whether the image is another one than that which blocks were predicted of."""
    before = (made_with(Path(job.store)) or {}).get("image")
    mended = (job.record / "failed").exists()
    return bool(before) and not mended and before != _image_of(job)


def read_text(path: Path) -> str:
    """Return what a file of the program says; "" where it cannot be read."""
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError):
        return ""


def _image_of(job: Job) -> list[str]:
    return [full_state_of(path) for path in job.paths]


def _linked(there: Path, file: Path) -> bool:
    """Link or copy a file, or remove what lies there if there is none; False if that fails."""
    file.unlink(missing_ok=True)
    if not there.exists():
        return True
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(there, file)
        return True
    except OSError:
        pass  # not every file system has links
    try:
        shutil.copyfile(there, file)
        return True
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise
        return False


def _digest(files: Sequence[Path], counts: Any) -> str:
    """Return a checksum of all that is known of a block."""
    found = hashlib.sha256(json.dumps(counts).encode())
    for file in files:
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            found.update(b"-")
            continue
        found.update(f"+{len(content)} ".encode())
        found.update(content)
    return found.hexdigest()[:32]
