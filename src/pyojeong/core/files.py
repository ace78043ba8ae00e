"""Files that appear whole or not at all, and paths that stay inside the workspace."""

import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

from pyojeong.core.errors import InputError

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a binary file beside ``path`` that takes its place only when the block ends without an error.

    Parent folders are made. After a crash, a full disk or a kill, ``path`` is what it was before: absent, or
    its old content. Raises OSError as the system reports it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".part", dir=path.parent)
    aside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes the file private; what we publish has the permissions any new file would have.
        aside.chmod(_MODE)
        aside.replace(path)
    except BaseException as error:
        aside.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other runs out of ``folder``, which is made where it is missing, until the block ends.

    It is a lock of the system's: it ends with the process, and nothing is left behind. Where the system or a network
    disk has none, nobody is kept out. Raises InputError when another run is in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:  # nor can such a system open a folder
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def lock(file: int | IO[bytes], path: Path) -> None:
    """Lock an open file or folder until it is closed, as ``alone_in`` does; ``path`` is for the message."""
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"{path}: another run is at work on it; let it end, or name another place") from None
    except OSError as error:
        log.info("%s: cannot be locked (%s); start no second run", path, error)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, whole or not at all."""
    with whole_file(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` to ``path`` as indented UTF-8 JSON with Hangul readable, whole or not at all."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read a UTF-8 JSON file; InputError names the file when it is missing or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not readable as JSON ({error})") from None


def json_value(path: Path, key: str) -> Any:
    """Return one value of the JSON object in ``path``; None when there is no such file, object or key."""
    content = read_json(path) if path.is_file() else None
    return content.get(key) if isinstance(content, dict) else None


def relative_path(text: str, root: Path) -> str | None:
    """Return ``text`` as a forward-slash path relative to ``root``, or None when it points outside or is no path.

    The check is on the words of the path, not on what links point to: a link that the user has put into the
    workspace (a data disk under ``data_raw``) is the user's own decision.
    """
    text = text.replace("\\", "/")
    if PureWindowsPath(text).drive or "\0" in text:
        return None
    path = PurePosixPath(text)
    if path.is_absolute():
        absolute_root = PurePosixPath(root.absolute().as_posix())
        if not path.is_relative_to(absolute_root):
            return None
        path = path.relative_to(absolute_root)
    if ".." in path.parts or not path.parts:
        return None
    return path.as_posix()


def cache_folder() -> Path:
    """Return the folder of the user's cache for this package; it may not be there yet."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin" and not os.environ.get("XDG_CACHE_HOME"):
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "pyojeong"


def _mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


# Read once: the only way to read the mask is to change it, and threads would see each other's zero.
_MODE = _mode()
