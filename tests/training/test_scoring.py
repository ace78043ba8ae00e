from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pyojeong.core.errors import InputError
from pyojeong.core.labels import K7, M1
from pyojeong.core.metrics import accuracy, confusion_counts, macro_f1
from pyojeong.training.crop_cache import CropSet
from pyojeong.training.scoring import fit_temperature, loss_of, measure, predictions, require_classes, softmax


def drawn(temperature: float, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are ``temperature`` times too large for their labels."""
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (count, 6))
    labels = np.array([generator.choice(6, p=row) for row in softmax(logits)])
    return logits * temperature, labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_is_found_again(temperature: float) -> None:
    logits, labels = drawn(temperature)
    fitted = fit_temperature(logits, labels)

    assert fitted == pytest.approx(temperature, rel=0.06)
    around = [loss_of(logits / (fitted * factor), labels) for factor in (0.99, 1.0, 1.01)]
    assert around[1] == min(around)


def test_a_few_right_answers_do_not_make_it_certain() -> None:
    labels = np.arange(6)
    temperature = fit_temperature(np.eye(6) * 5, labels)

    assert softmax(np.eye(6) * 5 / temperature).max() == pytest.approx(1 - 1 / 8 + 1 / 8 / 6)
    assert fit_temperature(-np.eye(6) * 5, labels) == pytest.approx(20)


def test_loss_is_the_likelihood() -> None:
    logits = np.array([[1000.0, 0.0], [0.0, np.log(3)]])

    assert loss_of(logits, np.array([0, 1])) == pytest.approx(-np.log(0.75) / 2)
    assert softmax(logits)[1] == pytest.approx([0.25, 0.75])


def test_measure_agrees_with_the_counts_and_calibrates() -> None:
    logits, labels = drawn(3.0)
    figures = measure(logits, labels, M1.classes, fit_temperature(logits, labels))
    counts = confusion_counts(labels, logits.argmax(1), 6)

    assert (figures.n, figures.accuracy, figures.macro_f1) == (4000, accuracy(counts), macro_f1(counts))
    assert figures.ece < 0.03 < 0.1 < figures.ece_before_temperature
    assert figures.loss < loss_of(logits, labels)
    assert list(figures.per_class) == list(M1.classes)
    assert sum(scores.support for scores in figures.per_class.values()) == 4000


def test_predictions_name_classes_and_sum_to_one(tmp_path: Path) -> None:
    logits = np.eye(7)[[3, 0]] * 4
    empty = np.zeros((2, 160, 160, 3), np.uint8)
    labels, sets, facts = np.array([3, 6]), np.zeros(2, np.int64), pl.DataFrame({"person": ["p", "q"]})
    crops = CropSet(tmp_path / "x.csv", ["a.jpg", "b.jpg"], labels, sets, ("",), facts, None, np.arange(2), empty, {})
    frame = predictions(crops, logits, K7, temperature=2.0)

    assert frame.columns == ["path", "true", "pred", "score", *(f"p_{name}" for name in K7.classes), "person"]
    assert frame["path"].to_list() == ["a.jpg", "b.jpg"]
    assert frame["true"].to_list() == ["불안", "중립"]
    assert frame["pred"].to_list() == ["불안", "기쁨"]
    expected = np.exp(2) / (np.exp(2) + 6)
    assert frame["score"].to_list() == pytest.approx([expected] * 2, abs=1e-6)
    assert frame["p_불안"].to_list() == pytest.approx([expected, (1 - expected) / 6], abs=1e-6)


def test_a_class_without_a_row_is_named_with_file_and_remedy() -> None:
    labels = np.array([0, 1, 2, 3, 5])

    with pytest.raises(InputError, match=r"train\.csv: no usable row of fearful.*--allow-empty-class"):
        require_classes(labels, M1, "train.csv")
    require_classes(np.arange(6), M1, "train.csv")
