import unicodedata
from pathlib import Path

import pytest

from pyojeong.core.errors import InputError
from pyojeong.core.labels import (
    BASIC7,
    ENGLISH,
    FACEAPI,
    K7,
    KOREAN,
    M1,
    M2,
    SCHEMES,
    read_scheme,
    scheme_for,
    scheme_named,
    scheme_of,
)


def test_k7_order_is_the_contract_of_the_browser():
    assert K7.classes == ("기쁨", "당황", "분노", "불안", "상처", "슬픔", "중립")


def test_m1_and_m2_differ_only_in_embarrassed():
    assert [M1.class_of(word) for word in KOREAN] == ["happy", "surprised", "angry", "fearful", "sad", "sad", "neutral"]
    assert [M2.class_of(word) for word in KOREAN] == ["happy", "disgusted", "angry", "fearful", "sad", "sad", "neutral"]


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_every_word_leads_to_a_class_of_its_scheme(scheme):
    for korean, english in zip(KOREAN, ENGLISH, strict=True):
        assert scheme.class_of(korean) in scheme.classes
        assert scheme.class_of(english) == scheme.class_of(korean)
    for name in scheme.classes:
        assert scheme.class_of(name) == name
    assert scheme.class_of("알수없음") is None
    assert scheme.class_of("") is None


def test_published_k7_tables_in_faceapi_words_are_understood():
    words = ("happy", "surprised", "angry", "fearful", "disgusted", "sad", "neutral")
    assert [K7.class_of(word) for word in words if word != "neutral"] == list(KOREAN[:6])
    assert K7.class_of("neutral") == "중립"


def test_decomposed_hangul_is_understood():
    assert [K7.class_of(unicodedata.normalize("NFD", word)) for word in KOREAN] == list(KOREAN)


def test_m1_has_no_disgusted_and_m2_no_surprised():
    assert M1.class_of("disgusted") is None
    assert M2.class_of("surprised") is None


def test_basic7_is_faceapi_s_own_order():
    assert BASIC7.classes == FACEAPI == ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")


def test_scheme_names_are_found_in_any_case_and_listed_when_wrong():
    assert scheme_named("k7") is K7
    with pytest.raises(InputError, match="K7, M1, M2, BASIC7"):
        scheme_named("K8")


def test_a_table_named_after_another_scheme_is_refused():
    assert scheme_for("m1", Path("test_M1.csv")) is M1
    assert scheme_for("M1", Path("mine.csv")) is M1
    with pytest.raises(InputError, match=r"test_M2\.csv: its name says M2, not BASIC7; .*rename"):
        scheme_for("BASIC7", Path("test_M2.csv"))


GOOD = """
[[class]]
name = "웃음"
aihub = ["기쁨"]
words = ["smile", "Laugh"]
faceapi = "happy"
color = "#D99A1c"
[[class]]
name = "その他"
aihub = ["상처", "슬픔"]
faceapi = "sad"
[[class]]
name = "Trauer"
faceapi = "sad"
"""


