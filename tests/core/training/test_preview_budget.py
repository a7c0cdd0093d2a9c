"""Previews stay within their share of the time."""

from __future__ import annotations

import numpy as np
import pytest

from napari_impartial.core.training.preview_budget import (
    LEAST_PART_PX,
    LONGEST_REST_S,
    LONGEST_S,
    Look,
    PreviewBudget,
    shrink,
)

STEP_PX = 4 * 128 * 128


@pytest.mark.parametrize("slower", [0.2, 1.0, 6.0])
def test_the_share_is_kept_whatever_previews_cost(slower: float) -> None:
    rng = np.random.default_rng(0)
    budget = PreviewBudget(STEP_PX)
    now, step_s, longest, taken = 0.0, 0.05, 0.0, 0
    while now < 300:
        now += step_s
        pixels = min(budget.now_px(now, step_s), 1024 * 1024)
        if pixels > 10_000:
            took = slower * (1.5 + pixels / STEP_PX) * step_s * rng.uniform(0.5, 1.0)
            budget.add(pixels, took, step_s)
            now += took
            longest, taken = max(longest, took), taken + 1
            # One preview may take longer than foretold; the rest has to make up for it.
            assert budget.spent_s <= 0.1 * now + longest
    assert taken > 10
    assert budget.spent_s > 0.05 * now, "the share is there to be used"


@pytest.mark.parametrize("step_s", [0.05, 0.13, 0.5])
@pytest.mark.parametrize("whole_s", [15.0, 60.0, 200.0])
@pytest.mark.parametrize("pans_every_s", [2.0, 7.0, 1e9])
def test_new_fields_are_seen_soon_and_the_share_is_kept(
    step_s: float, whole_s: float, pans_every_s: float
) -> None:
    budget = PreviewBudget(STEP_PX, whole_s=whole_s)
    now, panned, waiting, looks = 0.0, 0.0, False, 0
    waited: list[float] = []
    after_a_minute = 0.0

    def have(look: Look) -> None:
        nonlocal now
        y0, x0, y1, x1 = look.box
        pixels = (y1 - y0) * (x1 - x0)
        took = (1.0 + 0.3 * pixels / STEP_PX) if look.quick else (1.5 + pixels / STEP_PX)
        budget.add(pixels, took * step_s, step_s, look.quick)
        now += took * step_s

    while now < whole_s:
        now += step_s
        if now - panned > pans_every_s and budget.spent_s:
            panned, waiting = now, True
        # As greedy as can be: all of it, whenever there is time for something.
        look = budget.look((0, 0, 1024, 1024), now, step_s, new=waiting)
        if look:
            have(look)
            looks += not waiting
            if waiting:
                assert look.quick
                waited.append(now - panned)
            waiting = False
        if now >= 60:
            after_a_minute = max(after_a_minute, budget.spent_s / now)
    # The last one may have begun just before the end.
    assert budget.spent_s <= 0.1 * now + 1e-6
    assert after_a_minute <= 0.1 + 1e-6
    if step_s < 0.2 and pans_every_s < 1e9:
        # A box of 400 x 400 px, and the step that it waits for.
        assert waited[0] < 2 - 0.5, "there is something to be lent"
    if step_s < 0.2 and pans_every_s == 7.0 and whole_s > 15:
        assert np.quantile(waited, 0.9) < 2 - 0.5
    if pans_every_s > 1e8 and whole_s > 15:
        assert looks >= 2, "the same field is looked at again"


def test_a_full_look_leaves_what_new_fields_may_need() -> None:
    budget = PreviewBudget(STEP_PX)
    pixels = budget.now_px(8.0, 0.1)
    assert pixels > 0
    budget.add(pixels, budget.cost_s(pixels, 0.1), 0.1)
    assert budget.now_px(8.0, 0.1) == 0
    for _ in range(3):
        left = budget.now_px(8.0, 0.1, quick=True)
        assert left >= 400 * 400 - 1
        budget.add(400 * 400, budget.cost_s(400 * 400, 0.1, quick=True), 0.1, quick=True)
    assert budget.now_px(8.0, 0.1, quick=True) == 0


def test_rests_bring_previews_and_a_pause_no_more_than_one_rest() -> None:
    budget = PreviewBudget(4 * 128**2)
    budget.spend(3.0)
    assert budget.now_px(30.0, 0.1) == 0
    budget.rest(3600.0)
    paused = PreviewBudget(4 * 128**2)
    paused.spend(3.0)
    paused.rest(LONGEST_REST_S)
    assert budget.now_px(30.0, 0.1) == paused.now_px(30.0, 0.1)
    for _ in range(100):
        budget.rest(0.2)
    resting = budget.now_px(30.0, 0.1)
    assert resting > paused.now_px(30.0, 0.1)
    busy = PreviewBudget(4 * 128**2)
    busy.spend(3.0)
    assert resting == pytest.approx(busy.now_px(50.0 + LONGEST_REST_S, 0.1), rel=0.5)


def test_rests_bring_new_fields_to_the_end_of_a_training() -> None:
    budget = PreviewBudget(STEP_PX, whole_s=15.0)
    budget.spend(1.5)
    assert budget.new_px(14.5, 0.05) == 0, "nothing is lent that could not be paid back"
    for _ in range(40):
        budget.rest(0.5)
    assert budget.new_px(14.5, 0.05) > 0


FIELD = (100, 0, 700, 600)


