"""Outlines stand out from image and strokes, and are as wide at any zoom."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from looking import settled

from napari_impartial.gui.layers.outlines import (
    BY_OBJECT,
    PALETTE,
    WIDTH_PX,
    contrast,
    stands_out,
)
from napari_impartial.gui.layers.versions import camera_of
from napari_impartial.gui.session.looks import Looks

_RNG = np.random.default_rng(0)
# Colours of images, with noise; red, green and blue.
_IMAGES = {
    "black": [(0.02, 0.02, 0.02)],
    "blue nuclei": [(0.0, 0.0, 0.05), (0.1, 0.2, 0.9)],
    "green membranes": [(0.0, 0.02, 0.0), (0.1, 0.8, 0.1), (0.1, 0.1, 0.8)],
    "grey phase contrast": [(0.45, 0.45, 0.45), (0.8, 0.8, 0.8)],
    "pink stain": [(0.95, 0.9, 0.95), (0.85, 0.55, 0.75), (0.4, 0.25, 0.55)],
    "brown stain": [(0.9, 0.88, 0.85), (0.55, 0.4, 0.25), (0.5, 0.55, 0.7)],
}


@pytest.mark.parametrize("name", list(_IMAGES))
def test_the_colour_stands_out(name: str) -> None:
    means = np.array(_IMAGES[name])
    pixels = means[_RNG.integers(len(means), size=2000)] + _RNG.normal(0, 0.03, (2000, 3))
    pixels = np.clip(pixels, 0, 1)
    chosen = stands_out(pixels)
    seen = contrast(PALETTE[chosen], pixels)
    assert seen > 40, "as far as a tenth of the way from black to white, four times over"
    # Not one that strokes have, whatever the image.
    assert contrast(PALETTE[chosen], np.zeros((0, 3))) > 40
    assert all(seen >= contrast(other, pixels) for other in PALETTE.values())


def test_one_colour_unless_wanted_otherwise(widget: Any, find: Any, predicted: Any) -> None:
    def colours() -> int:
        mapped = np.asarray(predicted.colormap.map(np.arange(1, 9)))
        return len(np.unique(np.round(mapped, 3), axis=0))

    assert predicted.contour > 0
    assert colours() == 1
    outlines = find("outline_combo")
    outlines.setCurrentText("magenta")
    shown = np.asarray(predicted.colormap.map(np.array([3])))[0, :3]
    np.testing.assert_allclose(shown, (1, 0x4D / 255, 1), atol=0.01)
    outlines.setCurrentText(BY_OBJECT)
    assert colours() > 4
    assert np.asarray(predicted.colormap.map(np.array([0])))[0, 3] == 0


def test_they_are_as_wide_on_the_screen(
    widget: Any, viewer: Any, predicted: Any, qtbot: Any, wait_for: Any
) -> None:
    camera = camera_of(viewer)
    scale = float(np.max(predicted.scale))
    for on_screen, wanted in ((4.0, 1), (1.0, 2), (0.5, 4)):
        camera.zoom = on_screen / scale
        wait_for(lambda wanted=wanted: predicted.contour == wanted)
        if on_screen <= WIDTH_PX:
            assert predicted.contour * on_screen == pytest.approx(WIDTH_PX)
    looks = Looks(widget.workspace)
    own = "instances [tissue]"
    assert "contour" not in looks.save()["results"][own], "a session that comes back has its own"
    predicted.contour = 3
    camera.zoom = 1.0 / scale
    qtbot.wait(400)
    assert predicted.contour == 3, "what was chosen by hand stays"
    assert looks.save()["results"][own]["contour"] == 3


def test_after_training_the_picture_is_outlines_alone(
    widget: Any, viewer: Any, find: Any, predicted: Any, wait_for: Any
) -> None:
    def shown() -> set[str]:
        ours = ("probability", "uncertainty", "instances", "suggestions")
        return {
            name
            for layer in viewer.layers
            if layer.visible and (name := layer.name.split(" [")[0]) in ours
        }

    assert shown() == {"instances"}
    find("next_button").click()
    assert shown() == {"instances", "uncertainty", "suggestions"}
    marks = next(layer for layer in viewer.layers if layer.name == "suggestions [tissue]")
    edges = np.asarray(marks.edge_color)
    assert np.isclose(edges[:, 3], 1).sum() == 1, "one is clear and the others faint"
    here = widget.results.suggestions.current
    words = list(marks.features["words"])
    (beside,) = (word for word in words if word)
    said = find("status_label").text()
    assert said.startswith(f"{beside} Paint")
    assert said.endswith(", or K.")
    assert words[[p for p in widget.results.suggestions.places if not p.done].index(here)]
    # What the user hides stays hidden at the next place.
    heat = next(layer for layer in viewer.layers if layer.name == "uncertainty [tissue]")
    heat.visible = False
    find("next_button").click()
    assert shown() == {"instances", "suggestions"}
    viewer.dims.ndisplay = 3
    assert shown() == {"instances"}, "boxes lie flat in a plane"
    viewer.dims.ndisplay = 2
    find("next_button").click()
    assert shown() == {"instances", "uncertainty", "suggestions"}
    find("train_button").click()
    wait_for(lambda: widget.session.rounds and not widget.session.busy)
    settled(widget, wait_for)
    assert shown() == {"instances"}
