"""napari is killed at random moments while strokes are painted and saved.

Three times in the ordinary suite; fifty times, in some minutes, with

    NAPARI_IMPARTIAL_KILLS=50 scripts/test.sh tests/gui/test_kills.py -s
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_impartial.session import locations
from napari_impartial.session.folder import MANIFEST, SessionFolder
from napari_impartial.session.saved_state import SavedSession, from_content

KILLS = int(os.environ.get("NAPARI_IMPARTIAL_KILLS", "3"))
LONGEST_S = 3.0
PATIENCE_S = 240.0

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has neither fork nor SIGKILL"),
    pytest.mark.timeout(300 + 60 * KILLS),
]


@pytest.fixture
def windows(sessions: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start the program that opens windows when asked."""
    with open(tmp_path / "errors.txt", "w") as errors:
        server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("painting_napari.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
                "NAPARI_IMPARTIAL_SESSIONS": str(sessions),
            },
        )
    yield server
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.close()
    server.wait(timeout=60)
    server.stdout.close()


@pytest.fixture
def model(tmp_path: Path, tiny_tissue: Any) -> Path:
    """Train a real, tiny model, to be the model of each round."""
    from napari_impartial.core.api import train
    from napari_impartial.core.config import ModelConfig, TrainingConfig
    from napari_impartial.core.data.mask_scribbles import simulate
    from napari_impartial.core.network.model_file import save_model

    scribbles, _ = simulate(tiny_tissue.truth, 0.3, np.random.default_rng(0))
    trained = train(
        [tiny_tissue.image],
        [scribbles],
        TrainingConfig(patch_size=32, batch_size=2, max_steps=2, precision="float32"),
        ModelConfig(base_features=4, depth=1),
    )
    path = tmp_path / "model.impartial"
    save_model(trained, path)
    return path


def lines(log: Path) -> list[list[str]]:
    """Return what was logged, less a last line that a kill cut short."""
    text = log.read_text() if log.exists() else ""
    return [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]


def wait_for(log: Path, word: str, pid: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while not any(line[0] == word for line in lines(log)):
        assert time.monotonic() < end, f"no {word!r}"
        assert Path(f"/proc/{pid}").exists() or sys.platform != "linux", "the window is gone"
        time.sleep(0.02)


def painted(folder: Path) -> set[int]:
    """Read a session and return the strokes in it, each of which has to be whole or not there."""
    from painting_napari import IMAGES, SIZE, place

    saved = from_content(SavedSession, SessionFolder(folder).read(), losses := [])
    assert not losses
    arrays = {}
    for image in saved.images:
        name = saved.layers[image.layers[0]].name
        assert saved.layers[image.layers[0]].data.load().shape == (SIZE, SIZE)
        assert image.scribbles is not None
        arrays[name] = image.scribbles.data.load()
    for one in saved.rounds:
        assert one.model is not None
        assert one.model.stat().st_size > 0
    found = set()
    for stroke in range(2 * (SIZE // 4 - 1) ** 2):
        name, row, column, label = place(stroke)
        if name in arrays and (arrays[name][row, column - 1 : column + 2] == label).all():
            found.add(stroke)
    assert set(arrays) <= set(IMAGES)
    return found


def test_no_saved_stroke_is_lost_however_often_napari_is_killed(
    windows: subprocess.Popen[str], model: Path, sessions: Path, tmp_path: Path
) -> None:
    assert windows.stdin is not None
    assert windows.stdout is not None
    dice = random.Random(1)
    required: set[int] = set()
    first, saves, lost = 0, 0, []
    for number in range(KILLS):
        log = tmp_path / f"log {number}.txt"
        offered = locations.unfinished()
        assert bool(offered) == bool(required), "after each kill the session is offered"
        base = painted(offered[0].path) if offered else set()
        task = {
            "seed": number,
            "log": str(log),
            "first_stroke": first,
            "restore": bool(offered),
            "model": str(model),
        }
        windows.stdin.write(json.dumps(task) + "\n")
        windows.stdin.flush()
        pid = int(windows.stdout.readline())
        # Most are killed while they paint and save, some while they open and restore.
        if not (number and dice.random() < 0.2):
            wait_for(log, "saved", pid)
        time.sleep(dice.uniform(0, LONGEST_S))
        os.kill(pid, signal.SIGKILL)
        assert int(windows.stdout.readline()) == -signal.SIGKILL, (
            tmp_path / "errors.txt"
        ).read_text()

        said = lines(log)
        strokes = [int(words[1]) for words in said if words[0] == "stroke"]
        complete = [words[1:] for words in said if words[0] == "saved"]
        required = base | ({int(n) for n in complete[-1]} if complete else set())
        first = max([first - 1, *strokes]) + 1
        saves += len(complete)
        (session,) = locations.unfinished()
        there = painted(session.path)
        assert required <= there, f"kill {number}: lost {sorted(required - there)}"
        lost.append(len((base | set(strokes)) - there))
        for folder in sessions.iterdir():
            if (folder / MANIFEST).exists():
                painted(folder)
    sys.stdout.write(
        f"\n{KILLS} kills, {first} strokes painted, {saves} saves completed: no stroke older "
        f"than the last save lost, every folder readable; painted since the last save and "
        f"gone with the window: {np.mean(lost):.1f} strokes a kill, {max(lost)} at most\n"
    )
    assert saves >= 0.5 * KILLS
