"""Live: training that follows the strokes."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from napari_impartial.gui.train import live

pytestmark = pytest.mark.usefixtures("true_pauses")


@pytest.fixture
def switched_on(widget: Any, find: Any, scribbled: Any, wait_for: Any) -> Any:
    find("live_button").click()
    wait_for(lambda: widget.training.live and widget.training._elapsed_s > 1)
    return scribbled


def test_it_waits_for_strokes_and_begins_by_itself(
    widget: Any, find: Any, add_tissue: Any, wait_for: Any, viewer: Any
) -> None:
    add_tissue()
    wait_for(lambda: find("new_scribbles_button").isEnabled())
    find("live_button").click()
    assert find("status_label").text().startswith("Paint a few strokes first")
    find("new_scribbles_button").click()
    layer = next(one for one in viewer.layers if one.name == "scribbles [tissue]")
    for column, label in ((5, 1), (40, 2)):
        layer.data_setitem((np.arange(4, 14), np.full(10, column)), label)
    wait_for(lambda: widget.training.live)
    assert find("status_label").text().startswith("Live: paint, and the outlines follow.")
    find("live_button").click()
    wait_for(lambda: widget.session.rounds and not widget.session.busy)
    assert not find("live_button").isChecked()


def test_the_view_follows_a_stroke(
    widget: Any, viewer: Any, find: Any, switched_on: Any, wait_for: Any
) -> None:
    seen: list[tuple[float, Any]] = []
    widget.training.previewed.connect(lambda _, shown: seen.append((time.monotonic(), shown)))
    painted = time.monotonic()
    switched_on.paint((30, 30), 2)
    wait_for(lambda: any(not shown.request.within_share for _, shown in seen))
    at, shown = next(one for one in seen if not one[1].request.within_share)
    y0, x0, y1, x1 = shown.box
    assert y0 <= 30 < y1
    assert x0 <= 30 < x1, "what was painted is what is looked at"
    if widget.training._elapsed_s > 2 * (at - painted):  # the machine is not busy elsewhere
        assert at - painted < 2
    # And on it goes, with looks at all of the field.
    n = len(seen)
    wait_for(lambda: any(shown.request.within_share for _, shown in seen[n:]))


def test_it_rests_where_nothing_is_new(
    widget: Any, find: Any, switched_on: Any, wait_for: Any
) -> None:
    assert live.REST_AFTER_MS >= 30_000
    widget.live._rest()
    assert find("status_label").text().startswith("Live rests")
    assert widget.live.resting
    switched_on.paint((50, 50), 1)
    wait_for(lambda: not widget.live.resting)
    assert find("status_label").text().startswith("Live: paint")


def test_train_finishes_with_a_training_of_the_time_that_is_set(
    widget: Any, find: Any, switched_on: Any, wait_for: Any
) -> None:
    find("time_budget_spin").setValue(2)
    find("train_button").click()
    assert not find("live_button").isChecked()
    wait_for(lambda: len(widget.session.rounds) == 2 and not widget.session.busy)
    first, second = (one.card for one in widget.session.rounds)
    assert (first.rounds, second.rounds) == (1, 2), "it goes on from what was learned"
    assert second.training.schedule == "budget"
    assert second.training.time_budget_s == 2


def test_a_failure_switches_it_off(
    widget: Any, find: Any, switched_on: Any, children: Any, wait_for: Any
) -> None:
    children[-1].kill()
    wait_for(lambda: not widget.live.on)
    assert not find("live_button").isChecked()
    assert not widget.session.busy


def test_the_command_repeats_a_training_of_as_long(
    widget: Any, find: Any, switched_on: Any, wait_for: Any
) -> None:
    find("live_button").click()
    wait_for(lambda: widget.session.rounds and not widget.session.busy)
    done = widget.training.done.training
    assert done.schedule == "budget"
    assert abs(done.time_budget_s - max(1, widget.session.card.seconds)) <= 1


def test_it_learns_from_the_nuclear_channel_that_is_chosen(
    widget: Any, find: Any, scribbled: Any, wait_for: Any
) -> None:
    nuclei = find("nuclear_channel_combo")
    nuclei.setCurrentIndex(1)
    name = nuclei.currentData()
    assert name
    find("live_button").click()
    wait_for(lambda: widget.training.live and widget.training._elapsed_s > 0)
    find("live_button").click()
    wait_for(lambda: widget.session.rounds and not widget.session.busy)
    card = widget.session.card
    assert (card.training.schedule, card.training.nuclear_channel) == ("steady", name)
    assert widget.training.done.training.nuclear_channel == name, "Copy command has it, too"


def test_stop_ends_it(widget: Any, find: Any, switched_on: Any, wait_for: Any, qtbot: Any) -> None:
    find("stop_button").click()
    wait_for(lambda: widget.session.rounds and not widget.session.busy)
    qtbot.wait(100)
    assert not widget.live.on
    assert not find("live_button").isChecked()
    assert not widget.session.busy
    assert len(widget.session.rounds) == 1


def test_a_nuclear_channel_that_is_not_there_is_told_before_anything_begins(
    widget: Any, find: Any, scribbled: Any, notes: Any, qtbot: Any
) -> None:
    called = widget.training._nuclear_channel
    shown = widget.session.record.channel_names
    assert shown == ("channel 1", "channel 2")
    assert called("channel 2", ("DAPI", "CD45")) == "CD45", "what a model calls it"
    assert called("dapi", ("DAPI", "CD45")) == "DAPI"
    assert called("", ("DAPI", "CD45")) == ""
    widget.train_panel.restore({"nuclear_channel": "GHOST"})
    find("live_button").click()
    qtbot.waitUntil(lambda: not widget.live.on)
    assert "'GHOST'" in notes()[-1]
    assert "Train > Advanced" in notes()[-1]
    find("train_button").click()
    assert len(notes()) == 2
    assert not widget.session.busy
    assert not widget.session.rounds
    assert widget.training._job is None
