"""Sizes that files give in several units: of pixels, and of steps through depth and time."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

from napari_impartial.core.errors import note

_UM = {"Å": 1e-4, "nm": 1e-3, "µm": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}
# As OME-TIFF, ImageJ and OME-Zarr write them.
_SECONDS = {
    **dict.fromkeys(("ns", "nsec", "nanosecond"), 1e-9),
    **dict.fromkeys(("µs", "us", "usec", "microsecond"), 1e-6),
    **dict.fromkeys(("ms", "msec", "millisecond"), 1e-3),
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}


def in_one_unit(
    sizes: Mapping[str, Any], units: Mapping[str, str], place: str | os.PathLike[str]
) -> tuple[tuple[float, float] | None, dict[str, float]]:
    """Return sizes in the unit of X, and of T in seconds; tell what cannot be converted.

    Parameters
    ----------
    sizes : mapping
        Of a pixel along Y and X, of a step along Z and T, as far as the file says. What is no
        positive number is not known.
    units : mapping
        Of these letters; no unit where there is none.
    place : path
        The file, for messages.

    Returns
    -------
    pixel_size : (float, float) or None
        Height and width; None unless both are known.
    spacing : dict
        Steps along Z, where the pixel size is known, and T.
    """
    known = {letter: size for letter, given in sizes.items() if (size := positive(given))}
    across = units.get("X", "")
    pixel_size, spacing = None, {}
    if {"Y", "X"} <= known.keys():
        down = _conversion(units.get("Y", ""), across)
        if down is None:
            _tell(place, "height of a pixel", units.get("Y", ""), "its width", across)
        else:
            pixel_size = known["Y"] * down, known["X"]
    if pixel_size is not None and "Z" in known:
        deep = _conversion(units.get("Z", ""), across)
        if deep is not None:
            spacing["Z"] = known["Z"] * deep
        elif units.get("Z"):  # without one it is often 1, since something has to be written
            _tell(place, "distance of slices", units["Z"], "the size of pixels", across)
    if "T" in known and (unit := units.get("T")):
        if unit in _SECONDS:
            spacing["T"] = known["T"] * _SECONDS[unit]
        else:
            note(
                f"{place} gives the time between frames in {unit}, which is no unit that is known "
                "here; it is left out."
            )
    return pixel_size, spacing


def positive(size: Any) -> float | None:
    """Return a size if it is a positive number."""
    try:
        value = float(size)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) and value > 0 else None


def _conversion(unit: str, other: str) -> float | None:
    """Return how many of another unit of length one has; None if that is not known."""
    if unit == other:
        return 1.0
    return _UM[unit] / _UM[other] if unit in _UM and other in _UM else None


def _tell(place: str | os.PathLike[str], what: str, unit: str, beside: str, other: str) -> None:
    units = [one or "no unit" for one in (unit, other)]
    note(f"{place} gives the {what} in {units[0]}, {beside} in {units[1]}; it is left out.")
