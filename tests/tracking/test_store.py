"""Runs in a real MLflow: many at once, ended whatever happens, on a server as on a file."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import mlflow
import pytest
from conftest import Lab, Run, ended, environment, rows_of
from hypothesis import example, given, settings
from hypothesis import strategies as st
from optuna_workers.workers import signals

from catdog.errors import ConfigError, DataError
from catdog.progress import Progress
from catdog.tracking import Tracker, logged_model, owners
from catdog.tracking.past_run import StoredRun

START_TOGETHER = """
import sys, time
from pathlib import Path
from catdog.tracking import Tracker
Path(sys.argv[2]).touch()
while not Path(sys.argv[3]).exists():
    time.sleep(0.001)
tracker = Tracker(uri=sys.argv[1], experiment="race", root=Path.cwd())
run = tracker.start("one of four", {"catdog.kind": "run"})
for step in range(50):
    run.metrics({"val/loss": step / 10}, step)
# MLflow looks whether it knows a data set and then inserts it: of two at once one fails
for _ in range(10):
    time.sleep(-time.time() % 0.3)  # all that are here at the same moment have the same one
    run.dataset("photos", f"digest {time.time() // 0.3}", "{}", "{}")
run.end("FINISHED")
print(tracker.experiment_id)
"""


@pytest.fixture
def uri(tmp_path: Path, empty_store: Path) -> str:
    """A store of the test's own."""
    (tmp_path / "deep").mkdir()
    shutil.copy(empty_store, tmp_path / "deep/mlflow.db")
    return f"sqlite:///{tmp_path}/deep/mlflow.db"


@pytest.mark.slow
def test_four_processes_start_on_no_store_at_once(tmp_path: Path) -> None:
    ready, go = [tmp_path / f"ready{i}" for i in range(4)], tmp_path / "go"
    uri = f"sqlite:///{tmp_path}/deep/mlflow.db"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", START_TOGETHER, uri, str(mine), str(go)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for mine in ready
    ]
    while not all(mine.exists() for mine in ready):
        assert all(process.poll() is None for process in started)
        time.sleep(0.01)
    go.touch()
    results = [ended(process, timeout=60) for process in started]
    assert [(r.status, r.err) for r in results] == [(0, "")] * 4
    assert len({r.out for r in results}) == 1
    one = Tracker(uri=uri, experiment="race", root=tmp_path)
    runs = one.client.search_runs([one.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * 4
    for run in runs:
        assert len(one.client.get_metric_history(run.info.run_id, "val/loss")) == 50


def test_artifacts_lie_beside_the_store_whatever_the_folder(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    one = Tracker(uri=uri, experiment="catdog", root=tmp_path / "root")
    run = one.start("a name", {})
    with run.folder("place") as place:
        (place / "file.txt").write_text("kept")
    run.end("FINISHED")
    kept = tmp_path / "deep/artifacts" / run.run_id / "artifacts/place/file.txt"
    assert kept.read_text() == "kept"
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_deleted_experiment_is_refused(tracker: Tracker, tmp_path: Path) -> None:
    tracker.client.delete_experiment(tracker.experiment_id)
    said = rf"tracking\.experiment={tracker.experiment}.*deleted.*another name"
    with pytest.raises(ConfigError, match=said):
        Tracker(uri=tracker.uri, experiment=tracker.experiment, root=tmp_path)


@pytest.mark.parametrize(
    ("named", "variable", "used"),
    [
        (None, None, "root/mlruns/mlflow.db"),
        (None, "of_env.db", "of_env.db"),
        ("named.db", "of_env.db", "named.db"),
    ],
)
def test_which_store_wins(
    named: str | None,
    variable: str | None,
    used: str,
    empty_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / used).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(empty_store, tmp_path / used)
    if variable:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / variable}")
    uri = named and f"sqlite:///{tmp_path / named}"
    found = Tracker(uri=uri, experiment="catdog", root=tmp_path / "root")
    assert found.uri == f"sqlite:///{tmp_path / used}"
    assert [p.relative_to(tmp_path) for p in tmp_path.rglob("*.db")] == [Path(used)]


def test_a_store_that_cannot_be_written_names_the_key(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    uri = f"sqlite:///{tmp_path}/file/mlflow.db"
    with pytest.raises(ConfigError, match=r"tracking\.uri=sqlite.*cannot be"):
        Tracker(uri=uri, experiment="catdog", root=tmp_path)


def test_long_lists_of_params_and_metrics_arrive(tracker: Tracker) -> None:
    run = tracker.start("many", {})
    run.params({f"p{i}": i for i in range(250)})
    for step in range(2500):
        run.metrics({"m": step}, step)
    run.end("FINISHED")
    known = tracker.client.get_run(run.run_id)
    assert len(known.data.params) == 250
    assert len(tracker.client.get_metric_history(run.run_id, "m")) == 2500


# === runs that are found again ===

KINDS = (("a", "1"), ("a", "2"), ("b", "1"), ("b", "2"))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, "b2 b1 a2 a1"),
        ({"kind": "a"}, "a2 a1"),
        ({"kind": "a", "n.umber": "1"}, "a1"),
        ({"n.umber": "2"}, "b2 a2"),
        ({"kind": "A"}, ""),
        ({"kind": ""}, ""),
        ({"other": "a"}, ""),
        ({"it": "'s"}, ""),
    ],
    ids=str,
)
def test_runs_are_found_by_all_tags_the_latest_first(
    tracker: Tracker, tmp_path: Path, asked: dict, found: str
) -> None:
    other = Tracker(uri=tracker.uri, experiment=f"{tracker.experiment}2", root=tmp_path)
    for kind, number in KINDS:
        tags = {"kind": kind, "n.umber": number}
        other.create("elsewhere", tags)
        trashed = tracker.create("trashed", tags)
        tracker.client.delete_run(trashed.run_id)
        tracker.create("here", tags)
        time.sleep(0.002)  # MLflow orders by milliseconds
    runs = tracker.find(asked)
    assert " ".join(run.tags["kind"] + run.tags["n.umber"] for run in runs) == found
    assert {run.tags["mlflow.runName"] for run in runs} <= {"here"}


