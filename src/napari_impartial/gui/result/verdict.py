"""Agreement of model and result with the strokes, in the bar, and the way to each disagreement."""

from __future__ import annotations

from qtpy.QtCore import QObject

from napari_impartial.core.data.stroke_report import StrokeReport
from napari_impartial.core.words import count
from napari_impartial.gui.bar import Remark
from napari_impartial.gui.layers.camera import go_to
from napari_impartial.gui.layers.workspace import Workspace
from napari_impartial.session.plane import PlaneKey

_EXTENT_PX = 200.0
"""How much of an image is shown around a stroke."""


class VerdictControl(QObject):
    """Puts the verdict together, and goes to the places that it names."""

    def __init__(self, workspace: Workspace, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._session = workspace.session
        # The place that was shown last, by kind.
        self._shown: dict[str, int] = {}

    def remarks(self) -> list[Remark]:
        """Return what there is to say of the plane in view and its model."""
        plane, card = self._session.plane, self._session.card
        record = self._session.record
        if record is not None and record.on_disk is not None:
            return [Remark(f"{record.on_disk.words()} in all of the slide")]
        known = plane is not None and plane.prediction is not None
        n_objects = plane.n_objects if known and plane is not None else None
        if card is None or card.strokes is None or not known:
            return [] if n_objects is None else [Remark(count(n_objects, "object"))]
        here = {
            kind: self._places(card.strokes, kind) for kind in ("in_no_object", "contradicting")
        }
        return [
            Remark(words, kind if here.get(kind) else "")
            for words, kind in card.strokes.remarks(n_objects)
        ]

    def show(self, kind: str) -> None:
        """Go to the next place of a kind."""
        card = self._session.card
        places = [] if card is None or card.strokes is None else self._places(card.strokes, kind)
        if not places:
            return
        number = (self._shown.get(kind, -1) + 1) % len(places)
        self._shown[kind] = number
        (key, plane), y, x = places[number]
        self._workspace.bring(key)
        self._workspace.viewer.dims.ndisplay = 2
        source = self._workspace.sources[key]
        go_to(self._workspace.viewer, source, plane, y, x, _EXTENT_PX)

    def _places(self, report: StrokeReport, kind: str) -> list[tuple[PlaneKey, int, int]]:
        """Return places of images that are still there."""
        if kind not in ("in_no_object", "contradicting"):
            return []
        now = self._session.rounds.current
        learned = [] if now is None else list(now.learned)
        return [
            (learned[number], y, x)
            for number, y, x in getattr(report, kind)
            if number < len(learned) and learned[number][0] in self._session.images
        ]
