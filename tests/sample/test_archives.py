import hashlib
import io
import json
import re
import zipfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageOps

from pyojeong.core.errors import InputError
from pyojeong.core.labels import KOREAN, UNKNOWN
from pyojeong.sample import archives as module
from pyojeong.sample.archives import MARKER, draw_sample
from pyojeong.sample.plan import DEFECTS, PLACES, plan

NAME = re.compile(
    r"(?P<person>[0-9a-f]{64})_(?P<gender>[남여])_(?P<age>\d+)_(?P<label>[가-힣]{2})"
    r"_(?P<place>[^_]+)_(?P<taken>\d{14})-\d{3}-\d{3}\.jpe?g"
)
CORNERS = ("minX", "minY", "maxX", "maxY")


def ramp(person, expression, *, size, pose, outdoors, rng):
    """Stand in for a drawing where a test is about archives: red grows to the right, green grows downwards."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, size[0])[None, :]
    pixels[..., 1] = np.linspace(0, 255, size[1])[:, None]
    return pixels, (0.0, 0.0, 1.0, 1.0)


@pytest.fixture
def flat_pictures(monkeypatch):
    monkeypatch.setattr(module, "draw_photo", ramp)


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """A small data set without drawings, and what draw_sample says of it."""
    out = tmp_path_factory.mktemp("flat")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "draw_photo", ramp)
        return out, draw_sample(out, people=6, seed=3)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A small data set with real drawings."""
    out = tmp_path_factory.mktemp("drawn")
    return out, draw_sample(out, people=6, seed=3)


def korean(info):
    return info.filename.encode("cp437").decode("cp949")


def archives(out, kind):
    return sorted(path for path in out.rglob("*.zip") if path.name.startswith(kind))


def images(out):
    """File name -> bytes, over all image archives."""
    found: dict[str, bytes] = {}
    for path in archives(out, "[원천]"):
        with zipfile.ZipFile(path) as archive:
            found |= {korean(info): archive.read(info) for info in archive.infolist()}
    return found


def records(out):
    """Every record, over all label archives."""
    found = []
    for path in archives(out, "[라벨]"):
        with zipfile.ZipFile(path) as archive:
            (info,) = archive.infolist()
            found += json.loads(text(archive.read(info))[0])
    return found


def text(data):
    for encoding in ("utf-8-sig", "euc_kr"):
        try:
            return data.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    raise AssertionError("neither UTF-8 nor EUC-KR")


def digests(out):
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in out.rglob("*")
        if path.is_file()
    }


def box(record, annotator="A"):
    return [record[f"annot_{annotator}"]["boxes"][corner] for corner in CORNERS]


def agreement(votes):
    """The label that two of three votes share, and how many share it."""
    return Counter(votes).most_common(1)[0]


def test_archives_are_packed_as_ai_hub_packs_them(flat):
    out, summary = flat
    assert json.loads((out / MARKER).read_text(encoding="utf-8")) == summary
    assert summary["synthetic"] is True
    assert (summary["people"], summary["seed"]) == (6, 3)
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files == {MARKER, *summary["archives"]}
    for label in KOREAN:
        assert f"Training/[라벨]EMOIMG_{label}_TRAIN.zip" in files
        assert f"Training/[원천]EMOIMG_{label}_TRAIN_01.zip" in files
        assert f"Validation/[라벨]EMOIMG_{label}_VALID.zip" in files
        assert f"Validation/[원천]EMOIMG_{label}_VALID.zip" in files
    for path in out.rglob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            assert not any(info.flag_bits & 0x800 for info in archive.infolist())
            assert {info.date_time for info in archive.infolist()} == {(2021, 3, 1, 0, 0, 0)}


def test_many_photographs_of_a_label_are_spread_over_numbered_archives(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "jpeg", lambda photo: photo.name.encode())
    summary = draw_sample(tmp_path, people=60, seed=1)
    stem = "Training/[원천]EMOIMG_기쁨_TRAIN_"
    parts = [name for name in summary["archives"] if name.startswith(stem)]
    assert parts == [f"{stem}{number:02d}.zip" for number in range(1, len(parts) + 1)]
    counts = [len(zipfile.ZipFile(tmp_path / part).infolist()) for part in parts]
    assert counts[:-1] == [60] * (len(parts) - 1)
    planned = [p for p in plan(60, 1) if (p.part, p.label) == ("Training", "기쁨")]
    assert sum(counts) == sum(photo.defect != "record_without_image" for photo in planned)


