"""The science, headless: no Qt, no napari."""
