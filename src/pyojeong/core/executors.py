"""Run work in processes of this machine or on the workers of a dask.distributed scheduler."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
)
from contextlib import contextmanager
from typing import TypeVar

from pyojeong.core.errors import InputError

TIMEOUT = "15s"
"""How long a dask scheduler may take to answer."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_unordered(
    function: Callable[[Item], Result], items: Sequence[Item], *, workers: int, scheduler: str | None = None
) -> Iterator[Result]:
    """Yield ``function(item)`` for every item, in the order in which they finish.

    Args:
        function: must be picklable, as must the items and results.
        items: pieces of work; an item of a lost dask worker is given to another worker.
        workers: number of processes on this machine.
        scheduler: address of a dask.distributed scheduler, such as ``tcp://host:8786``, whose workers are used instead.

    Raises:
        InputError: the scheduler does not answer, or workers were lost for good. Errors of ``function`` are raised
            as they are, and work that has not started is dropped.
    """
    with _open_executor(min(workers, len(items)) or 1, scheduler) as executor:
        futures = [executor.submit(function, item) for item in items]
        try:
            for future in as_completed(futures):
                yield future.result()
        except _losses(scheduler) as error:
            raise _lost(error, "look at the workers' logs" if scheduler else "choose fewer --workers") from None
        finally:
            for future in futures:
                future.cancel()


def map_ordered(function: Callable[[Item], Result], items: Sequence[Item], *, workers: int) -> Iterator[Result]:
    """Yield ``function(item)`` for every item, in the order of the items, with a few pieces of work in advance.

    Args:
        function: must be picklable, as must the items and results.
        items: pieces of work.
        workers: number of processes on this machine.

    Raises:
        InputError: workers were lost. Errors of ``function`` are raised as they are, and work that has not started is
            dropped.
    """
    with _open_executor(min(workers, len(items)) or 1, None) as executor:
        try:
            yield from _in_order(executor, function, items, 4 * workers)
        except BrokenExecutor as error:
            raise _lost(error, "choose fewer --workers") from None


def map_in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], *, threads: int
) -> Generator[Result, None, None]:
    """Yield ``function(item)`` for every item, in the order of the items, with one piece of work more than threads.

    Args:
        function: releases the GIL for most of its time, and may run in several threads at once.
        items: pieces of work, taken one by one as they are needed.
        threads: number of threads; with 1 everything runs in the caller's.
    """
    if threads == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads) as executor:
        yield from _in_order(executor, function, items, threads + 1)


def _in_order(
    executor: Executor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    waiting: deque[Future[Result]] = deque()
    source, ended = iter(items), False
    try:
        while waiting or not ended:
            if not ended and len(waiting) < ahead:
                future: Future[Result] = Future()
                try:
                    future = executor.submit(function, next(source))
                except StopIteration:
                    ended = True
                    continue
                except Exception as error:
                    # Raised where the item would be; those before it are answered first.
                    future.set_exception(error)
                    ended = True
                waiting.append(future)
            else:
                yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _lost(error: BaseException, remedy: str) -> InputError:
    return InputError(
        f"the workers were lost, usually because memory ran out ({type(error).__name__}); {remedy} and run the "
        "same command again, it resumes where it stopped"
    )


def threads_for(workers: int) -> int:
    """Return the number of onnxruntime threads for each of ``workers`` processes: its share of the cores, at most 2."""
    return max(1, min(2, (os.cpu_count() or 1) // workers))


@contextmanager
def _open_executor(workers: int, scheduler: str | None) -> Iterator[Executor]:
    if scheduler is not None:
        with _dask(scheduler) as executor:
            yield executor
        return
    # A forked child would inherit locks of polars and onnxruntime without the threads that release them.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _dask(address: str) -> Iterator[Executor]:
    from distributed import Client

    try:
        client = Client(address, timeout=TIMEOUT)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise InputError(f"the dask scheduler at {address} does not answer ({error}); check address and port") from None
    with client, client.get_executor() as executor:  # type: ignore[no-untyped-call]
        yield executor


def _losses(scheduler: str | None) -> tuple[type[BaseException], ...]:
    if scheduler is None:
        return (BrokenExecutor,)
    from distributed import KilledWorker
    from distributed.comm.core import CommClosedError

    return KilledWorker, CommClosedError, CancelledError


def _end_with_parent() -> None:
    # Ctrl-C reaches every process of a terminal; the parent ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Without this, a worker whose parent was killed would wait for work forever.
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
