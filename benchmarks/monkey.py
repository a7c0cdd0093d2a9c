"""Somebody who presses everything: seeded random actions in the real window.

    xvfb-run -a -s "-screen 0 1366x768x24" python -m benchmarks.monkey --seconds 600 --seed 0

Each run opens a window in a process of its own, does random things (opening, painting, training,
going live, predicting, going through places, deciding, deleting layers, undoing, switching), and
looks after each of them whether all is well: no error was raised, nothing is stuck, and the strokes
of each image that is there are those of its layer. Runs follow each other until the time is up;
what went wrong is printed with its seed and the last actions, and ends with status 1.

Under software drawing by Mesa 22.3.6, which Debian 12 has, napari 0.9.2 can end with a segmentation
fault (status -11, in vispy's glDrawArrays) once an image layer was deleted. A script that only adds
and removes images, without this program, ends so within 250 of them; with Mesa 25.0.7 it does not.
"""

from __future__ import annotations

import argparse
import faulthandler
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .rows import environment
from .window import Window, live, of_its_own, said, wait

# Nothing goes on for longer than that after it was told to stop.
STUCK_S = 600.0
ACTIONS, LAST_ACTIONS = 200, 15


class Monkey:
    """Does things to one window.

    Parameters
    ----------
    seed
        The same does the same, as far as the machine is as fast.
    trace
        What it does is written there as it does it, for when the window ends by itself.
    """

    def __init__(self, seed: int, trace: Path | None = None) -> None:
        self._trace = trace
        self._random = random.Random(seed)
        self._window = Window()
        self._window.dock()
        self._viewer, self._widget = self._window.viewer, self._window.widget
        self._opened = 0
        self._faults: list[str] = []
        sys.excepthook = self._on_fault
        self.done: list[str] = []
        self._actions: list[tuple[int, Callable[[], Any]]] = [
            (4, self.open_image),
            (1, self.open_stack),
            (20, self.paint),
            (4, self.press_train),
            (3, self.press("stop_button")),
            (3, self.press("live_button")),
            (3, self.press("predict_button")),
            (2, self.press("predict_all_button")),
            (1, self.press("start_over_button")),
            (1, self.press("pause_button")),
            (6, self.press("next_button")),
            (4, self.press("fine_button")),
            (3, self.press("new_scribbles_button")),
            (2, self.press("clear_scribbles_button")),
            (2, self.press("add_images_button")),
            (2, self.press("add_class_button")),
            (2, self.press("brush_eraser_button")),
            (2, self.press("compare_button")),
            (2, self.press("roll_back_button")),
            (5, self.decide),
            (5, self.undo),
            (4, self.slide),
            (4, self.switch),
            (3, self.move_plane),
            (2, self.delete_layer),
            (1, self.delete_all),
            (2, self.toggle_layer),
            (2, self.look_elsewhere),
            (1, self.turn_view),
        ]

    def run(self, actions: int) -> None:
        """Do so many things; raises AssertionError where something is wrong."""
        weights = [weight for weight, _ in self._actions]
        for _ in range(actions):
            act = self._random.choices(self._actions, weights)[0][1]
            self.done.append(act.__name__)
            if self._trace is not None:
                self._trace.write_text("\n".join(self.done))
            act()
            live(self._random.choice((0.02, 0.1, 0.5)))
            self._look()
        self._come_to_rest()
        self._window.close()

    def press(self, name: str) -> Callable[[], None]:
        """Return what presses a button, if it can be pressed."""

        def act() -> None:
            button = self._window.part(name)
            if button.isEnabled() and not button.isHidden():
                button.click()

        act.__name__ = f"press {name}"
        return act

    def open_image(self) -> None:
        """Open a small image, with cells or without."""
        self._opened += 1
        side = self._random.choice((64, 96))
        self._viewer.add_image(_cells(self._opened, side, 2), name=f"image {self._opened}")

    def open_stack(self) -> None:
        """Open a small stack."""
        self._opened += 1
        planes = np.stack([_cells(self._opened + i, 64, 2) for i in range(4)])
        self._viewer.add_image(planes, name=f"stack {self._opened}", axis_labels=tuple("zcyx"))

    def paint(self) -> None:
        """Paint a few strokes, of background and of cells, as the mouse would."""
        source = self._widget.workspace.source
        layer = None if source is None else self._widget.workspace.scribbles.find(source)
        if layer is None or not source.fits() or layer.mode not in ("paint", "erase", "pan_zoom"):
            return
        for _ in range(self._random.choice((1, 3))):
            spot = [self._random.randrange(n) for n in layer.data.shape]
            for axis, at in zip(
                self._viewer.dims.not_displayed, self._viewer.dims.current_step, strict=False
            ):
                if 0 <= axis - (self._viewer.dims.ndim - layer.ndim) < layer.ndim:
                    spot[axis - (self._viewer.dims.ndim - layer.ndim)] = min(
                        at, layer.data.shape[axis - (self._viewer.dims.ndim - layer.ndim)] - 1
                    )
            layer.paint(tuple(spot), self._random.choice((1, 2)))

    def press_train(self) -> None:
        """Train for a moment, or stop."""
        self._window.part("time_budget_spin").setValue(self._random.choice((1, 3)))
        self._widget.keys.train()

    def decide(self) -> None:
        """Accept or reject an object of the table."""
        table = self._window.part("object_table")
        n = table.model().rowCount()
        if n:
            table.selectRow(self._random.randrange(n))
            self._random.choice((self._widget.keys.accept, self._widget.keys.reject))()

    def undo(self) -> None:
        """Take back a decision, or a stroke."""
        layer = self._viewer.layers.selection.active
        if self._random.random() < 0.5 or not hasattr(layer, "undo"):
            self._widget.keys.undo_decision()
        else:
            layer.undo()

    def slide(self) -> None:
        """Move a slider."""
        name, most = self._random.choice((("threshold_slider", 0.95), ("min_size_slider", 300)))
        slider = self._window.part(name)
        slider.setValue(type(slider.value())(self._random.uniform(0.05, 1) * most))
        slider.valueChanged.emit(slider.value())

    def switch(self) -> None:
        """Go to another image."""
        self._random.choice((self._widget.keys.next_image, self._widget.keys.previous_image))()

    def move_plane(self) -> None:
        """Go to another plane."""
        dims = self._viewer.dims
        for axis in dims.not_displayed:
            if dims.nsteps[axis] > 1:
                dims.set_current_step(axis, self._random.randrange(int(dims.nsteps[axis])))

    def delete_layer(self) -> None:
        """Delete a layer."""
        if len(self._viewer.layers):
            self._viewer.layers.pop(self._random.randrange(len(self._viewer.layers)))

    def delete_all(self) -> None:
        """Delete all layers, now and then."""
        if self._random.random() < 0.3:
            self._viewer.layers.select_all()
            self._viewer.layers.remove_selected()

    def toggle_layer(self) -> None:
        """Show or hide a layer."""
        if len(self._viewer.layers):
            layer = self._random.choice(list(self._viewer.layers))
            layer.visible = not layer.visible

    def look_elsewhere(self) -> None:
        """Zoom and pan."""
        camera = self._viewer.scene.camera
        camera.zoom = max(0.05, camera.zoom * self._random.choice((0.5, 2.0)))

    def turn_view(self) -> None:
        """Look from the side, in 3D, or as before."""
        dims = self._viewer.dims
        if dims.ndim > 2:
            if self._random.random() < 0.5:
                dims.ndisplay = 5 - dims.ndisplay
            else:
                dims.order = tuple(self._random.sample(range(dims.ndim), dims.ndim))

    def _on_fault(self, kind: type, error: BaseException, trace: Any) -> None:
        import traceback

        self._faults.append("".join(traceback.format_exception(kind, error, trace)))

    def _look(self) -> None:
        told = [one for one in said() if "Error" in one or "error of this program" in one]
        assert not self._faults, self._faults[0]
        assert not told, told[0]

    def _come_to_rest(self) -> None:
        """Stop what goes on, and see that no stroke is lost."""
        widget = self._widget
        widget.live.switch(False)
        deadline = time.monotonic() + STUCK_S
        while widget.session.busy and time.monotonic() < deadline:
            self._window.part("stop_button").click()
            live(0.5)
        assert not widget.session.busy, f"stuck: {widget.session.activity}"
        live(2.0)
        wait(self._window.idle, STUCK_S)
        for key, record in widget.session.images.items():
            source = widget.workspace.sources[key]
            if widget.workspace.scribbles.find(source) is None or not source.fits():
                continue
            painted = widget.workspace.scribbles.read(source)
            known = {i: p.scribbles for i, p in record.planes.items() if p.scribbles is not None}
            for index, scribbles in painted.items():
                if scribbles.labels.any():
                    assert index in known, f"strokes of {record.name} {index} are not known"
                    assert np.array_equal(known[index].labels, scribbles.labels), record.name
        self._look()