def test_more_runs_than_a_page_are_found(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = partial(tracker.client.search_runs, max_results=2)
    monkeypatch.setattr(tracker.client, "search_runs", small)
    for count in range(6):
        assert len(tracker.find({"kind": "a"})) == count
        tracker.create("one", {"kind": "a"})


def test_running_runs_are_found_alone(tracker: Tracker) -> None:
    ended, running = (tracker.create(name, {"kind": "a"}) for name in ("ended", "running"))
    ended.end("FAILED")
    assert [run.run_id for run in tracker.find({"kind": "a"}, running=True)] == [running.run_id]
    assert {run.status for run in tracker.find({"kind": "a"})} == {"FAILED", "RUNNING"}


@pytest.fixture(scope="module")
def book(shared_store: str) -> Tracker:
    return Tracker(uri=shared_store, experiment="laws", root=Path())


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\\"), max_size=40))
@example("it's")
@settings(max_examples=30, deadline=None)
def test_a_run_is_found_by_any_text_in_a_tag(book: Tracker, text: str) -> None:
    found_by(book, text)


def test_a_run_is_found_by_a_text_that_ends_in_a_backslash(book: Tracker) -> None:
    found_by(book, "a\\")


def found_by(book: Tracker, text: str) -> None:
    mark = uuid.uuid4()
    made = book.create("marked", {"text": text, "mark": str(mark)})
    assert made.run_id in [run.run_id for run in book.find({"text": text})]
    found = book.find({"text": text, "mark": str(mark)})
    assert [run.run_id for run in found] == [made.run_id]
    assert book.find({"text": f"{text}'", "mark": str(mark)}) == []


# === what the store knows of a run ===


def test_what_is_known_of_a_run(tracker: Tracker) -> None:
    run = tracker.create("mine", {"kind": "a"})
    tags = {"kind": "a", "mlflow.runName": "mine"}
    assert tracker.get(run.run_id) == StoredRun(run.run_id, "RUNNING", tags)
    run.dataset("photos", run.run_id, json.dumps({"classes": ["cat", "dog"]}), "{}")
    run.end("FINISHED")
    profile = {"classes": ["cat", "dog"]}
    assert tracker.get(run.run_id) == StoredRun(run.run_id, "FINISHED", tags, profile)
    tracker.client.delete_run(run.run_id)
    assert tracker.get(run.run_id) == StoredRun(
        run.run_id, "FINISHED", tags, profile, deleted=True
    )
    assert tracker.get("0" * 32) is None


@pytest.mark.parametrize("profile", ["", "no JSON", "[1]", "1", "null"])
def test_a_profile_of_another_program_is_none(tracker: Tracker, profile: str) -> None:
    run = tracker.create("other", {})
    run.dataset("photos", run.run_id, profile, "{}")
    known = tracker.get(run.run_id)
    assert known is not None and known.profile == {}


def test_a_store_that_does_not_answer_is_no_run_that_is_not_there(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(tracker, "client", mlflow.MlflowClient("http://127.0.0.1:9"))
    with pytest.raises(mlflow.exceptions.MlflowException):
        tracker.get("0" * 32)


def test_the_winner_of_a_sweep_gets_its_model_from_its_artifacts(tracker: Tracker) -> None:
    loaded = "tensorflow" in sys.modules
    run = tracker.create("winner", {})
    with pytest.raises(FileNotFoundError, match=f"best.keras of run {run.run_id}"):
        logged_model.log_from_artifacts(run, ["cat", "dog"])
    with run.folder("checkpoints") as place:
        (place / "best.keras").write_bytes(b"weights")
    run.end("FINISHED")

    logged_model.log_from_artifacts(tracker.open(run.run_id), ["cat", "dog"])
    known = tracker.get(run.run_id)
    assert known is not None and known.has_model and known.status == "FINISHED"
    (output,) = tracker.client.get_run(run.run_id).outputs.model_outputs
    logged = tracker.client.get_logged_model(output.model_id)
    files = Path(logged.artifact_location.removeprefix("file://")) / "artifacts"
    assert (files / "best.keras").samefile(run.local_artifacts() / "checkpoints/best.keras")
    assert json.loads((files / "classes.json").read_text()) == ["cat", "dog"]
    assert {path.name for path in files.iterdir()} == {
        "best.keras", "classes.json", "decode.py", "formats.py",
    }  # fmt: skip
    assert ("tensorflow" in sys.modules) == loaded, "the parent of a sweep has none"


# === runs that others log to ===


def test_a_run_that_was_opened_is_the_same_run(tracker: Tracker) -> None:
    made = tracker.create("mine", {})
    opened = tracker.open(made.run_id)
    opened.metrics({"m": 0.5}, 3)
    opened.flush()
    with opened.folder("place") as place:
        (place / "file.txt").write_text("kept")
    assert tracker.client.get_run(made.run_id).data.metrics == {"m": 0.5}
    assert made.has("place/file.txt")
    assert opened.local_artifacts() == made.local_artifacts()
    with pytest.raises(mlflow.exceptions.MlflowException):
        tracker.open("0" * 32)


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("top.txt", True),
        ("a/b/file.txt", True),
        ("a/b", True),
        ("a/b/other.txt", False),
        ("b/file.txt", False),
        ("file.txt", False),
        ("nowhere/file.txt", False),
        ("a/b/file.txt/deeper", False),
    ],
)
def test_an_artifact_is_there_or_not(
    tracker: Tracker, tmp_path: Path, path: str, there: bool
) -> None:
    run = tracker.create("mine", {})
    for folder, name in (("a/b", "file.txt"), ("", "top.txt")):
        with run.folder(folder) as place:
            (place / name).write_text(f"I am {name}")
    assert run.has(path) == there
    (tmp_path / "fetched").mkdir()
    if not there:
        with pytest.raises(FileNotFoundError, match=f"{path} of run {run.run_id}"):
            run.download(path, tmp_path / "fetched")
        return
    fetched = run.download(path, tmp_path / "fetched")
    if path.endswith(".txt"):
        assert fetched.read_text() == f"I am {Path(path).name}"


