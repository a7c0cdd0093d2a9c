"""Labels that strokes imply: the inside of closed ones, and seams between cells that touch.

A closed foreground stroke is the outline of a cell, and all inside it is the cell.

Two foreground strokes are two cells. A network that takes all between them for foreground
contradicts that without contradicting a single annotated pixel, and once it does so between the
annotated cells it does so between all of them. So a map is flooded from the strokes, as in a
watershed: where the floods of two strokes meet is the weakest link between the two cells, and
training takes that line for background from then on. Where a channel shows nuclei, each nucleus
without a stroke is flooded from as well. That a wrongly closed seam is judged by its
weakest pixel is the idea of maximin affinity learning (Turaga et al., NIPS 2009); here the strokes
take the place of a full segmentation, and the line is found anew in each training.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage, special
from skimage.segmentation import watershed

from napari_impartial.core.instances.strokes import BACKGROUND, Strokes

BoolMask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.uint8]

SEAM_WEIGHT, NUCLEAR_SEAM_WEIGHT = 0.1, 0.3
"""How much a pixel of a seam counts in the scribble loss, where a painted one counts 1.

The first without, the second with a nuclear channel, which shows that there are two cells.
"""

# Noise in log-odds below this scale makes ridges of its own.
_SMOOTH_PX = 0.7
# Log-odds beyond these are all as sure; float32 has none beyond 16.6 above.
_MOST = 14.0


def fill_closed(labels: Labels) -> Labels:
    """Label the insides of closed foreground strokes like these.

    Parameters
    ----------
    labels : (Y, X) uint8
        0 not annotated, 1 background, 2 and up foreground classes.

    Returns
    -------
    (Y, X) uint8
        The labels themselves where there is nothing to fill. An inside in which something else is
        painted is left as it is.
    """
    filled = labels
    for value in np.unique(labels[labels > BACKGROUND]).tolist():
        pieces, _ = ndimage.label(labels == value, np.ones((3, 3)))
        for piece, window in enumerate(ndimage.find_objects(pieces), start=1):
            line, drawn = pieces[window] == piece, labels[window]
            if min(line.shape) < 3:
                continue
            enclosed = ndimage.binary_fill_holes(line) & ~line
            if not enclosed.any():
                continue
            holes, _ = ndimage.label(enclosed)
            painted = np.unique(holes[(drawn != 0) & (drawn != value)])
            inside = enclosed & ~np.isin(holes, painted[painted > 0])
            if inside.any():
                filled = labels.copy() if filled is labels else filled
                filled[window][inside] = value
    return filled


def find_seams(
    foreground: npt.NDArray[np.floating],
    strokes: Strokes,
    nuclei: npt.NDArray[np.int32] | None = None,
) -> BoolMask:
    """Find where foreground strokes that a map connects ought to be parted.

    Parameters
    ----------
    foreground : (Y, X) floating array
        Probability of any foreground class.
    strokes : Strokes
        Of the same plane.
    nuclei : (Y, X) int32, optional
        Labels 1 to N of nuclei (:func:`.nuclei.find_nuclei`): the cells of those in which nothing
        is painted are parted from each other and from annotated ones, too.

    Returns
    -------
    (Y, X) bool
        Two pixels wide, one on either side; only where the map is above one half, and no
        farther from the two strokes or nuclei than each is long: what is farther off may belong
        to cells that nobody annotated.
    """
    seam = np.zeros(foreground.shape, bool)
    cells, count = strokes.number, strokes.count
    if nuclei is not None:
        cells, count = _with_nuclei(strokes, nuclei)
    if count < 2:
        return seam
    log_odds = np.clip(special.logit(foreground.astype(np.float32)), -_MOST, _MOST)
    height = ndimage.gaussian_filter(log_odds, _SMOOTH_PX)
    sources = np.where(strokes.background, count + 1, cells)
    reached = watershed(-height, sources, mask=(foreground > 0.5) | (sources > 0))
    near = np.where(_within_reach(reached, cells, count), reached, 0)
    for turn in (np.asarray, np.transpose):
        # Views: the second turn goes along the rows of the same seam.
        of, part = turn(near), turn(seam)
        meet = (of[:-1] != of[1:]) & (of[:-1] > 0) & (of[1:] > 0)
        part[:-1] |= meet
        part[1:] |= meet
    return seam & (strokes.number == 0) & ~strokes.background


def _with_nuclei(
    strokes: Strokes, nuclei: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int32], int]:
    """Give strokes and the nuclei that they lie in numbers, then nuclei without a stroke."""
    cells, count = strokes.number.copy(), strokes.count
    for one, window in enumerate(ndimage.find_objects(nuclei), start=1):
        inside = nuclei[window] == one
        # Most of it is painted as background: then it is none, whatever shines there.
        if strokes.background[window][inside].mean() > 0.5:
            continue
        drawn = np.unique(strokes.number[window][inside])
        drawn = drawn[drawn > 0]
        if len(drawn) > 1:
            continue  # two cells, says who painted them
        count += not len(drawn)
        cells[window][inside] = drawn[0] if len(drawn) else count
    return cells, count


def _within_reach(
    reached: npt.NDArray[np.int32], cells: npt.NDArray[np.int32], count: int
) -> BoolMask:
    """Tell where a flood is no farther from what it comes from than that is long."""
    near = np.zeros(reached.shape, bool)
    for number, window in enumerate(ndimage.find_objects(cells, count), start=1):
        length = float(np.hypot(*(side.stop - side.start for side in window)))
        margin = int(length) + 1
        rows, columns = (slice(max(s.start - margin, 0), s.stop + margin) for s in window)
        distance = ndimage.distance_transform_edt(cells[rows, columns] != number)
        near[rows, columns] |= (reached[rows, columns] == number) & (distance <= length)
    return near
