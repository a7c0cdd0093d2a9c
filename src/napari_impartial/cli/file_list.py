"""Images that a command line names (files, folders, patterns, plates), and the outcome of each."""

from __future__ import annotations

import csv
import glob
import hashlib
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from napari_impartial.core.errors import ImPartialError

# What the program itself writes beside images is no image.
_NOT_IMAGES = re.compile(
    r"_(instances|probability|entropy|truth|scribbles\d*|masks?)(\.ome)?\.tiff?$|_tracks\.geff$",
    re.IGNORECASE,
)
_MAGIC = re.compile(r"[*?\[]")

SUMMARY = "summary.csv"


def find_images(given: Sequence[Path]) -> list[Path]:
    """Return the images that are meant, in order, each once.

    What is found but cannot be read is among them: it fails by itself, when its turn comes.

    Parameters
    ----------
    given : sequence of Path
        Files; folders, of which all images are taken but what the program itself wrote there;
        patterns that the shell has left alone, of which the same is true; OME-Zarr plates, wells
        and series, of which all images are taken.

    Raises
    ------
    ImPartialError
        If there is nothing behind one of them.
    """
    found: list[Path] = []
    for path in given:
        text = str(path)
        if path.exists() or not _MAGIC.search(text):
            found += _in_directory(path) if path.is_dir() else [path]
            continue
        matched = [Path(one) for one in sorted(glob.glob(text, recursive=True))]
        if not matched:
            raise ImPartialError(f"{path} matches no file; correct the pattern.")
        images = [image for one in matched for image in _images_at(one, nested=True)]
        if not images:
            raise ImPartialError(f"{path} matches no image; correct the pattern.")
        found += images
    return _each_once(found)


def _in_directory(path: Path) -> list[Path]:
    """Return the images of a store, or of a folder and the stores in it."""
    from napari_impartial.io.images import SUFFIXES
    from napari_impartial.io.ome_zarr import is_zarr

    if is_zarr(path):
        return _in_store(path)
    found = [image for one in sorted(path.iterdir()) for image in _images_at(one)]
    if not found:
        raise ImPartialError(
            f"{path} is a folder without images ({', '.join(SUFFIXES)}); name another."
        )
    return found


def _images_at(path: Path, nested: bool = False) -> list[Path]:
    """Return the images that a file or store in a folder stands for.

    Folders are left alone, unless `nested`: then for the images in them.
    """
    from napari_impartial.io.images import SUFFIXES
    from napari_impartial.io.ome_zarr import is_zarr
    from napari_impartial.io.other_formats import READERS

    if path.name.startswith((".", "_")) or _NOT_IMAGES.search(path.name):
        return []
    if is_zarr(path):
        return [] if _is_result(path) else _in_store(path)
    if path.is_dir():
        return [i for one in sorted(path.iterdir()) for i in _images_at(one)] if nested else []
    return [path] if path.suffix.lower() in (*SUFFIXES, *READERS) else []


def _in_store(path: Path) -> list[Path]:
    from napari_impartial.io.ome_zarr import images_in

    try:
        return images_in(path, keep_broken=True)
    except ImPartialError:
        return [path]


def _is_result(store: Path) -> bool:
    """Tell whether the program itself has made a store of an image's results."""
    from napari_impartial.io.ome_zarr import INSTANCES, UNCERTAINTY, label_names, open_image

    try:
        names = open_image(store).channel_names or ()
        return names[-1:] == (UNCERTAINTY,) and INSTANCES in label_names(store)
    except ImPartialError:
        return False


def _each_once(paths: Sequence[Path]) -> list[Path]:
    found: dict[str, Path] = {}
    for path in paths:
        found.setdefault(os.path.realpath(path), path)
    return list(found.values())


class Summary:
    """A table with a row for each image, written anew after each of them.

    Parameters
    ----------
    path : Path
    run : str
        Stands for the model and settings, so that a resumed run takes only what is of the same.
    resume : bool
        Take over the rows of an earlier run.
    """

    def __init__(self, path: Path, run: str, resume: bool) -> None:
        self._path, self._run = path, run
        self._rows: dict[str, dict[str, Any]] = {}
        if resume and path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                self._rows = {row["image"]: row for row in csv.DictReader(file) if "image" in row}

    def done(self, image: Path, files: Sequence[Path]) -> dict[str, Any] | None:
        """Return an image's row if a run of the same files, model and settings has finished it."""
        row = self._rows.get(str(image))
        if row is None or row.get("failure") or row.get("run") != self._stamp(files):
            return None
        return row

    def _stamp(self, files: Sequence[Path]) -> str:
        """Return what stands for the model, the settings, and the files as they are now."""
        from napari_impartial.io.ome_zarr import full_state_of

        with suppress(OSError):  # what is not there fails when its turn comes
            state = str([full_state_of(path) for path in files])
            return hashlib.sha256(f"{self._run}{state}".encode()).hexdigest()[:12]
        return self._run

    def add(
        self,
        image: Path,
        files: Sequence[Path],
        well: str,
        figures: dict[str, Any],
        failure: str = "",
    ) -> None:
        """Add what became of an image, and write the table."""
        from napari_impartial.io import atomic_path

        self._rows[str(image)] = {
            "image": str(image),
            "well": well,
            **figures,
            "failure": failure,
            "run": self._stamp(files),
        }
        names: list[str] = []
        for row in self._rows.values():
            names += [name for name in row if name not in names]
        last = ["failure", "run"]
        names = [name for name in names if name not in last] + last
        with (
            atomic_path(self._path) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._rows.values())
