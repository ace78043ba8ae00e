"""Folders of photographs named after their classes, with a detector that these tests play."""

import json
import os
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pyojeong.core.errors import InputError
from pyojeong.core.geometry import Box
from pyojeong.core.images import Pixels
from pyojeong.core.labels import read_scheme
from pyojeong.core.table import read_table
from pyojeong.data.folder_files import PASSED_OVER
from pyojeong.data.folders import Collection, collect
from tests.archives import jpeg

CLASSES = ("웃음", "무표정", "happy")


class Detector:
    """Finds one face, two in photographs that are wider than high by far, and none in black ones."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, pixels: Pixels) -> Sequence[Box]:
        self.calls += 1
        if not pixels.any():
            return []
        small, large = (1.0, 2.0, 11.0, 12.0), (5.0, 6.0, 45.123, 46.0)
        return [small, large] if pixels.shape[1] > 2 * pixels.shape[0] else [small]


def photographs(folder: Path, count: int = 10, people: int = 0) -> Path:
    for number, name in enumerate(CLASSES):
        for shot in range(count):
            person = f"p{shot % people}" if people else ""
            file = folder / name / person / f"{number}_{shot}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(shot_of(f"{name} {shot}"))
    return folder


def shot_of(what: str) -> bytes:
    """A JPEG whose bytes are its own; readers ignore what follows the end."""
    return jpeg() + what.encode()


def tables(made: Collection, root: Path) -> dict[str, list[dict[str, object]]]:
    assert made.scheme is not None
    scheme = read_scheme(made.scheme)
    return {
        split: read_table(csv, scheme=scheme, root=root, boxes=True).to_dicts() for split, csv in made.tables.items()
    }


def test_folders_become_a_scheme_and_three_tables(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "data/faces")
    (folder / "웃음/wide.jpg").write_bytes(jpeg((200, 50)))
    (folder / "웃음/black.jpg").write_bytes(jpeg(color=(0, 0, 0)))
    (folder / "웃음/half.jpg").write_bytes(jpeg()[:-100])
    (folder / "웃음/phone.HEIC").write_bytes(b"x")
    (folder / "웃음/notes.txt").write_bytes(b"x")
    (folder / "웃음/.DS_Store").write_bytes(b"x")
    made = collect(folder, tmp_path, Detector())
    assert made.drops == {"corrupt": 1, "no_face": 1, "not_an_image": 1, "other_file": 1}
    assert (made.people, made.several_faces) == (None, 1)
    assert made.photographs["test"] == {"happy": 2, "무표정": 2, "웃음": 2}
    assert made.photographs["val"] == dict.fromkeys(sorted(CLASSES), 1)
    rows = [row for split in tables(made, tmp_path).values() for row in split]
    assert len(rows) == 31
    assert all(f"/{row['label']}/" in str(row["path"]) for row in rows)
    (wide,) = [row for row in rows if str(row["path"]).endswith("wide.jpg")]
    assert [wide[name] for name in ("minX", "minY", "maxX", "maxY")] == [5, 6, 45.12, 46]
    assert made.scheme is not None
    scheme = read_scheme(made.scheme)
    assert (scheme.name, scheme.classes, dict(scheme.faceapi)) == (
        "faces",
        ("happy", "무표정", "웃음"),
        {"happy": "happy"},
    )
    assert len(set(scheme.colors.values())) == 3


def test_a_person_is_in_one_table(tmp_path: Path) -> None:
    made = collect(photographs(tmp_path / "faces", 30, people=15), tmp_path, Detector())
    people = [{row["person"] for row in rows} for rows in tables(made, tmp_path).values()]
    assert made.people == 15 == sum(map(len, people))
    assert set.intersection(*people) == set()


def test_a_stopped_run_resumes_and_changed_photographs_are_searched_again(tmp_path: Path) -> None:
    folder, first = photographs(tmp_path / "faces"), Detector()
    whole = collect(folder, tmp_path, first)
    assert first.calls == 30
    journal = tmp_path / "data_shared/collected/faces.faces.jsonl"
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    journal.write_text("".join(lines[:12]) + lines[12][:20], encoding="utf-8")
    (folder / "웃음/0_0.jpg").write_bytes(jpeg((120, 90)))
    again = Detector()
    assert collect(folder, tmp_path, again) == whole
    searched = 30 - len([line for line in lines[:12] if json.loads(line)[0] != "faces/웃음/0_0.jpg"])
    assert again.calls == searched


def test_a_file_counts_once_and_in_two_classes_not_at_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = photographs(tmp_path / "faces")
    (folder / "웃음/copy.jpg").write_bytes(shot_of("웃음 3"))
    (folder / "웃음/other.jpg").write_bytes(shot_of("happy 5"))
    (folder / "무표정/other.jpg").write_bytes(shot_of("happy 5"))
    made = collect(folder, tmp_path, Detector())
    assert made.drops == {"repeated": 1, "two_classes": 3}
    paths = [str(row["path"]) for split in tables(made, tmp_path).values() for row in split]
    assert len(paths) == len(set(paths)) == 29
    assert not [path for path in paths if path.endswith(("copy.jpg", "other.jpg", "2_5.jpg"))]
    assert (
        "3 files are in more than one class and left out (first faces/happy/2_5.jpg and faces/무표정/other"
        in caplog.text
    )
    assert "1 photograph is there under another name too and left out" in caplog.text
    assert "(first faces/웃음/copy.jpg, which is faces/웃음/0_3.jpg); the other one counts" in caplog.text
    again = Detector()
    assert collect(folder, tmp_path, again) == made
    assert again.calls == 0


def test_what_is_in_no_class_or_leads_nowhere_is_counted(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "faces")
    (folder / "loose.jpg").write_bytes(shot_of("loose"))
    (folder / "readme.txt").write_bytes(b"x")
    (folder / "happy/gone.jpg").symlink_to("nowhere.jpg")
    assert collect(folder, tmp_path, Detector()).drops == {"missing": 1, "no_class": 1}


def test_people_known_on_some_photographs_only_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = photographs(tmp_path / "faces")
    (folder / "happy/kim").mkdir()
    (folder / "happy/2_0.jpg").rename(folder / "happy/kim/2_0.jpg")
    assert collect(folder, tmp_path, Detector()).people is None
    assert "29 of 30 photographs are in no folder of a person" in caplog.text


def test_two_folders_of_one_class_may_hold_the_same_file(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "faces")
    (folder / "happy/copy.jpg").write_bytes(shot_of("웃음 3"))
    file = tmp_path / "mine.toml"
    file.write_text(
        '[[class]]\nname = "joy"\nwords = ["웃음", "happy"]\n[[class]]\nname = "무표정"\n', encoding="utf-8"
    )
    made = collect(folder, tmp_path, Detector(), scheme=read_scheme(file))
    assert made.drops == {"repeated": 1}
    assert sum(counts["joy"] for counts in made.photographs.values()) == 20


@pytest.mark.parametrize("name", ["CON", "nul", "Com1", "LPT9.old", "aux .txt"])
def test_names_that_windows_reserves(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    folder = photographs(tmp_path / "faces")
    (folder / "happy" / f"{name}.jpg").write_bytes(shot_of("device"))
    (folder / "happy" / name).mkdir()
    (folder / "happy" / name / "a.jpg").write_bytes(shot_of("person"))
    (folder / "happy" / "console.jpg").write_bytes(shot_of("no device"))
    made = collect(folder, tmp_path, Detector())
    assert made.drops == {"reserved_name": 2}
    assert caplog.text.count("Windows reserves this name for a device, so it is left out; rename it") == 1
    with pytest.raises(InputError, match=r"reserves for a device; choose another --name|letters, digits, _ and -"):
        collect(folder, tmp_path, Detector(), name=name)
    (folder / "무표정").rename(folder / name)
    with pytest.raises(InputError, match="Windows reserves this name for a device; rename the folder"):
        collect(folder, tmp_path, Detector())


def test_an_own_scheme_names_the_folders(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "faces")
    file = tmp_path / "mine.toml"
    text = '[[class]]\nname = "joy"\nwords = ["웃음", "happy"]\n[[class]]\nname = "무표정"\n'
    file.write_text(text, encoding="utf-8")
    made = collect(folder, tmp_path, Detector(), scheme=read_scheme(file))
    assert made.scheme is None
    assert made.tables["train"].name == "train_mine.csv"
    assert made.photographs["test"] == {"joy": 4, "무표정": 2}
    file.write_text(text.replace(', "happy"', ""), encoding="utf-8")
    with pytest.raises(InputError, match=r"happy: no class of mine \(joy, 무표정\); rename it"):
        collect(folder, tmp_path, Detector(), scheme=read_scheme(file))


def hide_two(folder: Path) -> None:
    for name in CLASSES[:2]:
        (folder / name).rename(folder / f".{name}")


def remove_four(folder: Path) -> None:
    for number in range(4):
        (folder / f"웃음/0_{number}.jpg").unlink()


def blacken(folder: Path) -> None:
    for number in range(10):
        (folder / f"웃음/0_{number}.jpg").write_bytes(jpeg(color=(0, 0, 0)))


def spoil_encoding(folder: Path) -> None:
    (folder / "happy").rename(folder / os.fsdecode("슬픔".encode("cp949")))


def add_space(folder: Path) -> None:
    (folder / "happy").rename(folder / "놀람 ")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (hide_two, "has 1 folder; it must hold a folder of photographs for each class"),
        (remove_four, "7 photographs of 웃음 with a face are needed, and there are 6; add photographs"),
        (blacken, "7 photographs of 웃음 with a face are needed, and there are 0 (left out: 10 no_face)"),
        (spoil_encoding, "its name is in an unknown encoding; rename the folder"),
        (add_space, "its name is '놀람 '; give it one without spaces"),
    ],
)
def test_what_is_not_enough_is_told(tmp_path: Path, spoil: Callable[[Path], None], words: str) -> None:
    folder = photographs(tmp_path / "faces")
    spoil(folder)
    with pytest.raises(InputError) as caught:
        collect(folder, tmp_path, Detector())
    assert words in str(caught.value)


def test_a_folder_without_photographs_is_no_class_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = photographs(tmp_path / "faces")
    (folder / "later").mkdir()
    (folder / "films").mkdir()
    (folder / "films/a.mp4").write_bytes(b"x")
    elsewhere = photographs(tmp_path / "elsewhere") / "happy"
    (folder / "linked").mkdir()
    (folder / "linked/kim").symlink_to(elsewhere)
    made = collect(folder, tmp_path, Detector())
    assert set(made.photographs["test"]) == set(CLASSES)
    assert made.drops == {"empty_folder": 3, "linked_folder": 1, "other_file": 1}
    assert set(made.drops) - set(PASSED_OVER) == {"other_file"}
    for name in ("later", "films", "linked"):
        assert f"{folder / name}: has no photograph, so it is no class" in caplog.text
    for name in CLASSES[1:]:
        for file in (folder / name).iterdir():
            file.unlink()
    with pytest.raises(InputError, match="only 1 folder has photographs"):
        collect(folder, tmp_path, Detector(), name="other")


def test_what_may_hold_photographs_is_named_and_the_system_s_folders_are_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = photographs(tmp_path / "faces")
    for name in (".thumbnails/0.jpg", "@eaDir/0.jpg/SYNOPHOTO_THUMB_M.jpg"):
        file = folder / "happy" / name
        file.parent.mkdir(parents=True)
        file.write_bytes(shot_of(name))
    for name in ("shot.CR2", "more.zip", "half.jpg.crdownload"):
        (folder / "happy" / name).write_bytes(b"x")
    made = collect(folder, tmp_path, Detector())
    assert made.drops == {"archive": 1, "camera_raw": 1, "system_folder": 2, "unfinished_download": 1}
    assert set(made.drops) - set(PASSED_OVER) == {"system_folder"}
    assert "more.zip: an archive; unpack it into the folder of its class" in caplog.text
    assert made.people is None
    assert "in no folder of a person" not in caplog.text


def test_sets_are_no_classes(tmp_path: Path) -> None:
    for split in ("Train", "valid", "test"):
        photographs(tmp_path / "data" / split)
    with pytest.raises(InputError, match="Train, test, valid are sets, not classes; put all photographs of a class"):
        collect(tmp_path / "data", tmp_path, Detector())


def test_unreadable_photographs_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = photographs(tmp_path / "faces")
    for name in ("a.jpg", "b.jpg"):
        (folder / "happy" / name).write_bytes(jpeg()[:-100] + name.encode())
    (folder / "happy/shot.JFIF").write_bytes(shot_of("one more"))
    made = collect(folder, tmp_path, Detector())
    assert made.drops == {"corrupt": 2}
    assert "2 photographs are left out (first faces/happy/a.jpg): the image is damaged" in caplog.text
    assert sum(made.photographs[split]["happy"] for split in made.tables) == 11


def test_a_person_has_one_name_in_both_forms_of_hangul(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "faces", 30, people=10)
    for name in CLASSES:
        for form in ("NFC", "NFD"):
            own = folder / name / unicodedata.normalize(form, "영희")
            own.mkdir()
            for shot in range(4):
                (own / f"{shot}.jpg").write_bytes(shot_of(f"{name} {form} {shot}"))
    made = collect(folder, tmp_path, Detector())
    assert made.people == 11
    rows = [row for split in tables(made, tmp_path).values() for row in split if "/p" not in str(row["path"])]
    assert {row["person"] for row in rows} == {"영희"}
    assert len(rows) == 24


def test_a_class_that_a_set_lacks_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = photographs(tmp_path / "faces", 30, people=10)
    for shot in range(8):
        file = folder / "surprised/p3" / f"{shot}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(shot_of(f"surprised {shot}"))
    made = collect(folder, tmp_path, Detector())
    absent = [split for split, counts in made.photographs.items() if not counts["surprised"]]
    assert len(absent) == 2
    for split in absent:
        assert f"{made.tables[split]}: has no photograph of surprised; add people" in caplog.text


def test_names_of_many_scripts_are_classes_and_others_name_their_folder(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "faces")
    names = ("می\u200cخندد", "👩\u200d🎤", "क्\u200dष")
    for old, new in zip(CLASSES, names, strict=True):
        (folder / old).rename(folder / new)
    made = collect(folder, tmp_path, Detector())
    assert made.scheme is not None
    assert sorted(read_scheme(made.scheme).classes) == sorted(names)
    (folder / names[0]).rename(folder / "a\u202eb")
    with pytest.raises(InputError, match="faces: its folders cannot be classes") as error:
        collect(folder, tmp_path, Detector(), name="other")
    assert ".toml" not in str(error.value)


@pytest.mark.parametrize("name", ["M1_faces", "my_K7", "k7", "a_BASIC7_b"])
def test_a_name_with_a_scheme_of_the_package_is_refused(tmp_path: Path, name: str) -> None:
    folder = photographs(tmp_path / name)
    with pytest.raises(InputError, match="a label scheme of the package; choose another --name"):
        collect(folder, tmp_path, Detector())
    assert collect(folder, tmp_path, Detector(), name="M1st-faces").tables


def test_few_people_cannot_fill_three_sets(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 people cannot fill three sets"):
        collect(photographs(tmp_path / "faces", 10, people=2), tmp_path, Detector())


def test_another_set_of_folders_needs_another_name(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "faces")
    collect(folder, tmp_path, Detector())
    (folder / "happy").rename(folder / unicodedata.normalize("NFD", "놀람"))
    with pytest.raises(InputError, match=r"faces\.toml: has the classes .* delete it, or choose another --name"):
        collect(folder, tmp_path, Detector())
    made = collect(folder, tmp_path, Detector(), name="second")
    assert set(made.photographs["test"]) == {"놀람", "무표정", "웃음"}


def test_photographs_outside_the_root_are_linked(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    made = collect(photographs(tmp_path / "faces"), root, Detector())
    rows = tables(made, root)["train"]
    assert all(str(row["path"]).startswith("data_raw/faces/") for row in rows)
    assert (root / str(rows[0]["path"])).is_file()


@pytest.mark.parametrize("name", ["K7", "basic7", "../x", "a/b", "a\\b", "my faces", "", " "])
def test_a_name_that_cannot_be_a_scheme_s_is_refused_before_the_search(name: str, tmp_path: Path) -> None:
    detector = Detector()
    with pytest.raises(InputError, match=r"choose another --name|write it in letters, digits, _ and -"):
        collect(photographs(tmp_path / "faces"), tmp_path, detector, name=name)
    assert detector.calls == 0


@pytest.mark.parametrize(
    ("folder", "name"),
    [("my faces (2)", "my_faces_2"), (unicodedata.normalize("NFD", "내 사진"), "내_사진"), ("!!", "photographs")],
)
def test_a_folder_of_any_name_names_a_scheme(folder: str, name: str, tmp_path: Path) -> None:
    made = collect(photographs(tmp_path / folder), tmp_path, Detector())
    assert made.scheme is not None
    assert (made.scheme.name, made.tables["train"].name) == (f"{name}.toml", f"train_{name}.csv")
    assert read_scheme(made.scheme).name == name


def test_a_failed_run_leaves_no_scheme_in_the_way_of_the_next(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "faces", count=2)
    with pytest.raises(InputError):
        collect(folder, tmp_path, Detector())
    assert not [*(tmp_path / "data_shared/collected").glob("*.toml")]
    photographs(folder, count=10)
    (folder / "happy").rename(folder / "기쁨")
    made = collect(folder, tmp_path, Detector())
    assert made.scheme is not None
    assert set(read_scheme(made.scheme).classes) == {"웃음", "무표정", "기쁨"}
