"""Predicts all of a slide in the background, block by block, and shows what lies on disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_impartial.core.atomic_write import atomic_path
from napari_impartial.core.config import SuggestionConfig, parameters
from napari_impartial.core.data.channels import match_channels
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.prediction.suggestions import Suggestion
from napari_impartial.gui import notifications
from napari_impartial.gui.background import Job
from napari_impartial.gui.layers import Source, image_layers
from napari_impartial.gui.layers.fields import Level, level_of, levels, middle_of_view
from napari_impartial.gui.layers.image_source import channel_name
from napari_impartial.gui.layers.workspace import Workspace
from napari_impartial.io.object_files import file_names, mark_of
from napari_impartial.io.ome_zarr import made_with
from napari_impartial.session.image_record import SlideDecision, SlideResult, decided_of
from napari_impartial.session.plane import PlaneIndex
from napari_impartial.session.session import CHANNEL_ADVICE
from napari_impartial.worker import messages
from napari_impartial.worker.client import TrainingProcess

BLOCK_PX = 0
"""Side of the blocks; 0 for the usual one."""

_STOPPED = "Stopped; what is done is kept, and Predict all goes on from there."


@dataclass(frozen=True)
class _Running:
    """The slide that is being predicted."""

    key: int
    source: Source
    level: int
    result: Path
    predicted_by: int
    class_names: tuple[str, ...]


class SlideControl(QObject):
    """Predicts a slide in a process of its own, so that one can paint and train meanwhile.

    Signals
    -------
    progressed
        Share that is done, 0 to 1, and what is said of it.
    ended
        What became of it, in a sentence; whatever happens.
    shown
        Other results of slides are there than before.
    """

    progressed = Signal(float, str)
    ended = Signal(str)
    shown = Signal()

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._window = parent
        self._workspace = workspace
        self._session = workspace.session
        self._process: TrainingProcess | None = None
        self._job: Job | None = None
        self._running: _Running | None = None
        self._stopped = False
        self._done = 0.0
        # Where the results of each slide go, by its name.
        self._folders: dict[str, str] = {}
        # What a session said of results that could not be shown, by the slides' names.
        self._unseen: dict[str, Any] = {}
        # What the shown result of each slide was made with.
        self._made: dict[int, dict[str, Any]] = {}

    @property
    def words(self) -> str:
        """Say how far the prediction of a slide has come, in a few words; "" where none is made."""
        if self._running is None:
            return ""
        return f"{self._running.source.name}: {self._done:.0%} done."

    @property
    def running(self) -> bool:
        """Return whether a slide is being predicted."""
        return self._running is not None

    def close(self) -> None:
        """End the process; the dock is going."""
        self._stopped = True
        if self._process is not None:
            self._process.close()

    def predict(self, slide: Source, level: int) -> None:
        """Predict all of a slide at one of its resolutions, or go on with that."""
        if self.running:
            return
        key = self._workspace.key_of(slide.primary)
        key = self._workspace.add(slide) if key not in self._session.images else key
        assert key is not None
        missing = self._session.missing_for_slide(key)
        card, model = self._session.card, self._session.model_path
        if missing or card is None or model is None:
            notifications.show_warning(missing)
            return
        try:
            paths = _files(slide)
            channels = _channels(slide, card.channel_names)
            result = self._where(slide, paths)
            if result is None:
                return
            model = _keep_model(model, result)
        except (ImPartialError, OSError) as error:
            notifications.show_error(str(error))
            return
        choice = levels(slide)[level]
        y, x = middle_of_view(self._workspace.viewer, slide)
        make = partial(
            messages.PredictSlide,
            paths=tuple(str(path) for path in paths),
            level=level,
            shape=choice.shape,
            channels=channels,
            model_path=str(model),
            settings=(
                replace(card.prediction, device=self._session.device),
                self._session.instance_config,
                SuggestionConfig(),
            ),
            result=str(result),
            first=(y / choice.factor[0], x / choice.factor[1]),
            block_px=BLOCK_PX,
        )
        self._stopped, self._done = False, 0.0
        self._running = _Running(
            key, slide, level, result, self._session.rounds.model_number, card.class_names[1:]
        )
        if self._process is None:
            self._process = TrainingProcess()
        self._job = Job(self._process, make, f"ImPartial: predicting {slide.name}", self)
        self._job.when_cancelled(self.stop)
        self._job.progressed.connect(self._on_progress)
        self._job.ended.connect(self._on_end)
        self.progressed.emit(0.0, f"{slide.name}: reading it.")
        self._session.changed.emit()

    def stop(self) -> None:
        """End the prediction; what is done stays, and is gone on from."""
        if self._process is not None and self.running:
            self._stopped = True
            # For good: it may not have been started yet.
            self._process.close()
            self._process = None

    def give_way(self, wanted: bool) -> None:
        """Let the prediction rest while the hand moves, or go on."""
        if self._job is not None:
            self._job.send(partial(messages.GiveWay, wanted=wanted))

    def where(self, slide: Source) -> str:
        """Say where the results of a slide lie, and how they differ from what one would now get.

        "" where there are none.
        """
        key = self._workspace.key_of(slide.primary)
        record = None if key is None else self._session.images.get(key)
        if key is None or record is None or record.on_disk is None:
            return ""
        return f"{_told(record.on_disk)} {self._differs(key, record.on_disk)}".strip()

    def _differs(self, key: int, found: SlideResult) -> str:
        """Say what a result was made with, where that is not what is chosen now."""
        if self._session.rounds.is_old(found.predicted_by):
            return "It was made by an earlier model; Predict all predicts it anew."
        made, card = self._made.get(key), self._session.card
        if not made or card is None:
            return ""
        prediction = replace(card.prediction, device=self._session.device)
        if made.get("prediction") != asdict(prediction):
            return "It was predicted with other settings; Predict all predicts it anew."
        config, before = self._session.instance_config, made.get("instances", {})
        others = [
            f"{one.label.lower()} {before.get(name)}{' ' * bool(one.unit)}{one.unit}"
            for name, one in parameters(config).items()
            if before.get(name) != getattr(config, name)
        ]
        if not others:
            return ""
        return (
            f"It was made with {', '.join(others)}; Predict all keeps its maps and cuts it anew, "
            "without another prediction."
        )

    def save(self) -> dict[str, Any]:
        """Return what there is of slides, in plain values."""
        found = dict(self._unseen)
        for key, record in self._session.images.items():
            if record.on_disk is not None and key in self._workspace.sources:
                one = record.on_disk
                found[record.name] = {
                    "store": str(one.store),
                    "table": str(one.table),
                    "places": str(one.places),
                    "level": one.level,
                    "n_objects": one.n_objects,
                    "classes": one.classes,
                    "predicted_by": one.predicted_by,
                    "decided": one.decided_plain(),
                    "decided_on": one.decided_on,
                }
        return {"results": found, "folders": dict(self._folders)}

    def restore(self, saved: dict[str, Any]) -> None:
        """Show what :meth:`save` returned, once images are back.

        Raises
        ------
        ImPartialError
            If some of it is damaged, once the rest is shown.
        """
        self._folders = {str(k): str(v) for k, v in saved.get("folders", {}).items()}
        # Those of a slide that is not there stay in the session, too.
        self._unseen = dict(saved.get("results", {}))
        damaged = []
        for key, record in self._session.images.items():
            one = self._unseen.get(record.name)
            if one is None or not record.is_slide:
                continue
            try:
                result = _result(one, record.name)
            except (KeyError, TypeError, ValueError, AttributeError):
                damaged.append(record.name)
                continue
            if self._show(key, self._workspace.sources[key], result):
                del self._unseen[record.name]
        if damaged:
            raise ImPartialError(f"the results of {', '.join(damaged)} cannot be read.")

    def _show(self, key: int, source: Source, result: SlideResult) -> bool:
        """Show a result; False where that cannot be, which is said."""
        try:
            level = level_of(source, result.level)
            self._workspace.slides.show(source, result, level)
            places = _places(result.places, level, source)
        except (ImPartialError, OSError, ValueError, KeyError, TypeError) as error:
            notifications.show_warning(
                f"The results of {source.name} cannot be shown ({error}); where they are and what "
                "was decided about them stays in the session."
            )
            return False
        record = self._session.images[key]
        record.on_disk = result
        self._made[key] = made_with(result.store) or {}
        for index in {*record.planes, *places}:
            record.plane(index).set_suggestions(places.get(index, []), (), None)
        self._session.result_changed.emit(key)
        self._session.changed.emit()
        self.shown.emit()
        return True

    def _on_progress(self, progress: messages.SlideProgress) -> None:
        now = self._running
        if now is None or self._stopped:
            return
        if progress.blocks.all():
            # What is left to do is no matter of place.
            self._workspace.slides.end_progress(now.source)
        elif now.source.primary in self._workspace.viewer.layers and progress.blocks.any():
            self._workspace.slides.show_progress(
                now.source, levels(now.source)[now.level], progress.blocks, progress.block_px
            )
        self._done = progress.fraction
        done, of = int(np.count_nonzero(progress.blocks)), progress.blocks.size
        stage = f"{done} of {of} blocks seen (green)" if done < of else progress.stage
        self.progressed.emit(
            progress.fraction,
            f"{now.source.name}: {progress.fraction:.0%}, {stage}. You can paint and train "
            "meanwhile.",
        )

    def _on_end(self, reply: messages.Final) -> None:
        now, self._running = self._running, None
        self._job = None
        assert now is not None
        self._workspace.slides.end_progress(now.source)
        text = ""
        if isinstance(reply, messages.SlidePredicted):
            found = SlideResult(
                Path(reply.store),
                Path(reply.table),
                Path(reply.places),
                now.level,
                reply.n_objects,
                dict(zip(now.class_names, reply.classes, strict=True)),
                now.predicted_by,
                mark_of(Path(reply.table)),
            )
            if now.key in self._session.images:
                record = self._session.images[now.key]
                before, unseen = record.on_disk, self._unseen.pop(record.name, None)
                if before is not None:
                    found = replace(found, decided=before.decided, decided_on=before.decided_on)
                elif unseen is not None:
                    decided, decided_on = _decided(unseen, record.name)
                    found = replace(found, decided=decided, decided_on=decided_on)
                self._show(now.key, now.source, found)
            text = _told(found)
            if reply.cut_anew:
                text = f"Maps were kept, and only the cut was made anew: {text}"
            if reply.n_clipped:
                notifications.show_warning(
                    f"{reply.n_clipped} objects of {now.source.name} are larger than what is "
                    "looked at at once and were cut; choose a coarser resolution."
                )
        elif self._stopped:
            text = _STOPPED
        elif isinstance(reply, messages.Failed):
            notifications.show_failure(reply, "predicting the slide")
            text = _STOPPED
        self._session.changed.emit()
        self.ended.emit(text)

    def _where(self, slide: Source, paths: Sequence[Path]) -> Path | None:
        """Return where the store goes; None where the user does not want to say."""
        folder = self._folders.get(slide.name, "")
        if not folder or not Path(folder).is_dir():
            folder = QFileDialog.getExistingDirectory(
                self._window, f"Folder for the results of {slide.name}", str(paths[0].parent)
            )
        if not folder:
            return None
        name = file_names([slide.name.removesuffix(".ome")])[0]
        result = Path(folder) / f"{name}_objects.ome.zarr"
        opened = {str(Path(p).resolve()) for one in image_layers(self._workspace.viewer)
                  if (p := one.source.path)}  # fmt: skip
        if str(result.resolve()) in opened:
            raise ImPartialError(f"{result} is an image that is open; choose another folder.")
        self._folders[slide.name] = folder
        return result


def _told(found: SlideResult) -> str:
    """Count the objects of a slide and say where all that is known of them lies."""
    return (
        f"{found.words()} in all of the slide. {found.store.name}, {found.table.name} and "
        f"{found.places.name} lie in {found.store.parent}."
    )


def _result(saved: dict[str, Any], name: str) -> SlideResult:
    """Return a slide's result of what a session says of it."""
    return SlideResult(
        Path(saved["store"]),
        Path(saved["table"]),
        Path(saved["places"]),
        int(saved["level"]),
        int(saved["n_objects"]),
        {str(kind): int(n) for kind, n in saved["classes"].items()},
        int(saved["predicted_by"]),
        mark_of(Path(saved["table"])),
        *_decided(saved, name),
    )


