"""Saves that fail, models whose files are gone, and a session that is read too late."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from looking import layer_named, names, saved_in

from napari_impartial.core.errors import ImPartialError
from napari_impartial.gui.session import autosave
from napari_impartial.session import locations
from napari_impartial.session.folder import SessionFolder
from napari_impartial.session.session import Activity


def full_disk(*_: Any) -> None:
    raise ImPartialError("Cannot write session.json: no space left on device.")


def strokes_in(folder: Path) -> np.ndarray:
    scribbles = saved_in(folder).images[0].scribbles
    assert scribbles is not None
    array: np.ndarray = scribbles.data.load()
    return array


def test_a_save_that_was_asked_for_is_told_each_time_it_fails(
    widget: Any,
    find: Any,
    scribbled: Any,
    save: Any,
    wait_for: Any,
    notes: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    folder, store, label = save(widget), widget.store, find("session_label")
    saved = label.text()
    assert saved.startswith("Saved ")
    with monkeypatch.context() as patched:
        patched.setattr(SessionFolder, "write", full_disk)
        for n, path in enumerate((None, tmp_path / "mine", tmp_path / "mine 2", folder), 1):
            if path is None:
                store.save()
            else:
                store.save_as(path)
            wait_for(lambda: not store.busy)
            assert len(notes()) == n
            assert "no space left" in notes()[-1]
        store.save()
        wait_for(lambda: not store.busy)
        assert len(notes()) == 4, "of itself it is told once"
    assert store.folder == folder
    assert label.text() == "Not saved"
    assert f"It was saved last at {saved.removeprefix('Saved ')}." in label.toolTip()
    assert save(widget) == folder
    assert label.text().startswith("Saved ")
    assert label.toolTip() == f"The session is kept in {folder}"


def test_a_first_save_that_fails_is_shown(
    widget: Any,
    find: Any,
    scribbled: Any,
    wait_for: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(SessionFolder, "write", full_disk)
    widget.store.save()
    wait_for(lambda: not widget.store.busy)
    assert find("session_label").text() == "Not saved"
    assert not find("session_label").isHidden()
    assert "saved last" not in find("session_label").toolTip()


@pytest.fixture
def trained(widget: Any, scribbled: Any, tiny_tissue: Any) -> Path:
    """Finish a round with a real, tiny model; returns the model's file."""
    from napari_impartial.core.api import train
    from napari_impartial.core.config import ModelConfig, TrainingConfig
    from napari_impartial.core.data.mask_scribbles import simulate
    from napari_impartial.core.network.model_card import read_card
    from napari_impartial.core.network.model_file import save_model

    scribbles, _ = simulate(tiny_tissue.truth, 0.3, np.random.default_rng(0))
    model = train(
        [tiny_tissue.image],
        [scribbles],
        TrainingConfig(patch_size=32, batch_size=2, max_steps=2, precision="float32"),
        ModelConfig(base_features=4, depth=1),
    )
    path: Path = widget.process.new_model_path()
    save_model(model, path)
    widget.session.add_round(path, read_card(path), 5)
    return path


def test_a_model_file_that_vanishes_is_kept_by_its_copy(
    widget: Any,
    scribbled: Any,
    trained: Path,
    save: Any,
    wait_for: Any,
    notes: Any,
    tmp_path: Path,
) -> None:
    weights = trained.read_bytes()
    folder = save(widget)
    # Systems clear the folder for temporary files of what is some days old.
    trained.unlink()
    scribbled.paint((2, 2), 2)
    assert save(widget) == folder
    np.testing.assert_array_equal(strokes_in(folder), scribbled.data)
    state = saved_in(folder)
    assert state.model is not None
    assert state.model == state.rounds[0].model == widget.store.copy_of(trained)
    assert state.model.read_bytes() == weights
    # The copy goes along, though the folder that it lay in is removed.
    widget.store.save_as(tmp_path / "mine")
    wait_for(lambda: widget.store.folder == tmp_path / "mine" and not widget.store.busy)
    assert not folder.exists()
    state = saved_in(save(widget))
    assert state.model is not None
    assert state.model.read_bytes() == weights
    assert notes() == []


def test_a_model_that_is_nowhere_does_not_keep_strokes_from_being_saved(
    widget: Any,
    scribbled: Any,
    trained: Path,
    save: Any,
    notes: Any,
    crash: Any,
    second_window: Any,
    open_in: Any,
) -> None:
    trained.unlink()
    folder = save(widget)
    scribbled.paint((2, 2), 2)
    save(widget)
    strokes = scribbled.data.copy()
    np.testing.assert_array_equal(strokes_in(folder), strokes)
    (note,) = notes()
    assert str(trained) in note
    assert [one.model for one in saved_in(folder).rounds] == [None]
    crash(widget)
    other, again = second_window()
    open_in(again, folder)
    assert any("The model of round 1 is lost." in note for note in notes())
    assert not again.session.rounds
    np.testing.assert_array_equal(layer_named(other, "scribbles [tissue]").data, strokes)


@pytest.fixture
def slowly_read(
    widget: Any, scribbled: Any, save: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, threading.Event]:
    """Return a session beside the one in the window, and what its reading waits for."""
    path, may_end = tmp_path / "large", threading.Event()
    shutil.copytree(save(widget), path)
    read, held = autosave.open_and_read, []

    def slow(path: Path) -> Any:
        found = read(path)
        # A lock that nobody holds any more frees itself.
        held.append(found)
        assert may_end.wait(60)
        return found

    monkeypatch.setattr(autosave, "open_and_read", slow)
    return path, may_end


def test_a_session_does_not_come_back_into_a_training(
    widget: Any,
    viewer: Any,
    slowly_read: tuple[Path, threading.Event],
    wait_for: Any,
    open_in: Any,
    notes: Any,
) -> None:
    (path, may_end), folder = slowly_read, widget.store.folder
    before, image = names(viewer), layer_named(viewer, "tissue")
    widget.store.open(path)
    widget.session.activity = Activity.TRAINING
    may_end.set()
    wait_for(lambda: not widget.store.busy)
    (note,) = notes()
    assert note.startswith("Training or predicting began while")
    assert names(viewer) == before
    assert layer_named(viewer, "tissue") is image
    assert widget.store.folder == folder
    assert not locations._is_locked(path)
    widget.session.activity = Activity.IDLE
    open_in(widget, path)
    assert widget.store.folder == path
    assert len(notes()) == 1


def test_a_window_that_is_closed_lets_go_of_what_it_was_reading(
    widget: Any, slowly_read: tuple[Path, threading.Event]
) -> None:
    (path, may_end), folder = slowly_read, widget.store.folder
    widget.store.open(path)
    threading.Timer(0.3, may_end.set).start()
    widget.store.close()
    for one in (path, folder):
        assert not locations._is_locked(one)
