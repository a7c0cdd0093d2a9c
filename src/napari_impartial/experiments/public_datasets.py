"""Read the public annotated sets in the layouts in which they are distributed.

* TissueNet 1.0: ``.npz`` archives with ``X`` (N, H, W, 2: nucleus, membrane), ``y``
  (N, H, W, 2: whole cell, nucleus) and ``platform_list`` (N names).
* DeepLIIF: one PNG strip a sample, with six pictures side by side.
* CPDMFCI: images of up to tens of channels, each with a zip of ImageJ outlines.

Each reader yields one image at a time, so that memory does not grow with the set.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import expand_labels

from napari_impartial.core.errors import ImPartialError
from napari_impartial.io.images import TIFF_SUFFIXES, read_images, stem
from napari_impartial.io.lazy import first_line
from napari_impartial.io.limits import check_file
from napari_impartial.io.pictures import read_picture
from napari_impartial.io.rois import read_roi_zip

from .dataset import CELLS, PANELS
from .npz import ArrayStream

TISSUENET_CHANNELS = ("nucleus", "membrane")
#: The pictures of a DeepLIIF strip, from left to right.
DEEPLIIF_PANELS = (*PANELS, "segmentation")
_COLOUR_PANELS = ("ihc", "hematoxylin")

# The outline drawn round each cell of a DeepLIIF segmentation is no wider than this.
_WIDEST_OUTLINE_PX = 5
_ROI_WORDS = re.compile(r"^(roi_?set|rois?)[ _-]+|[ _-]+(roi_?set|rois?|annotations?)$", re.I)


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """An image with complete instance labels.

    Attributes
    ----------
    part : str
        "train", "test", or "" where the distribution does not say.
    group : str
        Images of one group can be trained on together; "" where there is one group only.
    name : str
        Distinct within part and group.
    channels : (C, Y, X) array
    channel_names : tuple of str
    truth : (Y, X) int32
        0 background, any other value a cell's id.
    """

    part: str
    group: str
    name: str
    channels: NDArray[Any]
    channel_names: tuple[str, ...]
    truth: NDArray[np.int32]


def part_of(name: str) -> str:
    """Tell from a file's or folder's name which part of a set it is.

    Returns
    -------
    str
        "train", "test", "validation", or "" if the name does not say.
    """
    words = re.split(r"[^a-z]+", name.lower())
    for part, signs in (
        ("train", ("train", "training")),
        ("test", ("test", "testing")),
        ("validation", ("val", "valid", "validation")),
    ):
        if any(word in signs for word in words):
            return part
    return ""


def _files_below(source: Path, pattern: str) -> list[Path]:
    """List files by a pattern, in order, without what is hidden and what macOS leaves behind.

    Archives that were packed there hold ``._NAME`` beside files, or a folder ``__MACOSX``.
    """
    return [
        file
        for file in sorted(source.glob(pattern))
        if not any(
            part.startswith(".") or part == "__MACOSX" for part in file.relative_to(source).parts
        )
    ]


def _part_below(source: Path, file: Path) -> str:
    """Tell from the folders between a set and a file which part the file belongs to."""
    folders = file.relative_to(source).parts[:-1]
    return next(filter(None, map(part_of, folders)), "")


def read_tissuenet(
    source: Path, cells: str = "whole", platforms: Sequence[str] = ()
) -> Iterator[AnnotatedImage]:
    """Read TissueNet 1.0, image by image; each is named by its number in its part.

    Parameters
    ----------
    source : Path
        An ``.npz`` file or a folder of them, with train or test in their names. Files with
        val in theirs are left out.
    cells : str
        "whole" or "nucleus": which of the two labels is the truth.
    platforms : sequence of str
        Names in ``platform_list``, upper or lower case: images of others are left out. None
        leaves out none.

    Raises
    ------
    ImPartialError
        If no such file is found, one is of another layout, or there is no image of a
        platform.
    """
    files = _files_below(source, "*.npz") if source.is_dir() else [source]
    files = [file for file in files if part_of(file.stem) != "validation"]
    if not files:
        raise ImPartialError(f"{source} holds no .npz file of TissueNet (train or test).")
    # A part may come in several files, and what does not say its part may end up in either.
    apart = all(part_of(file.stem) for file in files)
    read = Counter[str]()
    wanted = {platform.casefold() for platform in platforms}
    seen: dict[str, str] = {}
    for file in files:
        of_image = _platforms(file) if wanted else None
        part = part_of(file.stem)
        counted = part if apart else ""
        for channels, truth in _read_tissuenet_file(file, CELLS.index(cells)):
            name = f"{read[counted]:05d}"
            read[counted] += 1
            if of_image is not None:
                platform = next(of_image)
                seen.setdefault(platform.casefold(), platform)
                if platform.casefold() not in wanted:
                    continue
            yield AnnotatedImage(part, "", name, channels, TISSUENET_CHANNELS, truth)

    missing = [platform for platform in platforms if platform.casefold() not in seen]
    if missing:
        raise ImPartialError(
            f"{source} holds no image of the platform {missing[0]!r}; choose from "
            f"{', '.join(sorted(seen.values()))}."
        )


def _platforms(file: Path) -> Iterator[str]:
    """Return the platform of each image of an archive."""
    try:
        names = ArrayStream(file, "platform_list")
    except ImPartialError as error:
        raise ImPartialError(
            f"Images cannot be chosen by platform: {str(error).rstrip('.')}; save platform_list "
            "as an array of text, or leave the platform out."
        ) from error
    return (str(name) for name in names)


def _read_tissuenet_file(
    file: Path, which: int
) -> Iterator[tuple[NDArray[Any], NDArray[np.int32]]]:
    """Yield channels and truth of one archive, image by image."""
    images, labels = ArrayStream(file, "X"), ArrayStream(file, "y")
    for name, stream in (("X", images), ("y", labels)):
        if len(stream.shape) != 4 or stream.shape[3] != 2 or stream.shape[:3] != images.shape[:3]:
            raise ImPartialError(
                f"{name} in {file} has the shape {stream.shape}; TissueNet 1.0 has X and y of "
                "one shape (N, H, W, 2)."
            )
    for number, (x, y) in enumerate(zip(images, labels, strict=True)):
        truth = _as_truth(y[..., which], f"y of image {number} in {file}")
        yield np.moveaxis(x, -1, 0), truth


def read_deepliif(source: Path, panels: Sequence[str] = ("ihc",)) -> Iterator[AnnotatedImage]:
    """Read DeepLIIF strips, image by image.

    Parameters
    ----------
    source : Path
        A folder of PNG strips, or of folders of them with train and test in their names.
        Folders with val in theirs are left out.
    panels : sequence of str
        Which of :data:`.dataset.PANELS` become channels: three each for
        ihc and hematoxylin, which are colour pictures, one for the others.

    Raises
    ------
    ImPartialError
        If no strip is found, or one is not six square pictures side by side.
    """
    found = False
    for file in _files_below(source, "**/*.png"):
        part = _part_below(source, file)
        if part == "validation":
            continue
        found = True
        channels, names, truth = _read_strip(file, panels)
        name = "_".join([*file.relative_to(source).parts[:-1], file.stem])
        yield AnnotatedImage(part, "", name, channels, names, truth)
    if not found:
        raise ImPartialError(f"{source} holds no PNG strip of DeepLIIF.")


def _read_strip(
    file: Path, panels: Sequence[str]
) -> tuple[NDArray[np.uint8], tuple[str, ...], NDArray[np.int32]]:
    """Cut a strip into channels and truth."""
    try:
        strip = read_picture(check_file(file)).array
    except ImPartialError:
        raise
    except Exception as error:  # decoders raise whatever comes up in a damaged file
        raise ImPartialError(
            f"{file} cannot be read; it may be truncated or no PNG ({first_line(error)})."
        ) from error
    n = len(DEEPLIIF_PANELS)
    if strip.ndim != 3 or strip.shape[2] < 3 or strip.shape[1] != n * strip.shape[0]:
        raise ImPartialError(
            f"{file} has the shape {strip.shape}; a strip of DeepLIIF is {n} square colour "
            "pictures side by side."
        )
    pictures = dict(zip(DEEPLIIF_PANELS, np.split(strip[..., :3], n, axis=1), strict=True))
    channels: list[NDArray[np.uint8]] = []
    names: list[str] = []
    for panel in panels:
        if panel in _COLOUR_PANELS:
            channels += list(np.moveaxis(pictures[panel], -1, 0))
            names += [f"{panel} {colour}" for colour in ("red", "green", "blue")]
        else:
            # fluorescence, grey or in one false colour: its brightest value is the signal
            channels.append(pictures[panel].max(axis=-1))
            names.append(panel)
    return np.stack(channels), tuple(names), deepliif_cells(pictures["segmentation"])


def deepliif_cells(segmentation: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Turn the segmentation picture of a strip into instance labels.

    Cells are filled with red (marker positive) or blue (negative) and outlined in green;
    each connected piece of filling is a cell, and takes the outline next to it.

    Parameters
    ----------
    segmentation : (Y, X, 3) uint8

    Returns
    -------
    (Y, X) int32
    """
    red, green, blue = (segmentation[..., i].astype(np.int16) for i in range(3))
    outline = (green > 80) & (green >= np.maximum(red, blue))
    filling = (np.maximum(red, blue) > 80) & ~outline
    labels, _ = ndimage.label(filling)
    grown = expand_labels(labels, _WIDEST_OUTLINE_PX)
    return np.where(filling | outline, grown, 0).astype(np.int32)


