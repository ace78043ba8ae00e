"""Speed of ``pyojeong analyze``, end to end from JPEG bytes and from films.

    python benchmarks/analyze.py [photographs] [film] [first] [--rounds 5] [--fer PYTHON]

Photographs a second on two cores, against face-api.js under Node.js (two processes of it) and against the PyPI
package ``fer`` (its default detector; in the interpreter PYTHON, which has it installed). The contenders take turns, so
that a busy machine slows all of them; a ratio is that of the medians, and of the fastest rounds. Then frames a second
of a 720p film with one face, and the seconds from the command to the first answer.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
from machine import machine
from PIL import Image

from pyojeong.analysis.annotate import Annotator
from pyojeong.analysis.films import Frame
from pyojeong.analysis.reading import Options, Reader
from pyojeong.analysis.sources import Source, find_sources
from pyojeong.faceapi.engines import FaceApiContender, NodeEngine
from pyojeong.sample.drawing import draw_face

GOALS = {"photographs_vs_node": 8.0, "photographs_vs_fer": 8.0, "film_frames_a_second": 60.0, "first_answer_s": 1.0}
PARTS = ("photographs", "film", "first")
CORES = 2
SIZE = 1280, 960
_REPEATS, _WARM = 30, 60
"""Times that our side reads all photographs, and photographs at the start that are not measured: processes start."""

FER = """
import sys, time, types
try:
    import moviepy.editor
except ImportError:  # only its films need it
    for name in ("moviepy", "moviepy.editor"):
        sys.modules[name] = types.ModuleType(name)
import cv2
from fer.fer import FER
detector = FER()
print("ready", flush=True)
for line in sys.stdin:
    start = time.perf_counter()
    for path in line.split("|"):
        detector.detect_emotions(cv2.imread(path.strip()))
    print(time.perf_counter() - start, flush=True)
"""


def main() -> None:
    """Print the tables and the RATIO lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--photographs", type=int, default=24)
    parser.add_argument("--fer", type=Path, help="a Python interpreter with the package fer")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.exit(2, f"error: there is no part {unknown.pop()}; choose some of {', '.join(PARTS)}\n")
    print(machine("pyojeong", "onnxruntime", "av", "pillow", "numpy"))
    with tempfile.TemporaryDirectory() as folder:
        photographs = draw(Path(folder), given.photographs)
        for part in given.parts or PARTS:
            if part == "photographs":
                print_photographs(photographs, given.fer, given.rounds)
            elif part == "film":
                print_film(write_film(Path(folder)), given.rounds)
            else:
                print_first_answer(photographs[0], given.rounds)


def print_photographs(photographs: Sequence[Path], fer: Path | None, rounds: int) -> None:
    """Print how many photographs a second each contender reads."""
    seconds = race(contenders(photographs, fer), rounds)
    print(f"\n{len(photographs)} photographs of {SIZE[0]} x {SIZE[1]}, a second of {CORES} cores")
    print("| contender | median | fastest round |\n|---|---:|---:|")
    for name, times in seconds.items():
        print(f"| {name} | {1 / statistics.median(times):.1f} | {1 / min(times):.1f} |")
    for name in [name for name in ("node", "fer") if name in seconds]:
        median = statistics.median(seconds[name]) / statistics.median(seconds["pyojeong"])
        fastest = min(seconds[name]) / min(seconds["pyojeong"])
        key = f"photographs_vs_{name}"
        print(f"RATIO {key} {median:.2f} goal {GOALS[key]} (of the fastest {fastest:.2f})")


def print_film(film: Path, rounds: int) -> None:
    """Print how many frames a second are read, and the processor time of a frame, which other work changes less."""
    reader, speeds, processor = Reader(Options(), workers=CORES), [], []
    for _ in range(rounds):
        start, used = time.perf_counter(), time.process_time()
        results = [*reader.read(find_sources([film]))]
        speeds.append(len(results) / (time.perf_counter() - start))
        processor.append((time.process_time() - used) / len(results))
        assert all(len(result.faces) == 1 for result in results)
    print(f"\n720p film: {1000 * statistics.median(processor):.1f} ms of processor time a frame")
    print_best("film_frames_a_second", speeds, max(speeds))


