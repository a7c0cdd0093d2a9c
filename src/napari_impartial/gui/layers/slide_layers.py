"""Layers of the results of slides: read from disk as they are looked at, and never written to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from napari.utils.colormaps import Colormap

from napari_impartial.io.lazy import LazyArray
from napari_impartial.io.ome_zarr import open_labels
from napari_impartial.session.image_record import SlideResult

from .fields import Level
from .grid import placement
from .image_source import OURS, Source
from .outlines import Outlines
from .result_layers import selection_kept

_DONE = Colormap([[0.0, 0.0, 0.0, 0.0], [0.2, 0.9, 0.5, 0.35]], name="impartial done")


class SlideLayers:
    """Shows the objects of slides, and how far the prediction of one has come.

    The layers lie right above their slide, so that fields of it, with results of their own, stay
    in sight.
    """

    def __init__(self, viewer: napari.Viewer, outlines: Outlines) -> None:
        self._viewer = viewer
        self._outlines = outlines
        self._objects: dict[ImageLayer, Labels] = {}
        # What the layers show of what lies on disk, the finest level first.
        self._left: dict[ImageLayer, list[_Left]] = {}
        self._progress: dict[ImageLayer, ImageLayer] = {}

    def find(self, source: Source) -> Labels | None:
        """Return the layer of a slide's objects if it is in the viewer."""
        layer = self._objects.get(source.primary)
        return layer if layer is not None and layer in self._viewer.layers else None

    def show(self, source: Source, result: SlideResult, level: Level) -> Labels:
        """Show the objects of a slide.

        Raises
        ------
        ImPartialError
            If they cannot be read.
        """
        first = open_labels(result.store)
        coarser = (open_labels(result.store, i) for i in range(1, first.n_levels))
        pyramid = [_Left(one.array) for one in (first, *coarser)]
        kept = "".join(a for a in source.axes[: source.primary.ndim] if a in "TZYX")
        if len(kept) != pyramid[0].ndim:
            kept = "YX"
        layer = Labels(
            pyramid,
            name=f"instances [{source.name}]",
            multiscale=True,
            opacity=0.9,
            metadata={OURS: {"role": "objects of a slide"}},
            **placement(source.primary, source.axes, kept, level.factor),
        )
        self._left[source.primary] = pyramid
        layer.contour = 2
        self._outlines.add(layer, source)
        self._replace(self._objects, source, layer)
        return layer

    def hide(self, source: Source, labels: Sequence[int]) -> None:
        """Show all objects of a slide but for some; what lies on disk stays as it is."""
        layer = self.find(source)
        # The last entry stands for all labels that are larger.
        gone = np.zeros(max(labels, default=-1) + 2, dtype=bool)
        gone[list(labels)] = True
        for one in self._left.get(source.primary, ()):
            one.gone = gone
        if layer is not None:
            layer.refresh()

    def show_progress(
        self, source: Source, level: Level, done: npt.NDArray[np.bool_], block_px: int
    ) -> None:
        """Show which blocks of a slide are predicted."""
        layer = self._progress.get(source.primary)
        values = done.astype(np.uint8)
        if layer is not None and layer in self._viewer.layers:
            if not np.array_equal(layer.data, values):
                layer.data = values
            return
        factor = level.factor[0] * block_px, level.factor[1] * block_px
        layer = ImageLayer(
            values,
            name=f"done [{source.name}]",
            colormap=_DONE,
            contrast_limits=(0, 1),
            blending="translucent",
            metadata={OURS: {"role": "progress of a slide"}},
            **placement(source.primary, source.axes, "YX", factor),
        )
        self._replace(self._progress, source, layer)

    def end_progress(self, source: Source) -> None:
        """Show no more which blocks are predicted."""
        self._take_out(self._progress.pop(source.primary, None))

    def remove(self, source: Source) -> None:
        """Take all results of a slide out of the viewer."""
        self.end_progress(source)
        self._left.pop(source.primary, None)
        self._take_out(self._objects.pop(source.primary, None))

    def rename(self, source: Source, old_name: str) -> None:
        """Let the layers' names follow that of their slide, where they still had it."""
        for kind, layers in (("instances", self._objects), ("done", self._progress)):
            layer: Layer | None = layers.get(source.primary)
            if layer is not None and layer.name == f"{kind} [{old_name}]":
                layer.name = f"{kind} [{source.name}]"

    def _replace(self, known: dict[ImageLayer, Any], source: Source, layer: Layer) -> None:
        before = known.get(source.primary)
        known[source.primary] = layer
        self._take_out(before)
        layers = self._viewer.layers
        there = [layers.index(one) for one in source.layers if one in layers]
        with selection_kept(self._viewer):
            layers.insert(max(there, default=len(layers) - 1) + 1, layer)

    def _take_out(self, layer: Layer | None) -> None:
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)


class _Left:
    """Labels on disk but for some, read as they are looked at.

    napari asks for the part that is in view, and no more often than that changes: what dask would
    add takes longer than the reading.

    Attributes
    ----------
    gone : (N,) bool array
        Whether each of the first labels is left out; the last entry is False, and that of all
        others.
    """

    def __init__(self, stored: LazyArray) -> None:
        self._stored = stored
        self.shape, self.dtype = stored.shape, stored.dtype
        self.ndim, self.size, self.chunks = stored.ndim, stored.size, stored.chunks
        self.gone: npt.NDArray[np.bool_] = np.zeros(0, dtype=bool)

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        labels = self._stored[index]
        if len(self.gone):
            labels = np.where(self.gone.take(labels, mode="clip"), labels.dtype.type(0), labels)
        return labels

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[...], dtype=dtype)
