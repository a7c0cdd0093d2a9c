"""Objects of a plane and places to scribble next, worked out on a thread."""

from __future__ import annotations

from dataclasses import dataclass, replace

from napari_impartial.core.config import InstanceConfig
from napari_impartial.core.prediction.dismissed import Dismissal
from napari_impartial.core.prediction.result import Prediction
from napari_impartial.core.prediction.segment import (
    Objects,
    find_objects,
    find_places,
    with_smallest_size,
)
from napari_impartial.core.prediction.suggestions import Suggestion
from napari_impartial.session.plane import Plane, PlaneKey


@dataclass(frozen=True)
class Cut:
    """Cut of a prediction: what it goes by, and what comes of it.

    Attributes
    ----------
    place : PlaneKey
    name : str
        Of the plane.
    known : Plane
        A copy of what was known of it when this was asked for.
    prediction : Prediction
    config : InstanceConfig
    suggest, adapt : bool
        Whether places are wanted, too; and a smallest size of objects that fits them.
    objects : Objects or None
        What comes of it.
    suggestions, standing
        Places, and the dismissals that hold beside them.
    """

    place: PlaneKey
    name: str
    known: Plane
    prediction: Prediction
    config: InstanceConfig
    suggest: bool = True
    adapt: bool = False
    objects: Objects | None = None
    suggestions: tuple[Suggestion, ...] = ()
    standing: tuple[Dismissal, ...] = ()

    def work_out(self) -> Cut:
        """Return it with what comes of it."""
        config, known, prediction = self.config, self.known, self.prediction
        if self.adapt:
            config = with_smallest_size(prediction, config)
        drawn = None if known.scribbles is None else known.scribbles.labels
        objects = find_objects(prediction, config, known.review, drawn)
        done = replace(self, config=config, objects=objects)
        if not self.suggest:
            return done
        found, hold = find_places(
            prediction, objects, known.painted, dismissed=known.dismissed, image=self.name
        )
        return replace(done, suggestions=tuple(found), standing=tuple(hold))

    def give_to(self, plane: Plane) -> None:
        """Keep what came of it; decisions that were made meanwhile are laid over it."""
        objects, same = self.objects, plane.review is self.known.review
        assert objects is not None
        labels, n = (objects.labels, objects.n) if same else (None, None)
        plane.set_cut(objects.cut, self.config, labels, n, objects.doubt)
        if self.suggest:
            plane.set_suggestions(self.suggestions, self.standing, self.known.scribbles)
