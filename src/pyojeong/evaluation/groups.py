"""Scores by group: by gender, age band, profession and place, each group against all others.

Every measure is a mean over images. Images of one person are alike, so intervals and tests add up the deviations of
each person first (cluster-robust variance, Liang and Zeger 1986), with Student's t and one degree of freedom less than
there are people in the smaller of the two sides (Cameron and Miller 2015, "A Practitioner's Guide to Cluster-Robust
Inference", on few clusters). Where people are unknown, each image counts as a person. A table has many tests, so its
p-values are corrected together by Holm's method (1979).
"""

import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pyojeong.core import metrics
from pyojeong.core.errors import counted
from pyojeong.core.labels import Scheme
from pyojeong.core.metrics import Floats, Interval, Ints
from pyojeong.core.people import plain
from pyojeong.core.table import GROUP_COLUMNS
from pyojeong.evaluation.annotators import annotator_answers
from pyojeong.evaluation.predictions import end_to_end, matched
from pyojeong.evaluation.protocols import MIN_PEOPLE, counts_in, own_protocols

log = logging.getLogger(__name__)

MIN_IMAGES = 30
"""Fewest images of a group where people are unknown."""

_OLDEST = 120  # years

# 30, 30.0, 30s, 30-39; Korean tables write 30세 or 30살 for an age and 30대 for a decade.
_AGE = re.compile(r"(?P<first>\d+(\.\d+)?)(\s*[-~–]\s*(?P<last>\d+))?\s*(s|대|세|살|years?)?", re.IGNORECASE)

MAX_GROUPS = 40
"""Groups of one column that are scored, the largest ones."""

PROTOCOLS = ("all", "given")
"""Protocols under which groups are scored: ``matched`` leaves out the images on which groups may differ most."""

_SHARES = ("accuracy", "coverage", "annotators", "unanimous")


@dataclass(frozen=True)
class GroupScore:
    """One measure of one group; means of ``measure`` over images, intervals of 95 %.

    Attributes:
        column: one of ``table.GROUP_COLUMNS``.
        group: its value, for ages the decade, such as ``20-29``.
        measure: ``accuracy``; ``coverage`` (the face was found); ``calibration`` (mean probability of the answers minus
            their accuracy: above 0 the contender is too sure of itself); ``annotators`` (one annotator against the
            other two); ``unanimous`` (all three annotators agree). All are shares 0..1 but calibration, -1..1.
        n: images, for ``annotators`` answers.
        people: people in the group; None where they are unknown.
        value: the group's mean.
        value_low: lower end of its interval; None in a small group, as all that follow.
        value_high: upper end.
        difference: the group's mean minus that of all other groups; None where these are too few as well.
        difference_low: lower end of its interval.
        difference_high: upper end.
        p: of the test that the difference is 0.
        p_holm: p after Holm's correction for all tests of the table, see ``SIGNIFICANT``; set by ``group_table``.
        interval_over: ``people`` or ``images``.
        remark: why there is no interval, such as ``too small: 4 of at least 10 people``; empty otherwise.
    """

    column: str
    group: str
    measure: str
    n: int
    people: int | None
    value: float
    value_low: float | None
    value_high: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    p: float | None
    p_holm: float | None
    interval_over: str
    remark: str


SCHEMA = {
    **dict.fromkeys(("contender", "protocol", "column", "group", "measure"), pl.String),
    **dict.fromkeys(("n", "people"), pl.Int64),
    **dict.fromkeys(("value", "value_low", "value_high"), pl.Float64),
    **dict.fromkeys(("difference", "difference_low", "difference_high", "p", "p_holm"), pl.Float64),
    **dict.fromkeys(("interval_over", "remark"), pl.String),
}
"""Columns of the tables of groups."""

SIGNIFICANT = 0.05
"""A difference is significant from this corrected p-value down."""


@dataclass(frozen=True)
class _Values:
    """A measure: its value for each of some images, and the row of each in the table."""

    measure: str
    row: Ints
    value: Floats


