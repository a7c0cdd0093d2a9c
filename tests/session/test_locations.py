"""Which sessions were not finished, and that no two windows write the same one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from napari_impartial.core.errors import ImPartialError
from napari_impartial.session import locations as places
from napari_impartial.session.arrays import is_plain_file
from napari_impartial.session.folder import SessionFolder
from napari_impartial.session.locations import OpenSession, SessionInUseError
from napari_impartial.session.saved_state import SavedImage, SavedSession, to_content


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(places.VARIABLE, str(tmp_path / "root"))
    return tmp_path / "root"


def write(opened: OpenSession, n_images: int = 1) -> None:
    opened.folder.write(to_content(SavedSession(images=[SavedImage()] * n_images)))


def test_folders_lie_with_the_users_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(places.VARIABLE)
    assert places.sessions_folder().parts[-2:] == ("napari-impartial", "sessions")
    assert places.new_session_folder() != places.new_session_folder()


@pytest.mark.parametrize("given", ["sessions", "a/../sessions", "~/sessions"])
def test_a_place_from_the_environment_may_be_relative(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv(places.VARIABLE, given)
    crashed = OpenSession(places.new_session_folder())
    assert crashed.is_automatic
    assert crashed.path.parent == tmp_path / "sessions"
    write(crashed)
    crashed.abandon()
    for _ in range(20):
        later = OpenSession(places.new_session_folder())
        write(later)
        later.finish()
    places.remove_old()
    assert [session.path for session in places.unfinished()] == [crashed.path]


def test_one_window_at_a_time() -> None:
    path = places.new_session_folder()
    first = OpenSession(path)
    with pytest.raises(SessionInUseError, match="open in another window"):
        OpenSession(path)
    write(first)
    assert places.unfinished() == [], "it is in use"
    first.finish()
    OpenSession(path).finish()


PROGRAM = """
import sys, time
from pathlib import Path
from napari_impartial.session.locations import OpenSession
from napari_impartial.session.saved_state import SavedSession, SavedImage, to_content
opened = OpenSession(Path(sys.argv[1]))
if len(sys.argv) > 2:
    opened.folder.write(to_content(SavedSession(images=[SavedImage()])))
