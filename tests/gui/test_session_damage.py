"""Whatever is damaged in a session's folder, the rest of it comes back, and the damage is named.

Some flipped bits in the ordinary suite; ten thousand, in some minutes, with

    NAPARI_IMPARTIAL_FLIPS=10000 scripts/test.sh tests/gui/test_session_damage.py
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.review.annotation import to_bytes
from napari_impartial.core.review.review import Region, Review, Verdict
from napari_impartial.session import locations
from napari_impartial.session.folder import MANIFEST, Kept, SessionFolder
from napari_impartial.session.read import open_and_read
from napari_impartial.session.saved_state import (
    SavedDismissal,
    SavedImage,
    SavedLayer,
    SavedMask,
    SavedPlane,
    SavedRound,
    SavedSession,
    SavedView,
    to_content,
)

FLIPS = int(os.environ.get("NAPARI_IMPARTIAL_FLIPS", "150"))
SHAPE = (48, 40)
LONGEST_S = 5.0

pytestmark = pytest.mark.timeout(300 + FLIPS)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a session with something of everything, of two images."""
    from napari_impartial.core.api import train
    from napari_impartial.core.config import ModelConfig, TrainingConfig
    from napari_impartial.core.data.image import Image
    from napari_impartial.core.data.scribbles import Scribbles
    from napari_impartial.core.network.model_file import save_model

    folder = tmp_path_factory.mktemp("damage")
    rng = np.random.default_rng(0)
    pixels = rng.random(SHAPE).astype(np.float32)
    strokes = np.zeros(SHAPE, np.uint8)
    strokes[5:9, 5:9], strokes[20:24, 20:24] = 2, 1
    objects = np.zeros(SHAPE, np.int32)
    objects[4:10, 4:10] = 1
    model = folder / "round.impartial"
    trained = train(
        [Image(pixels[np.newaxis], ("DAPI",))],
        [Scribbles(strokes)],
        TrainingConfig(patch_size=32, batch_size=2, max_steps=2, precision="float32"),
        ModelConfig(base_features=4, depth=1),
    )
    save_model(trained, model)
    review = Review({1: Region(1, Verdict.ACCEPTED, 4, 4, np.ones((6, 6), bool))}, ())
    plane = SavedPlane(
        prediction=Kept(rng.integers(0, 65535, (2, *SHAPE)).astype(np.uint16)),
        n_samples=4,
        predicted_by=1,
        suggestions=[],
        suggested_on=Kept(strokes, sparse=True),
        dismissed=[SavedDismissal(3, 4, [2, 3, 6, 7], Kept(np.ones((4, 4), np.uint8)))],
        review=Kept(to_bytes(review)),
    )
    images = [
        SavedImage(
            [i],
            "YX",
            [0],
            ["DAPI"],
            SavedLayer(f"scribbles [{name}]", Kept(strokes.copy(), sparse=True), shape=[*SHAPE]),
            SavedLayer(f"instances [{name}]", Kept(objects.copy(), sparse=True), shape=[*SHAPE]),
            [plane],
        )
        for i, name in enumerate(("first", "second"))
    ]
    state = SavedSession(
        layers=[
            SavedLayer(name, Kept(pixels + i), shape=[*SHAPE], look={"opacity": 0.5})
            for i, name in enumerate(("first", "second"))
        ],
        images=images,
        model=model,
        rounds=[
            SavedRound(1, model, 32, 1, True, [SavedMask(0, [], Kept(objects))], 0.5),
        ],
        view=SavedView(0, [], [0.0, 20.0, 20.0], 2.0, [0.0, 0.0, 90.0], [0.0, 0.0], [0, 1], 2),
        parts={"settings": {"preset": "fast"}},
    )
    SessionFolder(folder / "session").write(to_content(state))
    return folder / "session"


def flipped(whole: Path, into: Path, dice: random.Random) -> tuple[Path, str]:
    """Copy a session and flip one bit of it; return the copy and the file that was hit."""
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(whole, into)
    file = dice.choice(sorted(path for path in into.rglob("*") if path.is_file()))
    content = bytearray(file.read_bytes())
    # Headers are where damage is strange.
    most = len(content) if dice.random() < 0.5 else min(len(content), 600)
    content[dice.randrange(most)] ^= 1 << dice.randrange(8)
    file.write_bytes(content)
    return into, file.relative_to(into).as_posix()


def errors_in(value: Any) -> int:
    """Count what could not be read."""
    if isinstance(value, ImPartialError):
        return 1
    if isinstance(value, dict):
        return sum(errors_in(part) for part in value.values())
    if isinstance(value, list):
        return sum(errors_in(part) for part in value)
    return errors_in(vars(value)) if type(value).__module__.endswith("session_state") else 0


def test_the_whole_one_is_whole(whole: Path, tmp_path: Path, sessions: Path) -> None:
    shutil.copytree(whole, tmp_path / "copy")
    saved, opened = open_and_read(tmp_path / "copy")
    assert opened is not None
    opened.finish()
    assert (errors_in(saved), saved.losses) == (0, [])


