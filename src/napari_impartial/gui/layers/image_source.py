"""Image as the user picked it: layers, axes and channels."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Layer

from napari_impartial.core.data.channels import join_channels, select_channels
from napari_impartial.core.data.image import (
    Image,
    check_axes,
    distinct_names,
    from_array,
    guess_axes,
)
from napari_impartial.core.errors import ImPartialError
from napari_impartial.io import limits
from napari_impartial.session.plane import PlaneIndex
from napari_impartial.session.session import CHANNEL_ADVICE

OURS = "napari_impartial"
"""Key in the metadata of the layers that we make."""

# A slide is looked at in so many pixels at most, and where no resolution has as few, in a field.
_LOOK_PX, _LOOK_SIDE = 1 << 22, 1024

# What napari appends where a layer of that name is there already.
_COPY = re.compile(r" \[\d+\]$")

_LETTERS = {"channel": "C", "time": "T", "frame": "T", "depth": "Z", "plane": "Z"}


@dataclass(frozen=True)
class Source:
    """An image as it lies in the viewer: one layer with channels, or one layer a channel.

    Attributes
    ----------
    layers : tuple of Image layers
        The first names the image and gives the grid; further ones are channels more.
    axes : str
        Letters of the axes of the first layer's data, an RGB axis included.
    channels : tuple of int
        Channels of the first layer that are used; (0,) where it has no channel axis.
    names : tuple of str
        What the user calls the channels in use; () for the names that the layers give.
    """

    layers: tuple[ImageLayer, ...]
    axes: str
    channels: tuple[int, ...]
    names: tuple[str, ...] = ()

    @property
    def primary(self) -> ImageLayer:
        """The layer that the image is named after."""
        return self.layers[0]

    @property
    def name(self) -> str:
        """Name of the image, and in square brackets of its result layers."""
        return str(self.primary.name)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels in use, all different.

        They go into the model, which finds its channels in other images by them. The
        name of a lone layer without a channel axis is that of the image and not of a
        stain, so such a channel has none of its own.
        """
        if self.names:
            return distinct_names(self.names)
        own = names_of_channels(self.primary, self.axes)
        if len(self.layers) == 1 and "C" not in self.axes and not _named(self.primary, 1):
            return ("channel 1",)
        further = (channel_name(layer) for layer in self.layers[1:])
        return distinct_names([*(own[i] for i in self.channels), *further])

    @property
    def n_channels_of_file(self) -> int:
        """Number of channels that ImageJ sees in the image, used or not; colours are one."""
        if self.primary.rgb or "C" not in self.axes:
            return len(self.layers)
        return int(data_of(self.primary).shape[self.axes.index("C")]) + len(self.layers) - 1

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Rows and columns."""
        shape = data_of(self.primary).shape
        return int(shape[self.axes.index("Y")]), int(shape[self.axes.index("X")])

    @property
    def is_slide(self) -> bool:
        """Return whether its planes are too large to be worked on whole."""
        if not self.fits():
            return False
        height, width = self.plane_shape
        return height * width > limits.LARGE_PX

    @property
    def stack_shape(self) -> tuple[int, ...]:
        """Lengths of the T and Z axes; () in 2D."""
        shape = data_of(self.primary).shape
        return tuple(int(shape[i]) for i in self.stack_axes)

    @property
    def n_planes(self) -> int:
        """Number of planes of the stack; 1 in 2D."""
        return math.prod(self.stack_shape)

    @property
    def stack_axes(self) -> tuple[int, ...]:
        """Positions of T and Z among the axes."""
        return tuple(i for i, letter in enumerate(self.axes) if letter in "TZ")

    @property
    def stack(self) -> tuple[tuple[str, int], ...]:
        """Letter and length of the T and Z axes, in their order; () in 2D."""
        letters = (self.axes[i] for i in self.stack_axes)
        return tuple(zip(letters, self.stack_shape, strict=True))

    def has_plane(self, index: Sequence[int]) -> bool:
        """Return whether there is such a place along the T and Z axes."""
        lengths = self.stack_shape
        return len(index) == len(lengths) and all(
            0 <= i < n for i, n in zip(index, lengths, strict=True)
        )

    @property
    def pixel(self) -> tuple[tuple[float, float], str]:
        """Height and width of a pixel, and their unit."""
        return _pixel(self.primary, self.axes)

    @property
    def spacing(self) -> dict[str, float]:
        """Size of a step along Z, in the unit of `pixel`, and along T, in seconds, where known."""
        layer, axes = self.primary, _layer_axes(self.primary, self.axes)
        unit = dict(zip(axes, layer.units, strict=False))
        targets = {"T": "second", "Z": unit["Y"]}
        known = {}
        for axis, scale in zip(axes, layer.scale, strict=False):
            # A number of pixels is what napari says of an axis that nothing is known of.
            if axis in targets and str(unit[axis]) != "pixel":
                step = float(scale) * unit[axis]
                if step.is_compatible_with(targets[axis]):
                    known[axis] = float(step.to(targets[axis]).magnitude)
        return known

    def fits(self) -> bool:
        """Return whether the layers still have these axes and channels.

        Their data may be replaced.
        """
        shape = data_of(self.primary).shape
        n = int(shape[self.axes.index("C")]) if "C" in self.axes and len(shape) > 2 else 1
        return len(shape) == len(self.axes) and max(self.channels) < n

    def lost(self, present: Collection[Layer]) -> list[ImageLayer]:
        """Return the further layers that are not `present` or have other pixels by now."""
        return [
            layer
            for layer in self.layers[1:]
            if layer not in present or not _same_pixels(layer, self.primary, self.axes)
        ]

    def heir(self, present: Collection[Layer]) -> Source | None:
        """Return the image as led by the next layer, for when the first one is gone.

        None if there is none, or the first one held several channels: the others have no
        such axis.
        """
        left = [layer for layer in self.layers[1:] if layer not in self.lost(present)]
        if not left or "C" in self.axes:
            return None
        names = self.without([x for x in self.layers[1:] if x not in left]).names[1:]
        return replace(self, layers=tuple(left), channels=(0,), names=names)

    def without(self, layers: Collection[Layer]) -> Source:
        """Return the image without these of its further layers; names stay with their channels."""
        kept = tuple(layer for layer in self.layers[1:] if layer not in layers)
        named = zip((*self.channels, *self.layers[1:]), self.names, strict=False)
        names = tuple(name for channel, name in named if channel not in layers)
        return replace(self, layers=(self.primary, *kept), names=names)

    def plane_name(self, plane: PlaneIndex) -> str:
        """Name of one plane, such as ``embryo [z=3]``."""
        letters = [self.axes[i].lower() for i in self.stack_axes]
        places = ", ".join(f"{a}={n}" for a, n in zip(letters, plane, strict=True))
        return f"{self.name} [{places}]" if places else self.name

    def plane_in_view(self, viewer: napari.Viewer) -> PlaneIndex:
        """Return the plane that the viewer's sliders stand at."""
        if not self.stack_axes:
            return ()
        place = self.primary.world_to_data(viewer.dims.point)
        return tuple(
            int(np.clip(round(place[i]), 0, n - 1))
            for i, n in zip(self.stack_axes, self.stack_shape, strict=True)
        )

    def read(self, plane: PlaneIndex = ()) -> Image:
        """Copy one plane out of the layers.

        Raises
        ------
        ImPartialError
            If the layers do not fit together or hold no numbers, or it is a slide.
        """
        if self.is_slide:
            raise ImPartialError(
                f"'{self.name}' is too large to be read whole; take a field of it in step 1."
            )
        parts = [read_channels(self.primary, self.axes, plane, run) for run in _runs(self.channels)]
        axes = self.axes.replace("C", "")
        parts += [read_channels(layer, axes, plane, range(1)) for layer in self.layers[1:]]
        return replace(join_channels(parts, self.channel_names), name=self.plane_name(plane))


