"""Read the frames of films and cameras with PyAV: upright, with the container's own times."""

import errno
import math
import sys
import zipfile
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from pyojeong.analysis.problems import SourceError
from pyojeong.analysis.sources import CAMERA
from pyojeong.core.errors import InputError
from pyojeong.core.images import BROKEN_MEMBER, Pixels, member_name, split_path

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_TOLERANCE = 1.5
"""Seconds by which the pictures of a whole film may end before its stated length; sound is often longer."""

_SYSTEMS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
"""FFmpeg's name of the camera interface of each system."""

# A playlist must not reach into the network, nor to other files.
_CLOSED = {"protocol_whitelist": "file"}


@dataclass(frozen=True)
class Frame:
    """A frame of a film.

    Attributes:
        number: counted from 0 over all frames of the film, also those left out.
        time_s: seconds since the film's start, from the container; a camera's since its first frame.
        pixels: upright RGB, uint8 [H, W, 3].
    """

    number: int
    time_s: float
    pixels: Pixels


class Film:
    """The pictures of a film, an archive's member or ``camera:N``; close it, or use it in a ``with`` block.

    Args:
        path: as ``sources.Source.path``.
        every: take every n-th frame; 1 takes all.
        fps: take at most so many frames a second of the film, by their times; None takes all.

    Attributes:
        path: as given.
        live: whether it is a camera.
        frames: stated number of frames to come, after ``every`` and ``fps``; None where it is unknown.
        duration: stated length in seconds; None where it is unknown.
        rate: stated frames a second, before ``every`` and ``fps``; 0 where it is unknown.

    Raises:
        SourceError: with reason ``needs_film``, ``missing``, ``empty``, ``encrypted``, ``unreadable_archive``,
            ``unreadable_file``, ``not_a_film``, ``no_picture_stream``, ``no_camera``, ``camera_taken`` or
            ``camera_denied``.
        InputError: ``every`` or ``fps`` is out of range.
    """

    def __init__(self, path: str, *, every: int = 1, fps: float | None = None) -> None:
        check_steps(every, fps)
        try:
            import av  # noqa: F401 - tells whether it is installed
        except ImportError:
            raise SourceError("needs_film", path) from None
        self.path, self._every, self._fps = path, every, fps
        self.live = CAMERA.fullmatch(path) is not None
        self._file: Any = None
        self._container = self._opened()
        if not self._container.streams.video:
            self.close()
            raise SourceError("no_picture_stream", path)
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self.rate = float(self._stream.average_rate or self._stream.guessed_rate or 0)
        self.duration = self._stated_duration()
        self.frames = self._stated_frames()
        self._damaged = 0

    def __enter__(self) -> "Film":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file or camera."""
        self._container.close()
        if self._file is not None:
            self._file.close()

    def read(self, after: tuple[int, float] | None = None) -> Generator[Frame, None, None]:
        """Yield the frames that were asked for, one at a time.

        Args:
            after: number and time of a frame that was read before; only those behind it are read. A film that cannot
                be wound is read from its start.

        Raises:
            SourceError: after the last frame, with reason ``ends_early`` or ``damaged_frames``.
        """
        number, last = after or (-1, -math.inf)
        start = self._start()
        if after:
            self._wind(last + start)
        due = self._due(last) if after else -math.inf
        last_seen = last
        for frame in self._decoded():
            time = self._time(frame, number + 1) - start
            if self.live and number < 0 and start == 0:
                start, time = time, 0.0
            if time <= last:
                continue
            number += 1
            last_seen = time
            if number % self._every or (self._fps and time < due):
                continue
            due = self._due(time)
            yield Frame(number, time, _upright(frame))
        self._check_end(last_seen)

    def _due(self, time: float) -> float:
        """Return the earliest time of the next frame, on the grid of ``fps`` so that errors do not add up."""
        # Times are multiples of the container's clock; a frame a microsecond early is the one meant.
        return (math.floor(time * self._fps + 1e-6) + 1) / self._fps - 1e-6 if self._fps else -math.inf

    def _opened(self) -> Any:
        import av

        try:
            if self.live:
                return _camera(self.path)
            if split_path(self.path)[1] is not None:
                self._file = _member(self.path)
                return av.open(self._file, options=_CLOSED)
            # A pipe has no size.
            if Path(self.path).is_file() and not Path(self.path).stat().st_size:
                raise SourceError("empty", self.path)
            return av.open(f"file:{self.path}", options=_CLOSED)
        except (OSError, ValueError) as error:
            self._close_file()
            raise _reason_of(error, self.path, self.live) from None

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()

    def _stated_duration(self) -> float | None:
        if self.live or not self._container.duration or self._container.duration < 0:
            return None
        own = self._stream.duration
        return float(own * self._stream.time_base) if own else self._container.duration / 1e6

    def _stated_frames(self) -> int | None:
        count = self._stream.frames or round((self.duration or 0) * self.rate)
        if not count:
            return None
        if self._fps and self.rate:
            count = math.ceil(count * min(1.0, self._fps / self.rate))
        return math.ceil(count / self._every)

    def _start(self) -> float:
        return 0.0 if self.live else (self._container.start_time or 0) / 1e6

    def _time(self, frame: "VideoFrame", number: int) -> float:
        # A bare stream of pictures has no times.
        return float(frame.time) if frame.time is not None else number / (self.rate or 25)

    def _wind(self, time: float) -> None:
        import av

        with suppress(av.FFmpegError):
            self._container.seek(int(max(0.0, time) / self._stream.time_base), stream=self._stream)

    def _decoded(self) -> Iterator["VideoFrame"]:
        import av

        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                yield from packet.decode()
            except av.InvalidDataError:
                self._damaged += 1
            except av.EOFError:
                return
            except av.FFmpegError as error:
                raise _reason_of(error, self.path, self.live, reading=True) from None

    def _check_end(self, last: float) -> None:
        if self.live:
            return
        if last == -math.inf:
            raise SourceError("damaged_frames" if self._damaged else "ends_early", self.path)
        if self.duration and last < self.duration - _TOLERANCE - 1 / (self.rate or 25):
            raise SourceError("ends_early", self.path)
        if self._damaged:
            raise SourceError("damaged_frames", self.path)


def check_steps(every: int, fps: float | None) -> None:
    """Raise InputError where ``every`` or ``fps`` is out of range, or both thin out the frames."""
    if every < 1:
        raise InputError(f"every is {every}; it must be 1 (all frames) or more")
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise InputError(f"fps is {fps}; it must be a number of frames a second above 0")
    if every > 1 and fps is not None:
        raise InputError("give either every or fps")


def _upright(frame: "VideoFrame") -> Pixels:
    """Return a frame as it is shown: turned by its display matrix, which phones write."""
    pixels: Pixels = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    quarters = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, quarters)) if quarters else pixels


def _camera(path: str) -> Any:
    import av

    number = int(path.partition(":")[2])
    system = _SYSTEMS.get(sys.platform)
    if system is None:
        raise SourceError("no_camera", path)
    name = f"/dev/video{number}" if system == "v4l2" else str(number)
    if system == "dshow":
        cameras = [device for device in av.enumerate_input_devices("dshow") if "video" in device.media_types]
        if number >= len(cameras):
            raise SourceError("no_camera", path)
        name = f"video={cameras[number].name}"
    return av.open(name, format=system, options={"framerate": "30"} if system == "avfoundation" else {})


def _member(path: str) -> IO[bytes]:
    name, member = split_path(path)
    if not Path(name).is_file():
        raise SourceError("missing", path)
    try:
        archive = zipfile.ZipFile(name)
        info = next((info for info in archive.infolist() if member_name(info) == member), None)
        if info is None:
            raise SourceError("missing", path)
        if info.flag_bits & 0x1:
            raise SourceError("encrypted", path)
        return archive.open(info)
    except BROKEN_MEMBER:
        raise SourceError("unreadable_archive", path) from None


def _reason_of(error: Exception, path: str, live: bool, *, reading: bool = False) -> SourceError:
    if isinstance(error, SourceError):
        return error
    number = getattr(error, "errno", None)
    if live:
        taken = number in (errno.EBUSY, errno.EIO, errno.EINVAL)
        denied = number in (errno.EACCES, errno.EPERM)
        return SourceError("camera_denied" if denied else "camera_taken" if taken else "no_camera", path)
    if reading:
        return SourceError("damaged_frames", path)
    if number in (errno.ENOENT, errno.ENOTDIR):
        return SourceError("missing", path)
    return SourceError("unreadable_file" if number in (errno.EACCES, errno.EPERM) else "not_a_film", path)
