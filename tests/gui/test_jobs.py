"""Jobs in the background and when their news comes."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

from qtpy.QtCore import QTimer

from napari_impartial.gui.jobs import Job
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
    wait_for(lambda: widget.training._latest is not None)
    find("stop_button").click()
    wait_for(lambda: widget.session.card is not None and not widget.session.busy)
    assert len(widget.session.rounds) == 1
