"""A plane: the objects and their number follow from cut and decisions."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_impartial.core.prediction.result import Prediction
from napari_impartial.core.review.review import Review, accept, collect, reject
from napari_impartial.session.plane import Plane
from napari_impartial.session.session import Session


def cut() -> Any:
    """Return three objects."""
    labels = np.zeros((12, 12), np.int32)
    labels[1:4, 1:4], labels[1:4, 6:9], labels[7:10, 1:4] = 1, 2, 3
    return labels


@pytest.fixture
def plane() -> Plane:
    made = Plane()
    made.set_cut(cut())
    return made


def test_objects_follow_from_the_cut_and_the_decisions(plane: Plane) -> None:
    assert np.array_equal(plane.instances, cut())
    assert plane.n_objects == 3
    plane.set_review(reject(plane.review, cut(), [2])[0])
    assert set(np.unique(plane.instances)) == {0, 1, 3}
    assert plane.n_objects == 2
    plane.set_cut(cut())
    assert plane.n_objects == 2, "decisions are laid over a new cut"
    plane.set_review(Review())
    assert plane.n_objects == 3


def test_the_number_follows_a_correction_by_hand(plane: Plane) -> None:
    erased = np.where(cut() == 3, 0, cut())
    assert plane.n_objects == 3
    plane.set_review(*collect(cut(), erased, cut(), plane.review, lambda *_: 2))
    assert plane.n_objects == 2


def test_objects_stay_the_same_array(plane: Plane) -> None:
    before = plane.instances
    assert plane.instances is before
    plane.set_review(accept(plane.review, before, [1], lambda *_: 2), before)
    assert plane.instances is before


def test_objects_of_a_session_stay_without_their_cut() -> None:
    plane = Plane()
    plane.set_cut(None, objects=cut())
    plane.set_review(Review())
    assert plane.cut is None
    assert plane.n_objects == 3


def test_decisions_outside_of_a_smaller_cut_wait(plane: Plane) -> None:
    plane.set_review(reject(plane.review, cut(), [3])[0])
    smaller = cut()[:6, :6]
    plane.set_cut(smaller)
    assert np.array_equal(plane.instances, smaller)


def test_the_list_of_rounds_counts_objects_corrected_out_of_view() -> None:
    session = Session()
    for key in (0, 1):
        session.add(key, str(key), ("a",))
    card: Any = SimpleNamespace(channel_names=("a",))
    now = session.add_round(Path("one"), card, 10)
    for key in (0, 1):
        session.images[key].plane(()).go_back_to(cut(), now.number)
    assert session.rounds.objects(now, session.planes()) == 6
    other = session.images[1].plane(())
    other.set_review(reject(other.review, cut(), [1])[0])
    assert session.rounds.objects(now, session.planes()) == 5
    assert session.images[1].tally.objects == 2


def test_doubt_follows_decisions_and_their_undoing() -> None:
    plane = Plane()
    labels = np.zeros((6, 8), np.int32)
    labels[1:3, 1:3], labels[1:3, 5:7] = 1, 2
    doubt = np.full(labels.shape, 0.5, np.float32)
    sure = np.zeros(labels.shape, np.float32)
    plane.set_prediction(Prediction(np.stack([1 - sure, sure]), sure, sure, None, 0), 1)
    plane.set_cut(labels, doubt=doubt)
    np.testing.assert_array_equal(plane.heat, doubt)
    before = plane.review
    plane.set_review(accept(before, labels, [1], lambda _: 2), labels)
    assert plane.heat[labels == 1].max() == 0.0
    assert plane.heat[labels == 2].min() == 0.5
    review, left = reject(plane.review, labels, [2])
    plane.set_review(review, left)
    assert plane.heat[labels > 0].max() == 0.0
    smaller = doubt[:2, :4]
    plane.set_cut(labels[:2, :4], doubt=smaller)
    assert plane.doubt.shape == smaller.shape, "decisions wait for an image of another size"
    plane.set_cut(labels, doubt=doubt)
    plane.set_review(before, labels)
    np.testing.assert_array_equal(plane.heat, doubt)
    plane.set_cut(labels)
    assert plane.doubt is None
    assert plane.heat is plane.prediction.entropy
