import json
import os
import re
import resource
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import get_args
from zipfile import is_zipfile

import polars as pl
import pytest

from pyojeong import __version__, experiments
from pyojeong.cli import options, terminal
from pyojeong.cli.main import main
from pyojeong.core import errors
from pyojeong.core.files import write_json
from pyojeong.core.geometry import BOX_KINDS
from pyojeong.core.table import write_csv
from pyojeong.core.workspace import SUMMARY
from pyojeong.data.folders import Collection
from pyojeong.data.records import POLICIES
from pyojeong.data.splits import BY
from pyojeong.evaluation.protocols import PROTOCOLS
from pyojeong.experiments import load_profile
from pyojeong.faceapi.detector import LIBRARIES
from pyojeong.faceapi.engines import DECODINGS, ENGINES
from pyojeong.report.report import Report
from pyojeong.training.scoring import RunMetrics
from tests.archives import jpeg
from tests.conftest import REPOSITORY

COMMANDS = (
    "sample",
    "prepare",
    "collect",
    "baseline",
    "evaluate",
    "faces",
    "analyze",
    "summary",
    "train",
    "export",
    "report",
    "compare",
    "run",
    "demo",
)


PAGES = ("runbook", "data_prep", "own_classes", "windows")
DOCUMENTS = ["README.md", "README.ko.md", *(f"docs/{page}.md" for page in PAGES)]
TABLES = ["--train-csv", "a.csv", "--val-csv", "b.csv", "--test-csv", "c.csv", "--out", "x"]


