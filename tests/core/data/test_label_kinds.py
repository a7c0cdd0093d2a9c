"""Strokes and outlined cells are told apart."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.draw import disk, line

from napari_impartial.core.data.label_kinds import (
    looks_like_cells,
    looks_like_strokes,
    pieces_of_one,
)
from napari_impartial.core.data.mask_scribbles import simulate
from napari_impartial.core.data.synthetic_tissue import Tissue


def _discs(ids: list[int], radius: int = 9) -> np.ndarray:
    labels = np.zeros((120, 120), np.int32)
    for i, number in enumerate(ids):
        labels[disk((14 + 24 * (i // 5), 14 + 24 * (i % 5)), radius)] = number
    return labels


@pytest.mark.parametrize("ids", [[1, 2], [2, 3, 5], list(range(1, 13)), [1, 300], [4, 900]])
def test_cells(ids: list[int]) -> None:
    assert looks_like_cells(_discs(ids))
    assert not looks_like_strokes(_discs(ids))


def test_a_dab_in_a_cell_and_one_beside_it_are_strokes() -> None:
    assert not looks_like_cells(_discs([1, 2], radius=5))


@pytest.mark.parametrize("ids", [[1, 2], [1, 2, 3], [1, 1, 2, 2, 3, 3]])
def test_lines_are_strokes(ids: list[int]) -> None:
    labels = np.zeros((120, 120), np.uint8)
    for i, number in enumerate(ids):
        for shift in range(3):
            labels[line(8 + 18 * i + shift, 5, 14 + 18 * i + shift, 70)] = number
    assert looks_like_strokes(labels)
    assert not looks_like_cells(labels)


def test_simulated_strokes_and_their_cells(tiny_tissue: Tissue) -> None:
    strokes, ids = simulate(tiny_tissue.truth, 0.4, np.random.default_rng(0))
    assert looks_like_strokes(strokes.labels)
    assert not looks_like_cells(strokes.labels)
    assert looks_like_cells(np.where(np.isin(tiny_tissue.truth, ids), tiny_tissue.truth, 0))
    assert looks_like_cells(tiny_tissue.truth)
    assert not looks_like_strokes(tiny_tissue.truth)


def test_one_label_is_neither() -> None:
    mask = (_discs(list(range(1, 8))) > 0).astype(np.uint8) * 255
    assert not looks_like_cells(mask)
    assert not looks_like_strokes(mask)
    assert pieces_of_one(mask) == 7
    assert pieces_of_one(_discs([1, 2])) == 0
    assert not looks_like_cells(np.zeros((4, 4), int))
    assert pieces_of_one(np.zeros((4, 4), int)) == 0
