"""Keeps what was measured of this machine's speed, so that it is measured once."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import platformdirs

from napari_impartial import __version__
from napari_impartial.core.atomic_write import atomic_path
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.training.speed import Speed

_FASTEST = 1e15


def cache_path() -> Path:
    """Return the file; it may be deleted at any time."""
    return platformdirs.user_cache_path("napari-impartial", appauthor=False) / "speed.json"


def cache_key(device: str, torch_version: str) -> str:
    """Return what a measurement holds for: a device, this version, and torch's."""
    return f"{device}; napari-impartial {__version__}; torch {torch_version}"


def load_speed(key: str) -> Speed | None:
    """Return what was measured before; None if nothing was or the file is damaged."""
    found = _read().get(key)
    if not isinstance(found, dict):
        return None
    try:
        speed = Speed(found["device"], found["steps_a_second"], found["pixels_a_second"])
        rates = [*speed.steps_a_second.values(), *speed.pixels_a_second.values()]
        sound = bool(rates) and _sound(rates)
    except (KeyError, TypeError, AttributeError):
        return None
    return replace(speed, trained=_load_trained(key)) if sound else None


def save_speed(key: str, speed: Speed) -> None:
    """Keep a measurement; where nothing can be written it is made again the next time."""
    measured = {
        "device": speed.device,
        "steps_a_second": dict(speed.steps_a_second),
        "pixels_a_second": dict(speed.pixels_a_second),
    }
    _write({**_read(), key: measured})


def save_trained(key: str, preset: str, steps_a_second: float) -> None:
    """Keep the rate of a training, whether or not the device has been measured yet."""
    trained = {**_load_trained(key), preset: steps_a_second}
    _write({**_read(), _trained_key(key): trained})


def _load_trained(key: str) -> dict[str, float]:
    found = _read().get(_trained_key(key))
    try:
        return dict(found) if found and _sound(found.values()) else {}
    except (TypeError, ValueError, AttributeError):
        return {}


def _trained_key(key: str) -> str:
    return f"{key}; trained"


def _sound(rates: Iterable[float]) -> bool:
    """Return whether these can be rates: a damaged file must not become an estimate."""
    # A number in JSON may have hundreds of digits, which no float holds.
    return all(0 < rate < _FASTEST and math.isfinite(rate) for rate in rates)


def _write(entries: dict[str, Any]) -> None:
    try:
        with atomic_path(cache_path()) as path:
            path.write_text(json.dumps(entries, indent=1), encoding="utf-8")
    except ImPartialError:
        return


def _read() -> dict[str, Any]:
    try:
        entries = json.loads(cache_path().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return entries if isinstance(entries, dict) else {}
