"""Whatever is damaged in a session's folder, the rest of it comes back, and the damage is named.

Ten thousand flipped bits, without a window: ``python -m benchmarks.fuzz --only sessions --bits``.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Image

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.table_filter import Condition
from napari_impartial.core.review.annotation import to_bytes
from napari_impartial.core.review.review import Region, Review, Verdict
from napari_impartial.gui.layers.layer_state import fingerprint
from napari_impartial.session.folder import MANIFEST

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a session with something of everything, of two images."""
    sys.path.insert(0, str(ROOT))
    try:
        from benchmarks.fuzz import session
    finally:
        sys.path.remove(str(ROOT))
    return session(tmp_path_factory.mktemp("damage"))


def test_a_lost_manifest_is_named_and_all_else_is_there(
    whole: Path, tmp_path: Path, widget: Any, viewer: Any, open_in: Any, notes: Any
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    (folder / MANIFEST).write_text("{")
    # Its images are open, each by the name of the other.
    first = np.random.default_rng(0).random((48, 40)).astype(np.float32)
    viewer.add_image(first, name="second")
    viewer.add_image(first + 1, name="first")
    # What a session says nothing of is as in a new window, not as in the session before.
    rows = widget.result_panel.review.filter
    rows.setValue(Condition("area_px", "<", "1000"))
    widget.session.class_names.give(2, "neuron")
    open_in(widget, folder)
    assert rows.value() == Condition()
    assert widget.session.class_names.save() == {}
    told = [note for note in notes() if MANIFEST in note]
    assert len(told) == 1
    assert "its copy" in told[0]
    assert [layer.name for layer in viewer.layers].count("first") == 1
    for name, pixels in (("first", first), ("second", first + 1)):
        np.testing.assert_array_equal(viewer.layers[name].data, pixels)
        assert (viewer.layers[f"scribbles [{name}]"].data[5:9, 5:9] == 2).all()
    assert not widget.session.busy


@pytest.fixture
def edited(whole: Path, tmp_path: Path) -> Callable[[str, list[Any]], Path]:
    """Change what a copy of the session, of this name, says of itself."""

    def run(name: str, changes: list[Any]) -> Path:
        folder = tmp_path / name
        shutil.copytree(whole, folder)
        manifest = json.loads((folder / MANIFEST).read_text())
        for change in changes:
            change(manifest["content"])
        del manifest["digest"]
        (folder / MANIFEST).write_text(json.dumps(manifest))
        return folder

    return run


Damage = tuple[str, Callable[[dict[str, Any]], Any], str]
# What is damaged, how, and what is said of it; in one session what does not hide each other.
DAMAGED: list[list[Damage]] = [
    [
        ("strokes", lambda c: c["images"][0]["scribbles"].update(data=None), "scribbles [first]"),
        (
            "look",
            lambda c: c["layers"][0].update(look={"opacity": "?", "gamma": -1e400}),
            "The look of 'first'",
        ),
        ("visited", lambda c: c["images"][0]["planes"][0].update(visited=[[1]]), "suggested"),
        ("view", lambda c: c.update(view={"zoom": 1e400, "point": "x"}), "view, "),
    ],
    [
        ("name", lambda c: c["images"][0]["scribbles"].update(name=3), "scribbles, name"),
        (
            "place",
            lambda c: c["layers"][1].update(placement={"scale": [0, "x"]}),
            "The place of 'second'",
        ),
        ("round", lambda c: c["rounds"][0].update(number=10**400), "number"),
        ("settings", lambda c: c["parts"].update(training=3), ""),
    ],
    [
        ("channels", lambda c: c["images"][0].update(channels=[]), "first"),
        ("model", lambda c: c["rounds"][0].update(model={"$file": "files/x"}), "files/x"),
    ],
    [("axes", lambda c: c["images"][0].update(axes="QQ"), "first")],
    [("layer", lambda c: c["images"][0].update(layers=[99]), "image of 'scribbles [first]', or")],
    [("no layers", lambda c: c["images"][0].update(layers=[]), "image of 'scribbles [first]', or")],
    [("channel", lambda c: c["images"][0].update(channels=[5]), "first")],
    [
        ("plane", lambda c: c["images"][0]["planes"][0].update(at=[7]), "results of a plane"),
        ("masks", lambda c: c["rounds"][0]["masks"][0].update(image=9), "in an unknown image"),
    ],
    [
        ("at", lambda c: c["images"][0]["planes"][0].update(at="x"), "planes 1, at"),
        ("an image", lambda c: c["images"].insert(1, None), "images 2"),
    ],
    [
        ("mask", lambda c: c["rounds"][0]["masks"][0].update(at=[1, 2, 3]), "objects of round 1"),
        ("plane count", lambda c: c["images"][0]["planes"].append(3), "planes 2"),
        ("suggestion", lambda c: c["images"][0]["planes"][0].update(suggestions=[{}]), "suggested"),
    ],
    [("blank first", lambda c: c["images"].insert(0, None), "images 1")],
    [
        (
            "same plane",
            lambda c: c["images"][0]["planes"].append(c["images"][0]["planes"][0]),
            "a second time",
        ),
        ("same image", lambda c: c["images"][1].update(layers=[0]), "of the same image as others"),
    ],
    [
        (
            "doubt",
            lambda c: c["images"][0]["planes"][0].update(
                doubt={"$planes": [], "shape": [3, 3], "dtype": "uint16"}
            ),
            "in doubt is lost",
        )
    ],
    [
        ("no number", lambda c: c["rounds"][0].update(number=0), "it is round 1 now"),
        ("no planes", lambda c: c["images"][0].pop("planes"), "images 1 lacks planes"),
        ("names", lambda c: c["images"][1].update(names=["a", "b"]), "names of the channels"),
        ("no loose", lambda c: c.pop("loose"), "it lacks loose"),
        ("class names", lambda c: c["parts"].update(class_names={"2": 7}), "2: 7 cannot be"),
        ("cut", lambda c: c["parts"].update(objects={"threshold": 7}), "says of objects is lost"),
        ("preset", lambda c: c["parts"].update(training={"preset": "?"}), "'?', '' cannot be"),
    ],
    [
        ("present", lambda c: c.update(model=None), "that of round 1 is it"),
        (
            "same round",
            lambda c: c["rounds"].append(c["rounds"][0]),
            "it is round 2 now",
        ),
        (
            "same masks",
            lambda c: c["rounds"][0]["masks"].append(c["rounds"][0]["masks"][0]),
            "a second time of the objects of round 1",
        ),
        (
            "looked fine",
            lambda c: c["images"][0]["planes"][0]["dismissed"][0].update(box=[1]),
            "are suggested again",
        ),
        ("check", lambda c: c["parts"].update(spot_check={"images": []}), "Is it good enough?"),
    ],
    [
        (
            "two present",
            lambda c: c["rounds"].append({**c["rounds"][0], "number": 2, "masks": []}),
            "of round 2, too",
        ),
        (
            "no file",
            lambda c: c["layers"][0].update(data=None, shape=[8, 8]),
            "names no file of the image 'first'",
        ),
    ],
    [("pixels", lambda c: c["layers"][0]["data"].update(dtype="uint8"), "is said to be uint8")],
    [("images", lambda c: c.update(images={"x": 1}), "images")],
]


def test_what_is_damaged_is_named_in_one_message(
    edited: Any, widget: Any, viewer: Any, open_in: Any, notes: Any
) -> None:
    # One after the other in one window, which each leaves as good as it was.
    for number, damage in enumerate(DAMAGED):
        names = ", ".join(name for name, _, _ in damage)
        before = len(notes())
        folder = edited(f"case {number}", [change for _, change, _ in damage])
        open_in(widget, folder)
        # Without the session's place: words in it would be taken for what is said.
        told = [note.replace(str(folder), "") for note in notes()[before:]]
        for name, _, said in damage:
            assert any(said in note for note in told) or not said, f"{name}: {told}"
        assert sum("stays as it was" in note for note in told) <= 1, names
        assert len(told) <= 3, (names, told)
        assert not any("Traceback" in note for note in told), names
        # The other image is there with its strokes and results.
        assert "second" in [layer.name for layer in viewer.layers], names
        if names != "images":
            strokes = viewer.layers["scribbles [second]"].data
            assert (strokes[5:9, 5:9] == 2).all(), names
            kept = [record for record in widget.session.images.values() if record.planes]
            assert kept, names
        assert not widget.session.busy, names
        if "present" in names:
            rounds = widget.session.rounds
            assert rounds.current is rounds[0]
            assert rounds.card is not None


@pytest.mark.parametrize(
    "there",
    [
        [("second", 0), ("first", 1)],
        # Of two with the same pixels the one of the session's name is the session's.
        [("copy", 1), ("second", 1), ("first", 0)],
    ],
)
def test_images_that_are_open_get_the_names_of_the_session(
    edited: Any, widget: Any, viewer: Any, open_in: Any, there: list[tuple[str, int]]
) -> None:
    pixels = np.random.default_rng(0).random((48, 40)).astype(np.float32)

    def known(content: dict[str, Any]) -> None:
        for i, layer in enumerate(content["layers"]):
            layer["print"] = fingerprint(pixels + i)

    for name, number in there:
        viewer.add_image(pixels + number, name=name)
    open_in(widget, edited("names", [known]))
    images = {layer.name: layer.data for layer in viewer.layers if isinstance(layer, Image)}
    given = {"first", "second"} | {name for name, _ in there}
    assert {name for name in images if "[" not in name} == given
    np.testing.assert_array_equal(images["first"], pixels)
    np.testing.assert_array_equal(images["second"], pixels + 1)
    assert {record.name for record in widget.session.images.values()} >= {"first", "second"}


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
