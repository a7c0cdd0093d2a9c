"""Appearance and order of a session's layers, kept with it."""

from __future__ import annotations

from typing import Any

from napari_impartial.gui.layers import Role
from napari_impartial.gui.layers.layer_state import give_look, look_of
from napari_impartial.gui.layers.workspace import Workspace


class Looks:
    """Looks of the result layers, by name, and the order of all layers of the session.

    Images and scribbles bring their own look along: they are saved as layers, where results
    are made anew from predictions.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def save(self) -> dict[str, Any]:
        """Return what :meth:`restore` takes."""
        results = self._results()
        # Results that the user has renamed come back with the name that they had at first.
        first = {layer: name for name, layer in results.items()}
        return {
            "results": {name: self._look(layer) for name, layer in results.items()},
            "order": [first.get(one, str(one.name)) for one in self._workspace.viewer.layers],
        }

    def restore(self, values: dict[str, Any]) -> None:
        """Give results the look that they had, and put layers in their order."""
        known = values.get("results", {})
        for name, layer in self._results().items():
            if name in known:
                give_look(layer, known[name])
        layers, order = self._workspace.viewer.layers, values.get("order", [])
        ours = [layers[name] for name in order if name in layers]
        if [layer for layer in layers if layer in ours] != ours:
            # Layers that the session does not know come to lie below.
            for layer in ours:
                layers.move(layers.index(layer), len(layers))

    def _look(self, layer: Any) -> dict[str, Any]:
        look = look_of(layer)
        if self._workspace.results.outlines.is_automatic(layer):
            # Come back, outlines are as wide as they have to be then.
            look.pop("contour", None)
        return look

    def _results(self) -> dict[str, Any]:
        """Return the result layers by the names that they have at first."""
        workspace = self._workspace
        found = {}
        for key in workspace.session.images:
            source = workspace.sources[key]
            for role in Role:
                layer = workspace.results.find(source, role)
                # Changes are shown on demand, and not kept.
                if layer is not None and role is not Role.CHANGES:
                    found[f"{role} [{source.name}]"] = layer
        return found