def test_one_flipped_bit_does_not_keep_the_rest_back(
    whole: Path, tmp_path: Path, sessions: Path
) -> None:
    dice = random.Random(1)
    refused = 0
    for number in range(FLIPS):
        folder, file = flipped(whole, tmp_path / "copy", dice)
        started = time.monotonic()
        try:
            saved, opened = open_and_read(folder)
        except ImPartialError:
            # Only where the manifest is no JSON any more is there nothing to read.
            if file != MANIFEST:
                raise
            refused += 1
            continue
        finally:
            assert time.monotonic() - started < LONGEST_S or FLIPS > 1000
        if opened is not None:
            opened.finish()
        assert len(saved.images) == 2 or file == MANIFEST
        if file != MANIFEST:
            # A file may serve in several places: both images have the same plane of strokes.
            assert errors_in(saved) <= 4, f"flip {number} of {file}"
            assert sum(isinstance(one.data, np.ndarray) for one in saved.layers) >= 1
        assert locations.unfinished() == []
    assert refused < FLIPS / 2


@pytest.fixture
def edited(whole: Path, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], None]], Path]:
    """Change what a copy of the session says of itself."""

    def run(change: Callable[[dict[str, Any]], None]) -> Path:
        folder = tmp_path / "edited"
        shutil.copytree(whole, folder)
        manifest = json.loads((folder / MANIFEST).read_text())
        change(manifest["content"])
        (folder / MANIFEST).write_text(json.dumps(manifest))
        return folder

    return run


DAMAGED: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    ("strokes", lambda c: c["images"][0]["scribbles"].update(data=None), "scribbles [first]"),
    ("name", lambda c: c["images"][0]["scribbles"].update(name=3), "name"),
    ("look", lambda c: c["layers"][0].update(look={"opacity": "blue", "gamma": -1e400}), "look"),
    ("place", lambda c: c["layers"][0].update(placement={"scale": [0, "x"]}), "place"),
    ("axes", lambda c: c["images"][0].update(axes="QQ"), "first"),
    ("channels", lambda c: c["images"][0].update(channels=[]), "first"),
    ("channel", lambda c: c["images"][0].update(channels=[5]), "first"),
    ("plane", lambda c: c["images"][0]["planes"][0].update(at=[7]), "results of a plane"),
    ("at", lambda c: c["images"][0]["planes"][0].update(at="x"), "at"),
    ("plane count", lambda c: c["images"][0]["planes"].append(3), "planes 2"),
    ("suggestion", lambda c: c["images"][0]["planes"][0].update(suggestions=[{}]), "suggested"),
    ("visited", lambda c: c["images"][0]["planes"][0].update(visited=[[1]]), "suggested"),
    ("round", lambda c: c["rounds"][0].update(number=10**400), "number"),
    ("model", lambda c: c["rounds"][0].update(model={"$file": "files/x"}), "files/x"),
    ("mask", lambda c: c["rounds"][0]["masks"][0].update(at=[1, 2, 3]), "objects of round 1"),
    ("view", lambda c: c.update(view={"zoom": 1e400, "point": "x"}), "view"),
    ("images", lambda c: c.update(images={"x": 1}), "images"),
    ("an image", lambda c: c["images"].insert(0, None), "images 1"),
    ("layer", lambda c: c["images"][0].update(layers=[99]), ""),
    ("settings", lambda c: c["parts"].update(training=3), ""),
]


@pytest.mark.parametrize(("name", "change", "said"), DAMAGED, ids=[name for name, *_ in DAMAGED])
def test_what_is_damaged_is_named_in_one_message(
    name: str,
    change: Callable[[dict[str, Any]], Any],
    said: str,
    edited: Any,
    widget: Any,
    viewer: Any,
    open_in: Any,
    notes: Any,
) -> None:
    folder = edited(change)
    open_in(widget, folder)
    told = notes()
    if said:
        assert any(said in note for note in told), told
    assert sum("stays as it was" in note for note in told) <= 1
    assert len(told) <= 3
    assert not any("Traceback" in note for note in told)
    # The other image is there with its strokes and results.
    names = [layer.name for layer in viewer.layers]
    assert "second" in names
    if name != "images":
        strokes = viewer.layers["scribbles [second]"].data
        assert (strokes[5:9, 5:9] == 2).all()
        kept = [record for record in widget.session.images.values() if record.planes]
        assert kept
    assert not widget.session.busy


def test_reviews_that_cannot_be_are_told() -> None:
    """A flipped bit may ask zipfile for a password or another compression."""
    from napari_impartial.core.review.annotation import from_bytes

    review = Review({1: Region(1, Verdict.ACCEPTED, 4, 4, np.ones((6, 6), bool))}, ())
    good = to_bytes(review)
    assert from_bytes(good).kept
    dice = random.Random(2)
    told = 0
    for _ in range(400):
        content = good.copy()
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        try:
            from_bytes(content)
        except ImPartialError:
            told += 1
    assert told > 100
