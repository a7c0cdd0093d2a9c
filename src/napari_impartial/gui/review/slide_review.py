"""Objects of a whole slide: their table, read from disk, and decisions about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, Signal

from napari_impartial.core.data.boxes import centre
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.review.found_again import find_again
from napari_impartial.core.review.review import Verdict
from napari_impartial.core.review.spot_check import PlaneTable
from napari_impartial.core.words import count
from napari_impartial.gui import notifications
from napari_impartial.gui.background import Latest
from napari_impartial.gui.layers.fields import level_of
from napari_impartial.gui.layers.workspace import Workspace
from napari_impartial.io.object_files import Table, read_table
from napari_impartial.session.image_record import ImageRecord, SlideDecision, SlideResult
from napari_impartial.session.plane import PlaneIndex
from napari_impartial.session.undo import Decision, DecisionLog

_BOX = ("bbox_y0", "bbox_x0", "bbox_y1", "bbox_x1")


@dataclass(frozen=True)
class _Scale:
    """Size of a table's pixels in those of the finest resolution, and its columns of planes."""

    factor: tuple[float, float]
    letters: tuple[str, ...]


@dataclass(frozen=True)
class _Read:
    """A table that was read on a thread, or why not."""

    key: int
    result: SlideResult
    table: Table
    decisions: Mapping[int, SlideDecision]
    problem: str = ""


