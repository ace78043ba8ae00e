"""The training loop: stages, steps, averaged weights and the choice of the best epoch."""

import copy
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from pyojeong.core.errors import InputError
from pyojeong.core.metrics import Floats, Ints
from pyojeong.core.progress import Advance, bar
from pyojeong.model.checkpoint import load_torch, save_torch
from pyojeong.model.network import MobileNetV3Small, Network
from pyojeong.training import distributed
from pyojeong.training.batches import FeatureSource, PixelSource, Source, read_ahead, sample_rows, steps
from pyojeong.training.distributed import Share
from pyojeong.training.inference_cache import BATCH, Backbone
from pyojeong.training.recipe import Recipe
from pyojeong.training.scoring import loss_of, macro_f1_of

EVALUATION_BATCH = 64


_WARMUP_START = 1 / 25
"""Share of the learning rates at the start of the warmup."""

log = logging.getLogger(__name__)


@dataclass
class Result:
    """State of a run: epochs done, the best of them (counted from 1) with its weights, and the scores of all."""

    epochs_done: int = 0
    best_epoch: int = 0
    best_macro_f1: float = -1.0
    best_state: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


class _Average:
    """Moving average of all weights and statistics; its decay rises, so that short runs forget their start as well."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(module).eval()
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for averaged, new in zip(self.module.state_dict().values(), module.state_dict().values(), strict=True):
            if averaged.is_floating_point():
                averaged.lerp_(new, 1 - decay)
            else:
                averaged.copy_(new)


@dataclass(frozen=True)
class Lesson:
    """The targets, and how often each class is shown.

    Attributes:
        targets: probability of each class for each training image, float64 [N, K].
        shares: of the classes among sampled images, float64 [K]; unused where every image is shown.
        set_shares: of the data sets among sampled images, float64 [S].
        teachers: functions from normalized pixels float [N, 3, H, W] to logits float [N, K]. Their answers for an
            augmented image are part of its target.
    """

    targets: Floats
    shares: Floats
    set_shares: Floats
    teachers: tuple[Callable[[Tensor], Tensor], ...] = ()


class _Loop:
    """The network, optimizer and averages of one run."""

    def __init__(self, fabric: Fabric, network: Network, recipe: Recipe, train: Source, lesson: Lesson) -> None:
        self.fabric, self.recipe, self.train, self.lesson = fabric, recipe, train, lesson
        self.labeled = torch.from_numpy(lesson.targets).float()
        distributed.sync_batchnorm(network)
        self.network = network
        # A probe trains only the head, on features; the loop is the same.
        self.module: nn.Module = network.classifier if recipe.mode == "probe" else network
        groups = [{"params": list(network.classifier.parameters()), "lr": recipe.lr_head, "peak": recipe.lr_head}]
        if recipe.mode == "finetune":
            backbone = list(network.features.parameters())
            groups.append({"params": backbone, "lr": recipe.lr_backbone, "peak": recipe.lr_backbone})
        # Fabric cannot clip gradients that a fused optimizer unscales itself.
        fused = not (recipe.clip and getattr(fabric.strategy.precision, "scaler", None))
        self.optimizer = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay, fused=fused)
        self.stepper: Any = fabric.setup_optimizers(self.optimizer)
        self.average = _Average(self.module, recipe.ema) if recipe.ema else None

    @property
    def validated(self) -> nn.Module:
        """The weights that are validated and kept."""
        return self.average.module if self.average else self.module

    def epoch(self, epoch: int, advance: Advance) -> float:
        """Train for one epoch and return the mean loss."""
        recipe = self.recipe
        set_stage(self.network, recipe.stage(epoch))
        # Again in each epoch: several processes exchange gradients only of what was trainable at this call.
        forward = self.fabric.setup_module(self.module)
        torch.manual_seed(recipe.seed + 2**32 * (epoch + 1))
        order = self._order(np.random.default_rng((recipe.seed, epoch)))
        plan = steps(order, recipe.batch)
        shares = [_share(len(rows), recipe.batch) for rows in plan]
        own = [rows[share.own] for rows, share in zip(plan, shares, strict=True)]
        total = torch.zeros((), dtype=torch.float64, device=self.fabric.device)
        note = f"epoch {epoch + 1}/{recipe.epochs}, {recipe.stage(epoch)}"
        for step, raw in enumerate(read_ahead(self.train, own, pin=self.fabric.device.type == "cuda")):
            self._set_rates((epoch + step / len(plan)) / recipe.epochs)
            inputs = self.train.prepare(self.fabric.to_device(raw), (recipe.seed, epoch, step), shares[step])
            loss = shares[step].weight * nn.functional.cross_entropy(
                forward(inputs).float(), self._targets(own[step], inputs), label_smoothing=recipe.label_smoothing
            )
            self.stepper.zero_grad()
            self.fabric.backward(loss)
            if recipe.clip:
                # A loss that is no longer finite is reported after the epoch, with advice.
                self.fabric.clip_gradients(forward, self.stepper, max_norm=recipe.clip, error_if_nonfinite=False)
            self.stepper.step()
            if self.average:
                self.average.update(self.module)
            total += loss.detach() * len(plan[step])
            advance(len(plan[step]), note)
        return float(distributed.total(total)) / distributed.size() / len(order)

    @torch.no_grad()
    def _targets(self, rows: Ints, inputs: Tensor) -> Tensor:
        labeled: Tensor = self.fabric.to_device(self.labeled[torch.from_numpy(rows)])
        if not self.lesson.teachers:
            return labeled
        with self.fabric.autocast():
            taught = torch.stack([teacher(inputs).float().softmax(1) for teacher in self.lesson.teachers]).mean(0)
        return labeled.lerp(taught, self.recipe.distil)

    def _order(self, generator: np.random.Generator) -> Ints:
        if not self.recipe.balance:
            return generator.permutation(len(self.train.labels))
        count = images_per_epoch(self.recipe, self.train)
        return sample_rows(
            self.train.labels, self.train.sets, self.lesson.shares, self.lesson.set_shares * count, generator
        )

    def state(self) -> dict[str, Any]:
        """Return everything that the next epoch depends on."""
        state: dict[str, Any] = {"module": self.module.state_dict(), "optimizer": self.optimizer.state_dict()}
        # On GPUs without bfloat16 this holds the loss scale.
        state["precision"] = self.fabric.strategy.precision.state_dict()
        if self.average:
            state |= {"average": self.average.module.state_dict(), "updates": self.average.updates}
        return state

    def restore(self, state: dict[str, Any]) -> None:
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        if state["precision"]:  # empty where the run began in another precision
            self.fabric.strategy.precision.load_state_dict(state["precision"])
        if self.average:
            self.average.module.load_state_dict(state["average"])
            self.average.updates = state["updates"]

    def _set_rates(self, progress: float) -> None:
        factor = rate_factor(self.recipe, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor


def rate_factor(recipe: Recipe, progress: float) -> float:
    """Return the factor (0..1) on the learning rates after ``progress`` (0..1) of all steps."""
    if progress < recipe.warmup:
        return max(_WARMUP_START, progress / recipe.warmup)
    if recipe.schedule == "constant":
        return 1.0
    return (1 + math.cos(math.pi * (progress - recipe.warmup) / (1 - recipe.warmup))) / 2


def images_per_epoch(recipe: Recipe, train: Source) -> int:
    """Return how many images an epoch shows, up to rounding."""
    return recipe.draws or len(train.labels)


def set_stage(network: Network, stage: str) -> None:
    """Make only the parts of ``stage`` (``head``, ``top``, ``all``) trainable.

    The other parts get no gradients, and their BatchNorm uses its stored statistics without updating them.
    """
    parts: dict[str, list[nn.Module]] = {
        "head": [network.classifier],
        "top": [network.features[-2], network.features[-1], network.classifier],
        "all": [network],
    }
    network.eval().requires_grad_(False)
    for part in parts[stage]:
        part.train().requires_grad_(True)


@torch.inference_mode()
def predict(module: nn.Module, source: Source, device: torch.device) -> Floats:
    """Return float64 outputs [N, ...] of ``module``, in evaluation mode, for all rows in order.

    They are computed in float32, except for teachers on processors with bfloat16 instructions.
    """
    module.eval()

    def outputs(plan: Sequence[Ints]) -> Iterator[Tensor]:
        return (module(source.prepare(raw.to(device))).cpu() for raw in read_ahead(source, plan))

    return _in_steps(outputs, len(source.labels), EVALUATION_BATCH, device).double().numpy()


def _in_steps(
    outputs: Callable[[Sequence[Ints]], Iterable[Tensor]], count: int, batch: int, device: torch.device
) -> Tensor:
    """Return ``outputs`` of all rows in order, computed by all processes in steps of at most ``batch``."""
    plan = steps(np.arange(count), batch)
    own = plan[distributed.share(len(plan)).own]
    # A process without a step of its own computes the first one, for its shape and dtype.
    return distributed.gather([*outputs(own or plan[:1])], own, count, device)


def learn(
    fabric: Fabric,
    network: Network,
    recipe: Recipe,
    sources: tuple[Source, Source],
    lesson: Lesson,
    last: Path,
    run: str,
    title: str,
) -> Result:
    """Train ``network`` in place and return the epoch with the best validation macro-F1.

    Args:
        fabric: decides device and precision.
        network: on the fabric's device.
        recipe: how to train; a probe reads each image once, for its features.
        sources: images to train on, and images to choose the epoch by.
        lesson: the targets of the training images.
        last: file with everything needed to resume after the last whole epoch.
        run: identifies the run; the ``last`` of another run is ignored.
        title: of the progress bar.

    Raises:
        InputError: the loss is no longer finite.
    """
    train, val = sources
    if recipe.mode == "probe":
        assert isinstance(network, MobileNetV3Small)
        train, val = features_of(network, (train, val), fabric.device, title)
    loop = _Loop(fabric, network, recipe, train, lesson)
    result = _resume(loop, last, run)
    images = images_per_epoch(recipe, train) * (recipe.epochs - result.epochs_done)
    with _bar(f"Training {title}", images) as advance:
        for epoch in range(result.epochs_done, recipe.epochs):
            loss = loop.epoch(epoch, advance)
            _validate(loop, val, result, epoch, loss)
            if distributed.rank() == 0:
                save_torch({"run": run, "loop": loop.state(), "result": asdict(result)}, last)
    return result


def _bar(what: str, total: int) -> AbstractContextManager[Advance]:
    return bar(what, total) if distributed.rank() == 0 else nullcontext(lambda count=1, note="": None)


def _share(count: int, batch: int) -> Share:
    share = distributed.share(count)
    if share.count < share.size:
        raise InputError(
            f"a step of {share.count} images cannot be shared by {share.size} processes; "
            f"raise --batch (now {batch}) or start fewer of them"
        )
    return share


def _validate(loop: _Loop, val: Source, result: Result, epoch: int, loss: float) -> None:
    logits = predict(loop.validated, val, loop.fabric.device)
    score, val_loss = macro_f1_of(logits, val.labels), loss_of(logits, val.labels)
    if not math.isfinite(loss + val_loss):
        rate = "--lr-backbone" if isinstance(loop.network, MobileNetV3Small) else "--set teacher_lr"
        raise InputError(
            f"the loss is {loss} in training and {val_loss} in validation after epoch {epoch + 1}; "
            f"lower --lr-head (now {loop.recipe.lr_head}) and {rate} (now {loop.recipe.lr_backbone})"
        )
    result.history.append(
        {
            "epoch": epoch + 1,
            "stage": loop.recipe.stage(epoch),
            "train_loss": loss,
            "val_loss": val_loss,
            "val_accuracy": float((logits.argmax(1) == val.labels).mean()),
            "val_macro_f1": score,
        }
    )
    result.epochs_done = epoch + 1
    if score > result.best_macro_f1:
        result.best_epoch, result.best_macro_f1 = epoch + 1, score
        result.best_state = _whole_state(loop)
    log.info("epoch %d: loss %.4f, val macro-F1 %.4f", epoch + 1, loss, score)


def _whole_state(loop: _Loop) -> dict[str, Tensor]:
    state = loop.network.state_dict()
    prefix = "classifier." if loop.recipe.mode == "probe" else ""
    state |= {prefix + name: value for name, value in loop.validated.state_dict().items()}
    return {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}


@torch.no_grad()
def features_of(network: MobileNetV3Small, sources: Sequence[Source], device: torch.device, title: str) -> list[Source]:
    """Return the frozen backbone's features of the images in ``sources``; ``title`` names the progress bar."""
    network.eval()
    fast = device.type == "cpu" and all(isinstance(source, PixelSource) for source in sources)
    backbone = Backbone(network, torch.get_num_threads()) if fast else None

    def outputs(source: Source, advance: Advance, plan: Sequence[Ints]) -> Iterator[Tensor]:
        slow = (network.pooled(source.prepare(raw.to(device))).cpu() for raw in read_ahead(source, plan))
        for part in backbone.features(source.read, plan) if backbone else slow:
            advance(len(part))
            yield part

    batch = BATCH if backbone else EVALUATION_BATCH
    images = sum(len(source.labels) for source in sources)
    with _bar(f"Features {title}", images // distributed.size()) as advance:
        features = [
            _in_steps(partial(outputs, source, advance), len(source.labels), batch, device) for source in sources
        ]
    return [
        FeatureSource(computed.to(device), source.labels, source.sets)
        for computed, source in zip(features, sources, strict=True)
    ]


def _resume(loop: _Loop, last: Path, run: str) -> Result:
    if not last.is_file():
        return Result()
    try:
        saved = load_torch(last)
    except InputError:
        log.warning("%s: damaged; training starts again", last)
        return Result()
    if saved.get("run") != run:
        log.warning("%s: from another recipe or other data; training starts again", last)
        return Result()
    try:
        result = Result(**saved["result"])
        if not result.epochs_done == len(result.history) <= loop.recipe.epochs:
            raise ValueError("its epochs do not add up")
        loop.restore(saved["loop"])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError):
        raise InputError(f"{last}: does not fit this network; delete it to start the training again") from None
    log.warning("%s: resumed after epoch %d", last.parent, result.epochs_done)
    return result