def test_file_names_and_records_say_the_same(flat):
    out, _ = flat
    for path in archives(out, "[라벨]"):
        label = path.name.split("_")[1]
        with zipfile.ZipFile(path) as archive:
            (info,) = archive.infolist()
            part = "training" if path.parent.name == "Training" else "validation"
            assert korean(info) == f"img_emotion_{part}_data({label}).json"
            for record in json.loads(text(archive.read(info))[0]):
                name = NAME.fullmatch(record["filename"])
                assert name is not None
                assert (name["gender"], int(name["age"])) == (record["gender"], record["age"])
                assert name["label"] == record["faceExp_uploader"] == label
                assert name["place"] == record["bg_uploader"]
                assert record["bg_uploader"] in PLACES
                assert record["isProf"] in ("일반인", "전문인")
                for annotator in "ABC":
                    assert set(record[f"annot_{annotator}"]) == {"boxes", "faceExp", "bg"}
                    assert set(record[f"annot_{annotator}"]["boxes"]) == set(CORNERS)


def test_labels_come_in_utf8_and_in_euc_kr(flat):
    out, _ = flat
    seen, marks = set(), 0
    for path in archives(out, "[라벨]"):
        with zipfile.ZipFile(path) as archive:
            data = archive.read(archive.infolist()[0])
        seen.add(text(data)[1])
        marks += data.startswith(b"\xef\xbb\xbf")
    assert seen == {"utf-8-sig", "euc_kr"}
    assert 0 < marks < len(archives(out, "[라벨]")) / 2


def test_every_defect_is_there_and_listed(flat):
    out, listed = flat[0], flat[1]["defects"]
    assert set(listed) == set(DEFECTS)
    assert all(listed.values())
    pictures, by_name = images(out), {record["filename"]: record for record in records(out)}
    sizes = {photo.name: photo.size for photo in plan(6, 3)}
    for name in listed["corrupt_image"]:
        with pytest.raises(OSError, match="truncated"):
            Image.open(io.BytesIO(pictures[name])).load()
    assert set(by_name) - set(pictures) == set(listed["record_without_image"])
    assert set(pictures) - set(by_name) == set(listed["image_without_record"])
    for name in listed["zero_area_box"]:
        assert all(box(by_name[name], annotator)[0] == box(by_name[name], annotator)[2] for annotator in "ABC")
    for name in listed["negative_box"]:
        assert all(box(by_name[name], annotator)[0] < 0 < box(by_name[name], annotator)[2] for annotator in "ABC")
    for name in listed["outside_box"]:
        assert all(box(by_name[name], annotator)[0] > sizes[name][0] for annotator in "ABC")
    for name in listed["tiny_box"]:
        left, top, right, bottom = box(by_name[name])
        assert (right - left, bottom - top) == (3, 4)
    for name in listed["one_bad_box"]:
        areas = [(r - l) * (b - t) for l, t, r, b in (box(by_name[name], annotator) for annotator in "ABC")]  # noqa: E741
        assert areas[0] == 0
        assert min(areas[1:]) > 10_000
    for name in listed["unknown"]:
        votes = [by_name[name][f"annot_{annotator}"]["faceExp"] for annotator in "ABC"]
        assert agreement(votes) == (UNKNOWN, 2)


def test_all_other_pictures_are_whole_and_all_other_boxes_inside(flat):
    out, listed = flat[0], flat[1]["defects"]
    spoiled = {name for names in listed.values() for name in names}
    sizes = {photo.name: photo.size for photo in plan(6, 3)}
    for name, data in images(out).items():
        if name not in listed["corrupt_image"]:
            assert ImageOps.exif_transpose(Image.open(io.BytesIO(data))).size == sizes[name]
    for record in records(out):
        if record["filename"] in spoiled:
            continue
        boxes = np.array([box(record, annotator) for annotator in "ABC"])
        width, height = sizes[record["filename"]]
        assert (boxes >= 0).all()
        assert (boxes <= [width, height, width, height]).all()
        assert np.ptp(boxes, axis=0).max() < 0.08 * (boxes[0, 2] - boxes[0, 0])
    jitter = [np.ptp([box(r, a)[0] for a in "ABC"]) for r in records(out) if r["filename"] not in spoiled]
    assert np.median(jitter) > 1


def test_stored_pixels_are_turned_so_that_exif_turns_them_back(flat_pictures, tmp_path, monkeypatch):
    turned: Counter[int | None] = Counter()
    monkeypatch.setattr("pyojeong.sample.plan.ORIENTATIONS", {1: 1, None: 1, 2: 1, 3: 1, 4: 1, 8: 1})
    draw_sample(tmp_path, people=6, seed=3)
    for data in images(tmp_path).values():
        try:
            image = Image.open(io.BytesIO(data))
            image.load()
        except OSError:
            continue
        upright = np.asarray(ImageOps.exif_transpose(image)).astype(int)
        assert upright[9, -9, 0] > upright[9, 9, 0] + 150
        assert upright[-9, 9, 1] > upright[9, 9, 1] + 150
        turned[image.getexif().get(0x0112)] += 1
    assert set(turned) == {1, None, 2, 3, 4, 8}


