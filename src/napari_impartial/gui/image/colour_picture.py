"""Three planes that are red, green and blue of one picture, shown as that."""

from __future__ import annotations

from typing import Any

import napari
import numpy as np
from napari.layers import Image as ImageLayer

from napari_impartial.core.data.axes import looks_like_colour
from napari_impartial.gui.layers.grid import placement
from napari_impartial.gui.layers.image_source import Source, data_of

COLOUR = "colour"
"""Target of the link that offers it."""

# Enough of a picture to see whether it is one.
_LOOKED_AT_PX = 64


def as_colour(layer: ImageLayer, axes: str, look: bool = False) -> Any | None:
    """Return a layer's pixels with the colours last, as napari shows pictures in colour.

    None where it has no three planes of 8 bits or, with `look`, where these do not look like the
    colours of one picture; few pixels are read then.
    """
    data = data_of(layer)
    first = next((axes.index(a) for a in "CZT" if a in axes), None)
    if layer.rgb or layer.multiscale or data.ndim != 3 or first is None:
        return None
    if data.shape[first] != 3 or np.dtype(data.dtype) != np.uint8:
        return None
    if not isinstance(data, np.ndarray) and Source((layer,), axes, (0,)).is_slide:
        return None  # to look at a few pixels all over it would be to read it whole
    planes = np.moveaxis(data, first, -1)
    if look:
        steps = [max(1, n // _LOOKED_AT_PX) for n in planes.shape[:2]]
        part = np.asarray(planes[:: steps[0], :: steps[1]])
        if not looks_like_colour(np.moveaxis(part, -1, 0)):
            return None
    return planes


def show_as_colour(viewer: napari.Viewer, layer: ImageLayer, axes: str) -> ImageLayer | None:
    """Put a picture in colour in the place of a layer with three planes; return its layer."""
    planes = as_colour(layer, axes)
    if planes is None:
        return None
    kept = "".join(letter for letter in axes if letter in "YX")
    name, place = str(layer.name), viewer.layers.index(layer)
    made = ImageLayer(
        planes,
        rgb=True,
        axis_labels=tuple(layer.axis_labels[axes.index(a)] for a in kept),
        metadata={k: v for k, v in layer.metadata.items() if k != "channel_names"},
        **placement(layer, axes, kept, (1.0, 1.0)),
    )
    viewer.layers.remove(layer)
    made.name = name
    viewer.layers.insert(min(place, len(viewer.layers)), made)
    return made
