"""The seven emotions of AI Hub data set 82 in three vocabularies, and the label schemes built on them.

A scheme is data: a TOML file with classes in output order, see ``read_scheme``. ``schemes/`` holds the package's own;
the order of ``K7.classes`` is fixed, because browsers read probabilities by position.
"""

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pyojeong.core.errors import InputError
from pyojeong.core.files import is_reserved, refuse_folder, require_file

KOREAN = ("기쁨", "당황", "분노", "불안", "상처", "슬픔", "중립")
"""AI Hub's labels, in the fixed output order of the K7 model."""

ENGLISH = ("joy", "embarrassed", "anger", "anxiety", "hurt", "sadness", "neutral")
"""English names of ``KOREAN``, position by position."""

FACEAPI = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
"""The classes of face-api.js's FaceExpressionNet, in the order of its seven outputs."""

FACEAPI_KOREAN = ("중립", "기쁨", "슬픔", "분노", "두려움", "혐오", "놀람")
"""Korean names of ``FACEAPI``, position by position, as the demo page shows them (``web/demo/words.js``)."""

UNKNOWN = "알수없음"
"""An annotator's answer for "cannot tell"; never a class."""

# Within a name they are part of words in Persian and Hindi, and of emoji.
_JOINERS = re.compile("(?<=.)[\u200c\u200d](?=.)")

KOREAN_TO_ENGLISH = dict(zip(KOREAN, ENGLISH, strict=True))
_TO_KOREAN = dict(zip((*ENGLISH, *FACEAPI), (*KOREAN, *FACEAPI_KOREAN), strict=True))


def korean_word(name: str) -> str:
    """Return the Korean word for a class of K7 or of face-api.js; any other name as it is."""
    return _TO_KOREAN.get(name, name)


def english_word(name: str) -> str:
    """Return the English word for a class of K7; any other name as it is."""
    return KOREAN_TO_ENGLISH.get(name, name)


@dataclass(frozen=True)
class Scheme:
    """A set of classes and the words that map to them.

    Attributes:
        name: as in flags and file names: ``K7``, ``M1``, ``M2``, ``BASIC7``, or one of the user's own.
        classes: class names in output order.
        from_korean: Korean label -> class. The scheme drops a Korean label that is missing here.
        aliases: other words found in label columns -> class.
        faceapi: class -> the word of ``FACEAPI`` that is nearest to it, where there is one.
        colors: class -> its color as ``#rrggbb``, where it has one.
    """

    name: str
    classes: tuple[str, ...]
    from_korean: Mapping[str, str]
    aliases: Mapping[str, str] = field(default_factory=dict)
    faceapi: Mapping[str, str] = field(default_factory=dict)
    colors: Mapping[str, str] = field(default_factory=dict)

    def class_of(self, word: str) -> str | None:
        """Return the class for a class name, a Korean or English label, or an alias; None for any other word.

        Case, spaces around the word and the form of Hangul (macOS decomposes it) make no difference.
        """
        return self._class_by_word.get(_plain(word))

    def tables(self) -> list[dict[str, Any]]:
        """Return the scheme as the tables ``[[class]]`` of its file, see ``read_scheme``; JSON can hold them."""
        return [
            {
                "name": name,
                "aihub": [label for label, owner in self.from_korean.items() if owner == name],
                "words": [word for word, owner in self.aliases.items() if owner == name],
                **({"faceapi": self.faceapi[name]} if name in self.faceapi else {}),
                **({"color": self.colors[name]} if name in self.colors else {}),
            }
            for name in self.classes
        ]

    @cached_property
    def _class_by_word(self) -> dict[str, str]:
        english = {ENGLISH[KOREAN.index(label)]: name for label, name in self.from_korean.items()}
        own = {name: name for name in self.classes}
        # From the weakest claim to the strongest: "neutral" may be an alias and a class.
        return {_plain(word): name for word, name in {**self.aliases, **english, **self.from_korean, **own}.items()}


