import errno
import io
import pickle
import struct
import unicodedata
import zipfile
import zlib
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import numpy.typing as npt
import pytest
import simplejpeg
from PIL import Image, features

from pyojeong.core import images
from pyojeong.core.errors import InputError
from pyojeong.core.images import (
    ImageError,
    Measure,
    Pixels,
    decode,
    decode_reduced,
    measure,
    member_name,
    pixels_of,
    read_bytes,
    split_path,
)
from tests import archives

UPRIGHT = np.repeat(
    np.repeat(np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[255, 255, 0], [0, 0, 0], [255, 255, 255]]]), 16, 0),
    16,
    1,
).astype(np.uint8)  # 32 high, 48 wide: six colors, no symmetry

# How a camera stores the upright picture under each EXIF orientation (TIFF 6.0, tag 274: where row 0 and
# column 0 of the stored picture lie in the upright one).
STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],  # row 0 top, column 0 right
    3: UPRIGHT[::-1, ::-1],  # bottom, right
    4: UPRIGHT[::-1],  # bottom, left
    5: UPRIGHT.swapaxes(0, 1),  # row 0 left, column 0 top
    6: UPRIGHT[:, ::-1].swapaxes(0, 1),  # row 0 right, column 0 top
    7: UPRIGHT[::-1, ::-1].swapaxes(0, 1),  # row 0 right, column 0 bottom
    8: UPRIGHT[::-1].swapaxes(0, 1),  # row 0 left, column 0 bottom
}


def encoded(pixels: npt.NDArray[Any], kind: str = "JPEG", orientation: int | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(pixels))
    more: dict[str, object] = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    image.save(file, kind, exif=exif, **(more | options))
    return file.getvalue()


def noise(width: int, height: int) -> Pixels:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)


def reason_of(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data)
    return caught.value.reason


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_upright(kind: str, orientation: int) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(STORED[orientation], kind, orientation, **options)
    pixels = decode(data)
    assert pixels.dtype == np.uint8
    assert pixels.shape == UPRIGHT.shape
    assert np.abs(pixels.astype(int) - UPRIGHT)[8::16, 8::16].max() <= 4
    assert measure(data) == Measure(48, 32, orientation)


@pytest.mark.parametrize("orientation", [None, 0, 9, 65535])
def test_an_absent_or_impossible_orientation_leaves_the_picture_alone(orientation: int | None) -> None:
    data = encoded(UPRIGHT, orientation=orientation)
    assert measure(data) == Measure(48, 32, 0)
    assert decode(data).shape == UPRIGHT.shape


def test_damaged_exif_does_not_lose_the_photograph() -> None:
    data = encoded(UPRIGHT, orientation=6)
    at = data.index(b"Exif\0\0")
    broken = data[: at + 6] + b"\xff" * 12 + data[at + 18 :]
    assert decode(broken).shape == UPRIGHT.shape


def test_other_kinds_of_pixels_become_rgb() -> None:
    gray = np.tile(np.arange(256, dtype=np.uint8), (8, 1))
    as_rgb = np.repeat(gray[..., None], 3, 2)
    assert (decode(encoded(gray, "PNG")) == as_rgb).all()
    assert (decode(encoded(gray.astype(np.uint16) * 257, "PNG")) == as_rgb).all(), "16-bit gray keeps its high byte"
    palette = io.BytesIO()
    Image.fromarray(UPRIGHT).quantize(16).save(palette, "PNG")
    assert (decode(palette.getvalue()) == UPRIGHT).all()
    with_alpha = np.dstack([UPRIGHT, np.full(UPRIGHT.shape[:2], 128, np.uint8)])
    assert (decode(encoded(with_alpha, "PNG")) == np.round(UPRIGHT * (128 / 255))).all(), "over black, as in browsers"
    cmyk = io.BytesIO()
    Image.fromarray(UPRIGHT).convert("CMYK").save(cmyk, "JPEG", quality=100)
    assert np.abs(decode(cmyk.getvalue()).astype(int) - UPRIGHT)[8::16, 8::16].max() <= 6


