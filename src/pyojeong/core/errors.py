"""The one exception that speaks to the user, and what brings a module that is missing."""

from importlib.util import find_spec


class InputError(Exception):
    """Something the user gave cannot be used.

    The message names the file, the row where there is one, and the remedy. The command line prints it
    without a traceback and exits with code 2.
    """


def extra_with(module: str | None) -> str | None:
    """Return the optional dependency group that brings a missing module, None when it is none of ours."""
    groups = {
        "train": ("torch", "lightning_fabric", "onnxscript", "safetensors"),
        "data": ("polars", "onnx"),
        "report": ("scipy", "matplotlib", "koreanize_matplotlib", "nbclient", "nbformat"),
        "cluster": ("distributed",),
    }
    top = (module or "").partition(".")[0]
    return next((group for group, modules in groups.items() if top in modules and not find_spec(top)), None)
