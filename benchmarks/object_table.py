"""Time the table of objects: fill, sort, filter, select, and the measurements behind it.

bash scripts/with_display.sh python -m benchmarks.object_table
bash scripts/with_display.sh python -m benchmarks.object_table --slide --objects 1000000

With --slide the table is read from a file, as that of a whole slide. Of each step the time until
it is done, and how long the window stood still at most.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication
from skimage.measure import regionprops_table

from napari_impartial.core.data.image import Image
from napari_impartial.core.instances.measurements import measure
from napari_impartial.core.instances.table_filter import Condition
from napari_impartial.gui.background import Latest
from napari_impartial.gui.review.review_panel import ReviewPanel
from napari_impartial.io.object_files import read_table, write_table

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


def timed(what: str, act: Callable[[], Any], until: Callable[[], bool] = lambda: True) -> Any:
    """Do something, and print how long it took and how long no timer of the window was heard."""
    beats: list[float] = []
    timer = QTimer()
    timer.timeout.connect(lambda: beats.append(time.perf_counter()))
    timer.start(2)
    started = time.perf_counter()
    result = act()
    while QApplication.processEvents() or not beats or not until():
        time.sleep(0.001)
    took = time.perf_counter() - started
    timer.stop()
    stop = np.diff([started, *beats]).max()
    print(f"{what:<40}{1000 * took:8.0f} ms, longest stop {1000 * stop:6.0f} ms", flush=True)
    return result


def columns(n: int) -> dict[str, np.ndarray]:
    """Return a table of n objects, as of a slide with two channels."""
    rng = np.random.default_rng(0)
    table: dict[str, np.ndarray] = {"label": np.arange(1, n + 1)}
    table |= {f"centroid_{axis}": rng.uniform(0, 40_000, n) for axis in "yx"}
    table["area_px"] = rng.integers(50, 400, n)
    for name in ("confidence", "doubt", "uncertainty", "mean_a", "mean_b", "major_axis_px",
                 "minor_axis_px", "eccentricity", "orientation_deg", "solidity"):  # fmt: skip
        table[name] = rng.random(n)
    for side, of in (("y0", "y"), ("x0", "x"), ("y1", "y"), ("x1", "x")):
        table[f"bbox_{side}"] = table[f"centroid_{of}"].astype(int) + 10 * int(side[1]) - 5
    return table


def read(n: int) -> dict[str, np.ndarray]:
    """Write a table, and read it while the window goes on."""
    found: list[dict[str, np.ndarray]] = []
    reading = Latest()
    reading.done.connect(found.append)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_table(path, columns(n))
        print(f"{n} rows of {path.stat().st_size / 1e6:.0f} MB")
        timed("read", lambda: reading.request(lambda: read_table(path)), lambda: bool(found))
    print(f"{sum(column.nbytes for column in found[0].values()) / 1e6:.0f} MB in memory")
    return found[0]


def measured(n: int) -> dict[str, np.ndarray]:
    """Measure objects in an image."""
    labels = squares(n)
    rng = np.random.default_rng(0)
    image = Image(rng.random((2, *labels.shape), dtype=np.float32), ("a", "b"))
    foreground = rng.random(labels.shape, dtype=np.float32)
    probability = np.stack([1 - foreground, foreground])
    print(f"{n} objects in {labels.shape[0]} x {labels.shape[1]} pixels")
    table: dict[str, np.ndarray] = timed(
        "measure", lambda: measure(labels, image, probability, foreground)
    )
    some = np.where(labels <= 1000, labels, 0)
    timed(
        "1000 of them by regionprops_table",
        lambda: regionprops_table(some, np.moveaxis(image.channels, 0, -1), properties=SHAPE),
    )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=50_000)
    parser.add_argument("--slide", action="store_true")
    arguments = parser.parse_args()
    n = arguments.objects
    application = QApplication.instance() or QApplication([])
    import pandas  # noqa: F401  (which napari has loaded by the time that there is a table)

    table = read(n) if arguments.slide else measured(n)
    panel = ReviewPanel()
    panel.show()
    view, model = panel.table, panel.table.table_model()
    timed("fill", lambda: panel.set_table(table))
    names = [
        str(model.headerData(i, Qt.Orientation.Horizontal)) for i in range(model.columnCount())
    ]

    def sort(name: str, order: Qt.SortOrder) -> None:
        view.sortByColumn(names.index(name), order)

    def sorted_() -> bool:
        return not model._ranking.busy

    timed("sort by area", lambda: sort("area px", Qt.SortOrder.DescendingOrder), sorted_)
    timed("sort by confidence", lambda: sort("confidence", Qt.SortOrder.AscendingOrder), sorted_)
    timed("filter", lambda: panel.filter.setValue(Condition("confidence", ">", "0.5")))
    timed("filter off", lambda: panel.filter.setValue(Condition()))
    timed("find the row of an object", lambda: view.select(n // 2))
    timed("reject one", lambda: view.set_verdicts({n // 2: "rejected"}), sorted_)
    timed("take that back", lambda: view.set_verdicts({}), sorted_)
    timed("select all", view.selectAll)
    chosen = timed("labels of what is selected", view.selected)
    assert len(chosen) == n == model.rowCount()
    if not arguments.slide:
        timed("verdicts on all", lambda: view.set_verdicts(dict.fromkeys(chosen, "accepted")))
        timed("sort with all selected", lambda: sort("area px", Qt.SortOrder.AscendingOrder))
    view.clearSelection()
    timed("histogram", lambda: panel._show_histogram.setChecked(True))
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    panel.close()
    del application


if __name__ == "__main__":
    main()
