"""The network: shapes, the halo, dropout with fixed masks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from napari_impartial.core.config import PRESETS, ModelConfig
from napari_impartial.core.network.unet import DoubleConvolution, UNet

SMALL = ModelConfig(base_features=4, depth=2, components_per_class=2)


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 3), (100, 2)])
def test_output_shapes(channels: int, classes: int, norm: str) -> None:
    config = ModelConfig(base_features=4, depth=2, norm=norm, components_per_class=3)
    network = UNet(channels, classes, config)
    logits, means = network(torch.randn(2, channels, 16, 24))
    assert logits.shape == (2, 3 * classes, 16, 24)
    assert means.shape == (2, 3 * classes, channels, 16, 24)
    assert network.log_probability(logits).shape == (2, classes, 16, 24)
    assert network.head.out_channels == 3 * classes * (1 + channels)


def test_no_dropout_at_the_first_level() -> None:
    network = UNet(1, 2, ModelConfig(base_features=4, depth=3, dropout=0.5))
    assert {layer.features for layer in network.dropouts()} == {8, 16, 32}


def test_the_papers_network_has_its_17_million_parameters() -> None:
    with torch.device("meta"):
        network = UNet(2, 2, PRESETS["paper"].model)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(17.3e6, abs=0.05e6)
    # No 1 x 1 convolution but the output layer's; the deepest level as wide as the one above it.
    sides = [m.kernel_size for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert sides == 18 * [(3, 3)] + [(1, 1)]
    assert [b[0].out_channels for b in network.encoder] == [64, 128, 256, 512, 512]
    # After each convolution of every level but the first, before its ReLU.
    assert len(network.dropouts()) == 2 * (4 + 3)
    for block in (*network.encoder[1:], *network.decoder[:-1]):
        assert [type(layer).__name__ for layer in block] == 2 * ["Conv2d", "Dropout", "ReLU"]


def test_dropout_of_single_values() -> None:
    torch.manual_seed(0)
    config = replace(SMALL, norm="none", dropout=0.5, dropout_of="values", halving="within")
    network = UNet(1, 2, config).eval()
    assert network.varied() == network.dropouts()
    x = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        still = network(x)[0]
        torch.testing.assert_close(network(x)[0], still)
        for layer in network.dropouts():
            layer.always, layer.generator = True, torch.Generator().manual_seed(1)
        passes = network.vary(network.share(x), 3)
        assert len(passes) == 3
        assert not torch.allclose(passes[0], passes[1])
    kept = network.dropouts()[0](torch.ones(4, 8, 50, 50))
    assert kept.unique().tolist() == [0.0, 2.0]
    assert kept.mean().item() == pytest.approx(1.0, abs=0.02)
    # each value by itself, and not whole maps
    assert kept.mean(dim=(2, 3)).std() < 0.05
    assert not any(layer.always for layer in network.fused().dropouts())


@pytest.mark.parametrize("halving", ["before", "within"])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_the_halo_holds_all_that_a_core_depends_on(depth: int, halving: str) -> None:
    torch.manual_seed(0)
    config = ModelConfig(base_features=4, depth=depth, norm="none", halving=halving)
    network = UNet(1, 2, config).eval()
    network = network.double()
    halo, stride = network.halo, network.stride
    core = 2 * stride
    x = torch.randn(1, 1, 2 * halo + core + 64, 2 * halo + core + 32, dtype=torch.float64)
    y0, x0 = halo + stride, halo
    with torch.no_grad():
        whole = network.features(x)[..., y0 : y0 + core, x0 : x0 + core]
        part = x[..., y0 - halo : y0 + core + halo, x0 - halo : x0 + core + halo]
        tile = network.features(part, (halo, halo, halo, halo))
        short = halo - stride
        less = x[..., y0 - short : y0 + core + short, x0 - short : x0 + core + short]
        near = network.features(less, (short, short, short, short))
    assert tile.shape == whole.shape
    torch.testing.assert_close(tile, whole, rtol=0, atol=1e-14)
    # The halo is not wider than it has to be. (Nine narrow blocks with random weights may let
    # nothing through.)
    if halving == "before":
        assert (near - whole).abs().max() > 1e-13


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_fixed_masks_make_dropout_repeatable_and_fan_one_image_out(depth: int) -> None:
    torch.manual_seed(0)
    network = UNet(1, 2, replace(SMALL, depth=depth)).eval()
    x = torch.randn(1, 1, 32, 32)
    generator = torch.Generator().manual_seed(0)
    for layer in network.varied():
        layer.mask = layer.draw(3, generator)
    with torch.no_grad():
        three = network(x)[0]
        assert three.shape[0] == 3
        for layer in network.varied():
            assert layer.mask is not None
            layer.mask = layer.mask[1:2]
        torch.testing.assert_close(network(x)[0], three[1:2])
    assert not torch.allclose(three[0], three[1])


def test_what_all_passes_share_is_computed_once() -> None:
    network = UNet(1, 2, ModelConfig(base_features=8, depth=4, dropout=0.5)).eval()
    batches: list[int] = []
    for module in network.modules():
        if isinstance(module, torch.nn.ReLU):
            module.register_forward_hook(lambda *called: batches.append(len(called[-1])))
    for layer in network.varied():
        layer.mask = layer.draw(3, None)
    with torch.no_grad():
        shared = network.share(torch.randn(1, 1, 32, 32))
        assert batches == 14 * [1]
        network.vary(shared)
    # Of nine blocks of two convolutions each, the last two.
    assert batches == 14 * [1] + 4 * [3]


def test_passes_differ_in_the_last_levels_and_no_dropout_is_lost() -> None:
    rates = {"dropout": 0.5, "base_features": 8}
    for depth, layers in ((1, 2), (2, 6), (4, 14)):
        network = UNet(1, 2, ModelConfig(depth=depth, **rates))
        assert len(network.dropouts()) == layers, "two a level and block but the first"
        assert [layer.features for layer in network.varied()] == [32, 16, 16][-(2 * depth - 1) :]


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_the_copy_for_evaluation_computes_the_same(norm: str) -> None:
    torch.manual_seed(0)
    network = UNet(2, 2, replace(SMALL, norm=norm))
    with torch.no_grad():
        for _ in range(5):
            network(torch.randn(4, 2, 16, 16) * 3 + 1)  # statistics other than 0 and 1
        network.eval()
        x = torch.randn(1, 2, 32, 32)
        copied = network.fused()
        for found, wanted in zip(copied(x), network(x), strict=True):
            torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    kinds = {type(module) for module in copied.modules()}
    assert torch.nn.BatchNorm2d not in kinds
    assert (torch.nn.BatchNorm2d in {type(m) for m in network.modules()}) == (norm == "batch")


def test_copies_have_masks_and_generators_of_their_own() -> None:
    network = UNet(1, 2, SMALL).eval()
    for layer in network.dropouts():
        layer.mask, layer.generator = layer.draw(2, None), torch.Generator()
    for copied in (network.twin(), network.fused()):
        rates = [(layer.features, layer.p) for layer in copied.dropouts()]
        assert rates == [(layer.features, layer.p) for layer in network.dropouts()]
        assert all(layer.mask is None and layer.generator is None for layer in copied.dropouts())
        assert not any(layer.training for layer in copied.dropouts())


def test_a_skip_connection_is_joined_as_if_stacked() -> None:
    torch.manual_seed(0)
    block = DoubleConvolution((6, 4, 4), ModelConfig(norm="batch"), (0.0, 0.0)).eval()
    skip, below = torch.randn(1, 2, 9, 8), torch.randn(3, 4, 9, 8)
    with torch.no_grad():
        stacked = block(torch.cat([skip.expand(3, -1, -1, -1), below], dim=1))
        torch.testing.assert_close(block.join(skip, below), stacked)


def test_drawn_masks_keep_the_expected_share_and_scale() -> None:
    layer = UNet(1, 2, ModelConfig(base_features=64, depth=2, dropout=0.25)).dropouts()[0]
    mask = layer.draw(200, torch.Generator().manual_seed(0))
    assert mask.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert mask.mean().item() == pytest.approx(1.0, abs=0.02)