def read_named(source: Source, plane: PlaneIndex, channel_names: Iterable[str]) -> Image:
    """Copy the channels that a model was trained on out of the layers, in its order.

    Raises
    ------
    ImPartialError
        If one is not there, the layers do not fit together or hold no numbers.
    """
    want, name, other = tuple(channel_names), f"'{source.name}'", "the model was trained on"
    return select_channels(source.read(plane), want, name, other, CHANNEL_ADVICE)


def read_channels(layer: ImageLayer, axes: str, plane: PlaneIndex, channels: range) -> Image:
    """Copy neighbouring channels of one plane of one layer, and read nothing else of it.

    Raises
    ------
    ImPartialError
        If the axes do not fit the layer, or it holds no numbers.
    """
    return _as_image(layer, axes, channels, pixels_of(layer, axes, plane, channels))


def look_at_channels(layer: ImageLayer, axes: str, plane: PlaneIndex, channels: range) -> Image:
    """Copy neighbouring channels of one plane; of a slide, as coarse or little as looking needs.

    Raises
    ------
    ImPartialError
        As :func:`read_channels`.
    """
    if not Source((layer,), axes, (0,)).is_slide:
        return read_channels(layer, axes, plane, channels)
    sizes = [_rows_and_columns(array, axes) for array in levels_of(layer)]
    level = next((i for i, (h, w) in enumerate(sizes) if h * w <= _LOOK_PX), len(sizes) - 1)
    middle = tuple(
        slice(max(n - _LOOK_SIDE, 0) // 2, max(n - _LOOK_SIDE, 0) // 2 + _LOOK_SIDE)
        for n in sizes[level]
    )
    small = math.prod(sizes[level]) <= _LOOK_PX
    area = (slice(None), slice(None)) if small else (middle[0], middle[1])
    return _as_image(layer, axes, channels, pixels_of(layer, axes, plane, channels, level, area))


def pixels_of(
    layer: ImageLayer,
    axes: str,
    plane: PlaneIndex,
    channels: range | None = None,
    level: int = 0,
    area: tuple[slice, slice] = (slice(None), slice(None)),
) -> npt.NDArray[Any]:
    """Copy an area of one plane of a layer as its array has it, without the T and Z axes.

    Parameters
    ----------
    layer, axes, plane
    channels
        Neighbours; by default all.
    level
        Resolution, 0 the finest.
    area
        Rows and columns of the level.

    Raises
    ------
    ImPartialError
        If the axes do not fit the layer.
    """
    data = levels_of(layer)[level]
    axes = check_axes(axes, data.ndim)
    places = iter(plane)
    part = slice(None) if channels is None else slice(channels.start, channels.stop)
    kinds = {"C": part, "Y": area[0], "X": area[1]}
    index = tuple(next(places) if letter in "TZ" else kinds[letter] for letter in axes)
    return np.asarray(data[index])


def _as_image(layer: ImageLayer, axes: str, channels: range, pixels: npt.NDArray[Any]) -> Image:
    pixel_size, pixel_unit = _pixel(layer, axes)
    return from_array(
        pixels,
        axes="".join(letter for letter in axes if letter not in "TZ"),
        channel_names=[names_of_channels(layer, axes)[i] for i in channels],
        name=str(layer.name),
        pixel_size=pixel_size,
        pixel_unit=pixel_unit,
    )


def _rows_and_columns(array: Any, axes: str) -> tuple[int, int]:
    return int(array.shape[axes.index("Y")]), int(array.shape[axes.index("X")])


def _pixel(layer: ImageLayer, axes: str) -> tuple[tuple[float, float], str]:
    """Return height and width of a layer's pixel, and their unit as OME writes it."""
    scale = dict(zip(_layer_axes(layer, axes), layer.scale, strict=False))
    unit = dict(zip(_layer_axes(layer, axes), layer.units, strict=False))["Y"]
    # Files have "µm" where napari says "micrometer", but "pixel" for pixels.
    short = "pixel" if str(unit) == "pixel" else f"{unit:~P}"
    return (float(scale["Y"]), float(scale["X"])), short


def data_of(layer: ImageLayer) -> Any:
    """Return the layer's array, at full resolution where it has several."""
    return layer.data[0] if layer.multiscale else layer.data


def levels_of(layer: ImageLayer) -> list[Any]:
    """Return the layer's arrays, the one of full resolution first."""
    return list(layer.data) if layer.multiscale else [layer.data]


def axes_of(layer: ImageLayer) -> str:
    """Return the axes that the layer names, or a guess from its shape."""
    named = _named_axes(layer)
    if named is not None:
        return named
    shape = data_of(layer).shape
    if layer.rgb:
        # The guess is made without the colours: a stack of RGB slices is no "CYXC".
        return {2: "YX", 3: "ZYX", 4: "TZYX"}.get(len(shape) - 1, "YX") + "C"
    return guess_axes(shape, data_of(layer).dtype)


def axes_are_guessed(layer: ImageLayer) -> bool:
    """Return whether nothing but its shape says what the layer's axes are, and it might mislead."""
    return data_of(layer).ndim - layer.rgb > 2 and _named_axes(layer) is None


def _named_axes(layer: ImageLayer) -> str | None:
    labels = [_LETTERS.get(label.lower(), label.upper()) for label in layer.axis_labels]
    try:
        return check_axes("".join(labels) + ("C" if layer.rgb else ""), data_of(layer).ndim)
    except ImPartialError:
        return None


def names_of_channels(layer: ImageLayer, axes: str) -> tuple[str, ...]:
    """Return the names of all channels that a layer has."""
    if "C" not in axes:
        return (_named(layer, 1) or (channel_name(layer),))[:1]
    n = int(data_of(layer).shape[axes.index("C")])
    if named := _named(layer, n):
        return named
    if layer.rgb and n >= 3:
        return ("red", "green", "blue", "opacity")[:n]
    return tuple(f"channel {i + 1}" for i in range(n))


def usual_channels(layer: ImageLayer, axes: str) -> tuple[int, ...]:
    """Return the channels that are used unless the user says otherwise: all but opacity."""
    names = names_of_channels(layer, axes)
    # Opacity says where the picture is, not what it shows; napari takes four stains for it too.
    return tuple(range(3 if layer.rgb and len(names) == 4 else len(names)))


def channel_name(layer: ImageLayer) -> str:
    """Return the name of a layer that is a channel, as the file or the user gave it."""
    return _COPY.sub("", str(layer.name)) or str(layer.name)


def _named(layer: ImageLayer, n: int) -> tuple[str, ...]:
    """Names of `n` channels that whoever made the layer has left with it; () if none."""
    named = layer.metadata.get("channel_names")
    if isinstance(named, (str, bytes)) or named is None or len(named) != n:
        return ()
    return tuple(str(name) for name in named)


def is_ours(layer: Layer) -> bool:
    """Return whether we made this layer."""
    return OURS in layer.metadata


def image_layers(viewer: napari.Viewer) -> list[ImageLayer]:
    """Return the layers that can be an image to segment, in the order of the list."""
    return [
        layer for layer in viewer.layers if isinstance(layer, ImageLayer) and not is_ours(layer)
    ]


def companions(
    viewer: napari.Viewer, primary: ImageLayer, axes: str, chosen: Collection[Layer] = ()
) -> list[ImageLayer]:
    """Return the layers that could be further channels of `primary`.

    These lie on its pixels; of those already `chosen` only as many pixels are asked. A
    scale or shift says where pixels are shown, and layers are scaled one by one.
    """
    found = []
    for layer in image_layers(viewer):
        if layer is primary or not _same_pixels(layer, primary, axes):
            continue
        if layer in chosen or (
            np.allclose(layer.scale[-2:], primary.scale[-2:])
            and np.allclose(layer.translate[-2:], primary.translate[-2:])
        ):
            found.append(layer)
    return found


def _same_pixels(layer: ImageLayer, primary: ImageLayer, axes: str) -> bool:
    """Return whether a layer has one value for each pixel of `primary`, which has these axes."""
    lengths = zip(data_of(primary).shape, axes, strict=False)
    shape = tuple(n for n, letter in lengths if letter != "C")
    return not layer.rgb and data_of(layer).shape == shape


def origin_of(layer: Layer) -> tuple[str | None, tuple[str, str] | None] | None:
    """Return the file or sample that a layer was opened from; None where it was by a script."""
    origin = (layer.source.path, layer.source.sample)
    return None if origin == (None, None) else origin


def preselected(primary: ImageLayer, others: list[ImageLayer]) -> list[ImageLayer]:
    """Return those of `others` that were opened together with `primary`.

    A file with several channels often becomes one layer a channel; such layers know
    that they come from the same file or sample.
    """
    origin = origin_of(primary)
    return [layer for layer in others if origin is not None and origin_of(layer) == origin]


def _layer_axes(layer: ImageLayer, axes: str) -> str:
    """Axes that napari counts as dimensions: all but the colours of an RGB layer."""
    return axes[:-1] if layer.rgb else axes


def _runs(channels: Iterable[int]) -> list[range]:
    """Group channels into runs of neighbours, in their order: each is read at one go."""
    runs: list[range] = []
    for channel in channels:
        if runs and runs[-1].stop == channel:
            runs[-1] = range(runs[-1].start, channel + 1)
        else:
            runs.append(range(channel, channel + 1))
    return runs
