"""The protocol of a spot check: what is written is read back, and mistakes are named."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.review.spot_check import UNSURE, Answer, Kind, PlaneLabels, draw
from napari_impartial.core.review.spot_report import estimate, report
from napari_impartial.io.spot_sheet import read_sheet, write_sheet


@pytest.fixture(scope="module")
def judged():
    """A sample of 30 images, with verdicts of every kind."""
    labels = np.zeros((60, 60), np.int32)
    for i in range(9):
        labels[20 * (i // 3) + 4 :][:9, 20 * (i % 3) + 4 :][:, :9] = i + 1
    names = [f"well {i}; \u201ea\u201c, \u00b5" for i in range(30)]
    planes = [PlaneLabels(i, labels, (i % 3, 1)) for i in range(30)]
    check = draw(names, planes, 60, seed=7, groups=["a", "b", ""] * 10)
    answers = {}
    for at, unit in enumerate(check.units[:50]):
        if check.kind(unit).is_place:
            answers[at] = Answer(False, at % 3)
        else:
            answers[at] = Answer(at % 5 != 0, at % 4 if at % 5 == 0 else 1)
    answers[3] = UNSURE
    return check, answers


def test_a_sheet_says_all_that_the_estimates_need(judged, tmp_path):
    check, answers = judged
    write_sheet(tmp_path / "p.csv", check, answers)
    again, read = read_sheet(tmp_path / "p.csv")
    assert read == answers
    assert [(again.images[u.image], u.plane, u.box, u.label) for u in again.units] == [
        (check.images[u.image], u.plane, u.box, u.label) for u in check.units
    ]
    assert estimate(again, read) == estimate(check, answers)
    one, other = report(again, read), report(check, answers)
    assert (one.overall, one.n_images, one.open, one.seed) == (other.overall, 30, 10, 7)
    assert {part.name: part.estimate for part in one.images} == {
        part.name: part.estimate for part in other.images
    }
    # And so does one that was read and written.
    write_sheet(tmp_path / "q.csv", again, read)
    assert (tmp_path / "p.csv").read_bytes() == (tmp_path / "q.csv").read_bytes()


@pytest.mark.parametrize(
    ("kind", "verdict", "cells", "words"),
    [
        (Kind.OBJECT, "fine", "", "it can be 'right', 'wrong outline'"),
        (Kind.BUSY, "right", "", "it can be 'fine', 'missed cell'"),
        (Kind.OBJECT, "perhaps", "", "has the verdict 'perhaps'"),
        (Kind.OBJECT, "not a cell", "2", "says 'not a cell' and 2 cells"),
        (Kind.OBJECT, "several cells", "1", "says 'several cells' and 1 cells"),
        (Kind.BUSY, "fine", "1", "says 'fine' and 1 cells"),
        (Kind.BUSY, "missed cell", "many", "has 'many' for 'cells'"),
        (Kind.BUSY, "missed cell", "0", "says 'missed cell' and 0 cells"),
        (Kind.OBJECT, "", "1", "a number of cells and no verdict"),
    ],
)
def test_a_verdict_that_cannot_be_is_told_with_its_row(
    judged, tmp_path, kind, verdict, cells, words
):
    check, _ = judged
    path = tmp_path / "p.csv"
    write_sheet(path, check, {})
    at = next(at for at, unit in enumerate(check.units) if check.kind(unit) is kind)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    rows[at].update(verdict=verdict, cells=cells)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(ImPartialError, match=f"Row {at + 2} of") as told:
        read_sheet(path)
    assert words in str(told.value)


def test_rows_that_are_copied_or_lost_are_told(judged, tmp_path):
    check, answers = judged
    path = tmp_path / "p.csv"
    write_sheet(path, check, answers)
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    for kept in ([*lines, *lines[1:40] * 9], lines[:20], [*lines[:40], *lines[41:60]]):
        path.write_text("\n".join(kept), encoding="utf-8")
        with pytest.raises(ImPartialError, match=r"rows must be|lacks rows"):
            read_sheet(path)
