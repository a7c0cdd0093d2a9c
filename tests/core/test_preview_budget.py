"""Previews stay within their share of the time."""

from __future__ import annotations

import numpy as np
import pytest

from napari_impartial.core.preview_budget import LONGEST_S, PreviewBudget, shrink

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

    def look(pixels: int, quick: bool) -> None:
        nonlocal now
        took = (1.0 + 0.3 * pixels / STEP_PX) if quick else (1.5 + pixels / STEP_PX)
        budget.add(pixels, took * step_s, step_s, quick)
        now += took * step_s

    while now < whole_s:
        now += step_s
        if now - panned > pans_every_s and budget.spent_s:
            panned, waiting = now, True
        # As greedy as the window is: the whole field as soon as it can be had.
        whole = min(1024 * 1024, budget.most_px(step_s))
        new, quick = budget.new_px(now, step_s), budget.now_px(now, step_s, quick=True)
        assert new >= quick or now >= whole_s
        if waiting:
            if new >= 256 * 256:
                look(min(new, 1024 * 1024), quick=True)
                waited.append(now - panned)
                waiting = False
        elif budget.now_px(now, step_s) >= whole and budget.spent_s:
            look(whole, quick=False)
            looks += 1
        elif quick >= 256 * 256 * (2 if budget.spent_s else 1):
            look(min(quick, 1024 * 1024), quick=True)
            looks += 1
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
    assert budget.now_px(30.0, 0.1) == 0
    for _ in range(100):
        budget.rest(0.2)
    resting = budget.now_px(30.0, 0.1)
    assert resting > 0
    busy = PreviewBudget(4 * 128**2)
    busy.spend(3.0)
    assert resting == pytest.approx(busy.now_px(51.0, 0.1), rel=0.5)


def test_rests_bring_new_fields_to_the_end_of_a_training() -> None:
    budget = PreviewBudget(STEP_PX, whole_s=15.0)
    budget.spend(1.5)
    assert budget.new_px(14.5, 0.05) == 0, "nothing is lent that could not be paid back"
    for _ in range(40):
        budget.rest(0.5)
    assert budget.new_px(14.5, 0.05) > 0


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