print("open", flush=True)
time.sleep(600)
"""


def start(*arguments: Any) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    return child


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_a_killed_programs_session_is_offered(tmp_path: Path) -> None:
    # Elsewhere than where sessions lie that nobody gave a place.
    path = tmp_path / "mine"
    with start(path, "write") as child:
        with pytest.raises(SessionInUseError):
            OpenSession(path)
        assert places.unfinished() == []
        child.send_signal(signal.SIGKILL)
        child.wait()
    (found,) = places.unfinished()
    assert found.path == path
    assert found.summary == "1 image, 0 with scribbles"
    # The dead program's lock is no obstacle, and once taken up it is not offered.
    again = OpenSession(found.path)
    assert places.unfinished() == []
    again.abandon()
    assert [session.path for session in places.unfinished()] == [path]
    places.dismiss(places.unfinished()[0])
    assert places.unfinished() == []
    assert path.is_dir(), "dismissed is not removed"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_killed_before_anything_was_saved(root: Path) -> None:
    path = places.new_session_folder()
    with start(path) as child:
        child.kill()
        child.wait()
    assert places.unfinished() == []
    assert not path.exists()


def test_finished_sessions_are_not_offered_and_the_last_few_kept(root: Path) -> None:
    paths = []
    for number in range(8):
        path = root / f"session {number}"
        opened = OpenSession(path)
        write(opened)
        opened.finish()
        os.utime(path, (number, number))
        paths.append(path)
    in_use = OpenSession(paths[0])
    (root / "somebody else's").mkdir()
    assert places.unfinished() == []
    places.remove_old()
    assert [path.exists() for path in paths] == [True, False, False, False, True, True, True, True]
    assert (root / "somebody else's").is_dir()
    in_use.finish()


def test_a_folder_without_a_session_goes_when_finished(tmp_path: Path) -> None:
    opened = OpenSession(places.new_session_folder())
    opened.finish()
    assert not opened.path.exists()
    kept = OpenSession(tmp_path / "given by the user")
    write(kept)
    kept.finish(remove=True)
    assert SessionFolder(kept.path).read(), "what the user gave a place is never removed"


def test_the_latest_comes_first_and_damaged_ones_are_left_out(root: Path) -> None:
    for number, saved in enumerate(("2026-01-01", "2026-03-01", "2026-02-01")):
        opened = OpenSession(root / str(number))
        write(opened, number)
        opened.abandon()
        manifest = opened.path / "session.json"
        text = manifest.read_text().replace("digest", "")  # as a program without digests would
        start_ = text.index('"saved": "') + len('"saved": "')
        manifest.write_text(text[:start_] + f"{saved}T00:00:00+00:00" + text[start_ + 25 :])
    assert [session.path.name for session in places.unfinished()] == ["1", "2", "0"]
    (root / "1" / "session.json").write_text("{")
    (root / "1" / "session.copy.json").unlink()
    assert [session.path.name for session in places.unfinished()] == ["2", "0"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ImPartialError, match="cannot be written"):
        OpenSession(tmp_path / "x")


def test_a_session_takes_copies_along_to_another_folder(tmp_path: Path) -> None:
    model = tmp_path / "round.impartial"
    model.write_bytes(b"weights")
    state = SavedSession(model=model)
    first = places.write(state, None, places.new_session_folder())
    model.unlink()
    second = places.write(state, None, tmp_path / "mine", first)
    first.finish(remove=True)
    copy = second.folder.read()["model"]
    assert copy.is_relative_to(tmp_path / "mine")
    assert copy.read_bytes() == b"weights"
    second.finish()


def test_a_folder_that_cannot_be_written_is_let_go_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise ImPartialError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(SessionFolder, "write", full)
        with pytest.raises(ImPartialError, match="no space left"):
            places.write(SavedSession(), None, tmp_path / "mine")
    assert not places._is_locked(tmp_path / "mine")
    assert places.unfinished() == []
    places.write(SavedSession(), None, tmp_path / "mine").finish()


def other(root: Path, text: str, name: str = "note.json") -> Path:
    """Put a note of somebody's there."""
    note = root / "open" / name
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(text)
    return note


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        "{}",
        '{"folder": 3}',
        '{"folder": null}',
        '{"folder": ""}',
        '{"folder": "."}',
        '{"folder": "relative"}',
        '{"folder": "/a\\u0000b"}',
        '{"folder": "/\\ud800"}',
        '{"folder": "/dev/null"}',
        '{"folder": "/proc/self/mem"}',
        json.dumps({"folder": "/" + "x" * 5000}),
        '{"folder": 1' + "0" * 5000 + "}",
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
    ids=lambda text: text[:25],
)
def test_any_note_lets_the_dock_open(root: Path, tmp_path: Path, text: str) -> None:
    good = OpenSession(tmp_path / "good")
    write(good)
    good.abandon()
    other(root, text)
    (root / "recent.json").write_text(text)
    assert [session.path for session in places.unfinished()] == [tmp_path / "good"]
    assert places.closed() == []


@pytest.mark.parametrize("up", ["open", ".", "..", "x/..", "../root"])
def test_a_note_removes_nothing_but_a_session(root: Path, up: str) -> None:
    kept = root.parent / "thesis.docx"
    kept.write_text("mine")
    note = other(root, json.dumps({"folder": f"{root}/{up}"}))
    before = {*root.parent.rglob("*")} - {note}
    assert places.unfinished() == []
    assert before <= {*root.parent.rglob("*")}


