"""One plane of an image: its prediction, its objects and the decisions about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_impartial.core.config import InstanceConfig
from napari_impartial.core.data.image import Image
from napari_impartial.core.data.scribbles import Scribbles, merge
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.cutter import count_objects
from napari_impartial.core.instances.doubt import Doubt, settled
from napari_impartial.core.instances.measurements import Column, measure
from napari_impartial.core.prediction.dismissed import Dismissal
from napari_impartial.core.prediction.result import Prediction
from napari_impartial.core.prediction.segment import heatmap
from napari_impartial.core.prediction.suggestions import Suggestion
from napari_impartial.core.review.annotation import annotation
from napari_impartial.core.review.review import Review, compose
from napari_impartial.core.review.round_changes import UNKNOWN

Labels = npt.NDArray[np.int32]

PlaneIndex = tuple[int, ...]
"""Positions along the T and Z axes of a stack; () in 2D."""

PlaneKey = tuple[int, PlaneIndex]
"""Key of an image, and one of its planes."""


@dataclass(frozen=True)
class TrainingItem:
    """One plane in the training set."""

    key: int
    plane: PlaneIndex
    image: Image
    scribbles: Scribbles


class Plane:
    """State of one plane of an image.

    There is one way to change each of prediction, cut and review; what follows from them, the
    objects and their number, is derived. Arrays are replaced and never written to: threads
    may be reading them.

    Attributes
    ----------
    image : Image or None
        A copy, made when it was first needed.
    scribbles : Scribbles or None
        The last that were read from the layer.
    predicted_by : int
        Number of the round that prediction and objects are of, or `LOADED` and its like.
    suggestions : list of Suggestion
        Places to scribble next.
    suggested_on : Scribbles or None
        The scribbles that there were when `suggestions` were made.
    visited : set of (y, x)
        Suggested places that were gone to.
    dismissed : list of Dismissal
        Suggested places that looked fine.
    previewed : bool
        Whether the layers show what a training made of a part of the plane, and not these
        results.
    """

    def __init__(self) -> None:
        self.image: Image | None = None
        self.scribbles: Scribbles | None = None
        self.predicted_by = UNKNOWN
        self.suggestions: list[Suggestion] = []
        self.suggested_on: Scribbles | None = None
        self.visited: set[tuple[int, int]] = set()
        self.dismissed: list[Dismissal] = []
        self.previewed = False
        self._prediction: Prediction | None = None
        self._cut: Labels | None = None
        self._cut_by: InstanceConfig | None = None
        self._doubt: Doubt | None = None
        self._review = Review()
        self._objects: Labels | None = None
        self._n_objects: int | None = None
        self._taught: tuple[Review, Labels | None, Scribbles] | None = None

    @property
    def prediction(self) -> Prediction | None:
        """Prediction of the plane; None until predicted, and after going back to a round."""
        return self._prediction

    @property
    def cut(self) -> Labels | None:
        """Objects as cut, (Y, X); None where there are none, or only as a session kept them."""
        return self._cut

    @property
    def cut_by(self) -> InstanceConfig | None:
        """Settings of the cut, as far as they are known."""
        return self._cut_by

    @property
    def raw_doubt(self) -> Doubt | None:
        """Doubt about the objects as they were cut, without decisions."""
        return self._doubt

    @property
    def doubt(self) -> Doubt | None:
        """Doubt about the objects, (Y, X), 0 to 1, decisions taken into account.

        None where nobody knows: of objects that are only kept, or cut in a way without it.
        """
        if self._doubt is None or self.instances is None or not self._review:
            return self._doubt
        doubt = settled(self._doubt, self.instances, decided=self._review.kept)
        for region in self._review.empty:
            part = doubt[region.window]
            if part.shape == region.mask.shape:  # else it waits for an image of another size
                part[region.mask] = 0.0
        return doubt

    @property
    def heat(self) -> Doubt:
        """How unsure pixels and objects of a plane that is predicted are, (Y, X), 0 to 1."""
        assert self._prediction is not None
        return heatmap(self._prediction.entropy, self.doubt)

    @property
    def review(self) -> Review:
        """Decisions about the objects."""
        return self._review

    @property
    def instances(self) -> Labels | None:
        """The objects, (Y, X): those of the cut with the decisions laid over them."""
        if self._objects is None and self._cut is not None:
            try:
                self._objects = compose(self._cut, self._review)
            except ImPartialError:
                # The image is of another size for a while, and one of them waits for its return.
                self._objects = self._cut
        return self._objects

    @property
    def n_objects(self) -> int:
        """Number of objects; 0 where there are none yet."""
        objects = self.instances
        if self._n_objects is None:
            self._n_objects = 0 if objects is None else count_objects(objects)
        return self._n_objects

    def set_prediction(self, prediction: Prediction, by: int) -> None:
        """Keep a new prediction; what was made from the last one is dropped.

        Parameters
        ----------
        prediction : Prediction
        by : int
            What is noted as :attr:`predicted_by`.
        """
        self._replace_prediction(prediction, by)
        self.previewed = False

    def set_cut(
        self,
        cut: Labels | None,
        by: InstanceConfig | None = None,
        objects: Labels | None = None,
        n_objects: int | None = None,
        doubt: Doubt | None = None,
    ) -> None:
        """Keep objects that were cut anew.

        Parameters
        ----------
        cut : (Y, X) int32, or None
            Of :attr:`prediction`, or of a round that was gone back to; None where it is not known
            what `objects` were cut from.
        by : InstanceConfig, optional
            Settings of the cut.
        objects : (Y, X) int32, optional
            The cut with :attr:`review` laid over it, where a thread has done that.
        n_objects : int, optional
            Number of `objects`, likewise.
        doubt : (Y, X) float32, optional
            About them, without :attr:`review`
            (:meth:`~napari_impartial.core.instances.cutter.Cutter.doubt`).
        """
        self._cut, self._cut_by, self._doubt = cut, by, doubt
        self._objects, self._n_objects = objects, n_objects

    def set_review(self, review: Review, objects: Labels | None = None) -> None:
        """Keep other decisions.

        Parameters
        ----------
        review : Review
        objects : (Y, X) int32, optional
            What the decisions make of the objects, where that is known already. Otherwise it
            is worked out from the cut, and without a cut the objects stay as they are.
        """
        self._review = review
        if objects is not None or self._cut is not None:
            self._n_objects = self._n_objects if objects is self._objects else None
            self._objects = objects

    def go_back_to(self, objects: Labels | None, by: int) -> None:
        """Show the objects of another round, whose prediction is not kept."""
        self._replace_prediction(None, by)
        self.set_cut(objects)

    def set_suggestions(
        self,
        suggestions: Sequence[Suggestion],
        dismissed: Sequence[Dismissal],
        scribbles: Scribbles | None,
    ) -> None:
        """Keep new suggestions, the dismissals that hold beside them, and what they heeded."""
        self.suggestions, self.dismissed = list(suggestions), list(dismissed)
        self.suggested_on = scribbles

    @property
    def annotation(self) -> Scribbles | None:
        """Scribbles and what the decisions teach, in one; strokes win where they disagree."""
        if not self._review.classes():
            return self.scribbles
        shown, taught = self.instances, self._taught
        stale = taught is None or taught[0] is not self._review
        if taught is None or stale or (shown is not None and shown is not taught[1]):
            labels = shown
            if labels is None:
                known = self.image if self.scribbles is None else self.scribbles
                if known is None:
                    return None
                labels = np.zeros(known.shape, dtype=np.int32)
            taught = self._taught = (self._review, shown, annotation(self._review, labels))
        return taught[2] if self.scribbles is None else merge(taught[2], self.scribbles)

    @property
    def painted(self) -> npt.NDArray[np.uint8] | None:
        """Labels of :attr:`annotation`, (Y, X)."""
        found = self.annotation
        return None if found is None else found.labels

    def measured(self, image: Image, class_names: Sequence[str]) -> dict[str, Column]:
        """Measure the objects, with all that is known of them (:func:`measure`)."""
        assert self.instances is not None
        known = self._prediction
        return measure(
            self.instances,
            image,
            None if known is None else known.probability,
            None if known is None else known.entropy,
            class_names,
            self.doubt,
            self.painted,
        )

    @property
    def classes(self) -> set[int]:
        """Labels that are annotated, by strokes or decisions; quick to tell."""
        painted = {} if self.scribbles is None else self.scribbles.counts()
        return {label for label, n in painted.items() if n} | self._review.classes()

    @property
    def n_annotated_cells(self) -> int:
        """Cells with strokes, and objects accepted or corrected."""
        painted = {} if self.scribbles is None else self.scribbles.cells()
        return len(self._review.kept) + sum(painted.values())

    @property
    def is_decided(self) -> bool:
        """Return whether there is a decision about each object."""
        decided = self._review and len(self._review.kept) >= self.n_objects
        return self.instances is not None and bool(decided)

    def _replace_prediction(self, prediction: Prediction | None, by: int) -> None:
        self._prediction, self.predicted_by = prediction, by
        self.suggestions, self.visited = [], set()
        self.set_cut(None)
