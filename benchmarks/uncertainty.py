"""How well does the heatmap tell what is wrong?

``python -m benchmarks.uncertainty SET... --maps DIR [--styles lines] [--steps 300] [--seeds 0]
[--tables DIR]``

Takes maps that ``benchmarks.kinds`` has kept in DIR (it trains what is not there), cuts those of
the test images as shipped, and prints the area under the ROC curve (0.5 is chance) by which
entropy, doubt about objects and the heatmap, which joins both, tell *wrong objects* (IoU under 0.5
with all true ones) from right ones, *pixels of wrong objects* (those that are none, and cells that
were not found) from others, and *wrong pixels* (foreground at 0.5 against the truth) from others.
``--tables`` names a folder with KIND.json, made without that kind (``benchmarks.fit_objectness
--leave-out``); kinds without one are judged by the shipped tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.stats import rankdata

from napari_impartial.core.config import InstanceConfig, TrainingConfig
from napari_impartial.core.instances.cutter import Cutter
from napari_impartial.core.instances.metrics import matched_pairs
from napari_impartial.core.instances.scoring import Scorecard
from napari_impartial.core.prediction.segment import heatmap
from napari_impartial.core.prediction.suggestions import entropy

from .kinds import (
    Kind,
    card_of,
    config_of,
    folder_of,
    kinds_of,
    maps_of,
    parser_of,
    shipped_cut,
)

Values = npt.NDArray[np.float64]
TARGETS = ("wrong objects", "pixels of wrong objects", "wrong pixels")
MAPS = ("entropy", "doubt", "heatmap")
# Of one image: more decide nothing, and sorting them takes time.
_MOST_PIXELS = 60_000


@dataclass(frozen=True)
class Judged:
    """What there is to tell, for each of :data:`TARGETS`.

    Attributes
    ----------
    values : tuple of (maps, N) float64
    wrong : tuple of (N,) bool
    """

    values: tuple[Values, ...]
    wrong: tuple[npt.NDArray[np.bool_], ...]


def area_under_curve(values: npt.ArrayLike, wrong: npt.ArrayLike) -> float:
    """Return how often what is wrong has a greater value than what is right; NaN without both."""
    flags = np.asarray(wrong, bool)
    n = int(flags.sum())
    if n in (0, len(flags)):
        return float("nan")
    ranks = rankdata(values)
    return float((ranks[flags].sum() - n * (n + 1) / 2) / (n * (len(flags) - n)))


def judge(
    foreground: npt.NDArray[np.float32],
    truth: npt.NDArray[np.int32],
    config: InstanceConfig,
    card: Scorecard | None = None,
) -> Judged:
    """Cut one map and hold its uncertainty against the truth."""
    cutter = Cutter(foreground, card)
    labels = cutter.cut(config)
    unsure, doubt = entropy(np.stack([1 - foreground, foreground])), cutter.doubt(config)
    assert doubt is not None
    maps = np.stack([unsure, doubt, heatmap(unsure, doubt)]).astype(np.float64)
    known, right = matched_pairs(truth, labels)
    found = np.unique(labels)
    found = found[found > 0]
    missed = ~np.isin(truth, [0, *known])
    none = ~np.isin(labels, [0, *right])
    some = np.random.default_rng(0).permutation(foreground.size)[:_MOST_PIXELS]
    pixels = maps.reshape(len(maps), -1)[:, some]
    means = np.array([ndimage.mean(one, labels, found) for one in maps]).reshape(len(maps), -1)
    return Judged(
        (means, pixels, pixels),
        (
            ~np.isin(found, right),
            (missed | none).reshape(-1)[some],
            ((foreground > 0.5) != (truth > 0)).reshape(-1)[some],
        ),
    )


def areas(kind: Kind, config: TrainingConfig, kept: Path, card: Scorecard | None) -> Values:
    """Return (targets, maps) areas under the curve for one kind."""
    learned, unseen = maps_of(kind, config, kept)
    _, cut = shipped_cut(kind, learned, unseen, card)
    images = [judge(p, truth, cut, card) for p, (_, truth) in zip(unseen, kind.test, strict=True)]
    found = np.zeros((len(TARGETS), len(MAPS)))
    for target in range(len(TARGETS)):
        wrong = np.concatenate([one.wrong[target] for one in images])
        for number in range(len(MAPS)):
            values = np.concatenate([one.values[target][number] for one in images])
            found[target, number] = area_under_curve(values, wrong)
    return found


def main() -> None:
    """Print a row for each kind, and their mean."""
    args = parser_of(__doc__, "lines").parse_args()
    configs = [replace(config_of(args), seed=seed) for seed in args.seeds]
    heads = (f"{target}: {', '.join(MAPS)}" for target in TARGETS)
    print(f"| kind | strokes | {' | '.join(heads)} |")
    print("|---|---|---|---|---|")
    rows = []
    for folder in args.sets:
        for style in args.styles:
            for kind in kinds_of(folder, style):
                file, card = f"{kind.name}.{style}.npz", card_of(kind, args.tables)
                found = [areas(kind, c, folder_of(c, args.maps) / file, card) for c in configs]
                rows.append(_mean(found))
                print(_row(kind.name, style, rows[-1]), flush=True)
    if rows:
        print(_row(f"mean of {len(rows)}", "", _mean(rows)))


def _mean(found: Sequence[Values]) -> Values:
    """Return the mean of those that are known: where all objects are right, nothing is told."""
    known = np.isfinite(found)
    total = np.where(known, found, 0.0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


def _row(name: str, style: str, found: Values) -> str:
    cells = (", ".join(f"{value:.3f}" for value in target) for target in found)
    return f"| {name} | {style} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
