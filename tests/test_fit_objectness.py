"""The fit of the scorecard: its labels by brute force, its card against the library's own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from napari_impartial.core.data.synthetic_tissue import tissue
from napari_impartial.core.instances import scoring
from napari_impartial.core.instances.component_tree import LEVELS, build_tree
from napari_impartial.core.instances.scoring import Scorecard

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
    return Candidates(tree, scoring.measure(tree), best_overlap(tree, truth)), truth


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


def test_the_card_says_what_the_fitted_models_say(
    candidates: tuple[Candidates, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = []
    monkeypatch.setattr(fit_objectness, "_STUMPS", 40)
    as_tables = fit_objectness._as_tables
    monkeypatch.setattr(
        fit_objectness,
        "_as_tables",
        lambda model, names: fitted.append((model, names)) or as_tables(model, names),
    )
    found, _ = candidates
    card = Scorecard.from_json(fit_objectness.fit_card([found], [1]))
    assert len(card.looks) == len(fitted) == 3
    large = found.tree.area >= scoring.SMALLEST_PX
    features, names = found.features, scoring.FEATURES
    for look, (model, used) in zip(card.looks, fitted, strict=True):
        got = scoring.probability(found.tree, look.log_odds(features))
        columns = [names.index(name) for name in used]
        expected = model.predict_proba(features[large][:, columns])[:, 1]
        # Steps are written with seven figures, so a few rows fall on the other side of one.
        close = np.abs(got[large] - expected) < 1e-3
        assert close.mean() > 0.95
        assert 0.02 < expected.mean() < 0.98
        features = scoring.with_comparisons(found.tree, found.features, got)
        names = scoring.COMPARED
    np.testing.assert_array_equal(scoring.score(found.tree, card), got)
    assert "relative_size" not in fitted[0][1]
    assert set(fitted[1][1]) == set(scoring.COMPARED)


def test_procedural_maps_show_most_of_what_is_there_and_are_the_same_each_time() -> None:
    maps = fit_objectness.procedural_maps(3)
    assert len(maps) == 3
    for one in maps:
        assert one.foreground.shape == one.truth.shape
        inside, outside = one.foreground[one.truth > 0], one.foreground[one.truth == 0]
        assert inside.mean() > outside.mean() + 0.2
    again = fit_objectness.procedural_maps(1)
    np.testing.assert_array_equal(again[0].foreground, maps[0].foreground)


def test_tables_are_made_without_each_kind_and_those_like_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, *others = fit_objectness.procedural_maps(4)
    maps = {"a": [first], **dict(zip(("b", "b_2", "c"), ([m] for m in others), strict=True))}
    monkeypatch.setattr(fit_objectness, "kept_maps", lambda *_: dict(maps))
    monkeypatch.setattr(fit_objectness, "_STUMPS", 20)
    arguments = "SET --maps DIR --procedural 0 --leave-out c --together b b_2 --each"
    monkeypatch.setattr(sys, "argv", ["fit", *arguments.split(), str(tmp_path)])
    fit_objectness.main()
    assert {file.name for file in tmp_path.iterdir()} == {"a.json", "b.json", "b_2.json", "c.json"}
    for kind, fitted_to in {"a": "b b_2", "b": "a", "b_2": "a", "c": "a b b_2"}.items():
        known = {name: fit_objectness.measured(maps[name]) for name in fitted_to.split()}
        expected = fit_objectness.card_of(known)
        assert json.loads((tmp_path / f"{kind}.json").read_text("utf-8")) == expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--leave-out", "no_kind"], "no maps of a kind called no_kind"),
        (["--each", "DIR", "--together", "a", "aa"], "no maps of a kind called aa"),
        (["--together", "a", "a"], "give both"),
    ],
)
def test_kinds_that_are_not_there_are_said(
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(fit_objectness, "kept_maps", lambda *_: {"a": []})
    monkeypatch.setattr(sys, "argv", ["fit", "SET", "--maps", "DIR", *arguments])
    with pytest.raises(SystemExit):
        fit_objectness.main()
    assert said in capsys.readouterr().err
