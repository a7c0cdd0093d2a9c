"""Predicting an image block by block into an OME-Zarr store."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_impartial.core.config import LARGE_PX
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.words import shape_text

from .inputs import Reading, check_classes, fit_channels
from .options import number
from .output import write_line
from .prediction_files import Settings, check_link, tell_old_tracks, write_track_files

if TYPE_CHECKING:
    from napari_impartial.core.network.model_card import ModelCard
    from napari_impartial.slides.engine import Engine
    from napari_impartial.slides.source import Source

# Rows of strokes that are read at once.
_BAND_ROWS = 2048


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for large images and for many."""
    group = parser.add_argument_group("large images, many images")
    group.add_argument(
        "--format",
        choices=("auto", "tiff", "zarr"),
        default="auto",
        help="tiff: the five files; the image has to fit into memory. zarr: NAME.ome.zarr with "
        "probability, uncertainty and the cells as labels, beside the last two files, block by "
        f"block in a bounded memory. auto: zarr above {LARGE_PX >> 20} megapixels a plane "
        "(default auto).",
    )
    group.add_argument(
        "--zarr-version",
        choices=("0.4", "0.5"),
        default="0.5",
        help="Version of OME-Zarr to write (default 0.5).",
    )
    group.add_argument(
        "--block-px",
        type=number(64, 16384, int),
        metavar="N",
        help="Side of the blocks, rounded to a multiple of what the network asks for (default "
        "2048, or 1024 above 8 channels).",
    )
    group.add_argument(
        "--workers",
        type=number(0, 1024, int),
        default=0,
        metavar="N",
        help="Processes to work on the blocks; 0 uses a thread a core of this one (default 0).",
    )
    group.add_argument(
        "--scheduler",
        default="",
        metavar="ADDRESS",
        help="Address of a Dask scheduler that runs already, whose workers do the blocks.",
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="Skip images that an earlier run with the same model and settings has finished, go "
        "on with the one that it was at, and refuse to throw away what it has predicted of it.",
    )


def is_large(paths: Sequence[Path], reading: Reading) -> bool:
    """Tell whether an image's planes are too large to be predicted in one piece."""
    from napari_impartial.io import limits
    from napari_impartial.io.lazy_files import plane_pixels

    return plane_pixels(paths[0], reading.level) > limits.LARGE_PX


def store_of(name: str, out: Path) -> Path:
    """Return the store that an image is predicted into."""
    return out / f"{name}.ome.zarr"


def predict(
    args: argparse.Namespace,
    card: ModelCard,
    settings: Settings,
    engine: Callable[[], Engine],
    paths: Sequence[Path],
    name: str,
    drawn: Path | None,
    report: Callable[[float, str], None],
) -> dict[str, Any]:
    """Predict an image and return what is said of it.

    `args` has the options of :func:`add_arguments` and of the reading; `engine` starts what does
    the work, `report` gets the share done, 0 to 1, and words on what is being done.

    Raises
    ------
    ImPartialError
        If it cannot be read, does not fit the model, or the results cannot be written.
    """
    import numpy as np

    from napari_impartial.core.data.image import Image
    from napari_impartial.slides.job import make_job
    from napari_impartial.slides.run import run
    from napari_impartial.slides.source import open_source

    reading = Reading.of(args)
    source = open_source(paths, reading.axes, reading.level)
    # Of a picture of one pixel, in which each channel is as bright as its position says.
    one = np.arange(len(source.channel_names), dtype=np.float32).reshape(-1, 1, 1)
    image = reading.pick(Image(one, source.channel_names, name))
    picked = fit_channels(image, card.channel_names, reading, f"{args.model} takes")
    places = [int(position) for position in picked.channels[:, 0, 0]]
    if settings.link:
        check_link(settings.link, source.stack_axes, paths[0])
    result = store_of(name, args.out)
    if drawn is not None:
        _check(args, drawn, source, paths[0], card)
    job = make_job(
        paths,
        reading.axes,
        reading.level,
        places,
        args.model,
        card,
        (settings.prediction, settings.instances, settings.suggestions),
        result,
        drawn,
        args.block_px or 0,
        args.zarr_version,
        settings.link,
    )
    stage = ""

    def tell(text: str) -> None:
        nonlocal stage
        stage = text

    done = run(job, result, engine(), lambda share: report(share, stage), args.resume, tell=tell)
    if done.n_clipped:
        write_line(
            f"napari-impartial predict: {done.n_clipped} objects of {name} are larger than "
            "what is looked at at once and were cut; use a coarser --level, larger "
            "--block-px, or --split components."
        )
    found: dict[str, Any] = {}
    if done.rows is not None:
        scale = (source.pixel_size, source.pixel_unit, source.parts[0].spacing)
        found = dict(write_track_files(name, args.out, done.rows, *scale))
    else:
        tell_old_tracks(name, args.out)
    return {
        **found,
        "store": done.store,
        "measurements": done.table,
        "suggestions": done.places,
        "n_cells": done.n_objects,
        "area_px": done.area_px,
        "classes": dict(zip(card.class_names[1:], done.classes, strict=True)),
        "n_suggestions": done.n_places,
        "blocks": done.n_blocks,
        "blocks_kept": done.n_kept,
    }


def _check(
    args: argparse.Namespace, drawn: Path, source: Source, image: Path, card: ModelCard
) -> None:
    """Refuse strokes that cannot be read part by part, or do not fit the image or the model."""
    from napari_impartial.io.lazy_files import open_lazy
    from napari_impartial.io.ome_zarr import is_zarr
    from napari_impartial.io.region_files import is_regions

    if is_regions(drawn) or args.partial_masks:
        raise ImPartialError(
            f"{drawn} cannot be used block by block; give strokes as a label image."
        )
    array = open_lazy(drawn, args.level if is_zarr(drawn) else 0).array
    shape = array.shape
    planes = int(source.n_planes > 1)
    if shape[-2:] != source.shape or shape[:-2] != (source.n_planes,) * planes:
        raise ImPartialError(
            f"{drawn} is {shape_text(shape)}, and {image} has "
            f"{source.n_planes} plane(s) of {shape_text(source.shape)} pixels; "
            "strokes lie on the same grid."
        )
    bands = (array[..., row : row + _BAND_ROWS, :] for row in range(0, shape[-2], _BAND_ROWS))
    check_classes(drawn, max(int(band.max()) for band in bands), args.model, card.class_names)
