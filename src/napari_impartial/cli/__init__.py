"""The headless face: one module a command, none of which needs napari or Qt."""
