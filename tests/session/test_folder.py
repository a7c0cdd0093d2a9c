"""A session's folder: whole at every moment, only what changed rewritten, damage told."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.review.round_changes import PackedLabels, unpacked
from napari_impartial.session.folder import Kept, SessionFolder, Stored
from napari_impartial.session.manifest import COPY, read_manifest
from napari_impartial.session.saved_state import (
    SavedImage,
    SavedLayer,
    SavedPlane,
    SavedSession,
    from_content,
    to_content,
)


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of each file, by which one that was written again is known."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            stat = path.stat()
            found[path.relative_to(folder).as_posix()] = (stat.st_ino, stat.st_mtime_ns)
    return found


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.uint8).reshape(3, 4),
        np.random.default_rng(0).random((5, 40, 30)).astype(np.float64),
        np.random.default_rng(0).integers(0, 255, (30, 20, 3), dtype=np.uint8),
        np.random.default_rng(0).random((2, 3, 300, 400)).astype(np.float16),
        np.arange(24, dtype=np.int64).reshape(2, 1, 3, 4) - 5,
        np.eye(7, dtype=bool),
        np.zeros((0, 5), np.uint8),
        np.arange(5.0),
        np.arange(5.0)[:, None],
        np.arange(12, dtype=">u2").reshape(3, 4),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
@pytest.mark.parametrize("sparse", [False, True])
def test_arrays_come_back(tmp_path: Path, array: np.ndarray, sparse: bool) -> None:
    SessionFolder(tmp_path / "s").write({"a": [Kept(array, sparse=sparse)]})
    stored = SessionFolder(tmp_path / "s").read()["a"][0]
    assert isinstance(stored, Stored)
    loaded = stored.load()
    assert loaded.dtype == array.dtype
    np.testing.assert_array_equal(loaded, array)


def test_what_was_made_of_an_array_is_not_written_again(tmp_path: Path) -> None:
    given = np.arange(12, dtype=np.int32).reshape(3, 4)
    SessionFolder(tmp_path).write({"a": Kept(given)})
    folder = SessionFolder(tmp_path)
    packed = folder.read()["a"].load(PackedLabels.pack)
    assert isinstance(packed, PackedLabels)
    np.testing.assert_array_equal(packed.unpack(), given)
    before = files(tmp_path / "arrays")
    folder.write({"a": Kept(packed, convert=unpacked), "more": 1})
    assert files(tmp_path / "arrays") == before


def test_plain_values_and_files_come_back(tmp_path: Path) -> None:
    model = tmp_path / "round.impartial"
    model.write_bytes(b"weights")
    content = {
        "text": "µ",
        "number": np.float32(1.5),
        "none": None,
        "list": [1, (2, 3)],
        "m": model,
    }
    SessionFolder(tmp_path / "s").write(content)
    model.unlink()
    read = SessionFolder(tmp_path / "s").read()
    assert read["text"] == "µ"
    assert read["number"] == 1.5
    assert read["list"] == [1, [2, 3]]
    assert read["m"].suffix == ".impartial"
    assert read["m"].read_bytes() == b"weights"


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    image, strokes = np.ones((9, 50, 50), np.float32), np.zeros((9, 50, 50), np.uint8)
    strokes[2, 3], strokes[5, 4] = 1, 2
    folder = SessionFolder(tmp_path)

    def save(version: int) -> bool:
        return folder.write({"image": Kept(image), "strokes": Kept(strokes, version, sparse=True)})

    assert save(0)
    first = files(tmp_path)
    assert len(first) == 5, "the image, two planes with strokes, the manifest and its copy"
    assert not save(0)
    assert files(tmp_path) == first, "nothing changed, nothing written"
    strokes[5, 8] = 1
    assert save(1)
    second = files(tmp_path)
    kept = {name for name in first if second.get(name) == first[name]}
    assert len(second) == 5
    assert len(kept) == 2, "the image and the plane that was not painted on"
    # Undone: the content has its name, so the file of before is the same again.
    strokes[5, 8] = 0
    assert save(2)
    assert set(files(tmp_path)) == set(first)


def test_a_session_that_was_read_is_not_written_again(tmp_path: Path) -> None:
    SessionFolder(tmp_path).write({"image": Kept(np.ones((20, 20)))})
    before = files(tmp_path)
    folder = SessionFolder(tmp_path)
    loaded = folder.read()["image"].load()
    folder.write({"image": Kept(loaded), "more": 1})
    after = files(tmp_path)
    for manifest in ("session.json", COPY):
        del before[manifest], after[manifest]
    assert after == before


@dataclass
class Crash:
    """Ends the writer at its n-th rename, as a kill would."""

    at: int
    count: int = 0

    def __call__(self, source: Any, target: Any) -> None:
        self.count += 1
        if self.count > self.at:
            raise KeyboardInterrupt
        os.rename(source, target)


@pytest.mark.parametrize("at", range(5))
def test_a_writer_that_is_killed_leaves_a_whole_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    def content(n: int) -> dict[str, Any]:
        return {
            "n": n,
            "image": Kept(np.full((4, 4), n)),
            "strokes": Kept(np.full((2, 4, 4), n), sparse=True),
        }

    SessionFolder(tmp_path).write(content(1))
    with monkeypatch.context() as patched:
        patched.setattr("napari_impartial.core.atomic_write.os.replace", Crash(at - 1))
        with pytest.raises(KeyboardInterrupt):
            SessionFolder(tmp_path).write(content(2))
    folder = SessionFolder(tmp_path)
    read = folder.read()
    assert read["n"] == 1
    assert (read["image"].load() == 1).all()
    assert (read["strokes"].load() == 1).all()
    # What the dead writer left is cleared away by the next one.
    folder.write(content(3))
    assert len(files(tmp_path)) == 4


DAMAGE = {
    "gone": None,
    "cut short": lambda text: text[: len(text) // 2],
    "a bit": lambda text: text.replace(b'"n": 7', b'"n": 5'),
    "no text": lambda text: b"\xff\xfe" + text,
    "another program's": lambda text: b"{}",
}


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("hit", ["session.json", COPY])
def test_a_damaged_manifest_is_read_from_its_copy(tmp_path: Path, hit: str, name: str) -> None:
    content = {"n": 7, "strokes": Kept(np.eye(4, dtype=np.uint8), sparse=True)}
    SessionFolder(tmp_path).write(content)
    change = DAMAGE[name]
    if change is None:
        (tmp_path / hit).unlink()
    else:
        (tmp_path / hit).write_bytes(change((tmp_path / hit).read_bytes()))
    losses: list[str] = []
    folder = SessionFolder(tmp_path)
    read = folder.read(losses)
    assert read["n"] == 7
    np.testing.assert_array_equal(read["strokes"].load(), np.eye(4))
    assert len(losses) == (hit == "session.json")
    assert all("is damaged" in loss and COPY in loss for loss in losses)
    # The next save mends it.
    folder.write(content)
    SessionFolder(tmp_path).read(losses := [])
    assert losses == []
    for part in ("session.json", COPY):
        assert json.loads((tmp_path / part).read_text())["content"]["n"] == 7


def test_a_session_of_a_newer_version_is_not_read_from_its_copy(tmp_path: Path) -> None:
    SessionFolder(tmp_path).write({"n": 7})
    edit(tmp_path, format_version=99)
    with pytest.raises(ImPartialError, match="newer version"):
        SessionFolder(tmp_path).read([])


def test_a_manifest_that_was_changed_is_told_where_there_is_no_copy(tmp_path: Path) -> None:
    SessionFolder(tmp_path).write({"at": [3]})
    (tmp_path / COPY).unlink()
    file = tmp_path / "session.json"
    file.write_text(file.read_text().replace("3", "2", 1))
    losses: list[str] = []
    SessionFolder(tmp_path).read(losses)
    assert len(losses) == 1
    assert "see whether all is as you left it" in losses[0]


def test_a_full_disk_leaves_the_last_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SessionFolder(tmp_path).write({"a": Kept(np.ones((4, 4)))})

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(tifffile.TiffWriter, "write", full)
        with pytest.raises(ImPartialError, match="no space left"):
            SessionFolder(tmp_path).write({"a": Kept(np.zeros((4, 4)))})
    assert (SessionFolder(tmp_path).read()["a"].load() == 1).all()


def test_strokes_may_be_painted_while_they_are_written(tmp_path: Path) -> None:
    # What is on disk under a content's name has that content, whatever happens meanwhile.
    strokes = np.ones((64, 64), np.uint8)
    folder = SessionFolder(tmp_path)

    write = tifffile.imwrite

    def paint_meanwhile(path: Any, plane: np.ndarray, **options: Any) -> None:
        strokes[:] = 7
        write(path, plane, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tifffile, "imwrite", paint_meanwhile)
        folder.write({"s": Kept(strokes, 0, sparse=True)})
    assert (SessionFolder(tmp_path).read()["s"].load() == 1).all()
    folder.write({"s": Kept(strokes, 1, sparse=True)})
    assert (SessionFolder(tmp_path).read()["s"].load() == 7).all()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: shutil.rmtree(f), "There is no folder"),
        (lambda f: (f / "session.json").unlink(), "No session is saved"),
        (lambda f: (f / "session.json").write_text('{"format": "napari-imp'), "truncated"),
        (lambda f: (f / "session.json").write_bytes(b"\xff\xfe\x00"), "truncated or damaged"),
        (lambda f: (f / "session.json").write_text('{"name": "a project"}'), "no session of this"),
        (lambda f: (f / "session.json").write_text("[1]"), "no session of this"),
        (lambda f: edit(f, format_version=99), "newer version of the program"),
        (lambda f: edit(f, format_version="1"), "not complete"),
        (lambda f: edit(f, content=None), "not complete"),
    ],
)
def test_a_folder_that_is_no_session_is_told(tmp_path: Path, spoil: Any, said: str) -> None:
    folder = tmp_path / "session"
    SessionFolder(folder).write({"a": 1})
    (folder / COPY).unlink()
    spoil(folder)
    with pytest.raises(ImPartialError, match=said) as caught:
        SessionFolder(folder).read()
    message = str(caught.value)
    assert str(folder) in message
    assert "\n" not in message
    assert message.endswith(".")


def edit(folder: Path, **values: Any) -> None:
    """Write another manifest, as a program without digests would."""
    path = folder / "session.json"
    manifest = {**json.loads(path.read_text()), **values}
    manifest.pop("digest", None)
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_array_is_told(tmp_path: Path, sparse: bool, share: float) -> None:
    array = np.random.default_rng(0).integers(0, 9, (3, 40, 40)).astype(np.uint8)
    SessionFolder(tmp_path).write({"a": Kept(array, sparse=sparse)})
    file = max((tmp_path / "arrays").iterdir())
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    stored = SessionFolder(tmp_path).read()["a"]
    with pytest.raises(ImPartialError, match="damaged"):
        stored.load()
    file.unlink()
    with pytest.raises(ImPartialError, match="is missing"):
        stored.load()


HEX = "0123456789abcdef" * 2
ELSEWHERE = [
    "../../etc/passwd",
    "/etc/passwd",
    "arrays/../x",
    "arrays/..",
    "arrays/.",
    "arrays",
    "arrays/",
    f"/arrays/{HEX}.tif",
    f"arrays/../files/{HEX}.tif",
    r"arrays/..\..\x",
    rf"arrays\{HEX}.tif",
    rf"arrays/..\..\{HEX}.tif",
    r"C:\x",
    "C:/x",
    "C:x",
    f"arrays/C:{HEX}",
    r"\\server\share\x",
    "//server/share/x",
    r"\\?\C:\x",
    "arrays/CON",
    "arrays/nul.tif",
    "files/COM1.impartial",
    f"files/{HEX}.tif:stream",
    f"files/{HEX}. ",
    f"files/{HEX}\x00.tif",
    f"files/{HEX}.tif\n",
    "session.json",
    "files/session.lock",
    None,
    3,
    ["arrays", HEX],
    "x" * 100_000,
]


@pytest.mark.parametrize("name", ELSEWHERE, ids=lambda name: repr(name)[:30])
def test_a_foreign_manifest_leads_nowhere_else(tmp_path: Path, name: Any) -> None:
    SessionFolder(tmp_path).write({})
    edit(tmp_path, content={"m": {"$file": name}})
    with pytest.raises(ImPartialError, match="damaged") as caught:
        SessionFolder(tmp_path).read()
    assert len(str(caught.value)) < 200 + len(str(tmp_path))
    losses: list[str] = []
    assert SessionFolder(tmp_path).read(losses) == {"m": None}
    assert losses == [str(caught.value)]
    for array in (
        {"$array": name, "shape": [1, 1], "dtype": "uint8"},
        {"$planes": [{"at": [], "file": name}], "shape": [1, 1], "dtype": "uint8"},
    ):
        edit(tmp_path, content={"m": array})
        with pytest.raises(ImPartialError, match="damaged"):
            SessionFolder(tmp_path).read()["m"].load()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """Return a folder of somebody else's, of which nothing may be changed."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for name in ("thesis.docx", f"{HEX}.tif", "session.json"):
        (folder / name).write_text(name)
    yield folder
    assert {f.name: f.read_text() for f in folder.iterdir()} == {
        name: name for name in ("thesis.docx", f"{HEX}.tif", "session.json")
    }


