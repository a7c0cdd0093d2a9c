"""Large images and many images, by the command line."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_impartial.cli.file_list import find_images
from napari_impartial.cli.main import main
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.network.model_card import read_card
from napari_impartial.io import read_label_stack, read_labels, write_tiff
from napari_impartial.io.lazy_files import open_lazy
from napari_impartial.io.ome_zarr import open_labels
from napari_impartial.io.ome_zarr_writer import Layout, write_image

from .conftest import Files, Trained


def as_zarr(path: Path, channels: np.ndarray) -> Path:
    names = ("nucleus", "membrane")
    layout = Layout(channels.shape, "CYX", channels.dtype, channel_names=names)
    write_image(path, channels, layout)
    return path


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
        labels = read_label_stack(entry["store" if kind == "zarr" else "instances"])
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


def test_what_is_meant(tmp_path: Path) -> None:
    for name in ("a.tif", "b.png", "a_instances.tif", "a_scribbles10.tif", ".c.tif", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    a, b = tmp_path / "a.tif", tmp_path / "b.png"
    assert find_images([tmp_path]) == [a, b]
    assert find_images([b, tmp_path, tmp_path / "a.*"]) == [b, a]
    assert find_images([tmp_path / "missing.tif"]) == [tmp_path / "missing.tif"]
    with pytest.raises(ImPartialError, match="matches no file"):
        find_images([tmp_path / "q*.tif"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImPartialError, match="a folder without images"):
        find_images([tmp_path / "empty"])


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
) -> None:
    image = as_zarr(tmp_path / "cells.ome.zarr", files.test.image.channels)
    arguments = ["predict", str(image), "--model", str(trained.path), "--samples", "0"]
    assert main([*arguments, "--out", str(tmp_path / "out"), *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
