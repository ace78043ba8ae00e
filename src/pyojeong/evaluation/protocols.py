"""The three protocols, which decide what images count and what a missed face is worth.

``matched``  only images on which the contender found the labeled face (the published headline);
``all``      every image; a missed face is wrong;
``given``    every image, with the labeled box given to the contender.

Rows whose photograph cannot be read, or whose box cannot be a face (``geometry.can_be_face``), are in no protocol.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pyojeong.core import metrics
from pyojeong.core.labels import Scheme
from pyojeong.core.metrics import Floats, Ints
from pyojeong.evaluation.predictions import all_classes, end_to_end, matched

PROTOCOLS = ("matched", "all", "given")

MIN_PEOPLE = 10
"""From this many people on, intervals resample people; below, they resample images, and ``interval_over`` says so.

Resampling fewer people gives intervals that are far too narrow, of width zero for one person (Cameron, Gelbach and
Miller 2008, "Bootstrap-based improvements for inference with clustered errors", on few clusters)."""


@dataclass(frozen=True)
class Answers:
    """The predictions of one contender under one protocol.

    Attributes:
        true: class numbers, shape [N].
        pred: class numbers or ``metrics.MISS``, shape [N].
        classes: names of the classes.
        people: the person on each image; None where unknown or fewer than ``MIN_PEOPLE``.
        confidence: probability of each prediction, 0..1, NaN where unknown or where there is none; shape [N].
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
        """Whether each prediction is right, shape [N]."""
        return np.equal(self.true, self.pred)

    @property
    def calibration_error(self) -> float | None:
        """Expected calibration error of the predictions; None if there is none or a probability is unknown."""
        answered = self.pred != metrics.MISS
        if self.confidence is None or not answered.any() or np.isnan(self.confidence[answered]).any():
            return None
        return metrics.calibration_error(self.confidence[answered], self.right[answered])


def answers(frame: pl.DataFrame, scheme: Scheme, protocol: str) -> Answers | None:
    """Return the predictions of ``frame`` (of ``read_predictions``) that count under ``protocol``.

    None when the protocol does not apply: no image was matched, or there is no prediction for a given box.
    """
    frame = frame.filter(counts_in(frame, protocol))
    pred = frame["given"] if protocol == "given" else end_to_end(frame)
    if frame.is_empty():
        return None
    classes = all_classes(scheme)
    people = frame["person"].to_list() if has_people(frame) else None
    true = metrics.encode(frame["true"].to_list(), classes)
    confidence = frame["given_score" if protocol == "given" else "score"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    return Answers(true, metrics.encode(pred.to_list(), classes), classes, people, confidence)


def counts_in(frame: pl.DataFrame, protocol: str) -> pl.Series:
    """Return for each row of ``frame`` whether it counts under ``protocol``; rows with an ``error`` never do."""
    readable = frame["error"].is_null()
    if protocol == "matched":
        return readable & matched(frame)
    if protocol == "given" and not box_was_given(frame):
        return readable & frame["given"].is_not_null()
    return readable


def own_protocols(frame: pl.DataFrame) -> tuple[str, ...]:
    """Return the protocols that differ for this contender: only ``given`` if it was given the box."""
    return ("given",) if box_was_given(frame) else PROTOCOLS


def box_was_given(frame: pl.DataFrame) -> bool:
    """Whether the contender was given the box in every image, instead of detecting the face."""
    return bool(frame["iou"].is_null().all() and frame["pred"].equals(frame["given"], null_equal=True))


def has_people(frame: pl.DataFrame) -> bool:
    """Whether the person on every image is known, and they are at least ``MIN_PEOPLE``."""
    if "person" not in frame.columns or frame["person"].null_count():
        return False
    return frame["person"].n_unique() >= MIN_PEOPLE
