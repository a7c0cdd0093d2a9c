"""Doubt: what the candidates say of the cut that was chosen among them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.draw import disk

from napari_impartial.core.config import InstanceConfig
from napari_impartial.core.instances.cutter import Cutter
from napari_impartial.core.instances.doubt import settled

CENTRES = [(20, 20), (20, 60), (60, 20), (60, 60)]


@pytest.fixture
def cutter() -> Cutter:
    """Four sure discs, a fifth that is faint, and two that run into each other."""
    p = np.full((120, 120), 0.02, np.float32)
    for centre in CENTRES:
        p[disk(centre, 11)] = 0.97
    p[disk((20, 100), 11)] = 0.42
    p[disk((97, 44), 11)] = p[disk((97, 61), 11)] = 0.9
    return Cutter(ndimage.gaussian_filter(p, 1.5))


def test_odd_objects_and_what_may_be_missed_are_doubted_most(cutter: Cutter) -> None:
    labels = cutter.cut()
    doubt = cutter.doubt(labels)
    assert doubt.shape == labels.shape
    assert doubt.dtype == np.float32
    assert 0.0 <= doubt.min() <= doubt.max() <= 1.0
    sure = [float(doubt[centre]) for centre in CENTRES]
    assert max(sure) < 0.2
    assert doubt[97, 52] > 2 * max(sure), "one or two"
    assert doubt[20, 100] > 2 * max(sure), "faint: none, or one that is not sure"
    assert doubt[labels == 0].mean() < 0.1
    assert doubt[112, 5] == 0.0


def test_what_is_too_small_by_the_settings_was_not_missed(cutter: Cutter) -> None:
    config = InstanceConfig(min_size_px=600)
    labels = cutter.cut(config)
    assert labels[CENTRES[0]] == 0
    assert cutter.doubt(labels, config)[CENTRES[0]] == 0.0


@pytest.mark.parametrize("split", ["watershed", "components"])
def test_other_cuts_know_no_doubt(cutter: Cutter, split: str) -> None:
    config = InstanceConfig(split=split)
    assert not cutter.doubt(cutter.cut(config), config).any()
    assert not Cutter(np.zeros((8, 9))).doubt(np.zeros((8, 9), np.int32)).any()


def test_what_a_person_has_said_is_not_doubted() -> None:
    labels = np.repeat(np.arange(5, dtype=np.int32), 4).reshape(5, 4)
    doubt = np.full(labels.shape, 0.5, np.float32)
    drawn = np.zeros(labels.shape, np.uint8)
    drawn[0, 0], drawn[1, 2] = 1, 3
    left = settled(doubt, labels, drawn, decided=[4, 99])
    assert left[0].tolist() == [0.0, 0.5, 0.5, 0.5]
    assert not left[1].any()
    assert not left[4].any()
    assert (left[2:4] == 0.5).all()
    assert (doubt == 0.5).all()
