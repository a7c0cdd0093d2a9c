"""Real napari windows that paint, switch images and save until they are killed.

Started by `test_kills.py`. Each line on standard input asks for one more window, which is
forked off so that napari need be imported only once; its process id is the answer. What
the window does is written to a log, a line at a time:

    ready            the window is up, and a session that was offered has been restored
    stroke N         stroke N is painted
    saved N N ...    these strokes were painted when the save began that is complete now
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import time
from typing import Any

import napari
import numpy as np

from napari_impartial.core.network.model_card import read_card
from napari_impartial.gui.dock_widget import ImPartialWidget

SIZE, STEP = 512, 4
IMAGES = ("first", "second")


def place(stroke: int) -> tuple[str, int, int, int]:
    """Image, row, column and label of a stroke; strokes never touch each other."""
    across = SIZE // STEP - 1
    row, column = divmod(stroke // 2 % (across * across), across)
    return IMAGES[stroke % 2], row * STEP + 2, column * STEP + 2, 1 + stroke // 2 % 2


class Window:
    """One napari window with the dock widget."""

    def __init__(self, task: dict[str, Any]) -> None:
        from qtpy.QtCore import QTimer
        from qtpy.QtWidgets import QWidget

        self.random = random.Random(task["seed"])
        self.log_file = open(task["log"], "a")  # noqa: SIM115
        self.next_stroke, self.model = task["first_stroke"], task["model"]
        self.painted: list[int] = []
        self.taken: list[int] = []
        self.viewer = napari.Viewer(show_welcome_screen=False)
        self.widget = ImPartialWidget(self.viewer)
        self.viewer.window.add_dock_widget(self.widget, name="ImPartial", area="right")
        self.find = lambda name: self.widget.findChild(QWidget, name)
        self.watch_saves()
        if task["restore"]:
            assert not self.find("restore_line").isHidden(), "nothing is offered"
            self.find("restore_button").click()
            self.wait(lambda: not self.widget.store.busy and len(self.widget.session.images) == 2)
        else:
            self.begin()
        self.log("ready")
        self.timer = QTimer()
        self.timer.timeout.connect(self.step)
        self.timer.start(15)
        # What takes a third of a minute in real life.
        self.widget.store._timer.setInterval(150)

    def begin(self) -> None:
        noise = np.random.default_rng(0)
        for name in IMAGES:
            self.viewer.add_image(noise.random((SIZE, SIZE)), name=name)
            self.wait(lambda name=name: self.find("image_combo").findText(name) >= 0)
            self.find("image_combo").setCurrentText(name)
            self.find("new_scribbles_button").click()

    def watch_saves(self) -> None:
        store = self.widget.store
        take = store._take

        def noted(folder: Any) -> Any:
            self.taken = list(self.painted)
            return take(folder)

        store._take = noted
        store.saved.connect(lambda _: self.log("saved", *self.taken))

    def step(self) -> None:
        """Paint a stroke; now and then switch images, undo a step, or finish a round."""
        name, row, column, label = place(self.next_stroke)
        # Iterating gives the layers themselves, as painting by hand does.
        layer = next(x for x in self.viewer.layers if x.name == f"scribbles [{name}]")
        layer.brush_size = 1
        with layer.block_history():
            for shift in (-1, 0, 1):
                layer.paint((row, column + shift), label)
        self.painted.append(self.next_stroke)
        self.log("stroke", self.next_stroke)
        self.next_stroke += 1
        dice = self.random.random()
        if dice < 0.05:
            self.find("image_combo").setCurrentText(self.random.choice(IMAGES))
        elif dice < 0.10:
            layer.undo()
            layer.redo()
        elif dice < 0.15 and len(self.widget.session.rounds) < 5:
            path = self.widget.process.new_model_path()
            shutil.copyfile(self.model, path)
            self.widget.session.add_round(path, read_card(path), len(self.painted))
            self.widget.store.save()

    def log(self, *words: Any) -> None:
        self.log_file.write(" ".join(map(str, words)) + "\n")
        self.log_file.flush()

    def wait(self, condition: Any) -> None:
        from qtpy.QtWidgets import QApplication

        end = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < end
            QApplication.processEvents()
            time.sleep(0.005)


def answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            # Standard output is for the answers alone.
            os.dup2(2, 1)
            try:
                window = Window(json.loads(line))
                napari.run()
                del window
            finally:
                # Only a kill ends it in good order.
                os._exit(3)
        answer(child)
        _, status = os.waitpid(child, 0)
        answer(-os.WTERMSIG(status) if os.WIFSIGNALED(status) else status)


if __name__ == "__main__":
    main()
