"""Write objects and models for other programs, away from the window's thread."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QMessageBox, QWidget

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.measurements import measure
from napari_impartial.core.network.model_card import copy_with_card
from napari_impartial.core.prediction.result import Prediction
from napari_impartial.core.words import count
from napari_impartial.gui import notifications
from napari_impartial.gui.background import Job
from napari_impartial.gui.layers import Source
from napari_impartial.gui.layers.workspace import Workspace
from napari_impartial.gui.review.review import ReviewControl
from napari_impartial.io.object_files import (
    Objects,
    Table,
    file_names,
    join_tables,
    object_files,
    write_objects,
    write_table,
)
from napari_impartial.session.misfits import fits
from napari_impartial.session.plane import Plane, PlaneIndex
from napari_impartial.worker import messages
from napari_impartial.worker.client import TrainingProcess

_YES = QMessageBox.StandardButton.Yes


@dataclass(frozen=True)
class _Plane:
    labels: npt.NDArray[np.int32]
    prediction: Prediction | None
    doubt: npt.NDArray[np.float32] | None
    painted: npt.NDArray[np.uint8] | None


@dataclass(frozen=True)
class _Snapshot:
    """Results of an image to be written; its arrays do not change any more."""

    source: Source
    planes: dict[PlaneIndex, _Plane]
    class_names: tuple[str, ...] = ()

    def objects(self, classified: bool) -> Objects:
        """Put the planes together; those without objects are empty."""
        classes: dict[PlaneIndex, dict[int, str]] = {}
        if classified and len(self.class_names) > 1:
            for index, plane in self.planes.items():
                if plane.prediction is not None:
                    table = measure(
                        plane.labels,
                        probability=plane.prediction.probability,
                        class_names=self.class_names,
                        painted=plane.painted,
                    )
                    kinds = table["class_name"].tolist()
                    classes[index] = dict(zip(table["label"].tolist(), kinds, strict=True))
        letters = "".join(letter for letter, _ in self.source.stack)
        size, unit = self.source.pixel
        n_channels = self.source.n_channels_of_file
        if not letters:
            return Objects(self.planes[()].labels, "", size, unit, n_channels, classes)
        # Pages of zeros that nothing is written to take no memory.
        labels = np.zeros((*self.source.stack_shape, *self.source.plane_shape), np.int32)
        for index, plane in self.planes.items():
            labels[index] = plane.labels
        return Objects(labels, letters, size, unit, n_channels, classes)

    def table(self) -> Table:
        """Measure the objects of all planes."""
        tables, places = [], []
        letters = [letter.lower() for letter, _ in self.source.stack]
        for index, plane in sorted(self.planes.items()):
            known = plane.prediction
            table = measure(
                plane.labels,
                self.source.read(index),
                None if known is None else known.probability,
                None if known is None else known.entropy,
                self.class_names,
                plane.doubt,
                plane.painted,
            )
            tables.append(table)
            places.append(dict(zip(letters, index, strict=True)))
        return join_tables(tables, places)

    def write(self, name: str, folder: Path) -> None:
        """Write a file of each kind."""
        objects = self.objects(True)
        for kind, path in object_files(name, folder).items():
            if kind == "measurements":
                write_table(path, self.table())
            else:
                write_objects(kind, path, objects)


class ExportControl(QObject):
    """Writes what the user asks for, one thing at a time.

    Signals
    -------
    changed
        A writing has begun or ended.
    """

    changed = Signal()

    def __init__(
        self,
        workspace: Workspace,
        process: TrainingProcess,
        review: ReviewControl,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._window = parent
        self._workspace = workspace
        self._session = workspace.session
        self._review = review
        self._process = process
        self._worker: Any = None
        self._job: Job | None = None
        self._done = ""

    @property
    def busy(self) -> bool:
        """Return whether something is being written."""
        return self._worker is not None or self._job is not None

    def ready(self) -> dict[str, bool]:
        """Return which kinds of export can work now."""
        idle, record = not self.busy, self._session.record
        here = idle and record is not None and self._has_objects(record.key)
        somewhere = idle and any(map(self._has_objects, self._session.images))
        model = idle and not self._session.busy and not self._session.missing_for_prediction()
        return {
            "instances": here,
            "rois": here,
            "outlines": here,
            "all": somewhere,
            "model": model,
        }

    def export(self, kind: str, path: Path) -> None:
        """Write objects of the image in view, or of all images, or the model.

        Parameters
        ----------
        kind
            ``instances``, ``rois``, ``outlines``, ``model`` (a file each), or ``all`` (a
            folder).
        path
            A file that is there already is written over: the user was asked when it was
            chosen. In a folder, the user is asked here.
        """
        self._review.collect_all()
        if not self.ready()[kind]:
            return
        if kind == "all":
            self._export_all(path)
        elif not self._is_free(path):
            return
        elif kind == "model":
            self._export_model(path)
        elif self._session.current is not None:
            key = self._session.current
            found = self._snapshot(key)
            objects = f"the objects of '{found.source.name}'"
            done = f"{path.name} was written, with {objects}, to {path.parent}."
            done += self._otherwise_cut([key])
            self._run(partial(_write_one, kind, path, found), done)

    def _export_all(self, folder: Path) -> None:
        keys = [key for key in self._session.images if self._has_objects(key)]
        names = file_names(self._workspace.sources[key].name for key in keys)
        found = {name: self._snapshot(key) for key, name in zip(keys, names, strict=True)}
        paths = [path for name in found for path in object_files(name, folder).values()]
        there = [path for path in paths if path.exists()]
        if not all(map(self._is_free, there)):
            return
        if there and not self._may_replace(there):
            return
        n, left = len(found), len(self._session.images) - len(found)
        done = f"The objects of {count(n, 'image')} were written to {folder}."
        if left:
            done += f" Left out: {count(left, 'image')} without objects."
        done += self._otherwise_cut(keys)
        self._run(partial(_write_all, found, folder), done, n)

    def _export_model(self, path: Path) -> None:
        key, card = self._session.current, self._session.card
        assert key is not None
        assert card is not None
        try:
            image = self._workspace.image_for(
                key, self._session.plane_index, card.channel_names, "the model was trained on"
            )
            named, model_path = self._session.named_card(), self._session.model_path
            assert named is not None
            assert model_path is not None
            if named != card:
                own = self._process.new_model_path()
                copy_with_card(model_path, own, named)
                model_path = own
        except ImPartialError as error:
            notifications.show_warning(str(error))
            return
        make = partial(
            messages.Package,
            image=image,
            model_path=str(model_path),
            path=str(path),
            name=path.stem,
        )
        # The process has the network's library, which the window does not load.
        self._job = Job(self._process, make, "ImPartial: packaging the model", self)
        self._job.ended.connect(self._on_packaged)
        self.changed.emit()

    def _on_packaged(self, reply: messages.Final) -> None:
        if self._job is not None:
            self._job.deleteLater()
        self._job = None
        if isinstance(reply, messages.Packaged):
            notifications.show_info(
                f"The model was packaged for the BioImage Model Zoo as {reply.path}."
            )
        elif isinstance(reply, messages.Failed):
            notifications.show_failure(reply, "packaging the model")
        self.changed.emit()

    def _snapshot(self, key: int) -> _Snapshot:
        found = [plane.prediction for _, plane in self._with_objects(key)]
        classes = [len(one.probability) for one in found if one is not None]
        return _Snapshot(
            self._workspace.sources[key],
            {
                index: _Plane(
                    plane.instances,
                    plane.prediction,
                    plane.doubt,
                    None if plane.annotation is None else plane.annotation.labels,
                )
                for index, plane in self._with_objects(key)
                if plane.instances is not None
            },
            self._session.class_names.kinds(max(classes, default=0)),
        )

    def _with_objects(self, key: int) -> Iterator[tuple[PlaneIndex, Plane]]:
        """Go through the planes of an image that have objects of its size."""
        source = self._workspace.sources[key]
        for index, plane in self._session.images[key].planes.items():
            if plane.instances is not None and fits(source, index, plane.instances):
                yield index, plane

    def _has_objects(self, key: int) -> bool:
        return any(plane.n_objects for _, plane in self._with_objects(key))

    def _otherwise_cut(self, keys: Sequence[int]) -> str:
        """Say how many planes do not follow the sliders: they do so when they come into view."""
        now = self._session.instance_config
        planes = [plane for key in keys for _, plane in self._with_objects(key)]
        n = sum(plane.cut_by not in (None, now) for plane in planes)
        if not n:
            return ""
        of, it = ("1 plane has", "it was") if n == 1 else (f"{n} planes have", "they were")
        return f" {of} objects of earlier settings, since {it} not looked at with these."

    def _is_free(self, path: Path) -> bool:
        """Refuse to write over an image that is open."""
        for layer in self._workspace.viewer.layers:
            with suppress(OSError):
                if layer.source.path and os.path.samefile(layer.source.path, path):
                    notifications.show_error(
                        f"{path} is the file of the layer '{layer.name}'; choose another name."
                    )
                    return False
        return True

    def _may_replace(self, there: list[Path]) -> bool:
        files = f"{there[0].name} is" if len(there) == 1 else f"{len(there)} of the files are"
        answer = QMessageBox.question(
            self._window,
            "Export",
            f"{files} in {there[0].parent} already. Replace?",
            _YES | QMessageBox.StandardButton.No,
            QMessageBox.StandardButton.No,
        )
        return bool(answer == _YES)

    def _run(self, write: Callable[[], Iterator[None]], done: str, total: int = 1) -> None:
        self._done = done
        progress = {"total": total, "desc": "ImPartial: exporting"}
        self._worker = create_worker(_told(write), _progress=progress)
        # Methods of ours, so that nobody is called when the dock is gone.
        self._worker.returned.connect(self._on_returned)
        self._worker.errored.connect(self._on_errored)
        self._worker.start()
        self.changed.emit()

    def _on_returned(self, problem: str) -> None:
        self._worker = None
        if problem:
            notifications.show_error(problem)
        else:
            notifications.show_info(self._done)
        self.changed.emit()

    def _on_errored(self, _: Exception) -> None:
        # A fault of the program: it has been raised and shown.
        self._worker = None
        self.changed.emit()


def _write_one(kind: str, path: Path, found: _Snapshot) -> Iterator[None]:
    write_objects(kind, path, found.objects(kind == "outlines"))
    yield


def _write_all(found: dict[str, _Snapshot], folder: Path) -> Iterator[None]:
    for name, one in found.items():
        one.write(name, folder)
        yield


def _told(write: Callable[[], Iterator[None]]) -> Callable[[], Any]:
    """Return the generator that says what went wrong, where the user can mend it."""

    def run() -> Any:
        try:
            yield from write()
        except (ImPartialError, OSError) as error:
            return str(error)
        except MemoryError:
            return "There is not enough memory to put the objects together."
        return ""

    return run
