"""The paper's tables and figures, each from one command, on small data in the real layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest

from napari_impartial.cli.main import main
from napari_impartial.cli.pictures import (
    FALSE_COLOUR,
    FOUND_COLOUR,
    MISSED_COLOUR,
    with_errors,
)
from napari_impartial.core.data.synthetic_tissue import tissue
from napari_impartial.core.instances.metrics import evaluate
from napari_impartial.experiments.dataset import open_data_set, training_part
from napari_impartial.io import read_labels, write_tiff

from .conftest import FEW, Files

PAPER = ["--preset", "paper", "--pooling", "authors", "--batch-size", "4", *FEW]


@pytest.fixture(scope="module")
def tissuenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Convert an archive in TissueNet's layout."""
    folder = tmp_path_factory.mktemp("tissuenet")
    for part, seeds in (("train", (1, 2)), ("test", (3, 4, 5))):
        made = [tissue((64, 64), 2, seed=seed) for seed in seeds]
        x = np.stack([np.moveaxis(one.image.channels, 0, -1) for one in made])
        y = np.stack([np.stack([one.truth, one.truth], -1) for one in made]).astype(np.int32)
        names = np.array(["mibi", "vectra", "mibi"][: len(made)])
        np.savez(folder / f"tissuenet_v1.0_{part}.npz", X=x, y=y, platform_list=names)
    for platform in ("all", "mibi"):
        chosen = [] if platform == "all" else ["--platforms", platform]
        assert main(["convert", "tissuenet", str(folder), str(folder / platform), *chosen]) == 0
    return folder


def report_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[Any, str]:
    capsys.readouterr()
    status = main([*map(str, arguments), "--json"])
    captured = capsys.readouterr()
    assert status == 0, captured.err
    *text, last = captured.out.splitlines()
    return json.loads(last), "\n".join(text)


def test_table_1_with_labels_of_other_programs_and_pictures_of_errors(
    runs_here: None, tissuenet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = open_data_set(tissuenet / "all")
    truths = [read_labels(sample.truth) for sample in data.test if sample.truth]
    shifted = [np.roll(truth, 3, axis=0) for truth in truths]
    for sample, labels in zip(data.test, shifted, strict=True):
        write_tiff(tmp_path / "mesmer" / f"{sample.name}_labels.tif", labels, "YX")
    command = (
        "benchmark", tissuenet / "all", "--methods", "impartial", "--percent", "10,100",
        "--seeds", "0", "--labels", f"mesmer={tmp_path / 'mesmer'}", "--out", tmp_path / "out",
        "--pictures", *PAPER,
    )  # fmt: skip
    report, text = report_of(capsys, *command)
    by_method = {(r["method"], r["percent"]): r for r in report["results"]}
    assert set(by_method) == {("impartial", 10), ("impartial", 100), ("mesmer", None)}
    wanted = evaluate(truths, shifted, "authors")
    found = by_method["mesmer", None]
    for name in ("f1", "ap", "map", "miou", "mdice"):
        assert found[name] == pytest.approx(getattr(wanted, name))
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert ["set", "%", "F1 impartial", "F1 mesmer"] in lines
    (row,) = (line for line in lines if line[:3] == ["all", "-", "mesmer"])
    assert row[4] == f"{wanted.f1:.3f}"
    pictures = sorted(file.name for file in (tmp_path / "out" / "pictures" / "all").iterdir())
    assert len(pictures) == 3 * len(data.test)
    assert pictures[:3] == [
        "00000-impartial-10%-seed0.png", "00000-impartial-100%-seed0.png", "00000-mesmer.png"
    ]  # fmt: skip
    picture = iio.imread(tmp_path / "out" / "pictures" / "all" / "00000-mesmer.png")
    assert (picture == FOUND_COLOUR).all(-1).any()
    # other labels make it another run
    write_tiff(tmp_path / "mesmer" / "00000_labels.tif", truths[0], "YX")
    again, _ = report_of(capsys, *command)
    assert again["results"][:2] == report["results"][:2]
    assert again["results"][2]["f1"] > found["f1"]


def test_labels_that_are_not_there(
    tissuenet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x").mkdir()
    for option, said in (
        (f"a={tmp_path / 'x'}", "has no label images of 00000"),
        (f"a={tmp_path / 'y'}", "There is no folder"),
        ("a", "is not NAME=DIR"),
        (f"forest={tmp_path / 'x'}", "forest is taken"),
    ):
        assert main(["benchmark", str(tissuenet / "all"), "--labels", option]) == 2
        assert said in capsys.readouterr().err
    assert main(["benchmark", str(tissuenet / "all"), "--pictures"]) == 2
    assert "--pictures needs --out" in capsys.readouterr().err


def test_table_2_on_one_platform(
    runs_here: None, tissuenet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, text = report_of(
        capsys, "benchmark", tissuenet / "mibi", "--ablation", "--seeds", "0", *PAPER
    )
    methods = [result["method"] for result in report["results"]]
    assert methods == ["reconstruction-only", "scribble-only", "joint"]
    assert "F1 joint" in text
    settings = report["settings"]
    assert settings["prediction"]["samples"] == 3
    assert not settings["prediction"]["second_opinion"]
    assert settings["instances"]["split"] == "components"
    assert report["results"][0]["n_true"] == sum(
        len(np.unique(tissue((64, 64), 2, seed=seed).truth)) - 1 for seed in (3, 5)
    )


def test_table_3_holds_rounds_against_annotation_at_once(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    report, text = report_of(
        capsys, "refine", files.folder, "--policy", "entropy", "--rounds", "2", "--start-percent",
        "5", "--add-percent", "5", "--at-once", "20", *PAPER,
    )  # fmt: skip
    results = {(r["policy"], r["round"]): r for r in report["results"]}
    assert set(results) == {("entropy", n) for n in range(3)} | {("at once", 2)}
    once, rounds = results["at once", 2], results["entropy", 2]
    n = int(files.train.truth.max())
    assert once["cells"] == round(0.2 * n)
    assert rounds["cells"] == round(0.05 * n) + 2 * max(1, round(0.05 * n))
    # as long a training as all rounds together
    assert once["steps"] == rounds["steps"] == 3 * 3
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert ["tissue", "at once"] in [line[:2] for line in lines]
    assert ["tissue", "in rounds, entropy"] in [line[:2] for line in lines]
    # what is annotated at once is what benchmark would be given
    _, (strokes,) = training_part(open_data_set(files.folder), 20, 0)
    assert len(np.unique(files.train.truth[strokes.labels == 2])) == once["cells"]


def test_errors_are_drawn_in_their_colours() -> None:
    truth, labels = np.zeros((2, 30, 60), int)
    truth[5:15, 5:15] = labels[5:15, 6:16] = 1  # found
    truth[5:15, 25:35] = 2  # missed
    labels[5:15, 45:55] = 3  # made up
    picture = with_errors(np.full((30, 60, 3), 100, np.uint8), truth, labels, 1)
    for colour, columns in (
        (FOUND_COLOUR, (6, 15)),
        (MISSED_COLOUR, (25, 34)),
        (FALSE_COLOUR, (45, 54)),
    ):
        drawn = np.nonzero((picture == colour).all(-1))
        assert (drawn[1].min(), drawn[1].max()) == columns
        assert (drawn[0].min(), drawn[0].max()) == (5, 14)
    assert (picture[0, 0] == 70).all()
    assert with_errors(picture, truth, labels, 3).shape == (90, 180, 3)
