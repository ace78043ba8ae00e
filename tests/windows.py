"""Make Linux behave as Windows does in what matters here; runs in every process of a test, see ``test_windows.py``.

- No process can be forked, and no symbolic link can be made (Windows allows it to administrators only).
- A file that this process has open or mapped into its memory can be neither renamed nor removed nor replaced.
- No name has a character that Windows forbids, and none of its reserved names.
- Text files without a stated encoding are read and written in CP949, as on Korean Windows.

What it cannot imitate is said in docs/windows.md.
"""

import builtins
import errno
import io
import os
import pathlib
import re
from collections.abc import Callable
from typing import Any

FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f]|[ .]$')
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def check_name(path: Any) -> None:
    """Raise OSError where Windows would refuse a file of this name."""
    if isinstance(path, int):
        return
    for part in pathlib.PurePath(os.fspath(path)).parts:
        if part not in ("/", "..") and (FORBIDDEN.search(part) or RESERVED.fullmatch(part)):
            raise OSError(errno.EINVAL, "imitated Windows: forbidden name", str(path))


def check_closed(path: Any) -> None:
    """Raise PermissionError where this process has the file open, as Windows does."""
    real = os.path.realpath(path)
    for opened in pathlib.Path("/proc/self/fd").iterdir():
        try:
            if str(opened.readlink()) == real:
                raise PermissionError(errno.EACCES, "imitated Windows: the file is open", str(path))
        except FileNotFoundError:
            continue
    with _open("/proc/self/maps") as maps:
        if any(line.rstrip("\n").endswith(f" {real}") for line in maps):
            raise PermissionError(errno.EACCES, "imitated Windows: the file is mapped", str(path))


def guarded(function: Callable[..., Any], *, both: bool) -> Callable[..., Any]:
    """Return a function of ``os`` that first checks the file it removes, or the two it renames."""

    def checked(path: Any, *others: Any, **options: Any) -> Any:
        check_closed(path)
        if both:
            check_name(others[0])
            check_closed(others[0])
        return function(path, *others, **options)

    return checked


def refuse_link(*_: Any, **__: Any) -> None:
    raise OSError(errno.EPERM, "imitated Windows: a required privilege is not held by the client")


_open = io.open


def open_as_windows(
    file: Any, mode: str = "r", buffering: int = -1, encoding: str | None = None, *others: Any, **options: Any
) -> Any:
    """Open a file; text without a stated encoding is CP949."""
    if set(mode) & set("wxa+"):
        check_name(file)
    if "b" not in mode and encoding in (None, "locale"):
        encoding = "cp949"
    return _open(file, mode, buffering, encoding, *others, **options)


def imitate() -> None:
    """Change this process."""
    for name in ("unlink", "remove", "rmdir"):
        setattr(os, name, guarded(getattr(os, name), both=False))
    for name in ("replace", "rename"):
        setattr(os, name, guarded(getattr(os, name), both=True))
    os.symlink = refuse_link
    del os.fork, os.forkpty
    builtins.open = open_as_windows
    io.open = open_as_windows
