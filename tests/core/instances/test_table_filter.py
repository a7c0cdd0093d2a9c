"""Filters: a column, a comparison, a value."""

from __future__ import annotations

import numpy as np
import pytest

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.table_filter import Condition

TABLE = {
    "label": np.arange(1, 6),
    "area_px": np.array([10, 50, 51, 200, 80]),
    "confidence": np.array([0.9, 0.8, 0.95, 0.4, np.nan]),
    "review": np.array(["", "accepted", "", "corrected", ""]),
}


@pytest.mark.parametrize(
    ("column", "sign", "value", "labels"),
    [
        ("area_px", ">", "50", [3, 4, 5]),
        ("area_px", "<", " 5e1", [1]),
        ("area_px", "=", "50", [2]),
        ("area_px", "!=", "50", [1, 3, 4, 5]),
        ("confidence", ">", "0.5", [1, 2, 3]),
        ("review", "=", "Accepted", [2]),
        ("review", "!=", "accepted", [1, 3, 4, 5]),
    ],
)
def test_filters(column: str, sign: str, value: str, labels: list[int]) -> None:
    rows = Condition(column, sign, value).rows(TABLE)
    assert rows is not None
    assert TABLE["label"][rows].tolist() == labels


def test_a_blank_value_is_no_filter() -> None:
    assert Condition("nothing", ">", "  ").rows(TABLE) is None
    assert Condition().rows({}) is None


@pytest.mark.parametrize(
    ("column", "sign", "value", "hint"),
    [
        ("size", ">", "3", "no column 'size'.*area_px"),
        ("area_px", ">", "large", "'large' is no number"),
        ("review", ">", "accepted", "= or !="),
    ],
)
def test_what_cannot_be_compared_is_told(column: str, sign: str, value: str, hint: str) -> None:
    with pytest.raises(ImPartialError, match=hint):
        Condition(column, sign, value).rows(TABLE)
