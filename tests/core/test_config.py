"""Settings: every one is described, bounded and checked in one place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_impartial.core import api
from napari_impartial.core.config import (
    LARGEST_SEED,
    PRESETS,
    InstanceConfig,
    ModelConfig,
    PredictionConfig,
    SuggestionConfig,
    TrainingConfig,
    get_preset,
    parameters,
    validate,
)
from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.data.synthetic_tissue import Tissue
from napari_impartial.core.errors import ImPartialError

ALL = [ModelConfig, TrainingConfig, PredictionConfig, InstanceConfig, SuggestionConfig]


# Names of a file and of a channel, which are whatever they are.
FREE = ("first_weights", "nuclear_channel")


@pytest.mark.parametrize("config", ALL)
def test_each_setting_is_described_and_its_default_allowed(config: type) -> None:
    assert validate(config()) == config()
    for parameter in parameters(config).values():
        assert parameter.label, parameter.name
        assert parameter.tooltip.endswith("."), parameter.name
        if isinstance(parameter.default, int | float) and not isinstance(parameter.default, bool):
            assert parameter.minimum is not None, parameter.name
        if isinstance(parameter.default, str) and parameter.name not in FREE:
            assert parameter.default in (parameter.choices or ()), parameter.name


@pytest.mark.parametrize("config", ALL)
def test_values_out_of_bounds_are_refused_by_name(config: type) -> None:
    for name, parameter in parameters(config).items():
        for bound, beyond in ((parameter.minimum, -1), (parameter.maximum, 1)):
            if bound is not None:
                validate(replace(config(), **{name: type(parameter.default)(bound)}))
                with pytest.raises(ImPartialError, match=name):
                    validate(replace(config(), **{name: bound + beyond}))
        if parameter.choices:
            with pytest.raises(ImPartialError, match=r"choose one of"):
                validate(replace(config(), **{name: "nonsense"}))


def test_the_largest_seed_trains_and_predicts(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    config = TrainingConfig(max_steps=2, patch_size=32, seed=LARGEST_SEED)
    network = ModelConfig(base_features=4, depth=1)
    model = api.train([tiny_tissue.image], [tiny_scribbles], config, network)
    prediction = api.predict(tiny_tissue.image, model, PredictionConfig(seed=LARGEST_SEED))
    assert np.isfinite(prediction.probability).all()
    for settings in (TrainingConfig, PredictionConfig):
        with pytest.raises(ImPartialError, match="between 0 and 4294967295"):
            validate(settings(seed=LARGEST_SEED + 1))


def test_not_a_number_is_refused() -> None:
    with pytest.raises(ImPartialError, match="threshold"):
        validate(replace(InstanceConfig(), threshold=float("nan")))


def test_presets_are_valid_and_named_as_they_are_chosen() -> None:
    assert tuple(PRESETS) == parameters(TrainingConfig)["preset"].choices
    for name, preset in PRESETS.items():
        assert preset.training.preset == name
        validate(preset.model)
        validate(preset.training)
    with pytest.raises(ImPartialError, match="no preset 'quick'"):
        get_preset("quick")


def test_the_papers_published_figures() -> None:
    paper = get_preset("paper")
    assert (paper.model.depth, paper.model.base_features, paper.model.dropout) == (4, 64, 0.5)
    assert paper.model.norm == "none"
    assert 2 * paper.model.components_per_class == 4
    training = paper.training
    assert (training.optimizer, training.schedule) == ("adam", "exponential")
    assert (training.learning_rate, training.weight_decay) == (5e-4, 1e-4)
    assert (training.scribble_weight, training.reconstruction_weight) == (0.9, 0.1)
    assert (training.patch_size, training.blind_spot_fraction) == (128, 0.2)
    # as the authors' public configuration has it
    assert (paper.model.dropout_of, paper.model.halving) == ("values", "within")
    assert (training.batch_size, training.class_balance) == (32, "batch")
    assert (training.reconstruction, training.blind_spot_channels) == ("mean", "separately")
    assert (paper.prediction.samples, paper.prediction.second_opinion) == (3, False)
    cut = paper.instances
    assert (cut.split, cut.threshold, cut.min_size_px) == ("components", 0.8, 5)
    assert (cut.smooth_px, cut.grow_px) == (0, 2)
