"""How fast a device of this machine is, and what that means for a user. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .config import PRESETS

# Up to so many steps, more of them make much of a difference.
FEW_STEPS = 150
# How much quicker another preset's steps have to be for it to be worth a mention.
_MUCH_QUICKER = 2.0


@dataclass(frozen=True)
class Speed:
    """What a short measurement found.

    Attributes
    ----------
    device : str
        Name of the device, and what it is.
    steps_a_second : mapping
        Steps of training, by name of the preset.
    pixels_a_second : mapping
        Pixels predicted with the settings that prediction begins with, likewise.
    """

    device: str
    steps_a_second: Mapping[str, float]
    pixels_a_second: Mapping[str, float]

    def prediction_s(self, preset: str, pixels: int) -> float | None:
        """Return the seconds that predicting takes; None for a preset that is not known."""
        rate = self.pixels_a_second.get(preset, 0.0)
        return pixels / rate if rate > 0 else None

    def expect(self, preset: str, seconds: float) -> str:
        """Say in a sentence what so many seconds of training are worth here."""
        rate = self.steps_a_second.get(preset, 0.0)
        if rate <= 0:
            return ""
        steps = int(rate * seconds)
        said = f"{duration(seconds)} are about {rounded(steps)} steps on this machine"
        if steps < FEW_STEPS:
            quickest = max(PRESETS, key=lambda name: self.steps_a_second.get(name, 0.0))
            other = f", or take {PRESETS[quickest].label}"
            quicker = self.steps_a_second.get(quickest, 0.0) > _MUCH_QUICKER * rate
            return f"{said}: few. Give it more time{other if quicker else ''}."
        return f"{said}."


def rounded(n: int) -> str:
    """Return a number with the two digits that an estimate is good for."""
    digits = max(0, len(str(n)) - 2)
    return f"{round(n, -digits):,}"


def duration(seconds: float) -> str:
    """Return a time as people say it, such as ``40 s``, ``5 min`` or ``1.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