@pytest.mark.parametrize(
    "options", [{"subsampling": way} for way in range(3)] + [{"progressive": True}, {"quality": 30}]
)
@pytest.mark.parametrize("pixels", [noise(83, 57), noise(1, 1), noise(17, 9)[..., 0]], ids=["rgb", "dot", "gray"])
def test_the_fast_jpeg_reader_gives_pillow_s_pixels(
    pixels: Pixels, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(pixels, orientation=6, **options)
    fast = decode(data)
    with monkeypatch.context() as patched:
        patched.setattr(simplejpeg, "decode_jpeg", lambda *_, **__: pytest.fail("read by the fast reader"))
        with pytest.raises(pytest.fail.Exception):
            decode(data)

    monkeypatch.setattr(simplejpeg, "decode_jpeg", refuse)
    assert np.array_equal(decode(data), fast)


def refuse(*_: Any, **__: Any) -> Pixels:
    raise ValueError


@pytest.mark.parametrize("options", [{"subsampling": way} for way in range(3)] + [{"progressive": True, "quality": 40}])
@pytest.mark.parametrize("at_least", [(20, 30), (60, 80), (101, 140), (400, 500)])
@pytest.mark.parametrize("size", [(411, 523), (1000, 801)])
def test_the_fast_jpeg_reader_gives_pillow_s_reduced_pixels_too(
    size: tuple[int, int], at_least: tuple[int, int], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(noise(*size), orientation=8, **options)
    fast = decode_reduced(data, at_least)
    monkeypatch.setattr(simplejpeg, "decode_jpeg", refuse)
    slow = decode_reduced(data, at_least)
    assert fast[1:] == slow[1:]
    assert np.array_equal(fast.pixels, slow.pixels)


def test_an_animation_gives_its_first_frame() -> None:
    file = io.BytesIO()
    first, second = Image.new("RGB", (9, 5), (255, 0, 0)), Image.new("RGB", (9, 5), (0, 0, 255))
    first.save(file, "GIF", save_all=True, append_images=[second])
    assert (decode(file.getvalue()) == (255, 0, 0)).all()


def test_half_a_jpeg_is_corrupt_wherever_it_is_cut() -> None:
    data = encoded(noise(200, 150), orientation=6, progressive=False)
    start = data.index(b"\xff\xda")
    for share in (0.02, 0.3, 0.7, 0.99, 0.9999):
        half = data[: start + int((len(data) - start) * share)]
        assert reason_of(half) == "corrupt"
        assert reason_of(half + bytes(len(data) - len(half))) == "corrupt", "a download into a zero-filled file"


def test_what_follows_the_end_of_a_jpeg_does_not_matter() -> None:
    data = encoded(UPRIGHT)
    assert (decode(data + b"\xff\xda" + bytes(range(200))) == decode(data)).all()


def test_bytes_that_are_no_image_have_a_reason() -> None:
    assert reason_of(b"") == "empty"
    assert reason_of(b"hello") == "not_an_image"
    assert reason_of(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n") == "not_an_image"
    assert reason_of(encoded(UPRIGHT)[:10]) == "not_an_image"
    assert reason_of(encoded(noise(60, 60), "PNG")[:3000]) == "corrupt"
    with pytest.raises(ImageError, match="the file is empty"):
        measure(b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [10_000, 60_000])
def test_a_decompression_bomb_is_refused_by_its_header(side: int) -> None:
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(9)))]
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    assert reason_of(bomb) == "too_large"
    with pytest.raises(ImageError, match="more than 89 million pixels"):
        measure(bomb)


