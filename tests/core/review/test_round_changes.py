"""Comparing rounds, and knowing when to stop."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from napari_impartial.core.instances.metrics import evaluate
from napari_impartial.core.network.model_card import ModelCard
from napari_impartial.core.review import round_changes


def cells() -> np.ndarray:
    labels = np.zeros((40, 60), np.int32)
    labels[5:15, 5:15] = 1
    labels[5:15, 25:35] = 2
    labels[25:35, 5:15] = 3
    return labels


def test_what_changed_by_hand() -> None:
    before = cells()
    after = np.zeros_like(before)
    after[5:15, 5:15] = 8  # the same, by another name
    after[5:15, 25:32] = 5  # smaller: IoU 0.7
    after[25:35, 45:55] = 6  # new; 3 is gone
    changes = round_changes.compare(before, after)
    assert changes.gained.tolist() == [6]
    assert changes.lost.tolist() == [3]
    assert changes.changed.tolist() == [5]
    assert changes.n_same == 1
    assert changes.agreement == pytest.approx(4 / 6)
    drawn = round_changes.picture(changes, before, after)
    np.testing.assert_array_equal(drawn == round_changes.GAINED, after == 6)
    np.testing.assert_array_equal(drawn == round_changes.LOST, before == 3)
    np.testing.assert_array_equal(drawn == round_changes.CHANGED, after == 5)


def test_nothing_changed() -> None:
    before = cells()
    changes = round_changes.compare(before, np.where(before > 0, before + 7, 0))
    assert (changes.n_same, changes.agreement) == (3, 1.0)
    assert not round_changes.picture(changes, before, before).any()
    empty = np.zeros_like(before)
    assert round_changes.compare(empty, empty).agreement == 1.0
    assert round_changes.compare(empty, before).agreement == 0.0


def test_an_object_halved_has_one_counterpart() -> None:
    before, after = cells(), cells()
    after[10:15, 5:15] = 9  # two halves of IoU 0.5 each
    changes = round_changes.compare(before, after)
    assert len(changes.gained) + len(changes.lost) == 1
    assert len(changes.changed) == 1


def test_agreement_is_the_f1_score() -> None:
    rng = np.random.default_rng(0)
    before = cells()
    after = np.roll(before, rng.integers(-4, 4, 2), (0, 1))
    after[30:33, 40:44] = 9
    assert round_changes.compare(before, after).agreement == pytest.approx(
        evaluate([before], [after]).f1, abs=1e-9
    )


def card(best: float | None, *entries: tuple[float, float] | None) -> ModelCard:
    history = [
        {"validation": None if e is None else {"total": e[0], "scribble": e[1]}} for e in entries
    ]
    made: Any = SimpleNamespace(best_validation_loss=best, history=tuple(history))
    return cast(ModelCard, made)


def test_the_score_is_that_of_the_weights_in_the_file() -> None:
    entries = ((0.5, 0.4), None, (0.3, 0.1), (0.4, 0.2))
    assert round_changes.held_out_score(card(0.3, *entries)) == pytest.approx(math.exp(-0.1))
    assert round_changes.held_out_score(card(0.4, *entries)) == pytest.approx(math.exp(-0.2))
    assert round_changes.held_out_score(card(None, None)) is None
    assert round_changes.held_out_score(card(0.9, *entries)) is None


@pytest.mark.parametrize(
    ("scores", "agreement", "stop"),
    [
        ([], None, False),
        ([0.9], 1.0, False),  # one round says nothing
        ([None, None], 0.97, True),
        ([None, None], 0.9, False),
        ([0.80, 0.805], 0.97, True),
        ([0.80, 0.85], 0.97, False),  # still learning
        ([0.80, 0.80], 0.9, False),  # still changing
        ([0.80, 0.80], None, False),  # two scores of a few strokes are not enough
        ([0.80, 0.86, 0.865], None, True),
        ([0.80, 0.86, 0.90], None, False),
        ([0.80, 0.86, None], None, False),
    ],
)
def test_when_more_scribbles_no_longer_help(
    scores: list[float | None], agreement: float | None, stop: bool
) -> None:
    words = round_changes.judge(scores, agreement)
    assert bool(words) == stop
    if stop:
        assert words.endswith(".")
        assert "hardly help" in words


def test_agreement_over_several_images_counts_objects() -> None:
    empty = np.zeros((40, 60), np.int32)
    same, lost = round_changes.compare(cells(), cells()), round_changes.compare(cells(), empty)
    assert round_changes.agreement([]) is None
    assert round_changes.agreement([round_changes.compare(empty, empty)]) == 1.0
    assert round_changes.agreement([same, lost]) == pytest.approx(2 * 3 / (2 * 3 + 3))


def test_masks_are_packed_without_loss() -> None:
    labels = cells()
    packed = round_changes.PackedLabels.pack(labels[:, ::2])
    np.testing.assert_array_equal(packed.unpack(), labels[:, ::2])
    assert packed.unpack().dtype == np.int32
    assert packed.unpack().flags.writeable
    assert len(packed.data) < labels.nbytes / 20


def test_strokes_painted_after_a_round_judge_it() -> None:
    labels = np.zeros((4, 6), np.uint8)
    labels[0, :4], labels[2, :2] = 1, 2
    learned = labels.copy()
    learned[0, 2:4], learned[2] = 0, 0
    foreground = np.full((4, 6), 0.2)
    foreground[2] = 0.5
    probability = np.stack([1 - foreground, foreground])
    # Two background pixels are new, foretold with 0.8, and two of foreground, with 0.5.
    new = round_changes.NewStrokes(labels, learned, probability)
    assert round_changes.unseen_score([new]) == pytest.approx(math.sqrt(0.8 * 0.5))
    assert (
        round_changes.unseen_score([round_changes.NewStrokes(labels, labels, probability)]) is None
    )
    unknown = np.full((4, 6), 3, np.uint8)
    assert (
        round_changes.unseen_score([round_changes.NewStrokes(unknown, None, probability)]) is None
    )
    never = np.stack([np.zeros((4, 6)), np.ones((4, 6))])
    assert 0 < round_changes.unseen_score([round_changes.NewStrokes(labels, None, never)]) < 0.02
