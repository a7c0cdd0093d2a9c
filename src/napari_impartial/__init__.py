"""ImPartial: multi-channel segmentation from a few scribbles, in napari and headless."""

__version__ = "0.1.0"
