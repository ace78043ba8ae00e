"""Read ahead in a thread, so that decoding and the networks work at the same time."""

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

Item = TypeVar("Item")

_END = object()


def read_ahead(items: Iterable[Item], depth: int = 8, *, newest: bool = False) -> Generator[Item, None, None]:
    """Yield the items, which a thread produces in advance; an error of theirs is raised at its place.

    Args:
        items: whatever takes time to produce, with the GIL released.
        depth: number of items that wait at most.
        newest: whether an item that nobody took in time is dropped for the next one, as for a camera.
    """
    waiting: queue.Queue[object] = queue.Queue(1 if newest else depth)
    stopped = threading.Event()
    errors: list[BaseException] = []

    def put(item: object, *, drop: bool) -> None:
        while not stopped.is_set():
            try:
                return waiting.put(item, timeout=0 if drop else 0.1)
            except queue.Full:
                if drop:
                    take_one(waiting)

    def work() -> None:
        try:
            for item in items:
                put(item, drop=newest)
                if stopped.is_set():
                    return
        except BaseException as error:  # raised where the items are used
            errors.append(error)
        put(_END, drop=False)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not _END:
            yield item  # type: ignore[misc]
        if errors:
            raise errors[0]
    finally:
        stopped.set()
        take_one(waiting)
        # The file that is read can only be closed when the thread is done with it.
        thread.join()


def take_one(waiting: "queue.Queue[object]") -> None:
    """Take an item from a queue if there is one."""
    try:
        waiting.get_nowait()
    except queue.Empty:
        return
