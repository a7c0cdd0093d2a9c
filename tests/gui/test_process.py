"""The training process and its pipe, without a window."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
from forking import Nursery

from napari_impartial.core.config import (
    PRESETS,
    InstanceConfig,
    ModelConfig,
    PredictionConfig,
    TrainingConfig,
)
from napari_impartial.core.data.image import Image
from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.network.model_file import load_model
from napari_impartial.core.prediction.packing import rounded
from napari_impartial.core.training.messages import (
    NewScribbles,
    Preview,
    Stop,
)
from napari_impartial.worker import messages
from napari_impartial.worker.client import TrainingProcess
from napari_impartial.worker.messages import Failed, Predicted, Progressed, Ready, Trained
from napari_impartial.worker.pace import REST_SHARE, REST_SHARE_OF_MANY_CORES

pytestmark = pytest.mark.usefixtures("true_pauses")

SMALL = ModelConfig(base_features=4, depth=2)
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="uses /proc or prlimit")


class ForkedProcess(TrainingProcess):
    """Its child is of usual priority, and forked off a process that has loaded its libraries."""

    def __init__(self, nursery: Nursery) -> None:
        super().__init__()
        self._nursery = nursery

    def _spawn(self, theirs: Connection) -> Any:
        return self._nursery.fork(theirs.fileno(), self.folder / "errors.txt")


Make = Callable[[], TrainingProcess]


@pytest.fixture(scope="module")
def make(nursery: Callable[[], Nursery]) -> Make:
    """Make what starts children; how those of users begin and end is tested with such ones."""
    return lambda: ForkedProcess(nursery()) if sys.platform == "linux" else TrainingProcess()


@pytest.fixture(scope="module")
def process(make: Make) -> Iterator[TrainingProcess]:
    made = make()
    yield made
    made.close()


def finish(steps: Any, each: Any = None) -> Any:
    """Run a job to its end and return its last word."""
    while True:
        try:
            news = next(steps)
        except StopIteration as end:
            return end.value
        if each is not None and news is not None:
            each(news)


def train_job(
    process: TrainingProcess, image: Image, scribbles: Scribbles, seconds: float = 60.0, **more: Any
) -> Any:
    config = TrainingConfig(
        time_budget_s=seconds, patch_size=32, batch_size=2, device="cpu", precision="float32"
    )
    return partial(
        messages.Train,
        images=(image,),
        scribbles=(scribbles,),
        model=SMALL,
        training=config,
        model_path=str(process.new_model_path()),
        **more,
    )


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_messages_arrive_as_they_were_sent() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.random((3, 300, 200), dtype=np.float32)
    image = Image(pixels, ("a", "b", "c"), "picture", (0.5, 0.25), "um")
    labels = Scribbles(np.asfortranarray(rng.integers(0, 3, (300, 200), dtype=np.uint8)))
    empty = Scribbles(np.zeros((0, 5), np.uint8))
    sent = messages.Train(7, (image,), (labels, empty), SMALL, TrainingConfig(), "there")
    ours, theirs = Pipe()
    # More than fits into a pipe, so somebody has to read while it is written.
    writer = threading.Thread(target=messages.send, args=(ours, sent))
    writer.start()
    got = messages.receive(theirs)
    writer.join()
    assert (got.job, got.model, got.training, got.model_path) == (
        7,
        SMALL,
        TrainingConfig(),
        "there",
    )
    np.testing.assert_array_equal(got.images[0].channels, pixels)
    np.testing.assert_array_equal(got.scribbles[0].labels, labels.labels)
    assert got.scribbles[1].labels.shape == (0, 5)
    assert got.images[0].channels.flags.writeable
    assert got.images[0].pixel_size == (0.5, 0.25)
    ours.close()
    with pytest.raises(EOFError):
        messages.receive(theirs)
    theirs.close()


def test_trains_previews_stops_and_predicts(
    process: TrainingProcess, tiny_tissue: Any, tiny_scribbles: Any
) -> None:
    commands: SimpleQueue[Any] = SimpleQueue()
    seen: list[Any] = []
    asked: list[str] = []

    def each(news: Progressed) -> None:
        seen.append(news.progress)
        if len(seen) == 1:
            commands.put(partial(messages.ToTraining, command=NewScribbles((tiny_scribbles,))))
        if len(seen) == 2:
            request = Preview(0, (10, 20, 60, 90), cut=InstanceConfig())
            commands.put(partial(messages.ToTraining, command=request))
        if news.progress.preview is not None and "stop" not in asked:
            asked.append("stop")
            commands.put(partial(messages.ToTraining, command=Stop()))

    job = train_job(process, tiny_tissue.image, tiny_scribbles, seconds=600.0)
    trained = finish(process.run(job, commands), each)
    assert isinstance(trained, Trained), trained
    previews = [p for p in seen if p.preview is not None]
    assert previews[0].preview.prediction.entropy.shape == (50, 70)
    assert previews[0].preview.instances.shape == (50, 70)
    assert previews[0].preview.box == (10, 20, 60, 90)
    assert trained.card.channel_names == tiny_tissue.image.channel_names
    assert seen[-1].elapsed_s < 600
    assert Path(trained.model_path).stat().st_size > 0
    make = partial(
        messages.Predict,
        image=tiny_tissue.image,
        model_path=trained.model_path,
        config=PredictionConfig(samples=2, device="cpu"),
    )
    shares: list[float] = []
    predicted = finish(process.run(make), lambda news: shares.append(news.fraction))
    assert isinstance(predicted, Predicted), predicted
    assert predicted.prediction.probability.shape == (2, 96, 96)
    assert predicted.prediction.n_samples == 2
    kept = rounded(predicted.prediction)
    np.testing.assert_array_equal(kept.probability, predicted.prediction.probability)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


@pytest.mark.alone
def test_previews_come_soon_and_take_a_tenth_of_the_time_at_most(
    process: TrainingProcess, tiny_scribbles: Scribbles
) -> None:
    image = Image(np.random.default_rng(0).random((1, 600, 700), np.float32), ("a",))
    labels = np.zeros((600, 700), np.uint8)
    labels[:96, :96] = tiny_scribbles.labels
    commands: SimpleQueue[Any] = SimpleQueue()
    asked: list[int] = []
    waited: list[int] = []
    last: list[Any] = []

    def each(news: Progressed) -> None:
        progress = news.progress
        last[:] = [progress]
        if progress.preview is not None:
            waited.append(progress.step - asked[-1])
        if len(waited) == 4:
            commands.put(partial(messages.ToTraining, command=Stop()))
        # As greedy as can be: another field whenever the last one is there.
        elif len(waited) == len(asked):
            asked.append(progress.step)
            box = (0, len(asked) % 100, 600, 600 + len(asked) % 100)
            request = Preview(0, box, cut=InstanceConfig(), new_field=True)
            commands.put(partial(messages.ToTraining, command=request))

    finish(process.run(train_job(process, image, Scribbles(labels), seconds=40.0), commands), each)
    assert len(waited) == 4
    # In steps, since a busy machine makes both slower; the median forgives it a hiccup.
    assert np.median(waited) < 100
    # By construction a tenth and a credit of a second, and what one preview may take longer than
    # foretold.
    assert 0 < last[0].preview_s <= 0.15 * last[0].elapsed_s + 1.0


MANY_CORES = """
import sys
from multiprocessing import Pipe
from napari_impartial.core.config import ModelConfig, TrainingConfig
from napari_impartial.core.data.synthetic_tissue import tissue
from napari_impartial.worker import messages
from napari_impartial.worker import server as training_process

