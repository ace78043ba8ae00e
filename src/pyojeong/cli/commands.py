"""The command line: parses, calls one function, prints."""

import errno
import json
import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pyojeong import __version__
from pyojeong.cli import terminal
from pyojeong.cli.options import (
    BoxKind,
    Decode,
    Engine,
    InputSize,
    Library,
    Outs,
    Policy,
    Profiles,
    Root,
    Scheduler,
    SchemeName,
    ScoreThreshold,
    Seed,
    SkipUnreadable,
    Split,
    Workers,
    short_name,
    with_outs,
)
from pyojeong.core.errors import InputError, extra_with
from pyojeong.core.labels import scheme_for, scheme_named
from pyojeong.core.progress import show_messages

if TYPE_CHECKING:
    from pyojeong.evaluation.evaluation_csv import EvaluationSummary, EvaluationTable

app = typer.Typer(
    help="표정: face-api.js and MobileNetV3-Small compared fairly on Korean faces, and a better model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command line; every problem of the user's becomes one line on stderr and exit code 2."""
    show_messages()
    # PyTorch's idle threads spin by default; where others use the cores too, training then crawls.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except InputError as error:
        _stop(str(error))
    except ModuleNotFoundError as error:
        extra = extra_with(error.name)
        if extra is None:
            raise
        _stop(f"this command needs the package {error.name}; install it with: pip install 'pyojeong[{extra}]'")
    except OSError as error:
        file = error.filename or "a file"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            _stop(
                f"{file}: no space left. What was finished is intact; free some space and run the same command again, "
                "it goes on where it stopped."
            )
        _stop(f"{file}: {error.strerror or error}; make it accessible, or name another place")


@app.callback(invoke_without_command=True)
def _top(version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def sample(
    out: Annotated[Path, typer.Option(help="Folder to draw into.")],
    people: Annotated[int, typer.Option(help="Number of synthetic people.")] = 60,
    seed: Seed = 1337,
    workers: Workers = 1,
) -> None:
    """Draw a small data set in the exact shape of AI Hub data set 82."""
    from pyojeong.sample.archives import draw_sample

    terminal.print_json(draw_sample(out, people=people, seed=seed, workers=workers))


@app.command()
def prepare(
    source: Annotated[Path, typer.Argument(help="Folder with AI Hub's archives, unpacked folders, or both.")],
    root: Root = Path(),
    policy: Policy = "majority",
    split: Split = "person",
    seed: Seed = 1337,
    skip_unreadable: SkipUnreadable = False,
    workers: Workers = 1,
    scheduler: Scheduler = None,
) -> None:
    """Turn AI Hub's archives into split CSVs, face crops and a summary; exit code 3 when archives were passed over."""
    from pyojeong.data.prepare import prepare as run_prepare

    summary = run_prepare(
        source,
        root,
        policy=policy,
        split=split,
        seed=seed,
        workers=workers,
        scheduler=scheduler,
        skip_unreadable=skip_unreadable,
    )
    shown = ("link", "photographs", "kept", "people", "people_per_split", "images", "drops", "warnings", "crops_made")
    terminal.print_json({key: summary[key] for key in shown if key in summary})
    print(f"All of it: {root / 'data_shared' / 'summary.html'}")
    _end_incomplete(summary)


def _end_incomplete(summary: dict[str, Any]) -> None:
    """Say what of SOURCE is missing in what was prepared, if anything, and end with exit code 3."""
    from pyojeong.data.prepare import LOST

    if lost := {reason: summary["drops"][reason] for reason in LOST if reason in summary["drops"]}:
        words = ", ".join(f"{count} {reason}" for reason, count in lost.items())
        print(f"incomplete: {words}; the summary names them. The rest is done.", file=sys.stderr)
        raise typer.Exit(3)


@app.command()
def baseline(
    csv: Annotated[list[Path], typer.Option(help="Table of photographs with boxes; several share one pass.")],
    out: Outs = None,
    scheme: SchemeName = None,
    root: Root = Path(),
    engine: Engine = "onnx",
    library: Library = "vladmandic",
    input_size: InputSize = 416,
    score_threshold: ScoreThreshold = 0.5,
    decode: Decode = "exact",
    workers: Workers = 1,
    scheduler: Scheduler = None,
) -> None:
    """Run face-api.js on tables of photographs and write its evaluation CSVs."""
    from pyojeong.evaluation.evaluate import evaluate
    from pyojeong.faceapi.engines import FaceApiContender

    face_api = FaceApiContender(engine, library, input_size, score_threshold, decode)
    if not out and not face_api.in_reports:
        raise InputError(
            "with these options it is another contender than that of the reports; name its tables with --out"
        )
    results = root / "models" / "faceapi_baseline" / "results"
    tables = with_outs(csv, scheme, out or [results / f"faceapi_{short_name(scheme, table)}_eval.csv" for table in csv])
    _print_summaries(tables, evaluate(tables, face_api, root=root, workers=workers, scheduler=scheduler))


@app.command()
def evaluate(
    csv: Annotated[list[Path], typer.Option(help="Table of photographs with boxes, or of crops.")],
    out: Outs = None,
    model: Annotated[Path | None, typer.Option(help="An exported ONNX model. [default: the package's own]")] = None,
    box_kind: BoxKind = "annotator",
    scheme: SchemeName = None,
    root: Root = Path(),
    workers: Workers = 1,
    scheduler: Scheduler = None,
) -> None:
    """Run our model on tables of photographs and write what baseline writes of face-api.js, for compare."""
    from pyojeong.analyzer import OurModel
    from pyojeong.evaluation.evaluate import evaluate as run_evaluate

    ours = OurModel.at(model, box_kind)
    results = root / "models" / "evaluations"
    tables = with_outs(csv, scheme, out or [results / f"{ours.title}_{table.stem}_eval.csv" for table in csv])
    _print_summaries(tables, run_evaluate(tables, ours, root=root, workers=workers, scheduler=scheduler))


@app.command()
def faces(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Image files.")],
    engine: Engine = "onnx",
    library: Library = "vladmandic",
    input_size: InputSize = 416,
    score_threshold: ScoreThreshold = 0.5,
    decode: Decode = "exact",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, at full precision.")] = False,
) -> None:
    """Print every face that face-api.js finds: box, score, seven probabilities."""
    from pyojeong.faceapi.faces import faces as find_faces

    results = find_faces(
        images,
        engine=engine,
        library=library,
        input_size=input_size,
        score_threshold=score_threshold,
        decode=decode,
    )
    _print_faces((result.to_dict() for result in results), as_json, "expressions")


@app.command()
def emotions(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Image files.")],
    model: Annotated[Path | None, typer.Option(help="An exported ONNX model. [default: the package's own]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, at full precision.")] = False,
) -> None:
    """Print every face with our model's probabilities."""
    from pyojeong.analyzer import emotions as find_emotions

    _print_faces(find_emotions(images, model=model), as_json, "emotions")


@app.command()
def train(
    train_csv: Annotated[Path, typer.Option(help="Crops to learn from.")],
    val_csv: Annotated[Path, typer.Option(help="Crops that choose the epoch.")],
    test_csv: Annotated[Path, typer.Option(help="Crops that are scored once.")],
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    mode: Annotated[str, typer.Option(help="probe (head only) or finetune (in stages).")] = "finetune",
    profile: Annotated[
        str, typer.Option(help="Where the recipe comes from: full (the published one), best or sample.")
    ] = "full",
    experiments: Profiles = None,
    root: Root = Path(),
    scheme: SchemeName = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the images. [full: 5; finetune 30, K7 50]")] = None,
    batch: Annotated[int | None, typer.Option(help="Images a step. [full: 1024]")] = None,
    lr_head: Annotated[float | None, typer.Option(help="The head's learning rate. [full: 7e-4; finetune 5e-4]")] = None,
    lr_backbone: Annotated[float | None, typer.Option(help="The backbone's learning rate. [full: 1e-4]")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same metrics. [1337]")] = None,
    weights: Annotated[str | None, typer.Option(help="imagenet (downloaded), random, or a file. [imagenet]")] = None,
    option: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any other field of the recipe.")
    ] = None,
    box_kind: BoxKind = "annotator",
    allow_empty_class: Annotated[bool, typer.Option(help="Train although a class has no row.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    workers: Annotated[int, typer.Option(min=1, help="Threads that decode the crops.")] = 2,
) -> None:
    """Train MobileNetV3-Small on tables of crops."""
    from pyojeong.experiments import load_profile
    from pyojeong.training import distributed
    from pyojeong.training.recipe import Recipe, read_options
    from pyojeong.training.run import train as run_train

    named = {
        "epochs": epochs,
        "batch": batch,
        "lr_head": lr_head,
        "lr_backbone": lr_backbone,
        "seed": seed,
        "weights": weights,
    }
    more = read_options(option or [], {*named, "mode"})
    known_scheme = scheme_for(scheme, train_csv)
    given = {key: value for key, value in {**named, **more}.items() if value is not None}
    options = load_profile(profile, experiments).training_options(mode, known_scheme.name) | given
    Recipe.of(mode, options).require_effect(given)
    metrics = run_train(
        mode=mode,
        scheme=known_scheme,
        train_csv=train_csv,
        val_csv=val_csv,
        test_csv=test_csv,
        out=out,
        root=root,
        workers=workers,
        device=device,
        box_kind=box_kind,
        allow_empty=allow_empty_class,
        **options,
    )
    if distributed.is_first():
        terminal.print_json({key: metrics[key] for key in ("n", "accuracy", "macro_f1", "epoch") if key in metrics})
        print(f"{out}/test_metrics.json has all figures")


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Option(help="best.pt of a run.")] = Path(
        "models/mobilenetv3_classifier/runs/finetune_K7_160/best.pt"
    ),
    out: Annotated[Path | None, typer.Option(help="Folder to write to. [default: the checkpoint's]")] = None,
    name: Annotated[str, typer.Option(help="File name of the ONNX model.")] = "k7_mnv3s_160.onnx",
) -> None:
    """Write the ONNX model and classes.json, checked against the checkpoint."""
    from pyojeong.export.onnx_file import export as run_export

    print(run_export(checkpoint, out or checkpoint.parent, name))


@app.command()
def report(root: Root = Path()) -> None:
    """Write the report CSVs, figures and page from the predictions that are there."""
    from pyojeong.report.report import report as run_report

    terminal.print_report(run_report(root), root)


@app.command()
def compare(
    files: Annotated[list[str], typer.Argument(metavar="NAME=CSV...", help="Contenders and their predictions.")],
    scheme: Annotated[str, typer.Option(help="K7, M1, M2 or BASIC7.")],
    out: Annotated[Path, typer.Option(help="Folder for the tables and the figure.")],
    protocol: Annotated[
        list[str] | None, typer.Option(help="matched, all or given; repeat for several. [default: all three]")
    ] = None,
) -> None:
    """Put prediction files on their common images beside each other, with intervals and a paired test."""
    from pyojeong.evaluation.protocols import PROTOCOLS
    from pyojeong.report.report import compare as run_compare

    pairs = [file.partition("=") for file in files]
    wrong = [file for file, pair in zip(files, pairs, strict=True) if not (pair[0] and pair[2])]
    if wrong:
        raise InputError(f"{wrong[0]!r} names no contender; write NAME=CSV")
    contenders = [(name, Path(path)) for name, _, path in pairs]
    tables = run_compare(contenders, scheme_named(scheme), out, protocols=protocol or PROTOCOLS)
    terminal.print_scores(tables.scores)
    for pair in tables.paired.iter_rows(named=True):
        print(terminal.pair_lines(pair))
    print(f"Tables and figure: {out}")


@app.command()
def run(
    source: Annotated[Path | None, typer.Argument(help="AI Hub's archives; or give --sample.")] = None,
    sample: Annotated[bool, typer.Option("--sample", help="Draw the sample data set and use it.")] = False,
    profile: Annotated[str | None, typer.Option(help="Profile. [sample with --sample, else full]")] = None,
    experiments: Profiles = None,
    root: Root = Path(),
    policy: Policy = "majority",
    split: Split = "person",
    seed: Annotated[int, typer.Option(help="Of the split; the trainings' is the profile's.")] = 1337,
    skip_unreadable: SkipUnreadable = False,
    workers: Workers = 2,
) -> None:
    """Do all of it: prepare, baseline, five trainings, export, reports. Goes on where it stopped.

    Exit code 3 when archives were passed over.
    """
    if (source is None) != sample:
        raise InputError("give either a SOURCE folder or --sample")
    from pyojeong import experiments as seven
    from pyojeong.core.files import read_json
    from pyojeong.core.workspace import SUMMARY

    chosen = seven.load_profile(profile or ("sample" if sample else "full"), experiments)
    preparation = {"policy": policy, "split": split, "seed": seed, "skip_unreadable": skip_unreadable}
    done = seven.run(root, source, chosen, preparation=preparation, workers=workers, say=terminal.say)
    terminal.print_report(done, root)
    # `make run` works in an environment that is not on the PATH.
    print(f"Next: {'pyojeong' if shutil.which('pyojeong') else sys.argv[0]} demo")
    _end_incomplete(read_json(root / SUMMARY))


@app.command()
def demo(
    root: Root = Path(),
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; the next free one when taken.")
    ] = 5173,
    model_dir: Annotated[Path | None, typer.Option(help="Folder with another model and its classes.json.")] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in your browser.")] = True,
) -> None:
    """Serve the page to try the model, on this machine only."""
    from pyojeong.demo import serve

    serve(root, port, model_dir=model_dir, open_browser=browser, announce=terminal.say)


def _print_summaries(tables: list["EvaluationTable"], summaries: list["EvaluationSummary"]) -> None:
    for table, summary in zip(tables, summaries, strict=True):
        terminal.print_json({"csv": str(table.out), **asdict(summary)})
    if not all(summary.coverage.n for summary in summaries):
        raise typer.Exit(3)


def _print_faces(results: Iterable[dict[str, Any]], as_json: bool, answers: str) -> None:
    failed = False
    for result in results:
        failed |= "error" in result
        print(json.dumps(result, ensure_ascii=False) if as_json else terminal.face_lines(result, answers))
    if failed:
        raise typer.Exit(2)


def _stop(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)