def test_a_second_run_does_nothing_and_a_broken_off_one_goes_on(flat_pictures, tmp_path, monkeypatch):
    summary = draw_sample(tmp_path, people=6, seed=3)
    before = digests(tmp_path)
    lost = tmp_path / "Training" / "[원천]EMOIMG_불안_TRAIN_01.zip"
    lost.unlink()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.zip")}
    assert draw_sample(tmp_path, people=6, seed=3) == summary
    assert digests(tmp_path) == before
    assert {path: path.stat().st_mtime_ns for path in kept} == kept

    def never(*_, **__):
        raise AssertionError("there is nothing to draw")

    monkeypatch.setattr(module, "draw_photo", never)
    assert draw_sample(tmp_path, people=6, seed=3) == summary


def test_a_failure_leaves_whole_archives_only(flat_pictures, tmp_path, monkeypatch):
    drawn_already: list[int] = []

    def until_the_disk_is_full(*args, **options):
        drawn_already.append(1)
        if len(drawn_already) > 40:
            raise OSError(28, "No space left on device")
        return ramp(*args, **options)

    monkeypatch.setattr(module, "draw_photo", until_the_disk_is_full)
    with pytest.raises(OSError, match="No space left"):
        draw_sample(tmp_path, people=6, seed=3)
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != MARKER]
    assert left
    for path in left:
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None


def test_other_settings_and_foreign_folders_are_refused(flat_pictures, tmp_path):
    ours, foreign, file = tmp_path / "ours", tmp_path / "foreign", tmp_path / "file"
    draw_sample(ours, people=6, seed=3)
    with pytest.raises(InputError, match=r"people 6, seed 3.*--out"):
        draw_sample(ours, people=7, seed=3)
    with pytest.raises(InputError, match="people 6, seed 3"):
        draw_sample(ours, people=6, seed=4)
    foreign.mkdir()
    (foreign / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(InputError, match="not empty"):
        draw_sample(foreign, people=6)
    assert [path.name for path in foreign.iterdir()] == ["holiday.jpg"]
    file.write_bytes(b"")
    with pytest.raises(InputError, match="is a file"):
        draw_sample(file, people=6)


@pytest.mark.parametrize(
    ("options", "word"), [({"people": 5}, "at least 6"), ({"seed": -1}, "--seed -1"), ({"workers": 0}, "--workers 0")]
)
def test_numbers_out_of_range_are_refused_before_anything_is_written(options, word, tmp_path):
    with pytest.raises(InputError, match=word):
        draw_sample(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_bytes_depend_on_the_seed_and_not_on_the_workers(drawn, tmp_path):
    out, _ = drawn
    draw_sample(tmp_path / "again", people=6, seed=3, workers=2)
    assert digests(tmp_path / "again") == digests(out)
    first = plan(6, 3)[0]
    other = plan(6, 4)[0]
    assert module.jpeg(first) != module.jpeg(other)


@pytest.mark.slow
def test_faces_lie_in_their_boxes_once_exif_is_applied(drawn):
    out, summary = drawn
    spoiled = {name for names in summary["defects"].values() for name in names}
    pictures, turned = images(out), 0
    for record in records(out):
        if record["filename"] in spoiled:
            continue
        image = Image.open(io.BytesIO(pictures[record["filename"]]))
        turned += image.getexif().get(0x0112, 1) != 1
        left, top, right, bottom = box(record)
        upright = ImageOps.exif_transpose(image)
        # Below the eyes lie nose and mouth: skin and lips, both redder than blue. Above the box lies hair.
        middle = (top + bottom) // 2
        low = np.asarray(upright.crop((left, middle, right, bottom))).astype(int)
        assert ((low[..., 0] - low[..., 2]) > 10).mean() > 0.6
    assert turned > 20


@pytest.mark.slow
def test_the_detector_finds_nine_of_ten_faces_of_the_archives(drawn):
    from pyojeong.core.images import decode
    from pyojeong.faceapi.detector import FaceApi

    try:
        api = FaceApi(threads=1)
    except InputError as error:
        pytest.skip(f"face-api's weights are not installed: {error}")
    out, summary = drawn
    spoiled = {name for names in summary["defects"].values() for name in names}
    pictures = images(out)
    hits = [
        any(iou(face.box, box(record)) >= 0.5 for face in api.detect(decode(pictures[record["filename"]])))
        for record in records(out)
        if record["filename"] not in spoiled
    ]
    assert len(hits) > 80
    assert np.mean(hits) >= 0.9


def iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inside = max(width, 0) * max(height, 0)
    return inside / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inside)


def test_the_london_packing_and_ours_have_the_same_shape(shared, flat):
    real = shared / "data" / "london_as_aihub"
    (record,), (ours,) = records(real)[:1], records(flat[0])[:1]
    assert set(ours) == set(record)
    assert {key: type(value) for key, value in ours.items()} == {key: type(value) for key, value in record.items()}
    assert {key: type(value) for key, value in ours["annot_A"].items()} == {
        key: type(value) for key, value in record["annot_A"].items()
    }
    assert NAME.fullmatch(record["filename"])
    assert all(info.flag_bits & 0x800 == 0 for path in archives(real, "[") for info in zipfile.ZipFile(path).infolist())
