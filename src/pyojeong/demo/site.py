"""Writes the demo page as a static site."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from pyojeong.core.errors import InputError
from pyojeong.demo.files import DIST, HEADERS, models_of, routes_of
from pyojeong.detection.graph import LICENSE

_TO_THE_PAGE = (
    '<!doctype html><meta charset="utf-8"><title>표정</title><meta http-equiv="refresh" content="0; url=web/demo/">'
)


def export_site(root: Path, out: Path, *, model_dir: Path | None = None) -> int:
    """Write the page with its models as a folder that any static host can serve, from any path.

    face-api.js is included where it is installed. ``out`` also gets ``_headers``, which some hosts read, and
    ``.nojekyll``, without which GitHub Pages would leave out ``node_modules``.

    Args:
        root: as for ``serve``.
        out: folder that does not exist yet or is empty; it appears whole or not at all.
        model_dir: as for ``serve``.

    Returns:
        The bytes written.

    Raises:
        InputError: as ``serve``, or ``out`` has content.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is not an empty folder; name another one or delete it")
    routes = routes_of(root, models_of(root, model_dir))
    # The page computes on the package's own engine.
    del routes[f"/{DIST}/"]
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as place:
        site = Path(place) / "site"
        for address, content in routes.items():
            target = site / address.strip("/")
            if isinstance(content, Path) and content.is_dir():
                _copy_web(content, target)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
        lines = [f"  {name}: {value}" for name, value in HEADERS.items()]
        (site / "_headers").write_text("\n".join(["/*", *lines, ""]), encoding="utf-8")
        (site / ".nojekyll").touch()
        (site / "index.html").write_text(_TO_THE_PAGE, encoding="utf-8")
        shutil.copy(LICENSE, site / "detection")
        site.chmod(0o755)
        if out.exists():
            out.rmdir()
        site.rename(out)
    return sum(path.stat().st_size for path in out.rglob("*") if path.is_file())


def _copy_web(web: Path, target: Path) -> None:
    """Copy the modules and the demo page, without what ``npm pack`` has made."""
    made = {"weights.js", "worker-text.js"}
    for path in (*web.glob("*.js"), *(web / "demo").iterdir(), web / "LICENSE"):
        if path.name not in made and path.is_file():
            copy = target / path.relative_to(web)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
