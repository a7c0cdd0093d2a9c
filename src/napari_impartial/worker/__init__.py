"""The training process and its client; no Qt, no napari."""