@pytest.mark.skipif(os.name == "nt", reason="links need privileges on Windows")
def test_a_folder_that_is_a_link_is_not_emptied(root: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.docx").write_text("mine")
    root.mkdir(exist_ok=True)
    (root / "session").symlink_to(mine)
    other(root, json.dumps({"folder": f"{root}/session"}))
    assert places.unfinished() == []
    places.remove_old()
    assert (mine / "thesis.docx").read_text() == "mine"


def test_a_session_on_a_drive_that_is_absent_is_not_forgotten(root: Path, tmp_path: Path) -> None:
    drive = tmp_path / "drive"
    opened = OpenSession(drive / "mine")
    write(opened)
    opened.abandon()
    # Unmounted, the mount point is empty or not there at all.
    for empty in (False, True):
        drive.rename(tmp_path / "unplugged")
        if empty:
            drive.mkdir()
        assert places.unfinished() == []
        if empty:
            drive.rmdir()
        (tmp_path / "unplugged").rename(drive)
        assert [session.path for session in places.unfinished()] == [drive / "mine"]
    # Its session was taken out of it: then there is nothing to offer.
    for name in ("session.json", "session.copy.json"):
        (drive / "mine" / name).unlink()
    assert places.unfinished() == []
    assert list((root / "open").iterdir()) == []


def test_a_drive_that_is_gone_for_good_is_forgotten_at_last(root: Path, tmp_path: Path) -> None:
    note = other(root, json.dumps({"folder": str(tmp_path / "gone" / "mine")}))
    assert places.unfinished() == []
    assert note.exists()
    long_ago = note.stat().st_mtime - 400 * 86400
    os.utime(note, (long_ago, long_ago))
    assert places.unfinished() == []
    assert not note.exists()


def test_a_mount_that_does_not_answer_holds_nobody_up(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of a server that is gone: the system call does not come back."""
    for name in ("good", "stale"):
        opened = OpenSession(tmp_path / name)
        write(opened)
        opened.abandon()
    places._remember(tmp_path / "stale")
    answers, asked = threading.Event(), []

    def stale(path: Path) -> bool:
        if "stale" in str(path):
            asked.append(path)
            answers.wait(60)
        return is_plain_file(path)

    monkeypatch.setattr(places, "is_plain_file", stale)
    monkeypatch.setattr(places, "_PATIENCE_S", 0.2)
    started = time.monotonic()
    for _ in range(3):
        assert [session.path for session in places.unfinished()] == [tmp_path / "good"]
        assert places.unanswered() == [tmp_path / "stale"]
        assert places.closed() == [] or [c.path for c in places.closed()] == [tmp_path / "good"]
    assert time.monotonic() - started < 10
    assert len(asked) == 1, "who does not answer is not asked again meanwhile"
    answers.set()
    for thread in list(places._asking.values()):
        thread.join(10)
    assert places.unanswered() == []
    assert len(places.unfinished()) == 2


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read anywhere")
def test_a_folder_that_cannot_be_read_is_not_forgotten(root: Path, tmp_path: Path) -> None:
    opened = OpenSession(tmp_path / "drive" / "mine")
    write(opened)
    opened.abandon()
    (tmp_path / "drive").chmod(0)
    try:
        assert places.unfinished() == []
    finally:
        (tmp_path / "drive").chmod(0o700)
    assert len(places.unfinished()) == 1


@pytest.mark.parametrize("error", [PermissionError(13, "x"), OSError(5, "x"), OSError(116, "x")])
def test_a_folder_that_fails_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    opened = OpenSession(tmp_path / "drive" / "mine")
    write(opened)
    opened.abandon()
    lstat, listdir = os.lstat, os.listdir

    def failing(call: Any) -> Any:
        def failed(path: Any = ".", **options: Any) -> Any:
            if "drive" in str(path):
                raise error
            return call(path, **options)

        return failed

    with monkeypatch.context() as patched:
        patched.setattr(os, "lstat", failing(lstat))
        patched.setattr(os, "stat", failing(os.stat))
        patched.setattr(os, "listdir", failing(listdir))
        assert places.unfinished() == []
    assert len(places.unfinished()) == 1


@pytest.mark.skipif(os.name == "nt", reason="links need privileges on Windows")
def test_a_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "thesis.docx"
    target.write_text("mine")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "session.lock").symlink_to(target)
    with pytest.raises(ImPartialError, match="link or a device"):
        OpenSession(tmp_path / "s")
    assert not places._is_locked(tmp_path / "s")
    assert target.read_text() == "mine"


@pytest.mark.parametrize("saved", ["2026-01-01T00:00:00", "soon", 3, None, "1" * 5000])
def test_a_session_with_a_damaged_date_does_not_hide_the_others(root: Path, saved: Any) -> None:
    for name in "ab":
        opened = OpenSession(root / name)
        write(opened)
        opened.abandon()
    manifest = root / "a" / "session.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "saved": saved}))
    assert root / "b" in [session.path for session in places.unfinished()]
