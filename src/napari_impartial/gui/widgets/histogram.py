"""Histogram of one measurement."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from qtpy.QtCore import Qt

from .plots import PlainPlot

_BINS = 40
# The other axis, and a margin.
_BESIDE_LABEL_PX = 70
_COLOUR = "#4c9be8"


class _Counts(pg.AxisItem):
    """An axis for counts: there is no half object."""

    def tickSpacing(self, low: float, high: float, size_px: float) -> list[tuple[float, float]]:
        """Return the spacings of ticks that are whole numbers."""
        spacings = super().tickSpacing(low, high, size_px)
        return [(s, start) for s, start in spacings if s >= 1 and s == int(s)] or [(1.0, 0.0)]


class Histogram(PlainPlot):
    """Bars of how many objects have which value."""

    def __init__(self) -> None:
        super().__init__(134, _Counts("left"))
        self.setObjectName("histogram")
        self.setAccessibleName("Histogram")
        self.setToolTip("How many of the objects in the table have which value.")
        self.left.setLabel("objects")
        self._bars = pg.BarGraphItem(x=[0.0], height=[0], width=1.0, brush=_COLOUR, pen=None)
        self.box.addItem(self._bars)

    def set_values(self, values: npt.NDArray[Any], name: str) -> None:
        """Show the spread of values, named `name`; those that are not finite are left out."""
        # The axis would cut a long name off at both ends.
        self.bottom.setLabel(
            self.fontMetrics().elidedText(
                name, Qt.TextElideMode.ElideMiddle, self.width() - _BESIDE_LABEL_PX
            )
        )
        finite = np.asarray(values, dtype=np.float64)
        finite = finite[np.isfinite(finite)]
        if not len(finite):
            self._bars.setOpts(x=[0.0], height=[0], width=1.0)
            return
        counts, edges = np.histogram(finite, bins=_BINS)
        width = edges[1] - edges[0]
        self._bars.setOpts(x=edges[:-1] + width / 2, height=counts, width=width)
