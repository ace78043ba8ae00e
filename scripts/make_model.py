"""Make the package's own model from the data sets, stage after stage, as the model card describes.

    python scripts/make_model.py FOLDER --teachers TGZ [--imagenet NPZ] [--root made] [--stop-after STAGE] [--seed N]
    python scripts/make_model.py FOLDER --first MODEL [...]

FOLDER holds the archives of ``mixture.py``; TGZ is the npm package of ``vggface2.py``, NPZ holds ImageNet's weights for
MobileNetV3-Small (without it torchvision's are downloaded). With ``--first``, this project's own first network is taken
instead of training one. All is written below ROOT. Each stage leaves one file, whose checksum is kept in
``stages.json``: a stage whose file is there and unchanged is not repeated, so the work can be done in pieces. Between
two stages ROOT can be copied to another computer; on the same one, training that was interrupted resumes after its last
epoch. Another seed needs another ROOT.
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
        "model",
        "model/basic7_mnv3s_160_8bit.onnx",
        (*RAFDB_TABLES, *ALL_PERFORMERS),
        (
            "soup.py shipped.pt --csv data_raw/mixed_val_BASIC7.csv --calibration-set rafdb models/all/best.pt",
            "export --checkpoint shipped.pt --out exported --name basic7_mnv3s_160.onnx",
            "evaluate --csv data_raw/val_BASIC7.csv --model exported/basic7_mnv3s_160_8bit.onnx --out val_eval.csv",
            "unsure.py val_eval.csv --scheme BASIC7 --risk 0.1 --model exported/basic7_mnv3s_160_8bit.onnx --out "
            "model/basic7_mnv3s_160_8bit.onnx",
        ),
    ),
)
ARCHIVES = ("rafdb", "fer2013", "ckplus48", "taiwan_odd", "jaffe", "utk_asian")
SEEDS = {"seed": "1337", "last_seed": "7"}
"""The shipped network's."""

FIRST_SHA256 = "dea6466b91a5f2d51bbd807fdcfbdfcf13cf84d24dabf6b0c3595aa8076d74d9"
LAST_SETS = "set_weights=rafdb:4 fer2013:3.5 taiwan_odd:1.3 utk_asian:0.7 ckplus48:0.2"


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
        # Those of an earlier call are made again: ROOT may come from another computer, with other paths.
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
    there = read_json(file) if file.is_file() else "unknown ones"
    if (root / DONE).is_file() and there != seeds:
        raise InputError(f"{file}: these stages have other seeds, {there}; give another --root")
    write_json(file, seeds)


def check_archives(folder: Path) -> None:
    """Raise InputError where an archive of ``mixture.py`` is missing, before hours of training need it."""
    if missing := [name for name in ARCHIVES if not (folder / f"{name}.zip").is_file()]:
        raise InputError(
            f"{folder}: has no {missing[0]}.zip; the runbook lists the archives that this folder must hold"
        )


def with_first(stages: Sequence[Stage], root: Path, first: Path) -> list[Stage]:
    """Return ``stages`` without the training of the first network, and copy this project's own below ``root``.

    Raises InputError where ``first`` is another file, or where ``root`` has another network.
    """
    content, file = first.read_bytes(), root / stages[0].file
    if hashlib.sha256(content).hexdigest() != FIRST_SHA256:
        raise InputError(f"--first {first}: is not this project's first network, whose SHA-256 is {FIRST_SHA256}")
    if file.is_file() and _sha256(file) != FIRST_SHA256:
        raise InputError(f"{file}: is another network than --first {first}; give another --root")
    write_bytes(file, content)
    return [replace(stages[0], commands=()), *stages[1:]]


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def main() -> None:
    """Make the model as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--teachers", type=Path, metavar="TGZ")
    parser.add_argument("--imagenet", type=Path, metavar="NPZ", help="default: torchvision's weights, downloaded")
    parser.add_argument("--first", type=Path, metavar="MODEL", help="the first network; nothing is trained for it")
    parser.add_argument("--root", type=Path, default=Path("made"))
    parser.add_argument("--seed", type=int, help="of every training run; without it the shipped network's seeds")
    parser.add_argument("--stop-after", choices=[stage.name for stage in STAGES], default=STAGES[-1].name)
    given = parser.parse_args()
    if not (given.first or given.teachers):
        parser.error("give --teachers, or --first")
    if given.seed is not None and not 0 <= given.seed < 2**32:
        parser.error(f"--seed {given.seed}: must be from 0 to {2**32 - 1}")
    places = {name: os.fspath((getattr(given, name) or Path()).absolute()) for name in ("folder", "teachers")}
    places |= {"imagenet": os.fspath(given.imagenet.absolute()) if given.imagenet else "imagenet"}
    places |= {"nobody": "", "last_sets": LAST_SETS}
    seeds = SEEDS if given.seed is None else dict.fromkeys(SEEDS, str(given.seed))
    last = [stage.name for stage in STAGES].index(given.stop_after)
    try:
        check_archives(given.folder)
        stages = with_first(STAGES, given.root, given.first) if given.first else STAGES
        check_seeds(given.root, seeds)
        for line in make(stages[: last + 1], given.root, places | seeds):
            print(line, flush=True)
    except (InputError, OSError) as error:
        parser.exit(2, f"error: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, "stopped; the same command goes on from here\n")


if __name__ == "__main__":
    main()
