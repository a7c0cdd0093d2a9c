"""What becomes of damaged files? ``python -m benchmarks.fuzz --count 10000 --seed 1``.

Good files of each kind are made (images, labels, regions, GeoJSON, models, cards, decisions,
sessions), changed at random, and read: by the readers, and by whole commands. All that may come
of it is a result, or one sentence. Of a session, in which one file is changed, all else has to
come back as it was, and what does not has to be named. Anything else, more than the time or more
than the memory allowed is a fault: it is printed with what makes it happen again, its file is
kept, and the exit status is 1.

A single bit of a session each time: ``--only sessions --bits``.

Children do the reading, so that a crash, a hang or a full memory ends one of them and not the
run. The same seed makes the same files.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import io
import json
import os
import queue
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

#: What one input may take: seconds, and memory over that of the program itself.
LIMIT_S, LIMIT_BYTES = 5.0, 2 * 2**30
# A child answers for so many inputs; beyond its patience it is ended. It may have to wait long
# for its turn, above all before its first input: it loads libraries and trains a model.
SHARE, PATIENCE_S, PATIENCE_AT_FIRST_S = 1000, 180.0, 900.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="Kinds of files, with commas between.")
    parser.add_argument("--bits", action="store_true", help="Flip one bit in each.")
    parser.add_argument("--limit-s", type=float, default=LIMIT_S)
    parser.add_argument("--keep", type=Path, default=ROOT / "build" / "fuzz")
    parser.add_argument("--child", nargs=2, type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return _child(args, *args.child)
    faults = 0
    for first in range(0, args.count, SHARE):
        at = first
        last = min(first + SHARE, args.count)
        while at < last:
            at, found = _watch(args, at, last)
            faults += found
        print(f"{last} inputs, {faults} faults", flush=True)
    return 1 if faults else 0


def _watch(args: argparse.Namespace, first: int, last: int) -> tuple[int, int]:
    """Have a child read the inputs `first` to `last`; return where to go on, and its faults."""
    words = [sys.executable, "-P", "-m", "benchmarks.fuzz", "--child", str(first), str(last)]
    words += ["--seed", str(args.seed), "--only", args.only, "--keep", str(args.keep)]
    words += ["--limit-s", str(args.limit_s), *(["--bits"] if args.bits else [])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)
    said: queue.Queue[str] = queue.Queue()
    assert child.stdout is not None
    listener = threading.Thread(target=_pass_on, args=(child.stdout, said), daemon=True)
    listener.start()
    at, faults, patience = first, 0, PATIENCE_AT_FIRST_S
    while True:
        try:
            line = said.get(timeout=patience)
        except queue.Empty:
            child.kill()
            continue
        if not line:
            break
        if line.startswith("at "):
            at, patience = int(line[3:]), PATIENCE_S
        else:
            faults += 1
            print(line, flush=True)
    listener.join()
    child.wait()
    if child.returncode == 0:
        return last, faults
    print(f"input {at} ended its process ({child.returncode}): seed {args.seed}", flush=True)
    return at + 1, faults + 1


def _pass_on(lines: IO[str], said: queue.Queue[str]) -> None:
    """Put each line into a queue, and an empty one when there are no more."""
    for line in lines:
        said.put(line.rstrip("\n"))
    said.put("")


def _child(args: argparse.Namespace, first: int, last: int) -> int:
    """Make and read inputs, telling each one's number before it is read."""
    kinds = [kind for kind in KINDS if not args.only or kind in args.only.split(",")]
    import numpy as np  # noqa: F401  (counted as the program's own memory)

    if {"models", "info", "sessions"} & set(kinds):
        import torch

        torch.set_num_threads(1)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + LIMIT_BYTES + used, resource.RLIM_INFINITY))
    with tempfile.TemporaryDirectory() as folder:
        makers = {kind: list(_good(kind, Path(folder) / "good" / kind)) for kind in kinds}
        for number in range(first, last):
            print(f"at {number}", flush=True)
            rng = random.Random(f"{args.seed} {number}")
            kind = rng.choice(kinds)
            source = rng.choice(makers[kind])
            place = Path(folder) / "bad"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            bad = place / source.name
            if source.is_dir():
                shutil.copytree(source, bad)
                changed = rng.choice(sorted(path for path in bad.rglob("*") if path.is_file()))
            else:
                changed = Path(shutil.copy(source, bad))
            change = flipped if args.bits else mutated
            changed.write_bytes(change(changed.read_bytes(), rng))
            started = time.process_time()  # other programs may have the machine meanwhile
            fault = _fault(KINDS[kind], bad)
            seconds = time.process_time() - started
            if not fault and seconds > args.limit_s:
                fault = f"{seconds:.1f} s"
            if fault:
                args.keep.mkdir(parents=True, exist_ok=True)
                kept = args.keep / f"{args.seed}_{number}_{changed.name}"
                shutil.copy(changed, kept)
                print(f"{kind} {kept}: {fault}", flush=True)
    return 0


