"""A real viewer with a real dock widget, and a guard against child processes left behind."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import npe2
import numpy as np
import pytest
from looking import settled

# A machine that is busy with other things may take its time; a very busy one, more.
PATIENCE_MS = int(os.environ.get("IMPARTIAL_PATIENCE_MS", "60000"))
SCALE, TRANSLATE = (0.5, 0.25), (10.0, 20.0)


@pytest.fixture(autouse=True)
def nothing_loaded_is_collected() -> None:
    """Keep what was there before a test out of the collector's way.

    napari collects garbage round every viewer and after each layer that is removed, and would
    walk through all of torch and scikit-learn each time: a fifth of the window's tests' time.
    """
    # Garbage first: what is frozen is never looked at again.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def manifests_are_read_once() -> Iterator[None]:
    """Read the manifests of plugins once: napari looks for plugins with each viewer."""
    read = npe2.PluginManifest.from_file
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(npe2.PluginManifest, "from_file", staticmethod(cache(read)))
        yield


@pytest.fixture(autouse=True, scope="session")
def pauses_are_short() -> Iterator[None]:
    """Wait a quarter of each pause after which the window does something by itself.

    A person's next stroke or key comes within such a pause, a test's at once; a fifth of the
    window's tests' time was waiting.
    """
    from qtpy.QtCore import QTimer

    from napari_impartial.gui import timers

    class Brisk(QTimer):
        def setInterval(self, msec: int) -> None:
            super().setInterval(msec // 4 if msec <= 1000 else msec)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timers, "QTimer", Brisk)
        yield


@pytest.fixture
def true_pauses(pauses_are_short: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait as long as a user does: for tests of the pauses themselves."""
    from qtpy.QtCore import QTimer

    from napari_impartial.gui import timers

    monkeypatch.setattr(timers, "QTimer", QTimer)


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that are chosen in a test, and how fast it trained, are not the user's."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sessions that nobody gave a place lie here, not among the user's own."""
    folder = tmp_path / "sessions"
    monkeypatch.setenv("NAPARI_IMPARTIAL_SESSIONS", str(folder))
    return folder


@pytest.fixture
def real_children() -> bool:
    """Whether training processes are started as for users; elsewhere they may be forked."""
    return sys.platform != "linux"


@pytest.fixture
def children(
    monkeypatch: pytest.MonkeyPatch, nursery: Callable[[], Any], real_children: bool
) -> Iterator[list[Any]]:
    """Record the child processes; those that outlive the viewer fail the test."""
    from napari_impartial.worker.client import TrainingProcess

    started: list[Any] = []
    spawn = TrainingProcess._spawn

    def recorded(self: TrainingProcess, theirs: Any) -> Any:
        if real_children:
            started.append(spawn(self, theirs))
        else:
            errors = self.folder / "errors.txt"
            started.append(nursery().fork(theirs.fileno(), errors))
        return started[-1]

    monkeypatch.setattr(TrainingProcess, "_spawn", recorded)
    yield started
    left = [child.pid for child in started if child.poll() is None]
    for child in started:
        child.kill()
        child.wait()
    assert not left, f"child processes outlive the viewer: {left}"


@pytest.fixture
def new_viewer(make_napari_viewer_proxy: Callable[[], Any]) -> Callable[[], Any]:
    """Open a viewer.

    Its main window looks at every event of every widget, in Python, to show a menu bar that was
    hidden when the mouse comes near. No test hides it, and that was a twentieth of their time.
    """
    from qtpy.QtWidgets import QApplication, QMainWindow

    def make() -> Any:
        made = make_napari_viewer_proxy()
        application = QApplication.instance()
        for window in application.topLevelWidgets():
            if isinstance(window, QMainWindow):
                application.removeEventFilter(window)
        return made

    return make


@pytest.fixture
def viewer(children: list[Any], new_viewer: Callable[[], Any]) -> Any:
    from napari.utils.notifications import notification_manager

    notification_manager.records.clear()
    return new_viewer()


@pytest.fixture
def notes() -> Callable[[], list[str]]:
    """Return what the user has been told so far."""
    from napari.utils.notifications import notification_manager

    return lambda: [str(note.message) for note in notification_manager.records]


@pytest.fixture
def max_steps() -> list[int]:
    """Steps after which a training ends, to be changed; 0: the time alone decides."""
    return [0]


@pytest.fixture
def widget(
    viewer: Any,
    max_steps: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """Return the dock widget; its presets train a network that is quick on a busy machine."""
    from napari_impartial.core import config
    from napari_impartial.gui.dock_widget import ImPartialWidget
    from napari_impartial.gui.train import training

    def small(name: str) -> config.Preset:
        return replace(
            config.get_preset(name),
            model=config.ModelConfig(base_features=8, depth=2),
            training=config.TrainingConfig(
                preset=name,
                patch_size=48,
                batch_size=4,
                precision="float32",
                max_steps=max_steps[0],
            ),
        )

    monkeypatch.setattr(training, "get_preset", small)

    made = ImPartialWidget(viewer)
    viewer.window.add_dock_widget(made, name="ImPartial", area="right")
    # What tests look at is in sight; how the dock begins is tested with a dock of its own.
    for step in made.steps.values():
        step.set_open(True)
    return made


@pytest.fixture
def find(widget: Any) -> Callable[[str], Any]:
    """Find a part of the dock widget by its object name."""
    from qtpy.QtWidgets import QWidget

    def found(name: str) -> Any:
        part = widget.findChild(QWidget, name)
        assert part is not None, name
        return part

    return found


@pytest.fixture
def bars(viewer: Any) -> Callable[[], dict[str, Any]]:
    """Return the bars in napari's activity dock, by what they are about."""
    from qtpy.QtWidgets import QApplication, QLabel

    def found() -> dict[str, Any]:
        # napari's class is private.
        every = QApplication.allWidgets()
        bars = [part for part in every if type(part).__name__ == "QtLabeledProgressBar"]
        return {bar.findChild(QLabel).text().rstrip(": "): bar for bar in bars}

    return found


