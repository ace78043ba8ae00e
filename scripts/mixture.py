"""Write the training, validation and test tables of the packaged model from several data sets.

    python scripts/mixture.py FOLDER [--project-root .] [--hold-out T03,T17,T29] [--answers MODEL]

FOLDER holds ``rafdb.zip``, ``fer2013.zip``, ``ckplus48.zip``, ``taiwan_odd.zip``, ``jaffe.zip`` and, with
``--answers``, ``utk_asian.zip``, as the runbook describes them; they are linked into ``data_raw`` and read in place.
The tables are ``mixed_train_BASIC7.csv``, ``mixed_val_BASIC7.csv`` and ``mixed_test_BASIC7.csv`` with the columns
``path``, ``label_en``, ``set``, ``person``, ``votes_<label>`` and the landmarks that a face is aligned by. No person is
in two of them:

- RAF-DB: the split of ``rafdb.py``. Its pictures are aligned already and have no landmarks here. With ``--answers``, an
  exported model's answers for its training faces stand for the annotators' votes, which RAF-DB lacks.
- FER2013: 5 % of its training part for validation, without ``near_test``; FER+'s votes. Faces of the validation part
  that nearly equal a training face are left out.
- CK+: every tenth person for validation. It has no neutral faces, and contempt is left out.
- The Taiwanese performers: those of ``--hold-out`` for validation; the raters' shares as votes.
- JAFFE: validation only.
- UTKFace's East Asian faces, with ``--answers`` only: they have no labels, and get the mean of the model's and
  face-api.js's answers as votes and its most probable class as label. Only the neutral and happy ones are kept.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import polars as pl
import rafdb
from archive_tables import link_into, read_list
from PIL import Image

from pyojeong.classifier import Classifier
from pyojeong.core.alignment import aligned_crop, face_points
from pyojeong.core.errors import InputError
from pyojeong.core.geometry import SIZE
from pyojeong.core.images import PROBLEMS, ImageError, Pixels, decode, read_bytes
from pyojeong.core.labels import FACEAPI
from pyojeong.core.metrics import Floats
from pyojeong.core.progress import bar
from pyojeong.core.table import VOTES_PREFIX, write_csv
from pyojeong.detection.detector import Detector
from pyojeong.faceapi.detector import FaceApi
from pyojeong.training.crop_cache import POINT_COLUMNS

SEED = 1337
HOLD_OUT = "T03,T17,T29"
VOTES = [f"{VOTES_PREFIX}{label}" for label in FACEAPI]
COLUMNS = ["path", "label_en", "set", "person", *VOTES]
FER_HELD_OUT = 0.05
UTK = "utk_asian"
TEMPERATURE = "temperature"
VOTES_OF_A_MODEL = 10
"""As many as FER+'s annotators."""

ALIKE = 0.9
"""Correlation of two pictures at 24 pixels above which they count as the same photograph. Of 30 pairs between .87 and 1
that were looked at, all above .935 were the same photograph and a few below it."""

LEAST_VOTES = 5
"""Faces to which fewer of FER+'s ten annotators gave one of the seven labels are left out."""

TIGHT = ("fer2013", "ckplus48", UTK)
"""Sets whose pictures are crops around a face, which the detector looks at closely at once."""


def fer2013(archive: Path) -> dict[str, pl.DataFrame]:
    """Return train, val and test of FER2013 with FER+'s votes."""
    columns = ["path", "label_en", "split", "near_test", *VOTES]
    faces = _read(archive, columns).with_columns(person=pl.lit(""))
    clear = pl.sum_horizontal(VOTES) >= LEAST_VOTES
    usable = faces.filter(pl.col("split") == "train", pl.col("near_test") == 0, clear)
    shuffled = usable.sample(fraction=1, shuffle=True, seed=SEED)
    held_out = round(shuffled.height * FER_HELD_OUT)
    test = faces.filter(pl.col("split") == "test")
    return {"train": shuffled.tail(-held_out), "val": shuffled.head(held_out), "test": test}


def ckplus(archive: Path) -> dict[str, pl.DataFrame]:
    """Return train and val of CK+, every tenth person in val."""
    faces = _read(archive, ["path", "label_en", "person"]).filter(pl.col("label_en").is_in(FACEAPI))
    people = faces["person"].unique().sort()
    return _by_person(faces, people.gather_every(10).to_list())


def taiwan(archive: Path, held_out: list[str]) -> dict[str, pl.DataFrame]:
    """Return train and val of the Taiwanese performers; the raters' shares become votes."""
    shares = {label: f"share_{label}" for label in FACEAPI if label != "neutral"}
    faces = _read(archive, ["path", "label_en", "person", "raters", *shares.values()])
    votes = {f"{VOTES_PREFIX}{label}": pl.col(name) * pl.col("raters") for label, name in shares.items()}
    try:
        faces = faces.with_columns(**votes).with_columns(pl.col(votes).round(1))
    except pl.exceptions.PolarsError:
        raise InputError(f"{archive}: raters and shares must be numbers; correct {archive.stem}/labels.csv") from None
    if unknown := sorted(set(held_out) - set(faces["person"])):
        raise InputError(f"--hold-out: {archive} has no person {unknown[0]}; it has {sorted(set(faces['person']))}")
    return _by_person(faces, held_out)


