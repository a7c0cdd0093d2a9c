"""The training process dies or runs out of memory: said plainly, nothing lost, on it goes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def real_children(request: pytest.FixtureRequest) -> bool:
    """Whether they are as for users: once; they load torch at low priority, which takes long."""
    return request.function is test_killed_while_paused or sys.platform != "linux"


@pytest.fixture
def training(widget: Any, find: Any, scribbled: Any, wait_for: Any) -> Callable[[], None]:
    """Start a long training and wait for its first report."""

    def run() -> None:
        find("time_budget_spin").setValue(600)
        find("train_button").click()
        wait_for(lambda: find("loss_plot").values("training"))

    return run


@pytest.fixture
def usable(
    widget: Any, find: Any, scribbled: Any, wait_for: Any, notes: Any
) -> Callable[[np.ndarray], None]:
    """Check that the user was told, has all strokes, and can train again."""

    def check(strokes: np.ndarray) -> None:
        wait_for(lambda: not widget.session.busy)
        told = [note for note in notes() if "scribbles are untouched" in note]
        assert len(told) == 1, notes()
        assert "memory" in told[0]
        assert "Traceback" not in told[0]
        np.testing.assert_array_equal(scribbled.data, strokes)
        assert find("train_button").isEnabled()
        assert not find("pause_button").isEnabled()
        assert not find("pause_button").isChecked()
        assert find("pause_button").text() == "Pause"
        assert find("progress_bar").value() == 0
        reports: list[Any] = []
        widget.training.progressed.connect(reports.append)
        find("train_button").click()
        wait_for(lambda: reports)
        find("stop_button").click()
        wait_for(lambda: not widget.session.busy and not widget.results._cutting.busy)
        assert widget.session.card is not None

    return check


def test_killed_while_paused(
    widget: Any, find: Any, scribbled: Any, training: Any, usable: Any, qtbot: Any
) -> None:
    training()
    find("pause_button").click()
    scribbled.data_setitem((np.array([0]), np.array([0])), 1)
    strokes = scribbled.data.copy()
    os.kill(widget.process.pid, signal.SIGKILL)
    usable(strokes)


def test_killed_while_predicting(
    widget: Any, find: Any, scribbled: Any, training: Any, usable: Any, wait_for: Any
) -> None:
    training()
    find("stop_button").click()
    wait_for(lambda: not widget.session.busy and widget.session.card is not None)
    strokes = scribbled.data.copy()
    # Held, so that it is killed in the middle however quick the machine.
    os.kill(widget.process.pid, signal.SIGSTOP)
    find("predict_button").click()
    assert find("status_label").text() == "Predicting..."
    os.kill(widget.process.pid, signal.SIGKILL)
    usable(strokes)


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory with prlimit")
def test_out_of_memory(
    widget: Any,
    find: Any,
    scribbled: Any,
    usable: Any,
    wait_for: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import resource
    from dataclasses import replace

    from napari_impartial.gui.train import training as training_control

    wait_for(lambda: find("device_combo").itemText(0) != "auto")
    pid = widget.process.pid
    used = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (used + 150 * 2**20, limits[1]))
    small = training_control.get_preset

    def huge(name: str) -> Any:
        preset = small(name)
        return replace(
            preset,
            model=replace(preset.model, base_features=64),
            training=replace(preset.training, patch_size=512, batch_size=64),
        )

    monkeypatch.setattr(training_control, "get_preset", huge)
    strokes = scribbled.data.copy()
    find("train_button").click()
    wait_for(lambda: not widget.session.busy)
    monkeypatch.setattr(training_control, "get_preset", small)
    # It went on in a new process, which has no such limit.
    usable(strokes)
    assert widget.process.pid != pid
