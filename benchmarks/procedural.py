"""Procedural images of many kinds, to pretrain on: nothing is taken from a real image.

Cells and nuclei of all sizes, crowded or alone, round or drawn out; one to eight channels,
stained in the nucleus, the membrane, the cytoplasm, in some cells only, or showing nothing
of the cells; fluorescence, absorption in three colours, bright outlines; blur, haze,
uneven light, noise with and without grain. Either the whole cells or the nuclei are what
is wanted, and scribbles say which.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from napari_impartial.core.data.image import Image, normalize
from napari_impartial.core.data.label_images import largest_pieces, numbered
from napari_impartial.core.data.mask_scribbles import simulate
from napari_impartial.core.data.synthetic_tissue import (
    SMALLEST_CELL_PX,
    Cells,
    debris,
    depth_inside,
    lay_out,
    smooth_noise,
)
from napari_impartial.core.network.warm_start import mix

Float = NDArray[np.float32]

_KINDS = ("nucleus", "membrane", "cytoplasm", "cell", "edges", "marker", "nuisance")
# Labels of scribbles.
_BACKGROUND, _FOREGROUND = 1, 2
_FEWEST_OBJECTS = 5
_LEAST_STROKES_PX = 5
# Shares of scenes in which cells abut without a gap, are rods, or have arms.
_CROWDED, _RODS, _BRANCHED = 0.2, 0.12, 0.08
_RODS_TRIED = 400


@dataclass(frozen=True, eq=False)
class Example:
    """What the network is shown, and what it shall say.

    Attributes
    ----------
    mixtures
        (MIXTURES, Y, X) float16, of the normalized channels.
    labels
        (Y, X) uint8: 2 inside objects, 1 outside and at the seam of touching objects.
    """

    mixtures: NDArray[np.float16]
    labels: NDArray[np.uint8]


def example(seed: int, size: int = 256) -> Example | None:
    """Make an example; None where chance left too few strokes to mix the channels by."""
    rng = np.random.default_rng(seed)
    return example_of(*picture(rng, size), rng)


def example_of(
    normalized: Float, truth: NDArray[np.int32], rng: np.random.Generator
) -> Example | None:
    """Mix a picture's channels by strokes that are drawn on it; None where these are too few."""
    mixtures = mixtures_of(normalized, truth, rng)
    return None if mixtures is None else Example(mixtures.astype(np.float16), _dense_labels(truth))


def mixtures_of(
    normalized: Float, truth: NDArray[np.int32], rng: np.random.Generator
) -> Float | None:
    """Return (MIXTURES, Y, X) of a picture's channels; None where strokes are too few."""
    strokes = simulate(truth, float(rng.choice([0.1, 0.2, 0.3])), rng)[0].labels
    if min((strokes == k).sum() for k in (_BACKGROUND, _FOREGROUND)) < _LEAST_STROKES_PX:
        return None
    mixing = mix([torch.from_numpy(normalized)], [torch.from_numpy(strokes)])
    return np.einsum("vc,cyx->vyx", mixing, normalized).astype(np.float32)


def _dense_labels(truth: NDArray[np.int32]) -> NDArray[np.uint8]:
    lowest = ndimage.minimum_filter(np.where(truth > 0, truth, np.iinfo(np.int32).max), 3)
    seam = (ndimage.maximum_filter(truth, 3) > truth) | (lowest < truth)
    return np.where((truth > 0) & ~seam, _FOREGROUND, _BACKGROUND).astype(np.uint8)


def picture(rng: np.random.Generator, size: int) -> tuple[Float, NDArray[np.int32]]:
    """Return normalized channels (C, Y, X) and the instances that are wanted."""
    while True:
        cells, spacing = _scene(rng, size)
        nuclei = rng.random() < 0.45
        truth = cells.truth
        if nuclei:
            inside = np.where(cells.nucleus > 0.5, cells.truth, 0)
            truth = _whole_cells(inside.astype(np.int32))
        if truth.max() >= _FEWEST_OBJECTS:
            break
    stains = [_stain(cells, kind, rng, spacing) for kind in _stains_shown(nuclei, rng)]
    if len(stains) == 3 and rng.random() < 0.6:
        stains = _absorption(stains, rng)
    elif rng.random() < 0.15:
        stains = [-stain for stain in stains]
    channels = np.stack([_expose(stain, spacing, rng) for stain in stains])
    names = tuple(str(number) for number in range(len(channels)))
    return normalize(Image(channels, names, "procedural")), truth


