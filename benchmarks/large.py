"""Slides: memory, time a megapixel, and whether blocks give the objects of the whole.

Usage: python -m benchmarks.large [--sides 2048 8192] [--channels 2] [--samples 4] [--workers N]
       python -m benchmarks.large --anew 4096        # predicted, then cut with another threshold
       python -m benchmarks.large --ranges 16384     # how long the intensities take to be read

Procedural tissue is laid side by side: chunks of one field are linked into the store as often as
they are needed, so that an image of any size takes no room. The network is the one that
training begins with. Each prediction is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from napari_impartial.core.api import train
from napari_impartial.core.config import TrainingConfig
from napari_impartial.core.data.synthetic_tissue import tissue
from napari_impartial.core.instances.metrics import matched_pairs
from napari_impartial.core.network.model_file import save_model
from napari_impartial.io import read_labels
from napari_impartial.io.ome_zarr_writer import Layout, create, write_image

FIELD_PX, CHUNK_PX = 1024, 512
SPLITS = ("automatic", "watershed", "components")


def make_model(path: Path, n_channels: int) -> None:
    """Write the network that training begins with."""
    small = tissue((128, 128), n_channels, seed=1)
    config = TrainingConfig(max_steps=1, batch_size=1)
    save_model(train([small.image], [small.scribbles(0.3)], config), path)


def make_image(path: Path, side: int, n_channels: int, pyramid: bool = False) -> None:
    """Write an image of `side` x `side` px whose chunks are links to those of one field.

    Its coarser levels are empty unless it is to be a `pyramid`.
    """
    found = tissue((FIELD_PX, FIELD_PX), n_channels, seed=2).image
    channels = np.clip(found.channels, 0, 65535).astype(np.uint16)
    names = found.channel_names
    layout = Layout((n_channels, side, side), "CYX", np.uint16, channel_names=names)
    create(path, layout)
    for level, (_, rows, cols) in enumerate(layout.shapes if pyramid else layout.shapes[:1]):
        field = path.with_name(f"field{level}.zarr")
        # What fills a chunk at least; the same at each place, since fields are laid side by side.
        reps = max(1, CHUNK_PX // channels.shape[-1])
        tile = np.tile(channels, (1, reps, reps))
        if not field.exists():
            write_image(field, tile, Layout(tile.shape, "CYX", np.uint16, channel_names=names))
        across = tile.shape[-1] // CHUNK_PX
        for c in range(n_channels):
            for y in range(-(-rows // CHUNK_PX)):
                for x in range(-(-cols // CHUNK_PX)):
                    chunk = path / str(level) / "c" / str(c) / str(y) / str(x)
                    chunk.parent.mkdir(parents=True, exist_ok=True)
                    there = field / "0" / "c" / str(c) / str(y % across) / str(x % across)
                    os.link(there, chunk)
        pairs = channels.reshape(n_channels, channels.shape[1] // 2, 2, channels.shape[2] // 2, 2)
        channels = pairs.mean(axis=(2, 4)).astype(np.uint16)


def predict(image: Path, model: Path, out: Path, *more: str) -> dict[str, float]:
    """Predict in a process of its own; its time, and the most memory of any such process so far."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "napari_impartial", "predict", str(image),
         "--model", str(model), "--out", str(out), "--json", *more],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (entry,) = json.loads(done.stdout.splitlines()[-1])["images"]
    return {
        "cells": entry["n_cells"],
        "blocks": entry.get("blocks", 0),
        "kept": entry.get("blocks_kept", 0),
        "seconds": time.perf_counter() - started,
        "peak_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }


def same_objects(folder: Path, image: Path, model: Path, samples: str) -> None:
    """Print how many objects of blocks of 256 px are those of the whole."""
    print("| cut | whole | blocks | F1 at IoU 0.95 |")
    print("|---|---|---|---|")
    for split in SPLITS:
        common = ["--split", split, "--samples", samples]
        predict(image, model, folder / "whole", "--format", "tiff", *common)
        predict(image, model, folder / "blocks", "--format", "zarr", "--block-px", "256", *common)
        whole = read_labels(folder / "whole" / f"{image.name.split('.')[0]}_instances.tif")
        blocks = read_labels(folder / "blocks" / image.name)
        found = len(matched_pairs(whole, blocks, 0.95)[0])
        f1 = 2 * found / max(int(whole.max()) + int(blocks.max()), 1)
        print(f"| {split} | {whole.max()} | {blocks.max()} | {f1:.4f} |", flush=True)


def cut_anew(folder: Path, image: Path, model: Path, samples: str) -> None:
    """Print how long a prediction takes, and another cut of its maps; compare with a fresh one."""
    print("| run | cells | s | blocks kept |")
    print("|---|---|---|---|")
    common = ["--format", "zarr", "--samples", samples]
    for name, out, more in (
        ("fresh", "anew", []),
        ("another threshold, from the maps", "anew", ["--threshold", "0.6"]),
        ("the same, fresh", "fresh", ["--threshold", "0.6"]),
    ):
        found = predict(image, model, folder / out, *common, *more)
        kept = f"{found['kept']:.0f} of {found['blocks']:.0f}"
        print(f"| {name} | {found['cells']} | {found['seconds']:.1f} | {kept} |", flush=True)
    contents = [
        {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}
        for root in (folder / "anew", folder / "fresh")
    ]
    same = contents[0] == contents[1]
    print("\nAll files are the same to the byte." if same else "\nFILES DIFFER.", flush=True)


def time_ranges(image: Path, model: Path, store: Path) -> None:
    """Print how long it takes to find what becomes 0 and 1."""
    from napari_impartial.core.config import InstanceConfig, PredictionConfig, SuggestionConfig
    from napari_impartial.core.network.model_card import read_card
    from napari_impartial.slides.engine import engine
    from napari_impartial.slides.job import make_job
    from napari_impartial.slides.ranges import parts_of, read_ranges
    from napari_impartial.slides.source import open_source

    source = open_source([image])
    settings = PredictionConfig(), InstanceConfig(), SuggestionConfig()
    channels = range(len(source.channel_names))
    card = read_card(model)
    job = make_job([image], None, 0, channels, model, card, settings, store)
    seen: list[float] = []
    with engine() as workers:
        workers.run(time.sleep, [(0.0,)], bool)  # what is loaded first is loaded
        started = time.perf_counter()
        read_ranges(job, [0], workers, seen.append)
        seconds = time.perf_counter() - started
    print(f"{source.shape[0]} px, {len(channels)} channels: {seconds:.1f} s in "
          f"{len(parts_of(source))} parts, {len(seen)} reports of progress")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[2048, 8192])
    parser.add_argument("--channels", type=int, default=2)
    parser.add_argument("--samples", default="4")
    parser.add_argument("--workers", default="0")
    parser.add_argument("--anew", type=int, metavar="SIDE")
    parser.add_argument("--ranges", type=int, metavar="SIDE")
    parser.add_argument("--folder", type=Path, help="Where to work; a temporary one by default.")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        model = folder / "m.impartial"
        make_model(model, args.channels)
        if args.anew or args.ranges:
            image = folder / "s.ome.zarr"
            make_image(image, args.anew or args.ranges, args.channels)
            if args.anew:
                cut_anew(folder, image, model, args.samples)
            else:
                time_ranges(image, model, folder / "out.ome.zarr")
            return
        small = folder / "small.ome.zarr"
        make_image(small, 1024, args.channels)
        same_objects(folder, small, model, args.samples)
        print("\n| side | channels | cells | s | s a megapixel | peak MB |")
        print("|---|---|---|---|---|---|")
        for side in sorted(args.sides):
            image = folder / f"s{side}.ome.zarr"
            make_image(image, side, args.channels)
            common = ["--format", "zarr", "--samples", args.samples, "--workers", args.workers]
            found = predict(image, model, folder / "out", *common)
            pace = found["seconds"] / (side * side / 1e6)
            print(
                f"| {side} | {args.channels} | {found['cells']} | {found['seconds']:.0f} | "
                f"{pace:.2f} | {found['peak_mb']:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
