"""Procedural multiplex tissue: images of which the truth is known to the pixel.

Nothing is taken from a real image. Crowded cells of varied size and shape touch each
other, empty regions lie between; nuclei are textured, membranes uneven, markers are
expressed by some of the cells; the background, the illumination, blur and noise are
those of a fluorescence microscope.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import find_boundaries

from napari_impartial.core.errors import ImPartialError

from .image import Image
from .label_images import largest_pieces, numbered
from .mask_scribbles import simulate
from .scribbles import Scribbles

Float = NDArray[np.float32]

_OCCUPIED = 0.72  # share of the sites that hold a cell
SMALLEST_CELL_PX = 12
_PHOTONS = 45.0  # of a typical stained pixel
_GAIN, _OFFSET, _READ_NOISE = 12.0, 100.0, 10.0  # counts a photon, counts, counts
_PATTERNS = ("membrane", "cytoplasm", "nucleus")


@dataclass(frozen=True, eq=False)
class Tissue:
    """An image with its truth.

    Attributes
    ----------
    image
        C channels, in counts of a camera.
    truth
        (Y, X) int32: 0 background, 1 ... N whole cells.
    """

    image: Image
    truth: NDArray[np.int32]

    def scribbles(self, fraction: float = 0.1, seed: int = 0) -> Scribbles:
        """Return simulated scribbles in the given share of the cells."""
        return simulate(self.truth, fraction, np.random.default_rng(seed))[0]


@dataclass(frozen=True, eq=False)
class Cells:
    """Masks of cells and nuclei.

    Attributes
    ----------
    truth
        (Y, X) int32, 1 ... N.
    depth
        (Y, X) float32, distance in px to the cell's own edge, 0 outside.
    nucleus
        (Y, X) float32, 0 to 1.
    """

    truth: NDArray[np.int32]
    depth: Float
    nucleus: Float

    @property
    def count(self) -> int:
        """Number of cells."""
        return int(self.truth.max())


def tissue(
    shape: tuple[int, int] = (256, 256),
    n_channels: int = 3,
    n_cells: int | None = None,
    seed: int = 0,
    cell_diameter_px: float = 22.0,
    noise: float = 1.0,
    name: str = "multiplex tissue",
) -> Tissue:
    """Generate a piece of tissue.

    Parameters
    ----------
    shape
        Rows and columns, 1 or more.
    n_channels
        1 or more. The first is "nucleus" and the second "membrane", which stains the
        cytoplasm weakly too; further ones are markers in part of the cells and, one in
        five, a "nuisance" that says nothing of the cells. A single channel shows
        nucleus and cytoplasm at once, since one has to see a cell to find it.
    n_cells
        About how many cells; sets their size. By default `cell_diameter_px` does.
    seed
        The same arguments give the same tissue.
    cell_diameter_px
        Mean distance of neighbouring cells, over 4.
    noise
        1 is a moderately short exposure; 0 is free of noise.
    name
        Name of the image.

    Raises
    ------
    ImPartialError
        If an argument is out of bounds.
    """
    height, width = shape
    if height < 1 or width < 1 or n_channels < 1:
        raise ImPartialError("Tissue needs at least one row, one column and one channel.")
    if n_cells is not None:
        if n_cells < 1:
            raise ImPartialError("Tissue needs at least one cell.")
        cell_diameter_px = _spacing_for(n_cells, height, width)
    if cell_diameter_px < 4 or not noise >= 0:
        raise ImPartialError("Cells need 4 px of diameter or more, and noise is not negative.")
    # Streams of their own, so that a further channel leaves the others as they are
    seeds = np.random.SeedSequence(seed).spawn(1 + n_channels)
    cells = lay_out((height, width), cell_diameter_px, np.random.default_rng(seeds[0]))
    channels = np.empty((n_channels, height, width), dtype=np.float32)
    names = _names(n_channels)
    for channel, kind, one in zip(channels, names, seeds[1:], strict=True):
        rng = np.random.default_rng(one)
        channel[...] = _expose(_stain(cells, kind, rng), cell_diameter_px, noise, rng)
    return Tissue(Image(channels, names, name), cells.truth)


def _spacing_for(n_cells: int, height: int, width: int) -> float:
    """Return the distance of cells at which about `n_cells` lie in the image."""
    # cells at the rim lie partly outside: n = occupied (h / s + rim) (w / s + rim)
    rim = 0.7
    a, b = n_cells / _OCCUPIED - rim**2, rim * (height + width)
    return float((b + np.sqrt(b**2 + 4 * a * height * width)) / (2 * a))


def _names(n_channels: int) -> tuple[str, ...]:
    """Name the channels after what they show."""
    if n_channels == 1:
        return ("cell",)
    names = ["nucleus", "membrane"]
    markers = nuisances = 0
    for position in range(2, n_channels):
        if position % 5 == 4:
            nuisances += 1
            names.append(f"nuisance {nuisances}")
        else:
            markers += 1
            names.append(f"marker {markers}")
    return tuple(names)


def lay_out(
    shape: tuple[int, int], spacing: float, rng: np.random.Generator, occupied: float = _OCCUPIED
) -> Cells:
    """Place cells as limited, elliptic Voronoi regions on a warped, jittered grid.

    `occupied` is the share of the grid's squares that hold a cell, 0 to 1.
    """
    rows, columns = (np.arange(n, dtype=np.float32) for n in shape)
    warp = 0.16 * spacing
    y = rows[:, None] + warp * smooth_noise(shape, 0.8 * spacing, rng)
    x = columns[None, :] + warp * smooth_noise(shape, 0.8 * spacing, rng)
    outline = 1 + 0.07 * smooth_noise(shape, 0.35 * spacing, rng)

    margin = 3
    high, wide = (int(np.ceil(n / spacing)) + 2 * margin for n in shape)
    grid = (high, wide)
    sites = _Sites.scatter(grid, margin, spacing, rng, occupied)
    row = np.floor(y / spacing).astype(np.int32) + margin
    column = np.floor(x / spacing).astype(np.int32) + margin
    nearest = np.full(shape, np.inf, dtype=np.float32)
    owner = np.zeros(shape, dtype=np.int32)
    # a cell reaches less than one and a quarter of the spacing, so that only the sites
    # of the neighbouring squares matter
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            site = np.clip(row + down, 0, grid[0] - 1) * grid[1]
            site += np.clip(column + right, 0, grid[1] - 1)
            distance = sites.distance(site, y, x) * outline
            closer = distance < nearest
            nearest[closer] = distance[closer]
            owner[closer] = site[closer]
    truth = largest_pieces(np.where(nearest < 1, owner + 1, 0), SMALLEST_CELL_PX)
    depth = depth_inside(truth)
    inner = sites.nucleus_distance(owner, y, x) * outline
    # soft over about a pixel, and within the cell
    nucleus = np.clip((1 - inner) * 0.25 * spacing + 0.5, 0, 1) * np.clip(depth - 0.8, 0, 1)
    return Cells(numbered(truth), depth, nucleus.astype(np.float32))


@dataclass(frozen=True, eq=False)
class _Sites:
    """Ellipses of cells and nuclei, one a square of the grid."""

    cell: Float  # (n, 6): centre y, x, then the 2 x 2 matrix into the unit circle
    nucleus: Float  # the same

    @classmethod
    def scatter(
        cls,
        grid: tuple[int, int],
        margin: int,
        spacing: float,
        rng: np.random.Generator,
        occupied: float,
    ) -> _Sites:
        """Draw sites; empty ones have an infinite distance to everything."""
        n = grid[0] * grid[1]
        square = np.indices(grid).reshape(2, n).T - margin + 0.5
        centre = (square + rng.uniform(-0.27, 0.27, (n, 2))) * spacing
        # sizes of neighbours differ up to threefold in area, with some lymphocytes between
        radius = spacing * rng.uniform(0.44, 0.66, n) * np.where(rng.random(n) < 0.2, 0.68, 1)
        angle, stretch = rng.uniform(0, np.pi, n), rng.uniform(1.0, 1.3, n)
        crowded = smooth_noise(grid, 3.0, rng).reshape(n) + 0.35 * rng.standard_normal(n)
        empty = crowded < np.quantile(crowded, 1 - occupied)
        cell = _ellipses(centre, radius, angle, stretch)
        cell[empty, 0] = np.inf
        shift = rng.uniform(-0.16, 0.16, (n, 2)) * radius[:, None]
        share = rng.uniform(0.45, 0.68, n)
        # the section misses some nuclei
        share[rng.random(n) < 0.04] = 0.02
        turned = angle + rng.normal(0, 0.3, n)
        core = _ellipses(centre + shift, radius * share, turned, stretch * 1.1)
        return cls(cell, core)

    def distance(self, site: NDArray[np.int32], y: Float, x: Float) -> Float:
        """Return distances from the sites' centres in units of the cell's radius."""
        return _elliptic(self.cell, site, y, x)

    def nucleus_distance(self, site: NDArray[np.int32], y: Float, x: Float) -> Float:
        """Return distances from the nuclei's centres in units of the nucleus's radius."""
        return _elliptic(self.nucleus, site, y, x)


def _ellipses(
    centre: NDArray[np.float64],
    radius: NDArray[np.float64],
    angle: NDArray[np.float64],
    stretch: NDArray[np.float64],
) -> Float:
    """Return (n, 6): centres, and matrices that map the ellipses to the unit circle."""
    cos, sin = np.cos(angle), np.sin(angle)
    long, short = 1 / (radius * stretch), stretch / radius
    columns = [centre[:, 0], centre[:, 1], cos * long, sin * long, -sin * short, cos * short]
    return np.stack(columns, axis=1).astype(np.float32)


def _elliptic(ellipses: Float, site: NDArray[np.int32], y: Float, x: Float) -> Float:
    """Return each pixel's distance to an ellipse's centre; 1 is its outline."""
    down = y - ellipses[:, 0][site]
    right = x - ellipses[:, 1][site]
    first = ellipses[:, 2][site] * down + ellipses[:, 3][site] * right
    second = ellipses[:, 4][site] * down + ellipses[:, 5][site] * right
    return np.asarray(np.hypot(first, second), dtype=np.float32)


def _stain(cells: Cells, kind: str, rng: np.random.Generator) -> Float:
    """Return how strongly each pixel is stained; 1 is typical of a stained structure."""
    shape = cells.truth.shape
    n = cells.count + 1
    membrane = np.exp(-((cells.depth / 1.6) ** 2)) * (cells.truth > 0)
    cytoplasm = np.clip(cells.depth, 0, 1)
    level = rng.lognormal(0, 0.35, n).astype(np.float32)
    level[0] = 0
    grain = np.clip(1 + 0.28 * smooth_noise(shape, 1.6, rng), 0, None)
    patches = np.clip(1 + 0.3 * smooth_noise(shape, 7, rng), 0.1, None)
    per_pixel = level[cells.truth]
    if kind == "nucleus":
        signal = cells.nucleus * per_pixel * grain
    elif kind == "membrane":
        signal = per_pixel * (membrane * patches + 0.35 * cytoplasm * (1 - 0.5 * cells.nucleus))
    elif kind == "cell":
        signal = per_pixel * (0.45 * cytoplasm + 0.55 * cells.nucleus * grain)
    elif kind.startswith("marker"):
        expressing = rng.random(n) < rng.uniform(0.15, 0.5)
        pattern = _PATTERNS[int(rng.integers(len(_PATTERNS)))]
        part = {"membrane": membrane, "cytoplasm": cytoplasm, "nucleus": cells.nucleus}[pattern]
        signal = per_pixel * expressing[cells.truth] * part * patches
    else:
        signal = 0.7 * np.clip(smooth_noise(shape, 30, rng), 0, None) * patches
    return np.asarray(signal + debris(shape, rng), dtype=np.float32)


def debris(shape: tuple[int, ...], rng: np.random.Generator) -> Float:
    """Return bright specks, one to about 3000 pixels."""
    specks = np.zeros(shape, dtype=np.float32)
    n = int(rng.poisson(shape[0] * shape[1] / 3000))
    at = rng.integers(shape[0], size=n), rng.integers(shape[1], size=n)
    specks[at] = rng.lognormal(1.6, 0.5, n)
    return np.asarray(ndimage.gaussian_filter(specks, 0.8), dtype=np.float32)


def _expose(stain: Float, spacing: float, noise: float, rng: np.random.Generator) -> Float:
    """Return camera counts: haze, background, illumination, blur and noise added."""
    shape = stain.shape
    sharp = ndimage.gaussian_filter(stain, 0.9)
    haze = ndimage.gaussian_filter(stain, 0.5 * spacing, truncate=2.5)
    wide = max(shape) / 2.5 + 1
    background = 0.22 * np.exp(0.45 * smooth_noise(shape, wide, rng))
    light = np.clip(1 + 0.16 * smooth_noise(shape, wide, rng), 0.5, 1.6)
    photons = _PHOTONS * light * (sharp + 0.25 * haze + background)
    counts = photons
    if noise > 0:
        # fewer photons are more noise; the gain brings the picture to the same brightness
        exposure = 1 / noise**2
        counts = rng.poisson(photons * exposure) / exposure
        counts = counts + rng.normal(0, noise * _READ_NOISE / _GAIN, shape)
    return np.asarray(np.clip(counts * _GAIN + _OFFSET, 0, None), dtype=np.float32)


def smooth_noise(shape: tuple[int, ...], scale: float, rng: np.random.Generator) -> Float:
    """Return noise of mean 0 and variance 1 that varies over `scale` pixels."""
    if scale < 4:
        noise = ndimage.gaussian_filter(
            rng.standard_normal(shape, dtype=np.float32), scale / 2, mode="wrap"
        )
        spread = float(noise.std())
        return noise / spread if spread > 0 else noise
    weights = [_weights(n, scale) for n in shape]
    coarse = rng.standard_normal([w.shape[1] for w in weights])
    # Not as a matrix product: that is summed in another order on other machines, and the
    # truth follows from these numbers.
    across = np.einsum("ij,kj->ik", coarse, weights[1])
    return np.asarray(np.einsum("ij,jk->ik", weights[0], across), dtype=np.float32)


def _weights(n: int, scale: float) -> NDArray[np.float64]:
    """Return (n, m) weights of m knots, `scale` apart; squares sum to 1 in each row."""
    knots = (np.arange(int(np.ceil(n / scale)) + 5) - 2) * scale
    distance = (np.arange(n)[:, None] - knots[None, :]) / scale
    weights = np.exp(-0.5 * (distance / 0.7) ** 2)
    return np.asarray(weights / np.sqrt((weights**2).sum(axis=1, keepdims=True)))


def depth_inside(truth: NDArray[np.int32]) -> Float:
    """Return each cell pixel's distance in px to the cell's own edge; 0 outside of cells."""
    edge = find_boundaries(truth, mode="inner")
    if not edge.any():
        return np.where(truth > 0, 9.0, 0.0).astype(np.float32)
    depth = ndimage.distance_transform_edt(~edge) + 0.5
    return np.where(truth > 0, depth, 0).astype(np.float32)
