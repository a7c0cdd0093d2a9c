"""Film the real window from an opened image to a refined result, as a small silent GIF.

Run it where there is a screen, or under a virtual one, with the plugin installed:

    xvfb-run -a -s "-screen 0 1366x768x24" python docs/make_film.py

The film goes to ``docs/images/film.gif``. All is done with mouse and keys in the real window,
and the network trains for real, at a few times the speed. A pointer is drawn where the mouse is,
and a line below says what is done, since a film without sound has to.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.three_rounds import NewUser  # noqa: E402
from benchmarks.window import SIZE, Mouse, Window, live, of_its_own, wait  # noqa: E402

from napari_impartial import samples  # noqa: E402
from napari_impartial.core.review.spot_check import PlaneLabels  # noqa: E402
from napari_impartial.core.review.spot_truth import answers_from_truth  # noqa: E402
from napari_impartial.session.session import Activity  # noqa: E402

FILM = ROOT / "docs" / "images" / "film.gif"
# Large enough to read the bar, small enough for a page.
WIDTH_PX, CAPTION_PX, COLOURS, LARGEST_BYTES = 960, 34, 128, 4_000_000
FRAME_MS, LAST_FRAME_MS = 400, 4000
N_STROKES, N_PLACES = 8, 4
_POINTER = ((0, 0), (0, 17), (4, 13), (7, 20), (10, 19), (7, 12), (12, 12))


class Film:
    """Takes pictures of a window while something is done to it."""

    def __init__(self, window: Window, mouse: Mouse) -> None:
        self._window, self._mouse = window, mouse
        self._frames: list[PIL.Image.Image] = []
        self._lasting_ms: list[int] = []
        self._at, self._pressed, self._caption = (SIZE[0] // 2, SIZE[1] // 2), False, ""
        self._font = PIL.ImageFont.load_default(19)

    def say(self, caption: str, seconds: float = 2.4) -> None:
        """Tell what comes next, and give time to read it."""
        self._caption = caption
        self.shoot(seconds)

    def shoot(self, seconds: float = FRAME_MS / 1000) -> None:
        """Add a picture that is seen for so long."""
        shown = self._window.viewer.window.screenshot(flash=False, canvas_only=False)
        picture = PIL.Image.fromarray(np.asarray(shown)).convert("RGB")
        draw = PIL.ImageDraw.Draw(picture)
        x, y = self._at
        if self._pressed:
            draw.ellipse((x - 15, y - 15, x + 15, y + 15), outline="#ffd84d", width=3)
        draw.polygon([(x + dx, y + dy) for dx, dy in _POINTER], fill="white", outline="black")
        height = round(picture.height * WIDTH_PX / picture.width)
        frame = PIL.Image.new("RGB", (WIDTH_PX, height + CAPTION_PX), "#101014")
        frame.paste(picture.resize((WIDTH_PX, height), PIL.Image.Resampling.LANCZOS))
        PIL.ImageDraw.Draw(frame).text(
            (12, height + CAPTION_PX / 2), self._caption, "#f0f0f0", self._font, anchor="lm"
        )
        if self._frames and np.array_equal(np.asarray(frame), np.asarray(self._frames[-1])):
            self._lasting_ms[-1] += round(1000 * seconds)
        else:
            self._frames.append(frame)
            self._lasting_ms.append(round(1000 * seconds))

    def click(self, name: str) -> None:
        """Go to a button and click it."""
        self._at = self._mouse.place_of(name)
        self.shoot()
        self._pressed = True
        self._mouse.click(name)
        live(0.2)
        self.shoot()
        self._pressed = False

    def drag(self, places: list[tuple[float, float]]) -> None:
        """Paint a stroke, point by point."""
        canvas = self._mouse.canvas
        origin = canvas.mapTo(canvas.window(), canvas.rect().topLeft())

        def go(place: tuple[float, float]) -> None:
            self._at = round(origin.x() + place[0]), round(origin.y() + place[1])

        go(places[0])
        self.shoot(0.2)
        Mouse.drag(self._mouse, places)
        live(0.1)
        go(places[-1])
        self.shoot(0.3)

    def hold(self, seconds: float, every_s: float = 1.0) -> None:
        """Take pictures for a while."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > end, every_s)

    def until(self, condition: Callable[[], bool], every_s: float = 3.0) -> None:
        """Take pictures until something is true."""
        while not condition():
            end = time.monotonic() + every_s
            wait(lambda end=end: condition() or time.monotonic() > end)
            self.shoot()

    def write(self, path: Path) -> None:
        """Write what was taken; of a film that is too large, pictures without news go first."""
        frames, lasting = self._frames, self._lasting_ms
        lasting[-1] = LAST_FRAME_MS
        seconds = sum(lasting) / 1000
        few = _fewer_colours(frames)
        few[0].save(
            path, save_all=True, append_images=few[1:], duration=lasting, loop=0, optimize=True
        )
        size = path.stat().st_size
        print(f"{path}: {len(frames)} pictures, {seconds:.0f} s, {size / 1e6:.1f} MB")
        if size > LARGEST_BYTES:
            raise SystemExit(f"The film is larger than {LARGEST_BYTES / 1e6:g} MB.")


