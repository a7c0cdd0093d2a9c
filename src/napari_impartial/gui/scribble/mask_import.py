"""Scribbles from masks: a Labels layer with some cells, or ImageJ ROIs."""

from __future__ import annotations

import numpy as np
from napari.layers import Labels

from napari_impartial.core.data.scribbles import from_instances
from napari_impartial.core.errors import ImPartialError
from napari_impartial.gui import notifications
from napari_impartial.gui.layers.image_source import OURS, Source
from napari_impartial.gui.layers.scribble_layers import scribble_name
from napari_impartial.gui.layers.workspace import Workspace
from napari_impartial.io.rois import read_roi_zip


def candidates(workspace: Workspace) -> list[str]:
    """Names of the Labels layers whose objects could become scribbles."""
    source = workspace.source
    if source is None:
        return []
    names = []
    for layer in workspace.viewer.layers:
        if not isinstance(layer, Labels) or layer.multiscale:
            continue
        ours = OURS in layer.metadata or layer.name == scribble_name(source.name)
        if not ours and _fits(layer.data.shape, source):
            names.append(str(layer.name))
    return names


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
    _add(workspace, masks)


def _is_flat(shape: tuple[int, ...]) -> bool:
    """Whether labels of this shape are one plane."""
    return all(n == 1 for n in shape[:-2])


def _fits(shape: tuple[int, ...], source: Source) -> bool:
    """Whether labels of this shape have a plane for at least some planes of an image."""
    stacked = len(shape) == len(source.stack_shape) + 2
    return shape[-2:] == source.plane_shape and (_is_flat(shape) or stacked)


def from_roi_file(workspace: Workspace, path: str) -> None:
    """Add the ROIs of a file to the scribbles of the plane in view."""
    source = workspace.source
    if source is None:
        notifications.show_warning("Choose the image that the ROIs belong to first.")
        return
    try:
        masks = read_roi_zip(path, source.plane_shape)
    except ImPartialError as error:
        notifications.show_error(str(error))
        return
    _add(workspace, masks)


def _add(workspace: Workspace, masks: np.ndarray) -> None:
    source = workspace.source
    assert source is not None
    try:
        scribbles = from_instances(masks)
    except ImPartialError as error:
        notifications.show_error(str(error))
        return
    # Known first: the import is a step that can be undone.
    workspace.new_scribbles()
    workspace.scribbles.add(source, workspace.session.plane_index, scribbles.labels)
    workspace.read_scribbles()
