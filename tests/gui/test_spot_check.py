"""Is it good enough? In a real window: drawn, judged by keys and clicks, undone, kept, exported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from looking import settled
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_impartial.cli.main import main
from napari_impartial.core.review.spot_check import Answer
from napari_impartial.gui.layers.versions import camera_of


@pytest.fixture
def drawn(widget: Any, find: Any, predicted: Any) -> Any:
    """A sample of the predicted tissue; the first is asked about."""
    widget.steps["check"].set_open(True)
    find("spot_check_number").setValue(20)
    find("spot_check_draw").click()
    return widget.spot_check


@pytest.fixture
def press(viewer: Any) -> Callable[[str], None]:
    """Press a key as the viewer gets it: those of a layer that is selected come first."""
    from napari.utils.key_bindings import KeymapHandler

    def pressed(key: str) -> None:
        handler = KeymapHandler()
        active = viewer.layers.selection.active
        handler.keymap_providers = [one for one in (active, viewer) if one is not None]
        handler.press_key(key)

    return pressed


def go_to_kind(control: Any, place: bool) -> int:
    """Have the next object or place that is open asked about; returns its position."""
    sample = control.sample
    at = next(
        i
        for i, unit in enumerate(sample.check.units)
        if i not in sample.answers and sample.check.kind(unit).is_place is place
    )
    control._go(at)
    return at


def test_each_is_shown_and_judged_with_one_key_or_click(
    widget: Any, viewer: Any, find: Any, drawn: Any, press: Any, predicted: Any
) -> None:
    check = drawn.sample.check
    n = len(check.units)
    assert n == len(np.unique(predicted.data)), "all objects, and the one square"
    assert drawn.at == 0
    assert find("spot_check_title").text() in (f"Object 1 of {n}", f"Place 1 of {n}")
    at = go_to_kind(drawn, place=False)
    y0, x0, y1, x1 = check.units[at].box
    # Centred, as large as a quarter of the canvas, marked, its outline seen.
    centre = predicted.world_to_data(camera_of(viewer).center)[-2:]
    np.testing.assert_allclose(centre, ((y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2), atol=0.6)
    assert predicted.visible
    (outline,) = drawn._marks.outlines()
    box, canvas = outline.boundingRect(), drawn._marks.rect()
    assert 0.1 < max(box.width(), box.height()) / min(canvas.width(), canvas.height()) < 0.6
    assert abs(box.center().x() - canvas.width() / 2) < 20
    assert viewer.layers.selection.active is None, "the layer's own keys would come first"

    press("Y")
    assert drawn.sample.answers[at] == Answer(True, 1)
    assert drawn.at != at
    at = go_to_kind(drawn, place=False)
    press("2")
    assert drawn.sample.answers[at] == Answer(False, 2)
    at = go_to_kind(drawn, place=True)
    assert find("verdict_0_button").isHidden()
    find("verdict_right_button").click()
    assert drawn.sample.answers[at] == Answer(False, 0)
    press("U")
    assert drawn.at == at
    find("verdict_cells_spin").setValue(5)
    find("verdict_cells_button").click()
    assert drawn.sample.answers[at] == Answer(False, 5)
    at = go_to_kind(drawn, place=False)
    find("verdict_unsure_button").click()
    assert not drawn.sample.answers[at].sure
    assert "1 could not be told" in find("spot_check_summary").text()
    # Where nothing is asked, the keys mean nothing.
    find("spot_check_leave").click()
    press("1")
    assert len(drawn.sample.answers) == 4


def test_a_verdict_can_be_taken_back_and_the_sample_gone_on_with(
    widget: Any, viewer: Any, find: Any, drawn: Any, press: Any
) -> None:
    press("Y")
    press("0")
    assert drawn.at == 2
    press("U")
    assert (drawn.at, list(drawn.sample.answers)) == (1, [0])
    assert "Undone: the verdict" in find("status_label").text()
    find("spot_check_back").click()
    assert (drawn.at, drawn.sample.answers) == (0, {})
    press("Y")
    find("spot_check_leave").click()
    assert not drawn._marks.outlines()
    n = len(drawn.sample.check.units)
    assert find("spot_check_resume").text() == f"Go on: {n - 1} of {n} left"
    camera_of(viewer).zoom = 0.1
    find("spot_check_resume").click()
    assert drawn.at == 1
    assert camera_of(viewer).zoom > 0.1


def test_the_result_is_told_copied_and_exported(
    widget: Any, find: Any, drawn: Any, press: Any, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    while drawn.at is not None:
        press("Y")
    n = drawn.sample.check
    summary = find("spot_check_summary").text()
    assert "100 %" in summary
    assert find("spot_check_table").isHidden(), "one image has no table of images"
    find("spot_check_copy").click()
    copied = QApplication.clipboard().text()
    assert copied.startswith("Segmentation quality was estimated from a stratified random sample")
    assert f"of {sum(one.size for one in n.strata if str(one.kind) == 'object')} seg" in copied
    path = tmp_path / "protocol.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(path), ""))
    find("spot_check_export").click()
    # The command line makes the same of it.
    assert main(["validate", "--verdicts", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["methods"] == copied
    assert find("spot_check_draw").isEnabled()
    first = drawn.sample
    find("spot_check_draw").click()
    assert drawn.sample.check.units != first.check.units, "another seed"
    assert find("spot_check_summary").text() == ""
    press("U")
    assert drawn.at == 0, "verdicts on the old sample are not taken back any more"


def test_objects_that_are_others_by_now_end_the_sample(
    widget: Any, find: Any, drawn: Any, press: Any, predicted: Any, wait_for: Any
) -> None:
    go_to_kind(drawn, place=False)
    press("Y")
    # Corrected by hand meanwhile: what was drawn is known all the same.
    at = go_to_kind(drawn, place=False)
    label = drawn.sample.check.units[at].label
    widget.results.review.reject([label])
    settled(widget, wait_for)
    assert find("spot_check_note").isHidden()
    press("0")
    before = find("spot_check_summary").text()
    # Cut anew with other settings.
    find("threshold_slider").setValue(0.97)
    settled(widget, wait_for)
    wait_for(lambda: not find("spot_check_note").isHidden())
    assert not find("spot_check_resume").isEnabled()
    assert drawn.at is None
    assert find("spot_check_summary").text() == before
    # As it was: it can be gone on with.
    find("threshold_slider").setValue(0.5)
    settled(widget, wait_for)
    wait_for(lambda: find("spot_check_note").isHidden())
    find("spot_check_resume").click()
    assert drawn.at is not None


def test_the_sample_is_kept_with_the_session(
    widget: Any, find: Any, drawn: Any, press: Any, save: Any, viewer: Any, second_window: Any,
    open_in: Any, wait_for: Any, predicted: Any,
) -> None:  # fmt: skip
    go_to_kind(drawn, place=False)
    press("1")
    go_to_kind(drawn, place=True)
    press("3")
    told, sample = find("spot_check_summary").text(), drawn.sample
    folder = save(widget)
    viewer.close()
    wait_for(lambda: widget.store._closed)
    _, again = second_window()
    open_in(again, folder)
    settled(again, wait_for)
    other = again.spot_check
    assert other.sample.check == sample.check
    assert other.sample.answers == sample.answers
    panel = again.spot_check_panel
    assert panel._summary.text() == told
    assert panel._note.isHidden()
    panel._resume.click()
    assert other.at is not None


def test_an_image_that_is_closed_is_left_out_and_said(
    widget: Any, viewer: Any, find: Any, drawn: Any, press: Any, notes: Any, wait_for: Any
) -> None:
    press("Y")
    find("spot_check_leave").click()
    viewer.layers.remove("tissue")
    wait_for(lambda: not widget.session.images)
    find("spot_check_resume").click()
    assert drawn.at is None
    left = len(drawn.sample.check.units) - 1
    assert any(f"no longer open; {left} of the sample are left out" in note for note in notes())
    assert not find("spot_check_draw").isEnabled()
