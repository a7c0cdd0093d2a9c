"""The gradient of a batch; on a CPU, of its two halves side by side."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from napari_impartial.core.network.unet import UNet

from .patches import Patches
from .side_by_side import SideBySide

LossFunction = Callable[[UNet, Patches, torch.Generator, float], tuple[Tensor, Tensor]]
"""Gives what is minimized, and what to report of it (a vector, without gradient), for a network on
some patches of a batch.

The scribble loss is to be multiplied by the last argument: what these patches have of the batch's
patches with strokes over what they are of its patches; where classes are balanced over the batch,
one over the latter.
"""

# Parts of a batch on a CPU, however many cores it has: so that a seed gives one result.
_PARTS = 2


class Gradients:
    """Computes gradients of one network, on a CPU in parts, elsewhere at once.

    Each part is normalized by its own statistics (batch normalization); apart from that, the
    gradient is that of the whole batch.

    Parameters
    ----------
    network : UNet
        Its parameters are what gradients are of.
    generator : torch.Generator
        Source of the first part's randomness, on the network's device.
    seed : int
        For the other parts' randomness.
    """

    def __init__(self, network: UNet, generator: torch.Generator, seed: int) -> None:
        self._parameters = list(network.parameters())
        self._parts = [(network, generator)]
        if generator.device.type == "cpu":
            for number in range(1, _PARTS):
                own = torch.Generator().manual_seed(seed + number)
                self._parts.append((network.twin(), own))
        for part, source in self._parts:
            for layer in part.dropouts():
                layer.generator = source
        self._workers = SideBySide(len(self._parts))

    def freeze_normalization(self) -> None:
        """Normalize by the network's present statistics from now on, in all parts."""
        network, _ = self._parts[0]
        for part, _ in self._parts:
            part.take_statistics(network)
            part.freeze_normalization()

    def of(
        self,
        patches: Patches,
        loss: LossFunction,
        scale: Tensor,
        balance_over_batch: bool = False,
    ) -> tuple[list[Tensor], Tensor]:
        """Return the gradient of each parameter, and what the loss function reports.

        Elsewhere than on a CPU nothing is read back from the device, which would have to come to
        rest for it, but what the loss function reads.

        Parameters
        ----------
        patches : Patches
        loss : function
            Called once for each part, by threads.
        scale : scalar Tensor
            What losses are multiplied by before their gradient is taken (float16 needs it).
        balance_over_batch : bool
            Whether the scribble loss is a sum over the batch, not a mean over its patches.
        """
        # Of one patch alone, a normalization layer may find a single value a feature.
        count = max(1, min(len(self._parts), len(patches.images) // 2))
        pieces = [
            Patches(*piece, patches.labels if balance_over_batch else None)
            for piece in zip(patches.images.chunk(count), patches.labels.chunk(count), strict=True)
        ]
        shares = np.array([len(piece.images) for piece in pieces]) / len(patches.images)
        scribbled = 1.0 / shares if balance_over_batch else np.ones(1)
        if len(pieces) > 1 and not balance_over_batch:
            annotated = np.array([_annotated(piece) for piece in pieces], dtype=np.float64)
            scribbled = annotated / max(annotated.sum(), 1) / shares

        def one(number: int) -> tuple[tuple[Tensor, ...], Tensor]:
            network, generator = self._parts[number]
            total, report = loss(network, pieces[number], generator, float(scribbled[number]))
            return torch.autograd.grad(scale * total, self._parameters), report

        found = self._workers.map(one, range(len(pieces)))
        gradients = [gradient * float(shares[0]) for gradient in found[0][0]]
        reported = found[0][1] * float(shares[0])
        for (others, report), share in zip(found[1:], shares[1:], strict=True):
            for whole, part in zip(gradients, others, strict=True):
                whole.add_(part, alpha=float(share))
            reported.add_(report, alpha=float(share))
        return gradients, reported


def _annotated(patches: Patches) -> int:
    """Patches with any stroke or seam in them."""
    return int((patches.labels != 0).flatten(1).any(dim=1).sum())
