"""Scribbles from masks: a Labels layer with some cells, or a file of outlines."""

from __future__ import annotations

from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_impartial.core.data.label_kinds import looks_like_strokes
from napari_impartial.core.data.mask_scribbles import from_instances
from napari_impartial.core.data.scribbles import MOST_CLASSES
from napari_impartial.core.errors import ImPartialError
from napari_impartial.gui import notifications
from napari_impartial.gui.layers.image_source import OURS, Source
from napari_impartial.gui.layers.scribble_layers import is_scribble_name
from napari_impartial.gui.layers.workspace import Workspace
from napari_impartial.io.region_files import read_regions, scribbles_of
from napari_impartial.session.plane import PlaneIndex

# What is offered is looked at each time that a layer comes or goes.
_LOOK_PX = 768
_LOOKED_AT: WeakKeyDictionary[Labels, tuple[int, bool]] = WeakKeyDictionary()


def candidates(workspace: Workspace) -> list[str]:
    """Names of the Labels layers whose objects could become scribbles."""
    source = workspace.source
    if source is None or source.is_slide:
        return []
    names = []
    for layer in workspace.viewer.layers:
        if not isinstance(layer, Labels) or layer.multiscale:
            continue
        ours = OURS in layer.metadata or is_scribble_name(layer.name)
        if not ours and _fits(layer.data.shape, source) and not _holds_strokes(layer, workspace):
            names.append(str(layer.name))
    return names


def _holds_strokes(layer: Labels, workspace: Workspace) -> bool:
    """Return whether a look at the middle of a layer's plane shows strokes.

    Lazy ones are not read.
    """
    data = layer.data
    if not isinstance(data, np.ndarray):
        return False
    known = _LOOKED_AT.get(layer)
    if known is not None and known[0] == id(data):
        return known[1]
    plane = data if data.ndim == 2 else data[(0,) * (data.ndim - 2)]
    index = workspace.session.plane_index
    if data.ndim == len(index) + 2 and all(i < n for i, n in zip(index, data.shape, strict=False)):
        plane = data[index]
    corner = [max(0, (n - _LOOK_PX) // 2) for n in plane.shape]
    part = plane[corner[0] : corner[0] + _LOOK_PX, corner[1] : corner[1] + _LOOK_PX]
    found = bool(part.max(initial=0) < 9) and looks_like_strokes(part)
    if part.any():
        _LOOKED_AT[layer] = (id(data), found)
    return found


def from_layer(workspace: Workspace, name: str) -> None:
    """Add the objects of a Labels layer to the scribbles of the plane in view."""
    source = workspace.source
    found = [layer for layer in workspace.viewer.layers if layer.name == name]
    if source is None or not found:
        notifications.show_warning("Choose a Labels layer with some outlined cells first.")
        return
    data, plane = found[0].data, workspace.session.plane_index
    if not _fits(data.shape, source):
        notifications.show_warning(f"'{name}' does not fit the image '{source.name}'.")
        return
    if _is_flat(data.shape):
        # It belongs to whatever plane is looked at.
        masks = np.asarray(data).reshape(source.plane_shape)
    elif all(i < n for i, n in zip(plane, data.shape, strict=False)):
        masks = np.asarray(data[plane])
    else:
        notifications.show_warning(
            f"'{name}' has no labels for this plane; go to another plane or layer."
        )
        return
    if looks_like_strokes(masks):
        notifications.show_warning(
            f"'{name}' looks like strokes (1 background, 2 cells) and not like outlined cells with "
            "a number each; nothing was taken over."
        )
        return
    try:
        drawn = from_instances(masks)
    except ImPartialError as error:
        notifications.show_error(str(error))
        return
    _add(workspace, {plane: drawn.labels})


def _is_flat(shape: tuple[int, ...]) -> bool:
    """Return whether labels of this shape are one plane."""
    return all(n == 1 for n in shape[:-2])


def _fits(shape: tuple[int, ...], source: Source) -> bool:
    """Return whether labels of this shape have a plane for at least some planes of an image."""
    stacked = len(shape) == len(source.stack_shape) + 2
    return shape[-2:] == source.plane_shape and (_is_flat(shape) or stacked)


def from_region_file(workspace: Workspace, path: str) -> None:
    """Add the outlined cells of a file to the scribbles, each on its plane.

    Those of a file that says nothing of planes go to the plane in view.
    """
    source = workspace.source
    if source is None:
        notifications.show_warning("Choose the image that the cells belong to first.")
        return
    if source.is_slide:
        notifications.show_warning("Take a field of the slide first: outlines go to a field.")
        return
    try:
        with notifications.notes_shown():
            regions = read_regions(path)
            kinds = workspace.session.class_names.kinds(MOST_CLASSES)
            if not source.stack or not any(region.placed for region in regions):
                flat = [replace(r, z=None, t=None, position=None) for r in regions]
                drawn = scribbles_of(path, flat, source.plane_shape, kinds=kinds)
                places = {workspace.session.plane_index: drawn}
            else:
                letters = "".join(letter for letter, _ in source.stack)
                stack, n_channels = source.stack_shape, source.n_channels_of_file
                place = (source.plane_shape, letters, stack, n_channels)
                labels = scribbles_of(path, regions, *place, kinds=kinds)
                planes = np.ndindex(*labels.shape[:-2])
                places = {index: labels[index] for index in planes if labels[index].any()}
    except ImPartialError as error:
        notifications.show_error(str(error))
        return
    _add(workspace, places)


def _add(workspace: Workspace, places: dict[PlaneIndex, NDArray[np.uint8]]) -> None:
    source = workspace.source
    assert source is not None
    # Known first: the import is a step that can be undone.
    workspace.new_scribbles()
    for index, labels in places.items():
        workspace.scribbles.add(source, index, labels)
    workspace.read_scribbles()
