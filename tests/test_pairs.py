"""Judging ours against a forest on many kinds of images."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from benchmarks import pairs
from benchmarks.real import pairs_of, parts_of

from napari_impartial.core.data.synthetic_tissue import tissue
from napari_impartial.core.network.model_file import TrainedModel, save_model
from napari_impartial.core.network.warm_start import shipped


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two unlike images, one to train on and one to judge."""
    for side, seed in (("train", 3), ("test", 4)):
        made = tissue((96, 112), n_channels=2, seed=seed)
        (tmp_path / side).mkdir()
        path = tmp_path / side / f"{side}.tif"
        tifffile.imwrite(path, made.image.channels, metadata={"axes": "CYX"})
        tifffile.imwrite(path.with_name(f"{side}_truth.tif"), made.truth.astype(np.uint16))
    return tmp_path


def test_each_set_is_trained_on_both_ways_round_or_cut_in_two(dataset: Path) -> None:
    both = parts_of(dataset)
    assert list(both) == [dataset.name, f"{dataset.name}, reversed"]
    (train, test), (test_again, train_again) = both.values()
    assert [image.name for image, _ in train + test] == ["train", "test"]
    assert [image.name for image, _ in train_again + test_again] == ["train", "test"]
    for path in (dataset / "test").iterdir():
        path.unlink()
    ((upper, lower),) = parts_of(dataset).values()
    ((whole, truth),) = pairs_of(dataset)
    for part, rows in ((upper, slice(48)), (lower, slice(48, None))):
        ((image, labels),) = part
        np.testing.assert_array_equal(image.channels, whole.channels[:, rows])
        np.testing.assert_array_equal(labels, truth[rows])


def test_rows_and_what_they_come_to(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(dataset), "--steps", "4", "--factors", "1,2"]
    monkeypatch.setattr(sys, "argv", ["pairs", *arguments])
    pairs.main()
    head, _, *rows, mean, below, below_best = capsys.readouterr().out.splitlines()
    assert head == "| images | ours | forest | forest, best cut |"
    name = dataset.name
    larger = f"{name}, 2 times as large", f"{name}, reversed, 2 times as large"
    assert [row.split(" | ")[0] for row in rows] == [
        f"| {part}" for part in (name, f"{name}, reversed", *larger)
    ]
    figures = np.array([[float(v) for v in row.strip("| ").split(" | ")[1:]] for row in rows])
    assert (figures > 0.1).all(), "each finds cells"
    assert (figures <= 1).all()
    assert len(np.unique(figures)) > 6, "each method and image has a figure of its own"
    shown = [float(v) for v in mean.strip("| ").split(" | ")[1:]]
    np.testing.assert_allclose(shown, figures.mean(axis=0), atol=0.001)
    losses = (figures[:, :1] < figures[:, 1:]).sum(axis=0)
    assert below == f"below forest: {losses[0]} of 4"
    assert below_best == f"below forest, best cut: {losses[1]} of 4"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--first-weights", "nowhere"], "there is no folder nowhere"),
        (["--factors", "1,0"], "--factors has 0; all have to be greater than 0."),
        (["nothing"], "no annotated images in nothing"),
    ],
)
def test_what_cannot_be_judged_is_said_at_once(
    dataset: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(dataset)
    (dataset / "nothing").mkdir()
    monkeypatch.setattr(sys, "argv", ["pairs", str(dataset), *arguments])
    with pytest.raises(SystemExit) as stopped:
        pairs.main()
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_weights_of_a_set_are_begun_with_where_there_are_any(
    dataset: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = shipped()
    weights = {name: torch.zeros_like(value) for name, value in own.weights.items()}
    folder = tmp_path_factory.mktemp("weights")
    arguments = [str(dataset), "--steps", "2", "--first-weights", str(folder)]
    monkeypatch.setattr(sys, "argv", ["pairs", *arguments])
    pairs.main()
    first = capsys.readouterr()
    assert first.err == f"{dataset.name}: first weights shipped\n"
    path = save_model(TrainedModel(own.card, weights), folder / f"{dataset.name}.safetensors")
    pairs.main()
    second = capsys.readouterr()
    assert second.err == f"{dataset.name}: first weights {path}\n"
    ours, none = (float(shown.out.splitlines()[2].split(" | ")[1]) for shown in (first, second))
    assert ours > none
