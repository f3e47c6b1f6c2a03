"""The store or the study's database is away for a while: that costs time, and nothing else."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import mlflow
import optuna
import pytest
import sqlalchemy as sa
from conftest import Lab, ended, succeeded, wait_for
from tests.postgres import Server
from tests.stage import Stage

pytestmark = pytest.mark.slow

REPEATS = int(os.environ.get("OUTAGE_REPEATS", "1"))
SECONDS = float(os.environ.get("OUTAGE_LASTS", "15"))
"""How often a server is killed in one sweep, and for how long it stays away."""

EVERY = 3
"""Trials that end between two outages."""

N_TRIALS = EVERY * (REPEATS + 1)
LOGGED = Path(__file__).parent / "app/logged.py"


def study_of(storage: str, name: str) -> optuna.Study:
    """Return a study."""
    return optuna.load_study(study_name=name, storage=storage)


def complete(storage: str) -> int:
    """Return how many trials of a database's only study are complete; looking makes nothing."""
    if storage.startswith("sqlite") and not Path(storage.removeprefix("sqlite:///")).exists():
        return 0
    engine = sa.create_engine(storage, poolclass=sa.NullPool)
    query = sa.text("SELECT count(*) FROM trials WHERE state = 'COMPLETE'")
    try:
        with engine.connect() as connection:
            return int(connection.execute(query).scalar_one())
    except sa.exc.SQLAlchemyError:  # its tables are not there yet
        return 0


def runs_of(uri: str, experiment: str = "catdog") -> list[Any]:
    """Return all runs of a store."""
    client = mlflow.MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id], max_results=5000)) if found else []


def check_whole(study: optuna.Study, runs: list[Any], n_trials: int) -> None:
    """Check that each slot has one trial, each trial one run, and that all have ended well."""
    trials = study.get_trials()
    told = [(t.number, t.state.name, t.user_attrs.get("error")) for t in trials]
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * n_trials, told
    assert sorted(trial.user_attrs["slot"] for trial in trials) == list(range(n_trials)), told
    statuses = [(run.info.run_name, run.info.status) for run in runs]
    assert len(runs) == n_trials + 1, statuses
    assert {run.info.status for run in runs} == {"FINISHED"}, statuses
    children = {run.data.tags.get("optuna.trial"): run for run in runs}
    assert {children[str(t.number)].info.run_id for t in trials} == {
        t.user_attrs["mlflow.run_id"] for t in trials
    }
    assert {run.data.tags.get("optuna.state", "COMPLETE") for run in runs} == {"COMPLETE"}


def check_said(out: str, times: int) -> None:
    """Check that each outage is said, once by each process that waits, and nothing beside."""
    assert "Traceback" not in out, out
    begun = [line for line in out.splitlines() if "does not answer (" in line]
    over = [line for line in out.splitlines() if "answers again, after" in line]
    assert times <= len(begun) == len(over) <= 4 * times, out


def sweep(lab: Lab, name: str, *words: object, n_trials: int, **env: str) -> Any:
    """Start a search of tiny trials by two workers."""
    return lab.start(
        name, "-m", f"hydra.sweeper.study_name={name}", f"hydra.sweeper.n_trials={n_trials}",
        "hydra.sweeper.n_jobs=2", "hydra.sweeper.max_retries=0", *words,
        *lab.overrides(
            optimizer__lr="tag(log,interval(1e-4,1e-1))", lr_range__enabled="false",
            tracking__uri="null", tracking__experiment=name, trainer__epochs=3,
        ),
        **env,
    )  # fmt: skip


@pytest.mark.timeout(400 + REPEATS * (SECONDS + 120))
def test_a_tracking_server_that_is_away_costs_no_trial(lab: Lab, mlflow_host: Any) -> None:
    storage = f"sqlite:///{lab.folder}/hydra/served/study.db"
    command = sweep(lab, "served", n_trials=N_TRIALS, MLFLOW_TRACKING_URI=mlflow_host.url)
    for k in range(REPEATS):
        wait_for(lambda k=k: complete(storage) >= 1 + EVERY * k,
                 process=command, every=0.2)  # fmt: skip
        time.sleep(0.37 * (k % 5))  # at another moment of a trial each time
        mlflow_host.stop()
        time.sleep(SECONDS)
        mlflow_host.start()
    said = succeeded(command, timeout=400)
    study = study_of(storage, "served")
    check_whole(study, runs_of(mlflow_host.url, "served"), N_TRIALS)
    check_said(said.out + said.err, REPEATS)
    print(f"MLflow: {REPEATS} outages of {SECONDS:g} s, {N_TRIALS} of {N_TRIALS} trials")


@pytest.mark.timeout(400 + REPEATS * (SECONDS + 120))
def test_a_database_server_that_is_away_costs_no_trial(
    lab: Lab, postgres_server: Server, postgres: str
) -> None:
    command = sweep(
        lab, "shared", f"hydra.sweeper.storage={postgres}", n_trials=N_TRIALS,
        MLFLOW_TRACKING_URI=lab.uri,
    )  # fmt: skip
    for k in range(REPEATS):
        wait_for(lambda k=k: complete(postgres) >= 1 + EVERY * k,
                 process=command, every=0.2)  # fmt: skip
        time.sleep(0.37 * (k % 5))
        postgres_server.stop()
        time.sleep(SECONDS)
        postgres_server.start()
    said = succeeded(command, timeout=400)
    study = study_of(postgres, "shared")
    check_whole(study, runs_of(lab.uri, "shared"), N_TRIALS)
    check_said(said.out + said.err, REPEATS)
    print(f"PostgreSQL: {REPEATS} outages of {SECONDS:g} s, {N_TRIALS} of {N_TRIALS} trials")