@pytest.fixture
def add_tissue(viewer: Any, tiny_tissue: Any) -> Callable[..., Any]:
    """Add the tiny tissue as a layer with a channel axis, scaled and moved."""

    def add(name: str = "tissue") -> Any:
        return viewer.add_image(
            tiny_tissue.image.channels,
            name=name,
            scale=(1.0, *SCALE),
            translate=(0.0, *TRANSLATE),
            axis_labels=("c", "y", "x"),
            units=("pixel", "um", "um"),
        )

    return add


@pytest.fixture
def scribbled(
    widget: Any, find: Any, add_tissue: Any, tiny_scribbles: Any, qtbot: Any, viewer: Any
) -> Any:
    """Tissue with its scribbles painted, ready to train; returns the scribble layer."""
    add_tissue()
    qtbot.waitUntil(lambda: find("new_scribbles_button").isEnabled())
    find("new_scribbles_button").click()
    layer = next(layer for layer in viewer.layers if layer.name == "scribbles [tissue]")
    layer.data_setitem(
        np.nonzero(tiny_scribbles.labels), tiny_scribbles.labels[tiny_scribbles.labels > 0]
    )
    find("preset_combo").setCurrentIndex(0)
    find("time_budget_spin").setValue(3)
    # At once; that it is done by itself, after a pause, tests of strokes see.
    widget.workspace.read_scribbles()
    qtbot.waitUntil(lambda: find("train_button").isEnabled())
    return layer


@pytest.fixture
def prediction_of() -> Callable[[Any], Any]:
    """Return what a good model would say of a truth: sure in cells, unsure at their borders."""
    from scipy import ndimage

    from napari_impartial.core.prediction.packing import rounded
    from napari_impartial.core.prediction.result import Prediction
    from napari_impartial.core.prediction.suggestions import entropy

    def made(truth: Any) -> Prediction:
        inside, outside = (ndimage.distance_transform_edt(x) for x in (truth > 0, truth == 0))
        foreground = (1 / (1 + np.exp(outside - inside))).astype(np.float32)
        probability = np.stack([1 - foreground, foreground])
        unsure = entropy(probability)
        # As the training process sends it.
        return rounded(Prediction(probability, unsure, 0.1 * unsure, None, 2))

    return made


@pytest.fixture
def predicted(
    widget: Any, scribbled: Any, tiny_tissue: Any, wait_for: Any, viewer: Any, prediction_of: Any
) -> Any:
    """The scribbled tissue with a result, without a training; returns the instances layer."""
    results = widget.results
    results._keep(widget.session.current, (), prediction_of(tiny_tissue.truth))
    settled(widget, wait_for)
    return next(layer for layer in viewer.layers if layer.name == "instances [tissue]")


@pytest.fixture
def wait_for(qtbot: Any) -> Callable[[Callable[[], Any]], None]:
    """Wait until something is true, as long as a busy machine may need."""
    return lambda condition: qtbot.waitUntil(lambda: bool(condition()), timeout=PATIENCE_MS)


@pytest.fixture
def save(wait_for: Any) -> Callable[[Any], Path]:
    """Save now and wait until it is on disk; returns the folder."""

    def run(widget: Any) -> Path:
        store = widget.store
        wait_for(lambda: not store.busy)
        before = store.saves
        store.save()
        wait_for(lambda: store.saves > before and not store.busy)
        return store.folder  # type: ignore[no-any-return]

    return run


@pytest.fixture
def second_window(new_viewer: Any, widget: Any) -> Callable[[], tuple[Any, Any]]:
    """Open a viewer with a dock widget beside the first."""

    from napari_impartial.gui.dock_widget import ImPartialWidget

    def make() -> tuple[Any, Any]:
        viewer = new_viewer()
        made = ImPartialWidget(viewer)
        viewer.window.add_dock_widget(made, name="ImPartial", area="right")
        return viewer, made

    return make


@pytest.fixture
def open_in(wait_for: Any) -> Callable[[Any, Path], None]:
    """Open a session and wait until it is there."""

    def run(widget: Any, path: Path) -> None:
        widget.store.open(path)
        wait_for(lambda: not widget.store.busy)

    return run


@pytest.fixture
def close_and_open(
    widget: Any, viewer: Any, second_window: Any, open_in: Any, wait_for: Any
) -> Callable[[Any, Any], Any]:
    """Return what erases an object by hand, closes at once, and opens the session elsewhere.

    It gives the other window's widget, and where the object was.
    """
    import numpy as np

    def run(layer: Any, label: int) -> Any:
        wait_for(lambda: not widget.store.busy)
        folder, where = widget.store.folder, np.nonzero(layer.data == label)
        layer.data_setitem(where, 0)
        viewer.close()
        wait_for(lambda: widget.store._closed)
        _, again = second_window()
        open_in(again, folder)
        settled(again, wait_for)
        return again, where

    return run


@pytest.fixture
def crash() -> Callable[[Any], None]:
    """Leave the session as a killed program would: locked by nobody, and noted as open."""

    def run(widget: Any) -> None:
        opened, widget.store._open = widget.store._open, None
        widget.store._closed = True
        opened.abandon()

    return run
