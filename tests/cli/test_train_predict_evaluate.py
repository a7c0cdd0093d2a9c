"""The way of the user: train, predict, evaluate on files."""

from __future__ import annotations

import csv
import json
import os
import pty
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_impartial.cli import train
from napari_impartial.cli.main import build_parser, main
from napari_impartial.core.config import PRESETS
from napari_impartial.core.data.mask_scribbles import simulate
from napari_impartial.core.data.synthetic_tissue import tissue
from napari_impartial.core.instances.cutter import to_instances
from napari_impartial.core.instances.metrics import evaluate
from napari_impartial.core.network.model_card import read_card
from napari_impartial.core.network.model_file import load_model
from napari_impartial.core.prediction.predict import predict as predict_image
from napari_impartial.io import read_images, read_labels, write_tiff

from .conftest import FEW, Cli, Files, Trained


def test_train_reports_what_it_did(trained: Trained) -> None:
    report = trained.report
    card = read_card(trained.path)
    assert report["model"] == str(trained.path)
    assert report["steps"] == card.steps == 120
    assert report["seconds"] > 0
    assert report["device"] == card.device
    assert report["parameters"] == card.parameters > 1000
    assert report["best_validation_loss"] == pytest.approx(card.best_validation_loss)
    assert card.channel_names == ("nucleus", "membrane")
    assert (card.model.base_features, card.training.max_steps) == (8, 120)


