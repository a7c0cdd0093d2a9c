"""What do rounds of following the suggestions give? ``python -m benchmarks.three_rounds FOLDER``.

A script does in the real napari window what a user would: opens the images of a folder
(NAME.tif with NAME_truth.tif beside it), paints a few cells, presses Train, then goes to
the first places of the plugin's own list with Next, paints the cells there, presses
Continue, and so on. The simulated annotator sees the truth. After each round it prints how
many cells are annotated, and F1 of the objects that the window shows; with --test also of
images that nothing is painted on.

With --by-hand it works as a new user does the tutorial: opens the first file alone, paints short
lines with the mouse, in cells and between them, presses buttons and keys, and counts what it did.

It needs a screen, or a virtual one:

    xvfb-run -a -s "-screen 0 1366x768x24" python -m benchmarks.three_rounds SET/train \\
        --test SET/test --seconds 60
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QPushButton
from scipy import ndimage

from benchmarks.window import PATIENCE_S, Window, live, of_its_own, wait
from napari_impartial.core.config import PRESETS, SuggestionConfig
from napari_impartial.core.data.image import Image
from napari_impartial.core.data.mask_scribbles import annotate_cells, simulate
from napari_impartial.core.data.scribbles import BACKGROUND
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.metrics import evaluate
from napari_impartial.experiments.dataset import samples_in, samples_with_truth
from napari_impartial.experiments.simulated_annotator import Annotator

Pair = tuple[Image, NDArray[Any]]


HEAD = "| Round | Clicks | Keys | Strokes | s, since opened | s, of them until outlines | F1 |"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.three_rounds",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="images to annotate, with their truths")
    parser.add_argument("--test", type=Path, help="further images with truths, only looked at")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--percent", type=float, default=3.0, help="of the cells, to begin with")
    parser.add_argument("--places", type=int, default=10, help="gone to in each further round")
    parser.add_argument("--cells", type=int, default=2, help="painted at each place, at most")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="balanced")
    parser.add_argument("--seconds", type=float, default=60.0, help="of training in each round")
    parser.add_argument(
        "--by-hand", action="store_true", help="paint lines with the mouse, and count clicks"
    )
    parser.add_argument("--lines", type=int, default=8, help="by hand, to begin with, of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of the first round's cells")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args()
    try:
        pairs = read(args.folder)
        unseen = [] if args.test is None else read(args.test)
    except ImPartialError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    with of_its_own():
        rows = go(args, pairs, unseen)
    if args.json:
        print(json.dumps(rows))
    return 0


def read(folder: Path) -> list[Pair]:
    """Read the images of a folder that have a truth."""
    pairs = samples_with_truth(samples_in(folder))
    if not pairs:
        raise ImPartialError(f"{folder} holds no NAME.tif with NAME_truth.tif beside it.")
    return pairs


def go(args: argparse.Namespace, pairs: list[Pair], unseen: list[Pair]) -> list[dict[str, Any]]:
    """Go through all rounds, and print a line after each."""
    window = Window()
    if args.by_hand:
        return first_minutes(args, window, pairs[0][1])
    try:
        user = User(window, pairs, args.seed)
        user.open()
        print(
            "| Round | Annotated cells | % of all | F1 | F1, unseen images |\n|---|---|---|---|---|"
        )
        rows = []
        for number in range(1, args.rounds + 1):
            if number == 1:
                user.begin(args.percent / 100)
                window.choose(args.preset)
            else:
                user.follow(args.places, args.cells)
            window.train("train_button", args.seconds)
            row = {"round": number, **user.figures(unseen)}
            told = "" if row["f1_unseen"] is None else f"{row['f1_unseen']:.3f}"
            print(
                f"| {number} | {row['cells']} | {row['percent']:.1f} | {row['f1']:.3f} | {told} |",
                flush=True,
            )
            rows.append(row)
        return rows
    finally:
        window.close()


class User:
    """Paints what the truth says, where the window leads."""

    def __init__(self, window: Window, pairs: list[Pair], seed: int) -> None:
        self.window, self.pairs = window, pairs
        self.rng = np.random.default_rng(seed)
        self.eye = Annotator([truth for _, truth in pairs], SuggestionConfig().box_px)
        # A place that holds no cell to paint gets a stroke of background: pixels by image.
        self.strokes = [np.zeros(truth.shape, dtype=bool) for _, truth in pairs]

    def open(self) -> None:
        """Open all images, and make them one session."""
        for number, (image, _) in enumerate(self.pairs):
            self.window.viewer.add_image(
                image.channels, name=f"image {number}", axis_labels=("c", "y", "x")
            )
        self.window.dock()
        if len(self.pairs) > 1:
            self.window.click("add_images_button")
        workspace = self.window.widget.workspace
        wait(lambda: len(workspace.session.images) == len(self.pairs))
        self.index = {
            key: int(workspace.sources[key].name.split()[-1]) for key in workspace.session.images
        }

    def begin(self, fraction: float) -> None:
        """Paint a share of the cells, and some background elsewhere."""
        for key, at in self.index.items():
            truth = self.pairs[at][1]
            painted, ids = simulate(truth, fraction, self.rng)
            self.eye.cells[at].update(int(i) for i in ids)
            self._paint(key, painted.labels)
        self.window.settle()

    def follow(self, n_places: int, n_cells: int) -> None:
        """Go to the next place and paint there, so many times."""
        for _ in range(n_places):
            if not self.window.part("next_button").isEnabled():
                break
            self.window.click("next_button")
            place = self.window.widget.results.suggestions.places[
                self.window.widget.refine_panel.value()
            ]
            at, spot = self.index[place.key], place.suggestion
            found = 0
            while found < n_cells and (cell := self.eye.cell_at((at, spot.y, spot.x))) is not None:
                self.eye.cells[at].add(cell)
                found += 1
            truth = self.pairs[at][1]
            if not found:
                half = self.eye.box_px // 4
                row = slice(spot.y, spot.y + 1), slice(max(0, spot.x - half), spot.x + half + 1)
                self.strokes[at][row] = truth[row] == 0
            labels = annotate_cells(truth, self.eye.cells[at]).labels
            labels[self.strokes[at] & (labels == 0)] = BACKGROUND
            self._paint(place.key, labels)
            # The list notices strokes after a moment, as it does while somebody paints.
            live(1)
        self.window.settle()

    def figures(self, unseen: list[Pair]) -> dict[str, Any]:
        """Return how many cells are annotated, and how well cells are found."""
        if len(self.pairs) > 1:
            self.window.click("predict_all_button")
            self.window.settle()
        session = self.window.widget.session
        shown = [session.images[key].plane(()).instances for key in self.index]
        truths = [self.pairs[at][1] for at in self.index.values()]
        scores = evaluate(truths, shown)
        return {
            "cells": self.eye.n_cells,
            "percent": 100 * self.eye.n_cells / self.eye.n_all,
            "f1": scores.f1,
            "f1_unseen": self._f1_unseen(unseen) if unseen else None,
        }

    def _paint(self, key: int, labels: NDArray[np.uint8]) -> None:
        """Put pixels into the Labels layer of an image."""
        workspace = self.window.widget.workspace
        workspace.scribbles.add(workspace.sources[key], (), labels)

    def _f1_unseen(self, unseen: list[Pair]) -> float:
        """Return F1 of the window's model, and its settings, on other images.

        Opened in the window they would be suggested from, too.
        """
        from napari_impartial.core.instances.cutter import to_instances
        from napari_impartial.core.network.model_file import load_model
        from napari_impartial.core.prediction.predict import predict

        session = self.window.widget.session
        model, config = load_model(session.model_path), session.instance_config
        found = [to_instances(predict(image, model).foreground, config) for image, _ in unseen]
        return float(evaluate([truth for _, truth in unseen], found).f1)


class NewUser:
    """Does the tutorial on one image with mouse and keys, and knows what a cell is."""

    def __init__(self, window: Window, truth: NDArray[Any], seed: int) -> None:
        self.window, self.truth = window, truth
        self.mouse = window.mouse()
        self.rng = np.random.default_rng(seed)
        self.painted: set[int] = set()
        self.opened = time.monotonic()

    def paint_cell(self, cell: int) -> None:
        """Paint a line in a cell."""
        rows, columns = np.nonzero(self.truth == cell)
        top, left = rows.min(), columns.min()
        mask = self.truth[top : rows.max() + 1, left : columns.max() + 1] == cell
        self._line(mask, (top, left), None)
        self.painted.add(cell)

    def paint_background(self, near: tuple[int, int] | None = None, reach: int = 24) -> None:
        """Paint a line where there is no cell: near a place, or anywhere close to cells."""
        rows = columns = slice(None)
        if near is not None:
            rows, columns = (slice(max(0, n - reach), n + reach) for n in near)
        part = self.truth[rows, columns] == 0
        if part.any():
            self._line(part, (rows.start or 0, columns.start or 0), 6.0)

    def _line(
        self, mask: NDArray[Any], origin: tuple[int, int], shallow: float | None, half: int = 7
    ) -> None:
        """Draw the longest line of a few through a middle point of a mask, inside of it."""
        depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        good = depth >= max(1.0, min(depth.max(), 3.0))
        if shallow is None:
            good = depth == depth.max()
        elif (good & (depth < shallow)).any():
            good &= depth < shallow
        y, x = (int(n) for n in self.rng.choice(np.argwhere(good)))
        best: list[tuple[float, float]] = [(y, x)]
        for angle in np.linspace(0, np.pi, 8, endpoint=False):
            step = np.array([np.sin(angle), np.cos(angle)])
            run = [(y, x)]
            for way in (step, -step):
                for n in range(1, half):
                    at = np.round((y, x) + n * way).astype(int)
                    inside = (at >= 0).all() and (at < mask.shape).all()
                    if not inside or depth[tuple(at)] < min(2.0, depth.max()):
                        break
                    run.insert(len(run) if way is step else 0, (int(at[0]), int(at[1])))
            best = max(best, run, key=len)
        ends = [best[0], best[len(best) // 2], best[-1]]
        places = [self.mouse.on_canvas(origin[0] + r, origin[1] + c) for r, c in ends]
        self.mouse.drag(places)
        live(0.05)

    def cells_near(self, y: int, x: int, reach: int = 24) -> list[int]:
        """Return cells that have no line yet and come near a place, the nearest first."""
        rows, columns = (slice(max(0, n - reach), n + reach) for n in (y, x))
        part = self.truth[rows, columns]
        at = np.argwhere(part > 0)
        far = np.hypot(at[:, 0] + rows.start - y, at[:, 1] + columns.start - x)
        found = dict.fromkeys(int(part[tuple(at[i])]) for i in np.argsort(far))
        return [cell for cell in found if cell not in self.painted]

    def f1(self) -> float:
        """Return F1 of the objects that the window shows."""
        session = self.window.widget.session
        return float(evaluate([self.truth], [session.plane.instances]).f1)


def first_minutes(
    args: argparse.Namespace, window: Window, truth: NDArray[Any]
) -> list[dict[str, Any]]:
    """Do the tutorial by hand, and print a line after each round."""
    try:
        (file,) = sorted(args.folder.glob("*_truth.tif"))[:1]
        window.viewer.open(file.with_name(file.name.replace("_truth", "")))
        window.dock()
        user = NewUser(window, truth, args.seed)
        mouse = user.mouse
        window.part("time_budget_spin").setValue(args.seconds)
        mouse.key("w")
        live(0.3)
        cells = np.unique(truth[truth > 0])
        for cell in user.rng.permutation(cells)[: args.lines]:
            user.paint_cell(int(cell))
        mouse.key("q")
        for _ in range(args.lines):
            user.paint_background()
        print(HEAD + "\n|---|---|---|---|---|---|---|")
        rows = []
        for number in range(1, args.rounds + 1):
            if number > 1:
                _follow(user, args.places, args.cells)
            go_on = window.widget.findChild(QPushButton, "continue_button")
            mouse.click("train_button" if number == 1 or go_on is None else "continue_button")
            first_s = _wait_for_round(window, number, PATIENCE_S + args.seconds)
            window.settle()
            row = {
                "round": number,
                "clicks": mouse.clicks,
                "keys": mouse.keys,
                "strokes": mouse.strokes,
                "seconds": time.monotonic() - user.opened,
                "first_s": first_s,
                "f1": user.f1(),
            }
            rows.append(row)
            first = f"{first_s:.0f}" if first_s is not None and number == 1 else ""
            print(
                f"| {number} | {mouse.clicks} | {mouse.keys} | {mouse.strokes} "
                f"| {row['seconds']:.0f} | {first} | {row['f1']:.3f} |",
                flush=True,
            )
        return rows
    finally:
        window.close()


def _wait_for_round(window: Window, number: int, at_most_s: float) -> float | None:
    """Wait for the end of a training; return after how many seconds outlines were seen."""
    began, seen = time.monotonic(), None
    rounds, layers = window.widget.session.rounds, window.viewer.layers

    def over() -> bool:
        nonlocal seen
        if seen is None and any(
            layer.name.startswith("instances") and layer.data.any() for layer in layers
        ):
            seen = time.monotonic() - began
        return len(rounds) == number

    wait(over, at_most_s)
    return seen


def _follow(user: NewUser, n_places: int, n_cells: int) -> None:
    """Go to the next places by key, and paint what is there."""
    results = user.window.widget.results
    for _ in range(n_places):
        if not user.window.part("next_button").isEnabled():
            break
        user.mouse.key("n")
        user.window.settle()
        row = user.window.widget.refine_panel.value()
        if row is None or row < 0:
            break
        spot = results.suggestions.places[row].suggestion
        cells = user.cells_near(spot.y, spot.x)[:n_cells]
        if cells:
            user.mouse.key("w")
        for cell in cells:
            user.paint_cell(cell)
        user.mouse.key("q")
        user.paint_background((spot.y, spot.x))
        live(1)


if __name__ == "__main__":
    sys.exit(main())
