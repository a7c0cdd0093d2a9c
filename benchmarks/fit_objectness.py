"""Fit the scorecard that the automatic cut chooses objects by, and check it.

``python -m benchmarks.fit_objectness SET... --maps DIR [--first-weights DIR] [--out FILE]``

For each data set a network is trained on the training images' scribbles and one, the
other way round, on scribbles simulated on the test images; a set without test images is
cut into an upper and a lower half. Short and long trainings give maps of unlike sharpness, so
several numbers of steps can be asked for. The maps are kept in DIR, so that the card can be
fitted again without training. Candidates of all maps, and of those that the shipped first
weights make of procedural images, are labelled by whether they cover a true object with an IoU
over 0.5. To them sums of one step function for each measurement are fitted (boosted stumps),
first for candidates by themselves, then with what shows when they are compared. Before the
card is written, each set is judged by a card that was fitted without it: what is to be
expected on images of a new kind. Weights that have seen images of a set make maps of it that
are better than those of new images will be: so ``--first-weights`` names a folder of weights
that have not, SET.safetensors for each such set.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_impartial.core.config import InstanceConfig, PredictionConfig, TrainingConfig
from napari_impartial.core.data.scribbles import simulate
from napari_impartial.core.instances import scoring
from napari_impartial.core.instances.component_tree import LEVELS, ObjectTree, build_tree
from napari_impartial.core.instances.cutter import Cutter
from napari_impartial.core.instances.metrics import evaluate
from napari_impartial.core.instances.scoring import Tables
from napari_impartial.core.network.warm_start import shipped
from napari_impartial.core.prediction.predict import predict, predict_normalized

from .procedural import mixtures_of, picture
from .real import Pair, parts_of

_OUT = Path(scoring.__file__).parents[2] / "data" / "objectness.json"
_STUMPS, _RATE, _LEAST_ROWS = 400, 0.08, 200
# More than three are no better on images of new kinds.
_LOOKS = 3
# What the first look does without: sizes are judged once it is known how unlike they are.
_NOT_AT_FIRST = ("relative_size",)
# At most so many candidates of one map, lest the largest image decides alone.
_ROWS_A_MAP = 4000
# Procedural images: other ones than the weights were trained on.
_FIRST_SEED, _SIDES = 500_000, (256, 320, 448)


@dataclass(frozen=True)
class Map:
    """A predicted map with its truth, after so many steps of training."""

    steps: int
    trained_on: bool
    foreground: npt.NDArray[np.float32]
    truth: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Candidates:
    """What is known of one map's candidates."""

    tree: ObjectTree
    features: npt.NDArray[np.float64]
    overlap: npt.NDArray[np.float64]


def predicted(
    part: str,
    train: list[Pair],
    test: list[Pair],
    steps: int,
    maps: Path,
    first_weights: Path | None = None,
) -> list[Map]:
    """Train, predict and keep the maps; or read those that are kept."""
    weights = "" if first_weights is None else f", first weights {first_weights.stem}"
    kept = maps / f"{steps} steps{weights}" / f"{part}.npz"
    if not kept.exists():
        from napari_impartial.core.api import train as train_on

        rng = np.random.default_rng(0)
        scribbles = [simulate(truth, 0.1, rng)[0] for _, truth in train]
        config = TrainingConfig(max_steps=steps, first_weights=str(first_weights or ""))
        model = train_on([image for image, _ in train], scribbles, config)
        found = [predict(image, model).foreground for image, _ in (*train, *test)]
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(kept, *found)
    with np.load(kept, allow_pickle=False) as file:
        arrays = [np.asarray(file[name], np.float32) for name in file.files]
    truths = [truth for _, truth in (*train, *test)]
    return [
        Map(steps, number < len(train), p, truth)
        for number, (p, truth) in enumerate(zip(arrays, truths, strict=True))
    ]


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
            found.append(Map(0, False, p, truth))
    return found


def candidates(one: Map) -> Candidates | None:
    """Measure the candidates of a map, and compare them with the truth."""
    tree = build_tree(ndimage.gaussian_filter(one.foreground, InstanceConfig().smooth_px))
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
    """Fit, judge and write the card."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--maps", type=Path, required=True, help="where maps are kept")
    parser.add_argument("--first-weights", type=Path, metavar="DIR", help="see above")
    parser.add_argument("--steps", default="600", help="numbers of training steps, each for a map")
    parser.add_argument(
        "--procedural", type=int, default=50, help="procedural images, together worth one part"
    )
    parser.add_argument("--out", type=Path, default=_OUT)
    args = parser.parse_args()
    if args.first_weights is not None and not args.first_weights.is_dir():
        parser.error(f"there is no folder {args.first_weights}")
    lengths = sorted(int(steps) for steps in args.steps.split(","))
    maps: dict[str, list[Map]] = {}
    family: dict[str, str] = {}
    for folder in args.sets:
        own = None
        if args.first_weights is not None:
            file = args.first_weights / f"{folder.name}.safetensors"
            own = file if file.exists() else None
        for part, (train, test) in parts_of(folder).items():
            maps[part] = [
                one
                for steps in lengths
                for one in predicted(part, train, test, steps, args.maps, own)
            ]
            family[part] = folder.name
    known = {
        part: [(m, c) for m in found if (c := candidates(m)) is not None]
        for part, found in maps.items()
    }
    made = [(m, c) for m in procedural_maps(args.procedural) if (c := candidates(m)) is not None]
    if made:
        known["procedural"] = made
    judge(maps, known, family)
    card = card_of(list(known), known)
    args.out.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    print(f"written: {args.out}")


def card_of(parts: Sequence[str], known: dict[str, list[tuple[Map, Candidates]]]) -> dict[str, Any]:
    """Fit a card to these parts, each weighing the same."""
    entries = [(c, len(known[part])) for part in parts for _, c in known[part]]
    return fit_card([c for c, _ in entries], [n for _, n in entries])


def judge(
    maps: dict[str, list[Map]],
    known: dict[str, list[tuple[Map, Candidates]]],
    family: dict[str, str],
) -> None:
    """Print F1 of each part, map by map, under a card that has seen no image of its set."""
    lengths = sorted({one.steps for found in maps.values() for one in found})
    columns = [f"{way}, {n} steps" for way in ("watershed", "automatic") for n in lengths]
    print(f"| images | {' | '.join(columns)} |")
    print("|---" * (1 + len(columns)) + "|")
    rows = []
    for name in dict.fromkeys(family.values()):
        others = [part for part in known if family.get(part) != name]
        if all(part not in family for part in others):
            return
        card = scoring.Scorecard.from_json(card_of(others, known))
        for part in (part for part in maps if family[part] == name):
            row = []
            for way in ("watershed", "automatic"):
                for steps in lengths:
                    unseen = [m for m in maps[part] if not m.trained_on and m.steps == steps]
                    cuts = [Cutter(m.foreground, card).cut(InstanceConfig(way)) for m in unseen]
                    row.append(evaluate([m.truth for m in unseen], cuts).f1)
            rows.append(row)
            _print_row(part, row)
    _print_row("mean", np.mean(rows, axis=0).tolist())


def _print_row(name: str, figures: Sequence[float]) -> None:
    print(f"| {name} | {' | '.join(f'{figure:.3f}' for figure in figures)} |", flush=True)


if __name__ == "__main__":
    main()
