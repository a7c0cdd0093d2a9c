"""Whether views at smaller sizes are heeded: what strokes say of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_impartial.core.config import ModelConfig, PredictionConfig, TrainingConfig
from napari_impartial.core.data.image import normalize
from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.data.synthetic_tissue import Tissue
from napari_impartial.core.network.unet import UNet
from napari_impartial.core.prediction.predict import predict_normalized
from napari_impartial.core.training import multiscale_check
from napari_impartial.core.training.multiscale_check import contradicts
from napari_impartial.core.training.trainer import Trainer

CONFIG = PredictionConfig(device="cpu", precision="float32")
NETWORK = UNet(1, 2, ModelConfig(base_features=4, depth=1))


def strokes(size: int = 400) -> np.ndarray:
    labels = np.zeros((size, size), np.uint8)
    labels[10, 10:40] = 1
    labels[size - 20, size - 60 : size - 20] = 2
    return labels


def seen(
    monkeypatch: pytest.MonkeyPatch, half: float, quarter: float | None = None
) -> list[tuple[int, ...]]:
    """Let the network see foreground where the picture is bright: 0.95 at full size."""
    inside = {256: 0.95, 128: half, 64: half if quarter is None else quarter}
    shapes: list[tuple[int, ...]] = []

    def predicted(network: Any, picture: np.ndarray, config: PredictionConfig) -> Any:
        shapes.append(picture.shape[1:])
        assert not config.second_opinion
        bright = picture[0] > 0.5
        p = np.where(bright, inside[max(picture.shape)], 0.01).astype(np.float32)
        return replace(
            predict_normalized(NETWORK, picture, replace(config, samples=0)),
            probability=np.stack([1 - p, p]),
        )

    monkeypatch.setattr(multiscale_check, "predict_normalized", predicted)
    return shapes


@pytest.mark.parametrize(
    ("half", "quarter", "contradictory"),
    [
        (0.9, 0.9, False),
        (0.35, 0.35, True),
        (0.05, 0.05, True),
        (0.9, 0.2, False),
        (0.9, 0.0, True),
    ],
)
def test_what_is_seen_at_smaller_sizes_has_to_agree_with_strokes(
    monkeypatch: pytest.MonkeyPatch, half: float, quarter: float, contradictory: bool
) -> None:
    labels = strokes()
    picture = np.zeros((1, 400, 400), np.float32)
    picture[0, 300:, 300:] = 1
    shapes = seen(monkeypatch, half, quarter)
    assert contradicts(NETWORK, [picture], [labels], CONFIG) == contradictory
    assert set(shapes) == {(256, 256), (128, 128), (64, 64)}


def test_what_strokes_never_said_of_foreground_is_no_contradiction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Denied specks that nobody drew on are what the second opinion is for."""
    labels = strokes()
    labels[labels == 2] = 0
    picture = np.zeros((1, 400, 400), np.float32)
    picture[0, 300:, 300:] = 1
    seen(monkeypatch, 0.05)
    assert not contradicts(NETWORK, [picture], [labels], CONFIG)


def test_no_more_than_a_few_windows_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.zeros((900, 900), np.uint8)
    labels[5::50, ::30] = 1
    labels[30::50, ::30] = 2
    shapes = seen(monkeypatch, 0.9)
    contradicts(NETWORK, [np.zeros((1, 900, 900), np.float32)], [labels], CONFIG)
    assert len(shapes) == 3 * multiscale_check._MOST_WINDOWS


def test_of_many_images_a_few_from_first_to_last_are_searched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pictures = [np.full((1, 70, 90), number, np.float32) for number in range(100)]
    labels = [np.zeros((70, 90), np.uint8) for _ in pictures]
    for number, drawn in enumerate(labels):
        if number % 10:  # every tenth has no strokes
            drawn[3, 3], drawn[30, 30] = 1, 2
    searched: list[int] = []
    cover = multiscale_check.cover

    def counted(drawn: np.ndarray, size: int) -> list[tuple[int, int]]:
        searched.append(next(i for i, one in enumerate(labels) if one is drawn))
        return cover(drawn, size)

    monkeypatch.setattr(multiscale_check, "cover", counted)
    windows = multiscale_check._windows(pictures, labels)
    assert len(searched) == multiscale_check._MOST_IMAGES
    assert all(number % 10 for number in searched)
    assert len(windows) == multiscale_check._MOST_WINDOWS
    assert [int(picture[0, 0, 0]) for picture, _ in windows][:: len(windows) - 1] == [1, 99]


def test_small_images_and_images_without_strokes() -> None:
    labels = np.zeros((63, 200), np.uint8)
    labels[3, 3], labels[30, 30] = 1, 2
    picture = np.zeros((1, 63, 200), np.float32)
    assert not contradicts(NETWORK, [picture], [labels], CONFIG)
    blank = np.zeros((70, 90), np.uint8)
    assert not contradicts(NETWORK, [np.zeros((1, 70, 90), np.float32)], [blank], CONFIG)


def test_training_asks_for_it_and_says_so_in_the_card(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainingConfig(patch_size=32, max_steps=4, validation_fraction=0.0)
    said = iter([True, False])
    asked: list[Any] = []

    def answer(*given: Any) -> bool:
        asked.append(given)
        return next(said)

    monkeypatch.setattr("napari_impartial.core.training.trainer.contradicts", answer)
    small = ModelConfig(base_features=8, depth=2)
    trainer = Trainer([tiny_tissue.image], [tiny_scribbles], small, config, None)
    while not trainer.finished():
        heeded = trainer.steps < 3
        assert trainer.second_opinion == heeded, "asked when statistics are frozen"
        trainer.step()
    assert trainer.result().card.second_opinion, "and in the end"
    network, pictures, labels, _ = asked[-1]
    assert network is trainer.average.network
    np.testing.assert_array_equal(pictures[0], normalize(tiny_tissue.image))
    np.testing.assert_array_equal(labels[0], tiny_scribbles.labels)
