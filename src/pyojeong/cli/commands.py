"""The commands: each parses its options, calls one function of the library and prints the result."""

import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from pyojeong import __version__
from pyojeong.cli import terminal
from pyojeong.cli.analyze import analyze, summary
from pyojeong.cli.options import (
    SCHEME_NAMES,
    AsJson,
    BoxKind,
    Decode,
    Engine,
    Images,
    InputSize,
    Library,
    Mode,
    Model,
    OtherOptions,
    Outs,
    OwnScheme,
    OwnSchemes,
    Policy,
    Port,
    ProfileName,
    Profiles,
    Protocols,
    Root,
    Scheduler,
    SchemeName,
    ScoreThreshold,
    Seed,
    SkipUnreadable,
    Split,
    Tables,
    Workers,
    named_files,
    short_name,
    with_outs,
)
from pyojeong.core.errors import InputError
from pyojeong.core.labels import scheme_for, scheme_named
from pyojeong.core.workspace import EVALUATIONS, FACEAPI_RESULTS, K7_RUN, SUMMARY, SUMMARY_PAGE

app = typer.Typer(
    help="표정: compare face-api.js and MobileNetV3-Small fairly on Korean faces, and use the package's own model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def _top(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def sample(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    people: Annotated[int, typer.Option(help="Number of synthetic people.")] = 60,
    seed: Seed = 1337,
    workers: Workers = 1,
) -> None:
    """Make a small synthetic data set.

    It has the exact layout of AI Hub data set 82.
    """
    from pyojeong.sample.archives import draw_sample

    terminal.print_json(asdict(draw_sample(out, people=people, seed=seed, workers=workers)))


@app.command()
def prepare(
    source: Annotated[Path, typer.Argument(help="Folder with AI Hub's archives, unpacked folders, or both.")],
    root: Root = Path(),
    policy: Policy = "majority",
    split: Split = "person",
    seed: Seed = 1337,
    skip_unreadable: SkipUnreadable = False,
    scheme: OwnSchemes = None,
    workers: Workers = 1,
    scheduler: Scheduler = None,
) -> None:
    """Turn AI Hub's archives into splits and face crops.

    Also writes a summary. The exit code is 3 when archives were skipped.
    """
    from pyojeong.data.prepare import prepare as run_prepare
    from pyojeong.data.prepare import write_view
    from pyojeong.training.box_check import look_if_installed

    own_schemes = [scheme_named(name) for name in scheme or []]
    names = [own.name for own in own_schemes]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"two files of --scheme are named {twice[0]}; rename one, because tables are named after them")
    preparation = run_prepare(
        source,
        root,
        policy=policy,
        split=split,
        seed=seed,
        workers=workers,
        scheduler=scheduler,
        skip_unreadable=skip_unreadable,
        look=look_if_installed,
    )
    shown = ("link", "photographs", "kept", "people", "people_per_split", "images", "drops", "warnings", "crops_made")
    values = asdict(preparation)
    terminal.print_json({key: values[key] for key in shown if values[key] is not None})
    for own in own_schemes:
        terminal.print_json({own.name: write_view(root, own)})
    print(f"Full summary: {root / SUMMARY_PAGE}")
    terminal.end_incomplete(preparation.drops)


@app.command()
def collect(
    folder: Annotated[Path, typer.Argument(help="Holds a folder of photographs for each class, named after it.")],
    root: Root = Path(),
    name: Annotated[str | None, typer.Option(help="Name of the label scheme. [default: that of FOLDER]")] = None,
    scheme: OwnScheme = None,
    seed: Seed = 1337,
) -> None:
    """Make tables of photographs in folders named after their classes.

    Finds the face in each. Photographs of one person, in a folder of their own below the class, stay in one set. Exit
    code 3: some could not be read.
    """
    from pyojeong.analyzer import face_boxes
    from pyojeong.data.folder_files import PASSED_OVER
    from pyojeong.data.folders import collect as run_collect

    own = scheme_named(str(scheme)) if scheme else None
    collection = run_collect(folder, root, face_boxes(), name=name, scheme=own, seed=seed)
    terminal.print_collection(collection, scheme)
    if any(reason in PASSED_OVER for reason in collection.drops):
        raise typer.Exit(3)


