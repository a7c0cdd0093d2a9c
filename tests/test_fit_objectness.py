"""The fit of the scorecard: its labels by brute force, its card against the library's own."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_impartial.core import objectness
from napari_impartial.core.object_tree import LEVELS, build_tree
from napari_impartial.core.objectness import Scorecard
from napari_impartial.core.tissue import tissue

pytest.importorskip("sklearn")
from benchmarks import fit_objectness
from benchmarks.fit_objectness import Candidates, best_overlap


@pytest.fixture(scope="module")
def candidates() -> tuple[Candidates, np.ndarray]:
    truth = tissue((160, 160), seed=3).truth
    rng = np.random.default_rng(0)
    p = ndimage.gaussian_filter((truth > 0) * 0.8 + rng.normal(0, 0.8, truth.shape), 1.5)
    tree = build_tree(np.clip(p, 0, 1).astype(np.float32))
    assert tree is not None
    return Candidates(tree, objectness.measure(tree), best_overlap(tree, truth)), truth


def test_overlaps_are_those_of_the_pixels(candidates: tuple[Candidates, np.ndarray]) -> None:
    found, truth = candidates
    tree = found.tree
    members = [{node + 1} for node in range(int(tree.hills.max()))]
    for a, b in tree.children[len(members) :].tolist():
        members.append(members[a] | members[b])
    checked = np.random.default_rng(1).choice(len(tree), 60, replace=False)
    for node in checked:
        inside = np.isin(tree.hills, list(members[node]))
        for level in range(len(LEVELS)):
            one = inside & (tree.levels > level)
            ious = [
                (one & (truth == label)).sum() / (one | (truth == label)).sum()
                for label in np.unique(truth[one & (truth > 0)])
            ]
            assert found.overlap[node, level] == pytest.approx(max(ious, default=0.0))


def test_the_card_says_what_the_fitted_model_says(
    candidates: tuple[Candidates, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = []
    monkeypatch.setattr(fit_objectness, "_STUMPS", 40)
    as_card = fit_objectness._as_card
    monkeypatch.setattr(
        fit_objectness, "_as_card", lambda model: fitted.append(model) or as_card(model)
    )
    found, _ = candidates
    card = Scorecard.from_json(fit_objectness.fit_card([found], [1]))
    rows = found.features[found.tree.area >= objectness.SMALLEST_PX]
    expected = fitted[0].predict_proba(rows)[:, 1]
    got = 1 / (1 + np.exp(-card.log_odds(rows)))
    # Steps are written with five figures, so a few rows fall on the other side of one.
    close = np.abs(got - expected) < 1e-3
    assert close.mean() > 0.97
    assert 0.02 < expected.mean() < 0.98
