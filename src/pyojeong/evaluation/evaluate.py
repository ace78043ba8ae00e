"""A contender on tables of the contract: all protocols in one pass over the photographs and one CSV for each table.

Matched: the labeled face was found (IoU >= ``geometry.MATCHED_IOU``). All: the rest counts as wrong. Given
box: its network on the annotated box, cut as it cuts it. Coverage: the share that was matched.
"""

import hashlib
import itertools
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

import polars as pl
import polars.selectors as cs

from pyojeong.core.errors import InputError
from pyojeong.core.executors import map_unordered, threads_for
from pyojeong.core.files import file_lock, relative_path, write_json
from pyojeong.core.geometry import Box, can_be_face, iou
from pyojeong.core.images import ImageError, read_bytes
from pyojeong.core.labels import SCHEMES, Scheme
from pyojeong.core.progress import bar
from pyojeong.core.table import BOX_COLUMNS, read_csv, read_table, write_csv
from pyojeong.core.workspace import is_synthetic
from pyojeong.evaluation import evaluation_csv
from pyojeong.evaluation.contenders import Analysis, Contender, Engine, opened_engine, shared_engine
from pyojeong.evaluation.evaluation_csv import DETECTION, MAY_COME, columns, summarize

CHUNK = 16
"""Photographs in one piece of work; a killed run loses the pieces in flight."""

log = logging.getLogger(__name__)

Photograph = tuple[str, list[tuple[int, Box | None]]]
"""A path and, for every distinct box annotated in it, the number of the answer; None is the whole image."""

Answer = dict[str, Any]


