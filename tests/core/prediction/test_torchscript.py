"""The network as one function of its own predicts what `predict` does."""

from __future__ import annotations

import warnings
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_impartial.core.config import ModelConfig, PredictionConfig, TrainingConfig
from napari_impartial.core.network.model_card import ModelCard
from napari_impartial.core.network.model_file import TrainedModel
from napari_impartial.core.network.unet import UNet
from napari_impartial.core.prediction.predict import predict_normalized
from napari_impartial.core.prediction.torchscript import standalone, write_torchscript

ONE_PASS = PredictionConfig(samples=0, precision="float32", device="cpu")


def model(channels: int, classes: int, config: ModelConfig) -> TrainedModel:
    torch.manual_seed(1)
    weights = UNet(channels, classes, config).state_dict()
    card = ModelCard(
        tuple(f"c{i}" for i in range(channels)),
        tuple(f"k{i}" for i in range(classes)),
        (1.0, 98.0),
        config,
        TrainingConfig(),
        datetime(2024, 1, 1).isoformat(),
        "0",
        "cpu",
        1.0,
        1,
        1,
        1,
        None,
    )
    # Far from one another, so that both opinions have something to say.
    return TrainedModel(card, {n: 3 * w if "head" in n else w for n, w in weights.items()})


def normalized(shape: tuple[int, ...]) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=shape)
    return ndimage.gaussian_filter(3 * noise, (0, 2, 2)).astype(np.float32)


@pytest.mark.parametrize(
    ("channels", "classes", "config"),
    [
        (1, 2, ModelConfig(base_features=4, depth=2)),
        (3, 3, ModelConfig(base_features=4, depth=3, norm="none", image_pyramid=False)),
        (2, 2, ModelConfig(base_features=4, depth=4, components_per_class=3)),
    ],
)
def test_the_written_network_predicts_the_same(
    tmp_path: Path, channels: int, classes: int, config: ModelConfig
) -> None:
    trained = model(channels, classes, config)
    network = standalone(trained)
    assert network.step_px == 4 * 2**config.depth
    assert network.least_px % network.step_px == 0
    write_torchscript(network, tmp_path / "w.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        loaded = torch.jit.load(str(tmp_path / "w.pt"))
    for height, width in ((128, 128), (128, 192)):
        x = normalized((channels, height, width))
        ours = predict_normalized(trained.network(), x, ONE_PASS).probability
        both = torch.from_numpy(np.stack([x, x[..., ::-1].copy()]))
        theirs = loaded(both).numpy()
        assert ours.std() > 0.02
        np.testing.assert_allclose(theirs[0], ours, atol=1e-4)
        assert theirs.shape == (2, classes, height, width)


def test_sides_that_the_presets_networks_take() -> None:
    """As the page on the zoo says; smaller images would not be seen at all sizes in the window."""
    network = standalone(model(1, 2, ModelConfig(base_features=4)))
    assert (network.least_px, network.step_px) == (128, 64)


def test_it_heeds_the_second_opinion_as_the_model_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "napari_impartial.core.prediction.predict._FAINT", 0.95
    )  # so that all views count
    one = model(1, 2, ModelConfig(base_features=4, depth=1))
    x = normalized((1, 128, 128))
    for heeded in (True, False):
        trained = TrainedModel(replace(one.card, second_opinion=heeded), one.weights)
        config = replace(ONE_PASS, second_opinion=heeded)
        ours = predict_normalized(trained.network(), x, config).probability
        theirs = standalone(trained)(torch.from_numpy(x)[None])[0].numpy()
        np.testing.assert_allclose(theirs, ours, atol=1e-4)
    assert np.abs(ours - predict_normalized(one.network(), x, ONE_PASS).probability).max() > 0.05


def test_what_normalization_takes_care_of_is_in_the_network() -> None:
    network = standalone(model(1, 2, ModelConfig(base_features=4, depth=1)))
    x = torch.from_numpy(normalized((1, 64, 64)))[None]
    x[0, 0, 3, 4:7] = torch.tensor([np.nan, np.inf, -np.inf])
    clean = x.clone()
    clean[0, 0, 3, 4:7] = torch.tensor([0.0, 1000.0, -1000.0])
    assert torch.equal(network(x), network(clean))
