"""Make the weights that a training starts from (:mod:`napari_impartial.core.network.warm_start`).

``python -m benchmarks.pretrain [--images N] [--seconds S] [--init FILE] [--out FILE]``

Trains the *balanced* network on procedural images (:mod:`benchmarks.procedural`) with
dense labels, with the same joint loss and augmentation as users' images get; then

``python -m benchmarks.pretrain --real SET... --init FILE [--steps N] [--out FILE]``

goes on with procedural images and crops of real, annotated ones (:mod:`benchmarks.real`). What is
to be judged on images of a set must not have seen it: leave it out of ``--real``.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from napari_impartial.core.config import ModelConfig, TrainingConfig
from napari_impartial.core.data.image import Image
from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.network import warm_start
from napari_impartial.core.network.model_file import TrainedModel, load_model, save_model
from napari_impartial.core.training import trainer as core_trainer

from .procedural import Example, example
from .real import crops, pairs_of

_OUT = Path(warm_start.__file__).parents[2] / "data" / "warm_start.safetensors"


class _AsTheyAre(core_trainer.Trainer):
    """A trainer to which the mixtures are the picture: they are not normalized again."""

    def prepare(self, image: Image) -> npt.NDArray[np.float32]:
        return image.channels


def settings(seconds: float, steps: int = 0) -> TrainingConfig:
    """Return how to pretrain; most as in a user's training."""
    return replace(
        TrainingConfig(),
        time_budget_s=seconds,
        max_steps=steps,
        batch_size=8,
        scribble_patch_fraction=0.0,
        validation_fraction=0.0,
        reconstruction_weight=1.0,
        edge_weight=0.0,
        half_size_fraction=0.0,
        freeze_norm_at=1.0,
        ema_decay=0.999,
        implied_labels=False,
        warm_start=False,
    )


def examples(count: int, seed: int) -> list[Example]:
    """Make examples, on all cores."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(example, range(seed, seed + count), chunksize=8)
        return [one for one in found if one is not None]


def pretrain(
    shown: list[Example], training: TrainingConfig, init: TrainedModel | None = None
) -> TrainedModel:
    """Train on examples.

    Returns
    -------
    TrainedModel
        Of :data:`~napari_impartial.core.network.warm_start.MIXTURES` channels; its weights in half
        precision, the statistics of normalization layers, which half precision may not
        reach, in single.
    """
    names = tuple(f"mixture {number + 1}" for number in range(warm_start.MIXTURES))
    images = [
        Image(one.mixtures.astype(np.float32), names, str(number))
        for number, one in enumerate(shown)
    ]
    scribbles = [Scribbles(one.labels) for one in shown]
    trainer = _AsTheyAre(images, scribbles, ModelConfig(), training, init)
    while not trainer.finished():
        trainer.step()
        if trainer.steps % 100 == 0:
            done, loss = trainer.fraction(), trainer.recent.total
            print(f"{done:6.1%}, step {trainer.steps}, loss {loss:.4f}", flush=True)
    trainer.validate()
    model = trainer.result()
    halved = {
        name: value.half() if value.is_floating_point() and "running_" not in name else value
        for name, value in model.weights.items()
    }
    return TrainedModel(replace(model.card, history=()), halved)


def main() -> None:
    """Make images, train and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=1600)
    parser.add_argument("--seconds", type=float, default=1800.0)
    parser.add_argument("--steps", type=int, default=0, help="instead of seconds")
    parser.add_argument("--rate", type=float, default=TrainingConfig().learning_rate)
    parser.add_argument("--seed", type=int, default=10000, help="of the first image")
    parser.add_argument("--real", type=Path, nargs="+", default=[], metavar="SET")
    parser.add_argument("--crops", type=int, default=150, help="of each real set")
    parser.add_argument("--init", type=Path, help="weights to go on from")
    parser.add_argument("--out", type=Path, default=_OUT)
    args = parser.parse_args()
    torch.manual_seed(0)
    shown = examples(args.images, args.seed)
    for number, folder in enumerate(args.real):
        shown += crops(pairs_of(folder), args.crops, args.seed + number)
    print(f"{len(shown)} images")
    init = load_model(args.init) if args.init else None
    training = replace(settings(args.seconds, args.steps), learning_rate=args.rate)
    save_model(pretrain(shown, training, init), args.out)
    print(f"written: {args.out}")


if __name__ == "__main__":
    main()
