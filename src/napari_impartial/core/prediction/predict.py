"""Prediction of images of any size: tiles with halo, Monte-Carlo dropout as running sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_impartial.core.config import PredictionConfig, validate
from napari_impartial.core.data.image import Image, halve, normalize, padded_to
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.network.device import (
    computing_in,
    memory_format,
    resolve_device,
    resolve_precision,
)
from napari_impartial.core.network.model_file import TrainedModel
from napari_impartial.core.network.unet import Halo, UNet

from .result import Prediction
from .suggestions import entropy as normalized_entropy

ProgressCallback = Callable[[float], bool | None]
"""Called with the share done, 0 to 1; returning True cancels."""

# Pixels that a batch of Monte-Carlo passes may have in all: bounds the memory.
_BATCH_PIXELS = 1 << 20
# So many rows at a time are gone through after the network, for the same reason; even.
_ROWS = 256
# The second opinion, at half size: foreground is denied in proportion below the first
# figure, filled in from the second on, up to the third.
_DENIED_BELOW, _FILLED_FROM, _FILLED_TO = 0.4, 0.8, 0.7
# Before, a view at a quarter of the size denies what it sees next to nothing of, in so many of its
# pixels across: what is small is faint there, and next to its place.
_FAINT, _NEAR = 0.1, 3
SMALLEST_SECOND_OPINION_PX = 64
"""Shortest side of what is looked at again at half its size."""
VIEWS = 3
"""Sizes that an image is predicted at: full, half, a quarter."""


class Cancelled(ImPartialError):
    """The caller asked for the prediction to end early."""


@dataclass(frozen=True)
class _Tile:
    """A core to fill, and the part of the padded image it is computed from."""

    core: tuple[slice, slice]
    source: tuple[slice, slice]
    halo: Halo


def predict(
    image: Image,
    model: TrainedModel,
    config: PredictionConfig | None = None,
    progress: ProgressCallback | None = None,
) -> Prediction:
    """Predict class probabilities and uncertainty of one image.

    Parameters
    ----------
    image : Image
        Its channels are the model's, in the same order.
    model : TrainedModel
    config : PredictionConfig, optional
        Defaults to the model's own.
    progress : callable, optional
        See :data:`ProgressCallback`.

    Returns
    -------
    Prediction

    Raises
    ------
    ImPartialError
        If the number of channels is not the model's, or an array is given.
    Cancelled
        If `progress` returned True.
    """
    if not isinstance(image, Image):
        raise ImPartialError(
            "An Image is predicted, one at a time; make it of an array with "
            "napari_impartial.core.data.image.from_array."
        )
    config = validate(config or model.card.prediction)
    n_channels = image.channels.shape[0]
    if n_channels != model.card.n_channels:
        raise ImPartialError(
            f"{image.name} has {n_channels} channel(s), but the model was trained on "
            f"{model.card.n_channels}: {', '.join(model.card.channel_names)}."
        )
    config = replace(config, second_opinion=config.second_opinion and model.card.second_opinion)
    network = model.network(resolve_device(config.device))
    return predict_normalized(
        network, normalize(image, *model.card.normalization), config, progress
    )


def predict_normalized(
    network: UNet,
    channels: npt.NDArray[np.float32],
    config: PredictionConfig,
    progress: ProgressCallback | None = None,
) -> Prediction:
    """Predict a normalized (C, Y, X) float32 array with a copy of a network, for evaluation.

    All tiles see the same dropout masks and all the context they depend on, so that the
    result does not depend on the tile size (but for dropout of single values, which each tile
    draws for itself). Where the configuration asks for it, the
    image is predicted at half and at a quarter of its size, too, and these have a say
    (:func:`combine`).
    """
    network = network.fused()
    if not config.second_opinion:
        return predict_part(network, channels, config, progress)
    seen = views(channels)
    ends = np.cumsum([view[0].size for view in seen]) / sum(view[0].size for view in seen)
    found: list[Prediction] = []
    for view, begin, end in zip(seen, (0.0, *ends), ends, strict=False):
        scaled = progress and _part_of(progress, begin, end)
        found.append(predict_part(network, view, config, scaled))
        config = replace(config, reconstruction=False)
    for number in range(len(found) - 1, 0, -1):
        apply_second_opinion(found[number - 1], found[number].probability, correction(number))
    return found[0]


def _part_of(progress: ProgressCallback, begin: float, end: float) -> ProgressCallback:
    """Return what reports the progress of a part of the work as that of the whole."""
    return lambda done: progress(begin + (end - begin) * done)


def views(channels: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
    """Return what is predicted for an image (C, Y, X): itself, its half, the half of that.

    No smaller ones of an image with a side under :data:`SMALLEST_SECOND_OPINION_PX`.
    """
    found = [channels]
    while len(found) < VIEWS and min(found[-1].shape[1:]) >= SMALLEST_SECOND_OPINION_PX:
        found.append(halve(found[-1]))
    return found


def combine(seen: Sequence[Tensor]) -> Tensor:
    """Let views at smaller sizes correct what only shows at full size.

    Noise and texture that look like small objects, or like holes in large ones, average
    out at half size; outlines and gaps between neighbours do not survive there. So the
    coarse view may deny foreground that it sees none of, and fill in where it sees
    nothing else, but draws no outline. Where a view at a quarter of the size sees next to nothing,
    near or far, it has denied what half the size shows, for the sake of noise whose grain is
    several pixels wide.

    Parameters
    ----------
    seen : sequence of (B, K, Y, X) float32
        Class probabilities, each at half the size of the one before, rounded up; of
        one view at least, and of :data:`VIEWS` at most.

    Returns
    -------
    (B, K, Y, X) float32
        As large as the first.
    """
    corrected = seen[-1]
    for number in range(len(seen) - 1, 0, -1):
        corrected = correction(number)(seen[number - 1], corrected)
    return corrected


def correction(number: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Return how a view (1: at half size, 2: at a quarter) corrects the next finer one."""
    return _corrected if number == 1 else _denied


