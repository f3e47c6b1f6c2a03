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
from catdog.progress import Progress


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


def copied(lab: Lab, folder: Path, count: int | None = None, **sources: str) -> Path:
    """Copy photos into class folders; no copy has the bytes of another."""
    for name, source in sources.items():
        (folder / name).mkdir(parents=True)
        for path in sorted((lab.photos / source).iterdir())[:count]:
            (folder / name / path.name).write_bytes(path.read_bytes() + name.encode())
    return folder


def asked(lab: Lab, model: str, folder: Path, *words: str) -> Ended:
    where = ["data=folder", f"data.path={folder}", f"tracking.uri={lab.uri}", *words]
    return ended(lab.command("evaluate", "--model", model, *where))


def newest(lab: Lab) -> Run:
    return max(lab.runs(), key=lambda run: run.info.start_time)


def test_when_the_model_knows_no_class_it_is_one_message(
    first: Run, lab: Lab, tmp_path: Path
) -> None:
    said = asked(lab, first.id, copied(lab, tmp_path / "other", wolf="cat", owl="dog"))
    assert said.status == 1
    assert said.complaints == [
        "catdog: data.classes=owl, wolf: the model only tells cat, dog apart"
    ]
    assert "Traceback" not in said.err
    assert "Predicting" not in said.err


@pytest.mark.tensorflow
@pytest.mark.slow
def test_photos_of_other_classes_are_left_out_and_said(
    first: Run, lab: Lab, tmp_path: Path
) -> None:
    folder = copied(lab, tmp_path / "other", CAT="cat", dog="dog", wolf="dog")
    said = asked(lab, first.id, folder)
    assert said.status == 0, said.err
    wolves = len(list((folder / "wolf").iterdir()))
    assert f"Left out {wolves} photos of wolf: no class of the model" in said.err
    assert "CAT is taken for the model's class cat" in said.err
    assert f"without {wolves} of classes that the model does not know" in said.out
    rows = rows_of(newest(lab).artifacts / "evaluation/predictions.csv")
    assert Counter(row["label"] for row in rows) == {
        name: len(list((lab.photos / name).iterdir())) for name in ("cat", "dog")
    }


@pytest.mark.tensorflow
@pytest.mark.slow
@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("count", [10, 2, 1])
def test_figures_of_one_class_are_undefined_where_they_cannot_be_had(
    first: Run, lab: Lab, tmp_path: Path, count: int
) -> None:
    said = asked(lab, first.id, copied(lab, tmp_path / "one", count, cat="cat"))
    assert said.status == 0, said.err
    assert "AUC      │ undefined" in said.out and "nan" not in said.out
    assert f"photos   │ {count}" in said.out
    assert ("too few photos for an interval" in said.out) == (count < 5)
    assert "Warning" not in said.err
    made = newest(lab)
    assert made.params["evaluation.photos"] == str(count)
    assert not [name for name in made.metrics if name.startswith("test/auc")]
    by_name = {row["name"]: row for row in rows_of(made.artifacts / "evaluation/classes.csv")}
    assert by_name["dog"]["recall"] == by_name["dog"]["f1"] == "" != by_name["cat"]["recall"]
    assert "nan" not in "".join(
        path.read_text() for path in (made.artifacts / "evaluation").glob("*.csv")
    )
    assert f"of {count} photo" in made.tags["mlflow.note.content"]


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


class Notes(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.mark.parametrize(
    ("names", "classes", "labels", "notes"),
    [
        (["dog", "cat"], ["cat", "dog"], [1, 0, 0], []),
        (["Dog", "CAT"], ["cat", "dog"], [1, 0, 0], ["CAT is taken for", "Dog is taken for"]),
        (["dog", "owl"], ["cat", "dog"], [1], ["Left out 2 photos of owl: no class of the model"]),
        (["cafe\u0301", "bar"], ["bar", "caf\u00e9"], [1, 0, 0], []),
        (["a", "A"], ["a", "A"], [0, 1, 1], []),
    ],
)
def test_labels_are_in_the_models_order(
    names: list[str], classes: list[str], labels: list[int], notes: list[str]
) -> None:
    from catdog.data.manifest import Photo

    photos = [Photo(f"{label}.jpg", "", label, "test", 1, f"{label}") for label in (0, 1, 1)]
    progress = Notes()
    found, made = evaluate.labelled(photos, names, classes, progress)
    assert list(made) == labels and len(found) == len(labels)
    assert len(progress.notes) == len(notes)
    assert all(note.startswith(start) for note, start in zip(progress.notes, notes, strict=True))


def test_no_class_of_the_model_is_an_error() -> None:
    from catdog.data.manifest import Photo

    photos = [Photo("a.jpg", "", 0, "test", 1, "a")]
    with pytest.raises(ConfigError, match="owl: the model only tells cat, dog apart"):
        evaluate.labelled(photos, ["owl"], ["cat", "dog"], Notes())


def test_of_many_classes_those_of_least_recall_have_rows(capsys: pytest.CaptureFixture) -> None:
    from catdog.evaluation.breakdown import ClassRow

    rows = [
        ClassRow(f"class {k}", 10, 10, 0.5, k / 200, 0.0, 1.0, 0.5) for k in range(149, -1, -1)
    ]
    rows.append(ClassRow("absent", 0, 0, None, None, None, None, None))
    evaluate.print_evaluation("t", {"photos": "1,500"}, rows, "browse")
    out = capsys.readouterr().out
    assert "class 29 " in out and "class 30 " not in out and "absent" not in out
    assert "the 30 of least recall; all 151 classes: evaluation/classes.csv" in out
    evaluate.print_evaluation("t", {"photos": "1,500"}, rows[-2:], "browse")
    assert "absent  │ 0      │ undefined │ undefined │" in capsys.readouterr().out