def read_scheme(path: Path) -> Scheme:
    """Read a label scheme from a TOML file; its name is the file's name without ``.toml``.

    The file has one table ``[[class]]`` per class, in output order, with the keys

    - ``name``: in any script,
    - ``aihub`` (optional): the list of AI Hub's labels that belong to it,
    - ``words`` (optional): a list of other words for it in label columns,
    - ``faceapi`` (optional): the word of ``FACEAPI`` that is nearest to it; label columns may use it too, unless it is
      nearest to several classes,
    - ``color`` (optional): ``#rrggbb``, for the demo page.

    Raises InputError when the file is missing or not TOML, has fewer than two classes or an unknown key, a value is
    not one of these, or a word belongs to two classes, by whatever key.
    """
    require_file(path)
    try:
        # macOS and some editors decompose Hangul.
        content = tomllib.loads(unicodedata.normalize("NFC", path.read_text(encoding="utf-8-sig")))
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not in UTF-8; save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not readable as TOML ({error}); correct that place") from None
    if not re.fullmatch(r"[\w-]+", path.stem):
        raise InputError(f"{path}: its name names the scheme; rename it to letters, digits, _ or - and .toml")
    try:
        if unknown := sorted(set(content) - {"class"}):
            raise InputError(f"has the unknown key {unknown[0]}; a scheme has tables [[class]] only")
        return scheme_of(unicodedata.normalize("NFC", path.stem), content.get("class"))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def scheme_of(name: str, tables: Any) -> Scheme:
    """Return the scheme with these tables ``[[class]]``; InputError as ``read_scheme``."""
    if not isinstance(tables, list) or len(tables) < 2:
        raise InputError("a scheme has two or more tables [[class]]")
    entries = [_entry(number, table) for number, table in enumerate(tables, 1)]
    classes = [entry["name"] for entry in entries]
    faceapi = {entry["name"]: entry["faceapi"] for entry in entries if "faceapi" in entry}
    nearest = [*faceapi.values()]
    owners: dict[str, str] = {}
    for entry in entries:
        for word in dict.fromkeys(map(_plain, (entry["name"], *entry.get("aihub", []), *entry.get("words", [])))):
            if word in owners:
                raise InputError(f"{word!r} belongs to the classes {owners[word]} and {entry['name']}; leave it in one")
            owners[word] = entry["name"]
    unique = {word: name for name, word in faceapi.items() if nearest.count(word) == 1}
    english = {KOREAN_TO_ENGLISH[label]: entry["name"] for entry in entries for label in entry.get("aihub", [])}
    for key, claims in (("faceapi", unique), ("aihub", english)):
        for word, owner in claims.items():
            if owners.get(word, owner) != owner:
                raise InputError(
                    f"{word!r} belongs to the class {owners[word]}, and {key} gives it to {owner}; leave it in one"
                )
    return Scheme(
        name=name,
        classes=tuple(classes),
        from_korean={label: entry["name"] for entry in entries for label in entry.get("aihub", [])},
        aliases=unique | {word: entry["name"] for entry in entries for word in entry.get("words", [])},
        faceapi=faceapi,
        colors={entry["name"]: entry["color"] for entry in entries if "color" in entry},
    )


