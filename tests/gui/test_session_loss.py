"""A saved session is not written over by what comes after it, with a real viewer."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from looking import layer_named, names, saved_in
from qtpy.QtWidgets import QWidget

from napari_impartial.core.errors import ImPartialError
from napari_impartial.gui.layers import Source
from napari_impartial.session import locations
from napari_impartial.session.folder import SessionFolder


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
    assert not locations._is_locked(folder)
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
    assert locations.unfinished() == []


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
    assert notes()[-1].endswith(
        f"The session in {folder} stays as it was, and what could be brought back goes on in "
        "a new session."
    )
    assert "scribbles [cells]" in names(other)
    copy = save(again)
    assert copy != folder
    assert images_in(copy) == ["tissue"]
    assert [one.name for one in saved_in(copy).loose] == ["scribbles [cells]"]
    assert content(folder) == before
    assert [one.path for one in locations.unfinished()] == [folder]

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
    assert not locations._is_locked(folder)


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
    assert any("The objects of tissue are lost." in note for note in notes())
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


@pytest.fixture
def lost_disk(widget: Any, viewer: Any, open_and_paint: Any, wait_for: Any, tmp_path: Path) -> Path:
    """Save a session on a disk that then goes away with its last stroke; returns its folder."""
    open_and_paint("first")
    folder = tmp_path / "disk" / "mine"
    widget.store.save_as(folder)
    wait_for(lambda: widget.store.folder == folder and not widget.store.busy)
    layer_named(viewer, "scribbles [first]").paint((10, 10), 1)
    folder.parent.rename(tmp_path / "unplugged")
    # No folder can be made where the disk was.
    folder.parent.write_text("")
    return folder


def first_elsewhere(sessions: Path) -> Path:
    """Return the automatic folder that has the first image's session, to its last stroke."""
    (folder,) = (
        p.parent for p in sessions.glob("*/session.json") if images_in(p.parent) == ["first"]
    )
    scribbles = saved_in(folder).images[0].scribbles
    assert scribbles is not None
    assert scribbles.data.load()[10, 10] == 1
    assert not locations._is_locked(folder)
    return folder


def test_an_end_that_cannot_be_written_where_it_lay_is_written_elsewhere(
    widget: Any,
    viewer: Any,
    find: Any,
    lost_disk: Path,
    open_and_paint: Any,
    save: Any,
    settled: Any,
    notes: Any,
    sessions: Path,
    tmp_path: Path,
) -> None:
    take_out(viewer, "first")
    open_and_paint("second")
    settled()
    second = save(widget)
    folder = first_elsewhere(sessions)
    (note,) = notes()
    assert f"The session that ended has been saved in {folder} instead." in note
    assert str(lost_disk) in note
    assert locations.unfinished()[0].path == folder
    assert not find("restore_line").isHidden()
    # The next session does not suffer from it.
    assert images_in(second) == ["second"]
    layer_named(viewer, "scribbles [second]").paint((20, 20), 1)
    assert save(widget) == second
    scribbles = saved_in(second).images[0].scribbles
    assert scribbles is not None
    assert scribbles.data.load()[20, 20] == 1
    assert len(notes()) == 1
    # What was saved on the disk is still there, and nobody has it open.
    lost_disk.parent.unlink()
    (tmp_path / "unplugged").rename(lost_disk.parent)
    assert images_in(lost_disk) == ["first"]
    assert not locations._is_locked(lost_disk)


def test_save_session_and_open_do_not_wait_for_a_lost_disk(
    widget: Any,
    viewer: Any,
    lost_disk: Path,
    open_and_paint: Any,
    wait_for: Any,
    open_in: Any,
    qtbot: Any,
    sessions: Path,
    tmp_path: Path,
) -> None:
    take_out(viewer, "first")
    qtbot.wait(300)
    widget.store.save_as(tmp_path / "next")
    wait_for(lambda: widget.store.folder == tmp_path / "next" and not widget.store.busy)
    folder = first_elsewhere(sessions)
    open_in(widget, folder)
    assert widget.store.folder == folder
    assert "first" in names(viewer)


