"""The snippets of the documentation run as they are printed."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pyojeong.core.labels import KOREAN

pytestmark = pytest.mark.browser

REPOSITORY = Path(__file__).resolve().parents[2]
GUIDE = REPOSITORY / "docs/js_api.md"
BOX = (100, 60, 90, 120)


def snippets(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)


def assert_close(answer: dict[str, float], expected: dict[str, float]) -> None:
    assert tuple(answer) == KOREAN
    assert all(abs(answer[name] - expected[name]) <= 1e-4 for name in KOREAN)


def test_the_page_without_a_bundler(tab: Any, site: Any, oracle: Any, painter: Any) -> None:
    image = painter(320, 240, seed=31)
    image.save(site.root / "face.png")
    (site.root / "plain.html").write_text(snippets(GUIDE, "html")[0], encoding="utf-8")
    tab.page.goto(f"{site.origin}/plain.html")
    tab.page.locator("#answer", has_text="{").wait_for()
    assert_close(json.loads(tab.page.locator("#answer").inner_text()), oracle(image, BOX))
    tab.assert_clean(site.origin)


def test_the_camera_page(tab: Any, site: Any) -> None:
    (site.root / "camera.html").write_text(snippets(GUIDE, "html")[1], encoding="utf-8")
    tab.page.goto(f"{site.origin}/camera.html")
    tab.page.locator("#answer", has_text="{").wait_for()
    answer = json.loads(tab.page.locator("#answer").inner_text())
    assert tuple(answer) == KOREAN
    tab.page.wait_for_function(
        "(first) => document.getElementById('answer').textContent !== first", arg=json.dumps(answer)
    )
    tab.assert_clean(site.origin)


def test_the_module_by_its_name(tab: Any, site: Any, oracle: Any, painter: Any) -> None:
    run = site.root / "models/mobilenetv3_classifier/runs/finetune_K7_160"
    for name in ("k7_mnv3s_160.onnx", "classes.json"):
        (site.root / name).unlink(missing_ok=True)  # the workspace is shared, and another test links it there
        shutil.copy(run / name, site.root / name)
    image = painter(320, 240, seed=32)
    image.save(site.root / "named.png")
    _, snippet, _ = snippets(GUIDE, "js")  # the first one is tried with the packed package
    names = {"pyojeong": "/web/index.js"}
    ask = "await api.predictFromImage(document.querySelector('img'), { x: 100, y: 60, width: 90, height: 120 })"
    (site.root / "named.html").write_text(
        f"""<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><img src="named.png" alt="">
        <script type="importmap">{json.dumps({"imports": names})}</script>
        <script type="module">{snippet}
        window.answer = {ask};</script>""",
        encoding="utf-8",
    )
    tab.page.goto(f"{site.origin}/named.html")
    tab.page.wait_for_function("() => window.answer")
    assert_close(tab.page.evaluate("() => answer"), oracle(image, BOX))
    tab.assert_clean(site.origin)


def test_the_module_in_node(site: Any, oracle: Any, painter: Any, tmp_path: Path) -> None:
    shutil.copy(site.root / "models/mobilenetv3_classifier/runs/finetune_K7_160/k7_mnv3s_160.onnx", tmp_path)
    image = painter(320, 240, seed=33)
    (tmp_path / "image.rgba").write_bytes(image.convert("RGBA").tobytes())
    *_, snippet = snippets(GUIDE, "js")
    program = snippet.replace("'pyojeong'", f"'{(REPOSITORY / 'web/index.js').as_uri()}'")
    (tmp_path / "program.mjs").write_text(
        f"""const data = await readFile('image.rgba');
        const [width, height] = [320, 240];
        {program}
        console.log(JSON.stringify(emotions));""",
        encoding="utf-8",
    )
    ran = subprocess.run(["node", "program.mjs"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert_close(json.loads(ran.stdout), oracle(image, BOX))


def test_every_error_code_is_explained() -> None:
    typedef = (REPOSITORY / "web/errors.js").read_text(encoding="utf-8").split("*/")[0]
    codes = re.findall(r"'(\w+)'", typedef)
    table = re.findall(r"^\| `(\w+)` \|", GUIDE.read_text(encoding="utf-8").split("## Errors")[1], re.MULTILINE)
    assert table == codes