def _fault(read: Callable[[Path], object], file: Path) -> str:
    """Read a file; return what is wrong with how that ended, in one line."""
    from napari_impartial.core.errors import ImPartialError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(file)
    except ImPartialError as error:
        text = str(error)
        return "" if text and "\n" not in text and len(text) <= 2000 else f"message: {text!r}"
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:200]!r} ({last.filename}:{last.lineno})"
    return ""


def flipped(content: bytes, rng: random.Random) -> bytes:
    """Return content with one bit changed; as often in the head as anywhere."""
    data = bytearray(content)
    most = len(data) if rng.random() < 0.5 else min(len(data), 600)
    data[rng.randrange(most)] ^= 1 << rng.randrange(8)
    return bytes(data)


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Return content that was changed: bits, bytes, numbers, cuts, repeats."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        if not data:
            break
        # heads hold what a file says of itself, so half of the changes are made there
        end = min(len(data), 512) if rng.random() < 0.5 else len(data)
        at = rng.randrange(end)
        match rng.randrange(8):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 2:
                size = rng.choice((2, 4, 8))
                value = rng.choice((0, 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1, 60000))
                order = rng.choice(("little", "big"))
                data[at : at + size] = (value % 2 ** (8 * size)).to_bytes(size, order)
            case 3:
                del data[at:]
            case 4:
                del data[at : at + rng.randrange(1, 64)]
            case 5:
                data[at:at] = rng.randbytes(rng.randrange(1, 64))
            case 6:
                piece = data[at : at + rng.randrange(1, 256)]
                to = rng.randrange(len(data))
                data[to : to + len(piece)] = piece
            case 7:
                data[at:at] = rng.choice(_WORDS)
    return bytes(data)


_WORDS = (
    b"NaN", b"1e999", b"-1", b"null", b"[" * 3000, b"\xff\xfe", b"\0" * 16, b"9" * 400, b"{}",
    b"\x1b[2J", b'"\\ud800"', b"../", b"99999999",
)  # fmt: skip


# --- good files


