"""The session: what it says is missing, and what follows from what."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.network.model_card import ModelCard
from napari_impartial.core.prediction.result import Prediction
from napari_impartial.session.session import Activity, Session

TWO = ("channel 1", "channel 2")


def strokes(*labels: int) -> Scribbles:
    array = np.zeros((8, 8), np.uint8)
    for row, label in enumerate(labels):
        array[row, 2:6] = label
    return Scribbles(array)


def card(n_channels: int) -> ModelCard:
    return named_card(*(f"channel {i}" for i in range(n_channels)))


def named_card(*names: str) -> ModelCard:
    return cast(
        ModelCard,
        SimpleNamespace(
            channel_names=names,
            class_names=("background", "foreground"),
            n_channels=len(names),
            n_classes=2,
        ),
    )


def prediction() -> Prediction:
    flat = np.zeros((8, 8), np.float32)
    return Prediction(np.stack([1 - flat, flat]), flat, flat, None, 0)


@pytest.fixture
def session() -> Session:
    made = Session()
    made.choose(0, "a", TWO)
    return made


def test_says_what_training_needs() -> None:
    session = Session()
    assert "image" in session.missing_for_training()
    session.choose(0, "a", TWO)
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
    session.choose(1, "b", TWO)
    session.set_scribbles(1, {(3,): strokes(2), (5,): strokes(0)})
    session.choose(2, "other", ("A", "B", "C", "D"))
    session.set_scribbles(2, {(): strokes(1, 2)})
    session.choose(0, "a", TWO)
    found = [(key, plane) for key, plane, _ in session.scribbled()]
    assert found == [(0, ()), (1, (3,))], "blank planes and other channels are left out"
    assert session.missing_for_training() == ""


def test_a_new_prediction_drops_what_was_made_of_the_last(session: Session) -> None:
    plane = session.images[0].plane(())
    plane.set_cut(np.ones((8, 8), np.int32))
    plane.visited.add((1, 1))
    session.set_prediction(0, (), prediction())
    assert plane.instances is None
    assert plane.visited == set()
    assert session.status(session.images[0]) == "predicted"


def test_rounds_are_kept(session: Session) -> None:
    first = session.add_round(Path("one"), card(2), 10)
    second = session.add_round(Path("two"), card(2), 20)
    assert [first.number, second.number] == [1, 2]
    assert list(session.rounds) == [first, second]
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


def test_channels_of_the_model_are_found_by_name(session: Session) -> None:
    session.set_model(Path("m"), named_card("DAPI", "CD8"))
    for names in (("CD8", "DAPI"), ("x", "cd8", "DAPI"), TWO):
        session.choose(0, "a", names)
        assert session.missing_for_prediction() == ""
    session.choose(0, "a", ("DAPI", "CD3"))
    said = session.missing_for_prediction()
    assert said.startswith("'a' has no channel CD8; it has 2 channels (DAPI, CD3)")
    assert said.count(". ") == 0
    session.choose(1, "b", ("DAPI", "CD8"))
    assert session.missing_for_prediction() == ""
    assert "CD8" in session.missing_for_prediction(0)


def test_scribbled_images_with_other_channels_are_named(session: Session) -> None:
    session.choose(0, "a", ("DAPI", "CD8"))
    session.set_scribbles(0, {(): strokes(1, 2)})
    session.choose(1, "b", ("CD8", "DAPI"))
    session.set_scribbles(1, {(): strokes(1, 2)})
    assert session.left_out() == ""
    assert len(session.scribbled()) == 2
    session.choose(2, "c", ("CD8", "CD3"))
    session.set_scribbles(2, {(): strokes(1, 2)})
    session.choose(0, "a", ("DAPI", "CD8"))
    assert len(session.scribbled()) == 2
    assert "'c' has no channel DAPI" in session.left_out()


def test_strokes_that_did_not_change_stay_the_same_object(session: Session) -> None:
    session.set_scribbles(0, {(): strokes(1)})
    before = session.images[0].planes[()].scribbles
    session.set_scribbles(0, {(): strokes(1)})
    assert session.images[0].planes[()].scribbles is before
    session.set_scribbles(0, {(): strokes(1, 2)})
    assert session.images[0].planes[()].scribbles is not before
    session.set_scribbles(0, {})
    assert session.images[0].planes[()].scribbles is None


def test_what_another_model_predicted_is_told(session: Session) -> None:
    record, index = session.images[0], (0,)
    say = lambda: session.status(record)  # noqa: E731
    session.set_prediction(0, index, prediction())
    assert say() == "predicted", "without a model nothing is known"
    session.set_model(Path("loaded"), card(2))
    assert say() == "predicted by another model"
    session.set_prediction(0, index, prediction())
    assert say() == "predicted"
    session.set_model(Path("loaded too"), card(2))
    assert say() == "predicted by another model"
    session.add_round(Path("one"), card(2), 10)
    session.set_prediction(0, index, prediction())
    session.set_prediction(0, (1,), prediction())
    session.set_scribbles(0, {index: strokes(1)})
    assert say() == "scribbled, predicted"
    session.add_round(Path("two"), card(2), 10)
    assert say() == "scribbled, predicted by round 1"
    session.set_prediction(0, index, prediction())
    assert say() == "scribbled, partly predicted by round 1"
    session.add_round(Path("three"), card(2), 10)
    assert say() == "scribbled, predicted by other rounds"
    session.set_model(Path("loaded"), card(2))
    session.set_prediction(0, index, prediction())
    session.add_round(Path("four"), card(2), 10)
    record.reviewed = True
    assert say() == "scribbled, predicted by other models, reviewed"


def test_a_round_keeps_the_objects_that_it_predicted(session: Session) -> None:
    for index in ((0,), (1,)):
        session.images[0].plane(index)

    def predict(*indices: tuple[int, ...]) -> None:
        for index in indices:
            session.set_prediction(0, index, prediction())
            session.images[0].plane(index).set_cut(np.eye(8, dtype=np.int32))

    session.set_model(Path("loaded"), card(2))
    predict((0,), (1,))
    first = session.add_round(Path("one"), card(2), 10)
    predict((0,))
    second = session.add_round(Path("two"), card(2), 20)
    assert list(first.masks) == [(0, (0,))]
    assert first.objects == 1
    session.go_back(first)
    assert second.masks == {}
    assert session.images[0].plane((1,)).instances is not None, "what there was then stays"