ours, theirs = Pipe()
server = training_process.Server(theirs)
made = tissue((64, 64), 1)
scribbles = made.scribbles(0.5, seed=0)
training = TrainingConfig(max_steps=1, patch_size=32, batch_size=2, device="cpu")
small = ModelConfig(base_features=4, depth=2)
for n_cores in (64, 1):
    training_process.cores = lambda: n_cores
    server._do(messages.Train(1, (made.image,), (scribbles,), small, training, sys.argv[1]))
    print(server._inbox.pace.rest_share, flush=True)
"""


def test_a_training_rests_as_the_machine_needs(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MANY_CORES, str(tmp_path / "a.impartial")]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=100)
    assert [float(share) for share in done.stdout.split()] == [REST_SHARE_OF_MANY_CORES, REST_SHARE]


def test_a_stroke_does_not_wake_a_paused_training(
    process: TrainingProcess, tiny_tissue: Any, tiny_scribbles: Any
) -> None:
    commands: SimpleQueue[Any] = SimpleQueue()
    steps = process.run(train_job(process, tiny_tissue.image, tiny_scribbles), commands)
    next(news for news in steps if news is not None)
    commands.put(partial(messages.Pause, paused=True))
    heard = time.monotonic()
    # What was under way when the message arrived is still reported.
    while time.monotonic() - heard < 2:
        heard = heard if next(steps) is None else time.monotonic()
    commands.put(partial(messages.ToTraining, command=NewScribbles((tiny_scribbles,))))
    commands.put(partial(messages.ToTraining, command=Preview(0, (0, 0, 64, 64))))
    still = time.monotonic() + 1
    while time.monotonic() < still:
        assert next(steps) is None, "a stroke or a look at it is no wish to go on"
    commands.put(partial(messages.ToTraining, command=Stop()))
    assert isinstance(finish(steps), Trained)


def test_images_that_join_while_paused_all_arrive(
    process: TrainingProcess, tiny_tissue: Any, tiny_scribbles: Any
) -> None:
    commands: SimpleQueue[Any] = SimpleQueue()
    steps = process.run(train_job(process, tiny_tissue.image, tiny_scribbles), commands)
    next(news for news in steps if news is not None)
    commands.put(partial(messages.Pause, paused=True))
    for n in (2, 3):
        told = NewScribbles((tiny_scribbles,) * n, (tiny_tissue.image,))
        commands.put(partial(messages.ToTraining, command=told))
    for _ in range(2):
        told = NewScribbles((tiny_scribbles,) * 3)
        commands.put(partial(messages.ToTraining, command=told))
    look = Preview(2, (0, 0, 64, 64), within_share=False)
    commands.put(partial(messages.ToTraining, command=look))
    commands.put(partial(messages.Pause, paused=False))
    preview = next(
        news.progress.preview
        for news in steps
        if isinstance(news, Progressed) and news.progress.preview is not None
    )
    assert preview.request.image_index == 2
    commands.put(partial(messages.ToTraining, command=Stop()))
    assert isinstance(finish(steps), Trained)


def test_paused_training_stands_still(
    process: TrainingProcess, tiny_tissue: Any, tiny_scribbles: Any
) -> None:
    commands: SimpleQueue[Any] = SimpleQueue()
    steps = process.run(train_job(process, tiny_tissue.image, tiny_scribbles), commands)
    news = next(news for news in steps if news is not None)
    commands.put(partial(messages.Pause, paused=True))
    # What was under way when the message arrived is still reported.
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        next(steps)
    still = time.monotonic() + 1.0
    while time.monotonic() < still:
        assert next(steps) is None
    commands.put(partial(messages.Pause, paused=False))
    after = next(news for news in steps if news is not None)
    assert after.progress.step > news.progress.step
    commands.put(partial(messages.Pause, paused=True))
    commands.put(partial(messages.ToTraining, command=Stop()))
    assert isinstance(finish(steps), Trained), "Stop has to end a paused training, too"


def test_bad_input_is_told_in_the_words_of_the_core(
    process: TrainingProcess, tiny_tissue: Any
) -> None:
    assert isinstance(finish(process.run(messages.Hello)), Ready)
    first = process.pid
    nothing = Scribbles(np.zeros((96, 96), np.uint8))
    failed = finish(process.run(train_job(process, tiny_tissue.image, nothing)))
    assert isinstance(failed, Failed)
    assert failed.kind == "input"
    assert failed.message.endswith(".")
    assert "Traceback" not in failed.message
    assert process.pid == first, "the child is not to blame"


def test_a_child_is_replaced_after_a_fault(
    process: TrainingProcess, tiny_tissue: Any, tiny_scribbles: Any
) -> None:
    """A graphics card that failed once fails for as long as the process lives."""
    assert isinstance(finish(process.run(messages.Hello)), Ready)
    first = process.pid
    no_network: Any = "no network"
    job = train_job(process, tiny_tissue.image, tiny_scribbles)
    failed = finish(process.run(partial(job, model=no_network)))
    assert isinstance(failed, Failed)
    assert failed.kind == "fault", failed
    assert isinstance(finish(process.run(messages.Hello)), Ready)
    assert process.pid not in (None, first)


def test_a_killed_child_is_reported_and_replaced(
    process: TrainingProcess, tiny_tissue: Any, tiny_scribbles: Any
) -> None:
    steps = process.run(train_job(process, tiny_tissue.image, tiny_scribbles))
    next(news for news in steps if news is not None)
    first = process.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    failed = finish(steps)
    assert isinstance(failed, Failed)
    assert (failed.kind, failed.message) == ("ended", "killed")
    ready = finish(process.run(messages.Hello))
    assert isinstance(ready, Ready)
    assert "cpu" in dict(ready.devices)
    assert process.pid not in (None, first)


@linux_only
def test_lack_of_memory_is_told_as_such(process: TrainingProcess, tiny_scribbles: Any) -> None:
    import resource

    assert isinstance(finish(process.run(messages.Hello)), Ready)
    assert process.pid is not None
    used = int(Path(f"/proc/{process.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.prlimit(process.pid, resource.RLIMIT_AS)
    resource.prlimit(process.pid, resource.RLIMIT_AS, (used + 150 * 2**20, limits[1]))
    try:
        seen = np.random.default_rng(0).random((2, 96, 96), np.float32)
        image = Image(seen, ("a", "b"))
        huge = partial(
            messages.Train,
            images=(image,),
            scribbles=(tiny_scribbles,),
            model=PRESETS["paper"].model,
            training=TrainingConfig(patch_size=512, batch_size=64, device="cpu"),
            model_path=str(process.new_model_path()),
        )
        failed = finish(process.run(huge))
    finally:
        process.kill()
    assert isinstance(failed, Failed)
    assert failed.kind == "memory", failed


@linux_only
def test_the_child_yields_and_offers_itself() -> None:
    process = TrainingProcess()
    steps = process.run(messages.Hello)
    try:
        next(steps)
        assert process.pid is not None
        # Before it loads anything that takes long.
        offer = Path(f"/proc/{process.pid}/oom_score_adj")
        deadline = time.monotonic() + 60
        while offer.read_text().strip() != "1000" and time.monotonic() < deadline:
            time.sleep(0.01)
        assert offer.read_text().strip() == "1000"
        nice = os.getpriority(os.PRIO_PROCESS, process.pid)
        assert nice >= min(19, os.getpriority(os.PRIO_PROCESS, 0) + 15)
    finally:
        steps.close()
        process.close()


@linux_only
def test_the_child_ends_when_its_parent_is_killed() -> None:
    program = """
