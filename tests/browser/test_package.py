"""What `npm pack` makes, installed into an empty Vite project: its README's snippets run there as they are printed."""

import base64
import json
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pyojeong.analyzer import MODEL, Analyzer
from pyojeong.core.labels import FACEAPI
from pyojeong.detection.graph import graph_path
from tests.browser.conftest import install, run
from tests.browser.faces import draw_group, pixels_of

pytestmark = pytest.mark.browser

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = REPOSITORY / "node_modules"
ENTRIES = (".", "./emotion", "./detector", "./tiny-face-detector", "./analyzer", "./worker", "./face-api")
MODEL_FILES = ("basic7_mnv3s_160_8bit.onnx", "classes.json")
GENERATED = ("weights.js", "worker-text.js")
BUNDLES = ("dist/pyojeong.min.js", "dist/pyojeong-with-weights.min.js")
DETECTOR_FILES = ("blazeface.onnx", "LICENSE-blazeface")
# What a developer would look at after each snippet of the README.
RESULTS = ("faces", "emotions", "results.map((face) => ({ ...face.expressions }))")


@pytest.fixture(scope="module")
def project(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty project with the packed package and what its README names."""
    folder = install(archive, tmp_path_factory.mktemp("project"))
    for name in ("onnxruntime-web", "onnxruntime-common", "@vladmandic"):
        (folder / "node_modules" / name).symlink_to(MODULES / name)
    return folder


@pytest.fixture(scope="module")
def snippets() -> list[str]:
    return re.findall(r"```js\n(.*?)```", (REPOSITORY / "web/README.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_package_holds_modules_types_and_license_and_nothing_else(project: Path) -> None:
    folder = project / "node_modules/pyojeong"
    package = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    assert tuple(package["exports"]) == (*ENTRIES, "./dist/*", "./models/*")
    for name in ENTRIES:
        entry = package["exports"][name]
        assert (folder / entry["types"]).is_file()
        assert (folder / entry["default"]).is_file()
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    modules = {path.name for path in (REPOSITORY / "web").glob("*.js")}
    types = {f"types/{name.removesuffix('.js')}.d.ts" for name in modules - set(GENERATED)}
    models = {f"models/{name}" for name in MODEL_FILES if (REPOSITORY / "src/pyojeong/pretrained" / name).is_file()}
    models |= {f"models/{name}" for name in ("LICENSE-MODEL", *DETECTOR_FILES)}
    assert set(GENERATED) < modules
    assert files == {"package.json", "README.md", "LICENSE"} | modules | types | models | set(BUNDLES)


def served(tab: Any, site: Any, folder: Path, name: str, body: str) -> Any:
    """Open a page of a folder that is served under ``name``, and return what it sets as ``answer``."""
    if not (site.root / name).exists():
        (site.root / name).symlink_to(folder)
    image = draw_group(480, 640, people=1)
    address = site.put("portrait.png", image)
    tab.requests.clear()
    (folder / "page.html").write_text(
        f'<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><img src="{address}" alt="">{body}'
    )
    tab.page.goto(f"{site.origin}/{name}/page.html")
    tab.page.wait_for_function("() => window.answer", timeout=60_000)
    answer = tab.page.evaluate("() => answer")
    expected = Analyzer(MODEL, threads=1).analyze(pixels_of(image))
    assert len(expected) == 1
    for faces in answer:
        assert [face["label"] for face in faces] == [expected[0].label]
        assert faces[0]["emotions"] == pytest.approx(expected[0].emotions, abs=0.01)
    assert not [url for url in tab.requests if not url.startswith((f"{site.origin}/", "blob:", "data:"))]
    return answer


EIGHT_LINES = """
const image = document.querySelector('img');
await image.decode();
const analyzers = [await EmotionAnalyzer.create(), await EmotionAnalyzer.create({ worker: true })];
const answer = [];
for (const analyzer of analyzers) answer.push(await analyzer.analyze(image));
for (const analyzer of analyzers) await analyzer.dispose();
window.answer = answer;
"""


@pytest.mark.parametrize("bundle", ["pyojeong.min.js", "pyojeong-with-weights.min.js"])
def test_one_file_is_enough_for_a_page(bundle: str, tab: Any, site: Any, project: Path) -> None:
    package = project / "node_modules/pyojeong"
    script = f"import {{ EmotionAnalyzer }} from './dist/{bundle}';{EIGHT_LINES}"
    served(tab, site, package, "package", f'<script type="module">{script}</script>')
    paths = {url.removeprefix(f"{site.origin}/package/") for url in tab.requests if "/package/" in url}
    weights = {"weights.js"} if bundle == "pyojeong.min.js" else set()
    # The worker's file does not lie beside the bundle; its text does the work.
    assert paths == {"page.html", f"dist/{bundle}", "dist/worker.js"} | weights
    assert [error for error in tab.errors if "404" not in error] == []
    tab.errors.clear()


def test_the_package_works_without_options_by_import_map(tab: Any, site: Any, project: Path) -> None:
    package = project / "node_modules/pyojeong"
    imports = '<script type="importmap">{"imports": {"pyojeong": "/package/index.js"}}</script>'
    script = f"import {{ EmotionAnalyzer }} from 'pyojeong';{EIGHT_LINES}"
    served(tab, site, package, "package", f'{imports}<script type="module">{script}</script>')


def test_the_package_works_without_options_in_a_vite_build(tab: Any, site: Any, project: Path) -> None:
    folder = project / "app"
    folder.mkdir()
    (folder / "main.js").write_text(f"import {{ EmotionAnalyzer }} from 'pyojeong';{EIGHT_LINES}")
    (folder / "index.html").write_text('<!doctype html><script type="module" src="/main.js"></script>')
    (folder / "vite.config.js").write_text(
        "export default { base: './', logLevel: 'warn', build: { target: 'esnext' } };"
    )
    run("node", MODULES / "vite/bin/vite.js", "build", cwd=folder)
    (script,) = re.findall(r"<script.*?</script>", (folder / "dist/index.html").read_text())
    served(tab, site, folder / "dist", "vite", script)


def test_a_bundler_that_knows_nothing_of_workers_is_enough(tab: Any, site: Any, project: Path) -> None:
    folder = project / "rolled"
    folder.mkdir()
    (folder / "main.js").write_text(f"import {{ EmotionAnalyzer }} from 'pyojeong';{EIGHT_LINES}")
    run(
        "node",
        MODULES / "rolldown/bin/cli.mjs",
        "main.js",
        "--dir",
        "out",
        "--external",
        "onnxruntime-web/wasm",
        cwd=folder,
    )
    served(tab, site, folder / "out", "rolled", '<script type="module" src="main.js"></script>')
    assert [error for error in tab.errors if "404" not in error] == []
    tab.errors.clear()


def test_the_package_s_own_model_is_packed_where_it_is_there(tmp_path: Path) -> None:
    models = tmp_path / "src/pyojeong/pretrained"
    models.mkdir(parents=True)
    (tmp_path / "web/models").mkdir(parents=True)
    (tmp_path / "web/models/old.onnx").write_text("old")
    for path in (REPOSITORY / "web/pack.mjs", *(REPOSITORY / "web").glob("*.js")):
        shutil.copy(path, tmp_path / "web")
    (tmp_path / "node_modules").symlink_to(MODULES)
    (tmp_path / "LICENSE-MODEL").write_text("LICENSE-MODEL")
    for name in (*MODEL_FILES, "notes.txt"):
        (models / name).write_text(name)
    pack = partial(run, "node", "pack.mjs", cwd=tmp_path / "web", environment={"PYTHON": sys.executable})
    pack()
    packed = {path.name: path for path in (tmp_path / "web/models").iterdir()}
    assert set(packed) == {*MODEL_FILES, *DETECTOR_FILES, "LICENSE-MODEL"}
    assert [packed[name].read_text() for name in MODEL_FILES] == [*MODEL_FILES]
    assert packed["blazeface.onnx"].read_bytes() == graph_path().read_bytes()
    assert "Apache License" in packed["LICENSE-blazeface"].read_text()
    weights = (tmp_path / "web/weights.js").read_text()
    assert base64.b64encode(MODEL_FILES[0].encode()).decode() in weights
    shutil.rmtree(models)
    pack()
    assert 'expression = ""' in (tmp_path / "web/weights.js").read_text()
    assert {path.name for path in (tmp_path / "web/models").iterdir()} == {*DETECTOR_FILES}


def test_the_model_is_found_under_the_package_s_name(project: Path) -> None:
    folder = project / "node_modules/pyojeong/models"
    folder.mkdir(exist_ok=True)
    (folder / "probe.onnx").write_text("probe")
    found = run("node", "-p", "require.resolve('pyojeong/models/probe.onnx')", cwd=project)
    (folder / "probe.onnx").unlink()
    assert Path(found.strip()) == folder / "probe.onnx"


@pytest.mark.parametrize(
    ("module", "resolution"), [("esnext", "bundler"), ("node16", "node16"), ("nodenext", "nodenext")]
)
def test_the_types_tell_right_from_wrong(module: str, resolution: str, project: Path) -> None:
    (project / "right.ts").write_text(
        """import { EmotionAnalyzer, EmotionAPI, FaceDetector, type FaceEmotions } from 'pyojeong';
        import { install, MAPPING } from 'pyojeong/face-api';
        declare const faceapi: Parameters<typeof install>[0];
        export async function use(video: HTMLVideoElement): Promise<FaceEmotions[] | null> {
          const api = new EmotionAPI({ modelUrl: '/m.onnx', provider: 'webgpu' });
          const sum: number = Object.values(await api.predictFromVideo(video)).reduce((a, b) => a + b);
          const [face] = await new FaceDetector({ modelUrl: '/d.onnx', minFace: 0.1 }).detect(video);
          await install(faceapi, { modelUrl: '/m.onnx', mapping: { ...MAPPING, 당황: 'disgusted' } });
          console.log(sum, face?.box.width, face?.landmarks.leftEye.x);
          return (await EmotionAnalyzer.create({ worker: true })).analyze(video);
        }"""
    )
    (project / "wrong.ts").write_text(
        """import { EmotionAPI, EmotionAnalyzer } from 'pyojeong';
        new EmotionAPI({ modelUrl: 7 });
        new EmotionAnalyzer({ modelUrl: null });
        new EmotionAPI({ modelUrl: '/m.onnx', provider: 'cuda' });"""
    )
    tsc: list[str | Path] = ["node", MODULES / "typescript/bin/tsc", "--noEmit", "--strict", "--skipLibCheck", "false"]
    tsc += ["--module", module, "--moduleResolution", resolution, "--target", "es2022", "--lib", "es2022,dom"]
    tsc += ["--types", "", "--exactOptionalPropertyTypes"]
    run(*tsc, "right.ts", cwd=project)
    wrong = subprocess.run([*tsc, "wrong.ts"], cwd=project, capture_output=True, text=True, check=False)
    assert [line.split("(")[1].split(",")[0] for line in wrong.stdout.splitlines() if line.startswith("wrong")] == [
        "2",
        "3",
        "4",
    ]


@pytest.mark.slow
def test_the_snippets_of_the_readme_run_in_a_vite_build(
    tab: Any, site: Any, project: Path, snippets: list[str], oracle: Any
) -> None:
    assert len(snippets) == len(RESULTS)
    image = draw_group(480, 640, people=1)
    image.save(project / "portrait.png")
    (project / "public").mkdir()
    links = "".join(f'<a href="page{number}.html">{number}</a>' for number in range(3))
    (project / "index.html").write_text(f"<!doctype html>{links}")
    for number, (snippet, result) in enumerate(zip(snippets, RESULTS, strict=True)):
        (project / f"main{number}.js").write_text(
            f"""const image = document.querySelector('img'), video = document.querySelector('video');
            const canvas = Object.assign(document.createElement('canvas'), {{ width: 480, height: 640 }});
            const draw = () => canvas.getContext('2d').drawImage(image, 0, 0);
            await image.decode(); draw(); setInterval(draw, 50);
            video.srcObject = canvas.captureStream(); await video.play();
            const {{ answer }} = await import('./snippet{number}.js');
            window.answer = answer;"""
        )
        (project / f"snippet{number}.js").write_text(f"{snippet}\nexport const answer = {result};")
        (project / f"page{number}.html").write_text(
            '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><img src="/portrait.png" alt="">'
            f'<video muted></video><script type="module" src="/main{number}.js"></script>'
        )
    shutil.move(project / "portrait.png", project / "public/portrait.png")
    (project / "vite.config.js").write_text(
        "export default { logLevel: 'warn', build: { target: 'esnext', rollupOptions:"
        " { input: ['index.html', 'page0.html', 'page1.html', 'page2.html'] } } };"
    )
    run("node", MODULES / "vite/bin/vite.js", "build", cwd=project)
    built = site.root / "built"
    shutil.copytree(project / "dist", built)
    models = site.root / "models"
    served = {
        "k7_mnv3s_160.onnx": models / "mobilenetv3_classifier/runs/finetune_K7_160/k7_mnv3s_160.onnx",
        "blazeface.onnx": models / "detector.onnx",
        "face-api-models": MODULES / "@vladmandic/face-api/model",
        "portrait.png": built / "portrait.png",
        "assets": built / "assets",
    }
    for name, path in served.items():
        if not (site.root / name).exists():
            (site.root / name).symlink_to(path)
    answers = []
    for number in range(3):
        tab.page.goto(f"{site.origin}/built/page{number}.html")
        tab.page.wait_for_function("() => window.answer", timeout=60_000)
        answers.append(tab.page.evaluate("() => answer"))
    assert answers[1] == pytest.approx(oracle(image, (100, 60, 90, 120)), abs=1e-4)
    (face,) = answers[0]
    assert tuple(face["emotions"]) == FACEAPI
    assert face["label"] == max(face["emotions"], key=face["emotions"].get)
    (result,) = answers[2]
    assert tuple(result) == FACEAPI
    assert sum(result.values()) == pytest.approx(1, abs=1e-4)
    outside = [url for url in tab.requests if not url.startswith((f"{site.origin}/", "blob:", "data:"))]
    assert outside == []
