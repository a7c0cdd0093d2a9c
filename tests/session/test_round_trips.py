"""Whatever a session consists of, its folder gives it back."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_impartial.core.review.annotation import from_bytes, to_bytes
from napari_impartial.core.review.review import Region, Review, Verdict
from napari_impartial.session import saved_state as saved
from napari_impartial.session.folder import Kept, SessionFolder, Stored

# Names of files that are not UTF-8 hold surrogates.
TEXT = st.text(st.characters(codec=None), max_size=12)
NUMBER = st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.none() | st.booleans() | NUMBER | TEXT
SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)
DTYPES = st.sampled_from([np.uint8, np.int32, np.uint16, np.float32, np.float16, bool, np.int64])


@st.composite
def kept(draw: st.DrawFn) -> Kept:
    array = draw(hnp.arrays(draw(DTYPES), draw(SHAPES)))
    return Kept(array, sparse=draw(st.booleans()))


NAMES = TEXT.filter(lambda name: not name.startswith("$"))
CONTENT = st.recursive(
    PLAIN | kept(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


def same(given: Any, read: Any) -> bool:
    if isinstance(given, Kept):
        assert isinstance(read, Stored)
        array = read.load()
        equal = np.array_equal(array, given.source, equal_nan=given.source.dtype.kind == "f")
        return array.dtype == given.source.dtype and array.shape == given.source.shape and equal
    if isinstance(given, dict):
        return given.keys() == read.keys() and all(same(given[n], read[n]) for n in given)
    if isinstance(given, list):
        return len(given) == len(read) and all(map(same, given, read))
    return type(given) is type(read) and given == read


@settings(max_examples=60, deadline=None)
@given(states=st.lists(st.dictionaries(NAMES, CONTENT, max_size=4), min_size=1, max_size=3))
def test_states_come_back(states: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = SessionFolder(Path(name) / "s")
        for state in states:
            folder.write(state)
            losses: list[str] = []
            assert same(state, SessionFolder(folder.path).read(losses))
            assert losses == []


def built(kind: Any, **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for one of the dataclasses; what is not given follows its type."""
    known: dict[str, st.SearchStrategy[Any]] = {
        "str": TEXT, "bool": st.booleans(), "int": st.integers(-(10**9), 10**9), "Any": st.none(),
        "float": st.floats(-1e9, 1e9), "str | None": st.none() | TEXT,
        "float | None": st.none() | st.floats(-1e9, 1e9),
        "int | None": st.none() | st.integers(0, 9),
        "Path | ImPartialError | None": st.none(),
        "dict[str, Any]": st.dictionaries(NAMES, PLAIN, max_size=2),
        "list[dict[str, Any]]": st.lists(st.dictionaries(NAMES, PLAIN, max_size=2), max_size=2),
        "list[list[int]]": st.lists(st.lists(st.integers(0, 9), max_size=2), max_size=2),
        "list[int]": st.lists(st.integers(0, 10**6), max_size=3),
        "list[str]": st.lists(TEXT, max_size=2),
        "list[float]": st.lists(st.floats(-1e9, 1e9), max_size=3),
    }  # fmt: skip
    for one in dataclasses.fields(kind):
        if one.name not in parts and one.metadata.get("written", True):
            parts[one.name] = known[str(one.type)]
    return st.builds(kind, **parts)


LAYERS = st.lists(built(saved.SavedLayer), max_size=2)
PLANES = built(saved.SavedPlane, dismissed=st.lists(built(saved.SavedDismissal), max_size=1))
IMAGES = built(
    saved.SavedImage,
    scribbles=st.none() | built(saved.SavedLayer),
    instances=st.none() | built(saved.SavedLayer),
    planes=st.lists(PLANES, max_size=2),
)
ROUNDS = built(saved.SavedRound, masks=st.lists(built(saved.SavedMask), max_size=1))
SESSIONS = built(
    saved.SavedSession,
    layers=LAYERS,
    loose=LAYERS,
    images=st.lists(IMAGES, max_size=2),
    rounds=st.lists(ROUNDS, max_size=2),
    view=built(saved.SavedView),
)


@settings(max_examples=60, deadline=None)
@given(session=SESSIONS)
def test_sessions_come_back(session: saved.SavedSession) -> None:
    content = json.loads(json.dumps(saved.to_content(session)))
    losses: list[str] = []
    assert saved.from_content(saved.SavedSession, content, losses) == session
    assert losses == []


@st.composite
def regions(draw: st.DrawFn) -> Region:
    shape = hnp.array_shapes(min_dims=2, max_dims=2, max_side=6)
    mask = draw(hnp.arrays(bool, shape).filter(lambda mask: mask.any()))
    at = st.integers(0, 2000)
    verdict, kind = draw(st.sampled_from(Verdict)), draw(st.integers(2, 9))
    return Region(draw(st.integers(0, 2**31 - 1)), verdict, draw(at), draw(at), mask, kind)


@settings(max_examples=60, deadline=None)
@given(found=st.lists(regions(), max_size=5))
def test_decisions_come_back(found: list[Region]) -> None:
    shown = (Verdict.ACCEPTED, Verdict.CORRECTED)
    review = Review(
        {one.label: one for one in found if one.verdict in shown},
        tuple(one for one in found if one.verdict not in shown),
    )
    np.testing.assert_array_equal(to_bytes(from_bytes(to_bytes(review))), to_bytes(review))
