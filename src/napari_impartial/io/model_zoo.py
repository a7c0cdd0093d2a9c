"""Packages for the BioImage Model Zoo: a model that other programs can run.

The package is a zip file in the zoo's format for models, 0.5: a description (rdf), weights,
an image to test with and what comes out of it, and documentation. It is written and
checked by the zoo's own library, bioimageio.spec, which is loaded when it is needed and
is not among the base dependencies.
"""

from __future__ import annotations

import os
import re
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_impartial import __version__
from napari_impartial.core.atomic_write import WorkFolder, atomic_path
from napari_impartial.core.data.image import Image
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.network.model_card import ModelCard

if TYPE_CHECKING:
    from napari_impartial.core.network.model_file import TrainedModel

SUFFIX = ".zip"
#: Sides of the image to test with, and of one where a channel is almost empty in that.
TEST_SIDE_PX, LARGE_TEST_SIDE_PX = 256, 1024
#: How far a pixel's probability may be from ours for the package to be written.
TOLERANCE = 1e-3
#: What surrounds a tile, for programs that cut images into tiles.
HALO_PX = 64
#: What the zoo adds to a range of intensities, lest it is zero: at most, and as a share of it.
MOST_EPS, EPS_SHARE = 1e-6, 1e-5

_PAPER = (
    "ImPartial: Multi-channel Whole-Cell Segmentation using Partial Annotations",
    "10.48550/arXiv.2605.24128",
)
_MISSING = (
    "A package for the BioImage Model Zoo needs: pip install 'napari-impartial[zoo]'; install "
    "it and try again."
)


@dataclass(frozen=True)
class About:
    """Description of a model for the zoo.

    Attributes
    ----------
    name : str
        Letters, digits, blanks and ``_+-()`` are kept.
    authors : tuple of str
        May be empty; the zoo asks for them before it publishes.
    license : str
        SPDX identifier, such as ``CC-BY-4.0``; "" for none.
    """

    name: str
    authors: tuple[str, ...] = ()
    license: str = ""


def check_about(path: str | os.PathLike[str], about: About) -> None:
    """Refuse early what the zoo would refuse in the end.

    Raises
    ------
    ImPartialError
        If the zoo's library is not installed, `path` does not end in .zip, an author has no
        name or a slash in it, or the license is not known.
    """
    v0_5 = _specification()
    if Path(path).suffix.lower() != SUFFIX:
        raise ImPartialError(f"{path} does not end in {SUFFIX}; name the package so.")
    for author in about.authors:
        if not author.strip() or "/" in author or "\\" in author:
            raise ImPartialError(f"{author!r} is no author: a name without slashes is needed.")
    if about.license:
        try:
            v0_5.LicenseId(about.license)
        except ValueError:
            raise ImPartialError(
                f"{about.license} is no license that SPDX lists; give its identifier, such as "
                "CC-BY-4.0 or MIT."
            ) from None


