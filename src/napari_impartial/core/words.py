"""Numbers in words, the same wherever something is told."""

from __future__ import annotations

from collections.abc import Sequence


def count(n: int, noun: str) -> str:
    """Return a number of things in words, such as ``1 image`` or ``3 images``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape as people write it, such as ``512 x 640``."""
    return " x ".join(map(str, shape))
