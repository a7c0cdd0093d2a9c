"""Public sets, in small files of exactly their layouts, become data sets."""

from __future__ import annotations

import json
import random
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import roifile
from numpy.typing import NDArray
from skimage.measure import find_contours

from napari_impartial.cli.main import main
from napari_impartial.core.data.synthetic_tissue import tissue
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.metrics import evaluate
from napari_impartial.experiments import public_datasets
from napari_impartial.experiments.dataset import open_data_set, training_part
from napari_impartial.experiments.npz import ArrayStream
from napari_impartial.io import read_images, read_labels, write_tiff

SIDE = 96


def cells(seed: int, channels: int = 2, side: int = SIDE):
    made = tissue((side, side), channels, seed=seed)
    return made.image.channels, made.truth


def tissuenet(
    file: Path,
    count: int,
    seed: int = 0,
    compress: bool = False,
    platforms: tuple[str, ...] | None = None,
) -> None:
    """Write an archive as TissueNet 1.0 does, its lists of names included.

    These are pickled, unless platforms are named.
    """
    pairs = [cells(seed + i) for i in range(count)]
    x = np.stack([np.moveaxis(image, 0, -1) for image, _ in pairs]).astype(np.float32)
    y = np.stack([np.stack([t, np.where(t % 2, t, 0)], -1) for _, t in pairs]).astype(np.int32)
    save = np.savez_compressed if compress else np.savez
    names = np.array(["Vectra"] * count, dtype=object)
    of_image = names if platforms is None else np.array(platforms)
    save(file, X=x, y=y, tissue_list=names, platform_list=of_image)


def run(*arguments: object) -> None:
    assert main(["convert", *map(str, arguments), "--json"]) == 0


@pytest.mark.parametrize("compress", [False, True])
def test_tissuenet(tmp_path: Path, capsys: pytest.CaptureFixture[str], compress: bool) -> None:
    source = tmp_path / "tissuenet_v1.0"
    source.mkdir()
    for part, count, seed in (("train", 3, 0), ("val", 1, 10), ("test", 2, 20)):
        tissuenet(source / f"tissuenet_v1.0_{part}.npz", count, seed, compress)
    out = tmp_path / "set"
    run("tissuenet", source, out, "--percent", "10,50")
    (report,) = json.loads(capsys.readouterr().out.splitlines()[-1])["sets"]
    assert (report["train"], report["test"]) == (3, 2)
    assert report["channels"] == ["nucleus", "membrane"]
    data = open_data_set(out)
    assert [len(part) for part in (data.train, data.test)] == [3, 2]
    image, truth = cells(1)
    assert data.train[1].truth is not None
    np.testing.assert_array_equal(read_labels(data.train[1].truth), truth)
    (read,) = read_images(data.train[1].image)
    np.testing.assert_array_equal(read.channels, image)
    assert read.channel_names == ("nucleus", "membrane")
    assert set(data.train[0].scribbles) == {10, 50}
    assert not data.test[0].scribbles
    annotated = [
        set(np.unique(truth[read_labels(data.train[1].scribbles[p]) == 2])) for p in (10, 50)
    ]
    # the larger annotation holds the smaller one
    assert annotated[0] < annotated[1]
    assert len(annotated[1]) == round(0.5 * len(np.unique(truth[truth > 0])))
    assert len(training_part(data, 10, 0)[0]) == 3


def test_tissuenet_nuclei_limit_and_one_file(tmp_path: Path) -> None:
    tissuenet(tmp_path / "everything.npz", 4)
    run("tissuenet", tmp_path / "everything.npz", tmp_path / "a", "--cells", "nucleus")
    data = open_data_set(tmp_path / "a")
    # without a word on parts, some are drawn for the test
    assert (len(data.train), len(data.test)) == (3, 1)
    for sample in (*data.train, *data.test):
        assert sample.truth is not None
        _, truth = cells(int(sample.name))
        np.testing.assert_array_equal(read_labels(sample.truth), np.where(truth % 2, truth, 0))
    assert not any("scribbles" in file.name for file in (tmp_path / "a" / "test").iterdir())
    run("tissuenet", tmp_path / "everything.npz", tmp_path / "b", "--limit", "2")
    assert len(list((tmp_path / "b").rglob("*_truth.tif"))) == 2


