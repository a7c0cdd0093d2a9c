"""Time the table of objects: fill, sort, filter, select, and the measurements behind it.

bash scripts/with_display.sh python -m benchmarks.object_table
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication
from skimage.measure import regionprops_table

from napari_impartial.core.data.image import Image
from napari_impartial.core.instances.measurements import measure
from napari_impartial.core.instances.table_filter import Condition
from napari_impartial.gui.review.review_panel import ReviewPanel

SIDE, GAP = 12, 2
SHAPE = (
    "area",
    "centroid",
    "axis_major_length",
    "axis_minor_length",
    "eccentricity",
    "orientation",
    "solidity",
    "bbox",
    "intensity_mean",
)


def squares(n: int) -> np.ndarray:
    """Return a label image with n square cells in rows."""
    side = int(np.ceil(np.sqrt(n)))
    cell = np.zeros((SIDE, SIDE), bool)
    cell[GAP:, GAP:] = True
    ids = np.arange(1, side * side + 1).reshape(side, side)
    ids[ids > n] = 0
    return np.kron(ids, cell).astype(np.int32)


def timed(what: str, act: Callable[[], Any]) -> Any:
    started = time.perf_counter()
    result = act()
    QApplication.processEvents()
    print(f"{what:<44}{1000 * (time.perf_counter() - started):8.0f} ms", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=50_000)
    arguments = parser.parse_args()
    n = arguments.objects
    application = QApplication.instance() or QApplication([])
    labels = squares(n)
    rng = np.random.default_rng(0)
    image = Image(rng.random((2, *labels.shape), dtype=np.float32), ("a", "b"))
    foreground = rng.random(labels.shape, dtype=np.float32)
    probability = np.stack([1 - foreground, foreground])
    print(f"{n} objects in {labels.shape[0]} x {labels.shape[1]} pixels")
    table = timed("measure", lambda: measure(labels, image, probability, foreground))
    some = np.where(labels <= 1000, labels, 0)
    timed(
        "1000 of them by regionprops_table",
        lambda: regionprops_table(some, np.moveaxis(image.channels, 0, -1), properties=SHAPE),
    )
    panel = ReviewPanel()
    panel.show()
    view, model = panel.table, panel.table.table_model()
    timed("fill", lambda: panel.set_table(table))
    timed("sort by area", lambda: view.sortByColumn(2, Qt.SortOrder.DescendingOrder))
    timed("sort by confidence", lambda: view.sortByColumn(4, Qt.SortOrder.AscendingOrder))
    timed("filter", lambda: panel.filter.setValue(Condition("confidence", ">", "0.5")))
    timed("filter off", lambda: panel.filter.setValue(Condition()))
    timed("find the row of an object", lambda: view.select(n // 2))
    timed("select all", view.selectAll)
    chosen = timed("labels of what is selected", view.selected)
    assert len(chosen) == n == model.rowCount()
    timed("verdicts on all", lambda: panel.set_verdicts(dict.fromkeys(chosen, "accepted")))
    timed("sort with all selected", lambda: view.sortByColumn(2, Qt.SortOrder.AscendingOrder))
    timed("histogram", lambda: panel._show_histogram.setChecked(True))
    panel.close()
    del application


if __name__ == "__main__":
    main()
