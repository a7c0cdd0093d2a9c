"""No code from the current folder is run: it holds somebody's images, and what came with them."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import napari_impartial
from napari_impartial.cli import screen
from napari_impartial.core.errors import ImPartialError
from napari_impartial.experiments.run_cache import run_apart

PACKAGE = Path(napari_impartial.__file__).parent
ROOT = Path(__file__).parents[1]
SOURCES = [
    *sorted(PACKAGE.rglob("*.py")),
    *sorted(
        path for part in ("benchmarks", "docs", "scripts") for path in (ROOT / part).rglob("*.py")
    ),
]
# Whatever starts a program by another way than a list of arguments.
OTHER_WAYS = {"system", "popen", "spawnl", "spawnv", "execl", "execv", "execvp", "posix_spawn"}


def is_executable(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "executable"


def launches(tree: ast.AST) -> Iterator[list[str]]:
    """Yield what follows Python itself in each list of arguments."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.List, ast.Tuple)):
            for at, item in enumerate(node.elts):
                if is_executable(item):
                    yield [ast.unparse(part) for part in node.elts[at + 1 :]]


def test_every_child_is_started_without_the_current_folder() -> None:
    found = 0
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        commands = list(launches(tree))
        uses = sum(is_executable(node) for node in ast.walk(tree))
        assert len(commands) == uses, f"{path}: sys.executable outside of a list of arguments"
        for command in commands:
            assert command[0] == "'-P'", f"{path}: {command[:3]}"
        found += len(commands)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert node.func.attr not in OTHER_WAYS, f"{path}: {ast.unparse(node)}"
            if isinstance(node, ast.keyword) and node.arg == "shell":
                raise AssertionError(f"{path}: a shell")
            if isinstance(node, (ast.Import, ast.ImportFrom)) and path.is_relative_to(PACKAGE):
                names = ast.unparse(node)
                assert "multiprocessing" not in names or "Pipe" in names or "connection" in names
    assert found >= 6


@pytest.fixture
def booby_trapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Be in a folder of images with modules among them, none of which may run."""
    sprung = tmp_path / "sprung"
    folder = tmp_path / "images"
    folder.mkdir()
    for name in (
        "random",
        "numpy",
        "qtpy",
        "napari",
        "napari_impartial",
        "torch",
        "json",
        "typing",
    ):
        (folder / f"{name}.py").write_text(
            f"open({str(sprung)!r}, 'a').write({name!r})\nraise SystemExit('a trap')\n"
        )
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*(p for p in sys.path if p), ""]))
    yield folder
    assert not sprung.exists(), sprung.read_text()


def test_runs_of_a_benchmark_import_nothing_from_the_current_folder(booby_trapped: Path) -> None:
    with pytest.raises(ImPartialError) as caught:
        run_apart({"set": str(booby_trapped), "method": "scribbles"}, lambda _: None)
    assert "trap" not in str(caught.value)


def test_the_look_for_a_screen_imports_nothing_from_the_current_folder(
    booby_trapped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(p for p in sys.path if p))
    assert screen._probe() is None
    monkeypatch.setattr(screen, "_LAUNCH", "import napari_impartial, random, qtpy # {}")
    assert screen.open_window("any") is None


def test_the_module_imports_nothing_from_the_current_folder(booby_trapped: Path) -> None:
    for name in ("napari_impartial", "typing", "json"):
        # What is imported on the way to us is not ours to choose.
        (booby_trapped / f"{name}.py").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "napari_impartial", "--version"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.startswith("napari-impartial "), done.stderr
