"""What the strokes say of a model that learned from them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from napari_impartial.core.api import train
from napari_impartial.core.config import InstanceConfig, PredictionConfig, TrainingConfig
from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.data.stroke_report import StrokeReport
from napari_impartial.core.data.synthetic_tissue import tissue
from napari_impartial.core.errors import ModelFileError
from napari_impartial.core.instances.strokes import SPLIT_STRENGTHS, find_strokes
from napari_impartial.core.network.model_card import ModelCard
from napari_impartial.core.network.model_file import TrainedModel
from napari_impartial.core.training import stroke_check
from napari_impartial.core.training.stroke_check import check_strokes

PLAIN = PredictionConfig(second_opinion=False)


@pytest.fixture(scope="module")
def learned() -> tuple[TrainedModel, np.ndarray, np.ndarray]:
    """A model, its image and the strokes that it learned from."""
    made = tissue((128, 128), 2, seed=5)
    drawn = made.scribbles(0.3, seed=1)
    model = train([made.image], [drawn], TrainingConfig(max_steps=12, implied_labels=False))
    return model, made.image, drawn.labels


def _normalized(image) -> np.ndarray:
    from napari_impartial.core.data.image import normalize

    return normalize(image)


def test_a_trained_model_says_how_it_agrees_with_its_strokes(learned):
    model = learned[0]
    report = model.card.strokes
    assert report is not None
    assert report.strokes >= 5
    assert report.foreground_fit > 0.7
    assert report.background_fit > 0.7
    assert model.card.instances.split_strength in SPLIT_STRENGTHS
    assert report.verdict(31).startswith(f"{report.fit:.0%} of your strokes fit; 31 objects")
    kept = ModelCard.from_json(model.card.to_json())
    assert kept.strokes == report
    assert kept.instances == model.card.instances


def test_strokes_that_contradict_what_was_learned_are_found_where_they_are(learned):
    model, image, drawn = learned
    changed = drawn.copy()
    rows, cols = np.nonzero(drawn == 1)
    at = len(rows) // 2
    y, x = int(np.clip(rows[at], 4, 123)), int(np.clip(cols[at], 4, 123))
    changed[y - 4 : y + 5, x - 4 : x + 5] = 0
    changed[y - 1 : y + 2, x - 1 : x + 2] = 2  # a cell painted on background
    picture = _normalized(image)
    report, _ = check_strokes(model.network(), [picture], [changed], PLAIN, InstanceConfig())
    assert (0, y, x) in report.contradicting
    assert "unlike the others" in report.verdict()
    assert report.strokes > model.card.strokes.strokes


def test_large_images_are_looked_at_in_windows_and_places_are_those_of_the_image(
    learned, monkeypatch
):
    model, image, drawn = learned
    picture = np.tile(_normalized(image), (1, 2, 2))
    labels = np.zeros(picture.shape[1:], np.uint8)
    labels[128:, 128:] = np.where(drawn == 1, 2, 0)  # all wrong
    monkeypatch.setattr(stroke_check, "_WINDOW_PX", 64)
    monkeypatch.setattr(stroke_check, "_MOST_PIXELS", 64 * 64 * 8)
    report, _ = check_strokes(model.network(), [picture], [labels], PLAIN, InstanceConfig())
    assert report.foreground_fit < 0.3
    assert report.contradicting
    assert all(labels[y, x] == 2 for _, y, x in report.contradicting)
    assert "of your cell strokes are still predicted as background" in report.verdict()


def test_a_stroke_that_a_window_cuts_in_pieces_is_one(learned, monkeypatch):
    model, image, _ = learned
    picture = np.tile(_normalized(image), (1, 2, 2))
    labels = np.zeros(picture.shape[1:], np.uint8)
    labels[40, 20:90] = labels[60, 20:90] = labels[40:61, 90] = 2  # open to the left
    monkeypatch.setattr(stroke_check, "cover", lambda *_: [(20, 0)])
    monkeypatch.setattr(stroke_check, "_WINDOW_PX", 64)
    monkeypatch.setattr(stroke_check, "_MOST_PIXELS", 64 * 64 * 8)
    report, _ = check_strokes(model.network(), [picture], [labels], PLAIN, InstanceConfig())
    assert report.strokes == 1


def test_the_cut_of_a_preset_that_is_not_automatic_stays(learned):
    model, image, drawn = learned
    config = InstanceConfig(split="components", split_strength=0.25)
    _, kept = check_strokes(model.network(), [_normalized(image)], [drawn], PLAIN, config)
    assert kept == config


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "98% of your strokes fit."),
        ({"foreground_fit": 0.42}, "58% of your cell strokes are still predicted as background"),
        ({"background_fit": 0.6}, "40% of your background strokes are still predicted as cells"),
        (
            {"class_fit": 0.5},
            "50% of your cell strokes are still predicted as cells of another class",
        ),
        ({"in_no_object": ((0, 1, 2),)}, "98% of your strokes fit; 1 stroke is in no object."),
        (
            {"in_no_object": ((0, 1, 2),) * 2},
            "98% of your strokes fit; 2 strokes are in no object.",
        ),
    ],
)
def test_the_verdict_is_one_sentence(changes, said):
    report = StrokeReport(10, 0.97, 0.99, 0, 0, (), ())
    text = dataclasses.replace(report, **changes).verdict()
    assert text.startswith(said)
    assert text.endswith(".")


@pytest.mark.parametrize(
    "damage",
    [
        {"strokes": -1},
        {"foreground_fit": 2.0},
        {"in_no_object": [[1, 2]]},
        {"contradicting": 7},
        {"background_fit": "much"},
    ],
)
def test_damaged_reports_are_refused(learned, damage):
    card = json.loads(learned[0].card.to_json())
    card["strokes"] |= damage
    with pytest.raises(ModelFileError, match="strokes is"):
        ModelCard.from_json(json.dumps(card))


def report_of(labels, probability):
    strokes = find_strokes(labels)
    seen = stroke_check._see((0, 0, 0), np.asarray(probability, np.float32), labels, strokes)
    return stroke_check._report([seen], InstanceConfig(split="components", min_size_px=1))


def two_cells_and_background():
    labels = np.zeros((24, 40), np.uint8)
    labels[4:8, 4:14], labels[16:20, 4:14], labels[4:20, 30:32] = 2, 3, 1
    return labels


def test_a_cell_that_is_taken_for_another_class_is_not_taken_for_background():
    labels = two_cells_and_background()
    cells = np.where(labels == 1, 0.05, 0.3)  # background, the first and the second class
    report = report_of(labels, [1 - 2 * cells, cells * 0.5, cells * 1.5])
    assert report.foreground_fit == report.background_fit == 1.0
    assert report.class_fit == 0.5, "half of what was painted is of the first class"
    assert report.contradicting == ((0, 5, 8),)
    ((words, places),) = report.remarks(2)
    assert words.startswith(
        "50% of your cell strokes are still predicted as cells of another class"
    )
    assert places == "contradicting"


def test_where_many_strokes_do_not_fit_there_is_always_a_place_to_show():
    labels = two_cells_and_background()
    unsure = np.where(labels == 2, 0.4, np.where(labels == 3, 0.45, 0.1))
    report = report_of(np.minimum(labels, 2), [1 - unsure, unsure])
    assert report.foreground_fit == 0.0
    assert len(report.contradicting) == 2, "neither class has less than 0.2, which would be enough"
    assert report.remarks(0)[0][1] == "contradicting"


def test_older_reports_say_nothing_of_classes(learned):
    card = json.loads(learned[0].card.to_json())
    del card["strokes"]["class_fit"]
    assert ModelCard.from_json(json.dumps(card)).strokes.class_fit == 1.0


def test_older_cards_have_no_report(learned):
    card = json.loads(learned[0].card.to_json())
    del card["strokes"], card["instances"]
    old = ModelCard.from_json(json.dumps(card))
    assert old.strokes is None
    assert old.instances == InstanceConfig()


def test_unannotated_images_are_not_looked_at(learned):
    model, image, drawn = learned
    picture = _normalized(image)
    blank = Scribbles(np.zeros_like(drawn)).labels
    both, _ = check_strokes(
        model.network(), [picture, picture], [blank, drawn], PLAIN, InstanceConfig()
    )
    assert all(number == 1 for number, _, _ in (*both.in_no_object, *both.contradicting))
    assert both.strokes == model.card.strokes.strokes
