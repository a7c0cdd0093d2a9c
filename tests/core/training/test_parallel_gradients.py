"""The gradient of a batch in parts is the gradient of the batch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from napari_impartial.core.config import ModelConfig
from napari_impartial.core.network.losses import class_counts, scribble_loss
from napari_impartial.core.network.unet import UNet
from napari_impartial.core.training.parallel_gradients import Gradients
from napari_impartial.core.training.patches import Patches

ONE = torch.ones(())


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def network(norm: str = "none", dropout: float = 0.0) -> UNet:
    torch.manual_seed(0)
    return UNet(2, 2, ModelConfig(base_features=4, depth=2, norm=norm, dropout=dropout))


def batch(count: int) -> Patches:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(count, 2, 32, 32, generator=generator)
    return Patches(images, torch.ones(count, 32, 32, dtype=torch.int64))


def loss(
    network: UNet, patches: Patches, generator: torch.Generator, share: float = 1.0
) -> tuple[Tensor, Tensor]:
    logits, means = network(patches.images)
    total = logits.square().mean() + means.square().mean()
    return total, torch.stack([total.detach(), ONE])


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("count", [8, 5, 3, 1])
def test_parts_add_up_to_the_whole(two_threads: None, count: int) -> None:
    """Equal and unequal parts, and a batch that is too small to be cut."""
    patches, made = batch(count), network()
    found, losses = Gradients(made, seeded(), 0).of(patches, loss, ONE)
    total, whole = loss(made, patches, seeded())
    expected = torch.autograd.grad(total, list(made.parameters()))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert losses.tolist() == pytest.approx(whole.tolist(), rel=1e-5)


def test_the_loss_is_scaled_for_half_precision(two_threads: None) -> None:
    once, _ = Gradients(network(), seeded(), 0).of(batch(4), loss, ONE)
    scaled, losses = Gradients(network(), seeded(), 0).of(batch(4), loss, 8 * ONE)
    for one, other in zip(once, scaled, strict=True):
        torch.testing.assert_close(8 * one, other)
    _, unscaled = loss(network(), batch(4), seeded())
    assert losses.tolist() == pytest.approx(unscaled.tolist(), rel=1e-5)


def test_the_number_of_cores_does_not_change_a_result(two_threads: None) -> None:
    """Normalization by parts and dropout included."""

    def run() -> list[list[Tensor]]:
        parts = Gradients(network("batch", 0.5).train(), seeded(), 0)
        return [parts.of(batch(4), loss, ONE)[0] for _ in range(3)]

    two = run()
    torch.set_num_threads(1)
    for one, other in zip(run(), two, strict=True):
        for a, b in zip(one, other, strict=True):
            torch.testing.assert_close(a, b)


def test_parts_drop_different_features(two_threads: None) -> None:
    """Both parts are shown the same picture; without dropout their losses are the same."""
    images = batch(1).images.expand(4, -1, -1, -1)
    patches = Patches(images, torch.ones(4, 32, 32, dtype=torch.int64))
    seen: list[float] = []

    def noted(
        network: UNet, patches: Patches, generator: torch.Generator, share: float
    ) -> tuple[Tensor, Tensor]:
        total, losses = loss(network, patches, generator)
        seen.append(float(losses[0]))
        return total, losses

    Gradients(network(), seeded(), 0).of(patches, noted, ONE)
    Gradients(network(dropout=0.5).train(), seeded(), 0).of(patches, noted, ONE)
    assert seen[0] == pytest.approx(seen[1])
    assert seen[2] != pytest.approx(seen[3])


def test_threads_are_as_before_after_an_error(two_threads: None) -> None:
    def broken(
        network: UNet, patches: Patches, generator: torch.Generator, share: float
    ) -> tuple[Tensor, Tensor]:
        assert torch.get_num_threads() == 1
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        Gradients(network(), seeded(), 0).of(batch(4), broken, ONE)
    assert torch.get_num_threads() == 2


def test_few_small_patches_can_be_normalized(two_threads: None) -> None:
    """At the lowest level each of them is a single pixel."""
    small = Patches(batch(3).images[..., :4, :4], batch(3).labels[..., :4, :4])
    parts = Gradients(network("batch").train(), seeded(), 0)
    gradients, _ = parts.of(small, loss, ONE)
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)


def test_a_part_with_more_of_the_strokes_counts_for_more(two_threads: None) -> None:
    """The scribble loss of the whole is a mean over the patches with strokes, wherever they are."""

    def scribbled(
        network: UNet, patches: Patches, generator: torch.Generator, share: float
    ) -> tuple[Tensor, Tensor]:
        logits, _ = network(patches.images)
        total = share * scribble_loss(network.log_probability(logits), patches.labels)
        return total, torch.stack([total.detach(), ONE])

    patches, made = batch(8), network()
    patches.labels[3:] = 0
    patches.labels[4, :8] = 2
    found, losses = Gradients(made, seeded(), 0).of(patches, scribbled, ONE)
    total, whole = scribbled(made, patches, seeded(), 1.0)
    assert losses.tolist() == pytest.approx(whole.tolist(), rel=1e-5)
    expected = torch.autograd.grad(total, list(made.parameters()), materialize_grads=True)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_classes_are_balanced_over_the_whole_batch(two_threads: None) -> None:
    def balanced(
        network: UNet, patches: Patches, generator: torch.Generator, share: float
    ) -> tuple[Tensor, Tensor]:
        logits, _ = network(patches.images)
        labels = patches.labels if patches.batch_labels is None else patches.batch_labels
        counts = class_counts(labels, 2)
        total = share * scribble_loss(network.log_probability(logits), patches.labels, counts)
        return total, torch.stack([total.detach(), ONE])

    patches, made = batch(5), network()
    patches.labels[4, :8] = 2
    found, losses = Gradients(made, seeded(), 0).of(patches, balanced, ONE, True)
    total, whole = balanced(made, patches, seeded(), 1.0)
    assert losses.tolist() == pytest.approx(whole.tolist(), rel=1e-5)
    expected = torch.autograd.grad(total, list(made.parameters()), materialize_grads=True)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_frozen_normalization_is_the_same_in_all_parts_and_stays(two_threads: None) -> None:
    made = network("batch")
    gradients = Gradients(made, seeded(), 0)
    gradients.of(batch(4), loss, ONE)
    gradients.freeze_normalization()
    frozen = [buffer.clone() for buffer in made.buffers()]
    found, _ = gradients.of(batch(8), loss, ONE)
    for now, then in zip(made.buffers(), frozen, strict=True):
        assert torch.equal(now, then)
    # By the same statistics, what the parts find adds up to what the whole has.
    total, _ = loss(made, batch(8), seeded())
    for one, other in zip(found, torch.autograd.grad(total, list(made.parameters())), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
