"""Sample data: a real picture with scribbles drawn by hand, and procedural tissue."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import Any

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray

from .core.data.image import Image, from_array
from .core.data.scribbles import Scribbles, from_labels
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
    image, scribbles, truth = multiplex_tissue((512, 512), 3)
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
