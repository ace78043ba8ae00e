import hashlib
import json
import shutil
import sys
from pathlib import Path

import onnx
import polars as pl
import pytest

from pyojeong.analyzer import MODEL, Analyzer, ModelContender
from pyojeong.classifier import Classifier
from pyojeong.cli.main import main
from pyojeong.core.errors import InputError
from pyojeong.core.geometry import BOX_KINDS, has_patch, iou
from pyojeong.core.images import decode, read_bytes
from pyojeong.core.labels import BASIC7, FACEAPI, K7, KOREAN, M1, scheme_of
from pyojeong.detection.detector import Detector
from pyojeong.evaluation.comparison import compare
from pyojeong.evaluation.evaluate import evaluate
from pyojeong.evaluation.evaluation_csv import EvaluationTable
from pyojeong.evaluation.predictions import read_predictions
from pyojeong.faceapi.engines import FaceApiContender
from tests.evaluations import FACE_API, Row, write_photographs, write_table
from tests.faceapi.faces import png, portrait


@pytest.fixture
def workspace(tmp_path: Path) -> tuple[Path, list[Row]]:
    return tmp_path, write_photographs(tmp_path)


def with_facts(path: Path, **facts: str) -> Path:
    """A copy of the package's model with other metadata."""
    model = onnx.load(MODEL)
    for entry in model.metadata_props:
        entry.value = facts.get(entry.key, entry.value)
    onnx.save(model, path)
    return path


def test_our_model_writes_the_same_columns(workspace):
    root, rows = workspace
    ours = ModelContender.load()
    table = write_table(root / "t_BASIC7.csv", [*rows, (rows[0][0], "기쁨", (9000.0, 9000.0, 9100.0, 9100.0))])
    (summary,) = evaluate([EvaluationTable(table, BASIC7, root / "ours.csv")], ours, root=root)
    evaluate([EvaluationTable(table, BASIC7, root / "faceapi.csv")], FACE_API, root=root)
    frame, other = pl.read_csv(root / "ours.csv"), pl.read_csv(root / "faceapi.csv")

    assert frame.columns == other.columns
    assert summary.given.n == len(rows)
    assert summary.matched.n >= 10
    classifier, analyzer, detector = Classifier(ours.path), Analyzer(threads=1), Detector(threads=1)
    aligned = 0
    for (path, _, box), row in zip(rows, frame.iter_rows(named=True), strict=False):
        image = decode(read_bytes(root, path))
        looked = detector.look_at(image, box)
        aligned += looked is not None
        given = classifier.predict(image, box, box_kind="annotator", landmarks=looked.landmarks if looked else None)
        assert [row[f"given_p_{name}"] for name in FACEAPI] == pytest.approx(
            [given[name] for name in FACEAPI], abs=1e-6
        )
        found = analyzer.analyze(image)
        if not found:
            assert (row["n_faces"], row["face_detected"]) == (0, 0)
            continue
        best = max(found, key=lambda face: iou(face.box, box))
        assert row["n_faces"] == len(found)
        assert row["iou"] == pytest.approx(iou(best.box, box))
        assert (row["pred_label"], row["det_score"]) == (best.label, pytest.approx(best.score))
    assert aligned >= 10
    settings = json.loads((root / "ours.json").read_text())
    assert settings["model"] == "basic7_mnv3s_160_8bit.onnx"
    assert settings["model_sha256"] == hashlib.sha256(ours.path.read_bytes()).hexdigest()
    assert len(read_predictions(root / "ours.csv", BASIC7)) == len(rows) + 1


def test_finished_crops_are_not_cropped_again(workspace):
    root, _ = workspace
    pixels, box = portrait(0)
    x0, y0, x1, y1 = (round(value) for value in box)
    (root / "crop.png").write_bytes(png(pixels[y0:y1, x0:x1]))
    (root / "t.csv").write_text("path,label\ncrop.png,happy\n")
    evaluate([EvaluationTable(root / "t.csv", BASIC7, root / "out.csv")], ModelContender.load(), root=root)
    (row,) = pl.read_csv(root / "out.csv").iter_rows(named=True)

    expected = Classifier(MODEL).predict(pixels[y0:y1, x0:x1])
    assert {name: row[f"given_p_{name}"] for name in FACEAPI} == pytest.approx(expected, abs=1e-6)
    cut_again = Classifier(MODEL).predict(pixels[y0:y1, x0:x1], (0, 0, x1 - x0, y1 - y0), box_kind="annotator")
    assert max(abs(expected[name] - cut_again[name]) for name in FACEAPI) > 0.01