needs_links = pytest.mark.skipif(os.name == "nt", reason="links need privileges on Windows")


@needs_links
@pytest.mark.parametrize("part", ["arrays", "files"])
@pytest.mark.parametrize("saved", [False, True])
def test_a_folder_that_is_a_link_is_not_followed(
    tmp_path: Path, elsewhere: Path, part: str, saved: bool
) -> None:
    model = tmp_path / "m.impartial"
    model.write_bytes(b"weights")
    content = {"a": Kept(np.ones((3, 4))), "s": Kept(np.eye(3), sparse=True), "m": model}
    folder = SessionFolder(tmp_path / "s")
    if saved:
        folder.write(content)
        shutil.rmtree(folder.path / part)
    else:
        folder.path.mkdir()
    (folder.path / part).symlink_to(elsewhere, target_is_directory=True)
    with pytest.raises(ImPartialError, match=f"'{part}'.*is a link to elsewhere"):
        folder.write({**content, "more": 1})
    if saved:
        losses: list[str] = []
        read = SessionFolder(folder.path).read(losses)
        assert len(losses) == 1
        for name in ("a", "s"):
            with pytest.raises(ImPartialError, match="link"):
                read[name].load()


@needs_links
def test_files_that_are_links_are_not_followed(tmp_path: Path, elsewhere: Path) -> None:
    """Neither to read, nor to write: then the link goes, and what it points to stays."""
    model = tmp_path / "m.impartial"
    model.write_bytes(b"weights")
    content = {"a": Kept(np.ones((3, 4))), "s": Kept(np.eye(3), sparse=True), "m": model}
    path = tmp_path / "s"
    SessionFolder(path).write(content)
    for file in [f for f in path.glob("*/*") if f.is_file()]:
        file.unlink()
        file.symlink_to(elsewhere / "thesis.docx")
    losses: list[str] = []
    read = SessionFolder(path).read(losses)
    assert read["m"] is None
    assert "is a link" in losses[0]
    for name in ("a", "s"):
        with pytest.raises(ImPartialError, match="is a link"):
            read[name].load()
    (path / "session.json").unlink()
    (path / "session.json").symlink_to(elsewhere / "session.json")
    (path / COPY).unlink()
    with pytest.raises(ImPartialError, match="is a link"):
        SessionFolder(path).read()
    SessionFolder(path).write(content)
    assert not [f for f in path.rglob("*") if f.is_symlink()]
    assert SessionFolder(path).read()["m"].read_bytes() == b"weights"
    assert (SessionFolder(path).read()["s"].load() == np.eye(3)).all()


