"""What importing brings in, and which layer may import which."""

from __future__ import annotations

import ast
import json
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import napari_impartial

PACKAGE = Path(napari_impartial.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

QT_AND_NAPARI = (
    "napari",
    "qtpy",
    "superqt",
    "magicgui",
    "pyqtgraph",
    "vispy",
    "PyQt5",
    "PyQt6",
    "PySide2",
    "PySide6",
)
# Parts of `core` that import torch as they are imported.
CORE_WITH_TORCH = (
    "api",
    "network",
    "prediction.blocks",
    "prediction.predict",
    "prediction.torchscript",
    "training",
)
CORE_WITHOUT_TORCH = ("network.model_card", "training.messages")
# Which parts of the package each part may import, itself aside.
MAY_IMPORT = {
    "core": set(),
    "io": {"core"},
    "samples": {"core", "io"},
    "session": {"core", "io"},
    "worker": {"core", "io", "slides"},
    "slides": {"core", "io"},
    "cli": {"core", "io", "samples", "slides"},
    "experiments": {"core", "io", "samples", "cli"},
    "gui": {"core", "io", "samples", "session", "worker"},
    "__init__": set(),
    "__main__": {"cli"},
}
# Parts that know neither Qt nor napari.
WITHOUT_WINDOW = ("core", "io", "session", "worker", "slides", "cli", "experiments")


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules_under(folder: str) -> list[str]:
    return [module_name(path) for path in SOURCES if (PACKAGE / folder) in path.parents]


def loaded_by(*modules: str) -> set[str]:
    """Top-level packages that a fresh Python has loaded after importing the modules."""
    code = (
        f"import json, sys\nfor name in {list(modules)!r}:\n    __import__(name)\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_core_brings_neither_napari_nor_qt() -> None:
    # One process for all: what none of them brings, no single one does.
    parts = [name for part in ("core", "io", "session", "worker") for name in modules_under(part)]
    assert not loaded_by(*parts) & set(QT_AND_NAPARI)


def test_command_line_brings_neither_napari_nor_qt_nor_torch() -> None:
    names = [name for part in ("cli", "experiments") for name in modules_under(part)]
    light = [name for name in names if ".baselines." not in name]
    assert not loaded_by(*light) & {*QT_AND_NAPARI, "torch"}


def test_what_the_window_and_the_command_line_import_at_their_start_brings_no_torch() -> None:
    core = "napari_impartial.core."
    heavy = tuple(core + name for name in CORE_WITH_TORCH)
    names = [
        name
        for part in ("core", "io", "session", "worker")
        for name in modules_under(part)
        if not name.startswith(heavy) or name.removeprefix(core) in CORE_WITHOUT_TORCH
    ]
    assert "torch" not in loaded_by(*names, "napari_impartial.samples")


def test_dock_widget_brings_no_torch() -> None:
    loaded = loaded_by("napari_impartial.gui.dock_widget")
    assert "torch" not in loaded
    assert "qtpy" in loaded


def test_starting_napari_with_the_plugin_brings_no_torch() -> None:
    # What napari does with a plugin when it starts and its menus are used: read the
    # manifest, import what the commands point at.
    code = (
        "import sys\n"
        "from npe2 import PluginManager\n"
        "manager = PluginManager.instance()\n"
        "manager.discover()\n"
        "manager.activate('napari-impartial')\n"
        "at_start = sorted(m for m in sys.modules if m.startswith('napari_impartial'))\n"
        "commands = manager.get_manifest('napari-impartial').contributions.commands\n"
        "assert commands and all(callable(manager.commands.get(c.id)) for c in commands)\n"
        "assert 'napari_impartial.gui.dock_widget' in sys.modules\n"
        "print(len(at_start), 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    modules_at_start, torch = done.stdout.split()
    assert int(modules_at_start) <= 1
    assert torch == "False"


def test_the_package_itself_is_light() -> None:
    heavy = {"numpy", "scipy", "skimage", "torch", *QT_AND_NAPARI}
    assert not loaded_by("napari_impartial") & heavy


def test_the_probe_sees_what_is_loaded() -> None:
    # The tests above would pass on a probe that sees nothing.
    assert {"torch", "numpy"} <= loaded_by("napari_impartial.core.network.unet")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute name of everything that a source file imports, at any depth."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            parent = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{parent}.{alias.name}"


def part_of(module: str) -> str | None:
    """Name of the part of our package a module belongs to; None if it is not ours."""
    names = module.split(".")
    if names[0] != PACKAGE.name:
        return None
    return names[1] if len(names) > 1 else "__init__"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downward(path: Path) -> None:
    part = part_of(module_name(path))
    assert part in MAY_IMPORT, f"say in MAY_IMPORT where {part} stands"
    allowed = {part, "__init__", "__version__", *MAY_IMPORT[part]}
    wrong = [
        f"{path.name}:{line} imports {name}"
        for line, name in imports(path)
        if part_of(name) is not None and part_of(name) not in allowed
    ]
    if part in WITHOUT_WINDOW:
        wrong += [
            f"{path.name}:{line} imports {name}"
            for line, name in imports(path)
            if name.partition(".")[0] in QT_AND_NAPARI and not opens_napari(path)
        ]
    assert not wrong


def graph() -> dict[str, set[str]]:
    """Modules of ours that each module imports, at any depth of its code."""
    modules = {module_name(path): path for path in SOURCES}
    arrows: dict[str, set[str]] = {name: set() for name in modules}
    for name, path in modules.items():
        for _, imported in imports(path):
            found = imported if imported in modules else imported.rpartition(".")[0]
            if found in modules and found != name:
                arrows[name].add(found)
    return arrows


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """Names along a circle of arrows; [] if there is none."""
    try:
        list(TopologicalSorter(arrows).static_order())
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert not circle(graph())


@pytest.mark.parametrize("part", ["core", "gui"])
def test_no_folders_of_a_part_import_each_other_in_a_circle(part: str) -> None:
    # A module that lies in no folder of the part stands for itself.
    def folder(module: str) -> str:
        package = module.rpartition(".")[0]
        return module if package == f"napari_impartial.{part}" else package

    arrows: dict[str, set[str]] = {}
    for module, found in graph().items():
        if module.startswith(f"napari_impartial.{part}."):
            targets = {folder(name) for name in found} - {folder(module)}
            arrows.setdefault(folder(module), set()).update(targets)
    assert len(arrows) > 6
    assert not circle(arrows)


def test_a_circle_is_seen() -> None:
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}


IN_A_STRING = re.compile(r"(?<![\w.])napari_impartial(?:\.\w+)+")
ROOT = PACKAGE.parents[1]


def named_in_texts() -> dict[str, str]:
    """Dotted names of ours in code, strings, comments and pages, and one file for each."""
    found: dict[str, str] = {}
    files = [*SOURCES, PACKAGE / "napari.yaml"]
    for folder in ("tests", "benchmarks", "docs", "scripts"):
        files += [
            f for f in sorted((ROOT / folder).rglob("*")) if f.suffix in (".py", ".md", ".sh")
        ]
    files += [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "setup.cfg", "tox.ini")]
    for file in files:
        if not file.is_file() or "_build" in file.parts:
            continue
        for name in IN_A_STRING.findall(file.read_text(encoding="utf-8")):
            found.setdefault(name, file.name)
    return found


def test_names_in_strings_exist() -> None:
    # `-m`, launch strings, import_module, the manifest, monkeypatch and pages break silently.
    names = named_in_texts()
    assert len(names) > 50
    wrong = []
    for name, file in names.items():
        try:
            pkgutil.resolve_name(name)
        except (ImportError, AttributeError) as error:
            wrong.append(f"{file}: {error}")
    assert not wrong


def opens_napari(path: Path) -> bool:
    """Only `demo`, when there is a screen, may start napari; inside a function."""
    return path.relative_to(PACKAGE).as_posix() == "cli/demo.py"


def test_no_file_is_opened_by_unpickling() -> None:
    # A pickle in a file can run code when it is opened.
    wrong = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            call = ast.unparse(node.func)
            if call in ("torch.load", "pickle.load", "pickle.Unpickler", "joblib.load"):
                wrong.append(f"{path.name}:{node.lineno} {call}")
            elif call == "pickle.loads" and path.name != "messages.py":
                # messages.py reads the pipe between the window and its own child process.
                wrong.append(f"{path.name}:{node.lineno} {call}")
            wrong += [
                f"{path.name}:{node.lineno} allow_pickle"
                for keyword in node.keywords
                if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False"
            ]
            if call in ("np.load", "numpy.load") and not any(
                keyword.arg == "allow_pickle" for keyword in node.keywords
            ):
                wrong.append(f"{path.name}:{node.lineno} np.load without allow_pickle=False")
    assert not wrong
