"""Temperature, metrics and predictions of a run, all from one array of logits."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from pyojeong.core.errors import InputError
from pyojeong.core.files import read_json
from pyojeong.core.labels import Scheme
from pyojeong.core.metrics import Floats, Ints, accuracy, calibration_error, confusion_counts, macro_f1, per_class
from pyojeong.training.crop_cache import CropSet

_COLDEST, _HOTTEST = 0.05, 20.0

_DIGITS = 6


@dataclass(frozen=True)
class ClassMetrics:
    """Scores of one class, 0..1, and its number of images."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Metrics:
    """Scores of a network on one set.

    Attributes:
        n: images.
        accuracy: Top-1, 0..1.
        macro_f1: 0..1, over the classes present.
        loss: mean negative log-likelihood in nats, calibrated.
        ece: expected calibration error, 0..1.
        ece_before_temperature: the same without the temperature.
        temperature: divisor of the logits.
        per_class: scores by class name.
    """

    n: int
    accuracy: float
    macro_f1: float
    loss: float
    ece: float
    ece_before_temperature: float
    temperature: float
    per_class: dict[str, ClassMetrics]


@dataclass(frozen=True)
class RunMetrics(Metrics):
    """The content of a run's ``test_metrics.json`` or ``val_metrics_best.json``.

    Attributes:
        scheme: name of the label scheme.
        epoch: the epoch that was kept, counted from 1.
        chosen_by: how it was chosen.
        dropped: set -> reason -> images that could not be used.
    """

    scheme: str
    epoch: int
    chosen_by: str
    dropped: dict[str, dict[str, int]]

    @classmethod
    def read(cls, path: Path) -> "RunMetrics":
        """Read such a file; InputError when it is missing or damaged."""
        values = read_json(path)
        try:
            per_class = {name: ClassMetrics(**scores) for name, scores in values["per_class"].items()}
            return cls(**{**values, "per_class": per_class})
        except (TypeError, KeyError, AttributeError):
            raise InputError(f"{path}: does not hold the metrics of a run; train it again") from None


def fit_temperature(logits: Floats, labels: Ints) -> float:
    """Return the temperature that minimizes the mean negative log-likelihood of ``softmax(logits / temperature)``.

    Guo et al., "On Calibration of Modern Neural Networks", 2017, section 4.2. The likelihood is convex in
    1/temperature, so its slope is bisected, within 0.05 .. 20. As in Platt's scaling (1999), 1/(N+2) of each target is
    spread over the classes; otherwise the optimum would be 0 where the network is right on every one of a few images.

    Args:
        logits: float64 [N, K].
        labels: class numbers, int64 [N].
    """
    spread = 1 / (len(labels) + 2)
    target = (1 - spread) * logits[np.arange(len(labels)), labels] + spread * logits.mean(1)
    cold, hot = np.log(_COLDEST), np.log(_HOTTEST)
    for _ in range(60):
        middle = (cold + hot) / 2
        probabilities = softmax(logits / np.exp(middle))
        too_hot = float(((probabilities * logits).sum(1) - target).mean()) < 0
        cold, hot = (cold, middle) if too_hot else (middle, hot)
    return float(np.exp((cold + hot) / 2))


def softmax(logits: Floats) -> Floats:
    """Return probabilities along the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    result: Floats = powers / powers.sum(-1, keepdims=True)
    return result


def loss_of(logits: Floats, labels: Ints) -> float:
    """Return the mean negative log-likelihood (nats) of ``softmax(logits)``."""
    highest = logits.max(1)
    total = highest + np.log(np.exp(logits - highest[:, None]).sum(1))
    return float((total - logits[np.arange(len(labels)), labels]).mean())


def macro_f1_of(logits: Floats, labels: Ints) -> float:
    """Return the macro-F1 (0..1, over the classes present) of the most probable classes."""
    return macro_f1(confusion_counts(labels, logits.argmax(1), logits.shape[1]))


def measure(logits: Floats, labels: Ints, classes: tuple[str, ...], temperature: float) -> Metrics:
    """Score one set; all probabilities are calibrated by ``temperature``.

    Args:
        logits: float64 [N, K].
        labels: class numbers, int64 [N].
        classes: K names.
        temperature: divisor of the logits.
    """
    counts = confusion_counts(labels, logits.argmax(1), len(classes))
    scores = per_class(counts)
    return Metrics(
        n=len(labels),
        accuracy=accuracy(counts),
        macro_f1=macro_f1(counts),
        loss=loss_of(logits / temperature, labels),
        ece=_ece(logits / temperature, labels),
        ece_before_temperature=_ece(logits, labels),
        temperature=temperature,
        per_class={
            name: ClassMetrics(
                precision=float(scores.precision[number]),
                recall=float(scores.recall[number]),
                f1=float(scores.f1[number]),
                support=int(scores.support[number]),
            )
            for number, name in enumerate(classes)
        },
    )


def predictions(crops: CropSet, logits: Floats, scheme: Scheme, temperature: float) -> pl.DataFrame:
    """Return ``path, true, pred, score``, ``p_<class>`` and what is known of the person per crop.

    Probabilities are calibrated, to 6 digits.
    """
    probabilities = softmax(logits / temperature)
    names = np.array(scheme.classes)
    columns = {
        "path": crops.paths,
        "true": names[crops.labels].tolist(),
        "pred": names[logits.argmax(1)].tolist(),
        "score": probabilities.max(1).round(_DIGITS),
    }
    by_class = {f"p_{name}": probabilities[:, number].round(_DIGITS) for number, name in enumerate(scheme.classes)}
    return pl.DataFrame(columns | by_class).hstack(crops.facts)


def require_classes(labels: Ints, scheme: Scheme, csv: object) -> None:
    """Raise InputError when a class of the scheme has no row among the training ``labels``."""
    absent = [name for number, name in enumerate(scheme.classes) if number not in set(labels.tolist())]
    if absent:
        raise InputError(
            f"{csv}: no usable row of {', '.join(absent)}, so scheme {scheme.name} cannot be learned; "
            "add rows, choose another --scheme, or give --allow-empty-class"
        )


def _ece(logits: Floats, labels: Ints) -> float:
    return calibration_error(softmax(logits).max(1), logits.argmax(1) == labels)