@needs_links
@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["device", "pipe", "huge"])
def test_entries_without_end_are_refused_at_once(tmp_path: Path, kind: str) -> None:
    model = tmp_path / "m.impartial"
    model.write_bytes(b"weights")
    SessionFolder(tmp_path / "s").write({"a": Kept(np.ones((3, 4))), "m": model})
    (tmp_path / "s" / COPY).unlink()
    for file in [*(tmp_path / "s").glob("*/*"), tmp_path / "s" / "session.json"]:
        file.unlink()
        if kind == "device":
            file.symlink_to("/dev/zero")
        elif kind == "pipe":
            os.mkfifo(file)
        else:
            with open(file, "wb") as sparse:
                sparse.truncate(2**40)
        if file.name == "session.json":
            with pytest.raises(ImPartialError, match="a link, a device or too large"):
                SessionFolder(tmp_path / "s").read()
            continue
        folder = SessionFolder(tmp_path / "s")
        losses: list[str] = []
        read = folder.read(losses)
        if file.suffix == ".tif":
            with pytest.raises(ImPartialError, match=r"damaged"):
                read["a"].load()
        elif kind == "huge":
            with pytest.raises(ImPartialError, match="too large"):
                folder.check_file(read["m"])
        else:
            assert read["m"] is None
            assert len(losses) == 1