def jaffe(archive: Path) -> dict[str, pl.DataFrame]:
    """Return JAFFE as val; it is never trained on."""
    return {"val": _read(archive, ["path", "label_en", "person"])}


def utk(archive: Path) -> dict[str, pl.DataFrame]:
    """Return UTKFace's East Asian faces as train, without labels; ``with_answers`` gives them some."""
    return {"train": _read(archive, ["path"]).with_columns(label_en=pl.lit(""), person=pl.lit(""))}


def tables(folder: Path, held_out: list[str], unlabeled: bool) -> dict[str, pl.DataFrame]:
    """Return train, val and test with ``COLUMNS``; ``unlabeled`` adds UTKFace.

    Raises InputError where an archive is missing or damaged.
    """
    parts = {
        "rafdb": rafdb.tables(folder / "rafdb.zip"),
        "fer2013": fer2013(folder / "fer2013.zip"),
        "ckplus48": ckplus(folder / "ckplus48.zip"),
        "taiwan_odd": taiwan(folder / "taiwan_odd.zip", held_out),
        "jaffe": jaffe(folder / "jaffe.zip"),
        **({UTK: utk(folder / f"{UTK}.zip")} if unlabeled else {}),
    }
    joined: dict[str, list[pl.DataFrame]] = {"train": [], "val": [], "test": []}
    for name, splits in parts.items():
        for split, faces in splits.items():
            missing = [pl.lit(None, pl.String).alias(column) for column in COLUMNS if column not in faces.columns]
            whole = faces.with_columns(missing).with_columns(set=pl.lit(name)).select(COLUMNS).cast(pl.String)
            joined[split].append(whole)
    return {split: pl.concat(frames).fill_null("") for split, frames in joined.items()}


def without_twins(val: pl.DataFrame, train: pl.DataFrame, root: Path) -> pl.DataFrame:
    """Return ``val`` without the faces of FER2013 that nearly equal one of ``train``, and print how many were left out.

    FER2013 holds many photographs twice, cut or marked a little differently.
    """
    fer = pl.col("set") == "fer2013"
    learned, asked = (_vectors(faces.filter(fer)["path"], root) for faces in (train, val))
    twins = (asked @ learned.T).max(1, initial=0) > ALIKE
    print(f"fer2013: {int(twins.sum())} of {len(twins)} validation faces nearly equal a training face and are left out")
    return val.filter(~fer | ~pl.col("path").is_in(val.filter(fer)["path"].filter(pl.Series(twins)).to_list()))


def _vectors(paths: pl.Series, root: Path) -> Floats:
    """Return each picture as a vector of length 1, whose dot products are correlations; an unreadable one as zeros."""
    vectors: Floats = np.zeros((len(paths), 24 * 24))
    for number, path in enumerate(paths):
        with suppress(ImageError):  # training counts it
            gray = Image.fromarray(decode(read_bytes(root, path))).convert("L")
            vectors[number] = np.asarray(gray.resize((24, 24), Image.Resampling.BOX)).ravel()
    vectors -= vectors.mean(1, keepdims=True)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9
    return vectors


def with_landmarks(faces: pl.DataFrame, root: Path) -> pl.DataFrame:
    """Return ``faces`` with the columns of the landmarks, empty where none were found, and print how many were."""
    detector = Detector(threads=1)
    points: list[list[str]] = [[""] * len(POINT_COLUMNS)] * faces.height
    sought = [
        (row, path, name) for row, (path, name) in enumerate(faces.select("path", "set").iter_rows()) if name != "rafdb"
    ]

    def look(task: tuple[int, str, str]) -> list[str] | str:
        _, path, name = task
        try:
            image = decode(read_bytes(root, path))
        except ImageError as error:
            return error.reason
        found = [] if name in TIGHT else detector.detect(image)
        height, width = image.shape[:2]
        face = found[0] if found else detector.look_at(image, (0, 0, width, height))
        return (
            "no_face" if face is None else [f"{value:.2f}" for point in face_points(face.landmarks) for value in point]
        )

    counts: Counter[tuple[str, str]] = Counter()
    with ThreadPoolExecutor(2) as pool, bar("Looking for landmarks", len(sought)) as advance:
        for (row, _, name), result in zip(sought, pool.map(look, sought), strict=True):
            counts[name, "found" if isinstance(result, list) else result] += 1
            if isinstance(result, list):
                points[row] = result
            advance()
    for (name, result), count in sorted(counts.items()):
        print(f"{name}: landmarks {result}: {count}")
    return faces.with_columns(pl.DataFrame(points, schema=list(POINT_COLUMNS), orient="row"))


