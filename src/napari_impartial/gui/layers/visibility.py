"""Visibility of the session's images.

Images of one experiment usually lie at the same place. Were all of them shown, the one on
top would hide the one that is worked on, and heatmaps and marks would mix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from weakref import WeakKeyDictionary

import napari
import numpy as np
from napari.layers import Labels, Layer

from . import Source
from .fields import belong_together

# Steps of a world coordinate by which neighbours that only touch may seem to overlap.
_TOUCHING = 1e-6


class Front:
    """Shows the layers of one image and hides those of others at the same place.

    What the user had of a hidden layer, seen or not, is remembered and comes back with its
    image. Layers that belong to no image of the session are left alone.

    Parameters
    ----------
    viewer
        Of the layers.
    layers_of
        Gives the layers of an image: channels, scribbles, results, marks.
    """

    def __init__(
        self, viewer: napari.Viewer, layers_of: Callable[[Source], Sequence[Layer]]
    ) -> None:
        self._viewer = viewer
        self._layers_of = layers_of
        self._had: WeakKeyDictionary[Layer, bool] = WeakKeyDictionary()

    def bring(self, chosen: Source, others: Iterable[Source]) -> None:
        """Show an image and hide those of the others that lie where it lies."""
        covering = self._covering(chosen, others)
        active = self._viewer.layers.selection.active
        # A layer that is hidden lets go of its tool.
        mode = getattr(active, "mode", "")
        for layer in list(self._had):
            if layer not in covering:
                layer.visible = self._had.pop(layer)
        self._hide(covering)
        if active in covering:
            self._hand_over(active, mode, self._layers_of(chosen))

    def keep_back(self, layer: Layer, chosen: Source, others: Iterable[Source]) -> None:
        """Hide a new layer if it belongs to an image that is not in front."""
        if layer in self._covering(chosen, others):
            self._hide([layer])

    def let_go(self) -> None:
        """Show all layers again that the user had shown."""
        for layer in list(self._had):
            layer.visible = self._had.pop(layer)

    def save(self) -> dict[str, bool]:
        """Return, by the names of the hidden layers, whether they come back with their image."""
        return {str(layer.name): seen for layer, seen in self._had.items()}

    def restore(self, had: dict[str, bool]) -> None:
        """Take note of what :meth:`save` returned, once images are back."""
        for layer, seen in list(self._had.items()):
            self._had[layer] = had.get(str(layer.name), seen)

    def _covering(self, chosen: Source, others: Iterable[Source]) -> list[Layer]:
        own = self._layers_of(chosen)
        return [
            layer
            for other in others
            if _overlap(chosen.primary, other.primary) and not belong_together(chosen, other)
            for layer in self._layers_of(other)
            if layer not in own
        ]

    def _hide(self, layers: Iterable[Layer]) -> None:
        for layer in layers:
            self._had.setdefault(layer, layer.visible)
            layer.visible = False

    def _hand_over(self, active: Layer, mode: str, own: Sequence[Layer]) -> None:
        """Let what was in hand be for the image in front: nobody paints on what is hidden."""
        scribbles = [layer for layer in own if _is_scribbles(layer)]
        if not _is_scribbles(active) or not scribbles:
            self._viewer.layers.selection.active = own[0]
            return
        self._viewer.layers.selection.active = scribbles[0]
        scribbles[0].mode = mode
        scribbles[0].selected_label = active.selected_label


def _is_scribbles(layer: Layer) -> bool:
    return isinstance(layer, Labels) and layer.name.startswith("scribbles")


def _overlap(one: Layer, other: Layer) -> bool:
    """Return whether two layers lie at the same place; napari aligns layers at their last axes."""
    n = min(one.ndim, other.ndim)
    first, second = one.extent.world[:, -n:], other.extent.world[:, -n:]
    low, high = np.maximum(first[0], second[0]), np.minimum(first[1], second[1])
    # Along an axis of one plane a layer has no extent: to touch is all that it can.
    flat = (first[1] - first[0] <= _TOUCHING) | (second[1] - second[0] <= _TOUCHING)
    return bool((high - low > np.where(flat, -_TOUCHING, _TOUCHING)).all())
