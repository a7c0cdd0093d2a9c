"""What tests look at: layers by their names, sessions on disk, and work that is over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_impartial.core.config import get_preset
from napari_impartial.core.network.model_card import ModelCard
from napari_impartial.session.folder import SessionFolder
from napari_impartial.session.saved_state import SavedSession, from_content


def layer_named(viewer: Any, name: str) -> Any:
    return next(layer for layer in viewer.layers if layer.name == name)


def names(viewer: Any) -> list[str]:
    return [layer.name for layer in viewer.layers]


def saved_in(folder: Path) -> SavedSession:
    saved = from_content(SavedSession, SessionFolder(folder).read(), losses := [])
    assert not losses
    return saved


def settled(widget: Any, wait_for: Any) -> None:
    """Wait until what was asked for is cut and measured."""
    results = widget.results
    wait_for(
        lambda: not (results._pause.isActive() or results._cutting.busy or results._measuring.busy)
    )


def card_for(widget: Any, **more: Any) -> ModelCard:
    """Return the card of a model for the image in view."""
    preset = get_preset("fast")
    return ModelCard(
        channel_names=widget.session.record.channel_names,
        class_names=("background", "foreground"),
        normalization=(1.0, 98.0),
        model=preset.model,
        training=preset.training,
        created="",
        program_version="",
        device="cpu",
        seconds=1.0,
        steps=1,
        rounds=1,
        parameters=1,
        best_validation_loss=None,
        **more,
    )
