"""What all tests share."""

import os
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

# A busy machine is no failure.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

REPOSITORY = Path(__file__).resolve().parent.parent


HEAVY = {
    *("training", "model", "export", "faceapi", "detection", "sample", "report"),
    *(
        "test_benchmarks.py",
        "test_experiments.py",
        "test_own_classes.py",
        "test_package.py",
        "test_python_api.py",
        "test_scripts.py",
    ),
}
"""Folders and files whose tests run torch, Node.js, pip, or draw faces and figures, which takes seconds each."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that ``make check`` leaves out."""
    for item in items:
        place = item.path.relative_to(REPOSITORY / "tests").parts[0]
        if place in HEAVY or "exported" in getattr(item, "fixturenames", ()):
            item.add_marker("heavy")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real open face sets beside the checkout; users do not have it."""
    folder = REPOSITORY.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("the real face sets (../shared/data) are not here")
    return folder


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoint of a random network, its exported model and the model's 8-bit variant.

    Read it only. torch's exporter takes seconds, so it runs once for all worker processes.
    """
    from pyojeong.export.onnx_file import export_onnx
    from tests.networks import drawn_patches, telling_network

    shared_folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared_folder = shared_folder.parent
    folder = shared_folder / "exported"
    with FileLock(shared_folder / "exported.lock"):
        if not (folder / "classes.json").exists():  # written last
            folder.mkdir(exist_ok=True)
            telling_network(drawn_patches(28)).save(folder / "best.pt")
            export_onnx(folder / "best.pt")
    return folder
