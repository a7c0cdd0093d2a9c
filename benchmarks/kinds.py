"""How good are the objects on many kinds of image, from strokes of several styles?

``python -m benchmarks.kinds SET... --maps DIR [--styles outlines,lines] [--steps 300]
[--seeds 0,1,2] [--first-weights DIR] [--tables DIR] [SETTINGS]``

Each data set is a kind: trained on its training images' strokes, judged on its test images. Of a
set without test images each image is a kind, the half with more strokes to train on, the other
to judge. Outlines are the strokes in ``train/``, lines those in ``lines/``. Printed for each kind
and style: F1 of a random forest with the best of 24 cuts *chosen on the test images*, of ours as
shipped, and of the best of the same cuts on our maps; then what they come to. With several seeds
of training, means over these and the standard deviation of ours. SETTINGS of training, such as
``--edge-weight 0``, are those of ``napari-impartial train``.

Maps are kept in DIR, so that another cut is judged without training. A kind is judged fairly only
by what was made without it: ``--first-weights`` and ``--tables`` name folders with KIND.safetensors
and KIND.json, made without that kind (``benchmarks.pretrain --real``, ``benchmarks.fit_objectness
--leave-out``); kinds without a file there are judged by what is shipped.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_impartial.cli.options import add_settings, comma_list, number, one_of, override
from napari_impartial.core.api import train as train_network
from napari_impartial.core.config import LARGEST_SEED, InstanceConfig, TrainingConfig
from napari_impartial.core.data.image import Image
from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.instances.cutter import Cutter
from napari_impartial.core.instances.metrics import evaluate
from napari_impartial.core.instances.scoring import Scorecard
from napari_impartial.core.instances.strokes import best_cut, find_strokes
from napari_impartial.core.prediction.predict import predict
from napari_impartial.experiments.baselines.random_forest import (
    cuts,
    forest_probability,
    train_forest,
)
from napari_impartial.experiments.dataset import read_with_labels, samples_in

from .real import Pair, pairs_of

Map = NDArray[np.float32]
SEEDS = number(0, LARGEST_SEED, int)
STYLES = {"outlines": "train", "lines": "lines"}
_PERCENT = 10
# Settings that have options of their own here, or none.
_SAID_OTHERWISE = ("preset", "time_budget_s", "max_steps", "seed", "first_weights", "device")
# Below the best single cut by more than this, the maps are right and the cut fails.
_CUT_FAILS = 0.05


@dataclass(frozen=True)
class Kind:
    """Images of one kind with strokes, and others with truth to judge by."""

    name: str
    images: list[Image]
    strokes: list[NDArray[np.uint8]]
    truths: list[NDArray[np.int32]]
    test: list[Pair]


@dataclass(frozen=True)
class Row:
    """F1 on one kind's test images, ours as means over seeds.

    Attributes
    ----------
    name, style : str
    forest : float
    ours, best_single : float
    spread : float
        Standard deviation of `ours` over the seeds; 0 of one seed.
    cuts : tuple of InstanceConfig
        What strokes chose, for each seed.
    """

    name: str
    style: str
    forest: float
    ours: float
    best_single: float
    spread: float
    cuts: tuple[InstanceConfig, ...]

    def __str__(self) -> str:
        several = len(self.cuts) > 1
        ours = f"{self.ours:.3f}" + (f" ± {self.spread:.3f}" if several else "")
        chosen = ", ".join(f"{cut.split_strength:g} x {cut.sharpen:g}" for cut in self.cuts)
        figures = f"{self.forest:.3f} | {ours} | {self.best_single:.3f}"
        return f"| {self.name} | {self.style} | {figures} | {chosen} |"


def kinds_of(folder: Path, style: str) -> Iterator[Kind]:
    """Go through the kinds of a data set, with strokes of a style."""
    images, strokes, truths, names = [], [], [], []
    for sample in samples_in(folder / "train"):
        drawn = folder / STYLES[style] / f"{sample.name}_scribbles{_PERCENT}.tif"
        if sample.truth is None or not drawn.exists():
            continue
        ((image, truth),) = read_with_labels(sample.image, sample.truth)
        ((_, labels),) = read_with_labels(sample.image, drawn)
        images.append(image)
        truths.append(truth)
        strokes.append(labels.astype(np.uint8))
        names.append(sample.name)
    test = pairs_of(folder, ["test"])
    if test and images:
        yield Kind(folder.name, images, strokes, truths, test)
    for image, drawn, truth, name in zip(images, strokes, truths, names, strict=True):
        if not test:
            yield _in_halves(f"{folder.name}, {name}", image, drawn, truth)


def _in_halves(name: str, image: Image, drawn: NDArray[np.uint8], truth: NDArray[np.int32]) -> Kind:
    middle = image.shape[0] // 2
    halves = [slice(middle), slice(middle, None)]
    if np.count_nonzero(drawn[halves[1]]) > np.count_nonzero(drawn[halves[0]]):
        halves.reverse()
    (first, second), learned = halves, halves[0]
    parts = [replace(image, channels=image.channels[:, rows]) for rows in (first, second)]
    return Kind(name, [parts[0]], [drawn[learned]], [truth[learned]], [(parts[1], truth[second])])


def maps_of(kind: Kind, config: TrainingConfig, kept: Path) -> tuple[list[Map], list[Map]]:
    """Train, predict and keep foreground maps of training and test images; or read them."""
    n = len(kind.images)
    if not kept.exists():
        model = train_network(kind.images, [Scribbles(s) for s in kind.strokes], config)
        every = [*kind.images, *(image for image, _ in kind.test)]
        keep(kept, [predict(image, model).foreground for image in every])
    found = kept_in(kept)
    return found[:n], found[n:]


def forest_maps_of(kind: Kind, kept: Path) -> list[Map]:
    """Return a forest's foreground maps of the test images, kept likewise."""
    if not kept.exists():
        forest = train_forest(kind.images, [Scribbles(s) for s in kind.strokes])
        keep(kept, [1 - forest_probability(image, forest)[0] for image, _ in kind.test])
    return kept_in(kept)


