"""The running mean of the weights: what a training hands out."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from napari_impartial.core.config import TrainingConfig
from napari_impartial.core.network.device import computing_in, memory_format
from napari_impartial.core.network.unet import UNet


class WeightAverage:
    """A network whose weights follow another's as an exponential moving average.

    Parameters
    ----------
    network : UNet
        The one that is trained.
    config : TrainingConfig
        Its memory (`ema_decay`; 0 for none) is used.

    Attributes
    ----------
    network : UNet
        The average, for inference.
    """

    def __init__(self, network: UNet, config: TrainingConfig) -> None:
        self.network = copy.deepcopy(network).eval()
        self._config = config

    @torch.no_grad()
    def add(self, network: UNet, steps: int) -> None:
        """Move towards the weights that `network` has after so many steps."""
        # Early on a short memory: the first weights are not worth remembering.
        decay = min(self._config.ema_decay, (1 + steps) / (10 + steps))
        for mean, now in zip(self.network.parameters(), network.parameters(), strict=True):
            mean.lerp_(now, 1 - decay)

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the weights and statistics, on the CPU."""
        return {
            name: value.detach().cpu().clone() for name, value in self.network.state_dict().items()
        }


@torch.no_grad()
def gather_statistics(
    network: UNet, patches: Tensor, config: TrainingConfig, precision: torch.dtype
) -> None:
    """Take a network's normalization statistics from patches; it is in evaluation mode then.

    Those gathered in training are of augmented patches and of weights that have moved on;
    averaged weights need statistics of their own.

    Parameters
    ----------
    network : UNet
    patches : (N, C, P, P) Tensor
    config : TrainingConfig
        Its seed and batch size are used.
    precision : torch.dtype
        To compute in.
    """
    # With dropout on, as in training; Monte-Carlo passes have it in the last levels alone. From
    # a generator of their own, so that a look at the network does not change its training.
    dropouts = network.dropouts()
    before = [dropout.generator for dropout in dropouts]
    own = torch.Generator(patches.device).manual_seed(config.seed)
    for dropout in dropouts:
        dropout.generator = own
    layers = network.normalizations()
    network.train()
    for layer in layers:
        layer.reset_running_stats()
    # As even as can be: a last one of a single small patch would have nothing to normalize by.
    batches = patches.tensor_split(-(-len(patches) // config.batch_size)) if layers else ()
    for number, batch in enumerate(batches, start=1):
        for layer in layers:
            # A plain mean over the batches. (None means that, too, but reads from the device.)
            layer.momentum = 1.0 / number
        with computing_in(precision, patches.device):
            network.features(batch.contiguous(memory_format=memory_format(patches.device)))
    for dropout, source in zip(dropouts, before, strict=True):
        dropout.generator = source
    network.eval()
