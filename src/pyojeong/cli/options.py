"""Options of the command line that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyojeong.core.errors import InputError
from pyojeong.core.labels import scheme_for

if TYPE_CHECKING:
    from pyojeong.evaluation.evaluation_csv import EvaluationTable

Root = Annotated[Path, typer.Option("--project-root", help="The workspace that relative paths start from.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes that share the work.")]
Scheduler = Annotated[str | None, typer.Option(help="Address of a dask.distributed scheduler.")]
Seed = Annotated[int, typer.Option(help="Same seed, same result.")]
Policy = Annotated[str, typer.Option(help="Which label counts: majority, unanimous or uploader.")]
Split = Annotated[str, typer.Option(help="person, or image as the published tables did.")]
SkipUnreadable = Annotated[
    bool,
    typer.Option(
        "--skip-unreadable", help="Count archives and label files that cannot be read, and go on without them."
    ),
]
Engine = Annotated[str, typer.Option(help="onnx, or node for the real library under Node.js.")]
Library = Annotated[str, typer.Option(help="vladmandic (@vladmandic/face-api) or original (face-api.js 0.22.2).")]
InputSize = Annotated[int, typer.Option(help="Side of the detector's input in pixels.")]
ScoreThreshold = Annotated[float, typer.Option(help="Weakest face that counts, 0..1.")]
BoxKind = Annotated[str, typer.Option(help="Whose boxes the tables hold: annotator or detector.")]
Decode = Annotated[str, typer.Option(help="exact, or scaled: faster, another contender.")]
Profiles = Annotated[
    Path | None, typer.Option(help="Another file of profiles. [default: the package's experiments.toml]")
]
Outs = Annotated[
    list[Path] | None, typer.Option(help="Evaluation CSV, one for each --csv. [default: one below models]")
]
SchemeName = Annotated[
    str | None, typer.Option("--scheme", help="K7, M1, M2 or BASIC7; read off the CSV's name when omitted.")
]


def with_outs(csvs: list[Path], scheme: str | None, outs: list[Path]) -> list["EvaluationTable"]:
    """Return each ``--csv`` with its scheme and its ``--out``; InputError where one has none."""
    from pyojeong.evaluation.evaluation_csv import EvaluationTable

    if len(outs) != len(csvs):
        raise InputError(f"{len(csvs)} tables need as many evaluation CSVs; give one --out for each --csv")
    return [EvaluationTable(csv, scheme, out) for csv, out in zip(csvs, outs, strict=True)]


def short_name(scheme: str | None, csv: Path) -> str:
    """Return the published name, the scheme, for a test set of its own name, else the table's."""
    name = scheme_for(scheme, csv).name
    return name if csv.stem == f"test_{name}" else csv.stem
