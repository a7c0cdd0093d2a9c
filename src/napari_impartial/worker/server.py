"""The training process: a child of the window that holds the network.

Started as ``python -m napari_impartial.worker.server HANDLE``, where HANDLE is
its end of a pipe. It runs at low priority, so that painting stays smooth while it
computes, asks to be the first to go when memory runs out, and ends when the window does.
It imports neither Qt nor napari.
"""

from __future__ import annotations

import collections
import contextlib
import math
import os
import queue
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.training.messages import (
    Command,
    NewScribbles,
    Preview,
    Stop,
    TrainingProgress,
)
from napari_impartial.core.training.preview_budget import LONGEST_REST_S

from . import messages

if TYPE_CHECKING:
    from napari_impartial.core.network.model_file import TrainedModel

# Progress is forwarded no more often: a small network does hundreds of steps a second.
REPORT_EVERY_S = 0.25
# While the hand moves it has half the cores, and rests for so many times as long as it worked: that
# is nearly always. Drawing without a graphics card takes a core and a half, and a low priority is
# no help to threads that wait for each other's turn. It works once the hand stands still.
REST_SHARE = 40.0
# Where what is left is enough to draw with: a guess, for want of such a machine to measure on.
REST_SHARE_OF_MANY_CORES = 1.0
DRAWING_TAKES_CORES = 2
# What is owed after rests that were cut short; more is forgiven.
MOST_OWED_S = 3 * LONGEST_REST_S


class Inbox:
    """Reads the pipe on a thread of its own; ends the process when the window is gone."""

    def __init__(self, connection: Connection) -> None:
        self.jobs: queue.SimpleQueue[messages.Job] = queue.SimpleQueue()
        self.cancelled: set[int] = set()
        # Whether the user's hand moves; of the training under way, or that comes next.
        self.gives_way = False
        self.rest_share = REST_SHARE
        # Set where a rest is to end, or not to begin.
        self._called = threading.Event()
        # Of the rest after work that was done beside a moving hand, what is still to come.
        self._owed_s = 0.0
        self._connection = connection
        self._commands: collections.deque[tuple[int, Command]] = collections.deque()
        self._running = threading.Event()
        self._running.set()
        self._parent = os.getppid()
        threading.Thread(target=self._read, name="inbox", daemon=True).start()

    def give_way(self, wanted: bool) -> None:
        """Ask training to give way, or not to."""
        self.gives_way = wanted
        # A hand that was still for a moment ends no rest that begins after it.
        if wanted:
            self._called.clear()
        else:
            self._called.set()

    def rest(self, worked_s: float, most_s: float = math.inf) -> None:
        """Rest after so many seconds of work, as long as training gives way.

        Whoever looks at another field does not wait for the end of it, nor does what is still
        to be done: commands are done one after the other. The next rest makes up for that.
        """
        owed_s = self._owed_s + self.rest_share * worked_s if self.gives_way else 0.0
        self._owed_s = min(owed_s, MOST_OWED_S)
        if not self._commands:
            began = time.monotonic()
            self._called.wait(min(self._owed_s, LONGEST_REST_S, most_s))
            self._owed_s = max(0.0, self._owed_s - (time.monotonic() - began))
        self._called.clear()

    def next_command(self, job: int) -> Command | None:
        """Return the next command to training, or None; waits while it is paused.

        A stroke, or a look at the field in view, is no wish to go on: while training is
        paused it waits, too. Of several of a kind in a row only the last counts, unless
        one brings images, which come once.
        """
        while not self._running.wait(0.1):
            pass
        found: Command | None = None
        while self._commands:
            addressee, command = self._commands[0]
            if addressee == job and found is not None and not _replaces(command, found):
                break
            self._commands.popleft()
            if addressee == job:
                found = command
        return found

    def _read(self) -> None:
        try:
            while True:
                # Another plugin may have forked with our pipe open, and then its end
                # would never be reported: look who the parent is, too.
                while not self._connection.poll(1.0):
                    if os.name == "posix" and os.getppid() != self._parent:
                        os._exit(0)
                self._sort(messages.receive(self._connection))
        except (EOFError, OSError):
            os._exit(0)

    def _sort(self, request: messages.Request) -> None:
        match request:
            case messages.ToTraining(job, command):
                self._commands.append((job, command))
                if isinstance(command, Preview) and command.new_field:
                    self._called.set()
                if isinstance(command, Stop):
                    self._running.set()
                    self.give_way(False)
            case messages.Pause(_, paused):
                if paused:
                    self._running.clear()
                else:
                    self._running.set()
            case messages.GiveWay(_, wanted):
                self.give_way(wanted)
            case messages.Cancel(job):
                self.cancelled.add(job)
            case _:
                self._running.set()
                self.jobs.put(request)


