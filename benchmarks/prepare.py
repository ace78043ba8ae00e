"""Benchmarks data preparation at AI Hub's size: indexing half a million records, and cropping 12 MP photographs.

    python benchmarks/prepare.py [index] [crops] [--records 500000] [--folder DIR]

``index`` writes label and image archives in AI Hub's format and indexes them in a new process. The images are tiny,
because only the archives' tables of contents are read.

``crops`` draws photographs, scales them to 12 MP and adds grain until the files are as large as a phone's. Each
contender runs in its own process, and they take turns. Ratios compare each contender's fastest turn, which other work
on the machine disturbs least. Every contender reads JPEG files and writes crop files; ``djpeg`` only decodes.
"""

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch
from zipfile import ZipFile, ZipInfo

import numpy as np
from machine import machine, peak_megabytes
from PIL import Image, ImageOps

from pyojeong.core import images
from pyojeong.core.geometry import MARGIN, SIZE, Box, enough_size, face_crop, patch_region, reduced_crop
from pyojeong.core.images import Pixels, Reduced
from pyojeong.core.labels import KOREAN, UNKNOWN
from pyojeong.data import aihub, crop_files
from pyojeong.sample.drawing import draw_face

INDEX_LIMITS = {"seconds": 60, "megabytes": 1500}
GOALS = {"crop_vs_full_decode": 1.8, "crop_vs_entropy_floor": 1.3, "two_processes": 1.8}
PACKAGES = ("Pillow", "polars", "numpy")
PHOTOGRAPHS_PER_PERSON = 100
MEMBERS_PER_ARCHIVE = 5000
GRAIN = 3.5
"""Standard deviation of the grain in gray levels."""


class KoreanName(ZipInfo):
    """A zip member whose name is CP949 without the UTF-8 flag."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 (zipfile's own hook)
        return self.filename.encode("cp949"), self.flag_bits & ~0x800


def write_set(folder: Path, records: int) -> None:
    """Write label and image archives of ``records`` photographs, an eighth of them in the validation part."""
    for label_number, label in enumerate(KOREAN):
        for part, share in (("TRAIN", 7), ("VALID", 1)):
            count = records * share // (8 * len(KOREAN))
            names = [file_name(number * len(KOREAN) + label_number, label, part) for number in range(count)]
            kind = "training" if part == "TRAIN" else "validation"
            text = json.dumps([record(name, label, n) for n, name in enumerate(names)], ensure_ascii=False, indent=1)
            labels = f"img_emotion_{kind}_data({label}).json"
            encoding = "cp949" if label_number % 3 == 1 else "utf-8"
            write_zip(folder / f"[라벨]EMOIMG_{label}_{part}.zip", [(labels, text.encode(encoding))])
            for start in range(0, count, MEMBERS_PER_ARCHIVE):
                path = folder / f"[원천]EMOIMG_{label}_{part}_{start // MEMBERS_PER_ARCHIVE + 1:02d}.zip"
                write_zip(path, ((name, b"jpeg") for name in names[start : start + MEMBERS_PER_ARCHIVE]))


def file_name(number: int, label: str, part: str) -> str:
    """Return a file name of AI Hub's form."""
    person = number // PHOTOGRAPHS_PER_PERSON * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**256
    return (
        f"{person:064x}_여_30_{label}_숙박 및 거주공간_{20210101000000 + number}-{part[0]}{number % 1000:03d}-001.jpg"
    )


def record(name: str, label: str, number: int) -> dict[str, object]:
    """Return a record of AI Hub's form; in every seventh no two annotators agree."""
    other = KOREAN[number % len(KOREAN)]
    votes = (label, other, UNKNOWN) if number % 7 == 3 else (label, label, other)
    boxes = [
        {"minX": 812.5 + number % 50 + shift, "minY": 603.25, "maxX": 1634.75, "maxY": 1726.125 + number % 90 - shift}
        for shift in (0, 9.5, -14.25)
    ]
    place = "숙박 및 거주공간"
    return {
        "filename": name,
        "gender": "여",
        "age": 30,
        "isProf": "일반인",
        "faceExp_uploader": label,
        "bg_uploader": place,
    } | {
        f"annot_{letter}": {"boxes": box, "faceExp": vote, "bg": place}
        for letter, vote, box in zip("ABC", votes, boxes, strict=True)
    }


