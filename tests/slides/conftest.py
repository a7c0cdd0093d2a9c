"""A model that finds the cells of procedural tissue, trained once for all tests of blocks."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_impartial.core.config import ModelConfig, TrainingConfig
from napari_impartial.core.data.synthetic_tissue import tissue
from napari_impartial.core.network.model_file import save_model
from napari_impartial.core.training.fit import fit


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a small model of two channels."""
    small = tissue((128, 128), 2, seed=1)
    training = fit(
        [small.image],
        [small.scribbles(0.4)],
        ModelConfig(base_features=4, depth=2),
        TrainingConfig(
            max_steps=60,
            patch_size=64,
            learning_rate=0.02,
            ema_decay=0.9,
            implied_labels=False,
            edge_weight=0.0,
        ),
    )
    path = tmp_path_factory.mktemp("model") / "m.impartial"
    try:
        while True:
            next(training)
    except StopIteration as end:
        save_model(end.value, path)
    return path
