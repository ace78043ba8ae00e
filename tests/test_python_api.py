"""The examples of docs/python_api.md run, in their order and in one namespace, on a small workspace."""

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import pyojeong
from pyojeong.sample.drawing import draw_face
from tests import archives
from tests.analysis.clips import face, write_film
from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs/python_api.md").read_text(encoding="utf-8")


def test_every_public_name_has_an_example() -> None:
    examples = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))

    assert [name for name in pyojeong.__all__ if not re.search(rf"\b{name}\b", examples)] == ["Face", "__version__"]
    assert "`Face`" in PAGE


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(draw_face("기쁨", 1)[0]).save("photo.jpg")
    (tmp_path / "holiday").mkdir()
    Image.fromarray(draw_face("기쁨", 2)[0]).save("holiday/one.png")
    write_film(tmp_path / "film.mp4", [face(6)] * 12)
    archives.data_set(tmp_path / "data_raw/aihub")
    names: dict[str, Any] = {}
    for example in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(example, "docs/python_api.md", "exec"), names)  # our own page

    assert len(names["faces"]) == 1
    assert len(names["table"]) == 1 + 12
    assert names["summary"].table["source"].to_list() == ["film.mp4", "photographs"]
    assert names["happiest"].columns == ["source", "time_s", "id", "p_happy"]
    assert names["seen"].time_s == pytest.approx(1.0)
    assert all((tmp_path / name).is_file() for name in ("out/holiday/one.png", "out/film.mp4", "emotions.png"))
    assert (names["preparation"].people, names["preparation"].kept) == (20, 280)
    assert names["baseline"].all.n == names["ours"].given.n > 20
    assert set(names["comparison"].scores["contender"]) == {"face-api.js", "ours"}
    assert set(names["metrics"].per_class) == {"기쁨", "당황", "분노", "불안", "상처", "슬픔", "중립"}
    assert (tmp_path / "models/my_run/my_8bit.onnx").is_file()
    assert "missing.jpg: no such image file" in capsys.readouterr().out
