from pathlib import Path

import numpy as np
import pytest
import torch

from pyojeong.core.errors import InputError
from pyojeong.core.geometry import Framing
from pyojeong.core.labels import M1
from pyojeong.core.metrics import Ints
from pyojeong.model.network import MEAN, STD, normalize
from pyojeong.training.batches import (
    FeatureSource,
    PixelSource,
    by_set,
    read_ahead,
    sample_rows,
    set_shares,
    steps,
    targets,
)
from pyojeong.training.crop_cache import open_crops, read_crop_table
from pyojeong.training.recipe import Recipe
from tests.patterns import write_crops


def test_normalization() -> None:
    result = normalize(torch.tensor(MEAN).view(1, 3, 1, 1) + torch.tensor(STD).view(1, 3, 1, 1) * 2)

    assert torch.allclose(result, torch.full((1, 3, 1, 1), 2.0))


@pytest.mark.parametrize(
    ("count", "batch", "sizes"), [(10, 4, [4, 3, 3]), (10, 100, [10]), (8, 4, [4, 4]), (9, 8, [5, 4])]
)
def test_steps_are_of_equal_size_and_cover_everything(count: int, batch: int, sizes: list[int]) -> None:
    order = np.random.default_rng(0).permutation(count)
    plan = steps(order, batch)

    assert [len(rows) for rows in plan] == sizes
    assert np.array_equal(np.concatenate(plan), order)


def test_reading_ahead_keeps_the_order() -> None:
    features = torch.arange(20.0).reshape(10, 2)
    source = FeatureSource(features, *np.zeros((2, 10), np.int64))
    plan = steps(np.random.default_rng(1).permutation(10), 3)

    for rows, raw in zip(plan, read_ahead(source, plan), strict=True):
        assert torch.equal(source.prepare(raw), features[torch.from_numpy(rows)])


def test_an_error_while_reading_ahead_is_raised(tmp_path: Path) -> None:
    csv = write_crops(tmp_path, "train", 1)
    source = PixelSource(
        open_crops(read_crop_table(csv, scheme=M1, root=tmp_path, framing=Framing(margin=0)), tmp_path),
        Recipe.of("finetune", {}),
    )

    with pytest.raises(IndexError):
        list(read_ahead(source, [np.array([0]), np.array([99])]))


def test_a_pixel_source_skips_dropped_rows_and_augments_only_with_seeds(tmp_path: Path) -> None:
    csv = write_crops(tmp_path, "train", 1)
    (tmp_path / "crops/train/000.png").unlink()
    crops = open_crops(read_crop_table(csv, scheme=M1, root=tmp_path, framing=Framing(margin=0)), tmp_path)
    source = PixelSource(crops, Recipe.of("finetune", {}))
    raw = source.read(np.array([0, 4]))

    assert np.array_equal(raw.numpy(), crops.pixels[[1, 5]])
    plain = source.prepare(raw)
    assert plain.shape == (2, 3, 160, 160)
    assert torch.allclose(plain, normalize(raw.permute(0, 3, 1, 2) / 255))
    assert torch.equal(source.prepare(raw, (1, 2)), source.prepare(raw, (1, 2)))
    assert not torch.allclose(source.prepare(raw, (1, 2)), plain)


LABELS = np.repeat([0, 1, 2, 0, 1, 2], [60, 30, 10, 5, 0, 45])
SETS = np.repeat([4, 7], [100, 50])
SHARES = np.array([0.5, 0.25, 0.25])


def sampled(count: int, seed: int = 0) -> Ints:
    counts = np.zeros(8)
    counts[[4, 7]] = count / 2
    return sample_rows(LABELS, SETS, SHARES, counts, np.random.default_rng(seed))


def test_every_set_is_drawn_equally_often_with_the_class_shares() -> None:
    rows = sampled(2400)
    counts = [[int(((SETS[rows] == one) & (LABELS[rows] == name)).sum()) for name in range(3)] for one in (4, 7)]

    # The second set has nothing of class 1; its share goes to the others in proportion.
    assert counts == [[600, 300, 300], [800, 0, 400]]


@pytest.mark.parametrize("count", [1, 7, 60, 150, 900])
def test_no_row_comes_again_before_all_of_its_kind_have_come(count: int) -> None:
    rows = sampled(count)
    often = np.bincount(rows, minlength=len(LABELS))

    kinds = [often[(one == SETS) & (name == LABELS)] for one in (4, 7) for name in range(3)]
    for kind in (kind for kind in kinds if len(kind)):
        assert kind.sum() > 0
        assert kind.max() - kind.min() <= 1
    assert abs(len(rows) - count) <= 6


def test_sets_come_as_often_as_their_counts_say() -> None:
    counts = np.zeros(8)
    counts[4] = 90
    assert set(SETS[sample_rows(LABELS, SETS, SHARES, counts, np.random.default_rng(0))]) == {4}
    counts[7] = 30
    rows = sample_rows(LABELS, SETS, SHARES, counts, np.random.default_rng(0))
    assert [int((SETS[rows] == one).sum()) for one in (4, 7)] == pytest.approx([90, 30], abs=2)


def test_shares_of_sets_follow_their_weights() -> None:
    names = ("acted", "found", "web")
    assert set_shares(names, {}) == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    assert set_shares(names, {"web": 6, "acted": 0.0}) == pytest.approx([0, 1 / 7, 6 / 7])
    with pytest.raises(InputError, match="names the data set films; the training table has acted, found, web"):
        set_shares(names, {"films": 1})
    with pytest.raises(InputError, match="leaves out every data set"):
        set_shares(names, dict.fromkeys(names, 0.0))


def test_draws_are_mixed_and_follow_the_seed() -> None:
    rows = sampled(300)

    assert np.array_equal(rows, sampled(300))
    assert not np.array_equal(rows, sampled(300, seed=1))
    assert 30 <= int((SETS[rows[:100]] == 4).sum()) <= 70


def test_targets_are_the_labels_without_votes() -> None:
    labels = np.array([2, 0])
    votes = np.array([[0.0, 1, 2], [3, 0, 0]])

    for found in (targets(labels, 3, None, 0.5), targets(labels, 3, votes, 0.0)):
        assert found.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_votes_take_their_share_of_the_target_where_there_are_any() -> None:
    votes = np.array([[0.0, 1, 2], [0, 0, 0], [0.2, 0.2, 0]])
    found = targets(np.array([2, 0, 1]), 3, votes, 0.6)

    assert found[0] == pytest.approx([0, 0.6 / 3, 0.4 + 0.6 * 2 / 3])
    assert found[1].tolist() == [1, 0, 0]
    assert found[2] == pytest.approx([0.3, 0.7, 0])
    assert found.sum(1) == pytest.approx(1)


def test_votes_can_have_another_share_in_each_row() -> None:
    votes = np.array([[0.0, 1, 1], [0, 1, 1], [0, 0, 0]])
    found = targets(np.array([0, 0, 0]), 3, votes, np.array([0.2, 1.0, 1.0]))

    assert found.tolist() == [[0.8, 0.1, 0.1], [0, 0.5, 0.5], [1, 0, 0]]


def test_a_number_for_each_data_set() -> None:
    assert by_set("set_votes", {"web": 0.75}, ("acted", "web"), 0.5).tolist() == [0.5, 0.75]
    with pytest.raises(InputError, match="set_votes names the data set films; the training table has acted, web"):
        by_set("set_votes", {"films": 1}, ("acted", "web"), 0.5)
    with pytest.raises(InputError, match="names the data set films; the training table has no column set"):
        by_set("set_votes", {"films": 1}, ("",), 0.5)
