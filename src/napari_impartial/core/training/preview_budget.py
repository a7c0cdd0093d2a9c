"""Time budget of previews during training: a bucket that a tenth of the time flows into."""

from __future__ import annotations

import math
from dataclasses import dataclass

from napari_impartial.core.data.boxes import Box

# Of the time of training and its rests, previews included.
SHARE = 0.1
# A part of what flows in, up to so much, is kept for fields that somebody has only just come to.
# They have it from the start, on credit: it is paid back when that part has come together, after
# a minute.
_KEPT_PART, CREDIT_S = 0.25, 1.5
# Of what is kept, a first look takes no more than a box of this size needs: there may be
# another place to come.
_FIRST_PX = 400 * 400
# A look may be at the middle of a field, if that is at least so large: something to see soon is
# worth more than all of it later.
LEAST_PART_PX = 256 * 256
# Whoever pans to another place should not wait for the end of a longer look.
LONGEST_S = 1.0
# Training beside a moving hand rests no longer at once, and a pause of any length brings no more
# than such a rest.
LONGEST_REST_S = 10.0
# How quickly a preview that took unusually long is forgotten.
_MEMORY = 0.8


@dataclass(frozen=True)
class Look:
    """Preview that there is time for: a part of a field, round its middle."""

    box: Box
    quick: bool


class PreviewBudget:
    """Keeps previews to a share of the time, by allowing none that would exceed it.

    What a preview costs is foretold from the time that steps take, and corrected by the
    dearest of the last ones. What one takes beyond that, the next ones wait for.

    A *full* look has several passes at all sizes, with statistics of the
    normalization layers of its own. A *quick* one has a single pass, often with the last
    look's statistics.

    Parameters
    ----------
    pixels_a_step
        Pixels that one step of training goes through.
    whole_s
        How long training will take; infinite where that is not known.
    """

    def __init__(self, pixels_a_step: int, whole_s: float = math.inf) -> None:
        self.spent_s = 0.0
        self._rested_s = 0.0
        self._looked = False
        self._pixels_a_step = pixels_a_step
        self._credit_s = min(CREDIT_S, _KEPT_PART * SHARE * whole_s)
        # By whether they are quick: how much dearer than foretold the dearest of the last were.
        self._dearer = {True: 1.0, False: 1.0}

    def look(
        self, field: Box, elapsed_s: float, step_s: float, new: bool = False, quick: bool = False
    ) -> Look | None:
        """Return what there is time for now, or None.

        Parameters
        ----------
        field
            What somebody would like to see.
        elapsed_s, step_s
            Seconds of training so far, and of a step.
        new
            Whether somebody has only just come there: a quick look, also at what is kept for it.
        quick
            Whether anything but a quick look is out of the question.
        """
        earned_s = self._earned_s(elapsed_s)
        spare_s = max((1 - _KEPT_PART) * earned_s, earned_s - self._credit_s) - self.spent_s
        if not (new or quick) and self._looked:
            whole = _middle(field, self._affordable_px(math.inf, step_s, quick=False))
            if whole and self.cost_s(_pixels(whole), step_s) <= spare_s:
                return Look(whole, quick=False)
        # At the start of a training there is no credit: its first weights know little.
        if self._looked:
            first_s = self.cost_s(_FIRST_PX, step_s, quick=True) if new else 0.0
            spare_s = max(spare_s / 2, min(first_s, spare_s + self._credit_s))
        part = _middle(field, self._affordable_px(spare_s, step_s, quick=True))
        return Look(part, quick=True) if part else None

    def wait_s(self, field: Box, elapsed_s: float, step_s: float) -> float:
        """Return after how long a rest a new field can be had; infinite after none."""
        least_px = min(LEAST_PART_PX, _pixels(field))
        credit_s = self._credit_s if self._looked else 0.0
        needed_s = self.cost_s(least_px, step_s, quick=True) + self.spent_s - credit_s
        earned_s = min(needed_s / (1 - _KEPT_PART), needed_s + self._credit_s)
        wait_s = max(0.0, (earned_s - self._earned_s(elapsed_s)) / SHARE)
        return wait_s if wait_s < LONGEST_REST_S else math.inf

    def cost_s(self, pixels: int, step_s: float, quick: bool = False) -> float:
        """Foretell the seconds that a preview takes, from those of a step."""
        # Measured.
        passes = 0.3 if quick else 1.0
        return self._dearer[quick] * step_s * (1 + passes * pixels / self._pixels_a_step)

    def add(self, pixels: int, took_s: float, step_s: float, quick: bool = False) -> None:
        """Take down what a preview took."""
        self.spend(took_s)
        self._looked = True
        right = self._dearer[quick] * took_s / max(self.cost_s(pixels, step_s, quick), 1e-9)
        self._dearer[quick] = max(right, _MEMORY * self._dearer[quick])

    def rest(self, seconds: float) -> None:
        """Take down how long training stood still; a rest brings previews as much as work.

        It rests while somebody looks round, who wants to see something. What is longer than
        a rest is a pause, and counts as one.
        """
        self._rested_s += min(seconds, LONGEST_REST_S)

    def spend(self, took_s: float) -> None:
        """Take down what else was done for the sake of previews."""
        self.spent_s += took_s

    def _earned_s(self, elapsed_s: float) -> float:
        return SHARE * (elapsed_s + self._rested_s)

    def _affordable_px(self, seconds: float, step_s: float, quick: bool) -> int:
        """Return the largest preview, in pixels, for so much time, in bearable time."""
        fixed_s, least_s = (self.cost_s(px, step_s, quick) for px in (0, LEAST_PART_PX))
        # However slow they are, something can be had once it is saved up for.
        seconds = min(seconds, max(LONGEST_S, least_s))
        return max(0, int(LEAST_PART_PX * (seconds - fixed_s) / max(least_s - fixed_s, 1e-9)))


def _middle(box: Box, most_px: int) -> Box | None:
    """Return a box, or its middle of at most so many pixels; None if that is too little."""
    y0, x0, y1, x1 = box
    if most_px >= _pixels(box):
        return box
    if most_px < 0.99 * LEAST_PART_PX:
        return None
    scale = math.sqrt(most_px / _pixels(box))
    height, width = int((y1 - y0) * scale), int((x1 - x0) * scale)
    y0, x0 = (y0 + y1 - height) // 2, (x0 + x1 - width) // 2
    return y0, x0, y0 + height, x0 + width


def _pixels(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
