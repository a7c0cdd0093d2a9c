"""What computes is chosen on this machine: a model does not bring its device along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from napari_impartial.core.api import train
from napari_impartial.core.config import ModelConfig, TrainingConfig
from napari_impartial.core.network.model_card import read_card
from napari_impartial.core.network.model_file import save_model


@pytest.fixture
def of_a_gpu(tiny_tissue: Any, tiny_scribbles: Any, tmp_path: Path) -> Path:
    """Return a model whose card says that it was trained on a GPU."""
    training = TrainingConfig(max_steps=2, patch_size=48, batch_size=2, device="cpu")
    model = train([tiny_tissue.image], [tiny_scribbles], training, ModelConfig(4, 2))
    path = save_model(model, tmp_path / "here.impartial")
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    metadata = {k: v.replace('"device": "cpu"', '"device": "cuda"') for k, v in metadata.items()}
    save_file(load_file(path), tmp_path / "gpu.impartial", metadata=metadata)
    assert read_card(tmp_path / "gpu.impartial").training.device == "cuda"
    return tmp_path / "gpu.impartial"


@pytest.fixture
def no_gpu() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("This machine has the device of the model.")


def test_a_model_of_a_gpu_predicts_without_one(
    no_gpu: None, widget: Any, find: Any, add_tissue: Any, of_a_gpu: Path, wait_for: Any, notes: Any
) -> None:
    add_tissue()
    wait_for(lambda: widget.workspace.source is not None)
    widget.models.load(of_a_gpu)
    wait_for(lambda: not widget.session.busy)
    assert widget.session.plane.prediction is not None, notes()
    widget.session.plane.go_back_to(None, 0)
    widget.batch.start(widget.batch.all_planes())
    wait_for(lambda: not widget.session.busy)
    assert widget.session.plane.prediction is not None, notes()


def test_the_device_box_says_what_predicts(
    widget: Any, find: Any, add_tissue: Any, of_a_gpu: Path, wait_for: Any, monkeypatch: Any
) -> None:
    from qtpy.QtWidgets import QApplication

    from napari_impartial.gui.result import prediction

    used: list[str] = []

    class Noted(prediction.Job):
        def __init__(self, process: Any, make_job: Any, *args: Any) -> None:
            used.append(make_job.keywords["config"].device)
            super().__init__(process, make_job, *args)

    monkeypatch.setattr(prediction, "Job", Noted)
    add_tissue()
    box = find("device_combo")
    wait_for(lambda: box.itemText(0) != "auto")
    box.setCurrentIndex(box.findData("cpu"))
    widget.models.load(of_a_gpu)
    wait_for(lambda: not widget.session.busy)
    assert used == ["cpu"]
    widget.models.copy_command()
    clipboard = QApplication.clipboard()
    assert clipboard is not None
    assert "--device cpu" in clipboard.text()
    box.setCurrentIndex(box.findData("auto"))
    widget.models.copy_command()
    assert "--device" not in clipboard.text()


def test_the_command_line_predicts_with_what_is_there(
    no_gpu: None, of_a_gpu: Path, tiny_tissue: Any, tmp_path: Path
) -> None:
    import numpy as np

    from napari_impartial.cli.main import main

    np.save(tmp_path / "image.npy", tiny_tissue.image.channels)
    words = ["predict", str(tmp_path / "image.npy"), "--axes", "CYX", "--model", str(of_a_gpu)]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
