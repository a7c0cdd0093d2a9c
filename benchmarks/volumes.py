"""How good are objects through depth, from strokes in a few planes?

``python -m benchmarks.volumes SET... --maps DIR [--planes 3] [--fraction 0.5] [--seeds 0,1,2]
[--scale-over plane]``

Each volume of a data set (``train/NAME.tif`` with ``NAME_truth.tif``) is trained on strokes of the
simulated annotator in some planes, evenly apart; all its planes are predicted, cut and linked.
Printed for each: F1 at IoU 0.5 of the planes, each by itself, and of the volumes as
``evaluate --volumes`` has it, linked as through time and as through depth.
Maps are kept in DIR, so that another way of linking is judged without training.

``--procedural`` prints what linking itself loses, on procedural volumes: ellipsoids that touch,
with haze, edges that stray, and objects that are missed or joined in single planes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_impartial.core.api import train
from napari_impartial.core.config import InstanceConfig, TrainingConfig
from napari_impartial.core.data.image import Image, with_samples
from napari_impartial.core.data.mask_scribbles import simulate
from napari_impartial.core.instances.cutter import Cutter
from napari_impartial.core.instances.linking import link
from napari_impartial.core.instances.metrics import evaluate
from napari_impartial.core.prediction.predict import predict
from napari_impartial.experiments.dataset import read_with_labels, samples_in

from .kinds import keep, kept_in

Map = NDArray[np.float32]
Labels = NDArray[np.int32]


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
    volume: Volume,
    planes: Sequence[int],
    fraction: float,
    style: str,
    config: TrainingConfig,
    alike: bool,
) -> list[Map]:
    """Train on strokes in some planes and predict all."""
    volume = replace(volume, images=with_samples(volume.images)) if alike else volume
    rng = np.random.default_rng(config.seed)
    strokes = [simulate(volume.truths[i], fraction, rng, style)[0] for i in planes]
    model = train([volume.images[i] for i in planes], strokes, config)
    return [predict(image, model).foreground for image in volume.images]


def kept_maps_of(volume: Volume, args: argparse.Namespace, seed: int) -> list[Map]:
    """Return foreground maps of all planes, made once."""
    planes = drawn_planes(args.planes, len(volume.images))
    alike = args.scale_over == "volume"
    told = (args.style, f"{args.fraction:g}", args.planes, args.steps, seed)
    name = "-".join([volume.name, *map(str, told), *(["alike"] if alike else [])])
    kept = args.maps / f"{name}.npz"
    if not kept.exists():
        config = TrainingConfig(max_steps=args.steps, time_budget_s=86400.0, seed=seed)
        maps = maps_of(volume, planes, args.fraction, args.style, config, alike)
        keep(kept, maps)
    return kept_in(kept)


def procedural(seed: int, distance: float) -> tuple[Labels, list[Labels]]:
    """Return a volume of ellipsoids, and what a cut of its planes might find.

    Parameters
    ----------
    seed : int
    distance : float
        Of the planes, in px.
    """
    rng, side = np.random.default_rng(seed), 120
    depth = int(80 / distance)
    truth = np.zeros((depth, side, side), np.int32)
    nearest = np.full(truth.shape, np.inf, np.float32)
    z, y, x = np.mgrid[:depth, :side, :side].astype(np.float32)
    placed: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    for number in range(1, 61):
        for _ in range(100):
            radii = rng.uniform(7, 13, 3)
            middle = np.array([rng.uniform(0, depth) * distance, *rng.uniform(0, side, 2)])
            if all(
                np.linalg.norm(middle - other) > 0.8 * (radii.mean() + theirs.mean())
                for other, theirs in placed
            ):
                break
        else:
            continue
        placed.append((middle, radii))
        away = (
            ((z * distance - middle[0]) / radii[0]) ** 2
            + ((y - middle[1]) / radii[1]) ** 2
            + ((x - middle[2]) / radii[2]) ** 2
        )
        inside = (away < 1) & (away < nearest)
        truth[inside], nearest[inside] = number, away[inside]
    return truth, [_cut_badly(truth, plane, rng) for plane in range(depth)]


def _cut_badly(truth: Labels, plane: int, rng: np.random.Generator) -> Labels:
    """Return a plane's objects, with the errors of a cut and numbers of their own."""
    found = truth[plane].copy()
    for other in (plane - 1, plane + 1):
        if 0 <= other < len(truth) and rng.random() < 0.7:
            haze = ndimage.binary_erosion(truth[other] > 0, iterations=2) & (found == 0)
            found[haze] = truth[other][haze]
    side = len(found)
    strays = [ndimage.gaussian_filter(rng.normal(size=found.shape), 4) * 10 for _ in range(2)]
    places = [
        np.clip(np.rint(at + stray), 0, side - 1).astype(int)
        for at, stray in zip(np.mgrid[:side, :side], strays, strict=True)
    ]
    found = found[tuple(places)]
    ids = np.unique(found[found > 0])
    pairs = set()
    for one, two in ((found[:, 1:], found[:, :-1]), (found[1:], found[:-1])):
        touch = (one != two) & (one > 0) & (two > 0)
        both = np.sort(np.stack([one[touch], two[touch]]), axis=0)
        pairs |= set(zip(*both.tolist(), strict=True))
    for first, second in sorted(pairs):
        if rng.random() < 0.04:
            found[found == second] = first
    for number in ids:
        if rng.random() < 0.02:
            found[found == number] = 0
    found[np.isin(found, np.flatnonzero(np.bincount(found.ravel()) < 20))] = 0
    out, last = np.zeros_like(found), 0
    for number in rng.permutation(np.unique(found[found > 0])):
        pieces, count = ndimage.label(found == number)
        out += np.where(pieces > 0, pieces + last, 0)
        last += count
    return out