def test_what_is_looked_at_is_what_there_is_time_for() -> None:
    budget = PreviewBudget(STEP_PX)
    assert budget.look(FIELD, 0.5, 0.05, new=True) is None, "the first weights know little"
    first = budget.look(FIELD, 1.2, 0.05, new=True)
    assert first is not None
    assert first.quick, "something to see soon"
    y0, x0, y1, x1 = first.box
    assert ((y0 + y1) / 2, (x0 + x1) / 2) == pytest.approx((400, 300), abs=1)
    assert 0.98 * LEAST_PART_PX < (y1 - y0) * (x1 - x0) < 600 * 600
    # As much of it as the share allows, for nothing was lent yet.
    assert (y1 - y0) * (x1 - x0) == pytest.approx(budget.now_px(1.2, 0.05, quick=True), rel=0.02)
    budget.add(first_px := 300 * 300, budget.cost_s(first_px, 0.05, quick=True), 0.05, quick=True)
    assert budget.look(FIELD, 1.3, 0.05) is None
    lent = budget.look(FIELD, 1.3, 0.05, new=True)
    assert lent is not None
    assert lent.box[2] - lent.box[0] == pytest.approx(400, abs=2)
    assert budget.look(FIELD, 100.0, 0.05) == Look(FIELD, quick=False)
    assert budget.look(FIELD, 100.0, 0.05, quick=True) == Look(FIELD, quick=True)
    # A small field whole or not at all, and a large one not in crumbs.
    assert budget.look((0, 0, 60, 60), 100.0, 0.05) == Look((0, 0, 60, 60), quick=False)
    for elapsed_s in np.linspace(3.0, 20.0, 60):
        look = budget.look(FIELD, float(elapsed_s), 0.05)
        if look is None:
            assert budget.now_px(float(elapsed_s), 0.05, quick=True) / 2 < 1.01 * LEAST_PART_PX
        else:
            y0, x0, y1, x1 = look.box
            assert (y1 - y0) * (x1 - x0) >= 0.98 * LEAST_PART_PX


def test_half_of_what_there_is_stays_for_the_next_field() -> None:
    budget = PreviewBudget(STEP_PX)
    budget.add(STEP_PX, budget.cost_s(STEP_PX, 0.1, quick=True), 0.1, quick=True)
    # 0.4 s, and what is kept to be lent.
    lent_s = 3 * budget.cost_s(400 * 400, 0.1, quick=True)
    budget.spend(0.1 * 60.0 - budget.spent_s - lent_s - 0.4)
    for new in (False, True):
        look = budget.look((0, 0, 2000, 2000), 60.0, 0.1, new=new, quick=True)
        assert look is not None
        y0, x0, y1, x1 = look.box
        cost_s = budget.cost_s((y1 - y0) * (x1 - x0), 0.1, quick=True)
        assert 0.15 < cost_s < 0.3, new


@pytest.mark.parametrize("step_s", [0.05, 0.13, 0.3])
def test_one_look_that_took_very_long_does_not_end_them_all(step_s: float) -> None:
    budget = PreviewBudget(STEP_PX)
    budget.add(LEAST_PART_PX, 6 * LONGEST_S, step_s, quick=True)
    assert budget.look(FIELD, 1.0, step_s, new=True) is None
    for new in (True, False):
        look = budget.look(FIELD, 3600.0, step_s, new=new, quick=True)
        assert look is not None, new
        assert look.quick


def test_the_wait_for_a_new_field_is_a_rest_after_which_it_can_be_had() -> None:
    budget = PreviewBudget(STEP_PX)
    budget.add(STEP_PX, 0.1, 0.1, quick=True)
    # Where nothing is lent any more, and nearly as much more was taken as a rest brings.
    budget.spend(0.1 * 70.0 - budget.spent_s + 0.1 * LONGEST_REST_S - 0.05)
    seen = []
    for rested_s in np.arange(0.0, 2 * LONGEST_REST_S, 0.3):
        wait_s = budget.wait_s(FIELD, 70.0, 0.1)
        look = budget.look(FIELD, 70.0, 0.1, new=True)
        assert (look is not None) == (wait_s == 0)
        assert wait_s in (0, np.inf) or wait_s < LONGEST_REST_S
        seen.append((float(rested_s), wait_s))
        budget.rest(0.3)
    waits = [wait for _, wait in seen]
    assert waits == sorted(waits, reverse=True)
    assert waits[0] == np.inf
    assert waits[-1] == 0
    at, wait = next((at, wait) for at, wait in seen if 0 < wait < np.inf)
    had_at = next(at for at, wait in seen if wait == 0)
    assert had_at - 0.3 <= at + wait <= had_at + 0.11


def test_a_forecast_that_was_too_low_is_mended() -> None:
    budget = PreviewBudget(STEP_PX)
    assert budget.most_px(10.0) > 0, "a slow machine has previews, too"
    before = budget.cost_s(STEP_PX, 0.1)
    budget.add(STEP_PX, 4 * before, 0.1)
    assert budget.cost_s(STEP_PX, 0.1) == pytest.approx(4 * before)
    for _ in range(50):
        budget.add(STEP_PX, before, 0.1)
    assert budget.cost_s(STEP_PX, 0.1) == pytest.approx(before)


def test_no_preview_takes_longer_than_is_bearable() -> None:
    budget = PreviewBudget(STEP_PX)
    assert budget.now_px(0.5, 0.05) == 0, "not before there is time for it"
    assert budget.now_px(1e6, 0.05) == budget.most_px(0.05)
    assert budget.cost_s(budget.most_px(0.05), 0.05) == pytest.approx(LONGEST_S, rel=0.01)


def test_a_box_is_shrunk_round_its_middle() -> None:
    assert shrink((0, 0, 100, 200), 20_000) == (0, 0, 100, 200)
    assert shrink((0, 0, 100, 200), 5_000) == (25, 50, 75, 150)
    assert shrink((10, 10, 110, 110), 16 * 16) == (52, 52, 68, 68)
    assert shrink((10, 10, 110, 110), 15 * 15) is None
    assert shrink((0, 0, 100, 100), 0) is None
