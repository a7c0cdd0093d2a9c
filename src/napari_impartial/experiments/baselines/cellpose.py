"""Cellpose 3 as a peer: its network, flows and masks, trained on partial annotation.

Cellpose's own training takes every pixel outside of a mask for background. Here the
network, the flows, the augmentation and the way from flows to masks are Cellpose's, and so are
its loss, optimizer and rates; the loop is ours, and leaves pixels that are not annotated
out of the loss. Training lasts for the time budget that the network of this program gets.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_impartial.core.config import TrainingConfig
from napari_impartial.core.data.image import Image
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.training.schedule import Clock, Schedule
from napari_impartial.io.lazy import first_line

from .partial_masks import UNKNOWN, annotated_window, mean_diameter_px

if TYPE_CHECKING:
    import torch

# As Cellpose 3 trains: cells of 30 px, crops of 224 px, batches of 8.
_DIAMETER_PX = 30.0
_CROP_PX = 224
_BATCH = 8
_SCALE_RANGE = 0.5
_FEATURES = (32, 64, 128, 256)
_LEARNING_RATE, _WEIGHT_DECAY = 5e-3, 1e-5
_WARM_UP, _COOL_DOWN = 0.05, 0.2


@dataclass(frozen=True)
class Cellpose:
    """A trained Cellpose network.

    Attributes
    ----------
    network
        A ``cellpose.resnet_torch.CPnet``.
    n_channels : int
    diameter_px : float
        What its cells measure; images are scaled so that they measure 30 px.
    """

    network: Any
    n_channels: int
    diameter_px: float


def check_available() -> None:
    """Raise a clear error if Cellpose 3 is not installed; imports nothing.

    Raises
    ------
    ImPartialError
        Naming what to install.
    """
    try:
        version = metadata.version("cellpose")
    except metadata.PackageNotFoundError:
        version = ""
    if not version.startswith("3."):
        have = f"Cellpose {version}" if version else "none"
        raise ImPartialError(
            f"The method cellpose needs Cellpose 3, and {have} is installed; run: "
            "pip install 'napari-impartial[bench]' (on Python 3.11 or 3.12)"
        )


def load_library() -> None:
    """Import Cellpose, which takes seconds."""
    with _quiet():
        from cellpose import core, dynamics, resnet_torch, transforms  # noqa: F401


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Cellpose's log off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def train(
    images: Sequence[Image],
    labels: Sequence[NDArray[np.int32]],
    config: TrainingConfig,
    report: Callable[[float], None] | None = None,
) -> Cellpose:
    """Train from scratch.

    Parameters
    ----------
    images : sequence of Image
    labels : sequence of (Y, X) int32
        See :func:`~napari_impartial.experiments.baselines.partial_masks.partial_labels`.
    config : TrainingConfig
        Its budget (time or steps), seed and device.
    report : callable, optional
        Gets the share done, 0 to 1.

    Raises
    ------
    ImPartialError
        If Cellpose is missing or no cell is annotated.
    """
    check_available()
    import torch
    from cellpose.resnet_torch import CPnet

    from napari_impartial.core.network.device import resolve_device

    diameter = mean_diameter_px(list(labels))
    device = resolve_device(config.device)
    schedule = Schedule(config, Clock())
    with _quiet(), _seeded(config.seed), torch.random.fork_rng(devices=()):
        torch.random.default_generator.manual_seed(config.seed)
        network = CPnet([images[0].n_channels, *_FEATURES], 3, sz=3, diam_mean=_DIAMETER_PX)
        # part of the weights, so that they say by themselves how images are to be scaled
        network.diam_labels.data.fill_(diameter)
        network = network.to(device)
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY
        )
        data = _Data(images, labels, diameter, np.random.default_rng(config.seed))
        network.train()
        steps = 0
        while True:
            done = schedule.fraction(steps)
            if report is not None:
                report(done)
            if done >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = _LEARNING_RATE * _rate(done)
            x, known, target = (torch.from_numpy(a).to(device) for a in data.batch())
            loss = _loss(network(x)[0], known, target)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            steps += 1
    return Cellpose(network.eval(), images[0].n_channels, diameter)


def _rate(done: float) -> float:
    """Rise over the first twentieth, fall over the last fifth."""
    return min(1.0, max(done / _WARM_UP, 0.05), max((1 - done) / _COOL_DOWN, 0.01))


def _loss(maps: torch.Tensor, known: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cellpose's loss over the known pixels.

    Parameters
    ----------
    maps : (B, 3, P, P)
        Flows along y and x, and cell probability as logits.
    known : (B, P, P) bool
    target : (B, 3, P, P)
        Cell probability, flows along y and x.
    """
    import torch.nn.functional as F

    weight = known.float()
    total = weight.sum().clamp(min=1.0)
    flows = ((maps[:, :2] - 5.0 * target[:, 1:]) ** 2).mean(dim=1)
    cell = F.binary_cross_entropy_with_logits(
        maps[:, 2], (target[:, 0] > 0.5).float(), reduction="none"
    )
    return ((flows / 2 + cell) * weight).sum() / total


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed NumPy's global state, which Cellpose augments with, and put it back."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


