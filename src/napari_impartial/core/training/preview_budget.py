"""Time budget of previews during training, and the size of field that fits into it."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

from napari_impartial.core.data.boxes import Box

# Less means nothing to a network.
SMALLEST_SIDE_PX = 16
# A quick look may be at the middle of a field, if that is at least so large: something to see
# soon is worth more than all of it later.
LEAST_PART_PX = 256 * 256
# Of the time of training and its rests, previews included.
SHARE = 0.1
# Whoever pans to another place should not wait for longer; where that is too short for
# anything, on a slow machine, for three times what any preview takes.
LONGEST_S = 1.0
_LONGEST_FIXED = 3.0
# Training beside a moving hand rests no longer at once, and a pause of any length brings no more
# than such a rest.
LONGEST_REST_S = 10.0
# Rests are looked through in such steps for the moment from which something can be had.
_TICK_S = 0.1
# How quickly a preview that took unusually long is forgotten.
_MEMORY = 0.8
# What is lent to fields that somebody has only just come to: so many boxes of this size, but
# at most so much of what a minute brings, since a slow machine takes long for any.
_LENT_BOXES, _LENT_PX, _LENT_PART = 3, 400 * 400, 0.25
# Paid back from here on, so that a minute has its share and no more. Not sooner: the first
# seconds have little to spare as it is.
_PAID_BACK_FROM_S, _PAID_BACK_BY_S = 20.0, 60.0


@dataclass
class Price:
    """Cost of a kind of preview, in steps of training.

    Attributes
    ----------
    fixed
        Whatever its size.
    a_step
        For as many pixels as a step of training goes through.
    factor
        How much dearer the dearest of the last ones was.
    """

    fixed: float
    a_step: float
    factor: float = 1.0

    def steps(self, pixels_in_steps: float) -> float:
        """Foretell the cost of a preview."""
        return self.factor * (self.fixed + self.a_step * pixels_in_steps)

    def affordable(self, steps: float) -> float:
        """Return how large a preview can be for so much; negative for none."""
        return (steps / self.factor - self.fixed) / self.a_step

    def learn(self, pixels_in_steps: float, steps: float) -> None:
        """Take down what a preview cost."""
        right = self.factor * steps / max(self.steps(pixels_in_steps), 1e-9)
        self.factor = max(right, _MEMORY * self.factor)


@dataclass(frozen=True)
class Look:
    """Preview that there is time for: a part of a field, round its middle."""

    box: Box
    quick: bool


class PreviewBudget:
    """Keeps previews to a share of the time, by allowing none that would exceed it.

    What a preview costs is foretold from the time that steps take, and corrected by the
    dearest of the last ones. So the share can be exceeded by what one preview takes
    beyond its forecast, and by no more, since the next ones wait until that is made up
    for.

    Whoever comes to another place wants to see something there at once, though the last
    place may have taken all there was. So a little is lent for a first box, and saved up
    again by the looks at the same place: when a minute is over, or a shorter training,
    the share has been kept, and from then on it is never exceeded.

    A *full* look has several passes at all sizes, with statistics of the
    normalization layers of its own. A *quick* one has a single pass, often with the last
    look's statistics.

    Parameters
    ----------
    pixels_a_step
        Pixels that one step of training goes through.
    share
        Of the time of training and its rests, 0 to 1.
    whole_s
        How long training will take; infinite where that is not known.
    """

    def __init__(self, pixels_a_step: int, share: float = SHARE, whole_s: float = math.inf) -> None:
        self.share = share
        self.spent_s = 0.0
        self._rested_s = 0.0
        self._looks = 0
        self._pixels_a_step = pixels_a_step
        self._whole_s = whole_s
        # At first sight; measured: 1.0 and 0.6, and 0 and 0.25.
        self._full, self._quick = Price(1.5, 1.0), Price(1.0, 0.3)

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
            Whether somebody has only just come there: a quick look, for which time is lent.
        quick
            Whether anything but a quick look is out of the question.
        """
        # At the start of a training nothing is lent: its first weights know little.
        if not self._looks:
            return _part(field, self.now_px(elapsed_s, step_s, quick=True))
        if new:
            return _part(field, self.new_px(elapsed_s, step_s))
        whole = shrink(field, self.most_px(step_s))
        if whole and not quick and _pixels(whole) <= self.now_px(elapsed_s, step_s):
            return Look(whole, quick=False)
        # Half of what there is stays for the next field that somebody comes to.
        left_s = self._left_s(elapsed_s, step_s)
        return _part(field, self._affordable(left_s, step_s, quick=True, part=0.5))

    def wait_s(self, field: Box, elapsed_s: float, step_s: float) -> float:
        """Return after how long a rest a new field can be had; infinite after none."""
        later, waited_s = copy.copy(self), 0.0
        while waited_s < LONGEST_REST_S:
            if later.look(field, elapsed_s, step_s, new=True):
                return waited_s
            waited_s += _TICK_S
            later.rest(_TICK_S)
        return math.inf

    def cost_s(self, pixels: int, step_s: float, quick: bool = False) -> float:
        """Foretell the seconds that a preview takes, from those of a step."""
        return self._price(quick).steps(pixels / self._pixels_a_step) * step_s

    def most_px(self, step_s: float) -> int:
        """Return the largest full look, in pixels, that takes no longer than bearable."""
        return self._affordable(math.inf, step_s)

    def now_px(self, elapsed_s: float, step_s: float, quick: bool = False) -> int:
        """Return the largest preview, in pixels, that the share allows now; 0 for none.

        A full look never takes what new fields may need.
        """
        left_s = self._left_s(elapsed_s, step_s, 0.0 if quick else 1.0)
        return self._affordable(left_s, step_s, quick)

    def new_px(self, elapsed_s: float, step_s: float) -> int:
        """Return the same for a first, quick look at a new field; some time is lent for it."""
        left_s, lent_s = self._left_s(elapsed_s, step_s), self._lent_s(step_s)
        # One box takes neither all that is lent nor all that is left: there may be another
        # place to come.
        box_s = min(left_s + lent_s, lent_s, self.cost_s(_LENT_PX, step_s, quick=True))
        # Nothing is lent that the rest of the training could not pay back.
        whole_s = max(elapsed_s, self._whole_s) + self._rested_s
        to_come_s = self.share * whole_s - self.spent_s
        return self._affordable(min(max(left_s / 2, box_s), to_come_s), step_s, quick=True)

    def add(self, pixels: int, took_s: float, step_s: float, quick: bool = False) -> None:
        """Take down what a preview took."""
        self.spend(took_s)
        self._looks += 1
        self._price(quick).learn(pixels / self._pixels_a_step, took_s / max(step_s, 1e-6))

    def rest(self, seconds: float) -> None:
        """Take down how long training stood still; a rest brings previews as much as work.

        It rests while somebody looks round, who wants to see something. What is longer than
        a rest is a pause, and counts as one.
        """
        self._rested_s += min(seconds, LONGEST_REST_S)

    def spend(self, took_s: float) -> None:
        """Take down what else was done for the sake of previews."""
        self.spent_s += took_s

    def _left_s(self, elapsed_s: float, step_s: float, least_saved: float = 0.0) -> float:
        """Return the seconds that are left, without those that are kept to be lent."""
        span_s = _PAID_BACK_BY_S - _PAID_BACK_FROM_S
        saved = min(max((elapsed_s - _PAID_BACK_FROM_S) / span_s, least_saved), 1.0)
        all_s = elapsed_s + self._rested_s
        return self.share * all_s - saved * self._lent_s(step_s) - self.spent_s

    def _lent_s(self, step_s: float) -> float:
        wanted_s = _LENT_BOXES * self.cost_s(_LENT_PX, step_s, quick=True)
        return min(wanted_s, _LENT_PART * self.share * _PAID_BACK_BY_S)

    def _affordable(
        self, seconds: float, step_s: float, quick: bool = False, part: float = 1.0
    ) -> int:
        """Return the pixels that can be had for so much, or a part of them, in bearable time."""
        price, step_s = self._price(quick), max(step_s, 1e-6)
        bearable = price.affordable(self._longest_s(step_s, quick) / step_s)
        size = min(part * price.affordable(seconds / step_s), bearable)
        return max(0, int(size * self._pixels_a_step))

    def _longest_s(self, step_s: float, quick: bool) -> float:
        longest_s = max(LONGEST_S, _LONGEST_FIXED * self.cost_s(0, step_s))
        # However slow they are, something can be had once it is saved up for.
        return max(longest_s, self.cost_s(LEAST_PART_PX, step_s, quick)) if quick else longest_s

    def _price(self, quick: bool) -> Price:
        return self._quick if quick else self._full


def shrink(box: Box, most_px: int) -> Box | None:
    """Return the middle of a box, of at most so many pixels; None if that is too little."""
    y0, x0, y1, x1 = box
    scale = min(1.0, math.sqrt(most_px / max((y1 - y0) * (x1 - x0), 1)))
    height, width = int((y1 - y0) * scale), int((x1 - x0) * scale)
    if min(height, width) < SMALLEST_SIDE_PX:
        return None
    y0, x0 = (y0 + y1 - height) // 2, (x0 + x1 - width) // 2
    return y0, x0, y0 + height, x0 + width


def _part(field: Box, most_px: int) -> Look | None:
    """Return a quick look at a field, or its middle; None where that is too little."""
    box = shrink(field, most_px)
    if box is None or (box != field and _pixels(box) < 0.99 * LEAST_PART_PX):
        return None
    return Look(box, quick=True)


def _pixels(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