def _decided(saved: dict[str, Any], name: str) -> tuple[dict[int, SlideDecision], str]:
    """Return the decisions that a session kept, and the mark of the result that they are of."""
    try:
        return decided_of(saved.get("decided", {})), str(saved.get("decided_on", ""))
    except (ValueError, TypeError, AttributeError):
        notifications.show_warning(
            f"The decisions about objects of '{name}' in this session are damaged and were left "
            "out."
        )
        return {}, ""


def _files(slide: Source) -> list[Path]:
    """Return the files that a slide can be read from, block by block.

    Raises
    ------
    ImPartialError
        If a layer comes from no file.
    """
    found: list[Path] = []
    for layer in slide.layers:
        path = layer.source.path
        if not path or not Path(path).exists():
            raise ImPartialError(
                f"'{layer.name}' comes from no file that could be read block by block; save it as "
                "OME-Zarr or TIFF, and open that."
            )
        if Path(path) not in found:
            found.append(Path(path))
    return found


def _channels(slide: Source, want: Sequence[str]) -> tuple[int | str, ...]:
    """Return which channels of a slide's files a model takes, by position or name."""
    other = "the model was trained on"
    places = match_channels(slide.channel_names, want, f"'{slide.name}'", other, CHANNEL_ADVICE)
    own: list[int | str] = [*slide.channels] if "C" in slide.axes else [channel_name(slide.primary)]
    own += [channel_name(layer) for layer in slide.layers[1:]]
    return tuple(own[place] for place in places)


