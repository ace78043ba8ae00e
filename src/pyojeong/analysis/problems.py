"""Why a source, or a part of it, could not be read."""

from pyojeong.core import images
from pyojeong.core.errors import InputError

PROBLEMS = images.PROBLEMS | {
    "missing": "no such file",
    "no_match": "no file matches the pattern; check it, and quote it if the shell expands it",
    "no_pictures": "there is no picture or film in it",
    "unreadable_folder": "the folder cannot be read; make it accessible",
    "unreadable_file": "the file cannot be read; make it accessible",
    "needs_film": "films and cameras need the package av; install it with: pip install 'pyojeong[film]'",
    "not_a_film": "cannot be opened as a film; if its download or recording was interrupted, get it again",
    "no_picture_stream": "the film has no picture stream, only sound or text",
    "ends_early": "the film breaks off before its stated length; the frames up to there are in the table",
    "damaged_frames": "some frames of the film are damaged and were left out",
    "no_camera": "there is no such camera; camera:0 is the first one",
    "camera_taken": "the camera cannot be opened; close the other programs that use it",
    "camera_denied": "the camera may not be used; allow it in the system's settings (on Linux: join the group video)",
}
"""Reason, as in the table's column ``reason`` -> what to tell the user."""


class SourceError(InputError):
    """A source that cannot be used, or only in part.

    Attributes:
        reason: a key of ``PROBLEMS``.
        source: its name.
    """

    def __init__(self, reason: str, source: str) -> None:
        super().__init__(f"{source}: {PROBLEMS[reason]}")
        self.reason = reason
        self.source = source
