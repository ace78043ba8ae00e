"""Make the package's own model from the data sets, stage after stage, as the model card describes.

    python scripts/make_model.py FOLDER --teachers TGZ [--imagenet NPZ] [--root made] [--stop-after STAGE] [--seed N]
    python scripts/make_model.py FOLDER --teachers TGZ --first MODEL [--second MODEL] [...]

FOLDER holds the archives of ``mixture.py``; TGZ is the npm package of ``vggface2.py``, NPZ holds ImageNet's weights for
MobileNetV3-Small (without it torchvision's are downloaded). With ``--first``, this project's own first network is taken
instead of training one; with ``--second`` its second one too, so that only the last training remains. All is written
below ROOT. Each stage leaves one file, whose checksum is kept in ``stages.json``: a stage whose file is there and
unchanged is not repeated, so that the work can be done in pieces, or go on from another computer's ROOT. Training that
was interrupted goes on behind its last epoch. Another seed needs another ROOT.
"""

import argparse
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pyojeong.core.errors import InputError
from pyojeong.core.files import read_json, write_bytes, write_json

DONE = "stages.json"
MIXED = " ".join(f"--{part}-csv data_raw/mixed_{part}_BASIC7.csv" for part in ("train", "val", "test"))
RAFDB = " ".join(f"--{part}-csv data_raw/{part}_BASIC7.csv" for part in ("train", "val", "test"))


@dataclass(frozen=True)
class Stage:
    """A part of the chain.

    Attributes:
        name: as ``--stop-after`` takes it.
        file: what it leaves, below ROOT.
        tables: commands that write the tables it reads.
        commands: those that make the file. Both are scripts of this folder and commands of ``pyojeong``, with places
            for the options of this script.
    """

    name: str
    file: str
    tables: Sequence[str]
    commands: Sequence[str]


RAFDB_TABLES = ("rafdb.py {folder}/rafdb.zip",)
THREE_HELD_OUT = ("mixture.py {folder} --answers rafdb.onnx",)
ALL_PERFORMERS = ("mixture.py {folder} --answers rafdb.onnx --hold-out {nobody}",)

STAGES = (
    Stage(
        "first",
        "rafdb.onnx",
        RAFDB_TABLES,
        (
            "vggface2.py {teachers}",
            f"train --profile best --weights {{imagenet}} {RAFDB} --seed {{seed}} --out models/rafdb",
            "export --checkpoint models/rafdb/best.pt --out . --name rafdb.onnx",
        ),
    ),
    Stage(
        "long",
        "models/long/best.pt",
        THREE_HELD_OUT,
        (f"train --profile mixture {MIXED} --seed {{seed}} --out models/long",),
    ),
    Stage(
        "all",
        "models/all/best.pt",
        ALL_PERFORMERS,
        (
            f"train --profile mixture {MIXED} --weights models/long/best.pt --seed {{last_seed}} --epochs 20 "
            "--lr-head 5e-4 --lr-backbone 5e-4 --set draws=14000 --set ema=0.998 --set {last_sets} --out models/all",
        ),
    ),
    Stage(
        "second",
        "second_8bit.onnx",
        ALL_PERFORMERS,
        (
            "soup.py second.pt --csv data_raw/mixed_val_BASIC7.csv --calibration-set rafdb models/all/best.pt",
            "export --checkpoint second.pt --out . --name second.onnx",
        ),
    ),
    Stage(
        "taught",
        "models/taught/best.pt",
        ALL_PERFORMERS,
        (
            "vggface2.py {teachers}",
            f"train --profile mixture {MIXED} --weights second_8bit.onnx --seed {{taught_seed}} --epochs 24 "
            "--lr-head 6e-4 --lr-backbone 6e-4 --set ema=0.998 --set {networks} --set teacher_epochs=14 "
            "--set teacher_weights=mobilenet_vggface2.safetensors --set teacher_strength=0.75 --set distil=0.6 "
            "--set set_votes=rafdb:0.25 --set {taught_sets} --out models/taught",
        ),
    ),
    Stage(
        "model",
        "model/basic7_mnv3s_160_8bit.onnx",
        (*RAFDB_TABLES, *ALL_PERFORMERS),
        (
            "soup.py shipped.pt --csv data_raw/mixed_val_BASIC7.csv --calibration-set rafdb models/taught/best.pt",
            "export --checkpoint shipped.pt --out exported --name basic7_mnv3s_160.onnx",
            "evaluate --csv data_raw/val_BASIC7.csv --model exported/basic7_mnv3s_160_8bit.onnx --out val_eval.csv",
            "unsure.py val_eval.csv --scheme BASIC7 --risk 0.1 --model exported/basic7_mnv3s_160_8bit.onnx --out "
            "model/basic7_mnv3s_160_8bit.onnx",
        ),
    ),
)
ARCHIVES = ("rafdb", "fer2013", "ckplus48", "taiwan_odd", "jaffe", "utk_asian")
SEEDS = {"seed": "1337", "last_seed": "7", "taught_seed": "1338"}
"""The shipped network's."""

