"""The live loss curves."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QStackedWidget, QVBoxLayout, QWidget

from napari_impartial.core.training.messages import TrainingProgress

from .parts import fill
from .plots import PlainPlot
from .text_labels import tell

MOST_POINTS = 600

_CURVES = {
    "training": ("#4c9be8", 2, Qt.PenStyle.SolidLine),
    "held out": ("#ff9f1c", 2, Qt.PenStyle.SolidLine),
    "scribble": ("#4c9be8", 1, Qt.PenStyle.DashLine),
    "reconstruction": ("#2fd06a", 1, Qt.PenStyle.DashLine),
}
# What the legend calls them.
_NAMES = {
    "training": "all",
    "held out": "strokes kept aside",
    "scribble": "strokes",
    "reconstruction": "image",
}


def legend(names: Collection[str]) -> str:
    """Return these curves' names in their colours, as rich text; breaks between names."""
    parts = [
        f"<span style='color:{colour}'>{'&#9632;' if width == 2 else '&#8230;'}</span>&nbsp;"
        + _NAMES[name].replace(" ", "&nbsp;")
        for name, (colour, width, _) in _CURVES.items()
        if name in names
    ]
    return f"<small>{'&nbsp; '.join(parts)}</small>"


class LossPlot(PlainPlot):
    """Training and held-out loss against time, with the parts of the former."""

    def __init__(self) -> None:
        super().__init__(125)
        self.setObjectName("loss_plot")
        self.setAccessibleName("Loss curves")
        self.setToolTip(
            "How wrong the network is, over the seconds of training: on the strokes that it learns "
            "from (and on the image, whose hidden pixels it guesses and where its outlines should "
            "lie) and, where there are enough to keep some aside, on those. Falling is good; if "
            "those kept aside rise again, more strokes would help."
        )
        self.bottom.setLabel("seconds")
        self._curves = {}
        for name, (colour, width, style) in _CURVES.items():
            pen = pg.mkPen(colour, width=width * self.devicePixelRatioF(), style=style)
            self._curves[name] = pg.PlotCurveItem(pen=pen, antialias=True)
            self.box.addItem(self._curves[name])
        self.clear_points()

    def clear_points(self) -> None:
        """Begin anew."""
        self._points: dict[str, list[tuple[float, float]]] = {name: [] for name in _CURVES}
        for curve in self._curves.values():
            curve.setData([], [])

    def add(self, progress: TrainingProgress) -> None:
        """Add the state of training to the curves; long ones are thinned out."""
        now = progress.elapsed_s
        self._points["training"].append((now, progress.training.total))
        self._points["scribble"].append((now, progress.training.scribble))
        self._points["reconstruction"].append((now, progress.training.reconstruction))
        if progress.validation is not None:
            self._points["held out"].append((now, progress.validation.total))
        for name, points in self._points.items():
            if len(points) > MOST_POINTS:
                # A plot is a few hundred pixels wide; an hour of training would else slow
                # the window down more and more.
                del points[1:-1:2]
            if points:
                x, y = np.transpose(points)
                self._curves[name].setData(x, y)

    def drawn(self) -> list[str]:
        """Return the names of the curves that have points."""
        return [name for name, points in self._points.items() if points]

    def values(self, name: str) -> list[float]:
        """Return the losses of one curve so far."""
        return [y for _, y in self._points[name]]


class LossCurves(QStackedWidget):
    """The plot with the names of its curves, or a sentence in its room while there is none.

    Attributes
    ----------
    plot : LossPlot
    """

    def __init__(self) -> None:
        super().__init__()
        self.plot = LossPlot()
        self._note = QLabel("While training runs, its loss curves are drawn here.")
        self._note.setObjectName("loss_note")
        self._note.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._names = QLabel()
        # Their room is kept from the start; what is held out is seldom there.
        tell(self._names, legend([name for name in _CURVES if name != "held out"]))
        for label in (self._note, self._names):
            label.setWordWrap(True)
            label.setToolTip(self.plot.toolTip())
        self._drawn = QWidget()
        fill(QVBoxLayout(self._drawn), self.plot, self._names, margins=(0, 0, 0, 0))
        self.addWidget(self._note)
        self.addWidget(self._drawn)

    def clear_points(self) -> None:
        """Begin anew."""
        self.plot.clear_points()
        self.setCurrentWidget(self._note)

    def add(self, progress: TrainingProgress) -> None:
        """Add the state of training to the curves."""
        self.plot.add(progress)
        if len(self.plot.values("training")) > 1:
            tell(self._names, legend(self.plot.drawn()))
            self.setCurrentWidget(self._drawn)
