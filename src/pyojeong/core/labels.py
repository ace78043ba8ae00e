"""The seven emotions of AI Hub data set 82 in three vocabularies, and the label schemes built on them.

A scheme is data: an ordered tuple of classes and a mapping from the Korean label of a photograph to one of
them. The order of ``K7.classes`` is fixed, because browsers read probabilities by position.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pyojeong.core.errors import InputError

KOREAN = ("기쁨", "당황", "분노", "불안", "상처", "슬픔", "중립")
"""AI Hub's labels, in the fixed output order of the K7 model."""

ENGLISH = ("joy", "embarrassed", "anger", "anxiety", "hurt", "sadness", "neutral")
"""English names of ``KOREAN``, position by position."""

FACEAPI = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
"""The classes of face-api.js's FaceExpressionNet, in the order of its seven outputs."""

UNKNOWN = "알수없음"
"""What an annotator writes who could not tell; never a class."""

KOREAN_TO_ENGLISH = dict(zip(KOREAN, ENGLISH, strict=True))
ENGLISH_TO_KOREAN = dict(zip(ENGLISH, KOREAN, strict=True))


@dataclass(frozen=True)
class Scheme:
    """A set of classes and the words that lead to them.

    Attributes:
        name: what flags and file names say: ``K7``, ``M1``, ``M2``, ``BASIC7``.
        classes: class names in output order.
        from_korean: Korean label -> class. A Korean label that is missing here is dropped by the scheme.
        aliases: other words that occur in label columns -> class.
    """

    name: str
    classes: tuple[str, ...]
    from_korean: Mapping[str, str]
    aliases: Mapping[str, str] = field(default_factory=dict)

    def class_of(self, word: str) -> str | None:
        """Return the class for a class name, a Korean or English label or an alias; None when there is none."""
        word = unicodedata.normalize("NFC", word)  # macOS decomposes Hangul
        if word in self.classes:
            return word
        korean = ENGLISH_TO_KOREAN.get(word, word)
        return self.from_korean.get(korean) or self.aliases.get(word)


_SHARED = {"기쁨": "happy", "분노": "angry", "불안": "fearful", "상처": "sad", "슬픔": "sad", "중립": "neutral"}

# The published K7 tables write the seven labels in face-api's words (상처 as "disgusted"), so CSVs made by that
# system carry them in label_en.
_PUBLISHED_K7 = {
    "happy": "기쁨",
    "surprised": "당황",
    "angry": "분노",
    "fearful": "불안",
    "disgusted": "상처",
    "sad": "슬픔",
}

K7 = Scheme("K7", KOREAN, {word: word for word in KOREAN}, _PUBLISHED_K7)

# The published confusion counts fix these two: 당황 is "surprised" in M1 and "disgusted" in M2.
M1 = Scheme(
    "M1",
    ("neutral", "happy", "sad", "angry", "fearful", "surprised"),
    {**_SHARED, "당황": "surprised"},
)
M2 = Scheme(
    "M2",
    ("neutral", "happy", "sad", "angry", "fearful", "disgusted"),
    {**_SHARED, "당황": "disgusted"},
)

# RAF-DB and FER2013 have face-api's seven classes as they are; AI Hub has no disgust.
BASIC7 = Scheme(
    "BASIC7",
    FACEAPI,
    {**_SHARED, "당황": "surprised"},
    {
        "disgust": "disgusted",
        "fear": "fearful",
        "surprise": "surprised",
        "happiness": "happy",
    },
)

SCHEMES = {scheme.name: scheme for scheme in (K7, M1, M2, BASIC7)}


def scheme_named(name: str) -> Scheme:
    """Return the scheme called ``name`` (case-insensitive); InputError lists the names there are."""
    try:
        return SCHEMES[name.upper()]
    except KeyError:
        raise InputError(f"there is no label scheme {name!r}; choose one of {', '.join(SCHEMES)}") from None


def scheme_for(name: str | None, csv: Path) -> Scheme:
    """Return the scheme called ``name``, or without one that in a file name such as ``test_M1.csv``.

    InputError where there is no such scheme, none in the file's name, or another: one word may mean two things (a
    "disgusted" of M2 is 당황, of the published K7 상처).
    """
    found = re.search(rf"_({'|'.join(SCHEMES)})(?=[_.])", csv.name)
    if not name and not found:
        raise InputError(f"{csv}: its name does not say which label scheme it has; add --scheme K7, M1, M2 or BASIC7")
    scheme = scheme_named(name or (found[1] if found else ""))
    if found and found[1] != scheme.name:
        raise InputError(
            f"{csv}: its name says {found[1]}, not {scheme.name}; give a table of {scheme.name}, or rename it"
        )
    return scheme
