"""A saved session is not written over by what comes after it, with a real viewer."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from looking import layer_named, names, saved_in

from napari_impartial.core.errors import ImPartialError
from napari_impartial.io import session_places
from napari_impartial.io.session_folder import SessionFolder


def images_in(folder: Path) -> list[str]:
    state = saved_in(folder)
    return [state.layers[image.layers[0]].name for image in state.images]


def content(folder: Path) -> dict[str, bytes]:
    """Return all that lies in a session's folder, its lock apart."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


@pytest.fixture
def notes(notes: Any) -> Any:
    """Return what the user has been told, but for napari's words about units."""
    return lambda: [note for note in notes() if "Inconsistent units" not in note]


@pytest.fixture
def open_and_paint(
    widget: Any, viewer: Any, find: Any, tiny_tissue: Any, wait_for: Any, tmp_path: Path
) -> Any:
    """Return what opens an image from a file of its own and paints a stroke on it."""

    def run(name: str) -> Path:
        path = tmp_path / "images" / f"{name}.tif"
        path.parent.mkdir(exist_ok=True)
        tifffile.imwrite(path, tiny_tissue.image.channels[0] * (1 + len(name)))
        viewer.open(path, plugin="napari")
        wait_for(lambda: find("image_combo").findText(name) >= 0)
        find("image_combo").setCurrentText(name)
        wait_for(lambda: widget.session.record is not None and widget.session.record.name == name)
        find("new_scribbles_button").click()
        layer_named(viewer, f"scribbles [{name}]").paint((40, 41), 2)
        wait_for(lambda: widget.session.record.annotated)
        return path

    return run


def take_out(viewer: Any, name: str) -> None:
    for layer in list(viewer.layers):
        if layer.name in (name, f"scribbles [{name}]"):
            viewer.layers.remove(layer)


@pytest.fixture
def settled(widget: Any, wait_for: Any, qtbot: Any) -> Any:
    """Return what waits until all that was begun is over."""

    def run() -> None:
        qtbot.wait(300)
        wait_for(lambda: not widget.store.busy)

    return run


@pytest.mark.parametrize("pause_ms", [0, 300])
def test_the_next_image_is_not_written_over_the_last_session(
    widget: Any,
    viewer: Any,
    open_and_paint: Any,
    save: Any,
    settled: Any,
    qtbot: Any,
    pause_ms: int,
) -> None:
    open_and_paint("first")
    folder = save(widget)
    before = content(folder)
    take_out(viewer, "first")
    qtbot.wait(pause_ms)
    open_and_paint("second")
    settled()
    second = save(widget)
    assert second != folder
    assert images_in(folder) == ["first"]
    assert content(folder).keys() >= before.keys() - {"session.json"}
    assert not session_places._is_locked(folder)
    assert images_in(second) == ["second"]
    # Nor does the first come back over the second.
    take_out(viewer, "second")
    settled()
    save(widget)
    assert images_in(folder) == ["first"]
    assert images_in(second) == ["second"]


def test_the_next_image_is_saved_when_the_window_is_closed(
    widget: Any, viewer: Any, open_and_paint: Any, save: Any, settled: Any, wait_for: Any
) -> None:
    open_and_paint("first")
    folder = save(widget)
    take_out(viewer, "first")
    settled()
    open_and_paint("second")
    second = save(widget)
    viewer.close()
    wait_for(lambda: widget.store._closed)
    assert images_in(folder) == ["first"]
    assert images_in(second) == ["second"]
    assert session_places.unfinished() == []


