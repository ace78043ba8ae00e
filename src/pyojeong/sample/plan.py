"""Plans the synthetic data set before anything is drawn: people, sessions, votes, EXIF orientations and defects.

The proportions are those published for AI Hub data set 82.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from pyojeong.core.labels import KOREAN, UNKNOWN
from pyojeong.sample.drawing import Expression, Person, Pose, random_expression, random_person, random_pose

PARTS = {"Training": ("TRAIN", "training"), "Validation": ("VALID", "validation")}
"""Folder -> its name in archive names and in JSON file names."""

ORIENTATIONS = {1: 0.595, None: 0.086, 3: 0.252, 4: 0.058, 8: 0.004, 2: 0.004}
"""EXIF orientation (None: no tag) -> share among 63,637 photographs of the real set."""

AGREEMENT = {
    "기쁨": (0.900, 0.975, 0.015),
    "당황": (0.516, 0.775, 0.130),
    "분노": (0.450, 0.720, 0.170),
    "불안": (0.140, 0.378, 0.267),
    "상처": (0.220, 0.500, 0.235),
    "슬픔": (0.360, 0.660, 0.175),
    "중립": (0.780, 0.946, 0.030),
}
"""Label -> share of photographs on which all three annotators, at least two, or no two annotators agree.

The first two mean agreement on the folder's label. Published are the second share for 기쁨, 중립, 당황 and 불안, the
first for 당황, and the third for 불안 and over all labels (14.6 %). The others are interpolated.
"""

CONFUSED = {
    "기쁨": {"중립": 6, "당황": 4},
    "당황": {"불안": 6, "중립": 2, "슬픔": 1, "분노": 1},
    "분노": {"불안": 5, "중립": 2, "당황": 2, "상처": 1},
    "불안": {"당황": 5, "분노": 3, "슬픔": 2, "상처": 1},
    "상처": {"슬픔": 6, "불안": 2, "중립": 1, "분노": 1},
    "슬픔": {"상처": 6, "불안": 2, "중립": 1, "당황": 1},
    "중립": {"상처": 3, "불안": 3, "슬픔": 2, "분노": 2},
}
"""Label -> labels that annotators choose instead -> weight."""

PLACES = {
    "숙박 및 거주공간": False,
    "행사&사무공간": False,
    "공공시설&종교&의료시설": False,
    "스포츠 관람 및 레저시설": True,
    "도심 환경": True,
    "실외 자연환경": True,
}
"""Place, as written in file names and records -> whether it is outdoors."""

DEFECTS = (
    "corrupt_image",  # a truncated JPEG
    "record_without_image",
    "image_without_record",
    "zero_area_box",
    "negative_box",  # extends beyond the left edge of the photograph
    "outside_box",  # lies entirely outside the photograph
    "tiny_box",  # a few pixels
    "one_bad_box",  # one annotator's box has no area
    "unknown",  # two annotators chose 알수없음
)
"""Defects known from the real set. Each occurs in the synthetic one."""

_SIZES = ((960, 1280), (1080, 1440), (1080, 1080), (1200, 1600), (1080, 1920), (1392, 1856))
_SIZE_WEIGHTS = (0.38, 0.30, 0.12, 0.09, 0.07, 0.04)


@dataclass(frozen=True)
class Photo:
    """One planned photograph: everything that its picture and its record depend on."""

    seed: tuple[int, ...]
    part: str  # Training or Validation
    label: str
    name: str
    person: Person
    place: str
    expression: Expression
    pose: Pose
    size: tuple[int, int]  # width and height of the upright picture
    orientation: int | None
    votes: tuple[str, ...]
    professional: bool
    defect: str = ""


def plan(people: int, seed: int) -> list[Photo]:
    """Return every photograph of the data set; the same arguments give the same plan."""
    rng = np.random.default_rng([seed, 0])
    photos = [photo for number in range(people) for photo in _sessions(number, people, seed, rng)]
    photos = _with_votes(photos, rng)
    photos = _with_files(photos, rng)
    return _with_defects(photos, rng)


def _sessions(number: int, people: int, seed: int, rng: np.random.Generator) -> Iterator[Photo]:
    """Yield one person's photographs: for each emotion a session at one place with any number of pictures."""
    person = random_person(np.random.default_rng([seed, 1, number]))
    identity = hashlib.sha256(f"pyojeong sample {seed} {number}".encode()).hexdigest()
    professional = bool(rng.random() < 0.15)
    for part in _parts_of(number, people):
        for label in KOREAN:
            place = str(rng.choice(list(PLACES)))
            taken = datetime(2020, 11, 2) + timedelta(seconds=int(rng.integers(100 * 86_400)))
            for count in range(1, _pictures(people, rng) + 1):
                stem = f"{identity}_{person.gender}_{person.age}_{label}_{place}_{taken:%Y%m%d%H%M%S}"
                size = _SIZES[int(rng.choice(len(_SIZES), p=_SIZE_WEIGHTS))]
                size = size[::-1] if rng.random() < 0.5 else size
                yield Photo(
                    seed=(seed, 2, number, tuple(PARTS).index(part), KOREAN.index(label), count),
                    part=part,
                    label=label,
                    name=f"{stem}-{number % 999 + 1:03d}-{count:03d}",
                    person=person,
                    place=place,
                    expression=Expression(),
                    pose=random_pose(size, rng),
                    size=size,
                    orientation=None,
                    votes=(),
                    professional=professional,
                )


