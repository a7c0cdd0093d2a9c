"""How good are objects through depth, from strokes in a few planes?

``python -m benchmarks.volumes SET... --maps DIR [--planes 3] [--fraction 0.5] [--seeds 0,1,2]``

Each volume of a data set (``train/NAME.tif`` with ``NAME_truth.tif``) is trained on strokes of the
simulated annotator in some planes, evenly apart; all its planes are predicted, cut and linked.
Printed for each: F1 at IoU 0.5 of the planes, each by itself, and of the volumes as
``evaluate --volumes`` has it; both again with truth linked by overlap, which no cut can better.
Maps are kept in DIR, so that another way of linking is judged without training.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_impartial.core.api import train
from napari_impartial.core.config import InstanceConfig, TrainingConfig
from napari_impartial.core.data.image import Image
from napari_impartial.core.data.mask_scribbles import simulate
from napari_impartial.core.instances.cutter import Cutter
from napari_impartial.core.instances.linking import link
from napari_impartial.core.instances.metrics import evaluate
from napari_impartial.core.prediction.predict import predict
from napari_impartial.experiments.dataset import read_with_labels, samples_in

Map = NDArray[np.float32]


@dataclass(frozen=True)
class Volume:
    """Planes of a volume, each with its truth."""

    name: str
    images: list[Image]
    truths: list[NDArray[np.int32]]


def volumes_of(folder: Path) -> list[Volume]:
    """Return the volumes of a data set."""
    found = []
    for sample in samples_in(folder / "train"):
        if sample.truth is not None:
            images, truths = zip(*read_with_labels(sample.image, sample.truth), strict=True)
            found.append(Volume(folder.name, list(images), list(truths)))
    return found


def drawn_planes(count: int, n_planes: int) -> list[int]:
    """Return which planes are drawn on: as far from each other as from the ends."""
    return [round((i + 1) * n_planes / (count + 1)) for i in range(count)]


def maps_of(
    volume: Volume, planes: Sequence[int], fraction: float, style: str, config: TrainingConfig
) -> list[Map]:
    """Train on strokes in some planes and predict all."""
    rng = np.random.default_rng(config.seed)
    strokes = [simulate(volume.truths[i], fraction, rng, style)[0] for i in planes]
    model = train([volume.images[i] for i in planes], strokes, config)
    return [predict(image, model).foreground for image in volume.images]


def kept_maps_of(volume: Volume, args: argparse.Namespace, seed: int) -> list[Map]:
    """Return foreground maps of all planes, made once."""
    planes = drawn_planes(args.planes, len(volume.images))
    name = f"{volume.name}-{args.style}-{args.fraction:g}-{args.planes}-{args.steps}-{seed}.npz"
    kept = args.maps / name
    if not kept.exists():
        config = TrainingConfig(max_steps=args.steps, time_budget_s=86400.0, seed=seed)
        maps = maps_of(volume, planes, args.fraction, args.style, config)
        kept.parent.mkdir(parents=True, exist_ok=True)
        unfinished = kept.with_suffix(".tmp.npz")
        np.savez_compressed(unfinished, *maps)
        unfinished.replace(kept)
    with np.load(kept, allow_pickle=False) as file:
        return [file[n] for n in file.files]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--maps", type=Path, required=True)
    parser.add_argument("--planes", type=int, default=3)
    parser.add_argument("--fraction", type=float, default=0.5)
    parser.add_argument("--style", default="lines")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", default="0,1,2")
    args = parser.parse_args()
    print("| volume | seed | planes | volume | objects | true |")
    print("|---|---|---|---|---|---|")
    for folder in args.sets:
        for volume in volumes_of(folder):
            for seed in map(int, args.seeds.split(",")):
                maps = kept_maps_of(volume, args, seed)
                cut = [Cutter(one).cut(InstanceConfig()) for one in maps]
                linked = np.stack(link(cut, depth=True))
                apart = evaluate(volume.truths, cut)
                whole = evaluate([np.stack(volume.truths)], [linked])
                print(
                    f"| {volume.name} | {seed} | {apart.f1:.3f} | {whole.f1:.3f} | "
                    f"{whole.n_pred} | {whole.n_true} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
