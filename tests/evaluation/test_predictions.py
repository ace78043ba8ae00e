"""Both kinds of CSV become one table; every bad row is named."""

from pathlib import Path

import pytest

from pyojeong.core.errors import InputError
from pyojeong.core.labels import K7, M1
from pyojeong.evaluation.predictions import all_classes, end_to_end, matched, read_predictions

FACEAPI_CSV = """\
image,gt_label,pred_label,score,face_detected,iou,correct
data_raw/a.jpg,happy,happy,0.9,1,0.8,1
data_raw/b.jpg,happy,disgusted,0.7,1,0.30,0
data_raw/c.jpg,sad,sad,0.6,1,0.29,1
data_raw/d.jpg,sad,,,0,,0
data_raw/e.jpg,angry,angry,0.5,1,,1
"""


def _write(folder: Path, text: str) -> Path:
    path = folder / "preds.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_faceapi_csv_becomes_the_one_table(tmp_path: Path) -> None:
    frame = read_predictions(_write(tmp_path, FACEAPI_CSV), M1)
    assert frame["path"].to_list() == [f"data_raw/{name}.jpg" for name in "abcde"]
    assert frame["true"].to_list() == ["happy", "happy", "sad", "sad", "angry"]
    assert frame["pred"].to_list() == ["happy", "disgusted", "sad", None, "angry"]
    assert frame["detected"].to_list() == [True, True, True, False, True]
    assert frame["given"].is_null().all()
    # An IoU of exactly 0.30 is a match; an empty one is not.
    assert matched(frame).to_list() == [True, True, False, False, False]
    assert end_to_end(frame).to_list() == ["happy", "disgusted", None, None, None]


def test_given_box_answers_stand_beside_the_end_to_end_ones(tmp_path: Path) -> None:
    text = "image,gt_label,pred_label,score,face_detected,iou,correct,given_pred_label,given_score,p_happy,error\n"
    text += "a.jpg,happy,,,0,0.0,0,happy,0.75,0.5,\nb.jpg,sad,,,0,,0,,,,corrupt\n"
    first, second = read_predictions(_write(tmp_path, text), M1).rows(named=True)
    assert (first["pred"], first["given"], first["given_score"], first["p_happy"]) == (None, "happy", 0.75, 0.5)
    assert (first["error"], second["error"], second["given"]) == (None, "corrupt", None)


def test_a_contender_with_given_boxes_is_matched_everywhere(tmp_path: Path) -> None:
    text = "path,true,pred,score,p_기쁨\nfaces/가.png,기쁨,기쁨,0.9,0.9\nfaces/b.png,anxiety,happy,1.0000001,1\n"
    frame = read_predictions(_write(tmp_path, text), K7)
    assert frame["true"].to_list() == ["기쁨", "불안"]
    assert frame["pred"].to_list() == frame["given"].to_list() == ["기쁨", "기쁨"]
    assert frame["given_score"].to_list() == frame["score"].to_list()
    assert matched(frame).to_list() == [True, True]
    assert frame["iou"].is_null().all()
    assert frame["p_기쁨"].to_list() == [0.9, 1.0]


def test_three_columns_are_enough_and_a_blank_answer_is_a_miss(tmp_path: Path) -> None:
    frame = read_predictions(_write(tmp_path, "path,true,pred\na,happy,sad\nb,sad,\n"), M1)
    assert frame["pred"].to_list() == ["sad", None]
    assert matched(frame).to_list() == [True, False]
    assert frame["score"].is_null().all()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,true\na,happy\n", ["no column pred", "Rename"]),
        ("image,gt_label,pred_label,score\na,happy,happy,1\n", ["no column face_detected or iou"]),
        ("path,true,pred\n", ["no row"]),
        ("path,true,pred\na,happy,happy\nb,happy,cheerful\n", ["line 3", "'cheerful' in column pred", "--scheme"]),
        ("path,true,pred\na,disgusted,happy\n", ["line 2", "'disgusted' in column true", "M1"]),
        ("path,true,pred\na,,happy\n", ["line 2", "'' in column true"]),
        ("path,true,pred,score\na,sad,sad,0.5\nb,sad,sad,87\n", ["line 3", "score is '87'"]),
        ("path,true,pred,score\na,sad,sad,nan\n", ["line 2", "score is 'nan'"]),
        ("path,true,pred,detected\na,sad,sad,maybe\n", ["line 2", "'maybe'", "1 or 0"]),
    ],
)
def test_bad_rows_are_named_with_a_remedy(tmp_path: Path, text: str, words: list[str]) -> None:
    path = _write(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_predictions(path, M1)
    assert str(path) in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_tables_have_all_face_api_classes_or_the_korean_ones() -> None:
    assert all_classes(M1) == ("angry", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
    assert all_classes(K7) == K7.classes
