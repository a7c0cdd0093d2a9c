"""Data sets, the benchmark, the forest, and rounds of refinement."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest

from napari_impartial.cli.main import main
from napari_impartial.core.config import STROKE_STYLES, TrainingConfig
from napari_impartial.core.data.mask_scribbles import annotate_cells
from napari_impartial.core.data.scribbles import BACKGROUND, FOREGROUND
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.metrics import evaluate
from napari_impartial.experiments import refine
from napari_impartial.experiments.benchmark import describe, summarize
from napari_impartial.experiments.benchmark_report import pivot_table
from napari_impartial.experiments.dataset import check_files, open_data_set, training_part
from napari_impartial.experiments.refine_rounds import POLICIES
from napari_impartial.experiments.run_cache import FinishedRuns
from napari_impartial.experiments.simulated_annotator import (
    Annotator,
    first_strokes,
    shown_as_one,
)
from napari_impartial.io import read_labels, write_tiff

from .conftest import FEW, Cli, Files

FIGURES = ("f1", "ap", "map", "miou", "mdice")


def test_a_data_set_is_listed(files: Files) -> None:
    data = open_data_set(files.folder)
    assert data.name == "tissue"
    (train,), (test,) = data.train, data.test
    assert (train.name, test.name) == ("a", "b")
    assert train.scribbles == {10: files.scribbles}
    assert test.scribbles == {}


def test_scribbles_are_read_or_simulated(files: Files) -> None:
    data = open_data_set(files.folder)
    _, (read,) = training_part(data, 10, seed=0)
    np.testing.assert_array_equal(read.labels, read_labels(files.scribbles))
    made = [training_part(data, 50, seed)[1][0].labels for seed in (0, 0, 1)]
    np.testing.assert_array_equal(made[0], made[1])
    assert (made[0] != made[2]).any()
    annotated = np.unique(files.train.truth[made[0] == 2])
    assert annotated.size == round(0.5 * files.train.truth.max())


def test_strokes_of_another_style_lie_in_a_folder_of_its_name(files: Files, tmp_path: Path) -> None:
    folder = tmp_path / "tissue"
    shutil.copytree(files.folder, folder)
    lines = np.zeros(files.train.truth.shape, np.uint8)
    lines[5, 5:20], lines[30, 5:20] = 1, 2
    write_tiff(folder / "lines" / "a_scribbles10.tif", lines, "YX")
    data = open_data_set(folder, "lines")
    assert data.train[0].scribbles == {10: folder / "lines" / "a_scribbles10.tif"}
    np.testing.assert_array_equal(training_part(data, 10, 0)[1][0].labels, lines)
    # what has no file is simulated in that style
    sloppy = open_data_set(folder, "sloppy-lines")
    painted, _ = first_strokes(files.train.truth, 10, (4, 0), "sloppy-lines")
    np.testing.assert_array_equal(training_part(sloppy, 10, 4)[1][0].labels, painted.labels)


def test_refine_begins_with_the_strokes_of_benchmark(files: Files, tmp_path: Path) -> None:
    folder = tmp_path / "tissue"
    shutil.copytree(files.folder, folder)
    (folder / "train" / "a_scribbles10.tif").unlink()
    for style in STROKE_STYLES:
        annotator = Annotator([files.train.truth], 48, style, seed=3)
        annotator.begin(10)
        (_, (strokes,)) = training_part(open_data_set(folder, style), 10, seed=3)
        np.testing.assert_array_equal(annotator.scribbles()[0].labels, strokes.labels)
        assert annotator.n_cells == round(0.1 * annotator.n_all)
        # later strokes leave the first as they are
        assert annotator.annotate(annotator.random_cells(np.random.default_rng(0)), 2) == 2
        now = annotator.scribbles()[0].labels
        np.testing.assert_array_equal(now[strokes.labels > 0], strokes.labels[strokes.labels > 0])
        assert (now == 2).sum() > (strokes.labels == 2).sum()


def test_incomplete_data_sets(files: Files, tmp_path: Path) -> None:
    for missing, said in (
        ("train/a_truth.tif", "no truth to simulate"),
        ("test/b_truth.tif", "has no truth"),
    ):
        folder = tmp_path / missing.replace("/", "_")
        shutil.copytree(files.folder, folder)
        (folder / missing).unlink()
        with pytest.raises(ImPartialError, match=said):
            training_part(open_data_set(folder), 50, 0)


def test_benchmark_of_both_methods(cli: Cli, files: Files) -> None:
    pytest.importorskip("sklearn")
    done = cli("benchmark", files.folder, "--seeds", "0", "--json", "--best-cut", *FEW)
    assert done.status == 0, done.err
    assert done.err == ""
    results = {result["method"]: result for result in done.json["results"]}
    assert list(results) == ["impartial", "forest", "forest+best-cut"]
    for result in results.values():
        assert (result["set"], result["percent"], result["seed"]) == ("tissue", 10, 0)
        assert result["n_true"] == files.test.truth.max()
        for name in FIGURES:
            assert 0 <= result[name] <= 1
        assert result["train_s"] > 0
        assert (result.get("steps", 0) > 0) == (result["method"] == "impartial")
        assert result["predict_s"] > 0
    # the memory is the run's own: torch weighs more than the forest, and both some
    assert results["impartial"]["peak_rss_mb"] > results["forest"]["peak_rss_mb"] > 50
    assert results["forest+best-cut"]["f1"] >= results["forest"]["f1"] > 0.3
    assert "| tissue | 10 | forest " in done.out
    assert done.json["settings"]["training"]["max_steps"] == 3


def test_a_failing_run_leaves_the_others(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    broken = tmp_path / "broken"
    shutil.copytree(files.folder, broken)
    labels = read_labels(files.scribbles)
    write_tiff(broken / "train" / "a_scribbles10.tif", np.minimum(labels, 1), "YX")
    arguments = ["benchmark", str(broken), str(files.folder), "--methods", "forest"]
    assert main([*arguments, "--seeds", "0", "--json"]) == 2
    captured = capsys.readouterr()
    report = json.loads(captured.out.splitlines()[-1])
    assert [result["set"] for result in report["results"]] == ["tissue"]
    assert [failure["set"] for failure in report["failures"]] == ["broken"]
    (line,) = captured.err.splitlines()
    assert "seed 0: Only background" in line


@pytest.mark.parametrize(
    ("bad", "content", "said"),
    [
        ("test/b.tif", None, "cannot be read"),
        ("test/b_truth.tif", None, "cannot be read"),
        ("test/b_truth.tif", "train/a_truth.tif", "same grid"),
        ("train/a.tif", "test/b.tif", "same grid"),
        ("train/a_scribbles10.tif", "test/b_truth.tif", "same grid"),
        ("train/a_scribbles10.tif", "train/a.tif", "{file}"),
    ],
)
def test_all_files_are_looked_at_before_the_first_run(
    bad: str, content: str | None, said: str, files: Files, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def run_apart(*_: object) -> None:
        raise AssertionError("a run began")

    monkeypatch.setattr("napari_impartial.experiments.benchmark.run_apart", run_apart)
    folder = tmp_path / "set"
    shutil.copytree(files.folder, folder)
    if content is None:
        os.truncate(folder / bad, (folder / bad).stat().st_size // 2)
    else:
        shutil.copy(files.folder / content, folder / bad)
    arguments = ["benchmark", str(files.folder), str(folder), "--methods", "impartial"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(folder / bad) in line
    assert said.format(file=bad) in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["benchmark", "refine"])
def test_data_sets_of_one_name_are_told_before_the_first_run(
    command: str, files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [tmp_path / "a" / "Vectra", tmp_path / "b" / "Vectra"]
    for folder in folders:
        shutil.copytree(files.folder, folder)
    out = tmp_path / "out"
    assert main([command, *map(str, folders), "--out", str(out), "--seeds", "0", *FEW]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{folders[0]} and {folders[1]} are both called Vectra" in line
    assert "rename one" in line
    assert not out.exists()


def test_images_without_a_cell_stay_blank(files: Files, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(files.folder, folder)
    image, truth = files.train.image.channels, files.train.truth
    write_tiff(folder / "train" / "c.tif", np.stack([image, image]), "ZCYX", ("a", "b"))
    write_tiff(folder / "train" / "c_truth.tif", np.stack([0 * truth, truth]), "ZYX")
    data = open_data_set(folder)
    check_files(data, [50], truths=True)
    _, scribbles = training_part(data, 50, seed=0)
    assert [bool(one.labels.any()) for one in scribbles] == [True, False, True]
    annotator = Annotator([0 * truth, truth], box_px=16)
    assert annotator.annotate(annotator.random_cells(np.random.default_rng(0)), 3) == 3
    assert [one.labels.any() for one in annotator.scribbles()] == [False, True]


def test_truths_without_any_cell_are_told_before_the_first_run(
    files: Files, tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    shutil.copytree(files.folder, folder)
    write_tiff(folder / "train" / "a_truth.tif", 0 * files.train.truth, "YX")
    data = open_data_set(folder)
    check_files(data, [10])  # there are scribbles
    for percents, truths in (([10, 50], False), ([10], True), ([], True)):
        with pytest.raises(ImPartialError, match=r"a_truth\.tif holds no cell, so"):
            check_files(data, percents, truths)


def test_a_broken_file_that_no_run_needs_is_let_be(files: Files, tmp_path: Path) -> None:
    shutil.copytree(files.folder, tmp_path / "set")
    (tmp_path / "set" / "train" / "a_truth.tif").write_text("no image", encoding="utf-8")
    data = open_data_set(tmp_path / "set")
    check_files(data, [10])
    for percents, truths in (([10, 50], False), ([10], True)):
        with pytest.raises(ImPartialError, match=r"a_truth\.tif cannot be read"):
            check_files(data, percents, truths)


def test_summary_is_mean_and_deviation() -> None:
    costs = {"train_s": 1.0, "predict_s": 2.0, "peak_rss_mb": 300.0}
    runs = [
        {"set": "s", "method": "m", "percent": 10, **dict.fromkeys(FIGURES, value), **costs}
        for value in (0.5, 0.7)
    ]
    (row,) = summarize(runs)
    assert row["f1"] == pytest.approx(0.6)
    assert row["f1_std"] == pytest.approx(0.02**0.5)
    assert row["runs"] == 2
    table = describe({"summary": [row]})
    assert "0.600 ± 0.141" in table
    assert summarize(runs[:1])[0]["f1_std"] is None


def test_a_system_that_does_not_tell_the_memory_of_a_run() -> None:
    run = {"set": "s", "method": "m", "percent": 10, **dict.fromkeys(FIGURES, 0.5)}
    run |= {"train_s": 1.0, "predict_s": 2.0, "peak_rss_mb": None}
    for known, text in (([], "-"), ([300.0], "300")):
        runs = [run, run, *({**run, "peak_rss_mb": peak} for peak in known)]
        (row,) = summarize(runs)
        assert row["peak_rss_mb"] == (known[0] if known else None)
        line = describe({"summary": [row]}).splitlines()[-1]
        assert line.split("|")[-2].strip() == text


def test_tables_side_by_side() -> None:
    costs = {"train_s": 1.0, "predict_s": 2.0, "peak_rss_mb": 300.0}
    f1 = {("a", 10): 0.6, ("a", 100): 0.8, ("b", 10): 0.4, ("b", 100): 0.4}
    runs = [
        {"set": name, "method": "m", "percent": percent, **dict.fromkeys(FIGURES, value), **costs}
        for (name, percent), value in f1.items()
    ]
    text = describe({"summary": summarize(runs)})
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert ["set", "method", "F1 at 10 %", "F1 at 100 %", "10 % of 100 %"] in lines
    assert ["a", "m", "0.600", "0.800", "0.750"] in lines
    assert ["mean", "m", "0.500", "0.600", "0.833"] in lines
    other = [{**run, "method": "n", "f1": 0.1} for run in runs if run["percent"] == 10]
    text = pivot_table(summarize([*runs, *other]), "method")
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert ["a", "10", "0.600", "0.100"] in lines
    # where a figure is missing there is no mean over it
    assert ["a", "100", "0.800", "-"] in lines
    assert ["mean", "10", "0.500", "0.100"] in lines
    assert not any(line[:2] == ["mean", "100"] for line in lines)


def test_an_interrupted_benchmark_goes_on(
    runs_here: None, files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    out = tmp_path / "out"
    command = ["benchmark", str(files.folder), "--methods", "forest", "--out", str(out)]
    reports = []
    for seeds in ("0", "0,1"):
        assert main([*command, "--seeds", seeds, "--json"]) == 0
        captured = capsys.readouterr()
        assert "| tissue" in captured.out
        reports.append(json.loads(captured.out.splitlines()[-1]))
    first, second = (report["results"] for report in reports)
    # the finished run was not done again: seconds and all are those of the first time
    assert second[0] == first[0]
    assert [result["seed"] for result in second] == [0, 1]
    assert len(list((out / "runs").iterdir())) == 2
    assert (out / "table.md").read_text(encoding="utf-8").startswith("| set")
    written = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert written["results"] == second
    pytest.importorskip("matplotlib")
    assert iio.imread(out / "plot.png").std() > 5


def test_what_makes_a_run_a_new_one(files: Files, tmp_path: Path) -> None:
    data = tmp_path / "tissue"
    shutil.copytree(files.folder, data)
    finished = FinishedRuns(tmp_path / "runs")
    spec = {"set": str(data), "method": "m", "percent": 10, "seed": 0, "settings": {"a": 1}}
    assert finished.get(spec) is None
    finished.put(spec, [{"f1": 0.5}])
    assert FinishedRuns(tmp_path / "runs").get(spec) == [{"f1": 0.5}]
    for change in ({"seed": 1}, {"settings": {"a": 2}}):
        assert finished.get({**spec, **change}) is None
    (file,) = (tmp_path / "runs").iterdir()
    assert file.name.startswith("tissue-m-10-0-")
    text = file.read_text(encoding="utf-8")
    for damaged in ("{", "[]", '{"results": 1}'):
        file.write_text(damaged, encoding="utf-8")
        assert finished.get(spec) is None
    file.write_text(text, encoding="utf-8")
    assert finished.get(spec) == [{"f1": 0.5}]
    os.utime(data / "test" / "b.tif", (1, 1))
    assert finished.get(spec) is None
    nothing = FinishedRuns(None)
    nothing.put(spec, [])
    assert nothing.get(spec) is None


def test_ablation_switches_the_parts_of_the_loss(runs_here: None, cli: Cli, files: Files) -> None:
    done = cli("benchmark", files.folder, "--ablation", "--seeds", "0", "--json", *FEW)
    assert done.status == 0, done.err
    results = {result["method"]: result for result in done.json["results"]}
    assert list(results) == ["reconstruction-only", "scribble-only", "joint"]
    assert "F1 scribble-only" in done.out
    assert "F1 joint" in done.out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--ablation", "--methods", "forest"], "leave out --methods"),
        (["--weights", "cellpose=x"], "cellpose among --methods"),
        (["--methods", "cellpose", "--weights", "cellpose=/none"], "no weights /none"),
        (["--methods", "cellpose", "--weights", "file"], "cellpose=FILE"),
        (["--weights-channels", "nucleus"], "--weights-channels needs --weights"),
        (["--methods", "impartial", "--best-cut"], "--best-cut needs forest"),
    ],
)
def test_benchmark_options_that_do_not_fit(
    files: Files, more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["benchmark", str(files.folder), *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_forest_learns_and_repeats(files: Files) -> None:
    pytest.importorskip("sklearn")
    from napari_impartial.core.instances.cutter import to_instances
    from napari_impartial.experiments.baselines.random_forest import (
        best_cut,
        cuts,
        features,
        forest_probability,
        n_features,
        train_forest,
    )

    data = open_data_set(files.folder)
    images, scribbles = training_part(data, 10, seed=0)
    assert features(images[0]).shape == (*images[0].shape, n_features(2))
    test = files.test.image
    maps = [
        forest_probability(test, train_forest(images, scribbles, seed, n_jobs=1))
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(maps[0], maps[1])
    assert (maps[0] != maps[2]).any()
    np.testing.assert_allclose(maps[0].sum(axis=0), 1, atol=1e-5)
    foreground = 1 - maps[0][0]
    assert foreground[files.test.truth > 0].mean() > foreground[files.test.truth == 0].mean() + 0.3
    assert len(cuts()) == len(set(cuts())) == 24
    config, labels = best_cut([files.test.truth], [foreground])
    np.testing.assert_array_equal(labels[0], to_instances(foreground, config))
    best = evaluate([files.test.truth], labels).f1
    others = [
        evaluate([files.test.truth], [to_instances(foreground, cut)]).f1 for cut in cuts()[::5]
    ]
    assert best >= max(others)


def test_filter_responses_of_a_parabola() -> None:
    pytest.importorskip("sklearn")
    from napari_impartial.experiments.baselines.random_forest import _responses

    y, _ = np.mgrid[:41, :41].astype(np.float32)
    sigma = 1.6
    _, gradient, larger, smaller, dog = _responses((y - 20) ** 2, sigma)
    # away from the border: derivative 2 (y - 20), second derivatives 2 and 0
    assert gradient[25, 20] == pytest.approx(sigma * 10, rel=1e-3)
    assert larger[20, 20] == pytest.approx(sigma**2 * 2, rel=1e-3)
    assert smaller[20, 20] == pytest.approx(0, abs=1e-3)
    # smoothing by sigma adds sigma**2 to a parabola
    assert dog[20, 20] == pytest.approx(sigma**2 - (1.6 * sigma) ** 2, rel=0.02)


def test_forest_without_scikit_learn(monkeypatch: pytest.MonkeyPatch, files: Files) -> None:
    import sys

    from napari_impartial.experiments.baselines.random_forest import check_available

    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(ImPartialError, match=r"napari-impartial\[bench\]"):
        check_available()


def test_annotator_annotates_whole_cells_at_places() -> None:
    truth = np.zeros((40, 60), np.int32)
    truth[5:15, 5:15] = 7
    truth[5:15, 16:26] = 9
    truth[25:35, 40:50] = 3
    annotator = Annotator([truth], box_px=16)
    assert annotator.n_all == 3
    assert annotator.cell_at((0, 10, 10)) == 7
    assert annotator.cell_at((0, 35, 10)) is None
    # the cell at the place, a background stroke, the cell near the place
    assert annotator.annotate([(0, 10, 10), (0, 35, 10), (0, 23, 45)], 2) == 2
    assert annotator.cells == [{7, 3}]
    (painted,) = annotator.scribbles()
    labels = painted.labels
    assert set(np.unique(truth[labels == 2])) == {7, 3}
    assert labels[35, 10] == 1
    # no background over the neighbour that is not annotated
    assert not (labels[truth == 9] == 1).any()
    assert (labels[truth == 0] == 1).any()
    # an annotated cell is not offered again; its neighbour is
    assert annotator.cell_at((0, 10, 10)) == 9
    other = annotator.copy()
    other.annotate([(0, 10, 10)], 1)
    assert (annotator.n_cells, other.n_cells) == (2, 3)
    assert list(other.random_cells(np.random.default_rng(0))) == []


def _two_that_touch() -> tuple[np.ndarray, np.ndarray]:
    """Two cells that touch, one alone; the truth, and as shown: one of the two."""
    truth = np.zeros((40, 60), np.int32)
    truth[5:15, 5:25] = 7
    truth[5:15, 25:45] = 9
    truth[28:38, 5:25] = 3
    shown = np.where(truth == 3, 1, np.where(truth > 0, 2, 0))
    shown[20:25, 40:60] = 5
    return truth, shown


def test_annotator_parts_cells_that_are_shown_as_one() -> None:
    truth, shown = _two_that_touch()
    assert [shown_as_one(truth, cell, shown) for cell in (7, 9, 3)] == [9, 7, None]
    assert [shown_as_one(truth, cell, truth) for cell in (7, 9)] == [None, None]
    assert shown_as_one(truth, 7, np.zeros_like(shown)) is None
    # less than half of the neighbour, and a neighbour that does not touch
    assert shown_as_one(truth, 7, np.where(np.arange(60) < 35, shown, 0)) is None
    far = np.where(np.arange(60) < 25, truth, 0)
    far[5:15, 30:45] = 9
    assert shown_as_one(far, 7, shown) is None
    # less than half of the cell itself, and a neighbour beyond a thin one
    assert shown_as_one(truth, 7, np.where(np.arange(60) < 16, 0, shown)) is None
    thin = truth.copy()
    thin[4:16, 25] = 8
    assert shown_as_one(thin, 7, np.where(thin == 8, 0, shown)) is None
    # ids as large as they come
    huge = np.where(truth == 9, np.int64(2**40), truth)
    assert shown_as_one(huge, 7, np.where(shown == 2, np.int64(2**40), shown)) == 2**40
    # the neighbour with the longest border of several
    three = truth.copy()
    three[15:25, 5:45] = 4
    assert [shown_as_one(three, cell, three > 0) for cell in (7, 4)] == [4, 7]
    places = [(0, 10, 15), (0, 33, 15)]
    lines, told = (Annotator([truth], 16, "lines", seed=1) for _ in range(2))
    assert lines.annotate(places, 2) == told.annotate(places, 2, [shown]) == 2
    (before,), (after,) = (one.scribbles() for one in (lines, told))
    seam = np.zeros(truth.shape, bool)
    seam[4:16, 24:26] = True
    assert (after.labels[seam] == BACKGROUND).all()
    np.testing.assert_array_equal(after.labels == FOREGROUND, before.labels == FOREGROUND)
    # in place of the line beside that cell; that of the other one is as it was
    alone = annotate_cells(truth, [3], "lines", 1).labels
    np.testing.assert_array_equal((after.labels == BACKGROUND) & ~seam, alone == BACKGROUND)
    assert (told.n_mended, lines.n_mended) == (1, 0)
    assert told.copy().scribbles()[0].labels.tolist() == after.labels.tolist()


@pytest.mark.parametrize("style", ["lines", "outlines"])
def test_background_that_is_shown_as_an_object_is_painted_as_such(style: str) -> None:
    truth, shown = _two_that_touch()
    place, apart = (0, 22, 43), shown == 5
    shown = np.where(apart, 5, truth)
    blind, sees = (Annotator([truth], 40, style, seed=1) for _ in range(2))
    assert blind.annotate([place], 1) == sees.annotate([place], 1, [shown]) == 1
    assert (blind.n_mended, sees.n_mended) == (0, 1)
    (before,), (after,) = (one.scribbles() for one in (blind, sees))
    assert not before.labels[apart].any()
    assert (after.labels[apart] == BACKGROUND).sum() >= 8
    np.testing.assert_array_equal(after.labels == FOREGROUND, before.labels == FOREGROUND)
    # Of lines each cell has one on the background, in one place or the other.
    elsewhere = (after.labels == BACKGROUND) & ~apart
    assert elsewhere.any() == (style == "outlines")
    # what is small, or along the edge of a cell, is let be
    for rows, columns in ((slice(21, 25), slice(43, 47)), (slice(15, 17), slice(5, 45))):
        little = truth.copy()
        little[rows, columns] = 5
        careful = Annotator([truth], 40, style, seed=1)
        careful.annotate([place], 1, [little])
        assert careful.n_mended == 0


def test_refine_compares_policies_at_equal_cells(cli: Cli, files: Files, tmp_path: Path) -> None:
    command = [
        "refine", files.folder, "--rounds", "1", "--start-percent", "6", "--add-percent", "6",
        "--samples", "2", "--policy", ",".join(POLICIES), "--out", tmp_path / "out", "--json",
        *FEW,
    ]  # fmt: skip
    done = cli(*command)
    assert done.status == 0, done.err
    results = done.json["results"]
    by_round = {(r["round"], r["policy"]): r for r in results}
    assert set(by_round) == {(n, p) for n in (0, 1) for p in POLICIES}
    step = max(1, round(0.06 * files.train.truth.max()))
    for policy in POLICIES:
        assert by_round[0, policy]["cells"] == step
        assert by_round[1, policy]["cells"] == 2 * step
        # What three steps have learned is wrong everywhere, and the annotator sees it.
        assert by_round[1, policy]["mended"] > by_round[0, policy]["mended"] == 0
    assert by_round[0, "entropy"]["f1"] == by_round[0, "random"]["f1"]
    assert "| round | cells |" in done.out
    assert "F1 entropy" in done.out
    assert "diverse - random" in done.out
    assert (tmp_path / "out" / "table.md").read_text(encoding="utf-8") in done.out
    # finished rounds are not done again
    again = cli(*command)
    assert again.json["results"] == results


def test_refinement_goes_on_when_all_cells_are_annotated(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["refine", str(files.folder), "--rounds", "2", "--samples", "0", *FEW, "--json"]
    assert main([*command, "--start-percent", "60", "--add-percent", "60"]) == 0
    results = json.loads(capsys.readouterr().out.splitlines()[-1])["results"]
    n = int(files.train.truth.max())
    for policy in ("heatmap", "random"):
        cells = [result["cells"] for result in results if result["policy"] == policy]
        assert cells == [round(0.6 * n), n, n]


def test_table_of_refinement_over_sets() -> None:
    def run(name: str, policy: str, seed: int, round_: int, f1: float) -> dict[str, Any]:
        figures = {**dict.fromkeys(FIGURES, 0.0), "f1": f1}
        shared = {"cells": 10 + round_, "percent": 5.0, "background_strokes": 1}
        shared |= {"mended": 2}
        return {
            "set": name, "policy": policy, "seed": seed, "round": round_, **shared, **figures
        }  # fmt: skip

    results = [
        run(name, policy, seed, 1, value + 0.1 * seed)
        for name, base in (("b", 0.2), ("a", 0.4))
        for policy, value in (("entropy", base + 0.2), ("random", base))
        for seed in (0, 1)
    ]
    results = [{**r, "round": 0} for r in results] + results
    text = refine.describe({"summary": refine.summarize(results, refine.KEYS, refine.OF_RUNS)})
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert [line[:2] for line in lines[2:]] == [
        ["b", "0"], ["b", "1"], ["a", "0"], ["a", "1"], ["mean", "0"], ["mean", "1"]
    ]  # fmt: skip
    assert lines[3][4:] == ["0.450 ± 0.071", "0.250 ± 0.071", "+0.200"]
    assert lines[-1][4:] == ["0.550", "0.350", "+0.200"]


def test_other_first_weights_under_the_same_name_make_a_run_a_new_one(tmp_path: Path) -> None:
    weights, finished = tmp_path / "first.safetensors", FinishedRuns(tmp_path / "runs")
    weights.write_bytes(b"one")
    training = TrainingConfig(first_weights=str(weights))
    spec = {"set": str(tmp_path), "settings": {"training": training}}
    finished.put(spec, [{"f1": 0.5}])
    assert finished.get(spec) == [{"f1": 0.5}]
    weights.write_bytes(b"another")
    assert finished.get(spec) is None


@pytest.mark.parametrize("name", ["weights", "folder/config.json"])
def test_other_weights_of_a_peer_make_a_run_a_new_one(tmp_path: Path, name: str) -> None:
    file, finished = tmp_path / name, FinishedRuns(tmp_path / "runs")
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"one")
    spec = {"set": str(tmp_path / "set"), "weights": str(tmp_path / name.partition("/")[0])}
    finished.put(spec, [{"f1": 0.5}])
    assert finished.get(spec) == [{"f1": 0.5}]
    file.write_bytes(b"another")
    assert finished.get(spec) is None


def test_missed_cells_are_those_without_an_object_of_their_own() -> None:
    truth = np.zeros((40, 60), np.int32)
    truth[5:15, 5:15], truth[5:15, 25:35], truth[25:35, 5:15], truth[25:35, 25:35] = 3, 5, 7, 9
    shown = np.zeros_like(truth)
    shown[5:15, 5:15] = 1  # found
    shown[5:8, 25:35] = 2  # less than half of it
    annotator = Annotator([truth], 16)
    annotator.annotate([(0, 30, 10)], 1)
    places = list(annotator.missed_cells(np.random.default_rng(0), [shown]))
    assert sorted(int(truth[y, x]) for _, y, x in places) == [5, 9]
