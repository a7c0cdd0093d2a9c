"""Filters as people write them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.table_filter import find_column, matching_rows

TABLE = {
    "label": np.arange(1, 6),
    "area_px": np.array([10, 50, 51, 200, 80]),
    "confidence": np.array([0.9, 0.8, 0.95, 0.4, np.nan]),
    "mean_DAPI": np.array([1.0, 2.0, 3.0, 4.0, 5.0]),
    "mean_CD-3": np.array([5.0, 4.0, 3.0, 2.0, -1.0]),
    "review": np.array(["", "accepted", "", "corrected", ""]),
}


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("area > 50", [3, 4, 5]),
        ("area_px>=50", [2, 3, 4, 5]),
        ("Area px = 50", [2]),
        ("area != 50", [1, 3, 4, 5]),
        ("area > 50 and confidence < 0.9", [4]),
        ("area > 50, confidence<.9", [4]),
        ("area>1e1 AND area<=80 & label!=3", [2, 5]),
        ("conf > 0.5", [1, 2, 3]),
        ("mean dapi > 2", [3, 4, 5]),
        ("mean CD-3 < -0.5", [5]),
        ("review = accepted", [2]),
        ("review != accepted and area > 60", [4, 5]),
        ("review = 'Corrected'", [4]),
    ],
)
def test_filters(text: str, labels: list[int]) -> None:
    rows = matching_rows(TABLE, text)
    assert rows is not None
    assert TABLE["label"][rows].tolist() == labels


def test_a_blank_filter_is_none() -> None:
    assert matching_rows(TABLE, "  ") is None
    assert matching_rows({}, "") is None


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("area", "for example"),
        ("area >", "for example"),
        ("size > 3", "no column 'size'.*area_px"),
        ("mean > 3", "mean_DAPI, mean_CD-3"),
        ("area > large", "'large' is no number"),
        ("area > 3 and", "for example"),
        ("review > accepted", "= or !="),
        ("area > 50 or confidence < 0.9", "by 'and' only"),
        ("area > 50 || label = 1", "by 'and' only"),
        ("review = accepted OR review = corrected", "by 'and' only"),
    ],
)
def test_what_cannot_be_understood_is_told(text: str, hint: str) -> None:
    with pytest.raises(ImPartialError, match=hint):
        matching_rows(TABLE, text)


def test_columns_by_name() -> None:
    names = list(TABLE)
    assert find_column(names, "AREA") == "area_px"
    assert find_column(names, "mean_DAPI") == "mean_DAPI"
    with pytest.raises(ImPartialError):
        find_column(names, "")
