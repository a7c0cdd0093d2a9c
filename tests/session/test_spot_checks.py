"""A spot check under way: what it is drawn from, what makes it outdated, what is kept of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_impartial.core.config import InstanceConfig
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.review.review import Review, Verdict, regions_of
from napari_impartial.core.review.spot_check import UNSURE, Answer
from napari_impartial.session.session import Session
from napari_impartial.session.spot_checks import draw_sample, from_plain, is_outdated, to_plain

RIGHT = Answer(True, 1)


def labels() -> np.ndarray:
    found = np.zeros((90, 90), np.int32)
    for i in range(36):
        found[15 * (i // 6) + 2 :][:9, 15 * (i % 6) + 2 :][:, :9] = i + 1
    return found


@pytest.fixture
def session() -> Session:
    """Three predicted images, the last a stack, and one that is not predicted."""
    made = Session()
    for key, name in enumerate(("a", "b", "stack", "new")):
        made.choose(key, name)
    for key, index in ((0, ()), (1, ()), (2, (0,)), (2, (1,))):
        plane = made.images[key].plane(index)
        plane.set_cut(labels(), InstanceConfig())
        plane.predicted_by = 1
    return made


def test_all_results_are_drawn_from_with_their_wells(session):
    session.images[2].plane((1,)).previewed = True  # of a training that is not over
    sample = draw_sample(session, 60, 0, {0: "B/3", 1: "B/3", 2: ""}.get)
    assert sample.check.images == ("a", "b", "stack")
    assert sample.check.groups == ("B/3", "B/3", "")
    assert {
        sample.place(at)[1] for at, unit in enumerate(sample.check.units) if unit.image == 2
    } == {(0,)}
    with pytest.raises(ImPartialError, match="predict first"):
        draw_sample(Session(), 60, 0)


def test_verdicts_are_gone_through_in_turn(session):
    sample = draw_sample(session, 20, 0)
    sample.answers |= {0: RIGHT, 2: UNSURE}
    assert (sample.next_open(), sample.next_open(1), sample.n_open) == (
        1,
        3,
        len(sample.prints) - 2,
    )
    sample.answers |= dict.fromkeys(range(2, len(sample.prints)), RIGHT)
    assert sample.next_open(5) == 1, "those left behind come last"
    sample.answers[1] = RIGHT
    assert sample.next_open() is None


def test_what_makes_a_sample_outdated(session):
    sample = draw_sample(session, 60, 0)
    assert not is_outdated(session, sample)
    unit = next(unit for unit in sample.check.units if unit.label and unit.image == 0)
    plane = session.images[0].plane(())
    before = plane.instances
    # Rejected by hand: what was drawn is known all the same.
    rejected = regions_of(before, np.array([unit.label]), Verdict.REJECTED)
    plane.set_review(Review({}, tuple(rejected)))
    assert not (plane.instances == unit.label).any()
    assert not is_outdated(session, sample)
    # Cut anew round a stroke, and with other settings.
    plane.set_review(Review())
    plane.set_cut(np.where(before == unit.label, 0, before), InstanceConfig())
    assert not is_outdated(session, sample)
    other = InstanceConfig(threshold=0.8)
    plane.set_cut(before, other)
    assert not is_outdated(session, sample), "they make no difference"
    plane.set_cut(np.where(before == unit.label, 0, before), other)
    assert is_outdated(session, sample)
    sample.answers |= {at: RIGHT for at, one in enumerate(sample.check.units) if not one.image}
    assert not is_outdated(session, sample), "it was judged when it was there"
    # Predicted by another round, though it looks the same.
    plane.set_cut(before, InstanceConfig())
    plane.predicted_by = 2
    assert is_outdated(session, sample)


def test_a_sample_is_kept_and_found_again_by_the_names_of_images(session):
    sample = draw_sample(session, 60, 3, lambda key: f"w{key}")
    sample.answers |= {0: RIGHT, 5: UNSURE}
    session.images[1].name = "renamed"
    saved = json.loads(json.dumps(to_plain(sample, session)))
    other = Session()
    for key, name in ((7, "stack"), (8, "renamed")):
        other.choose(key, name)
    again = from_plain(saved, other)
    assert (again.check, again.answers, again.prints) == (
        sample.check,
        sample.answers,
        sample.prints,
    )
    assert again.origins == sample.origins
    assert again.keys == [None, 8, 7], "an image that is gone has no place"


@pytest.mark.parametrize(
    "damage",
    [
        {"prints": []}, {"answers": [(0, "false", 1, True)]}, {"answers": [(99, True, 1, True)]},
        {"groups": []}, {"names": []}, {"origins": [(9, [], 1, "")]}, {"units": 3},
    ],
)  # fmt: skip
def test_a_damaged_sample_is_told(session, damage):
    saved = json.loads(json.dumps(to_plain(draw_sample(session, 6, 0), session)))
    from_plain(saved, session)
    with pytest.raises(ImPartialError, match="draw a new one"):
        from_plain({**saved, **damage}, session)
