"""Files that appear whole or not at all, locks against concurrent runs, and paths that stay inside the workspace."""

import json
import logging
import os
import re
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from importlib import import_module
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import IO, Any

import platformdirs
from filelock import FileLock, Timeout

from pyojeong.core.errors import InputError

# Microsoft, "Naming Files, Paths, and Namespaces".
_RESERVED = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³])( *\..*)?", re.IGNORECASE)

log = logging.getLogger(__name__)


@contextmanager
def whole_file(path: Path, *, locked: bool = False) -> Iterator[IO[bytes]]:
    """Open a temporary binary file that replaces ``path`` only when the block ends without an error.

    Parent folders are created. After a crash, a full disk or a kill, ``path`` is as it was: absent, or its old content.

    Args:
        path: the file to write.
        locked: whether to lock the temporary file, so that ``remove_leftovers`` of another run leaves it alone.

    Raises:
        OSError: as the system reports it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".part", dir=path.parent)
    part = Path(name)
    try:
        with file_lock(part) if locked else nullcontext():
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            # mkstemp creates private files; a published file has the permissions of any new file.
            part.chmod(_MODE)
            part.replace(path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        raise


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files that killed runs left of ``path``, whose name may be a pattern such as ``*.npy``.

    Only for files written with ``whole_file(path, locked=True)``: those of a live run are locked and stay.
    """
    for part in path.parent.glob(f".{path.name}.*.part"):
        with suppress(InputError, OSError), file_lock(part):
            part.unlink()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other runs out of ``folder``, which is created if missing, until the block ends.

    Raises InputError when another run is in the folder; see ``file_lock``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder / ".pyojeong.lock", folder):
        yield


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock on ``path``, a hidden file beside it, until the block ends.

    The lock ends with the process. On a file system without locks nothing is locked. Raises InputError when another
    run holds the lock.
    """
    with _lock(path.with_name(f".{path.name.removeprefix('.')}.lock"), path):
        yield


@contextmanager
def _lock(lock_file: Path, path: Path) -> Iterator[None]:
    # A soft lock would survive a kill.
    lock = FileLock(lock_file, blocking=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(f"{path}: another run is using it; wait until it ends, or choose another place") from None
    except (OSError, NotImplementedError) as error:
        log.warning("%s: cannot be locked (%s); do not start a second run", path, error)
        yield
        return
    try:
        yield
    finally:
        # filelock checks after locking whether its file was unlinked. On Windows it removes the file itself.
        with suppress(OSError):
            lock_file.unlink()
        lock.release()


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, whole or not at all."""
    with whole_file(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, whole or not at all.

    A file name that is not valid text holds lone surrogates; they become escapes, which JSON reads back.
    """
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` to ``path`` as indented UTF-8 JSON with Hangul readable, whole or not at all."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read a UTF-8 JSON file; InputError names the file when it is missing, a folder or not JSON."""
    require_file(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not readable as JSON ({error})") from None


def require_file(path: Path, remedy: str = "") -> None:
    """Raise InputError, with the remedy, where ``path`` does not exist or is a folder.

    Windows reports the attempt to open a folder as a lack of permission, which would mislead.
    """
    refuse_folder(path)
    if not path.exists():
        raise InputError(f"{path}: no such file{remedy and f'; {remedy}'}")


def is_reserved(name: str) -> bool:
    """Whether Windows reserves a file name for a device, whatever its ending: CON, NUL.jpg, com1.txt."""
    return bool(_RESERVED.fullmatch(name))


def refuse_folder(path: Path) -> None:
    """Raise InputError where ``path`` is a folder."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file in it")


def text_of(data: bytes) -> str:
    """Decode text as Korean and other spreadsheets write it: UTF-8, UTF-16 or UTF-32, with or without BOM, or CP949.

    Raises ValueError for other encodings.
    """
    wide = _utf32(data) or _utf16(data)
    for encoding in (wide,) if wide else ("utf-8-sig", "cp949"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ValueError(f"damaged {wide[:6].upper()}" if wide else "neither UTF-8 nor CP949")


def _utf32(data: bytes) -> str:
    """Return the name of the UTF-32 that ``data`` are in; empty where they are in another encoding.

    Its byte order mark begins like that of UTF-16. Without one it is known by the highest byte of each character,
    which is zero, and the next one, which is at most 16.
    """
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf-32"
    head = data[: min(len(data), 4096) // 4 * 4]
    for name, high, next_one in (("utf-32-le", head[3::4], head[2::4]), ("utf-32-be", head[::4], head[1::4])):
        if head and not any(high) and max(next_one) <= 0x10:
            return name
    return ""


def _utf16(data: bytes) -> str:
    """Return the name of the UTF-16 that ``data`` are in; empty where they are in another encoding.

    Without BOM it is known by the zeros of its ASCII characters: in separators, line ends and names of files they make
    up more than a tenth of all bytes, and other text has hardly any.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    head = data[:4096]
    if head.count(0) * 10 < len(head) or not head:
        return ""
    return "utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be"


def json_value(path: Path, key: str) -> Any:
    """Return one value of the JSON object in ``path``; None when the file, the object or the key is missing."""
    content = read_json(path) if path.is_file() else None
    return content.get(key) if isinstance(content, dict) else None


def relative_path(text: str, root: Path) -> str | None:
    """Return ``text`` as a forward-slash path relative to ``root``, or None when it is not a path below ``root``.

    Only the text is checked, not where links point: a link inside the workspace (such as a data disk under
    ``data_raw``) is the user's decision.
    """
    return path_below(text, root.absolute())


def path_below(text: str, root: PurePath) -> str | None:
    """Do what ``relative_path`` does for an absolute ``root``, which may be a path of another system.

    Backslashes count as slashes, and ``a/../b`` is ``b``. A drive such as ``C:`` is part of a path on Windows only,
    where case makes no difference in it.
    """
    text = text.replace("\\", "/")
    path = type(root)(text)
    if (PureWindowsPath(text).drive and not path.drive) or "\0" in text:
        return None
    if path.is_absolute() and path.is_relative_to(root):
        path = path.relative_to(root)
    if path.anchor:
        return None
    parts: list[str] = []
    for part in path.parts:
        if part != "..":
            parts.append(part)
        elif not parts or parts.pop().lower().endswith(".zip!"):  # out of the root, or out of an archive
            return None
    return "/".join(parts) or None


def stored_path(root: Path, path: str) -> Path:
    """Return ``path`` (relative to ``root``, forward slashes) as its folders spell it, whether or not it exists.

    macOS decomposes Hangul (NFD), so a table and a disk may write one name in two ways.
    """
    place = root / path
    if path.isascii() or place.exists():
        return place
    place = root
    for part in PurePosixPath(path).parts:
        forms = (part, *(unicodedata.normalize(form, part) for form in ("NFC", "NFD")))
        place /= next((form for form in forms if (place / form).exists()), part)
    return place


def similar_file(root: Path, path: str) -> Path | None:
    """Return a file whose name differs from ``path`` (relative to ``root``) only in case or by its ending.

    ``p/00`` and ``P/00.JPG`` find ``p/00.jpg``. None where there is none. Raises OSError as the system reports it.
    """
    place = root
    for part in PurePosixPath(path).parts:
        wanted = _folded(part)
        names = sorted(file.name for file in place.iterdir()) if place.is_dir() else []
        # The same name comes first, then the same but for case.
        found = [name for name in names if wanted in (_folded(name), _folded(Path(name).stem))]
        if not found:
            return None
        place /= min(found, key=lambda name: (name != part, _folded(name) != wanted))
    return place if place.is_file() else None


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def link_folder(link: Path, target: Path) -> None:
    """Make ``link`` lead to the folder ``target``: a symbolic link, or a junction where Windows allows none.

    Windows lets only administrators and developers make symbolic links; anyone may make a junction, which lies on a
    local disk and leads to a folder of one. Raises OSError when neither can be made.
    """
    try:
        link.symlink_to(target, target_is_directory=True)
    except OSError:
        if os.name != "nt":
            raise
        # Python offers no other way, and the command mklink would read & in a name as the end of the command.
        import_module("_winapi").CreateJunction(str(target.absolute()), str(link.absolute()))


def cache_folder() -> Path:
    """Return the user's cache folder for this package; it may not exist yet."""
    return platformdirs.user_cache_path("pyojeong", appauthor=False)


def _mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


# Read once: the mask can only be read by changing it, and threads would see each other's zero.
_MODE = _mode()
