"""Outlines of objects: in one colour that stands out, and as wide on the screen at any zoom."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Labels, Layer
from napari.utils.colormaps import CyclicLabelColormap, label_colormap

from napari_impartial.gui.layers.versions import camera_of
from napari_impartial.gui.timers import single_shot

from .camera import px_on_screen
from .image_source import Source
from .scribble_layers import COLOURS

AUTOMATIC, BY_OBJECT = "automatic", "one for each object"
PALETTE = {
    "yellow": "#ffe600",
    "cyan": "#00e5ff",
    "magenta": "#ff4dff",
    "green": "#39ff14",
    "orange": "#ff9100",
    "white": "#ffffff",
    "black": "#000000",
}
CHOICES = (AUTOMATIC, *PALETTE, BY_OBJECT)
"""What a user can choose."""

# On the screen; an image's pixel is the least there is, and thick outlines are slow to draw.
WIDTH_PX, _THICKEST = 2.0, 4
# Zooming is a burst of events.
_PAUSE_MS = 150
# Of an image's pixels, so many may come closer to a colour than the rest.
_CLOSEST_PERCENT = 10
# Relative luminance of red, green and blue (ITU-R BT.709), and the least that is seen as a thin
# line on a dark picture.
_LUMINANCE, _LEAST = np.array([0.2126, 0.7152, 0.0722]), 0.4


def object_colours() -> CyclicLabelColormap:
    """Return napari's colours of labels with the dark ones lighter, for outlines on dark ground."""
    usual = label_colormap()
    colours = np.array(usual.colors, dtype=np.float32)
    luminance = colours[:, :3] @ _LUMINANCE
    white = np.clip((_LEAST - luminance) / (1 - np.minimum(luminance, 0.99)), 0, 1)
    colours[:, :3] += white[:, None] * (1 - colours[:, :3])
    return CyclicLabelColormap(
        colors=colours, name="impartial objects", background_value=usual.background_value
    )


def stands_out(pixels: npt.ArrayLike) -> str:
    """Return the name of the colour of :data:`PALETTE` that is seen best on an image.

    Parameters
    ----------
    pixels : (N, 3) array
        Colours that the image has on the screen, red, green and blue from 0 to 1.
    """
    return max(PALETTE, key=lambda name: contrast(PALETTE[name], pixels))


def contrast(colour: str, pixels: npt.ArrayLike) -> float:
    """Return how far a colour is from an image's and from those of strokes, as the eye sees it.

    Parameters
    ----------
    colour
        As ``#rrggbb``.
    pixels
        As for :func:`stands_out`.

    Returns
    -------
    float
        Distance in CIELAB: about 2 is just seen, 100 is that of black and white. Nine in ten of
        the image's pixels are farther away, and all strokes.
    """
    own = _lab(_rgb([colour]))
    seen = _lab(np.asarray(pixels, dtype=float).reshape(-1, 3))
    distances = [
        np.linalg.norm(_lab(_rgb(list(COLOURS.values()))) - own, axis=1).min(initial=np.inf)
    ]
    if len(seen):
        distances.append(np.percentile(np.linalg.norm(seen - own, axis=1), _CLOSEST_PERCENT))
    return float(min(distances))


def seen_colours(layers: Sequence[Layer]) -> npt.NDArray[np.float64]:
    """Return the colours (N, 3) that image layers have on the screen, from 0 to 1.

    Read from napari's small pictures of the layers, which have their contrast and colormap:
    nothing has to be loaded. The first layer is the lowest.
    """
    picture: npt.NDArray[np.float64] | None = None
    for layer in layers:
        if not layer.visible:
            continue
        small = np.asarray(layer.thumbnail, dtype=float) / 255
        colour, cover = small[..., :3], small[..., 3:]
        if picture is None:
            picture = colour * cover
        elif str(layer.blending) == "additive":
            picture = picture + colour * cover * layer.opacity
        else:
            share = cover * layer.opacity
            picture = picture * (1 - share) + colour * share
    if picture is None:
        return np.zeros((0, 3))
    # Round what is not square, the small pictures are black.
    rows, columns = np.nonzero(picture.max(axis=2) > 0)
    if not len(rows):
        return np.zeros((1, 3))
    inside = picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return np.clip(inside.reshape(-1, 3), 0, 1)


