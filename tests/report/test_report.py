"""The report of random predictions: published columns, fair columns, figures and the page."""

import re
import warnings
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from PIL import Image
from sklearn.metrics import f1_score

from pyojeong.core.errors import InputError
from pyojeong.core.files import write_json
from pyojeong.core.labels import BASIC7
from pyojeong.core.workspace import EXPERIMENTS, SYNTHETIC_NOTICE
from pyojeong.report import figures
from pyojeong.report.report import Report, compare, report
from tests.workspaces import PREDICTIONS, make_workspace

PUBLISHED = ["exp", "csv", "n_raw", "n_eval", "coverage(%)", "filter", "Top1_Acc(%)", "Macro-F1"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    root = tmp_path_factory.mktemp("workspace")
    make_workspace(root, images=210)
    with warnings.catch_warnings():
        # Matplotlib warns "Glyph ... missing" for every letter that its font lacks.
        warnings.simplefilter("error")
        return root, report(root)


def _row(made: tuple[Path, Report], name: str) -> dict[str, object]:
    return made[1].summary.row(by_predicate=pl.col("exp") == name, named=True)


def test_seven_rows_with_the_published_columns_first(made: tuple[Path, Report]) -> None:
    summary = pl.read_csv(made[0] / "reports" / "summary_overall_7exp.csv")
    assert summary.columns[:8] == PUBLISHED
    assert summary["exp"].to_list() == list(EXPERIMENTS)
    assert summary["csv"].to_list() == [*PREDICTIONS.values()]
    assert made[1].missing == {}


def test_the_faceapi_row_means_what_the_published_one_meant(made: tuple[Path, Report]) -> None:
    raw = pl.read_csv(made[0] / PREDICTIONS["FaceAPI_M1"])
    kept = raw.filter((pl.col("face_detected") == 1) & (pl.col("iou") >= 0.3))
    row = _row(made, "FaceAPI_M1")
    assert (row["n_raw"], row["n_eval"]) == (210, len(kept))
    assert row["coverage(%)"] == round(100 * len(kept) / 210, 2)
    assert row["filter"] == "face_detected==1; iou>=0.3;"
    right = int(kept["correct"].sum())
    assert row["Top1_Acc(%)"] == round(100 * right / len(kept), 2)
    assert row["all_Acc(%)"] == round(100 * right / 210, 2)
    assert row["given_Acc(%)"] == round(100 * int(raw["given_correct"].sum()) / 210, 2)
    present = sorted(set(kept["gt_label"]))
    f1 = f1_score(kept["gt_label"], kept["pred_label"], labels=present, average="macro", zero_division=0)
    assert row["Macro-F1"] == round(f1, 4)
    assert (row["people"], row["interval_over"], row["data"], row["val_best_Macro-F1"]) == (
        30,
        "people",
        SYNTHETIC_NOTICE,
        None,
    )


def test_the_mobilenet_row_is_the_same_under_every_protocol(made: tuple[Path, Report]) -> None:
    row = _row(made, "Finetune_K7_160")
    assert (row["n_eval"], row["coverage(%)"], row["filter"]) == (210, 100.0, "")
    assert row["Top1_Acc(%)"] == row["all_Acc(%)"] == row["given_Acc(%)"]
    assert row["val_best_Macro-F1"] == 0.74
    assert row["started_from"] == "start.npz"
    assert _row(made, "FaceAPI_M1")["started_from"] is None
    assert isinstance(row["ECE"], float)
    assert 0 < row["ECE"] < 0.5


def test_tables_of_each_experiment_have_the_published_form(made: tuple[Path, Report]) -> None:
    reports = made[0] / "reports"
    for name in EXPERIMENTS:
        counts = pl.read_csv(reports / f"{name}_cm_counts.csv")
        shares = pl.read_csv(reports / f"{name}_cm_row_normalized.csv")
        scores = pl.read_csv(reports / f"{name}_per_class_metrics.csv")
        classes = counts.columns[1:]
        assert counts.columns[0] == "true"
        assert counts["true"].to_list() == classes == scores["class"].to_list() == shares.columns[1:]
        assert scores.columns == ["class", "precision", "recall", "f1", "tp", "fp", "fn", "support"]
        assert scores["support"].sum() == counts.drop("true").to_numpy().sum() == _row(made, name)["n_eval"]
        for total in shares.drop("true").sum_horizontal():
            assert total == pytest.approx(1) or total == 0
    words = ["angry", "disgusted", "fearful", "happy", "neutral", "sad", "surprised"]
    assert pl.read_csv(reports / "FaceAPI_M2_cm_counts.csv")["true"].to_list() == words
    korean = ["기쁨", "당황", "분노", "불안", "상처", "슬픔", "중립"]
    assert pl.read_csv(reports / "Finetune_K7_160_cm_counts.csv")["true"].to_list() == korean
    everything = pl.read_csv(reports / "per_class_all_7exp.csv")
    assert everything.columns[0] == "exp"
    assert everything.height == 49


def test_pairs_join_crops_to_their_photographs(made: tuple[Path, Report]) -> None:
    paired = pl.read_csv(made[0] / "reports" / "paired_comparison.csv")
    row = paired.row(
        by_predicate=(pl.col("first") == "FaceAPI_M1")
        & (pl.col("second") == "Finetune_M1_160")
        & (pl.col("protocol") == "given"),
        named=True,
    )
    assert row["n"] == 210
    assert 100 * row["accuracy_first"] == pytest.approx(_row(made, "FaceAPI_M1")["given_Acc(%)"], abs=0.005)
    # The network never had to find a face, so what face-api missed is not held against it in the test.
    mixed = (pl.col("first") == "FaceAPI_M1") & (pl.col("second") == "Finetune_M1_160")
    assert set(paired.filter(mixed)["protocol"]) == {"matched", "given"}
    assert 100 * row["accuracy_second"] == pytest.approx(_row(made, "Finetune_M1_160")["Top1_Acc(%)"], abs=0.005)
    assert paired.filter(pl.col("protocol") == "matched").height == 4
    ceiling = pl.read_csv(made[0] / "reports" / "human_ceiling.csv")
    assert ceiling["scheme"].to_list() == ["M1", "M2", "K7"]
    assert ceiling["accuracy"].is_between(0.8, 0.95).all()


@pytest.mark.usefixtures("no_figures")
def test_the_order_of_rows_changes_no_table(made: tuple[Path, Report], tmp_path: Path) -> None:
    make_workspace(tmp_path, images=210)
    for csv in PREDICTIONS.values():
        pl.read_csv(tmp_path / csv).sample(fraction=1, shuffle=True, seed=5).write_csv(tmp_path / csv)
    again = report(tmp_path).summary
    intervals = [name for name in again.columns if "low" in name or "high" in name]
    assert again.drop(intervals).equals(made[1].summary.drop(intervals))


def test_figures_are_there_and_of_a_legible_size(made: tuple[Path, Report]) -> None:
    for name in ("overview", "confusions", "class_scores"):
        with Image.open(made[0] / "reports" / "figures" / f"{name}.png") as picture:
            assert picture.width > 1000
            assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 50


def test_hangul_is_drawn_with_a_font_that_has_it() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        matrix = pl.DataFrame({"true": ["기쁨", "상처"], "기쁨": [1.0, 0.5], "상처": [0.0, 0.5]})
        assert figures.to_png(figures.confusions({"Finetune_K7_160": matrix})).startswith(b"\x89PNG")


class _Links(HTMLParser):
    """Collects everything that a browser would load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [value or "" for name, value in attrs if name in ("src", "srcset", "href", "data", "action")]


def test_the_page_fetches_nothing_and_says_it_is_synthetic(made: tuple[Path, Report]) -> None:
    text = made[1].page.read_text(encoding="utf-8")
    links = _Links()
    links.feed(text)
    assert len(links.found) == 6
    assert all(link.startswith("data:image/png;base64,") for link in links.found)
    assert not {"script", "link", "iframe"} & set(links.tags)
    assert "url(" not in text
    assert SYNTHETIC_NOTICE in text
    for heading in ("공정 비교", "혼동 행렬", "클래스별", "사람의 일치도"):
        assert heading in text
    for name in EXPERIMENTS:
        assert f">{name}<" in text


def test_every_protocol_stands_on_the_page_with_its_n(made: tuple[Path, Report]) -> None:
    text = made[1].page.read_text(encoding="utf-8")
    section = text[text.index("공정 비교") : text.index("같은 사진에서의 차이")]
    rows = re.findall(r"<td class=\"word\">(FaceAPI_M1)</td><td class=\"word\">([^<]+)</td><td>([\d,]+)</td>", section)
    assert [row[1].split()[0].strip(",") for row in rows] == ["matched", "all", "box"]
    assert [int(row[2]) for row in rows] == [_row(made, "FaceAPI_M1")["n_eval"], 210, 210]


@pytest.mark.usefixtures("no_figures")
def test_a_subset_is_reported_with_the_commands_for_the_rest(tmp_path: Path) -> None:
    make_workspace(tmp_path, images=70, synthetic=False)
    for name, csv in PREDICTIONS.items():
        if name not in ("FaceAPI_M1", "Finetune_M1_160"):
            (tmp_path / csv).unlink()
    made = report(tmp_path)
    assert made.summary["exp"].to_list() == ["FaceAPI_M1", "Finetune_M1_160"]
    assert made.notice == ""
    assert made.missing["FaceAPI_M2"] == "pyojeong baseline --csv data_shared/splits_csv/test_M2.csv"
    command = made.missing["Probe_M1_160"]
    assert command.startswith("pyojeong train --mode probe --train-csv data_shared/cropped_faces_csv/train_M1.csv ")
    assert command.endswith("--out models/mobilenetv3_classifier/runs/probe_M1_160")
    text = made.page.read_text(encoding="utf-8")
    assert command in text
    assert SYNTHETIC_NOTICE not in text
    assert "합성 얼굴" not in text


@pytest.mark.parametrize("name", ["FaceAPI_M2", "Finetune_K7_160"])
def test_one_experiment_alone_is_enough(tmp_path: Path, name: str) -> None:
    make_workspace(tmp_path, images=40)
    stale = tmp_path / "reports" / "paired_comparison.csv"
    stale.parent.mkdir()
    stale.write_text("of an older run")
    for other, csv in PREDICTIONS.items():
        if other != name:
            (tmp_path / csv).unlink()
    assert report(tmp_path).summary["exp"].to_list() == [name]
    assert not stale.exists()


@pytest.mark.usefixtures("no_figures")
def test_predictions_without_the_data_csvs_are_reported_unpaired(tmp_path: Path) -> None:
    make_workspace(tmp_path, images=60)
    for csv in (tmp_path / "data_shared").rglob("*.csv"):
        csv.unlink()
    made = report(tmp_path)
    assert made.summary["people"].is_null().all()
    assert made.summary["interval_over"].to_list() == ["images"] * 7
    pairs = pl.read_csv(tmp_path / "reports" / "paired_comparison.csv")
    # face-api names photographs, MobileNet crops: without the data CSVs only MobileNet's runs can be paired.
    assert not pairs["first"].str.starts_with("FaceAPI").any()
    assert pairs.height == 2


def test_a_baseline_that_never_matches_still_has_a_row(tmp_path: Path) -> None:
    make_workspace(tmp_path, images=40)
    for name, csv in PREDICTIONS.items():
        if name not in ("FaceAPI_M1", "Finetune_M1_160"):
            (tmp_path / csv).unlink()
    path = tmp_path / PREDICTIONS["FaceAPI_M1"]
    pl.read_csv(path).with_columns(pl.lit(0.0).alias("iou")).write_csv(path)
    row = report(tmp_path).summary.row(by_predicate=pl.col("exp") == "FaceAPI_M1", named=True)
    assert (row["n_eval"], row["coverage(%)"], row["Top1_Acc(%)"], row["all_Acc(%)"]) == (0, 0.0, None, 0.0)


@pytest.mark.usefixtures("no_figures")
def test_a_baseline_alone_without_an_answer(tmp_path: Path) -> None:
    make_workspace(tmp_path, images=40)
    for name, csv in PREDICTIONS.items():
        if name != "FaceAPI_M1":
            (tmp_path / csv).unlink()
    path = tmp_path / PREDICTIONS["FaceAPI_M1"]
    answers = pl.read_csv(path)
    answers.with_columns(error=pl.lit("missing")).write_csv(path)
    with pytest.raises(InputError, match="none of the photographs could be read"):
        report(tmp_path)
    assert not (tmp_path / "reports").exists()
    answers.with_columns(iou=pl.lit(0.0)).write_csv(path)
    assert report(tmp_path).summary["n_eval"].to_list() == [0]


@pytest.mark.usefixtures("no_figures")
def test_tables_may_name_their_photographs_as_the_contract_allows(tmp_path: Path) -> None:
    make_workspace(tmp_path, images=60)
    report(tmp_path)
    before = (tmp_path / "reports/summary_overall_7exp.csv").read_bytes()
    for path in (tmp_path / "data_shared").rglob("*.csv"):
        frame = pl.read_csv(path).with_columns("./" + pl.col("path")).rename({"path": "image"})
        frame.write_csv(path)
    report(tmp_path)
    assert (tmp_path / "reports/summary_overall_7exp.csv").read_bytes() == before


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(("policy", "measured"), [("majority", True), ("unanimous", False), ("uploader", False)])
def test_people_are_a_ceiling_where_they_decide_the_label_and_may_differ(
    tmp_path: Path, policy: str, measured: bool
) -> None:
    make_workspace(tmp_path, images=60)
    summary = {"synthetic": False, "settings": {"policy": policy}}
    write_json(tmp_path / "data_shared/summary.json", summary)
    report(tmp_path)
    assert (tmp_path / "reports/human_ceiling.csv").exists() is measured


@pytest.mark.usefixtures("no_figures")
def test_no_experiment_at_all_names_the_first_command(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pyojeong baseline --csv data_shared/splits_csv/test_M1\.csv"):
        report(tmp_path)
    assert not (tmp_path / "reports").exists()


@pytest.mark.usefixtures("no_figures")
def test_a_bad_row_is_named_and_older_reports_stay(tmp_path: Path) -> None:
    make_workspace(tmp_path, images=40)
    report(tmp_path)
    before = (tmp_path / "reports" / "summary_overall_7exp.csv").read_bytes()
    path = tmp_path / PREDICTIONS["Probe_M1_160"]
    path.write_text("path,true,pred\na,happy,cheerful\n")
    with pytest.raises(InputError, match=r"probe_M1_160.test_preds\.csv, line 2: the label 'cheerful'"):
        report(tmp_path)
    assert (tmp_path / "reports" / "summary_overall_7exp.csv").read_bytes() == before


@pytest.mark.usefixtures("no_figures")
def test_a_summary_that_is_no_json_is_an_input_error(tmp_path: Path) -> None:
    make_workspace(tmp_path, images=40)
    (tmp_path / "data_shared" / "summary.json").write_text("{")
    with pytest.raises(InputError, match=r"summary\.json"):
        report(tmp_path)
    for other in ('{"people": 3}', "[]"):
        (tmp_path / "data_shared" / "summary.json").write_text(other)
        assert report(tmp_path).notice == ""


def test_any_contenders_are_compared_in_tables_and_a_picture(tmp_path: Path) -> None:
    for name, answers in {"a": ("happy", "sad"), "b": ("happy", "happy")}.items():
        lines = "".join(f"{row},happy,{word}\n" for row, word in enumerate(answers))
        (tmp_path / f"{name}.csv").write_text("path,true,pred\n" + lines)
    # By default matplotlib parses text between two $ as mathematics.
    files = [("$\\frac$", tmp_path / "a.csv"), ("b", tmp_path / "b.csv")]
    tables = compare(files, BASIC7, tmp_path / "out")
    assert tables.scores["accuracy"].to_list() == [0.5, 1.0]
    with Image.open(tmp_path / "out" / "compare.png") as picture:
        assert picture.width > 1000
    by_name = compare({name: str(csv) for name, csv in files}, "basic7", str(tmp_path / "again"))
    assert by_name.scores.equals(tables.scores)
    for name in ("compare_scores.csv", "compare_paired.csv", "compare.png"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    with pytest.raises(InputError, match="no label scheme 'K8'"):
        compare(files, "K8", tmp_path / "out")


@pytest.mark.parametrize("beside", ["a.json", "config.json"])
def test_a_comparison_on_synthetic_faces_says_so(tmp_path: Path, beside: str, caplog: pytest.LogCaptureFixture) -> None:
    files = [(name, tmp_path / f"{name}.csv") for name in "ab"]
    for _, file in files:
        file.write_text("path,true,pred\n1,happy,happy\n")
    compare(files, BASIC7, tmp_path / "out")
    assert SYNTHETIC_NOTICE not in caplog.text
    plain = (tmp_path / "out/compare.png").read_bytes()
    write_json(tmp_path / beside, {"synthetic": True})
    compare(files, BASIC7, tmp_path / "out")
    assert SYNTHETIC_NOTICE in caplog.text
    assert (tmp_path / "out/compare.png").read_bytes() != plain


@pytest.mark.usefixtures("no_figures")
def test_files_that_may_come_from_two_runs_are_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_workspace(tmp_path, images=84)
    folder = (tmp_path / PREDICTIONS["Probe_M1_160"]).parent
    for name, said in (("config.json", False), ("best.pt", False)):
        (folder / name).write_text("{}")
        report(tmp_path)
        assert ("stopped while its files were written" in caplog.text) is said
    (folder / "config.json").unlink()
    report(tmp_path)
    assert f"{folder}: the run was stopped while its files were written" in caplog.text


@pytest.mark.usefixtures("no_figures")
def test_predictions_of_other_data_are_refused_and_missing_ones_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_workspace(tmp_path, images=84)
    path = tmp_path / PREDICTIONS["Finetune_K7_160"]
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:-4]), encoding="utf-8")
    report(tmp_path)
    assert "no prediction for 4 of the 84 images" in caplog.text
    path.write_text("".join([lines[0], "elsewhere/" + lines[1], *lines[2:]]), encoding="utf-8")
    with pytest.raises(InputError, match=r"test_preds\.csv: 1 of its images are not in .*made from other data"):
        report(tmp_path)
    path.write_text("".join(lines), encoding="utf-8")
    table = tmp_path / "data_shared/cropped_faces_csv/test_K7.csv"
    first, _, rest = table.read_text(encoding="utf-8").partition(",기쁨")
    table.write_text(f"{first},상처{rest}", encoding="utf-8")
    with pytest.raises(InputError, match=r"test_preds\.csv: 1 of its images have another label in .*test_K7\.csv"):
        report(tmp_path)


@pytest.mark.usefixtures("no_figures")
def test_synthetic_runs_keep_their_notice_without_the_data(tmp_path: Path) -> None:
    make_workspace(tmp_path, images=84, synthetic=False)
    assert report(tmp_path).notice == ""
    write_json((tmp_path / PREDICTIONS["Probe_M1_160"]).parent / "config.json", {"synthetic": True})
    assert report(tmp_path).notice == SYNTHETIC_NOTICE


@pytest.mark.usefixtures("no_figures")
def test_tables_of_a_removed_experiment_are_deleted(tmp_path: Path) -> None:
    make_workspace(tmp_path, images=84)
    report(tmp_path)
    (tmp_path / PREDICTIONS["Probe_M1_160"]).unlink()
    report(tmp_path)
    assert not list((tmp_path / "reports").glob("Probe_M1_160_*"))
    assert len(list((tmp_path / "reports").glob("Probe_M2_160_*"))) == 3
