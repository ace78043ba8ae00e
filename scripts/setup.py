"""Set up what ``make run``, ``make test`` or ``make docs`` needs, and only what is missing.

Needs nothing but Python's standard library. Says what it downloads; asks for nothing.

    python3 scripts/setup.py run     # the package with training and reports, face-api.js's weights, onnxruntime-web
    python3 scripts/setup.py test    # the same with the test tools, the real face-api.js and a Chromium
    python3 scripts/setup.py docs    # the site builder alone
    python3 scripts/setup.py tools   # esbuild, rollup, webpack, Next.js and TypeDoc, for `make test-all`; after `test`
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
SCRIPTS = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = SCRIPTS / ("python.exe" if os.name == "nt" else "python")
TOOLS = ROOT / "tests" / "tools"
EXTRAS = {"run": "train,report", "test": "dev", "docs": "docs"}
SIZES = {"run": 300, "test": 300, "docs": 70}
"""Of the Python packages, in MB."""


def main() -> None:
    """Run the steps for the goal named on the command line."""
    goals = [*EXTRAS, "tools"]
    if len(sys.argv) != 2 or sys.argv[1] not in goals:
        stop(f"usage: {sys.argv[0]} {'|'.join(goals)}")
    if sys.version_info < (3, 11):  # noqa: UP036 - the reader of this line may be on an old Python
        stop(f"Python 3.11 or newer is needed, this is {platform.python_version()}; call make PYTHON=python3.12")
    goal = sys.argv[1]
    if goal == "tools":
        install_tools()
        return
    make_venv()
    install_python_packages(goal)
    if goal != "docs":
        install_npm_packages(goal)
    if goal == "test":
        find_or_install_chromium()


def make_venv() -> None:
    """Create .venv; where Debian left out ensurepip, install it when root and say how otherwise."""
    if working(PYTHON, "-m", "pip", "--version"):
        return
    say("Creating the virtual environment .venv")
    create = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    if subprocess.run(create, stdout=subprocess.DEVNULL).returncode == 0:
        return
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    if not (is_root() and shutil.which("apt-get")):
        stop(f"Python's venv module is incomplete here. Install it (sudo apt-get install {package}) and try again.")
    say(f"Installing Debian's {package}, which creating the environment needs")
    apt_install(package)
    run(*create)


def install_python_packages(goal: str) -> None:
    """Install the package with the extras of the goal; PyTorch's CPU build first, where pip offers it."""
    wanted = digest("pyproject.toml", "constraints.txt") + f" {sys.version}"
    # The test set-up holds everything that the others have.
    stamps = [VENV / f".installed-{name}" for name in dict.fromkeys((goal, "test"))]
    if any(stamp.is_file() and stamp.read_text() == wanted for stamp in stamps):
        return
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", "constraints.txt"]
    if goal != "docs":
        install_torch(pip)
    say(f"Downloading and installing the Python packages of pyojeong[{EXTRAS[goal]}] (about {SIZES[goal]} MB)")
    run(*pip, "--editable", f".[{EXTRAS[goal]}]")
    (VENV / f".installed-{goal}").write_text(wanted)


def install_torch(pip: list[str]) -> None:
    """Install the pinned PyTorch, its CPU build where one is offered."""
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    pin = next(line for line in pins if line.startswith("torch=="))
    if working(PYTHON, "-c", f"import torch; assert torch.__version__.split('+')[0] == '{pin[7:]}'"):
        return
    say(f"Downloading and installing PyTorch {pin[7:]}, CPU build (about 200 MB)")
    if subprocess.run([*pip, f"{pin}+cpu"], cwd=ROOT, capture_output=True).returncode == 0:
        return
    if platform.system() == "Linux":
        say(
            "pip offers no CPU build here, so this is the default build (several GB with CUDA). To avoid it, stop, "
            "set PIP_EXTRA_INDEX_URL to the CPU index that pytorch.org names, and start again."
        )
    run(*pip, pin)


