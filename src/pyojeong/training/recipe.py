"""Every value that decides what a training run learns, as one flat frozen dataclass that is saved with the run."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pyojeong.core.errors import InputError, check_choice
from pyojeong.core.geometry import ALIGNMENTS, ASPECTS, BOX_KINDS, MARGIN, Framing

FACE_NETWORKS = ("dlib", "vggface2")
"""Teachers that were pretrained on faces, see ``pyojeong.model.teacher``."""

TEACHERS = (*FACE_NETWORKS, "own", "start")

_AUGMENTATION = ("flip", "rotate", "scale", "stretch", "shift", "color", "gray", "low_resolution", "jpeg", "erase")
_BACKBONE = ("lr_backbone", "head_until", "top_until")
_TEACHING = ("distil", "teacher_weights", "teacher_epochs", "teacher_lr", "teacher_strength")
_PROBE = {"epochs": 5, "lr_head": 7e-4} | dict.fromkeys(_AUGMENTATION, 0.0)


def _number(default: float, low: float, high: float) -> Any:
    return field(default=default, metadata={"range": (low, high)})


def _choice(default: str, choices: Sequence[str]) -> Any:
    return field(default=default, metadata={"choices": choices})


@dataclass(frozen=True)
class TrainingTables:
    """The three CSVs of a run, see ``pyojeong.core.table``; with box columns their images are whole photographs.

    Attributes:
        train: crops to learn from.
        val: crops that choose the epoch and the temperature.
        test: crops that choose nothing and are scored once.
        box_kind: the kind of box in the tables, one of ``geometry.BOX_KINDS``.
    """

    train: str | Path
    val: str | Path
    test: str | Path
    box_kind: str = "annotator"

    def __post_init__(self) -> None:
        check_choice("kind of box", self.box_kind, BOX_KINDS)


@dataclass(frozen=True)
class Recipe:
    """How a run learns.

    The defaults are the published finetune; ``Recipe.of("probe", {})`` is the published probe. ``Recipe.of`` checks
    every value against the range or the choices that its field states here.
    """

    mode: str = _choice("finetune", ("probe", "finetune"))
    """``probe`` trains the head on the frozen backbone's features; ``finetune`` unfreezes the backbone in stages."""

    epochs: int = _number(30, 1, 10_000)
    """Passes over the training set."""

    batch: int = _number(1024, 2, 1_000_000)
    """Largest number of images per step; an epoch is cut into steps of equal size."""

    lr_head: float = _number(5e-4, 0, 10)
    """AdamW's learning rate for ``classifier``."""

    lr_backbone: float = _number(1e-4, 0, 10)
    """AdamW's learning rate for ``features``."""

    seed: int = _number(1337, 0, 2**32 - 1)
    """Seeds new weights, the order of images, dropout and augmentation."""

    weights: str = "imagenet"
    """Initial weights of the backbone: ``imagenet``, ``shipped`` (the package's own model), ``random`` or a file."""

    weight_decay: float = _number(0.01, 0, 10)
    """AdamW's weight decay."""

    head_until: float = _number(0.1, 0, 1)
    """Share of the epochs (rounded down) in which only the head learns."""

    top_until: float = _number(0.3, 0, 1)
    """Share of the epochs after which everything learns; before that, the head and the last two blocks."""

    schedule: str = _choice("constant", ("constant", "cosine"))
    """Learning rate after the warmup: ``constant``, or ``cosine`` down to zero."""

    warmup: float = _number(0.0, 0, 0.9)
    """Share of all steps over which the learning rate rises linearly from 1/25."""

    label_smoothing: float = _number(0.0, 0, 0.9)
    """Share of the target spread over all classes."""

    ema: float = _number(0.0, 0, 0.99999)
    """Decay per step of the averaged weights that are validated and kept; 0 turns averaging off."""

    clip: float = _number(0.0, 0, 1e9)
    """Largest norm of all gradients together; 0 turns clipping off."""

    flip: float = _number(0.5, 0, 1)
    """Probability of a horizontal flip."""

    rotate: float = _number(10.0, 0, 180)
    """Largest rotation in degrees."""

    scale: float = _number(0.1, 0, 0.5)
    """Largest change of size, as a share."""

    stretch: float = _number(0.0, 0, 1)
    """Largest change of height alone, as a share. Crops aligned on eyes and mouth, such as RAF-DB's, have other
    proportions than crops around a box."""

    shift: float = _number(0.05, 0, 0.5)
    """Largest shift, as a share of the side."""

    color: float = _number(0.2, 0, 0.9)
    """Largest change of brightness, contrast and saturation, each as a share."""

    gray: float = _number(0.05, 0, 1)
    """Probability of a gray image."""

    low_resolution: float = _number(0.0, 0, 1)
    """Probability of an image that is reduced to 20..80 pixels and enlarged again."""

    jpeg: float = _number(0.0, 0, 1)
    """Probability of an image that is compressed as a JPEG of quality 20..80."""

    erase: float = _number(0.1, 0, 1)
    """Probability that a random rectangle is blanked."""

    balance: float = _number(0.0, 0, 1)
    """At 0 every training image is shown once per epoch. Above 0 images are sampled so that every data set (column
    ``set`` of the CSV) comes equally often, each with the validation set's class shares to the power 1 - balance. The
    class then does not reveal the data set, and at 1 all classes come equally often."""

    set_weights: str = ""
    """How often each data set comes where images are sampled, as words NAME:NUMBER; any other set has the weight 1."""

    draws: int = _number(0, 0, 1_000_000_000)
    """Images per epoch where they are sampled; 0 is the number of training images."""

    votes: float = _number(0.0, 0, 1)
    """Share of the target given to the annotators' votes (columns ``votes_<label>``), in rows that have any."""

    set_votes: str = ""
    """That share for single data sets, as words NAME:SHARE; any other set has ``votes``."""

    teachers: str = ""
    """Networks trained before the last one, as words in their order. They learn from the labels alone; the last network
    also learns from the mean of their probabilities for the same augmented image (Hinton et al., "Distilling the
    Knowledge in a Neural Network", 2015; on using the same view: Beyer et al., "Knowledge distillation: A good teacher
    is patient and consistent", 2022). ``dlib`` and ``vggface2`` are larger networks pretrained on faces
    (``pyojeong.model.teacher``); ``own`` has the architecture of the last network (Furlanello et al., "Born-Again
    Neural Networks", 2018). ``start`` is not trained: it is the network that the last one begins from, whose answers
    keep the last one from forgetting (Li and Hoiem, "Learning without Forgetting", 2016)."""

    teacher_weights: str = ""
    """File of ``vggface2``'s weights, made by ``scripts/vggface2.py``; relative to the current folder, like
    ``weights``."""

    teacher_epochs: int = _number(0, 0, 10_000)
    """Epochs of each teacher; 0 means as many as the last network."""

    teacher_lr: float = _number(2e-4, 0, 10)
    """Learning rate of the face networks' features. They have no BatchNorm, so they need a small one."""

    teacher_strength: float = _number(1.0, 0, 1)
    """Factor on the strength of every augmentation but ``flip`` and ``stretch`` while teachers are trained."""

    distil: float = _number(0.5, 0, 1)
    """Share of the target that comes from the teachers."""

    margin: float = _number(MARGIN, -0.4, 2)
    """Margin of the crops, see ``framing``."""

    offset: float = _number(0.0, -1, 1)
    """Offset of the crops, see ``framing``."""

    aspect: float = _number(1.0, *ASPECTS)
    """Aspect of the crops, see ``framing``."""

    box_kind: str = _choice("annotator", BOX_KINDS)
    """Kind of box that the crops refer to, see ``framing``."""

    aligned_by: str = _choice("box", ALIGNMENTS)
    """``landmarks`` where the crops are aligned on eyes and mouth, see ``alignment``. Margin, offset, aspect and
    box_kind then only say how a face without landmarks is framed."""

    @property
    def framing(self) -> Framing:
        """How faces are cropped: training crops a CSV with boxes this way; ready-made crops must already be cut so."""
        return Framing(self.margin, self.offset, self.aspect, self.box_kind, self.aligned_by)

    @classmethod
    def of(cls, mode: str, options: Mapping[str, Any]) -> "Recipe":
        """Return the published recipe for ``mode`` with ``options`` in place of its values; None means unchanged.

        Raises InputError for an unknown key, a value of the wrong type or out of range, and for augmentation in a
        probe, which computes its features only once.
        """
        _require_known(options)
        changed = {name: value for name, value in options.items() if value is not None}
        values = {**asdict(cls()), **(_PROBE if mode == "probe" else {}), **changed, "mode": mode}
        return cls(**{name: _checked(name, value) for name, value in values.items()})._coherent()

    def stage(self, epoch: int) -> str:
        """Return what learns in ``epoch`` (counted from 0): ``head``, ``top`` (and head) or ``all``."""
        if self.mode == "probe" or epoch < int(self.head_until * self.epochs):
            return "head"
        return "top" if epoch < int(self.top_until * self.epochs) else "all"

    @property
    def augments(self) -> bool:
        """Whether training images are augmented."""
        return any(getattr(self, name) > 0 for name in _AUGMENTATION)

    @property
    def teacher_kinds(self) -> list[str]:
        """The teachers, one word each."""
        return self.teachers.split()

    @property
    def weight_by_set(self) -> dict[str, float]:
        """The weight of each data set that ``set_weights`` names; InputError where it cannot be read."""
        return _by_set("set_weights", self.set_weights, 1e9, "rafdb:2, with a number from 0 to 1e9")

    @property
    def votes_by_set(self) -> dict[str, float]:
        """The share of votes of each data set that ``set_votes`` names; InputError where it cannot be read."""
        return _by_set("set_votes", self.set_votes, 1, "rafdb:0.5, with a number from 0 to 1")

    def kind(self, number: int) -> str:
        """Return the kind of network ``number`` (counted from 1): one of ``TEACHERS``, and ``own`` for the last."""
        return [*self.teacher_kinds, "own"][number - 1]

    def of_network(self, number: int) -> "Recipe":
        """Return the recipe of network ``number`` (counted from 1: the teachers, then the last network)."""
        changed: dict[str, Any] = {"seed": self.seed + number - 1}
        if number <= len(self.teacher_kinds):
            changed["epochs"] = self.teacher_epochs or self.epochs
            # A flipped image is no harder, and stretch compensates for the crops' proportions.
            scaled = [name for name in _AUGMENTATION if name not in ("flip", "stretch")]
            changed |= {name: getattr(self, name) * self.teacher_strength for name in scaled}
        if self.kind(number) in FACE_NETWORKS:
            changed |= {"lr_backbone": self.teacher_lr, "head_until": 0.0, "top_until": 0.0}
        return replace(self, **changed)

    def require_effect(self, names: Iterable[str]) -> None:
        """Raise InputError where one of ``names`` is a field that this recipe never uses."""
        unused = self._unused()
        if useless := sorted(set(names) & set(unused)):
            raise InputError(f"{useless[0]} has no effect {unused[useless[0]]}; leave it out")

    def require_crops(self, margin: float) -> None:
        """Raise InputError where the recipe needs other crops than those that ``prepare`` cuts with ``margin``."""
        if self.framing != Framing(margin):
            raise InputError(
                f"the crops in data_shared have margin {margin:g} around annotators' boxes, but the recipe needs "
                f"margin {self.margin:g}, offset {self.offset:g}, aspect {self.aspect:g}, box_kind {self.box_kind}, "
                f"aligned_by {self.aligned_by}; "
                "leave these out, or train on the tables in data_shared/splits_csv, from whose photographs such crops "
                "are cut"
            )

    def _unused(self) -> dict[str, str]:
        """Return the fields of teachers and stages that this recipe never uses, each with when it is so."""
        kinds = set(self.teacher_kinds)
        unused: dict[str, str] = {}
        if self.mode == "probe":
            unused |= dict.fromkeys(_BACKBONE, "in a probe, whose backbone is frozen")
        if not kinds:
            return unused | dict.fromkeys(_TEACHING, "without teachers")
        if "vggface2" not in kinds:
            unused["teacher_weights"] = "without the teacher vggface2"
        if not kinds & set(FACE_NETWORKS):
            unused["teacher_lr"] = f"without a teacher that is a face network ({', '.join(FACE_NETWORKS)})"
        if kinds == {"start"}:
            unused |= dict.fromkeys(("teacher_epochs", "teacher_strength"), "when start is the only teacher")
        return unused

    def _coherent(self) -> "Recipe":
        if self.mode == "probe" and self.augments:
            active = [name for name in _AUGMENTATION if getattr(self, name) > 0]
            raise InputError(f"a probe computes its features once, so {', '.join(active)} cannot be used; leave it out")
        if self.mode == "probe" and self.teachers:
            raise InputError("teachers need images, and a probe keeps only features; leave teachers out")
        if self.teacher_kinds and not self.distil:
            raise InputError("distil is 0, so nothing is learned from the teachers; raise it, or leave teachers out")
        if "vggface2" in self.teacher_kinds and not self.teacher_weights:
            raise InputError("the teacher vggface2 needs teacher_weights, the file that scripts/vggface2.py writes")
        for name in ("draws", "set_weights"):
            if getattr(self, name) and not self.balance:
                raise InputError(f"{name} is for sampled images, but without balance none are; set balance as well")
        weights = self.weight_by_set
        for name in self.votes_by_set:
            if weights.get(name) == 0:
                raise InputError(
                    f"set_votes names the data set {name}, but its weight in set_weights is 0, so none of its "
                    "images is shown; leave it out of set_votes"
                )
        return self


