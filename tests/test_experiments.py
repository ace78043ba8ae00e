import json

import polars as pl
import pytest

from pyojeong import experiments
from pyojeong.core.errors import InputError
from pyojeong.core.labels import KOREAN
from pyojeong.core.workspace import EXPERIMENTS, K7_RUN
from pyojeong.data.prepare import prepare
from pyojeong.experiments import load_profile
from pyojeong.model.checkpoint import Checkpoint
from pyojeong.sample.archives import draw_sample
from pyojeong.training.recipe import Recipe, TrainingTables
from pyojeong.training.run import train

TINY = """
[tiny]
people = 8
[tiny.all]
weights = "random"
batch = 16
[tiny.probe]
epochs = 1
[tiny.finetune]
epochs = 1
"""


def test_the_full_profile_is_the_published_recipe():
    full = load_profile("full")
    assert full.training_options("probe", "M1") == {
        "weights": "imagenet",
        "batch": 1024,
        "seed": 1337,
        "epochs": 5,
        "lr_head": 7e-4,
    }
    m1, k7 = full.training_options("finetune", "M1"), full.training_options("finetune", "K7")
    assert (m1["epochs"], k7["epochs"], m1["lr_backbone"], m1["lr_head"]) == (30, 50, 1e-4, 5e-4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[tiny", ["not readable as TOML"]),
        ("[other]", ["no profile 'tiny'", "other"]),
        ("[tiny]\nspeed = 1", ["unknown key speed"]),
        ("[tiny.probe]\nepoch = 1", ["epoch", "epochs"]),
        ("[tiny.finetune.K7]\nepochs = 0", ["epochs", "0"]),
        ("[tiny.probe]\nflip = 0.5", ["probe", "flip"]),
        ('[tiny]\npeople = "x"', ["people", "'x'"]),
        ("[tiny]\nall = 3", ["tiny.all"]),
        ('[tiny.all]\nmode = "probe"', ["tiny.all", "mode"]),
        ("[tiny.finetune.K8]\nepochs = 2", ["finetune.K8"]),
    ],
)
def test_a_profile_is_checked_before_anything_runs(tmp_path, text, words):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_profile("tiny", path)
    for word in ["mine.toml", *words]:
        assert word in str(caught.value)


def test_missing_weights_are_named_before_the_first_stage(tmp_path):
    text = f'[tiny.finetune.K7]\nteachers = "vggface2"\nteacher_weights = "{tmp_path}/none.safetensors"'
    (tmp_path / "mine.toml").write_text(text)
    said: list[str] = []
    with pytest.raises(InputError, match=r"none.safetensors: no such file; run scripts/vggface2.py"):
        experiments.run(tmp_path, None, load_profile("tiny", tmp_path / "mine.toml"), say=said.append)
    assert said == []


@pytest.mark.parametrize("weights", ["shipped", "random", "imagenet"])
def test_a_start_that_does_not_know_the_classes_is_refused_before_the_first_stage(tmp_path, weights, monkeypatch):
    monkeypatch.setattr("pyojeong.model.weights.imagenet_file", lambda: pytest.fail("downloads before it refuses"))
    (tmp_path / "mine.toml").write_text(f'[tiny.finetune]\nteachers = "start"\nweights = "{weights}"')
    said: list[str] = []
    with pytest.raises(InputError, match=f"the teacher start .* but {weights} was not trained on the classes"):
        experiments.run(tmp_path, None, load_profile("tiny", tmp_path / "mine.toml"), say=said.append)
    assert said == []


def test_a_profile_that_wants_other_crops_is_refused_before_the_first_stage(tmp_path):
    (tmp_path / "mine.toml").write_text("[tiny.all]\nmargin = 0.3")
    with pytest.raises(InputError, match=r"crops in data_shared have margin 0.15 .* needs margin 0.3"):
        experiments.run(tmp_path, None, load_profile("tiny", tmp_path / "mine.toml"))


def test_the_sample_does_not_replace_what_was_made_of_real_photographs(tmp_path):
    (tmp_path / "data_shared").mkdir()
    (tmp_path / "data_shared/summary.json").write_text('{"synthetic": false}')
    with pytest.raises(InputError, match=r"summary.json: describes real photographs, .* choose another --project-root"):
        experiments.run(tmp_path, None, load_profile("sample"))
    assert [path.name for path in tmp_path.iterdir()] == ["data_shared"]


@pytest.mark.slow
def test_a_tiny_sample_goes_through_everything_and_a_second_run_only_looks(tmp_path):
    (tmp_path / "mine.toml").write_text(TINY)
    profile = load_profile("tiny", tmp_path / "mine.toml")
    said: list[str] = []
    made = experiments.run(tmp_path, None, profile, workers=2, say=said.append)
    assert len(said) == 10
    assert made.missing == {}
    assert "test the pipeline" in made.notice

    summary = pl.read_csv(tmp_path / "reports" / "summary_overall_7exp.csv")
    assert summary["exp"].to_list() == list(EXPERIMENTS)
    run = tmp_path / K7_RUN
    assert json.loads((run / "classes.json").read_text(encoding="utf-8"))["classes"] == list(KOREAN)
    for name in ("best.pt", "val_metrics_best.json", "test_metrics.json", "test_preds.csv", "k7_mnv3s_160.onnx"):
        assert (run / name).is_file()
    for name in EXPERIMENTS:
        for table in ("cm_counts", "cm_row_normalized", "per_class_metrics"):
            assert (tmp_path / "reports" / f"{name}_{table}.csv").is_file()
    for name in ("M1", "M2", "K7"):
        for part in ("train", "val", "test"):
            crops = pl.read_csv(tmp_path / "data_shared" / "cropped_faces_csv" / f"{part}_{name}.csv")
            photographs = pl.read_csv(tmp_path / "data_shared" / "splits_csv" / f"{part}_{name}.csv")
            assert len(crops) == len(photographs) > 0

    kept = ("data_raw", "data_shared", "models")
    before = {path: path.stat().st_mtime_ns for top in kept for path in (tmp_path / top).rglob("*") if path.is_file()}
    again = experiments.run(tmp_path, None, profile, workers=2)
    after = {path: path.stat().st_mtime_ns for top in kept for path in (tmp_path / top).rglob("*") if path.is_file()}
    assert after == before
    assert again.summary.equals(made.summary)


@pytest.mark.slow
def test_the_best_recipe_for_k7_trains_on_the_sample_from_the_packages_own_model(tmp_path):
    """With one teacher and one epoch each; the weights of the other teacher are not in the checkout."""
    draw_sample(tmp_path / "sample", people=8, seed=1337, workers=2)
    prepare(tmp_path / "sample", tmp_path, workers=2)
    few = {"teachers": "dlib", "epochs": 1, "teacher_epochs": 1}
    recipe = Recipe.of("finetune", load_profile("best").training_options("finetune", "K7") | few)
    crops = tmp_path / "data_shared" / "cropped_faces_csv"
    tables = TrainingTables(*(crops / f"{part}_K7.csv" for part in ("train", "val", "test")))
    metrics = train(recipe, tables, tmp_path / "best", root=tmp_path)

    assert recipe.weights == "shipped"
    assert recipe.votes > 0
    assert metrics.n == pl.read_csv(tables.test).height
    history = pl.read_csv(tmp_path / "best" / "history.csv")
    assert history["network"].to_list() == [1, 2]
    assert history["train_loss"].is_finite().all()
    assert Checkpoint.load(tmp_path / "best" / "best.pt").classes == tuple(KOREAN)
