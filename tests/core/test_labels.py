import unicodedata
from pathlib import Path

import pytest

from pyojeong.core.errors import InputError
from pyojeong.core.labels import BASIC7, ENGLISH, FACEAPI, K7, KOREAN, M1, M2, SCHEMES, scheme_for, scheme_named


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
