"""The model card: what a trained model is, as text anybody can read.

It travels in the metadata of the model file, which is in the safetensors format: a JSON
header and raw numbers. Opening one runs no code.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .config import ModelConfig, TrainingConfig, validate
from .errors import ModelFileError

FORMAT = "napari-impartial"
FORMAT_VERSION = 1
EXTENSION = ".impartial"


@dataclass(frozen=True)
class ModelCard:
    """Description of a trained model.

    Attributes
    ----------
    channel_names : tuple of str
        The C input channels, in order.
    class_names : tuple of str
        The K classes; the first is background.
    normalization : (float, float)
        Percentiles of each image's channels that become 0 and 1.
    model, training : ModelConfig, TrainingConfig
        Settings the network was made and fitted with.
    created : str
        Date and time of the end of training, ISO 8601, UTC.
    device : str
        Where it was trained, such as ``cpu (bfloat16)``.
    seconds, steps, rounds : float, int, int
        Training time and steps over all rounds; a round is one call of training.
    parameters : int
        Number of trained numbers.
    best_validation_loss : float or None
        Of the weights in the file; None where nothing was held out.
    history : tuple of dict
        Losses over time: ``step``, ``elapsed_s``, ``training`` and ``validation``.
    """

    channel_names: tuple[str, ...]
    class_names: tuple[str, ...]
    normalization: tuple[float, float]
    model: ModelConfig
    training: TrainingConfig
    created: str
    program_version: str
    device: str
    seconds: float
    steps: int
    rounds: int
    parameters: int
    best_validation_loss: float | None
    history: tuple[dict[str, Any], ...] = ()
    format_version: int = FORMAT_VERSION

    @property
    def n_channels(self) -> int:
        """Number of input channels, C."""
        return len(self.channel_names)

    @property
    def n_classes(self) -> int:
        """Number of classes, K, background included."""
        return len(self.class_names)

    def to_json(self) -> str:
        """Return the card as a JSON object."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Return the card that :meth:`to_json` wrote.

        Raises
        ------
        ModelFileError
            If a newer version of the program wrote it, or something is missing.
        """
        try:
            values = json.loads(text)
            if values["format_version"] > FORMAT_VERSION:
                raise ModelFileError(
                    f"This model was saved by a newer version of the program "
                    f"({values.get('program_version')}); update napari-impartial to open it."
                )
            values["model"] = validate(ModelConfig(**values["model"]))
            values["training"] = validate(TrainingConfig(**values["training"]))
            for name in ("channel_names", "class_names", "normalization", "history"):
                values[name] = tuple(values[name])
            return cls(**values)
        except ModelFileError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ModelFileError(f"The model's description cannot be read ({error}).") from error


def read_card(path: str | Path) -> ModelCard:
    """Read a model's card without its weights, and without torch.

    Raises
    ------
    ModelFileError
        If the file is missing, truncated, not a model, or of a newer format.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"There is no model file {path}.")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelFileError(
            f"{path} is not a model of napari-impartial, or it is damaged ({error})."
        ) from error
    if FORMAT not in metadata:
        raise ModelFileError(f"{path} holds weights, but no model of napari-impartial.")
    return ModelCard.from_json(metadata[FORMAT])
