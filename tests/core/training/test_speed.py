"""What is measured of a device's speed, and how it is told."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from napari_impartial.core.config import PRESETS, ModelConfig, Preset, TrainingConfig
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.prediction.predict import Cancelled
from napari_impartial.core.training.speed import Pace, Speed, duration, rounded, seconds_left
from napari_impartial.core.training.timing import measure_speed
from napari_impartial.core.training.trainer import Trainer

SPEED = Speed("cpu (2 cores)", {"fast": 20.0, "paper": 0.05}, {"fast": 1e6})


def small(name: str, features: int = 4, batch: int = 2) -> Preset:
    training = TrainingConfig(preset=name, patch_size=32, batch_size=batch, precision="float32")
    return Preset(name, name, "", ModelConfig(base_features=features, depth=2), training)


def test_seconds_are_told_in_steps_of_this_machine() -> None:
    assert SPEED.expect("fast", 60) == "60 s are about 1,200 steps on this machine."
    told = SPEED.expect("paper", 1200)
    assert told.startswith("20 min are about 60 steps on this machine: few.")
    assert PRESETS["fast"].label in told
    assert SPEED.expect("fast", 3).endswith("60 steps on this machine: few. Give it more time.")
    assert SPEED.expect("unknown", 60) == ""
    assert SPEED.prediction_s("fast", 4_000_000) == 4.0
    assert SPEED.prediction_s("unknown", 10) is None


def test_what_was_done_counts_for_more_than_a_measurement() -> None:
    told = replace(SPEED, trained={"fast": 5.0}, predicted={"fast": 5e5})
    assert told.expect("fast", 60) == "60 s are about 300 steps on this machine."
    assert told.expect("paper", 1200) == SPEED.expect("paper", 1200)
    assert told.prediction_s("fast", 4_000_000) == 8.0
    assert Speed("cpu", {}, {}, {"fast": 5.0}).expect("fast", 60) == told.expect("fast", 60)


def test_a_pace_follows_what_is_large_and_recent() -> None:
    pace = Pace()
    assert pace.rate == 0.0
    pace = pace.add(1000, 10.0)
    assert pace.rate == 100.0
    # A small piece, which is mostly other things than work, changes little.
    assert pace.add(1, 0.1).rate == pytest.approx(100, rel=0.03)
    for _ in range(5):
        pace = pace.add(1000, 20.0)
    assert pace.rate == pytest.approx(50, rel=0.05)


def test_time_left_is_corrected_by_the_pace() -> None:
    assert seconds_left(0.0, 0.0) is None
    assert seconds_left(3.0, 0.0, 60.0) == 60.0
    assert seconds_left(30.0, 0.25) == 90.0
    # As expected, it says what was expected; at half the pace it comes to say so.
    for share in (0.1, 0.5, 0.9):
        assert seconds_left(60 * share, share, 60.0) == pytest.approx(60 * (1 - share))
    slow = [seconds_left(120 * s, s, 60.0) / (120 * (1 - s)) for s in (0.01, 0.5, 0.9)]  # type: ignore[operator]
    assert slow == pytest.approx([0.505, 0.75, 0.95], abs=0.01)
    assert seconds_left(50.0, 1.0, 60.0) == 0.0


def test_numbers_are_as_exact_as_an_estimate() -> None:
    assert [rounded(n) for n in (0, 7, 42, 1234, 98765)] == ["0", "7", "42", "1,200", "99,000"]
    assert [duration(s) for s in (8, 60, 300, 7200)] == ["8 s", "60 s", "5 min", "2.0 h"]


def test_a_measurement_agrees_with_training(monkeypatch: pytest.MonkeyPatch) -> None:
    # A step of known length, so that it does not matter what else the machine does.
    step = Trainer.step

    def slow(self: Trainer) -> None:
        step(self)
        time.sleep(0.1 * self.config.batch_size)

    monkeypatch.setattr(Trainer, "step", slow)
    presets = (small("fast"), small("balanced"), small("paper", features=8, batch=8))
    speed = measure_speed("cpu", 1.0, presets=presets)
    assert speed.device.startswith("cpu (")
    assert set(speed.steps_a_second) == {"fast", "balanced", "paper"}
    assert speed.steps_a_second["fast"] == speed.steps_a_second["balanced"], "measured once"
    assert 1.0 < speed.steps_a_second["fast"] <= 5.0
    # Measured with one patch, told for eight.
    assert 0.3 < speed.steps_a_second["paper"] <= 1.25
    assert all(rate > 0 for rate in speed.pixels_a_second.values())


def test_a_measurement_ends_soon_when_asked_to() -> None:
    asked: list[int] = []

    def stopped() -> bool:
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(Cancelled):
        measure_speed("cpu", 600.0, stopped, presets=(small("fast"),))
    assert len(asked) == 4
    with pytest.raises(ImPartialError):
        measure_speed("abacus", 1.0)
