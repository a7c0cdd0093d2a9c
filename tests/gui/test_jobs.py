"""Jobs in the background: when their news comes, what napari's activity dock shows of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from typing import Any

import pytest
from qtpy.QtCore import QThreadPool, QTimer
from qtpy.QtWidgets import QProgressBar, QPushButton

from napari_impartial.gui.background import Job, Latest
from napari_impartial.worker.messages import Cancel, Failed, Predicting

pytestmark = pytest.mark.usefixtures("true_pauses")


class Quick:
    """Stands in for the process: has all its news out before the window has seen any."""

    def run(self, make_job: Any, commands: Any) -> Generator[Predicting, None, Failed]:
        """Tell a share and be done."""
        yield Predicting(0, 0.8)
        return Failed(0, "cancelled", "")


class Held:
    """Stands in for the process: each of its news waits until it is let out."""

    def __init__(self) -> None:
        self.news = iter([Predicting(0, 0.3), Predicting(0, 0.8)])
        self.go = threading.Semaphore(0)

    def run(self, make_job: Any, commands: Any) -> Generator[Predicting | None, None, Failed]:
        """Tell all news, one by one, and be done."""
        for news in self.news:
            while not self.go.acquire(timeout=0.02):
                yield None
            yield news
        while not self.go.acquire(timeout=0.02):
            yield None
        return Failed(0, "cancelled", "")


@pytest.fixture
def cancel(wait_for: Any) -> Any:
    """Press the button of a bar in the activity dock."""

    def press(bar: Any) -> None:
        (button,) = bar.findChildren(QPushButton)
        assert button.text() == "Cancel"
        button.click()

    return press


def test_the_activity_dock_follows_a_job(
    viewer: Any, bars: Any, wait_for: Any, cancel: Any
) -> None:
    held, cancelled, ended = Held(), [], []
    job = Job(held, Cancel, "long work")  # type: ignore[arg-type]
    job.when_cancelled(lambda: cancelled.append(True))
    job.ended.connect(ended.append)
    bar = bars()["long work"].findChild(QProgressBar)
    assert (bar.value(), bar.maximum()) == (0, 100)
    held.go.release()
    wait_for(lambda: bar.value() == 30)
    assert not cancelled
    cancel(bars()["long work"])
    wait_for(lambda: cancelled)
    assert not ended, "it is for the job to end, when it can"
    held.go.release()
    wait_for(lambda: bar.value() == 80)
    held.go.release()
    wait_for(lambda: ended and not bars())
    assert cancelled == [True], "asked once"


def test_a_part_of_something_larger_has_no_bar(viewer: Any, bars: Any, wait_for: Any) -> None:
    held, ended = Held(), []
    job = Job(held, Cancel, "part", shown=False)  # type: ignore[arg-type]
    job.ended.connect(ended.append)
    assert not bars()
    held.go.release(3)
    wait_for(lambda: ended)


def test_training_and_predicting_are_cancelled_in_the_activity_dock(
    widget: Any, scribbled: Any, find: Any, bars: Any, wait_for: Any, cancel: Any
) -> None:
    def idle() -> bool:
        return not (widget.session.busy or widget.results._cutting.busy)

    find("time_budget_spin").setValue(600)
    find("train_button").click()
    assert list(bars()) == ["ImPartial: training"]
    wait_for(lambda: find("loss_plot").values("training"))
    cancel(bars()["ImPartial: training"])
    wait_for(lambda: widget.session.card is not None and idle() and not bars())
    first = widget.session.plane.prediction
    assert first is not None, "the best so far was kept, and predicted with"

    # However quick the machine: the process is busy with something else until it is let go.
    press = {
        "activity": lambda: cancel(bars()["ImPartial: predicting"]),
        "dock": lambda: find("cancel_predict_button").click(),
    }
    for where, act in press.items():
        assert not find("cancel_predict_button").isVisibleTo(widget)
        with widget.process._one_job:
            find("predict_button").click()
            assert list(bars()) == ["ImPartial: predicting"], where
            assert find("cancel_predict_button").isVisibleTo(widget)
            assert not find("predict_button").isEnabled()
            act()
            wait_for(lambda: not widget.results._job._commands.empty())
        wait_for(lambda: idle() and not bars())
        assert widget.session.plane.prediction is first, where
        assert find("status_label").text() != "Predicting..."

    find("predict_button").click()
    wait_for(idle)
    assert widget.session.plane.prediction is not first, "all is as before"


def test_no_news_comes_after_the_end(viewer: Any, qtbot: Any) -> None:
    told: list[str] = []
    job = Job(Quick(), Cancel, "quick")  # type: ignore[arg-type]
    job.progressed.connect(lambda _: told.append("progressed"))
    job.ended.connect(lambda _: told.append("ended"))
    # News and end now wait together: napari's bar lets the end in while it shows the news.
    time.sleep(0.5)
    qtbot.waitUntil(lambda: "ended" in told)
    qtbot.wait(50)
    assert told[-1] == "ended"


class Busy:
    """Stands in for the process: is at work until it is released."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def run(self, make_job: Any, commands: Any) -> Generator[None, None, Failed]:
        """Have no news for long."""
        while not self.released.wait(0.02):
            yield None
        return Failed(0, "cancelled", "")