def print_procedural(seeds: Sequence[int]) -> None:
    """Print how well the planes of procedural volumes are linked."""
    print("| planes apart, px | as through time | as through depth |\n|---|---|---|")
    for distance in (1.0, 2.0, 4.0, 6.0):
        scores = []
        for seed in seeds:
            truth, planes = procedural(seed, distance)
            linked = [np.stack(link(planes, depth)) for depth in (False, True)]
            scores.append([evaluate([truth], [one]).f1 for one in linked])
        time, depth = np.mean(scores, axis=0)
        print(f"| {distance:g} | {time:.3f} | {depth:.3f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", type=Path)
    parser.add_argument("--procedural", action="store_true")
    parser.add_argument("--maps", type=Path)
    parser.add_argument("--planes", type=int, default=3)
    parser.add_argument("--fraction", type=float, default=0.5)
    parser.add_argument("--style", default="lines")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--scale-over", choices=("plane", "volume"), default="plane")
    args = parser.parse_args()
    if args.procedural:
        print_procedural(range(10, 18))
    if not args.sets:
        return
    if args.maps is None:
        parser.error("--maps says where predicted maps are kept")
    print("| volume | seed | planes | as through time | as through depth | objects | true |")
    print("|---|---|---|---|---|---|---|")
    for folder in args.sets:
        for volume in volumes_of(folder):
            for seed in map(int, args.seeds.split(",")):
                maps = kept_maps_of(volume, args, seed)
                cut = [Cutter(one).cut(InstanceConfig()) for one in maps]
                apart = evaluate(volume.truths, cut)
                truth = [np.stack(volume.truths)]
                time = evaluate(truth, [np.stack(link(cut))])
                whole = evaluate(truth, [np.stack(link(cut, depth=True))])
                print(
                    f"| {volume.name} | {seed} | {apart.f1:.3f} | {time.f1:.3f} | {whole.f1:.3f} | "
                    f"{whole.n_pred} | {whole.n_true} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
