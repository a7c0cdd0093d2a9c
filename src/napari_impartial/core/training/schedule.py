"""Budget of a training, spent by steps or by seconds, and the learning rate along it."""

from __future__ import annotations

import math
import time

from napari_impartial.core.config import TrainingConfig

_WARM_UP = 0.05
# The paper's schedule: 0.96 times the rate every two epochs, of which there are about 200. What
# an epoch of random patches is, is left open: here, so many steps, that is a 200th of the budget.
_PAPER_DECAY, _PAPER_DECAY_EPOCHS, _PAPER_EPOCHS = 0.96, 2, 200
# Of the highest rate, for as long as a training goes on; reached after so many steps.
_STEADY, _STEADY_FROM_STEP = 0.3, 10
# Steps of a budget, for trainings that have none: about what *balanced* does on two CPU cores.
_USUAL_STEPS = 300


class Clock:
    """Counts seconds of work, without pauses."""

    def __init__(self) -> None:
        self._spent = 0.0
        self._since: float | None = time.perf_counter()

    def seconds(self) -> float:
        """Seconds counted so far."""
        running = 0.0 if self._since is None else time.perf_counter() - self._since
        return self._spent + running

    def stop(self) -> None:
        """Hold the count."""
        self._spent, self._since = self.seconds(), None

    def start(self) -> None:
        """Go on counting."""
        self._since = time.perf_counter()


class Schedule:
    """Share of a budget that is spent, and the learning rate there.

    Parameters
    ----------
    config : TrainingConfig
    clock : Clock
        Counts the seconds that are spent.
    """

    def __init__(self, config: TrainingConfig, clock: Clock) -> None:
        self._config, self._clock = config, clock

    def fraction(self, steps: int) -> float:
        """Share of the budget spent, 0 to 1: by steps where these are limited, else by time."""
        if self._config.max_steps:
            return min(steps / self._config.max_steps, 1.0)
        return min(self._clock.seconds() / self._config.time_budget_s, 1.0)

    def maturity(self, steps: int) -> float:
        """Return how far on training is, as a share of a budget.

        Returns
        -------
        float
            The share that is spent, 0 to 1; with ``steady``, which is for trainings that are ended
            by hand, at least the steps over :data:`_USUAL_STEPS`, which may be above 1.
        """
        spent = self.fraction(steps)
        return max(spent, steps / _USUAL_STEPS) if self._config.schedule == "steady" else spent

    def learning_rate(self, steps: int) -> float:
        """Return the rate for the step that follows so many.

        ``budget`` rises over the first twentieth of the budget and then falls to zero
        along a cosine; ``exponential`` is the paper's decay of 0.96 every two epochs, an epoch
        being a two-hundredth of the budget: the last rate is 0.018 of the first;
        ``steady`` stays as it is after the first steps.
        """
        peak = self._config.learning_rate
        if self._config.schedule == "steady":
            return peak * _STEADY * min(1.0, (steps + 1) / _STEADY_FROM_STEP)
        if self._config.schedule == "exponential":
            epoch = min(int(self.fraction(steps) * _PAPER_EPOCHS), _PAPER_EPOCHS - 1)
            return peak * float(_PAPER_DECAY ** (epoch // _PAPER_DECAY_EPOCHS))
        done = self.fraction(steps)
        if done < _WARM_UP:
            return peak * max(done / _WARM_UP, 0.05)
        return peak * max(0.5 * (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP))), 1e-3)
