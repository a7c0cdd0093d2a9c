"""Training patches: drawn round scribbles, augmented and held as tensors on the device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_impartial.core.config import TrainingConfig
from napari_impartial.core.data.scribbles import Scribbles

from .implied_labels import fill_closed

BoolMask = npt.NDArray[np.bool_]
Item = TypeVar("Item")

# Side of the blocks that are held out or not, and how many have to be annotated for any
# to be: of fewer, each is missed more than the check is worth. The published way of
# training ends by the held-out loss, and takes one block of ten.
_BLOCK_SIDE = 64
_MIN_BLOCKS, _MIN_BLOCKS_PAPER = 40, 10
_MAX_VALIDATION_PATCHES = 16
# Shares of the patches that are blurred and that get noise; range and grain of the noise.
_BLUR_SHARE = 0.25
_NOISE_SHARE = 0.5
_NOISE_DECADES = 2.0
_COARSEST_GRAIN_PX = 1.5


SEAM = -1
"""Label of pixels that are background since they part two cells, not since somebody said so."""


@dataclass(frozen=True)
class Patches:
    """A batch, or a part of one.

    Attributes
    ----------
    images : (B, C, P, P) float32
    labels : (B, P, P) int64
        0 not annotated, 1 background, 2 ... K foreground classes, :data:`SEAM`.
    batch_labels : (N, P, P) int64 or None
        Of the whole batch, where the loss balances classes over it.
    """

    images: Tensor
    labels: Tensor
    batch_labels: Tensor | None = None


def choose_held_out(
    labels: npt.NDArray[np.uint8],
    fraction: float,
    seed: int = 0,
    fewest_blocks: int = _MIN_BLOCKS,
) -> BoolMask:
    """Choose the regions whose scribbles are kept out of training.

    The image is cut into square blocks; a share of the annotated ones is held out, as
    long as each class keeps at least half of its pixels for training. Images with few
    annotated blocks hold nothing out: there, each stroke is worth more than the check.
    Blocks draw their lots by their place, so that from one round to the next the same are
    held out; but those of a round with too few to hold any out have been learned from.

    Parameters
    ----------
    labels : (Y, X) uint8
    fraction : float
        Wished share of the annotated blocks, 0 to 0.5.
    seed : int
        Decides which blocks.
    fewest_blocks : int
        Of fewer annotated blocks none is held out.

    Returns
    -------
    (Y, X) bool
        True inside held-out blocks.
    """
    held_out = np.zeros(labels.shape, dtype=bool)
    if fraction <= 0:
        return held_out
    side = _BLOCK_SIDE
    blocks = np.unique(np.argwhere(labels) // side, axis=0)
    if len(blocks) < fewest_blocks:
        return held_out
    available = np.bincount(labels.ravel(), minlength=256) // 2
    available[0] = labels.size
    # Each place draws its own lot: blocks annotated later change nothing for the others.
    lots = np.array([np.random.default_rng([seed, *block]).random() for block in blocks])
    order = lots.argsort()
    for by, bx in blocks[order[: max(int((lots < fraction).sum()), 1)]]:
        inside = (slice(by * side, (by + 1) * side), slice(bx * side, (bx + 1) * side))
        taken = np.bincount(labels[inside].ravel(), minlength=256)
        if (taken[1:] <= available[1:]).all():
            held_out[inside] = True
            available -= taken
    return held_out


class PatchSampler:
    """Draws augmented training patches and keeps the validation patches.

    Parameters
    ----------
    images : sequence of (C, Y, X) float32 tensors
        Normalized, on the device that patches are wanted on.
    scribbles : sequence of Scribbles
        One for each image; an image without any annotated pixel still lends patches to
        the reconstruction loss.
    config : TrainingConfig
        Patch and batch size, share of patches at scribbles, augmentation, held-out share.
    """

    def __init__(
        self, images: Sequence[Tensor], scribbles: Sequence[Scribbles], config: TrainingConfig
    ) -> None:
        self.config = config
        self.shapes: list[tuple[int, ...]] = []
        self.images: list[Tensor] = []
        self.held_out: list[BoolMask] = []
        self.set_scribbles(scribbles, images)

    def set_scribbles(self, scribbles: Sequence[Scribbles], images: Sequence[Tensor] = ()) -> None:
        """Take over new scribbles; the held-out regions stay where they were chosen.

        Parameters
        ----------
        scribbles : sequence of Scribbles
            One for each image, those of `images` last.
        images : sequence of (C, Y, X) float32 tensors
            Images that come after those that are there.
        """
        self._add(images, scribbles[len(self.images) :])
        self.train_labels: list[Tensor] = []
        self._validation_labels: list[Tensor] = []
        # Image and corner of each window that the held-out scribbles are judged in.
        self._validation_windows: list[tuple[int, int, int]] = []
        # For each class, where its pixels are: rows of (image, y, x).
        places: dict[int, list[npt.NDArray[np.int64]]] = {}
        for index, (drawn, held_out) in enumerate(zip(scribbles, self.held_out, strict=True)):
            labels = fill_closed(drawn.labels) if self.config.implied_labels else drawn.labels
            kept = np.where(held_out, 0, labels).astype(np.uint8)
            checked = np.where(held_out, labels, 0).astype(np.uint8)
            self.train_labels.append(self._on_device(kept, index))
            self._validation_labels.append(self._on_device(checked, index))
            corners = cover(checked, self.config.patch_size)
            self._validation_windows += [(index, y, x) for y, x in corners]
            # Rows for every pixel of many dense labels are a lot to keep for nothing.
            wanted = kept[kept > 0] if self.config.scribble_patch_fraction > 0 else kept[:0]
            for k in np.unique(wanted):
                yx = np.argwhere(kept == k)
                rows = np.column_stack([np.full(len(yx), index), yx])
                places.setdefault(int(k), []).append(rows)
        self._places = {k: np.concatenate(rows) for k, rows in places.items()}
        areas = np.array([y * x for y, x in self.shapes], dtype=np.float64)
        self._image_chance = areas / areas.sum()

    def set_seams(self, seams: Sequence[BoolMask]) -> None:
        """Take pixels that part cells for background, but where strokes are or are held out.

        No patch is drawn for the sake of them.

        Parameters
        ----------
        seams : sequence of (Y, X) bool
            Of the images, of the first ones at least; new scribbles forget them.
        """
        for index, (seam, held_out) in enumerate(zip(seams, self.held_out, strict=False)):
            labels = self.train_labels[index].short()
            labels = labels.masked_fill(labels == SEAM, 0)  # those of before
            free = self._on_device((seam & ~held_out).astype(np.uint8), index) > 0
            self.train_labels[index] = labels.masked_fill(free & (labels == 0), SEAM)

    def _add(self, images: Sequence[Tensor], scribbles: Sequence[Scribbles]) -> None:
        config = self.config
        self.shapes += [tuple(image.shape[-2:]) for image in images]
        # Small images are mirrored up to the patch size, with nothing annotated there.
        self.images += [_mirror_up(image, config.patch_size) for image in images]
        fewest = _MIN_BLOCKS_PAPER if config.schedule == "exponential" else _MIN_BLOCKS
        self.held_out += [
            choose_held_out(s.labels, config.validation_fraction, config.seed, fewest)
            for s in scribbles
        ]

    def sample(self, rng: np.random.Generator) -> Patches:
        """Draw one batch.

        A share of the patches has a random annotated pixel at a random place inside,
        each class equally often; the others lie anywhere. All are zoomed (some to half
        their size), flipped and turned at random, and their intensities, sharpness and
        noise varied: what the network may rely on is what a few strokes in one image share
        with the next image.
        """
        config = self.config
        images, labels = [], []
        for _ in range(config.batch_size):
            index, y, x, side = self._corner(round(config.patch_size / self._zoom(rng)), rng)
            turns, flip = int(rng.integers(4)), bool(rng.integers(2))
            window = (slice(y, y + side), slice(x, x + side))
            image = _resize(self.images[index][(slice(None), *window)], config.patch_size)
            label = _resample(self.train_labels[index][window], config.patch_size)
            images.append(_turn(image, turns, flip))
            labels.append(_turn(label, turns, flip))
        return Patches(self._jitter(torch.stack(images), rng), torch.stack(labels).long())

    def plain(self, count: int, rng: np.random.Generator) -> Tensor:
        """Draw (count, C, P, P) patches from where training looks, without augmentation."""
        size = self.config.patch_size
        images = []
        for _ in range(count):
            index, y, x, _ = self._corner(size, rng)
            images.append(self.images[index][:, y : y + size, x : x + size])
        return torch.stack(images)

    def validation(self) -> list[Patches]:
        """Return the held-out patches in batches, the same at each call; may be empty."""
        size = self.config.patch_size
        images, labels = [], []
        for index, y, x in spread(self._validation_windows, _MAX_VALIDATION_PATCHES):
            window = (slice(y, y + size), slice(x, x + size))
            images.append(self.images[index][(slice(None), *window)])
            labels.append(self._validation_labels[index][window])
        step = self.config.batch_size
        return [
            Patches(
                torch.stack(images[at : at + step]),
                torch.stack(labels[at : at + step]).long(),
            )
            for at in range(0, len(images), step)
        ]

    def _zoom(self, rng: np.random.Generator) -> float:
        """Choose how far a patch is enlarged."""
        config = self.config
        zoom = math.exp(config.zoom_jitter * float(rng.uniform(-1, 1)))
        return zoom / 2 if rng.random() < config.half_size_fraction else zoom

    def _corner(self, side: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """Choose an image, the upper left corner of a patch in it, and the side it can have."""
        if self._places and rng.random() < self.config.scribble_patch_fraction:
            classes = sorted(self._places)
            rows = self._places[classes[int(rng.integers(len(classes)))]]
            index, y, x = (int(v) for v in rows[int(rng.integers(len(rows)))])
            side = min(side, *self.images[index].shape[-2:])
            offset_y, offset_x = (int(v) for v in rng.integers(side, size=2))
            y, x = y - offset_y, x - offset_x
        else:
            index = int(rng.choice(len(self.images), p=self._image_chance))
            height, width = self.images[index].shape[-2:]
            side = min(side, height, width)
            y = int(rng.integers(height - side + 1))
            x = int(rng.integers(width - side + 1))
        height, width = self.images[index].shape[-2:]
        return index, min(max(y, 0), height - side), min(max(x, 0), width - side), side

    def _jitter(self, patches: Tensor, rng: np.random.Generator) -> Tensor:
        """Vary gain and offset of each channel, blur some patches and add noise to some."""
        config = self.config
        if config.intensity_jitter > 0:
            shape = (*patches.shape[:2], 1, 1)
            gain = np.exp(rng.normal(0.0, config.intensity_jitter, shape)).astype(np.float32)
            offset = rng.normal(0.0, config.intensity_jitter / 2, shape).astype(np.float32)
            gain_t, offset_t = (torch.from_numpy(a).to(patches.device) for a in (gain, offset))
            patches = patches * gain_t + offset_t
        for number in range(len(patches)):
            if rng.random() < _BLUR_SHARE:
                sigma = float(rng.uniform(0, config.blur_jitter_px))
                patches[number] = _blur(patches[number], sigma)
            if config.noise_jitter > 0 and rng.random() < _NOISE_SHARE:
                patches[number] += self._noise(patches[number], rng)
        return patches

    def _noise(self, patch: Tensor, rng: np.random.Generator) -> Tensor:
        """Draw noise of a random strength and grain for a patch (C, P, P).

        The strength is drawn evenly on a logarithmic scale: mostly far below what is seen
        by eye, so that faint structures stay, and now and then strong. Grain of several
        pixels is noise that optics or resampling has smeared.
        """
        strength = self.config.noise_jitter * math.exp(
            -_NOISE_DECADES * math.log(10) * float(rng.random())
        )
        noise = torch.from_numpy(rng.standard_normal(patch.shape, dtype=np.float32))
        rough = _blur(noise.to(patch.device), float(rng.uniform(0, _COARSEST_GRAIN_PX)))
        return rough * (strength / rough.std().clamp(min=1e-6))

    def _on_device(self, labels: npt.NDArray[np.uint8], index: int) -> Tensor:
        """Return labels as a tensor, filled up with 0 to the size of the mirrored image."""
        height, width = self.images[index].shape[-2:]
        padded = np.zeros((height, width), dtype=np.uint8)
        padded[: labels.shape[0], : labels.shape[1]] = labels
        return torch.from_numpy(padded).to(self.images[index].device)


def cover(labels: npt.NDArray[np.uint8], size: int) -> list[tuple[int, int]]:
    """Choose corners of `size` windows that together hold all annotated pixels.

    Windows are inside the image, or begin at its edge where it is smaller.
    """
    left = np.argwhere(labels)
    last = np.maximum(np.array(labels.shape) - size, 0)
    corners = []
    while len(left):
        corner = np.clip(left[0] - (size // 4, size // 2), 0, last)
        corners.append((int(corner[0]), int(corner[1])))
        outside = (left < corner) | (left >= corner + size)
        left = left[outside.any(axis=1)]
    return corners


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """Choose at most so many, evenly from the first to the last."""
    chosen = np.linspace(0, len(items) - 1, min(len(items), most))
    return [items[round(number)] for number in chosen]


def _resize(patch: Tensor, size: int) -> Tensor:
    """Scale a patch (C, S, S) to `size` bilinearly."""
    if patch.shape[-1] == size:
        return patch
    return F.interpolate(patch[None], size=(size, size), mode="bilinear", align_corners=False)[0]


def _resample(labels: Tensor, size: int) -> Tensor:
    """Scale labels (S, S) to `size` by picking the nearest."""
    side = labels.shape[-1]
    if side == size:
        return labels
    at = ((torch.arange(size, device=labels.device) + 0.5) * (side / size)).long()
    return labels[at[:, None], at]


def _blur(patch: Tensor, sigma: float) -> Tensor:
    """Smooth a patch (C, P, P) with a Gaussian of `sigma` pixels."""
    if sigma < 0.3:
        return patch
    reach = min(math.ceil(2.5 * sigma), patch.shape[-1] - 1)
    kernel = torch.arange(-reach, reach + 1, dtype=patch.dtype, device=patch.device)
    kernel = torch.exp(-0.5 * (kernel / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(patch[:, None], (reach, reach, reach, reach), mode="reflect")
    rows = F.conv2d(padded, kernel.view(1, 1, -1, 1))
    return F.conv2d(rows, kernel.view(1, 1, 1, -1))[:, 0]


def _turn(patch: Tensor, turns: int, flip: bool) -> Tensor:
    """Turn the last two axes by quarter turns, and mirror them if asked."""
    if flip:
        patch = patch.flip(-1)
    return torch.rot90(patch, turns, (-2, -1))


def _mirror_up(image: Tensor, size: int) -> Tensor:
    """Mirror an image (C, Y, X) at its far sides until each is at least `size`."""
    while min(image.shape[-2:]) < size:
        height, width = image.shape[-2:]
        # A mirror adds at most what is there, so tiny images take several rounds.
        grow = (min(max(size - width, 0), width), min(max(size - height, 0), height))
        image = _symmetric(image, grow)
    return image


def _symmetric(image: Tensor, grow: tuple[int, int]) -> Tensor:
    """Append the mirrored right and lower margins, `grow` = (columns, rows)."""
    columns, rows = grow
    if columns:
        image = torch.cat([image, image[..., -columns:].flip(-1)], dim=-1)
    if rows:
        image = torch.cat([image, image[..., -rows:, :].flip(-2)], dim=-2)
    return image
