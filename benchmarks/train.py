"""Training: our loop against the bare step, a probe against one forward pass, teachers against themselves in torch.

    python benchmarks/train.py [--rounds 5] [--images 8192]

``loop_vs_memory`` is the images a second of the training loop, which draws its order, reads a memory-mapped file and
reads ahead, over those of the same step written out in plain torch on images that already lie in memory. Both augment
(the published recipe's changes, low resolution and JPEG), all layers learn, batches are of 64.

``probe_forward_passes`` is the time of a whole probe (features of training and validation images, five epochs, scores
after each) over the time that onnxruntime needs for the training images alone, through the same backbone, from memory.

``teachers_vs_torch`` is the images a second to which both face networks answer while another learns from them
(``inference_cache.inference_function``) over those of their forward passes in torch; 1 where torch computes both, as on
a GPU.

``kept_memory`` is the images a second of the bare step in a process that keeps the memory that it frees
(``memory.keep_memory``, as training does) over those in one that does not; each turn is a process of its own.

The two of a pair take turns; ratios are of each one's fastest turn, which other work disturbs least. The images are
synthetic faces; what they show does not matter here.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import polars as pl
import torch
from lightning_fabric import Fabric
from machine import machine
from torch import Tensor, nn

from pyojeong.core.geometry import SIZE, face_crop
from pyojeong.core.images import Pixels
from pyojeong.core.labels import KOREAN
from pyojeong.model.network import MobileNetV3Small
from pyojeong.model.teacher import FaceMobileNet, FaceRecognitionNet
from pyojeong.sample.drawing import draw_face
from pyojeong.training.batches import PixelSource, targets
from pyojeong.training.crop_cache import CropSet
from pyojeong.training.inference_cache import backbone_graph, inference_function
from pyojeong.training.loop import Lesson, _Loop, learn
from pyojeong.training.memory import keep_memory
from pyojeong.training.recipe import Recipe

GOALS = {"loop_vs_memory": 0.9, "probe_forward_passes": 1.3, "teachers_vs_torch": 1.0, "kept_memory": 1.0}
FACES = 64
STEPS = 10
BATCH = 64
PER_PASS = 16
"""Images at a time in the forward pass: the fastest for onnxruntime."""


Turn = tuple[float, float]
"""Seconds of wall and processor time."""


def draw(path: Path, count: int) -> CropSet:
    """Write ``count`` crops (synthetic faces, each at its own brightness) to ``path``, as the decoder would."""
    faces = np.stack([face_crop(*draw_face(KOREAN[seed % 7], seed, (240, 320))) for seed in range(FACES)])
    pixels = np.lib.format.open_memmap(path, "w+", np.uint8, (count, SIZE, SIZE, 3))
    for at in range(0, count, FACES):
        part = pixels[at : at + FACES]
        part[:] = faces[: len(part)] // 2 + at % 97
    pixels.flush()
    labels = np.arange(count) % 7
    rows = np.arange(count)
    stored: Pixels = np.load(path, mmap_mode="r")
    return CropSet(path, [], labels, np.zeros(count, np.int64), ("",), pl.DataFrame(), None, rows, stored, {})


def lesson_of(source: PixelSource) -> Lesson:
    """Return the labels as targets."""
    return Lesson(targets(source.labels, 7, None, 0.0), np.full(7, 1 / 7), np.ones(1))


def new_network() -> MobileNetV3Small:
    """Return the same random network each time."""
    torch.manual_seed(0)
    network = MobileNetV3Small(7)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def race(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[Turn]]:
    """Return wall and processor seconds of every turn, after one unmeasured turn each."""
    seconds: dict[str, list[Turn]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, run in contenders.items():
            start, used = time.perf_counter(), time.process_time()
            run()
            if number:
                seconds[name].append((time.perf_counter() - start, time.process_time() - used))
    return seconds


def loop_part(folder: Path, fabric: Fabric, rounds: int) -> dict[str, list[Turn]]:
    """Race an epoch of the loop against as many bare steps."""
    options = {"batch": BATCH, "epochs": 10_000, "head_until": 0.0, "top_until": 0.0}
    recipe = Recipe.of("finetune", {**options, "low_resolution": 0.1, "jpeg": 0.1})
    source = PixelSource(draw(folder / "loop.npy", STEPS * BATCH), recipe)
    loop = _Loop(fabric, new_network(), recipe, source, lesson_of(source))
    epochs = iter(range(recipe.epochs))
    batches = [source.read(rows) for rows in np.arange(STEPS * BATCH).reshape(STEPS, BATCH)]
    labels = torch.from_numpy(source.labels).view(STEPS, BATCH)
    step = plain_step(source, recipe)

    def in_memory() -> None:
        for number, raw in enumerate(batches):
            step(raw, labels[number], number)

    return race({"our loop": lambda: loop.epoch(next(epochs), lambda *_: None), "bare step": in_memory}, rounds)


def plain_step(source: PixelSource, recipe: Recipe) -> Callable[[Tensor, Tensor, int], None]:
    """Return a training step as anyone would write it."""
    network = new_network().train()
    groups = [
        {"params": list(network.classifier.parameters()), "lr": recipe.lr_head},
        {"params": list(network.features.parameters()), "lr": recipe.lr_backbone},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay, fused=True)

    def step(raw: Tensor, labels: Tensor, number: int) -> None:
        loss = nn.functional.cross_entropy(network(source.prepare(raw, (recipe.seed, number))), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def probe_part(folder: Path, fabric: Fabric, images: int, rounds: int, threads: int) -> dict[str, list[Turn]]:
    """Race a probe of five epochs, with a ninth as many images to validate, against one forward pass."""
    recipe = Recipe.of("probe", {})
    train = draw(folder / "train.npy", images)
    sources = [PixelSource(crops, recipe) for crops in (train, draw(folder / "val.npy", images // 9))]
    network = new_network()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(backbone_graph(network), options, providers=["CPUExecutionProvider"])
    memory = np.array(train.pixels)

    def forward() -> None:
        for at in range(0, images, PER_PASS):
            session.run(None, {"image": memory[at : at + PER_PASS]})

    def probe() -> None:
        last = folder / "last.pt"
        last.unlink(missing_ok=True)
        learn(fabric, network, recipe, (sources[0], sources[1]), lesson_of(sources[0]), last, "benchmark", "probe")

    return race({"probe": probe, "forward pass": forward}, rounds)


def teachers_part(rounds: int) -> dict[str, list[Turn]]:
    """Race the teachers' answers to ``STEPS`` batches against the networks themselves."""
    recognition = FaceRecognitionNet(7)
    recognition.fold()
    networks = [network.eval().requires_grad_(False) for network in (recognition, FaceMobileNet(7))]
    for network in networks:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    quicker = [inference_function(network, torch.device("cpu")) for network in networks]
    pixels = torch.rand(BATCH, 3, SIZE, SIZE).contiguous(memory_format=torch.channels_last)

    def ask(contenders: Sequence[Callable[[Tensor], Tensor]]) -> None:
        for _ in range(STEPS):
            for logits in contenders:
                logits(pixels)

    return race({"teachers": lambda: ask(quicker), "in torch": lambda: ask(networks)}, rounds)