def _entry(number: int, table: Any) -> dict[str, Any]:
    """Check the table of one class; return it with composed names (NFC)."""
    keys = ("name", "aihub", "words", "faceapi", "color")
    if not isinstance(table, dict) or (unknown := sorted(set(table) - set(keys))):
        problem = f"has the unknown key {unknown[0]}" if isinstance(table, dict) else "is not a table"
        raise InputError(f"class {number} {problem}; the keys are {', '.join(keys)}")
    for key, value in table.items():
        words = value if key in ("aihub", "words") else [value]
        if not isinstance(words, list) or not all(isinstance(word, str) and word.strip() for word in words):
            kind = "a list of words" if key in ("aihub", "words") else "a word, not only spaces"
            raise InputError(f"class {number}: {key} is {value!r}; it must be {kind}")
    name = unicodedata.normalize("NFC", table.get("name", ""))
    if not name:
        raise InputError(f'class {number} has no name; add name = "…"')
    if name != name.strip():
        raise InputError(f"class {number}: its name is {name!r}; give it one without spaces or lines around it")
    if odd := next((char for char in _JOINERS.sub("", name) if not char.isprintable()), None):
        what = unicodedata.name(odd, "a control character").lower()
        raise InputError(f"class {number}: its name {name!r} holds U+{ord(odd):04X} ({what}); type the name again")
    for key, choices in (("aihub", KOREAN), ("faceapi", FACEAPI)):
        words = table.get(key, [])
        for word in [words] if isinstance(words, str) else words:
            if word not in choices:
                raise InputError(f"class {name}: {key} is {word!r}; choose from {', '.join(choices)}")
    if not re.fullmatch("#[0-9a-fA-F]{6}", table.get("color", "#000000")):
        raise InputError(f"class {name}: color is {table['color']!r}; write it as #rrggbb")
    return {**table, "name": name}


def _plain(word: str) -> str:
    # Web pages and word processors leave characters without a width.
    return unicodedata.normalize("NFC", word).strip().strip("\u200b\u2060\ufeff").casefold()


K7, M1, M2, BASIC7 = (
    read_scheme(Path(__file__).parent / "schemes" / f"{name}.toml") for name in ("K7", "M1", "M2", "BASIC7")
)

SCHEMES = {scheme.name: scheme for scheme in (K7, M1, M2, BASIC7)}


def scheme_named(name: str) -> Scheme:
    """Return the package's scheme called ``name`` (case-insensitive), or read the file of that name.

    Raises InputError, which lists the names, where there is neither, and where a file has a name of the package's.
    """
    if name.upper() in SCHEMES:
        return SCHEMES[name.upper()]
    if not name.lower().endswith(".toml"):
        refuse_folder(Path(name))
        raise InputError(f"there is no label scheme {name!r}; choose one of {', '.join(SCHEMES)}, or give a .toml file")
    scheme = read_scheme(Path(name))
    if theirs := package_scheme_in(scheme.name):
        raise InputError(f"{name}: the package has a scheme {theirs}, and tables are told apart by it; rename the file")
    if is_reserved(scheme.name):
        raise InputError(f"{name}: Windows reserves this name for a device; rename the file")
    return scheme


def package_scheme_in(name: str) -> str | None:
    """Return the package's scheme whose name is a part of a name, as ``scheme_for`` finds it in the name of a table."""
    return next((theirs for theirs in SCHEMES if theirs in name.upper().split("_")), None)


def scheme_for(scheme: Scheme | str | None, csv: Path) -> Scheme:
    """Return ``scheme`` (or the scheme of that name or file); None reads it off a file name such as ``test_M1.csv``.

    Raises InputError where there is no such scheme, the file name contains none, or it contains another one: a word
    may mean two things ("disgusted" is 당황 in M2 and 상처 in the published K7).
    """
    refuse_folder(csv)
    in_name = re.search(rf"_({'|'.join(SCHEMES)})(?=[_.])", csv.name)
    if scheme is None and not in_name:
        raise InputError(f"{csv}: its name does not contain the label scheme; {_scheme_remedy(csv)}")
    if not isinstance(scheme, Scheme):
        scheme = scheme_named(scheme or (in_name[1] if in_name else ""))
    if in_name and in_name[1] != scheme.name:
        raise InputError(
            f"{csv}: its name says {in_name[1]}, not {scheme.name}; give a table of {scheme.name}, or rename it"
        )
    return scheme


def _scheme_remedy(csv: Path) -> str:
    """Say which --scheme to add; ``train_NAME.csv`` may lie beside its ``NAME.toml``, as ``collect`` writes them."""
    beside = csv.with_name(f"{csv.stem.partition('_')[2]}.toml")
    if beside.is_file():
        return f"add --scheme {beside}"
    return f"add --scheme {', '.join(SCHEMES)} or a .toml file"
