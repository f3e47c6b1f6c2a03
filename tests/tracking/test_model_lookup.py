"""What ``--model`` names is found, in the store or on disk, or one message says why not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from catdog.errors import ConfigError, DataError
from catdog.tracking import Tracker, model_lookup
from catdog.tracking.model_lookup import FoundModel
from catdog.tracking.run import Run

Resolve = Callable[..., FoundModel]


@pytest.fixture
def resolve(tracker: Tracker, tmp_path: Path) -> Resolve:
    def ask(asked: str, data: str | None = None) -> FoundModel:
        return model_lookup.resolve(
            asked, folder=tmp_path, uri=tracker.uri, experiment=tracker.experiment, data=data
        )

    return ask


def log(
    tracker: Tracker,
    *,
    loss: float = 0.5,
    accuracy: float = 0.9,
    kind: str = "run",
    status: str = "FINISHED",
    saved: bool = True,
    params: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
    digest: str = "photos",
) -> Run:
    """Log what the search for a model reads of a run."""
    run = tracker.create(f"run of {loss}", {"catdog.kind": kind, **(tags or {})})
    run.params({"evaluation.tta": "none", "data.digest": digest, **(params or {})})
    run.metrics({"best/val_loss": loss, "best/val_accuracy": accuracy, "best/epoch": 2})
    for epoch, value in enumerate((loss + 1, loss, loss - 1), 1):
        run.metrics({"train/loss": value}, epoch)
    run.flush()
    run.dataset("folder", digest, '{"classes": ["cat", "dog"]}', "{}")
    if saved:
        with run.folder("checkpoints") as place:
            (place / "best.keras").write_text(run.run_id)
    if status != "RUNNING":
        run.end(status)
    return run


def sweep(tracker: Tracker, name: str, winner: str = "") -> Run:
    tags = {"optuna.study": name, **({"best.run_id": winner} if winner else {})}
    return log(tracker, kind="sweep", tags=tags, saved=False)


# === best ===


def test_best_is_the_least_loss_that_saved_a_model(tracker: Tracker, resolve: Resolve) -> None:
    log(tracker, loss=0.3)
    best = log(tracker, loss=0.2, kind="trial", params={"evaluation.tta": "flip"})
    log(tracker, loss=0.4)
    log(tracker, loss=0.1, saved=False)  # pruned: it is FINISHED and has no checkpoint
    log(tracker, loss=0.1, status="FAILED")
    log(tracker, loss=0.1, status="RUNNING")
    log(tracker, loss=0.1, kind="evaluation")
    log(tracker, loss=float("nan"))
    found = resolve("best")
    assert (found.run_id, found.path.read_text()) == (best.run_id, best.run_id)
    assert (found.classes, found.tta) == (("cat", "dog"), "flip")
    assert (found.metric, found.value) == ("val/loss", 0.2)
    assert found.title == (f"best of 5 runs: run {best.run_id[:8]}, run of 0.2, val/loss 0.2000")


def test_best_compares_only_runs_with_the_objective_of_the_latest(
    tracker: Tracker, resolve: Resolve
) -> None:
    by_loss = log(tracker, loss=0.1, accuracy=0.99)
    log(tracker, loss=0.2, accuracy=0.98)
    for direction, accuracies in (("minimize", (0.96,)), ("maximize", (0.95, 0.9))):
        objective = {"objective.metric": "val/accuracy", "objective.direction": direction}
        runs = [log(tracker, loss=1 - a, accuracy=a, params=objective) for a in accuracies]
    found = resolve("best")
    assert (found.run_id, found.metric, found.value) == (runs[0].run_id, "val/accuracy", 0.95)
    assert found.notes[0] == "compared: runs on photos (photos) for the largest val/accuracy"
    assert found.notes[1].startswith("left out: 1 run on photos (photos) for the least val/acc")
    assert found.notes[2] == (
        f"left out: 2 runs on photos (photos) for the least val/loss: --model {by_loss.run_id[:8]}"
    )


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("metric", ["val/accuracy", "train/loss"])
def test_a_model_that_an_earlier_version_saved_after_its_loss_was_nan_never_wins(
    tracker: Tracker, resolve: Resolve, loss: float, metric: str
) -> None:
    direction = "maximize" if metric.endswith("accuracy") else "minimize"
    asked = {"objective.metric": metric, "objective.direction": direction}
    good = log(tracker, loss=0.5, accuracy=0.8, params=asked)
    bad = log(tracker, loss=loss, accuracy=0.92, params=asked)
    assert resolve("best").run_id == good.run_id
    sweep(tracker, "heads", bad.run_id)
    for name in (bad.run_id, "heads"):
        with pytest.raises(ConfigError, match="diverged.* smaller optimizer.lr .*clipnorm=1"):
            resolve(name)


def test_a_run_that_diverged_says_so(tracker: Tracker, resolve: Resolve) -> None:
    bad = log(tracker, tags={"catdog.diverged": "3"}, status="FAILED", saved=False)
    with pytest.raises(ConfigError, match="its training diverged"):
        resolve(bad.run_id)


def test_an_objective_of_training_counts_at_the_best_epoch(
    tracker: Tracker, resolve: Resolve
) -> None:
    objective = {"objective.metric": "train/loss"}
    best = log(tracker, loss=0.1, params=objective)
    log(tracker, loss=0.3, params=objective)
    found = resolve("best")
    assert (found.run_id, found.value) == (best.run_id, 0.1)


DEMO, PETS = 8 * "d0", 8 * "ca"
OF_DEMO = {"data.name": "demo", "data.path": "null"}
OF_PETS = {
    "data.name": "kaggle", "data.path": "/there/pets.zip",
    "data.photos.train": "80", "data.photos.val": "10", "data.photos.test": "9",
}  # fmt: skip


def test_best_compares_only_runs_on_the_photos_of_the_latest(
    tracker: Tracker, resolve: Resolve
) -> None:
    log(tracker, loss=0.1, digest=DEMO, params=OF_DEMO)  # drawings are easy
    pets = log(tracker, loss=0.3, digest=PETS, params=OF_PETS)
    log(tracker, loss=0.4, digest=PETS, params=OF_PETS)
    found = resolve("best")
    assert (found.run_id, found.value) == (pets.run_id, 0.3)
    assert found.title.startswith("best of 2 runs: ")
    assert found.notes == (
        "compared: runs on kaggle pets.zip (80/10/9 photos, cacacaca) for the least val/loss",
        "left out: 1 run on demo (d0d0d0d0): --data d0d0d0d0",
    )
    log(tracker, loss=0.6, digest=DEMO, params=OF_DEMO)
    assert resolve("best").value == 0.1, "the latest run saw the drawings"


@pytest.mark.parametrize(
    ("asked", "value"),
    [
        ("demo", 0.1), (DEMO, 0.1), ("d0d0", 0.1), ("kaggle", 0.3), ("pets.zip", 0.3),
        ("/there/pets.zip", 0.3), ("there/pets.zip", 0.3), (PETS[:5], 0.3),
    ],
)  # fmt: skip
def test_data_chooses_whose_runs_are_compared(
    asked: str, value: float, tracker: Tracker, resolve: Resolve, monkeypatch: Any
) -> None:
    monkeypatch.chdir("/")
    log(tracker, loss=0.1, digest=DEMO, params=OF_DEMO)
    log(tracker, loss=0.3, digest=PETS, params=OF_PETS)
    log(tracker, loss=0.05, digest=8 * "ff", params={"data.name": "folder", "data.path": "/x"})
    assert resolve("best", data=asked).value == value


@pytest.mark.parametrize(
    ("asked", "name", "message"),
    [
        (
            "pest.zip",
            "best",
            "--data=pest.zip: no finished .* saw it; there are: demo .d0d0d0d0.; try",
        ),
        ("d0d", "best", "try `--data d0d0d0d0`"),
        ("demo", "heads", "the model is heads; try `--model best`"),
    ],
)
def test_data_that_no_run_saw_is_refused_with_what_there_is(
    asked: str, name: str, message: str, tracker: Tracker, resolve: Resolve
) -> None:
    log(tracker, digest=DEMO, params=OF_DEMO)
    with pytest.raises(ConfigError, match=message):
        resolve(name, data=asked)


def test_many_data_sets_are_told_in_a_few_lines(tracker: Tracker, resolve: Resolve) -> None:
    for k in range(9):
        log(tracker, digest=f"{k}" * 16)
    said = resolve("best").notes
    assert len(said) == 7 and said[-1] == "left out: 3 more runs on other photos"


def test_what_was_left_out_is_said_where_no_run_has_a_model(
    tracker: Tracker, resolve: Resolve
) -> None:
    log(tracker, digest=DEMO, params=OF_DEMO)
    log(tracker, digest=PETS, params=OF_PETS, saved=False)
    with pytest.raises(ConfigError, match="pets.zip.* saved a model; left out: .*--data d0d0d0d0"):
        resolve("best")


@pytest.mark.parametrize(
    ("logged", "message"),
    [([], "has no finished run; try `python -m catdog.train`"), ([{"saved": False}], "saved a")],
    ids=["no run", "no model"],
)
def test_there_may_be_no_best(
    logged: list[dict[str, Any]], message: str, tracker: Tracker, resolve: Resolve
) -> None:
    for run in logged:
        log(tracker, **run)
    with pytest.raises(ConfigError, match=message):
        resolve("best")


# === runs and studies ===


@pytest.mark.parametrize("letters", [32, 12], ids=["id", "prefix"])
def test_a_run_is_named_by_its_id(letters: int, tracker: Tracker, resolve: Resolve) -> None:
    run = log(tracker)
    log(tracker)
    assert resolve(run.run_id[:letters]).run_id == run.run_id


def test_a_run_is_named_by_its_name(tracker: Tracker, resolve: Resolve) -> None:
    run = log(tracker, loss=0.25)
    log(tracker, loss=0.5)
    assert resolve("run of 0.25").run_id == run.run_id


def test_runs_of_one_name_are_listed_and_a_near_name_is_found(
    tracker: Tracker, resolve: Resolve
) -> None:
    ids = [log(tracker, loss=0.25).run_id for _ in range(2)]
    with pytest.raises(ConfigError, match="2 runs and studies of .*; try `--model ") as refused:
        resolve("run of 0.25")
    assert all(run_id in str(refused.value) for run_id in ids)
    with pytest.raises(ConfigError, match="nearest: run of 0.25; try `--model 'run of 0.25'`"):
        resolve("rnu of 0.25")


def test_a_registered_model_is_named_by_its_name_and_alias(
    tracker: Tracker, resolve: Resolve
) -> None:
    client = MlflowClient(tracker.uri, registry_uri=tracker.uri)
    runs = [log(tracker) for _ in range(2)]
    name = f"zoo{runs[0].run_id[:6]}"
    client.create_registered_model(name)
    for run in runs:
        client.create_model_version(name, run.artifact_uri, run.run_id)
    assert resolve(name).run_id == runs[1].run_id, "the latest"
    client.set_registered_model_alias(name, "champion", "1")
    assert resolve(name).run_id == runs[0].run_id
    assert resolve(f"{name}@champion").run_id == runs[0].run_id
    with pytest.raises(ConfigError, match="no run, study, registered model"):
        resolve(f"{name}@nobody")


def test_the_message_names_the_option_that_was_used(tracker: Tracker, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="^--study=haeds: no run, study"):
        model_lookup.resolve(
            "haeds", folder=tmp_path, uri=tracker.uri, experiment=tracker.experiment,
            option="--study",
        )  # fmt: skip


def test_a_whole_id_may_lie_in_another_experiment(
    tracker: Tracker, resolve: Resolve, tmp_path: Path
) -> None:
    other = Tracker(uri=tracker.uri, experiment=f"other {tmp_path.name}", root=tmp_path)
    run = log(other)
    assert resolve(run.run_id).run_id == run.run_id


def test_a_study_names_its_winner(tracker: Tracker, resolve: Resolve) -> None:
    trial = log(tracker, kind="trial")
    parent = sweep(tracker, "heads-12ab", trial.run_id)
    sweep(tracker, "zoo")
    for asked in ("heads-12ab", "heads", parent.run_id):
        assert resolve(asked).run_id == trial.run_id


def test_of_studies_with_one_name_the_latest_counts(tracker: Tracker, resolve: Resolve) -> None:
    runs = [log(tracker, kind="trial") for _ in range(2)]
    for run in runs:
        sweep(tracker, "heads", run.run_id)
    assert resolve("heads").run_id == runs[1].run_id


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            "heads-99",
            "no run, study, registered model or .keras file of .*the nearest: heads-[12], heads",
        ),
        ("heads", "2 runs and studies .* start so: heads-2, heads-1|heads-1, heads-2; try"),
        ("zoo", "study zoo of .* has no single best trial"),
        ("abc", "no run, study, registered model or .keras file"),
        ("", "--model=: no run, study"),
        ("f" * 32, "no run, study"),
        ("models:/", "expected models:/name@alias or models:/name/version; try `--model best`"),
        ("models:/nobody@champion", "answers: .*nobody not found"),
        ("models:/nobody/3", "answers: .*nobody"),
        ("models:/m-0123", "answers: .*m-0123"),
    ],
)
def test_a_name_that_means_no_model_is_one_message(
    asked: str, message: str, tracker: Tracker, resolve: Resolve
) -> None:
    for name in ("heads-1", "heads-2"):
        sweep(tracker, name, log(tracker).run_id)
    sweep(tracker, "zoo")
    with pytest.raises(ConfigError, match=message) as refused:
        resolve(asked)
    assert "\n" not in str(refused.value)


def test_a_run_without_a_model_says_how_it_ended(tracker: Tracker, resolve: Resolve) -> None:
    run = log(tracker, saved=False, status="FAILED")
    with pytest.raises(ConfigError, match=rf"run {run.run_id} \(failed\) saved no model"):
        resolve(run.run_id)


def test_a_model_that_was_deleted_is_named_with_its_place(
    tracker: Tracker, resolve: Resolve, caplog: pytest.LogCaptureFixture
) -> None:
    best, second = (log(tracker, loss=value) for value in (0.1, 0.2))
    gone = best.local_artifacts() / "checkpoints/best.keras"
    gone.unlink()
    with pytest.raises(ConfigError, match="has logged checkpoints/best.keras, but ") as refused:
        resolve(best.run_id)
    assert f"{gone} is not there any more; put it back" in str(refused.value)
    assert resolve("best").run_id == second.run_id
    assert f"not the best: run {best.run_id[:8]} has logged" in caplog.text
    (second.local_artifacts() / "checkpoints/best.keras").unlink()


def test_a_run_in_the_trash_is_refused(tracker: Tracker, resolve: Resolve) -> None:
    run = log(tracker)
    tracker.client.delete_run(run.run_id)
    with pytest.raises(ConfigError, match="was deleted"):
        resolve(run.run_id)


# === the registry ===


def test_a_registered_model_is_the_one_of_its_run(tracker: Tracker, resolve: Resolve) -> None:
    run, client, name = log(tracker), tracker.client, f"pets-{tracker.experiment}"
    client.create_registered_model(name)
    logged = client.create_logged_model(tracker.experiment_id, "model", run.run_id)
    version = client.create_model_version(name, run.artifact_uri, run.run_id).version
    client.set_registered_model_alias(name, "champion", version)
    for asked in (
        f"models:/{name}@champion",
        f"models:/{name}/{version}",
        f"models:/{logged.model_id}",
    ):
        found = resolve(asked)
        assert (found.run_id, found.path.read_text()) == (run.run_id, run.run_id)
        assert found.title.startswith(f"{asked}: run {run.run_id[:8]}, ")
    with pytest.raises(ConfigError, match=f"models:/{name}@previous: .* alias previous not found"):
        resolve(f"models:/{name}@previous")


# === files and stores ===


def test_a_file_needs_no_store(tmp_path: Path) -> None:
    (tmp_path / "best.keras").touch()
    found = model_lookup.resolve("best.keras", folder=tmp_path, uri="http://127.0.0.1:9")
    assert found == FoundModel(Path("best.keras"), "best.keras", name="best.keras")
    (tmp_path / "classes.json").write_text('["ape", "bee"]')
    assert model_lookup.resolve(str(tmp_path / "best.keras"), folder=tmp_path).classes == (
        "ape",
        "bee",
    )


@pytest.mark.parametrize("content", ["[1, 2]", '{"cat": 0}', "cat, dog"])
def test_a_list_of_classes_that_is_none_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "best.keras").touch()
    (tmp_path / "classes.json").write_text(content)
    with pytest.raises(DataError, match=r"classes.json: no JSON list of class names"):
        model_lookup.resolve("best.keras", folder=tmp_path)


@pytest.mark.parametrize("asked", ["gone.keras", "nowhere/model", "./best"])
def test_a_file_that_is_not_there_is_refused(asked: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        model_lookup.resolve(asked, folder=tmp_path)


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run was logged there yet"):
        model_lookup.resolve("best", folder=tmp_path, uri=f"sqlite:///{tmp_path}/new/mlflow.db")
    assert not (tmp_path / "new").exists()


def test_an_experiment_that_is_not_there_is_not_made(empty_store: Path, tmp_path: Path) -> None:
    store = shutil.copy(empty_store, tmp_path / "mlflow.db")
    for _ in range(2):
        with pytest.raises(ConfigError, match="no such experiment in .*; there are: .*another"):
            model_lookup.resolve(
                "best", folder=tmp_path, uri=f"sqlite:///{store}", experiment="catdgo"
            )


def test_a_server_that_does_not_answer_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ConfigError, match="the MLflow store cannot be used") as refused:
        model_lookup.resolve("models:/catdog@champion", folder=tmp_path, uri="http://127.0.0.1:9")
    assert "\n" not in str(refused.value)


def test_a_model_in_a_distant_store_is_fetched(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = log(tracker)
    monkeypatch.setattr(Run, "local_artifacts", lambda self: None)
    found = model_lookup.resolve(
        run.run_id, folder=tmp_path, uri=tracker.uri, experiment=tracker.experiment
    )
    assert found.path.is_relative_to(tmp_path)
    assert found.path.read_text() == run.run_id
