"""Read every source in turn and say what is seen in each picture or frame."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from pyojeong.analysis.ahead import read_ahead
from pyojeong.analysis.annotate import Annotator
from pyojeong.analysis.colors import class_colors
from pyojeong.analysis.films import Film, Frame, check_steps
from pyojeong.analysis.problems import PROBLEMS, SourceError
from pyojeong.analysis.sources import Source
from pyojeong.analysis.tracking import HALF_LIFE, Tracker
from pyojeong.analyzer import Analyzer, Face
from pyojeong.core.images import ImageError, Pixels, pixels_of
from pyojeong.core.progress import bar
from pyojeong.detection.detector import MIN_FACE

_SHOWN_FROM = 8
"""So many photographs or more get a bar."""


@dataclass(frozen=True)
class Options:
    """How sources are analyzed.

    Attributes:
        model: an ONNX file of ``pyojeong export``; None is the package's own model.
        min_face: smallest face to find, as a share of the image's longer side.
        thorough: whether to look for small faces behind a near one as well.
        every: in films, take every n-th frame.
        fps: in films, take at most so many frames a second.
        half_life: in films, half-life in seconds of the weights that average probabilities; 0 averages nothing.
        threads: onnxruntime's threads per call; 0 lets it choose.

    Raises:
        InputError: ``every``, ``fps`` or ``half_life`` is out of range.
    """

    model: Path | None = None
    min_face: float = MIN_FACE
    thorough: bool = False
    every: int = 1
    fps: float | None = None
    half_life: float = HALF_LIFE
    threads: int = 0

    def __post_init__(self) -> None:
        check_steps(self.every, self.fps)
        Tracker(self.half_life)

    def analyzer(self) -> Analyzer:
        """Return an analyzer with these options; InputError as there."""
        return Analyzer(self.model, min_face=self.min_face, thorough=self.thorough, threads=self.threads)


@dataclass(frozen=True)
class PictureFaces:
    """What was seen in a picture, or in a frame of a film.

    Attributes:
        source: a file, ``archive.zip!/member`` or ``camera:N``; bytes that are no valid text are escapes.
        frame: number of the frame in its film, from 0 on; None for a photograph.
        time_s: its time in seconds from the film's start; None for a photograph.
        width: of the upright picture in pixels; 0 where it could not be read.
        height: of the upright picture.
        faces: best detector score first.
        reason: why the source, or the rest of it, could not be read, a key of ``problems.PROBLEMS``; empty otherwise.
    """

    source: str
    frame: int | None = None
    time_s: float | None = None
    width: int = 0
    height: int = 0
    faces: list[Face] = field(default_factory=list)
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values; what could not be read has ``reason`` and ``message`` only."""
        if self.reason:
            return {"source": self.source, "reason": self.reason, "message": PROBLEMS[self.reason]}
        place = {} if self.frame is None else {"frame": self.frame, "time_s": self.time_s}
        faces = [face.to_dict() for face in self.faces]
        return {"source": self.source, **place, "width": self.width, "height": self.height, "faces": faces}


@dataclass(frozen=True)
class Position:
    """Where the film stands that is being read.

    Attributes:
        source: the film's name.
        frame: number of the last frame.
        time_s: its time.
        tracker: ``Tracker.state()`` after it.
    """

    source: str
    frame: int
    time_s: float
    tracker: dict[str, Any]


