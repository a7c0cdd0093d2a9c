"""The losses: hand-computed numbers, constants, invariants, gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_impartial.core.network.losses import (
    class_counts,
    class_log_probability,
    component_means,
    edge_loss,
    reconstruction_loss,
    scribble_loss,
    total_variation_loss,
    whitening,
)


def log_p(*probabilities: float) -> torch.Tensor:
    """One patch of one row: each number is the foreground probability of a pixel."""
    p = torch.tensor(probabilities, dtype=torch.float64)
    return torch.stack([1 - p, p]).log()[None, :, None, :]


def test_class_probability_is_the_sum_of_its_memberships() -> None:
    logits = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64).log().view(1, 4, 1, 1)
    p = class_log_probability(logits, 2).exp().flatten()
    torch.testing.assert_close(p, torch.tensor([0.3, 0.7], dtype=torch.float64))


@pytest.mark.parametrize(("n_classes", "per_class"), [(2, 1), (2, 3), (3, 2), (5, 4)])
def test_class_probabilities_add_up_to_one(n_classes: int, per_class: int) -> None:
    logits = 20 * torch.randn(2, n_classes * per_class, 3, 5, dtype=torch.float64)
    total = class_log_probability(logits, n_classes).exp().sum(1)
    torch.testing.assert_close(total, torch.ones_like(total))


def test_components_that_cannot_be_shared_out_are_refused() -> None:
    with pytest.raises(ValueError, match="5 components"):
        class_log_probability(torch.zeros(1, 5, 2, 2), 2)


def test_scribble_loss_by_hand() -> None:
    # Background at p_fg 0.2 and 0.4, foreground at 0.9; the last pixel is not annotated.
    labels = torch.tensor([[[1, 1, 2, 0]]])
    background = -(math.log(0.8) + math.log(0.6)) / 2
    expected = (background - math.log(0.9)) / 2
    found = scribble_loss(log_p(0.2, 0.4, 0.9, 0.01), labels)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_scribble_loss_is_balanced_between_classes() -> None:
    few = scribble_loss(log_p(0.2, 0.9), torch.tensor([[[1, 2]]]))
    many = scribble_loss(log_p(*[0.2] * 50, 0.9), torch.tensor([[[1] * 50 + [2]]]))
    assert many.item() == pytest.approx(few.item(), rel=1e-12)


def test_scribble_loss_skips_patches_without_annotation() -> None:
    one = scribble_loss(log_p(0.2, 0.9), torch.tensor([[[1, 2]]]))
    padded = torch.cat([log_p(0.2, 0.9), log_p(0.5, 0.5)])
    two = scribble_loss(padded, torch.tensor([[[1, 2]], [[0, 0]]]))
    assert two.item() == pytest.approx(one.item(), rel=1e-12)


def test_scribble_loss_without_any_annotation_is_zero_and_so_is_its_gradient() -> None:
    logits = torch.randn(2, 4, 3, 3, requires_grad=True)
    loss = scribble_loss(class_log_probability(logits, 2), torch.zeros(2, 3, 3, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert logits.grad.abs().max() == 0


def test_scribble_loss_balanced_over_the_batch_by_hand() -> None:
    # Background at p_fg 0.2 in one patch, 0.4 in the other, foreground 0.9 in the first alone.
    p = torch.cat([log_p(0.2, 0.9, 0.3), log_p(0.4, 0.7, 0.3)])
    labels = torch.tensor([[[1, 2, 0]], [[1, 0, 0]]])
    counts = class_counts(labels, 2)
    assert counts.tolist() == [2, 1]
    background = -(math.log(0.8) + math.log(0.6)) / 2
    whole = scribble_loss(p, labels, counts)
    assert whole.item() == pytest.approx((background - math.log(0.9)) / 2, rel=1e-12)
    # parts of a batch add up to it
    parts = [scribble_loss(p[i : i + 1], labels[i : i + 1], counts) for i in (0, 1)]
    assert sum(part.item() for part in parts) == pytest.approx(whole.item(), rel=1e-12)
    assert scribble_loss(p, 0 * labels, class_counts(0 * labels, 2)).item() == 0


def test_scribble_loss_ignores_impossible_pixels_that_nobody_annotated() -> None:
    p = log_p(0.5, 1.0)  # log p of background is -inf at the second pixel
    labels = torch.tensor([[[1, 0]]])
    assert math.isfinite(scribble_loss(p, labels).item())
    assert math.isfinite(scribble_loss(p, labels, class_counts(labels, 2)).item())


def test_component_means_by_hand() -> None:
    maps = torch.tensor([[1.0, 3.0], [10.0, 20.0]]).view(1, 2, 1, 1, 2)
    membership = torch.tensor([[0.25, 0.75], [0.75, 0.25]]).view(1, 2, 1, 2)
    found = component_means(maps, membership).flatten()
    torch.testing.assert_close(found, torch.tensor([2.5, 12.5]))


def test_component_means_of_constant_maps_are_the_constants() -> None:
    maps = torch.arange(6.0).view(1, 3, 2, 1, 1).expand(2, 3, 2, 5, 7)
    found = component_means(maps, torch.rand(2, 3, 5, 7) + 0.1)
    torch.testing.assert_close(found, torch.arange(6.0).view(1, 3, 2).expand(2, 3, 2))


@pytest.mark.parametrize(
    ("form", "expected"),
    # x = 1, colours 0 and 4, memberships 0.75 and 0.25, so the expected value is 1.
    [("mixture", 0.5 * (0.75 * 1 + 0.25 * 9)), ("mean", 0.0)],
)
def test_reconstruction_loss_by_hand(form: str, expected: float) -> None:
    found = reconstruction_loss(
        torch.ones(1, 1, 1, 2),
        torch.tensor([0.75, 0.25]).view(1, 2, 1, 1).expand(1, 2, 1, 2),
        torch.tensor([0.0, 4.0]).view(1, 2, 1),
        torch.tensor([[[True, False]]]),
        form,
    )
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_mixture_exceeds_mean_by_half_the_variance_of_the_colours() -> None:
    torch.manual_seed(0)
    target = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    membership = torch.randn(2, 5, 4, 4, dtype=torch.float64).softmax(1)
    means = torch.randn(2, 5, 3, dtype=torch.float64)
    mask = torch.ones(2, 4, 4, dtype=torch.bool)
    first = torch.einsum("bmhw,bmc->bchw", membership, means)
    second = torch.einsum("bmhw,bmc->bchw", membership, means**2)
    gap = reconstruction_loss(target, membership, means, mask, "mixture") - reconstruction_loss(
        target, membership, means, mask, "mean"
    )
    torch.testing.assert_close(gap, 0.5 * (second - first**2).mean())


def test_reconstruction_loss_looks_at_hidden_pixels_only() -> None:
    membership, means = torch.ones(1, 1, 1, 3), torch.zeros(1, 1, 1)
    target = torch.tensor([2.0, 100.0, float("nan")]).view(1, 1, 1, 3)
    mask = torch.tensor([[[True, False, False]]])
    assert reconstruction_loss(target, membership, means, mask).item() == pytest.approx(2.0)


def test_reconstruction_loss_of_pixels_that_are_hidden_in_some_channels() -> None:
    membership, means = torch.ones(1, 1, 1, 2), torch.zeros(1, 1, 2)
    target = torch.tensor([[[[2.0, 100.0]], [[4.0, 6.0]]]])
    mask = torch.tensor([[[[True, False]], [[True, True]]]])
    found = reconstruction_loss(target, membership, means, mask)
    assert found.item() == pytest.approx((4 + 16 + 36) / 2 / 3)


def test_reconstruction_loss_without_hidden_pixels_is_zero() -> None:
    mask = torch.zeros(1, 2, 2, dtype=torch.bool)
    loss = reconstruction_loss(
        torch.ones(1, 2, 2, 2), torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2), mask
    )
    assert loss.item() == 0


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match="median"):
        reconstruction_loss(
            torch.ones(1, 1, 2, 2),
            torch.ones(1, 1, 2, 2),
            torch.zeros(1, 1, 1),
            torch.ones(1, 2, 2, dtype=torch.bool),
            "median",
        )


def test_total_variation_by_hand() -> None:
    p = torch.tensor([[0.0, 1.0], [0.0, 0.5]])[None, None]
    # Rows differ by 0 and 0.5 (mean 0.25), columns by 1 and 0.5 (mean 0.75).
    assert total_variation_loss(p).item() == pytest.approx(1.0)


@pytest.mark.parametrize("shape", [(1, 2, 1, 1), (2, 3, 1, 5), (2, 3, 4, 5)])
def test_total_variation_of_a_constant_is_zero(shape: tuple[int, ...]) -> None:
    assert total_variation_loss(torch.full(shape, 0.3)).item() == 0


def _two_classes(foreground: torch.Tensor) -> torch.Tensor:
    return torch.cat([1 - foreground, foreground], dim=1)


def _disc(radius: float, side: int = 64) -> torch.Tensor:
    """(1, 1, side, side): a soft disc of 1 in the middle of 0."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    middle = (side - 1) / 2
    return torch.sigmoid(2 * (radius - torch.hypot(y - middle, x - middle)))[None, None]


