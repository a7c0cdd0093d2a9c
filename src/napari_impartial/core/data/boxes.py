"""Rectangles of an image."""

Box = tuple[int, int, int, int]
"""``(y0, x0, y1, x1)`` in pixels, the end excluded."""