@app.command()
def baseline(
    csv: Tables,
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
    """Run face-api.js on tables of photographs.

    Writes one evaluation CSV for each table.
    """
    from pyojeong.evaluation.evaluate import evaluate
    from pyojeong.faceapi.engines import FaceApiContender

    face_api = FaceApiContender(engine, library, input_size, score_threshold, decode)
    if not out and not face_api.in_reports:
        raise InputError(
            "with these options it is not the contender of the reports, so its evaluations need names: give --out"
        )
    results = root / FACEAPI_RESULTS
    tables = with_outs(csv, scheme, out or [results / f"faceapi_{short_name(scheme, table)}_eval.csv" for table in csv])
    terminal.print_summaries(tables, evaluate(tables, face_api, root=root, workers=workers, scheduler=scheduler))


@app.command()
def evaluate(
    csv: Tables,
    out: Outs = None,
    model: Model = None,
    box_kind: BoxKind = "annotator",
    scheme: SchemeName = None,
    root: Root = Path(),
    workers: Workers = 1,
    scheduler: Scheduler = None,
) -> None:
    """Run an exported model on tables of photographs.

    Writes evaluation CSVs like those of baseline.
    """
    from pyojeong.analyzer import ModelContender
    from pyojeong.evaluation.evaluate import evaluate as run_evaluate

    contender = ModelContender.load(model, box_kind)
    results = root / EVALUATIONS
    tables = with_outs(csv, scheme, out or [results / f"{contender.title}_{table.stem}_eval.csv" for table in csv])
    terminal.print_summaries(tables, run_evaluate(tables, contender, root=root, workers=workers, scheduler=scheduler))


@app.command()
def faces(
    images: Images,
    engine: Engine = "onnx",
    library: Library = "vladmandic",
    input_size: InputSize = 416,
    score_threshold: ScoreThreshold = 0.5,
    decode: Decode = "exact",
    as_json: AsJson = False,
) -> None:
    """Print the faces that face-api.js finds.

    For each face: box, detector score and seven probabilities.
    """
    from pyojeong.faceapi.faces import faces as find_faces

    results = find_faces(
        images,
        engine=engine,
        library=library,
        input_size=input_size,
        score_threshold=score_threshold,
        decode=decode,
    )
    terminal.print_faces((result.to_dict() for result in results), as_json, "expressions")


app.command()(analyze)
app.command()(summary)


@app.command()
def train(
    train_csv: Annotated[Path, typer.Option(help="Crops to learn from.")],
    val_csv: Annotated[Path, typer.Option(help="Crops that choose the epoch.")],
    test_csv: Annotated[Path, typer.Option(help="Crops that are scored once, at the end.")],
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    mode: Mode = "finetune",
    profile: ProfileName = "full",
    experiments: Profiles = None,
    root: Root = Path(),
    scheme: SchemeName = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the images. [full: 5; finetune 30, K7 50]")] = None,
    batch: Annotated[int | None, typer.Option(help="Images per step. [full: 1024]")] = None,
    lr_head: Annotated[float | None, typer.Option(help="The head's learning rate. [full: 7e-4; finetune 5e-4]")] = None,
    lr_backbone: Annotated[float | None, typer.Option(help="The backbone's learning rate. [full: 1e-4]")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed; the same seed gives the same metrics. [1337]")] = None,
    weights: Annotated[str | None, typer.Option(help="imagenet (downloaded), random, or a file. [imagenet]")] = None,
    option: OtherOptions = None,
    box_kind: BoxKind = "annotator",
    allow_empty_class: Annotated[bool, typer.Option(help="Train even if a class has no row.")] = False,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where to train.")] = "auto",
    workers: Annotated[int, typer.Option(min=1, help="Threads that decode the crops.")] = 2,
) -> None:
    """Train MobileNetV3-Small on tables of crops."""
    from pyojeong.experiments import load_profile
    from pyojeong.training import distributed
    from pyojeong.training.recipe import Recipe, TrainingTables, read_options
    from pyojeong.training.run import train as run_train

    flags = {
        "epochs": epochs,
        "batch": batch,
        "lr_head": lr_head,
        "lr_backbone": lr_backbone,
        "seed": seed,
        "weights": weights,
    }
    options = {**flags, **read_options(option or [], {*flags, "mode"})}
    changed = {key: value for key, value in options.items() if value is not None}
    known_scheme = scheme_for(scheme, train_csv)
    recipe = Recipe.of(mode, load_profile(profile, experiments).training_options(mode, known_scheme.name) | changed)
    recipe.require_effect(changed)
    metrics = run_train(
        recipe,
        TrainingTables(train_csv, val_csv, test_csv, box_kind),
        out,
        scheme=known_scheme,
        root=root,
        workers=workers,
        device=device,
        allow_empty=allow_empty_class,
    )
    if distributed.is_first():
        terminal.print_training(metrics, out)


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Option(help="best.pt of a run.")] = Path(K7_RUN, "best.pt"),
    out: Annotated[Path | None, typer.Option(help="Folder to write to. [default: the checkpoint's]")] = None,
    name: Annotated[str | None, typer.Option(help="File name of the model. [default: SCHEME_mnv3s_160.onnx]")] = None,
) -> None:
    """Export a checkpoint to ONNX with classes.json.

    The two are compared, and the export fails if they do not agree.
    """
    from pyojeong.export.onnx_file import export_onnx

    print(export_onnx(checkpoint, out, name))


