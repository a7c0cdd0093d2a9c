"""Nuclei of a channel, and the seams that training learns between them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_impartial.core.api import predict, train
from napari_impartial.core.config import ModelConfig, TrainingConfig, get_preset
from napari_impartial.core.data.image import Image
from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.strokes import find_strokes
from napari_impartial.core.training.checks import nuclear_channel
from napari_impartial.core.training.implied_labels import find_seams
from napari_impartial.core.training.nuclei import find_nuclei
from napari_impartial.core.training.trainer import Trainer


def _tissue(side: int = 128, cell: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Cells without a gap in one channel, nuclei of unlike brightness in another; the truth."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((side, side), np.int32)
    nuclei = np.full((side, side), 0.05, np.float32)
    rows, columns = np.mgrid[:side, :side]
    for y in range(cell, side - cell, cell):
        for x in range(cell, side - cell, cell):
            truth[y : y + cell, x : x + cell] = truth.max() + 1
            middle = np.array([y, x]) + cell / 2 + rng.uniform(-2, 2, 2)
            inside = np.hypot(rows - middle[0], columns - middle[1]) < cell / 4
            nuclei[inside] = rng.uniform(0.3, 1.0)
    body = np.where(truth > 0, 0.7, 0.1).astype(np.float32)
    channels = np.stack([body, nuclei]) + rng.normal(0, 0.02, (2, side, side))
    channels = ndimage.gaussian_filter(channels.astype(np.float32), (0, 0.7, 0.7))
    return channels, truth


@pytest.mark.parametrize(("cell", "gain"), [(12, 1.0), (24, 1.0), (24, 300.0)])
def test_nuclei_are_found_whatever_their_size_and_brightness(cell, gain):
    channels, truth = _tissue(144, cell)
    found = find_nuclei(gain * channels[1])
    assert found.dtype == np.int32
    assert np.unique(found).tolist() == list(range(found.max() + 1))
    cells = [np.unique(truth[found == n]) for n in range(1, found.max() + 1)]
    assert all(len(ids) == 1 and ids[0] > 0 for ids in cells)
    assert len({int(ids[0]) for ids in cells}) == found.max() >= 0.9 * truth.max()


def test_nuclei_that_touch_are_several():
    rows, columns = np.mgrid[:60, :90]
    channel = np.zeros((60, 90), np.float32)
    for x in (20, 36, 70):
        channel = np.maximum(channel, np.hypot(rows - 30, columns - x) < 9)
    found = find_nuclei(ndimage.gaussian_filter(channel, 1.0))
    assert found.max() == 3
    assert found[30, 20] != found[30, 36]


def test_what_is_much_smaller_than_the_usual_nucleus_is_none():
    rows, columns = np.mgrid[:90, :120]
    channel = np.zeros((90, 120), np.float32)
    for y, x in ((20, 20), (20, 70), (65, 20), (65, 70)):
        channel = np.maximum(channel, np.hypot(rows - y, columns - x) < 12)
    channel[40:44, 100:104] = 1.0  # where nuclei have 450 px
    assert find_nuclei(channel).max() == 4
    channel[40:50, 100:110] = 1.0
    assert find_nuclei(channel).max() == 5


def test_where_there_is_nothing_there_are_no_nuclei():
    assert not find_nuclei(np.zeros((40, 50), np.float32)).any()
    assert not find_nuclei(np.full((40, 50), 3.0, np.float32)).any()
    specks = np.zeros((60, 60), np.float32)
    specks[::20, ::20] = 1.0
    assert not find_nuclei(specks).any()


def _row_of_cells() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three cells of 20 px that a map connects, a stroke in the first, nuclei in all."""
    foreground = np.full((30, 80), 0.01, np.float32)
    foreground[5:25, 10:70] = 0.99
    foreground[5:25, [29, 30, 49, 50]] = 0.95
    labels, nuclei = np.zeros((30, 80), np.uint8), np.zeros((30, 80), np.int32)
    labels[15, 14:26] = 2
    for n, x in enumerate((16, 36, 56), start=1):
        nuclei[11:20, x : x + 8] = n
    return foreground, labels, nuclei