OWN_SHA256 = {
    "first": "dea6466b91a5f2d51bbd807fdcfbdfcf13cf84d24dabf6b0c3595aa8076d74d9",
    "second": "325113df90ad7f0ec3e3b19e0b9aa0e52c4819934fcd0c90acf341651c5d4132",
}
"""This project's networks that can be given instead of being trained."""

VALUES = {
    "nobody": "",
    "last_sets": "set_weights=rafdb:4 fer2013:3.5 taiwan_odd:1.3 utk_asian:0.7 ckplus48:0.2",
    "networks": "teachers=vggface2 start start",
    "taught_sets": "set_weights=rafdb:4 fer2013:4 taiwan_odd:1.2 utk_asian:1 ckplus48:0.3",
}
"""Arguments with spaces in them, or none, by their places."""


def command(line: str, places: dict[str, str]) -> list[str]:
    """Return the arguments of a command; the text of a place stays one argument."""
    first, *rest = [word.format(**places) for word in line.split()]
    program = [str(Path(__file__).parent / first)] if first.endswith(".py") else ["-m", "pyojeong", first]
    return [sys.executable, *program, *rest]


def taken_up(stage: Stage, root: Path, known: dict[str, str]) -> bool:
    """Return whether a stage's file is there already; InputError where it has changed."""
    file = root / stage.file
    if stage.name not in known or not file.is_file():
        return False
    if _sha256(file) != known[stage.name]:
        raise InputError(f"{file}: is not the file that stage {stage.name} left; remove it to repeat the stage")
    return True


def make(stages: Sequence[Stage], root: Path, places: dict[str, str]) -> Iterator[str]:
    """Run the stages whose files are missing and yield a line for each stage.

    Raises InputError where a stage fails or a file has changed. A stage that is repeated makes those after it out of
    date, so they are repeated too.
    """
    root.mkdir(parents=True, exist_ok=True)
    known: dict[str, str] = read_json(root / DONE) if (root / DONE).is_file() else {}
    tables: Sequence[str] = ()
    for stage in stages:
        if taken_up(stage, root, known):
            yield f"{stage.name}: {stage.file} is there, SHA-256 {known[stage.name]}"
            continue
        known = {name: known[name] for name in [one.name for one in stages[: stages.index(stage)]]}
        write_json(root / DONE, known)
        # Not those of an earlier call: its ROOT may have lain on another computer.
        for line in [line for line in stage.tables if line not in tables] + [*stage.commands]:
            if code := subprocess.run(command(line, places), cwd=root, check=False).returncode:
                raise InputError(f"stage {stage.name}: {line.split()[0]} ended with exit code {code}; see above")
        tables = stage.tables
        known[stage.name] = _sha256(root / stage.file)
        write_json(root / DONE, known)
        yield f"{stage.name}: made {stage.file}, SHA-256 {known[stage.name]}"


