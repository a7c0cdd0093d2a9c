"""Write a data set as a microscope of another magnification would have stored it.

``python -m benchmarks.enlarge SET --factor 2 --out DST``

Enlarged cells show nothing new, and noise has a coarser grain; what is reduced is smoothed before.
What is good at one size should be good at another. Strokes are left out, so that they are
simulated anew.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from napari_impartial.core.data.image import Image

from .real import Pair, pairs_of


def enlarged(image: Image, truth: NDArray[np.int32], factor: float) -> Pair:
    """Return an image (bilinearly) and its truth (nearest) `factor` times as large."""
    if factor == 1:
        return image, truth
    smoothing_px = max(0.5 / factor - 0.5, 0.0)
    channels = image.channels.astype(np.float32)
    smooth = ndimage.gaussian_filter(channels, (0, smoothing_px, smoothing_px))
    larger = ndimage.zoom(smooth, (1, factor, factor), order=1)
    if np.issubdtype(image.channels.dtype, np.integer):
        larger = np.rint(larger)
    labels = ndimage.zoom(truth, factor, order=0)
    return replace(image, channels=larger.astype(image.channels.dtype)), labels


def enlarge(folder: Path, factor: float, out: Path) -> None:
    """Write images and truth of a data set `factor` times as large."""
    for side in ("train", "test"):
        (out / side).mkdir(parents=True, exist_ok=True)
        for pair in pairs_of(folder, [side]):
            image, truth = enlarged(*pair, factor)
            path = out / side / f"{image.name}.tif"
            tifffile.imwrite(
                path, image.channels, photometric="minisblack", metadata={"axes": "CYX"}
            )
            tifffile.imwrite(path.with_name(f"{image.name}_truth.tif"), truth.astype(np.uint16))


def main() -> None:
    """Enlarge a data set."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("set", type=Path)
    parser.add_argument("--factor", type=float, default=2.0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if args.out.exists():
        parser.error(f"{args.out} is there already; name a folder that is not.")
    if args.factor <= 0:
        parser.error(f"--factor is {args.factor:g}; it has to be greater than 0.")
    if not pairs_of(args.set):
        parser.error(f"{args.set} has no annotated images in train/ or test/.")
    enlarge(args.set, args.factor, args.out)


if __name__ == "__main__":
    main()