def test_trials_that_wait_in_vain_are_postponed(lab: Lab, mlflow_host: Any) -> None:
    """The command ends with one message; when the server is back, it goes on."""
    storage = f"sqlite:///{lab.folder}/hydra/vain/study.db"
    env = {"MLFLOW_TRACKING_URI": mlflow_host.url, "OUTAGE_SECONDS": "4"}
    command = sweep(lab, "vain", n_trials=6, **env)
    wait_for(lambda: complete(storage) >= 1, process=command, every=0.2)
    mlflow_host.stop()
    said = ended(command)
    mlflow_host.start()
    assert said.status == 1
    assert "Traceback" not in said.out + said.err, said.out + said.err
    assert len(said.complaints) == 1 and mlflow_host.url in said.complaints[0], said.err
    assert "the same command goes on with vain" in said.complaints[0]
    succeeded(sweep(lab, "vain", n_trials=6, **env))
    study = study_of(storage, "vain")
    whole = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    assert sorted(trial.user_attrs["slot"] for trial in whole) == list(range(6))
    assert {trial.user_attrs["attempt"] for trial in study.trials} == {0}
    assert all("hydra:lost" in trial.user_attrs for trial in study.trials if trial not in whole)
    statuses = {run.info.status for run in runs_of(mlflow_host.url, "vain")}
    assert statuses <= {"FINISHED", "KILLED"}, statuses


def hold(file: Path, seconds: float) -> None:
    """Lock a SQLite file as another program does."""
    connection = sqlite3.connect(file, timeout=60, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    time.sleep(seconds)
    connection.execute("ROLLBACK")
    connection.close()


def logged(stage: Stage, n_trials: int) -> subprocess.Popen[str]:
    """Start a sweep of a task that only logs, into SQLite files."""
    return stage.start(
        "x=interval(0,1)", "hydra/sweeper/sampler=random", "hydra.sweeper.study_name=s",
        f"hydra.sweeper.n_trials={n_trials}", "hydra.sweeper.max_retries=0",
        f"tracking.uri=sqlite:///{stage.folder}/mlflow.db", app=LOGGED,
    )  # fmt: skip


def test_a_locked_store_is_waited_for(stage: Stage) -> None:
    """MLflow's own patience ends after 20 s."""
    storage = f"sqlite:///{stage.folder}/sweeps/s/study.db"
    command = logged(stage, 60)
    wait_for(lambda: complete(storage) >= 2, process=command, every=0.1)
    hold(stage.folder / "mlflow.db", 45)
    said = succeeded(command)
    study = study_of(storage, "s")
    check_said(said.out + said.err, 1)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 60
    runs = runs_of(f"sqlite:///{stage.folder}/mlflow.db")
    assert len(runs) == 61 and {run.info.status for run in runs} == {"FINISHED"}


def test_a_store_that_is_deleted_is_one_message(stage: Stage) -> None:
    storage = f"sqlite:///{stage.folder}/sweeps/s/study.db"
    command = logged(stage, 200)
    wait_for(lambda: complete(storage) >= 2, process=command, every=0.1)
    (stage.folder / "mlflow.db").unlink()
    said = ended(command)
    told = said.out + said.err
    assert said.status == 1 and "Traceback" not in told, told
    assert "goes on with s" in said.err and str(stage.folder / "mlflow.db") in said.err, told
    study = study_of(storage, "s")
    failed = [trial for trial in study.trials if trial.state.name != "COMPLETE"]
    assert all("hydra:lost" in trial.user_attrs for trial in failed), told


def test_a_run_waits_for_a_server_and_refuses_a_wrong_address(lab: Lab, mlflow_host: Any) -> None:
    words = lab.overrides(tracking__uri=mlflow_host.url, trainer__epochs=4000,
                          trainer__patience=4000, lr_range__enabled="false",
                          tracking__experiment="alone")  # fmt: skip
    command = lab.start("alone-outage", *words)
    wait_for(lambda: bool(runs_of(mlflow_host.url, "alone")), process=command, every=0.2)
    time.sleep(3)
    mlflow_host.stop()
    time.sleep(SECONDS)
    mlflow_host.start()
    back = time.time()
    said = succeeded(command)
    check_said(said.out + said.err, 1)
    (run,) = runs_of(mlflow_host.url, "alone")
    assert run.info.status == "FINISHED" and "test/accuracy" in run.data.metrics
    client = mlflow.MlflowClient(mlflow_host.url)
    seen = client.get_metric_history(run.info.run_id, "system/cpu_utilization_percentage")
    assert max(point.timestamp for point in seen) / 1000 > back, "nobody watches any more"
    assert len({point.step for point in seen}) == len(seen)

    wrong = lab.overrides(tracking__uri="http://127.0.0.1:9")
    refused = ended(lab.start("wrong-address", *wrong), timeout=60)
    assert refused.status == 1 and len(refused.complaints) == 1, refused.err
    assert "tracking.uri=http://127.0.0.1:9" in refused.complaints[0]
    assert "does not answer (" not in refused.out + refused.err