def test_the_kind_of_box_decides_the_crop(workspace):
    root, rows = workspace
    table = write_table(root / "t_M1.csv", rows[:1])
    model = with_facts(root / "boxes.onnx", aligned_by="box")
    for kind in BOX_KINDS:
        evaluate([EvaluationTable(table, M1, root / "out.csv")], ModelContender.load(model, kind), root=root)
        (row,) = pl.read_csv(root / "out.csv").iter_rows(named=True)
        expected = Classifier(model).predict(decode(read_bytes(root, rows[0][0])), rows[0][2], box_kind=kind)
        assert {name: row[f"given_p_{name}"] for name in FACEAPI} == pytest.approx(expected, abs=1e-6)
    with pytest.raises(InputError, match="no kind of box 'mine'; choose one of annotator, detector, blazeface"):
        ModelContender.load(box_kind="mine")


@pytest.mark.parametrize("contender", [FaceApiContender, ModelContender.load])
def test_boxes_that_cannot_be_a_face_are_left_out_for_every_contender(workspace, contender):
    root, rows = workspace
    path, label, box = rows[0]
    not_faces = [
        (0, 0, 0, 0),
        (400, 400, 300, 500),
        (-1e308, 0, 1e308, 50),
        (-20000, -20000, 20000, 20000),
        (-9, -9, 0, 0),
    ]
    table = write_table(root / "t_M1.csv", [*((path, label, other) for other in not_faces), (path, label, box)])
    (summary,) = evaluate([EvaluationTable(table, M1, root / "out.csv")], contender(), root=root)

    assert summary.n == len(not_faces) + 1
    assert summary.unreadable == {"bad_box": len(not_faces)}
    assert summary.all.n == summary.given.n == 1


@pytest.mark.parametrize("contender", [FaceApiContender, ModelContender.load])
def test_a_box_that_nearly_leaves_its_photograph_counts_for_every_contender(workspace, contender):
    root, rows = workspace
    path, label, _ = rows[0]
    height, width = decode(read_bytes(root, path)).shape[:2]
    box = (width - 2.0, 0.0, width + height / 2, height / 2)
    region = Classifier(MODEL).framing.region(box, "annotator")
    assert not has_patch(region, width, height), "our crop lies outside the photograph"
    (summary,) = evaluate(
        [EvaluationTable(write_table(root / "t_M1.csv", [(path, label, box)]), M1, root / "out.csv")],
        contender(),
        root=root,
    )
    assert summary.given.n == 1


def test_another_model_with_the_same_name_is_evaluated_again(workspace):
    root, rows = workspace
    table, model = write_table(root / "t_M1.csv", rows[:1]), root / "model.onnx"
    answers = []
    for facts in ({}, {"margin": "0.4"}):
        with_facts(model, aligned_by="box", **facts)
        evaluate([EvaluationTable(table, M1, root / "out.csv")], ModelContender.load(model), root=root)
        answers.append(pl.read_csv(root / "out.csv")["given_p_happy"][0])
        image = decode(read_bytes(root, rows[0][0]))
        assert answers[-1] == pytest.approx(
            Classifier(model).predict(image, rows[0][2], box_kind="annotator")["happy"], abs=1e-6
        )
    assert abs(answers[0] - answers[1]) > 1e-3


def test_the_command_writes_what_compare_reads(workspace, monkeypatch, capsys):
    root, rows = workspace
    write_table(root / "t_M1.csv", rows)
    monkeypatch.chdir(root)
    results = Path("models/evaluations/basic7_mnv3s_160_8bit_t_M1_eval.csv")
    for command in (
        ["evaluate", "--csv", "t_M1.csv"],
        ["baseline", "--csv", "t_M1.csv", "--out", "faceapi.csv"],
        ["compare", "face-api.js=faceapi.csv", f"ours={results}", "--scheme", "M1", "--out", "comparison"],
    ):
        monkeypatch.setattr(sys, "argv", ["pyojeong", *command])
        with pytest.raises(SystemExit) as stop:
            main()
        assert not stop.value.code, capsys.readouterr().err
    shown = capsys.readouterr().out

    assert json.loads(shown[: shown.index("}\n{") + 1])["csv"] == str(results)
    assert "face-api.js -> ours, given, n=13" in shown
    assert len(pl.read_csv(results)) == len(rows)


