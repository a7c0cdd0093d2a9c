"""Models on disk: what goes in comes out, and nothing else is opened."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import napari_impartial
from napari_impartial.core import api
from napari_impartial.core.config import (
    InstanceConfig,
    ModelConfig,
    PredictionConfig,
    TrainingConfig,
)
from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.data.synthetic_tissue import Tissue
from napari_impartial.core.errors import ImPartialError, ModelFileError
from napari_impartial.core.network.model_card import FORMAT, FORMAT_VERSION, ModelCard, read_card
from napari_impartial.core.network.model_file import TrainedModel, load_model, save_model


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

    monkeypatch.setattr(Path, "write_bytes", broken)
    with pytest.raises(ValueError, match="disk full"):
        save_model(replace(model, card=replace(model.card, steps=99)), path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_disk_that_takes_no_more_is_told(model: TrainedModel, path: Path) -> None:
    resource = pytest.importorskip("resource", reason="of Unix")
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(ImPartialError, match=f"Cannot write {path}: file too large"):
            save_model(model, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("weight", float("nan"), "no numbers"),
        ("weight", float("inf"), "no numbers"),
        ("running_var", -1.0, "no numbers"),
        ("weight", None, "stored as int8"),
    ],
)
def test_weights_that_predict_nothing_are_refused(
    path: Path, name: str, value: float | None, message: str
) -> None:
    weights = load_file(path)
    key = next(key for key in weights if key.endswith(name))
    if value is None:
        weights[key] = weights[key].to(torch.int8)
    else:
        weights[key].flatten()[-1] = value
    save_file(weights, path, metadata={FORMAT: read_card(path).to_json()})
    with pytest.raises(ModelFileError, match=message):
        load_model(path)


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
    with pytest.raises(ModelFileError, match="is a folder; name a model file"):
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
    rewrite(path, {"format_version": FORMAT_VERSION + 1, "program_version": "9.9", "news": 1})
    with pytest.raises(ModelFileError, match=r"newer version of the program \(9.9\)") as error:
        load_model(path)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize("change", [{"channel_names": ["only one"]}, {"model": {"depth": 3}}])
def test_card_that_does_not_fit_the_weights(path: Path, change: dict[str, object]) -> None:
    rewrite(path, change)
    with pytest.raises(ModelFileError, match="weights do not fit its description") as error:
        load_model(path)
    assert str(path) in str(error.value)
    assert "state_dict" not in str(error.value)


MODEL = {"base_features": 8, "depth": 2}
BROKEN = [
    ({"surprise": 1}, "surprise is not known"),
    ({"model": {"wrong": 1}}, "model.wrong is not known"),
    ({"training": {"wrong": 1}}, "training.wrong is not known"),
    ({"model": None}, "model is None"),
    ({"training": [1]}, r"training is \[1\]"),
    ({"model": MODEL | {"depth": 40}}, "depth is 40; it has to be between 1 and 6"),
    ({"model": MODEL | {"depth": 2.5}}, "model.depth is 2.5; it has to be a whole number"),
    ({"model": MODEL | {"depth": True}}, "model.depth is True; it has to be a whole number"),
    ({"model": MODEL | {"dropout": "0.2"}}, "model.dropout is '0.2'; it has to be a number"),
    ({"model": MODEL | {"norm": ["batch"]}}, "model.norm is .*; it has to be text"),
    ({"model": MODEL | {"norm": "group"}}, "norm is 'group'; choose one of batch, none"),
    ({"model": MODEL | {"image_pyramid": "no"}}, "image_pyramid is 'no'; it has to be true or"),
    ({"training": {"learning_rate": float("nan")}}, "learning_rate is nan"),
    ({"channel_names": [1, 2]}, r"channel_names is \[1, 2\]"),
    ({"channel_names": "ab"}, "channel_names is 'ab'"),
    ({"channel_names": []}, "channel_names"),
    ({"class_names": ["background"]}, "class_names"),
    ({"class_names": {"a": 1, "b": 2}}, "class_names"),
    ({"normalization": "x"}, "normalization is 'x'"),
    ({"normalization": [99, 1]}, "normalization"),
    ({"normalization": ["1", "99"]}, "normalization"),
    ({"normalization": [1, 50, 99]}, "normalization"),
    ({"second_opinion": 1}, "second_opinion is 1; it has to be true or false"),
    ({"history": None}, "history"),
    ({"history": "abc"}, "history is 'abc'"),
    ({"history": [1]}, "history"),
    ({"history": [{"step": 1, "elapsed_s": "long", "training": {}}]}, "history"),
    ({"history": [{"step": 1, "elapsed_s": 1.0, "training": 3}]}, "history"),
    ({"created": 3}, "created is 3"),
    ({"program_version": None}, "program_version"),
    ({"device": []}, "device"),
    ({"seconds": "3"}, "seconds is '3'"),
    ({"seconds": -1.0}, "seconds is -1"),
    ({"steps": 1.5}, "steps"),
    ({"rounds": 0}, "rounds"),
    ({"parameters": "many"}, "parameters"),
    ({"best_validation_loss": "low"}, "best_validation_loss"),
    ({"format_version": -1}, "format_version is -1"),
    ({"format_version": "1"}, "format_version is '1'"),
    ({"format_version": None}, "format_version"),
]


@pytest.mark.parametrize(("change", "said"), BROKEN)
def test_broken_card(path: Path, change: dict[str, object], said: str) -> None:
    rewrite(path, change)
    for read in (read_card, load_model):
        with pytest.raises(ModelFileError, match=said) as error:
            read(path)
        assert str(error.value).startswith(f"{path}: ")
        assert "cannot be read" in str(error.value)


def test_card_with_something_missing(path: Path, model: TrainedModel) -> None:
    values = json.loads(replace(model.card, second_opinion=False).to_json())
    for name in values:
        rest = {key: value for key, value in values.items() if key != name}
        # which earlier versions did without
        if name in (
            "history",
            "second_opinion",
            "prediction",
            "instances",
            "strokes",
            "scaled_over",
        ):
            card = ModelCard.from_json(json.dumps(rest))
            usual = ((), True, PredictionConfig(), InstanceConfig(), None, "plane")
            assert getattr(card, name) in usual
            continue
        with pytest.raises(ModelFileError, match=f"{name} is missing"):
            ModelCard.from_json(json.dumps(rest))
    # settings that a version before did not have yet are at their defaults
    del values["training"]["zoom_jitter"]
    again = ModelCard.from_json(json.dumps(values))
    assert again.training == replace(model.card.training, zoom_jitter=TrainingConfig().zoom_jitter)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '"text"', "[" * 100_000])
def test_card_that_is_no_card(path: Path, text: str) -> None:
    save_file(load_file(path), path, metadata={FORMAT: text})
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_card(path)


def test_a_training_that_diverged_can_be_read(model: TrainedModel) -> None:
    nowhere = {"total": float("nan"), "scribble": float("inf"), "reconstruction": 1.0}
    entry = {"step": 1, "elapsed_s": 0.1, "training": nowhere, "validation": nowhere}
    card = replace(model.card, best_validation_loss=float("nan"), history=(entry,))
    assert ModelCard.from_json(card.to_json()).to_json() == card.to_json()


def test_what_is_given_wins_over_the_split_strength_that_strokes_chose(model: TrainedModel) -> None:
    card = replace(model.card, instances=InstanceConfig(split_strength=0.3))
    assert card.cut({}).split_strength == 0.3
    assert card.cut({"threshold": 0.7}) == InstanceConfig(split_strength=0.3, threshold=0.7)
    assert card.cut({"split_strength": 0.9}).split_strength == 0.9
    # It was chosen for the model's own way of splitting.
    usual = InstanceConfig().split_strength
    assert card.cut({"split": "watershed"}).split_strength == usual
    assert card.cut({"split": "automatic"}).split_strength == 0.3
    sharp = replace(model.card, instances=InstanceConfig(sharpen=2.0))
    assert sharp.cut({}).sharpen == 2.0
    assert sharp.cut({"sharpen": 1.0}).sharpen == 1.0
    assert sharp.cut({"split": "watershed"}).sharpen == 1.0
    assert ModelCard.from_json(sharp.to_json()).instances == sharp.instances
    with pytest.raises(ImPartialError, match="split_strength"):
        card.cut({"split_strength": 7.0})


CUT_SHORT = """
import os, sys, threading, time
from napari_impartial.core.errors import ModelFileError
from napari_impartial.core.network.model_file import load_model
path = sys.argv[1]
whole = open(path, "rb").read()
def cut():
    while True:
        with open(path, "r+b") as file:
            file.truncate(0)
            file.write(whole)
