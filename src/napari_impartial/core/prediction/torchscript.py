"""A trained network as one function that needs none of our code (TorchScript)."""

from __future__ import annotations

import os
import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_impartial.core.data.image import NORMALIZED_LIMIT
from napari_impartial.core.network.model_file import TrainedModel
from napari_impartial.core.network.unet import UNet

from .predict import SMALLEST_SECOND_OPINION_PX, VIEWS, combine


class Standalone(nn.Module):
    """All that :func:`predict` does in one pass, from normalized intensities on.

    Without dropout, with the second opinion if the model heeds it, and for images of
    :attr:`least_px` plus a multiple of :attr:`step_px` pixels a side, which need no padding at
    any scale.
    """

    def __init__(self, network: UNet, second_opinion: bool = True) -> None:
        super().__init__()
        self.network = network
        self.second_opinion = second_opinion

    @property
    def step_px(self) -> int:
        """Sides are multiples of this: the network's stride, in the smallest view too."""
        return int(2 ** (VIEWS - 1)) * self.network.stride

    @property
    def least_px(self) -> int:
        """Shortest side: smaller images are not looked at again at each of the sizes."""
        least = SMALLEST_SECOND_OPINION_PX * 2 ** (VIEWS - 2)
        return -(-least // self.step_px) * self.step_px

    def forward(self, x: Tensor) -> Tensor:
        """Return class probabilities (B, K, H, W) of normalized intensities (B, C, H, W)."""
        x = torch.nan_to_num(x.clamp(-NORMALIZED_LIMIT, NORMALIZED_LIMIT), nan=0.0)
        seen = [self._at_one_scale(x)]
        while self.second_opinion and len(seen) < VIEWS:
            x = F.avg_pool2d(x, 2)
            seen.append(self._at_one_scale(x))
        return combine(seen)

    def _at_one_scale(self, x: Tensor) -> Tensor:
        logits, _ = self.network(x)
        return self.network.log_probability(logits).exp()


def standalone(model: TrainedModel) -> Standalone:
    """Return a model's network as one function, on the CPU in float32, not to be trained."""
    network = Standalone(model.network(), model.card.looks_again)
    return network.eval().requires_grad_(False)


def write_torchscript(network: Standalone, path: str | os.PathLike[str]) -> None:
    """Write the function in a format that programs with libtorch can run.

    Any size and number of images can be given to what is written: all that is recorded
    of the example is how many channels it has.
    """
    side = network.least_px
    example = torch.zeros(1, network.network.in_channels, side, side + network.step_px)
    with warnings.catch_warnings():
        # torch calls TorchScript deprecated, but other programs read nothing else from
        # it that needs no further packages; and the checks of shapes need not be traced.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        traced = torch.jit.trace(network, example, check_trace=False)
        torch.jit.save(traced, os.fspath(path))