def call(monkeypatch, capsys, *arguments):
    """Run the command line in this process; return exit code, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["pyojeong", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        main()
    shown = capsys.readouterr()
    return left.value.code or 0, shown.out, shown.err


def test_help_lists_every_command(monkeypatch, capsys):
    code, out, _ = call(monkeypatch, capsys, "--help")
    assert code == 0
    assert tuple(re.findall(r"^  (\w+)  ", out.split("Commands:")[1], re.MULTILINE)) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_stands_in_the_runbook(monkeypatch, capsys, command):
    code, out, _ = call(monkeypatch, capsys, command, "--help")
    assert code == 0
    assert f"Usage: pyojeong {command}" in out
    assert f"pyojeong {command}" in (REPOSITORY / "docs" / "runbook.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_flags_in_the_documents_exist(monkeypatch, capsys, document):
    text = (REPOSITORY / document).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip().startswith("pyojeong ")]
    for line in lines:
        command, *words = line.split("#")[0].split()[1:]
        assert command in COMMANDS, line
        _, out, _ = call(monkeypatch, capsys, command, "--help")
        for flag in (word for word in words if word.startswith("--")):
            assert flag in out, line


def test_version(monkeypatch, capsys):
    assert call(monkeypatch, capsys, "--version")[:2] == (0, f"{__version__}\n")


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from pyojeong.cli.main import main; sys.argv = ['pyojeong', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'polars', 'matplotlib', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["baseline", "--csv", "none_M1.csv"], ["none_M1.csv", "no such file"]),
        (["baseline", "--csv", "test.csv"], ["test.csv", "--scheme"]),
        (["baseline", "--csv", "a/test_M1.csv", "--csv", "b/test_M1.csv"], ["one --out for each --csv"]),
        (["baseline", "--csv", "none_M1.csv", "--decode", "scaled"], ["not the contender of the reports", "--out"]),
        (["baseline", "--csv", "none_M1.csv", "--engine", "node"], ["none_M1.csv", "no such file"]),
        (["evaluate", "--csv", "none_M1.csv"], ["none_M1.csv", "no such file"]),
        (["evaluate", "--csv", "test_K7.csv"], ["does not know all classes of scheme K7", "M1, M2, BASIC7"]),
        (["evaluate", "--csv", "test_M1.csv", "--model", "none.onnx"], ["none.onnx", "no such file"]),
        (["run"], ["SOURCE", "--sample"]),
        (["run", "--sample", "--profile", "none"], ["none", "full, small, best, mixture, sample"]),
        (["run", "--sample", "--experiments", "none.toml"], ["none.toml", "no such file"]),
        (["compare", "a.csv", "b.csv", "--scheme", "M1", "--out", "x"], ["'a.csv'", "NAME=CSV"]),
        (["report"], ["none of the seven experiments", "pyojeong baseline"]),
        (["export"], ["best.pt"]),
        (["demo", "--no-browser", "--model-dir", "none"], ["none"]),
        (["prepare", "nothing"], ["nothing"]),
        (["baseline", "--csv", "test_M1.csv", "--scheme", "K9"], ["'K9'", "K7, M1, M2, BASIC7", ".toml"]),
        (["train", *TABLES, "--scheme", "none.toml"], ["none.toml: no such file"]),
        (["analyze", "a.jpg", "--model", "none.onnx"], ["none.onnx", "no such file"]),
        (["analyze", "a.jpg", "--min-face", "0"], ["the smallest face is 0"]),
        (["analyze", "a.mp4", "--fps", "-1"], ["fps is -1"]),
        (["analyze", "a.mp4", "--fps", "5", "--every", "2"], ["either every or fps"]),
        (["analyze", "a.jpg", "--out", "faces.xlsx"], ["faces.xlsx", ".parquet, .csv, .jsonl"]),
        (["summary", "none.parquet"], ["none.parquet: no such file", "pyojeong analyze"]),
        (["evaluate", "--csv", "."], [".: is a folder; name a file in it"]),
        (["baseline", "--csv", "..", "--scheme", "M1"], ["..: is a folder; name a file in it"]),
        (["baseline", "--csv", "x.csv", "--scheme", "."], [".: is a folder; name a file in it"]),
        (["train", *TABLES, "--scheme", "."], [".: is a folder; name a file in it"]),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(monkeypatch, capsys, tmp_path, arguments, words):
    monkeypatch.chdir(tmp_path)
    code, _, err = call(monkeypatch, capsys, *arguments)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["baseline", "--csv", "none_M1.csv", "--engine", "tf"], ["--engine", "'tf'", "'onnx', 'node'"]),
        (["prepare", "x", "--policy", "best"], ["--policy", "'best'", "'majority', 'unanimous', 'uploader'"]),
        (["evaluate", "--csv", "x.csv", "--box-kind", "my"], ["--box-kind", "'my'", "'annotator', 'detector'"]),
        (["compare", "a=b", "--scheme", "M1", "--out", "x", "--protocol", "some"], ["--protocol", "'some'", "'given'"]),
        (["train", "--mode", "magic"], ["--mode", "'magic'", "'probe', 'finetune'"]),
    ],
)
def test_a_value_that_is_not_a_choice_is_refused_with_the_choices(monkeypatch, capsys, tmp_path, arguments, words):
    monkeypatch.chdir(tmp_path)
    code, _, err = call(monkeypatch, capsys, *arguments)
    assert code == 2
    assert err.splitlines()[-1].startswith("Error: Invalid value for ")
    for word in words:
        assert word in err
    assert list(tmp_path.iterdir()) == []


def test_the_choices_are_those_of_the_library():
    assert get_args(get_args(options.Policy)[0]) == tuple(POLICIES)
    assert get_args(get_args(options.Split)[0]) == BY
    assert get_args(get_args(options.Engine)[0]) == ENGINES
    assert get_args(get_args(options.Library)[0]) == LIBRARIES
    assert get_args(get_args(options.Decode)[0]) == DECODINGS
    assert get_args(get_args(options.BoxKind)[0]) == BOX_KINDS
    assert tuple(options.Protocol) == PROTOCOLS


def test_a_scheme_may_be_written_in_any_case(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, _, err = call(monkeypatch, capsys, "baseline", "--csv", "none_M1.csv", "--scheme", "m1")
    assert (code, "none_M1.csv: no such file" in err) == (2, True)


def test_an_evaluation_bears_the_name_of_its_table(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").write_bytes(jpeg())
    for name, own in (("mine_BASIC7.csv", "mine_BASIC7"), ("test_M1.csv", "M1")):
        (tmp_path / name).write_text("path,label,minX,minY,maxX,maxY\na.jpg,happy,1,1,90,70\n")
        assert call(monkeypatch, capsys, "baseline", "--csv", name)[0] == 0
        assert (tmp_path / f"models/faceapi_baseline/results/faceapi_{own}_eval.csv").is_file()


def test_an_evaluation_of_nothing_readable_is_an_error(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t_M1.csv").write_text("path,label,minX,minY,maxX,maxY\nnone.jpg,happy,1,1,90,90\n")
    code, out, err = call(monkeypatch, capsys, "evaluate", "--csv", "t_M1.csv")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "t_M1.csv: its only row cannot be used: 1 missing (first none.jpg, line 2); there is no " in err
    assert not list(tmp_path.rglob("*_eval.*"))


def test_rows_that_are_left_out_are_told_with_exit_code_3(monkeypatch, capsys, caplog, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").write_bytes(jpeg())
    rows = "a.jpg,happy,1,1,90,70\nnone.jpg,happy,1,1,90,70\nnone2.jpg,sad,1,1,90,70\na.jpg,happy,500,1,600,70\n"
    (tmp_path / "t_BASIC7.csv").write_text(f"path,label,minX,minY,maxX,maxY\n{rows}")
    code, out, _ = call(monkeypatch, capsys, "baseline", "--csv", "t_BASIC7.csv")
    assert (code, json.loads(out)["unreadable"]) == (3, {"missing": 2, "bad_box": 1})
    assert (
        "t_BASIC7.csv: 3 of 4 rows left out: 2 missing (first none.jpg, line 3), "
        "1 bad_box (first a.jpg, line 5, minX 500, minY 1, maxX 600, maxY 70); there is no "
    ) in caplog.text


def test_a_training_that_left_rows_out_ends_with_exit_code_3(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    dropped = {"train": {}, "val": {"bad_box": 1}, "test": {}}
    metrics = RunMetrics(1, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, {}, "BASIC7", 1, "", dropped)
    monkeypatch.setattr("pyojeong.training.run.train", lambda *_, **__: metrics)
    csvs = [f"--{split}-csv={split}_BASIC7.csv" for split in ("train", "val", "test")]
    assert call(monkeypatch, capsys, "train", *csvs, "--out", "run")[0] == 3
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert call(monkeypatch, capsys, "train", *csvs, "--out", "run")[0] == 0


def test_what_was_made_of_an_earlier_run_is_told(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    metrics = RunMetrics(1, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, {}, "BASIC7", 1, "", {})
    monkeypatch.setattr("pyojeong.training.run.train", lambda *_, **__: metrics)
    csvs = [f"--{split}-csv={split}_BASIC7.csv" for split in ("train", "val", "test")]
    Path("run/report").mkdir(parents=True)
    for number, name in enumerate(("mine.onnx", "report/index.html", "best.pt", "new.onnx")):
        Path("run", name).write_bytes(b"x")
        os.utime(Path("run", name), (number, number))
    out = call(monkeypatch, capsys, "train", *csvs, "--out", "run")[1]
    assert "run/mine.onnx is the export of an earlier run; export again" in out
    assert "run/report is the report of an earlier run; write it again: pyojeong report --run run\n" in out
    assert "new.onnx" not in out
    os.utime("run/best.pt", (0, 0))
    assert "earlier run" not in call(monkeypatch, capsys, "train", *csvs, "--out", "run")[1]


def test_collect_ends_with_exit_code_3_where_a_photograph_was_passed_over(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    for drops, expected in (({"corrupt": 1}, 3), ({"empty_folder": 1}, 3), ({"repeated": 2, "no_face": 1}, 0)):
        made = Collection(Path("faces.toml"), {}, {"train": {}}, None, 0, drops)
        monkeypatch.setattr("pyojeong.data.folders.collect", lambda *_, made=made, **__: made)
        assert call(monkeypatch, capsys, "collect", tmp_path)[0] == expected


def test_two_schemes_of_one_name_are_refused(monkeypatch, capsys, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.toml").write_text('[[class]]\nname = "x"\n[[class]]\nname = "y"\n')
    flags = [flag for folder in "ab" for flag in ("--scheme", tmp_path / folder / "mine.toml")]
    code, _, err = call(monkeypatch, capsys, "prepare", tmp_path, *flags)
    assert (code, "two files of --scheme are named mine; rename one" in err) == (2, True)


def test_a_whole_run_prepares_as_told_and_says_what_was_lost(monkeypatch, capsys, tmp_path):
    told = {}

    def run(root, source, profile, **options):
        told.update(options)
        write_json(root / SUMMARY, {"drops": {"unfinished_download": 2, "no_majority": 9}})
        return Report(pl.DataFrame(), pl.DataFrame(), {}, root / "index.html", "")

    monkeypatch.setattr(experiments, "run", run)
    monkeypatch.setattr(terminal, "print_report", lambda *_: None)
    flags = ["--policy", "unanimous", "--split", "image", "--seed", "5", "--skip-unreadable"]
    code, _, err = call(monkeypatch, capsys, "run", tmp_path, "--project-root", tmp_path, *flags)
    assert told["preparation"] == {"policy": "unanimous", "split": "image", "seed": 5, "skip_unreadable": True}
    assert (code, err) == (3, "incomplete: 2 unfinished_download; the summary lists them. Everything else is done.\n")


def test_training_flags_are_checked(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    csvs = [f"--{split}-csv={split}_K7.csv" for split in ("train", "val", "test")]
    for extra, word in (
        (["--set", "flipp=1"], "flipp"),
        (["--set", "flip"], "KEY=VALUE"),
        (["--set", "=3"], "KEY=VALUE"),
        (["--set", "scheme=K7"], "unknown training option scheme"),
        (["--set", "out=elsewhere"], "unknown training option out"),
        (["--set", "epochs=2"], "--epochs"),
        (["--set", "flip=much"], "'much'"),
        (["--set", "distil=.9"], "distil has no effect without teachers"),
        (["--mode", "probe", "--lr-backbone", "1"], "lr_backbone has no effect in a probe"),
        (["--epochs", "0"], "epochs"),
    ):
        code, _, err = call(monkeypatch, capsys, "train", "--mode", "finetune", *csvs, "--out", "run", *extra)
        assert (code, err[:7]) == (2, "error: ")
        assert word in err


def test_the_recipe_comes_from_the_profile_and_flags_win(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    calls = []

    def train(recipe, tables, out, **options):
        calls.append(recipe)
        return RunMetrics(1, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, {}, "BASIC7", 1, "", {})

    monkeypatch.setattr("pyojeong.training.run.train", train)
    csvs = [f"--{split}-csv={split}_BASIC7.csv" for split in ("train", "val", "test")]
    for flags in (
        [],
        ["--profile", "best"],
        ["--profile", "best", "--epochs", "3", "--set", "flip=0", "--set", "gray=.2"],
    ):
        assert call(monkeypatch, capsys, "train", *csvs, "--out", "run", *flags)[0] == 0
    published, best, changed = calls
    assert (published.mode, published.epochs, published.batch) == ("finetune", 30, 1024)
    assert published.teachers == ""
    expected = load_profile("best").training_options("finetune", "BASIC7")
    assert (expected["box_kind"], expected["teachers"]) == ("detector", "dlib vggface2")
    assert expected.items() <= asdict(best).items()
    assert (changed.epochs, changed.flip, changed.stretch) == (3, 0, expected["stretch"])
    assert changed.gray == 0.2
    code, _, err = call(monkeypatch, capsys, "train", *csvs, "--out", "run", "--profile", "none")
    assert (code, "full, small, best, mixture, sample" in err) == (2, True)


def test_a_missing_extra_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setattr(errors, "find_spec", lambda name: None)

    def needs_scipy(*_, **__):
        raise ModuleNotFoundError("No module named 'scipy'", name="scipy.stats")

    monkeypatch.setattr("pyojeong.report.report.report", needs_scipy)
    code, _, err = call(monkeypatch, capsys, "report")
    assert code == 2
    assert "pyojeong[report]" in err


def test_a_full_disk_is_one_line_and_leaves_no_half_file(monkeypatch, capsys, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        code, _, err = call(monkeypatch, capsys, "sample", "--out", tmp_path / "sample", "--people", 6)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert code == 2
    assert "no space left" in err
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in left} <= {".zip", ".json"}
    assert all(is_zipfile(path) for path in left if path.suffix == ".zip")


def test_a_place_that_cannot_be_written_is_one_line(monkeypatch, capsys, tmp_path):
    (tmp_path / "file").write_text("in the way")
    code, _, err = call(monkeypatch, capsys, "sample", "--out", tmp_path / "file" / "sample", "--people", 6)
    assert code == 2
    assert err.startswith("error: ")
    assert "file" in err
    assert err.count("\n") == 1


def test_a_disk_that_fills_while_a_table_is_written_is_told_with_its_name(monkeypatch, capsys, tmp_path):
    table = pl.DataFrame({"path": ["x" * 100] * 2000})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    monkeypatch.setattr("pyojeong.report.report.report", lambda root: write_csv(table, root / "table.csv"))
    try:
        code, _, err = call(monkeypatch, capsys, "report", "--project-root", tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert code == 2
    assert "table.csv: no space left" in err
