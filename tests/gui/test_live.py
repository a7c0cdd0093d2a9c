"""What happens while a network trains in the background: strokes, previews, time left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from looking import layer_named

from napari_impartial.core.config import InstanceConfig
from napari_impartial.core.training.messages import (
    Losses,
    NoPreview,
    Preview,
    Previewed,
    TrainingProgress,
)
from napari_impartial.gui.layers import Role
from napari_impartial.gui.layers.versions import camera_of, canvas_size
from napari_impartial.gui.train.previews import Shown
from napari_impartial.session.session import Activity

pytestmark = pytest.mark.usefixtures("true_pauses")


@pytest.fixture
def reports(widget: Any) -> list[Any]:
    """Return the progress of training, as it comes."""
    found: list[Any] = []
    widget.training.progressed.connect(found.append)
    return found


@pytest.fixture
def start(
    widget: Any, find: Any, scribbled: Any, wait_for: Any, reports: list[Any]
) -> Callable[[float], None]:
    """Start a training of so many seconds and wait for its first report."""

    def run(seconds: float) -> None:
        find("time_budget_spin").setValue(seconds)
        find("train_button").click()
        wait_for(lambda: reports)

    return run


@pytest.fixture
def stop(widget: Any, find: Any, wait_for: Any) -> Callable[[], None]:
    def run() -> None:
        find("stop_button").click()
        wait_for(lambda: not widget.session.busy and not widget.results._cutting.busy)

    return run


@pytest.fixture
def quiet(reports: list[Any], qtbot: Any) -> Callable[[], None]:
    """Wait until training has not been heard of for a while: a step may be under way."""

    def run() -> None:
        seen = -1
        while len(reports) != seen:
            seen = len(reports)
            qtbot.wait(1000)

    return run


def paint(layer: Any, y: int, x: int, label: int) -> None:
    layer.data_setitem((np.array([y]), np.array([x])), label)


def blank(labels: np.ndarray) -> tuple[int, int]:
    y, x = np.argwhere(labels == 0)[0]
    return int(y), int(x)


def test_who_paints_without_a_pause_is_heard_all_the_same(
    widget: Any, scribbled: Any, start: Any, stop: Any, qtbot: Any
) -> None:
    start(600)
    sent: list[Any] = []
    send = widget.training._job.send
    widget.training._job.send = lambda make: (sent.append((time.monotonic(), make(0))), send(make))
    places = np.argwhere(scribbled.data == 0)
    began = time.monotonic()
    for y, x in places[::40]:
        paint(scribbled, y, x, 1)
        qtbot.wait(50)
        if time.monotonic() - began > 4:
            break
    with_strokes = [at - began for at, m in sent if hasattr(m.command, "scribbles")]
    stop()
    # Seconds after the first stroke, while painting goes on: the limit is 1.5 s.
    assert with_strokes
    assert with_strokes[0] < 5
    assert len(with_strokes) <= 6, "not after each stroke"


def test_a_stroke_painted_while_paused_does_not_resume_and_joins_afterwards(
    widget: Any,
    find: Any,
    scribbled: Any,
    start: Any,
    stop: Any,
    quiet: Any,
    wait_for: Any,
    qtbot: Any,
    reports: list[Any],
) -> None:
    start(600)
    find("pause_button").click()
    quiet()
    seen = len(reports)
    y, x = blank(scribbled.data)
    paint(scribbled, y, x, 1)
    wait_for(lambda: widget.training._items[0].scribbles.labels[y, x] == 1)
    qtbot.wait(1000)
    assert len(reports) == seen
    assert find("pause_button").text() == "Resume"
    assert find("status_label").text() == "Training is paused."
    find("pause_button").click()
    wait_for(lambda: len(reports) > seen + 2)
    stop()


def test_an_undone_stroke_is_taken_back(widget: Any, scribbled: Any, wait_for: Any) -> None:
    y, x = blank(scribbled.data)
    known = lambda: widget.session.plane.scribbles.labels[y, x]  # noqa: E731
    paint(scribbled, y, x, 1)
    wait_for(lambda: known() == 1)
    scribbled.undo()
    wait_for(lambda: known() == 0)
    scribbled.redo()
    wait_for(lambda: known() == 1)


def test_what_is_being_read_gives_way_to_what_is_newer(
    widget: Any, scribbled: Any, wait_for: Any, qtbot: Any
) -> None:
    reader = widget.workspace._reader
    y, x = blank(scribbled.data)
    paint(scribbled, y, x, 1)
    reader._read()
    paint(scribbled, y, x, 2)
    # As Train does: everything as it is now, while the thread still has the older copy.
    widget.workspace.read_scribbles()
    qtbot.waitUntil(lambda: not reader._working.busy)
    qtbot.wait(100)
    assert widget.session.plane.scribbles.labels[y, x] == 2


def test_the_field_that_the_camera_shows_is_previewed(
    widget: Any,
    viewer: Any,
    scribbled: Any,
    start: Any,
    stop: Any,
    wait_for: Any,
    reports: list[Any],
) -> None:
    image = layer_named(viewer, "tissue")
    # What is in view is known once it has been drawn.
    viewer.window.show()
    camera_of(viewer).center = image.data_to_world((0, 24, 24))[1:]
    camera_of(viewer).zoom *= 4
    wait_for(lambda: 0 < max(image.corner_pixels[1, 1:]) < 70)
    start(600)
    box = lambda: next((r.preview.box for r in reports[::-1] if r.preview), None)  # noqa: E731
    wait_for(box)
    _, _, y1, x1 = box()
    assert max(y1, x1) < 70, "the corner that is looked at, not all of it"
    wait_for(lambda: "instances [tissue]" in viewer.layers)
    instances = layer_named(viewer, "instances [tissue]").data
    assert not instances[y1:].any()
    # Panned: the next one is of the new field.
    camera_of(viewer).center = image.data_to_world((0, 72, 72))[1:]
    wait_for(lambda: box()[0] > 30)
    stop()


@pytest.fixture
def wide(
    widget: Any, viewer: Any, find: Any, tiny_tissue: Any, tiny_scribbles: Any, wait_for: Any
) -> Any:
    """Show a part of a wide tissue that is scribbled in its corner; returns its layer."""
    viewer.window.show()
    pixels = np.tile(tiny_tissue.image.channels, (1, 16, 16))
    image = viewer.add_image(pixels, name="wide", axis_labels=("c", "y", "x"))
    wait_for(lambda: find("new_scribbles_button").isEnabled())
    find("new_scribbles_button").click()
    labels = tiny_scribbles.labels
    layer_named(viewer, "scribbles [wide]").data_setitem(np.nonzero(labels), labels[labels > 0])
    find("preset_combo").setCurrentIndex(0)
    wait_for(lambda: find("train_button").isEnabled())
    camera_of(viewer).zoom = min(canvas_size(viewer)) / 700
    return image


@pytest.mark.alone
def test_a_field_that_is_panned_to_is_seen_at_once_and_the_share_is_kept(
    widget: Any, viewer: Any, find: Any, wide: Any, stop: Any, wait_for: Any, reports: list[Any]
) -> None:
    drawn: list[tuple[float, Any]] = []
    write = widget.workspace.results.write_box

    def noted(*what: Any) -> Any:
        layer = write(*what)
        drawn.append((time.monotonic(), what[-1]))
        return layer

    widget.workspace.results.write_box = noted
    camera_of(viewer).center = (400, 400)
    find("time_budget_spin").setValue(600)
    find("train_button").click()
    # A first box, and then the field as a whole, which leaves nothing for some seconds.
    wait_for(lambda: len({box for _, box in drawn}) > 1)
    waited = []
    for y, x in ((1100, 1100), (1100, 400)):
        panned, before = time.monotonic(), len(drawn)
        camera_of(viewer).center = (y, x)

        def fresh(y: int = y, x: int = x, before: int = before) -> list[float]:
            boxes = drawn[before:]
            return [at for at, (y0, x0, y1, x1) in boxes if y0 < y < y1 and x0 < x < x1]

        wait_for(fresh)
        waited.append(round(fresh()[0] - panned, 2))
        middle = widget.workspace.results.read(widget.workspace.source, (), Role.PROBABILITY)
        wait_for(lambda y=y, x=x, middle=middle: middle[y - 64 : y + 64, x - 64 : x + 64].all())
    # The field is looked at again as soon as there is time for it, and all of it.
    wait_for(lambda: drawn[-1][0] > panned + waited[-1] + 1)
    y0, x0, y1, x1 = drawn[-1][1]
    assert y0 < y < y1
    assert x0 < x < x1
    share = reports[-1].preview_s / reports[-1].elapsed_s
    stop()
    # 2 s on a machine that is busy with nothing else.
    assert max(waited) < 4, waited
    # A tenth, what is had on credit, and what one preview takes longer than foretold.
    assert share < 0.2


class _Told:
    """Stands where a training's job does, and keeps what it is told."""

    def __init__(self) -> None:
        self.commands: list[Any] = []

    def send(self, make: Any) -> None:
        self.commands.append(make(0).command)


