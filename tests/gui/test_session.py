"""The session: what it says is missing, and what follows from what."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from napari_impartial.core.model_card import ModelCard
from napari_impartial.core.results import Prediction
from napari_impartial.core.scribbles import Scribbles
from napari_impartial.gui.session import Activity, Session


def strokes(*labels: int) -> Scribbles:
    array = np.zeros((8, 8), np.uint8)
    for row, label in enumerate(labels):
        array[row, 2:6] = label
    return Scribbles(array)


def card(n_channels: int) -> ModelCard:
    names = tuple(f"channel {i}" for i in range(n_channels))
    return cast(ModelCard, SimpleNamespace(channel_names=names, n_channels=n_channels))


def prediction() -> Prediction:
    flat = np.zeros((8, 8), np.float32)
    return Prediction(np.stack([1 - flat, flat]), flat, flat, None, 0)


@pytest.fixture
def session() -> Session:
    made = Session()
    made.choose(0, "a", 2)
    return made


def test_says_what_training_needs() -> None:
    session = Session()
    assert "image" in session.missing_for_training()
    session.choose(0, "a", 2)
    assert "strokes" in session.missing_for_training()
    session.set_scribbles(0, {(): strokes(2)})
    assert "background" in session.missing_for_training().lower()
    session.set_scribbles(0, {(): strokes(1, 2)})
    assert session.missing_for_training() == ""


def test_says_what_predicting_needs(session: Session) -> None:
    assert "Train" in session.missing_for_prediction()
    session.set_model(Path("m"), card(3))
    assert "3 channels" in session.missing_for_prediction()
    session.set_model(Path("m"), card(2))
    assert session.missing_for_prediction() == ""


def test_scribbles_of_several_images_are_one_set(session: Session) -> None:
    session.set_scribbles(0, {(): strokes(1)})
    session.choose(1, "b", 2)
    session.set_scribbles(1, {(3,): strokes(2), (5,): strokes(0)})
    session.choose(2, "other", 4)
    session.set_scribbles(2, {(): strokes(1, 2)})
    session.choose(0, "a", 2)
    found = [(key, plane) for key, plane, _ in session.scribbled()]
    assert found == [(0, ()), (1, (3,))], "blank planes and other channels are left out"
    assert session.missing_for_training() == ""


def test_a_new_prediction_drops_what_was_made_of_the_last(session: Session) -> None:
    plane = session.images[0].plane(())
    plane.instances = np.ones((8, 8), np.int32)
    plane.visited.add((1, 1))
    session.set_prediction(0, (), prediction())
    assert plane.instances is None
    assert plane.visited == set()
    assert session.images[0].status == "predicted"


def test_rounds_are_kept(session: Session) -> None:
    first = session.add_round(Path("one"), card(2), 10)
    second = session.add_round(Path("two"), card(2), 20)
    assert [first.number, second.number] == [1, 2]
    assert session.rounds == [first, second]
    assert session.model_path == Path("two")


def test_changes_are_announced(session: Session) -> None:
    seen: list[Any] = []
    session.changed.connect(lambda: seen.append(session.activity))
    session.activity = Activity.TRAINING
    assert session.busy
    session.activity = Activity.IDLE
    assert not session.busy
    session.remove(0)
    assert seen == [Activity.TRAINING, Activity.IDLE, Activity.IDLE]
    assert session.record is None