def _keep_model(model: Path, result: Path) -> Path:
    """Put a copy of the model beside the results, unless it is there, and return its path.

    A run is gone on with only by the model that began it, as the same file.
    """
    kept = result.with_name(f"{result.name.removesuffix('_objects.ome.zarr')}_model.impartial")
    if not kept.exists() or kept.read_bytes() != model.read_bytes():
        with atomic_path(kept) as temporary:
            shutil.copyfile(model, temporary)
    return kept


def _places(path: Path, level: Level, source: Source) -> dict[PlaneIndex, list[Suggestion]]:
    """Read the suggestions of a slide by their planes, in pixels of the finest level."""
    found: dict[PlaneIndex, list[Suggestion]] = {}
    for values in json.loads(path.read_text("utf-8")):
        fy, fx = level.factor
        y0, x0, y1, x1 = values["box"]
        box = round(y0 * fy), round(x0 * fx), round(y1 * fy), round(x1 * fx)
        known = {n: values[n] for n in Suggestion.__dataclass_fields__ if n in values}
        known |= {"y": round(values["y"] * fy), "x": round(values["x"] * fx), "box": box}
        where = values.get("plane", {})
        index = tuple(int(where.get(letter.lower(), 0)) for letter, _ in source.stack)
        # Those of several planes said nothing of theirs in earlier versions.
        if source.has_plane(index) and (where or source.n_planes == 1):
            found.setdefault(index, []).append(Suggestion(**known))
    return found
