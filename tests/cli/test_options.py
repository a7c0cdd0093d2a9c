"""Options follow the settings' metadata, and settings follow preset and options."""

from __future__ import annotations

import argparse
from dataclasses import replace

import pytest

from napari_impartial.cli import train
from napari_impartial.cli.main import build_parser
from napari_impartial.cli.options import comma_list, number, one_of
from napari_impartial.core.config import (
    PRESETS,
    InstanceConfig,
    ModelConfig,
    PredictionConfig,
    TrainingConfig,
    parameters,
)
from napari_impartial.core.errors import ImPartialError
from napari_impartial.experiments.benchmark import experiment_settings

BASE = ["train", "a.tif", "--scribbles", "s.tif", "--model", "m"]


def parse(*arguments: str) -> argparse.Namespace:
    return build_parser().parse_args([*BASE, *arguments])


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_gives_its_settings(name: str) -> None:
    model, training = train.settings(parse("--preset", name), None)
    assert model == PRESETS[name].model
    assert training == PRESETS[name].training


def test_without_options_the_defaults_hold() -> None:
    assert train.settings(parse(), None) == (ModelConfig(), TrainingConfig())


def test_options_override_the_preset() -> None:
    args = parse("--preset", "paper", "--norm", "batch", "--time-budget-s", "7.5", "--seed", "4")
    model, training = train.settings(args, None)
    paper = PRESETS["paper"]
    assert (model.norm, model.base_features) == ("batch", paper.model.base_features)
    assert (training.time_budget_s, training.seed) == (7.5, 4)
    assert training.optimizer == paper.training.optimizer


@pytest.mark.parametrize("config", [ModelConfig, TrainingConfig])
def test_each_bound_is_held(config: type) -> None:
    checked = 0
    for name, parameter in parameters(config).items():
        for bound, step in ((parameter.minimum, -1), (parameter.maximum, 1)):
            if bound is None:
                continue
            option = f"--{name.replace('_', '-')}"
            kind = type(parameter.default)
            assert getattr(parse(f"{option}={kind(bound)}"), name) == bound
            with pytest.raises(ImPartialError, match=option):
                parse(f"{option}={kind(bound) + step}")
            checked += 1
    assert checked >= 5


@pytest.mark.parametrize("command", ["benchmark", "refine"])
def test_experiments_take_prediction_and_cut_of_the_preset(command: str) -> None:
    paper = PRESETS["paper"]
    args = build_parser().parse_args([command, "x", "--preset", "paper", "--grow-px", "3"])
    stages = experiment_settings(args)
    assert PredictionConfig(**stages["prediction"]) == paper.prediction
    assert InstanceConfig(**stages["instances"]) == replace(paper.instances, grow_px=3)
    args = build_parser().parse_args([command, "x", "--no-second-opinion"])
    assert experiment_settings(args)["prediction"]["second_opinion"] is False


def test_benchmark_keeps_the_two_reconstructions_apart() -> None:
    args = build_parser().parse_args(["benchmark", "x", "--reconstruction", "mean"])
    settings = experiment_settings(args)
    assert settings["training"]["reconstruction"] == "mean"
    assert settings["prediction"]["reconstruction"] is False


def test_comma_list() -> None:
    whole = comma_list(number(0, 9, int))
    assert whole("3, 1,2") == [3, 1, 2]
    for text, said in (("", "empty"), ("1,1", "twice"), ("x", "'x'"), ("1,10", "between 0 and 9")):
        with pytest.raises(argparse.ArgumentTypeError, match=said):
            whole(text)
    with pytest.raises(argparse.ArgumentTypeError, match="'c' is none of a, b"):
        comma_list(one_of("ab"))("a,c")