class Outlines:
    """Gives the layers of objects their colour and width.

    What is set by hand in napari's controls of a layer is left alone.

    Parameters
    ----------
    viewer
        Of the layers.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self._choice = AUTOMATIC
        # The image of each layer, and the width that we gave it.
        self._layers: WeakKeyDictionary[Labels, Source] = WeakKeyDictionary()
        self._given: WeakKeyDictionary[Labels, int] = WeakKeyDictionary()
        self._soon = single_shot(None, _PAUSE_MS, self._fit_widths)
        camera_of(viewer).events.zoom.connect(self._on_zoom)

    def let_go(self) -> None:
        """Stop listening to the viewer; the dock is going."""
        # The program may be ending, and the timer gone with Qt.
        with suppress(RuntimeError):
            self._soon.stop()
        camera_of(self._viewer).events.zoom.disconnect(self._on_zoom)

    def add(self, layer: Labels, source: Source) -> None:
        """Take care of a new layer, which shows outlines if its contour is not 0."""
        self._layers[layer] = source
        if layer.contour:
            self._given[layer] = layer.contour
            self._fit(layer, source)
        self._colour(layer, source)

    def is_automatic(self, layer: Layer) -> bool:
        """Return whether the width of a layer's outlines is ours, and was not chosen by hand."""
        return isinstance(layer, Labels) and self._given.get(layer) == layer.contour

    def choose(self, choice: str) -> None:
        """Give all layers a colour."""
        if choice in CHOICES and choice != self._choice:
            self._choice = choice
            for layer, source in list(self._layers.items()):
                self._colour(layer, source)

    def _colour(self, layer: Labels, source: Source) -> None:
        # Filled, objects that touch can only be told apart by their colours.
        if self._choice == BY_OBJECT or not layer.contour:
            layer.colormap = object_colours()
            return
        name = self._choice
        if name == AUTOMATIC:
            name = stands_out(seen_colours(source.layers))
        clear, colour = (0.0, 0.0, 0.0, 0.0), (*_rgb([PALETTE[name]])[0], 1.0)
        layer.colormap = CyclicLabelColormap(
            colors=np.array([clear, colour], dtype=np.float32),
            name=f"impartial {name}",
            background_value=0,
        )

    def _on_zoom(self, _: Any = None) -> None:
        self._soon.start()

    def _fit_widths(self) -> None:
        for layer, source in list(self._layers.items()):
            if layer in self._given and layer in self._viewer.layers:
                self._fit(layer, source)

    def _fit(self, layer: Labels, source: Source) -> None:
        if layer.contour != self._given[layer]:
            del self._given[layer]  # chosen by hand
            return
        wanted = WIDTH_PX / (px_on_screen(self._viewer, source) * _coarser(layer, source))
        width = int(np.clip(round(wanted), 1, _THICKEST))
        if width != layer.contour:
            self._given[layer] = width
            layer.contour = width


def _coarser(layer: Labels, source: Source) -> float:
    """Return how many pixels of an image one that is shown of its objects is high."""
    if not layer.multiscale:
        return 1.0
    step = float(layer.scale[-2] / source.primary.scale[source.axes.index("Y")])
    return step * float(layer.downsample_factors[layer.data_level][-2])


def _rgb(colours: Sequence[str]) -> npt.NDArray[np.float64]:
    return np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours])


def _lab(rgb: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return CIELAB coordinates (N, 3) of sRGB colours, for white of D65."""
    from skimage.color import rgb2lab

    return np.asarray(rgb2lab(rgb))
