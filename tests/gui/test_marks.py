"""The marks of suggested places, as they are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_impartial.core.prediction.suggestions import Suggestion
from napari_impartial.gui.layers import Source
from napari_impartial.gui.layers.result_layers import ResultLayers
from napari_impartial.gui.layers.versions import camera_of, canvas_size

SIDE, BOX = 240, 48
# Two corners, and the middle.
PLACES = [(0, 0), (SIDE - BOX, 0), (SIDE // 2, SIDE // 2)]


@pytest.mark.parametrize("axes", ["YX", "XY"])
def test_the_current_place_is_clear_and_has_words_beside_it(
    make_napari_viewer_proxy: Any, wait_for: Any, axes: str
) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    layer = viewer.add_image(np.zeros((SIDE, SIDE), np.float32), name="x", scale=(0.5, 0.5))
    found = [
        ((), Suggestion(1 + i, y, x, (y, x, y + BOX, x + BOX), 0.5, "unsure"))
        for i, (y, x) in enumerate(PLACES)
    ]
    height = canvas_size(viewer)[0]
    camera_of(viewer).zoom = height / (SIDE * 0.5)
    source = Source((layer,), axes, (0,))
    current = found[-1][1]
    marks = ResultLayers(viewer).mark(source, found, current, "Place 3 of 10")
    assert not marks.visible, "the picture is to be seen, before anybody looks for places"
    marks.visible = True
    words = list(marks.features["words"])
    assert [i for i, word in enumerate(words) if word] == [len(found) - 1]

    def drawn() -> Any:
        return viewer.screenshot(canvas_only=True, flash=False)[..., :3].max(axis=2).astype(int)

    def seen(text: bool) -> Any:
        marks.text.visible = text
        wait_for(lambda: drawn().max() > 60)
        return drawn()

    with_text, without = seen(True), seen(False)
    text = np.abs(with_text - without) > 30
    assert text.sum() > 20
    zoom = text.shape[0] / SIDE
    left = (text.shape[1] - SIDE * zoom) / 2

    def box(one: Suggestion) -> tuple[slice, slice]:
        top, start = (one.y, one.x) if axes == "YX" else (one.x, one.y)
        rows = slice(round(top * zoom) + 4, round((top + BOX) * zoom) - 4)
        return rows, slice(round(left + start * zoom) + 4, round(left + (start + BOX) * zoom) - 4)

    assert not text[box(current)].any(), "what is inside is to be seen"
    edges = np.asarray(marks.edge_color)[:, 3]
    assert edges[-1] == 1
    assert (edges[:-1] < 0.5).all()
