"""Turn a public annotated set into the data-set layout of benchmark and refine.

KIND and what SRC is:
  tissuenet   TissueNet 1.0: an .npz file (X and y), or a folder of them
  deepliif    DeepLIIF: a folder of PNG strips of six pictures
  cpdmfci     CPDMFCI: a folder of TIFF images with ImageJ ROI zips
Writes DST/train/NAME.tif, NAME_truth.tif and NAME_scribblesP.tif, and the same without
scribbles in DST/test; sets of several platforms get a folder each, DST/PLATFORM, or with
--together one for all.
Validation parts are left out. Images are read one at a time: memory does not grow with
the set. DST appears when all is written.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_impartial.cli.options import add_style, comma_list, number, one_of
from napari_impartial.cli.output import ProgressBar, markdown_table
from napari_impartial.core.config import LARGEST_SEED
from napari_impartial.core.errors import ImPartialError

from .dataset import CELLS, PANELS, strokes_folder

if TYPE_CHECKING:
    from .public_datasets import AnnotatedImage

EPILOG = """\
example:
  napari-impartial convert tissuenet tissuenet_v1.0 data/tissuenet --percent 10,20
  napari-impartial convert deepliif DeepLIIF data/ihc --panels ihc
  napari-impartial convert tissuenet tissuenet_v1.0 data/mibi --platforms mibi
  napari-impartial convert cpdmfci CPDMFCI data/cpdmfci --together --crop 400 \
      --test-count 15 --channels DAPI,CD45/PanCK"""

KINDS = ("tissuenet", "deepliif", "cpdmfci")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("kind", choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("source", type=Path, metavar="SRC", help="What was downloaded, unpacked.")
    parser.add_argument("out", type=Path, metavar="DST", help="Folder to make.")
    parser.add_argument(
        "--percent",
        type=comma_list(number(1, 100, int)),
        default=[10],
        metavar="P,..",
        help="Simulate scribbles in so many percent of the cells of each training image "
        "(default 10). Benchmark simulates those that are not there.",
    )
    add_style(parser, " Those of other styles go to the folder DST/STYLE.")
    parser.add_argument(
        "--seed",
        type=number(0, LARGEST_SEED, int),
        default=0,
        metavar="N",
        help="Same seed, same scribbles and same parts (default 0).",
    )
    parser.add_argument(
        "--test-percent",
        type=number(1, 99, int),
        default=30,
        metavar="P",
        help="Percent of the images that go to the test part, drawn at random, where the "
        "distribution does not say which do (default 30).",
    )
    parser.add_argument(
        "--test-count",
        type=number(1, 10**6, int),
        metavar="N",
        help="The same as a number of images, in place of --test-percent.",
    )
    parser.add_argument(
        "--crop",
        type=number(16, 10**6, int),
        metavar="PX",
        help="Cut images into squares of so many pixels, as many as there is room for, round "
        "the middle; smaller images stay whole. Default: as they are.",
    )
    parser.add_argument(
        "--channels",
        type=comma_list(str),
        metavar="A,B/C,..",
        help="Channels to take, in this order: names or numbers from 0; of several with a slash "
        "between, the first that an image has, called by the first name. Default: all.",
    )
    parser.add_argument(
        "--together",
        action="store_true",
        help="Put all platforms into one data set; they need the same channels (--channels).",
    )
    parser.add_argument(
        "--limit",
        type=number(0, 10**9, int),
        default=0,
        metavar="N",
        help="Take the first N images of each part only; 0 takes all (default 0).",
    )
    parser.add_argument(
        "--cells",
        choices=CELLS,
        default=CELLS[0],
        help="tissuenet: which labels are the truth (default whole).",
    )
    parser.add_argument(
        "--platforms",
        type=comma_list(str),
        default=[],
        metavar="A,..",
        help="tissuenet: take images of these platforms only, such as mibi (default all).",
    )
    parser.add_argument(
        "--panels",
        type=comma_list(one_of(PANELS)),
        default=[PANELS[0]],
        metavar="A,..",
        help=f"deepliif: pictures of the strip to use, of {', '.join(PANELS)} (default ihc).",
    )


@dataclass
class Written:
    """Files written for one group.

    Attributes
    ----------
    counts : dict of str to int
        Images of each part.
    undecided : list of str
        Names of images that lie in the training part until the test part is drawn.
    cells, empty : int
        Cells, and images left out since they hold none.
    channel_names : tuple of str
        Of all images.
    """

    counts: dict[str, int] = field(default_factory=lambda: {"train": 0, "test": 0})
    undecided: list[str] = field(default_factory=list)
    cells: int = 0
    empty: int = 0
    channel_names: tuple[str, ...] = ()


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Read, split, simulate and write."""
    if not args.source.exists():
        raise ImPartialError(f"{args.source} does not exist; name what was downloaded.")
    if args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise ImPartialError(f"{args.out} exists already; name a new folder.")
    groups: dict[str, Written] = {}
    from napari_impartial.core.atomic_write import atomic_folder

    with atomic_folder(args.out) as folder, ProgressBar("converting") as bar:
        for done, one in enumerate(_limited(_arranged(_images(args), args), args)):
            bar.update(0.0, f"{done} images, {one.name}")
            _write(one, folder, groups.setdefault(one.group, Written()), args)
        for group, written in groups.items():
            _draw_test(folder / group, written, args)
        _check(groups, args)
    sets = [
        {
            "set": args.out / group,
            "channels": written.channel_names,
            **written.counts,
            "cells": written.cells,
            "left_out_without_cells": written.empty,
        }
        for group, written in sorted(groups.items())
    ]
    return {"sets": sets, "percent": args.percent, "seed": args.seed}


