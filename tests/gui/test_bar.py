"""The bar at the top of the dock: always seen, whatever is open below it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QRect, Qt
from qtpy.QtGui import QColor

from napari_impartial.gui.bar import Remark, VerdictLine

AT_EACH_STROKE = (
    "brush_background_button",
    "brush_cell_button",
    "brush_eraser_button",
    "brush_size_spin",
    "train_button",
    "stop_button",
    "live_button",
    "predict_button",
    "next_button",
    "fine_button",
    "progress_bar",
    "status_label",
    "verdict_label",
)


@pytest.mark.parametrize(("channels", "images"), [(1, 1), (8, 1), (40, 50)])
def test_what_is_needed_at_each_stroke_is_always_seen(
    widget: Any, viewer: Any, find: Any, qtbot: Any, wait_for: Any, channels: int, images: int
) -> None:
    for number in range(images):
        viewer.add_image(
            np.zeros((channels, 32, 32), np.float32),
            name=f"a rather long name of an image, number {number}",
            axis_labels=("c", "y", "x"),
        )
    wait_for(lambda: widget.workspace.source is not None)
    if images > 1:
        wait_for(lambda: find("add_images_button").isVisibleTo(widget))
        find("add_images_button").click()
        assert len(widget.session.images) == images
    viewer.show()
    viewer.window.resize(1366, 768)  # once shown: a screen may be larger
    remarks = [Remark("1234 objects"), Remark("3 strokes do not fit", "x")]
    for opened in (False, True):
        for step in widget.steps.values():
            step.set_open(opened)
        qtbot.wait(100)
        window = widget.window()

        def unseen(name: str) -> bool:
            # Whatever else happens meanwhile says how things stand.
            widget.bar.verdict.set_verdict(remarks)
            widget.status.setText(
                "Place 10 of 10: one whole cell? Paint a line along it, or background between two, "
                "or K."
            )
            part, screen = find(name), QRect(QPoint(), widget.window().size())
            there = QRect(part.mapTo(widget.window(), QPoint()), part.size())
            return not screen.contains(there) or part.visibleRegion().boundingRect() != part.rect()

        wait_for(lambda: not [name for name in AT_EACH_STROKE if unseen(name)])
        assert (window.width(), window.height()) == (1366, 768), "the dock fits in"
    assert widget.minimumSizeHint().height() < 592


def test_steps_are_folded_but_for_the_image(viewer: Any) -> None:
    from napari_impartial.gui.dock_widget import ImPartialWidget

    made = ImPartialWidget(viewer)
    viewer.window.add_dock_widget(made, name="ImPartial", area="right")
    assert [name for name, step in made.steps.items() if step.is_open()] == ["image"]


def test_the_brush_has_its_size_in_the_bar(
    widget: Any, find: Any, scribbled: Any, viewer: Any
) -> None:
    spin = find("brush_size_spin")
    scribbled.brush_size = 7
    assert spin.value() == 7
    spin.setValue(11)
    assert scribbled.brush_size == 11
    widget.keys.larger_brush()
    assert (scribbled.brush_size, spin.value()) == (12, 12)


def test_another_kind_of_cell_is_a_click_away(widget: Any, find: Any, scribbled: Any) -> None:
    find("add_class_button").click()
    assert (scribbled.mode, scribbled.selected_label) == ("paint", 3)
    assert find("brush_class_3_button").isChecked()


def test_a_key_trains_and_stops(
    widget: Any, viewer: Any, find: Any, scribbled: Any, qtbot: Any, wait_for: Any
) -> None:
    find("time_budget_spin").setValue(600)
    qtbot.keyClick(find("rounds_list"), Qt.Key.Key_T)
    wait_for(lambda: find("stop_button").isEnabled())
    assert not find("train_button").isEnabled()
    qtbot.keyClick(find("rounds_list"), Qt.Key.Key_T)
    wait_for(lambda: widget.session.rounds and not widget.session.busy)
    assert widget.session.card.seconds < 500
    assert find("train_button").toolTip().startswith("Go on learning, from what is known")


def test_the_verdict_has_links(qtbot: Any) -> None:
    made = VerdictLine()
    qtbot.addWidget(made)
    assert made.isHidden()
    made.set_verdict([Remark("133 objects"), Remark("2 strokes do not fit", "misfits")])
    assert made.accessibleName() == "133 objects; 2 strokes do not fit show"
    asked: list[str] = []
    made.show_wanted.connect(asked.append)
    made.linkActivated.emit("misfits")
    assert asked == ["misfits"]
    made.set_verdict(())
    assert made.isHidden()


def test_the_bar_counts_the_objects_in_view(widget: Any, predicted: Any, tiny_tissue: Any) -> None:
    n = widget.session.plane.n_objects
    assert n > 3
    assert widget.bar.verdict.text() == f"{n} objects"
    widget.results.review.reject([1])
    assert widget.bar.verdict.text() == f"{n - 1} objects"


def test_the_brush_of_a_layer_that_came_with_its_strokes_is_shown(
    widget: Any, viewer: Any, find: Any, wait_for: Any
) -> None:
    viewer.add_image(np.zeros((40, 50)), name="A")
    labels = np.zeros((40, 50), np.uint8)
    labels[5, 5:9] = 2
    layer = viewer.add_labels(labels, name="scribbles [A]")
    wait_for(lambda: widget.session.record is not None and widget.session.record.annotated)
    assert layer.brush_size not in (0, 1)
    assert find("brush_size_spin").value() == layer.brush_size


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_links_are_read_in_both_themes(widget: Any, viewer: Any, theme: str, qtbot: Any) -> None:
    import re

    viewer.show()
    viewer.theme = theme
    widget.bar.verdict.set_verdict([Remark("2 strokes do not fit", "misfits")])
    qtbot.wait(50)
    found = re.search(r"color: (#[0-9a-f]{6})", widget.bar.verdict.text())
    assert found
    ground = widget.bar.verdict.grab().toImage().pixelColor(0, 0)
    luminances = []
    for colour in (QColor(found[1]), ground):
        values = [colour.redF(), colour.greenF(), colour.blueF()]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        luminances.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    assert (max(luminances) + 0.05) / (min(luminances) + 0.05) >= 4.5
