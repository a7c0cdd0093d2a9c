"""Images that are open in napari and not yet part of the session."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import napari
from napari.layers import Image as ImageLayer

from . import Source, image_layers, preselected
from .image_source import (
    axes_are_guessed,
    axes_of,
    companions,
    data_of,
    names_of_channels,
    origin_of,
    usual_channels,
)


def other_images(
    viewer: napari.Viewer, sources: Iterable[Source], like: Source | None
) -> list[Source]:
    """Return the open images of which no layer is part of `sources`.

    Layers of one file are channels of one image. What the user said of the axes and
    channels of `like` is taken over by images of the same make.
    """
    taken = groups_of(sources)
    found: list[Source] = []
    for layer in image_layers(viewer):
        if group(layer) not in taken:
            source = source_of(viewer, layer, like)
            found.append(source)
            taken |= groups_of([source])
    return found


def groups_of(sources: Iterable[Source]) -> set[Hashable]:
    """Return what the layers of images were opened with."""
    return {group(layer) for source in sources for layer in source.layers}


def group(layer: ImageLayer) -> Hashable:
    """Return the same for layers of one size from one file, which are channels of one image."""
    origin = origin_of(layer)
    return id(layer) if origin is None else (*origin, data_of(layer).shape)


def source_of(viewer: napari.Viewer, layer: ImageLayer, like: Source | None) -> Source:
    """Return the image that a layer leads, with axes and channels as of one of the same make."""
    axes = axes_of(layer)
    ndim = data_of(layer).ndim
    alike = like is not None and len(like.axes) == ndim and like.primary.rgb == layer.rgb
    if like is not None and alike and axes_are_guessed(layer):
        axes = like.axes
    own = names_of_channels(layer, axes)
    further = tuple(preselected(layer, companions(viewer, layer, axes)))
    if (
        like is not None
        and alike
        and axes == like.axes
        and len(like.layers) == 1
        and not further
        and len(own) == len(names_of_channels(like.primary, like.axes))
    ):
        return Source((layer,), axes, like.channels, like.names)
    return Source((layer, *further), axes, usual_channels(layer, axes))