def _images(args: argparse.Namespace) -> Iterator[AnnotatedImage]:
    """Return the reader of the set."""
    from . import public_datasets

    if args.kind == "tissuenet":
        return public_datasets.read_tissuenet(args.source, args.cells, args.platforms)
    if args.kind == "deepliif":
        return public_datasets.read_deepliif(args.source, args.panels)
    return public_datasets.read_cpdmfci(args.source)


def _arranged(
    images: Iterable[AnnotatedImage], args: argparse.Namespace
) -> Iterator[AnnotatedImage]:
    """Put platforms together, choose channels and cut images up, where that is asked for."""
    for one in images:
        if args.together and one.group:
            one = replace(one, group="", name=f"{one.group}_{one.name}")
        if args.channels is not None:
            at = [_channel(one, wanted) for wanted in args.channels]
            names = tuple(_channel_name(wanted) for wanted in args.channels)
            one = replace(one, channels=one.channels[at], channel_names=names)
        yield from _crops(one, args.crop)


def _channel_name(wanted: str) -> str:
    """Return what a channel is to be called in all images: the first of its names."""
    names = [name for name in wanted.split("/") if not name.isdecimal()]
    return names[0] if names else f"channel {wanted.split('/')[0]}"


def _channel(one: AnnotatedImage, wanted: str) -> int:
    """Return which channel of an image is meant by a number or by alternative names.

    Raises
    ------
    ImPartialError
        If it has none such.
    """
    known = [name.casefold() for name in one.channel_names]
    for name in wanted.split("/"):
        if name.casefold() in known:
            return known.index(name.casefold())
        if name.isdecimal() and int(name) < len(known):
            return int(name)
    raise ImPartialError(
        f"{one.name} has no channel {wanted!r}; its channels are {', '.join(one.channel_names)}."
    )


