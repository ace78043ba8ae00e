import json
import subprocess
from typing import Any

import numpy as np
import pytest

from pyojeong.analysis.tracking import FORGET, HALF_LIFE, Tracker
from pyojeong.core.errors import InputError
from pyojeong.core.geometry import Box
from tests.conftest import REPOSITORY


def box(x: float, y: float = 0.0, side: float = 100.0) -> Box:
    return x, y, x + side, y + side


def values(*numbers: float) -> Any:
    return np.array(numbers, np.float32)


def test_a_face_keeps_its_number_while_it_moves() -> None:
    tracker = Tracker()
    for step in range(10):
        left, right = tracker.next([box(20 * step), box(600 - 20 * step)], [values(1, 0), values(0, 1)], step / 25)
        assert (left.id, right.id) == (1, 2)
        assert left.values.tolist() == [1, 0]
    (only,) = tracker.next([box(900)], [values(1, 0)], 0.5)
    assert only.id == 3


def test_probabilities_are_averaged_with_weights_that_halve() -> None:
    tracker = Tracker(0.5)
    (first,) = tracker.next([box(0)], [values(1, 0)], 10.0)
    (second,) = tracker.next([box(1)], [values(0, 1)], 10.5)
    (third,) = tracker.next([box(2)], [values(0, 1)], 11.5)
    assert first.values.tolist() == [1, 0]
    assert second.values.tolist() == [0.5, 0.5]
    assert third.values.tolist() == [0.125, 0.875]


def test_without_a_half_life_the_values_stay_and_faces_are_followed() -> None:
    tracker = Tracker(0)
    for step in range(3):
        (face,) = tracker.next([box(step)], [values(step, 1)], step / 10)
        assert (face.id, face.values.tolist()) == (1, [step, 1])


@pytest.mark.parametrize("half_life", [0.0, 0.1, 0.4])
def test_a_face_that_was_lost_is_known_again_for_four_half_lives(half_life: float) -> None:
    memory = FORGET * (half_life or HALF_LIFE)
    for gap, number in ((memory * 0.99, 1), (memory * 1.01, 2)):
        tracker = Tracker(half_life)
        tracker.next([box(0)], [values(1)], 0.0)
        # A face is forgotten at the first frame without it that is too late.
        tracker.next([], [], gap)
        (face,) = tracker.next([box(0)], [values(1)], gap)
        assert face.id == number


@pytest.mark.parametrize("half_life", [-0.1, float("nan"), float("inf")])
def test_a_half_life_out_of_range_is_refused(half_life: float) -> None:
    with pytest.raises(InputError, match="the half-life is"):
        Tracker(half_life)


def walk(seed: int) -> list[dict[str, Any]]:
    """Faces that wander, cross, leave and return, in frames at uneven times."""
    random = np.random.default_rng(seed)
    places = random.uniform(0, 300, (6, 2))
    time, frames = 0.0, []
    for _ in range(120):
        time += float(random.choice([0.01, 0.04, 0.2, 1.5]))
        places += random.normal(0, 15, places.shape)
        seen = random.permutation(6)[: random.integers(0, 7)]
        frames.append(
            {
                "time": time,
                "faces": [
                    {
                        "box": [*places[face], *(places[face] + 100 + 5 * face)],
                        "values": random.dirichlet(np.ones(7)).tolist(),
                    }
                    for face in seen
                ],
            }
        )
    return frames


@pytest.mark.heavy
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_browser_numbers_and_averages_alike(seed: int) -> None:
    frames, half_life = walk(seed), 0.3
    question = json.dumps(
        {"halfLife": 1000 * half_life, "frames": [frame | {"time": 1000 * frame["time"]} for frame in frames]}
    )
    program = REPOSITORY / "tests/analysis/smoothing.mjs"
    answer = subprocess.run(["node", program], input=question, capture_output=True, text=True, check=True)
    tracker, compared = Tracker(half_life), 0
    for frame, theirs in zip(frames, json.loads(answer.stdout), strict=True):
        faces = frame["faces"]
        ours = tracker.next(
            [tuple(face["box"]) for face in faces], [values(*face["values"]) for face in faces], frame["time"]
        )
        assert [track.id for track in ours] == [track["id"] for track in theirs]
        for track, other in zip(ours, theirs, strict=True):
            assert track.values == pytest.approx(other["values"], abs=1e-6)
            compared += 1
    assert compared > 200
    assert tracker.state()["count"] > 6, "some were lost, and came back as new faces"


def test_a_tracker_goes_on_from_its_state_as_json() -> None:
    whole, half = Tracker(), Tracker()
    for number, frame in enumerate(walk(3)):
        faces = frame["faces"]
        given = [tuple(face["box"]) for face in faces], [values(*face["values"]) for face in faces], frame["time"]
        if number == 60:
            state = json.loads(json.dumps(half.state()))
            half = Tracker()
            half.resume(**state)
        for one, other in zip(whole.next(*given), half.next(*given), strict=True):
            assert (one.id, one.values.tolist()) == (other.id, other.values.tolist())
