"""The exception whose message is shown to the user, and the extra that installs a missing module."""

from collections.abc import Iterable
from importlib.util import find_spec


class InputError(Exception):
    """Input that cannot be used.

    The message names the file, the row where there is one, and the remedy. The command line prints it without a
    traceback and exits with code 2.
    """


def counted(number: int, noun: str) -> str:
    """Return a number and its noun for a message: ``1 box``, ``1,595 boxes``; ``2 people``."""
    irregular = {"person": "people", "class": "classes", "box": "boxes"}
    return f"{number:,} {noun if number == 1 else irregular.get(noun, f'{noun}s')}"


def check_choice(kind: str, value: object, choices: Iterable[str]) -> None:
    """Raise InputError, with the choices, unless ``value`` is one of them; ``kind`` names what is chosen."""
    choices = tuple(choices)
    if value not in choices:
        raise InputError(f"there is no {kind} {value!r}; choose one of {', '.join(choices)}")


def extra_with(module: str | None) -> str | None:
    """Return the extra of this package that installs a missing module; None for any other module."""
    groups = {
        "train": ("torch", "lightning_fabric", "onnxscript", "safetensors"),
        "data": ("polars", "onnx"),
        "report": ("scipy", "matplotlib", "koreanize_matplotlib", "nbclient", "nbformat"),
        "cluster": ("distributed",),
        "film": ("av",),
    }
    top = (module or "").partition(".")[0]
    return next((group for group, modules in groups.items() if top in modules and not find_spec(top)), None)
