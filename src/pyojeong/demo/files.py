"""What the demo page consists of: its modules, the models to show, and face-api.js where it is installed."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import onnxruntime

from pyojeong.analyzer import MODEL as PACKAGE_MODEL
from pyojeong.core.errors import InputError
from pyojeong.core.files import json_value
from pyojeong.core.workspace import K7_MODEL, K7_RUN
from pyojeong.detection.graph import graph_path

log = logging.getLogger(__name__)

DEMO = "/web/demo/"
DIST = "node_modules/onnxruntime-web/dist"
AVAILABLE = "/web/demo/available.json"
"""Lists the models for the page, best first, and says whether face-api.js is installed for a comparison."""

PACKAGE_FOLDER = "pretrained"
"""Where the package's own model is served, beside the workspace's run."""

_FACEAPI = "node_modules/@vladmandic/face-api"
_FACEAPI_NETS = ("tiny_face_detector", "face_expression")
_FACEAPI_FILES = (
    f"{_FACEAPI}/dist/face-api.esm.js",
    *(f"{_FACEAPI}/model/{model}_model{end}" for model in _FACEAPI_NETS for end in (".bin", "-weights_manifest.json")),
)
_FACEAPI_WASM = tuple(
    f"node_modules/@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm{kind}.wasm" for kind in ("", "-simd")
)

_FROM_PAGE = "../../"
"""From the page to the root of the site, which a static host may serve below another path."""

HEADERS = {
    # The first two make the page cross-origin isolated, which threads in wasm need.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    # The browser itself then sends nothing to other sites.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; "
        "img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class Model:
    """A model that the page can show.

    Attributes:
        file: the ONNX file; ``classes.json`` lies in the same folder.
        folder: the folder of its address, relative to the site's root.
        origin: the package, the workspace's K7 run, or a folder named by the user.
        synthetic: whether it was trained on synthetic faces.
    """

    file: Path
    folder: str
    origin: Literal["package", "workspace", "folder"]
    synthetic: bool

    @property
    def classes(self) -> Path:
        return self.file.with_name("classes.json")


def models_of(root: Path, model_dir: Path | None) -> list[Model]:
    """Return the models to show, in the order of the page; see ``serve``."""
    if model_dir:
        return _models_in(model_dir, "folder")
    run = root / K7_RUN
    package = [Model(PACKAGE_MODEL, PACKAGE_FOLDER, "package", False)] if PACKAGE_MODEL.is_file() else []
    if package and not any(run.glob("*.onnx")):
        return package
    if package and not (run / "classes.json").is_file():
        log.warning("%s: no classes.json, so its model is not shown; run `pyojeong export` again", run)
        return package
    trained = _models_in(run, "workspace")
    return package + trained if trained[0].synthetic else trained + package


def _models_in(folder: Path, origin: Literal["workspace", "folder"]) -> list[Model]:
    """Return the models of a folder, ``K7_MODEL`` first."""
    if folder.is_file():
        raise InputError(f"{folder}: is a file; give the folder that holds it with its classes.json")
    files = sorted(folder.glob("*.onnx"), key=lambda path: (path.name != K7_MODEL, path.name))
    if not files:
        raise InputError(
            f"{folder}: no .onnx model; write one with `pyojeong export --checkpoint {folder / 'best.pt'}` (or run all "
            "stages with `make run`), or name another folder with --model-dir"
        )
    models = [Model(file, K7_RUN, origin, _is_synthetic(file)) for file in files]
    if not models[0].classes.is_file():
        raise InputError(f"{folder}: no classes.json beside {files[0].name}; run `pyojeong export` again")
    return models


def _is_synthetic(model: Path) -> bool:
    """Return whether a model was trained on synthetic faces, by its run's ``config.json`` or its own metadata."""
    if json_value(model.with_name("config.json"), "synthetic") is True:
        return True
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception:  # onnxruntime's own exceptions share no base class; the page reports an unreadable model
        return False
    return bool(session.get_modelmeta().custom_metadata_map.get("synthetic") == "true")


def routes_of(root: Path, models: list[Model]) -> dict[str, Path | bytes]:
    """Return what is served: address -> file or content, and address that ends in a slash -> folder."""
    faceapi, faceapi_wasm = _installed(root, _FACEAPI_FILES), _installed(root, _FACEAPI_WASM)
    # The documented address means the workspace's run, wherever it stands in the list.
    documented = next((model for model in models if model.folder == K7_RUN), models[0])
    available = {
        "models": [
            {
                "name": model.file.name,
                "url": f"{_FROM_PAGE}{model.folder}/{quote(model.file.name)}",
                "classesUrl": f"{_FROM_PAGE}{model.folder}/classes.json",
                "origin": model.origin,
                "synthetic": model.synthetic,
            }
            for model in models
        ],
        "rival": bool(faceapi),
        "rivalWasm": bool(faceapi_wasm),
    }
    return {
        f"/{K7_RUN}/{K7_MODEL}": documented.file,
        f"/{K7_RUN}/classes.json": documented.classes,
        **{f"/{model.folder}/{model.file.name}": model.file for model in models},
        **{f"/{model.folder}/classes.json": model.classes for model in models},
        "/detection/blazeface.onnx": graph_path(),
        AVAILABLE: json.dumps(available).encode(),
        "/web/": _folder_of(
            root, "web/onnx_emotion_api.js", "the demo page is part of the repository; run this command in a checkout"
        ),
        f"/{DIST}/": _folder_of(
            root, f"{DIST}/ort.wasm.bundle.min.mjs", "onnxruntime-web is missing; run `npm i onnxruntime-web`"
        ),
        **faceapi,
        **(faceapi_wasm if faceapi else {}),
    }


def _installed(root: Path, names: tuple[str, ...]) -> dict[str, Path]:
    """Return address -> file for files of the workspace or the checkout; empty unless all of them exist."""
    for place in (root, Path(__file__).parents[3]):
        if all((place / name).is_file() for name in names):
            return {f"/{name}": place / name for name in names}
    return {}


def _folder_of(root: Path, name: str, remedy: str) -> Path:
    """Return the folder of a file in the workspace, otherwise in the checkout that this package was installed from."""
    for place in (root, Path(__file__).parents[3]):
        if (place / name).is_file():
            return (place / name).parent
    raise InputError(f"{root / name}: no such file; {remedy}")
