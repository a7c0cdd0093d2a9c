"""Planes that are a picture in colour."""

from __future__ import annotations

from typing import Any

import numpy as np


def test_three_planes_of_a_picture_can_be_shown_in_colour(
    widget: Any, viewer: Any, find: Any, qtbot: Any
) -> None:
    """A stained tissue that was saved as three planes is grey, and taken for channels."""
    rng = np.random.default_rng(0)
    grey = rng.integers(60, 220, (60, 70))
    tint = np.array([20, -15, 10])[:, None, None]
    planes = (grey + tint + rng.integers(-9, 9, (3, 60, 70))).clip(0, 255).astype(np.uint8)
    layer = viewer.add_image(planes, name="tissue", scale=(1.0, 0.5, 0.5))
    qtbot.waitUntil(lambda: widget.workspace.source is not None)
    said = find("axes_label")
    assert "a colour picture" in said.accessibleName()
    said.linkActivated.emit("colour")
    qtbot.waitUntil(lambda: widget.workspace.source is not None and layer not in viewer.layers)
    (shown,) = viewer.layers
    assert (shown.name, shown.rgb, shown.data.shape) == ("tissue", True, (60, 70, 3))
    np.testing.assert_array_equal(shown.data, np.moveaxis(planes, 0, -1))
    np.testing.assert_allclose(shown.scale, (0.5, 0.5))
    colours = ("red", "green", "blue")
    qtbot.waitUntil(lambda: getattr(widget.session.record, "channel_names", None) == colours)
    # Stains that have little to do with each other are no picture.
    viewer.layers.clear()
    viewer.add_image(rng.integers(0, 255, (3, 60, 70)).astype(np.uint8), name="stains")
    qtbot.waitUntil(lambda: widget.session.record is not None)
    assert "a colour picture" not in said.accessibleName()
