"""Confusion counts, scores, confidence intervals and tests, as pure functions on arrays.

Classes are numbers 0..K-1; ``MISS`` (-1) as a prediction means that the contender found no face. Every score is
computed from confusion counts, so a table of counts is enough to reproduce it. SciPy is imported only where it is used,
so that training needs no report libraries.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MISS = -1
"""The prediction of a contender that found no face."""

LEVEL = 0.95
"""Confidence level of every interval."""

REPLICATES = 2000
"""Bootstrap replicates: the standard error of each end of a 95 % interval is then about 1.5 % of its width."""


class Interval(NamedTuple):
    """A confidence interval; ``low <= high``."""

    low: float
    high: float


class PerClass(NamedTuple):
    """Scores by class, each of shape [..., K]; a ratio with denominator 0 is 0, as in the published tables."""

    precision: Floats
    recall: Floats
    f1: Floats
    tp: Ints
    fp: Ints
    fn: Ints
    support: Ints


def encode(words: Sequence[str | None], classes: Sequence[str]) -> Ints:
    """Return the position in ``classes`` of every word, shape [N]; None becomes ``MISS``.

    Raises ValueError for any other word.
    """
    positions: dict[str | None, int] = {name: position for position, name in enumerate(classes)}
    positions[None] = MISS
    try:
        return np.fromiter((positions[word] for word in words), np.int64, len(words))
    except KeyError as error:
        raise ValueError(f"{error.args[0]!r} is not one of the classes {', '.join(classes)}") from None


def confusion_counts(true: ArrayLike, pred: ArrayLike, classes: int, *, misses: bool = False) -> Ints:
    """Count how often class ``i`` was called ``j``.

    Args:
        true: class numbers 0..classes-1, shape [N].
        pred: class numbers, shape [N]; ``MISS`` only with ``misses``.
        classes: K.
        misses: whether to add a last column that counts the misses of each class.

    Returns:
        int64 [K, K], or [K, K+1] with ``misses``; rows are the truth.

    Raises:
        ValueError: the lengths differ or a number is out of range.
    """
    true, pred = np.asarray(true, np.int64), np.asarray(pred, np.int64)
    if true.shape != pred.shape or true.ndim != 1:
        raise ValueError(f"true and pred must be two lists of one length, not {true.shape} and {pred.shape}")
    lowest = MISS if misses else 0
    if true.size and (true.min() < 0 or true.max() >= classes or pred.min() < lowest or pred.max() >= classes):
        raise ValueError(f"class numbers must be {lowest}..{classes - 1}")
    columns = classes + misses
    cells = true * columns + np.where(pred == MISS, classes, pred)
    return np.bincount(cells, minlength=classes * columns).reshape(classes, columns)


def row_normalized(counts: ArrayLike) -> Floats:
    """Divide each row of ``counts`` [K, K or K+1] by its sum; a row without images stays 0."""
    counts = np.asarray(counts)
    return _ratio(counts, counts.sum(-1, keepdims=True))


def per_class(counts: ArrayLike) -> PerClass:
    """Score every class of ``counts`` [..., K, K or K+1]; a miss is a false negative and no false positive."""
    counts = np.asarray(counts)
    classes = counts.shape[-2]
    tp = np.diagonal(counts, axis1=-2, axis2=-1)
    support = counts.sum(-1)
    predicted = counts.sum(-2)[..., :classes]
    precision, recall = _ratio(tp, predicted), _ratio(tp, support)
    f1 = _ratio(2 * precision * recall, precision + recall)
    return PerClass(precision, recall, f1, tp, predicted - tp, support - tp, support)


def accuracies(counts: ArrayLike) -> Floats:
    """Top-1 accuracy 0..1 of each table in ``counts`` [..., K, K or K+1]; misses are wrong; NaN without images."""
    counts = np.asarray(counts)
    total = counts.sum((-2, -1))
    return np.where(total > 0, _ratio(np.trace(counts, axis1=-2, axis2=-1), total), np.nan)


def macro_f1s(counts: ArrayLike) -> Floats:
    """Mean F1 (0..1) over the classes present in the truth, of each table in ``counts`` [..., K, K or K+1].

    A class without images says nothing about a classifier. Averaging it as 0, as the published summary did, multiplies
    the M1 and M2 figures by 6/7. NaN without images.
    """
    scores = per_class(counts)
    present = scores.support > 0
    number = present.sum(-1)
    return np.where(number > 0, _ratio((scores.f1 * present).sum(-1), number), np.nan)


def accuracy(counts: ArrayLike) -> float:
    """Top-1 accuracy of one table; see ``accuracies``."""
    return float(accuracies(counts))


def macro_f1(counts: ArrayLike) -> float:
    """Macro-F1 of one table over the classes present; see ``macro_f1s``."""
    return float(macro_f1s(counts))


def wilson_interval(successes: int, n: int) -> Interval:
    """Wilson's score interval (1927) for a proportion of independent trials; 0..1 when ``n`` is 0."""
    if n == 0:
        return Interval(0.0, 1.0)
    low, high = _binomial_test(successes, n).proportion_ci(LEVEL, method="wilson")
    return Interval(float(low), float(high))


