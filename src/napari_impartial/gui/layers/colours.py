"""Colours of objects."""

from __future__ import annotations

import numpy as np
from napari.utils.colormaps import CyclicLabelColormap, label_colormap

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
