"""Layers as a saved session describes them, and back."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from napari.utils.colormaps import AVAILABLE_COLORMAPS, Colormap, DirectLabelColormap

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.words import shape_text
from napari_impartial.session.folder import Kept
from napari_impartial.session.saved_state import SavedLayer

from .image_source import OURS, data_of

_ANY_LOOK = ("opacity", "blending", "visible")
_IMAGE_LOOK = ("opacity", "blending", "visible", "gamma", "contrast_limits")
_LABELS_LOOK = ("opacity", "blending", "visible", "contour", "brush_size", "selected_label")
# Longer texts among a layer's metadata are a file's own and come back with it.
_LONGEST_METADATA = 10_000
_PRINT_STEPS = 24


def describe_image(layer: ImageLayer, version: int, folder: Path, embed: bool) -> SavedLayer:
    """Describe an image layer; its pixels are kept unless a file has them.

    Parameters
    ----------
    layer, version
        The layer, and how often its data have changed.
    folder
        Where the session will lie.
    embed
        Keep the pixels even if the layer came from a file, as they have changed since.
    """
    data = data_of(layer)
    path = None if embed else file_of(layer)
    saved = SavedLayer(
        name=str(layer.name),
        data=Kept(data, version) if path is None else None,
        shape=[int(n) for n in data.shape],
        rgb=bool(layer.rgb),
        placement=_placement(layer),
        look=look_of(layer),
        metadata=_plain(layer.metadata),
    )
    if path is not None:
        saved.path, saved.reader = str(path), layer.source.reader_plugin
        try:
            saved.relative = os.path.relpath(path, folder)
        except ValueError:
            # Another drive on Windows.
            saved.relative = None
    return saved


def describe_labels(layer: Labels, version: int, shown: bool = True) -> SavedLayer:
    """Describe a layer of scribbles or instances; only planes with labels are kept."""
    saved = SavedLayer(
        name=str(layer.name),
        data=Kept(layer.data, version, sparse=True),
        shape=[int(n) for n in layer.data.shape],
        placement=_placement(layer),
        look=look_of(layer),
        metadata=_plain(layer.metadata),
        shown=shown,
    )
    if isinstance(layer.colormap, DirectLabelColormap):
        saved.look["colours"] = {
            str(label): np.asarray(colour, dtype=float).tolist()
            for label, colour in layer.colormap.color_dict.items()
            if label is not None
        }
    return saved


def fingerprint(data: Any) -> str | None:
    """Return what a few pixels hash to; None for data that are not in memory."""
    if not isinstance(data, np.ndarray) or 0 in data.shape:
        return None
    steps = [slice(None, None, max(1, n // _PRINT_STEPS)) for n in data.shape[-3:]]
    middle = tuple(n // 2 for n in data.shape[:-3])
    place: tuple[Any, ...] = (*middle, *steps)
    sample = np.ascontiguousarray(data[place])
    about = f"{data.shape} {data.dtype}".encode()
    return hashlib.blake2b(about + sample.tobytes(), digest_size=8).hexdigest()


def same_image(layer: ImageLayer, saved: SavedLayer) -> bool:
    """Return whether a layer of the viewer shows what was saved."""
    data = data_of(layer)
    if [int(n) for n in data.shape] != saved.shape or bool(layer.rgb) != saved.rgb:
        return False
    if saved.print is not None:
        return fingerprint(data) == saved.print
    path = file_of(layer)
    return path is not None and saved.path == str(path) and layer.name == saved.name


def open_image(viewer: napari.Viewer, saved: SavedLayer, folder: Path) -> tuple[ImageLayer, str]:
    """Put a saved image into the viewer; also say what is wrong with it, if anything.

    Its data have been loaded before, or are the error that came up then.

    Raises
    ------
    ImPartialError
        If its file is gone, damaged or shows something else.
    """
    warning = ""
    if saved.data is not None:
        if isinstance(saved.data, ImPartialError):
            raise saved.data
        layer = ImageLayer(
            saved.data, name=saved.name, rgb=saved.rgb, metadata=dict(saved.metadata)
        )
        viewer.add_layer(layer)
    else:
        layer, warning = _open_file(viewer, saved, folder)
        layer.name = saved.name
        layer.metadata = {**layer.metadata, **saved.metadata}
    damaged = _dress(layer, saved)
    return layer, " ".join(filter(None, (warning, damaged)))


def make_labels(saved: SavedLayer, data: npt.NDArray[Any], role: str) -> tuple[Labels, str]:
    """Return a layer of scribbles or instances as it was saved; also say what is wrong with it."""
    layer = Labels(data, name=saved.name, metadata={**saved.metadata, OURS: {"role": role}})
    return layer, _dress(layer, saved)


def _dress(layer: Layer, saved: SavedLayer) -> str:
    """Put a layer where it was, looking as it did; say if that is damaged, as data come first."""
    damaged = []
    for words, change in (("place", _place), ("look", _give_look), ("colours", _give_colours)):
        try:
            change(layer, saved)
        except Exception:  # napari checks each value, with errors of all kinds
            damaged.append(words)
    return f"The {' and '.join(damaged)} of '{saved.name}' cannot be read." if damaged else ""


def _give_look(layer: Layer, saved: SavedLayer) -> None:
    give_look(layer, saved.look)


def _give_colours(layer: Layer, saved: SavedLayer) -> None:
    colours = saved.look.get("colours")
    if isinstance(layer, Labels) and colours is not None:
        known: dict[int | None, Any] = {int(label): c for label, c in colours.items()}
        layer.colormap = DirectLabelColormap(color_dict={None: "white", 0: "transparent", **known})


def file_of(layer: Layer) -> Path | None:
    """Return the file that a layer was read from, if it is there to be read again."""
    path = layer.source.path
    # napari runs a script that it is told to open.
    if not path or str(path).endswith(".py") or not os.path.exists(path):
        return None
    return Path(os.path.abspath(path))


def _open_file(viewer: napari.Viewer, saved: SavedLayer, folder: Path) -> tuple[ImageLayer, str]:
    """Read an image's file and keep the one layer of it that was meant."""
    if not saved.path:
        raise ImPartialError(f"The session names no file of the image '{saved.name}'.")
    places = [Path(saved.path)]
    if saved.relative:
        # The images may have moved together with the session.
        places.append(Path(os.path.normpath(folder / saved.relative)))
    path = next((p for p in places if p.exists() and p.suffix != ".py"), None)
    if path is None:
        raise ImPartialError(
            f"The image {saved.path} is not there any more; put it back and open the session again."
        )
    try:
        opened = viewer.open(path, plugin=saved.reader)
    except Exception as error:
        raise ImPartialError(f"The image {path} cannot be read ({error}).") from error
    fitting = [
        layer
        for layer in opened
        if isinstance(layer, ImageLayer) and [int(n) for n in data_of(layer).shape] == saved.shape
    ]
    chosen = next((layer for layer in fitting if same_image(layer, saved)), None)
    if chosen is None and fitting:
        chosen = next((layer for layer in fitting if layer.name == saved.name), fitting[0])
    others = [layer for layer in opened if layer is not chosen]
    if others:
        # As one batch, since napari collects all garbage after each removal.
        with viewer.layers.batched_update():
            for layer in others:
                viewer.layers.remove(layer)
    if chosen is None:
        raise ImPartialError(
            f"The image {path} has another shape than when the session was saved "
            f"({shape_text(saved.shape)})."
        )
    changed = saved.print is not None and not same_image(chosen, saved)
    return chosen, f"The image {path} has changed since the session was saved." if changed else ""