def write_zoo_package(
    path: str | os.PathLike[str], model: TrainedModel, image: Image, about: About
) -> list[str]:
    """Write a model as a package for the BioImage Model Zoo, whole or not at all.

    Parameters
    ----------
    path
        Name ending in .zip.
    model : TrainedModel
    image : Image
        With the model's channels, in its order; a field of it becomes the image that the
        package can be tested with, and is published with it.
    about : About

    Returns
    -------
    list of str
        What the zoo recommends and the package does not have yet.

    Raises
    ------
    ImPartialError
        As :func:`check_about`, and if `image` has other channels, the zoo's preprocessing
        does not give what ours does on it (a channel that is almost empty), or the file
        cannot be written.
    """
    import torch

    from napari_impartial.core.prediction.torchscript import standalone, write_torchscript

    check_about(path, about)
    v0_5, card = _specification(), model.card
    if image.n_channels != card.n_channels:
        raise ImPartialError(
            f"{image.name} has {image.n_channels} channel(s), but the model was trained on "
            f"{card.n_channels}: {', '.join(card.channel_names)}."
        )
    network = standalone(model)
    step = network.step_px
    # The margin that tiles lose on both sides must leave something of the smallest image.
    least = max(network.least_px, (2 * HALO_PX // step + 1) * step)
    field = _field(image, card, least, step)
    with WorkFolder("package") as folder:
        write_torchscript(network, folder / "weights.pt")
        np.save(folder / "test_input.npy", field[np.newaxis])
        eps = _eps(field, card.normalization)
        probability = _run(folder / "weights.pt", scale_range(field, card.normalization, eps))
        _check_same(probability, model, field, image)
        np.save(folder / "test_output.npy", probability[np.newaxis])
        (folder / "README.md").write_text(
            _documentation(card, about), encoding="utf-8", errors="backslashreplace"
        )
        with warnings.catch_warnings():
            # The library's own; what it thinks of the package is asked for below.
            warnings.simplefilter("ignore")
            description = _describe(
                v0_5, folder, card, about, (least, step), eps, torch.__version__
            )
            with atomic_path(path) as temporary:
                return _save(description, temporary)


def scale_range(
    channels: NDArray[np.float32], percentiles: tuple[float, float], eps: float = MOST_EPS
) -> NDArray[np.float32]:
    """Do what the zoo's preprocessing of that name does with each channel.

    Unlike :func:`core.data.image.normalize` it adds `eps` to the range, knows no way out where
    both percentiles coincide, and leaves NaN and what is far off to the network.

    Parameters
    ----------
    channels : (C, Y, X) array
    percentiles : (low, high)
        Become 0 and 1.
    eps : float
        Added to the range.
    """
    low, high = np.percentile(channels, percentiles, axis=(1, 2), keepdims=True)
    return np.asarray((channels - low) / (high - low + eps), dtype=np.float32)


def _eps(channels: NDArray[np.float32], percentiles: tuple[float, float]) -> float:
    """Choose what :func:`scale_range` adds: too little to be seen in the smallest range."""
    low, high = np.percentile(channels, percentiles, axis=(1, 2))
    ranges = (high - low)[high > low]
    return min(MOST_EPS, EPS_SHARE * float(ranges.min(initial=np.inf)))


def _specification() -> ModuleType:
    """Import the zoo's library: its model format 0.5."""
    try:
        # Its modules use what newer libraries call deprecated.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from bioimageio.spec.model import v0_5
    except ImportError as error:
        raise ImPartialError(_MISSING) from error
    return v0_5


def _field(image: Image, card: ModelCard, least: int, step: int) -> NDArray[np.float32]:
    """Cut a field out of the middle, of a size that the network takes as it is.

    A larger one is taken where a channel is almost empty in it. NaN becomes 0.
    """
    channels = np.nan_to_num(image.channels, nan=0.0)
    middle: NDArray[np.float32] = channels
    for side in (max(TEST_SIDE_PX, least), max(LARGE_TEST_SIDE_PX, least)):
        middle = _middle(channels, side, least, step)
        if not any(_is_almost_empty(channel, card.normalization) for channel in middle):
            return middle
    return middle


def _middle(channels: NDArray[np.float32], side: int, least: int, step: int) -> NDArray[np.float32]:
    """Cut out the middle, at most `side` px; what is smaller than `least` is mirrored."""
    short = [(max(least - n, 0), n) for n in channels.shape[1:]]
    padded = np.pad(channels, [(0, 0), *((0, missing) for missing, _ in short)], mode="symmetric")
    parts = []
    for n in padded.shape[1:]:
        size = least + (min(side, n) - least) // step * step
        start = (n - size) // 2
        parts.append(slice(start, start + size))
    return np.ascontiguousarray(padded[(slice(None), *parts)])


def _is_almost_empty(channel: NDArray[np.float32], percentiles: tuple[float, float]) -> bool:
    """Return whether both percentiles coincide though the channel is not constant."""
    low, high = np.percentile(channel, percentiles)
    return bool(low == high and channel.min() < channel.max())


def _run(weights: Path, normalized: NDArray[np.float32]) -> NDArray[np.float32]:
    """Let the weights that were written predict, as another program would."""
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        network = torch.jit.load(os.fspath(weights))
    with torch.no_grad():
        return np.asarray(network(torch.from_numpy(normalized)[None])[0].numpy())


def _check_same(
    probability: NDArray[np.float32], model: TrainedModel, field: NDArray[np.float32], image: Image
) -> None:
    """Refuse a package that does not predict what we do.

    Raises
    ------
    ImPartialError
        If a channel of the image is the reason.
    """
    from napari_impartial.core.config import PredictionConfig
    from napari_impartial.core.prediction.predict import predict

    config = PredictionConfig(samples=0, device="cpu", precision="float32")
    ours = predict(Image(field, image.channel_names, image.name), model, config)
    off = float(np.abs(ours.probability - probability).max())
    if off <= TOLERANCE:
        return
    empty = [
        name
        for name, channel in zip(model.card.channel_names, field, strict=True)
        if _is_almost_empty(channel, model.card.normalization)
    ]
    if empty:
        raise ImPartialError(
            f"{', '.join(empty)} of {image.name} is almost empty, and other programs would "
            "normalize it in another way; choose an image with more in it."
        )
    raise RuntimeError(f"the exported network is off by {off:.2g} in probability")


def _describe(
    v0_5: ModuleType,
    folder: Path,
    card: ModelCard,
    about: About,
    sizes: tuple[int, int],
    eps: float,
    torch_version: str,
) -> Any:
    """Return the description of the package whose files lie in `folder`."""
    size = v0_5.ParameterizedSize(min=sizes[0], step=sizes[1])
    low, high = card.normalization
    scaling = v0_5.ScaleRangeDescr(
        kwargs=v0_5.ScaleRangeKwargs(
            axes=("y", "x"), min_percentile=low, max_percentile=high, eps=eps
        )
    )
    image_input = v0_5.InputTensorDescr(
        id="image",
        description="Raw intensities, one channel for each stain.",
        axes=[
            v0_5.BatchAxis(),
            v0_5.ChannelAxis(channel_names=list(card.channel_names)),
            v0_5.SpaceInputAxis(id="y", size=size),
            v0_5.SpaceInputAxis(id="x", size=size),
        ],
        test_tensor=v0_5.FileDescr(source=folder / "test_input.npy"),
        data=v0_5.IntervalOrRatioDataDescr(type="float32"),
        preprocessing=[scaling],
    )
    output = v0_5.OutputTensorDescr(
        id="probability",
        description="Probability of each class; the first is background.",
        axes=[
            v0_5.BatchAxis(),
            v0_5.ChannelAxis(channel_names=list(card.class_names)),
            *(
                v0_5.SpaceOutputAxisWithHalo(
                    id=axis,
                    halo=HALO_PX,
                    size=v0_5.SizeReference(tensor_id="image", axis_id=axis),
                )
                for axis in ("y", "x")
            ),
        ],
        test_tensor=v0_5.FileDescr(source=folder / "test_output.npy"),
        data=v0_5.IntervalOrRatioDataDescr(type="float32", range=(0.0, 1.0)),
    )
    weights = v0_5.WeightsDescr(
        torchscript=v0_5.TorchscriptWeightsDescr(
            source=folder / "weights.pt", pytorch_version=torch_version.partition("+")[0]
        )
    )
    return v0_5.ModelDescr(
        name=zoo_name(about.name),
        description=_summary(card),
        authors=[v0_5.Author(name=name) for name in about.authors],
        license=about.license or None,
        documentation=v0_5.FileDescr(source=folder / "README.md"),
        # By its DOI: of a web address the library would ask the network whether it is there.
        cite=[v0_5.CiteEntry(text=_PAPER[0], doi=_PAPER[1])],
        tags=["segmentation", "2d", "pytorch", "microscopy", "napari-impartial"],
        inputs=[image_input],
        outputs=[output],
        weights=weights,
    )


def zoo_name(name: str) -> str:
    """Return a name that the zoo allows: 5 to 128 letters, digits, blanks and ``_+-()``."""
    allowed = " ".join(re.sub(r"[^A-Za-z0-9_+\-()]+", " ", name).split())
    return (allowed if len(allowed) >= 5 else f"{allowed} model".strip())[:128].strip()


def _summary(card: ModelCard) -> str:
    channels = ", ".join(card.channel_names)
    return (
        f"Segments {', '.join(card.class_names[1:])} in images of {channels}; trained with "
        "napari-impartial from scribbles."
    )[:1024]


def _documentation(card: ModelCard, about: About) -> str:
    low, high = card.normalization
    held_out = (
        "no annotation was held out"
        if card.best_validation_loss is None
        else f"loss on held-out scribbles {card.best_validation_loss:.4g}"
    )
    looks = "at full size, half and a quarter of it" if card.looks_again else "at full size"
    return f"""\
# {zoo_name(about.name)}

{_summary(card)}

- Input: one plane with the channels {", ".join(card.channel_names)}, raw intensities. Each
  channel of each image is scaled so that its percentiles {low:g} and {high:g} become 0 and 1.
- Output: the probability of each class, {", ".join(card.class_names)}. Objects are cut from
  it by a threshold (0.5 is a start) and connected components or watershed.
- Network: a U-Net of depth {card.model.depth} with {card.parameters} parameters that looks at
  the image {looks}. It runs once, without dropout: the maps of
  uncertainty of napari-impartial, and its way of cutting objects, are not part of it.
- A channel that is empty but for a few bright pixels, fewer than {100 - high:g} %, is scaled
  in another way by napari-impartial.

# Training

{card.rounds} round(s), {card.steps} steps, {card.seconds:.0f} s on {card.device}, finished
{card.created}, with napari-impartial {card.program_version}; packaged with {__version__}.
The method: {_PAPER[0]},
<https://doi.org/{_PAPER[1]}>.

# Validation

From the training itself: {held_out}. Compare with annotated images of your own before you
rely on it.
"""


def _save(description: Any, path: Path) -> list[str]:
    """Write the package and check it as the zoo does; return what it recommends."""
    from bioimageio.spec import InvalidDescr, load_description, save_bioimageio_package_to_stream

    with open(path, "wb") as stream:
        save_bioimageio_package_to_stream(description, output_stream=stream)
    # Opened here: the library would leave the file open.
    with zipfile.ZipFile(path) as archive:
        again = load_description(archive)
    if isinstance(again, InvalidDescr):
        raise RuntimeError(f"the package is not valid: {again.get_reason()}")
    return [
        f"{'.'.join(map(str, warning.loc))}: {warning.msg}"
        for detail in again.validation_summary.details
        for warning in detail.warnings
    ]