@app.command()
def report(
    root: Root = Path(),
    run: Annotated[Path | None, typer.Option(help="Report this training run alone, under any label scheme.")] = None,
) -> None:
    """Write the report of the seven experiments, or of one run.

    CSVs, figures and a page, from the predictions in the workspace.
    """
    from pyojeong.report.report import report as run_report
    from pyojeong.report.run_report import report_run

    if run:
        terminal.print_run_report(report_run(run, root))
        return
    terminal.print_report(run_report(root), root)


@app.command()
def compare(
    files: Annotated[list[str], typer.Argument(metavar="NAME=CSV...", help="Contenders and their prediction files.")],
    scheme: Annotated[str, typer.Option(help=f"Label scheme of all files: {SCHEME_NAMES}.")],
    out: Annotated[Path, typer.Option(help="Folder for the tables and the figure.")],
    protocol: Protocols = None,
    root: Root = Path(),
) -> None:
    """Compare prediction files on their common images.

    With confidence intervals and a paired test.
    """
    from pyojeong.evaluation.protocols import PROTOCOLS
    from pyojeong.report.report import compare as run_compare

    tables = run_compare(named_files(files), scheme_named(scheme), out, root=root, protocols=protocol or PROTOCOLS)
    terminal.print_comparison(tables, out)


@app.command()
def run(
    source: Annotated[Path | None, typer.Argument(help="Folder with AI Hub's archives; or give --sample.")] = None,
    sample: Annotated[bool, typer.Option("--sample", help="Make the synthetic sample data set and use it.")] = False,
    profile: Annotated[str | None, typer.Option(help="Named set of recipes. [sample with --sample, else full]")] = None,
    experiments: Profiles = None,
    root: Root = Path(),
    policy: Policy = "majority",
    split: Split = "person",
    seed: Annotated[int, typer.Option(help="Seed of the split; the trainings' seed is in the profile.")] = 1337,
    skip_unreadable: SkipUnreadable = False,
    workers: Workers = 2,
) -> None:
    """Run all stages, from prepare to report.

    Resumes where it stopped. The exit code is 3 when archives were skipped.
    """
    if (source is None) != sample:
        raise InputError("give either a SOURCE folder or --sample")
    from pyojeong import experiments as seven
    from pyojeong.core.files import read_json

    chosen = seven.load_profile(profile or ("sample" if sample else "full"), experiments)
    preparation = {"policy": policy, "split": split, "seed": seed, "skip_unreadable": skip_unreadable}
    done = seven.run(root, source, chosen, preparation=preparation, workers=workers, say=terminal.say)
    terminal.print_report(done, root)
    # `make run` works in an environment that is not on the PATH.
    print(f"Next: {'pyojeong' if shutil.which('pyojeong') else sys.argv[0]} demo")
    terminal.end_incomplete(read_json(root / SUMMARY)["drops"])


@app.command()
def demo(
    root: Root = Path(),
    port: Port = 5173,
    model_dir: Annotated[Path | None, typer.Option(help="Folder with another model and its classes.json.")] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in your browser.")] = True,
    export: Annotated[Path | None, typer.Option(help="Write the page as a static site into this new folder.")] = None,
) -> None:
    """Serve the demo page on this machine only, or write it for a web server."""
    from pyojeong.demo.server import serve
    from pyojeong.demo.site import export_site

    if export:
        size = export_site(root, export, model_dir=model_dir)
        terminal.say(f"{export}: {size / 1e6:.1f} MB; serve the folder as it is, or try `python -m http.server` in it")
        return
    serve(root, port, model_dir=model_dir, open_browser=browser, announce=terminal.say)
