import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from onnx import TensorProto, helper

from pyojeong.core.errors import InputError
from pyojeong.core.workspace import K7_MODEL, K7_RUN
from pyojeong.demo.files import AVAILABLE, DEMO, DIST
from pyojeong.demo.server import make_server, serve


@pytest.fixture
def port(root: Path) -> Iterator[int]:
    with serving(root) as port:
        yield port


def ask(port: int, path: str, *, method: str = "GET", host: str | None = None) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{port}")
    connection.endheaders()
    response = connection.getresponse()
    answer = response.status, dict(response.getheaders()), response.read()
    connection.close()
    return answer


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/web/demo/", "text/html; charset=utf-8"),
        ("/web/demo/index.html?model=x", "text/html; charset=utf-8"),
        ("/web/onnx_emotion_api.js", "text/javascript; charset=utf-8"),
        (f"/{DIST}/ort.wasm.bundle.min.mjs", "text/javascript; charset=utf-8"),
        (f"/{DIST}/ort-wasm-simd-threaded.wasm", "application/wasm"),
        (f"/{K7_RUN}/{K7_MODEL}", "application/octet-stream"),
        (f"/{K7_RUN}/classes.json", "application/json; charset=utf-8"),
    ],
)
def test_the_page_gets_what_it_needs_with_the_right_type(port: int, root: Path, path: str, kind: str) -> None:
    status, headers, body = ask(port, path)
    assert status == 200
    assert headers["Content-Type"] == kind
    file = "web/demo/index.html" if path.startswith("/web/demo/") else path[1:]
    assert body == (root / file).read_bytes()


def test_the_page_gets_the_list_of_models(port: int, root: Path) -> None:
    status, headers, body = ask(port, AVAILABLE)
    assert (status, headers["Content-Type"]) == (200, "application/json; charset=utf-8")
    for model in json.loads(body)["models"]:
        assert ask(port, urljoin(DEMO, model["url"]))[0] == 200
        assert ask(port, urljoin(DEMO, model["classesUrl"]))[0] == 200
    assert ask(port, AVAILABLE, method="HEAD")[2] == b""
    assert ask(port, "/detection/blazeface.onnx")[0] == 200


@contextmanager
def serving(root: Path, **options: Any) -> Iterator[int]:
    with make_server(root, 0, **options) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def models_at(port: int) -> list[dict[str, Any]]:
    models: list[dict[str, Any]] = json.loads(ask(port, AVAILABLE)[2])["models"]
    return models


@pytest.fixture
def package_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    model = tmp_path / "own/basic7.onnx"
    model.parent.mkdir()
    model.write_text("own")
    model.with_name("classes.json").write_text('{"own": true}')
    monkeypatch.setattr("pyojeong.demo.files.PACKAGE_MODEL", model)
    return model


def test_every_model_of_the_run_and_the_package_is_offered(root: Path, package_model: Path) -> None:
    (root / K7_RUN / "a_8bit.onnx").write_text("small")
    with serving(root) as port:
        assert [model["name"] for model in models_at(port)] == [K7_MODEL, "a_8bit.onnx", package_model.name]
        assert ask(port, f"/{K7_RUN}/a_8bit.onnx")[2] == b"small"
        (root / K7_RUN / "a_8bit.onnx").unlink()
        assert ask(port, f"/{K7_RUN}/a_8bit.onnx")[0] == 404


