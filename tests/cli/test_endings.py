"""How the command line ends: signals, full disks, and outputs that cannot take what is printed."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from napari_impartial.cli import progress
from napari_impartial.cli.main import main
from napari_impartial.cli.output import ProgressBar
from napari_impartial.core.atomic_write import MARK
from napari_impartial.core.network import model_file
from napari_impartial.core.network.model_card import ModelCard, read_card
from napari_impartial.core.network.model_file import TrainedModel, load_model, save_model

from .conftest import FEW, Files, Trained

SMALL = ["--base-features", "4", "--depth", "1", "--patch-size", "32"]
GREEK = "\N{GREEK SMALL LETTER ALPHA}-SMA"
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")


def arguments(files: Files, model: Path) -> list[str]:
    inputs = [str(files.image), "--scribbles", str(files.scribbles)]
    return ["train", *inputs, "--model", str(model)]


@posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_training_that_is_ended_keeps_its_weights(
    files: Files,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """By Ctrl-C, a scheduler (SLURM, docker stop), or a connection that is lost."""
    number, model = signal.Signals[name], tmp_path / "m.impartial"
    before = {one: signal.getsignal(one) for one in progress.ENDINGS}
    updates = []

    def end(*_: Any) -> None:
        updates.append(1)
        if len(updates) == 2:
            signal.raise_signal(number)

    monkeypatch.setattr(ProgressBar, "update", end)
    command = [*arguments(files, model), *SMALL, "--time-budget-s", "600", "--json"]
    assert main(command) == 128 + number
    said = capsys.readouterr()
    word = "Ctrl-C" if name == "SIGINT" else name
    assert said.err == f"Stopped by {word}; the best weights so far are in {model}.\n"
    report = json.loads(said.out)
    assert report["stopped"] is True
    assert load_model(model).card.steps == report["steps"] > 0
    assert os.listdir(tmp_path) == [model.name]
    assert {one: signal.getsignal(one) for one in progress.ENDINGS} == before


@posix
def test_a_second_signal_ends_a_training_at_once(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(*_: Any) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(ProgressBar, "update", end)
    stop = model_file.save_model_anywhere
    monkeypatch.setattr(model_file, "save_model_anywhere", stop)
    model = tmp_path / "m.impartial"
    with progress.ending_flag() as ended:
        signal.raise_signal(signal.SIGINT)
        assert ended() == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with progress.cleaned_up(), pytest.raises(progress.Ended) as caught:
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.signal == signal.SIGTERM
    assert not model.exists()


@posix
def test_what_is_ended_by_a_scheduler_leaves_nothing_half_done(
    files: Files,
    trained: Trained,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from napari_impartial.io import images

    def ended(*_: Any, **__: Any) -> None:
        assert [name for name in os.listdir(tmp_path) if name.startswith(MARK)]
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(images.tifffile, "imwrite", ended)
    monkeypatch.setattr(images.tifffile.TiffWriter, "write", ended)
    command = ["predict", str(files.image), "--model", str(trained.path), "--out", str(tmp_path)]
    assert main(command) == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "napari-impartial predict: stopped.\n"
    assert os.listdir(tmp_path) == []


def full_below(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk that a folder lies on be full."""
    write = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        if self.is_relative_to(folder):
            write(self, content[:1000])
            raise OSError(28, "No space left on device", str(self))
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)


