"""Sample data."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage

from napari_impartial import samples
from napari_impartial.core.data.scribbles import check_trainable
from napari_impartial.core.errors import ImPartialError


def test_immunohistochemistry() -> None:
    image, scribbles = samples.immunohistochemistry()
    assert image.name == "immunohistochemistry"
    assert image.channel_names == ("red", "green", "blue")
    assert image.channels.shape == (3, 512, 512)
    assert image.channels.max() > 200
    assert scribbles.shape == image.shape
    assert check_trainable([scribbles]) == 2
    assert scribbles.strokes() == {1: 26, 2: 27}


def test_the_strokes_lie_where_they_should() -> None:
    image, scribbles = samples.immunohistochemistry()
    red, green, blue = image.channels
    blueness, brightness = blue - red, (red + green + blue) / 3
    counts = {"nucleus": 0, "brown": 0, "white": 0}
    for label in (1, 2):
        strokes, n = ndimage.label(scribbles.labels == label, np.ones((3, 3)))
        of_each = np.arange(1, n + 1)
        for blue_mean, bright_mean in zip(
            ndimage.mean(blueness, strokes, of_each),
            ndimage.mean(brightness, strokes, of_each),
            strict=True,
        ):
            # nuclei are bluish and dark; the rest is brown, or white
            found = "white" if bright_mean > 195 else "brown" if blue_mean < -30 else "nucleus"
            assert (found == "nucleus") == (label == 2)
            counts[found] += 1
    assert counts["nucleus"] == 27
    assert min(counts.values()) >= 8, "epithelium and stroma are both background"
    nuclei, rest = scribbles.labels == 2, scribbles.labels == 1
    # in several spots: strokes of each class in seven or more of the sixteen squares
    for mask in (nuclei, rest):
        rows, columns = np.nonzero(mask)
        assert len({(y // 128, x // 128) for y, x in zip(rows, columns, strict=True)}) >= 7


def test_multiplex_tissue() -> None:
    image, scribbles, truth = samples.multiplex_tissue((128, 96), 4, seed=1, fraction=0.3)
    assert image.channels.shape == (4, 128, 96)
    annotated = np.unique(truth[scribbles.labels == 2])
    assert len(annotated) == round(0.3 * truth.max())
    with pytest.raises(ImPartialError):
        samples.multiplex_tissue((128, 96), 0)


def test_layers_of_the_picture() -> None:
    layers = samples.immunohistochemistry_layers()
    (picture, options, kind), (scribbles, scribble_options, scribble_kind) = layers
    assert kind, options == ("image", {"name": "immunohistochemistry", "rgb": True})
    assert picture.shape == (512, 512, 3)
    assert picture.dtype == np.uint8
    assert scribble_kind == "labels"
    assert scribble_options["name"] == "scribbles [immunohistochemistry]"
    assert scribbles.shape == (512, 512)


def test_layers_of_the_tissue() -> None:
    layers = samples.multiplex_tissue_layers()
    names = [options["name"] for _, options, _ in layers]
    assert names == ["nucleus", "membrane", "marker 1", "truth [nucleus]", "scribbles [nucleus]"]
    assert [kind for _, _, kind in layers] == ["image"] * 3 + ["labels"] * 2
    assert {data.shape for data, _, _ in layers} == {(512, 512)}
    assert set(np.unique(layers[-1][0])) == {0, 1, 2}


def test_painting_on_a_sample_does_not_change_the_next_one() -> None:
    layers = samples.immunohistochemistry_layers()
    layers[1][0][:] = 7
    assert samples.immunohistochemistry_layers()[1][0].max() == 2


def test_samples_import_neither_napari_nor_torch() -> None:
    code = (
        "import sys, napari_impartial.samples as s; s.immunohistochemistry_layers();"
        "print(sorted({'napari', 'qtpy', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_strokes_of_the_tissue_are_short_and_few_and_right() -> None:
    *_, (truth, _, _), (strokes, _, _) = samples.multiplex_tissue_layers()
    pieces, n = ndimage.label(strokes > 0)
    for piece in ndimage.find_objects(pieces):
        assert max(part.stop - part.start for part in piece) <= 13
    assert n <= 30
    assert (truth[strokes == 2] > 0).all()
    assert (truth[strokes == 1] == 0).all()
    assert len(np.unique(truth[strokes == 2])) >= 10, "each in a cell of its own"
