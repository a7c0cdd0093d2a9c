"""Packages for the BioImage Model Zoo: valid, and they predict what we do."""

from __future__ import annotations

import socket
import sys
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_impartial import samples
from napari_impartial.core import api
from napari_impartial.core.config import ModelConfig, PredictionConfig, TrainingConfig
from napari_impartial.core.data.image import Image, normalize
from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.network.model_file import TrainedModel
from napari_impartial.core.prediction.predict import predict
from napari_impartial.io.model_zoo import (
    About,
    check_about,
    scale_range,
    write_zoo_package,
    zoo_name,
)

ABOUT = About("cells/2: IHC", ("Ada Lovelace",), "CC-BY-4.0")
ONE_PASS = PredictionConfig(samples=0, precision="float32", device="cpu")


@pytest.fixture(scope="module")
def photograph() -> tuple[Image, Scribbles]:
    """Return a real image of a tissue, in colour."""
    return samples.immunohistochemistry()


@pytest.fixture(scope="module")
def model(photograph: tuple[Image, Scribbles]) -> TrainedModel:
    image, scribbles = photograph
    config = TrainingConfig(max_steps=10, patch_size=64, batch_size=4)
    return api.train([image], [scribbles], config, ModelConfig(depth=3))


@pytest.fixture(scope="module")
def package(
    model: TrainedModel,
    photograph: tuple[Image, Scribbles],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    pytest.importorskip("bioimageio.spec", reason="of the extra zoo")
    path = tmp_path_factory.mktemp("zoo") / "cells.zip"
    write_zoo_package(path, model, photograph[0], ABOUT)
    return path


@pytest.fixture
def description(package: Path) -> Any:
    """Return what the zoo's library reads from the package, checked by it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from bioimageio.spec import InvalidDescr, load_description

        with zipfile.ZipFile(package) as archive:
            found = load_description(archive, format_version="latest")
    assert not isinstance(found, InvalidDescr), found.validation_summary.display()
    return found


@pytest.fixture
def weights(package: Path, tmp_path: Path) -> Any:
    with zipfile.ZipFile(package) as archive:
        archive.extract("weights.pt", tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.load(str(tmp_path / "weights.pt"))


def array(package: Path, name: str) -> np.ndarray:
    with zipfile.ZipFile(package) as archive, archive.open(name) as file:
        return np.load(file)


def test_the_zoo_finds_it_valid(description: Any, package: Path, model: TrainedModel) -> None:
    assert description.validation_summary.status == "valid-format"
    assert description.format_version.startswith("0.5.")
    assert description.name == "cells 2 IHC"
    assert str(description.license) == "CC-BY-4.0"
    assert [author.name for author in description.authors] == ["Ada Lovelace"]
    batch, channel, y, x = description.inputs[0].axes
    assert batch.size is None, "any number at a time"
    assert tuple(channel.channel_names) == model.card.channel_names
    assert (y.size.min, y.size.step) == (x.size.min, x.size.step) == (160, 32)
    classes = description.outputs[0].axes[1].channel_names
    assert tuple(classes) == model.card.class_names
    scaling = next(p for p in description.inputs[0].preprocessing if p.id == "scale_range")
    assert (scaling.kwargs.min_percentile, scaling.kwargs.max_percentile) == (1.0, 98.0)
    assert list(scaling.kwargs.axes) == ["y", "x"], "each channel by itself"
    with zipfile.ZipFile(package) as archive:
        text = archive.read("README.md").decode()
    assert "# Validation" in text
    assert ", ".join(model.card.channel_names) in text


def test_the_package_predicts_what_we_do(
    description: Any, weights: Any, model: TrainedModel, photograph: tuple[Image, Scribbles]
) -> None:
    image = photograph[0]
    part = Image(image.channels[:, 16:208, 32:288], image.channel_names)
    options = description.inputs[0].preprocessing[1].kwargs
    low, high = np.percentile(
        part.channels,
        (options.min_percentile, options.max_percentile),
        axis=(1, 2),
        keepdims=True,
    )
    scaled = ((part.channels - low) / (high - low + options.eps)).astype(np.float32)
    np.testing.assert_allclose(scaled, normalize(part, *model.card.normalization), atol=1e-5)
    theirs = weights(torch.from_numpy(scaled)[None])[0].numpy()
    ours = predict(part, model, ONE_PASS).probability
    assert ours[1].std() > 0.05
    np.testing.assert_allclose(theirs, ours, atol=1e-3)


def test_its_test_is_passed(package: Path, weights: Any, model: TrainedModel) -> None:
    raw, expected = array(package, "test_input.npy"), array(package, "test_output.npy")
    assert raw.dtype == expected.dtype == np.float32
    assert raw.shape[0] == expected.shape[0] == 1
    assert raw.shape[2:] == expected.shape[2:] == (256, 256)
    found = weights(torch.from_numpy(scale_range(raw[0], model.card.normalization))[None])
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    image = Image(raw[0], model.card.channel_names)
    np.testing.assert_allclose(predict(image, model, ONE_PASS).probability, expected[0], atol=1e-3)


def test_small_images_are_mirrored_and_the_network_is_not_asked(
    package: Path,
    model: TrainedModel,
    photograph: tuple[Image, Scribbles],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *words, **_: asked.append(words) or [])
    image = photograph[0]
    small = Image(image.channels[:, :100, :170], image.channel_names)
    write_zoo_package(tmp_path / "a.zip", model, small, About("a"))
    assert not asked
    raw = array(tmp_path / "a.zip", "test_input.npy")[0]
    assert raw.shape[1:] == (160, 160)
    np.testing.assert_array_equal(raw[:, 99], raw[:, 100])


def test_intensities_in_small_units(
    package: Path, model: TrainedModel, photograph: tuple[Image, Scribbles], tmp_path: Path
) -> None:
    assert _eps(package) == 1e-6
    image = photograph[0]
    channels = image.channels.copy()
    channels[1] *= 1e-9
    write_zoo_package(tmp_path / "a.zip", model, Image(channels, image.channel_names), ABOUT)
    raw, expected = array(tmp_path / "a.zip", "test_input.npy"), array(package, "test_output.npy")
    low, high = np.percentile(raw[0, 1], model.card.normalization)
    assert _eps(tmp_path / "a.zip") == pytest.approx(1e-5 * (high - low))
    np.testing.assert_allclose(array(tmp_path / "a.zip", "test_output.npy"), expected, atol=1e-3)


def _eps(package: Path) -> float:
    """Return what the package's preprocessing adds to the range of intensities."""
    with zipfile.ZipFile(package) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".yaml"))
        text = archive.read(name).decode()
    return float(text.partition("eps:")[2].split()[0]) if "eps:" in text else 1e-6


