"""Scoring of a contender on tables of photographs, under all protocols in one pass.

Matched: photographs in which the labeled face was found (IoU >= ``geometry.MATCHED_IOU``). All: the others count as
wrong. Given box: the contender's classifier on the annotated box, cropped the way that contender crops. Coverage: the
share of photographs that matched.
"""

import hashlib
import itertools
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import polars as pl
import polars.selectors as cs

from pyojeong.core.box_columns import like_a_box
from pyojeong.core.boxes import BAD_BOX
from pyojeong.core.errors import InputError
from pyojeong.core.executors import map_unordered, threads_for
from pyojeong.core.files import file_lock, relative_path, require_file, write_json
from pyojeong.core.geometry import Box, can_be_face, iou
from pyojeong.core.images import ImageError, read_bytes
from pyojeong.core.labels import SCHEMES, Scheme
from pyojeong.core.progress import bar
from pyojeong.core.table import BOX_COLUMNS, read_table, write_csv
from pyojeong.core.workspace import is_synthetic
from pyojeong.evaluation import box_check, evaluation_csv
from pyojeong.evaluation.contenders import Contender, Engine, PhotographAnswer, process_engine
from pyojeong.evaluation.evaluation_csv import (
    DETECTION,
    FACTS,
    MAY_COME,
    EvaluationSummary,
    EvaluationTable,
    columns,
    summarize,
)
from pyojeong.evaluation.predictions import class_of_answer

CHUNK = 16
"""Photographs in one piece of work; a run that is killed loses the pieces in progress."""

log = logging.getLogger(__name__)

Photograph = tuple[str, list[tuple[int, Box | None]]]
"""A path, and each distinct box annotated in it with the id of its answer; None is the whole image."""

Answer = dict[str, Any]
"""The answer about one box, a row of ``evaluation_csv.schema`` with the path."""

Worker = Callable[[list[list[Photograph]]], Iterator[tuple[int, list[Answer]]]]
"""Turns chunks into (number of photographs, their answers), in any order."""


@dataclass(frozen=True)
class _Evaluation:
    """A table of ``evaluate``.

    Attributes:
        table: the table's files.
        settings: the content of the JSON file, without the summary and the name of the table.
        frame: the rows of the table, with the ``id`` of each answer.
        existing: the evaluation CSV of an earlier run, if usable.
    """

    table: EvaluationTable
    settings: dict[str, Any]
    frame: pl.DataFrame
    existing: pl.DataFrame | None


