"""Workers of a run: threads of this process, or Dask's, on this machine or on a cluster."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any

from napari_impartial.core.errors import ImPartialError

Report = Callable[[float], None]

# A worker that is lost takes the steps it was at with it, and these are begun anew elsewhere. A
# step that so many workers were lost at is the reason.
_WORKERS_LOST = 5
MOST_THREADS = 8
"""Each thread has a block in memory."""


_here = threading.local()


def rest() -> None:
    """Rest where whoever started this thread's work wants that; to be called now and then."""
    act: Callable[[], None] | None = getattr(_here, "rest", None)
    if act is not None:
        act()


class Engine:
    """Runs a step on many blocks.

    Parameters
    ----------
    client : distributed.Client, optional
        Of a cluster.
    pool : ThreadPoolExecutor, optional
        Threads of this process, which do the work where there is no cluster.
    rest : callable, optional
        Called on these threads several times a block; may take its time.
    """

    def __init__(
        self,
        client: Any = None,
        pool: ThreadPoolExecutor | None = None,
        rest: Callable[[], None] | None = None,
    ) -> None:
        self._client, self._pool, self._rest = client, pool, rest

    def run(
        self, step: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], report: Report
    ) -> list[Any]:
        """Do a step with each of the arguments, begun in this order; return what comes of each.

        Parameters
        ----------
        step : callable
            Importable, since workers look it up.
        arguments : sequence of tuple
        report : callable
            Gets the share done, 0 to 1.

        Raises
        ------
        ImPartialError
            What a step raises, or if workers are lost again and again.
        """
        if not arguments:
            return []
        if self._client is not None:
            return self._on_cluster(step, arguments, report)
        assert self._pool is not None
        futures: list[Future[Any]] = []
        try:
            for some in arguments:
                futures.append(self._pool.submit(_with_rests, self._rest, step, some))
            for number, future in enumerate(as_completed(futures), start=1):
                future.result()
                report(number / len(arguments))
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()

    def _on_cluster(
        self, step: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], report: Report
    ) -> list[Any]:
        from distributed import KilledWorker
        from distributed import as_completed as ended

        futures = self._client.map(_alone, [step] * len(arguments), arguments, pure=False)
        found: dict[Any, Any] = {}
        try:
            for future in ended(futures, loop=self._client.loop):
                found[future.key] = future.result()
                report(len(found) / len(arguments))
            return [found[future.key] for future in futures]
        except KilledWorker as error:
            raise ImPartialError(
                "Workers are lost again and again, for want of memory as a rule; use fewer, or "
                "smaller blocks (--block-px), and --resume."
            ) from error
        finally:
            self._client.cancel(futures)


def _with_rests(
    act: Callable[[], None] | None, step: Callable[..., Any], arguments: tuple[Any, ...]
) -> Any:
    """Do a step, and rest before it and whenever it says so."""
    _here.rest = act
    rest()
    return _alone(step, arguments)


def _alone(step: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Do a step on one core: there are as many at once as there are cores."""
    import torch

    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)
    return step(*arguments)


@contextmanager
def engine(
    workers: int = 0, scheduler: str = "", rest: Callable[[], None] | None = None
) -> Iterator[Engine]:
    """Start what does the work, and end it afterwards.

    Parameters
    ----------
    workers : int
        Processes to start on this machine; 0 works in this process, a thread a core.
    scheduler : str
        Address of a Dask scheduler that runs already, such as ``tcp://10.0.0.1:8786``.
    rest : callable, optional
        As of :class:`Engine`, for threads of this process.

    Raises
    ------
    ImPartialError
        If Dask's workers are missing, or no scheduler answers.
    """
    if not workers and not scheduler:
        before = _torch_threads()
        try:
            with ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS)) as pool:
                yield Engine(pool=pool, rest=rest)
        finally:
            _torch_threads(before)
        return
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        raise ImPartialError(
            "Workers are Dask's: pip install 'napari-impartial[cluster]'"
        ) from None
    settings = {
        "distributed.scheduler.allowed-failures": _WORKERS_LOST,
        "distributed.logging.distributed": "critical",
    }
    with dask.config.set(settings):
        if scheduler:
            try:
                client = Client(scheduler, timeout="10s", set_as_default=False)
            except (OSError, ValueError, TimeoutError) as error:
                raise ImPartialError(
                    f"No Dask scheduler answers at {scheduler}; start one (dask scheduler), or "
                    "correct --scheduler."
                ) from error
            with client:
                yield Engine(client)
            return
        with (
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                dashboard_address=None,
                silence_logs="CRITICAL",
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield Engine(client)


def _torch_threads(count: int | None = None) -> int:
    import torch

    if count is not None:
        torch.set_num_threads(count)
    return int(torch.get_num_threads())
