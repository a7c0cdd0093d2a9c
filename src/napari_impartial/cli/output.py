"""Output of commands: JSON without NaN, tables, and a progress bar for terminals."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from napari_impartial.core.atomic_write import reason, sweep_once
from napari_impartial.core.errors import ImPartialError, message, printable, shortened

# Controls of the second half, marks that turn text round, halves of characters.
_OBEYED = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def plain(value: Any) -> Any:
    """Turn `value` into what JSON can hold; numbers that are not finite become None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, str | bool) or value is None:
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays, without importing numpy
        return plain(value.tolist())
    if isinstance(value, Sequence | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value
    raise TypeError(f"cannot write {type(value).__name__} as JSON")


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON text of `value`; one line unless `indent` is given."""
    text = json.dumps(plain(value), allow_nan=False, indent=indent, ensure_ascii=False)
    # what a terminal would obey is written out, as JSON has it
    text = _OBEYED.sub(lambda found: json.dumps(found[0])[1:-1], text)
    if not _can_be(text, "utf-8"):  # names of files that are no text
        return json.dumps(plain(value), allow_nan=False, indent=indent)
    return text


def _can_be(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def number_text(value: Any, digits: int = 3) -> str:
    """Short text for a table cell; a dash for nothing."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.{digits}f}" if math.isfinite(value) else "-"
    return str(value)


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Markdown table, columns padded to one width; the first row is the heading."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def write_line(text: str) -> None:
    """Write one line to stderr, if it can be written to: its terminal may be gone."""
    if sys.stderr is not None:  # or it would be printed among the results
        with suppress(OSError, ValueError):
            print(message(text), file=sys.stderr, flush=True)


def to_json_for(stream: TextIO, value: Any) -> str:
    """JSON text of `value` in characters that a stream can write."""
    text = to_json(value)
    fits = _can_be(text, getattr(stream, "encoding", None) or "utf-8")
    return text if fits else json.dumps(plain(value), allow_nan=False)


@contextmanager
def writable_output() -> Iterator[None]:
    """Make stdout and stderr streams that take any text.

    A name like α-SMA is written as an escape where a pipe is of another code page, as is one
    of a file that is no text at all. A stream that was closed when the program began gets
    what it gets nowhere.
    """
    streams = (sys.stdout, sys.stderr)
    handlers = [getattr(stream, "errors", None) for stream in streams]
    nowhere = None
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if None in streams:
        nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  (closed below)
        sys.stdout, sys.stderr = (nowhere if stream is None else stream for stream in streams)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
        if nowhere is not None:
            nowhere.close()
        for stream, handler in zip(streams, handlers, strict=True):
            if isinstance(stream, io.TextIOWrapper) and not stream.closed:
                with suppress(OSError, ValueError):
                    stream.reconfigure(errors=handler)


class ProgressBar:
    """A line on stderr that is redrawn in place; silent where stderr is no terminal.

    Parameters
    ----------
    label : str
        Stands before the bar.
    stream : text stream, optional
        Standard error by default.
    """

    def __init__(self, label: str, stream: TextIO | None = None) -> None:
        self.label = shortened(printable(label), 60)
        self.stream = sys.stderr if stream is None else stream
        self.active = self.stream.isatty()
        self._drawn_at = -math.inf
        self._started_at = time.monotonic()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self.active:
            self._draw("")

    def update(self, fraction: float, note: str = "") -> None:
        """Draw the bar at `fraction` (0 to 1), at most ten times a second."""
        now = time.monotonic()
        if not self.active or now - self._drawn_at < 0.1:
            return
        self._drawn_at = now
        fraction = min(1.0, max(0.0, fraction))
        spent = now - self._started_at
        left = f"{spent / fraction - spent:.0f} s left" if fraction > 0.02 else ""
        cells = 24
        bar = "#" * round(cells * fraction) + "." * (cells - round(cells * fraction))
        text = f"{self.label} [{bar}] {fraction:4.0%} {left} {note}"
        width = shutil.get_terminal_size().columns - 1
        self._draw(text[:width])

    def _draw(self, text: str) -> None:
        try:
            self.stream.write("\r\x1b[K" + text)
            self.stream.flush()
        except (OSError, ValueError):
            # Its terminal is gone; what it tells the progress of goes on.
            self.active = False


def ensure_folder(path: str | os.PathLike[str]) -> Path:
    """Create a folder for results if needed, and prove now that files can be written there.

    Hours of training should not end at a folder that cannot be written.

    Raises
    ------
    ImPartialError
        If it cannot be created or written.
    """
    folder = Path(path)
    try:
        if folder.is_file():
            raise ImPartialError(f"{folder} is a file and no folder; name another folder.")
        for parent in folder.parents:
            if parent.is_file():
                raise ImPartialError(
                    f"{folder} cannot be a folder, since {parent} is a file; name another folder."
                )
        folder.mkdir(parents=True, exist_ok=True)
        sweep_once(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ImPartialError(
            f"Cannot write in {folder}: {reason(error)}; name another folder."
        ) from error
    return folder
