"""Seams of one training: when they are looked for, and those that were found last."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_impartial.core.config import PredictionConfig
from napari_impartial.core.instances.strokes import find_strokes
from napari_impartial.core.network.unet import UNet
from napari_impartial.core.prediction.predict import predict_normalized

from .implied_labels import BoolMask, Labels, find_seams
from .nuclei import find_nuclei
from .stroke_check import annotated_parts

# In units of Schedule.maturity: seams are looked for from the first on, since before maps say
# little of where they are, but where training goes on from a model. Where strokes change later,
# again at the earliest after the second, and no sooner after the change than the third, since a
# look takes as long as several steps and somebody waits to see what the strokes do.
_FROM, _AGAIN, _SETTLE = 0.5, 0.25, 0.03


class Seams:
    """Finds the seams between annotated cells in the midst of a training.

    Parameters
    ----------
    wanted : bool
        Whether there are to be any.
    nuclear_channel : int, optional
        Position of the channel that shows nuclei.
    goes_on : bool
        Whether training begins with a model, whose maps tell where seams are from the first step
        on: without them it would unlearn in the first half what it learned of them.

    Attributes
    ----------
    found : list of (Y, X) bool
        One for each image that there was at the last look; see :func:`.find_seams`.
    """

    def __init__(
        self, wanted: bool, nuclear_channel: int | None = None, goes_on: bool = False
    ) -> None:
        self.found: list[BoolMask] = []
        self._nuclear_channel = nuclear_channel
        first = 0.0 if goes_on else _FROM
        self._due = first if wanted else np.inf
        self._next = self._due

    def due(self, maturity: float) -> bool:
        """Tell whether to look for them now; see :meth:`.Schedule.maturity`."""
        return maturity >= self._due

    def strokes_changed(self, maturity: float) -> None:
        """Look for them again, but not all the time and not at once."""
        self._due = min(self._due, max(self._next, maturity + _SETTLE))

    def look(
        self,
        network: UNet,
        pictures: Sequence[npt.NDArray[np.float32]],
        labels: Sequence[Labels],
        prediction: PredictionConfig,
        maturity: float,
    ) -> None:
        """Look for them in the annotated images, in up to a megapixel round strokes.

        Parameters
        ----------
        network : UNet
            With the statistics that it is to be judged by.
        pictures : sequence of (C, Y, X) float32
            Normalized images.
        labels : sequence of (Y, X) uint8
            Strokes on each.
        prediction : PredictionConfig
        maturity : float
            How far on training is, from :meth:`.Schedule.maturity`.
        """
        self._due, self._next = np.inf if maturity >= _FROM else _FROM, maturity + _AGAIN
        self.found = [np.zeros(drawn.shape, bool) for drawn in labels]
        strokes = {n: find_strokes(drawn) for n, drawn in enumerate(labels) if drawn.any()}
        fewest = 2 if self._nuclear_channel is None else 1
        if not any(one.count >= fewest for one in strokes.values()):
            return
        seen = {number: np.zeros(labels[number].shape, bool) for number in strokes}
        for (number, y, x), picture, drawn in annotated_parts(pictures, labels):
            inside = (slice(y, y + drawn.shape[0]), slice(x, x + drawn.shape[1]))
            part = strokes[number].within(inside)
            if part.count >= fewest:
                foreground = predict_normalized(network, picture, prediction).foreground
                seam = find_seams(foreground, part, self._nuclei(picture))
                # Where windows overlap, the first says where the line is.
                self.found[number][inside] |= seam & ~seen[number][inside]
                seen[number][inside] = True

    def _nuclei(self, picture: npt.NDArray[np.float32]) -> npt.NDArray[np.int32] | None:
        channel = self._nuclear_channel
        return None if channel is None else find_nuclei(picture[channel])