def write_zip(path: Path, members: Iterator[tuple[str, bytes]] | list[tuple[str, bytes]]) -> None:
    """Write an archive with CP949 names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with ZipFile(path, "w") as archive:
        for name, data in members:
            archive.writestr(KoreanName(name), data)


def print_index(folder: Path) -> None:
    """Index ``folder`` and print time, memory and counts as JSON; runs in its own process."""
    start, cpu = time.perf_counter(), time.process_time()
    index = aihub.index(aihub.survey(folder), "data_raw/set")
    figures = {
        "wall_seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu,
        "peak_megabytes": peak_megabytes(),
        "records": index.records,
        "rows": index.rows.height,
        "drops": index.drops,
    }
    print(json.dumps(figures))


def index_part(folder: Path, records: int) -> None:
    """Write the data set unless it exists, index it, and print figures and ratios."""
    source = folder / f"index_{records}"
    if not source.exists():
        unfinished = folder / f"unfinished_{records}"
        write_set(unfinished, records)
        unfinished.rename(source)
    command = [sys.executable, __file__, "--index-of", str(source)]
    figures = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    print(f"\nindex of {figures['records']:,} records: {figures['rows']:,} rows, {figures['drops']}")
    print(f"{figures['wall_seconds']:.1f} s wall, {figures['cpu_seconds']:.1f} s CPU, ", end="")
    print(f"{figures['peak_megabytes']:.0f} MB at most; {machine(*PACKAGES)}")
    used = {"seconds": figures["wall_seconds"], "megabytes": figures["peak_megabytes"]}
    for name, limit in INDEX_LIMITS.items():
        print(f"RATIO index_{name}_allowed_vs_used {limit / used[name]:.2f} goal 1.0")


def draw_photograph(seed: int) -> tuple[bytes, Box]:
    """Return a 12 MP JPEG with the detail of a camera's and its face box; EXIF turns every third one upside down.

    The drawing is scaled up twofold. Sensor grain, smoothed as a camera does, gives the file its entropy.
    """
    pixels, box = draw_face(KOREAN[seed % len(KOREAN)], seed, (1500, 2000))
    large = Image.fromarray(pixels).resize((3000, 4000), Image.Resampling.BICUBIC)
    fine = np.random.default_rng(seed).normal(0, GRAIN, (4000, 3000, 1))
    soft = (fine + np.roll(fine, 1, 0) + np.roll(fine, 1, 1) + np.roll(fine, (1, 1), (0, 1))) / 2
    noisy = np.clip(np.asarray(large) + soft, 0, 255).astype(np.uint8)
    turned = seed % 3 == 2
    exif = Image.Exif()
    exif[0x0112] = 3 if turned else 1
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(noisy[::-1, ::-1]) if turned else noisy).save(
        file, "JPEG", quality=92, exif=exif
    )
    return file.getvalue(), (2 * box[0], 2 * box[1], 2 * box[2], 2 * box[3])


Turn = list[tuple[str, Box]]
"""The work of one turn: photographs (paths below the folder) and face boxes."""


def ours(folder: Path, turn: Turn) -> None:
    """Make the crops as ``prepare`` does, including the wait for the disk."""
    crop_files.make_chunk(folder, MARGIN, [crop_files.CropTask(path, f"ours/{path}", "", box) for path, box in turn])


def plain_pillow(folder: Path, turn: Turn) -> None:
    """Decode at full size, apply the orientation, crop and pad, reduce and write."""
    for path, box in turn:
        x, y, across, down = patch_region(box)
        with Image.open(folder / path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
        patch = upright.crop((x, y, x + across, y + down)).resize((SIZE, SIZE), Image.Resampling.BOX)
        patch.save(folder / f"plain_{path}", "JPEG", quality=crop_files.QUALITY, subsampling=0)


def plain_opencv(folder: Path, turn: Turn) -> None:
    """Do the same with OpenCV."""
    import cv2

    for path, box in turn:
        x, y, across, down = patch_region(box)
        image = np.asarray(cv2.imread(str(folder / path)), np.uint8)
        height, width = image.shape[:2]
        left, top = max(-x, 0), max(-y, 0)
        right, bottom = max(x + across - width, 0), max(y + down - height, 0)
        inside = image[max(y, 0) : y + down, max(x, 0) : x + across]
        patch = cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_CONSTANT)
        small = cv2.resize(patch, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        quality = [cv2.IMWRITE_JPEG_QUALITY, crop_files.QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
        cv2.imwrite(str(folder / f"opencv_{path}"), small, quality)


def ours_with(decoder: Callable[[bytes, int], Pixels], folder: Path, turn: Turn) -> None:
    """Make the crops as ``prepare`` does, but with another decoder."""

    def decode(data: bytes, at_least: tuple[int, int] | None) -> Reduced:
        width, height, orientation = images.measure(data)
        least_width, least_height = at_least or (width, height)
        divisor = next(d for d in (8, 4, 2, 1) if width / d >= least_width and height / d >= least_height)
        stored = decoder(data, divisor)
        return Reduced(stored[::-1, ::-1] if orientation == 3 else stored, divisor, 0, 0)

    with patch.object(crop_files, "decode_reduced", decode):
        ours(folder, turn)


def reduced_opencv(data: bytes, divisor: int) -> Pixels:
    """Decode at 1/2, 1/4 or 1/8 with OpenCV."""
    import cv2

    flags = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}
    flag = flags.get(divisor, cv2.IMREAD_REDUCED_COLOR_8) | cv2.IMREAD_IGNORE_ORIENTATION
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), flag), np.uint8)[:, :, ::-1]


def reduced_pillow(data: bytes, divisor: int) -> Pixels:
    """Decode at 1/2, 1/4 or 1/8 with Pillow."""
    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (image.width // divisor, image.height // divisor))
        return np.asarray(image)


def djpeg(folder: Path, turn: Turn) -> None:
    """Only decode, at an eighth of the size, with libjpeg-turbo's own program."""
    for path, _ in turn:
        subprocess.run(["djpeg", "-scale", "1/8", str(folder / path)], stdout=subprocess.DEVNULL, check=True)


