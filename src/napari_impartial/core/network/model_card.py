"""The model card: what a trained model is, as text anybody can read.

It travels in the metadata of the model file, which is in the safetensors format: a JSON
header and raw numbers. Opening one runs no code.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_impartial.core.atomic_write import atomic_path
from napari_impartial.core.config import (
    InstanceConfig,
    ModelConfig,
    PredictionConfig,
    TrainingConfig,
    parameters,
    validate,
)
from napari_impartial.core.data.stroke_report import StrokeReport
from napari_impartial.core.errors import ImPartialError, ModelFileError

FORMAT = "napari-impartial"
FORMAT_VERSION = 1
EXTENSION = ".impartial"
# What the format allows.
_LARGEST_HEADER = 100_000_000


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
    second_opinion : bool
        Whether views at smaller sizes are heeded in prediction: not where they contradicted
        strokes.
    prediction, instances : PredictionConfig, InstanceConfig
        How the model predicts and how its maps are cut unless one says otherwise: as its
        preset has it, and by the split strength that suits the annotated cells.
    strokes : StrokeReport or None
        How the model agrees with the strokes it learned from; None in older files.
    scaled_over : str
        Of what the percentiles are taken: each ``plane``, or the ``volume`` that it is of.
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
    second_opinion: bool = True
    prediction: PredictionConfig = field(default_factory=PredictionConfig)
    instances: InstanceConfig = field(default_factory=InstanceConfig)
    strokes: StrokeReport | None = None
    scaled_over: str = "plane"
    format_version: int = FORMAT_VERSION

    @property
    def n_channels(self) -> int:
        """Number of input channels, C."""
        return len(self.channel_names)

    @property
    def n_classes(self) -> int:
        """Number of classes, K, background included."""
        return len(self.class_names)

    @property
    def looks_again(self) -> bool:
        """Return whether prediction looks at smaller sizes, too, unless one says otherwise."""
        return self.second_opinion and self.prediction.second_opinion

    def cut(self, given: Mapping[str, Any]) -> InstanceConfig:
        """Return how the model's maps are cut.

        Parameters
        ----------
        given : mapping
            Settings of :class:`InstanceConfig` that somebody chose, by name. The split strength
            and the sharpening that the strokes chose are for the model's own way of splitting.
        """
        own = self.instances
        if given.get("split", own.split) != own.split:
            usual = InstanceConfig()
            own = dataclasses.replace(
                own, split_strength=usual.split_strength, sharpen=usual.sharpen
            )
        return validate(dataclasses.replace(own, **given))

    def to_json(self) -> str:
        """Return the card as a JSON object."""
        values = dataclasses.asdict(self)
        # What is left at its default follows the default, should it ever change.
        for name, config in (("prediction", PredictionConfig()), ("instances", InstanceConfig())):
            defaults = dataclasses.asdict(config)
            values[name] = {k: v for k, v in values[name].items() if v != defaults[k]}
        text = json.dumps(values, ensure_ascii=False)
        # Names of files that are no text may have come into those of channels.
        return text.encode("utf-8", "replace").decode("utf-8")

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Return the card that :meth:`to_json` wrote.

        Raises
        ------
        ModelFileError
            If a newer version of the program wrote it, or anything in it is missing, not
            known, or not what it has to be.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            raise _unreadable("it is no JSON") from None
        if not isinstance(values, dict):
            raise _unreadable("it is no JSON object")
        # First of all: what else a newer version writes, this one cannot judge.
        _check("format_version", values)
        if values["format_version"] > FORMAT_VERSION:
            raise ModelFileError(
                f"This model was saved by a newer version of the program "
                f"({values.get('program_version')}); update napari-impartial to open it."
            )
        values = _ABSENT_ONCE | values
        for name in values:
            if name not in _ENTRIES:
                raise _unreadable(f"{name} is not known")
        for name in _ENTRIES:
            _check(name, values)
        # Trainings of before these settings did without.
        values["training"] = {"implied_labels": False, "edge_weight": 0.0, **values["training"]}
        if values["training"].get("preset") == "best":
            # There was a preset of this name, which was the default with more time.
            values["training"] = {**values["training"], "preset": "balanced"}
        for name, config in _CONFIGS.items():
            values[name] = _settings(config, name, values[name])
        if values["strokes"] is not None:
            values["strokes"] = StrokeReport.from_json(values["strokes"])
        for name in ("channel_names", "class_names", "normalization", "history"):
            values[name] = tuple(values[name])
        return cls(**values)


_LARGEST = 10**18
_CONFIGS: dict[str, type[Any]] = {
    "model": ModelConfig,
    "training": TrainingConfig,
    "prediction": PredictionConfig,
    "instances": InstanceConfig,
}
# What the cards of older files lack.
_ABSENT_ONCE: dict[str, Any] = {
    "history": [],
    "second_opinion": True,
    "prediction": {},
    "instances": {},
    "strokes": None,
    "scaled_over": "plane",
}


def _is_text(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    # JSON can say half of a character, which can be printed nowhere.
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _is_number(value: Any) -> bool:
    # True is an int to isinstance; a whole number may be too large to be told as any other
    return type(value) is float or (type(value) is int and abs(value) <= _LARGEST)


def _is_whole(value: Any) -> bool:
    return type(value) is int and abs(value) <= _LARGEST


def _are_names(value: Any, least: int) -> bool:
    return isinstance(value, list) and len(value) >= least and all(map(_is_text, value))


def _are_percentiles(value: Any) -> bool:
    if not (isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))):
        return False
    return bool(0 <= value[0] < value[1] <= 100)


def _is_look(value: Any) -> bool:
    """Tell an entry of the history; its losses may be NaN, of a training that diverged."""
    if not (isinstance(value, dict) and _is_number(value.get("elapsed_s"))):
        return False
    losses = [value[name] for name in ("training", "validation") if value.get(name) is not None]
    return all(
        isinstance(loss, dict) and all(_is_number(loss.get(n)) for n in ("total", "scribble"))
        for loss in losses
    )


def _is_report(value: Any) -> bool:
    if value is None:
        return True
    try:
        StrokeReport.from_json(value)
    except (TypeError, ValueError, KeyError, OverflowError):
        return False
    return True


_Check = tuple[str, Callable[[Any], bool]]
_TEXT: _Check = ("text", _is_text)
_FLAG: _Check = ("true or false", lambda value: isinstance(value, bool))
_COUNT: _Check = ("a whole number from 1", lambda value: _is_whole(value) and value >= 1)

# What each entry of a card has to be, in words and as a function. Settings are also held
# against their own descriptions, see _settings.
_ENTRIES: dict[str, _Check] = {
    "format_version": _COUNT,
    "channel_names": ("a list of names", lambda value: _are_names(value, 1)),
    "class_names": ("a list of two names or more", lambda value: _are_names(value, 2)),
    "normalization": ("two percentiles from 0 to 100, in order", _are_percentiles),
    **dict.fromkeys(_CONFIGS, ("a JSON object", lambda value: isinstance(value, dict))),
    "created": _TEXT,
    "program_version": _TEXT,
    "device": _TEXT,
    "seconds": ("a number from 0", lambda value: _is_number(value) and 0 <= value < 1e15),
    "steps": ("a whole number from 0", lambda value: _is_whole(value) and value >= 0),
    "rounds": _COUNT,
    "parameters": _COUNT,
    "best_validation_loss": ("a number or null", lambda value: value is None or _is_number(value)),
    "history": (
        "a list of objects with elapsed_s and losses",
        lambda value: isinstance(value, list) and all(map(_is_look, value)),
    ),
    "second_opinion": _FLAG,
    "strokes": ("what strokes say, or null", _is_report),
    "scaled_over": ("plane or volume", lambda value: value in ("plane", "volume")),
}

# What a setting has to be, by the type of its default.
_KINDS: dict[type, _Check] = {
    str: _TEXT,
    bool: _FLAG,
    int: ("a whole number", _is_whole),
    float: ("a number", _is_number),
}


def _unreadable(reason: str) -> ModelFileError:
    return ModelFileError(
        f"The model's description cannot be read: {reason}; use another copy of the file."
    )


def _check(name: str, values: dict[str, Any], check: _Check | None = None) -> None:
    """Refuse an entry that is missing, or not what it has to be.

    Raises
    ------
    ModelFileError
        Naming it.
    """
    key = name.rpartition(".")[2]
    if key not in values:
        raise _unreadable(f"{name} is missing")
    words, fits = check or _ENTRIES[name]
    if not fits(values[key]):
        shown = repr(values[key])
        shown = shown if len(shown) <= 40 else shown[:37] + "..."
        raise _unreadable(f"{name} is {shown}; it has to be {words}")


def _settings(config: type[Any], section: str, values: dict[str, Any]) -> Any:
    """Return checked settings; those that older versions did not have get their defaults.

    Raises
    ------
    ModelFileError
        Naming the first that is not known, of another type, or out of its bounds.
    """
    known = parameters(config)
    for name in values:
        if name not in known:
            raise _unreadable(f"{section}.{name} is not known")
        _check(f"{section}.{name}", values, _KINDS[type(known[name].default)])
    try:
        return validate(config(**values))
    except ImPartialError as error:
        raise _unreadable(f"{section}.{str(error).rstrip('.')}") from None


def copy_with_card(source: str | Path, target: str | Path, card: ModelCard) -> None:
    """Write a model file again with another card, whole or not at all, and without torch.

    Raises
    ------
    ModelFileError
        If `source` is no model.
    ImPartialError
        If `target` cannot be written.
    """
    read_card(source)
    content = Path(source).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"][FORMAT] = card.to_json()
    text = json.dumps(header, ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)  # weights stay aligned
    with atomic_path(target) as temporary:
        temporary.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])


def _metadata(path: Path) -> dict[str, Any]:
    """Return the metadata of a file in the safetensors format.

    Read, and not mapped as the format's own library does: a file that is cut short by
    somebody else while it is mapped ends the process.

    Raises
    ------
    ValueError, KeyError, TypeError, RecursionError
        If it is not in that format, or not whole.
    """
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= _LARGEST_HEADER:
            raise ValueError("it does not begin as one")
        text = file.read(length)
        if len(text) < length:
            raise ValueError("it is cut short")
        header = json.loads(text.decode("utf-8"))
        size = file.seek(0, 2)
    metadata = header.pop("__metadata__", {})
    # Tensors lie one after the other up to the end.
    end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
    if end != size - 8 - length:
        raise ValueError("it is cut short, or longer than it says")
    if not isinstance(metadata, dict) or not all(map(_is_text, metadata.values())):
        raise ValueError("its metadata are no text")
    return metadata


def read_card(path: str | Path) -> ModelCard:
    """Read a model's card without its weights, and without torch.

    Raises
    ------
    ModelFileError
        If the file is missing, truncated, not a model, of a newer format, or its card is
        damaged; the message names the file.
    """
    path = Path(path)
    if path.is_dir():
        raise ModelFileError(f"{path} is a folder; name a model file in it.")
    if path.exists() and not path.is_file():
        raise ModelFileError(f"{path} is a pipe or a device; name a model file.")
    if not path.is_file():
        raise ModelFileError(f"There is no model file {path}.")
    try:
        metadata = _metadata(path)
    except (
        OSError,
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise ModelFileError(
            f"{path} is not a model of napari-impartial, or it is damaged ({error})."
        ) from error
    if FORMAT not in metadata:
        raise ModelFileError(f"{path} holds weights, but no model of napari-impartial.")
    try:
        return ModelCard.from_json(metadata[FORMAT])
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from None
