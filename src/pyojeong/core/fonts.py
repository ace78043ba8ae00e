"""Where the fonts with Hangul are."""

from importlib.util import find_spec
from pathlib import Path


def hangul_fonts() -> tuple[Path, Path]:
    """Return the files of NanumGothic, regular and bold, in that order.

    Raises ModuleNotFoundError where koreanize-matplotlib, which contains them, is not installed.
    """
    # Only its font files are used: importing the package needs distutils, which Python 3.12 removed.
    spec = find_spec("koreanize_matplotlib")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'koreanize_matplotlib'", name="koreanize_matplotlib")
    folder = Path(spec.submodule_search_locations[0]) / "fonts"
    # The Light font is left out: it has the same family name, and matplotlib would use it as Regular.
    return folder / "NanumGothic.ttf", folder / "NanumGothicBold.ttf"