def test_cells_are_parted_between_their_nuclei():
    foreground, labels, nuclei = _row_of_cells()
    assert not find_seams(foreground, find_strokes(labels)).any()
    columns = np.nonzero(find_seams(foreground, find_strokes(labels), nuclei))[1]
    assert set(columns) == {29, 30, 49, 50}


def test_strokes_say_more_than_nuclei():
    foreground, labels, nuclei = _row_of_cells()
    # one stroke in two nuclei is one cell
    labels[15, 14:45] = 2
    columns = np.nonzero(find_seams(foreground, find_strokes(labels), nuclei))[1]
    assert set(columns) == {49, 50}
    # two strokes in one nucleus are two cells
    foreground[5:25, 10:70] = 0.99
    labels[:] = 0
    labels[12:14, 36:44], labels[17:19, 36:44] = 2, 2
    seam = find_seams(foreground, find_strokes(labels), nuclei)
    assert seam[14:17, 38:42].any()
    assert not seam[labels > 0].any()
    # and what is painted as background is no cell, whatever shines there
    labels[:] = 0
    labels[15, 14:26] = 2
    # if most of it is
    for rows, is_cell in ((slice(11, 17), False), (slice(11, 14), True)):
        labels[:, 28:] = 0
        labels[rows, 36:44] = labels[rows, 56:64] = 1
        seam = find_seams(foreground, find_strokes(labels), nuclei)
        assert seam[18:22].any() == is_cell


def _trained(channel: str, **more) -> np.ndarray:
    channels, truth = _tissue()
    labels = np.zeros(truth.shape, np.uint8)
    for number in (8, 22):
        y, x = ndimage.center_of_mass(truth == number)
        labels[int(y), int(x) - 4 : int(x) + 5] = 2
    labels[5, 20:100] = labels[20:100, 5] = 1
    config = TrainingConfig(max_steps=60, seed=1, edge_weight=0.0, nuclear_channel=channel, **more)
    image = Image(channels, ("body", "nucleus"))
    model = train([image], [Scribbles(labels)], config)
    assert model.card.training.nuclear_channel == channel
    border = (ndimage.maximum_filter(truth, 3) != ndimage.minimum_filter(truth, 3)) & (truth > 0)
    border &= ndimage.minimum_filter(truth, 5) > 0
    return np.median(predict(image, model).foreground[border])


def test_a_network_learns_to_part_cells_between_nuclei_far_from_strokes():
    without, with_nuclei = _trained(""), _trained("nucleus")
    assert without > 0.5
    assert with_nuclei < without - 0.2


def test_a_channel_is_named_or_numbered():
    names = ("body", "1", "nucleus")
    wanted = [replace(TrainingConfig(), nuclear_channel=name) for name in ("", "nucleus", "0", "1")]
    found = [nuclear_channel(config, names) for config in wanted]
    assert found == [None, 2, 0, 1]
    assert nuclear_channel(wanted[3], ("body", "nucleus")) == 1
    # Capitals and space make no difference, unless one is called exactly so.
    assert nuclear_channel(wanted[1], ("body", " Nucleus")) == 1
    assert nuclear_channel(wanted[1], ("Nucleus", "nucleus")) == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"nuclear_channel": "DAPI"}, r"no channel 'DAPI'.*body, nucleus.*number, counted from 0"),
        ({"nuclear_channel": "2"}, "no channel '2'"),
        ({"nuclear_channel": "nucleus", "implied_labels": False}, "nothing is learned from it"),
        ({"nuclear_channel": "nucleus", "objective": "reconstruction"}, "nothing is learned"),
    ],
)
def test_a_channel_that_cannot_be_used_is_told_before_training(settings, said):
    image = Image(np.random.default_rng(0).random((2, 64, 64), np.float32), ("body", "nucleus"))
    labels = np.zeros((64, 64), np.uint8)
    labels[10, 10:20], labels[30, 10:20] = 1, 2
    config = TrainingConfig(max_steps=1, warm_start=False, **settings)
    with pytest.raises(ImPartialError, match=said):
        Trainer([image], [Scribbles(labels)], ModelConfig(8, 2), config, None)


def test_no_preset_names_a_nuclear_channel():
    assert all(get_preset(name).training.nuclear_channel == "" for name in ("fast", "paper"))
