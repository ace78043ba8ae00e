"""The notebook runs from top to bottom with only the report's CSVs, and its figures show Hangul."""

import base64
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from pyojeong.report.report import report
from tests.workspaces import make_workspace

NOTEBOOK = Path(__file__).resolve().parents[2] / "Result_Visualization.ipynb"


@pytest.mark.usefixtures("no_figures")
def test_the_notebook_runs_from_the_reports_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_workspace(tmp_path / "made", images=140)
    report(tmp_path / "made")
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "made" / "reports").rename(root / "reports")
    assert not (root / "reports" / "figures").exists()
    for name, folder in {"PYOJEONG_ROOT": root, "JUPYTER_DATA_DIR": tmp_path, "IPYTHONDIR": tmp_path}.items():
        monkeypatch.setenv(name, str(folder))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    # Matplotlib prints "Glyph ... missing" to stderr for every letter that its font lacks; stderr must stay empty.
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    pictures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 3
    assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture in pictures)
    texts = "".join(output.get("text", "") + output.get("data", {}).get("text/html", "") for output in outputs)
    assert "synthetic faces" in texts
    assert "Finetune_K7_160" in texts


def test_the_notebook_is_committed_without_outputs_or_machine_paths() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) >= 5
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert str(Path.home()) not in text
    assert str(NOTEBOOK.parent) not in text
    assert notebook.metadata.kernelspec.name == "python3"
