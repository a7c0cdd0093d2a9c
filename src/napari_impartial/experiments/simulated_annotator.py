"""An annotator who looks at places, simulated from the truth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_impartial.core.config import STROKE_STYLES
from napari_impartial.core.data.mask_scribbles import LINES, annotate_cells, simulate
from napari_impartial.core.data.scribbles import (
    BACKGROUND,
    FOREGROUND,
    NOT_ANNOTATED,
    Scribbles,
)
from napari_impartial.core.instances.metrics import matched_pairs

Place = tuple[int, int, int]
"""Index of an image, row and column."""

# Background that is shown as an object is painted as such from this area on.
_LEAST_WRONG_PX = 20


@dataclass
class Annotator:
    """Annotates cells at places, and background where a place holds no cell.

    One who sees what the program found mends it by a background stroke with each cell: along the
    border to a neighbour that touches it and is shown as one with it, or else through the largest
    piece of background in the box that is shown as an object. In the styles of lines it takes
    the place of the line beside the cell; outlines keep their ring. Two cells of one round may
    come with the same stroke.

    Parameters
    ----------
    truths : sequence of (Y, X) integer arrays
        What the annotator sees; an id a cell.
    box_px : int
        Side of the box round a place in which a cell is looked for.
    style : str
        What is painted, one of :data:`~napari_impartial.core.config.STROKE_STYLES`.
    seed : int
        Decides where strokes lie that the cells leave open.
    """

    truths: Sequence[NDArray[np.integer]]
    box_px: int
    style: str = STROKE_STYLES[0]
    seed: int = 0
    cells: list[set[int]] = field(init=False)
    strokes: list[list[tuple[int, int]]] = field(init=False)
    mended: list[dict[int, NDArray[np.intp]]] = field(init=False)

    def __post_init__(self) -> None:
        self.cells = [set() for _ in self.truths]
        self.strokes = [[] for _ in self.truths]
        # Background pixels, (N, 2), that mend what was shown, by the cell that they come with.
        self.mended = [{} for _ in self.truths]
        # What was painted at first, and in which cells.
        self._first = [np.zeros(truth.shape, np.uint8) for truth in self.truths]
        self._first_cells: list[set[int]] = [set() for _ in self.truths]
        self._all = [[int(i) for i in np.unique(truth) if i] for truth in self.truths]
        self._centres = [
            dict(zip(ids, ndimage.center_of_mass(truth > 0, truth, ids), strict=True))
            for truth, ids in zip(self.truths, self._all, strict=True)
        ]

    @property
    def n_cells(self) -> int:
        """Cells annotated so far."""
        return sum(len(cells) for cells in self.cells)

    @property
    def n_strokes(self) -> int:
        """Background strokes so far."""
        return sum(len(strokes) for strokes in self.strokes)

    @property
    def n_mended(self) -> int:
        """Cells whose background stroke mended what was shown."""
        return sum(len(mended) for mended in self.mended)

    @property
    def n_all(self) -> int:
        """Cells in all images."""
        return sum(len(ids) for ids in self._all)

    def copy(self) -> Annotator:
        """Return an annotator who has annotated the same and goes on alone."""
        other = Annotator(self.truths, self.box_px, self.style, self.seed)
        other._first, other._first_cells = list(self._first), list(self._first_cells)
        other.cells = [set(cells) for cells in self.cells]
        other.strokes = [list(strokes) for strokes in self.strokes]
        other.mended = [dict(mended) for mended in self.mended]
        return other

    def begin(self, percent: float) -> None:
        """Annotate some cells of each image before anything else, in a few spots.

        What is painted is what :func:`first_strokes` paints.
        """
        for index, truth in enumerate(self.truths):
            if self._all[index]:
                painted, ids = first_strokes(truth, percent, (self.seed, index), self.style)
                self._first[index] = painted.labels
                self._first_cells[index] = {int(i) for i in ids}
                self.cells[index] |= self._first_cells[index]

    def cell_at(self, place: Place) -> int | None:
        """Return the cell to annotate at a place: the one there, else the nearest in the box.

        Cells that are annotated already do not count.
        """
        index, y, x = place
        truth, half = self.truths[index], self.box_px // 2
        here = int(truth[y, x])
        if here and here not in self.cells[index]:
            return here
        window = truth[max(0, y - half) : y + half + 1, max(0, x - half) : x + half + 1]
        near = [int(i) for i in np.unique(window) if i and int(i) not in self.cells[index]]
        centres = self._centres[index]
        return min(
            near, key=lambda i: (centres[i][0] - y) ** 2 + (centres[i][1] - x) ** 2, default=None
        )

    def annotate(
        self,
        places: Iterable[Place],
        count: int,
        shown: Sequence[NDArray[np.integer]] | None = None,
    ) -> int:
        """Go from place to place until `count` more cells are annotated.

        At a place without a cell to annotate, a background stroke is painted if it lies in
        the background; at most `count` such strokes in all, so that places in empty parts
        of the image cannot make up for cells.

        Parameters
        ----------
        places : iterable of Place
        count : int
        shown : sequence of (Y, X) integer arrays, optional
            What the program found in each image, an id an object.

        Returns
        -------
        int
            How many cells were annotated; fewer if the places run out.
        """
        done, strokes = 0, 0
        for place in places:
            if done >= count:
                break
            index, y, x = place
            cell = self.cell_at(place)
            if cell is not None:
                self.cells[index].add(cell)
                done += 1
                if shown is not None:
                    self._mend(place, cell, shown[index])
            elif self.truths[index][y, x] == 0 and strokes < count:
                self.strokes[index].append((y, x))
                strokes += 1
        return done

    def _mend(self, place: Place, cell: int, shown: NDArray[np.integer]) -> None:
        """Note the background stroke that mends what is shown at a place, if anything is wrong."""
        index, y, x = place
        truth, half = self.truths[index], self.box_px // 2
        other = shown_as_one(truth, cell, shown)
        if other is not None:
            wrong = border(truth, cell, other)
        else:
            box = slice(max(0, y - half), y + half + 1), slice(max(0, x - half), x + half + 1)
            wrong = np.zeros(truth.shape, bool)
            wrong[box] = (shown[box] > 0) & (ndimage.distance_transform_edt(truth == 0)[box] > 2)
            pieces, _ = ndimage.label(wrong)
            areas = np.bincount(pieces.reshape(-1))[1:]
            if areas.max(initial=0) < _LEAST_WRONG_PX:
                return
            largest = (pieces == 1 + areas.argmax()).astype(np.int32)
            wrong = annotate_cells(largest, [1], self.style, self.seed).labels == FOREGROUND
        self.mended[index][cell] = np.argwhere(wrong)

    def random_cells(self, rng: np.random.Generator) -> Iterator[Place]:
        """Yield the centres of the cells that are left, in random order."""
        left = [
            (index, i)
            for index, ids in enumerate(self._all)
            for i in ids
            if i not in self.cells[index]
        ]
        for at in rng.permutation(len(left)):
            yield self._inside(*left[at])

    def missed_cells(
        self, rng: np.random.Generator, shown: Sequence[NDArray[np.integer]]
    ) -> Iterator[Place]:
        """Yield places in the cells that were not found (IoU under 0.5), in random order.

        Parameters
        ----------
        rng : Generator
        shown : sequence of (Y, X) integer arrays
            What the program found in each image, an id an object.
        """
        missed = []
        for index, (ids, truth) in enumerate(zip(self._all, self.truths, strict=True)):
            found = matched_pairs(truth, shown[index])[0]
            missed += [(index, i) for i in ids if i not in found and i not in self.cells[index]]
        for at in rng.permutation(len(missed)):
            yield self._inside(*missed[at])

    def _inside(self, index: int, cell: int) -> Place:
        """Return a place in a cell."""
        inside = np.argwhere(self.truths[index] == cell)
        y, x = inside[len(inside) // 2]
        return index, int(y), int(x)

    def random_places(self, rng: np.random.Generator, count: int) -> Iterator[Place]:
        """Yield random pixels of all images, each pixel equally likely."""
        sizes = np.array([truth.size for truth in self.truths], dtype=np.float64)
        for index in rng.choice(len(sizes), size=count, p=sizes / sizes.sum()):
            height, width = self.truths[index].shape
            yield int(index), int(rng.integers(height)), int(rng.integers(width))

    def scribbles(self) -> list[Scribbles]:
        """Return what is annotated so far, one for each image."""
        return [self._paint(index) for index in range(len(self.truths))]

    def _paint(self, index: int) -> Scribbles:
        """Paint the annotated cells, and the background strokes, where nothing is yet."""
        truth, labels = self.truths[index], self._first[index].copy()
        later = self.cells[index] - self._first_cells[index]
        mended = self.mended[index]
        own = later - mended.keys() if self.style in LINES else later
        added = annotate_cells(truth, own, self.style, self.seed).labels
        if self.style in LINES:
            lines = annotate_cells(truth, mended, self.style, self.seed).labels
            added[lines == FOREGROUND] = FOREGROUND
        for rows, columns in (pixels.T for pixels in mended.values()):
            free = added[rows, columns] == NOT_ANNOTATED
            added[rows[free], columns[free]] = BACKGROUND
        free = labels == NOT_ANNOTATED
        labels[free] = added[free]
        half = self.box_px // 4
        for y, x in self.strokes[index]:
            row = slice(y, y + 1), slice(max(0, x - half), x + half + 1)
            free = (truth[row] == 0) & (labels[row] == NOT_ANNOTATED)
            labels[row][free] = BACKGROUND
        return Scribbles(labels)


def shown_as_one(truth: NDArray[np.integer], cell: int, shown: NDArray[np.integer]) -> int | None:
    """Return the neighbour that touches a cell and is mostly in the same object as most of it.

    The one with the longest border where there are several, None where there is none.
    """
    own = truth == cell
    objects, counts = np.unique(shown[own & (shown > 0)], return_counts=True)
    if 2 * counts.max(initial=0) <= np.count_nonzero(own):
        return None
    same = shown == objects[counts.argmax()]
    lengths = {}
    for other in np.unique(truth[ndimage.binary_dilation(own, np.ones((5, 5)))]).tolist():
        whole = truth == other
        if other in (0, cell) or 2 * np.count_nonzero(whole & same) <= np.count_nonzero(whole):
            continue
        lengths[other] = np.count_nonzero(border(truth, cell, other))
    longest = max(lengths, key=lambda other: lengths[other], default=0)
    return longest if lengths.get(longest) else None


def border(truth: NDArray[np.integer], one: int, other: int) -> NDArray[np.bool_]:
    """Return the pixels in and between two cells that are next to both; none if they are apart."""
    near = [ndimage.binary_dilation(truth == i, np.ones((3, 3))) for i in (one, other)]
    return near[0] & near[1] & np.isin(truth, (0, one, other))


def first_strokes(
    truth: NDArray[np.integer], percent: float, seed: Sequence[int], style: str
) -> tuple[Scribbles, NDArray[np.int64]]:
    """Paint the strokes that an experiment begins with, in so many percent of the cells.

    `benchmark` and `refine` paint the same ones; more percent hold those of fewer.

    Parameters
    ----------
    truth : (Y, X) integer array
        With an id for each cell, one at least.
    percent : float
        Over 0, to 100.
    seed : sequence of int
        The experiment's, and the image's number in its data set.
    style : str

    Returns
    -------
    scribbles : Scribbles
    ids : (n,) int64
        The cells.
    """
    return simulate(truth, percent / 100, np.random.default_rng([*seed]), style)
