import os
from collections.abc import Iterator
from functools import partial

import pytest

from pyojeong.core.errors import InputError
from pyojeong.core.executors import map_unordered, threads_for


def double(value: int) -> int:
    return 2 * value


def fail_at(bad: int, value: int) -> int:
    if value == bad:
        raise OSError(28, "full")
    return value


def die(value: int) -> int:
    os._exit(value)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_item_is_done_once(workers: int) -> None:
    assert sorted(map_unordered(double, [1, 2, 3], workers=workers)) == [2, 4, 6]
    assert list(map_unordered(double, [], workers=workers)) == []


def test_an_error_comes_through_and_ends_the_work() -> None:
    with pytest.raises(OSError, match="full"):
        list(map_unordered(partial(fail_at, 1), range(3), workers=1))


def test_a_lost_process_is_explained() -> None:
    with pytest.raises(InputError, match="fewer --workers and run the same command again"):
        list(map_unordered(die, [1, 2], workers=2))


def test_threads_share_the_cores() -> None:
    assert threads_for(1) <= 2
    assert threads_for(1000) == 1


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


def test_a_cluster_does_the_work_and_passes_errors_on(cluster: str) -> None:
    assert sorted(map_unordered(double, [1, 2, 3], workers=1, scheduler=cluster)) == [2, 4, 6]
    with pytest.raises(OSError, match="full"):
        list(map_unordered(partial(fail_at, 1), range(3), workers=1, scheduler=cluster))


@pytest.mark.slow
def test_work_that_kills_every_dask_worker_is_explained(cluster: str) -> None:
    with pytest.raises(InputError, match="KilledWorker"):
        list(map_unordered(die, [1], workers=1, scheduler=cluster))
