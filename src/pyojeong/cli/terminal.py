"""Print results on a terminal; files and --json have the full precision."""

import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table

from pyojeong.core.images import PROBLEMS

if TYPE_CHECKING:
    from polars import DataFrame

    from pyojeong.data.folders import Collection
    from pyojeong.evaluation.comparison import Comparison
    from pyojeong.evaluation.evaluation_csv import EvaluationSummary, EvaluationTable
    from pyojeong.report.report import Report
    from pyojeong.report.run_report import RunReport
    from pyojeong.training.scoring import RunMetrics


_SHOWN_FACES = 20
"""Faces of films in a printed summary."""

FEW_PHOTOGRAPHS = 10_000
"""Training photographs below which the profile ``small`` is proposed."""


def say(line: str) -> None:
    """Print a line without buffering."""
    print(line, flush=True)


def escape_unprintable() -> None:
    """Print what the output's encoding lacks as escapes.

    Redirected output on Windows is in the system's code page (CP949 in Korea), and a file name that is not valid text
    (CP949 bytes, as unzip leaves them on Linux) is in no encoding. Otherwise Python would stop with an error.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def json_text(value: object, indent: int | None = None) -> str:
    """Return a value as JSON with Hangul readable, or in ASCII where the output's encoding lacks a character."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent, default=str)
    return text


def command_line(words: Sequence[str]) -> str:
    """Return a command as it can be pasted into this system's terminal."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def print_json(value: object) -> None:
    """Print a value as indented JSON, see ``json_text``; paths become strings."""
    print(json_text(value, indent=2))


def print_collection(collection: "Collection", scheme: Path | None) -> None:
    """Print what ``collect`` wrote, who counts as a person, and the command that trains on it.

    ``scheme`` is the file of the scheme where the user gave one.
    """
    print_json(asdict(collection))
    if collection.people:
        print(
            f"People: the sub-folders of the classes ({collection.people:,}), each in one set only. If they are not "
            "people, put all photographs directly into the folder of their class"
        )
    file = scheme or collection.scheme
    words = [word for split, path in collection.tables.items() for word in (f"--{split}-csv", str(path))]
    words += ["--scheme", str(file), "--box-kind", "blazeface", "--out", f"models/{Path(str(file)).stem}"]
    if sum(collection.photographs["train"].values()) < FEW_PHOTOGRAPHS:
        words += ["--profile", "small"]
    print(f"Next: {command_line(['pyojeong', 'train', *words])}")


def print_summaries(tables: Iterable["EvaluationTable"], summaries: Iterable["EvaluationSummary"]) -> None:
    """Print the summary of each evaluation; exit code 3 where rows of a table were left out."""
    incomplete = False
    for table, summary in zip(tables, summaries, strict=True):
        print_json({"csv": str(table.out), **asdict(summary)})
        incomplete |= bool(summary.unreadable)
    if incomplete:
        raise typer.Exit(3)


def print_training(metrics: "RunMetrics", out: Path) -> None:
    """Print the test metrics of a run; exit code 3 where rows of its tables were left out.

    Not under torchrun, to which every other code than 0 is a crash.
    """
    print_json({key: getattr(metrics, key) for key in ("n", "accuracy", "macro_f1", "epoch")})
    print(f"All metrics: {out}/test_metrics.json")
    for file in sorted(out.glob("*.onnx")):
        if _is_older(file, out / "best.pt"):
            print(f"{file} is the export of an earlier run; export again")
    page = out / "report/index.html"
    if _is_older(page, out / "best.pt"):
        again = command_line(["pyojeong", "report", "--run", str(out)])
        print(f"{page.parent} is the report of an earlier run; write it again: {again}")
    if any(metrics.dropped.values()) and "TORCHELASTIC_RUN_ID" not in os.environ:
        raise typer.Exit(3)


def _is_older(file: Path, other: Path) -> bool:
    return file.is_file() and other.is_file() and file.stat().st_mtime_ns < other.stat().st_mtime_ns


def print_faces(results: Iterable[dict[str, Any]], as_json: bool, answers: str) -> None:
    """Print the faces of each image as they are found; exit code 2 where an image could not be read."""
    failed = False
    for result in results:
        failed |= "error" in result
        print(json_text(result) if as_json else face_lines(result, answers))
    if failed:
        raise typer.Exit(2)


def end_incomplete(drops: Mapping[str, int]) -> None:
    """Exit with code 3 after naming what is missing, where archives or label files of SOURCE were skipped."""
    from pyojeong.data.prepare import LOST

    if lost := {reason: drops[reason] for reason in LOST if reason in drops}:
        words = ", ".join(f"{count:,} {reason}" for reason, count in lost.items())
        print(f"incomplete: {words}; the summary lists them. Everything else is done.", file=sys.stderr)
        raise typer.Exit(3)


def face_lines(result: dict[str, Any], probabilities: str = "expressions") -> str:
    """Return the faces of one image as text; ``probabilities`` is the key of their values."""
    if "error" in result:
        return f"{result['image']}: {PROBLEMS[result['error']]}"
    lines = [f"{result['image']}: {result['width']}x{result['height']}, {len(result['faces'])} face(s)"]
    for face in result["faces"]:
        box = " ".join(f"{side} {value:.1f}" for side, value in face["box"].items())
        ranked = sorted((face[probabilities] or {}).items(), key=lambda item: -item[1])
        lines.append(f"  {box}  score {face['score']:.3f}")
        lines.append("    " + "  ".join(f"{name} {p:.3f}" for name, p in ranked))
    return "\n".join(lines)


def pair_lines(pair: dict[str, Any]) -> str:
    """Return one paired comparison as text."""
    over = f"intervals over {pair['interval_over']}"
    lines = [f"{pair['first']} -> {pair['second']}, {pair['protocol']}, n={pair['n']:,}, {over}"]
    for name in ("accuracy", "macro_f1"):
        first, second, difference, low, high = (
            pair[f"{name}_{part}"] for part in ("first", "second", "difference", "difference_low", "difference_high")
        )
        lines.append(
            f"  {name}  {first:.4f} -> {second:.4f}  difference {difference:+.4f} ({low:+.4f} ... {high:+.4f})"
        )
    only = (
        f"only {pair['first']} right {pair['only_first_right']:,}, only {pair['second']} {pair['only_second_right']:,}"
    )
    return "\n".join([*lines, f"  {only}; McNemar p {pair['mcnemar_p']:.2g}"])


def print_groups(groups: "DataFrame") -> None:
    """Print the significant differences between groups, and which groups are too small; nothing without groups."""
    if groups.is_empty():
        return
    from pyojeong.evaluation.groups import SIGNIFICANT, size_words, small_groups

    tested = groups.filter(groups["p_holm"].is_not_null())
    found = tested.filter(tested["p_holm"] <= SIGNIFICANT).sort("p_holm")
    if len(tested):
        print(f"Groups: {len(found):,} of {len(tested):,} differences from all others are significant (Holm)")
    else:
        print("Groups: none is large enough to be compared")
    for row in found.iter_rows(named=True):
        print(
            f"  {row['contender']}, {row['protocol']}: {row['measure']} of {row['column']} {row['group']} "
            f"({size_words(row['n'], row['people'])}) "
            f"{row['value']:.4f}, difference {row['difference']:+.4f} ({row['difference_low']:+.4f} ... "
            f"{row['difference_high']:+.4f}), p {row['p_holm']:.2g}"
        )
    if small := small_groups(groups):
        print(f"  too small: {', '.join(small)}")


def print_run_report(report: "RunReport") -> None:
    """Print the scores of one run and where its page is."""
    row = report.scores.row(0, named=True)
    scores = ", ".join(f"{name} {_with_interval(row, name)}" for name in ("accuracy", "macro_f1"))
    print(f"n {row['n']:,}, {scores}, intervals over {row['interval_over']}")
    print_groups(report.groups)
    print(f"Report: {report.page}")


def print_report(report: "Report", root: Path) -> None:
    """Print the summary of the seven experiments, what is missing, and where the reports are."""
    columns = {
        "exp": "experiment",
        "n_raw": "n",
        "coverage(%)": "coverage %",
        "Top1_Acc(%)": "matched %",
        "all_Acc(%)": "all %",
        "given_Acc(%)": "given %",
        "Macro-F1": "F1",
    }
    print_table("Seven experiments", report.summary.select(*columns).rename(columns))
    if report.notice:
        print(f"Note: {report.notice}.")
    print_groups(report.groups)
    for name, command in report.missing.items():
        print(f"missing: {name}; make it with: {command}")
    print(f"Reports: {root / 'reports'} (open {report.page})")


def print_comparison(comparison: "Comparison", out: Path) -> None:
    """Print the tables of a comparison; exit code 3 where images are in none of a contender's scores."""
    print_scores(comparison.scores)
    for pair in comparison.paired.iter_rows(named=True):
        print(pair_lines(pair))
    print_groups(comparison.groups)
    print(f"Tables and figure: {out}")
    if any(comparison.left_out.values()):
        raise typer.Exit(3)


