"""The command that packages a model for the BioImage Model Zoo."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from napari_impartial.cli.main import main

from .conftest import Cli, Files, Trained

pytest.importorskip("bioimageio.spec", reason="of the extra zoo")


def test_a_model_is_packaged(trained: Trained, files: Files, cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "cells.zip"
    done = cli(
        "export", files.test_image, "--model", trained.path, "--out", out, "--json",
        "--name", "My cells", "--author", "A. B.", "--author", "C. D.", "--license", "MIT",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert done.err == ""
    assert done.json["package"] == str(out)
    assert done.json["seconds"] > 0
    with zipfile.ZipFile(out) as archive:
        names = set(archive.namelist())
        assert {"weights.pt", "test_input.npy", "test_output.npy", "README.md"} < names
        (description,) = names - {"weights.pt", "test_input.npy", "test_output.npy", "README.md"}
        text = archive.read(description).decode()
    for words in ("name: My cells", "name: A. B.", "name: C. D.", "license: MIT", "- nucleus"):
        assert words in text, words


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--out", "{folder}/a.tar"], "does not end in .zip"),
        (["--license", "free"], "free is no license"),
        (["--author", ""], "is no author"),
        (["{image}"], "one IMAGE"),
        (["--channels", "0"], "--channels"),
        (["--model", "{image}"], "not a model"),
    ],
)
def test_what_cannot_be_packaged_is_one_sentence(
    more: list[str],
    words: str,
    trained: Trained,
    files: Files,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image = str(files.test_image)
    usual = [image, "--model", str(trained.path), "--out", str(tmp_path / "a.zip")]
    more = [word.format(folder=tmp_path, image=image) for word in more]
    first = [more.pop()] if more == [image] else []
    assert main(["export", *first, *usual, *more]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("napari-impartial export: ")
    assert words in lines[0]
    assert not list(tmp_path.iterdir()), "nothing is left"
