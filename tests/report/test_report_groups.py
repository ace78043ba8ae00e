"""The report by group, on test tables that say who is shown and where."""

import re
from pathlib import Path

import polars as pl

from pyojeong.core.table import write_csv
from pyojeong.report.report import report
from tests.workspaces import PREDICTIONS, make_workspace


def add_groups(root: Path) -> None:
    """Give every test table a gender and a place, and spoil the answers of Finetune_K7_160 about women."""
    for csv in (root / "data_shared").glob("*/test_*.csv"):
        table = pl.read_csv(csv, infer_schema=False)
        # By the person, whose hash ends in a number.
        women = pl.col("person").str.slice(-1).is_in(list("02468ace"))
        hut = pl.col("person").str.slice(-2) == "00"
        table = table.with_columns(
            gender=pl.when(women).then(pl.lit("여")).otherwise(pl.lit("남")),
            place=pl.when(hut).then(pl.lit("<오두막>")).otherwise(pl.lit("도심 환경")),
        )
        write_csv(table, csv)
    spoiled = root / PREDICTIONS["Finetune_K7_160"]
    table = pl.read_csv(root / "data_shared/cropped_faces_csv/test_K7.csv", infer_schema=False)
    frame = pl.read_csv(spoiled).join(table.select("path", "gender"), on="path", maintain_order="left")
    wrong = pl.when(pl.col("true") == "기쁨").then(pl.lit("슬픔")).otherwise(pl.lit("기쁨"))
    third = pl.int_range(pl.len()) % 3 == 0
    frame = frame.with_columns(pred=pl.when((pl.col("gender") == "여") & third).then(wrong).otherwise("pred"))
    write_csv(frame.drop("gender"), spoiled)


def test_the_report_scores_groups_and_names_small_ones(tmp_path: Path, no_figures: None) -> None:
    make_workspace(tmp_path)
    plain = report(tmp_path)
    assert plain.groups.is_empty()
    assert not (tmp_path / "reports/group_scores.csv").exists()
    assert "By group" not in plain.page.read_text(encoding="utf-8")

    add_groups(tmp_path)
    made = report(tmp_path)
    assert pl.read_csv(tmp_path / "reports/group_scores.csv").height == made.groups.height
    found = made.groups.filter(pl.col("p_holm") <= 0.05)
    assert set(found["contender"]) == {"Finetune_K7_160"}
    assert set(found["column"]) == {"gender"}
    assert {"FaceAPI_M1", "Probe_M2_160", "annotators_K7"} <= set(made.groups["contender"])
    assert set(made.groups.filter(pl.col("contender") == "FaceAPI_M1")["protocol"]) == {"all", "given"}
    assert set(made.groups.filter(pl.col("group") == "<오두막>")["remark"]) == {"too small: 1 of at least 10 people"}
    page = made.page.read_text(encoding="utf-8")
    assert "Too small to be scored 표본 부족: place &lt;오두막&gt;" in page
    shown = page.split("By group")[1].split("<details>")[0]
    assert set(re.findall(r"(?:Finetune|Probe|FaceAPI|annotators)_\w+", shown)) == {"Finetune_K7_160"}
