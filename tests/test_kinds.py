"""Judging the objects on many kinds of image."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

pytest.importorskip("sklearn")
from benchmarks import fit_cut_costs, kinds, uncertainty
from benchmarks.fit_cut_costs import CUTS, Run
from benchmarks.kinds import Row, kinds_of, summary

from napari_impartial.core.config import InstanceConfig
from napari_impartial.core.data.synthetic_tissue import tissue
from napari_impartial.core.instances.strokes import CutCosts


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two unlike images, one to train on and one to judge, strokes of two styles."""
    folder = tmp_path_factory.mktemp("sets") / "made"
    for side, seed in (("train", 3), ("test", 4)):
        made = tissue((96, 112), n_channels=2, seed=seed)
        (folder / side).mkdir(parents=True)
        path = folder / side / f"{side}.tif"
        tifffile.imwrite(path, made.image.channels, metadata={"axes": "CYX"})
        tifffile.imwrite(path.with_name(f"{side}_truth.tif"), made.truth.astype(np.uint16))
        for number, style in enumerate(("train", "lines")):
            (folder / style).mkdir(exist_ok=True)
            if side == "train":
                drawn = made.scribbles(0.2, seed=number).labels
                tifffile.imwrite(folder / style / "train_scribbles10.tif", drawn)
    return folder


def test_a_set_with_test_images_is_one_kind_and_others_are_cut_in_halves(dataset, tmp_path):
    for style, seed in (("outlines", 0), ("lines", 1)):
        (kind,) = kinds_of(dataset, style)
        made = tissue((96, 112), n_channels=2, seed=3)
        np.testing.assert_array_equal(kind.strokes[0], made.scribbles(0.2, seed=seed).labels)
        assert len(kind.test) == 1
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "train").symlink_to(dataset / "train")
    (kind,) = kinds_of(alone, "outlines")
    assert kind.name == "alone, train"
    whole = tissue((96, 112), n_channels=2, seed=3).truth
    parts = [kind.truths[0], kind.test[0][1]]
    assert sorted(part.sum() for part in parts) == sorted([whole[:48].sum(), whole[48:].sum()])
    drawn = tissue((96, 112), n_channels=2, seed=3).scribbles(0.2, seed=0).labels > 0
    assert (kind.strokes[0] > 0).sum() == max(drawn[:48].sum(), drawn[48:].sum())


def test_a_kind_is_judged_once_and_then_from_what_was_kept(dataset, tmp_path, monkeypatch, capsys):
    command = ["kinds", str(dataset), "--maps", str(tmp_path), "--styles", "lines", "--steps", "2"]
    monkeypatch.setattr(sys, "argv", command)
    kinds.main()
    first = capsys.readouterr().out
    assert "| made | lines |" in first
    assert "mean over the forest's best cut" in first
    monkeypatch.setattr(kinds, "train_network", None)  # what is kept is not trained again
    monkeypatch.setattr(kinds, "train_forest", None)
    kinds.main()
    assert capsys.readouterr().out == first


def test_several_seeds_are_trained_each_and_their_mean_is_told(dataset, tmp_path, monkeypatch):
    (kind,) = kinds_of(dataset, "lines")
    right = np.where(kind.test[0][1] > 0, 0.99, 0.01).astype(np.float32)
    nothing = np.zeros_like(right)
    trained = []

    def pretend(kind, config, kept):
        trained.append((config.seed, kept.parent.name))
        return [nothing], [right if config.seed == 5 else nothing]

    monkeypatch.setattr(kinds, "maps_of", pretend)
    config = kinds.TrainingConfig(max_steps=2)
    row = kinds.judge(kind, "lines", config, [5, 7], tmp_path, None)
    best = kinds.judge(kind, "lines", config, [5], tmp_path, None).ours
    assert best > 0.5
    assert row.ours == pytest.approx(best / 2)
    assert row.spread == pytest.approx(best / 2**0.5)
    assert f"{best / 2:.3f} ± {row.spread:.3f}" in str(row)
    assert "±" not in str(Row("a", "lines", 0.5, 0.6, 0.7, 0.0, (InstanceConfig(),)))
    assert [seed for seed, _ in trained[:2]] == [5, 7]
    assert trained[0][1].startswith("2 steps, seed 5, weights shipped, ")
    assert trained[0][1].partition("weights")[2] == trained[1][1].partition("weights")[2]