def check_seeds(root: Path, seeds: dict[str, str]) -> None:
    """Keep the seeds below ``root``; InputError where its stages were made with others."""
    file = root / "seeds.json"
    if (root / DONE).is_file() and file.is_file() and (there := read_json(file)) != seeds:
        raise InputError(f"{file}: these stages have other seeds, {there}; give another --root")
    write_json(file, seeds)


def check_archives(folder: Path) -> None:
    """Raise InputError where an archive of ``mixture.py`` is missing, before hours of training need it."""
    if missing := [name for name in ARCHIVES if not (folder / f"{name}.zip").is_file()]:
        raise InputError(
            f"{folder}: has no {missing[0]}.zip; the runbook lists the archives that this folder must hold"
        )


def with_own(stages: Sequence[Stage], root: Path, networks: dict[str, Path]) -> list[Stage]:
    """Return ``stages`` without the training of ``networks``, by stage, which are copied below ``root``.

    A second network needs no stage but the first before it. Raises InputError where one of them is not this project's,
    or where ``root`` has another one.
    """
    contents = {name: path.read_bytes() for name, path in networks.items()}
    files = {stage.name: root / stage.file for stage in stages}
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != (wanted := OWN_SHA256[name]):
            raise InputError(f"--{name} {networks[name]}: is not this project's network, whose SHA-256 is {wanted}")
        if files[name].is_file() and _sha256(files[name]) != wanted:
            raise InputError(f"{files[name]}: is another network than --{name} {networks[name]}; give another --root")
    for name, content in contents.items():
        write_bytes(files[name], content)
    names = [stage.name for stage in stages]
    needless = names[1 : names.index("second")] if "second" in networks else []
    kept = [stage for stage in stages if stage.name not in needless]
    return [replace(stage, commands=()) if stage.name in networks else stage for stage in kept]


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def main() -> None:
    """Make the model as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--teachers", type=Path, metavar="TGZ", required=True)
    parser.add_argument("--imagenet", type=Path, metavar="NPZ", help="default: torchvision's weights, downloaded")
    parser.add_argument("--first", type=Path, metavar="MODEL", help="the first network; nothing is trained for it")
    parser.add_argument("--second", type=Path, metavar="MODEL", help="the second network, together with --first")
    parser.add_argument("--root", type=Path, default=Path("made"))
    parser.add_argument("--seed", type=int, help="of every training run; without it the shipped network's seeds")
    parser.add_argument("--stop-after", choices=[stage.name for stage in STAGES], default=STAGES[-1].name)
    given = parser.parse_args()
    if given.second and not given.first:
        parser.error("--second needs --first, whose answers are learned from")
    if given.second and given.stop_after in ("long", "all"):
        parser.error(f"--stop-after {given.stop_after}: --second leaves this stage out")
    if given.seed is not None and not 0 <= given.seed < 2**32:
        parser.error(f"--seed {given.seed}: must be from 0 to {2**32 - 1}")
    places = {name: os.fspath(getattr(given, name).absolute()) for name in ("folder", "teachers")}
    places["imagenet"] = os.fspath(given.imagenet.absolute()) if given.imagenet else "imagenet"
    seeds = SEEDS if given.seed is None else dict.fromkeys(SEEDS, str(given.seed))
    own = {name: getattr(given, name) for name in OWN_SHA256 if getattr(given, name)}
    try:
        check_archives(given.folder)
        stages = with_own(STAGES, given.root, own)
        check_seeds(given.root, seeds)
        last = [stage.name for stage in stages].index(given.stop_after)
        for line in make(stages[: last + 1], given.root, places | VALUES | seeds):
            print(line, flush=True)
    except (InputError, OSError) as error:
        parser.exit(2, f"error: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, "stopped; the same command goes on from here\n")


if __name__ == "__main__":
    main()
