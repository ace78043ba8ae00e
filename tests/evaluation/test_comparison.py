"""Protocols, pairs, the human ceiling and the general comparison, on answers small enough to count by hand."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pyojeong.core.errors import InputError
from pyojeong.core.labels import K7, M1
from pyojeong.evaluation.comparison import compare, human_ceiling, paired, paired_scores, score
from pyojeong.evaluation.predictions import read_predictions
from pyojeong.evaluation.protocols import answers, box_was_given, counts_in, own_protocols
from tests.published import CLASSES, COUNTS, N_RAW

FACEAPI_CSV = """\
image,gt_label,pred_label,score,face_detected,iou,correct,given_pred_label,given_score,error
a,happy,happy,0.9,1,0.8,1,happy,0.9,
b,happy,disgusted,0.7,1,0.5,0,happy,0.6,
c,sad,sad,0.6,1,0.1,1,angry,0.6,
d,sad,,,0,0,0,sad,0.7,
e,angry,angry,0.5,1,0.9,1,angry,0.9,
f,angry,,,0,,0,,,corrupt
g,neutral,,,0,0,0,,,
"""
OURS_CSV = "path,true,pred\n" + "".join(
    f"{name},{true},{pred}\n"
    for name, true, pred in [
        ("g", "neutral", "neutral"),
        ("e", "angry", "sad"),
        ("d", "sad", "sad"),
        ("c", "sad", "sad"),
        ("b", "happy", "happy"),
        ("a", "happy", "happy"),
        ("z", "happy", "happy"),
    ]
)


def _read(folder: Path, text: str, name: str = "x.csv") -> pl.DataFrame:
    (folder / name).write_text(text, encoding="utf-8")
    return read_predictions(folder / name, M1)


def _right(frame: pl.DataFrame, protocol: str) -> tuple[int, int]:
    counted = answers(frame, M1, protocol)
    assert counted is not None
    return int(counted.right.sum()), len(counted.true)


def test_each_protocol_counts_what_it_says(tmp_path: Path) -> None:
    frame = _read(tmp_path, FACEAPI_CSV)
    assert own_protocols(frame) == ("matched", "all", "given")
    assert _right(frame, "matched") == (2, 3)
    # c was answered, but for another face; d and g were not found; f could not be read and counts nowhere.
    assert _right(frame, "all") == (2, 6)
    assert _right(frame, "given") == (4, 5)


def test_a_contender_with_given_boxes_has_one_protocol(tmp_path: Path) -> None:
    frame = _read(tmp_path, "path,true,pred\na,happy,happy\nb,sad,\n")
    assert box_was_given(frame)
    assert own_protocols(frame) == ("given",)
    # A blank answer is wrong: abstaining must not pay.
    assert _right(frame, "given") == (1, 2)


def test_a_protocol_without_images_gives_none(tmp_path: Path) -> None:
    text = "image,gt_label,pred_label,score,face_detected,iou,correct\na,happy,,,0,0,0\n"
    frame = _read(tmp_path, text)
    assert answers(frame, M1, "matched") is None
    assert answers(frame, M1, "given") is None
    assert _right(frame, "all") == (0, 1)


def test_published_faceapi_counts_through_the_protocols() -> None:
    true, pred = np.nonzero(np.array(COUNTS["FaceAPI_M1"]))
    rows = [
        (CLASSES[i], CLASSES[j]) for i, j in zip(true, pred, strict=True) for _ in range(COUNTS["FaceAPI_M1"][i][j])
    ]
    misses = N_RAW - len(rows)
    frame = pl.DataFrame(
        {
            "path": [str(number) for number in range(N_RAW)],
            "true": [true for true, _ in rows] + ["happy"] * misses,
            "pred": [pred for _, pred in rows] + [None] * misses,
            "detected": [True] * len(rows) + [False] * misses,
            "iou": [0.9] * len(rows) + [0.0] * misses,
            "given": pl.Series([None] * N_RAW, dtype=pl.String),
            "score": pl.Series([None] * N_RAW, dtype=pl.Float64),
            "error": pl.Series([None] * N_RAW, dtype=pl.String),
        }
    )
    headline, whole = answers(frame, M1, "matched"), answers(frame, M1, "all")
    assert headline is not None
    assert whole is not None
    matched = score(headline)
    assert (matched.n, f"{100 * matched.accuracy:.2f}", f"{matched.macro_f1:.4f}") == (
        19_609,
        "42.07",
        "0.3934",
    )
    assert matched.accuracy_low < matched.accuracy < matched.accuracy_high
    assert f"{100 * score(whole).accuracy:.1f}" == "21.1"
    assert matched.ece is None


def test_calibration_is_that_of_the_answers_there_are(tmp_path: Path) -> None:
    frame = _read(tmp_path, FACEAPI_CSV)
    scored = {name: some for name in ("all", "given") if (some := answers(frame, M1, name))}
    # Two of the three matched answers are right, each alone in its bin: (0.1 + 0.7 + 0.5) / 3.
    assert score(scored["all"]).ece == pytest.approx(1.3 / 3)
    # Two at 0.9, both right; two at 0.6, one right; one at 0.7, right.
    assert score(scored["given"]).ece == pytest.approx((2 * 0.1 + 2 * 0.1 + 0.3) / 5)
    unknown = answers(frame.with_columns(score=pl.lit(None, pl.Float64)), M1, "all")
    assert unknown is not None
    assert score(unknown).ece is None


def test_known_people_change_the_interval_and_say_so(tmp_path: Path) -> None:
    text = "path,true,pred\n" + "".join(f"{n},happy,{'happy' if n < 60 else 'sad'}\n" for n in range(100))
    frame = _read(tmp_path, text)
    alone = answers(frame, M1, "given")
    together = answers(frame.with_columns(person=pl.Series([str(n // 10) for n in range(100)])), M1, "given")
    assert alone is not None
    assert together is not None
    by_image, by_person = score(alone), score(together)
    assert (by_image.interval_over, by_person.interval_over) == ("images", "people")
    assert by_person.accuracy_high - by_person.accuracy_low > by_image.accuracy_high - by_image.accuracy_low


def test_pairs_where_one_was_given_the_box(tmp_path: Path) -> None:
    rows = paired_scores(_read(tmp_path, FACEAPI_CSV), _read(tmp_path, OURS_CSV), M1)
    # A miss of the one that has to look for the face is not held against it.
    assert {name: row.n for name, row in rows.items()} == {"matched": 3, "given": 5}
    for row in rows.values():
        assert (row.only_first_right, row.only_second_right, row.mcnemar_p) == (1, 1, 1)


def test_pairs_of_two_that_look_for_the_face(tmp_path: Path) -> None:
    found = [line.split(",") for line in OURS_CSV.splitlines()[1:]]
    lines = [f"{name},{true},{pred},0.9,1,0.9,1,{pred},0.9," for name, true, pred in found]
    second = _read(tmp_path, "\n".join([FACEAPI_CSV.splitlines()[0], *lines]))
    rows = paired_scores(_read(tmp_path, FACEAPI_CSV), second, M1)
    assert {name: row.n for name, row in rows.items()} == {"matched": 3, "all": 6, "given": 5}
    whole = rows["all"]
    assert [whole.accuracy_first, whole.accuracy_second] == pytest.approx([2 / 6, 5 / 6])
    assert (whole.only_first_right, whole.only_second_right) == (1, 4)
    assert whole.mcnemar_p == pytest.approx(12 / 32)
    assert whole.accuracy_difference == pytest.approx(0.5)
    assert whole.accuracy_difference_low <= 0.5 <= whole.accuracy_difference_high
    assert (rows["matched"].only_first_right, rows["matched"].only_second_right) == (1, 1)


def test_a_contender_does_not_differ_from_itself(tmp_path: Path) -> None:
    ours = _read(tmp_path, OURS_CSV)
    ((protocol, row),) = paired_scores(ours, ours, M1).items()
    assert protocol == "given"
    assert row.accuracy_difference_low == row.accuracy_difference_high == row.macro_f1_difference == 0
    assert row.mcnemar_p == 1


def test_swapping_two_contenders_turns_the_sign(tmp_path: Path) -> None:
    first, second = _read(tmp_path, FACEAPI_CSV), _read(tmp_path, OURS_CSV)
    forth, back = paired_scores(first, second, M1), paired_scores(second, first, M1)
    for protocol, row in forth.items():
        assert row.macro_f1_difference == pytest.approx(-back[protocol].macro_f1_difference)
        assert row.only_first_right == back[protocol].only_second_right


def test_unpaired_answers_are_refused(tmp_path: Path) -> None:
    ours = _read(tmp_path, OURS_CSV)
    one, two = answers(ours, M1, "given"), answers(ours.head(3), M1, "given")
    assert one is not None
    assert two is not None
    with pytest.raises(ValueError, match="same images"):
        paired(one, two)


def _votes(rows: list[dict[str, int]]) -> pl.DataFrame:
    names = {name for row in rows for name in row}
    votes = {f"votes_{name}": [str(row.get(name, 0)) for row in rows] for name in names}
    return pl.DataFrame({"path": [str(number) for number in range(len(rows))], **votes})


def test_the_human_ceiling_is_one_annotator_against_the_other_two() -> None:
    frame = _votes(
        [
            {"기쁨": 3},  # three right answers
            {"슬픔": 2, "상처": 1},  # one wrong answer in K7, three right ones in M1
            {"불안": 2, "알수없음": 1},  # one wrong answer
            {"알수없음": 2, "불안": 1},  # no truth
            {"기쁨": 1, "슬픔": 1, "분노": 1},  # no two agree
            {"기쁨": 2},  # only two votes
        ]
    )
    fine, coarse = human_ceiling(frame, K7), human_ceiling(frame, M1)
    assert fine is not None
    assert coarse is not None
    assert (fine.images, fine.score.n, fine.score.accuracy) == (3, 5, 0.6)
    assert (coarse.images, coarse.score.n) == (3, 7)
    assert coarse.score.accuracy == pytest.approx(6 / 7)
    assert fine.score.interval_over == "images"


def test_the_human_ceiling_resamples_people_when_there_are_enough() -> None:
    # Each person is always unanimous or never, so twelve people carry what twelve photographs would.
    rows = [{"기쁨": 3} if number % 2 else {"기쁨": 2, "슬픔": 1} for number in range(12) for _ in range(10)]
    frame = _votes(rows)
    people = pl.Series("person", [str(number) for number in range(12) for _ in range(10)])
    by_image, by_person = human_ceiling(frame, K7), human_ceiling(frame.with_columns(people), K7)
    assert by_image is not None
    assert by_person is not None
    assert by_image.score.accuracy == by_person.score.accuracy == 0.75
    assert (by_image.score.interval_over, by_person.score.interval_over) == ("images", "people")
    assert by_person.score.accuracy_high - by_person.score.accuracy_low > 2 * (
        by_image.score.accuracy_high - by_image.score.accuracy_low
    )


def test_too_few_people_never_narrow_an_interval(tmp_path: Path) -> None:
    frame = _read(
        tmp_path, "path,true,pred\n" + "".join(f"{n},happy,{'happy' if n % 3 else 'sad'}\n" for n in range(90))
    )
    few = answers(frame.with_columns(person=pl.lit("the only one")), M1, "given")
    assert few is not None
    scored = score(few)
    assert scored.interval_over == "images"
    assert scored.accuracy_high - scored.accuracy_low > 0.1


def test_without_votes_there_is_no_human_ceiling() -> None:
    assert human_ceiling(pl.DataFrame({"path": ["a"]}), K7) is None
    assert human_ceiling(_votes([{"알수없음": 3}]), K7) is None


def test_compare_writes_both_tables_over_the_common_images(tmp_path: Path) -> None:
    (tmp_path / "faceapi.csv").write_text(FACEAPI_CSV, encoding="utf-8")
    (tmp_path / "ours.csv").write_text(OURS_CSV, encoding="utf-8")
    files = [("face-api", tmp_path / "faceapi.csv"), ("ours", tmp_path / "ours.csv")]
    comparison = compare(files, M1, tmp_path / "out")
    rows = {(row["contender"], row["protocol"]): row for row in comparison.scores.rows(named=True)}
    assert set(rows) == {("face-api", "matched"), ("face-api", "all"), ("face-api", "given"), ("ours", "given")}
    assert rows["ours", "given"]["n"] == 6
    assert rows["face-api", "given"]["accuracy"] == 0.8
    assert comparison.paired["protocol"].to_list() == ["matched", "given"]
    assert pl.read_csv(tmp_path / "out" / "compare_scores.csv").equals(comparison.scores)
    assert pl.read_csv(tmp_path / "out" / "compare_paired.csv").height == 2


def test_compare_keeps_to_the_protocols_asked_for(tmp_path: Path) -> None:
    (tmp_path / "faceapi.csv").write_text(FACEAPI_CSV, encoding="utf-8")
    (tmp_path / "ours.csv").write_text(OURS_CSV, encoding="utf-8")
    files = [("face-api", tmp_path / "faceapi.csv"), ("ours", tmp_path / "ours.csv")]
    comparison = compare(files, M1, tmp_path, protocols=["given"])
    assert comparison.scores["protocol"].to_list() == ["given", "given"]
    assert comparison.paired["protocol"].to_list() == ["given"]
    with pytest.raises(InputError, match="'giver'; choose one of matched, all, given"):
        compare(files, M1, tmp_path, protocols=["giver"])


def test_a_file_of_another_scheme_is_refused(tmp_path: Path) -> None:
    for name in ("a_M1.csv", "b.csv"):
        (tmp_path / name).write_text(OURS_CSV, encoding="utf-8")
    files = [(name[0], tmp_path / name) for name in ("a_M1.csv", "b.csv")]
    with pytest.raises(InputError, match=r"a_M1\.csv: its name says M1, not K7"):
        compare(files, K7, tmp_path)
    assert compare(files, M1, tmp_path).scores.height == 2


def test_a_comparison_without_answers_keeps_the_earlier_files(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("path,true,pred\n1,happy,happy\n")
    files = [(name, tmp_path / f"{name}.csv") for name in "ab"]
    compare(files, M1, tmp_path)
    before = (tmp_path / "compare_scores.csv").read_bytes()
    with pytest.raises(InputError, match=r"a\.csv, .*b\.csv: no image has an answer under matched; choose another"):
        compare(files, M1, tmp_path, protocols=["matched"])
    assert (tmp_path / "compare_scores.csv").read_bytes() == before


def test_compare_resamples_people_where_one_of_the_files_names_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Ours is right about six people and wrong about six: twelve independent answers on 120 images.
    rows = [(f"{person}-{n}", str(person), "happy" if person % 2 else "sad") for person in range(12) for n in range(10)]
    whose = "".join(f"{path},happy,{pred},{person}\n" for path, person, pred in rows)
    (tmp_path / "a.csv").write_text("path,true,pred\n" + "".join(f"{path},happy,happy\n" for path, *_ in rows))
    (tmp_path / "b.csv").write_text("path,true,pred,person\n" + whose)
    (tmp_path / "c.csv").write_text("path,true,pred,person\n" + whose.replace(",0\n", ", \n"))
    (tmp_path / "d.csv").write_text("path,true,pred,person\n" + whose.replace(",0\n", ",7\n") + "x,happy,sad,\n")
    widths = {}
    for name in "bc":
        comparison = compare([("a", tmp_path / "a.csv"), (name, tmp_path / f"{name}.csv")], M1, tmp_path)
        over = "people" if name == "b" else "images"
        assert comparison.scores["interval_over"].to_list() == [over, over]
        row = comparison.paired.row(0, named=True)
        assert row["interval_over"] == over
        widths[name] = row["accuracy_difference_high"] - row["accuracy_difference_low"]
    assert widths["b"] > 2 * widths["c"]
    assert "c.csv: the person is unknown on 10 of the 120 common images" in caplog.text
    # An unknown person on an image that is left out does not matter, and one file may name who another does not.
    for pair in ("ad", "cb"):
        comparison = compare([(name, tmp_path / f"{name}.csv") for name in pair], M1, tmp_path)
        assert set(comparison.scores["interval_over"]) == {"people"}
    with pytest.raises(InputError, match=r"b\.csv, line 2: 0-0 has the person '0', and '7' in .*d\.csv, line 2; make"):
        compare([(name, tmp_path / f"{name}.csv") for name in "bd"], M1, tmp_path)


def test_a_person_who_is_not_named_is_unknown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    people = ["n/a", "모름", " Unknown", "-", "NA", "kim", "2.02E+13"]
    frame = _read(tmp_path, "path,true,pred,person\n" + "".join(f"{one},sad,sad,{one}\n" for one in people))
    assert frame["person"].to_list() == [None, None, None, None, "NA", "kim", "2.02E+13"]
    assert "numbers that a spreadsheet rounded" in caplog.text


def test_compare_refuses_files_it_cannot_compare(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path,true,pred\n1,happy,happy\n")
    (tmp_path / "b.csv").write_text("path,true,pred\n2,happy,happy\n")
    with pytest.raises(InputError, match=r"^a=.*a\.csv: a comparison needs at least two"):
        compare([("a", tmp_path / "a.csv")], M1, tmp_path)
    with pytest.raises(InputError, match="different names"):
        compare([("a", tmp_path / "a.csv"), ("a", tmp_path / "b.csv")], M1, tmp_path)
    with pytest.raises(InputError, match="no image is in all of them"):
        compare([("a", tmp_path / "a.csv"), ("b", tmp_path / "b.csv")], M1, tmp_path)


def test_unreadable_photographs_count_in_no_protocol(tmp_path: Path) -> None:
    frame = _read(tmp_path, FACEAPI_CSV)
    unreadable = frame["path"].to_list().index("f")
    assert not any(counts_in(frame, protocol)[unreadable] for protocol in ("matched", "all", "given"))


def test_contenders_are_compared_under_an_own_scheme(tmp_path: Path) -> None:
    own = tmp_path / "moods.toml"
    own.write_text('[[class]]\nname = "up"\n\n[[class]]\nname = "down"\n')
    rows = [("up", "up"), ("down", "up")] * 10
    for name, right in (("one", True), ("two", False)):
        lines = [f"{at}.jpg,{true},{true if right else pred}" for at, (true, pred) in enumerate(rows)]
        (tmp_path / f"{name}.csv").write_text("path,true,pred\n" + "\n".join(lines) + "\n")
    files = [(name, tmp_path / f"{name}.csv") for name in ("one", "two")]
    found = compare(files, str(own), tmp_path / "out")
    assert sorted(found.scores["accuracy"].unique()) == [0.5, 1.0]
