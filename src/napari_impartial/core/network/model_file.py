"""Models on disk: weights in the safetensors format, with the card as metadata."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from napari_impartial.core.atomic_write import atomic_path
from napari_impartial.core.errors import ImPartialError, ModelFileError

from .device import memory_format
from .model_card import EXTENSION, FORMAT, ModelCard, read_card
from .unet import UNet


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A network's weights and what they are.

    Attributes
    ----------
    card : ModelCard
    weights : dict of str to Tensor
        State of the network, on the CPU, float32.
    """

    card: ModelCard
    weights: dict[str, Tensor]

    def network(self, device: torch.device | str = "cpu") -> UNet:
        """Build the network with these weights, in evaluation mode."""
        network = UNet(self.card.n_channels, self.card.n_classes, self.card.model)
        network.load_state_dict(self.weights)
        return network.to(device).to(memory_format=memory_format(torch.device(device))).eval()  # type: ignore[call-overload]


def save_model(model: TrainedModel, path: str | Path) -> Path:
    """Write a model to one file, all or nothing.

    Returns
    -------
    Path
        The path written, as given.
    """
    path = Path(path)
    weights = {name: value.contiguous() for name, value in model.weights.items()}
    # The library's own way to write a file ends on a full disk in an error that is no OSError.
    content = save(weights, metadata={FORMAT: model.card.to_json()})
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return path


def save_model_anywhere(model: TrainedModel, path: str | Path) -> tuple[Path, str]:
    """Write a model, elsewhere if it cannot be written to `path`: hours may have gone into it.

    Returns
    -------
    Path
        Where it is.
    str
        Why that is not `path`, in a sentence; empty where it is.

    Raises
    ------
    ImPartialError
        If it can be written nowhere.
    """
    try:
        return save_model(model, path), ""
    except ImPartialError as error:
        name = f"{Path(path).stem[:64]}-{datetime.now():%Y%m%d-%H%M%S}{EXTENSION}"
        for folder in _other_places():
            try:
                return save_model(model, folder / name), str(error)
            except (ImPartialError, OSError):
                continue
        raise


def _other_places() -> list[Path]:
    """Return folders that may have room where another one has not."""
    import platformdirs

    places = [platformdirs.user_data_path("napari-impartial", appauthor=False) / "models"]
    places += [Path(tempfile.gettempdir()), Path.cwd()]
    # Lost when the computer goes down, but not before.
    memory = Path("/dev/shm")
    return [*places, memory] if memory.is_dir() else places


def load_model(path: str | Path) -> TrainedModel:
    """Read a model; no code in the file is run.

    Raises
    ------
    ModelFileError
        If the file is missing, truncated, foreign or of a newer format, or its weights do
        not fit its card.
    """
    card = read_card(path)
    try:
        # Read whole: weights mapped from the file would change with it, under a training.
        weights = load(Path(path).read_bytes())
    except (SafetensorError, OSError, ValueError, MemoryError) as error:
        raise ModelFileError(f"The model {path} is damaged ({error}).") from error
    with torch.device("meta"):  # shapes only, whatever size the card claims
        expected = UNet(card.n_channels, card.n_classes, card.model).state_dict()
    if {n: w.shape for n, w in weights.items()} != {n: w.shape for n, w in expected.items()}:
        raise ModelFileError(
            f"{path}: the weights do not fit its description (channels, classes and network); "
            "use another copy of the file."
        )
    for name, values in weights.items():
        # counters of batches are whole numbers, and nothing else is
        if values.is_floating_point() != expected[name].is_floating_point():
            raise ModelFileError(
                f"{path}: its weights are stored as {str(values.dtype).removeprefix('torch.')}, "
                "which they cannot be; use another copy of the file."
            )
        if not torch.isfinite(values).all() or (
            name.endswith("running_var") and bool((values < 0).any())
        ):
            raise ModelFileError(
                f"{path}: some of its weights are no numbers, and nothing could be predicted; "
                "train again, or use another copy of the file."
            )
    return TrainedModel(card, weights)
