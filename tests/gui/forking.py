"""Processes forked off one that has loaded torch, which takes seconds of a core each time.

How a real training process is started, and how it ends, is tested in test_process.py and
test_faults.py; how a command is, among the tests of the command line.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from napari_impartial.core.torch_env import wait_passively

_MOST = 1 << 20


class Forked:
    """What the window needs of a child: as :class:`subprocess.Popen`."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self._nursery, self.pid = nursery, pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._nursery.ask({"pid": self.pid})
        return self.returncode

    def wait(self, timeout: float = 60.0) -> int:
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("training process", timeout)
            time.sleep(0.005)
        return code

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


class Nursery:
    """The process that children are forked off."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno())],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def fork(self, handle: int, errors: Path) -> Forked:
        """Start a child that serves the pipe with this handle."""
        environment = dict(os.environ)
        wait_passively(environment)
        pid = self.ask({"errors": str(errors), "environment": environment}, [handle])
        return Forked(self, pid)

    def command(self, arguments: list[str], errors: Path) -> Forked:
        """Start a command of the command line; what it says of its errors is left in a file."""
        request = {"errors": str(errors), "environment": dict(os.environ), "command": arguments}
        return Forked(self, self.ask(request))

    def ask(self, request: dict[str, Any], handles: list[int] | None = None) -> Any:
        with self._lock:
            socket.send_fds(self._ours, [json.dumps(request).encode()], handles or [])
            return json.loads(self._ours.recv(_MOST))

    def close(self) -> None:
        self._ours.close()
        self._process.wait(timeout=60)


def serve(control: socket.socket) -> None:
    """Fork, and say how children ended, until the tests are over."""
    # What a child loads in any case, without starting threads.
    from napari_impartial.core.network import device, model_file  # noqa: F401
    from napari_impartial.core.prediction import predict  # noqa: F401
    from napari_impartial.core.training import fit  # noqa: F401
    from napari_impartial.slides import run  # noqa: F401
    from napari_impartial.worker import server  # noqa: F401

    with contextlib.suppress(ImportError):
        import dask.delayed  # noqa: F401
        import zarr  # noqa: F401

    os.fsync = bool  # type: ignore[assignment]  # no test cuts the power

    while words := (received := socket.recv_fds(control, _MOST, 1))[0]:
        request, handles = json.loads(words), received[1]
        if "pid" in request:
            ended, status = os.waitpid(request["pid"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if ended else None
        else:
            answer = os.fork()
            if not answer:
                control.close()
                if "command" in request:
                    _run(**request)
                _become(handles[0], **request)
            for handle in handles:
                os.close(handle)
        control.send(json.dumps(answer).encode())


def _become(handle: int, errors: str, environment: dict[str, str]) -> None:
    """Be a training process, but of usual priority: tests wait for it beside busy ones."""
    import torch

    from napari_impartial.worker import server

    try:
        _settle(errors, errors, environment)
        if "OMP_NUM_THREADS" in environment:
            torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
        server.Server(server.connect(handle)).serve()
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    finally:
        sys.stderr.flush()
        os._exit(1)


def _run(command: list[str], errors: str, environment: dict[str, str]) -> None:
    """Be a command."""
    from napari_impartial.cli.main import main

    status = 1
    try:
        _settle(os.devnull, errors, environment)
        status = main(command)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _settle(output: str, errors: str, environment: dict[str, str]) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    for number, name in ((1, output), (2, errors)):
        with open(name, "ab") as file:
            os.dup2(file.fileno(), number)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