def _stains_shown(nuclei: bool, rng: np.random.Generator) -> list[str]:
    """Choose what each channel shows; the objects that are wanted can be seen in one."""
    n_channels = int(rng.choice([1, 1, 2, 2, 3, 3, 4, 6, 8]))
    kinds = ["nucleus"]
    if not nuclei:
        kinds = [str(rng.choice(["membrane", "cytoplasm", "cell", "cell"])), "nucleus"]
        if n_channels == 1:
            kinds = [str(rng.choice(["cell", "cell", "edges", "membrane", "cytoplasm"]))]
    while len(kinds) < n_channels:
        kinds.append(str(rng.choice(_KINDS)))
    return kinds


def _absorption(stains: list[Float], rng: np.random.Generator) -> list[Float]:
    """Light that three dyes leave in three colours."""
    absorbed = rng.uniform(0.1, 1, (3, 3)).astype(np.float32)
    return [
        np.exp(
            -rng.uniform(0.4, 1.2)
            * np.clip(sum(absorbed[i, j] * stains[j] for j in range(3)), 0, 4)
        ).astype(np.float32)
        for i in range(3)
    ]


def _scene(rng: np.random.Generator, size: int) -> tuple[Cells, float]:
    """Lay out cells of a random size and of one of four ways to lie."""
    spacing = float(np.exp(rng.uniform(np.log(9), np.log(80))))
    way = rng.random()
    if way < _CROWDED:
        return _crowded(size, max(spacing, 14.0), rng), spacing
    if way < _CROWDED + _RODS:
        width = float(np.exp(rng.uniform(np.log(5), np.log(16))))
        return _rods(size, width, rng), 3 * width
    if way < _CROWDED + _RODS + _BRANCHED:
        return _branched(size, rng), 30.0
    askew = rng.random() < 0.4
    field = 2 * size if askew else size
    occupied = float(rng.uniform(0.2, 0.95))
    cells = lay_out((field, field), spacing, rng, occupied)
    if askew:
        cells = _askew(cells, spacing, rng, size)
    if rng.random() < 0.2:
        cells = _thinned(cells, rng)
    return cells, spacing


def _crowded(size: int, spacing: float, rng: np.random.Generator) -> Cells:
    """Fill the field with cells that abut without a gap, areas spread about 1:13."""
    count = max(int((size / spacing) ** 2), 8)
    centre = rng.uniform(-0.1 * size, 1.1 * size, (count, 2))
    # A cell's weight is the logarithm of its reach: 3.6-fold reaches are 13-fold areas.
    reach = np.exp(rng.uniform(-0.64, 0.64, count))
    shape = (size, size)
    warp = 0.15 * spacing
    y, x = np.mgrid[:size, :size].astype(np.float32)
    y = y + warp * smooth_noise(shape, 0.8 * spacing, rng)
    x = x + warp * smooth_noise(shape, 0.8 * spacing, rng)
    nearest = np.full(shape, np.inf, np.float32)
    truth = np.zeros(shape, np.int32)
    for number in range(count):
        distance = np.hypot(y - centre[number, 0], x - centre[number, 1]) / reach[number]
        closer = distance < nearest
        nearest[closer] = distance[closer]
        truth[closer] = number + 1
    if rng.random() < 0.5:  # lumens, vessels
        truth[smooth_noise(shape, 1.5 * spacing, rng) > rng.uniform(0.8, 2.0)] = 0
    return _with_nuclei(_whole_cells(truth), rng)


def _rods(size: int, width: float, rng: np.random.Generator) -> Cells:
    """Strew rods, straight or a little bent, that touch but do not overlap."""
    truth = np.zeros((size, size), np.int32)
    wanted = rng.uniform(0.1, 0.7) * size * size
    aligned = rng.random() < 0.5
    main = rng.uniform(0, np.pi)
    covered, number = 0, 0
    for _ in range(_RODS_TRIED):
        if covered >= wanted:
            break
        length = width * rng.uniform(1.5, 8)
        angle = main + rng.normal(0, 0.25) if aligned else rng.uniform(0, np.pi)
        steps = max(int(length), 2)
        turn = rng.normal(0, 0.3) / steps
        angles = angle + turn * np.arange(steps)
        y = rng.uniform(0, size) + np.cumsum(np.sin(angles))
        x = rng.uniform(0, size) + np.cumsum(np.cos(angles))
        top, left = int(y.min() - width), int(x.min() - width)
        high, wide = int(np.ptp(y) + 2 * width) + 2, int(np.ptp(x) + 2 * width) + 2
        line = np.ones((high, wide), bool)
        line[(y - top).astype(int), (x - left).astype(int)] = False
        body = ndimage.distance_transform_edt(line) <= width / 2
        rows, cols = np.nonzero(body)
        rows, cols = rows + top, cols + left
        inside = (rows >= 0) & (rows < size) & (cols >= 0) & (cols < size)
        rows, cols = rows[inside], cols[inside]
        if len(rows) < width**2 or (truth[rows, cols] > 0).mean() > 0.03:
            continue
        free = truth[rows, cols] == 0
        number += 1
        truth[rows[free], cols[free]] = number
        covered += int(free.sum())
    return _with_nuclei(_whole_cells(truth), rng)


