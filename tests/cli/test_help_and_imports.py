"""Help is complete and quick, and nothing needs napari or Qt."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from napari_impartial.cli.main import COMMANDS, main
from napari_impartial.core.config import (
    InstanceConfig,
    ModelConfig,
    PredictionConfig,
    TrainingConfig,
    parameters,
)

from .conftest import FEW, Files, Trained

HELP_OF_ALL = """
import contextlib, io, json, sys
from napari_impartial.cli.main import COMMANDS, main
for command in COMMANDS:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            main([command, "--help"])
        except SystemExit as end:
            assert end.code == 0, end.code
    assert "usage: napari-impartial " + command in out.getvalue()
print(json.dumps(sorted(sys.modules)))
"""

# Importing either fails as it does where they are not installed.
BLOCKED = """
import sys
for name in ("napari", "qtpy", "PyQt6", "PySide6", "superqt", "magicgui", "pyqtgraph"):
    sys.modules[name] = None
from napari_impartial.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_help_loads_no_heavy_library(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELP_OF_ALL],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    loaded = set(json.loads(done.stdout))
    assert "napari_impartial.experiments.benchmark" in loaded
    assert not loaded & {"torch", "numpy", "scipy", "skimage", "napari", "qtpy", "sklearn"}


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert "example:" in text
    assert f"napari-impartial {command}" in text.split("example:")[1]
    assert "--json" in text


@pytest.mark.parametrize(
    ("command", "config", "missing"),
    [
        ("train", TrainingConfig, set()),
        ("train", ModelConfig, set()),
        ("predict", InstanceConfig, set()),
        ("predict", PredictionConfig, {"reconstruction"}),
        ("benchmark", TrainingConfig, {"seed"}),
        ("refine", TrainingConfig, {"seed"}),
    ],
)
def test_help_has_each_setting_with_its_description(
    command: str, config: type, missing: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for name, parameter in parameters(config).items():
        if name in missing:
            continue
        assert f"--{name.replace('_', '-')} " in text
        assert parameter.tooltip in text, name
        if parameter.choices:
            assert "{" + ",".join(parameter.choices) + "}" in text


def test_main_help_lists_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert f"\n    {command}" in text


def test_training_and_predicting_without_napari_and_qt(
    environment: dict[str, str], files: Files, trained: Trained, tmp_path: Path
) -> None:
    model = tmp_path / "m.impartial"
    for arguments in (
        ["train", files.image, "--scribbles", files.scribbles, "--model", model, *FEW],
        ["predict", files.test_image, "--model", trained.path, "--out", tmp_path / "out"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", BLOCKED, *map(str, arguments)],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert model.stat().st_size > 1000
    assert (tmp_path / "out" / "b_instances.tif").exists()