def _corrected(fine: Tensor, coarse: Tensor) -> Tensor:
    """Let the view at half size, (B, K, Y/2, X/2), correct that at full size, (B, K, Y, X)."""
    spread = _spread(coarse, fine)
    seen = 1.0 - spread[:, :1]
    denied = fine[:, 1:] * (seen / _DENIED_BELOW).clamp(max=1.0)
    sure = ((seen - _FILLED_FROM) / (1.0 - _FILLED_FROM)).clamp(0.0, 1.0)
    filled = _FILLED_TO * sure * spread[:, 1:] / seen.clamp(min=1e-6)
    return _with_background(torch.maximum(denied, filled))


def _denied(fine: Tensor, coarse: Tensor) -> Tensor:
    """Deny foreground of one view, (B, K, Y, X), that half its size shows next to nothing of."""
    near = F.max_pool2d(1.0 - coarse[:, :1], _NEAR, stride=1, padding=_NEAR // 2)
    return _with_background(fine[:, 1:] * (_spread(near, fine) / _FAINT).clamp(max=1.0))


def _spread(coarse: Tensor, fine: Tensor) -> Tensor:
    """Enlarge maps at half size, (B, N, Y/2, X/2), to the size of others."""
    spread = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    height, width = fine.shape[-2:]
    return spread[..., :height, :width]


def _with_background(foreground: Tensor) -> Tensor:
    """Return class probabilities (B, K, Y, X) from those of the foreground, (B, K - 1, Y, X).

    Each class was raised or lowered by itself; together they stay a probability.
    """
    foreground = foreground / foreground.sum(dim=1, keepdim=True).clamp(min=1.0)
    background = (1.0 - foreground.sum(dim=1, keepdim=True)).clamp(min=0.0)
    return torch.cat([background, foreground], dim=1)


def apply_second_opinion(
    fine: Prediction,
    coarse: npt.NDArray[np.float32],
    correct: Callable[[Tensor, Tensor], Tensor],
) -> None:
    """Let class probabilities at half its size, (K, Y/2, X/2) float32, correct a prediction."""
    probability, entropy, information = fine.probability, fine.entropy, fine.mutual_information
    for rows in _some_rows(len(entropy)):
        # Spreading rows to twice as many needs one more at either side, looking near another.
        above, below = max(rows.start // 2 - 2, 0), (rows.stop + 1) // 2 + 2
        both = (probability[:, 2 * above : 2 * below], coarse[:, above:below])
        combined = correct(*(torch.from_numpy(part)[None] for part in both))[0].numpy()
        before = entropy[rows] - information[rows]
        probability[:, rows] = combined[:, rows.start - 2 * above : rows.stop - 2 * above]
        entropy[rows] = normalized_entropy(probability[:, rows])
        if fine.n_samples > 1:
            information[rows] = np.minimum(
                np.maximum(entropy[rows] - before, 0.0), information[rows]
            )


def _some_rows(height: int) -> Iterator[slice]:
    """Go through so many rows, some at a time."""
    for start in range(0, height, _ROWS):
        yield slice(start, min(start + _ROWS, height))


@torch.inference_mode()
def predict_part(
    network: UNet,
    channels: npt.NDArray[np.float32],
    config: PredictionConfig,
    progress: ProgressCallback | None = None,
    wanted: tuple[slice, slice] | None = None,
) -> Prediction:
    """Predict a normalized (C, Y, X) float32 array, or a part of it, at one scale.

    Parameters
    ----------
    network : UNet
        Fused.
    channels : (C, Y, X) float32
    config : PredictionConfig
    progress : callable, optional
    wanted : (slice, slice), optional
        Rows and columns to predict, beginning at multiples of the network's stride; what lies
        round them is context. By default all.
    """
    if not network.varied():
        config = replace(config, samples=0)
    device = next(network.parameters()).device
    precision = resolve_precision(config.precision, device)
    masks = _draw_masks(network, config)
    _draw_values(network, config, device)
    rows, cols = wanted or (slice(0, channels.shape[1]), slice(0, channels.shape[2]))
    padded = padded_to(channels, network.stride, "symmetric")
    sums = _Sums(network, (rows.stop - rows.start, cols.stop - cols.start), config)
    tiles = list(_tiles(padded.shape[1:], (rows, cols), config.tile_size, network))
    try:
        for number, tile in enumerate(tiles):
            if progress is not None and progress(number / len(tiles)):
                raise Cancelled("The prediction was cancelled.")
            # (Writable, or torch would warn.)
            source = np.require(padded[(slice(None), *tile.source)], requirements=["C", "W"])
            x = torch.from_numpy(source)[None].to(device, memory_format=memory_format(device))
            with computing_in(precision, device):
                shared = network.share(x, tile.halo)
            for chosen in _batches(config.samples, x.shape[-2] * x.shape[-1]):
                _set_masks(network, masks, chosen)
                with computing_in(precision, device):
                    features = network.vary(shared, chosen.stop - chosen.start)
                # Logits steer everything after, so the last, cheap layer is exact.
                # (A cropped map is not dense, and would be turned round unless told otherwise.)
                exact = features.to(torch.float32, memory_format=memory_format(device))
                sums.add(tile.core, *_head(network, exact, config.reconstruction))
            del shared, features, exact  # lest the next tile's come on top
    finally:
        _set_masks(network, [], slice(0))
        _draw_values(network, None, device)
    if progress is not None:
        progress(1.0)
    return sums.result()


def _head(network: UNet, features: Tensor, means: bool) -> tuple[Tensor, Tensor | None]:
    """Return logits, and the mean maps where they are wanted: of 100 channels, 400 maps."""
    if means:
        return network.split(network.head(features))
    m = network.n_components
    bias = None if network.head.bias is None else network.head.bias[:m]
    return F.conv2d(features, network.head.weight[:m], bias), None


class _Sums:
    """Running sums over the passes, (…, Y, X) float32 in the end."""

    def __init__(self, network: UNet, shape: tuple[int, int], config: PredictionConfig) -> None:
        self.network = network
        self.passes = max(config.samples, 1)
        self.samples = config.samples
        self.probability = np.zeros((network.n_classes, *shape), np.float32)
        self.entropy = np.zeros(shape, np.float32)
        m = network.n_components
        self.membership = np.zeros((m, *shape), np.float32) if config.reconstruction else None
        self.colours, self.weights = np.zeros((m, network.in_channels)), np.zeros(m)

    def add(self, core: tuple[slice, slice], logits: Tensor, means: Tensor | None) -> None:
        """Add a batch of passes over one tile."""
        inside = (
            slice(0, core[0].stop - core[0].start),
            slice(0, core[1].stop - core[1].start),
        )
        logits = logits[(..., *inside)]
        log_p = self.network.log_probability(logits)
        p = log_p.exp()
        self.probability[(slice(None), *core)] += (p.sum(0) / self.passes).cpu().numpy()
        entropy = -(p * log_p).sum(dim=(0, 1)) / self.passes
        self.entropy[core] += entropy.cpu().numpy()
        if self.membership is not None and means is not None:
            membership = logits.softmax(dim=1)
            self.membership[(slice(None), *core)] += (membership.sum(0) / self.passes).cpu().numpy()
            weighted = torch.einsum("tmyx,tmcyx->mc", membership, means[(..., *inside)])
            self.colours += weighted.cpu().numpy()
            self.weights += membership.sum(dim=(0, 2, 3)).cpu().numpy()

    def result(self) -> Prediction:
        """Return the means over the passes."""
        most = np.float32(np.log(self.network.n_classes))
        entropy, information = np.empty_like(self.entropy), np.zeros_like(self.entropy)
        for rows in _some_rows(len(entropy)):
            entropy[rows] = normalized_entropy(self.probability[:, rows])
            if self.samples > 1:
                gap = entropy[rows] - self.entropy[rows] / most
                information[rows] = np.clip(gap, 0.0, 1.0)
        reconstruction = None
        if self.membership is not None:
            colours = self.colours / np.maximum(self.weights, 1e-6)[:, None]
            reconstruction = np.einsum("myx,mc->cyx", self.membership, colours.astype(np.float32))
        return Prediction(self.probability, entropy, information, reconstruction, self.samples)


def _tiles(
    padded: tuple[int, ...], wanted: tuple[slice, slice], tile_size: int, network: UNet
) -> Iterator[_Tile]:
    """Cut the wanted part of a padded image into tiles on the network's pooling grid."""
    stride, halo = network.stride, network.halo
    rows, cols = wanted
    for y0, y1 in _steps(rows, tile_size, stride):
        for x0, x1 in _steps(cols, tile_size, stride):
            sides = (
                min(halo, y0),
                min(halo, padded[0] - y1),
                min(halo, x0),
                min(halo, padded[1] - x1),
            )
            yield _Tile(
                (
                    slice(y0 - rows.start, min(y1, rows.stop) - rows.start),
                    slice(x0 - cols.start, min(x1, cols.stop) - cols.start),
                ),
                (slice(y0 - sides[0], y1 + sides[1]), slice(x0 - sides[2], x1 + sides[3])),
                sides,
            )


def _steps(wanted: slice, tile_size: int, stride: int) -> Iterator[tuple[int, int]]:
    """Cut rows or columns into steps of about a tile's size, of one length but for the last.

    A narrow rest would cost nearly as much as a whole tile, for its context.
    """
    length = -(-(wanted.stop - wanted.start) // stride) * stride
    parts = max(round(length / tile_size), 1)
    step = -(-length // (parts * stride)) * stride
    for start in range(wanted.start, wanted.start + length, step):
        yield start, min(start + step, wanted.start + length)


def _draw_masks(network: UNet, config: PredictionConfig) -> list[Tensor]:
    """Draw the dropout masks of all passes; none for the pass without, or of single values."""
    if config.samples == 0 or network.varies_throughout:
        return []
    generator = torch.Generator().manual_seed(config.seed)
    device = next(network.parameters()).device
    return [layer.draw(config.samples, generator).to(device) for layer in network.varied()]


def _draw_values(network: UNet, config: PredictionConfig | None, device: torch.device) -> None:
    """Let dropout of single values be drawn in each pass, or, without `config`, no longer."""
    on = config is not None and config.samples > 0 and network.varies_throughout
    source = torch.Generator(device).manual_seed(config.seed) if config and on else None
    for layer in network.varied():
        layer.always, layer.generator = on, source


def _batches(samples: int, pixels: int) -> Iterator[slice]:
    """Divide the passes into batches that fit into memory."""
    step = max(1, _BATCH_PIXELS // pixels)
    for start in range(0, max(samples, 1), step):
        yield slice(start, min(start + step, samples))


def _set_masks(network: UNet, masks: list[Tensor], chosen: slice) -> None:
    """Fix the dropout layers to the masks of the chosen passes, or free them."""
    for number, layer in enumerate(network.varied()):
        layer.mask = masks[number][chosen] if masks else None