def evaluate(
    tables: Sequence[EvaluationTable],
    contender: Contender,
    *,
    root: str | Path = ".",
    workers: int = 1,
    scheduler: str | None = None,
) -> list[EvaluationSummary]:
    """Score a contender on tables of photographs and write an evaluation CSV for each.

    A photograph that several tables name is decoded once. In a table without box columns every image is a finished
    face crop: the given box is the whole image.

    Next to each CSV a JSON file of the same name holds settings and summary. If both already exist for the same table
    and settings, only photographs that were missing are analyzed. Photographs are identified by path: if their content
    changes, delete the JSON file. A run that was killed is resumed from a file next to the first CSV.

    Args:
        tables: what to evaluate. The contender must know all classes of a scheme of the package; in other schemes
            each class must have an answer of the contender among its words, or as its name.
        contender: the system to evaluate.
        root: the workspace that paths in the tables are relative to.
        workers: processes that share the work on this machine.
        scheduler: address of a dask.distributed scheduler whose workers do the work instead; they need this
            package, and ``root`` at the same path.

    Returns:
        The summary of each table.

    Raises:
        InputError: a table, an evaluation CSV's place or ``root`` is not usable, a scheme has classes that the
            contender does not answer or none for one of its answers, something that the contender needs is missing,
            another run is writing the same evaluation, or no row of a table can be used or its boxes fit no face
            (then its CSV is not written; those of other tables are).
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; paths in the tables are relative to it")
    evaluation_csv.check_places(tables)
    photographs, evaluations = _plan(tables, contender, root)
    outdated = [item for item in evaluations if not evaluation_csv.is_complete(item.existing, item.frame)]
    if outdated:
        partial_file = evaluation_csv.partial_path(tables[0].out)
        partial_file.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(partial_file), partial_file.open("a+b") as file:
            worker = _worker(root, contender, workers, scheduler)
            answers = _answer(photographs, evaluations, file, contender, worker)
            problems = [_write(item, answers, contender, root) for item in outdated]
        partial_file.unlink(missing_ok=True)  # after closing: Windows cannot delete an open file
        if refused := [problem for problem in problems if problem]:
            raise InputError(refused[0])
    for item in evaluations:
        box_check.warn(item.table.csv, item.frame, pl.read_csv(item.table.out, infer_schema=False), root)
    return [summarize(table.out) for table in tables]


def _plan(
    tables: Sequence[EvaluationTable], contender: Contender, root: Path
) -> tuple[list[Photograph], list[_Evaluation]]:
    settings = [_settings(table, root, contender) for table in tables]
    photographs, frames = _distinct([_read_table(table, root) for table in tables])
    return photographs, [
        _Evaluation(
            table,
            config,
            frame,
            evaluation_csv.read_existing(table.out, config, frame, contender.classes, table.scheme),
        )
        for table, config, frame in zip(tables, settings, frames, strict=True)
    ]


def _write(evaluation: _Evaluation, answers: pl.DataFrame, contender: Contender, root: Path) -> str | None:
    """Write an evaluation; return why not where no row of the table can be used, or its boxes fit no face."""
    out, rows = (
        evaluation.table.out,
        evaluation_csv.rows_of(evaluation.frame, answers, contender.classes, evaluation.table.scheme),
    )
    if problem := box_check.problem(evaluation.table.csv, evaluation.frame, rows, root):
        return problem
    # The JSON file marks a complete CSV, so it is removed before the CSV changes and written after it.
    out.with_suffix(".json").unlink(missing_ok=True)
    write_csv(rows, out)
    name = _name(evaluation.table.csv, root)
    write_json(out.with_suffix(".json"), {"csv": name, **evaluation.settings, "summary": asdict(summarize(out))})
    return None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _settings(table: EvaluationTable, root: Path, contender: Contender) -> dict[str, Any]:
    csv, scheme = table.csv, table.scheme
    if problem := _unanswered(scheme, contender):
        raise InputError(f"{csv}: {problem}")
    require_file(csv)
    return {
        "sha256": _digest(csv.read_bytes()),
        "scheme": scheme.name,
        "synthetic": is_synthetic(root) and _name(csv, root).startswith("data_shared/"),
        **contender.facts(),
    }


def _unanswered(scheme: Scheme, contender: Contender) -> str | None:
    """Say which class no answer of the contender stands for, or which answer stands for no class."""
    classes = {name: class_of_answer(name, scheme) for name in contender.classes}
    answers = f"it answers {', '.join(classes)}"
    if scheme == SCHEMES.get(scheme.name):
        # The published words of K7 would make face-api's "disgusted" 상처.
        if not {*scheme.classes} <= classes.keys():
            known = [other.name for other in SCHEMES.values() if {*other.classes} <= classes.keys()]
            remedy = f"choose one of {', '.join(known)}" if known else answers
            return f"{contender.title} does not know all classes of scheme {scheme.name}; {remedy}"
    elif lacking := [name for name in scheme.classes if name not in classes.values()]:
        return (
            f"no answer of {contender.title} stands for these classes of scheme {scheme.name}: {', '.join(lacking)}; "
            f"{answers}. Add those that stand for a class to its words"
        )
    # compare would refuse such answers.
    if others := [name for name, own in classes.items() if own is None]:
        return (
            f"scheme {scheme.name} has no class for these answers of {contender.title}: {', '.join(others)}; add each "
            "to the words of a class, or add a class"
        )
    return None


def _name(csv: Path, root: Path) -> str:
    return relative_path(str(csv.absolute()), root) or csv.name


def _read_table(table: EvaluationTable, root: Path) -> pl.DataFrame:
    frame = read_table(table.csv, scheme=table.scheme, root=root, boxes=None)
    boxed = BOX_COLUMNS[0] in frame.columns
    if not boxed and not like_a_box(frame.columns):  # read_table has told these
        log.warning("%s: has no box columns, so each image counts as a finished face crop", table.csv)
    boxes = [pl.col(name) if boxed else pl.lit(None, pl.Float64).alias(name) for name in BOX_COLUMNS]
    return frame.select("path", "label", *boxes, cs.by_name(*FACTS, require_all=False))


def _distinct(frames: Sequence[pl.DataFrame]) -> tuple[list[Photograph], list[pl.DataFrame]]:
    """Number the distinct (path, box) of all tables; return the photographs to analyze, and the tables with ``id``."""
    key = ["path", *BOX_COLUMNS]
    distinct = pl.concat([frame.select(key) for frame in frames]).unique(maintain_order=True).with_row_index("id")
    photographs: dict[str, list[tuple[int, Box | None]]] = {}
    for number, path, *box in distinct.iter_rows():
        photographs.setdefault(path, []).append((number, None if box[0] is None else (box[0], box[1], box[2], box[3])))
    numbered = [
        frame.join(distinct, on=key, how="left", nulls_equal=True, maintain_order="left").cast({"id": pl.Int64})
        for frame in frames
    ]
    return list(photographs.items()), numbered


def _answer(
    photographs: list[Photograph],
    evaluations: Sequence[_Evaluation],
    file: IO[bytes],
    contender: Contender,
    worker: Worker,
) -> pl.DataFrame:
    """Analyze what neither existing evaluations nor the partial ``file`` answer; return one row for each id."""
    known = [
        evaluation_csv.known_answers(item.existing, item.frame) for item in evaluations if item.existing is not None
    ]
    key = _digest(json.dumps([item.settings for item in evaluations]).encode())
    done = _restore(file, key).union(*(frame["id"] for frame in known))
    remaining = [(path, [box for box in boxes if box[0] not in done]) for path, boxes in photographs]
    remaining = [(path, boxes) for path, boxes in remaining if boxes]
    chunks = [remaining[start : start + CHUNK] for start in range(0, len(remaining), CHUNK)]
    with bar(contender.title, len(photographs)) as advance:
        advance(len(photographs) - len(remaining))
        for count, answers in worker(chunks):
            file.writelines(json.dumps(answer).encode() + b"\n" for answer in answers)
            file.flush()
            advance(count)
    file.seek(0)
    # The first line, the key, has no id; a box in several tables may be in several existing evaluations.
    schema = evaluation_csv.schema(contender.classes)
    new = pl.read_ndjson(file, schema=schema).drop_nulls("id").unique("id", keep="last")
    return pl.concat([new, *(frame.select(*schema) for frame in known)]).unique("id", keep="first")


def _restore(file: IO[bytes], key: str) -> set[int]:
    """Return the ids that ``file`` answers, leaving it at its end; empty it first when its key is not ``key``.

    Photographs that were missing when it was written are not among them.
    """
    file.seek(0)
    lines = file.read().splitlines(keepends=True)
    header = json.dumps({"key": key}).encode() + b"\n"
    if not lines or lines[0] != header:
        file.truncate(0)
        file.write(header)
        return set()
    # A kill can cut off the last line, and a power failure can leave arbitrary bytes after what was on the disk.
    intact = [header, *itertools.takewhile(_is_answer, lines[1:])]
    file.truncate(sum(map(len, intact)))
    answers = [json.loads(line) for line in intact[1:]]
    return {answer["id"] for answer in answers if answer.get("error") not in MAY_COME}


def _is_answer(line: bytes) -> bool:
    try:
        answer = json.loads(line)
        return line.endswith(b"\n") and isinstance(answer, dict) and "id" in answer
    except ValueError:
        return False


def _worker(root: Path, contender: Contender, workers: int, scheduler: str | None) -> Worker:
    def in_this_process(chunks: list[list[Photograph]]) -> Iterator[tuple[int, list[Answer]]]:
        with closing(contender.open()) as engine:
            for chunk in chunks:
                yield len(chunk), _analyze(chunk, root, engine, contender.classes)

    def in_other_processes(chunks: list[list[Photograph]]) -> Iterator[tuple[int, list[Answer]]]:
        # The current folder of a dask worker may be another one.
        analyze = partial(_analyze_in_worker, root=root.absolute(), contender=contender, threads=threads_for(workers))
        for answers in map_unordered(analyze, chunks, workers=workers, scheduler=scheduler):
            yield len({answer["path"] for answer in answers}), answers

    return in_this_process if workers == 1 and scheduler is None else in_other_processes


def _analyze_in_worker(chunk: list[Photograph], root: Path, contender: Contender, threads: int) -> list[Answer]:
    return _analyze(chunk, root, process_engine(contender, threads), contender.classes)


def _analyze(chunk: list[Photograph], root: Path, engine: Engine, classes: Sequence[str]) -> list[Answer]:
    answers = []
    for path, boxes in chunk:
        try:
            photograph = engine.analyze(read_bytes(root, path), [box for _, box in boxes])
        except ImageError as error:
            answers += [{"path": path, "id": number, "error": error.reason} for number, _ in boxes]
            continue
        for (number, annotated), given in zip(boxes, photograph.given, strict=True):
            box = annotated or (0.0, 0.0, float(photograph.width), float(photograph.height))
            # Decided here, so that the same boxes are left out for every contender.
            usable = can_be_face(box, photograph.width, photograph.height)
            answer = _flat(photograph, box, given, classes) if usable else {"error": BAD_BOX}
            answers.append({"path": path, "id": number, **answer})
    return answers


def _flat(photograph: PhotographAnswer, box: Box, given: list[float] | None, classes: Sequence[str]) -> Answer:
    """Return the columns for the face with the best IoU to ``box`` and for ``box`` itself."""
    answer: Answer = {"n_faces": len(photograph.faces), "iou": 0.0}
    if photograph.faces:
        best = max(photograph.faces, key=lambda face: iou(face.box, box))
        answer |= {"iou": iou(best.box, box), "det_score": best.score}
        answer |= dict(zip(DETECTION, best.box, strict=True))
        answer |= dict(zip(columns("p_", classes), best.probabilities or [], strict=False))
    return answer | dict(zip(columns("given_p_", classes), given or [], strict=False))
