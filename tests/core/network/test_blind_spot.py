"""Blind spots: which pixels change, and into what."""

from __future__ import annotations

import pytest
import torch

from napari_impartial.core.network.blind_spot import hide_pixels


def numbered(batch: int = 2, channels: int = 3, size: int = 32) -> torch.Tensor:
    """Patches whose every value names its pixel: channel c holds c * 10000 + y * size + x."""
    place = torch.arange(size * size, dtype=torch.float32).view(1, 1, size, size)
    return (place + 10000 * torch.arange(channels).view(1, channels, 1, 1)).repeat(batch, 1, 1, 1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_only_masked_pixels_change_and_all_of_them_do() -> None:
    patches = numbered()
    batch = hide_pixels(patches, 0.2, 10, generator())
    changed = (batch.masked_input != patches).any(1)
    assert torch.equal(changed, batch.mask)
    assert batch.target is patches


@pytest.mark.parametrize(("size", "window"), [(32, 10), (7, 10), (2, 10), (5, 3)])
def test_no_pixel_stands_in_for_itself_up_to_the_border(size: int, window: int) -> None:
    patches = numbered(batch=40, size=size)
    batch = hide_pixels(patches, 0.9, window, generator())
    changed = (batch.masked_input != patches).any(1)
    assert torch.equal(changed, batch.mask)
    border = torch.ones(size, size, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    assert batch.mask[:, border].any()


@pytest.mark.parametrize("window", [2, 3, 10])
def test_stand_ins_come_from_the_window_and_all_channels_from_one_pixel(window: int) -> None:
    size = 32
    patches = numbered(size=size)
    batch = hide_pixels(patches, 0.5, window, generator())
    b, y, x = batch.mask.nonzero(as_tuple=True)
    values = batch.masked_input[b, :, y, x].long()
    assert (values[:, 1] - values[:, 0] == 10000).all()
    reach = window // 2
    inner = (y >= reach) & (y < size - reach) & (x >= reach) & (x < size - reach)
    for offset in (values[:, 0] // size - y, values[:, 0] % size - x):
        assert (offset[inner].abs() <= reach).all()
        # at the border the window is moved, and as wide as ever
        assert (offset.abs() < max(window, 2)).all()
    # Every place in the window but the centre is used.
    offsets = torch.stack([values[:, 0] // size - y, values[:, 0] % size - x])[:, inner]
    assert len(torch.unique(offsets, dim=1).T) == window**2 - 1


def test_share_of_hidden_pixels() -> None:
    mask = hide_pixels(torch.zeros(4, 1, 128, 128), 0.05, 10, generator()).mask
    assert mask.float().mean().item() == pytest.approx(0.05, abs=0.004)


def test_each_channel_may_have_hidden_pixels_of_its_own() -> None:
    patches = numbered()
    batch = hide_pixels(patches, 0.2, 10, generator(), separately=True)
    assert batch.mask.shape == patches.shape
    assert torch.equal(batch.masked_input != patches, batch.mask)
    first, second, _ = batch.mask.unbind(1)
    assert (first & second).float().mean().item() == pytest.approx(0.2**2, abs=0.02)
    # a stand-in is a value of the same channel
    assert torch.equal(batch.masked_input // 10000, patches // 10000)


def test_nothing_hidden() -> None:
    patches = numbered()
    batch = hide_pixels(patches, 0.0, 10, generator())
    assert not batch.mask.any()
    assert torch.equal(batch.masked_input, patches)


def test_one_pixel() -> None:
    batch = hide_pixels(torch.ones(1, 2, 1, 1), 0.9, 10, generator(1))
    assert torch.equal(batch.masked_input, torch.ones(1, 2, 1, 1))
    assert batch.mask.shape == (1, 1, 1)
    assert not batch.mask.any()


def test_seeded() -> None:
    patches = torch.randn(2, 1, 16, 16)
    first = hide_pixels(patches, 0.3, 10, generator(3)).masked_input
    assert torch.equal(first, hide_pixels(patches, 0.3, 10, generator(3)).masked_input)
    assert not torch.equal(first, hide_pixels(patches, 0.3, 10, generator(4)).masked_input)
