"""Keeps what was measured of this machine's speed, so that it is measured once."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import platformdirs

from napari_impartial import __version__
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.speed import Speed

from .atomic import atomic_path


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
        speed = Speed(**found)
        rates = [*speed.steps_a_second.values(), *speed.pixels_a_second.values()]
        # A damaged file must not become an estimate.
        sound = bool(rates) and all(math.isfinite(rate) and rate > 0 for rate in rates)
    except (TypeError, AttributeError):
        return None
    return speed if sound else None


def save_speed(key: str, speed: Speed) -> None:
    """Keep a measurement; where nothing can be written it is made again the next time."""
    entries = {**_read(), key: dataclasses.asdict(speed)}
    try:
        with atomic_path(cache_path()) as path:
            path.write_text(json.dumps(entries, indent=1), encoding="utf-8")
    except ImPartialError:
        return


def _read() -> dict[str, Any]:
    try:
        entries = json.loads(cache_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}