CONTENDERS: dict[str, Callable[[Path, Turn], None]] = {
    "plain, Pillow": plain_pillow,
    "plain, OpenCV": plain_opencv,
    "pyojeong": ours,
    "pyojeong again": ours,
    "with OpenCV": partial(ours_with, reduced_opencv),
    "with Pillow": partial(ours_with, reduced_pillow),
    "djpeg 1/8": djpeg,
}
NEEDS = {"plain, OpenCV": "cv2", "with OpenCV": "cv2"}


def serve(name: str, folder: Path) -> None:
    """Take a turn for each line on stdin and answer with its wall and CPU seconds; runs in its own process."""
    for line in sys.stdin:
        turn: Turn = [(path, tuple(box)) for path, box in json.loads(line)]
        start, cpu = time.perf_counter(), os.times()
        CONTENDERS[name](folder, turn)
        used = [after - before for before, after in zip(cpu, os.times(), strict=True)]
        print(json.dumps([time.perf_counter() - start, sum(used[:4])]), flush=True)


class Contender:
    """A contender's process."""

    def __init__(self, name: str, folder: Path) -> None:
        command = [sys.executable, __file__, "--serve", name, "--folder", str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def take(self, turn: Turn) -> tuple[float, float]:
        """Return wall and CPU seconds of one turn."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(turn) + "\n")
        self.process.stdin.flush()
        wall, cpu = json.loads(self.process.stdout.readline())
        return wall, cpu

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def crops_part(folder: Path, photographs: int, rounds: int) -> None:
    """Draw photographs, let the contenders take turns, print the table and the ratios."""
    turn: Turn = []
    size = 0
    for seed in range(photographs):
        data, box = draw_photograph(seed)
        (folder / f"{seed}.jpg").write_bytes(data)
        turn.append((f"{seed}.jpg", box))
        size += len(data)
    names = [name for name in CONTENDERS if find_spec(NEEDS.get(name, "json"))]
    if shutil.which("djpeg") is None:
        names.remove("djpeg 1/8")
        print("djpeg is not installed (Debian: libjpeg-turbo-progs); the entropy floor is left out")
    contenders = {name: Contender(name, folder) for name in names}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    both: list[float] = []
    both_cpu: list[float] = []
    for number in range(rounds + 1):
        seconds = {name: contender.take(turn) for name, contender in contenders.items()}
        pair = [contenders["pyojeong"], contenders["pyojeong again"]]
        start = time.perf_counter()
        with ThreadPoolExecutor(2) as threads:
            together = list(threads.map(lambda contender: contender.take(turn), pair))
        if number:  # the first turn warms up
            both.append(time.perf_counter() - start)
            both_cpu += [used for _, used in together]
            for name, wall_and_cpu in seconds.items():
                times[name].append(wall_and_cpu)
    for contender in contenders.values():
        contender.close()
    wall = {name: min(wall for wall, _ in values) / photographs for name, values in times.items()}
    cpu = {name: statistics.median(cpu for _, cpu in values) / photographs for name, values in times.items()}
    print(f"\ncrops of {photographs} synthetic photographs of 12 MP, {size / photographs / 1e6:.1f} MB each, ", end="")
    print(f"{rounds} rounds; {machine(*PACKAGES)}")
    print(f"{'contender':<18}{'fastest ms':>11}{'median ms':>11}{'CPU ms':>8}{'vs plain':>10}")
    for name in names:
        median = statistics.median(seconds for seconds, _ in times[name]) / photographs
        ratio = wall["plain, Pillow"] / wall[name]
        print(f"{name:<18}{wall[name] * 1e3:>11.1f}{median * 1e3:>11.1f}{cpu[name] * 1e3:>8.1f}{ratio:>9.2f}x")
    sizes = [path.stat().st_size for path in (folder / "ours").iterdir()]
    hours, gigabytes = cpu["pyojeong"] * 1e5 / 3600, statistics.mean(sizes) * 1e5 / 1e9
    print(f"per 100,000 photographs: {hours:.2f} hours of one core, {gigabytes:.2f} GB of crops")
    print(f"mean difference from the crop of a full decode: {difference(folder, turn):.2f} gray levels (at most 1.5)")
    ratios = {"crop_vs_full_decode": wall["plain, Pillow"] / wall["pyojeong"]}
    by_cpu = {"crop_vs_full_decode": cpu["plain, Pillow"] / cpu["pyojeong"]}
    if "djpeg 1/8" in wall:
        ratios["crop_vs_entropy_floor"] = wall["pyojeong"] / wall["djpeg 1/8"]
        by_cpu["crop_vs_entropy_floor"] = cpu["pyojeong"] / cpu["djpeg 1/8"]
    ratios["two_processes"] = 2 * photographs * wall["pyojeong"] / min(both)
    by_cpu["two_processes"] = 2 * photographs * cpu["pyojeong"] / statistics.median(both_cpu)
    print("by CPU time, which other work disturbs least: ", end="")
    print(", ".join(f"{name} {ratio:.2f}" for name, ratio in by_cpu.items()))
    print("crop_vs_entropy_floor is the time against the floor's, at most its goal; the others are at least theirs")
    for name, ratio in ratios.items():
        print(f"RATIO {name} {ratio:.2f} goal {GOALS[name]}")


def difference(folder: Path, turn: Turn) -> float:
    """Return the largest mean absolute difference, over the photographs, from the crop of a full-size decode."""
    differences = []
    for path, box in turn:
        data = (folder / path).read_bytes()
        width, height, _ = images.measure(data)
        region = patch_region(box)
        reduced = images.decode_reduced(data, enough_size(region, width, height))
        ours = reduced_crop(reduced, region).astype(int)
        differences.append(float(np.abs(ours - face_crop(images.decode(data), box)).mean()))
    return max(differences)


def main() -> None:
    """Print the tables and the RATIO lines."""
    parser = argparse.ArgumentParser(description="data preparation: the index of 500,000 records, crops of 12 MP")
    parser.add_argument("parts", nargs="*", choices=["index", "crops", []], help="index, crops [both]")
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--photographs", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="folder that keeps the data set of the index part [temporary]")
    parser.add_argument("--index-of", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.index_of:
        print_index(options.index_of)
        return
    if options.serve:
        serve(options.serve, options.folder)
        return
    parts = options.parts or ["index", "crops"]
    with tempfile.TemporaryDirectory() as temporary:
        if "index" in parts:
            index_part(options.folder or Path(temporary), options.records)
        if "crops" in parts:
            crops_part(Path(temporary), options.photographs, options.rounds)


if __name__ == "__main__":
    main()