def _cells(seed: int, side: int, n_channels: int) -> np.ndarray:
    """Return an image (C, Y, X) with a few round cells, and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((side, side))
    picture = rng.normal(0.1, 0.02, (n_channels, side, side))
    for _ in range(rng.integers(0, 14)):
        cy, cx = rng.uniform(5, side - 5, 2)
        picture += np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 30) * rng.uniform(0.3, 1)
    return picture.astype(np.float32)


def one_run(seed: int, actions: int, trace: Path | None) -> int:
    """Let one monkey act; returns 1, with its last actions printed, where something went wrong."""
    faulthandler.enable()
    with of_its_own():
        monkey = Monkey(seed, trace)
        try:
            monkey.run(actions)
        except BaseException as error:
            print(f"seed {seed}, after {len(monkey.done)} actions: {error}")
            print("the last actions:", ", ".join(monkey.done[-LAST_ACTIONS:]), flush=True)
            return 1
    print(f"seed {seed}: {len(monkey.done)} actions, all well", flush=True)
    return 0


def main() -> int:
    """Let one monkey after the other act until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the first run")
    parser.add_argument("--seconds", type=float, default=600.0, help="for all runs together")
    parser.add_argument("--actions", type=int, default=ACTIONS, help="in each run")
    parser.add_argument("--trace", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--one", action="store_true", help="one run, in this process")
    args = parser.parse_args()
    if args.one:
        return one_run(args.seed, args.actions, args.trace)
    with tempfile.TemporaryDirectory() as folder:
        return all_runs(args, Path(folder) / "actions")


def all_runs(args: argparse.Namespace, trace: Path) -> int:
    """Let one monkey after the other act, each in a process of its own."""
    began, seed, wrong = time.monotonic(), args.seed, 0
    while time.monotonic() - began < args.seconds:
        command = [sys.executable, "-P", "-X", "faulthandler", "-m", "benchmarks.monkey", "--one"]
        command += ["--seed", str(seed), "--actions", str(args.actions), "--trace", str(trace)]
        done = subprocess.run(command, check=False, env=environment())
        if done.returncode:
            wrong += 1
            print(f"seed {seed} ended with status {done.returncode}", flush=True)
            if done.returncode < 0 and trace.exists():
                acts = trace.read_text().splitlines()
                print(f"after {len(acts)} actions:", ", ".join(acts[-LAST_ACTIONS:]), flush=True)
        seed += 1
    print(f"{seed - args.seed} runs, {wrong} with something wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