def test_an_array_of_other_content_is_told(tmp_path: Path) -> None:
    array = np.random.default_rng(0).random((3, 400, 300)).astype(np.float32)
    SessionFolder(tmp_path).write({"a": Kept(array)})
    (file,) = (tmp_path / "arrays").iterdir()
    # The same bytes, said to be whole numbers; and other bytes.
    tifffile.imwrite(file, array.view(np.uint32), photometric="minisblack", metadata=None)
    with pytest.raises(ImPartialError, match="is truncated or damaged"):
        SessionFolder(tmp_path).read()["a"].load()
    other = array.copy()
    other[1, 200, 100] += 1
    tifffile.imwrite(file, other, photometric="minisblack", metadata=None)
    with pytest.raises(ImPartialError, match="is truncated or damaged"):
        SessionFolder(tmp_path).read()["a"].load()
    # As the first programs wrote it, which kept no digests.
    content = json.loads((tmp_path / "session.json").read_text())["content"]
    del content["a"]["digest"]
    edit(tmp_path, content=content)
    assert (SessionFolder(tmp_path).read()["a"].load() != array).sum() == 1


def test_a_file_that_changed_is_told(tmp_path: Path) -> None:
    model = tmp_path / "m.impartial"
    model.write_bytes(b"weights")
    SessionFolder(tmp_path / "s").write({"m": model, "s": Kept(np.eye(5), sparse=True)})
    folder = SessionFolder(tmp_path / "s")
    copy = folder.read()["m"]
    assert folder.check_file(copy) == copy
    copy.write_bytes(b"weightz")
    with pytest.raises(ImPartialError, match="is damaged"):
        folder.check_file(copy)
    (plane,) = (tmp_path / "s" / "arrays").iterdir()
    tifffile.imwrite(plane, np.eye(5) + 1)
    with pytest.raises(ImPartialError, match="damaged"):
        folder.read()["s"].load()
    # A model whose name has an odd end is kept all the same.
    odd = tmp_path / "m.a b:c"
    odd.write_bytes(b"weights")
    SessionFolder(tmp_path / "t").write({"m": odd})
    assert SessionFolder(tmp_path / "t").read()["m"].read_bytes() == b"weights"


