"""A contender on tables of the contract: all protocols in one pass over the photographs and one CSV for each table.

Matched: the labelled face was found (IoU >= ``predictions.MATCHED_IOU``). All: the rest counts as wrong. Given
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

from pyojeong.contenders import Analysis, Contender, Engine, opened_engine, shared_engine
from pyojeong.crops import Box, can_be_face, iou
from pyojeong.errors import InputError
from pyojeong.executors import map_unordered, threads_for
from pyojeong.files import lock, relative_path, write_json
from pyojeong.images import ImageError, read_bytes
from pyojeong.labels import SCHEMES, Scheme
from pyojeong.predictions import MATCHED_IOU
from pyojeong.prepare import is_drawn_sample
from pyojeong.progress import bar
from pyojeong.table import BOX_COLUMNS, read_csv, read_table, write_csv

CHUNK = 16
"""Photographs in one piece of work; a killed run loses the pieces in flight."""

log = logging.getLogger(__name__)

_DETECTION = ("det_minX", "det_minY", "det_maxX", "det_maxY")

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
        For each table what ``summarise`` returns.

    Raises:
        InputError: a table, an evaluation CSV's place or ``root`` is not usable, a scheme has classes that the
            contender does not know, what the contender needs is missing, or another run writes the same evaluation.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; paths in the tables start from it")
    _check_places(tables)
    wanted = [_config(csv, scheme, root, contender) for csv, scheme, _ in tables]
    found = [_summary_of(out, config) for (_, _, out), config in zip(tables, wanted, strict=True)]
    # Photographs that were missing may have come.
    todo = [number for number, made in enumerate(found) if made is None or "missing" in made["unreadable"]]
    if todo:
        frames = [_read_table(*tables[number][:2], root) for number in todo]
        jobs, numbered = _distinct(frames)
        aside = tables[todo[0]][2].with_suffix(".partial.jsonl")
        key = _digest(json.dumps([wanted[number] for number in todo]).encode())
        known = [
            _known(tables[number][2], frame, contender.classes)
            for number, frame in zip(todo, numbered, strict=True)
            if found[number] is not None
        ]
        aside.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("a+b") as file:
            lock(file, aside)
            answers = _answer(jobs, known, file, key, contender, _worker(root, contender, workers, scheduler))
            for number, frame in zip(todo, numbered, strict=True):
                out = tables[number][2]
                # The JSON file marks a whole CSV: gone before it changes, back after it.
                out.with_suffix(".json").unlink(missing_ok=True)
                write_csv(_rows(frame, answers, contender.classes), out)
                write_json(out.with_suffix(".json"), {**wanted[number], "summary": summarise(out)})
            aside.unlink()
    summaries = [summarise(out) for _, _, out in tables]
    for (csv, _, _), summary in zip(tables, summaries, strict=True):
        if sum(summary["unreadable"].values()) == summary["n"]:
            log.warning("%s: none of its photographs could be read; check its paths and the project root", csv)
        elif lost := summary["coverage"]["n"] - summary["given"]["n"]:
            log.warning(
                "%s: %d of its boxes can be no face and have no answer for the given box; correct them", csv, lost
            )
    return summaries


def summarise(path: Path) -> dict[str, Any]:
    """Return the protocols' figures of an evaluation CSV.

    Returns:
        ``{"n": rows, "unreadable": {reason: rows}, "coverage": {"n", "value"}, "matched": {"n", "accuracy"},
        "all": {...}, "given": {...}, "several_faces": rows with more than one face}``. Unreadable photographs
        count in none of the figures; the given-box figure leaves out boxes that can be no face. A figure
        over no row is None.
    """
    counts = dict.fromkeys(("face_detected", "correct", "given_correct", "n_faces"), pl.Int64)
    frame = pl.read_csv(path, schema_overrides={"error": pl.String, "iou": pl.Float64, **counts})
    readable = frame.filter(pl.col("error").is_null())
    matched = readable.filter((pl.col("face_detected") == 1) & (pl.col("iou") >= MATCHED_IOU))
    given = readable.filter(pl.col("given_correct").is_not_null())
    reasons = frame["error"].drop_nulls().value_counts(sort=True)
    right = int(matched["correct"].sum())
    return {
        "n": len(frame),
        "unreadable": dict(reasons.iter_rows()),
        "coverage": {"n": len(readable), "value": _share(len(matched), len(readable))},
        "matched": {"n": len(matched), "accuracy": _share(right, len(matched))},
        "all": {"n": len(readable), "accuracy": _share(right, len(readable))},
        "given": {"n": len(given), "accuracy": _share(int(given["given_correct"].sum()), len(given))},
        "several_faces": int((readable["n_faces"] > 1).sum()),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _check_places(tables: Sequence[tuple[Path, Scheme, Path]]) -> None:
    read = {csv.resolve() for csv, _, _ in tables}
    for _, _, out in tables:
        if out.suffix.lower() != ".csv" or out.is_dir():
            raise InputError(f"{out}: an evaluation is a file whose name ends in .csv; give another --out")
        if out.resolve() in read:
            raise InputError(f"{out}: is the table that is read; give another --out")
        _check_replaceable(out)
    if len({out.resolve() for _, _, out in tables}) < len(tables):
        raise InputError(f"{tables[0][2]}: two tables have the same evaluation CSV; give one --out for each --csv")


def _check_replaceable(out: Path) -> None:
    """Refuse to write over anything but an evaluation: a CSV with its columns, or one with its settings beside it."""
    beside = out.with_suffix(".json")
    ours = False
    if beside.exists():
        try:
            made = json.loads(beside.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            made = None
        ours = isinstance(made, dict) and {"csv", "sha256", "scheme", "summary"} <= made.keys()
        if not ours:
            raise InputError(f"{beside}: lies where the evaluation's settings go; move it away, or give another --out")
    if out.is_file() and not ours:
        with out.open("rb") as file:
            header = file.readline()
        if header and not header.startswith(b"image,gt_label,pred_label,"):
            raise InputError(f"{out}: is there already and no evaluation; move it away, or give another --out")


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
        "drawn_sample": is_drawn_sample(root) and name.startswith("data_shared/"),
        **contender.facts(),
    }


def _summary_of(out: Path, config: dict[str, Any]) -> dict[str, Any] | None:
    """Return the summary of the whole evaluation that was made with ``config``; None where there is none."""
    if not out.is_file():
        return None
    try:
        made = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
        summary = summarise(out)
    except (OSError, ValueError, pl.exceptions.PolarsError):
        made, summary = None, {}
    if made != {**config, "summary": summary}:
        log.warning("%s: holds another evaluation, or is damaged; it will be replaced", out)
        return None
    if "missing" not in summary["unreadable"]:
        log.info("%s: already evaluated", out)
    return summary


def _known(out: Path, frame: pl.DataFrame, classes: Sequence[str]) -> pl.DataFrame:
    """Return the answers of a whole evaluation CSV of ``frame``, but for photographs that were missing."""
    schema = {name: kind for name, kind in _schema(classes).items() if name != "id"}
    answers = pl.read_csv(out, schema_overrides=schema).select(frame["id"], *schema)
    return answers.filter(pl.col("error").ne_missing("missing"))


def _read_table(csv: Path, scheme: Scheme, root: Path) -> pl.DataFrame:
    boxed = any(name in read_csv(csv).columns for name in BOX_COLUMNS)
    if not boxed:
        log.warning("%s: has no boxes, so each image counts as a crop cut as the contender wants it", csv)
    frame = read_table(csv, scheme=scheme, root=root, boxes=boxed)
    boxes = [pl.col(name) if boxed else pl.lit(None, pl.Float64).alias(name) for name in BOX_COLUMNS]
    return frame.select("path", "label", *boxes, *(name for name in ("person",) if name in frame.columns))


def _distinct(frames: Sequence[pl.DataFrame]) -> tuple[list[Photograph], list[pl.DataFrame]]:
    """Number the distinct (path, box) of all tables: the photographs to analyse, and the tables with an ``id``."""
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
    """Have ``work`` analyse what ``known`` and ``file`` do not answer; return all answers, one row for each id."""
    done = _restore(file, key).union(*(frame["id"] for frame in known))
    left = [job for job in jobs if not done.issuperset(number for number, _ in job[1])]
    chunks = [left[start : start + CHUNK] for start in range(0, len(left), CHUNK)]
    with bar(contender.title, len(jobs)) as advance:
        advance(len(jobs) - len(left))
        for count, answers in work(chunks):
            file.writelines(json.dumps(answer).encode() + b"\n" for answer in answers)
            file.flush()
            advance(count)
    file.seek(0)
    # The first line, the key, has no id; a photograph that was half done has some of its answers twice.
    new = pl.read_ndjson(file, schema=_schema(contender.classes)).drop_nulls("id")
    return pl.concat([new, *known]).unique("id")


def _schema(classes: Sequence[str]) -> dict[str, Any]:
    return {
        "id": pl.Int64,
        "error": pl.String,
        "n_faces": pl.Int64,
        **dict.fromkeys((*_DETECTION, "det_score", "iou"), pl.Float64),
        **dict.fromkeys((*_columns("p_", classes), *_columns("given_p_", classes)), pl.Float32),
    }


def _restore(file: IO[bytes], key: str) -> set[int]:
    """Return the ids that ``file`` answers, and leave it at its end; start it anew when it belongs to other work."""
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
    return {json.loads(line)["id"] for line in whole[1:]}


def _is_answer(line: bytes) -> bool:
    try:
        return line.endswith(b"\n") and isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _worker(
    root: Path, contender: Contender, workers: int, scheduler: str | None
) -> Callable[[list[list[Photograph]]], Iterator[tuple[int, list[Answer]]]]:
    """Return the function that turns chunks into (photographs done, their answers), in any order."""

    def here(chunks: list[list[Photograph]]) -> Iterator[tuple[int, list[Answer]]]:
        with opened_engine(contender) as engine:
            for chunk in chunks:
                yield len(chunk), _analyse(chunk, root, engine, contender.classes)

    def elsewhere(chunks: list[list[Photograph]]) -> Iterator[tuple[int, list[Answer]]]:
        # A dask worker may have another current folder.
        analyse = partial(_analyse_shared, root=root.absolute(), contender=contender, threads=threads_for(workers))
        for answers in map_unordered(analyse, chunks, workers=workers, scheduler=scheduler):
            yield len({answer["path"] for answer in answers}), answers

    return here if workers == 1 and scheduler is None else elsewhere


def _analyse_shared(chunk: list[Photograph], root: Path, contender: Contender, threads: int) -> list[Answer]:
    return _analyse(chunk, root, shared_engine(contender, threads), contender.classes)


def _analyse(chunk: list[Photograph], root: Path, engine: Engine, classes: Sequence[str]) -> list[Answer]:
    answers = []
    for path, numbered in chunk:
        try:
            found = engine.analyse(read_bytes(root, path), [box for _, box in numbered])
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
        answer |= dict(zip(_DETECTION, best.box, strict=True))
        answer |= dict(zip(_columns("p_", classes), best.probabilities or [], strict=False))
    return answer | dict(zip(_columns("given_p_", classes), given or [], strict=False))


def _columns(prefix: str, classes: Sequence[str]) -> list[str]:
    return [prefix + name for name in classes]


def _rows(frame: pl.DataFrame, answers: pl.DataFrame, classes: Sequence[str]) -> pl.DataFrame:
    """Lay out the evaluation CSV: the seven published columns first, in the order of the input table."""
    joined = frame.join(answers, on="id", how="left", maintain_order="left").with_columns(
        *_best("p_", classes, "pred_label", "score"), *_best("given_p_", classes, "given_pred_label", "given_score")
    )
    right, given_right = pl.col("pred_label") == pl.col("label"), pl.col("given_pred_label") == pl.col("label")
    return joined.select(
        pl.col("path").alias("image"),
        pl.col("label").alias("gt_label"),
        "pred_label",
        "score",
        (pl.col("n_faces") > 0).fill_null(value=False).cast(pl.Int8).alias("face_detected"),
        "iou",
        right.fill_null(value=False).cast(pl.Int8).alias("correct"),
        "n_faces",
        *_DETECTION,
        "det_score",
        "given_pred_label",
        "given_score",
        given_right.cast(pl.Int8).alias("given_correct"),
        *_columns("p_", classes),
        *_columns("given_p_", classes),
        *(name for name in ("person",) if name in joined.columns),
        "error",
    )


def _best(prefix: str, classes: Sequence[str], label: str, score: str) -> tuple[pl.Expr, pl.Expr]:
    columns = _columns(prefix, classes)
    names = pl.concat_list(columns).list.arg_max().replace_strict(dict(enumerate(classes)), return_dtype=pl.String)
    # Where there is no answer all are null, and so is their maximum.
    return pl.when(pl.col(columns[0]).is_not_null()).then(names).alias(label), pl.max_horizontal(columns).alias(score)
