"""Fit the score tables that the automatic cut chooses objects by.

``python -m benchmarks.fit_objectness SET... --maps DIR [--leave-out KIND...] [--out FILE]``

``python -m benchmarks.fit_objectness SET... --maps DIR --each DIR [--together KIND...]...``

Takes the maps that ``benchmarks.kinds`` has kept in DIR, of all kinds, styles of strokes and
numbers of steps that are found there: maps of unlike sharpness are wanted. Candidates of all
maps, and of those that the shipped first weights make of procedural images, are labelled by
whether they cover a true object with an IoU over 0.5. To them sums of one step function for each
measurement are fitted (boosted stumps), first for candidates by themselves, then with what shows
when they are compared. Tables that a kind is to be judged by are made without it
(``--leave-out``), those of all kinds in one run by ``--each``.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_impartial.core.atomic_write import atomic_path
from napari_impartial.core.config import InstanceConfig, PredictionConfig
from napari_impartial.core.instances import scoring
from napari_impartial.core.instances.component_tree import LEVELS, ObjectTree, build_tree
from napari_impartial.core.instances.scoring import Tables
from napari_impartial.core.instances.sharpness import gain, sharpen
from napari_impartial.core.network.warm_start import shipped
from napari_impartial.core.prediction.predict import predict_normalized

from .kinds import STYLES, kept_in, kinds_of
from .procedural import mixtures_of, picture

_OUT = Path(scoring.__file__).parents[2] / "data" / "objectness.json"
_STUMPS, _RATE, _LEAST_ROWS = 300, 0.2, 200
# More than three are no better on images of new kinds.
_LOOKS = 3
# What the first look does without: sizes are judged once it is known how unlike they are.
_NOT_AT_FIRST = ("relative_size",)
# At most so many candidates of one map, lest the largest image decides alone.
_ROWS_A_MAP = 1500
# Procedural images: other ones than the weights were trained on.
_FIRST_SEED, _SIDES = 500_000, (256, 320, 448)


@dataclass(frozen=True)
class Map:
    """A predicted map with its truth."""

    foreground: npt.NDArray[np.float32]
    truth: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Candidates:
    """What is known of one map's candidates."""

    tree: ObjectTree
    features: npt.NDArray[np.float64]
    overlap: npt.NDArray[np.float64]


def kept_maps(sets: Sequence[Path], maps: Path) -> dict[str, list[Map]]:
    """Read the maps of each kind that :mod:`benchmarks.kinds` has kept, training images' too."""
    found: dict[str, list[Map]] = {}
    for folder, style in itertools.product(sets, STYLES):
        for kind in kinds_of(folder, style):
            truths = [*kind.truths, *(truth for _, truth in kind.test)]
            for file in sorted(maps.glob(f"*steps*/{kind.name}.{style}.npz")):
                pairs = zip(kept_in(file), truths, strict=True)
                found.setdefault(kind.name, []).extend(Map(p, truth) for p, truth in pairs)
    return found


def procedural_maps(count: int) -> list[Map]:
    """Show procedural images to the shipped first weights, as they are."""
    network = shipped().network()
    found = []
    for seed in range(_FIRST_SEED, _FIRST_SEED + count):
        rng = np.random.default_rng(seed)
        normalized, truth = picture(rng, int(rng.choice(_SIDES)))
        mixtures = mixtures_of(normalized, truth, rng)
        if mixtures is not None:
            p = predict_normalized(network, mixtures, PredictionConfig(samples=0)).foreground
            found.append(Map(p, truth))
    return found


def candidates(one: Map) -> Candidates | None:
    """Measure the candidates of a map, and compare them with the truth."""
    sure = sharpen(one.foreground, gain(one.foreground))
    tree = build_tree(ndimage.gaussian_filter(sure, InstanceConfig().smooth_px))
    if tree is None:
        return None
    return Candidates(tree, scoring.measure(tree), best_overlap(tree, one.truth))


