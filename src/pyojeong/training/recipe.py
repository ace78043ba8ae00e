"""Everything that decides what a training run learns: one flat, frozen set of values, saved beside its run."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from pyojeong.core.errors import InputError
from pyojeong.core.geometry import ASPECTS, MARGIN

_CHOICES = {"mode": ("probe", "finetune"), "schedule": ("constant", "cosine"), "box": ("annotator", "detector")}

FACE_NETWORKS = ("dlib", "vggface2")
"""The teachers that know faces, see ``pyojeong.model.teacher``."""

TEACHERS = (*FACE_NETWORKS, "own")

_TEXTS = ("weights", "teachers", "teacher_weights")

_RANGES = {
    "epochs": (1, 10_000),
    "batch": (2, 1_000_000),
    "lr_head": (0, 10),
    "lr_backbone": (0, 10),
    "seed": (0, 2**32 - 1),
    "weight_decay": (0, 10),
    "head_until": (0, 1),
    "top_until": (0, 1),
    "warmup": (0, 0.9),
    "label_smoothing": (0, 0.9),
    "ema": (0, 0.99999),
    "clip": (0, 1e9),
    "flip": (0, 1),
    "rotate": (0, 180),
    "scale": (0, 0.5),
    "stretch": (0, 1),
    "shift": (0, 0.5),
    "color": (0, 0.9),
    "gray": (0, 1),
    "low_resolution": (0, 1),
    "jpeg": (0, 1),
    "erase": (0, 1),
    "balance": (0, 1),
    "draws": (0, 1_000_000_000),
    "votes": (0, 1),
    "teacher_epochs": (0, 10_000),
    "teacher_lr": (0, 10),
    "teacher_strength": (0, 1),
    "distil": (0, 1),
    "margin": (-0.4, 2),
    "offset": (-1, 1),
    "aspect": ASPECTS,
}

_AUGMENTATION = ("flip", "rotate", "scale", "stretch", "shift", "color", "gray", "low_resolution", "jpeg", "erase")

_BACKBONE = ("lr_backbone", "head_until", "top_until")

_TEACHING = ("distil", "teacher_weights", "teacher_epochs", "teacher_lr", "teacher_strength")

_PROBE = {"epochs": 5, "lr_head": 7e-4} | dict.fromkeys(_AUGMENTATION, 0.0)


@dataclass(frozen=True)
class Recipe:
    """How a run learns; the defaults are the published finetune, ``Recipe.of("probe", {})`` the published probe.

    Attributes:
        mode: ``probe`` trains the head on the frozen backbone's features, ``finetune`` unfreezes in stages.
        epochs: passes over the training set.
        batch: images per step, at most; an epoch is cut into steps of equal size.
        lr_head: AdamW's learning rate for ``classifier``.
        lr_backbone: the same for ``features``.
        seed: decides new weights, order, dropout and augmentation.
        weights: where the backbone starts: ``imagenet``, ``random`` or a file.
        weight_decay: AdamW's.
        head_until: share of the epochs in which only the head learns (rounded down).
        top_until: share of the epochs after which everything learns; in between the head and the last two blocks.
        schedule: ``constant``, or ``cosine`` down to zero over all steps after the warmup.
        warmup: share of all steps over which the learning rates rise in a straight line, from a 25th.
        label_smoothing: share of the target spread over all classes.
        ema: decay per step of the averaged weights that are validated and kept; 0 keeps the weights as they are.
        clip: largest norm of all gradients together; 0 leaves them as they are.
        flip: probability of a mirrored image.
        rotate: at most so many degrees.
        scale: at most so much larger or smaller, as a share.
        stretch: at most so much taller or flatter, as a share. Crops that were aligned on eyes and mouth, as RAF-DB's,
            have not the shape of those around a box.
        shift: at most so far, as a share of the side.
        color: brightness, contrast and saturation each by at most this share.
        gray: probability of a gray image.
        low_resolution: probability of an image reduced to 20..80 pixels and enlarged again.
        jpeg: probability of an image that went through a JPEG file of quality 20..80.
        erase: probability that a random rectangle is blanked.
        balance: 0 shows every training image once an epoch; above 0 images are drawn so that every data set (column
            ``set`` of the CSV) comes equally often, each with the validation set's class shares to the power
            1 - balance. Then no class tells where an image comes from, and at 1 all classes come equally often.
        draws: images an epoch where they are drawn; 0 is the number of training images.
        votes: share of the target that goes to the annotators' votes (columns ``votes_<label>``), where a row has any.
        teachers: which networks are trained before the last one, as words in their order. They learn from the labels
            alone, so that each errs in its own way; the last one also learns from the mean of the probabilities that
            they give to an image as it was changed (Hinton et al., "Distilling the Knowledge in a Neural Network",
            2015; on the same view: Beyer et al., "Knowledge distillation: A good teacher is patient and consistent",
            2022). ``dlib`` and ``vggface2`` are larger networks that know faces (``model.teacher``), ``own`` is
            one of the last one's kind (Furlanello et al., "Born-Again Neural Networks", 2018).
        teacher_weights: the file that ``vggface2`` starts from, made by ``scripts/vggface2.py``; like ``weights``, its
            path starts from the current folder.
        teacher_epochs: their epochs; 0 is as many as the last network has.
        teacher_lr: the learning rate of the face networks' features; they have no BatchNorm that would bear a larger
            one.
        teacher_strength: share of every augmentation's strength, but for ``flip`` and ``stretch``, that they are
            trained with; one that sees faces more as they are knows them better.
        distil: share of the target that comes from the teachers.
        margin: the crops' margin, see ``geometry.MARGIN``. A CSV with boxes is cropped with it; crops cut before
            are expected to have it. Whoever runs the model cuts its input with it.
        offset: how far the crops' center lies below the box's, as a share of its longer side; used as ``margin`` is.
        aspect: width / height of what a crop shows of a photograph before it is resized to a square; used as
            ``margin`` is.
        box: whose box ``margin`` and ``offset`` start from: ``annotator`` (AI Hub's) or ``detector``
            (TinyFaceDetector's).
    """

    mode: str = "finetune"
    epochs: int = 30
    batch: int = 1024
    lr_head: float = 5e-4
    lr_backbone: float = 1e-4
    seed: int = 1337
    weights: str = "imagenet"
    weight_decay: float = 0.01
    head_until: float = 0.1
    top_until: float = 0.3
    schedule: str = "constant"
    warmup: float = 0.0
    label_smoothing: float = 0.0
    ema: float = 0.0
    clip: float = 0.0
    flip: float = 0.5
    rotate: float = 10.0
    scale: float = 0.1
    stretch: float = 0.0
    shift: float = 0.05
    color: float = 0.2
    gray: float = 0.05
    low_resolution: float = 0.0
    jpeg: float = 0.0
    erase: float = 0.1
    balance: float = 0.0
    draws: int = 0
    votes: float = 0.0
    teachers: str = ""
    teacher_weights: str = ""
    teacher_epochs: int = 0
    teacher_lr: float = 2e-4
    teacher_strength: float = 1.0
    distil: float = 0.5
    margin: float = MARGIN
    offset: float = 0.0
    aspect: float = 1.0
    box: str = "annotator"

    @classmethod
    def of(cls, mode: str, options: Mapping[str, Any]) -> "Recipe":
        """Return the published recipe for ``mode`` with ``options`` in place of its values; None means unchanged.

        Raises InputError for an unknown key, a value of the wrong kind or out of range, and for augmentation in
        a probe, whose features are computed once.
        """
        _require_known(options)
        given = {name: value for name, value in options.items() if value is not None}
        values = {**asdict(cls()), **(_PROBE if mode == "probe" else {}), **given, "mode": mode}
        return cls(**{name: _checked(name, value) for name, value in values.items()})._coherent()

    def stage(self, epoch: int) -> str:
        """Return what learns in ``epoch`` (counted from 0): ``head``, ``top`` (and head) or ``all``."""
        if self.mode == "probe" or epoch < int(self.head_until * self.epochs):
            return "head"
        return "top" if epoch < int(self.top_until * self.epochs) else "all"

    @property
    def augments(self) -> bool:
        """Whether training images are changed at random."""
        return any(getattr(self, name) > 0 for name in _AUGMENTATION)

    @property
    def teacher_kinds(self) -> list[str]:
        """The teachers, one word for each."""
        return self.teachers.split()

    def kind(self, number: int) -> str:
        """Return what network ``number`` (counted from 1) is: one of ``TEACHERS``, and ``own`` for the last."""
        return [*self.teacher_kinds, "own"][number - 1]

    def of_network(self, number: int) -> "Recipe":
        """Return what network ``number`` (counted from 1: first the teachers, then the last) is trained with."""
        own: dict[str, Any] = {"seed": self.seed + number - 1}
        if number <= len(self.teacher_kinds):
            own["epochs"] = self.teacher_epochs or self.epochs
            # Mirror images are no worse, and how far crops are squashed is no matter of strength.
            scaled = [name for name in _AUGMENTATION if name not in ("flip", "stretch")]
            own |= {name: getattr(self, name) * self.teacher_strength for name in scaled}
        if self.kind(number) in FACE_NETWORKS:
            own |= {"lr_backbone": self.teacher_lr, "head_until": 0.0, "top_until": 0.0}
        return replace(self, **own)

    def require_effect(self, names: Iterable[str]) -> None:
        """Raise InputError where one of ``names`` is a field that this recipe never looks at."""
        idle = dict.fromkeys(_TEACHING, "without teachers") if not self.teachers else {}
        if self.mode == "probe":
            idle |= dict.fromkeys(_BACKBONE, "in a probe, whose backbone stays as it is")
        if found := sorted(set(names) & set(idle)):
            raise InputError(f"{found[0]} has no effect {idle[found[0]]}; leave it out")

    def require_crops(self, margin: float) -> None:
        """Raise InputError where the recipe wants other crops than ``prepare`` cuts with ``margin``."""
        wanted = (self.margin, self.offset, self.aspect, self.box)
        if wanted != (margin, 0.0, 1.0, "annotator"):
            raise InputError(
                f"the crops in data_shared have margin {margin:g} around annotators' boxes, and the recipe wants "
                "margin {:g}, offset {:g}, aspect {:g}, box {}; leave these out, or train on the tables in "
                "data_shared/splits_csv, from whose photographs such crops are cut".format(*wanted)
            )

    def _coherent(self) -> "Recipe":
        if self.mode == "probe" and self.augments:
            on = [name for name in _AUGMENTATION if getattr(self, name) > 0]
            raise InputError(f"a probe computes its features once, so {', '.join(on)} cannot be used; leave it out")
        if self.mode == "probe" and self.teachers:
            raise InputError("teachers look at images, and a probe keeps only features; leave teachers out")
        if "vggface2" in self.teacher_kinds and not self.teacher_weights:
            raise InputError("the teacher vggface2 needs teacher_weights, the file that scripts/vggface2.py writes")
        if self.draws and not self.balance:
            raise InputError("draws says how many images are drawn, but without balance none are; set balance as well")
        return self


def read_options(pairs: Sequence[str], flags: Set[str]) -> dict[str, Any]:
    """Read KEY=VALUE words: numbers become numbers, everything else stays text for ``Recipe.of`` to judge.

    Raises InputError for a word without ``=``, for a key that is no field of ``Recipe``, and for one of ``flags``, the
    fields that the command line sets otherwise.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InputError(f"--set {pair!r} is not KEY=VALUE")
        options[key] = value if key in _TEXTS else _number(value)
    _require_known(options)
    if taken := sorted(set(options) & flags):
        raise InputError(f"--set {taken[0]}: this option has a flag of its own, --{taken[0].replace('_', '-')}")
    return options


def _require_known(names: Iterable[str]) -> None:
    known = {field.name for field in fields(Recipe)}
    if unknown := sorted(set(names) - known):
        raise InputError(f"unknown training option {', '.join(unknown)}; there are {', '.join(sorted(known))}")


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _checked(name: str, value: Any) -> Any:
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise InputError(f"training option {name} is {value!r}; choose one of {', '.join(_CHOICES[name])}")
        return value
    if name == "teachers" and (unknown := sorted(set(str(value).split()) - set(TEACHERS))):
        raise InputError(f"training option teachers names {', '.join(unknown)}; choose from {', '.join(TEACHERS)}")
    if name in _TEXTS:
        return str(value)
    kind = type(getattr(Recipe, name))
    low, high = _RANGES[name]
    if isinstance(value, bool) or not isinstance(value, int | kind) or not low <= value <= high:
        word = "a whole number" if kind is int else "a number"
        raise InputError(f"training option {name} is {value!r}; it must be {word} from {low} to {high}")
    return kind(value)