class Reader:
    """Analyzes sources one after another, photographs in several processes if wanted.

    Args:
        options: how.
        annotate: a folder for copies with the faces drawn in; None draws none.
        korean: whether labels are drawn in Korean.
        workers: number of processes for photographs, and of threads for the frames of a film.
        shown: whether a bar shows the progress.

    Attributes:
        analyzer: this process's.
        position: where the film in progress stands; None between films, and while a camera is read.
        live: whether a camera is being read.
    """

    def __init__(
        self,
        options: Options,
        *,
        annotate: Path | None = None,
        korean: bool = True,
        workers: int = 1,
        shown: bool = False,
    ) -> None:
        # Several at once are faster with one thread each.
        self.options = replace(options, threads=options.threads or 1) if workers > 1 else options
        self.analyzer = self.options.analyzer()
        self.position: Position | None = None
        self.live = False
        model = self.analyzer.classifier
        colors = class_colors(model.classes, model.colors)
        self._annotator = Annotator(annotate, colors, korean=korean) if annotate else None
        self._workers, self._shown = workers, shown

    def read(self, sources: Iterable[Source], position: Position | None = None) -> Generator[PictureFaces, None, None]:
        """Yield what is seen in each picture or frame, in the order of the sources.

        What cannot be read is a result with a reason.

        Args:
            sources: from ``find_sources``.
            position: goes on behind this frame of the film that it names.
        """
        for kind, group in groupby(sources, key=lambda source: source.kind):
            if kind == "photograph":
                yield from self._photographs([*group])
            else:
                for source in group:
                    if source.reason:
                        yield PictureFaces(source.name, reason=source.reason)
                    else:
                        after = position if position and position.source == source.name else None
                        yield from self._film(source, after)

    def _photographs(self, sources: Sequence[Source]) -> Iterator[PictureFaces]:
        shown = self._shown and len(sources) >= _SHOWN_FROM
        with bar("photographs", len(sources)) if shown else nullcontext(_no_bar) as advance:
            for result in self._each_photograph(sources):
                yield result
                advance()

    def _each_photograph(self, sources: Sequence[Source]) -> Iterator[PictureFaces]:
        if min(self._workers, len(sources)) > 1:
            # Imported late, because it would delay the first answer of a single process.
            from pyojeong.core.executors import map_ordered

            work = partial(_in_worker, self.options, self._annotator)
            yield from map_ordered(work, sources, workers=self._workers)
            return
        with closing(read_ahead(_decoded(sources), 2)) as pictures:
            for source, picture in pictures:
                yield _photograph(source, picture, self.analyzer, self._annotator)

    def _film(self, source: Source, after: Position | None) -> Iterator[PictureFaces]:
        tracker = Tracker(self.options.half_life)
        if after:
            tracker.resume(**after.tracker)
        try:
            with Film(source.path, every=self.options.every, fps=self.options.fps) as film:
                self.live = film.live
                yield from self._frames(source, film, tracker, after)
        except SourceError as error:
            self.position = None
            yield PictureFaces(source.name, reason=error.reason)
        finally:
            self.live, self.position = False, None

    def _frames(self, source: Source, film: Film, tracker: Tracker, after: Position | None) -> Iterator[PictureFaces]:
        from pyojeong.core.executors import map_in_threads

        start = (after.frame, after.time_s) if after else None
        drawn = self._annotator.film(source, film.rate) if self._annotator else nullcontext(None)
        ended: BaseException | None = None
        with (
            bar(source.name, film.frames) if self._shown else nullcontext(_no_bar) as advance,
            drawn as draw,
            closing(read_ahead(film.read(start), newest=film.live)) as frames,
            # A camera's frame is answered before the next one is looked at.
            closing(map_in_threads(self._found, frames, threads=1 if film.live else self._workers)) as found,
        ):
            try:
                for frame, faces in found:
                    followed = self._followed(faces, tracker, frame.time_s)
                    if draw:
                        draw(frame, followed)
                    # What a camera showed does not come again.
                    if not film.live:
                        self.position = Position(source.name, frame.number, frame.time_s, tracker.state())
                    height, width = frame.pixels.shape[:2]
                    yield PictureFaces(source.name, frame.number, frame.time_s, width, height, followed)
                    advance()
            except SourceError as error:
                # The annotated copy keeps what there is.
                ended = error
            except (KeyboardInterrupt, GeneratorExit) as error:
                # This is how a camera ends, so that its copy is whole.
                if not film.live:
                    raise
                ended = error
        if ended:
            raise ended

    def _found(self, frame: Frame) -> tuple[Frame, list[Face]]:
        return frame, self.analyzer.analyze(frame.pixels)

    def _followed(self, faces: Sequence[Face], tracker: Tracker, time: float) -> list[Face]:
        values = [np.array([*face.emotions.values()], np.float32) for face in faces]
        tracks = tracker.next([face.box for face in faces], values, time)
        return [self.analyzer.answered(face, track.values, track.id) for face, track in zip(faces, tracks, strict=True)]


def _no_bar(*_: object, **__: object) -> None:
    """Stands in for a bar that is not shown."""


def _picture(source: Source) -> Pixels | str:
    """Return the pixels of a photograph, or the reason why it cannot be read."""
    try:
        return pixels_of(source.path)
    except ImageError as error:
        return error.reason
    except OSError:
        return "unreadable_file"


def _decoded(sources: Iterable[Source]) -> Iterator[tuple[Source, Pixels | str]]:
    for source in sources:
        yield source, _picture(source)


def _photograph(source: Source, picture: Pixels | str, analyzer: Analyzer, annotator: Annotator | None) -> PictureFaces:
    if isinstance(picture, str):
        return PictureFaces(source.name, reason=picture)
    faces = [replace(face, id=number) for number, face in enumerate(analyzer.analyze(picture), 1)]
    if annotator:
        annotator.picture(source, picture, faces)
    height, width = picture.shape[:2]
    return PictureFaces(source.name, width=width, height=height, faces=faces)


def _in_worker(options: Options, annotator: Annotator | None, source: Source) -> PictureFaces:
    return _photograph(source, _picture(source), _analyzer(options), annotator)


@lru_cache(maxsize=1)
def _analyzer(options: Options) -> Analyzer:
    return options.analyzer()