def _fewer_colours(frames: list[PIL.Image.Image]) -> list[PIL.Image.Image]:
    """Give all frames one palette: what does not move then costs nothing."""
    some = frames[:: max(1, len(frames) // 12)]
    mosaic = PIL.Image.new("RGB", (some[0].width, some[0].height * len(some)))
    for number, frame in enumerate(some):
        mosaic.paste(frame, (0, number * frame.height))
    palette = mosaic.quantize(COLOURS, PIL.Image.Quantize.FASTOCTREE)
    return [one.quantize(palette=palette, dither=PIL.Image.Dither.NONE) for one in frames]


def shoot_all(window: Window, film: Film, user: NewUser, seconds: float) -> None:
    """Go from the opened image to a refined result."""
    session, mouse, results = window.widget.session, user.mouse, window.widget.results
    window.part("time_budget_spin").setValue(seconds)
    film.say(
        "An image with three channels, opened in napari. Plugins > ImPartial opens the dock.", 4
    )
    film.say("Cell (W): a short stroke in a few cells.")
    film.click("brush_cell_button")
    cells = np.unique(user.truth[user.truth > 0])
    for cell in user.rng.permutation(cells)[:N_STROKES]:
        user.paint_cell(int(cell))
    film.say("Background (Q): a few between them. All else may stay empty.")
    film.click("brush_background_button")
    for _ in range(N_STROKES):
        user.paint_background()
    film.say("Train (T): outlines come within seconds, and get better while it learns.")
    film.click("train_button")
    film.until(lambda: len(session.rounds) == 1)
    window.settle()
    n = session.plane.n_objects
    film.say(f"Every cell has an outline: {n} objects from {2 * N_STROKES} strokes.", 5)
    film.say(
        "Next place (N): where the model is least sure. The line above says what is in question."
    )
    for number in range(N_PLACES):
        if not window.part("next_button").isEnabled():
            break
        film.click("next_button")
        window.settle()
        film.shoot(3)
        row = window.widget.refine_panel.value()
        place = None if row is None or row < 0 else results.suggestions.places[row].suggestion
        if place is None:
            break
        if number == 0:
            film.say("Paint what is missing: a stroke in a cell, a line where two touch.")
        for cell in user.cells_near(place.y, place.x)[:2]:
            mouse.key("w")
            user.paint_cell(cell)
        mouse.key("q")
        user.paint_background((place.y, place.x))
        film.shoot(1)
    film.say("Train (T) again: it goes on from what is known.")
    film.click("train_button")
    film.until(lambda: len(session.rounds) == 2)
    window.settle()
    window.viewer.fit_to_view()
    live(1)
    film.say("Live: paint, and the outlines follow.", 3)
    film.click("live_button")
    wait(lambda: session.activity is Activity.TRAINING)
    user.paint_background()
    mouse.key("w")
    left = [int(cell) for cell in cells if cell not in user.painted]
    for cell in left[:3]:
        user.paint_cell(cell)
        film.hold(4)
    film.click("live_button")
    wait(lambda: not session.busy)
    window.settle()
    film.say("Is it good enough? A random sample of objects and places, one key each.", 3)
    _judge(window, film, user.truth)
    film.say("Precision, recall, counts, how sure each is, and a sentence for Methods.", 6)


def _judge(window: Window, film: Film, truth: np.ndarray) -> None:
    """Judge a sample by the truth, the first ones slowly."""
    widget = window.widget
    for name, step in widget.steps.items():
        step.set_open(name == "check")
    live(0.5)
    film.click("spot_check_draw")
    control = widget.spot_check
    planes = [PlaneLabels(0, widget.session.plane.instances)]
    answers = answers_from_truth(control.sample.check, planes, [truth])
    while control.at is not None:
        if control.at < 6 or control.at % 10 == 0:
            window.settle()
            film.shoot(1)
        control.answer(answers[control.at])
        live(0.05)
    window.viewer.fit_to_view()
    window.settle()


def main() -> None:
    """Make the film."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each training")
    parser.add_argument("--path", type=Path, default=FILM)
    args = parser.parse_args()
    with of_its_own():
        window = Window()
        image, _, truth = samples.multiplex_tissue()
        for channel, name, colour in zip(
            image.channels, image.channel_names, ("blue", "green", "red"), strict=True
        ):
            window.viewer.add_image(channel, name=name, colormap=colour, blending="additive")
        window.viewer.layers.selection.active = window.viewer.layers[0]
        window.dock()
        window.click("join_channels_button")
        window.widget.steps["image"].set_open(False)
        live(1)
        user = NewUser(window, truth, seed=3)
        film = Film(window, user.mouse)
        user.mouse.drag = film.drag  # type: ignore[method-assign]
        shoot_all(window, film, user, args.seconds)
        film.write(args.path)
        window.close()


if __name__ == "__main__":
    main()
