"""Prediction of pictures of any size, a block at a time, equal to that of the whole picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_impartial.core.config import PredictionConfig
from napari_impartial.core.data.image import halve
from napari_impartial.core.network.device import resolve_device
from napari_impartial.core.network.model_file import TrainedModel

from .predict import (
    SMALLEST_SECOND_OPINION_PX,
    VIEWS,
    ProgressCallback,
    apply_second_opinion,
    correction,
    predict_part,
)
from .result import Prediction

Area = tuple[slice, slice]
"""Rows and columns."""
Read = Callable[[Area], npt.NDArray[np.float32]]
"""Returns normalized intensities (C, Y, X) of an area that lies inside of the picture."""

# Pixels of a coarser view that are predicted round what is needed of it: two for spreading them
# to twice as many, one for looking near, and the same for the view above.
_MARGIN_PX = 8
# Rows that are read at once where only their means are kept.
_BAND_ROWS = 256


class BlockPredictor:
    """Predicts a picture block by block.

    Each block sees all the context that its result depends on, at each scale, so that the
    picture is predicted as in one piece.

    Parameters
    ----------
    model : TrainedModel
    config : PredictionConfig
    shape : (int, int)
        Of the whole picture.
    progress : callable, optional
        Called for each tile of a block (:data:`.predict.ProgressCallback`).
    """

    def __init__(
        self,
        model: TrainedModel,
        config: PredictionConfig,
        shape: tuple[int, int],
        progress: ProgressCallback | None = None,
    ) -> None:
        self._progress = progress
        self._config = replace(
            config,
            second_opinion=config.second_opinion and model.card.second_opinion,
            reconstruction=False,
        )
        self._network = model.network(resolve_device(config.device)).fused()
        self._shapes = [shape]
        while (
            self._config.second_opinion
            and len(self._shapes) < VIEWS
            and min(self._shapes[-1]) >= SMALLEST_SECOND_OPINION_PX
        ):
            self._shapes.append(_half(self._shapes[-1]))

    def predict(self, read: Read, block: Area) -> Prediction:
        """Predict a block.

        Parameters
        ----------
        read : callable
            See :data:`Read`; asked for the block and what lies round it.
        block : (slice, slice)
            Beginning at multiples of the network's stride in the smallest view, and ending there
            or with the picture.
        """
        wanted = [block]
        for shape in self._shapes[1:]:
            wanted.append(self._coarser(block, len(wanted), shape))
        found = [self._at(read, view, area) for view, area in enumerate(wanted)]
        for view in range(len(found) - 1, 0, -1):
            found[view - 1] = _corrected(
                found[view - 1], wanted[view - 1], found[view], wanted[view], view
            )
        return found[0]

    def _coarser(self, block: Area, view: int, shape: tuple[int, int]) -> Area:
        """Return what is needed of a view at a smaller size."""
        stride = self._network.stride
        margin = -(-_MARGIN_PX // stride) * stride

        def along(part: slice, length: int) -> slice:
            start = max((part.start >> view) - margin, 0)
            return slice(start, min(-(-part.stop >> view) + margin, length))

        return along(block[0], shape[0]), along(block[1], shape[1])

    def _at(self, read: Read, view: int, wanted: Area) -> Prediction:
        """Predict an area of a view, with its context."""
        halo, stride = self._network.halo, self._network.stride

        def along(part: slice, length: int) -> slice:
            start = max(part.start - halo, 0)
            stop = -(-part.stop // stride) * stride + halo
            return slice(start, min(stop, length))

        shape = self._shapes[view]
        source = along(wanted[0], shape[0]), along(wanted[1], shape[1])
        channels = self._read(read, view, source)
        inside = tuple(
            slice(part.start - whole.start, part.stop - whole.start)
            for part, whole in zip(wanted, source, strict=True)
        )
        part = inside[0], inside[1]
        return predict_part(self._network, channels, self._config, self._progress, part)

    def _read(self, read: Read, view: int, area: Area) -> npt.NDArray[np.float32]:
        """Read an area of a view, some rows at a time where only their means are kept."""
        if not view:
            return read(area)
        height, width = self._shapes[0]
        cols = slice(area[1].start << view, min(area[1].stop << view, width))
        bands = []
        for start in range(area[0].start, area[0].stop, _BAND_ROWS >> view):
            stop = min(start + (_BAND_ROWS >> view), area[0].stop)
            band = read((slice(start << view, min(stop << view, height)), cols))
            for _ in range(view):
                band = halve(band)
            bands.append(band)
        return np.concatenate(bands, axis=1)


def _half(shape: tuple[int, int]) -> tuple[int, int]:
    return -(-shape[0] // 2), -(-shape[1] // 2)


def _corrected(
    fine: Prediction, fine_area: Area, coarse: Prediction, coarse_area: Area, view: int
) -> Prediction:
    """Let a view at half the size, of a larger area, correct a prediction.

    Corrections need their neighbours in the coarser view only, so that what is missing of the
    finer one there may be anything.
    """
    sides = [
        (small.start - 2 * large.start, max(2 * large.stop - small.stop, 0))
        for small, large in zip(fine_area, coarse_area, strict=True)
    ]
    inside = tuple(
        slice(side[0], side[0] + small.stop - small.start)
        for side, small in zip(sides, fine_area, strict=True)
    )

    def wider(array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.pad(array, [(0, 0)] * (array.ndim - 2) + sides, mode="edge")

    larger = replace(
        fine,
        probability=wider(fine.probability),
        entropy=wider(fine.entropy),
        mutual_information=wider(fine.mutual_information),
    )
    apply_second_opinion(larger, coarse.probability, correction(view))
    return replace(
        larger,
        probability=np.ascontiguousarray(larger.probability[:, inside[0], inside[1]]),
        entropy=np.ascontiguousarray(larger.entropy[inside]),
        mutual_information=np.ascontiguousarray(larger.mutual_information[inside]),
    )
