"""Making the first weights: pictures of many kinds, and a file that can be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from benchmarks.enlarge import enlarge
from benchmarks.pretrain import pretrain, settings
from benchmarks.procedural import example
from benchmarks.real import crops, pairs_of
from scipy.ndimage import zoom
from skimage.measure import label

from napari_impartial.core.data.synthetic_tissue import tissue
from napari_impartial.core.network.model_file import load_model, save_model
from napari_impartial.core.network.warm_start import MIXTURES


def test_pictures_are_repeatable_and_varied() -> None:
    made = [example(seed, 96) for seed in range(40, 46)]
    again = example(40, 96)
    assert made[0] is not None
    assert again is not None
    assert np.array_equal(made[0].mixtures, again.mixtures)
    shown = [one for one in made if one is not None]
    assert len(shown) >= 4
    for one in shown:
        assert one.mixtures.shape == (MIXTURES, 96, 96)
        assert np.isfinite(one.mixtures).all()
        assert set(np.unique(one.labels)) == {1, 2}
    shares = [(one.labels == 2).mean() for one in shown]
    assert max(shares) > 1.5 * min(shares)


def test_crops_of_annotated_images_look_unlike_each_other(tmp_path: Path) -> None:
    made = tissue((320, 360), n_channels=5, seed=3)
    # One cell that nobody annotated, and a set whose folder has no test images.
    labels = np.where(made.truth == 1, 0, made.truth).astype(np.uint16)
    (tmp_path / "train").mkdir()
    tifffile.imwrite(tmp_path / "train" / "a.tif", made.image.channels, metadata={"axes": "CYX"})
    tifffile.imwrite(tmp_path / "train" / "a_truth.tif", labels)
    pairs = pairs_of(tmp_path)
    assert [(image.shape, truth.max()) for image, truth in pairs] == [((320, 360), labels.max())]
    shown, again = crops(pairs, 6, seed=1, size=256), crops(pairs, 6, seed=1, size=256)
    for one, same in zip(shown, again, strict=True):
        assert np.array_equal(one.mixtures, same.mixtures)
        assert one.mixtures.shape == (MIXTURES, *one.labels.shape)
        assert min(one.labels.shape) >= 160
        assert np.isfinite(one.mixtures).all()
        assert set(np.unique(one.labels)) == {1, 2}
        # The first mixture is the one in which cells are bright.
        first = one.mixtures[0].astype(np.float32)
        assert first[one.labels == 2].mean() > first[one.labels == 1].mean()
    sizes = [np.bincount(label(one.labels == 2).ravel())[1:].mean() for one in shown]
    assert max(sizes) > 1.5 * min(sizes), "magnifications"


def test_an_enlarged_set_is_a_set_of_larger_cells(tmp_path: Path) -> None:
    made = tissue((60, 70), n_channels=2, seed=3)
    for side, channels in (("train", made.image.channels), ("test", made.image.channels[::-1])):
        (tmp_path / side).mkdir()
        tifffile.imwrite(tmp_path / side / f"{side}.tif", channels, metadata={"axes": "CYX"})
        truth = made.truth.astype(np.uint16)
        tifffile.imwrite(tmp_path / side / f"{side}_truth.tif", truth)
    enlarge(tmp_path, 2, tmp_path / "larger")
    (one, labels), (other, _) = pairs_of(tmp_path / "larger")
    assert (one.name, one.channels.shape, labels.shape) == ("train", (2, 120, 140), (120, 140))
    assert one.channels.dtype == made.image.channels.dtype
    np.testing.assert_array_equal(other.channels, one.channels[::-1])
    expected = zoom(made.image.channels.astype(np.float32), (1, 2, 2), order=1)
    np.testing.assert_allclose(one.channels, expected, atol=1)
    areas, before = (np.bincount(of.ravel()) for of in (labels, made.truth))
    # Each cell grows alike; in between two, an average of their numbers would be a third's.
    np.testing.assert_allclose(areas, 4 * before, rtol=0.1, atol=20)
    cells = labels > 0
    inside = one.channels[:, cells].mean(axis=1), one.channels[:, ~cells].mean(axis=1)
    assert (inside[0] > inside[1]).all(), "cells are where the truth says"


def test_weights_are_written_in_half_precision(tmp_path: Path) -> None:
    shown = [one for seed in range(3) if (one := example(seed, 128)) is not None]
    path = save_model(pretrain(shown, settings(60.0, steps=2)), tmp_path / "w.safetensors")
    model = load_model(path)
    assert model.card.n_channels == MIXTURES
    assert model.card.steps == 2
    assert str(model.weights["head.weight"].dtype) == "torch.float16"
    assert str(model.weights["decoder.0.1.running_var"].dtype) == "torch.float32"
