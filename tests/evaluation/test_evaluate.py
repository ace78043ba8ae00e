import json
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from pyojeong.core.errors import InputError
from pyojeong.core.images import member_name, read_bytes
from pyojeong.core.labels import BASIC7, FACEAPI, K7, M1, M2
from pyojeong.evaluation import evaluate as module
from pyojeong.evaluation.evaluate import evaluate
from pyojeong.evaluation.evaluation_csv import Accuracy, EvaluationTable, summarize
from pyojeong.evaluation.predictions import read_predictions
from pyojeong.evaluation.protocols import answers
from pyojeong.faceapi.engines import FaceApiContender
from tests.evaluations import FACE_API, PUBLISHED, Row, write_photographs, write_table
from tests.faceapi.faces import jpeg, portrait


@pytest.fixture
def workspace(tmp_path: Path) -> tuple[Path, list[Row]]:
    return tmp_path, write_photographs(tmp_path)


def test_one_pass_answers_every_table_and_every_protocol(workspace, monkeypatch):
    root, rows = workspace
    reads = []

    def watched(root: Path, path: str) -> bytes:
        reads.append(path)
        return read_bytes(root, path)

    monkeypatch.setattr(module, "read_bytes", watched)
    first = write_table(root / "a_M1.csv", rows)
    second = write_table(root / "b_M2.csv", rows[::-1])
    summaries = evaluate(
        [EvaluationTable(first, M1, root / "M1.csv"), EvaluationTable(second, M2, root / "M2.csv")], FACE_API, root=root
    )
    assert sorted(reads) == sorted({path for path, _, _ in rows})  # each photograph once

    one, two = (pl.read_csv(root / f"M{number}.csv") for number in (1, 2))
    assert one.columns[:7] == PUBLISHED
    assert one["image"].to_list() == [path for path, _, _ in rows]
    assert one["gt_label"].to_list()[:7] == ["happy", "surprised", "angry", "fearful", "sad", "sad", "neutral"]
    assert two["gt_label"].to_list()[::-1][1] == "disgusted"
    same = ["image", "pred_label", "score", "iou", "n_faces", "given_pred_label", "p_happy", "error"]
    assert one.select(same).equals(two.select(same).reverse())

    for frame, summary in zip((one, two), summaries, strict=True):
        assert frame["correct"].to_list() == (frame["pred_label"] == frame["gt_label"]).cast(int).to_list()
        best = frame.select(f"p_{name}" for name in FACEAPI).to_numpy().argmax(axis=1)
        assert frame["pred_label"].to_list() == [FACEAPI[index] for index in best]
        matched = frame.filter(pl.col("iou") >= 0.3)
        assert len(matched) >= 10
        assert summary.n == summary.all.n == summary.given.n == len(rows)
        assert summary.coverage.value == len(matched) / len(rows)
        assert (summary.matched.n, summary.matched.accuracy) == (len(matched), matched["correct"].mean())
        assert summary.all.accuracy == matched["correct"].sum() / len(rows)
        assert summary.given.accuracy == frame["given_correct"].mean()


def test_of_several_faces_the_annotated_one_counts(workspace):
    root, rows = workspace
    out = root / "out.csv"
    evaluate([EvaluationTable(write_table(root / "t_M1.csv", rows), M1, out)], FACE_API, root=root)
    crowd = pl.read_csv(out).filter(pl.col("image").str.contains("crowd-2x1"))
    assert crowd["n_faces"].to_list() == [2, 2]
    assert (crowd["iou"] > 0.3).all()
    assert crowd["det_minX"][0] + 240 < crowd["det_minX"][1]
    for left, right, (_, _, box) in zip(crowd["det_minX"], crowd["det_maxX"], [rows[6], rows[11]], strict=True):
        assert box[0] < (left + right) / 2 < box[2]


def test_the_report_reads_what_is_written(workspace):
    root, rows = workspace
    evaluate([EvaluationTable(write_table(root / "t_M1.csv", rows), M1, root / "out.csv")], FACE_API, root=root)
    frame = read_predictions(root / "out.csv", M1)
    assert len(frame) == len(rows)
    assert frame["detected"].sum() >= 10
    assert frame["given"].null_count() == 0


def test_the_person_on_a_photograph_is_copied(workspace):
    root, rows = workspace
    table = write_table(root / "t_M1.csv", rows)
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0] + ",person", *(f"{line},p{n}" for n, line in enumerate(lines[1:]))]))
    evaluate([EvaluationTable(table, M1, root / "out.csv")], FACE_API, root=root)
    frame = read_predictions(root / "out.csv", M1)
    assert frame["person"].to_list() == [f"p{n}" for n in range(len(rows))]
    counted = answers(frame, M1, "all")
    assert counted is not None
    assert counted.people == frame["person"].to_list()


