"""What the dock says, where it could mislead."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QWidget

from napari_impartial.core.config import InstanceConfig, TrainingConfig, parameters
from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.network.model_card import ModelCard
from napari_impartial.core.prediction.result import Prediction
from napari_impartial.gui.image.image_list import ImagesPanel
from napari_impartial.gui.image.image_panel import ImagePanel
from napari_impartial.gui.refine.rounds_panel import RoundRow, RoundsPanel
from napari_impartial.gui.review.object_table import ObjectTable
from napari_impartial.gui.review.review_panel import ReviewPanel
from napari_impartial.gui.widgets.histogram import Histogram
from napari_impartial.session.session import Activity, Session
from napari_impartial.session.status_text import no_suggestions, stale_results


@pytest.fixture
def panel(qtbot: Any) -> Callable[[Any], Any]:
    def register(made: Any) -> Any:
        qtbot.addWidget(made)
        return made

    return register


@pytest.fixture
def status(widget: Any, find: Any) -> Callable[[], str]:
    return lambda: find("status_label").text()


def test_the_status_knows_whether_suggestions_are_left(
    widget: Any, predicted: Any, status: Any, wait_for: Any
) -> None:
    names = widget.session.record.channel_names
    card = SimpleNamespace(
        class_names=("background", "Cell"),
        channel_names=names,
        n_channels=len(names),
        n_classes=2,
        strokes=None,
    )
    widget.session.set_model(Path("model"), cast(ModelCard, card))
    assert status().startswith("Ready. Next place goes")
    for place in list(widget.results.suggestions.places):
        widget.results.suggestions.looks_fine(place)
    assert "All places are done" in status()
    widget.status._pause.setInterval(0)
    widget.keys.undo_decision()
    assert status() == "Undone: finding a place fine."
    wait_for(lambda: status().startswith("Ready. Next place goes"))
    widget.session.plane.suggestions = []
    widget.results.suggestions.refresh()
    assert "There is no place that the model is unsure of" in status()
    widget.session.plane.go_back_to(None, 0)
    widget.session.changed.emit()
    assert status() == "Press Predict to see what the model makes of this image."


def test_the_status_says_how_long_training_takes(
    widget: Any, scribbled: Any, find: Any, status: Any, wait_for: Any
) -> None:
    find("time_budget_spin").setValue(90)
    find("train_button").click()
    wait_for(lambda: " left." in status())
    assert re.fullmatch(r"Training, \d+ s left\. Go on painting: new strokes join in\.", status())
    assert not widget.steps["image"].is_open(), "the room is for what is going on"
    widget.session.changed.emit()
    assert " left." in status(), "until there is other news"
    find("stop_button").click()
    wait_for(lambda: not widget.session.busy)


def test_two_lines_of_status_move_no_button(
    widget: Any, viewer: Any, find: Any, status: Any, qtbot: Any
) -> None:
    viewer.window.resize(1366, 768)
    viewer.show()

    def place(text: str) -> int:
        widget.status.setText(text)
        qtbot.wait(50)
        return int(find("save_session_button").mapToGlobal(QPoint()).y())

    one = place("Press Train.")
    metrics, words = widget.status.fontMetrics(), "Press Train."
    while metrics.horizontalAdvance(words) < 1.3 * widget.status.width():
        words += " Now."
    assert abs(place(words) - one) <= 1
    assert widget.status.heightForWidth(widget.status.width()) > 2 * metrics.height()


def test_it_is_said_why_there_are_no_suggestions() -> None:
    session = Session()
    names = ("channel 1",)
    card = cast(
        ModelCard,
        SimpleNamespace(
            class_names=("background", "Cell"), channel_names=names, n_channels=1, n_classes=2
        ),
    )
    session.choose(0, "a", names)
    assert no_suggestions(session) == "Suggestions come with a result."
    session.set_model(Path("model"), card)
    flat = np.zeros((4, 4), np.float32)
    sure = Prediction(np.stack([1 - flat, flat]), flat, flat, None, 4)
    session.set_prediction(0, (), sure)
    assert no_suggestions(session) == "Suggestions come with a result.", "still being cut"
    session.plane.set_cut(np.zeros((4, 4), np.int32))
    assert no_suggestions(session).startswith("No suggestions: the model is sure of all")
    session.set_prediction(0, (), replace(sure, n_samples=0))
    session.plane.set_cut(np.zeros((4, 4), np.int32))
    assert "in a way that hardly shows doubt" in no_suggestions(session)
    session.set_model(Path("another"), card)
    assert "press Predict" in no_suggestions(session)


def test_the_dock_says_why_there_are_no_suggestions(widget: Any, predicted: Any) -> None:
    hint = widget.steps["refine"]._hint.text
    assert hint() == ""
    widget.session.plane.suggestions = []
    widget.results.suggestions.refresh()
    assert hint().startswith("No suggestions: the model is sure of all")


def test_it_is_said_which_results_are_of_another_model() -> None:
    session = Session()
    card = cast(
        ModelCard,
        SimpleNamespace(class_names=("background", "Cell"), channel_names=("x",), n_channels=1),
    )
    flat = np.zeros((4, 4), np.float32)
    sure = Prediction(np.stack([1 - flat, flat]), flat, flat, None, 4)
    for key in (0, 1, 2):
        session.choose(key, f"image {key}", ("x",))
    session.add_round(Path("one"), card, 1)
    session.set_prediction(0, (), sure)
    assert stale_results(session) == ""
    session.add_round(Path("two"), card, 1)
    assert stale_results(session) == "1 result is of round 1. Predict all renews all."
    session.set_prediction(1, (), sure)
    session.activity = Activity.PREDICTING
    assert stale_results(session) == "", "they may be about to be renewed"
    session.activity = Activity.IDLE
    session.add_round(Path("three"), card, 1)
    assert stale_results(session) == "2 results are of other rounds. Predict all renews all."
    session.choose(0, "image 0", ("x",))
    said = stale_results(session)
    assert said.startswith("What is shown was predicted by round 1. Predict renews it; Predict all")
    session.choose(1, "image 1", ("y", "z"))
    session.choose(0, "image 0", ("x",))
    assert stale_results(session) == (
        "What is shown was predicted by round 1. Predict renews it."
    ), "the other cannot be predicted"


def test_scribbles_that_the_model_does_not_fit_ask_for_a_new_one(
    widget: Any, predicted: Any, status: Any
) -> None:
    card = SimpleNamespace(
        class_names=("background", "Cell"),
        channel_names=("CD3", "CD8", "CD20"),
        n_channels=3,
        strokes=None,
    )
    widget.session.set_model(Path("model"), cast(ModelCard, card))
    assert status() == (
        "Press Train. It begins anew: the model that is there is for other channels than "
        "'tissue' has."
    )


def test_the_status_of_a_training_whose_image_is_gone(
    widget: Any, scribbled: Any, status: Any
) -> None:
    widget.session.activity = Activity.TRAINING
    assert "Go on painting" in status()
    widget.session.choose(None)
    assert status() == "Training. Choose an image to go on painting."
    widget.session.activity = Activity.IDLE


def test_all_images_that_are_left_out_are_named() -> None:
    session = Session()
    strokes = Scribbles(np.array([[1, 2]], np.uint8))
    for key, channels in enumerate((("DAPI", "CD8"), ("CD8",), ("CD3",), ("x", "y", "z"))):
        session.choose(key, f"image {key}", channels)
        session.set_scribbles(key, {(): strokes})
    session.choose(0, "image 0", ("DAPI", "CD8"))
    said = session.left_out()
    assert said.startswith("Not in the training: 'image 1', 'image 2', 'image 3'. ")
    assert "'image 1' has" in said


def test_headings_of_rounds_are_words_with_units(panel: Any) -> None:
    made = panel(RoundsPanel())
    made.set_rounds([RoundRow(1, 15.2, 12345, 14, 1240, 0.87, True)])
    heading, row = made._list.headerItem(), made._list.topLevelItem(0)
    shown = {heading.text(i): row.text(i) for i in range(made._list.columnCount())}
    assert shown["time"] == "15 s"
    assert shown["pixels"] == "12345"
    assert not {"s", "px"} & set(shown)


def test_the_column_of_classes_is_there_when_there_are_several(panel: Any) -> None:
    view = panel(ObjectTable())
    table = {
        "label": np.array([1, 2]),
        "centroid_y": np.array([1.0, 2.0]),
        "centroid_x": np.array([1.0, 2.0]),
        "area_px": np.array([5, 6]),
        "class": np.array([2, 2]),
    }

    def headings() -> list[str]:
        model = view.table_model()
        return [model.headerData(i, Qt.Orientation.Horizontal) for i in range(model.columnCount())]

    view.set_table(table)
    assert "class" not in headings()
    assert "class" not in view.table_model().columns()
    assert "class" in view.table_model().shown(), "files have it all the same"
    view.set_table({**table, "class": np.array([2, 3])})
    assert "class" in headings()
    assert "class" in view.table_model().columns()


def test_the_histogram_says_what_it_counts(panel: Any) -> None:
    made = panel(Histogram())
    made.set_values(np.array([10.0, 12.0, 30.0]), "area px")
    assert made.left.labelText == "objects"
    assert made.bottom.labelText == "area px"
    for most in (1.0, 2.0, 3.0, 40.0, 5000.0):
        spacings = [spacing for spacing, _ in made.left.tickSpacing(0.0, most, 80)]
        assert spacings
        assert all(spacing >= 1 and spacing == int(spacing) for spacing in spacings)


def test_the_tick_for_reviewed_images_has_one_name(panel: Any) -> None:
    images, review = panel(ImagesPanel()), panel(ReviewPanel())
    above = images.findChild(QWidget, "reviewed_check")
    below = review.findChild(QWidget, "review_done_check")
    assert above.text() == below.text()
    assert above.toolTip() == below.toolTip()


def test_the_reading_of_axes_is_gone_while_they_are_wrong(panel: Any) -> None:
    from napari.components import ViewerModel

    viewer = ViewerModel()
    viewer.add_image(np.zeros((3, 40, 50)), name="stack")
    made = panel(ImagePanel(viewer))
    made.refresh()
    axes = made._axes.text()
    assert not made._meaning.isHidden()
    made.set_axes("CYY")
    assert made._meaning.isHidden()
    made.refresh()
    assert made._meaning.isHidden()
    made.set_axes(axes)
    assert not made._meaning.isHidden()
    assert made._note.isHidden()


@pytest.mark.parametrize(
    ("config", "name", "jargon"),
    [
        (TrainingConfig, "time_budget_s", "learning rate"),
        (TrainingConfig, "device", "MPS (Apple), then the CPU"),
        (InstanceConfig, "split", "authors"),
        (InstanceConfig, "smooth_px", "Standard deviation"),
    ],
)
def test_tooltips_are_in_words_of_the_user(config: Any, name: str, jargon: str) -> None:
    assert jargon not in parameters(config)[name].tooltip


def test_links_are_seen_in_any_theme(panel: Any) -> None:
    from napari.components import ViewerModel
    from qtpy.QtGui import QColor, QPalette

    viewer = ViewerModel()
    viewer.add_image(np.zeros((3, 40, 50)), name="stack")
    made = panel(ImagePanel(viewer))
    made.refresh()
    for ground, seen in (("#262930", "#4c9be8"), ("#efebe9", "#1a5fb4"), ("#262930", "#4c9be8")):
        palette = QPalette(made.palette())
        palette.setColor(QPalette.ColorRole.Window, QColor(ground))
        # The theme comes after the text, or changes.
        made.setPalette(palette)
        assert f"color: {seen}" in made._meaning.text()
