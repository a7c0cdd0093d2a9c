"""The dock widget: composition and wiring of the five steps, and nothing else."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import napari
from napari.layers import Labels
from qtpy.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from napari_impartial.core.training.messages import TrainingProgress
from napari_impartial.core.words import count
from napari_impartial.io.region_files import KINDS
from napari_impartial.session.rounds import Round
from napari_impartial.session.session import Activity
from napari_impartial.session.status_text import no_suggestions, stale_results, status
from napari_impartial.session.suggested_places import Place
from napari_impartial.worker import messages
from napari_impartial.worker.client import TrainingProcess

from .background import Job
from .bar import Bar
from .garbage import RestingCollector
from .image.colour_picture import show_as_colour
from .image.fields import FieldControl
from .image.image_list import ImageRow, ImagesPanel
from .image.image_panel import ImagePanel
from .image.slide_row import SlideRow
from .key_actions import KeyActions
from .keybindings import BoundKeys, key_of
from .layers import Source
from .layers.camera import on_click
from .layers.user_activity import Hand
from .layers.workspace import Workspace
from .list_keys import ListKeys
from .refine.rounds_panel import RoundsPanel
from .refine.suggestions_panel import RefinePanel
from .result.batch import BatchControl, BatchProgress
from .result.batch_panel import BatchChoice, BatchPanel
from .result.export import ExportControl
from .result.prediction import ResultControl
from .result.result_panel import ResultPanel
from .result.slide import SlideControl
from .result.verdict import VerdictControl
from .review.slide_review import SlideReview
from .review.spot_check import SpotCheckControl
from .review.spot_check_panel import SpotCheckPanel
from .scribble import mask_import
from .scribble.classes import ClassControl
from .scribble.scribble_panel import ScribblePanel
from .session.autosave import SessionStore
from .session.dock_close import DockClose
from .session.looks import Looks
from .session.model_files import ModelControl
from .session.model_row import ModelRow
from .session.session_panel import RestoreLine, SessionPanel
from .train.live import LiveControl
from .train.train_panel import TrainingChoice, TrainPanel
from .train.training import TrainingControl
from .widgets.collapsible_step import Step, VerticalScrollArea, stacked
from .widgets.keyboard_focus import FOCUS_STYLE
from .widgets.parts import fill
from .widgets.text_labels import duration
from .wiring import ObjectsInPicture, Refinement

_ON_OBJECTS = (
    "Accept or reject objects of a slide in the table of step 4. To correct one with a brush, "
    f"press {key_of('brush_cell')}: that takes a field here."
)
_RESTS = "Live rests: nothing new was painted for a while. It goes on with your next stroke."


class ImPartialWidget(QWidget):
    """Scribble, train, look, refine.

    Parameters
    ----------
    napari_viewer
        The viewer whose layers are worked on.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.setObjectName("impartial_widget")
        self.setStyleSheet(FOCUS_STYLE)
        self._viewer = napari_viewer
        self.workspace = Workspace(napari_viewer, self)
        self.session = self.workspace.session
        self.process = TrainingProcess()
        self._warming: Job | None = None
        self.training = TrainingControl(self.workspace, self.process, self)
        self.results = ResultControl(self.workspace, self.process, self)
        self.verdict = VerdictControl(self.workspace, self)
        self.batch = BatchControl(self.workspace, self.process, self.results.review, self)
        self.slides = SlideControl(self.workspace, self)
        self.slide_review = SlideReview(self.workspace, self.results.review.log, self)
        self.exports = ExportControl(self.workspace, self.process, self.results.review, self)
        self.store = SessionStore(self.workspace, self.results, self.process.new_model_path, self)
        self.models = ModelControl(
            self.workspace, self.process, self.results, self.training, self.store
        )
        self._make_panels()
        self.live = LiveControl(self.workspace, self.training, self.train_panel.value, self)
        self.fields = FieldControl(self.workspace, self.slide_row, self)
        self.keys = KeyActions(
            self.workspace,
            self.image_panel,
            self.result_panel.review,
            self.refine_panel,
            self.train_panel,
            self.results.review,
            self.spot_check_panel,
        )
        self._bound_keys = BoundKeys(self._viewer, self.keys)
        self.refinement = Refinement(
            self.workspace,
            self.results,
            self.slide_review,
            self.result_panel,
            self.refine_panel,
            self.rounds_panel,
        )
        self.spot_check = SpotCheckControl(
            self.workspace, self.results.review, self.slide_review, self.spot_check_panel, self
        )
        self._lay_out()
        self._wire_panels()
        self._wire_state()
        self._wire_store()
        self._wire_viewer()
        self.image_panel.refresh()
        self._update()
        ListKeys(self, self._bound_keys)
        self.store.look_for_unfinished()

    def _make_panels(self) -> None:
        self.image_panel = ImagePanel(self._viewer)
        self.slide_row = SlideRow()
        self.images_panel = ImagesPanel()
        self.scribble_panel = ScribblePanel()
        self.train_panel = TrainPanel()
        self.result_panel = ResultPanel()
        self.batch_panel = BatchPanel()
        self.refine_panel = RefinePanel()
        self.rounds_panel = RoundsPanel()
        self.spot_check_panel = SpotCheckPanel()
        self.model_row = ModelRow()
        self.session_panel = SessionPanel()
        self.restore_line = RestoreLine()
        train, places = self.train_panel, self.refine_panel.at_hand
        self.bar = Bar(
            [
                [self.scribble_panel.at_hand],
                [train.at_hand, self.result_panel.at_hand],
                [places],
                [train.progress],
            ]
        )
        self.status = self.bar.status
        self.in_picture = ObjectsInPicture(
            self.workspace, self.results, self.slide_review, self.result_panel, self
        )
        self.steps = {
            "image": Step("1  Image", stacked(self.image_panel, self.slide_row, self.images_panel)),
            "scribble": Step("2  Scribble", self.scribble_panel),
            "train": Step("3  Train", self.train_panel, self.train_panel.needs),
            "result": Step("4  Result", stacked(self.batch_panel, self.result_panel)),
            "refine": Step("5  Refine", stacked(self.refine_panel, self.rounds_panel)),
            "check": Step("Is it good enough?", self.spot_check_panel),
            "save": Step("Save and load", stacked(self.session_panel, self.model_row)),
        }
        for name, step in self.steps.items():
            step.setObjectName(f"{name}_step")
            # The image's axes and channels are to be looked at before anything else.
            step.set_open(name == "image")

    def _lay_out(self) -> None:
        inside = QWidget()
        # What is left over goes to the table of objects, where it is shown.
        steps = [(step, 20 if name == "result" else 0) for name, step in self.steps.items()]
        fill(QVBoxLayout(inside), *steps, margins=(4, 4, 4, 4), spacing=2).addStretch(1)
        parts = (self.restore_line, self.bar, (VerticalScrollArea(inside), 1))
        fill(QVBoxLayout(self), *parts, margins=(0, 0, 0, 0))

    def _wire_panels(self) -> None:
        workspace, training, results = self.workspace, self.training, self.results
        self.image_panel.valueChanged.connect(self._on_source)
        self.image_panel.colour_wanted.connect(partial(show_as_colour, self._viewer))
        self.images_panel.image_chosen.connect(workspace.bring)
        workspace.image_wanted.connect(self._bring_to_front)
        self.images_panel.reviewed_changed.connect(self.session.set_reviewed)
        self.images_panel.add_wanted.connect(workspace.add_others)
        self.images_panel.channels_wanted.connect(self.image_panel.tick_offered)
        panel = self.scribble_panel
        panel.new_wanted.connect(self.image_panel.pick_selected)
        panel.new_wanted.connect(workspace.new_scribbles)
        panel.clear_wanted.connect(workspace.clear_scribbles)
        panel.at_hand.brush_wanted.connect(self.keys.take)
        panel.at_hand.size_wanted.connect(self.keys.resize)
        panel.import_wanted.connect(partial(mask_import.from_layer, workspace))
        panel.roi_file_wanted.connect(self._import_rois)
        self.train_panel.train_wanted.connect(partial(self._train, anew=False))
        self.train_panel.start_over_wanted.connect(partial(self._train, anew=True))
        self.train_panel.live_wanted.connect(self.live.switch)
        self.live.changed.connect(self._update)
        self.train_panel.pause_wanted.connect(training.pause)
        # First: what ends by itself is begun anew.
        self.train_panel.stop_wanted.connect(partial(self.live.switch, False))
        self.train_panel.stop_wanted.connect(training.stop)
        self.train_panel.stop_wanted.connect(results.cancel)
        self.train_panel.stop_wanted.connect(self.batch.cancel)
        self.result_panel.predict_wanted.connect(results.predict)
        self.result_panel.cancel_wanted.connect(results.cancel)
        self.result_panel.outline_wanted.connect(workspace.results.outlines.choose)
        self.result_panel.valueChanged.connect(results.set_config)
        self.batch_panel.predict_wanted.connect(self._predict_batch)
        self.batch_panel.cancel_wanted.connect(self.batch.cancel)
        self.batch_panel.cancel_wanted.connect(self.slides.stop)
        self.result_panel.review.export.wanted.connect(self._export)
        self.result_panel.review.export_wanted.connect(self.exports.export_table)
        self.model_row.save_wanted.connect(self.models.save)
        self.model_row.load_wanted.connect(self.models.load)
        self.model_row.command_wanted.connect(self.models.copy_command)

    def _wire_state(self) -> None:
        training, results = self.training, self.results
        self.session.changed.connect(self._update)
        self.workspace.painted.connect(self._show_scribbles)
        self.workspace.brush_changed.connect(self._on_active_layer)
        self.workspace.layers_changed.connect(self._on_layers)
        self.workspace.handed_over.connect(self._on_handed_over)
        self.workspace.layers_changed.connect(self._offer_masks)
        training.started.connect(lambda _: self.train_panel.begin())
        training.progressed.connect(self._on_progress)
        training.previewed.connect(results.preview)
        training.finished.connect(self._on_trained)
        results.review.changed.connect(training.note_decisions)
        training.failed.connect(lambda: self.train_panel.end(""))
        training.failed.connect(results.end_previews)
        results.predicting.connect(
            lambda share: self.train_panel.show_fraction(share, "Predicting...")
        )
        results.ended.connect(lambda: self.train_panel.end(self._last_round()))
        results.counted.connect(self.result_panel.set_count)
        results.counted.connect(lambda _: self._show_status())
        results.measured.connect(self.result_panel.review.set_table)
        self.slide_review.counted.connect(self.result_panel.set_count)
        self.slide_review.measured.connect(self.result_panel.review.set_table)
        self.slide_review.returned.connect(self.result_panel.table.select_once_there)
        classes = ClassControl(
            self.session, self.scribble_panel, self._show_scribbles, results.measure_again, self
        )
        results.measured.connect(classes.count)
        results.counted.connect(lambda n: None if n else classes.count({}))
        # Those of a slide stand with its number of objects.
        self.slide_review.counted.connect(lambda _: classes.count({}))
        results.adapted.connect(self.result_panel.follow)
        self.bar.verdict.show_wanted.connect(self.verdict.show)
        # Before what is undone is said: undoing, too, is something that was done.
        results.review.log.changed.connect(self.status.end_notice)
        self.workspace.painted.connect(self.status.end_notice)
        results.review.undone.connect(self._on_undone)
        results.suggestions.suggested.connect(lambda _: self._update())
        self.batch.progressed.connect(self._on_batch_progress)
        self.batch.ended.connect(self.batch_panel.end)
        self.batch.ended.connect(lambda _: results.show_all())
        self.slides.progressed.connect(self.batch_panel.show_progress)
        # Step 4 may be folded away.
        self.slides.progressed.connect(lambda *_: self._show_status())
        self.slides.ended.connect(self.batch_panel.end)
        self.slides.shown.connect(results.suggestions.refresh)
        results.suggestions.field_wanted.connect(self._on_slide_place)
        self.fields.taken.connect(self._on_field)
        self.fields.changed.connect(self._update)
        self.exports.changed.connect(self._update)
        self.workspace.plane_changed.connect(self.image_panel.look_at_plane)

    def _wire_store(self) -> None:
        store, panel, line = self.store, self.session_panel, self.restore_line
        train, result, review = self.train_panel, self.result_panel, self.result_panel.review
        for name, value, restore in (
            ("training", lambda: asdict(train.value()), train.restore),
            ("objects", lambda: asdict(result.value()), result.restore),
            ("outlines", result.outline, result.set_outline),
            ("filter", review.save_filter, review.restore_filter),
        ):
            store.keep_part(name, value, restore, value())
        names, front, looks = self.session.class_names, self.workspace.front, Looks(self.workspace)
        store.keep_part("class_names", names.save, names.restore, {})
        store.keep_part("hidden", front.save, front.restore)
        store.keep_part(
            "steps",
            lambda: {n: step.is_open() for n, step in self.steps.items()},
            self._open_steps,
            {},
        )
        store.keep_part("looks", looks.save, looks.restore)
        store.keep_part("levels", self.fields.save, self.fields.restore)
        store.keep_part("slides", self.slides.save, self.slides.restore, {})
        store.keep_part("spot_check", self.spot_check.save, self.spot_check.restore, {})
        self.spot_check.changed.connect(store.note_change)
        panel.offer_folder(store.folder.parent)
        panel.save_wanted.connect(store.save_as)
        panel.open_wanted.connect(store.open)
        line.restore_wanted.connect(store.restore_offered)
        line.discard_wanted.connect(store.discard_offered)
        store.offered.connect(line.offer)
        store.saved.connect(panel.set_saved)
        store.restored.connect(self._on_restored)
        self.train_panel.valueChanged.connect(self._on_choice)
        self.training.started.connect(store.save)
        self.training.finished.connect(store.save)

    def _open_steps(self, opened: dict[str, bool]) -> None:
        for name, step in self.steps.items():
            step.set_open(bool(opened.get(name, name != "check")))

    def _wire_viewer(self) -> None:
        forget_clicks = on_click(self._viewer, self._on_clicked_object)
        active = self._viewer.layers.selection.events.active
        active.connect(self._on_active_layer)
        hand = Hand(self._viewer, self)
        hand.moving_changed.connect(self.training.give_way)
        hand.moving_changed.connect(self.slides.give_way)
        hand.busy_changed.connect(self.training.note_busy)
        self.result_panel.valueChanged.connect(hand.note)
        collector = RestingCollector()
        hand.busy_changed.connect(collector.put_off)
        DockClose(
            self,
            self.store,
            self.process,
            self.session,
            [
                self.workspace.disconnect_viewer,
                forget_clicks,
                hand.let_go,
                collector.let_go,
                self.refinement.let_go,
                self.spot_check.let_go,
                self.slide_review.let_go,
                self.slides.close,
                self.exports.close,
                self.live.let_go,
                partial(active.disconnect, self._on_active_layer),
                self._bound_keys.let_go,
                self.in_picture.marks.let_go,
            ],
            self.workspace.front.let_go,
        )

    def _on_restored(self, source: Source | None) -> None:
        self.image_panel.remember(self.workspace.sources.values())
        self.image_panel.refresh()
        self.image_panel.setValue(source)
        # Where no image has come back, another one may be open.
        picked = self.image_panel.value()
        if self.workspace.source != picked:
            # The panel had this image before, and tells of changes only.
            self._on_source(picked)

    def _on_layers(self) -> None:
        """Follow the list of layers; what is opened before the first stroke comes to the front."""
        images, before = self.session.images, self.session.current
        alone = len(images) == 1
        opened = not self.store.restoring
        self.image_panel.refresh(follow=opened and self.workspace.is_untouched())
        if opened and alone and before is not None:
            self.workspace.drop_untouched(before)

    def _on_source(self, source: Source | None) -> None:
        self.workspace.choose(source)
        self._offer_masks()
        if source is not None and self._warming is None:
            # Loading the network's library takes seconds; when Train is pressed it is there.
            self._warming = Job(self.process, messages.Hello, "", self, shown=False)
            self._warming.ended.connect(self._on_ready)

    def _predict_batch(self, choice: BatchChoice) -> None:
        key = self.session.current
        slide = self.fields.slide()
        if choice.slide and slide is not None:
            self.slides.predict(slide, self.fields.level(slide))
        elif choice.all_images or key is None:
            self.batch.start(self.batch.all_planes())
        else:
            self.batch.start([(key, plane) for plane in choice.planes()])

    def _on_batch_progress(self, progress: BatchProgress) -> None:
        text = f"{progress.done + 1} of {progress.total}: {progress.name}"
        self.batch_panel.show_progress(progress.share, text)

    def _export(self, kind: str, path: Path) -> None:
        # The rows of the table are the panel's to know, which says them itself.
        if kind != "table":
            self.exports.export(kind, path)

    def _on_field(self, source: Source) -> None:
        """Bring a field of a slide to the front, which may be a layer of this moment."""
        self.image_panel.refresh()
        self.image_panel.setValue(source)

    def _on_slide_place(self, place: Place) -> None:
        """Take a field of a slide where something is suggested, and predict it."""

        def arrive(source: Source) -> None:
            self.results.suggestions.arrive(place, source)
            plane = self.session.plane
            if plane is not None and plane.prediction is None and not self.session.busy:
                # What is in doubt there is to be seen, and corrected.
                self.results.predict()

        y0, x0, y1, x1 = place.suggestion.box
        self.fields.take_at(
            (y0, x0, y1, x1),
            arrive,
            again=False,
            slide=self.workspace.sources[place.key],
        )

    def _bring_to_front(self, key: int) -> None:
        self.image_panel.setValue(self.workspace.sources[key])

    def _on_choice(self, choice: TrainingChoice) -> None:
        self.session.device = choice.device
        self.store.note_change()

    def _on_ready(self, ready: messages.Final) -> None:
        if isinstance(ready, messages.Ready):
            self.train_panel.set_devices(ready.devices)
            self.session.device = self.train_panel.value().device

    def _on_handed_over(self, image: Source) -> None:
        self.image_panel.remember([image])
        if self.workspace.source is image:
            self.image_panel.setValue(image)

    def _train(self, choice: TrainingChoice, anew: bool) -> None:
        if len(self.session.images) == 1:
            # It has been chosen by now; the room is for what is going on.
            self.steps["image"].set_open(False)
        if self.live.finish(partial(self._train, choice, anew)):
            return  # what was learned live is kept first, and gone on from
        go_on = not anew and self.session.goes_on()
        self.training.train(choice, go_on)

    def _on_progress(self, progress: TrainingProgress) -> None:
        self.train_panel.show_progress(progress)
        self._show_status()

    def _on_trained(self, _: Round) -> None:
        self.train_panel.end(self._last_round())
        self.refinement.rounds.on_trained()
        if self.live.take_over():
            return
        # The places were those of the model before.
        self.results.suggestions.leave()
        if not self.session.missing_for_prediction():
            self.results.predict()
        self.results.end_previews()

    def _last_round(self) -> str:
        """Say how the last training went."""
        if not self.session.rounds:
            return ""
        last = self.session.rounds[-1]
        return f"Round {last.number}: {duration(max(1.0, last.card.seconds))} of training in all."

    def _on_undone(self, words: str, labels: list[int] | None) -> None:
        self.status.notice(f"Undone: {words}.")
        if labels is not None:
            # The next key is about what came back, and not about what was selected before.
            self.result_panel.table.select_once_there(labels)

    def _on_clicked_object(self, layer: Labels, label: int) -> None:
        source = self.workspace.source
        if source is not None and layer == self.workspace.objects_of(source):
            # Below the picture's side nothing moves; a row that is folded away is none.
            self.steps["result"].set_open(True)
            self.result_panel.review.show_row(label)

    def _on_active_layer(self, _: Any = None) -> None:
        source = self.workspace.source
        layer = None if source is None else self.workspace.scribbles.find(source)
        active = layer is not None and self._viewer.layers.selection.active == layer
        in_hand = None
        if active and layer is not None and layer.mode in ("paint", "erase"):
            in_hand = 0 if layer.mode == "erase" else int(layer.selected_label)
        size_px = None if layer is None else int(layer.brush_size)
        self.scribble_panel.at_hand.set_brush(in_hand, size_px)
        self._show_status()

    def _offer_masks(self) -> None:
        names = mask_import.candidates(self.workspace)
        self.scribble_panel.set_label_layers(names)
        self._update()

    def _import_rois(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Outlined cells", "", KINDS)
        if path:
            mask_import.from_region_file(self.workspace, path)

    def _show_scribbles(self) -> None:
        # A layer that came with its strokes has its brush since then.
        self._on_active_layer()
        record = self.session.record
        planes = (
            {}
            if record is None
            else {
                str(index): plane.scribbles
                for index, plane in record.planes.items()
                if plane.scribbles is not None
            }
        )
        self.scribble_panel.set_counts(planes, self.session.class_names)
        self._update()

    def _update(self) -> None:
        """Enable what can work, and say what each step still needs."""
        session = self.session
        record = session.record
        source = self.workspace.source
        has_scribbles = source is not None and self.workspace.scribbles.is_ready(source)
        training_needs = session.missing_for_training()
        prediction_needs = session.missing_for_prediction()
        steps = self.steps
        steps["image"].set_hint("" if self.image_panel.has_layers() else "Open an image in napari.")
        steps["image"].set_summary(
            "" if record is None else f"{record.name}, {count(record.n_channels, 'channel')}"
        )
        self.scribble_panel.set_ready(record is not None, has_scribbles)
        self.train_panel.set_channels(() if record is None else record.channel_names)
        steps["scribble"].set_hint("" if record is not None else "Needs an image.")
        self.train_panel.set_state(
            session.activity,
            not training_needs,
            session.goes_on(),
            self.live.on,
        )
        steps["train"].set_hint(training_needs or session.left_out())
        self.fields.show()
        self.batch_panel.set_state(
            sum(not one.is_slide for one in session.images.values()),
            () if source is None or source.is_slide else source.stack,
            session.card is not None and not session.busy,
            self.batch.running or self.slides.running,
            self.fields.slide() is not None,
        )
        if source is not None and source.is_slide and not self.slides.running:
            where = self.slides.where(source)
            if where:
                self.batch_panel.say(where)
        stacked_image = source is not None and bool(source.stack)
        self.result_panel.set_ready(
            not prediction_needs and not session.busy,
            "plane" if stacked_image else "image",
            session.activity is Activity.PREDICTING and not self.batch.running,
        )
        whole = record is not None and record.on_disk is not None
        steps["result"].set_hint("" if whole else prediction_needs or stale_results(session))
        steps["refine"].set_hint("" if self.results.suggestions.places else no_suggestions(session))
        self.refinement.update()
        self.result_panel.review.set_slide(record is not None and record.is_slide)
        self.result_panel.review.export.set_name(
            "" if record is None else record.name, record is not None and record.is_slide
        )
        self.result_panel.review.export.set_ready(self.exports.ready())
        self.model_row.set_ready(session.card is not None, session.busy)
        self.session_panel.set_ready(record is not None, session.busy)
        self.restore_line.set_ready(session.busy)
        self.image_panel.keep_apart(self.workspace.images_apart())
        offered = self.workspace.left_over(self.image_panel.offered())
        self.images_panel.set_images(
            [
                ImageRow(
                    r.key,
                    r.name,
                    session.status(r),
                    r.tally,
                    r.is_reviewed,
                    any(session.rounds.is_stale(plane) for plane in r.planes.values()),
                )
                for r in session.images.values()
            ],
            session.current,
            self.workspace.n_others(),
            [layer.name for layer in offered],
        )
        self._show_status()

    def _show_status(self) -> None:
        left = self.train_panel.time_left
        live = self.live.on and (self.training.live or not self.session.busy)
        suggestions = self.results.suggestions
        told = status(
            self.session,
            suggestions.places,
            self.training.waiting,
            left,
            live,
            suggestions.current,
            key_of("looks_fine"),
        )
        source, active = self.workspace.source, self._viewer.layers.selection.active
        if (
            source is not None
            and active is not None
            and active == self.workspace.slides.find(source)
        ):
            told = _ON_OBJECTS
        told = _RESTS if self.live.resting else told
        self.status.set_state(" ".join(filter(None, (told, self.slides.words, self.exports.words))))
        self.bar.verdict.set_verdict(self.verdict.remarks())
