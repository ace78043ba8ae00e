import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from pyojeong.analysis.ahead import read_ahead


def test_the_items_come_in_their_order_from_another_thread() -> None:
    threads = set()

    def items() -> Iterator[int]:
        for number in range(50):
            threads.add(threading.get_ident())
            yield number

    assert [*read_ahead(items(), 3)] == [*range(50)]
    assert threads
    assert threading.get_ident() not in threads


def test_no_more_than_the_depth_is_read_in_advance() -> None:
    read = []
    paused = threading.Event()

    def items() -> Iterator[int]:
        for number in range(50):
            read.append(number)
            if number == 4:
                paused.set()
            yield number

    with closing(read_ahead(items(), 3)) as ahead:
        assert next(ahead) == 0
        assert paused.wait(10), "one is used, three wait, and one is in the thread's hand"
        assert len(read) <= 5
    assert len(read) <= 6, "reading ends when the user leaves the loop"


def test_an_error_is_raised_at_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    ahead = read_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="broken"):
        next(ahead)


def test_of_a_camera_only_the_newest_frame_waits() -> None:
    taken = threading.Event()

    def frames() -> Iterator[int]:
        yield 0
        taken.wait(10)
        yield from range(1, 100)

    with closing(read_ahead(frames(), newest=True)) as ahead:
        assert next(ahead) == 0
        taken.set()
        left = [*ahead]
    assert left == sorted(left)
    assert left[-1] == 99