@pytest.mark.parametrize(("enough", "divisor"), [((100, 75), 8), ((101, 75), 4), ((400, 300), 2), ((500, 10), 1)])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_reduced_decoding_is_big_enough_and_knows_its_place(
    enough: tuple[int, int], divisor: int, orientation: int
) -> None:
    width, height = 803, 605
    upright = np.asarray(Image.fromarray(noise(8, 6)).resize((width, height), Image.Resampling.BICUBIC))
    turned = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}.get(orientation, (1, 1))
    stored = upright[:: turned[0], :: turned[1]]
    data = encoded(stored.swapaxes(0, 1) if orientation >= 5 else stored, orientation=orientation)
    found = decode_reduced(data, enough)
    assert found.divisor == divisor
    assert found.pixels.shape == (-(-height // divisor), -(-width // divisor), 3)
    assert found.pixels.shape[1] >= enough[0]
    assert found.pixels.shape[0] >= enough[1]
    # Every inner pixel is the mean of its own block of the full image; one column off would give 1.0 and more.
    rows, columns = (size - 2 for size in found.pixels.shape[:2])
    top, left = found.top + divisor, found.left + divisor
    blocks = upright[top : top + rows * divisor, left : left + columns * divisor]
    means = blocks.reshape(rows, divisor, columns, divisor, 3).mean((1, 3))
    assert np.abs(found.pixels[1:-1, 1:-1] - means).mean() < 0.7


def test_what_cannot_be_reduced_comes_in_full() -> None:
    found = decode_reduced(encoded(UPRIGHT, "PNG"), (1, 1))
    assert (found.pixels == UPRIGHT).all()
    assert found[1:] == (1, 0, 0)


def test_a_path_splits_at_the_archive() -> None:
    assert split_path("data_raw/a.jpg") == ("data_raw/a.jpg", None)
    assert split_path("data_raw/[원천]a.ZIP!/b/c.jpg") == ("data_raw/[원천]a.ZIP", "b/c.jpg")
    assert split_path("what!/a.jpg") == ("what!/a.jpg", None)
    assert split_path("İstanbul/a.zip!/b.jpg") == ("İstanbul/a.zip", "b.jpg"), "İ has two characters in lower case"


@pytest.mark.parametrize("cp949", [True, False])
def test_members_are_found_by_their_composed_hangul_name(tmp_path: Path, cp949: bool) -> None:
    archives.write_zip(tmp_path / "사진.zip", {"폴더/기쁨 하나.jpg": b"one", "plain.jpg": b"two"}, cp949=cp949)
    assert read_bytes(tmp_path, "사진.zip!/폴더/기쁨 하나.jpg") == b"one"
    assert read_bytes(tmp_path, "사진.zip!/plain.jpg") == b"two"


def test_decomposed_and_unflagged_utf8_names_are_found_too(tmp_path: Path) -> None:
    class Unflagged(zipfile.ZipInfo):
        __slots__ = ()

        def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802
            return self.filename.encode(), 0

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(unicodedata.normalize("NFD", "슬픔.jpg"), b"mac")
        archive.writestr(Unflagged("당황.jpg"), b"no flag")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert [member_name(info) for info in archive.infolist()] == ["슬픔.jpg", "당황.jpg"]
    assert read_bytes(tmp_path, "a.zip!/슬픔.jpg") == b"mac"
    assert read_bytes(tmp_path, unicodedata.normalize("NFD", "a.zip!/당황.jpg")) == b"no flag"
    assert read_bytes(tmp_path, "a.zip!/당황.jpg") == b"no flag"


def test_a_table_from_macos_finds_its_files(tmp_path: Path) -> None:
    (tmp_path / "기쁨.jpg").write_bytes(b"plain")
    archives.write_zip(tmp_path / "한글.zip", {"슬픔.jpg": b"within"})
    for path, content in {"기쁨.jpg": b"plain", "한글.zip!/슬픔.jpg": b"within"}.items():
        assert read_bytes(tmp_path, unicodedata.normalize("NFD", path)) == content
    (tmp_path / unicodedata.normalize("NFD", "기쁨.jpg")).write_bytes(b"its own")
    assert read_bytes(tmp_path, unicodedata.normalize("NFD", "기쁨.jpg")) == b"its own"
    with pytest.raises(ImageError, match="no such image file"):
        read_bytes(tmp_path, unicodedata.normalize("NFD", "없음.jpg"))


def test_what_cannot_be_read_has_a_reason(tmp_path: Path) -> None:
    good = archives.write_zip(tmp_path / "good.zip", {"a.jpg": b"x" * 5000, "empty.jpg": b""}).read_bytes()
    (tmp_path / "half.zip").write_bytes(good[:2500])
    (tmp_path / "rotten.zip").write_bytes(good.replace(b"xxxx", b"yyyy", 1))
    locked = good.replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00", 1)
    (tmp_path / "locked.zip").write_bytes(locked)
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "circle.jpg").symlink_to("circle.jpg")
    expected = {
        "no.jpg": "missing",
        "folder.jpg": "folder",
        "empty.jpg/a.jpg": "missing",
        f"{'long' * 100}.jpg": "missing",
        "circle.jpg": "missing",
        "no.zip!/a.jpg": "missing",
        "good.zip!/b.jpg": "missing",
        "../a.jpg": "outside",
        "/etc/passwd": "outside",
        "../a.zip!/a.jpg": "outside",
        "half.zip!/a.jpg": "unreadable_archive",
        "rotten.zip!/a.jpg": "corrupt",
        "locked.zip!/a.jpg": "encrypted",
        "empty.jpg": "empty",
        "good.zip!/empty.jpg": "empty",
    }
    for path, reason in expected.items():
        with pytest.raises(ImageError) as caught:
            read_bytes(tmp_path, path)
        assert caught.value.reason == reason, path


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.EIO, "Input/output error"), "unreadable_archive"),
        (MemoryError(), "corrupt"),  # LZMA may claim 4 GiB
        (OSError(errno.EINVAL, "Invalid argument"), "corrupt"),  # an archive that names a place before its start
        (OSError("Invalid data stream"), "corrupt"),
    ],
)
def test_a_disk_that_fails_says_nothing_about_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    archives.write_zip(tmp_path / "a.zip", {"a.jpg": b"x"})
    monkeypatch.setattr(zipfile.ZipFile, "read", Mock(side_effect=error))
    with pytest.raises(ImageError) as caught:
        read_bytes(tmp_path, "a.zip!/a.jpg")
    assert caught.value.reason == reason


