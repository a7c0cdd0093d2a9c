"""Shared fixtures, and a guard that fails a test which leaves a thread or a window behind."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_impartial.core.torch_env import wait_passively

if TYPE_CHECKING:
    from forking import Nursery

    from napari_impartial.core.data.scribbles import Scribbles
    from napari_impartial.core.data.synthetic_tissue import Tissue

# As the program's own processes do, or a busy machine makes timed trainings many times as long.
wait_passively(os.environ)

# How long a thread or window that is just ending may take to be gone.
GRACE_S = 3.0
# Threads that libraries keep for the whole process, by the start of their name or class.
# Dummies stand for threads of Qt's pool in Python's books and stay there; whether such a
# thread is still at work, the pool itself says.
# ("IO loop" is distributed's, one for the process; a client that reached nobody leaves it.)
LASTING_THREADS = ("TMonitor", "tqdm", "_DummyThread", "zarr_io", "asyncio_", "IO loop")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(autouse=True, scope="session")
def files_stay_in_memory() -> Iterator[None]:
    """Do not wait until files are on the disk: no test cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", bool)
        yield


@pytest.fixture(scope="session")
def tiny_tissue() -> Tissue:
    """Two channels of 96 x 96 px with a handful of cells, and their truth."""
    from napari_impartial.core.data.synthetic_tissue import tissue

    return tissue(shape=(96, 96), n_channels=2, seed=1)


@pytest.fixture(scope="session")
def tiny_scribbles(tiny_tissue: Tissue) -> Scribbles:
    """Strokes in about a third of the tiny tissue's cells."""
    from napari_impartial.core.data.mask_scribbles import simulate

    scribbles, _ = simulate(tiny_tissue.truth, 0.34, np.random.default_rng(1))
    return scribbles


@pytest.fixture(scope="session")
def nursery() -> Iterator[Callable[[], Nursery]]:
    """Return what processes are forked off, started when it is first needed."""
    made: list[Nursery] = []

    def get() -> Nursery:
        from forking import Nursery

        if not made:
            made.append(Nursery())
        return made[0]

    yield get
    for one in made:
        one.close()


@pytest.fixture
def runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do the runs of a benchmark in this process, which has loaded its libraries.

    Runs in processes of their own are tested by test_benchmark_of_both_methods and
    test_children.py.
    """
    import json

    from napari_impartial.cli.output import plain, to_json
    from napari_impartial.experiments import benchmark_run

    def run(spec: dict[str, Any], report: Callable[[float], None]) -> list[dict[str, Any]]:
        # What a process is given, and what it gives back, is text.
        results = benchmark_run.run(json.loads(json.dumps(plain(spec))))
        return [{**one, "wall_s": 0.0} for one in json.loads(to_json(results))]

    monkeypatch.setattr("napari_impartial.experiments.benchmark.run_apart", run)


@pytest.fixture
def write_results() -> Callable[..., dict[str, Path]]:
    """Writes results of a slide, as a run leaves them, of objects that are given."""

    def write(folder: Path, labels: Any, **about: Any) -> dict[str, Path]:
        import itertools

        from napari_impartial.core.instances.measurements import measure
        from napari_impartial.io.object_files import write_table
        from napari_impartial.io.ome_zarr_writer import Layout, create, create_labels

        folder.mkdir(exist_ok=True)
        made = {
            "store": folder / "slide_objects.ome.zarr",
            "table": folder / "slide_objects_measurements.csv",
            "places": folder / "slide_objects_suggestions.json",
        }
        axes = "ZYX"[-labels.ndim :]
        create(made["store"], Layout((1, *labels.shape), f"C{axes}", np.float32))
        layout = Layout(labels.shape, axes, np.int32, "instances", labels=True, chunk_px=256)
        arrays = create_labels(made["store"], layout)
        arrays[0][...] = labels
        for fine, coarse in itertools.pairwise(arrays):
            coarse[...] = np.asarray(fine)[..., ::2, ::2]
        planes = labels.reshape(-1, *labels.shape[-2:])
        tables = [measure(plane) for plane in planes]
        table = {name: np.concatenate([one[name] for one in tables]) for name in tables[0]}
        if labels.ndim > 2:
            table["z"] = np.repeat(np.arange(len(planes)), [len(one["label"]) for one in tables])
        write_table(made["table"], {**table, **about})
        made["places"].write_text("[]", "utf-8")
        return made

    return write


def _qt(name: str) -> Any:
    """Return a module of the Qt binding in use; None if none was loaded."""
    found = (sys.modules.get(f"{binding}.{name}") for binding in ("PyQt6", "PySide6"))
    return next((module for module in found if module is not None), None)


def _windows() -> list[Any]:
    """Top-level widgets that exist; none, at no cost, where a test did not load Qt."""
    widgets = _qt("QtWidgets")
    application = widgets.QApplication.instance() if widgets else None
    return list(application.topLevelWidgets()) if application is not None else []


def _busy_pool_threads() -> int:
    core = _qt("QtCore")
    return core.QThreadPool.globalInstance().activeThreadCount() if core else 0


def _process_events() -> None:
    core = _qt("QtCore")
    if core is not None and core.QCoreApplication.instance() is not None:
        core.QCoreApplication.sendPostedEvents(None, core.QEvent.Type.DeferredDelete)
        core.QCoreApplication.processEvents()


def _lasting(thread: threading.Thread) -> bool:
    return type(thread).__name__ in LASTING_THREADS or thread.name.startswith(LASTING_THREADS)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail the test if a thread it started, or a window it opened, outlives it."""
    threads_before = set(threading.enumerate())
    windows_before = {id(window) for window in _windows()}
    yield

    def left() -> list[str]:
        threads = [
            f"thread {thread.name}"
            for thread in threading.enumerate()
            if thread not in threads_before and thread.is_alive() and not _lasting(thread)
        ]
        busy = _busy_pool_threads()
        pool = [f"{busy} running task(s) in Qt's thread pool"] if busy else []
        windows = [
            f"window {type(window).__module__}.{type(window).__name__} {window.objectName()!r}"
            for window in _windows()
            if id(window) not in windows_before
        ]
        return threads + pool + windows

    if not left():
        return
    # What was only to be deleted later is gone now, and garbage needs not be looked for.
    _process_events()
    if not left():
        return
    gc.collect()
    deadline = time.monotonic() + GRACE_S
    while (found := left()) and time.monotonic() < deadline:
        _process_events()
        time.sleep(0.02)
    if found:
        pytest.fail("The test leaves behind: " + ", ".join(found), pytrace=False)