def onnx_with(metadata: dict[str, str]) -> bytes:
    """A network without work, with metadata."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "none", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, metadata)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("configuration", "metadata", "synthetic"),
    [
        ({"synthetic": True}, {}, True),
        ({"synthetic": True}, {"synthetic": "false"}, True),
        (None, {"synthetic": "true"}, True),
        ({"synthetic": False}, {"synthetic": "false"}, False),
        (None, {}, False),
    ],
)
def test_a_real_run_comes_before_the_package_model_and_a_synthetic_one_after_it(
    configuration: dict[str, Any] | None, metadata: dict[str, str], synthetic: bool, root: Path, package_model: Path
) -> None:
    run = root / K7_RUN
    (run / K7_MODEL).write_bytes(onnx_with(metadata))
    if configuration is not None:
        (run / "config.json").write_text(json.dumps(configuration))
    with serving(root) as port:
        models = {model["origin"]: model for model in models_at(port)}
        assert list(models) == (["package", "workspace"] if synthetic else ["workspace", "package"])
        assert (models["workspace"]["synthetic"], models["package"]["synthetic"]) == (synthetic, False)
        assert ask(port, urljoin(DEMO, models["package"]["url"]))[2] == b"own"
        assert ask(port, urljoin(DEMO, models["package"]["classesUrl"]))[2] == b'{"own": true}'
        assert urljoin(DEMO, models["workspace"]["url"]) == f"/{K7_RUN}/{K7_MODEL}"
        assert ask(port, f"/{K7_RUN}/{K7_MODEL}")[2] == (run / K7_MODEL).read_bytes()
        assert urljoin(DEMO, models["workspace"]["classesUrl"]) == f"/{K7_RUN}/classes.json"
        assert ask(port, f"/{K7_RUN}/classes.json")[2] == b"{}"


def test_a_run_whose_model_is_named_otherwise_answers_at_the_documented_address(
    root: Path, package_model: Path
) -> None:
    (root / K7_RUN / K7_MODEL).rename(root / K7_RUN / "a b.onnx")
    (root / K7_RUN / "config.json").write_text('{"synthetic": true}')
    with serving(root) as port:
        assert [model["name"] for model in models_at(port)] == [package_model.name, "a b.onnx"]
        for url in (f"/{K7_RUN}/{K7_MODEL}", urljoin(DEMO, models_at(port)[1]["url"])):
            assert ask(port, url)[2] == b"model"


@pytest.mark.usefixtures("package_model")
def test_a_named_folder_is_shown_alone(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "named"
    folder.mkdir()
    (folder / "classes.json").write_text("{}")
    for name in ("b.onnx", "a.onnx"):
        (folder / name).write_bytes(onnx_with({"synthetic": str(name == "a.onnx").lower()}))
    with serving(root, model_dir=folder) as port:
        shown = [(model["name"], model["origin"], model["synthetic"]) for model in models_at(port)]
        assert shown == [("a.onnx", "folder", True), ("b.onnx", "folder", False)]
        assert ask(port, f"/{K7_RUN}/{K7_MODEL}")[2] == (folder / "a.onnx").read_bytes()


def test_the_terminal_lists_the_models_and_says_which_is_synthetic(
    root: Path, package_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / K7_RUN / "config.json").write_text('{"synthetic": true}')
    monkeypatch.setattr("http.server.ThreadingHTTPServer.serve_forever", lambda *_: None)
    lines: list[str] = []
    serve(root, 0, announce=lines.append)
    assert lines[1] == f"model: {package_model}  (the package's own)"
    assert lines[2].startswith(f"or: {root / K7_RUN / K7_MODEL}  (trained on synthetic faces")


def test_of_face_api_only_what_the_comparison_needs_is_served(root: Path) -> None:
    package = root / "node_modules/@vladmandic/face-api"
    for name in ("dist/face-api.esm.js", "dist/face-api.js", "package.json", "model/age_gender_model.bin"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("x")
    for model in ("tiny_face_detector", "face_expression"):
        for end in (".bin", "-weights_manifest.json"):
            (package / f"model/{model}_model{end}").write_text("x")
    with make_server(root, 0) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        served = {
            path.relative_to(package).as_posix(): ask(server.server_port, f"/{path.relative_to(root).as_posix()}")[0]
            for path in package.rglob("*")
            if path.is_file()
        }
        assert json.loads(ask(server.server_port, AVAILABLE)[2])["rival"] is True
        server.shutdown()
    refused = {name for name, status in served.items() if status == 404}
    assert refused == {"dist/face-api.js", "package.json", "model/age_gender_model.bin"}
    assert set(served.values()) == {200, 404}


def test_threads_are_allowed_and_other_sites_are_not(port: int) -> None:
    _, headers, _ = ask(port, DEMO)
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/web",
        "/web/",
        f"/{DIST}/",
        "/models/",
        f"/{K7_RUN}/",
        f"/{K7_RUN}/test_preds.csv",
        "/data_raw/face.html",
        "/web/notes.txt",
        "/web/../data_raw/face.html",
        "/web/%2e%2e/data_raw/face.html",
        "/web/..%2fdata_raw%2fface.html",
        "/web/..\\data_raw\\face.html",
        "/web//etc/passwd",
        "//etc/passwd",
        "/web/demo/index.html%00.js",
        "/web/none.js",
        "/web/demo/index.html/",
        "/web/" + "a" * 5000 + ".js",
    ],
)
def test_nothing_else_of_the_disk_is_served(port: int, path: str) -> None:
    status, _, body = ask(port, path)
    assert status == 404
    assert b"private" not in body


def test_a_link_out_of_the_folder_is_not_followed(port: int, root: Path) -> None:
    (root / "web/link.html").symlink_to(root / "data_raw/face.html")
    (root / "web/folder").symlink_to(root / "data_raw")
    (root / "web/circle.html").symlink_to(root / "web/circle.html")
    assert ask(port, "/web/circle.html")[0] == 404
    assert ask(port, "/web/link.html")[0] == 404
    assert ask(port, "/web/folder/face.html")[0] == 404


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "localhost.evil.example", "10.0.0.1", ":"],
)
def test_a_request_under_a_foreign_name_is_refused(port: int, host: str) -> None:
    assert ask(port, DEMO, host=host.format(port=port))[0] == 421


@pytest.mark.parametrize("host", ["localhost:{port}", "LocalHost:{port}", "localhost", "127.0.0.1", "127.0.0.1:8888"])
def test_our_names_are_known_whatever_the_port(port: int, host: str) -> None:
    """Browsers leave port 80 out, and at the other end of an SSH tunnel it is another."""
    assert ask(port, DEMO, host=host.format(port=port))[0] == 200


def test_a_malformed_address_is_refused(port: int) -> None:
    assert ask(port, "http://[x/")[0] == 400


def test_the_root_leads_to_the_page(port: int) -> None:
    status, headers, _ = ask(port, "/")
    assert (status, headers["Location"]) == (302, DEMO)


def test_head_has_the_length_and_no_body(port: int) -> None:
    status, headers, body = ask(port, f"/{K7_RUN}/{K7_MODEL}", method="HEAD")
    assert (status, headers["Content-Length"], body) == (200, "5", b"")


def test_writing_is_not_understood(port: int) -> None:
    assert ask(port, DEMO, method="POST")[0] == 501


def test_only_loopback_listens(root: Path) -> None:
    with make_server(root, 0) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_a_taken_port_leads_to_the_next(root: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with make_server(root, taken) as server:
            assert taken < server.server_port < taken + 20


def test_without_a_run_the_package_s_own_model_is_shown(
    root: Path, package_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("http.server.ThreadingHTTPServer.serve_forever", lambda *_: None)
        lines: list[str] = []
        serve(root, 0, announce=lines.append)
        assert lines[1] == f"model: {root / K7_RUN / K7_MODEL}"
        for name in (K7_MODEL, "classes.json"):
            (root / K7_RUN / name).unlink()
        lines.clear()
        serve(root, 0, announce=lines.append)
        assert lines[1].startswith(f"model: {package_model}  (the package's own; `pyojeong run")
        assert len(lines) == 2
    with serving(root) as port:
        (model,) = models_at(port)
        assert (model["name"], model["origin"]) == ("basic7.onnx", "package")
        for url in (urljoin(DEMO, model["url"]), f"/{K7_RUN}/{K7_MODEL}"):
            assert ask(port, url)[2] == b"own"
        for url in (urljoin(DEMO, model["classesUrl"]), f"/{K7_RUN}/classes.json"):
            assert ask(port, url)[2] == b'{"own": true}'


def test_without_any_model_the_remedy_is_named(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyojeong.demo.files.PACKAGE_MODEL", tmp_path / "absent.onnx")
    (root / K7_RUN / K7_MODEL).unlink()
    with pytest.raises(InputError, match="make run"):
        make_server(root, 0)
    # A folder that was never made has the same remedy.
    for folder in (root / K7_RUN, tmp_path / "none"):
        command = f"pyojeong export --checkpoint {folder / 'best.pt'}"
        with pytest.raises(InputError, match=re.escape(f"{folder}: no .onnx model; write one with `{command}`")):
            make_server(root, 0, model_dir=folder)


def test_a_model_in_place_of_its_folder_is_told(root: Path) -> None:
    file = root / K7_RUN / K7_MODEL
    with pytest.raises(InputError, match=re.escape(f"{file}: is a file; give the folder that holds it")):
        make_server(root, 0, model_dir=file)


def test_without_classes_the_package_s_model_is_shown_and_the_remedy_named(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (root / K7_RUN / "classes.json").unlink()
    with serving(root) as port:
        assert [model["origin"] for model in models_at(port)] == ["package"]
    assert "run `pyojeong export` again" in caplog.text
    with pytest.raises(InputError, match="pyojeong export"):
        make_server(root, 0, model_dir=root / K7_RUN)


def test_another_model_folder_answers_at_the_same_address(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.onnx").write_text("mine")
    (other / "classes.json").write_text("{}")
    with make_server(root, 0, model_dir=other) as server:
        threading.Thread(target=server.handle_request).start()
        assert ask(server.server_port, f"/{K7_RUN}/{K7_MODEL}")[2] == b"mine"


def test_the_address_is_announced_and_the_browser_opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("http.server.ThreadingHTTPServer.serve_forever", stop)
    serve(root, 0, open_browser=True, announce=said.append)
    assert said[0].startswith(opened[0])
    assert opened[0].endswith(DEMO)