def _good(kind: str, folder: Path) -> Iterator[Path]:
    """Write good files of a kind."""
    import numpy as np

    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (40, 50)).astype(np.uint8)
    labels = np.zeros((40, 50), np.int32)
    for number in range(6):
        y, x = 3 + 18 * (number // 3), 3 + 16 * (number % 3)
        labels[y : y + 12, x : x + 11] = number + 1
    labels[6:8, 6:8] = 0
    if kind in ("images", "labels", "evaluate"):
        yield from _pixels(folder, labels.astype(np.uint8) if kind == "labels" else picture)
    elif kind == "regions":
        from napari_impartial.io.outlines import write_geojson, write_roi_zip

        stack = np.stack([labels, labels[::-1]])
        write_roi_zip(folder / "a.zip", stack, "Z")
        write_geojson(folder / "a.geojson", stack, "T")
        with zipfile.ZipFile(folder / "a.zip") as archive:
            for i, name in enumerate(archive.namelist()[:2]):
                (folder / f"{i}.roi").write_bytes(archive.read(name))
                yield folder / f"{i}.roi"
        yield from (folder / "a.zip", folder / "a.geojson")
        with zipfile.ZipFile(folder / "plain.zip", "w") as archive:
            for i in range(2):
                archive.write(folder / f"{i}.roi", f"{i}.roi")
        yield folder / "plain.zip"
    elif kind in ("models", "info"):
        yield _model(folder)
    elif kind == "decisions":
        yield _decisions(folder, labels)
    elif kind == "sessions":
        yield session(folder)


def _pixels(folder: Path, picture: Any) -> Iterator[Path]:
    import numpy as np
    import PIL.Image
    import tifffile

    stack = np.stack([picture] * 4).reshape(2, 2, *picture.shape)
    colour = np.stack([picture] * 3, axis=-1)
    for name, array, options in (
        ("plain.tif", picture, {}),
        ("zlib.tif", picture, {"compression": "zlib", "predictor": True}),
        ("tiles.tif", picture, {"tile": (16, 16), "compression": "zlib"}),
        ("rgb.tif", colour, {"photometric": "rgb"}),
        ("float.tif", picture.astype(np.float32), {}),
        ("big.tif", picture, {"bigtiff": True}),
        ("imagej.tif", stack, {"imagej": True, "metadata": {"axes": "ZCYX"}}),
        ("a.ome.tif", stack, {"ome": True, "metadata": {"axes": "TZYX"}}),
        ("c.ome.tif", stack, {"ome": True, "metadata": {"axes": "ZCYX"}, "compression": "zlib"}),
    ):
        tifffile.imwrite(folder / name, array, **({"photometric": "minisblack"} | options))
        yield folder / name
    for name, options in (("lzw.tif", {"compression": "tiff_lzw"}), ("a.png", {}), ("a.bmp", {}),
                          ("jpeg.tif", {"compression": "jpeg"}), ("a.jpg", {})):  # fmt: skip
        PIL.Image.fromarray(picture).save(folder / name, **options)
        yield folder / name
    PIL.Image.fromarray(colour).convert("P").save(folder / "p.png")
    yield folder / "p.png"
    np.save(folder / "a.npy", stack)
    np.savez(folder / "a.npz", a=picture)
    np.savez_compressed(folder / "b.npz", a=picture)
    yield from (folder / name for name in ("a.npy", "a.npz", "b.npz"))


def _model(folder: Path) -> Path:
    from napari_impartial.core import api, config
    from napari_impartial.core.data.mask_scribbles import simulate
    from napari_impartial.core.data.synthetic_tissue import tissue
    from napari_impartial.core.network.model_file import save_model

    import numpy as np  # isort: skip

    one = tissue((48, 48), 1, seed=1)
    drawn, _ = simulate(one.truth, 0.5, np.random.default_rng(0))
    training = config.TrainingConfig(max_steps=2, patch_size=32)
    network = config.ModelConfig(base_features=4, depth=1)
    return save_model(api.train([one.image], [drawn], training, network), folder / "m.impartial")


SHAPE = (48, 40)


def session(folder: Path) -> Path:
    """Write a session with something of everything, of two images; return its folder."""
    import numpy as np

    from napari_impartial.core.review.annotation import to_bytes
    from napari_impartial.core.review.review import Region, Review, Verdict
    from napari_impartial.session import saved_state as saved
    from napari_impartial.session.folder import Kept, SessionFolder

    model = _model(folder)
    rng = np.random.default_rng(0)
    pixels = rng.random(SHAPE).astype(np.float32)
    strokes = np.zeros(SHAPE, np.uint8)
    strokes[5:9, 5:9], strokes[20:24, 20:24] = 2, 1
    objects = np.zeros(SHAPE, np.int32)
    objects[4:10, 4:10] = 1
    review = Review({1: Region(1, Verdict.ACCEPTED, 4, 4, np.ones((6, 6), bool))}, ())
    plane = saved.SavedPlane(
        prediction=Kept(rng.integers(0, 65535, (2, *SHAPE)).astype(np.uint16)),
        n_samples=4,
        predicted_by=1,
        suggested_on=Kept(strokes, sparse=True),
        dismissed=[saved.SavedDismissal(3, 4, [2, 3, 6, 7], Kept(np.ones((4, 4), np.uint8)))],
        review=Kept(to_bytes(review)),
    )

    def layer(name: str, array: Any, sparse: bool = True) -> saved.SavedLayer:
        return saved.SavedLayer(name, Kept(array, sparse=sparse), shape=[*array.shape])

    names = ("first", "second")
    images = [
        saved.SavedImage(
            [i],
            "YX",
            [0],
            ["DAPI"],
            layer(f"scribbles [{name}]", strokes.copy()),
            layer(f"instances [{name}]", objects.copy()),
            [plane],
        )
        for i, name in enumerate(names)
    ]
    # Strokes on two planes of a stack, whose image is gone.
    loose = layer("scribbles [third]", np.stack([strokes, 0 * strokes, strokes[::-1]]))
    layers = [layer(name, pixels + i, sparse=False) for i, name in enumerate(names)]
    for one in layers:
        one.look = {"opacity": 0.5}
    state = saved.SavedSession(
        layers=layers,
        images=images,
        loose=[loose],
        model=model,
        rounds=[
            saved.SavedRound(1, model, 32, 1, True, [saved.SavedMask(0, [], Kept(objects))], 0.5)
        ],
        view=saved.SavedView(
            0, [], [0.0, 20.0, 20.0], 2.0, [0.0, 0.0, 90.0], [0.0, 0.0], [0, 1], 2
        ),
        parts={"settings": {"preset": "fast"}},
    )
    SessionFolder(folder / "session").write(saved.to_content(state))
    return folder / "session"


def _decisions(folder: Path, labels: Any) -> Path:
    from napari_impartial.core.review.annotation import to_bytes
    from napari_impartial.core.review.review import Review, accept

    review = accept(Review({}, ()), labels, [1, 3])
    (folder / "review.npy").write_bytes(to_bytes(review).tobytes())
    return folder / "review.npy"


# --- readers


def _read_regions(file: Path) -> None:
    from napari_impartial.io.region_files import read_regions
    from napari_impartial.io.regions import planes_needed, rasterise, reach

    regions = read_regions(file)
    rasterise(regions, (40, 50), "Z", (2,))
    axes, lengths = planes_needed(regions)
    rows, columns = reach(regions)
    if rows * columns < 10**7:
        rasterise(regions, (rows, columns), axes, lengths)


def _session(folder: Path) -> None:
    from napari_impartial.session.folder import SessionFolder
    from napari_impartial.session.read import read

    whole = _whole(folder.parents[1] / "good" / "sessions" / folder.name)
    other = list(differences(whole, read(SessionFolder(folder))))
    if other:
        raise RuntimeError(f"not as it was, without a word: {other[:3]}")


@functools.cache
def _whole(folder: Path) -> Any:
    """Return a session as it was before it was damaged."""
    from napari_impartial.session.folder import SessionFolder
    from napari_impartial.session.read import read

    return read(SessionFolder(folder))


def differences(one: Any, other: Any, place: str = "") -> Iterator[str]:
    """Yield where two sessions that were read differ, less what is named as lost in the other."""
    import numpy as np

    from napari_impartial.core.errors import ImPartialError

    if isinstance(other, ImPartialError):
        return
    if type(one) is not type(other):
        yield place
    elif dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            if field.name != "losses":
                parts = (getattr(part, field.name) for part in (one, other))
                yield from differences(*parts, f"{place}.{field.name}")
    elif isinstance(one, dict) and one.keys() == other.keys():
        for name in one:
            yield from differences(one[name], other[name], f"{place}.{name}")
    elif isinstance(one, (list, tuple)) and len(one) == len(other):
        for i, parts in enumerate(zip(one, other, strict=True)):
            yield from differences(*parts, f"{place}.{i}")
    elif isinstance(one, np.ndarray):
        if one.dtype != other.dtype or not np.array_equal(one, other):
            yield place
    elif isinstance(one, Path):
        if one.name != other.name:
            yield place
    elif one != other:
        yield place


def _command(words: list[str]) -> None:
    """Run a command; what it prints has to be in order too."""
    from napari_impartial.cli.main import main as command

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = command(words)
    said = out.getvalue() + err.getvalue()
    lines = [line for line in err.getvalue().splitlines() if ": note: " not in line]
    if status not in (0, 2) or "internal error" in said or "Traceback" in said:
        raise RuntimeError(f"status {status}: {said[-300:]}")
    if status == 2 and len(lines) != 1:
        raise RuntimeError(f"{len(lines)} lines: {said[-300:]}")
    if any(ord(character) < 32 and character not in "\n\t" for character in said):
        raise RuntimeError(f"a control character: {said[-300:]!r}")


def _decided(file: Path) -> None:
    import numpy as np

    from napari_impartial.core.review.annotation import from_bytes

    from_bytes(np.frombuffer(file.read_bytes(), np.uint8))


def _info(file: Path) -> None:
    _command(["info", str(file)])
    with contextlib.suppress(json.JSONDecodeError):
        _command(["info", "--json", str(file)])


_MODEL_FILE = "napari_impartial.core.network.model_file"
KINDS: dict[str, Callable[[Path], object]] = {
    "images": lambda file: import_module("napari_impartial.io").read_images(file),
    "labels": lambda file: import_module("napari_impartial.io").read_labels(file),
    "regions": _read_regions,
    "models": lambda file: import_module(_MODEL_FILE).load_model(file).network(),
    "decisions": _decided,
    "sessions": _session,
    "evaluate": lambda file: _command(
        ["evaluate", "--json", "--pred", str(file), "--truth", str(file)]
    ),
    "info": _info,
}


if __name__ == "__main__":
    sys.exit(main())
