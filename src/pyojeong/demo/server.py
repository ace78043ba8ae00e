"""Serves the demo page on loopback: the page, its runtime and the models, and no other file."""

import errno
import shutil
import sys
import webbrowser
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pyojeong.core.errors import InputError
from pyojeong.demo.files import DEMO, HEADERS, Model, models_of, routes_of

PORT = 5173
_PORTS_TRIED = 20

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
    ".jpg": "image/jpeg",
    ".webm": "video/webm",
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
    models = models_of(root, model_dir)
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
    return _server(root, port, models_of(root, model_dir))


def _remark(model: Model, *, alone: bool) -> str:
    """Return what the terminal says after the path of a model."""
    if model.synthetic:
        return "  (trained on synthetic faces: says nothing about real ones)"
    if model.origin == "package":
        return f"  (the package's own{'; `pyojeong run SOURCE` trains one on your data' if alone else ''})"
    return ""


def _server(root: Path, port: int, models: list[Model]) -> ThreadingHTTPServer:
    routes = routes_of(root, models)
    for candidate in (0,) if port == 0 else range(port, min(port + _PORTS_TRIED, 65536)):
        try:
            return _Server(("127.0.0.1", candidate), partial(_Handler, routes))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
    raise InputError(f"port {port} and those after it are taken; choose another with --port")


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
        for name, value in HEADERS.items():
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
