"""Work in the background, with its news on the window's thread."""

from __future__ import annotations

import collections
import queue
from collections.abc import Callable, Generator, Hashable
from typing import Any, TypeVar

from napari.utils import cancelable_progress
from qtpy.QtCore import QObject, QThreadPool, QTimer, Signal
from superqt.utils import create_worker

from napari_impartial.gui.timers import single_shot
from napari_impartial.worker import messages
from napari_impartial.worker.client import Commands, TrainingProcess
from napari_impartial.worker.messages import Failed, News, Predicting

_Reply = TypeVar("_Reply")


def supervise(
    run: Callable[..., Generator[Any, None, _Reply]], *args: Any, **kwargs: Any
) -> Generator[Any, None, _Reply]:
    """Go through a job of the training process on a worker thread, which is not counted.

    Qt runs as many workers as there are cores. On two, two that only wait for their child
    processes would keep objects from being cut and channels from being shown for minutes.
    """
    pool = QThreadPool.globalInstance()
    assert pool is not None
    pool.releaseThread()
    try:
        return (yield from run(*args, **kwargs))
    finally:
        pool.reserveThread()


class Job(QObject):
    """A job of the training process, supervised by a worker thread; at its end it deletes itself.

    Signals
    -------
    progressed
        :class:`TrainingProgress`, :class:`SlideProgress`, or the share of a prediction that is
        done.
    ended
        The last word (:data:`messages.Final`); comes once, whatever happens.
    """

    progressed = Signal(object)
    ended = Signal(object)

    def __init__(
        self,
        process: TrainingProcess,
        make_job: Callable[[int], messages.Job],
        description: str,
        parent: QObject | None = None,
        shown: bool = True,
    ) -> None:
        super().__init__(parent)
        self._commands: Commands = queue.SimpleQueue()
        self._over = False
        self._on_cancel: Callable[[], None] | None = None
        # The same progress as in the dock, in napari's activity dock; with a button. A
        # part of something larger leaves it to the larger one.
        self._bar = cancelable_progress(total=100, desc=description) if shown else None
        # Not napari's: at the end it would ask about "<function supervise at 0x...>".
        self._worker: Any = create_worker(supervise, process.run, make_job, self._commands)
        self._worker.yielded.connect(self._news)
        self._worker.returned.connect(self._end)
        self._worker.errored.connect(self._fault)
        self._worker.aborted.connect(self._abort)
        self._worker.start()

    def send(self, make_request: Callable[[int], messages.Request]) -> None:
        """Send a request that needs the number of this job; it may be waiting for its turn."""
        self._commands.put(make_request)

    def when_cancelled(self, act: Callable[[], None]) -> None:
        """Say what the cancel button in the activity dock does."""
        self._on_cancel = act

    def _news(self, reply: News | None) -> None:
        if self._bar is not None and self._bar.is_canceled and self._on_cancel is not None:
            act, self._on_cancel = self._on_cancel, None
            act()
        if reply is None or self._over:
            return
        news: Any = reply.fraction if isinstance(reply, Predicting) else reply.progress
        fraction = reply.fraction if isinstance(reply, Predicting) else reply.progress.fraction
        self.progressed.emit(news)
        # Each update makes napari run its event loop, painting included: only where one
        # would see a difference. Later news and the end may come inside it, so nothing is
        # told after it.
        if self._bar is not None and (percent := round(100 * fraction)) > self._bar.n:
            self._bar.update(percent - self._bar.n)

    def _fault(self, error: Exception) -> None:
        # The error itself is raised in the window; this only sets the widget free.
        self._end(Failed(0, "cancelled", str(error)))

    def _abort(self) -> None:
        self._end(Failed(0, "ended", "closed"))

    def _end(self, reply: messages.Final) -> None:
        if self._over:
            return
        self._over = True
        if self._bar is not None:
            self._bar.close()
        self.ended.emit(reply)
        self.deleteLater()


class Latest(QObject):
    """Runs functions on a thread, one at a time; of those that wait for a thing, only the latest.

    For what follows a slider: each value may be out of date before it is worked out.

    Parameters
    ----------
    pause_ms : int
        Begin after so long without another request. What nobody needs while a slider moves
        takes cores, and the interpreter, from those who draw.
    """

    done = Signal(object)
    failed = Signal(object)

    def __init__(self, parent: QObject | None = None, pause_ms: int = 0) -> None:
        super().__init__(parent)
        self._waiting: dict[Hashable, Callable[[], Any]] = {}
        self._worker: Any = None
        # What is being worked out is about this.
        self._about: Hashable = None
        self._pause = single_shot(self, pause_ms, self._next)

    @property
    def busy(self) -> bool:
        """Return whether something is being worked out, or waits to be."""
        return self._worker is not None or bool(self._waiting)

    def request(self, function: Callable[[], Any], about: Hashable = None) -> None:
        """Run `function` soon; :attr:`done` brings its result unless a newer one waits.

        A newer one is one that is `about` the same.
        """
        self._waiting[about] = function
        if self._pause.interval():
            self._pause.start()
        else:
            self._next()

    def _next(self) -> None:
        if not self._waiting or self._worker is not None or self._pause.isActive():
            return
        self._about = next(iter(self._waiting))
        function = self._waiting.pop(self._about)
        self._worker = create_worker(function)
        self._worker.returned.connect(self._returned)
        self._worker.errored.connect(self._failed)
        self._worker.start()

    def _returned(self, value: Any) -> None:
        self._worker = None
        if self._about not in self._waiting:
            self.done.emit(value)
        self._next()

    def _failed(self, error: Exception) -> None:
        # A fault of the program: it has been raised and shown.
        self._worker = None
        self.failed.emit(error)
        self._next()


class OneByOne(QObject):
    """Does things on the window's thread one at a time, with the window's turn in between.

    Several layers redrawn at once make one long frame, which a painting hand feels; one
    after the other they are short ones.
    """

    PAUSE_MS = 15

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._waiting: collections.deque[Callable[[], Any]] = collections.deque()
        self._timer = QTimer(self)
        self._timer.setInterval(self.PAUSE_MS)
        self._timer.timeout.connect(self._next)

    def add(self, act: Callable[[], Any]) -> None:
        """Do something soon, after what was added before."""
        self._waiting.append(act)
        self._timer.start()

    def clear(self) -> None:
        """Forget what has not been done."""
        self._waiting.clear()

    def _next(self) -> None:
        if self._waiting:
            self._waiting.popleft()()
        if not self._waiting:
            self._timer.stop()
