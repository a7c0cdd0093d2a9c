"""Rounds in a real window: kept, compared, gone back to, continued from."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from looking import saved_in
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget
from scipy import ndimage

from napari_impartial.core.config import InstanceConfig, ModelConfig, TrainingConfig
from napari_impartial.core.prediction.packing import rounded
from napari_impartial.core.prediction.result import Prediction
from napari_impartial.core.prediction.suggestions import entropy
from napari_impartial.core.review.review import Verdict, compose
from napari_impartial.core.review.round_changes import CHANGED, GAINED, LOST, UNKNOWN, PackedLabels
from napari_impartial.session import rounds as session_rounds


@pytest.fixture(scope="module")
def trained_models(
    tiny_tissue: Any, tiny_scribbles: Any, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[Path, Any]]:
    """Two real models, trained for a step or two."""
    from napari_impartial.core.network.model_file import save_model
    from napari_impartial.core.training.fit import fit

    made, folder = [], tmp_path_factory.mktemp("models")
    for steps in (1, 2):
        config = TrainingConfig(max_steps=steps, patch_size=48, precision="float32")
        run = fit(
            [tiny_tissue.image], [tiny_scribbles], ModelConfig(base_features=4, depth=1), config
        )
        try:
            while True:
                next(run)
        except StopIteration as end:
            path = folder / f"{steps}.impartial"
            # A step teaches nothing about cuts, which are the same here.
            card = replace(end.value.card, instances=InstanceConfig())
            save_model(replace(end.value, card=card), path)
            made.append((path, card))
    return made


@pytest.fixture
def models(trained_models: list[tuple[Path, Any]], tmp_path: Path) -> list[tuple[Path, Any]]:
    """Copies of them."""
    return [(Path(shutil.copy(path, tmp_path)), card) for path, card in trained_models]


def prediction_of(truth: np.ndarray) -> Prediction:
    inside = ndimage.distance_transform_edt(truth > 0) - ndimage.distance_transform_edt(truth == 0)
    foreground = (1 / (1 + np.exp(-inside))).astype(np.float32)
    probability = np.stack([1 - foreground, foreground])
    unsure = entropy(probability)
    return rounded(Prediction(probability, unsure, unsure / 9, None, 2))


def without_strokes(truth: np.ndarray, scribbled: Any) -> list[int]:
    """Cells without strokes, which would make objects of them; the largest first."""
    sizes = np.bincount(truth.ravel())
    sizes[[0, *np.unique(truth[scribbled.data > 0])]] = 0
    return [int(i) for i in np.argsort(-sizes) if sizes[i]]


def settled(widget: Any, wait_for: Any) -> None:
    results, rounds = widget.results, widget.refinement.rounds
    wait_for(
        lambda: (
            not (
                results._cutting.busy
                or results._measuring.busy
                or rounds._comparing.busy
                or rounds._packing.busy
            )
        )
    )


def test_rounds_are_compared_and_rolled_back(
    widget: Any,
    viewer: Any,
    find: Any,
    scribbled: Any,
    tiny_tissue: Any,
    models: list[tuple[Path, Any]],
    wait_for: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session, rounds = widget.session, widget.refinement.rounds
    known, truth = session.plane, tiny_tissue.truth
    lost, last = without_strokes(truth, scribbled)[:2]  # they come and go

    def run(number: int, objects: np.ndarray) -> None:
        session.add_round(*models[number - 1], annotated_px=100 * number, annotated_cells=number)
        rounds.on_trained()
        widget.results._keep(session.current, (), prediction_of(objects))
        settled(widget, wait_for)

    run(1, np.where(truth == last, 0, truth))
    listed = find("rounds_list")
    assert listed.topLevelItemCount() == 1
    assert listed.topLevelItem(0).text(2) == "100"
    assert int(listed.topLevelItem(0).text(4)) == known.n_objects
    assert not find("compare_button").isEnabled()
    first = known.instances

    run(2, np.where(truth == lost, 0, truth))
    settled(widget, wait_for)
    assert listed.topLevelItemCount() == 2
    kept = session.rounds[0].masks[(session.current, ())]
    assert isinstance(kept, PackedLabels), "masks of old rounds are compressed"
    np.testing.assert_array_equal(kept.unpack(), first)
    words = find("changes_label").accessibleName()
    assert words.startswith("Since round 1: ")
    assert " 0 new" not in words
    assert " 0 gone" not in words

    # The picture of changes, on and off; never a second layer.
    for _ in range(2):
        find("compare_button").click()
        settled(widget, wait_for)
        (layer,) = [one for one in viewer.layers if one.name == "changes [tissue]"]
        assert layer.visible
        find("compare_button").click()
        assert not layer.visible
    drawn = layer.data
    assert set(np.unique(drawn)) >= {0, GAINED, LOST}
    assert set(np.unique(drawn)) <= {0, GAINED, LOST, CHANGED}
    assert (drawn[ndimage.binary_erosion(truth == last, iterations=3)] == GAINED).all()
    assert (drawn[ndimage.binary_erosion(truth == lost, iterations=3)] == LOST).all()

    # Roll back: the model and the objects of then; decisions stay.
    widget.results.review.accept([int(known.instances[truth == last].max())])
    wanted: list[bool] = []
    monkeypatch.setattr(widget.results, "predict", lambda: wanted.append(True))
    widget.rounds_panel.setValue(1)
    find("roll_back_button").click()
    settled(widget, wait_for)
    assert wanted == [True], "for the heatmap and the sliders"
    assert session.model_path == models[0][0]
    assert session.card == models[0][1]
    assert session.rounds.current is session.rounds[0]
    assert known.prediction is None
    shown = next(one for one in viewer.layers if one.name == "instances [tissue]").data
    np.testing.assert_array_equal(shown, compose(first, known.review))
    assert np.isin(shown, list(known.review.kept)).any()
    assert listed.topLevelItem(0).text(0).startswith("1 ")
    assert session.rounds[1].labels((session.current, ())) is not None

    # Going on from there makes round 3.
    run(2, truth)
    assert [one.number for one in session.rounds] == [1, 2, 3]
    assert session.rounds.current is session.rounds[2]


def test_masks_do_not_fill_the_memory(
    widget: Any,
    scribbled: Any,
    models: list[tuple[Path, Any]],
    wait_for: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = widget.session
    monkeypatch.setattr(session_rounds, "MOST_MASK_BYTES", 4000)
    for _ in range(4):
        session.add_round(*models[0], 1)
        objects = np.random.default_rng(0).integers(0, 9, (40, 40), np.int32)
        session.plane.go_back_to(objects, session.rounds.model_number)
        session.add_round(*models[0], 1)
        widget.refinement.rounds.on_trained()
        settled(widget, wait_for)
    sizes = [len(m.data) for one in session.rounds for m in one.masks.values()]
    assert 0 < sum(sizes) <= 4000
    assert session.rounds[-2].masks, "the latest are kept"
    assert not session.rounds[0].masks


def trained(widget: Any, wait_for: Any, model: tuple[Path, Any], objects: dict[int, Any]) -> None:
    """End a round of training with these objects, by the images' keys."""
    widget.session.add_round(*model, annotated_px=10)
    widget.refinement.rounds.on_trained()
    for key, truth in objects.items():
        widget.results._keep(key, (), prediction_of(truth))
        settled(widget, wait_for)