def half(threads: int) -> int:
    """Return what training has of so many threads beside a moving hand."""
    return max(threads // 2, 1)


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def rest_share(threads: int, n_cores: int) -> float:
    """Return for how many times as long as it worked a training rests beside a moving hand.

    Parameters
    ----------
    threads : int
        That training has otherwise.
    n_cores : int
        Of the machine.
    """
    left = n_cores - half(threads)
    return REST_SHARE_OF_MANY_CORES if left >= DRAWING_TAKES_CORES else REST_SHARE


class Server:
    """Does one job after the other and reports on each."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._inbox = Inbox(connection)
        # The last model stays loaded: predicting right after training is the rule.
        self._model: tuple[tuple[str, float], TrainedModel] | None = None

    def serve(self) -> None:
        """Work until the window ends."""
        while True:
            job = self._inbox.jobs.get()
            try:
                reply: messages.Reply = self._do(job)
            except BaseException as error:
                reply = messages.Failed(job.job, *explain(error))
            self._reply(reply)

    def _do(self, job: messages.Job) -> messages.Reply:
        match job:
            case messages.Hello():
                return self._hello(job)
            case messages.Train():
                return self._train(job)
            case messages.Predict():
                return self._predict(job)
            case messages.Package():
                return self._package(job)

    def _reply(self, reply: messages.Reply) -> None:
        messages.send(self._connection, reply)

    def _hello(self, job: messages.Hello) -> messages.Ready:
        from napari_impartial.core.network.device import describe_devices
        from napari_impartial.core.prediction import predict as prediction  # noqa: F401  (so that Train starts at once)
        from napari_impartial.core.training import fit as training  # noqa: F401  (so that Train starts at once)

        return messages.Ready(job.job, tuple(describe_devices()))

    def _train(self, job: messages.Train) -> messages.Trained:
        import torch

        from napari_impartial.core.network.model_file import save_model_anywhere
        from napari_impartial.core.training.fit import fit

        threads = torch.get_num_threads()
        self._inbox.rest_share = rest_share(threads, cores())
        init = None if job.init_path is None else self._load(job.init_path)
        steps = fit(job.images, job.scribbles, job.model, job.training, init)
        command: Command | None = None
        reported = 0.0
        try:
            while True:
                began = time.monotonic()
                try:
                    progress: TrainingProgress = steps.send(command)
                except StopIteration as end:
                    model: TrainedModel = end.value
                    break
                if progress.preview is not None or time.monotonic() - reported >= REPORT_EVERY_S:
                    self._reply(messages.Progressed(job.job, progress))
                    reported = time.monotonic()
                # Pauses and rests are not counted as training.
                most_s = progress.preview_wait_s if progress.fraction < 1 else 0.0
                self._inbox.rest(time.monotonic() - began, most_s)
                command = self._inbox.next_command(job.job)
                # On two cores what comes out is the same: one half of a batch after the other.
                torch.set_num_threads(half(threads) if self._inbox.gives_way else threads)
        finally:
            torch.set_num_threads(threads)
            self._inbox.give_way(False)
        # Should the disk be full, it is somewhere else, from where sessions and Save take it.
        model_path = str(save_model_anywhere(model, job.model_path)[0])
        self._keep(model_path, model)
        return messages.Trained(job.job, model_path, model.card)

    def _predict(self, job: messages.Predict) -> messages.Predicted:
        from napari_impartial.core.prediction.predict import predict

        def report(fraction: float) -> bool:
            self._reply(messages.Predicting(job.job, fraction))
            return job.job in self._inbox.cancelled

        prediction = predict(job.image, self._load(job.model_path), job.config, report)
        return messages.Predicted(job.job, prediction)

    def _package(self, job: messages.Package) -> messages.Packaged:
        from napari_impartial.io.model_zoo import About, write_zoo_package

        write_zoo_package(job.path, self._load(job.model_path), job.image, About(job.name))
        return messages.Packaged(job.job, job.path)

    def _load(self, path: str) -> TrainedModel:
        from napari_impartial.core.network.model_file import load_model

        key = (path, os.path.getmtime(path))
        if self._model is None or self._model[0] != key:
            self._keep(path, load_model(path))
        assert self._model is not None
        return self._model[1]

    def _keep(self, path: str, model: TrainedModel) -> None:
        self._model = ((path, os.path.getmtime(path)), model)


def explain(error: BaseException) -> tuple[str, str, str]:
    """Return the kind, the plain words and the details of an error (see ``Failed``)."""
    details = "".join(traceback.format_exception(error))
    if type(error).__name__ == "Cancelled":
        return "cancelled", str(error), ""
    if isinstance(error, ImPartialError):
        return "input", str(error), ""
    if _is_out_of_memory(error):
        return "memory", "", details
    return "fault", f"{type(error).__name__}: {error}", details


def _is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out; torch has several ways to say it."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    words = str(error).lower()
    signs = ["out of memory", "not enough memory", "can't allocate memory", "cannot allocate"]
    signs += ["alloc_failed", "unable to find an engine"]  # of CUDA's libraries
    return isinstance(error, (RuntimeError, OSError)) and any(sign in words for sign in signs)


def _replaces(command: Command, before: Command) -> bool:
    """Return whether nothing is lost where a command is done in place of the one before it."""
    brings_images = isinstance(before, NewScribbles) and bool(before.images)
    return type(command) is type(before) and not brings_images


def yield_to_the_window() -> None:
    """Lower this process's priority, and offer it to the system when memory runs out."""
    if os.name == "posix":
        os.nice(15)
    # On Windows the window starts us with BELOW_NORMAL_PRIORITY_CLASS.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def connect(handle: int) -> Connection:
    """Return our end of the pipe, which the window made before it started us."""
    if sys.platform == "win32":
        from multiprocessing.connection import PipeConnection

        return PipeConnection(handle)
    return Connection(handle)


def main() -> None:
    """Serve the window whose pipe is named by the first argument."""
    yield_to_the_window()
    Server(connect(int(sys.argv[1]))).serve()


if __name__ == "__main__":
    main()