def test_the_text_says_at_which_sizes_the_network_looks(
    package: Path, model: TrainedModel, photograph: tuple[Image, Scribbles], tmp_path: Path
) -> None:
    for heeded in (True, False):
        card = replace(model.card, second_opinion=heeded)
        path = tmp_path / f"{heeded}.zip"
        write_zoo_package(path, replace(model, card=card), photograph[0], ABOUT)
        with zipfile.ZipFile(path) as archive:
            text = " ".join(archive.read("README.md").decode().split())
        assert ("at full size, half and a quarter of it" in text) == heeded
        assert "at the image at full size" in text


def test_a_channel_without_content_is_told(
    package: Path, model: TrainedModel, photograph: tuple[Image, Scribbles], tmp_path: Path
) -> None:
    image = photograph[0]
    channels = image.channels.copy()
    channels[1] = 0
    channels[1, 200:204, 200:204] = 9
    (tmp_path / "a.zip").write_text("old")
    with pytest.raises(ImPartialError, match=f"{image.channel_names[1]} of .* is almost empty"):
        write_zoo_package(tmp_path / "a.zip", model, Image(channels, image.channel_names), ABOUT)
    assert (tmp_path / "a.zip").read_text() == "old"
    with pytest.raises(ImPartialError, match="has 2 channel"):
        write_zoo_package(tmp_path / "a.zip", model, image.select([0, 1]), ABOUT)


def test_what_the_zoo_would_refuse_is_said_first() -> None:
    pytest.importorskip("bioimageio.spec", reason="of the extra zoo")
    check_about("a.zip", ABOUT)
    for path, about, words in (
        ("a.tar", ABOUT, "does not end in .zip"),
        ("a.zip", About("a", ("A/B",)), "'A/B' is no author"),
        ("a.zip", About("a", (" ",)), "is no author"),
        ("a.zip", About("a", (), "free"), "free is no license"),
    ):
        with pytest.raises(ImPartialError, match=words):
            check_about(path, about)


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    # Importing it fails as it does where it is not installed.
    monkeypatch.setitem(sys.modules, "bioimageio.spec.model", None)
    with pytest.raises(ImPartialError, match=r"pip install 'napari-impartial\[zoo\]'"):
        check_about("a.zip", ABOUT)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("cells of (mouse) liver", "cells of (mouse) liver"),
        ("a/b\\c: d\n", "a b c d"),
        ("µm", "m model"),
        ("", "model"),
        ("x" * 200, "x" * 128),
    ],
)
def test_names_are_those_that_the_zoo_allows(given: str, kept: str) -> None:
    assert zoo_name(given) == kept
