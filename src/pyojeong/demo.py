"""The demo page: served on loopback, with its runtime and the models and no other file, or written as a static site."""

import errno
import json
import logging
import shutil
import sys
import webbrowser
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal
from urllib.parse import quote, unquote, urlsplit

import onnxruntime

from pyojeong.analyzer import MODEL as PACKAGE_MODEL
from pyojeong.core.errors import InputError
from pyojeong.core.files import json_value
from pyojeong.core.workspace import K7_MODEL, K7_RUN
from pyojeong.detection.graph import LICENSE, graph_path

log = logging.getLogger(__name__)

PORT = 5173
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

_PORTS_TRIED = 20

_FROM_PAGE = "../../"
"""From the page to the root of the site, which a static host may serve below another path."""

_TO_THE_PAGE = (
    '<!doctype html><meta charset="utf-8"><title>표정</title><meta http-equiv="refresh" content="0; url=web/demo/">'
)

# Python's own table comes from the system and is wrong on some; browsers refuse modules and wasm of a wrong type.
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".wasm": "application/wasm",
    ".onnx": "application/octet-stream",
    ".bin": "application/octet-stream",
}

_HEADERS = {
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


def serve(
    root: Path,
    port: int = PORT,
    *,
    model_dir: Path | None = None,
    open_browser: bool = False,
    announce: Callable[[str], object] = print,
) -> None:
    """Serve the demo page on 127.0.0.1 until Ctrl-C.

    The page opens with the K7 model of the workspace if it was trained on real photographs, otherwise with the
    package's own model. The others can be selected on the page.

    Args:
        root: the workspace, with or without a K7 run under ``models/``.
        port: the port to listen on; if it is taken, the next free one of the following twenty; 0 picks any free port.
        model_dir: a folder with ``.onnx`` files and their ``classes.json`` to show instead of all other models.
        open_browser: whether to open the page in the user's browser.
        announce: called with each line for the terminal: the address and the models.

    Raises:
        InputError: the model, the page or onnxruntime-web is missing, or no port is free.
    """
    models = _models(root, model_dir)
    with _server(root, port, models) as server:
        address = f"http://127.0.0.1:{server.server_port}{DEMO}"
        announce(f"{address}  (press Ctrl-C to stop; nothing leaves this machine)")
        for model in models:
            announce(f"{'model' if model is models[0] else 'or'}: {model.file}{_remark(model, alone=len(models) == 1)}")
        if open_browser:
            webbrowser.open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            announce("")


def make_server(root: Path, port: int = PORT, *, model_dir: Path | None = None) -> ThreadingHTTPServer:
    """Return the server of ``serve``, listening but not yet answering; arguments and errors are the same."""
    return _server(root, port, _models(root, model_dir))


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
    routes = _routes(root, _models(root, model_dir))
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
        lines = [f"  {name}: {value}" for name, value in _HEADERS.items()]
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


@dataclass(frozen=True)
class _Model:
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


def _models(root: Path, model_dir: Path | None) -> list[_Model]:
    """Return the models to show, in the order of the page; see ``serve``."""
    if model_dir:
        return _models_in(model_dir, "folder")
    run = root / K7_RUN
    package = [_Model(PACKAGE_MODEL, PACKAGE_FOLDER, "package", False)] if PACKAGE_MODEL.is_file() else []
    if package and not any(run.glob("*.onnx")):
        return package
    if package and not (run / "classes.json").is_file():
        log.warning("%s: no classes.json, so its model is not shown; run `pyojeong export` again", run)
        return package
    trained = _models_in(run, "workspace")
    return package + trained if trained[0].synthetic else trained + package


def _models_in(folder: Path, origin: Literal["workspace", "folder"]) -> list[_Model]:
    """Return the models of a folder, ``K7_MODEL`` first."""
    files = sorted(folder.glob("*.onnx"), key=lambda path: (path.name != K7_MODEL, path.name))
    if not files:
        raise InputError(f"{folder}: no .onnx model; run `make run` first, or name another folder with --model-dir")
    models = [_Model(file, K7_RUN, origin, _is_synthetic(file)) for file in files]
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


def _remark(model: _Model, *, alone: bool) -> str:
    """Return what the terminal says after the path of a model."""
    if model.synthetic:
        return "  (trained on synthetic faces: says nothing about real ones)"
    if model.origin == "package":
        return f"  (the package's own{'; `pyojeong run SOURCE` trains one on your data' if alone else ''})"
    return ""


def _server(root: Path, port: int, models: list[_Model]) -> ThreadingHTTPServer:
    routes = _routes(root, models)
    for candidate in (0,) if port == 0 else range(port, min(port + _PORTS_TRIED, 65536)):
        try:
            return _Server(("127.0.0.1", candidate), partial(_Handler, routes))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
    raise InputError(f"port {port} and those after it are taken; choose another with --port")


def _routes(root: Path, models: list[_Model]) -> dict[str, Path | bytes]:
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
    for place in (root, Path(__file__).parents[2]):
        if all((place / name).is_file() for name in names):
            return {f"/{name}": place / name for name in names}
    return {}


def _folder_of(root: Path, name: str, remedy: str) -> Path:
    """Return the folder of a file in the workspace, otherwise in the checkout that this package was installed from."""
    for place in (root, Path(__file__).parents[2]):
        if (place / name).is_file():
            return (place / name).parent
    raise InputError(f"{root / name}: no such file; {remedy}")


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Report errors, except for connections that the browser closed, as it does when the user leaves the page."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server_version = "pyojeong"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = 60

    def __init__(self, routes: Mapping[str, Path | bytes], *args: object) -> None:
        self.routes = routes
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        # A page of another site can reach loopback under its own host name (DNS rebinding). The port does not matter:
        # browsers leave out 80, and the far end of an SSH tunnel has another one.
        name = self.headers.get("Host", "").partition(":")[0]
        if name.lower() not in ("127.0.0.1", "localhost"):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "open the address printed by the command")
            return
        try:
            path = unquote(urlsplit(self.path).path)
        except ValueError:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        if path in ("/", DEMO.rstrip("/")):
            self._redirect(DEMO)
            return
        file = _file_for(path, self.routes)
        if file is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        if isinstance(file, bytes):
            self._start(".json", len(file))
            self.wfile.write(file if self.command == "GET" else b"")
            return
        try:
            content = file.open("rb")
        except OSError:  # a model may have been deleted since the routes were made
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with content:
            self._start(file.suffix, file.stat().st_size)
            if self.command == "GET":
                shutil.copyfileobj(content, self.wfile)

    def _start(self, suffix: str, length: int) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", _TYPES[suffix])
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _redirect(self, path: str) -> None:
        self.send_response(HTTPStatus.FOUND)
        self.send_header("Location", path)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def end_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing, so that the address stays visible in the terminal."""


def _file_for(path: str, routes: Mapping[str, Path | bytes]) -> Path | bytes | None:
    """Return the file or content at an address, None when it must not be served.

    Links are resolved first, and the result must still lie in the served folder.
    """
    if path in routes and not path.endswith("/"):
        return routes[path]
    for prefix, folder in routes.items():
        if isinstance(folder, bytes) or not (prefix.endswith("/") and path.startswith(prefix)) or "\0" in path:
            continue
        base = folder.resolve()
        name = path.removeprefix(prefix)
        try:
            file = (base / (f"{name}index.html" if name.endswith("/") else name)).resolve()
            if file.is_relative_to(base) and file.is_file() and file.suffix in _TYPES:
                return file
        except (OSError, RuntimeError):
            # A name longer than the system allows, or a loop of links.
            return None
    return None
