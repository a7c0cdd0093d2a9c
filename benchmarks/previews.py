"""How soon is a field that one pans to previewed? ``python -m benchmarks.previews``.

A real napari window (under Xvfb: ``xvfb-run -a -s "-screen 0 1366x768x24" python -m ...``)
trains on a tissue of 2048 x 2048 px. A script pans to another place every few seconds, with
the hand at rest in between and with a hand that paints 30 strokes a second, and takes down
how long it takes until the middle of the field is drawn with a prediction of the weights so
far. Previews have a tenth of the time: the last column is what they took.

With --live the live switch is on, and a stroke of the mouse is painted every few seconds: of a cell
where none is drawn, or of background inside of one. It takes down how long it takes until the
object there is drawn, or gone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import numpy as np

from benchmarks.heartbeat import Hand
from benchmarks.window import Window, live, of_its_own, wait
from napari_impartial.gui.layers import Role

TARGET_S = 2.0
HANDS = ("at rest", "painting")
_STROKE_EVERY_S = 1 / 30
# Fields are drawn at this size: one pixel of the image is one of the screen.
_ZOOM = 1.0
# Another place is at least so far away.
_ELSEWHERE_PX = 400


def main() -> int:
    """Pan, and print how long previews took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.previews", description=__doc__)
    parser.add_argument("--every", type=float, default=3.0, help="seconds between two pans")
    parser.add_argument("--pans", type=int, default=20, help="of each hand")
    parser.add_argument("--size", type=int, default=2048, help="side of the image in pixels")
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--live", action="store_true", help="how soon the view follows a stroke")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args()
    with of_its_own():
        rows = measure(args)
    print(
        "| The hand is | median, s | 90 %, s | longest, s | within 2 s | previews' share |\n"
        "|---|---|---|---|---|---|"
    )
    for row in rows:
        waited = np.array(row["waited_s"])
        median, most = np.median(waited), waited.max()
        print(
            f"| {row['hand']} | {median:.1f} | {np.quantile(waited, 0.9):.1f} | {most:.1f} | "
            f"{(waited <= TARGET_S).sum()} of {len(waited)} | {row['share']:.3f} |"
        )
    if args.json:
        print(json.dumps(rows))
    return 0


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Open the window, train, and pan with either hand."""
    window = Window()
    try:
        window.open_tissue(args.size, 0.02, args.preset)
        watch = Watch(window)
        if args.live:
            return [_follow_strokes(args, window, watch)]
        rows = []
        for hand in HANDS:
            window.part("time_budget_spin").setValue(36000)
            window.click("train_button")
            # A first field is previewed once the weights know something.
            wait(lambda: watch.drawn)
            waited = [watch.pan(args.every, hand == "painting") for _ in range(args.pans)]
            last = watch.latest
            # Rests beside a busy hand bring previews, too.
            whole_s = time.perf_counter() - watch.began
            rows.append({"hand": hand, "waited_s": waited, "share": last.preview_s / whole_s})
            window.click("stop_button")
            window.settle()
            watch.drawn.clear()
        return rows
    finally:
        window.close()


def _follow_strokes(args: argparse.Namespace, window: Window, watch: Watch) -> dict[str, Any]:
    """Go live, paint a stroke every few seconds and see how soon the view follows."""
    window.click("live_button")
    height, width = window.widget.workspace.source.primary.data.shape[-2:]
    camera = window.viewer.scene.camera
    camera.center, camera.zoom = (height / 2, width / 2), _ZOOM
    wait(lambda: watch.drawn)
    live(10)
    waited = [watch.stroke(args.every) for _ in range(args.pans)]
    share = watch.latest.preview_s / (time.perf_counter() - watch.began)
    window.click("live_button")
    window.settle()
    return {"hand": "live, a stroke", "waited_s": waited, "share": share}


class Watch:
    """Pans, and looks at what is drawn."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.hand = Hand(window)
        self.rng = np.random.default_rng(0)
        self.drawn: list[tuple[float, tuple[int, int, int, int]]] = []
        self.latest: Any = None
        self.began = 0.0
        results = window.widget.workspace.results
        write = results.write_box

        def noted(*what: Any) -> Any:
            layer = write(*what)
            self.drawn.append((time.perf_counter(), what[-1]))
            return layer

        results.write_box = noted
        window.widget.training.progressed.connect(self._follow)
        window.widget.training.started.connect(self._begin)

    def _begin(self, _: Any) -> None:
        self.began = time.perf_counter()

    def _follow(self, progress: Any) -> None:
        self.latest = progress

    def stroke(self, seconds: float) -> float:
        """Paint a stroke that contradicts what is drawn, and wait for the view to follow."""
        mouse, widget = self.hand.mouse, self.window.widget
        canvas = mouse.canvas
        y, x = self.window.viewer.scene.camera.center[-2:]
        reach = 0.4 * min(canvas.width(), canvas.height()) / _ZOOM
        row, column = (int(n + self.rng.uniform(-reach, reach)) for n in (y, x))
        results = widget.workspace.results
        labels = results.find(widget.workspace.source, Role.INSTANCES).data
        there = bool(labels[row, column])
        (widget.keys.brush_background if there else widget.keys.brush_cell)()
        live(0.3)
        mouse.drag([mouse.on_canvas(row, column + n) for n in (-2, 0, 2)])
        began = time.perf_counter()
        followed = 0.0
        while time.perf_counter() - began < seconds or not followed:
            if time.perf_counter() - began > 60:
                raise TimeoutError("The view did not follow.")
            labels = results.find(widget.workspace.source, Role.INSTANCES).data
            if not followed and bool(labels[row, column]) != there:
                followed = time.perf_counter() - began
            live(0.05)
        return followed

    def pan(self, seconds: float, painting: bool) -> float:
        """Go to another place for so long, or for as long as it takes to see it."""
        height, width = self.window.widget.workspace.source.primary.data.shape[-2:]
        camera = self.window.viewer.scene.camera
        y, x = here = camera.center[-2:]
        # Not where the last preview is still to be seen.
        elsewhere_px = min(_ELSEWHERE_PX, 0.2 * min(height, width))
        while max(abs(y - here[0]), abs(x - here[1])) < elsewhere_px:
            y, x = (float(self.rng.uniform(0.25, 0.75)) * side for side in (height, width))
        camera.center, camera.zoom = (y, x), _ZOOM
        began = time.perf_counter()
        before = len(self.drawn)

        def seen() -> list[float]:
            boxes = self.drawn[before:]
            return [at for at, (y0, x0, y1, x1) in boxes if y0 < y < y1 and x0 < x < x1]

        while time.perf_counter() - began < seconds or not seen():
            if time.perf_counter() - began > 60:
                raise TimeoutError("The field was not previewed.")
            if painting:
                self.hand.stroke()
            live(_STROKE_EVERY_S if painting else 0.05)
        return seen()[0] - began


if __name__ == "__main__":
    sys.exit(main())