def test_tissuenet_by_platform(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "source"
    source.mkdir()
    tissuenet(source / "train.npz", 4, platforms=("vectra", "mibi", "codex", "MIBI"))
    tissuenet(source / "test.npz", 3, seed=10, platforms=("mibi", "vectra", "vectra"))
    run("tissuenet", source, tmp_path / "mibi", "--platforms", "Mibi")
    data = open_data_set(tmp_path / "mibi")
    # called by their numbers in the whole part, as labels that others made of it are
    assert [sample.name for sample in data.train] == ["00001", "00003"]
    assert [sample.name for sample in data.test] == ["00000"]
    assert data.train[1].truth is not None
    np.testing.assert_array_equal(read_labels(data.train[1].truth), cells(3)[1])
    command = ["convert", "tissuenet", str(source), str(tmp_path / "x")]
    assert main([*command, "--platforms", "imc"]) == 2
    assert "'imc'; choose from codex, mibi, vectra" in capsys.readouterr().err
    tissuenet(source / "train.npz", 4)
    assert main([*command, "--platforms", "mibi"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pickled objects" in line
    assert "array of text" in line
    assert not (tmp_path / "x").exists()


def test_strokes_of_a_style_have_a_folder(tmp_path: Path) -> None:
    tissuenet(tmp_path / "all.npz", 3)
    run("tissuenet", tmp_path / "all.npz", tmp_path / "set", "--style", "lines")
    data = open_data_set(tmp_path / "set", "lines")
    assert [set(sample.scribbles) for sample in data.train] == [{10}, {10}]
    assert len(list((tmp_path / "set" / "lines").iterdir())) == 2
    assert not open_data_set(tmp_path / "set").train[0].scribbles


def test_tissuenet_files_that_do_not_say_their_part_keep_all_images(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name, count, seed in (("more", 4, 0), ("test", 2, 10), ("train", 3, 20)):
        tissuenet(source / f"{name}.npz", count, seed)
    for seed in ("0", "1"):  # other images are drawn for the test
        run("tissuenet", source, tmp_path / seed, "--seed", seed, "--test-percent", "50")
        data = open_data_set(tmp_path / seed)
        assert (len(data.train), len(data.test)) == (5, 4)
        truths = [read_labels(s.truth).tobytes() for s in (*data.train, *data.test) if s.truth]
        assert len(set(truths)) == 9


def test_images_without_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("train", "test"):
        x = np.random.default_rng(0).random((2, 32, 32, 2), dtype=np.float32)
        y = np.zeros((2, 32, 32, 2), np.int32)
        y[1, 5:15, 5:15] = 1
        np.savez(tmp_path / f"{part}.npz", X=x, y=y)
    run("tissuenet", tmp_path, tmp_path / "set")
    (report,) = json.loads(capsys.readouterr().out.splitlines()[-1])["sets"]
    assert (report["train"], report["test"], report["left_out_without_cells"]) == (1, 2, 1)


def test_archives_are_streamed(tmp_path: Path) -> None:
    big = np.zeros((60, 256, 256, 2), np.float32)
    big += np.arange(60, dtype=np.float32)[:, None, None, None]
    np.savez(tmp_path / "big.npz", X=big)
    size = big.nbytes
    del big
    tracemalloc.start()
    means = [float(one.mean()) for one in ArrayStream(tmp_path / "big.npz", "X")]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert means == list(range(60))
    assert peak < size / 10


def test_broken_archives(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=np.ones((3, 4)), o=np.array([1, "a"], dtype=object))
    np.savez(tmp_path / "f.npz", X=np.asfortranarray(np.ones((3, 4))))
    for file, name, said in (
        ("a.npz", "o", "pickled"),
        ("a.npz", "y", "no array 'y'"),
        ("f.npz", "X", "row by row"),
        ("none.npz", "X", "does not exist"),
    ):
        with pytest.raises(ImPartialError, match=said):
            ArrayStream(tmp_path / file, name)
    (tmp_path / "text.npz").write_text("no archive", encoding="utf-8")
    with pytest.raises(ImPartialError, match=r"no \.npz file"):
        ArrayStream(tmp_path / "text.npz", "X")
    # an array that says it is longer than it is
    whole = (tmp_path / "a.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        member = archive.read("X.npy")
    with zipfile.ZipFile(tmp_path / "short.npz", "w") as archive:
        archive.writestr("X.npy", member[:-8])
    with pytest.raises(ImPartialError, match="ends early"):
        list(ArrayStream(tmp_path / "short.npz", "X"))
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImPartialError, match="truncated"):
        ArrayStream(tmp_path / "cut.npz", "X")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_with_a_flipped_bit_are_read_or_told(tmp_path: Path, save: Any) -> None:
    """Such a bit may ask for a password, for another compression, or for years of memory."""
    save(tmp_path / "a.npz", X=np.ones((3, 8, 8, 2), np.float32))
    whole = (tmp_path / "a.npz").read_bytes()
    dice, told = random.Random(3), 0
    for _ in range(400):
        content = bytearray(whole)
        # Headers are where damage is strange.
        at = dice.randrange(min(len(whole), 260)) * dice.choice((1, -1))
        content[at] ^= 1 << dice.randrange(8)
        (tmp_path / "b.npz").write_bytes(content)
        try:
            for item in ArrayStream(tmp_path / "b.npz", "X"):
                assert item.nbytes < 10**6
        except ImPartialError:
            told += 1
    assert told > 50


def test_an_item_that_claims_more_than_is_there_is_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=np.ones((3, 4)))
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        member = archive.read("X.npy")
    for shape in ("(3, 99999999999)", "(3, 4, 9" + "9" * 30 + ")"):
        claim = member.replace(b"(3, 4), }" + b" " * len(shape), f"{shape}, }}".encode() + b" " * 6)
        header = claim[: claim.index(b"}") + 1].ljust(127) + b"\n"
        with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
            archive.writestr("X.npy", header + b"x" * 96)
        with pytest.raises(ImPartialError):
            list(ArrayStream(tmp_path / "b.npz", "X"))


def strip(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Draw a strip as DeepLIIF does: six pictures, cells red or blue with a green outline."""
    image, truth = cells(seed, 3)
    grey = np.clip(image / image.max() * 255, 0, 255).astype(np.uint8)
    rgb = np.moveaxis(grey, 0, -1)
    fluorescence = [np.zeros_like(rgb) for _ in range(3)]
    for i, picture in enumerate(fluorescence):
        picture[..., i] = grey[i]
    inner = truth.copy()
    for axis in (0, 1):
        for step in (-1, 1):
            inner[truth != np.roll(truth, step, axis)] = 0
    drawn = np.zeros_like(rgb)
    drawn[inner > 0, 2] = 255
    drawn[(inner > 0) & (truth % 2 == 1)] = (255, 0, 0)
    drawn[(truth > 0) & (inner == 0)] = (0, 255, 0)
    return np.concatenate([rgb, rgb[..., ::-1], *fluorescence, drawn], axis=1), truth


def deepliif(folder: Path) -> None:
    for part, seeds in (("Training", (0, 1)), ("Validation", (2,)), ("Testing", (3,))):
        place = folder / f"DeepLIIF_{part}_Set"
        place.mkdir(parents=True)
        for seed in seeds:
            iio.imwrite(place / f"s{seed}.png", strip(seed)[0])


def test_deepliif(tmp_path: Path) -> None:
    deepliif(tmp_path / "source")
    run("deepliif", tmp_path / "source", tmp_path / "set", "--panels", "ihc,dapi")
    data = open_data_set(tmp_path / "set")
    assert [len(part) for part in (data.train, data.test)] == [2, 1]
    (image,) = read_images(data.test[0].image)
    assert image.channel_names == ("ihc red", "ihc green", "ihc blue", "dapi")
    picture, truth = strip(3)
    np.testing.assert_array_equal(image.channels[:3], np.moveaxis(picture[:, :SIDE], -1, 0))
    np.testing.assert_array_equal(image.channels[3], picture[:, 2 * SIDE : 3 * SIDE, 0])
    assert data.test[0].truth is not None
    found = read_labels(data.test[0].truth)
    # what cells touch is told apart, and outlines belong to the cells
    assert evaluate([truth], [found]).map > 0.8
    assert ((found > 0) == (truth > 0)).mean() > 0.99


def test_deepliif_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deepliif(tmp_path / "source")
    place = tmp_path / "source" / "DeepLIIF_Training_Set"
    iio.imwrite(place / "one.png", np.zeros((32, 64, 3), np.uint8))
    (tmp_path / "empty").mkdir()
    for source, more, said in (
        ("source", [], "6 square"),
        ("empty", [], "no PNG strip"),
        ("source", ["--panels", "cd3"], "'cd3' is none of ihc"),
        ("none", [], "does not exist"),
    ):
        arguments = ["convert", "deepliif", tmp_path / source, tmp_path / "set", *more]
        assert main([str(a) for a in arguments]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line
        assert not (tmp_path / "set").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
    (place / "one.png").write_bytes(b"no picture")
    assert main(["convert", "deepliif", str(tmp_path / "source"), str(tmp_path / "set")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def outlines(file: Path, truth: NDArray[np.int32]) -> None:
    """Write a zip of ImageJ outlines, as annotators draw them."""
    rois = []
    for number in np.unique(truth[truth > 0]):
        padded = np.pad((truth == number).astype(float), 1)
        line = max(find_contours(padded, 0.5), key=len)[:, ::-1] - 0.5
        roi = roifile.ImagejRoi.frompoints(line)
        roi.name = f"cell-{number}"
        rois.append(roi)
    roifile.roiwrite(file, rois)


def cpdmfci(folder: Path, platforms: dict[str, int], count: int = 3) -> None:
    for platform, channels in platforms.items():
        place = folder / platform
        place.mkdir(parents=True)
        for seed in range(count):
            image, truth = cells(seed, channels)
            write_tiff(place / f"crop{seed}.tif", image, "CYX")
            name = f"RoiSet_crop{seed}.zip" if seed == 1 else f"crop{seed}_rois.zip"
            outlines(place / name, truth)
        write_tiff(place / "unannotated.tif", image, "CYX")


def test_cpdmfci(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cpdmfci(tmp_path / "source", {"Vectra": 2, "CODEX": 7})
    run("cpdmfci", tmp_path / "source", tmp_path / "sets", "--test-percent", "40")
    report = json.loads(capsys.readouterr().out.splitlines()[-1])["sets"]
    assert [Path(one["set"]).name for one in report] == ["CODEX", "Vectra"]
    assert [len(one["channels"]) for one in report] == [7, 2]
    for platform in ("CODEX", "Vectra"):
        data = open_data_set(tmp_path / "sets" / platform)
        assert (len(data.train), len(data.test)) == (2, 1)
        for sample in (*data.train, *data.test):
            _, truth = cells(int(sample.name[-1]), 7 if platform == "CODEX" else 2)
            assert sample.truth is not None
            found = read_labels(sample.truth)
            assert evaluate([truth], [found]).map > 0.9


def test_cpdmfci_in_crops_all_platforms_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    for platform, names in (("Vectra", ("DAPI", "CD3", "panCK")), ("CODEX", ("CD45", "dapi"))):
        image, truth = cells(1, len(names), 100)
        write_tiff(source / platform / "a.tif", image, "CYX", names)
        outlines(source / platform / "a_rois.zip", truth)
    small = cells(2, 3, 40)
    write_tiff(source / "Vectra" / "b.tif", small[0], "CYX", ("DAPI", "CD3", "panCK"))
    outlines(source / "Vectra" / "b.zip", small[1])
    command = ["cpdmfci", source, tmp_path / "set", "--together", "--crop", "48"]
    run(*command, "--channels", "DAPI,CD45/PanCK", "--test-count", "3")
    (report,) = json.loads(capsys.readouterr().out.splitlines()[-1])["sets"]
    assert (report["train"] + report["left_out_without_cells"], report["test"]) == (6, 3)
    assert report["channels"] == ["DAPI", "CD45"]
    data = open_data_set(tmp_path / "set")
    samples = {sample.name: sample for sample in (*data.train, *data.test)}
    assert {"Vectra_b", "CODEX_a_0_0", "Vectra_a_1_1"} <= set(samples)
    (crop,) = read_images(samples["CODEX_a_1_0"].image)
    image, _ = cells(1, 2, 100)
    np.testing.assert_array_equal(crop.channels, image[[1, 0], 50:98, 2:50])
    for options, said in (
        (("--test-count", "9"), "leaves none of 9"),
        (("--channels", "DAPI,CD3"), "CODEX_a has no channel 'CD3'; its channels are CD45, dapi"),
        ((), "choose channels that all have (--channels)"),
    ):
        more = options if "--channels" in options else (*options, "--channels", "DAPI,1")
        more = more if said[:6] != "choose" else ()
        assert main(["convert", *map(str, command[:2]), str(tmp_path / "x"), "--together",
                     "--crop", "48", *more]) == 2  # fmt: skip
        assert said in capsys.readouterr().err


def test_validation_parts_of_cpdmfci_are_left_out(tmp_path: Path) -> None:
    made = {part: cells(seed) for seed, part in enumerate(("train", "val", "test"))}
    for part, (image, truth) in made.items():
        place = tmp_path / "source" / "Vectra" / part
        write_tiff(place / "x.tif", image, "CYX")
        outlines(place / "x.zip", truth)
    run("cpdmfci", tmp_path / "source", tmp_path / "sets")
    data = open_data_set(tmp_path / "sets" / "Vectra")
    for part, (sample,) in (("train", data.train), ("test", data.test)):
        (image,) = read_images(sample.image)
        np.testing.assert_array_equal(image.channels, made[part][0])


# An image that no part is named for may be drawn for the test.
@pytest.mark.parametrize(
    "names", [("train1/x", "train2/x"), ("x", "test/x"), ("a", "test/a"), ("a", "train/a")]
)
def test_images_of_one_name_are_told(
    names: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    for seed, name in enumerate(names):
        image, truth = cells(seed)
        write_tiff(source / "Vectra" / f"{name}.tif", image, "CYX")
        outlines(source / "Vectra" / f"{name}.zip", truth)
    assert main(["convert", "cpdmfci", str(source), str(tmp_path / "sets")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"Two images in {source} would be called {names[0][-1]}" in line
    assert not (tmp_path / "sets").exists()


@pytest.mark.parametrize("kind", ["tissuenet", "deepliif", "cpdmfci"])
def test_what_macos_leaves_in_archives_is_no_image(kind: str, tmp_path: Path) -> None:
    source = tmp_path / ".hidden" / "source"  # what lies above is nobody's concern
    source.mkdir(parents=True)
    if kind == "tissuenet":
        for part in ("train", "test"):
            tissuenet(source / f"{part}.npz", 1)
    elif kind == "deepliif":
        deepliif(source)
    else:
        cpdmfci(source, {"Vectra": 2})
    for file in [file for file in source.rglob("*") if file.is_file()]:
        (file.parent / f"._{file.name}").write_bytes(b"Mac OS X")
        leftover = source / "__MACOSX" / file.relative_to(source)
        leftover.parent.mkdir(parents=True, exist_ok=True)
        leftover.write_bytes(b"Mac OS X")
    run(kind, source, tmp_path / "sets")


def test_cpdmfci_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cpdmfci(tmp_path / "source", {"a": 2}, count=2)
    image, truth = cells(0, 3)
    write_tiff(tmp_path / "source" / "a" / "crop9.tif", image, "CYX")
    arguments = ["convert", "cpdmfci", str(tmp_path / "source"), str(tmp_path / "sets")]
    outlines(tmp_path / "source" / "a" / "crop9.zip", truth)
    assert main(arguments) == 2
    assert "different channels" in capsys.readouterr().err
    outlines(tmp_path / "source" / "a" / "crop9_rois.zip", truth)
    assert main(arguments) == 2
    assert "2 zips of outlines" in capsys.readouterr().err
    for file in (tmp_path / "source" / "a").glob("*.zip"):
        file.unlink()
    assert main(arguments) == 2
    assert "no TIFF image with an ImageJ ROI zip" in capsys.readouterr().err


def test_what_is_there_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tissuenet(tmp_path / "all.npz", 2)
    out = tmp_path / "set"
    out.mkdir()
    arguments = ["convert", "tissuenet", str(tmp_path / "all.npz"), str(out)]
    assert main(arguments) == 0  # an empty folder is as good as none
    assert main(arguments) == 2
    assert "exists already" in capsys.readouterr().err
    assert open_data_set(out).train


def test_only_one_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tissuenet(tmp_path / "train.npz", 2)
    assert main(["convert", "tissuenet", str(tmp_path / "train.npz"), str(tmp_path / "s")]) == 2
    assert "No test image" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("tissuenet_v1.0_train", "train"),
        ("DeepLIIF_Testing_Set", "test"),
        ("val", "validation"),
        ("latest", ""),
    ],
)
def test_parts_by_name(name: str, part: str) -> None:
    assert public_datasets.part_of(name) == part
