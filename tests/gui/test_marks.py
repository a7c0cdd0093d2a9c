"""The marks of suggested places, as they are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_impartial.core.prediction.suggestions import Suggestion
from napari_impartial.gui.layers import Source
from napari_impartial.gui.layers.result_layers import ResultLayers

SIDE, BOX = 240, 48
# Corners, and places half way along the edges; all boxes lie at an edge of the image.
ENDS = (0, SIDE // 2, SIDE - BOX)
PLACES = [(y, x) for y in ENDS for x in ENDS if (y, x) != (SIDE // 2, SIDE // 2)]


@pytest.mark.parametrize("axes", ["YX", "XY"])
def test_numbers_are_drawn_inside_their_boxes(
    make_napari_viewer_proxy: Any, wait_for: Any, axes: str
) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    layer = viewer.add_image(np.zeros((SIDE, SIDE), np.float32), name="x", scale=(0.5, 0.5))
    found = [
        ((), Suggestion(10 + i, y, x, (y, x, y + BOX, x + BOX), 0.5, "unsure"))
        for i, (y, x) in enumerate(PLACES)
    ]
    marks = ResultLayers(viewer).mark(Source((layer,), axes, (0,)), found)
    # The image fills the canvas from top to bottom: what is beyond its edge is not seen.
    height, width = viewer.canvas.size
    viewer.scene.camera.zoom = height / (SIDE * 0.5)

    def drawn() -> Any:
        return viewer.screenshot(canvas_only=True, flash=False)[..., :3].max(axis=2) > 60

    def seen(text: bool) -> Any:
        marks.text.visible = text
        wait_for(lambda: drawn().any())
        return drawn()

    numbers = seen(True) & ~seen(False)
    zoom = numbers.shape[0] / SIDE
    left = (numbers.shape[1] - SIDE * zoom) / 2
    assert width > height, "or the sides would be cut off here"
    for y, x in PLACES:
        top, start = (y, x) if axes == "YX" else (x, y)
        rows = slice(round(top * zoom), round((top + BOX) * zoom))
        columns = slice(round(left + start * zoom), round(left + (start + BOX) * zoom))
        assert numbers[rows, columns].sum() > 20, f"there is no number in the box at {y}, {x}"
        numbers[rows, columns] = False
    assert not numbers.any(), "nor are there any outside"
