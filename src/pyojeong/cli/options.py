"""Options that several commands of the command line share."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pyojeong.core.errors import InputError
from pyojeong.core.labels import SCHEMES, scheme_for

if TYPE_CHECKING:
    from pyojeong.evaluation.evaluation_csv import EvaluationTable

Images = Annotated[
    list[str],
    typer.Argument(metavar="IMAGE...", help="Image files, or ARCHIVE.zip!/MEMBER."),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per line, at full precision.")]
Model = Annotated[Path | None, typer.Option(help="An exported ONNX model. [default: the package's own]")]
Root = Annotated[Path, typer.Option("--project-root", help="The workspace; relative paths in tables start from it.")]
Workers = Annotated[int, typer.Option(min=1, help="Number of processes.")]
Scheduler = Annotated[str | None, typer.Option(help="Address of a dask.distributed scheduler.")]
Seed = Annotated[int, typer.Option(help="Random seed; the same seed gives the same result.")]
Policy = Annotated[
    Literal["majority", "unanimous", "uploader"],
    typer.Option(help="Whose label counts: of two or three annotators, of all three, or the uploader's."),
]
Split = Annotated[
    Literal["person", "image"], typer.Option(help="Split by person, or by image as the published tables.")
]
SkipUnreadable = Annotated[
    bool, typer.Option("--skip-unreadable", help="Count archives and label files that cannot be read, and continue.")
]
Tables = Annotated[
    list[Path], typer.Option(help="Table of photographs with boxes, or of crops; repeat it for several tables.")
]
OwnSchemes = Annotated[
    list[str] | None, typer.Option(help="A label scheme of your own (.toml) that gets tables too; repeatable.")
]
OwnScheme = Annotated[Path | None, typer.Option(help="A label scheme of your own (.toml). [default: one is written]")]
Mode = Annotated[Literal["probe", "finetune"], typer.Option(help="Train the head only, or everything in stages.")]
ProfileName = Annotated[
    str, typer.Option(help="Where the recipe comes from: full (the published one), best or sample.")
]
OtherOptions = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any other field of the recipe.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; the next free one if it is taken.")]
Engine = Annotated[
    Literal["onnx", "node"], typer.Option(help="onnx: our port; node: the library itself under Node.js.")
]
Library = Annotated[
    Literal["vladmandic", "original"], typer.Option(help="@vladmandic/face-api, or face-api.js 0.22.2.")
]
InputSize = Annotated[int, typer.Option(help="Side of the detector's input in pixels, a multiple of 32.")]
ScoreThreshold = Annotated[float, typer.Option(help="Lowest detector score of a face, 0..1.")]
MinFace = Annotated[
    float, typer.Option(help="Smallest face to find, as a share of the image's longer side; larger is faster.")
]
Thorough = Annotated[
    bool, typer.Option("--thorough", help="Also look for small faces behind a near one; several times slower.")
]
BoxKind = Annotated[
    Literal["annotator", "detector", "blazeface"], typer.Option(help="Who made the boxes in the tables.")
]
Decode = Annotated[
    Literal["exact", "scaled"], typer.Option(help="Decode in full, or at reduced size (faster, but another contender).")
]
Profiles = Annotated[
    Path | None, typer.Option(help="Another file of profiles. [default: the package's experiments.toml]")
]
Outs = Annotated[
    list[Path] | None, typer.Option(help="Evaluation CSV, one for each --csv. [default: a file below models]")
]
SCHEME_NAMES = f"{', '.join(SCHEMES)} or a .toml file"
SchemeName = Annotated[
    str | None, typer.Option("--scheme", help=f"Label scheme: {SCHEME_NAMES}. [default: from the CSV's name]")
]


class Protocol(StrEnum):
    """The protocols of ``evaluation.protocols``; typer accepts no list of Literals."""

    MATCHED = "matched"
    ALL = "all"
    GIVEN = "given"


Protocols = Annotated[
    list[Protocol] | None, typer.Option(help="Which images count; repeat for several. [default: all three]")
]


def with_outs(csvs: list[Path], scheme: str | None, outs: list[Path]) -> list["EvaluationTable"]:
    """Return each ``--csv`` with its scheme and its ``--out``; InputError where the numbers differ."""
    from pyojeong.evaluation.evaluation_csv import EvaluationTable

    if len(outs) != len(csvs):
        raise InputError(f"{len(csvs)} tables need as many evaluation CSVs; give one --out for each --csv")
    return [EvaluationTable(csv, scheme, out) for csv, out in zip(csvs, outs, strict=True)]


def named_files(words: list[str]) -> list[tuple[str, Path]]:
    """Split words such as ``ours=ours.csv`` into names and files; InputError for other words."""
    pairs = [(word, *word.partition("=")) for word in words]
    for word, name, _, file in pairs:
        if not (name and file):
            raise InputError(f"{word!r} is not NAME=CSV; write a name for the contender and its file")
    return [(name, Path(file)) for _, name, _, file in pairs]


def short_name(scheme: str | None, csv: Path) -> str:
    """Return the scheme for a published test set (``test_M1.csv`` -> ``M1``), else the name of the table."""
    name = scheme_for(scheme, csv).name
    return name if csv.stem == f"test_{name}" else csv.stem
