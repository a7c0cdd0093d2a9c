"""OME-Zarr images, labels and plates, read lazily: versions 0.1 to 0.5, zarr 2 and 3.

Nothing but metadata is read on opening; pixels come chunk by chunk as they are asked for.
What is wrong with a store is said in one sentence that names it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_impartial.core.errors import ImPartialError

from .content import Content
from .lazy import LazyArray, first_line, import_zarr
from .units import in_one_unit

MARKERS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
"""Files of which a zarr store or a group in it has at least one."""

INSTANCES = "instances"
"""Name of the labels in a store of results."""
UNCERTAINTY = "uncertainty"
"""Name of the last channel of such a store's image."""

RECORD = "_maps"
"""Folder in such a store that says what it was made with, and what its maps depend on."""

# Words of OME-Zarr for units of length and how they are written.
UNITS = {
    "angstrom": "Å",
    "nanometer": "nm",
    "micrometer": "µm",
    "millimeter": "mm",
    "centimeter": "cm",
    "meter": "m",
}
# Before 0.3 there were these five axes and no names.
_OLD_AXES = "TCZYX"


def state_of(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return size and time of change of a file, or of a store's metadata."""
    place = Path(path)
    for marker in ("zarr.json", ".zattrs", ".zarray"):
        if (place / marker).exists():
            place = place / marker
            break
    found = place.stat()
    return found.st_size, found.st_mtime_ns


def full_state_of(path: str | os.PathLike[str]) -> str:
    """Return what stands for a file, or for all files of a store but its labels, as they are now.

    Of a store with many chunks it takes a while.
    """
    root = Path(path)
    if not root.is_dir():
        return str(list(state_of(root)))
    found = hashlib.sha256()
    for folder, inner, names in os.walk(root):
        if Path(folder) == root and "labels" in inner:
            inner.remove("labels")
        inner.sort()
        for name in sorted(names):
            one = Path(folder, name)
            state = one.stat()
            found.update(f"{one.relative_to(root)} {state.st_size} {state.st_mtime_ns}\n".encode())
    return found.hexdigest()[:32]


def is_zarr(path: str | os.PathLike[str]) -> bool:
    """Tell whether a folder is a zarr store or a part of one."""
    folder = Path(path)
    if not folder.is_dir():
        return False
    return folder.suffix.lower() == ".zarr" or any((folder / name).exists() for name in MARKERS)


def name_of(path: str | os.PathLike[str]) -> str:
    """Return what an image in a store is called: the store, then the way inside of it."""
    parts = Path(path).parts
    root = next((i for i, part in enumerate(parts) if part.lower().endswith(".zarr")), None)
    if root is None:
        return Path(path).name
    store = parts[root][: -len(".zarr")]
    store = store[: -len(".ome")] if store.lower().endswith(".ome") else store
    return "_".join([store, *parts[root + 1 :]])


def open_image(path: str | os.PathLike[str], level: int = 0) -> Content:
    """Open an image of a store at one of its levels, without reading a pixel.

    Parameters
    ----------
    path
        Folder of an OME-Zarr image, of labels, or of a plain zarr array.
    level
        0 is the finest.

    Raises
    ------
    ImPartialError
        If it is no zarr, its metadata is wrong, it holds several images, or the level is not
        there; the message names the store.
    """
    folder = Path(path)
    node = _open(folder)
    if _is_array(node):
        if level:
            raise ImPartialError(f"{folder} is a single array, which has no level {level}; use 0.")
        return _plain(folder, node)
    attributes, version = _ome(node)
    scales = attributes.get("multiscales")
    if not scales:
        raise ImPartialError(_no_image(folder, attributes))
    if not isinstance(scales, list) or not isinstance(scales[0], dict):
        raise ImPartialError(f"{folder} has multiscales metadata of a form that is not OME-Zarr's.")
    scale = scales[0]
    datasets = scale.get("datasets")
    if not isinstance(datasets, list) or not datasets:
        raise ImPartialError(
            f"{folder} lists no resolution levels in its metadata; write it again."
        )
    if not 0 <= level < len(datasets):
        last = len(datasets) - 1
        raise ImPartialError(
            f"{folder} has no level {level}; it has "
            + (f"levels 0 to {last}." if last else "level 0 only.")
        )
    dataset = datasets[level]
    name = dataset.get("path") if isinstance(dataset, dict) else None
    if not isinstance(name, str):
        raise ImPartialError(f"{folder} does not say where its level {level} lies; write it again.")
    array = _array(node, name, folder, level)
    version = version or str(scale.get("version", ""))
    axes, units = _axes(scale.get("axes"), array.ndim, folder)
    sizes = _sizes(dataset, scale, axes, folder)
    unit = units.get("X", "")
    size, spacing = in_one_unit(sizes, units, folder)
    if size == (1.0, 1.0) and not unit:
        size = None  # a scale has to be written, even where none is known
    return Content(
        LazyArray(array, f"level {level} of {folder}"),
        axes,
        _channel_names(attributes),
        size,
        unit if size else "",
        spacing=spacing,
        path=folder,
        n_levels=len(datasets),
        version=version,
    )


def open_labels(path: str | os.PathLike[str], level: int = 0) -> Content:
    """Open labels: those that lie at `path`, or the only ones of the image there.

    Raises
    ------
    ImPartialError
        As :func:`open_image`, and if the image has labels of several names or none.
    """
    folder = Path(path)
    node = _open(folder)
    if _is_array(node):
        return open_image(folder, level)
    attributes, _ = _ome(node)
    names = label_names(folder)
    if "image-label" in attributes or ("multiscales" in attributes and not names):
        return open_image(folder, level)
    if not names and isinstance(attributes.get("labels"), list):
        names = [str(name) for name in attributes["labels"]]
        folder = folder.parent
    if len(names) != 1:
        if not names:
            raise ImPartialError(_no_image(folder, attributes))
        raise ImPartialError(
            f"{folder} has labels of {len(names)} names; name one: "
            + ", ".join(str(folder / "labels" / name) for name in names[:5])
            + "."
        )
    return open_image(folder / "labels" / names[0], level)


def label_names(path: str | os.PathLike[str]) -> list[str]:
    """Return the names of an image's labels."""
    folder = Path(path) / "labels"
    if not is_zarr(folder):
        return []
    node = _open(folder)
    found = [] if _is_array(node) else _ome(node)[0].get("labels")
    return [str(name) for name in found] if isinstance(found, list) else []


def images_in(path: str | os.PathLike[str], keep_broken: bool = False) -> list[Path]:
    """Return the images of a store: its own, those of a plate's wells, or of a series.

    Parameters
    ----------
    path
    keep_broken
        Of a plate's well that cannot be read, return the well itself: what is wrong with it is said
        when it is opened.

    Raises
    ------
    ImPartialError
        If there are none, or the metadata is wrong.
    """
    folder = Path(path)
    node = _open(folder)
    if _is_array(node):
        return [folder]
    attributes, _ = _ome(node)
    if attributes.get("multiscales") or "image-label" in attributes:
        return [folder]
    if "plate" in attributes:
        wells = _listed(attributes["plate"], "wells", folder)
        found = [image for well in wells for image in _well_images(folder / well, keep_broken)]
    elif "well" in attributes:
        found = _well_images(folder)
    else:
        found = sorted(_series(folder), key=lambda p: (len(p.name), p.name))
    if not found:
        raise ImPartialError(_no_image(folder, attributes))
    return found


def made_with(store: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return what a store of results says that it was made with; None where it says nothing."""
    try:
        made = json.loads((Path(store) / RECORD / "made.json").read_bytes())
    except (OSError, ValueError):
        return None
    return made if isinstance(made, dict) else None


def well_of(path: str | os.PathLike[str]) -> str:
    """Return the well that an image of a plate lies in, such as "B/3"; "" for other images."""
    # A well that is broken may stand for its images.
    for well in (Path(path).parent, Path(path)):
        plate = well.parent.parent
        if len(well.parts) > 2 and is_zarr(plate):
            node = _open(plate)
            if not _is_array(node) and "plate" in _ome(node)[0]:
                return f"{well.parent.name}/{well.name}"
    return ""


def _open(folder: Path) -> Any:
    """Open an array or group for reading."""
    if not folder.exists():
        raise ImPartialError(f"{folder} does not exist.")
    zarr = import_zarr()
    try:
        return zarr.open(str(folder), mode="r", use_consolidated=False)
    except TypeError:  # arrays take no such argument
        pass
    except Exception as error:
        raise _unreadable(folder, error) from error
    try:
        return zarr.open(str(folder), mode="r")
    except Exception as error:
        raise _unreadable(folder, error) from error


def _unreadable(folder: Path, error: BaseException) -> ImPartialError:
    if not any((folder / name).exists() for name in MARKERS):
        return ImPartialError(f"{folder} is no zarr store: it has no metadata ({MARKERS[0]}).")
    return ImPartialError(
        f"{folder} cannot be opened; its metadata is damaged ({first_line(error)})."
    )


def _is_array(node: Any) -> bool:
    return hasattr(node, "shape")


def _ome(group: Any) -> tuple[dict[str, Any], str]:
    """Return a group's OME metadata, and the version where it is said once (0.5 on)."""
    attributes = dict(group.attrs)
    ome = attributes.get("ome")
    if isinstance(ome, dict):
        return ome, str(ome.get("version", "0.5"))
    return attributes, ""


def _no_image(folder: Path, attributes: Mapping[str, Any]) -> str:
    """Say what a group is that is no image."""
    for kind, advice in (
        ("plate", "a plate"),
        ("well", "a well of a plate"),
    ):
        if kind in attributes:
            return f"{folder} is {advice} without images; name an image."
    if (folder / "0").is_dir():
        return (
            f"{folder} has no OME-Zarr metadata of an image (multiscales); name the array in it, "
            f"such as {folder / '0'}, or write it as OME-Zarr."
        )
    return f"{folder} holds no image; name the group of an OME-Zarr image."


def _array(group: Any, name: str, folder: Path, level: int) -> Any:
    """Return a level's array."""
    try:
        array = group[name]
    except Exception as error:
        raise ImPartialError(
            f"Level {level} of {folder} ({name}) is missing or damaged; choose another with "
            "--level, or copy the store again."
        ) from error
    if not _is_array(array):
        raise ImPartialError(f"Level {level} of {folder} ({name}) is no array; write it again.")
    return array


def _plain(folder: Path, array: Any) -> Content:
    """Describe an array without OME metadata."""
    names = getattr(array.metadata, "dimension_names", None) or ()
    letters = "".join(str(name or "?")[:1].upper() for name in names)
    known = set(letters) <= set("TZCYX") and len(set(letters)) == len(letters) == array.ndim
    known = known and {"Y", "X"} <= set(letters)
    return Content(LazyArray(array, str(folder)), letters if known else None, path=folder)


def _axes(given: Any, ndim: int, folder: Path) -> tuple[str, dict[str, str]]:
    """Return the letters of the axes and the units of those that have one."""
    if given is None:
        if ndim != len(_OLD_AXES):
            raise ImPartialError(
                f"{folder} does not say what its {ndim} axes are; write it as OME-Zarr 0.4."
            )
        return _OLD_AXES, {}
    names: list[str] = []
    units: dict[str, str] = {}
    for axis in given if isinstance(given, list) else []:
        name = axis.get("name") if isinstance(axis, dict) else axis
        names.append(str(name))
        unit = axis.get("unit") if isinstance(axis, dict) else None
        if isinstance(unit, str) and unit not in ("", "pixel"):
            units[str(name).upper()] = UNITS.get(unit, unit)
    letters = "".join(names).upper()
    wrong = [name for name in names if name.upper() not in tuple("TZCYX")]
    if wrong:
        raise ImPartialError(
            f"{folder} has an axis called {wrong[0]!r}; only t, c, z, y and x can be used."
        )
    if len(letters) != ndim:
        raise ImPartialError(
            f"{folder} names {len(letters)} axes but its array has {ndim}; write it again."
        )
    if len(set(letters)) < ndim or not {"Y", "X"} <= set(letters):
        raise ImPartialError(
            f"{folder} has the axes {', '.join(names)}; an image has y and x, and none twice."
        )
    return letters, units


def _sizes(
    dataset: Mapping[str, Any], scale: Mapping[str, Any], axes: str, folder: Path
) -> dict[str, float]:
    """Return the size of a step along each axis, where the metadata has it."""
    found: dict[str, float] = {}
    for holder in (dataset, scale):
        for transform in holder.get("coordinateTransformations") or []:
            if not isinstance(transform, dict) or transform.get("type") != "scale":
                continue
            steps = transform.get("scale")
            if isinstance(steps, str) or not isinstance(steps, Sequence):
                continue  # kept in a file of its own, which 0.4 allows and nobody writes
            good = all(isinstance(s, int | float) and np.isfinite(s) and s > 0 for s in steps)
            if len(steps) != len(axes) or not good:
                raise ImPartialError(
                    f"{folder} gives the scale {list(steps)} for the axes {axes}; it needs one "
                    "number above 0 for each."
                )
            for letter, step in zip(axes, steps, strict=True):
                found[letter] = found.get(letter, 1.0) * float(step)
    return found


def _channel_names(attributes: Mapping[str, Any]) -> tuple[str, ...] | None:
    omero = attributes.get("omero")
    channels = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(channels, list):
        return None
    found = [str(c.get("label") or "") if isinstance(c, dict) else "" for c in channels]
    return tuple(found) if any(found) else None


def _listed(holder: Any, key: str, folder: Path) -> list[str]:
    """Return the paths of a plate's wells or of a well's images."""
    entries = holder.get(key) if isinstance(holder, dict) else None
    if not isinstance(entries, list):
        raise ImPartialError(f"{folder} does not list its {key}; write it again.")
    paths = [entry.get("path") for entry in entries if isinstance(entry, dict)]
    if len(paths) < len(entries) or not all(isinstance(path, str) for path in paths):
        raise ImPartialError(f"{folder} has one of its {key} without a path; write it again.")
    return [str(path) for path in paths]


def _well_images(folder: Path, keep_broken: bool = False) -> list[Path]:
    try:
        node = _open(folder)
        attributes = {} if _is_array(node) else _ome(node)[0]
        return [folder / name for name in _listed(attributes.get("well"), "images", folder)]
    except ImPartialError:
        if keep_broken:
            return [folder]
        raise


def _series(folder: Path) -> Iterator[Path]:
    """Find the images that lie side by side in a store, as bioformats2raw writes them."""
    for part in folder.iterdir():
        if part.is_dir() and is_zarr(part) and part.name not in ("labels", "OME"):
            node = _open(part)
            if not _is_array(node) and _ome(node)[0].get("multiscales"):
                yield part
