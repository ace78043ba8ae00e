"""Read images from files and zip archives as upright RGB pixels, without unpacking anything.

An image inside an archive is written ``data_raw/photos.zip!/folder/name.jpg``. The name after ``!/`` is the member's
name as people read it (Hangul decoded and composed), whatever bytes the archive contains.
"""

import errno
import io
import lzma
import os
import re
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, ImageOps, features

from pyojeong.core.errors import InputError
from pyojeong.core.files import relative_path, stored_path

Pixels = npt.NDArray[np.uint8]

ImageSource = str | Path | bytes | bytearray | memoryview | Image.Image | npt.NDArray[Any]
"""What ``pixels_of`` accepts."""

MAX_PIXELS = 89_478_485
"""Pillow's own limit (a quarter of a GiB of RGB). The largest photograph of AI Hub's set has 64 million."""

MAX_BYTES = 1 << 28
"""Larger files and archive members are not read."""

BROKEN_MEMBER = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    MemoryError,
    NotImplementedError,
    OSError,
    ValueError,
)
"""What ``zipfile`` raises for a damaged member. LZMA may request 4 GiB before its first byte (MemoryError)."""

# EPS would start a program.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000")

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")

# First bytes of a file -> the codec that Pillow may have been built without.
_CODECS = {
    b"II*\0": "libtiff",
    b"MM\0*": "libtiff",
    b"\0\0\0\x0c": "jpg_2000",
    b"\xff\x4f\xff\x51": "jpg_2000",
}

_TIFF_SUBFILE, _DNG_VERSION = 254, 50706

_ORIENTATION_TAG = 0x0112

_NO_SUCH_NAME = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)

_INSIDE = re.compile(r"\.zip![/\\]", re.ASCII | re.IGNORECASE)

# Views, not copies: most callers use a part of the image.
_TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored[::-1].swapaxes(0, 1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: stored[:, ::-1].swapaxes(0, 1),
}


PROBLEMS = {
    "missing": "no such image file",
    "folder": "is a folder; name the images in it",
    "outside": "the path is outside the project root",
    "unreadable_archive": "the archive cannot be read; if its download was interrupted, download it again",
    "encrypted": "the archive member needs a password; unpack it first",
    "empty": "the file is empty",
    "not_an_image": "not an image in a supported format; convert it to JPEG or PNG",
    "needs_heif": "a HEIC picture needs the package pillow-heif; pip install 'pyojeong[heif]', or convert it to JPEG",
    "needs_codec": "this Pillow lacks AVIF, TIFF or JPEG 2000; install a newer one, or convert the picture to JPEG",
    "camera_raw": "a camera's raw file; export it as JPEG",
    "corrupt": "the image is damaged and cannot be decoded to its end",
    "too_large": "the image has more than 89 million pixels or 256 MiB; reduce it",
}
"""Why an image cannot be used: reason -> what to tell the user."""


class ImageError(InputError):
    """An image that cannot be used.

    Attributes:
        reason: a key of ``PROBLEMS``.
        detail: the path or the decoder's message; may be empty.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{detail}: {PROBLEMS[reason]}" if detail else PROBLEMS[reason])
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str]]:
        # Exceptions cross process pools; the default would call the class with the joined message.
        return ImageError, (self.reason, self.detail)


class Measure(NamedTuple):
    """Upright size of an image in pixels, and its EXIF orientation (1..8; 0 when it has none)."""

    width: int
    height: int
    orientation: int


class Reduced(NamedTuple):
    """An image decoded at a fraction of its size.

    Attributes:
        pixels: uint8 [h, w, 3], upright.
        divisor: 1, 2, 4 or 8; one pixel covers ``divisor`` x ``divisor`` of the full image.
        left: column of the full image at which column 0 of ``pixels`` begins: 0, or down to ``1 - divisor``.
        top: the same for rows.
    """

    pixels: Pixels
    divisor: int
    left: int
    top: int


def member_name(info: zipfile.ZipInfo) -> str:
    """Return a zip member's name as people read it: Hangul decoded from CP949 and composed (NFC)."""
    flagged_utf8 = info.flag_bits & 0x800
    return unicodedata.normalize("NFC", info.filename) if flagged_utf8 else plain_hangul(info.filename)