def install_npm_packages(goal: str) -> None:
    """Install the locked npm packages: face-api.js's weights and onnxruntime-web, for tests the rest as well."""
    wanted = digest("package.json", "package-lock.json")
    modules = ROOT / "node_modules"
    stamps = [modules / f".installed-{name}" for name in dict.fromkeys((goal, "test"))]
    if any(stamp.is_file() and stamp.read_text() == wanted for stamp in stamps):
        return
    say("Downloading and installing the npm packages " + ("(about 200 MB)" if goal == "run" else "(about 500 MB)"))
    npm_ci(ROOT, *(["--omit=dev"] if goal == "run" else []))
    (modules / f".installed-{goal}").write_text(wanted)


def install_tools() -> None:
    """Install the locked bundlers and the writer of the reference, which only the long tests need."""
    names = [f"{TOOLS.relative_to(ROOT).as_posix()}/{name}" for name in ("package.json", "package-lock.json")]
    stamp = TOOLS / "node_modules" / ".installed"
    if stamp.is_file() and stamp.read_text() == digest(*names):
        return
    say("Downloading and installing esbuild, rollup, webpack, Next.js and TypeDoc (about 450 MB)")
    npm_ci(TOOLS)
    stamp.write_text(digest(*names))


def npm_ci(folder: Path, *more: str) -> None:
    """Install the locked packages of a folder."""
    npm = shutil.which("npm")
    if not npm or node_major() < 20:
        stop("Node.js 20 or newer with npm is needed (it brings face-api.js and onnxruntime-web); see nodejs.org")
    quiet = ("--no-audit", "--no-fund", "--loglevel=error", "--update-notifier=false")
    run(npm, "ci", "--prefix", str(folder), "--ignore-scripts", *quiet, *more)


def find_or_install_chromium() -> None:
    """Make sure that the browser tests find a Chromium, and say which."""
    found = chromium()
    if found:
        say(f"Browser tests use {found}")
        return
    if is_root() and shutil.which("apt-get"):
        say("No Chromium found: installing Debian's packages of it, and fonts-nanum for Hangul (about 250 MB)")
        apt_install("chromium", "chromium-headless-shell", "fonts-nanum", check=False)
    if not chromium():
        say("No Chromium from Debian: downloading Playwright's own (about 180 MB)")
        run(str(PYTHON), "-m", "playwright", "install", *(["--with-deps"] if is_root() else []), "chromium")
    say(f"Browser tests use {chromium()}")


def chromium() -> str | None:
    """Return the Chromium that the browser tests will use, None when there is none."""
    finder = ROOT / "tests" / "browser" / "chromium.py"
    answer = subprocess.run([str(PYTHON), str(finder)], cwd=ROOT, capture_output=True, text=True)
    return answer.stdout.strip() or None


def apt_install(*packages: str, check: bool = True) -> None:
    """Install Debian packages without questions."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        subprocess.run(["apt-get", "-qq", *command], env=environment, stdout=subprocess.DEVNULL, check=check)


def digest(*names: str) -> str:
    """Return one SHA-256 over the named files of the repository."""
    return hashlib.sha256(b"\0".join((ROOT / name).read_bytes() for name in names)).hexdigest()


def node_major() -> int:
    """Return Node's major version, 0 when there is no Node."""
    node = shutil.which("node")
    if not node:
        return 0
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout
    return int(version.lstrip("v").split(".")[0] or 0)


def working(*command: str | Path) -> bool:
    """Say whether a command exists and ends well."""
    try:
        return subprocess.run([str(part) for part in command], capture_output=True).returncode == 0
    except OSError:
        return False


def is_root() -> bool:
    """Say whether Debian packages may be installed."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def run(*command: str) -> None:
    """Run a command in the repository; stop with its name when it fails."""
    if subprocess.run(command, cwd=ROOT).returncode:
        stop(f"failed: {' '.join(command)}")


def say(text: str) -> None:
    """Print one line at once, so that it stands before what the next command prints."""
    print(text, flush=True)


def stop(text: str) -> NoReturn:
    """End with a message and exit code 2."""
    print(f"error: {text}", file=sys.stderr, flush=True)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
