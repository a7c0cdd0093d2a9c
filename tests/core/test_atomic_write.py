"""Files are written whole or not at all."""

from __future__ import annotations

import gc
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_impartial.core import atomic_write
from napari_impartial.core.atomic_write import WorkFolder, atomic_folder, replace_folder
from napari_impartial.core.errors import ImPartialError
from napari_impartial.io import atomic_path


def test_new_file_appears_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "result.tar.gz"
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.name.endswith(".tar.gz")
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert os.listdir(target.parent) == [target.name]


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "result.txt"
    target.write_text("old")

    def interrupted() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.txt"]


def test_system_errors_name_the_file(tmp_path: Path) -> None:
    target = tmp_path / "result.txt"
    with (
        pytest.raises(ImPartialError, match=r"result\.txt: no space left") as caught,
        atomic_path(target),
    ):
        raise OSError(28, "No space left on device")
    assert "\n" not in str(caught.value)
    assert not os.listdir(tmp_path)


def test_folders_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(ImPartialError, match="it is a folder"), atomic_path(tmp_path):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(ImPartialError, match="Cannot write"), atomic_path(tmp_path / "file" / "x"):
        pass


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_permissions_are_ordinary_or_kept(tmp_path: Path) -> None:
    target, plain = tmp_path / "result.txt", tmp_path / "plain.txt"
    plain.write_text("")
    with atomic_path(target):
        pass
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    target.chmod(0o640)
    with atomic_path(target):
        pass
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.skipif(os.name == "nt", reason="links need privileges on Windows")
def test_links_are_followed(tmp_path: Path) -> None:
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("old")
    link.symlink_to(real)
    with atomic_path(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert real.read_text() == "new"


KILLED = """
import os, signal, sys
from napari_impartial.core import atomic_write as atomic
path = sys.argv[1]
with (
    atomic.atomic_path(path + "/result.tif") as file,
    atomic.atomic_folder(path + "/set") as folder,
    atomic.WorkFolder("models") as models,
):
    file.write_text("half")
    (folder / "train").mkdir()
    (folder / "train" / "a.tif").write_text("half")
    (models / "model").write_text("half")
    print("writing", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """A program that writes a file, a folder and temporary files."""
    for name in ("results", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    child = subprocess.Popen(
        [sys.executable, "-P", "-c", KILLED, str(tmp_path / "results")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            "TMPDIR": str(tmp_path / "tmp"),
        },
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "writing\n"
        yield child
        child.kill()


@pytest.mark.skipif(os.name == "nt", reason="there, leftovers have to be two days old")
def test_leftovers_of_a_killed_program_go_and_nothing_else(
    tmp_path: Path, writer: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    results, work = tmp_path / "results", tmp_path / "tmp"
    others = [
        results / ".impartial-notes.txt.lnk",
        results / "impartial-x~.tif",
        results / ".hidden~.tif",
    ]
    for other in others[1:]:
        other.write_text("somebody's")
    others[0].symlink_to(tmp_path)

    def left() -> set[str]:
        return {path.name for path in (*results.iterdir(), *work.iterdir()) if path not in others}

    assert len(left()) == 3
    monkeypatch.setattr(atomic_write, "_swept", set())
    for folder in (results, work):
        atomic_write.sweep(folder)
    assert len(left()) == 3, "what is being written stays"
    writer.kill()
    writer.wait()
    assert len(left()) == 3
    # The next program that writes there clears them away.
    with atomic_path(results / "other.tif") as temporary:
        temporary.write_text("whole")
    with WorkFolder("models") as folder:
        assert folder.parent == work
        assert left() == {"other.tif", folder.name}
    assert left() == {"other.tif"}
    assert all(os.path.lexists(other) for other in others)
    assert tmp_path.is_dir()


def test_a_work_folder_goes_with_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = WorkFolder("models")
    path = folder.path
    (path / "model").write_text("x")
    atomic_write.sweep(tmp_path)
    assert path.is_dir()
    del folder
    gc.collect()
    assert not path.exists()


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "new" / "set") as folder:
        (folder / "a").write_text("x")
        assert os.listdir(tmp_path / "new") == [folder.name]
    assert os.listdir(tmp_path / "new") == ["set"]

    def interrupted() -> None:
        with atomic_folder(tmp_path / "new" / "other"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert os.listdir(tmp_path / "new") == ["set"]


def test_a_full_disk_is_said_in_the_systems_words(tmp_path: Path) -> None:
    def numpys_own() -> None:
        with atomic_path(tmp_path / "a.npy"):
            raise OSError("129600 requested and 13256 written")

    with pytest.raises(ImPartialError, match="no space left on device"):
        numpys_own()


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_name_that_no_file_can_have_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImPartialError, match="Cannot write"), atomic_path(tmp_path / name):
        pass


def test_a_folder_is_replaced_by_a_whole_one_or_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "store"
    target.mkdir()
    (target / "kept").write_text("old")

    def interrupted() -> None:
        with atomic_folder(target, replace=True) as folder:
            (folder / "new").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.name for path in tmp_path.rglob("*")] == ["store", "kept"]
    rename = Path.rename

    def fail(self: Path, to: Path) -> Path:
        if self.name.startswith(atomic_write.MARK):
            raise PermissionError(13, "in use", str(self))
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(PermissionError), atomic_folder(target, replace=True) as folder:
        (folder / "new").write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    assert (target / "kept").read_text() == "old"
    monkeypatch.undo()
    with atomic_folder(target, replace=True) as folder:
        (folder / "new").write_text("whole")
    assert [path.name for path in tmp_path.rglob("*")] == ["store", "new"]


def test_a_folder_that_a_link_points_to_is_replaced_each_time(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    (disk / "real").mkdir(parents=True)
    (tmp_path / "link").symlink_to("disk/real")
    for text in ("first", "second"):
        with atomic_folder(tmp_path / "link", replace=True) as folder:
            assert folder.parent == disk, "it may be another disk, and is only renamed"
            (folder / "new").write_text(text)
        assert (disk / "real" / "new").read_text() == text
    made = disk / "made"
    made.mkdir()
    replace_folder(made, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["disk", "link", "real"]


def test_a_folder_that_was_removed_and_made_again_takes_no_place(tmp_path: Path) -> None:
    def made_again() -> None:
        with atomic_folder(tmp_path / "store") as folder:
            folder.rename(tmp_path / "elsewhere")
            folder.mkdir()

    with pytest.raises(OSError, match="removed while it was written"):
        made_again()
    assert not (tmp_path / "store").exists()


def test_a_folder_is_as_open_to_others_as_all_that_is_made(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic_folder(tmp_path / "store"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o750


def test_what_the_system_says_is_written_small_and_what_a_library_says_as_it_is() -> None:
    assert atomic_write.reason(OSError(28, "No space left on device")) == "no space left on device"
    assert atomic_write.reason(OSError("Cannot open /Data/A.TIF.")) == "Cannot open /Data/A.TIF"
