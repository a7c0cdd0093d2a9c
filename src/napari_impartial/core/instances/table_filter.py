"""A filter for tables in one line of text, such as ``area > 50 and confidence < 0.9``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_impartial.core.errors import ImPartialError

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "==": operator.eq,
    "=": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
_AND = re.compile(r"\s*(?:,|&&?|\band\b)\s*", re.IGNORECASE)
_OR = re.compile(r"\bor\b|\|\|?", re.IGNORECASE)
_CONDITION = re.compile(r"(?P<name>.+?)\s*(?P<sign>>=|<=|!=|==|=|>|<)\s*(?P<value>.+)")
_UNITS = re.compile(r"(px|deg)$")


def matching_rows(
    table: Mapping[str, npt.NDArray[np.generic]], text: str
) -> npt.NDArray[np.bool_] | None:
    """Return which rows fulfil all conditions of a filter.

    Parameters
    ----------
    table : mapping of column name to (N,) array
        Columns hold numbers or text.
    text : str
        Conditions ``column sign value`` with one of the signs ``> >= < <= = !=``, joined
        by ``and`` or commas. Columns may be written without unit, in any case, with
        blanks for underscores, or by their first letters.

    Returns
    -------
    (N,) bool, or None
        None where the text is blank: no filter.

    Raises
    ------
    ImPartialError
        If a condition cannot be understood; the message says which and how it is meant.
    """
    if not text.strip():
        return None
    n = len(next(iter(table.values()))) if table else 0
    rows = np.ones(n, dtype=bool)
    for part in _AND.split(text.strip()):
        rows &= _fulfilled(table, part)
    return rows


def find_column(names: list[str], wanted: str) -> str:
    """Return the column that a user means.

    Raises
    ------
    ImPartialError
        If there is none, or several.
    """
    plain = {name: _plain(name) for name in names}
    key = _plain(wanted)
    found = [name for name, word in plain.items() if word == key]
    found = found or [name for name, word in plain.items() if _UNITS.sub("", word) == key]
    found = found or [name for name, word in plain.items() if key and word.startswith(key)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ImPartialError(f"'{wanted}' could be {', '.join(found)}; write it out.")
    raise ImPartialError(f"There is no column '{wanted}'; there are {', '.join(names)}.")


def _fulfilled(table: Mapping[str, npt.NDArray[np.generic]], part: str) -> npt.NDArray[np.bool_]:
    match = _CONDITION.fullmatch(part.strip())
    if match is None:
        wrong = f"'{part.strip()}' is no condition" if part.strip() else "A condition is missing"
        raise ImPartialError(f"{wrong}; write, for example: area > 50 and confidence < 0.9")
    if _OR.search(match["value"]):
        raise ImPartialError(
            "Conditions can be joined by 'and' only; write, for example: area > 50 and "
            "confidence < 0.9"
        )
    column = table[find_column(list(table), match["name"])]
    compare, word = _OPERATORS[match["sign"]], match["value"].strip().strip("'\"")
    if column.dtype.kind in "OSU":
        if compare not in (operator.eq, operator.ne):
            raise ImPartialError(
                f"'{match['name']}' holds words; compare it with = or !=, not {match['sign']}."
            )
        return np.asarray(compare(column.astype(str), word.lower()), dtype=bool)
    try:
        value = float(word)
    except ValueError:
        raise ImPartialError(
            f"'{word}' is no number; write, for example: {match['name']} > 50"
        ) from None
    with np.errstate(invalid="ignore"):
        return np.asarray(compare(column, value), dtype=bool)


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-]+", "", name).lower()