def test_unreadable_photographs_are_counted_and_count_in_no_figure(workspace, caplog):
    root, rows = workspace
    (root / "data_raw" / "empty.jpg").write_bytes(b"")
    (root / "data_raw" / "text.jpg").write_text("not a photograph")
    whole = (root / rows[0][0]).read_bytes()
    (root / "data_raw" / "half.jpg").write_bytes(whole[: len(whole) // 2])
    box = rows[0][2]
    bad = [(f"data_raw/{name}.jpg", "기쁨", box) for name in ("empty", "text", "half", "gone", "gone2")]
    outside = (rows[0][0], "기쁨", (9000.0, 9000.0, 9100.0, 9100.0))
    table = write_table(root / "t_M1.csv", [*bad[:3], *rows, *bad[3:], outside])
    (summary,) = evaluate([EvaluationTable(table, M1, root / "out.csv")], FACE_API, root=root)
    assert summary.unreadable == {"missing": 2, "empty": 1, "not_an_image": 1, "corrupt": 1, "bad_box": 1}
    assert summary.n == len(rows) + 6
    assert summary.coverage.n == summary.all.n == summary.given.n == len(rows)
    assert (
        "t_M1.csv: 6 of 19 rows left out: 2 missing (first data_raw/gone.jpg, line 18), 1 empty (first" in caplog.text
    )
    assert "1 bad_box (first data_raw/single-0.jpg, line 20, minX 9000, minY 9000, maxX 9100, maxY 9100)" in caplog.text
    assert f"; there is no {root / 'data_raw/gone.jpg'}; check the paths and --project-root" in caplog.text
    frame = pl.read_csv(root / "out.csv")
    assert frame["error"][:3].to_list() == ["empty", "not_an_image", "corrupt"]
    assert frame.filter(pl.col("error").is_not_null())["pred_label"].null_count() == 6


def test_unusual_photographs_are_answered_and_hostile_ones_counted(tmp_path):
    pixels, box = portrait(0)
    Image.fromarray(pixels).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    header = struct.pack(">4sIIBBBBB", b"IHDR", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (tmp_path / "bomb.png").write_bytes(bomb + b"\0\0\0\0IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")))
    names = ("cmyk.jpg", "deep.png", "bomb.png")
    table = write_table(tmp_path / "t_M1.csv", [(name, "기쁨", box) for name in names])
    (summary,) = evaluate([EvaluationTable(table, M1, tmp_path / "out.csv")], FACE_API, root=tmp_path)
    assert summary.unreadable == {"too_large": 1}
    assert summary.given.n == summary.matched.n == 2


def test_a_table_without_boxes_has_cropped_faces(workspace):
    root, _ = workspace
    pixels, box = portrait(0)
    x0, y0, x1, y1 = (round(value) for value in box)
    (root / "crop.png").write_bytes(jpeg(pixels[y0:y1, x0:x1], quality=100, subsampling=0))
    (root / "t.csv").write_text("path,label\ncrop.png,happy\n")
    evaluate([EvaluationTable(root / "t.csv", BASIC7, root / "out.csv")], FACE_API, root=root)
    frame = pl.read_csv(root / "out.csv", null_values="")
    assert frame["given_pred_label"][0] in FACEAPI
    assert frame.select(f"given_p_{name}" for name in FACEAPI).sum_horizontal()[0] == pytest.approx(1, abs=1e-5)


def test_a_finished_evaluation_is_not_made_again(workspace, monkeypatch):
    root, rows = workspace
    table, out = write_table(root / "t_M1.csv", rows), root / "out.csv"
    first = evaluate([EvaluationTable(table, M1, out)], FACE_API, root=root)
    written = out.stat().st_mtime_ns
    config = json.loads((root / "out.json").read_text())
    assert config["summary"] == asdict(first[0])
    assert (config["engine"], config["library"], config["input_size"]) == ("onnx", "vladmandic", 416)
    monkeypatch.setattr(FaceApiContender, "open", lambda *_: pytest.fail("analyzed again"))
    assert evaluate([EvaluationTable(table, M1, out)], FACE_API, root=root) == first
    assert out.stat().st_mtime_ns == written
    monkeypatch.undo()
    evaluate([EvaluationTable(table, M1, out)], FaceApiContender(input_size=320), root=root)
    assert json.loads((root / "out.json").read_text())["input_size"] == 320
    write_table(table, rows[:5])
    evaluate([EvaluationTable(table, M1, out)], FaceApiContender(input_size=320), root=root)
    assert len(pl.read_csv(out)) == 5


KILLED = """
import sys
import time
from pathlib import Path
from pyojeong.core.labels import M1
from pyojeong.evaluation import evaluate as module
from pyojeong.evaluation.evaluation_csv import EvaluationTable
from pyojeong.faceapi.engines import FaceApiContender
if __name__ == "__main__":
    module.CHUNK = 1
    read = module.read_bytes
    module.read_bytes = lambda *args: time.sleep(0.1) or read(*args)
    root = Path(sys.argv[1])
    module.evaluate([EvaluationTable(root / "t_M1.csv", M1, root / "out.csv")], FaceApiContender(), root=root)
"""


@pytest.mark.parametrize("spoil", [lambda line: line[:25], lambda line: bytes(len(line)) + b"\n", lambda line: b"7\n"])
@pytest.mark.heavy
def test_a_killed_run_is_resumed(workspace, spoil):
    root, rows = workspace
    table = write_table(root / "t_M1.csv", rows)
    evaluate([EvaluationTable(table, M1, root / "whole.csv")], FACE_API, root=root)
    script = root / "run.py"
    script.write_text(KILLED)
    partial_file = root / "out.partial.jsonl"
    process = subprocess.Popen([sys.executable, str(script), str(root)])
    while process.poll() is None and (not partial_file.exists() or partial_file.read_bytes().count(b"\n") < 4):
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert partial_file.exists(), "the run ended before it could be killed"
    assert not (root / "out.csv").exists()
    lines = partial_file.read_bytes().splitlines(keepends=True)
    # A kill can also cut off a line, and a power failure can leave zeros.
    partial_file.write_bytes(b"".join(lines[:-1]) + spoil(lines[-1]))
    done = {json.loads(line)["path"] for line in lines[1:-1]} - {json.loads(lines[-1])["path"]}
    assert done
    # What was done is not analyzed again: the files are gone.
    for path in done:
        if "!/" not in path and "crowd-2x1" not in path:
            (root / path).unlink()
    evaluate([EvaluationTable(table, M1, root / "out.csv")], FACE_API, root=root)
    assert (root / "out.csv").read_bytes() == (root / "whole.csv").read_bytes()
    assert not partial_file.exists()


def test_a_resumed_run_tries_missing_photographs_again(workspace, monkeypatch):
    root, rows = workspace
    table = write_table(root / "t_M1.csv", rows)
    evaluate([EvaluationTable(table, M1, root / "whole.csv")], FACE_API, root=root)
    plain = next(path for path, _, _ in rows if "!/" not in path)
    (root / plain).rename(root / "away.jpg")
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_csv", lambda *_: pytest.fail("stopped"))
        with pytest.raises(pytest.fail.Exception):
            evaluate([EvaluationTable(table, M1, root / "out.csv")], FACE_API, root=root)
    assert b'"missing"' in (root / "out.partial.jsonl").read_bytes()
    (root / "away.jpg").rename(root / plain)
    evaluate([EvaluationTable(table, M1, root / "out.csv")], FACE_API, root=root)
    assert (root / "out.csv").read_bytes() == (root / "whole.csv").read_bytes()


def test_the_partial_file_of_another_evaluation_is_not_used(workspace):
    root, rows = workspace
    table = write_table(root / "t_M1.csv", rows)
    evaluate([EvaluationTable(table, M1, root / "whole.csv")], FACE_API, root=root)
    (root / "out.partial.jsonl").write_text(
        '{"key": "of other settings"}\n{"path": "x", "id": 0, "error": "missing"}\n'
    )
    evaluate([EvaluationTable(table, M1, root / "out.csv")], FACE_API, root=root)
    assert (root / "out.csv").read_bytes() == (root / "whole.csv").read_bytes()


@pytest.mark.heavy
def test_processes_write_the_same_csv(workspace, monkeypatch):
    root, rows = workspace
    monkeypatch.setattr(module, "CHUNK", 2)
    table = write_table(root / "t_M1.csv", rows)
    evaluate([EvaluationTable(table, M1, root / "one.csv")], FACE_API, root=root)
    evaluate([EvaluationTable(table, M1, root / "two.csv")], FACE_API, root=root, workers=2)
    assert (root / "two.csv").read_bytes() == (root / "one.csv").read_bytes()


@pytest.mark.heavy
def test_a_dask_cluster_writes_the_same_csv(workspace, monkeypatch):
    distributed = pytest.importorskip("distributed")
    root, rows = workspace
    monkeypatch.setattr(module, "CHUNK", 2)
    table = write_table(root / "t_M1.csv", rows)
    evaluate([EvaluationTable(table, M1, root / "one.csv")], FACE_API, root=root)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        evaluate(
            [EvaluationTable(table, M1, root / "two.csv")], FACE_API, root=root, scheduler=cluster.scheduler_address
        )
    assert (root / "two.csv").read_bytes() == (root / "one.csv").read_bytes()


@pytest.mark.heavy
def test_a_scheduler_that_does_not_answer_is_named(workspace, monkeypatch):
    pytest.importorskip("distributed")
    from pyojeong.core import executors

    monkeypatch.setattr(executors, "TIMEOUT", "1s")
    root, rows = workspace
    with pytest.raises(InputError, match=r"tcp://127\.0\.0\.1:9"):
        evaluate(
            [EvaluationTable(write_table(root / "t_M1.csv", rows), M1, root / "out.csv")],
            FACE_API,
            root=root,
            scheduler="tcp://127.0.0.1:9",
        )


@pytest.mark.parametrize("size", [416, *(pytest.param(size, marks=pytest.mark.slow) for size in (160, 224, 320, 608))])
@pytest.mark.heavy
def test_the_real_library_writes_the_same_evaluation(workspace, size):
    root, rows = workspace
    table = write_table(root / "t_M1.csv", rows)
    evaluate([EvaluationTable(table, M1, root / "port.csv")], FaceApiContender(input_size=size), root=root)
    evaluate(
        [EvaluationTable(table, M1, root / "node.csv")], FaceApiContender(engine="node", input_size=size), root=root
    )
    port, node = (pl.read_csv(root / name) for name in ("port.csv", "node.csv"))
    words = [name for name, kind in port.schema.items() if not kind.is_float()]
    assert port.select(words).equals(node.select(words))
    numbers = [name for name in port.columns if name not in words]
    for name in numbers:
        tolerance = 1e-3 if name.startswith("det_m") else 1e-5
        assert port[name].to_list() == pytest.approx(node[name].to_list(), abs=tolerance), name


@pytest.mark.heavy
def test_the_annotated_faces_of_the_london_photographs_are_found(shared, tmp_path):
    rows = []
    for number, archive in enumerate(sorted((shared / "data" / "london_as_aihub").glob("*원천*"))):
        (tmp_path / f"{number}.zip").symlink_to(archive)
        with zipfile.ZipFile(archive) as members:
            rows += [(number, info) for info in members.infolist()[:6]]
    paths = [f"{number}.zip!/{member_name(info)}" for number, info in rows]
    write_table(tmp_path / "t_M1.csv", [(path, "중립", (400.0, 400.0, 950.0, 1100.0)) for path in paths])
    (summary,) = evaluate([EvaluationTable(tmp_path / "t_M1.csv", M1, tmp_path / "out.csv")], FACE_API, root=tmp_path)
    assert summary.unreadable == {}
    assert summary.coverage.value is not None
    assert summary.coverage.value >= 0.9


def test_a_scheme_with_other_classes_is_refused(workspace):
    root, rows = workspace
    with pytest.raises(
        InputError, match="face-api does not know all classes of scheme K7; choose one of M1, M2, BASIC7"
    ):
        evaluate([EvaluationTable(write_table(root / "t.csv", rows), K7, root / "out.csv")], FACE_API, root=root)


def test_a_summary_without_readable_photographs_has_no_accuracy(tmp_path):
    columns = [*PUBLISHED, "n_faces", "given_correct", "error"]
    (tmp_path / "e.csv").write_text(",".join(columns) + "\na.jpg,happy,,,0,,0,,,missing\n")
    summary = summarize(tmp_path / "e.csv")
    assert summary.unreadable == {"missing": 1}
    assert summary.all == Accuracy(0, None)


def test_a_library_user_may_name_files_and_scheme_by_strings(workspace, monkeypatch):
    root, rows = workspace
    write_table(root / "t_M1.csv", rows[:1])
    monkeypatch.chdir(root)
    (summary,) = evaluate([EvaluationTable("t_M1.csv", "M1", "out.csv")], FaceApiContender(), root=".")
    assert summary == summarize(root / "out.csv")
    assert EvaluationTable("t_M1.csv", None, "out.csv") == EvaluationTable(Path("t_M1.csv"), M1, Path("out.csv"))
    with pytest.raises(InputError, match=r"t_M1\.csv: its name says M1, not M2"):
        EvaluationTable("t_M1.csv", "M2", "out.csv")