def _branched(size: int, rng: np.random.Generator) -> Cells:
    """Strew cells with processes: bodies from which thinning, winding arms grow."""
    truth = np.zeros((size, size), np.int32)
    distance = np.full((size, size), np.inf, np.float32)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    for number in range(1, int(rng.integers(5, 16)) + 1):
        centre = rng.uniform(0, size, 2)
        body = float(rng.uniform(4, 12))
        discs = [(*centre, body)]
        for _ in range(int(rng.integers(2, 7))):
            at, angle = centre.copy(), rng.uniform(0, 2 * np.pi)
            reach = float(rng.uniform(1.5, 6) * body)
            thick = body * float(rng.uniform(0.25, 0.6))
            for step in np.arange(0.0, reach, 1.5):
                angle += rng.normal(0, 0.15)
                at = at + 1.5 * np.array([np.sin(angle), np.cos(angle)])
                discs.append((*at, max(thick * (1 - 0.7 * step / reach), 1.2)))
        for cy, cx, radius in discs:
            rows = slice(max(int(cy - radius - 2), 0), max(int(cy + radius + 3), 0))
            cols = slice(max(int(cx - radius - 2), 0), max(int(cx + radius + 3), 0))
            rim = np.hypot(y[rows, cols] - cy, x[rows, cols] - cx) / radius
            closer = (rim <= 1) & (rim < distance[rows, cols])
            distance[rows, cols][closer] = rim[closer]
            truth[rows, cols][closer & (truth[rows, cols] == 0)] = number
    return _with_nuclei(_whole_cells(truth), rng)


