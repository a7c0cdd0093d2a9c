"""Manifest of a session's folder: `session.json`, its copy, and the files that they name."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_impartial import __version__
from napari_impartial.core.atomic_write import reason
from napari_impartial.core.errors import ImPartialError

from .arrays import is_plain_file

MANIFEST = "session.json"
#: The same once more, since all hangs on it: damage seldom hits both.
COPY = "session.copy.json"
FORMAT = "napari-impartial session"
FORMAT_VERSION = 1
_DIGEST = "digest"
# A plane takes some hundred bytes.
_LARGEST_BYTES = 2**28


def is_session(folder: Path) -> bool:
    """Return whether a folder has the manifest of a session, or its copy."""
    return any(is_plain_file(folder / name) for name in (MANIFEST, COPY))


def manifest_text(content: dict[str, Any]) -> str:
    """Return what is written of a session's content; names that are no text as JSON's escapes."""
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "program_version": __version__,
        "saved": datetime.now(UTC).isoformat(timespec="seconds"),
        "content": content,
    }
    return json.dumps({**manifest, _DIGEST: _digest_of(manifest)}, indent=1)


def read_manifest(path: str | os.PathLike[str], losses: list[str] | None = None) -> dict[str, Any]:
    """Read what a session's folder says of itself; ``content`` is the session.

    Parameters
    ----------
    losses
        Gets a sentence if the manifest is not as it was written. Its copy is used then, or, if
        that is no better, what stands there all the same.

    Raises
    ------
    ImPartialError
        If there is no session, or one that is damaged or of a newer format.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise ImPartialError(f"There is no folder {folder}.")
    manifest, failure = None, None
    try:
        manifest = _parsed(folder, MANIFEST)
    except ImPartialError as error:
        failure = error
    if manifest is not None and _is_whole(manifest):
        return _checked(folder, manifest)
    said = f"{MANIFEST} in {folder} is damaged, or was changed by another program"
    with contextlib.suppress(ImPartialError):
        copy = _parsed(folder, COPY)
        if _is_whole(copy, required=True):
            if losses is not None:
                losses.append(f"{said}; its copy, {COPY}, was read in its place.")
            return _checked(folder, copy)
    if manifest is None:
        raise failure or ImPartialError(f"{folder} is no session of this program.")
    if losses is not None:
        losses.append(f"{said}; see whether all is as you left it.")
    return _checked(folder, manifest)


def _parsed(folder: Path, name: str) -> dict[str, Any]:
    """Return what a manifest says."""
    file = folder / name
    if not os.path.lexists(file):
        raise ImPartialError(f"No session is saved in '{folder.name}': no {name} in {folder}.")
    if not is_plain_file(file) or file.stat().st_size > _LARGEST_BYTES:
        raise ImPartialError(
            f"The session in {folder} cannot be read: {name} is a link, a device or too large."
        )
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ImPartialError(f"{file} cannot be read: {reason(error)}.") from error
    except (ValueError, RecursionError) as error:
        raise ImPartialError(
            f"The session in {folder} cannot be read: {name} is truncated or damaged."
        ) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ImPartialError(f"{folder} is no session of this program.")
    return manifest


def _checked(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest if this program understands it."""
    version = manifest.get("format_version")
    if not isinstance(version, int) or not isinstance(manifest.get("content"), dict):
        raise ImPartialError(f"The session in {folder} is damaged: {MANIFEST} is not complete.")
    if version > FORMAT_VERSION:
        raise ImPartialError(
            f"The session in {folder} was saved by a newer version of the program "
            f"({manifest.get('program_version')}); update napari-impartial to open it."
        )
    return manifest


def _is_whole(manifest: dict[str, Any], required: bool = False) -> bool:
    """Return whether a manifest is as it was written; the first ones do not say."""
    if _DIGEST not in manifest:
        return not required
    said = {name: part for name, part in manifest.items() if name != _DIGEST}
    return bool(manifest[_DIGEST] == _digest_of(said))


def _digest_of(manifest: dict[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(manifest).encode(), digest_size=16).hexdigest()


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
