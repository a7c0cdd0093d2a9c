"""Nuclei of a channel that shows them, each of which stands for a cell that nobody annotated."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import threshold_otsu

from napari_impartial.core.config import InstanceConfig
from napari_impartial.core.data.label_images import numbered
from napari_impartial.core.instances.cutter import Cutter
from napari_impartial.core.instances.scoring import SMALLEST_PX, middle_area

Floats = npt.NDArray[np.float32]
Instances = npt.NDArray[np.int32]

# Noise in px that is smoothed away, and the percentiles of brightness that are black and white.
_SMOOTH_PX, _RANGE = 1.0, (1.0, 99.5)
# A nucleus is brighter than what is around it and than this share of the threshold between
# nuclei and the rest, and no smaller than this share of the usual one.
_FAINTEST, _SMALLEST = 0.5, 0.1


def find_nuclei(channel: npt.NDArray[np.floating]) -> Instances:
    """Find the nuclei of a channel, of whatever size and brightness, without a network.

    Not each is to be found, nor its outline: it is enough that what is found lies in one cell.

    Parameters
    ----------
    channel : (Y, X) floating array
        Finite; nuclei are bright.

    Returns
    -------
    (Y, X) int32
        Labels 1 to N without gaps, 0 elsewhere.
    """
    none = np.zeros(channel.shape, np.int32)
    smooth = ndimage.gaussian_filter(np.asarray(channel, np.float32), _SMOOTH_PX)
    black, white = np.percentile(smooth, _RANGE)
    if not white > black:
        return none
    bright = np.clip((smooth - black) / (white - black), 0.0, 1.0).astype(np.float32)
    threshold = float(threshold_otsu(bright))
    pieces = _parted(bright, bright > threshold, SMALLEST_PX)
    area = middle_area(np.bincount(pieces.reshape(-1))[1:])
    if not area:
        return none
    # Brighter than the mean of about two diameters around it: nuclei are of unlike brightness.
    around = ndimage.gaussian_filter(bright, 2 * np.sqrt(area / np.pi))
    mask = ndimage.binary_opening((bright > around) & (bright > _FAINTEST * threshold))
    return _parted(bright, mask, round(max(_SMALLEST * area, SMALLEST_PX)))


def _parted(bright: Floats, mask: npt.NDArray[np.bool_], least_px: int) -> Instances:
    """Part what touches within a mask, at waists and dips, and drop what is smaller."""
    inside = np.where(mask, 0.5 + 0.5 * bright, 0.0)
    pieces = Cutter(inside).cut(InstanceConfig("watershed", min_size_px=0, smooth_px=0.0))
    # (A setting of the cut has an upper bound, which large bright areas go beyond.)
    return numbered(pieces, least_px)
