from collections import Counter, defaultdict

import numpy as np
import pytest

from pyojeong.core.labels import KOREAN, UNKNOWN
from pyojeong.sample.plan import AGREEMENT, DEFECTS, ORIENTATIONS, plan


@pytest.fixture(scope="module")
def photos():
    return plan(60, 1337)


def agreement(votes):
    """The label that two of three votes share, and how many share it."""
    return Counter(votes).most_common(1)[0]


def test_the_plan_has_about_a_thousand_photographs_of_sixty_people(photos):
    assert 850 < len(photos) < 1100
    people = {photo.name[:64] for photo in photos}
    assert len(people) == 60
    emotions = defaultdict(set)
    for photo in photos:
        emotions[photo.name[:64]].add(photo.label)
    assert np.mean([len(labels) for labels in emotions.values()]) > 5
    assert len({photo.name for photo in photos}) == len(photos)


def test_some_people_are_in_training_and_in_validation(photos):
    training, validation = ({p.name[:64] for p in photos if p.part == part} for part in ("Training", "Validation"))
    assert training & validation
    assert validation - training
    assert len(validation) < len(training) / 3


def test_a_person_keeps_face_gender_and_age(photos):
    sitters = defaultdict(set)
    for photo in photos:
        sitters[photo.name.split("_")[0]].add((photo.person, photo.name.split("_")[1], photo.name.split("_")[2]))
    assert {len(kinds) for kinds in sitters.values()} == {1}
    assert len({next(iter(kinds))[0] for kinds in sitters.values()}) == 60


@pytest.mark.parametrize("label", KOREAN)
def test_annotators_disagree_in_the_published_proportions(photos, label):
    votes = [photo.votes for photo in photos if photo.label == label and photo.defect != "unknown"]
    unanimous = np.mean([agreement(v) == (label, 3) for v in votes])
    agreed = np.mean([agreement(v)[0] == label and agreement(v)[1] >= 2 for v in votes])
    split = np.mean([agreement(v)[1] == 1 for v in votes])
    assert (unanimous, agreed, split) == pytest.approx(AGREEMENT[label], abs=0.02)


def test_one_photograph_in_seven_has_no_two_annotators_agreeing(photos):
    by_label = [
        np.mean([agreement(p.votes)[1] == 1 for p in photos if p.label == label and p.defect != "unknown"])
        for label in KOREAN
    ]
    assert np.mean(by_label) == pytest.approx(0.146, abs=0.01)


def test_sadness_and_hurt_are_taken_for_each_other(photos):
    for label, other in (("상처", "슬픔"), ("슬픔", "상처"), ("불안", "당황")):
        seen = Counter(vote for photo in photos if photo.label == label for vote in photo.votes if vote != label)
        assert seen.most_common(1)[0][0] == other


def test_some_votes_say_unknown(photos):
    votes = [vote for photo in photos if photo.defect != "unknown" for vote in photo.votes]
    assert 0 < votes.count(UNKNOWN) < 0.05 * len(votes)
    assert set(votes) <= {*KOREAN, UNKNOWN}


def test_the_face_shows_what_the_annotators_see(photos):
    smiles: dict[bool, list[float]] = {True: [], False: []}
    for photo in photos:
        if photo.label == "기쁨":
            smiles[agreement(photo.votes)[0] == "기쁨"].append(photo.expression.lip_corner_pull)
    assert np.mean(smiles[True]) > np.mean(smiles[False]) + 0.2


def test_orientations_and_suffixes_have_the_published_proportions(photos):
    turns = Counter(photo.orientation for photo in photos)
    for orientation, share in ORIENTATIONS.items():
        assert turns[orientation] / len(photos) == pytest.approx(share, abs=0.002)
    assert sum(p.name.endswith(".jpeg") for p in photos) / len(photos) == pytest.approx(0.015, abs=0.002)


def test_frames_have_one_to_three_megapixels_both_ways_up(photos):
    assert all(1_000_000 <= photo.size[0] * photo.size[1] <= 3_000_000 for photo in photos)
    upright = np.mean([photo.size[0] < photo.size[1] for photo in photos])
    assert 0.3 < upright < 0.7


@pytest.mark.parametrize("people", [6, 7, 12, 23, 24, 60])
def test_every_number_of_people_fills_all_classes_with_people_to_split(people):
    photos = plan(people, 1)
    for label in KOREAN:
        assert len({photo.name[:64] for photo in photos if photo.label == label}) >= min(6, people)
    assert {photo.defect for photo in photos} == {"", *DEFECTS}