def keep(path: Path, maps: Sequence[Map]) -> None:
    """Write maps, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp.npz")
    np.savez_compressed(unfinished, *maps)
    unfinished.replace(path)


def kept_in(path: Path) -> list[Map]:
    """Read maps that were kept."""
    with np.load(path, allow_pickle=False) as file:
        return [np.asarray(file[name], np.float32) for name in file.files]


def shipped_cut(
    kind: Kind, learned: Sequence[Map], maps: Sequence[Map], card: Scorecard | None
) -> tuple[float, InstanceConfig]:
    """Return F1 of the cut that a user gets, and the cut that strokes chose."""
    cutters = [Cutter(p, card) for p in learned]
    config = best_cut(
        lambda one: [cutter.cut(one) for cutter in cutters],
        [find_strokes(drawn) for drawn in kind.strokes],
    )
    return _f1(kind, [Cutter(p, card).cut(config) for p in maps]), config


def best_single(kind: Kind, maps: Sequence[Map]) -> float:
    """Return F1 of the best of the cuts at one level, chosen on the test images."""
    cutters = [Cutter(p) for p in maps]
    return max(_f1(kind, [cutter.cut(config) for cutter in cutters]) for config in cuts())


def _f1(kind: Kind, found: Sequence[NDArray[np.int32]]) -> float:
    return evaluate([truth for _, truth in kind.test], found).f1


def card_of(kind: Kind, tables: Path | None) -> Scorecard | None:
    """Return the card that was fitted without a kind; None for the shipped one."""
    own = tables / f"{kind.name}.json" if tables else None
    return Scorecard.from_json(json.loads(own.read_text())) if own and own.exists() else None


def folder_of(config: TrainingConfig, maps: Path) -> Path:
    """Return where the maps of a training are kept: one folder for each way of training."""
    weights = Path(config.first_weights).stem if config.first_weights else "shipped"
    rest = replace(config, max_steps=0, seed=0, first_weights="")
    mark = zlib.crc32(json.dumps(asdict(rest)).encode())
    shown = f"{config.max_steps} steps, seed {config.seed}, weights {weights}"
    return maps / f"{shown}, settings {mark:08x}"


def judge(
    kind: Kind,
    style: str,
    config: TrainingConfig,
    seeds: Sequence[int],
    maps: Path,
    tables: Path | None,
) -> Row:
    """Judge one kind from strokes of one style, trained once for each seed."""
    file, card = f"{kind.name}.{style}.npz", card_of(kind, tables)
    ours, singles, chosen = [], [], []
    for seed in seeds:
        seeded = replace(config, seed=seed)
        learned, unseen = maps_of(kind, seeded, folder_of(seeded, maps) / file)
        f1, cut = shipped_cut(kind, learned, unseen, card)
        ours.append(f1)
        chosen.append(cut)
        singles.append(best_single(kind, unseen))
    forest = best_single(kind, forest_maps_of(kind, maps / "forest" / file))
    spread = float(np.std(ours, ddof=1)) if len(ours) > 1 else 0.0
    means = float(np.mean(ours)), float(np.mean(singles))
    return Row(kind.name, style, forest, *means, spread, tuple(chosen))


def summary(rows: Sequence[Row]) -> str:
    """Say in a few lines what the rows come to."""
    lines = []
    for style in dict.fromkeys(row.style for row in rows):
        some = [row for row in rows if row.style == style]
        means = [float(np.mean([getattr(row, name) for row in some])) for name in _FIGURES]
        shown = " | ".join(f"{mean:.3f}" for mean in means)
        lines.append(f"| mean of {len(some)} | {style} | {shown} | |")
    over = np.array([row.ours - row.forest for row in rows])
    short = np.array([row.best_single - row.ours for row in rows])
    worst = rows[int(over.argmin())]
    lines += [
        "",
        f"mean over the forest's best cut: {over.mean():+.3f}",
        f"worst: {over.min():+.3f} ({worst.name}, {worst.style})",
        f"below the forest by more than 0.02: {(over < -0.02).sum()} of {len(rows)}",
        f"over {_CUT_FAILS} below the best single cut: {(short > _CUT_FAILS).sum()}"
        f" of {len(rows)}, at most {short.max():.3f}",
    ]
    return "\n".join(lines)


_FIGURES = ("forest", "ours", "best_single")


def parser_of(description: str, styles: str) -> argparse.ArgumentParser:
    """Return a parser of what to train on, and how, with these styles by default."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--maps", type=Path, required=True, help="where maps are kept")
    parser.add_argument("--styles", type=comma_list(one_of(STYLES)), default=styles)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=comma_list(SEEDS), default=[0])
    parser.add_argument("--tables", type=Path, metavar="DIR", help="see above")
    add_settings(parser, TrainingConfig, "training", skip=_SAID_OTHERWISE)
    return parser


