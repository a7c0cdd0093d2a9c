"""Previews stay within their share of the time."""

from __future__ import annotations

import numpy as np
import pytest

from napari_impartial.core.data.boxes import Box
from napari_impartial.core.training.preview_budget import (
    CREDIT_S,
    LEAST_PART_PX,
    LONGEST_REST_S,
    LONGEST_S,
    SHARE,
    Look,
    PreviewBudget,
)

STEP_PX = 4 * 128 * 128
FIELD = (100, 0, 700, 600)


def pixels(box: Box) -> int:
    y0, x0, y1, x1 = box
    return (y1 - y0) * (x1 - x0)


def have(budget: PreviewBudget, look: Look | None, step_s: float, dearer: float = 1.0) -> float:
    """Have a look, and return what it took."""
    assert look is not None
    took_s = dearer * step_s * (1 + (0.3 if look.quick else 1.0) * pixels(look.box) / STEP_PX)
    budget.add(pixels(look.box), took_s, step_s, look.quick)
    return took_s


@pytest.mark.parametrize("dearer", [0.2, 1.0, 6.0])
def test_the_share_is_kept_whatever_previews_cost(dearer: float) -> None:
    rng = np.random.default_rng(0)
    budget = PreviewBudget(STEP_PX)
    now, longest, taken, step_s = 0.0, 0.0, 0, 0.05
    while now < 300:
        now += step_s
        look = budget.look((0, 0, 1024, 1024), now, step_s)
        if look:
            took_s = have(budget, look, step_s, dearer * rng.uniform(0.5, 1.0))
            now += took_s
            longest, taken = max(longest, took_s), taken + 1
            # One preview may take longer than foretold; the rest has to make up for it.
            assert budget.spent_s <= SHARE * now + longest
    assert taken > 10
    assert budget.spent_s > SHARE / 2 * now, "the share is there to be used"


@pytest.mark.parametrize("step_s", [0.05, 0.13, 0.5])
@pytest.mark.parametrize("whole_s", [15.0, 60.0, 200.0])
@pytest.mark.parametrize("pans_every_s", [2.0, 7.0, 1e9])
def test_new_fields_are_seen_soon_and_the_share_is_kept(
    step_s: float, whole_s: float, pans_every_s: float
) -> None:
    budget = PreviewBudget(STEP_PX, whole_s)
    now, panned, waiting, looks = 0.0, 0.0, False, 0
    waited: list[float] = []
    after_a_minute = 0.0
    while now < whole_s:
        now += step_s
        if now - panned > pans_every_s and budget.spent_s:
            panned, waiting = now, True
        # As greedy as can be: all of it, whenever there is time for something.
        look = budget.look((0, 0, 1024, 1024), now, step_s, new=waiting)
        if look:
            now += have(budget, look, step_s)
            looks += not waiting
            if waiting:
                assert look.quick
                waited.append(now - panned)
            waiting = False
        if now >= 60:
            after_a_minute = max(after_a_minute, budget.spent_s / now)
    # The last one may have begun just before the end.
    assert budget.spent_s <= SHARE * now + 1e-6
    assert after_a_minute <= SHARE + 1e-6
    if step_s < 0.2 and pans_every_s < 1e9:
        assert waited[0] < 2 - 0.5, "there is credit"
    if step_s < 0.2 and pans_every_s == 7.0 and whole_s > 15:
        assert np.quantile(waited, 0.9) < 2 - 0.5
    if pans_every_s > 1e8 and whole_s > 15:
        assert looks >= 2, "the same field is looked at again"


def test_looks_at_the_same_field_leave_what_new_ones_may_need() -> None:
    budget = PreviewBudget(STEP_PX)
    now = 100.0
    have(budget, budget.look(FIELD, now, 0.1), 0.1)
    while look := budget.look(FIELD, now, 0.1):
        have(budget, look, 0.1)
    new = 0.0
    while look := budget.look(FIELD, now, 0.1, new=True):
        new += have(budget, look, 0.1)
    assert CREDIT_S - 0.15 < new < CREDIT_S + 0.3, "as much as has come together by then"
    assert budget.spent_s <= SHARE * now
    assert budget.look(FIELD, now + 1.0, 0.1) is None
    assert budget.look(FIELD, now + 20.0, 0.1) is not None


def test_rests_bring_previews_and_a_pause_no_more_than_one_rest() -> None:
    def ready(*rests: float) -> bool:
        budget = PreviewBudget(STEP_PX)
        budget.add(STEP_PX, 0.13, 0.1, quick=True)
        budget.spend(SHARE * 100 + 1.0)
        for seconds in rests:
            budget.rest(seconds)
        return budget.look(FIELD, 100.0, 0.1, new=True) is not None

    assert not ready()
    assert ready(*[0.2] * 80)
    assert ready(LONGEST_REST_S, LONGEST_REST_S)
    assert not ready(3600.0)


def test_rests_bring_new_fields_to_the_end_of_a_training() -> None:
    budget = PreviewBudget(STEP_PX, whole_s=15.0)
    budget.add(STEP_PX, 1.5, 1.5, quick=True)
    assert budget.look(FIELD, 14.5, 0.05, new=True) is None, "no credit that is not paid back"
    for _ in range(40):
        budget.rest(0.5)
    assert budget.look(FIELD, 14.5, 0.05, new=True) is not None


