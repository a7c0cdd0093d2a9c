"""Making the first weights: pictures of many kinds, and a file that can be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from benchmarks.pretrain import pretrain, settings
from benchmarks.procedural import example
from benchmarks.real import crops, pairs_of
from skimage.measure import label

from napari_impartial.core.model_file import load_model, save_model
from napari_impartial.core.tissue import tissue
from napari_impartial.core.warm_start import MIXTURES


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


def test_weights_are_written_in_half_precision(tmp_path: Path) -> None:
    shown = [one for seed in range(3) if (one := example(seed, 128)) is not None]
    path = save_model(pretrain(shown, settings(60.0, steps=2)), tmp_path / "w.safetensors")
    model = load_model(path)
    assert model.card.n_channels == MIXTURES
    assert model.card.steps == 2
    assert str(model.weights["head.weight"].dtype) == "torch.float16"
    assert str(model.weights["decoder.0.1.running_var"].dtype) == "torch.float32"
