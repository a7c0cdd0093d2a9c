"""The network: a U-Net that gives memberships and component means (paper, section 2)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from napari_impartial.core.config import ModelConfig

from .losses import class_log_probability

# In so many of the decoder's finest levels Monte-Carlo passes differ: they take the longest, and
# farther up each pass would have to compute nearly everything anew.
_VARIED_LEVELS = 2

Halo = tuple[int, int, int, int]
"""Pixels of context at the top, bottom, left and right of a tile's core."""

NO_HALO: Halo = (0, 0, 0, 0)


class Dropout(nn.Module):
    """Dropout of whole feature maps, with masks that can be held fixed, or of single values.

    Whole maps, because a fixed mask then means the same network everywhere in an image:
    each Monte-Carlo sample is one function of the picture, and tiles join seamlessly. Single
    values are drawn afresh each time.

    Attributes
    ----------
    mask : (B, features, 1, 1) Tensor or None
        Where set, it is used in place of a fresh random one, in evaluation too.
    always : bool
        Whether values are left out in evaluation too.
    generator : torch.Generator or None
        Source of what is drawn, on the device of the maps; None takes torch's global one.
    """

    def __init__(self, features: int, p: float, of_values: bool = False) -> None:
        super().__init__()
        self.features = features
        self.p = p
        self.of_values = of_values
        self.mask: Tensor | None = None
        self.always = False
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
        if not (self.training or self.always) or self.p == 0:
            return x
        if self.of_values:
            kept = torch.empty_like(x).bernoulli_(1.0 - self.p, generator=self.generator)
            return x * kept.div_(1.0 - self.p)
        return x * self.draw(x.shape[0], self.generator, x.device).to(x.dtype)

    def __deepcopy__(self, memo: dict[int, object]) -> Dropout:
        """Copy it with a mask and a generator of its own, that is to say none yet."""
        copied = Dropout(self.features, self.p, self.of_values)
        copied.train(self.training)
        return copied


class DoubleConvolution(nn.Sequential):
    """Two 3 x 3 convolutions, each with normalization, ReLU and dropout at its rate.

    Parameters
    ----------
    widths : (int, int, int)
        Feature maps of the input, between the two, and of the output.
    config : ModelConfig
        Which normalization and dropout.
    rates : (float, float)
        Of the dropout after each convolution.
    """

    def __init__(
        self, widths: tuple[int, int, int], config: ModelConfig, rates: tuple[float, float]
    ) -> None:
        layers: list[nn.Module] = []
        for n_in, n_out, rate in zip(widths, widths[1:], rates, strict=False):
            # A bias before batch normalization would be subtracted again.
            layers.append(nn.Conv2d(n_in, n_out, 3, padding=1, bias=config.norm == "none"))
            if config.norm == "batch":
                layers.append(nn.BatchNorm2d(n_out))
            # (Before a ReLU or after it, what is left out and what is kept is the same.)
            of_values = config.dropout_of == "values"
            dropout = [Dropout(n_out, rate, of_values)] if rate > 0 else []
            relu = nn.ReLU(inplace=True)
            layers += [*dropout, relu] if of_values else [relu, *dropout]
        super().__init__(*layers)

    def fuse(self) -> None:
        """Multiply each batch normalization into the convolution before it, for evaluation."""
        for number, layer in enumerate(self):
            if isinstance(layer, nn.BatchNorm2d):
                convolution = self[number - 1]
                assert isinstance(convolution, nn.Conv2d)
                self[number - 1] = fuse_conv_bn_eval(convolution, layer)
                self[number] = nn.Identity()

    def join(self, skip: Tensor, x: Tensor) -> Tensor:
        """Apply to (B, features, H, W) maps of a skip connection and of the level below.

        Where the latter are of several samples and the former are not, the skip's maps are
        convolved once.
        """
        if len(skip) == len(x):
            both: Tensor = self(torch.cat([skip, x], dim=1))
            return both
        convolution, *layers = self
        assert isinstance(convolution, nn.Conv2d)
        weight, n = convolution.weight, skip.shape[1]
        joined = F.conv2d(x, weight[:, n:], convolution.bias, padding=1)
        joined += F.conv2d(skip, weight[:, :n], padding=1)
        for layer in layers:
            joined = layer(joined)
        return joined


