"""The joint loss of a network on a batch of patches: eq. 3 of the paper, and edges."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_impartial.core.config import TrainingConfig
from napari_impartial.core.network.blind_spot import BlindSpotBatch, hide_pixels
from napari_impartial.core.network.device import computing_in, memory_format
from napari_impartial.core.network.losses import (
    class_counts,
    component_means,
    edge_loss,
    reconstruction_loss,
    scribble_loss,
    total_variation_loss,
)
from napari_impartial.core.network.unet import UNet

from .implied_labels import NUCLEAR_SEAM_WEIGHT, SEAM_WEIGHT
from .patches import SEAM, Patches


@dataclass(frozen=True)
class JointLoss:
    """Loss of a training; a :data:`.LossFunction`.

    Attributes
    ----------
    config : TrainingConfig
    n_classes : int
        Background included.
    precision : torch.dtype
        That the network computes in.
    device : torch.device
    whitening : (C, C) Tensor
        Mixtures of the channels that edges are looked for in; see :func:`.losses.whitening`.
    """

    config: TrainingConfig
    n_classes: int
    precision: torch.dtype
    device: torch.device
    whitening: Tensor

    @property
    def looks_for_edges(self) -> bool:
        """Return whether outlines at edges are a part."""
        return self.config.edge_weight > 0 and self.config.objective == "joint"

    def __call__(
        self,
        network: UNet,
        patches: Patches,
        generator: torch.Generator,
        scribbled: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """Return the joint loss, and with its parts; see :data:`.LossFunction`.

        The latter are the fields of :class:`.Losses`.
        """
        config = self.config
        reconstruct = config.objective != "scribble" and config.reconstruction_weight > 0
        if reconstruct:
            batch = hide_pixels(
                patches.images,
                config.blind_spot_fraction,
                config.blind_spot_window,
                generator,
                config.blind_spot_channels == "separately",
            )
        else:
            nowhere = torch.zeros_like(patches.labels, dtype=torch.bool)
            batch = BlindSpotBatch(patches.images, patches.images, nowhere)
        x = batch.masked_input.contiguous(memory_format=memory_format(self.device))
        with computing_in(self.precision, self.device):
            logits, means = network(x)
        log_p = network.log_probability(logits)
        zero = logits.new_zeros(())
        scribble = reconstruction = variation = edges = zero
        if config.objective != "reconstruction":
            seam = patches.labels == SEAM
            labels = patches.labels.masked_fill(seam, 1)
            of_seam = NUCLEAR_SEAM_WEIGHT if config.nuclear_channel else SEAM_WEIGHT
            weight = torch.where(seam, of_seam, 1.0)
            counts = None
            if config.class_balance == "batch":
                whole = patches.labels if patches.batch_labels is None else patches.batch_labels
                counts = class_counts(whole.masked_fill(whole == SEAM, 1), self.n_classes)
            scribble = scribbled * scribble_loss(log_p, labels, counts, weight)
        if reconstruct:
            membership = logits.softmax(dim=1)
            colours = component_means(means, membership)
            reconstruction = reconstruction_loss(
                batch.target, membership, colours, batch.mask, config.reconstruction
            )
        if config.total_variation_weight > 0:
            variation = total_variation_loss(log_p.exp())
        if self.looks_for_edges:
            mixed = torch.einsum("dc,bchw->bdhw", self.whitening, patches.images)
            edges = edge_loss(log_p.exp(), mixed, patches.labels == 0)
        total = (
            config.scribble_weight * scribble
            + config.reconstruction_weight * reconstruction
            + config.total_variation_weight * variation
            + config.edge_weight * edges
        )
        parts = (total, scribble, reconstruction, variation, edges)
        return total, torch.stack(parts).detach()