@pytest.mark.parametrize(
    "claim",
    [
        {"shape": [10**6, 10**6]},
        {"shape": [10**400, 1]},
        {"shape": [1e400, 1]},
        {"shape": [-3, -4]},
        {"shape": [True, 12]},
        {"shape": ["3", 4]},
        {"shape": 12},
        {"shape": None},
        {"dtype": "object"},
        {"dtype": "datetime64[s]"},
        {"dtype": "i4,i4"},
        {"dtype": "no such type"},
        {"dtype": None, "shape": [13]},
        {"dtype": ["x"]},
    ],
    ids=repr,
)
@pytest.mark.parametrize("sparse", [False, True])
def test_claims_that_do_not_fit_are_told(
    tmp_path: Path, claim: dict[str, Any], sparse: bool
) -> None:
    SessionFolder(tmp_path).write({"a": Kept(np.ones((3, 4), np.uint8), sparse=sparse)})
    manifest = json.loads((tmp_path / "session.json").read_text())
    manifest["content"]["a"].update(claim)
    edit(tmp_path, content=manifest["content"])
    with pytest.raises(ImPartialError):
        SessionFolder(tmp_path).read()["a"].load()


def test_nested_without_end_is_told(tmp_path: Path) -> None:
    for name in ("session.json", COPY):
        (tmp_path / name).write_text("[" * 200_000)
    with pytest.raises(ImPartialError, match="truncated or damaged"):
        read_manifest(tmp_path)


def test_names_that_are_no_text_are_kept(tmp_path: Path) -> None:
    """As Python gives names of files that are not UTF-8."""
    SessionFolder(tmp_path).write({"path": "caf\udce9.tif"})
    assert SessionFolder(tmp_path).read() == {"path": "caf\udce9.tif"}


