"""What tests look at: layers by their names, sessions on disk, and work that is over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_impartial.session.folder import SessionFolder
from napari_impartial.session.saved_state import SavedSession, from_content


def layer_named(viewer: Any, name: str) -> Any:
    return next(layer for layer in viewer.layers if layer.name == name)


def names(viewer: Any) -> list[str]:
    return [layer.name for layer in viewer.layers]


def saved_in(folder: Path) -> SavedSession:
    return from_content(SavedSession, SessionFolder(folder).read())


def settled(widget: Any, wait_for: Any) -> None:
    """Wait until what was asked for is cut and measured."""
    results = widget.results
    wait_for(
        lambda: not (results._pause.isActive() or results._cutting.busy or results._measuring.busy)
    )
