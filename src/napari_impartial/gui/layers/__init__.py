"""Layers to arrays and back: the only reader and writer of napari layers."""

from .image_source import Source, image_layers, preselected
from .result_layers import ResultLayers, Role
from .scribble_layers import ScribbleLayers

__all__ = ["ResultLayers", "Role", "ScribbleLayers", "Source", "image_layers", "preselected"]
