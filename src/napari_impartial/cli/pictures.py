"""Pictures of images and results, as RGB arrays; no plotting library needed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from skimage.segmentation import find_boundaries

from napari_impartial.core.data.image import Image, normalize
from napari_impartial.core.instances.overlaps import find_overlaps
from napari_impartial.core.prediction.suggestions import Suggestion

Rgb = NDArray[np.uint8]
"""(Y, X, 3)."""

BACKGROUND_COLOUR = (64, 156, 255)
FOREGROUND_COLOURS = ((255, 158, 27), (240, 80, 160), (120, 220, 90), (250, 235, 80))
OUTLINE_COLOUR = (255, 235, 60)
TRUTH_COLOUR = (255, 255, 255)
# Found, made up and missed: told apart by colour-blind readers, too.
FOUND_COLOUR, FALSE_COLOUR, MISSED_COLOUR = (86, 180, 233), (230, 60, 20), (240, 228, 66)
BOX_COLOUR = (60, 225, 255)

# One tint a channel, bright ones first; added where channels overlap.
_TINTS = ((0, 0.45, 1), (0.1, 0.9, 0.2), (1, 0.1, 0.3), (0.8, 0.7, 0), (0.6, 0, 0.8), (0, 0.7, 0.7))
# Black over violet and orange to pale yellow, evenly rising in lightness: unsure places
# are the light ones for every reader, colour-blind or not.
_HEAT = ((0, 0, 4), (59, 15, 112), (140, 41, 129), (222, 73, 104), (254, 159, 109), (252, 253, 191))


def zoom_factor(shape: tuple[int, int], side: int = 800) -> int:
    """Whole factor that brings the longer side to about `side` pixels, at least 1."""
    return max(1, round(side / max(shape)))


def enlarge(picture: Rgb, factor: int) -> Rgb:
    """Enlarge a picture smoothly by a whole factor."""
    if factor == 1:
        return picture
    size = (picture.shape[1] * factor, picture.shape[0] * factor)
    return np.asarray(Pillow.fromarray(picture).resize(size, Pillow.Resampling.BICUBIC))


def _enlarge_labels(labels: NDArray[np.integer], factor: int) -> NDArray[np.integer]:
    return np.asarray(labels.repeat(factor, axis=0).repeat(factor, axis=1))


def composite(image: Image) -> Rgb:
    """Show all channels in one picture.

    Colour images appear as they are, one channel in grey, several in a tint each.
    """
    if image.channel_names == ("red", "green", "blue"):
        top = 255.0 if image.channels.max() > 1 else 1.0
        return _to_bytes(np.moveaxis(image.channels, 0, -1) / top)
    channels = np.clip(normalize(image, 1.0, 99.7), 0, 1)
    if len(channels) == 1:
        return _to_bytes(np.repeat(channels[0][..., None], 3, axis=2))
    picture = np.zeros((*image.shape, 3), dtype=np.float32)
    for index, channel in enumerate(channels):
        picture += channel[..., None] * np.asarray(_TINTS[index % len(_TINTS)], dtype=np.float32)
    return _to_bytes(picture)


def heatmap(values: NDArray[np.floating]) -> Rgb:
    """Colour values from 0 (black) to 1 (pale yellow)."""
    stops = np.linspace(0, 1, len(_HEAT))
    clean = np.clip(np.nan_to_num(values), 0, 1)
    channels = [np.interp(clean, stops, [c[i] for c in _HEAT]) for i in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def grey(values: NDArray[np.floating]) -> Rgb:
    """Show values from 0 (black) to 1 (white)."""
    return _to_bytes(np.repeat(np.nan_to_num(values)[..., None], 3, axis=2))


def with_scribbles(picture: Rgb, labels: NDArray[np.integer], factor: int) -> Rgb:
    """Enlarge and paint scribbles over a picture, which is dimmed a little below them."""
    out = (enlarge(picture, factor) * 0.8).astype(np.uint8)
    big = _enlarge_labels(labels, factor)
    for label in range(1, int(labels.max(initial=0)) + 1):
        colours = (BACKGROUND_COLOUR, *FOREGROUND_COLOURS)
        out[big == label] = colours[min(label, len(colours)) - 1]
    return out


def with_outlines(
    picture: Rgb,
    labels: NDArray[np.integer],
    factor: int,
    colour: tuple[int, int, int] = OUTLINE_COLOUR,
) -> Rgb:
    """Enlarge and draw thin outlines round the cells."""
    out = enlarge(picture, factor).copy()
    _draw_outlines(out, labels, factor, colour)
    return out


def _draw_outlines(
    out: Rgb, labels: NDArray[np.integer], factor: int, colour: tuple[int, int, int]
) -> None:
    """Draw outlines into a picture that is enlarged already."""
    big = _enlarge_labels(labels, factor)
    # one pixel of an enlarged picture would be lost where a browser shrinks it again
    mode = "inner" if factor == 1 else "thick"
    out[find_boundaries(big, mode=mode)] = colour


def with_errors(
    picture: Rgb, truth: NDArray[np.integer], labels: NDArray[np.integer], factor: int
) -> Rgb:
    """Enlarge, dim and draw what was found and what was not.

    Blue outlines are predicted cells that match a true one at IoU 0.5, red ones predicted
    cells that match none, and yellow ones true cells that were missed.
    """
    overlaps = find_overlaps(truth, labels)
    found = overlaps.iou >= 0.5
    right = np.isin(labels, overlaps.pred_ids[overlaps.cols[found]])
    missed = ~np.isin(truth, overlaps.true_ids[overlaps.rows[found]])
    out = (enlarge(picture, factor) * 0.7).astype(np.uint8)
    for cells, colour in (
        (np.where(missed, truth, 0), MISSED_COLOUR),
        (np.where(right, 0, labels), FALSE_COLOUR),
        (np.where(right, labels, 0), FOUND_COLOUR),
    ):
        _draw_outlines(out, cells, factor, colour)
    return out


def crop_round(labels: NDArray[np.integer], side: int) -> tuple[slice, slice]:
    """Return the square of at most `side` pixels that holds the most labelled pixels."""
    size = [min(side, length) for length in labels.shape]
    # sums over all windows of that size, from cumulative sums
    total = np.pad((labels > 0).astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    height, width = size
    inside = (
        total[height:, width:]
        - total[:-height, width:]
        - total[height:, :-width]
        + total[:-height, :-width]
    )
    y, x = (int(i) for i in np.unravel_index(int(inside.argmax()), inside.shape))
    return slice(y, y + height), slice(x, x + width)


def with_suggestions(picture: Rgb, suggestions: Sequence[Suggestion], factor: int) -> Rgb:
    """Enlarge and draw numbered boxes round the suggested places."""
    canvas = Pillow.fromarray(enlarge(picture, factor))
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=max(12, canvas.width // 34))
    for suggestion in suggestions:
        y0, x0, y1, x1 = (factor * edge for edge in suggestion.box)
        # dark round light: visible on the black and on the pale end of the heatmap
        draw.rectangle((x0 - 1, y0 - 1, x1, y1), outline=(0, 0, 0), width=5)
        draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=BOX_COLOUR, width=3)
        text = str(suggestion.rank)
        left, top, right, bottom = draw.textbbox((x0 + 5, y0 + 2), text, font=font)
        draw.rectangle((left - 3, top - 2, right + 3, bottom + 2), fill=(0, 0, 0))
        draw.text((x0 + 5, y0 + 2), text, fill=(255, 255, 255), font=font)
    return np.asarray(canvas)


def _to_bytes(values: NDArray[np.floating]) -> Rgb:
    """Turn 0 to 1 into 0 to 255; what lies outside is cut."""
    return (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