@dataclass(frozen=True)
class Ascent:
    """State of a tile, or of several Monte-Carlo passes over it, on the way up the decoder.

    Attributes
    ----------
    maps : (B, features, h, w) Tensor
        Of the level that was reached; the image itself before the first.
    skips : list of Tensor
        Of the levels to come, the finest first.
    halo : (top, bottom, left, right)
        Round the wanted core, in pixels of the image.
    have : list of int
        What is left of it round `maps`, in pixels of theirs.
    """

    maps: Tensor
    skips: list[Tensor]
    halo: Halo
    have: list[int]


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
        within = config.halving == "within"
        if within:
            widths[-1] = widths[-2]
        # Monte-Carlo passes go apart at the end of this level's last block, whose dropout is here;
        # with dropout of single values, which is drawn for each pass anew, at the image itself.
        self.varies_throughout = config.dropout_of == "values"
        self._varied = 0 if self.varies_throughout else min(_VARIED_LEVELS, config.depth)
        # What the decoder, from the deepest level up, hands on to the next.
        above = [widths[max(level - within, 0)] for level in range(config.depth)] + widths[-1:]
        rate = 0.0 if self.varies_throughout else config.dropout
        self.apart = Dropout(above[self._varied], rate)

        def block(n_in: int, level: int, n_out: int, last: bool) -> DoubleConvolution:
            # The first level has no dropout: it sees the picture, not an opinion on it.
            rate = config.dropout if level else 0.0
            rates = rate, 0.0 if last and level == self._varied else rate
            return DoubleConvolution((n_in, widths[level], n_out), config, rates)

        self.pyramid = config.image_pyramid
        extra = in_channels if config.image_pyramid else 0
        self.encoder = nn.ModuleList(
            block(n_in, level, widths[level], last=level == config.depth)
            for level, n_in in enumerate([in_channels, *(width + extra for width in widths[:-1])])
        )
        levels = range(config.depth - 1, -1, -1)
        # Halving the features before upsampling is a third less work for the decoder.
        self.reduce = nn.ModuleList(
            nn.Identity() if within else nn.Conv2d(widths[level + 1], widths[level], 1)
            for level in levels
        )
        self.decoder = nn.ModuleList(
            block(2 * widths[level], level, above[level], last=True) for level in levels
        )
        self.head = nn.Conv2d(widths[0], self.n_components * (1 + in_channels), 1)

    @property
    def stride(self) -> int:
        """Image sides have to be multiples of this, 2 ** depth."""
        return 1 << self.depth

    @property
    def halo(self) -> int:
        """Radius of the receptive field in pixels, rounded up to a multiple of :attr:`stride`."""
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
        """
        return self.vary(self.share(x, halo))

    def share(self, x: Tensor, halo: Halo = NO_HALO) -> Ascent:
        """Compute what comes before the layers in which Monte-Carlo passes differ."""
        if self.varies_throughout:
            return Ascent(x, [], halo, [])
        return self._climb(x, halo)

    def _climb(self, x: Tensor, halo: Halo) -> Ascent:
        """Go down the encoder, and up the decoder to where Monte-Carlo passes may differ."""
        skips: list[Tensor] = []
        image = x
        for level, block in enumerate(self.encoder):
            if level:
                x = F.max_pool2d(x, 2)
                if self.pyramid:
                    # Local mean intensities, which would take long to learn, for nothing.
                    image = F.avg_pool2d(image, 2)
                    x = torch.cat([x, image.to(x.dtype)], dim=1)
            x = block(x)
            skips.append(x)
        x = skips.pop()
        ascent = Ascent(x, skips, halo, [side >> self.depth for side in halo])
        for level in range(self.depth - 1, self._varied - 1, -1):
            ascent = self._decode(ascent, level)
        return ascent

    def vary(self, ascent: Ascent, samples: int = 1) -> Tensor:
        """Compute the rest, with fixed dropout masks for T samples once for each.

        Parameters
        ----------
        ascent : Ascent
        samples : int
            T, for dropout of single values, which has no fixed masks.

        Returns
        -------
        (B or T, base_features, h, w) Tensor
        """
        if self.varies_throughout:
            many = ascent.maps.repeat(samples, 1, 1, 1) if samples > 1 else ascent.maps
            ascent = self._climb(many, ascent.halo)
        else:
            ascent = replace(ascent, maps=self.apart(ascent.maps))
        for level in range(self._varied - 1, -1, -1):
            ascent = self._decode(ascent, level)
        return _crop(ascent.maps, ascent.have, 0)

    def _decode(self, ascent: Ascent, level: int) -> Ascent:
        """Go up to a level of the decoder."""
        number = self.depth - 1 - level
        margins = self._margins()
        x, have = ascent.maps, ascent.have
        x = self.reduce[number](_crop(x, have, margins[level + 1]))
        have = [2 * min(side, margins[level + 1]) for side in have]
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        # The block's two convolutions need two pixels more than they leave right.
        x = _crop(x, have, margins[level] + 2)
        *skips, skip = ascent.skips
        skip = _crop(skip, [side >> level for side in ascent.halo], margins[level] + 2)
        have = [min(side, margins[level] + 2) for side in have]
        block = self.decoder[number]
        assert isinstance(block, DoubleConvolution)
        return Ascent(block.join(skip, x), skips, ascent.halo, have)

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

    def fused(self) -> UNet:
        """Return a copy for evaluation alone that computes the same in fewer operations."""
        copied = copy.deepcopy(self).eval()
        for block in (*copied.encoder, *copied.decoder):
            assert isinstance(block, DoubleConvolution)
            block.fuse()
        return copied

    def normalizations(self) -> list[nn.BatchNorm2d]:
        """All layers of batch normalization."""
        return [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]

    def freeze_normalization(self) -> None:
        """Train with the statistics of normalization as they are, whatever is in a batch."""
        self.train()
        for layer in self.normalizations():
            layer.eval()

    @torch.no_grad()
    def take_statistics(self, other: UNet) -> None:
        """Take over the statistics that another network is normalized by."""
        for mine, its in zip(self.buffers(), other.buffers(), strict=True):
            mine.copy_(its)

    def dropouts(self) -> list[Dropout]:
        """All dropout layers that leave anything out."""
        return _dropouts(self.modules())

    def varied(self) -> list[Dropout]:
        """Return the dropout layers in which Monte-Carlo passes differ, in the order they act."""
        if self.varies_throughout:
            return self.dropouts()
        return _dropouts([self.apart, *self.decoder[self.depth - self._varied :].modules()])


def _dropouts(modules: Iterable[nn.Module]) -> list[Dropout]:
    """Pick the layers that leave anything out."""
    return [module for module in modules if isinstance(module, Dropout) and module.p > 0]


def _crop(x: Tensor, have: Sequence[int], keep: int) -> Tensor:
    """Cut the margins of (B, F, H, W), `have` wide at each side, down to `keep` pixels."""
    top, bottom, left, right = (max(side - keep, 0) for side in have)
    height, width = x.shape[-2:]
    return x[..., top : height - bottom, left : width - right]
