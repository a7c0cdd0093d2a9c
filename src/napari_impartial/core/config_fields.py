"""Description of a setting: default, bounds, label and tooltip, once.

The classes in :mod:`napari_impartial.core.config` are made of such settings. Forms, the
command line and the reference pages read them with :func:`parameters`; :func:`validate`
holds values against the same bounds.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .errors import ImPartialError


@dataclass(frozen=True)
class Parameter:
    """Description of one setting for forms, the command line and the reference pages."""

    name: str
    default: Any
    label: str
    tooltip: str
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] | None = None
    unit: str = ""


def setting(default: Any, label: str, tooltip: str, **more: Any) -> Any:
    """Return a dataclass field that carries its own description; `more` of :class:`Parameter`."""
    return field(default=default, metadata={"label": label, "tooltip": tooltip, **more})


def parameters(config: Any) -> dict[str, Parameter]:
    """Describe the fields of a configuration class or instance, in order."""
    return {
        f.name: Parameter(
            f.name,
            f.default if isinstance(config, type) else getattr(config, f.name),
            **f.metadata,
        )
        for f in dataclasses.fields(config)
    }


def bounds_text(parameter: Parameter) -> str:
    """Bounds in words; empty where there are none."""
    low, high = parameter.minimum, parameter.maximum
    if low is not None and high is not None:
        return f"between {_figure(low)} and {_figure(high)}"
    if low is not None:
        return f"at least {_figure(low)}"
    if high is not None:
        return f"at most {_figure(high)}"
    return ""


def _figure(bound: float) -> str:
    """Return a bound as text; whole numbers with all their digits."""
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


Config = TypeVar("Config")


def validate(config: Config) -> Config:
    """Return `config` unchanged if each value lies within its bounds.

    Raises
    ------
    ImPartialError
        Naming the first setting that does not, and what it may be.
    """
    for name, parameter in parameters(config).items():
        value = parameter.default
        if parameter.choices is not None and value not in parameter.choices:
            raise ImPartialError(
                f"{name} is {value!r}; choose one of {', '.join(parameter.choices)}."
            )
        low, high = parameter.minimum, parameter.maximum
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            raise ImPartialError(f"{name} is {value}; it has to be {bounds_text(parameter)}.")
    return config
