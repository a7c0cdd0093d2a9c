"""Models on disk: what goes in comes out, and nothing else is opened."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_impartial.core import api
from napari_impartial.core.config import ModelConfig, TrainingConfig
from napari_impartial.core.errors import ModelFileError
from napari_impartial.core.model_card import FORMAT, FORMAT_VERSION, ModelCard, read_card
from napari_impartial.core.model_file import TrainedModel, load_model, save_model
from napari_impartial.core.scribbles import Scribbles
from napari_impartial.core.tissue import Tissue


@pytest.fixture(scope="module")
def model(tiny_tissue: Tissue, tiny_scribbles: Scribbles) -> TrainedModel:
    config = TrainingConfig(max_steps=3, patch_size=32)
    network = ModelConfig(base_features=8, depth=2)
    return api.train([tiny_tissue.image], [tiny_scribbles], config, network)


@pytest.fixture
def path(model: TrainedModel, tmp_path: Path) -> Path:
    return save_model(model, tmp_path / "m.impartial")


def test_round_trip(model: TrainedModel, path: Path, tiny_tissue: Tissue) -> None:
    loaded = load_model(path)
    assert loaded.card == model.card
    assert loaded.card == read_card(path)
    for name, weight in model.weights.items():
        assert torch.equal(weight, loaded.weights[name]), name
    one, two = (api.predict(tiny_tissue.image, m).probability for m in (model, loaded))
    assert np.array_equal(one, two)


def test_a_file_that_is_overwritten_does_not_reach_a_loaded_model(
    model: TrainedModel, path: Path
) -> None:
    loaded = load_model(path)
    path.write_bytes(bytes(path.stat().st_size))
    for name, weight in model.weights.items():
        assert torch.equal(weight, loaded.weights[name]), name


def test_card_as_json(model: TrainedModel) -> None:
    values = json.loads(model.card.to_json())
    assert values["format_version"] == FORMAT_VERSION
    assert values["channel_names"] == list(model.card.channel_names)
    assert values["model"]["base_features"] == 8
    assert values["history"][-1]["step"] == 3
    assert ModelCard.from_json(model.card.to_json()) == model.card


def test_saving_replaces_whole_or_not_at_all(
    model: TrainedModel, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def broken(*args: object, **kwargs: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("napari_impartial.core.model_file.save_file", broken)
    with pytest.raises(ValueError, match="disk full"):
        save_model(replace(model, card=replace(model.card, steps=99)), path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_truncated_file(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelFileError, match="damaged"):
        load_model(path)


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('code in the file was run')",))


def test_foreign_files(path: Path, model: TrainedModel, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no model file"):
        load_model(tmp_path / "missing.impartial")
    with pytest.raises(ModelFileError, match="no model file"):
        load_model(tmp_path)
    (tmp_path / "text").write_text("not a model")
    (tmp_path / "pickle").write_bytes(pickle.dumps(_Bomb()))
    torch.save(dict(model.weights), tmp_path / "torch")
    for name in ("text", "pickle", "torch"):
        with pytest.raises(ModelFileError, match="not a model of napari-impartial"):
            load_model(tmp_path / name)
    foreign = {name: weight.contiguous() for name, weight in model.weights.items()}
    save_file(foreign, tmp_path / "foreign")
    with pytest.raises(ModelFileError, match="holds weights"):
        load_model(tmp_path / "foreign")


def rewrite(path: Path, change: dict[str, object]) -> None:
    weights = load_file(path)
    values = json.loads(read_card(path).to_json()) | change
    save_file(weights, path, metadata={FORMAT: json.dumps(values)})


def test_newer_format(path: Path) -> None:
    rewrite(path, {"format_version": FORMAT_VERSION + 1, "program_version": "9.9"})
    with pytest.raises(ModelFileError, match=r"newer version of the program \(9.9\)"):
        load_model(path)


def test_card_that_does_not_fit_the_weights(path: Path) -> None:
    rewrite(path, {"channel_names": ["only one"]})
    with pytest.raises(ModelFileError, match="damaged"):
        load_model(path)


@pytest.mark.parametrize(
    "change",
    [{"surprise": 1}, {"model": {"wrong": 1}}, {"history": None}, {"model": {"depth": 40}}],
)
def test_broken_card(path: Path, change: dict[str, object]) -> None:
    rewrite(path, change)
    with pytest.raises(ModelFileError, match="description cannot be read"):
        load_model(path)
