"""Images and scribbles from files, and how they have to fit each other and a model."""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from napari_impartial.core.errors import ImPartialError, note
from napari_impartial.core.words import count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_impartial.core.data.image import Image
    from napari_impartial.core.data.scribbles import Scribbles
    from napari_impartial.io.content import Stack

_PLANE = re.compile(r" \[((?:[tz]=\d+)(?:, [tz]=\d+)*)\]$")


@dataclass(frozen=True)
class Reading:
    """Options for reading image files; see :func:`.options.add_reading`.

    Attributes
    ----------
    axes : str or None
        Letters of ``TZCYX``; None: from the file.
    channels : list of str or None
        Names or numbers from 0 of the channels to take; None: all.
    channel_names : list of str or None
        What to call these; None: as in the file.
    files_per_image : int
        So many files in a row are the channels of one image.
    level : int
        Of images that are stored at several resolutions; 0 is the finest.
    over_volume : bool
        Intensities of the slices of a volume are scaled alike, and not slice by slice.
    """

    axes: str | None = None
    channels: Sequence[str] | None = None
    channel_names: Sequence[str] | None = None
    files_per_image: int = 1
    level: int = 0
    over_volume: bool = False

    @classmethod
    def of(cls, args: argparse.Namespace) -> Reading:
        """Return what the options of a command say."""
        return cls(args.axes, args.channels, args.channel_names, args.files_per_image, args.level)

    @property
    def chosen(self) -> bool:
        """Return whether the user picked the channels one by one, and gave them no names."""
        return self.channels is not None and self.channel_names is None

    def pick(self, image: Image) -> Image:
        """Return an image of the channels to take, called as the user says."""
        from napari_impartial.core.data.channels import join_channels

        image = image if self.channels is None else image.select(self.channels)
        if self.channel_names is None:
            return image
        return join_channels([image], self.channel_names)

    def groups(self, paths: Sequence[Path]) -> list[tuple[Path, ...]]:
        """Return the files of each image.

        Raises
        ------
        ImPartialError
            If they do not come out even.
        """
        n = self.files_per_image
        if len(paths) % n:
            raise ImPartialError(
                f"{count(len(paths), 'image file')} cannot be {n} for each image; "
                "give the channels of each image in turn, or correct --files-per-image."
            )
        return [tuple(paths[i : i + n]) for i in range(0, len(paths), n)]


@dataclass(frozen=True)
class ImageFile:
    """An image file, or several that are its channels, plane by plane.

    Attributes
    ----------
    name : str
        The file's name without suffixes; results are named after it.
    planes : list of Image
        In order of time points, then slices.
    stack_axes : str
        ``""`` for a single plane, otherwise ``"T"``, ``"Z"`` or ``"TZ"``.
    stack_shape : tuple of int
        Lengths of `stack_axes`.
    file_axes : str
        `stack_axes` in the order of the file, such as ``"ZT"``.
    guessed : bool
        Whether nothing but its shape says what the file's axes are.
    spacing : mapping of str to float
        Size of a step along Z and T, where the file says it.
    """

    path: Path
    name: str
    planes: list[Image]
    stack_axes: str
    stack_shape: tuple[int, ...]
    file_axes: str = ""
    guessed: bool = False
    spacing: Mapping[str, float] = field(default_factory=dict)

    @property
    def stack(self) -> Stack:
        """Its planes in the order of the file."""
        from napari_impartial.io.content import Stack

        lengths = dict(zip(self.stack_axes, self.stack_shape, strict=True))
        return Stack(self.path, self.file_axes, tuple(lengths[a] for a in self.file_axes))


def stem(path: Path) -> str:
    """Name of an image, after its file; reads no file."""
    from napari_impartial.io import stem as stem_of_file

    return stem_of_file(path)


def position(image: Image) -> dict[str, int]:
    """Read from a plane's name where it lies in its stack, such as ``{"z": 3}``."""
    found = _PLANE.search(image.name)
    if not found:
        return {}
    return {part[0]: int(part[2:]) for part in found[1].split(", ")}


