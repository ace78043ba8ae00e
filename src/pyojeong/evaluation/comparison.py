"""Contenders side by side: every protocol with its n, intervals, paired tests and the human ceiling.

A *protocol* says which images count and what a miss is worth:

``matched``  only images on which the contender's own face is the labeled one (the published headline);
``all``      every image, a miss is wrong;
``given``    every image, the labeled box is given to the contender (``geometry.can_be_face``: others are left out).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pyojeong.core import metrics
from pyojeong.core.errors import InputError
from pyojeong.core.labels import Scheme, scheme_for
from pyojeong.core.metrics import Floats, Interval, Ints
from pyojeong.core.table import VOTES_PREFIX, write_csv
from pyojeong.evaluation.predictions import all_classes, end_to_end, matched, read_predictions

PROTOCOLS = ("matched", "all", "given")

_COMMON = (PROTOCOLS, ("matched", "given"), ("given",))
"""The protocols of a pair, by how many of the two were given the box."""


MIN_PEOPLE = 10
"""Intervals resample people from this many on. Drawing from fewer gives intervals that are far too narrow, of no width
at all for one person (Cameron, Gelbach and Miller 2008, "Bootstrap-based improvements for inference with clustered
errors", on few clusters); then images are resampled, and ``interval_over`` says so."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answers:
    """One contender under one protocol.

    Attributes:
        true: class numbers, shape [N].
        pred: class numbers or ``metrics.MISS``, shape [N].
        classes: the words behind the numbers.
        people: who is on each image; None where unknown or fewer than ``MIN_PEOPLE``.
        confidence: probability of each answer, 0..1, NaN where unknown or where there is none; shape [N].
    """

    true: Ints
    pred: Ints
    classes: tuple[str, ...]
    people: list[str] | None = None
    confidence: Floats | None = None

    @property
    def counts(self) -> Ints:
        """Confusion counts [K, K+1], misses in the last column."""
        return metrics.confusion_counts(self.true, self.pred, len(self.classes), misses=True)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether each answer is right, shape [N]."""
        return np.equal(self.true, self.pred)

    @property
    def calibration_error(self) -> float | None:
        """Expected calibration error of the answers; None where there is none, or one's probability is unknown."""
        answered = self.pred != metrics.MISS
        if self.confidence is None or not answered.any() or np.isnan(self.confidence[answered]).any():
            return None
        return metrics.calibration_error(self.confidence[answered], self.right[answered])


def answers(frame: pl.DataFrame, scheme: Scheme, protocol: str) -> Answers | None:
    """Return what ``frame`` (of ``read_predictions``, perhaps with ``person``) says under ``protocol``.

    Rows with an ``error`` are left out. None when the protocol does not apply: no image was matched, or there is no
    answer for a given box.
    """
    frame = frame.filter(counts_in(frame, protocol))
    pred = frame["given"] if protocol == "given" else end_to_end(frame)
    if frame.is_empty():
        return None
    classes = all_classes(scheme)
    people = frame["person"].to_list() if _has_people(frame) else None
    true = metrics.encode(frame["true"].to_list(), classes)
    confidence = frame["given_score" if protocol == "given" else "score"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    return Answers(true, metrics.encode(pred.to_list(), classes), classes, people, confidence)


def counts_in(frame: pl.DataFrame, protocol: str) -> pl.Series:
    """Return for each row of ``frame`` whether ``protocol`` counts it."""
    readable = frame["error"].is_null()
    if protocol == "matched":
        return readable & matched(frame)
    if protocol == "given" and not box_was_given(frame):
        return readable & frame["given"].is_not_null()
    return readable


def score(given: Answers, seed: int = 0) -> dict[str, Any]:
    """Score one contender.

    Returns:
        ``n``, ``accuracy``, ``accuracy_low``, ``accuracy_high``, ``macro_f1``, ``macro_f1_low``,
        ``macro_f1_high``, ``ece`` (``metrics.calibration_error`` of the answers there are; None where a probability is
        unknown; all 0..1) and ``interval_over``: ``people`` when they were resampled, else ``images`` (Wilson for the
        accuracy, bootstrap for macro-F1).
    """
    counts = given.counts
    cells = np.ravel_multi_index((given.true, given.pred % counts.shape[1]), counts.shape)
    if given.people is None:
        accuracy_in = metrics.wilson_interval(int(given.right.sum()), len(given.true))
    else:
        accuracy_in = metrics.bootstrap_interval(
            cells, counts.shape, metrics.accuracies, people=given.people, seed=seed
        )
    f1_in = metrics.bootstrap_interval(cells, counts.shape, metrics.macro_f1s, people=given.people, seed=seed)
    return {
        "n": len(given.true),
        **_spread("accuracy", metrics.accuracy(counts), accuracy_in),
        **_spread("macro_f1", metrics.macro_f1(counts), f1_in),
        "ece": given.calibration_error,
        "interval_over": "images" if given.people is None else "people",
    }


def paired(first: Answers, second: Answers, seed: int = 0) -> dict[str, Any]:
    """Compare two contenders on the same images, row by row.

    Returns:
        ``n``, each one's accuracy and macro-F1, the differences second minus first with 95 % intervals (images or
        people resampled in pairs), how often only one was right, and McNemar's exact p-value. The test takes
        images for independent; where people are known, the intervals do not.

    Raises:
        ValueError: the truths differ.
    """
    if first.classes != second.classes or not np.array_equal(first.true, second.true):
        raise ValueError("the two contenders do not speak about the same images")
    size = len(first.classes)
    shape = (size, size + 1, size + 1)
    cells = np.ravel_multi_index((first.true, first.pred % (size + 1), second.pred % (size + 1)), shape)
    people = first.people or second.people
    row: dict[str, Any] = {"n": len(first.true)}
    for name, statistic in (("accuracy", metrics.accuracies), ("macro_f1", metrics.macro_f1s)):

        def difference(tables: Ints, statistic: Any = statistic) -> Floats:
            gap: Floats = statistic(tables.sum(2)) - statistic(tables.sum(3))
            return gap

        one, two = float(statistic(first.counts)), float(statistic(second.counts))
        interval = metrics.bootstrap_interval(cells, shape, difference, people=people, seed=seed)
        row |= {f"{name}_first": one, f"{name}_second": two, **_spread(f"{name}_difference", two - one, interval)}
    only_first, only_second = first.right & ~second.right, second.right & ~first.right
    return row | {
        "only_first_right": int(only_first.sum()),
        "only_second_right": int(only_second.sum()),
        "mcnemar_p": metrics.mcnemar(first.right, second.right),
        "interval_over": "people" if people else "images",
    }


def align(first: pl.DataFrame, second: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows of both that speak about the same image, in the order of ``first``.

    Images are the same when ``photo`` is (``path`` where there is no such column); the second row of one
    photograph is paired with the second of the other. Raises InputError when an image has two truths.
    """
    left, right = (_numbered(frame, name) for frame, name in ((first, "left"), (second, "right")))
    both = left.join(right, on=["key", "nth"], maintain_order="left")
    one, two = first[both["left"].to_list()], second[both["right"].to_list()]
    differs = (one["true"] != two["true"]).arg_max() if len(one) else None
    if differs is not None and one["true"][differs] != two["true"][differs]:
        raise InputError(
            f"{one['path'][differs]} is {one['true'][differs]!r} in one file and {two['true'][differs]!r} in the other;"
            " make both from the same CSV"
        )
    return one, two


def paired_rows(first: pl.DataFrame, second: pl.DataFrame, scheme: Scheme, seed: int = 0) -> list[dict[str, Any]]:
    """Return one row of ``paired`` for every protocol that both contenders have, on their common images.

    ``matched`` are the images that both matched; a contender that was given the box matches all. Where both were
    given the box, only ``given`` remains; where one was, a miss of the other alone would count under ``all``, which is
    left out.
    """
    first, second = align(first, second)
    rows = []
    for protocol in _COMMON[box_was_given(first) + box_was_given(second)]:
        keep = counts_in(first, protocol) & counts_in(second, protocol)
        one = answers(first.filter(keep), scheme, protocol)
        two = answers(second.filter(keep), scheme, protocol)
        if one and two:
            rows.append({"protocol": protocol, **paired(one, two, seed)})
    return rows


def human_ceiling(frame: pl.DataFrame, scheme: Scheme, seed: int = 0) -> dict[str, Any] | None:
    """Score one annotator against the other two where these two agree, with the models' metrics.

    Taken from the ``votes_<label>`` columns of images with three votes: all three alike are three right answers;
    two against one is one wrong answer (and no truth for the other two). 알수없음 is a wrong answer and no truth.

    Returns:
        ``images`` and the columns of ``score`` (``n`` counts answers; intervals resample people, or images where
        people are unknown, because answers about one image are not independent); None without such an image.
    """
    classes = all_classes(scheme)
    names = [name for name in frame.columns if name.startswith(VOTES_PREFIX)]
    votes = np.zeros((len(frame), len(classes) + 1), np.int64)
    for name in names:
        word = scheme.class_of(name.removeprefix(VOTES_PREFIX))
        votes[:, classes.index(word) if word else -1] += (
            frame[name].cast(pl.Int64, strict=False).fill_null(0).to_numpy()
        )
    most = votes.argmax(1)
    usable = (votes.sum(1) == 3) & (votes.max(1) >= 2) & (most < len(classes))
    index = np.flatnonzero(usable)
    if not index.size:
        return None
    alike = votes[index].max(1) == 3
    odd = (votes[index] == 1).argmax(1)
    pred = np.where(alike, most[index], np.where(odd == len(classes), metrics.MISS, odd))
    times = np.where(alike, 3, 1)
    over = "people" if _has_people(frame[index]) else "images"
    unit = frame["person" if over == "people" else "path"].to_list()
    people = [unit[position] for position in np.repeat(index, times)]
    scored = score(Answers(np.repeat(most[index], times), np.repeat(pred, times), classes, people), seed)
    return {"images": len(index), **scored, "interval_over": over}


def compare(
    files: Sequence[tuple[str, Path]],
    scheme: Scheme,
    out_dir: Path,
    *,
    protocols: Sequence[str] = PROTOCOLS,
    seed: int = 0,
) -> dict[str, pl.DataFrame]:
    """Put any prediction files on their common images beside each other.

    Args:
        files: name and predictions CSV of each contender; the images are those that all files have.
        scheme: the label scheme of all of them.
        out_dir: ``compare_scores.csv`` and ``compare_paired.csv`` are written there.
        protocols: those to compare under. Where the images are faces cut out beforehand, only ``given`` is fair:
            a detector finds next to nothing in them.
        seed: of the bootstrap.

    Returns:
        ``scores``: one row per contender and protocol (``given`` for all that have it; ``matched`` and ``all`` for
        those that look for the face themselves) with ``n``, ``n_all`` and the columns of ``score``.
        ``paired``: one row per pair of contenders that share a protocol, with the columns of ``paired``.

    Raises:
        InputError: an unknown protocol, fewer than two files, two of one name, no common image, an image with two
            truths or people, or no answer under any of the protocols; nothing is written then.
    """
    unknown = set(protocols) - set(PROTOCOLS)
    if unknown:
        raise InputError(f"there is no protocol {sorted(unknown)[0]!r}; choose among {', '.join(PROTOCOLS)}")
    names = [name for name, _ in files]
    if len(files) < 2 or len(set(names)) < len(names):
        raise InputError("a comparison needs at least two prediction files under different names")
    for _, path in files:
        scheme_for(scheme.name, path)
    frames = [read_predictions(path, scheme) for _, path in files]
    sizes = [len(frame) for frame in frames]
    for position in range(1, len(frames)):
        frames[0], _ = align(frames[0], frames[position])
    frames = [frames[0], *(align(frames[0], frame)[1] for frame in frames[1:])]
    for (_, path), size in zip(files, sizes, strict=True):
        if size > len(frames[0]):
            log.warning(
                "%s: %d of its %d rows are not in all files; they are left out", path, size - len(frames[0]), size
            )
    frames = _with_people(frames)
    if frames[0].is_empty():
        raise InputError(
            f"{', '.join(str(path) for _, path in files)}: no image is in all of them; "
            "make the prediction files from the same test CSV"
        )
    found = dict(zip(names, frames, strict=True))
    scores = pl.DataFrame(
        [
            {"contender": name, "protocol": protocol, "n_all": len(frame), **score(some, seed)}
            for name, frame in found.items()
            for protocol in own_protocols(frame)
            if protocol in protocols and (some := answers(frame, scheme, protocol))
        ]
    )
    if scores.is_empty():
        raise InputError(
            f"{', '.join(str(path) for _, path in files)}: no image has an answer under {', '.join(protocols)}; choose "
            f"another protocol among {', '.join(PROTOCOLS)}, or make the prediction files again"
        )
    pairs = pl.DataFrame(
        [
            {"first": one, "second": two, **row}
            for one, two in combinations(names, 2)
            for row in paired_rows(found[one], found[two], scheme, seed)
            if row["protocol"] in protocols
        ]
    )
    write_csv(scores, out_dir / "compare_scores.csv")
    write_csv(pairs, out_dir / "compare_paired.csv")
    return {"scores": scores, "paired": pairs}


def _with_people(frames: list[pl.DataFrame]) -> list[pl.DataFrame]:
    """Give all frames, row for row about the same images, what any of them knows of who is on them."""
    known = [frame["person"] for frame in frames if "person" in frame.columns]
    if not known:
        return frames
    for one, other in combinations(known, 2):
        if (differs := one != other).any():
            row = differs.arg_max() or 0
            raise InputError(
                f"{frames[0]['path'][row]} shows {one[row]!r} in one file and {other[row]!r} in another; "
                "make both from the same CSV"
            )
    people = pl.select(pl.coalesce(known).alias("person"))["person"]
    if unknown := people.null_count():
        log.warning("nobody is named on %d of the %d images, so intervals are over images", unknown, len(people))
    return [frame.with_columns(people) for frame in frames]


def own_protocols(frame: pl.DataFrame) -> tuple[str, ...]:
    """Return the protocols that differ for this contender: only ``given`` when the box was given to it."""
    return ("given",) if box_was_given(frame) else PROTOCOLS


def box_was_given(frame: pl.DataFrame) -> bool:
    """Whether the contender never looked for a face: its answers are those for the given box."""
    return bool(frame["iou"].is_null().all() and frame["pred"].equals(frame["given"], null_equal=True))


def _has_people(frame: pl.DataFrame) -> bool:
    if "person" not in frame.columns or frame["person"].null_count():
        return False
    return frame["person"].n_unique() >= MIN_PEOPLE


def _numbered(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    key = pl.col("photo" if "photo" in frame.columns else "path")
    return frame.select(key.alias("key"), nth=pl.int_range(pl.len()).over(key)).with_row_index(name)


def _spread(name: str, value: float, interval: Interval) -> dict[str, float]:
    return {name: value, f"{name}_low": interval.low, f"{name}_high": interval.high}
