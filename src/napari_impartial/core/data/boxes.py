"""Rectangles of an image."""

from __future__ import annotations

from collections.abc import Sequence

Box = tuple[int, int, int, int]
"""``(y0, x0, y1, x1)`` in pixels, the end excluded."""


def centre(box: Sequence[float]) -> tuple[float, float]:
    """Return the row and column of the middle of a box's pixels."""
    y0, x0, y1, x1 = box
    return (y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2
