"""Run the seven experiments from source to report; each stage does only what is not done yet."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pyojeong.core.errors import InputError
from pyojeong.core.files import json_value, require_file
from pyojeong.core.geometry import MARGIN
from pyojeong.core.labels import SCHEMES, scheme_named
from pyojeong.core.workspace import CROPS_CSV, EXPERIMENTS, K7_MODEL, K7_RUN, SAMPLE, SPLITS_CSV, SUMMARY, Experiment
from pyojeong.data.prepare import prepare
from pyojeong.evaluation.evaluate import evaluate
from pyojeong.evaluation.evaluation_csv import EvaluationTable
from pyojeong.export.eight_bit import eight_bit_name
from pyojeong.export.onnx_file import export_onnx
from pyojeong.faceapi.engines import FaceApiContender
from pyojeong.report.report import Report, report
from pyojeong.sample.archives import draw_sample
from pyojeong.training.box_check import look_if_installed
from pyojeong.training.recipe import Recipe, TrainingTables
from pyojeong.training.run import check_weights, train

TRAINED = [experiment for experiment in EXPERIMENTS.values() if experiment.mode != "faceapi"]
"""The experiments that are trained here."""


@dataclass(frozen=True)
class Profile:
    """How a profile of ``experiments.toml`` trains.

    Attributes:
        name: its name in the file.
        options: training options by table: ``all``, ``probe``, ``finetune`` and, for one scheme, ``finetune.K7``.
        people: size of the synthetic sample, where the profile is used with it.
    """

    name: str
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    people: int = 60

    def training_options(self, mode: str, scheme: str) -> dict[str, Any]:
        """Return the options of one run; a narrower table overrides a wider one."""
        tables = ("all", mode, f"{mode}.{scheme}")
        return {key: value for table in tables for key, value in self.options.get(table, {}).items()}


def load_profile(name: str, path: Path | None = None) -> Profile:
    """Read a profile from ``path``, or from the package's own experiments.toml.

    Raises InputError when the file is not TOML, the profile is not in it, or a key is unknown.
    """
    shown = path or "experiments.toml"
    if path:
        require_file(path)
    try:
        text = path.read_text(encoding="utf-8-sig") if path else _own_profiles()
        profiles = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{shown}: not readable as TOML ({error})") from None
    if not isinstance(profiles.get(name), dict):
        raise InputError(f"{shown}: no profile {name!r}; the profiles are {', '.join(profiles)}")
    try:
        return _checked(name, profiles[name])
    except InputError as error:
        raise InputError(f"{shown}, profile {name}: {error}") from None


def run(
    root: Path,
    source: Path | None,
    profile: Profile,
    *,
    preparation: Mapping[str, Any] = MappingProxyType({}),
    workers: int = 1,
    say: Callable[[str], None] = lambda line: None,
) -> Report:
    """Run preparation, baseline, training, export and report on a source.

    Args:
        root: the workspace.
        source: AI Hub's archives or folders; None makes the synthetic sample first.
        profile: how the five networks are trained.
        preparation: keyword arguments of ``prepare``, such as ``policy``.
        workers: number of processes for the image work.
        say: called with a line when a stage begins.

    Raises:
        InputError: as the stages do. Finished work stays, and the next call resumes there.
    """
    for experiment in TRAINED:
        recipe = Recipe.of(experiment.mode, profile.training_options(experiment.mode, experiment.scheme))
        recipe.require_crops(MARGIN)
        check_weights(recipe, scheme_named(experiment.scheme).classes)
    if source is None:
        if json_value(root / SUMMARY, "synthetic") is False:
            raise InputError(
                f"{root / SUMMARY}: describes real photographs, and the sample would replace all results made "
                "from them; choose another --project-root"
            )
        source = root / SAMPLE
        say(f"Making the synthetic sample in {SAMPLE}")
        draw_sample(source, people=profile.people, seed=1337, workers=workers)
    say("Preparing splits and crops in data_shared")
    prepare(source, root, workers=workers, look=look_if_installed, **preparation)
    say("Running face-api.js's nets on the test photographs (FaceAPI_M1, FaceAPI_M2)")
    _baseline(root, workers)
    for experiment in TRAINED:
        say(f"Training {experiment.name}")
        _train(root, experiment, profile, workers)
    say("Exporting K7 to ONNX")
    _export(root / K7_RUN)
    say("Writing reports")
    return report(root)


def _train(root: Path, experiment: Experiment, profile: Profile, workers: int) -> None:
    mode, scheme = experiment.mode, experiment.scheme
    train_csv, val_csv, test_csv = (root / CROPS_CSV / f"{split}_{scheme}.csv" for split in ("train", "val", "test"))
    train(
        Recipe.of(mode, profile.training_options(mode, scheme)),
        TrainingTables(train_csv, val_csv, test_csv),
        root / experiment.run,
        scheme=scheme,
        root=root,
        workers=workers,
    )


def _baseline(root: Path, workers: int) -> None:
    tables = [
        EvaluationTable(
            root / SPLITS_CSV / f"test_{scheme}.csv",
            scheme,
            root / EXPERIMENTS[f"FaceAPI_{scheme}"].predictions,
        )
        for scheme in ("M1", "M2")
    ]
    evaluate(tables, FaceApiContender(), root=root, workers=workers)


def _export(run: Path) -> None:
    checkpoint = run / "best.pt"
    trained = checkpoint.stat().st_mtime_ns
    made = [run / name for name in (K7_MODEL, eight_bit_name(K7_MODEL), "classes.json")]
    if not all(path.is_file() and path.stat().st_mtime_ns >= trained for path in made):
        export_onnx(checkpoint)


def _own_profiles() -> str:
    return (files("pyojeong") / "experiments.toml").read_text(encoding="utf-8")


def _checked(name: str, content: dict[str, Any]) -> Profile:
    unknown = set(content) - {"people", "all", "probe", "finetune"}
    if unknown:
        raise InputError(f"unknown key {', '.join(sorted(unknown))}; the keys are people, all, probe and finetune")
    tables: dict[str, dict[str, Any]] = {}
    for table in ("all", "probe", "finetune"):
        values = content.get(table, {})
        if not isinstance(values, dict) or "mode" in values:
            raise InputError(f"[{name}.{table}] must be a table of training options, without mode")
        tables[table] = {key: value for key, value in values.items() if not isinstance(value, dict)}
        narrower = {f"{table}.{key}": value for key, value in values.items() if isinstance(value, dict)}
        if foreign := sorted(set(narrower) - {f"{table}.{scheme}" for scheme in SCHEMES}):
            raise InputError(f"there is no label scheme for {', '.join(foreign)}; there are {', '.join(SCHEMES)}")
        tables |= narrower
    people = content.get("people", Profile.people)
    if not isinstance(people, int) or isinstance(people, bool):
        raise InputError(f"people is {people!r}; it must be a whole number")
    profile = Profile(name, tables, people)
    for mode, scheme in product(("probe", "finetune"), SCHEMES):
        # Rejects unknown keys and impossible values before the first stage starts.
        Recipe.of(mode, profile.training_options(mode, scheme))
    return profile
