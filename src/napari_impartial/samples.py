"""Sample data: a real picture with scribbles drawn by hand, and procedural tissue."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import Any

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .core.data.image import Image, from_array
from .core.data.scribbles import BACKGROUND, FOREGROUND, Scribbles, from_labels
from .core.data.synthetic_tissue import tissue

LayerData = tuple[Any, dict[str, Any], str]

_SCRIBBLES_FILE = "ihc_scribbles.png"
_COLORMAPS = ("blue", "green", "red", "magenta", "cyan", "yellow")


def immunohistochemistry() -> tuple[Image, Scribbles]:
    """Return scikit-image's picture of stained colon tissue with scribbles for the nuclei.

    The epithelium is brown (DAB), all nuclei are blue (hematoxylin). The scribbles were
    drawn by hand: strokes in 27 nuclei of epithelium and stroma, and 26 in the
    background, among them along membranes between neighbouring cells.

    Returns
    -------
    image : Image
        "red", "green" and "blue", 512 x 512, 0 to 255; no file is downloaded.
    scribbles : Scribbles
    """
    # imported here, since it looks for pooch and other things that reading needs not
    from skimage import data

    image = from_array(data.immunohistochemistry(), "YXC", name="immunohistochemistry", colour=True)
    with as_file(files(__package__) / "data" / _SCRIBBLES_FILE) as path:
        labels = iio.imread(path)
    return image, from_labels(labels, image.shape)


def multiplex_tissue(
    shape: tuple[int, int] = (256, 256),
    n_channels: int = 3,
    seed: int = 0,
    fraction: float = 0.1,
) -> tuple[Image, Scribbles, NDArray[np.int32]]:
    """Return procedural tissue, scribbles in some of its cells, and the truth.

    Parameters
    ----------
    shape
        Rows and columns.
    n_channels
        1 or more; see :func:`napari_impartial.core.data.synthetic_tissue.tissue`.
    seed
        The same arguments give the same tissue and scribbles.
    fraction
        Share of the cells that are annotated.

    Returns
    -------
    image : Image
    scribbles : Scribbles
    truth : ndarray
        (Y, X) int32, 0 background, 1 ... N cells.

    Raises
    ------
    ImPartialError
        If an argument is out of bounds, or the tissue so small that no cell lies in it.
    """
    made = tissue(shape, n_channels, seed=seed)
    return made.image, made.scribbles(fraction, seed), made.truth


def short_strokes(truth: NDArray[np.int32], n_cells: int = 14, seed: int = 0) -> Scribbles:
    """Return what a person paints to begin with: a short stroke in some cells, and between them.

    Parameters
    ----------
    truth
        (Y, X), 0 background, 1 ... N cells.
    n_cells
        How many cells have a stroke; as many strokes lie in the background, close to cells.
    seed
        The same arguments give the same strokes.

    Returns
    -------
    Scribbles
        Strokes 3 pixels wide and at most 13 long.
    """
    rng = np.random.default_rng(seed)
    labels = np.zeros(truth.shape, dtype=np.uint8)
    for inside, label in ((truth > 0, FOREGROUND), (truth == 0, BACKGROUND)):
        depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
        # In the middle of cells; of the background, where it is narrow, or at the edge of it.
        rows, columns = np.nonzero(depth >= 4 if label == FOREGROUND else (depth > 2) & (depth < 5))
        taken: set[int] = set()
        free = np.ones(truth.shape, dtype=bool)
        for at in rng.permutation(len(rows)):
            y, x = int(rows[at]), int(columns[at])
            if len(taken) == n_cells:
                break
            if not free[y, x] or (label == FOREGROUND and int(truth[y, x]) in taken):
                continue
            taken.add(int(truth[y, x]) if label == FOREGROUND else -len(taken) - 1)
            # Well apart: places that differ teach more than many that are alike.
            free[max(0, y - 40) : y + 40, max(0, x - 40) : x + 40] = False
            _stroke(labels, depth >= 2, (y, x), rng.uniform(0, np.pi), label)
    return from_labels(labels, labels.shape)  # type: ignore[arg-type]


def _stroke(
    labels: NDArray[np.uint8],
    allowed: NDArray[np.bool_],
    middle: tuple[int, int],
    angle: float,
    label: int,
) -> None:
    """Paint along a line, to both sides of its middle as far as it is allowed."""
    for side in (1, -1):
        for step in range(6):
            y = round(middle[0] + side * step * np.sin(angle))
            x = round(middle[1] + side * step * np.cos(angle))
            if not (0 <= y < labels.shape[0] and 0 <= x < labels.shape[1]) or not allowed[y, x]:
                break
            labels[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = label


def immunohistochemistry_layers() -> list[LayerData]:
    """Return the stained picture as napari layers: an RGB image and its scribbles."""
    image, scribbles = immunohistochemistry()
    picture = np.moveaxis(image.channels, 0, -1).astype(np.uint8)
    return [
        (picture, {"name": image.name, "rgb": True}, "image"),
        _scribble_layer(scribbles, image.name),
    ]


def multiplex_tissue_layers() -> list[LayerData]:
    """Return procedural tissue as napari layers: an image a channel, truth, scribbles.

    A layer a channel, each in its colour, shows all channels at once, where a single
    layer would hide them behind a slider. An image of several layers is named after the
    first one, and so are its scribbles.
    """
    image, _, truth = multiplex_tissue((512, 512), 3)
    scribbles = short_strokes(truth)
    layers: list[LayerData] = []
    for position, (channel, name) in enumerate(
        zip(image.channels, image.channel_names, strict=True)
    ):
        low, high = (float(v) for v in np.percentile(channel, (1, 99.8)))
        options = {
            "name": name,
            "colormap": _COLORMAPS[position % len(_COLORMAPS)],
            "blending": "additive",
            "contrast_limits": (low, high),
        }
        layers.append((channel, options, "image"))
    first = image.channel_names[0]
    layers.append((truth, {"name": f"truth [{first}]", "visible": False}, "labels"))
    layers.append(_scribble_layer(scribbles, first))
    return layers


def _scribble_layer(scribbles: Scribbles, name: str) -> LayerData:
    """Return scribbles as a layer that can be painted on."""
    return scribbles.labels.copy(), {"name": f"scribbles [{name}]"}, "labels"
