"""What tests look at: layers by their names, and sessions on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_impartial.io.session_folder import SessionFolder
from napari_impartial.io.session_state import SavedSession, from_content


def layer_named(viewer: Any, name: str) -> Any:
    return next(layer for layer in viewer.layers if layer.name == name)


def names(viewer: Any) -> list[str]:
    return [layer.name for layer in viewer.layers]


def saved_in(folder: Path) -> SavedSession:
    return from_content(SavedSession, SessionFolder(folder).read())