class SlideReview(QObject):
    """Shows the table of the slide in front, and keeps what is decided about its objects.

    Signals
    -------
    counted
        Number of objects of the slide in front.
    measured
        Table of them; empty as long as it is being read.
    decided
        Other decisions are there about the objects of some slide.
    returned
        Labels of objects that an undone decision was about.
    """

    counted = Signal(int)
    measured = Signal(object)
    decided = Signal()
    returned = Signal(object)

    def __init__(
        self, workspace: Workspace, log: DecisionLog, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._session = workspace.session
        self._log = log
        # The table that was read last, and of what.
        self._table: Table = {}
        self._table_of: tuple[int, str] | None = None
        self._reading = Latest(self)
        self._reading.done.connect(self._on_read)
        workspace.plane_changed.connect(self._show)
        self._session.result_changed.connect(self._on_result)

    def let_go(self) -> None:
        """Stop listening; the dock is going."""
        self._session.result_changed.disconnect(self._on_result)

    def accept(self, labels: Sequence[int]) -> None:
        """Say that objects of the slide in front are right."""
        self._decide(labels, Verdict.ACCEPTED, "accepting")

    def reject(self, labels: Sequence[int]) -> None:
        """Say that objects of the slide in front are none: they are shown and counted no more."""
        self._decide(labels, Verdict.REJECTED, "rejecting")

    def place_of(self, label: int) -> tuple[PlaneIndex, tuple[float, float, float, float]] | None:
        """Return where an object of the slide in front lies: plane, and box in its finest pixels.

        None where no slide is in front, or it has no such object.
        """
        found = self._in_front()
        if found is None:
            return None
        made = self._described([label], Verdict.ACCEPTED, found)
        return (made[label].plane, made[label].box) if label in made else None

    @property
    def ready(self) -> bool:
        """Return whether a slide is in front, and its table is there."""
        return self._in_front() is not None

    def objects(self) -> list[PlaneTable]:
        """Return what a sample of the slide in front is drawn from; nothing where there is none."""
        found = self._in_front()
        if found is None:
            return []
        key, _, result = found
        source, scale = self._workspace.sources[key], self._scale(key, result)
        left = ~np.isin(self._table["label"], result.rejected)
        table = {name: self._table[name][left] for name in self._table if name != "class_name"}
        boxes, planes = _boxes(table, scale), _planes(table, scale)
        areas = table["area_px"] * float(np.prod(scale.factor))
        made = []
        for index in np.ndindex(*(length for _, length in source.stack)):
            mine = (planes == np.array(index, np.int64)).all(axis=1)
            parts = table["label"][mine], areas[mine], boxes[mine]
            made.append(PlaneTable(0, *parts, source.plane_shape, tuple(index)))
        return made

    def _in_front(self) -> tuple[int, ImageRecord, SlideResult] | None:
        """Return the slide in front, where its table is there."""
        key, record = self._session.current, self._session.record
        if key is None or record is None or record.on_disk is None:
            return None
        known = self._table_of == (key, record.on_disk.mark) and bool(self._table)
        return (key, record, record.on_disk) if known else None

    def _scale(self, key: int, result: SlideResult) -> _Scale:
        source = self._workspace.sources[key]
        factor = level_of(source, result.level).factor
        return _Scale(factor, tuple(letter.lower() for letter, _ in source.stack))

    def _described(
        self, labels: Sequence[int], verdict: Verdict, found: tuple[int, ImageRecord, SlideResult]
    ) -> dict[int, SlideDecision]:
        """Return the decision about each of some objects, but for those that are not there."""
        key, _, result = found
        known, wanted = self._table["label"], np.asarray(labels, dtype=np.int64)
        rows = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        rows = rows[known[rows] == wanted]
        return _describe(self._table, rows, self._scale(key, result), [verdict] * len(rows))

    def _decide(self, labels: Sequence[int], verdict: Verdict, doing: str) -> None:
        found = self._in_front()
        if found is None:
            return
        key, record, result = found
        before = result.decisions
        new = self._described(labels, verdict, found)
        new = {i: one for i, one in new.items() if i not in before or before[i] != one}
        if not new:
            return
        record.on_disk = result.with_decisions({**before, **new})
        what = f"object {next(iter(new))}" if len(new) == 1 else f"{len(new):,} objects"
        undo = partial(self._undo, key, result.mark, {i: before.get(i) for i in new})
        spots = [centre(one.box) for one in new.values()]
        where = key, next(iter(new.values())).plane
        self._log.push(Decision(f"{doing} {what}", undo, None, where=where, spots=spots))
        self._follow(key, verdict is Verdict.REJECTED or any(i in before for i in new))

    def _undo(self, key: int, mark: str, before: Mapping[int, SlideDecision | None]) -> None:
        """Put decisions about some objects back as they were."""
        record = self._session.images.get(key)
        if record is None or record.on_disk is None or record.on_disk.mark != mark:
            return
        now = dict(record.on_disk.decisions)
        for label, one in before.items():
            now.pop(label, None)
            if one is not None:
                now[label] = one
        record.on_disk = record.on_disk.with_decisions(now)
        self._follow(key)
        if key == self._session.current:
            self.returned.emit(list(before))

    def _follow(self, key: int, redraw: bool = True) -> None:
        """Show what decisions make of a slide."""
        record = self._session.images[key]
        assert record.on_disk is not None
        if redraw:
            self._workspace.slides.hide(self._workspace.sources[key], record.on_disk.rejected)
        if key == self._session.current:
            self.counted.emit(record.on_disk.n_left)
        self.decided.emit()
        self._session.changed.emit()

    def _on_result(self, key: int) -> None:
        """Take up another result of a slide."""
        record = self._session.images.get(key)
        if record is None or record.on_disk is None:
            return
        result = record.on_disk
        self._log.strike(lambda one: one.where is not None and one.where[0] == key)
        if result.rejected:
            self._workspace.slides.hide(self._workspace.sources[key], result.rejected)
        if key == self._session.current:
            self._show()
        elif not result.is_settled:
            self._read(key, result)

    def _show(self) -> None:
        """Show count and table of the slide in front."""
        key, record = self._session.current, self._session.record
        result = None if record is None else record.on_disk
        if self._table_of is not None and self._table_of[0] not in self._session.images:
            self._table, self._table_of = {}, None
        if key is None or result is None:
            return
        self.counted.emit(result.n_left)
        if self._in_front() is not None and result.is_settled:
            self.measured.emit(self._table)
            return
        self.measured.emit({})
        self._read(key, result)

    def _read(self, key: int, result: SlideResult) -> None:
        """Read a table on a thread."""
        self._reading.request(partial(_read, key, result, self._scale(key, result)), key)

    def _on_read(self, read: _Read) -> None:
        record = self._session.images.get(read.key)
        now = None if record is None else record.on_disk
        if record is None or now is None or now.mark != read.result.mark:
            return
        if read.problem:
            notifications.show_warning(read.problem)
            return
        if not now.is_settled:
            lost = len(now.decided) - len(read.decisions)
            record.on_disk = now.with_decisions(read.decisions)
            if lost:
                notifications.show_info(
                    f"{count(lost, 'decision')} about objects of the earlier result of "
                    f"'{record.name}' {'was' if lost == 1 else 'were'} set aside: this one has no "
                    "such object there."
                )
            self._follow(read.key)
        if read.key == self._session.current:
            self._table, self._table_of = read.table, (read.key, now.mark)
            self.measured.emit(read.table)
            # A sample can be drawn from now on.
            self._session.changed.emit()


def _read(key: int, result: SlideResult, scale: _Scale) -> _Read:
    """Read a table, and find the objects again that decisions were about."""
    try:
        table = read_table(result.table)
    except ImPartialError as error:
        return _Read(key, result, {}, {}, f"The table of the slide's objects: {error}")
    if result.is_settled:
        return _Read(key, result, table, result.decisions)
    earlier = list(result.decided.values())
    rows = find_again(
        [one.box for one in earlier],
        _boxes(table, scale),
        [one.plane for one in earlier],
        _planes(table, scale),
    )
    verdicts = [one.verdict for one, row in zip(earlier, rows, strict=True) if row >= 0]
    return _Read(key, result, table, _describe(table, rows[rows >= 0], scale, verdicts))


def _describe(
    table: Table, rows: npt.NDArray[np.intp], scale: _Scale, verdicts: Sequence[Verdict]
) -> dict[int, SlideDecision]:
    """Return decisions about the objects of some rows."""
    some = {name: column[rows] for name, column in table.items()}
    kinds = some["class_name"].tolist() if "class_name" in some else [""] * len(rows)
    parts = zip(
        some["label"].tolist(),
        verdicts,
        map(tuple, _boxes(some, scale).tolist()),
        map(tuple, _planes(some, scale).tolist()),
        kinds,
        strict=True,
    )
    return {label: SlideDecision(*values) for label, *values in parts}


def _boxes(table: Table, scale: _Scale) -> npt.NDArray[np.float64]:
    """Return the boxes of objects, (N, 4), in pixels of the finest resolution."""
    # The first pixel of a coarser level begins where that of the finest does.
    return np.stack([table[name] for name in _BOX], axis=1) * np.tile(scale.factor, 2)


def _planes(table: Table, scale: _Scale) -> npt.NDArray[np.int64]:
    """Return the planes of objects, (N, D); tables leave axes of length 1 out."""
    found = np.zeros((len(table["label"]), len(scale.letters)), np.int64)
    for column, letter in enumerate(scale.letters):
        if letter in table:
            found[:, column] = table[letter]
    return found
