"""The port against the original library, run under Node, on synthetic photographs."""

from collections.abc import Iterator

import numpy as np
import pytest

from pyojeong.core.errors import InputError
from pyojeong.core.images import ImageError, Reduced, decode_reduced
from pyojeong.evaluation.contenders import PhotographAnswer
from pyojeong.faceapi import engines
from pyojeong.faceapi.detector import crop_rectangle
from pyojeong.faceapi.engines import FaceApiContender, NodeEngine, OnnxEngine
from tests.faceapi.faces import jpeg, portrait, scenes

SIZES = (160, 224, 320, 416, 608)
SCENES = list(scenes())


def both(contender: FaceApiContender, every: int) -> Iterator[tuple[str, PhotographAnswer, PhotographAnswer]]:
    node = NodeEngine(contender)
    port = OnnxEngine(contender, threads=1)
    try:
        for name, data, box in SCENES[::every]:
            given = [box, None, (box[0] - 37.3, box[1] - 1.5, box[0] + 20.2, box[3] + 9000)]
            yield name, port.analyze(data, given), node.analyze(data, given)
    finally:
        node.close()


def agree(contender: FaceApiContender, every: int = 1) -> int:
    """Assert that both engines agree on every scene (or every n-th); return the number of faces compared."""
    compared, flips = 0, 0
    for name, ours, theirs in both(contender, every):
        assert (ours.width, ours.height) == (theirs.width, theirs.height), name
        assert len(ours.faces) == len(theirs.faces), name
        for face, other in zip(ours.faces, theirs.faces, strict=True):
            assert face.box == pytest.approx(other.box, abs=1e-3), name
            assert face.score == pytest.approx(other.score, abs=1e-5), name
            frame = ours.width, ours.height
            if crop_rectangle(face.box, *frame) == crop_rectangle(other.box, *frame):
                assert face.probabilities == pytest.approx(other.probabilities, abs=1e-5), name
                compared += 1
            else:
                # A corner within 1e-3 px of a whole pixel: the crops differ by one row or column.
                flips += 1
        assert len(ours.given) == len(theirs.given) == 3
        for row, other_row in zip(ours.given, theirs.given, strict=True):
            assert (row is None) == (other_row is None), name
            assert row is None or row == pytest.approx(other_row, abs=1e-5), name
    assert flips <= 2
    return compared


def test_there_are_enough_different_scenes():
    assert len(SCENES) == len({name for name, _, _ in SCENES}) >= 40


@pytest.mark.parametrize("size", [pytest.param(size, marks=() if size == 416 else pytest.mark.slow) for size in SIZES])
def test_the_port_is_vladmandic_s_face_api(size):
    assert agree(FaceApiContender(input_size=size)) >= 20


@pytest.mark.parametrize(
    ("size", "every", "least"),
    [(160, 20, 1), *(pytest.param(*sizes, 3, marks=pytest.mark.slow) for sizes in ((160, 3), (416, 7)))],
)
def test_the_port_is_the_original_face_api(size, every, least):
    # Its JS backend takes seconds per photograph.
    assert agree(FaceApiContender(library="original", input_size=size), every) >= least


def test_the_node_engine_survives_unreadable_photographs():
    engine = FaceApiContender(engine="node").open()
    try:
        whole = jpeg(portrait(0)[0])
        with pytest.raises(ImageError) as caught:
            engine.analyze(whole[: len(whole) // 2])
        assert caught.value.reason == "corrupt"
        with pytest.raises(ImageError) as caught:
            engine.analyze(b"no image at all")
        assert caught.value.reason == "not_an_image"
        assert len(engine.analyze(whole).faces) == 1
    finally:
        engine.close()


def test_a_node_process_that_ends_costs_one_photograph():
    engine = NodeEngine(FaceApiContender())
    try:
        data = jpeg(portrait(0)[0])
        engine._process.kill()
        with pytest.raises(ImageError, match="process ended"):
            engine.analyze(data)
        assert len(engine.analyze(data).faces) == 1
    finally:
        engine.close()


def test_without_node_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"Node\.js 20"):
        NodeEngine(FaceApiContender())


def test_scaled_decoding_finds_the_same_faces_with_fewer_pixels():
    pixels, box = portrait(0, (1500, 2000))
    for orientation in range(1, 9):
        data = jpeg(pixels if orientation < 5 else pixels.swapaxes(0, 1), orientation)
        exact = OnnxEngine(FaceApiContender(), 1).analyze(data, [box])
        scaled = OnnxEngine(FaceApiContender(decode="scaled"), 1).analyze(data, [box])
        assert (scaled.width, scaled.height) == (exact.width, exact.height)
        assert len(scaled.faces) == len(exact.faces)
        for face, other in zip(scaled.faces, exact.faces, strict=True):
            assert face.box == pytest.approx(other.box, abs=0.02 * exact.height)
        assert scaled.given[0] == pytest.approx(exact.given[0], abs=0.25)


def test_a_small_face_in_a_large_frame_is_decoded_again_for_its_expression(monkeypatch):
    frame = np.full((2400, 3200, 3), 200, np.uint8)
    frame[800:1440, 1000:1480] = portrait(0)[0]
    divisors = []

    def watched(data: bytes, at_least: tuple[int, int] | None, **options: bool) -> Reduced:
        reduced = decode_reduced(data, at_least, **options)
        divisors.append(reduced.divisor)
        return reduced

    monkeypatch.setattr(engines, "decode_reduced", watched)
    (face,) = OnnxEngine(FaceApiContender(input_size=608, decode="scaled"), 1).analyze(jpeg(frame)).faces
    side = max(face.box[2] - face.box[0], face.box[3] - face.box[1])
    assert divisors == [4, 2]
    assert side / 4 < 112 <= side / 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"engine": "tensorflow"}, "onnx, node"),
        ({"decode": "fast"}, "exact, scaled"),
        ({"engine": "node", "decode": "scaled"}, "decodes in full"),
        ({"input_size": 417}, "multiple of 32"),
    ],
)
def test_invalid_options_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        FaceApiContender(**options)
