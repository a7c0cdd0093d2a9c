"""Reading and writing images and labels."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from napari_impartial.core.errors import ImPartialError, ImPartialWarning
from napari_impartial.io import read_images, read_labels, stem, write_tiff
from napari_impartial.io.labels import open_labels
from napari_impartial.io.lazy_files import open_lazy

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 60000, (3, 2, 20, 30)).astype(np.uint16)


@pytest.mark.parametrize(
    "dtype", ["bool", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]
)
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (2, 9, 11), (20, 31, 3)])
def test_write_and_read_again(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    file = tmp_path / "image.tif"
    array = RNG.integers(0, 100, shape).astype(dtype)
    axes = "CYX"[-len(shape) :]
    write_tiff(file, array, axes)
    (image,) = read_images(file, axes)
    np.testing.assert_array_equal(image.channels.reshape(shape), array.astype(np.float32))
    assert image.name == "image"
    assert os.listdir(tmp_path) == ["image.tif"]


def test_the_file_carries_axes_names_and_pixel_size(tmp_path: Path) -> None:
    file = tmp_path / "stack.ome.tif"
    write_tiff(file, STACK, "ZCYX", ["DAPI", "CD8 µ"], (0.5, 0.25), "µm")
    images = read_images(file)
    assert [image.name for image in images] == [f"stack [z={z}]" for z in range(3)]
    for z, image in enumerate(images):
        np.testing.assert_array_equal(image.channels, STACK[z])
        assert image.channel_names == ("DAPI", "CD8 µ")
        assert image.pixel_size == (0.5, 0.25)
        assert image.pixel_unit == "µm"


def test_channel_stacks_stay_channels_and_slices_stay_slices(tmp_path: Path) -> None:
    # lengths for which a guess would be wrong
    array = RNG.random((5, 20, 21)).astype(np.float32)
    write_tiff(tmp_path / "z.tif", array, "ZYX")
    write_tiff(tmp_path / "c.tif", array, "CYX")
    assert len(read_images(tmp_path / "z.tif")) == 5
    (image,) = read_images(tmp_path / "c.tif")
    assert image.n_channels == 5
    # the user knows better than the file
    assert len(read_images(tmp_path / "c.tif", "ZYX")) == 5


def test_labels_are_compressed_and_intensities_are_not(tmp_path: Path) -> None:
    labels = np.zeros((300, 300), np.int32)
    labels[10:50, 10:50] = 70000
    write_tiff(tmp_path / "labels.tif", labels, "YX")
    write_tiff(tmp_path / "image.tif", labels.astype(np.float32), "YX")
    assert (tmp_path / "labels.tif").stat().st_size < 5000
    assert (tmp_path / "image.tif").stat().st_size > 300 * 300 * 4
    read = read_labels(tmp_path / "labels.tif")
    assert read.dtype == np.int32
    np.testing.assert_array_equal(read, labels)
    with tifffile.TiffFile(tmp_path / "labels.tif") as tif:
        assert tif.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert tif.series[0].axes == "YX"


def test_same_array_same_bytes(tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif"):
        write_tiff(tmp_path / name, STACK, "ZCYX", ["a", "b"], (1.0, 1.0), "µm")
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


@pytest.mark.parametrize(
    ("array", "name", "axes", "message"),
    [
        (np.zeros((3, 4), complex), "x.tif", "YX", "complex"),
        (np.zeros((0, 4)), "x.tif", "YX", "shape"),
        (np.full((3, 4), 2**40), "x.tif", "YX", "exceed 32 bits"),
        (np.zeros((3, 4)), "x.tif", "CYX", "name 3 axes"),
        (np.zeros((3, 4)), "x.png", "YX", r"\.tif or \.tiff"),
    ],
)
def test_write_refuses(
    tmp_path: Path, array: np.ndarray, name: str, axes: str, message: str
) -> None:
    with pytest.raises(ImPartialError, match=message):
        write_tiff(tmp_path / name, array, axes)
    assert not os.listdir(tmp_path)


def test_large_whole_numbers_that_fit_are_narrowed(tmp_path: Path) -> None:
    write_tiff(tmp_path / "x.tif", np.array([[0, 3_000_000_000]]), "YX")
    assert tifffile.imread(tmp_path / "x.tif").dtype == np.uint32


def test_plain_tiffs_are_guessed(tmp_path: Path) -> None:
    file = tmp_path / "plain.tif"
    tifffile.imwrite(file, STACK[:, 0], photometric="minisblack")
    (image,) = read_images(file)
    assert image.n_channels == 3
    with tifffile.TiffWriter(file) as writer:
        for plane in STACK[:, 0]:
            writer.write(plane, contiguous=False, metadata=None)
    (image,) = read_images(file)
    np.testing.assert_array_equal(image.channels, STACK[:, 0])


def test_colour_tiff(tmp_path: Path) -> None:
    colour = RNG.integers(0, 255, (20, 30, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "rgb.tif", colour, photometric="rgb")
    (image,) = read_images(tmp_path / "rgb.tif")
    assert image.channel_names == ("red", "green", "blue")
    np.testing.assert_array_equal(image.channels, np.moveaxis(colour, -1, 0))


def test_imagej_names_and_pixel_size(tmp_path: Path) -> None:
    file = tmp_path / "ij.tif"
    metadata = {"axes": "CYX", "Labels": ["DAPI", "CD3"], "unit": "micron"}
    tifffile.imwrite(file, STACK[0], imagej=True, resolution=(4, 2), metadata=metadata)
    (image,) = read_images(file)
    assert image.channel_names == ("DAPI", "CD3")
    assert image.pixel_size == (0.5, 0.25)
    assert image.pixel_unit == "µm"
    tifffile.imwrite(file, STACK, imagej=True, metadata={"axes": "ZCYX"})
    images = read_images(file)
    assert len(images) == 3
    assert images[0].pixel_size is None
    np.testing.assert_array_equal(images[2].channels, STACK[2])


APERIO = (
    "Aperio Image Library v12.0.15\r\n512x384 [0,0 512x384] (128x128) JPEG/RGB Q=70"
    "|AppMag = 20|StripeWidth = 2032|ScanScope ID = SS1|MPP = 0.4990|Left = 25.69|Top = 23.44"
)


@pytest.mark.parametrize(
    ("kwargs", "size"),
    [
        ({"description": APERIO}, 0.499),
        ({"resolution": (40000, 40000), "resolutionunit": "CENTIMETER"}, 0.25),
        ({"resolution": (50800, 50800), "resolutionunit": "INCH"}, 0.5),
        ({"description": APERIO, "resolution": (300, 300), "resolutionunit": "INCH"}, 0.499),
        ({"description": APERIO.replace("MPP = 0.4990", "MPP = 0")}, None),
        ({"resolution": (300, 300), "resolutionunit": "INCH"}, None),
        ({"resolution": (40000, 40000), "resolutionunit": "NONE"}, None),
        ({}, None),
    ],
)
def test_pixel_size_of_a_scanners_slide(
    kwargs: dict[str, object], size: float | None, tmp_path: Path
) -> None:
    file = tmp_path / "slide.svs"
    rng = np.random.default_rng(0)
    levels = [rng.integers(0, 255, (384 >> i, 512 >> i, 3), np.uint8) for i in range(0, 3, 2)]
    with tifffile.TiffWriter(file, bigtiff=True) as tif:
        for level in levels:
            tif.write(
                level, photometric="rgb", tile=(128, 128), metadata=None, compression="zlib",
                **kwargs,
            )  # fmt: skip
    with tifffile.TiffFile(file) as tif:
        assert tif.is_svs == ("description" in kwargs)
        n_levels = len(tif.series[0].levels)
    if n_levels == 1:
        # No scanner: as two pages, which are two images.
        tifffile.imwrite(file, levels[0], photometric="rgb", metadata=None, **kwargs)
    (image,) = read_images(file)
    assert image.pixel_size == (None if size is None else pytest.approx((size, size)))
    assert image.pixel_unit == ("" if size is None else "µm")
    assert open_lazy(file).pixel_size == image.pixel_size
    if n_levels > 1:
        (coarse,) = read_images(file, level=1)
        expected = None if size is None else pytest.approx((4 * size, 4 * size))
        assert coarse.pixel_size == expected


def test_the_file_in_bio_formats_labels_is_no_name(tmp_path: Path) -> None:
    file = tmp_path / "ij.tif"
    for slide in ("slide 1.czi", "slide 2.czi"):
        labels = [f"c:{number}/2 - {slide}" for number in (1, 2)]
        tifffile.imwrite(file, STACK[0], imagej=True, metadata={"axes": "CYX", "Labels": labels})
        (image,) = read_images(file)
        assert image.channel_names == ("channel 1", "channel 2")
    labels = ["c: CD3", "DAPI"]  # somebody's own
    tifffile.imwrite(file, STACK[0], imagej=True, metadata={"axes": "CYX", "Labels": labels})
    assert read_images(file)[0].channel_names == ("c: CD3", "DAPI")


def test_lzw_is_read_without_further_packages(tmp_path: Path) -> None:
    array = STACK[0, 0].astype(np.uint8)
    Picture.fromarray(array).save(tmp_path / "lzw.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(read_images(tmp_path / "lzw.tif")[0].channels[0], array)


@pytest.mark.parametrize(
    ("mode", "names"),
    [
        ("L", ("channel 1",)),
        ("1", ("channel 1",)),
        ("LA", ("channel 1",)),
        ("I;16", ("channel 1",)),
        ("RGB", ("red", "green", "blue")),
        ("RGBA", ("red", "green", "blue")),
    ],
)
def test_pictures(tmp_path: Path, mode: str, names: tuple[str, ...]) -> None:
    Picture.new(mode, (30, 20), 1 if mode in ("L", "1", "I;16") else None).save(tmp_path / "p.png")
    (image,) = read_images(tmp_path / "p.png")
    assert image.channel_names == names
    assert image.shape == (20, 30)


def test_tiny_colour_picture(tmp_path: Path) -> None:
    iio.imwrite(tmp_path / "p.png", np.zeros((2, 3, 3), np.uint8))
    assert read_images(tmp_path / "p.png")[0].shape == (2, 3)


def test_jpeg(tmp_path: Path) -> None:
    iio.imwrite(tmp_path / "p.jpg", np.full((16, 24, 3), (200, 100, 50), np.uint8))
    (image,) = read_images(tmp_path / "p.jpg")
    np.testing.assert_allclose(image.channels[:, 8, 8], (200, 100, 50), atol=3)


def test_numpy_files(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", STACK[0])
    np.savez(tmp_path / "b.npz", image=STACK[0])
    np.savez(tmp_path / "c.npz", x=STACK, y=STACK)
    for name in ("a.npy", "b.npz"):
        np.testing.assert_array_equal(read_images(tmp_path / name)[0].channels, STACK[0])
    with pytest.raises(ImPartialError, match=r"c\.npz holds 2 arrays \(x, y\)"):
        read_images(tmp_path / "c.npz")


class _Harm:
    """Leaves a trace if it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    objects = np.empty(1, object)
    objects[0] = _Harm(trace)
    np.save(tmp_path / "objects.npy", objects, allow_pickle=True)
    (tmp_path / "plain.npy").write_bytes(pickle.dumps(_Harm(trace)))
    for name in ("objects.npy", "plain.npy"):
        with pytest.raises(ImPartialError, match=name):
            read_images(tmp_path / name)
    assert not trace.exists()


