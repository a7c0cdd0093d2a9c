"""The command that writes the objects of a slide for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_impartial.io import read_labels

from .conftest import Cli


@pytest.fixture
def store(tmp_path: Path, tiny_tissue: Any, write_results: Any) -> Path:
    made = write_results(tmp_path / "results", tiny_tissue.truth)
    made["store"].rename(tmp_path / "results" / "slide.ome.zarr")
    made["table"].rename(tmp_path / "results" / "slide_measurements.csv")
    return tmp_path / "results" / "slide.ome.zarr"


def test_objects_are_written_as_a_table_has_them(
    store: Path, tiny_tissue: Any, cli: Cli, tmp_path: Path
) -> None:
    n = int(tiny_tissue.truth.max())
    out = tmp_path / "all.geojson"
    done = cli("export", store, "--out", out, "--pixel-width", "2", "--json")
    assert done.status == 0, done.err
    assert done.json["objects"] == str(out)
    features = json.loads(out.read_text())["features"]
    assert len(features) == n
    corners = np.concatenate([np.array(f["geometry"]["coordinates"][0]) for f in features])
    assert 96 < corners.max() <= 192, "in pixels of the finest resolution"
    rows = (store.parent / "slide_measurements.csv").read_text().splitlines()
    edited = tmp_path / "edited.csv"
    edited.write_text("\n".join([rows[0], *rows[3:]]) + "\n")
    done = cli("export", store, "--out", tmp_path / "left.ome.zarr", "--table", edited)
    assert done.status == 0, done.err
    assert "left.ome.zarr: written" in done.out
    truth = tiny_tissue.truth
    expected = np.where(truth > 2, truth, 0)
    np.testing.assert_array_equal(read_labels(tmp_path / "left.ome.zarr"), expected)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--out", "a.zip"], "Give --model"),
        (["--out", "a.geojson", "--table", "none.csv"], "cannot be read"),
        (["--out", "a.geojson", "--table", "strange.csv"], "different runs"),
        (["--out", "a.geojson", "--table", "other.csv"], "no table of objects"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(
    more: list[str], words: str, store: Path, cli: Cli, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("strange.csv").write_text("label\n99999\n")
    Path("other.csv").write_text("name\nx\n")
    done = cli("export", store, *more)
    assert done.status == 2
    assert words in done.err
    assert len(done.err.splitlines()) == 1
