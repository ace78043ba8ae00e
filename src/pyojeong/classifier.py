"""The trained model in Python: an image and a face box in, probabilities by class name out. No PyTorch needed."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pyojeong.core import geometry
from pyojeong.core.errors import InputError
from pyojeong.core.images import Pixels

_AT_ONCE = 64
_FACTS = ("classes", "scheme", "margin", "offset", "box", "version")


class Classifier:
    """An ONNX file of ``pyojeong export``; one instance may be used from several threads.

    Args:
        model: the file.
        threads: threads of one call; 0 leaves the choice to onnxruntime.

    Attributes:
        classes: class names in output order.
        scheme: name of the label scheme.
        margin: of the crop that the network wants, see ``geometry.patch_region``.
        offset: of that crop.
        aspect: of that crop; 1 where the file does not say.
        box: the kind of box that margin and offset refer to, of ``geometry.BOX_KINDS``.
        version: of the package that wrote the file.

    Raises:
        InputError: the file is missing, damaged, or was not written by ``pyojeong export``.
    """

    def __init__(self, model: Path, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Weights in 8 bits are expanded once, here, and not at each run.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        if not model.is_file():
            raise InputError(f"{model}: no such file; make one with pyojeong export")
        try:
            providers = ["CPUExecutionProvider"]
            self._session = onnxruntime.InferenceSession(model, options, providers=providers)
        except Exception as error:  # onnxruntime's own exceptions share no base class
            raise InputError(f"{model}: not readable as ONNX ({str(error).splitlines()[0]})") from None
        facts = self._session.get_modelmeta().custom_metadata_map
        missing = [name for name in _FACTS if name not in facts]
        if missing:
            raise InputError(
                f"{model}: without {', '.join(missing)} in its metadata; make it with this version's pyojeong export"
            )
        if facts["box"] not in geometry.BOX_KINDS:
            raise InputError(
                f"{model}: wants boxes of kind {facts['box']!r}, which this version does not know; update it"
            )
        self.classes = _classes(facts["classes"], self._session.get_outputs()[0].shape[-1], model)
        self.scheme = facts["scheme"]
        self.margin = _number(facts, "margin", model)
        self.offset = _number(facts, "offset", model)
        self.aspect = _aspect(facts, model)
        self.box = facts["box"]
        self.version = facts["version"]

    def predict(
        self, image: Pixels, box: Sequence[float] | None = None, *, box_kind: str | None = None
    ) -> dict[str, float]:
        """Return the probability (0..1) of each class.

        Args:
            image: upright RGB, uint8 [H, W, 3], as ``images.decode`` gives it.
            box: the face: minX, minY, maxX, maxY in pixels. None takes the whole image as a finished crop,
                which is square whatever the model's aspect; where it is not, black is added.
            box_kind: ``annotator`` or ``detector``: whose box it is, see ``geometry.BOX_KINDS``. A box of the other
                kind than the model's own is converted; None means the model's own.

        Raises:
            ValueError: the image is not uint8 [H, W, 3], the box has no area, or there is no such kind of box.
        """
        (row,) = self.predict_patches([self.patch(image, box, box_kind=box_kind)])
        return dict(zip(self.classes, map(float, row), strict=True))

    def patch(self, image: Pixels, box: Sequence[float] | None = None, *, box_kind: str | None = None) -> Pixels:
        """Return the patch, uint8 [H, W, 3], that the network sees for ``box``; see ``predict``."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"an image is uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")
        height, width = image.shape[:2]
        whole = geometry.patch_region((0, 0, width, height), 0)
        return geometry.cut(image, whole if box is None else self.region(box, box_kind))

    def region(self, box: Sequence[float], box_kind: str | None = None) -> geometry.Region:
        """Return (x, y, width, height) in whole pixels of what the network sees for ``box``; see ``predict``."""
        own = geometry.box_as(self.box, box, self.box if box_kind is None else box_kind)
        return geometry.patch_region(own, self.margin, self.offset, self.aspect)

    def predict_patches(self, patches: Sequence[Pixels]) -> NDArray[np.float32]:
        """Return probabilities, float32 [N, K], of face patches uint8 [H, W, 3], each of any size."""
        result = np.empty((len(patches), len(self.classes)), np.float32)
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for index, patch in enumerate(patches):
            by_shape.setdefault(patch.shape, []).append(index)
        for indices in by_shape.values():
            for start in range(0, len(indices), _AT_ONCE):
                some = indices[start : start + _AT_ONCE]
                image = np.stack([patches[index] for index in some])
                result[some] = np.asarray(self._session.run(None, {"image": image})[0])
        return result


def _classes(text: str, outputs: object, model: Path) -> tuple[str, ...]:
    try:
        classes = json.loads(text)
    except ValueError:
        classes = None
    if not isinstance(classes, list) or (isinstance(outputs, int) and len(classes) != outputs):
        raise InputError(f"{model}: names the classes {text!r} for {outputs} outputs; export it again")
    return tuple(classes)


def _number(facts: Mapping[str, str], name: str, model: Path) -> float:
    try:
        value = float(facts[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{model}: wants crops of {name} {facts[name]!r}, a number is needed; export it")
    return value


def _aspect(facts: Mapping[str, str], model: Path) -> float:
    text = facts.get("aspect", "1")
    try:
        aspect = float(text)
    except ValueError:
        aspect = math.nan
    low, high = geometry.ASPECTS
    if not low <= aspect <= high:
        raise InputError(f"{model}: wants crops of aspect {text!r}, a number from {low} to {high} is needed; export it")
    return aspect
