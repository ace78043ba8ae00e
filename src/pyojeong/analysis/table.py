"""The table of faces: one row for each face of each picture or frame."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import polars as pl

from pyojeong.analysis.reading import PictureFaces
from pyojeong.core.errors import InputError
from pyojeong.core.files import require_file, whole_file
from pyojeong.core.geometry import BOX_KEYS
from pyojeong.core.labels import english_word, korean_word

if TYPE_CHECKING:
    import pandas

    from pyojeong.analysis.summary import Summary

SUFFIXES = (".parquet", ".csv", ".jsonl")

P_PREFIX = "p_"
"""Before the class's name in the column of its probability."""

_PICTURE: dict[str, pl.DataType] = {
    "source": pl.String(),
    "frame": pl.Int64(),
    "time_s": pl.Float64(),
    "width": pl.Int32(),
    "height": pl.Int32(),
}
_FACE: dict[str, pl.DataType] = {
    "id": pl.Int32(),
    **{key: pl.Float64() for key in BOX_KEYS},
    "score": pl.Float32(),
    "label": pl.String(),
    "label_en": pl.String(),
    "label_ko": pl.String(),
}
_END: dict[str, pl.DataType] = {"unsure": pl.Boolean(), "reason": pl.String()}


def schema_of(classes: Iterable[str]) -> pl.Schema:
    """Return the columns of the table and their types for a model's classes."""
    chances = {f"{P_PREFIX}{name}": pl.Float32() for name in classes}
    return pl.Schema({**_PICTURE, **_FACE, **chances, **_END})


def rows_of(result: PictureFaces, classes: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return the rows of one picture or frame: one per face, or a single one without a face."""
    seen = (result.width or None, result.height or None)
    picture = (result.source, result.frame, result.time_s, *seen)
    if not result.faces:
        nothing = (None,) * (len(_FACE) + len(classes) + 1)
        return [(*picture, *nothing, result.reason or None)]
    return [
        (
            *picture,
            face.id,
            *face.box,
            face.score,
            face.label,
            english_word(face.label),
            korean_word(face.label),
            *(face.emotions[name] for name in classes),
            face.unsure,
            None,
        )
        for face in result.faces
    ]


class FaceTable:
    """A table of faces, as ``pyojeong analyze`` writes it; ``docs/python_api.md`` describes the columns.

    Args:
        frame: the rows, with the columns of ``schema_of``.
    """

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    @classmethod
    def read(cls, path: str | Path) -> "FaceTable":
        """Read a Parquet, CSV or JSON-lines file of ``pyojeong analyze``.

        Raises InputError where it is none.
        """
        path = Path(path)
        require_file(path, "make one with pyojeong analyze")
        return cls(scan(path).collect())

    @property
    def classes(self) -> tuple[str, ...]:
        """The model's classes in output order."""
        return classes_in(self._frame.columns)

    @property
    def problems(self) -> pl.DataFrame:
        """What could not be read: ``source`` and ``reason``."""
        return self._frame.filter(pl.col("reason").is_not_null()).select("source", "reason")

    def __len__(self) -> int:
        return len(self._frame)

    def _repr_html_(self) -> str:
        return self._frame._repr_html_()

    def to_polars(self) -> pl.DataFrame:
        """Return the rows as a Polars table."""
        return self._frame

    def to_pandas(self) -> "pandas.DataFrame":
        """Return the rows as a pandas table, with pandas' nullable types; needs pandas."""
        try:
            import pandas
        except ImportError:
            raise InputError("to_pandas needs pandas; install it with: pip install pandas") from None
        columns = self._frame.to_dict(as_series=False)
        kinds = {name: _PANDAS[type(kind)] for name, kind in self._frame.schema.items()}
        return pandas.DataFrame({name: pandas.array(columns[name], dtype=kind) for name, kind in kinds.items()})

    def write(self, path: str | Path) -> None:
        """Write the rows as Parquet, CSV or JSON lines, by the file's ending, whole or not at all."""
        path = check_suffix(path)
        with whole_file(path) as file:
            sink(self._frame.lazy(), path.suffix, file)

    def summary(self) -> "Summary":
        """Return the share of time of each emotion, for each face; see ``summary.summarize``."""
        from pyojeong.analysis.summary import summarize

        return summarize(self._frame)


_PANDAS = {
    pl.String: "string",
    pl.Int64: "Int64",
    pl.Int32: "Int32",
    pl.Float64: "Float64",
    pl.Float32: "Float32",
    pl.Boolean: "boolean",
}


def check_suffix(path: str | Path) -> Path:
    """Return the path; InputError unless it ends in one of ``SUFFIXES``."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: a table ends in {', '.join(SUFFIXES)}; rename it")
    return path


def classes_in(columns: Iterable[str]) -> tuple[str, ...]:
    """Return the classes whose probabilities are among the columns."""
    return tuple(name.removeprefix(P_PREFIX) for name in columns if name.startswith(P_PREFIX))


def scan(path: Path) -> pl.LazyFrame:
    """Return the rows of a file, read when needed; InputError where it is no table of faces."""
    try:
        columns = _columns(path)
        schema = schema_of(classes_in(columns))
        if columns != [*schema]:
            raise ValueError("its columns are others")
        match path.suffix.lower():
            case ".parquet":
                return pl.scan_parquet(path)
            case ".csv":
                return pl.scan_csv(path, schema=schema)
            case _:
                return pl.scan_ndjson(path, schema=schema)
    except (pl.exceptions.PolarsError, ValueError, OSError) as error:
        raise InputError(f"{path}: is no table of pyojeong analyze ({str(error).splitlines()[0]})") from None


def _columns(path: Path) -> list[str]:
    match path.suffix.lower():
        case ".parquet":
            return [*pl.read_parquet_schema(path)]
        case ".csv":
            return pl.read_csv(path, n_rows=0).columns
        case ".jsonl":
            return pl.read_ndjson(path, n_rows=1).columns if path.stat().st_size else []
    raise ValueError(f"a table ends in {', '.join(SUFFIXES)}")


def sink(rows: pl.LazyFrame, suffix: str, file: IO[bytes]) -> None:
    """Write rows to an open file without holding them all in memory.

    Raises OSError where the disk is full.
    """
    try:
        match suffix.lower():
            case ".parquet":
                rows.sink_parquet(file)
            case ".csv":
                rows.sink_csv(file)
            case _:
                rows.sink_ndjson(file)
    except pl.exceptions.ComputeError as error:
        raise OSError(str(error)) from None
