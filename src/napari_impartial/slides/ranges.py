"""Intensities that become 0 and 1 in each channel of a plane, read part by part.

They are those of :func:`core.data.image.normalize`, from the same sample, without a channel ever
being in memory.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_impartial.core.data.image import (
    MOST_PIXELS_RANKED,
    SAMPLE_PIXELS,
    intensity_range,
    percentiles,
    picked_of_plane,
    to_float32,
)
from napari_impartial.core.network.model_card import read_card

from .engine import Engine
from .job import Job, source_of
from .kept import of_plane, write
from .source import Area, Source

# So much is read at once, but chunks are taken whole, up to so many times as much.
_PART_BYTES, _LARGEST_CHUNK = 32 << 20, 16

Ranges = tuple[tuple[float, float], ...]
Values = list[NDArray[np.float32]]
"""Values of each channel."""
Usual = Mapping[int, tuple[float, int]]
"""Channels of which all that differs from a value is wanted: the value, and of how many one."""
Collect = Callable[[Usual], Values]
"""Returns the sample of some planes, or what differs from the usual."""


def read_ranges(
    job: Job, planes: Sequence[int], engine: Engine, report: Callable[[float], None]
) -> None:
    """Find the intensities that become 0 and 1 in planes, and write them for the steps."""
    source = source_of(job)
    left = [plane for plane in planes if not of_plane(job, "ranges", plane, "json").exists()]
    alike = _alike(source, job.over_volume)
    if alike == 1 and source.shape[0] * source.shape[1] <= MOST_PIXELS_RANKED:
        engine.run(write_ranges, [(job, plane) for plane in left], report)
        return
    groups = sorted({plane // alike for plane in left})
    for number, group in enumerate(groups):
        some = range(group * alike, (group + 1) * alike)

        def collect(usual: Usual, some: Sequence[int] = some, number: int = number) -> Values:
            steps = [(job, p, part, usual) for p in some for part in range(len(parts_of(source)))]
            found = engine.run(read_part, steps, lambda done: report((number + done) / len(groups)))
            return _joined(found)

        text = json.dumps(_ranges(source, some, *read_card(job.model).normalization, collect))
        for plane in some:
            write(of_plane(job, "ranges", plane, "json"), text.encode())


def write_ranges(job: Job, plane: int) -> None:
    """Find them of a plane that fits into memory."""
    found = ranges(source_of(job), plane, *read_card(job.model).normalization)
    write(of_plane(job, "ranges", plane, "json"), json.dumps(found).encode())


def ranges(
    source: Source, plane: int, low: float, high: float, over_volume: bool = False
) -> Ranges:
    """Return the intensities that become 0 and 1, of each channel of a plane.

    Parameters
    ----------
    source : Source
    plane : int
    low, high : float
        Percentiles.
    over_volume : bool
        Take them of all slices of the plane's time point.
    """
    alike = _alike(source, over_volume)
    start = plane // alike * alike
    some = range(start, start + alike)

    def collect(usual: Usual) -> Values:
        parts = parts_of(source)
        return _joined([_values(source, p, part, usual, alike) for p in some for part in parts])

    return _ranges(source, some, low, high, collect)


def read_part(job: Job, plane: int, part: int, usual: Usual) -> Values:
    """Read what is wanted of a part of a plane."""
    source = source_of(job)
    area, alike = parts_of(source)[part], _alike(source, job.over_volume)
    return _values(source, plane, area, usual, alike)


def parts_of(source: Source) -> list[Area]:
    """Divide planes into parts to read, along the borders of the file's chunks."""
    array = source.parts[source.picks[0][0]].array
    chunk = dict(zip(source.letters, array.chunks, strict=True))
    height, width = source.shape
    together = chunk.get("C", 1) if source.letters.endswith("C") else 1
    most = max(1, _PART_BYTES // (array.dtype.itemsize * together))
    rows, cols = min(chunk["Y"], height), min(chunk["X"], width)
    if rows * cols > _LARGEST_CHUNK * most:
        rows, cols = max(1, most // width), width
    else:
        cols = min(max(1, most // (rows * cols)) * cols, width)
        rows = min(max(1, most // (rows * cols)) * rows, height)
    return [
        (slice(y, min(y + rows, height)), slice(x, min(x + cols, width)))
        for y in range(0, height, rows)
        for x in range(0, width, cols)
    ]


def _alike(source: Source, over_volume: bool) -> int:
    """Return how many planes that follow each other are scaled alike."""
    if not (over_volume and "Z" in source.stack_axes):
        return 1
    return source.stack_shape[source.stack_axes.index("Z")]


def _ranges(
    source: Source, planes: Sequence[int], low: float, high: float, collect: Collect
) -> Ranges:
    sample = collect({})
    if len(planes) > 1:
        return tuple(intensity_range(values, low, high) for values in sample)
    found = [percentiles(values, low, high) for values in sample]
    size = source.shape[0] * source.shape[1]
    usual: dict[int, tuple[float, int]] = {}
    for channel, (bottom, top) in enumerate(found):
        if size > MOST_PIXELS_RANKED and not top > bottom:
            # Nearly all of it is one value, and what differs decides: all of it, as of an image
            # in memory, unless that is a great deal.
            share = float(np.mean(sample[channel] != bottom))
            usual[channel] = bottom, max(1, math.ceil(share * size / MOST_PIXELS_RANKED))
    if usual:
        for channel, others in zip(usual, collect(usual), strict=True):
            same = usual[channel][0]
            above, below = others[others > same], others[others < same]
            found[channel] = (
                float(np.percentile(below, low)) if below.size else same,
                float(np.percentile(above, high)) if above.size else same,
            )
    return tuple(found)


def _picked(size: int, alike: int) -> NDArray[np.int64] | None:
    """Return which pixels of a plane its sample is of, ascending; None for all."""
    if alike > 1:
        return picked_of_plane(size, alike)
    return None if size <= MOST_PIXELS_RANKED else _sample(size, SAMPLE_PIXELS)


@lru_cache(maxsize=2)
def _sample(size: int, count: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(0).integers(size, size=count))


def _values(source: Source, plane: int, area: Area, usual: Usual, alike: int) -> Values:
    """Read what is wanted of an area: values of the sample, or what differs from the usual."""
    if usual:
        found = []
        for channel, values in zip(usual, _read(source, plane, area, list(usual)), strict=True):
            same, of = usual[channel]
            # A copy: a view would keep all that differs.
            found.append(values[(values != same) & np.isfinite(values)][::of].copy())
        return found
    channels = list(range(len(source.picks)))
    height, width = source.shape
    picked = _picked(height * width, alike)
    if picked is None:
        return _read(source, plane, area, channels)
    first, last = np.searchsorted(picked, (area[0].start * width, area[0].stop * width))
    rows, cols = np.divmod(picked[first:last], width)
    inside = (cols >= area[1].start) & (cols < area[1].stop)
    at = (rows[inside] - area[0].start) * (area[1].stop - area[1].start)
    return _read(source, plane, area, channels, at + cols[inside] - area[1].start)


def _read(
    source: Source,
    plane: int,
    area: Area,
    channels: list[int],
    at: NDArray[np.int64] | None = None,
) -> Values:
    """Read channels of an area, of each only some pixels."""
    if at is not None and not at.size:
        return [np.zeros(0, np.float32) for _ in channels]
    # Interleaved channels are read together in any case, others one after the other.
    together = source.letters.endswith("C")
    found: Values = []
    for some in [channels] if together else [[channel] for channel in channels]:
        for raw in source.read(plane, area, some):
            values = raw.reshape(-1)
            if at is not None and raw.dtype.kind != "f":
                values = values[at]
            read: NDArray[Any] = to_float32(values[None, None])[0, 0]
            found.append(read[at] if at is not None and raw.dtype.kind == "f" else read)
    return found


def _joined(parts: Sequence[Values]) -> Values:
    """Put the values of parts together, channel by channel."""
    return [np.concatenate(values) for values in zip(*parts, strict=True)]
