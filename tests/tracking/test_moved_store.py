"""A store that was moved, copied or mounted elsewhere takes its artifacts along."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import mlflow
import pytest

from catdog.core import paths
from catdog.errors import ConfigError
from catdog.mlflow_store import relocation
from catdog.tracking import Tracker, names, open_store
from catdog.tracking.run import Run


@pytest.fixture
def project(tmp_path: Path, empty_store: Path) -> Path:
    """A project with a run, a model and a version of it, all with artifacts."""
    folder = tmp_path / "söme project"
    (folder / "mlruns").mkdir(parents=True)
    shutil.copy(empty_store, folder / "mlruns/mlflow.db")
    tracker = opened(folder)
    tags = {"n": "1", names.HYDRA_DIR: f"{folder}/mlruns/hydra/now"}
    run = tracker.create("one", tags)
    written(
        run, f"- data.path='{folder}/photos'\n- backbone.weights='{tmp_path}/w.h5'\n- seed=1\n"
    )
    (folder / "photos").mkdir()
    model = tracker.client.create_logged_model(tracker.experiment_id, "model", run.run_id)
    tracker.client.create_registered_model("catdog")
    tracker.client.create_model_version("catdog", model.artifact_location, run.run_id)
    return folder


def opened(folder: Path) -> Tracker:
    uri = f"sqlite:///{folder}/mlruns/mlflow.db"
    return Tracker(uri=uri, experiment="catdog", root=folder)


def written(run: Run, text: str) -> None:
    with run.folder("config") as place:
        (place / "overrides.yaml").write_text(text)
    run.end("FINISHED")


def addresses(folder: Path) -> list[str]:
    with sqlite3.connect(folder / "mlruns/mlflow.db") as database:
        found = [
            address
            for table, column in relocation.COLUMNS
            for (address,) in database.execute(f"SELECT {column} FROM {table}")
        ]
    return [address for address in found if address and not address.endswith("/mlruns/0")]


def all_files(folder: Path) -> dict[Path, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {path: path.read_bytes() for path in files}


def test_a_moved_store_is_read_and_written_where_it_is(
    project: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    moved = tmp_path / "else where" / "project"
    moved.parent.mkdir()
    project.rename(moved)
    tracker = opened(moved)
    assert f"was in {project}/mlruns before" in caplog.text
    (known,) = tracker.find({"n": "1"})
    assert "seed=1" in tracker.open(known.run_id).text(names.OVERRIDES)
    again = tracker.create("again", {})
    written(again, "[]")
    tracker.client.log_text(again.run_id, "by MLflow", "note.txt")
    assert again.local_artifacts().is_relative_to(moved)
    assert not project.exists()
    assert addresses(moved) and all(
        address.startswith((moved / "mlruns/artifacts").as_uri()) for address in addresses(moved)
    )
    assert known.tags[names.HYDRA_DIR] == f"{moved}/mlruns/hydra/now"
    caplog.clear()
    opened(moved)
    assert not caplog.text


def test_a_copied_store_does_not_touch_the_original(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path / "copy")
    before = all_files(project)
    tracker = opened(tmp_path / "copy")
    (known,) = tracker.find({"n": "1"})
    with tracker.open(known.run_id).folder("error") as place:
        (place / "more.txt").write_text("of the copy")
    written(tracker.create("new", {}), "[]")
    tracker.client.create_logged_model(tracker.experiment_id, "model", known.run_id)
    assert all_files(project) == before
    assert not [one for one in addresses(tmp_path / "copy") if project.as_uri() in one]


def test_a_copy_of_the_database_alone_reads_there_and_writes_here(
    project: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone"
    (alone / "mlruns").mkdir(parents=True)
    shutil.copy(project / "mlruns/mlflow.db", alone / "mlruns")
    before = all_files(project)
    tracker = opened(alone)
    (known,) = tracker.find({"n": "1"})
    assert "seed=1" in tracker.open(known.run_id).text(names.OVERRIDES)
    new = tracker.create("new", {})
    written(new, "[]")
    assert new.local_artifacts().is_relative_to(alone)
    assert all_files(project) == before


@pytest.mark.parametrize("location", ["s3://bucket/artifacts", "{disk}", "{disk}/artifacts"])
def test_an_experiment_with_a_place_of_its_own_keeps_it(
    project: Path, tmp_path: Path, location: str
) -> None:
    (tmp_path / "big disk" / "artifacts").mkdir(parents=True)
    location = location.format(disk=(tmp_path / "big disk").as_uri())
    client = opened(project).client
    number = client.create_experiment("mine", artifact_location=location)
    project.rename(tmp_path / "moved")
    assert opened(tmp_path / "moved").client.get_experiment(number).artifact_location == location


def test_files_of_a_moved_project_are_found_in_what_a_run_was_started_with(
    project: Path, tmp_path: Path
) -> None:
    from catdog.cli import stored

    moved = tmp_path / "moved"
    project.rename(moved)
    tracker = opened(moved)
    (known,) = tracker.find({"n": "1"})
    assert stored.of_run(tracker.open(known.run_id)) == [
        f"data.path={moved}/photos", f"backbone.weights='{tmp_path}/w.h5'", "seed=1",
    ]  # fmt: skip


def test_a_store_that_is_opened_to_read_is_followed_too(project: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    project.rename(moved)
    tracker = open_store(f"sqlite:///{moved}/mlruns/mlflow.db", "catdog")
    version = tracker.client.get_model_version("catdog", "1")
    assert version.source.startswith(moved.as_uri())
    (known,) = tracker.find({"n": "1"})
    local = mlflow.artifacts.download_artifacts(
        run_id=known.run_id, artifact_path=names.OVERRIDES, tracking_uri=tracker.uri
    )
    assert "seed=1" in Path(local).read_text()


def test_overrides_that_were_deleted_are_named_with_run_and_file(project: Path) -> None:
    from catdog.cli import stored

    run = opened(project).create("two", {names.KIND: "run"})
    written(run, "[]")
    gone = run.local_artifacts() / names.OVERRIDES
    gone.unlink()
    with pytest.raises(ConfigError, match="put it back") as refused:
        stored.of_run(run)
    assert run.run_id[:8] in str(refused.value) and str(gone) in str(refused.value)


def test_it_may_move_many_times_and_back(project: Path, tmp_path: Path) -> None:
    places = [tmp_path / name for name in "abab"]
    for place in places:
        project = project.rename(place)
        (known,) = opened(project).find({"n": "1"})
        assert "seed=1" in opened(project).open(known.run_id).text(names.OVERRIDES)


@pytest.mark.parametrize("uri", ["sqlite:///runs/a.db", "sqlite:////{tmp}/b.db", "http://host:1"])
def test_a_relative_store_is_where_the_command_was_typed(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "_typed_in", tmp_path)
    job = tmp_path / "job"
    job.mkdir()
    monkeypatch.chdir(job)
    expected = {"sqlite:///runs/a.db": f"sqlite:///{tmp_path}/runs/a.db"}
    assert paths.store(uri, job) == expected.get(uri, uri)
