"""The commands of docs/own_classes.md run, in their order, up to a model that answers with the user's own classes."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from pyojeong import Analyzer
from pyojeong.cli.main import main
from pyojeong.core.files import read_json
from pyojeong.core.table import read_csv
from pyojeong.demo.server import make_server
from pyojeong.sample.drawing import draw_face
from tests import archives
from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs/own_classes.md").read_text(encoding="utf-8")
FOLDERS = {"웃음": "기쁨", "무표정": "중립", "놀람": "당황"}
QUICK = ["--weights", "random", "--epochs", "1"]
"""Added to ``train``: the network needs no download and learns next to nothing."""


def commands(section: str) -> list[list[str]]:
    """Return the commands in the ``bash`` blocks of a section of the page, without the first word."""
    text = PAGE.split(f"## {section}\n")[1].split("\n## ")[0]
    lines = [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert all(line.startswith("pyojeong ") for line in lines)
    return [shlex.split(line)[1:] for line in lines]


def call(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["pyojeong", *words, *(QUICK if words[0] == "train" else [])])
    with pytest.raises(SystemExit) as left:
        main()
    assert not left.value.code, words


def check_model(folder: Path, name: str, classes: list[str], colors: set[str]) -> None:
    """Check that the model, its classes.json and the demo have these classes."""
    assert read_json(folder / "classes.json") == {"classes": classes}
    metadata = {entry.key: entry.value for entry in onnx.load(folder / name).metadata_props}
    assert set(re.findall(r"#\w{6}", metadata["colors"])) == colors
    (face,) = Analyzer(folder / name).analyze(draw_face("기쁨", 1)[0])
    assert list(face.emotions) == classes
    assert sum(face.emotions.values()) == pytest.approx(1, abs=1e-5)
    with make_server(Path(), 0, model_dir=folder) as server:
        assert server.server_port
    page = (folder / "report/index.html").read_text(encoding="utf-8")
    assert all(f'<td class="word">{word}</td>' in page for word in classes)
    assert all(f"background: {color}" in page for color in colors)


def test_three_folders_become_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, (folder, label) in enumerate(FOLDERS.items()):
        (tmp_path / "photos" / folder).mkdir(parents=True)
        for shot in range(8):
            Image.fromarray(draw_face(label, 10 * number + shot)[0]).save(tmp_path / "photos" / folder / f"{shot}.jpg")
    steps = commands("From three folders to the browser")
    assert [words[0] for words in steps] == ["collect", "train", "report", "export", "demo"]
    call(monkeypatch, steps[0])
    (proposed,) = re.findall("Next: pyojeong (.*)", capsys.readouterr().out)
    assert shlex.split(proposed) == steps[1], "the page's command"
    for words in steps[1:-1]:
        call(monkeypatch, words)
    check_model(tmp_path / "models/faces", "faces.onnx", sorted(FOLDERS), {"#d99a1c", "#3f6fb0", "#c2473d"})


def merge_labels(folder: Path, monkeypatch: pytest.MonkeyPatch, steps: list[list[str]]) -> None:
    """Run the example with AI Hub's labels in ``folder``, without its last command, the demo."""
    monkeypatch.chdir(folder)
    (scheme,) = [block for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) if "어두움" in block]
    (folder / "moods.toml").write_text(scheme, encoding="utf-8")
    assert steps[-1][0] == "demo"
    for words in steps[:-1]:
        call(monkeypatch, words)
    check_model(folder / "models/moods", "moods.onnx", ["밝음", "어두움", "평온"], {"#d99a1c", "#3f6fb0", "#6b7785"})
    own, k7 = (read_csv(folder / f"data_shared/splits_csv/test_{name}.csv") for name in ("moods", "K7"))
    # The uploader may have said 당황 where the annotators did not.
    assert own.height == k7.filter(k7["orig_kor"] != "당황").height < k7.height
    assert set(own["label_en"]) == {"밝음", "어두움", "평온"}
    assert (folder / "models/evaluations/moods_test_moods_eval.csv").is_file()


def test_the_example_with_merged_labels_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Tiny flat photographs in place of the drawn ones; the test below runs the page's own command.
    archives.data_set(tmp_path / "data_raw/sample")
    merge_labels(tmp_path, monkeypatch, commands("Three classes of AI Hub's data")[1:])


@pytest.mark.slow
def test_the_example_runs_on_the_synthetic_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = commands("Three classes of AI Hub's data")
    assert steps[0][0] == "sample"
    merge_labels(tmp_path, monkeypatch, steps)
    assert np.isfinite(read_json(tmp_path / "models/moods/test_metrics.json")["macro_f1"])