@pytest.fixture
def asking(widget: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the control of previews beside a training of the image "a", at rest at a field."""
    previews = widget.training._previews
    previews._job, previews._learned = _Told(), [("a", ())]
    monkeypatch.setattr(type(widget.session), "activity", Activity.TRAINING)
    previews.view = (("a", ()), (0, 0, 600, 600))
    monkeypatch.setattr(previews, "_in_view", lambda: previews.view)

    def settle() -> list[Any]:
        previews._job.commands.clear()
        previews._look()
        previews._look()
        return list(previews._job.commands)

    previews.settle = settle
    yield previews
    previews._job = None


def test_beside_a_busy_hand_what_is_there_already_is_not_wished_for_at_once(
    asking: Any, widget: Any
) -> None:
    place, box = asking.view
    field = Preview(0, box, cut=widget.session.instance_config)
    assert asking._wish(place, box) == replace(field, new_field=True), "the first"
    moved, far, elsewhere = (60, 0, 660, 600), (0, 160, 600, 760), (900, 0, 1500, 600)
    other_cut = replace(field, cut=InstanceConfig(threshold=0.7))
    new = lambda box: replace(field, box=box, new_field=True)  # noqa: E731
    now = time.monotonic()
    for busy, since_s, asked, box, expected in (
        (False, 0.5, field, field.box, None),
        (False, 0.5, other_cut, field.box, field),
        (False, 0.5, field, moved, new(moved)),
        (False, 2.5, field, field.box, field),
        (True, 0.5, field, moved, None),
        (True, 2.5, field, field.box, None),
        (True, 0.5, field, far, new(far)),
        (True, 5.5, field, field.box, replace(field, quick=True)),
        (True, 5.5, field, moved, new(moved)),
        (True, 0.5, field, elsewhere, new(elsewhere)),
    ):
        asking.hand_busy = busy
        asking._shown = Shown(place, asked, asked.box, now - since_s)
        assert asking._wish(place, box) == expected, (busy, since_s, box)
    # The same plane has another number once it is learned from; the same box of another is new.
    asking.hand_busy = False
    asking._shown = Shown(place, replace(field, image_index=-1), field.box, now)
    assert asking._wish(place, field.box) is None
    asking._learned.append(("b", ()))
    elsewhere_too = replace(field, image_index=1, new_field=True)
    assert asking._wish(("b", ()), field.box) == elsewhere_too
    widget.training.note_busy(True)
    assert asking.hand_busy
    widget.training.note_busy(False)
    assert not asking.hand_busy


def test_training_is_told_once_what_is_wished_for_and_when_it_no_longer_is(
    asking: Any, widget: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = (asking.view[0], (0, 0, 600, 600)), (asking.view[0], (900, 0, 1500, 600))
    field = Preview(0, here[1], cut=widget.session.instance_config)
    assert asking.settle() == [replace(field, new_field=True)]
    assert asking.settle() == []
    asking._asked, asking._shown = None, Shown(here[0], field, field.box, time.monotonic())
    assert asking.settle() == [], "it is there"
    asking.view = there
    assert asking.settle() == [replace(field, box=there[1], new_field=True)]
    asking.view = here
    assert asking.settle() == [NoPreview()], "back again"
    assert asking.settle() == []
    asking.view = there
    asking.settle()
    asking.view = None
    assert asking.settle() == [NoPreview()], "nothing is in view"
    asking.view = there
    asking.settle()
    with monkeypatch.context() as patch:
        patch.setattr(type(widget.session), "activity", Activity.PAUSED)
        assert asking.settle() == [NoPreview()]
    # What is wished for again, of the same field, is as quick as the hand is busy.
    asking.view = here
    asking._shown = Shown(here[0], field, field.box, time.monotonic() - 3)
    assert asking.settle() == [field]
    asking.hand_busy = True
    assert asking.settle() == [NoPreview()]
    asking._shown = Shown(here[0], field, field.box, time.monotonic() - 6)
    assert asking.settle() == [replace(field, quick=True)]
    asking.hand_busy = False
    assert asking.settle() == [field]


def test_an_answer_that_comes_when_somebody_has_gone_on_is_not_taken_for_the_next(
    asking: Any,
) -> None:
    place = ("gone", ())
    asking._learned = [place]
    first, second = Preview(0, (0, 0, 600, 600)), Preview(0, (900, 0, 1500, 600))
    losses = Losses(1.0, 1.0, 0.0, 0.0)
    progress = TrainingProgress(100, 30.0, 0.5, losses, None, None, 100, 1e-3)
    asking._asked = second
    for answered, box, pending in (
        (first, (100, 100, 500, 500), second),
        (second, (950, 50, 1450, 550), None),
    ):
        answer = Previewed(answered, box, prediction=None, instances=None)  # type: ignore[arg-type]
        asking.follow(replace(progress, preview=answer))
        assert asking._asked == pending
        assert asking._shown.of(place, answered)
        assert asking._shown.box == box


def test_what_training_does_not_learn_from_is_previewed_too(
    widget: Any,
    viewer: Any,
    find: Any,
    tiny_tissue: Any,
    scribbled: Any,
    start: Any,
    stop: Any,
    wait_for: Any,
    qtbot: Any,
) -> None:
    channels = tiny_tissue.image.channels
    start(600)
    wait_for(lambda: "instances [tissue]" in viewer.layers)
    stack = np.stack([np.zeros_like(channels), channels[:, ::-1]])
    viewer.add_image(stack, name="stack", axis_labels=("z", "c", "y", "x"))
    wait_for(lambda: find("image_combo").findText("stack") >= 0)
    find("image_combo").setCurrentText("stack")
    assert widget.session.record.name == "stack"
    wait_for(lambda: "probability [stack]" in viewer.layers)
    probability = lambda: layer_named(viewer, "probability [stack]").data[:, 0]  # noqa: E731
    wait_for(lambda: probability()[widget.session.plane_index].any())
    viewer.dims.set_point(0, 1 - widget.session.plane_index[0])
    wait_for(lambda: probability().any((1, 2)).all())
    assert widget.training._items[0].key != widget.session.current
    # Back to what is learned from; and an image that it says nothing of.
    before = layer_named(viewer, "probability [tissue]").data.copy()
    find("image_combo").setCurrentText("tissue")
    wait_for(lambda: (layer_named(viewer, "probability [tissue]").data != before).any())
    viewer.add_image(np.zeros((3, 96, 96)), name="unlike", axis_labels=("c", "y", "x"))
    wait_for(lambda: find("image_combo").findText("unlike") >= 0)
    find("image_combo").setCurrentText("unlike")
    qtbot.wait(1000)
    stop()
    assert "probability [unlike]" not in viewer.layers
