"""Package a model for the BioImage Model Zoo, so that other programs can run it.

Writes a .zip in the zoo's format: network, description, documentation, and a field of
IMAGE (256 x 256 pixels as a rule) that the package can be tested with; it becomes public
with the package. Before it is written, the packaged network has to predict that field as
we do. Needs the extra zoo: pip install 'napari-impartial[zoo]'.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from napari_impartial.core.errors import ImPartialError

from .inputs import Reading, check_not_inputs, fit_channels, read_image_file
from .options import add_reading

EPILOG = """\
example:
  napari-impartial export image.tif --model cells.impartial --out cells.zip \\
      --name "Cells in multiplexed tissue" --author "Ada Lovelace" --license CC-BY-4.0"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "images",
        nargs="+",
        type=Path,
        metavar="IMAGE",
        help="An image like those of the training; of a stack the middle plane is taken.",
    )
    parser.add_argument(
        "--model", type=Path, required=True, metavar="M", help="A model file made by train."
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="Package to write, a .zip file."
    )
    parser.add_argument(
        "--name", default="", help="What the zoo calls the model (default: as its file)."
    )
    parser.add_argument(
        "--author",
        action="append",
        default=[],
        metavar="NAME",
        help="Who made it; give it again for each further author. The zoo asks for one.",
    )
    parser.add_argument(
        "--license",
        default="",
        metavar="ID",
        help="SPDX identifier of the license, such as CC-BY-4.0. The zoo asks for one.",
    )
    add_reading(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Write the package."""
    from napari_impartial.io.model_zoo import About, check_about, write_zoo_package

    about = About(args.name or args.model.stem, tuple(args.author), args.license)
    check_about(args.out, about)
    reading = Reading.of(args)
    groups = reading.groups(args.images)
    if len(groups) > 1:
        raise ImPartialError(
            "The package is tested with one image; give one IMAGE, or say with "
            "--files-per-image how many files are its channels."
        )
    check_not_inputs([args.out], [*args.images, args.model], "--out")
    from napari_impartial.core.network.model_card import read_card

    card = read_card(args.model)
    planes = read_image_file(groups[0], reading).planes
    image = fit_channels(
        planes[len(planes) // 2], card.channel_names, reading, f"{args.model} takes"
    )
    from napari_impartial.core.network.model_file import load_model

    started = time.perf_counter()
    advice = write_zoo_package(args.out, load_model(args.model), image, about)
    return {
        "model": args.model,
        "package": args.out,
        "recommended": advice,
        "seconds": time.perf_counter() - started,
    }


def describe(result: dict[str, Any]) -> str:
    """Return the result in words."""
    lines = [f"{result['package']}: written and checked in {result['seconds']:.1f} s"]
    if result["recommended"]:
        lines.append("The zoo recommends to fill in: " + "; ".join(result["recommended"]))
    return "\n".join(lines)
