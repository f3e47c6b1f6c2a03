"""The command: a run's own test photos, other photos, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import mlflow
import pytest
from conftest import Ended, Lab, Run, ended, rows_of, succeeded

from catdog import evaluate
from catdog.errors import ConfigError
from catdog.evaluation.intervals import wilson


def evaluations(lab: Lab, run_id: str) -> list[Run]:
    return [run for run in lab.runs() if run.tags.get("catdog.model_run") == run_id]


@pytest.fixture(scope="module")
def own(first: Run, lab: Lab) -> tuple[Run, Ended]:
    """The evaluation of a run on its own test photos."""
    said = succeeded(lab.command("evaluate", "--model", first.id, f"tracking.uri={lab.uri}"))
    (made,) = evaluations(lab, first.id)
    return made, said


@pytest.mark.tensorflow
def test_without_data_it_scores_the_runs_own_test_photos(
    own: tuple[Run, Ended], first: Run
) -> None:
    made, said = own
    for name in ("test/loss", "test/accuracy", "test/auc", "test/ece"):
        assert made.metrics[name] == pytest.approx(first.metrics[name], abs=1e-5), name
    mine = rows_of(made.artifacts / "evaluation/predictions.csv")
    theirs = rows_of(first.artifacts / "evaluation/predictions.csv")
    assert [row["path"] for row in mine] == [row["path"] for row in theirs]
    for row, other in zip(mine, theirs, strict=True):
        assert float(row["dog"]) == pytest.approx(float(other["dog"]), abs=1e-5)
    used = Counter(r["split"] for r in rows_of(first.artifacts / "data/manifest.csv"))
    assert f"{used['train'] + used['val']} photos left out" in said.err


@pytest.mark.tensorflow
def test_figures_have_intervals(own: tuple[Run, Ended]) -> None:
    made, said = own
    rows = rows_of(made.artifacts / "evaluation/predictions.csv")
    right = sum(row["label"] == row["class"] for row in rows)
    low, high = wilson(right, len(rows))
    assert made.metrics["test/accuracy_low"] == pytest.approx(low)
    assert made.metrics["test/accuracy_high"] == pytest.approx(high)
    assert f"{right / len(rows):.4f}  ({low:.4f} to {high:.4f})" in said.out
    for figure in ("loss", "auc"):
        ends = made.metrics[f"test/{figure}_low"], made.metrics[f"test/{figure}_high"]
        assert ends[0] <= made.metrics[f"test/{figure}"] <= ends[1]


@pytest.mark.tensorflow
def test_it_is_a_run_of_its_own_that_names_the_models(
    own: tuple[Run, Ended], first: Run, lab: Lab
) -> None:
    made, _ = own
    assert made.status == "FINISHED"
    assert made.tags["catdog.kind"] == "evaluation"
    assert made.tags["catdog.command"].startswith("python -m catdog.evaluate --model ")
    assert made.params["data.digest"] == first.params["data.digest"]
    inputs = mlflow.MlflowClient(lab.uri).get_run(made.id).inputs.model_inputs
    assert [one.model_id for one in inputs] == first.models
    assert made.info.run_name == f"evaluation of {first.info.run_name}"
    there = {path.name for path in (made.artifacts / "evaluation").iterdir()}
    tables = {"predictions.csv", "classes.csv", "thresholds.csv", "coverage.csv"}
    pictures = {"confusion_matrix.png", "mistakes.png", "reliability.png"}
    assert there == tables | pictures | {"reliability.csv"}


@pytest.mark.tensorflow
@pytest.mark.slow
def test_a_bare_file_on_other_photos_with_mirror_images(
    own: tuple[Run, Ended], first: Run, lab: Lab, tmp_path: Path
) -> None:
    shutil.copy(first.artifacts / "checkpoints/best.keras", tmp_path / "mine.keras")
    (tmp_path / "mine.keras").with_name("classes.json").write_text(json.dumps(["cat", "dog"]))
    words = lab.overrides(evaluation__tta="flip", data__classes="[dog,cat]")
    said = succeeded(lab.command("evaluate", "--model", tmp_path / "mine.keras", *words))
    assert "It is unknown which photos this file was trained on" in said.err
    (made,) = [r for r in lab.runs() if r.tags.get("catdog.model") == f"{tmp_path}/mine.keras"]
    assert "catdog.model_run" not in made.tags
    rows = rows_of(made.artifacts / "evaluation/predictions.csv")
    assert len(rows) == 81  # all of them
    assert all(row["path"].startswith(f"{row['label']}/") for row in rows)  # whatever the order
    before = rows_of(own[0].artifacts / "evaluation/predictions.csv")
    plain = {row["path"]: row["dog"] for row in before}
    assert any(row["dog"] != plain[row["path"]] for row in rows if row["path"] in plain)


def test_classes_that_the_model_does_not_know_are_one_message(
    first: Run, lab: Lab, tmp_path: Path
) -> None:
    for name in ("cat", "wolf"):
        shutil.copytree(lab.photos / "cat", tmp_path / "other" / name)
        for path in (tmp_path / "other" / name).iterdir():  # no duplicates of two labels
            path.write_bytes(path.read_bytes() + name.encode())
    said = ended(
        lab.command("evaluate", "--model", first.id, "data=folder",
                    f"data.path={tmp_path}/other", f"tracking.uri={lab.uri}")
    )  # fmt: skip
    assert said.status == 1
    assert said.complaints == [
        "catdog: data.classes=wolf: the model only tells cat, dog apart; try "
        "`'data.classes=[cat,dog]'`"
    ]
    assert "Traceback" not in said.err
    assert "Predicting" not in said.err


WAS = ["data=kaggle", "data.path=a", "evaluation.tta=flip", "optimizer.lr=1"]


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ([], WAS),
        (["data.limit=5"], WAS),
        (["data=demo"], ["evaluation.tta=flip", "optimizer.lr=1"]),
        (["evaluation.tta=none", "data.path=b"], ["data=kaggle", "optimizer.lr=1"]),
    ],
)
def test_what_is_asked_now_wins_over_what_the_run_was(words: list[str], kept: list[str]) -> None:
    was = [*WAS, "tracking.uri=sqlite:///x", "tracking.run_name=y"]
    was += ["data.drop=suspects.csv", "data.drop_above=0.9"]  # concerned training
    assert evaluate.kept_overrides(was, words) == kept


@pytest.mark.parametrize(
    ("split", "paths", "said"),
    [
        ("unseen", ["test", "new"], "3 photos left out"),
        ("all", ["train", "val", "test", "new", "dropped"], "3 photos are too easy"),
        ("test", ["val", "test"], "1 photos are too easy"),  # these photos are split otherwise
    ],
)
def test_what_the_model_knows_is_left_out_or_said(split: str, paths: list[str], said: str) -> None:
    from catdog.data.manifest import Manifest, Photo
    from catdog.progress import Progress
    from catdog.tracking.model_lookup import FoundModel

    class Told(Progress):
        def __init__(self) -> None:
            self.notes: list[str] = []

        def note(self, message: str) -> None:
            self.notes.append(message)

    now = {"train": "train", "val": "test", "test": "test", "new": "val", "dropped": "dropped"}
    photos = tuple(Photo(name, "", 0, own, 1, f"sha {name}") for name, own in now.items())
    seen = {f"sha {name}": name for name in ("train", "val", "test", "dropped")}
    model = evaluate.Model("x", FoundModel(Path("x"), "x"), (), seen)
    progress = Told()
    manifest = Manifest(Path("photos"), ("cat",), photos, ())
    found = evaluate.choose_photos(manifest, split, model, progress)
    assert [photo.path for photo in found] == paths
    assert len(progress.notes) == 1 and said in progress.notes[0]


def test_labels_are_in_the_models_order() -> None:
    from catdog.data.manifest import Photo

    photos = [Photo(f"{label}.jpg", "", label, "test", 1, f"{label}") for label in (0, 1, 1)]
    assert list(evaluate.labels_of(photos, ["dog", "cat"], ["cat", "dog"])) == [1, 0, 0]
    with pytest.raises(ConfigError, match="owl"):
        evaluate.labels_of(photos, ["dog", "owl"], ["cat", "dog"])