def test_a_replaced_archive_is_read_anew(tmp_path: Path) -> None:
    archives.write_zip(tmp_path / "a.zip", {"a.jpg": b"old"})
    assert read_bytes(tmp_path, "a.zip!/a.jpg") == b"old"
    archives.write_zip(tmp_path / "a.zip", {"a.jpg": b"newer"})
    assert read_bytes(tmp_path, "a.zip!/a.jpg") == b"newer"


def test_an_image_error_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(ImageError("corrupt", "line: 3")))
    assert (error.reason, str(error)) == ("corrupt", "line: 3: the image is damaged and cannot be decoded to its end")


@pytest.mark.parametrize("start", ["fork", "spawn", "threads"])
def test_processes_and_threads_share_archives_safely(tmp_path: Path, start: str) -> None:
    archives.write_zip(tmp_path / "a.zip", {f"{number}.jpg": bytes([number]) * 20_000 for number in range(40)})
    read = partial(read_bytes, tmp_path)
    assert read("a.zip!/0.jpg"), "opened here first, so that a forked process inherits the cache"
    if start == "threads":
        pool: ThreadPoolExecutor | ProcessPoolExecutor = ThreadPoolExecutor(4)
    else:
        pool = ProcessPoolExecutor(2, mp_context=get_context(start))
    with pool:
        for number, data in enumerate(pool.map(read, [f"a.zip!/{number}.jpg" for number in range(40)])):
            assert data == bytes([number]) * 20_000


def test_every_kind_of_image_gives_the_same_pixels(tmp_path: Path) -> None:
    pixels = noise(40, 30)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "a.png")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a.png", "폴더/하나.png")
    for source in (
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        f"{tmp_path}/a.zip!/폴더/하나.png",
        (tmp_path / "a.png").read_bytes(),
        image,
        image.convert("RGBA"),
        pixels,
        np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], axis=2),
    ):
        found = pixels_of(source)
        assert found.dtype == np.uint8
        assert np.array_equal(found, pixels)


def test_gray_arrays_and_pictures_become_rgb() -> None:
    gray = noise(9, 7)[:, :, 0]
    expected = np.stack([gray] * 3, axis=2)

    assert np.array_equal(pixels_of(gray), expected)
    assert np.array_equal(pixels_of(Image.fromarray(gray)), expected)


def test_the_orientation_of_a_pillow_image_is_applied() -> None:
    data = encoded(UPRIGHT, orientation=6)

    assert np.array_equal(pixels_of(Image.open(io.BytesIO(data))), decode(data))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 4, 3)), "float64 4 x 4 x 3"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((3, 4, 4), np.uint8)[None], "uint8 1 x 3 x 4 x 4"),
        (np.zeros((4, 4, 2), np.uint8), "4 x 4 x 2"),
        (np.zeros((4, 4, 1), np.uint8), "4 x 4 x 1"),
        (np.zeros(4, np.uint8), "uint8 4"),
        (np.zeros((0, 4, 3), np.uint8), "0 x 4 x 3"),
        (np.zeros((4, 4), bool), "bool"),
    ],
)
def test_other_arrays_are_refused_with_what_is_wanted(array: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=rf"uint8 with values 0\.\.255 and shape H x W x 3.*not .*{words}"):
        pixels_of(array)


@pytest.mark.parametrize("thing", [None, 3, ["a.png"], io.BytesIO(b"x")])
def test_other_types_are_refused(thing: Any) -> None:
    with pytest.raises(TypeError, match="an image is a path, bytes, a PIL image or a NumPy array, not"):
        pixels_of(thing)


def test_other_bytes_and_a_matrix_are_taken_as_they_are() -> None:
    file = io.BytesIO()
    Image.new("RGB", (4, 3), "red").save(file, "PNG")
    for data in (bytearray(file.getvalue()), memoryview(file.getvalue())):
        assert pixels_of(data).shape == (3, 4, 3)
    matrix = np.array([[7, 8]], np.uint8).view(np.matrix)
    assert pixels_of(matrix).tolist() == [[[7] * 3, [8] * 3]]


