"""Predict, cut into objects, measure, suggest: what follows from a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, Signal

from napari_impartial.core.config import InstanceConfig
from napari_impartial.core.data.boxes import Box
from napari_impartial.core.data.image import Image
from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.prediction.result import Prediction
from napari_impartial.core.training.messages import Previewed
from napari_impartial.gui import notifications
from napari_impartial.gui.background import Job, Latest, OneByOne
from napari_impartial.gui.layers import Role
from napari_impartial.gui.layers.workspace import Workspace
from napari_impartial.gui.refine.suggestions import SuggestionControl
from napari_impartial.gui.review.review import ReviewControl
from napari_impartial.gui.timers import single_shot
from napari_impartial.session.misfits import fits
from napari_impartial.session.plane import Plane, PlaneIndex, PlaneKey
from napari_impartial.session.session import Activity, Session
from napari_impartial.worker import messages
from napari_impartial.worker.client import TrainingProcess

from .cut import Cut

SLIDER_PAUSE_MS = 40
# Nobody reads the table while a slider moves.
_TABLE_PAUSE_MS = 300


class ResultControl(QObject):
    """Keeps the results of each plane up to date.

    Signals
    -------
    predicting
        Share of the running prediction that is done, 0 to 1.
    ended
        The prediction is over, one way or another.
    counted
        Number of objects in the plane in view; None where nothing is predicted.
    measured
        Table of these objects (:meth:`Plane.measured`).
    adapted
        The :class:`InstanceConfig` by which objects are cut, with a smallest size that fits them.
    """

    predicting = Signal(float)
    ended = Signal()
    counted = Signal(object)
    measured = Signal(object)
    adapted = Signal(object)

    def __init__(
        self, workspace: Workspace, process: TrainingProcess, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._session = workspace.session
        self._process = process
        self._job: Job | None = None
        self._target: PlaneKey | None = None
        # The smallest size and the rest as we set them last; others were chosen by the user.
        self._min_size_px = self._session.instance_config.min_size_px
        self._followed = self._session.instance_config
        # The strokes that the objects of each plane agree with.
        self._obeyed: dict[PlaneKey, Scribbles | None] = {}
        # What the table is of.
        self._table_of: PlaneKey | None = None
        self._table: dict[str, npt.NDArray[Any]] = {}
        self.review = ReviewControl(workspace, self)
        self.review.changed.connect(self._show_heat)
        self.review.corrected.connect(self._on_corrected)
        self.review.removed.connect(self._on_removed)
        self.suggestions = SuggestionControl(workspace, self.review.log, self)
        self._cutting = Latest(self)
        self._cutting.done.connect(self._on_cut)
        self._measuring = Latest(self, _TABLE_PAUSE_MS)
        self._measuring.done.connect(self._on_measured)
        self._drawing = OneByOne(self)
        self._pause = single_shot(self, SLIDER_PAUSE_MS, self._cut)
        workspace.plane_changed.connect(self._show_plane)
        workspace.painted.connect(self._on_painted)

    def predict(self) -> None:
        """Predict the plane in view with the current model."""
        if self._session.busy:
            return
        missing = self._session.missing_for_prediction()
        if missing:
            notifications.show_warning(missing)
            return
        key, plane = self._session.current, self._session.plane_index
        assert key is not None
        assert self._session.card is not None
        try:
            image = self._workspace.image_for(
                key, plane, self._session.card.channel_names, "the model was trained on"
            )
        except ImPartialError as error:
            notifications.show_warning(str(error))
            return
        # First of all: making the job runs the event loop, and a second click waits there.
        self._session.activity = Activity.PREDICTING
        self._target = key, plane
        make = to_predict(self._session, image)
        self._job = Job(self._process, make, "ImPartial: predicting", self)
        self._job.when_cancelled(self.cancel)
        self._job.progressed.connect(self.predicting.emit)
        self._job.ended.connect(partial(self._on_end, key, plane))

    def cancel(self) -> None:
        """Give the running prediction up."""
        if self._job is not None:
            self._job.send(messages.Cancel)

    def set_config(self, config: InstanceConfig) -> None:
        """Cut the plane in view anew, once the slider rests for a moment."""
        self._session.instance_config = config
        self._pause.start()

    def preview(self, place: PlaneKey, preview: Previewed) -> None:
        """Show what a running training makes of a field of a plane."""
        values = {
            Role.PROBABILITY: preview.prediction.foreground,
            Role.UNCERTAINTY: preview.prediction.entropy,
            Role.INSTANCES: preview.instances,
        }
        self._drawing.clear()
        for role, array in values.items():
            if array is not None:
                self._drawing.add(partial(self._draw_box, place, role, array, preview.box))

    def end_previews(self) -> None:
        """Show again what is known where a training, now over, drew what it made of a field.

        But for the plane that is being predicted: its results are about to come.
        """
        self._drawing.clear()
        for key, record in self._session.images.items():
            for index, plane in record.planes.items():
                if plane.previewed and (self._job is None or (key, index) != self._target):
                    self._show_known(key, index)

    def show_all(self) -> None:
        """Show suggestions, counts and table anew."""
        self.suggestions.refresh()
        self._show_plane()

    def _on_end(self, key: int, plane: PlaneIndex, reply: messages.Final) -> None:
        self._job = None
        self._session.activity = Activity.IDLE
        self.ended.emit()
        if isinstance(reply, messages.Predicted):
            self._keep(key, plane, reply.prediction)
        elif isinstance(reply, messages.Failed):
            notifications.show_failure(reply, "predicting")
        self.end_previews()

    def _keep(self, key: int, plane: PlaneIndex, prediction: Prediction) -> None:
        if key not in self._session.images:
            notifications.show_warning("The image was removed while it was being predicted.")
            return
        source = self._workspace.sources[key]
        if not fits(source, plane, prediction.foreground):
            notifications.show_warning(f"{source.name} was changed while it was being predicted.")
            return
        self._workspace.forget_misfits(key)
        self._follow_model()
        self._session.set_prediction(key, plane, prediction)
        # A preview that was still to be drawn is older.
        self._drawing.clear()
        results = self._workspace.results
        results.write(source, plane, Role.PROBABILITY, prediction.foreground)
        results.write(source, plane, Role.UNCERTAINTY, prediction.entropy)
        self._request_cut(key, plane, suggesting=True)

    def _follow_model(self) -> None:
        """Cut as the model's card says, unless the user chose something else."""
        card, now = self._session.card, self._session.instance_config
        if card is None:
            return
        size = now.min_size_px
        if replace(self._followed, min_size_px=size) != now:
            return
        usual = card.instances.min_size_px == InstanceConfig().min_size_px
        new = replace(card.instances, min_size_px=size) if usual else card.instances
        self._followed = new
        if new != now:
            self._session.instance_config = new
            self.adapted.emit(new)

    def _on_painted(self) -> None:
        """Let objects follow strokes on the plane in view, without another prediction."""
        plane, key = self._session.plane, self._session.current
        if plane is None or key is None or plane.instances is None or plane.previewed:
            return
        if plane.scribbles is not self._obeyed.get((key, self._session.plane_index)):
            self._pause.start()

    def _cut(self) -> None:
        if self._session.plane is not None and self._session.current is not None:
            self._request_cut(self._session.current, self._session.plane_index, suggesting=False)
        record = self._session.record
        if record is not None and record.on_disk is not None:
            self._session.changed.emit()  # it is said how the result on disk differs

    def _request_cut(self, key: int, plane: PlaneIndex, suggesting: bool) -> None:
        known, config = self._session.images[key].plane(plane), self._session.instance_config
        if known.prediction is None:
            return
        # A slider that is moved before the first cut is done must not drop the suggestions.
        suggesting = suggesting or (not known.suggestions and known.instances is None)
        cut = Cut(
            (key, plane),
            self._workspace.sources[key].plane_name(plane),
            copy(known),
            known.prediction,
            config,
            suggesting,
            adapt=suggesting and config.min_size_px == self._min_size_px,
        )
        # Each plane by itself: who goes on to the next does not lose what the last one became.
        self._cutting.request(cut.work_out, cut.place)

    def _on_cut(self, cut: Cut) -> None:
        key, index = cut.place
        record = self._session.images.get(key)
        plane = None if record is None else record.planes.get(index)
        if plane is None or plane.prediction is not cut.prediction:
            return
        self.review.collect(key, index)
        if plane.review is not cut.known.review or plane.dismissed != cut.known.dismissed:
            # Something was decided while this was being cut.
            self._request_cut(key, index, cut.suggest)
            return
        cut.give_to(plane)
        assert plane.instances is not None
        self._obeyed[cut.place] = cut.known.scribbles
        if cut.adapt and cut.config.min_size_px != self._min_size_px:
            self._adapt(cut.config.min_size_px)
        self.review.show(key, index, plane.instances)
        source = self._workspace.sources[key]
        self._workspace.results.write(source, index, Role.UNCERTAINTY, plane.heat)
        if cut.suggest:
            self.suggestions.refresh()
        self._measure(key, index)
        self._session.result_changed.emit(key)

    def _adapt(self, min_size_px: int) -> None:
        """Take over the smallest size that fits the cells, unless the user chose one meanwhile."""
        now = self._session.instance_config
        if now.min_size_px == self._min_size_px:
            self._min_size_px = min_size_px
            self._session.instance_config = replace(now, min_size_px=min_size_px)
            self.adapted.emit(self._session.instance_config)

    def measure_again(self) -> None:
        """Measure the objects in view, whose classes are called something else now."""
        if self._session.current is not None:
            self._on_corrected(self._session.current, self._session.plane_index)

    def _on_corrected(self, key: int, plane: PlaneIndex) -> None:
        """Measure objects that hands have changed."""
        self._measure(key, plane)
        self._session.result_changed.emit(key)

    def _measure(self, key: int, index: PlaneIndex) -> None:
        """Count and measure the objects of a plane, if it is in view."""
        known = self._session.images[key].plane(index)
        there = (key, index) == (self._session.current, self._session.plane_index)
        if not there or known.instances is None or known.prediction is None:
            return
        self.counted.emit(known.n_objects)
        try:
            image = self._workspace.image(key, index)
        except ImPartialError as error:
            notifications.show_warning(str(error))
            return
        names = self._session.class_names.kinds(len(known.prediction.probability))
        self._measuring.request(partial(_measured, (key, index), copy(known), image, names))

    def _show_heat(self) -> None:
        """Show the heatmap of the plane in view as it is after a decision."""
        key, index, plane = self._session.current, self._session.plane_index, self._session.plane
        if key is None or plane is None or plane.prediction is None or plane.previewed:
            return
        source = self._workspace.sources[key]
        if plane.doubt is not None and fits(source, index, plane.prediction.foreground):
            self._workspace.results.write(source, index, Role.UNCERTAINTY, plane.heat)

    def _on_removed(self, labels: list[int]) -> None:
        """Take rejected objects out of the table at once."""
        known = self._session.plane
        if known is None or not self._table:
            return
        left = ~np.isin(self._table["label"], labels)
        self._table = {name: column[left] for name, column in self._table.items()}
        self.counted.emit(known.n_objects)
        self.measured.emit(self._table)

    def _on_measured(self, result: tuple[PlaneKey, dict[str, npt.NDArray[Any]]]) -> None:
        place, table = result
        if place == (self._session.current, self._session.plane_index):
            self._table, self._table_of = table, place
            self.measured.emit(table)

    def _draw_box(self, place: PlaneKey, role: Role, values: npt.NDArray[Any], box: Box) -> None:
        key, plane = place
        if key not in self._session.images:
            return
        source = self._workspace.sources[key]
        height, width = source.plane_shape
        if not source.has_plane(plane) or box[2] > height or box[3] > width:
            return  # the image has other axes, or another size, since it was asked for
        self._session.images[key].plane(plane).previewed = True
        if role is Role.INSTANCES:
            self.review.show_preview(key, plane, values, box)
            return
        self._workspace.results.write_box(source, plane, role, values, box)

    def _show_plane(self) -> None:
        """Show counts and table of the plane that is now in view."""
        plane, place = self._session.plane, (self._session.current, self._session.plane_index)
        record = self._session.record
        if record is not None and record.on_disk is not None:
            self._table, self._table_of = {}, None
            return  # a slide's objects are on disk, and shown from there
        unknown = plane is None or plane.prediction is None
        if unknown or place != self._table_of:
            # A row of another plane must not be taken for the object of its number here.
            self._table, self._table_of = {}, None
            self.counted.emit(None)
            self.measured.emit({})
        if not unknown:
            self._cut()

    def _show_known(self, key: int, index: PlaneIndex) -> None:
        """Draw the results of a plane anew, over what a preview left."""
        self.review.collect(key, index)
        plane, results = self._session.images[key].plane(index), self._workspace.results
        plane.previewed = False
        source, prediction = self._workspace.sources[key], plane.prediction
        if prediction is None:
            results.blank(source, index, Role.PROBABILITY)
            results.blank(source, index, Role.UNCERTAINTY)
        else:
            results.write(source, index, Role.PROBABILITY, prediction.foreground)
            results.write(source, index, Role.UNCERTAINTY, plane.heat)
        if plane.instances is None:
            self.review.show_none(key, index)
        else:
            self.review.show(key, index, plane.instances)


def to_predict(session: Session, image: Image) -> Callable[[int], messages.Predict]:
    """Return what makes a job of an image's prediction with the present model."""
    assert session.card is not None
    config = replace(session.card.prediction, device=session.device)
    return partial(messages.Predict, image=image, model_path=str(session.model_path), config=config)


def _measured(
    place: PlaneKey, known: Plane, image: Image, class_names: Sequence[str]
) -> tuple[PlaneKey, dict[str, npt.NDArray[Any]]]:
    """Measure the objects of a plane; on a thread."""
    return place, known.measured(image, class_names)
