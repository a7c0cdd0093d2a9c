"""Panels: what is set is what is read, and what is enabled can work."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QRect, QSize, Qt
from qtpy.QtGui import QColor, QPalette
from qtpy.QtWidgets import QApplication, QLineEdit, QPushButton, QWidget

from napari_impartial.core.config import PRESETS, InstanceConfig, parameters
from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.table_filter import Condition
from napari_impartial.core.training.messages import Losses, TrainingProgress
from napari_impartial.gui.image.image_panel import ImagePanel
from napari_impartial.gui.keybindings import key_hint
from napari_impartial.gui.layers import Source
from napari_impartial.gui.refine.rounds_panel import RoundRow, RoundsPanel
from napari_impartial.gui.refine.suggestions_panel import RefinePanel
from napari_impartial.gui.result.result_panel import ResultPanel
from napari_impartial.gui.review.object_table import ObjectTable, ObjectTableModel
from napari_impartial.gui.review.review_panel import ReviewPanel
from napari_impartial.gui.scribble.scribble_panel import ScribblePanel
from napari_impartial.gui.session.session_panel import SessionPanel
from napari_impartial.gui.train.train_panel import TrainingChoice, TrainPanel
from napari_impartial.gui.train.training import config_of
from napari_impartial.gui.widgets.collapsible_step import Step, VerticalScrollArea, stacked
from napari_impartial.gui.widgets.config_form import ConfigForm, NumberSlider
from napari_impartial.gui.widgets.keyboard_focus import set_enabled
from napari_impartial.gui.widgets.loss_plot import MOST_POINTS, LossPlot
from napari_impartial.gui.widgets.text_labels import duration
from napari_impartial.session.class_names import ClassNames
from napari_impartial.session.session import Activity


@pytest.fixture
def panel(qtbot: Any) -> Any:
    """Register a panel, so that it is closed after the test."""

    def register(made: Any) -> Any:
        qtbot.addWidget(made)
        return made

    return register


def progress(**changes: Any) -> TrainingProgress:
    losses = Losses(1.0, 0.9, 0.1, 0.0)
    first = TrainingProgress(10, 5.0, 0.25, losses, None, None, 0, 1e-3)
    return dataclasses.replace(first, **changes)


def test_a_form_returns_what_it_was_given(panel: Any) -> None:
    names = list(parameters(InstanceConfig))
    form = panel(
        ConfigForm(InstanceConfig(), names[:2], names[2:], dict(zip(names, names, strict=True)))
    )
    assert form.value() == InstanceConfig()
    seen: list[Any] = []
    form.valueChanged.connect(seen.append)
    other = InstanceConfig("components", 0.3, 137, 0.25, 2.5, 4)
    form.setValue(other)
    assert form.value() == other
    assert seen == [other], "one change, one signal"


def test_a_form_has_the_words_and_bounds_of_the_settings(panel: Any) -> None:
    names = ["threshold", "min_size_px"]
    form = panel(
        ConfigForm(InstanceConfig(), names[:1], names[1:], dict(zip(names, names, strict=True)))
    )
    described = parameters(InstanceConfig)
    for name, editor in form.editors.items():
        assert editor.toolTip() == described[name].tooltip
        editor.setValue(described[name].maximum * 10)
        assert editor.value() == described[name].maximum
        editor.setValue(-1)
        assert editor.value() == described[name].minimum


def test_a_wide_slider_gives_room_to_small_values(panel: Any) -> None:
    slider = panel(NumberSlider(parameters(InstanceConfig)["min_size_px"]))
    seen: list[int] = []
    slider.valueChanged.connect(seen.append)
    slider._slider.setValue(100)
    assert seen == [100], "a tenth of the way is a thousandth of the range"
    slider._slider.setValue(slider._slider.maximum())
    assert slider.value() == 100_000


def test_training_choice_round_trip(panel: Any) -> None:
    made = panel(TrainPanel())
    assert made.value().preset == "balanced"
    for choice in (TrainingChoice("paper", 7.0, "cpu"), TrainingChoice("fast", 99.0, "auto")):
        made.setValue(choice)
        assert made.value() == choice
    made._preset.setCurrentIndex(made._preset.findData("balanced"))
    assert made.value().time_budget_s == PRESETS["balanced"].training.time_budget_s
    made.set_devices((("cuda", "A card"), ("cpu", "2 threads")))
    assert made.value().device == "auto"
    assert "A card" in made._device.itemText(0)


def test_the_nuclear_channel_is_one_of_the_images(panel: Any) -> None:
    made = panel(TrainPanel())
    chosen: list[str] = []
    made.valueChanged.connect(lambda choice: chosen.append(choice.nuclear_channel))
    made.set_channels(("DAPI", "CD8"))
    made._nuclei.setCurrentIndex(1)
    assert chosen == ["DAPI"]
    # What is shown is what is used, on an image that has no such channel, too.
    made.set_channels(("grey",))
    assert made._nuclei.currentText() == "DAPI (not in this image)"
    assert made.value().nuclear_channel == "DAPI"
    made.set_channels(())
    assert made._nuclei.currentText() == "DAPI", "there is no image"
    made.set_channels(("DAPI", "CD8"))
    offered = [made._nuclei.itemText(i) for i in range(made._nuclei.count())]
    assert offered == ["none", "DAPI", "CD8"]
    assert made._nuclei.currentText() == "DAPI"
    assert chosen == ["DAPI"], "nobody chose anything since"
    # A session brings its own, before its image is there; what makes no sense is told.
    other = panel(TrainPanel())
    other.restore({"preset": "fast", "time_budget_s": 7.0, "nuclear_channel": "CD8"})
    assert other.value() == TrainingChoice("fast", 7.0, "auto", "CD8")
    other.set_channels(("DAPI", "CD8"))
    assert other._nuclei.currentText() == "CD8"
    for wrong in ({"nuclear_channel": 3}, {"preset": "?"}):
        with pytest.raises(ImPartialError, match="cannot be chosen"):
            other.restore(wrong)
    assert other.value() == TrainingChoice("fast", 7.0, "auto", "CD8")


def test_a_choice_of_training_is_a_preset_with_other_values() -> None:
    config = config_of(TrainingChoice("fast", 7.0, "cpu", "DAPI"))
    usual = PRESETS["fast"].training
    chosen = {"time_budget_s": 7.0, "device": "cpu", "nuclear_channel": "DAPI"}
    assert config == dataclasses.replace(usual, **chosen)
    # The published training learns nothing from nuclei, and would refuse the name of a channel.
    assert config_of(TrainingChoice("paper", 7.0, "cpu", "DAPI")).nuclear_channel == ""


def test_the_nuclear_channel_is_chosen_where_it_is_learned_from(panel: Any) -> None:
    made = panel(TrainPanel())
    assert made._nuclei.isEnabled()
    made._preset.setCurrentIndex(made._preset.findData("paper"))
    assert not made._nuclei.isEnabled()
    made.set_state(Activity.IDLE, can_train=True, knows_more=False)
    assert not made._nuclei.isEnabled()
    made._preset.setCurrentIndex(made._preset.findData("fast"))
    assert made._nuclei.isEnabled()
    for preset, learns in (("paper", False), ("fast", True)):
        made.restore({"preset": preset})
        assert made._nuclei.isEnabled() == learns
    made.set_state(Activity.TRAINING, can_train=True, knows_more=False)
    assert not made._nuclei.isEnabled()


def test_only_what_can_work_is_enabled(panel: Any) -> None:
    made = panel(TrainPanel())

    def enabled() -> str:
        parts = (made._train, made._start_over, made._pause, made._stop)
        return "".join("x" if part.isEnabled() else "-" for part in parts)

    assert enabled() == "----"
    made.set_state(Activity.IDLE, can_train=True, knows_more=False)
    assert enabled() == "x---"
    made.set_state(Activity.IDLE, can_train=True, knows_more=True)
    assert enabled() == "xx--"
    made.set_state(Activity.TRAINING, can_train=True, knows_more=True)
    assert enabled() == "--xx"
    made.set_state(Activity.PAUSED, can_train=True, knows_more=True)
    assert enabled() == "--xx"
    assert made._pause.text() == "Resume"
    made.set_state(Activity.STOPPING, can_train=True, knows_more=True)
    assert enabled() == "----"
    made.set_state(Activity.PREDICTING, can_train=True, knows_more=True)
    assert enabled() == "---x", "what is predicted can be given up"
    made.set_state(Activity.TRAINING, can_train=True, knows_more=True, live=True)
    assert enabled() == "x-xx", "a last training ends the one that follows the strokes"
    assert made._live.isChecked()


def test_times_are_told_as_people_say_them() -> None:
    assert [duration(s) for s in (8, 60, 300, 7200)] == ["8 s", "60 s", "5 min", "2.0 h"]


def test_a_device_is_chosen(panel: Any) -> None:
    made = panel(TrainPanel())
    chosen: list[TrainingChoice] = []
    made.valueChanged.connect(chosen.append)
    made.set_devices((("cuda", "a GPU, 8 GB"), ("cpu", "2 cores")))
    made._device.setCurrentIndex(made._device.findData("cpu"))
    assert [choice.device for choice in chosen] == ["cpu"]
    assert made._device.currentText() == "cpu (2 cores)"


def test_progress_is_shown(panel: Any) -> None:
    made = panel(TrainPanel())
    made.begin()
    made.show_progress(progress())
    made.show_progress(progress(step=20, elapsed_s=10.0, validation=Losses(0.5, 0.5, 0, 0)))
    assert made._bar.value() == 250
    assert made._left.text().startswith("30 s left")
    assert made.curves.plot.values("training") == [1.0, 1.0]
    assert made.curves.plot.values("held out") == [0.5]
    made.begin()
    assert made.curves.plot.values("training") == []
    made.set_state(Activity.STOPPING, can_train=False, knows_more=False)
    made.show_progress(progress(step=21, elapsed_s=11.0))
    assert made._left.text() == "Stopping...", "whatever was under way"


def test_no_text_moves_the_buttons(panel: Any, qtbot: Any) -> None:
    made = TrainPanel()
    step = Step("3  Train", made, made.needs)
    area = panel(VerticalScrollArea(stacked(step)))
    area.resize(area.minimumSizeHint().width(), 700)
    with qtbot.waitExposed(area):
        area.show()

    def places() -> list[QRect]:
        QApplication.processEvents()
        parts = (made._preset, made._time, made._device)
        parts += (made._train, made._start_over, made._pause, made._stop)
        shown = [part for part in parts if part.isVisibleTo(area)]
        assert made._preset in shown
        return [QRect(part.mapTo(area, QPoint()), part.size()) for part in shown]

    before = places()
    step.set_hint("Paint a stroke in a cell and one in the background first.")
    assert places() == before
    made.set_state(Activity.TRAINING, can_train=True, knows_more=True)
    step.set_hint("")
    assert places() == before
    made.begin()
    made.show_progress(progress())
    assert places() == before
    made.end("Round 1: 20 s of training in all. " * 3)
    made._time.setValue(3600)
    assert places() == before


def test_curves_have_no_room_before_they_are_asked_for(panel: Any, qtbot: Any) -> None:
    made = panel(TrainPanel())
    with qtbot.waitExposed(made):
        made.show()
    folded = made.sizeHint().height()
    made._advanced.set_open(True)
    assert made.sizeHint().height() > folded + 150


def test_a_sentence_stands_where_the_curves_will_be(panel: Any, qtbot: Any) -> None:
    made = panel(TrainPanel())
    made._advanced.set_open(True)
    with qtbot.waitExposed(made):
        made.show()
    note = made.findChild(QWidget, "loss_note")
    assert "curves" in note.text()
    assert (note.isVisible(), made.curves.plot.isVisible()) == (True, False)
    height = made.sizeHint().height()
    made.begin()
    assert note.isVisible(), "no empty axes while it starts"
    made.show_progress(progress())
    assert note.isVisible(), "one point is no curve"
    made.show_progress(progress(step=20, elapsed_s=10.0))
    assert (note.isVisible(), made.curves.plot.isVisible()) == (False, True)
    assert made.sizeHint().height() == height
    made.end("Round 1: 20 steps.")
    assert made.curves.plot.isVisible(), "what was learned can be looked at"
    made.begin()
    assert note.isVisible()


def test_the_names_of_curves_do_not_widen_the_dock(panel: Any) -> None:
    assert panel(TrainPanel()).minimumSizeHint().width() < 230


def test_the_time_of_the_last_save_is_not_cut_off(panel: Any, qtbot: Any) -> None:
    made = panel(SessionPanel())
    width = made.minimumSizeHint().width()
    made.set_saved(Path("sessions") / "a long name of a session that is nowhere shown")
    with qtbot.waitExposed(made):
        made.show()
    made.resize(made.minimumSizeHint())
    label = made.findChild(QWidget, "session_label")
    qtbot.waitUntil(lambda: made.width() == made.minimumSizeHint().width())
    assert abs(made.width() - width) < 10, "the dock does not jump at the first save"
    assert label.isVisible()
    assert label.width() >= label.fontMetrics().horizontalAdvance(label.text())


def test_curves_of_a_long_training_stay_short(panel: Any) -> None:
    plot = panel(LossPlot())
    for i in range(5000):
        plot.add(progress(step=i, elapsed_s=float(i)))
    drawn = plot._curves["training"].xData
    assert len(drawn) <= MOST_POINTS
    assert (drawn[0], drawn[-1]) == (0, 4999)
    assert np.all(np.diff(drawn) > 0)


def measurements(n: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "label": np.arange(1, n + 1),
        "centroid_y": rng.random(n),
        "centroid_x": rng.random(n),
        "area_px": rng.random(n) * 100,
    }


def test_the_table_sorts_and_keeps_its_order(panel: Any) -> None:
    model = ObjectTableModel()
    table = {"label": np.array([1, 2, 3]), "area_px": np.array([30.0, 10.0, 20.0])}
    model.set_table(table)
    assert [model.headerData(i, Qt.Orientation.Horizontal) for i in range(3)] == [
        "label",
        "review",
        "area px",
    ]
    model.sort(2, Qt.SortOrder.DescendingOrder)
    assert [model.value(row, "label") for row in range(3)] == [1, 3, 2]
    assert model.row_of(2) == 2
    assert model.row_of(9) is None
    assert model.data(model.index(1, 2)) == "20"
    model.set_table({"label": np.array([4, 5]), "area_px": np.array([1.0, 2.0])})
    assert [model.value(row, "label") for row in range(2)] == [5, 4], "sorted as before"
    model.set_table({})
    assert (model.rowCount(), model.columnCount()) == (0, 0)


def test_the_table_filters_and_shows_verdicts(panel: Any) -> None:
    model = ObjectTableModel()
    model.set_table({"label": np.array([1, 2, 3]), "area_px": np.array([30.0, 10.0, 20.0])})
    model.sort(2)
    model.set_filter(Condition("area_px", ">", "15"))
    assert [model.value(row, "label") for row in range(model.rowCount())] == [3, 1]
    assert (model.row_of(2), model.total()) == (None, 3)
    assert model.shown()["label"].tolist() == [3, 1]
    model.set_verdicts({1: "accepted"})
    assert model.data(model.index(1, 1)) == "accepted"
    model.set_filter(Condition("review", "=", "accepted"))
    assert model.labels(range(model.rowCount())) == [1]
    with pytest.raises(ImPartialError):
        model.set_filter(Condition("size", ">", "3"))
    assert model.rowCount() == 1, "what was shown stays"
    # Another image may lack a column that the filter names.
    model.set_filter(Condition("area_px", ">", "15"))
    model.set_table({"label": np.array([7])})
    assert model.rowCount() == 1


def test_the_table_leads_to_objects_and_back(panel: Any) -> None:
    view = panel(ObjectTable())
    table = measurements(20_000)
    view.set_table(table)
    seen: list[Any] = []
    view.object_chosen.connect(lambda *values: seen.append(values))
    view.select(777)
    assert view.currentIndex().row() == 776
    assert seen == [], "a click in the picture does not move the picture"
    view.selectRow(5)
    assert [values[0] for values in seen] == [6]
    assert seen[0][1] == table["centroid_y"][5]


def test_selected_objects_stay_selected(panel: Any) -> None:
    view = panel(ObjectTable())
    view.set_table(measurements(500))
    view.select_labels([3, 4, 5, 90], current=4)
    assert view.selected() == [3, 4, 5, 90]
    assert view.current_label() == 4
    view.scrollToBottom()
    view.sortByColumn(2, Qt.SortOrder.DescendingOrder)
    assert view.rowAt(0) == 0, "who sorts wants the first rows"
    assert set(view.selected()) == {3, 4, 5, 90}
    view.set_verdicts({4: "accepted"})
    assert set(view.selected()) == {3, 4, 5, 90}
    view.set_table({name: column[:80] for name, column in measurements(500).items()})
    assert set(view.selected()) == {3, 4, 5}
    assert view.current_label() == 4
    view.selectAll()
    assert len(view.selected()) == 80


def test_accepting_and_rejecting_goes_on_to_the_next_row(panel: Any, qtbot: Any) -> None:
    made = panel(ReviewPanel())
    made.set_table(measurements(5))
    seen: list[Any] = []
    made.accept_wanted.connect(lambda labels: seen.append(("accept", labels)))
    made.reject_wanted.connect(lambda labels: seen.append(("reject", labels)))
    made.accept()
    assert seen == [], "nothing is selected"
    made.table.go_to_row(1)
    made.accept()
    qtbot.keyClick(made.table, Qt.Key.Key_Delete)
    assert seen == [("accept", [2]), ("reject", [3])]


def test_the_list_of_rounds(panel: Any) -> None:
    made = panel(RoundsPanel())
    assert made.isHidden()
    rows = [RoundRow(1, 15.2, 300, 4, 40, None), RoundRow(2, 31.0, 512, 7, 44, 0.876, True)]
    made.set_rounds(rows)
    assert not made.isHidden()
    assert made.value() is None
    assert made._compare.isEnabled()
    assert not made._back.isEnabled()
    seen: list[Any] = []
    made.valueChanged.connect(seen.append)
    made.roll_back_wanted.connect(seen.append)
    made.setValue(1)
    assert made._compare.text() == "Compare with round 1"
    made._back.click()
    assert seen == [1, 1]
    made.set_rounds([*rows[:1], dataclasses.replace(rows[1], objects=45)])
    assert made.value() == 1, "what is chosen stays chosen"
    made.set_rounds(rows, busy=True)
    assert not made._back.isEnabled()
    texts = [made._list.topLevelItem(1).text(i) for i in range(6)]
    assert texts[1:] == ["31 s", "512", "7", "44", "0.88"]
    made.set_hint("Enough.")
    assert not made._hint.isHidden()


def test_scribble_counts_and_brushes(panel: Any) -> None:
    made = panel(ScribblePanel())
    assert not made._new.isEnabled()
    labels = np.zeros((20, 20), np.uint8)
    labels[2, 2:7], labels[10, 2:7], labels[15, 3] = 1, 1, 2
    made.set_counts({"a": Scribbles(labels), "b": Scribbles(labels)}, ClassNames())

    def told() -> list[str]:
        return [f"{row.name}: {row.words()}, {row.px} px" for row in made.classes.value()]

    assert told() == ["Background: 4 strokes, 20 px", "Cell: 2 strokes in 2 cells, 2 px"]
    labels[12:18, 1:6], labels[13:17, 2:5], labels[15, 3] = 2, 0, 2
    made.set_counts({"a": Scribbles(labels)}, ClassNames())
    assert told()[1].startswith("Cell: 2 strokes in 1 cell, "), "one lies inside the other"
    made.set_ready(True, True)
    seen: list[int] = []
    brushes = made.at_hand
    brushes.brush_wanted.connect(seen.append)
    for label in (1, 2, 0):
        brushes._buttons[label].click()
    assert seen == [1, 2, 0]
    assert [label for label, one in brushes._buttons.items() if not one.isHidden()] == [1, 2, 0]
    brushes._add.click()
    assert seen[-1] == 3, "another kind of cell has the brush at once"
    assert not brushes._buttons[3].isHidden()
    labels[0, 0] = 5
    names = ClassNames()
    names.give(5, "B & T")
    made.set_counts({"a": Scribbles(labels)}, names)
    assert not brushes._buttons[5].isHidden(), "what is painted has a brush"
    assert brushes._buttons[5].text() == "B && T", "no underlined T"
    assert told()[-1].startswith("B & T: 1 stroke in 1 cell")
    brushes.set_brush(6)
    assert not brushes._buttons[6].isHidden(), "a key takes a brush that is seen"


def test_buttons_name_the_keys_of_the_table_of_keys(panel: Any) -> None:
    brushes, places, review = panel(ScribblePanel()), panel(RefinePanel()), panel(ReviewPanel())
    told = {
        button.objectName(): button.toolTip()
        for made in (brushes, places, review)
        for button in made.findChildren(QPushButton)
    }
    # Q and W paint scribbles whichever layer is selected; E is napari's own in other labels.
    assert told["brush_background_button"].endswith("Key: Q.")
    assert told["brush_cell_button"].endswith("Key: W.")
    assert "Key: E; " in told["brush_eraser_button"]
    assert "its own eraser" in told["brush_eraser_button"]
    for name, action in (
        ("next_button", "next_place"),
        ("previous_button", "previous_place"),
        ("fine_button", "looks_fine"),
        ("undo_fine_button", "undo_decision"),
        ("undo_button", "undo_decision"),
        ("accept_button", "accept"),
        ("reject_button", "reject"),
    ):
        assert key_hint(action) in told[name]


def test_next_goes_round_the_list(panel: Any) -> None:
    made = panel(RefinePanel())
    assert not made._next.isEnabled()
    made.setValue(["a", "b", "c"])
    assert made.value() is None
    seen: list[int] = []
    made.place_chosen.connect(seen.append)
    for _ in range(4):
        made.go_next()
    assert seen == [0, 1, 2, 0]
    made.go_previous()
    assert seen[-1] == 2
    made.setValue(["only"])
    made.go_next()
    made.go_next()
    assert seen[5:] == [0, 0], "one place can be gone back to"


def test_places_that_are_done_are_passed_over(panel: Any) -> None:
    made = panel(RefinePanel())
    seen: list[int] = []
    made.place_chosen.connect(seen.append)
    made.setValue(["a", "b", "c", "d"], [False, True, False, True], row=0)
    assert seen == []
    made.go_next()
    made.go_next()
    made.go_previous()
    assert seen == [2, 0, 2]
    fine: list[int] = []
    made.place_fine.connect(fine.append)
    made.looks_fine()
    assert fine == [2]
    made.setValue(["a", "b"], [True, True])
    assert not made._next.isEnabled()
    made.go_next()
    made.looks_fine()
    assert made.value() is None
    assert fine == [2]


def test_split_strength_matters_only_where_there_is_splitting(panel: Any) -> None:
    made = panel(ResultPanel())
    assert not made._form.isEnabled()  # nothing is predicted yet
    made.set_count(3)
    strength = made._form.editors["split_strength"]
    sharpen = made._form.editors["sharpen"]
    assert strength.isEnabled()
    assert sharpen.isEnabled()
    made.setValue(dataclasses.replace(InstanceConfig(), split="watershed"))
    assert strength.isEnabled()
    assert not sharpen.isEnabled()
    made.setValue(dataclasses.replace(InstanceConfig(), split="components"))
    assert not strength.isEnabled()
    assert not sharpen.isEnabled()


def test_a_step_hides_its_content_and_says_what_it_needs(panel: Any) -> None:
    content = ScribblePanel()
    step = panel(Step("2  Scribble", content))
    step.set_hint("Needs an image.")
    assert step._hint.text() == "Needs an image."
    assert not content.isHidden()
    step.set_open(False)
    assert content.isHidden()
    step.set_summary("done")
    assert step._button.accessibleName() == step._button.text() == "2  Scribble: done"


def test_the_long_name_of_an_image_does_not_widen_a_step(panel: Any) -> None:
    step = panel(Step("1  Image", ScribblePanel()))
    step.resize(300, 200)
    width = step.minimumSizeHint().width()
    step.set_summary(f"{'long name ' * 20}, 3 channels")
    assert step.minimumSizeHint().width() == width
    assert step._button.text().endswith("3 channels")
    assert "…" in step._button.text()
    assert step._button.accessibleName() in step._button.toolTip()


def test_a_small_window_scrolls_and_does_not_squeeze(panel: Any, qtbot: Any) -> None:
    class Yielding(QWidget):
        def sizeHint(self) -> QSize:
            return QSize(100, 400)

        def minimumSizeHint(self) -> QSize:
            return QSize(100, 50)

    step = Step("4  Result", Yielding())
    area = panel(VerticalScrollArea(stacked(step)))
    area.resize(320, 200)
    area.show()
    qtbot.waitUntil(lambda: step.height() >= step.sizeHint().height() > 400)


def test_image_choice_round_trip(panel: Any) -> None:
    from napari.components import ViewerModel

    viewer = ViewerModel()
    made = panel(ImagePanel(viewer))
    made.refresh()
    assert made.value() is None
    stack = viewer.add_image(np.zeros((3, 40, 50)), name="stack")
    flat = viewer.add_image(np.zeros((40, 50)), name="flat")
    made.refresh()
    seen: list[Any] = []
    made.valueChanged.connect(seen.append)
    for source in (
        Source((stack,), "CYX", (0, 2)),
        Source((stack, flat), "CYX", (1,)),
        Source((flat,), "YX", (0,)),
        Source((stack, flat), "ZYX", (0,)),
    ):
        made.setValue(source)
        if source.axes == "ZYX":
            # A flat layer has no planes to be a channel of a stack's.
            assert made.value() == Source((stack,), "ZYX", (0,))
        else:
            assert made.value() == source
            assert seen[-1] == source
    made.setValue(Source((flat,), "YX", (0,)))
    made._combo.setCurrentIndex(0)
    assert made.value() == Source((stack,), "ZYX", (0,)), "the choice is remembered"


def test_wrong_axes_are_told_and_not_taken(panel: Any) -> None:
    from napari.components import ViewerModel

    viewer = ViewerModel()
    viewer.add_image(np.zeros((3, 40, 50)), name="stack")
    made = panel(ImagePanel(viewer))
    made.refresh()
    for text in ("YX", "CYY", "QYX"):
        made._axes.setText(text)
        made._axes.editingFinished.emit()
        assert made.value() is None
        assert made._note.text()
    made._axes.setText("zyx")
    made._axes.editingFinished.emit()
    assert made.value() is not None
    assert made.value().axes == "ZYX"
    assert made._note.text() == ""
    assert [row.name for row in made.table.channels] == ["stack"]


def test_a_long_file_name_does_not_widen_the_dock(panel: Any) -> None:
    step = panel(Step("Result", QWidget()))
    before = step.minimumSizeHint().width()
    words = f"'{'a_very_long_name_of_a_file' * 4}' has no channel 'DAPI'."
    step.set_hint(words)
    assert step.minimumSizeHint().width() <= max(before, 250)
    assert step._hint.text() == words
    label = step.findChild(QWidget, "step_hint")
    assert label.accessibleName() == words, "a screen reader gets no breaks inside of words"


def test_places_that_are_done_can_be_read_on_either_theme(panel: Any) -> None:
    made = panel(RefinePanel())
    made.setValue(["one", "two"], [True, False])
    done = made.findChild(QWidget, "suggestion_list").item(0)
    for shade in ("#f0f0f0", "#202020"):
        palette = made.palette()
        palette.setColor(QPalette.ColorRole.Text, QColor(shade))
        made.setPalette(palette)
        colour = done.foreground().color()
        assert (colour.name(), colour.alpha() < 255) == (shade, True)


def test_an_opened_histogram_is_scrolled_to(panel: Any, qtbot: Any) -> None:
    review = ReviewPanel()
    area = panel(VerticalScrollArea(stacked(review)))
    area.setFixedHeight(200)
    review.set_table({"label": np.arange(1, 5), "area_px": np.array([5.0, 6, 7, 8])})
    with qtbot.waitExposed(area):
        area.show()
    button = review.findChild(QPushButton, "histogram_button")
    button.click()
    box = review.histogram

    def in_sight() -> None:
        bottom = box.mapTo(area.viewport(), box.rect().bottomLeft()).y()
        assert 0 < bottom <= area.viewport().height()

    qtbot.waitUntil(lambda: (in_sight(), True)[1], timeout=2000)


def test_after_roll_back_the_keyboard_is_on_no_button(panel: Any, qtbot: Any) -> None:
    rounds, save = RoundsPanel(), QPushButton("Save model...")
    made = panel(stacked(rounds, save))
    rows = [RoundRow(1, 15.2, 300, 4, 40, None), RoundRow(2, 31.0, 512, 7, 44, 0.876, True)]
    rounds.set_rounds(rows)
    rounds.setValue(1)
    with qtbot.waitActive(made):
        made.show()
        made.activateWindow()
    back = rounds.findChild(QPushButton, "roll_back_button")
    back.setFocus()
    assert back.hasFocus()
    rounds.set_rounds(rows, busy=True)
    assert not back.isEnabled()
    assert not save.hasFocus()


def test_the_keyboard_of_a_button_that_is_disabled_goes_to_no_field(panel: Any, qtbot: Any) -> None:
    button, field = QPushButton("Predict"), QLineEdit()
    made = panel(stacked(button, field))
    with qtbot.waitActive(made):
        made.show()
        made.activateWindow()
    button.setFocus()
    set_enabled(button, False)
    assert not button.isEnabled()
    assert not field.hasFocus()
