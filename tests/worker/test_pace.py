"""A training works, rests beside a moving hand, and looks at another field meanwhile."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

import pytest

from napari_impartial.core.training.messages import NewScribbles, Preview, Stop
from napari_impartial.worker import messages, pace
from napari_impartial.worker.inbox import Inbox
from napari_impartial.worker.pace import (
    REST_SHARE,
    REST_SHARE_OF_MANY_CORES,
    Pace,
    State,
    rest_share,
)

LONGEST_S = 0.6


@pytest.fixture
def moving(monkeypatch: pytest.MonkeyPatch) -> Pace:
    """Return the pace beside a moving hand, with shorter rests than usual."""
    monkeypatch.setattr(pace, "LONGEST_REST_S", LONGEST_S)
    made = Pace()
    made.give_way(True)
    return made


def rested(
    made: Pace,
    meanwhile: Callable[[], object] = lambda: None,
    worked_s: float = 1.0,
    most_s: float = math.inf,
) -> float:
    """Return the seconds of a rest, in which something happens."""
    timer = threading.Timer(0.05, meanwhile)
    timer.start()
    began = time.monotonic()
    made.rest(worked_s, most_s)
    took_s = time.monotonic() - began
    timer.join()
    return took_s


def test_a_training_works_while_the_hand_stands_still() -> None:
    made = Pace()
    assert made.state is State.WORKS
    assert not made.gives_way
    assert rested(made) < 0.3
    made.look()
    assert made.state is State.WORKS, "it has no rest to put off"


def test_beside_a_moving_hand_it_rests(moving: Pace) -> None:
    assert moving.state is State.RESTS
    assert LONGEST_S <= rested(moving) < 1.5 * LONGEST_S, "however long it worked"
    assert 0.1 <= rested(moving, worked_s=0.1 / REST_SHARE) < 0.3
    assert 0.1 <= rested(moving, most_s=0.1) < 0.3, "until what was asked for can be had"
    moving.rest_share = REST_SHARE_OF_MANY_CORES
    assert 0.2 <= rested(moving, worked_s=0.2) < 0.4, "as long as it worked"
    assert rested(moving, lambda: moving.give_way(True)) >= 0.2, "it moves on"
    assert moving.state is State.RESTS


def test_a_rest_ends_when_the_hand_stands_still(moving: Pace) -> None:
    assert rested(moving, lambda: moving.give_way(False)) < 0.5
    assert moving.state is State.WORKS


def test_who_comes_to_another_field_does_not_wait_for_the_end_of_a_rest(moving: Pace) -> None:
    assert rested(moving, moving.look) < 0.5
    assert moving.state is State.RESTS, "after one look"
    assert rested(moving) >= LONGEST_S
    # Asked for while it works, the rest does not begin.
    moving.look()
    assert moving.state is State.LOOKS
    assert moving.gives_way
    assert rested(moving) < 0.3
    assert rested(moving) >= LONGEST_S


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Inbox:
    """Return an inbox beside a moving hand; tests hand it what would come through the pipe."""
    monkeypatch.setattr(Inbox, "_read", lambda _: None)
    made = Inbox(None)  # type: ignore[arg-type]
    made._sort(messages.GiveWay(1, True))
    return made


def test_commands_are_done_before_a_rest_and_the_last_of_a_kind_counts(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "LONGEST_REST_S", LONGEST_S)
    assert inbox.pace.state is State.RESTS
    look = Preview(0, (0, 0, 64, 64), new_field=True)
    for command in (Preview(0, (0, 0, 64, 64)), look, NewScribbles(())):
        inbox._sort(messages.ToTraining(1, command))
    assert inbox.pace.state is State.LOOKS
    began = time.monotonic()
    assert inbox.next_command(1) is look
    inbox.rest(1.0)
    assert time.monotonic() - began < LONGEST_S, "a stroke waits still"
    assert isinstance(inbox.next_command(1), NewScribbles)
    assert inbox.next_command(1) is None
    inbox._sort(messages.ToTraining(1, Stop()))
    assert inbox.pace.state is State.WORKS


@pytest.mark.parametrize(
    ("threads", "n_cores", "share"),
    [
        (1, 1, REST_SHARE),
        (2, 2, REST_SHARE),
        (1, 2, REST_SHARE),
        (3, 3, REST_SHARE_OF_MANY_CORES),
        (8, 8, REST_SHARE_OF_MANY_CORES),
        (2, 16, REST_SHARE_OF_MANY_CORES),
    ],
)
def test_rests_are_long_where_too_few_cores_are_left_to_draw_with(
    threads: int, n_cores: int, share: float
) -> None:
    assert rest_share(threads, n_cores) == share