def _crops(one: AnnotatedImage, side: int | None) -> Iterator[AnnotatedImage]:
    """Cut an image into squares round the middle; what is left over at the edges is dropped."""
    height, width = one.truth.shape
    if side is None:
        yield one
        return
    rows, columns = max(height // side, 1), max(width // side, 1)
    top, left = max(height - rows * side, 0) // 2, max(width - columns * side, 0) // 2
    for row in range(rows):
        for column in range(columns):
            y, x = top + row * side, left + column * side
            inside = slice(y, y + side), slice(x, x + side)
            name = one.name if rows * columns == 1 else f"{one.name}_{row}_{column}"
            yield replace(
                one, name=name, channels=one.channels[:, *inside], truth=one.truth[inside]
            )


def _limited(
    images: Iterable[AnnotatedImage], args: argparse.Namespace
) -> Iterator[AnnotatedImage]:
    """Leave out what is over the limit of each part."""
    seen: dict[tuple[str, str], int] = {}
    for one in images:
        key = (one.group, one.part)
        seen[key] = seen.get(key, 0) + 1
        if not args.limit or seen[key] <= args.limit:
            yield one


def _write(one: AnnotatedImage, folder: Path, written: Written, args: argparse.Namespace) -> None:
    """Write one image with its truth, and the scribbles of a training image."""
    import numpy as np

    from napari_impartial.io import write_tiff

    from .simulated_annotator import first_strokes

    if written.channel_names and written.channel_names != one.channel_names:
        raise ImPartialError(
            f"{one.name} has the channels {', '.join(one.channel_names)}, the images before it "
            f"{', '.join(written.channel_names)}; choose channels that all have (--channels), or "
            "put images of different channels into different folders."
        )
    written.channel_names = one.channel_names
    ids = np.unique(one.truth)
    n_cells = int((ids > 0).sum())
    part = one.part or "train"
    if part == "train" and not n_cells:
        written.empty += 1  # nothing could be annotated
        return
    # An image that no part is named for may be drawn for the test later on.
    parts = (part,) if one.part else ("train", "test")
    taken = any((folder / one.group / name / f"{one.name}.tif").exists() for name in parts)
    if taken or one.name in written.undecided:
        raise ImPartialError(
            f"Two images in {args.source} would be called {one.name}; rename one, or leave it out."
        )
    place = folder / one.group / part
    write_tiff(place / f"{one.name}.tif", one.channels, "CYX", one.channel_names)
    write_tiff(place / f"{one.name}_truth.tif", one.truth, "YX")
    if part == "train":
        strokes = strokes_folder(folder / one.group, args.style)
        for percent in args.percent:
            at = (args.seed, written.counts["train"])
            painted, _ = first_strokes(one.truth, percent, at, args.style)
            write_tiff(strokes / f"{one.name}_scribbles{percent}.tif", painted.labels, "YX")
    if not one.part:
        written.undecided.append(one.name)
    written.counts[part] += 1
    written.cells += n_cells


def _draw_test(folder: Path, written: Written, args: argparse.Namespace) -> None:
    """Move a random share of the undecided images to the test part."""
    import numpy as np

    if len(written.undecided) < 2:
        return
    count = args.test_count
    if count is None:
        count = max(round(args.test_percent / 100 * len(written.undecided)), 1)
        count = min(count, len(written.undecided) - 1)
    elif count >= len(written.undecided):
        raise ImPartialError(
            f"--test-count {count} leaves none of {len(written.undecided)} images to train on."
        )
    order = np.random.default_rng(args.seed).permutation(len(written.undecided))
    (folder / "test").mkdir(exist_ok=True)
    for index in order[:count]:
        name = written.undecided[index]
        for file in (f"{name}.tif", f"{name}_truth.tif"):
            (folder / "train" / file).replace(folder / "test" / file)
        for percent in args.percent:
            (strokes_folder(folder, args.style) / f"{name}_scribbles{percent}.tif").unlink()
    written.counts["train"] -= count
    written.counts["test"] += count


def _check(groups: dict[str, Written], args: argparse.Namespace) -> None:
    """Refuse a set that benchmark could not use."""
    for group, written in groups.items():
        for part, count in written.counts.items():
            if not count:
                name = f" of {group}" if group else ""
                raise ImPartialError(
                    f"No {part} image{name} was found in {args.source}; give a folder that "
                    "holds both parts."
                )


def describe(result: dict[str, Any]) -> str:
    """Return what was written as a table."""
    rows = [["set", "channels", "train", "test", "cells", "left out (no cells)"]]
    for one in result["sets"]:
        figures = (one[name] for name in ("train", "test", "cells", "left_out_without_cells"))
        rows.append([str(cell) for cell in (one["set"], len(one["channels"]), *figures)])
    return markdown_table(rows)
