"""Blind spots: hide random pixels from the network (Noise2Void; paper, section 2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class BlindSpotBatch(NamedTuple):
    """A batch with pixels hidden.

    Attributes
    ----------
    masked_input : (B, C, H, W) float
        The patches, with a neighbour's value at each hidden pixel.
    target : (B, C, H, W) float
        The patches as they were.
    mask : (B, H, W) bool
        Where a pixel was hidden (all its channels at once).
    """

    masked_input: Tensor
    target: Tensor
    mask: Tensor


def hide_pixels(
    patches: Tensor, fraction: float, window: int, generator: torch.Generator
) -> BlindSpotBatch:
    """Replace a random set of pixels by the value of a random neighbour.

    Parameters
    ----------
    patches : (B, C, H, W) float tensor
    fraction : float
        Chance that a pixel is hidden, 0 to 1.
    window : int
        Side of the square the neighbour is drawn from, in pixels. The pixel itself is
        never drawn; at the border the square is mirrored into the patch.
    generator : torch.Generator
        Source of all randomness, on the patches' device.

    Returns
    -------
    BlindSpotBatch
    """
    batch, _, height, width = patches.shape
    device = patches.device
    mask = torch.rand(batch, height, width, generator=generator, device=device) < fraction
    b, y, x = mask.nonzero(as_tuple=True)
    # Offsets are numbered along the window with its centre left out.
    n_offsets = window * window - 1
    centre = (window // 2) * window + window // 2
    offset = torch.randint(n_offsets, (b.numel(),), generator=generator, device=device)
    offset = offset + (offset >= centre)
    neighbour_y = _mirror(y + offset // window - window // 2, height)
    neighbour_x = _mirror(x + offset % window - window // 2, width)
    masked = patches.clone()
    masked[b, :, y, x] = patches[b, :, neighbour_y, neighbour_x]
    return BlindSpotBatch(masked, patches, mask)


def _mirror(index: Tensor, size: int) -> Tensor:
    """Reflect indices that lie outside ``[0, size)`` back inside."""
    index = index.abs()
    return torch.where(index >= size, 2 * (size - 1) - index, index).clamp_(0, size - 1)
