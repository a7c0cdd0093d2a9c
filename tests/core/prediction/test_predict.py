"""Prediction: tiles, sizes, Monte-Carlo passes, the second opinion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_impartial.core import api
from napari_impartial.core.config import ModelConfig, PredictionConfig, TrainingConfig
from napari_impartial.core.data.image import Image, normalize
from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.data.synthetic_tissue import Tissue
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.network.model_file import TrainedModel
from napari_impartial.core.network.unet import UNet
from napari_impartial.core.prediction import predict as core_prediction
from napari_impartial.core.prediction.predict import Cancelled, combine, predict_normalized, views

PLAIN = PredictionConfig(second_opinion=False)


@pytest.fixture(scope="module")
def model(tiny_tissue: Tissue, tiny_scribbles: Scribbles) -> TrainedModel:
    config = TrainingConfig(max_steps=80, patch_size=64)
    made = api.train([tiny_tissue.image], [tiny_scribbles], config, ModelConfig(base_features=8))
    return TrainedModel(replace(made.card, second_opinion=True), made.weights)


def scene(shape: tuple[int, int], seed: int = 0) -> Image:
    rng = np.random.default_rng(seed)
    smooth = [ndimage.gaussian_filter(rng.normal(size=shape), 2) for _ in range(2)]
    return Image(np.stack(smooth).astype(np.float32), ("a", "b"))


@pytest.mark.parametrize("precision", ["float32", "auto"])
@pytest.mark.parametrize("samples", [0, 3])
@pytest.mark.parametrize("second_opinion", [False, True])
def test_tiles_leave_no_trace(
    model: TrainedModel, samples: int, precision: str, second_opinion: bool
) -> None:
    image = scene((250, 333))
    config = PredictionConfig(
        samples=samples, precision=precision, tile_size=4096, second_opinion=second_opinion
    )
    whole = api.predict(image, model, config)
    assert whole.probability[1].std() > 0.05
    for tile_size in (64, 112):
        tiled = api.predict(image, model, replace(config, tile_size=tile_size))
        for name in ("probability", "entropy", "mutual_information"):
            np.testing.assert_allclose(
                getattr(tiled, name), getattr(whole, name), atol=1e-3, err_msg=name
            )


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (17, 3), (16, 16), (65, 130)])
@pytest.mark.parametrize("samples", [0, 1, 2])
def test_any_size(model: TrainedModel, shape: tuple[int, int], samples: int) -> None:
    found = api.predict(scene(shape), model, PredictionConfig(samples=samples))
    assert found.probability.shape == (2, *shape)
    assert found.probability.dtype == np.float32
    np.testing.assert_allclose(found.probability.sum(0), 1.0, atol=1e-5)
    for map_ in (found.entropy, found.mutual_information):
        assert map_.shape == shape
        assert map_.min() >= 0
        assert map_.max() <= 1
    assert found.n_samples == samples
    assert np.array_equal(found.foreground, 1 - found.probability[0])


def test_passes_are_averaged_as_if_one_by_one(model: TrainedModel) -> None:
    network = model.network()
    x = normalize(scene((48, 48)))
    config = replace(PLAIN, samples=3, precision="float32")
    found = predict_normalized(network, x, config)
    generator = torch.Generator().manual_seed(config.seed)
    masks = [layer.draw(3, generator) for layer in network.varied()]
    passes = []
    for sample in range(3):
        for layer, mask in zip(network.varied(), masks, strict=True):
            layer.mask = mask[sample : sample + 1]
        with torch.no_grad():
            logits, _ = network(torch.from_numpy(x)[None])
            passes.append(network.log_probability(logits)[0].exp().numpy())
    mean = np.mean(passes, axis=0)

    def entropy(p: np.ndarray) -> np.ndarray:
        return -(p * np.log(p)).sum(0) / np.log(2)

    np.testing.assert_allclose(found.probability, mean, atol=1e-4)
    np.testing.assert_allclose(found.entropy, entropy(mean), atol=1e-3)
    information = entropy(mean) - np.mean([entropy(p) for p in passes], axis=0)
    np.testing.assert_allclose(found.mutual_information, information, atol=1e-3)
    assert information.max() > 0.001


def test_no_dropout_layer_means_one_pass() -> None:
    network = UNet(1, 2, ModelConfig(base_features=4, depth=1, dropout=0.0)).eval()
    found = predict_normalized(network, np.zeros((1, 20, 20), np.float32), PLAIN)
    np.testing.assert_allclose(found.probability.sum(0), 1.0, atol=1e-5)
    assert found.n_samples == 0


def test_seeded(model: TrainedModel) -> None:
    image = scene((64, 64))
    one, again, other = (
        api.predict(image, model, replace(PLAIN, seed=seed)).probability for seed in (0, 0, 1)
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_reconstruction_is_quantized_and_close_to_the_image(
    model: TrainedModel, tiny_tissue: Tissue
) -> None:
    config = PredictionConfig(samples=0, reconstruction=True)
    found = api.predict(tiny_tissue.image, model, config).reconstruction
    assert found is not None
    target = normalize(tiny_tissue.image)
    assert found.shape == target.shape
    assert np.corrcoef(found[0].ravel(), target[0].ravel())[0, 1] > 0.3
    # Everywhere a mixture of M = 4 colours, weights adding up to one: rank 4 at most.
    assert np.linalg.matrix_rank(found.reshape(2, -1), tol=1e-3) <= 4
    assert api.predict(tiny_tissue.image, model).reconstruction is None


def test_second_opinion_denies_specks_and_fills_holes() -> None:
    from napari_impartial.core.prediction.predict import apply_second_opinion, correction
    from napari_impartial.core.prediction.result import Prediction

    fine = np.zeros((8, 8), np.float32)
    fine[1, 1] = 0.9  # a speck that the coarse view does not see
    fine[4:, 4:] = 0.9
    fine[6, 6] = 0.2  # a hole that it does not see either
    coarse = np.zeros((4, 4), np.float32)
    coarse[2:, 2:] = 1.0
    maps = [np.zeros((8, 8), np.float32) for _ in range(2)]
    after = Prediction(np.stack([1 - fine, fine]), *maps, None, 0)
    apply_second_opinion(after, np.stack([1 - coarse, coarse]), correction(1))
    assert after.foreground[1, 1] < 0.1
    assert after.foreground[6, 6] > 0.5
    assert after.foreground[7, 7] == pytest.approx(0.9)
    assert after.foreground[0, 7] == pytest.approx(0.0)
    np.testing.assert_allclose(after.probability.sum(0), 1.0, atol=1e-6)


def opinion(*foreground: np.ndarray) -> torch.Tensor:
    stacked = np.stack([1 - sum(foreground), *foreground])[None]
    return torch.from_numpy(stacked.astype(np.float32))


def test_a_quarter_of_the_size_denies_what_half_of_it_shows() -> None:
    """Coarse grain shows at half size, and not at a quarter; small objects are faint there."""
    full, half, quarter = np.zeros((48, 48)), np.zeros((24, 24)), np.zeros((12, 12))
    full[1:3, 1:3] = half[0:2, 0:2] = 0.9  # grain
    full[40:, 40:] = half[20:, 20:] = 0.9  # a small object that shows faintly
    quarter[11, 11] = 0.11
    full[40:, :8] = half[20:, :4] = 0.9  # one that shows next to its place
    quarter[9, 1] = 0.11
    full[41, 24] = half[20:22, 12] = (
        0.9  # grain one pixel of the coarsest view away from what it shows
    )
    quarter[10, 5] = 0.11
    full[20:24, 20:24] = 0.9  # half the size sees little of this, a quarter half of the least
    half[10:12, 10:12] = 0.3
    quarter[4:7, 4:7] = 0.05
    full[2, 40] = 0.9  # a speck next to what half the size sees
    half[0:4, 22:] = 0.9
    quarter[0:2, 11] = 0.9
    two = combine([opinion(full), opinion(half)])[0, 1]
    three = combine([opinion(full), opinion(half), opinion(quarter)])[0, 1]
    assert two[1, 1] > 0.8
    assert three[1, 1] < 0.1
    assert three[45, 45] == pytest.approx(0.9)
    assert three[41, 3] == pytest.approx(0.9)
    assert three[41, 24] == pytest.approx(0.9), "near"
    quarter[10, 5], quarter[10, 3] = 0.0, 0.11
    further = combine([opinion(full), opinion(half), opinion(quarter)])[0, 1]
    assert further[41, 24] < 0.7, "no longer near"
    assert two[22, 22] == pytest.approx(0.9 * 0.3 / 0.4, abs=0.2)
    assert float(three[22, 22]) == pytest.approx(float(two[22, 22]) / 2, abs=0.02)
    assert two[2, 40] < 0.1
    assert three[2, 40] < 0.1, "and is never worth more than at half the size"
    assert (three <= two + 1e-6).all(), "a quarter of the size fills nothing"
    assert torch.equal(combine([opinion(full)])[0, 1], opinion(full)[0, 1])


def test_what_is_clean_between_two_classes_stays_clean() -> None:
    one, other = np.zeros((3, 32, 32)), np.zeros((3, 32, 32))
    one[0, :, :12], other[0, :, 20:] = 0.95, 0.95
    one[1, :16, :8], other[1, :16, 8:16] = 0.55, 0.3
    one[2, :8, :8], other[2, :8, :8] = 0.5, 0.4
    seen = [
        opinion(one[n, :side, :side], other[n, :side, :side]) for n, side in enumerate((32, 16, 8))
    ]
    two, three = combine(seen[:2]), combine(seen)
    np.testing.assert_allclose(three.numpy(), two.numpy(), atol=1e-6)


def test_together_classes_stay_a_probability() -> None:
    generator = torch.Generator().manual_seed(0)
    seen = [torch.randn((1, 4, side, side), generator=generator) for side in (24, 12, 6)]
    combined = combine([(4 * logits).softmax(dim=1) for logits in seen])
    assert combined.min() >= 0
    np.testing.assert_allclose(combined.sum(dim=1), 1.0, atol=1e-6)


def test_how_many_views_there_are_depends_on_the_shorter_side() -> None:
    for side, shapes in (
        (63, [(63, 300)]),
        (101, [(101, 300), (51, 150)]),
        (127, [(127, 300), (64, 150), (32, 75)]),
        (2000, [(2000, 300), (1000, 150), (500, 75)]),
    ):
        found = views(np.zeros((1, side, 300), np.float32))
        assert [view.shape[1:] for view in found] == shapes


def test_what_a_quarter_of_the_size_shows_counts(
    model: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_prediction, "_FAINT", 0.95)
    image = scene((140, 130))
    config = replace(PLAIN, second_opinion=True)
    seen = [
        predict_normalized(model.network(), view, PLAIN).probability
        for view in views(normalize(image))
    ]
    assert len(seen) == 3
    tensors = [torch.from_numpy(view)[None] for view in seen]
    found = api.predict(image, model, config).probability
    np.testing.assert_allclose(found, combine(tensors)[0].numpy(), atol=1e-5)
    assert not np.allclose(found, combine(tensors[:2])[0].numpy(), atol=1e-3)


@pytest.mark.parametrize("height", [12, 31])
def test_some_rows_at_a_time_come_to_the_same(
    model: TrainedModel, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_prediction, "_FAINT", 0.95)  # so that all three views count
    image = scene((130 + height, 140))
    config = replace(PLAIN, second_opinion=True, samples=2)
    whole = api.predict(image, model, config)
    monkeypatch.setattr(core_prediction, "_ROWS", 10)
    parts = api.predict(image, model, config)
    for name in ("probability", "entropy", "mutual_information"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), atol=1e-5)
    assert whole.mutual_information.max() > 0.001, "of two passes already"
    fine = api.predict(image, model, replace(config, second_opinion=False))
    assert np.abs(fine.probability - whole.probability).max() > 0.01
    assert (whole.mutual_information <= fine.mutual_information + 1e-6).all()


def test_a_model_that_does_not_heed_the_second_opinion_is_not_asked(model: TrainedModel) -> None:
    image = scene((80, 70))
    config = PredictionConfig(samples=0)
    deaf = TrainedModel(replace(model.card, second_opinion=False), model.weights)
    found = api.predict(image, deaf, config).probability
    alone = api.predict(image, model, replace(config, second_opinion=False)).probability
    assert np.array_equal(found, alone)
    assert not np.array_equal(found, api.predict(image, model, config).probability)


def test_image_and_network_are_left_as_they_were(model: TrainedModel) -> None:
    network = model.network().train()
    channels = normalize(scene((64, 64)))
    channels.flags.writeable = False
    before = channels.copy(), {name: w.clone() for name, w in network.state_dict().items()}
    config = replace(PLAIN, samples=2, second_opinion=True)
    found = predict_normalized(network, channels, config)
    assert np.array_equal(channels, before[0])
    assert all(torch.equal(w, before[1][name]) for name, w in network.state_dict().items())
    assert network.training
    assert all(layer.mask is None for layer in network.dropouts())
    expected = predict_normalized(model.network(), channels, config)
    assert np.array_equal(found.probability, expected.probability), "a copy, for evaluation"


def test_arrays_and_lists_are_no_image(model: TrainedModel, tiny_tissue: Tissue) -> None:
    image = tiny_tissue.image
    for given in (image.channels, [image]):
        with pytest.raises(ImPartialError, match="from_array"):
            api.predict(given, model)  # type: ignore[arg-type]


def test_wrong_number_of_channels_is_said(model: TrainedModel) -> None:
    with pytest.raises(ImPartialError, match="has 1 channel"):
        api.predict(scene((20, 20)).select([0]), model)


def test_progress_is_of_all_views_together(model: TrainedModel) -> None:
    image, config = scene((130, 130)), replace(PLAIN, second_opinion=True, tile_size=64)
    seen: list[float] = []
    api.predict(image, model, config, lambda done: seen.append(done))
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)
    ends = [130**2, 130**2 + 65**2]
    whole = ends[1] + 33**2
    for end in ends:
        assert any(done == pytest.approx(end / whole) for done in seen)


def test_progress_and_cancelling(model: TrainedModel) -> None:
    image, config = scene((130, 130)), replace(PLAIN, tile_size=64)
    seen: list[float] = []
    api.predict(image, model, config, lambda done: seen.append(done))
    assert seen == sorted(seen)
    assert seen[0] == 0.0
    assert seen[-1] == 1.0
    assert len(seen) > 4
    with pytest.raises(Cancelled):
        api.predict(image, model, config, lambda done: done > 0.4)