def with_answers(faces: pl.DataFrame, root: Path, ask_model: Callable[[Pixels], Floats]) -> pl.DataFrame:
    """Return ``faces`` with answers as votes of RAF-DB's and UTKFace's rows, ``VOTES_OF_A_MODEL`` for each face.

    RAF-DB's are the model's, UTKFace's the mean of the model's and face-api.js's; UTKFace's labels are the most
    probable classes. The model answers for picture and mirror image, and without its temperature: after it, the answers
    say less about the classes that a face is not. Of UTKFace's candid portraits the few that seem neither neutral nor
    happy are left out: equal class shares in all sets would show these, mostly mistakes, again and again.
    """
    ask_faceapi = _faceapi_answers()
    rows = faces.with_row_index("row").filter(pl.col("set").is_in(["rafdb", UTK]))
    answers = np.empty((rows.height, len(FACEAPI)))
    with bar("Asking the models", rows.height) as advance:
        for number, row in enumerate(rows.iter_rows(named=True)):
            try:
                picture = decode(read_bytes(root, row["path"]))
            except ImageError as error:
                raise InputError(f"{row['path']}: {PROBLEMS[error.reason]}; repair the archive") from None
            if row["set"] == UTK:
                answers[number] = (ask_model(_aligned(picture, row)) + ask_faceapi(picture)) / 2
            else:
                answers[number] = ask_model(picture)
            advance()
    votes = {
        name: pl.Series([f"{VOTES_OF_A_MODEL * share:.2f}" for share in answers[:, number]])
        for number, name in enumerate(VOTES)
    }
    likeliest = pl.Series([FACEAPI[number] for number in answers.argmax(1)])
    answered = rows.select("row", label_en=pl.when(pl.col("set") == UTK).then(likeliest).otherwise("label_en"))
    filled = faces.with_row_index("row").update(answered.with_columns(**votes), on="row").drop("row")
    return filled.filter((pl.col("set") != UTK) | pl.col("label_en").is_in(["neutral", "happy"]))


def model_answers(model: Path) -> Callable[[Pixels], Floats]:
    """Return a function that asks an exported model about a picture; InputError where it has other classes."""
    classifier = Classifier(model, threads=1)
    if classifier.classes != FACEAPI:
        raise InputError(f"{model}: answers {', '.join(classifier.classes)}; a model of {', '.join(FACEAPI)} is needed")
    facts = {entry.key: entry.value for entry in onnx.load(model).metadata_props}
    temperature = float(facts[TEMPERATURE])

    def ask(picture: Pixels) -> Floats:
        both = [picture, np.ascontiguousarray(picture[:, ::-1])]
        powers = classifier.predict_patches(both).astype(np.float64) ** temperature
        mean: Floats = (powers / powers.sum(1, keepdims=True)).mean(0)
        return mean

    return ask


def _faceapi_answers() -> Callable[[Pixels], Floats]:
    """Return face-api.js's answers for the face that its detector finds first, or else for the whole picture."""
    faceapi = FaceApi(threads=1)

    def ask(picture: Pixels) -> Floats:
        found = faceapi.detect(picture)
        height, width = picture.shape[:2]
        answers: Floats = faceapi.expressions(picture, [found[0].box if found else (0, 0, width, height)])[0]
        return answers.astype(np.float64)

    return ask


def _aligned(picture: Pixels, row: Mapping[str, str]) -> Pixels:
    if not row[POINT_COLUMNS[0]]:
        return picture
    numbers = [float(row[name]) for name in POINT_COLUMNS]
    return aligned_crop(picture, list(zip(numbers[::2], numbers[1::2], strict=True)), SIZE)


def _read(archive: Path, columns: list[str]) -> pl.DataFrame:
    name = f"{archive.stem}/labels.csv"
    faces: pl.DataFrame = read_list(archive, name, columns, f"the archive {archive.name}")
    return faces.with_columns(path=f"data_raw/{archive.name}!/" + pl.col("path"))


def _by_person(faces: pl.DataFrame, held_out: list[str]) -> dict[str, pl.DataFrame]:
    apart = pl.col("person").is_in(held_out)
    return {"train": faces.filter(~apart), "val": faces.filter(apart)}


def main() -> None:
    """Write the tables and print their sizes."""
    parser = argparse.ArgumentParser(description="Tables of several data sets for pyojeong train")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--project-root", type=Path, default=Path())
    parser.add_argument("--hold-out", default=HOLD_OUT, help="performers for validation, '' for none")
    parser.add_argument("--answers", type=Path, metavar="MODEL", help="exported model to ask about faces without votes")
    arguments = parser.parse_args()
    root = arguments.project_root
    try:
        held_out = [name.strip() for name in arguments.hold_out.split(",") if name.strip()]
        ask = model_answers(arguments.answers) if arguments.answers else None
        parts = tables(arguments.folder, held_out, unlabeled=ask is not None)
        for name in pl.concat(parts.values())["set"].unique():
            link_into(root / "data_raw", arguments.folder / f"{name}.zip")
        parts["val"] = without_twins(parts["val"], parts["train"], root)
        for split, part in parts.items():
            path = root / "data_raw" / f"mixed_{split}_BASIC7.csv"
            faces = with_landmarks(part, root)
            if split == "train" and ask:
                faces = with_answers(faces, root, ask)
            write_csv(faces, path)
            counts = faces["set"].value_counts(sort=True).iter_rows()
            print(f"{path}: " + ", ".join(f"{count} of {name}" for name, count in counts))
    except (InputError, OSError) as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
