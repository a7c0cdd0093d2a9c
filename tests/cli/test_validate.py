"""``validate``: from label files, by the truth and by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from napari_impartial.cli.main import main
from napari_impartial.io import write_tiff


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two images with truth and a prediction that lacks some objects."""
    folder = tmp_path_factory.mktemp("validate")
    rng = np.random.default_rng(0)
    for name in "ab":
        truth = np.zeros((180, 240), np.int32)
        for i in range(12 * 16):
            y, x = 15 * (i // 16) + 2, 15 * (i % 16) + 2
            truth[y : y + 9, x : x + 9] = i + 1
        pred = truth.copy()
        pred[np.isin(pred, rng.choice(192, 30, replace=False) + 1)] = 0
        pred[pred % 9 == 1] = 0
        pred[4:13, 100:120] = 500  # nothing there, or two in one
        write_tiff(folder / f"{name}_truth.tif", truth, "YX")
        write_tiff(folder / f"{name}_instances.tif", pred, "YX")
        write_tiff(folder / f"{name}.tif", (truth > 0) * np.uint8(200) + np.uint8(20), "YX")
    return folder


def files(folder: Path, ending: str) -> list[str]:
    return [str(folder / f"{name}{ending}") for name in "ab"]


def run(capsys, *arguments: object) -> dict:
    assert main(["validate", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def fails(capsys, *arguments: object) -> str:
    assert main(["validate", *map(str, arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_the_truth_fills_the_verdicts_in(folder, capsys):
    pred, truth = files(folder, "_instances.tif"), files(folder, "_truth.tif")
    found = run(capsys, "--pred", *pred, "--truth", *truth)
    exact = found["exact"]
    assert exact["precision"] > 0.97
    for name in ("precision", "recall", "f1", "cells"):
        assert found[name]["low"] <= exact[name] <= found[name]["high"]
    assert found["recall"]["high"] < 0.95
    assert (found["objects"], found["places"], found["open"]) == (40, 20, 0)
    assert [part["name"] for part in found["by_image"]] == ["a", "b"]
    assert found["methods"] == ""  # nobody has looked
    # All of them: the very figures of `evaluate`.
    whole = run(capsys, "--pred", *pred, "--truth", *truth, "--units", 1000)
    assert whole["recall"]["value"] == pytest.approx(exact["recall"])
    assert whole["f1"]["low"] == pytest.approx(exact["f1"])


def test_a_sheet_is_filled_in_by_hand_and_read_back(folder, tmp_path, capsys):
    pred, images = files(folder, "_instances.tif"), files(folder, ".tif")
    out = tmp_path / "check"
    drawn = run(
        capsys, "--pred", *pred, "--image", *images, "--sheet", out, "--units", 12, "--seed", 5,
        "--groups", "treated", "control",
    )  # fmt: skip
    sheet = Path(drawn["sheet"])
    assert (drawn["rows"], drawn["images"]) == (12, 2)
    with sheet.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        picture = np.asarray(Pillow.open(out / row["picture"]))
        # Twice the place, side by side: the left one as it is.
        half = (picture.shape[1] - 6) // 2
        assert 250 < picture.shape[0] < 700
        assert (picture[:, :half] != picture[:, half + 6 :]).any()
        assert {int(row["y1"]) - int(row["y0"]) > 20} == {row["kind"] != "object"}
    assert fails(capsys, "--verdicts", sheet).endswith("fill in its column 'verdict'.")
    for row in rows:
        row["verdict"] = "Right" if row["kind"] == "object" else "fine"
    rows[0].update(verdict="cannot tell")
    object_rows = [row for row in rows[1:] if row["kind"] == "object"]
    object_rows[0].update(verdict="several cells", cells="3")
    object_rows[1].update(verdict="")
    # As a spreadsheet of another country saves it.
    with sheet.open("w", encoding="cp1252", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys(), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    found = run(capsys, "--verdicts", sheet)
    assert (found["unsure"], found["open"], found["seed"]) == (1, 1, 5)
    assert found["right"] == found["objects"] - 1
    assert found["cells"]["value"] > found["n_objects"]
    assert {part["name"] for part in found["by_group"]} == {"treated", "control"}
    assert "random seed 5" in found["methods"]
    assert f"Precision was {found['precision']['value']:.2f}" in found["methods"]
    assert main(["validate", "--verdicts", str(sheet)]) == 0
    told = capsys.readouterr().out
    assert "For a Methods section: Segmentation quality" in told
    # What was filled in is not written over.
    again = ["--pred", *pred, "--image", *images, "--sheet", out]
    assert "may hold verdicts already" in fails(capsys, *again)


def test_a_stack_is_judged_plane_by_plane(folder, tmp_path, capsys):
    rng = np.random.default_rng(0)
    planes = np.zeros((3, 90, 90), np.int32)
    planes[:, 10:20, 10:20] = 1
    planes[1:, 40:50, 40:50] = 2
    write_tiff(tmp_path / "labels.tif", planes, "ZYX")
    write_tiff(tmp_path / "image.tif", rng.integers(0, 255, (3, 90, 90)).astype(np.uint8), "ZYX")
    drawn = run(
        capsys, "--pred", tmp_path / "labels.tif", "--image", tmp_path / "image.tif",
        "--axes", "ZYX", "--sheet", tmp_path / "out",
    )  # fmt: skip
    with Path(drawn["sheet"]).open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["plane"] for row in rows if row["kind"] == "object"} == {"0", "1", "2"}
    assert sum(row["kind"] == "object" for row in rows) == 5


def test_what_does_not_go_together_is_told_in_one_sentence(folder, tmp_path, capsys):
    pred, truth = files(folder, "_instances.tif"), files(folder, "_truth.tif")
    small = tmp_path / "small.tif"
    write_tiff(small, np.ones((8, 8), np.uint8), "YX")
    text = tmp_path / "text.csv"
    text.write_text("a,b\n1,2\n", encoding="utf-8")
    out = tmp_path / "out"
    cases = {
        "with --pred, or a filled-in sheet": [],
        "Who is to judge?": ["--pred", *pred],
        "--truth has 1 and --pred 2": ["--pred", *pred, "--truth", truth[0]],
        "they have to lie on the same grid": ["--pred", *pred, "--truth", truth[0], small],
        "Give the images with --image": ["--pred", *pred, "--sheet", out],
        "There are 1 images and 2": ["--pred", *pred, "--image", truth[0], "--sheet", out],
        "--verdicts needs no other files": ["--pred", *pred, "--verdicts", text],
        "lacks the column 'number'": ["--verdicts", text],
        "does not exist": ["--verdicts", tmp_path / "none.csv"],
        "argument --units: 2 is not between": ["--pred", *pred, "--truth", *truth, "--units", 2],
        "names a file twice": ["--pred", pred[0], pred[0], "--truth", *truth],
    }
    for words, arguments in cases.items():
        assert words in fails(capsys, *arguments)
    assert not (out / "protocol.csv").exists()


def test_planes_are_judged_by_those_of_the_same_place(folder, tmp_path, capsys):
    labels = np.zeros((2, 3, 40, 40), np.int32)
    for at, plane in enumerate(labels.reshape(-1, 40, 40)):
        plane[10:20, 4 * at : 4 * at + 10] = 1
    write_tiff(tmp_path / "tz.tif", labels, "TZYX")
    write_tiff(tmp_path / "zt.tif", labels.swapaxes(0, 1), "ZTYX")
    write_tiff(tmp_path / "other.tif", labels.reshape(3, 2, 40, 40), "TZYX")
    found = run(capsys, "--pred", tmp_path / "tz.tif", "--truth", tmp_path / "zt.tif")
    assert found["exact"]["f1"] == 1.0
    said = fails(capsys, "--pred", tmp_path / "tz.tif", "--truth", tmp_path / "other.tif")
    assert "other.tif" in said
    image = 10 * (labels > 0).astype(np.uint8)
    write_tiff(tmp_path / "image.tif", image.reshape(3, 2, 40, 40), "TZYX")
    said = fails(
        capsys, "--pred", tmp_path / "tz.tif", "--image", tmp_path / "image.tif",
        "--sheet", tmp_path / "check",
    )  # fmt: skip
    assert "image.tif has 3 time points of 2 slices" in said
    assert "tz.tif has 2 time points of 3 slices" in said
