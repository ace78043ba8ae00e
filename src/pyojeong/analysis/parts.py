"""Keep the rows of a run in parts beside the table until it is whole, so that a killed run goes on where it stopped."""

import io
import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from shutil import rmtree
from typing import Any

import polars as pl

from pyojeong.analysis.reading import PictureFaces, Position
from pyojeong.analysis.table import classes_in, rows_of, scan, schema_of, sink
from pyojeong.core.errors import InputError
from pyojeong.core.files import read_json, whole_file, write_bytes, write_json

FLUSH_EVERY = 5.0
"""Seconds of work that a kill may cost."""

_MOST_ROWS = 50_000
_SETTINGS = "settings.json"
_POSITION = "position"


class Parts:
    """The parts of one table, in the folder ``TABLE.parts`` beside it.

    Args:
        out: the table.
        classes: the model's.
        settings: JSON values on which the rows depend; parts made with others are refused.
        append: whether the rows of an existing table stay, before the new ones.
        winds: whether a film in progress can be gone on with; otherwise its rows are dropped, and it starts again.

    Attributes:
        done: names of the sources that need not be read again.
        position: where the film stands that a killed run was reading; None where there was none.

    Raises:
        InputError: unfinished work was made with other settings, or the existing table has other columns.
        OSError: the place cannot be written.
    """

    def __init__(
        self, out: Path, classes: tuple[str, ...], settings: Mapping[str, Any], *, append: bool, winds: bool
    ) -> None:
        self._out, self._folder, self._classes = out, out.with_name(f"{out.name}.parts"), classes
        self._schema = schema_of(classes)
        self._old = self._existing() if append and out.exists() else None
        self._begin({**settings, "append": append})
        self._files = sorted(self._folder.glob("*.parquet"))
        self.position = self._last_position()
        if self.position and not winds:
            self._drop(self.position.source)
            self.position = None
        self.done = self._sources() - ({self.position.source} if self.position else set())
        self._rows: list[tuple[Any, ...]] = []
        self._flushed = time.monotonic()

    def add(self, result: PictureFaces, position: Position | None) -> None:
        """Keep the rows of a picture or frame; ``position`` is where its film stands after it."""
        self._rows += rows_of(result, self._classes)
        if len(self._rows) >= _MOST_ROWS or time.monotonic() - self._flushed > FLUSH_EVERY:
            self.flush(position)

    def flush(self, position: Position | None) -> None:
        """Write the rows that are only in memory so far."""
        self._flushed = time.monotonic()
        if not self._rows:
            return
        frame = pl.DataFrame(self._rows, self._schema, orient="row")
        self._write(self._folder / f"{len(self._files):08d}.parquet", frame, position)
        self._rows = []

    def finish(self) -> pl.LazyFrame:
        """Write the table, whole, remove the parts, and return the table's rows, read when needed."""
        self.flush(None)
        rows = pl.scan_parquet(self._files) if self._files else pl.LazyFrame(schema=self._schema)
        if self._old is not None:
            # A run that was killed between the next two steps has written these rows already.
            new = rows.select("source").unique().collect()["source"].to_list()
            rows = pl.concat([self._old.filter(~pl.col("source").is_in(new)), rows])
        with whole_file(self._out) as file:
            sink(rows, self._out.suffix, file)
        rmtree(self._folder)
        return scan(self._out)

    def _existing(self) -> pl.LazyFrame:
        old = scan(self._out)
        if (classes := classes_in(old.collect_schema())) != self._classes:
            raise InputError(
                f"{self._out}: has the classes {', '.join(classes)}, not the model's; choose another table"
            )
        return old

    def _begin(self, settings: Mapping[str, Any]) -> None:
        place = self._folder / _SETTINGS
        if place.is_file() and read_json(place) != settings:
            raise InputError(
                f"{self._folder}: holds unfinished work of another call; repeat that call, or remove the folder"
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        write_json(place, settings)

    def _last_position(self) -> Position | None:
        if not self._files:
            return None
        text = pl.read_parquet_metadata(self._files[-1]).get(_POSITION)
        return Position(**json.loads(text)) if text else None

    def _sources(self) -> set[str]:
        frames = [pl.scan_parquet(self._files)] if self._files else []
        if self._old is not None:
            frames.append(self._old)
        return {name for frame in frames for name in frame.select("source").unique().collect()["source"]}

    def _drop(self, source: str) -> None:
        for file in [*self._files]:
            frame = pl.read_parquet(file)
            if (frame["source"] == source).any():
                self._write(file, frame.filter(pl.col("source") != source), None)

    def _write(self, file: Path, frame: pl.DataFrame, position: Position | None) -> None:
        buffer = io.BytesIO()
        metadata = {_POSITION: json.dumps(asdict(position))} if position else {}
        frame.write_parquet(buffer, metadata=metadata)
        write_bytes(file, buffer.getvalue())
        if file not in self._files:
            self._files.append(file)
