"""Objects that the border of a field cuts."""

from __future__ import annotations

import numpy as np

from napari_impartial.core.instances.seams import continued


def test_objects_at_the_border_of_a_field_go_on_as_those_outside() -> None:
    shown = np.zeros((12, 12), np.int32)
    shown[4:8, 0:6] = 1  # goes on in the field
    shown[0:2, 8:10] = 2  # does not reach it
    field = np.zeros((8, 8), np.int32)  # at rows 2 to 10, columns 4 to 12
    field[2:6, 0:3] = 11
    field[1:4, 5:8] = 12  # at the edge of the picture, where nothing lies outside
    found = continued(shown, field, (2, 4, 10, 12))
    assert found[3, 1] == 1
    assert found[2, 6] == 12
    np.testing.assert_array_equal(found > 0, field > 0)


def test_an_object_goes_on_as_one_object_at_most() -> None:
    shown = np.ones((4, 10), np.int32)
    field = np.zeros((4, 5), np.int32)
    field[0], field[1:] = 7, 8
    found = continued(shown, field, (0, 5, 4, 10))
    assert found[2, 0] == 1, "it shares more of the border"
    assert found[0, 0] == 7


def test_half_a_cell_is_left_out_where_nothing_is_known_outside() -> None:
    shown = np.zeros((120, 120), np.int32)
    shown[50:56, 90:100] = 1
    field = np.zeros((80, 80), np.int32)  # at rows 10 to 90, columns 10 to 90
    field[0:6, 20:26] = 11  # half a cell
    field[40:46, 70:80] = 12  # goes on outside
    field[20:26, 30:36] = 13  # whole
    field[60:80, 0:20] = 14  # large
    found = continued(shown, field, (10, 10, 90, 90))
    assert np.unique(found).tolist() == [0, 1, 13, 14]


def test_a_field_as_large_as_the_picture_stays() -> None:
    field = np.arange(12, dtype=np.int32).reshape(3, 4)
    np.testing.assert_array_equal(continued(np.ones((3, 4), np.int32), field, (0, 0, 3, 4)), field)
