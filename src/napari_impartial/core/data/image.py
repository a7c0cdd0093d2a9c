"""Arrays of any axes and type become images: channels by rows by columns, float32."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_impartial.core.errors import ImPartialError, note

from .axes import check_axes, guess_axes

#: Channels with more pixels than this have their percentiles taken from a sample.
MOST_PIXELS_RANKED = 4_000_000
#: Percentiles of a channel that become 0 and 1.
LOW_PERCENTILE, HIGH_PERCENTILE = 1.0, 98.0
#: Intensities so many ranges away (hot pixels) are cut, lest one pixel floods the network.
NORMALIZED_LIMIT = 1000.0
#: So large is this sample.
SAMPLE_PIXELS = 1_000_000

# All planes of a volume hold on to this sample, of each channel.
_VOLUME_SAMPLE = 200_000

# float32 ends at 3e38; within these bounds differences and quotients stay inside it
_LARGEST, _SMALLEST = 1e30, 1e-30


@dataclass(frozen=True, eq=False)
class Image:
    """One plane with all its channels, as measured.

    :func:`from_array` makes one of any array.

    Attributes
    ----------
    channels
        (C, Y, X) float32, raw intensities, each finite or NaN.
    channel_names
        C distinct names.
    name
        What to call the image; results take their names from it.
    pixel_size
        Height and width of a pixel in `pixel_unit`, or None if unknown. Nothing is
        computed from it; results carry it on.
    pixel_unit
        For instance "µm"; may be empty.
    sample
        (C, N) float32, values of the volume that the plane is of, which intensities are scaled by;
        None: by its own. See :func:`with_samples`.
    """

    channels: NDArray[np.float32]
    channel_names: tuple[str, ...]
    name: str = "image"
    pixel_size: tuple[float, float] | None = None
    pixel_unit: str = ""
    sample: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.channels, np.ndarray) or np.ma.isMaskedArray(self.channels):
            raise ImPartialError(
                f"The channels of an image are an array, not a {type(self.channels).__name__}; "
                "make it with from_array."
            )
        if self.channels.ndim != 3 or self.channels.size == 0:
            raise ImPartialError(
                f"An image needs channels, rows and columns; its shape is {self.channels.shape}."
            )
        if self.channels.dtype != np.float32:
            raise ImPartialError(
                f"The intensities of an image are float32, not {self.channels.dtype}; make it with "
                "from_array."
            )
        if len(self.channel_names) != self.channels.shape[0]:
            raise ImPartialError(
                f"{self.name} has {self.channels.shape[0]} channels but "
                f"{len(self.channel_names)} channel names."
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.channels.shape[1], self.channels.shape[2]

    @property
    def n_channels(self) -> int:
        """Number of channels, C."""
        return self.channels.shape[0]

    def select(self, names_or_indices: Iterable[str | int]) -> Image:
        """Return an image of the given channels, in the given order.

        Parameters
        ----------
        names_or_indices
            Names, or positions from 0. A name is tried first, so that a channel that
            is called "2" can be asked for; text that is no name may be a position.

        Raises
        ------
        ImPartialError
            If a channel does not exist, is asked for twice, or none is asked for.
        """
        indices = [self._index(key) for key in names_or_indices]
        if not indices:
            raise ImPartialError(f"No channel of {self.name} is selected; choose at least one.")
        if len(set(indices)) < len(indices):
            raise ImPartialError(f"A channel of {self.name} is selected twice.")
        return Image(
            self.channels[indices],
            tuple(self.channel_names[i] for i in indices),
            self.name,
            self.pixel_size,
            self.pixel_unit,
            None if self.sample is None else self.sample[indices],
        )

    def _index(self, key: str | int) -> int:
        """Return the position of a channel given by name or position."""
        if isinstance(key, str):
            if key in self.channel_names:
                return self.channel_names.index(key)
            position = int(key) if key.isdecimal() else -1
        else:
            position = int(key)
        if not 0 <= position < self.n_channels:
            raise ImPartialError(
                f"{self.name} has no channel {key!r}; it has {', '.join(self.channel_names)}."
            )
        return position


def planes(
    array: Any,
    axes: str | None = None,
    channel_names: Sequence[str] | None = None,
    name: str = "image",
    pixel_size: tuple[float, float] | None = None,
    pixel_unit: str = "",
    colour: bool = False,
) -> list[Image]:
    """Cut an array into images, one for each time point and slice.

    Parameters
    ----------
    array
        Two to five axes; bool, integer or real, 1 x 1 pixels or more. Lazy arrays (dask,
        zarr) are read plane by plane. What a mask of NumPy hides becomes NaN.
    axes
        Letters of ``TZCYX``, one an axis; None has them guessed (:func:`guess_axes`).
    channel_names
        One a channel. By default "channel 1" and so on; "red", "green" and "blue" for the first
        three if `colour`. Names that occur twice are numbered.
    name
        Name of the image; "[z=3]" is added where there are several planes.
    pixel_size, pixel_unit
        Passed on.
    colour
        Whether the channels are red, green and blue, as far as is known; further ones are kept.

    Returns
    -------
    list of Image
        Copies, ordered by time point, then slice. Infinities become NaN. Intensities
        far outside the range of float32 are scaled into it, which normalization undoes.

    Raises
    ------
    ImPartialError
        If the array is empty, complex or not numeric, or does not match the axes or names.
    """
    if not hasattr(array, "ndim") or not hasattr(array, "dtype"):
        array = _as_array(array, name)
    _check_dtype(array.dtype, name)
    shape = tuple(int(n) for n in array.shape)
    if 0 in shape:
        raise ImPartialError(f"{name} is empty: its shape is {shape}.")
    letters = guess_axes(shape, array.dtype) if axes is None else check_axes(axes, len(shape))
    stacked = [letter for letter in letters if letter in "TZ"]
    found: list[NDArray[np.float32]] = []
    full_names: list[str] = []
    coarse = False
    for position in itertools.product(*(range(shape[letters.index(s)]) for s in stacked)):
        at = dict(zip(stacked, position, strict=True))
        index = tuple(at.get(letter, slice(None)) for letter in letters)
        plane = _channels_first(_without_mask(array[index]), letters)
        where = [f"{s.lower()}={at[s]}" for s in stacked if shape[letters.index(s)] > 1]
        found.append(to_float32(plane))
        coarse = coarse or any(map(_is_coarse, plane))
        full_names.append(f"{name} [{', '.join(where)}]" if where else name)
    if coarse:
        note(
            f"The intensities of {name} are so large for their range that single precision tells "
            "few of them apart; subtract what they have in common before they are opened."
        )
    names = _names_of_channels(len(found[0]), colour, channel_names, name)
    images = [
        Image(plane, names, full, pixel_size, pixel_unit)
        for plane, full in zip(found, full_names, strict=True)
    ]
    # whatever the order of the axes, all slices of a time point come together
    if stacked == ["Z", "T"]:
        n_z, n_t = (shape[letters.index(s)] for s in stacked)
        images = [images[z * n_t + t] for t in range(n_t) for z in range(n_z)]
    return images


def from_array(
    array: Any,
    axes: str | None = None,
    channel_names: Sequence[str] | None = None,
    name: str = "image",
    pixel_size: tuple[float, float] | None = None,
    pixel_unit: str = "",
    colour: bool = False,
) -> Image:
    """Turn an array of a single plane into an image (see :func:`planes`).

    Raises
    ------
    ImPartialError
        As :func:`planes`, and if there is more than one plane.
    """
    images = planes(array, axes, channel_names, name, pixel_size, pixel_unit, colour)
    if len(images) > 1:
        raise ImPartialError(
            f"{name} is a stack of {len(images)} planes; choose one, or say which axis holds "
            "the channels."
        )
    return images[0]


def _without_mask(plane: Any) -> NDArray[Any]:
    """Return an array in which values that a mask hides are NaN."""
    if not np.ma.is_masked(plane):
        return np.asarray(plane)
    real = plane if plane.dtype.kind == "f" else plane.astype(np.float64)
    return np.asarray(real.filled(np.nan))


def _is_coarse(channel: NDArray[Any]) -> bool:
    """Return whether float32 has fewer than a thousand values in the range of a channel."""
    if channel.dtype.itemsize <= (4 if channel.dtype.kind == "f" else 2):
        return False
    low, high = (float(of.reduce(channel, axis=None)) for of in (np.fmin, np.fmax))
    largest = max(abs(low), abs(high))
    if not _SMALLEST <= largest <= _LARGEST:
        return False  # scaled, and not just cut
    return bool(0 < high - low < 1000 * np.spacing(np.float32(largest)))


def to_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """Copy a (C, Y, X) array to float32 with every value finite or NaN.

    A channel that lies mostly outside 1e-30 to 1e30 is scaled by a power of ten, since
    float32 could not hold it or its normalization; single values outside are cut.
    """
    if values.dtype.kind != "f":
        return np.array(values, dtype=np.float32, order="C")
    with np.errstate(over="ignore"):
        out = np.array(values, dtype=np.float32, order="C")
    for channel, source in zip(out, values, strict=True):
        largest = _largest(source)
        if largest > _LARGEST or 0 < largest < _SMALLEST:
            channel[...] = _tame(source)
    return out


def normalize(
    image: Image,
    low_percentile: float = LOW_PERCENTILE,
    high_percentile: float = HIGH_PERCENTILE,
) -> NDArray[np.float32]:
    """Scale each channel so that its two percentiles become 0 and 1.

    Values beyond the percentiles are kept, not clipped to 0 and 1; only what lies more
    than 1000 ranges away is cut there. A channel of which the percentiles coincide
    though it is not constant (a marker in few cells) is scaled by the percentiles of the
    values that differ.

    Parameters
    ----------
    image
        What to normalize; unchanged.
    low_percentile, high_percentile
        0 <= low < high <= 100.

    Returns
    -------
    ndarray
        (C, Y, X) float32, finite: NaN and constant channels become 0.

    Raises
    ------
    ImPartialError
        If the percentiles are out of order.
    """
    if not 0 <= low_percentile < high_percentile <= 100:
        raise ImPartialError(
            f"Percentiles {low_percentile:g} and {high_percentile:g} are out of order; "
            "they need 0 <= low < high <= 100."
        )
    return scale(
        image.channels,
        [
            intensity_range(channel, low_percentile, high_percentile)
            for channel in (image.channels if image.sample is None else image.sample)
        ],
    )


def with_samples(volume: Sequence[Image]) -> list[Image]:
    """Return the planes of a volume so that all are scaled alike.

    Plane by plane, what is dim becomes bright where there is nothing else: haze of what lies above
    or below, and noise.
    """
    size = volume[0].channels[0].size
    picked = picked_of_plane(size, len(volume))
    sample = np.concatenate(
        [image.channels.reshape(image.n_channels, -1)[:, picked] for image in volume], axis=1
    )
    return [replace(image, sample=sample) for image in volume]


def picked_of_plane(size: int, n_planes: int) -> NDArray[np.int64]:
    """Return which of so many pixels of each plane stand for it among others, ascending.

    Always the same, so that results can be repeated.
    """
    count = min(size, max(_VOLUME_SAMPLE // n_planes, 1000))
    if count == size:
        return np.arange(size)
    return np.sort(np.random.default_rng(0).integers(size, size=count))


def check_content(image: Image) -> tuple[str, ...]:
    """Refuse an image in which nothing can be seen.

    Returns
    -------
    tuple of str
        Names of its channels that hold one value only, or none.

    Raises
    ------
    ImPartialError
        If all channels do.
    """
    flat = []
    for name, channel in zip(image.channel_names, image.channels, strict=True):
        low, high = np.fmin.reduce(channel, axis=None), np.fmax.reduce(channel, axis=None)
        if not high > low:
            flat.append((name, float(low)))
    if len(flat) == image.n_channels:
        values = "no number at all" if all(np.isnan(v) for _, v in flat) else "one value everywhere"
        raise ImPartialError(f"{image.name} holds {values}; there is nothing to see in it.")
    return tuple(name for name, _ in flat)


def _as_array(values: Any, name: str) -> NDArray[Any]:
    """Turn nested sequences into an array, or say that they are no image."""
    try:
        return np.asarray(values)
    except ValueError:
        raise ImPartialError(f"{name} is not an array: its rows differ in length.") from None


def _check_dtype(dtype: Any, name: str) -> None:
    """Refuse what has no intensities."""
    kind = np.dtype(dtype).kind
    if kind == "c":
        raise ImPartialError(
            f"{name} holds complex numbers; take their magnitude or real part first."
        )
    if kind not in "biuf":
        raise ImPartialError(f"{name} holds {np.dtype(dtype)} and not numbers.")


def _channels_first(plane: NDArray[Any], letters: str) -> NDArray[Any]:
    """Order the axes of one plane as (C, Y, X)."""
    kept = [letter for letter in letters if letter in "CYX"]
    if "C" not in kept:
        plane, kept = plane[np.newaxis], ["C", *kept]
    return plane.transpose([kept.index(letter) for letter in "CYX"])


def _names_of_channels(
    count: int, colour: bool, given: Sequence[str] | None, name: str
) -> tuple[str, ...]:
    """Name the channels."""
    if given is not None:
        if len(given) != count:
            raise ImPartialError(
                f"{name} has {count} channels but {len(given)} channel names are given."
            )
        return distinct_names(given)
    kinds = ("red", "green", "blue") if colour and count >= 3 else ()
    return (*kinds, *(f"channel {i + 1}" for i in range(len(kinds), count)))


def distinct_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names with repeated ones numbered and blank ones filled in."""
    taken: list[str] = []
    for position, given in enumerate(names):
        base = str(given).strip() or f"channel {position + 1}"
        unique, count = base, 1
        while unique in taken:
            count += 1
            unique = f"{base} ({count})"
        taken.append(unique)
    return tuple(taken)


