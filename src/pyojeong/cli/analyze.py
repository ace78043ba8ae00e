"""The commands ``analyze`` and ``summary``: from pictures and films to a table of faces."""

import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pyojeong.cli import terminal
from pyojeong.cli.options import AsJson, MinFace, Model, Thorough, Workers

if TYPE_CHECKING:
    from pyojeong.analysis.reading import PictureFaces, Reader
    from pyojeong.analysis.run import Tally

_SHOWN_PROBLEMS = 10
"""Lines on what could not be read, beside a table; the table has them all."""

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="Pictures, films, folders, patterns, ZIP archives, ARCHIVE.zip!/MEMBER, or camera:0.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(help="Write a table: .parquet, .csv or .jsonl. [default: print the faces]"),
]
Annotate = Annotated[Path | None, typer.Option(help="Folder for copies with boxes and labels.")]
Append = Annotated[bool, typer.Option("--append", help="Keep the rows of an existing table; skip its sources.")]
Every = Annotated[int, typer.Option(min=1, help="In films, take every N-th frame.")]
Fps = Annotated[float | None, typer.Option(help="In films, take at most so many frames a second. [default: all]")]
HalfLife = Annotated[
    float,
    typer.Option(min=0, help="In films, seconds after which a frame counts half in the averages; 0: no averages."),
]
Labels = Annotated[Literal["ko", "en"], typer.Option(help="Language of the labels that --annotate draws.")]


def analyze(
    sources: Sources,
    out: Out = None,
    annotate: Annotate = None,
    labels: Labels = "ko",
    every: Every = 1,
    fps: Fps = None,
    half_life: HalfLife = 0.3,
    min_face: MinFace = 0.02,
    thorough: Thorough = False,
    model: Model = None,
    workers: Workers = 1,
    append: Append = False,
    as_json: AsJson = False,
) -> None:
    """Read every face of photographs, folders, films and cameras.

    Prints them, or writes one table of all. A killed run goes on where it stopped. Ctrl-C ends a camera.

    The exit code is 3 when something could not be read.
    """
    from pyojeong.analysis.reading import Options, Reader
    from pyojeong.analysis.run import Tally, run

    options = Options(model, min_face, thorough, every, fps, half_life)
    reader = Reader(options, annotate=annotate, korean=labels == "ko", workers=workers, shown=out is not None)
    tally = Tally(0, 0, Counter())
    if out is None:
        _print_each(reader, sources, annotate, tally, as_json=as_json)
    else:

        def say(result: "PictureFaces") -> None:
            tally.count(result)
            if as_json:
                print(terminal.json_text(result.to_dict()))
            elif result.reason and sum(tally.reasons.values()) <= _SHOWN_PROBLEMS:
                print(_lines(result), file=sys.stderr)

        table = run(reader, [*sources], out, append=append, annotate=annotate, say=say)
        if not as_json:
            print(f"{out}: {len(table):,} rows; now read {tally.pictures:,} pictures and frames, {tally.faces:,} faces")
            terminal.print_time_shares(table.summary().table)
        tally.reasons = Counter(table.problems["reason"])
    if tally.reasons:
        words = ", ".join(f"{count:,} {reason}" for reason, count in tally.reasons.most_common())
        print(f"not read, or not to the end: {words}", file=sys.stderr)
        raise typer.Exit(3)


def summary(
    table: Annotated[Path, typer.Argument(help="A table of pyojeong analyze.")],
    out: Annotated[Path | None, typer.Option(help="Write the summary as .parquet, .csv or .jsonl too.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw emotions over time into this PNG.")] = None,
) -> None:
    """Sum up a table of faces.

    For each face of a film, and for all photographs: the share of time of each emotion.
    """
    from pyojeong.analysis.table import FaceTable, check_suffix, sink
    from pyojeong.core.files import whole_file

    summed = FaceTable.read(table).summary()
    terminal.print_time_shares(summed.table)
    if out:
        with whole_file(check_suffix(out)) as file:
            sink(summed.table.lazy(), out.suffix, file)
    if plot:
        summed.plot(plot)


def _print_each(reader: "Reader", words: list[str], annotate: Path | None, tally: "Tally", *, as_json: bool) -> None:
    from pyojeong.analysis.sources import find_sources

    live = False
    try:
        with closing(reader.read(find_sources(words, annotate))) as results:
            for result in results:
                live = reader.live
                tally.count(result)
                terminal.say(terminal.json_text(result.to_dict()) if as_json else _lines(result))
    except KeyboardInterrupt:
        if not live:
            raise


def _lines(result: "PictureFaces") -> str:
    """Return a photograph's faces as several lines, those of a film's frame as one."""
    shown = result.to_dict()
    if result.reason:
        return f"{result.source}: {shown['message']}"
    if result.time_s is None:
        return terminal.face_lines(shown | {"image": result.source}, "emotions")
    faces = [
        f"{face.id} {face.label}{'?' if face.unsure else ''} {face.emotions[face.label]:.2f}" for face in result.faces
    ]
    return f"{result.source} {result.time_s:.2f} s: {',  '.join(faces) or 'no face'}"
