"""Where the work is done: processes of this machine or the workers of a dask.distributed scheduler."""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager

from pyojeong.errors import InputError

PATIENCE = "15s"
"""How long a dask scheduler may take to answer."""


@contextmanager
def open_executor(workers: int, scheduler: str | None) -> Iterator[Executor]:
    """Open ``workers`` processes here, or the workers behind a scheduler's address such as ``tcp://host:8786``.

    Work that has not begun when the block ends with an error is dropped. Raises InputError when the scheduler
    does not answer.
    """
    if scheduler is not None:
        with _dask(scheduler) as executor:
            yield executor
        return
    # A forked child would inherit onnxruntime's locks without the threads that open them.
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def threads_for(workers: int) -> int:
    """Return how many onnxruntime threads each of ``workers`` processes gets: its share of the cores, at most two."""
    return max(1, min(2, (os.cpu_count() or 1) // workers))


@contextmanager
def _dask(address: str) -> Iterator[Executor]:
    from distributed import Client

    try:
        client = Client(address, timeout=PATIENCE)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise InputError(f"the dask scheduler at {address} does not answer ({error}); check address and port") from None
    with client, client.get_executor() as executor:  # type: ignore[no-untyped-call]
        yield executor
