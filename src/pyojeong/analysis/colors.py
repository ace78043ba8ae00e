"""One color for each class, in annotated copies and in plots."""

from collections.abc import Mapping, Sequence

from pyojeong.core.labels import SCHEMES

UNSURE = "#6b7785"
"""Of an answer that is unsure."""

_OTHERS = ("#d99a1c", "#3f6fb0", "#c2473d", "#5f7f3f", "#b0506b", "#8a6fb3", "#1c8a94", "#6b7785")


def class_colors(classes: Sequence[str], own: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the color of each class as ``#rrggbb``: the model's own, else its scheme's, else any.

    Args:
        classes: in output order.
        own: class -> color, as a model carries it.
    """
    scheme = next((scheme.colors for scheme in SCHEMES.values() if scheme.classes == tuple(classes)), {})
    others = {name: _OTHERS[index % len(_OTHERS)] for index, name in enumerate(classes)}
    return {**others, **scheme, **(own or {})}
