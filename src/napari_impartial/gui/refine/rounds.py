"""Rounds of training: their masks, what changed between them, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, Signal

from napari_impartial.core.review.round_changes import (
    Changes,
    PackedLabels,
    agreement,
    compare,
    judge,
    picture,
    unpacked,
)
from napari_impartial.gui import notifications
from napari_impartial.gui.background import Latest
from napari_impartial.gui.layers import Role
from napari_impartial.gui.layers.workspace import Workspace
from napari_impartial.gui.review.review import ReviewControl
from napari_impartial.session.plane import PlaneKey
from napari_impartial.session.rounds import Round

from .suggestions import SuggestionControl

# Objects are compared once the slider that cut them rests, and they have been measured.
_PAUSE_MS = 600

Labels = npt.NDArray[np.int32]


@dataclass(frozen=True)
class _Comparison:
    """Comparison of two rounds on a thread: its input and its result."""

    since: Round
    before: dict[PlaneKey, Labels | PackedLabels]
    now: dict[PlaneKey, Labels]
    shown: PlaneKey | None
    judged: bool
    found: tuple[Changes, ...] = ()
    words: str = ""
    picture: npt.NDArray[np.uint8] | None = None

    def work_out(self) -> _Comparison:
        found, done = [], self
        for place, after in self.now.items():
            kept = self.before.get(place)
            before = None if kept is None else unpacked(kept)
            if before is None or before.shape != after.shape:
                continue
            changes = compare(before, after)
            found.append(changes)
            if place == self.shown:
                drawn = picture(changes, before, after)
                done = replace(self, words=_describe(changes), picture=drawn)
        return replace(done, found=tuple(found))


class RoundControl(QObject):
    """Keeps rounds, compares them and goes back to them.

    Changes are shown of one image. The comparison ends when another image comes to the front,
    and when a round is gone back to.

    Signals
    -------
    changed
        The list of rounds.
    compared
        What changed since another round, in words.
    judged
        Whether more scribbles still help, in words.
    comparison_ended
        Changes are no longer shown, without anybody having asked for that.
    """

    changed = Signal()
    compared = Signal(str)
    judged = Signal(str)
    comparison_ended = Signal()

    def __init__(
        self,
        workspace: Workspace,
        review: ReviewControl,
        suggestions: SuggestionControl,
        predict: Callable[[], None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._session = workspace.session
        self._review, self._suggestions = review, suggestions
        self._predict = predict
        self._chosen: int | None = None
        # The image whose changes are shown.
        self._showing: int | None = None
        self._comparing = Latest(self, _PAUSE_MS)
        self._comparing.done.connect(self._on_compared)
        self._packing = Latest(self)
        self._packing.done.connect(self._on_packed)
        self._session.result_changed.connect(self._on_result)
        self._session.changed.connect(self._on_session)
        workspace.plane_changed.connect(self.compare)

    def close(self) -> None:
        """Stop listening to the session; the dock is going."""
        self._session.result_changed.disconnect(self._on_result)
        self._session.changed.disconnect(self._on_session)

    def on_trained(self) -> None:
        """Take note of a new round, or of an old one that was gone back to."""
        self._pack()
        # What is suggested is an earlier round's now, and has to say so.
        self._suggestions.refresh()
        self.judged.emit("")
        self.compared.emit("")
        self.changed.emit()

    def choose(self, number: int | None) -> None:
        """Compare with this round from now on; None: with the one before."""
        self._chosen = number
        self.compare()

    def show(self, shown: bool) -> None:
        """Show or hide the layer of changes."""
        self._showing = self._session.current if shown else None
        if shown:
            self.compare()
        else:
            self._hide()

    def compare(self) -> None:
        """Work out what changed since the chosen round.

        Only planes that the present round predicted are compared: what an earlier one left
        has not changed, and says nothing of the training.
        """
        since = self._since(self._chosen)
        last = self._since(None)
        if since is None or last is None:
            return
        session = self._session
        now = {
            place: plane.instances
            for place, plane in session.rounds.predicted(session.planes())
            if plane.instances is not None
        }
        shown = None if session.current is None else (session.current, session.plane_index)
        request = _Comparison(since, dict(since.masks), now, shown, since is last)
        self._comparing.request(request.work_out)

    def roll_back(self, number: int) -> None:
        """Make an old round's model and masks the current ones."""
        session = self._session
        to = session.rounds.of_number(number)
        if to is None or session.busy or to is session.rounds.current:
            return
        if not to.model_path.is_file():
            notifications.show_error(f"The model of round {number} is no longer there.")
            return
        self._review.collect_all()
        self._end()
        replaced = session.go_back(to)
        # An image may be of another size than it was then.
        self._workspace.settle_all()
        for key, index in replaced:
            # What the later round saw there is not to be taken for this one's.
            for role in (Role.PROBABILITY, Role.UNCERTAINTY):
                self._workspace.results.blank(self._workspace.sources[key], index, role)
            if session.images[key].plane(index).cut is None:
                self._review.show_none(key, index)
        for (key, index), plane in session.planes():
            if plane.cut is not None and plane.instances is not None:
                self._review.show(key, index, plane.instances)
        self.on_trained()
        # For the heatmap, the suggestions and the sliders; the objects are there already.
        if not session.missing_for_prediction():
            self._predict()

    def _since(self, number: int | None) -> Round | None:
        """Return the round to compare with: that number, or the one before the current."""
        rounds = self._session.rounds
        if rounds.current is None:
            return None
        chosen = None if number in (None, rounds.current.number) else rounds.of_number(number or 0)
        return chosen or rounds.before_current()

    def _on_result(self, _: int) -> None:
        self.changed.emit()
        self.compare()

    def _on_compared(self, done: _Comparison) -> None:
        if done.judged:
            share = agreement(done.found)
            now = self._session.rounds.current
            scores = [
                one.held_out
                for one in self._session.rounds
                if now is not None and one.number <= now.number
            ]
            # Until the first of its predictions is there, half of what tells is not known.
            self.judged.emit(judge(scores, share) if done.now else "")
        since = f"Since round {done.since.number}: "
        self.compared.emit(since + done.words + "." if done.words else "")
        if done.shown is None or done.shown[0] != self._showing:
            return
        source = self._workspace.sources[done.shown[0]]
        if done.picture is None:
            self._hide()
            missing = f"The objects of round {done.since.number} are not known here."
            now = self._session.rounds.current
            if done.shown not in done.now and now is not None:
                missing = f"Round {now.number} has not predicted this yet: press Predict."
            notifications.show_info(missing)
            return
        results = self._workspace.results
        layer = results.write(source, done.shown[1], Role.CHANGES, done.picture)
        if layer is not None:
            layer.visible = True

    def _on_session(self) -> None:
        if self._showing != self._session.current:
            self._end()

    def _end(self) -> None:
        if self._showing is not None:
            self._showing = None
            self._hide()
            self.comparison_ended.emit()

    def _hide(self) -> None:
        # Of images that have left the session, too: their results are still in the viewer.
        for source in self._workspace.sources.values():
            layer = self._workspace.results.find(source, Role.CHANGES)
            if layer is not None:
                layer.visible = False

    def _pack(self) -> None:
        """Compress masks on a thread; an afternoon's rounds would fill the memory."""
        loose = self._session.rounds.loose_masks()

        def work_out() -> Any:
            return [(one, place, arr, PackedLabels.pack(arr)) for one, place, arr in loose]

        if loose:
            self._packing.request(work_out)

    def _on_packed(self, packed: list[tuple[Round, PlaneKey, Labels, PackedLabels]]) -> None:
        self._session.rounds.pack(packed)


def _describe(changes: Changes) -> str:
    """Say what changed, with the colours that it has in the layer of changes."""
    return (
        f"{len(changes.gained)} new (green), {len(changes.lost)} gone (pink), "
        f"{len(changes.changed)} changed (orange), {changes.n_same} the same"
    )
