"""A folder that holds one annotation session: a manifest, and arrays and files beside it.

The folder always holds one whole session, whatever happens while it is written. Arrays
and copied files never change once they are there: a new state gets a new file, and
`session.json`, which names the files that count, is replaced in one step once all of
them are on disk. Files that the manifest no longer names are removed after that. What
has not changed since the last save is not written again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import tifffile

from napari_impartial import __version__
from napari_impartial.core.atomic_write import atomic_path
from napari_impartial.core.errors import ImPartialError

Made = TypeVar("Made")

MANIFEST = "session.json"
FORMAT = "napari-impartial session"
FORMAT_VERSION = 1
_ARRAYS, _FILES = "arrays", "files"
# zlib's quickest: strokes and labels shrink a hundredfold, and saving stays a matter of
# milliseconds.
_COMPRESSION: dict[str, Any] = {"compression": "zlib", "compressionargs": {"level": 1}}
_LEAST_PAGE = 2**16


@dataclass(frozen=True, eq=False)
class Kept:
    """An array that is to be kept in the folder.

    Attributes
    ----------
    source
        The array, or what `convert` makes one of. It is read when the folder is written,
        on whichever thread does that, so it may be one that is painted on meanwhile.
    version
        A number that is raised whenever the content may have changed; the same source of
        the same version is not looked at again.
    sparse
        Keep only the planes (of the last two axes) that are not 0 everywhere, each in a
        file of its own, compressed: for strokes and labels.
    convert
        Makes the array of the source, while the folder is written.
    """

    source: Any
    version: int = 0
    sparse: bool = False
    convert: Callable[[Any], npt.NDArray[Any]] | None = None


@dataclass(frozen=True, eq=False)
class Stored:
    """An array in a folder that was read; :meth:`load` fetches it."""

    folder: SessionFolder
    reference: dict[str, Any]

    def load(self) -> npt.NDArray[Any]:
        """Read the array.

        Raises
        ------
        ImPartialError
            If its file is missing or damaged.
        """
        return self.folder._load(self.reference, _as_it_is)

    def load_as(self, convert: Callable[[npt.NDArray[Any]], Made]) -> Made:
        """Return what `convert` makes of the array.

        It is known to be what lies in the file: kept again unchanged, it is not written.

        Raises
        ------
        ImPartialError
            If the file is missing or damaged.
        """
        return self.folder._load(self.reference, convert)


class SessionFolder:
    """Writes the states of one session into one folder.

    Parameters
    ----------
    path
        Made with the first :meth:`write`.

    Attributes
    ----------
    copies
        Where the copy of each file lies that was kept last.
    lost
        Files that the last :meth:`write` found neither themselves nor a copy of; they are
        None there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._writing = threading.Lock()
        # What each array and file that was seen lies in, so that it is not written again.
        # The arrays themselves are held, lest another one gets the same id.
        self._known: dict[tuple[Any, ...], tuple[Any, dict[str, Any]]] = {}
        self._used: dict[tuple[Any, ...], tuple[Any, dict[str, Any]]] = {}
        self._last: Any = None
        self.copies: dict[Path, Path] = {}
        self.lost: list[Path] = []

    def write(self, content: dict[str, Any]) -> bool:
        """Save a state, whole or not at all; return whether it differs from the last one.

        Parameters
        ----------
        content
            Nested dicts, lists, text, numbers and None, with :class:`Kept` for arrays
            and :class:`pathlib.Path` for files of which a copy is to be kept.

        Raises
        ------
        ImPartialError
            If it cannot be written (disk full, no permission); what was saved last is
            still there then.
        """
        with self._writing:
            self._used, self.lost = {}, []
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                described = self._describe(content)
            except OSError as error:
                reason = (error.strerror or str(error)).rstrip(".").lower()
                raise ImPartialError(
                    f"The session cannot be saved in {self.path}: {reason}."
                ) from error
            self._known, self._used = self._used, {}
            if described == self._last and (self.path / MANIFEST).is_file():
                return False
            manifest = {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "program_version": __version__,
                "saved": datetime.now(UTC).isoformat(timespec="seconds"),
                "content": described,
            }
            text = json.dumps(manifest, ensure_ascii=False, indent=1)
            with atomic_path(self.path / MANIFEST) as temporary:
                temporary.write_text(text, encoding="utf-8")
            self._last = described
            self._remove_all_but(set(_files_named(described)))
            return True

    def read(self) -> dict[str, Any]:
        """Return the state that was saved last, with :class:`Stored` for arrays.

        Raises
        ------
        ImPartialError
            If there is no session, or one that is damaged or of a newer format.
        """
        content = read_manifest(self.path)["content"]
        return dict(self._restore(content))

    def copy_of(self, source: Path) -> Path | None:
        """Return where the copy of a file lies that was kept last; None if there is none."""
        try:
            known = self._known.get(_mark(source))
        except FileNotFoundError:
            return self._last_copy(source)
        except OSError:
            return None
        return None if known is None else self._inside(known[1]["$file"])

    def _describe(self, value: Any) -> Any:
        """Return what stands for a value in the manifest; write what it refers to."""
        if isinstance(value, Kept):
            return self._once(
                (id(value.source), value.version), value.source, lambda: self._keep(value)
            )
        if isinstance(value, Path):
            return self._describe_file(value)
        if isinstance(value, dict):
            return {str(name): self._describe(part) for name, part in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self._describe(part) for part in value]
        if isinstance(value, np.generic):
            return value.item()
        return value

    def _describe_file(self, file: Path) -> dict[str, Any] | None:
        # Models in use lie in a temporary folder, which systems clear of old files.
        source = file if file.exists() else self._last_copy(file)
        if source is None:
            self.lost.append(file)
            return None
        described = self._once(_mark(source), None, lambda: self._keep_file(source))
        self.copies[file] = self._inside(described["$file"])
        return described

    def _last_copy(self, file: Path) -> Path | None:
        copy = self.copies.get(file)
        return copy if copy is not None and copy.is_file() else None

    def _once(self, key: tuple[Any, ...], held: Any, keep: Any) -> dict[str, Any]:
        known = self._known.get(key)
        if known is None or not all((self.path / f).is_file() for f in _files_named(known[1])):
            known = (held, keep())
        self._used[key] = known
        return known[1]

    def _keep(self, kept: Kept) -> dict[str, Any]:
        array = kept.source if kept.convert is None else kept.convert(kept.source)
        about = {"shape": [int(n) for n in array.shape], "dtype": str(np.dtype(array.dtype))}
        if 0 in array.shape:
            return {"$planes": [], **about}
        if not kept.sparse or array.ndim < 2:
            name = f"{_ARRAYS}/{uuid.uuid4().hex}.tif"
            with atomic_path(self.path / name) as temporary:
                _write_pages(temporary, array)
            return {"$array": name, **about}
        planes = []
        for place in np.ndindex(*array.shape[:-2]):
            # A copy: a stroke that is being painted must not come between name and file.
            plane = np.array(array[place], order="C")
            if plane.any():
                planes.append({"at": [int(i) for i in place], "file": self._keep_plane(plane)})
        return {"$planes": planes, **about}

    def _keep_plane(self, plane: npt.NDArray[Any]) -> str:
        """Write a plane under the name that its content gives it, unless it is there."""
        digest = hashlib.blake2b(f"{plane.shape} {plane.dtype}".encode(), digest_size=16)
        digest.update(plane.view(np.uint8).data)
        name = f"{_ARRAYS}/{digest.hexdigest()}.tif"
        if not (self.path / name).is_file():
            with atomic_path(self.path / name) as temporary:
                tifffile.imwrite(temporary, _storable(plane), **_COMPRESSION)
        return name

    def _keep_file(self, source: Path) -> dict[str, Any]:
        with open(source, "rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
        name = f"{_FILES}/{digest.hexdigest()}{source.suffix}"
        if not (self.path / name).is_file():
            with atomic_path(self.path / name) as temporary:
                shutil.copyfile(source, temporary)
        return {"$file": name}

    def _restore(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._restore(part) for part in value]
        if not isinstance(value, dict):
            return value
        if "$array" in value or "$planes" in value:
            return Stored(self, value)
        if "$file" in value:
            return self._inside(value["$file"])
        return {name: self._restore(part) for name, part in value.items()}

    def _load(self, reference: dict[str, Any], convert: Callable[[npt.NDArray[Any]], Made]) -> Made:
        try:
            shape, dtype = tuple(reference["shape"]), np.dtype(reference["dtype"])
            if "$array" in reference:
                array = _read(self._inside(reference["$array"])).astype(dtype, copy=False)
                array = array.reshape(shape)
            else:
                array = np.zeros(shape, dtype)
                for plane in reference["$planes"]:
                    array[tuple(plane["at"])] = _read(self._inside(plane["file"]))
        except ImPartialError:
            raise
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ImPartialError(
                f"The session in {self.path} is damaged: an array does not fit ({error})."
            ) from error
        made = convert(array)
        # Saved again unchanged, it need not be written.
        self._known[(id(made), 0)] = (made, reference)
        return made

    def _inside(self, name: Any) -> Path:
        """Return the path of a file of ours; a foreign manifest must not lead elsewhere."""
        parts = PurePosixPath(str(name)).parts
        if len(parts) != 2 or parts[0] not in (_ARRAYS, _FILES) or parts[1] in (".", ".."):
            raise ImPartialError(f"The session in {self.path} is damaged: it names {name!r}.")
        return self.path.joinpath(*parts)

    def _remove_all_but(self, names: set[str]) -> None:
        """Remove what the manifest no longer names, leftovers of a killed writer included."""
        for part in (_ARRAYS, _FILES):
            folder = self.path / part
            if not folder.is_dir():
                continue
            for file in folder.iterdir():
                if f"{part}/{file.name}" not in names:
                    with contextlib.suppress(OSError):
                        file.unlink()


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
    if not (folder / MANIFEST).is_file():
        raise ImPartialError(f"No session is saved in '{folder.name}': no {MANIFEST} in {folder}.")
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except OSError as error:
        raise ImPartialError(f"{folder / MANIFEST} cannot be read: {error.strerror}.") from error
    except ValueError as error:
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


def _mark(file: Path) -> tuple[Any, ...]:
    """Return what tells a file from others, and from itself with other content."""
    stat = file.stat()
    return str(file), stat.st_size, stat.st_mtime_ns


def _as_it_is(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array


def _files_named(value: Any) -> Iterator[str]:
    """Yield the files that a described value refers to."""
    if isinstance(value, dict):
        for name, part in value.items():
            if name in ("$array", "$file", "file") and isinstance(part, str):
                yield part
            else:
                yield from _files_named(part)
    elif isinstance(value, list):
        for part in value:
            yield from _files_named(part)


def _write_pages(path: Path, array: Any) -> None:
    """Write an array page by page, so that one that is not in memory need not fit there."""
    # Colours and other last axes belong to the page: pages of a few pixels are slow.
    trailing = min(2, array.ndim)
    while trailing < array.ndim and np.prod(array.shape[-trailing:]) < _LEAST_PAGE:
        trailing += 1
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for place in np.ndindex(*array.shape[: array.ndim - trailing]):
            page = _storable(np.ascontiguousarray(array[place]))
            page = page.reshape(len(page), -1)
            file.write(page, photometric="minisblack", metadata=None, contiguous=False)


def _read(path: Path) -> npt.NDArray[Any]:
    """Read all pages of one of our files."""
    try:
        with tifffile.TiffFile(path) as file:
            pages = [page.asarray() for page in file.pages]
        return pages[0] if len(pages) == 1 else np.stack(pages)
    except MemoryError:
        raise
    except FileNotFoundError as error:
        raise ImPartialError(f"{path} is missing; the session is damaged.") from error
    except Exception as error:
        # Decoders raise whatever comes up where a file is cut short.
        raise ImPartialError(f"{path} is truncated or damaged ({type(error).__name__}).") from error


def _storable(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return what TIFF files can hold; the manifest remembers the type."""
    return plane.astype(np.uint8) if plane.dtype == bool else plane
