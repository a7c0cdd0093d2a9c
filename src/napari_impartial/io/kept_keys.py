"""Keeps the keys that a user has chosen for our actions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from napari_impartial.core.atomic_write import atomic_path


def keys_path() -> Path:
    """Return the file; without it, all keys are as shipped."""
    return platformdirs.user_config_path("napari-impartial", appauthor=False) / "keys.json"


def load_keys() -> dict[str, list[str]]:
    """Return the chosen keys of actions; none where the file is missing or damaged."""
    try:
        found = json.loads(keys_path().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        action: keys
        for action, keys in found.items()
        if isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    }


def save_keys(chosen: Mapping[str, list[str]]) -> None:
    """Keep the chosen keys.

    Raises
    ------
    ImPartialError
        If the file cannot be written.
    """
    with atomic_path(keys_path()) as path:
        path.write_text(json.dumps(chosen, indent=1), encoding="utf-8")
