"""Intensities that become 0 and 1, read part by part by the workers of a run."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_impartial.core.config import InstanceConfig, PredictionConfig, SuggestionConfig
from napari_impartial.core.data import image as of_images
from napari_impartial.core.data.image import intensity_range, planes, with_samples
from napari_impartial.core.network.model_card import read_card
from napari_impartial.io import write_tiff
from napari_impartial.io.ome_zarr_writer import Layout, write_image
from napari_impartial.slides import ranges as of_ranges
from napari_impartial.slides.engine import Engine, engine
from napari_impartial.slides.job import Job, make_job
from napari_impartial.slides.kept import of_plane
from napari_impartial.slides.ranges import parts_of, read_ranges
from napari_impartial.slides.source import open_source


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample is taken of small images, too, and small parts are read."""
    for module in (of_images, of_ranges):
        monkeypatch.setattr(module, "MOST_PIXELS_RANKED", 10_000)
        monkeypatch.setattr(module, "SAMPLE_PIXELS", 900)
    monkeypatch.setattr(of_images, "_VOLUME_SAMPLE", 5000)
    monkeypatch.setattr(of_ranges, "_PART_BYTES", 10_000)


@pytest.fixture
def threads() -> Iterator[Engine]:
    with engine() as found:
        found.run(time.sleep, [(0.1,)] * 16, bool)
        yield found


def stack(dtype: Any, shape: tuple[int, int] = (130, 150)) -> np.ndarray:
    """Two time points of three slices of two channels, the second nearly all of one value."""
    rng = np.random.default_rng(3)
    found = rng.gamma(2.0, 300.0, (2, 3, 2, *shape))
    found[:, :, 1] = 40
    found[:, :, 1, :2] = rng.gamma(2.0, 300.0, (2, 3, 2, shape[1]))
    found *= np.arange(1, 7).reshape(2, 3, 1, 1, 1)
    return found.astype(dtype)


def job_of(image: Path, model: Path, axes: str) -> Job:
    return make_job(
        [image], axes, 0, (0, 1), model, read_card(model),
        (PredictionConfig(), InstanceConfig(), SuggestionConfig()),
        image.with_name("out.ome.zarr"), block_px=64,
    )  # fmt: skip


@pytest.mark.parametrize("over_volume", [False, True])
@pytest.mark.parametrize("kind", ["uint16", "float32", "interleaved", "small", "zarr"])
def test_workers_find_what_is_found_in_memory(
    kind: str, over_volume: bool, tmp_path: Path, small_model: Path, threads: Engine
) -> None:
    shape = (80, 90) if kind == "small" else (130, 150)
    values = stack("float32" if kind == "float32" else "uint16", shape)
    image, axes = tmp_path / "a.tif", "TZCYX"
    if kind == "zarr":
        image, axes = tmp_path / "a.ome.zarr", "TCZYX"
        layout = Layout(values.swapaxes(1, 2).shape, axes, np.uint16, chunk_px=32)
        write_image(image, values.swapaxes(1, 2), layout)
    elif kind == "interleaved":
        axes = "TZYXC"
        tifffile.imwrite(image, values.transpose(0, 1, 3, 4, 2), photometric="minisblack")
    else:
        write_tiff(image, values, axes)
    in_memory = planes(values, "TZCYX")
    if over_volume:
        in_memory = [p for t in range(2) for p in with_samples(in_memory[3 * t : 3 * t + 3])]
    job = replace(job_of(image, small_model, axes), over_volume=over_volume)
    shares: list[float] = []
    read_ranges(job, [1, 2, 5], threads, shares.append)
    for number in (1, 2, 5):
        found = json.loads(of_plane(job, "ranges", number, "json").read_text("utf-8"))
        plane = in_memory[number]
        expected = [
            intensity_range(channel)
            for channel in (plane.channels if plane.sample is None else plane.sample)
        ]
        np.testing.assert_array_equal(found, expected)
    assert len(shares) >= 3
    assert shares[-1] == pytest.approx(1.0)
    assert [p.name for p in job.folder.iterdir()] == ["ranges"]


def test_parts_follow_the_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = tmp_path / "a.ome.zarr"
    layout = Layout((300, 500), "YX", np.uint16, chunk_px=64)
    write_image(image, np.ones((300, 500), np.uint16), layout)
    source = open_source([image])
    seen = np.zeros(source.shape, int)
    for y, x in parts_of(source):
        assert y.start % 64 == x.start % 64 == 0
        assert (y.stop - y.start) * (x.stop - x.start) <= 5000
        seen[y, x] += 1
    assert (seen == 1).all()
    monkeypatch.setattr(of_ranges, "_PART_BYTES", 1 << 17)
    assert {(y.stop - y.start, x.stop) for y, x in parts_of(source)[:-1]} == {(128, 500)}
    # A chunk that is larger is taken whole, unless it is far larger.
    monkeypatch.setattr(of_ranges, "_PART_BYTES", 1000)
    assert len(parts_of(source)) == 5 * 8
    monkeypatch.setattr(of_ranges, "_PART_BYTES", 400)
    assert {x.stop - x.start for _, x in parts_of(source)} == {500}


def test_threads_read_at_the_same_time(
    tmp_path: Path, small_model: Path, threads: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout((2, 130, 150), "CYX", np.uint16, chunk_px=32)
    write_image(tmp_path / "a.ome.zarr", stack("uint16")[0, 0], layout)
    job = job_of(tmp_path / "a.ome.zarr", small_model, "CYX")
    names: set[int] = set()
    before = of_ranges._values

    def slow(*args: Any) -> Any:
        names.add(threading.get_ident())
        time.sleep(0.02)
        return before(*args)

    monkeypatch.setattr(of_ranges, "_values", slow)
    read_ranges(job, [0], threads, bool)
    assert len(names) > 1


def test_what_is_kept_of_a_part_does_not_hold_the_rest_of_it(tmp_path: Path) -> None:
    image = tmp_path / "a.tif"
    write_tiff(image, stack("uint16"), "TZCYX", ("a", "b"))
    source = open_source([image], "TZCYX")
    area = (slice(0, 130), slice(0, 150))
    (kept,) = of_ranges._values(source, 0, area, {1: (40, 7)}, 1)
    assert 0 < len(kept) < 60
    assert kept.base is None