def test_a_lost_disk_does_not_keep_the_last_strokes_when_the_window_is_closed(
    widget: Any, viewer: Any, lost_disk: Path, sessions: Path, wait_for: Any
) -> None:
    viewer.close()
    wait_for(lambda: widget.store._closed)
    folder = first_elsewhere(sessions)
    assert [one.path for one in locations.unfinished()] == [folder], "it is offered"


def test_an_end_that_can_be_written_nowhere_does_not_keep_the_next_session(
    widget: Any,
    viewer: Any,
    open_and_paint: Any,
    save: Any,
    settled: Any,
    open_in: Any,
    notes: Any,
    wait_for: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    open_and_paint("first")
    folder, mine = save(widget), tmp_path / "mine"
    write = SessionFolder.write

    def full(self: SessionFolder, content: dict[str, Any]) -> bool:
        if [layer["name"] for layer in content["layers"]] == ["first"]:
            raise ImPartialError("Cannot write session.json: no space left on device.")
        return write(self, content)

    with monkeypatch.context() as patched:
        patched.setattr(SessionFolder, "write", full)
        take_out(viewer, "first")
        open_and_paint("second")
        settled()
        second = save(widget)
        assert save(widget) == second
        assert images_in(second) == ["second"]
        (note,) = notes()
        assert "no space left" in note
        assert "tried again with each save" in note
        widget.store.save_as(mine)
        wait_for(lambda: widget.store.folder == mine and not widget.store.busy)
        assert images_in(mine) == ["second"]
        # Who opens another session is told first that there is one to be lost.
        open_in(widget, folder)
        assert notes() == [note] * 3
        assert "second" in names(viewer)
    save(widget)
    assert not locations._is_locked(folder)
    assert save(widget) == mine
    assert notes() == [note] * 3
    open_in(widget, folder)
    assert sorted(names(viewer)) == ["first", "scribbles [first]"]


def test_the_image_that_is_open_stays_in_front_where_none_comes_back(
    two_images: tuple[Path, Path],
    second_window: Any,
    open_in: Any,
    tiny_tissue: Any,
    wait_for: Any,
) -> None:
    folder, file = two_images
    file.unlink()
    image = saved_in(folder).layers[0].data.reference["$array"]
    (folder / image).write_bytes(b"II*\x00")
    other, again = second_window()
    other.add_image(tiny_tissue.image.channels[0], name="plain")
    wait_for(lambda: again.session.record is not None)
    open_in(again, folder)
    assert {"scribbles [tissue]", "scribbles [cells]"} < set(names(other))
    assert again.session.record is not None
    assert again.session.record.name == "plain"
    assert again.image_panel.value() == again.workspace.source


def test_names_go_with_a_channel_whose_file_is_gone(
    widget: Any,
    viewer: Any,
    find: Any,
    open_and_paint: Any,
    tiny_tissue: Any,
    wait_for: Any,
    save: Any,
    crash: Any,
    second_window: Any,
    open_in: Any,
    tmp_path: Path,
) -> None:
    open_and_paint("first")
    further = tmp_path / "images" / "further.tif"
    tifffile.imwrite(further, tiny_tissue.image.channels[0] * 7)
    viewer.open(further, plugin="napari")
    wait_for(lambda: find("image_combo").findText("further") >= 0)
    layers = (layer_named(viewer, "first"), layer_named(viewer, "further"))
    widget.image_panel.setValue(Source(layers, "YX", (0,), ("DAPI", "CD3")))
    assert widget.session.record.channel_names == ("DAPI", "CD3")
    folder = save(widget)
    open_and_paint("leading")
    save(widget)
    crash(widget)
    further.unlink()
    _, again = second_window()
    open_in(again, folder)
    sources = {source.name: source for source in again.workspace.sources.values()}
    assert sources["first"].names == ("DAPI",)
    assert again.workspace.source == sources["leading"]
    # Nor does bringing it to the front bring the other name back.
    combo = again.findChild(QWidget, "image_combo")
    combo.setCurrentText("first")
    assert again.session.record.channel_names == ("DAPI",)
    assert again.workspace.source.read().channel_names == ("DAPI",)
