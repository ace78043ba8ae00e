"""The seven emotions of AI Hub data set 82 in three vocabularies, and the label schemes built on them.

A scheme is data: an ordered tuple of classes and a mapping from a photograph's Korean label to one of them. The order
of ``K7.classes`` is fixed, because browsers read probabilities by position.
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
"""An annotator's answer for "cannot tell"; never a class."""

KOREAN_TO_ENGLISH = dict(zip(KOREAN, ENGLISH, strict=True))
ENGLISH_TO_KOREAN = dict(zip(ENGLISH, KOREAN, strict=True))


@dataclass(frozen=True)
class Scheme:
    """A set of classes and the words that map to them.

    Attributes:
        name: as in flags and file names: ``K7``, ``M1``, ``M2``, ``BASIC7``.
        classes: class names in output order.
        from_korean: Korean label -> class. The scheme drops a Korean label that is missing here.
        aliases: other words found in label columns -> class.
    """

    name: str
    classes: tuple[str, ...]
    from_korean: Mapping[str, str]
    aliases: Mapping[str, str] = field(default_factory=dict)

    def class_of(self, word: str) -> str | None:
        """Return the class for a class name, a Korean or English label, or an alias; None for any other word."""
        word = unicodedata.normalize("NFC", word)  # macOS decomposes Hangul
        if word in self.classes:
            return word
        korean = ENGLISH_TO_KOREAN.get(word, word)
        return self.from_korean.get(korean) or self.aliases.get(word)


_SHARED = {"기쁨": "happy", "분노": "angry", "불안": "fearful", "상처": "sad", "슬픔": "sad", "중립": "neutral"}

# The published K7 tables write the seven labels in face-api's words (상처 as "disgusted"), so CSVs made by that system
# have them in label_en.
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

# RAF-DB and FER2013 use face-api's seven classes; AI Hub has no disgust.
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
    """Return the scheme called ``name`` (case-insensitive); InputError lists the names."""
    try:
        return SCHEMES[name.upper()]
    except KeyError:
        raise InputError(f"there is no label scheme {name!r}; choose one of {', '.join(SCHEMES)}") from None


def scheme_for(scheme: Scheme | str | None, csv: Path) -> Scheme:
    """Return ``scheme`` (or the scheme of that name); None reads it off a file name such as ``test_M1.csv``.

    Raises InputError where there is no such scheme, the file name contains none, or it contains another one: a word
    may mean two things ("disgusted" is 당황 in M2 and 상처 in the published K7).
    """
    in_name = re.search(rf"_({'|'.join(SCHEMES)})(?=[_.])", csv.name)
    if scheme is None and not in_name:
        raise InputError(f"{csv}: its name does not contain the label scheme; add --scheme K7, M1, M2 or BASIC7")
    if not isinstance(scheme, Scheme):
        scheme = scheme_named(scheme or (in_name[1] if in_name else ""))
    if in_name and in_name[1] != scheme.name:
        raise InputError(
            f"{csv}: its name says {in_name[1]}, not {scheme.name}; give a table of {scheme.name}, or rename it"
        )
    return scheme
