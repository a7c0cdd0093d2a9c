"""Spot checks: what is drawn, what follows from the verdicts, how often that is true."""

from dataclasses import dataclass

import numpy as np
import pytest

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.measurements import measure
from napari_impartial.core.instances.metrics import evaluate
from napari_impartial.core.review.spot_check import (
    UNSURE,
    Answer,
    Kind,
    PlaneLabels,
    PlaneTable,
    allocate,
    draw,
)
from napari_impartial.core.review.spot_report import estimate, report
from napari_impartial.core.review.spot_truth import answers_from_truth

PITCH, SIZE = 6, 4
RIGHT = Answer(True, 1)


def field(n_rows, n_cols, margin=0):
    """Objects of 4 x 4 px in rows and columns, with empty pixels to the right."""
    labels = np.zeros((n_rows * PITCH, n_cols * PITCH + margin), np.int32)
    for i in range(n_rows * n_cols):
        y, x = PITCH * (i // n_cols), PITCH * (i % n_cols)
        labels[y : y + SIZE, x : x + SIZE] = i + 1
    return labels


@dataclass
class World:
    """Images whose truth is known: cells of each object, and middles of missed cells."""

    planes: list
    cells: list  # of each image, by label
    right: list
    missed: list  # of each image, (n, 2)

    def answers(self, check):
        found = {}
        for at, unit in enumerate(check.units):
            if unit.label:
                right = bool(self.right[unit.image][unit.label])
                found[at] = Answer(right, int(self.cells[unit.image][unit.label]))
            else:
                y0, x0, y1, x1 = unit.box
                inside = (self.missed[unit.image] >= (y0, x0)) & (
                    self.missed[unit.image] < (y1, x1)
                )
                found[at] = Answer(False, int(inside.all(axis=1).sum()))
        return found

    @property
    def truth(self):
        n = sum(int(one.labels.max()) for one in self.planes)
        right = sum(int(one[1:].sum()) for one in self.right)
        cells = sum(int(one[1:].sum()) for one in self.cells) + sum(map(len, self.missed))
        return {
            "precision": right / n,
            "recall": right / cells,
            "f1": 2 * right / (n + cells),
            "cells": cells,
        }


def make_world(rng, fields, share_right, missed_a_cell, spread=0):
    """Draw a population; with `spread`, images differ."""
    world = World([], [], [], [])
    for image, labels in enumerate(fields):
        n = int(labels.max())
        share = (
            rng.beta(share_right * spread, (1 - share_right) * spread) if spread else share_right
        )
        right = np.append(False, rng.random(n) < share)
        cells = np.where(right, 1, rng.choice([1, 0, 2], n + 1, p=[0.6, 0.25, 0.15]))
        free = np.argwhere(labels == 0)
        missed = free[rng.choice(len(free), rng.poisson(missed_a_cell * n), replace=False)]
        world.planes.append(PlaneLabels(image, labels))
        world.right.append(right)
        world.cells.append(cells)
        world.missed.append(missed)
    return world


def names(n):
    return [f"image {i + 1}" for i in range(n)]


def test_a_sample_has_all_images_and_both_kinds_and_can_be_drawn_again():
    fields = [field(10, 10, 60), field(4, 5), field(20, 20, 30)]
    planes = [PlaneLabels(i, labels) for i, labels in enumerate(fields)]
    check = draw(names(3), planes, 60, seed=3)
    assert check == draw(names(3), planes, 60, seed=3)
    assert check != draw(names(3), planes, 60, seed=4)
    assert len(check.units) == len(set(check.units)) == 60
    objects = [unit for unit in check.units if check.kind(unit) is Kind.OBJECT]
    assert len(objects) == 40
    per_image = np.bincount([unit.image for unit in objects])
    # In proportion to 100, 20 and 400 objects, and two at least.
    assert list(per_image) == [7, 2, 31]
    for unit in objects:
        y0, x0, y1, x1 = unit.box
        assert (fields[unit.image][y0:y1, x0:x1] == unit.label).sum() == SIZE**2
    for unit in check.units:
        if check.kind(unit).is_place:
            y0, x0, y1, x1 = unit.box
            covered = fields[unit.image][y0:y1, x0:x1] > 0
            assert covered.any() == (check.kind(unit) is Kind.BUSY)
            # Five objects wide.
            assert 15 <= y1 - y0 <= 30
            assert 15 <= x1 - x0 <= 30


def test_any_beginning_of_the_sample_is_spread_over_the_images():
    planes = [PlaneLabels(i, field(10, 10, 30)) for i in range(4)]
    check = draw(names(4), planes, 60, seed=0)
    first = [unit.image for unit in check.units[:24] if unit.label]
    assert np.ptp(np.bincount(first, minlength=4)) <= 2


def test_squares_that_hold_no_background_are_left_out():
    full = np.arange(1, 37, dtype=np.int32).reshape(6, 6).repeat(8, axis=0).repeat(8, axis=1)
    check = draw(["full"], [PlaneLabels(0, full)], 20, seed=0)
    assert {check.kind(unit) for unit in check.units} == {Kind.OBJECT}


def test_many_images_share_strata_and_groups_stay_together():
    planes = [PlaneLabels(i, field(3, 3)) for i in range(100)]
    groups = [f"well {i % 4}" for i in range(100)]
    check = draw(names(100), planes, 60, seed=0, groups=groups)
    objects = [stratum for stratum in check.strata if stratum.kind is Kind.OBJECT]
    assert len(objects) == 20
    assert sum(stratum.size for stratum in objects) == 900
    wells = [{groups[i] for i in stratum.of_image} for stratum in objects]
    assert all(len(well) <= 2 for well in wells)


def test_fewer_units_than_wanted_are_all_drawn():
    labels = field(2, 3)
    check = draw(["small"], [PlaneLabels(0, labels)], 60, seed=0)
    assert sorted(unit.label for unit in check.units if unit.label) == [1, 2, 3, 4, 5, 6]
    answers = {at: RIGHT if unit.label else Answer(False, 0) for at, unit in enumerate(check.units)}
    whole = estimate(check, answers)
    # All was looked at: nothing is uncertain.
    assert (whole.precision.low, whole.recall.low, whole.cells.high) == (1, 1, 6)


def test_nothing_predicted_is_told():
    with pytest.raises(ImPartialError, match="predict first"):
        draw([], [], 60, seed=0)
    with pytest.raises(ImPartialError, match="too small"):
        draw(["a"], [PlaneLabels(0, field(2, 2))], 1, seed=0)


def test_an_image_without_objects_is_looked_at_for_missed_cells():
    planes = [PlaneLabels(0, field(10, 10)), PlaneLabels(1, np.zeros((120, 120), np.int32))]
    check = draw(names(2), planes, 60, seed=0)
    assert any(unit.image == 1 for unit in check.units)
    only = draw(["none"], [PlaneLabels(0, np.zeros((120, 120), np.int32))], 30, seed=0)
    assert len(only.units) == 30
    result = estimate(only, dict.fromkeys(range(30), Answer(False, 1)))
    assert result.precision is None
    assert result.missed == 30


@pytest.mark.parametrize(
    ("sizes", "n", "expected"),
    [
        ([100, 100], 10, [5, 5]),
        ([900, 50, 50], 10, [6, 2, 2]),
        ([5, 1], 100, [5, 1]),
        ([1000, 1, 1], 10, [8, 1, 1]),
        ([10, 10, 10], 2, [2, 2, 2]),
    ],
)
def test_allocation(sizes, n, expected):
    assert allocate(sizes, n) == expected


def as_table(one):
    """Return what is known of a plane's objects where only their table is at hand."""
    found = measure(one.labels)
    boxes = np.stack([found[f"bbox_{side}"] for side in ("y0", "x0", "y1", "x1")], axis=1)
    return PlaneTable(one.image, found["label"], found["area_px"], boxes, one.labels.shape)


@pytest.mark.parametrize("known_as", [lambda one: one, as_table])
def test_estimates_are_unbiased(known_as):
    rng = np.random.default_rng(0)
    fields = [field(8, 8, 40), field(15, 12, 10), field(3, 4)]
    world = make_world(rng, fields, 0.8, 0.3)
    truth = world.truth
    known = [known_as(one) for one in world.planes]
    found = []
    for seed in range(150):
        check = draw(names(3), known, 60, seed)
        result = estimate(check, world.answers(check))
        found.append([result.precision.value, result.recall.value, result.cells.value])
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(len(found))
    expected = [truth["precision"], truth["recall"], truth["cells"]]
    assert (np.abs(mean - expected) < 3.5 * error + 0.002).all()


def test_a_table_of_objects_divides_a_plane_as_its_labels_do():
    whole = PlaneLabels(0, field(9, 7, 50))
    known = as_table(whole)
    ids = np.array([3, 1, 60])
    np.testing.assert_array_equal(known.boxes(ids), whole.boxes(ids))
    for one in (whole, known):
        busy, empty = one.squares(11)
        assert sum(np.prod(box[2:] - box[:2]) for box in (*busy, *empty)) == whole.labels.size
    ours = {tuple(box) for box in known.squares(11)[0].tolist()}
    assert ours <= {tuple(box) for box in whole.squares(11)[0].tolist()}
    assert len(ours) == 20


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(1)
    one, several = [field(20, 20, 20)], [field(10, 10, 40), field(20, 25, 10), field(5, 6)]
    many = [field(4, 4 + i % 5, 10 * (i % 3)) for i in range(40)]
    kinds = [
        # fields, share right, missed cells an object, spread between images, verdicts
        (one, 0.95, 0.05, 0, 60),
        (one, 0.5, 0.5, 0, 60),
        (several, 0.99, 0.01, 0, 60),
        (several, 0.997, 0.003, 0, 60),
        (several, 0.8, 0.2, 5, 60),
        (several, 0.9, 0.1, 0, 20),
        (many, 0.95, 0.05, 5, 60),
        (many, 0.7, 0.3, 2, 60),
    ]
    hits = {"precision": [], "recall": [], "f1": [], "cells": []}
    repeats = 50
    for fields, share, missed, spread, n in kinds:
        for seed in range(repeats):
            world = make_world(rng, fields, share, missed, spread)
            check = draw(names(len(fields)), world.planes, n, seed)
            result, truth = estimate(check, world.answers(check)), world.truth
            for name, hit in hits.items():
                found = getattr(result, name)
                hit.append(found.low - 1e-9 <= truth[name] <= found.high + 1e-9)
    for name, hit in hits.items():
        by_kind = np.reshape(hit, (-1, repeats)).mean(axis=1)
        assert 0.93 <= np.mean(hit) <= 0.99, (name, by_kind)
        assert by_kind.min() >= 0.89, (name, by_kind)


def test_verdicts_that_are_missing_or_unsure_are_left_out():
    world = make_world(np.random.default_rng(0), [field(10, 10, 30)] * 3, 0.8, 0.1)
    check = draw(names(3), world.planes, 60, seed=0)
    answers = world.answers(check)
    half = {at: answers[at] for at in range(30)}
    unsure = {**half, 0: UNSURE}
    result = report(check, unsure)
    assert (result.open, result.unsure) == (30, 1)
    assert result.overall.objects + result.overall.places == 29
    assert result.overall.precision.low < estimate(check, answers).precision.low + 0.2


def test_images_that_fall_out_are_named():
    rng = np.random.default_rng(0)
    world = make_world(rng, [field(10, 10, 30)] * 6, 0.97, 0.0)
    world.right[4][:] = False
    check = draw(names(6), world.planes, 60, seed=0, groups=["a", "a", "b", "b", "c", "c"])
    found = report(check, world.answers(check))
    # Its well, half of it good, is not beyond doubt at as few verdicts.
    assert next(one.name for one in found.outliers) == "image 5"
    assert {one.name for one in found.outliers} <= {"image 5", "c"}
    assert [part.name for part in found.images] == names(6)
    assert [part.name for part in found.groups] == ["a", "b", "c"]
    assert found.images[4].estimate.precision.high < 0.4
    assert found.images[0].estimate.n_objects == 100


def test_of_images_that_are_alike_few_are_named():
    rng = np.random.default_rng(0)
    named = 0
    for seed in range(60):
        world = make_world(rng, [field(6, 6, 10)] * 6, 0.7, 0.2)
        check = draw(names(6), world.planes, 60, seed)
        named += bool(report(check, world.answers(check)).outliers)
    assert named <= 6  # 5 % of 60 are 3


def test_verdicts_from_the_truth_count_each_true_cell_once():
    rng = np.random.default_rng(0)
    truth = field(12, 12, 30)
    pred = np.roll(truth, (1, 0), axis=(0, 1))  # IoU 12/20
    pred[np.isin(pred, rng.choice(144, 20, replace=False))] = 0
    pred[pred == 60] = 61  # two cells in one
    check = draw(["a"], [PlaneLabels(0, pred)], 1000, seed=0)
    answers = answers_from_truth(check, [PlaneLabels(0, pred)], [truth])
    found, exact = estimate(check, answers), evaluate([truth], [pred])
    assert found.f1.value == pytest.approx(exact.f1)
    assert found.cells.value == exact.n_true
    assert found.n_objects == exact.n_pred
    assert found.f1.low == found.f1.high
