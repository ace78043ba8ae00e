"""The examples, opened as a visitor with a camera would, from projects with the packed package."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pyojeong.analyzer import MODEL, Analyzer
from pyojeong.core.labels import FACEAPI
from tests.browser.conftest import REPOSITORY, Tab, install, run, serving
from tests.browser.faces import draw_group, pixels_of

pytestmark = pytest.mark.browser

BUNDLERS = REPOSITORY / "tests/tools/node_modules"
PORTRAIT = draw_group(640, 480, people=1)
PATIENCE = 60_000  # ms
# Shows the portrait in place of what Chromium's fake camera shows.
CAMERA = """
navigator.mediaDevices.getUserMedia = async () => {
  const image = new Image();
  image.src = '/portrait.png';
  await image.decode();
  const canvas = Object.assign(document.createElement('canvas'), { width: image.width, height: image.height });
  const draw = () => canvas.getContext('2d').drawImage(image, 0, 0);
  draw();
  setInterval(draw, 100);
  return canvas.captureStream(10);
};
"""


def need_bundlers() -> Path:
    if not BUNDLERS.is_dir():
        pytest.skip("the bundlers are not installed; run: python3 scripts/setup.py tools")
    return BUNDLERS


@pytest.fixture(scope="module")
def project(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = install(archive, tmp_path_factory.mktemp("examples"))
    (folder / "node_modules/@vladmandic").symlink_to(REPOSITORY / "node_modules/@vladmandic")
    shutil.copytree(REPOSITORY / "examples", folder / "examples")
    return folder


@pytest.fixture(scope="module")
def origin(project: Path) -> Iterator[str]:
    PORTRAIT.save(project / "portrait.png")
    with serving(project) as address:
        yield address


def first_line(tab: Tab, address: str) -> str:
    """Open a page and return what it says of the only face."""
    tab.page.add_init_script(CAMERA)
    tab.page.goto(address)
    tab.page.wait_for_function("() => document.querySelector('li')", timeout=PATIENCE)
    lines: list[str] = tab.page.evaluate("() => [...document.querySelectorAll('li')].map((line) => line.textContent)")
    assert len(lines) == 1
    # Another bundle than ours lies beside no worker, and TensorFlow.js waits for the graphics driver.
    ordinary = ("Failed to load resource", "GL Driver Message")
    assert [error for error in tab.errors if not any(words in error for words in ordinary)] == []
    return lines[0]


@pytest.fixture(scope="module")
def expected() -> str:
    (face,) = Analyzer(MODEL, threads=1).analyze(pixels_of(PORTRAIT))
    return "unsure" if face.unsure else face.label


def test_a_page_without_a_bundler(tab: Tab, origin: str, expected: str) -> None:
    line = first_line(tab, f"{origin}/examples/page/index.html")
    assert re.match(rf"1: {expected}( \d+ %)?$", line)


def test_a_page_with_face_api_before_and_after(tab: Tab, origin: str) -> None:
    places, answers = [], []
    for name in ("before", "after"):
        line = first_line(tab, f"{origin}/examples/face-api/{name}.html")
        answer, place = line.split(" at ")
        places.append([int(side) for side in place.split(",")])
        answers.append(answer)
    # A film's colors vary a little.
    assert places[0] == pytest.approx(places[1], abs=3)
    assert all(answer.split()[0] in FACEAPI for answer in answers)
    x, y, width, height = places[1]
    model = Analyzer(MODEL, threads=1)
    chances = model.classify(pixels_of(PORTRAIT), (x, y, x + width, y + height), "detector")
    best = int(np.argmax(chances))
    assert answers[1].split()[0] == model.classifier.classes[best]
    assert int(answers[1].split()[1]) == pytest.approx(100 * chances[best], abs=6)
    before, after = ((REPOSITORY / f"examples/face-api/{name}.html").read_text() for name in ("before", "after"))
    added = [line for line in after.splitlines() if line not in before.splitlines()]
    assert len(added) == 3, "the title and two lines of code"


@pytest.mark.slow
def test_the_react_hook(tab: Tab, project: Path, origin: str, expected: str) -> None:
    modules, folder = need_bundlers(), project / "examples/react"
    for name in ("react", "react-dom", "scheduler"):
        (project / "node_modules" / name).symlink_to(modules / name)
    build = ("main.jsx", "--bundle", "--format=esm", "--splitting", "--jsx=automatic", "--outdir=.")
    run("node", modules / "esbuild/bin/esbuild", *build, cwd=folder)
    assert re.match(rf"{expected}( \d+ %)?$", first_line(tab, f"{origin}/examples/react/index.html"))
    hook = (folder / "useEmotions.js").read_text()
    assert hook.count("\n") <= 45


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # on another disk
        shutil.copy(source, target)


@pytest.mark.slow
def test_a_page_of_next(tab: Tab, project: Path, tmp_path: Path, expected: str) -> None:
    folder = tmp_path / "project"
    # Turbopack follows no links out of its root.
    shutil.copytree(need_bundlers(), folder / "node_modules", symlinks=True, copy_function=link_or_copy)
    shutil.copytree(project / "node_modules/pyojeong", folder / "node_modules/pyojeong")
    (folder / "package.json").write_text('{"private": true}')
    shutil.copytree(REPOSITORY / "examples", folder / "examples")
    quiet = {"NEXT_TELEMETRY_DISABLED": "1"}
    run("node", "node_modules/next/dist/bin/next", "build", "examples/nextjs", cwd=folder, environment=quiet)
    PORTRAIT.save(folder / "examples/nextjs/out/portrait.png")
    with serving(folder / "examples/nextjs/out") as origin:
        assert re.match(rf"{expected}( \d+ %)?$", first_line(tab, f"{origin}/index.html"))


def page_with(script: str) -> str:
    return f'<!doctype html><link rel="icon" href="data:,"><img src="/portrait.png" alt="">{script}'


MAIN = """
import { EmotionAnalyzer } from 'pyojeong';
(async () => {
  const image = document.querySelector('img');
  await image.decode();
  const analyzers = [await EmotionAnalyzer.create(), await EmotionAnalyzer.create({ worker: true })];
  const labels = [];
  for (const analyzer of analyzers) labels.push((await analyzer.analyze(image)).map(({ label }) => label));
  for (const analyzer of analyzers) await analyzer.dispose();
  window.answer = labels;
})().catch((error) => { window.answer = String(error); });
"""
WEBPACK = """
import webpack from 'webpack';
const [entry, path] = process.argv.slice(2);
webpack({ mode: 'production', entry, output: { path } }, (error, stats) => {
  if (error || stats.hasErrors()) {
    console.error(error ?? stats.toString());
    process.exitCode = 1;
  }
});
"""


@pytest.mark.slow
@pytest.mark.parametrize("bundler", ["esbuild", "rollup", "webpack"])
def test_a_build_without_options(bundler: str, tab: Tab, project: Path, origin: str) -> None:
    modules, folder = need_bundlers(), project / bundler
    folder.mkdir()
    (folder / "main.js").write_text(MAIN)
    if bundler == "esbuild":
        build = ("main.js", "--bundle", "--format=esm", "--splitting", "--outdir=out")
        run("node", modules / "esbuild/bin/esbuild", *build, cwd=folder)
    elif bundler == "rollup":
        plugin = modules / "@rollup/plugin-node-resolve/dist/es/index.js"
        (folder / "rollup.config.mjs").write_text(
            f"import resolve from '{plugin.as_uri()}';\n"
            "export default { input: 'main.js', output: { dir: 'out' }, plugins: [resolve()] };"
        )
        run("node", modules / "rollup/dist/bin/rollup", "-c", cwd=folder)
    else:
        (folder / "build.mjs").write_text(
            WEBPACK.replace("'webpack'", f"'{(modules / 'webpack/lib/index.js').as_uri()}'")
        )
        run("node", "build.mjs", folder / "main.js", folder / "out", cwd=folder)
    kind = "" if bundler == "webpack" else ' type="module"'
    (folder / "out/index.html").write_text(page_with(f'<script{kind} defer src="main.js"></script>'))
    tab.page.goto(f"{origin}/{bundler}/out/index.html")
    tab.page.wait_for_function("() => window.answer", timeout=PATIENCE)
    (face,) = Analyzer(MODEL, threads=1).analyze(pixels_of(PORTRAIT))
    assert tab.page.evaluate("() => answer") == [[face.label]] * 2
