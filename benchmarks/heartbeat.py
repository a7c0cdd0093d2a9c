"""How smooth is the window while a network trains? ``python -m benchmarks.heartbeat``.

A real napari window, on a virtual screen where there is one (Xvfb), with the dock widget
and a prediction. A script does what a busy hand does: 30 strokes a second with the mouse,
panning, zooming, dragging the threshold, switching layers. Meanwhile a 10 ms timer beats
on the window's thread; how late it is, is what the hand feels. Measured in short turns with
nothing training and with a training in the background, in random order in the same run, so
that a machine that gets slower favours neither; intervals of 95 % come from drawing turns anew.

The figures depend on what else the machine does: `nice -n -18` (as root) puts the window
and, 15 below it, the training in front of other programs.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import math
import os
import pstats
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from benchmarks.rows import in_a_child  # noqa: E402
from benchmarks.window import Window, live, of_its_own, wait  # noqa: E402

BEAT_S = 0.010
STROKES_A_SECOND = 30
# Before each turn the hand rests, so that every turn begins with training at its full pace.
REST_S = 2.0
QUIET, TRAINING = "nothing", "training"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.heartbeat", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each turn, more than 1")
    parser.add_argument("--turns", type=int, default=12, help="with and without, each")
    parser.add_argument("--seed", type=int, default=0, help="of the order of turns")
    parser.add_argument(
        "--paused",
        action="store_true",
        help="pause training in its turns, to see what the measurement itself is good to",
    )
    parser.add_argument(
        "--live", action="store_true", help="train with the live switch on, without a budget"
    )
    parser.add_argument(
        "--still",
        type=float,
        default=0.0,
        help="seconds that the hand stands still after each second, as a real one does",
    )
    parser.add_argument("--size", type=int, default=1024, help="side of the image in pixels")
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--profile", action="store_true", help="say where the time goes")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        with of_its_own():
            print(json.dumps(measure(args)))
        return 0
    result = in_a_child("-m", "benchmarks.heartbeat", *sys.argv[1:], "--inside", screen=True)
    print(
        f"{result['beats'][QUIET]} and {result['beats'][TRAINING]} beats of 10 ms, "
        f"{result['strokes_a_second']:.0f} strokes a second, {os.cpu_count()} cores, "
        f"{result['steps_a_second']:.1f} training steps a second meanwhile\n"
    )
    print(f"| late by, ms | {' | '.join(FIGURES)} |\n|---{'|---' * len(FIGURES)}|")
    for name in (QUIET, TRAINING):
        print(f"| {name} | " + " | ".join(f"{v:.1f}" for v in result["late_ms"][name]) + " |")
    intervals = [f"{low:.2f} to {high:.2f}" for low, high in result["interval"]]
    print("| ratio | " + " | ".join(f"{v:.2f}" for v in result["ratio"]) + " |")
    print("| 95 % of it | " + " | ".join([*intervals, ""]) + " |")
    if args.json:
        print(json.dumps(result))
    return 0


FIGURES = ("p50", "p99", "worst of a turn", "worst of all")


def figures(turns: list[list[float]]) -> list[float]:
    """Return the median, 99th percentile, mean of the turns' worst, and worst beat, in ms."""
    beats = np.concatenate(turns)
    worst = [max(turn) for turn in turns]
    middle, late = np.percentile(beats, [50, 99])
    return [1000 * float(v) for v in (middle, late, np.mean(worst), max(worst))]


