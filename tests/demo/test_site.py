import json
from pathlib import Path

import pytest

from pyojeong.core.errors import InputError
from pyojeong.core.workspace import K7_MODEL, K7_RUN
from pyojeong.demo.site import export_site


def test_the_page_becomes_a_static_site(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    out.mkdir()
    size = export_site(root, out)
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    expected = {"index.html", ".nojekyll", "_headers", "web/demo/index.html", "web/demo/available.json"}
    expected |= {"web/onnx_emotion_api.js", "detection/blazeface.onnx", "detection/LICENSE-blazeface"}
    assert expected | {f"{K7_RUN}/{K7_MODEL}", f"{K7_RUN}/classes.json"} <= files
    # The runtime that the page does not use, and what is not for the page, stay at home.
    assert not [name for name in files if "onnxruntime" in name or name.endswith((".txt", ".csv"))]
    assert size == sum((out / name).stat().st_size for name in files)
    assert "Content-Security-Policy" in (out / "_headers").read_text(encoding="utf-8")
    for model in json.loads((out / "web/demo/available.json").read_text())["models"]:
        assert (out / "web/demo" / model["url"]).resolve().is_file()


def test_a_site_does_not_overwrite_anything(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is not an empty folder"):
        export_site(root, tmp_path)
    with pytest.raises(InputError, match="is not an empty folder"):
        export_site(root, tmp_path / "mine.txt")
    assert (tmp_path / "mine.txt").read_text() == "mine"
