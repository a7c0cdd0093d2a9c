"""Whatever labels there are, each file gives them back."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_impartial.core.errors import ImPartialError
from napari_impartial.io.labels import open_labels
from napari_impartial.io.object_files import Objects, write_objects
from napari_impartial.io.region_files import read_regions
from napari_impartial.io.regions import rasterise


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@st.composite
def stacks(draw: st.DrawFn) -> Objects:
    """Labels of any form: holes, parts, single pixels, objects that go on in other planes."""
    axes = draw(st.sampled_from(["", "T", "Z", "TZ", "ZT"]))
    shape = tuple(draw(st.integers(2, 3)) for _ in axes)
    plane = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    numbers = st.sampled_from([0, 0, 1, 2, 70_000, 2**24 + 1, 999_999_999])
    labels = draw(hnp.arrays(np.int32, (*shape, *plane), elements=numbers))
    return Objects(labels, axes, n_channels=draw(st.integers(1, 3)))


@settings(max_examples=60, deadline=None)
@given(objects=stacks())
@pytest.mark.parametrize("kind", ["instances", "rois", "outlines"])
def test_labels_come_back(folder: Path, kind: str, objects: Objects) -> None:
    suffix = {"instances": ".tif", "rois": ".zip", "outlines": ".geojson"}[kind]
    file, labels = folder / f"a{suffix}", objects.labels
    lengths = dict(zip(objects.stack_axes, labels.shape, strict=False))
    in_order = labels.swapaxes(0, 1) if objects.stack_axes == "ZT" else labels
    if kind == "instances":
        write_objects(kind, file, objects)
        found = open_labels(file)
        np.testing.assert_array_equal(found.in_order(), in_order)
        assert found.axes == objects.stack_axes
        return
    if not labels.any():
        with pytest.raises(ImPartialError, match="no object"):
            write_objects(kind, file, objects)
        return
    write_objects(kind, file, objects)
    axes = "".join(sorted(objects.stack_axes))
    shape = labels.shape[-2:]
    again = rasterise(
        read_regions(file), shape, axes, tuple(lengths[a] for a in axes), objects.n_channels
    )
    np.testing.assert_array_equal(again, in_order)