def plain_hangul(name: str) -> str:
    """Undo a decoding as CP437 and compose Hangul (NFC).

    Archives made on Korean Windows contain CP949 names without the UTF-8 flag, which ``zipfile`` and ``unzip`` decode
    as CP437. Some tools write UTF-8 without the flag, so UTF-8 is tried first; CP949 Hangul is hardly ever valid UTF-8.
    A name that is not CP437 is returned unchanged.
    """
    if not name.isascii():
        for encoding in ("utf-8", "cp949"):
            try:
                name = name.encode("cp437").decode(encoding)
                break
            except UnicodeError:
                continue
    return unicodedata.normalize("NFC", name)


def split_path(path: str) -> tuple[str, str | None]:
    """Split ``a.zip!/b.jpg`` into archive and member name; the member is None for a plain file."""
    found = _INSIDE.search(path)
    if not found:
        return path, None
    member = path[found.end() :]
    # On Windows people may write the whole path with backslashes.
    return path[: found.end() - 2], member.replace("\\", "/") if found[0].endswith("\\") else member


def read_bytes(root: Path, path: str) -> bytes:
    """Return the bytes of the image at ``path`` (relative to ``root``, forward slashes, see the module).

    Archives stay open, a few per process; threads may share them. Raises ImageError with reason ``missing``,
    ``outside``, ``folder``, ``unreadable_archive``, ``encrypted``, ``corrupt``, ``too_large`` or ``empty``.
    """
    file, member = split_path(path)
    relative = relative_path(file, root)
    if relative is None:
        raise ImageError("outside", path)
    try:
        place = stored_path(root, relative)
        data = _plain(place) if member is None else _member(place, unicodedata.normalize("NFC", member))
    except OSError as error:
        # Windows reports that opening a folder is not permitted.
        if error.errno == errno.EISDIR or (error.errno == errno.EACCES and stored_path(root, relative).is_dir()):
            raise ImageError("folder", path) from None
        if error.errno not in _NO_SUCH_NAME:
            raise
        raise ImageError("missing", path) from None
    if not data:
        raise ImageError("empty", path)
    return data


def read_anywhere(path: str) -> bytes:
    """Return the bytes of any file or ``archive.zip!/member``, in or outside a workspace.

    Raises ImageError as ``read_bytes``.
    """
    file, member = split_path(path)
    if Path(file).name in ("", ".."):
        raise ImageError("folder" if Path(file).is_dir() else "missing", path)
    name = Path(file).name if member is None else f"{Path(file).name}!/{member}"
    return read_bytes(Path(file).absolute().parent, name)


def pixels_of(image: ImageSource) -> Pixels:
    """Return upright RGB pixels, uint8 [H, W, 3], of a path, bytes, PIL image or array.

    EXIF orientation is applied, and transparent pixels are shown over black, as the browser's canvas does.

    Args:
        image: a path (or ``archive.zip!/member``), the bytes of an image file, a PIL image, or a uint8 array H x W x 3
            (RGB), H x W x 4 (RGBA) or H x W (gray), upright.

    Raises:
        ImageError: the file, the bytes or the PIL image cannot be read.
        TypeError: ``image`` is none of these.
        ValueError: an array of another shape or dtype, or an array or PIL image without pixels.
    """
    if isinstance(image, str | Path):
        try:
            return decode(read_anywhere(str(image)))
        except ImageError as error:
            raise ImageError(error.reason, str(image)) from None
    if isinstance(image, bytes | bytearray | memoryview):
        return decode(bytes(image))
    if isinstance(image, Image.Image):
        return _pil_pixels(image)
    if isinstance(image, np.ndarray):
        # A subclass such as np.matrix indexes differently.
        return _array_pixels(np.asarray(image))
    raise TypeError(f"an image is a path, bytes, a PIL image or a NumPy array, not {type(image).__name__}")


def _pil_pixels(image: Image.Image) -> Pixels:
    if 0 in image.size:
        raise ValueError(f"a PIL image has pixels, not {image.size[0]} x {image.size[1]}")
    try:
        return _rgb_pixels(ImageOps.exif_transpose(image))
    except (OSError, ValueError, SyntaxError) as error:
        # An opened file is only read here; it may be damaged or closed, or have a mode that Pillow cannot convert.
        raise ImageError("corrupt", str(error)) from None


