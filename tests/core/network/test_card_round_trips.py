"""Whatever a model card says, its text gives it back; so does a model's file."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_impartial.core.config import (
    InstanceConfig,
    ModelConfig,
    PredictionConfig,
    TrainingConfig,
    parameters,
    validate,
)
from napari_impartial.core.data.stroke_report import StrokeReport
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.network.model_card import ModelCard, read_card
from napari_impartial.core.network.model_file import TrainedModel, load_model, save_model
from napari_impartial.core.network.unet import UNet

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
COUNT = st.integers(1, 10**6)
LOSS = st.floats(0, 1e6)


def value_of(parameter: Any) -> st.SearchStrategy[Any]:
    """Return what a setting may be."""
    if parameter.choices is not None:
        return st.sampled_from(parameter.choices)
    if isinstance(parameter.default, bool):
        return st.booleans()
    if isinstance(parameter.default, str):
        return TEXT
    most = 10**6 if parameter.maximum is None else parameter.maximum
    least = 0 if parameter.minimum is None else parameter.minimum
    if isinstance(parameter.default, int):
        return st.integers(int(least), int(most))
    return st.floats(least, most)


def configs(kind: type) -> st.SearchStrategy[Any]:
    values = {name: value_of(one) for name, one in parameters(kind).items()}
    return st.fixed_dictionaries({}, optional=values).map(lambda given: validate(kind(**given)))


PLACES = st.lists(st.tuples(*[st.integers(0, 10**5)] * 3), max_size=3).map(tuple)
LOOKS = st.fixed_dictionaries(
    {"step": COUNT, "elapsed_s": LOSS},
    optional={
        name: st.none() | st.fixed_dictionaries({"total": LOSS, "scribble": LOSS})
        for name in ("training", "validation")
    },
)


def cards(model: st.SearchStrategy[ModelConfig]) -> st.SearchStrategy[ModelCard]:
    share = st.floats(0, 1)
    report = st.builds(StrokeReport, COUNT, share, share, COUNT, COUNT, PLACES, PLACES)
    return st.builds(
        ModelCard,
        channel_names=st.lists(TEXT, min_size=1, max_size=4).map(tuple),
        class_names=st.lists(TEXT, min_size=2, max_size=4).map(tuple),
        normalization=st.tuples(st.floats(0, 49), st.floats(50, 100)),
        model=model,
        training=configs(TrainingConfig),
        created=TEXT,
        program_version=TEXT,
        device=TEXT,
        seconds=st.floats(0, 1e14),
        steps=st.integers(0, 10**9),
        rounds=COUNT,
        parameters=COUNT,
        best_validation_loss=st.none() | LOSS,
        history=st.lists(LOOKS, max_size=3).map(tuple),
        second_opinion=st.booleans(),
        prediction=configs(PredictionConfig),
        instances=configs(InstanceConfig),
        strokes=st.none() | report,
        format_version=st.just(1),
    )


@settings(max_examples=50, deadline=None)
@given(card=cards(configs(ModelConfig)))
def test_cards_come_back(card: ModelCard) -> None:
    assert ModelCard.from_json(card.to_json()) == card


@settings(max_examples=50, deadline=None)
@given(text=st.text(max_size=200) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_other_text_is_no_card(text: str) -> None:
    with pytest.raises(ImPartialError) as caught:
        ModelCard.from_json(text)
    assert "\n" not in str(caught.value)


SMALL = st.builds(
    ModelConfig,
    base_features=st.just(4),
    depth=st.integers(1, 2),
    norm=st.sampled_from(["batch", "none"]),
    components_per_class=st.integers(1, 3),
)


@settings(max_examples=8, deadline=None)
@given(card=cards(SMALL), seed=st.integers(0, 9))
def test_models_come_back(card: ModelCard, seed: int) -> None:
    torch.manual_seed(seed)
    weights = UNet(card.n_channels, card.n_classes, card.model).state_dict()
    with tempfile.TemporaryDirectory() as folder:
        file = save_model(TrainedModel(card, weights), Path(folder) / "m.impartial")
        assert read_card(file) == card
        again = load_model(file)
    assert dataclasses.asdict(again.card) == dataclasses.asdict(card)
    assert again.weights.keys() == weights.keys()
    assert all(torch.equal(again.weights[name], value) for name, value in weights.items())