def _astray(probability: torch.Tensor, images: torch.Tensor) -> float:
    return edge_loss(probability, images, torch.ones(images[:, 0].shape, dtype=torch.bool)).item()


def test_the_edge_loss_by_hand() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet([1, 1, 1], (2, 5, 6)).transpose(0, 3, 1, 2)
    images, free = rng.random((2, 2, 5, 6)), rng.random((2, 5, 6)) < 0.8
    images[1] *= 10  # each patch has a mean contrast of its own
    expected = []
    for one, image, known in zip(p, images, ~free, strict=True):
        smooth = np.stack([ndimage.uniform_filter(c, 3, mode="nearest") for c in image])
        pairs = [((y, x), (y + 1, x)) for y in range(4) for x in range(6)]
        pairs += [((y, x), (y, x + 1)) for y in range(5) for x in range(5)]
        contrast = [np.linalg.norm(smooth[:, *i] - smooth[:, *j]) for i, j in pairs]
        s = np.sqrt(np.mean(np.square(contrast)))
        change = [
            0.0 if known[i] or known[j] else np.abs(one[:, *i] - one[:, *j]).sum() / 2
            for i, j in pairs
        ]
        weights = np.exp(-np.square(contrast) / (2 * s**2))
        expected.append(np.mean(weights * change) / (np.mean(change) + 5e-4))
    found = edge_loss(*map(torch.from_numpy, (p, images, free)))
    assert found.item() == pytest.approx(np.mean(expected), rel=1e-6)