def test_channels_are_selected(tmp_path: Path) -> None:
    write_tiff(tmp_path / "x.tif", STACK, "ZCYX", ["a", "b"])
    images = read_images(tmp_path / "x.tif", channels=["b"])
    assert len(images) == 3
    np.testing.assert_array_equal(images[1].channels[0], STACK[1, 1])
    with pytest.raises(ImPartialError, match=r"x\.tif: .* no channel 'c'"):
        read_images(tmp_path / "x.tif", channels=["c"])


def test_axes_that_the_file_lost_by_their_length_of_one(tmp_path: Path) -> None:
    write_tiff(tmp_path / "x.tif", STACK[:1, :1], "ZCYX")
    (image,) = read_images(tmp_path / "x.tif", "CYX")
    np.testing.assert_array_equal(image.channels, STACK[0, :1])


@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg", ".npy", ".npz"])
@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"II*\0" + 40 * b"\xff"])
def test_foreign_files(tmp_path: Path, suffix: str, content: bytes) -> None:
    file = tmp_path / f"foreign{suffix}"
    file.write_bytes(content)
    for read in (read_images, read_labels):
        with pytest.raises(ImPartialError, match=f"foreign{suffix} cannot be read") as caught:
            read(file)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["compressed", "plain", "pages", "png", "npy"])
