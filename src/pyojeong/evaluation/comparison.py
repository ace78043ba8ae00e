"""Comparison of contenders on common images: scores with intervals, paired tests, and the human ceiling."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl

from pyojeong.core import metrics
from pyojeong.core.errors import InputError, check_choice
from pyojeong.core.labels import Scheme, scheme_named
from pyojeong.core.metrics import Floats, Interval, Ints
from pyojeong.core.table import write_csv, write_or_remove
from pyojeong.evaluation.annotators import annotator_answers
from pyojeong.evaluation.common_images import align, read_common
from pyojeong.evaluation.groups import contender_groups, group_table
from pyojeong.evaluation.predictions import all_classes
from pyojeong.evaluation.protocols import (
    PROTOCOLS,
    Answers,
    answers,
    box_was_given,
    counts_in,
    has_people,
    own_protocols,
)

_COMMON = (PROTOCOLS, ("matched", "given"), ("given",))
"""The protocols of a pair, by how many of the two were given the box."""


@dataclass(frozen=True)
class Score:
    """The score of one contender under one protocol; shares are 0..1, intervals are 95 % intervals.

    Attributes:
        n: number of images.
        accuracy: Top-1 accuracy.
        accuracy_low: lower end of its interval.
        accuracy_high: upper end.
        macro_f1: ``metrics.macro_f1``.
        macro_f1_low: lower end of its interval.
        macro_f1_high: upper end.
        ece: ``metrics.calibration_error`` of the predictions that exist; None where a probability is unknown.
        interval_over: ``people`` if they were resampled, else ``images`` (Wilson for the accuracy, bootstrap for
            macro-F1).
    """

    n: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    macro_f1: float
    macro_f1_low: float
    macro_f1_high: float
    ece: float | None
    interval_over: str


@dataclass(frozen=True)
class PairedScore:
    """Two contenders on the same images; differences are second minus first, with 95 % intervals.

    The intervals resample images, or people where they are known, in pairs; ``interval_over`` says which.
    ``only_first_right`` and ``only_second_right`` count images that only one of them got right. ``mcnemar_p`` is
    McNemar's exact p-value, which assumes independent images even where people are known.
    """

    n: int
    accuracy_first: float
    accuracy_second: float
    accuracy_difference: float
    accuracy_difference_low: float
    accuracy_difference_high: float
    macro_f1_first: float
    macro_f1_second: float
    macro_f1_difference: float
    macro_f1_difference_low: float
    macro_f1_difference_high: float
    only_first_right: int
    only_second_right: int
    mcnemar_p: float
    interval_over: str


@dataclass(frozen=True)
class HumanCeiling:
    """How well one annotator agrees with the other two.

    Attributes:
        images: number of images.
        score: of the annotators' answers; ``n`` counts answers.
    """

    images: int
    score: Score


@dataclass(frozen=True)
class Comparison:
    """The tables of ``compare``.

    Attributes:
        scores: one row per contender and protocol: ``contender``, ``protocol``, ``n_all`` (images in all files) and
            the fields of ``Score``. Contenders that were given the box have only ``given``.
        paired: one row per pair of contenders and protocol they share: ``first``, ``second``, ``protocol`` and the
            fields of ``PairedScore``.
        groups: ``groups.group_table`` of all contenders; empty where no file has a column of ``table.GROUP_COLUMNS``.
        left_out: contender -> reason -> common images that are in none of its scores, because they could not be read
            or their box cannot be a face.
    """

    scores: pl.DataFrame
    paired: pl.DataFrame
    groups: pl.DataFrame
    left_out: dict[str, dict[str, int]]


def score(predictions: Answers, seed: int = 0) -> Score:
    """Score one contender; ``seed`` is that of the bootstrap."""
    counts, people = predictions.counts, predictions.people
    cells = np.ravel_multi_index((predictions.true, predictions.pred % counts.shape[1]), counts.shape)
    if people is None:
        accuracy_interval = metrics.wilson_interval(int(predictions.right.sum()), len(predictions.true))
    else:
        accuracy_interval = metrics.bootstrap_interval(
            cells, counts.shape, metrics.accuracies, people=people, seed=seed
        )
    f1_interval = metrics.bootstrap_interval(cells, counts.shape, metrics.macro_f1s, people=people, seed=seed)
    return Score(
        n=len(predictions.true),
        accuracy=metrics.accuracy(counts),
        accuracy_low=accuracy_interval.low,
        accuracy_high=accuracy_interval.high,
        macro_f1=metrics.macro_f1(counts),
        macro_f1_low=f1_interval.low,
        macro_f1_high=f1_interval.high,
        ece=predictions.calibration_error,
        interval_over="images" if people is None else "people",
    )


def paired(first: Answers, second: Answers, seed: int = 0) -> PairedScore:
    """Compare two contenders on the same images, row by row.

    Raises:
        ValueError: the classes or labels differ.
    """
    if first.classes != second.classes or not np.array_equal(first.true, second.true):
        raise ValueError("the two contenders do not have the same images")
    size = len(first.classes)
    shape = (size, size + 1, size + 1)
    cells = np.ravel_multi_index((first.true, first.pred % (size + 1), second.pred % (size + 1)), shape)
    people = first.people or second.people

    def interval(statistic: Callable[[Ints], Floats]) -> Interval:
        def difference(tables: Ints) -> Floats:
            return statistic(tables.sum(2)) - statistic(tables.sum(3))

        return metrics.bootstrap_interval(cells, shape, difference, people=people, seed=seed)

    accuracy_first, accuracy_second = metrics.accuracy(first.counts), metrics.accuracy(second.counts)
    f1_first, f1_second = metrics.macro_f1(first.counts), metrics.macro_f1(second.counts)
    accuracy_interval, f1_interval = interval(metrics.accuracies), interval(metrics.macro_f1s)
    return PairedScore(
        n=len(first.true),
        accuracy_first=accuracy_first,
        accuracy_second=accuracy_second,
        accuracy_difference=accuracy_second - accuracy_first,
        accuracy_difference_low=accuracy_interval.low,
        accuracy_difference_high=accuracy_interval.high,
        macro_f1_first=f1_first,
        macro_f1_second=f1_second,
        macro_f1_difference=f1_second - f1_first,
        macro_f1_difference_low=f1_interval.low,
        macro_f1_difference_high=f1_interval.high,
        only_first_right=int((first.right & ~second.right).sum()),
        only_second_right=int((second.right & ~first.right).sum()),
        mcnemar_p=metrics.mcnemar(first.right, second.right),
        interval_over="people" if people else "images",
    )


def paired_scores(first: pl.DataFrame, second: pl.DataFrame, scheme: Scheme, seed: int = 0) -> dict[str, PairedScore]:
    """Compare two contenders under every protocol that both have; return the results by protocol.

    ``matched`` are the images that both matched; a contender that was given the box matches all. ``all`` needs two
    contenders that detect faces: a miss is not counted against one when the other was given the box.
    """
    first, second = align(first, second)
    scores = {}
    for protocol in _COMMON[box_was_given(first) + box_was_given(second)]:
        common = counts_in(first, protocol) & counts_in(second, protocol)
        first_answers = answers(first.filter(common), scheme, protocol)
        second_answers = answers(second.filter(common), scheme, protocol)
        if first_answers and second_answers:
            scores[protocol] = paired(first_answers, second_answers, seed)
    return scores


def human_ceiling(frame: pl.DataFrame, scheme: Scheme, seed: int = 0) -> HumanCeiling | None:
    """Score each annotator against the other two where these two agree, with the models' metrics.

    Returns:
        None without an image that ``annotators.annotator_answers`` can use. Intervals resample people, or images where
        people are unknown, because answers about one image are not independent.
    """
    answered = annotator_answers(frame, scheme)
    index = np.unique(answered.row)
    if not index.size:
        return None
    over = "people" if has_people(frame[index]) else "images"
    unit = frame["person" if over == "people" else "path"].to_list()
    units = [unit[row] for row in answered.row]
    ceiling = score(Answers(answered.true, answered.pred, all_classes(scheme), units), seed)
    return HumanCeiling(len(index), replace(ceiling, interval_over=over))


def compare(
    files: Sequence[tuple[str, str | Path]],
    scheme: str | Scheme,
    out_dir: str | Path,
    *,
    root: Path = Path(),
    protocols: Sequence[str] = PROTOCOLS,
    seed: int = 0,
) -> Comparison:
    """Compare prediction files on the images that are in all of them.

    Args:
        files: name and predictions CSV of each contender.
        scheme: the label scheme of all of them.
        out_dir: ``compare_scores.csv`` and ``compare_paired.csv`` are written there, and ``compare_groups.csv`` where
            a file has columns of ``table.GROUP_COLUMNS``.
        root: the project root that relative paths in the files start from.
        protocols: those to compare under. Where the images are face crops, only ``given`` is fair: a detector finds
            few faces in them.
        seed: of the bootstrap.

    Raises:
        InputError: a protocol is unknown, there are fewer than two files, two have one name, there is no common image,
            an image has two labels or people, or no image counts under any of the protocols. Nothing is written then.
    """
    for protocol in protocols:
        check_choice("protocol", protocol, PROTOCOLS)
    names, paths = [name for name, _ in files], [Path(path) for _, path in files]
    if len(files) < 2 or len(set(names)) < len(names):
        given = ", ".join(f"{name}={path}" for name, path in files)
        raise InputError(
            f"{given}: a comparison needs at least two prediction files under different names; add NAME=CSV"
        )
    if Path(out_dir).is_file():
        raise InputError(f"{out_dir}: is a file; name a folder for the tables")
    scheme = scheme if isinstance(scheme, Scheme) else scheme_named(scheme)
    frames = dict(zip(names, read_common(paths, scheme, root), strict=True))
    scores = pl.DataFrame(
        [
            {"contender": name, "protocol": protocol, "n_all": len(frame), **asdict(score(predictions, seed))}
            for name, frame in frames.items()
            for protocol in own_protocols(frame)
            if protocol in protocols and (predictions := answers(frame, scheme, protocol))
        ]
    )
    if scores.is_empty():
        raise InputError(
            f"{', '.join(map(str, paths))}: no image has an answer under {', '.join(protocols)}; choose "
            f"another protocol among {', '.join(PROTOCOLS)}, or make the prediction files again"
        )
    pairs = pl.DataFrame(
        [
            {"first": first, "second": second, "protocol": protocol, **asdict(pair)}
            for first, second in combinations(names, 2)
            for protocol, pair in paired_scores(frames[first], frames[second], scheme, seed).items()
            if protocol in protocols
        ]
    )
    write_csv(scores, Path(out_dir) / "compare_scores.csv")
    write_csv(pairs, Path(out_dir) / "compare_paired.csv")
    groups = group_table([contender_groups(frame, name, protocols) for name, frame in frames.items()])
    write_or_remove(groups, Path(out_dir) / "compare_groups.csv")
    left_out = {
        name: dict(frame["error"].drop_nulls().value_counts(sort=True).rows()) for name, frame in frames.items()
    }
    return Comparison(scores, pairs, groups, left_out)
