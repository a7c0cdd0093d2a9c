"""Cellpose learns from partial annotation, and takes weights of the user's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cellpose")

import torch

from napari_impartial.cli.main import main
from napari_impartial.core.config import TrainingConfig
from napari_impartial.core.data.image import Image
from napari_impartial.core.data.mask_scribbles import simulate
from napari_impartial.core.data.synthetic_tissue import tissue
from napari_impartial.core.errors import ImPartialError
from napari_impartial.experiments.baselines import cellpose
from napari_impartial.experiments.baselines.partial_masks import partial_labels
from napari_impartial.experiments.benchmark_run import run
from napari_impartial.io import write_tiff

# Cellpose compiles parts of itself with what torch 2.13 calls deprecated, and counts pixels in
# sparse tensors, of which torch says that it does not check them.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning"),
]

STEPS = TrainingConfig(max_steps=2, device="cpu")
BATCH = cellpose._BATCH


@pytest.fixture(autouse=True, scope="module")
def small_batches() -> Iterator[None]:
    """A step of its usual batch takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cellpose, "_BATCH", 2)
        yield


@pytest.fixture(scope="module")
def trained(small_batches: None) -> cellpose.Cellpose:
    made = tissue((96, 96), 2, seed=1)
    painted, _ = simulate(made.truth, 0.4, np.random.default_rng(0))
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    torch_state = torch.get_rng_state()
    seen: list[float] = []
    labels = [partial_labels(painted, made.truth)]
    peer = cellpose.train([made.image], labels, STEPS, seen.append)
    assert seen == [0.0, 0.5, 1.0]
    # the caller's random numbers stay the caller's
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_state)
    return peer


def test_it_segments(trained: cellpose.Cellpose) -> None:
    made = tissue((80, 100), 2, seed=2)
    labels = cellpose.segment(made.image, trained)
    assert labels.shape == made.image.shape
    assert labels.dtype == np.int32
    assert trained.n_channels == 2
    assert 8 < trained.diameter_px < 60
    three = Image(np.zeros((3, 80, 100), np.float32), ("a", "b", "c"))
    with pytest.raises(ImPartialError, match="takes 2"):
        cellpose.segment(three, trained)


def test_unknown_pixels_are_left_out_of_the_loss() -> None:
    rng = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 3, 8, 8, generator=rng)
    target = torch.rand(2, 3, 8, 8, generator=rng)
    known = torch.zeros(2, 8, 8, dtype=torch.bool)
    known[:, 2:5, 3:6] = True
    loss = cellpose._loss(maps, known, target)
    elsewhere = torch.where(known[:, None], maps, maps + 10)
    assert torch.equal(cellpose._loss(elsewhere, known, target), loss)
    assert cellpose._loss(maps + 1, known, target) != loss
    # with all known it is Cellpose's own
    from cellpose.train import _loss_fn_seg

    everywhere = torch.ones_like(known)
    expected = _loss_fn_seg(target.numpy(), maps, torch.device("cpu"))
    assert cellpose._loss(maps, everywhere, target).item() == pytest.approx(expected.item())


def test_targets_of_a_crop_are_cellposes_where_the_mask_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cellpose, "_BATCH", BATCH)
    made = tissue((96, 96), 1, seed=3)
    painted, ids = simulate(made.truth, 0.3, np.random.default_rng(0))
    labels = partial_labels(painted, made.truth)
    data = cellpose._Data([made.image], [labels], 30.0, np.random.default_rng(0))
    (target,) = data.targets
    np.testing.assert_array_equal(target[0] > 0.5, labels >= 0)
    np.testing.assert_array_equal(target[1] > 0.5, np.isin(made.truth, ids))
    crops, known, maps = data.batch()
    assert crops.shape == (8, 1, 224, 224)
    assert maps.shape == (8, 3, 224, 224)
    assert known.any(axis=(1, 2)).all()
    # outside of what is known there is no cell
    assert not (maps[:, 0][~known] > 0.99).any()


def test_benchmark(
    runs_here: None, trained: cellpose.Cellpose, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part, seed in (("train", 1), ("test", 2)):
        made = tissue((80, 80), 2, seed=seed)
        write_tiff(tmp_path / "set" / part / "a.tif", made.image.channels, "CYX")
        write_tiff(tmp_path / "set" / part / "a_truth.tif", made.truth, "YX")
    command = ["benchmark", str(tmp_path / "set"), "--methods", "cellpose", "--seeds", "0"]
    assert main([*command, "--percent", "50", "--max-steps", "1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    (result,) = report["results"]
    assert (result["method"], result["percent"]) == ("cellpose", 50)
    assert result["n_true"] == made.truth.max()
    # with the user's weights nothing is trained
    weights = tmp_path / "mine"
    trained.network.save_model(str(weights))
    spec = {
        "set": str(tmp_path / "set"), "method": "cellpose", "percent": 10, "seed": 0,
        "best_cut": False, "settings": report["settings"], "weights": str(weights),
        "style": "outlines", "pooling": "cells", "pictures": None, "labels": None,
    }  # fmt: skip
    found = [run({**spec, "weights_channels": chosen})[0] for chosen in (["0", "1"], ["1", "0"])]
    labels = cellpose.segment(made.image, trained)
    assert found[0]["n_pred"] == labels.max()
    assert found[0]["train_s"] < 5


@pytest.mark.parametrize("version", ["4.0.1", ""])
def test_another_cellpose_or_none(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    def installed(name: str) -> str:
        if not version:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(metadata, "version", installed)
    with pytest.raises(ImPartialError, match=r"needs Cellpose 3.*napari-impartial\[bench\]"):
        cellpose.check_available()


def test_foreign_weights(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, tmp_path / "other")
    (tmp_path / "text").write_text("no weights", encoding="utf-8")
    for name in ("other", "text"):
        with pytest.raises(ImPartialError, match="no weights of Cellpose 3"):
            cellpose.load(tmp_path / name, 2)


def test_a_time_budget_ends(trained: cellpose.Cellpose) -> None:
    made = tissue((64, 64), 2, seed=1)
    painted, _ = simulate(made.truth, 0.5, np.random.default_rng(0))
    config = replace(STEPS, max_steps=0, time_budget_s=1.0)
    seen: list[float] = []
    cellpose.train([made.image], [partial_labels(painted, made.truth)], config, seen.append)
    assert seen[-1] == 1.0
    assert all(share < 1 for share in seen[:-1])
