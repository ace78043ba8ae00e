from pathlib import Path

import pytest

from pyojeong.core.workspace import K7_MODEL, K7_RUN
from pyojeong.demo.files import DIST


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    files = {
        "web/demo/index.html": "<title>표정</title>",
        "web/onnx_emotion_api.js": "export {}",
        "web/notes.txt": "not for the page",
        f"{DIST}/ort.wasm.bundle.min.mjs": "export {}",
        f"{DIST}/ort-wasm-simd-threaded.wasm": "\0asm",
        f"{K7_RUN}/{K7_MODEL}": "model",
        f"{K7_RUN}/classes.json": "{}",
        f"{K7_RUN}/test_preds.csv": "path,true,pred",
        "data_raw/face.html": "private",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root
