"""Cuts that agree with strokes: exact pictures first, then what always holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_impartial.core.config import InstanceConfig
from napari_impartial.core.data.mask_scribbles import simulate
from napari_impartial.core.data.synthetic_tissue import tissue
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.cutter import Cutter, to_instances
from napari_impartial.core.instances.strokes import (
    SPLIT_STRENGTHS,
    CutCosts,
    Strokes,
    agreement,
    best_cut,
    find_strokes,
    impose,
)


def _picture(text: str) -> np.ndarray:
    """Read rows of digits, with dots for 0."""
    rows = text.split()
    return np.array([[0 if c == "." else int(c) for c in row] for row in rows], np.int32)


def _imposed(objects: str, strokes: str, foreground: float = 1.0, **options: int) -> np.ndarray:
    cut = _picture(objects)
    p = np.where(cut > 0, 1.0, 1.0 - foreground).astype(np.float32)
    return impose(cut, p, find_strokes(_picture(strokes)), **options)


def test_a_loop_and_what_it_encloses_are_one_stroke():
    strokes = find_strokes(
        _picture("""
        22222..2
        2...2..2
        2.2.2...
        2...2.33
        22222.33
        """)
    )
    assert strokes.count == 3
    assert strokes.number[2, 2] == strokes.number[0, 0] != strokes.number[0, 7]
    assert strokes.classes.tolist() == [0, 2, 2, 3]


def test_objects_that_one_stroke_runs_through_are_joined():
    found = _imposed("1111.2222", "..22222..")
    assert np.unique(found[found > 0]).tolist() == [1]
    assert (found > 0).all()


def test_a_stroke_that_leaves_its_cell_by_a_pixel_does_not_join_the_neighbour():
    joined = _imposed("1111111122222222", "2222222222......")  # by two of ten pixels
    assert np.unique(joined).tolist() == [1]
    found = _imposed("1111111122222222", ".22222222.......")
    assert len(np.unique(found)) == 2
    assert found[0, 8] == found[0, 1] != found[0, 9]


def test_an_object_with_two_strokes_is_divided_between_them():
    found = _imposed("1111111111", ".22....22.")
    assert sorted(np.unique(found).tolist()) == [1, 2]
    assert len({*found[0, :3].tolist()}) == 1
    assert len({*found[0, 7:].tolist()}) == 1
    assert found[0, 0] != found[0, 9]


def test_strokes_of_two_classes_that_touch_are_two_objects():
    found = _imposed("11111111", "22223333")
    assert found[0].tolist() == [1, 1, 1, 1, 2, 2, 2, 2]


def test_a_background_stroke_is_a_border():
    found = _imposed("111111111", "....1....")
    assert found[0, 4] == 0
    assert found[0, 0] != found[0, 8]
    assert found.max() == 2


def test_what_a_background_stroke_clips_off_is_no_object():
    found = _imposed("1111111111111111", "..............1.", min_size_px=3)
    assert found[0].tolist() == [1] * 14 + [0, 0]


def test_a_painted_cell_is_an_object_whatever_the_map_says():
    # where the map shows it, with all that it shows
    p = np.zeros((9, 12), np.float32)
    p[2:7, 2:8] = 0.9
    drawn = np.zeros(p.shape, np.uint8)
    drawn[4, 3:6] = 2
    found = impose(np.zeros(p.shape, np.int32), p, find_strokes(drawn))
    np.testing.assert_array_equal(found, (p > 0.5).astype(np.int32))
    # where it shows nothing, as painted
    found = impose(np.zeros(p.shape, np.int32), np.zeros_like(p), find_strokes(drawn))
    np.testing.assert_array_equal(found, (drawn > 0).astype(np.int32))


def test_strokes_of_another_image_are_refused():
    with pytest.raises(ImPartialError, match="same image"):
        impose(np.zeros((4, 5), np.int32), np.zeros((4, 5)), find_strokes(np.zeros((5, 4), int)))


def test_other_objects_keep_their_numbers():
    cut = np.zeros((9, 30), np.int32)
    for number in (1, 2, 3, 4, 5):
        cut[2:7, 6 * number - 5 : 6 * number - 1] = number
    drawn = np.zeros(cut.shape, np.uint8)
    drawn[1:8, 6:12] = 1  # all of 2
    drawn[3, 14:16] = 2  # one of two strokes in 3
    drawn[6, 14:16] = 2
    drawn[4, 20:28] = 2  # joins 4 and 5
    drawn[0, 0:2] = 2  # a new one
    found = impose(cut, (cut > 0).astype(np.float32), find_strokes(drawn))
    assert np.unique(found[cut == 1]).tolist() == [1]
    assert not (found == 2).any()
    assert (found[cut == 4] == 4).all()
    assert (found[cut == 5] == 4).all()
    numbers = sorted(np.unique(found).tolist())
    assert numbers[:4] == [0, 1, 3, 4]
    assert len(numbers) == 6
    assert {found[3, 14], found[6, 14], found[0, 0]} == {3, *numbers[4:]}


@pytest.mark.parametrize(
    "drawn", [np.zeros((5, 4)), np.zeros((1, 5, 4), int), np.full((5, 4), -1), np.full((5, 4), "x")]
)
def test_what_are_no_strokes_is_refused(drawn):
    with pytest.raises(ImPartialError, match="1 background and 2 and up foreground"):
        find_strokes(drawn)


@pytest.mark.parametrize("split", ["automatic", "watershed", "components"])
@pytest.mark.parametrize("seed", [0, 1])
def test_no_stroke_is_disobeyed(split, seed):
    made = tissue((200, 220), 2, seed=seed)
    rng = np.random.default_rng(seed)
    drawn = simulate(made.truth, 0.3, rng)[0].labels
    # a map that knows little: blocks of chance
    p = np.kron(rng.random((20, 22)), np.ones((10, 10))).astype(np.float32)
    strokes = find_strokes(drawn)
    found = Cutter(p).cut(InstanceConfig(split=split), strokes)
    assert not found[strokes.background].any()
    owners = [np.unique(found[strokes.number == n]) for n in range(1, strokes.count + 1)]
    assert all(len(ids) == 1 and ids[0] > 0 for ids in owners)
    assert len({int(ids[0]) for ids in owners}) == strokes.count
    # Objects that no stroke reaches keep their numbers, and new ones follow the highest.
    bare = Cutter(p).cut(InstanceConfig(split=split))
    touched = np.unique(bare[drawn > 0])
    alone = (bare > 0) & ~np.isin(bare, touched) & (found <= bare.max())
    np.testing.assert_array_equal(found[alone], bare[alone])
    new = np.unique(found[found > bare.max()])
    assert new.tolist() == list(range(bare.max() + 1, bare.max() + 1 + len(new)))


def test_agreement_counts_what_a_cut_does_to_strokes():
    cut = _picture("11112222.3333333")
    strokes = find_strokes(_picture("..2222..2.22..22"))
    found = agreement(cut, strokes)
    assert found.covered.tolist() == [1, 0, 1, 1]
    assert found.whole.tolist() == [0.5, 0, 1, 1]
    assert found.shared.tolist() == [False, False, True, True]
    assert found.in_no_object.tolist() == [False, True, False, False]
    assert found.divided.tolist() == [True, False, False, False]


ROWS = np.arange(24)[:, None]


def _rods(count: int) -> Strokes:
    """Return strokes along as many rods of 12 px, each in a row of its own."""
    drawn = np.zeros((24, 20), np.uint8)
    drawn[: 2 * count : 2, :12] = 2
    return find_strokes(drawn)


def _objects(chopped: int) -> np.ndarray:
    """Return twelve rods; each of the first ones is in three pieces."""
    objects = np.zeros((24, 20), np.int64)
    objects[::2, :12] = ROWS[::2] + 1
    pieces = np.arange(12) // 4 + 100 + 3 * ROWS[: 2 * chopped : 2]
    objects[: 2 * chopped : 2, :12] = pieces
    return objects.astype(np.int32)


def _chosen(usual: np.ndarray, other: np.ndarray, strokes: Strokes, below: float = 0.35) -> float:
    def cut(config: InstanceConfig) -> list[np.ndarray]:
        return [usual if config.split_strength > below else other]

    return best_cut(cut, [strokes]).split_strength


NOTHING = np.zeros((24, 20), np.int32)


def test_the_split_strength_follows_strokes_that_the_usual_one_divides():
    assert _chosen(_objects(12), _objects(0), _rods(12)) == pytest.approx(0.3)
    assert _chosen(_objects(12), _objects(0), _rods(2)) == pytest.approx(0.3)


def test_all_images_count():
    """One of four rods divided in one image, none or all of eight in another."""
    strokes = [_rods(4), _rods(8)]

    def chosen(divided: list[int], below: float) -> float:
        return best_cut(
            lambda c: [_objects(n if c.split_strength > below else 0) for n in divided],
            strokes[: len(divided)],
        ).split_strength

    assert chosen([1], 0.25) == pytest.approx(0.2)
    assert chosen([1, 0], 0.25) == pytest.approx(0.6)
    assert chosen([1, 0], 0.35) == pytest.approx(0.6)
    assert chosen([1, 0], 0.45) == pytest.approx(0.4)
    assert chosen([0, 8], 0.25) == pytest.approx(0.2)


def test_the_share_of_strokes_that_fits_moves_the_split_strength_not_their_number():
    assert _chosen(_objects(1), _objects(0), _rods(12), below=0.25) == pytest.approx(0.6)
    assert _chosen(_objects(1), _objects(0), _rods(12), below=0.45) == pytest.approx(0.4)
    assert _chosen(_objects(4), _objects(0), _rods(12), below=0.25) == pytest.approx(0.2)
    # one stroke in no object says less than twelve of twelve do
    assert _chosen(NOTHING, _objects(0), _rods(1), below=0.25) == pytest.approx(0.6)
    assert _chosen(NOTHING, _objects(0), _rods(12), below=0.25) == pytest.approx(0.2)


def test_faults_of_strokes_and_their_costs():
    shared = np.zeros((24, 20), np.int32)
    shared[:, :12] = ROWS // 4 + 1
    strokes = _rods(12)
    for objects, faults in (
        (_objects(0), [0, 0, 0]),
        (shared, [0, 0, 12]),
        (NOTHING, [12, 0, 0]),
        (_objects(12), [0, 12 * 2 / 3, 0]),
    ):
        np.testing.assert_allclose(agreement(objects, strokes).faults, faults)
    # Nothing changes at once where half of a stroke lies in objects.
    for covered in (5, 6, 7):
        objects = np.zeros((24, 20), np.int32)
        objects[0, :3], objects[0, 3:covered] = 1, 2
        faults = [(12 - covered) / 12, (covered - max(3, covered - 3)) / 12, 0]
        np.testing.assert_allclose(agreement(objects, _rods(1)).faults, faults)
    costs = CutCosts(usual=0.5, unusual=4.0, sharper=0.1, faults=(1.0, 2.0, 3.0), fitting=2)
    once, each = InstanceConfig(split_strength=0.7), np.array([1.0, 1.0, 1.0])
    assert costs.of(each, 4, once) == pytest.approx(6 / 6 + 4 * 0.04)
    assert costs.of(each, 4, replace(once, sharpen=4.0)) == pytest.approx(6 / 6 + 4 * 0.04 + 0.2)
    # No object at all is no better than objects that strokes share.
    uncovered, divided, sharing = CutCosts().faults
    assert sharing <= uncovered < divided


def test_a_cut_without_objects_is_not_chosen_for_objects_that_strokes_share():
    shared = np.zeros((24, 20), np.int32)
    shared[:, :12] = ROWS // 4 + 1
    for below in (0.25, 0.55, 0.75):
        usual, other = (shared, NOTHING) if below < 0.6 else (NOTHING, shared)
        assert _chosen(usual, other, _rods(12), below) == pytest.approx(0.6)
    # but where a stronger split parts them, it does
    assert _chosen(_objects(0), shared, _rods(12), below=0.75) == pytest.approx(0.8)


def test_without_strokes_the_split_strength_is_the_usual_one():
    assert _chosen(_objects(12), _objects(0), _rods(0)) == pytest.approx(0.6)
    assert InstanceConfig().split_strength == pytest.approx(0.6)
    assert 0.6 in SPLIT_STRENGTHS


def test_maps_are_sharpened_where_strokes_fit_better_then():
    def chosen(usual: np.ndarray, sharp: np.ndarray, strokes: Strokes) -> InstanceConfig:
        config = InstanceConfig(min_size_px=7)
        return best_cut(lambda c: [sharp if c.sharpen > 1 else usual], [strokes], config)

    # Two of twelve more in an object are reason enough, and one of one.
    missed, sharp = (np.where(n > ROWS, 0, _objects(0)).astype(np.int32) for n in (4, 2))
    found = chosen(missed, _objects(0), _rods(12))
    assert found == InstanceConfig(min_size_px=7, sharpen=2.0)
    assert chosen(missed, _objects(0), _rods(1)).sharpen == 2.0
    assert chosen(missed, sharp, _rods(12)).sharpen == 1.0, "one is not"
    # What fits as well stays as it is, and so does what fits better.
    assert chosen(_objects(0), _objects(0), _rods(12)) == InstanceConfig(min_size_px=7)
    assert chosen(_objects(0), missed, _rods(12)).sharpen == 1.0
    assert chosen(missed, _objects(0), _rods(0)).sharpen == 1.0


def test_a_script_gets_numbers_without_gaps():
    p = np.full((40, 60), 0.02, np.float32)
    for column in (5, 25, 45):
        p[10:22, column : column + 11] = 0.97
    drawn = np.zeros(p.shape, np.uint8)
    drawn[9:23, 24:37] = 1
    strokes = find_strokes(drawn)
    assert np.unique(Cutter(p).cut(InstanceConfig(), strokes)).tolist() == [0, 1, 3]
    assert np.unique(to_instances(p, InstanceConfig(), strokes)).tolist() == [0, 1, 2]