def test_the_state_comes_back_through_the_folder(tmp_path: Path) -> None:
    strokes = np.eye(5, dtype=np.uint8)
    state = SavedSession(
        layers=[SavedLayer(name="cells", path="/a.tif", shape=[5, 5])],
        images=[
            SavedImage(
                [0],
                "YX",
                [0],
                scribbles=SavedLayer("scribbles [cells]", Kept(strokes, sparse=True)),
            )
        ],
        parts={"training": {"preset": "fast"}},
    )
    SessionFolder(tmp_path).write(to_content(state))
    read = from_content(SavedSession, SessionFolder(tmp_path).read(), losses := [])
    assert not losses
    assert read.summary() == "1 image, 1 with scribbles"
    assert read.parts == state.parts
    assert read.layers == state.layers
    scribbles = read.images[0].scribbles
    assert scribbles is not None
    np.testing.assert_array_equal(scribbles.data.load(), strokes)


def test_other_versions_fields_do_not_matter(tmp_path: Path) -> None:
    # A later program knows more fields, an earlier one fewer.
    state = SavedSession(images=[SavedImage(axes="CYX", planes=[SavedPlane(at=[2])])])
    content = to_content(state)
    content["weather"] = content["images"][0]["verdicts"] = ["fine"]
    for name in ("predicted_by", "suggested_on", "dismissed", "review", "previewed", "doubt"):
        del content["images"][0]["planes"][0][name]
    SessionFolder(tmp_path).write(content)
    losses: list[str] = []
    assert from_content(SavedSession, SessionFolder(tmp_path).read(), losses) == state
    assert not losses


@pytest.mark.parametrize("name", ["images", "layers", "rounds", "model"])
def test_what_every_file_has_is_missed(name: str) -> None:
    content = to_content(SavedSession())
    del content[name]
    losses: list[str] = []
    from_content(SavedSession, content, losses)
    assert losses == [f"The session is damaged: it lacks {name}."]


@pytest.mark.parametrize(
    "content", [{"images": 3}, {"images": [3]}, {"view": None}, {"layers": [{"name": 1}]}]
)
def test_values_of_another_kind_are_told(content: dict[str, Any]) -> None:
    losses: list[str] = []
    from_content(SavedSession, content, losses)
    assert losses
    assert all("damaged" in loss for loss in losses)


def test_the_manifest_is_plain_text(tmp_path: Path) -> None:
    plane = SavedPlane(at=[3], prediction=Kept(np.zeros((2, 4, 4), np.uint16)))
    SessionFolder(tmp_path).write(to_content(SavedSession(images=[SavedImage(planes=[plane])])))
    manifest = read_manifest(tmp_path)
    assert manifest["format_version"] == 1
    assert manifest["content"]["images"][0]["planes"][0]["at"] == [3]
    assert manifest["saved"].endswith("+00:00")


def test_a_file_that_vanished_is_kept_by_its_copy(tmp_path: Path) -> None:
    model = tmp_path / "round.impartial"
    model.write_bytes(b"weights")
    folder = SessionFolder(tmp_path / "s")
    folder.write({"m": model})
    before = files(tmp_path / "s" / "files")
    model.unlink()
    for n in range(2):
        folder.write({"m": model, "more": n})
        assert files(tmp_path / "s" / "files") == before
        assert folder.lost == []
    assert folder.read()["m"] == folder.copy_of(model)
    # It counts as long as it is there.
    shutil.rmtree(tmp_path / "s" / "files")
    folder.write({"m": model})
    assert folder.read()["m"] is None
    assert folder.lost == [model]
    assert folder.copy_of(model) is None


def test_a_file_that_was_never_there_does_not_keep_the_rest_back(tmp_path: Path) -> None:
    missing = tmp_path / "round.impartial"
    folder = SessionFolder(tmp_path / "s")
    folder.write({"m": missing, "strokes": Kept(np.eye(4))})
    assert folder.lost == [missing]
    read = folder.read()
    assert read["m"] is None
    np.testing.assert_array_equal(read["strokes"].load(), np.eye(4))
    missing.write_bytes(b"weights")
    folder.write({"m": missing})
    assert folder.lost == []
    assert folder.read()["m"].read_bytes() == b"weights"


def test_planes_at_one_place_are_told(tmp_path: Path) -> None:
    strokes = np.ones((2, 4, 4), np.uint8)
    strokes[1] = 2
    SessionFolder(tmp_path).write({"strokes": Kept(strokes, sparse=True)})
    stored = SessionFolder(tmp_path).read()["strokes"]
    np.testing.assert_array_equal(stored.load(), strokes)
    stored.reference["$planes"][1]["at"] = stored.reference["$planes"][0]["at"]
    with pytest.raises(ImPartialError, match="two planes are said to lie at"):
        stored.load()
