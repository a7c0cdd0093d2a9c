"""How much of a training's time may go into previews, and how large they may be."""

from __future__ import annotations

import math

from .results import Box

# Less means nothing to a network.
SMALLEST_SIDE_PX = 16
# Of the time of training, previews included.
SHARE = 0.1
# Whoever pans to another place should not wait for longer; where that is too short for
# anything, on a slow machine, for three times what any preview takes.
LONGEST_S = 1.0
_LONGEST_FIXED = 3.0
# What a preview costs at first sight, in steps of training: the statistics of the
# normalization layers, and passes forward over its pixels at full and at half size.
_FIXED_STEPS = 1.5
_STEPS_A_PIXEL = 1.0
# How quickly a preview that took unusually long is forgotten.
_MEMORY = 0.8


class PreviewBudget:
    """Keeps previews to a share of the time, by allowing none that would exceed it.

    What a preview costs is foretold from the time that steps take, and corrected by the
    dearest of the last ones. So the share can be exceeded by what one preview takes
    beyond its forecast, and by no more, since the next ones wait until that is made up
    for.

    Parameters
    ----------
    pixels_a_step
        Pixels that one step of training goes through.
    share
        Of the time of training, 0 to 1.
    """

    def __init__(self, pixels_a_step: int, share: float = SHARE) -> None:
        self.share = share
        self.spent_s = 0.0
        self._pixels_a_step = pixels_a_step
        self._factor = 1.0

    def cost_s(self, pixels: int, step_s: float) -> float:
        """Foretell the seconds that a preview takes, from those of a step."""
        steps = _FIXED_STEPS + _STEPS_A_PIXEL * pixels / self._pixels_a_step
        return self._factor * steps * step_s

    def most_px(self, step_s: float) -> int:
        """Return the largest preview, in pixels, that takes no longer than bearable."""
        return self._affordable(self._longest_s(step_s), step_s)

    def now_px(self, elapsed_s: float, step_s: float) -> int:
        """Return the largest preview, in pixels, that the share allows now; 0 for none."""
        left_s = self.share * elapsed_s - self.spent_s
        return self._affordable(min(left_s, self._longest_s(step_s)), step_s)

    def add(self, pixels: int, took_s: float, step_s: float) -> None:
        """Take down what a preview took."""
        self.spent_s += took_s
        right = self._factor * took_s / max(self.cost_s(pixels, step_s), 1e-9)
        self._factor = max(right, _MEMORY * self._factor)

    def _longest_s(self, step_s: float) -> float:
        return max(LONGEST_S, _LONGEST_FIXED * self.cost_s(0, step_s))

    def _affordable(self, seconds: float, step_s: float) -> int:
        steps = seconds / (self._factor * max(step_s, 1e-6)) - _FIXED_STEPS
        return max(0, int(steps / _STEPS_A_PIXEL * self._pixels_a_step))


def shrink(box: Box, most_px: int) -> Box | None:
    """Return the middle of a box, of at most so many pixels; None if that is too little."""
    y0, x0, y1, x1 = box
    scale = min(1.0, math.sqrt(most_px / max((y1 - y0) * (x1 - x0), 1)))
    height, width = int((y1 - y0) * scale), int((x1 - x0) * scale)
    if min(height, width) < SMALLEST_SIDE_PX:
        return None
    y0, x0 = (y0 + y1 - height) // 2, (x0 + x1 - width) // 2
    return y0, x0, y0 + height, x0 + width