def test_an_ended_run_can_go_on_and_end_again(tracker: Tracker) -> None:
    run = tracker.create("mine", {"kind": "a"})
    run.end("KILLED")
    tracker.open(run.run_id).resume()
    assert [known.run_id for known in tracker.find({}, running=True)] == [run.run_id]
    run.end("FINISHED")
    info = tracker.client.get_run(run.run_id).info
    assert info.status == "FINISHED"
    assert info.end_time >= info.start_time


def test_tags_are_dropped_by_whoever_is_quicker(tracker: Tracker) -> None:
    run = tracker.create("mine", {"a": "1", "b": "2", "c": "3"})
    for _ in range(2):
        run.drop_tags(["a", "none", "c"])
    known = tracker.get(run.run_id)
    assert known is not None and known.tags == {"b": "2", "mlflow.runName": "mine"}


# === runs that nobody will end ===

HERE = socket.gethostname()
DEAD, ELSEWHERE = f"{HERE} 99999999 1.00", f"{HERE}2 99999999 1.00"
SESSION = "catdog.owner.a-1"


@pytest.mark.parametrize(
    ("tags", "status"),
    [
        ({owners.OWNER: DEAD}, "KILLED"),
        ({owners.OWNER: DEAD, SESSION: DEAD}, "KILLED"),
        ({owners.OWNER: DEAD, SESSION: owners.this_process()}, "RUNNING"),
        ({owners.OWNER: DEAD, SESSION: ELSEWHERE}, "RUNNING"),
        ({owners.OWNER: owners.this_process()}, "RUNNING"),
        ({owners.OWNER: ELSEWHERE}, "RUNNING"),
        ({}, "RUNNING"),
    ],
    ids=[
        "dead", "all dead", "another command lives", "another machine may live", "mine",
        "of another host", "somebody else's",
    ],
)  # fmt: skip
def test_a_new_run_ends_those_whose_processes_are_gone(
    tracker: Tracker, tags: dict, status: str
) -> None:
    left, done = tracker.create("left", tags), tracker.create("done", tags)
    done.end("FAILED")
    tracker.start("new", {}).end("FINISHED")
    known = [tracker.get(run.run_id) for run in (left, done)]
    assert [run.status for run in known if run] == [status, "FAILED"]


