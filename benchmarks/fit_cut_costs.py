"""Choose the costs by which strokes choose the cut, and judge them on other kinds.

``python -m benchmarks.fit_cut_costs SET... --maps DIR [--tables DIR] [--steps 300,75]
[--seeds 0,1] [--styles outlines,lines]``

Takes the maps that ``benchmarks.kinds`` has kept in DIR for these steps and seeds, made with the
shipped first weights and the usual settings; all must be there, and nothing is trained. Of a grid
of costs (:class:`.CutCosts`) those are the best with the highest mean F1 over the kinds. Printed
for each style and number of steps: F1 at the usual split strength for all, nothing sharpened, by
the costs that are shipped, by those that were chosen without each kind in turn, and by the best
split strength and sharpening for each map, which only the truth tells.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_impartial.cli.options import comma_list, number, one_of
from napari_impartial.core.config import InstanceConfig, TrainingConfig
from napari_impartial.core.instances.cutter import Cutter
from napari_impartial.core.instances.metrics import evaluate
from napari_impartial.core.instances.strokes import (
    CutCosts,
    agreement,
    cuts_to_choose_from,
    find_strokes,
)

from .kinds import SEEDS, STYLES, Kind, card_of, folder_of, kept_in, kinds_of

Floats = NDArray[np.float64]

CUTS = cuts_to_choose_from(InstanceConfig())


@dataclass(frozen=True)
class Run:
    """What each cut does to one training's maps.

    Attributes
    ----------
    kind : str
        Data set; images of a set without test images are of one kind.
    style : str
    steps : int
    strokes : int
        Foreground strokes of all training images.
    faults : (cuts, 3) float64
        See :attr:`.Agreement.faults`, of the training images.
    f1 : (cuts,) float64
        Of the test images.
    """

    kind: str
    style: str
    steps: int
    strokes: int
    faults: Floats
    f1: Floats

    def by(self, costs: CutCosts) -> float:
        """Return F1 of the cut that strokes choose by these costs."""
        found = [
            costs.of(faults, self.strokes, cut)
            for faults, cut in zip(self.faults, CUTS, strict=True)
        ]
        return float(self.f1[int(np.argmin(found))])


def grid() -> list[CutCosts]:
    """Return the costs to choose from: no object costs no less than an object that is shared."""
    return [
        CutCosts(usual, unusual, sharper, (uncovered, divided, shared), fitting)
        for usual, unusual, sharper, uncovered, divided, shared, fitting in itertools.product(
            (0.5, 0.6, 0.7),
            (1.0, 2.0),
            (0.0, 0.05, 0.1, 1e3),
            (0.25, 0.5, 0.75, 1.0),
            (2.0, 3.0, 4.0),
            (0.25, 0.5, 1.0),
            (1, 2),
        )
        if uncovered >= shared
    ]


def measure(kind: Kind, style: str, config: TrainingConfig, args: argparse.Namespace) -> Run:
    """Cut the kept maps of a training in each way."""
    kept = folder_of(config, args.maps) / f"{kind.name}.{style}.npz"
    if not kept.exists():
        raise SystemExit(f"There is no {kept}: run benchmarks.kinds with these options first.")
    card, n = card_of(kind, args.tables), len(kind.images)
    cutters = [Cutter(p, card) for p in kept_in(kept)]
    strokes = [find_strokes(drawn) for drawn in kind.strokes]
    truths = [truth for _, truth in kind.test]
    faults, f1 = [], []
    for one in CUTS:
        cuts = [cutter.cut(one) for cutter in cutters]
        agreements = [agreement(*pair) for pair in zip(cuts[:n], strokes, strict=True)]
        faults.append(np.sum([one.faults for one in agreements], axis=0))
        f1.append(evaluate(truths, cuts[n:]).f1)
    count = sum(drawn.count for drawn in strokes)
    group = kind.name.partition(", ")[0]
    return Run(group, style, config.max_steps, count, np.array(faults), np.array(f1))


def best(runs: Sequence[Run], costs: Sequence[CutCosts]) -> CutCosts:
    """Return the costs with the highest F1, each kind and style counting alike."""
    groups = {(run.kind, run.style) for run in runs}
    of_group = {group: [r for r in runs if (r.kind, r.style) == group] for group in groups}

    def mean(one: CutCosts) -> float:
        means = [np.mean([run.by(one) for run in some]) for some in of_group.values()]
        return float(np.mean(means))

    return max(costs, key=mean)


def report(runs: Sequence[Run]) -> str:
    """Return the table, and what was chosen."""
    costs, shipped = grid(), CutCosts()
    kinds = list(dict.fromkeys(run.kind for run in runs))
    without = {kind: best([r for r in runs if r.kind != kind], costs) for kind in kinds}
    usual = CUTS.index(InstanceConfig(split_strength=shipped.usual))
    lines = [
        f"| steps | strokes | {shipped.usual} for all | shipped | chosen without the kind | best |",
        "|---|---|---|---|---|---|",
    ]
    for steps, style in dict.fromkeys((run.steps, run.style) for run in runs):
        some = [run for run in runs if (run.steps, run.style) == (steps, style)]
        columns = (
            [run.f1[usual] for run in some],
            [run.by(shipped) for run in some],
            [run.by(without[run.kind]) for run in some],
            [run.f1.max() for run in some],
        )
        shown = " | ".join(f"{np.mean(column):.3f}" for column in columns)
        lines.append(f"| {steps} | {style} | {shown} |")
    lines += ["", f"chosen on all {len(kinds)} kinds: {best(runs, costs)}"]
    lines += [f"without {kind}: {one}" for kind, one in without.items()]
    return "\n".join(lines)


def main() -> None:
    """Measure all maps that are kept, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--maps", type=Path, required=True, help="where maps are kept")
    parser.add_argument("--tables", type=Path, metavar="DIR", help="see benchmarks.kinds")
    parser.add_argument("--steps", type=comma_list(number(1, 10**6, int)), default=[300, 75])
    parser.add_argument("--seeds", type=comma_list(SEEDS), default=[0, 1])
    parser.add_argument("--styles", type=comma_list(one_of(STYLES)), default=list(STYLES))
    args = parser.parse_args()
    if args.tables is not None and not args.tables.is_dir():
        parser.error(f"there is no folder {args.tables}")
    runs = []
    for folder, style in itertools.product(args.sets, args.styles):
        for kind in kinds_of(folder, style):
            for steps, seed in itertools.product(args.steps, args.seeds):
                config = TrainingConfig(max_steps=steps, seed=seed)
                runs.append(measure(kind, style, config, args))
    if len({run.kind for run in runs}) < 2:
        parser.error("these sets are of one kind alone: give two or more")
    print(report(runs))


if __name__ == "__main__":
    main()