def test_a_model_with_korean_classes_writes_them(workspace, exported):
    root, rows = workspace
    ours = ModelContender.load(shutil.copy(exported / "k7_mnv3s_160.onnx", root / "k7.onnx"))
    evaluate([EvaluationTable(write_table(root / "t_K7.csv", rows), K7, root / "out.csv")], ours, root=root, workers=2)
    frame = pl.read_csv(root / "out.csv")

    assert set(frame["given_pred_label"]) <= set(KOREAN)
    assert frame["gt_label"].to_list() == [label for _, label, _ in rows]
    with pytest.raises(InputError, match="k7 does not know all classes of scheme M1; choose one of K7"):
        evaluate([EvaluationTable(write_table(root / "t_M1.csv", rows), M1, root / "m1.csv")], ours, root=root)


def test_answers_are_read_by_the_words_of_the_scheme_as_in_compare(workspace, caplog):
    root, rows = workspace
    table, out = write_table(root / "t.csv", [(path, "happy", box) for path, _, box in rows]), root / "out.csv"
    for others in ([], ["angry", "fearful", "disgusted", "surprised"]):
        classes = [{"name": "sad"}, {"name": "neutral"}, {"name": "happy", "words": others}]
        scheme = scheme_of("moods", classes)
        (summary,) = evaluate([EvaluationTable(table, scheme, out)], ModelContender.load(), root=root)
        shutil.copy(out, root / "same.csv")
        scores = compare([("a", out), ("b", root / "same.csv")], scheme, root / "scores").scores
        for protocol in ("matched", "all", "given"):
            (accuracy,) = scores.filter(contender="a", protocol=protocol)["accuracy"]
            assert getattr(summary, protocol).accuracy == pytest.approx(accuracy)
        frame = pl.read_csv(out)
        assert frame["given_correct"].to_list() == [
            int(answer in ("happy", *others)) for answer in frame["given_pred_label"]
        ]
        assert len(set(frame["given_pred_label"]) & {"happy", "angry", "fearful", "disgusted", "surprised"}) > 1
    assert "made with other settings" in caplog.text, "its words changed"


def test_answers_that_the_scheme_has_no_class_for_are_refused(workspace, exported):
    root, rows = workspace
    ours = ModelContender.load(shutil.copy(exported / "k7_mnv3s_160.onnx", root / "k7.onnx"))
    table = write_table(root / "t.csv", [row for row in rows if row[1] in KOREAN[:5]])
    scheme = scheme_of("five", [{"name": word} for word in KOREAN[:5]])
    with pytest.raises(InputError, match="scheme five has no class for these answers of k7: 슬픔, 중립; add each to"):
        evaluate([EvaluationTable(table, scheme, root / "five.csv")], ours, root=root)
    classes = [{"name": word} for word in KOREAN[:4]] + [{"name": KOREAN[4], "words": [*KOREAN[5:]]}]
    scheme = scheme_of("five", classes)
    evaluate([EvaluationTable(table, scheme, root / "five.csv")], ours, root=root)
    assert len(read_predictions(root / "five.csv", scheme)) == len(pl.read_csv(table))


def test_classes_with_other_names_are_answered_by_their_words(workspace):
    root, rows = workspace
    table = write_table(root / "t.csv", [(path, "긍정", box) for path, _, box in rows[:6]])
    good, others = ["happy", "surprised"], ["neutral", "sad", "angry", "fearful", "disgusted"]
    scheme = scheme_of("ko2", [{"name": "긍정", "words": good}, {"name": "그외", "words": others}])
    for name, contender in (("ours", ModelContender.load()), ("faceapi", FACE_API)):
        evaluate([EvaluationTable(table, scheme, root / f"{name}.csv")], contender, root=root)
        frame = pl.read_csv(root / f"{name}.csv")
        assert frame["given_correct"].to_list() == [int(answer in good) for answer in frame["given_pred_label"]]
        read = read_predictions(root / f"{name}.csv", scheme)
        assert read["given"].to_list() == ["긍정" if right else "그외" for right in frame["given_correct"]]
    scheme = scheme_of("ko3", [{"name": "긍정", "words": [*good, *others]}, {"name": "그외", "words": ["bored"]}])
    with pytest.raises(InputError) as caught:
        evaluate([EvaluationTable(table, scheme, root / "no.csv")], FACE_API, root=root)
    assert str(caught.value) == (
        f"{table}: no answer of face-api stands for these classes of scheme ko3: 그외; it answers "
        f"{', '.join(FACEAPI)}. Add those that stand for a class to its words"
    )


def test_a_model_that_changed_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(MODEL.read_bytes())
    ours = ModelContender.load(path)
    path.write_bytes(MODEL.read_bytes() + b"\0")
    with pytest.raises(InputError, match=r"model\.onnx: changed since the evaluation began"):
        ours.open()
