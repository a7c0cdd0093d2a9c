"""A slide in napari: seconds to the first stroke, and how smooth the window is meanwhile.

Usage: python -m benchmarks.slide_window [--side 40000] [--turns 6] [--seconds 5]

A real napari window, on a virtual screen where there is one (Xvfb). The slide is procedural
tissue laid side by side (:mod:`benchmarks.large`); the same is done with one field of it as an
image of its own. Then all of the slide is predicted in the background and stopped, in turns, under
the same busy hand as in :mod:`benchmarks.heartbeat`.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from benchmarks.heartbeat import QUIET, TRAINING, Hand, Heart, figures, shuffled  # noqa: E402
from benchmarks.large import FIELD_PX, make_image, make_model  # noqa: E402
from benchmarks.rows import in_a_child  # noqa: E402
from benchmarks.window import Window, live, of_its_own, wait  # noqa: E402

REST_S = 1.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=40000)
    parser.add_argument("--turns", type=int, default=6, help="with and without, each")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each turn")
    parser.add_argument("--shot", type=Path, help="Folder for pictures of the window.")
    parser.add_argument("--inside", nargs=2, metavar=("IMAGE", "MODEL"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        with of_its_own():
            print(json.dumps(measure(args, *map(Path, args.inside))))
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "m.impartial"
        make_model(model, 2)
        print("| image | opened, s | first stroke, s | of it CPU of the window, s | peak MB |")
        print("|---|---|---|---|---|")
        for side in (FIELD_PX, args.side):
            image = folder / f"s{side}.ome.zarr"
            make_image(image, side, 2, pyramid=True)
            turns = args.turns if side == args.side else 0
            found = in_a_window(args, image, model, turns)
            print(
                f"| {side} x {side} | {found['opened']:.1f} | {found['stroke']:.1f} | "
                f"{found['cpu']:.1f} | {found['peak_mb']:.0f} |",
                flush=True,
            )
    if args.turns:
        print(
            "\n| late by, ms | p50 | p99 | worst of a turn | worst of all |\n|---|---|---|---|---|"
        )
        for name, late in found["late_ms"].items():
            said = "nothing" if name == QUIET else "predicting the slide"
            print(f"| {said} | " + " | ".join(f"{v:.1f}" for v in late) + " |")
        print(f"\n{found['share']:.1%} of the slide was predicted in {found['worked_s']:.0f} s.")
    return 0


def in_a_window(args: argparse.Namespace, image: Path, model: Path, turns: int) -> dict[str, Any]:
    """Measure in a process of its own."""
    words = ["-m", "benchmarks.slide_window", "--inside", str(image), str(model)]
    words += ["--turns", str(turns), "--seconds", str(args.seconds)]
    words += [] if args.shot is None else ["--shot", str(args.shot)]
    return dict(in_a_child(*words, screen=True))


def measure(args: argparse.Namespace, image: Path, model: Path) -> dict[str, Any]:
    """Open an image, paint on it, and predict it under a busy hand."""
    window = Window()
    window.dock()
    widget = window.widget
    began, cpu = time.perf_counter(), time.process_time()
    window.viewer.open(str(image), plugin="napari")
    wait(lambda: widget.workspace.source is not None)
    opened = time.perf_counter() - began
    paused = time.process_time()
    take_shot(args, window, "opened")
    before = time.perf_counter()
    cpu += time.process_time() - paused
    window.mouse().key("w")
    wait(lambda: widget.workspace.scribbles.find(widget.workspace.source) is not None)
    layer = widget.workspace.scribbles.find(widget.workspace.source)
    mouse = window.mouse()
    middle = mouse.canvas.width() / 2, mouse.canvas.height() / 2
    mouse.drag([(middle[0] + 5 * i, middle[1]) for i in range(5)])
    wait(lambda: layer.data.any())
    live(0.05)
    found: dict[str, Any] = {
        "opened": opened,
        "stroke": opened + time.perf_counter() - before,
        "cpu": time.process_time() - cpu,
    }
    window.settle()
    take_shot(args, window, "painted")
    if args.turns:
        found |= beat(args, window, model)
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    window.close()
    return found


def beat(args: argparse.Namespace, window: Window, model: Path) -> dict[str, Any]:
    """Predict a slide in some turns, and not in others, with the same hand at work."""
    from qtpy.QtWidgets import QFileDialog

    widget = window.widget
    with tempfile.TemporaryDirectory() as out:
        QFileDialog.getExistingDirectory = staticmethod(lambda *_: out)
        widget.models.load(model)
        window.settle()
        # As a real one, this hand stands still for half a second after each second.
        heart, hand = Heart(), Hand(window, still_s=0.5)
        late: dict[str, list[list[float]]] = {QUIET: [], TRAINING: []}
        worked_s, shares = 0.0, [0.0]
        widget.slides.progressed.connect(lambda done, _: shares.append(done))
        for name in shuffled(args.turns, 0):
            if name == TRAINING:
                slide = widget.fields.slide()
                widget.slides.predict(slide, widget.fields.level(slide))
                known = len(shares) + 1
                # It reads a sample of all of the slide at first, and that once.
                wait(lambda known=known: len(shares) > known)
                began = time.perf_counter()
            live(REST_S)
            heart.start()
            hand.start()
            live(args.seconds)
            hand.stop()
            late[name].append(heart.stop())
            if name == TRAINING:
                worked_s += time.perf_counter() - began
                take_shot(args, window, "predicting")
                widget.slides.stop()
                wait(lambda: not widget.slides.running)
    return {
        "late_ms": {name: figures(turns) for name, turns in late.items()},
        "share": max(shares),
        "worked_s": worked_s,
    }


def take_shot(args: argparse.Namespace, window: Window, name: str) -> None:
    """Save a picture of the window."""
    if args.shot is not None:
        args.shot.mkdir(parents=True, exist_ok=True)
        live(0.5)
        path = args.shot / f"{window.widget.workspace.source.name}_{name}.png"
        window.viewer.window._qt_window.grab().save(str(path))


if __name__ == "__main__":
    random.seed(0)
    sys.exit(main())
