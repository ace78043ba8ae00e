"""What counts as a person among the sub-folders of a class."""

from collections import Counter
from pathlib import Path

import pytest

from pyojeong.core.errors import InputError
from pyojeong.data.folder_files import photographs_in
from pyojeong.data.folders import collect
from tests.data.test_folders import CLASSES, Detector, photographs


def nested(folder: Path, *names: str) -> Path:
    """Put what lies in the folder of each class into another folder there; ``names`` are used in turn."""
    for number, label in enumerate(CLASSES):
        (folder / label).rename(folder / "moving")
        (folder / label).mkdir()
        (folder / "moving").rename(folder / label / names[number % len(names)])
    return folder


def people_in(folder: Path) -> set[str]:
    found = photographs_in(folder.parent, folder.name, None, Counter())
    assert len(found) == 30
    assert all(f"/{one.label}/" in one.path and (folder.parent / one.path).is_file() for one in found)
    return {one.person for one in found}


@pytest.mark.parametrize("names", [("images",), ("joy", "calm", "surprise")])
def test_the_only_folder_of_each_class_is_no_person(
    names: tuple[str, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = nested(photographs(tmp_path / "faces"), *names)
    assert people_in(folder) == {""}
    (message,) = caplog.messages
    assert (
        "is the only folder inside that of its class, as in the other classes, so it is not taken for a person"
        in message
    )
    made = collect(folder, tmp_path, Detector())
    assert (made.people, made.photographs["test"]) == (None, dict.fromkeys(sorted(CLASSES), 2))


def test_people_are_found_below_such_folders(tmp_path: Path) -> None:
    folder = nested(nested(photographs(tmp_path / "faces", people=5), "set1"), "images")
    assert people_in(folder) == {f"p{number}" for number in range(5)}


def test_a_class_with_one_person_is_one_where_another_has_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = photographs(tmp_path / "faces", people=5)
    for number in range(1, 5):
        for file in (folder / CLASSES[0] / f"p{number}").iterdir():
            file.rename(folder / CLASSES[0] / "p0" / file.name)
    assert people_in(folder) == {f"p{number}" for number in range(5)}
    assert not caplog.messages


def test_too_few_people_are_told_with_the_folder_and_what_sub_folders_mean(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "faces", people=2)
    with pytest.raises(InputError) as caught:
        collect(folder, tmp_path, Detector())
    assert str(caught.value) == (
        f"{folder}: the sub-folders of its classes are people, and 2 people cannot fill three sets (val is empty); add "
        "photographs of other people, or put all photographs straight into the folder of their class if the "
        "sub-folders are no people"
    )
    assert collect(photographs(tmp_path / "three", people=3), tmp_path, Detector()).people == 3
