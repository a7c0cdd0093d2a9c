"""Patches: where they come from, what is done to them, what is held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_impartial.core.config import TrainingConfig
from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.training.patches import PatchSampler, choose_held_out, cover

PLAIN = TrainingConfig(
    patch_size=16,
    batch_size=8,
    intensity_jitter=0.0,
    zoom_jitter=0.0,
    half_size_fraction=0.0,
    blur_jitter_px=0.0,
    noise_jitter=0.0,
    validation_fraction=0.0,
    scribble_patch_fraction=1.0,
)


def numbered(size: int = 64) -> torch.Tensor:
    """An image whose second channel names the pixel, and whose first is its label."""
    return torch.arange(size * size, dtype=torch.float32).view(1, size, size)


def dots(size: int = 64) -> Scribbles:
    labels = np.zeros((size, size), np.uint8)
    labels[10, 10:14] = 1
    labels[40:44, 50] = 2
    return Scribbles(labels)


def test_image_and_labels_stay_together() -> None:
    scribbles = dots()
    sampler = PatchSampler([numbered()], [scribbles], PLAIN)
    batch = sampler.sample(np.random.default_rng(0))
    assert batch.images.shape == (8, 1, 16, 16)
    assert batch.labels.dtype == torch.int64
    expected = torch.from_numpy(scribbles.labels.ravel())[batch.images[:, 0].long()]
    assert torch.equal(batch.labels, expected.long())


def test_patches_at_scribbles_hold_some_and_each_class_gets_its_share() -> None:
    sampler = PatchSampler([numbered()], [dots()], PLAIN)
    rng = np.random.default_rng(0)
    labels = torch.cat([sampler.sample(rng).labels for _ in range(50)])
    has = [(labels == k).any(dim=2).any(dim=1).float().mean().item() for k in (1, 2)]
    assert (labels > 0).any(dim=2).any(dim=1).all()
    assert has[0] == pytest.approx(0.5, abs=0.08)
    assert has[1] == pytest.approx(0.5, abs=0.08)


def test_patches_elsewhere_cover_the_image() -> None:
    config = replace(PLAIN, scribble_patch_fraction=0.0)
    sampler = PatchSampler([numbered()], [dots()], config)
    rng = np.random.default_rng(0)
    seen = torch.cat([sampler.sample(rng).images.flatten() for _ in range(60)])
    # All but pixels in the very corners, which few patches reach.
    assert len(seen.unique()) > 0.97 * 64 * 64


def test_patches_are_turned_and_mirrored_in_all_eight_ways() -> None:
    config = replace(PLAIN, patch_size=16)
    sampler = PatchSampler([numbered(16)], [dots_at(3, 3, 16)], config)
    rng = np.random.default_rng(0)
    patches = torch.cat([sampler.sample(rng).images[:, 0] for _ in range(20)])
    assert len(patches.unique(dim=0)) == 8


def test_further_images_are_drawn_from_as_if_they_had_been_there() -> None:
    config = replace(PLAIN, scribble_patch_fraction=0.5)
    joined = PatchSampler([numbered()], [dots()], config)
    joined.set_scribbles([dots(), dots()], [-1 - numbered()])
    whole = PatchSampler([numbered(), -1 - numbered()], [dots(), dots()], config)
    ours, theirs = (s.sample(np.random.default_rng(0)) for s in (joined, whole))
    assert torch.equal(ours.images, theirs.images)
    assert torch.equal(ours.labels, theirs.labels)
    assert (ours.images < 0).any()


def dots_at(y: int, x: int, size: int) -> Scribbles:
    labels = np.zeros((size, size), np.uint8)
    labels[y, x], labels[y, x + 1] = 1, 2
    return Scribbles(labels)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (5, 7), (33, 12)])
def test_images_smaller_than_a_patch_are_mirrored(shape: tuple[int, int]) -> None:
    image = torch.rand(3, *shape)
    labels = np.zeros(shape, np.uint8)
    labels[0, 0] = 2
    sampler = PatchSampler([image], [Scribbles(labels)], PLAIN)
    batch = sampler.sample(np.random.default_rng(0))
    assert batch.images.shape == (8, 3, 16, 16)
    assert set(batch.images.flatten().tolist()) <= set(image.flatten().tolist())
    # What is annotated once is annotated once, not again in each mirror image.
    assert (batch.labels == 2).sum(dim=(1, 2)).max() == 1


@pytest.mark.parametrize(
    "jitter",
    [
        {"intensity_jitter": 0.3},
        {"blur_jitter_px": 3.0},
        {"noise_jitter": 0.5},
        {"zoom_jitter": 0.7},
    ],
)
def test_each_jitter_changes_images_and_zero_does_not(jitter: dict[str, float]) -> None:
    torch.manual_seed(0)
    image = torch.rand(2, 64, 64)
    sampler = PatchSampler([image], [dots()], replace(PLAIN, **jitter))
    batch = sampler.sample(np.random.default_rng(0))
    known = set(image.flatten().tolist())
    assert not set(batch.images.flatten().tolist()) <= known
    assert torch.isfinite(batch.images).all()
    plain = PatchSampler([image], [dots()], PLAIN).sample(np.random.default_rng(0))
    assert set(plain.images.flatten().tolist()) <= known


def test_a_share_of_the_patches_is_shown_at_half_size() -> None:
    image = torch.rand(2, 64, 64, generator=torch.Generator().manual_seed(0))
    halves = torch.nn.functional.avg_pool2d(image[None], 2, 1)[0]
    known = {round(value, 5) for value in halves.flatten().tolist()}

    def shown_at_half_size(share: float) -> float:
        config = replace(PLAIN, half_size_fraction=share)
        sampler, rng = PatchSampler([image], [dots()], config), np.random.default_rng(0)
        patches = torch.cat([sampler.sample(rng).images for _ in range(25)])
        assert patches.shape == (200, 2, 16, 16)
        means = (
            {round(value, 5) for value in patch.flatten().tolist()} <= known for patch in patches
        )
        return sum(means) / len(patches)

    assert shown_at_half_size(1.0) == 1.0
    assert shown_at_half_size(0.25) == pytest.approx(0.25, abs=0.08)
    assert shown_at_half_size(0.0) == 0.0


def test_windows_cover_all_strokes_also_of_small_images() -> None:
    labels = np.zeros((100, 30), np.uint8)
    labels[5, 2:28], labels[95, 29] = 1, 2
    seen = np.zeros_like(labels, bool)
    for y, x in cover(labels, 40):
        assert 0 <= y <= 60
        assert x == 0
        seen[y : y + 40, x : x + 40] = True
    assert seen[labels > 0].all()


def test_held_out_strokes_are_judged_in_their_own_image() -> None:
    labels = np.zeros((640, 640), np.uint8)
    labels[5::64, 5:600], labels[40::64, 5:600] = 1, 2
    drawn = [Scribbles(np.zeros((64, 64), np.uint8)), Scribbles(labels)]
    images = [torch.zeros(1, 64, 64), torch.from_numpy(labels.astype(np.float32))[None]]
    sampler = PatchSampler(images, drawn, replace(PLAIN, patch_size=64, validation_fraction=0.3))
    batches = sampler.validation()
    assert 1 < sum(len(batch.images) for batch in batches) <= 16
    for batch in batches:
        held_out = batch.labels > 0
        assert held_out.flatten(1).any(dim=1).all()
        assert torch.equal(batch.images[:, 0][held_out].long(), batch.labels[held_out])
    sampler.set_scribbles([drawn[0], Scribbles(np.zeros_like(labels))])
    assert sampler.validation() == []


def test_zoom_keeps_labels_on_their_pixels() -> None:
    labels = np.ones((64, 64), np.uint8)
    labels[:, 32:] = 2
    image = torch.from_numpy(labels.astype(np.float32))[None]
    sampler = PatchSampler([image], [Scribbles(labels)], replace(PLAIN, zoom_jitter=0.7))
    batch = sampler.sample(np.random.default_rng(0))
    # Bilinear at the border of the two halves, the nearest there: never half a step apart.
    assert (batch.images[:, 0] - batch.labels).abs().max() <= 0.5 + 1e-6


def test_seeded() -> None:
    config = replace(TrainingConfig(), patch_size=16)
    sampler = PatchSampler([torch.rand(2, 64, 64)], [dots()], config)
    first, again, other = (sampler.sample(np.random.default_rng(s)).images for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def crowded(rng: np.random.Generator, size: int = 512) -> Scribbles:
    labels = np.zeros((size, size), np.uint8)
    for k in (1, 2):
        ys, xs = rng.integers(0, size, (2, 200))
        labels[ys, xs] = k
    return Scribbles(labels)


def test_held_out_scribbles_are_not_trained_on_and_all_others_are() -> None:
    rng = np.random.default_rng(0)
    scribbles = crowded(rng)
    config = replace(PLAIN, validation_fraction=0.2)
    sampler = PatchSampler([torch.rand(1, 512, 512)], [scribbles], config)
    held_out = sampler.held_out[0]
    train = sampler.train_labels[0].numpy()
    assert not train[held_out].any()
    assert np.array_equal(train[~held_out], scribbles.labels[~held_out])
    share = (scribbles.labels[held_out] > 0).sum() / (scribbles.labels > 0).sum()
    assert share == pytest.approx(0.2, abs=0.1)
    checked = torch.cat([batch.labels for batch in sampler.validation()])
    assert (checked > 0).any()
    assert len(checked) <= 16


def test_validation_patches_are_the_same_each_time() -> None:
    config = replace(PLAIN, validation_fraction=0.2)
    scribbles = crowded(np.random.default_rng(0))
    sampler = PatchSampler([torch.rand(1, 512, 512)], [scribbles], config)
    for a, b in zip(sampler.validation(), sampler.validation(), strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.labels, b.labels)


def test_strokes_added_later_do_not_change_which_of_the_old_are_held_out() -> None:
    later = crowded(np.random.default_rng(0)).labels
    earlier = later.copy()
    earlier[:, 384:] = 0
    first, second = (choose_held_out(labels, 0.2) for labels in (earlier, later))
    assert first.any()
    assert np.array_equal(first[:, :384], second[:, :384])
    assert second[:, 384:].any()


def test_each_class_keeps_half_of_its_strokes_for_training() -> None:
    rng = np.random.default_rng(0)
    labels = crowded(rng).labels.copy()
    labels[labels == 2] = 0
    labels[100:110, 100:110] = 2  # one stroke of foreground: never held out
    held_out = choose_held_out(labels, 0.5)
    assert held_out.any()
    assert not held_out[100:110, 100:110].any()


def test_few_strokes_are_all_trained_on() -> None:
    assert not choose_held_out(dots().labels, 0.5).any()
    sampler = PatchSampler([numbered()], [dots()], replace(PLAIN, validation_fraction=0.5))
    assert sampler.validation() == []


def test_new_scribbles_replace_the_old_and_the_held_out_regions_stay() -> None:
    config = replace(PLAIN, validation_fraction=0.2)
    scribbles = crowded(np.random.default_rng(0))
    sampler = PatchSampler([torch.rand(1, 512, 512)], [scribbles], config)
    before = sampler.held_out[0].copy()
    more = scribbles.labels.copy()
    more[200:210, 200:210] = 3
    sampler.set_scribbles([Scribbles(more)])
    assert np.array_equal(sampler.held_out[0], before)
    kept = sampler.train_labels[0].numpy()
    assert (kept == 3).sum() == (~before[200:210, 200:210]).sum()


def test_an_image_without_strokes_may_stand_beside_a_scribbled_one() -> None:
    empty = Scribbles(np.zeros((64, 64), np.uint8))
    config = replace(PLAIN, scribble_patch_fraction=0.5)
    sampler = PatchSampler([numbered(), -1 - numbered()], [dots(), empty], config)
    images = torch.cat([sampler.sample(np.random.default_rng(s)).images for s in range(10)])
    assert (images < 0).any()
    assert (images > 0).any()


def test_the_published_way_of_training_always_has_a_held_out_loss_to_end_by() -> None:
    labels = np.zeros((256, 256), np.uint8)
    labels[8::32, 8:20] = 1
    labels[16::32, 40:52] = 2
    for column in (64, 128, 192):
        labels[:, column : column + 64] = labels[:, :64]
    config = replace(PLAIN, validation_fraction=0.1, schedule="exponential")
    sampler = PatchSampler([numbered(256)], [Scribbles(labels)], config)
    assert sampler.held_out[0].any()
    assert sampler.validation()
    ours = PatchSampler([numbered(256)], [Scribbles(labels)], replace(config, schedule="budget"))
    assert not ours.validation()