def test_an_end_that_cannot_be_written_is_tried_again(
    widget: Any,
    viewer: Any,
    open_and_paint: Any,
    save: Any,
    settled: Any,
    wait_for: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_and_paint("first")
    folder = save(widget)
    layer_named(viewer, "scribbles [first]").paint((10, 10), 1)

    def full(*_: Any) -> None:
        raise ImPartialError("Cannot write session.json: no space left on device.")

    with monkeypatch.context() as patched:
        patched.setattr(SessionFolder, "write", full)
        take_out(viewer, "first")
        open_and_paint("second")
        settled()
    save(widget)
    wait_for(lambda: widget.store.folder != folder and not widget.store.busy)
    second = save(widget)
    assert images_in(folder) == ["first"]
    scribbles = saved_in(folder).images[0].scribbles
    assert scribbles is not None
    assert scribbles.data.load()[10, 10] == 1
    assert images_in(second) == ["second"]


def test_a_session_that_ended_is_opened_again_at_once(
    widget: Any, viewer: Any, open_and_paint: Any, save: Any, settled: Any, open_in: Any, notes: Any
) -> None:
    open_and_paint("first")
    folder = save(widget)
    take_out(viewer, "first")
    settled()
    open_in(widget, folder)
    assert sorted(names(viewer)) == ["first", "scribbles [first]"]
    assert widget.store.folder == folder
    assert notes() == []


def test_saving_elsewhere_does_not_remove_what_ended(
    widget: Any,
    viewer: Any,
    open_and_paint: Any,
    save: Any,
    settled: Any,
    wait_for: Any,
    tmp_path: Path,
) -> None:
    open_and_paint("first")
    folder = save(widget)
    take_out(viewer, "first")
    settled()
    widget.store.save_as(tmp_path / "mine")
    wait_for(lambda: widget.store.folder == tmp_path / "mine" and not widget.store.busy)
    assert images_in(folder) == ["first"]


@pytest.fixture
def two_images(
    widget: Any, viewer: Any, open_and_paint: Any, predicted: Any, save: Any, crash: Any
) -> tuple[Path, Path]:
    """Return a session with a predicted image and one in a file, and that file."""
    widget.session.images[widget.session.current].reviewed = True
    file = open_and_paint("cells")
    folder = save(widget)
    crash(widget)
    return folder, file


def test_a_session_without_one_of_its_files_is_left_alone(
    two_images: tuple[Path, Path],
    second_window: Any,
    open_in: Any,
    save: Any,
    notes: Any,
    wait_for: Any,
    tmp_path: Path,
) -> None:
    folder, file = two_images
    hidden = tmp_path / "unplugged.tif"
    shutil.move(file, hidden)
    before = content(folder)
    other, again = second_window()
    open_in(again, folder)
    wait_for(lambda: not again.store.busy)
    assert "cells.tif is not there any more" in notes()[0]
    assert notes()[-1] == (
        f"The session in {folder} stays as it was, and what could be brought back goes on in "
        "a new session."
    )
    assert "scribbles [cells]" in names(other)
    copy = save(again)
    assert copy != folder
    assert images_in(copy) == ["tissue"]
    assert [one.name for one in saved_in(copy).loose] == ["scribbles [cells]"]
    assert content(folder) == before
    assert [one.path for one in session_places.unfinished()] == [folder]

    # The file is back, and so is the whole session.
    shutil.move(hidden, file)
    told = len(notes())
    open_in(again, folder)
    assert notes()[told:] == []
    assert again.store.folder == folder
    assert [record.name for record in again.session.images.values()] == ["tissue", "cells"]
    assert names(other).count("scribbles [cells]") == 1
    assert images_in(save(again)) == ["tissue", "cells"]
    assert saved_in(folder).loose == []
    assert images_in(copy) == ["tissue"]


def test_closing_leaves_a_session_without_its_file_alone(
    two_images: tuple[Path, Path], second_window: Any, open_in: Any, wait_for: Any
) -> None:
    folder, file = two_images
    file.unlink()
    before = content(folder)
    other, again = second_window()
    open_in(again, folder)
    other.close()
    wait_for(lambda: again.store._closed)
    assert content(folder) == before
    assert not session_places._is_locked(folder)


def test_an_opened_session_without_images_is_not_written_over_by_the_one_before(
    widget: Any,
    viewer: Any,
    open_and_paint: Any,
    save: Any,
    settled: Any,
    open_in: Any,
    wait_for: Any,
    tmp_path: Path,
) -> None:
    # One session whose only image will be gone, and another in the window.
    file = open_and_paint("lost")
    save(widget)
    widget.store.save_as(tmp_path / "other")
    wait_for(lambda: widget.store.folder == tmp_path / "other" and not widget.store.busy)
    take_out(viewer, "lost")
    settled()
    save(widget)
    open_and_paint("first")
    first = save(widget)
    file.unlink()
    before = content(tmp_path / "other")
    open_in(widget, tmp_path / "other")
    settled()
    assert names(viewer) == ["scribbles [lost]"]
    copy = save(widget)
    save(widget)
    assert content(tmp_path / "other") == before
    assert images_in(first) == ["first"]
    assert copy not in (first, tmp_path / "other")
    assert images_in(copy) == []


def test_damaged_objects_leave_the_session_alone(
    two_images: tuple[Path, Path], second_window: Any, open_in: Any, notes: Any, save: Any
) -> None:
    folder, _ = two_images
    instances = saved_in(folder).images[0].instances
    assert instances is not None
    (folder / instances.data.reference["$planes"][0]["file"]).write_bytes(b"II*\x00")
    before = content(folder)
    _, again = second_window()
    open_in(again, folder)
    assert "The objects of tissue are lost." in notes()
    assert save(again) != folder
    assert content(folder) == before


def test_a_whole_session_goes_on_where_it_lies(
    two_images: tuple[Path, Path], second_window: Any, open_in: Any, notes: Any, save: Any
) -> None:
    folder, file = two_images
    tifffile.imwrite(file, np.zeros((96, 96), np.float32))
    _, again = second_window()
    open_in(again, folder)
    (note,) = notes()
    assert "has changed since the session was saved" in note
    assert save(again) == folder
