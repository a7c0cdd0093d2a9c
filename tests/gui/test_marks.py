"""The marks of suggested places, as they are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from looking import settled

from napari_impartial.core.prediction.suggestions import Suggestion
from napari_impartial.gui.layers import Source
from napari_impartial.gui.layers.result_layers import ResultLayers
from napari_impartial.gui.layers.versions import camera_of, canvas_size
from napari_impartial.gui.refine.suggestions import MOST_PLACES

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
    ResultLayers(viewer).mark(source, found, current, "Place 3 of 10")
    (marks,) = (one for one in viewer.layers if one.name.startswith("suggest"))
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


def test_the_place_that_one_stands_at_stays_in_the_list_when_others_come(
    widget: Any, viewer: Any, tiny_tissue: Any, prediction_of: Any, wait_for: Any, find: Any
) -> None:
    viewer.add_image(tiny_tissue.image.channels, name="tissue")
    wait_for(lambda: widget.workspace.source is not None)
    widget.results._keep(widget.session.current, (), prediction_of(tiny_tissue.truth))
    settled(widget, wait_for)
    plane, control = widget.session.plane, widget.results.suggestions

    def at(y: int, x: int, score: float) -> Suggestion:
        return Suggestion(1, y, x, (y, x, y + 8, x + 8), score, "unsure")

    plane.suggestions = [at(80, 80, 0.1), at(60, 80, 0.05)]
    control.refresh()
    control.go_to(control.places[0])
    assert (control.current.suggestion.y, control.current.suggestion.rank) == (80, 1)
    plane.suggestions += [at(0, 8 * n, 0.5) for n in range(MOST_PLACES + 2)]
    control.refresh()
    assert len(control.places) == MOST_PLACES
    assert (control.current.suggestion.y, control.current.suggestion.rank) == (80, MOST_PLACES)
    widget.session.changed.emit()
    wait_for(lambda: f"Place {MOST_PLACES} of {MOST_PLACES}" in find("status_label").text())
    control.leave()
    control.refresh()
    assert 80 not in [place.suggestion.y for place in control.places]