def test_a_run_is_owned_and_watched_only_by_who_starts_it(tracker: Tracker) -> None:
    threads = set(threading.enumerate())
    made = tracker.create("made", {"kind": "a"})
    assert set(threading.enumerate()) == threads
    started = tracker.start("started", {"kind": "a"})
    assert set(threading.enumerate()) > threads, "system metrics have a thread"
    for run in (made, started):
        run.end("FINISHED")
    tags = [run.tags.get(owners.OWNER) for run in tracker.find({"kind": "a"})]
    assert set(tags) == {None, owners.this_process()}


# === passwords ===


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("sqlite:////a/mlflow.db", "sqlite:////a/mlflow.db"),
        ("postgresql://me:secret@host/db", "postgresql://me:***@host/db"),
        (
            "postgresql+psycopg://me:secret@h:5432/d?a=1",
            "postgresql+psycopg://me:***@h:5432/d?a=1",
        ),
        ("postgresql://me:se:cr%40et@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("http://me:secret@host:5000/a@b:c", "http://me:***@host:5000/a@b:c"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ],
)
def test_a_store_is_shown_without_its_password(tracker: Tracker, uri: str, shown: str) -> None:
    tracker.uri = uri
    assert tracker.shown_uri == shown


@pytest.mark.parametrize("login", ["me:sec/ret", "me:secret", ":secret"])
def test_no_password_that_a_database_takes_is_shown(tracker: Tracker, login: str) -> None:
    from sqlalchemy import make_url

    tracker.uri = f"postgresql://{login}@host/db"
    assert make_url(tracker.uri).password.endswith("ret")
    assert "ret" not in tracker.shown_uri


# === how a run ends ===


