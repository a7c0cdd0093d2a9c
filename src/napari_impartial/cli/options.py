"""Options made from the settings' own metadata, so that each default lives once.

An option that is not given stays ``None``: the preset then decides. Explicit options
override the preset.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Collection
from typing import Any, NoReturn, TypeVar

from napari_impartial.core.config import (
    POOLINGS,
    PRESETS,
    STROKE_STYLES,
    InstanceConfig,
    ModelConfig,
    Parameter,
    PredictionConfig,
    Preset,
    SpotCheckConfig,
    SuggestionConfig,
    TrainingConfig,
    get_preset,
    parameters,
    validate,
)
from napari_impartial.core.config_fields import bounds_text
from napari_impartial.core.errors import ImPartialError

Config = TypeVar(
    "Config",
    ModelConfig,
    TrainingConfig,
    PredictionConfig,
    InstanceConfig,
    SuggestionConfig,
    SpotCheckConfig,
)
Item = TypeVar("Item")

# Field names that would say too little without the form they stand in.
FLAG_NAMES = {"count": "suggestions"}
# What stands for a value without a unit; the only text that is no choice is a file.
_METAVARS = {int: "N", float: "X", str: "FILE"}


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, raised instead of printed with the usage."""

    def error(self, message: str) -> NoReturn:
        """Raise the complaint.

        Raises
        ------
        ImPartialError
            Always.
        """
        raise ImPartialError(f"{message} (see {self.prog} --help)")

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse's own says nothing where help cannot be written.
        if message and file is not None:
            file.write(message)


def flag(name: str) -> str:
    """Command-line spelling of a setting: ``time_budget_s`` -> ``--time-budget-s``."""
    return "--" + FLAG_NAMES.get(name, name).replace("_", "-")


def _converter(parameter: Parameter) -> Callable[[str], Any]:
    """Return a function that reads a value and holds it against its bounds."""
    kind = type(parameter.default)
    low, high = parameter.minimum, parameter.maximum

    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            noun = {int: "a whole number", float: "a number"}.get(kind, "a value")
            raise argparse.ArgumentTypeError(f"{text!r} is not {noun}") from None
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            raise argparse.ArgumentTypeError(f"{text} is not {bounds_text(parameter)}")
        return value

    return convert


def _default_text(config: type[Any], parameter: Parameter) -> str:
    """Default as shown in the help, with the presets that differ from it."""
    text = f"default {'none' if parameter.default == '' else parameter.default}"
    section = {
        ModelConfig: "model",
        TrainingConfig: "training",
        PredictionConfig: "prediction",
        InstanceConfig: "instances",
    }.get(config)
    if section is not None and parameter.name != "preset":
        others = [
            f"{name} {value}"
            for name, preset in PRESETS.items()
            if (value := getattr(getattr(preset, section), parameter.name)) != parameter.default
        ]
        if others:
            text += "; preset " + ", ".join(others)
    return text


def add_settings(
    parser: argparse.ArgumentParser,
    config: type[Any],
    title: str,
    *,
    only: Collection[str] | None = None,
    skip: Collection[str] = (),
) -> None:
    """Add one option for each field of a configuration class.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Gets a group of options.
    config : type
        One of the configuration dataclasses.
    title : str
        Heading of the group in the help.
    only, skip : collection of str
        Fields to take, and to leave out.
    """
    group = parser.add_argument_group(title)
    for name, parameter in parameters(config).items():
        if name in skip or (only is not None and name not in only):
            continue
        notes = [_default_text(config, parameter)]
        if parameter.choices is None and bounds_text(parameter):
            notes.append(bounds_text(parameter))
        text = f"{parameter.tooltip} ({'; '.join(notes)})".replace("%", "%%")
        if isinstance(parameter.default, bool):
            group.add_argument(
                flag(name),
                dest=name,
                action=argparse.BooleanOptionalAction,
                default=None,
                help=text,
            )
        elif parameter.choices is not None:
            group.add_argument(
                flag(name), dest=name, choices=parameter.choices, default=None, help=text
            )
        else:
            group.add_argument(
                flag(name),
                dest=name,
                type=_converter(parameter),
                default=None,
                metavar=parameter.unit.upper() or _METAVARS[type(parameter.default)],
                help=text,
            )


