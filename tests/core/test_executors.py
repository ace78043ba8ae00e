import math
import os
from collections.abc import Iterator
from contextlib import closing
from functools import partial

import pytest

from pyojeong.core.errors import InputError
from pyojeong.core.executors import map_in_threads, map_ordered, map_unordered, threads_for


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


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_answer_in_order_and_take_items_as_they_are_needed(threads: int) -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(40):
            taken.append(number)
            yield number

    with closing(map_in_threads(lambda number: number * number, items(), threads=threads)) as answers:
        assert next(answers) == 0
        assert len(taken) <= threads + 1
        assert [*answers] == [number * number for number in range(1, 40)]


def test_an_error_in_a_thread_is_raised_at_its_place() -> None:
    def invert(number: int) -> float:
        return 1 / number

    answers = map_in_threads(invert, [2, 1, 0, 1], threads=2)
    assert (next(answers), next(answers)) == (0.5, 1)
    with pytest.raises(ZeroDivisionError):
        next(answers)


@pytest.mark.parametrize("threads", [1, 3])
def test_items_that_break_off_are_answered_up_to_there(threads: int) -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise OSError("broken")

    answers = map_in_threads(str, items(), threads=threads)
    assert [next(answers) for _ in range(5)] == ["0", "1", "2", "3", "4"]
    with pytest.raises(OSError, match="broken"):
        next(answers)


def test_processes_answer_in_order() -> None:
    assert [*map_ordered(math.sqrt, [number * number for number in range(30)], workers=2)] == [*range(30)]
