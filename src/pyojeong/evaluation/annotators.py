"""How well one annotator agrees with the other two, from the ``votes_<label>`` columns of a table."""

from typing import NamedTuple

import numpy as np
import polars as pl

from pyojeong.core import metrics
from pyojeong.core.labels import Scheme
from pyojeong.core.metrics import Ints
from pyojeong.core.table import VOTES_PREFIX
from pyojeong.evaluation.predictions import all_classes


class AnnotatorAnswers(NamedTuple):
    """The answers of single annotators, each scored against the other two; all of shape [answers].

    Attributes:
        row: of the image in the table.
        true: class number that the other two agree on.
        pred: class number of the answer, or ``metrics.MISS`` where it is no class.
    """

    row: Ints
    true: Ints
    pred: Ints


def annotator_answers(frame: pl.DataFrame, scheme: Scheme) -> AnnotatorAnswers:
    """Return the answers about the images with three votes of which at least two agree on a class.

    Three equal votes are three right answers; two against one are one wrong answer (the other two votes have no label
    to be compared with). 알수없음 is a wrong answer and never a label.
    """
    classes = len(all_classes(scheme))
    votes = _votes(frame, scheme)
    most = votes.argmax(1)
    index = np.flatnonzero((votes.sum(1) == 3) & (votes.max(1) >= 2) & (most < classes))
    unanimous = votes[index].max(1) == 3
    odd = (votes[index] == 1).argmax(1)
    pred = np.where(unanimous, most[index], np.where(odd == classes, metrics.MISS, odd))
    times = np.where(unanimous, 3, 1)
    return AnnotatorAnswers(np.repeat(index, times), np.repeat(most[index], times), np.repeat(pred, times))


def _votes(frame: pl.DataFrame, scheme: Scheme) -> Ints:
    """Return the votes for each class, shape [N, K+1]; the last column is for words that are no class."""
    classes = all_classes(scheme)
    votes = np.zeros((len(frame), len(classes) + 1), np.int64)
    for name in frame.columns:
        if name.startswith(VOTES_PREFIX):
            word = scheme.class_of(name.removeprefix(VOTES_PREFIX))
            column = frame[name].cast(pl.Int64, strict=False).fill_null(0).to_numpy()
            votes[:, classes.index(word) if word else -1] += column
    return votes
