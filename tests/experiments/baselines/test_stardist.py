"""StarDist: a clear word without TensorFlow; with it (tox -e stardist) it trains."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_impartial.core.config import TrainingConfig
from napari_impartial.core.data.mask_scribbles import simulate
from napari_impartial.core.data.synthetic_tissue import tissue
from napari_impartial.core.errors import ImPartialError
from napari_impartial.experiments.baselines import stardist
from napari_impartial.experiments.baselines.partial_masks import partial_labels

HAS_TENSORFLOW = importlib.util.find_spec("tensorflow") is not None


@pytest.mark.parametrize(
    ("missing", "said"), [("stardist", r"napari-impartial\[bench\]"), ("tensorflow", "tox -e")]
)
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, missing: str, said: str) -> None:
    if missing == "tensorflow":
        pytest.importorskip("stardist")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImPartialError, match=said):
        stardist.check_available()


def test_crops_keep_image_and_annotation_together() -> None:
    made = tissue((96, 80), 1, seed=1)
    painted, _ = simulate(made.truth, 0.3, np.random.default_rng(0))
    labels = partial_labels(painted, made.truth)
    # an image from which the annotation can be read
    image = type(made.image)(labels[None].astype(np.float32), ("labels",))
    x, y = stardist._crops([image], [labels], 32, np.random.default_rng(0))
    assert len(x) == len(y) == 64
    for crop, known in zip(x, y, strict=True):
        assert crop.shape == (64, 64, 1)
        assert (known > 0).any()
        assert np.corrcoef(crop.ravel(), known.ravel())[0, 1] > 0.999


@pytest.mark.skipif(not HAS_TENSORFLOW, reason="needs TensorFlow: tox -e stardist")
@pytest.mark.filterwarnings("ignore")
def test_it_trains_and_segments(tmp_path: Path) -> None:
    made = tissue((96, 96), 2, seed=1)
    painted, _ = simulate(made.truth, 0.4, np.random.default_rng(0))
    labels = [partial_labels(painted, made.truth)]
    seen: list[float] = []
    config = TrainingConfig(max_steps=30)
    peer = stardist.train([made.image], labels, config, seen.append)
    assert seen[-1] == 1.0
    assert len(seen) == 30
    found = stardist.segment(made.image, peer)
    assert found.shape == made.truth.shape
    assert found.dtype == np.int32
    with pytest.raises(ImPartialError, match="no model of StarDist"):
        stardist.load(tmp_path / "none", 2)
