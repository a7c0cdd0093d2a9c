"""Figures of merit: by hand, against StarDist and Cellpose, and under changes of names."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.segmentation import relabel_sequential

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.metrics import MAP_THRESHOLDS, evaluate, matched_pairs
from napari_impartial.core.instances.overlaps import find_overlaps

THRESHOLDS = [0.001, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0]


def bars() -> tuple[np.ndarray, np.ndarray]:
    """True bars 1 and 5 of 4 px each; prediction 7 takes 3 px of 1, 2 the whole of 5."""
    truth = np.array([[1, 1, 1, 1, 0, 5, 5, 5, 5, 0]])
    pred = np.array([[0, 7, 7, 7, 7, 2, 2, 2, 2, 0]])
    return truth, pred


def crossed() -> tuple[np.ndarray, np.ndarray]:
    """IoU of truth A with P is 4 of 9 px, with Q 3 of 7; of B with P 2 of 7, with Q none."""
    truth = np.array([[1] * 7 + [2] * 3])
    pred = np.array([[1] * 4 + [2] * 3 + [1] * 2 + [0]])
    return truth, pred


def random_pairs(seed: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    pairs = []
    for i in range(count):
        shape = rng.integers(1, 12, 2)
        truth = rng.integers(0, rng.integers(1, 12), shape)
        if i % 3 == 0:
            pred = rng.integers(0, rng.integers(1, 12), shape)
        elif i % 3 == 1:
            pred = np.where(rng.random(shape) < 0.3, rng.integers(0, 9, shape), truth)
        else:
            truth = np.kron(truth, np.ones((3, 3), int))
            pred = np.roll(truth, rng.integers(-2, 3, 2), (0, 1))
        pairs.append((truth * (1 + i % 2), rng.permutation(int(pred.max()) + 1)[pred]))
    return pairs


def pairs_at(truth: np.ndarray, pred: np.ndarray, threshold: float) -> list[tuple[int, int]]:
    return list(zip(*map(np.ndarray.tolist, matched_pairs(truth, pred, threshold)), strict=True))


def test_pairs_by_hand() -> None:
    # IoU of 1 and 7: 3 of 5 px; of 5 and 2: 1.
    assert pairs_at(*bars(), 0.5) == [(1, 7), (5, 2)]
    assert pairs_at(*bars(), 0.7) == [(5, 2)]


def test_more_pairs_beat_a_better_pair() -> None:
    # A-P: 4 of 9 px, A-Q: 3 of 7, B-P: 2 of 7.
    overlaps = find_overlaps(*crossed())
    assert overlaps.iou.tolist() == pytest.approx([4 / 9, 3 / 7, 2 / 7])
    assert pairs_at(*crossed(), 0.25) == [(1, 2), (2, 1)]
    assert len(pairs_at(*crossed(), 0.4)) == 1


def test_exactly_half_counts_once() -> None:
    assert len(pairs_at(np.array([[1, 1, 1, 1]]), np.array([[1, 1, 2, 2]]), 0.5)) == 1


def test_empty_and_one_sided() -> None:
    empty, one = np.zeros((3, 3), np.uint8), np.eye(3, dtype=np.uint8)
    nothing = evaluate([empty], [empty])
    assert (nothing.f1, nothing.miou, nothing.n_true, nothing.n_pred) == (0.0, 0.0, 0, 0)
    assert evaluate([empty], [one]).ap == evaluate([one], [empty]).ap == 0.0
    assert evaluate([np.zeros((0, 4), int)], [np.zeros((0, 4), int)]).n_true == 0


def test_evaluation_by_hand() -> None:
    truth, pred = bars()
    result = evaluate([truth, np.zeros((2, 2), int)], [pred, np.eye(2, dtype=int)])
    assert (result.n_true, result.n_pred) == (2, 3)
    assert result.f1 == pytest.approx(2 * 2 / (2 + 3))
    assert result.ap == pytest.approx(2 / 3)
    # IoU 0.6 passes at 0.5, 0.55 and 0.6: three times 2/3, seven times 1/4.
    assert result.map == pytest.approx((3 * 2 / 3 + 7 * 1 / 4) / 10)
    assert result.miou == pytest.approx((0.6 + 1) / 2)
    assert result.mdice == pytest.approx((0.75 + 1) / 2)


def test_pooling_of_the_authors_by_hand() -> None:
    truth, pred = np.zeros((2, 10, 10), int)
    truth[:4, :4], truth[6:, 6:] = 1, 2
    pred[:4, :4], pred[6:, 6:8] = 5, 6  # one whole cell, and half of the other
    missed, nothing = np.where(truth == 1, truth, 0), np.zeros_like(truth)
    pairs = [(truth, pred), (missed, nothing), (nothing, nothing)]
    found = evaluate(*zip(*pairs, strict=True), pooling="authors")
    # The first image: both are found at IoU 0.5, from 0.55 on one of two. The second: nothing.
    assert found.f1 == pytest.approx((1 + 0) / 2)
    assert found.ap == pytest.approx((1 + 0) / 2)
    assert found.map == pytest.approx(((1 + 9 / 3) / 10 + 0) / 2)
    # The background counts: 68 of 76 px, and 84 of 100. So does the predicted one, for a cell
    # that is missed: 16 of 100 px.
    assert found.miou == pytest.approx(((68 / 76 + 1 + 8 / 16) / 3 + (0.84 + 0.16) / 2) / 2)
    dice = (2 * 68 / (68 + 76) + 1 + 2 * 8 / 24) / 3, (2 * 84 / 184 + 2 * 16 / 116) / 2
    assert found.mdice == pytest.approx(sum(dice) / 2)
    assert (found.n_true, found.n_pred) == (3, 2)
    ours = evaluate(*zip(*pairs, strict=True))
    assert ours.f1 == pytest.approx(2 * 2 / (3 + 2))
    assert ours.miou == pytest.approx((1 + 0.5 + 0) / 3)
    assert evaluate([nothing], [nothing], "authors").miou == 0
    with pytest.raises(ImPartialError, match="no pooling 'mean'; choose cells or authors"):
        evaluate([truth], [pred], "mean")


def test_names_and_directions_do_not_matter() -> None:
    for truth, pred in random_pairs(5, 12):
        plain = evaluate([truth], [pred])
        renamed = evaluate([truth * 1000], [np.where(pred > 0, 2**40 + 3 * pred, 0)])
        assert renamed == pytest.approx(plain)
        assert evaluate([truth[::-1]], [pred[::-1]]) == pytest.approx(plain)
        assert evaluate([truth.astype(np.uint16).T], [pred.T]) == pytest.approx(plain)
        assert len(pairs_at(pred, truth, 0.3)) == len(pairs_at(truth, pred, 0.3))


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = random_pairs(7, 9)
    plain = evaluate(*zip(*pairs, strict=True))
    monkeypatch.setattr("napari_impartial.core.instances.overlaps._CHUNK_PIXELS", 5)
    assert evaluate(*zip(*pairs, strict=True)) == plain


@pytest.mark.parametrize(
    ("truth", "pred", "said"),
    [
        (np.zeros((2, 2)), np.zeros((2, 2), int), "true labels are of type float64"),
        (np.zeros((2, 2), int), np.full((2, 2), -1), "predicted labels hold negative"),
        (np.zeros((2, 3), int), np.zeros((3, 2), int), "same image"),
    ],
)
def test_bad_labels_are_named(truth: np.ndarray, pred: np.ndarray, said: str) -> None:
    with pytest.raises(ImPartialError, match=said):
        find_overlaps(truth, pred)


def test_lists_have_to_fit() -> None:
    with pytest.raises(ImPartialError, match="1 true and 0 predicted"):
        evaluate([np.zeros((1, 1), int)], [])
    with pytest.raises(ImPartialError, match="nothing to evaluate"):
        evaluate([], [])


@pytest.mark.parametrize("shape", [(4, 4), (2, 4, 4)])
def test_one_array_is_not_a_list_of_images(shape: tuple[int, ...]) -> None:
    labels = np.ones(shape, int)
    with pytest.raises(ImPartialError, match=r"evaluate\(\[truth\], \[pred\]\)"):
        evaluate(labels, labels)  # type: ignore[arg-type]
    with pytest.raises(ImPartialError, match="label image"):
        find_overlaps(labels.ravel(), labels.ravel())


def oracle_pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    empty, one = np.zeros((3, 3), int), np.eye(3, dtype=int)
    one_sided = [(empty, empty), (empty, one), (one, empty)]
    return [bars(), crossed(), *one_sided, *random_pairs(0, 60)]


def test_counts_equal_stardist() -> None:
    oracle = pytest.importorskip("stardist.matching").matching
    for truth, pred in oracle_pairs():
        for one in oracle(
            truth, pred, thresh=[level for level in THRESHOLDS if level != 0.5000001]
        ):
            assert len(pairs_at(truth, pred, one.thresh)) == one.tp, one
        (half,) = oracle(truth, pred, thresh=[0.5])
        ours = evaluate([truth], [pred])
        assert (ours.n_true, ours.n_pred) == (half.n_true, half.n_pred)
        assert (ours.f1, ours.ap) == pytest.approx((half.f1, half.accuracy))


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_average_precision_equals_cellpose() -> None:
    oracle = pytest.importorskip("cellpose.metrics").average_precision
    for pair in oracle_pairs():
        # Cellpose takes the largest id for the number of instances.
        truth, pred = (relabel_sequential(labels)[0] for labels in pair)
        theirs, *_ = oracle(truth, pred, threshold=list(MAP_THRESHOLDS))
        ours = evaluate([truth], [pred])
        expected = np.nan_to_num(theirs)  # nothing there
        assert (ours.ap, ours.map) == pytest.approx((expected[0], expected.mean()), abs=1e-6)


def test_masked_labels_are_refused() -> None:
    labels = np.arange(16).reshape(4, 4)
    with pytest.raises(ImPartialError, match="true labels are masked in part"):
        evaluate([np.ma.masked_equal(labels, 3)], [labels])
    assert evaluate([np.ma.array(labels)], [labels]).f1 == 1.0
