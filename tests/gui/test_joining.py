"""What joins a training that runs: strokes wherever they fall, decisions, corrections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from looking import layer_named
from qtpy.QtCore import QObject, Signal

from napari_impartial.core.training.messages import NewScribbles, Stop
from napari_impartial.worker import messages


class SilentJob(QObject):
    """A job that notes what it is sent and is over when told to stop."""

    progressed = Signal(object)
    ended = Signal(object)

    def __init__(self, _process: Any, make: Any, _words: str, parent: QObject) -> None:
        super().__init__(parent)
        self.request, self.sent = make(1), list[Any]()

    def send(self, make: Callable[[int], Any]) -> None:
        request = make(1)
        self.sent.append(request)
        if isinstance(getattr(request, "command", None), Stop):
            self.ended.emit(messages.Failed(1, "cancelled", ""))

    def when_cancelled(self, act: Callable[[], None]) -> None: ...

    def news(self) -> list[NewScribbles]:
        """Return what it was told of the annotation."""
        commands = [getattr(request, "command", None) for request in self.sent]
        return [command for command in commands if isinstance(command, NewScribbles)]


def paint(layer: Any, place: tuple[int, ...], label: int) -> None:
    layer.data_setitem(tuple(np.array([i]) for i in place), label)


@pytest.fixture
def status(find: Any) -> Callable[[], str]:
    return lambda: find("status_label").text()  # type: ignore[no-any-return]


@pytest.fixture
def train(
    widget: Any, find: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Callable[..., SilentJob]:
    """Press Train, with nobody at work."""
    monkeypatch.setattr("napari_impartial.gui.train.training.Job", SilentJob)

    def run(button: str = "train_button") -> SilentJob:
        find(button).click()
        job = widget.training._job
        assert isinstance(job, SilentJob)
        request.addfinalizer(lambda: widget.training.stop() if widget.session.busy else None)
        return job

    return run


@pytest.fixture
def go_to(widget: Any, find: Any, viewer: Any, wait_for: Any) -> Callable[[str], Any]:
    """Bring an image to the front and return its scribble layer."""

    def run(name: str) -> Any:
        combo = find("image_combo")
        wait_for(lambda: combo.findText(name) >= 0)
        combo.setCurrentText(name)
        find("new_scribbles_button").click()
        return layer_named(viewer, f"scribbles [{name}]")

    return run


def test_strokes_on_an_image_that_had_none_join(
    widget: Any,
    scribbled: Any,
    add_tissue: Any,
    train: Any,
    go_to: Any,
    wait_for: Any,
    status: Any,
) -> None:
    add_tissue("other")
    job = train()
    assert len(job.request.images) == 1
    strokes = go_to("other")
    assert job.news() == [], "an image without strokes costs nothing"
    paint(strokes, (3, 4), 2)
    wait_for(job.news)
    (told,) = job.news()
    assert [len(told.images), len(told.scribbles)] == [1, 2]
    np.testing.assert_array_equal(told.images[0].channels, job.request.images[0].channels)
    assert told.images[0].channel_names == job.request.images[0].channel_names
    np.testing.assert_array_equal(told.scribbles[1].labels, strokes.data)
    paint(strokes, (5, 6), 1)
    wait_for(lambda: len(job.news()) == 2)
    assert not job.news()[1].images, "its pixels go over once"
    assert [one.shape for one in job.news()[1].scribbles] == [(96, 96)] * 2
    # A stroke that is taken back is taken back there, too.
    strokes.undo()
    strokes.undo()
    wait_for(lambda: not job.news()[-1].scribbles[1].labels.any())
    assert status().endswith("Go on painting: new strokes join in.")
    assert [source.name for source in widget.training._pending.sources] == ["tissue", "other"]


def test_strokes_on_another_plane_of_a_stack_join(
    widget: Any, viewer: Any, find: Any, train: Any, go_to: Any, wait_for: Any
) -> None:
    data = np.random.default_rng(0).random((4, 60, 70)).astype(np.float32)
    viewer.add_image(data, name="stack", axis_labels=("z", "y", "x"))
    viewer.dims.set_point(0, 1)
    strokes = go_to("stack")
    paint(strokes, (1, 3, 4), 1)
    paint(strokes, (1, 30, 40), 2)
    wait_for(lambda: find("train_button").isEnabled())
    job = train()
    viewer.dims.set_point(0, 3)
    paint(strokes, (3, 20, 20), 2)
    wait_for(job.news)
    (told,) = job.news()
    np.testing.assert_array_equal(told.images[0].channels[0], data[3])
    assert told.scribbles[1].counts() == {1: 0, 2: 1}


def test_a_class_that_the_network_does_not_know_waits_and_is_told(
    widget: Any, scribbled: Any, train: Any, wait_for: Any, status: Any, find: Any
) -> None:
    job = train()
    (y, x), (v, u) = np.argwhere(scribbled.data == 0)[:2]
    paint(scribbled, (y, x), 3)
    paint(scribbled, (v, u), 2)
    wait_for(job.news)
    told = job.news()[-1].scribbles[0].labels
    assert (told[y, x], told[v, u]) == (0, 2), "strokes of the classes it knows join"
    waiting = (
        "Strokes of 'Cell 2' wait for the next Train: what is being trained does not know that "
        "kind of cell."
    )
    assert status() == f"Training. {waiting}"
    find("pause_button").click()
    assert status() == f"Training is paused. {waiting}"
    find("pause_button").click()
    paint(scribbled, (y, x), 1)
    wait_for(lambda: status().endswith("Go on painting: new strokes join in."))
    assert job.news()[-1].scribbles[0].labels[y, x] == 1
    find("stop_button").click()
    assert widget.training.waiting == ""


def test_an_image_of_other_channels_waits_and_is_told(
    viewer: Any, scribbled: Any, train: Any, go_to: Any, wait_for: Any, status: Any
) -> None:
    viewer.add_image(np.random.default_rng(0).random((50, 60)), name="grey")
    job = train()
    strokes = go_to("grey")
    paint(strokes, (3, 4), 2)
    wait_for(lambda: "have to wait" in status())
    assert status().startswith("Training. Strokes on 'grey' have to wait: 'grey' has 1 channel")
    assert "this training has 2 channels" in status()
    assert job.news() == []
    paint(scribbled, tuple(np.argwhere(scribbled.data == 0)[0]), 1)
    wait_for(job.news)
    assert not job.news()[0].images


def test_accepting_and_its_undo_join(
    widget: Any, predicted: Any, train: Any, find: Any, wait_for: Any, scribbled: Any
) -> None:
    job = train()
    table = find("object_table")
    table.go_to_row(0)
    label = table.selected()[0]
    free = (predicted.data == label) & (scribbled.data == 0)
    before = job.request.scribbles[0].labels
    assert free.any()
    find("accept_button").click()
    wait_for(job.news)
    assert (job.news()[-1].scribbles[0].labels[free] == 2).any()
    find("undo_button").click()
    wait_for(lambda: len(job.news()) == 2)
    np.testing.assert_array_equal(job.news()[-1].scribbles[0].labels, before)


def test_a_correction_by_hand_joins(
    widget: Any, predicted: Any, train: Any, wait_for: Any, scribbled: Any
) -> None:
    job = train()
    y, x = np.argwhere((predicted.data == 0) & (scribbled.data == 0))[0]
    place = np.ix_(range(y, min(y + 12, 96)), range(x, min(x + 12, 96)))
    rows, columns = (part.ravel() for part in np.broadcast_arrays(*place))
    predicted.data_setitem((rows, columns), int(predicted.data.max()) + 1)
    wait_for(job.news)
    told = job.news()[-1].scribbles[0].labels
    assert (told != job.request.scribbles[0].labels).any()


def test_after_the_training_nothing_is_sent(
    widget: Any, predicted: Any, train: Any, find: Any, qtbot: Any
) -> None:
    job = train()
    find("object_table").go_to_row(0)
    find("accept_button").click()
    find("stop_button").click()
    qtbot.wait(600)
    assert job.news() == []


def test_a_stroke_on_another_image_is_learned_from(
    widget: Any, scribbled: Any, add_tissue: Any, find: Any, go_to: Any, wait_for: Any
) -> None:
    reports: list[Any] = []
    widget.training.progressed.connect(reports.append)
    previewed: list[Any] = []
    widget.training.previewed.connect(lambda place, _: previewed.append(place))
    add_tissue("other")
    find("time_budget_spin").setValue(600)
    find("train_button").click()
    wait_for(lambda: reports)
    strokes = go_to("other")
    paint(strokes, (3, 4), 2)
    # The field in view is predicted while training runs, as with any image in training.
    key = widget.session.current
    wait_for(lambda: any(place[0] == key for place in previewed))
    find("stop_button").click()
    wait_for(lambda: not widget.session.busy and not widget.results._cutting.busy)
    last = widget.session.rounds[-1]
    assert last.annotated_px == int((scribbled.data > 0).sum()) + 1
