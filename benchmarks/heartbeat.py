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
import os
import pstats
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from benchmarks.window import live, wait  # noqa: E402

BEAT_S = 0.010
STROKES_A_SECOND = 30
# Before each turn the hand rests, so that every turn begins with training at its full pace.
REST_S = 2.0
QUIET, TRAINING = "nothing", "training"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.heartbeat", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each turn")
    parser.add_argument("--turns", type=int, default=12, help="with and without, each")
    parser.add_argument("--seed", type=int, default=0, help="of the order of turns")
    parser.add_argument(
        "--paused",
        action="store_true",
        help="pause training in its turns, to see what the measurement itself is good to",
    )
    parser.add_argument("--size", type=int, default=1024, help="side of the image in pixels")
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--profile", action="store_true", help="say where the time goes")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        print(json.dumps(measure(args)))
        return 0
    result = run_in_a_window(args)
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


def run_in_a_window(args: argparse.Namespace) -> dict[str, Any]:
    """Measure in a process of its own, on a virtual screen where there is one."""
    command = ["bash", str(ROOT / "scripts" / "with_display.sh"), sys.executable]
    command += ["-m", "benchmarks.heartbeat", *sys.argv[1:], "--inside"]
    with tempfile.TemporaryDirectory() as settings:
        environment = {
            **os.environ,
            "NAPARI_CONFIG": str(Path(settings) / "settings.yaml"),
            "PYTHONPATH": os.pathsep.join([str(ROOT), *(p for p in sys.path if p)]),
        }
        ended = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
    return dict(json.loads(ended.stdout.strip().splitlines()[-1]))


FIGURES = ("p50", "p99", "worst of a turn", "worst of all")


def figures(turns: list[list[float]]) -> list[float]:
    """Return the median, 99th percentile, mean of the turns' worst, and worst beat, in ms."""
    import numpy as np

    beats = np.concatenate(turns)
    worst = [max(turn) for turn in turns]
    middle, late = np.percentile(beats, [50, 99])
    return [1000 * float(v) for v in (middle, late, np.mean(worst), max(worst))]


