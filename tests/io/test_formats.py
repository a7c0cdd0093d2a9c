"""What each format can say, and what becomes of it.

======================  ====================================  ===================================
format                  what it can say                       what we do with it
======================  ====================================  ===================================
TIFF                    several images                        refused, with their sizes
TIFF                    pyramid, thumbnail, slide label       largest level; the others are copies
TIFF                    red, green, blue                      three channels of these names
TIFF                    opacity                               left out, said if it varies
TIFF                    further samples of no kind            channels
TIFF                    palette                               colours; of labels the indices
TIFF                    palette in an ImageJ file             for the eye only: values as stored
TIFF                    CMYK, Lab, raw YCbCr                  refused
TIFF                    0 is white                            said; values as stored
TIFF, JPEG              orientation                           said; read as stored, as in napari
TIFF                    12, 16, 32 bits, floats               all bits
TIFF                    axes that are none of TZCYX           said; guessed
TIFF                    one axis of no kind beside known ones  said; slices, or time points
ImageJ TIFF             calibration of values                 said; values as stored
TIFF                    parts missing, or without pixels      refused; said
OME-TIFF                axes, names, pixel size               kept; samples of a channel numbered
OME-TIFF                further files                         read; refused if one is missing
OME-TIFF                height and width in different units   said; no pixel size
ImageJ TIFF             labels of slices                      names of channels, if all slices agree
PNG                     1, 2, 4, 8, 16 bits of grey           as stored, not spread
PNG                     16 bits of colour or with opacity     all bits, or refused
PNG, BMP                palette                               colours; of labels the indices
PNG                     opacity                               left out, said if it varies
JPEG                    loss                                  no labels
PNG, TIFF, JPEG         several pictures                      refused
NPY, NPZ                one array                             axes are guessed, nothing is dropped
NPY, NPZ                objects, several arrays, wrong sizes  refused
ImageJ ROI, GeoJSON     see test_regions.py
======================  ====================================  ===================================
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from napari_impartial.core.errors import ImPartialError, ImPartialWarning
from napari_impartial.io import read_images, read_labels
from napari_impartial.io.images import open_image
from napari_impartial.io.labels import open_labels, pair_planes

RNG = np.random.default_rng(0)
GREY = RNG.integers(1, 250, (20, 30)).astype(np.uint8)
FOUR = RNG.integers(1, 250, (20, 30, 4)).astype(np.uint8)
DEEP = RNG.integers(1, 65000, (20, 30, 3)).astype(np.uint16)


def _channels(file: Path) -> np.ndarray:
    (image,) = read_images(file)
    return image.channels


# --- several images


def _two_sizes(file: Path) -> None:
    with tifffile.TiffWriter(file) as writer:
        writer.write(GREY, metadata=None)
        writer.write(GREY[:7, :9], metadata=None)


def _two_scenes(file: Path) -> None:
    with tifffile.TiffWriter(file, ome=True) as writer:
        writer.write(GREY, metadata={"axes": "YX"})
        writer.write(GREY[:7], metadata={"axes": "YX"})


def _moving(file: Path) -> None:
    frames = [Picture.fromarray(GREY), Picture.fromarray(GREY[::-1].copy())]
    frames[0].save(file, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    ("name", "write"),
    [("a.tif", _two_sizes), ("a.ome.tif", _two_scenes), ("a.png", _moving)],
)
def test_several_images_are_not_one(
    tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    write(tmp_path / name)
    with pytest.raises(ImPartialError, match=r"holds 2 (images|pictures)"):
        read_images(tmp_path / name)


def test_smaller_copies_are_no_further_images(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "pyramid.ome.tif", ome=True) as writer:
        writer.write(GREY, subifds=1, metadata={"axes": "YX"})
        writer.write(GREY[::2, ::2], subfiletype=1)
    with tifffile.TiffWriter(tmp_path / "thumbnail.tif") as writer:
        writer.write(GREY, metadata=None)
        writer.write(GREY[::4, ::4], subfiletype=1, metadata=None)
    for name in ("pyramid.ome.tif", "thumbnail.tif"):
        np.testing.assert_array_equal(_channels(tmp_path / name)[0], GREY)


# --- channels, colours, opacity


def test_stains_are_no_opacity_unless_the_file_says_so(tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    stains = np.moveaxis(FOUR, -1, 0)
    tifffile.imwrite(file, FOUR, photometric="minisblack", planarconfig="contig")
    np.testing.assert_array_equal(_channels(file), stains)
    tifffile.imwrite(file, stains, photometric="minisblack", planarconfig="separate")
    np.testing.assert_array_equal(_channels(file), stains)
    np.save(tmp_path / "a.npy", FOUR)
    np.testing.assert_array_equal(_channels(tmp_path / "a.npy"), stains)
    # the fourth is said to be nothing
    tifffile.imwrite(file, FOUR, photometric="rgb", extrasamples=["unspecified"])
    (image,) = read_images(file)
    assert image.channel_names == ("red", "green", "blue", "channel 4")
    np.testing.assert_array_equal(image.channels, stains)


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_opacity_is_left_out_with_a_word_and_kept_if_asked_for(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a{suffix}"

    def write(array: np.ndarray) -> None:
        if suffix == ".png":
            Picture.fromarray(array).save(file)
        else:
            tifffile.imwrite(file, array, photometric="rgb", extrasamples=["unassalpha"])

    write(FOUR)
    with pytest.warns(ImPartialWarning, match="opacity, which is left out; --axes YXC keeps it"):
        (image,) = read_images(file)
    assert image.channel_names == ("red", "green", "blue")
    np.testing.assert_array_equal(image.channels, np.moveaxis(FOUR[..., :3], -1, 0))
    (image,) = read_images(file, axes="YXC")
    np.testing.assert_array_equal(image.channels, np.moveaxis(FOUR, -1, 0))
    opaque = FOUR.copy()
    opaque[..., 3] = 255
    write(opaque)
    assert _channels(file).shape[0] == 3  # nothing is lost, so nothing is said


def test_samples_of_channels_stay_apart(tmp_path: Path) -> None:
    file = tmp_path / "a.ome.tif"
    array = RNG.integers(0, 250, (2, 20, 30, 3)).astype(np.uint8)
    tifffile.imwrite(
        file, array, ome=True, photometric="rgb",
        metadata={"axes": "CYXS", "Channel": {"Name": ["HE", "IHC"]}},
    )  # fmt: skip
    (image,) = read_images(file)
    np.testing.assert_array_equal(image.channels, array.transpose(0, 3, 1, 2).reshape(6, 20, 30))
    assert image.channel_names[0] == "HE red"
    assert image.channel_names[5] == "IHC blue"


@pytest.mark.parametrize("kind", ["separated", "cielab"])
def test_other_colours_are_not_taken_for_stains(tmp_path: Path, kind: str) -> None:
    array = FOUR if kind == "separated" else FOUR[..., :3]
    tifffile.imwrite(tmp_path / "a.tif", array, photometric=kind, planarconfig="contig")
    with pytest.raises(ImPartialError, match=r"CMYK|CIELAB"):
        read_images(tmp_path / "a.tif")
    Picture.new("CMYK", (9, 9), (1, 2, 3, 4)).save(tmp_path / "a.jpg")
    with pytest.raises(ImPartialError, match="CMYK"):
        read_images(tmp_path / "a.jpg")


# --- palettes

INDICES = RNG.integers(0, 5, (20, 30)).astype(np.uint8)
COLOURS = np.array([(0, 0, 0), (200, 0, 0), (0, 200, 0), (9, 9, 200), (7, 8, 9)], np.uint8)


def _palette_picture(file: Path) -> None:
    picture = Picture.fromarray(INDICES, mode=None).convert("P")
    picture = Picture.frombytes("P", picture.size, INDICES.tobytes())
    picture.putpalette(COLOURS.tobytes())
    picture.save(file)


def _palette_tiff(file: Path) -> None:
    table = np.zeros((3, 256), np.uint16)
    table[:, :5] = COLOURS.T.astype(np.uint16) * 257
    tifffile.imwrite(file, INDICES, photometric="palette", colormap=table)


@pytest.mark.parametrize(
    ("name", "write"),
    [("a.png", _palette_picture), ("a.bmp", _palette_picture), ("a.tif", _palette_tiff)],
)
def test_palettes_are_colours_of_images_and_indices_of_labels(
    tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    write(tmp_path / name)
    (image,) = read_images(tmp_path / name)
    np.testing.assert_array_equal(image.channels, np.moveaxis(COLOURS[INDICES], -1, 0))
    assert image.channel_names == ("red", "green", "blue")
    np.testing.assert_array_equal(read_labels(tmp_path / name), INDICES)


def test_imagej_palettes_are_for_the_eye(tmp_path: Path) -> None:
    lut = np.zeros((3, 256), np.uint8)
    lut[0] = np.arange(256)
    tifffile.imwrite(tmp_path / "a.tif", GREY, imagej=True, metadata={"LUTs": [lut]})
    np.testing.assert_array_equal(_channels(tmp_path / "a.tif")[0], GREY)


# --- bits


def _png(file: Path, array: np.ndarray, depth: int, kind: int) -> None:
    """Write a PNG of any depth, rows without a filter."""
    height, width = array.shape[:2]
    if depth == 16:
        rows = array.astype(">u2").reshape(height, -1).view(np.uint8)
    else:
        bits = np.unpackbits(array[..., None].astype(np.uint8), axis=-1)[..., 8 - depth :]
        rows = np.packbits(bits.reshape(height, -1), axis=1)
    raw = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()

    def chunk(name: bytes, content: bytes) -> bytes:
        checked = name + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    file.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_grey_levels_of_any_depth_stay_what_they_are(tmp_path: Path, depth: int) -> None:
    array = RNG.integers(0, 2**depth, (20, 30))
    _png(tmp_path / "a.png", array, depth, 0)
    np.testing.assert_array_equal(_channels(tmp_path / "a.png")[0], array)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), array)


@pytest.mark.parametrize("kind", [2, 4, 6])
def test_deep_colours_keep_their_bits(tmp_path: Path, kind: int) -> None:
    samples = {2: 3, 4: 2, 6: 4}[kind]
    array = RNG.integers(0, 65536, (20, 30, samples)).astype(np.uint16)
    array[..., 3:] = 65535
    if samples == 2:
        array[..., 1] = 65535
    _png(tmp_path / "a.png", array, 16, kind)
    colours = np.moveaxis(array[..., : 3 if samples > 2 else 1], -1, 0)
    pytest.importorskip("imagecodecs")
    np.testing.assert_array_equal(_channels(tmp_path / "a.png"), colours)


def test_deep_colours_are_refused_where_bits_would_be_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    _png(tmp_path / "a.png", DEEP, 16, 2)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(ImPartialError, match="16 bits for each colour"):
        read_images(tmp_path / "a.png")


def test_twelve_bits(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs")
    array = RNG.integers(0, 4096, (20, 30)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", array, bitspersample=12, metadata=None)
    np.testing.assert_array_equal(_channels(tmp_path / "a.tif")[0], array)


# --- loss


def test_labels_are_not_read_from_what_changes_values(tmp_path: Path) -> None:
    Picture.fromarray(GREY).save(tmp_path / "a.jpg", quality=95)
    Picture.fromarray(GREY).save(tmp_path / "a.tif", compression="jpeg")
    for name in ("a.jpg", "a.tif"):
        assert read_images(tmp_path / name)
        with pytest.raises(ImPartialError, match="JPEG, which changes values"):
            read_labels(tmp_path / name)


def test_a_jpeg_part_that_ends_early(tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    rows = np.repeat(RNG.integers(0, 255, (128, 128)).astype(np.uint8), 2, axis=1)
    Picture.fromarray(rows).save(file, compression="jpeg")
    with tifffile.TiffFile(file) as tif:
        page = tif.pages[0]
        offset, count = page.dataoffsets[-1], page.databytecounts[-1]
    whole = bytearray(file.read_bytes())
    whole[offset + count // 2 : offset + count] = bytes(count - count // 2)
    file.write_bytes(whole)
    with pytest.raises(ImPartialError, match="JPEG part of it ends early"):
        read_images(file)
    tifffile.imwrite(file, GREY, metadata=None)  # its index lies before the pixels
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ImPartialError, match=r"a\.tif"):
        read_images(file)


# --- orientation, polarity, axes


def test_orientation_is_said(tmp_path: Path) -> None:
    exif = Picture.Exif()
    exif[274] = 6
    Picture.fromarray(GREY).save(tmp_path / "a.jpg", exif=exif, quality=100)
    tifffile.imwrite(tmp_path / "a.tif", GREY, extratags=[(274, "H", 1, 6, True)])
    for name in ("a.jpg", "a.tif"):
        with pytest.warns(ImPartialWarning, match="turned or mirrored"):
            assert _channels(tmp_path / name).shape == (1, 20, 30)


def test_white_zero_is_said(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="miniswhite")
    with pytest.warns(ImPartialWarning, match="0 is white"):
        np.testing.assert_array_equal(_channels(tmp_path / "a.tif")[0], GREY)


@pytest.mark.parametrize(("axes", "taken"), [("QCYX", "ZCYX"), ("QZYX", "TZYX"), ("CQYX", "CZYX")])
def test_an_axis_of_no_kind_leaves_the_others_what_they_are(
    tmp_path: Path, axes: str, taken: str
) -> None:
    array = RNG.integers(0, 250, (2, 3, 20, 30)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", array, metadata={"axes": axes}, photometric="minisblack")
    with pytest.warns(ImPartialWarning, match="does not say what its axis of"):
        found = read_images(tmp_path / "a.tif")
    expected = read_images(tmp_path / "a.tif", axes=taken)
    assert [plane.name for plane in found] == [plane.name for plane in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.channels, other.channels)


def test_calibrated_values_are_said(tmp_path: Path) -> None:
    """ImageJ stores signed 16-bit numbers as unsigned ones, 32768 larger."""
    text = "ImageJ=1.54u\ncf=0\nc0=-32768.0\nc1=1.0\nvunit=Gray Value\n"
    tifffile.imwrite(tmp_path / "a.tif", DEEP[..., 0], description=text, metadata=None)
    with pytest.warns(ImPartialWarning, match=r"calibrated \(Gray Value\)"):
        np.testing.assert_array_equal(_channels(tmp_path / "a.tif")[0], DEEP[..., 0])


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.int8, np.uint64, bool])
def test_labels_of_any_type(tmp_path: Path, kind: type) -> None:
    labels = RNG.integers(0, 100, (20, 30)).astype(kind)
    np.save(tmp_path / "a.npy", labels)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.npy"), labels.astype(np.int32))


@pytest.mark.parametrize("unit", ["µm", "reference frame"])
def test_pixel_sizes_in_two_units(tmp_path: Path, unit: str) -> None:
    metadata = {
        "axes": "YX", "PhysicalSizeX": 200.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.3,
        "PhysicalSizeYUnit": unit,
    }  # fmt: skip
    tifffile.imwrite(tmp_path / "a.ome.tif", GREY, ome=True, metadata=metadata)
    if unit == "µm":
        (image,) = read_images(tmp_path / "a.ome.tif")
        assert image.pixel_size == pytest.approx((300.0, 200.0))
        assert image.pixel_unit == "nm"
        return
    with pytest.warns(ImPartialWarning, match="height of a pixel in reference frame, its width in"):
        (image,) = read_images(tmp_path / "a.ome.tif")
    assert image.pixel_size is None


def test_names_of_imagej_channels_that_all_slices_share(tmp_path: Path) -> None:
    array = RNG.integers(0, 255, (3, 2, 20, 30)).astype(np.uint8)
    metadata = {"axes": "ZCYX", "Labels": ["DAPI", "CD8"] * 3}
    tifffile.imwrite(tmp_path / "a.tif", array, imagej=True, metadata=metadata)
    assert read_images(tmp_path / "a.tif")[0].channel_names == ("DAPI", "CD8")


# --- OME-TIFF in several files


def _sisters(folder: Path, names: tuple[str, ...], write: tuple[str, ...]) -> list[np.ndarray]:
    planes = [RNG.integers(1, 250, (20, 30)).astype(np.uint8) for _ in names]
    data = "".join(
        f'<TiffData IFD="0" FirstC="{i}" FirstZ="0" FirstT="0" PlaneCount="1">'
        f'<UUID FileName="{name}">urn:uuid:{i:032}</UUID></TiffData>'
        for i, name in enumerate(names)
    )
    channels = "".join(f'<Channel ID="Channel:0:{i}" Name="c{i}"/>' for i in range(len(names)))
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{}">'
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" '
        f'SizeX="30" SizeY="20" SizeC="{len(names)}" SizeZ="1" SizeT="1">{channels}{data}'
        "</Pixels></Image></OME>"
    )
    for i, name in enumerate(names):
        if name in write:
            text = xml.format(f"{i:032}")
            tifffile.imwrite(folder / name, planes[i], description=text, metadata=None)
    return planes


def test_a_missing_sister_file_is_named(tmp_path: Path) -> None:
    names = ("a_0.ome.tif", "a_1.ome.tif", "a_2.ome.tif")
    planes = _sisters(tmp_path, names, names)
    np.testing.assert_array_equal(_channels(tmp_path / names[0]), np.stack(planes))
    (tmp_path / names[1]).unlink()
    with pytest.raises(ImPartialError, match=r"one of 3 files .*, and a_1\.ome\.tif is missing"):
        read_images(tmp_path / names[0])
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / names[1])  # would be read for ever
        with pytest.raises(ImPartialError, match=r"a_1\.ome\.tif is missing"):
            read_images(tmp_path / names[0])


def test_sister_files_lie_beside_each_other(tmp_path: Path) -> None:
    _sisters(tmp_path, ("a.ome.tif", "../b.ome.tif"), ("a.ome.tif",))
    with pytest.raises(ImPartialError, match=r"goes on in \.\./b\.ome\.tif, outside"):
        read_images(tmp_path / "a.ome.tif")


def test_planes_that_are_missing_are_not_black(tmp_path: Path) -> None:
    file = tmp_path / "a.ome.tif"
    tifffile.imwrite(file, np.stack([GREY, GREY]), ome=True, metadata={"axes": "CYX"})
    text = tifffile.tiffcomment(file)
    tifffile.tiffcomment(file, text.replace('SizeC="2"', 'SizeC="3"').encode())
    with pytest.raises(ImPartialError, match="parts are missing"):
        read_images(file)


# --- stacks


@pytest.mark.parametrize("axes", ["TZCYX", "TCZYX", "ZTCYX", "CZTYX", "ZCTYX", "CTZYX"])
def test_five_axes_keep_all_planes(tmp_path: Path, axes: str) -> None:
    lengths = dict(zip("TZCYX", (2, 3, 4, 20, 30), strict=True))
    canonical = RNG.integers(0, 60000, tuple(lengths.values())).astype(np.uint16)
    array = canonical.transpose(["TZCYX".index(a) for a in axes])
    tifffile.imwrite(tmp_path / "a.ome.tif", array, ome=True, metadata={"axes": axes})
    found = open_image(tmp_path / "a.ome.tif")
    assert len(found.planes) == 6
    for i, image in enumerate(found.planes):
        np.testing.assert_array_equal(image.channels, canonical[i // 3, i % 3])
    assert found.stack.axes == "".join(a for a in axes if a in "TZ")
    assert not found.guessed


PLANES = np.arange(1, 7).reshape(2, 3)  # T, Z: each plane filled with its number
LABELS = np.broadcast_to(PLANES[..., None, None], (2, 3, 20, 30)).astype(np.uint8)


@pytest.mark.parametrize("axes", ["TZYX", "ZTYX"])
def test_labels_without_axes_follow_those_of_the_image(tmp_path: Path, axes: str) -> None:
    image, own, plain, row = (tmp_path / f"{name}.tif" for name in ("image", "own", "plain", "row"))
    array = LABELS if axes == "TZYX" else LABELS.swapaxes(0, 1)
    tifffile.imwrite(image, array, ome=True, metadata={"axes": axes})
    tifffile.imwrite(own, LABELS, ome=True, metadata={"axes": "TZYX"})
    tifffile.imwrite(plain, array, photometric="minisblack")
    with tifffile.TiffWriter(row) as writer:
        for plane in array.reshape(6, 20, 30):
            writer.write(plane, contiguous=False, metadata=None)
    stack = open_image(image).stack
    for file in (own, plain, row):
        assert [int(p[0, 0]) for p in open_labels(file).planes_of(stack)] == [1, 2, 3, 4, 5, 6]
    # in another order they are not taken
    tifffile.imwrite(plain, array.swapaxes(0, 1), photometric="minisblack")
    with pytest.raises(ImPartialError, match="same planes in the same order"):
        open_labels(plain).planes_of(stack)
    tifffile.imwrite(own, LABELS.reshape(6, 20, 30), ome=True, metadata={"axes": "ZYX"})
    with pytest.raises(ImPartialError, match=r"has 6 slices, .* 2 time points of 3 slices"):
        open_labels(own).planes_of(stack)


def test_label_files_are_paired_by_axis(tmp_path: Path) -> None:
    def write(name: str, axes: str) -> Path:
        array = LABELS if axes != "ZTYX" else LABELS.swapaxes(0, 1)
        metadata = {"axes": axes} if axes else {}
        tifffile.imwrite(tmp_path / name, array, photometric="minisblack", metadata=metadata)
        return tmp_path / name

    files = [write("tz.tif", "TZYX"), write("zt.tif", "ZTYX"), write("none.tif", "")]
    for one in files:
        for other in files:
            if {one.name, other.name} == {"zt.tif", "none.tif"}:
                with pytest.raises(ImPartialError, match="same planes"):
                    pair_planes(open_labels(one), open_labels(other))
                continue
            ours, theirs = pair_planes(open_labels(one), open_labels(other))
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(a, b)


def test_labels_have_no_channels(tmp_path: Path) -> None:
    array = np.zeros((3, 2, 20, 30), np.uint8)
    tifffile.imwrite(tmp_path / "a.ome.tif", array, ome=True, metadata={"axes": "ZCYX"})
    with pytest.raises(ImPartialError, match="has 2 channels; labels"):
        open_labels(tmp_path / "a.ome.tif")


# --- claims


def _claiming_npz(file: Path) -> None:
    head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (40000, 40000), }"
    head += b" " * (117 - len(head)) + b"\n"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + head)


def _bomb_npz(file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        content = np.zeros((2**14, 2**15), np.uint8)
        with archive.open("a.npy", "w") as stream:
            np.lib.format.write_array(stream, content)


def _claiming_npy(file: Path) -> None:
    np.save(file, GREY)
    file.write_bytes(file.read_bytes().replace(b"(20, 30)", b"(90000000, 90000000)"[:8]))
    head = file.read_bytes()
    file.write_bytes(head.replace(b"(90000000"[:8], b"(2e9,30)"[:8]))


def _claiming_tiff(file: Path) -> None:
    packed = zlib.compress(bytes(1000))
    tifffile.imwrite(file, GREY, compression="zlib", rowsperstrip=20, metadata=None)
    whole = bytearray(file.read_bytes())
    with tifffile.TiffFile(file) as tif:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tag = tif.pages[0].tags[name]
            size = {3: 2, 4: 4}[int(tag.dtype)]
            whole[tag.valueoffset : tag.valueoffset + size] = (60000).to_bytes(size, "little")
    file.write_bytes(bytes(whole) + packed)


def _claiming_png(file: Path) -> None:
    _png(file, GREY, 8, 0)
    whole = file.read_bytes()
    head = b"IHDR" + struct.pack(">IIBBBBB", 12000, 14000, 8, 6, 0, 0, 0)
    checked = head + struct.pack(">I", zlib.crc32(head))
    file.write_bytes(whole[:12] + checked + whole[33:])


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.npz", _claiming_npz), ("b.npz", _bomb_npz), ("a.npy", _claiming_npy),
        ("a.tif", _claiming_tiff), ("a.png", _claiming_png),
    ],
)  # fmt: skip
def test_no_file_claims_more_than_it_can_hold(
    tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    import tracemalloc

    write(tmp_path / name)
    tracemalloc.start()
    try:
        for read in (read_images, read_labels):
            with pytest.raises(ImPartialError, match=name):
                read(tmp_path / name)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("suffix", [".tif", ".png", ".npy", ".npz"])
def test_pipes_and_devices_are_no_files(tmp_path: Path, suffix: str) -> None:
    os.mkfifo(tmp_path / f"a{suffix}")
    (tmp_path / f"b{suffix}").symlink_to("/dev/zero")
    for name in ("a", "b"):
        for read in (read_images, read_labels):
            with pytest.raises(ImPartialError, match="is a pipe or a device"):
                read(tmp_path / f"{name}{suffix}")


def test_messages_are_short_and_obey_nobody(tmp_path: Path) -> None:
    file = tmp_path / "\x1b[2Jred\x1b[31m\u202egpj.tif"
    with pytest.raises(ImPartialError) as caught:
        read_images(file)
    assert "\\x1b[2Jred\\x1b[31m\\u202egpj.tif does not exist" in str(caught.value)
    with pytest.raises(ImPartialError) as caught:
        read_images("/" + "/".join(["folder" * 20] * 30) + "/image.tif")
    assert len(str(caught.value)) < 400
    assert "image.tif" in str(caught.value)
    assert len(str(ImPartialError("word " * 100_000))) <= 2000


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.timeout(60)
def test_pages_that_lead_in_a_circle(tmp_path: Path, big: bool) -> None:
    file = tmp_path / "a.tif"
    with tifffile.TiffWriter(file, bigtiff=big) as writer:
        for shape in ((20, 30), (10, 30), (5, 30)):
            writer.write(GREY[: shape[0]], metadata=None)
    whole = bytearray(file.read_bytes())
    with tifffile.TiffFile(file) as tif:
        first, last = tif.pages[0].offset, tif.pages[2].offset
    size = 8 if big else 4
    at = last + (8 if big else 2)
    at += int.from_bytes(whole[last:at], "little") * (20 if big else 12)
    whole[at : at + size] = first.to_bytes(size, "little")
    file.write_bytes(whole)
    with pytest.raises(ImPartialError, match="lead back to an earlier one"):
        read_images(file)
