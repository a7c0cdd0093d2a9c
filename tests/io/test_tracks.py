"""Tracks go to napari's Tracks layer and to GEFF."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geff
import numpy as np
import pytest
import zarr

from napari_impartial.core import atomic_write
from napari_impartial.core.errors import ImPartialError
from napari_impartial.io import tracks
from napari_impartial.io.tracks import Tracks, write_geff, write_tracks

TABLE = {
    "t": np.array([0, 0, 1, 2, 2]),
    "label": np.array([1, 2, 1, 1, 2]),
    "centroid_y": np.array([1.5, 9.0, 1.75, 2.0, 9.5]),
    "centroid_x": np.array([4.0, 2.0, 4.0, 4.25, 2.5]),
    "area_px": np.array([9, 9, 9, 9, 9]),
}


def test_napari_shows_the_table(tmp_path: Path) -> None:
    from napari.layers import Tracks as Layer

    path = tmp_path / "a_tracks.csv"
    write_tracks(path, Tracks.of(TABLE))
    assert path.read_text("utf-8").splitlines()[0] == "track_id,t,y,x"
    layer = Layer(np.loadtxt(path, delimiter=",", skiprows=1))
    assert layer.data[:, 0].tolist() == [1, 1, 1, 2, 2]
    np.testing.assert_allclose(layer.data[3], [2, 0, 9, 2])
    assert layer.ndim == 3


def test_geff_is_a_graph_in_zarr(tmp_path: Path) -> None:
    path = tmp_path / "a_tracks.geff"
    tracks = Tracks.of(TABLE | {"z": np.array([3, 3, 4, 4, 3])})
    for _ in range(2):  # the second one replaces the first
        write_geff(path, tracks, (0.5, 0.25), "µm", {"Z": 2.0, "T": 60.0})
    graph = zarr.open_group(str(path), mode="r")
    assert graph["nodes/ids"][:].tolist() == [0, 1, 2, 3, 4]
    assert graph["edges/ids"][:].tolist() == [[0, 1], [1, 2], [3, 4]]
    assert graph["nodes/props/track_id/values"][:].tolist() == [1, 1, 1, 2, 2]
    about = json.loads((path / ".zattrs").read_text("utf-8"))["geff"]
    steps = {a["name"]: (a["type"], a["scale"], a["scaled_unit"]) for a in about["axes"]}
    assert steps == {
        "t": ("time", 60.0, "second"),
        "z": ("space", 2.0, "micrometer"),
        "y": ("space", 0.5, "micrometer"),
        "x": ("space", 0.25, "micrometer"),
    }
    assert [path.name for path in tmp_path.iterdir()] == ["a_tracks.geff"]


@pytest.mark.parametrize("rows", [0, 5])
def test_the_reference_reads_geff(rows: int, tmp_path: Path) -> None:
    table = {name: column[:rows] for name, column in TABLE.items()}
    write_geff(tmp_path / "a.geff", Tracks.of(table), (0.5, 0.25), "µm")
    graph, about = geff.read(tmp_path / "a.geff")
    assert len(graph) == rows
    assert list(graph.edges) == ([(0, 1), (1, 2), (3, 4)] if rows else [])
    if rows:
        assert graph.nodes[4] == {"track_id": 2, "t": 2, "y": 9.5, "x": 2.5}
    assert [axis.name for axis in about.axes] == ["t", "y", "x"]


def test_what_is_no_graph_stays(tmp_path: Path) -> None:
    (tmp_path / "a.geff").mkdir()
    with pytest.raises(ImPartialError, match="is no GEFF store; move it"):
        write_geff(tmp_path / "a.geff", Tracks.of(TABLE))


def test_nobody_sweeps_away_a_graph_that_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = tracks._write

    def swept(group: Any, name: str, values: Any) -> None:
        write(group, name, values)
        atomic_write.sweep(tmp_path)
        assert len(list(tmp_path.iterdir())) == 1

    monkeypatch.setattr(tracks, "_write", swept)
    write_geff(tmp_path / "a.geff", Tracks.of(TABLE))
    graph, _ = geff.read(tmp_path / "a.geff")
    assert len(graph) == len(TABLE["t"])
