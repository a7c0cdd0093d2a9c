"""The smallest size follows the size of the cells, until the user says otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
from looking import settled

from napari_impartial.core.instances.measurements import smallest_size


def squares(side: int, n: int = 4, specks: int = 0) -> Any:
    labels = np.zeros((n * (side + 4), side + 4), np.int32)
    for i in range(n):
        labels[i * (side + 4) : i * (side + 4) + side, :side] = i + 1
    for i in range(specks):
        labels[i, -1] = n + 1 + i
    return labels


def test_it_is_a_part_of_the_usual_cell() -> None:
    assert smallest_size(squares(64), 40) == round(64 * 64 / 20)
    assert smallest_size(squares(64, specks=60), 40) == round(64 * 64 / 20), "specks are no cells"
    assert smallest_size(squares(20), 40) == 40
    assert smallest_size(squares(6), 40) == round(36 / 5)
    assert smallest_size(np.zeros((9, 9), int), 40) == 40


def test_the_slider_follows_large_cells(
    widget: Any, find: Any, scribbled: Any, tiny_tissue: Any, prediction_of: Any, wait_for: Any
) -> None:
    large = np.zeros(tiny_tissue.truth.shape, np.int32)
    half = large.shape[0] // 2
    large[4 : half - 4, 4:-4], large[half + 4 : -4, 4:-4] = 1, 2
    slider, session = find("min_size_slider"), widget.session
    assert slider.value() == 40
    widget.results._keep(session.current, (), prediction_of(large))
    settled(widget, wait_for)
    wanted = slider.value()
    assert wanted > 80
    assert session.instance_config.min_size_px == wanted
    # What the user says stays.
    slider.setValue(7)
    slider.valueChanged.emit(7)
    widget.results._keep(session.current, (), prediction_of(large))
    settled(widget, wait_for)
    assert (slider.value(), session.instance_config.min_size_px) == (7, 7)
