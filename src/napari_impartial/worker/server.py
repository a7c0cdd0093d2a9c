"""The training process: a child of the window that holds the network.

Started as ``python -m napari_impartial.worker.server HANDLE``, where HANDLE is
its end of a pipe. It runs at low priority, so that painting stays smooth while it
computes, asks to be the first to go when memory runs out, and ends when the window does.
It imports neither Qt nor napari.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.training.messages import Command, TrainingProgress

from . import messages
from .inbox import Inbox
from .pace import cores, half, rest_share

if TYPE_CHECKING:
    from napari_impartial.core.network.model_file import TrainedModel

# Progress is forwarded no more often: a small network does hundreds of steps a second.
REPORT_EVERY_S = 0.25


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
        acts: dict[type, Callable[..., messages.Reply]] = {
            messages.Hello: self._hello,
            messages.Train: self._train,
            messages.Predict: self._predict,
            messages.PredictSlide: self._predict_slide,
            messages.ExportSlide: self._export_slide,
            messages.Package: self._package,
        }
        return acts[type(job)](job)

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
        pace = self._inbox.pace
        pace.rest_share = rest_share(threads, cores())
        init = None if job.init_path is None else self._load(job.init_path)
        steps = fit(job.images, job.scribbles, job.model, job.training, init, job.class_names)
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
                torch.set_num_threads(half(threads) if pace.gives_way else threads)
        finally:
            torch.set_num_threads(threads)
            pace.give_way(False)
        # Should the disk be full, it is somewhere else, from where sessions and Save take it.
        model_path = str(save_model_anywhere(model, job.model_path)[0])
        self._keep(model_path, model)
        return messages.Trained(job.job, model_path, model.card)

    def _predict(self, job: messages.Predict) -> messages.Predicted:
        from napari_impartial.core.prediction.packing import rounded
        from napari_impartial.core.prediction.predict import predict

        def report(fraction: float) -> bool:
            self._reply(messages.Predicting(job.job, fraction))
            return job.job in self._inbox.cancelled

        prediction = predict(job.image, self._load(job.model_path), job.config, report)
        # As sessions keep it, so that what is opened again is cut into the same objects.
        return messages.Predicted(job.job, rounded(prediction))

    def _predict_slide(self, job: messages.PredictSlide) -> messages.SlidePredicted:
        from napari_impartial.core.network.model_card import read_card
        from napari_impartial.slides.engine import engine
        from napari_impartial.slides.job import make_job
        from napari_impartial.slides.run import blocks_done, run
        from napari_impartial.slides.source import open_of_shape

        paths, source = open_of_shape([Path(path) for path in job.paths], job.level, job.shape)
        described = make_job(
            paths,
            None,
            job.level,
            source.positions(job.channels),
            Path(job.model_path),
            read_card(job.model_path),
            job.settings,
            Path(job.result),
            block_px=job.block_px,
        )

        # Whoever wants it stopped ends this process: what is done is on disk and gone on from.
        def report(fraction: float) -> None:
            done = blocks_done(described)
            progress = messages.SlideProgress(fraction, done, described.block_px, stage)
            self._reply(messages.Progressed(job.job, progress))

        stage = ""

        def tell(text: str) -> None:
            nonlocal stage
            stage = text

        pace = self._inbox.pace
        pace.rest_share = rest_share(cores(), cores())
        worked = threading.local()

        def rest() -> None:
            # Beside a moving hand the window needs the cores; each thread rests by itself.
            pace.rest(time.monotonic() - getattr(worked, "since", time.monotonic()))
            worked.since = time.monotonic()

        try:
            with engine(rest=rest) as workers:
                done = run(described, Path(job.result), workers, report, False, job.first, tell)
        finally:
            pace.give_way(False)
        return messages.SlidePredicted(
            job.job,
            str(done.store),
            str(done.table),
            str(done.places),
            done.n_objects,
            done.classes,
            done.n_clipped,
            done.n_kept == done.n_blocks,
        )

    def _export_slide(self, job: messages.ExportSlide) -> messages.SlideExported:
        from napari_impartial.slides.export import Results, export

        store, table, places = map(Path, job.results)
        told = 0.0

        # Whoever wants it stopped ends this process.
        def report(share: float) -> None:
            nonlocal told
            if time.monotonic() - told >= REPORT_EVERY_S:
                told = time.monotonic()
                self._reply(messages.Predicting(job.job, share))

        results = Results(store, table, places, job.verdicts, job.factor)
        export(results, {kind: Path(path) for kind, path in job.targets.items()}, report)
        return messages.SlideExported(job.job)

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