import os, signal, sys
from napari_impartial.worker import messages
from napari_impartial.worker.client import TrainingProcess
process = TrainingProcess()
steps = process.run(messages.Hello)
try:
    while True:
        next(steps)
except StopIteration:
    pass
print(process.pid, process.folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    pid, folder = ended.stdout.split()
    deadline = time.monotonic() + 20
    while alive(int(pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(int(pid))
    # Nobody was left to remove it.
    for file in Path(folder).iterdir():
        file.unlink()
    Path(folder).rmdir()


def test_closing_ends_the_child_and_further_jobs() -> None:
    process = TrainingProcess()
    steps = process.run(messages.Hello)
    next(steps)
    child = process._child
    folder = process.folder
    process.close()
    assert child is None or child.poll() is not None
    assert isinstance(finish(steps), Failed)
    assert not folder.exists()
    failed = finish(process.run(messages.Hello))
    assert (failed.kind, failed.message) == ("ended", "closed")


def test_training_gives_way_to_a_moving_hand_and_comes_out_the_same(
    make: Make, tiny_tissue: Any, tiny_scribbles: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    process = make()

    def train(beside_a_hand: bool) -> dict[str, Any]:
        """Return the weights."""
        commands: SimpleQueue[Any] = SimpleQueue()
        job = train_job(process, tiny_tissue.image, tiny_scribbles)
        config = replace(job.keywords["training"], batch_size=4, max_steps=60)
        steps = process.run(partial(job, training=config), commands)
        began = time.monotonic()
        if beside_a_hand:
            commands.put(partial(messages.GiveWay, wanted=True))
            next(news for news in steps if news is not None)
            rests = time.monotonic() + 1
            while time.monotonic() < rests:
                assert next(steps) is None, "it rests for far longer than it worked"
            # What it did in between, it did with half of its threads.
            next(news for news in steps if news is not None)
            commands.put(partial(messages.GiveWay, wanted=False))
        done = finish(steps)
        assert isinstance(done, Trained)
        if beside_a_hand:
            assert time.monotonic() - began > done.card.seconds + 1, "rests are not counted"
        return dict(load_model(Path(done.model_path)).weights)

    try:
        assert isinstance(finish(process.run(messages.Hello)), Ready)
        first, second = train(True), train(False)
    finally:
        process.close()
    for name, values in first.items():
        if "running_" in name:  # sums over pixels, in another order
            assert values.allclose(second[name], rtol=1e-3, atol=1e-4), name
        else:
            assert values.equal(second[name]), name
