"""The demo page on loopback: a static server that hands out what the page needs and nothing else."""

import errno
import json
import shutil
import sys
import webbrowser
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pyojeong.analyzer import MODEL as OWN_MODEL
from pyojeong.core.errors import InputError
from pyojeong.core.workspace import K7_MODEL, K7_RUN
from pyojeong.faceapi.nets import MODELS, graph_path

PORT = 5173
DEMO = "/web/demo/"
DIST = "node_modules/onnxruntime-web/dist"
AVAILABLE = "/web/demo/available.json"
"""Tells the page which models there are, and whether face-api.js is installed for a comparison."""

_FACEAPI = "node_modules/@vladmandic/face-api"
_RIVAL = (
    f"{_FACEAPI}/dist/face-api.esm.js",
    *(f"{_FACEAPI}/model/{model}_model{end}" for model in MODELS for end in (".bin", "-weights_manifest.json")),
)
_RIVAL_WASM = tuple(
    f"node_modules/@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm{kind}.wasm" for kind in ("", "-simd")
)

_PORTS_TRIED = 20

# Python's own table comes from the system and is wrong on some; modules and wasm do not start with a wrong type.
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
    # The browser itself refuses to send anything elsewhere.
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

    Args:
        root: the workspace, with the K7 run under ``models/``; without one the package's own model is shown.
        port: where to listen; when taken, the next free one of the following twenty; 0 is any free port.
        model_dir: a folder with an ``.onnx`` file and its ``classes.json`` to show instead.
        open_browser: whether to open the page in the user's browser.
        announce: is told the address and the model.

    Raises:
        InputError: model, page or onnxruntime-web are missing, or no port is free.
    """
    folder = model_dir or _model_folder(root)
    with make_server(root, port, model_dir=folder) as server:
        address = f"http://127.0.0.1:{server.server_port}{DEMO}"
        announce(f"{address}  (Ctrl-C ends it; nothing leaves this machine)")
        own = "  (the package's own; `pyojeong run SOURCE` trains one on your data)"
        announce(f"model: {_models_in(folder)[0]}{own if folder == OWN_MODEL.parent else ''}")
        if open_browser:
            webbrowser.open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            announce("")


def make_server(root: Path, port: int = PORT, *, model_dir: Path | None = None) -> ThreadingHTTPServer:
    """Return the server of ``serve``, listening but not yet answering; arguments and errors are the same."""
    routes = _routes(root, model_dir or _model_folder(root))
    for candidate in (0,) if port == 0 else range(port, min(port + _PORTS_TRIED, 65536)):
        try:
            return _Server(("127.0.0.1", candidate), partial(_Handler, routes))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
    raise InputError(f"port {port} and those after it are taken; choose another with --port")


def _routes(root: Path, model_dir: Path) -> dict[str, Path | bytes]:
    """Return what is served: address -> file or content, and address that ends in a slash -> folder."""
    models = _models_in(model_dir)
    names = [path.name for path in models]
    rival, rival_wasm = _installed(root, _RIVAL), _installed(root, _RIVAL_WASM)
    return {
        # Whichever is first answers at the documented address.
        **{f"/{K7_RUN}/{path.name}": path for path in models},
        f"/{K7_RUN}/{K7_MODEL}": models[0],
        f"/{K7_RUN}/classes.json": model_dir / "classes.json",
        **{f"/faceapi/{name}.onnx": graph_path(name) for name in MODELS},
        AVAILABLE: json.dumps({"models": names, "rival": bool(rival), "rivalWasm": bool(rival_wasm)}).encode(),
        "/web/": _folder_of(
            root, "web/onnx_emotion_api.js", "the demo page is part of the repository; run this command in a checkout"
        ),
        f"/{DIST}/": _folder_of(
            root, f"{DIST}/ort.wasm.bundle.min.mjs", "onnxruntime-web is missing; run `npm i onnxruntime-web`"
        ),
        **rival,
        **(rival_wasm if rival else {}),
    }


def _model_folder(root: Path) -> Path:
    """Return the folder of the workspace's K7 run, or of the package's own model where there is no such run."""
    has_run = any((root / K7_RUN).glob("*.onnx"))
    return OWN_MODEL.parent if OWN_MODEL.is_file() and not has_run else root / K7_RUN


def _models_in(folder: Path) -> list[Path]:
    """Return the models of a folder, the one called ``K7_MODEL`` first."""
    models = (
        sorted(folder.glob("*.onnx"), key=lambda path: (path.name != K7_MODEL, path.name)) if folder.is_dir() else []
    )
    if not models:
        raise InputError(f"{folder}: no .onnx model; run `make run` first, or name another folder with --model-dir")
    if not (folder / "classes.json").is_file():
        raise InputError(f"{folder}: no classes.json beside {models[0].name}; run `pyojeong export` again")
    return models


def _installed(root: Path, names: tuple[str, ...]) -> dict[str, Path]:
    """Return address -> file for files of the workspace or the checkout, nothing unless all are there."""
    for place in (root, Path(__file__).parents[2]):
        if all((place / name).is_file() for name in names):
            return {f"/{name}": place / name for name in names}
    return {}


def _folder_of(root: Path, name: str, remedy: str) -> Path:
    """Return the folder of a file in the workspace, else in the checkout that this package was installed from."""
    for place in (root, Path(__file__).parents[2]):
        if (place / name).is_file():
            return (place / name).parent
    raise InputError(f"{root / name}: no such file; {remedy}")


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Report what went wrong, except that a browser which moves on closes its connections."""
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
        # A page of another site can reach loopback under its own name (DNS rebinding); only ours is answered. The port
        # may be any: browsers leave out 80, and a tunnel's other end has its own.
        name = self.headers.get("Host", "").partition(":")[0]
        if name.lower() not in ("127.0.0.1", "localhost"):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "open the address that the command printed")
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
        except OSError:  # the routes are those of the start, and a model may be gone since
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
        """Say nothing: the terminal belongs to the one line with the address."""


def _file_for(path: str, routes: Mapping[str, Path | bytes]) -> Path | bytes | None:
    """Return the file or content that an address means, None when it is not to be served.

    Links are followed first and the result must still lie in the folder that is served, whatever ``..``,
    backslash or link led to it.
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
            # A name longer than the system allows, or a circle of links.
            return None
    return None
