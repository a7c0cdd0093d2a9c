"""Package a model for the BioImage Model Zoo, or write the objects of a slide for other programs.

With --model, writes a .zip in the zoo's format: network, description, documentation, and a field of
IMAGE (256 x 256 pixels as a rule) that the package can be tested with; it becomes public
with the package. Before it is written, the packaged network has to predict that field as
we do. Needs the extra zoo: pip install 'napari-impartial[zoo]'.

Without it, IMAGE is a store that predict wrote, NAME.ome.zarr, and --out is where its objects go:
outlines for QuPath (.geojson), or labels by themselves (.ome.zarr), block by block. With --table,
only the objects whose rows a table still has.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from napari_impartial.core.errors import ImPartialError

from .inputs import Reading, check_not_inputs, fit_channels, read_image_file
from .options import add_reading, number
from .output import ProgressBar

EPILOG = """\
example:
  napari-impartial export image.tif --model cells.impartial --out cells.zip \\
      --name "Cells in multiplexed tissue" --author "Ada Lovelace" --license CC-BY-4.0
  napari-impartial export results/slide.ome.zarr --out slide.geojson --table edited.csv"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "images",
        nargs="+",
        type=Path,
        metavar="IMAGE",
        help="An image like those of the training; of a stack the middle plane is taken. Or the "
        "store of a slide's results.",
    )
    parser.add_argument(
        "--model", type=Path, metavar="M", help="A model file made by train, to be packaged."
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="Package to write, a .zip file; of results a .geojson or .ome.zarr.",
    )
    parser.add_argument(
        "--table",
        type=Path,
        metavar="CSV",
        help="Measurements of the results without the rows of objects that are to be left out, as "
        "the window exports them (default: NAME_measurements.csv beside the store).",
    )
    parser.add_argument(
        "--pixel-width",
        type=number(0.01, 1000, float),
        default=1.0,
        metavar="N",
        help="How many pixels of the finest resolution a pixel of the results is wide, for "
        "outlines of a slide that was predicted at a coarser --level (default 1).",
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
    """Write the package, or the objects."""
    if args.model is None:
        return _export_objects(args)
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


def _export_objects(args: argparse.Namespace) -> dict[str, Any]:
    """Write the objects of a store of results."""
    from napari_impartial.io.object_files import files_beside
    from napari_impartial.slides.export import Results, export, left_out

    store, out = args.images[0], args.out
    kinds = {".geojson": "outlines", ".zarr": "instances"}
    if len(args.images) > 1 or out.suffix.lower() not in kinds:
        raise ImPartialError(
            "Give --model to package a model; or one store of results, and a name for --out that "
            "ends in .geojson or .ome.zarr."
        )
    check_not_inputs([out], [*args.images, *([args.table] if args.table else [])], "--out")
    table, places = files_beside(store)
    verdicts = left_out(table, args.table) if args.table else {}
    factor = (args.pixel_width, args.pixel_width)
    results = Results(store, table, places, verdicts, factor)
    started = time.perf_counter()
    with ProgressBar("writing") as bar:
        export(results, {kinds[out.suffix.lower()]: out}, bar.update)
    return {"store": store, "objects": out, "seconds": time.perf_counter() - started}


def describe(result: dict[str, Any]) -> str:
    """Return the result in words."""
    if "objects" in result:
        return f"{result['objects']}: written in {result['seconds']:.1f} s"
    lines = [f"{result['package']}: written and checked in {result['seconds']:.1f} s"]
    if result["recommended"]:
        lines.append("The zoo recommends to fill in: " + "; ".join(result["recommended"]))
    return "\n".join(lines)
