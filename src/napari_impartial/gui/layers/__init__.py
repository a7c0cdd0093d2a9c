"""Layers to arrays and back: the only reader and writer of napari layers."""

from .results import ResultLayers, Role
from .scribbles import ScribbleLayers
from .source import Source, image_layers, preselected

__all__ = ["ResultLayers", "Role", "ScribbleLayers", "Source", "image_layers", "preselected"]