def read_image_file(paths: Sequence[Path], reading: Reading | None = None) -> ImageFile:
    """Read an image.

    Parameters
    ----------
    paths : sequence of Path
        Its file, or files with some of its channels each; the first names it.
    reading : Reading, optional

    Raises
    ------
    ImPartialError
        If it is no image, a channel does not exist, or the files do not fit together.
    """
    from napari_impartial.core.data.channels import join_channels
    from napari_impartial.io.images import open_image

    reading = reading or Reading()
    files = [open_image(path, axes=reading.axes, level=reading.level) for path in paths]
    parts = [file.planes for file in files]
    for path, file in zip(paths, files, strict=True):
        if not file.stack.same_planes(files[0].stack):
            raise ImPartialError(
                f"{path} has {file.stack.describe()}, {paths[0]} has {files[0].stack.describe()}; "
                "files that are channels of one image need the same planes."
            )
    planes = [reading.pick(join_channels(images)) for images in zip(*parts, strict=True)]
    # What a single plane's name ends in is its file's name.
    places = [position(plane) for plane in planes] if len(planes) > 1 else [{}]
    letters = [letter for letter in "tz" if letter in places[0]]
    shape = tuple(1 + max(place[letter] for place in places) for letter in letters)
    if reading.over_volume and "z" in letters:
        from napari_impartial.core.data.image import with_samples

        # Time point after time point, by the slices of each.
        n = shape[letters.index("z")]
        volumes = (planes[start : start + n] for start in range(0, len(planes), n))
        planes = [plane for volume in volumes for plane in with_samples(volume)]
    return ImageFile(
        paths[0],
        stem(paths[0]),
        planes,
        "".join(letters).upper(),
        shape,
        files[0].stack.axes,
        any(file.guessed for file in files),
        files[0].spacing,
    )


def fit_channels(
    image: Image, names: Sequence[str], reading: Reading, other: str, guessed: bool = False
) -> Image:
    """Return `image` with the channels that a model was trained on, in their order.

    Parameters
    ----------
    image : Image
        What was read.
    names : sequence of str
        Channel names of the model, or of the first training image.
    reading : Reading
        Where the user picked the channels, only their number is checked.
    other : str
        The other side and its verb, for the message.
    guessed : bool
        Whether nothing but the shape of the image's file says that these are its channels.

    Raises
    ------
    ImPartialError
        If number or names of the channels do not fit.
    """
    from napari_impartial.core.data.channels import match_channels

    advice = "pick as many in the same order with --channels, or name them with --channel-names"
    if guessed and image.n_channels > len(names) and not reading.chosen:
        letters = "ZYX" if len(names) == 1 else "ZCYX"
        advice = f"if these are slices and not channels, say --axes {letters}; otherwise {advice}"
    places = match_channels(
        image.channel_names, names, image.name, other, advice, by_name=not reading.chosen
    )
    return image.select(places)


def read_scribbles(
    path: Path,
    image: ImageFile,
    partial_masks: bool | None = None,
    axes: str | None = None,
    level: int = 0,
    kinds: Sequence[str] = (),
) -> list[Scribbles]:
    """Read the annotation of an image file, one for each of its planes.

    Parameters
    ----------
    path : Path
        A label image (0 not annotated, 1 background, 2 and up foreground classes), or an
        ImageJ ROI zip or GeoJSON file of some whole cells.
    image : ImageFile
        The image that it belongs to.
    partial_masks : bool, optional
        Label images hold some whole cells, each with an id of its own. None: they should not,
        and are refused if they look like it.
    axes : str, optional
        Axes of the image as the user gave them; those of labels whose file does not say are the
        image's.
    level : int
        Of labels that are stored at several resolutions.
    kinds : sequence of str
        Names of the kinds of cell, in the order of their labels from 2 on: what classes of
        outlined cells are painted with.

    Raises
    ------
    ImPartialError
        If it cannot be read or does not fit the image.
    """
    from napari_impartial.core.data.mask_scribbles import from_instances
    from napari_impartial.core.data.scribbles import from_labels
    from napari_impartial.io.labels import open_labels
    from napari_impartial.io.ome_zarr import is_zarr
    from napari_impartial.io.region_files import is_regions

    if is_regions(path):
        return _read_regions(path, image, kinds)

    labels = open_labels(path, level if is_zarr(path) else 0)
    letters = (axes or "").upper()
    if 0 <= letters.find("X") < letters.find("Y"):
        labels = dataclasses.replace(labels, array=labels.array.swapaxes(-1, -2))
    try:
        planes = labels.planes_of(image.stack)
    except ImPartialError as error:
        count = labels.array.shape[0] if labels.array.ndim == 3 else 0
        if image.guessed and len(image.planes) == 1 and count == image.planes[0].n_channels:
            raise ImPartialError(
                f"{path} has {count} planes and {image.path} was taken for one plane of {count} "
                "channels, since it does not say what its axes are; if these are slices, say "
                "--axes ZYX."
            ) from None
        raise ImPartialError(f"{error}") from None
    shape = image.planes[0].shape
    _check_kind(path, planes, partial_masks)
    try:
        if partial_masks:
            for plane in planes:
                from_labels((plane > 0).astype("uint8"), shape)  # the check of the grid only
            return [from_instances(plane) for plane in planes]
        return [from_labels(plane, shape) for plane in planes]
    except ImPartialError as error:
        raise ImPartialError(f"{path}: {error}") from None


