"""Progress bars with rate and time left on a terminal; elsewhere a line per minute, as for a log file."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.highlighter import NullHighlighter
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

Item = TypeVar("Item")

Advance = Callable[..., None]
"""``advance(count=1, note="")`` counts items as done and shows ``note`` after the bar."""


LINE_EVERY = 60.0
"""Seconds between two lines of progress where the output is not a terminal."""


# Bars and messages share a console, so that rich prints a message above a running bar and not into it.
_CONSOLE = Console(stderr=True)


def show_messages() -> None:
    """Send the package's log to stderr: warnings always, progress messages only on a terminal."""
    if sys.stderr.isatty():
        level: int = logging.INFO
        handler: logging.Handler = RichHandler(
            console=_CONSOLE, show_time=False, show_level=False, show_path=False, highlighter=NullHighlighter()
        )
    else:
        level, handler = logging.WARNING, logging.StreamHandler()
    handler.addFilter(_Once())
    logging.basicConfig(format="%(message)s", handlers=[handler])
    logging.getLogger("pyojeong").setLevel(level)


class _Once(logging.Filter):
    """Passes each message once: five trainings in one command share most of their warnings."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        new = message not in self.seen
        self.seen.add(message)
        return new


class _Rate(TextColumn):
    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.1f}/s" if speed else "", style="dim")


class _Lines:
    """Counts items and prints a line when the last line is old enough."""

    def __init__(self, what: str, total: int | None) -> None:
        self.what, self.total = what, total
        self.done = 0
        self.start = self.last = time.monotonic()

    def __call__(self, count: int = 1, note: str = "") -> None:
        self.done += count
        now = time.monotonic()
        if now - self.last < LINE_EVERY:
            return
        self.last = now
        of = "" if self.total is None else f" of {self.total:,}"
        rate = f"{self.done / (now - self.start):,.1f}/s"
        print(f"{self.what}: {self.done:,}{of}, {rate}{note and f', {note}'}", file=sys.stderr, flush=True)


@contextmanager
def bar(what: str, total: int | None) -> Iterator[Advance]:
    """Show a bar for ``total`` items (None when unknown) and yield the function that advances it."""
    if not sys.stderr.isatty():
        yield _Lines(what, total)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}", style="dim"),
    )
    with Progress(*columns, console=_CONSOLE) as progress:
        task = progress.add_task(what, total=total, note="")

        def advance(count: int = 1, note: str = "") -> None:
            progress.update(task, advance=count, note=note)

        yield advance


def track(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Yield from ``items`` while a bar counts them; ``total`` defaults to their length, if they have one."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with bar(what, total) as advance:
        for item in items:
            yield item
            advance()
