"""One layer a channel: chosen layers stay channels, and what is lost is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from looking import layer_named
from qtpy.QtCore import Qt

from napari_impartial.gui.layers import Source

STAINS = ("DAPI", "CD8", "CD45")


@pytest.fixture
def stains(widget: Any, viewer: Any, find: Any, qtbot: Any) -> list[Any]:
    """One picture of three layers, all of them ticked."""
    rng = np.random.default_rng(0)
    layers = [viewer.add_image(rng.random((40, 50)), name=name) for name in STAINS]
    qtbot.waitUntil(lambda: find("image_combo").count() == 3)
    find("image_combo").setCurrentIndex(0)
    widget.image_panel.set_axes("YX")
    widget.image_panel.setValue(Source(tuple(layers), "YX", (0,)))
    assert channels(widget) == STAINS
    return layers


@pytest.fixture
def settle(widget: Any, viewer: Any, qtbot: Any, wait_for: Any) -> Any:
    """Let a layer event happen, as any result makes one, and all that follows from it."""

    def run() -> None:
        viewer.add_points(np.zeros((1, 2)))
        wait_for(lambda: not widget.workspace._layers_timer.isActive())
        wait_for(lambda: not widget.workspace._removal_timer.isActive())
        qtbot.wait(20)

    return run


def channels(widget: Any) -> tuple[str, ...]:
    names: tuple[str, ...] = widget.session.record.channel_names
    assert names == widget.workspace.source.channel_names
    return names


@pytest.mark.parametrize("moved", [0, 1])
def test_a_layer_that_is_scaled_or_moved_stays_a_channel(
    widget: Any, stains: list[Any], settle: Any, notes: Any, moved: int
) -> None:
    stains[moved].scale = (0.5, 0.5)
    stains[moved].translate = (10, 20)
    settle()
    assert channels(widget) == STAINS
    assert widget.workspace.image(widget.session.current, ()).n_channels == 3
    for layer in stains:
        layer.scale, layer.translate = (0.5, 0.5), (10, 20)
    settle()
    assert channels(widget) == STAINS
    assert notes() == []


def test_results_lie_where_the_first_layer_lies(
    widget: Any, viewer: Any, stains: list[Any], settle: Any
) -> None:
    widget.workspace.new_scribbles()
    stains[0].scale = (0.5, 0.25)
    stains[1].scale = (3.0, 3.0)
    settle()
    np.testing.assert_allclose(layer_named(viewer, "scribbles [DAPI]").scale, (0.5, 0.25))


def test_names_and_choice_outlast_a_change_of_scale(
    widget: Any, stains: list[Any], settle: Any
) -> None:
    table = widget.image_panel.table.model()
    assert table.setData(table.index(2, 0), "lymphocytes")
    unticked = Qt.CheckState.Unchecked.value
    assert table.setData(table.index(1, 0), unticked, Qt.ItemDataRole.CheckStateRole)
    assert channels(widget) == ("DAPI", "lymphocytes")
    stains[0].scale = (0.5, 0.5)
    settle()
    assert channels(widget) == ("DAPI", "lymphocytes")
    for layer in stains[1:]:
        layer.scale = (0.5, 0.5)
    settle()
    rows = [(row.name, row.used) for row in widget.image_panel.table.channels]
    assert rows == [("DAPI", True), ("CD8", False), ("lymphocytes", True)]


def test_a_removed_channel_is_told(
    widget: Any, viewer: Any, stains: list[Any], settle: Any, notes: Any
) -> None:
    viewer.layers.remove(stains[1])
    settle()
    assert channels(widget) == ("DAPI", "CD45")
    assert notes() == ["'CD8' was removed: 'DAPI' now has 2 channels (DAPI, CD45)."]
    viewer.layers.append(stains[1])
    settle()
    assert set(channels(widget)) == set(STAINS), "put back, it is a channel again"
    assert len(notes()) == 1


def test_a_channel_with_other_pixels_is_told_and_comes_back(
    widget: Any, stains: list[Any], settle: Any, notes: Any
) -> None:
    pixels = stains[1].data
    stains[1].data = pixels[:30]
    settle()
    assert channels(widget) == ("DAPI", "CD45")
    assert notes() == [
        "'CD8' no longer has as many pixels as 'DAPI': 'DAPI' now has 2 channels (DAPI, CD45)."
    ]
    stains[1].data = pixels
    settle()
    assert channels(widget) == STAINS


def test_a_channel_of_an_image_at_the_back_is_told_too(
    widget: Any, viewer: Any, stains: list[Any], settle: Any, notes: Any
) -> None:
    other = viewer.add_image(np.zeros((70, 80)), name="other")
    settle()
    widget.image_panel.setValue(Source((other,), "YX", (0,)))
    key = widget.workspace.key_of(stains[0])
    viewer.layers.remove(stains[2])
    settle()
    assert widget.session.images[key].channel_names == ("DAPI", "CD8")
    assert notes() == ["'CD45' was removed: 'DAPI' now has 2 channels (DAPI, CD8)."]


def test_a_model_says_what_it_misses_before_anything_runs(
    widget: Any, viewer: Any, find: Any, stains: list[Any], settle: Any
) -> None:
    from napari_impartial.core.network.warm_start import shipped

    card = replace(shipped().card, channel_names=STAINS)
    widget.session.set_model(Path("unread.impartial"), card)
    assert find("predict_button").isEnabled()
    viewer.layers.remove(stains[1])
    settle()
    assert not find("predict_button").isEnabled()
    assert not find("start_over_button").isEnabled()
    assert widget.steps["result"]._hint.text().startswith("'DAPI' has no channel CD8;")


@pytest.mark.parametrize("at_the_back", [False, True])
def test_a_renamed_layer_renames_its_channel(
    widget: Any, viewer: Any, stains: list[Any], settle: Any, at_the_back: bool
) -> None:
    key = widget.session.current
    assert widget.workspace.image(key, ()).channel_names == STAINS
    if at_the_back:
        other = viewer.add_image(np.zeros((70, 80)), name="other")
        settle()
        widget.image_panel.setValue(Source((other,), "YX", (0,)))
    stains[0].name = "nuclei"
    stains[1].name = "T cells"
    settle()
    now = ("nuclei", "T cells", "CD45")
    assert widget.session.images[key].channel_names == now
    assert widget.workspace.image(key, ()).channel_names == now
    assert widget.session.images[key].name == "nuclei"


def test_other_pixels_of_a_further_channel_are_read_anew(
    widget: Any, stains: list[Any], settle: Any
) -> None:
    key = widget.session.current
    assert widget.workspace.image(key, ()).channels[1].any()
    stains[1].data = np.zeros_like(stains[1].data)
    assert not widget.workspace.image(key, ()).channels[1].any()


def test_all_layers_removed_at_once_need_no_words(
    widget: Any, viewer: Any, stains: list[Any], qtbot: Any, notes: Any
) -> None:
    viewer.layers.clear()
    qtbot.wait(300)
    assert notes() == []
