"""The command line: parses, calls one function, prints."""

import errno
import json
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from pyojeong import __version__
from pyojeong.errors import InputError
from pyojeong.labels import Scheme, scheme_named

app = typer.Typer(
    help="face-api.js and MobileNetV3-Small compared fairly on Korean faces, and a better model. 표정 인식 비교와 모델.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Root = Annotated[Path, typer.Option("--project-root", help="The workspace that relative paths start from.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes that share the work.")]
Seed = Annotated[int, typer.Option(help="Same seed, same result.")]
SchemeName = Annotated[
    str | None, typer.Option("--scheme", help="K7, M1, M2 or BASIC7; read off the CSV's name when omitted.")
]


def main() -> None:
    """Run the command line; every problem of the user's becomes one line on stderr and exit code 2."""
    try:
        app()
    except InputError as error:
        _stop(str(error))
    except ModuleNotFoundError as error:
        extra = _extra_with(error.name)
        if extra is None:
            raise
        _stop(f"this command needs the package {error.name}; install it with: pip install 'pyojeong[{extra}]'")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        _stop(
            f"{error.filename or 'the disk'}: no space left. What was finished is intact; free some space and run the "
            "same command again, it goes on where it stopped."
        )


@app.callback(invoke_without_command=True)
def _top(version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def sample(
    out: Annotated[Path, typer.Option(help="Folder to draw into.")],
    people: Annotated[int, typer.Option(help="Number of drawn people.")] = 60,
    seed: Seed = 1337,
    workers: Workers = 2,
) -> None:
    """Draw a small data set in the exact shape of AI Hub data set 82."""
    from pyojeong.sample import draw_sample

    _print_json(draw_sample(out, people=people, seed=seed, workers=workers))


def _scheme(name: str | None, csv: Path) -> Scheme:
    """Return the named scheme, or the one in a file name such as ``test_M1.csv``."""
    if name:
        return scheme_named(name)
    found = re.search(r"_(K7|M1|M2|BASIC7)(?=[_.])", csv.name)
    if not found:
        raise InputError(f"{csv}: its name does not say which label scheme it has; add --scheme K7, M1, M2 or BASIC7")
    return scheme_named(found[1])


def _extra_with(module: str | None) -> str | None:
    """Return the optional dependency group that brings a missing module, None when it is none of ours."""
    groups = {
        "train": ("torch", "lightning_fabric", "onnxscript", "safetensors"),
        "data": ("polars", "onnx"),
        "report": ("sklearn", "scipy", "matplotlib", "koreanize_matplotlib", "nbclient", "nbformat"),
        "cluster": ("distributed",),
    }
    top = (module or "").partition(".")[0]
    return next((group for group, modules in groups.items() if top in modules and not find_spec(top)), None)


def _print_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))


def _stop(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)
