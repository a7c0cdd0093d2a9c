"""Matching of an image's channels with those of another image or of a model, by name.

The same rule serves the window and the command line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.words import count, shape_text

from .image import Image, distinct_names, intensity_range, normalize

# Names that readers give where the file has none; they say nothing about the stain.
_GENERIC = re.compile(r"channel \d+|red|green|blue", re.IGNORECASE)
_MOST_LISTED = 12

# A thumbnail is made of no more pixels than this a side: nothing smaller is seen in it.
_THUMBNAIL_FROM_PX = 512


@dataclass(frozen=True, eq=False)
class ChannelPreview:
    """Histogram and thumbnail of a channel after normalization.

    Attributes
    ----------
    low, high : float
        Intensities that become 0 and 1, in the image's own units; equal where the
        channel is constant, NaN where it holds no number.
    thumbnail : (H, W) uint8
        The normalized channel, 0 to 1 shown as 0 to 255, what lies beyond cut off.
    """

    low: float
    high: float
    thumbnail: NDArray[np.uint8]


def preview_channel(image: Image, size: tuple[int, int] = (24, 48)) -> ChannelPreview:
    """Show what normalization makes of an image's first channel.

    Parameters
    ----------
    image
        One channel is looked at.
    size
        Most rows and columns of the thumbnail.
    """
    channel = image.channels[0]
    low, high = intensity_range(channel)
    step = max(1, -(-max(channel.shape) // _THUMBNAIL_FROM_PX))
    small = channel[::step, ::step]
    if high > low:
        # As the whole channel is, and not as its thumbnail would be.
        scaled = np.nan_to_num((small - np.float32(low)) / np.float32(high - low))
    else:
        scaled = normalize(replace(image, channels=small[None], channel_names=("",)))[0]
    shrink = max(1, *(-(-n // most) for n, most in zip(small.shape, size, strict=True)))
    rows, columns = (max(1, n // shrink) for n in small.shape)
    scaled = scaled[: rows * shrink, : columns * shrink]
    blocks = scaled.reshape(rows, scaled.shape[0] // rows, columns, scaled.shape[1] // columns)
    return ChannelPreview(low, high, (np.clip(blocks.mean((1, 3)), 0, 1) * 255).astype(np.uint8))


def is_generic(names: Sequence[str]) -> bool:
    """Tell whether channel names are the reader's own and say nothing about the stain."""
    return all(_GENERIC.fullmatch(name.strip()) for name in names)


def find_channel(names: Sequence[str], name: str) -> int | None:
    """Return the position of the channel of a name, or None.

    Capital letters and space round it make no difference, unless one is called exactly so.
    """
    if name in names:
        return list(names).index(name)
    return next((i for i, one in enumerate(names) if _plain(one) == _plain(name)), None)


def match_channels(
    have: Sequence[str],
    want: Sequence[str],
    image: str,
    other: str,
    advice: str = "choose the same ones in the same order",
    by_name: bool = True,
) -> tuple[int, ...]:
    """Find the channels of one set in another.

    Where both have names of their own, they are found by name, whatever their order;
    capital letters and space round them make no difference. Names that a reader made up
    (``channel 1``, ``red``) name nothing: then they are taken in order, if there are as
    many.

    Parameters
    ----------
    have
        Names of the image's channels.
    want
        Names of those that are needed.
    image
        What to call the image.
    other
        The other side and its verb, such as ``the model was trained on``.
    advice
        What the user can do where they do not fit; the end of the message.
    by_name
        False where the user has picked them one by one: only their number is checked.

    Returns
    -------
    tuple of int
        For each of `want` its position in `have`.

    Raises
    ------
    ImPartialError
        If one is not there, or their numbers differ.
    """
    named = by_name and not (is_generic(want) or is_generic(have))
    if not named:
        if len(have) == len(want):
            return tuple(range(len(want)))
        raise ImPartialError(
            f"{image} has {count_channels(have)}, but {other} {count_channels(want)}; {advice}."
        )
    found = [find_channel(have, name) for name in want]
    missing = [name for name, place in zip(want, found, strict=True) if place is None]
    if missing:
        raise ImPartialError(
            f"{image} has no channel {_listed(missing, ' and ')}; it has {count_channels(have)}, "
            f"and {other} {count_channels(want)}; {advice}."
        )
    return tuple(place for place in found if place is not None)


def select_channels(image: Image, want: Sequence[str], name: str, other: str, advice: str) -> Image:
    """Return an image of the wanted channels, in their order (see :func:`match_channels`).

    The image itself where nothing changes: selecting copies.
    """
    places = match_channels(image.channel_names, want, name, other, advice)
    return image if places == tuple(range(image.n_channels)) else image.select(places)


def join_channels(images: Sequence[Image], channel_names: Sequence[str] | None = None) -> Image:
    """Put images of one field together as the channels of one image.

    Parameters
    ----------
    images
        One or more of the same size; the first gives name and pixel size.
    channel_names
        One for each channel of the result; by default the images' own, numbered anew if
        all of them are a reader's.

    Raises
    ------
    ImPartialError
        If their sizes differ, or there is not one name for each channel.
    """
    first = images[0]
    for image in images[1:]:
        if image.shape != first.shape:
            raise ImPartialError(
                f"'{image.name}' is {shape_text(image.shape)} pixels and '{first.name}' "
                f"{shape_text(first.shape)}; channels of one image have to be of one size."
            )
    names = [name for image in images for name in image.channel_names]
    if channel_names is not None:
        if len(channel_names) != len(names):
            raise ImPartialError(
                f"{first.name} has {count_channels(names)} but {len(channel_names)} channel "
                "names are given; give one for each."
            )
        names = list(channel_names)
    elif len(images) > 1 and is_generic(names):
        names = [f"channel {i + 1}" for i in range(len(names))]
    if len(images) == 1:
        return replace(first, channel_names=distinct_names(names))
    channels = np.concatenate([image.channels for image in images])
    return replace(first, channels=channels, channel_names=distinct_names(names))


def count_channels(names: Sequence[str]) -> str:
    """Count channels and name them, such as ``2 channels (DAPI, CD8)``."""
    return f"{count(len(names), 'channel')} ({_listed(names, ', ')})"


def _listed(names: Sequence[str], between: str) -> str:
    return between.join(names[:_MOST_LISTED]) + (", ..." if len(names) > _MOST_LISTED else "")


def _plain(name: str) -> str:
    return name.strip().casefold()
