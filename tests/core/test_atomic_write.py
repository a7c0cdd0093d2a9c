"""Files are written whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

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
