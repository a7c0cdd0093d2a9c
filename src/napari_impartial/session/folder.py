"""A folder that holds one annotation session: a manifest, and arrays and files beside it.

The folder always holds one whole session, whatever happens while it is written. Arrays
and copied files never change once they are there: a new state gets a new file, and
`session.json`, which names the files that count, is replaced in one step once all of
them are on disk; a copy of it goes before. Files that the manifest no longer names are
removed after that. What has not changed since the last save is not written again.

A folder may come from somebody else. Names in a manifest that are not of the kind that this
program gives are refused, and links are never followed out of the folder, neither to read
nor to write nor to remove.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import shutil
import threading
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_impartial.core.atomic_write import atomic_path, reason
from napari_impartial.core.errors import ImPartialError

from .arrays import (
    claimed_of,
    digest_of,
    is_link,
    is_plain_file,
    place_of,
    read_pages,
    storable,
    write_pages,
    write_plane,
)
from .manifest import COPY, MANIFEST, files_named, manifest_text, read_manifest

_ARRAYS, _FILES = "arrays", "files"
# Whatever else a name may be to one system or another (a way up, a drive, a device, a stream):
# files that this program writes have no other names.
_OUR_NAME = re.compile(rf"({_ARRAYS}|{_FILES})/[0-9a-f]{{32}}(\.[A-Za-z0-9_-]{{1,32}})?")
_LONGEST_NAME_SHOWN = 60
# A model of the largest preset has 124 MB.
_LARGEST_FILE = 2**31


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

    def load(self, convert: Callable[[npt.NDArray[Any]], Any] | None = None) -> Any:
        """Read the array; return it, or what `convert` makes of it.

        That is known to be what lies in the file: kept again unchanged, it is not written.

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
                self._check_places()
                described = self._describe(content)
            except OSError as error:
                raise ImPartialError(
                    f"The session cannot be saved in {self.path}: {reason(error)}."
                ) from error
            self._known, self._used = self._used, {}
            there = all(is_plain_file(self.path / name) for name in (MANIFEST, COPY))
            if described == self._last and there:
                return False
            text = manifest_text(described)
            # The copy first: what either of them names is there until both are new.
            for name in (COPY, MANIFEST):
                with self._new_file(name) as temporary:
                    temporary.write_text(text, encoding="utf-8")
            self._last = described
            self._remove_all_but(set(files_named(described)))
            return True

    def read(self, losses: list[str] | None = None) -> dict[str, Any]:
        """Return the state that was saved last, with :class:`Stored` for arrays.

        Parameters
        ----------
        losses
            Gets a sentence if the manifest is not as it was written, and for each file that
            is not named as it has to be, or is none of the folder's own; None stands in its
            place then.

        Raises
        ------
        ImPartialError
            If there is no session, or one that is damaged or of a newer format; and for
            such a file, where there is no list of `losses`.
        """
        content = read_manifest(self.path, losses)["content"]
        return dict(self._restore(content, losses))

    def check_file(self, file: Path) -> Path:
        """Return a file of :meth:`read` if it is what was kept once; read whole, on any thread.

        Raises
        ------
        ImPartialError
            If it is missing, damaged or too large.
        """
        self._check_own(file)
        try:
            if file.stat().st_size > _LARGEST_FILE:
                raise ImPartialError(f"{file} is too large to be a model.")
            with open(file, "rb") as opened:
                digest = hashlib.file_digest(opened, lambda: hashlib.blake2b(digest_size=16))
        except FileNotFoundError as error:
            raise ImPartialError(f"{file} is missing.") from error
        except OSError as error:
            raise ImPartialError(f"{file} cannot be read: {reason(error)}.") from error
        if digest.hexdigest() != file.name.partition(".")[0]:
            raise ImPartialError(f"{file} is damaged.")
        return file

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
        return copy if copy is not None and is_plain_file(copy) else None

    def _once(self, key: tuple[Any, ...], held: Any, keep: Any) -> dict[str, Any]:
        known = self._known.get(key)
        if known is None or not all(is_plain_file(self.path / f) for f in files_named(known[1])):
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
            with self._new_file(name) as temporary:
                digest = write_pages(temporary, array)
            return {"$array": name, "digest": digest, **about}
        planes = []
        for place in np.ndindex(*array.shape[:-2]):
            # A copy: a stroke that is being painted must not come between name and file.
            plane = np.array(array[place], order="C")
            if plane.any():
                planes.append({"at": [int(i) for i in place], "file": self._keep_plane(plane)})
        return {"$planes": planes, **about}

    def _keep_plane(self, plane: npt.NDArray[Any]) -> str:
        """Write a plane under the name that its content gives it, unless it is there."""
        name = f"{_ARRAYS}/{digest_of(plane)}.tif"
        if not is_plain_file(self.path / name):
            with self._new_file(name) as temporary:
                write_plane(temporary, plane)
        return name

    def _keep_file(self, source: Path) -> dict[str, Any]:
        with open(source, "rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
        name = f"{_FILES}/{digest.hexdigest()}{source.suffix}"
        if not _OUR_NAME.fullmatch(name):
            name = f"{_FILES}/{digest.hexdigest()}"
        if not is_plain_file(self.path / name):
            with self._new_file(name) as temporary:
                shutil.copyfile(source, temporary)
        return {"$file": name}

    def _restore(self, value: Any, losses: list[str] | None) -> Any:
        if isinstance(value, list):
            return [self._restore(part, losses) for part in value]
        if not isinstance(value, dict):
            return value
        if "$array" in value or "$planes" in value:
            return Stored(self, value)
        if "$file" in value:
            try:
                return self._check_own(self._inside(value["$file"]))
            except ImPartialError as error:
                if losses is None:
                    raise
                losses.append(str(error))
                return None
        return {name: self._restore(part, losses) for name, part in value.items()}

    def _load(
        self, reference: dict[str, Any], convert: Callable[[npt.NDArray[Any]], Any] | None
    ) -> Any:
        try:
            shape, dtype = claimed_of(reference)
            if "$array" in reference:
                file = self._check_own(self._inside(reference["$array"]))
                read = read_pages(file, math.prod(shape), reference.get("digest"))
                kept = storable(np.zeros(1, dtype)).dtype.newbyteorder("=")
                if read.dtype.newbyteorder("=") != kept:
                    raise ValueError(f"{read.dtype} is said to be {dtype}")
                array = read.astype(dtype, copy=False).reshape(shape)
            else:
                array = np.zeros(shape, dtype)
                seen = set()
                for plane in reference["$planes"]:
                    place = place_of(plane["at"], shape)
                    if place in seen:
                        raise ValueError(f"two planes are said to lie at {place}")
                    seen.add(place)
                    array[place] = self._load_plane(plane["file"], shape, dtype)
        except ImPartialError:
            raise
        except MemoryError as error:
            raise ImPartialError(
                f"The session in {self.path} has an array that does not fit into memory."
            ) from error
        except Exception as error:
            # A damaged manifest may say anything; numpy has an error for each.
            raise ImPartialError(
                f"The session in {self.path} is damaged: an array does not fit ({error})."
            ) from error
        made = array if convert is None else convert(array)
        # Saved again unchanged, it need not be written.
        self._known[(id(made), 0)] = (made, reference)
        return made

    def _load_plane(
        self, name: Any, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> npt.NDArray[Any]:
        file = self._check_own(self._inside(name))
        plane = read_pages(file, math.prod(shape[-2:])).astype(dtype, copy=False)
        if digest_of(plane) != file.stem:
            raise ImPartialError(f"{file} is truncated or damaged.")
        return plane

    def _inside(self, name: Any) -> Path:
        """Return the path of a file of ours; a foreign manifest must not lead elsewhere."""
        if not isinstance(name, str) or not _OUR_NAME.fullmatch(name):
            shown = repr(name)
            if len(shown) > _LONGEST_NAME_SHOWN:
                shown = f"{shown[:_LONGEST_NAME_SHOWN]}..."
            raise ImPartialError(f"The session in {self.path} is damaged: it names {shown}.")
        return self.path.joinpath(*name.split("/"))

    def _check_own(self, file: Path) -> Path:
        """Return the path of a file of ours, unless something else than a file lies there.

        Raises
        ------
        ImPartialError
            If it, or the folder that it lies in, is a link, or it is no ordinary file.
        """
        self._check_places()
        if os.path.lexists(file) and not is_plain_file(file):
            raise ImPartialError(
                f"The session in {self.path} is damaged: {file.parent.name}/{file.name} is a link "
                "or a device and no file of its own."
            )
        return file

    def _check_places(self) -> None:
        """Refuse folders within ours that are links to elsewhere."""
        for part in (_ARRAYS, _FILES):
            if is_link(self.path / part):
                raise ImPartialError(
                    f"'{part}' in the session's folder {self.path} is a link to elsewhere, which "
                    "is not followed; put the folder itself there, or use another folder."
                )

    def _new_file(self, name: str) -> AbstractContextManager[Path]:
        """Write a file of ours whole or not at all; a link in its place goes, not its target."""
        path = self.path / name
        if is_link(path):
            path.unlink()
        return atomic_path(path)

    def _remove_all_but(self, names: set[str]) -> None:
        """Remove what the manifest no longer names, leftovers of a killed writer included."""
        for part in (_ARRAYS, _FILES):
            folder = self.path / part
            if is_link(folder) or not folder.is_dir():
                continue
            for file in folder.iterdir():
                if f"{part}/{file.name}" not in names:
                    # Of a link, this removes the link.
                    with contextlib.suppress(OSError):
                        file.unlink()


def _mark(file: Path) -> tuple[Any, ...]:
    """Return what tells a file from others, and from itself with other content."""
    stat = file.stat()
    return str(file), stat.st_size, stat.st_mtime_ns
