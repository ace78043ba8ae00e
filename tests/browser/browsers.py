"""Opens a page in the browsers of this machine; no driver is needed, because the page itself sends its answer."""

import http.server
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import find_chromium

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE = 240  # seconds


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the folder of the test, and keeps what the page sends."""

    def do_POST(self) -> None:
        assert isinstance(self.server, Server)
        self.server.answer = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.answered.set()
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Server(http.server.ThreadingHTTPServer):
    answer: Any = None

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), lambda *given: Handler(*given, directory=str(folder)))
        self.answered = threading.Event()


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    with Server(folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def answer_of(command: list[str], folder: Path, page: str) -> dict[str, Any]:
    """Return what ``page`` posts to the server of ``folder``, where the package lies as well, opened by ``command``."""
    (folder / "page.html").write_text(page, encoding="utf-8")
    for name in ("web", "tests"):
        if not (folder / name).exists():
            (folder / name).symlink_to(REPOSITORY / name)
    with serving(folder) as server:
        url = f"http://127.0.0.1:{server.server_port}/page.html"
        with subprocess.Popen(
            [*command, url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        ) as browser:
            answered = server.answered.wait(PATIENCE)
            os.killpg(browser.pid, signal.SIGTERM)
        assert answered, "the page sent no answer"
        found: dict[str, Any] = server.answer
    assert "error" not in found, found
    return found


def chromium(profile: Path) -> list[str]:
    path = find_chromium()
    if path is None:
        pytest.fail("there is no Chromium; `make test` installs one")
    return [path, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]


def firefox(profile: Path) -> list[str]:
    path = shutil.which("firefox-esr") or shutil.which("firefox")
    if path is None:
        pytest.skip("Firefox is not installed (apt-get install firefox-esr)")
    profile.mkdir(exist_ok=True)  # without it Firefox waits for an answer in a window
    return [path, "--headless", "--no-remote", "--profile", str(profile)]


def webkit(_: Path) -> list[str]:
    found = sorted(Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser"))
    if not found or not shutil.which("xvfb-run"):
        pytest.skip("WebKitGTK is not installed (apt-get install webkit2gtk-driver xvfb)")
    return ["xvfb-run", "-a", str(found[-1])]


BROWSERS = [
    pytest.param(chromium, "Chrome", id="chromium"),
    pytest.param(firefox, "Firefox", id="firefox", marks=pytest.mark.slow),
    pytest.param(webkit, "AppleWebKit", id="webkit", marks=pytest.mark.slow),
]
"""How each is started for an empty profile, and a word of its user agent."""
