"""Data sets on disk: ``SET/{train,test}/NAME.tif`` with scribbles and truth beside them.

Strokes of another style than outlines lie in a folder of their own, ``SET/STYLE``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_impartial.core.config import STROKE_STYLES
from napari_impartial.core.errors import ImPartialError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_impartial.core.data.image import Image
    from napari_impartial.core.data.scribbles import Scribbles
    from napari_impartial.io.images import ImagePlanes

CELLS = ("whole", "nucleus")
"""What TissueNet has the masks of."""
PANELS = ("ihc", "hematoxylin", "dapi", "lap2", "marker")
"""The pictures of a DeepLIIF strip, from left to right, but the last, the segmentation."""

_COMPANION = re.compile(r"_(truth|scribbles\d+)$")
_SUFFIXES = (".tif", ".tiff")


@dataclass(frozen=True)
class Sample:
    """Files of one image: the image, its truth and its scribbles (of one style) by percent."""

    name: str
    image: Path
    truth: Path | None
    scribbles: dict[int, Path]


@dataclass(frozen=True)
class DataSet:
    """A folder with training and test images, and the style of the strokes in use."""

    name: str
    folder: Path
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    style: str = STROKE_STYLES[0]


def open_data_set(folder: str | os.PathLike[str], style: str = STROKE_STYLES[0]) -> DataSet:
    """List the files of a data set and check that they are complete.

    Parameters
    ----------
    folder : path
    style : str
        Of :data:`~napari_impartial.core.config.STROKE_STYLES`: scribbles are those of
        ``train/``, or of another style those of the folder of its name.

    Raises
    ------
    ImPartialError
        If the folder, its training or its test images are missing, a training image has
        neither scribbles nor truth, or a test image no truth.
    """
    path = Path(folder)
    if not path.is_dir():
        raise ImPartialError(f"There is no folder {folder}; name a data set's folder.")
    strokes = strokes_folder(path, style)
    parts = {"train": samples_in(path / "train", strokes), "test": samples_in(path / "test")}
    for part, samples in parts.items():
        if not samples:
            raise ImPartialError(
                f"{path / part} holds no image; a data set is a folder with "
                "train/NAME.tif and test/NAME.tif, and NAME_truth.tif beside them."
            )
    for sample in parts["train"]:
        if not sample.scribbles and sample.truth is None:
            raise ImPartialError(
                f"{sample.image} has neither scribbles "
                f"({strokes.name}/{sample.name}_scribbles10.tif) nor truth "
                f"({sample.name}_truth.tif) beside it."
            )
    for sample in parts["test"]:
        if sample.truth is None:
            raise ImPartialError(
                f"{sample.image} has no truth ({sample.name}_truth.tif) beside it."
            )
    # resolve() gives "." and ".." a name
    return DataSet(path.resolve().name, path, parts["train"], parts["test"], style)


def open_data_sets(folders: Sequence[Path], style: str = STROKE_STYLES[0]) -> list[DataSet]:
    """List the files of the data sets of one experiment.

    Raises
    ------
    ImPartialError
        As :func:`open_data_set`, and if two have one name, by which results are told apart.
    """
    by_name: dict[str, DataSet] = {}
    for folder in folders:
        data = open_data_set(folder, style)
        other = by_name.setdefault(data.name, data)
        if other is not data:
            raise ImPartialError(
                f"{other.folder} and {folder} are both called {data.name}, and their results "
                "would be taken for one data set's; rename one of the folders, or leave one out."
            )
    return list(by_name.values())


def strokes_folder(folder: Path, style: str) -> Path:
    """Return where a data set has its strokes of a style: outlines beside the images."""
    return folder / ("train" if style == STROKE_STYLES[0] else style)


def samples_in(folder: Path, strokes: Path | None = None) -> tuple[Sample, ...]:
    """Return the images of a folder, in the order of their names.

    Parameters
    ----------
    folder : Path
    strokes : Path, optional
        Where the scribbles lie, by default beside the images.
    """
    files = _tiff_files(folder)
    painted = files if strokes is None else _tiff_files(strokes)
    samples = []
    for stem, file in files.items():
        if _COMPANION.search(stem):
            continue
        pattern = re.compile(re.escape(stem) + r"_scribbles(\d+)")
        scribbles = {
            int(match[1]): other
            for other_stem, other in painted.items()
            if (match := pattern.fullmatch(other_stem))
        }
        samples.append(Sample(stem, file, files.get(f"{stem}_truth"), scribbles))
    return tuple(samples)


def _tiff_files(folder: Path) -> dict[str, Path]:
    """List the TIFF files of a folder by name; none if there is no such folder."""
    if not folder.is_dir():
        return {}
    return {
        file.stem: file
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".")
    }


def percent_available(data: DataSet, percent: int) -> None:
    """Check that scribbles of so many percent exist or can be simulated.

    Raises
    ------
    ImPartialError
        If a training image has neither scribbles of that percentage nor truth.
    """
    for sample in data.train:
        if percent not in sample.scribbles and sample.truth is None:
            raise ImPartialError(
                f"{sample.image} has no {sample.name}_scribbles{percent}.tif of the style "
                f"{data.style} and no truth to simulate scribbles from."
            )


def read_with_labels(
    image_file: Path, label_file: Path, image: ImagePlanes | None = None
) -> list[tuple[Image, NDArray[np.int32]]]:
    """Read an image, unless it is read already, and labels on the same grid, plane by plane.

    Raises
    ------
    ImPartialError
        If a file cannot be read or the two do not fit.
    """
    from napari_impartial.io.images import open_image
    from napari_impartial.io.labels import open_labels

    image = image or open_image(image_file)
    planes = open_labels(label_file).planes_of(image.stack)
    if any(one.shape != plane.shape for one, plane in zip(image.planes, planes, strict=True)):
        raise ImPartialError(f"{image_file} and {label_file} do not lie on the same grid.")
    return list(zip(image.planes, planes, strict=True))


def check_files(data: DataSet, percents: Sequence[int], truths: bool = False) -> None:
    """Read every file that runs will read, so that none fails hours later.

    Whole files, one image at a time: pixels that are missing show in no header, and a set is
    read in less time than a single run takes.

    Parameters
    ----------
    data : DataSet
    percents : sequence of int
        Percentages of scribbles that are trained with.
    truths : bool
        Whether the truth of training images is needed besides.

    Raises
    ------
    ImPartialError
        If a file is missing or cannot be read, labels do not fit their image, or no truth that
        cells are taken from holds any.
    """
    from napari_impartial.core.data.scribbles import from_labels
    from napari_impartial.io.images import open_image

    for percent in percents:
        percent_available(data, percent)
    if truths:
        check_truths(data)
    simulated = [p for p in percents if not any(p in sample.scribbles for sample in data.train)]
    cells = False
    for sample in data.train:
        scribbles = {p: sample.scribbles[p] for p in percents if p in sample.scribbles}
        image = open_image(sample.image)
        for file in scribbles.values():
            for plane, labels in read_with_labels(sample.image, file, image):
                try:
                    from_labels(labels, plane.shape)
                except ImPartialError as error:
                    raise ImPartialError(f"{file}: {error}") from None
        if sample.truth is not None and (truths or len(scribbles) < len(percents)):
            planes = read_with_labels(sample.image, sample.truth, image)
            cells = cells or any(truth.any() for _, truth in planes)
    if (truths or simulated) and not cells:
        raise no_cell([sample.truth for sample in data.train if sample.truth is not None])
    for sample in data.test:
        if sample.truth is not None:
            read_with_labels(sample.image, sample.truth)


def labels_of_others(data: DataSet, folder: Path) -> list[NDArray[np.int32]]:
    """Read another program's labels of all test images, plane by plane.

    Parameters
    ----------
    data : DataSet
    folder : Path
        With one TIFF file for each test image: of its name, or of its name with an underscore
        and more, such as ``NAME_labels.tif``.

    Raises
    ------
    ImPartialError
        If an image has none, or several, or they do not lie on its grid.
    """
    files = _tiff_files(folder)
    names = {sample.name for sample in data.test}
    planes: list[NDArray[np.int32]] = []
    for sample in data.test:
        longer = [
            stem for stem in files if stem.startswith(f"{sample.name}_") and stem not in names
        ]
        found = [sample.name] if sample.name in files else longer
        if len(found) != 1:
            raise ImPartialError(
                f"{folder} has {len(found) or 'no'} label images of {sample.name}; it takes one "
                f"for each test image, called {sample.name}.tif."
            )
        planes += [labels for _, labels in read_with_labels(sample.image, files[found[0]])]
    return planes


def no_cell(truths: Sequence[Path]) -> ImPartialError:
    """Return the complaint that none of these truths holds a cell."""
    others = ", nor do the other truths" if len(truths) > 1 else ""
    return ImPartialError(f"{truths[0]} holds no cell{others}, so there is nothing to annotate.")


def check_truths(data: DataSet) -> None:
    """Refuse a data set without the truth of its training images.

    Raises
    ------
    ImPartialError
        Naming the first image without.
    """
    for sample in data.train:
        if sample.truth is None:
            raise ImPartialError(
                f"{sample.image} has no truth ({sample.name}_truth.tif) beside it, from which "
                "the annotated cells are taken."
            )


def training_part(data: DataSet, percent: int, seed: int) -> tuple[list[Image], list[Scribbles]]:
    """Read all training images with scribbles of so many percent of the cells.

    Scribbles are read where ``NAME_scribblesP.tif`` exists, and simulated from the truth
    with `seed`, in the set's style, elsewhere; planes without a cell stay blank.
    """
    import numpy as np

    from napari_impartial.core.data.scribbles import Scribbles, from_labels

    from .simulated_annotator import first_strokes

    percent_available(data, percent)
    images: list[Image] = []
    scribbles: list[Scribbles] = []
    for sample in data.train:
        file = sample.scribbles.get(percent)
        source = file or sample.truth
        assert source is not None  # percent_available has seen to it
        for image, labels in read_with_labels(sample.image, source):
            images.append(image)
            if file is not None:
                scribbles.append(from_labels(labels, image.shape))
            elif labels.any():
                at = (seed, len(scribbles))
                scribbles.append(first_strokes(labels, percent, at, data.style)[0])
            else:
                scribbles.append(Scribbles(np.zeros(image.shape, np.uint8)))
    return images, scribbles


def samples_with_truth(
    samples: Sequence[Sample],
) -> list[tuple[Image, NDArray[Any]]]:
    """Read images with their truth; samples without truth are left out."""
    pairs: list[tuple[Image, NDArray[Any]]] = []
    for sample in samples:
        if sample.truth is not None:
            pairs.extend(read_with_labels(sample.image, sample.truth))
    return pairs