def _placement(layer: Layer) -> dict[str, Any]:
    return {
        **_look(layer, ("scale", "translate", "rotate", "shear")),
        "affine": np.asarray(layer.affine.affine_matrix, dtype=float).tolist(),
        "units": [str(unit) for unit in layer.units],
        "axis_labels": [str(label) for label in layer.axis_labels],
    }


def _place(layer: Layer, saved: SavedLayer) -> None:
    for name in _placement(layer):
        value = saved.placement.get(name)
        if value is not None and value != _placement(layer)[name]:
            setattr(layer, name, tuple(value) if name in ("units", "axis_labels") else value)


def look_of(layer: Layer) -> dict[str, Any]:
    """Return how a layer looks, in plain values."""
    if isinstance(layer, ImageLayer):
        return {**_look(layer, _IMAGE_LOOK), "colormap": _describe_colormap(layer.colormap)}
    return _look(layer, _LABELS_LOOK if isinstance(layer, Labels) else _ANY_LOOK)


def give_look(layer: Any, look: dict[str, Any]) -> None:
    """Let a layer look as :func:`look_of` said of it or one of its kind."""
    for name, value in look.items():
        if name in _IMAGE_LOOK or name in _LABELS_LOOK:
            setattr(layer, name, value)
    colormap = look.get("colormap")
    if isinstance(colormap, (str, dict)) and isinstance(layer, ImageLayer):
        layer.colormap = colormap if isinstance(colormap, str) else Colormap(**colormap)


def _look(layer: Layer, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: _plain_value(getattr(layer, name)) for name in names}


def _describe_colormap(colormap: Colormap) -> Any:
    if colormap.name in AVAILABLE_COLORMAPS:
        return colormap.name
    return {
        "name": colormap.name,
        "colors": np.asarray(colormap.colors, dtype=float).tolist(),
        "controls": np.asarray(colormap.controls, dtype=float).tolist(),
    }


def _plain_value(value: Any) -> Any:
    if isinstance(value, (bool, int, float, str)) or value is None:
        return str(value) if isinstance(value, str) else value
    return np.asarray(value, dtype=float).tolist()


def _plain(metadata: Any) -> dict[str, Any]:
    """Return what of a layer's metadata can be written as text."""
    found = {}
    for name, value in dict(metadata).items():
        try:
            text = json.dumps(value)
        except (TypeError, ValueError):
            continue
        if isinstance(name, str) and len(text) < _LONGEST_METADATA:
            found[name] = value
    return found
