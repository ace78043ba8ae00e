"""Time of the face-api port against the original library under Node, from JPEG file to probabilities.

They take turns, a batch of photographs each, so that a busy machine slows both; the ratio is that of the medians.

    python benchmarks/faceapi.py [--rounds 8]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from machine import machine, peak_megabytes
from PIL import Image

from pyojeong.faceapi.engines import FaceApiContender, NodeEngine, OnnxEngine
from pyojeong.sample.drawing import draw_face

GOALS = {"faceapi_12mp_exact_vs_node": 3.5, "faceapi_12mp_scaled_vs_node": 7.0, "faceapi_640_vs_node": 6.0}
MEMORY_GOAL = 500
"""Megabytes of resident memory at most, for a process that analyzes 12 MP photographs."""


def draw(folder: Path, count: int) -> dict[str, list[Path]]:
    """Write synthetic photographs: 12 MP as phones take them, upright and turned, and 640x640."""
    kinds: dict[str, list[Path]] = {"12mp": [], "640": []}
    for kind, size in (("12mp", (3000, 4000)), ("640", (640, 640))):
        for seed in range(count):
            pixels, _ = draw_face("기쁨", seed, size)
            turned = kind == "12mp" and seed % 3 == 2  # a third of AI Hub's photographs carry an EXIF orientation
            exif = Image.Exif()
            exif[0x0112] = 3 if turned else 1
            path = folder / f"{kind}-{seed}.jpg"
            stored = np.ascontiguousarray(pixels[::-1, ::-1]) if turned else pixels
            Image.fromarray(stored).save(path, quality=90, exif=exif)
            kinds[kind].append(path)
    return kinds


def race(contenders: dict[str, Callable[[Path], object]], paths: list[Path], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of every contender on every photograph, after one unmeasured turn each."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for run in contenders.values():
        run(paths[0])
    for _ in range(rounds):
        for name, run in contenders.items():
            time.sleep(0.2)  # the other's garbage collector may still be running
            for path in paths:
                start = time.perf_counter()
                run(path)
                seconds[name].append(time.perf_counter() - start)
    return seconds


def peak_memory(path: Path, decode: str) -> float:
    """Return the peak memory in megabytes of a fresh process that analyzes a few photographs."""
    command = [sys.executable, __file__, "--peak-of", str(path), "--decode", decode]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def print_peak(path: Path, decode: str) -> None:
    """Analyze ``path`` a few times and print this process's peak of resident memory in megabytes."""
    engine = OnnxEngine(FaceApiContender(decode=decode))
    for _ in range(4):
        engine.analyze(path.read_bytes(), [None])
    print(peak_megabytes())


def main() -> None:
    """Print the table and the RATIO lines."""
    parser = argparse.ArgumentParser(description="face-api: the port against the real library under Node")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--photographs", type=int, default=4)
    parser.add_argument("--peak-of", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--decode", default="exact", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak_of:
        print_peak(options.peak_of, options.decode)
        return

    node = NodeEngine(FaceApiContender(engine="node"))
    exact, scaled = OnnxEngine(FaceApiContender()), OnnxEngine(FaceApiContender(decode="scaled"))
    contenders: dict[str, Callable[[Path], object]] = {
        # The library reads the file itself, so the bytes do not pass through this process.
        "node": lambda path: node.ask({"path": str(path), "boxes": []}),
        "exact": lambda path: exact.analyze(path.read_bytes()),
        "scaled": lambda path: scaled.analyze(path.read_bytes()),
    }
    print(machine("onnxruntime", "Pillow", "numpy"))
    print(json.dumps(node.versions))
    ratios = {}
    with tempfile.TemporaryDirectory() as folder:
        kinds = draw(Path(folder), options.photographs)
        print(f"\n{'photographs':<12}{'contender':<10}{'median ms':>10}{'fastest ms':>12}{'vs node':>9}")
        for kind, paths in kinds.items():
            seconds = race(contenders, paths, options.rounds)
            median = {name: statistics.median(times) for name, times in seconds.items()}
            for name, times in seconds.items():
                ratio = median["node"] / median[name]
                ratios[f"{kind}_{name}"] = ratio
                print(f"{kind:<12}{name:<10}{median[name] * 1e3:>10.1f}{min(times) * 1e3:>12.1f}{ratio:>8.1f}x")
        peaks = {decode: peak_memory(kinds["12mp"][0], decode) for decode in ("exact", "scaled")}
    node.close()
    print("\npeak memory on 12 MP: " + ", ".join(f"{name} {peak:.0f} MB" for name, peak in peaks.items()))
    print(f"RATIO faceapi_12mp_exact_vs_node {ratios['12mp_exact']:.2f} goal {GOALS['faceapi_12mp_exact_vs_node']}")
    print(f"RATIO faceapi_12mp_scaled_vs_node {ratios['12mp_scaled']:.2f} goal {GOALS['faceapi_12mp_scaled_vs_node']}")
    print(f"RATIO faceapi_640_vs_node {ratios['640_exact']:.2f} goal {GOALS['faceapi_640_vs_node']}")
    print(f"RATIO faceapi_memory_allowed_vs_used {MEMORY_GOAL / max(peaks.values()):.2f} goal 1.0")


if __name__ == "__main__":
    main()