def rolled_back(widget: Any, find: Any, wait_for: Any, number: int) -> None:
    """Press Roll back for a round."""
    widget.rounds_panel.setValue(number)
    find("roll_back_button").click()
    settled(widget, wait_for)


@pytest.fixture
def two_compared(
    widget: Any,
    find: Any,
    scribbled: Any,
    add_tissue: Any,
    tiny_tissue: Any,
    models: list[tuple[Path, Any]],
    wait_for: Any,
) -> tuple[int, int]:
    """Two images of two rounds; the changes of the first, in front, are shown."""
    add_tissue("second")
    wait_for(lambda: find("image_combo").count() == 2)
    for name in ("second", "tissue"):
        find("image_combo").setCurrentText(name)
    one, two = widget.session.images
    truth = tiny_tissue.truth
    trained(widget, wait_for, models[0], {one: truth, two: truth})
    fewer = np.where(truth <= truth.max() // 2, 0, truth)
    trained(widget, wait_for, models[1], {one: fewer, two: truth})
    find("compare_button").click()
    settled(widget, wait_for)
    return one, two


def changes(viewer: Any) -> dict[str, bool]:
    """Which layers of changes there are, and whether they are shown."""
    return {one.name: one.visible for one in viewer.layers if one.name.startswith("changes")}


def test_another_image_ends_the_comparison(
    two_compared: Any, widget: Any, viewer: Any, find: Any, wait_for: Any
) -> None:
    button, words = find("compare_button"), find("changes_label")
    assert changes(viewer) == {"changes [tissue]": True}
    assert " 0 gone" not in words.accessibleName()
    find("image_combo").setCurrentText("second")
    settled(widget, wait_for)
    assert changes(viewer) == {"changes [tissue]": False}
    assert not button.isChecked()
    assert button.isEnabled()
    assert " 0 gone" in words.text(), "the words are those of the image in front"

    # There it can be asked for anew, and back again it is not shown unasked.
    button.click()
    settled(widget, wait_for)
    assert changes(viewer) == {"changes [tissue]": False, "changes [second]": True}
    find("image_combo").setCurrentText("tissue")
    settled(widget, wait_for)
    assert not any(changes(viewer).values())
    assert not button.isChecked()
    assert " 0 gone" not in words.accessibleName()


def test_a_comparison_that_comes_late_is_not_shown(
    two_compared: Any, widget: Any, viewer: Any, find: Any, wait_for: Any
) -> None:
    button = find("compare_button")
    button.click()
    button.click()
    assert widget.refinement.rounds._comparing.busy
    find("image_combo").setCurrentText("second")
    settled(widget, wait_for)
    assert changes(viewer) == {"changes [tissue]": False}
    assert not button.isChecked()


def test_taking_the_image_away_ends_the_comparison(
    two_compared: Any, widget: Any, viewer: Any, find: Any, wait_for: Any
) -> None:
    viewer.layers.remove("tissue")
    wait_for(lambda: find("image_combo").currentText() == "second")
    settled(widget, wait_for)
    assert not any(changes(viewer).values())
    assert not find("compare_button").isChecked()


def test_rolling_back_ends_the_comparison(
    two_compared: Any,
    widget: Any,
    viewer: Any,
    find: Any,
    wait_for: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(widget.results, "predict", lambda: None)
    widget.rounds_panel.setValue(1)
    settled(widget, wait_for)
    find("roll_back_button").click()
    settled(widget, wait_for)
    assert changes(viewer) == {"changes [tissue]": False}
    assert not find("compare_button").isChecked()
    assert not find("compare_button").isEnabled()


def inodes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in (folder / "arrays").iterdir()}


def test_rounds_can_be_compared_and_rolled_back_after_a_restart(
    widget: Any,
    find: Any,
    scribbled: Any,
    tiny_tissue: Any,
    models: list[tuple[Path, Any]],
    wait_for: Any,
    save: Any,
    crash: Any,
    second_window: Any,
) -> None:
    truth, key = tiny_tissue.truth, widget.session.current
    lost = without_strokes(truth, scribbled)[0]
    trained(widget, wait_for, models[0], {key: truth})
    first = widget.session.plane.instances
    trained(widget, wait_for, models[1], {key: np.where(truth == lost, 0, truth)})
    words = find("changes_label").accessibleName()
    assert words.startswith("Since round 1: ")
    counts = [find("rounds_list").topLevelItem(i).text(4) for i in range(2)]

    # A round's objects are one file, written once.
    folder = save(widget)
    (mask,) = saved_in(folder).rounds[0].masks
    name = Path(mask.labels.reference["$planes"][0]["file"]).name
    inode = inodes(folder)[name]
    scribbled.paint((90, 90), 1)
    assert inodes(save(widget))[name] == inode
    assert saved_in(folder).rounds[1].masks == [], "those of the last round are the shown ones"
    crash(widget)

    other, again = second_window()
    part = lambda name: again.findChild(QWidget, name)  # noqa: E731
    part("restore_button").click()
    wait_for(lambda: again.session.card is not None and not again.store.busy)
    settled(again, wait_for)
    wait_for(lambda: part("changes_label").accessibleName() == words)
    assert [part("rounds_list").topLevelItem(i).text(4) for i in range(2)] == counts
    part("compare_button").click()
    settled(again, wait_for)
    (drawn,) = [layer.data for layer in other.layers if layer.name == "changes [tissue]"]
    assert (drawn[ndimage.binary_erosion(truth == lost, iterations=3)] == LOST).all()
    assert inodes(save(again))[name] == inode, "not after the restart either"

    again.rounds_panel.setValue(1)
    part("roll_back_button").click()
    shown = next(layer for layer in other.layers if layer.name == "instances [tissue]")
    np.testing.assert_array_equal(shown.data, first)
    assert again.session.card == models[0][1]
    # The heatmap is predicted by the model of then, which came back, too.
    wait_for(lambda: not again.session.busy and again.session.plane.prediction is not None)
    settled(again, wait_for)


def test_what_a_roll_back_left_unpredicted_is_kept(
    widget: Any,
    viewer: Any,
    find: Any,
    scribbled: Any,
    add_tissue: Any,
    tiny_tissue: Any,
    models: list[tuple[Path, Any]],
    wait_for: Any,
    save: Any,
    crash: Any,
    second_window: Any,
    open_in: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_tissue("second")
    wait_for(lambda: find("image_combo").count() == 2)
    find("image_combo").setCurrentText("second")
    session, truth = widget.session, tiny_tissue.truth
    one, two = session.images
    trained(widget, wait_for, models[0], {one: truth, two: truth})
    widget.results.review.accept([3])
    find("image_combo").setCurrentText("tissue")
    trained(widget, wait_for, models[1], dict.fromkeys((two, one), np.zeros_like(truth)))
    monkeypatch.setattr(widget.results, "predict", lambda: None)
    rolled_back(widget, find, wait_for, 1)
    objects = session.images[two].plane(()).instances
    assert session.images[two].plane(()).prediction is None
    folder = save(widget)
    crash(widget)

    other, again = second_window()
    open_in(again, folder)
    settled(again, wait_for)
    known = next(r for r in again.session.images.values() if r.name == "second").plane(())
    np.testing.assert_array_equal(known.instances, objects)
    assert list(known.review.kept) == [3]
    assert known.n_objects == len(np.unique(objects)) - 1
    again.findChild(QWidget, "image_combo").setCurrentText("second")
    layer = next(layer for layer in other.layers if layer.name == "instances [second]")
    np.testing.assert_array_equal(layer.data, objects)
    # And can be corrected.
    layer.data_setitem(np.nonzero(objects == 5), 0)
    again.results.review.collect_all()
    assert known.review.count(Verdict.ERASED) == 1


def test_a_damaged_mask_does_not_keep_the_rest_back(
    widget: Any,
    scribbled: Any,
    tiny_tissue: Any,
    models: list[tuple[Path, Any]],
    wait_for: Any,
    save: Any,
    crash: Any,
    second_window: Any,
    open_in: Any,
    notes: Any,
) -> None:
    key, truth = widget.session.current, tiny_tissue.truth
    trained(widget, wait_for, models[0], {key: truth})
    trained(widget, wait_for, models[1], {key: np.where(truth == 1, 0, truth)})
    folder = save(widget)
    (mask,) = saved_in(folder).rounds[0].masks
    (folder / mask.labels.reference["$planes"][0]["file"]).write_bytes(b"II*")
    crash(widget)
    _, again = second_window()
    open_in(again, folder)
    settled(again, wait_for)
    assert [one.masks for one in again.session.rounds] == [{}, {}]
    # Round 1 and the layer had the same objects, which lie in one file.
    assert notes() == [
        "The objects of round 1 in tissue are lost. The objects of tissue are lost. "
        f"The session in {folder} stays as it was, and what could be brought back goes on in a "
        "new session."
    ]
    assert again.session.plane.prediction is not None
    assert again.session.plane.instances.any(), "they are cut again"


@pytest.fixture
def four(widget: Any, find: Any, scribbled: Any, add_tissue: Any, wait_for: Any) -> list[int]:
    """Keys of four images that look the same; the first is in front."""
    for name in "bcd":
        add_tissue(name)
    wait_for(lambda: find("add_images_button").text() == "Add 3 other open images")
    find("add_images_button").click()
    return list(widget.session.images)


@pytest.fixture
def without_three(tiny_tissue: Any, scribbled: Any) -> np.ndarray:
    """The tissue's truth, the three largest of its cells without strokes taken out."""
    largest = without_strokes(tiny_tissue.truth, scribbled)[:3]
    return np.where(np.isin(tiny_tissue.truth, largest), 0, tiny_tissue.truth)


def states(widget: Any) -> list[str]:
    """What the list of images says of them."""
    model = widget.images_panel._table.model()
    return [model.data(model.index(row, 1)) for row in range(model.rowCount())]


def test_only_what_a_round_predicted_tells_whether_it_helped(
    widget: Any,
    find: Any,
    four: list[int],
    tiny_tissue: Any,
    without_three: np.ndarray,
    models: list[tuple[Path, Any]],
    wait_for: Any,
    notes: Any,
) -> None:
    truth, hint = tiny_tissue.truth, find("rounds_hint")
    trained(widget, wait_for, models[0], dict.fromkeys(four, truth))
    counts = [plane.n_objects for r in widget.session.images.values() for plane in [r.plane(())]]
    rows = find("rounds_list").topLevelItem
    assert rows(0).text(4) == str(sum(counts))

    # The round is over and its prediction is not there yet: nothing can be said.
    trained(widget, wait_for, models[1], {})
    widget.refinement.rounds.compare()
    settled(widget, wait_for)
    assert hint.text() == ""
    assert find("changes_label").accessibleName() == ""
    assert [rows(i).text(4) for i in (0, 1)] == [str(sum(counts)), ""]
    find("compare_button").click()
    settled(widget, wait_for)
    assert notes() == ["Round 2 has not predicted this yet: press Predict."]
    find("compare_button").click()

    # Three of the cells in the one image that it predicted are gone.
    widget.results._keep(four[0], (), prediction_of(without_three))
    settled(widget, wait_for)
    fewer = widget.session.plane.n_objects
    assert 0 < fewer < counts[0]
    assert hint.text() == ""
    assert [rows(i).text(4) for i in (0, 1)] == [str(sum(counts)), str(fewer)]
    find("image_combo").setCurrentText("b")
    settled(widget, wait_for)
    assert find("changes_label").accessibleName() == "", (
        "nothing is known of what the round makes of b"
    )

    # The others have not changed, which can be said once they are predicted, too.
    for key in four[1:]:
        widget.results._keep(key, (), prediction_of(truth))
        settled(widget, wait_for)
    assert "will hardly help" in hint.text()

    # Round 1 is of round 1 alone, and so is round 2 when its turn is over.
    trained(widget, wait_for, models[0], {four[0]: truth})
    trained(widget, wait_for, models[1], {})
    assert [len(one.masks) for one in widget.session.rounds] == [4, 4, 1, 0]
    assert rows(2).text(4) == str(counts[0])


def test_results_of_an_earlier_round_say_so_and_come_last(
    widget: Any,
    find: Any,
    four: list[int],
    tiny_tissue: Any,
    without_three: np.ndarray,
    models: list[tuple[Path, Any]],
    wait_for: Any,
    save: Any,
    crash: Any,
    second_window: Any,
    open_in: Any,
) -> None:
    truth = tiny_tissue.truth
    trained(widget, wait_for, models[0], dict.fromkeys(four[:3], truth))
    assert states(widget) == ["predicted"] * 3 + ["new"]
    places, hint = find("suggestion_list"), widget.steps["result"]._hint.text
    assert hint() == ""
    assert {p.key for p in widget.results.suggestions.places[:3]} == set(four[:3]), (
        "images take turns"
    )
    assert not any("round 1" in text for text in texts(places))

    trained(widget, wait_for, models[1], {})
    assert states(widget) == ["by round 1"] * 3 + ["new"]
    assert all(text.endswith(", round 1)") for text in texts(places))

    # What was doubted least, by the present round, comes before all that earlier ones doubted.
    widget.results._keep(four[0], (), prediction_of(without_three))
    settled(widget, wait_for)
    assert states(widget) == ["predicted", *["by round 1"] * 2, "new"]
    fresh = [p.key == four[0] for p in widget.results.suggestions.places]
    assert any(fresh)
    assert fresh == sorted(fresh, reverse=True)
    assert [text.endswith(", round 1)") for text in texts(places)] == [not one for one in fresh]
    assert [p.suggestion.rank for p in widget.results.suggestions.places] == list(
        range(1, len(fresh) + 1)
    )
    assert hint() == "2 results are of round 1. Predict all renews all."
    model = widget.images_panel._table.model()
    tip = model.data(model.index(1, 1), Qt.ItemDataRole.ToolTipRole)
    assert tip == "b: predicted by round 1. Predict all renews what another model predicted."
    find("image_combo").setCurrentText("b")
    assert hint().startswith("What is shown was predicted by round 1. Predict renews it;")
    assert widget.session.plane.instances is not None, "the earlier result stays shown"
    find("image_combo").setCurrentText("tissue")

    # The session keeps it; of one that was saved before this was noted, nothing is known.
    said, order = states(widget), texts(places)
    folder = save(widget)
    crash(widget)
    _, again = second_window()
    open_in(again, folder)
    settled(again, wait_for)
    assert states(again) == said
    assert texts(again.findChild(QWidget, "suggestion_list")) == order
    saved = saved_in(folder)
    assert [plane.predicted_by for image in saved.images for plane in image.planes] == [2, 1, 1]


def texts(places: Any) -> list[str]:
    """Rows of the list of suggestions."""
    return [places.item(i).text() for i in range(places.count())]


def test_a_session_saved_without_stamps_is_not_called_stale(
    widget: Any,
    find: Any,
    scribbled: Any,
    tiny_tissue: Any,
    models: list[tuple[Path, Any]],
    wait_for: Any,
    save: Any,
    crash: Any,
    second_window: Any,
    open_in: Any,
) -> None:
    key, truth = widget.session.current, tiny_tissue.truth
    trained(widget, wait_for, models[0], {key: truth})
    trained(widget, wait_for, models[1], {key: truth})
    assert "will hardly help" in find("rounds_hint").text()
    folder = save(widget)
    crash(widget)
    manifest = folder / "session.json"
    # As the first programs wrote it: without a digest, too.
    text = manifest.read_text().replace('"digest"', '"unknown"')
    manifest.write_text(re.sub(r'"predicted_by": *-?\d+, *', "", text))
    assert "predicted_by" not in manifest.read_text()
    _, again = second_window()
    open_in(again, folder)
    settled(again, wait_for)
    assert states(again) == ["predicted"]
    assert again.session.plane.predicted_by == UNKNOWN
    assert again.findChild(QWidget, "rounds_hint").text() == ""
    assert again.steps["result"]._hint.text() == ""
    # Its objects are kept with the round that they were found with.
    trained(again, wait_for, models[0], {})
    assert list(again.session.rounds[1].masks) == [(again.session.current, ())]
    assert states(again) == ["by another model"]


def test_rolling_back_leaves_what_was_not_predicted_since(
    widget: Any,
    find: Any,
    four: list[int],
    tiny_tissue: Any,
    without_three: np.ndarray,
    models: list[tuple[Path, Any]],
    wait_for: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truth, session = tiny_tissue.truth, widget.session
    a, b, c, _ = (session.images[key].plane(()) for key in four)
    trained(widget, wait_for, models[0], dict.fromkeys(four[:3], truth))
    of_b, of_c = b.instances, c.prediction
    trained(widget, wait_for, models[1], {four[0]: without_three})
    trained(widget, wait_for, models[0], {four[1]: without_three})
    monkeypatch.setattr(widget.results, "predict", lambda: None)

    rolled_back(widget, find, wait_for, 2)
    # a was predicted by that round, b by the one before it, and c by that one and none since.
    assert [plane.predicted_by for plane in (a, b, c)] == [2, 1, 1]
    assert a.prediction is not None
    assert b.prediction is None
    np.testing.assert_array_equal(b.instances, of_b)
    assert c.prediction is of_c
    assert states(widget) == ["predicted", "new", "by round 1", "new"]


def test_rolling_back_shows_nothing_that_only_the_later_round_saw(
    widget: Any,
    viewer: Any,
    find: Any,
    four: list[int],
    tiny_tissue: Any,
    without_three: np.ndarray,
    models: list[tuple[Path, Any]],
    wait_for: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truth, session = tiny_tissue.truth, widget.session
    both = [session.images[key].name for key in four[:2]]
    trained(widget, wait_for, models[0], {four[0]: truth})
    trained(widget, wait_for, models[1], dict.fromkeys(four[:2], without_three))
    shown = {layer.name: layer for layer in viewer.layers}
    roles = "instances", "probability", "uncertainty"
    assert all(shown[f"{role} [{name}]"].data.any() for role in roles for name in both)
    monkeypatch.setattr(widget.results, "predict", lambda: None)
    rolled_back(widget, find, wait_for, 1)
    old, new = both
    assert shown[f"instances [{old}]"].data.any(), "those of the first round"
    for role, name in (*((role, new) for role in roles), *((role, old) for role in roles[1:])):
        assert not shown[f"{role} [{name}]"].data.any(), (role, name)


def test_strokes_painted_after_a_round_are_its_score(
    widget: Any, find: Any, scribbled: Any, tiny_tissue: Any, wait_for: Any, save: Any
) -> None:
    find("time_budget_spin").setValue(2)
    find("train_button").click()
    session = widget.session
    wait_for(lambda: len(session.rounds) == 1 and not session.busy)
    wait_for(lambda: session.rounds.is_current(session.plane))
    # As whoever paints would know better, or agree: one cell and its surroundings, in truth.
    free = scribbled.data == 0
    new = np.where(tiny_tissue.truth[:20] > 0, 2, 1) * free[:20]
    rows, columns = np.nonzero(new)
    widget.workspace.scribbles.paint(
        widget.workspace.source, (), rows, columns, new[rows, columns].astype(np.uint8)
    )
    wait_for(lambda: (session.plane.annotation.labels[:20] > 0).all())
    p = session.plane.prediction.probability.copy()
    assert find("train_button").isEnabled()
    find("train_button").click()
    assert not find("train_button").isEnabled()
    log = [np.log(np.maximum(p[k, :20][new == k + 1], 1e-4)).mean() for k in (0, 1)]
    assert session.rounds[0].unseen == pytest.approx(np.exp(np.mean(log)), rel=1e-3)
    wait_for(lambda: len(session.rounds) == 2 and not session.busy)
    assert session.rounds[1].unseen is None
    item = find("rounds_list").topLevelItem(0)
    assert item.text(5) == f"{session.rounds[0].unseen:.2f}"
    kept = saved_in(save(widget)).rounds
    assert [one.unseen for one in kept] == [session.rounds[0].unseen, None]
