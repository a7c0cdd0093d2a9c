"""Runs of an experiment: each in a process of its own, finished ones kept on disk."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import napari_impartial
from napari_impartial import __version__
from napari_impartial.cli.output import ensure_folder, plain, to_json
from napari_impartial.core.errors import ImPartialError

Results = list[dict[str, Any]]

# First weights and the tables of the automatic cut.
_SHIPPED = Path(napari_impartial.__file__).parent / "data"


class FinishedRuns:
    """Results of finished runs, so that an interrupted experiment goes on where it was.

    A run is known by its whole specification, the program's version, and size and date of
    the files of the data set and of weights: whatever changes makes it a new one.

    Parameters
    ----------
    folder : Path or None
        Where they are kept; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else ensure_folder(folder)

    def get(self, spec: dict[str, Any]) -> Results | None:
        """Return the results of a run, None if it was not finished."""
        if self._folder is None:
            return None
        try:
            results = json.loads(self._file(spec).read_text(encoding="utf-8"))["results"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None  # not there, or damaged: it is done again
        return results if isinstance(results, list) else None

    def put(self, spec: dict[str, Any], results: Results) -> None:
        """Keep the results of a run."""
        if self._folder is None:
            return
        from napari_impartial.core.atomic_write import atomic_path

        with atomic_path(self._file(spec)) as temporary:
            text = to_json({"spec": spec, "results": results}, indent=1)
            temporary.write_text(text + "\n", encoding="utf-8")

    def _file(self, spec: dict[str, Any]) -> Path:
        assert self._folder is not None
        known = plain(spec)
        folder = Path(spec["set"])
        strokes = sorted(folder.glob(f"{spec['style']}/*")) if "style" in spec else []
        files = [*sorted(folder.glob("t*/*")), *strokes, *sorted(_SHIPPED.iterdir())]
        own = known.get("settings", {}).get("training", {}).get("first_weights")
        for weights in filter(None, (own, known.get("weights"), known.get("labels"))):
            files += _files_of(Path(weights))
        known_by = [known, __version__, _fingerprint(files)]
        digest = hashlib.sha256(json.dumps(known_by, sort_keys=True).encode()).hexdigest()
        words = [Path(spec["set"]).resolve().name]
        words += [str(spec[key]) for key in ("method", "percent", "seed") if key in spec]
        name = re.sub(r"[^\w.+-]+", "_", "-".join(words))
        return self._folder / f"{name}-{digest[:12]}.json"


def _files_of(weights: Path) -> list[Path]:
    """Return a file of weights itself, or all files of a folder of them (StarDist has such)."""
    if not weights.is_dir():
        return [weights]
    return sorted(file for file in weights.rglob("*") if file.is_file())


def _fingerprint(files: Iterable[Path]) -> list[list[Any]]:
    """Name, size and date of files; of one that is not there, the name."""
    found: list[list[Any]] = []
    for file in files:
        status = file.stat() if file.exists() else None
        rest = [] if status is None else [status.st_size, status.st_mtime_ns]
        found.append([f"{file.parent.name}/{file.name}", *rest])
    return found


def run_apart(spec: dict[str, Any], report: Callable[[float], None]) -> Results:
    """Do one run in a process of its own.

    Parameters
    ----------
    spec : dict
        See :mod:`napari_impartial.experiments.benchmark_run`.
    report : callable
        Gets the share done, 0 to 1.

    Returns
    -------
    list of dict
        One result; two for a forest with its best cut.

    Raises
    ------
    ImPartialError
        If the run fails, with its last line on stderr; that is all where the run itself
        says what to mend.
    """
    started = time.perf_counter()
    results: Results | None = None
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [
                sys.executable,
                "-P",  # a file random.py beside the images must not be imported
                "-m",
                "napari_impartial.experiments.benchmark_run",
                json.dumps(plain(spec)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONPATH": _search_path()},
        )
        with process:
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    message = _message(line)
                    report(message.get("fraction", 0.0))
                    results = message.get("results", results)
                process.wait()
            finally:
                process.kill()
        errors.seek(0)
        lines = errors.read().split("\n")
    if process.returncode != 0 or results is None:
        said = next((line for line in reversed(lines) if line.strip()), "it said nothing")
        if process.returncode == 2:
            raise ImPartialError(said)
        raise ImPartialError(f"the run failed with status {process.returncode}: {said}")
    seconds = time.perf_counter() - started
    return [{**result, "wall_s": seconds} for result in results]


def _message(line: str) -> dict[str, Any]:
    """Read a line of the run; what libraries print (peers do) is left aside."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def _search_path() -> str:
    """Let the child import the package that runs here, installed or not."""
    here = str(Path(__file__).resolve().parents[2])
    # An empty entry would stand for the current folder.
    others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join(filter(None, (here, *others)))
