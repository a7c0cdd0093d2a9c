"""The shipped first weights: folded into any number of channels and classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_impartial.core.api import train
from napari_impartial.core.config import ModelConfig, TrainingConfig, get_preset
from napari_impartial.core.data.synthetic_tissue import tissue
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.network.model_file import TrainedModel, save_model
from napari_impartial.core.network.unet import UNet
from napari_impartial.core.network.warm_start import (
    MIXTURES,
    first_weights,
    mix,
    shipped,
    start,
    suits,
)
from napari_impartial.core.prediction.predict import predict


def random_mixing(channels: int) -> np.ndarray:
    """Mixtures at right angles, as far as there are channels for it."""
    rows = np.random.default_rng(channels).normal(size=(max(channels, MIXTURES), channels))
    return np.linalg.qr(rows.T)[0].T[:MIXTURES] if channels >= MIXTURES else rows


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_the_folded_network_is_the_shipped_one_of_the_mixtures(channels: int) -> None:
    mixing = random_mixing(channels)
    network = UNet(channels, 2, ModelConfig()).eval()
    start(network, mixing, shipped())
    x = torch.rand(1, channels, 32, 48, generator=torch.Generator().manual_seed(0))
    mixed = torch.einsum("vc,bcyx->bvyx", torch.from_numpy(mixing).float(), x)
    with torch.no_grad():
        logits, means = network(x)
        wanted, wanted_means = shipped().network()(mixed)
    torch.testing.assert_close(logits, wanted, rtol=1e-3, atol=1e-3)
    if channels >= MIXTURES:
        # Here mixing can be undone and done again without loss.
        again = torch.einsum("vc,bmcyx->bmvyx", torch.from_numpy(mixing).float(), means)
        torch.testing.assert_close(again, wanted_means, rtol=1e-3, atol=1e-2)


def test_a_network_without_dropout_begins_with_the_same_function() -> None:
    image = torch.rand(1, 2, 32, 48, generator=torch.Generator().manual_seed(0))
    mixing = np.random.default_rng(1).normal(size=(MIXTURES, 2))
    found = []
    for dropout in (0.0, ModelConfig().dropout):
        network = UNet(2, 2, ModelConfig(dropout=dropout))
        before = torch.get_rng_state()
        start(network, mixing, shipped())
        assert torch.equal(torch.get_rng_state(), before), "which is the caller's"
        with torch.no_grad():
            found.append(network.eval()(image)[0])
    assert torch.equal(*found)
    assert found[0].std() > 0.1


def test_all_shipped_numbers_are_finite() -> None:
    assert all(torch.isfinite(value).all() for value in shipped().weights.values())


def test_further_classes_begin_as_foreground() -> None:
    mixing = random_mixing(2)
    two, four = (UNet(2, k, ModelConfig()).eval() for k in (2, 4))
    start(two, mixing, shipped())
    start(four, mixing, shipped())
    x = torch.rand(1, 2, 16, 16)
    with torch.no_grad():
        a, b = two(x)[0], four(x)[0]
    torch.testing.assert_close(b[:, :4], a)
    torch.testing.assert_close(b[:, 4:6], a[:, 2:4])
    torch.testing.assert_close(b[:, 6:], a[:, 2:4])


def test_the_first_mixture_tells_foreground_from_background() -> None:
    rng = np.random.default_rng(0)
    inside = np.zeros((64, 64), dtype=bool)
    inside[16:48, 16:48] = True
    dark = np.where(inside, 0.2, 0.8) + rng.normal(0, 0.05, inside.shape)
    nuisance = rng.random(inside.shape)
    image = torch.from_numpy(np.stack([nuisance, dark, np.zeros_like(dark)]).astype(np.float32))
    labels = np.zeros((64, 64), dtype=np.uint8)
    labels[20:40, 30], labels[5, 5:60] = 2, 1
    mixing = mix([image], [torch.from_numpy(labels)])
    assert mixing.shape == (MIXTURES, 3)
    assert np.isfinite(mixing).all()
    assert mixing[0, 1] < 0
    assert abs(mixing[0, 1]) > 10 * abs(mixing[0, 0])
    mixed = np.einsum("vc,cyx->vyx", mixing, image.numpy())
    assert mixed[0][inside].min() > mixed[0][~inside].max() - 0.2
    assert (mixed[:, inside].mean(axis=1) >= mixed[:, ~inside].mean(axis=1)).all()


def test_constant_images_and_single_pixels_can_be_mixed() -> None:
    labels = torch.zeros(8, 8, dtype=torch.uint8)
    labels[0, 0], labels[7, 7] = 1, 2
    for image in (torch.zeros(1, 8, 8), torch.ones(5, 8, 8)):
        mixing = mix([image], [labels])
        assert np.isfinite(mixing).all()
        assert np.abs(mixing).max() < 100


def test_only_networks_of_the_shipped_shape_start_warm() -> None:
    assert suits(get_preset("balanced").model, shipped())
    assert suits(replace(ModelConfig(), dropout=0.0), shipped())
    assert not suits(replace(ModelConfig(), base_features=8), shipped())
    assert not get_preset("paper").training.warm_start


def test_training_begins_with_the_weights_that_are_asked_for(tmp_path: Path) -> None:
    model, given = ModelConfig(), tmp_path / "own.safetensors"
    doubled = {name: 2 * value for name, value in shipped().weights.items()}
    save_model(TrainedModel(shipped().card, doubled), given)
    shipped_copy = save_model(shipped(), tmp_path / "shipped.safetensors")
    assert first_weights(TrainingConfig(), model) is shipped()
    assert first_weights(TrainingConfig(), replace(model, depth=2)) is None
    own = TrainingConfig(first_weights=str(given))
    assert first_weights(TrainingConfig(warm_start=False), model) is None
    found = first_weights(own, model)
    assert found is not None
    torch.testing.assert_close(found.weights["head.weight"], doubled["head.weight"])
    # What it cannot begin with is said before anything is trained.
    made = tissue((64, 64), n_channels=MIXTURES, seed=1)
    one = train([made.image], [made.scribbles()], TrainingConfig(max_steps=1, warm_start=False))
    save_model(one, given)
    for wrong, network, words in (
        (own, model, "is no file of first weights"),
        (replace(own, warm_start=False), model, "without a warm start"),
        (replace(own, first_weights="missing.safetensors"), model, "missing.safetensors"),
        (replace(own, first_weights=str(shipped_copy)), replace(model, depth=2), "another shape"),
    ):
        with pytest.raises(ImPartialError, match=words):
            train([made.image], [made.scribbles()], wrong, network)


def test_a_few_steps_from_the_shipped_weights_beat_as_many_from_random_ones() -> None:
    """Mean distance to the truth, on tissue that nothing was trained on."""
    seen, unseen = (tissue((160, 160), n_channels=2, seed=s) for s in (11, 12))
    errors = []
    for warm in (True, False):
        settings = TrainingConfig(max_steps=25, warm_start=warm)
        model = train([seen.image], [seen.scribbles()], settings)
        found = predict(unseen.image, model).foreground
        errors.append(float(np.abs(found - (unseen.truth > 0)).mean()))
    assert errors[0] < 0.75 * errors[1]