def print_scores(scores: "DataFrame") -> None:
    """Print the scores of a comparison with their 95 % intervals."""
    from polars import DataFrame

    rows = [
        {
            "contender": row["contender"],
            "protocol": row["protocol"],
            "n": row["n"],
            **{name: _with_interval(row, name) for name in ("accuracy", "macro_f1")},
            "ece": "" if row["ece"] is None else _share(row["ece"]),
        }
        for row in scores.iter_rows(named=True)
    ]
    print_table("Scores", DataFrame(rows))


def _with_interval(row: dict[str, Any], name: str) -> str:
    return f"{_share(row[name])} ({_share(row[f'{name}_low'])}-{_share(row[f'{name}_high'])})"


def _share(value: float) -> str:
    # Without the leading zero the table fits into 80 columns.
    return f"{value:.3f}".removeprefix("0")


def print_time_shares(shares: "DataFrame") -> None:
    """Print how long each face of a film showed which emotion, and the same for all photographs."""
    if shares.is_empty():
        return
    rows = []
    for row in shares.iter_rows(named=True):
        seen = {name.removeprefix("share_"): share for name, share in row.items() if name.startswith("share_")}
        ranked = sorted(seen.items(), key=lambda item: -item[1])
        rows.append(
            {
                "source": row["source"],
                "face": row["id"],
                "pictures": row["pictures"],
                "seconds": row["seconds"],
                "share": "  ".join(f"{name} {100 * share:.0f} %" for name, share in ranked if share >= 0.005),
            }
        )
    from polars import DataFrame

    shown = DataFrame(rows[:_SHOWN_FACES], infer_schema_length=None)
    print_table("Share of time of each emotion", shown)
    if len(rows) > len(shown):
        print(f"... and {len(rows) - len(shown):,} more; pyojeong summary TABLE --out FILE writes them all")


def print_table(title: str, table: "DataFrame") -> None:
    """Print a table without cutting it off."""
    # Rich would wrap the table at 80 columns where the output is not a terminal.
    console = Console() if sys.stdout.isatty() else Console(width=200)
    grid = Table(title=title, title_justify="left")
    for name, kind in table.schema.items():
        grid.add_column(name, justify="right" if kind.is_numeric() else "left", no_wrap=True)
    for row in table.iter_rows():
        grid.add_row(*("" if value is None else _cell(value) for value in row))
    console.print(grid)


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
