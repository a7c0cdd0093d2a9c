"""A filter for tables: a column, a comparison, a value."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_impartial.core.errors import ImPartialError

SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True)
class Condition:
    """Condition on the rows of a table.

    Attributes
    ----------
    column : str
        Name of a column.
    sign : str
        One of :data:`SIGNS`.
    value : str
        What the column is compared with, as it was typed; all rows fulfil a blank one.
    """

    column: str = "area_px"
    sign: str = ">"
    value: str = ""

    def rows(self, table: Mapping[str, npt.NDArray[np.generic]]) -> npt.NDArray[np.bool_] | None:
        """Return which rows of a table fulfil this, (N,) bool; None where there is no filter.

        Parameters
        ----------
        table : mapping of column name to (N,) array
            Columns hold numbers or text.

        Raises
        ------
        ImPartialError
            If the value cannot be compared with the column, or there is no such column.
        """
        word = self.value.strip()
        if not word:
            return None
        if self.column not in table:
            raise ImPartialError(
                f"There is no column '{self.column}'; there are {', '.join(table)}."
            )
        column, compare = table[self.column], SIGNS[self.sign]
        if column.dtype.kind in "OSU":
            if compare not in (operator.eq, operator.ne):
                raise ImPartialError(f"'{self.column}' holds words; compare it with = or !=.")
            # Few words, and maybe a million rows: each word is compared once.
            same = np.zeros(len(column), dtype=bool)
            unseen = ~same
            while unseen.any():
                one = column[unseen.argmax()]
                these = column == one
                unseen &= ~these
                if str(one).lower() == word.lower():
                    same |= these
            return same if compare is operator.eq else ~same
        try:
            value = float(word)
        except ValueError:
            raise ImPartialError(f"'{word}' is no number.") from None
        with np.errstate(invalid="ignore"):
            return np.asarray(compare(column, value), dtype=bool)