class Stopped(Progress):
    """A watcher that ends a run when it hears of a stage."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def track(self, stage: str, total: int):
        raise self._error


@pytest.fixture(scope="module")
def parts(lab: Lab, tmp_path_factory: pytest.TempPathFactory):
    cache = tmp_path_factory.mktemp("cache")
    return lab.parts(features__dir=cache, trainer__epochs=2, lr_range__enabled="false")


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("error", "status"),
    [(KeyboardInterrupt(), "KILLED"), (RuntimeError("a bug in here"), "FAILED")],
    ids=["interrupted", "bug"],
)
def test_how_a_run_ends(parts, error: BaseException, status: str, tracker: Tracker) -> None:
    from catdog import experiment

    with pytest.raises(type(error)):
        experiment.run(*parts, tracker, progress=Stopped(error))
    (run,) = tracker.client.search_runs([tracker.experiment_id])
    assert run.info.status == status
    said = Run(tracker.client, run).artifacts / "error/traceback.txt"
    assert type(error).__name__ in said.read_text()
    assert str(error) in said.read_text()


@pytest.mark.tensorflow
def test_a_photo_that_went_away_fails_the_run(parts, tracker: Tracker, tmp_path: Path) -> None:
    from catdog import experiment

    settings, manifest, weights = parts
    lost = tmp_path / "lost.jpg"
    photos = [replace(manifest.of("train")[0], source=str(lost)), *manifest.photos[1:]]
    with pytest.raises(DataError, match="lost.jpg"):
        experiment.run(settings, replace(manifest, photos=tuple(photos)), weights, tracker)
    (run,) = tracker.client.search_runs([tracker.experiment_id])
    assert run.info.status == "FAILED"
    said = Run(tracker.client, run).artifacts / "error/traceback.txt"
    assert "lost.jpg" in said.read_text()


@pytest.fixture(scope="module")
def server(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow server on a free port of this machine."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_store, folder / "server.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1"]
    command += ["--port", str(port), "--backend-store-uri", f"sqlite:///{folder}/server.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    env = {
        **environment(folder, folder),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True
        )
    uri = f"http://127.0.0.1:{port}"
    try:
        wait_until_healthy(uri, process, folder / "log")
        yield uri
    finally:
        stop_group(process)


def test_ctrl_c_in_the_last_moment_takes_nothing_back(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "_ending", signals._Ending())  # one per process, with a memory

    def end(status: str) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        whole(status)

    with signals.handled(), pytest.raises(KeyboardInterrupt), tracker.recorded("x", {}) as run:
        whole = run.end
        monkeypatch.setattr(run, "end", end)
    assert tracker.open(run.run_id).client.get_run(run.run_id).info.status == "FINISHED"


def wait_until_healthy(uri: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(1200):
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=5) as answer:  # noqa: S310
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.05)
    pytest.fail(log.read_text())


def stop_group(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.tensorflow
@pytest.mark.slow
def test_a_run_on_a_server_keeps_everything_there(
    server: str, first: Run, lab: Lab, tmp_path: Path
) -> None:
    from catdog import experiment

    one = Tracker(uri=server, experiment="catdog", root=tmp_path)
    parts = lab.parts(lr_range__enabled="true")
    outcome = experiment.run(*parts, one)
    run = one.client.get_run(outcome.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test/loss"] == first.metrics["test/loss"]

    mlflow.set_tracking_uri(server)
    folder = Path(
        mlflow.artifacts.download_artifacts(run_id=outcome.run_id, dst_path=str(tmp_path))
    )
    here = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    there = {
        str(p.relative_to(first.artifacts)) for p in first.artifacts.rglob("*") if p.is_file()
    }
    assert here == there | {"config/uncommitted.patch"} & here
    assert rows_of(folder / "evaluation/predictions.csv") == rows_of(
        first.artifacts / "evaluation/predictions.csv"
    )
    (output,) = run.outputs.model_outputs
    model = Path(mlflow.artifacts.download_artifacts(f"models:/{output.model_id}"))
    saved = (folder / "checkpoints/best.keras").read_bytes()
    assert (model / "artifacts/best.keras").read_bytes() == saved
    known, kept = one.get(outcome.run_id), one.open(outcome.run_id)
    assert known is not None and known.has_model and known.profile["classes"] == ["cat", "dog"]
    assert one.find({"catdog.kind": "run"}) == [known]
    assert kept.local_artifacts() is None
    assert not kept.has("checkpoints/last.keras")
    assert kept.download("checkpoints/best.keras", folder).read_bytes() == saved
    assert not list(tmp_path.glob("mlruns*")), "a run on a server leaves nothing on this machine"


def test_what_shows_a_run_is_a_command_to_paste(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = Tracker(uri=uri, experiment="shown", root=tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)  # MLflow sets it, too, when it logs a model
    usual = Tracker(uri=None, experiment="shown", root=tmp_path)
    page = f"http://127.0.0.1:5000/#/experiments/{named.experiment_id}/runs/ab"
    page += "?workflowType=machine_learning"  # else MLflow opens its pages for language models
    assert named.how_to_browse("ab") == f"python -m catdog.ui --uri {uri}\n{page}"
    assert usual.how_to_browse("ab") == f"python -m catdog.ui\n{page}"
