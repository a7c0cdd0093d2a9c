"""Speed of a device of this machine, and what it means for a user. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from napari_impartial.core.config import PRESETS

# Up to so many steps, more of them make much of a difference.
FEW_STEPS = 150
# How much quicker another preset's steps have to be for it to be worth a mention.
_MUCH_QUICKER = 2.0
# Of what was known of a pace, what the next piece of work leaves.
_MEMORY = 0.5


@dataclass(frozen=True)
class Speed:
    """Speeds found by a short measurement, and by trainings and predictions since.

    Attributes
    ----------
    device : str
        Name of the device, and what it is.
    steps_a_second : mapping
        Steps of training, by name of the preset.
    pixels_a_second : mapping
        Pixels predicted with the settings that prediction begins with, likewise.
    trained : mapping
        Steps a second that the last training of a preset did: with the user's images, and
        with what else the machine has to do. Counts for more than the measurement.
    predicted : mapping
        Pixels a second of the predictions that were made, likewise.
    """

    device: str
    steps_a_second: Mapping[str, float]
    pixels_a_second: Mapping[str, float]
    trained: Mapping[str, float] = field(default_factory=dict)
    predicted: Mapping[str, float] = field(default_factory=dict)

    def step_rate(self, preset: str) -> float:
        """Return the steps of training a second to expect; 0 for a preset that is not known."""
        return self.trained.get(preset, self.steps_a_second.get(preset, 0.0))

    def prediction_s(self, preset: str, pixels: int) -> float | None:
        """Return the seconds that predicting takes; None for a preset that is not known."""
        rate = self.predicted.get(preset, self.pixels_a_second.get(preset, 0.0))
        return pixels / rate if rate > 0 else None

    def enough(self, preset: str, seconds: float) -> str:
        """Say in a sentence whether so many seconds of training are enough here."""
        said = self.expect(preset, seconds)
        if not said:
            return ""
        _, _, advice = said.partition(": few. ")
        if advice:
            return f"{duration(seconds)} is short for this machine. {advice}"
        return f"{duration(seconds)} is enough on this machine."

    def expect(self, preset: str, seconds: float) -> str:
        """Say in a sentence what so many seconds of training are worth here."""
        rate = self.step_rate(preset)
        if rate <= 0:
            return ""
        steps = int(rate * seconds)
        said = f"{duration(seconds)} are about {rounded(steps)} steps on this machine"
        if steps < FEW_STEPS:
            quickest = max(PRESETS, key=self.step_rate)
            other = f", or take {PRESETS[quickest].label}"
            quicker = self.step_rate(quickest) > _MUCH_QUICKER * rate
            return f"{said}: few. Give it more time{other if quicker else ''}."
        return f"{said}."


@dataclass(frozen=True)
class Pace:
    """Amount and time of what was done so far, the latest counting most."""

    amount: float = 0.0
    seconds: float = 0.0

    def add(self, amount: float, seconds: float) -> Pace:
        """Return the pace with another piece of work. What is large counts for more."""
        return replace(
            self, amount=_MEMORY * self.amount + amount, seconds=_MEMORY * self.seconds + seconds
        )

    @property
    def rate(self) -> float:
        """Amount a second; 0 before anything was done."""
        return self.amount / self.seconds if self.seconds > 0 else 0.0


def seconds_left(elapsed_s: float, share: float, expected_s: float | None = None) -> float | None:
    """Return how long something goes on of which a share is done, 0 to 1.

    Parameters
    ----------
    elapsed_s
        Since it began.
    share
        That is done.
    expected_s
        How long all of it was expected to take, if anything was. The more is done, the
        more its own pace counts.

    Returns
    -------
    float or None
        None where there is nothing to tell it from.
    """
    if share <= 0:
        return expected_s
    by_pace_s = elapsed_s * (1 - share) / share
    if expected_s is None:
        return by_pace_s
    return share * by_pace_s + (1 - share) * (1 - share) * expected_s


def rounded(n: int) -> str:
    """Return a number with the two digits that an estimate is good for."""
    digits = max(0, len(str(n)) - 2)
    return f"{round(n, -digits):,}"


def duration(seconds: float) -> str:
    """Return a time as people say it, such as ``40 s``, ``5 min`` or ``1.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
