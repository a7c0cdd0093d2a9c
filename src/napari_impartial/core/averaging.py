"""The running mean of the weights: what a training hands out."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from .config import TrainingConfig
from .device import computing_in
from .unet import UNet


class WeightAverage:
    """A network whose weights follow another's as an exponential moving average.

    Parameters
    ----------
    network : UNet
        The one that is trained.
    config : TrainingConfig
        Its memory (`ema_decay`; 0 for none), seed and batch size are used.
    precision : torch.dtype
        To compute in.

    Attributes
    ----------
    network : UNet
        The average, for inference.
    """

    def __init__(self, network: UNet, config: TrainingConfig, precision: torch.dtype) -> None:
        self.network = copy.deepcopy(network).eval()
        self._config, self._precision = config, precision

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
    def calibrate(self, patches: Tensor) -> None:
        """Take the statistics of normalization layers from patches (N, C, P, P).

        Those gathered in training are of augmented patches and of weights that have moved
        on; averaged weights need statistics of their own.
        """
        layers = [m for m in self.network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        if not layers:
            return
        # With dropout on, as in training; Monte-Carlo passes have it in the last levels alone. From
        # a generator of their own, so that a look at the network does not change its training.
        generator = torch.Generator(patches.device).manual_seed(self._config.seed)
        for dropout in self.network.dropouts():
            dropout.generator = generator
        self.network.train()
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # a plain mean over the batches
        for batch in patches.split(self._config.batch_size):
            with computing_in(self._precision, patches.device):
                self.network.features(batch.contiguous(memory_format=torch.channels_last))
        self.network.eval()