def memory_part(rounds: int, threads: int) -> dict[str, list[Turn]]:
    """Race bare steps on noise with and without keeping memory; only the steps are timed."""

    def steps(kept: bool) -> Turn:
        command = [sys.executable, __file__, "--threads", str(threads), "--bare-steps", str(int(kept))]
        wall, cpu = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        return float(wall), float(cpu)

    turns = [(steps(True), steps(False)) for _ in range(rounds)]
    return {"memory kept": [kept for kept, _ in turns], "given back": [plain for _, plain in turns]}


def bare_steps(kept: bool) -> Turn:
    """Return the time of ``STEPS`` bare steps, after an unmeasured one, in a process that does nothing else."""
    if kept:
        keep_memory()
    recipe = Recipe.of("finetune", {})
    with tempfile.TemporaryDirectory() as temporary:
        source = PixelSource(draw(Path(temporary) / "steps.npy", BATCH), recipe)
        step, raw = plain_step(source, recipe), source.read(np.arange(BATCH))
        labels = torch.from_numpy(source.labels)
        step(raw, labels, 0)
        start, used = time.perf_counter(), time.process_time()
        for number in range(STEPS):
            step(raw, labels, number)
    return time.perf_counter() - start, time.process_time() - used


def report(seconds: dict[str, list[Turn]], images: int) -> tuple[float, float]:
    """Print a row for each of two contenders; return the first one's fastest turn over the second's, wall and CPU."""
    for name, turns in seconds.items():
        walls, cpus = zip(*turns, strict=True)
        row = f"{min(walls):>12.2f}{statistics.median(walls):>11.2f}{min(cpus):>8.2f}{images / min(walls):>18.0f}"
        print(f"{name:<14}{images:>8}{row}")
    (wall, cpu), (other_wall, other_cpu) = (
        [min(column) for column in zip(*turns, strict=True)] for turns in seconds.values()
    )
    return wall / other_wall, cpu / other_cpu


def main() -> None:
    """Print the table and the RATIO lines."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=8192, help="training images of the probe")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--bare-steps", type=int, choices=(0, 1), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.bare_steps is not None:
        print(*bare_steps(bool(options.bare_steps)))
        return
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    print(f"{machine('torch', 'onnxruntime', 'lightning-fabric', 'numpy')}; {options.threads} threads")
    print(f"\n{'contender':<14}{'images':>8}{'fastest s':>12}{'median s':>11}{'CPU s':>8}{'images/s (best)':>18}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        loop = report(loop_part(folder, fabric, options.rounds), STEPS * BATCH)
        probe = report(probe_part(folder, fabric, options.images, options.rounds, options.threads), options.images)
        taught = report(teachers_part(options.rounds), STEPS * BATCH)
    kept = report(memory_part(options.rounds, options.threads), STEPS * BATCH)
    cpu = f"{1 / loop[1]:.2f}, {probe[1]:.2f}, {1 / taught[1]:.2f} and {1 / kept[1]:.2f}"
    print(f"by CPU time, which other work disturbs least: {cpu}")
    print("probe_forward_passes is at most its goal, the others at least")
    print(f"RATIO loop_vs_memory {1 / loop[0]:.2f} goal {GOALS['loop_vs_memory']}")
    print(f"RATIO probe_forward_passes {probe[0]:.2f} goal {GOALS['probe_forward_passes']}")
    print(f"RATIO teachers_vs_torch {1 / taught[0]:.2f} goal {GOALS['teachers_vs_torch']}")
    print(f"RATIO kept_memory {1 / kept[0]:.2f} goal {GOALS['kept_memory']}")


if __name__ == "__main__":
    main()
