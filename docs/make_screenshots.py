"""Drive the real window through the tutorial and save its pictures.

Run it where there is a screen, or under a virtual one, with the plugin installed:

    xvfb-run -a -s "-screen 0 1366x768x24" python docs/make_screenshots.py

Pictures go to ``docs/images``. The network trains for real, so they differ a little from
run to run. With ``--panels`` every panel is shown instead, in the states it can be in and in
both themes, to look for what is cut off or cannot be read; pictures go to ``build/panels``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from qtpy.QtWidgets import QComboBox

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.window import Window, live, of_its_own, wait  # noqa: E402

IMAGES = ROOT / "docs" / "images"
PANELS = ROOT / "build" / "panels"
SAMPLE = "multiplex_tissue"
THEMES = ("dark", "light")
# Noise does not compress: with so many colours a picture is a third as large, and looks alike.
# Of Pillow's ways this one keeps the rare colours, which are those of the controls.
COLOURS, WAY = 256, PIL.Image.Quantize.FASTOCTREE


def save(picture: Any, path: Path) -> None:
    """Write a picture without its alpha channel, small."""
    image = PIL.Image.fromarray(np.asarray(picture)).convert("RGB")
    image.quantize(COLOURS, WAY, dither=PIL.Image.Dither.NONE).save(path, optimize=True)


class Tour:
    """One walk through the five steps."""

    def __init__(self, seconds: float, folder: Path, theme: str = "dark") -> None:
        self.seconds, self.folder = seconds, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.window = Window(theme)
        self.viewer = self.window.viewer
        self.part, self.click = self.window.part, self.window.click

    def open_sample(self, sample: str) -> None:
        """Open a sample from napari's menu."""
        self.viewer.open_sample("napari-impartial", sample)
        live(2)

    def picture(self, name: str) -> None:
        """Save the whole window."""
        live(1)
        if not self.window.widget.session.busy:
            self.window.settle()
        path = self.folder / f"{name}.png"
        save(self.viewer.window.screenshot(flash=False, canvas_only=False), path)
        print(f"{path}: {self.part('status_label').text()}", flush=True)

    def show_only(self, *names: str) -> None:
        """Open these steps and close the others."""
        for name, step in self.window.widget.steps.items():
            step.set_open(name in names)

    def zoom(self, factor: float) -> None:
        """Look closer."""
        self.viewer.fit_to_view()
        self.viewer.scene.camera.zoom *= factor

    def train(self, button: str, meanwhile: Callable[[], None] | None = None) -> None:
        """Train, do something when the curves have begun, and wait for the objects."""
        self.part("time_budget_spin").setValue(self.seconds)
        session = self.window.widget.session
        rounds = len(session.rounds)

        def over() -> bool:
            return len(session.rounds) > rounds

        self.click(button)
        plot = self.part("loss_plot")
        if meanwhile is not None:
            started = time.monotonic()

            def drawn() -> bool:
                return len(plot.values("training")) > 5 and time.monotonic() - started > 8

            # On a busy machine a short training has few steps, and may be over before that.
            wait(lambda: over() or drawn())
            wait(lambda: over() or self.part("progress_bar").value() > 600)

            def outlined() -> bool:
                layers = self.viewer.layers
                return any(one.name.startswith("instances") and one.data.any() for one in layers)

            wait(lambda: over() or outlined())
            meanwhile()
        wait(over)
        self.window.settle()


def tutorial(tour: Tour, sample: str) -> None:
    """Make the tutorial's pictures."""
    tour.open_sample(sample)
    tour.window.dock()
    tour.picture("tutorial_1_open")
    tour.show_only("scribble")
    tour.click("brush_cell_button")
    tour.picture("tutorial_2_scribble")
    tour.show_only("train")
    tour.train("train_button", lambda: tour.picture("tutorial_3_train"))
    tour.show_only("result")
    tour.picture("tutorial_4_result")
    tour.show_only("refine")
    tour.zoom(1.6)
    tour.picture("window")
    tour.click("next_button")
    tour.picture("tutorial_5_refine")