def group_table(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Put ``contender_groups`` and ``annotator_groups`` into one table, and correct all its p-values together."""
    table = pl.concat(parts) if parts else pl.DataFrame(schema=SCHEMA)
    comparison = ("contender", "protocol", "column", "measure")
    # Of two groups each is the other's opposite, so both have one test.
    test = pl.struct(*comparison, pl.when(pl.len().over(comparison) == 2).then(pl.lit("")).otherwise("group"))
    tested = table.with_columns(test=test.rank("dense")).drop_nulls("p").unique("test", keep="first")
    corrected = tested.select("test", p_holm=pl.Series(metrics.holm(tested["p"].to_list()), dtype=pl.Float64))
    joined = (
        table.drop("p_holm")
        .with_columns(test=test.rank("dense"))
        .join(corrected, on="test", how="left", maintain_order="left")
    )
    shown = pl.when(pl.col("p").is_not_null()).then("p_holm").alias("p_holm")
    return joined.with_columns(shown).select(*SCHEMA)


def small_groups(table: pl.DataFrame) -> list[str]:
    """Name the groups of ``group_table`` that are too small, with their images: ``age 70-79 (n 12, 4 people)``."""
    # The answers of annotators are no images; ``unanimous`` has a row for the same images.
    small = table.filter(pl.col("remark").str.starts_with("too small"), pl.col("measure") != "annotators")
    sizes = small.group_by("column", "group").agg(pl.col("n", "people").max()).sort("column", "group")
    return [f"{column} {group} ({size_words(n, people)})" for column, group, n, people in sizes.iter_rows()]


def size_words(n: int, people: int | None) -> str:
    """Return the size of a group as text: ``n 1,595, 34 people``."""
    return f"n {n:,}" + (f", {counted(people, 'person')}" if people is not None else "")


def contender_groups(frame: pl.DataFrame, contender: str, protocols: Sequence[str] = PROTOCOLS) -> pl.DataFrame:
    """Score a contender by group under each protocol it has; empty where the table has none of ``GROUP_COLUMNS``.

    Args:
        frame: of ``read_predictions``, with the group columns as strings.
        contender: its name, for the column ``contender``.
        protocols: those to score under; ``matched`` is left out.

    Returns:
        ``contender``, ``protocol`` and the fields of ``GroupScore``; ``p_holm`` is null, see ``group_table``.
    """
    if "person" in frame.columns and any(name in frame.columns for name in GROUP_COLUMNS):
        _tell_unknown_people(frame["person"], contender)
    wanted = [protocol for protocol in own_protocols(frame) if protocol in protocols and protocol in PROTOCOLS]
    rows = [
        {"contender": contender, "protocol": protocol, **asdict(score)}
        for protocol in wanted
        for score in _scores(frame, [*_answer_values(frame, protocol)])
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


def annotator_groups(frame: pl.DataFrame, scheme: Scheme, contender: str = "annotators") -> pl.DataFrame:
    """Score the annotators by group, as ``contender_groups`` does a contender; empty where the frame has no votes."""
    answers = annotator_answers(frame, scheme)
    images, counts = np.unique(answers.row, return_counts=True)
    values = [
        _Values("annotators", answers.row, (answers.true == answers.pred).astype(np.float64)),
        _Values("unanimous", images, (counts == 3).astype(np.float64)),
    ]
    rows = [{"contender": contender, "protocol": "given", **asdict(score)} for score in _scores(frame, values)]
    return pl.DataFrame(rows, schema=SCHEMA)


def _answer_values(frame: pl.DataFrame, protocol: str) -> Iterator[_Values]:
    given = protocol == "given"
    usable = counts_in(frame, protocol)
    pred = frame["given"] if given else end_to_end(frame)
    right = (pred == frame["true"]).fill_null(value=False).cast(pl.Float64).to_numpy()
    rows = np.flatnonzero(usable.to_numpy())
    yield _Values("accuracy", rows, right[rows])
    if not given:
        found = matched(frame).cast(pl.Float64).to_numpy()
        yield _Values("coverage", rows, found[rows])
    confidence = frame["given_score" if given else "score"].cast(pl.Float64)
    sure = np.flatnonzero((usable & pred.is_not_null() & confidence.is_not_null()).to_numpy())
    if sure.size:
        yield _Values("calibration", sure, confidence.to_numpy()[sure] - right[sure])


def _scores(frame: pl.DataFrame, measures: Sequence[_Values]) -> list[GroupScore]:
    """Score every group of every column."""
    unknown = frame["person"].is_null().to_numpy() if "person" in frame.columns else np.ones(len(frame), bool)
    # A few images of unknown people are left out; where most are unknown, each image counts as a person.
    known = 2 * int(unknown.sum()) < len(frame)
    usable = ~unknown if known else np.ones(len(frame), bool)
    person = frame["person"].rank("dense").fill_null(0).cast(pl.Int64).to_numpy() if known else np.arange(len(frame))
    scores = []
    for column in GROUP_COLUMNS:
        if column not in frame.columns:
            continue
        group_of = _groups(frame[column])
        groups = _largest(group_of, column)
        for values in measures:
            with_group = (group_of[values.row] != "") & usable[values.row]
            rows, value = values.row[with_group], values.value[with_group]
            for group in groups:
                inside = group_of[rows] == group
                if inside.any():
                    scores.append(_score(column, group, values.measure, value, inside, person[rows], known))
    return scores


def _tell_unknown_people(person: pl.Series, contender: str) -> None:
    if unknown := person.null_count():
        few = 2 * unknown < len(person)
        outcome = "left out of the scores by group" if few else "so by group each image counts as a person"
        log.warning(
            "%s: the person of %s of %s images is unknown; %s", contender, f"{unknown:,}", f"{len(person):,}", outcome
        )


def _groups(column: pl.Series) -> NDArray[np.str_]:
    """Return the group of each row, "" where it is unknown; ages become decades.

    Case makes no difference, nor which usual word a gender has; a group has the name that it has most often.
    """
    texts = column.cast(pl.String).fill_null("").str.strip_chars()
    if column.name != "age":
        alike = plain(texts)
        spellings = pl.DataFrame({"plain": alike, "text": texts}).group_by("plain", "text").len()
        common = spellings.sort("len", "text").group_by("plain", maintain_order=True).last()
        return alike.replace_strict(common["plain"], common["text"]).to_numpy().astype(np.str_)
    decades = np.array([_decade(match) if (match := _AGE.fullmatch(text)) else "" for text in texts], np.str_)
    if odd := Counter(text for text, decade in zip(texts, decades, strict=True) if text and not decade):
        words = ", ".join(f"{text} ({count:,})" for text, count in odd.most_common(5))
        log.warning(
            "column age: %s with no age in years: %s; they count as unknown", counted(odd.total(), "row"), words
        )
    return decades


def _decade(age: re.Match[str]) -> str:
    """Return such as ``30-39``; "" where it cannot be an age, or is a span of more than a decade."""
    first, last = float(age["first"]), float(age["last"] or age["first"])
    if not first <= last <= _OLDEST or first // 10 != last // 10:
        return ""
    start = int(first) // 10 * 10
    return f"{start}-{start + 9}"


def _largest(group_of: NDArray[np.str_], column: str) -> list[str]:
    names, counts = np.unique(group_of[group_of != ""], return_counts=True)
    kept = np.sort(np.argsort(-counts, kind="stable")[:MAX_GROUPS])
    if len(names) > MAX_GROUPS:
        log.warning("column %s has %d groups; only the %d largest are scored", column, len(names), MAX_GROUPS)
    return [str(name) for name in names[kept]]


def _score(
    column: str, group: str, measure: str, value: Floats, inside: NDArray[np.bool_], person: Ints, known: bool
) -> GroupScore:
    """Score one group; ``value``, ``inside`` (whether it belongs to the group) and ``person`` are by image."""
    people, others = len(np.unique(person[inside])), len(np.unique(person[~inside]))
    mean, error = _mean_and_error(value, inside, person)
    result = GroupScore(
        column=column,
        group=group,
        measure=measure,
        n=int(inside.sum()),
        people=people if known else None,
        value=mean,
        **dict.fromkeys(("value_low", "value_high", "difference", "difference_low", "difference_high", "p", "p_holm")),
        interval_over="people" if known else "images",
        remark="",
    )
    fewest, unit = (MIN_PEOPLE, "people") if known else (MIN_IMAGES, "images")
    if people < fewest:
        return replace(result, remark=f"too small: {people} of at least {fewest} {unit}")
    share = measure in _SHARES
    own = _interval(mean, error, people - 1, (0.0, 1.0) if share else (-1.0, 1.0))
    if share and error == 0 and mean in (0.0, 1.0):
        own = metrics.wilson_interval(round(mean * people), people)
    result = replace(result, value_low=own.low, value_high=own.high)
    if others < fewest:
        return replace(result, remark=f"all others together are too few: {others} of at least {fewest} {unit}")
    other_mean, _ = _mean_and_error(value, ~inside, person)
    difference = mean - other_mean
    error = _error_of_difference(value, inside, person)
    freedom = min(people, others) - 1
    interval = _interval(difference, error, freedom, (-2.0, 2.0))
    return replace(
        result,
        difference=difference,
        difference_low=interval.low,
        difference_high=interval.high,
        p=metrics.t_test(difference, error, freedom),
    )


def _mean_and_error(value: Floats, chosen: NDArray[np.bool_], person: Ints) -> tuple[float, float]:
    """Return the mean of the chosen images, NaN without any, and its cluster-robust standard error."""
    if not chosen.any():
        return float("nan"), float("nan")
    mean = float(value[chosen].mean())
    return mean, _error((value[chosen] - mean) / chosen.sum(), person[chosen])


def _error_of_difference(value: Floats, inside: NDArray[np.bool_], person: Ints) -> float:
    deviations = np.where(
        inside,
        (value - value[inside].mean()) / inside.sum(),
        -(value - value[~inside].mean()) / (~inside).sum(),
    )
    return _error(deviations, person)


def _error(deviations: Floats, person: Ints) -> float:
    _, index = np.unique(person, return_inverse=True)
    sums = np.bincount(index, deviations)
    people = len(sums)
    return float(np.sqrt((sums**2).sum() * people / (people - 1))) if people > 1 else float("nan")


def _interval(value: float, error: float, freedom: int, limits: tuple[float, float]) -> Interval:
    reach = metrics.t_quantile(freedom) * error
    return Interval(max(limits[0], value - reach), min(limits[1], value + reach))
