"""The network: a U-Net that gives memberships and component means (paper, section 2)."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import ModelConfig
from .losses import class_log_probability

Halo = tuple[int, int, int, int]
"""Pixels of context at the top, bottom, left and right of a tile's core."""

NO_HALO: Halo = (0, 0, 0, 0)


class Dropout(nn.Module):
    """Dropout of whole feature maps, with masks that can be held fixed.

    Whole maps, because a fixed mask then means the same network everywhere in an image:
    each Monte-Carlo sample is one function of the picture, and tiles join seamlessly.

    Attributes
    ----------
    mask : (B, features, 1, 1) Tensor or None
        Where set, it is used in place of a fresh random one, in evaluation too.
    generator : torch.Generator or None
        Source of the fresh masks, on the device of the maps; None takes torch's global one.
    """

    def __init__(self, features: int, p: float) -> None:
        super().__init__()
        self.features = features
        self.p = p
        self.mask: Tensor | None = None
        self.generator: torch.Generator | None = None

    def draw(
        self,
        samples: int,
        generator: torch.Generator | None,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Draw a mask for each of `samples` passes: 0 or ``1 / (1 - p)`` a feature."""
        shape = (samples, self.features, 1, 1)
        keep = torch.rand(shape, generator=generator, device=device) >= self.p
        return keep / (1.0 - self.p)

    def forward(self, x: Tensor) -> Tensor:
        """Apply dropout to (B, features, H, W)."""
        if self.mask is not None:
            return x * self.mask.to(x.dtype)
        if not self.training:
            return x
        return x * self.draw(x.shape[0], self.generator, x.device).to(x.dtype)


class DoubleConvolution(nn.Sequential):
    """Two 3 x 3 convolutions, each with normalization, ReLU and dropout as configured."""

    def __init__(self, n_in: int, n_out: int, norm: str, dropout: float) -> None:
        layers: list[nn.Module] = []
        for n in (n_in, n_out):
            # A bias before batch normalization would be subtracted again.
            layers.append(nn.Conv2d(n, n_out, 3, padding=1, bias=norm == "none"))
            if norm == "batch":
                layers.append(nn.BatchNorm2d(n_out))
            layers.append(nn.ReLU(inplace=True))
            if dropout > 0:
                layers.append(Dropout(n_out, dropout))
        super().__init__(*layers)


class UNet(nn.Module):
    """U-Net with skip concatenation and bilinear upsampling.

    Parameters
    ----------
    in_channels : int
        C.
    n_classes : int
        K, at least 2: background and the foreground classes.
    config : ModelConfig
        Depth, width, normalization, dropout, components per class.
    """

    def __init__(self, in_channels: int, n_classes: int, config: ModelConfig) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.n_classes = n_classes
        self.n_components = n_classes * config.components_per_class
        self.depth = config.depth
        widths = [config.base_features * 2**level for level in range(config.depth + 1)]
        # The first level has no dropout: it sees the picture, not an opinion on it.
        rates = [0.0] + [config.dropout] * config.depth
        self.pyramid = config.image_pyramid
        extra = in_channels if config.image_pyramid else 0
        self.encoder = nn.ModuleList(
            DoubleConvolution(n_in, n_out, config.norm, rate)
            for n_in, n_out, rate in zip(
                [in_channels, *(width + extra for width in widths[:-1])], widths, rates, strict=True
            )
        )
        levels = range(config.depth - 1, -1, -1)
        # Halving the features before upsampling is a third less work for the decoder.
        self.reduce = nn.ModuleList(
            nn.Conv2d(widths[level + 1], widths[level], 1) for level in levels
        )
        self.decoder = nn.ModuleList(
            DoubleConvolution(2 * widths[level], widths[level], config.norm, rates[level])
            for level in levels
        )
        self.head = nn.Conv2d(widths[0], self.n_components * (1 + in_channels), 1)

    @property
    def stride(self) -> int:
        """Image sides have to be multiples of this, 2 ** depth."""
        return 1 << self.depth

    @property
    def halo(self) -> int:
        """How far the network sees, in pixels, rounded up to a multiple of :attr:`stride`."""
        radius = self._margins()[-1] + 2
        for _ in range(self.depth):
            radius = 2 * radius + 2
        return -(-radius // self.stride) * self.stride

    def _margins(self) -> list[int]:
        """Per level, the pixels round the core that the decoder's output has to be right in."""
        margins = [0]
        for _ in range(self.depth):
            # Two convolutions, then bilinear upsampling, whose outermost pixel is a guess:
            # the least d with 2 d - 1 >= margin + 2.
            margins.append((margins[-1] + 4) // 2)
        return margins

    def forward(self, x: Tensor, halo: Halo = NO_HALO) -> tuple[Tensor, Tensor]:
        """Return membership logits and mean maps.

        Parameters
        ----------
        x : (B, C, H, W) float
            Normalized intensities; H and W are multiples of :attr:`stride`.
        halo : (top, bottom, left, right)
            Pixels of context round the wanted core, multiples of :attr:`stride`; the
            results are of the core alone.

        Returns
        -------
        logits : (B, M, h, w) float32
        means : (B, M, C, h, w) float32
        """
        return self.split(self.head(self.features(x, halo)))

    def features(self, x: Tensor, halo: Halo = NO_HALO) -> Tensor:
        """Return the (B, base_features, h, w) maps below the output layer.

        The decoder, where most of the work is, computes only what the core depends on.
        With fixed dropout masks for T samples, a batch of one fans out to T at the first
        dropout, so that what all samples share is computed once.
        """
        skips: list[Tensor] = []
        image = x
        for level, block in enumerate(self.encoder):
            if level:
                x = F.max_pool2d(x, 2)
                if self.pyramid:
                    # Local mean intensities, which would take long to learn, for nothing.
                    image = F.avg_pool2d(image, 2)
                    x = torch.cat([x, image.to(x.dtype).expand(x.shape[0], -1, -1, -1)], dim=1)
            x = block(x)
            skips.append(x)
        margins = self._margins()
        x = skips.pop()
        have = [side >> self.depth for side in halo]
        levels = reversed(range(self.depth))
        for reduce, block, level in zip(self.reduce, self.decoder, levels, strict=True):
            x = reduce(_crop(x, have, margins[level + 1]))
            have = [2 * min(side, margins[level + 1]) for side in have]
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            # The block's two convolutions need two pixels more than they leave right.
            x = _crop(x, have, margins[level] + 2)
            skip = _crop(skips.pop(), [side >> level for side in halo], margins[level] + 2)
            have = [min(side, margins[level] + 2) for side in have]
            x = block(torch.cat([skip.expand(x.shape[0], -1, -1, -1), x], dim=1))
        return _crop(x, have, 0)

    def split(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Cut the M(1 + C) output maps into logits and means, float32."""
        maps = maps.float()
        batch, _, height, width = maps.shape
        m = self.n_components
        return maps[:, :m], maps[:, m:].reshape(batch, m, self.in_channels, height, width)

    def log_probability(self, logits: Tensor) -> Tensor:
        """Class log-probabilities (B, K, H, W) of membership logits."""
        return class_log_probability(logits, self.n_classes)

    def twin(self) -> UNet:
        """Return a network of the same parameters, with statistics and masks of its own."""
        shared = {id(parameter): parameter for parameter in self.parameters()}
        return copy.deepcopy(self, shared)

    def dropouts(self) -> list[Dropout]:
        """All dropout layers, in the order they act."""
        return [module for module in self.modules() if isinstance(module, Dropout)]


def _crop(x: Tensor, have: Sequence[int], keep: int) -> Tensor:
    """Cut the margins of (B, F, H, W), `have` wide at each side, down to `keep` pixels."""
    top, bottom, left, right = (max(side - keep, 0) for side in have)
    height, width = x.shape[-2:]
    return x[..., top : height - bottom, left : width - right]