def bootstrap_interval(
    cells: ArrayLike,
    shape: tuple[int, ...],
    statistic: Callable[[Ints], Floats],
    *,
    people: Sequence[str] | None = None,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> Interval:
    """Percentile bootstrap interval (Efron 1979) of a statistic of counts.

    Args:
        cells: for every image the (raveled) cell of the table in which it counts, shape [N].
        shape: shape of that table, such as ``(K, K)`` or, for two contenders on one truth, ``(K, K, K)``.
        statistic: maps tables [B, *shape] to [B]; ``macro_f1s`` and ``accuracies`` are such functions.
        people: the person on each image, shape [N]. Images of one person are alike, so people are resampled, each
            with all their images (cluster bootstrap, usually wider). Without it images are resampled.
        seed: the same seed gives the same interval.
        replicates: B.

    Returns:
        The interval, extended to the point estimate in the rare case that a skewed statistic leaves it outside;
        NaN, NaN without images.
    """
    cells = np.asarray(cells, np.int64)
    size = int(np.prod(shape))
    if cells.size == 0:
        return Interval(float("nan"), float("nan"))
    generator = np.random.default_rng(seed)
    if people is None:
        # Sampling N times with replacement is sampling the counts once from a multinomial distribution.
        counts = np.bincount(cells, minlength=size)
        resampled = generator.multinomial(cells.size, counts / cells.size, replicates)
    else:
        resampled = _resample_people(cells, size, people, generator, replicates)
    values = statistic(resampled.reshape(replicates, *shape))
    point = statistic(np.bincount(cells, minlength=size).reshape(1, *shape))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values, (tail, 1 - tail))
    return Interval(min(float(low), float(point[0])), max(float(high), float(point[0])))


def mcnemar(first_right: ArrayLike, second_right: ArrayLike) -> float:
    """Exact two-sided p-value of McNemar's test (1947) on paired right/wrong answers, booleans of shape [N].

    Only images on which exactly one of the two is right count; 1.0 when there are none.
    """
    first, second = np.asarray(first_right, bool), np.asarray(second_right, bool)
    if first.shape != second.shape:
        raise ValueError(f"the answers are not paired: {first.shape} and {second.shape}")
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(_binomial_test(only_first, only_first + only_second).pvalue)


def t_test(value: float, error: float, freedom: int) -> float:
    """Return the two-sided p-value of Student's t-test that an estimate is 0.

    Args:
        value: the estimate.
        error: its standard error, 0 or more.
        freedom: degrees of freedom, at least 1.
    """
    from scipy.stats import t  # type: ignore[attr-defined]

    if error == 0:
        return 1.0 if value == 0 else 0.0
    return float(2 * t.sf(abs(value) / error, freedom))


def t_quantile(freedom: int) -> float:
    """Return how many standard errors an interval at ``LEVEL`` reaches on each side, with ``freedom`` degrees."""
    from scipy.stats import t  # type: ignore[attr-defined]

    return float(t.ppf((1 + LEVEL) / 2, freedom))


def holm(p_values: Sequence[float]) -> Floats:
    """Correct p-values for their number by Holm's step-down method (1979).

    Rejecting where the corrected value is at most .05 keeps the chance of any false rejection at 5 % or below, whatever
    the tests have to do with each other. Shape [N] as given.
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(steps, 1.0)
    return corrected


def calibration_error(confidence: ArrayLike, right: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error 0..1 (Naeini 2015; 15 equal bins as in Guo 2017, "On Calibration", eq. 3).

    Args:
        confidence: probability 0..1 of the predicted class, shape [N].
        right: whether the prediction is right, shape [N].
        bins: equal-width bins ``((m-1)/bins, m/bins]``.

    Returns:
        The mean over images of ``|accuracy - mean confidence|`` of their bin; NaN without images.
    """
    confidence, right = np.asarray(confidence, np.float64), np.asarray(right, bool)
    if confidence.size == 0:
        return float("nan")
    bin_of = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gap = np.bincount(bin_of, right.astype(np.float64) - confidence, bins)
    return float(np.abs(gap).sum() / confidence.size)


def _ratio(top: ArrayLike, bottom: ArrayLike) -> Floats:
    top, bottom = np.asarray(top, np.float64), np.asarray(bottom, np.float64)
    shape = np.broadcast_shapes(top.shape, bottom.shape)
    quotient: Floats = np.divide(top, bottom, out=np.zeros(shape), where=np.broadcast_to(bottom != 0, shape))
    return quotient


def _binomial_test(successes: int, n: int) -> Any:
    from scipy.stats import binomtest  # type: ignore[attr-defined]

    return binomtest(int(successes), int(n), 0.5)


def _resample_people(
    cells: Ints, size: int, people: Sequence[str], generator: np.random.Generator, replicates: int
) -> Ints:
    if len(people) != cells.size:
        raise ValueError(f"{cells.size} images but {len(people)} people")
    names, person = np.unique(np.asarray(people), return_inverse=True)
    tables = np.bincount(person * size + cells, minlength=len(names) * size).reshape(len(names), size)
    times = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), replicates)
    # Integers far below 2**53 are exact in float64, whose matrix product is many times faster than int64's.
    return np.rint(times.astype(np.float64) @ tables.astype(np.float64)).astype(np.int64)
