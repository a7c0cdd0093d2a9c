"""Write objects and models for other programs, away from the window's thread."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QMessageBox, QWidget

from napari_impartial.core.atomic_write import sweep
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.measurements import measure
from napari_impartial.core.network.model_card import copy_with_card
from napari_impartial.core.words import count
from napari_impartial.gui import notifications
from napari_impartial.gui.background import Job
from napari_impartial.gui.layers import Source
from napari_impartial.gui.layers.fields import level_of
from napari_impartial.gui.layers.workspace import Workspace
from napari_impartial.gui.review.object_table import SORTED_AT_ONCE
from napari_impartial.gui.review.review import ReviewControl
from napari_impartial.io.object_files import (
    Objects,
    Table,
    file_names,
    join_tables,
    object_files,
    slide_files,
    write_objects,
    write_table,
)
from napari_impartial.session.misfits import fits
from napari_impartial.session.plane import Plane, PlaneIndex
from napari_impartial.worker import messages
from napari_impartial.worker.client import TrainingProcess

_YES = QMessageBox.StandardButton.Yes


@dataclass(frozen=True)
class _Snapshot:
    """Results of an image to be written: copies of its planes that have objects."""

    source: Source
    planes: dict[PlaneIndex, Plane]
    class_names: tuple[str, ...] = ()

    def objects(self, classified: bool) -> Objects:
        """Put the planes together; those without objects are empty."""
        classes: dict[PlaneIndex, dict[int, str]] = {}
        if classified and len(self.class_names) > 1:
            for index, plane in self.planes.items():
                if plane.prediction is not None:
                    table = measure(
                        _objects(plane),
                        probability=plane.prediction.probability,
                        class_names=self.class_names,
                        painted=plane.painted,
                    )
                    kinds = table["class_name"].tolist()
                    classes[index] = dict(zip(table["label"].tolist(), kinds, strict=True))
        letters = "".join(letter for letter, _ in self.source.stack)
        place = (*self.source.pixel, self.source.spacing, self.source.n_channels_of_file)
        if not letters:
            return Objects(_objects(self.planes[()]), "", *place, classes)
        # Pages of zeros that nothing is written to take no memory.
        labels = np.zeros((*self.source.stack_shape, *self.source.plane_shape), np.int32)
        for index, plane in self.planes.items():
            labels[index] = _objects(plane)
        return Objects(labels, letters, *place, classes)

    def table(self) -> Table:
        """Measure the objects of all planes."""
        tables, places = [], []
        letters = [letter.lower() for letter, _ in self.source.stack]
        for index, plane in sorted(self.planes.items()):
            tables.append(plane.measured(self.source.read(index), self.class_names))
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

    def write_one(self, kind: str, path: Path) -> None:
        """Write a file of one kind."""
        write_objects(kind, path, self.objects(kind == "outlines"))


def _objects(plane: Plane) -> npt.NDArray[np.int32]:
    assert plane.instances is not None, "or it would not be written"
    return plane.instances


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
        # Slides are written in a process of their own, one after the other.
        self._slides_process: TrainingProcess | None = None
        self._waiting: list[tuple[int, dict[str, Path]]] = []
        self._writing: dict[str, Path] = {}
        self._share = 0.0
        self._stopped = False

    @property
    def busy(self) -> bool:
        """Return whether something is being written."""
        return self._worker is not None or self._job is not None

    @property
    def words(self) -> str:
        """Say how far the export of a slide has come, in a few words; "" where there is none."""
        return f"Exporting: {self._share:.0%} written." if self._writing else ""

    def close(self) -> None:
        """End the process; the dock is going."""
        self._stopped = True
        if self._slides_process is not None:
            self._slides_process.close()

    def ready(self) -> dict[str, bool]:
        """Return which kinds of export can work now."""
        idle, record = not self.busy, self._session.record
        here = idle and record is not None and self._has_objects(record.key)
        slide = record is not None and record.is_slide
        somewhere = idle and any(map(self._has_objects, self._session.images))
        model = idle and not self._session.busy and not self._session.missing_for_prediction()
        return {
            "instances": here,
            "rois": here and not slide,
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
            folder). The objects of a slide are written block by block, as OME-Zarr or
            outlines.
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
        elif self._session.record is not None and self._session.record.on_disk is not None:
            self._done = (
                f"{path.name} was written, with the objects of the slide, to {path.parent}."
            )
            self._waiting = [(self._session.record.key, {kind: path})]
            self._next_slide()
        elif self._session.current is not None:
            key = self._session.current
            found = self._snapshot(key)
            objects = f"the objects of '{found.source.name}'"
            done = f"{path.name} was written, with {objects}, to {path.parent}."
            done += self._otherwise_cut([key])
            self._run([partial(found.write_one, kind, path)], done)

    def export_table(self, path: Path, table: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write rows of a table; very many on a thread."""
        if self.busy:
            return
        n = len(table["label"]) if "label" in table else 0
        done = f"{path.name} was written, with {n} rows, to {path.parent}."
        if n > SORTED_AT_ONCE:
            self._run([partial(write_table, path, table)], done)
            return
        try:
            write_table(path, table)
        except ImPartialError as error:
            notifications.show_error(str(error))
        else:
            notifications.show_info(done)

    def _export_all(self, folder: Path) -> None:
        keys = [key for key in self._session.images if self._has_objects(key)]
        names = file_names(self._workspace.sources[key].name for key in keys)
        slides = {k: slide_files(n, folder) for k, n in zip(keys, names, strict=True)
                  if self._session.images[k].on_disk is not None}  # fmt: skip
        found = {
            name: self._snapshot(key)
            for key, name in zip(keys, names, strict=True)
            if key not in slides
        }
        paths = [path for name in found for path in object_files(name, folder).values()]
        paths += [path for files in slides.values() for path in files.values()]
        there = [path for path in paths if path.exists()]
        if not all(map(self._is_free, there)):
            return
        if there and not self._may_replace(there):
            return
        n, left = len(keys), len(self._session.images) - len(keys)
        done = f"The objects of {count(n, 'image')} were written to {folder}."
        if left:
            done += f" Left out: {count(left, 'image')} without objects."
        done += self._otherwise_cut([key for key in keys if key not in slides])
        self._waiting = list(slides.items())
        if found:
            self._run([partial(one.write, name, folder) for name, one in found.items()], done)
        else:
            self._done = done
            self._next_slide()

    def _next_slide(self) -> None:
        """Write the next slide that waits, or say that all is done."""
        key, targets = self._waiting.pop(0)
        record = self._session.images.get(key)
        result = None if record is None else record.on_disk
        if result is None:
            self._waiting = []
            notifications.show_warning("The slide was removed before it was written.")
            self.changed.emit()
            return
        source = self._workspace.sources[key]
        make = partial(
            messages.ExportSlide,
            results=(str(result.store), str(result.table), str(result.places)),
            verdicts={label: str(one.verdict) for label, one in result.decisions.items()},
            factor=level_of(source, result.level).factor,
            targets={kind: str(path) for kind, path in targets.items()},
        )
        if self._slides_process is None:
            self._slides_process = TrainingProcess()
        self._writing, self._share, self._stopped = targets, 0.0, False
        self._job = Job(self._slides_process, make, f"ImPartial: exporting {source.name}", self)
        self._job.when_cancelled(self.stop)
        self._job.progressed.connect(self._on_share)
        self._job.ended.connect(self._on_slide)
        self.changed.emit()

    def stop(self) -> None:
        """Give the export of slides up; what is not whole yet is removed."""
        if self._slides_process is not None and self._writing:
            self._stopped, self._waiting = True, []
            # For good: it may not have been started yet.
            self._slides_process.close()
            self._slides_process = None
            notifications.show_info("The export was given up.")

    def _on_share(self, share: float) -> None:
        self._share = share
        self.changed.emit()

    def _on_slide(self, reply: messages.Final) -> None:
        self._job, targets, self._writing = None, self._writing, {}
        if isinstance(reply, messages.SlideExported):
            if self._waiting:
                self._next_slide()
                return
            if self._done:
                notifications.show_info(self._done)
        else:
            for folder in {path.parent for path in targets.values()}:
                sweep(folder)
            if isinstance(reply, messages.Failed) and not self._stopped:
                names = ", ".join(path.name for path in targets.values())
                notifications.show_failure(reply, f"exporting {names}")
                self._done = ""
            if self._waiting:
                self._next_slide()
                return
        if self._slides_process is not None:
            # A process that waits holds memory; exports are seldom.
            self._slides_process.close()
            self._slides_process = None
        self.changed.emit()

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
            {index: copy(plane) for index, plane in self._with_objects(key)},
            self._session.class_names.kinds(max(classes, default=0)),
        )

    def _with_objects(self, key: int) -> Iterator[tuple[PlaneIndex, Plane]]:
        """Go through the planes of an image that have objects of its size."""
        source = self._workspace.sources[key]
        for index, plane in self._session.images[key].planes.items():
            if plane.instances is not None and fits(source, index, plane.instances):
                yield index, plane

    def _has_objects(self, key: int) -> bool:
        result = self._session.images[key].on_disk
        if result is not None:
            return result.n_left > 0
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

    def _run(self, writes: Sequence[Callable[[], object]], done: str) -> None:
        self._done = done
        progress = {"total": len(writes), "desc": "ImPartial: exporting"}
        self._worker = create_worker(_written, writes, _progress=progress)
        # Methods of ours, so that nobody is called when the dock is gone.
        self._worker.returned.connect(self._on_returned)
        self._worker.errored.connect(self._on_errored)
        self._worker.start()
        self.changed.emit()

    def _on_returned(self, problem: str) -> None:
        self._worker = None
        if problem:
            self._waiting = []
            notifications.show_error(problem)
        elif self._waiting:
            self._next_slide()
            return
        else:
            notifications.show_info(self._done)
        self.changed.emit()

    def _on_errored(self, _: Exception) -> None:
        # A fault of the program: it has been raised and shown.
        self._worker, self._waiting = None, []
        self.changed.emit()


def _written(writes: Sequence[Callable[[], object]]) -> Generator[None, None, str]:
    """Write one after the other; return what went wrong, where the user can mend it."""
    try:
        for write in writes:
            write()
            yield
    except (ImPartialError, OSError) as error:
        return str(error)
    except MemoryError:
        return "There is not enough memory to put the objects together."
    return ""