def read_cpdmfci(source: Path) -> Iterator[AnnotatedImage]:
    """Read CPDMFCI, image by image: TIFF images, each with an ImageJ ROI zip.

    A zip belongs to the image of its own name (also with ``_rois``, ``RoiSet_`` and the
    like) in the same folder of the set, or else to the only image of that name. Images of one
    folder below `source` are a group, since platforms differ in their channels. Folders with val
    in their names are left out.

    Raises
    ------
    ImPartialError
        If no image has a zip, or a name is ambiguous.
    """
    files = [f for f in _files_below(source, "**/*") if _part_below(source, f) != "validation"]
    zips = [file for file in files if file.suffix.lower() == ".zip"]
    found = False
    for file in files:
        outlines = _outlines_of(file, zips) if file.suffix.lower() in TIFF_SUFFIXES else None
        if outlines is None:
            continue
        found = True
        folders = file.relative_to(source).parts[:-1]
        images = read_images(file)
        if len(images) > 1:
            raise ImPartialError(
                f"{file} is a stack of {len(images)} planes; CPDMFCI has single planes."
            )
        kept = [folder for folder in folders if not part_of(folder)]
        yield AnnotatedImage(
            _part_below(source, file),
            kept[0] if kept else "",
            "_".join([*kept[1:], stem(file)]),
            images[0].channels,
            images[0].channel_names,
            read_roi_zip(outlines, images[0].shape, images[0].n_channels),
        )
    if not found:
        raise ImPartialError(
            f"{source} holds no TIFF image with an ImageJ ROI zip of the same name."
        )


def _outlines_of(image: Path, zips: Sequence[Path]) -> Path | None:
    """Find the ROI zip of an image.

    Raises
    ------
    ImPartialError
        If several fit equally well.
    """
    name = stem(image).lower()
    fitting = [z for z in zips if _ROI_WORDS.sub("", stem(z)).lower() == name]
    beside = [z for z in fitting if z.parent == image.parent]
    chosen = beside or fitting
    if len(chosen) > 1:
        raise ImPartialError(
            f"{image} has {len(chosen)} zips of outlines ({', '.join(z.name for z in chosen)}); "
            "leave one."
        )
    return chosen[0] if chosen else None


def _as_truth(values: NDArray[Any], what: str) -> NDArray[np.int32]:
    """Check and copy instance labels."""
    if values.dtype.kind not in "biuf" or not (
        np.isfinite(values).all() and (values >= 0).all() and (values % 1 == 0).all()
    ):
        raise ImPartialError(f"{what} is no instance label image; ids are whole numbers from 0.")
    return values.astype(np.int32)
