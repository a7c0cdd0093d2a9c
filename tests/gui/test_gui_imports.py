"""What the window and the training process load, seen in fresh interpreters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import napari_impartial


def loaded(statement: str) -> set[str]:
    """Top-level modules that are loaded after a statement."""
    program = (
        f"{statement}\nimport sys, json\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_dock_widget_brings_no_torch() -> None:
    modules = loaded("import napari_impartial.gui.dock_widget")
    assert "napari" in modules
    assert not modules & {"torch", "sklearn", "pandas"}


@pytest.mark.parametrize("more", ["", "; import napari_impartial.core.training.fit"])
def test_the_training_process_brings_no_window(more: str) -> None:
    modules = loaded("import napari_impartial.worker.server" + more)
    assert not modules & {"napari", "qtpy", "superqt", "pyqtgraph", "PyQt6", "PySide6", "vispy"}


def test_the_manifest_is_valid_and_its_commands_exist() -> None:
    from npe2 import PluginManifest

    folder = Path(napari_impartial.__file__).parent
    manifest = PluginManifest.from_file(folder / "napari.yaml")
    assert manifest.display_name == "ImPartial"
    manifest.validate_imports()
    assert [widget.display_name for widget in manifest.contributions.widgets] == ["ImPartial"]
    assert {sample.key for sample in manifest.contributions.sample_data} == {
        "immunohistochemistry",
        "multiplex_tissue",
    }


def test_every_name_in_the_manifest_can_be_imported() -> None:
    from npe2 import PluginManifest

    manifest = PluginManifest.from_file(Path(napari_impartial.__file__).with_name("napari.yaml"))
    names = [command.python_name for command in manifest.contributions.commands or []]
    assert len(names) > 10
    manifest.validate_imports()
