"""How the values of one measurement are spread."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from qtpy.QtGui import QColor, QPalette
from qtpy.QtWidgets import QWidget

_BINS = 40
_COLOUR = "#4c9be8"


class Histogram(pg.GraphicsLayoutWidget):
    """Bars of how many objects have which value.

    Put together from axes and a view box, for the reasons that the loss plot has.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setBackground(None)
        self.setObjectName("histogram")
        self.setAccessibleName("Histogram")
        self.setToolTip("How many of the objects in the table have which value.")
        self.setFixedHeight(110)
        box = pg.ViewBox(enableMenu=False, enableMouse=False, defaultPadding=0.02)
        self._axes = [pg.AxisItem("left", linkView=box), pg.AxisItem("bottom", linkView=box)]
        self._bars = pg.BarGraphItem(x=[0.0], height=[0], width=1.0, brush=_COLOUR, pen=None)
        box.addItem(self._bars)
        self.addItem(self._axes[0], 0, 0)
        self.addItem(box, 0, 1)
        self.addItem(self._axes[1], 1, 1)
        self.ci.setContentsMargins(0, 4, 8, 0)
        self.ci.setSpacing(0)
        self.counts: npt.NDArray[np.intp] = np.zeros(0, dtype=np.intp)
        self._made = True

    def set_values(self, values: npt.NDArray[Any], name: str = "") -> None:
        """Show the spread of values; those that are not finite are left out."""
        finite = np.asarray(values, dtype=np.float64)
        finite = finite[np.isfinite(finite)]
        self._axes[1].setLabel(name)
        if not len(finite):
            self.counts = np.zeros(0, dtype=np.intp)
            self._bars.setOpts(x=[0.0], height=[0], width=1.0)
            return
        self.counts, edges = np.histogram(finite, bins=_BINS)
        width = edges[1] - edges[0]
        self._bars.setOpts(x=edges[:-1] + width / 2, height=self.counts, width=width)

    def changeEvent(self, event: Any) -> None:
        """Follow the theme: axes in the colour of text."""
        super().changeEvent(event)
        # Qt calls this while the widget is being made, too.
        if getattr(self, "_made", False) and event.type() in (
            event.Type.PaletteChange,
            event.Type.StyleChange,
        ):
            self._follow_theme()

    def showEvent(self, event: Any) -> None:
        """Take the theme's colours when first seen."""
        super().showEvent(event)
        self._follow_theme()

    def _follow_theme(self) -> None:
        text: QColor = self.palette().color(QPalette.ColorRole.WindowText)
        for axis in self._axes:
            axis.setPen(text)
            axis.setTextPen(text)
