"""Bad input ends with status 2 and one line that says what is wrong."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_impartial.cli.main import describe_error, main
from napari_impartial.cli.output import ProgressBar, markdown_table, to_json
from napari_impartial.core.errors import ImPartialError
from napari_impartial.io import write_tiff

from .conftest import FEW, Cli, Files, Trained


@pytest.fixture
def bad(files: Files, tmp_path: Path) -> dict[str, str]:
    """Return paths of good and bad files, by name."""
    paths = {
        "image": files.image,
        "scribbles": files.scribbles,
        "test": files.test_image,
        "set": files.folder,
        "missing": tmp_path / "missing.tif",
        "small": tmp_path / "small.tif",
        "background": tmp_path / "background.tif",
        "again": tmp_path / "again" / Path(files.test_image).name,
        "blank": tmp_path / "blank.tif",
        "zeros": tmp_path / "zeros.tif",
        "one_channel": tmp_path / "one_channel.tif",
        "text": tmp_path / "text.tif",
        "plain": tmp_path / "plain.impartial",
        "empty_set": tmp_path / "empty",
        "out": tmp_path / "out",
        "under_file": tmp_path / "text.tif" / "out",
        "model": tmp_path / "new.impartial",
        "folder": tmp_path,
    }
    shape = files.train.image.shape
    write_tiff(paths["small"], np.ones((8, 8), np.uint8), "YX")
    write_tiff(paths["background"], np.ones(shape, np.uint8), "YX")
    for name in ("blank", "zeros"):
        write_tiff(paths[name], np.zeros(shape, np.uint8), "YX")
    write_tiff(paths["one_channel"], files.train.image.channels[:1], "CYX")
    paths["text"].write_text("no image", encoding="utf-8")
    paths["plain"].write_text("no model", encoding="utf-8")
    paths["empty_set"].mkdir()
    paths["again"].parent.mkdir()
    shutil.copy(paths["test"], paths["again"])
    return {name: str(path) for name, path in paths.items()}


TRAIN = ["train", "{image}", "--scribbles", "{scribbles}", "--model", "{model}"]
CASES = {
    "no command": ([], "COMMAND"),
    "unknown command": (["fly"], "fly"),
    "unknown option": ([*TRAIN, "--fast"], "--fast"),
    "not a number": ([*TRAIN, "--time-budget-s", "long"], "'long' is not a number"),
    "not finite": ([*TRAIN, "--time-budget-s", "nan"], "between 1 and"),
    "out of bounds": ([*TRAIN, "--dropout", "0.95"], "between 0 and 0.9"),
    "unknown preset": ([*TRAIN, "--preset", "slow"], "balanced"),
    "image missing": (
        ["train", "{missing}", "--scribbles", "{scribbles}", "--model", "{model}"],
        "does not exist",
    ),
    "scribbles missing": (
        ["train", "{image}", "--scribbles", "{missing}", "--model", "{model}"],
        "does not exist",
    ),
    "counts differ": (
        ["train", "{image}", "{image}", "--scribbles", "{scribbles}", "--model", "{model}"],
        "2 images but 1 scribble file",
    ),
    "shapes differ": (
        ["train", "{image}", "--scribbles", "{small}", "--model", "{model}"],
        "8 x 8",
    ),
    "one class": (
        ["train", "{image}", "--scribbles", "{background}", "--model", "{model}"],
        "Only background",
    ),
    "nothing painted": (
        ["train", "{image}", "--scribbles", "{blank}", "--model", "{model}"],
        "Nothing is painted",
    ),
    "channels differ": (
        [
            "train", "{image}", "{one_channel}", "--scribbles", "{scribbles}", "{scribbles}",
            "--model", "{model}",
        ],
        "2 channels (nucleus, membrane)",
    ),
    "scribbles of prediction do not count up": (
        ["predict", "{test}", "--model", "{trained}", "--out", "{out}", "--scribbles", "{small}",
         "{small}"],
        "1 image but 2 scribble files",
    ),
    "scribbles of prediction do not fit": (
        ["predict", "{test}", "--model", "{trained}", "--out", "{out}", "--scribbles", "{small}"],
        "8 x 8",
    ),
    "no such channel": ([*TRAIN, "--channels", "CD8"], "CD8"),
    "channel twice": ([*TRAIN, "--channels", "0,0"], "twice"),
    "wrong axes": ([*TRAIN, "--axes", "ZZZ"], "repeat"),
    "not an image": (
        ["train", "{text}", "--scribbles", "{scribbles}", "--model", "{model}"],
        "cannot be read",
    ),
    "model is a folder": (
        ["train", "{image}", "--scribbles", "{scribbles}", "--model", "{folder}"],
        "{folder} is a folder; name a file for --model",
    ),
    "model cannot be written": (
        ["train", "{image}", "--scribbles", "{scribbles}", "--model", "{under_file}/m.impartial"],
        "{under_file} cannot be a folder, since {text} is a file; name another",
    ),
    "network of a model": (
        [*TRAIN, "--init", "{trained}", "--base-features", "8"],
        "--base-features",
    ),
    "first weights of a model": (
        [*TRAIN, "--init", "{trained}", "--first-weights", "{trained}"],
        "--first-weights are for networks that are new",
    ),
    "warm start of a model": (
        [*TRAIN, "--init", "{trained}", "--no-warm-start"],
        "train without --init",
    ),
    "partial masks of nothing": (
        ["predict", "{test}", "--model", "{trained}", "--out", "{out}", "--partial-masks"],
        "--scribbles",
    ),
    "seed too large": ([*TRAIN, "--seed", "4294967296"], "between 0 and 4294967295"),
    "not a model": (
        ["predict", "{test}", "--model", "{plain}", "--out", "{out}"],
        "not a model",
    ),
    "truncated model": (
        ["predict", "{test}", "--model", "{truncated}", "--out", "{out}"],
        "damaged",
    ),
    "model missing": (["info", "{missing}"], "no model file"),
    "model to show is a folder": (["info", "{empty_set}"], "{empty_set} is a folder"),
    "channels of the model": (
        ["predict", "{one_channel}", "--model", "{trained}", "--out", "{out}"],
        "--channels",
    ),
    "same name twice": (
        ["predict", "{test}", "{again}", "--model", "{trained}", "--out", "{out}"],
        "called b",
    ),
    "out cannot be made": (
        ["predict", "{test}", "--model", "{trained}", "--out", "{under_file}"],
        "{under_file} cannot be a folder, since {text} is a file; name another",
    ),
    "out is a file": (
        ["simulate", "{small}", "--out", "{text}"],
        "{text} is a file and no folder; name another",
    ),
    "large bounds": (
        ["simulate", "{small}", "--out", "{out}", "--seed", "-1"],
        "-1 is not between 0 and 4294967295",
    ),
    "pred and truth differ": (
        ["evaluate", "--pred", "{small}", "--truth", "{blank}"],
        "same grid",
    ),
    "pred and truth counts": (
        ["evaluate", "--pred", "{small}", "{small}", "--truth", "{small}"],
        "2 predictions but 1 truths",
    ),
    "fraction": (["simulate", "{small}", "--fraction", "2", "--out", "{out}"], "between"),
    "no cells": (["simulate", "{blank}", "--out", "{out}"], "{blank} holds no cell, so"),
    "no cells in any": (
        ["simulate", "{blank}", "{zeros}", "--out", "{out}"],
        "{blank} holds no cell, nor do the other truths",
    ),
    "no set": (["benchmark", "{missing}"], "no folder"),
    "empty set": (["benchmark", "{empty_set}"], "holds no image"),
    "unknown method": (["benchmark", "{set}", "--methods", "magic"], "magic"),
    "bad percent": (["benchmark", "{set}", "--percent", "0"], "between 1 and 100"),
    "bad seeds": (["benchmark", "{set}", "--seeds", "a"], "'a'"),
    "large seeds": (
        ["benchmark", "{set}", "--seeds", "0,4294967296"],
        "argument --seeds: 4294967296 is not between 0 and 4294967295",
    ),
    "negative seeds": (["refine", "{set}", "--seeds", "-1"], "--seeds: -1 is not between 0"),
    "unknown policy": (["refine", "{set}", "--policy", "best"], "best"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_error(
    case: str,
    bad: dict[str, str],
    trained: Trained,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments, said = CASES[case]
    truncated = tmp_path / "truncated.impartial"
    truncated.write_bytes(trained.path.read_bytes()[:-500])
    paths = {**bad, "trained": str(trained.path), "truncated": str(truncated)}
    before = sorted(tmp_path.rglob("*"))
    status = main([argument.format(**paths) for argument in arguments])
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("napari-impartial")
    assert said.format(**paths) in lines[0]
    assert status == 2
    assert captured.out == ""
    left = [path for path in sorted(tmp_path.rglob("*")) if path.is_file() and path not in before]
    assert left == []


@pytest.fixture
def inputs(files: Files, trained: Trained, tmp_path: Path) -> dict[str, Path]:
    """Return copies of good files, one of them by other names as well."""
    paths = {
        "image": tmp_path / "a.tif",
        "scribbles": tmp_path / "a_instances.tif",
        "trained": tmp_path / "m.impartial",
        "truth": tmp_path / "q_truth.tif",
        "painted": tmp_path / "q_scribbles.tif",
    }
    for name, source in (
        ("image", files.image),
        ("scribbles", files.scribbles),
        ("trained", trained.path),
        ("truth", files.test_truth),
        ("painted", files.scribbles),
    ):
        shutil.copy(source, paths[name])
    paths["link"], paths["twin"] = tmp_path / "link.tif", tmp_path / "twin.tif"
    paths["link"].symlink_to(paths["image"])
    os.link(paths["scribbles"], paths["twin"])
    (tmp_path / "x").mkdir()
    paths["roundabout"] = tmp_path / "x" / ".." / "a.tif"
    paths["folder"] = tmp_path
    return paths


ON_ITSELF = ["train", "{image}", "--scribbles", "{scribbles}", *FEW, "--model"]
OVERWRITING = {
    "model on its image": ([*ON_ITSELF, "{image}"], "{image}", "--model"),
    "model on its image, another way": ([*ON_ITSELF, "{roundabout}"], "{roundabout}", "--model"),
    "model on its image by a link": ([*ON_ITSELF, "{link}"], "{link}", "--model"),
    "model on its scribbles": ([*ON_ITSELF, "{scribbles}"], "{scribbles}", "--model"),
    "model on its scribbles by a second name": ([*ON_ITSELF, "{twin}"], "{twin}", "--model"),
    "objects on what is annotated": (
        ["predict", "{image}", "--scribbles", "{scribbles}", "--model", "{trained}", "--out",
         "{folder}"],
        "{scribbles}",
        "--out",
    ),
    "objects on another image": (
        ["predict", "{image}", "{scribbles}", "--model", "{trained}", "--out", "{folder}"],
        "{scribbles}",
        "--out",
    ),
    "strokes on strokes": (
        ["simulate", "{truth}", "--out", "{folder}"], "{painted} exists", "--overwrite",
    ),
    "strokes on a truth": (
        ["simulate", "{truth}", "{painted}", "--out", "{folder}", "--overwrite"],
        "{painted}",
        "--out",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OVERWRITING)
def test_nothing_is_written_over_what_is_read(
    case: str, inputs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, said, option = OVERWRITING[case]
    before = {path: path.read_bytes() for path in inputs["folder"].iterdir() if path.is_file()}
    status = main([argument.format(**inputs) for argument in arguments])
    (line,) = capsys.readouterr().err.splitlines()
    assert status == 2
    assert said.format(**inputs) in line
    assert option in line
    after = {path: path.read_bytes() for path in inputs["folder"].iterdir() if path.is_file()}
    assert after == before


@pytest.mark.skipif(not os.path.exists("/proc/self"), reason="needs a folder that takes no file")
def test_a_folder_that_takes_no_file(
    bad: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", bad["image"], "--scribbles", bad["scribbles"], "--model"]
    for model in ("/proc/m.impartial", "/proc/no/m.impartial"):
        assert main([*arguments, model]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"Cannot write in {Path(model).parent}: " in line
        assert line.endswith("; name another folder.")


def test_error_in_a_process_of_its_own(process: Cli, bad: dict[str, str], trained: Trained) -> None:
    done = process("train", bad["image"], "--scribbles", bad["small"], "--model", bad["model"])
    assert done.status == 2
    assert "same grid" in done.one_line()
    assert done.out == ""
    # argparse's own exits, too
    done = process("train")
    assert done.status == 2
    assert "--scribbles" in done.one_line()
    # errors that come up where torch is at work
    done = process("predict", bad["text"], "--model", trained.path, "--out", bad["out"])
    assert done.status == 2
    assert "cannot be read" in done.one_line()


def test_a_full_disk_is_one_line() -> None:
    status, text = describe_error(OSError(28, "No space left on device", "/x/a.tif"))
    assert (status, text) == (2, "No space left on device (/x/a.tif).")
    status, text = describe_error(ImPartialError("Paint more."))
    assert (status, text) == (2, "Paint more.")
    for error in (
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ):
        status, text = describe_error(error)
        assert status == 2
        assert "not enough memory" in text
    status, text = describe_error(FileNotFoundError(2, "No such file or directory", "/x"))
    assert (status, text) == (2, "There is no file or folder /x.")
    assert describe_error(KeyboardInterrupt())[0] == 130
    status, text = describe_error(IndexError("x"))
    assert status == 1
    assert "IndexError: x" in text


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_cannot_be_printed(
    environment: dict[str, str], trained: Trained, unbuffered: str
) -> None:
    import subprocess
    import sys

    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "napari_impartial", "info", str(trained.path)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**environment, "PYTHONUNBUFFERED": unbuffered},
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["napari-impartial info: No space left on device."]


def test_json_has_no_nan() -> None:
    value = {
        "nan": float("nan"),
        "inf": np.float32(np.inf),
        "array": np.array([1.5, np.nan]),
        "path": Path("a"),
        "flag": np.bool_(True),
        "whole": np.int64(3),
        "set": (1, None),
    }
    expected = (
        '{"nan": null, "inf": null, "array": [1.5, null], "path": "a", "flag": true, '
        '"whole": 3, "set": [1, null]}'
    )
    assert to_json(value) == expected
    with pytest.raises(TypeError, match="object"):
        to_json(object())


def test_markdown_table() -> None:
    assert markdown_table([["a", "bcd"], ["123", "4"]]) == (
        "| a   | bcd |\n|-----|-----|\n| 123 | 4   |"
    )


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_for_terminals_only() -> None:
    quiet, loud = io.StringIO(), _Terminal()
    for stream in (quiet, loud):
        with ProgressBar("training", stream) as bar:
            bar.update(0.5, "step 7")
    assert quiet.getvalue() == ""
    assert "training [############............]  50%" in loud.getvalue()
    assert loud.getvalue().endswith("\r\x1b[K")
