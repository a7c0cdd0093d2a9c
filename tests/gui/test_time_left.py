"""The time left is that of the clock, rests included."""

from __future__ import annotations

import pytest

from napari_impartial.gui.train.time_left import TimeLeft


def told(pace: float, seconds: float, left: TimeLeft, begun: float = 0.0, at: float = 0.0) -> float:
    """Report four times a second on a training of 60 s; return what is told last."""
    said = 60.0
    for tick in range(int(4 * seconds) + 1):
        trained = begun + pace * tick / 4
        said = left.note(trained, 60.0 - trained, at + tick / 4)
    return said


def test_without_rests_it_is_what_is_left_of_training() -> None:
    assert told(1.0, 10, TimeLeft()) == pytest.approx(50.0)


def test_rests_are_counted() -> None:
    left = TimeLeft()
    assert told(1 / 3, 9, left) == pytest.approx(3 * 57)
    # Once the hand rests it soon says so.
    assert told(1.0, 12, left, begun=3.0, at=9.25) == pytest.approx(45.0, rel=0.05)


def test_between_two_steps_beside_a_moving_hand_the_last_ones_count() -> None:
    left = TimeLeft()
    for step in range(4):
        left.note(0.3 * step, 60.0, 10.0 * step)
    said = [left.note(0.9 + 0.001 * tick, 60.0, 30.0 + tick) for tick in range(1, 10)]
    assert max(said) < 2.5 * 60 * 10 / 0.3


def test_a_pause_says_nothing_of_the_pace() -> None:
    left = TimeLeft()
    told(1.0, 5, left)
    assert left.note(5.0, 55.0, 600.0) == 55.0
    assert told(1.0, 5, left, begun=5.25, at=600.25) == pytest.approx(49.75)


def test_the_next_training_begins_anew() -> None:
    left = TimeLeft()
    told(1 / 3, 9, left)
    assert left.note(0.1, 59.9, 9.5) == 59.9
