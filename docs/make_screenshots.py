"""Drive the real window through the tutorial and save its pictures.

Run it where there is a screen, or under a virtual one, with the plugin installed:

    xvfb-run -a -s "-screen 0 1366x768x24" python docs/make_screenshots.py

Pictures go to ``docs/images``. The network trains for real, so they differ a little from
run to run.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import PIL.Image
from napari.settings import get_settings
from qtpy.QtWidgets import QApplication, QWidget

IMAGES = Path(__file__).parent / "images"
SAMPLE = "multiplex_tissue"
SIZE = (1366, 768)
PATIENCE_S = 600.0


def wait(condition: Callable[[], Any] = lambda: False, at_most_s: float = PATIENCE_S) -> None:
    """Let the window live until something is true, or for so long."""
    end = time.monotonic() + at_most_s
    while time.monotonic() < end and not condition():
        QApplication.processEvents()
        time.sleep(0.01)


def save(picture: Any, path: Path) -> None:
    """Write a picture without its alpha channel."""
    PIL.Image.fromarray(picture).convert("RGB").save(path, optimize=True)


class Tour:
    """One walk through the five steps."""

    def __init__(self, sample: str, seconds: float, folder: Path, theme: str) -> None:
        self.seconds, self.folder = seconds, folder
        folder.mkdir(parents=True, exist_ok=True)
        get_settings().appearance.theme = theme
        self.viewer = napari.Viewer(show_welcome_screen=False)
        self.viewer.window.resize(*SIZE)
        self.viewer.open_sample("napari-impartial", sample)
        _, self.widget = self.viewer.window.add_plugin_dock_widget("napari-impartial", "ImPartial")
        wait(at_most_s=2)

    def part(self, name: str) -> Any:
        """Return a part of the dock widget by its object name."""
        found = self.widget.findChild(QWidget, name)
        if found is None:
            raise LookupError(name)
        return found

    def picture(self, name: str) -> None:
        """Save the whole window."""
        wait(at_most_s=1)
        path = self.folder / f"{name}.png"
        save(self.viewer.window.screenshot(flash=False, canvas_only=False), path)
        print(f"{path}: {self.part('status_label').text()}")

    def panel_picture(self, name: str) -> None:
        """Save one step by itself, with what is hidden below the edge of a small screen."""
        step = self.part(f"{name}_step")
        before = step.is_open()
        step.set_open(True)
        wait(at_most_s=0.3)
        path = self.folder / f"panel_{name}.png"
        step.grab().save(str(path))
        save(np.asarray(PIL.Image.open(path)), path)
        step.set_open(before)

    def show_only(self, *names: str) -> None:
        """Open these steps and close the others."""
        for name, step in self.widget.steps.items():
            step.set_open(name in names)

    def zoom(self, factor: float) -> None:
        """Look closer."""
        self.viewer.fit_to_view()
        self.viewer.scene.camera.zoom *= factor

    def run(self) -> None:
        """Go through the steps."""
        self.picture("tutorial_1_open")
        self.show_only("image", "scribble")
        self.part("new_scribbles_button").click()
        self.picture("tutorial_2_scribble")
        self.show_only("scribble", "train")
        self.part("time_budget_spin").setValue(self.seconds)
        self.part("train_button").click()
        plot = self.part("loss_plot")
        started = time.monotonic()
        wait(lambda: len(plot.values("training")) > 5 and time.monotonic() - started > 8)
        wait(lambda: self.part("progress_bar").value() > 600)
        self.picture("tutorial_3_train")
        wait(lambda: self.part("progress_bar").value() > 900)
        self.part("stop_button").click()
        wait(lambda: not self.widget.session.busy and self.widget.results.places)
        self.show_only("train", "result")
        before = self.part("count_label").text()
        self.part("threshold_slider").setValue(0.6)
        wait(lambda: self.part("count_label").text() != before, at_most_s=10)
        print(f"threshold 0.5: {before}; 0.6: {self.part('count_label').text()}")
        self.part("threshold_slider").setValue(0.5)
        wait(lambda: self.part("count_label").text() == before, at_most_s=10)
        self.show_only("result")
        self.picture("tutorial_4_result")
        self.show_only("train", "refine")
        self.zoom(1.6)
        self.picture("window")
        self.part("next_button").click()
        self.show_only("scribble", "refine")
        self.picture("tutorial_5_refine")
        for name in self.widget.steps:
            self.panel_picture(name)

    def close(self) -> None:
        """Close the window."""
        self.viewer.close()
        wait(at_most_s=0.5)


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", default=SAMPLE)
    parser.add_argument("--seconds", type=float, default=45.0)
    parser.add_argument("--folder", type=Path, default=IMAGES)
    parser.add_argument("--theme", choices=("dark", "light"), default="dark")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as sessions:
        # Neither offered the user's sessions nor kept among them.
        os.environ["NAPARI_IMPARTIAL_SESSIONS"] = sessions
        tour = Tour(arguments.sample, arguments.seconds, arguments.folder, arguments.theme)
        try:
            tour.run()
        finally:
            tour.close()


if __name__ == "__main__":
    main()
