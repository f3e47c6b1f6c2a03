"""Runs in a real MLflow: many at once, ended whatever happens, on a server as on a file."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Lab, Run, ended, environment, rows_of

from catdog.errors import ConfigError, DataError
from catdog.progress import Progress
from catdog.tracking import Tracker

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
run.end("FINISHED")
print(tracker.experiment_id)
"""


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables, which take seconds to make."""
    folder = tmp_path_factory.mktemp("store")
    Tracker(uri=f"sqlite:///{folder}/mlflow.db", experiment="another", root=folder)
    return folder / "mlflow.db"


@pytest.fixture
def uri(tmp_path: Path, empty_store: Path) -> str:
    """A store of the test's own."""
    (tmp_path / "deep").mkdir()
    shutil.copy(empty_store, tmp_path / "deep/mlflow.db")
    return f"sqlite:///{tmp_path}/deep/mlflow.db"


@pytest.fixture
def tracker(uri: str, tmp_path: Path) -> Tracker:
    return Tracker(uri=uri, experiment="catdog", root=tmp_path / "root")


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
    with pytest.raises(ConfigError, match=r"tracking\.experiment=catdog.*deleted.*another name"):
        Tracker(uri=tracker.uri, experiment="catdog", root=tmp_path)


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
def test_a_run_on_a_server_keeps_everything_there(
    server: str, first: Run, lab: Lab, tmp_path: Path
) -> None:
    import mlflow

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
    assert not list(tmp_path.glob("mlruns*")), "a run on a server leaves nothing on this machine"
