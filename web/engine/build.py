"""Compile the kernels of the browser engine and embed them in ``web/engine-wasm.js``, with Debian's clang and lld.

apt-get install clang-19 lld-19
python web/engine/build.py
"""

import base64
import subprocess
import tempfile
from pathlib import Path

COMPILER = "clang-19"
FOLDER = Path(__file__).parent
MODULE = FOLDER.parent / "engine-wasm.js"

COMMAND = [
    COMPILER,
    "--target=wasm32",
    "-O2",
    "-msimd128",
    "-mbulk-memory",
    "-nostdlib",
    "-Wall",
    "-Wextra",
    "-Wno-pass-failed",
    "-Wl,--no-entry,--import-memory,--strip-all,-zstack-size=8192",
    str(FOLDER / "kernels.c"),
    "-o",
]


def compiler_version() -> str | None:
    """Return the compiler's own line about its version; None if it is not installed."""
    try:
        return subprocess.run([COMPILER, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[
            0
        ]
    except FileNotFoundError:
        return None


def build() -> bytes:
    """Return the compiled kernels."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "kernels.wasm"
        subprocess.run([*COMMAND, str(out)], check=True)
        return out.read_bytes()


def module(wasm: bytes, version: str) -> str:
    """Return the JavaScript module that holds the kernels."""
    return (
        f"/** engine/kernels.c in base64, compiled by engine/build.py with {version}. */\n"
        f"export const WASM =\n  '{base64.b64encode(wasm).decode()}';\n"
    )


def main() -> None:
    """Build and write the module."""
    version = compiler_version()
    if version is None:
        raise SystemExit(f"{COMPILER} is not installed; run: apt-get install clang-19 lld-19")
    wasm = build()
    MODULE.write_text(module(wasm, version), encoding="utf-8")
    print(f"{MODULE}: {len(wasm):,} bytes of WebAssembly, {version}")


if __name__ == "__main__":
    main()
