"""The result of a prediction: a frozen dataclass over numpy, free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from napari_impartial.core.data.boxes import Box
from napari_impartial.core.instances.cutter import Cutter


@dataclass(frozen=True)
class Prediction:
    """Output of the network for one image.

    Attributes
    ----------
    probability : (K, Y, X) float32
        Mean class probabilities over the Monte-Carlo passes; class 0 is background.
    entropy : (Y, X) float32
        Predictive entropy of `probability` over log K, 0 (sure) to 1.
    mutual_information : (Y, X) float32
        Entropy of the mean less mean entropy, over log K: the part that more
        annotation can lower. 0 with fewer than two passes.
    reconstruction : (C, Y, X) float32 or None
        Denoised, quantized image in normalized intensities.
    n_samples : int
        Stochastic passes; 0 means one pass without dropout.
    """

    probability: npt.NDArray[np.float32]
    entropy: npt.NDArray[np.float32]
    mutual_information: npt.NDArray[np.float32]
    reconstruction: npt.NDArray[np.float32] | None
    n_samples: int

    @property
    def foreground(self) -> npt.NDArray[np.float32]:
        """Probability of any foreground class, (Y, X) float32."""
        return np.asarray(1.0 - self.probability[0], dtype=np.float32)

    def crop(self, box: Box) -> Prediction:
        """Return a part of it."""
        y0, x0, y1, x1 = box

        def part(array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            # In one piece, so that it can be sent as it lies in memory.
            return np.ascontiguousarray(array[..., y0:y1, x0:x1])

        return Prediction(
            part(self.probability),
            part(self.entropy),
            part(self.mutual_information),
            None if self.reconstruction is None else part(self.reconstruction),
            self.n_samples,
        )

    @cached_property
    def cutter(self) -> Cutter:
        """Cuts the prediction into objects; kept, for a slider asks again and again."""
        classes = self.probability[1:] if len(self.probability) > 2 else None
        return Cutter(self.foreground, classes=classes)
