"""Predictions in 16 bits."""

from __future__ import annotations

import numpy as np

from napari_impartial.core.prediction.packing import pack, rounded, unpack
from napari_impartial.core.prediction.result import Prediction
from napari_impartial.core.prediction.suggestions import entropy


def test_predictions_are_packed_without_loss_that_matters() -> None:
    rng = np.random.default_rng(0)
    probability = rng.dirichlet(np.ones(3), (8, 9)).transpose(2, 0, 1).astype(np.float32)
    heat = entropy(probability)
    given = Prediction(probability, heat, (heat / 3).astype(np.float32), None, 4)
    back = unpack(pack(given), 4)
    np.testing.assert_allclose(back.probability, probability, atol=2e-5)
    np.testing.assert_allclose(back.entropy, heat, atol=2e-4)
    np.testing.assert_allclose(back.mutual_information, given.mutual_information, atol=1e-5)
    assert (back.probability.dtype, back.n_samples) == (np.float32, 4)


def test_what_was_packed_once_stays_as_it_is() -> None:
    rng = np.random.default_rng(0)
    probability = rng.dirichlet(np.ones(4), (20, 30)).transpose(2, 0, 1).astype(np.float32)
    heat = entropy(probability)
    once = rounded(Prediction(probability, heat, heat, None, 4))
    assert (once.foreground != 1 - probability[0]).any()
    again = rounded(once)
    for name in ("probability", "entropy", "mutual_information"):
        np.testing.assert_array_equal(getattr(again, name), getattr(once, name))
