"""Predicting an image block by block into an OME-Zarr store."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_impartial.core.config import LARGE_PX
from napari_impartial.core.errors import ImPartialError

from .inputs import Reading
from .options import number
from .output import write_line
from .prediction_files import check_link, write_track_files

if TYPE_CHECKING:
    from napari_impartial.core.config import InstanceConfig, PredictionConfig, SuggestionConfig
    from napari_impartial.core.network.model_card import ModelCard
    from napari_impartial.slides.engine import Engine
    from napari_impartial.slides.source import Source


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


def result_paths(name: str, out: Path) -> dict[str, Path]:
    """Return what the results of an image are, and where."""
    return {
        "store": out / f"{name}.ome.zarr",
        "measurements": out / f"{name}_measurements.csv",
        "suggestions": out / f"{name}_suggestions.json",
    }


class Slides:
    """Predicts large images, with an engine that is started with the first of them.

    Parameters
    ----------
    args : argparse.Namespace
        With the options of :func:`add_arguments` and of the reading.
    card : ModelCard
    settings : (PredictionConfig, InstanceConfig, SuggestionConfig)
    stack : ExitStack
        Ends the engine.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        card: ModelCard,
        settings: tuple[PredictionConfig, InstanceConfig, SuggestionConfig],
        stack: ExitStack,
    ) -> None:
        self._args, self._card, self._settings = args, card, settings
        self._stack = stack
        self._engine: Engine | None = None

    def predict(
        self,
        paths: Sequence[Path],
        name: str,
        drawn: Path | None,
        report: Callable[[float, str], None],
    ) -> dict[str, Any]:
        """Predict an image and return what is said of it.

        `report` gets the share done, 0 to 1, and words on what is being done.

        Raises
        ------
        ImPartialError
            If it cannot be read, does not fit the model, or the results cannot be written.
        """
        from napari_impartial.slides.engine import engine
        from napari_impartial.slides.job import make_job
        from napari_impartial.slides.run import run
        from napari_impartial.slides.source import open_source

        args, card, reading = self._args, self._card, Reading.of(self._args)
        source = open_source(paths, reading.axes, reading.level)
        places = self._places(source.channel_names, name, reading)
        link = (args.link or "").upper()
        if link:
            check_link(link, source.stack_axes, paths[0])
        result = result_paths(name, args.out)["store"]
        if drawn is not None:
            self._check(drawn, source, paths[0])
        job = make_job(
            source,
            paths,
            reading.axes,
            reading.level,
            places,
            args.model,
            card,
            self._settings,
            result,
            drawn,
            args.block_px or 0,
            args.zarr_version,
            link,
        )
        if self._engine is None:
            self._engine = self._stack.enter_context(engine(args.workers, args.scheduler))
        stage = ""

        def tell(text: str) -> None:
            nonlocal stage
            stage = text

        done = run(
            job,
            result,
            self._engine,
            lambda share: report(share, stage),
            args.resume,
            tell=tell,
        )
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

    def _check(self, drawn: Path, source: Source, image: Path) -> None:
        """Refuse strokes that cannot be read part by part, or are not on the image's grid."""
        from napari_impartial.io.lazy_files import open_lazy
        from napari_impartial.io.ome_zarr import is_zarr
        from napari_impartial.io.region_files import is_regions

        if is_regions(drawn) or self._args.partial_masks:
            raise ImPartialError(
                f"{drawn} cannot be used block by block; give strokes as a label image."
            )
        shape = open_lazy(drawn, self._args.level if is_zarr(drawn) else 0).array.shape
        planes = int(source.n_planes > 1)
        if shape[-2:] != source.shape or shape[:-2] != (source.n_planes,) * planes:
            raise ImPartialError(
                f"{drawn} is {' x '.join(map(str, shape))}, and {image} has "
                f"{source.n_planes} plane(s) of {' x '.join(map(str, source.shape))} pixels; "
                "strokes lie on the same grid."
            )

    def _places(self, names: Sequence[str], image: str, reading: Reading) -> list[int]:
        """Return which of an image's channels are the model's."""
        import numpy as np

        from napari_impartial.core.data.channels import match_channels
        from napari_impartial.core.data.image import Image

        # A picture of one pixel, in which each channel is as bright as its position says.
        whole = Image(
            np.arange(len(names), dtype=np.float32).reshape(-1, 1, 1), tuple(names), image
        )
        some = whole if reading.channels is None else whole.select(reading.channels)
        called = reading.channel_names or some.channel_names
        if len(called) != some.n_channels:
            raise ImPartialError(
                f"{image} has {some.n_channels} channels in use but {len(called)} names are given "
                "with --channel-names."
            )
        found = match_channels(
            tuple(called),
            self._card.channel_names,
            image,
            f"{self._args.model} takes",
            "pick as many in the same order with --channels, or name them with --channel-names",
            by_name=not reading.chosen,
        )
        return [int(some.channels[i, 0, 0]) for i in found]