def ratios(late: dict[str, list[list[float]]]) -> tuple[list[float], list[tuple[float, float]]]:
    """Return training's figures over those without, and intervals of all but the last.

    The worst beat of all has no interval that could be drawn from the turns at hand.
    """

    def ratio(turns: dict[str, list[list[float]]]) -> list[float]:
        both = zip(figures(turns[TRAINING]), figures(turns[QUIET]), strict=True)
        return [t / max(q, 1e-3) for t, q in both]

    rng = random.Random(0)
    drawn = [ratio({k: rng.choices(v, k=len(v)) for k, v in late.items()}) for _ in range(1000)]
    low, high = np.percentile(np.array(drawn)[:, :-1], [2.5, 97.5], axis=0)
    return ratio(late), [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def shuffled(turns: int, seed: int) -> list[str]:
    """Return the order of turns: one of each kind in each pair, either first."""
    rng = random.Random(seed)
    return [name for _ in range(turns) for name in rng.sample((QUIET, TRAINING), 2)]


class Heart:
    """Counts how late each beat is, in seconds."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.late: list[float] = []
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(round(1000 * BEAT_S))
        self._timer.timeout.connect(self._beat)
        self._last = 0.0

    def start(self) -> None:
        self._last = time.perf_counter()
        self._timer.start()

    def stop(self) -> list[float]:
        self._timer.stop()
        late, self.late = self.late, []
        return late

    def _beat(self) -> None:
        now = time.perf_counter()
        self.late.append(max(now - self._last - BEAT_S, 0.0))
        self._last = now


class Hand:
    """Paints with real mouse events, and does the rest as a user would."""

    def __init__(self, window: Window, seed: int = 0, still_s: float = 0.0) -> None:
        from qtpy.QtCore import Qt, QTimer

        viewer, widget = window.viewer, window.widget
        self.viewer, self.widget = viewer, widget
        self.mouse = window.mouse()
        self.rng = np.random.default_rng(seed)
        self.strokes = self.ticks = 0
        self._still_ticks = round(still_s * STROKES_A_SECOND)
        self.camera = viewer.scene.camera
        self.scribbles = next(a for a in viewer.layers if a.name.startswith("scribbles"))
        self.image = widget.workspace.source.primary
        self.threshold = widget.findChild(object, "threshold_slider")
        self._home = (tuple(self.camera.center), self.camera.zoom)
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(round(1000 / STROKES_A_SECOND))
        self._timer.timeout.connect(self._tick)

    def start(self) -> None:
        self.camera.center, self.camera.zoom = self._home
        self.ticks = 0
        self._timer.start()

    def stop(self) -> None:
        self._timer.stop()

    def _tick(self) -> None:
        at = self.ticks
        self.ticks += 1
        if at % (STROKES_A_SECOND + self._still_ticks) >= STROKES_A_SECOND:
            return
        # Half a second of each in turn, over the painting that goes on all the time.
        doing = (at // (STROKES_A_SECOND // 2)) % 4
        if doing == 0:
            y, x = self._home[0][-2:]
            angle = at / 15
            self.camera.center = (y + 60 * math.sin(angle), x + 60 * math.cos(angle))
        elif doing == 1:
            self.camera.zoom = self._home[1] * (1.5 + math.sin(at / 10))
        elif doing == 2:
            self.threshold.setValue(0.5 + 0.3 * math.sin(at / 10))
        elif at % 5 == 0:
            self.viewer.layers.selection.active = self.image
            self.viewer.layers.selection.active = self.scribbles
        self.stroke()

    def stroke(self) -> None:
        """Paint one stroke with the mouse."""
        width, height = self.mouse.canvas.width(), self.mouse.canvas.height()
        start = self.rng.uniform([0.3 * width, 0.3 * height], [0.7 * width, 0.7 * height])
        step = self.rng.uniform(-15, 15, size=2)
        # Without a pause: the hand must not hold the window up.
        self.mouse.drag([tuple(start + number * step) for number in range(3)], pause_s=0.0)
        self.strokes += 1


class Turns:
    """A window with a prediction, and turns of the same hand with and without training."""

    def __init__(self, args: argparse.Namespace, window: Window) -> None:
        self._args, self._window = args, window
        self._steps: list[int] = []
        window.widget.training.progressed.connect(lambda report: self._steps.append(report.step))
        window.train("train_button", 10)
        wait(lambda: window.widget.results.suggestions.places)
        self._heart, self._hand = Heart(), Hand(window, still_s=args.still)
        self.late: dict[str, list[list[float]]] = {QUIET: [], TRAINING: []}
        self.profiles = {name: cProfile.Profile() for name in self.late}
        self.steps_a_second: list[float] = []
        self.strokes_a_second: list[float] = []

    def take(self) -> None:
        """Take all turns."""
        self._turn(QUIET, 3)  # what is done once is not what is measured
        self.profiles[QUIET].clear()
        self.strokes_a_second.clear()
        for name in shuffled(self._args.turns, self._args.seed):
            if self._trains() != (name == TRAINING):
                self._begin() if name == TRAINING else self._end()
            live(REST_S)
            self.late[name].append(self._turn(name, self._args.seconds))
        if self._trains():
            self._end()

    def _turn(self, name: str, seconds: float) -> list[float]:
        strokes, began = self._hand.strokes, time.perf_counter()
        self._heart.start()
        self._hand.start()
        if self._args.profile:
            self.profiles[name].enable()
        # Until then training may be in a step that it began before the hand moved.
        live(1.0)
        steps, since = self._steps[-1], time.perf_counter()
        live(seconds - 1.0)
        self.profiles[name].disable()
        self._hand.stop()
        beats = self._heart.stop()
        now = time.perf_counter()
        self.strokes_a_second.append((self._hand.strokes - strokes) / (now - began))
        if name == TRAINING:
            self.steps_a_second.append((self._steps[-1] - steps) / (now - since))
        return beats

    def _trains(self) -> bool:
        return bool(self._window.part("stop_button").isEnabled())

    def _begin(self) -> None:
        self._steps.clear()
        self._window.part("time_budget_spin").setValue(36000)
        self._window.click("live_button" if self._args.live else "train_button")
        wait(lambda: self._steps and self._steps[-1] > 2)
        if self._args.paused:
            self._window.click("pause_button")

    def _end(self) -> None:
        self._window.click("live_button" if self._args.live else "stop_button")
        wait(lambda: self._window.idle() and self._window.part("train_button").isEnabled())


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Open the window, do all turns and return the figures."""
    window = Window()
    window.open_tissue(args.size, 0.1, args.preset)
    turns = Turns(args, window)
    turns.take()
    window.close()
    if args.profile:
        for name, profile in turns.profiles.items():
            show(name, profile)
    ratio, interval = ratios(turns.late)
    return {
        "late_ms": {name: figures(beats) for name, beats in turns.late.items()},
        "ratio": ratio,
        "interval": interval,
        "beats": {name: sum(map(len, beats)) for name, beats in turns.late.items()},
        "strokes_a_second": float(np.mean(turns.strokes_a_second)),
        "steps_a_second": float(np.mean(turns.steps_a_second)),
    }


def show(name: str, profile: cProfile.Profile) -> None:
    """Print where the time of a kind of turns went."""
    print(f"\n=== {name}", file=sys.stderr)
    stats = pstats.Stats(profile, stream=sys.stderr).strip_dirs()
    stats.sort_stats("tottime").print_stats(20)
    stats = pstats.Stats(profile, stream=sys.stderr)
    stats.sort_stats("cumtime").print_stats("napari_impartial", 30)


if __name__ == "__main__":
    sys.exit(main())
