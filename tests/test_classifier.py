import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pyojeong.classifier import Classifier
from pyojeong.core import geometry
from pyojeong.core.alignment import cut_turned, face_points, turned_region
from pyojeong.core.errors import InputError
from pyojeong.core.geometry import Framing

FACTS = {
    "classes": json.dumps(["red", "green", "blue"]),
    "scheme": "K7",
    "margin": "0.5",
    "offset": "0.0",
    "box_kind": "annotator",
    "version": "9",
}


def write_means(path: Path, facts: Mapping[str, str] = FACTS) -> Path:
    """Write a graph that answers with the mean of each channel, so that a test can see which pixels came in."""
    nodes = [
        helper.make_node("Slice", ["image", "zero", "three", "three"], ["rgb"]),
        helper.make_node("Cast", ["rgb"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["levels", "plane"], ["probabilities"], keepdims=0),
    ]
    constants = {"zero": [0], "three": [3], "plane": [1, 2]}
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", "H", "W", "C"])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(np.array(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, dict(facts))
    onnx.save(model, path)
    return path


@pytest.fixture
def classifier(tmp_path: Path) -> Classifier:
    return Classifier(write_means(tmp_path / "means.onnx"), threads=1)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


@pytest.mark.parametrize("threshold", ["-0.1", "1.5", "high", "nan"])
def test_a_threshold_that_is_no_probability_is_refused(threshold: str, tmp_path: Path) -> None:
    file = write_means(tmp_path / "a.onnx", FACTS | {"unsure_below": threshold})
    with pytest.raises(InputError, match=rf"a\.onnx: its unsure_below is '{threshold}', not a probability"):
        Classifier(file)


def test_colors_and_threshold_come_with_the_file(tmp_path: Path) -> None:
    file = write_means(tmp_path / "a.onnx", FACTS | {"unsure_below": "0.4", "colors": '{"red": "#ff0000"}'})
    assert (Classifier(file).unsure_below, Classifier(file).colors) == (0.4, {"red": "#ff0000"})
    plain = Classifier(write_means(tmp_path / "b.onnx"))
    assert (plain.unsure_below, plain.colors) == (0, {})


def test_the_file_says_what_it_is(classifier: Classifier) -> None:
    assert classifier.classes == ("red", "green", "blue")
    assert (classifier.scheme, classifier.version) == ("K7", "9")
    assert classifier.framing == Framing(0.5, 0.0, 1.0, "annotator"), "aspect is 1 in files without one"


def test_a_box_is_cut_with_the_margin_of_the_model(classifier: Classifier, image: np.ndarray) -> None:
    box = (40.0, 20.0, 60.0, 45.0)
    expected = geometry.cut(image, geometry.patch_region(box, 0.5))
    answer = classifier.predict(image, box)

    assert list(answer) == ["red", "green", "blue"]
    assert list(answer.values()) == pytest.approx(expected.mean((0, 1)), rel=1e-5)
    assert np.array_equal(classifier.patch(image, box), expected)


@pytest.mark.parametrize("box", [(40, 20, 60, 45), (-5, 30, 20, 58), (70, 40, 99, 70), (3.2, 4.7, 3.9, 4.9)])
@pytest.mark.parametrize("aspect", [0.5, 0.76, 2.0])
def test_a_patch_has_the_aspect_of_the_model(
    box: tuple[float, ...], aspect: float, tmp_path: Path, image: np.ndarray
) -> None:
    classifier = Classifier(write_means(tmp_path / "means.onnx", FACTS | {"aspect": repr(aspect)}), threads=1)
    region = geometry.patch_region(box, 0.5, 0.0, aspect)
    expected = geometry.cut(image, region)

    assert classifier.framing.aspect == aspect
    assert classifier.framing.region(box) == region
    assert np.array_equal(classifier.patch(image, box), expected)
    assert list(classifier.predict(image, box).values()) == pytest.approx(expected.mean((0, 1)), rel=1e-5)
    assert classifier.patch(image).shape == (90, 90, 3), "a finished crop is square"


def test_a_box_of_the_other_kind_is_converted(tmp_path: Path, image: np.ndarray) -> None:
    box = (30.0, 20.0, 50.0, 36.8)
    for own, other, convert in (
        ("annotator", "detector", geometry.annotator_box),
        ("detector", "annotator", geometry.detector_box),
    ):
        facts = FACTS | {"box_kind": own, "margin": "-0.1", "offset": "-0.25", "aspect": "0.8"}
        classifier = Classifier(write_means(tmp_path / f"{own}.onnx", facts), threads=1)
        same = geometry.cut(image, geometry.patch_region(box, -0.1, -0.25, 0.8))
        converted = geometry.cut(image, geometry.patch_region(convert(box), -0.1, -0.25, 0.8))

        assert np.array_equal(classifier.patch(image, box), same)
        assert np.array_equal(classifier.patch(image, box, box_kind=own), same)
        assert np.array_equal(classifier.patch(image, box, box_kind=other), converted)
        answer = classifier.predict(image, box, box_kind=other)
        assert list(answer.values()) == pytest.approx(converted.mean((0, 1)), rel=1e-5)
        assert same.mean() != pytest.approx(converted.mean(), rel=1e-3)
        with pytest.raises(ValueError, match="annotator or detector or blazeface"):
            classifier.predict(image, box, box_kind="mine")


LANDMARKS = [(30.0, 22.0), (44.0, 26.0), (35.0, 31.0), (33.0, 38.0), (24.0, 24.0), (52.0, 31.0)]


def test_landmarks_turn_the_patch_of_a_model_that_is_aligned_by_them(tmp_path: Path, image: np.ndarray) -> None:
    classifier = Classifier(write_means(tmp_path / "means.onnx", FACTS | {"aligned_by": "landmarks"}), threads=1)
    box = (20.0, 15.0, 56.0, 51.0)
    turned = cut_turned(image, turned_region(face_points(LANDMARKS)))

    assert classifier.framing.aligned_by == "landmarks"
    assert np.array_equal(classifier.patch(image, box, landmarks=LANDMARKS), turned)
    answer = classifier.predict(image, box, landmarks=LANDMARKS)
    assert list(answer.values()) == pytest.approx(turned.mean((0, 1)), rel=1e-5)
    assert np.array_equal(classifier.patch(image, box), geometry.cut(image, geometry.patch_region(box, 0.5)))
    with pytest.raises(ValueError, match="do not span a face"):
        classifier.patch(image, box, landmarks=[(1.0, 1.0)] * 6)


def test_landmarks_mean_nothing_to_a_model_that_is_aligned_by_boxes(classifier: Classifier, image: np.ndarray) -> None:
    box = (20.0, 15.0, 56.0, 51.0)
    assert classifier.framing.aligned_by == "box", "in files that do not say"
    assert np.array_equal(classifier.patch(image, box, landmarks=LANDMARKS), classifier.patch(image, box))


def test_a_box_of_our_detector_is_converted(classifier: Classifier, image: np.ndarray) -> None:
    box = (30.0, 20.0, 50.0, 40.0)
    drawn = geometry.annotator_box(box, "blazeface")
    expected = geometry.cut(image, geometry.patch_region(drawn, 0.5))
    assert np.array_equal(classifier.patch(image, box, box_kind="blazeface"), expected)


def test_without_a_box_the_whole_image_is_the_patch(classifier: Classifier, image: np.ndarray) -> None:
    assert list(classifier.predict(image[:, :60]).values()) == pytest.approx(image[:, :60].mean((0, 1)), rel=1e-5)
    padded = image.sum((0, 1)) / 90**2
    assert list(classifier.predict(image).values()) == pytest.approx(padded, rel=1e-5)


def test_patches_of_every_size_keep_their_order(classifier: Classifier) -> None:
    generator = np.random.default_rng(1)
    sizes = [(5, 5), (9, 9), (5, 5), (5, 7), (7, 5), (9, 9), *[(5, 5)] * 69]
    patches = [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    found = classifier.predict_patches(patches)

    assert found.shape == (75, 3)
    assert found.dtype == np.float32
    assert found == pytest.approx(np.stack([patch.mean((0, 1)) for patch in patches]), rel=1e-5)
    assert classifier.predict_patches([]).shape == (0, 3)


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_what_is_no_image_is_refused(classifier: Classifier, bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8"):
        classifier.predict(bad)


def test_a_box_without_area_is_refused(classifier: Classifier, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="no area"):
        classifier.predict(image, (10, 10, 10, 20))


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    (tmp_path / "damaged.onnx").write_bytes(b"no graph")
    old = {name: value for name, value in FACTS.items() if name not in ("offset", "box_kind")}
    write_means(tmp_path / "old.onnx", old)
    write_means(tmp_path / "newer.onnx", FACTS | {"box_kind": "mask"})
    write_means(tmp_path / "newest.onnx", FACTS | {"aligned_by": "ears"})

    with pytest.raises(InputError, match=r"absent\.onnx: no such file; make one with pyojeong export"):
        Classifier(tmp_path / "absent.onnx")
    with pytest.raises(InputError, match=r"damaged\.onnx: not readable as ONNX"):
        Classifier(tmp_path / "damaged.onnx")
    with pytest.raises(InputError, match=r"old\.onnx: no offset, box_kind in its metadata; export it again"):
        Classifier(tmp_path / "old.onnx")
    with pytest.raises(InputError, match=r"newer\.onnx: needs boxes of kind 'mask'"):
        Classifier(tmp_path / "newer.onnx")
    with pytest.raises(InputError, match=r"newest\.onnx: is aligned by 'ears', which this version does not know"):
        Classifier(tmp_path / "newest.onnx")


@pytest.mark.parametrize("aspect", ["0.49", "2.01", "0", "-1", "nan", "inf", "wide", ""])
def test_an_aspect_that_cannot_be_is_refused(aspect: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"means\.onnx: its crop aspect is .* from 0\.5 to 2\.0"):
        Classifier(write_means(tmp_path / "means.onnx", FACTS | {"aspect": aspect}))


@pytest.mark.parametrize("name", ["margin", "offset"])
@pytest.mark.parametrize("value", ["nan", "inf", "wide", ""])
def test_a_crop_that_is_no_number_is_refused(name: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"means\.onnx: its crop {name} is .*, not a number;"):
        Classifier(write_means(tmp_path / "means.onnx", FACTS | {name: value}))