def ratios(late: dict[str, list[list[float]]]) -> tuple[list[float], list[tuple[float, float]]]:
    """Return training's figures over those without, and intervals of all but the last.

    The worst beat of all has no interval that could be drawn from the turns at hand.
    """
    import numpy as np

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

    def __init__(self, viewer: Any, widget: Any, seed: int = 0) -> None:
        import numpy as np
        from qtpy.QtCore import Qt, QTimer
        from qtpy.QtWidgets import QOpenGLWidget

        self.viewer, self.widget = viewer, widget
        self.canvas = viewer.window._qt_window.findChild(QOpenGLWidget)
        self.rng = np.random.default_rng(seed)
        self.strokes = self.ticks = 0
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
        import math

        at = self.ticks
        self.ticks += 1
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
        from qtpy.QtCore import QEvent, QPointF, Qt
        from qtpy.QtGui import QMouseEvent
        from qtpy.QtWidgets import QApplication

        width, height = self.canvas.width(), self.canvas.height()
        start = self.rng.uniform([0.3 * width, 0.3 * height], [0.7 * width, 0.7 * height])
        step = self.rng.uniform(-15, 15, size=2)
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton

        def send(kind: Any, number: int, button: Any, held: Any) -> None:
            place = QPointF(*(start + number * step))
            event = QMouseEvent(
                kind,
                place,
                self.canvas.mapToGlobal(place),
                button,
                held,
                Qt.KeyboardModifier.NoModifier,
            )
            QApplication.sendEvent(self.canvas, event)

        send(QEvent.Type.MouseMove, 0, none, none)
        send(QEvent.Type.MouseButtonPress, 0, left, left)
        send(QEvent.Type.MouseMove, 1, none, left)
        send(QEvent.Type.MouseMove, 2, none, left)
        send(QEvent.Type.MouseButtonRelease, 2, left, none)
        self.strokes += 1


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Open the window, do all turns and return the figures."""
    import napari
    import numpy as np

    from napari_impartial.core.scribbles import simulate
    from napari_impartial.core.tissue import tissue
    from napari_impartial.gui.dock_widget import ImPartialWidget

    made = tissue(shape=(args.size, args.size), n_channels=2, seed=0)
    drawn, _ = simulate(made.truth, 0.1, np.random.default_rng(0))
    viewer = napari.Viewer(show_welcome_screen=False)
    viewer.window.resize(1366, 768)
    viewer.add_image(made.image.channels, name="tissue", axis_labels=("c", "y", "x"))
    widget = ImPartialWidget(viewer)
    viewer.window.add_dock_widget(widget, name="ImPartial", area="right")
    find = lambda name: widget.findChild(object, name)  # noqa: E731
    wait(lambda: find("new_scribbles_button").isEnabled())
    find("new_scribbles_button").click()
    layer = widget.workspace.scribbles.find(widget.workspace.source)
    layer.data_setitem(np.nonzero(drawn.labels), drawn.labels[drawn.labels > 0])
    find("preset_combo").setCurrentIndex(find("preset_combo").findData(args.preset))
    wait(lambda: find("train_button").isEnabled())

    def idle() -> bool:
        busy = widget.session.busy or widget.results._cutting.busy or widget.results._measuring.busy
        return not busy

    def train(button: str, seconds: float) -> None:
        find("time_budget_spin").setValue(seconds)
        find(button).click()
        wait(lambda: len(find("loss_plot").values("training")) > 0)

    steps: list[int] = []
    widget.training.progressed.connect(lambda progress: steps.append(progress.step))
    train("train_button", 10)
    wait(lambda: idle() and widget.results.places)
    heart, hand = Heart(), Hand(viewer, widget)
    late: dict[str, list[list[float]]] = {QUIET: [], TRAINING: []}
    profiles = {name: cProfile.Profile() for name in late}
    did, strokes = [], []

    def turn(name: str, seconds: float) -> list[float]:
        before, began = (steps[-1], hand.strokes), time.perf_counter()
        heart.start()
        hand.start()
        if args.profile:
            profiles[name].enable()
        live(seconds)
        profiles[name].disable()
        hand.stop()
        beats = heart.stop()
        spent = time.perf_counter() - began
        strokes.append((hand.strokes - before[1]) / spent)
        if name == TRAINING:
            did.append((steps[-1] - before[0]) / spent)
        return beats

    def at_work() -> bool:
        return bool(find("stop_button").isEnabled())

    def begin_training() -> None:
        steps.clear()
        train("continue_button", 36000)
        wait(lambda: steps and steps[-1] > 2)
        if args.paused:
            find("pause_button").click()

    def end_training() -> None:
        find("stop_button").click()
        wait(lambda: idle() and find("train_button").isEnabled())

    turn(QUIET, 3)  # what is done once is not what is measured
    profiles[QUIET].clear()
    strokes.clear()
    for name in shuffled(args.turns, args.seed):
        if at_work() != (name == TRAINING):
            begin_training() if name == TRAINING else end_training()
        live(REST_S)
        late[name].append(turn(name, args.seconds))
    if at_work():
        end_training()
    for name in late:
        if args.profile:
            print(f"\n=== {name}", file=sys.stderr)
            stats = pstats.Stats(profiles[name], stream=sys.stderr).strip_dirs()
            stats.sort_stats("tottime").print_stats(20)
            stats = pstats.Stats(profiles[name], stream=sys.stderr)
            stats.sort_stats("cumtime").print_stats("napari_impartial", 30)
    viewer.close()
    ratio, interval = ratios(late)
    return {
        "late_ms": {name: figures(turns) for name, turns in late.items()},
        "ratio": ratio,
        "interval": interval,
        "beats": {name: sum(map(len, turns)) for name, turns in late.items()},
        "strokes_a_second": sum(strokes) / len(strokes),
        "steps_a_second": sum(did) / len(did),
    }


if __name__ == "__main__":
    sys.exit(main())
