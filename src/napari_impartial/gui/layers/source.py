"""What the user picked as the image: which layers, axes and channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import napari
import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Layer

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.images import Image, check_axes, from_array, guess_axes

PlaneIndex = tuple[int, ...]
"""Positions along the T and Z axes, in the order of the source's axes; () in 2D."""

OURS = "napari_impartial"
"""Key in the metadata of the layers that we make."""

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
    """

    layers: tuple[ImageLayer, ...]
    axes: str
    channels: tuple[int, ...]

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
        """Names of the channels in use."""
        own = names_of_channels(self.primary, self.axes)
        return (
            *(own[i] for i in self.channels),
            *(str(layer.name) for layer in self.layers[1:]),
        )

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Rows and columns."""
        shape = data_of(self.primary).shape
        return int(shape[self.axes.index("Y")]), int(shape[self.axes.index("X")])

    @property
    def stack_shape(self) -> tuple[int, ...]:
        """Lengths of the T and Z axes; () in 2D."""
        shape = data_of(self.primary).shape
        return tuple(int(shape[i]) for i in self.stack_axes)

    @property
    def stack_axes(self) -> tuple[int, ...]:
        """Positions of T and Z among the axes."""
        return tuple(i for i, letter in enumerate(self.axes) if letter in "TZ")

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
            If the layers do not fit together or hold no numbers.
        """
        own = self._read_layer(self.primary, self.axes, plane)
        image = own.select(self.channels)
        if len(self.layers) == 1:
            return image
        parts = [image.channels]
        axes = "".join(letter for letter in self.axes if letter != "C")
        for layer in self.layers[1:]:
            part = self._read_layer(layer, axes, plane)
            if part.shape != image.shape:
                raise ImPartialError(
                    f"Layer '{layer.name}' is {_size(part.shape)} pixels and '{self.name}' "
                    f"{_size(image.shape)}; channels of one image have to be of one size."
                )
            parts.append(part.channels)
        return Image(
            np.concatenate(parts),
            _distinct(self.channel_names),
            self.plane_name(plane),
            image.pixel_size,
            image.pixel_unit,
        )

    def _read_layer(self, layer: ImageLayer, axes: str, plane: PlaneIndex) -> Image:
        data = data_of(layer)
        axes = check_axes(axes, data.ndim)
        places = iter(plane)
        index = tuple(next(places) if letter in "TZ" else slice(None) for letter in axes)
        scale = dict(zip(_layer_axes(layer, axes), layer.scale, strict=False))
        units = dict(zip(_layer_axes(layer, axes), layer.units, strict=False))
        return from_array(
            np.asarray(data[index]),
            axes="".join(letter for letter in axes if letter not in "TZ"),
            channel_names=_distinct(names_of_channels(layer, axes)),
            name=self.plane_name(plane),
            pixel_size=(float(scale["Y"]), float(scale["X"])),
            pixel_unit=str(units["Y"]),
        )


def data_of(layer: ImageLayer) -> Any:
    """Return the layer's array, at full resolution where it has several."""
    return layer.data[0] if layer.multiscale else layer.data


def axes_of(layer: ImageLayer) -> str:
    """Return the axes that the layer names, or a guess from its shape."""
    shape = data_of(layer).shape
    labels = [_LETTERS.get(label.lower(), label.upper()) for label in layer.axis_labels]
    named = "".join(labels) + ("C" if layer.rgb else "")
    try:
        return check_axes(named, len(shape))
    except ImPartialError:
        pass
    if layer.rgb:
        # The guess is made without the colours: a stack of RGB slices is no "CYXC".
        return {2: "YX", 3: "ZYX", 4: "TZYX"}.get(len(shape) - 1, "YX") + "C"
    return guess_axes(shape, data_of(layer).dtype)


def names_of_channels(layer: ImageLayer, axes: str) -> tuple[str, ...]:
    """Return the names of all channels that a layer has."""
    if "C" not in axes:
        return (str(layer.name),)
    n = int(data_of(layer).shape[axes.index("C")])
    named = layer.metadata.get("channel_names")
    if named is not None and len(named) == n:
        return tuple(str(name) for name in named)
    if layer.rgb:
        # Alpha says where the picture is, not what it shows; it is dropped on reading.
        return ("red", "green", "blue")
    return tuple(f"channel {i}" for i in range(n))


def is_ours(layer: Layer) -> bool:
    """Whether we made this layer."""
    return OURS in layer.metadata


def image_layers(viewer: napari.Viewer) -> list[ImageLayer]:
    """Return the layers that can be an image to segment, in the order of the list."""
    return [
        layer for layer in viewer.layers if isinstance(layer, ImageLayer) and not is_ours(layer)
    ]


def companions(viewer: napari.Viewer, primary: ImageLayer, axes: str) -> list[ImageLayer]:
    """Return the layers on the same grid that could be further channels of `primary`."""
    shape = tuple(
        n for n, letter in zip(data_of(primary).shape, axes, strict=False) if letter != "C"
    )
    found = []
    for layer in image_layers(viewer):
        if layer is primary or layer.rgb or data_of(layer).shape != shape:
            continue
        if np.allclose(layer.scale[-2:], primary.scale[-2:]) and np.allclose(
            layer.translate[-2:], primary.translate[-2:]
        ):
            found.append(layer)
    return found


def preselected(primary: ImageLayer, others: list[ImageLayer]) -> list[ImageLayer]:
    """Return those of `others` that were opened together with `primary`.

    A file with several channels often becomes one layer a channel; such layers know
    that they come from the same file or sample.
    """
    origin = (primary.source.path, primary.source.sample)
    if origin == (None, None):
        return []
    return [layer for layer in others if (layer.source.path, layer.source.sample) == origin]


def _layer_axes(layer: ImageLayer, axes: str) -> str:
    """Axes that napari counts as dimensions: all but the colours of an RGB layer."""
    return axes[:-1] if layer.rgb else axes


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names, those that occur again with a number."""
    seen: list[str] = []
    for name in names:
        candidate, n = name, 2
        while candidate in seen:
            candidate, n = f"{name} {n}", n + 1
        seen.append(candidate)
    return tuple(seen)


def _size(shape: tuple[int, int]) -> str:
    return f"{shape[0]} x {shape[1]}"