threading.Thread(target=cut, daemon=True).start()
end, told, read = time.monotonic() + 2, 0, 0
while time.monotonic() < end or not (told and read):
    try:
        load_model(path)
        read += 1
    except ModelFileError:
        told += 1
    if time.monotonic() > end + 60:
        break
print(told > 0, flush=True)
os._exit(0)
"""


def test_a_model_that_is_cut_short_while_it_is_read_is_told(path: Path) -> None:
    """Where it was mapped into memory, the system ended the process."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", CUT_SHORT, str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_no_file_of_a_users_is_mapped() -> None:
    package = Path(napari_impartial.__file__).parent
    for module in package.rglob("*.py"):
        text = module.read_text(encoding="utf-8")
        assert "safe_open" not in text, module
        # Scratch files of ours may be: nobody else writes to them.
        assert "memmap(" not in text or module.name == "memory_mapped.py", module


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.99])
def test_a_model_that_is_not_whole_is_told_by_its_card_already(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelFileError, match="damaged"):
        read_card(path)
    path.write_bytes(content + b"more")
    with pytest.raises(ModelFileError, match="damaged"):
        read_card(path)
    for header in (b"[" * 100_000, b"3", b'{"a": 3}', b'{"a": {"data_offsets": [0]}}', b"\xff{"):
        path.write_bytes(len(header).to_bytes(8, "little") + header)
        with pytest.raises(ModelFileError, match="damaged"):
            read_card(path)


def test_a_model_of_a_preset_that_is_no_more_opens_as_the_default(model: TrainedModel) -> None:
    values = json.loads(model.card.to_json())
    values["training"] |= {"preset": "best", "time_budget_s": 300.0}
    training = ModelCard.from_json(json.dumps(values)).training
    assert (training.preset, training.time_budget_s) == ("balanced", 300.0)
