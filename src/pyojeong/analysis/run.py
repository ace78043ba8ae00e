"""Analyze sources from the first to the last: into a table, into annotated copies, or one result at a time."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyojeong import __version__
from pyojeong.analysis.problems import PROBLEMS
from pyojeong.analysis.reading import Options, PictureFaces, Reader
from pyojeong.analysis.sources import Source, find_sources
from pyojeong.analysis.tracking import HALF_LIFE
from pyojeong.analyzer import MODEL
from pyojeong.core.errors import InputError
from pyojeong.core.files import file_lock
from pyojeong.detection.detector import MIN_FACE

if TYPE_CHECKING:
    from pyojeong.analysis.table import FaceTable

SourceName = str | os.PathLike[str]


class StoppedError(InputError):
    """The user stopped the analysis; what was done is kept."""


@dataclass
class Tally:
    """What a run went through.

    Attributes:
        pictures: pictures and frames that were read.
        faces: faces in them.
        reasons: reason -> number of sources that could not be read, or not to their end.
    """

    pictures: int
    faces: int
    reasons: Counter[str]

    def count(self, result: PictureFaces) -> None:
        """Add a picture or frame."""
        if result.reason:
            self.reasons[result.reason] += 1
        else:
            self.pictures += 1
            self.faces += len(result.faces)


def watch(
    sources: SourceName | Iterable[SourceName],
    *,
    model: str | Path | None = None,
    min_face: float = MIN_FACE,
    thorough: bool = False,
    every: int = 1,
    fps: float | None = None,
    half_life: float = HALF_LIFE,
) -> Generator[PictureFaces, None, None]:
    """Yield the faces of each picture or frame as it is read; a camera never ends, so leave the loop yourself.

    Args:
        sources: one or several, as for ``analyze``.
        model: as for ``analyze``, like the other arguments.
        min_face: smallest face, as a share of the image's longer side.
        thorough: whether to look for small faces behind a near one.
        every: in films, take every n-th frame.
        fps: in films, take at most so many frames a second.
        half_life: in seconds; 0 averages nothing.

    Raises:
        InputError: an argument is out of range, or the model cannot be used.
    """
    chosen = _options(model, min_face, thorough, every, fps, half_life)
    return Reader(chosen).read(find_sources(_listed(sources)))


def analyze(  # noqa: PLR0913 - each argument is an option
    sources: SourceName | Iterable[SourceName],
    out: str | Path | None = None,
    *,
    annotate: str | Path | None = None,
    korean: bool = True,
    append: bool = False,
    workers: int = 1,
    model: str | Path | None = None,
    min_face: float = MIN_FACE,
    thorough: bool = False,
    every: int = 1,
    fps: float | None = None,
    half_life: float = HALF_LIFE,
    progress: bool = False,
) -> "FaceTable":
    """Find and read every face of photographs, folders, archives, films and cameras; return them as one table.

    With ``out``, a run that was killed goes on where it stopped when it is called again with the same arguments.

    Args:
        sources: one or several: a picture or film, a folder, a pattern such as ``"2024/**/*.jpg"``, ``archive.zip``,
            ``archive.zip!/member``, or ``camera:0``, which is read until Ctrl-C.
        out: file of the table, ``.parquet``, ``.csv`` or ``.jsonl``; an existing one is replaced when the new one is
            whole. None keeps the rows in memory only.
        annotate: a folder for copies of pictures and films with boxes and labels.
        korean: whether these labels are in Korean, or in English.
        append: whether the rows of an existing ``out`` stay; sources that are in it are not read again.
        workers: number of processes for photographs, and of threads for the frames of a film.
        model: an ONNX file of ``pyojeong export``; None is the package's own.
        min_face: smallest face to find, as a share of the image's longer side.
        thorough: whether to look for small faces behind a near one as well.
        every: in films, take every n-th frame.
        fps: in films, take at most so many frames a second.
        half_life: in films, the half-life in seconds of the weights that average each face's probabilities; 0
            averages nothing.
        progress: whether a bar shows rate and time left.

    Raises:
        InputError: an argument is out of range, the model or the place cannot be used, no source can be read and
            ``out`` exists (it stays as it is), or the user stopped the run.
        OSError: the place cannot be written, or the disk is full; finished work stays.
    """
    chosen = _options(model, min_face, thorough, every, fps, half_life)
    folder = Path(annotate) if annotate is not None else None
    reader = Reader(chosen, annotate=folder, korean=korean, workers=workers, shown=progress)
    return run(reader, [*_listed(sources)], Path(out) if out is not None else None, append=append, annotate=folder)


def run(
    reader: Reader,
    words: list[SourceName],
    out: Path | None,
    *,
    append: bool = False,
    annotate: Path | None = None,
    say: Callable[[PictureFaces], None] | None = None,
) -> "FaceTable":
    """Read sources into a table with a reader of one's own; see ``analyze``.

    Args:
        reader: reads them.
        words: as ``find_sources``.
        out: file of the table, or None.
        append: see ``analyze``.
        annotate: the reader's folder, which is not searched for pictures.
        say: is told each result as it comes.
    """
    from pyojeong.analysis.table import check_suffix

    classes = reader.analyzer.classifier.classes
    if out is None:
        return _in_memory(reader, find_sources(words, annotate), classes, say)
    check_suffix(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    settings = _settings(reader.options, words, annotate)
    with file_lock(out):
        sources = find_sources(words, annotate)
        if not append and out.exists():
            _check_found(sources, out)
        return _into_file(reader, sources, out, settings, append=append, say=say)


def _check_found(sources: list[Source], out: Path) -> None:
    """Raise InputError where there is nothing to read, as in the wrong folder, so that the table at ``out`` stays."""
    if all(source.kind == "unusable" for source in sources):
        first = f"; the first is {Path(sources[0].name).absolute()}: {PROBLEMS[sources[0].reason]}" if sources else ""
        raise InputError(f"{out}: stays as it is, because no source can be read{first}. Check the sources")


def _into_file(
    reader: Reader,
    sources: list[Source],
    out: Path,
    settings: dict[str, Any],
    *,
    append: bool,
    say: Callable[[PictureFaces], None] | None,
) -> "FaceTable":
    from pyojeong.analysis.parts import Parts
    from pyojeong.analysis.table import FaceTable

    classes = reader.analyzer.classifier.classes
    parts = Parts(out, classes, settings, append=append, winds=settings["annotate"] is None)
    left = [source for source in sources if source.name not in parts.done]
    position, live = parts.position, False
    try:
        with closing(reader.read(left, parts.position)) as results:
            for result in results:
                position, live = reader.position, reader.live
                parts.add(result, position)
                if say:
                    say(result)
    except InputError:
        parts.flush(position)
        raise
    except KeyboardInterrupt:
        # Ctrl-C is the way to end a camera.
        if not live:
            parts.flush(position)
            raise StoppedError(f"{out}: stopped; the same command goes on from here") from None
    return FaceTable(parts.finish().collect())


def _in_memory(
    reader: Reader, sources: list[Source], classes: tuple[str, ...], say: Callable[[PictureFaces], None] | None
) -> "FaceTable":
    import polars as pl

    from pyojeong.analysis.table import FaceTable, rows_of, schema_of

    rows: list[tuple[Any, ...]] = []
    live = False
    try:
        with closing(reader.read(sources)) as results:
            for result in results:
                live = reader.live
                rows += rows_of(result, classes)
                if say:
                    say(result)
    except KeyboardInterrupt:
        if not live:
            raise
    return FaceTable(pl.DataFrame(rows, schema_of(classes), orient="row"))


def _options(
    model: str | Path | None, min_face: float, thorough: bool, every: int, fps: float | None, half_life: float
) -> Options:
    return Options(Path(model) if model is not None else None, min_face, thorough, every, fps, half_life)


def _listed(sources: SourceName | Iterable[SourceName]) -> list[SourceName]:
    return [sources] if isinstance(sources, str | os.PathLike) else [*sources]


def _settings(options: Options, words: Iterable[SourceName], annotate: Path | None) -> dict[str, Any]:
    model = options.model or MODEL
    return {
        **{key: value for key, value in asdict(options).items() if key not in ("model", "threads")},
        "model_sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "sources": [os.fspath(word).encode(errors="backslashreplace").decode() for word in words],
        "annotate": str(annotate) if annotate is not None else None,
        "version": __version__,
    }