def _largest(values: NDArray[Any]) -> float:
    """Return the largest magnitude, NaN left aside: infinite if any is, NaN if all are."""
    return float(max(np.fmax.reduce(values, axis=None), -np.fmin.reduce(values, axis=None)))


def _tame(values: NDArray[Any]) -> NDArray[np.float32]:
    """Bring one channel into the range of float32; infinities become NaN."""
    tamed = np.array(values, dtype=np.float64)
    tamed[~np.isfinite(tamed)] = np.nan
    finite = np.abs(tamed[np.isfinite(tamed)])
    finite = finite[finite > 0]
    if finite.size:
        typical = float(np.median(finite))
        if not _SMALLEST <= typical <= _LARGEST:
            # in two steps, since the scale itself may lie outside of float64
            exponent = -int(np.floor(np.log10(typical)))
            tamed *= 10.0 ** (exponent // 2)
            tamed *= 10.0 ** (exponent - exponent // 2)
        np.clip(tamed, -_LARGEST, _LARGEST, out=tamed)
    return tamed.astype(np.float32)


def intensity_range(
    channel: NDArray[np.float32], low: float = LOW_PERCENTILE, high: float = HIGH_PERCENTILE
) -> tuple[float, float]:
    """Return the intensities of a (Y, X) channel that :func:`normalize` makes 0 and 1.

    Two percentiles of its finite values; equal where the channel is constant, NaN where
    it holds no number.
    """
    values = channel.reshape(-1)
    if values.size > MOST_PIXELS_RANKED:
        # always the same sample, so that results can be repeated; random, because a
        # regular grid could fall in step with a mosaic's seams
        picked = np.random.default_rng(0).integers(values.size, size=SAMPLE_PIXELS)
        bottom, top = percentiles(values[picked], low, high)
        if top > bottom:
            return bottom, top
    return percentiles(values, low, high)


def scale(
    channels: NDArray[np.float32], ranges: Sequence[tuple[float, float]]
) -> NDArray[np.float32]:
    """Scale (C, Y, X) intensities so that those of `ranges` become 0 and 1 (:func:`normalize`)."""
    out = np.empty(channels.shape, dtype=np.float32)
    for channel, target, (low, high) in zip(channels, out, ranges, strict=True):
        if not high > low:
            target[...] = 0
            continue
        # float32 arithmetic on the difference from `low` keeps the memory at one copy
        with np.errstate(over="ignore", invalid="ignore"):
            np.subtract(channel, np.float32(low), out=target)
            np.multiply(target, np.float32(1.0 / (high - low)), out=target)
        np.clip(target, -NORMALIZED_LIMIT, NORMALIZED_LIMIT, out=target)
        np.nan_to_num(target, copy=False, nan=0.0)
    return out


def halve(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of each block of 2 x 2 px of (..., Y, X); an odd last row or column is doubled first."""
    even = padded_to(maps, 2, "edge")
    total = even[..., ::2, ::2] + even[..., 1::2, ::2]
    total += even[..., ::2, 1::2]
    total += even[..., 1::2, 1::2]
    total *= np.float32(0.25)
    return np.asarray(total)


def padded_to(
    maps: NDArray[np.float32], multiple: int, mode: Literal["edge", "symmetric"]
) -> NDArray[np.float32]:
    """Lengthen rows and columns of (..., Y, X) to a multiple; what has one is not copied."""
    more = [(0, 0)] * (maps.ndim - 2) + [(0, -n % multiple) for n in maps.shape[-2:]]
    return np.pad(maps, more, mode=mode) if np.any(more) else maps


def percentiles(values: NDArray[np.float32], low: float, high: float) -> tuple[float, float]:
    """Return percentiles that differ unless all finite values are equal."""
    values = values[np.isfinite(values)]
    if values.size == 0:
        return np.nan, np.nan
    bottom, top = (float(v) for v in np.percentile(values, (low, high)))
    if not top > bottom:
        above, below = values[values > top], values[values < bottom]
        top = float(np.percentile(above, high)) if above.size else top
        bottom = float(np.percentile(below, low)) if below.size else bottom
    return bottom, top