def _check_kind(
    path: Path, planes: Sequence[NDArray[np.int32]], partial_masks: bool | None
) -> None:
    """Refuse cells that would be taken for strokes, and strokes for cells, unless so told.

    Raises
    ------
    ImPartialError
        Naming the option.
    """
    from napari_impartial.core.data.label_kinds import looks_like_cells, looks_like_strokes

    painted = [plane for plane in planes if plane.any()]
    if partial_masks is None and any(map(looks_like_cells, painted)):
        raise ImPartialError(
            f"{path} looks like outlined cells with a number each and not like strokes (1 "
            "background, 2 cells); say --partial-masks, or --no-partial-masks if they are strokes."
        )
    if partial_masks and any(map(looks_like_strokes, painted)):
        raise ImPartialError(
            f"{path} looks like strokes (1 background, 2 cells) and not like outlined cells with a "
            "number each; leave --partial-masks out, or give each cell a number of its own."
        )


def _read_regions(path: Path, image: ImageFile, kinds: Sequence[str]) -> list[Scribbles]:
    """Read outlined cells as scribbles, plane by plane."""
    from napari_impartial.core.data.scribbles import Scribbles
    from napari_impartial.io.region_files import read_regions, scribbles_of

    first = image.planes[0]
    labels = scribbles_of(
        path,
        read_regions(path),
        first.shape,
        image.stack_axes,
        image.stack_shape,
        first.n_channels,
        kinds,
    )
    return [Scribbles(plane) for plane in labels.reshape(-1, *first.shape)]


def read_training_files(
    images: Sequence[Path],
    scribbles: Sequence[Path],
    reading: Reading | None = None,
    partial_masks: bool | None = None,
    kinds: Sequence[str] = (),
) -> tuple[list[Image], list[Scribbles]]:
    """Read images with their scribbles, and check that there is something to learn.

    Returns
    -------
    list of Image, list of Scribbles
        All planes of all files, in order; of stacks those that are painted on.

    Raises
    ------
    ImPartialError
        If their numbers, shapes or channels do not fit, or a class is missing.
    """
    from napari_impartial.core.data.scribbles import check_trainable

    reading = reading or Reading()
    groups = reading.groups(images)
    check_one_each(groups, scribbles)
    all_images: list[Image] = []
    all_scribbles: list[Scribbles] = []
    for paths, scribbles_path in zip(groups, scribbles, strict=True):
        file = read_image_file(paths, reading)
        painted = read_scribbles(
            scribbles_path, file, partial_masks, reading.axes, reading.level, kinds
        )
        for plane, labels in zip(file.planes, painted, strict=True):
            if len(painted) > 1 and not labels.labels.any():
                continue  # planes of a stack that nobody has painted on, as in the window
            all_scribbles.append(labels)
            names = (all_images or [plane])[0].channel_names
            all_images.append(
                fit_channels(plane, names, reading, "the first image has", file.guessed)
            )
    check_trainable(all_scribbles)
    for image in all_images:
        say_blank(image)
    return all_images, all_scribbles


def say_blank(image: Image) -> None:
    """Name the channels of an image that hold one value only.

    Raises
    ------
    ImPartialError
        If all do.
    """
    from napari_impartial.core.data.image import check_content

    blank = check_content(image)
    if blank:
        note(f"{image.name} holds one value everywhere in {', '.join(blank)}; it tells nothing.")


def check_classes(drawn: Path, highest: int, model: Path, class_names: Sequence[str]) -> None:
    """Refuse strokes of a class that the model does not know; `highest` is their highest label.

    Raises
    ------
    ImPartialError
    """
    known = len(class_names)
    if highest > known:
        raise ImPartialError(
            f"{drawn} holds label {highest}, and {model} knows {known} classes "
            f"({', '.join(class_names)}); paint cells with the labels of these, 2 to {known}."
        )


def check_one_each(images: Sequence[object], scribbles: Sequence[Path]) -> None:
    """Refuse another number of scribble files than of images.

    Raises
    ------
    ImPartialError
        With both numbers.
    """
    if len(images) != len(scribbles):
        raise ImPartialError(
            f"{count(len(images), 'image')} but {count(len(scribbles), 'scribble file')}; "
            "give one scribble file for each image, in the same order."
        )


def check_distinct(names: Sequence[str]) -> None:
    """Refuse inputs whose results would overwrite each other.

    Raises
    ------
    ImPartialError
        Naming the first name that occurs twice.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ImPartialError(
                f"Two inputs are called {name}, and their results would overwrite each other; "
                f"rename one, or run twice with different --out."
            )
        seen.add(name)


def check_not_inputs(outputs: Iterable[Path], inputs: Iterable[Path], option: str) -> None:
    """Refuse to write over a file that is read.

    Raises
    ------
    ImPartialError
        Naming the first such output, and the `option` that says where it goes.
    """
    read = list(inputs)
    for output in outputs:
        if any(_same_file(output, path) for path in read):
            raise ImPartialError(
                f"{output} is among the files to read and would be overwritten; "
                f"choose another {option}."
            )


def _same_file(one: Path, other: Path) -> bool:
    """Tell whether two paths lead to one file, which need not exist yet."""
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    # names that differ in case only, and hard links, are found by the file itself
    return one.exists() and other.exists() and one.samefile(other)
