"""A plot without menus or mouse, in the colours of the theme."""

from __future__ import annotations

from typing import Any

import pyqtgraph as pg
from qtpy.QtGui import QPalette


class PlainPlot(pg.GraphicsLayoutWidget):
    """Two axes round a view box.

    Put together from these parts: pyqtgraph's ready-made plot brings menus along that
    nobody needs here and that outlive it.

    Attributes
    ----------
    box : pyqtgraph.ViewBox
        What is drawn goes here.
    left, bottom : pyqtgraph.AxisItem
    """

    def __init__(self, height_px: int, left: pg.AxisItem | None = None) -> None:
        super().__init__()
        self.setBackground(None)
        self.setFixedHeight(height_px)
        self.box = pg.ViewBox(enableMenu=False, enableMouse=False, defaultPadding=0.03)
        self.left = pg.AxisItem("left") if left is None else left
        self.left.linkToView(self.box)
        self.bottom = pg.AxisItem("bottom", linkView=self.box)
        self.addItem(self.left, 0, 0)
        self.addItem(self.box, 0, 1)
        self.addItem(self.bottom, 1, 1)
        for axis in (self.left, self.bottom):
            axis.enableAutoSIPrefix(False)  # "seconds (x1e+03)" helps nobody
        self.ci.setContentsMargins(0, 4, 8, 4)  # the descenders of a label below
        self.ci.setSpacing(0)
        self._made = True

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

    def wheelEvent(self, event: Any) -> None:
        """Leave the wheel to the panel that the plot is in: there is nothing to zoom."""
        event.ignore()

    def _follow_theme(self) -> None:
        text = self.palette().color(QPalette.ColorRole.WindowText)
        for axis in (self.left, self.bottom):
            axis.setPen(text)
            axis.setTextPen(text)
        # pyqtgraph has Qt keep the background; it would stay that of the last theme.
        self.resetCachedContent()