def _whole_cells(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    return numbered(largest_pieces(labels, SMALLEST_CELL_PX))


def _with_nuclei(truth: NDArray[np.int32], rng: np.random.Generator) -> Cells:
    """Give cells a nucleus each, where they are deepest."""
    depth = depth_inside(truth)
    deepest = np.zeros(int(truth.max()) + 1, np.float32)
    np.maximum.at(deepest, truth.reshape(-1), depth.reshape(-1))
    share = depth / np.maximum(deepest[truth], 1)
    nucleus = np.clip((share - rng.uniform(0.3, 0.55)) * 4, 0, 1) * (truth > 0)
    return Cells(truth, depth, nucleus.astype(np.float32))


def _askew(cells: Cells, spacing: float, rng: np.random.Generator, size: int) -> Cells:
    """Look at a wider field askew: cells drawn out in some direction, bent a little."""
    middle = cells.truth.shape[0] / 2
    stretch = np.sqrt(float(rng.uniform(1.2, 3.0)))
    angle = rng.uniform(0, np.pi)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.diag([stretch, 1 / stretch])
    y, x = np.mgrid[:size, :size] - size / 2.0
    bend = rng.uniform(0, 0.25) * spacing
    y = y + bend * smooth_noise((size, size), 3 * spacing, rng)
    x = x + bend * smooth_noise((size, size), 3 * spacing, rng)
    at = np.tensordot(matrix, np.stack([y, x]), axes=1) + middle
    found = ndimage.map_coordinates(cells.truth, at, order=0, mode="reflect")
    nucleus = ndimage.map_coordinates(cells.nucleus, at, order=1, mode="reflect")
    truth = _whole_cells(found.astype(np.int32))
    return Cells(truth, depth_inside(truth), (nucleus * (truth > 0)).astype(np.float32))


def _thinned(cells: Cells, rng: np.random.Generator) -> Cells:
    """Leave out cells, so that others stand alone."""
    keep = rng.random(cells.count + 1) < rng.uniform(0.2, 0.8)
    keep[0] = False
    kept = keep[cells.truth]
    truth = numbered(np.where(kept, cells.truth, 0).astype(np.int32))
    if truth.max() < _FEWEST_OBJECTS:
        return cells
    return Cells(truth, cells.depth * kept, cells.nucleus * kept)


def _stain(cells: Cells, kind: str, rng: np.random.Generator, spacing: float) -> Float:
    """Return how strongly each pixel is stained; 1 is typical of a stained structure."""
    shape = cells.truth.shape
    inside = cells.truth > 0
    width = float(np.exp(rng.uniform(np.log(0.7), np.log(3))))
    membrane = np.exp(-((cells.depth / width) ** 2)) * inside
    if rng.random() < 0.3:
        membrane = np.exp(-(((cells.depth - width) / width) ** 2)) * inside
    cytoplasm = np.clip(cells.depth / float(rng.uniform(0.7, 4)), 0, 1)
    level = rng.lognormal(0, rng.uniform(0.1, 0.6), cells.count + 1).astype(np.float32)
    level[0] = 0
    texture = smooth_noise(shape, float(rng.uniform(1.2, 5)), rng)
    grain = np.clip(1 + rng.uniform(0, 0.5) * texture, 0, None)
    strength = rng.uniform(0, 0.5)
    patches = np.clip(1 + strength * smooth_noise(shape, float(rng.uniform(5, 20)), rng), 0.1, None)
    of_cell = level[cells.truth]
    nucleus = cells.nucleus
    if rng.random() < 0.3:  # nuclei brighter at the rim
        core = ndimage.gaussian_filter(nucleus, max(1, spacing * 0.08)) ** 2
        nucleus = nucleus * (1 - rng.uniform(0.2, 0.8) * core)
    if kind == "nucleus":
        signal = nucleus * of_cell * grain
    elif kind == "membrane":
        within = rng.uniform(0, 0.6) * cytoplasm * (1 - 0.5 * cells.nucleus)
        signal = of_cell * (membrane * patches + within)
    elif kind == "cytoplasm":
        signal = of_cell * cytoplasm * (1 - rng.uniform(0, 0.9) * cells.nucleus) * grain
    elif kind == "cell":
        both = rng.uniform(0.2, 0.8) * cytoplasm + rng.uniform(0.2, 0.8) * nucleus * grain
        signal = of_cell * both
    elif kind == "edges":
        signal = of_cell * (membrane * patches - rng.uniform(0.2, 1) * cytoplasm * grain)
    elif kind == "marker":
        positive = rng.random(cells.count + 1) < rng.uniform(0.15, 0.6)
        part = (membrane, cytoplasm, nucleus)[int(rng.integers(3))]
        signal = of_cell * positive[cells.truth] * part * patches
    else:
        wide = smooth_noise(shape, float(rng.uniform(5, 40)), rng)
        signal = 0.7 * np.clip(wide, 0, None) * patches
    return _with_distractors(signal.astype(np.float32), inside, rng)


def _with_distractors(signal: Float, inside: NDArray[np.bool_], rng: np.random.Generator) -> Float:
    """Add specks, and texture between the cells."""
    if rng.random() < 0.5:
        signal = signal + rng.uniform(0, 1) * debris(signal.shape, rng)
    if rng.random() < 0.5:
        texture = smooth_noise(signal.shape, float(rng.uniform(1.5, 25)), rng)
        signal = signal + rng.uniform(0, 0.4) * np.clip(texture, -1, None) * ~inside
    return np.asarray(signal, dtype=np.float32)


def _expose(stain: Float, spacing: float, rng: np.random.Generator) -> Float:
    """Return what a microscope and its camera make of a stain."""
    shape = stain.shape
    sharpness = float(np.exp(rng.uniform(np.log(0.5), np.log(2.5))))
    seen = ndimage.gaussian_filter(stain, sharpness)
    if rng.random() < 0.6:
        haze = rng.uniform(0, 0.5)
        seen = seen + haze * ndimage.gaussian_filter(seen, 0.5 * spacing, truncate=2.5)
    wide = max(shape) / 2.5
    light = rng.uniform(0, 0.25)
    light = np.clip(1 + light * smooth_noise(shape, wide, rng), 0.4, 1.8)
    seen = seen * light + rng.uniform(0, 0.3) * smooth_noise(shape, wide, rng)
    seen = seen / (float(np.percentile(seen, 99.5) - np.percentile(seen, 0.5)) + 1e-3)
    strength = float(np.exp(rng.uniform(np.log(0.005), np.log(0.25))))
    noise = rng.standard_normal(shape, dtype=np.float32)
    if rng.random() < 0.4:
        noise = ndimage.gaussian_filter(noise, float(rng.uniform(0.3, 1.2)))
        noise /= noise.std()
    seen = seen + noise * strength * np.sqrt(np.clip(seen - seen.min(), 0, None) * 0.8 + 0.1)
    if rng.random() < 0.2:
        seen = np.clip(seen, 0, 1) ** float(rng.uniform(0.5, 2))
    return np.asarray(seen, dtype=np.float32)
