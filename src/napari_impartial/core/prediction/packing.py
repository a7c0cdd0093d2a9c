"""Predictions in 16 bits, as the window and its sessions keep them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .result import Prediction
from .suggestions import entropy

_ONE = 65535


def rounded(prediction: Prediction) -> Prediction:
    """Return what :func:`unpack` will make of a packed prediction.

    What is cut from it stays the same when it has been packed, and unpacked, again.
    """
    return unpack(pack(prediction), prediction.n_samples)


def pack(prediction: Prediction) -> npt.NDArray[np.uint16]:
    """Return a prediction in a quarter of its size.

    Returns
    -------
    (K, Y, X) uint16
        65535 for 1: probability of the K - 1 foreground classes, then mutual information.
    """
    maps = [*prediction.probability[1:], prediction.mutual_information]
    return np.stack([pack_map(one) for one in maps])


def unpack(packed: npt.NDArray[Any], n_samples: int) -> Prediction:
    """Return the prediction: each foreground class and the mutual information within 1e-5.

    The background is what is left of 1, and the entropy is worked out; there is no
    reconstruction.
    """
    values = unpack_map(packed)
    foreground = values[:-1]
    background = np.clip(1 - foreground.sum(axis=0, keepdims=True), 0, 1)
    probability = np.concatenate([background, foreground]).astype(np.float32)
    return Prediction(probability, entropy(probability), values[-1], None, n_samples)


def pack_map(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Return a map of values from 0 to 1 in half of its size."""
    return np.rint(np.clip(values, 0, 1) * _ONE).astype(np.uint16)


def unpack_map(packed: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return what was packed, within 1e-5."""
    return packed.astype(np.float32) / np.float32(_ONE)
