"""Images that a command line names (files, folders, patterns, plates), and the outcome of each."""

from __future__ import annotations

import csv
import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_impartial.core.errors import ImPartialError

# What the program itself writes beside images is no image.
_NOT_IMAGES = re.compile(
    r"_(instances|probability|entropy|truth|scribbles\d*|masks?)(\.ome)?\.tiff?$", re.IGNORECASE
)
_MAGIC = re.compile(r"[*?\[]")

SUMMARY = "summary.csv"


def find_images(given: Sequence[Path]) -> list[Path]:
    """Return the images that are meant, in order, each once.

    Parameters
    ----------
    given : sequence of Path
        Files; folders, of which all images are taken but what the program itself wrote there;
        patterns that the shell has left alone; OME-Zarr plates, wells and series, of which all
        images are taken.

    Raises
    ------
    ImPartialError
        If there is nothing behind one of them.
    """
    from napari_impartial.io.ome_zarr import images_in, is_zarr

    found: list[Path] = []
    for path in given:
        for one in _matches(path):
            if is_zarr(one):
                found += images_in(one)
            elif one.is_dir():
                found += _in_folder(one)
            else:
                found.append(one)
    return _each_once(found)


def _matches(path: Path) -> list[Path]:
    """Return what a pattern matches, or the path itself."""
    text = str(path)
    if path.exists() or not _MAGIC.search(text):
        return [path]
    matched = sorted(glob.glob(text, recursive=True))
    if not matched:
        raise ImPartialError(f"{path} matches no file; correct the pattern.")
    return [Path(one) for one in matched]


def _in_folder(folder: Path) -> list[Path]:
    """Return the images of a folder; folders in it are left alone unless they are stores."""
    from napari_impartial.io.images import SUFFIXES
    from napari_impartial.io.ome_zarr import images_in, is_zarr

    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_")):
            continue
        if is_zarr(path):
            found += images_in(path)
        elif (
            path.is_file() and path.suffix.lower() in SUFFIXES and not _NOT_IMAGES.search(path.name)
        ):
            found.append(path)
    if not found:
        raise ImPartialError(
            f"{folder} is a folder without images ({', '.join(SUFFIXES)}); name another."
        )
    return found


def _each_once(paths: Sequence[Path]) -> list[Path]:
    seen: set[str] = set()
    kept = []
    for path in paths:
        real = os.path.realpath(path)
        if real not in seen:
            kept.append(path)
            seen.add(real)
    return kept


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

    def done(self, image: Path) -> dict[str, Any] | None:
        """Return an image's row if it was finished by a run of the same model and settings."""
        row = self._rows.get(str(image))
        if row is None or row.get("failure") or row.get("run") != self._run:
            return None
        return row

    def add(self, image: Path, well: str, figures: dict[str, Any], failure: str = "") -> None:
        """Add what became of an image, and write the table."""
        from napari_impartial.io import atomic_path

        self._rows[str(image)] = {
            "image": str(image),
            "well": well,
            **figures,
            "failure": failure,
            "run": self._run,
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