def test_truncated_files(tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / {"png": "x.png", "npy": "x.npy"}.get(kind, "x.tif")
    array = RNG.integers(0, 255, (4, 64, 65)).astype(np.uint8)
    if kind == "png":
        iio.imwrite(file, array[0])
    elif kind == "npy":
        np.save(file, array)
    elif kind == "pages":
        with tifffile.TiffWriter(file) as writer:
            for plane in array:
                writer.write(plane, contiguous=False, metadata=None)
    else:
        write_tiff(file, array, "CYX", compress=kind == "compressed")
    whole = file.read_bytes()
    read_images(file)
    for part in (0.1, 0.5, 0.8):
        file.write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(ImPartialError, match=file.name):
            read_images(file)
    assert capfd.readouterr() == ("", ""), "libraries may not write to the terminal"


def test_missing_files_folders_and_other_kinds(tmp_path: Path) -> None:
    with pytest.raises(ImPartialError, match=r"none\.tif does not exist"):
        read_images(tmp_path / "none.tif")
    with pytest.raises(ImPartialError, match="is a folder"):
        read_images(tmp_path)
    (tmp_path / "x.xyz").write_text("")
    with pytest.raises(ImPartialError, match=r"x\.xyz is of no kind"):
        read_images(tmp_path / "x.xyz")


def test_labels_of_any_type(tmp_path: Path) -> None:
    labels = RNG.integers(0, 2, (9, 11))
    for dtype in ("u1", "u2", "i4", "f4", "f8", "bool"):
        tifffile.imwrite(tmp_path / "x.tif", labels.astype(dtype))
        read = read_labels(tmp_path / "x.tif")
        assert read.dtype == np.int32
        np.testing.assert_array_equal(read, labels)
    iio.imwrite(tmp_path / "x.png", labels.astype(np.uint8))
    np.testing.assert_array_equal(read_labels(tmp_path / "x.png"), labels)
    grey = np.repeat(labels[..., None], 3, axis=2).astype(np.uint8)
    iio.imwrite(tmp_path / "x.png", grey)
    np.testing.assert_array_equal(read_labels(tmp_path / "x.png"), labels)


def test_label_stacks_and_axes_of_length_one(tmp_path: Path) -> None:
    labels = RNG.integers(0, 99, (4, 9, 11))
    np.save(tmp_path / "x.npy", labels)
    np.testing.assert_array_equal(read_labels(tmp_path / "x.npy"), labels)
    np.save(tmp_path / "x.npy", labels[:1, None])
    np.testing.assert_array_equal(read_labels(tmp_path / "x.npy"), labels[0])


@pytest.mark.parametrize("axes", ["TZYX", "ZTYX"])
def test_labels_come_in_the_order_of_images(tmp_path: Path, axes: str) -> None:
    stack = RNG.integers(1, 99, (2, 3, 9, 11)).astype(np.uint8)  # T, Z
    array = stack if axes == "TZYX" else stack.swapaxes(0, 1)
    write_tiff(tmp_path / "x.tif", array, axes)
    tifffile.imwrite(tmp_path / "ij.tif", stack, imagej=True, metadata={"axes": "TZYX"})
    for name in ("x.tif", "ij.tif"):
        labels = read_labels(tmp_path / name)
        np.testing.assert_array_equal(labels, stack.reshape(6, 9, 11))
        for image, plane in zip(read_images(tmp_path / name), labels, strict=True):
            np.testing.assert_array_equal(image.channels[0], plane)
        np.testing.assert_array_equal(open_labels(tmp_path / name).in_order(), stack)
    # of a file that says nothing nobody knows the order
    np.save(tmp_path / "x.npy", array)
    np.testing.assert_array_equal(read_labels(tmp_path / "x.npy"), array.reshape(6, 9, 11))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((3, 4), 0.5), "fractions"),
        (np.full((3, 4), np.nan), "fractions"),
        (np.full((3, 4), -1), "from -1"),
        (np.full((3, 4), 2**31), "from 2147483648"),
        (np.zeros((2, 2, 1, 2, 3, 4), int), "shape"),
        (np.zeros(5, int), "shape"),
        (np.zeros((3, 4), complex), "complex"),
    ],
)
def test_what_are_no_labels(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(ImPartialError, match=message):
        read_labels(tmp_path / "x.npy")


def test_colours_are_no_labels(tmp_path: Path) -> None:
    iio.imwrite(tmp_path / "x.png", RNG.integers(0, 255, (9, 11, 3)).astype(np.uint8))
    with pytest.raises(ImPartialError, match="colour picture"):
        read_labels(tmp_path / "x.png")


@pytest.mark.parametrize("samples", [2, 3, 4])
def test_labels_in_grey_with_or_without_opacity(tmp_path: Path, samples: int) -> None:
    grey = RNG.integers(0, 9, (9, 11)).astype(np.uint8)
    layers = [grey] * (samples if samples == 3 else samples - 1)
    opaque = [] if samples == 3 else [np.full_like(grey, 255)]
    array = np.stack([*layers, *opaque], axis=-1)
    extra = {"extrasamples": ["unassalpha"]} if opaque else {}
    kind = "minisblack" if samples == 2 else "rgb"
    tifffile.imwrite(tmp_path / "x.tif", array, photometric=kind, planarconfig="contig", **extra)
    np.testing.assert_array_equal(read_labels(tmp_path / "x.tif"), grey)


def test_stem() -> None:
    assert [stem(name) for name in ("a/b.tif", "c.ome.tif", "d.e.png", "f.OME.TIFF")] == [
        "b",
        "c",
        "d.e",
        "f",
    ]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"tunit": "min", "zunit": "mm"}, {"T": 300.0, "Z": 2000.0}),
        ({"tunit": "sec", "zunit": "nm"}, {"T": 5.0, "Z": 0.002}),
        ({"tunit": "hr"}, {"T": 18000.0, "Z": 2.0}),
        ({}, {"T": 5.0, "Z": 2.0}),
    ],
)
def test_steps_of_imagej_are_in_seconds_and_in_the_unit_of_pixels(
    tmp_path: Path, said: dict[str, str], expected: dict[str, float]
) -> None:
    told = {"axes": "TZYX", "unit": "um", "finterval": 5.0, "spacing": 2.0, **said}
    stack = np.zeros((2, 3, 8, 9), np.uint8)
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, stack, imagej=True, resolution=(2, 2), metadata=told)
    assert open_lazy(file).spacing == pytest.approx(expected)
    tifffile.imwrite(file, stack, imagej=True, resolution=(2, 2), metadata={**told, "yunit": "nm"})
    content = open_lazy(file)
    assert content.pixel_size == pytest.approx((0.0005, 0.5))
    assert content.pixel_unit == "µm"