def config_of(args: argparse.Namespace) -> TrainingConfig:
    """Return how to train, but for the seed."""
    return override(TrainingConfig(max_steps=args.steps), args, skip=_SAID_OTHERWISE)


def main() -> None:
    """Judge all kinds, print a row for each and what they come to."""
    parser = parser_of(__doc__, ",".join(STYLES))
    parser.add_argument("--first-weights", type=Path, metavar="DIR", help="see above")
    args = parser.parse_args()
    for folder in (args.first_weights, args.tables):
        if folder is not None and not folder.is_dir():
            parser.error(f"there is no folder {folder}")
    config = config_of(args)
    print("| kind | strokes | forest, best cut | ours | ours, best single cut | split x sharpen |")
    print("|---|---|---|---|---|---|")
    rows = []
    for folder in args.sets:
        for style in args.styles:
            for kind in kinds_of(folder, style):
                rows.append(_judged(kind, style, config, args))
                print(rows[-1], flush=True)
    if not rows:
        parser.error("no strokes of these styles in these sets")
    print(summary(rows))


def _judged(kind: Kind, style: str, config: TrainingConfig, args: argparse.Namespace) -> Row:
    own = args.first_weights / f"{kind.name}.safetensors" if args.first_weights else None
    if own is not None and own.exists():
        config = replace(config, first_weights=str(own))
    return judge(kind, style, config, args.seeds, args.maps, args.tables)


if __name__ == "__main__":
    main()
