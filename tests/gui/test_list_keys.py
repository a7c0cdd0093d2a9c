"""Our keys while something of the dock has the keyboard."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt

Key = Qt.Key


def test_keys_act_after_a_click_into_a_list(
    widget: Any, viewer: Any, find: Any, predicted: Any, scribbled: Any, wait_for: Any, qtbot: Any
) -> None:
    table, places = find("object_table"), find("suggestion_list")
    known = widget.session.plane
    # With this layer selected, A and D of the viewer would be about its shapes.
    viewer.layers.selection.active = next(
        layer for layer in viewer.layers if layer.name == "suggestions [tissue]"
    )
    qtbot.keyClick(table, Key.Key_A)
    assert not known.review, "nothing is selected"
    table.go_to_row(0)
    qtbot.keyClick(table, Key.Key_A)
    qtbot.keyClick(table, Key.Key_D)
    assert (len(known.review.kept), len(known.review.empty)) == (1, 1)
    qtbot.keyClick(table, Key.Key_U)
    qtbot.keyClick(table, Key.Key_U)
    assert not known.review
    qtbot.keyClick(table, Key.Key_N)
    assert places.currentRow() == 0
    qtbot.keyClick(places, Key.Key_N)
    assert places.currentRow() == 1
    qtbot.keyClick(places, Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    assert places.currentRow() == 0
    qtbot.keyClick(places, Key.Key_K)
    assert len(known.dismissed) == 1
    qtbot.keyClick(places, Key.Key_U)
    assert not known.dismissed
    size = scribbled.brush_size
    qtbot.keyClick(find("rounds_list"), Key.Key_BracketRight)
    assert scribbled.brush_size == size + 1
    qtbot.keyClick(find("channel_table"), Key.Key_Q)
    assert (scribbled.mode, scribbled.selected_label) == ("paint", 1)
    # What is no key of ours goes its way.
    places.setCurrentRow(0)
    qtbot.keyClick(places, Key.Key_Down)
    assert places.currentRow() == 1


def test_a_key_changes_no_choice(widget: Any, find: Any, scribbled: Any, qtbot: Any) -> None:
    split = find("split_combo")
    widget.result_panel.set_count(1)
    before = split.value()
    qtbot.keyClick(split, Key.Key_W)
    assert split.value() == before
    assert (scribbled.mode, scribbled.selected_label) == ("paint", 2)


def test_what_is_typed_is_left_alone(widget: Any, find: Any, predicted: Any, qtbot: Any) -> None:
    find("suggestion_list").setCurrentRow(0)
    qtbot.keyClicks(find("filter_edit"), "nkuad.,")
    assert find("suggestion_list").currentRow() == 0
    assert not widget.session.plane.review
    assert find("filter_edit").text() == "nkuad.,"


def test_a_field_for_numbers_takes_numbers_and_leaves_letters_to_our_keys(
    find: Any, scribbled: Any, qtbot: Any
) -> None:
    spin = find("time_budget_spin")
    spin.setFocus()
    spin.selectAll()
    qtbot.keyClick(spin, Key.Key_Q)
    assert (scribbled.mode, scribbled.selected_label) == ("paint", 1)
    qtbot.keyClick(spin, Key.Key_W)
    assert (scribbled.mode, scribbled.selected_label) == ("paint", 2)
    qtbot.keyClicks(spin, "42")
    qtbot.keyClick(spin, Key.Key_Return)
    assert spin.value() == 42