@pytest.mark.parametrize(
    ("said", "left", "message"),
    [
        ({"tunit": "moons"}, {"Z": 2.0}, "time between frames in moons"),
        ({"zunit": "turns"}, {"T": 5.0}, "distance of slices in turns"),
        ({"yunit": "turns"}, {"T": 5.0}, "height of a pixel in turns, its width in µm"),
    ],
)
def test_units_that_are_not_known_are_told(
    tmp_path: Path, said: dict[str, str], left: dict[str, float], message: str
) -> None:
    told = {"axes": "TZYX", "unit": "um", "finterval": 5.0, "spacing": 2.0, **said}
    stack = np.zeros((2, 3, 8, 9), np.uint8)
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, stack, imagej=True, resolution=(2, 2), metadata=told)
    with pytest.warns(ImPartialWarning, match=message):
        assert open_lazy(file).spacing == left


def test_steps_of_ome_are_in_seconds_and_in_the_unit_of_pixels(tmp_path: Path) -> None:
    told = {
        "axes": "TZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2000.0,
        "PhysicalSizeZUnit": "nm", "TimeIncrement": 5.0, "TimeIncrementUnit": "min",
    }  # fmt: skip
    stack = np.zeros((2, 3, 8, 9), np.uint8)
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, metadata=told)
    assert open_lazy(tmp_path / "a.ome.tif").spacing == pytest.approx({"T": 300.0, "Z": 2.0})
