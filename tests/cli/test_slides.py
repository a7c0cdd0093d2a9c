"""Large images and many images, by the command line."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from napari_impartial.cli.file_list import find_images
from napari_impartial.cli.inputs import Reading, read_image_file
from napari_impartial.cli.main import main
from napari_impartial.core.data.image import normalize, scale
from napari_impartial.core.data.mask_scribbles import simulate
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.network.model_card import read_card
from napari_impartial.io import read_labels, write_tiff
from napari_impartial.io.lazy_files import open_lazy
from napari_impartial.io.ome_zarr import open_image, open_labels
from napari_impartial.io.ome_zarr_writer import Layout, write_image
from napari_impartial.slides.ranges import ranges as ranges_of
from napari_impartial.slides.source import open_source

from .conftest import QUICK, Files, Trained


def as_zarr(path: Path, channels: np.ndarray) -> Path:
    names = ("nucleus", "membrane")
    layout = Layout(channels.shape, "CYX", channels.dtype, channel_names=names)
    write_image(path, channels, layout)
    return path


def group_of(about: dict[str, Any]) -> str:
    """Return the metadata of a group of zarr 3."""
    return json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {"ome": about}})


def test_a_store_goes_in_and_a_store_comes_out(
    trained: Trained, files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = as_zarr(tmp_path / "cells.ome.zarr", files.test.image.channels)
    common = ["predict", str(image), "--model", str(trained.path), "--samples", "0", "--json"]
    assert main([*common, "--out", str(tmp_path / "tiff")]) == 0
    expected = read_labels(tmp_path / "tiff" / "cells_instances.tif")
    zarr = ["--format", "zarr", "--block-px", "64", "--zarr-version", "0.4"]
    capsys.readouterr()
    assert main([*common, *zarr, "--out", str(tmp_path / "zarr")]) == 0
    (entry,) = json.loads(capsys.readouterr().out.splitlines()[-1])["images"]
    found = read_labels(entry["store"])
    np.testing.assert_array_equal(found > 0, expected > 0)
    assert entry["n_cells"] == found.max() == expected.max()
    assert entry["area_px"] == np.count_nonzero(expected)
    assert entry["classes"] == {read_card(trained.path).class_names[1]: entry["n_cells"]}
    names = ["cells.ome.zarr", "cells_measurements.csv", "cells_suggestions.json"]
    assert sorted(path.name for path in (tmp_path / "zarr").iterdir()) == names
    truth = tmp_path / "t.tif"
    write_tiff(truth, expected, "YX")
    capsys.readouterr()
    assert main(["evaluate", "--pred", entry["store"], "--truth", str(truth), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["f1"] == 1.0


def test_another_threshold_cuts_a_store_anew_and_says_so(
    trained: Trained, files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = as_zarr(tmp_path / "cells.ome.zarr", files.test.image.channels)
    common = ["predict", str(image), "--model", str(trained.path), "--samples", "0", "--format",
              "zarr", "--block-px", "64", "--out", str(tmp_path / "out")]  # fmt: skip

    def said(*more: str) -> str:
        capsys.readouterr()
        assert main([*common, *more]) == 0
        return capsys.readouterr().out.splitlines()[-1]

    assert "anew" not in said()
    (entry,) = json.loads(said("--threshold", "0.7", "--json"))["images"]
    assert entry["blocks_kept"] == entry["blocks"] > 1
    assert said("--threshold", "0.3").endswith(" s, cut anew from its maps")
    (entry,) = json.loads(said("--samples", "2", "--json"))["images"]
    assert entry["blocks_kept"] == 0


def test_slices_that_are_scaled_alike(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    cells = files.train.image.channels[:, :96, :96]
    noise = rng.normal(cells.min(), 0.01 * np.ptp(cells), cells.shape)
    stack = np.stack([noise, cells, cells[:, ::-1], noise]).astype(np.float32)
    image, strokes, model = tmp_path / "s.tif", tmp_path / "d.tif", tmp_path / "m.impartial"
    write_tiff(image, stack, "ZCYX", files.train.image.channel_names)
    drawn = np.zeros((4, 96, 96), np.uint8)
    drawn[1] = simulate(files.train.truth[:96, :96], 0.5, rng)[0].labels
    write_tiff(strokes, drawn, "ZYX")
    train = ["train", str(image), "--scribbles", str(strokes), "--model", str(model), *QUICK]
    assert main([*train, "--scale-over", "volume"]) == 0
    assert read_card(model).scaled_over == "volume"
    common = ["predict", str(image), "--model", str(model), "--samples", "0"]
    for kind in ("tiff", "zarr"):
        out = tmp_path / kind
        more = ["--format", kind, *(["--block-px", "64"] if kind == "zarr" else [])]
        assert main([*common, *more, "--out", str(out)]) == 0
    maps = open_image(tmp_path / "zarr" / "s.ome.zarr").array[0]
    probability = tifffile.imread(tmp_path / "tiff" / "s_probability.tif")
    np.testing.assert_allclose(maps, probability, atol=0.02)
    source = open_source([image])
    planes = read_image_file([image], Reading(over_volume=True)).planes
    ranges = ranges_of(source, 3, 1.0, 98.0, over_volume=True)
    assert ranges == ranges_of(source, 0, 1.0, 98.0, over_volume=True)
    scaled = scale(planes[3].channels, ranges)
    np.testing.assert_allclose(scaled, normalize(planes[3]), atol=1e-5)
    assert scaled.std() < 0.1 < normalize(dataclasses.replace(planes[3], sample=None)).std()
    # Going on with a model keeps to it.
    again = [*train[: -len(QUICK)], "--init", str(model), "--max-steps", "2"]
    assert main(again) == 0
    assert (read_card(model).rounds, read_card(model).scaled_over) == (2, "volume")


def test_a_series_becomes_tracks(
    trained: Trained, files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from napari.layers import Tracks

    series = np.stack([np.roll(files.test.image.channels, i, axis=2) for i in range(3)])
    image = tmp_path / "s.tif"
    size = {"pixel_size": (0.5, 0.5), "pixel_unit": "µm"}
    names = files.test.image.channel_names
    write_tiff(image, series, "TCYX", names, **size, spacing={"T": 30.0})
    common = ["predict", str(image), "--model", str(trained.path), "--samples", "0", "--json"]
    found = {}
    for kind in ("tiff", "zarr"):
        out = tmp_path / kind
        assert main([*common, "--link", "t", "--format", kind, "--out", str(out)]) == 0
        (entry,) = json.loads(capsys.readouterr().out.splitlines()[-1])["images"]
        labels = read_labels(entry["store" if kind == "zarr" else "instances"])
        assert len(labels) == 3
        tracks = Tracks(np.loadtxt(entry["tracks"], delimiter=",", skiprows=1))
        assert len(np.unique(tracks.data[:, 0])) == entry["n_cells"] == np.max(labels)
        for label, t, y, x in tracks.data:
            ys, xs = np.nonzero(labels[int(t)] == label)
            assert (y, x) == (
                pytest.approx(ys.mean(), abs=1e-3),
                pytest.approx(xs.mean(), abs=1e-3),
            )
        about = json.loads((Path(entry["graph"]) / ".zattrs").read_text("utf-8"))["geff"]
        assert [axis.get("scale") for axis in about["axes"]] == [30.0, 0.5, 0.5]
        found[kind] = labels
    same = found["tiff"][0] > 0
    np.testing.assert_array_equal(same, found["zarr"][0] > 0)
    assert open_lazy(tmp_path / "tiff" / "s_instances.tif").spacing == {"T": 30.0}
    assert open_labels(tmp_path / "zarr" / "s.ome.zarr").spacing == {"T": 30.0}
    # without links, what lies there is told to be of another run
    for kind in ("tiff", "zarr"):
        assert main([*common, "--format", kind, "--out", str(tmp_path / kind)]) == 0
        said = capsys.readouterr().err
        for ending in ("csv", "geff"):
            assert f"s_tracks.{ending} is of an earlier run" in said


def test_one_that_fails_does_not_end_the_run(
    trained: Trained, files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    as_zarr(folder / "b.ome.zarr", files.test.image.channels)
    shutil.copy(files.test_image, folder / "c.tif")
    (folder / "a.tif").write_text("no image")
    arguments = ["predict", str(folder), str(folder / "*.tif"), "--model", str(trained.path)]
    arguments += ["--samples", "0", "--out", str(out), "--json"]
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert [line for line in told.err.splitlines() if "a.tif cannot be read" in line]
    assert "1 of 3 images failed" in told.err.splitlines()[-1]
    with (out / "summary.csv").open(newline="", encoding="utf-8") as file:
        rows = {Path(row["image"]).name: row for row in csv.DictReader(file)}
    assert list(rows) == ["a.tif", "b.ome.zarr", "c.tif"]
    assert "cannot be read" in rows["a.tif"]["failure"]
    assert int(rows["c.tif"]["cells"]) == read_labels(out / "c_instances.tif").max()
    assert rows["b.ome.zarr"]["cells"] == rows["c.tif"]["cells"]
    shutil.copy(files.test_image, folder / "a.tif")
    before = (out / "c_instances.tif").stat().st_mtime_ns
    assert main([*arguments, "--resume"]) == 0
    assert (out / "c_instances.tif").stat().st_mtime_ns == before
    assert (out / "a_instances.tif").exists()
    # Pixels of a store that changed are noticed, though its metadata are as they were.
    zarr.open_array(folder / "b.ome.zarr" / "0", mode="r+")[...] = files.test.image.channels[
        :, ::-1
    ]
    capsys.readouterr()
    assert main([*arguments, "--resume"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["images"]
    assert ["skipped" in entry for entry in found] == [True, False, True]


def test_what_strokes_are_read_as_is_part_of_a_run(
    trained: Trained, files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = np.zeros(files.test.image.shape, np.uint8)
    drawn[4:8, 4:8], drawn[20:24, 20:24] = 1, 2
    write_tiff(tmp_path / "s.tif", drawn, "YX")
    for name in ("a.tif", "b.tif"):
        shutil.copy(files.test_image, tmp_path / name)
    common = ["predict", str(tmp_path / "a.tif"), str(tmp_path / "b.tif"), "--samples", "0"]
    common += ["--model", str(trained.path), "--out", str(tmp_path / "out"), "--json"]
    common += ["--scribbles", str(tmp_path / "s.tif"), str(tmp_path / "s.tif"), "--resume"]
    for option, skipped in (("--no-partial-masks", False), ("--partial-masks", False)):
        for again in (skipped, True):
            capsys.readouterr()
            assert main([*common, option]) == 0
            found = json.loads(capsys.readouterr().out.splitlines()[-1])["images"]
            assert ["skipped" in entry for entry in found] == [again, again]
    drawn[30:34, 4:8] = 3
    write_tiff(tmp_path / "s.tif", drawn, "YX")
    for form in ("tiff", "zarr"):
        assert main([*common, "--no-partial-masks", "--format", form]) == 2
        said = capsys.readouterr().err
        assert "s.tif holds label 3, and" in said
        assert "knows 2 classes" in said


def test_what_is_meant(tmp_path: Path) -> None:
    written = ("a_instances.tif", "a_scribbles10.tif", ".c.tif", "notes.txt", "summary.csv")
    for name in ("a.tif", "b.png", "s.svs", "z.czi", *written):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "a_tracks.geff").mkdir()
    (tmp_path / "a_tracks.geff" / ".zgroup").write_text("{}")
    (tmp_path / "link.tif").symlink_to(tmp_path / "a.tif")
    a, b, s, z = (tmp_path / name for name in ("a.tif", "b.png", "s.svs", "z.czi"))
    assert find_images([tmp_path]) == [a, b, s, z]
    assert find_images([b, tmp_path, tmp_path / "a.*"]) == [b, a, s, z]
    assert find_images([tmp_path / "*"]) == [a, b, s, z]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a2.tif").write_bytes(b"")
    assert find_images([tmp_path / "*" / "a*.tif"]) == [tmp_path / "deep" / "a2.tif"]
    assert find_images([tmp_path / "a_instances.tif"]) == [tmp_path / "a_instances.tif"]
    assert find_images([tmp_path / "missing.tif"]) == [tmp_path / "missing.tif"]
    with pytest.raises(ImPartialError, match="matches no file"):
        find_images([tmp_path / "q*.tif"])
    with pytest.raises(ImPartialError, match="matches no image"):
        find_images([tmp_path / "*.txt"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImPartialError, match="a folder without images"):
        find_images([tmp_path / "empty"])


def test_results_beside_the_images_are_not_taken_for_images(
    trained: Trained, files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.tif", "b.tif"):
        shutil.copy(files.test_image, tmp_path / name)
    common = ["--model", str(trained.path), "--samples", "0", "--out", str(tmp_path), "--json"]
    common += ["--format", "zarr", "--block-px", "64"]
    for given in (str(tmp_path), str(tmp_path / "*"), str(tmp_path)):
        capsys.readouterr()
        assert main(["predict", given, *common, "--resume"]) == 0
        found = json.loads(capsys.readouterr().out.splitlines()[-1])["images"]
        assert [Path(entry["image"]).name for entry in found] == ["a.tif", "b.tif"]
    assert all(entry["skipped"] for entry in found)
    # Another image of the same name is another image.
    write_tiff(
        tmp_path / "b.tif", files.test.image.channels[:, :70], "CYX", ["nucleus", "membrane"]
    )
    assert main(["predict", str(tmp_path), *common, "--resume"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["images"]
    assert ["skipped" in entry for entry in found] == [True, False]


def test_a_plate_of_which_a_part_is_broken(
    trained: Trained, files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plate = tmp_path / "in" / "p.ome.zarr"
    wells = ["A/1", "A/2", "B/1"]
    for well in wells:
        as_zarr(plate / well / "0", files.test.image.channels)
        about = {"version": "0.5", "well": {"images": [{"path": "0"}]}}
        (plate / well / "zarr.json").write_text(group_of(about))
    about = {"version": "0.5", "plate": {"wells": [{"path": well} for well in [*wells, "B/2"]]}}
    (plate / "zarr.json").write_text(group_of(about))
    (plate / "A" / "2" / "zarr.json").write_text("{")
    (tmp_path / "in" / "empty.zarr").mkdir()
    command = ["predict", str(tmp_path / "in"), "--model", str(trained.path), "--samples", "0"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 4
    assert "3 of 5 images failed" in told[-1]
    with (tmp_path / "out" / "summary.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["well"] for row in rows] == ["", "A/1", "A/2", "B/1", "B/2"]
    assert [bool(row["failure"]) for row in rows] == [True, False, True, False, True]
    assert "its metadata is damaged" in rows[2]["failure"]
    assert "does not exist" in rows[4]["failure"]


def test_a_fault_of_the_program_does_not_end_the_run(
    trained: Trained, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from napari_impartial.cli import predict as command

    usual, seen = command.predict_file, []

    def faulty(file: Any, *arguments: Any) -> Any:
        seen.append(file.name)
        if file.name == "a":
            raise RuntimeError("a bug")
        return usual(file, *arguments)

    monkeypatch.setattr(command, "predict_file", faulty)
    for name in ("a.tif", "b.tif"):
        shutil.copy(files.test_image, tmp_path / name)
    arguments = ["predict", str(tmp_path), "--model", str(trained.path), "--samples", "0"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    assert "internal error: RuntimeError: a bug" in capsys.readouterr().err
    assert (seen, (tmp_path / "out" / "b_instances.tif").exists()) == (["a", "b"], True)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--level", "3"], "no level 3"),
        (["--workers", "2"], "add --format zarr"),
        (["--link", "z"], "is a single plane; --link z needs several planes"),
        (["--format", "zarr", "--link", "z"], "is a single plane; --link z needs several planes"),
        (["--format", "zarr", "--scheduler", "tcp://127.0.0.1:9"], "No Dask scheduler answers"),
    ],
)
def test_what_cannot_be(
    more: list[str],
    said: str,
    trained: Trained,
    files: Files,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import distributed

    usual = distributed.Client.__init__

    def impatient(self: distributed.Client, address: str, **more: Any) -> None:
        usual(self, address, **{**more, "timeout": "1s"})

    monkeypatch.setattr(distributed.Client, "__init__", impatient)
    image = as_zarr(tmp_path / "cells.ome.zarr", files.test.image.channels)
    arguments = ["predict", str(image), "--model", str(trained.path), "--samples", "0"]
    assert main([*arguments, "--out", str(tmp_path / "out"), *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
