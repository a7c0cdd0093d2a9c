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
    mask : (B, H, W) or (B, C, H, W) bool
        Where a pixel was hidden, in all its channels at once or in each separately.
    """

    masked_input: Tensor
    target: Tensor
    mask: Tensor


def hide_pixels(
    patches: Tensor,
    fraction: float,
    window: int,
    generator: torch.Generator,
    separately: bool = False,
) -> BlindSpotBatch:
    """Replace a random set of pixels by the value of a random neighbour.

    Parameters
    ----------
    patches : (B, C, H, W) float tensor
    fraction : float
        Chance that a pixel is hidden, 0 to 1.
    window : int
        Side of the square round the pixel that the neighbour is drawn from. Near the
        border the square is moved, and in patches smaller than it cut, to lie inside.
        The pixel itself is never drawn, so that in a patch of one pixel none is hidden.
    generator : torch.Generator
        Source of all randomness, on the patches' device.
    separately : bool
        Whether each channel has hidden pixels of its own.

    Returns
    -------
    BlindSpotBatch
    """
    batch, channels, height, width = patches.shape
    if separately:
        hidden, _, mask = hide_pixels(
            patches.reshape(-1, 1, height, width), fraction, window, generator
        )
        whole = (batch, channels, height, width)
        return BlindSpotBatch(hidden.view(whole), patches, mask.view(whole))
    device = patches.device
    if height * width == 1:  # there is no neighbour
        return BlindSpotBatch(patches, patches, torch.zeros_like(patches[:, 0], dtype=torch.bool))
    mask = torch.rand(batch, height, width, generator=generator, device=device) < fraction
    b, y, x = mask.nonzero(as_tuple=True)
    rows, columns = min(window, height), min(window, width)
    top = (y - window // 2).clamp_(0, height - rows)
    left = (x - window // 2).clamp_(0, width - columns)
    # Places are numbered along the window with the pixel's own left out.
    own = (y - top) * columns + (x - left)
    place = torch.randint(rows * columns - 1, (b.numel(),), generator=generator, device=device)
    place += place >= own
    masked = patches.clone()
    masked[b, :, y, x] = patches[b, :, top + place // columns, left + place % columns]
    return BlindSpotBatch(masked, patches, mask)
