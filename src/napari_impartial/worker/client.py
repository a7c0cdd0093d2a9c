"""The window's side of the training process. No Qt here.

A process of its own, and not a thread: measured, a painting hand is disturbed two to
four times less by a low-priority process than by a thread; and a crash or lack of memory
in training leaves the window and its scribbles alone.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from napari_impartial.core.atomic_write import WorkFolder
from napari_impartial.core.torch_env import wait_passively

from . import messages
from .messages import Failed, Final, Job, News, Request

POLL_S = 0.05
Commands = queue.SimpleQueue[Callable[[int], Request]]


class TrainingProcess:
    """A warm child process that trains and predicts, started when first needed.

    The generators that :meth:`run` returns are meant for a worker thread. They yield at
    least every 50 ms (None when there is no news), so that the worker can be aborted;
    aborting one ends the child, as a fault in it does, and the next job starts a fresh one.
    """

    def __init__(self) -> None:
        self._folder = WorkFolder("models")
        self._child: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._one_job = threading.Lock()
        self._starting = threading.Lock()
        self._numbers = itertools.count(1)
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Process id of the child, or None while there is none."""
        child = self._child
        return child.pid if child is not None and child.poll() is None else None

    @property
    def folder(self) -> Path:
        """Folder for model files, removed by :meth:`close`."""
        return self._folder.path

    def new_model_path(self) -> Path:
        """Return a path in :attr:`folder` that has not been used."""
        return self.folder / f"model-{next(self._numbers)}.impartial"

    def run(
        self,
        make_job: Callable[[int], Job],
        commands: Commands | None = None,
    ) -> Generator[News | None, None, Final]:
        """Do a job, after those that are under way.

        Parameters
        ----------
        make_job
            Makes the message from the number of the job.
        commands
            What is put in here, functions that make a message from the number of the job, is
            passed on to the child while the job runs; what comes earlier, when it begins.

        Returns
        -------
        Final
            The child's last word. A child that died answers :class:`Failed` of kind
            ``ended``; nothing is raised.
        """
        while not self._one_job.acquire(timeout=POLL_S):
            yield None
        job = make_job(next(self._numbers))
        keep = False
        try:
            connection = self._start()
            messages.send(connection, job)
            while True:
                _pass_on(commands, job.job, connection)
                if not connection.poll(POLL_S):
                    yield None
                    continue
                reply = messages.receive(connection)
                if reply.job != job.job:
                    continue
                if isinstance(reply, News):
                    yield reply
                    continue
                # After a fault a new child does better: a graphics card that failed once fails
                # for as long as the process lives, and memory comes back for sure.
                keep = not (isinstance(reply, Failed) and reply.kind in ("fault", "memory"))
                return reply
        except (EOFError, OSError) as error:
            keep = True  # what there is of it, for the next start
            return Failed(job.job, "ended", self._how_it_ended(), str(error))
        finally:
            try:
                if not keep:
                    self.kill()
            finally:
                self._one_job.release()

    def kill(self) -> None:
        """End the child at once; it holds nothing that would be lost."""
        with self._starting:
            child, self._child = self._child, None
            if child is not None:
                child.kill()
                child.wait(timeout=10)
            # The connection is closed by the next start or by garbage collection: a
            # worker may be waiting on it, and gets its end of file from the kill.

    def close(self) -> None:
        """End the child for good and remove the folder."""
        self._closed = True
        self.kill()
        self._folder.close()

    def _start(self) -> Connection:
        """Return the pipe to the child; start one if there is none or it has died."""
        with self._starting:
            if self._closed:
                raise OSError("The window has been closed.")
            if self._child is not None and self._child.poll() is None:
                assert self._connection is not None
                return self._connection
            if self._connection is not None:
                self._connection.close()
            ours, theirs = Pipe(duplex=True)
            try:
                self._child = self._spawn(theirs)
            finally:
                # With a copy of its end here we would never be told that it died.
                theirs.close()
            self._connection = ours
            return ours

    def _spawn(self, theirs: Connection) -> subprocess.Popen[bytes]:
        handle = theirs.fileno()
        command = [
            sys.executable,
            "-P",  # a file numpy.py in the user's folder must not be imported
            "-m",
            "napari_impartial.worker.server",
            str(handle),
        ]
        # The child finds what we found, however our path came about.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        wait_passively(environment)
        with open(self.folder / "errors.txt", "wb") as errors:
            # Ctrl+C in the terminal is for the window to handle.
            system: dict[str, Any] = {"pass_fds": [handle], "start_new_session": True}
            if sys.platform == "win32":
                os.set_handle_inheritable(handle, True)
                startup = subprocess.STARTUPINFO(lpAttributeList={"handle_list": [handle]})
                flags = subprocess.BELOW_NORMAL_PRIORITY_CLASS | subprocess.CREATE_NO_WINDOW
                system = {"startupinfo": startup, "creationflags": flags}
            return subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                **system,
            )

    def _how_it_ended(self) -> str:
        """Say in a few words why the child is gone: a signal, or its last line of errors."""
        child = self._child
        if self._closed or child is None:
            return "closed"
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = child.wait(timeout=2)
            if code == -9:
                return "killed"
        with contextlib.suppress(OSError):
            lines = (self.folder / "errors.txt").read_text(errors="replace").split("\n")
            return next((line for line in reversed(lines) if line.strip()), "crashed")
        return "crashed"


def _pass_on(commands: Commands | None, job: int, connection: Connection) -> None:
    while commands is not None and not commands.empty():
        messages.send(connection, commands.get()(job))