def _parts_of(number: int, people: int) -> tuple[str, ...]:
    """Return the parts a person is in: an eighth of the people are in Validation, a third of those in both."""
    validation = max(2, people // 8)
    shared = max(1, validation // 3)
    if number < shared:
        return ("Training", "Validation")
    return ("Validation",) if number < validation else ("Training",)


def _pictures(people: int, rng: np.random.Generator) -> int:
    """Return a random number of pictures for one person and emotion."""
    if people < 24:
        # At least two each, so that every class is filled.
        return int(rng.integers(2, 5))
    # One in thirty has many. In the real set a person has up to 253 photographs of one emotion.
    return int(rng.choice([0, 1, 2, 3, 4, 8], p=[0.12, 0.22, 0.28, 0.22, 0.13, 0.03]))


def _quota(shares: Sequence[float], count: int, rng: np.random.Generator) -> list[int]:
    """Return ``count`` indices into ``shares`` in random order, each as often as its share says.

    The counts are rounded by the largest remainder method.
    """
    exact = np.array(shares) / sum(shares) * count
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: count - counts.sum()]] += 1
    indices = np.repeat(np.arange(len(shares)), counts)
    return [int(i) for i in rng.permutation(indices)]


def _with_votes(photos: list[Photo], rng: np.random.Generator) -> list[Photo]:
    """Add three annotators' votes, and an expression that mixes the voted labels with a little of the own label."""
    voted = list(photos)
    for label in KOREAN:
        indices = [i for i, photo in enumerate(photos) if photo.label == label]
        unanimous, agreed, split = AGREEMENT[label]
        shares = (unanimous, agreed - unanimous, 1 - agreed - split, split)
        for i, outcome in zip(indices, _quota(shares, len(indices), rng), strict=True):
            votes = _votes(label, outcome, rng)
            weights = {label: 0.1}
            for vote in votes:
                weights[vote] = weights.get(vote, 0.0) + 0.3
            voted[i] = replace(photos[i], votes=votes, expression=random_expression(weights, rng))
    return voted


def _votes(label: str, outcome: int, rng: np.random.Generator) -> tuple[str, ...]:
    """Return three votes in random order.

    ``outcome``: 0 all agree on ``label``, 1 two agree on it, 2 two agree on another label, 3 no two agree.
    """
    if outcome == 0:
        return (label,) * 3
    weights = np.array([*CONFUSED[label].values(), 1.0])
    others = [str(w) for w in rng.choice([*CONFUSED[label], UNKNOWN], 3, replace=False, p=weights / weights.sum())]
    other, third = sorted(others[:2], key=UNKNOWN.__eq__)
    if outcome == 1:
        votes = (label, label, others[0])
    elif outcome == 2:
        votes = (other, other, label if rng.random() < 0.7 else third)
    else:
        votes = (label, other, third)
    return tuple(str(v) for v in rng.permutation(votes))


def _with_files(photos: list[Photo], rng: np.random.Generator) -> list[Photo]:
    turns = _quota(list(ORIENTATIONS.values()), len(photos), rng)
    suffixes = _quota((0.985, 0.015), len(photos), rng)
    return [
        replace(photo, orientation=list(ORIENTATIONS)[turn], name=photo.name + (".jpg", ".jpeg")[suffix])
        for photo, turn, suffix in zip(photos, turns, suffixes, strict=True)
    ]


def _with_defects(photos: list[Photo], rng: np.random.Generator) -> list[Photo]:
    per_defect = max(1, round(len(photos) / 300))
    indices = rng.permutation(len(photos))[: per_defect * len(DEFECTS)]
    result = list(photos)
    for number, i in enumerate(indices):
        defect = DEFECTS[number % len(DEFECTS)]
        votes = (photos[i].label, UNKNOWN, UNKNOWN) if defect == "unknown" else photos[i].votes
        result[i] = replace(photos[i], defect=defect, votes=votes)
    return result
