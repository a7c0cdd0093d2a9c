"""A picture predicted block by block is the picture predicted in one piece."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from napari_impartial.core.config import ModelConfig, PredictionConfig
from napari_impartial.core.network.unet import UNet
from napari_impartial.core.prediction.blocks import BlockPredictor
from napari_impartial.core.prediction.predict import VIEWS, predict_normalized


@dataclass
class Card:
    second_opinion: bool


@dataclass
class Model:
    """A network with weights as they come."""

    card: Card
    unet: UNet

    def network(self, _device: object) -> UNet:
        return self.unet


@pytest.mark.parametrize("second_opinion", [True, False])
def test_blocks_are_parts_of_the_whole(second_opinion: bool) -> None:
    torch.manual_seed(0)
    network = UNet(2, 3, ModelConfig(base_features=4, depth=2)).eval()
    shape, side = (181, 203), 64  # odd at each of the three sizes
    rng = np.random.default_rng(0)
    channels = rng.normal(0, 1, (2, *shape)).astype(np.float32)
    channels[0] += 3 * np.sin(np.arange(shape[1]) / 9)
    config = PredictionConfig(
        samples=2, precision="float32", tile_size=64, second_opinion=second_opinion
    )
    whole = predict_normalized(network, channels, config)
    predictor = BlockPredictor(Model(Card(True), network), config, shape)  # type: ignore[arg-type]
    assert side % (network.stride << (VIEWS - 1)) == 0
    assert whole.probability.std() > 0.01
    for y in range(0, shape[0], side):
        for x in range(0, shape[1], side):
            area = slice(y, min(y + side, shape[0])), slice(x, min(x + side, shape[1]))
            found = predictor.predict(lambda part: channels[(slice(None), *part)], area)
            for name in ("probability", "entropy", "mutual_information"):
                expected = getattr(whole, name)[(..., *area)]
                np.testing.assert_allclose(getattr(found, name), expected, atol=1e-5, err_msg=name)
