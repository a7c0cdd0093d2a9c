"""Scribbles from masks: a Labels layer with some cells, or ImageJ ROIs."""

from __future__ import annotations

import numpy as np
from napari.layers import Labels

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.scribbles import from_instances
from napari_impartial.io.rois import read_roi_zip

from . import notify
from .layers.scribbles import scribble_name
from .layers.source import OURS
from .workspace import Workspace


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
        if not ours and layer.data.shape[-2:] == source.plane_shape:
            names.append(str(layer.name))
    return names


def from_layer(workspace: Workspace, name: str) -> None:
    """Add the objects of a Labels layer to the scribbles of the plane in view."""
    source = workspace.source
    found = [layer for layer in workspace.viewer.layers if layer.name == name]
    if source is None or not found:
        notify.show_warning("Choose a Labels layer with some outlined cells first.")
        return
    data = np.asarray(found[0].data)
    plane = workspace.session.plane_index
    # A flat layer belongs to whatever plane is looked at.
    masks = data[plane] if data.ndim == len(plane) + 2 else data.reshape(data.shape[-2:])
    _add(workspace, masks)


def from_roi_file(workspace: Workspace, path: str) -> None:
    """Add the ROIs of a file to the scribbles of the plane in view."""
    source = workspace.source
    if source is None:
        notify.show_warning("Choose the image that the ROIs belong to first.")
        return
    try:
        masks = read_roi_zip(path, source.plane_shape)
    except ImPartialError as error:
        notify.show_error(str(error))
        return
    _add(workspace, masks)


def _add(workspace: Workspace, masks: np.ndarray) -> None:
    source = workspace.source
    assert source is not None
    try:
        scribbles = from_instances(masks)
    except ImPartialError as error:
        notify.show_error(str(error))
        return
    # Known first: the import is a step that can be undone.
    workspace.new_scribbles()
    workspace.scribbles.add(source, workspace.session.plane_index, scribbles.labels)
    workspace.read_scribbles()