def test_a_scheme_of_ones_own_is_read(tmp_path: Path) -> None:
    file = tmp_path / "내 것.toml"
    with pytest.raises(InputError, match="no such file"):
        scheme_named(str(file))
    file = tmp_path / "내_것.toml"
    file.write_text(GOOD, encoding="utf-8-sig")
    scheme = scheme_named(str(file))
    assert (scheme.name, scheme.classes) == ("내_것", ("웃음", "その他", "Trauer"))
    words = ("웃음", "SMILE", "laugh", "joy", "happy", "상처", "hurt", "その他", " trauer ", "Trauer")
    assert [scheme.class_of(word) for word in words] == ["웃음"] * 5 + ["その他"] * 3 + ["Trauer"] * 2
    assert scheme.class_of("sad") is None, "it is nearest to two classes"
    assert scheme.class_of("neutral") is None
    assert scheme.colors == {"웃음": "#D99A1c"}
    assert scheme_of(scheme.name, scheme.tables()) == scheme
    assert scheme_for(str(file), Path("mine.csv")) == scheme
    with pytest.raises(InputError, match="its name says K7, not 내_것"):
        scheme_for(str(file), Path("test_K7.csv"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "two or more tables"),
        ('[[class]]\nname = "a"\n', "two or more tables"),
        ('[class]\nname = "a"\n', "two or more tables"),
        ("name = 3", "the unknown key name"),
        ("[[class]", "not readable as TOML (Expected"),
        ("[[class]", "; correct that place"),
        ('[[class]]\nname = "a"\n[[class]]\nname = "A"\n', "'a' belongs to the classes a and A"),
        ('[[class]]\nname = "a"\nwords = ["B"]\n[[class]]\nname = "b"\n', "'b' belongs to the classes a and b"),
        (
            '[[class]]\nname = "a"\nwords = ["happy"]\n[[class]]\nname = "b"\nfaceapi = "happy"\n',
            "'happy' belongs to the class a, and faceapi gives it to b; leave it in one",
        ),
        (
            '[[class]]\nname = "joy"\n[[class]]\nname = "b"\naihub = ["기쁨"]\n',
            "'joy' belongs to the class joy, and aihub gives it to b; leave it in one",
        ),
        ('[[class]]\nname = "a"\naihub=["기쁨"]\n[[class]]\nname = "b"\naihub=["기쁨"]\n', "'기쁨' belongs to"),
        ('[[class]]\nname = "a"\n[[class]]\nname = " b"\n', "its name is ' b'; give it one without spaces"),
        ('[[class]]\nname = "a"\n[[class]]\nname = "b\\n"\n', "give it one without spaces or lines"),
        ('[[class]]\nname = "a"\n[[class]]\ncolor = "#000000"\n', "class 2 has no name; add name = "),
        ('[[class]]\nname = ""\n[[class]]\nname = "b"\n', "class 1: name is ''; it must be a word, not only spaces"),
        ('[[class]]\nname = "a\u00a0b"\n[[class]]\nname = "b"\n', "'a\\xa0b' holds U+00A0 (no-break space); type"),
        ('[[class]]\nname = "\u00a0b"\n[[class]]\nname = "c"\n', "give it one without spaces or lines around it"),
        ('[[class]]\nname = "a"\n[[class]]\nname = 3\n', "class 2: name is 3; it must be a word"),
        ('[[class]]\nname = "a"\n[[class]]\nname = "b"\nwords = "c"\n', "words is 'c'; it must be a list of words"),
        ('[[class]]\nname = "a"\n[[class]]\nname = "b"\naihub = ["기뿜"]\n', "aihub is '기뿜'; choose from 기쁨"),
        ('[[class]]\nname = "a"\n[[class]]\nname = "b"\nfaceapi = "joy"\n', "faceapi is 'joy'; choose from neutral"),
        ('[[class]]\nname = "a"\n[[class]]\nname = "b"\ncolor = "red"\n', "color is 'red'; write it as #rrggbb"),
        ('[[class]]\nname = "a"\n[[class]]\nname = "b"\ncolour = "#000000"\n', "class 2 has the unknown key colour"),
        ("class = [1, 2]", "class 1 is not a table"),
    ],
)
def test_a_scheme_that_cannot_be_used_is_told(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"mine\.toml") as caught:
        read_scheme(file)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["my_K7", "M1_x"])
def test_a_file_s_name_contains_no_scheme_of_the_package(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.toml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(InputError, match="tables are told apart by it; rename the file"):
        scheme_named(str(tmp_path / f"{name}.toml"))


def test_the_package_s_names_stay_its_own(tmp_path: Path) -> None:
    (tmp_path / "k7.toml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(
        InputError, match="the package has a scheme K7, and tables are told apart by it; rename the file"
    ):
        scheme_named(str(tmp_path / "k7.toml"))
    (tmp_path / "a b.toml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(InputError, match="rename it to letters, digits"):
        read_scheme(tmp_path / "a b.toml")
    (tmp_path / "c.toml").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        read_scheme(tmp_path / "c.toml")
    with pytest.raises(InputError, match="is a folder"):
        scheme_named(str(tmp_path))
    with pytest.raises(InputError, match="is a folder; name a file in it"):
        scheme_for(None, tmp_path)
    (tmp_path / "d.toml").write_bytes(GOOD.encode("cp949", "ignore"))
    with pytest.raises(InputError, match=r"d\.toml: is not in UTF-8; save it as UTF-8"):
        read_scheme(tmp_path / "d.toml")


def test_the_scheme_that_collect_wrote_beside_a_table_is_named(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        with pytest.raises(InputError, match=r"add --scheme K7, M1, M2, BASIC7 or a \.toml file"):
            scheme_for(None, tmp_path / f"{split}_my_faces.csv")
    (tmp_path / "my_faces.toml").write_text(GOOD, encoding="utf-8")
    for split in ("train", "val", "test"):
        with pytest.raises(InputError, match=r"does not contain the label scheme; add --scheme .*my_faces\.toml"):
            scheme_for(None, tmp_path / f"{split}_my_faces.csv")


def test_a_scheme_in_decomposed_hangul_is_read(tmp_path: Path) -> None:
    text = '[[class]]\nname = "웃음"\naihub = ["기쁨"]\nwords = ["미소"]\n[[class]]\nname = "b"\n'
    (tmp_path / "mine.toml").write_text(unicodedata.normalize("NFD", text), encoding="utf-8")
    scheme = read_scheme(tmp_path / "mine.toml")
    assert scheme.from_korean == {"기쁨": "웃음"}
    assert scheme.class_of("미소") == "웃음"