def _array_pixels(array: npt.NDArray[Any]) -> Pixels:
    channels = array.shape[2] if array.ndim == 3 else None
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (None, 3, 4) or not array.size:
        raise ValueError(
            "an image array is uint8 with values 0..255 and shape H x W x 3, H x W x 4 or H x W, not "
            f"{array.dtype} {' x '.join(map(str, array.shape))}"
        )
    if channels is None:
        return np.repeat(array[:, :, None], 3, axis=2)
    return array if channels == 3 else _over_black(array)


def _over_black(rgba: Pixels) -> Pixels:
    """Return RGBA pixels as a canvas without alpha has them; ``web/source.js`` rounds alike."""
    if (rgba[..., 3] == 255).all():
        return rgba[..., :3]
    return ((rgba[..., :3].astype(np.uint16) * rgba[..., 3:] + 127) // 255).astype(np.uint8)


def measure(data: bytes) -> Measure:
    """Return the upright size from the header, without decoding pixels.

    Raises ImageError as ``decode``, but for ``corrupt``.
    """
    image, orientation = _open(data)
    width, height = image.size
    return Measure(height, width, orientation) if orientation >= 5 else Measure(width, height, orientation)


def decode(data: bytes) -> Pixels:
    """Return upright RGB pixels, uint8 [H, W, 3].

    EXIF orientation is applied; gray, palette, CMYK and 16-bit images are converted; transparent pixels are shown over
    black; of an animation the first frame is taken.

    Raises ImageError with reason ``empty``, ``not_an_image``, ``needs_heif``, ``needs_codec``, ``camera_raw``,
    ``too_large`` or ``corrupt``. Half a JPEG is corrupt.
    """
    return decode_reduced(data, None).pixels


def decode_reduced(data: bytes, at_least: tuple[int, int] | None, *, keep_transparent: bool = False) -> Reduced:
    """Decode as ``decode`` does, but no larger than needed.

    Args:
        data: the bytes of an image file.
        at_least: a size (width, height in the upright frame) that is enough, or None for the full size. A JPEG
            is decoded at 1/2, 1/4 or 1/8, the smallest that still has that size; anything else comes in full.
        keep_transparent: whether to ignore transparency, as face-api.js does, instead of showing black behind it.
    """
    image, orientation = _open(data)
    width, height = image.size
    if at_least is not None:
        image.draft(None, at_least[::-1] if orientation >= 5 else at_least)
    divisor = round(width / image.size[0])
    try:
        if image.format in ("JPEG", "MPO") and not _has_end(data):
            raise ValueError("no end marker")
        pixels = _pixels(image, data, keep_transparent)
    except MemoryError:
        raise ImageError("too_large") from None
    except Exception as error:
        # Malformed data makes Pillow's readers raise nearly anything: OSError, SyntaxError, struct.error, ...
        raise ImageError("corrupt", str(error)) from None
    # The last reduced column may cover fewer than ``divisor`` full ones; a mirrored axis begins with it.
    beyond_x, beyond_y = image.size[0] * divisor - width, image.size[1] * divisor - height
    if orientation >= 5:
        beyond_x, beyond_y = beyond_y, beyond_x
    left = -beyond_x if orientation in (2, 3, 6, 7) else 0
    top = -beyond_y if orientation in (3, 4, 7, 8) else 0
    upright = _TURNS[orientation](pixels) if orientation in _TURNS else pixels
    return Reduced(upright, divisor, left, top)


def _plain(path: Path) -> bytes:
    if path.stat().st_size > MAX_BYTES:
        raise ImageError("too_large", str(path))
    return path.read_bytes()


def _member(path: Path, member: str) -> bytes:
    status = path.stat()
    try:
        archive, names = _archive(path, os.getpid(), status.st_mtime_ns, status.st_size)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise ImageError("unreadable_archive", f"{path}: {error}") from None
    info = names.get(member)
    if info is None:
        raise FileNotFoundError(errno.ENOENT, "no such member", f"{path}!/{member}")
    if info.flag_bits & 0x1:
        raise ImageError("encrypted", f"{path}!/{member}")
    if info.file_size > MAX_BYTES:
        raise ImageError("too_large", f"{path}!/{member}")
    try:
        return archive.read(info)
    except BROKEN_MEMBER as error:
        # A failing disk says nothing about the image; an offset before the archive's start (EINVAL) does.
        of_disk = getattr(error, "errno", None) not in (None, errno.EINVAL)
        raise ImageError("unreadable_archive" if of_disk else "corrupt", f"{path}!/{member}: {error}") from None


@lru_cache(maxsize=8)
def _archive(path: Path, pid: int, mtime: int, size: int) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
    # pid is part of the key because a forked process must not share its parent's file position. An archive evicted from
    # the cache is closed when its last reader releases it.
    archive = zipfile.ZipFile(path)
    names: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        names.setdefault(member_name(info), info)
    return archive, names


def _open(data: bytes) -> tuple[Image.Image, int]:
    if not data:
        raise ImageError("empty")
    formats = (*_FORMATS, "HEIF") if _brand(data) in _HEIF_BRANDS and _has_heif() else _FORMATS
    try:
        image = Image.open(io.BytesIO(data), formats=formats)
        orientation = _orientation(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError("too_large") from None
    except Exception:
        raise ImageError(_unopened(data)) from None
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError("too_large", f"{width}x{height} pixels")
    if image.format == "TIFF" and _is_raw(image):
        raise ImageError("camera_raw")
    return image, orientation


def _brand(data: bytes) -> bytes:
    """Return the brand of an ISO base media file, the container of HEIC and AVIF; empty for other data."""
    return data[8:12] if data[4:8] == b"ftyp" else b""


@cache
def _has_heif() -> bool:
    # Loaded for the first HEIC picture only: it costs a tenth of a second.
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def _unopened(data: bytes) -> str:
    """Return the reason why Pillow does not open a file."""
    if _brand(data) in _HEIF_BRANDS:
        return "corrupt" if _has_heif() else "needs_heif"
    codec = "avif" if _brand(data) in _AVIF_BRANDS else _CODECS.get(data[:4])
    return "needs_codec" if codec and not features.check(codec) else "not_an_image"


def _is_raw(tiff: Image.Image) -> bool:
    # Raw files of cameras are TIFFs whose first picture is a thumbnail.
    tags = getattr(tiff, "tag_v2", {})
    return _DNG_VERSION in tags or bool(tags.get(_TIFF_SUBFILE, 0) & 1)


def _orientation(image: Image.Image) -> int:
    # Image.getexif would also read XMP, which browsers ignore.
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif") or b"")
        value = exif.get(_ORIENTATION_TAG, 0)
    except Exception:
        # Damaged EXIF is common and no reason to lose the photograph.
        return 0
    return value if isinstance(value, int) and 1 <= value <= 8 else 0


def _pixels(image: Image.Image, data: bytes, keep_transparent: bool) -> Pixels:
    """Decode an opened image into uint8 [h, w, 3] as stored, at the size that ``image`` was set to."""
    if image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L"):
        try:
            # Uses the same libjpeg-turbo as Pillow and gives the same pixels without two copies, in half the time.
            width, height = image.size
            decoded: Pixels = simplejpeg.decode_jpeg(data, min_width=width, min_height=height, min_factor=1)
            return decoded
        except ValueError:
            pass  # Pillow below either tolerates it or reports the error
    image.load()
    return _rgb_pixels(image, keep_transparent)


def _rgb_pixels(image: Image.Image, keep_transparent: bool = False) -> Pixels:
    if image.mode.startswith("I"):
        # Pillow would clip 16-bit gray at 255; the high byte is what a screen shows.
        high = np.asarray(image).astype(np.int64) >> 8
        image = Image.fromarray(np.clip(high, 0, 255).astype(np.uint8))
    if image.has_transparency_data and not keep_transparent:
        return _over_black(np.asarray(image.convert("RGBA")))
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _has_end(jpeg: bytes) -> bool:
    """Return whether a JPEG has an end marker after its first scan.

    libjpeg fills missing data with gray when a download stopped in a preallocated (zero-filled) file.
    """
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        if jpeg[at + 1] == 0xFF:
            at += 1
        elif jpeg[at + 1] == 0xDA:
            return jpeg.rfind(b"\xff\xd9", at) >= 0
        else:
            at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return False
