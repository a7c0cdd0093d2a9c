"""Film the real window from the first look to a refined result, as a small silent GIF.

Run it where there is a screen, or under a virtual one, with the plugin installed:

    xvfb-run -a -s "-screen 0 1366x768x24" python docs/make_film.py

The film goes to ``docs/images/film.gif``. The network trains for real, while the film runs at a
few times the speed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.window import Window, live, of_its_own, wait  # noqa: E402

FILM = ROOT / "docs" / "images" / "film.gif"
SAMPLE = "multiplex_tissue"
# Large enough to read the bar, small enough for a page.
WIDTH_PX, COLOURS, LARGEST_BYTES = 820, 96, 3_000_000
FRAME_MS, LAST_FRAME_MS = 400, 3000


class Film:
    """Takes pictures of a window while something is done to it."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._frames: list[PIL.Image.Image] = []

    def shoot(self) -> None:
        """Add a picture, unless it is like the last one."""
        shown = self._window.viewer.window.screenshot(flash=False, canvas_only=False)
        picture = PIL.Image.fromarray(np.asarray(shown)).convert("RGB")
        height = round(picture.height * WIDTH_PX / picture.width)
        small = picture.resize((WIDTH_PX, height), PIL.Image.Resampling.LANCZOS)
        if not self._frames or np.any(np.asarray(small) != np.asarray(self._frames[-1])):
            self._frames.append(small)

    def hold(self, seconds: float, every_s: float = 0.8) -> None:
        """Let the window live, and take pictures."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            live(every_s)
            self.shoot()

    def until(self, condition: Any, every_s: float = 2.0) -> None:
        """Take pictures until something is true."""
        while not condition():
            live(every_s)
            self.shoot()

    def write(self, path: Path) -> None:
        """Write what was taken; of a film that is too large, every other picture goes."""
        frames = self._frames
        while True:
            durations = [FRAME_MS] * (len(frames) - 1) + [LAST_FRAME_MS]
            palette = frames[-1].quantize(COLOURS, PIL.Image.Quantize.FASTOCTREE)
            few = [one.quantize(palette=palette, dither=PIL.Image.Dither.NONE) for one in frames]
            few[0].save(
                path,
                save_all=True,
                append_images=few[1:],
                duration=durations,
                loop=0,
                optimize=True,
            )
            if path.stat().st_size <= LARGEST_BYTES or len(frames) < 4:
                break
            frames = [*frames[:-1:2], frames[-1]]
        print(f"{path}: {len(frames)} pictures, {path.stat().st_size / 1e6:.1f} MB")


def stroke(layer: Any, film: Film, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Paint a line as a hand does, a little at a time."""
    for share in np.linspace(0, 1, 6):
        spot = np.array(start) * (1 - share) + np.array(end) * share
        layer.paint(tuple(int(v) for v in spot), int(layer.selected_label))
        live(0.05)
    film.shoot()


def main() -> None:
    """Make the film."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each training")
    parser.add_argument("--path", type=Path, default=FILM)
    args = parser.parse_args()
    with of_its_own():
        window = Window()
        film, viewer = Film(window), window.viewer
        viewer.open_sample("napari-impartial", SAMPLE)
        live(1)
        window.dock()
        film.shoot()
        film.hold(1.5)
        window.click("brush_cell_button")
        film.hold(1)
        widget, session = window.widget, window.widget.session
        layer = widget.workspace.scribbles.find(widget.workspace.source)
        window.part("time_budget_spin").setValue(args.seconds)
        for button, start, end in (
            ("brush_cell_button", (150, 300), (158, 310)),
            ("brush_background_button", (300, 130), (320, 150)),
        ):
            window.click(button)
            stroke(layer, film, start, end)
        window.click("train_button")
        film.until(lambda: len(session.rounds) == 1)
        window.settle()
        film.hold(3)
        for _ in range(3):
            window.click("next_button")
            window.settle()
            film.hold(2)
            place = widget.results.suggestions.current
            if place is not None:
                y, x = place.suggestion.y, place.suggestion.x
                layer.selected_label = 1
                stroke(layer, film, (y - 3, x - 3), (y + 3, x + 3))
            film.hold(1)
        window.click("train_button")
        film.until(lambda: len(session.rounds) == 2)
        wait(window.idle)
        viewer.fit_to_view()
        film.hold(3)
        film.write(args.path)
        window.close()


if __name__ == "__main__":
    main()
