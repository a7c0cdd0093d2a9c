"""What was measured is kept for the same device and version, and for no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from napari_impartial.core.training.speed import Speed
from napari_impartial.io import speed_cache
from napari_impartial.io.speed_cache import cache_key, load_speed, save_speed, save_trained

SPEED = Speed("cpu", {"fast": 20.0}, {"fast": 1e6})


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "deep" / "speed.json"
    monkeypatch.setattr(speed_cache, "cache_path", lambda: path)
    return path


def test_round_trip_by_device_and_version() -> None:
    key = cache_key("cpu (2 cores)", "2.13")
    assert load_speed(key) is None
    save_speed(key, SPEED)
    save_speed("other", Speed("gpu", {"fast": 1.0}, {"fast": 2.0}))
    assert load_speed(key) == SPEED
    assert load_speed(cache_key("cpu (2 cores)", "2.14")) is None
    assert load_speed(cache_key("cpu (4 cores)", "2.13")) is None


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[" * 100_000,
        '{"a": {"device": "cpu", "steps_a_second": {"x": 1'
        + "0" * 400
        + '}, "pixels_a_second": {"x": 1}}}',
        '{"a": ' * 100_000,
        "[]",
        '{"a": 3}',
        '{"a": {"device": "cpu"}}',
        '{"a": {"device": "cpu", "steps_a_second": {}, "pixels_a_second": {}}}',
        '{"a": {"device": "cpu", "steps_a_second": {"x": 0}, "pixels_a_second": {"x": 1}}}',
        '{"a": {"device": "cpu", "steps_a_second": {"x": "1"}, "pixels_a_second": {"x": 1}}}',
    ],
)
def test_a_damaged_file_is_measured_anew(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    assert load_speed("a") is None
    save_speed("a", SPEED)
    assert load_speed("a") == SPEED


def test_rates_of_trainings_are_kept_beside_the_measurement(path: Path) -> None:
    save_trained("a", "fast", 7.0)
    assert load_speed("a") is None, "not measured yet"
    save_speed("a", SPEED)
    assert load_speed("a") == replace(SPEED, trained={"fast": 7.0})
    save_trained("a", "balanced", 3.0)
    save_trained("a", "fast", 8.0)
    found = load_speed("a")
    assert found == replace(SPEED, trained={"fast": 8.0, "balanced": 3.0})
    # What is measured again is written without them, and they stay.
    save_speed("a", found)
    assert load_speed("a") == found
    save_speed("b", SPEED)
    assert load_speed("b") == SPEED
    path.write_text(path.read_text().replace("8.0", '"8"'))
    assert load_speed("a") == SPEED, "damaged"


def test_where_nothing_can_be_written_nothing_breaks(path: Path) -> None:
    path.parent.write_text("in the way")
    save_speed("a", SPEED)
    assert load_speed("a") is None