_FIELDS = {field.name: field for field in fields(Recipe)}


def read_options(pairs: Sequence[str], flags: Set[str]) -> dict[str, Any]:
    """Read KEY=VALUE words; numbers become numbers, everything else stays text for ``Recipe.of`` to check.

    Raises InputError for a word without ``=``, for a key that is no field of ``Recipe``, and for one of ``flags``, the
    fields that have a flag of their own on the command line.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InputError(f"--set {pair!r} is not KEY=VALUE")
        options[key] = value if key in _FIELDS and not _FIELDS[key].metadata else _parsed(value)
    _require_known(options)
    if taken := sorted(set(options) & flags):
        raise InputError(f"--set {taken[0]}: this option has its own flag, --{taken[0].replace('_', '-')}")
    return options


def _require_known(names: Iterable[str]) -> None:
    if unknown := sorted(set(names) - set(_FIELDS)):
        raise InputError(f"unknown training option {', '.join(unknown)}; the options are {', '.join(sorted(_FIELDS))}")


def _by_set(option: str, words: str, high: float, wanted: str) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for word in words.split():
        name, _, text = word.rpartition(":")
        if name in numbers:
            raise InputError(f"{option} names the data set {name} twice; leave one of them out")
        try:
            numbers[name] = float(text)
        except ValueError:
            numbers[name] = -1.0
        if not name or not 0 <= numbers[name] <= high:
            raise InputError(f"{option} has {word!r}; it needs words like {wanted}")
    return numbers


def _parsed(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _checked(name: str, value: Any) -> Any:
    limits = _FIELDS[name].metadata
    if "choices" in limits:
        if value not in limits["choices"]:
            raise InputError(f"training option {name} is {value!r}; choose one of {', '.join(limits['choices'])}")
        return value
    if name == "teachers" and (unknown := sorted(set(str(value).split()) - set(TEACHERS))):
        raise InputError(f"training option teachers names {', '.join(unknown)}; choose from {', '.join(TEACHERS)}")
    if "range" not in limits:
        return str(value)
    kind: type[int] | type[float] = type(getattr(Recipe, name))
    low, high = limits["range"]
    if isinstance(value, bool) or not isinstance(value, int | kind) or not low <= value <= high:
        word = "a whole number" if kind is int else "a number"
        raise InputError(f"training option {name} is {value!r}; it must be {word} from {low} to {high}")
    return kind(value)