def print_first_answer(photograph: Path, rounds: int) -> None:
    """Print the seconds of the whole command for one photograph."""
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "pyojeong", "analyze", photograph], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    print_best("first_answer_s", seconds[1:], min(seconds[1:]))


def print_best(name: str, values: Sequence[float], best: float) -> None:
    """Print a RATIO line."""
    print(f"RATIO {name} {best:.2f} goal {GOALS[name]} (median {statistics.median(values):.2f})")


def draw(folder: Path, count: int) -> list[Path]:
    """Write photographs of one face each, which is half as high as the photograph."""
    paths = []
    for seed in range(count):
        picture = np.full((SIZE[1], SIZE[0], 3), 110 + seed, np.uint8)
        face, _ = draw_face("기쁨", seed, (540, 720))
        left = 80 + 25 * seed % 600
        picture[120:840, left : left + 540] = face
        paths.append(folder / f"{seed}.jpg")
        Image.fromarray(picture).save(paths[-1], quality=90)
    return paths


def contenders(paths: Sequence[Path], fer: Path | None) -> dict[str, Callable[[], float]]:
    """Return, by name, what takes all photographs and returns the seconds of each on average."""
    nodes = [NodeEngine(FaceApiContender(engine="node")) for _ in range(CORES)]
    found: dict[str, Callable[[], float]] = {"pyojeong": lambda: ours(paths), "node": lambda: in_node(nodes, paths)}
    if fer:
        child = subprocess.Popen([fer, "-c", FER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if _answer(child) != "ready":
            raise SystemExit("error: the package fer does not start; see its message above")
        found["fer"] = lambda: asked(child, paths)
    return found


def race(runs: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Return each contender's seconds a photograph, one for each round, after one unmeasured turn."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            value = run()
            if turn:
                seconds[name].append(value)
    return seconds


def ours(paths: Sequence[Path]) -> float:
    """Read the photographs as ``pyojeong analyze --workers 2`` does."""
    sources = find_sources(paths)
    with closing(Reader(Options(), workers=CORES).read(sources * _REPEATS)) as results:
        for number, result in enumerate(results):
            assert not result.reason
            if number == _WARM:
                start = time.perf_counter()
    return (time.perf_counter() - start) / (number - _WARM)


def in_node(nodes: Sequence[NodeEngine], paths: Sequence[Path]) -> float:
    """Read the photographs with face-api.js, which decodes the files itself, in as many processes as cores."""

    def work(share: int) -> None:
        for path in paths[share::CORES]:
            assert "error" not in nodes[share].ask({"path": str(path), "boxes": []})

    start = time.perf_counter()
    with ThreadPoolExecutor(CORES) as threads:
        list(threads.map(work, range(CORES)))
    return (time.perf_counter() - start) / len(paths)


def asked(child: "subprocess.Popen[str]", paths: Sequence[Path]) -> float:
    """Let the child read the photographs."""
    assert child.stdin
    child.stdin.write("|".join(map(str, paths)) + "\n")
    child.stdin.flush()
    return float(_answer(child)) / len(paths)


def _answer(child: "subprocess.Popen[str]") -> str:
    assert child.stdout
    return child.stdout.readline().strip()


def write_film(folder: Path) -> Path:
    """Write ten seconds of 720p at 30 frames a second, with one face that moves."""
    face, _ = draw_face("기쁨", 6, (360, 480))
    with Annotator(folder, {}).film(Source("film", "film", "film.mp4"), 30.0) as add:
        for number in range(300):
            picture = np.full((720, 1280, 3), 110, np.uint8)
            left = 100 + 2 * number
            picture[120:600, left : left + 360] = face
            add(Frame(number, number / 30, picture), [])
    return folder / "film.mp4"


if __name__ == "__main__":
    main()