def override(config: Config, args: argparse.Namespace, skip: Collection[str] = ()) -> Config:
    """Replace the fields of `config` for which an option was given, and check the bounds.

    Raises
    ------
    ImPartialError
        If a value lies out of its bounds.
    """
    given = given_settings(type(config), args)
    return validate(
        dataclasses.replace(config, **{k: v for k, v in given.items() if k not in skip})
    )


def chosen_preset(args: argparse.Namespace, preset: str | None = None) -> Preset:
    """Return the preset that is asked for; else the one named here; else the default."""
    name = getattr(args, "preset", None) or preset or parameters(TrainingConfig)["preset"].default
    return get_preset(name)


def training_settings(
    args: argparse.Namespace, preset: str | None = None
) -> tuple[ModelConfig, TrainingConfig]:
    """Model and training settings: the preset's, overridden by explicit options."""
    chosen = chosen_preset(args, preset)
    return override(chosen.model, args), override(chosen.training, args)


def add_style(parser: argparse.ArgumentParser, note: str = "") -> None:
    """Add ``--style``.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    note : str
        Goes on from what is said of the option.
    """
    parser.add_argument(
        "--style",
        choices=STROKE_STYLES,
        default=STROKE_STYLES[0],
        help="What the simulated annotator paints: outlines (a loop in each cell and a ring round "
        "it), lines (a line in each cell and as many on the background), or sloppy and "
        f"sloppy-lines, the same up to 2 px off (default {STROKE_STYLES[0]}).{note}",
    )


def add_pooling(parser: argparse.ArgumentParser) -> None:
    """Add ``--pooling``."""
    parser.add_argument(
        "--pooling",
        choices=POOLINGS,
        default=POOLINGS[0],
        help="cells: figures over the cells of all images together; authors: as the paper's "
        "authors have them, means of the images' figures, with the background as one more "
        f"instance in mIoU and mDice (default {POOLINGS[0]}).",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument(
        "--json", action="store_true", help="End stdout with one line, a JSON object."
    )


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how images are read."""
    group = parser.add_argument_group("reading images")
    group.add_argument(
        "--axes",
        metavar="CYX",
        help="What the image's dimensions are, in order, letters from T, Z, C, Y, X. "
        "Each T and Z plane is treated as an image. Default: read or guessed from the file.",
    )
    group.add_argument(
        "--channels",
        type=comma_list(str),
        metavar="A,B",
        help="Channels to use, in this order: names or numbers from 0, with commas between. "
        "Default: all.",
    )
    group.add_argument(
        "--channel-names",
        nargs="+",
        metavar="NAME",
        help="What to call the channels in use, one name for each. A model finds its channels "
        "in other images by these names. Default: as in the file.",
    )
    group.add_argument(
        "--files-per-image",
        type=number(1, 1000, int),
        default=1,
        metavar="N",
        help="So many IMAGE files in a row are the channels of one image, named after the "
        "first (default 1).",
    )
    group.add_argument(
        "--level",
        type=number(0, 50, int),
        default=0,
        metavar="N",
        help="Resolution to use of images (and labels) that are stored at several, as OME-Zarr and "
        "slides are; 0 is the finest (default 0).",
    )


def comma_list(kind: Callable[[str], Item]) -> Callable[[str], list[Item]]:
    """Return a converter of ``a,b,c`` to a list of at least one item, none twice."""

    def convert(text: str) -> list[Item]:
        items = [kind(part.strip()) for part in text.split(",") if part.strip()]
        if not items:
            raise argparse.ArgumentTypeError("the list is empty")
        if len(set(items)) != len(items):
            raise argparse.ArgumentTypeError(f"{text!r} names something twice")
        return items

    return convert


def number(low: float, high: float, kind: type[Any] = float) -> Callable[[str], Any]:
    """Return a converter to a number from `low` to `high`, both included."""
    return _converter(Parameter("", kind(low), "", "", minimum=low, maximum=high))


def one_of(choices: Collection[str]) -> Callable[[str], str]:
    """Return a converter that refuses all but some words."""

    def convert(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(choices)}")
        return text

    return convert


def given_settings(config: type[Config], args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of a group that the user gave, by name."""
    names = parameters(config)
    return {name: value for name in names if (value := getattr(args, name, None)) is not None}
