"""The demo without a screen, and how it finds out that there is none."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from napari_impartial.cli import demo_report, pictures, screen
from napari_impartial.core.data.image import from_array
from napari_impartial.core.prediction.suggestions import Suggestion
from napari_impartial.io import read_images

from .conftest import Cli


def test_demo_without_a_screen_writes_a_report(process: Cli, tmp_path: Path) -> None:
    done = process("demo", "--max-steps", "2", "--json", cwd=tmp_path)
    assert done.status == 0, done.err
    out = tmp_path / "demo-output"
    assert done.json["mode"] == "headless"
    assert "DISPLAY" in done.json["reason"]
    assert Path(done.json["report"]) == Path("demo-output/report.html")
    ihc, tissue = done.json["samples"]
    assert (ihc["sample"], tissue["sample"]) == ("ihc", "tissue")
    assert "f1" not in ihc
    assert 0 <= tissue["f1"] <= 1
    for name in ("ihc", "tissue"):
        for kind in ("image", "scribbles", "cells", "probability", "uncertainty"):
            with Pillow.open(out / f"{name}_{kind}.png") as picture:
                assert min(picture.size) >= 500
        for kind in ("instances", "probability", "entropy"):
            assert (out / f"{name}_{kind}.tif").exists()
        assert len(read_images(out / f"{name}.tif")) == 1
        assert (out / f"{name}.impartial").exists()
    page = (out / "report.html").read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert len(sources) == 12
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert "<polyline" in page
    assert "F1 at IoU 0.5" in page
    assert "--preset fast --max-steps 2" in page
    assert "2 steps of training" in page


def test_why_headless(monkeypatch: pytest.MonkeyPatch) -> None:
    args = argparse.Namespace(headless=True)
    assert screen.why_headless(args) == "--headless was given"
    args.headless = False
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert "no screen" in str(screen.why_headless(args))
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setitem(sys.modules, "napari", None)
    assert "napari is not installed" in str(screen.why_headless(args))


def test_a_screen_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("napari")
    pytest.importorskip("PyQt6")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", ":9876")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    assert "Qt cannot open a window" in str(screen.why_headless(argparse.Namespace(headless=False)))


def test_composite_of_channels() -> None:
    colour = np.zeros((4, 6, 3), np.uint8)
    colour[..., 0] = 200
    picture = pictures.composite(from_array(colour, "YXC", colour=True))
    np.testing.assert_array_equal(picture, colour)
    ramp = np.linspace(0, 1, 100).reshape(10, 10)
    picture = pictures.composite(from_array(ramp))
    assert (picture[..., 0] == picture[..., 1]).all()
    assert (picture[0, 0, 0], picture[9, 9, 0]) == (0, 255)
    two = pictures.composite(from_array(np.stack([ramp, ramp[::-1]]), "CYX"))
    assert two[9, 9, 2] > two[9, 9, 0]


def test_heatmap_ends() -> None:
    picture = pictures.heatmap(np.array([[0.0, 1.0, np.nan]]))
    assert picture[0, 0].tolist() == [0, 0, 4]
    assert picture[0, 1].tolist() == [252, 253, 191]
    assert picture[0, 2].tolist() == [0, 0, 4]


def test_overlays_are_where_they_belong() -> None:
    base = np.full((20, 30, 3), 100, np.uint8)
    labels = np.zeros((20, 30), np.int32)
    labels[5:15, 10:20] = 1
    outlined = pictures.with_outlines(base, labels, 2)
    assert outlined.shape == (40, 60, 3)
    assert outlined[10, 30].tolist() == list(pictures.OUTLINE_COLOUR)
    assert outlined[20, 30].tolist() == [100, 100, 100]
    painted = pictures.with_scribbles(base, labels, 1)
    assert painted[10, 15].tolist() == list(pictures.BACKGROUND_COLOUR)
    assert painted[0, 0].tolist() == [80, 80, 80]
    boxed = pictures.with_suggestions(base, [Suggestion(1, 10, 15, (5, 10, 15, 20), 0.5, "")], 10)
    assert boxed[100, 100].tolist() == list(pictures.BOX_COLOUR)
    field = pictures.crop_round(labels, 10)
    assert (labels[field] == 1).all()


def test_report_escapes_what_it_shows() -> None:
    chapter = demo_report.Chapter("<b>", "a & b", {"x": "<1"}, [], [(1, "<i>", 0.5)], [], "cat < a")
    page = demo_report.page("I", [chapter])
    for raw in ("<b>", "a & b", "<1", "<i>", "cat < a"):
        assert raw not in page
    assert "&lt;i&gt;" in page
    assert demo_report.loss_curve([]) == ""


def test_a_window_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "_LAUNCH", "import sys; sys.exit('no luck with {}')")
    assert screen.open_window("x") == "napari could not open its window (no luck with x)"
    monkeypatch.setattr(screen, "_LAUNCH", "pass")
    assert screen.open_window("x") is None