def good_enough(tour: Tour, sample: str) -> None:
    """Make the pictures of judging a sample; verdicts are those of a careless person."""
    tour.open_sample(sample)
    tour.window.dock()
    tour.show_only("scribble", "train")
    tour.train("train_button")
    tour.show_only("check")
    tour.click("spot_check_draw")
    control, keys = tour.window.widget.spot_check, tour.window.widget.keys
    while control.at is not None:
        kind = control.sample.check.kind(control.sample.check.units[control.at])
        if control.at == 8:
            tour.picture("good_enough_1_judge")
        wrong = control.at % 9 == 4 and not kind.is_place
        missed = control.at % 13 == 5 and kind.is_place
        act = keys.verdict_1 if wrong or missed else keys.verdict_right
        act()
        live(0.05)
    tour.picture("good_enough_2_result")


class Panels(Tour):
    """Shows each panel in the states it can be in."""

    def shots(self, name: str, *opened: str) -> None:
        """Save the window with these steps open in each theme; tall steps whole, too."""
        self.show_only(*opened)
        for theme in THEMES:
            self.viewer.theme = theme
            self.picture(f"{name}_{theme}")
            for step_name in opened:
                step = self.window.widget.steps[step_name]
                if step.visibleRegion().boundingRect().height() < step.height():
                    path = self.folder / f"{name}_{step_name}_whole_{theme}.png"
                    step.grab().save(str(path))
                    save(PIL.Image.open(path), path)

    def run(self, sample: str) -> None:
        """Go through all states."""
        self.window.dock()
        self.shots("01_nothing_open", *self.window.widget.steps)
        self.open_sample(sample)
        self.shots("02_image", "image")
        self.shots("03_scribble", "scribble")
        self.click("new_scribbles_button")
        self.shots("04_brush_in_hand", "scribble")
        self.shots("05_before_training", "train")
        self.show_only("train")
        self.train("train_button", lambda: self.shots("06_training", "train"))
        self.shots("07_result", "result")
        self.part("filter_edit").setText("50 px")
        self.part("histogram_button").setChecked(True)
        self.part("object_table").selectRow(2)
        self.click("accept_button")
        self.shots("08_review", "result")
        self.part("filter_edit").setText("50")
        self.window.settle()
        self.shots("09_filtered", "result")
        self.shots("10_suggestions", "refine")
        self.click("next_button")
        self.click("next_button")
        self.click("fine_button")
        self.train("train_button")
        self.part("compare_button").setChecked(True)
        self.window.settle()
        self.shots("11_rounds", "refine")
        self.several_images()
        # As after a crash; nothing is restored.
        self.window.widget.store.offered.emit(
            "The session of 22 November, 14:03 was not finished: nucleus, stack, 2 rounds."
        )
        self.shots("14_unfinished_session", "image")

    def several_images(self) -> None:
        """Open a stack beside the sample, with the axes and channels of a time series."""
        session, workspace = self.window.widget.session, self.window.widget.workspace
        plane = workspace.image(session.current, ()).channels
        stack = np.broadcast_to(plane, (3, 4, *plane.shape)).copy()
        self.viewer.add_image(stack, name="time series of volumes", axis_labels=tuple("tzcyx"))
        live(1)
        self.click("add_images_button")
        self.shots("12_several_images", "image", "save")
        choice = self.window.widget.findChild(QComboBox, "image_combo")
        choice.setCurrentIndex((choice.currentIndex() - 1) % choice.count())
        live(1)
        self.shots("13_stack", "image", "result")


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", default=SAMPLE)
    parser.add_argument("--seconds", type=float, default=45.0, help="of each training")
    parser.add_argument("--folder", type=Path, help="where pictures go")
    parser.add_argument("--theme", choices=THEMES, default="dark", help="of the tutorial")
    parser.add_argument("--panels", action="store_true", help="show every panel instead")
    parser.add_argument(
        "--good-enough", action="store_true", help="make the pictures of judging a sample instead"
    )
    arguments = parser.parse_args()
    with of_its_own():
        if arguments.panels:
            panels = Panels(arguments.seconds, arguments.folder or PANELS)
            go, tour = panels.run, panels
        else:
            tour = Tour(arguments.seconds, arguments.folder or IMAGES, arguments.theme)
            walk = good_enough if arguments.good_enough else tutorial
            go = lambda sample: walk(tour, sample)  # noqa: E731
        try:
            go(arguments.sample)
        finally:
            tour.window.close()


if __name__ == "__main__":
    main()
