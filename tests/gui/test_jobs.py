"""Jobs in the background and when their news comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from typing import Any

from qtpy.QtCore import QThreadPool, QTimer

from napari_impartial.gui.jobs import Job, Latest
from napari_impartial.gui.messages import Cancel, Failed, Predicting


class Quick:
    """Stands in for the process: has all its news out before the window has seen any."""

    def run(self, make_job: Any, commands: Any) -> Generator[Predicting, None, Failed]:
        """Tell a share and be done."""
        yield Predicting(0, 0.8)
        return Failed(0, "cancelled", "")


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
                    self.heard.append(commands.get())
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
    wait_for(lambda: widget.training._previews._latest is not None)
    find("stop_button").click()
    wait_for(lambda: widget.session.card is not None and not widget.session.busy)
    assert len(widget.session.rounds) == 1