@pytest.fixture(scope="module")
def predicted(
    cli: Cli, trained: Trained, files: Files, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("predicted") / "new" / "folder"
    done = cli(
        "predict", files.test_image, "--model", trained.path, "--out", out, "--samples", "2",
        "--suggestions", "4", "--json",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert done.err == ""
    (entry,) = done.json["images"]
    assert entry["n_cells"] == read_labels(out / "b_instances.tif").max()
    return out


def test_a_model_of_the_papers_preset_is_predicted_and_cut_as_the_paper_has_it(
    files: Files, tmp_path: Path
) -> None:
    model, out = tmp_path / "m.impartial", tmp_path / "out"
    paper = PRESETS["paper"]
    few = [*FEW, "--batch-size", "4"]
    arguments = ["train", files.image, "--scribbles", files.scribbles, "--model", model]
    assert main([*map(str, arguments), "--preset", "paper", *few]) == 0
    assert read_card(model).instances == paper.instances
    predict = ["predict", str(files.test_image), "--model", str(model), "--out", str(out)]
    # Three steps of training make no probability of 0.8; the rest is as the preset has it.
    assert main([*predict, "--threshold", "0.5"]) == 0
    probability = tifffile.imread(out / "b_probability.tif")
    found = read_labels(out / "b_instances.tif")
    wanted = to_instances(probability, replace(paper.instances, threshold=0.5))
    np.testing.assert_array_equal(found, wanted)
    alone = predict_image(
        read_images(files.test_image)[0], load_model(model), paper.prediction
    ).foreground
    np.testing.assert_allclose(probability, alone, atol=1e-6)


def test_predict_writes_five_files(predicted: Path) -> None:
    names = {
        "b_instances.tif", "b_probability.tif", "b_entropy.tif", "b_suggestions.json",
        "b_measurements.csv",
    }  # fmt: skip
    assert {path.name for path in predicted.iterdir()} == names


def test_predicted_maps(predicted: Path) -> None:
    instances = tifffile.imread(predicted / "b_instances.tif")
    probability = tifffile.imread(predicted / "b_probability.tif")
    entropy = tifffile.imread(predicted / "b_entropy.tif")
    assert instances.dtype == np.int32
    assert instances.shape == probability.shape == entropy.shape == (128, 160)
    assert probability.dtype == entropy.dtype == np.float32
    assert probability.min() >= 0
    assert probability.max() <= 1
    # foreground, not background: higher inside of the cells
    assert probability[instances > 0].mean() > 0.5 > probability[instances == 0].mean()
    assert entropy.min() >= 0
    assert entropy.max() <= 1
    assert set(np.unique(instances)) == set(range(instances.max() + 1))


def test_measurements_are_those_of_the_instances(predicted: Path, files: Files) -> None:
    instances = tifffile.imread(predicted / "b_instances.tif")
    with open(predicted / "b_measurements.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["label"]) for row in rows] == list(range(1, instances.max() + 1))
    areas = np.bincount(instances.ravel())[1:]
    assert [int(row["area_px"]) for row in rows] == areas.tolist()
    nucleus = files.test.image.channels[0]
    assert float(rows[0]["mean_nucleus"]) == pytest.approx(nucleus[instances == 1].mean(), rel=1e-4)


def test_suggestions_are_ranked_places(predicted: Path) -> None:
    places = json.loads((predicted / "b_suggestions.json").read_text(encoding="utf-8"))
    assert 1 <= len(places) <= 4
    assert [place["rank"] for place in places] == list(range(1, len(places) + 1))
    scores = [place["score"] for place in places]
    assert scores == sorted(scores, reverse=True)
    for place in places:
        assert 0 <= place["y"] < 128
        assert 0 <= place["x"] < 160
        assert place["reason"]


def test_suggestions_stay_clear_of_what_is_annotated(
    trained: Trained, files: Files, predicted: Path, tmp_path: Path
) -> None:
    before = json.loads((predicted / "b_suggestions.json").read_text(encoding="utf-8"))
    painted = np.zeros(files.test.image.shape, np.uint8)
    y0, x0, y1, x1 = before[0]["box"]
    painted[y0:y1, x0:x1] = 1
    write_tiff(tmp_path / "s.tif", painted, "YX")
    write_tiff(tmp_path / "masks.tif", painted.astype(np.int32) * 900, "YX")
    arguments = ["predict", str(files.test_image), "--model", str(trained.path), "--samples", "2"]
    for drawn in (["s.tif"], ["masks.tif", "--partial-masks"]):
        out = tmp_path / drawn[0].removesuffix(".tif")
        drawn = ["--scribbles", str(tmp_path / drawn[0]), *drawn[1:]]
        assert main([*arguments, *drawn, "--out", str(out), "--suggestions", "4"]) == 0
        after = json.loads((out / "b_suggestions.json").read_text(encoding="utf-8"))
        assert [before[0]["y"], before[0]["x"]] not in [[s["y"], s["x"]] for s in after]
        if "--partial-masks" not in drawn:
            assert not any(painted[s["y"], s["x"]] for s in after)
            assert after[0]["score"] < before[0]["score"]


def test_the_model_has_learned(predicted: Path, cli: Cli, files: Files) -> None:
    done = cli(
        "evaluate", "--pred", predicted / "b_instances.tif", "--truth", files.test_truth, "--json"
    )
    assert done.status == 0, done.err
    expected = evaluate([files.test.truth], [read_labels(predicted / "b_instances.tif")])
    for name in ("f1", "ap", "map", "miou", "mdice", "n_true", "n_pred"):
        assert done.json[name] == pytest.approx(getattr(expected, name)), name
    assert done.json["f1"] > 0.3


def test_evaluate_pools_over_images_and_prints_a_table(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    train_truth = files.folder / "train" / "a_truth.tif"
    both = [str(files.test_truth), str(train_truth)]
    assert main(["evaluate", "--pred", *both, "--truth", *both]) == 0
    out = capsys.readouterr().out
    n_cells = files.train.truth.max() + files.test.truth.max()
    assert f"| {n_cells} " in out
    assert "| 1.000" in out


def test_threshold_and_size_act_on_the_instances(
    trained: Trained, files: Files, predicted: Path, tmp_path: Path
) -> None:
    arguments = ["predict", str(files.test_image), "--model", str(trained.path), "--samples", "2"]
    assert main([*arguments, "--out", str(tmp_path), "--min-size-px", "100000"]) == 0
    assert read_labels(tmp_path / "b_instances.tif").max() == 0
    assert (tmp_path / "b_measurements.csv").read_text(encoding="utf-8").count("\n") == 1
    # the same probability all the same
    maps = [tifffile.imread(folder / "b_probability.tif") for folder in (predicted, tmp_path)]
    np.testing.assert_array_equal(*maps)


def test_named_channels_are_found_in_any_order(
    trained: Trained, files: Files, predicted: Path, tmp_path: Path
) -> None:
    swapped = tmp_path / "b.tif"
    channels = files.test.image.channels
    extra = np.stack([channels[1], np.zeros_like(channels[0]), channels[0]])
    write_tiff(swapped, extra, "CYX", ("membrane", "empty", "nucleus"))
    out = tmp_path / "out"
    arguments = ["predict", str(swapped), "--model", str(trained.path), "--samples", "2"]
    assert main([*arguments, "--out", str(out)]) == 0
    expected = tifffile.imread(predicted / "b_probability.tif")
    np.testing.assert_array_equal(tifffile.imread(out / "b_probability.tif"), expected)


def test_channels_can_be_picked_by_number(
    trained: Trained, files: Files, predicted: Path, tmp_path: Path
) -> None:
    nameless = tmp_path / "b.tif"
    write_tiff(nameless, files.test.image.channels[::-1], "CYX")
    out = tmp_path / "out"
    arguments = ["predict", str(nameless), "--model", str(trained.path), "--samples", "2"]
    assert main([*arguments, "--out", str(out), "--channels", "1,0"]) == 0
    expected = tifffile.imread(predicted / "b_probability.tif")
    np.testing.assert_array_equal(tifffile.imread(out / "b_probability.tif"), expected)


def test_stacks_and_several_images(cli: Cli, tmp_path: Path) -> None:
    planes = [tissue((64, 72), 1, seed=seed) for seed in range(3)]
    stack = np.stack([plane.image.channels for plane in planes[:2]])
    painted = [simulate(p.truth, 0.5, np.random.default_rng(0))[0].labels for p in planes]
    painted[1][...] = 0  # a plane may be left blank
    write_tiff(tmp_path / "stack.tif", stack, "ZCYX")
    write_tiff(tmp_path / "stack_s.tif", np.stack(painted[:2]), "ZYX")
    write_tiff(tmp_path / "single.tif", planes[2].image.channels, "CYX")
    write_tiff(tmp_path / "single_s.tif", painted[2], "YX")
    model = tmp_path / "m.impartial"
    done = cli(
        "train", tmp_path / "stack.tif", tmp_path / "single.tif", "--scribbles",
        tmp_path / "stack_s.tif", tmp_path / "single_s.tif", "--model", model, "--json", *FEW,
    )  # fmt: skip
    assert done.status == 0, done.err
    assert done.json["images"] == 2, "a plane that nobody painted is left out"
    done = cli(
        "predict", tmp_path / "stack.tif", "--model", model, "--out", tmp_path / "out", "--samples",
        "0", "--threshold", "0.01", "--json",
    )  # fmt: skip
    assert done.status == 0, done.err
    for name, dtype in (("instances", np.int32), ("probability", np.float32)):
        with tifffile.TiffFile(tmp_path / "out" / f"stack_{name}.tif") as file:
            assert file.series[0].axes == "ZYX"
            assert file.series[0].shape == (2, 64, 72)
            assert file.series[0].dtype == dtype
    with open(tmp_path / "out" / "stack_measurements.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == done.json["images"][0]["n_cells"]
    assert {row["z"] for row in rows} <= {"0", "1"}


def test_a_file_may_be_named_like_a_plane(
    cli: Cli, trained: Trained, files: Files, tmp_path: Path
) -> None:
    image = tmp_path / "b [z=3].tif"
    write_tiff(image, files.test.image.channels, "CYX")
    done = cli(
        "predict", image, "--model", trained.path, "--out", tmp_path / "out", "--samples", "0"
    )
    assert done.status == 0, done.err
    instances = tifffile.imread(tmp_path / "out" / "b [z=3]_instances.tif")
    assert instances.shape == files.test.image.shape
    with open(tmp_path / "out" / "b [z=3]_measurements.csv", encoding="utf-8") as file:
        assert "z" not in file.readline().strip().split(",")


def test_going_on_from_a_model(cli: Cli, trained: Trained, files: Files, tmp_path: Path) -> None:
    again = tmp_path / "again.impartial"
    done = cli(
        "train", files.image, "--scribbles", files.scribbles, "--init", trained.path, "--model",
        again, "--max-steps", "2", "--json",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert done.json["steps"] == 2
    card = read_card(again)
    assert card.rounds == 2
    assert card.model == read_card(trained.path).model
    assert card.training.learning_rate == 0.01
    # and over the model that it went on from
    done = cli(
        "train", files.image, "--scribbles", files.scribbles, "--init", again, "--model", again,
        "--max-steps", "1",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert read_card(again).rounds == 3


def test_going_on_keeps_the_names_of_the_models_channels(
    trained: Trained, files: Files, tmp_path: Path
) -> None:
    for name, given, channels in (
        ("nameless", [], ()),
        ("picked", ["--channels", "CD8,DAPI"], ("DAPI", "CD8")),
    ):
        image, model = tmp_path / f"{name}.tif", tmp_path / f"{name}.impartial"
        planes = files.train.image.channels[:: -1 if channels else 1]
        write_tiff(image, planes, "CYX", channels or None)
        arguments = ["train", str(image), "--scribbles", str(files.scribbles), "--max-steps", "1"]
        assert main([*arguments, "--init", str(trained.path), "--model", str(model), *given]) == 0
        assert read_card(model).channel_names == ("nucleus", "membrane")


@pytest.mark.parametrize(
    ("given", "steps", "seconds"),
    [
        ([], 120, 60.0),
        (["--learning-rate", "0.02"], 120, 60.0),
        (["--time-budget-s", "4"], 0, 4.0),
        (["--preset", "fast"], 0, 15.0),
        (["--time-budget-s", "4", "--max-steps", "7"], 7, 4.0),
    ],
)
def test_a_time_budget_that_is_given_decides_over_the_steps_of_the_first_model(
    given: list[str], steps: int, seconds: float, trained: Trained
) -> None:
    words = ["train", "a.tif", "--scribbles", "s.tif", "--model", "m", *given]
    _, training = train.settings(build_parser().parse_args(words), load_model(trained.path))
    assert (training.max_steps, training.time_budget_s) == (steps, seconds)


def test_partial_instance_masks(files: Files, tmp_path: Path) -> None:
    truth = files.train.truth
    masks = np.where(np.isin(truth, np.unique(truth)[1:12]), truth + 1000, 0).astype(np.int32)
    write_tiff(tmp_path / "masks.tif", masks, "YX")
    model = tmp_path / "m.impartial"
    arguments = ["train", str(files.image), "--scribbles", str(tmp_path / "masks.tif")]
    arguments += ["--model", str(model), *FEW]
    assert main([*arguments, "--partial-masks"]) == 0
    assert read_card(model).n_classes == 2


def test_info(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(trained.path)]) == 0
    text = capsys.readouterr().out
    assert "nucleus, membrane" in text
    assert "base_features 8" in text
    assert main(["info", str(trained.path), "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card["channel_names"] == ["nucleus", "membrane"]
    assert card["steps"] == 120
    assert card["history"][-1]["step"] == 120


def test_simulate(files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = files.folder / "train" / "a_truth.tif"
    found = []
    for folder, seed in (("x", "3"), ("y", "3"), ("z", "4")):
        out = tmp_path / folder
        arguments = ["simulate", str(truth), "--fraction", "0.2", "--out", str(out), "--json"]
        assert main([*arguments, "--seed", seed]) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["annotated"] == round(0.2 * report["cells"])
        found.append(tifffile.imread(out / "a_scribbles.tif"))
    assert found[0].shape == files.train.truth.shape
    assert set(np.unique(found[0])) == {0, 1, 2}
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()
    # foreground strokes lie in cells
    assert (files.train.truth[found[0] == 2] > 0).all()
    # the last folder again, with the first seed
    assert main([*arguments, "--seed", "3", "--overwrite"]) == 0
    np.testing.assert_array_equal(tifffile.imread(out / "a_scribbles.tif"), found[0])


def test_planes_without_a_cell_stay_blank(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = files.test.truth
    write_tiff(tmp_path / "a.tif", 0 * truth, "YX")
    write_tiff(tmp_path / "b.tif", np.stack([truth, 0 * truth]), "ZYX")
    both = [str(tmp_path / name) for name in ("a.tif", "b.tif")]
    out = tmp_path / "out"
    assert main(["simulate", *both, "--fraction", "0.3", "--out", str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["cells"], report["annotated"]) == (truth.max(), round(0.3 * truth.max()))
    assert not read_labels(out / "a_scribbles.tif").any()
    painted, blank = read_labels(out / "b_scribbles.tif")
    assert set(np.unique(painted)) == {0, 1, 2}
    assert not blank.any()


def test_time_points_and_slices_in_any_order(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = np.zeros((2, 3, 32, 32), np.int32)  # T, Z: two cells in each plane, all others
    for t, z in np.ndindex(2, 3):
        truth[t, z, 10 * t : 10 * t + 9, 10 * z : 10 * z + 9] = 1
        truth[t, z, 20:29, 10 * z : 10 * z + 9] = 2
    write_tiff(tmp_path / "ours.tif", truth, "TZYX")
    write_tiff(tmp_path / "x_truth.tif", truth.swapaxes(0, 1), "ZTYX")
    pair = ["--pred", str(tmp_path / "ours.tif"), "--truth", str(tmp_path / "x_truth.tif")]
    assert main(["evaluate", *pair, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["map"] == 1
    simulated = ["simulate", str(tmp_path / "x_truth.tif"), "--out", str(tmp_path)]
    assert main([*simulated, "--fraction", "1"]) == 0
    with tifffile.TiffFile(tmp_path / "x_scribbles.tif") as file:
        assert (file.series[0].axes, file.series[0].shape) == ("TZYX", truth.shape)
    painted = read_labels(tmp_path / "x_scribbles.tif").reshape(truth.shape)
    assert ((painted == 2) <= (truth > 0)).all()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_ctrl_c_keeps_the_best_weights(
    environment: dict[str, str], files: Files, tmp_path: Path
) -> None:
    model = tmp_path / "m.impartial"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [
            sys.executable, "-m", "napari_impartial", "train", str(files.image), "--scribbles",
            str(files.scribbles), "--model", str(model), "--time-budget-s", "600",
            "--base-features", "4", "--depth", "1", "--json",
        ],
        env={**environment, "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )  # fmt: skip
    os.close(theirs)
    shown = ""
    try:
        deadline = time.monotonic() + 90
        while "step" not in shown:
            assert time.monotonic() < deadline, shown
            shown += os.read(ours, 4096).decode()
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        out = process.stdout.read()
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        os.close(ours)
    assert "training [" in shown
    report = json.loads(out.splitlines()[-1])
    assert report["stopped"] is True
    assert read_card(model).steps == report["steps"] > 0
    (image,) = read_images(files.image)
    assert read_card(model).n_channels == image.n_channels


def test_kinds_of_cell_are_named_in_model_and_tables(files: Files, tmp_path: Path) -> None:
    drawn = read_labels(files.scribbles)
    half = drawn[:, drawn.shape[1] // 2 :]
    half[half == 2] = 3
    scribbles, model, out = tmp_path / "s.tif", tmp_path / "m.impartial", tmp_path / "out"
    tifffile.imwrite(scribbles, drawn.astype(np.uint8))
    arguments = ["train", files.image, "--scribbles", scribbles, "--model", model, *FEW]
    assert main([*map(str, arguments), "--class-names", "Tumour", "T cell"]) == 0
    assert read_card(model).class_names == ("background", "Tumour", "T cell")
    assert main(["predict", str(files.image), "--model", str(model), "--out", str(out)]) == 0
    with (out / f"{files.image.stem}_measurements.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    named = {"1": "Tumour", "2": "T cell"}
    assert rows
    assert all(row["class_name"] == named[row["class"]] for row in rows)
    assert all(0.0 < float(row["class_probability"]) <= 1.0 for row in rows)