def test_what_is_looked_at_is_what_there_is_time_for() -> None:
    budget = PreviewBudget(STEP_PX)
    assert budget.look(FIELD, 0.5, 0.05, new=True) is None, "the first weights know little"
    first = budget.look(FIELD, 1.2, 0.05, new=True)
    assert first is not None
    assert first.quick, "something to see soon"
    y0, x0, y1, x1 = first.box
    assert ((y0 + y1) / 2, (x0 + x1) / 2) == pytest.approx((400, 300), abs=1)
    assert 0.98 * LEAST_PART_PX < pixels(first.box) < 600 * 600
    have(budget, first, 0.05)
    assert budget.look(FIELD, 1.3, 0.05) is None
    on_credit = budget.look(FIELD, 1.3, 0.05, new=True)
    assert on_credit is not None
    assert on_credit.box[2] - on_credit.box[0] == pytest.approx(400, abs=2)
    assert budget.look(FIELD, 100.0, 0.05) == Look(FIELD, quick=False)
    assert budget.look(FIELD, 100.0, 0.05, quick=True) == Look(FIELD, quick=True)
    # A small field whole or not at all, and a large one not in crumbs.
    assert budget.look((0, 0, 60, 60), 100.0, 0.05) == Look((0, 0, 60, 60), quick=False)
    for elapsed_s in np.linspace(3.0, 20.0, 60):
        look = budget.look(FIELD, float(elapsed_s), 0.05)
        assert look is None or pixels(look.box) >= 0.98 * LEAST_PART_PX


def test_half_of_what_there_is_stays_for_the_next_field() -> None:
    budget = PreviewBudget(STEP_PX)
    budget.add(STEP_PX, 0.13, 0.1, quick=True)
    # 0.5 s, and what is kept.
    budget.spend(SHARE * 100.0 - budget.spent_s - CREDIT_S - 0.5)
    for new in (False, True):
        look = budget.look((0, 0, 2000, 2000), 100.0, 0.1, new=new, quick=True)
        assert look is not None
        cost_s = budget.cost_s(pixels(look.box), 0.1, quick=True)
        assert cost_s == pytest.approx(0.25, abs=0.01), new


@pytest.mark.parametrize("step_s", [0.05, 0.13, 0.3])
def test_one_look_that_took_very_long_does_not_end_them_all(step_s: float) -> None:
    budget = PreviewBudget(STEP_PX)
    budget.add(LEAST_PART_PX, 6 * LONGEST_S, step_s, quick=True)
    assert budget.look(FIELD, 1.0, step_s, new=True) is None
    for new in (True, False):
        look = budget.look(FIELD, 3600.0, step_s, new=new, quick=True)
        assert look is not None, new
        assert look.quick


@pytest.mark.parametrize("looked", [False, True])
@pytest.mark.parametrize("elapsed_s", [10.0, 55.0, 200.0])
@pytest.mark.parametrize("field", [FIELD, (0, 0, 50, 50), (0, 0, 40, 4000)])
def test_the_wait_for_a_new_field_is_a_rest_after_which_it_can_be_had(
    looked: bool, elapsed_s: float, field: Box
) -> None:
    budget = PreviewBudget(STEP_PX)
    if looked:
        budget.add(STEP_PX, 0.13, 0.1, quick=True)
    # Nearly as much more was taken as a rest brings.
    budget.spend(SHARE * (elapsed_s + 2 * LONGEST_REST_S) - budget.spent_s)
    seen = []
    for rested_s in np.arange(0.0, 6 * LONGEST_REST_S, 0.3):
        wait_s = budget.wait_s(field, elapsed_s, 0.1)
        look = budget.look(field, elapsed_s, 0.1, new=True)
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
    assert had_at - 0.3 <= at + wait <= had_at + 1e-6


def test_a_forecast_that_was_too_low_is_mended() -> None:
    budget = PreviewBudget(STEP_PX)
    before = budget.cost_s(STEP_PX, 0.1)
    budget.add(STEP_PX, 4 * before, 0.1)
    assert budget.cost_s(STEP_PX, 0.1) == pytest.approx(4 * before)
    for _ in range(50):
        budget.add(STEP_PX, before, 0.1)
    assert budget.cost_s(STEP_PX, 0.1) == pytest.approx(before)


@pytest.mark.parametrize("quick", [False, True])
def test_no_preview_takes_longer_than_is_bearable(quick: bool) -> None:
    budget = PreviewBudget(STEP_PX)
    budget.add(STEP_PX, 0.1 * (1.3 if quick else 2.0), 0.1, quick)
    for step_s, longest_s in ((0.1, LONGEST_S), (10.0, budget.cost_s(LEAST_PART_PX, 10.0, quick))):
        look = budget.look((0, 0, 3000, 3000), 1e6, step_s, quick=quick)
        assert look is not None, "a slow machine has previews, too"
        assert look.quick == quick
        assert budget.cost_s(pixels(look.box), step_s, quick) == pytest.approx(longest_s, rel=0.01)