def test_maps_of_other_settings_are_not_taken_for_these(tmp_path):
    parser = kinds.parser_of("About.", "lines")
    command = ["SET", "--maps", str(tmp_path), "--steps", "2"]
    usual, other = (
        kinds.config_of(parser.parse_args([*command, *options]))
        for options in ([], ["--edge-weight", "0.7", "--no-implied-labels"])
    )
    assert usual == kinds.TrainingConfig(max_steps=2)
    assert (other.edge_weight, other.implied_labels, other.max_steps) == (0.7, False, 2)
    assert kinds.folder_of(usual, tmp_path) != kinds.folder_of(other, tmp_path)


def test_the_summary_counts_what_is_below():
    rows = [
        Row("a", "lines", 0.5, 0.6, 0.7, 0.0, (InstanceConfig(),)),
        Row("b", "lines", 0.5, 0.4, 0.42, 0.0, (InstanceConfig(),)),
        Row(
            "a", "outlines", 0.8, 0.79, 0.8, 0.0, (InstanceConfig(split_strength=0.5, sharpen=2.0),)
        ),
    ]
    said = summary(rows)
    assert "| mean of 2 | lines | 0.500 | 0.500 | 0.560 | |" in said
    assert "over the forest's best cut: -0.003" in said
    assert "worst: -0.100 (b, lines)" in said
    assert "below the forest by more than 0.02: 1 of 3" in said
    assert "over 0.05 below the best single cut: 1 of 3, at most 0.100" in said


def test_a_style_that_there_is_not_is_refused(dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", ["kinds", str(dataset), "--maps", str(tmp_path), "--styles", "dots"]
    )
    with pytest.raises(SystemExit) as ended:
        kinds.main()
    assert ended.value.code == 2
    assert "'dots' is none of outlines, lines" in capsys.readouterr().err


def test_areas_under_the_curve():
    assert uncertainty.area_under_curve([1, 2, 3, 4], [0, 0, 1, 1]) == 1.0
    assert uncertainty.area_under_curve([4, 2, 3, 1], [0, 0, 1, 1]) == 0.25
    assert uncertainty.area_under_curve([1, 1, 1], [1, 0, 0]) == 0.5
    assert np.isnan(uncertainty.area_under_curve([1, 2], [1, 1]))


def test_what_is_wrong_is_told_by_the_maps_that_are_kept(dataset, tmp_path, monkeypatch, capsys):
    truth = tissue((96, 112), n_channels=2, seed=6).truth
    learned = tissue((96, 112), n_channels=2, seed=3).truth
    # Two halves of a sure cell are no cell: entropy does not know, doubt of objects may.
    inside, outside = (ndimage.distance_transform_edt(x) for x in (truth > 0, truth == 0))
    p = (1 / (1 + np.exp(outside - inside))).astype(np.float32)
    p[:, 40:43] = 0.02
    folder = kinds.folder_of(kinds.TrainingConfig(max_steps=2), tmp_path)
    folder.mkdir()
    kinds.keep(folder / "made.lines.npz", [(learned > 0).astype(np.float32), p])
    command = ["uncertainty", str(dataset), "--maps", str(tmp_path), "--steps", "2"]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr(kinds, "train_network", None)
    uncertainty.main()
    row = next(line for line in capsys.readouterr().out.splitlines() if "| made |" in line)
    objects, pixels, _ = ([float(v) for v in part.split(",")] for part in row.split("|")[3:6])
    assert objects[2] != objects[0], "the heatmap is more than entropy"
    assert pixels[2] > pixels[0]


def _run(kind: str, divided_from: float, best: float, divided: float = 0.6) -> Run:
    """Strokes that are divided from a split strength on, and F1 that falls off round another."""
    strengths, strokes = np.array([cut.split_strength for cut in CUTS]), 10
    faults = np.zeros((len(strengths), 3))
    faults[:, 1] = divided * strokes * (strengths >= divided_from)
    return Run(kind, "lines", 300, strokes, faults, 0.9 - (strengths - best) ** 2)