def test_a_pil_image_that_cannot_be_read_is_an_input_error(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:-40])
    closed = Image.open(io.BytesIO(b"P6 1 1 255 abc"))
    closed.close()
    for image in (Image.open(tmp_path / "a.png"), closed):
        with pytest.raises(ImageError, match="the image is damaged"):
            pixels_of(image)
    with pytest.raises(ValueError, match="a PIL image has pixels, not 0 x 4"):
        pixels_of(Image.new("RGB", (0, 4)))


@pytest.mark.parametrize("path", ["", ".", "/", ".."])
def test_a_folder_is_no_image_file(path: str) -> None:
    with pytest.raises(ImageError, match="is a folder; name the images in it"):
        pixels_of(path)


def test_a_path_that_cannot_be_read_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"hello")
    for name, words in (("bad.jpg", "convert it to JPEG or PNG"), ("none.jpg", "no such image file")):
        with pytest.raises(InputError, match=rf"{name}: .*{words}"):
            pixels_of(tmp_path / name)
    with pytest.raises(ImageError, match="not an image in a supported format"):
        pixels_of(b"hello")


@pytest.mark.parametrize("alpha", [0, 1, 7, 128, 254])
def test_transparent_pixels_are_shown_over_black_in_every_kind_of_image(alpha: int) -> None:
    pixels = noise(40, 30)
    rgba = np.dstack([pixels, np.full(pixels.shape[:2], alpha, np.uint8)])
    # As web/source.js computes it.
    expected = np.floor(pixels.astype(float) * alpha / 255 + 0.5).astype(np.uint8)
    for source in (rgba, Image.fromarray(rgba), encoded(rgba, "PNG")):
        assert np.array_equal(pixels_of(source), expected)


@pytest.mark.parametrize(
    ("kind", "codec", "options"),
    [
        ("TIFF", "libtiff", {"compression": "tiff_lzw"}),
        ("JPEG2000", "jpg_2000", {}),
        ("AVIF", "avif", {"quality": 100, "subsampling": "4:4:4"}),
    ],
)
def test_the_formats_of_archives_and_phones_are_read(kind: str, codec: str, options: dict[str, Any]) -> None:
    if not features.check(codec):
        pytest.skip(f"this Pillow has no {codec}")
    data = io.BytesIO()
    Image.fromarray(UPRIGHT).save(data, kind, **options)

    assert measure(data.getvalue())[:2] == (UPRIGHT.shape[1], UPRIGHT.shape[0])
    assert np.abs(decode(data.getvalue()).astype(int) - UPRIGHT).max() <= 3


@pytest.mark.parametrize("kind", ["TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_their_orientation_is_applied_once(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    # 64 x 48 stored pixels, the left half red.
    stored = np.zeros((48, 64, 3), np.uint8)
    stored[:, :32, 0] = 255
    data = io.BytesIO()
    Image.fromarray(stored).save(data, kind, exif=exif)
    upright = decode(data.getvalue())

    turned = {1: stored, 3: stored[::-1, ::-1], 6: np.rot90(stored, -1), 8: np.rot90(stored, 1)}[orientation]
    assert upright.shape == turned.shape == (measure(data.getvalue()).height, measure(data.getvalue()).width, 3)
    assert np.abs(upright.astype(int) - turned).mean() < 12


def test_heic_is_read_with_its_extra_and_named_without(monkeypatch: pytest.MonkeyPatch) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    data = io.BytesIO()
    Image.fromarray(UPRIGHT).save(data, "HEIF", quality=95)

    assert np.abs(decode(data.getvalue()).astype(int) - UPRIGHT).mean() < 12
    assert reason_of(data.getvalue()[:400]) == "corrupt"
    monkeypatch.setattr(images, "_has_heif", lambda: False)
    with pytest.raises(
        ImageError, match=r"a HEIC picture needs the package pillow-heif; pip install 'pyojeong\[heif\]'"
    ):
        decode(data.getvalue())


def test_a_picture_that_this_pillow_cannot_decode_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda codec: False)
    for start in (b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", b"\0\0\0 ftypavif"):
        assert reason_of(start + b"?" * 50) == "needs_codec"
    assert reason_of(b"?" * 50) == "not_an_image"


def test_a_camera_s_raw_file_is_not_taken_for_its_thumbnail() -> None:
    for tag, value in ((254, 1), (50706, b"\x01\x04\0\0")):
        data = io.BytesIO()
        Image.fromarray(UPRIGHT).save(data, "TIFF", tiffinfo={tag: value})
        assert reason_of(data.getvalue()) == "camera_raw"