def best_overlap(tree: ObjectTree, truth: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """IoU of each candidate with the true object that it covers best, (N, levels)."""
    n_levels = len(LEVELS)
    inside = np.flatnonzero((tree.hills > 0) & (truth > 0))
    areas = np.bincount(truth.reshape(-1))
    key = (tree.hills.reshape(-1)[inside] - 1).astype(np.int64) * len(areas)
    pair, which = np.unique(key + truth.reshape(-1)[inside], return_inverse=True)
    counts = np.zeros((len(pair), n_levels))
    np.add.at(counts, (which, tree.levels.reshape(-1)[inside] - 1), 1)
    counts = counts[:, ::-1].cumsum(axis=1)[:, ::-1]
    shares: list[dict[int, npt.NDArray[np.float64]]] = [{} for _ in range(len(tree))]
    for (hill, label), count in zip(
        np.stack(np.divmod(pair, len(areas)), axis=1).tolist(), counts, strict=True
    ):
        shares[hill][label] = count
    out = np.zeros((len(tree), n_levels))
    for node, (a, b) in enumerate(tree.children.tolist()):
        if a >= 0:
            shares[node] = dict(shares[a])
            for label, count in shares[b].items():
                shares[node][label] = shares[node].get(label, 0.0) + count
        for label, count in shares[node].items():
            union = tree.area[node] + areas[label] - count
            np.maximum(out[node], count / np.maximum(union, 1), out=out[node])
    return out


def fit_card(found: Sequence[Candidates], maps_a_part: Sequence[int]) -> dict[str, Any]:
    """Fit a scorecard: tables for a first look, and for others that compare candidates."""
    names, without, features = scoring.FEATURES, _NOT_AT_FIRST, [one.features for one in found]
    looks: list[dict[str, Any]] = []
    for _ in range(_LOOKS):
        shown = [replace(one, features=f) for one, f in zip(found, features, strict=True)]
        looks.append(fit_tables(shown, maps_a_part, names, without))
        tables = Tables.from_json(looks[-1], names)
        for number, one in enumerate(found):
            scores = scoring.probability(one.tree, tables.log_odds(features[number]))
            features[number] = scoring.with_comparisons(one.tree, one.features, scores)
        names, without = scoring.COMPARED, ()
    return {"looks": looks}


def fit_tables(
    found: Sequence[Candidates],
    maps_a_part: Sequence[int],
    names: Sequence[str],
    without: Sequence[str] = (),
) -> dict[str, Any]:
    """Fit a constant, and a step function for each measurement but some."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    used = [number for number, name in enumerate(names) if name not in without]
    rng = np.random.default_rng(0)
    rows, hits, weights = [], [], []
    for one, share in zip(found, maps_a_part, strict=True):
        chosen = np.argwhere(one.tree.area >= scoring.SMALLEST_PX)
        if len(chosen) > _ROWS_A_MAP:
            chosen = rng.choice(chosen, _ROWS_A_MAP, replace=False)
        rows.append(one.features[tuple(chosen.T)][:, used])
        hits.append(one.overlap[tuple(chosen.T)] > 0.5)
        weights.append(np.full(len(chosen), 1.0 / np.sqrt(max(len(chosen), 1)) / share))
    model = HistGradientBoostingClassifier(
        max_iter=_STUMPS,
        learning_rate=_RATE,
        max_leaf_nodes=2,
        min_samples_leaf=_LEAST_ROWS,
        l2_regularization=5.0,
        max_bins=64,
        early_stopping=False,
        random_state=0,
    )
    model.fit(np.concatenate(rows), np.concatenate(hits), np.concatenate(weights))
    return _as_tables(model, [names[number] for number in used])


def _as_tables(model: Any, names: Sequence[str]) -> dict[str, Any]:
    """Add up the stumps of each measurement."""
    constant = float(model._baseline_prediction.item())
    jumps: dict[str, dict[float, float]] = {}
    for (stump,) in model._predictors:
        nodes = stump.nodes
        if len(nodes) < 3:
            constant += float(nodes[0]["value"])
            continue
        root = nodes[0]
        low, high = (float(nodes[root[side]]["value"]) for side in ("left", "right"))
        constant += low
        steps = jumps.setdefault(names[root["feature_idx"]], {})
        at = float(root["num_threshold"])
        steps[at] = steps.get(at, 0.0) + high - low
    features = {
        name: {
            "steps": [float(f"{at:.7g}") for at in sorted(steps)],
            "log_odds": [
                round(float(v), 4) for v in np.cumsum([0.0, *(steps[at] for at in sorted(steps))])
            ],
        }
        for name, steps in sorted(jumps.items())
    }
    return {"constant": round(constant, 4), "features": features}


def main() -> None:
    """Fit and write the card."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--maps", type=Path, required=True, help="where maps are kept")
    parser.add_argument(
        "--leave-out", nargs="+", default=[], metavar="KIND", help="fit nothing to these"
    )
    parser.add_argument(
        "--each",
        type=Path,
        metavar="DIR",
        help="write DIR/KIND.json for each kind, fitted to the others",
    )
    parser.add_argument(
        "--together",
        nargs="+",
        action="append",
        default=[],
        metavar="KIND",
        help="with --each: kinds so alike that none is fitted to where another is judged",
    )
    parser.add_argument(
        "--procedural", type=int, default=50, help="procedural images, together worth one kind"
    )
    parser.add_argument("--out", type=Path, default=_OUT)
    args = parser.parse_args()
    maps = kept_maps(args.sets, args.maps)
    if not maps:
        parser.error(f"no maps of these sets in {args.maps}; make them with benchmarks.kinds")
    kinds = list(maps)
    named = set(args.leave_out).union(*args.together)
    if unknown := sorted(named.difference(kinds)):
        parser.error(f"no maps of a kind called {', '.join(unknown)} in {args.maps}")
    if args.together and args.each is None:
        parser.error("--together says which tables --each makes; give both")
    known = {name: measured(found) for name, found in maps.items() if name not in args.leave_out}
    if args.procedural:
        known["procedural"] = measured(procedural_maps(args.procedural))
    if args.each is None:
        write_card(known, args.out)
        return
    for kind in kinds:
        without = {kind}.union(*(alike for alike in args.together if kind in alike))
        rest = {name: found for name, found in known.items() if name not in without}
        write_card(rest, args.each / f"{kind}.json")


def measured(maps: Sequence[Map]) -> list[Candidates]:
    """Measure the candidates of all maps that have any."""
    return [found for one in maps if (found := candidates(one)) is not None]


def write_card(known: dict[str, list[Candidates]], out: Path) -> None:
    """Fit a card and write it, whole or not at all."""
    card = card_of(known)
    with atomic_path(out) as unfinished:
        unfinished.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    print(f"written: {out}, of {len(known)} kinds", flush=True)


def card_of(known: dict[str, list[Candidates]]) -> dict[str, Any]:
    """Fit a card to kinds, each weighing the same."""
    entries = [(c, len(found)) for found in known.values() for c in found]
    return fit_card([c for c, _ in entries], [n for _, n in entries])


if __name__ == "__main__":
    main()