def test_costs_of_split_strengths_are_chosen_on_other_kinds():
    rods, round_ones = _run("rods", 0.35, 0.3), _run("round", 0.95, 0.6)
    stars = _run("stars", 0.25, 0.2)
    cheap, dear = CutCosts(faults=(0.5, 0.1, 0.5)), CutCosts(faults=(0.5, 3.0, 0.5))
    assert [run.by(dear) for run in (rods, round_ones, stars)] == pytest.approx([0.9] * 3)
    assert rods.by(cheap) == pytest.approx(0.9 - 0.3**2)
    assert fit_cut_costs.best([rods, round_ones], [cheap, dear]) is dear
    # Where strokes mislead, those that are cheap are better; each kind counts once.
    misled = _run("misled", 0.35, 0.6)
    assert fit_cut_costs.best([misled, rods, rods], [cheap, dear]) is cheap
    told = fit_cut_costs.report([rods, round_ones, stars, _run("balls", 0.95, 0.6)])
    figures = [float(cell) for cell in told.splitlines()[2].split("|")[3:7]]
    assert figures == pytest.approx([(0.81 + 0.9 + 0.74 + 0.9) / 4, 0.9, 0.9, 0.9], abs=0.001)
    assert "chosen on all 4 kinds: CutCosts(" in told
    assert told.count("\nwithout ") == 4
    assert CutCosts() in fit_cut_costs.grid()


def test_a_kind_has_no_say_in_the_costs_that_it_is_judged_by():
    # What suits one kind harms the other.
    told = fit_cut_costs.report([_run("rods", 0.35, 0.3, 0.05), _run("misled", 0.35, 0.6, 0.05)])
    shown = told.splitlines()[2].split("|")[3:7]
    assert [float(cell) for cell in shown] == pytest.approx([0.855, 0.855, 0.81, 0.9])


def test_strokes_are_held_against_training_images_and_f1_is_of_test_images(dataset, tmp_path):
    (kind,) = kinds.kinds_of(dataset, "lines")
    config = kinds.TrainingConfig(max_steps=2)
    seen = [(truth > 0).astype(np.float32) for truth in kind.truths]
    unseen = [np.zeros(truth.shape, np.float32) for _, truth in kind.test]
    kinds.keep(kinds.folder_of(config, tmp_path) / "made.lines.npz", [*seen, *unseen])
    args = argparse.Namespace(maps=tmp_path, tables=None)
    run = fit_cut_costs.measure(kind, "lines", config, args)
    assert run.strokes > 1
    assert (run.faults[:, 0] < run.strokes / 2).all(), "most lie in objects"
    assert not run.f1.any(), "no object in test images"


def test_costs_are_chosen_from_kept_maps(dataset, tmp_path, monkeypatch, capsys):
    other = dataset.parent / "other"
    if not other.exists():
        other.symlink_to(dataset)
    maps = str(tmp_path)
    shared = ["--maps", maps, "--steps", "2", "--styles", "lines"]
    monkeypatch.setattr(sys, "argv", ["fit", str(dataset), str(other), *shared])
    with pytest.raises(SystemExit, match=r"seed 0.*made\.lines\.npz: run benchmarks\.kinds"):
        fit_cut_costs.main()
    for folder in (dataset, other):
        monkeypatch.setattr(sys, "argv", ["kinds", str(folder), *shared])
        kinds.main()
    shipped = [line for line in capsys.readouterr().out.splitlines() if "| lines | " in line]
    ours = {float(line.split("|")[4]) for line in shipped if "mean of" not in line}
    assert len(ours) == 1, "the same images"
    monkeypatch.setattr(sys, "argv", ["fit", str(dataset), str(other), *shared, "--seeds", "0"])
    fit_cut_costs.main()
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| 2 ")]
    usual, by_shipped, without, best = (float(cell) for cell in row.split("|")[3:7])
    assert by_shipped == ours.pop(), "what kinds tells of the shipped cut"
    assert best >= max(usual, by_shipped, without)
