"""Fields that are taken out of slides, and the layers of a slide's results.

A slide is an image whose planes are too large to be worked on whole. A field of it is an
ordinary image layer that lies in its place on the slide.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import napari
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Layer

from napari_impartial.core.data.boxes import Box
from napari_impartial.session.plane import PlaneIndex

from .camera import in_middle
from .grid import placement
from .image_source import Source, levels_of, names_of_channels, pixels_of

FIELD = "napari_impartial_field"
"""Key in the metadata of layers that are fields."""
FIELD_PX = 1024
"""Side of a field."""

# Cells are 20 px wide at this pixel size, which is what the first weights know best.
_BEST_UM = 0.5
_UM = {"angstrom": 1e-4, "nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3}
_LOOK = ("contrast_limits", "colormap", "gamma", "opacity", "blending")


@dataclass(frozen=True)
class Level:
    """A resolution of a slide.

    Attributes
    ----------
    shape : (int, int)
        Rows and columns.
    factor : (float, float)
        Height and width of its pixels in those of the finest level.
    pixel_um : float or None
        Height of its pixels in µm, if known.
    """

    shape: tuple[int, int]
    factor: tuple[float, float]
    pixel_um: float | None


@dataclass(frozen=True)
class Field:
    """Description of a field, kept in its layers' metadata.

    Attributes
    ----------
    slide : str
        Name of the slide's layer.
    number : int
    level : int
    box : Box
        In pixels of the level.
    factor : (float, float)
        As of :class:`Level`.
    plane : PlaneIndex
        Of a stack.
    """

    slide: str
    number: int
    level: int
    box: Box
    factor: tuple[float, float]
    plane: PlaneIndex = ()

    @property
    def whole_box(self) -> tuple[float, float, float, float]:
        """The box in pixels of the finest level."""
        (y0, x0, y1, x1), (fy, fx) = self.box, self.factor
        return y0 * fy, x0 * fx, y1 * fy, x1 * fx

    def holds(self, box: Sequence[float]) -> bool:
        """Return whether a box, in pixels of the finest level, lies inside of the field."""
        y0, x0, y1, x1 = self.whole_box
        return y0 <= box[0] and x0 <= box[1] and box[2] <= y1 and box[3] <= x1

    def inside(self, box: Sequence[float]) -> tuple[slice, slice]:
        """Return rows and columns of the field that a box of the finest level covers."""
        (y0, x0, y1, x1), (fy, fx) = self.box, self.factor
        rows, cols = (
            slice(
                min(max(math.floor(start / f) - first, 0), last - first),
                min(max(math.ceil(stop / f) - first, 0), last - first),
            )
            for start, stop, f, first, last in (
                (box[0], box[2], fy, y0, y1),
                (box[1], box[3], fx, x0, x1),
            )
        )
        return rows, cols


def field_of(layer: Layer) -> Field | None:
    """Return the field that a layer shows; None where it shows none."""
    kept = layer.metadata.get(FIELD)
    try:
        y0, x0, y1, x1 = (int(v) for v in kept["box"])
        fy, fx = (float(v) for v in kept["factor"])
        return Field(
            str(kept["slide"]),
            int(kept["number"]),
            int(kept["level"]),
            (y0, x0, y1, x1),
            (fy, fx),
            tuple(int(i) for i in kept.get("plane", ())),
        )
    except (TypeError, KeyError, ValueError):
        return None


def levels(source: Source, pixel_um: float | None = None) -> list[Level]:
    """Return the resolutions of a slide, the finest first.

    Parameters
    ----------
    source
    pixel_um
        Size of a pixel of the finest where its layer does not say.
    """
    finest = pixel_um if (own := _pixel_um(source)) is None else own
    height, width = source.plane_shape
    found = []
    for array in levels_of(source.primary):
        h, w = (int(array.shape[source.axes.index(a)]) for a in "YX")
        factor = _factor(height, h), _factor(width, w)
        found.append(Level((h, w), factor, None if finest is None else finest * factor[0]))
    return found


def level_of(source: Source, number: int) -> Level:
    """Return a resolution of a slide by its number; the coarsest where it has too few."""
    found = levels(source)
    return found[min(number, len(found) - 1)]


def usual_level(choice: Sequence[Level]) -> int:
    """Return the resolution at which cells are most likely as large as the network knows them."""
    sizes = [level.pixel_um for level in choice]
    known = [(abs(math.log(size / _BEST_UM)), i) for i, size in enumerate(sizes) if size]
    return min(known)[1] if known else 0


def box_at(level: Level, y: float, x: float) -> Box:
    """Return a field round a place, given in pixels of the finest level; moved to lie inside."""
    starts, ends, side = [], [], FIELD_PX
    for middle, factor, length in zip((y, x), level.factor, level.shape, strict=True):
        start = round((middle + 0.5) / factor - side / 2)
        start = max(min(start, length - side), 0)
        starts.append(start)
        ends.append(min(start + side, length))
    return starts[0], starts[1], ends[0], ends[1]


def middle_of_view(viewer: napari.Viewer, source: Source) -> tuple[float, float]:
    """Return the row and column of a slide that the viewer looks at the middle of."""
    place = in_middle(viewer, source)
    height, width = source.plane_shape
    y, x = (float(place[source.axes.index(a)]) for a in "YX")
    return min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)


def read(source: Source, plane: PlaneIndex, level: int, box: Box) -> list[npt.NDArray[Any]]:
    """Copy a field out of each layer of a slide; may be called on a thread."""
    y0, x0, y1, x1 = box
    area = slice(y0, y1), slice(x0, x1)
    flat = source.axes.replace("C", "")
    parts = [pixels_of(source.primary, source.axes, plane, None, level, area)]
    parts += [pixels_of(one, flat, plane, None, level, area) for one in source.layers[1:]]
    return parts


def make(
    source: Source, plane: PlaneIndex, field: Field, parts: Sequence[npt.NDArray[Any]]
) -> Source:
    """Return a field as an image whose layers are yet to be added to the viewer."""
    made = []
    names = list(names_of_channels(source.primary, source.axes))
    for channel, name in zip(source.channels, source.channel_names, strict=False):
        names[channel] = name
    axes = "".join(letter for letter in source.axes if letter not in "TZ")
    slide = source.plane_name(plane) if source.n_planes > 1 else source.name
    for number, (layer, pixels) in enumerate(zip(source.layers, parts, strict=True)):
        letters = axes if number == 0 else axes.replace("C", "")
        own = names if number == 0 else [str(layer.name)]
        name = slide if number == 0 else str(layer.name)
        spatial = letters[:-1] if layer.rgb else letters
        all_axes = source.axes if number == 0 else source.axes.replace("C", "")
        look = {} if layer.rgb else {key: getattr(layer, key) for key in _LOOK}
        made.append(
            ImageLayer(
                pixels,
                name=f"{name} [field {field.number}]",
                rgb=bool(layer.rgb),
                axis_labels=tuple(spatial.lower()),
                metadata={FIELD: asdict(field), "channel_names": own},
                **placement(layer, all_axes, spatial, field.factor, field.box[:2]),
                **look,
            )
        )
    channel_names = source.channel_names if len(made) > 1 else ()
    return Source(tuple(made), axes, source.channels, channel_names)


def fields_of(slide: str, sources: Iterable[Source]) -> list[tuple[Source, Field]]:
    """Return the fields of a slide among some images."""
    found = [(source, field_of(source.primary)) for source in sources]
    return [(source, field) for source, field in found if field and field.slide == slide]


def belong_together(one: Source, other: Source) -> bool:
    """Return whether one of two images is a field of the other: both are shown at once."""
    for field, slide in ((one, other), (other, one)):
        known = field_of(field.primary)
        if known is not None and known.slide == slide.name and slide.is_slide:
            return True
    return False


def _factor(whole: int, part: int) -> float:
    """Return how many pixels one of a coarser level is as long as; levels are rounded."""
    near = round(whole / part)
    return float(near) if part in (whole // near, -(-whole // near)) else whole / part


def _pixel_um(source: Source) -> float | None:
    """Return the height of a pixel in µm, where the layer says it."""
    layer = source.primary
    place = source.axes.index("Y")
    unit = _UM.get(str(layer.units[place]))
    return None if unit is None else float(layer.scale[place]) * unit
