"""Channels on the command line: files as channels, names given, names found, stacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_impartial.cli.inputs import (
    Reading,
    position,
    read_image_file,
    read_training_files,
)
from napari_impartial.cli.main import main
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.network.model_card import read_card
from napari_impartial.io import write_tiff

from .conftest import FEW, Files, Trained


@pytest.fixture
def two_files(files: Files, tmp_path: Path) -> list[Path]:
    """Return the training image as one file a channel."""
    paths = [tmp_path / "a_nuc.tif", tmp_path / "a_mem.tif"]
    for path, channel in zip(paths, files.train.image.channels, strict=True):
        write_tiff(path, channel, "YX")
    return paths


def test_files_become_channels_with_names(
    files: Files, two_files: list[Path], tmp_path: Path
) -> None:
    model = tmp_path / "m.impartial"
    arguments = [
        "train", *two_files, "--files-per-image", 2, "--channel-names", "nucleus", "outer edge",
        "--scribbles", files.scribbles, "--model", model, *FEW,
    ]  # fmt: skip
    assert main([str(word) for word in arguments]) == 0
    assert read_card(model).channel_names == ("nucleus", "outer edge")
    # On a file that carries the names in another order they are found.
    swapped = tmp_path / "swapped.ome.tif"
    write_tiff(swapped, files.train.image.channels[::-1], "CYX", ("outer edge", "nucleus"))
    for out, given in (("one", [swapped]), ("two", [*two_files, "--files-per-image", 2])):
        arguments = ["predict", *given, "--model", model, "--out", tmp_path / out, "--samples", 1]
        assert main([str(word) for word in arguments]) == 0
    np.testing.assert_array_equal(
        tifffile.imread(tmp_path / "one" / "swapped_probability.tif"),
        tifffile.imread(tmp_path / "two" / "a_nuc_probability.tif"),
    )


def test_a_mismatch_is_said_before_anything_runs(
    trained: Trained, files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "b.tif"
    write_tiff(other, files.test.image.channels, "CYX", ("nucleus", "CD8"))
    arguments = ["predict", str(other), "--model", str(trained.path)]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "b has no channel membrane; it has 2 channels (nucleus, CD8)" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
    # Giving it the name is enough.
    arguments += ["--samples", "1", "--channel-names", "nucleus", "membrane"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0


def test_names_of_imagej_files_are_used(tmp_path: Path) -> None:
    path = tmp_path / "ij.tif"
    array = np.zeros((2, 20, 30), np.uint16)
    tifffile.imwrite(path, array, imagej=True, metadata={"axes": "CYX", "Labels": ["DAPI", "CD8"]})
    assert read_image_file([path]).planes[0].channel_names == ("DAPI", "CD8")


def test_uneven_files_are_told(two_files: list[Path]) -> None:
    with pytest.raises(ImPartialError, match="3 image files cannot be 2 for each image"):
        Reading(files_per_image=2).groups([*two_files, two_files[0]])
    with pytest.raises(ImPartialError, match="1 image but 2 scribble files"):
        read_training_files(two_files, two_files, Reading(files_per_image=2))


# Planes that show something: those of one value are refused.
_COLUMNS = 10 * np.arange(30, dtype=np.uint8) * np.ones((20, 1), np.uint8)


@pytest.mark.parametrize(("axes", "shape"), [("TZCYX", (2, 3, 1)), ("ZTCYX", (3, 2, 1))])
def test_scribbles_lie_on_the_planes_of_their_image(
    tmp_path: Path, axes: str, shape: tuple[int, ...]
) -> None:
    image = np.arange(6, dtype=np.uint8).reshape(*shape, 1, 1) + _COLUMNS
    labels = np.zeros((*shape, 20, 30), np.uint8)
    first, second = axes[:2].index("T"), axes[:2].index("Z")
    at = [0, 0]
    at[first], at[second] = 1, 0  # no place that another order leaves where it is
    labels[tuple(at)][0, 5, :9], labels[tuple(at)][0, 9, :9] = 1, 2
    np.save(tmp_path / "a.npy", image)
    np.save(tmp_path / "s.npy", labels)
    images, scribbles = read_training_files(
        [tmp_path / "a.npy"], [tmp_path / "s.npy"], Reading(axes=axes)
    )
    painted = [i for i, one in enumerate(scribbles) if one.labels.any()]
    assert [position(images[i]) for i in painted] == [{"t": 1, "z": 0}]
    assert images[painted[0]].channels[0, 0, 0] == image[tuple(at)][0, 0, 0]


@pytest.mark.parametrize("given", [None, "ZTCYX"])
@pytest.mark.parametrize("stated", ["ZTYX", "TZYX"])
def test_scribbles_whose_file_says_their_order_are_taken_at_its_word(
    tmp_path: Path, given: str | None, stated: str
) -> None:
    image = np.arange(6, dtype=np.uint8).reshape(3, 2, 1, 1) + _COLUMNS
    labels = np.zeros((2, 3, 20, 30), np.uint8)
    labels[1, 0, 5, :9], labels[1, 0, 9, :9] = 1, 2
    write_tiff(tmp_path / "a.tif", image[:, :, None], "ZTCYX")
    stack = labels.swapaxes(0, 1) if stated == "ZTYX" else labels
    write_tiff(tmp_path / "s.tif", stack, stated)
    images, scribbles = read_training_files(
        [tmp_path / "a.tif"], [tmp_path / "s.tif"], Reading(axes=given)
    )
    (painted,) = (i for i, one in enumerate(scribbles) if one.labels.any())
    assert position(images[painted]) == {"t": 1, "z": 0}
    assert images[painted].channels[0, 0, 0] == image[0, 1, 0, 0]


def test_as_many_planes_of_another_stack_are_told(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", np.zeros((3, 2, 20, 30), np.uint8), "TZYX")
    write_tiff(tmp_path / "s.tif", np.zeros((2, 3, 20, 30), np.uint8), "TZYX")
    with pytest.raises(
        ImPartialError, match=r"has 2 time points of 3 slices, .* has 3 time points of 2 slices"
    ):
        read_training_files([tmp_path / "a.tif"], [tmp_path / "s.tif"])


def test_channels_of_one_image_have_the_same_planes(tmp_path: Path) -> None:
    stack = np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1) + _COLUMNS
    write_tiff(tmp_path / "a.tif", stack, "TZYX")
    write_tiff(tmp_path / "b.tif", stack.reshape(3, 2, 20, 30), "TZYX")
    write_tiff(tmp_path / "c.tif", stack.swapaxes(0, 1), "ZTYX")
    a, b, c = (tmp_path / f"{name}.tif" for name in "abc")
    with pytest.raises(
        ImPartialError, match=r"b\.tif has 3 time points of 2 .*a\.tif has 2 time points of 3"
    ):
        read_image_file([a, b])
    # another order of the axes is none of the planes
    for plane in read_image_file([a, c]).planes:
        np.testing.assert_array_equal(*plane.channels)
    # a row of planes is called either
    write_tiff(tmp_path / "t.tif", stack[0], "TYX")
    write_tiff(tmp_path / "z.tif", stack[0], "ZYX")
    assert len(read_image_file([tmp_path / "t.tif", tmp_path / "z.tif"]).planes) == 3