def evaluate(
    tables: Sequence[tuple[Path, Scheme, Path]],
    contender: Contender,
    *,
    root: Path,
    workers: int = 1,
    scheduler: str | None = None,
) -> list[dict[str, Any]]:
    """Score a contender on CSVs of the contract and write an evaluation CSV for each.

    A photograph that several tables name is decoded once. A table without box columns has cropped faces: the
    whole image is the given box. Beside every CSV lies a JSON file of the same name with settings and summary;
    a table whose CSV was made from the same table with the same settings is not evaluated again, but for photographs
    that were missing. Photographs are known by their paths: where their content changes, delete the JSON file. A run
    that was killed goes on where it stopped, from a file that is kept beside the first CSV until all are written.

    Args:
        tables: (input CSV, scheme in the contender's words, evaluation CSV to write).
        contender: who is asked.
        root: the workspace that paths start from.
        workers: processes that share the work on this machine.
        scheduler: address of a dask.distributed scheduler whose workers do the work instead; they need this
            package and ``root`` at the same place.

    Returns:
        For each table what ``evaluation_csv.summarize`` returns.

    Raises:
        InputError: a table, an evaluation CSV's place or ``root`` is not usable, a scheme has classes that the
            contender does not know, what the contender needs is missing, or another run writes the same evaluation.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; paths in the tables start from it")
    evaluation_csv.check_places(tables)
    wanted = [_config(csv, scheme, root, contender) for csv, scheme, _ in tables]
    jobs, frames = _distinct([_read_table(csv, scheme, root) for csv, scheme, _ in tables])
    made = [
        evaluation_csv.made(out, config, frame, contender.classes)
        for (_, _, out), config, frame in zip(tables, wanted, frames, strict=True)
    ]
    todo = [number for number, frame in enumerate(frames) if not evaluation_csv.is_whole(made[number], frame)]
    if todo:
        known = [
            evaluation_csv.known(table, frame) for table, frame in zip(made, frames, strict=True) if table is not None
        ]
        aside = evaluation_csv.aside_of(tables[0][2])
        aside.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(aside), aside.open("a+b") as file:
            key = _digest(json.dumps(wanted).encode())
            answers = _answer(jobs, known, file, key, contender, _worker(root, contender, workers, scheduler))
            for number in todo:
                out = tables[number][2]
                # The JSON file marks a whole CSV: gone before it changes, back after it.
                out.with_suffix(".json").unlink(missing_ok=True)
                write_csv(evaluation_csv.rows_of(frames[number], answers, contender.classes), out)
                write_json(out.with_suffix(".json"), {**wanted[number], "summary": summarize(out)})
        aside.unlink(missing_ok=True)  # closed first: Windows deletes no open file
    summaries = [summarize(out) for _, _, out in tables]
    for (csv, _, _), summary in zip(tables, summaries, strict=True):
        if not summary["coverage"]["n"]:
            log.warning("%s: none of its photographs could be read; check its paths and the project root", csv)
        elif lost := summary["coverage"]["n"] - summary["given"]["n"]:
            log.warning(
                "%s: %d of its boxes can be no face and have no answer for the given box; correct them", csv, lost
            )
    return summaries


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _config(csv: Path, scheme: Scheme, root: Path, contender: Contender) -> dict[str, Any]:
    if not set(scheme.classes) <= set(contender.classes):
        known = [other.name for other in SCHEMES.values() if set(other.classes) <= set(contender.classes)]
        raise InputError(
            f"{csv}: {contender.title} does not know all classes of scheme {scheme.name}; "
            + (f"choose one of {', '.join(known)}" if known else f"it answers {', '.join(contender.classes)}")
        )
    if not csv.is_file():
        raise InputError(f"{csv}: no such file")
    name = relative_path(str(csv.absolute()), root) or csv.name
    return {
        "csv": name,
        "sha256": _digest(csv.read_bytes()),
        "scheme": scheme.name,
        "synthetic": is_synthetic(root) and name.startswith("data_shared/"),
        **contender.facts(),
    }


def _read_table(csv: Path, scheme: Scheme, root: Path) -> pl.DataFrame:
    boxed = any(name in read_csv(csv).columns for name in BOX_COLUMNS)
    if not boxed:
        log.warning("%s: has no boxes, so each image counts as a crop cut as the contender wants it", csv)
    frame = read_table(csv, scheme=scheme, root=root, boxes=boxed)
    boxes = [pl.col(name) if boxed else pl.lit(None, pl.Float64).alias(name) for name in BOX_COLUMNS]
    return frame.select("path", "label", *boxes, cs.by_name("person", require_all=False))


def _distinct(frames: Sequence[pl.DataFrame]) -> tuple[list[Photograph], list[pl.DataFrame]]:
    """Number the distinct (path, box) of all tables: the photographs to analyze, and the tables with an ``id``."""
    key = ["path", *BOX_COLUMNS]
    distinct = pl.concat([frame.select(key) for frame in frames]).unique(maintain_order=True).with_row_index("id")
    jobs: dict[str, list[tuple[int, Box | None]]] = {}
    for number, path, *box in distinct.iter_rows():
        jobs.setdefault(path, []).append((number, None if box[0] is None else (box[0], box[1], box[2], box[3])))
    numbered = [
        frame.join(distinct, on=key, how="left", nulls_equal=True, maintain_order="left").cast({"id": pl.Int64})
        for frame in frames
    ]
    return list(jobs.items()), numbered


def _answer(
    jobs: list[Photograph],
    known: list[pl.DataFrame],
    file: IO[bytes],
    key: str,
    contender: Contender,
    work: Callable[[list[list[Photograph]]], Iterator[tuple[int, list[Answer]]]],
) -> pl.DataFrame:
    """Have ``work`` analyze what ``known`` and ``file`` do not answer; return all answers, one row for each id."""
    done = _restore(file, key).union(*(frame["id"] for frame in known))
    open_boxes = [(path, [box for box in boxes if box[0] not in done]) for path, boxes in jobs]
    left = [(path, boxes) for path, boxes in open_boxes if boxes]
    chunks = [left[start : start + CHUNK] for start in range(0, len(left), CHUNK)]
    with bar(contender.title, len(jobs)) as advance:
        advance(len(jobs) - len(left))
        for count, answers in work(chunks):
            file.writelines(json.dumps(answer).encode() + b"\n" for answer in answers)
            file.flush()
            advance(count)
    file.seek(0)
    # The first line, the key, has no id; a face that several tables name is known several times.
    schema = evaluation_csv.schema(contender.classes)
    new = pl.read_ndjson(file, schema=schema).drop_nulls("id").unique("id", keep="last")
    return pl.concat([new, *(frame.select(*schema) for frame in known)]).unique("id", keep="first")


def _restore(file: IO[bytes], key: str) -> set[int]:
    """Return the ids that ``file`` answers, and leave it at its end; start it anew when it belongs to other work.

    Photographs that were missing when it was written are not among them.
    """
    file.seek(0)
    lines = file.read().splitlines(keepends=True)
    first = json.dumps({"key": key}).encode() + b"\n"
    if not lines or lines[0] != first:
        file.truncate(0)
        file.write(first)
        return set()
    # A kill can cut the last line short, and a power cut leave any bytes behind the last that were on the disk.
    whole = [first, *itertools.takewhile(_is_answer, lines[1:])]
    file.truncate(sum(map(len, whole)))
    found = [json.loads(line) for line in whole[1:]]
    return {answer["id"] for answer in found if answer.get("error") not in MAY_COME}


def _is_answer(line: bytes) -> bool:
    try:
        answer = json.loads(line)
        return line.endswith(b"\n") and isinstance(answer, dict) and "id" in answer
    except ValueError:
        return False


def _worker(
    root: Path, contender: Contender, workers: int, scheduler: str | None
) -> Callable[[list[list[Photograph]]], Iterator[tuple[int, list[Answer]]]]:
    """Return the function that turns chunks into (photographs done, their answers), in any order."""

    def here(chunks: list[list[Photograph]]) -> Iterator[tuple[int, list[Answer]]]:
        with opened_engine(contender) as engine:
            for chunk in chunks:
                yield len(chunk), _analyze(chunk, root, engine, contender.classes)

    def elsewhere(chunks: list[list[Photograph]]) -> Iterator[tuple[int, list[Answer]]]:
        # A dask worker may have another current folder.
        analyze = partial(_analyze_shared, root=root.absolute(), contender=contender, threads=threads_for(workers))
        for answers in map_unordered(analyze, chunks, workers=workers, scheduler=scheduler):
            yield len({answer["path"] for answer in answers}), answers

    return here if workers == 1 and scheduler is None else elsewhere


def _analyze_shared(chunk: list[Photograph], root: Path, contender: Contender, threads: int) -> list[Answer]:
    return _analyze(chunk, root, shared_engine(contender, threads), contender.classes)


def _analyze(chunk: list[Photograph], root: Path, engine: Engine, classes: Sequence[str]) -> list[Answer]:
    answers = []
    for path, numbered in chunk:
        try:
            found = engine.analyze(read_bytes(root, path), [box for _, box in numbered])
        except ImageError as error:
            answers += [{"path": path, "id": number, "error": error.reason} for number, _ in numbered]
            continue
        for (number, box), given in zip(numbered, found.given, strict=True):
            box = box or (0.0, 0.0, float(found.width), float(found.height))
            if not can_be_face(box, found.width, found.height):
                given = None  # the same boxes for every contender
            answers.append({"path": path, "id": number, **_flat(found, box, given, classes)})
    return answers


def _flat(found: Analysis, box: Box, given: list[float] | None, classes: Sequence[str]) -> Answer:
    answer: Answer = {"n_faces": len(found.faces), "iou": 0.0}
    if found.faces:
        best = max(found.faces, key=lambda face: iou(face.box, box))
        answer |= {"iou": iou(best.box, box), "det_score": best.score}
        answer |= dict(zip(DETECTION, best.box, strict=True))
        answer |= dict(zip(columns("p_", classes), best.probabilities or [], strict=False))
    return answer | dict(zip(columns("given_p_", classes), given or [], strict=False))
