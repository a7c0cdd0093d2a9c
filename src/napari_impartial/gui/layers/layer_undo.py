"""napari's keys for undo and redo, on those of our layers that are painted on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from app_model.types import KeyCode, KeyMod
from napari.layers import Labels

from napari_impartial.session.undo import DecisionLog

UNDO = KeyMod.CtrlCmd | KeyCode.KeyZ
REDO = KeyMod.CtrlCmd | KeyMod.Shift | KeyCode.KeyZ


class LayerUndo:
    """Lets Ctrl+Z take back what was done last, be it a decision or a stroke on the layer.

    napari has these two keys for all labels layers; those of a single layer come first.

    Parameters
    ----------
    log
        Knows what is newer.
    look
        Takes note of strokes that are decisions.
    undo_decision
        Undoes the latest decision.
    """

    def __init__(
        self, log: DecisionLog, look: Callable[[], None], undo_decision: Callable[[], None]
    ) -> None:
        self._log = log
        self._look = look
        self._undo_decision = undo_decision
        self._watched: WeakSet[Labels] = WeakSet()

    def watch(self, layer: Labels) -> None:
        """Bind the keys of a layer, and hear of its strokes."""
        if layer in self._watched:
            return
        self._watched.add(layer)
        layer.events.paint.connect(self._on_paint)
        layer.events.data.connect(self._on_replaced)
        layer.bind_key(UNDO, self._undo, overwrite=True)
        layer.bind_key(REDO, self._redo, overwrite=True)

    def let_go(self) -> None:
        """Leave the layers to napari; the dock is going."""
        for layer in list(self._watched):
            layer.events.paint.disconnect(self._on_paint)
            layer.events.data.disconnect(self._on_replaced)
            layer.bind_key(UNDO, None, overwrite=True)
            layer.bind_key(REDO, None, overwrite=True)
        self._watched.clear()

    def _undo(self, layer: Labels) -> None:
        self._look()
        if self._log.is_newest(layer):
            self._undo_decision()
        elif self._log.undo_stroke(layer):
            layer.undo()
            _tell(layer)

    def _redo(self, layer: Labels) -> None:
        self._look()
        if self._log.redo_stroke(layer):
            layer.redo()
            _tell(layer)

    def _on_paint(self, event: Any) -> None:
        # What we wrote past the layer's own undo has no steps; see ScribbleLayers.put.
        if event.value:
            self._log.note_stroke(event.source)

    def _on_replaced(self, event: Any) -> None:
        self._log.forget_strokes(event.source)


def _tell(layer: Labels) -> None:
    """Tell of a step of a hidden layer, of which napari tells nobody."""
    if not layer.visible:
        layer.events.paint(value=[])