def test_waiting_for_processes_keeps_no_other_work_waiting(viewer: Any, qtbot: Any) -> None:
    pool = QThreadPool.globalInstance()
    most = pool.maxThreadCount()
    process, told = Busy(), list[int]()
    jobs = [Job(process, Cancel, "busy") for _ in range(most + 1)]  # type: ignore[arg-type]
    latest = Latest()
    latest.done.connect(told.append)
    latest.request(lambda: 1)
    try:
        qtbot.waitUntil(lambda: told == [1])
    finally:
        process.released.set()
    qtbot.waitUntil(lambda: all(job._over for job in jobs))
    qtbot.waitUntil(lambda: pool.activeThreadCount() == 0)
    assert pool.maxThreadCount() == most


def test_what_nobody_needs_at_once_waits_for_a_pause(viewer: Any, qtbot: Any) -> None:
    told: list[int] = []
    done: list[int] = []
    latest = Latest(pause_ms=100)
    latest.done.connect(told.append)
    for number in range(5):
        latest.request(lambda number=number: done.append(number) or number)
        qtbot.wait(20)
        assert latest.busy
    qtbot.waitUntil(lambda: not latest.busy)
    assert (told, done) == ([4], [4])


def test_what_is_sent_before_the_job_has_begun_arrives(viewer: Any, qtbot: Any) -> None:
    class Late:
        """Lets the job wait for its turn, as behind another one."""

        def __init__(self) -> None:
            self.turn = False
            self.heard: list[Any] = []

        def run(self, make_job: Any, commands: Any) -> Any:
            while not self.turn:
                time.sleep(0.01)
                yield None
            make_job(7)
            while not self.heard:
                time.sleep(0.01)
                yield None
                while not commands.empty():
                    self.heard.append(commands.get()(7))
            return Failed(7, "cancelled", "")

    late = Late()
    job = Job(late, Cancel, "late")  # type: ignore[arg-type]
    ended: list[Any] = []
    job.ended.connect(ended.append)
    job.send(Cancel)
    job.send(Cancel)
    late.turn = True
    qtbot.waitUntil(lambda: bool(ended))
    assert late.heard == [Cancel(7), Cancel(7)]


def test_a_double_click_starts_one_job(
    widget: Any, scribbled: Any, find: Any, wait_for: Any, qtbot: Any
) -> None:
    started: list[Any] = []
    widget.training.started.connect(started.append)
    # The second click waits in the event loop when the first is worked off.
    QTimer.singleShot(0, lambda: find("train_button").click())
    find("train_button").click()
    qtbot.wait(50)
    assert len(started) == 1
    wait_for(lambda: find("loss_plot").values("training"))
    find("stop_button").click()
    wait_for(lambda: widget.session.card is not None and not widget.session.busy)
    assert len(widget.session.rounds) == 1
