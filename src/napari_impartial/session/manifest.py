"""Manifest of a session's folder: `session.json`, and the files that it names."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_impartial.core.errors import ImPartialError

from .arrays import is_plain_file

MANIFEST = "session.json"
FORMAT = "napari-impartial session"
FORMAT_VERSION = 1
# A plane takes some hundred bytes.
_LARGEST_BYTES = 2**28


def read_manifest(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what a session's folder says of itself; ``content`` is the session.

    Raises
    ------
    ImPartialError
        If there is no session, or one that is damaged or of a newer format.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise ImPartialError(f"There is no folder {folder}.")
    file = folder / MANIFEST
    if not os.path.lexists(file):
        raise ImPartialError(f"No session is saved in '{folder.name}': no {MANIFEST} in {folder}.")
    if not is_plain_file(file) or file.stat().st_size > _LARGEST_BYTES:
        raise ImPartialError(
            f"The session in {folder} cannot be read: {MANIFEST} is a link, a device or too large."
        )
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ImPartialError(f"{folder / MANIFEST} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ImPartialError(
            f"The session in {folder} cannot be read: {MANIFEST} is truncated or damaged."
        ) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ImPartialError(f"{folder} is no session of this program.")
    version = manifest.get("format_version")
    if not isinstance(version, int) or not isinstance(manifest.get("content"), dict):
        raise ImPartialError(f"The session in {folder} is damaged: {MANIFEST} is not complete.")
    if version > FORMAT_VERSION:
        raise ImPartialError(
            f"The session in {folder} was saved by a newer version of the program "
            f"({manifest.get('program_version')}); update napari-impartial to open it."
        )
    return manifest


def files_named(value: Any) -> Iterator[str]:
    """Yield the files that a described value refers to."""
    if isinstance(value, dict):
        for name, part in value.items():
            if name in ("$array", "$file", "file") and isinstance(part, str):
                yield part
            else:
                yield from files_named(part)
    elif isinstance(value, list):
        for part in value:
            yield from files_named(part)