@pytest.mark.parametrize("radius", [4, 10, 24])
def test_outlines_at_edges_cost_next_to_nothing_however_long_they_are(radius: int) -> None:
    noise = 0.02 * torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    image = _disc(radius) + noise
    right = _astray(_two_classes(_disc(radius)), image)
    faint = _astray(_two_classes(0.3 * _disc(radius)), image)
    beside = _astray(_two_classes(_disc(radius + 5)), image)
    assert right < 0.15
    assert faint == pytest.approx(right, abs=0.05)
    assert beside > 0.3


def test_one_hot_pixel_changes_little() -> None:
    image, p = _disc(12), _two_classes(_disc(12))
    hot = image.clone()
    hot[0, 0, 2, 2] = 50
    assert _astray(p, hot) == pytest.approx(_astray(p, image), abs=0.1)


def test_outlines_along_what_is_painted_cost_nothing() -> None:
    p, flat = _two_classes(_disc(12)), torch.zeros(1, 1, 64, 64)
    assert _astray(p, flat) > 0.9
    free = (_disc(12)[0] < 0.02) | (_disc(12)[0] > 0.98)
    assert edge_loss(p, flat, free).item() < 0.5
    assert edge_loss(p, flat, torch.zeros_like(free)).item() == 0


def _cell() -> tuple[torch.Tensor, torch.Tensor]:
    """(2, 64, 64) image of a bright nucleus and a pale cell round it; strokes of a line in each."""
    noise = 0.02 * torch.randn(2, 64, 64, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(64, 64, dtype=torch.uint8)
    labels[32, 14:50], labels[4, 4:60] = 2, 1
    return torch.stack([_disc(8)[0, 0], 0.5 * _disc(20)[0, 0]]) + noise, labels


def test_edges_within_strokes_are_no_outlines() -> None:
    image, labels = _cell()
    outer, inner = _two_classes(_disc(20)), _two_classes(_disc(8))
    assert _astray(outer, image[None]) > 2 * _astray(inner, image[None])
    mixed = torch.einsum("dc,chw->dhw", whitening([image], [labels]), image)[None]
    assert _astray(outer, mixed) < _astray(inner, mixed)


def test_contrasts_within_strokes_are_of_one_size_in_all_directions() -> None:
    rng = np.random.default_rng(0)
    mixing = np.array([[1.0, 0.0, 0.0], [0.9, 0.5, 0.0], [0.0, 0.2, 2.0]])
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    images, labels, seen = [], [], []
    for n, side in enumerate((80, 120)):
        noise = rng.random((3, side, 90))
        noise[n] = ndimage.uniform_filter1d(noise[n], 5, axis=n)
        picture = np.einsum("dc,cyx->dyx", mixing, noise)
        drawn = rng.integers(1, 4, (side // 10, 9)).repeat(10, 0).repeat(10, 1)
        picture[1] += 3 * (drawn == 3)  # between two kinds of cell is not within a stroke
        images.append(torch.from_numpy(picture))
        labels.append(torch.from_numpy(drawn))
        clean = [
            np.clip(
                channel,
                ndimage.minimum_filter(channel, footprint=ring, mode="nearest"),
                ndimage.maximum_filter(channel, footprint=ring, mode="nearest"),
            )
            for channel in picture
        ]
        smooth = np.stack([ndimage.uniform_filter(channel, 3, mode="nearest") for channel in clean])
        for axis in (0, 1):
            within = (np.diff(drawn, axis=axis) == 0) & (np.delete(drawn, -1, axis) > 1)
            seen.append(np.diff(smooth, axis=axis + 1)[:, within])
    every = np.concatenate(seen, axis=1)
    second = every @ every.T / every.shape[1]
    few = 0.1 + 15 / every.shape[1]
    shrunk = (3 * second / np.trace(second) + few * np.eye(3)) / (1 + few)
    scale = whitening(images, labels).numpy().astype(float)
    np.testing.assert_allclose(scale @ shrunk @ scale, np.eye(3), atol=1e-5)
    np.testing.assert_allclose(scale, scale.T, atol=1e-6)


def test_a_hot_pixel_under_a_stroke_changes_little() -> None:
    image, labels = _cell()
    hot = image.clone()
    hot[1, 32, 20] = 50
    torch.testing.assert_close(
        whitening([hot], [labels]), whitening([image], [labels]), atol=0.15, rtol=0
    )


def test_few_pixels_and_rounding_are_no_evidence() -> None:
    image, labels = _cell()
    short = labels.clone()
    short[:, 34:] = 0
    short[:, :32] = 0
    few, many = whitening([image], [short]), whitening([image], [labels])
    assert (few - torch.eye(2)).abs().max() < 0.5 * (many - torch.eye(2)).abs().max()
    flat = torch.zeros(2, 64, 64)
    flat[0, 30:35, 28:33] = 1e-7
    assert torch.equal(whitening([flat], [labels]), torch.eye(2))


def test_channels_without_anything_change_nothing() -> None:
    image, labels = _cell()
    with_empty = torch.cat([image, torch.zeros(1, 64, 64)])
    found = whitening([with_empty], [labels])[:2, :2]
    ratio = found[1, 1] / found[0, 0]
    alone = whitening([image], [labels])
    assert ratio.item() == pytest.approx((alone[1, 1] / alone[0, 0]).item(), rel=0.1)


def test_of_one_channel_and_without_strokes_contrasts_are_as_they_are() -> None:
    image, labels = _cell()
    assert torch.equal(whitening([image[:1]], [labels]), torch.eye(1))
    assert torch.equal(whitening([image], [labels * (labels == 1)]), torch.eye(2))
    dots = torch.zeros_like(labels)
    dots[::2, ::2] = 2
    assert torch.equal(whitening([image], [dots]), torch.eye(2))
    assert torch.equal(whitening([torch.zeros(2, 1, 5)], [labels[32:33, 20:25]]), torch.eye(2))


@pytest.mark.parametrize("scale", [0.0, 1e-4, 1e4])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_flat_noisy_and_certain_predictions_have_gradients(scale: float, value: float) -> None:
    logits = scale * torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    logits.requires_grad_()
    p = class_log_probability(logits, 3).exp()
    loss = edge_loss(p, torch.full((2, 4, 8, 8), value), torch.ones(2, 8, 8, dtype=torch.bool))
    loss.backward()
    assert 0 <= loss.item() <= 1
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("form", ["mixture", "mean"])
def test_gradients_agree_with_finite_differences(form: str) -> None:
    torch.manual_seed(0)
    classes, per_class, channels = 3, 2, 2
    m = classes * per_class
    logits = torch.randn(2, m, 3, 3, dtype=torch.float64, requires_grad=True)
    maps = torch.randn(2, m, channels, 3, 3, dtype=torch.float64, requires_grad=True)
    target = torch.randn(2, channels, 3, 3, dtype=torch.float64)
    mask = torch.rand(2, 3, 3) < 0.5
    labels = torch.randint(0, classes + 1, (2, 3, 3))

    def joint(logits: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        log_probability = class_log_probability(logits, classes)
        membership = logits.softmax(1)
        means = component_means(maps, membership)
        return (
            scribble_loss(log_probability, labels)
            + reconstruction_loss(target, membership, means, mask, form)
            + total_variation_loss(log_probability.exp())
            + edge_loss(log_probability.exp(), target, labels == 0)
        )

    assert torch.autograd.gradcheck(joint, (logits, maps))