def test_a_full_disk_at_the_end_does_not_take_the_weights(
    files: Files,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results, home, work = (tmp_path / name for name in ("results", "home", "work"))
    for folder in (results, work):
        folder.mkdir()
    monkeypatch.setenv("XDG_DATA_HOME", str(home))
    monkeypatch.setattr(tempfile, "tempdir", str(work))
    full_below(results, monkeypatch)
    model = results / "m.impartial"
    assert main([*arguments(files, model), *FEW, "--json"]) == 2
    said = capsys.readouterr()
    written = Path(json.loads(said.out)["model"])
    assert said.err == (
        f"Cannot write {model}: no space left on device. The model has been written to {written} "
        "instead; move it from there.\n"
    )
    assert written.is_relative_to(home)
    assert load_model(written).card.steps == 3
    assert os.listdir(results) == []
    # Where the home folder has no room either, somewhere else.
    full_below(home, monkeypatch)
    assert main([*arguments(files, model), *FEW, "--json"]) == 2
    assert Path(json.loads(capsys.readouterr().out)["model"]).parent == work


def test_weights_that_can_be_written_nowhere_are_told(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(trained.path)
    monkeypatch.setattr(model_file, "_other_places", lambda: [tmp_path])
    full_below(tmp_path, monkeypatch)
    with pytest.raises(ValueError, match="no space left"):
        model_file.save_model_anywhere(model, tmp_path / "m.impartial")
    assert os.listdir(tmp_path) == []


@posix
def test_ctrl_c_while_the_program_is_loaded_prints_nothing(environment: dict[str, str]) -> None:
    code = (
        "import os, signal, sys, napari_impartial.cli.start as start\n"
        "assert 'argparse' not in sys.modules\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "start.main()"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, timeout=100
    )
    assert done.returncode == -signal.SIGINT
    assert done.stderr == done.stdout == b""


@pytest.fixture
def greek(trained: Trained, tmp_path: Path) -> Path:
    """A model of channels that not every code page has."""
    import dataclasses

    model = load_model(trained.path)
    names = (GREEK, *model.card.channel_names[1:])
    card = dataclasses.replace(model.card, channel_names=names)
    return save_model(TrainedModel(card, model.weights), tmp_path / "m.impartial")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_a_pipe_of_another_code_page(
    greek: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    for options in ([], ["--json"]):
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding=encoding)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", stream)
            assert main(["info", str(greek), *options]) == 0
        assert stream.errors == "strict"
        text = raw.getvalue().decode(encoding)
        if options:
            assert json.loads(text)["channel_names"][0] == GREEK
        else:
            assert (GREEK if encoding == "utf-8" else "\\u03b1-SMA") in text


@pytest.mark.parametrize("closed", ["stdout", "stderr", "both"])
def test_outputs_that_are_closed(
    trained: Trained,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    closed: str,
) -> None:
    for name in ("stdout", "stderr"):
        if closed in (name, "both"):
            monkeypatch.setattr(sys, name, None)
    assert main(["info", str(trained.path)]) == 0
    assert main(["info", str(trained.path) + "x"]) == 2
    monkeypatch.undo()
    said = capsys.readouterr()
    assert "internal" not in said.out + said.err
    if closed == "stderr":
        assert "There is no model" not in said.out, "errors are not printed among results"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("command", [["--help"], ["--version"], ["train", "--help"]])
def test_help_that_cannot_be_printed(environment: dict[str, str], command: list[str]) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "napari_impartial", *command],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            check=False,
        )
    assert (done.returncode, done.stderr) == (2, "napari-impartial: No space left on device.\n")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, names of files are text")
def test_names_of_files_that_are_no_text(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    names = [folder / os.fsdecode(name) for name in (b"im\xe9.tif", b"s\xe9.tif", b"t\xe9.tif")]
    truth_file = files.image.with_name("a_truth.tif")
    for source, name in zip((files.image, files.scribbles, truth_file), names, strict=True):
        shutil.copyfile(source, name)
    image, scribbles, truth = map(str, names)
    model, out = str(folder / os.fsdecode(b"m\xe9.impartial")), folder / os.fsdecode(b"o\xe9")
    stem = Path(image).stem

    def run(*command: str) -> Any:
        raw = io.BytesIO()
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="utf-8"))
            status = main([*command])
            sys.stdout.flush()
            text = raw.getvalue().decode()
        assert status == 0, (command, text)
        return text

    done = json.loads(
        run("train", image, "--scribbles", scribbles, "--model", model, *FEW, "--json")
    )
    assert done["model"] == model
    run("predict", image, "--model", model, "--out", str(out))
    found = json.loads(run("predict", image, "--model", model, "--out", str(out), "--json"))
    assert stem in json.dumps(found, ensure_ascii=False)
    objects = str(out / f"{stem}_instances.tif")
    run("evaluate", "--pred", objects, "--truth", truth)
    run("simulate", truth, "--out", str(out), "--fraction", "0.5")
    run("info", model)
    assert read_card(model).n_channels == 2


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('"channel_names": ["\\ud800", "b"]', "channel_names"),
        ('"device": "\\udc80"', "device"),
        ('"seconds": 1' + "0" * 400, "seconds"),
        ('"seconds": 1e400', "seconds"),
        ('"steps": 1' + "0" * 400, "steps"),
        ('"rounds": 1' + "0" * 400, "rounds"),
        ('"best_validation_loss": 1' + "0" * 400, "best_validation_loss"),
        ('"history": [{"elapsed_s": 1' + "0" * 400 + "}]", "history"),
        ('"history": ' + "[" * 100_000 + "]" * 100_000, "no JSON"),
    ],
    ids=lambda text: text[:24],
)
def test_cards_that_say_what_nobody_can_print(trained: Trained, entry: str, said: str) -> None:
    text = read_card(trained.path).to_json()
    with pytest.raises(ValueError, match=said) as caught:
        ModelCard.from_json(text[:-1] + "," + entry + "}")
    str(caught.value).encode()
    assert len(str(caught.value)) < 300