class _Data:
    """Draws augmented crops from where the annotation is."""

    def __init__(
        self,
        images: Sequence[Image],
        labels: Sequence[NDArray[np.int32]],
        diameter: float,
        rng: np.random.Generator,
    ) -> None:
        import torch
        from cellpose import dynamics

        self.rng, self.diameter = rng, diameter
        self.images, self.labels, self.targets = [], [], []
        for image, one in zip(images, labels, strict=True):
            if not (one >= 0).any():
                continue
            cells = np.maximum(one, 0)
            flows = dynamics.masks_to_flows(cells, device=torch.device("cpu"))
            # what is known goes along as the first map, the one that is not interpolated
            maps = [(one != UNKNOWN)[None], (one > 0)[None], flows]
            self.images.append(_normalized(image))
            self.labels.append(one)
            self.targets.append(np.concatenate(maps).astype(np.float32))
        cells_in = np.array([float((one > 0).sum()) for one in self.labels])
        self.chance = cells_in / cells_in.sum()

    def batch(self) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32]]:
        """Return (B, C, P, P) crops, where they are known, and (B, 3, P, P) targets."""
        from cellpose.transforms import random_rotate_and_resize

        rescale = self.diameter / _DIAMETER_PX
        # as much as the smallest magnification shows
        side = round(_CROP_PX * rescale / (1 - _SCALE_RANGE / 2)) + 1
        x, y = [], []
        for index in self.rng.choice(len(self.images), size=_BATCH, p=self.chance):
            window = annotated_window(self.labels[index], side, self.rng)
            x.append(self.images[index][(slice(None), *window)])
            y.append(self.targets[index][(slice(None), *window)])
        crops, maps, _ = random_rotate_and_resize(
            x,
            Y=y,
            rescale=np.full(_BATCH, rescale),
            scale_range=_SCALE_RANGE,
            xy=(_CROP_PX, _CROP_PX),
        )
        return crops, maps[:, 0] > 0.5, np.ascontiguousarray(maps[:, 1:])


def _normalized(image: Image) -> NDArray[np.float32]:
    """Scale the channels as Cellpose does, 1st and 99th percentile to 0 and 1; (C, Y, X)."""
    from cellpose.transforms import normalize_img

    finite = np.nan_to_num(np.moveaxis(image.channels, 0, -1), nan=0.0)
    return np.moveaxis(normalize_img(finite, axis=-1), -1, 0).astype(np.float32)


def load(weights: Path, n_channels: int) -> Cellpose:
    """Open a network that the user has trained with Cellpose 3, or its own weights.

    Parameters
    ----------
    weights : Path
    n_channels : int
        Channels that it shall see. Published weights take two, so that images of one
        get a second, empty one.

    Raises
    ------
    ImPartialError
        If it is no file with weights of Cellpose 3 for so many channels.
    """
    check_available()
    from cellpose.resnet_torch import CPnet

    n_channels = max(n_channels, 2)
    network = CPnet([n_channels, *_FEATURES], 3, sz=3)
    before = network.output[2].weight.detach().clone()
    try:
        with _quiet():
            network.load_model(str(weights))  # unpickles nothing but tensors
    except Exception as error:  # whatever comes up in a foreign file
        raise ImPartialError(
            f"{weights} holds no weights of Cellpose 3 for {n_channels} channels "
            f"({first_line(error)})."
        ) from error
    if bool((network.output[2].weight == before).all()):
        # names that it does not know, Cellpose passes over
        raise ImPartialError(f"{weights} holds no weights of Cellpose 3.")
    diameter = float(network.diam_labels.item())
    return Cellpose(network.eval(), n_channels, diameter)


def segment(image: Image, peer: Cellpose) -> NDArray[np.int32]:
    """Outline the cells of an image, (Y, X) int32.

    Raises
    ------
    ImPartialError
        If the image has more channels than the network.
    """
    from cellpose import core, dynamics

    if image.n_channels > peer.n_channels:
        raise ImPartialError(
            f"{image.name} has {image.n_channels} channels, this Cellpose takes {peer.n_channels}."
        )
    channels = np.moveaxis(_normalized(image), 0, -1)
    lacking = peer.n_channels - image.n_channels
    channels = np.pad(channels, [(0, 0), (0, 0), (0, lacking)])
    scale = _DIAMETER_PX / peer.diameter_px
    with _quiet():
        (maps,), _ = core.run_net(peer.network, channels[None], rsz=scale)
        masks = dynamics.resize_and_compute_masks(
            np.ascontiguousarray(np.moveaxis(maps[..., :2], -1, 0)),
            np.ascontiguousarray(maps[..., 2]),
            resize=image.shape,
        )
    return np.asarray(masks, dtype=np.int32)
